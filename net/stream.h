/*
 * Stream: one TCP or Unix connection on a loop, plain or TLS, with a bounded read path and a queue
 * of output that is written once per loop iteration.
 *
 * HTTP, gRPC and Raft's peer transport stand on it. It drives OpenSSL on the non-blocking
 * descriptor itself: records are decrypted into a buffer of the loop's and handed on from there,
 * and what an iteration writes leaves in as few records and system calls as possible.
 *
 * All functions and callbacks: the loop's thread. A callback may close its own stream: the object
 * stays until the callback has returned, and no further callback but on_close follows.
 */
#ifndef C8S_NET_STREAM_H
#define C8S_NET_STREAM_H

#include "base/blob.h"
#include "base/error.h"
#include "net/loop.h"
#include "net/tls.h"

struct stream;

struct stream_events {
    /* Connected and, with TLS, the handshake is done. Not before it: on_data. May be NULL. */
    void (*on_open)(struct stream *s, void *ctx);
    /* Bytes arrived; valid during the call. Everything must be consumed (or copied). */
    void (*on_data)(struct stream *s, void *ctx, const char *data, size_t n);
    /* The queue went from above to below the low-water mark (stream_set_low_water). May be NULL. */
    void (*on_drain)(struct stream *s, void *ctx);
    /* Exactly once, last; never from inside stream_connect, stream_accept or stream_close. The
     * stream is freed when it returns. code 0: closed by us or an orderly end by the peer; else
     * ERR_*. */
    void (*on_close)(struct stream *s, void *ctx, int code, const char *reason);
};

/* Take over a connected descriptor. tls NULL: plain. The context is referenced. */
struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *ctx);
/*
 * Connect to "host:port", "[v6]:port" or "unix:/path"; names are resolved off the loop, addresses
 * tried in order. `server_name`: whom the certificate must name (NULL: the host). timeout_ms bounds
 * resolving, connecting and handshake together. Failure is reported by on_close.
 */
struct stream *stream_connect(struct loop *loop, const char *address, struct tls_context *tls,
                              const char *server_name, uint64_t timeout_ms,
                              const struct stream_events *events, void *ctx);

/* Queue bytes. Written at the end of the iteration; dropped when the stream is closing. */
void stream_write(struct stream *s, const void *data, size_t n);
/* The same without a copy when it is worth it; takes its own reference. `from` bytes are left out.
 */
void stream_write_blob(struct stream *s, struct blob *b, size_t from, size_t n);
/* Write what is queued now, where something slow is about to begin. */
void stream_flush(struct stream *s);
size_t stream_queued(const struct stream *s); /* bytes not yet taken by the kernel */
/* How long the kernel has taken nothing of it; 0 when nothing is queued. */
uint64_t stream_write_stalled_ms(const struct stream *s);
void stream_set_low_water(struct stream *s, size_t bytes); /* default 64 KiB */

/* Stop reading (backpressure); the kernel's window then closes on the peer. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Write what is queued (for at most 5 s), then close. Nothing more is read. */
void stream_shutdown(struct stream *s);
/* Close now; what is queued is dropped. on_close follows on a later iteration. */
void stream_close(struct stream *s, int code, const char *reason);

struct loop *stream_loop(const struct stream *s);
bool stream_is_tls(const struct stream *s);
/* NULL without TLS or when the peer showed no certificate. Lives as long as the stream. */
const struct tls_peer *stream_peer(const struct stream *s);
struct str stream_alpn(const struct stream *s);    /* "" if none was agreed */
const char *stream_remote(const struct stream *s); /* "10.0.0.1:4711", "[::1]:5", "unix" */
const char *stream_local(const struct stream *s);
void stream_set_keepalive(struct stream *s, int idle_s); /* TCP keep-alive probes */

/*
 * A listening socket whose connections are dealt to several loops in turn.
 */
struct listener;
/* Called on the loop the connection was dealt to. The callee owns fd. */
typedef void listener_fn(void *ctx, struct loop *loop, int fd);
/* Bind "host:port", "[v6]:port", ":port" or "unix:/path" (an old socket file is replaced) and
 * accept on loops[0]. Callable before the loops run, else only on loops[0]'s thread. */
struct listener *listener_new(struct loop *const *loops, size_t loops_len, const char *address,
                              listener_fn *fn, void *ctx, struct error *err);
/* Port that was bound (for ":0"). 0 for a Unix socket. */
int listener_port(const struct listener *l);
/* Stop accepting and free it. loops[0]'s thread, or when the loop does not run. */
void listener_close(struct listener *l);

#endif
