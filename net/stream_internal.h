/*
 * Inside net/ only: the state of a stream, shared by stream.c (plain I/O, life cycle), stream_tls.c
 * (records) and stream_connect.c (resolving and connecting).
 */
#ifndef C8S_NET_STREAM_INTERNAL_H
#define C8S_NET_STREAM_INTERNAL_H

#include "net/loop_internal.h"
#include "net/outq.h"
#include "net/stream.h"
#include "net/tls_internal.h"

/*
 *  CONNECTING ──► HANDSHAKE ──► OPEN ──► FLUSHING ──► LINGERING ──► CLOSED
 *       └──────────────┴──(plain)──┘        (write the rest) (wait for the peer's end)
 * Every state may go to CLOSED.
 */
enum stream_state {
    STREAM_CONNECTING, /* resolving a name or waiting for connect(2) */
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_FLUSHING,
    STREAM_LINGERING,
    STREAM_CLOSED,
};

struct connector; /* stream_connect.c: the addresses still to try */

struct stream {
    struct loop *loop;
    enum stream_state state;
    int fd;          /* -1 before the first socket and after closing */
    uv_poll_t *poll; /* on its own allocation: it outlives a stream's socket while it closes */
    int poll_events;
    const struct stream_events *events;
    void *ctx;

    struct outq out; /* not yet encrypted, or not yet sent when plain */
    struct buf wire; /* TLS records that the kernel did not take yet */
    size_t wire_off; /* bytes of `wire` already sent */
    size_t low_water;
    bool above_low_water; /* on_drain is due when the queue falls below */
    bool paused;
    bool want_write; /* the kernel's buffer was full */
    bool peer_ended;
    bool read_dry;        /* TLS: the socket was seen empty in this turn */
    uint64_t progress_ms; /* when the kernel last took bytes, or the queue began */

    struct tls_context *tls;
    SSL *ssl;
    struct tls_peer_owner *peer;

    struct connector *connector;
    struct loop_timer timer; /* connecting, handshake, flushing, lingering */
    struct loop_deferred flush;
    struct loop_task read_task; /* reading goes on after other streams had their turn */
    bool read_posted;
    struct loop_task close_task;
    int close_code;
    char close_reason[160];
    char remote[64], local[64];
};

/* stream.c */
struct stream *stream_new(struct loop *loop, struct tls_context *tls,
                          const struct stream_events *events, void *ctx);
int stream_watch_fd(struct stream *s, int fd); /* non-blocking, polled from now on; -errno */
void stream_forget_fd(struct stream *s);       /* close the socket, keep the stream */
void stream_poll(struct stream *s);            /* poll for what the state waits for */
void stream_connected(struct stream *s);       /* the socket is connected: handshake, or open */
void stream_opened(struct stream *s);          /* usable now: tell the owner */
void stream_deliver(struct stream *s, const char *data, size_t n);
void stream_end_of_input(struct stream *s);
void stream_continue_reading(struct stream *s);
/* Send raw bytes. Returns how many the kernel took; closes the stream on errors (then -1). */
ssize_t stream_send_raw(struct stream *s, const char *data, size_t n);

/* Move the first n bytes of a queue (its blobs by reference) to the stream. */
void stream_write_queue(struct stream *s, struct outq *q, size_t n);

/* stream_tls.c */
int stream_tls_start(struct stream *s, const char *server_name, const char *session_address);
void stream_tls_handshake(struct stream *s);
void stream_tls_read(struct stream *s);
void stream_tls_flush(struct stream *s);
void stream_tls_shutdown(struct stream *s); /* queue close_notify */

/* stream_connect.c */
void stream_connect_writable(struct stream *s);
void stream_connect_timeout(struct stream *s);
void stream_connector_free(struct stream *s);
const char *stream_connector_server_name(const struct stream *s);
const char *stream_connector_address(const struct stream *s);
int socket_address_format(const struct sockaddr *sa, char *out, size_t n);

#define STREAM_READ_BUDGET \
    (256u * 1024)                     /* bytes read from one stream before others get their turn */
#define STREAM_WIRE_MAX (128u * 1024) /* encrypted ahead of the kernel */
#define STREAM_HANDSHAKE_MS 20000
#define STREAM_FLUSH_MS 5000
#define STREAM_LINGER_MS 1000

#endif
