/*
 * Passing an upgraded connection on (net/http_pass.h).
 */
#include "net/http_pass.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/http_internal.h"
#include "net/stream.h"

#define QUEUE_MAX (256u << 10) /* bytes waiting for one side before the other is not read */
#define CONNECT_TIMEOUT_MS 10000
#define HEAD_MAX (64u << 10)
#define ANSWER_TIMEOUT_MS 30000
#define REFUSAL_TIMEOUT_MS 10000 /* for a refusal that does not say where it ends */

struct http_pass {
    struct http_exchange *x; /* NULL once it is answered */
    struct stream *server;
    struct buf head; /* the request, until there is somebody to tell; then the head of the answer */
    struct loop_timer timer;
    bool open;         /* answered: bytes go to the client */
    bool refused;      /* with something else than 101: what the client sends goes nowhere */
    int64_t body_left; /* of the refusal; -1: until the end */
    bool client_gone;
    void (*failed)(struct http_exchange *x, const char *why);
};

/* ---- from the client ---- */

static void on_bytes(struct http_exchange *x, struct str data, bool end)
{
    struct http_pass *p = x->tunnel;
    if (end || p->refused)
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
    stream_write(s, p->head.data, p->head.len);
    buf_clear(&p->head);
    loop_timer_start(&p->timer, ANSWER_TIMEOUT_MS);
}

static void on_timeout(struct loop_timer *t)
{
    struct http_pass *p = container_of(t, struct http_pass, timer);
    stream_close(p->server, p->open ? 0 : ERR_TIMEOUT, "no answer");
}

/* The refusal's head as the client may have it: the connection ends behind it. */
static void write_refusal(struct http_pass *p, struct str head)
{
    struct str line, name;
    bool first = true;
    while (str_split(&head, '\n', &line)) {
        struct str rest = line;
        str_split(&rest, ':', &name);
        if (!first && (str_ieq(name, STR("connection")) || str_ieq(name, STR("keep-alive"))))
            continue;
        http_stream_write(p->x, line);
        http_stream_write(p->x, first ? STR("\nConnection: close\r\n") : STR("\n"));
        first = false;
    }
}

static void pass_refusal(struct http_pass *p, struct str data)
{
    http_stream_write(p->x, data);
    if (p->body_left >= 0)
        p->body_left -= MIN((int64_t)data.n, p->body_left);
    if (p->body_left == 0)
        stream_close(p->server, 0, NULL);
}

static bool has_no_body(const struct http_pass *p, int status)
{
    return status == 204 || status == 304 || str_eqz(p->x->method, "HEAD");
}

/*
 * The answer's head is complete. Only 101 makes a tunnel of the connection: whoever asked for an upgrade that was
 * refused could else send requests of his own behind it, on a connection that is trusted as ours.
 */
static void answered(struct http_pass *p, size_t head_len)
{
    struct str all = buf_str(&p->head), head = str_slice(all, 0, head_len);
    struct str rest = str_slice(all, head_len, all.n);
    int status = http_head_status(head);
    loop_timer_stop(&p->timer);
    if (!status) {
        stream_close(p->server, ERR_INVALID, "the answer is no HTTP");
        return;
    }
    if (!http_tunnel(p->x, on_bytes)) {
        stream_close(p->server, ERR_CANCELLED, "the client has gone");
        return;
    }
    p->open = true;
    p->refused = status != 101;
    if (!p->refused) {
        http_stream_write(p->x, all);
    } else {
        p->body_left = has_no_body(p, status) ? 0 : http_head_length(head);
        loop_timer_start(&p->timer, REFUSAL_TIMEOUT_MS);
        write_refusal(p,
                      str_slice(head, 0, head.n - 1)); /* the last line's end is written with it */
        pass_refusal(p, rest);
    }
    buf_free(&p->head);
}

/* Answers that say that another one follows are not for the client, who sent everything. */
static bool skip_interim(struct http_pass *p, size_t head_len)
{
    int status = http_head_status(str_slice(buf_str(&p->head), 0, head_len));
    if (status < 100 || status > 199 || status == 101)
        return false;
    memmove(p->head.data, p->head.data + head_len, p->head.len - head_len);
    p->head.len -= head_len;
    return true;
}

static void take_head(struct http_pass *p, const char *data, size_t n)
{
    ptrdiff_t end;
    buf_append(&p->head, data, n);
    do {
        end = str_find(buf_str(&p->head), STR("\r\n\r\n"));
    } while (end >= 0 && skip_interim(p, (size_t)end + 4));
    if (end >= 0)
        answered(p, (size_t)end + 4);
    else if (p->head.len > HEAD_MAX)
        stream_close(p->server, ERR_LIMIT, "the answer's head is too long");
}

static void on_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct http_pass *p = ctx;
    if (!p->x)
        return;
    if (!p->open)
        take_head(p, data, n);
    else if (p->refused)
        pass_refusal(p, str_make(data, n));
    else
        http_stream_write(p->x, str_make(data, n));
    if (p->open && http_stream_queued(p->x) > QUEUE_MAX)
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
    loop_timer_stop(&p->timer);
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
    loop_timer_init(x->loop, &p->timer, on_timeout);
    x->tunnel = p;
    x->on_close = on_client_close;
    x->on_drain = on_client_drain;
    uint64_t timeout_ms =
        target->connect_timeout_ms ? target->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    p->server = stream_connect(x->loop, target->address, target->tls, NULL, timeout_ms, &events, p);
}
