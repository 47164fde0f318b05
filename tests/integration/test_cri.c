/*
 * The CRI client and the agent's view of the runtime against a real containerd in a network namespace of
 * its own: images, a sandbox with an address, containers, logs, exec, how they end; and that taking the node
 * down leaves nothing behind. Needs root, containerd, the CNI plug-ins and busybox; says so and
 * skips where one is missing.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cluster/node.h"
#include "net/loop.h"
#include "node/cri.h"
#include "node/files.h"
#include "node/logs.h"
#include "node/network.h"
#include "node/oci_image.h"
#include "node/runtime.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define IMAGE "registry.test/busybox:1"

static struct fixture {
    struct arena a;
    struct cluster_node node;
    struct loop *loop;
    struct cri *cri;
    char netns_name[64];
    bool skipped;
} f;

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...)
{
    va_list args;
    char *s;

    va_start(args, format);
    s = arena_vprintf(&f.a, format, args);
    va_end(args);
    return s;
}

static const char *missing(void)
{
    static const char *const needed[] = {"/usr/bin/containerd", "/usr/sbin/runc", "/usr/bin/ctr",
                                         "/bin/busybox"};

    if (geteuid() != 0)
        return "root";
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (access(needed[i], X_OK) < 0)
            return needed[i];
    }
    return access("/usr/lib/cni/bridge", X_OK) < 0 && access("/opt/cni/bin/bridge", X_OK) < 0
               ? "CNI plug-ins"
               : NULL;
}

static int run(const char *command)
{
    return system(command);
}

static const char *make_image(void)
{
    char *archive = text("/tmp/%s.tar", f.netns_name);
    const struct oci_file files[] = {{"/bin/busybox", "/bin/busybox", NULL, 0755},
                                     {"/bin/sh", NULL, "busybox", 0},
                                     {"/bin/cat", NULL, "busybox", 0},
                                     {"/bin/sleep", NULL, "busybox", 0},
                                     {"/tmp", NULL, NULL, 01777}};
    struct error err = {0};

    if (oci_image_write(&(struct oci_image){.reference = IMAGE,
                                            .files = files,
                                            .files_len = ARRAY_LEN(files),
                                            .env = (const char *const[]){"PATH=/bin", NULL}},
                        archive, &err) < 0)
        fail_msg("%s", err.message);
    return archive;
}

static int set_up(void **state)
{
    const char *what = missing(), *images[2] = {NULL};
    const char *bin = getenv("C8S_BIN");
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    struct error err = {0};
    int rc;

    (void)state;
    arena_init(&f.a);
    if (what) {
        print_message("not here: %s; all tests of this program are skipped\n", what);
        f.skipped = true;
        return 0;
    }
    exe[MAX(n, 0)] = 0;
    *strrchr(exe, '/') = 0; /* build/tests → build/bin */
    snprintf(f.netns_name, sizeof f.netns_name, "c8s-test-cri-%d", (int)getpid());
    f.node = (struct cluster_node){.cluster = "test-cri",
                                   .name = text("node-%d", (int)getpid()),
                                   .netns = text("/run/netns/%s", f.netns_name),
                                   .node_ip = "10.77.0.2",
                                   .state_dir = text("/var/lib/c8s/test-cri-%d", (int)getpid()),
                                   .run_dir = text("/run/c8s-test-cri-%d", (int)getpid()),
                                   .bin_dir = bin ? bin : text("%s/../bin", exe)};
    if (run(text("ip netns add %s && ip netns exec %s ip link set lo up", f.netns_name,
                 f.netns_name)) != 0)
        return -1;
    images[0] = make_image();
    rc = cluster_node_start_runtime(&f.node, images, NULL, &err);
    unlink(images[0]);
    if (rc == 0)
        rc = network_write_cni(text("%s/cni/net.d", f.node.state_dir),
                               text("%s/agent/ipam", f.node.state_dir), "10.77.1.0/24", &err);
    f.loop = loop_start("test");
    if (rc == 0)
        rc = cri_new(f.loop, text("unix://%s/containerd.sock", f.node.run_dir), &f.cri, &err);
    if (rc < 0)
        print_error("%s\n", err.message);
    return rc;
}

static int tear_down(void **state)
{
    struct error err = {0};
    int rc = 0;

    (void)state;
    if (!f.skipped) {
        cri_free(f.cri);
        loop_join(f.loop);
        if (cluster_node_stop(&f.node, &err) < 0 || cluster_node_purge(&f.node, &err) < 0) {
            print_error("%s\n", err.message);
            rc = -1;
        }
        run(text("ip netns del %s", f.netns_name));
    }
    arena_free(&f.a);
    return rc;
}

#define NEEDED()       \
    do {               \
        (void)state;   \
        if (f.skipped) \
            skip();    \
    } while (0)
#define OK(call)                                    \
    do {                                            \
        if ((call) < 0)                             \
            fail_msg("%s: %s", #call, err.message); \
    } while (0)

/* Look again until it holds, for at most 10 s: the runtime works on its own time. */
static bool eventually(bool (*holds)(void *ctx), void *ctx)
{
    uint64_t deadline = clock_mono_ns() + 60 * NS_PER_S;

    while (!holds(ctx)) {
        struct timespec t = {.tv_nsec = 20000000};
        if (clock_mono_ns() > deadline)
            return false;
        nanosleep(&t, NULL);
    }
    return true;
}

static bool network_is_ready(void *ctx)
{
    struct cri_status s;

    (void)ctx;
    return cri_status(f.cri, &f.a, &s, NULL) == 0 && s.runtime_ready && s.network_ready;
}

static void the_runtime_answers(void **state)
{
    struct cri_version v;
    struct error err = {0};

    NEEDED();
    OK(cri_version(f.cri, &f.a, &v, &err));
    assert_string_equal(v.name, "containerd");
    assert_true(eventually(network_is_ready, NULL));
}

static void images_are_there_or_not(void **state)
{
    struct error err = {0};
    const char *ref;
    CriImage *image;

    NEEDED();
    OK(cri_image_status(f.cri, IMAGE, &f.a, &image, &err));
    assert_non_null(image);
    assert_true(str_has_prefix(str_from(image->id), STR("sha256:")));
    OK(cri_image_status(f.cri, "registry.test/none:1", &f.a, &image, &err));
    assert_null(image);
    assert_true(cri_pull_image(f.cri, "localhost:1/none:1", NULL, NULL, &f.a, &ref, &err) < 0);
    assert_non_null(strstr(err.message, "localhost:1"));
    OK(cri_remove_image(f.cri, "registry.test/none:1", &err));
}

/* ------------------------------------------------------------------------- a pod's life --- */

static CriPodSandboxConfig *sandbox_of(const char *name)
{
    CriPodSandboxConfig *m = arena_new(&f.a, CriPodSandboxConfig);

    runtime__v1__pod_sandbox_config__init(m);
    m->metadata = arena_new(&f.a, Runtime__V1__PodSandboxMetadata);
    runtime__v1__pod_sandbox_metadata__init(m->metadata);
    m->metadata->name = (char *)name;
    m->metadata->namespace_ = "default";
    m->metadata->uid = text("uid-%s", name);
    m->hostname = (char *)name;
    m->log_directory = text("%s/agent/log/pods/%s", f.node.state_dir, name);
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_NAME, name);
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_NAMESPACE, "default");
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_UID, m->metadata->uid);
    m->linux = arena_new(&f.a, Runtime__V1__LinuxPodSandboxConfig);
    runtime__v1__linux_pod_sandbox_config__init(m->linux);
    m->linux->cgroup_parent = text("/c8s/test-cri/%s/pod%s", f.node.name, name);
    return m;
}

static CriContainerConfig *container_of_script(const char *name, int attempt, const char *script)
{
    CriContainerConfig *m = arena_new(&f.a, CriContainerConfig);

    runtime__v1__container_config__init(m);
    m->metadata = arena_new(&f.a, Runtime__V1__ContainerMetadata);
    runtime__v1__container_metadata__init(m->metadata);
    m->metadata->name = (char *)name;
    m->metadata->attempt = (uint32_t)attempt;
    m->image = arena_new(&f.a, Runtime__V1__ImageSpec);
    runtime__v1__image_spec__init(m->image);
    m->image->image = IMAGE;
    m->n_command = 3;
    m->command = arena_array(&f.a, char *, 3);
    m->command[0] = "/bin/sh";
    m->command[1] = "-c";
    m->command[2] = (char *)script;
    m->log_path = text("%s-%d.log", name, attempt);
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_CONTAINER_NAME, name);
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_NAME, "p");
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_NAMESPACE, "default");
    cri_add_value(&f.a, &m->labels, &m->n_labels, LABEL_POD_UID, "uid-p");
    cri_add_value(&f.a, &m->annotations, &m->n_annotations, ANNOTATION_RESTART_COUNT,
                  text("%d", attempt));
    cri_add_value(&f.a, &m->annotations, &m->n_annotations, ANNOTATION_GRACE, "7");
    m->linux = arena_new(&f.a, Runtime__V1__LinuxContainerConfig);
    runtime__v1__linux_container_config__init(m->linux);
    m->linux->resources = arena_new(&f.a, CriLinuxResources);
    runtime__v1__linux_container_resources__init(m->linux->resources);
    m->linux->resources->memory_limit_in_bytes = 32 << 20;
    m->linux->resources->cpu_shares = 102;
    return m;
}

static struct run_pod *read_pod(void)
{
    struct error err = {0};
    struct run_pod *pods;
    size_t n;

    if (runtime_read(f.cri, "default", "p", &f.a, &pods, &n, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(n <= 1);
    return n ? pods : NULL;
}

static bool has_exited(void *name)
{
    const struct run_container *c = run_container_newest(read_pod(), name);

    return c && c->state == RUN_EXITED;
}

static void on_change(void *ctx, const char *key)
{
    assert_string_equal(key, "default/p");
    ++*(int *)ctx;
}

/* The runtime copies the two streams side by side: either line may come first. */
static bool log_has_both(void *path)
{
    const char *log = logs_tail(path, 10, 1000, &f.a);

    return strcmp(log, "hello from p\noops\n") == 0 || strcmp(log, "oops\nhello from p\n") == 0;
}

static void a_pod_lives_and_ends(void **state)
{
    CriPodSandboxConfig *sandbox = sandbox_of("p");
    struct runtime_poll *poll = runtime_poll_new();
    const char *id, *web, *job;
    struct error err = {0};
    struct cri_exec result;
    struct run_pod *pod;
    int changes = 0;

    NEEDED();
    OK(runtime_poll_changes(poll, f.cri, on_change, &changes, &err));
    assert_int_equal(changes, 0);
    OK(file_make_dirs(sandbox->log_directory, 0755, &err));
    OK(cri_run_sandbox(f.cri, sandbox, &f.a, &id, &err));
    pod = read_pod();
    assert_string_equal(pod->uid, "uid-p");
    assert_true(run_sandbox_ready(pod) != NULL);
    assert_true(str_has_prefix(str_from(pod->sandboxes[0].ip), STR("10.77.1.")));

    OK(cri_create_container(
        f.cri, id,
        container_of_script("web", 0,
                            "echo hello from $(cat /etc/hostname); echo oops >&2; "
                            "trap 'exit 3' TERM; while :; do sleep 1; done"),
        sandbox, &f.a, &web, &err));
    assert_int_equal(run_container_newest(read_pod(), "web")->state, RUN_CREATED);
    OK(cri_start_container(f.cri, web, &err));
    assert_int_equal(run_container_newest(read_pod(), "web")->state, RUN_RUNNING);
    OK(runtime_poll_changes(poll, f.cri, on_change, &changes, &err));
    assert_true(changes > 0);
    changes = 0;
    OK(runtime_poll_changes(poll, f.cri, on_change, &changes, &err));
    assert_int_equal(changes, 0);

    OK(cri_exec_sync(f.cri, web,
                     (const char *const[]){"/bin/sh", "-c", "echo out; echo er >&2; exit 4", NULL},
                     5, &f.a, &result, &err));
    assert_int_equal(result.exit_code, 4);
    assert_true(str_eqz(result.stdout_data, "out\n") && str_eqz(result.stderr_data, "er\n"));
    assert_true(cri_exec_sync(f.cri, web, (const char *const[]){"/bin/sleep", "30", NULL}, 1, &f.a,
                              &result, &err) < 0);
    assert_true(eventually(log_has_both, text("%s/web-0.log", sandbox->log_directory)));

    /* One that ends by itself, and is there twice: the newer one counts. */
    for (int attempt = 0; attempt < 2; attempt++) {
        OK(cri_create_container(f.cri, id, container_of_script("job", attempt, "exit 5"), sandbox,
                                &f.a, &job, &err));
        OK(cri_start_container(f.cri, job, &err));
        assert_true(eventually(has_exited, "job"));
    }
    pod = read_pod();
    assert_int_equal(run_container_newest(pod, "job")->restart_count, 1);
    assert_int_equal(run_container_newest(pod, "job")->exit_code, 5);
    assert_string_equal(run_container_newest(pod, "job")->reason, "Error");
    assert_int_equal(run_container_previous(pod, "job")->restart_count, 0);
    assert_int_equal(pod->grace_s, 7);

    /* SIGTERM is heard before the grace period is over. */
    OK(cri_stop_container(f.cri, web, 20, &err));
    assert_int_equal(run_container_newest(read_pod(), "web")->exit_code, 3);
    OK(cri_stop_sandbox(f.cri, id, &err));
    assert_null(run_sandbox_ready(read_pod()));
    assert_false(run_pod_active(read_pod()));
    changes = 0;
    OK(runtime_poll_changes(poll, f.cri, on_change, &changes, &err));
    assert_true(changes > 0);
    OK(cri_remove_sandbox(f.cri, id, &err));
    assert_null(read_pod());
    /* What is not there need not be taken away. */
    OK(cri_stop_container(f.cri, web, 1, &err));
    OK(cri_remove_container(f.cri, web, &err));
    OK(cri_stop_sandbox(f.cri, id, &err));
    OK(cri_remove_sandbox(f.cri, id, &err));
    runtime_poll_free(poll);
}

/* The node is taken down while pods run. */
static void nothing_is_left(void **state)
{
    const char *container, *id;
    CriPodSandboxConfig *sandbox;
    struct error err = {0};
    struct stat st;

    NEEDED();
    sandbox = sandbox_of("p");
    OK(file_make_dirs(sandbox->log_directory, 0755, &err));
    OK(cri_run_sandbox(f.cri, sandbox, &f.a, &id, &err));
    OK(cri_create_container(f.cri, id, container_of_script("web", 0, "sleep 1000"), sandbox, &f.a,
                            &container, &err));
    OK(cri_start_container(f.cri, container, &err));
    assert_int_equal(run(text("grep -q %s /proc/self/mountinfo", f.node.state_dir)), 0);
    assert_int_equal(run(text("ls -d /sys/fs/cgroup/*/c8s/test-cri/%s >/dev/null 2>&1 || "
                              "test -d /sys/fs/cgroup/c8s/test-cri/%s",
                              f.node.name, f.node.name)),
                     0);
    OK(cluster_node_stop(&f.node, &err));
    assert_int_not_equal(run(text("grep -q %s /proc/self/mountinfo", f.node.state_dir)), 0);
    assert_int_not_equal(
        run(text("ls -d /sys/fs/cgroup/*/c8s/test-cri/%s >/dev/null 2>&1", f.node.name)), 0);
    assert_int_not_equal(run(text("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep "
                                  "-qx '%s/[c]ontainerd.sock'",
                                  f.node.run_dir)),
                         0);
    OK(cluster_node_stop(&f.node, &err)); /* again is harmless */
    OK(cluster_node_purge(&f.node, &err));
    assert_true(stat(f.node.state_dir, &st) < 0 && stat(f.node.run_dir, &st) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_runtime_answers),
        cmocka_unit_test(images_are_there_or_not),
        cmocka_unit_test(a_pod_lives_and_ends),
        cmocka_unit_test(nothing_is_left),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
