/*
 * HTTP/2 server connections on nghttp2.
 *
 * nghttp2 keeps the protocol: frames, HPACK, flow control (net/http2_rules.h: what a request may say). Bytes for
 * the peer go to the stream at the end of an iteration (flush), never from inside nghttp2's receive
 * path. Body bytes of an answer are not copied into nghttp2: it makes the frame header, we move the
 * payload from the exchange's queue to the stream's.
 *
 * Floods: streams that are reset as soon as they are opened and frames that achieve nothing (PING,
 * SETTINGS, empty DATA) are counted per second; past the limit the connection ends with
 * ENHANCE_YOUR_CALM. A client that cancels what it has had for a while (watches, calls that wait) is no
 * flood, however much it cancels at once: it can have no more than streams_max of those. nghttp2 bounds
 * unsent acknowledgements and CONTINUATION frames.
 */
#include "net/http2_mem.h"
#include "net/http_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define QUEUE_MAX (512u * 1024) /* framed bytes waiting for the kernel before framing stops */
#define IDLE_FRAMES_PER_S_MAX 2000u
#define RAPID_MS 1000 /* reset later, a stream has taken its place among streams_max for a while */

struct h2 {
    nghttp2_session *session;
    struct http_conn *conn;
    bool drained_any; /* an exchange's queue shrank in this flush */
    bool stopping;
    uint64_t second; /* of the counters below */
    unsigned resets, idle_frames;
    uint64_t headers_began_ms; /* a header block is being received; 0: none */
    uint64_t pinged_ms;        /* a ping waits for its answer; 0: none */
    uint64_t client_pinged_ms; /* the client's last */
    unsigned ping_strikes;     /* too early ones */
    bool sent_since_ping;      /* headers or data: pings that measure the path are no offence */
};

static struct exchange *exchange_at(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* Count an event against its limit per second. */
static void count_flood(struct h2 *h, unsigned *counter, unsigned max)
{
    uint64_t second = loop_now_ms(h->conn->worker->loop) / 1000;
    if (second != h->second) {
        h->second = second;
        h->resets = h->idle_frames = 0;
    }
    if (++*counter == max + 1) {
        log_warn("net", "HTTP/2 flood, closing remote=%s", stream_remote(h->conn->stream));
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

#define PING_STRIKES_MAX 2
#define PING_IDLE_MS (2ull * 3600 * 1000) /* without a stream */

static void ping_received(struct h2 *h)
{
    static const char why[] = "too_many_pings";
    uint64_t now = loop_now_ms(h->conn->worker->loop), last = h->client_pinged_ms;
    uint64_t least = h->conn->worker->server->options.ping_min_ms;
    count_flood(h, &h->idle_frames, IDLE_FRAMES_PER_S_MAX);
    h->client_pinged_ms = now;
    if (h->sent_since_ping || !least) {
        h->sent_since_ping = false;
        h->ping_strikes = 0;
        return;
    }
    if (list_empty(&h->conn->exchanges))
        least = PING_IDLE_MS;
    if (!last || now - last >= least)
        return;
    if (++h->ping_strikes == PING_STRIKES_MAX + 1) {
        log_warn("net", "too many pings, closing remote=%s", stream_remote(h->conn->stream));
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->session),
                              NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)why, sizeof why - 1);
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

/* A stream was reset by either side; cheap for the client only before the answer and at once. */
static void count_reset(struct h2 *h, const struct exchange *x)
{
    if (x && (x->started || loop_now_ms(x->worker->loop) - x->opened_ms >= RAPID_MS))
        return;
    count_flood(h, &h->resets, h->conn->worker->server->options.resets_per_s_max);
}

/* -------------------------------------------------------------- from nghttp2 --- */

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
    (void)session, (void)frame;
    struct h2 *h = arg;
    struct exchange *x = source->ptr;
    struct stream *s = h->conn->stream;
    if (stream_queued(s) > QUEUE_MAX)
        return NGHTTP2_ERR_WOULDBLOCK;
    stream_write(s, header, 9);
    stream_write_queue(s, &x->out, n);
    x->progress_ms = loop_now_ms(x->worker->loop);
    h->drained_any |= x->drain_due;
    return 0;
}

static void submit_trailers(nghttp2_session *session, struct exchange *x);

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)stream_id, (void)out, (void)arg;
    struct exchange *x = source->ptr;
    size_t n = MIN(max, x->out.bytes);
    if (n == 0 && !x->answered)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == x->out.bytes && x->answered) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->trailers_len) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(session, x);
        }
    }
    return (ssize_t)n;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    h->headers_began_ms = loop_now_ms(h->conn->worker->loop);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct exchange *x = http_exchange_new(h->conn);
    x->stream_id = frame->hd.stream_id;
    http2_rules_init(&x->rules);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, x);
    return 0;
}

static void set_pseudo_header(struct exchange *x, struct str name, struct str value)
{
    if (str_eq(name, STR(":method")))
        x->pub.method = value;
    else if (str_eq(name, STR(":path")))
        exchange_set_target(x, value);
    else if (str_eq(name, STR(":authority")))
        x->pub.authority = value;
    x->header_bytes += name.n + value.n + 32;
}

static void refuse(nghttp2_session *session, struct exchange *x)
{
    x->malformed = true;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_PROTOCOL_ERROR);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name_buf,
                     nghttp2_rcbuf *value_buf, uint8_t flags, void *arg)
{
    (void)flags, (void)arg;
    struct exchange *x = exchange_at(session, frame->hd.stream_id);
    if (!x || x->headers_too_large || x->malformed)
        return 0;
    nghttp2_vec name = nghttp2_rcbuf_get_buf(name_buf), value = nghttp2_rcbuf_get_buf(value_buf);
    const struct http_server_options *o = &x->worker->server->options;
    if (x->header_bytes + name.len + value.len > o->header_bytes_max) {
        x->headers_too_large = true; /* 431 once the block is complete */
        return 0;
    }
    bool trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    struct str field = str_make(name.base, name.len), content = str_make(value.base, value.len);
    if (trailer ? !http2_rules_trailer(field, content)
                : !http2_rules_header(&x->rules, field, content)) {
        refuse(session, x);
        return 0;
    }
    if (trailer) { /* counted, then dropped */
        x->header_bytes += name.len + value.len + 32;
        return 0;
    }
    struct str value_copy = str_make(arena_dup(&x->pub.arena, value.base, value.len), value.len);
    if (name.len && name.base[0] == ':') {
        set_pseudo_header(x, str_make(name.base, name.len), value_copy);
        return 0;
    }
    struct str name_copy = str_make(arena_dup(&x->pub.arena, name.base, name.len), name.len);
    if (str_eq(name_copy, STR("host")) && !x->pub.authority.n)
        x->pub.authority = value_copy;
    if (!exchange_add_header(x, name_copy, value_copy))
        x->headers_too_large = true;
    return 0;
}

static void headers_received(nghttp2_session *session, struct exchange *x, bool end_stream)
{
    bool complete = x->headers_too_large || http2_rules_headers_end(&x->rules);
    if (!complete || !http2_rules_body(&x->rules, 0, end_stream))
        refuse(session, x);
    if (x->malformed)
        return;
    exchange_hold(x);
    if (x->rules.announced >= 0)
        x->pub.content_length = x->rules.announced;
    else if (end_stream)
        x->pub.content_length = 0;
    if (x->headers_too_large)
        exchange_error(x, 431);
    else if (str_eq(x->pub.method, STR("CONNECT")) || !x->pub.path.n)
        exchange_error(x, 400);
    else
        exchange_headers_done(x);
    if (end_stream)
        exchange_body_done(x);
    exchange_release(x);
}

/* The end of the body, by a DATA frame or by trailers. */
static void body_received(nghttp2_session *session, struct exchange *x)
{
    if (!x->malformed && !http2_rules_body(&x->rules, 0, true))
        refuse(session, x);
    if (!x->malformed)
        exchange_body_done(x);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    struct exchange *x = frame->hd.stream_id ? exchange_at(session, frame->hd.stream_id) : NULL;
    bool end_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        h->headers_began_ms = 0;
        if (x && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            headers_received(session, x, end_stream);
        else if (x && end_stream)
            body_received(session, x);
        else if (x && !x->malformed) /* trailers that end nothing */
            refuse(session, x);
        break;
    case NGHTTP2_DATA:
        if (x && end_stream)
            body_received(session, x);
        else if (frame->hd.length == 0)
            count_flood(h, &h->idle_frames, IDLE_FRAMES_PER_S_MAX);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h->pinged_ms = 0;
        else
            ping_received(h);
        break;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        count_flood(h, &h->idle_frames, IDLE_FRAMES_PER_S_MAX);
        break;
    case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code == NGHTTP2_NO_ERROR)
            count_reset(h, x); /* others are counted where the stream closes */
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t n, void *arg)
{
    (void)flags, (void)arg;
    struct exchange *x = exchange_at(session, stream_id);
    bool paused = false;
    if (x && !x->malformed && !http2_rules_body(&x->rules, n, false))
        refuse(session, x);
    if (x && !x->malformed) {
        exchange_hold(x);
        exchange_body(x, (const char *)data, n);
        paused = x->body_paused && !x->answered;
        exchange_release(x);
    }
    if (!paused)
        nghttp2_session_consume(session, stream_id, n);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                            void *arg)
{
    struct h2 *h = arg;
    struct exchange *x = exchange_at(session, stream_id);
    if (error_code != NGHTTP2_NO_ERROR)
        count_reset(h, x);
    if (!x)
        return 0;
    if (x->unconsumed) { /* of a paused body: the other streams need the connection's window */
        nghttp2_session_consume_connection(session, x->unconsumed);
        x->unconsumed = 0;
        http_conn_kick(h->conn);
    }
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    exchange_finished(x);
    return 0;
}

/* An answer that is complete before its request: tell the client to stop sending. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    bool ends = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    h->sent_since_ping |= ends;
    if (!ends || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct exchange *x = exchange_at(session, frame->hd.stream_id);
    if (x && !x->received)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR);
    return 0;
}

/* ------------------------------------------------------------ for the exchange --- */

static nghttp2_nv make_nv(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

/* Fields of a connection mean nothing in HTTP/2 (RFC 9113 §8.2.2). */
static bool belongs_to_connection(struct str name)
{
    return str_eq(name, STR("connection")) || str_eq(name, STR("transfer-encoding")) ||
           str_eq(name, STR("keep-alive")) || str_eq(name, STR("upgrade"));
}

/* A value that is another each time would only push those that come again out of the table of HPACK. */
static nghttp2_nv answer_nv(const struct http_header *header)
{
    nghttp2_nv nv = make_nv(header->name, header->value);
    if (str_eq(header->name, STR("audit-id")))
        nv.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    return nv;
}

static size_t add_nvs(nghttp2_nv *nv, const struct http_header *headers, size_t headers_len)
{
    size_t n = 0;
    for (size_t i = 0; i < headers_len; i++) {
        if (!http_value_valid(headers[i].value))
            log_error("net", "answer header with a control character dropped name=%.*s",
                      STR_ARG(headers[i].name));
        else if (!belongs_to_connection(headers[i].name))
            nv[n++] = answer_nv(&headers[i]);
    }
    return n;
}

static nghttp2_nv *room_for(struct arena *a, nghttp2_nv *small, size_t small_len, size_t n)
{
    return n <= small_len ? small : arena_array(a, nghttp2_nv, n);
}

static void submit_trailers(nghttp2_session *session, struct exchange *x)
{
    nghttp2_nv small[16], *nv = room_for(&x->pub.arena, small, ARRAY_LEN(small), x->trailers_len);
    size_t n = add_nvs(nv, x->trailers, x->trailers_len);
    nghttp2_submit_trailer(session, x->stream_id, nv, n);
}

static void h2_start(struct exchange *x, int status, const struct http_header *headers,
                     size_t headers_len, int64_t content_length, bool last)
{
    struct h2 *h = x->conn->state;
    nghttp2_nv small[64], *nv = room_for(&x->pub.arena, small, ARRAY_LEN(small), headers_len + 3);
    char status_text[HTTP_DECIMAL_MAX], length_text[HTTP_DECIMAL_MAX];
    size_t n = 0;
    struct str date = str_from(http_date(x->worker));
    nv[n++] = make_nv(STR(":status"), http_decimal(status_text, (unsigned)status));
    n += add_nvs(nv + n, headers, headers_len);
    if (!x->no_date)
        nv[n++] = make_nv(STR("date"), date);
    if (content_length >= 0)
        nv[n++] =
            make_nv(STR("content-length"), http_decimal(length_text, (uint64_t)content_length));
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = read_body};
    x->progress_ms = loop_now_ms(x->worker->loop);
    int rc = nghttp2_submit_response(h->session, x->stream_id, nv, n, last ? NULL : &body);
    if (rc != 0)
        log_debug("net", "HTTP/2 answer not sent stream=%d error=\"%s\"", (int)x->stream_id,
                  nghttp2_strerror(rc));
    http_conn_kick(x->conn);
}

static void h2_more(struct exchange *x)
{
    struct h2 *h = x->conn->state;
    /* Fails, harmlessly, when nghttp2 was not waiting for data. */
    if (nghttp2_session_resume_data(h->session, x->stream_id) == 0)
        x->progress_ms = loop_now_ms(x->worker->loop);
    http_conn_kick(x->conn);
}

static struct str copy_str(struct arena *a, struct str s)
{
    return str_make(arena_dup(a, s.p ? s.p : "", s.n), s.n);
}

static void h2_end(struct exchange *x, const struct http_header *trailers, size_t trailers_len)
{
    struct arena *a = &x->pub.arena;
    if (trailers_len) {
        struct http_header *copy = arena_array(a, struct http_header, trailers_len);
        for (size_t i = 0; i < trailers_len; i++)
            copy[i] =
                (struct http_header){copy_str(a, trailers[i].name), copy_str(a, trailers[i].value)};
        x->trailers = copy;
        x->trailers_len = trailers_len;
    }
    h2_more(x);
}

static void h2_abort(struct exchange *x)
{
    struct h2 *h = x->conn->state;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
    http_conn_kick(x->conn);
}

static void h2_consumed(struct exchange *x, size_t n)
{
    struct h2 *h = x->conn->state;
    nghttp2_session_consume(h->session, x->stream_id, n);
    http_conn_kick(x->conn);
}

static void h2_pause(struct exchange *x, bool paused)
{
    (void)x, (void)paused; /* the window stays closed until h2_consumed */
}

static size_t h2_queued(const struct exchange *x)
{
    return x->out.bytes;
}

/* -------------------------------------------------------------- the connection --- */

static void check_drained(struct h2 *h)
{
    if (!h->drained_any)
        return;
    h->drained_any = false;
    list_for_each_safe (it, &h->conn->exchanges)
        exchange_check_drain(list_entry(it, struct exchange, link));
}

static void h2_flush(struct http_conn *c)
{
    struct h2 *h = c->state;
    int rc = nghttp2_session_send(h->session);
    if (rc != 0) {
        stream_close(c->stream, ERR_INVALID, nghttp2_strerror(rc));
        return;
    }
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) {
        stream_shutdown(c->stream);
        return;
    }
    check_drained(h);
}

static void h2_input(struct http_conn *c, const char *data, size_t n)
{
    struct h2 *h = c->state;
    ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);
    if (rc < 0) {
        stream_close(c->stream, ERR_INVALID, nghttp2_strerror((int)rc));
        return;
    }
    http_conn_kick(c);
}

static void h2_drained(struct http_conn *c)
{
    http_conn_kick(c);
}

static void h2_stop(struct http_conn *c)
{
    struct h2 *h = c->state;
    if (h->stopping)
        return;
    h->stopping = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    http_conn_kick(c);
}

static void check_exchange(struct h2 *h, struct exchange *x, uint64_t now)
{
    const struct http_server_options *o = &x->worker->server->options;
    bool silent = !x->received && !x->body_paused && now - x->progress_ms > o->body_timeout_ms;
    bool body_late = silent && x->body_mode == BODY_BUFFER && !x->started;
    bool output_late =
        x->out.bytes && now - x->progress_ms > atomic_load(&x->worker->server->write_timeout_ms);
    if (body_late)
        exchange_error(x, 408);
    else if (output_late || (silent && x->body_due))
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
    if (body_late || output_late || (silent && x->body_due))
        http_conn_kick(h->conn);
}

static bool h2_tick(struct http_conn *c, uint64_t now)
{
    struct h2 *h = c->state;
    const struct http_server_options *o = &c->worker->server->options;
    const char *late = NULL;
    if (h->headers_began_ms && now - h->headers_began_ms > o->header_timeout_ms)
        late = "a header block took too long";
    if (h->pinged_ms && c->read_ms > h->pinged_ms)
        h->pinged_ms = 0; /* any sign of life will do */
    if (h->pinged_ms && now - h->pinged_ms > o->ping_timeout_ms)
        late = "no answer to a ping";
    if (late) {
        stream_close(c->stream, ERR_TIMEOUT, late);
        return false;
    }
    if (!h->pinged_ms && now - c->read_ms > o->ping_interval_ms) {
        nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
        h->pinged_ms = now;
        http_conn_kick(c);
    }
    list_for_each_safe (it, &c->exchanges)
        check_exchange(h, list_entry(it, struct exchange, link), now);
    return true;
}

static nghttp2_session *new_session(struct h2 *h)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, send_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1); /* net/http2_rules.h */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX); /* count_reset */
    nghttp2_mem mem = http2_mem(loop_pool(h->conn->worker->loop));
    nghttp2_session_server_new3(&session, callbacks, h, option, &mem);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

static void *h2_open(struct http_conn *c)
{
    const struct http_server_options *o = &c->worker->server->options;
    struct h2 *h = mem_zalloc(sizeof *h);
    h->conn = c;
    h->session = new_session(h);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->header_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)MIN(4ull * o->window_bytes, 1u << 30));
    http_conn_kick(c);
    return h;
}

static void h2_free(struct http_conn *c)
{
    struct h2 *h = c->state;
    nghttp2_session_del(h->session);
    mem_free(h);
}

const struct http_version http_version_2 = {
    .number = 2,
    .open = h2_open,
    .input = h2_input,
    .flush = h2_flush,
    .drained = h2_drained,
    .stop = h2_stop,
    .tick = h2_tick,
    .free = h2_free,
    .start = h2_start,
    .more = h2_more,
    .end = h2_end,
    .abort = h2_abort,
    .consumed = h2_consumed,
    .pause = h2_pause,
    .queued = h2_queued,
};
