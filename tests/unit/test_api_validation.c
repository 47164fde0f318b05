/*
 * Defaults and validation: a manifest as a person writes it, what becomes of it, and what is said about bad
 * ones. Each case is a valid object with one thing changed by a merge patch.
 */
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "tests/unit/validation_test.h"

#define POD                                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"d\"}," \
    "\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"nginx:1.25\"}]}}"
#define DEPLOYMENT                                                                         \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","  \
    "\"namespace\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"     \
    "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[" \
    "{\"name\":\"main\",\"image\":\"nginx\"}]}}}}"
#define SERVICE                                                                                 \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":" \
    "\"d\"},\"spec\":{\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80}]}}"
#define JOB                                                                                        \
    "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"j\",\"namespace\":"    \
    "\"d\"},\"spec\":{\"manualSelector\":true,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"       \
    "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"restartPolicy\":\"Never\"," \
    "\"containers\":[{\"name\":\"main\",\"image\":\"x\"}]}}}}"
#define ROLE_BINDING                                                                          \
    "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"RoleBinding\",\"metadata\":" \
    "{\"name\":\"b\",\"namespace\":\"d\"},\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},"    \
    "\"subjects\":[{\"kind\":\"User\",\"name\":\"jane\"}]}"
#define CONFIG_MAP                                                                              \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\",\"namespace\":" \
    "\"d\"},\"data\":{\"a\":\"1\"}}"
#define SECRET                                                                                     \
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"namespace\":\"d\"}" \
    "}"
#define NAMESPACE "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"team\"}}"

static const struct validation_case creates[] = {
    {POD, "", ""},
    {DEPLOYMENT, "", ""},
    {SERVICE, "", ""},
    {JOB, "", ""},
    {ROLE_BINDING, "", ""},
    {CONFIG_MAP, "", ""},
    {SECRET, "", ""},
    {NAMESPACE, "", ""},
    /* metadata */
    {POD, "{\"metadata\":{\"name\":null}}",
     "metadata.name: Required value: name or generateName is required"},
    {POD, "{\"metadata\":{\"name\":\"Web\"}}",
     "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of "
     "lower case "
     "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
     "character (e.g. "
     "'example.com', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
    {SERVICE, "{\"metadata\":{\"name\":\"1web\"}}",
     "metadata.name: Invalid value: \"1web\": a DNS-1035 label"},
    {NAMESPACE, "{\"metadata\":{\"name\":\"a.b\"}}",
     "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label"},
    {NAMESPACE, "{\"metadata\":{\"namespace\":\"x\"}}",
     "metadata.namespace: Forbidden: not allowed on this type"},
    {POD, "{\"metadata\":{\"namespace\":null}}", "metadata.namespace: Required value"},
    {POD, "{\"metadata\":{\"labels\":{\"a b\":\"c\"}}}",
     "metadata.labels: Invalid value: \"a b\": name part must consist"},
    {POD, "{\"metadata\":{\"labels\":{\"a\":\"b c\"}}}",
     "metadata.labels: Invalid value: \"b c\": a valid label must be"},
    {POD,
     "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"x\"}"
     "]}}",
     "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"},
    /* pods */
    {POD, "{\"spec\":{\"containers\":null}}", "spec.containers: Required value"},
    {POD, "{\"spec\":{\"containers\":[{\"name\":\"main\"}]}}",
     "spec.containers[0].image: Required value"},
    {POD, "{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}",
     "spec.containers[0].name: Required value"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"},{\"name\":\"a\",\"image\":"
     "\"x\"}]}}",
     "spec.containers[1].name: Duplicate value: \"a\""},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"imagePullPolicy\":\"Maybe\"}"
     "]}}",
     "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: "
     "\"Always\", "
     "\"IfNotPresent\", \"Never\""},
    {POD, "{\"spec\":{\"restartPolicy\":\"Sometimes\"}}",
     "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
     "\"OnFailure\", \"Never\""},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"ports\":[{\"containerPort\":"
     "70000}]}]}}",
     "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and "
     "65535, inclusive"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"volumeMounts\":[{\"name\":"
     "\"v\",\"mountPath\":\"/v\"}]}]}}",
     "spec.containers[0].volumeMounts[0].name: Not found: \"v\""},
    {POD,
     "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{},\"hostPath\":{\"path\":\"/"
     "\"}}]}}",
     "may not specify more than 1 volume type"},
    {POD, "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"configMap\":{}}]}}",
     "spec.volumes[0].configMap.name: Required value"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"resources\":{\"requests\":{"
     "\"cpu\":\"2\"},\"limits\":{\"cpu\":\"1\"}}}]}}",
     "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal "
     "to cpu limit of 1"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"resources\":{\"limits\":{"
     "\"cpu\":\"-1\"}}}]}}",
     "spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or "
     "equal to 0"},
    {POD, "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"livenessProbe\":{}}]}}",
     "spec.containers[0].livenessProbe: Required value: must specify a handler type"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"livenessProbe\":{"
     "\"tcpSocket\":{\"port\":1},\"successThreshold\":2}}]}}",
     "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"env\":[{\"name\":\"A=B\"}]}]"
     "}}",
     "spec.containers[0].env[0].name: Invalid value"},
    {POD, "{\"spec\":{\"tolerations\":[{\"operator\":\"Equal\"}]}}",
     "spec.tolerations[0].operator: Invalid value"},
    {POD, "{\"spec\":{\"dnsPolicy\":\"None\",\"dnsConfig\":{}}}",
     "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver"},
    {POD, "{\"spec\":{\"activeDeadlineSeconds\":0}}",
     "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
     "inclusive"},
    /* workloads */
    {DEPLOYMENT, "{\"spec\":{\"replicas\":-1}}",
     "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
    {DEPLOYMENT, "{\"spec\":{\"selector\":null}}", "spec.selector: Required value"},
    {DEPLOYMENT, "{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"other\"}}}}",
     "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not "
     "match template `labels`"},
    {DEPLOYMENT,
     "{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":0}}}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
     "`maxSurge` is 0"},
    {DEPLOYMENT, "{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"x%\"}}}}",
     "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x%\": a valid"},
    {DEPLOYMENT, "{\"spec\":{\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":{}}}}",
     "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
     "'Recreate'"},
    {DEPLOYMENT, "{\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\"}}}}",
     "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
     "\"Always\""},
    {DEPLOYMENT, "{\"spec\":{\"progressDeadlineSeconds\":5,\"minReadySeconds\":10}}",
     "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"},
    {JOB, "{\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Always\"}}}}",
     "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", "
     "\"Never\""},
    {JOB, "{\"spec\":{\"parallelism\":-1}}", "spec.parallelism: Invalid value: -1"},
    /* services and the rest */
    {SERVICE, "{\"spec\":{\"ports\":[]}}", "spec.ports: Required value"},
    {SERVICE, "{\"spec\":{\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"],\"ports\":[]}}", ""},
    {SERVICE, "{\"spec\":{\"ports\":[{\"port\":0}]}}",
     "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"},
    {SERVICE, "{\"spec\":{\"ports\":[{\"port\":80},{\"port\":81}]}}",
     "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]"},
    {SERVICE, "{\"spec\":{\"type\":\"Bus\"}}", "spec.type: Unsupported value: \"Bus\""},
    {SERVICE, "{\"spec\":{\"ports\":[{\"port\":80,\"nodePort\":30000}]}}",
     "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
    {SERVICE, "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":\"too-long-a-port-name\"}]}}",
     "spec.ports[0].targetPort: Invalid value: \"too-long-a-port-name\": must be no more than "
     "15 bytes"},
    {ROLE_BINDING, "{\"subjects\":[{\"kind\":\"Robot\",\"name\":\"x\"}]}",
     "subjects[0].kind: Unsupported value: \"Robot\""},
    {ROLE_BINDING, "{\"roleRef\":{\"name\":null}}", "roleRef.name: Required value"},
    {CONFIG_MAP, "{\"data\":{\"a b\":\"1\"}}",
     "data[a b]: Invalid value: \"a b\": a valid config key"},
    {SECRET, "{\"type\":\"kubernetes.io/tls\",\"data\":{\"tls.crt\":\"\"}}",
     "data[tls.key]: Required value"},
};
CASES_TEST(creates, CREATE, PART)

static const struct validation_case updates[] = {
    {POD, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}", ""},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"nginx:2\",\"imagePullPolicy\":"
     "\"IfNotPresent\"}]}}",
     ""},
    {POD, "{\"spec\":{\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}}", ""},
    {POD, "{\"spec\":{\"activeDeadlineSeconds\":5}}", ""},
    {POD, "{\"spec\":{\"nodeName\":\"n\"}}",
     "spec: Forbidden: pod updates may not change fields other than "
     "`spec.containers[*].image`"},
    {POD,
     "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\"},{\"name\":\"b\",\"image\":"
     "\"x\"}]}}",
     "spec.containers: Forbidden: pod updates may not add or remove containers"},
    {POD, "{\"metadata\":{\"name\":\"other\"}}",
     "metadata.name: Invalid value: \"other\": field is immutable"},
    {DEPLOYMENT, "{\"spec\":{\"replicas\":7}}", ""},
    {DEPLOYMENT,
     "{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"web\",\"b\":\"c\"}},\"template\":{"
     "\"metadata\":{\"labels\":{\"b\":\"c\"}}}}}",
     "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"b\":\"c\"}}: field is "
     "immutable"},
    {JOB, "{\"spec\":{\"completions\":4}}",
     "spec.completions: Invalid value: 4: field is immutable"},
    {ROLE_BINDING, "{\"roleRef\":{\"name\":\"other\"}}",
     "roleRef: Invalid value: "
     "{\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"other\"}: "
     "cannot change roleRef"},
    {SECRET, "{\"type\":\"x\"}", "type: Invalid value: \"x\": field is immutable"},
};
CASES_TEST(updates, UPDATE, PART)

static void test_status(void **state)
{
    (void)state;
    struct arena a;
    struct buf json;
    arena_init(&a);
    buf_init(&json);
    struct field_errors e = {.arena = &a};
    void *object = changed(&a, DEPLOYMENT, "{\"spec\":{\"replicas\":-1}}");
    const struct resource *r = resource_of_message(Apps__V1__Deployment__SCHEMA);
    validate_create(r, object, &e);
    json_encode(field_errors_status(&a, &e, r, "web"), JSON_DEFAULT, &json);
    assert_json_equal(
        "status", buf_str(&json),
        STR("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
            "\"message\":\"Deployment.apps \\\"web\\\" is invalid: spec.replicas: Invalid value: "
            "-1: "
            "must be greater than or equal to "
            "0\",\"reason\":\"Invalid\",\"details\":{\"name\":\"web\","
            "\"group\":\"apps\",\"kind\":\"Deployment\",\"causes\":[{\"reason\":"
            "\"FieldValueInvalid\","
            "\"message\":\"Invalid value: -1: must be greater than or equal to 0\",\"field\":"
            "\"spec.replicas\"}]},\"code\":422}"));
    buf_free(&json);
    arena_free(&a);
}

static void check_defaults(const char *json, const char *patch, const char *want)
{
    struct arena a;
    struct buf out;
    arena_init(&a);
    buf_init(&out);
    void *object = changed(&a, json, patch);
    json_encode(object, JSON_DEFAULT, &out);
    assert_json_equal(json, buf_str(&out), str_from(want));
    void *again = object_clone(&a, object); /* a second time changes nothing */
    defaults_apply(&a, again);
    assert_true(object_equal(object, again));
    buf_free(&out);
    arena_free(&a);
}

static void test_defaults(void **state)
{
    (void)state;
    check_defaults(
        POD,
        "{\"spec\":{\"hostNetwork\":true,\"containers\":[{\"name\":\"main\",\"image\":\"reg:5000/"
        "nginx\",\"ports\":"
        "[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"1\"}},\"readinessProbe\":{"
        "\"httpGet\":"
        "{\"port\":\"http\"}},\"env\":[{\"name\":\"N\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":"
        "\"metadata.name\"}}}]}],"
        "\"volumes\":[{\"name\":\"e\"},{\"name\":\"c\",\"configMap\":{\"name\":\"c\"}}]}}",
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":"
        "\"d\"},\"spec\":"
        "{\"hostNetwork\":true,\"containers\":[{\"name\":\"main\",\"image\":\"reg:5000/"
        "nginx\",\"ports\":[{\"hostPort\":80,"
        "\"containerPort\":80,\"protocol\":\"TCP\"}],\"resources\":{\"limits\":{\"cpu\":\"1\"},"
        "\"requests\":{\"cpu\":\"1\"}},"
        "\"readinessProbe\":{\"httpGet\":{\"port\":\"http\",\"path\":\"/"
        "\",\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,"
        "\"periodSeconds\":10,\"successThreshold\":1,\"failureThreshold\":3},\"env\":[{\"name\":"
        "\"N\",\"valueFrom\":"
        "{\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":\"metadata.name\"}}}],"
        "\"terminationMessagePath\":"
        "\"/dev/"
        "termination-log\",\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\"Always\"}],"
        "\"volumes\":"
        "[{\"name\":\"e\",\"emptyDir\":{}},{\"name\":\"c\",\"configMap\":{\"name\":\"c\","
        "\"defaultMode\":420}}],"
        "\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":"
        "\"ClusterFirst\","
        "\"securityContext\":{},\"schedulerName\":\"default-scheduler\",\"enableServiceLinks\":"
        "true},\"status\":{}}");
    check_defaults(SERVICE, "",
                   "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\","
                   "\"namespace\":\"d\"},\"spec\":"
                   "{\"selector\":{\"app\":\"web\"},\"ports\":[{\"protocol\":\"TCP\",\"port\":80,"
                   "\"targetPort\":80}],\"type\":"
                   "\"ClusterIP\",\"sessionAffinity\":\"None\",\"internalTrafficPolicy\":"
                   "\"Cluster\"},\"status\":{\"loadBalancer\":{}}}");
    check_defaults(
        NAMESPACE, "",
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"team\",\"labels\":"
        "{\"kubernetes.io/"
        "metadata.name\":\"team\"}},\"spec\":{},\"status\":{\"phase\":\"Active\"}}");
    check_defaults(SECRET, "",
                   "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\","
                   "\"namespace\":\"d\"},\"type\":\"Opaque\"}");
    struct arena a;
    arena_init(&a);
    Apps__V1__DeploymentSpec *spec = ((Apps__V1__Deployment *)changed(&a, DEPLOYMENT, ""))->spec;
    assert_int_equal(spec->replicas, 1);
    assert_int_equal(spec->revision_history_limit, 10);
    assert_int_equal(spec->progress_deadline_seconds, 600);
    assert_string_equal(spec->strategy->rolling_update->max_surge->str_val, "25%");
    assert_string_equal(spec->template_->spec->containers[0]->image_pull_policy, "Always");
    assert_false(spec->template_->spec->has_enable_service_links); /* only pods themselves */
    arena_free(&a);
}

static void test_pull_policy(void **state)
{
    (void)state;
    assert_string_equal(default_pull_policy("nginx"), "Always");
    assert_string_equal(default_pull_policy("nginx:latest"), "Always");
    assert_string_equal(default_pull_policy("reg:5000/nginx"), "Always");
    assert_string_equal(default_pull_policy("nginx:1.25"), "IfNotPresent");
    assert_string_equal(default_pull_policy("reg:5000/a/b:v1"), "IfNotPresent");
    assert_string_equal(default_pull_policy("nginx@sha256:00"), "IfNotPresent");
    assert_string_equal(default_pull_policy("nginx:latest@sha256:00"), "IfNotPresent");
}

static void test_names(void **state)
{
    (void)state;
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    long_name[254] = 0;
    assert_null(validate_dns1123_label("a-1"));
    assert_non_null(validate_dns1123_label(""));
    assert_non_null(validate_dns1123_label("-a"));
    assert_non_null(validate_dns1123_label("a."));
    assert_null(validate_dns1123_subdomain("a.b-c.d"));
    assert_non_null(validate_dns1123_subdomain("a..b"));
    assert_string_equal(validate_dns1123_subdomain(long_name), "must be no more than 253 bytes");
    long_name[64] = 0;
    assert_string_equal(validate_dns1123_label(long_name), "must be no more than 63 bytes");
    assert_null(validate_qualified_name("example.com/My_Name.x"));
    assert_non_null(validate_qualified_name("a/b/c"));
    assert_non_null(validate_qualified_name("/b"));
    assert_non_null(validate_qualified_name("a/"));
    assert_null(validate_label_value(""));
    assert_null(validate_port_name("http-1"));
    assert_non_null(validate_port_name("80"));
    assert_non_null(validate_port_name("a--b"));
    assert_null(validate_ip("10.0.0.1"));
    assert_null(validate_ip("::1"));
    assert_non_null(validate_ip("10.0.0"));
    assert_null(validate_path_segment("system:node"));
    assert_non_null(validate_path_segment(".."));
    const struct resource *roles = resource_of_message(Rbac__V1__ClusterRole__SCHEMA);
    assert_null(validate_name_of(roles, "system:node", false));
    const struct resource *pods = resource_of_message(Core__V1__Pod__SCHEMA);
    assert_null(validate_name_of(pods, "web-", true));
    assert_non_null(validate_name_of(pods, "web-", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creates),     cmocka_unit_test(test_updates),
        cmocka_unit_test(test_status),      cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_pull_policy), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
