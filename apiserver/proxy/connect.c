/*
 * pods/exec, attach and portforward: the connection is passed on, as it is, to the agent of the pod's node,
 * which passes it on to the container runtime.
 *
 * SPDY/3.1 and the WebSocket protocols up to v4 go through as bytes, since the runtime speaks them. Later ones
 * (v5.channel.k8s.io, SPDY in WebSocket) are translated (stream_translate.h).
 */
#include "apiserver/proxy/pod_node.h"
#include "apiserver/proxy/stream_translate.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/http_pass.h"
#include "net/websocket.h"

static void failed(struct http_exchange *x, const char *why)
{
    struct rest *rq = x->user;
    rest_status(rq, status_new(rq->a, 502, "InternalError", "error dialing backend: %s", why));
}

/* "1" as the agent wants it, when the client's parameter is true. */
static void pass_flag(struct rest *rq, struct buf *b, const char *theirs, const char *ours)
{
    if (query_bool(rq->a, rq->info.query, theirs))
        buf_printf(b, "&%s=1", ours);
}

/* Every value of a parameter, in order. */
static void pass_values(struct rest *rq, struct buf *b, const char *name, const char *as)
{
    for (struct http_query q = {.rest = rq->x->query}; http_query_next(rq->x, &q);) {
        if (!str_eqz(q.name, name))
            continue;
        buf_printf(b, "&%s=", as);
        percent_encode(b, q.value);
    }
}

/* The agent's path for what was asked; NULL with *bad. */
static const char *agent_path(struct rest *rq, const Core__V1__Pod *pod, struct status **bad)
{
    const char *sub = rq->sub->name;
    bool forward = strcmp(sub, "portforward") == 0;
    const char *container = forward ? NULL : pod_node_container(rq, pod, bad);
    if (*bad)
        return NULL;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "/%s/%s/%s", forward ? "portForward" : sub, pod->metadata->namespace_,
               pod->metadata->name);
    if (container)
        buf_printf(&b, "/%s", container);
    size_t query = b.len;
    pass_values(rq, &b, "command", "command");
    pass_values(rq, &b, "ports", "port");
    pass_flag(rq, &b, "stdin", "input");
    pass_flag(rq, &b, "stdout", "output");
    pass_flag(rq, &b, "stderr", "error");
    pass_flag(rq, &b, "tty", "tty");
    if (b.len > query)
        b.data[query] = '?';
    const char *path = arena_strndup(rq->a, b.data, b.len);
    buf_free(&b);
    return path;
}

/* One of the protocols that the client offers is one that the runtime understands. */
static bool runtime_speaks(const struct http_exchange *x)
{
    static const char *const known[] = {"v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                                        "channel.k8s.io", "base64.channel.k8s.io"};
    if (str_ieq(http_header_get(x, "upgrade"), STR("SPDY/3.1")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_ieq(http_header_get(x, "upgrade"), STR("websocket")) &&
            websocket_offers(x, known[i]))
            return true;
    return false;
}

/* One that is translated? */
static bool is_translated(const struct rest *rq)
{
    bool forward = strcmp(rq->sub->name, "portforward") == 0;
    return websocket_wanted(rq->x) &&
           websocket_offers(rq->x, forward ? PROTOCOL_TUNNEL : PROTOCOL_V5);
}

static void translate(struct rest *rq, const struct http_pass_target *target)
{
    struct str query = rq->info.query;
    struct translate_streams streams = {.in = query_bool(rq->a, query, "stdin"),
                                        .out = query_bool(rq->a, query, "stdout"),
                                        .err = query_bool(rq->a, query, "stderr"),
                                        .tty = query_bool(rq->a, query, "tty")};
    if (strcmp(rq->sub->name, "portforward") == 0)
        translate_tunnel(rq, target);
    else
        translate_exec(rq, target, &streams);
}

static void connect_ready(struct rest *rq)
{
    const Core__V1__Pod *pod = pod_node_load(rq);
    if (!pod)
        return;
    struct status *bad = NULL;
    struct http_pass_target target = {.tls = rq->server->node_stream_tls};
    target.path = agent_path(rq, pod, &bad);
    if (!bad)
        target.address = pod_node_address(rq, pod, &bad);
    if (!bad && !http_tunnel_wanted(rq->x))
        bad = status_bad_request(rq->a, "Upgrade request required");
    if (!bad && !is_translated(rq) && !runtime_speaks(rq->x))
        bad = status_bad_request(rq->a, "unable to upgrade: want SPDY/3.1 or WebSocket with "
                                        "v4.channel.k8s.io or v5.channel.k8s.io");
    if (bad)
        rest_status(rq, bad);
    else if (http_closed(rq->x))
        failed(rq->x, "the client has gone");
    else if (is_translated(rq))
        translate(rq, &target);
    else
        http_pass(rq->x, &target, failed);
}

void rest_connect(struct rest *rq)
{
    rest_await(rq, "", connect_ready);
}
