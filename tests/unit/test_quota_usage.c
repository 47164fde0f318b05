/* What objects cost under a ResourceQuota, which quotas take them in, and what pods have to name. */
#include "api/codec.h"
#include "apiserver/admission/quota_usage.h"
#include "base/arena_text.h"
#include "base/mem.h"
#include "proto/apps_v1.pb-c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void *decode(int message, const char *json)
{
    void *out;
    struct error err;
    if (json_decode(&arena, schema_get(message), str_from(json), NULL, &out, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    return out;
}

static const char *cost(int message, const char *json)
{
    struct usage u = {.a = &arena};
    usage_of_object(&u, resource_of_message(message), decode(message, json));
    return usage_text(&u);
}

#define R(requests, limits) "\"resources\":{\"requests\":{" requests "},\"limits\":{" limits "}}"

static void objects_cost(void **state)
{
    (void)state;
    static const struct {
        int message;
        const char *object, *cost;
    } rows[] = {
        {Core__V1__ConfigMap__SCHEMA, "{}", "configmaps=1,count/configmaps=1"},
        {Apps__V1__Deployment__SCHEMA, "{}", "count/deployments.apps=1"},
        {Core__V1__Pod__SCHEMA, "{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "count/pods=1,pods=1"},
        {Core__V1__Pod__SCHEMA,
         "{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Failed\"}}",
         "count/pods=1"},
        {Core__V1__Pod__SCHEMA,
         "{\"spec\":{\"containers\":[{\"name\":\"a\"," R(
             "\"cpu\":\"500m\"",
             "\"memory\":\"1Gi\"") "},{\"name\":"
                                   "\"b\"," R("\"cpu\":\"1\",\"example.com/gpu\":\"2\"", "") "}]}}",
         "count/pods=1,cpu=1500m,limits.memory=1Gi,pods=1,requests.cpu=1500m,requests.example.com/"
         "gpu=2"},
        /* The largest init container counts when it needs more than all containers. */
        {Core__V1__Pod__SCHEMA,
         "{\"spec\":{\"initContainers\":[{\"name\":\"i\"," R(
             "\"cpu\":\"3\"", "") "}],\"containers\":[{\"name\":"
                                  "\"a\"," R("\"cpu\":\"1\"", "") "}]}}",
         "count/pods=1,cpu=3,pods=1,requests.cpu=3"},
        /* A sidecar runs beside what comes after it. */
        {Core__V1__Pod__SCHEMA,
         "{\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"," R(
             "\"cpu\":\"1\"",
             "") "},{"
                 "\"name\":\"i\"," R("\"cpu\":\"3\"", "") "}],\"containers\":[{\"name\":\"a\"," R(
                     "\"cpu\":\"2\"", "") "}],"
                                          "\"overhead\":{\"cpu\":\"100m\"}}}",
         "count/pods=1,cpu=4100m,pods=1,requests.cpu=4100m"},
        {Core__V1__Service__SCHEMA, "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":80}]}}",
         "count/services=1,services=1"},
        {Core__V1__Service__SCHEMA,
         "{\"spec\":{\"type\":\"LoadBalancer\",\"ports\":[{\"port\":80},{\"port\":81}]}}",
         "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"},
        {Core__V1__Service__SCHEMA,
         "{\"spec\":{\"type\":\"LoadBalancer\",\"allocateLoadBalancerNodePorts\":false,\"ports\":[{"
         "\"port\":80},{"
         "\"port\":81,\"nodePort\":30001}]}}",
         "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
        {Core__V1__PersistentVolumeClaim__SCHEMA,
         "{\"spec\":{\"storageClassName\":\"fast\"," R("\"storage\":\"5Gi\"", "") "}}",
         "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
         "fast.storageclass.storage.k8s.io/requests.storage=5Gi,persistentvolumeclaims=1,"
         "requests.storage=5Gi"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(cost(rows[i].message, rows[i].object), rows[i].cost);
}

static void names_belong_to_kinds(void **state)
{
    (void)state;
    static const struct {
        int message;
        const char *name;
        bool concerns;
    } rows[] = {
        {Core__V1__Pod__SCHEMA, "pods", true},
        {Core__V1__Pod__SCHEMA, "count/pods", true},
        {Core__V1__Pod__SCHEMA, "limits.cpu", true},
        {Core__V1__Pod__SCHEMA, "requests.storage", false},
        {Core__V1__Pod__SCHEMA, "services", false},
        {Core__V1__Service__SCHEMA, "services.nodeports", true},
        {Core__V1__PersistentVolumeClaim__SCHEMA, "requests.storage", true},
        {Core__V1__Secret__SCHEMA, "secrets", true},
        {Core__V1__ServiceAccount__SCHEMA, "serviceaccounts", false},
        {Core__V1__ServiceAccount__SCHEMA, "count/serviceaccounts", true},
        {Apps__V1__Deployment__SCHEMA, "count/deployments.apps", true},
        {Apps__V1__Deployment__SCHEMA, "count/deployments", false},
        {Apps__V1__Deployment__SCHEMA, "count/deployments.extensions", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(usage_concerns(resource_of_message(rows[i].message), rows[i].name),
                         rows[i].concerns);
}

static void quotas_take_in(void **state)
{
    (void)state;
#define SELECT(op, values)                                                                         \
    "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":\"" op \
    "\",\"values\":[" values "]}]}"
    static const struct {
        const char *quota, *pod;
        bool takes;
    } rows[] = {
        {"", "", true},
        {"\"scopes\":[\"Terminating\"]", "", false},
        {"\"scopes\":[\"Terminating\"]", "\"activeDeadlineSeconds\":5", true},
        {"\"scopes\":[\"NotTerminating\"]", "", true},
        {"\"scopes\":[\"BestEffort\"]", "", true},
        {"\"scopes\":[\"NotBestEffort\"]", "", false},
        {"\"scopes\":[\"BestEffort\",\"Terminating\"]", "", false},
        {"\"scopes\":[\"PriorityClass\"]", "\"priorityClassName\":\"x\"", true},
        {SELECT("In", "\"x\",\"y\""), "\"priorityClassName\":\"x\"", true},
        {SELECT("In", "\"y\""), "\"priorityClassName\":\"x\"", false},
        {SELECT("NotIn", "\"y\""), "", true},
        {SELECT("DoesNotExist", ""), "", true},
        {SELECT("Exists", ""), "", false},
        {"\"scopes\":[\"CrossNamespacePodAffinity\"]", "", false},
        {"\"scopes\":[\"CrossNamespacePodAffinity\"]",
         "\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"
         "\"topologyKey\":"
         "\"z\",\"namespaces\":[\"other\"]}]}}",
         true},
    };
    const struct resource *pods = resource_of_message(Core__V1__Pod__SCHEMA);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Core__V1__ResourceQuota *q =
            decode(Core__V1__ResourceQuota__SCHEMA,
                   arena_printf(&arena, "{\"spec\":{%s}}", rows[i].quota));
        const Core__V1__Pod *pod =
            decode(Core__V1__Pod__SCHEMA,
                   arena_printf(&arena, "{\"spec\":{%s%s\"containers\":[{\"name\":\"a\"}]}}",
                                rows[i].pod, *rows[i].pod ? "," : ""));
        assert_int_equal(quota_takes(q->spec, pods, pod), rows[i].takes);
    }
    const Core__V1__ResourceQuota *scoped =
        decode(Core__V1__ResourceQuota__SCHEMA, "{\"spec\":{\"scopes\":[\"NotTerminating\"]}}");
    assert_false(quota_takes(scoped->spec, resource_of_message(Core__V1__ConfigMap__SCHEMA),
                             decode(Core__V1__ConfigMap__SCHEMA, "{}")));
}

static void pods_have_to_name(void **state)
{
    (void)state;
    const Core__V1__ResourceQuota *q = decode(
        Core__V1__ResourceQuota__SCHEMA,
        "{\"spec\":{\"hard\":{\"requests.cpu\":\"1\",\"limits.memory\":\"1Gi\",\"pods\":\"4\"}}}");
    const Core__V1__Pod *none =
        decode(Core__V1__Pod__SCHEMA,
               "{\"spec\":{\"initContainers\":[{\"name\":\"z\"," R(
                   "\"cpu\":\"1\"", "") "}],"
                                        "\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}");
    assert_string_equal(quota_missing(&arena, q->spec, none),
                        "must specify limits.memory for: a,b,z; requests.cpu for: a,b");
    const Core__V1__Pod *all =
        decode(Core__V1__Pod__SCHEMA, "{\"spec\":{\"containers\":[{\"name\":\"a\"," R(
                                          "\"cpu\":\"1\"", "\"memory\":\"1\"") "}]}}");
    assert_null(quota_missing(&arena, q->spec, all));
}

/* A pod names as many resources as a request has room for; sidecars are not added up again for every container. */
static void many_resources_are_looked_up(void **state)
{
    (void)state;
    enum { MANY = 30000 };
    struct arena_text json = {.a = &arena};
    arena_text_add(&json,
                   "{\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\","
                   "\"resources\":{\"requests\":{");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&json, "%s\"a.b/r%d\":\"1\"", i ? "," : "", i);
    arena_text_add(&json, "}}}");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(
            &json, ",{\"name\":\"i%d\",\"resources\":{\"requests\":{\"a.b/r0\":\"%d\"}}}", i, i);
    arena_text_add(&json, "],\"containers\":[{\"name\":\"a\"}]}}");
    Core__V1__Pod *pod = decode(Core__V1__Pod__SCHEMA, arena_text_of(&json));
    struct usage u = {.a = &arena};
    size_t before = arena.used;
    clock_t start = clock();
    usage_of_object(&u, resource_of_message(Core__V1__Pod__SCHEMA), pod);
    assert_int_equal(u.len, MANY + 2);
    assert_int_equal(quantity_cmp(usage_get(&u, "requests.a.b/r0"), quantity_of("30000")), 0);
    assert_int_equal(quantity_cmp(usage_get(&u, "requests.a.b/r29999"), quantity_of("1")), 0);
    assert_true(usage_has(&u, "pods") && !usage_has(&u, "requests.a.b/r30000"));
    assert_non_null(strstr(usage_text(&u), "requests.a.b/r29999=1,"));
    assert_true(usage_has(&u, "requests.a.b/r29999"));
    assert_true(clock() - start < 3 * CLOCKS_PER_SEC);
    assert_true(arena.used - before < 256u << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_resources_are_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(objects_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(names_belong_to_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(quotas_take_in, setup, teardown),
        cmocka_unit_test_setup_teardown(pods_have_to_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
