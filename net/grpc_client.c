/*
 * gRPC client: channels over one or more HTTP/2 clients, calls, and the blocking unary call. See
 * grpc.h.
 */
#include "net/grpc_internal.h"
#include "net/protobuf.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

struct grpc_channel {
    struct loop *loop;
    struct http_client **clients; /* one connection each; calls are dealt in turn */
    size_t clients_len;
    atomic_size_t next;
    char *authority, *token;
    bool require_leader;
    size_t message_bytes_max;
};

struct grpc_client_call {
    struct grpc_channel *channel;
    struct http_call *http;
    const char *path;
    const ProtobufCMessageDescriptor *response;
    const struct grpc_client_events *events;
    void *ctx;
    struct grpc_deframer deframer;
    struct arena arena; /* of one received message */
    int status;         /* found by us; 0: the server's holds */
    char message[256];
};

struct grpc_channel *grpc_channel_new(struct loop *loop, const struct grpc_channel_options *o,
                                      struct error *err)
{
    struct grpc_channel *ch = mem_zalloc(sizeof *ch);
    ch->loop = loop;
    ch->clients_len = o->connections ? o->connections : 1;
    ch->clients = mem_zalloc(ch->clients_len * sizeof *ch->clients);
    ch->authority = o->authority ? mem_strdup(o->authority) : NULL;
    ch->token = o->token ? mem_strdup(o->token) : NULL;
    ch->require_leader = o->require_leader;
    ch->message_bytes_max = o->message_bytes_max ? o->message_bytes_max : 64u << 20;
    struct http_client_options ho = {
        .servers = o->targets,
        .tls = o->tls,
        .server_name = o->server_name,
        .user_agent = "grpc-c8s/" C8S_VERSION,
        .http2_only = true,
        .connect_timeout_ms = o->connect_timeout_ms,
        .ping_interval_ms = o->ping_interval_ms,
        .ping_timeout_ms = o->ping_timeout_ms,
    };
    for (size_t i = 0; i < ch->clients_len; i++) {
        ch->clients[i] = http_client_new(loop, &ho, err);
        if (!ch->clients[i]) {
            grpc_channel_free(ch);
            return NULL;
        }
    }
    return ch;
}

void grpc_channel_free(struct grpc_channel *ch)
{
    if (!ch)
        return;
    for (size_t i = 0; i < ch->clients_len; i++)
        http_client_free(ch->clients[i]);
    mem_free(ch->clients);
    mem_free(ch->authority);
    mem_free(ch->token);
    mem_free(ch);
}

struct loop *grpc_channel_loop(const struct grpc_channel *ch)
{
    return ch->loop;
}

#define HEADERS_MAX 6

static size_t make_headers(const struct grpc_channel *ch, uint64_t timeout_ms, char timeout[24],
                           struct http_header out[HEADERS_MAX])
{
    size_t n = 0;
    out[n++] = (struct http_header){STR("content-type"), STR("application/grpc")};
    out[n++] = (struct http_header){STR("te"), STR("trailers")};
    if (ch->authority)
        out[n++] = (struct http_header){STR("host"), str_from(ch->authority)};
    if (ch->token)
        out[n++] = (struct http_header){STR("token"), str_from(ch->token)};
    if (ch->require_leader)
        out[n++] = (struct http_header){STR("hasleader"), STR("true")};
    if (timeout_ms) {
        bool seconds = timeout_ms > 99999999;
        snprintf(timeout, 24, "%llu%c",
                 (unsigned long long)(seconds ? MIN(timeout_ms / 1000, 99999999) : timeout_ms),
                 seconds ? 'S' : 'm');
        out[n++] = (struct http_header){STR("grpc-timeout"), str_from(timeout)};
    }
    return n;
}

static struct http_client *pick(struct grpc_channel *ch)
{
    return ch->clients[atomic_fetch_add(&ch->next, 1) % ch->clients_len];
}

/* ------------------------------------------------------------------- how it ended --- */

static struct str find(const struct http_response *r, const char *name)
{
    for (size_t i = 0; i < r->trailers_len; i++)
        if (str_eqz(r->trailers[i].name, name))
            return r->trailers[i].value;
    return http_response_header(r, name); /* an answer that is nothing but trailers */
}

static int status_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* Status and text of a finished HTTP call. The text may live in `arena`. */
static struct grpc_result result_of(const struct http_response *r, const struct error *err,
                                    struct arena *arena)
{
    int64_t status;
    struct str text = r->status ? find(r, "grpc-status") : STR_NONE;
    if (text.p && str_to_i64(text, &status)) {
        struct str message = find(r, "grpc-message");
        return (struct grpc_result){(int)status,
                                    message.p ? grpc_message_decode(arena, message) : ""};
    }
    if (err->code == ERR_CANCELLED)
        return (struct grpc_result){GRPC_CANCELLED, "context canceled"};
    if (err->code == ERR_TIMEOUT)
        return (struct grpc_result){GRPC_DEADLINE_EXCEEDED, "context deadline exceeded"};
    if (err->code)
        return (struct grpc_result){GRPC_UNAVAILABLE, arena_strdup(arena, err->message)};
    if (r->status != 200)
        return (struct grpc_result){status_of_http(r->status),
                                    arena_printf(arena, "unexpected HTTP status %d", r->status)};
    return (struct grpc_result){GRPC_INTERNAL, "the server sent no grpc-status"};
}

/* ---------------------------------------------------------------------- async calls --- */

static void fail(struct grpc_client_call *call, int status, const char *message)
{
    call->status = status;
    snprintf(call->message, sizeof call->message, "%s", message);
    http_call_cancel(call->http);
}

static void deliver(struct grpc_client_call *call, struct str raw)
{
    const ProtobufCMessage *message = NULL;
    struct error err = {0};
    if (call->response) {
        arena_reset(&call->arena);
        message = pb_unpack(&call->arena, call->response, raw, &err);
        if (!message) {
            fail(call, GRPC_INTERNAL, err.message);
            return;
        }
    }
    if (call->events->on_message)
        call->events->on_message(call, call->ctx, message, raw);
}

static void on_data(struct http_call *http, void *ctx, struct str data)
{
    (void)http;
    struct grpc_client_call *call = ctx;
    while (data.n && !call->status) {
        struct str message;
        size_t announced = 0;
        switch (grpc_deframe_next(&call->deframer, &data, &message, &announced)) {
        case GRPC_DEFRAME_MORE:
            break;
        case GRPC_DEFRAME_MESSAGE:
            deliver(call, message);
            break;
        case GRPC_DEFRAME_TOO_LARGE:
            fail(call, GRPC_RESOURCE_EXHAUSTED, "received message larger than the limit");
            break;
        case GRPC_DEFRAME_COMPRESSED:
            fail(call, GRPC_INTERNAL, "received a compressed message without asking for one");
            break;
        }
    }
}

static void on_drain(struct http_call *http, void *ctx)
{
    (void)http;
    struct grpc_client_call *call = ctx;
    if (call->events->on_drain)
        call->events->on_drain(call, call->ctx);
}

static void on_done(struct http_call *http, void *ctx, const struct http_response *r,
                    const struct error *err)
{
    (void)http;
    struct grpc_client_call *call = ctx;
    struct arena arena;
    arena_init(&arena);
    struct grpc_result result = call->status ? (struct grpc_result){call->status, call->message}
                                             : result_of(r, err, &arena);
    call->events->on_done(call, call->ctx, &result);
    arena_free(&arena);
    arena_free(&call->arena);
    buf_free(&call->deframer.partial);
    mem_free(call);
}

static const struct http_call_events http_events = {
    .on_data = on_data, .on_drain = on_drain, .on_done = on_done};

/* `frame` NULL: the messages follow. */
static struct grpc_client_call *open_call(struct grpc_channel *ch, const char *path,
                                          struct blob *frame,
                                          const ProtobufCMessageDescriptor *response,
                                          uint64_t timeout_ms,
                                          const struct grpc_client_events *events, void *ctx)
{
    struct grpc_client_call *call = mem_zalloc(sizeof *call);
    struct http_header headers[HEADERS_MAX];
    char timeout[24];
    call->channel = ch;
    call->path = path;
    call->response = response;
    call->events = events;
    call->ctx = ctx;
    call->deframer.message_max = ch->message_bytes_max;
    buf_init(&call->deframer.partial);
    arena_init(&call->arena);
    struct http_request request = {
        .method = "POST",
        .path = path,
        .headers = headers,
        .headers_len = make_headers(ch, timeout_ms, timeout, headers),
        .body_blob = frame,
        .upload = !frame,
        .stream = true,
        .timeout_ms = timeout_ms,
    };
    call->http = http_client_send(pick(ch), &request, &http_events, call);
    return call;
}

struct grpc_client_call *grpc_open(struct grpc_channel *ch, const char *path,
                                   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
                                   const struct grpc_client_events *events, void *ctx)
{
    return open_call(ch, path, NULL, response, timeout_ms, events, ctx);
}

struct grpc_client_call *grpc_open_unary(struct grpc_channel *ch, const char *path,
                                         const ProtobufCMessage *request,
                                         const ProtobufCMessageDescriptor *response,
                                         uint64_t timeout_ms,
                                         const struct grpc_client_events *events, void *ctx)
{
    struct blob *frame = grpc_frame(request);
    struct grpc_client_call *call = open_call(ch, path, frame, response, timeout_ms, events, ctx);
    blob_unref(frame);
    return call;
}

void grpc_client_send(struct grpc_client_call *call, const ProtobufCMessage *message)
{
    struct blob *frame = grpc_frame(message);
    http_call_write_blob(call->http, frame);
    blob_unref(frame);
}

void grpc_client_send_bytes(struct grpc_client_call *call, struct str message)
{
    char prefix[GRPC_PREFIX_BYTES];
    grpc_prefix(prefix, message.n);
    http_call_write(call->http, str_make(prefix, sizeof prefix));
    http_call_write(call->http, message);
}

void grpc_client_end(struct grpc_client_call *call)
{
    http_call_end(call->http);
}

void grpc_client_cancel(struct grpc_client_call *call)
{
    http_call_cancel(call->http);
}

size_t grpc_client_queued(const struct grpc_client_call *call)
{
    return http_call_queued(call->http);
}

/* ------------------------------------------------------------------------ blocking --- */

/* The one message of a unary answer. */
static int unpack_reply(const struct http_response *r, const ProtobufCMessageDescriptor *descriptor,
                        struct arena *arena, ProtobufCMessage **out, struct error *err)
{
    struct grpc_deframer d = {.message_max = SIZE_MAX};
    struct str body = r->body, message;
    size_t announced;
    buf_init(&d.partial);
    enum grpc_deframe e = grpc_deframe_next(&d, &body, &message, &announced);
    buf_free(&d.partial);
    if (e != GRPC_DEFRAME_MESSAGE || body.n)
        return error_set(err, ERR_INTERNAL, "the answer is not one message");
    if (descriptor)
        *out = pb_unpack(arena, descriptor, message, err);
    return *out || !descriptor ? 0 : ERR_INTERNAL;
}

int grpc_call_wait(struct grpc_channel *ch, const char *path, const ProtobufCMessage *message,
                   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
                   struct arena *arena, ProtobufCMessage **out, int *status, struct error *err)
{
    struct http_header headers[HEADERS_MAX];
    char timeout[24];
    struct blob *frame = grpc_frame(message);
    struct http_request request = {
        .method = "POST",
        .path = path,
        .headers = headers,
        .headers_len = make_headers(ch, timeout_ms, timeout, headers),
        .body_blob = frame,
        .timeout_ms = timeout_ms,
        .body_bytes_max = ch->message_bytes_max + GRPC_PREFIX_BYTES,
    };
    struct http_response r;
    struct error http_err = {0};
    *out = NULL;
    http_client_do(pick(ch), &request, arena, &r, &http_err);
    blob_unref(frame);
    struct grpc_result result = result_of(&r, &http_err, arena);
    if (status)
        *status = result.status;
    if (result.status != GRPC_OK)
        return error_set(err, grpc_status_to_err(result.status), "%s: %s: %s", path,
                         grpc_status_name(result.status), result.message);
    int rc = unpack_reply(&r, response, arena, out, err);
    if (rc < 0 && status)
        *status = GRPC_INTERNAL;
    return rc < 0 ? error_wrap(err, "%s", path) : 0;
}
