/*
 * HTTP client on a loop: HTTP/2 and HTTP/1.1, TLS with client certificates, Unix sockets, a pool of
 * connections per server, failover between servers, streamed answers (watch, log follow) and
 * uploads.
 *
 * A client has one or more servers, equal in what they serve. It stays with one while that works. A
 * request that could not be sent (connection refused, handshake failed, refused stream, GOAWAY
 * before it) is tried on the next server; one that was sent and lost its connection is tried again
 * only if its method is safe (GET, HEAD, OPTIONS) and no answer had begun. All servers are tried at
 * most once a request, then it fails with ERR_UNAVAILABLE.
 *
 * Callbacks run on the loop. http_client_do is for other threads and blocks. All other functions:
 * the loop's thread.
 */
#ifndef C8S_NET_HTTP_CLIENT_H
#define C8S_NET_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/error.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_client;
struct http_call;

struct http_client_options {
    const char *const
        *servers; /* NULL-terminated: "https://10.0.0.1:6443", "http://h:80", "unix:/path" */
    struct tls_context *tls;     /* for https; NULL: a default context (system CAs) */
    const char *server_name;     /* whom certificates must name; NULL: the URL's host */
    const char *bearer_token;    /* sent as authorization; NULL: none. See http_client_set_token */
    const char *user_agent;      /* NULL: "c8s/<version>" */
    bool http1_only;             /* no HTTP/2 (ALPN http/1.1) */
    bool http2_only;             /* HTTP/2 also on plain connections, by prior knowledge (gRPC) */
    unsigned connections_max;    /* per server; default 8 for HTTP/1.1, 1 for HTTP/2 */
    uint64_t connect_timeout_ms; /* default 5000 */
    uint64_t idle_timeout_ms;    /* default 90000: unused connections are closed */
    uint64_t ping_interval_ms;   /* default 30000; HTTP/2: ping when nothing was read that long,
                                  so that a watch notices a dead server */
    uint64_t ping_timeout_ms;    /* default 15000: close if no answer came for that long */
};

/* Strings are copied, the context referenced. Any thread, if the loop does not use it yet. */
struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options,
                                    struct error *err);
/* Cancels all calls (their on_done runs with ERR_CANCELLED before this returns), closes
 * connections. Any thread (it is done by a loop_call). */
void http_client_free(struct http_client *c);
/* Another bearer token for requests from now on. Any thread. */
void http_client_set_token(struct http_client *c, const char *token);
struct loop *http_client_loop(const struct http_client *c);

struct http_request {
    const char *method;
    const char *path; /* with query: "/api/v1/pods?limit=500" */
    const struct http_header
        *headers; /* lower-case names; host, content-length, user-agent are ours */
    size_t headers_len;
    struct str body;            /* copied */
    struct blob *body_blob;     /* instead of body; shared */
    bool upload;                /* the body follows by http_call_write / http_call_end */
    int64_t upload_bytes;       /* as many of them; 0: unknown (HTTP/1.1: chunked) */
    uint64_t timeout_ms;        /* until the answer is complete; 0: none */
    uint64_t header_timeout_ms; /* until its headers are here; 0: none */
    bool stream;                /* on_data gets the body in pieces; else it is buffered */
    size_t body_bytes_max;      /* buffered: limit, else ERR_LIMIT; default 256 MiB */
    bool body_cut;              /* a longer one is no error: so much of it is enough */
};

struct http_response {
    int status;
    const struct http_header *headers; /* lower-case names */
    size_t headers_len;
    struct str body; /* buffered: NUL follows the last byte */
    const struct http_header *trailers;
    size_t trailers_len;
};

/* May be NULL each, except on_done. The call is freed when on_done returns; it may be cancelled in
 * any callback. */
struct http_call_events {
    void (*on_headers)(struct http_call *call, void *ctx, const struct http_response *r);
    void (*on_data)(struct http_call *call, void *ctx,
                    struct str data); /* with http_request.stream */
    void (*on_drain)(struct http_call *call,
                     void *ctx); /* upload: the queue is nearly empty again */
    /* Exactly once, last, never from inside http_client_send. err->code 0: a complete answer, of
     * whatever status, is in *r; else ERR_* and r->status is 0 if no headers came. */
    void (*on_done)(struct http_call *call, void *ctx, const struct http_response *r,
                    const struct error *err);
};

/* Everything in `request` is copied. */
struct http_call *http_client_send(struct http_client *c, const struct http_request *request,
                                   const struct http_call_events *events, void *ctx);
/* Give up: on_done with ERR_CANCELLED on a later iteration, no other callback before it. */
void http_call_cancel(struct http_call *call);
/* Upload (request.upload). */
void http_call_write(struct http_call *call, struct str data);
void http_call_write_blob(struct http_call *call, struct blob *data);
void http_call_end(struct http_call *call);
size_t http_call_queued(const struct http_call *call);
/* Do not read more of a streamed answer until resumed; the server's window closes. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);
/* "https://10.0.0.2:6443": which server answers; NULL before one is chosen. */
const char *http_call_server(const struct http_call *call);

/* All of it, the body with a NUL behind it, into the arena. */
void http_response_copy(struct arena *a, const struct http_response *from,
                        struct http_response *to);
struct str http_response_header(const struct http_response *r,
                                const char *name); /* p NULL: absent */

/* Blocking, from any thread except the client's loop. The response is copied into `arena`. Returns
 * 0 for any complete answer (look at out->status). */
int http_client_do(struct http_client *c, const struct http_request *request, struct arena *arena,
                   struct http_response *out, struct error *err);

/* "https://host:port/base": parts of a URL; slices of it. port 0: the scheme's default. */
struct http_url {
    struct str scheme, host,
        path; /* host without brackets; path "" or "/…" without query split off */
    int port;
};
int http_url_parse(const char *url, struct http_url *out, struct error *err);

#endif
