/*
 * HTTP/1.1 client connections on llhttp: one call at a time, keep-alive between calls.
 */
#include "net/http_client_internal.h"
#include "base/mem.h"

#include <llhttp.h>
#include <stdio.h>

struct h1 {
    llhttp_t parser;
    struct client_conn *conn;
    struct http_call *call; /* being answered; NULL: idle, or the caller gave up */
    struct buf name, value;
    bool head; /* the answer has no body whatever it says */
    bool chunked_upload;
    bool request_ended;
    bool keep_alive;
};

static struct h1 *h1_of(llhttp_t *parser)
{
    return container_of(parser, struct h1, parser);
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
    buf_append(&h1_of(parser)->name, at, n);
    return h1_of(parser)->name.len > CLIENT_HEADER_BYTES_MAX ? HPE_USER : 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    buf_append(&h1_of(parser)->value, at, n);
    return h1_of(parser)->value.len > CLIENT_HEADER_BYTES_MAX ? HPE_USER : 0;
}

static bool informational(const llhttp_t *parser)
{
    return parser->status_code >= 100 && parser->status_code < 200;
}

static int on_value_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    bool ok = true;
    for (size_t i = 0; i < h->name.len; i++)
        if (h->name.data[i] >= 'A' && h->name.data[i] <= 'Z')
            h->name.data[i] = (char)(h->name.data[i] + 32);
    if (h->call && !informational(parser))
        ok = call_add_header(h->call, buf_str(&h->name), str_trim(buf_str(&h->value)));
    buf_clear(&h->name);
    buf_clear(&h->value);
    return ok ? 0 : HPE_USER;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    if (!h->call)
        return HPE_USER;
    if (parser->status_code == 101 || parser->status_code < 100)
        return HPE_USER; /* we asked for no upgrade; and 0 would say that no answer came */
    if (informational(parser))
        return 0;
    h->keep_alive = llhttp_should_keep_alive(parser);
    struct http_call *call = h->call;
    call_status(call, parser->status_code);
    call_headers_done(call);
    if (call->state == CALL_DONE)
        return HPE_USER;
    return h->head ? 1 : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct h1 *h = h1_of(parser);
    if (h->call && !call_data(h->call, at, n))
        return HPE_USER;
    return h->call ? 0 : HPE_USER;
}

static int on_message_complete(llhttp_t *parser)
{
    struct h1 *h = h1_of(parser);
    if (informational(parser))
        return 0;
    struct http_call *call = h->call;
    if (!call)
        return HPE_USER;
    /* Answered before we had sent everything: the rest must not be taken for another request. */
    if (!h->request_ended || !h->keep_alive)
        h->conn->no_more = true;
    if (call->paused)
        h->conn->no_more = true; /* its data is delivered later, by the call alone */
    h->call = NULL;
    call_complete(call);
    if (h->conn->no_more)
        stream_shutdown(h->conn->stream);
    return 0;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void *h1_open(struct client_conn *c)
{
    struct h1 *h = mem_zalloc(sizeof *h);
    h->conn = c;
    llhttp_init(&h->parser, HTTP_RESPONSE, &settings);
    buf_init(&h->name);
    buf_init(&h->value);
    return h;
}

static void h1_free(struct client_conn *c)
{
    struct h1 *h = c->state;
    buf_free(&h->name);
    buf_free(&h->value);
    mem_free(h);
}

static void h1_input(struct client_conn *c, const char *data, size_t n)
{
    struct h1 *h = c->state;
    if (c->no_more && !h->call)
        return;
    llhttp_errno_t e = llhttp_execute(&h->parser, data, n);
    if (e == HPE_OK)
        return;
    c->no_more = true;
    stream_close(c->stream, ERR_INVALID,
                 e == HPE_USER ? "unexpected HTTP/1 answer" : llhttp_get_error_reason(&h->parser));
}

/* The end of the connection ends an answer without a length. */
static void h1_end(struct client_conn *c)
{
    struct h1 *h = c->state;
    if (h->call && h->call->headers_done && llhttp_message_needs_eof(&h->parser))
        llhttp_finish(&h->parser);
}

static void h1_flush(struct client_conn *c)
{
    struct h1 *h = c->state;
    if (h->call)
        call_out_shrank(h->call);
}

static void write_header(struct stream *s, struct str name, struct str value)
{
    stream_write(s, name.p, name.n);
    stream_write(s, ": ", 2);
    stream_write(s, value.p, value.n);
    stream_write(s, "\r\n", 2);
}

static void h1_more(struct http_call *call)
{
    struct client_conn *c = call->conn;
    struct h1 *h = c->state;
    size_t n = call->out.bytes;
    char size[24];
    if (h->request_ended)
        return;
    if (n) {
        if (h->chunked_upload)
            stream_write(c->stream, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
        stream_write_queue(c->stream, &call->out, n);
        if (h->chunked_upload)
            stream_write(c->stream, "\r\n", 2);
        call->out_sent |= call->upload;
    }
    if (call->upload_ended || !call->upload) {
        if (h->chunked_upload)
            stream_write(c->stream, "0\r\n\r\n", 5);
        h->request_ended = true;
    }
}

static void h1_submit(struct client_conn *c, struct http_call *call)
{
    struct h1 *h = c->state;
    struct stream *s = c->stream;
    h->call = call;
    h->head = str_eq(call->method, STR("HEAD"));
    h->request_ended = false;
    h->chunked_upload = call->upload && !call->upload_bytes;
    stream_write(s, call->method.p, call->method.n);
    stream_write(s, " ", 1);
    stream_write(s, call->path.p, call->path.n);
    stream_write(s, " HTTP/1.1\r\n", 11);
    struct str host = str_from(c->origin->authority); /* or what the caller says: one of them */
    for (size_t i = 0; i < call->headers_len; i++)
        if (str_eq(call->headers[i].name, STR("host")))
            host = call->headers[i].value;
    write_header(s, STR("host"), host);
    for (size_t i = 0; i < call->headers_len; i++)
        if (!str_eq(call->headers[i].name, STR("host")))
            write_header(s, call->headers[i].name, call->headers[i].value);
    bool bodiless = call->body.n == 0 && (h->head || str_eq(call->method, STR("GET")) ||
                                          str_eq(call->method, STR("DELETE")));
    char length[48];
    if (h->chunked_upload)
        stream_write(s, "transfer-encoding: chunked\r\n", 28);
    else if (call->upload || !bodiless)
        stream_write(s, length,
                     (size_t)snprintf(length, sizeof length, "content-length: %zu\r\n",
                                      call->upload ? (size_t)call->upload_bytes : call->body.n));
    stream_write(s, "\r\n", 2);
    call->request_sent = true;
    if (call->body_blob)
        stream_write_blob(s, call->body_blob, 0, call->body_blob->len);
    else
        stream_write(s, call->body.p, call->body.n);
    h1_more(call);
}

/* Nobody wants the answer any more: only closing stops the server. A complete answer leaves
 * earlier. */
static void h1_drop(struct http_call *call)
{
    struct client_conn *c = call->conn;
    struct h1 *h = c->state;
    if (h->call != call)
        return;
    h->call = NULL;
    c->no_more = true;
    if (c->stream)
        stream_close(c->stream, 0, NULL);
}

static void h1_consumed(struct http_call *call, size_t n)
{
    (void)call, (void)n;
}

static void h1_pause(struct http_call *call, bool paused)
{
    if (paused)
        stream_pause(call->conn->stream);
    else
        stream_resume(call->conn->stream);
}

static bool h1_has_room(struct client_conn *c)
{
    struct h1 *h = c->state;
    return !h->call && c->calls_len == 0;
}

const struct client_version client_version_1 = {
    .number = 1,
    .open = h1_open,
    .input = h1_input,
    .flush = h1_flush,
    .end = h1_end,
    .free = h1_free,
    .submit = h1_submit,
    .more = h1_more,
    .drop = h1_drop,
    .consumed = h1_consumed,
    .pause = h1_pause,
    .has_room = h1_has_room,
};
