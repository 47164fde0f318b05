/*
 * c8s-apiserver: a control-plane member. Opens the store, serves its clients (etcd v3) and, unless
 * --store-only, the Kubernetes API; ends gracefully on SIGTERM and SIGINT.
 *
 * Threads: the store's own, a few loops for store clients, config.loops_len loops for the API, the keeper,
 * and this one, which waits for signals.
 */
#include "apiserver/options.h"
#include "apiserver/restore.h"
#include "apiserver/watch/hub.h"
#include "base/log.h"
#include "base/mem.h"
#include "kvstore/etcd/etcd.h"
#include "kvstore/kv_integrity.h"
#include <errno.h>
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GRACE_MS 5000
#define LOOPS_MAX 16
#define STORE_LOOPS_MAX 4

/* sd_notify: one datagram to the service manager, if there is one. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n == 0 || n >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, n);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_warn("main", "the service manager was not told error=\"%s\"", strerror(errno));
    if (fd >= 0)
        close(fd);
}

struct process {
    struct options options;
    struct arena arena;
    struct kv *kv;
    struct loop *loops[LOOPS_MAX];
    struct loop *store_loops[STORE_LOOPS_MAX]; /* serve the store's clients */
    size_t store_loops_len;
    struct etcd_server *etcd;
    struct apiserver *api;
};

/* A descriptor a connection: take what the system allows, as Go programs do. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn("main", "cannot raise the limit of open files error=\"%s\"", strerror(errno));
}

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* For a new beginning. Async-signal-safe: what the kernel has of the command line is used. */
static char **command_line;

static void begin_anew(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv("/proc/self/exe", command_line);
}

/*
 * The store cannot go on. After a failed write the process ends, and whoever supervises it may start it
 * again once the disk works. When the stored state is damaged the next start rebuilds it from the other
 * members, and nobody else is needed for that: begin anew at once.
 */
static void store_failed(void *ctx, const struct error *why)
{
    (void)ctx;
    if (why->code == ERR_CORRUPT) {
        log_warn("main", "beginning anew to rebuild the state");
        begin_anew();
    }
    log_error("main", "ending: the store has stopped error=\"%s\"", why->message);
    _exit(1);
}

/* The store says so in the log; from here on it is a graceful end as any other. */
static void on_removed(void *ctx)
{
    (void)ctx;
    kill(getpid(), SIGTERM);
}

static int open_store(struct process *p, struct error *err)
{
    struct kv_options options;
    if (options_store(&p->options, &p->arena, &options, err) < 0)
        return err->code;
    const char *level = getenv("C8S_TEST_LEVEL"); /* tests of rolling upgrades: an older program */
    if (level)
        options.level = (unsigned)atoi(level);
    options.on_removed = on_removed;
    options.event_cache_free = watch_event_cache_free;
    options.fail_stop = store_failed;
    p->kv = kv_open(&options, err);
    if (p->kv)
        kv_catch_faults(p->kv, begin_anew);
    return p->kv ? 0 : err->code;
}

/* NULL-terminated, in the arena. */
static const char *const *strings(struct arena *a, const struct flag_list *list)
{
    const char **out = arena_array(a, const char *, list->len + 1);
    for (size_t i = 0; i < list->len; i++)
        out[i] = list->items[i];
    return out;
}

static int start_etcd(struct process *p, struct error *err)
{
    const struct options *o = &p->options;
    /* Half of the processors: Raft, the journal and applying want the rest. */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    p->store_loops_len = processors < 4 ? 1 : MIN((size_t)processors / 2, STORE_LOOPS_MAX);
    for (size_t i = 0; i < p->store_loops_len; i++)
        p->store_loops[i] = loop_start("store-clients");
    p->etcd = etcd_server_start(
        &(struct etcd_config){
            .kv = p->kv,
            .metrics = o->api.metrics,
            .loops = p->store_loops,
            .loops_len = p->store_loops_len,
            .listen_client_urls = strings(&p->arena, &o->client_urls),
            .listen_client_http_urls = strings(&p->arena, &o->client_http_urls),
            .no_gateway = !o->grpc_gateway,
            .listen_metrics_urls = strings(&p->arena, &o->metrics_urls),
            .cert_file = o->cert_file,
            .key_file = o->key_file,
            .ca_file = o->ca_file,
            .client_cert_auth = o->client_cert_auth,
            .crl_file = o->client_crl_file,
            .cipher_suites = options_cipher_suites(o, &p->arena),
            .tls_min_version = o->tls_min_version,
            .tls_max_version = o->tls_max_version,
            .keepalive_min_ms = (uint64_t)MAX(o->keepalive_min_ns, 0) / 1000000,
            .keepalive_interval_ms = (uint64_t)MAX(o->keepalive_interval_ns, 0) / 1000000,
            .keepalive_timeout_ms = (uint64_t)MAX(o->keepalive_timeout_ns, 0) / 1000000,
            .request_bytes_max = o->request_bytes_max,
            .txn_ops_max = o->txn_ops_max,
            .extensive_metrics = cstr_eq(o->metrics_detail, "extensive"),
            .warning_call_ns = (uint64_t)MAX(o->warning_call_ns, 1),
            .election_ms = (uint32_t)o->election_ms,
            .streams_max = (unsigned)MIN(o->streams_max, UINT32_MAX),
        },
        err);
    return p->etcd ? 0 : err->code;
}

static int start_api(struct process *p, struct error *err)
{
    struct apiserver_config *c = &p->options.api;
    if (p->options.store_only)
        return 0;
    if (!c->tls_cert_file || !c->tls_key_file)
        return error_set(err, ERR_INVALID, "--tls-cert-file and --tls-private-key-file are needed");
    for (size_t i = 0; i < c->loops_len; i++)
        p->loops[i] = loop_start("api");
    p->api = apiserver_start(c, p->kv, p->loops, err);
    return p->api ? 0 : err->code;
}

static void on_transfer(void *ctx, int code, int64_t rev)
{
    (void)code;
    (void)rev;
    sem_post(ctx);
}

/* A leader hands over before it goes, so that nobody has to wait for an election. */
static void hand_over(struct process *p)
{
    struct kv_status st;
    sem_t done;
    kv_status(p->kv, &st);
    if (st.leader_id != st.member_id || st.failed)
        return;
    sem_init(&done, 0, 0);
    kv_move_leader(p->kv, 0, NULL, on_transfer, &done);
    while (sem_wait(&done) < 0 && errno == EINTR)
        ;
    sem_destroy(&done);
}

/* In the reverse order of starting; what was not started is skipped. */
static void stop(struct process *p)
{
    if (p->kv)
        hand_over(p);
    if (p->api)
        apiserver_stop(p->api, GRACE_MS);
    etcd_server_stop(p->etcd, GRACE_MS);
    if (p->kv)
        kv_close(p->kv); /* posts to the loops until it returns */
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (p->loops[i])
            loop_join(p->loops[i]);
    for (size_t i = 0; i < p->store_loops_len; i++)
        loop_join(p->store_loops[i]);
    metrics_free(p->options.api.metrics);
    options_free(&p->options);
    arena_free(&p->arena);
}

static int run(struct process *p, const sigset_t *signals)
{
    struct error err = {0};
    if (open_store(p, &err) < 0 || start_etcd(p, &err) < 0 || start_api(p, &err) < 0) {
        log_error("main", "cannot start error=\"%s\"", err.message);
        return 1;
    }
    log_info("main", "started version=%s name=%s data_dir=%s", C8S_VERSION, p->options.name,
             p->options.data_dir);
    notify("READY=1");
    int signal_number = 0;
    sigwait(signals, &signal_number);
    log_info("main", "ending on a signal signal=%d", signal_number);
    notify("STOPPING=1");
    return 0;
}

int main(int argc, char **argv)
{
    struct process p = {0};
    sigset_t signals;
    mallopt(M_ARENA_MAX, 8); /* one for each thread that is busy, so that none waits for another */
    /* Answers of some hundred KB come and go: keep their pages instead of faulting them in each time. */
    mallopt(M_MMAP_THRESHOLD, 2 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    command_line = argv;
    options_parse(&p.options, argc, argv);
    enum log_level level;
    if (!log_parse_level(p.options.log_level, &level))
        level = LOG_ERROR; /* panic, fatal: the member that ends says why in such a line */
    log_set_level(p.options.verbosity >= 4 ? LOG_DEBUG : level);
    log_set_json(cstr_eq(p.options.log_format, "json"));
    for (size_t i = 0; i < p.options.unknown_variables.len; i++)
        log_warn("main", "unrecognized environment variable name=%s",
                 p.options.unknown_variables.items[i]);
    raise_descriptor_limit();
    block_signals(&signals);
    arena_init(&p.arena);
    if (p.options.restore_file) {
        log_set_level(LOG_WARN);
        int restored = restore_run(&p.options, &p.arena);
        options_free(&p.options);
        arena_free(&p.arena);
        return restored;
    }
    p.options.api.metrics = metrics_new();
    int code = run(&p, &signals);
    stop(&p);
    return code;
}
