/*
 * HTTP/2 client connections on nghttp2. Frames leave at the end of an iteration; request bodies go
 * from the call's queue to the stream's without a copy through nghttp2.
 */
#include "net/http2_mem.h"
#include "net/http_client_internal.h"
#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define QUEUE_MAX (512u * 1024)
#define STREAM_WINDOW (1u << 20)
#define CONNECTION_WINDOW (16u << 20)

struct h2 {
    nghttp2_session *session;
    struct client_conn *conn;
    bool shrank; /* a call's upload queue shrank in this flush */
};

static struct http_call *call_at(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static ssize_t send_bytes(nghttp2_session *session, const uint8_t *data, size_t n, int flags,
                          void *arg)
{
    (void)session, (void)flags;
    struct h2 *h = arg;
    if (stream_queued(h->conn->stream) > QUEUE_MAX)
        return NGHTTP2_ERR_WOULDBLOCK;
    stream_write(h->conn->stream, data, n);
    return (ssize_t)n;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                     size_t n, nghttp2_data_source *source, void *arg)
{
    (void)source;
    struct h2 *h = arg;
    struct stream *s = h->conn->stream;
    if (stream_queued(s) > QUEUE_MAX)
        return NGHTTP2_ERR_WOULDBLOCK;
    struct http_call *call = call_at(session, frame->hd.stream_id);
    if (!call) /* dropped meanwhile; its reset is on the way */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream_write(s, header, 9);
    stream_write_queue(s, &call->out, n);
    call->out_sent |= call->upload;
    h->shrank |= call->drain_due;
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)out, (void)source, (void)arg;
    struct http_call *call = call_at(session, stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = MIN(max, call->out.bytes);
    bool ended = !call->upload || call->upload_ended;
    if (n == 0 && !ended)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == call->out.bytes && ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name_buf,
                     nghttp2_rcbuf *value_buf, uint8_t flags, void *arg)
{
    (void)flags, (void)arg;
    struct http_call *call = call_at(session, frame->hd.stream_id);
    if (!call)
        return 0;
    nghttp2_vec name = nghttp2_rcbuf_get_buf(name_buf), value = nghttp2_rcbuf_get_buf(value_buf);
    uint64_t status;
    if (name.len == 7 && memcmp(name.base, ":status", 7) == 0) {
        if (str_to_u64(str_make(value.base, value.len), &status))
            call_status(call, (int)status);
        return 0;
    }
    if (!call->headers_done && call->response.status < 200)
        return 0; /* informational */
    call_add_header(call, str_make(name.base, name.len), str_make(value.base, value.len));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h->conn->no_more = true;
        return 0;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && h->conn->origin)
        client_pump(h->conn->origin); /* more streams may be allowed now */
    struct http_call *call = frame->hd.stream_id ? call_at(session, frame->hd.stream_id) : NULL;
    if (!call)
        return 0;
    bool headers =
        frame->hd.type == NGHTTP2_HEADERS && !call->headers_done && call->response.status >= 200;
    if (headers)
        call_headers_done(call);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        call_at(session, frame->hd.stream_id)) {
        call->peer_ended = true;
        call_complete(call);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t n, void *arg)
{
    (void)flags, (void)arg;
    struct http_call *call = call_at(session, stream_id);
    bool paused = call && call->paused;
    if (call && call_data(call, (const char *)data, n) && (paused || call->paused)) {
        call->unconsumed += n;
        return 0;
    }
    nghttp2_session_consume(session, stream_id, n);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                            void *arg)
{
    struct h2 *h = arg;
    struct http_call *call = call_at(session, stream_id);
    if (!call)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    call->stream_id = 0;
    if (call->complete) /* paused: the rest is delivered later */
        return 0;
    char reason[64];
    snprintf(reason, sizeof reason, "stream reset: %s", nghttp2_http2_strerror(error_code));
    bool refused = error_code == NGHTTP2_REFUSED_STREAM;
    if (refused)
        h->conn->no_more |= h->conn->calls_len <= 1;
    call_connection_lost(call, refused, ERR_UNAVAILABLE, reason);
    return 0;
}

/* A request that nghttp2 could not send after all (GOAWAY came first). */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    (void)arg;
    struct http_call *call =
        frame->hd.type == NGHTTP2_HEADERS ? call_at(session, frame->hd.stream_id) : NULL;
    if (!call)
        return 0;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
    call->stream_id = 0;
    call_connection_lost(call, true, ERR_UNAVAILABLE, nghttp2_strerror(error));
    return 0;
}

static nghttp2_session *new_session(struct h2 *h)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, send_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100);
    nghttp2_mem mem = http2_mem(loop_pool(h->conn->loop));
    nghttp2_session_client_new3(&session, callbacks, h, option, &mem);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

static void *h2_open(struct client_conn *c)
{
    struct h2 *h = mem_zalloc(sizeof *h);
    h->conn = c;
    h->session = new_session(h);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CLIENT_HEADER_BYTES_MAX},
    };
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    client_conn_kick(c);
    return h;
}

static void h2_free(struct client_conn *c)
{
    struct h2 *h = c->state;
    nghttp2_session_del(h->session);
    mem_free(h);
}

static void h2_input(struct client_conn *c, const char *data, size_t n)
{
    struct h2 *h = c->state;
    ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);
    if (rc < 0) {
        stream_close(c->stream, ERR_INVALID, nghttp2_strerror((int)rc));
        return;
    }
    client_conn_kick(c);
}

static void h2_flush(struct client_conn *c)
{
    struct h2 *h = c->state;
    int rc = nghttp2_session_send(h->session);
    if (rc != 0) {
        stream_close(c->stream, ERR_INVALID, nghttp2_strerror(rc));
        return;
    }
    if ((!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) ||
        (c->no_more && c->calls_len == 0)) {
        c->no_more = true;
        stream_shutdown(c->stream);
        return;
    }
    if (!h->shrank)
        return;
    h->shrank = false;
    list_for_each_safe (it, &c->calls)
        call_out_shrank(list_entry(it, struct http_call, link));
}

static void h2_end(struct client_conn *c)
{
    (void)c; /* a stream has an end of its own */
}

static nghttp2_nv make_nv(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

static void h2_submit(struct client_conn *c, struct http_call *call)
{
    struct h2 *h = c->state;
    size_t n = 0;
    nghttp2_nv small[32], *nv = small;
    if (call->headers_len + 5 > ARRAY_LEN(small))
        nv = arena_array(&call->arena, nghttp2_nv, call->headers_len + 5);
    char length[24];
    struct str authority = str_from(c->origin->authority);
    for (size_t i = 0; i < call->headers_len; i++)
        if (str_eq(call->headers[i].name, STR("host")))
            authority = call->headers[i].value;
    nv[n++] = make_nv(STR(":method"), call->method);
    nv[n++] = make_nv(STR(":scheme"), c->origin->tls ? STR("https") : STR("http"));
    nv[n++] = make_nv(STR(":authority"), authority);
    nv[n++] = make_nv(STR(":path"), call->path);
    for (size_t i = 0; i < call->headers_len; i++)
        if (!str_eq(call->headers[i].name, STR("host")))
            nv[n++] = make_nv(call->headers[i].name, call->headers[i].value);
    if (!call->upload && call->body.n) {
        snprintf(length, sizeof length, "%zu", call->body.n);
        nv[n++] = make_nv(STR("content-length"), str_from(length));
        if (call->body_blob)
            outq_blob(&call->out, call->body_blob, 0, call->body_blob->len);
        else
            outq_borrow(&call->out, call->body.p, call->body.n);
    }
    bool has_body = call->upload || call->body.n;
    nghttp2_data_provider body = {.read_callback = read_body};
    call->stream_id =
        nghttp2_submit_request(h->session, NULL, nv, n, has_body ? &body : NULL, call);
    if (call->stream_id < 0) { /* stream ids used up */
        call->stream_id = 0;
        c->no_more = true;
        call_connection_lost(call, true, ERR_UNAVAILABLE, "no stream left on the connection");
        return;
    }
    call->request_sent = true;
    client_conn_kick(c);
}

static void h2_more(struct http_call *call)
{
    struct h2 *h = call->conn->state;
    nghttp2_session_resume_data(h->session, call->stream_id);
    client_conn_kick(call->conn);
}

static void h2_drop(struct http_call *call)
{
    struct client_conn *c = call->conn;
    struct h2 *h = c->state;
    if (call->stream_id && c->stream) {
        nghttp2_session_set_stream_user_data(h->session, call->stream_id, NULL);
        if (!call->peer_ended ||
            nghttp2_session_get_stream_local_close(h->session, call->stream_id) != 1)
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                      NGHTTP2_CANCEL);
    }
    if (call->unconsumed && c->stream)
        nghttp2_session_consume_connection(h->session, call->unconsumed);
    if (c->stream)
        client_conn_kick(c);
    call->unconsumed = 0;
    call->stream_id = 0;
}

static void h2_consumed(struct http_call *call, size_t n)
{
    struct h2 *h = call->conn->state;
    if (call->stream_id)
        nghttp2_session_consume(h->session, call->stream_id, n);
    else
        nghttp2_session_consume_connection(h->session, n);
    client_conn_kick(call->conn);
}

static void h2_pause(struct http_call *call, bool paused)
{
    (void)call, (void)paused; /* the window stays closed until h2_consumed */
}

static bool h2_has_room(struct client_conn *c)
{
    struct h2 *h = c->state;
    uint32_t max =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return c->calls_len < max && nghttp2_session_check_request_allowed(h->session);
}

static void h2_ping(struct client_conn *c)
{
    struct h2 *h = c->state;
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    client_conn_kick(c);
}

const struct client_version client_version_2 = {
    .number = 2,
    .open = h2_open,
    .input = h2_input,
    .flush = h2_flush,
    .end = h2_end,
    .free = h2_free,
    .submit = h2_submit,
    .more = h2_more,
    .drop = h2_drop,
    .consumed = h2_consumed,
    .pause = h2_pause,
    .has_room = h2_has_room,
    .ping = h2_ping,
};
