/*
 * Calls of the HTTP client: what was asked, what came back, when to try again, how it ends. See
 * http_client.h.
 */
#include "net/http_client_internal.h"
#include "net/http_internal.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

/* --------------------------------------------------------------- beginning --- */

static void run_finish(struct loop_deferred *d);

static void on_timeout(struct loop_timer *timer)
{
    struct http_call *call = container_of(timer, struct http_call, timer);
    call_fail(call, ERR_TIMEOUT, "%.*s %.*s: timed out", STR_ARG(call->method),
              STR_ARG(call->path));
}

static void on_header_timeout(struct loop_timer *timer)
{
    struct http_call *call = container_of(timer, struct http_call, header_timer);
    call_fail(call, ERR_TIMEOUT, "%.*s %.*s: no answer in time", STR_ARG(call->method),
              STR_ARG(call->path));
}

/* A copy with a NUL behind it. */
static struct str copy(struct arena *a, struct str s)
{
    char *to = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return str_make(to, s.n);
}

static void copy_request(struct http_call *call, const struct http_request *r)
{
    struct arena *a = &call->arena;
    call->method = copy(a, str_from(r->method));
    call->path = copy(a, str_from(r->path));
    call->headers = arena_array(a, struct http_header, r->headers_len + 4);
    for (size_t i = 0; i < r->headers_len; i++)
        call->headers[call->headers_len++] =
            (struct http_header){copy(a, r->headers[i].name), copy(a, r->headers[i].value)};
    call->headers[call->headers_len++] =
        (struct http_header){STR("user-agent"), str_from(call->client->user_agent)};
    client_set_token_header(call->client, call);
    call->body_blob = blob_ref(r->body_blob);
    call->body = r->body_blob ? blob_str(r->body_blob) : copy(a, r->body);
    call->upload = r->upload;
    call->upload_bytes = r->upload_bytes;
    call->stream = r->stream;
    call->header_timeout_ms = r->header_timeout_ms;
    call->body_cut = r->body_cut;
    call->body_bytes_max = r->body_bytes_max ? r->body_bytes_max : 256u * 1024 * 1024;
}

/* What a request is made of may come from others: in the end it must still be one request. */
static bool well_formed(const struct http_call *call)
{
    bool ok = call->path.n > 0 && http_token_valid(call->method);
    for (size_t i = 0; i < call->path.n; i++)
        ok &= (unsigned char)call->path.p[i] > 0x20 && call->path.p[i] != 0x7f;
    for (size_t i = 0; i < call->headers_len; i++)
        ok &= http_token_valid(call->headers[i].name) && http_value_valid(call->headers[i].value);
    return ok;
}

struct http_call *http_client_send(struct http_client *c, const struct http_request *request,
                                   const struct http_call_events *events, void *ctx)
{
    struct http_call *call = mem_zalloc(sizeof *call);
    arena_init(&call->arena);
    call->client = c;
    call->events = events;
    call->ctx = ctx;
    list_push_back(&c->calls, &call->all);
    list_init(&call->link);
    outq_init(&call->out, loop_pool(c->loop));
    buf_init(&call->response_body);
    buf_init(&call->paused_data);
    loop_deferred_init(&call->finish, run_finish);
    loop_timer_init(c->loop, &call->timer, on_timeout);
    loop_timer_init(c->loop, &call->header_timer, on_header_timeout);
    copy_request(call, request);
    if (request->timeout_ms)
        loop_timer_start(&call->timer, request->timeout_ms);
    if (request->header_timeout_ms)
        loop_timer_start(&call->header_timer, request->header_timeout_ms);
    call->origin = &c->origins[c->current];
    if (well_formed(call))
        client_dispatch(call);
    else
        call_fail(call, ERR_INVALID, "%s: the request's path or a header of it is malformed",
                  call->origin->url);
    return call;
}

/* -------------------------------------------------------------------- end --- */

static void call_free(struct http_call *call)
{
    list_remove(&call->all);
    loop_timer_stop(&call->timer);
    loop_timer_stop(&call->header_timer);
    loop_deferred_cancel(&call->finish);
    outq_free(&call->out);
    buf_free(&call->response_body);
    buf_free(&call->paused_data);
    blob_unref(call->body_blob);
    arena_free(&call->arena);
    mem_free(call);
}

static void run_finish(struct loop_deferred *d)
{
    struct http_call *call = container_of(d, struct http_call, finish);
    struct http_response *r = &call->response;
    r->headers = call->response_headers;
    r->trailers = call->trailers;
    if (!call->stream && call->result.code == 0) {
        r->body = str_make(buf_cstr(&call->response_body), call->response_body.len);
    }
    call->events->on_done(call, call->ctx, r, &call->result);
    call_free(call);
}

/* Take it off the wire; on_done comes at the end of this iteration. */
static void finish(struct http_call *call)
{
    assert(call->state != CALL_DONE);
    struct origin *origin = call->origin;
    if (call->conn)
        call->conn->version->drop(call);
    client_detach(call);
    call->state = CALL_DONE;
    loop_timer_stop(&call->timer);
    loop_timer_stop(&call->header_timer);
    loop_defer(call->client->loop, &call->finish);
    if (!call->client->freeing)
        client_pump(origin);
}

void call_fail(struct http_call *call, int code, const char *format, ...)
{
    if (call->state == CALL_DONE)
        return;
    va_list args;
    va_start(args, format);
    error_vset(&call->result, code, format, args);
    va_end(args);
    finish(call);
}

void http_call_cancel(struct http_call *call)
{
    call_fail(call, ERR_CANCELLED, "cancelled");
}

static bool is_safe(struct str method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
           str_eq(method, STR("OPTIONS"));
}

void call_connection_lost(struct http_call *call, bool unprocessed, int code, const char *reason)
{
    if (call->state == CALL_DONE)
        return;
    struct http_client *client = call->client;
    if (call->complete) { /* only its owner has not taken everything yet */
        client_detach(call);
        return;
    }
    bool reused = call->conn && call->conn->served > 1;
    bool repeatable = !call->headers_done && !call->out_sent &&
                      (unprocessed || !call->request_sent || is_safe(call->method));
    if (!repeatable || client->freeing) {
        call_fail(call, code, "%s: %s", call->origin->url, reason);
        return;
    }
    client_detach(call);
    call->stream_id = 0;
    call->request_sent = false;
    if (!call->upload) /* queued again by the next attempt; of an upload nothing has left yet */
        outq_free(&call->out);
    /* A pooled connection may just have been stale: the same server again, once. */
    if (reused && !call->tried_fresh) {
        call->tried_fresh = true;
    } else if (++call->tries >= client->origins_len) {
        call_fail(call, code, "%s: %s", call->origin->url, reason);
        return;
    } else {
        size_t index = (size_t)(call->origin - client->origins);
        call->origin = &client->origins[(index + 1) % client->origins_len];
        if (client->current == index)
            client->current = (index + 1) % client->origins_len;
    }
    client_dispatch(call);
}

/* --------------------------------------------------------- from the versions --- */

void call_status(struct http_call *call, int status)
{
    call->response.status = status;
}

bool call_add_header(struct http_call *call, struct str name, struct str value)
{
    struct http_header **list = call->headers_done ? &call->trailers : &call->response_headers;
    size_t *len = call->headers_done ? &call->response.trailers_len : &call->response.headers_len;
    size_t *cap = call->headers_done ? &call->trailers_cap : &call->response_cap;
    call->header_bytes += name.n + value.n + 32;
    if (*len == CLIENT_HEADERS_MAX || call->header_bytes > CLIENT_HEADER_BYTES_MAX) {
        call_fail(call, ERR_LIMIT, "%s: too many headers in the answer", call->origin->url);
        return false;
    }
    if (*len == *cap) {
        size_t grown = *cap ? 2 * *cap : 16;
        *list = arena_grow(&call->arena, *list, *cap * sizeof **list, grown * sizeof **list);
        *cap = grown;
    }
    (*list)[(*len)++] = (struct http_header){copy(&call->arena, name), copy(&call->arena, value)};
    return true;
}

void call_headers_done(struct http_call *call)
{
    call->headers_done = true;
    loop_timer_stop(&call->header_timer);
    call->response.headers = call->response_headers;
    if (call->events->on_headers)
        call->events->on_headers(call, call->ctx, &call->response);
}

bool call_data(struct http_call *call, const char *data, size_t n)
{
    if (call->state == CALL_DONE)
        return false;
    if (!call->stream) {
        size_t room = call->body_bytes_max - call->response_body.len;
        if (n > room && call->body_cut) {
            buf_append(&call->response_body, data, room);
            finish(call);
            return false;
        }
        if (n > room) {
            call_fail(call, ERR_LIMIT, "%s: the answer is larger than %zu bytes", call->origin->url,
                      call->body_bytes_max);
            return false;
        }
        buf_append(&call->response_body, data, n);
    } else if (call->paused) {
        buf_append(&call->paused_data, data, n);
    } else if (call->events->on_data) {
        call->events->on_data(call, call->ctx, str_make(data, n));
    }
    return call->state != CALL_DONE;
}

void call_complete(struct http_call *call)
{
    if (call->state == CALL_DONE)
        return;
    if (call->paused) {
        call->complete = true; /* after what is still to be delivered */
        return;
    }
    finish(call);
}

void call_out_shrank(struct http_call *call)
{
    if (!call->drain_due || call->state == CALL_DONE ||
        http_call_queued(call) >= CLIENT_QUEUE_LOW_WATER)
        return;
    call->drain_due = false;
    if (call->events->on_drain)
        call->events->on_drain(call, call->ctx);
}

/* ------------------------------------------------------------- for the owner --- */

static bool may_write(const struct http_call *call)
{
    assert(call->upload && !call->upload_ended);
    return call->state != CALL_DONE;
}

static void wrote(struct http_call *call)
{
    if (call->conn)
        call->conn->version->more(call);
    if (http_call_queued(call) >= CLIENT_QUEUE_LOW_WATER)
        call->drain_due = true;
}

void http_call_write(struct http_call *call, struct str data)
{
    if (!may_write(call))
        return;
    outq_copy(&call->out, data.p, data.n);
    wrote(call);
}

void http_call_write_blob(struct http_call *call, struct blob *data)
{
    if (!may_write(call))
        return;
    outq_blob(&call->out, data, 0, data->len);
    wrote(call);
}

void http_call_end(struct http_call *call)
{
    if (call->upload_ended)
        return;
    call->upload_ended = true;
    if (call->conn)
        call->conn->version->more(call);
}

size_t http_call_queued(const struct http_call *call)
{
    const struct client_conn *c = call->conn;
    bool in_stream = c && c->stream && c->version && c->version->number == 1;
    return call->out.bytes + (in_stream ? stream_queued(c->stream) : 0);
}

void http_call_pause(struct http_call *call)
{
    if (call->paused)
        return;
    call->paused = true;
    if (call->conn)
        call->conn->version->pause(call, true);
}

void http_call_resume(struct http_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    struct buf data = call->paused_data;
    buf_init(&call->paused_data);
    if (data.len && call->events->on_data && call->state != CALL_DONE)
        call->events->on_data(call, call->ctx, buf_str(&data));
    size_t n = call->unconsumed;
    buf_free(&data);
    if (call->paused || call->state == CALL_DONE)
        return;
    call->unconsumed = 0;
    if (call->conn) {
        call->conn->version->consumed(call, n);
        call->conn->version->pause(call, false);
    }
    if (call->complete)
        finish(call);
}

const char *http_call_server(const struct http_call *call)
{
    return call->origin ? call->origin->url : NULL;
}

struct str http_response_header(const struct http_response *r, const char *name)
{
    for (size_t i = 0; i < r->headers_len; i++)
        if (str_eqz(r->headers[i].name, name))
            return r->headers[i].value;
    return STR_NONE;
}

static struct http_header *copy_headers(struct arena *a, const struct http_header *from, size_t n)
{
    struct http_header *to = arena_array(a, struct http_header, n);
    for (size_t i = 0; i < n; i++)
        to[i] = (struct http_header){copy(a, from[i].name), copy(a, from[i].value)};
    return to;
}

void http_response_copy(struct arena *a, const struct http_response *from,
                        struct http_response *to)
{
    to->status = from->status;
    to->headers = copy_headers(a, from->headers, from->headers_len);
    to->headers_len = from->headers_len;
    to->trailers = copy_headers(a, from->trailers, from->trailers_len);
    to->trailers_len = from->trailers_len;
    to->body = copy(a, from->body);
}

/* ------------------------------------------------------------------ blocking --- */

struct waiting_call {
    struct loop_task task;
    struct http_client *client;
    const struct http_request *request;
    struct arena *arena;
    struct http_response *out;
    struct error *err;
    int rc;
    uv_sem_t done;
};

static void waiting_done(struct http_call *call, void *ctx, const struct http_response *r,
                         const struct error *err)
{
    (void)call;
    struct waiting_call *w = ctx;
    w->rc = err->code;
    if (err->code)
        error_set(w->err, err->code, "%s", err->message);
    else /* The waiting thread does nothing with its arena meanwhile. */
        http_response_copy(w->arena, r, w->out);
    uv_sem_post(&w->done);
}

static void waiting_send(struct loop_task *task)
{
    static const struct http_call_events events = {.on_done = waiting_done};
    struct waiting_call *w = container_of(task, struct waiting_call, task);
    http_client_send(w->client, w->request, &events, w);
}

int http_client_do(struct http_client *c, const struct http_request *request, struct arena *arena,
                   struct http_response *out, struct error *err)
{
    assert(!loop_is_current(c->loop) && !request->stream && !request->upload);
    *out = (struct http_response){0};
    struct waiting_call w = {.task.fn = waiting_send,
                             .client = c,
                             .request = request,
                             .arena = arena,
                             .out = out,
                             .err = err};
    uv_sem_init(&w.done, 0);
    loop_post(c->loop, &w.task);
    uv_sem_wait(&w.done);
    uv_sem_destroy(&w.done);
    return w.rc;
}
