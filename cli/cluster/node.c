/*
 * A node of a local cluster (see node.h): containerd and c8s-node in a network namespace.
 */
#include "cli/cluster/node.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cli/process.h"
#include "node/cgroup.h"
#include "node/files.h"
#include "node/oci_image.h"
#include <dirent.h>
#include <errno.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_IMAGE "registry.c8s.io/pause:" C8S_VERSION
#define SOCKET_TIMEOUT_MS 15000
#define STOP_TIMEOUT_MS 5000
#define END_TIMEOUT_MS 5000
#define RUN_DIR_MAX 60

/* Paths of one node, made once per call. */
struct paths {
    struct arena a;
    const char *containerd, *config, *socket, *containerd_pid, *agent_pid, *cgroup;
};

static const char *find_program(const char *name, struct arena *a)
{
    static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin"};

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        const char *path = arena_printf(a, "%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static void paths_init(struct paths *p, const struct cluster_node *n)
{
    arena_init(&p->a);
    p->containerd = arena_printf(&p->a, "%s/containerd", n->state_dir);
    p->config = arena_printf(&p->a, "%s/containerd.toml", n->state_dir);
    p->socket = arena_printf(&p->a, "%s/containerd.sock", n->run_dir);
    p->containerd_pid = arena_printf(&p->a, "%s/containerd.pid", n->run_dir);
    p->agent_pid = arena_printf(&p->a, "%s/c8s-node.pid", n->run_dir);
    p->cgroup = arena_printf(&p->a, "/c8s/%s/%s", n->cluster, n->name);
}

/* ----------------------------------------------------------------------------- containerd --- */

/* Where the network plug-ins of the distribution are. */
static const char *cni_bin_dir(void)
{
    static const char *const dirs[] = {"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"};

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        char *bridge = mem_printf("%s/bridge", dirs[i]);
        bool there = access(bridge, X_OK) == 0;
        mem_free(bridge);
        if (there)
            return dirs[i];
    }
    return NULL;
}

/*
 * Everything containerd and runc keep is below the node's own directories, mounted network
 * namespaces too: two nodes on one machine do not see each other, and removing the directories
 * removes all. restrict_oom_score_adj: without the right to lower the score (as inside a container)
 * pods start all the same.
 */
static int write_config(const struct cluster_node *n, const struct paths *p, struct error *err)
{
    const char *cni = cni_bin_dir();
    struct buf b;
    int rc;

    if (!cni)
        return error_set(err, ERR_NOT_FOUND,
                         "no CNI plug-ins here (package containernetworking-plugins)");
    buf_init(&b);
    buf_printf(&b,
               "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
               "disabled_plugins = [\"io.containerd.internal.v1.opt\", "
               "\"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", "
               "\"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\", "
               "\"io.containerd.tracing.processor.v1.otlp\"]\n"
               "[grpc]\n  address = \"%s\"\n[ttrpc]\n  address = \"%s.ttrpc\"\n"
               "[debug]\n  level = \"warn\"\n",
               p->containerd, p->containerd, p->socket, p->socket);
    buf_printf(&b,
               "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
               "  sandbox_image = \"" PAUSE_IMAGE "\"\n"
               "  restrict_oom_score_adj = true\n"
               "  netns_mounts_under_state_dir = true\n"
               "  disable_tcp_service = true\n"
               "  stream_server_address = \"127.0.0.1\"\n"
               "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
               "  snapshotter = \"overlayfs\"\n  default_runtime_name = \"runc\"\n"
               "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n"
               "  runtime_type = \"io.containerd.runc.v2\"\n"
               "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n"
               "  Root = \"%s/runc\"\n"
               "[plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
               "  bin_dir = \"%s\"\n  conf_dir = \"%s/cni/net.d\"\n",
               p->containerd, cni, n->state_dir);
    rc = file_replace(p->config, buf_str(&b), 0644, err);
    buf_free(&b);
    return rc;
}

static bool socket_answers(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes;

    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    yes = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static int start_containerd(const struct cluster_node *n, struct paths *p, bool *started,
                            struct error *err)
{
    const char *program = find_program("containerd", &p->a);
    const char *argv[] = {program, "--config", p->config, NULL};
    struct process_spec spec = {
        .argv = argv,
        .netns = n->netns,
        .log_file = arena_printf(&p->a, "%s/containerd.log", n->run_dir),
        .pid_file = p->containerd_pid,
    };
    uint64_t deadline = clock_mono_ns() + SOCKET_TIMEOUT_MS * NS_PER_MS;
    int rc;

    if (!program)
        return error_set(err, ERR_NOT_FOUND, "containerd is not installed (package containerd)");
    rc = process_start(&spec, NULL, started, err);
    while (rc == 0 && !socket_answers(p->socket)) {
        if (!process_running(p->containerd_pid))
            rc = error_set(err, ERR_UNAVAILABLE, "containerd ended at once: see %s", spec.log_file);
        else if (clock_mono_ns() > deadline)
            rc = error_set(err, ERR_TIMEOUT, "containerd does not answer on %s: see %s", p->socket,
                           spec.log_file);
        else
            sleep_ms(10);
    }
    return rc;
}

static int import(struct paths *p, const char *archive, struct error *err)
{
    const char *ctr = find_program("ctr", &p->a);
    const char *argv[] = {ctr, "-a", p->socket, "-n", "k8s.io", "images", "import", archive, NULL};

    if (!ctr)
        return error_set(err, ERR_NOT_FOUND, "ctr is not installed (package containerd)");
    return command_run(argv, STR_NONE, NULL, err) < 0 ? error_wrap(err, "import %s", archive) : 0;
}

static int import_pause(const struct cluster_node *n, struct paths *p, struct error *err)
{
    const char *dir = arena_printf(&p->a, "%s/images", n->state_dir);
    const char *archive = arena_printf(&p->a, "%s/pause.tar", dir);
    const struct oci_file file = {
        .path = "/pause", .source = arena_printf(&p->a, "%s/c8s-pause", n->bin_dir), .mode = 0755};
    const struct oci_image image = {.reference = PAUSE_IMAGE,
                                    .files = &file,
                                    .files_len = 1,
                                    .entrypoint = (const char *const[]){"/pause", NULL}};
    int rc = file_make_dirs(dir, 0755, err);

    if (rc == 0)
        rc = oci_image_write(&image, archive, err);
    return rc == 0 ? import(p, archive, err) : rc;
}

/* ---------------------------------------------------------------------------------- agent --- */

typedef VEC(const char *) arg_list;

static int start_agent(const struct cluster_node *n, struct paths *p, struct error *err)
{
    struct arena *a = &p->a;
    arg_list args = {0};
    struct process_spec spec = {
        .netns = n->netns,
        .hostname = n->name,
        .log_file = arena_printf(a, "%s/c8s-node.log", n->run_dir),
        .pid_file = p->agent_pid,
    };
    int rc;

    vec_push(&args, arena_printf(a, "%s/c8s-node", n->bin_dir));
    vec_push(&args, arena_printf(a, "--kubeconfig=%s", n->kubeconfig));
    vec_push(&args, arena_printf(a, "--hostname-override=%s", n->name));
    vec_push(&args, arena_printf(a, "--node-ip=%s", n->node_ip));
    vec_push(&args, arena_printf(a, "--container-runtime-endpoint=unix://%s", p->socket));
    vec_push(&args, arena_printf(a, "--root-dir=%s/agent", n->state_dir));
    vec_push(&args, arena_printf(a, "--pod-log-dir=%s/agent/log/pods", n->state_dir));
    vec_push(&args, arena_printf(a, "--cni-conf-dir=%s/cni/net.d", n->state_dir));
    vec_push(&args, arena_printf(a, "--cgroup-root=%s", p->cgroup));
    vec_push(&args, arena_printf(a, "--client-ca-file=%s", n->client_ca));
    vec_push(&args, arena_printf(a, "--tls-cert-file=%s", n->tls_cert));
    vec_push(&args, arena_printf(a, "--tls-private-key-file=%s", n->tls_key));
    vec_push(&args, arena_printf(a, "--cluster-cidr=%s", n->cluster_cidr));
    if (n->cluster_dns)
        vec_push(&args, arena_printf(a, "--cluster-dns=%s", n->cluster_dns));
    for (size_t i = 0; n->extra_args && n->extra_args[i]; i++)
        vec_push(&args, n->extra_args[i]);
    vec_push(&args, NULL);
    spec.argv = args.items;
    rc = process_start(&spec, NULL, NULL, err);
    vec_free(&args);
    return rc;
}

static int make_dirs(const struct cluster_node *n, struct paths *p, struct error *err)
{
    const char *dirs[] = {n->run_dir, p->containerd,
                          arena_printf(&p->a, "%s/cni/net.d", n->state_dir),
                          arena_printf(&p->a, "%s/agent/log/pods", n->state_dir)};
    int rc = 0;

    if (strlen(n->run_dir) > RUN_DIR_MAX)
        return error_set(err, ERR_LIMIT, "%s: longer than %d bytes", n->run_dir, RUN_DIR_MAX);
    for (size_t i = 0; i < ARRAY_LEN(dirs) && rc == 0; i++)
        rc = file_make_dirs(dirs[i], 0755, err);
    return rc;
}

int cluster_node_start_runtime(const struct cluster_node *n, const char *const *images,
                               bool *started, struct error *err)
{
    bool fresh = false;
    struct paths p;
    int rc;

    paths_init(&p, n);
    rc = make_dirs(n, &p, err);
    if (rc == 0)
        rc = write_config(n, &p, err);
    if (rc == 0)
        rc = start_containerd(n, &p, &fresh, err);
    if (rc == 0 && fresh) { /* else its images were imported when it was started */
        rc = import_pause(n, &p, err);
        for (size_t i = 0; images && images[i] && rc == 0; i++)
            rc = import(&p, images[i], err);
    }
    if (rc < 0 && fresh)
        process_stop(p.containerd_pid, STOP_TIMEOUT_MS, NULL);
    if (started)
        *started = fresh;
    arena_free(&p.a);
    return rc < 0 ? error_wrap(err, "node %s", n->name) : 0;
}

int cluster_node_start(const struct cluster_node *n, const char *const *images,
                       struct cluster_node_pids *pids, struct error *err)
{
    bool started;
    struct paths p;
    int rc = cluster_node_start_runtime(n, images, &started, err);

    if (rc < 0)
        return rc;
    paths_init(&p, n);
    rc = start_agent(n, &p, err);
    if (rc < 0 && started)
        process_stop(p.containerd_pid, STOP_TIMEOUT_MS, NULL);
    if (pids)
        cluster_node_status(n, pids);
    arena_free(&p.a);
    return rc < 0 ? error_wrap(err, "node %s", n->name) : 0;
}

int cluster_node_load_image(const struct cluster_node *n, const char *archive, struct error *err)
{
    struct paths p;
    int rc;

    paths_init(&p, n);
    rc = import(&p, archive, err);
    arena_free(&p.a);
    return rc;
}

void cluster_node_status(const struct cluster_node *n, struct cluster_node_pids *pids)
{
    struct paths p;

    paths_init(&p, n);
    pids->containerd = process_running(p.containerd_pid);
    pids->agent = process_running(p.agent_pid);
    arena_free(&p.a);
}

/* ------------------------------------------------------------------------------- stopping --- */

/* The value that follows `name` in a NUL-separated command line. */
static const char *argument(const char *cmdline, size_t n, const char *name)
{
    const char *end = cmdline + n;

    for (const char *s = cmdline; s < end; s += strlen(s) + 1) {
        const char *next = s + strlen(s) + 1;
        if (strcmp(s, name) == 0 && next < end)
            return next;
    }
    return NULL;
}

/* A shim's socket is named by a hash of containerd's address, the namespace and the sandbox; a shim
 * that is killed leaves it behind. */
static void remove_shim_socket(const char *address, const char *ns, const char *id)
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    char *what = mem_printf("%s/%s/%s", address, ns, id), hex[2 * sizeof sum + 1], *path;

    SHA256((unsigned char *)what, strlen(what), sum);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    path = mem_printf("/run/containerd/s/%s", hex);
    unlink(path);
    mem_free(path);
    mem_free(what);
}

/* SIGKILL the shims that serve this node's containerd; returns how many there were. */
static size_t kill_shims(const char *address)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    size_t killed = 0;

    while (d && (e = readdir(d)) != NULL) {
        char *path = mem_printf("/proc/%s/cmdline", e->d_name);
        const char *of, *ns, *id;
        struct str line;
        struct arena a;

        arena_init(&a);
        if (atoi(e->d_name) > 0 && file_read(path, 65536, &a, &line, NULL) == 0 && line.n &&
            strstr(line.p, "containerd-shim") &&
            (of = argument(line.p, line.n, "-address")) != NULL && strcmp(of, address) == 0) {
            kill(atoi(e->d_name), SIGKILL);
            killed++;
            ns = argument(line.p, line.n, "-namespace");
            id = argument(line.p, line.n, "-id");
            if (ns && id)
                remove_shim_socket(address, ns, id);
        }
        arena_free(&a);
        mem_free(path);
    }
    if (d)
        closedir(d);
    return killed;
}

static void keep(int *rc, int step, struct error *err, const struct error *why)
{
    if (step >= 0 || *rc < 0)
        return;
    *rc = step;
    if (err)
        *err = *why;
}

/*
 * The containers are ended by SIGKILL, all at once: what runs in a cluster that is taken down has
 * no tomorrow. Nothing is asked of containerd, so that a broken one can be cleaned up, too.
 */
int cluster_node_stop(const struct cluster_node *n, struct error *err)
{
    uint64_t deadline = clock_mono_ns() + END_TIMEOUT_MS * NS_PER_MS;
    struct error why = {0};
    struct paths p;
    int rc = 0, step;

    paths_init(&p, n);
    keep(&rc, process_stop(p.agent_pid, STOP_TIMEOUT_MS, &why), err, &why);
    keep(&rc, process_stop(p.containerd_pid, STOP_TIMEOUT_MS, &why), err, &why);
    for (;;) {
        size_t shims = kill_shims(p.socket);
        size_t left = cgroup_kill(p.cgroup);

        step = cgroup_remove(p.cgroup, &why);
        if ((shims == 0 && left == 0 && step == 0) || clock_mono_ns() > deadline)
            break;
        sleep_ms(10);
    }
    keep(&rc, step, err, &why);
    cgroup_remove_empty("/c8s", n->cluster);
    keep(&rc, file_unmount_below(n->state_dir, &why), err, &why);
    arena_free(&p.a);
    return rc < 0 ? error_wrap(err, "node %s", n->name) : 0;
}

int cluster_node_purge(const struct cluster_node *n, struct error *err)
{
    int rc = file_remove_tree(n->state_dir, err);

    if (rc == 0)
        rc = file_remove_tree(n->run_dir, err);
    return rc < 0 ? error_wrap(err, "node %s", n->name) : 0;
}
