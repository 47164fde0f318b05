/*
 * The peer transport: frames arrive whole and in order, over TLS, and strangers are turned away:
 * another cluster, another member, another CA, bad frames.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/x509.h"
#include "raft/transport.h"
#include "raft/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000

#define eventually(condition)                                     \
    do {                                                          \
        uint64_t give_up = clock_mono_ns() + WAIT_MS * NS_PER_MS; \
        while (!(condition)) {                                    \
            if (clock_mono_ns() > give_up)                        \
                fail_msg("waited in vain for: %s", #condition);   \
            usleep(1000);                                         \
        }                                                         \
    } while (0)

struct side {
    struct loop *loop;
    struct raft_transport *transport;
    struct tls_context *server, *client;
    uint64_t id, cluster_id;
    int port;
    _Atomic uint64_t frames, bytes, misordered, unreachable, channel_frames, channels_closed;
    _Atomic bool sent, closed;
    uint64_t last; /* number in the last frame */
    unsigned level;
    const struct raft_peer_rules *rules;
    enum raft_admission verdict; /* of the rules below */
    _Atomic unsigned level_seen;
    _Atomic uint64_t removed_by, identities, refused_servers;
    bool no_member; /* the rules below: nobody we connect to is one */
    struct raft_channel *channel;
    /* for calls on the loop */
    uint64_t to;
    const char *address;
    int count;
    size_t size;
};

/* ---- what arrives ---- */

static bool on_frame(void *ctx, uint64_t from, enum raft_frame_kind kind, struct str body)
{
    struct side *s = ctx;
    (void)from;
    if (kind != RAFT_FRAME_MESSAGE || body.n < 8)
        return false;
    struct wire w = wire_init(body);
    uint64_t number = wire_be64(&w);
    for (size_t i = 8; i < body.n; i++)
        if (body.p[i] != (char)number)
            s->misordered++;
    s->misordered += number <= s->last;
    s->last = number;
    s->bytes += body.n;
    s->frames++;
    return true;
}

static void on_unreachable(void *ctx, uint64_t peer)
{
    struct side *s = ctx;
    (void)peer;
    s->unreachable++;
}

static bool channel_frame(void *ctx, enum raft_frame_kind kind, struct str body)
{
    struct side *s = ctx;
    if (kind == RAFT_FRAME_SNAPSHOT_END)
        raft_channel_send(s->channel, RAFT_FRAME_SNAPSHOT_REPLY, STR("\1"));
    if (kind == RAFT_FRAME_SNAPSHOT_REPLY)
        raft_channel_close(s->channel);
    s->bytes += body.n;
    s->channel_frames++;
    return true;
}

static void channel_closed(void *ctx)
{
    struct side *s = ctx;
    s->channel = NULL;
    s->channels_closed++;
}

static void channel_open(void *ctx)
{
    struct side *s = ctx;
    static char chunk[100000];
    for (int i = 0; i < 20; i++)
        raft_channel_send(s->channel, RAFT_FRAME_SNAPSHOT_CHUNK, str_make(chunk, sizeof chunk));
    raft_channel_send(s->channel, RAFT_FRAME_SNAPSHOT_END, STR_NONE);
}

static const struct raft_channel_events channel_events = {channel_open, channel_frame, NULL,
                                                          channel_closed};

static bool on_channel(void *ctx, uint64_t from, struct raft_channel *channel)
{
    struct side *s = ctx;
    (void)from;
    s->channel = channel;
    raft_channel_attach(channel, &channel_events, s);
    return true;
}

static const struct raft_transport_events events = {on_frame, on_unreachable, on_channel};

/* ---- sides ---- */

static void open_on_loop(void *arg)
{
    struct side *s = arg;
    struct raft_transport_options o = {.id = s->id,
                                       .cluster_id = s->cluster_id,
                                       .listen = "127.0.0.1:0",
                                       .tls_server = s->server,
                                       .tls_client = s->client,
                                       .level = s->level,
                                       .rules = s->rules,
                                       .rules_ctx = s,
                                       .events = &events,
                                       .ctx = s};
    struct error err;
    s->transport = raft_transport_new(s->loop, &o, &err);
    if (!s->transport)
        fail_msg("%s", err.message);
    s->port = raft_transport_port(s->transport);
}

static void closed(void *ctx)
{
    struct side *s = ctx;
    s->closed = true;
}

static void close_on_loop(void *arg)
{
    struct side *s = arg;
    raft_transport_close(s->transport, closed, s);
}

static void peer_on_loop(void *arg)
{
    struct side *s = arg;
    raft_transport_set_peer(s->transport, s->to, s->address);
}

static void send_on_loop(void *arg)
{
    struct side *s = arg;
    static _Atomic uint64_t number;
    s->sent = true;
    for (int i = 0; i < s->count && s->sent; i++) {
        struct buf b;
        buf_init(&b);
        uint64_t n = ++number;
        buf_append_be64(&b, n);
        memset(buf_reserve(&b, s->size - 8), (char)n, s->size - 8);
        b.len = s->size;
        s->sent = raft_transport_send(s->transport, s->to, RAFT_FRAME_MESSAGE, buf_str(&b));
        buf_free(&b);
    }
}

static void channel_on_loop(void *arg)
{
    struct side *s = arg;
    s->channel = raft_channel_open(s->transport, s->to, &channel_events, s);
    assert_non_null(s->channel);
}

static void side_open(struct side *s, uint64_t id, uint64_t cluster)
{
    s->id = id;
    s->cluster_id = cluster;
    s->loop = loop_start("side");
    loop_call(s->loop, open_on_loop, s);
}

static void side_close(struct side *s)
{
    loop_call(s->loop, close_on_loop, s);
    eventually(s->closed);
    loop_join(s->loop);
    tls_context_unref(s->server);
    tls_context_unref(s->client);
}

static void know(struct side *s, uint64_t id, int port)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    s->to = id;
    s->address = address;
    loop_call(s->loop, peer_on_loop, s);
}

static bool try_send(struct side *s, int count, size_t size)
{
    s->count = count;
    s->size = size;
    loop_call(s->loop, send_on_loop, s);
    return s->sent;
}

/* ---- certificates ---- */

static void give_certificate(struct side *s, const struct x509_pair *ca)
{
    static const char *const names[] = {"127.0.0.1", NULL};
    static const char *const alpn[] = {NULL};
    struct x509_spec spec = {.common_name = "member",
                             .alt_names = names,
                             .usage = X509_USAGE_SERVER | X509_USAGE_CLIENT};
    struct x509_pair pair;
    struct error err;
    if (x509_issue(ca, &spec, &pair, &err) < 0)
        fail_msg("%s", err.message);
    struct tls_options o = {.cert_pem = str_from(pair.cert_pem),
                            .key_pem = str_from(pair.key_pem),
                            .ca_pem = str_from(ca->cert_pem),
                            .alpn = alpn,
                            .client_auth = TLS_CLIENT_AUTH_REQUIRE};
    s->server = tls_server_new(&o, &err);
    s->client = tls_client_new(&o, &err);
    if (!s->server || !s->client)
        fail_msg("%s", err.message);
    x509_pair_free(&pair);
}

static void make_ca(struct x509_pair *ca)
{
    struct x509_spec spec = {.common_name = "peers"};
    struct error err;
    if (x509_ca_new(&spec, ca, &err) < 0)
        fail_msg("%s", err.message);
}

/* ---- tests ---- */

static void frames_arrive_whole_and_in_order(void **state)
{
    bool tls = *(bool *)*state;
    struct side a = {0}, b = {0};
    if (tls) {
        struct x509_pair ca;
        make_ca(&ca);
        give_certificate(&a, &ca);
        give_certificate(&b, &ca);
        x509_pair_free(&ca);
    }
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    assert_false(try_send(&a, 1, 8)); /* nobody known: dropped, and says so */
    know(&a, 2, b.port);
    eventually(try_send(&a, 1, 8));
    assert_true(try_send(&a, 200, 100));
    assert_true(try_send(&a, 3, 3000000));
    eventually(b.frames == 204);
    assert_int_equal(b.misordered, 0);
    assert_int_equal(b.bytes, 8 + 200 * 100 + 3 * 3000000);
    side_close(&a);
    side_close(&b);
}

static void a_channel_goes_both_ways(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    know(&a, 2, b.port);
    loop_call(a.loop, channel_on_loop, &a);
    eventually(a.channels_closed == 1 && b.channels_closed == 1);
    assert_int_equal(b.channel_frames, 21);
    assert_int_equal(b.bytes, 20 * 100000);
    assert_int_equal(a.channel_frames, 1); /* the reply */
    side_close(&a);
    side_close(&b);
}

static void a_peer_that_comes_back_is_found_again(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    know(&a, 2, b.port);
    eventually(try_send(&a, 1, 8));
    side_close(&b);
    eventually(a.unreachable > 0);
    eventually(!try_send(&a, 1, 8));
    struct side again = {0};
    side_open(&again, 2, 7);
    know(&a, 2, again.port); /* at another address */
    eventually(try_send(&a, 1, 8));
    eventually(again.frames > 0);
    side_close(&a);
    side_close(&again);
}

/* A queue that does not drain is bounded: past the bound frames are dropped and the core is told. */
static void a_slow_peers_queue_is_bounded(void **state)
{
    (void)state;
    int silent =
        socket(AF_INET, SOCK_STREAM, 0); /* accepts by the kernel's backlog, reads nothing */
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    assert_int_equal(bind(silent, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(silent, 1), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&sin, &len), 0);
    struct side a = {0};
    side_open(&a, 1, 7);
    know(&a, 2, ntohs(sin.sin_port));
    eventually(try_send(&a, 1, 8));
    int taken = 0;
    while (try_send(&a, 1, 4000000) && taken < 100)
        taken++;
    assert_in_range(taken, 6, 30); /* 32 MiB and what the kernel takes */
    eventually(a.unreachable > 0);
    side_close(&a);
    close(silent);
}

static void strangers_are_turned_away(void **state)
{
    (void)state;
    struct side b = {0}, other_cluster = {0}, wrong_door = {0};
    side_open(&b, 2, 7);
    side_open(&other_cluster, 1, 8);
    side_open(&wrong_door, 1, 7);
    know(&other_cluster, 2, b.port);
    know(&wrong_door, 3, b.port); /* thinks that 3 lives here */
    eventually(other_cluster.unreachable > 1 && wrong_door.unreachable > 1);
    try_send(&other_cluster, 1, 8);
    try_send(&wrong_door, 1, 8);
    eventually(other_cluster.unreachable > 3 && wrong_door.unreachable > 3);
    assert_int_equal(b.frames, 0);
    side_close(&b);
    side_close(&other_cluster);
    side_close(&wrong_door);
}

static void a_certificate_of_another_ca_is_refused(void **state)
{
    (void)state;
    struct x509_pair ours, theirs;
    make_ca(&ours);
    make_ca(&theirs);
    struct side b = {0}, stranger = {0}, plain = {0};
    give_certificate(&b, &ours);
    give_certificate(&stranger, &theirs);
    side_open(&b, 2, 7);
    side_open(&stranger, 1, 7);
    side_open(&plain, 1, 7); /* no TLS at all */
    know(&stranger, 2, b.port);
    know(&plain, 2, b.port);
    eventually(stranger.unreachable > 2 && plain.unreachable > 2);
    assert_int_equal(b.frames, 0);
    side_close(&b);
    side_close(&stranger);
    side_close(&plain);
    x509_pair_free(&ours);
    x509_pair_free(&theirs);
}

/* ---- rules ---- */

static enum raft_admission admit(void *ctx, uint64_t from, unsigned level,
                                 const struct tls_peer *tls, struct error *why)
{
    struct side *s = ctx;
    (void)from, (void)tls;
    s->level_seen = level;
    error_set(why, ERR_DENIED, "no reason");
    return s->verdict;
}

static bool is_member(void *ctx, uint64_t id, const struct tls_peer *tls, struct error *why)
{
    struct side *s = ctx;
    (void)id, (void)tls;
    s->refused_servers += s->no_member;
    error_set(why, ERR_DENIED, "it is not one of us");
    return !s->no_member;
}

static void on_removed(void *ctx, uint64_t by)
{
    ((struct side *)ctx)->removed_by = by;
}

static void identity(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_append_cstr(out, "http://me");
}

static void on_identity(void *ctx, uint64_t id, struct str what)
{
    struct side *s = ctx;
    s->identities += id == 1 && str_eq(what, STR("http://me"));
}

static bool answer(void *ctx, struct str question, const struct tls_peer *tls, struct buf *out,
                   struct error *why)
{
    (void)ctx, (void)tls;
    if (str_eq(question, STR("rude")))
        return error_set(why, ERR_DENIED, "a rude question") == 0;
    buf_append_str(out, question);
    buf_append_cstr(out, "!");
    return true;
}

static const struct raft_peer_rules rules = {admit,    is_member,   on_removed,
                                             identity, on_identity, answer};

static void strangers_are_asked_who_they_are(void **state)
{
    (void)state;
    struct side a = {.rules = &rules, .level = 2}, b = {.rules = &rules, .level = 2};
    b.verdict = RAFT_ADMIT_STRANGER;
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    know(&a, 2, b.port);
    eventually(b.identities == 1);
    assert_int_equal(b.level_seen, 2);
    eventually(try_send(&a, 1, 8)); /* and are listened to */
    eventually(b.frames == 1);
    side_close(&a);
    side_close(&b);
    /* a program from before this question would take it for a broken connection */
    struct side old = {.rules = &rules}, c = {.rules = &rules, .level = 2};
    c.verdict = RAFT_ADMIT_STRANGER;
    side_open(&old, 1, 7);
    side_open(&c, 2, 7);
    know(&old, 2, c.port);
    eventually(try_send(&old, 1, 8));
    eventually(c.frames == 1);
    assert_int_equal(c.level_seen, 1);
    assert_int_equal(c.identities, 0);
    side_close(&old);
    side_close(&c);
}

static void expel_on_loop(void *arg)
{
    raft_transport_expel(((struct side *)arg)->transport, 1);
}

static void who_was_removed_is_told(void **state)
{
    (void)state;
    struct side a = {.rules = &rules, .level = 2}, b = {.rules = &rules, .level = 2};
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    know(&a, 2, b.port);
    eventually(try_send(&a, 1, 8));
    eventually(b.frames == 1);
    b.verdict = RAFT_ADMIT_REMOVED;
    loop_call(b.loop, expel_on_loop, &b); /* while it is connected */
    eventually(a.removed_by == 2);
    a.removed_by = 0; /* and whenever it comes again */
    eventually(a.removed_by == 2);
    side_close(&a);
    side_close(&b);
}

static void the_rules_refuse(void **state)
{
    (void)state;
    struct side a = {.rules = &rules}, b = {.rules = &rules}, c = {.rules = &rules};
    b.verdict = RAFT_ADMIT_REFUSE;
    side_open(&a, 1, 7);
    side_open(&b, 2, 7);
    know(&a, 2, b.port);
    eventually(a.unreachable > 1);
    assert_int_equal(b.frames, 0);
    c.no_member = true; /* whom it connects to is not who it should be */
    side_open(&c, 1, 7);
    know(&c, 2, b.port);
    eventually(c.refused_servers > 1 && c.unreachable > 1);
    assert_false(try_send(&c, 1, 8));
    side_close(&a);
    side_close(&b);
    side_close(&c);
}

static void questions_are_answered(void **state)
{
    (void)state;
    struct x509_pair ca;
    char address[4][32];
    struct raft_asked asked[4] = {{0}};
    struct side plain = {.rules = &rules}, b = {.rules = &rules}, mute = {0};
    side_open(&plain, 1, 7);
    side_open(&b, 2, 8);    /* of whatever cluster */
    side_open(&mute, 3, 7); /* a program that has no rules */
    int ports[] = {plain.port, b.port, mute.port, 1};
    for (int i = 0; i < 4; i++) {
        snprintf(address[i], sizeof address[i], "127.0.0.1:%d", ports[i]);
        asked[i].address = address[i];
    }
    assert_int_equal(raft_ask(asked, 4, NULL, STR("who is there"), 5000), 2);
    for (int i = 0; i < 4; i++) {
        assert_true((asked[i].code == 0) == (i < 2));
        if (i < 2)
            assert_true(str_eq(buf_str(&asked[i].answer), STR("who is there!")));
        buf_free(&asked[i].answer);
    }
    assert_int_equal(raft_ask(asked, 1, NULL, STR("rude"), 5000), 0);
    buf_free(&asked[0].answer);
    side_close(&plain);
    side_close(&b);
    side_close(&mute);
    struct side secure = {.rules = &rules};
    make_ca(&ca);
    give_certificate(&secure, &ca);
    side_open(&secure, 1, 7);
    snprintf(address[0], sizeof address[0], "127.0.0.1:%d", secure.port);
    assert_int_equal(raft_ask(asked, 1, secure.client, STR("who"), 5000), 1);
    buf_free(&asked[0].answer);
    assert_int_equal(raft_ask(asked, 1, NULL, STR("who"), 2000), 0); /* without a certificate */
    buf_free(&asked[0].answer);
    side_close(&secure);
    x509_pair_free(&ca);
}

/* ---- bytes by hand ---- */

static int raw_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)port)};
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    return fd;
}

static void append_hello(struct buf *b, uint8_t version)
{
    buf_append_cstr(b, "C8SP");
    buf_append_char(b, (char)version);
    buf_append_char(b, 1);
    buf_append(b, "\0\0", 2);
    buf_append_be64(b, 7);
    buf_append_be64(b, 1);
    buf_append_be64(b, 2);
}

static void append_frame(struct buf *b, uint32_t length, uint8_t kind, struct str body,
                         uint32_t flip)
{
    uint8_t head[4] = {kind};
    buf_append_be32(b, length);
    buf_append_be32(b, crc32c(crc32c(0, head, 4), body.p, body.n) ^ flip);
    buf_append(b, head, 4);
    buf_append_str(b, body);
}

/* Write the bytes; the other side must close the connection. */
static void must_be_closed(int port, const struct buf *b)
{
    int fd = raw_connect(port);
    assert_int_equal(send(fd, b->data, b->len, MSG_NOSIGNAL), (ssize_t)b->len);
    char c;
    struct timeval limit = {WAIT_MS / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t n = recv(fd, &c, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fd);
}

static void broken_bytes_close_the_connection(void **state)
{
    (void)state;
    struct side b = {0};
    side_open(&b, 2, 7);
    static const char number[8] = {0, 0, 0, 0, 0, 0, 0, 9};
    struct str body = str_make(number, 8);
    struct buf bytes;
    buf_init(&bytes);

    buf_append_cstr(&bytes, "GET / HTTP/1.1\r\nHost: somebody else\r\n\r\n");
    must_be_closed(b.port, &bytes);

    buf_clear(&bytes);
    append_hello(&bytes, 9); /* a version of the future */
    must_be_closed(b.port, &bytes);

    buf_clear(&bytes);
    append_hello(&bytes, 1);
    append_frame(&bytes, 8, RAFT_FRAME_MESSAGE, body, 1); /* checksum */
    must_be_closed(b.port, &bytes);

    buf_clear(&bytes);
    append_hello(&bytes, 1);
    append_frame(&bytes, RAFT_FRAME_MAX + 1, RAFT_FRAME_MESSAGE, body, 0); /* length */
    must_be_closed(b.port, &bytes);

    buf_clear(&bytes);
    append_hello(&bytes, 1);
    append_frame(&bytes, 8, 77, body, 0); /* kind */
    must_be_closed(b.port, &bytes);

    buf_clear(&bytes);
    append_hello(&bytes, 1);
    append_frame(&bytes, 3, RAFT_FRAME_MESSAGE, STR("abc"), 0); /* a body that makes no sense */
    must_be_closed(b.port, &bytes);
    assert_int_equal(b.frames, 0);

    /* and right ones, a byte at a time */
    buf_clear(&bytes);
    append_hello(&bytes, 1);
    append_frame(&bytes, 8, RAFT_FRAME_MESSAGE, body, 0);
    int fd = raw_connect(b.port);
    for (size_t i = 0; i < bytes.len; i++)
        assert_int_equal(send(fd, bytes.data + i, 1, MSG_NOSIGNAL), 1);
    eventually(b.frames == 1);
    close(fd);
    buf_free(&bytes);
    side_close(&b);
}

static int quiet(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    return 0;
}

int main(void)
{
    static bool plain = false, tls = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(frames_arrive_whole_and_in_order, &plain),
        cmocka_unit_test_prestate(frames_arrive_whole_and_in_order, &tls),
        cmocka_unit_test(a_channel_goes_both_ways),
        cmocka_unit_test(a_peer_that_comes_back_is_found_again),
        cmocka_unit_test(a_slow_peers_queue_is_bounded),
        cmocka_unit_test(strangers_are_turned_away),
        cmocka_unit_test(a_certificate_of_another_ca_is_refused),
        cmocka_unit_test(strangers_are_asked_who_they_are),
        cmocka_unit_test(who_was_removed_is_told),
        cmocka_unit_test(the_rules_refuse),
        cmocka_unit_test(questions_are_answered),
        cmocka_unit_test(broken_bytes_close_the_connection),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
