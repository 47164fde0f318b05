/*
 * gRPC server: calls on top of HTTP/2 exchanges. See grpc.h.
 *
 * A call and everything of it lives in the exchange's arena. A unary method gets its message when
 * the client has half-closed; most often that is one DATA frame, which is unpacked in place.
 */
#include "net/grpc_internal.h"
#include "base/clock.h"
#include "net/http_internal.h"
#include "net/protobuf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

#define PACK_ON_STACK 2048u
#define QUEUE_PAUSE_BYTES \
    (256u * 1024) /* answers waiting on a stream before no more of it is read */
#define PARTIAL_KEPT_BYTES (64u * 1024) /* a stream keeps so much memory for its next message */

struct grpc_server {
    struct grpc_server_options options;
    struct map methods;    /* path → struct grpc_method */
    atomic_size_t partial; /* bytes of messages that are not complete, of all calls */
    uv_mutex_t lock;       /* guards streams */
    struct list streams;   /* client-streaming calls, of all loops */
};

struct grpc_call {
    struct list stream_link;
    struct grpc_server *server;
    const struct grpc_method *method; /* NULL: unknown, answered already */
    struct http_exchange *x;
    void *user;
    const struct grpc_form *form; /* NULL: gRPC's own */
    void *form_user;
    struct grpc_deframer deframer;
    struct str unary; /* the message of a unary call, until the half-close */
    size_t counted;   /* of the server's `partial` */
    bool slow;        /* the client does not take its answers: no more requests either */
    bool got_message;
    bool held;      /* see grpc_server_options.admit */
    bool delivered; /* unary: the handler has it, and answers */
    bool cancelled;
    int end_status; /* 0, or what CANCELLED becomes: the server ends the call */
    const char *end_message;
    bool expired; /* the deadline passed */
    bool finished;
    struct loop_timer deadline;
    uint64_t deadline_ms; /* loop time; UINT64_MAX: none */
    uint64_t began_ns;
};

static const struct http_header grpc_type = {STR("content-type"), STR("application/grpc")};

struct grpc_server *grpc_server_new(const struct grpc_server_options *options)
{
    struct grpc_server *s = mem_zalloc(sizeof *s);
    s->options = *options;
    if (!s->options.message_bytes_max)
        s->options.message_bytes_max = 2u << 20;
    if (!s->options.partial_bytes_max)
        s->options.partial_bytes_max = 256u << 20;
    map_init(&s->methods);
    uv_mutex_init(&s->lock);
    list_init(&s->streams);
    return s;
}

void grpc_server_free(struct grpc_server *s)
{
    if (!s)
        return;
    assert(list_empty(&s->streams));
    uv_mutex_destroy(&s->lock);
    map_free(&s->methods);
    mem_free(s);
}

void grpc_server_add(struct grpc_server *s, const struct grpc_method *methods, size_t methods_len)
{
    for (size_t i = 0; i < methods_len; i++) {
        assert(methods[i].on_message);
        assert(!(methods[i].client_streaming || methods[i].long_running) ||
               methods[i].on_cancel); /* else it would never end */
        map_put(&s->methods, str_from(methods[i].path), (void *)&methods[i]);
    }
}

/* -------------------------------------------------------------------- receiving --- */

static void cancel(struct grpc_call *call)
{
    if (call->cancelled || call->finished)
        return;
    call->cancelled = true;
    if (call->held)
        return; /* grpc_admit ends it */
    if (!call->method->client_streaming && !call->delivered)
        grpc_finish(call, GRPC_CANCELLED, "context canceled"); /* its handler never saw it */
    else if (call->method->on_cancel)
        call->method->on_cancel(call, call->server->options.ctx);
}

static void on_deadline(struct loop_timer *timer)
{
    struct grpc_call *call = container_of(timer, struct grpc_call, deadline);
    call->expired = true;
    /* Whoever has no on_cancel has nothing to stop, but still answers when it is ready. */
    cancel(call);
}

static void peer_gone(struct http_exchange *x)
{
    cancel(x->user);
}

static void queue_drained(struct http_exchange *x)
{
    struct grpc_call *call = x->user;
    if (call->method->on_drain && !call->finished)
        call->method->on_drain(call, call->server->options.ctx);
    if (call->slow && !call->finished) {
        call->slow = false;
        http_body_resume(x);
    }
}

/* Requests of a stream can be shorter than their answers: who does not read must not write either. */
static void pause_if_slow(struct grpc_call *call)
{
    if (!call->method->client_streaming || call->finished || call->slow ||
        http_stream_queued(call->x) < QUEUE_PAUSE_BYTES)
        return;
    call->slow = true;
    http_body_pause(call->x);
}

/* Count what is held of a message that may never be complete. False: all hold too much together. */
static bool count_partial(struct grpc_call *call)
{
    struct grpc_server *s = call->server;
    size_t held = call->deframer.partial.cap + (call->delivered ? 0 : call->unary.n);
    size_t before = call->counted;
    if (held == before)
        return true;
    call->counted = held;
    size_t all = atomic_fetch_add(&s->partial, held - before) + (held - before);
    return held < before || all <= s->options.partial_bytes_max;
}

static void last_sight(struct http_exchange *x)
{
    struct grpc_call *call = x->user;
    loop_timer_stop(&call->deadline);
    uv_mutex_lock(&call->server->lock);
    list_remove(&call->stream_link);
    uv_mutex_unlock(&call->server->lock);
    if (call->method && call->method->on_free)
        call->method->on_free(call, call->server->options.ctx);
    if (call->form && call->form->on_free)
        call->form->on_free(call, call->form_user);
    buf_free(&call->deframer.partial);
    atomic_fetch_sub(&call->server->partial, call->counted);
}

static bool checked(struct grpc_call *call, const ProtobufCMessage *message)
{
    const struct grpc_server_options *o = &call->server->options;
    return !o->check || o->check(call, o->ctx, call->method, message);
}

/* The method learns of the call; it may finish it. */
static void open_call(struct grpc_call *call)
{
    if (call->method->client_streaming && !checked(call, NULL))
        return;
    if (call->method->on_open)
        call->method->on_open(call, call->server->options.ctx);
}

static void deliver_checked(struct grpc_call *call, const ProtobufCMessage *message, struct str raw)
{
    if (call->method->client_streaming || checked(call, message))
        call->method->on_message(call, call->server->options.ctx, message, raw);
}

/* Hand a message to the method; it may finish the call. */
static void deliver(struct grpc_call *call, struct str raw)
{
    const struct grpc_method *m = call->method;
    call->delivered = true;
    if (!m->request) {
        deliver_checked(call, NULL, raw);
        return;
    }
    struct error err = {0};
    struct arena own; /* of one message of a stream; a unary one lives as long as the call */
    struct arena *arena = m->client_streaming ? &own : &call->x->arena;
    arena_init(&own);
    const ProtobufCMessage *message = pb_unpack(arena, m->request, raw, &err);
    if (message)
        deliver_checked(call, message, raw);
    else
        grpc_finish(
            call, GRPC_INTERNAL,
            arena_printf(&call->x->arena, "grpc: error unmarshalling request: %s", err.message));
    arena_free(&own);
}

static void take_message(struct grpc_call *call, struct str message)
{
    if (call->method->client_streaming) {
        deliver(call, message);
    } else if (call->got_message) {
        grpc_finish(call, GRPC_INTERNAL, "grpc: a second message on a unary call");
    } else {
        call->got_message = true;
        call->unary =
            str_make(arena_dup(&call->x->arena, message.p ? message.p : "", message.n), message.n);
    }
}

static void half_closed(struct grpc_call *call)
{
    const struct grpc_method *m = call->method;
    if (call->deframer.partial.len) {
        grpc_finish(call, GRPC_INTERNAL, "grpc: the last message is cut off");
    } else if (m->client_streaming) {
        if (m->on_end)
            m->on_end(call, call->server->options.ctx);
    } else if (!call->got_message) {
        grpc_finish(call, GRPC_INTERNAL, "grpc: a unary call without a message");
    } else {
        deliver(call, call->unary);
    }
}

static void on_body(struct http_exchange *x, struct str data, bool end)
{
    struct grpc_call *call = x->user;
    while (data.n && !call->finished) {
        struct str message;
        size_t announced = 0;
        switch (grpc_deframe_next(&call->deframer, &data, &message, &announced)) {
        case GRPC_DEFRAME_MORE:
            break;
        case GRPC_DEFRAME_MESSAGE:
            take_message(call, message);
            break;
        case GRPC_DEFRAME_TOO_LARGE:
            grpc_finish(call, GRPC_RESOURCE_EXHAUSTED,
                        arena_printf(&x->arena,
                                     "grpc: received message larger than max (%zu vs. %zu)",
                                     announced, call->deframer.message_max));
            break;
        case GRPC_DEFRAME_COMPRESSED:
            grpc_finish(call, GRPC_UNIMPLEMENTED, "grpc: compressed messages are not supported");
            break;
        }
    }
    if (end && !call->finished)
        half_closed(call);
    if (!call->deframer.partial.len && call->deframer.partial.cap > PARTIAL_KEPT_BYTES)
        buf_free(&call->deframer.partial);
    exchange_of(x)->body_due = !call->finished && (call->deframer.partial.len || !call->delivered);
    if (!count_partial(call) && !call->finished)
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, "grpc: too many messages are on their way");
    pause_if_slow(call);
}

static void start_deadline(struct grpc_call *call)
{
    struct str timeout = http_header_get(call->x, "grpc-timeout");
    call->deadline_ms = UINT64_MAX;
    if (!timeout.p)
        return;
    uint64_t ms = grpc_timeout_parse(timeout);
    if (ms == UINT64_MAX)
        return;
    call->deadline_ms = loop_now_ms(call->x->loop) + ms;
    loop_timer_start(&call->deadline, ms);
}

static struct grpc_call *call_new(struct grpc_server *s, struct http_exchange *x,
                                  const struct grpc_method *method)
{
    struct grpc_call *call = arena_new(&x->arena, struct grpc_call);
    call->server = s;
    call->began_ns = clock_mono_ns();
    call->x = x;
    call->method = method;
    call->deframer.message_max = s->options.message_bytes_max;
    call->deadline_ms = UINT64_MAX;
    buf_init(&call->deframer.partial);
    list_init(&call->stream_link);
    loop_timer_init(x->loop, &call->deadline, on_deadline);
    x->user = call;
    x->on_done = last_sight;
    return call;
}

static void call_begin(struct grpc_call *call)
{
    struct grpc_server *s = call->server;
    call->x->on_close = peer_gone;
    call->x->on_drain = queue_drained;
    if (call->method->client_streaming || call->method->long_running) {
        uv_mutex_lock(&s->lock);
        list_push_back(&s->streams, &call->stream_link);
        uv_mutex_unlock(&s->lock);
    }
}

bool grpc_server_take(struct grpc_server *s, struct http_exchange *x)
{
    if (x->version != 2 ||
        !str_has_prefix(http_header_get(x, "content-type"), STR("application/grpc")))
        return false;
    struct grpc_call *call = call_new(s, x, map_get(&s->methods, x->path));
    exchange_of(x)->no_date = true;
    if (!call->method || !str_eqz(x->method, "POST")) {
        call->method = NULL;
        grpc_finish(call, GRPC_UNIMPLEMENTED,
                    arena_printf(&x->arena, "unknown method %.*s", STR_ARG(x->path)));
        return true;
    }
    call_begin(call);
    start_deadline(call);
    http_body_stream(x, on_body);
    call->held = s->options.admit && !s->options.admit(call, s->options.ctx);
    if (call->held)
        http_body_pause(x);
    else
        open_call(call);
    return true;
}

void grpc_admit(struct grpc_call *call)
{
    assert(call->held);
    call->held = false;
    if (call->cancelled) {
        grpc_finish(call, GRPC_CANCELLED, "context canceled");
        return;
    }
    open_call(call);
    http_body_resume(call->x);
}

/* ----------------------------------------------------------- requests in other forms --- */

const struct grpc_method *grpc_server_method(const struct grpc_server *s, const char *path)
{
    return map_get(&s->methods, str_from(path));
}

struct grpc_call *grpc_server_call(struct grpc_server *s, struct http_exchange *x,
                                   const struct grpc_method *method, const struct grpc_form *form,
                                   void *user)
{
    assert(method->request);
    struct grpc_call *call = call_new(s, x, method);
    call->form = form;
    call->form_user = user;
    call_begin(call);
    start_deadline(call);
    open_call(call);
    return call;
}

void grpc_call_deliver(struct grpc_call *call, const ProtobufCMessage *message)
{
    call->delivered = true;
    deliver_checked(call, message, STR_NONE);
    pause_if_slow(call);
}

void grpc_call_end(struct grpc_call *call)
{
    if (!call->finished && call->method->client_streaming && call->method->on_end)
        call->method->on_end(call, call->server->options.ctx);
}

bool grpc_call_finished(const struct grpc_call *call)
{
    return call->finished;
}

void *grpc_form_user(const struct grpc_call *call)
{
    return call->form_user;
}

/* Bytes that a method made itself, for a form. */
static void form_send_bytes(struct grpc_call *call, struct str bytes)
{
    struct arena a;
    arena_init(&a);
    assert(call->method->response);
    const ProtobufCMessage *m = pb_unpack(&a, call->method->response, bytes, NULL);
    assert(m);
    call->form->send(call, call->form_user, m);
    arena_free(&a);
}

/* --------------------------------------------------------------------- the call --- */

void grpc_server_cancel(struct grpc_server *s, struct loop *loop,
                        bool (*which)(struct grpc_call *call, void *ctx), int status,
                        const char *message)
{
    VEC(struct grpc_call *) calls = {0};
    uv_mutex_lock(&s->lock);
    list_for_each (it, &s->streams) {
        struct grpc_call *call = list_entry(it, struct grpc_call, stream_link);
        if (call->x->loop == loop)
            vec_push(&calls, call);
    }
    uv_mutex_unlock(&s->lock);
    /* Only this loop frees them, and on_cancel ends no call but its own. */
    for (size_t i = 0; i < calls.len; i++) {
        struct grpc_call *call = calls.items[i];
        if (which && !which(call, s->options.ctx))
            continue;
        call->end_status = status;
        call->end_message = message;
        cancel(call);
    }
    vec_free(&calls);
}

void grpc_server_end_streams(struct grpc_server *s, struct loop *loop)
{
    grpc_server_cancel(s, loop, NULL, GRPC_UNAVAILABLE, "the server is stopping");
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
    return call->method;
}

struct http_exchange *grpc_exchange(struct grpc_call *call)
{
    return call->x;
}

struct arena *grpc_arena(struct grpc_call *call)
{
    return &call->x->arena;
}

void grpc_set_user(struct grpc_call *call, void *user)
{
    call->user = user;
}

void *grpc_user(const struct grpc_call *call)
{
    return call->user;
}

struct str grpc_metadata(const struct grpc_call *call, const char *name)
{
    struct str own = http_header_get(call->x, name);
    char prefixed[128];
    if (own.p || !call->form)
        return own;
    /* As grpc-gateway: metadata come as headers with a prefix too. */
    snprintf(prefixed, sizeof prefixed, "grpc-metadata-%s", name);
    return http_header_get(call->x, prefixed);
}

uint64_t grpc_time_left_ms(const struct grpc_call *call)
{
    uint64_t now = loop_now_ms(call->x->loop);
    if (call->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    return call->deadline_ms > now ? call->deadline_ms - now : 0;
}

bool grpc_cancelled(const struct grpc_call *call)
{
    return call->cancelled;
}

/* ---------------------------------------------------------------------- sending --- */

static void start(struct grpc_call *call)
{
    if (!http_stream_started(call->x))
        http_stream_start(call->x, 200, &grpc_type, 1);
}

void grpc_send(struct grpc_call *call, const ProtobufCMessage *message)
{
    assert(!call->finished);
    if (call->form) {
        call->form->send(call, call->form_user, message);
        return;
    }
    start(call);
    size_t n = protobuf_c_message_get_packed_size(message);
    if (n > PACK_ON_STACK) {
        struct blob *frame = grpc_frame(message);
        http_stream_write_blob(call->x, frame);
        blob_unref(frame);
        return;
    }
    char frame[GRPC_PREFIX_BYTES + PACK_ON_STACK];
    grpc_prefix(frame, n);
    protobuf_c_message_pack(message, (uint8_t *)frame + GRPC_PREFIX_BYTES);
    http_stream_write(call->x, str_make(frame, GRPC_PREFIX_BYTES + n));
}

void grpc_send_bytes(struct grpc_call *call, struct str message)
{
    assert(!call->finished);
    char prefix[GRPC_PREFIX_BYTES];
    if (call->form) {
        form_send_bytes(call, message);
        return;
    }
    start(call);
    grpc_prefix(prefix, message.n);
    http_stream_write(call->x, str_make(prefix, sizeof prefix));
    http_stream_write(call->x, message);
}

void grpc_send_frame(struct grpc_call *call, struct blob *frame)
{
    assert(!call->finished);
    if (call->form) {
        form_send_bytes(call, str_slice(blob_str(frame), GRPC_PREFIX_BYTES, frame->len));
        return;
    }
    start(call);
    http_stream_write_blob(call->x, frame);
}

size_t grpc_queued(const struct grpc_call *call)
{
    return http_stream_queued(call->x);
}

void grpc_finish(struct grpc_call *call, int status, const char *message)
{
    assert(!call->finished);
    struct http_exchange *x = call->x;
    if (call->expired && status == GRPC_CANCELLED) {
        status = GRPC_DEADLINE_EXCEEDED;
        message = "context deadline exceeded";
    }
    if (call->end_status && status == GRPC_CANCELLED) {
        status = call->end_status;
        message = call->end_message;
    }
    const struct grpc_server_options *o = &call->server->options;
    if (o->on_finished && call->method)
        o->on_finished(o->ctx, call->method, status, clock_mono_ns() - call->began_ns);
    if (call->form) {
        call->finished = true;
        loop_timer_stop(&call->deadline);
        call->form->finish(call, call->form_user, status, message ? message : "");
        return;
    }
    char text[12];
    struct http_header trailers[2] = {
        {STR("grpc-status"), str_make(text, (size_t)snprintf(text, sizeof text, "%d", status))}};
    size_t n = 1;
    if (message && *message)
        trailers[n++] =
            (struct http_header){STR("grpc-message"), grpc_message_encode(&x->arena, message)};
    call->finished = true;
    loop_timer_stop(&call->deadline);
    start(call);
    http_stream_end(x, trailers, n);
}

void grpc_reply(struct grpc_call *call, const ProtobufCMessage *message)
{
    grpc_send(call, message);
    grpc_finish(call, GRPC_OK, NULL);
}
