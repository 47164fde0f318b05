/*
 * WebSocket to SPDY: see stream_translate.h.
 */
#include "apiserver/proxy/stream_translate.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/http_upgrade.h"
#include "net/spdy.h"
#include "net/websocket.h"

#define QUEUE_MAX (256u << 10) /* bytes waiting for one side before the other is not read */
#define CHANNEL_CLOSE 255
#define CHANNELS 5

/* Channels of v5, and the names of their streams. */
enum channel { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERR, CHANNEL_STATUS, CHANNEL_RESIZE };
static const char *const stream_types[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};

/* One connection. Freed when both sides are closed. */
struct translate {
    struct rest *rq;
    struct websocket *ws;      /* NULL: not yet, or closed */
    struct http_upgrade *node; /* NULL: closed */
    bool answered;             /* the exchange is not ours any more */
    bool client_gone;
    bool tunnel; /* bytes in messages, nothing to translate */
    struct spdy_writer *spdy;
    struct spdy_reader reader;
    uint32_t streams[CHANNELS]; /* SPDY's numbers; 0: not wanted */
    bool ended[CHANNELS];       /* our half of the stream is closed */
    bool status_sent;           /* how the process ended was told */
};

static void free_if_done(struct translate *t)
{
    if (t->ws || t->node || !t->answered)
        return;
    spdy_writer_free(t->spdy);
    mem_free(t);
}

/* ---- from the node ---- */

static void send_channel(struct translate *t, enum channel channel, struct str data)
{
    char c = (char)channel;
    if (t->ws)
        websocket_send(t->ws, false, str_make(&c, 1), data);
}

static void limit_node(struct translate *t)
{
    if (t->ws && t->node && websocket_queued(t->ws) > QUEUE_MAX)
        http_upgrade_pause(t->node);
}

static void on_spdy_data(void *ctx, uint32_t stream, struct str bytes, bool fin)
{
    struct translate *t = ctx;
    (void)fin; /* the process's end comes as its status */
    for (int c = CHANNEL_OUT; c <= CHANNEL_STATUS; c++) {
        if (t->streams[c] != stream || !bytes.n)
            continue;
        t->status_sent |= c == CHANNEL_STATUS;
        send_channel(t, (enum channel)c, bytes);
    }
}

static void on_spdy_ping(void *ctx, uint32_t id)
{
    struct translate *t = ctx;
    struct buf b;
    if (id % 2 || !t->node)
        return; /* odd: an answer to one of ours, of which there are none */
    buf_init(&b);
    spdy_ping(&b, id);
    http_upgrade_write(t->node, buf_str(&b));
    buf_free(&b);
}

static const struct spdy_events spdy_events = {.on_data = on_spdy_data, .on_ping = on_spdy_ping};

static void on_node_data(struct http_upgrade *u, void *ctx, struct str data)
{
    struct translate *t = ctx;
    if (t->tunnel) {
        if (t->ws)
            websocket_send(t->ws, false, STR(""), data);
    } else if (spdy_read(&t->reader, data, &spdy_events, t) < 0) {
        http_upgrade_close(u);
    }
    limit_node(t);
}

static void on_node_drain(struct http_upgrade *u, void *ctx)
{
    struct translate *t = ctx;
    (void)u;
    if (t->ws)
        websocket_resume(t->ws);
}

/* ---- from the client ---- */

static void node_write(struct translate *t, const struct buf *b)
{
    http_upgrade_write(t->node, buf_str(b));
    if (http_upgrade_queued(t->node) > QUEUE_MAX)
        websocket_pause(t->ws);
}

static void stream_data(struct translate *t, unsigned channel, struct str data, bool fin)
{
    struct buf b;
    if ((channel != CHANNEL_IN && channel != CHANNEL_RESIZE) || !t->streams[channel] ||
        t->ended[channel])
        return;
    t->ended[channel] = fin;
    buf_init(&b);
    spdy_data(&b, t->streams[channel], data, fin);
    node_write(t, &b);
    buf_free(&b);
}

static void on_message(struct websocket *w, void *ctx, bool text, struct str data)
{
    struct translate *t = ctx;
    (void)w, (void)text;
    if (!t->node || !data.n)
        return;
    unsigned channel = (uint8_t)data.p[0];
    if (t->tunnel) {
        http_upgrade_write(t->node, data);
        if (http_upgrade_queued(t->node) > QUEUE_MAX)
            websocket_pause(t->ws);
    } else if (channel == CHANNEL_CLOSE && data.n == 2) {
        stream_data(t, (uint8_t)data.p[1], STR(""), true);
    } else if (data.n > 1) {
        stream_data(t, channel, str_slice(data, 1, data.n), false);
    }
}

static void on_ws_drain(struct websocket *w, void *ctx)
{
    struct translate *t = ctx;
    (void)w;
    if (t->node)
        http_upgrade_resume(t->node);
}

static void on_ws_close(struct websocket *w, void *ctx)
{
    struct translate *t = ctx;
    (void)w;
    t->ws = NULL;
    if (t->node)
        http_upgrade_close(t->node);
    free_if_done(t);
}

static const struct websocket_events ws_events = {
    .on_message = on_message, .on_drain = on_ws_drain, .on_close = on_ws_close};

/* The client left before the node had answered. */
static void on_client_close(struct http_exchange *x)
{
    struct translate *t = x->tunnel;
    t->client_gone = true;
    http_upgrade_close(t->node);
}

/* ---- the beginning ---- */

/* The status first: the runtime waits for all of them before it starts. */
static void open_streams(struct translate *t)
{
    static const enum channel order[CHANNELS] = {CHANNEL_STATUS, CHANNEL_IN, CHANNEL_OUT,
                                                 CHANNEL_ERR, CHANNEL_RESIZE};
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < CHANNELS; i++) {
        if (!t->streams[order[i]])
            continue;
        struct http_header type = {STR("streamtype"), str_from(stream_types[order[i]])};
        spdy_open(t->spdy, &b, t->streams[order[i]], &type, 1);
    }
    node_write(t, &b);
    buf_free(&b);
}

static void on_node_open(struct http_upgrade *u, void *ctx)
{
    struct translate *t = ctx;
    struct http_exchange *x = t->rq->x;
    t->ws = websocket_accept(x, t->tunnel ? PROTOCOL_TUNNEL : PROTOCOL_V5, &ws_events, t);
    if (!t->ws) { /* the client has gone */
        http_upgrade_close(u);
        return;
    }
    t->answered = true;
    if (t->tunnel)
        return;
    open_streams(t);
    send_channel(t,
                 t->streams[CHANNEL_OUT]   ? CHANNEL_OUT
                 : t->streams[CHANNEL_ERR] ? CHANNEL_ERR
                                           : CHANNEL_STATUS,
                 STR("")); /* tells the client that it is connected */
}

/* ---- the end ---- */

/* The node's side ended without a word on how the process did. */
static void send_failure(struct translate *t, const char *reason)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":");
    buf_append_json_string(&b, str_from(reason));
    buf_append_cstr(&b, ",\"reason\":\"InternalError\",\"code\":500}");
    send_channel(t, CHANNEL_STATUS, buf_str(&b));
    buf_free(&b);
}

static void refuse(struct translate *t, int status, const char *reason)
{
    struct rest *rq = t->rq;
    struct http_exchange *x = rq->x;
    t->answered = true;
    x->on_close = NULL;
    x->tunnel = NULL;
    if (t->client_gone || http_closed(x))
        rest_status(rq, status_internal(rq->a, "the client has gone"));
    else if (status >= 400 && status < 500)
        rest_status(rq, status_bad_request(rq->a, "%s", reason));
    else if (status)
        rest_status(rq, status_internal(rq->a, "the node answered %d: %s", status, reason));
    else
        rest_status(rq,
                    status_new(rq->a, 502, "InternalError", "error dialing backend: %s", reason));
}

static void on_node_close(struct http_upgrade *u, void *ctx, int status, const char *reason)
{
    struct translate *t = ctx;
    (void)u;
    t->node = NULL;
    if (!t->answered) {
        refuse(t, status, reason);
    } else if (t->ws) {
        if (!t->tunnel && !t->status_sent)
            send_failure(t, reason);
        websocket_close(t->ws, WEBSOCKET_NORMAL, "");
    }
    free_if_done(t);
}

static void start(struct translate *t, const struct http_pass_target *target, const char *protocol)
{
    static const struct http_upgrade_events node_events = {.on_open = on_node_open,
                                                           .on_data = on_node_data,
                                                           .on_drain = on_node_drain,
                                                           .on_close = on_node_close};
    const struct http_header headers[] = {{STR("connection"), STR("Upgrade")},
                                          {STR("upgrade"), STR("SPDY/3.1")},
                                          {STR("x-stream-protocol-version"), str_from(protocol)}};
    struct http_exchange *x = t->rq->x;
    x->tunnel = t;
    x->on_close = on_client_close;
    t->node = http_upgrade_new(x->loop, target, headers, ARRAY_LEN(headers), &node_events, t);
}

void translate_exec(struct rest *rq, const struct http_pass_target *target,
                    const struct translate_streams *s)
{
    struct translate *t = mem_zalloc(sizeof *t);
    bool wanted[CHANNELS] = {[CHANNEL_STATUS] = true,
                             [CHANNEL_IN] = s->in,
                             [CHANNEL_OUT] = s->out,
                             [CHANNEL_ERR] = s->err && !s->tty,
                             [CHANNEL_RESIZE] = s->tty};
    uint32_t next = 1;
    t->rq = rq;
    t->spdy = spdy_writer_new();
    /* In the order in which they are opened. */
    static const enum channel order[CHANNELS] = {CHANNEL_STATUS, CHANNEL_IN, CHANNEL_OUT,
                                                 CHANNEL_ERR, CHANNEL_RESIZE};
    for (size_t i = 0; i < CHANNELS; i++) {
        if (!wanted[order[i]])
            continue;
        t->streams[order[i]] = next;
        next += 2;
    }
    start(t, target, "v4.channel.k8s.io");
}

void translate_tunnel(struct rest *rq, const struct http_pass_target *target)
{
    struct translate *t = mem_zalloc(sizeof *t);
    t->rq = rq;
    t->tunnel = true;
    start(t, target, "portforward.k8s.io");
}
