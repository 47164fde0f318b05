/*
 * HTTP/1.x server connections on llhttp.
 *
 * One request at a time: while it is being answered the parser is paused, and what the client
 * pipelines meanwhile waits in `pending` (bounded: past a limit the socket is not read). llhttp is
 * used in its strict mode; what it leaves open and smuggling could use (Host, Transfer-Encoding
 * with HTTP/1.0, codings other than chunked) is refused here, and after any error the connection is
 * closed.
 */
#include "net/http_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <llhttp.h>
#include <stdio.h>

#define PENDING_MAX (64u * 1024)

/* Text that may come a byte at a time: it grows by doubling, so that what is left behind in the arena is no more
 * than what was sent. */
struct token {
    char *p; /* NULL: nothing yet */
    size_t n, cap;
};

struct h1 {
    llhttp_t parser;
    struct http_conn *conn;
    struct exchange *current;      /* being received or answered; NULL: between requests */
    struct buf pending;            /* received, not parsed yet */
    struct token url, name, value; /* being collected, in the current arena */
    bool paused;                   /* parser: waits for the answer */
    bool parsing;                  /* inside llhttp_execute */
    bool headers_done;             /* of the current request: what follows are trailers */
    bool has_body;                 /* the current request announced one */
    bool upgrade;                  /* the current request asks for one */
    bool chunked;                  /* the current answer */
    bool keep_alive;               /* after the current answer */
    bool closing;                  /* no further requests */
    bool expect_continue;
    bool tunnel;       /* no HTTP any more: bytes to and from the current exchange */
    bool spoke;        /* a request has begun, ever */
    int refuse;        /* status for the error that a callback found; 0: a syntax error */
    uint64_t began_ms; /* first byte of the request */
};

static struct h1 *h1_of(llhttp_t *parser)
{
    return container_of(parser, struct h1, parser);
}

static int refuse(struct h1 *h, int status)
{
    h->refuse = status;
    return HPE_USER;
}

static void collect(struct h1 *h, struct token *to, const char *at, size_t n)
{
    struct arena *a = &h->current->pub.arena;
    if (n > to->cap - to->n) {
        size_t cap = to->p ? MAX(2 * to->cap, to->n + n) : n; /* most come in one piece */
        to->p = arena_grow(a, to->p, to->n, cap);
        to->cap = cap;
    }
    if (n)
        memcpy(to->p + to->n, at, n);
    to->n += n;
}

static struct str token_str(const struct token *t)
{
    return str_make(t->p, t->n);
}

static int on_message_begin(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    h->current = http_exchange_new(h->conn);
    h->spoke = true;
    h->url = h->name = h->value = (struct token){0};
    h->headers_done = h->has_body = h->chunked = h->expect_continue = false;
    h->upgrade = false;
    h->keep_alive = false;
    h->refuse = 0;
    h->began_ms = loop_now_ms(h->conn->worker->loop);
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
    struct h1 *h = h1_of(parser);
    if (h->url.n + n > h->conn->worker->server->options.header_bytes_max)
        return refuse(h, 414);
    collect(h, &h->url, at, n);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n)
{
    struct h1 *h = h1_of(parser);
    if (!h->current)
        return 0;
    if (h->name.n + n > h->conn->worker->server->options.header_bytes_max)
        return refuse(h, 431);
    collect(h, &h->name, at, n);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n)
{
    struct h1 *h = h1_of(parser);
    if (!h->current)
        return 0;
    if (h->value.n + n > h->conn->worker->server->options.header_bytes_max)
        return refuse(h, 431);
    collect(h, &h->value, at, n);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    struct exchange *x = h->current;
    if (!x)
        return 0;
    struct str value = h->value.p ? str_trim(token_str(&h->value)) : STR("");
    if (!http_value_valid(value))
        return refuse(h, 400);
    char *name = h->name.p;
    for (size_t i = 0; i < h->name.n; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + 32);
    /* Trailers are checked against the limits and then dropped. */
    if (!exchange_add_header(x, token_str(&h->name), value))
        return refuse(h, 431);
    if (h->headers_done)
        x->pub.headers_len--;
    h->name = h->value = (struct token){0};
    return 0;
}

/* What one request line and its headers must not say. 0: fine. */
static int check_request(struct h1 *h)
{
    struct exchange *x = h->current;
    unsigned hosts = 0;
    for (size_t i = 0; i < x->pub.headers_len; i++) {
        const struct http_header *header = &x->pub.headers[i];
        if (str_eq(header->name, STR("host"))) {
            hosts++;
            x->pub.authority = header->value;
        } else if (str_eq(header->name, STR("transfer-encoding"))) {
            if (x->pub.version_minor == 0)
                return 400;
            if (!str_ieq(header->value, STR("chunked")))
                return 501;
        } else if (str_eq(header->name, STR("expect"))) {
            if (!str_ieq(header->value, STR("100-continue")))
                return 417;
            h->expect_continue = x->pub.version_minor == 1;
        }
    }
    if (hosts > 1 || (hosts == 0 && x->pub.version_minor == 1))
        return 400;
    if (h->url.n == 0 || (h->url.p[0] != '/' && h->url.p[0] != 'h' && h->url.p[0] != '*'))
        return 400;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    struct exchange *x = h->current;
    h->headers_done = true;
    unsigned major = llhttp_get_http_major(parser), minor = llhttp_get_http_minor(parser);
    if (major != 1 || minor > 1)
        return refuse(h, 505);
    x->pub.version_minor = (int)minor;
    if (parser->method == HTTP_CONNECT)
        return refuse(h, 405);
    x->pub.method = str_from(llhttp_method_name((llhttp_method_t)parser->method));
    exchange_set_target(x, token_str(&h->url));
    int status = check_request(h);
    if (status)
        return refuse(h, status);
    bool chunked = parser->flags & F_CHUNKED;
    h->has_body = chunked || ((parser->flags & F_CONTENT_LENGTH) && parser->content_length > 0);
    if (!chunked)
        x->pub.content_length =
            h->has_body ? (int64_t)MIN(parser->content_length, (uint64_t)INT64_MAX) : 0;
    h->keep_alive = llhttp_should_keep_alive(parser) && !h->closing;
    h->upgrade = parser->upgrade && !h->has_body && minor == 1;
    exchange_hold(x);
    exchange_headers_done(x);
    /* Whoever answered without wanting the body is not sent it. */
    if (h->expect_continue && h->has_body && !x->started && x->conn)
        stream_write(h->conn->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    exchange_release(x);
    return h->closing ? HPE_USER : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct h1 *h = h1_of(parser);
    if (h->current)
        exchange_body(h->current, at, n);
    return h->closing && !h->current ? HPE_USER : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    if (h->current)
        exchange_body_done(h->current);
    if (h->closing && !h->current)
        return HPE_USER;
    if (!h->current)
        return 0; /* answered: on to the next request */
    h->paused = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* The bytes make no sense, or break a rule: answer if nobody has begun to, and close. */
static void reject(struct h1 *h, int status)
{
    struct http_conn *c = h->conn;
    bool was_closing = h->closing;
    h->closing = true;
    h->keep_alive = false;
    if (!h->current && !was_closing)
        h->current = http_exchange_new(c);
    struct exchange *x = h->current;
    if (x && !x->started && !x->handed) {
        h->has_body = false;
        exchange_error(x, status);
    } else if (x) {
        stream_close(c->stream, ERR_INVALID, "malformed HTTP/1 request");
    }
}

static void parse(struct h1 *h, const char *data, size_t n)
{
    h->parsing = true;
    size_t used = 0;
    while (used < n && !h->paused && !h->closing) {
        llhttp_errno_t e = llhttp_execute(&h->parser, data + used, n - used);
        if (e == HPE_OK) {
            used = n;
        } else if (e == HPE_PAUSED) {
            used = (size_t)(llhttp_get_error_pos(&h->parser) - data);
        } else if (e == HPE_PAUSED_UPGRADE) {
            /* It did not become a tunnel: it was answered as if it had not asked. */
            used = (size_t)(llhttp_get_error_pos(&h->parser) - data);
            llhttp_resume_after_upgrade(&h->parser);
        } else if (!h->closing) {
            log_debug("net", "malformed HTTP/1 request remote=%s reason=\"%s\"",
                      stream_remote(h->conn->stream), llhttp_get_error_reason(&h->parser));
            reject(h, h->refuse ? h->refuse : 400);
        }
    }
    h->parsing = false;
    if (!h->closing && used < n)
        buf_append(&h->pending, data + used, n - used);
}

static void h1_input(struct http_conn *c, const char *data, size_t n)
{
    struct h1 *h = c->state;
    if (h->closing && !h->current)
        return;
    if (h->closing)
        return; /* the current request is the last one; what follows is not for us */
    if (h->tunnel && h->current && !h->pending.len) {
        exchange_body(h->current, data, n);
        return;
    }
    if (h->paused || h->pending.len)
        buf_append(&h->pending, data, n);
    else
        parse(h, data, n);
    if (h->pending.len > PENDING_MAX)
        stream_pause(c->stream);
}

/* Go on with what was pipelined behind the request that was just answered. */
static void h1_flush(struct http_conn *c)
{
    struct h1 *h = c->state;
    bool ready = h->tunnel ? h->current != NULL : !h->paused;
    if (!ready || h->closing || h->parsing || h->pending.len == 0)
        return;
    struct buf data = h->pending;
    buf_init(&h->pending);
    if (h->tunnel)
        exchange_body(h->current, data.data, data.len);
    else
        parse(h, data.data, data.len);
    buf_free(&data);
    if (h->pending.len <= PENDING_MAX && (!h->current || !h->current->body_paused))
        stream_resume(c->stream);
}

static char *put(char *to, struct str s)
{
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

static void write_header(struct stream *s, struct str name, struct str value)
{
    char line[256], *p = line;
    bool fits = name.n + value.n + 4 <= sizeof line;
    if (!fits)
        stream_write(s, name.p, name.n);
    else
        p = put(p, name);
    p = put(p, STR(": "));
    if (!fits) {
        stream_write(s, line, 2);
        stream_write(s, value.p, value.n);
        p = line;
    } else {
        p = put(p, value);
    }
    p = put(p, STR("\r\n"));
    stream_write(s, line, (size_t)(p - line));
}

static void write_status_line(struct stream *s, int status, const char *date)
{
    char line[160], digits[HTTP_DECIMAL_MAX], *p = line;
    struct str text = str_from(http_status_text(status));
    p = put(p, STR("HTTP/1.1 "));
    p = put(p, http_decimal(digits, (unsigned)status));
    *p++ = ' ';
    p = put(p, str_slice(text, 0, MIN(text.n, 64)));
    p = put(p, STR("\r\ndate: "));
    p = put(p, str_slice(str_from(date), 0, MIN(strlen(date), 40)));
    p = put(p, STR("\r\n"));
    stream_write(s, line, (size_t)(p - line));
}

static void write_headers(struct stream *s, const struct http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (http_value_valid(headers[i].value))
            write_header(s, headers[i].name, headers[i].value);
        else
            log_error("net", "answer header with a control character dropped name=%.*s",
                      STR_ARG(headers[i].name));
    }
}

static void h1_start(struct exchange *x, int status, const struct http_header *headers,
                     size_t headers_len, int64_t content_length, bool last)
{
    struct h1 *h = x->conn->state;
    struct stream *s = x->conn->stream;
    if (h->has_body && !x->received)
        h->keep_alive = false; /* the rest of the body is not worth reading */
    if (!x->received && !h->has_body && h->closing)
        h->keep_alive = false;
    bool own_length = false;
    for (size_t i = 0; i < headers_len; i++)
        own_length |= str_eq(headers[i].name, STR("content-length"));
    bool has_length = own_length || content_length >= 0 || status == 204 || status == 304;
    h->chunked = !has_length && !last && x->pub.version_minor == 1;
    if (!has_length && !h->chunked && !x->head)
        h->keep_alive = false; /* HTTP/1.0: the end of the connection ends the body */
    write_status_line(s, status, http_date(x->worker));
    write_headers(s, headers, headers_len);
    if (!own_length && content_length >= 0) {
        char digits[HTTP_DECIMAL_MAX];
        write_header(s, STR("content-length"), http_decimal(digits, (uint64_t)content_length));
    }
    if (h->chunked)
        write_header(s, STR("transfer-encoding"), STR("chunked"));
    if (!h->keep_alive)
        write_header(s, STR("connection"), STR("close"));
    else if (x->pub.version_minor == 0)
        write_header(s, STR("connection"), STR("keep-alive"));
    stream_write(s, "\r\n", 2);
}

static void h1_more(struct exchange *x)
{
    struct h1 *h = x->conn->state;
    struct stream *s = x->conn->stream;
    size_t n = x->out.bytes;
    if (n == 0)
        return;
    char size[24];
    if (h->chunked)
        stream_write(s, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
    stream_write_queue(s, &x->out, n);
    if (h->chunked)
        stream_write(s, "\r\n", 2);
}

static void h1_end(struct exchange *x, const struct http_header *trailers, size_t trailers_len)
{
    struct http_conn *c = x->conn;
    struct h1 *h = c->state;
    h1_more(x);
    if (h->chunked) {
        stream_write(c->stream, "0\r\n", 3);
        write_headers(c->stream, trailers, trailers_len);
        stream_write(c->stream, "\r\n", 2);
    }
    bool keep_alive = h->keep_alive && !c->stopping;
    h->current = NULL;
    exchange_finished(x);
    if (!keep_alive) {
        h->closing = true;
        stream_shutdown(c->stream);
        return;
    }
    if (h->paused) {
        h->paused = false;
        llhttp_resume(&h->parser);
    }
    if (h->pending.len)
        http_conn_kick(c);
}

static void h1_abort(struct exchange *x)
{
    struct http_conn *c = x->conn;
    struct h1 *h = c->state;
    h->current = NULL;
    h->closing = true;
    exchange_finished(x);
    stream_close(c->stream, ERR_CANCELLED, "answer broken off");
}

static void h1_drained(struct http_conn *c)
{
    struct h1 *h = c->state;
    if (h->current)
        exchange_check_drain(h->current);
}

static void h1_stop(struct http_conn *c)
{
    struct h1 *h = c->state;
    h->keep_alive = false;
    if (h->current)
        return; /* the answer says close, or h1_end does */
    h->closing = true;
    stream_shutdown(c->stream);
}

static bool h1_tick(struct http_conn *c, uint64_t now)
{
    struct h1 *h = c->state;
    const struct http_server_options *o = &c->worker->server->options;
    struct exchange *x = h->current;
    if (!x) {
        /* opened and never spoke: give it no longer than one that speaks slowly */
        if (!h->spoke && now - c->opened_ms > o->header_timeout_ms) {
            stream_close(c->stream, ERR_TIMEOUT, "no request came");
            return false;
        }
        return true;
    }
    if (h->paused || x->received)
        return true;
    bool in_headers = !x->pub.method.p;
    if (in_headers ? now - h->began_ms > o->header_timeout_ms
                   : x->body_mode == BODY_BUFFER && now - x->progress_ms > o->body_timeout_ms) {
        reject(h, 408);
        return false;
    }
    return true;
}

static void h1_consumed(struct exchange *x, size_t n)
{
    (void)x, (void)n; /* the kernel's window is flow control enough */
}

static void h1_pause(struct exchange *x, bool paused)
{
    struct h1 *h = x->conn->state;
    if (paused)
        stream_pause(x->conn->stream);
    else if (h->pending.len <= PENDING_MAX)
        stream_resume(x->conn->stream);
}

static size_t h1_queued(const struct exchange *x)
{
    return stream_queued(x->conn->stream);
}

static bool h1_tunnel_wanted(const struct exchange *x)
{
    const struct h1 *h = x->conn->state;
    return h->current == x && h->upgrade && !h->closing;
}

static void h1_tunnel(struct exchange *x)
{
    struct h1 *h = x->conn->state;
    h->tunnel = true;
    h->keep_alive = h->chunked = false;
    http_conn_kick(x->conn); /* what came behind the request */
}

static void *h1_open(struct http_conn *c)
{
    struct h1 *h = mem_zalloc(sizeof *h);
    h->conn = c;
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    buf_init(&h->pending);
    return h;
}

static void h1_free(struct http_conn *c)
{
    struct h1 *h = c->state;
    buf_free(&h->pending);
    mem_free(h);
}

const struct http_version http_version_1 = {
    .number = 1,
    .open = h1_open,
    .input = h1_input,
    .flush = h1_flush,
    .drained = h1_drained,
    .stop = h1_stop,
    .tick = h1_tick,
    .free = h1_free,
    .start = h1_start,
    .more = h1_more,
    .end = h1_end,
    .abort = h1_abort,
    .consumed = h1_consumed,
    .pause = h1_pause,
    .queued = h1_queued,
    .tunnel_wanted = h1_tunnel_wanted,
    .tunnel = h1_tunnel,
};
