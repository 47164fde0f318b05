/*
 * gRPC over HTTP/2: a server on top of net/http.h and a client on top of net/http_client.h.
 *
 * Messages are protobuf-c structs at the edge and bytes inside. No compression (announced as
 * identity; a compressed message is answered UNIMPLEMENTED). Deadlines (grpc-timeout), metadata and
 * a maximal message size are enforced on both sides.
 */
#ifndef C8S_NET_GRPC_H
#define C8S_NET_GRPC_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/error.h"
#include "net/http.h"
#include "net/http_client.h"
#include <protobuf-c/protobuf-c.h>

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};
const char *grpc_status_name(int status); /* "DeadlineExceeded", as Go's status package prints it */

/* ---------------------------------------------------------------- server --- */

struct grpc_server;
struct grpc_call;

/*
 * One method. For a unary (or server-streaming) method on_message comes exactly once. For a client-
 * or bidirectional-streaming one on_open comes first, on_message for each message, on_end when the
 * client has half-closed. The handler answers with grpc_send* any number of times and grpc_finish
 * once, at once or later, on the call's loop. Until grpc_finish the call is valid, also after
 * on_cancel (which says that nobody listens any more and that the handler should finish soon).
 */
struct grpc_method {
    const char *path; /* "/etcdserverpb.KV/Range"; static */
    bool client_streaming;
    bool
        long_running; /* a unary method that waits for others: gets on_cancel when the server stops */
    const ProtobufCMessageDescriptor *request; /* NULL: raw bytes */
    const ProtobufCMessageDescriptor
        *response; /* of methods that answer with bytes or frames and are
                                                   reached in another form (grpc_server_call) */
    void (*on_open)(struct grpc_call *call, void *ctx);
    /* `message` (or, without a descriptor, `raw`) is valid while the callback runs for a streaming
     * method, until grpc_finish for a unary one. */
    void (*on_message)(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw);
    void (*on_end)(struct grpc_call *call, void *ctx);
    void (*on_cancel)(struct grpc_call *call,
                      void *ctx); /* peer gone or deadline passed; may be NULL for a unary method */
    /* The client has taken most of what was queued for it; may be NULL. From a stream whose answers are not
     * taken (256 KiB wait) the server reads no more by itself; what a method sends unasked it bounds itself,
     * by grpc_queued. */
    void (*on_drain)(struct grpc_call *call, void *ctx);
    void (*on_free)(struct grpc_call *call, void *ctx); /* last sight of the call; may be NULL */
};

struct grpc_server_options {
    void *ctx;
    size_t message_bytes_max; /* received; default 2 MiB: more gives RESOURCE_EXHAUSTED */
    size_t partial_bytes_max; /* of all messages that are not complete; default 256 MiB: the same */
    /* May hold a call back before anything of it is delivered, on the call's loop: false holds it, and grpc_admit lets it
     * go on later, on the same loop (always, also when the peer has gone meanwhile). NULL: none is held. */
    bool (*admit)(struct grpc_call *call, void *ctx);
    /* Asked before a method sees anything: of a stream of messages when it opens (`message` NULL), of others with their
     * message. False: the check has finished the call. NULL: all go through. */
    bool (*check)(struct grpc_call *call, void *ctx, const struct grpc_method *method,
                  const ProtobufCMessage *message);
    /* Status and message for a received message past the limit; 0, NULL: gRPC's own. (etcd answers
     * InvalidArgument "etcdserver: request is too large" itself and sets a larger limit here.) */
    /* A call has ended; took_ns since its headers. On its loop. May be NULL. */
    void (*on_finished)(void *ctx, const struct grpc_method *method, int status, uint64_t took_ns);
};
struct grpc_server *grpc_server_new(const struct grpc_server_options *options);
void grpc_server_free(struct grpc_server *s);
/* All before the first request. The array is kept by reference. */
void grpc_server_add(struct grpc_server *s, const struct grpc_method *methods, size_t methods_len);
/* Call from http_server_options.on_headers: true if the request is gRPC (content-type) and was
 * taken. */
bool grpc_server_take(struct grpc_server *s, struct http_exchange *x);

/*
 * The same methods for requests that come in another form than gRPC's frames (the JSON gateway). A form
 * finds the method's messages in the request, delivers them, and writes what the method answers.
 *
 *     c = grpc_server_call(s, x, "/etcdserverpb.KV/Range", &form, user)
 *     grpc_call_deliver(c, message) …, grpc_call_end(c)
 *
 * The exchange is the call's from then on: its on_close, on_drain and on_done, and the answer.
 */
struct grpc_form {
    /* `message` is valid during the call. */
    void (*send)(struct grpc_call *call, void *user, const ProtobufCMessage *message);
    void (*finish)(struct grpc_call *call, void *user, int status, const char *message);
    void (*on_free)(struct grpc_call *call, void *user); /* may be NULL */
};
const struct grpc_method *grpc_server_method(const struct grpc_server *s, const char *path);
/* `method` must have a request descriptor. on_open is called from here. */
struct grpc_call *grpc_server_call(struct grpc_server *s, struct http_exchange *x,
                                   const struct grpc_method *method, const struct grpc_form *form,
                                   void *user);
/* A unary method gets exactly one, which must live as long as the exchange. */
void grpc_call_deliver(struct grpc_call *call, const ProtobufCMessage *message);
void grpc_call_end(struct grpc_call *call); /* the client sends no more */
bool grpc_call_finished(const struct grpc_call *call);
void *grpc_form_user(const struct grpc_call *call);

/* On the thread of `loop`: streaming and long-running calls open on it for which `which` says so get on_cancel; what they
 * finish with, if it is CANCELLED, becomes `status` and `message` (static). */
void grpc_server_cancel(struct grpc_server *s, struct loop *loop,
                        bool (*which)(struct grpc_call *call, void *ctx), int status,
                        const char *message);
/* The same when stopping, for all of them, which would never end by themselves: they become UNAVAILABLE, so that
 * clients go elsewhere. */
void grpc_server_end_streams(struct grpc_server *s, struct loop *loop);

/* Let a held call go on. It may be finished and gone when this returns. */
void grpc_admit(struct grpc_call *call);

struct http_exchange *grpc_exchange(struct grpc_call *call); /* headers, peer, loop, arena */
struct arena *grpc_arena(struct grpc_call *call);            /* lives until the call is freed */
void grpc_set_user(struct grpc_call *call, void *user);
void *grpc_user(const struct grpc_call *call);
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
/* Metadata of the request; p NULL if absent. */
struct str grpc_metadata(const struct grpc_call *call, const char *name);
/* Milliseconds left until the client's deadline; UINT64_MAX without one. */
uint64_t grpc_time_left_ms(const struct grpc_call *call);
bool grpc_cancelled(const struct grpc_call *call);

/* Pack and send a message. */
void grpc_send(struct grpc_call *call, const ProtobufCMessage *message);
void grpc_send_bytes(struct grpc_call *call, struct str message);
/* A frame made once for many calls: 5-byte prefix and message, see grpc_frame. Shared, own
 * reference. */
void grpc_send_frame(struct grpc_call *call, struct blob *frame);
struct blob *grpc_frame(const ProtobufCMessage *message);
size_t grpc_queued(const struct grpc_call *call); /* bytes not yet taken by the peer */
/* End the call; the handler must not touch it afterwards. message: NULL or text (percent-encoded
 * here). */
void grpc_finish(struct grpc_call *call, int status, const char *message);
/* grpc_send and grpc_finish(GRPC_OK) of a unary method, in one write. */
void grpc_reply(struct grpc_call *call, const ProtobufCMessage *message);

/* ---------------------------------------------------------------- client --- */

struct grpc_channel;
struct grpc_client_call;

struct grpc_channel_options {
    const char *const *targets; /* NULL-terminated: "unix:/run/containerd/containerd.sock",
                                   "http://127.0.0.1:2379", "https://…"; failover as http_client */
    struct tls_context *tls;
    const char *server_name;
    const char *authority;       /* :authority; default the host, "localhost" for Unix sockets */
    const char *token;           /* metadata `token` (etcd auth); NULL: none */
    unsigned connections;        /* HTTP/2 connections, calls dealt in turn; default 1 */
    size_t message_bytes_max;    /* received; default 64 MiB */
    uint64_t connect_timeout_ms; /* default 5000 */
    uint64_t ping_interval_ms, ping_timeout_ms; /* as http_client; 0: its defaults */
    bool require_leader; /* metadata `hasleader`: streams end when the member loses its leader */
};
struct grpc_channel *grpc_channel_new(struct loop *loop, const struct grpc_channel_options *options,
                                      struct error *err);
void grpc_channel_free(struct grpc_channel *ch); /* cancels all calls; any thread */
struct loop *grpc_channel_loop(const struct grpc_channel *ch);

/* How a call ended. */
struct grpc_result {
    int status;          /* enum grpc_status */
    const char *message; /* never NULL; valid during the callback */
};

struct grpc_client_events {
    /* A message arrived; valid during the call. Unpacked if `response` was given, else message is
     * NULL. */
    void (*on_message)(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw);
    void (*on_drain)(struct grpc_client_call *call, void *ctx); /* may be NULL */
    /* Exactly once, last, never from inside grpc_open. The call is freed when it returns. */
    void (*on_done)(struct grpc_client_call *call, void *ctx, const struct grpc_result *result);
};

/* Open a call. Loop thread. timeout_ms 0: none. */
struct grpc_client_call *grpc_open(struct grpc_channel *ch, const char *path,
                                   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
                                   const struct grpc_client_events *events, void *ctx);
/* The same for a call with one message, which is sent and half-closed at once. */
struct grpc_client_call *grpc_open_unary(struct grpc_channel *ch, const char *path,
                                         const ProtobufCMessage *request,
                                         const ProtobufCMessageDescriptor *response,
                                         uint64_t timeout_ms,
                                         const struct grpc_client_events *events, void *ctx);
void grpc_client_send(struct grpc_client_call *call, const ProtobufCMessage *message);
void grpc_client_send_bytes(struct grpc_client_call *call, struct str message);
void grpc_client_end(struct grpc_client_call *call);    /* half-close */
void grpc_client_cancel(struct grpc_client_call *call); /* on_done with GRPC_CANCELLED follows */
size_t grpc_client_queued(const struct grpc_client_call *call);

/*
 * Blocking unary call from any thread except the channel's loop. *response is unpacked into `arena`
 * (valid as long as it; do not call free_unpacked). Returns 0, or ERR_* with message "<path>:
 * <Status>: <text>"; *status (may be NULL) gets the gRPC status.
 */
int grpc_call_wait(struct grpc_channel *ch, const char *path, const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
                   struct arena *arena, ProtobufCMessage **out, int *status, struct error *err);
/* ERR_* that fits a gRPC status best, and back. */
int grpc_status_to_err(int status);
int grpc_status_from_err(int err);

#endif
