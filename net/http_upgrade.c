/*
 * Upgraded connections of a client: see http_upgrade.h.
 */
#include "net/http_upgrade.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/http_internal.h"
#include "net/stream.h"

#define HEAD_MAX (16u << 10)
#define REASON_MAX 2048u
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_TIMEOUT_MS 30000

struct http_upgrade {
    struct stream *stream;
    const struct http_upgrade_events *events;
    void *ctx;
    struct buf out, in;      /* the request; the answer's head, or its body when it is a refusal */
    struct loop_timer timer; /* until the answer is here */
    int status;              /* 0: no answer yet */
    int64_t body_left;       /* of a refusal's body; -1: until the end */
};

/* ---- the answer ---- */

static void refused(struct http_upgrade *u, struct str body)
{
    buf_append(&u->in, body.p, MIN(body.n, REASON_MAX - u->in.len));
    if (u->body_left >= 0)
        u->body_left -= MIN((int64_t)body.n, u->body_left);
    if (u->body_left == 0 || u->in.len == REASON_MAX)
        stream_close(u->stream, 0, NULL);
}

/* The head is complete; what came behind it is the first of the stream. */
static void answered(struct http_upgrade *u, size_t head_len)
{
    struct str head = str_slice(buf_str(&u->in), 0, head_len);
    u->status = http_head_status(head);
    loop_timer_stop(&u->timer);
    if (!u->status) {
        stream_close(u->stream, ERR_INVALID, "the answer is no HTTP");
        return;
    }
    struct buf in = u->in;
    struct str rest = str_slice(buf_str(&in), head_len, in.len);
    int64_t length = http_head_length(head);
    buf_init(&u->in);
    if (u->status == 101) {
        u->events->on_open(u, u->ctx);
        if (rest.n)
            u->events->on_data(u, u->ctx, rest);
    } else {
        u->body_left = length;
        refused(u, rest);
    }
    buf_free(&in);
}

static void on_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct http_upgrade *u = ctx;
    if (u->status == 101) {
        u->events->on_data(u, u->ctx, str_make(data, n));
        return;
    }
    if (u->status) {
        refused(u, str_make(data, n));
        return;
    }
    buf_append(&u->in, data, n);
    ptrdiff_t end = str_find(buf_str(&u->in), STR("\r\n\r\n"));
    if (end >= 0)
        answered(u, (size_t)end + 4);
    else if (u->in.len > HEAD_MAX)
        stream_close(s, ERR_LIMIT, "the answer's head is too long");
}

/* ---- the connection ---- */

static void on_timeout(struct loop_timer *t)
{
    struct http_upgrade *u = container_of(t, struct http_upgrade, timer);
    stream_close(u->stream, ERR_TIMEOUT, "no answer");
}

static void on_open(struct stream *s, void *ctx)
{
    struct http_upgrade *u = ctx;
    stream_write(s, u->out.data, u->out.len);
    buf_free(&u->out);
    loop_timer_start(&u->timer, ANSWER_TIMEOUT_MS);
}

static void on_drain(struct stream *s, void *ctx)
{
    struct http_upgrade *u = ctx;
    (void)s;
    if (u->status == 101 && u->events->on_drain)
        u->events->on_drain(u, u->ctx);
}

static void on_close(struct stream *s, void *ctx, int code, const char *reason)
{
    struct http_upgrade *u = ctx;
    int status = u->status == 101 ? 0 : u->status;
    (void)s;
    loop_timer_stop(&u->timer);
    u->events->on_close(u, u->ctx, status,
                        status           ? buf_cstr(&u->in)
                        : code && reason ? reason
                                         : "connection closed");
    buf_free(&u->in);
    buf_free(&u->out);
    mem_free(u);
}

struct http_upgrade *http_upgrade_new(struct loop *loop, const struct http_pass_target *target,
                                      const struct http_header *headers, size_t headers_len,
                                      const struct http_upgrade_events *events, void *ctx)
{
    static const struct stream_events mine = {
        .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    struct http_upgrade *u = mem_zalloc(sizeof *u);
    u->events = events;
    u->ctx = ctx;
    buf_init(&u->in);
    buf_init(&u->out);
    buf_printf(&u->out, "POST %s HTTP/1.1\r\nhost: %s\r\ncontent-length: 0\r\n", target->path,
               target->address);
    for (size_t i = 0; i < headers_len; i++)
        buf_printf(&u->out, "%.*s: %.*s\r\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    buf_append_cstr(&u->out, "\r\n");
    loop_timer_init(loop, &u->timer, on_timeout);
    uint64_t timeout_ms =
        target->connect_timeout_ms ? target->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    u->stream = stream_connect(loop, target->address, target->tls, NULL, timeout_ms, &mine, u);
    return u;
}

void http_upgrade_write(struct http_upgrade *u, struct str data)
{
    stream_write(u->stream, data.p, data.n);
}

size_t http_upgrade_queued(const struct http_upgrade *u)
{
    return stream_queued(u->stream);
}

void http_upgrade_pause(struct http_upgrade *u)
{
    stream_pause(u->stream);
}

void http_upgrade_resume(struct http_upgrade *u)
{
    stream_resume(u->stream);
}

void http_upgrade_close(struct http_upgrade *u)
{
    stream_shutdown(u->stream);
}
