/*
 * The way into the API server: limits, authentication, authorization, and the paths that are not
 * resources. See server.h.
 */
#include "apiserver/server.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admission/quota.h"
#include "apiserver/services/allocator.h"
#include "apiserver/rest/answer_cache.h"
#include "apiserver/custom/registry.h"
#include "apiserver/auth/authn_stored.h"
#include "apiserver/auth/authn_websocket.h"
#include "apiserver/discovery.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/flow/flow_filter.h"
#include "apiserver/flow/flow_width.h"
#include "apiserver/auth/impersonate.h"
#include "apiserver/kept/keeper.h"
#include "apiserver/rest/list_cache.h"
#include "apiserver/proxy/node_client.h"
#include "apiserver/health.h"
#include "apiserver/openapi_service.h"
#include "apiserver/watch/hub.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdio.h>

#define BODY_MAX (3u << 20)
#define GIT_VERSION "v1.35.0+c8s." C8S_VERSION

void apiserver_config_init(struct apiserver_config *c)
{
    *c = (struct apiserver_config){
        .bind_address = "0.0.0.0",
        .secure_port = 6443,
        .loops_len = 2,
        .sa_issuer = "https://kubernetes.default.svc.cluster.local",
        .anonymous = true,
        .admission_off = admission_default_off(),
        .service_cidr = "10.96.0.0/12",
        .node_port_min = 30000,
        .node_port_max = 32767,
        .inflight_max = 400,
        .mutating_inflight_max = 200,
        .priority_and_fairness = true,
        .watchers_max = 100000,
        .min_request_timeout_s = 1800,
        .compaction_interval_s = 300,
        .event_ttl_s = 3600,
        .member_ttl_s = 15,
    };
}

struct worker *apiserver_worker(struct apiserver *s, const struct loop *loop)
{
    for (size_t i = 0; i < s->workers_len; i++)
        if (s->workers[i].loop == loop)
            return &s->workers[i];
    return NULL;
}

/* ---- counting ---- */

struct http_metrics {
    struct histogram *seconds[8][2]; /* verb bit, resource or not */
    struct counter *codes[6];        /* 1xx … 5xx */
};

static const double second_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                       0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

static struct http_metrics *metrics_make(struct metrics *m)
{
    struct http_metrics *h = mem_zalloc(sizeof *h);
    char labels[64];
    if (!m)
        return h;
    for (unsigned v = 0; v < 8; v++) {
        snprintf(labels, sizeof labels, "verb=\"%s\"", verb_name((enum verb)(1u << v)));
        h->seconds[v][1] = metrics_histogram(m, "apiserver_request_duration_seconds", labels,
                                             "Time from request to answer, watches and logs apart.",
                                             second_bounds, ARRAY_LEN(second_bounds));
    }
    for (unsigned c = 1; c < 6; c++) {
        snprintf(labels, sizeof labels, "code=\"%uxx\"", c);
        h->codes[c] = metrics_counter(m, "apiserver_request_total", labels,
                                      "Requests answered, by class of status.");
    }
    return h;
}

static double inflight_now(void *ctx)
{
    struct apiserver *s = ctx;
    return (double)(atomic_load(&s->inflight) + atomic_load(&s->mutating_inflight));
}

static double watchers_now(void *ctx)
{
    return (double)atomic_load(&((struct apiserver *)ctx)->watchers);
}

static void on_done(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct apiserver *s = rq->server;
    flow_filter_done(rq);
    if (rq->budget)
        kv_budget_give(s->kv, rq->budget, rq->budget_flow);
    resource_unref(rq->r);
    unsigned class = (unsigned)rq->code / 100;
    if (class >= 1 && class <= 5 && s->metrics->codes[class])
        counter_add(s->metrics->codes[class], 1);
    if (rq->info.verb && !request_is_long_running(&rq->info)) {
        struct histogram *h = s->metrics->seconds[__builtin_ctz(rq->info.verb)][1];
        if (h)
            histogram_observe(h, (double)(clock_mono_ns() - rq->started_ns) / 1e9);
    }
}

/* ---- who and whether ---- */

static const struct user *authenticate(struct rest *rq, struct error *err)
{
    const struct tls_peer *p = rq->x->peer;
    struct authn_peer peer = {0};
    struct str authorization = http_header_get(rq->x, "authorization"), token;
    bool bad_token = websocket_token_take(rq->x, rq->a, &token, err) < 0;
    const struct user *u = front_proxy_user(&rq->server->config.front_proxy, rq->x, rq->a);
    front_proxy_forget(&rq->server->config.front_proxy, rq->x, rq->a);
    if (u)
        return u;
    if (p)
        peer = (struct authn_peer){.presented = true,
                                   .verified = p->verified,
                                   .common_name = p->common_name,
                                   .organisations = p->organizations,
                                   .organisations_len = p->organizations_len,
                                   .user_ids = p->user_ids,
                                   .user_ids_len = p->user_ids_len,
                                   .fingerprint_sha256 = p->fingerprint_sha256};
    if (!authorization.n && !peer.verified) {
        if (bad_token)
            return NULL;
        if (token.n)
            authorization = str_from(arena_printf(rq->a, "Bearer %.*s", STR_ARG(token)));
    }
    return authn_request(rq->server->authn, &peer, authorization, rq->a, err);
}

static void attributes_of(const struct rest *rq, struct authz_attributes *at)
{
    const struct request_info *i = &rq->info;
    *at = (struct authz_attributes){.user = rq->user,
                                    .verb = i->verb_str,
                                    .is_resource = i->is_resource,
                                    .group = i->group,
                                    .resource = i->resource,
                                    .subresource = i->subresource,
                                    .ns = i->ns,
                                    .name = i->name,
                                    .path = i->path};
    if (i->verb & (VERB_LIST | VERB_WATCH | VERB_DELETECOLLECTION))
        at->fields = query_get(rq->a, i->query, "fieldSelector");
}

/* ---- paths that are no resources ---- */

static void serve_version(struct rest *rq)
{
    rest_respond(
        rq, 200, "application/json",
        STR("{\n  \"major\": \"1\",\n  \"minor\": \"35\",\n  \"gitVersion\": \"" GIT_VERSION "\",\n"
            "  \"gitCommit\": \"\",\n  \"gitTreeState\": \"clean\",\n  \"buildDate\": "
            "\"1970-01-01T00:00:00Z\",\n"
            "  \"goVersion\": \"none\",\n  \"compiler\": \"gcc\",\n  \"platform\": "
            "\"linux/amd64\"\n}"));
}

static void serve_metrics(struct rest *rq)
{
    struct buf b;
    buf_init(&b);
    if (rq->server->config.metrics)
        metrics_render(rq->server->config.metrics, &b);
    rest_respond(rq, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
    buf_free(&b);
}

/* What relying parties need to know to check tokens; they may keep it for an hour. */
static void serve_openid(struct rest *rq)
{
    struct apiserver *s = rq->server;
    bool keys = strcmp(rq->info.path, "/openid/v1/jwks") == 0;
    struct http_header h[] = {
        {STR("cache-control"), STR("public, max-age=3600")},
        {STR("content-type"), keys ? STR("application/jwk-set+json") : STR("application/json")}};
    struct buf b;
    buf_init(&b);
    if (keys) {
        jwt_keys_jwks(s->sa_keys, &b);
    } else {
        buf_printf(&b,
                   "{\"issuer\":\"%s\",\"jwks_uri\":\"https://%s:%d/openid/v1/"
                   "jwks\",\"response_types_supported\":[\"id_token\"],"
                   "\"subject_types_supported\":[\"public\"],"
                   "\"id_token_signing_alg_values_supported\":",
                   s->config.sa_issuer,
                   s->config.advertise_address ? s->config.advertise_address : "127.0.0.1",
                   apiserver_port(s));
        jwt_keys_algorithms(s->sa_keys, &b);
        buf_append_char(&b, '}');
    }
    rq->code = 200;
    http_respond(rq->x, 200, h, ARRAY_LEN(h), buf_str(&b));
    buf_free(&b);
}

static void serve_path(struct rest *rq)
{
    const char *path = rq->info.path;
    bool get = strcmp(rq->info.verb_str, "get") == 0 || strcmp(rq->info.verb_str, "head") == 0;
    if (!get)
        rest_status(rq,
                    status_new(rq->a, 405, "MethodNotAllowed",
                               "the server does not allow this method on the requested resource"));
    else if (health_is_path(path))
        health_serve(rq);
    else if (strcmp(path, "/version") == 0 || strcmp(path, "/version/") == 0)
        serve_version(rq);
    else if (strcmp(path, "/metrics") == 0)
        serve_metrics(rq);
    else if (rq->server->sa_keys && (strcmp(path, "/openid/v1/jwks") == 0 ||
                                     strcmp(path, "/.well-known/openid-configuration") == 0))
        serve_openid(rq);
    else if (strcmp(path, "/") == 0)
        rest_respond(rq, 200, "application/json",
                     STR("{\"paths\":[\"/api\",\"/api/v1\",\"/apis\",\"/healthz\",\"/livez\",\"/"
                         "metrics\",\"/openapi/v2\",\"/openapi/v3\","
                         "\"/readyz\",\"/version\"]}\n"));
    else if (!flow_filter_dump(rq) && !openapi_service_serve(rq->server->openapi, rq) &&
             !discovery_serve(rq))
        rest_page_not_found(rq);
}

/* ---- a request ---- */

/* What Go says of a text that is no duration. */
static const char *duration_words(struct arena *a, const char *text)
{
    static const char *const units[] = {"ns", "us", "\xc2\xb5s", "\xce\xbcs", "ms", "s", "m", "h"};
    const char *said = field_quote(a, text), *at = text + (*text == '-' || *text == '+');
    while (*at) {
        size_t digits = strspn(at, "0123456789."), unit = strcspn(at + digits, "0123456789.");
        bool known = false;
        if (strcspn(at, "0123456789") >= digits)
            break; /* no digit */
        if (!unit)
            return arena_printf(a, "time: missing unit in duration %s", said);
        const char *name = arena_strndup(a, at + digits, unit);
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            known |= strcmp(name, units[i]) == 0;
        if (!known)
            return arena_printf(a, "time: unknown unit %s in duration %s", field_quote(a, name),
                                said);
        at += digits + unit;
    }
    return arena_printf(a, "time: invalid duration %s", said);
}

/* ?timeout= is how long the client waits. Nothing here takes that long, but it has to be one. */
static struct status *check_timeout(struct rest *rq)
{
    const char *text = query_get(rq->a, rq->info.query, "timeout");
    int64_t ns;
    if (!text || !*text || clock_parse_duration(str_from(text), &ns))
        return NULL;
    return status_bad_request(rq->a, "invalid timeout specified in the request URL - %s",
                              duration_words(rq->a, text));
}

static struct rest *rest_new(struct apiserver *s, struct http_exchange *x)
{
    struct rest *rq = arena_new(&x->arena, struct rest);
    rq->server = s;
    rq->worker = apiserver_worker(s, x->loop);
    rq->x = x;
    rq->a = &x->arena;
    rq->started_ns = clock_mono_ns();
    rq->info = (struct request_info)REQUEST_INFO_NONE;
    list_init(&rq->event_link);
    x->user = rq;
    x->on_done = on_done;
    return rq;
}

/* It is known who asks, and it is his turn. */
static void serve(struct rest *rq)
{
    struct authz_attributes at;
    const char *reason;
    attributes_of(rq, &at);
    /* Why is only asked of a refusal: it takes longer to put into words than to decide. */
    if (!authz_allowed(rq->server->authz, &at, rq->a, NULL) &&
        !authz_allowed(rq->server->authz, &at, rq->a, &reason))
        rest_status(rq, authz_forbidden(rq->a, &at, reason));
    else if (!rq->info.is_resource)
        serve_path(rq);
    else
        rest_dispatch(rq);
}

/* Does somebody read the answer himself? Whoever says so, else those who come with curl, wget or a browser. */
static bool wants_indented(struct rest *rq)
{
    static const char *const yes[] = {"1", "t", "T", "true", "True", "TRUE"};
    const char *asked = query_get(rq->a, rq->info.query, "pretty");
    if (rq->accept.pretty)
        return true;
    if (asked && *asked) {
        for (size_t i = 0; i < ARRAY_LEN(yes); i++)
            if (strcmp(asked, yes[i]) == 0)
                return true;
        return false;
    }
    struct str agent = http_header_get(rq->x, "user-agent");
    return str_has_prefix(agent, STR("curl")) || str_has_prefix(agent, STR("Wget")) ||
           str_has_prefix(agent, STR("Mozilla/5.0"));
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct rest *rq = rest_new(ctx, x);
    struct error err = {0};
    if (request_info_parse(rq->a, x->method, x->path, x->query, &rq->info, &err) < 0) {
        rest_status(rq, status_bad_request(rq->a, "%s", err.message));
        return;
    }
    /* Errors are answered as the client wants its answers. */
    if (!negotiate_accept(http_header_get(x, "accept"), !rq->info.is_resource, &rq->accept))
        rq->accept = (struct accept){0};
    rq->pretty = wants_indented(rq);
    rq->indent.width = 2;
    struct status *bad_timeout = request_is_long_running(&rq->info) ? NULL : check_timeout(rq);
    if (bad_timeout) {
        rest_status(rq, bad_timeout);
        return;
    }
    if (!rq->info.is_resource && health_is_path(rq->info.path)) {
        serve_path(rq);
        return;
    }
    rq->user = authenticate(rq, &err);
    if (!rq->user) {
        log_debug("authn", "request refused reason=\"%s\" remote=%s", err.message, x->remote);
        rest_status(rq, err.code == ERR_DENIED ? status_unauthorized(rq->a)
                                               : status_from_error(rq->a, &err));
        return;
    }
    struct status *s = impersonate(rq);
    struct authz_attributes at;
    if (s) {
        rest_status(rq, s);
        return;
    }
    attributes_of(rq, &at);
    flow_filter_enter(rq, &at, serve);
}

/* Too long a body is refused before it is read; that of a proxied request is passed on as it comes. */
static void on_headers(void *ctx, struct http_exchange *x)
{
    if (rest_proxy_streams(x)) {
        http_body_stream(x, rest_proxy_body);
        on_request(ctx, x);
        return;
    }
    if (x->content_length <= (int64_t)BODY_MAX)
        return;
    struct rest *rq = rest_new(ctx, x);
    rest_status(rq, status_new(rq->a, 413, "RequestEntityTooLarge",
                               "Request entity too large: limit is %u", BODY_MAX));
}

/* ---- life ---- */

static int load_keys(struct apiserver *s, struct error *err)
{
    const struct apiserver_config *c = &s->config;
    if (c->sa_signing_key_file && !(s->sa_signer = jwt_signer_load(c->sa_signing_key_file, err)))
        return error_wrap(err, "--service-account-signing-key-file");
    if (!c->sa_key_files && !c->sa_signing_key_file)
        return 0;
    s->sa_keys = jwt_keys_new();
    for (const char *const *f = c->sa_key_files; f && *f; f++)
        if (jwt_keys_load(s->sa_keys, *f, err) < 0)
            return error_wrap(err, "--service-account-key-file");
    if (!c->sa_key_files && jwt_keys_load(s->sa_keys, c->sa_signing_key_file, err) < 0)
        return error_wrap(err, "--service-account-signing-key-file");
    return 0;
}

static int setup(struct apiserver *s, struct error *err)
{
    const struct apiserver_config *c = &s->config;
    s->service_net = mem_zalloc(sizeof *s->service_net);
    if (service_net_parse(c->service_cidr, c->node_port_min, c->node_port_max, s->service_net,
                          err) < 0 ||
        load_keys(s, err) < 0)
        return err->code;
    struct authn_config authn = {.token_file = c->token_file,
                                 .sa_keys = s->sa_keys,
                                 .sa_issuer = c->sa_issuer,
                                 .anonymous = c->anonymous,
                                 .lookup_uid = stored_uid,
                                 .lookup_ctx = s->kv,
                                 .kv = s->kv,
                                 .bootstrap_tokens = c->bootstrap_tokens,
                                 .audiences = (const char **)c->audiences};
    for (const char *const *a = c->audiences; a && *a; a++)
        authn.audiences_len++;
    if (!(s->authn = authn_new(&authn, err)))
        return err->code;
    struct tls_options tls = {.cert_file = c->tls_cert_file,
                              .key_file = c->tls_key_file,
                              .ca_file = c->client_ca_file,
                              .second_ca_file = c->front_proxy.ca_file,
                              .watch_files = true,
                              .client_auth = c->client_ca_file || c->front_proxy.ca_file
                                                 ? TLS_CLIENT_AUTH_REQUEST
                                                 : TLS_CLIENT_AUTH_NONE};
    if (!(s->tls = tls_server_new(&tls, err)))
        return error_wrap(err, "--tls-cert-file");
    struct tls_options node = {.cert_file = c->kubelet_cert_file,
                               .key_file = c->kubelet_key_file,
                               .ca_file = c->kubelet_ca_file,
                               .insecure_skip_verify = !c->kubelet_ca_file};
    if (!(s->node_tls = tls_client_new(&node, err)))
        return error_wrap(err, "--kubelet-client-certificate");
    bool verify = !node.insecure_skip_verify;
    node.insecure_skip_verify = true;
    if (!(s->node_insecure_tls = tls_client_new(&node, err)))
        return error_wrap(err, "--kubelet-client-certificate");
    node.insecure_skip_verify = !verify;
    node.alpn = (const char *const[]){"http/1.1", NULL};
    if (!(s->node_stream_tls = tls_client_new(&node, err)))
        return error_wrap(err, "--kubelet-client-certificate");
    if (!(s->proxy_tls = tls_client_new(
              &(struct tls_options){.insecure_skip_verify = true, .alpn = node.alpn}, err)))
        return err->code;
    s->discovery = discovery_new();
    s->custom = custom_registry_new(s);
    s->openapi = openapi_service_new();
    openapi_service_source(
        s->openapi,
        &(struct openapi_source){s->custom, custom_openapi_generation, custom_openapi_list});
    s->metrics = metrics_make(c->metrics);
    if (c->priority_and_fairness)
        s->flow = flow_control_new(c->inflight_max + c->mutating_inflight_max, c->metrics);
    if (c->metrics) {
        s->rejected = metrics_counter(c->metrics, "apiserver_rejected_requests_total", NULL,
                                      "Requests refused with 429.");
        metrics_gauge_fn(c->metrics, "apiserver_current_inflight_requests", NULL,
                         "Requests being served.", inflight_now, s);
        metrics_gauge_fn(c->metrics, "apiserver_registered_watchers", NULL, "Open watches.",
                         watchers_now, s);
    }
    return 0;
}

/* Made on each loop's own thread. */
static void worker_open(void *arg)
{
    struct worker *w = arg;
    list_init(&w->event_lease.waiting);
    rest_barrier_init(w);
    rng_seed(&w->rng, random_u64());
    buf_init(&w->text);
    w->answers = answer_cache_new();
    w->hubs = watch_hubs_new(w);
    w->lists = list_cache_new(w->loop);
    w->stocks = flow_stocks_new();
    w->cache = object_cache_new(w->server->kv, w->loop);
    w->quota_turns = quota_turns_new();
    w->node_clients = mem_zalloc(sizeof *w->node_clients);
    map_init(w->node_clients);
    if (w->index > 0)
        return;
    w->server->authz = authz_new(w->server->kv, w->loop, w->server->config.always_allow,
                                 w->server->config.node_authorizer);
}

static void worker_close(void *arg)
{
    struct worker *w = arg;
    if (w->index == 0) {
        flow_filter_unfollow(w);
        authz_close(w->server->authz);
        custom_registry_unfollow(w->server->custom);
    }
    watch_hubs_free(w->hubs);
    list_cache_free(w->lists);
    flow_stocks_free(w->stocks);
    object_cache_free(w->cache);
    buf_free(&w->text);
    answer_cache_free(w->answers);
    quota_turns_free(w->quota_turns);
}

static void follow_custom(void *arg)
{
    custom_registry_follow(arg);
}

static void follow_flows(void *arg)
{
    flow_filter_follow(arg);
}

static void end_watches(void *arg)
{
    watch_hubs_each(((struct worker *)arg)->hubs, rest_watch_end);
}

struct listen_call {
    struct apiserver *s;
    struct error *err;
    int rc;
};

static void listen_on_loop(void *arg)
{
    struct listen_call *l = arg;
    char address[256];
    snprintf(address, sizeof address, strchr(l->s->config.bind_address, ':') ? "[%s]:%u" : "%s:%u",
             l->s->config.bind_address, l->s->config.secure_port);
    l->rc = http_server_listen(l->s->http, address, l->s->tls, l->err);
}

static void free_all(struct apiserver *s)
{
    if (s->http)
        http_server_free(s->http);
    for (size_t i = 0; i < s->workers_len; i++) {
        if (s->workers[i].node_clients) {
            node_clients_free(s->workers[i].node_clients);
            mem_free(s->workers[i].node_clients);
        }
        loop_call(s->workers[i].loop, worker_close, &s->workers[i]);
    }
    tls_context_unref(s->tls);
    tls_context_unref(s->node_tls);
    tls_context_unref(s->node_insecure_tls);
    tls_context_unref(s->node_stream_tls);
    tls_context_unref(s->proxy_tls);
    authn_free(s->authn);
    jwt_keys_free(s->sa_keys);
    jwt_signer_free(s->sa_signer);
    discovery_free(s->discovery);
    openapi_service_free(s->openapi);
    custom_registry_free(s->custom);
    flow_control_free(s->flow);
    mem_free(s->metrics);
    mem_free(s->service_net);
    mem_free(s->workers);
    mem_free(s);
}

struct apiserver *apiserver_start(const struct apiserver_config *config, struct kv *kv,
                                  struct loop *const *loops, struct error *err)
{
    struct apiserver *s = mem_zalloc(sizeof *s);
    s->config = *config;
    s->kv = kv;
    if (setup(s, err) < 0) {
        free_all(s);
        return NULL;
    }
    s->workers = mem_zalloc(config->loops_len * sizeof *s->workers);
    s->workers_len = config->loops_len;
    for (size_t i = 0; i < s->workers_len; i++) {
        s->workers[i] = (struct worker){.server = s, .loop = loops[i], .index = i};
        loop_call(loops[i], worker_open, &s->workers[i]);
    }
    loop_call(loops[0], follow_custom, s->custom);
    struct http_server_options http = {.loops = loops,
                                       .loops_len = config->loops_len,
                                       .ctx = s,
                                       .on_request = on_request,
                                       .on_headers = on_headers,
                                       .body_bytes_max = BODY_MAX,
                                       .queue_low_water = 64u << 10};
    s->http = http_server_new(&http);
    loop_call(loops[0], follow_flows, &s->workers[0]);
    struct listen_call l = {s, err, 0};
    loop_call(loops[0], listen_on_loop, &l);
    if (l.rc < 0) {
        error_wrap(err, "--secure-port");
        custom_registry_stop(s->custom);
        free_all(s);
        return NULL;
    }
    s->keeper = keeper_start(s);
    return s;
}

int apiserver_port(const struct apiserver *s)
{
    return http_server_port(s->http, 0);
}

void apiserver_stop(struct apiserver *s, uint64_t grace_ms)
{
    atomic_store(&s->stopping, true);
    keeper_stop(s->keeper);
    custom_registry_stop(s->custom);
    for (size_t i = 0; i < s->workers_len; i++)
        loop_call(s->workers[i].loop, end_watches, &s->workers[i]);
    http_server_stop_wait(s->http, grace_ms);
    free_all(s);
}
