/*
 * What a pod's spec means (environment, resources, DNS), what is to be done for it, and what its status
 * says: the agent's pure half, over pods written as JSON.
 */
#include "api/codec.h"
#include "api/meta.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/mem.h"
#include "node/cgroup.h"
#include "node/container_config.h"
#include "node/images.h"
#include "node/pod_plan.h"
#include "node/pod_spec.h"
#include "node/pod_status.h"
#include "node/proxy/proxy.h"
#include "proto/discovery_v1.pb-c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <cmocka.h>

static struct arena arena;

static void *decode(int schema, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void *decode(int schema, const char *format, ...)
{
    struct error err = {0};
    va_list args;
    void *out;
    char *json;

    va_start(args, format);
    json = arena_vprintf(&arena, format, args);
    va_end(args);
    for (char *s = json; *s; s++) /* so that tests read well */
        *s = *s == '`' ? '"' : *s;
    if (json_decode(&arena, schema_get(schema), str_from(json), NULL, &out, &err) < 0)
        fail_msg("%s in %s", err.message, json);
    return out;
}

#define META "`metadata`:{`name`:`web`,`namespace`:`default`,`uid`:`u1`}"
static Core__V1__Pod *pod_of(const char *spec, const char *status)
{
    return decode(Core__V1__Pod__SCHEMA, "{" META ",`spec`:{%s},`status`:{%s}}", spec, status);
}

/* ----------------------------------------------------------------------------------- spec --- */

static int fake_configmap(void *ctx, const char *ns, const char *name, struct arena *a,
                          const Core__V1__ConfigMap **out, struct error *err)
{
    (void)ctx;
    (void)ns;
    (void)a;
    if (strcmp(name, "cm") != 0)
        return error_set(err, ERR_NOT_FOUND, "configmaps \"%s\" not found", name);
    *out = decode(Core__V1__ConfigMap__SCHEMA, "{`data`:{`K`:`v`,`bad=name`:`x`,`other`:`o`}}");
    return 0;
}

static int fake_secret(void *ctx, const char *ns, const char *name, struct arena *a,
                       const Core__V1__Secret **out, struct error *err)
{
    (void)ctx;
    (void)ns;
    (void)a;
    if (strcmp(name, "sec") != 0)
        return error_set(err, ERR_NOT_FOUND, "secrets \"%s\" not found", name);
    *out = decode(Core__V1__Secret__SCHEMA, "{`data`:{`token`:`czNjcmV0`}}");
    return 0;
}

static struct pod_context context_of(const Core__V1__Pod *pod)
{
    return (struct pod_context){.pod = pod,
                                .pod_ip = "10.244.1.2",
                                .host_ip = "10.88.0.101",
                                .node_name = "node1",
                                .node_cpu_milli = 2000,
                                .node_memory = 4ll << 30,
                                .configmap = fake_configmap,
                                .secret = fake_secret};
}

/* The environment of the first container as "A=1 B=2 ". */
static const char *env_text(const struct pod_context *x, struct error *err)
{
    const char *text = "";
    struct env env;

    if (pod_env(x, x->pod->spec->containers[0], &arena, &env, err) < 0)
        return NULL;
    for (size_t i = 0; i < env.len; i++)
        text = arena_printf(&arena, "%s%s=%s ", text, env.items[i].name, env.items[i].value);
    return text;
}

static const char *env_of_spec(const char *container_members, struct error *err)
{
    Core__V1__Pod *pod =
        pod_of(arena_printf(&arena, "`serviceAccountName`:`sa`,`containers`:[{`name`:`c`,%s}]",
                            container_members),
               "");
    struct pod_context x = context_of(pod);

    labels_set(&arena, pod->metadata, "app", "web");
    return env_text(&x, err);
}

static void references_in_text_are_expanded(void **state)
{
    struct env env = {.a = &arena};
    static const char *const cases[][2] = {
        {"$(A)", "1"},     {"x$(A)y$(A)", "x1y1"}, {"$$(A)", "$(A)"}, {"$(NONE)", "$(NONE)"},
        {"$A", "$A"},      {"$(A", "$(A"},         {"$", "$"},        {"$$", "$"},
        {"$$$(A)", "$1"},  {"[$(EMPTY)]", "[]"},   {"$()", "$()"},    {"", ""},
        {"$(A)$(", "1$("},
    };

    (void)state;
    env_set(&env, "A", "0");
    env_set(&env, "EMPTY", "");
    env_set(&env, "A", "1");
    assert_int_equal(env.len, 2);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(pod_expand(&env, cases[i][0]), cases[i][1]);
}

/* Half a megabyte of references that are not closed: each looked for its end through all the rest. */
static void references_without_an_end_take_no_time(void **state)
{
    enum { N = 200000 };
    struct env env = {.a = &arena};
    char *text = arena_alloc(&arena, 2 * N + 1);
    uint64_t began;

    (void)state;
    for (size_t i = 0; i < 2 * N; i += 2)
        memcpy(text + i, "$(", 2);
    text[2 * N] = 0;
    began = clock_mono_ns();
    assert_string_equal(pod_expand(&env, text), text);
    assert_true(clock_mono_ns() - began < 1000 * NS_PER_MS);
}

static void text_of_programs_is_made_readable(void **state)
{
    static const char *const cases[][2] = {
        {"as it is \xc3\xa9\xe2\x82\xac", "as it is \xc3\xa9\xe2\x82\xac"},
        {"a\xff\xfe", "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(arena_readable(&arena, str_from(cases[i][0])), cases[i][1]);
}

static void environment_comes_from_everywhere(void **state)
{
    struct error err = {0};

    (void)state;
    assert_string_equal(env_of_spec("`env`:[{`name`:`A`,`value`:`1`},{`name`:`B`,`value`:`$(A)2`},"
                                    "{`name`:`A`,`value`:`3`}]",
                                    &err),
                        "A=3 B=12 ");
    assert_string_equal(
        env_of_spec(
            "`env`:[{`name`:`N`,`valueFrom`:{`fieldRef`:{`fieldPath`:`metadata.name`}}},"
            "{`name`:`L`,`valueFrom`:{`fieldRef`:{`fieldPath`:`metadata.labels['app']`}}},"
            "{`name`:`I`,`valueFrom`:{`fieldRef`:{`fieldPath`:`status.podIP`}}},"
            "{`name`:`H`,`valueFrom`:{`fieldRef`:{`fieldPath`:`status.hostIP`}}},"
            "{`name`:`S`,`valueFrom`:{`fieldRef`:{`fieldPath`:`spec.serviceAccountName`}}}]",
            &err),
        "N=web L=web I=10.244.1.2 H=10.88.0.101 S=sa ");
    assert_string_equal(
        env_of_spec("`env`:[{`name`:`K`,`valueFrom`:{`configMapKeyRef`:{`name`:`cm`,`key`:`K`}}},"
                    "{`name`:`T`,`valueFrom`:{`secretKeyRef`:{`name`:`sec`,`key`:`token`}}},"
                    "{`name`:`O`,`valueFrom`:{`secretKeyRef`:{`name`:`none`,`key`:`x`,"
                    "`optional`:true}}}]",
                    &err),
        "K=v T=s3cret ");
    assert_string_equal(env_of_spec("`envFrom`:[{`prefix`:`P_`,`configMapRef`:{`name`:`cm`}},"
                                    "{`secretRef`:{`name`:`none`,`optional`:true}}],"
                                    "`env`:[{`name`:`P_K`,`value`:`mine`}]",
                                    &err),
                        "P_K=mine P_other=o ");
    assert_string_equal(
        env_of_spec(
            "`resources`:{`limits`:{`cpu`:`1500m`},`requests`:{`memory`:`64Mi`}},"
            "`env`:[{`name`:`C`,`valueFrom`:{`resourceFieldRef`:{`resource`:`limits.cpu`}}},"
            "{`name`:`M`,`valueFrom`:{`resourceFieldRef`:{`resource`:`requests.memory`,"
            "`divisor`:`1Mi`}}},"
            "{`name`:`L`,`valueFrom`:{`resourceFieldRef`:{`resource`:`limits.memory`}}}]",
            &err),
        "C=2 M=64 L=4294967296 ");
}

static void what_is_missing_is_named(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(env_of_spec("`envFrom`:[{`configMapRef`:{`name`:`none`}}]", &err));
    assert_string_equal(err.message, "configmaps \"none\" not found");
    assert_null(env_of_spec("`env`:[{`name`:`K`,`valueFrom`:{`configMapKeyRef`:{`name`:`cm`,"
                            "`key`:`zz`}}}]",
                            &err));
    assert_string_equal(err.message, "couldn't find key zz in ConfigMap default/cm");
    assert_null(
        env_of_spec("`env`:[{`name`:`K`,`valueFrom`:{`fieldRef`:{`fieldPath`:`spec.x`}}}]", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void services_are_variables(void **state)
{
    Core__V1__Pod *pod = pod_of("`containers`:[{`name`:`c`}]", "");
    const Core__V1__Service *services[] = {
        decode(Core__V1__Service__SCHEMA,
               "{`metadata`:{`name`:`kubernetes`,`namespace`:`default`},`spec`:{`clusterIP`:`10.96."
               "0.1`,"
               "`ports`:[{`name`:`https`,`port`:443,`protocol`:`TCP`}]}}"),
        decode(
            Core__V1__Service__SCHEMA,
            "{`metadata`:{`name`:`elsewhere`,`namespace`:`other`},`spec`:{`clusterIP`:`10.96.0.2`,"
            "`ports`:[{`port`:1}]}}"),
        decode(Core__V1__Service__SCHEMA,
               "{`metadata`:{`name`:`headless`,`namespace`:`default`},`spec`:{`clusterIP`:`None`,"
               "`ports`:[{`port`:1}]}}")};
    struct pod_context x = context_of(pod);
    struct error err = {0};

    (void)state;
    x.services = services;
    x.services_len = 3;
    assert_string_equal(env_text(&x, &err),
                        "KUBERNETES_SERVICE_HOST=10.96.0.1 KUBERNETES_SERVICE_PORT=443 "
                        "KUBERNETES_SERVICE_PORT_HTTPS=443 KUBERNETES_PORT=tcp://10.96.0.1:443 "
                        "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443 "
                        "KUBERNETES_PORT_443_TCP_PROTO=tcp KUBERNETES_PORT_443_TCP_PORT=443 "
                        "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1 ");
}

static void quality_of_service_and_limits(void **state)
{
    static const struct {
        const char *resources, *qos;
        int64_t shares, quota, memory, oom;
    } cases[] = {
        {"{}", "BestEffort", 2, 0, 0, 1000},
        {"{`requests`:{`cpu`:`100m`,`memory`:`1Gi`}}", "Burstable", 102, 0, 0, 750},
        {"{`limits`:{`cpu`:`500m`}}", "Burstable", 512, 50000, 0, 999},
        {"{`limits`:{`cpu`:`1`,`memory`:`64Mi`},`requests`:{`cpu`:`1`,`memory`:`64Mi`}}",
         "Guaranteed", 1024, 100000, 64 << 20, -997},
        {"{`limits`:{`cpu`:`1`,`memory`:`64Mi`}}", "Guaranteed", 1024, 100000, 64 << 20, -997},
        {"{`limits`:{`cpu`:`5m`}}", "Burstable", 5, 1000, 0, 999},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Core__V1__Pod *pod = pod_of(
            arena_printf(&arena, "`containers`:[{`name`:`c`,`resources`:%s}]", cases[i].resources),
            "");
        struct linux_limits l = container_limits(pod, pod->spec->containers[0], 4ll << 30);

        assert_string_equal(pod_qos(pod), cases[i].qos);
        assert_int_equal(l.cpu_shares, cases[i].shares);
        assert_int_equal(l.cpu_quota, cases[i].quota);
        assert_int_equal(l.memory_limit, cases[i].memory);
        assert_int_equal(l.oom_score_adj, cases[i].oom);
    }
}

static void a_pods_cpu_is_the_sum_of_its_containers(void **state)
{
    static const struct {
        const char *spec;
        int64_t shares, quota;
    } cases[] = {
        {"`containers`:[{`name`:`a`},{`name`:`b`}]", 4, 0},
        {"`containers`:[{`name`:`a`,`resources`:{`limits`:{`cpu`:`500m`}}},{`name`:`b`,`resources`:"
         "{"
         "`limits`:{`cpu`:`1`}}}]",
         1536, 150000},
        {"`containers`:[{`name`:`a`,`resources`:{`limits`:{`cpu`:`500m`}}},{`name`:`b`}]", 514, 0},
        {"`initContainers`:[{`name`:`i`,`resources`:{`requests`:{`cpu`:`2`}}}],"
         "`containers`:[{`name`:`a`,`resources`:{`requests`:{`cpu`:`1`}}}]",
         2048, 0},
        {"`initContainers`:[{`name`:`i`,`restartPolicy`:`Always`,`resources`:{`requests`:{`cpu`:`2`"
         "}}}],"
         "`containers`:[{`name`:`a`,`resources`:{`requests`:{`cpu`:`1`}}}]",
         3072, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct linux_limits l = pod_limits(pod_of(cases[i].spec, ""), 4ll << 30);
        assert_int_equal(l.cpu_shares, cases[i].shares);
        assert_int_equal(l.cpu_quota, cases[i].quota);
    }
    assert_int_equal(cgroup_weight(2), 1);
    assert_int_equal(cgroup_weight(1024), 39);
    assert_int_equal(cgroup_weight(262144), 10000);
}

static const char *dns_text(const char *spec, const char *cluster)
{
    static const char host[] =
        "# x\nnameserver 9.9.9.9\nsearch old\nsearch corp.example\noptions rotate\n";
    struct flag_list servers = {0};
    const char *text = "";
    struct pod_dns dns;

    if (cluster)
        flag_list_add(&servers, cluster);
    pod_dns(pod_of(spec, ""), &servers, "cluster.local", str_from(host), &arena, &dns);
    for (size_t i = 0; i < dns.servers_len; i++)
        text = arena_printf(&arena, "%s%s ", text, dns.servers[i]);
    text = arena_printf(&arena, "%s| ", text);
    for (size_t i = 0; i < dns.searches_len; i++)
        text = arena_printf(&arena, "%s%s ", text, dns.searches[i]);
    text = arena_printf(&arena, "%s|", text);
    for (size_t i = 0; i < dns.options_len; i++)
        text = arena_printf(&arena, "%s %s", text, dns.options[i]);
    flag_list_free(&servers);
    return text;
}

/* The runtime is told them at every start of a container. */
static void many_options_are_told_apart_by_name(void **state)
{
    enum { N = 50000 };
    struct pod_dns dns;
    struct buf json;
    struct arena a;
    clock_t began;

    (void)state;
    buf_init(&json);
    for (int i = 0; i < N; i++)
        buf_printf(&json, "%s{`name`:`option-%d`,`value`:`1`}", i ? "," : "", i % (N - 1));
    arena_init(&a);
    const Core__V1__Pod *pod = pod_of(
        arena_printf(&arena, "`dnsPolicy`:`None`,`dnsConfig`:{`options`:[%s]}", buf_cstr(&json)),
        "");
    began = clock(); /* of the processor, not of the wall */
    pod_dns(pod, &(struct flag_list){0}, "", STR_NONE, &a, &dns);
    assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
    assert_int_equal(dns.options_len, N - 1);
    assert_true(a.used < 32 << 20);
    arena_free(&a);
    buf_free(&json);
}

static void dns_follows_the_policy(void **state)
{
    (void)state;
    assert_string_equal(dns_text("`dnsPolicy`:`ClusterFirst`", "10.96.0.10"),
                        "10.96.0.10 | default.svc.cluster.local svc.cluster.local cluster.local "
                        "corp.example | ndots:5");
    assert_string_equal(dns_text("`dnsPolicy`:`ClusterFirst`", NULL),
                        "9.9.9.9 | corp.example | rotate");
    assert_string_equal(dns_text("`dnsPolicy`:`ClusterFirst`,`hostNetwork`:true", "10.96.0.10"),
                        "9.9.9.9 | corp.example | rotate");
    assert_string_equal(dns_text("`dnsPolicy`:`Default`", "10.96.0.10"),
                        "9.9.9.9 | corp.example | rotate");
    assert_string_equal(
        dns_text("`dnsPolicy`:`None`,`dnsConfig`:{`nameservers`:[`1.1.1.1`],`searches`:[`a.b`],"
                 "`options`:[{`name`:`ndots`,`value`:`2`}]}",
                 "10.96.0.10"),
        "1.1.1.1 | a.b | ndots:2");
    assert_string_equal(
        dns_text("`dnsConfig`:{`options`:[{`name`:`ndots`,`value`:`2`}]}", "10.96.0.10"),
        "10.96.0.10 | default.svc.cluster.local svc.cluster.local cluster.local corp.example | "
        "ndots:2");
}

static void credentials_go_by_registry(void **state)
{
    static const char text[] =
        "{\"auths\":{\"https://registry.example:5000/v2/\":{\"username\":\"u\",\"password\":\"p\"},"
        "\"docker.io\":{\"auth\":\"abc\"}}}";
    struct str config = str_from(text);
    struct cri_auth auth;

    (void)state;
    assert_true(image_credentials(config, "registry.example:5000/a/b:1", &arena, &auth));
    assert_string_equal(auth.username, "u");
    assert_string_equal(auth.password, "p");
    assert_true(image_credentials(config, "busybox", &arena, &auth));
    assert_string_equal(auth.auth, "abc");
    assert_true(image_credentials(config, "library/busybox:1", &arena, &auth));
    assert_false(image_credentials(config, "other.example/x", &arena, &auth));
    assert_false(image_credentials(STR("not json"), "busybox", &arena, &auth));
    assert_false(image_credentials(STR("{\"auths\":3}"), "busybox", &arena, &auth));
}

/* ----------------------------------------------------------------------------------- plan --- */

/* Probe results by container id. */
static const char *not_started = "", *not_ready = "", *not_live = "";

static bool view_started(void *ctx, const char *uid, const char *id)
{
    (void)ctx;
    (void)uid;
    return strcmp(id, not_started) != 0;
}

static bool view_ready(void *ctx, const char *uid, const char *id)
{
    (void)ctx;
    (void)uid;
    return strcmp(id, not_ready) != 0;
}

static bool view_live(void *ctx, const char *uid, const char *id)
{
    (void)ctx;
    (void)uid;
    return strcmp(id, not_live) != 0;
}

static const struct probe_view probes = {view_started, view_ready, view_live, NULL};

static struct run_sandbox one_sandbox = {.id = "s", .ready = true, .ip = "10.244.1.2"};

/* "a:running b:exited1 c:created", newest first; a container of an earlier sandbox: "a@old:exited0". */
static struct run_pod run_of(const char *text)
{
    struct run_pod run = {
        .ns = "default", .name = "web", .uid = "u1", .sandboxes = &one_sandbox, .sandboxes_len = 1};
    struct str rest = str_from(text), word, name, sandbox;

    while (str_split(&rest, ' ', &word)) {
        struct run_container r = {.sandbox_id = "s",
                                  .hash = "",
                                  .reason = "",
                                  .message = "",
                                  .image = "",
                                  .image_ref = "sha256:1",
                                  .message_path = "",
                                  .message_policy = "File",
                                  .started_ns = 1000000000,
                                  .finished_ns = 2000000000};
        if (!word.n)
            continue;
        str_split(&word, ':', &sandbox);
        str_split(&sandbox, '@', &name);
        r.name = arena_strndup(&arena, name.p, name.n);
        if (sandbox.p)
            r.sandbox_id = arena_strndup(&arena, sandbox.p, sandbox.n);
        r.id = arena_printf(&arena, "id-%s-%zu", r.name, run.containers_len);
        r.state = str_has_prefix(word, STR("exited"))    ? RUN_EXITED
                  : str_has_prefix(word, STR("running")) ? RUN_RUNNING
                                                         : RUN_CREATED;
        if (r.state == RUN_EXITED)
            r.exit_code = atoi(arena_strndup(&arena, word.p + 6, word.n - 6));
        run.containers = arena_grow(&arena, run.containers, run.containers_len * sizeof r,
                                    (run.containers_len + 1) * sizeof r);
        run.containers[run.containers_len++] = r;
    }
    return run;
}

/* "start a b kill c sandbox finished" */
static const char *plan_text(const char *spec, const struct run_pod *run)
{
    const Core__V1__Pod *pod = pod_of(spec, "");
    struct pod_plan p;
    const char *text = "";

    pod_plan(pod, run, &probes, &arena, &p);
    if (p.stop_all)
        text = arena_printf(&arena, "%s stop-all", text);
    if (p.new_sandbox)
        text = arena_printf(&arena, "%s sandbox%u", text, p.attempt);
    for (size_t i = 0; i < p.kill_len; i++)
        text = arena_printf(&arena, "%s kill:%s", text, p.kill[i].container->name);
    for (size_t i = 0; i < p.start_len; i++)
        text = arena_printf(&arena, "%s start:%s", text, p.start[i]->name);
    if (p.finished)
        text = arena_printf(&arena, "%s finished", text);
    return *text ? text + 1 : text;
}

#define TWO "`containers`:[{`name`:`a`},{`name`:`b`}]"
#define INIT "`initContainers`:[{`name`:`i`},{`name`:`j`}],"
#define SIDECAR "`initContainers`:[{`name`:`i`},{`name`:`s`,`restartPolicy`:`Always`}],"

#define DEBUG "`ephemeralContainers`:[{`name`:`d`,`targetContainerName`:`a`}],"

static void plans(void **state)
{
    static const struct {
        const char *spec, *run, *plan;
    } cases[] = {
        {TWO ",`restartPolicy`:`Always`", "", "start:a start:b"},
        {TWO ",`restartPolicy`:`Always`", "a:running b:running", ""},
        {TWO ",`restartPolicy`:`Always`", "a:exited0 b:running", "start:a"},
        {TWO ",`restartPolicy`:`OnFailure`", "a:exited0 b:exited1", "start:b"},
        {TWO ",`restartPolicy`:`OnFailure`", "a:exited0 b:exited0", "finished"},
        {TWO ",`restartPolicy`:`Never`", "a:exited1 b:running", ""},
        {TWO ",`restartPolicy`:`Never`", "a:exited1 b:exited0", "finished"},
        {TWO ",`restartPolicy`:`Always`", "a:created b:running", "start:a"},
        /* one init container after the other */
        {INIT TWO ",`restartPolicy`:`Always`", "", "start:i"},
        {INIT TWO ",`restartPolicy`:`Always`", "i:running", ""},
        {INIT TWO ",`restartPolicy`:`Always`", "i:exited0", "start:j"},
        {INIT TWO ",`restartPolicy`:`Always`", "i:exited1", "start:i"},
        {INIT TWO ",`restartPolicy`:`Never`", "i:exited1", "stop-all"},
        {INIT TWO ",`restartPolicy`:`Always`", "i:exited0 j:exited0", "start:a start:b"},
        {INIT TWO ",`restartPolicy`:`Always`", "a:running b:exited1 i:exited0 j:exited0",
         "start:b"},
        {INIT TWO ",`restartPolicy`:`Always`", "a:running b:running",
         ""}, /* init ones were removed */
        /* sidecars stay, and go last */
        {SIDECAR TWO ",`restartPolicy`:`Never`", "i:exited0", "start:s"},
        {SIDECAR TWO ",`restartPolicy`:`Never`", "i:exited0 s:running", "start:a start:b"},
        {SIDECAR TWO ",`restartPolicy`:`Never`", "a:running b:running s:exited0 i:exited0",
         "start:s"},
        {SIDECAR TWO ",`restartPolicy`:`Never`", "a:exited0 b:exited0 s:running i:exited0",
         "kill:s"},
        {SIDECAR TWO ",`restartPolicy`:`Never`", "a:exited0 b:exited0 s:exited0 i:exited0",
         "finished"},
        /* ephemeral ones join what runs, also while init containers do; once */
        {DEBUG TWO ",`restartPolicy`:`Always`", "a:running b:running", "start:d"},
        {DEBUG INIT TWO ",`restartPolicy`:`Always`", "i:running", "start:d"},
        {DEBUG TWO ",`restartPolicy`:`Always`", "d:running a:running b:running", ""},
        {DEBUG TWO ",`restartPolicy`:`Always`", "d:exited1 a:running b:running", ""},
        {DEBUG TWO ",`restartPolicy`:`Always`", "d@old:exited1 a:running b:running", ""},
        {DEBUG TWO ",`restartPolicy`:`Never`", "d:running a:exited0 b:exited0", "finished"},
        /* the sandbox was made anew: init again, but a job that is done stays done */
        {INIT TWO ",`restartPolicy`:`Always`", "a@old:exited255 b@old:exited255 i@old:exited0",
         "start:i"},
        {TWO ",`restartPolicy`:`OnFailure`", "a@old:exited0 b@old:exited255", "start:b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run_pod run = run_of(cases[i].run);
        const char *plan = plan_text(cases[i].spec, &run);
        if (strcmp(plan, cases[i].plan) != 0)
            fail_msg("case %zu, %s with %s: %s, not %s", i, cases[i].spec, cases[i].run, plan,
                     cases[i].plan);
    }
}

static void plans_around_sandboxes_and_probes(void **state)
{
    struct run_sandbox dead = {.id = "s", .attempt = 2, .ip = ""};
    struct run_pod run = run_of("a:running b:exited0");
    struct run_pod done = run_of("a:exited0 b:exited0");

    (void)state;
    assert_string_equal(plan_text(TWO ",`restartPolicy`:`Always`", NULL), "sandbox0");
    run.sandboxes = done.sandboxes = &dead;
    assert_string_equal(plan_text(TWO ",`restartPolicy`:`Always`", &run), "stop-all sandbox3");
    assert_string_equal(plan_text(TWO ",`restartPolicy`:`Never`", &done), "finished");

    run = run_of("a:running b:running");
    not_live = "id-a-0";
    assert_string_equal(plan_text(TWO ",`restartPolicy`:`Always`", &run), "kill:a");
    not_live = "";
    run.containers[1].hash = "changed";
    assert_string_equal(plan_text(TWO ",`restartPolicy`:`Always`", &run), "kill:b");

    run = run_of("s:running i:exited0");
    not_started = "id-s-0"; /* its startup probe holds up the others */
    assert_string_equal(plan_text(SIDECAR TWO ",`restartPolicy`:`Never`", &run), "");
    not_started = "";
}

/* --------------------------------------------------------------------------------- status --- */

static Core__V1__PodStatus *status_with(const Core__V1__Pod *pod, const struct run_pod *run,
                                        const struct wait_reason *wait, bool ended)
{
    struct status_input in = {.pod = pod,
                              .run = run,
                              .probes = &probes,
                              .waits = wait,
                              .waits_len = wait != NULL,
                              .host_ip = "10.88.0.101",
                              .runtime_name = "containerd",
                              .now_s = 100,
                              .ended = ended};

    return pod_status(&in, &arena);
}

static const char *condition(const Core__V1__PodStatus *s, const char *type)
{
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (cstr_eq(s->conditions[i]->type, type))
            return s->conditions[i]->status;
    }
    return "absent";
}

static void phases(void **state)
{
    static const struct {
        const char *spec, *run, *phase, *ready;
    } cases[] = {
        {TWO ",`restartPolicy`:`Always`", "", "Pending", "False"},
        {TWO ",`restartPolicy`:`Always`", "a:running", "Pending", "False"},
        {TWO ",`restartPolicy`:`Always`", "a:running b:running", "Running", "True"},
        {TWO ",`restartPolicy`:`Always`", "a:running b:exited1", "Running", "False"},
        {TWO ",`restartPolicy`:`Always`", "a:exited1 b:exited1", "Running", "False"},
        {TWO ",`restartPolicy`:`OnFailure`", "a:exited0 b:exited1", "Running", "False"},
        {TWO ",`restartPolicy`:`Never`", "a:exited0 b:exited1", "Failed", "False"},
        {TWO ",`restartPolicy`:`Never`", "a:exited0 b:exited0", "Succeeded", "False"},
        {INIT TWO ",`restartPolicy`:`Always`", "i:running", "Pending", "False"},
        {INIT TWO ",`restartPolicy`:`Never`", "i:exited1", "Failed", "False"},
        {INIT TWO ",`restartPolicy`:`Always`", "i:exited1", "Pending", "False"},
        {INIT TWO ",`restartPolicy`:`Always`", "a:running b:running i:exited0 j:exited0", "Running",
         "True"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run_pod run = run_of(cases[i].run);
        Core__V1__PodStatus *s = status_with(pod_of(cases[i].spec, ""), &run, NULL, false);
        if (!cstr_eq(s->phase, cases[i].phase) ||
            strcmp(condition(s, "Ready"), cases[i].ready) != 0)
            fail_msg("case %zu, %s: phase %s, Ready %s", i, cases[i].run, s->phase,
                     condition(s, "Ready"));
    }
}

static void a_crash_loop_shows_waiting_and_how_it_ended(void **state)
{
    struct wait_reason wait = {"a", "CrashLoopBackOff", "back-off 10s"};
    struct run_pod run = run_of("a:exited3 a:exited2 b:running");
    Core__V1__PodStatus *s;

    (void)state;
    run.containers[0].restart_count = 1;
    s = status_with(pod_of(TWO ",`restartPolicy`:`Always`", ""), &run, &wait, false);
    assert_string_equal(s->container_statuses[0]->state->waiting->reason, "CrashLoopBackOff");
    assert_int_equal(s->container_statuses[0]->last_state->terminated->exit_code, 3);
    assert_string_equal(s->container_statuses[0]->last_state->terminated->reason, "Error");
    assert_int_equal(s->container_statuses[0]->restart_count, 1);
    assert_string_equal(s->container_statuses[0]->container_id, "containerd://id-a-0");
    assert_string_equal(s->phase, "Running");
    /* Started again: the end before is the last state. */
    run = run_of("a:running a:exited3 b:running");
    s = status_with(pod_of(TWO ",`restartPolicy`:`Always`", ""), &run, &wait, false);
    assert_non_null(s->container_statuses[0]->state->running);
    assert_int_equal(s->container_statuses[0]->last_state->terminated->exit_code, 3);
}

static void readiness_is_the_probes_and_the_gates(void **state)
{
    struct run_pod run = run_of("a:running b:running");
    const char *gate = TWO ",`restartPolicy`:`Always`,`readinessGates`:[{`conditionType`:`x/y`}]";
    Core__V1__PodStatus *s;

    (void)state;
    not_ready = "id-b-1";
    s = status_with(pod_of(TWO ",`restartPolicy`:`Always`", ""), &run, NULL, false);
    assert_string_equal(s->phase, "Running");
    assert_string_equal(condition(s, "Ready"), "False");
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (cstr_eq(s->conditions[i]->type, "Ready"))
            assert_string_equal(s->conditions[i]->message, "containers with unready status: [b]");
    }
    not_ready = "";
    s = status_with(pod_of(gate, ""), &run, NULL, false);
    assert_string_equal(condition(s, "ContainersReady"), "True");
    assert_string_equal(condition(s, "Ready"), "False");
    s = status_with(pod_of(gate, "`conditions`:[{`type`:`x/y`,`status`:`True`}]"), &run, NULL,
                    false);
    assert_string_equal(condition(s, "Ready"), "True");
    assert_string_equal(condition(s, "x/y"), "True"); /* others' conditions are kept */
    assert_string_equal(s->pod_ip, "10.244.1.2");
    assert_string_equal(s->host_ip, "10.88.0.101");
}

/* Containers keep the resources that they were made with. */
static void a_resize_waits_for_a_new_container(void **state)
{
#define SIZED(cpu_)                                                                         \
    "`containers`:[{`name`:`a`,`resources`:{`requests`:{`cpu`:`" cpu_ "`},`limits`:{`cpu`:" \
    "`2`}}}],`restartPolicy`:`Always`"
    struct run_pod run = run_of("a:running");
    Core__V1__Pod *pod = pod_of(SIZED("100m"), "");
    Core__V1__PodStatus *s = status_with(pod, &run, NULL, false), *before;
    const Core__V1__PodCondition *c = NULL;

    (void)state;
    assert_string_equal(condition(s, "PodResizePending"), "absent");
    assert_string_equal(s->container_statuses[0]->allocated_resources[0]->value->string, "100m");
    assert_string_equal(s->container_statuses[0]->resources->limits[0]->value->string, "2");
    before = s;

    pod = pod_of(SIZED("0.1"), ""); /* as much, in other words */
    pod->status = before;
    assert_string_equal(condition(status_with(pod, &run, NULL, false), "PodResizePending"),
                        "absent");

    pod = pod_of(SIZED("200m"), "");
    pod->status = before;
    s = status_with(pod, &run, NULL, false);
    assert_string_equal(condition(s, "PodResizePending"), "True");
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (strcmp(s->conditions[i]->type, "PodResizePending") == 0)
            c = s->conditions[i];
    }
    assert_string_equal(c->reason, "Infeasible");
    assert_string_equal(c->message, "container a: resizing a running container is not supported by "
                                    "this node agent");
    assert_string_equal(s->container_statuses[0]->allocated_resources[0]->value->string, "100m");
    before = s;

    run.containers[0].id = "id-a-again"; /* made anew, with what the spec says by now */
    pod = pod_of(SIZED("200m"), "");
    pod->status = before;
    s = status_with(pod, &run, NULL, false);
    assert_string_equal(condition(s, "PodResizePending"), "absent");
    assert_string_equal(s->container_statuses[0]->allocated_resources[0]->value->string, "200m");
}

static void times_stand_still_until_something_changes(void **state)
{
    struct run_pod run = run_of("a:running b:running");
    Core__V1__Pod *pod = pod_of(TWO ",`restartPolicy`:`Always`", "");
    struct status_input in = {.pod = pod,
                              .run = &run,
                              .probes = &probes,
                              .host_ip = "10.88.0.101",
                              .runtime_name = "containerd",
                              .now_s = 100};

    (void)state;
    pod->status = pod_status(&in, &arena);
    in.now_s = 200;
    assert_true(pod_status_equal(pod_status(&in, &arena), pod->status));
    not_ready = "id-a-0";
    pod->status = pod_status(&in, &arena);
    not_ready = "";
    for (size_t i = 0; i < pod->status->n_conditions; i++) {
        const Core__V1__PodCondition *c = pod->status->conditions[i];
        bool changed = cstr_eq(c->type, "Ready") || cstr_eq(c->type, "ContainersReady");
        assert_int_equal(c->last_transition_time->seconds, changed ? 200 : 100);
    }
    assert_int_equal(pod->status->start_time->seconds, 100);
}

static void an_ended_pod_says_how(void **state)
{
    struct run_pod run = run_of("a:exited0 b:exited143");
    Core__V1__Pod *pod = pod_of(TWO ",`restartPolicy`:`Always`", "`podIP`:`10.244.1.9`");
    struct run_sandbox dead = {.id = "s", .ip = ""};
    Core__V1__PodStatus *s;

    (void)state;
    run.sandboxes = &dead;
    s = status_with(pod, &run, NULL, true);
    assert_string_equal(s->phase, "Failed");
    assert_string_equal(s->pod_ip, "10.244.1.9");
    s = status_with(pod, NULL, NULL, true); /* it never ran */
    assert_string_equal(s->phase, "Failed");
    assert_string_equal(s->container_statuses[0]->state->terminated->reason,
                        "ContainerStatusUnknown");
    /* What is reported as finished stays so. */
    pod = pod_of(TWO ",`restartPolicy`:`Never`", "`phase`:`Succeeded`");
    s = status_with(pod, NULL, NULL, false);
    assert_string_equal(s->phase, "Succeeded");
}

static const char *said(void *ctx, const struct run_container *c, struct arena *a)
{
    (void)ctx;
    (void)c;
    (void)a;
    return "\x80 core dumped";
}

static void last_words_in_no_encoding_are_told_too(void **state)
{
    struct run_pod run = run_of("a:exited1 b:exited1");
    struct status_input in = {.pod = pod_of(TWO ",`restartPolicy`:`Never`", ""),
                              .run = &run,
                              .probes = &probes,
                              .host_ip = "10.88.0.101",
                              .runtime_name = "containerd",
                              .last_words = said};
    Core__V1__PodStatus *s = pod_status(&in, &arena);

    (void)state;
    assert_string_equal(s->container_statuses[0]->state->terminated->message,
                        "\xef\xbf\xbd core dumped");
}

/* ---------------------------------------------------------------------------------- proxy --- */

static struct object object_with(void *msg)
{
    return (struct object){.msg = msg};
}

static void services_and_slices_become_rules(void **state)
{
    struct object web = object_with(decode(
        Core__V1__Service__SCHEMA,
        "{" META
        ",`spec`:{`type`:`NodePort`,`clusterIP`:`10.96.0.5`,`ports`:[{`name`:`http`,`port`:80,"
        "`protocol`:`TCP`,`nodePort`:30080,`targetPort`:8080}]}}"));
    struct object headless = object_with(
        decode(Core__V1__Service__SCHEMA,
               "{`metadata`:{`name`:`h`,`namespace`:`default`},`spec`:{`clusterIP`:`None`,"
               "`ports`:[{`port`:1}]}}"));
    const char *slice =
        "{`metadata`:{`name`:`web-1`,`namespace`:`default`,`labels`:{"
        "`kubernetes.io/service-name`:`web`}},`addressType`:`IPv4`,"
        "`ports`:[{`name`:`http`,`port`:8080,`protocol`:`TCP`}],`endpoints`:["
        "{`addresses`:[`10.244.2.2`],`nodeName`:`node2`,`conditions`:{`ready`:%s}},"
        "{`addresses`:[`10.244.1.2`],`nodeName`:`node1`,`conditions`:{`ready`:false,"
        "`serving`:true,`terminating`:true}}]}";
    struct object ready = object_with(decode(Discovery__V1__EndpointSlice__SCHEMA, slice, "true"));
    struct object ending =
        object_with(decode(Discovery__V1__EndpointSlice__SCHEMA, slice, "false"));
    struct object *services[] = {&web, &headless}, *slices[] = {&ready};
    struct object_refs s = {services, 2, 2}, e = {slices, 1, 1};
    struct ruleset r;

    (void)state;
    ruleset_init(&r);
    proxy_build(&s, &e, "node1", "10.244.0.0/16", &r);
    assert_non_null(
        strstr(map_get(&r.chains, STR("svc/default/web/http")), "{ 0 : 10.244.2.2 . 8080 }"));
    assert_int_equal(r.chains.len, 2);
    assert_true(map_has(&r.elements, STR("service-ports { tcp . 30080")));
    assert_false(
        map_has(&r.elements, STR("hairpin { 10.244.2.2 . 10.244.2.2"))); /* on the other node */
    ruleset_free(&r);

    slices[0] = &ending; /* nobody is ready: who ends but still serves does */
    ruleset_init(&r);
    proxy_build(&s, &e, "node1", "10.244.0.0/16", &r);
    assert_non_null(
        strstr(map_get(&r.chains, STR("svc/default/web/http")), "{ 0 : 10.244.1.2 . 8080 }"));
    assert_true(map_has(&r.elements, STR("hairpin { 10.244.1.2 . 10.244.1.2")));
    ruleset_free(&r);

    e.len = 0;
    ruleset_init(&r);
    proxy_build(&s, &e, "node1", "10.244.0.0/16", &r);
    assert_true(map_has(&r.elements, STR("no-endpoints { 10.96.0.5 . tcp . 80")));
    ruleset_free(&r);
}

/* Every node computes them again at every change: time and memory must not follow the square of their number. */
static void many_endpoints_take_little_memory(void **state)
{
    enum { SLICES = 10, EACH = 1000 };
    struct object web = object_with(
        decode(Core__V1__Service__SCHEMA,
               "{" META ",`spec`:{`clusterIP`:`10.96.0.5`,`ports`:[{`name`:`http`,`port`:80,"
               "`protocol`:`TCP`}]}}"));
    struct object of[SLICES], *slices[SLICES + 1], *services[] = {&web};
    struct object_refs s = {services, 1, 1}, e = {slices, SLICES + 1, SLICES + 1};
    struct rusage before, after;
    struct ruleset r;

    (void)state;
    for (int i = 0; i < SLICES; i++) {
        struct buf json;

        buf_init(&json);
        for (int k = 0; k < EACH; k++)
            buf_printf(&json, "%s{`addresses`:[`10.%d.%d.%d`]}", k ? "," : "", i, k / 250, k % 250);
        of[i] = object_with(decode(Discovery__V1__EndpointSlice__SCHEMA,
                                   "{`metadata`:{`name`:`web-%d`,`namespace`:`default`,`labels`:{"
                                   "`kubernetes.io/service-name`:`web`}},`addressType`:`IPv4`,"
                                   "`ports`:[{`name`:`http`,`port`:8080}],`endpoints`:[%s]}",
                                   i, buf_cstr(&json)));
        slices[i] = &of[i];
        buf_free(&json);
    }
    slices[SLICES] = slices[0]; /* while an endpoint moves, two slices name it */
    ruleset_init(&r);
    getrusage(RUSAGE_SELF, &before);
    proxy_build(&s, &e, "node1", "10.244.0.0/16", &r);
    getrusage(RUSAGE_SELF, &after);
    if (after.ru_maxrss - before.ru_maxrss > 300 << 10) /* KiB */
        fail_msg("%ld KiB more for 10,000 endpoints", after.ru_maxrss - before.ru_maxrss);
    assert_non_null(strstr(map_get(&r.chains, STR("svc/default/web/http")), " mod 10000 map {"));
    ruleset_free(&r);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_in_text_are_expanded),
        cmocka_unit_test(references_without_an_end_take_no_time),
        cmocka_unit_test(text_of_programs_is_made_readable),
        cmocka_unit_test(environment_comes_from_everywhere),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(services_are_variables),
        cmocka_unit_test(quality_of_service_and_limits),
        cmocka_unit_test(a_pods_cpu_is_the_sum_of_its_containers),
        cmocka_unit_test(dns_follows_the_policy),
        cmocka_unit_test(many_options_are_told_apart_by_name),
        cmocka_unit_test(credentials_go_by_registry),
        cmocka_unit_test(plans),
        cmocka_unit_test(plans_around_sandboxes_and_probes),
        cmocka_unit_test(phases),
        cmocka_unit_test(a_crash_loop_shows_waiting_and_how_it_ended),
        cmocka_unit_test(readiness_is_the_probes_and_the_gates),
        cmocka_unit_test(a_resize_waits_for_a_new_container),
        cmocka_unit_test(times_stand_still_until_something_changes),
        cmocka_unit_test(an_ended_pod_says_how),
        cmocka_unit_test(last_words_in_no_encoding_are_told_too),
        cmocka_unit_test(services_and_slices_become_rules),
        cmocka_unit_test(many_endpoints_take_little_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
