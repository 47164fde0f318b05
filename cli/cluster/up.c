/*
 * c8s up, down, pause, unpause.
 *
 * `up` is idempotent: each step makes what is missing and leaves the rest alone, so it starts a
 * cluster, restarts what died, and adds nodes. The order matters only for speed: everything that
 * talks to the API waits for it by itself.
 */
#include "base/clock.h"
#include "base/flags.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/cluster/cluster.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define OBSERVE_TIMEOUT_MS 1500
#define STOP_TIMEOUT_MS 5000

struct up_options {
    const char *name;
    int64_t members, nodes;
    bool members_seen, nodes_seen, quiet;
    int64_t wait_ns;
    struct flag_list images;
};

static int fail(const char *command, const struct error *err)
{
    fprintf(stderr, "c8s %s: %s\n", command, err->message);
    return 1;
}

static int require_root(struct error *err)
{
    return geteuid() == 0
               ? 0
               : error_set(err, ERR_DENIED, "must be root (network namespaces, containers)");
}

/* --- up: what to make --- */

static int check_count(const char *flag, int64_t n, int64_t low, int64_t high, struct error *err)
{
    return n >= low && n <= high ? 0
                                 : error_set(err, ERR_INVALID, "--%s: must be %lld to %lld", flag,
                                             (long long)low, (long long)high);
}

/* The existing cluster of that name, with nodes added if asked for; or a new one. */
static int open_or_new(const struct up_options *o, struct cluster *c, struct error *err)
{
    struct error load_err = {0};
    int rc = cluster_load(o->name, c, &load_err);
    if (rc == ERR_NOT_FOUND) {
        cluster_close(c);
        rc = cluster_new(o->name, (int)o->members, (int)o->nodes, c, err);
        if (rc == 0) {
            FILE *f = fopen("/proc/sys/net/ipv4/ip_forward", "re");
            c->forward_before = f && fgetc(f) == '1' ? "1" : "0";
            if (f)
                fclose(f);
        }
        return rc;
    }
    if (rc < 0)
        return error_set(err, rc, "%s", load_err.message);
    if (o->members_seen && o->members != c->members)
        return error_set(
            err, ERR_INVALID,
            "--members %lld: cluster %s has %d; its members are changed by 'c8s kv member'",
            (long long)o->members, c->name, c->members);
    if (o->nodes_seen && o->nodes < c->nodes)
        return error_set(err, ERR_INVALID,
                         "--nodes %lld: cluster %s has %d; nodes can only be added",
                         (long long)o->nodes, c->name, c->nodes);
    if (o->nodes_seen)
        c->nodes = (int)o->nodes;
    cluster_layout(c);
    return 0;
}

/* --- up: starting --- */

struct node_job {
    struct cluster_node node;
    const char *const *images;
    pthread_t thread;
    bool started;
    int rc;
    struct error err;
};

static void *start_node(void *arg)
{
    struct node_job *job = arg;
    struct cluster_node_pids pids;
    job->rc = cluster_node_start(&job->node, job->images, &pids, &job->err);
    return NULL;
}

/* All nodes at once, a thread each. */
static int start_nodes(struct cluster *c, const char *const *images, struct error *err)
{
    struct node_job *jobs = mem_zalloc(sizeof *jobs * CLUSTER_NODES_MAX);
    int rc = 0;
    for (int i = 0; i < c->nodes; i++) {
        jobs[i].node = cluster_node_of(c, &c->hosts[c->members + i]);
        jobs[i].images = images;
        jobs[i].started = pthread_create(&jobs[i].thread, NULL, start_node, &jobs[i]) == 0;
        if (!jobs[i].started)
            start_node(&jobs[i]);
    }
    for (int i = 0; i < c->nodes; i++) {
        if (jobs[i].started)
            pthread_join(jobs[i].thread, NULL);
        if (jobs[i].rc < 0 && rc == 0) {
            rc = error_set(err, jobs[i].rc, "node %s: %s", jobs[i].node.name, jobs[i].err.message);
        }
    }
    mem_free(jobs);
    return rc;
}

static int start_members(struct cluster *c, struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->members; i++)
        rc = cluster_start_apiserver(c, &c->hosts[i], err);
    for (int i = 0; rc == 0 && i < c->members; i++)
        rc = cluster_start_managers(c, &c->hosts[i], err);
    return rc;
}

/* --- up: waiting --- */

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Until every process is ready. On time-out the error names the first that is not, and its log. */
static int wait_ready(struct cluster *c, int64_t wait_ns, struct process_view *views, size_t *n,
                      struct error *err)
{
    uint64_t deadline = clock_mono_ns() + (uint64_t)wait_ns;
    for (;;) {
        const struct process_view *waiting = NULL;
        *n = cluster_observe(c, OBSERVE_TIMEOUT_MS, views);
        for (size_t i = 0; i < *n && !waiting; i++)
            if (!views[i].ready)
                waiting = &views[i];
        if (!waiting)
            return 0;
        if (clock_mono_ns() > deadline)
            return error_set(err, ERR_TIMEOUT, "%s on %s is not ready: %s (log: %s)",
                             cluster_role_name(waiting->role), waiting->host->name, waiting->why,
                             cluster_log_file(c, waiting->host, waiting->role));
        sleep_ms(100);
    }
}

static int add_routes(const struct cluster *c, const struct process_view *views, size_t n,
                      struct error *err)
{
    int rc = cluster_route_services(c, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (views[i].role == ROLE_NODE && views[i].pod_cidr[0])
            rc = cluster_route_pods(c, views[i].host, views[i].pod_cidr, err);
    return rc;
}

/* --- up --- */

/* Say how long a step took. */
static void step_done(const struct up_options *o, const char *what, uint64_t *since)
{
    uint64_t now = clock_mono_ns();
    if (!o->quiet)
        printf("  %-44s %5.1f s\n", what, (double)(now - *since) / 1e9);
    fflush(stdout);
    *since = now;
}

static int bring_up(const struct up_options *o, struct cluster *c, struct error *err)
{
    struct process_view views[CLUSTER_VIEWS_MAX];
    const char *images[CLUSTER_IMAGES_MAX + 2] = {NULL};
    uint64_t since = clock_mono_ns();
    size_t n;
    int rc = cluster_save(c, err);
    if (rc == 0)
        rc = cluster_network_up(c, err);
    if (rc < 0)
        return rc;
    step_done(o, "network namespaces", &since);
    if ((rc = cluster_make_pki(c, err)) < 0)
        return rc;
    step_done(o, "certificates", &since);
    if ((rc = start_members(c, err)) < 0)
        return rc;
    step_done(o, "control plane started", &since);
    if ((rc = cluster_make_image(c, &images[0], err)) < 0)
        return rc;
    for (size_t i = 0; i < o->images.len && i < CLUSTER_IMAGES_MAX; i++)
        images[i + 1] = o->images.items[i];
    if ((rc = start_nodes(c, images, err)) < 0)
        return rc;
    step_done(o, "nodes started", &since);
    if ((rc = wait_ready(c, o->wait_ns, views, &n, err)) < 0)
        return rc;
    step_done(o, "everything ready", &since);
    return add_routes(c, views, n, err);
}

static void print_next_steps(const struct cluster *c, double seconds)
{
    printf("Cluster %s is up after %.1f s: %d control-plane member%s, %d node%s.\n\n", c->name,
           seconds, c->members, c->members == 1 ? "" : "s", c->nodes, c->nodes == 1 ? "" : "s");
    printf("  export KUBECONFIG=%s\n", c->admin_conf);
    printf("  c8s get nodes                  # or kubectl get nodes\n");
    printf("  c8s status%s%s\n", cstr_eq(c->name, "c8s") ? "" : " --name ",
           cstr_eq(c->name, "c8s") ? "" : c->name);
    printf("  c8s down%s%s                       # removes every trace\n\n",
           cstr_eq(c->name, "c8s") ? "" : " --name ", cstr_eq(c->name, "c8s") ? "" : c->name);
    printf("This machine reaches pods (%s) and services (%s) directly.\n", c->pod_cidr,
           c->service_cidr);
}

int cluster_up_main(int argc, char **argv)
{
    struct up_options o = {
        .name = "c8s", .members = 3, .nodes = 2, .wait_ns = 60 * (int64_t)NS_PER_S};
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &o.name, "NAME", "Name of the cluster."},
        {"members", 0, FLAG_INT, &o.members, "N", "Control-plane members, each a host.",
         .seen = &o.members_seen},
        {"nodes", 0, FLAG_INT, &o.nodes, "N", "Nodes that run pods, each a host.",
         .seen = &o.nodes_seen},
        {"image", 0, FLAG_REPEATED, &o.images, "ARCHIVE",
         "An image archive (OCI or docker) to load into every node; may be given several times."},
        {"wait", 0, FLAG_DURATION, &o.wait_ns, NULL,
         "How long to wait for everything to be ready."},
        {"quiet", 'q', FLAG_BOOL, &o.quiet, NULL, "Print only failures."},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s up",
        .summary =
            "Start a cluster on this machine: each member and node a host in a network namespace",
        .details = "Running it again starts what is dead and, with a bigger --nodes, adds nodes.",
        .flags = flags};
    struct error err = {0};
    struct cluster *c = mem_zalloc(sizeof *c);
    uint64_t begin = clock_mono_ns();
    flags_parse_or_exit(&spec, argc, argv, NULL, 2);
    int rc = check_count("members", o.members, 1, CLUSTER_MEMBERS_MAX, &err);
    if (rc == 0)
        rc = check_count("nodes", o.nodes, 0, CLUSTER_NODES_MAX, &err);
    if (rc == 0 && o.images.len > CLUSTER_IMAGES_MAX)
        rc = error_set(&err, ERR_LIMIT, "--image: at most %d", CLUSTER_IMAGES_MAX);
    if (rc == 0)
        rc = require_root(&err);
    if (rc == 0)
        rc = cluster_lock(&err);
    if (rc == 0)
        rc = open_or_new(&o, c, &err);
    if (rc == 0)
        rc = bring_up(&o, c, &err);
    if (rc == 0 && !o.quiet)
        print_next_steps(c, (double)(clock_mono_ns() - begin) / 1e9);
    cluster_close(c);
    mem_free(c);
    flag_list_free(&o.images);
    return rc < 0 ? fail("up", &err) : 0;
}

/* --- down --- */

static void keep_first(int *rc, struct error *err, int step_rc, const struct error *step)
{
    if (step_rc < 0 && *rc == 0) {
        *rc = step_rc;
        *err = *step;
    }
}

static void *stop_host(void *arg)
{
    struct node_job *job = arg;
    job->rc = cluster_node_stop(&job->node, &job->err);
    if (job->rc == 0)
        job->rc = cluster_node_purge(&job->node, &job->err);
    return NULL;
}

static int stop_nodes(struct cluster *c, struct error *err)
{
    struct node_job *jobs = mem_zalloc(sizeof *jobs * CLUSTER_NODES_MAX);
    int rc = 0;
    for (int i = 0; i < c->nodes; i++) {
        jobs[i].node = cluster_node_of(c, &c->hosts[c->members + i]);
        jobs[i].started = pthread_create(&jobs[i].thread, NULL, stop_host, &jobs[i]) == 0;
        if (!jobs[i].started)
            stop_host(&jobs[i]);
    }
    for (int i = 0; i < c->nodes; i++) {
        if (jobs[i].started)
            pthread_join(jobs[i].thread, NULL);
        keep_first(&rc, err, jobs[i].rc, &jobs[i].err);
    }
    mem_free(jobs);
    return rc;
}

/* Everything is attempted; the first failure is reported and keeps cluster.conf, so that `down` can
 * be repeated. */
static int tear_down(struct cluster *c, struct error *err)
{
    static const enum cluster_role order[] = {ROLE_CONTROLLERS, ROLE_SCHEDULER, ROLE_APISERVER};
    struct error step = {0};
    int rc = 0;
    keep_first(&rc, err, stop_nodes(c, &step), &step);
    for (size_t r = 0; r < ARRAY_LEN(order); r++) {
        /* First the signal to all, then the waiting: they stop side by side. */
        for (int i = 0; i < c->members; i++)
            process_signal(cluster_pid_file(c, &c->hosts[i], order[r]), SIGTERM, NULL);
        for (int i = 0; i < c->members; i++)
            keep_first(
                &rc, err,
                process_stop(cluster_pid_file(c, &c->hosts[i], order[r]), STOP_TIMEOUT_MS, &step),
                &step);
    }
    keep_first(&rc, err, cluster_network_down(c, &step), &step);
    keep_first(&rc, err, cluster_remove_tree(c->run_dir, &step), &step);
    if (rc == 0)
        rc = cluster_remove_tree(c->state_dir, err);
    if (rc == 0)
        cluster_remove_shared();
    return rc;
}

int cluster_down_main(int argc, char **argv)
{
    const char *name = "c8s";
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &name, "NAME", "Name of the cluster."},
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s down",
                                    .summary = "Stop a local cluster and remove every trace of it",
                                    .flags = flags};
    struct error err = {0};
    struct cluster *c = mem_zalloc(sizeof *c);
    flags_parse_or_exit(&spec, argc, argv, NULL, 2);
    int rc = require_root(&err);
    if (rc == 0)
        rc = cluster_lock(&err);
    if (rc == 0)
        rc = cluster_load(name, c, &err);
    if (rc == 0)
        rc = tear_down(c, &err);
    cluster_close(c);
    mem_free(c);
    if (rc == ERR_NOT_FOUND) { /* nothing to remove is what was asked for */
        printf("%s\n", err.message);
        return 0;
    }
    return rc < 0 ? fail("down", &err) : 0;
}

/* --- pause, unpause --- */

static bool named(const struct flag_list *hosts, const struct host *h)
{
    for (size_t i = 0; i < hosts->len; i++)
        if (cstr_eq(hosts->items[i], h->short_name) || cstr_eq(hosts->items[i], h->name))
            return true;
    return hosts->len == 0;
}

static int signal_hosts(struct cluster *c, const struct flag_list *hosts, int signal_number,
                        struct error *err)
{
    struct process_view views[CLUSTER_VIEWS_MAX];
    size_t signalled = 0, n = cluster_list_processes(c, views);
    for (size_t i = 0; i < n; i++) {
        if (!views[i].pid || !named(hosts, views[i].host))
            continue;
        if (kill(views[i].pid, signal_number) < 0)
            return error_set(err, ERR_IO, "%s on %s (pid %d): signal failed",
                             cluster_role_name(views[i].role), views[i].host->name,
                             (int)views[i].pid);
        signalled++;
    }
    return signalled
               ? 0
               : error_set(err, ERR_NOT_FOUND, "no process of cluster %s runs there", c->name);
}

static int pause_or_unpause(int argc, char **argv, const char *program, const char *summary,
                            int signal_number)
{
    const char *name = "c8s";
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &name, "NAME", "Name of the cluster."},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = program,
        .summary = summary,
        .usage = "[flags] [HOST]…",
        .details = "HOST is cp1, node2, …; without one, all hosts. Containers go "
                   "on running.",
        .flags = flags,
        .args_max = FLAGS_ANY};
    struct error err = {0};
    struct flag_list hosts = {0};
    struct cluster *c = mem_zalloc(sizeof *c);
    flags_parse_or_exit(&spec, argc, argv, &hosts, 2);
    int rc = require_root(&err);
    if (rc == 0)
        rc = cluster_load(name, c, &err);
    if (rc == 0)
        rc = signal_hosts(c, &hosts, signal_number, &err);
    cluster_close(c);
    mem_free(c);
    flag_list_free(&hosts);
    return rc < 0 ? fail(argv[0], &err) : 0;
}

int cluster_pause_main(int argc, char **argv)
{
    return pause_or_unpause(argc, argv, "c8s pause", "Freeze the processes of all or some hosts",
                            SIGSTOP);
}

int cluster_unpause_main(int argc, char **argv)
{
    return pause_or_unpause(argc, argv, "c8s unpause", "Let frozen processes go on", SIGCONT);
}
