/*
 * pods/proxy, services/proxy and nodes/proxy: any request, passed on to where the object listens, and its answer
 * passed back, both as they come and neither side faster than the other takes it. A request that asks for an
 * upgrade becomes a tunnel (net/http_pass.h).
 *
 *     …/pods/[https:]NAME[:PORT]/proxy/PATH       the pod's address; its first container port when none is named
 *     …/services/[https:]NAME[:PORT]/proxy/PATH   one of the ready pods behind the service's port
 *     …/nodes/[https:]NAME[:PORT]/proxy/PATH      the node agent, or another port of its host
 *
 * Where to: target.c. The requests' credentials end here; whoever answers sees none of them.
 */
#include "apiserver/proxy/target.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_pass.h"

#define QUEUE_MAX (256u << 10) /* bytes waiting for one side before the other is not read */
#define HEADERS_MAX 128
#define CONNECT_TIMEOUT_MS 10000

/* A request under way. Outlives the exchange by the time it takes to free the client. */
struct proxy {
    struct rest *rq;
    struct loop_task release;
    struct http_client *client;
    struct http_call *call;
    struct proxy_target target;
    struct str prefix; /* what of the request's path is ours: "/api/v1/…/proxy" */
    bool started;
    bool upload; /* the body comes in pieces */
};

/* ---- what of the path is theirs ---- */

/* Behind the segments that name the object and the subresource; still encoded. */
static struct str split_path(struct rest *rq, struct str *prefix)
{
    struct str path = rq->x->path;
    size_t segments = rq->r->namespaced ? 7 : 5, at = 0;
    if (!rq->r->namespaced && *rq->info.ns)
        segments += 2;
    while (segments && at < path.n) {
        while (at < path.n && path.p[at] == '/')
            at++;
        while (at < path.n && path.p[at] != '/')
            at++;
        segments--;
    }
    *prefix = str_slice(path, 0, at);
    return str_slice(path, at, path.n);
}

/* ---- answering ---- */

static void refuse(struct rest *rq, const struct status *s)
{
    http_body_resume(rq->x); /* what is still to come is thrown away */
    rest_status(rq, s);
}

static void unreachable(struct rest *rq, const char *why)
{
    refuse(rq,
           status_new(rq->a, 503, "ServiceUnavailable", "error trying to reach service: %s", why));
}

static void pass_failed(struct http_exchange *x, const char *why)
{
    unreachable(x->user, why);
}

/* A path without even a slash: relative links in the answer would lead elsewhere. */
static void redirect_to_slash(struct rest *rq)
{
    struct str query = rq->x->query;
    const char *to = arena_printf(rq->a, "%.*s/%s%.*s", STR_ARG(rq->x->path), query.n ? "?" : "",
                                  STR_ARG(query));
    const struct http_header location = {STR("location"), str_from(to)};
    rq->code = 301;
    http_respond(rq->x, 301, &location, 1, STR_NONE);
}

/* ---- headers ---- */

/* Meant for one connection (RFC 9110 §7.6.1), or ours to say. */
static bool is_hop_header(struct str name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate",
        "te",         "trailer",    "upgrade",          "transfer-encoding"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(name, names[i]))
            return true;
    return false;
}

static bool is_kept_back(struct str name)
{
    static const char *const names[] = {"host",           "authorization", "proxy-authorization",
                                        "content-length", "user-agent",    "expect"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(name, names[i]))
            return true;
    return is_hop_header(name) || str_has_prefix(name, STR("impersonate-")) ||
           str_has_prefix(name, STR("x-forwarded-"));
}

/* Named in the connection's own header: theirs ends here, too. */
static bool is_of_connection(const struct http_exchange *x, struct str name)
{
    struct str list = http_header_get(x, "connection"), one;
    while (list.p && str_split(&list, ',', &one))
        if (str_ieq(str_trim(one), name))
            return true;
    return false;
}

static size_t request_headers(const struct proxy *p, struct http_header *out)
{
    struct http_exchange *x = p->rq->x;
    size_t n = 0;
    for (size_t i = 0; i < x->headers_len && n < HEADERS_MAX; i++)
        if (!is_kept_back(x->headers[i].name) && !is_of_connection(x, x->headers[i].name))
            out[n++] = x->headers[i];
    struct str peer = str_from(x->remote), host = peer;
    for (size_t i = peer.n; i-- > 0;)
        if (peer.p[i] == ':') {
            host = str_slice(peer, 0, i);
            break;
        }
    out[n++] = (struct http_header){STR("x-forwarded-for"), host};
    out[n++] = (struct http_header){STR("x-forwarded-host"), x->authority};
    out[n++] = (struct http_header){STR("x-forwarded-proto"), x->tls ? STR("https") : STR("http")};
    out[n++] = (struct http_header){STR("x-forwarded-uri"), x->path};
    return n;
}

/* Where a redirect leads, as the client must ask for it: a path of the same server is put behind ours. */
static struct str location(const struct proxy *p, struct str to)
{
    struct str path = to;
    const char *origin =
        arena_printf(p->rq->a, "%s://%s", p->target.tls ? "https" : "http", p->target.address);
    size_t n = strlen(origin);
    if (str_has_prefix(to, str_from(origin)) && (to.n == n || strchr("/?#", to.p[n])))
        path = str_slice(to, n, to.n);
    else if (!to.n || to.p[0] != '/' || str_has_prefix(to, STR("//")))
        return to; /* relative, or another host's */
    if (str_has_prefix(path, p->prefix))
        return path;
    return str_from(arena_printf(p->rq->a, "%.*s%s%.*s", STR_ARG(p->prefix),
                                 path.n && path.p[0] == '/' ? "" : "/", STR_ARG(path)));
}

/* ---- the answer, as it comes ---- */

static void on_headers(struct http_call *call, void *ctx, const struct http_response *r)
{
    struct proxy *p = ctx;
    struct http_header h[HEADERS_MAX];
    size_t n = 0;
    (void)call;
    for (size_t i = 0; i < r->headers_len && n < HEADERS_MAX; i++) {
        if (is_hop_header(r->headers[i].name))
            continue;
        h[n] = r->headers[i];
        if (str_eqz(h[n].name, "location"))
            h[n].value = location(p, h[n].value);
        n++;
    }
    p->started = true;
    p->rq->code = r->status;
    http_stream_start(p->rq->x, r->status, h, n);
}

static void on_data(struct http_call *call, void *ctx, struct str data)
{
    struct proxy *p = ctx;
    http_stream_write(p->rq->x, data);
    if (http_stream_queued(p->rq->x) > QUEUE_MAX)
        http_call_pause(call);
}

/* The call is through: the client goes once its callback has returned. */
static void release(struct loop_task *task)
{
    struct proxy *p = container_of(task, struct proxy, release);
    http_client_free(p->client);
    mem_free(p);
}

static void on_done(struct http_call *call, void *ctx, const struct http_response *r,
                    const struct error *err)
{
    struct proxy *p = ctx;
    struct rest *rq = p->rq;
    struct http_exchange *x = rq->x;
    (void)call, (void)r;
    p->call = NULL;
    rq->op = NULL;
    x->on_close = NULL;
    x->on_drain = NULL;
    http_body_resume(x);
    if (!p->started)
        unreachable(rq, err->message);
    else if (err->code < 0)
        http_abort(x);
    else
        http_stream_end(x, NULL, 0);
    p->release.fn = release;
    loop_post(http_client_loop(p->client), &p->release);
}

static void on_call_drain(struct http_call *call, void *ctx)
{
    struct proxy *p = ctx;
    (void)call;
    http_body_resume(p->rq->x);
}

static const struct http_call_events events = {
    .on_headers = on_headers, .on_data = on_data, .on_drain = on_call_drain, .on_done = on_done};

/* ---- the request, as it comes ---- */

static struct proxy *proxy_of(struct http_exchange *x)
{
    return ((struct rest *)x->user)->op;
}

static void on_drain(struct http_exchange *x)
{
    if (proxy_of(x) && proxy_of(x)->call)
        http_call_resume(proxy_of(x)->call);
}

static void on_close(struct http_exchange *x)
{
    if (proxy_of(x) && proxy_of(x)->call)
        http_call_cancel(proxy_of(x)->call);
}

void rest_proxy_body(struct http_exchange *x, struct str data, bool end)
{
    struct proxy *p = x->user ? proxy_of(x) : NULL;
    if (!p || !p->call || !p->upload)
        return; /* refused, or answered before it was sent */
    if (data.n)
        http_call_write(p->call, data);
    if (end)
        http_call_end(p->call);
    else if (http_call_queued(p->call) > QUEUE_MAX)
        http_body_pause(x);
}

/* By the path alone, as request.c reads it: "/api/v1/nodes/NAME/proxy", or in a namespace. */
static bool is_proxy_path(struct str path)
{
    struct str part[7] = {{0}}, one;
    size_t n = 0;
    while (n < ARRAY_LEN(part) && path.n && str_split(&path, '/', &one))
        if (one.n)
            part[n++] = one;
    if (n < 5 || !str_eqz(part[0], "api"))
        return false;
    if (str_eqz(part[2], "nodes"))
        return str_eqz(part[4], "proxy");
    return n == 7 && str_eqz(part[2], "namespaces") &&
           (str_eqz(part[4], "pods") || str_eqz(part[4], "services")) && str_eqz(part[6], "proxy");
}

bool rest_proxy_streams(const struct http_exchange *x)
{
    if (!is_proxy_path(x->path))
        return false;
    if (http_header_get(x, "upgrade").p || x->content_length == 0)
        return false;
    bool sends =
        str_eqz(x->method, "POST") || str_eqz(x->method, "PUT") || str_eqz(x->method, "PATCH");
    return x->content_length > 0 || http_header_get(x, "transfer-encoding").p ||
           (x->version == 2 && sends);
}

static void start(struct proxy *p, const char *path)
{
    struct rest *rq = p->rq;
    struct http_header headers[HEADERS_MAX + 4];
    struct error err;
    const char *url =
        arena_printf(rq->a, "%s://%s", p->target.tls ? "https" : "http", p->target.address);
    struct str agent = http_header_get(rq->x, "user-agent");
    struct http_client_options options = {
        .servers = (const char *const[]){url, NULL},
        .tls = p->target.tls,
        .user_agent = agent.p ? arena_strndup(rq->a, agent.p, agent.n) : NULL,
        .http1_only = true,
        .connections_max = 1,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    p->client = http_client_new(rq->x->loop, &options, &err);
    if (!p->client) {
        mem_free(p);
        refuse(rq, status_from_error(rq->a, &err));
        return;
    }
    struct http_request request = {
        .method = arena_strndup(rq->a, rq->x->method.p, rq->x->method.n),
        .path = path,
        .headers = headers,
        .headers_len = request_headers(p, headers),
        .body = rq->x->body,
        .upload = p->upload,
        .upload_bytes = p->upload && rq->x->content_length > 0 ? rq->x->content_length : 0,
        .stream = true};
    rq->op = p;
    rq->x->on_close = on_close;
    rq->x->on_drain = on_drain;
    p->call = http_client_send(p->client, &request, &events, p);
    http_body_resume(rq->x);
}

static void proxy_ready(struct rest *rq)
{
    struct status *bad = NULL;
    struct proxy_target target = {0};
    struct str prefix, rest = split_path(rq, &prefix), query = rq->x->query;
    if (http_closed(rq->x))
        bad = status_internal(rq->a, "the client has gone");
    else if (!proxy_target_find(rq, &target, &bad))
        assert(bad);
    if (bad) {
        refuse(rq, bad);
        return;
    }
    const char *path = arena_printf(rq->a, "%s%.*s%s%.*s", rest.n ? "" : "/", STR_ARG(rest),
                                    query.n ? "?" : "", STR_ARG(query));
    if (http_tunnel_wanted(rq->x)) {
        struct http_pass_target pass = {
            .address = target.address, .path = path, .tls = target.stream_tls};
        http_pass(rq->x, &pass, pass_failed);
        return;
    }
    if (!rest.n && (str_eqz(rq->x->method, "GET") || str_eqz(rq->x->method, "HEAD"))) {
        http_body_resume(rq->x);
        redirect_to_slash(rq);
        return;
    }
    struct proxy *p = mem_zalloc(sizeof *p);
    *p = (struct proxy){.rq = rq,
                        .target = target,
                        .prefix = prefix,
                        .upload = rest_proxy_streams(rq->x) && !rq->x->body.n};
    start(p, path);
}

void rest_proxy(struct rest *rq)
{
    if (rest_proxy_streams(rq->x))
        http_body_pause(rq->x);
    rest_await(rq, "", proxy_ready);
}
