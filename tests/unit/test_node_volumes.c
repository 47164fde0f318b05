/*
 * What a container is given on a real file system: its environment, its mounts, its pod's volumes, and what of
 * them others on the host may see. Volumes are mounted in a mount namespace of the test's own: needs root.
 */
#include "api/codec.h"
#include "base/mem.h"
#include "node/container_config.h"
#include "node/files.h"
#include "node/volumes.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <cmocka.h>

#define TMPFS_MAGIC 0x01021994

static char dir[] = "/tmp/test_node_volumes.XXXXXX";
static struct arena arena;
static struct agent agent;
static struct token_cache *tokens;

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

static Core__V1__Pod *pod_of(const char *uid, const char *spec)
{
    return decode(Core__V1__Pod__SCHEMA,
                  "{`metadata`:{`name`:`web`,`namespace`:`default`,`uid`:`%s`},`spec`:{%s}}", uid,
                  spec);
}

static Core__V1__ConfigMap *map_to_fetch;

static int fetch_configmap(void *ctx, const char *ns, const char *name, struct arena *a,
                           const Core__V1__ConfigMap **out, struct error *err)
{
    (void)ctx;
    (void)ns;
    (void)name;
    (void)a;
    (void)err;
    *out = map_to_fetch;
    return 0;
}

static int fetch_secret(void *ctx, const char *ns, const char *name, struct arena *a,
                        const Core__V1__Secret **out, struct error *err)
{
    (void)ctx;
    (void)ns;
    (void)name;
    (void)a;
    (void)err;
    *out = decode(Core__V1__Secret__SCHEMA, "{`data`:{`token`:`czNjcmV0`}}");
    return 0;
}

static struct pod_context context_of(const Core__V1__Pod *pod)
{
    return (struct pod_context){.pod = pod,
                                .pod_ip = "10.244.1.2",
                                .node_name = "node1",
                                .configmap = fetch_configmap,
                                .secret = fetch_secret};
}

static void prepare(const Core__V1__Pod *pod)
{
    struct pod_context x = context_of(pod);
    struct error err = {0};

    if (volumes_prepare(&agent, &x, tokens, &err) < 0)
        fail_msg("%s", err.message);
}

static int configure(const Core__V1__Pod *pod, struct arena *a, CriContainerConfig **out,
                     struct error *err)
{
    struct pod_context x = context_of(pod);
    struct container_order order = {
        .container = pod->spec->containers[0], .image_ref = "i", .image_uid = -1};

    return container_config(&agent, &x, &order, a, out, err);
}

/* ------------------------------------------------------------------------------------ mounts --- */

#define VOLUME(name_, source_) "{`name`:`" name_ "`," source_ "}"
#define MOUNT(name_) "{`name`:`" name_ "`,`mountPath`:`/" name_ "`}"
#define KINDS                                                                                                                                 \
    "`volumes`:[" VOLUME("cm", "`configMap`:{`name`:`cm`}") "," VOLUME(                                                                       \
        "sec",                                                                                                                                \
        "`secret`:{`"                                                                                                                         \
        "secretName`:`s`}") "," VOLUME("down",                                                                                                \
                                       "`downwardAPI`:{}") "," VOLUME("all",                                                                  \
                                                                      "`projected`:{`sources`:[{`"                                            \
                                                                      "secret`:"                                                              \
                                                                      "{`name`:`s`}}]}") "," VOLUME("data",                                   \
                                                                                                    "`emptyDir`:{}") "," VOLUME("mem",        \
                                                                                                                                "`emptyDir`:" \
                                                                                                                                "{`medium`:`Memory`}") "]"

static void what_the_api_gives_is_mounted_read_only(void **state)
{
    Core__V1__Pod *pod = pod_of(
        "readonly", KINDS ",`containers`:[{`name`:`c`,`volumeMounts`:[" MOUNT("cm") "," MOUNT(
                        "sec") "," MOUNT("down") "," MOUNT("all") "," MOUNT("data") "]}]");
    CriContainerConfig *m;
    struct error err = {0};

    (void)state;
    assert_int_equal(configure(pod, &arena, &m, &err), 0);
    for (size_t i = 0; i < 5; i++) {
        bool data = strcmp(m->mounts[i]->container_path, "/data") == 0;
        if (m->mounts[i]->readonly == data)
            fail_msg("%s: read-only is %d", m->mounts[i]->container_path, m->mounts[i]->readonly);
    }
}

/* ----------------------------------------------------------------------------------- volumes --- */

static bool in_memory(const Core__V1__Pod *pod, const char *volume)
{
    struct statfs fs;

    assert_int_equal(statfs(volume_host_path(&agent, pod, volume, &arena), &fs), 0);
    return fs.f_type == TMPFS_MAGIC;
}

static void secrets_are_on_no_disk_and_end_with_the_mounts(void **state)
{
    Core__V1__Pod *pod = pod_of("memory", KINDS);
    const char *path = volume_host_path(&agent, pod, "sec", &arena);
    const char *file = arena_printf(&arena, "%s/token", path);
    struct str text;
    struct stat st;

    (void)state;
    map_to_fetch = decode(Core__V1__ConfigMap__SCHEMA, "{`data`:{`k`:`v`}}");
    prepare(pod);
    prepare(pod); /* nothing is mounted twice */
    assert_int_equal(file_read(file, 100, &arena, &text, NULL), 0);
    assert_true(str_eqz(text, "s3cret"));
    assert_true(in_memory(pod, "sec"));
    assert_true(in_memory(pod, "all"));
    assert_true(in_memory(pod, "mem"));
    assert_int_equal(file_unmount_below(agent_pod_dir(&agent, &arena, "memory"), NULL), 0);
    assert_true(lstat(file, &st) < 0);
    assert_int_equal(volumes_remove(&agent, "memory", NULL), 0);
    assert_true(lstat(agent_pod_dir(&agent, &arena, "memory"), &st) < 0);
}

static void an_empty_directory_is_the_containers(void **state)
{
    Core__V1__Pod *pod = pod_of("empty", "`securityContext`:{`fsGroup`:123}," KINDS);
    static const char *const names[] = {"data", "mem"};
    struct stat st;

    (void)state;
    prepare(pod);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *path = volume_host_path(&agent, pod, names[i], &arena);

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 02777);
        assert_int_equal(st.st_gid, 123);
        assert_int_equal(chmod(path, 0700),
                         0); /* as a database does that wants its data for itself */
        prepare(pod);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    assert_int_equal(volumes_remove(&agent, "empty", NULL), 0);
}

/* ---------------------------------------------------------------------------------- subPaths --- */

static const char *mount_source(const Core__V1__Pod *pod, const char *sub)
{
    struct error err = {0};
    const char *out;

    return volume_mount_source(&agent, pod, "data", sub, &arena, &out, &err) < 0 ? NULL : out;
}

static void a_sub_path_is_made_as_its_volume_is(void **state)
{
    Core__V1__Pod *pod = pod_of("sub", KINDS);
    const char *path = volume_host_path(&agent, pod, "data", &arena), *place;
    struct stat st;

    (void)state;
    prepare(pod);
    assert_int_equal(chmod(path, 0750), 0);
    assert_non_null(mount_source(pod, "a/b/")); /* written as the API allows it */
    assert_non_null(mount_source(pod, "./a"));
    assert_null(mount_source(pod, "a/../b"));
    assert_null(mount_source(pod, "/a"));
    assert_int_equal(stat(arena_printf(&arena, "%s/a/b", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    /* A directory that a container has made a file of since, and the other way round. */
    place = mount_source(pod, "a/b");
    assert_int_equal(rmdir(arena_printf(&arena, "%s/a/b", path)), 0);
    assert_int_equal(file_replace(arena_printf(&arena, "%s/a/b", path), STR("x"), 0644, NULL), 0);
    assert_string_equal(mount_source(pod, "a/b"), place);
    assert_int_equal(stat(place, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(unlink(arena_printf(&arena, "%s/a/b", path)), 0);
    assert_non_null(mount_source(pod, "a/b"));
    assert_int_equal(stat(place, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(volumes_remove(&agent, "sub", NULL), 0);
}

/* ---------------------------------------------------------------------------------- the host --- */

static void other_users_see_no_pods_files(void **state)
{
    const char *pods = arena_printf(&arena, "%s/pods", dir);
    struct stat st;

    (void)state;
    assert_int_equal(file_make_dirs(pods, 0755, NULL), 0); /* as it was once made */
    assert_int_equal(agent_make_dirs(&agent, NULL), 0);
    assert_int_equal(stat(pods, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
}

/* A volume may be mounted where the termination log is to be: it is not the agent's to remove. */
static void a_termination_log_is_the_agents_own_or_not(void **state)
{
    const char *own = arena_printf(&arena, "%s/pods/u/containers/c/0a1b", dir);

    (void)state;
    assert_true(message_file_is_own(&agent, "u", own));
    assert_false(message_file_is_own(&agent, "v", own));
    assert_false(message_file_is_own(&agent, "u", "/etc"));
    assert_false(message_file_is_own(&agent, "u", NULL));
    assert_false(message_file_is_own(
        &agent, "u", arena_printf(&arena, "%s/pods/u/containers/../volumes/v", dir)));
}

/* ------------------------------------------------------------------------------- environment --- */

/* A container's arena must not hold, nor its time follow, the square of what its pod refers to. */
static void many_keys_are_many_variables(void **state)
{
    Core__V1__Pod *pod = pod_of("keys", "`containers`:[{`name`:`c`,`envFrom`:[{`configMapRef`:"
                                        "{`name`:`cm`}}]}]");
    struct error err = {0};
    CriContainerConfig *m;
    struct arena a;
    struct buf json;

    (void)state;
    buf_init(&json);
    buf_append_cstr(&json, "{`data`:{");
    for (int i = 0; i < 20000; i++)
        buf_printf(&json, "%s`K%d`:`v`", i ? "," : "", i);
    buf_append_cstr(&json, "}}");
    map_to_fetch = decode(Core__V1__ConfigMap__SCHEMA, "%s", buf_cstr(&json));
    buf_free(&json);
    arena_init(&a);
    assert_int_equal(configure(pod, &a, &m, &err), 0);
    assert_int_equal(m->n_envs, 20000);
    if (a.used > 64 << 20)
        fail_msg("%zu bytes for 20,000 variables", a.used);
    arena_free(&a);
}

static void text_that_grows_by_references_has_a_limit(void **state)
{
    struct error err = {0};
    CriContainerConfig *m;
    struct arena a;
    struct buf json;

    (void)state;
    buf_init(&json);
    buf_append_cstr(&json, "`containers`:[{`name`:`c`,`env`:[{`name`:`V0`,`value`:`0123456789`}");
    for (int i = 1; i <= 24; i++) /* 10 bytes doubled 24 times: 160 MiB */
        buf_printf(&json, ",{`name`:`V%d`,`value`:`$(V%d)$(V%d)`}", i, i - 1, i - 1);
    buf_append_cstr(&json, "]}]");
    arena_init(&a);
    assert_int_equal(configure(pod_of("grows", buf_cstr(&json)), &a, &m, &err), ERR_LIMIT);
    assert_true(a.used < 64 << 20);
    arena_free(&a);
    buf_free(&json);
}

/* --------------------------------------------------------------------------------------- main --- */

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    if (!mkdtemp(dir) || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    agent.options.root_dir = dir;
    agent.options.pod_log_dir = arena_printf(&arena, "%s/log/pods", dir);
    agent.options.node_name = "node1";
    agent.options.cluster_domain = "cluster.local";
    tokens = token_cache_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    token_cache_free(tokens);
    arena_free(&arena);
    file_unmount_below(dir, NULL);
    return file_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_api_gives_is_mounted_read_only),
        cmocka_unit_test(secrets_are_on_no_disk_and_end_with_the_mounts),
        cmocka_unit_test(an_empty_directory_is_the_containers),
        cmocka_unit_test(a_sub_path_is_made_as_its_volume_is),
        cmocka_unit_test(other_users_see_no_pods_files),
        cmocka_unit_test(a_termination_log_is_the_agents_own_or_not),
        cmocka_unit_test(many_keys_are_many_variables),
        cmocka_unit_test(text_that_grows_by_references_has_a_limit),
    };

    if (geteuid() != 0) {
        printf("skipped: volumes are mounted, which takes root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
