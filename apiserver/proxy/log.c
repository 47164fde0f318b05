/*
 * pods/log: the node agent's answer, passed on as it comes, as messages where the client asks for a WebSocket. The
 * peer's pace is the agent's: while the peer is behind, nothing more is read from the agent.
 */
#include "api/validation.h"
#include "apiserver/proxy/node_client.h"
#include "apiserver/proxy/pod_node.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/websocket.h"

#define QUEUE_MAX (512u << 10)
#define BINARY_PROTOCOL "binary.k8s.io"
#define BASE64_PROTOCOL "base64.binary.k8s.io"

/* Freed by whichever ends last, the call or the connection: a closed WebSocket's exchange does not wait for the call. */
struct log_stream {
    struct rest *rq;      /* NULL: the WebSocket has gone */
    struct websocket *ws; /* NULL: a plain answer */
    bool base64;          /* messages are text */
    struct http_call *call;
    bool started, paused;
    char reason[512]; /* the agent's words when it refuses */
    size_t reason_len;
};

/* ---- streaming ---- */

static void drained(struct log_stream *l)
{
    if (l->paused && l->call) {
        l->paused = false;
        http_call_resume(l->call);
    }
}

static void on_drain(struct http_exchange *x)
{
    struct rest *rq = x->user;
    drained(rq->op);
}

static void on_close(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct log_stream *l = rq->op;
    if (l->call)
        http_call_cancel(l->call);
}

static void ws_drain(struct websocket *ws, void *ctx)
{
    (void)ws;
    drained(ctx);
}

static void ws_close(struct websocket *ws, void *ctx)
{
    struct log_stream *l = ctx;
    (void)ws;
    l->ws = NULL;
    l->rq = NULL;
    if (l->call)
        http_call_cancel(l->call); /* on_done frees */
    else
        mem_free(l);
}

static const struct websocket_events ws_events = {.on_drain = ws_drain, .on_close = ws_close};

/* The first offered that is known; NULL: none is, or none is offered. */
static const char *subprotocol(struct rest *rq, bool *offered)
{
    struct str rest = http_header_get(rq->x, "sec-websocket-protocol"), one;
    *offered = false;
    while (rest.n && str_split(&rest, ',', &one)) {
        one = str_trim(one);
        if (!one.n || str_has_prefix(one, STR("base64url.bearer.authorization.k8s.io.")))
            continue; /* that one carries a token */
        *offered = true;
        if (str_eqz(one, BINARY_PROTOCOL))
            return BINARY_PROTOCOL;
        if (str_eqz(one, BASE64_PROTOCOL))
            return BASE64_PROTOCOL;
    }
    return NULL;
}

static void start_websocket(struct log_stream *l)
{
    bool offered;
    const char *protocol = subprotocol(l->rq, &offered);
    l->rq->code = 101;
    l->base64 = protocol && strcmp(protocol, BASE64_PROTOCOL) == 0;
    l->ws = websocket_accept(l->rq->x, protocol, &ws_events, l);
    l->started = l->ws != NULL;
    if (!l->ws)
        http_call_cancel(l->call); /* the client has gone */
}

static void on_headers(struct http_call *call, void *ctx, const struct http_response *r)
{
    struct log_stream *l = ctx;
    (void)call;
    if (r->status != 200)
        return; /* the body is the reason: on_done */
    if (websocket_wanted(l->rq->x)) {
        start_websocket(l);
        return;
    }
    l->started = true;
    rest_stream_start(l->rq, "text/plain");
    l->rq->x->on_drain = on_drain;
}

static void put(struct log_stream *l, struct str data)
{
    struct buf b;
    if (!l->ws) {
        http_stream_write(l->rq->x, data);
    } else if (l->base64) {
        buf_init(&b);
        base64_encode(&b, data);
        websocket_send(l->ws, true, STR(""), buf_str(&b));
        buf_free(&b);
    } else {
        websocket_send(l->ws, false, STR(""), data);
    }
}

static void on_data(struct http_call *call, void *ctx, struct str data)
{
    struct log_stream *l = ctx;
    if (!l->started) {
        size_t n = MIN(data.n, sizeof l->reason - l->reason_len);
        memcpy(l->reason + l->reason_len, data.p, n);
        l->reason_len += n;
        return;
    }
    put(l, data);
    if ((l->ws ? websocket_queued(l->ws) : http_stream_queued(l->rq->x)) > QUEUE_MAX) {
        l->paused = true;
        http_call_pause(call);
    }
}

/* The end of a plain answer, or why there is none. */
static void finish(struct log_stream *l, const struct http_response *r, const struct error *err)
{
    struct rest *rq = l->rq;
    rq->x->on_close = NULL;
    rq->x->on_drain = NULL;
    if (l->started && err->code == 0)
        http_stream_end(rq->x, NULL, 0);
    else if (l->started)
        http_abort(rq->x);
    else if (err->code < 0)
        rest_status(rq,
                    status_internal(rq->a, "logs cannot be had from the node: %s", err->message));
    else if (r->status >= 400 && r->status < 500)
        rest_status(rq, status_bad_request(rq->a, "%.*s",
                                           STR_ARG(str_trim(str_make(l->reason, l->reason_len)))));
    else
        rest_status(rq, status_internal(rq->a, "the node answered %d: %.*s", r->status,
                                        (int)l->reason_len, l->reason));
}

static void on_done(struct http_call *call, void *ctx, const struct http_response *r,
                    const struct error *err)
{
    struct log_stream *l = ctx;
    (void)call;
    l->call = NULL;
    if (l->ws) { /* freed in ws_close */
        websocket_close(l->ws, err->code == 0 ? WEBSOCKET_NORMAL : WEBSOCKET_INTERNAL, "");
        return;
    }
    if (l->rq)
        finish(l, r, err);
    mem_free(l);
}

static const struct http_call_events events = {
    .on_headers = on_headers, .on_data = on_data, .on_done = on_done};

/* ---- the request to the agent ---- */

/* The options of PodLogOptions, as the agent takes them. */
static const char *log_path(struct rest *rq, const Core__V1__Pod *pod, const char *container)
{
    static const char *const passed[] = {"follow",     "previous",  "sinceSeconds", "sinceTime",
                                         "timestamps", "tailLines", "limitBytes",   "stream"};
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "/containerLogs/%s/%s/%s", pod->metadata->namespace_, pod->metadata->name,
               container);
    char sep = '?';
    for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
        const char *v = query_get(rq->a, rq->info.query, passed[i]);
        if (!v)
            continue;
        buf_printf(&b, "%c%s=", sep, passed[i]);
        percent_encode(&b, str_from(v));
        sep = '&';
    }
    const char *path = arena_strdup(rq->a, buf_cstr(&b));
    buf_free(&b);
    return path;
}

/* A number of the query, at least `least`; absent is fine too. False: answered. */
static bool check_number(struct rest *rq, struct field_errors *e, const char *name, int64_t least)
{
    int64_t n;
    int found = query_i64(rq->a, rq->info.query, name, &n);
    if (found < 0) {
        rest_status(rq,
                    status_bad_request(rq->a, "strconv.ParseInt: parsing \"%s\": invalid syntax",
                                       query_get(rq->a, rq->info.query, name)));
        return false;
    }
    if (found && n < least)
        field_error_add(e, FIELD_INVALID, name, arena_printf(rq->a, "%lld", (long long)n), "%s",
                        least ? "must be greater than 0" : "must be greater than or equal to 0");
    return true;
}

/* PodLogOptions, as published. False: answered. */
static bool check_options(struct rest *rq)
{
    struct field_errors e = {.arena = rq->a};
    struct str query = rq->info.query;
    if (!check_number(rq, &e, "tailLines", 0) || !check_number(rq, &e, "limitBytes", 1) ||
        !check_number(rq, &e, "sinceSeconds", 1))
        return false;
    if (query_get(rq->a, query, "sinceSeconds") && query_get(rq->a, query, "sinceTime"))
        field_error_add(&e, FIELD_FORBIDDEN, "[]", NULL, "%s",
                        "at most one of `sinceTime` or `sinceSeconds` may be specified");
    if (!e.len)
        return true;
    struct status_about about = {"", "pods", "PodLogOptions", rq->info.name};
    rest_status(rq, status_invalid_fields(rq->a, &about, &e));
    return false;
}

static void start(struct rest *rq, const Core__V1__Pod *pod)
{
    struct status *bad = http_closed(rq->x) ? status_internal(rq->a, "the client has gone") : NULL;
    struct error err;
    const char *container = bad ? NULL : pod_node_container(rq, pod, &bad);
    if (container && !*pod->spec->node_name) { /* it has not said anything anywhere */
        rest_respond(rq, 204, NULL, STR(""));
        return;
    }
    const char *address = bad ? NULL : pod_node_address(rq, pod, &bad);
    const char *url = address ? arena_printf(rq->a, "https://%s", address) : NULL;
    bool insecure = query_bool(rq->a, rq->info.query, "insecureSkipTLSVerifyBackend");
    struct http_client *client = url ? node_client_get(rq->worker, url, insecure, &err) : NULL;
    if (url && !client)
        bad = status_from_error(rq->a, &err);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    struct http_request request = {.method = "GET",
                                   .path = log_path(rq, pod, container),
                                   .stream = true,
                                   .header_timeout_ms = 30000};
    struct log_stream *l = mem_zalloc(sizeof *l);
    l->rq = rq;
    rq->op = l;
    rq->x->on_close = on_close;
    l->call = http_client_send(client, &request, &events, l);
}

static void log_ready(struct rest *rq)
{
    const Core__V1__Pod *pod = pod_node_load(rq);
    if (pod)
        start(rq, pod);
}

void rest_log(struct rest *rq)
{
    bool offered;
    if (!check_options(rq))
        return;
    if (websocket_wanted(rq->x) && !subprotocol(rq, &offered) && offered) {
        rest_status(rq, status_new(rq->a, 403, "Forbidden",
                                   "requested protocol(s) are not supported: [%.*s]; supports "
                                   "[%s %s]",
                                   STR_ARG(http_header_get(rq->x, "sec-websocket-protocol")),
                                   BASE64_PROTOCOL, BINARY_PROTOCOL));
        return;
    }
    rest_await(rq, "", log_ready);
}
