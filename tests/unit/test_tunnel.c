/*
 * Upgraded connections: http_tunnel, http_pass, websocket. A client's blocking socket against a server on a loop, and
 * for what is passed on a peer that this test plays itself.
 */
#include "base/mem.h"
#include "net/http.h"
#include "net/http_pass.h"
#include "net/websocket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000

static struct {
    struct loop *loop;
    struct http_server *server;
    int port;    /* of the server */
    int backend; /* a listening socket: where /pass leads */
    int backend_port;
    atomic_int failed, ws_closed, messages;
} t;

/* ---- sockets ---- */

static int listen_any(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(fd, 5), 0);
    getsockname(fd, (struct sockaddr *)&a, &n);
    *port = ntohs(a.sin_port);
    return fd;
}

static int dial(const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)t.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return fd;
}

static int accept_backend(void)
{
    struct pollfd p = {.fd = t.backend, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    return accept(t.backend, NULL, NULL);
}

/* What comes, until `want` is in it or the peer closes; a static buffer. */
static const char *read_until(int fd, const char *want)
{
    static char text[8192];
    size_t n = 0;
    text[0] = 0;
    while (n < sizeof text - 1 && (!want || !strstr(text, want))) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = 0;
    }
    return text;
}

static void wait_for(atomic_int *what, int least)
{
    for (int i = 0; i < WAIT_MS && atomic_load(what) < least; i++)
        usleep(1000);
    assert_true(atomic_load(what) >= least);
}

/* ---- the server ---- */

static void pass_failed(struct http_exchange *x, const char *why)
{
    atomic_fetch_add(&t.failed, 1);
    http_respond(x, 502, NULL, 0, str_from(why));
}

static void echo_bytes(struct http_exchange *x, struct str data, bool end)
{
    if (!end)
        http_stream_write(x, data);
}

static void echo_closed(struct http_exchange *x)
{
    http_stream_end(x, NULL, 0);
}

static void ws_message(struct websocket *w, void *ctx, bool is_text, struct str data)
{
    (void)ctx;
    atomic_fetch_add(&t.messages, 1);
    if (str_eqz(data, "bye"))
        websocket_close(w, WEBSOCKET_GOING_AWAY, "as you wish");
    websocket_send(w, is_text, STR(">"), data); /* dropped when it is closing */
}

static void ws_close(struct websocket *w, void *ctx)
{
    (void)w, (void)ctx;
    atomic_fetch_add(&t.ws_closed, 1);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const struct websocket_events ws = {.on_message = ws_message, .on_close = ws_close};
    (void)ctx;
    struct http_pass_target target = {
        .address = arena_printf(&x->arena, "127.0.0.1:%d", t.backend_port), .path = "/there?x=1"};
    if (str_eqz(x->path, "/nowhere"))
        target.address = "127.0.0.1:1";
    if (!http_tunnel_wanted(x)) {
        assert_false(http_tunnel(x, echo_bytes));
        http_respond(x, 400, NULL, 0, STR("no upgrade"));
    } else if (str_eqz(x->path, "/echo")) {
        assert_true(http_tunnel(x, echo_bytes));
        x->on_close = echo_closed;
        http_stream_write(x, STR("HTTP/1.1 101 Go\r\n\r\n"));
    } else if (str_eqz(x->path, "/ws")) {
        if (!websocket_accept(x, websocket_offers(x, "two") ? "two" : NULL, &ws, NULL))
            http_respond(x, 400, NULL, 0, STR("no WebSocket"));
    } else {
        http_pass(x, &target, pass_failed);
    }
}

static int setup(void **state)
{
    (void)state;
    t.loop = loop_start("tunnel");
    t.backend = listen_any(&t.backend_port);
    t.server = http_server_new(
        &(struct http_server_options){.loops = &t.loop, .loops_len = 1, .on_request = on_request});
    assert_int_equal(http_server_listen(t.server, "127.0.0.1:0", NULL, NULL), 0);
    t.port = http_server_port(t.server, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop_wait(t.server, 100);
    http_server_free(t.server);
    loop_join(t.loop);
    close(t.backend);
    return 0;
}

#define HEAD "Host: x\r\nConnection: Upgrade\r\n"

/* ---- tunnels ---- */

static void a_tunnel_carries_bytes(void **state)
{
    (void)state;
    /* what comes with the request is the tunnel's first already */
    int fd = dial("GET /echo HTTP/1.1\r\n" HEAD "Upgrade: echo\r\n\r\nearly ");
    assert_string_equal(read_until(fd, "early "), "HTTP/1.1 101 Go\r\n\r\nearly ");
    send(fd, "later\r\n\r\n", 9, MSG_NOSIGNAL);
    assert_string_equal(read_until(fd, "later"), "later\r\n\r\n");
    shutdown(fd, SHUT_WR);
    read_until(fd, NULL); /* ends */
    close(fd);
    fd = dial("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(read_until(fd, "no upgrade"), " 400 "));
    close(fd);
}

static void a_request_is_passed_on(void **state)
{
    (void)state;
    int fd = dial("POST /pass HTTP/1.1\r\n" HEAD "Upgrade: SPDY/3.1\r\nAuthorization: Bearer x\r\n"
                  "Cookie: a\r\nImpersonate-User: y\r\nX-Mine: kept\r\nContent-Length: 0\r\n\r\n");
    int peer = accept_backend();
    const char *head = read_until(peer, "\r\n\r\n");
    assert_non_null(strstr(head, "POST /there?x=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "x-mine: kept\r\n"));
    assert_non_null(strstr(head, "upgrade: SPDY/3.1\r\n"));
    assert_null(strcasestr(head, "authorization"));
    assert_null(strcasestr(head, "cookie"));
    assert_null(strcasestr(head, "impersonate"));
    send(peer, "HTTP/1.1 101 Y\r\n\r\nabc", 21, MSG_NOSIGNAL);
    assert_string_equal(read_until(fd, "abc"), "HTTP/1.1 101 Y\r\n\r\nabc");
    send(fd, "def", 3, MSG_NOSIGNAL);
    assert_string_equal(read_until(peer, "def"), "def");
    close(peer); /* the client sees the end */
    assert_string_equal(read_until(fd, NULL), "");
    close(fd);
}

/* Who is refused must not reach anything else by the connection: it is trusted as the server's own. */
static void a_refusal_is_no_tunnel(void **state)
{
    static const char *const refusals[] = {
        "HTTP/1.1 403 No\r\nconnection: keep-alive\r\nX-Why: y\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX-Why: y\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 No\r\nX-Why: y\r\ncontent-length:3\r\n\r\nabc"};
    const struct str late = STR("POST /late HTTP/1.1\r\nhost: x\r\n\r\n");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        int fd =
            dial("POST /pass HTTP/1.1\r\n" HEAD "Upgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
                 "POST /early HTTP/1.1\r\nhost: x\r\n\r\n");
        int peer = accept_backend();
        assert_null(strstr(read_until(peer, "\r\n\r\n"), "/early"));
        send(peer, refusals[i], strlen(refusals[i]), MSG_NOSIGNAL);
        send(fd, late.p, late.n, MSG_NOSIGNAL);
        assert_string_equal(read_until(peer, NULL), ""); /* nothing but the end */
        const char *got = read_until(fd, NULL);
        assert_non_null(strstr(got, "\r\nX-Why: y\r\n"));
        assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
        assert_null(strstr(got, "keep-alive"));
        assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\nabc");
        close(peer);
        close(fd);
    }
    int fd = dial("GET /pass HTTP/1.1\r\n" HEAD "Upgrade: x\r\n\r\n"), peer = accept_backend();
    read_until(peer, "\r\n\r\n");
    send(peer, "what?\r\n\r\n", 9, MSG_NOSIGNAL);
    assert_non_null(strstr(read_until(fd, "the answer is no HTTP"), " 502 "));
    close(peer);
    close(fd);
}

/* One side that does not read stops the other: what is between them stays bounded. */
static void a_slow_side_slows_the_other(void **state)
{
    (void)state;
    static char block[65536];
    int fd = dial("GET /pass HTTP/1.1\r\n" HEAD "Upgrade: x\r\n\r\n"), peer = accept_backend();
    read_until(peer, "\r\n\r\n");
    send(peer, "HTTP/1.1 101 Y\r\n\r\n", 18, MSG_NOSIGNAL);
    read_until(fd, "\r\n\r\n");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    size_t sent = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 500) == 0)
            break; /* nothing more is taken */
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 64u << 20); /* else nobody holds it up */
    }
    size_t got = 0;
    while (got < sent) {
        struct pollfd p = {.fd = peer, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        ssize_t n = recv(peer, block, sizeof block, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, sent);
    close(fd); /* the peer sees the end */
    assert_string_equal(read_until(peer, NULL), "");
    close(peer);
}

static void nobody_there_is_a_failure(void **state)
{
    (void)state;
    int before = atomic_load(&t.failed);
    int fd = dial("GET /nowhere HTTP/1.1\r\n" HEAD "Upgrade: x\r\n\r\n");
    assert_non_null(strstr(read_until(fd, "\r\n\r\n"), " 502 "));
    assert_int_equal(atomic_load(&t.failed), before + 1);
    close(fd);
}

/* ---- WebSocket ---- */

#define WS                                                                   \
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " \
    "dGhlIHNhbXBsZSBub25jZQ==\r\n"

static int open_ws(const char *more)
{
    char request[512];
    snprintf(request, sizeof request, "GET /ws HTTP/1.1\r\n" HEAD WS "%s\r\n", more);
    return dial(request);
}

static void the_handshake_is_rfc_6455s(void **state)
{
    (void)state;
    int fd = open_ws("Sec-WebSocket-Protocol: one, two\r\n");
    const char *head = read_until(fd, "\r\n\r\n");
    assert_non_null(strstr(head, "HTTP/1.1 101 "));
    assert_non_null(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(head, "Sec-WebSocket-Protocol: two\r\n"));
    close(fd);
    static const char *const bad[] = {
        "GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: short\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fd = dial(bad[i]);
        assert_non_null(strstr(read_until(fd, "\r\n\r\n"), " 400 "));
        close(fd);
    }
}

/* Frames of a client (mask 0, so that the text is readable), and what comes back. */
#define BYTES(s)         \
    {                    \
        s, sizeof(s) - 1 \
    }
static const struct {
    struct str in, out;
} frames[] = {
    {BYTES("\x82\x82\0\0\0\0hi"), BYTES("\x82\x03>hi")},
    {BYTES("\x81\x82\0\0\0\0hi"), BYTES("\x81\x03>hi")},
    {BYTES("\x02\x81\0\0\0\0h\x80\x81\0\0\0\0i"), BYTES("\x82\x03>hi")}, /* fragments */
    {BYTES("\x02\x81\0\0\0\0h\x89\x81\0\0\0\0p\x80\x81\0\0\0\0i"), BYTES("\x8a\x01p\x82\x03>hi")},
    {BYTES("\x82\x83\0\0\0\0bye"), BYTES("\x88\x0d\x03\xe9"
                                         "as you wish")},
    {BYTES("\x88\x82\0\0\0\0\x03\xe8"), BYTES("\x88\x02\x03\xe8")}, /* close */
    {BYTES("\x82\x02hi"), BYTES("\x88\x02\x03\xea")},               /* no mask */
    {BYTES("\xc2\x80\0\0\0\0"), BYTES("\x88\x02\x03\xea")},         /* reserved bit */
    {BYTES("\x83\x80\0\0\0\0"), BYTES("\x88\x02\x03\xea")},         /* no such opcode */
    {BYTES("\x80\x80\0\0\0\0"), BYTES("\x88\x02\x03\xea")},         /* continues nothing */
    {BYTES("\x09\x80\0\0\0\0"), BYTES("\x88\0")},                   /* ping in pieces */
    {BYTES("\x81\x81\0\0\0\0\xff"), BYTES("\x88\x02\x03\xef")},     /* no UTF-8 */
    {BYTES("\x82\xff\0\0\0\0\x00\x40\x00\x01\0\0\0\0z"),
     BYTES("\x88\x02\x03\xf1")}, /* 4 MiB and 1 */
    {BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0z"), BYTES("\x88\x02\x03\xf1")},
};

static void frames_are_answered(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        char got[64];
        size_t n = 0;
        int fd = open_ws("");
        read_until(fd, "\r\n\r\n");
        send(fd, frames[i].in.p, frames[i].in.n, MSG_NOSIGNAL);
        while (n < frames[i].out.n) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, WAIT_MS), 1);
            ssize_t more = recv(fd, got + n, sizeof got - n, 0);
            assert_true(more > 0);
            n += (size_t)more;
        }
        assert_memory_equal(got, frames[i].out.p, frames[i].out.n);
        if (frames[i].out.p[0] == '\x88') /* and then the connection ends */
            assert_string_equal(read_until(fd, NULL), "");
        close(fd);
    }
    wait_for(&t.ws_closed, (int)ARRAY_LEN(frames) + 1);
    assert_int_equal(atomic_load(&t.messages), 5);
}

/* Each ping is answered: whoever reads no answers is not read from for ever. */
static void pings_that_nobody_hears_are_not_answered_without_end(void **state)
{
    (void)state;
    static char block[131 * 500]; /* pings of 125 bytes */
    int fd = open_ws(""), closed = atomic_load(&t.ws_closed);
    size_t sent = 0, at = 0;
    for (size_t i = 0; i < sizeof block; i += 131)
        memcpy(block + i, "\x89\xfd\0\0\0\0", 6);
    read_until(fd, "\r\n\r\n");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 500) == 0)
            break; /* nothing more is taken */
        ssize_t n = send(fd, block + at, sizeof block - at, MSG_NOSIGNAL);
        if (n < 0)
            continue;
        at = (at + (size_t)n) % sizeof block;
        sent += (size_t)n;
        assert_true(sent < 64u << 20); /* else all of it waits in the server's memory */
    }
    /* Whoever hears them after all gets every one, and is read from again. */
    size_t want = sent / 131 * 127, got = 0;
    while (got < want) {
        char answers[65536];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        ssize_t n = recv(fd, answers, sizeof answers, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, want);
    close(fd);
    wait_for(&t.ws_closed, closed + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_carries_bytes),
        cmocka_unit_test(a_request_is_passed_on),
        cmocka_unit_test(a_refusal_is_no_tunnel),
        cmocka_unit_test(a_slow_side_slows_the_other),
        cmocka_unit_test(nobody_there_is_a_failure),
        cmocka_unit_test(the_handshake_is_rfc_6455s),
        cmocka_unit_test(frames_are_answered),
        cmocka_unit_test(pings_that_nobody_hears_are_not_answered_without_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
