/*
 * Loop, streams, listeners, addresses, TLS contexts and certificates.
 */
#include "base/mem.h"
#include "base/random.h"
#include "net/address.h"
#include "net/stream.h"
#include "net/tls_internal.h"
#include "net/x509.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ------------------------------------------------------------------------- loop --- */

struct counted {
    struct loop_task task;
    int *order;
    int value;
};

static int next_place;

static void record(struct loop_task *task)
{
    struct counted *c = container_of(task, struct counted, task);
    c->order[next_place++] = c->value;
    mem_free(c);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void runs_posted_tasks_in_order(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct loop *loop = loop_start("test");
    int *order = mem_zalloc(N * sizeof *order);
    next_place = 0;
    for (int i = 0; i < N; i++) {
        struct counted *c = mem_alloc(sizeof *c);
        *c = (struct counted){.task.fn = record, .order = order, .value = i};
        loop_post(loop, &c->task);
    }
    loop_call(loop, nothing, NULL); /* behind all of them */
    assert_int_equal(next_place, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(order[i], i);
    loop_join(loop);
    mem_free(order);
}

struct ticks;
struct named_timer {
    struct loop_timer timer;
    struct ticks *ticks;
    char name;
};

struct ticks {
    struct named_timer a, b, c;
    struct loop *loop;
    char log[16];
    uv_sem_t done;
};

static void tick(struct loop_timer *timer)
{
    struct named_timer *n = container_of(timer, struct named_timer, timer);
    struct ticks *t = n->ticks;
    size_t len = strlen(t->log);
    t->log[len] = n->name;
    if (n == &t->a && len < 4) {
        loop_timer_start(timer, 5);
    } else if (n == &t->c) {
        loop_timer_stop(&t->a.timer);
        uv_sem_post(&t->done);
    }
}

static void start_named(struct ticks *t, struct named_timer *n, char name, uint64_t delay_ms)
{
    n->ticks = t;
    n->name = name;
    loop_timer_init(t->loop, &n->timer, tick);
    loop_timer_start(&n->timer, delay_ms);
}

static void start_ticks(void *arg)
{
    struct ticks *t = arg;
    start_named(t, &t->c, 'c', 200);
    start_named(t, &t->b, 'b', 1);
    start_named(t, &t->a, 'a', 10);
    loop_timer_stop(&t->b.timer);
    loop_timer_start(&t->b.timer, 60);
}

static void fires_timers_in_order_and_stops_them(void **state)
{
    (void)state;
    struct ticks t = {.loop = loop_start("test")};
    uv_sem_init(&t.done, 0);
    loop_call(t.loop, start_ticks, &t);
    uv_sem_wait(&t.done);
    loop_join(t.loop);
    assert_string_equal(t.log + strlen(t.log) - 1, "c");
    assert_int_equal(t.log[0], 'a');
    assert_non_null(strchr(t.log, 'b'));
    uv_sem_destroy(&t.done);
}

/* -------------------------------------------------------------------- addresses --- */

static void parses_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port; /* host NULL: refused */
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1", "80"},
        {"[::1]:443", "::1", "443"},
        {":6443", "", "6443"},
        {"localhost:0", "localhost", "0"},
        {"::1:443", NULL, NULL},
        {"localhost", NULL, NULL},
        {"a:70000", NULL, NULL},
        {"a:", NULL, NULL},
        {"a:1x", NULL, NULL},
        {"unix:", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_address a;
        struct error err = {0};
        int rc = net_address_parse(cases[i].text, &a, &err);
        if (!cases[i].host) {
            assert_int_equal(rc, ERR_INVALID);
            assert_true(err.message[0] != 0);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(a.host, cases[i].host);
        assert_string_equal(a.port, cases[i].port);
    }
    struct net_address a;
    assert_int_equal(net_address_parse("unix:/run/x.sock", &a, NULL), 0);
    assert_true(a.is_unix);
    assert_string_equal(a.path, "/run/x.sock");
}

/* ----------------------------------------------------------------- certificates --- */

static struct x509_pair make_ca(const char *name)
{
    struct x509_pair ca;
    struct error err = {0};
    assert_int_equal(x509_ca_new(&(struct x509_spec){.common_name = name}, &ca, &err), 0);
    return ca;
}

static void issues_certificates_that_say_what_was_asked(void **state)
{
    (void)state;
    struct error err = {0};
    struct x509_pair ca = make_ca("ca"), other = make_ca("other"), pair;
    const char *const groups[] = {"system:masters", "dev", NULL};
    const char *const names[] = {"localhost", "10.0.0.1", "fd00::1", NULL};
    const struct x509_spec spec = {.common_name = "admin",
                                   .organizations = groups,
                                   .alt_names = names,
                                   .usage = X509_USAGE_CLIENT};
    assert_int_equal(x509_issue(&ca, &spec, &pair, &err), 0);
    struct x509_info info;
    assert_int_equal(x509_parse(str_from(pair.cert_pem), &info, &err), 0);
    assert_string_equal(info.common_name, "admin");
    assert_string_equal(info.issuer, "ca");
    assert_int_equal(info.organizations_len, 2);
    assert_string_equal(info.organizations[0], "system:masters");
    assert_string_equal(info.organizations[1], "dev");
    assert_int_equal(info.dns_names_len, 1);
    assert_int_equal(info.ip_addresses_len, 2);
    assert_string_equal(info.ip_addresses[1], "fd00::1");
    assert_int_equal(info.usage, X509_USAGE_CLIENT);
    assert_false(info.is_ca);
    x509_info_free(&info);
    assert_true(x509_key_matches(str_from(pair.cert_pem), str_from(pair.key_pem)));
    assert_false(x509_key_matches(str_from(pair.cert_pem), str_from(ca.key_pem)));
    struct str cert = str_from(pair.cert_pem);
    assert_int_equal(x509_verify(cert, str_from(ca.cert_pem), X509_USAGE_CLIENT, &err), 0);
    assert_int_equal(x509_verify(cert, str_from(ca.cert_pem), X509_USAGE_SERVER, &err), ERR_DENIED);
    assert_int_equal(x509_verify(cert, str_from(other.cert_pem), 0, &err), ERR_DENIED);
    x509_pair_free(&pair);
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

static void signs_requests(void **state)
{
    (void)state;
    struct error err = {0};
    struct x509_pair ca = make_ca("ca");
    const char *const groups[] = {"system:nodes", NULL};
    const char *const names[] = {"node1", NULL};
    char *csr, *key, *cert;
    const struct x509_spec spec = {
        .common_name = "system:node:node1", .organizations = groups, .alt_names = names};
    assert_int_equal(x509_request_new(&spec, &csr, &key, &err), 0);
    struct x509_info info;
    assert_int_equal(x509_parse_request(str_from(csr), &info, &err), 0);
    assert_string_equal(info.common_name, "system:node:node1");
    assert_int_equal(info.dns_names_len, 1);
    x509_info_free(&info);
    assert_int_equal(x509_request_sign(&ca, str_from(csr), X509_USAGE_CLIENT, 3600, &cert, &err),
                     0);
    assert_true(x509_key_matches(str_from(cert), str_from(key)));
    assert_int_equal(x509_verify(str_from(cert), str_from(ca.cert_pem), X509_USAGE_CLIENT, &err),
                     0);
    mem_free(cert);
    csr[strlen(csr) / 2] ^= 1; /* a damaged one */
    assert_true(x509_request_sign(&ca, str_from(csr), X509_USAGE_CLIENT, 3600, &cert, &err) < 0);
    assert_null(cert);
    mem_free(csr);
    mem_free(key);
    x509_pair_free(&ca);
}

static void writes_keys_for_their_owner_only(void **state)
{
    (void)state;
    struct error err = {0};
    char dir[] = "/tmp/c8s-test-net-XXXXXX", cert[64], key[64];
    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof cert, "%s/a.crt", dir);
    snprintf(key, sizeof key, "%s/a.key", dir);
    struct x509_pair ca = make_ca("ca"), other = make_ca("b"), back;
    assert_int_equal(x509_pair_write(cert, key, &ca, &err), 0);
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(x509_pair_read(cert, key, &back, &err), 0);
    assert_string_equal(back.key_pem, ca.key_pem);
    x509_pair_free(&back);
    assert_int_equal(x509_write_key(key, other.key_pem, &err), 0);
    assert_int_equal(x509_pair_read(cert, key, &back, &err), ERR_INVALID); /* not its key */
    assert_int_equal(x509_write_key("/nonexistent/x", "x", &err), ERR_IO);
    unlink(cert);
    unlink(key);
    rmdir(dir);
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

static void refuses_bad_tls_files(void **state)
{
    (void)state;
    struct x509_pair ca = make_ca("ca"), other = make_ca("other");
    struct str cert = str_from(ca.cert_pem), key = str_from(ca.key_pem);
    const struct tls_options bad[] = {
        {0},
        {.cert_file = "/nonexistent.crt", .key_file = "/nonexistent.key"},
        {.cert_pem = STR("junk"), .key_pem = key},
        {.cert_pem = cert, .key_pem = str_from(other.key_pem)},
        {.cert_pem = cert, .key_pem = key, .ca_pem = STR("junk")},
        {.cert_pem = cert, .key_pem = key, .min_version = "TLS1.0"},
        {.cert_pem = cert, .key_pem = key, .cipher_suites = "TLS_RSA_WITH_RC4_128_SHA"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        assert_null(tls_server_new(&bad[i], &err));
        assert_true(err.code < 0 && err.message[0]);
    }
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

/* Front proxies are believed by a CA of their own: it is renewed as the others are. */
static void a_new_second_ca_is_noticed(void **state)
{
    (void)state;
    char file[] = "/tmp/test_net_base.ca.XXXXXX";
    struct x509_pair ca = make_ca("ca"), other = make_ca("other");
    struct error err = {0};
    close(mkstemp(file));
    assert_int_equal(x509_write_cert(file, ca.cert_pem, &err), 0);
    struct tls_context *ctx =
        tls_server_new(&(struct tls_options){.cert_pem = str_from(ca.cert_pem),
                                             .key_pem = str_from(ca.key_pem),
                                             .second_ca_file = file,
                                             .watch_files = true},
                       &err);
    assert_non_null(ctx);
    SSL *first = tls_ssl_new(ctx);
    assert_int_equal(x509_write_cert(file, other.cert_pem, &err), 0);
    bool renewed = false;
    for (int i = 0; i < 60000 && !renewed; i++) {
        SSL *next = tls_ssl_new(ctx);
        renewed = SSL_get_SSL_CTX(next) != SSL_get_SSL_CTX(first);
        SSL_free(next);
        usleep(1000);
    }
    assert_true(renewed);
    SSL_free(first);
    tls_context_unref(ctx);
    unlink(file);
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

/* ----------------------------------------------------------------------- streams --- */

#define TRANSFER (8u << 20)

struct end { /* one side of a connection */
    struct stream *s;
    size_t received, to_send;
    uint64_t sum;
    int code;
    char reason[128], peer[64];
    bool opened, closed, verified;
    struct pair *pair;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *server_tls, *client_tls;
    struct end server, client;
    uv_sem_t done;
    const char *server_name;
};

static void send_more(struct end *e)
{
    char block[4096];
    while (e->to_send && stream_queued(e->s) < 300000) {
        size_t n = MIN(e->to_send, sizeof block);
        for (size_t i = 0; i < n; i++)
            block[i] = (char)(e->to_send - i);
        stream_write(e->s, block, n);
        e->to_send -= n;
    }
}

static void end_opened(struct stream *s, void *ctx)
{
    struct end *e = ctx;
    e->opened = true;
    const struct tls_peer *peer = stream_peer(s);
    snprintf(e->peer, sizeof e->peer, "%s", peer ? peer->common_name : "-");
    e->verified = peer && peer->verified;
    send_more(e);
}

static void end_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct end *e = ctx;
    for (size_t i = 0; i < n; i++)
        e->sum = e->sum * 31 + (unsigned char)data[i];
    e->received += n;
    struct end *other = e == &e->pair->server ? &e->pair->client : &e->pair->server;
    if (e->received == TRANSFER && other->received == TRANSFER)
        stream_shutdown(s);
}

static void end_drained(struct stream *s, void *ctx)
{
    (void)s;
    send_more(ctx);
}

static void end_closed(struct stream *s, void *ctx, int code, const char *reason)
{
    (void)s;
    struct end *e = ctx;
    e->closed = true;
    e->code = code;
    snprintf(e->reason, sizeof e->reason, "%s", reason ? reason : "");
    struct pair *p = e->pair;
    if (p->client.closed && (p->server.closed || !p->server.s)) {
        listener_close(p->listener);
        uv_sem_post(&p->done);
    }
}

static const struct stream_events end_events = {
    .on_open = end_opened, .on_data = end_data, .on_drain = end_drained, .on_close = end_closed};

static void accepted(void *ctx, struct loop *loop, int fd)
{
    struct pair *p = ctx;
    p->server.s = stream_accept(loop, fd, p->server_tls, &end_events, &p->server);
}

static void connect_pair(void *arg)
{
    struct pair *p = arg;
    struct error err = {0};
    char address[32];
    p->listener = listener_new(&p->loop, 1, "127.0.0.1:0", accepted, p, &err);
    assert_non_null(p->listener);
    snprintf(address, sizeof address, "localhost:%d", listener_port(p->listener));
    p->client.s = stream_connect(p->loop, address, p->client_tls, p->server_name, 5000, &end_events,
                                 &p->client);
}

static void run_pair(struct pair *p, size_t bytes)
{
    p->loop = loop_start("pair");
    p->server.pair = p->client.pair = p;
    p->server.to_send = p->client.to_send = bytes;
    uv_sem_init(&p->done, 0);
    loop_call(p->loop, connect_pair, p);
    uv_sem_wait(&p->done);
    uv_sem_destroy(&p->done);
    loop_join(p->loop);
    tls_context_unref(p->server_tls);
    tls_context_unref(p->client_tls);
}

static void carries_bytes_both_ways(void **state)
{
    (void)state;
    struct pair p = {0};
    run_pair(&p, TRANSFER);
    assert_int_equal(p.client.received, TRANSFER);
    assert_int_equal(p.server.received, TRANSFER);
    assert_true(p.client.sum == p.server.sum);
    assert_int_equal(p.client.code, 0);
    assert_int_equal(p.server.code, 0);
}

/* Contexts for both sides: the server's certificate by `ca`, the client's by `client_ca`. */
static void make_contexts(struct pair *p, const struct x509_pair *ca,
                          const struct x509_pair *client_ca, enum tls_client_auth auth)
{
    struct error err = {0};
    struct x509_pair server, client;
    const char *const names[] = {"localhost", NULL};
    assert_int_equal(x509_issue(ca,
                                &(struct x509_spec){.common_name = "server",
                                                    .alt_names = names,
                                                    .usage = X509_USAGE_SERVER},
                                &server, &err),
                     0);
    assert_int_equal(
        x509_issue(client_ca,
                   &(struct x509_spec){.common_name = "alice", .usage = X509_USAGE_CLIENT}, &client,
                   &err),
        0);
    p->server_tls = tls_server_new(&(struct tls_options){.cert_pem = str_from(server.cert_pem),
                                                         .key_pem = str_from(server.key_pem),
                                                         .ca_pem = str_from(ca->cert_pem),
                                                         .client_auth = auth},
                                   &err);
    p->client_tls = tls_client_new(&(struct tls_options){.cert_pem = str_from(client.cert_pem),
                                                         .key_pem = str_from(client.key_pem),
                                                         .ca_pem = str_from(ca->cert_pem)},
                                   &err);
    assert_non_null(p->server_tls);
    assert_non_null(p->client_tls);
    x509_pair_free(&server);
    x509_pair_free(&client);
}

static void carries_bytes_over_mutual_tls(void **state)
{
    (void)state;
    struct pair p = {0};
    struct x509_pair ca = make_ca("ca");
    make_contexts(&p, &ca, &ca, TLS_CLIENT_AUTH_REQUIRE);
    run_pair(&p, TRANSFER);
    assert_int_equal(p.client.received, TRANSFER);
    assert_int_equal(p.server.received, TRANSFER);
    assert_true(p.client.sum == p.server.sum);
    assert_string_equal(p.server.peer, "alice");
    assert_true(p.server.verified);
    assert_string_equal(p.client.peer, "server");
    x509_pair_free(&ca);
}

static void refuses_a_client_of_another_ca(void **state)
{
    (void)state;
    struct pair p = {0};
    struct x509_pair ca = make_ca("ca"), other = make_ca("ca"); /* of the same name, too */
    make_contexts(&p, &ca, &other, TLS_CLIENT_AUTH_REQUIRE);
    run_pair(&p, TRANSFER);
    assert_false(p.server.opened);
    assert_int_equal(p.server.code, ERR_DENIED);
    assert_int_equal(p.server.received, 0);
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

static void shows_an_unverified_client_when_certificates_are_only_requested(void **state)
{
    (void)state;
    struct pair p = {0};
    struct x509_pair ca = make_ca("ca"), other = make_ca("other");
    make_contexts(&p, &ca, &other, TLS_CLIENT_AUTH_REQUEST);
    run_pair(&p, TRANSFER);
    assert_true(p.server.opened);
    assert_string_equal(p.server.peer, "alice");
    assert_false(p.server.verified);
    x509_pair_free(&ca);
    x509_pair_free(&other);
}

static void refuses_a_server_that_is_somebody_else(void **state)
{
    (void)state;
    struct pair p = {.server_name = "example.org"};
    struct x509_pair ca = make_ca("ca");
    make_contexts(&p, &ca, &ca, TLS_CLIENT_AUTH_NONE);
    run_pair(&p, TRANSFER);
    assert_false(p.client.opened);
    assert_int_equal(p.client.code, ERR_DENIED);
    x509_pair_free(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_posted_tasks_in_order),
        cmocka_unit_test(fires_timers_in_order_and_stops_them),
        cmocka_unit_test(parses_addresses),
        cmocka_unit_test(issues_certificates_that_say_what_was_asked),
        cmocka_unit_test(signs_requests),
        cmocka_unit_test(writes_keys_for_their_owner_only),
        cmocka_unit_test(refuses_bad_tls_files),
        cmocka_unit_test(a_new_second_ca_is_noticed),
        cmocka_unit_test(carries_bytes_both_ways),
        cmocka_unit_test(carries_bytes_over_mutual_tls),
        cmocka_unit_test(refuses_a_client_of_another_ca),
        cmocka_unit_test(shows_an_unverified_client_when_certificates_are_only_requested),
        cmocka_unit_test(refuses_a_server_that_is_somebody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
