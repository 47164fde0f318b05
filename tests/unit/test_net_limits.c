/*
 * The HTTP server against clients that misbehave: floods, slow ones, malformed frames, too many
 * connections. Raw bytes over real sockets.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "net/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    CONTINUATION = 9
};

static struct {
    struct loop *loop;
    struct http_server *server;
    int port;
    atomic_int requests, closed, done;
    atomic_int paused;   /* bytes of bodies that nobody takes */
    atomic_size_t arena; /* bytes of the last request's */
    struct http_exchange *pair[2];
} t;

static void answer_nothing(struct http_exchange *x)
{
    atomic_fetch_add(&t.closed, 1);
    http_respond(x, 200, NULL, 0, STR(""));
}

static void count_done(struct http_exchange *x)
{
    (void)x;
    atomic_fetch_add(&t.done, 1);
}

static void end_stream(struct http_exchange *x)
{
    http_stream_end(x, NULL, 0);
}

static void not_reached(struct http_exchange *x, struct str data, bool end)
{
    (void)x, (void)end;
    atomic_fetch_add(&t.paused, (int)data.n);
}

/* "/paused": a body that is not taken. */
static void on_headers(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (!str_eqz(x->path, "/paused"))
        return;
    x->on_done = count_done;
    x->on_close = answer_nothing;
    http_body_stream(x, not_reached);
    http_body_pause(x);
}

/* Whoever of the two hears first that the client has gone tells the other's. */
static void tell_the_other(struct http_exchange *x)
{
    int own = x == t.pair[1];
    if (t.pair[!own])
        http_stream_write(t.pair[!own], STR("gone"));
    t.pair[own] = NULL;
    end_stream(x);
}

/* "/wait": an answer when the client has gone; "/stream": one that does not end. */
static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    atomic_fetch_add(&t.requests, 1);
    x->on_done = count_done;
    atomic_store(&t.arena, x->arena.used);
    if (str_eqz(x->path, "/pair")) {
        t.pair[t.pair[0] != NULL] = x;
        x->on_close = tell_the_other;
        http_stream_start(x, 200, NULL, 0);
    } else if (str_eqz(x->path, "/wait"))
        x->on_close = answer_nothing;
    else if (str_eqz(x->path, "/stream")) {
        x->on_close = end_stream;
        http_stream_start(x, 200, NULL, 0);
    } else
        http_respond(x, 200, NULL, 0, STR("ok"));
}

static void start(unsigned request_ms, unsigned idle_ms)
{
    struct error err = {0};
    t.loop = loop_start("server");
    t.server = http_server_new(&(struct http_server_options){.loops = &t.loop,
                                                             .loops_len = 1,
                                                             .on_request = on_request,
                                                             .on_headers = on_headers,
                                                             .connections_max = 20,
                                                             .streams_max = 10,
                                                             .body_total_max = 1u << 20,
                                                             .header_timeout_ms = request_ms,
                                                             .body_timeout_ms = request_ms,
                                                             .idle_timeout_ms = idle_ms,
                                                             .resets_per_s_max = 50});
    assert_int_equal(http_server_listen(t.server, "127.0.0.1:0", NULL, &err), 0);
    t.port = http_server_port(t.server, 0);
}

/* Nobody is late for this one, however long the machine stands still. */
static int setup(void **state)
{
    (void)state;
    start(60000, 120000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop_wait(t.server, 500);
    http_server_free(t.server);
    loop_join(t.loop);
    return 0;
}

static int setup_in_a_hurry(void **state)
{
    teardown(state);
    start(1000, 5000);
    return 0;
}

static int teardown_of_a_hurry(void **state)
{
    teardown(state);
    return setup(state);
}

/* ------------------------------------------------------------------------ client --- */

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)t.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool push(int fd, const void *data, size_t n)
{
    return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool push_text(int fd, const char *text)
{
    return push(fd, text, strlen(text));
}

static bool push_frame(int fd, int type, int flags, uint32_t stream, const void *payload, size_t n)
{
    unsigned char head[9] = {
        (unsigned char)(n >> 16),      (unsigned char)(n >> 8),      (unsigned char)n,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
    return push(fd, head, 9) && (n == 0 || push(fd, payload, n));
}

/* GET path of one byte ("/") or "/wait", from HPACK's static table. */
static bool push_request(int fd, uint32_t stream, const char *path, bool end)
{
    char block[64];
    size_t n = 0;
    block[n++] = (char)0x82; /* :method GET */
    block[n++] = (char)0x86; /* :scheme http */
    block[n++] = 0x04;       /* :path, literal */
    block[n++] = (char)strlen(path);
    memcpy(block + n, path, strlen(path));
    n += strlen(path);
    block[n++] = 0x01; /* :authority, literal */
    block[n++] = 1;
    block[n++] = 'a';
    return push_frame(fd, HEADERS, 4 | end, stream, block, n);
}

static int dial_h2(void)
{
    int fd = dial();
    assert_true(push(fd, PREFACE, sizeof PREFACE - 1));
    assert_true(push_frame(fd, SETTINGS, 0, 0, NULL, 0));
    return fd;
}

/* Read until the server closes, for at most 60 s. The code of a GOAWAY seen, -1 if none; -2: not closed. */
static int read_to_end(int fd, char *text, size_t max)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned char buffer[65536];
    size_t have = 0;
    int code = -1;
    while (poll(&p, 1, 60000) > 0) {
        ssize_t n = recv(fd, buffer + have, sizeof buffer - have, 0);
        if (n <= 0) {
            if (text)
                snprintf(text, max, "%.*s", (int)have, (char *)buffer);
            return code;
        }
        have += (size_t)n;
        if (text)
            continue;
        size_t at = 0;
        while (have - at >= 9) {
            size_t len = (size_t)buffer[at] << 16 | (size_t)buffer[at + 1] << 8 | buffer[at + 2];
            if (have - at < 9 + len)
                break;
            if (buffer[at + 3] == GOAWAY && len >= 8)
                code = buffer[at + 9 + 7];
            at += 9 + len;
        }
        memmove(buffer, buffer + at, have - at);
        have -= at;
    }
    return -2;
}

static void wait_for(atomic_int *counter, int value)
{
    for (int i = 0; i < 60000 && atomic_load(counter) < value; i++)
        usleep(1000);
    assert_int_equal(atomic_load(counter), value);
}

static void wait_no_connections(void)
{
    for (int i = 0; i < 60000 && http_server_connections(t.server); i++)
        usleep(1000);
    assert_int_equal(http_server_connections(t.server), 0);
}

/* ------------------------------------------------------------------------- cases --- */

static void ends_a_rapid_reset(void **state)
{
    (void)state;
    int fd = dial_h2();
    atomic_store(&t.requests, 0);
    for (uint32_t i = 0; i < 2000; i++)
        if (!push_request(fd, 2 * i + 1, "/wait", true) ||
            !push_frame(fd, RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4))
            break; /* the server has closed */
    int code = read_to_end(fd, NULL, 0);
    assert_true(code == 11 || code == -1); /* ENHANCE_YOUR_CALM, unless a reset overtook it */
    assert_true(atomic_load(&t.requests) < 200);
    close(fd);
    wait_no_connections();
}

/* Read until `n` frames of a type have come; false when the server closes or 60 s pass without a byte. */
static bool await_frames(int fd, int type, int n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned char head[9], payload[16384];
    while (n > 0) {
        if (poll(&p, 1, 60000) <= 0 || recv(fd, head, 9, MSG_WAITALL) != 9)
            return false;
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (len && recv(fd, payload, len, MSG_WAITALL) != (ssize_t)len)
            return false;
        n -= head[3] == type;
    }
    return true;
}

/* Watches that have their answers' beginning: whoever cancels many at once is no flood. */
static void lets_many_answered_streams_be_cancelled(void **state)
{
    (void)state;
    int fd = dial_h2();
    uint32_t stream = 1;
    for (int round = 0; round < 12; round++) { /* 120 in well under a second: the limit is 50 */
        for (uint32_t i = 0; i < 10; i++)
            assert_true(push_request(fd, stream + 2 * i, "/stream", true));
        assert_true(await_frames(fd, HEADERS, 10));
        for (uint32_t i = 0; i < 10; i++, stream += 2)
            assert_true(push_frame(fd, RST_STREAM, 0, stream, "\0\0\0\10", 4));
    }
    assert_true(push_request(fd, stream, "/", true));
    assert_true(await_frames(fd, HEADERS, 1));
    close(fd);
    wait_no_connections();
}

/* Bodies that were not taken when their streams were reset: the other streams have the connection's
 * window (4 MiB) again. */
static void gives_back_the_window_of_reset_streams(void **state)
{
    (void)state;
    static const char piece[16384];
    int fd = dial_h2();
    uint32_t stream = 1;
    assert_true(await_frames(fd, SETTINGS, 1));
    assert_true(
        push_frame(fd, SETTINGS, 1, 0, NULL, 0)); /* its streams' windows count from here on */
    atomic_store(&t.paused, 0);
    for (int i = 0; i < 12; i++, stream += 2) {
        assert_true(push_request(fd, stream, "/paused", false));
        for (int k = 0; k < 32; k++)
            assert_true(push_frame(fd, DATA, 0, stream, piece, sizeof piece));
        assert_true(push_frame(fd, RST_STREAM, 0, stream, "\0\0\0\10", 4));
        assert_true(push_frame(fd, PING, 0, 0, "12345678", 8));
        assert_true(await_frames(fd, PING, 1));
    }
    assert_int_equal(atomic_load(&t.paused), 0);
    assert_true(push_request(fd, stream, "/", true));
    assert_true(await_frames(fd, HEADERS, 1));
    close(fd);
    wait_no_connections();
}

static void ends_floods_of_useless_frames(void **state)
{
    (void)state;
    static const struct {
        int type, flags;
        uint32_t stream;
        const char *payload;
        size_t n;
    } frames[] = {{PING, 0, 0, "12345678", 8}, {SETTINGS, 0, 0, "", 0}};
    for (size_t f = 0; f < ARRAY_LEN(frames); f++) {
        int fd = dial_h2();
        for (int i = 0; i < 20000; i++)
            if (!push_frame(fd, frames[f].type, frames[f].flags, frames[f].stream,
                            frames[f].payload, frames[f].n))
                break;
        int code = read_to_end(fd, NULL, 0); /* 0 would be the idle timeout's */
        assert_true(code == 11 || code == -1);
        close(fd);
    }
    wait_no_connections();
}

/* A header block that never ends, in CONTINUATION frames. */
static void ends_a_header_flood(void **state)
{
    (void)state;
    int fd = dial_h2();
    char block[1000];
    size_t n = 0;
    while (n + 20 < sizeof block) {
        block[n++] = 0x00;
        block[n++] = 1;
        block[n++] = 'x';
        block[n++] = 10;
        memset(block + n, 'y', 10);
        n += 10;
    }
    bool sent = push_frame(fd, HEADERS, 0, 1, "\202\206\204\1\1a", 6);
    for (int i = 0; i < 100000 && sent; i++)
        sent = push_frame(fd, CONTINUATION, 0, 1, block, n);
    assert_false(sent); /* closed on us */
    close(fd);
    wait_no_connections();
}

static void refuses_more_streams_than_allowed(void **state)
{
    (void)state;
    int fd = dial_h2();
    atomic_store(&t.requests, 0);
    atomic_store(&t.done, 0);
    for (uint32_t i = 0; i < 30; i++)
        assert_true(push_request(fd, 2 * i + 1, "/wait", true));
    wait_for(&t.requests, 10);
    usleep(100000);
    assert_int_equal(atomic_load(&t.requests), 10);
    close(fd);
    wait_for(&t.done, 10); /* every one was told, and freed */
    wait_no_connections();
}

static void closes_on_malformed_frames(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int type, flags;
        uint32_t stream;
        const char *payload;
        size_t n;
    } cases[] = {
        {"DATA on stream 0", DATA, 1, 0, "x", 1},
        {"HEADERS on an even stream", HEADERS, 5, 2, "\202\206\204\1\1a", 6},
        {"broken HPACK", HEADERS, 5, 1, "\377\377\377\377\377\377", 6},
        {"SETTINGS of 5 bytes", SETTINGS, 0, 0, "12345", 5},
        {"PING of 3 bytes", PING, 0, 0, "123", 3},
        {"WINDOW_UPDATE of 0", 8, 0, 0, "\0\0\0\0", 4},
        {"CONTINUATION alone", CONTINUATION, 4, 1, "x", 1},
        {"DATA on an idle stream", DATA, 1, 7, "x", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = dial_h2();
        push_frame(fd, cases[i].type, cases[i].flags, cases[i].stream, cases[i].payload,
                   cases[i].n);
        int code = read_to_end(fd, NULL, 0);
        if (code <= 0)
            print_message("%s: %d\n", cases[i].name, code);
        assert_true(code > 0);
        close(fd);
    }
    wait_no_connections();
}

/* Half a request, then silence. */
static void times_slow_clients_out(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Slow", "HTTP/1.1 408"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal", "HTTP/1.1 408"},
        {"", ""},
        {"PRI * HT", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        int fd = dial();
        assert_true(push(fd, cases[i].bytes, strlen(cases[i].bytes)));
        assert_true(read_to_end(fd, text, sizeof text) != -2);
        assert_int_equal(strncmp(text, cases[i].status, strlen(cases[i].status)), 0);
        close(fd);
    }
    /* HTTP/2: a header block that is not finished, and an idle connection */
    int fd = dial_h2();
    push_frame(fd, HEADERS, 0, 1, "\202\206\204\1\1a", 6);
    assert_true(read_to_end(fd, NULL, 0) != -2);
    close(fd);
    fd = dial_h2();
    assert_int_equal(read_to_end(fd, NULL, 0), 0); /* GOAWAY NO_ERROR */
    close(fd);
    wait_no_connections();
}

/* Who has asked, though it took no time, is idle from then on, and not one who never spoke. */
static void waits_for_more_from_who_has_asked(void **state)
{
    (void)state;
    int fds[5];
    uint64_t began = clock_mono_ns();
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        assert_true(push_text(fds[i], "GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        char text[512];
        assert_true(read_to_end(fds[i], text, sizeof text) != -2);
        assert_true(clock_mono_ns() - began > 3000000000ull); /* the idle timeout: five seconds */
        close(fds[i]);
    }
    wait_no_connections();
}

/* A client that sends a byte at a time must not make what is kept of it grow with the square. */
static void a_target_in_single_bytes_takes_little_memory(void **state)
{
    (void)state;
    enum { N = 60000 };
    int fd = dial();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    atomic_store(&t.requests, 0);
    assert_true(push(fd, "GET /", 5));
    for (int i = 0; i < N; i++)
        assert_true(push(fd, "a", 1));
    assert_true(push_text(fd, " HTTP/1.1\r\nhost: a\r\n\r\n"));
    wait_for(&t.requests, 1);
    if (atomic_load(&t.arena) > 1 << 20)
        fail_msg("%zu bytes for a target of %d", atomic_load(&t.arena), N);
    close(fd);
    wait_no_connections();
}

/* The connection is gone for all of its exchanges before the first one hears of it. */
static void exchanges_may_write_to_each_other_at_the_end(void **state)
{
    (void)state;
    int fd = dial_h2(), done = atomic_load(&t.done);
    atomic_store(&t.requests, 0);
    assert_true(push_request(fd, 1, "/pair", true));
    assert_true(push_request(fd, 3, "/pair", true));
    wait_for(&t.requests, 2);
    close(fd);
    wait_for(&t.done, done + 2);
    fd = dial();
    assert_true(push_text(fd, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
    char answer[512];
    assert_int_not_equal(read_to_end(fd, answer, sizeof answer), -2);
    assert_non_null(strstr(answer, "200"));
    close(fd);
    wait_no_connections();
}

static void bounds_connections(void **state)
{
    (void)state;
    int fds[30], alive = 0;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial();
    for (int wait = 0; wait < 60000 && alive != 20;
         wait++) { /* until the last was accepted, or not */
        alive = 0;
        usleep(1000);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
            char c;
            alive += recv(fds[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
        }
    }
    assert_int_equal(alive, 20);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    wait_no_connections();
}

/* Two clients send more than the limit of all bodies between them: while the first one's request is
 * being handled the second is put off; then room comes back. */
static void bounds_all_bodies_together(void **state)
{
    (void)state;
    static const char held[] = "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n";
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 600000\r\n\r\n";
    char *body = mem_zalloc(600000), text[512];
    atomic_store(&t.requests, 0);
    int first = dial(), second = dial();
    assert_true(push(first, held, sizeof held - 1) && push(first, body, 600000));
    wait_for(&t.requests, 1);
    push(second, head, sizeof head - 1);
    push(second, body, 599999); /* one byte short: answered before it is complete */
    assert_true(read_to_end(second, text, sizeof text) != -2);
    assert_non_null(strstr(text, "HTTP/1.1 429"));
    assert_non_null(strstr(text, "retry-after: 1"));
    close(first);
    close(second);
    wait_no_connections();
    int third = dial();
    assert_true(push(third, head, sizeof head - 1) && push(third, body, 600000));
    assert_true(read_to_end(third, text, sizeof text) != -2);
    assert_non_null(strstr(text, "HTTP/1.1 200"));
    close(third);
    mem_free(body);
    wait_no_connections();
}

/* A client that leaves while its request is being handled. */
static void tells_handlers_of_clients_that_leave(void **state)
{
    (void)state;
    atomic_store(&t.closed, 0);
    atomic_store(&t.requests, 0);
    int fd = dial();
    assert_true(push(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", 31));
    wait_for(&t.requests, 1);
    close(fd);
    wait_for(&t.closed, 1);
    fd = dial_h2();
    assert_true(push_request(fd, 1, "/wait", true));
    wait_for(&t.requests, 2);
    assert_true(push_frame(fd, RST_STREAM, 0, 1, "\0\0\0\10", 4));
    wait_for(&t.closed, 2);
    close(fd);
    wait_no_connections();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_a_rapid_reset),
        cmocka_unit_test(lets_many_answered_streams_be_cancelled),
        cmocka_unit_test(gives_back_the_window_of_reset_streams),
        cmocka_unit_test(ends_floods_of_useless_frames),
        cmocka_unit_test(ends_a_header_flood),
        cmocka_unit_test(refuses_more_streams_than_allowed),
        cmocka_unit_test(closes_on_malformed_frames),
        cmocka_unit_test_setup_teardown(times_slow_clients_out, setup_in_a_hurry,
                                        teardown_of_a_hurry),
        cmocka_unit_test_setup_teardown(waits_for_more_from_who_has_asked, setup_in_a_hurry,
                                        teardown_of_a_hurry),
        cmocka_unit_test(a_target_in_single_bytes_takes_little_memory),
        cmocka_unit_test(exchanges_may_write_to_each_other_at_the_end),
        cmocka_unit_test(bounds_connections),
        cmocka_unit_test(bounds_all_bodies_together),
        cmocka_unit_test(tells_handlers_of_clients_that_leave),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
