/*
 * TLS on a stream: OpenSSL over a BIO of ours.
 *
 * The BIO receives straight from the socket. What OpenSSL writes gathers in the loop's scratch
 * buffer, so that the records of one turn leave with one send; only what the kernel does not take
 * moves to the stream's own `wire` buffer. Nothing is encrypted while that is not empty: it bounds
 * memory, and SSL_write never meets a full transport.
 */
#include "net/stream_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/socket.h>

#define RECORD_BYTES (16u * 1024) /* plaintext of one TLS record */

static int bio_read(BIO *bio, char *out, int n)
{
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->fd < 0)
        return -1;
    if (s->read_dry) { /* the last recv of this turn emptied the socket: save the one that says so */
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got;
    do {
        got = recv(s->fd, out, (size_t)n, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_read(bio);
    if (got == 0)
        s->peer_ended = true;
    s->read_dry = got > 0 && got < n;
    return (int)got;
}

static int bio_write(BIO *bio, const char *data, int n)
{
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_append(&loop_scratch(s->loop)->wire, data, (size_t)n);
    return n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num, (void)ptr;
    struct stream *s = BIO_get_data(bio);
    if (cmd == BIO_CTRL_EOF)
        return s && s->peer_ended;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_method_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "c8s stream");
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
    BIO_meth_set_create(bio_method, bio_create);
}

/* Send what OpenSSL wrote in this turn, after what was left of earlier turns. */
static void settle(struct stream *s)
{
    struct buf *fresh = &loop_scratch(s->loop)->wire;
    if (s->wire.len > s->wire_off && !s->want_write && s->state != STREAM_CLOSED) {
        ssize_t n = stream_send_raw(s, s->wire.data + s->wire_off, s->wire.len - s->wire_off);
        if (n > 0)
            s->wire_off += (size_t)n;
    }
    if (s->wire.len == s->wire_off) {
        buf_free(&s->wire);
        s->wire_off = 0;
    }
    size_t sent = 0;
    if (fresh->len && s->wire.len == 0 && s->state != STREAM_CLOSED && !s->want_write) {
        ssize_t n = stream_send_raw(s, fresh->data, fresh->len);
        if (n > 0)
            sent = (size_t)n;
    }
    if (sent < fresh->len && s->state != STREAM_CLOSED)
        buf_append(&s->wire, fresh->data + sent, fresh->len - sent);
    buf_clear(fresh);
}

/* What OpenSSL says of a call's failure is only right if nothing was left of earlier ones. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* `server_name` NULL: we are the server. */
int stream_tls_start(struct stream *s, const char *server_name, const char *session_address)
{
    pthread_once(&bio_method_once, make_bio_method);
    s->ssl = tls_ssl_new(s->tls);
    BIO *bio = BIO_new(bio_method);
    if (!s->ssl || !bio) {
        BIO_free(bio);
        return ERR_INTERNAL;
    }
    BIO_set_data(bio, s);
    SSL_set_bio(s->ssl, bio, bio);
    if (tls_context_is_server(s->tls)) {
        SSL_set_accept_state(s->ssl);
        return 0;
    }
    SSL_set_connect_state(s->ssl);
    if (server_name && *server_name) {
        unsigned char ip[16];
        X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
        if (inet_pton(AF_INET, server_name, ip) == 1 || inet_pton(AF_INET6, server_name, ip) == 1) {
            X509_VERIFY_PARAM_set1_ip_asc(param, server_name);
        } else {
            SSL_set_tlsext_host_name(s->ssl, server_name);
            X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
            SSL_set1_host(s->ssl, server_name);
        }
    }
    if (session_address) {
        /* A resumed handshake shows no certificate: it is only for whom the first one was checked.
         */
        char *key = mem_printf("%s %s", session_address, server_name ? server_name : "");
        tls_session_offer(s->tls, s->ssl, key);
        mem_free(key);
    }
    return 0;
}

/* Close for the newest error of OpenSSL; certificate problems by their own text. */
static void fail(struct stream *s, const char *what)
{
    char text[160];
    long verify = SSL_get_verify_result(s->ssl);
    unsigned long e = ERR_peek_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    bool denied = false;
    if (!SSL_is_init_finished(s->ssl) && verify != X509_V_OK && e) {
        reason = X509_verify_cert_error_string(verify);
        denied = true;
    }
    snprintf(text, sizeof text, "%s: %s", what,
             reason          ? reason
             : s->peer_ended ? "the peer closed the connection"
                             : strerror(errno));
    ERR_clear_error();
    settle(s); /* the alert */
    stream_close(s, denied ? ERR_DENIED : ERR_IO, text);
}

void stream_tls_handshake(struct stream *s)
{
    ERR_clear_error();
    s->read_dry = false;
    int rc = SSL_do_handshake(s->ssl);
    if (rc != 1) {
        int e = SSL_get_error(s->ssl, rc);
        if (e == SSL_ERROR_WANT_READ) {
            settle(s);
            stream_poll(s);
        } else {
            fail(s, "TLS handshake");
        }
        return;
    }
    settle(s);
    if (s->state == STREAM_CLOSED)
        return;
    s->peer = tls_peer_read(s->tls, s->ssl);
    stream_opened(s);
    /* The peer's first bytes may have come in the same segment. */
    if (s->state == STREAM_OPEN && !s->paused)
        stream_tls_read(s);
}

void stream_tls_read(struct stream *s)
{
    size_t budget = STREAM_READ_BUDGET;
    bool more = true;
    s->read_dry = false;
    while (more && s->state == STREAM_OPEN && !s->paused) {
        /* Gather several records, so that the owner is called once for them. */
        char *buffer = loop_scratch(s->loop)->read;
        size_t n = 0;
        int e = SSL_ERROR_NONE;
        forget_errors();
        while (n + RECORD_BYTES <= LOOP_SCRATCH_READ_BYTES) {
            if (s->read_dry && !SSL_has_pending(s->ssl)) {
                e = SSL_ERROR_WANT_READ; /* as it would say after looking everywhere */
                break;
            }
            size_t got = 0;
            int rc = SSL_read_ex(s->ssl, buffer + n, LOOP_SCRATCH_READ_BYTES - n, &got);
            if (rc != 1) {
                e = SSL_get_error(s->ssl, rc);
                break;
            }
            n += got;
        }
        settle(s); /* answers of the protocol itself, such as to a key update */
        stream_deliver(s, buffer, n);
        if (s->state != STREAM_OPEN)
            return;
        if (e == SSL_ERROR_WANT_READ)
            more = false;
        else if (e == SSL_ERROR_ZERO_RETURN)
            stream_end_of_input(s);
        else if (e != SSL_ERROR_NONE)
            fail(s, "TLS read");
        budget -= MIN(budget, n);
        if (more && budget == 0 && s->state == STREAM_OPEN) {
            stream_continue_reading(s);
            return;
        }
    }
    stream_poll(s);
}

/* OpenSSL's buffer of a record goes after each (net/tls.c), which idle connections want; not amid a long answer. */
static void keep_write_buffer(struct stream *s, bool more)
{
    if (more)
        SSL_clear_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
    else
        SSL_set_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
}

/* Encrypt up to STREAM_WIRE_MAX of the queue into the scratch buffer, gathering small chunks into
 * full records. */
static bool encrypt_some(struct stream *s)
{
    struct buf *fresh = &loop_scratch(s->loop)->wire;
    char record[RECORD_BYTES];
    while (s->out.bytes && fresh->len < STREAM_WIRE_MAX) {
        struct str piece = outq_peek(&s->out);
        size_t n;
        if (piece.n >= RECORD_BYTES || piece.n == s->out.bytes) {
            n = MIN(piece.n, RECORD_BYTES);
        } else {
            struct iovec iov[16];
            int count = outq_iov(&s->out, iov, 16);
            n = 0;
            for (int i = 0; i < count && n < RECORD_BYTES; i++) {
                size_t take = MIN(iov[i].iov_len, RECORD_BYTES - n);
                memcpy(record + n, iov[i].iov_base, take);
                n += take;
            }
            piece.p = record;
        }
        keep_write_buffer(s, n < s->out.bytes);
        forget_errors();
        size_t written = 0;
        if (SSL_write_ex(s->ssl, piece.p, n, &written) != 1) {
            fail(s, "TLS write");
            return false;
        }
        outq_consume(&s->out, written);
    }
    return true;
}

void stream_tls_flush(struct stream *s)
{
    settle(s);
    while (s->state != STREAM_CLOSED && s->state != STREAM_HANDSHAKE && s->wire.len == 0 &&
           s->out.bytes && !s->want_write) {
        if (!encrypt_some(s))
            return;
        settle(s);
    }
    if (s->state == STREAM_FLUSHING && stream_queued(s) == 0)
        stream_tls_shutdown(s);
}

void stream_tls_shutdown(struct stream *s)
{
    ERR_clear_error();
    if (SSL_is_init_finished(s->ssl))
        SSL_shutdown(s->ssl);
    ERR_clear_error();
    struct buf *fresh = &loop_scratch(s->loop)->wire;
    /* A few bytes; if the kernel has no room for them the peer does without. */
    if (s->fd >= 0 && fresh->len)
        (void)!send(s->fd, fresh->data, fresh->len, MSG_NOSIGNAL);
    buf_clear(fresh);
}
