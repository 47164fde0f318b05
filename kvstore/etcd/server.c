/*
 * The etcd v3 server: listening by URL, dispatch to the services, stopping. See etcd.h.
 */
#include "kvstore/etcd/auth.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#define REFRESH_MS 200
#define METRICS_CONNECTIONS_MAX 50
#define RESETS_PER_S_MAX 1000        /* calls given up at once: etcd has no limit of these */
#define OVERHEAD_BYTES (512u * 1024) /* of a message around a request of the maximal size */

void etcd_header(const struct etcd_server *s, Etcdserverpb__ResponseHeader *h, int64_t rev)
{
    etcdserverpb__response_header__init(h);
    h->cluster_id = s->cluster_id;
    h->member_id = s->member_id;
    h->revision = rev ? rev : kv_current_revision(s->kv);
    h->raft_term = atomic_load_explicit(&s->term, memory_order_relaxed);
}

static void refresh(struct loop_timer *timer)
{
    struct etcd_server *s = container_of(timer, struct etcd_server, refresh);
    struct kv_status st;
    kv_status(s->kv, &st);
    atomic_store_explicit(&s->term, st.term, memory_order_relaxed);
    etcd_leader_watch(s, st.leader_id != 0, loop_now_ms(s->config.loops[0]));
    loop_timer_start(timer, REFRESH_MS);
}

static void on_headers(void *ctx, struct http_exchange *x)
{
    struct etcd_server *s = ctx;
    if (!grpc_server_take(s->grpc, x) && !s->config.no_gateway)
        etcd_gateway_headers(s, x);
}

static void on_plain_headers(void *ctx, struct http_exchange *x)
{
    struct etcd_server *s = ctx;
    if (!s->config.no_gateway)
        etcd_gateway_headers(s, x);
}

static struct tls_context *make_tls(const struct etcd_config *c, struct error *err)
{
    return tls_server_new(
        &(struct tls_options){
            .cert_file = c->cert_file,
            .key_file = c->key_file,
            .ca_file = c->ca_file,
            .crl_file = c->crl_file,
            .cipher_suites = c->cipher_suites,
            .min_version = c->tls_min_version,
            .max_version = c->tls_max_version,
            .watch_files = true,
            .client_auth =
                c->client_cert_auth || c->ca_file ? TLS_CLIENT_AUTH_REQUIRE : TLS_CLIENT_AUTH_NONE,
        },
        err);
}

/* Split "https://host:port" into address and TLS. */
static int listen_url(struct http_server *http, const char *url, struct tls_context *tls,
                      struct error *err)
{
    struct str u = str_from(url);
    bool secure = str_has_prefix(u, STR("https://")) || str_has_prefix(u, STR("unixs://"));
    bool is_unix = str_has_prefix(u, STR("unix://")) || str_has_prefix(u, STR("unixs://"));
    if (!secure && !is_unix && !str_has_prefix(u, STR("http://")))
        return error_set(err, ERR_INVALID, "URL scheme must be http, https, unix, or unixs: %s",
                         url);
    if (secure && !tls)
        return error_set(err, ERR_INVALID, "%s needs --cert-file and --key-file", url);
    struct str rest = str_slice(u, (size_t)str_find(u, STR("://")) + 3, u.n);
    ptrdiff_t slash = is_unix ? -1 : str_find_char(rest, '/');
    if (slash >= 0 && (size_t)slash + 1 < rest.n)
        return error_set(err, ERR_INVALID, "URL must not contain a path: %s", url);
    if (slash >= 0)
        rest = str_slice(rest, 0, (size_t)slash);
    char *address = mem_printf("%s%.*s", is_unix ? "unix:" : "", STR_ARG(rest));
    int rc = http_server_listen(http, address, secure ? tls : NULL, err);
    mem_free(address);
    return rc < 0 ? error_wrap(err, "listen on %s", url) : 0;
}

static int listen_all(struct etcd_server *s, struct error *err)
{
    const struct etcd_config *c = &s->config;
    struct tls_context *tls = NULL;
    if (c->cert_file && !(tls = make_tls(c, err)))
        return ERR_INVALID;
    int rc = 0;
    for (const char *const *url = c->listen_client_urls; *url && rc == 0; url++)
        rc = listen_url(s->http, *url, tls, err);
    for (const char *const *url = c->listen_client_http_urls; url && *url && rc == 0; url++)
        rc = listen_url(s->plain_http, *url, tls, err);
    for (const char *const *url = c->listen_metrics_urls; url && *url && rc == 0; url++)
        rc = listen_url(s->metrics_http, *url, tls, err);
    tls_context_unref(tls);
    return rc;
}

static void start_refresh(void *arg)
{
    struct etcd_server *s = arg;
    loop_timer_init(s->config.loops[0], &s->refresh, refresh);
    loop_timer_start(&s->refresh, REFRESH_MS);
}

static void stop_refresh(void *arg)
{
    struct etcd_server *s = arg;
    loop_timer_stop(&s->refresh);
}

static double has_leader(void *kv)
{
    struct kv_status st;
    kv_status(kv, &st);
    return st.leader_id != 0;
}

static double is_leader(void *kv)
{
    struct kv_status st;
    kv_status(kv, &st);
    return st.leader_id == st.member_id;
}

static void add_metrics(struct etcd_server *s)
{
    struct metrics *m = s->config.metrics;
    if (!m)
        return;
    gauge_set(metrics_gauge(m, "etcd_server_version", "server_version=\"" ETCD_VERSION "\"",
                            "Which version is running; always 1."),
              1);
    metrics_gauge_fn(m, "etcd_server_has_leader", NULL,
                     "Whether or not a leader exists. 1 is existence, 0 is not.", has_leader,
                     s->kv);
    metrics_gauge_fn(m, "etcd_server_is_leader", NULL,
                     "Whether or not this member is a leader. 1 if is, 0 otherwise.", is_leader,
                     s->kv);
}

struct end_streams {
    struct etcd_server *server;
    struct loop *loop;
};

static void end_streams(void *arg)
{
    struct end_streams *e = arg;
    grpc_server_end_streams(e->server->grpc, e->loop);
}

static void close_server(struct http_server *http, uint64_t grace_ms)
{
    if (!http)
        return;
    http_server_stop_wait(http, grace_ms);
    http_server_free(http);
}

void etcd_server_stop(struct etcd_server *s, uint64_t grace_ms)
{
    if (!s)
        return;
    loop_call(s->config.loops[0], stop_refresh, s); /* before what it may have posted has run out */
    /* Watches and keep-alives would only sit the grace out. */
    for (size_t i = 0; i < s->config.loops_len; i++)
        loop_call(s->config.loops[i], end_streams, &(struct end_streams){s, s->config.loops[i]});
    etcd_jobs_close(&s->jobs);
    close_server(s->http, grace_ms);
    close_server(s->plain_http, grace_ms);
    close_server(s->metrics_http, grace_ms);
    grpc_server_free(s->grpc);
    etcd_metrics_free(s->calls);
    mem_free((void *)s->config.loops);
    mem_free(s);
}

static void on_finished(void *ctx, const struct grpc_method *method, int status, uint64_t took_ns)
{
    struct etcd_server *s = ctx;
    etcd_metrics_ended(s->calls, method, status, took_ns);
}

static void add_methods(struct etcd_server *s, const struct grpc_method *methods, size_t n)
{
    grpc_server_add(s->grpc, methods, n);
    etcd_metrics_add(s->calls, methods, n);
}

struct etcd_server *etcd_server_start(const struct etcd_config *config, struct error *err)
{
    struct etcd_server *s = mem_zalloc(sizeof *s);
    s->config = *config;
    etcd_jobs_init(&s->jobs);
    struct etcd_config *c = &s->config;
    c->request_bytes_max = c->request_bytes_max ? c->request_bytes_max : 1536u * 1024;
    c->txn_ops_max = c->txn_ops_max ? c->txn_ops_max : 128;
    c->election_ms = c->election_ms ? c->election_ms : 1000;
    c->streams_max = c->streams_max ? c->streams_max : 10000;
    c->loops = mem_dup(config->loops, config->loops_len * sizeof *config->loops);
    s->kv = config->kv;
    struct kv_status st;
    kv_status(s->kv, &st);
    s->cluster_id = st.cluster_id;
    s->member_id = st.member_id;
    atomic_store(&s->term, st.term);
    s->calls = etcd_metrics_new(c->metrics, c->extensive_metrics, c->warning_call_ns);
    s->grpc = grpc_server_new(
        &(struct grpc_server_options){.ctx = s,
                                      .message_bytes_max = c->request_bytes_max + OVERHEAD_BYTES,
                                      .on_finished = on_finished,
                                      .admit = etcd_auth_admit,
                                      .check = etcd_check});
    add_methods(s, etcd_kv_methods, etcd_kv_methods_len);
    add_methods(s, etcd_watch_methods, etcd_watch_methods_len);
    add_methods(s, etcd_lease_methods, etcd_lease_methods_len);
    add_methods(s, etcd_cluster_methods, etcd_cluster_methods_len);
    add_methods(s, etcd_maintenance_methods, etcd_maintenance_methods_len);
    add_methods(s, etcd_lock_methods, etcd_lock_methods_len);
    add_methods(s, etcd_election_methods, etcd_election_methods_len);
    add_methods(s, etcd_health_methods, etcd_health_methods_len);
    add_methods(s, etcd_auth_methods, etcd_auth_methods_len);
    add_methods(s, etcd_range_stream_methods, etcd_range_stream_methods_len);
    add_methods(s, &etcd_snapshot_method, 1);
    struct http_server_options options = {
        .loops = c->loops,
        .loops_len = c->loops_len,
        .ctx = s,
        .on_request = etcd_http_request,
        .on_headers = on_headers,
        .streams_max = c->streams_max,
        .connections_max = http_connections_max(),
        .resets_per_s_max = RESETS_PER_S_MAX,
        .idle_timeout_ms = 3600u * 1000, /* etcd's clients keep a connection for good */
        .ping_min_ms = c->keepalive_min_ms ? c->keepalive_min_ms : 5000,
        .ping_interval_ms = c->keepalive_interval_ms ? c->keepalive_interval_ms : 7200u * 1000,
        .ping_timeout_ms = c->keepalive_timeout_ms ? c->keepalive_timeout_ms : 20u * 1000,
    };
    s->http = http_server_new(&options);
    if (c->listen_client_http_urls && *c->listen_client_http_urls) {
        options.on_headers = on_plain_headers;
        s->plain_http = http_server_new(&options);
    }
    if (c->listen_metrics_urls && *c->listen_metrics_urls) {
        options.on_headers = NULL;
        options.connections_max = METRICS_CONNECTIONS_MAX;
        s->metrics_http = http_server_new(&options);
    }
    loop_call(c->loops[0], start_refresh, s);
    if (listen_all(s, err) < 0) {
        etcd_server_stop(s, 0);
        return NULL;
    }
    add_metrics(s);
    /* The strings are the caller's and not needed any more. */
    c->listen_client_urls = c->listen_client_http_urls = c->listen_metrics_urls = NULL;
    c->cert_file = c->key_file = c->ca_file = c->crl_file = c->cipher_suites = c->tls_min_version =
        c->tls_max_version = NULL;
    return s;
}

int etcd_server_port(const struct etcd_server *s, size_t index)
{
    return http_server_port(s->http, index);
}
