/*
 * Passing an upgraded connection on (net/http_pass.h).
 */
#include "net/http_pass.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/stream.h"

#define QUEUE_MAX (256u << 10) /* bytes waiting for one side before the other is not read */
#define CONNECT_TIMEOUT_MS 10000

struct http_pass {
    struct http_exchange *x; /* NULL once it is answered */
    struct stream *server;
    struct buf head; /* the request, until there is somebody to tell */
    bool open;
    bool client_gone;
    void (*failed)(struct http_exchange *x, const char *why);
};

/* ---- from the client ---- */

static void on_bytes(struct http_exchange *x, struct str data, bool end)
{
    struct http_pass *p = x->tunnel;
    if (end)
        return; /* on_close tells */
    stream_write(p->server, data.p, data.n);
    if (stream_queued(p->server) > QUEUE_MAX)
        http_body_pause(x);
}

static void on_client_drain(struct http_exchange *x)
{
    struct http_pass *p = x->tunnel;
    stream_resume(p->server);
}

static void on_client_close(struct http_exchange *x)
{
    struct http_pass *p = x->tunnel;
    p->client_gone = true;
    if (p->open) {
        p->x = NULL;
        http_abort(x);
        stream_shutdown(p->server);
    } else {
        stream_close(p->server, ERR_CANCELLED, "the client has gone");
    }
}

/* ---- from the server ---- */

static void on_open(struct stream *s, void *ctx)
{
    struct http_pass *p = ctx;
    if (!http_tunnel(p->x, on_bytes)) { /* the client has gone */
        stream_close(s, ERR_CANCELLED, "the client has gone");
        return;
    }
    p->open = true;
    stream_write(s, p->head.data, p->head.len);
    buf_free(&p->head);
}

static void on_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct http_pass *p = ctx;
    if (!p->x)
        return;
    http_stream_write(p->x, str_make(data, n));
    if (http_stream_queued(p->x) > QUEUE_MAX)
        stream_pause(s);
}

static void on_server_drain(struct stream *s, void *ctx)
{
    (void)s;
    struct http_pass *p = ctx;
    if (p->x)
        http_body_resume(p->x);
}

static void on_server_close(struct stream *s, void *ctx, int code, const char *reason)
{
    (void)s;
    struct http_pass *p = ctx;
    struct http_exchange *x = p->x;
    if (x) {
        x->on_close = NULL;
        x->on_drain = NULL;
    }
    if (x && p->open)
        http_stream_end(x, NULL, 0);
    else if (x)
        p->failed(x, p->client_gone ? "the client has gone" : code ? reason : "connection closed");
    buf_free(&p->head);
    mem_free(p);
}

/* ---- the request ---- */

static bool stays_here(struct str name)
{
    static const char *const names[] = {"host",   "authorization",  "proxy-authorization",
                                        "cookie", "content-length", "transfer-encoding"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(name, names[i]))
            return true;
    return str_has_prefix(name, STR("impersonate-"));
}

static void write_head(struct buf *out, const struct http_exchange *x,
                       const struct http_pass_target *target)
{
    buf_printf(out, "%.*s %s HTTP/1.1\r\nhost: %s\r\n", STR_ARG(x->method), target->path,
               target->address);
    for (size_t i = 0; i < x->headers_len; i++)
        if (!stays_here(x->headers[i].name))
            buf_printf(out, "%.*s: %.*s\r\n", STR_ARG(x->headers[i].name),
                       STR_ARG(x->headers[i].value));
    buf_append_cstr(out, "\r\n");
}

void http_pass(struct http_exchange *x, const struct http_pass_target *target,
               void (*failed)(struct http_exchange *x, const char *why))
{
    static const struct stream_events events = {.on_open = on_open,
                                                .on_data = on_data,
                                                .on_drain = on_server_drain,
                                                .on_close = on_server_close};
    struct http_pass *p = mem_zalloc(sizeof *p);
    p->x = x;
    p->failed = failed;
    buf_init(&p->head);
    write_head(&p->head, x, target);
    x->tunnel = p;
    x->on_close = on_client_close;
    x->on_drain = on_client_drain;
    uint64_t timeout_ms =
        target->connect_timeout_ms ? target->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    p->server = stream_connect(x->loop, target->address, target->tls, NULL, timeout_ms, &events, p);
}
