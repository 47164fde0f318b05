/*
 * WebSocket on wslay: see websocket.h.
 */
#include "net/websocket.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#define QUEUE_PAUSE_BYTES (256u << 10) /* waiting for the peer before no more of it is read */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct websocket {
    struct http_exchange *x; /* NULL: answered */
    wslay_event_context_ptr frames;
    const struct websocket_events *events;
    void *ctx;
    struct str input; /* what is being read */
    bool reading;
    bool closing; /* no more messages, either way */
    bool paused;  /* by the owner */
    bool slow;    /* the peer does not take what it is sent: pongs for its pings, if nothing else */
    struct loop_deferred finish;
};

/* ---- the handshake ---- */

static bool has_token(struct str list, struct str token)
{
    struct str one;
    while (list.p && str_split(&list, ',', &one))
        if (str_ieq(str_trim(one), token))
            return true;
    return false;
}

bool websocket_wanted(const struct http_exchange *x)
{
    return http_tunnel_wanted(x) && has_token(http_header_get(x, "upgrade"), STR("websocket")) &&
           str_eqz(http_header_get(x, "sec-websocket-version"), "13") &&
           http_header_get(x, "sec-websocket-key").n == 24;
}

bool websocket_offers(const struct http_exchange *x, const char *protocol)
{
    for (size_t i = 0; i < x->headers_len; i++)
        if (str_eqz(x->headers[i].name, "sec-websocket-protocol") &&
            has_token(x->headers[i].value, str_from(protocol)))
            return true;
    return false;
}

static void write_head(struct http_exchange *x, const char *protocol)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    struct buf b;
    buf_init(&b);
    buf_append_str(&b, http_header_get(x, "sec-websocket-key"));
    buf_append_cstr(&b, GUID);
    SHA1((const unsigned char *)b.data, b.len, digest);
    buf_clear(&b);
    buf_append_cstr(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    base64_encode(&b, str_make(digest, sizeof digest));
    if (protocol)
        buf_printf(&b, "\r\nSec-WebSocket-Protocol: %s", protocol);
    buf_append_cstr(&b, "\r\n\r\n");
    http_stream_write(x, buf_str(&b));
    buf_free(&b);
}

/* ---- the end ---- */

static void run_finish(struct loop_deferred *d)
{
    struct websocket *w = container_of(d, struct websocket, finish);
    struct http_exchange *x = w->x;
    w->x = NULL;
    x->on_close = NULL;
    x->on_drain = NULL;
    w->events->on_close(
        w, w->ctx); /* what it owns may live in the exchange's arena, which goes with the end */
    http_stream_end(x, NULL, 0);
    wslay_event_context_free(w->frames);
    mem_free(w);
}

static void finish(struct websocket *w)
{
    w->closing = true;
    loop_defer(w->x->loop, &w->finish);
}

/* ---- backpressure ---- */

static void read_or_not(struct websocket *w)
{
    if (w->paused || w->slow)
        http_body_pause(w->x);
    else
        http_body_resume(w->x);
}

/* ---- frames ---- */

static void flush(struct websocket *w)
{
    while (wslay_event_want_write(w->frames) && wslay_event_send(w->frames) == 0)
        ;
}

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *out, size_t n, int flags,
                       void *user)
{
    struct websocket *w = user;
    (void)flags;
    if (!w->input.n) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    n = MIN(n, w->input.n);
    memcpy(out, w->input.p, n);
    w->input = str_slice(w->input, n, w->input.n);
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t n, int flags,
                       void *user)
{
    struct websocket *w = user;
    (void)frames, (void)flags;
    http_stream_write(w->x, str_make(data, n));
    return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct websocket *w = user;
    (void)frames;
    if (wslay_is_ctrl_frame(arg->opcode) || w->closing)
        return; /* pings and closes are answered by wslay */
    if (w->events->on_message)
        w->events->on_message(w, w->ctx, arg->opcode == WSLAY_TEXT_FRAME,
                              str_make(arg->msg, arg->msg_length));
}

static void on_bytes(struct http_exchange *x, struct str data, bool end)
{
    struct websocket *w = x->tunnel;
    if (end || w->closing)
        return;
    w->input = data;
    w->reading = true;
    int rc = wslay_event_recv(w->frames);
    w->reading = false;
    flush(w);
    bool over = wslay_event_get_close_received(w->frames) || wslay_event_get_close_sent(w->frames);
    if (!w->closing && (rc != 0 || over))
        finish(w);
    w->slow = !w->closing && http_stream_queued(x) >= QUEUE_PAUSE_BYTES;
    if (w->slow)
        read_or_not(w);
}

static void on_drain(struct http_exchange *x)
{
    struct websocket *w = x->tunnel;
    if (!w->closing && w->events->on_drain)
        w->events->on_drain(w, w->ctx);
    if (!w->closing && w->slow) {
        w->slow = false;
        read_or_not(w);
    }
}

static void on_close(struct http_exchange *x)
{
    struct websocket *w = x->tunnel;
    if (!w->closing)
        finish(w);
}

/* ---- for the owner ---- */

struct websocket *websocket_accept(struct http_exchange *x, const char *protocol,
                                   const struct websocket_events *events, void *ctx)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    if (!websocket_wanted(x) || !http_tunnel(x, on_bytes))
        return NULL;
    struct websocket *w = mem_zalloc(sizeof *w);
    w->x = x;
    w->events = events;
    w->ctx = ctx;
    loop_deferred_init(&w->finish, run_finish);
    if (wslay_event_context_server_init(&w->frames, &callbacks, w) != 0)
        abort(); /* out of memory */
    wslay_event_config_set_max_recv_msg_length(w->frames, WEBSOCKET_MESSAGE_MAX);
    x->tunnel = w;
    x->on_close = on_close;
    x->on_drain = on_drain;
    write_head(x, protocol);
    return w;
}

void websocket_send(struct websocket *w, bool text, struct str head, struct str body)
{
    struct buf b;
    if (w->closing)
        return;
    buf_init(&b);
    buf_append_str(&b, head);
    buf_append_str(&b, body);
    struct wslay_event_msg m = {text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                                (const uint8_t *)b.data, b.len};
    wslay_event_queue_msg(w->frames, &m);
    buf_free(&b);
    flush(w);
}

size_t websocket_queued(const struct websocket *w)
{
    return w->x ? http_stream_queued(w->x) : 0;
}

void websocket_pause(struct websocket *w)
{
    w->paused = true;
    if (!w->closing)
        read_or_not(w);
}

void websocket_resume(struct websocket *w)
{
    w->paused = false;
    if (!w->closing)
        read_or_not(w);
}

void websocket_close(struct websocket *w, enum websocket_code code, const char *reason)
{
    if (w->closing)
        return;
    wslay_event_queue_close(w->frames, (uint16_t)code, (const uint8_t *)reason,
                            MIN(strlen(reason), (size_t)123));
    flush(w);
    finish(w);
}
