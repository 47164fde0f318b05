/*
 * HTTP server: HTTP/1.1 and HTTP/2, over TLS (ALPN) or plain (HTTP/1.1, and HTTP/2 by prior
 * knowledge), on several loops. Each request is one `struct http_exchange`, the same for both
 * versions.
 *
 *     static void hello(void *ctx, struct http_exchange *x)
 *     {
 *         http_respond(x, 200, (struct http_header[]){{STR("content-type"), STR("text/plain")}}, 1,
 *                      STR("hello\n"));
 *     }
 *     struct http_server *s = http_server_new(&(struct http_server_options){
 *         .loops = loops, .loops_len = 2, .on_request = hello});
 *     http_server_listen(s, "127.0.0.1:8080", NULL, &err);
 *
 * Life of an exchange: the server makes it; the handler answers exactly once (http_respond*, or
 * http_stream_start … http_stream_end, or http_abort), at once or at any later time, on the
 * exchange's loop. It stays valid until then, also when the peer has gone (answers are then
 * dropped: on_close tells, so that a long answer can stop early). After the answer the handler must
 * not touch it; on_done, if set, is the last sight of it. Its arena is freed with it.
 *
 * A client that sends no more has gone: when a connection's input ends (EOF, or TLS's close_notify),
 * what is queued is still written, and exchanges without an answer are closed. RFC 9112 does not let
 * a server conclude this from a half-closed connection, but a client that waits and one that died
 * look the same until something is written, and a watch or a log may have nothing to write for
 * hours. Go's net/http, with which the published API server is made, does likewise: EOF cancels the
 * request's context (golang/go#18527 asks for the contrary and is open); nginx, as a proxy, too
 * (499) unless told to ignore it. Of tools, `nc -N` half-closes.
 *
 * Everything here happens on the thread of x->loop; another thread posts a task to it (loop_post).
 */
#ifndef C8S_NET_HTTP_H
#define C8S_NET_HTTP_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/str.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_server;

struct http_header {
    struct str name; /* lower case */
    struct str value;
};

struct http_exchange {
    /* Set by the server; read-only for the handler. Slices live in the arena. */
    struct arena arena; /* the handler may allocate from it */
    struct loop *loop;
    struct str method;                 /* "GET" */
    struct str path;                   /* as sent, before '?': still percent-encoded */
    struct str query;                  /* after '?', as sent; empty if none */
    struct str authority;              /* Host or :authority */
    const struct http_header *headers; /* names in lower case, without pseudo headers, in order */
    size_t headers_len;
    int version; /* 1 or 2; HTTP/1.0 has version_minor 0 */
    int version_minor;
    bool tls;
    const struct tls_peer *peer; /* NULL: plain or no certificate */
    const char *remote;          /* "10.0.0.1:4711" */
    struct str body;             /* on_request: the whole body */
    struct http_server *server;
    int64_t content_length; /* -1: not announced */

    /* The handler's. */
    void *user;
    /* The peer went away before the answer was complete (reset, connection closed, server
     * stopping). The handler still has to answer, now or later. Called at most once. */
    void (*on_close)(struct http_exchange *x);
    /* The queue of a streamed answer fell below the low-water mark. */
    void (*on_drain)(struct http_exchange *x);
    /* The exchange is about to be freed. */
    void (*on_done)(struct http_exchange *x);
    void *tunnel; /* of whoever turned it into a tunnel (http_tunnel) */
};

struct http_server_options {
    struct loop *const *loops; /* connections are dealt to them in turn; must outlive the server */
    size_t loops_len;
    void *ctx;
    /* The request with its whole body (in x->body, at most body_bytes_max: more is answered 413 by
     * us). */
    void (*on_request)(void *ctx, struct http_exchange *x);
    /* Optional: headers are here, the body is not. May answer at once (the body is then discarded),
     * call http_body_stream to take the body piece by piece (then on_request is not called), or
     * http_body_limit; else the body is buffered for on_request. */
    void (*on_headers)(void *ctx, struct http_exchange *x);

    /* Limits; 0 means the default in brackets. */
    size_t header_bytes_max; /* [64 KiB] all names and values and the target: 431, 414 */
    size_t headers_max;      /* [128] */
    size_t body_bytes_max;   /* [3 MiB] buffered body: 413 */
    size_t body_total_max;   /* [256 MiB] all bodies being buffered: 429, Retry-After 1 */
    unsigned streams_max;    /* [250] concurrent requests on an HTTP/2 connection */
    unsigned
        connections_max; /* [10000, or http_connections_max] over all loops; more are closed at once */
    uint64_t idle_timeout_ms;   /* [180000] connection without a request */
    uint64_t header_timeout_ms; /* [20000] handshake, and from the first byte to all headers */
    uint64_t body_timeout_ms;   /* [60000] between two pieces of a buffered body */
    uint64_t write_timeout_ms;  /* [60000] queued output of which the peer takes nothing */
    uint64_t ping_interval_ms;  /* [30000] HTTP/2 keep-alive ping when nothing was read that long */
    uint64_t ping_timeout_ms;   /* [20000] then closed */
    uint64_t
        ping_min_ms; /* [none] least time between a client's own pings; more often, or without a stream more
                             often than every two hours, gives ENHANCE_YOUR_CALM "too_many_pings" the third time,
                             as gRPC does */
    unsigned
        resets_per_s_max; /* [200] HTTP/2 streams reset before their answer and within a second of their
                                   beginning: ENHANCE_YOUR_CALM */
    size_t queue_low_water; /* [64 KiB] see on_drain */
    uint32_t window_bytes;  /* [1 MiB] HTTP/2 receive window of a stream; connection 4 times that */
};

/* As many as the process may have descriptors, less what it needs itself (150, as etcd). */
unsigned http_connections_max(void);
/* Strings and loops array are copied. */
struct http_server *http_server_new(const struct http_server_options *options);
/* Listen on "host:port", "[v6]:port", ":port" or "unix:/path"; may be called several times. tls
 * NULL: plain. Any thread, before http_server_stop. */
int http_server_listen(struct http_server *s, const char *address, struct tls_context *tls,
                       struct error *err);
int http_server_port(const struct http_server *s, size_t listen_index); /* for port 0 */
size_t http_server_connections(const struct http_server *s);            /* any thread */
/*
 * Graceful stop: no new connections, GOAWAY or Connection: close on the old ones; running exchanges
 * have grace_ms to end, then they are closed (on_close). `done` runs on loops[0] when no connection
 * is left. Call on loops[0]'s thread; the loops must be running.
 */
void http_server_stop(struct http_server *s, uint64_t grace_ms, void (*done)(void *arg), void *arg);
/* Any thread but the loops': http_server_stop and wait. */
void http_server_stop_wait(struct http_server *s, uint64_t grace_ms);
/* After `done`. */
void http_server_free(struct http_server *s);
/* From now on another options.write_timeout_ms; 0: what the options said. Any thread. */
void http_server_write_timeout(struct http_server *s, uint64_t ms);

/* --- the request --- */

/* First header of that (lower-case) name; p is NULL if there is none. */
struct str http_header_get(const struct http_exchange *x, const char *name);
/* Value of a query parameter, percent-decoded into the arena; p is NULL when absent, "" when empty.
 */
struct str http_query_get(struct http_exchange *x, const char *name);
/* All parameters in order: for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);)
 */
struct http_query {
    struct str rest;
    struct str name, value; /* decoded, in the arena */
};
bool http_query_next(struct http_exchange *x, struct http_query *q);

/* In on_headers: deliver the body in pieces. `end` comes once, with or without bytes, after the
 * last; not when the peer goes away first (on_close). Data is valid during the call. */
void http_body_stream(struct http_exchange *x,
                      void (*on_body)(struct http_exchange *x, struct str data, bool end));
/* Backpressure on a streamed body: nothing more is delivered (and the HTTP/2 window not reopened)
 * until resumed. A flag, not a count: one place decides for an exchange (for a gRPC call, the gRPC server: its
 * methods do not use these). */
void http_body_pause(struct http_exchange *x);
void http_body_resume(struct http_exchange *x);
/* In on_headers: another limit for this body. */
void http_body_limit(struct http_exchange *x, size_t bytes);

/*
 * HTTP/1.1 with `Connection: Upgrade`, from on_request on and before any answer: the connection carries bytes
 * from here, and no HTTP. Also the head of the answer is the handler's to write, by http_stream_write; what the
 * peer sends comes by on_bytes, which http_body_pause holds up; http_stream_end closes, on_close tells that
 * the peer did. False, and nothing is changed: the request asked for no upgrade.
 */
bool http_tunnel(struct http_exchange *x,
                 void (*on_bytes)(struct http_exchange *x, struct str data, bool end));
/* Whether http_tunnel would do it. */
bool http_tunnel_wanted(const struct http_exchange *x);

/* --- the answer --- */

/* Everything at once. content-length and date are added; headers and body are copied. A HEAD
 * request gets no body. Header names must be lower case. */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t headers_len, struct str body);
/* The same with a shared body, not copied; takes its own reference. */
void http_respond_blob(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t headers_len, struct blob *body);
/* The same with a body that lives in x->arena: not copied, freed with the exchange. */
void http_respond_arena(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t headers_len, struct str body);

/* A streamed answer: start, any number of writes, end. HTTP/1.1 uses chunked coding unless a
 * content-length header is given. A write reaches the peer at the end of the loop iteration. */
void http_stream_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t headers_len);
void http_stream_write(struct http_exchange *x, struct str data);        /* copies */
void http_stream_write_blob(struct http_exchange *x, struct blob *data); /* shares, own reference */
/* Ends the answer; trailers may be NULL (HTTP/1.1: sent after the last chunk). */
void http_stream_end(struct http_exchange *x, const struct http_header *trailers,
                     size_t trailers_len);
/* Bytes of this answer that the peer has not taken yet: the caller bounds it, on_drain says when to
 * go on. */
size_t http_stream_queued(const struct http_exchange *x);
bool http_stream_started(const struct http_exchange *x);
/* The peer is gone: whatever is written is dropped. */
bool http_closed(const struct http_exchange *x);
/* Break the answer off: RST_STREAM(INTERNAL_ERROR), or the HTTP/1.1 connection is closed. Counts as
 * the answer. */
void http_abort(struct http_exchange *x);

const char *http_status_text(int status); /* "Not Found" */

#endif
