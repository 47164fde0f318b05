/*
 * Lists as long as a request's body allows: what is said about an object costs time in proportion to its size, so that
 * nobody holds up a server by sending one. Items differ, which is what takes longest to see.
 */
#include "tests/unit/validation_test.h"
#include <time.h>

/* Comparing each of so many items with all others takes minutes; looking each up, a fraction of a second. */
#define ITEMS 60000
#define SECONDS_MAX 5

#define POD "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{"
#define ONE "'containers':[{'name':'c','image':'i'"
#define WORK "'metadata':{'name':'x','namespace':'d'},'spec':{'selector':{'matchLabels':{'a':'b'}},"
#define TEMPLATE \
    "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'"
#define IN(version_, kind_) \
    "{'apiVersion':'" version_ "','kind':'" kind_ "','metadata':{'name':'x','namespace':'d'},"
#define OF(version_, kind_) \
    "{'apiVersion':'" version_ "','kind':'" kind_ "','metadata':{'name':'x'},"
#define HOOKS OF("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") "'webhooks':["
#define POLICY                                                         \
    OF("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") \
    "'spec':{'match"                                                   \
    "Constraints':{'"                                                  \
    "resourceRules':["

/* Lists in JSON (with single quotes); in an item, # is its number. Two lists of `more` items each when that is set. */
static const struct {
    const char *before, *item, *between, *more, *after;
} cases[] = {
    {POD "'volumes':[", "{'name':'v#'}", "]," ONE ",'volumeMounts':[",
     "{'name':'v#','mountPath':'/#'}", "]}]}}"},
    {POD ONE ",'volumeDevices':[", "{'name':'v#','devicePath':'/#'}", "],'volumeMounts':[",
     "{'name':'v#','mountPath':'/#'}", "]}]}}"},
    {POD "'containers':[", "{'name':'c#'}", "],'initContainers':[", "{'name':'i#'}", "]}}"},
    {POD ONE "}],'ephemeralContainers':[", "{'name':'c#','targetContainerName':'t#'}", "]}}", NULL,
     NULL},
    {POD ONE ",'ports':[", "{'containerPort':1,'hostPort':#,'name':'p#'}", "]}]}}", NULL, NULL},
    {POD ONE ",'env':[", "{'name':'A#'}", "]}]}}", NULL, NULL},
    {POD ONE ",'resources':{'claims':[", "{'name':'a#'}", "]}}],'resourceClaims':[",
     "{'name':'b#','resourceClaimName':'c'}", "]}}"},
    {POD ONE ",'resources':{'limits':{", "'a.b/r#':'1'", "},'requests':{", "'a.b/q#':'1'",
     "}}}]}}"},
    {POD ONE ",'resources':{'limits':{", "'a.b/r#':'1'", "}}}]}}", NULL, NULL},
    {POD "'resources':{'requests':{", "'hugepages-#':'1'", "}}," ONE ",'resources':{'requests':{",
     "'hugepages-#':'1'", "}}}]}}"},
    {POD ONE ",'resizePolicy':[", "{'resourceName':'r#'}", "]}]}}", NULL, NULL},
    {POD ONE "}],'schedulingGates':[", "{'name':'g#'}", "],'readinessGates':[",
     "{'conditionType':'c#'}", "]}}"},
    {POD ONE "}],'securityContext':{'sysctls':[", "{'name':'s#','value':'1'}", "]}}}", NULL, NULL},
    {POD ONE "}],'topologySpreadConstraints':[", "{'topologyKey':'k#','maxSkew':1}", "]}}", NULL,
     NULL},
    {POD ONE "}],'tolerations':[", "{'key':'k#','operator':'Exists'}", "],'hostAliases':[",
     "{'ip':'#'}", "]}}"},
    {"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d','annotations':{",
     "'container.apparmor.security.beta.kubernetes.io/c#':'unconfined'",
     "}},'spec':{'containers':[", "{'name':'c#'}", "]}}"},
    {POD ONE "}],'restartPolicy':'Never','initContainers':[", "{'name':'i#'}",
     "]},'status':{'containerStatuses':[",
     "{'name':'c#','state':{'terminated':{'exitCode':0}}}", "]}}"},
    {IN("v1", "Service") "'spec':{'ports':[", "{'name':'p#','port':#,'nodePort':#}", "]}}", NULL,
     NULL},
    {IN("v1", "LimitRange") "'spec':{'limits':[", "{'type':'a.b/#'}", "]}}", NULL, NULL},
    {IN("v1", "LimitRange") "'spec':{'limits':[{'type':'Container','max':{", "'a.b/r#':'1'",
     "},'min':{", "'a.b/r#':'1'", "}}]}}"},
    {OF("v1", "Node") "'spec':{'taints':[", "{'key':'k#','effect':'NoSchedule'}",
     "]},'status':{'addresses':[", "{'type':'t','address':'#'}", "]}}"},
    {IN("discovery.k8s.io/v1", "EndpointSlice") "'addressType':'IPv4','endpoints':[],'ports':[",
     "{'name':'p#','port':1}", "]}", NULL, NULL},
    {"{'apiVersion':'apps/v1','kind':'StatefulSet'," WORK TEMPLATE "}]}},'volumeClaimTemplates':[",
     "{'metadata':{'name':'v#'}}", "]}}", NULL, NULL},
    {"{'apiVersion':'batch/v1','kind':'Job'," WORK
     "'manualSelector':true,'podFailurePolicy':{'rules':[",
     "{'action':'Count','onExitCodes':{'containerName':'n#','operator':'In','values':[1]}}",
     "]},'template':{'metadata':{'labels':{'a':'b'}},'spec':{'restartPolicy':'Never','containers':"
     "[",
     "{'name':'c#'}", "]}}}}"},
    {"{'apiVersion':'batch/v1','kind':'Job'," WORK
     "'manualSelector':true,'podFailurePolicy':{'rules':[{'action':'Count','onExitCodes':{"
     "'operator':'In','values':[",
     "#", "]}}]}," TEMPLATE "}]}}}}", NULL, NULL},
    {IN("v1", "ConfigMap") "'immutable':true,'data':{", "'k#':''", "}}", NULL, NULL},
    {OF("storage.k8s.io/v1", "StorageClass") "'provisioner':'a.b/c','allowedTopologies':[",
     "{'matchLabelExpressions':[{'key':'k#','values':['v']}]}", "]}", NULL, NULL},
    {OF("storage.k8s.io/v1",
        "StorageClass") "'provisioner':'a.b/c','allowedTopologies':[{'matchLabelExpressions':[{"
                        "'key':'k','values':[",
     "'v#'", "]},{'key':'l','values':[", "'v#'", "]}]}]}"},
    {OF("storage.k8s.io/v1", "CSIDriver") "'spec':{'tokenRequests':[", "{'audience':'a#'}", "]}}",
     NULL, NULL},
    {OF("storage.k8s.io/v1", "CSINode") "'spec':{'drivers':[", "{'name':'a#','nodeID':'n'}", "]}}",
     NULL, NULL},
    {OF("storage.k8s.io/v1",
        "CSINode") "'spec':{'drivers':[{'name':'a','nodeID':'n','topologyKeys':[",
     "'k#'", "]}]}}", NULL, NULL},
    {OF("node.k8s.io/v1", "RuntimeClass") "'handler':'h','scheduling':{'tolerations':[",
     "{'key':'k#','operator':'Exists'}", "]}}", NULL, NULL},
    {OF("certificates.k8s.io/v1",
        "CertificateSigningRequest") "'spec':{'request':'','signerName':'a.b/c','usages':[",
     "'u#'", "]},'status':{'conditions':[", "{'type':'t#'}", "]}}"},
    {IN("resource.k8s.io/v1", "ResourceClaim") "'status':{'devices':[",
     "{'driver':'a.b','pool':'p','device':'d#'}", "]}}", NULL, NULL},
    {HOOKS, "{'name':'a.b.c#'}", "]}", NULL, NULL},
    {HOOKS "{'name':'a.b.c','rules':[{'resources':[", "'r#/s'", "]}],'admissionReviewVersions':[",
     "'v#'", "]}]}"},
    {HOOKS "{'name':'a.b.c','matchConditions':[", "{'name':'c#','expression':'x'}", "]}]}", NULL,
     NULL},
    {POLICY "{'resourceNames':[", "'n#'", "]}]},'auditAnnotations':[",
     "{'key':'k#','valueExpression':'x'}", "]}}"},
};

static void append_items(struct buf *json, const char *item)
{
    for (int i = 0; i < ITEMS; i++) {
        buf_append_cstr(json, i ? "," : "");
        for (const char *c = item; *c; c++) {
            if (*c == '#')
                buf_printf(json, "%d", i);
            else
                buf_append_char(json, *c);
        }
    }
}

static void hear(void *ctx, const char *text)
{
    (void)text;
    ++*(size_t *)ctx;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Decoded, defaulted and validated, with warnings, and as an update of itself. */
static double seconds_of(struct buf *json)
{
    struct arena a;
    size_t heard = 0;
    for (size_t i = 0; i < json->len; i++)
        json->data[i] = json->data[i] == '\'' ? '"' : json->data[i];
    arena_init(&a);
    void *object = decode(&a, buf_cstr(json));
    double begin = cpu_seconds();
    defaults_apply(&a, object);
    said_of(&a, object, NULL, NULL);
    said_of(&a, object, object, NULL);
    said_of(&a, object, object, "status");
    validate_warnings(&a, object, NULL, hear, &heard);
    double seconds = cpu_seconds() - begin;
    arena_free(&a);
    return seconds;
}

static void test_long_lists(void **state)
{
    bool good = true;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf json = {0};
        buf_append_cstr(&json, cases[i].before);
        append_items(&json, cases[i].item);
        buf_append_cstr(&json, cases[i].between);
        if (cases[i].more) {
            append_items(&json, cases[i].more);
            buf_append_cstr(&json, cases[i].after);
        }
        double seconds = seconds_of(&json);
        if (seconds > SECONDS_MAX)
            print_error("%.2f s: %s%s\n", seconds, cases[i].before, cases[i].item);
        good &= seconds <= SECONDS_MAX;
        buf_free(&json);
    }
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
