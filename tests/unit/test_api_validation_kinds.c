/*
 * What is said about bad objects of kinds whose rules are many or odd: each case is a good object with one thing
 * changed, both in YAML's flow style. Messages are those of kube-apiserver, cut where the rest is an explanation.
 */
#include "tests/unit/validation_test.h"
#include <stdlib.h>

#define TEMPLATE "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}"
#define WORKLOAD(kind_)                                                                \
    "{apiVersion: apps/v1, kind: " kind_ ", metadata: {name: w, namespace: d}, spec: " \
    "{selector: {matchLabels: {a: b}}, " TEMPLATE "}}"
#define CLUSTERED(version_, kind_, rest_) \
    "{apiVersion: " version_ ", kind: " kind_ ", metadata: {name: n}, " rest_ "}"

static const char deployment[] = WORKLOAD("Deployment"), daemon_set[] = WORKLOAD("DaemonSet"),
                  stateful_set[] = WORKLOAD("StatefulSet"), replica_set[] = WORKLOAD("ReplicaSet");
static const char job[] =
    "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: d}, spec: {manualSelector: "
    "true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: "
    "{restartPolicy: Never, containers: [{name: c, image: i}]}}}}";
static const char cluster_role[] =
    CLUSTERED("rbac.authorization.k8s.io/v1", "ClusterRole",
              "aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}");
static const char storage_class[] =
    CLUSTERED("storage.k8s.io/v1", "StorageClass",
              "provisioner: x.io/y, allowedTopologies: [{matchLabelExpressions: [{key: zone, "
              "values: [a]}]}]");
static const char runtime_class[] =
    CLUSTERED("node.k8s.io/v1", "RuntimeClass",
              "handler: runc, overhead: {podFixed: {cpu: 1}}, scheduling: {tolerations: [{key: a, "
              "operator: Exists}]}");
static const char hooks[] =
    CLUSTERED("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
              "webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], "
              "clientConfig: {service: "
              "{name: s, namespace: n}}}]");
#define HOOK(client_)                                                                            \
    "{webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: " \
    "{" client_ "}}]}"
static const char api_service[] = "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, "
                                  "metadata: {name: v1.x.io}, spec: {group: x.io, version: "
                                  "v1, groupPriorityMinimum: 1, versionPriority: 1}}";
static const char request[] =
    CLUSTERED("certificates.k8s.io/v1", "CertificateSigningRequest",
              "spec: {signerName: a.b/c, request: eA==, usages: [client auth]}");
static const char autoscaler[] =
    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: "
    "d}, spec: {maxReplicas: "
    "3, scaleTargetRef: {kind: Deployment, apiVersion: apps/v1, name: x}}}";
static const char limit_range[] = "{apiVersion: v1, kind: LimitRange, metadata: {name: l, "
                                  "namespace: d}, spec: {limits: [{type: Container, max: "
                                  "{cpu: 1}}]}}";
static const char event[] = "{apiVersion: v1, kind: Event, metadata: {name: e, namespace: d}, "
                            "involvedObject: {namespace: d}}";
static const char budget[] = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: "
                             "b, namespace: d}, spec: {minAvailable: 1}}";
static const char service[] = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: d}, "
                              "spec: {clusterIPs: [None], clusterIP: None, "
                              "ports: [{name: a, port: 80}]}}";

/* An empty message: nothing is wrong; one that begins with '!' must not be there. */
static const struct validation_case creates[] = {
    /* workloads: selectors, strategies */
    {deployment, "", ""},
    {deployment, "{spec: {selector: null}}", "spec.selector: Required value"},
    {deployment, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    {deployment, "{spec: {selector: {matchLabels: {a: 'b c'}}}}",
     "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b c\"}}: invalid label selector"},
    {deployment, "{spec: {strategy: {type: Odd}}}",
     "spec.strategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported "
     "values: "
     "\"Recreate\", \"RollingUpdate\""},
    {deployment, "{spec: {strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0}}}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` "
     "is 0"},
    {deployment, "{spec: {strategy: {rollingUpdate: {maxUnavailable: 101%}}}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater "
     "than 100%"},
    {replica_set, "", ""},
    {replica_set, "{spec: {selector: {matchLabels: null}}}",
     "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
    {daemon_set, "", ""},
    {daemon_set, "{spec: {selector: null}}", "!spec.selector: Required value"},
    {daemon_set, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    {daemon_set, "{spec: {updateStrategy: {type: Odd}}}",
     "spec.updateStrategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported "
     "values: "},
    {daemon_set, "{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}",
     "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge "
     "is 0"},
    {daemon_set, "{spec: {updateStrategy: {rollingUpdate: {maxSurge: 20%}}}}",
     "maxSurge: Invalid value: \"20%\": may not be set when maxUnavailable is non-zero"},
    {stateful_set, "", ""},
    {stateful_set, "{spec: {selector: {matchLabels: {a: 'b c'}}}}",
     "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b c\"}}"},
    {stateful_set, "{spec: {updateStrategy: {type: Odd}}}",
     "spec.updateStrategy: Invalid value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: must be "
     "'RollingUpdate' or "
     "'OnDelete'"},
    {stateful_set, "{spec: {updateStrategy: {type: OnDelete, rollingUpdate: {partition: 2}}}}",
     "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":2,\"MaxUnavailable\":null}: "
     "only allowed for "
     "updateStrategy 'RollingUpdate'"},
    {job, "", ""},
    {job, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    /* cluster roles that gather others */
    {cluster_role, "", ""},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: []}}",
     "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector "
     "required if "
     "aggregationRule is non-nil"},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: 'b c'}}]}}",
     "aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"b c\": a valid label "
     "must be"},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: 'b c'}}]}}",
     "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector."},
    /* classes */
    {storage_class, "", ""},
    {storage_class, "{allowedTopologies: [{}]}",
     "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""},
    {runtime_class, "", ""},
    {runtime_class, "{overhead: {podFixed: {odd: 1}}}",
     "overhead.limits[odd]: Invalid value: \"odd\": must be a standard resource for containers"},
    {runtime_class,
     "{scheduling: {tolerations: [{key: a, operator: Exists}, {key: a, operator: Exists, "
     "tolerationSeconds: 5, effect: "
     "NoExecute}, {key: a, operator: Exists}]}}",
     "scheduling.tolerations[2]: Duplicate value: "
     "{\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\","
     "\"TolerationSeconds\":null}"},
    /* addresses of webhooks */
    {hooks, "", ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: ''}"), ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: /a/b/}"), ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: //}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"//\": segment[0] may not be empty"},
    {hooks, HOOK("service: {name: s, namespace: n, path: /a//b}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be "
     "empty"},
    {hooks, HOOK("service: {name: s, namespace: n, path: 'B d'}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"B d\": must start with a '/'"},
    {hooks, HOOK("service: {namespace: n}"),
     "webhooks[0].clientConfig.service.name: Required value"},
    {hooks, HOOK("url: 'https://x.io/a'"), ""},
    {hooks, HOOK("url: 'http://x.io'"),
     "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL "
     "scheme; desired format: "
     "https://host[/path]"},
    {hooks, HOOK("url: odd"),
     "webhooks[0].clientConfig.url: Invalid value: \"\": 'https' is the only allowed URL scheme"},
    {hooks, HOOK("url: 'https:///a'"),
     "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified"},
    {hooks, HOOK("url: 'https://u:p@x.io'"),
     "webhooks[0].clientConfig.url: Invalid value: \"u:p\": user information is not permitted in "
     "the URL"},
    {hooks, HOOK("url: 'https://x.io?a=b#c'"),
     "webhooks[0].clientConfig.url: Invalid value: \"a=b\": query parameters are not permitted in "
     "the URL"},
    {hooks, HOOK("url: 'https://x.io?a=b#c'"),
     "webhooks[0].clientConfig.url: Invalid value: \"c\": fragments are not permitted in the URL"},
    /* values are shown as JSON */
    {api_service, "", ""},
    {api_service, "{spec: {caBundle: eHg=}}",
     "spec.caBundle: Invalid value: \"2 bytes\": local APIServices may not have a caBundle"},
    {api_service, "{metadata: {name: null}}", "!spec.version+"},
    {request, "",
     "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST"},
    {request, "{spec: {request: null}}",
     "spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"},
    {limit_range, "", ""},
    {limit_range, "{spec: {limits: [{type: Container, max: {cpu: 1}, min: {cpu: 2}}]}}",
     "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"},
    {service, "", ""},
    {service, "{spec: {ports: [{name: a, port: 80}, {name: b, port: 80}]}}",
     "spec.ports[1]: Duplicate value: "
     "{\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,"
     "\"TargetPort\":0,\"NodePort\":0}"},
    {autoscaler, "", ""},
    {autoscaler, "{spec: {minReplicas: 0}}",
     "spec.metrics: Forbidden: must specify at least one Object or External metric to support "
     "scaling to zero replicas"},
    {autoscaler,
     "{spec: {minReplicas: 0, metrics: [{type: External, external: {metric: {name: m}, target: "
     "{type: Value, value: 0}}}]}}",
     "!spec.metrics: Forbidden"},
    {autoscaler,
     "{spec: {metrics: [{type: External, external: {metric: {name: m}, target: {type: Value, "
     "value: 0}}}]}}",
     "spec.metrics[0].external.target.value: Invalid value: \"0\": must be positive"},
    /* names that are only parts of a path */
    {event, "{metadata: {name: 'Odd One!'}}", ""},
    {event, "{metadata: {name: a/b}}",
     "metadata.name: Invalid value: \"a/b\": may not contain '/'"},
    {budget, "{metadata: {name: 'Odd One!'}}", ""},
    {budget, "{spec: {minAvailable: x}}",
     "spec.minAvailable: Invalid value: \"x\": a valid percent string"},
};

static const char *json_of(struct arena *a, const char *yaml)
{
    yyjson_val **docs;
    size_t n;
    struct error err;
    if (!*yaml)
        return "";
    if (yaml_read(a, str_from(yaml), &docs, &n, &err) < 0)
        fail_msg("%s: %s", yaml, err.message);
    char *text = yyjson_val_write(docs[0], 0, &n);
    const char *out = arena_strndup(a, text, n);
    free(text);
    return out;
}

static bool check_case(struct arena *a, const struct validation_case *c)
{
    struct field_errors e = {.arena = a};
    void *object = changed(a, json_of(a, c->object), json_of(a, c->patch));
    validate_create(resource_of_message(schema_of(object)->id), object, &e);
    const char *got = messages(a, &e);
    bool good = !*c->message         ? *got == 0
                : *c->message == '!' ? strstr(got, c->message + 1) == NULL
                                     : strstr(got, c->message) != NULL;
    if (!good)
        print_error("%s %s\ngot  %s\nwant %s\n", c->object, c->patch, got, c->message);
    return good;
}

static void test_creates(void **state)
{
    (void)state;
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < sizeof creates / sizeof *creates; i++)
        good &= check_case(&a, &creates[i]);
    arena_free(&a);
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_creates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
