/*
 * Streams: life cycle, plain reading and writing. See stream.h; TLS is stream_tls.c, connecting is
 * stream_connect.c.
 *
 * The socket is polled for reading unless paused, and for writing only while the kernel's buffer is
 * full. Output gathers in a queue and is written by deferred work at the end of the iteration.
 */
#include "net/stream_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IOV_MAX_OURS 64

static void on_poll(uv_poll_t *poll, int status, int events);
static void run_flush(struct loop_deferred *d);
static void on_stream_timer(struct loop_timer *timer);

static void run_close(struct loop_task *task)
{
    struct stream *s = container_of(task, struct stream, close_task);
    if (s->events->on_close)
        s->events->on_close(s, s->ctx, s->close_code, s->close_code ? s->close_reason : NULL);
    outq_free(&s->out);
    buf_free(&s->wire);
    SSL_free(s->ssl);
    tls_peer_free(s->peer);
    tls_context_unref(s->tls);
    mem_free(s);
}

static void run_read_more(struct loop_task *task);

struct stream *stream_new(struct loop *loop, struct tls_context *tls,
                          const struct stream_events *events, void *ctx)
{
    struct stream *s = mem_zalloc(sizeof *s);
    s->loop = loop;
    s->fd = -1;
    s->events = events;
    s->ctx = ctx;
    s->low_water = 64 * 1024;
    s->tls = tls_context_ref(tls);
    outq_init(&s->out, loop_pool(loop));
    buf_init(&s->wire);
    loop_timer_init(loop, &s->timer, on_stream_timer);
    loop_deferred_init(&s->flush, run_flush);
    s->read_task.fn = run_read_more;
    s->close_task.fn = run_close;
    return s;
}

int socket_address_format(const struct sockaddr *sa, char *out, size_t n)
{
    char ip[INET6_ADDRSTRLEN];
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        return snprintf(out, n, "%s:%u", ip, ntohs(in->sin_port));
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
        return snprintf(out, n, "[%s]:%u", ip, ntohs(in->sin6_port));
    }
    return snprintf(out, n, "unix");
}

static void read_socket_names(struct stream *s)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    if (getpeername(s->fd, (struct sockaddr *)&sa, &n) == 0)
        socket_address_format((struct sockaddr *)&sa, s->remote, sizeof s->remote);
    n = sizeof sa;
    if (getsockname(s->fd, (struct sockaddr *)&sa, &n) == 0) {
        socket_address_format((struct sockaddr *)&sa, s->local, sizeof s->local);
        if (sa.ss_family != AF_UNIX)
            setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    }
}

int stream_watch_fd(struct stream *s, int fd)
{
    uv_poll_t *poll = mem_zalloc(sizeof *poll);
    int rc = uv_poll_init(loop_uv(s->loop), poll, fd);
    if (rc < 0) {
        mem_free(poll);
        return rc;
    }
    poll->data = s;
    s->poll = poll;
    s->poll_events = 0;
    s->fd = fd;
    return 0;
}

static void free_poll(uv_handle_t *handle)
{
    mem_free(handle);
}

void stream_forget_fd(struct stream *s)
{
    if (s->poll)
        uv_close((uv_handle_t *)s->poll, free_poll); /* stops polling at once */
    if (s->fd >= 0)
        close(s->fd);
    s->poll = NULL;
    s->fd = -1;
}

void stream_poll(struct stream *s)
{
    int events = 0;
    switch (s->state) {
    case STREAM_CONNECTING:
        events = UV_WRITABLE;
        break;
    case STREAM_HANDSHAKE:
        events = UV_READABLE;
        break;
    case STREAM_OPEN:
        events = s->paused ? 0 : UV_READABLE;
        break;
    case STREAM_LINGERING:
        events = UV_READABLE;
        break;
    case STREAM_FLUSHING:
    case STREAM_CLOSED:
        break;
    }
    if (s->want_write)
        events |= UV_WRITABLE;
    if (!s->poll || events == s->poll_events)
        return;
    s->poll_events = events;
    if (events)
        uv_poll_start(s->poll, events, on_poll);
    else
        uv_poll_stop(s->poll);
}

struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *ctx)
{
    struct stream *s = stream_new(loop, tls, events, ctx);
    s->state = STREAM_CONNECTING;
    int rc = stream_watch_fd(s, fd);
    if (rc < 0) {
        close(fd);
        stream_close(s, ERR_IO, uv_strerror(rc));
        return s;
    }
    stream_connected(s);
    return s;
}

/* on_open may not run from inside stream_accept: the owner does not know the stream yet. */
static void run_open(struct loop_deferred *d)
{
    struct stream *s = container_of(d, struct stream, flush);
    s->flush.fn = run_flush;
    if (s->state != STREAM_CLOSED)
        stream_opened(s);
}

void stream_connected(struct stream *s)
{
    read_socket_names(s);
    loop_timer_stop(&s->timer);
    if (s->tls) {
        s->state = STREAM_HANDSHAKE;
        if (stream_tls_start(s, stream_connector_server_name(s), stream_connector_address(s)) < 0) {
            stream_close(s, ERR_IO, "TLS set-up failed");
            return;
        }
        loop_timer_start(&s->timer, STREAM_HANDSHAKE_MS);
        stream_poll(s);
        if (!tls_context_is_server(s->tls))
            stream_tls_handshake(s); /* the client speaks first */
        return;
    }
    s->flush.fn = run_open;
    loop_defer(s->loop, &s->flush);
}

void stream_opened(struct stream *s)
{
    s->state = STREAM_OPEN;
    loop_timer_stop(&s->timer);
    stream_connector_free(s);
    stream_poll(s);
    if (s->events->on_open)
        s->events->on_open(s, s->ctx);
    if (s->state == STREAM_OPEN && s->out.bytes)
        loop_defer(s->loop, &s->flush);
}

void stream_deliver(struct stream *s, const char *data, size_t n)
{
    if (n && s->state == STREAM_OPEN)
        s->events->on_data(s, s->ctx, data, n);
}

void stream_end_of_input(struct stream *s)
{
    s->peer_ended = true;
    /* It may have closed only its half: answers already queued still go out. */
    if (stream_queued(s))
        stream_shutdown(s);
    else
        stream_close(s, 0, NULL);
}

void stream_continue_reading(struct stream *s)
{
    if (s->read_posted)
        return;
    s->read_posted = true;
    loop_post(s->loop, &s->read_task);
}

static void read_plain(struct stream *s)
{
    char *buffer = loop_scratch(s->loop)->read;
    size_t budget = STREAM_READ_BUDGET;
    while (s->state == STREAM_OPEN && !s->paused && budget > 0) {
        ssize_t n = recv(s->fd, buffer, LOOP_SCRATCH_READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            stream_close(s, ERR_IO, strerror(errno));
            return;
        }
        if (n == 0) {
            stream_end_of_input(s);
            return;
        }
        budget -= MIN(budget, (size_t)n);
        stream_deliver(s, buffer, (size_t)n);
        if ((size_t)n < LOOP_SCRATCH_READ_BYTES)
            return; /* the socket is empty; if not, poll says so again */
    }
}

static void read_stream(struct stream *s)
{
    if (s->ssl)
        stream_tls_read(s);
    else
        read_plain(s);
}

static void run_read_more(struct loop_task *task)
{
    struct stream *s = container_of(task, struct stream, read_task);
    s->read_posted = false;
    if (s->state == STREAM_CLOSED)
        loop_post(s->loop, &s->close_task); /* waited for us, see stream_close */
    else if (s->state == STREAM_OPEN && !s->paused)
        read_stream(s);
}

/* The peer's last words are of no interest, but reading them keeps the kernel from answering with a
 * reset, which could overtake and destroy what we wrote. */
static void linger(struct stream *s)
{
    char *buffer = loop_scratch(s->loop)->read;
    for (size_t total = 0; total < STREAM_READ_BUDGET;) {
        ssize_t n = recv(s->fd, buffer, LOOP_SCRATCH_READ_BYTES, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            stream_close(s, 0, NULL);
            return;
        }
        total += (size_t)n;
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct stream *s = poll->data;
    if (s->state == STREAM_CONNECTING) {
        stream_connect_writable(s);
        return;
    }
    if (status < 0) { /* libuv says EBADF for any error of the socket's */
        int e = 0;
        socklen_t n = sizeof e;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n);
        stream_close(s, ERR_IO, e ? strerror(e) : "connection lost");
        return;
    }
    if (events & UV_WRITABLE) {
        s->want_write = false;
        run_flush(&s->flush);
    }
    if (s->poll != poll || !(events & UV_READABLE))
        return;
    if (s->state == STREAM_HANDSHAKE)
        stream_tls_handshake(s);
    else if (s->state == STREAM_OPEN && !s->paused)
        read_stream(s);
    else if (s->state == STREAM_LINGERING)
        linger(s);
}

static void on_stream_timer(struct loop_timer *timer)
{
    struct stream *s = container_of(timer, struct stream, timer);
    switch (s->state) {
    case STREAM_CONNECTING:
        stream_connect_timeout(s);
        break;
    case STREAM_HANDSHAKE:
        stream_close(s, ERR_TIMEOUT, "TLS handshake timed out");
        break;
    case STREAM_FLUSHING:
        stream_close(s, ERR_TIMEOUT, "the peer did not take the rest in time");
        break;
    default:
        stream_close(s, 0, NULL);
    }
}

ssize_t stream_send_raw(struct stream *s, const char *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t w = send(s->fd, data + done, n - done, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->want_write = true;
            break;
        }
        if (w < 0) {
            stream_close(s, ERR_IO, strerror(errno));
            return -1;
        }
        done += (size_t)w;
    }
    if (done)
        s->progress_ms = loop_now_ms(s->loop);
    return (ssize_t)done;
}

static void flush_plain(struct stream *s)
{
    while (s->out.bytes) {
        struct iovec iov[IOV_MAX_OURS];
        struct msghdr msg = {.msg_iov = iov};
        msg.msg_iovlen = (size_t)outq_iov(&s->out, iov, IOV_MAX_OURS);
        ssize_t w = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->want_write = true;
            return;
        }
        if (w < 0) {
            stream_close(s, ERR_IO, strerror(errno));
            return;
        }
        s->progress_ms = loop_now_ms(s->loop);
        outq_consume(&s->out, (size_t)w);
    }
}

static void start_lingering(struct stream *s)
{
    s->state = STREAM_LINGERING;
    shutdown(s->fd, SHUT_WR);
    loop_timer_start(&s->timer, STREAM_LINGER_MS);
}

static void run_flush(struct loop_deferred *d)
{
    struct stream *s = container_of(d, struct stream, flush);
    if (s->state != STREAM_OPEN && s->state != STREAM_FLUSHING && s->state != STREAM_HANDSHAKE)
        return;
    if (!s->want_write) {
        if (s->ssl)
            stream_tls_flush(s);
        else
            flush_plain(s);
    }
    if (s->state == STREAM_CLOSED)
        return;
    size_t queued = stream_queued(s);
    if (s->state == STREAM_FLUSHING && queued == 0)
        start_lingering(s);
    stream_poll(s);
    if (s->above_low_water && queued < s->low_water) {
        s->above_low_water = false;
        if (s->events->on_drain && s->state == STREAM_OPEN)
            s->events->on_drain(s, s->ctx);
    }
}

static void queued_more(struct stream *s)
{
    size_t queued = stream_queued(s);
    if (queued >= s->low_water)
        s->above_low_water = true;
    if (!s->want_write && s->state == STREAM_OPEN)
        loop_defer(s->loop, &s->flush);
}

static bool may_write(const struct stream *s)
{
    return s->state == STREAM_OPEN || s->state == STREAM_CONNECTING || s->state == STREAM_HANDSHAKE;
}

void stream_write(struct stream *s, const void *data, size_t n)
{
    if (!may_write(s) || n == 0)
        return;
    if (stream_queued(s) == 0)
        s->progress_ms = loop_now_ms(s->loop);
    outq_copy(&s->out, data, n);
    queued_more(s);
}

void stream_write_blob(struct stream *s, struct blob *b, size_t from, size_t n)
{
    if (!may_write(s) || n == 0)
        return;
    if (stream_queued(s) == 0)
        s->progress_ms = loop_now_ms(s->loop);
    outq_blob(&s->out, b, from, n);
    queued_more(s);
}

void stream_write_queue(struct stream *s, struct outq *q, size_t n)
{
    if (!may_write(s)) {
        outq_consume(q, n);
        return;
    }
    if (stream_queued(s) == 0)
        s->progress_ms = loop_now_ms(s->loop);
    outq_move(&s->out, q, n);
    queued_more(s);
}

void stream_flush(struct stream *s)
{
    if (s->state != STREAM_OPEN || s->want_write || !s->out.bytes)
        return;
    loop_deferred_cancel(&s->flush);
    run_flush(&s->flush);
}

size_t stream_queued(const struct stream *s)
{
    return s->out.bytes + (s->wire.len - s->wire_off);
}

void stream_set_low_water(struct stream *s, size_t bytes)
{
    s->low_water = bytes;
}

uint64_t stream_write_stalled_ms(const struct stream *s)
{
    return stream_queued(s) ? loop_now_ms(s->loop) - s->progress_ms : 0;
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    stream_poll(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    stream_poll(s);
    /* OpenSSL may hold records that poll knows nothing of. */
    if (s->ssl && s->state == STREAM_OPEN)
        stream_continue_reading(s);
}

void stream_shutdown(struct stream *s)
{
    if (s->state == STREAM_FLUSHING || s->state == STREAM_LINGERING || s->state == STREAM_CLOSED)
        return;
    if (s->state != STREAM_OPEN) {
        stream_close(s, 0, NULL);
        return;
    }
    s->state = STREAM_FLUSHING;
    loop_timer_start(&s->timer, STREAM_FLUSH_MS);
    loop_defer(s->loop, &s->flush);
    stream_poll(s);
}

void stream_close(struct stream *s, int code, const char *reason)
{
    if (s->state == STREAM_CLOSED)
        return;
    if (s->ssl && s->state == STREAM_OPEN && !s->peer_ended && s->wire.len == s->wire_off)
        stream_tls_shutdown(s);
    s->state = STREAM_CLOSED;
    s->close_code = code;
    snprintf(s->close_reason, sizeof s->close_reason, "%s", reason ? reason : "");
    loop_timer_stop(&s->timer);
    loop_deferred_cancel(&s->flush);
    stream_connector_free(s);
    stream_forget_fd(s);
    /* A read task that is posted refers to us: it then posts the closing. */
    if (!s->read_posted)
        loop_post(s->loop, &s->close_task);
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}

const struct tls_peer *stream_peer(const struct stream *s)
{
    return s->peer ? &s->peer->peer : NULL;
}

struct str stream_alpn(const struct stream *s)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    if (s->ssl)
        SSL_get0_alpn_selected(s->ssl, &name, &n);
    return str_make(name, n);
}

const char *stream_remote(const struct stream *s)
{
    return s->remote;
}

const char *stream_local(const struct stream *s)
{
    return s->local;
}

void stream_set_keepalive(struct stream *s, int idle_s)
{
    setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
    setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){10}, sizeof(int));
    setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){3}, sizeof(int));
}
