/*
 * Inside net/ only: server connections and the private half of an exchange.
 *
 *   http_server.c    server, listeners, connections of any version, time limits, stopping
 *   http_exchange.c  the exchange API of http.h, version-independent
 *   http1_server.c   HTTP/1.x on llhttp
 *   http2_server.c   HTTP/2 on nghttp2
 */
#ifndef C8S_NET_HTTP_INTERNAL_H
#define C8S_NET_HTTP_INTERNAL_H

#include "base/buf.h"
#include "net/http2_rules.h"
#include "net/http.h"
#include "net/outq.h"
#include "net/stream.h"
#include "net/stream_internal.h"

struct http_conn;
struct exchange;

/* What a protocol version does for a connection and its exchanges. */
struct http_version {
    int number;
    void *(*open)(struct http_conn *c);
    /* Feed received bytes. The connection may be closed in it. */
    void (*input)(struct http_conn *c, const char *data, size_t n);
    /* Write what became ready; runs at the end of an iteration after http_conn_kick. */
    void (*flush)(struct http_conn *c);
    /* The stream's queue drained. */
    void (*drained)(struct http_conn *c);
    /* Announce the end (GOAWAY; Connection: close) and close when idle. */
    void (*stop)(struct http_conn *c);
    /* Time limits of the version's own; false if it closed the connection. */
    bool (*tick)(struct http_conn *c, uint64_t now_ms);
    void (*free)(struct http_conn *c);

    /* Headers of the answer; `last`: no body follows. */
    void (*start)(struct exchange *x, int status, const struct http_header *headers,
                  size_t headers_len, int64_t content_length, bool last);
    /* Body bytes were queued in x->out. */
    void (*more)(struct exchange *x);
    void (*end)(struct exchange *x, const struct http_header *trailers, size_t trailers_len);
    void (*abort)(struct exchange *x);
    /* The handler consumed n bytes of body. */
    void (*consumed)(struct exchange *x, size_t n);
    void (*pause)(struct exchange *x, bool paused);
    size_t (*queued)(const struct exchange *x);
    /* Whether the request asks for a tunnel, and making it one; NULL: this version has none. */
    bool (*tunnel_wanted)(const struct exchange *x);
    void (*tunnel)(struct exchange *x);
};

/* The share of a server that lives on one loop. */
struct http_worker {
    struct http_server *server;
    struct loop *loop;
    struct list conns;
    struct list free_exchanges; /* kept for the next requests, arenas warm */
    size_t free_exchanges_len;
    size_t exchanges; /* alive */
    bool stopping;
    uint64_t refusal_second; /* connections refused in this second of the loop's time */
    unsigned refusals;
    struct loop_timer grace;
    int64_t date_s;
    char date[32];
    struct loop_task task; /* stop */
};

struct http_listen {
    struct http_server *server;
    struct listener *listener;
    struct tls_context *tls;
    int port;
};

struct http_server {
    struct http_server_options options;
    struct http_worker *workers;
    struct http_listen **listens;
    size_t listens_len;
    atomic_size_t connections;
    atomic_size_t body_bytes;              /* held in all buffered bodies */
    atomic_uint_fast64_t write_timeout_ms; /* options.write_timeout_ms, or a shorter one in need */
    atomic_size_t busy_workers; /* stopping: workers with connections or exchanges left */
    atomic_bool stopping;
    uint64_t grace_ms;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct loop_task stopped_task;
};

struct http_conn {
    struct list link; /* worker->conns */
    struct http_worker *worker;
    struct stream *stream;
    const struct http_version *version; /* NULL until the first bytes tell */
    void *state;                        /* the version's */
    struct list exchanges;
    size_t exchanges_len;
    char preface[24]; /* plain: bytes seen while they may still be the HTTP/2 preface */
    size_t preface_len;
    bool stopping;
    struct loop_deferred kick;
    struct loop_timer tick;
    uint64_t opened_ms;
    uint64_t read_ms;       /* last bytes received */
    uint64_t idle_since_ms; /* when the last exchange ended */
};

enum body_mode { BODY_BUFFER, BODY_STREAM, BODY_DISCARD };

struct exchange {
    struct http_exchange pub; /* first: the same address */
    struct list link;         /* conn->exchanges, or worker->free_exchanges */
    struct http_conn *conn;   /* NULL: the peer is gone */
    struct http_worker *worker;
    int32_t stream_id; /* HTTP/2 */
    struct http2_rules rules;
    bool malformed; /* by those rules: the stream was reset */
    unsigned holds; /* frames of ours on the stack that still use it */

    struct http_header *headers; /* arena; pub.headers */
    size_t headers_cap;
    size_t header_bytes;
    struct buf body;
    size_t body_limit;
    size_t body_received;
    size_t body_counted; /* this exchange's share of server->body_bytes */
    enum body_mode body_mode;
    bool body_paused;
    bool
        body_due; /* HTTP/2: of a streamed body, its end or the rest of something; reset if it does not come in time */
    bool headers_too_large; /* HTTP/2: the header block passed a limit: 431 */
    size_t unconsumed;      /* HTTP/2 bytes whose window was not given back while paused */
    struct buf paused_body; /* pieces that arrived while paused */
    bool paused_end;
    void (*on_body)(struct http_exchange *x, struct str data, bool end);
    uint64_t opened_ms;
    uint64_t progress_ms; /* last body byte received or output taken */

    bool received;  /* the request is complete */
    bool handed;    /* on_request ran, or the body is streamed */
    bool no_date;   /* gRPC: nobody reads the date */
    bool head;      /* HEAD: no body in the answer */
    bool started;   /* answer's headers are out */
    bool answered;  /* the handler is done with it */
    bool closed;    /* pub.on_close was due */
    bool finished;  /* the version needs it no more */
    bool drain_due; /* the queue was above low water */
    int status;
    struct outq out;                    /* HTTP/2: body not yet framed */
    const struct http_header *trailers; /* arena */
    size_t trailers_len;
};

static inline struct exchange *exchange_of(struct http_exchange *x)
{
    return (struct exchange *)x;
}

/* http_server.c */
/* Serve a connected descriptor, on the thread of `loop`, one of the server's (fuzz targets do). */
void http_server_accept(struct http_server *server, struct loop *loop, int fd,
                        struct tls_context *tls);
struct exchange *http_exchange_new(struct http_conn *c);
void http_conn_kick(struct http_conn *c); /* flush at the end of the iteration */
const char *http_date(struct http_worker *w);
extern const struct http_version http_version_1, http_version_2;

/* http_exchange.c: what versions report */
/* Append a header (names lower-cased by the caller, bytes in the arena). False past the limits. */
bool exchange_add_header(struct exchange *x, struct str name, struct str value);
/* The target ("/path?query"). */
void exchange_set_target(struct exchange *x, struct str target);
/* All headers are here. `content_length` -1: not announced. */
void exchange_headers_done(struct exchange *x);
/* Give back what the body took of the server's limit. */
void exchange_uncount_body(struct exchange *x);
/* A piece of body; false: past the limit (then 413 was answered). */
bool exchange_body(struct exchange *x, const char *data, size_t n);
void exchange_body_done(struct exchange *x);
/* The peer is gone or has reset this request. */
void exchange_closed(struct exchange *x);
/* The version is through with it: freed as soon as the handler is too. */
void exchange_finished(struct exchange *x);
/* Output went below low water. */
void exchange_check_drain(struct exchange *x);
/* Answer with a status of our own; text/plain. */
void exchange_error(struct exchange *x, int status);
void exchange_hold(struct exchange *x);
void exchange_release(struct exchange *x);

/* http_text.c: of an answer's head as it came, "HTTP/1.1 101 …": its number (0: no such line), and what it says of
 * its body's length (-1: nothing). */
int http_head_status(struct str head);
int64_t http_head_length(struct str head);
/* http_text.c */
/* Is this a valid header value (no control characters)? */
bool http_value_valid(struct str value);
#define HTTP_DECIMAL_MAX 20
/* In decimal, within `digits`. */
struct str http_decimal(char digits[HTTP_DECIMAL_MAX], uint64_t v);
bool http_token_valid(struct str name);

#endif
