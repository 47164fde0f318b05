/*
 * Exchanges, independent of the HTTP version: collecting a request, handing it over, and the answer
 * API of http.h. The version underneath frames and sends (struct http_version).
 */
#include "net/http_internal.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

static const struct http_version *version_of(const struct exchange *x)
{
    return x->conn->version;
}

/* ---------------------------------------------------------------- the request --- */

bool exchange_add_header(struct exchange *x, struct str name, struct str value)
{
    const struct http_server_options *o = &x->worker->server->options;
    x->header_bytes += name.n + value.n + 32; /* as HTTP/2 counts them */
    if (x->header_bytes > o->header_bytes_max || x->pub.headers_len >= o->headers_max)
        return false;
    if (x->pub.headers_len == x->headers_cap) {
        size_t cap = x->headers_cap ? 2 * x->headers_cap : 16;
        x->headers = arena_grow(&x->pub.arena, x->headers, x->headers_cap * sizeof *x->headers,
                                cap * sizeof *x->headers);
        x->headers_cap = cap;
        x->pub.headers = x->headers;
    }
    x->headers[x->pub.headers_len++] = (struct http_header){name, value};
    return true;
}

void exchange_set_target(struct exchange *x, struct str target)
{
    /* absolute-form (RFC 9112 §3.2.2): the path begins after the authority */
    if (str_has_prefix(target, STR("http://")) || str_has_prefix(target, STR("https://"))) {
        size_t start = target.p[4] == 's' ? 8 : 7;
        struct str rest = str_slice(target, start, target.n);
        ptrdiff_t slash = str_find_char(rest, '/');
        target = slash < 0 ? STR("/") : str_slice(rest, (size_t)slash, rest.n);
    }
    ptrdiff_t q = str_find_char(target, '?');
    x->pub.path = q < 0 ? target : str_slice(target, 0, (size_t)q);
    x->pub.query = q < 0 ? STR_NONE : str_slice(target, (size_t)q + 1, target.n);
}

void exchange_headers_done(struct exchange *x)
{
    const struct http_server_options *o = &x->worker->server->options;
    x->head = str_eqz(x->pub.method, "HEAD");
    exchange_hold(x);
    if (o->on_headers && !x->started)
        o->on_headers(o->ctx, &x->pub);
    if (x->started || x->answered || x->closed)
        x->body_mode = x->body_mode == BODY_STREAM && !x->answered ? BODY_STREAM : BODY_DISCARD;
    else if (x->body_mode == BODY_BUFFER && x->pub.content_length > (int64_t)x->body_limit)
        exchange_error(x, 413);
    else if (x->body_mode == BODY_BUFFER && x->pub.content_length > 0)
        buf_reserve(&x->body, MIN((size_t)x->pub.content_length, 64 * 1024));
    exchange_release(x);
}

static void deliver_body(struct exchange *x, struct str data, bool end)
{
    if (x->body_mode == BODY_STREAM && !x->closed && !x->answered)
        x->on_body(&x->pub, data, end);
}

void exchange_uncount_body(struct exchange *x)
{
    atomic_fetch_sub(&x->worker->server->body_bytes, x->body_counted);
    x->body_counted = 0;
}

/* Many clients that upload slowly must not fill the memory between them. */
static bool count_body(struct exchange *x, size_t n)
{
    struct http_server *s = x->worker->server;
    x->body_counted += n;
    return atomic_fetch_add(&s->body_bytes, n) + n <= s->options.body_total_max;
}

static void refuse_body(struct exchange *x, int status)
{
    static const struct http_header later = {STR("retry-after"), STR("1")};
    buf_free(&x->body);
    exchange_uncount_body(x);
    exchange_hold(x);
    if (status == 429)
        http_respond(&x->pub, status, &later, 1, STR("Too Many Requests\n"));
    else
        exchange_error(x, status);
    exchange_release(x);
}

bool exchange_body(struct exchange *x, const char *data, size_t n)
{
    x->progress_ms = loop_now_ms(x->worker->loop);
    x->body_received += n;
    switch (x->body_mode) {
    case BODY_DISCARD:
        break;
    case BODY_BUFFER:
        if (n > x->body_limit - x->body.len) {
            refuse_body(x, 413);
            return false;
        }
        if (!count_body(x, n)) {
            refuse_body(x, 429);
            return false;
        }
        buf_append(&x->body, data, n);
        break;
    case BODY_STREAM:
        if (x->body_paused) {
            buf_append(&x->paused_body, data, n);
            x->unconsumed += n;
            return true;
        }
        exchange_hold(x);
        deliver_body(x, str_make(data, n), false);
        if (x->body_paused && !x->answered)
            x->unconsumed += n;
        exchange_release(x);
        break;
    }
    return true;
}

void exchange_body_done(struct exchange *x)
{
    const struct http_server_options *o = &x->worker->server->options;
    exchange_hold(x);
    x->received = true;
    if (x->body_mode == BODY_STREAM) {
        if (x->body_paused)
            x->paused_end = true;
        else
            deliver_body(x, STR_NONE, true);
    } else if (x->body_mode == BODY_BUFFER && !x->started && !x->answered && !x->handed) {
        x->handed = true;
        x->pub.body = str_make(x->body.data, x->body.len);
        o->on_request(o->ctx, &x->pub);
    }
    exchange_release(x);
}

void exchange_closed(struct exchange *x)
{
    if (x->closed)
        return;
    x->closed = true;
    outq_free(&x->out);
    exchange_hold(x);
    if (!x->answered) {
        if (!x->handed && !x->started)
            x->answered = true; /* on_request will not come: nobody else answers */
        else if (x->pub.on_close)
            x->pub.on_close(&x->pub);
    }
    exchange_release(x);
}

void exchange_check_drain(struct exchange *x)
{
    if (!x->drain_due || x->answered || !x->conn ||
        version_of(x)->queued(x) >= x->worker->server->options.queue_low_water)
        return;
    x->drain_due = false;
    exchange_hold(x);
    if (x->pub.on_drain)
        x->pub.on_drain(&x->pub);
    exchange_release(x);
}

void exchange_error(struct exchange *x, int status)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s\n", http_status_text(status));
    const struct http_header type = {STR("content-type"), STR("text/plain; charset=utf-8")};
    http_respond(&x->pub, status, &type, 1, str_make(text, (size_t)n));
}

void http_body_stream(struct http_exchange *pub,
                      void (*on_body)(struct http_exchange *x, struct str data, bool end))
{
    struct exchange *x = exchange_of(pub);
    assert(!x->handed);
    x->body_mode = BODY_STREAM;
    x->on_body = on_body;
    x->handed = true;
}

bool http_tunnel_wanted(const struct http_exchange *pub)
{
    const struct exchange *x = (const struct exchange *)pub;
    return x->conn && !x->closed && !x->started && version_of(x)->tunnel_wanted &&
           version_of(x)->tunnel_wanted(x);
}

bool http_tunnel(struct http_exchange *pub,
                 void (*on_bytes)(struct http_exchange *x, struct str data, bool end))
{
    struct exchange *x = exchange_of(pub);
    if (!http_tunnel_wanted(pub))
        return false;
    x->body_mode = BODY_STREAM;
    x->on_body = on_bytes;
    x->started = true;
    x->status = 200; /* so that bytes may follow; the head is the handler's */
    version_of(x)->tunnel(x);
    return true;
}

void http_body_limit(struct http_exchange *pub, size_t bytes)
{
    exchange_of(pub)->body_limit = bytes;
}

void http_body_pause(struct http_exchange *pub)
{
    struct exchange *x = exchange_of(pub);
    if (x->body_paused)
        return;
    x->body_paused = true;
    if (x->conn)
        version_of(x)->pause(x, true);
}

void http_body_resume(struct http_exchange *pub)
{
    struct exchange *x = exchange_of(pub);
    if (!x->body_paused)
        return;
    x->body_paused = false;
    exchange_hold(x);
    struct buf pending = x->paused_body;
    buf_init(&x->paused_body);
    if (pending.len)
        deliver_body(x, buf_str(&pending), false);
    buf_free(&pending);
    if (!x->body_paused) {
        if (x->paused_end) {
            x->paused_end = false;
            deliver_body(x, STR_NONE, true);
        }
        size_t n = x->unconsumed;
        x->unconsumed = 0;
        if (x->conn) {
            if (n)
                version_of(x)->consumed(x, n);
            version_of(x)->pause(x, false);
        }
    }
    exchange_release(x);
}

/* ----------------------------------------------------------------- the answer --- */

/* The handler is through. The version reports exchange_finished once everything is sent. */
static void answered(struct exchange *x)
{
    assert(!x->answered);
    x->answered = true;
    if (x->body_mode == BODY_STREAM || !x->received)
        x->body_mode = BODY_DISCARD;
    if (x->unconsumed && x->conn) {
        version_of(x)->consumed(x, x->unconsumed);
        x->unconsumed = 0;
    }
    buf_free(&x->paused_body);
}

static bool body_allowed(const struct exchange *x, int status)
{
    return !x->head && status != 204 && status != 304 && status >= 200;
}

enum body_kind { COPIED, BORROWED };

static void respond(struct http_exchange *pub, int status, const struct http_header *headers,
                    size_t headers_len, struct str body, struct blob *blob, enum body_kind kind)
{
    struct exchange *x = exchange_of(pub);
    assert(!x->answered && !x->started);
    exchange_hold(x);
    x->started = true;
    x->status = status;
    if (x->conn && !x->closed) {
        size_t n = blob ? blob->len : body.n;
        bool send_body = body_allowed(x, status) && n > 0;
        int64_t length = status == 204 || status == 304 ? -1 : (int64_t)n;
        version_of(x)->start(x, status, headers, headers_len, length, !send_body);
        if (send_body && x->conn) {
            if (blob)
                outq_blob(&x->out, blob, 0, n);
            else if (kind == BORROWED)
                outq_borrow(&x->out, body.p, n);
            else
                outq_copy(&x->out, body.p, n);
        }
        answered(x);
        if (x->conn)
            version_of(x)->end(x, NULL, 0);
    } else {
        answered(x);
    }
    exchange_release(x);
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t headers_len, struct str body)
{
    respond(x, status, headers, headers_len, body, NULL, COPIED);
}

void http_respond_blob(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t headers_len, struct blob *body)
{
    respond(x, status, headers, headers_len, STR_NONE, body, COPIED);
}

void http_respond_arena(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t headers_len, struct str body)
{
    respond(x, status, headers, headers_len, body, NULL, BORROWED);
}

void http_stream_start(struct http_exchange *pub, int status, const struct http_header *headers,
                       size_t headers_len)
{
    struct exchange *x = exchange_of(pub);
    assert(!x->answered && !x->started);
    x->started = true;
    x->status = status;
    if (x->conn && !x->closed)
        version_of(x)->start(x, status, headers, headers_len, -1, x->head);
}

static bool may_write(struct exchange *x)
{
    assert(x->started && !x->answered);
    return x->conn && !x->closed && body_allowed(x, x->status);
}

static void wrote(struct exchange *x)
{
    version_of(x)->more(x);
    if (x->conn && version_of(x)->queued(x) >= x->worker->server->options.queue_low_water)
        x->drain_due = true;
}

void http_stream_write(struct http_exchange *pub, struct str data)
{
    struct exchange *x = exchange_of(pub);
    if (!may_write(x) || data.n == 0)
        return;
    outq_copy(&x->out, data.p, data.n);
    wrote(x);
}

void http_stream_write_blob(struct http_exchange *pub, struct blob *data)
{
    struct exchange *x = exchange_of(pub);
    if (!may_write(x) || data->len == 0)
        return;
    outq_blob(&x->out, data, 0, data->len);
    wrote(x);
}

void http_stream_end(struct http_exchange *pub, const struct http_header *trailers,
                     size_t trailers_len)
{
    struct exchange *x = exchange_of(pub);
    assert(x->started);
    exchange_hold(x);
    answered(x);
    if (x->conn && !x->closed)
        version_of(x)->end(x, trailers, trailers_len);
    exchange_release(x);
}

size_t http_stream_queued(const struct http_exchange *pub)
{
    const struct exchange *x = (const struct exchange *)pub;
    return x->conn && !x->closed ? version_of(x)->queued(x) : 0;
}

bool http_stream_started(const struct http_exchange *pub)
{
    return ((const struct exchange *)pub)->started;
}

bool http_closed(const struct http_exchange *pub)
{
    return ((const struct exchange *)pub)->closed;
}

void http_abort(struct http_exchange *pub)
{
    struct exchange *x = exchange_of(pub);
    exchange_hold(x);
    answered(x);
    if (x->conn && !x->closed)
        version_of(x)->abort(x);
    exchange_release(x);
}
