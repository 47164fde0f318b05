/* Admission's pure parts: Pod Security Standards against the published tables, limit ranges, the
 * references of pods, labels of nodes, plugins by name. */
#include "api/codec.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admission/limits.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/auth/node_identity.h"
#include "apiserver/pod_refs.h"
#include "base/arena_text.h"
#include "base/mem.h"
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

/* ---- Pod Security ---- */

/* A pod's spec with one container "a"; %s is more of the spec, %s more of the container. */
static Core__V1__Pod *pod_of(const char *meta, const char *spec, const char *container)
{
    return decode(
        Core__V1__Pod__SCHEMA,
        arena_printf(&arena,
                     "{\"metadata\":{%s},\"spec\":{%s%s\"containers\":[{\"name\":\"a\"%s%s}]}}",
                     meta, spec, *spec ? "," : "", *container ? "," : "", container));
}

static const char *judge(enum pod_security_level level, int minor, const Core__V1__Pod *pod)
{
    struct pod_security_policy policy = {.level = level, .latest = minor < 0, .minor = minor};
    struct pod_security_violation v[POD_SECURITY_CHECKS_MAX];
    size_t n = pod_security_evaluate(&arena, &policy, pod->metadata, pod->spec, v);
    return pod_security_details(&arena, v, n);
}

#define CAPS "\"securityContext\":{\"capabilities\":"

static void baseline_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *meta, *spec, *container, *answer;
        int minor;
    } rows[] = {
        {"", "", "", "", -1},
        {"", "\"hostNetwork\":true,\"hostIPC\":true", "",
         "host namespaces (hostNetwork=true, hostIPC=true)", -1},
        {"", "", CAPS "{\"add\":[\"NET_RAW\",\"CHOWN\",\"BPF\"]}}",
         "non-default capabilities (container \"a\" must not include \"BPF\", \"NET_RAW\" in "
         "securityContext.capabilities.add)",
         -1},
        {"",
         "\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/"
         "\"}},{\"name\":\"w\",\"emptyDir\":{}}]",
         "", "hostPath volumes (volume \"v\")", -1},
        {"", "",
         "\"ports\":[{\"containerPort\":1,\"hostPort\":90},{\"containerPort\":2,\"hostPort\":8}]",
         "hostPort (container \"a\" uses hostPorts 8, 90)", -1},
        {"", "", "\"securityContext\":{\"privileged\":true}",
         "privileged (container \"a\" must not set securityContext.privileged=true)", -1},
        {"", "", "\"securityContext\":{\"procMount\":\"Unmasked\"}",
         "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")", -1},
        {"", "\"hostUsers\":false", "\"securityContext\":{\"procMount\":\"Unmasked\"}", "", -1},
        {"", "\"hostUsers\":false", "\"securityContext\":{\"procMount\":\"Unmasked\"}",
         "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")", 34},
        {"", "\"securityContext\":{\"seLinuxOptions\":{\"type\":\"spc_t\",\"user\":\"u\"}}", "",
         "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user "
         "may "
         "not be set)",
         -1},
        {"", "\"securityContext\":{\"seLinuxOptions\":{\"type\":\"container_engine_t\"}}", "", "",
         31},
        {"", "\"securityContext\":{\"seLinuxOptions\":{\"type\":\"container_engine_t\"}}", "",
         "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "
         "\"container_engine_t\")",
         30},
        {"", "\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}}",
         "\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}}",
         "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type "
         "to "
         "\"Unconfined\")",
         -1},
        {"\"annotations\":{\"seccomp.security.alpha.kubernetes.io/pod\":\"unconfined\"}", "", "",
         "seccompProfile (forbidden annotation "
         "seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
         18},
        {"\"annotations\":{\"seccomp.security.alpha.kubernetes.io/pod\":\"unconfined\"}", "", "",
         "", 19},
        {"\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/a\":\"unconfined\"}",
         "", "",
         "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
         "\"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
         -1},
        {"\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/a\":\"a\\\"\\n\"}", "",
         "",
         "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
         "\"container.apparmor.security.beta.kubernetes.io/a=\"a\\\"\\n\"\")",
         -1},
        {"\"annotations\":{\"container.seccomp.security.alpha.kubernetes.io/a\":\"x\","
         "\"container.seccomp.security.alpha.kubernetes.io/b\":\"x\"}",
         "", "",
         "seccompProfile (forbidden annotation "
         "container.seccomp.security.alpha.kubernetes.io/a=\"x\")",
         18},
        {"", "\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}", "",
         "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
         -1},
        {"",
         "\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.msgmax\",\"value\":\"1\"},{\"name\":"
         "\"net.ipv4.tcp_rmem\",\"value\":\"1\"}]}",
         "", "forbidden sysctls (kernel.msgmax)", 32},
        {"", "\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\",\"value\":\"1\"}]}",
         "", "forbidden sysctls (net.ipv4.tcp_rmem)", 31},
        {"", "\"securityContext\":{\"windowsOptions\":{\"hostProcess\":true}}", "",
         "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)", -1},
        {"", "", "\"livenessProbe\":{\"httpGet\":{\"port\":80,\"host\":\"1.2.3.4\"}}",
         "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"1.2.3.4\")", 34},
        {"", "", "\"livenessProbe\":{\"httpGet\":{\"port\":80,\"host\":\"1.2.3.4\"}}", "", 33},
        /* What only restricted asks for. */
        {"", "", "\"securityContext\":{\"runAsUser\":0,\"allowPrivilegeEscalation\":true}", "", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Core__V1__Pod *pod = pod_of(rows[i].meta, rows[i].spec, rows[i].container);
        assert_string_equal(judge(POD_SECURITY_BASELINE, rows[i].minor, pod), rows[i].answer);
        assert_string_equal(judge(POD_SECURITY_PRIVILEGED, rows[i].minor, pod), "");
    }
}

#define GOOD_POD \
    "\"securityContext\":{\"runAsNonRoot\":true,\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"
#define GOOD_CAPS "\"capabilities\":{\"drop\":[\"ALL\"]}"
#define GOOD_CONTAINER "\"securityContext\":{\"allowPrivilegeEscalation\":false," GOOD_CAPS "}"

static void restricted_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *container, *answer;
        int minor;
    } rows[] = {
        {GOOD_POD, GOOD_CONTAINER, "", -1},
        {GOOD_POD, GOOD_CONTAINER, "", 0},
        {GOOD_POD, "\"securityContext\":{" GOOD_CAPS "}",
         "allowPrivilegeEscalation != false (container \"a\" must set "
         "securityContext.allowPrivilegeEscalation=false)",
         -1},
        {GOOD_POD, "\"securityContext\":{" GOOD_CAPS "}", "", 7},
        {GOOD_POD, "\"securityContext\":{\"allowPrivilegeEscalation\":false}",
         "unrestricted capabilities (container \"a\" must set "
         "securityContext.capabilities.drop=[\"ALL\"])",
         22},
        {GOOD_POD, "\"securityContext\":{\"allowPrivilegeEscalation\":false}", "", 21},
        {GOOD_POD,
         "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":["
         "\"ALL\"],"
         "\"add\":[\"NET_BIND_SERVICE\",\"CHOWN\"]}}",
         "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in "
         "securityContext.capabilities.add)",
         -1},
        {GOOD_POD
         ",\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}},{\"name\":\"n\",\"nfs\":{"
         "\"server\":\"s\",\"path\":\"/\"}},{\"name\":\"c\",\"configMap\":{\"name\":\"x\"}}]",
         GOOD_CONTAINER,
         "restricted volume types (volumes \"v\", \"n\" use restricted volume types \"hostPath\", "
         "\"nfs\")",
         -1},
        {"\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\"}}", GOOD_CONTAINER,
         "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
         -1},
        {"\"hostUsers\":false,\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\"}}",
         GOOD_CONTAINER, "", -1},
        {GOOD_POD,
         "\"securityContext\":{\"runAsNonRoot\":false,\"allowPrivilegeEscalation\":false," GOOD_CAPS
         "}",
         "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
         -1},
        {GOOD_POD,
         "\"securityContext\":{\"runAsUser\":0,\"allowPrivilegeEscalation\":false," GOOD_CAPS "}",
         "runAsUser=0 (container \"a\" must not set runAsUser=0)", 23},
        {GOOD_POD,
         "\"securityContext\":{\"runAsUser\":0,\"allowPrivilegeEscalation\":false," GOOD_CAPS "}",
         "", 22},
        {"\"securityContext\":{\"runAsNonRoot\":true}", GOOD_CONTAINER,
         "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to "
         "\"RuntimeDefault\" or \"Localhost\")",
         -1},
        {"\"securityContext\":{\"runAsNonRoot\":true}", GOOD_CONTAINER, "", 18},
        {"\"os\":{\"name\":\"windows\"},\"securityContext\":{\"runAsNonRoot\":true}", "", "", 25},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(judge(POD_SECURITY_RESTRICTED, rows[i].minor,
                                  pod_of("", rows[i].spec, rows[i].container)),
                            rows[i].answer);
}

static void containers_of_all_kinds_count(void **state)
{
    (void)state;
    const Core__V1__Pod *pod =
        decode(Core__V1__Pod__SCHEMA, "{\"spec\":{\"initContainers\":[{\"name\":\"i\","
                                      "\"securityContext\":{\"privileged\":true}}],"
                                      "\"containers\":[{\"name\":\"c\"}],\"ephemeralContainers\":[{"
                                      "\"name\":\"e\",\"securityContext\":{"
                                      "\"privileged\":true}}]}}");
    assert_string_equal(judge(POD_SECURITY_BASELINE, -1, pod),
                        "privileged (containers \"i\", \"e\" must not set "
                        "securityContext.privileged=true)");
}

#define PSA "pod-security.kubernetes.io/"

/* As many as a request's body has room for: the answer takes memory and time in proportion to them. */
static void many_containers_cost_as_many_times_one(void **state)
{
    (void)state;
    enum { MANY = 50000 };
    struct arena_text json = {.a = &arena};
    arena_text_add(&json, "{\"metadata\":{},\"spec\":{\"containers\":[");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&json,
                        "%s{\"name\":\"c%d\"," CAPS
                        "{\"add\":[\"X%d\"]}},\"ports\":[{\"hostPort\":%d}]}",
                        i ? "," : "", i, i, i + 1);
    arena_text_add(&json, "]}}");
    Core__V1__Pod *pod = decode(Core__V1__Pod__SCHEMA, arena_text_of(&json));
    size_t before = arena.used;
    clock_t start = clock();
    const char *said = judge(POD_SECURITY_RESTRICTED, -1, pod);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    assert_true(arena.used - before < 256u << 20);
    assert_non_null(strstr(said, "\"c49999\" must not include \"X0\", \"X1\", \"X10\", "));
}

static Core__V1__PodSpec *many_ephemeral(int n, bool backwards, const char *image)
{
    struct arena_text json = {.a = &arena};
    arena_text_add(&json, "{\"spec\":{\"containers\":[],\"ephemeralContainers\":[");
    for (int i = 0; i < n; i++)
        arena_text_addf(&json, "%s{\"name\":\"e%d\",\"image\":\"%s\"}", i ? "," : "",
                        backwards ? n - 1 - i : i, image);
    arena_text_add(&json, "]}}");
    return ((Core__V1__Pod *)decode(Core__V1__Pod__SCHEMA, arena_text_of(&json)))->spec;
}

static void updates_that_matter(void **state)
{
    enum { MANY = 40000 };
    const Core__V1__PodSpec *was = many_ephemeral(MANY, false, "i");
    (void)state;
    clock_t start = clock();
    assert_false(pod_security_update_matters(many_ephemeral(MANY, true, "i"), was));
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    assert_true(pod_security_update_matters(was, many_ephemeral(MANY - 1, false, "i")));
    assert_true(pod_security_update_matters(many_ephemeral(1, false, "j"), was));
    assert_true(pod_security_update_matters(pod_of("", "", "\"image\":\"i\"")->spec,
                                            pod_of("", "", "\"image\":\"j\"")->spec));
}

/* Annotations and containers in proportion to both, not to their product. */
static void many_annotations_cost_as_many_times_one(void **state)
{
    enum { MANY = 20000 };
    struct arena_text json = {.a = &arena};
    (void)state;
    arena_text_add(&json, "{\"metadata\":{\"annotations\":{");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&json, "%s\"a%d\":\"\"", i ? "," : "", i);
    arena_text_add(&json, "}},\"spec\":{\"containers\":[");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&json, "%s{\"name\":\"c%d\"}", i ? "," : "", i);
    arena_text_add(&json, "]}}");
    Core__V1__Pod *pod = decode(Core__V1__Pod__SCHEMA, arena_text_of(&json));
    clock_t start = clock();
    assert_string_equal(judge(POD_SECURITY_BASELINE, 18, pod), "");
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
}

static void labels_name_policies(void **state)
{
    (void)state;
    static const struct {
        const char *labels, *enforce, *warn;
        size_t errors;
    } rows[] = {
        {"", "privileged:latest", "privileged:latest", 0},
        {"\"" PSA "enforce\":\"baseline\"", "baseline:latest", "baseline:latest", 0},
        {"\"" PSA "enforce\":\"restricted\",\"" PSA "enforce-version\":\"v1.24\"",
         "restricted:v1.24", "restricted:v1.24", 0},
        {"\"" PSA "enforce\":\"baseline\",\"" PSA "warn\":\"privileged\"", "baseline:latest",
         "privileged:latest", 0},
        {"\"" PSA "enforce\":\"x\",\"" PSA "warn\":\"y\",\"" PSA "audit-version\":\"v1.01\"",
         "restricted:latest", "privileged:latest", 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pod_security_labels l;
        Core__V1__Namespace *ns =
            decode(Core__V1__Namespace__SCHEMA,
                   arena_printf(&arena, "{\"metadata\":{\"labels\":{%s}}}", rows[i].labels));
        pod_security_labels_of(ns->metadata, NULL, &l);
        assert_string_equal(pod_security_policy_text(&arena, &l.enforce), rows[i].enforce);
        assert_string_equal(pod_security_policy_text(&arena, &l.warn), rows[i].warn);
        assert_int_equal(l.errors_len, rows[i].errors);
    }
}

/* ---- limit ranges ---- */

static void limits_are_given(void **state)
{
    (void)state;
    Core__V1__LimitRange *range =
        decode(Core__V1__LimitRange__SCHEMA, "{\"spec\":{\"limits\":[{\"type\":\"Container\","
                                             "\"default\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},"
                                             "\"defaultRequest\":{\"memory\":\"64Mi\"}}]}}");
    Core__V1__Pod *pod = decode(
        Core__V1__Pod__SCHEMA, "{\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{"
                               "\"name\":\"c\",\"resources\":{"
                               "\"limits\":{\"cpu\":\"2\"},\"requests\":{\"memory\":\"1Mi\"}}}]}}");
    size_t room = 1000;
    assert_true(limits_default(&arena, range, pod, &room));
    const Core__V1__ResourceRequirements *c = pod->spec->containers[0]->resources;
    assert_string_equal(quantity_map_get(c->limits, c->n_limits, "cpu"), "2");
    assert_string_equal(quantity_map_get(c->limits, c->n_limits, "memory"), "1Gi");
    assert_string_equal(quantity_map_get(c->requests, c->n_requests, "memory"), "1Mi");
    assert_string_equal(annotations_get(pod->metadata, "kubernetes.io/limit-ranger"),
                        "LimitRanger plugin set: memory limit for container c; memory request for "
                        "init container i; cpu, memory limit for init container i");
}

static void limits_are_checked(void **state)
{
    (void)state;
#define CPU(request, limit) "\"resources\":{\"requests\":{" request "},\"limits\":{" limit "}}"
    static const struct {
        const char *item, *container, *answer; /* answer NULL: within */
    } rows[] = {
        {"\"type\":\"Container\",\"min\":{\"cpu\":\"100m\"}", CPU("\"cpu\":\"0.1\"", ""), NULL},
        {"\"type\":\"Container\",\"min\":{\"cpu\":\"100m\"}", "\"image\":\"x\"",
         "minimum cpu usage per Container is 100m.  No request is specified"},
        {"\"type\":\"Container\",\"min\":{\"cpu\":\"100m\"}", CPU("\"cpu\":\"50m\"", ""),
         "minimum cpu usage per Container is 100m, but request is 50m"},
        {"\"type\":\"Container\",\"max\":{\"cpu\":\"1\"}", CPU("\"cpu\":\"50m\"", ""),
         "maximum cpu usage per Container is 1.  No limit is specified"},
        {"\"type\":\"Container\",\"max\":{\"cpu\":\"1\"}", CPU("", "\"cpu\":\"1001m\""),
         "maximum cpu usage per Container is 1, but limit is 1001m"},
        {"\"type\":\"Container\",\"max\":{\"memory\":\"1Gi\"}",
         CPU("\"memory\":\"1024Mi\"", "\"memory\":\"1Gi\""), NULL},
        {"\"type\":\"Container\",\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         CPU("\"cpu\":\"1\"", "\"cpu\":\"2\""), NULL},
        {"\"type\":\"Container\",\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         CPU("\"cpu\":\"1\"", "\"cpu\":\"3\""),
         "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"},
        {"\"type\":\"Container\",\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         CPU("\"cpu\":\"1\"", ""),
         "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is "
         "0"},
        {"\"type\":\"Pod\",\"max\":{\"cpu\":\"1\"}", CPU("", "\"cpu\":\"2\""),
         "maximum cpu usage per Pod is 1, but limit is 2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Core__V1__LimitRange *range =
            decode(Core__V1__LimitRange__SCHEMA,
                   arena_printf(&arena, "{\"spec\":{\"limits\":[{%s}]}}", rows[i].item));
        const char *got = limits_check(&arena, range, pod_of("", "", rows[i].container));
        if (rows[i].answer)
            assert_string_equal(got ? got : "(allowed)", rows[i].answer);
        else
            assert_null(got);
    }
}

/* ---- pods' references, nodes' labels, names of plugins ---- */

/* Bounds times containers, each as many as a request has room for: neither is written down for all of the other. */
static void many_limits_are_looked_up(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct arena_text range = {.a = &arena}, pod = {.a = &arena};
    static const char *const lists[] = {"default", "max"};
    for (int l = 0; l < 2; l++) {
        arena_text_addf(&range, "%s\"%s\":{",
                        l ? "," : "{\"spec\":{\"limits\":[{\"type\":\"Container\",", lists[l]);
        for (int i = 0; i < MANY; i++)
            arena_text_addf(&range, "%s\"a.b/r%d\":\"1\"", i ? "," : "", i);
        arena_text_add(&range, "}");
    }
    arena_text_add(&range, "}]}}");
    arena_text_add(&pod, "{\"metadata\":{},\"spec\":{\"containers\":[");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&pod, "%s{\"name\":\"c%d\"}", i ? "," : "", i);
    arena_text_add(&pod, "]}}");
    const Core__V1__LimitRange *r = decode(Core__V1__LimitRange__SCHEMA, arena_text_of(&range));
    Core__V1__Pod *p = decode(Core__V1__Pod__SCHEMA, arena_text_of(&pod));
    size_t before = arena.used, room = 3u << 20;
    clock_t start = clock();
    assert_non_null(limits_check(&arena, r, p));
    assert_false(limits_default(&arena, r, p, &room));
    assert_true(clock() - start < 3 * CLOCKS_PER_SEC);
    assert_true(arena.used - before < 128u << 20);
}

static void pods_refer(void **state)
{
    (void)state;
    const Core__V1__Pod *pod = decode(
        Core__V1__Pod__SCHEMA,
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"acc\","
        "\"imagePullSecrets\":[{\"name\":"
        "\"pull\"}],\"volumes\":[{\"name\":\"s\",\"secret\":{\"secretName\":\"vol\"}},{\"name\":"
        "\"j\","
        "\"projected\":{\"sources\":[{\"secret\":{\"name\":\"proj\"}},{\"configMap\":{\"name\":"
        "\"cm\"}}]}},"
        "{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"pvc\"}},{\"name\":\"e\","
        "\"ephemeral\":{}},"
        "{\"name\":\"x\",\"csi\":{\"driver\":\"d\",\"nodePublishSecretRef\":{\"name\":\"csi\"}}}],"
        "\"initContainers\":[{\"name\":\"i\",\"envFrom\":[{\"secretRef\":{\"name\":\"from\"}}]}],"
        "\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":\"A\",\"valueFrom\":{"
        "\"configMapKeyRef\":{\"name\":"
        "\"key\",\"key\":\"k\"}}}]}],\"ephemeralContainers\":[{\"name\":\"z\",\"envFrom\":[{"
        "\"secretRef\":{"
        "\"name\":\"debug\"}}]}]}}");
    static const struct {
        enum pod_ref kind;
        const char *name;
        bool refers;
    } rows[] = {
        {POD_REF_SECRET, "pull", true},    {POD_REF_SECRET, "vol", true},
        {POD_REF_SECRET, "proj", true},    {POD_REF_SECRET, "csi", true},
        {POD_REF_SECRET, "from", true},    {POD_REF_SECRET, "debug", true},
        {POD_REF_SECRET, "cm", false},     {POD_REF_CONFIG_MAP, "cm", true},
        {POD_REF_CONFIG_MAP, "key", true}, {POD_REF_CONFIG_MAP, "vol", false},
        {POD_REF_CLAIM, "pvc", true},      {POD_REF_CLAIM, "p-e", true},
        {POD_REF_CLAIM, "e", false},       {POD_REF_SERVICE_ACCOUNT, "acc", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(pod_refers(pod, rows[i].kind, rows[i].name), rows[i].refers);
    assert_false(pod_refers_any(pod_of("", "", ""), POD_REF_SECRET));
}

static void nodes_set_their_own_labels(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool may;
    } rows[] = {
        {"anything", true},
        {"example.com/x", true},
        {"kubernetes.io/hostname", true},
        {"kubernetes.io/other", false},
        {"topology.kubernetes.io/zone", true},
        {"topology.kubernetes.io/rack", false},
        {"node.kubernetes.io/x", true},
        {"a.node.kubernetes.io/x", true},
        {"kubelet.kubernetes.io/x", true},
        {"xkubelet.kubernetes.io/x", false},
        {"node-restriction.kubernetes.io/x", false},
        {"a.node-restriction.kubernetes.io/x", false},
        {"a.k8s.io/x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(node_may_set_label(rows[i].key), rows[i].may);
}

/* An object of a node has room for that many labels, none of which is compared with all others. */
static void many_labels_are_looked_up(void **state)
{
    (void)state;
    enum { MANY = 60000 };
    struct arena_text json = {.a = &arena};
    arena_text_add(&json, "{\"metadata\":{\"labels\":{");
    for (int i = 0; i < MANY; i++)
        arena_text_addf(&json, "%s\"k%d\":\"\"", i ? "," : "", i);
    arena_text_add(&json, ",\"a.k8s.io/b\":\"c\"}}}");
    Core__V1__Node *node = decode(Core__V1__Node__SCHEMA, arena_text_of(&json));
    Core__V1__Node *old = object_clone(&arena, node);
    old->metadata->n_labels--;
    clock_t start = clock();
    const char *one = node->metadata->labels[MANY]->key;
    const char *bad = node_may_set_label(one) ? "" : one;
    assert_string_equal(node_forbidden_labels(&arena, node->metadata, old->metadata), bad);
    assert_string_equal(node_forbidden_labels(&arena, old->metadata, node->metadata), bad);
    assert_string_equal(node_forbidden_labels(&arena, node->metadata, NULL), "a.k8s.io/b");
    assert_string_equal(node_forbidden_labels(&arena, node->metadata, node->metadata), "");
    assert_true(clock() - start < 3 * CLOCKS_PER_SEC);
}

static void plugins_are_switched(void **state)
{
    (void)state;
    uint64_t off = admission_default_off();
    assert_true(admission_is_on(off, "NamespaceLifecycle"));
    assert_false(admission_is_on(off, "OwnerReferencesPermissionEnforcement"));
    assert_true(admission_switch(&off, "OwnerReferencesPermissionEnforcement", true));
    assert_true(admission_is_on(off, "OwnerReferencesPermissionEnforcement"));
    assert_true(admission_switch(&off, "PodSecurity", false));
    assert_false(admission_is_on(off, "PodSecurity"));
    assert_false(admission_switch(&off, "NoSuchPlugin", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(baseline_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(restricted_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(containers_of_all_kinds_count, setup, teardown),
        cmocka_unit_test_setup_teardown(many_containers_cost_as_many_times_one, setup, teardown),
        cmocka_unit_test_setup_teardown(updates_that_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(many_annotations_cost_as_many_times_one, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_name_policies, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_given, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(many_limits_are_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(pods_refer, setup, teardown),
        cmocka_unit_test_setup_teardown(nodes_set_their_own_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(many_labels_are_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(plugins_are_switched, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
