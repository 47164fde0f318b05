/*
 * Inside net/ only: the client's servers, connections and calls.
 *
 *   http_client.c        client, servers, pool, failover
 *   http_call.c          calls: life, callbacks, blocking wrapper
 *   http1_client.c       HTTP/1.1 on llhttp
 *   http2_client.c       HTTP/2 on nghttp2
 *
 *   call:  WAITING (for a connection) ──► SENT ──► DONE (on_done is deferred, then freed)
 *             ▲                             │
 *             └──────── tried again ────────┘   see call_connection_lost
 */
#ifndef C8S_NET_HTTP_CLIENT_INTERNAL_H
#define C8S_NET_HTTP_CLIENT_INTERNAL_H

#include "base/buf.h"
#include "net/http_client.h"
#include "net/outq.h"
#include "net/stream.h"
#include "net/stream_internal.h"

struct client_conn;

struct client_version {
    int number;
    void *(*open)(struct client_conn *c);
    void (*input)(struct client_conn *c, const char *data, size_t n);
    void (*flush)(struct client_conn *c); /* end of the iteration, after client_conn_kick */
    void (*end)(struct client_conn *c);   /* the peer closed: finish what that ends */
    void (*free)(struct client_conn *c);
    /* Send the call's request. */
    void (*submit)(struct client_conn *c, struct http_call *call);
    void (*more)(struct http_call *call); /* call->out grew, or the upload ended */
    void (*drop)(struct http_call *call); /* the call needs its request no more: reset it */
    void (*consumed)(struct http_call *call, size_t n);
    void (*pause)(struct http_call *call, bool paused);
    bool (*has_room)(struct client_conn *c); /* may another call be submitted? */
    void (*ping)(struct client_conn *c);     /* NULL: none */
};
extern const struct client_version client_version_1, client_version_2;

/* One server. */
struct origin {
    struct http_client *client;
    char *url;     /* as given */
    char *address; /* for stream_connect */
    char *authority;
    char *host; /* whom the certificate must name */
    bool tls;
    struct list conns;
    size_t conns_len;
    struct list waiting; /* calls without a connection yet */
};

struct client_conn {
    struct list link;      /* origin->conns */
    struct origin *origin; /* NULL: the client is gone */
    struct loop *loop;
    struct stream *stream;                /* NULL once closed */
    const struct client_version *version; /* NULL: not open yet */
    void *state;
    struct list calls;
    size_t calls_len;
    size_t served; /* calls ever submitted */
    bool no_more;  /* closing, or GOAWAY: no further calls */
    struct loop_deferred kick;
    struct loop_timer tick;
    uint64_t read_ms, idle_since_ms, pinged_ms;
};

struct http_client {
    struct loop *loop;
    struct origin *origins;
    size_t origins_len;
    size_t current; /* the server in use */
    struct tls_context *tls;
    char *server_name;
    char *authorization; /* "Bearer …" or NULL; guarded by token_lock */
    uv_mutex_t token_lock;
    char *user_agent;
    struct http_client_options options; /* numbers and flags only */
    struct list calls;                  /* all */
    bool freeing;
};

enum call_state { CALL_WAITING, CALL_SENT, CALL_DONE };

struct http_call {
    struct list all;  /* client->calls */
    struct list link; /* origin->waiting or conn->calls */
    struct http_client *client;
    struct arena arena; /* request and response */
    enum call_state state;
    struct origin *origin;
    struct client_conn *conn; /* CALL_SENT */
    int32_t stream_id;
    unsigned tries;   /* servers or connections that failed */
    bool tried_fresh; /* a retry on a fresh connection to the same server was used up */

    const struct http_call_events *events;
    void *ctx;
    struct str method, path;
    struct http_header *headers;
    size_t headers_len;
    struct str body;
    struct blob *body_blob;
    bool upload, upload_ended;
    int64_t upload_bytes;
    bool stream; /* body in pieces */
    uint64_t header_timeout_ms;
    size_t body_bytes_max;
    bool body_cut;
    struct loop_timer timer, header_timer;

    struct outq out; /* request body not yet sent */
    bool out_sent;   /* some of it left: cannot be sent again */
    bool drain_due;
    bool request_sent; /* bytes of the request may have reached the server */

    struct http_response response;
    struct http_header *response_headers, *trailers;
    size_t response_cap, trailers_cap;
    size_t header_bytes;
    bool headers_done;
    struct buf response_body;
    bool paused;
    size_t unconsumed;
    struct buf paused_data;
    bool peer_ended; /* HTTP/2: END_STREAM came */
    bool complete;   /* while paused: the end has come */

    struct error result;
    struct loop_deferred finish;
};

/* http_client.c */
void client_conn_kick(struct client_conn *c);
/* Deal with a call that has no connection: give it one, or queue it. */
void client_dispatch(struct http_call *call);
/* A connection has room (again): submit waiting calls. */
void client_pump(struct origin *o);
/* Take the call off its connection or queue. */
void client_detach(struct http_call *call);
void client_set_token_header(struct http_client *c, struct http_call *call);

/* http_call.c: what versions report */
void call_status(struct http_call *call, int status);
/* Name and value are copied; false: too many. */
bool call_add_header(struct http_call *call, struct str name, struct str value);
void call_headers_done(struct http_call *call);
/* False: the call ended in it. Bytes of a paused call are kept, and consumed() comes later. */
bool call_data(struct http_call *call, const char *data, size_t n);
void call_complete(struct http_call *call);
/* The connection broke, or the stream was refused (`unprocessed`: the server did nothing with it).
 */
void call_connection_lost(struct http_call *call, bool unprocessed, int code, const char *reason);
void call_fail(struct http_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void call_out_shrank(struct http_call *call);

#define CLIENT_HEADERS_MAX 256
#define CLIENT_HEADER_BYTES_MAX (256u * 1024)
#define CLIENT_QUEUE_LOW_WATER (64u * 1024)

#endif
