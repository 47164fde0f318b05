/* What `kubectl get` prints: rows made from objects given as JSON. */
#include "apiserver/table/table.h"
#include "apiserver/table/text.h"
#include "base/clock.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#define NOW 1790000000 /* 2026-09-21T14:13:20Z */
#define AGO_5M "2026-09-21T14:08:20Z"
#define AGO_2H "2026-09-21T12:13:20Z"

static void check_row(const char *json, const char *want)
{
    struct arena a;
    struct error err = {0};
    struct buf stored, table;
    void *object;
    arena_init(&a);
    buf_init(&stored);
    buf_init(&table);
    if (json_decode(&a, NULL, str_from(json), NULL, &object, &err) < 0)
        fail_msg("%s", err.message);
    stored_encode(object, &stored);
    const struct resource *r = resource_of_message(schema_of(object)->id);
    struct table_options o = {.include = TABLE_NONE, .now_s = NOW};
    assert_int_equal(table_write_object(r, buf_str(&stored), 1, o, &table, &err), 0);
    const char *row = strstr(buf_cstr(&table), "\"cells\":");
    size_t n = strlen(want);
    if (!row || strncmp(row + 8, want, n) != 0)
        fail_msg("got %.300s want %s", row ? row + 8 : buf_cstr(&table), want);
    buf_free(&stored);
    buf_free(&table);
    arena_free(&a);
}

#define POD(spec, status)                                                                         \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"creationTimestamp\":" \
    "\"" AGO_2H "\"},\"spec\":{" spec "},\"status\":{" status "}}"
#define ONE "\"containers\":[{\"name\":\"c\"}]"

static void pods(void **state)
{
    (void)state;
    check_row(
        POD(ONE, "\"phase\":\"Pending\""),
        "[\"p\",\"0/1\",\"Pending\",\"0\",\"120m\",\"<none>\",\"<none>\",\"<none>\",\"<none>\"]");
    check_row(POD(ONE ",\"nodeName\":\"n1\"",
                  "\"phase\":\"Running\",\"podIP\":\"10.0.0.5\",\"conditions\":[{\"type\":"
                  "\"Ready\",\"status\":\"True\"}],"
                  "\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"restartCount\":3,"
                  "\"state\":{\"running\":{}},"
                  "\"lastState\":{\"terminated\":{\"exitCode\":1,\"finishedAt\":\"" AGO_5M
                  "\"}}}]"),
              "[\"p\",\"1/1\",\"Running\",\"3 (5m ago)\",\"120m\",\"10.0.0.5\",\"n1\"");
    check_row(POD(ONE,
                  "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":0,"
                  "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]"),
              "[\"p\",\"0/1\",\"CrashLoopBackOff\",\"0\"");
    check_row(POD(ONE, "\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{"
                       "\"terminated\":{\"exitCode\":137,\"signal\":9}}}]"),
              "[\"p\",\"0/1\",\"Signal:9\"");
    check_row(POD(ONE, "\"phase\":\"Succeeded\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{"
                       "\"terminated\":{\"reason\":\"Completed\"}}}]"),
              "[\"p\",\"0/1\",\"Completed\"");
    check_row(POD(ONE, "\"phase\":\"Failed\",\"reason\":\"Evicted\""),
              "[\"p\",\"0/1\",\"Evicted\"");
    check_row(POD(ONE ",\"initContainers\":[{\"name\":\"i1\"},{\"name\":\"i2\"}]",
                  "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i1\",\"state\":{"
                  "\"terminated\":{\"exitCode\":0}}},"
                  "{\"name\":\"i2\",\"state\":{\"running\":{}}}]"),
              "[\"p\",\"0/1\",\"Init:1/2\"");
    check_row(POD(ONE ",\"initContainers\":[{\"name\":\"i1\"}]",
                  "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i1\","
                  "\"restartCount\":2,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]"),
              "[\"p\",\"0/1\",\"Init:CrashLoopBackOff\",\"2\"");
    check_row("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
              "\"deletionTimestamp\":\"" AGO_5M "\"},\"spec\":{" ONE
              "},\"status\":{\"phase\":\"Running\"}}",
              "[\"p\",\"0/1\",\"Terminating\",\"0\",\"<unknown>\"");
}

static void nodes_and_services(void **state)
{
    (void)state;
    check_row("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"labels\":{"
              "\"node-role.kubernetes.io/worker\":\"\"}},"
              "\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\","
              "\"status\":\"True\"}],"
              "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"}],\"nodeInfo\":{"
              "\"kubeletVersion\":\"v1.35.0\"}}}",
              "[\"n\",\"Ready,SchedulingDisabled\",\"worker\",\"<unknown>\",\"v1.35.0\",\"10.0.0."
              "1\",\"<none>\"");
    check_row("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},\"spec\":{"
              "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.9\","
              "\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"},{\"port\":53,"
              "\"protocol\":\"UDP\"}],\"selector\":{\"a\":\"b\"}}}",
              "[\"s\",\"NodePort\",\"10.96.0.9\",\"<none>\",\"80:30080/TCP,53/"
              "UDP\",\"<unknown>\",\"a=b\"]");
    check_row("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},\"spec\":{"
              "\"type\":\"LoadBalancer\",\"clusterIP\":\"None\"}}",
              "[\"s\",\"LoadBalancer\",\"None\",\"<pending>\",\"<none>\"");
}

static void workloads(void **state)
{
    (void)state;
    check_row("{\"apiVersion\":\"apps/"
              "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":4,"
              "\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"spec\":{\"containers\":"
              "[{\"name\":\"x\",\"image\":\"i:1\"},"
              "{\"name\":\"y\",\"image\":\"i:2\"}]}}},\"status\":{\"readyReplicas\":3,"
              "\"updatedReplicas\":2,\"availableReplicas\":1}}",
              "[\"d\",\"3/4\",2,1,\"<unknown>\",\"x,y\",\"i:1,i:2\",\"a=b\"]");
    check_row("{\"apiVersion\":\"batch/"
              "v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"j\"},\"spec\":{\"completions\":2},"
              "\"status\":{\"succeeded\":2,\"startTime\":\"" AGO_2H
              "\",\"completionTime\":\"" AGO_5M "\",\"conditions\":"
              "[{\"type\":\"Complete\",\"status\":\"True\"}]}}",
              "[\"j\",\"Complete\",\"2/2\",\"115m\"");
}

#define OBJECT(group, kind, rest) \
    "{\"apiVersion\":\"" group "/v1\",\"kind\":\"" kind "\",\"metadata\":{\"name\":\"x\"}" rest "}"

static void storage(void **state)
{
    (void)state;
    check_row(OBJECT("storage.k8s.io", "CSIDriver", ",\"spec\":{}"),
              "[\"x\",true,false,false,\"<unset>\",false,\"<none>\",\"<unknown>\"]");
    check_row(OBJECT("storage.k8s.io", "CSIDriver",
                     ",\"spec\":{\"attachRequired\":false,\"podInfoOnMount\":true,"
                     "\"storageCapacity\":true,\"requiresRepublish\":true,\"tokenRequests\":["
                     "{\"audience\":\"a\"},{\"audience\":\"b\"}],\"volumeLifecycleModes\":["
                     "\"Persistent\",\"Ephemeral\"]}"),
              "[\"x\",false,true,true,\"a,b\",true,\"Persistent,Ephemeral\",\"<unknown>\"]");
    check_row(OBJECT("storage.k8s.io", "CSINode",
                     ",\"spec\":{\"drivers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}"),
              "[\"x\",2,\"<unknown>\"]");
    check_row(OBJECT("storage.k8s.io", "CSIStorageCapacity",
                     ",\"storageClassName\":\"c\",\"capacity\":\"1Gi\""),
              "[\"x\",\"c\",\"1Gi\"]");
    check_row(OBJECT("storage.k8s.io", "VolumeAttachment",
                     ",\"spec\":{\"attacher\":\"a\",\"nodeName\":\"n\",\"source\":{"
                     "\"persistentVolumeName\":\"v\"}},\"status\":{\"attached\":true}"),
              "[\"x\",\"a\",\"v\",\"n\",true,\"<unknown>\"]");
}

static void admission_and_flow_control(void **state)
{
    (void)state;
    check_row(OBJECT("admissionregistration.k8s.io", "MutatingWebhookConfiguration",
                     ",\"webhooks\":[{\"name\":\"a.b.c\"}]"),
              "[\"x\",1,\"<unknown>\"]");
    check_row(OBJECT("admissionregistration.k8s.io", "ValidatingAdmissionPolicy",
                     ",\"spec\":{\"paramKind\":{\"apiVersion\":\"a/v1\",\"kind\":\"K\"},"
                     "\"validations\":[{\"expression\":\"true\"}]}"),
              "[\"x\",1,\"a/v1/K\",\"<unknown>\"]");
    check_row(OBJECT("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding",
                     ",\"spec\":{\"policyName\":\"p\",\"paramRef\":{\"name\":\"n\",\"namespace\":"
                     "\"d\"}}"),
              "[\"x\",\"p\",\"d/n\",\"<unknown>\"]");
    check_row(OBJECT("flowcontrol.apiserver.k8s.io", "FlowSchema",
                     ",\"spec\":{\"matchingPrecedence\":7,\"priorityLevelConfiguration\":{\"name\":"
                     "\"l\"},\"distinguisherMethod\":{\"type\":\"ByUser\"}},\"status\":{"
                     "\"conditions\":[{\"type\":\"Dangling\",\"status\":\"False\"}]}"),
              "[\"x\",\"l\",7,\"ByUser\",\"<unknown>\",\"False\"]");
    check_row(OBJECT("flowcontrol.apiserver.k8s.io", "FlowSchema",
                     ",\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"l\"}}"),
              "[\"x\",\"l\",0,\"<none>\",\"<unknown>\",\"?\"]");
    check_row(
        OBJECT("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
               ",\"spec\":{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,"
               "\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":1,\"handSize\":2,"
               "\"queueLengthLimit\":3}}}}"),
        "[\"x\",\"Limited\",5,1,2,3,\"<unknown>\"]");
    check_row(OBJECT("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration",
                     ",\"spec\":{\"type\":\"Exempt\"}"),
              "[\"x\",\"Exempt\",\"<none>\",\"<none>\",\"<none>\",\"<none>\",\"<unknown>\"]");
}

/* What autoscalers aim at: two are shown, each in its own form. */
static void autoscalers(void **state)
{
#define HPA(metrics_, current_)                                                              \
    "{\"apiVersion\":\"autoscaling/"                                                         \
    "v2\",\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"name\":"                      \
    "\"h\"},\"spec\":{\"scaleTargetRef\":{\"kind\":\"K\",\"name\":\"n\"},\"maxReplicas\":3," \
    "\"metrics\":[" metrics_ "]},\"status\":{\"currentMetrics\":[" current_ "]}}"
#define CPU                                                                                        \
    "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"averageUtilization\":80}" \
    "}}"
#define PODS                                                                                       \
    "{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"m\"},\"target\":{\"averageValue\":\"5\"}" \
    "}}"
#define QUEUE                                                                                 \
    "{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\"},\"target\":{\"value\":" \
    "\"9\"}}}"
    (void)state;
    check_row(HPA("", ""), "[\"h\",\"K/n\",\"<none>\",\"<unset>\",3,0,\"<unknown>\"]");
    check_row(HPA(CPU, ""), "[\"h\",\"K/n\",\"cpu: <unknown>/80%\",");
    check_row(HPA(CPU "," PODS "," QUEUE,
                  "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"current\":{"
                  "\"averageUtilization\":40}}},{\"type\":\"Pods\",\"pods\":{\"current\":{"
                  "\"averageValue\":\"2\"}}}"),
              "[\"h\",\"K/n\",\"cpu: 40%/80%, 2/5 + 1 more...\",");
    check_row(HPA(QUEUE, "{\"type\":\"External\",\"external\":{\"current\":{\"value\":\"4\"}}}"),
              "[\"h\",\"K/n\",\"4/9\",");
    check_row(HPA("{\"type\":\"Object\",\"object\":{\"target\":{\"averageValue\":\"3\"}}},"
                  "{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"memory\","
                  "\"target\":{\"averageValue\":\"1Gi\"}}}",
                  ""),
              "[\"h\",\"K/n\",\"<unknown>/3 (avg), memory: <unknown>/1Gi\",");
}

static void devices_and_services(void **state)
{
    (void)state;
    check_row(OBJECT("resource.k8s.io", "ResourceClaim", ""), "[\"x\",\"pending\",\"<unknown>\"]");
    check_row(OBJECT("resource.k8s.io", "ResourceClaim",
                     ",\"status\":{\"allocation\":{},\"reservedFor\":[{\"uid\":\"u\"}]}"),
              "[\"x\",\"allocated,reserved\",\"<unknown>\"]");
    check_row(OBJECT("resource.k8s.io", "ResourceSlice",
                     ",\"spec\":{\"driver\":\"d\",\"nodeName\":\"n\",\"pool\":{\"name\":\"p\"}}"),
              "[\"x\",\"n\",\"d\",\"p\",\"<unknown>\"]");
    check_row(OBJECT("apiregistration.k8s.io", "APIService", ",\"spec\":{}"),
              "[\"x\",\"Local\",\"Unknown\",\"<unknown>\"]");
    check_row(
        OBJECT("apiregistration.k8s.io", "APIService",
               ",\"spec\":{\"service\":{\"namespace\":\"n\",\"name\":\"s\"}},\"status\":{"
               "\"conditions\":[{\"type\":\"Available\",\"status\":\"False\",\"reason\":\"R\"}]}"),
        "[\"x\",\"n/s\",\"False (R)\",\"<unknown>\"]");
}

static void a_row_has_a_cell_for_every_column(void **state)
{
    (void)state;
    for (size_t i = 0; i < resources_len; i++) {
        const struct resource *r = &resources[i];
        if (r->list_message == SCHEMA_NONE || r->stored_as != r->message || !*r->storage_prefix)
            continue;
        struct arena a;
        struct buf stored, table;
        struct error err = {0};
        arena_init(&a);
        buf_init(&stored);
        buf_init(&table);
        stored_encode(object_new(&a, schema_get(r->message)), &stored);
        assert_int_equal(table_write_object(r, buf_str(&stored), 1,
                                            (struct table_options){.include = TABLE_NONE}, &table,
                                            &err),
                         0);
        yyjson_doc *doc = yyjson_read(table.data, table.len, 0);
        yyjson_val *root = yyjson_doc_get_root(doc);
        size_t columns = yyjson_arr_size(yyjson_obj_get(root, "columnDefinitions"));
        size_t cells = yyjson_arr_size(
            yyjson_obj_get(yyjson_arr_get_first(yyjson_obj_get(root, "rows")), "cells"));
        if (columns != cells)
            fail_msg("%s: %zu columns, %zu cells", r->plural, columns, cells);
        yyjson_doc_free(doc);
        buf_free(&stored);
        buf_free(&table);
        arena_free(&a);
    }
}

/* A cell of as many items as an object has room for takes memory in proportion to them. */
static void long_cells(void **state)
{
    (void)state;
    struct arena memory;
    arena_init(&memory);
    struct text t = text_new(&memory);
    assert_string_equal(text_or_none(&t), "<none>");
    for (int i = 0; i < 60000; i++)
        text_item(&t, ",", "80/TCP");
    assert_int_equal(strlen(text_or_none(&t)), 60000 * 7 - 1);
    assert_string_equal(text_cut(&t, 2), "80/TCP,80/TCP + 59998 more...");
    assert_true(memory.used < 4 << 20);
    arena_free(&memory);
}

/* Ports times addresses are not written down to show three of them. */
static void many_endpoints(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b,
                    "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"e\"},"
                    "\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.0\"}");
    for (int i = 1; i < 6000; i++)
        buf_printf(&b, ",{\"ip\":\"10.0.%d.%d\"}", i / 256, i % 256);
    buf_append_cstr(&b, "],\"ports\":[{\"port\":1}");
    for (int i = 1; i < 6000; i++)
        buf_printf(&b, ",{\"port\":%d}", i + 1);
    buf_append_cstr(&b, "]},{\"addresses\":[{\"ip\":\"10.1.0.0\"}]}]}");
    struct timespec begin, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    check_row(buf_cstr(&b), "[\"e\",\"10.0.0.0:1,10.0.0.1:1,10.0.0.2:1 + 35999998 more...\",");
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    assert_true(end.tv_sec - begin.tv_sec < 3);
    buf_free(&b);
    check_row(
        "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"e\"},\"subsets\":[{"
        "\"addresses\":[{\"ip\":\"a\"},{\"ip\":\"b\"}],\"ports\":[{\"port\":1},{\"port\":2}]}]}",
        "[\"e\",\"a:1,b:1,a:2 + 1 more...\",");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods),
        cmocka_unit_test(long_cells),
        cmocka_unit_test(many_endpoints),
        cmocka_unit_test(nodes_and_services),
        cmocka_unit_test(workloads),
        cmocka_unit_test(storage),
        cmocka_unit_test(admission_and_flow_control),
        cmocka_unit_test(devices_and_services),
        cmocka_unit_test(autoscalers),
        cmocka_unit_test(a_row_has_a_cell_for_every_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
