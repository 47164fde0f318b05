/*
 * Leader election against a server of one Lease that answers, holds its answers back or gives none: never do two lead,
 * whatever the server does, and a lease that is given up passes on at once.
 */
#include "api/codec.h"
#include "api/meta.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/elected.h"
#include "client/kubeconfig.h"
#include "client/leader_election.h"
#include "net/http.h"
#include "proto/coordination_v1.pb-c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_NS (60 * NS_PER_S)
#define PROTOBUF "application/vnd.kubernetes.protobuf"

/* ------------------------------------------------------------------------------------- server --- */

struct held {
    struct list link;
    struct http_exchange *x;
};

/* All but the atomics belongs to the loop. */
struct lease_server {
    struct loop *loop;
    struct http_server *server;
    char url[64];
    char *holder; /* NULL: the lease does not exist; "": nobody's */
    int32_t transitions, seconds;
    uint64_t revision;
    struct list held;               /* reads without an answer */
    atomic_bool hold_reads, silent; /* silent: what comes gets no answer */
    atomic_uint reads_held;
    _Atomic uint64_t written_ns; /* when the last write was received */
    atomic_uint writes;
};

static void answer(struct http_exchange *x, int status, const void *object)
{
    struct http_header header = {STR("content-type"), STR(PROTOBUF)};
    struct buf b;
    buf_init(&b);
    envelope_encode(object, &b);
    http_respond(x, status, &header, 1, buf_str(&b));
    buf_free(&b);
}

static void answer_lease(struct lease_server *s, struct http_exchange *x, int status)
{
    Coordination__V1__Lease *lease = api_new(&x->arena, Coordination__V1__Lease);
    lease->metadata->namespace_ = "kube-system";
    lease->metadata->name = "l";
    lease->metadata->resource_version =
        arena_printf(&x->arena, "%llu", (unsigned long long)s->revision);
    lease->spec->holder_identity = *s->holder ? arena_strdup(&x->arena, s->holder) : NULL;
    api_set(lease->spec, lease_transitions, s->transitions);
    api_set(lease->spec, lease_duration_seconds, s->seconds);
    answer(x, status, lease);
}

static void refuse(struct http_exchange *x, int code, const char *reason)
{
    answer(x, code, status_failure(&x->arena, code, reason, "", "leases", "l", "%s", reason));
}

static void held_closed(struct http_exchange *x)
{
    refuse(x, 503, "ServiceUnavailable");
}

static void held_done(struct http_exchange *x)
{
    struct held *h = x->user;
    list_remove(&h->link);
    mem_free(h);
}

static void hold(struct lease_server *s, struct http_exchange *x)
{
    struct held *h = mem_zalloc(sizeof *h);
    h->x = x;
    list_push_back(&s->held, &h->link);
    x->user = h;
    x->on_close = held_closed;
    x->on_done = held_done;
}

static void write_lease(struct lease_server *s, struct http_exchange *x)
{
    struct error err = {0};
    void *decoded;
    assert_int_equal(envelope_decode(&x->arena, schema_get(Coordination__V1__Lease__SCHEMA),
                                     x->body, &decoded, &err),
                     0);
    const Coordination__V1__Lease *lease = decoded;
    uint64_t expected = 0;
    str_to_u64(str_from(lease->metadata->resource_version), &expected);
    bool create = str_eqz(x->method, "POST");
    if (create ? s->holder != NULL : expected != s->revision) {
        refuse(x, 409, create ? "AlreadyExists" : "Conflict");
        return;
    }
    mem_free(s->holder);
    s->holder = mem_strdup(lease->spec->holder_identity ? lease->spec->holder_identity : "");
    s->transitions = api_get(lease->spec, lease_transitions, 0);
    s->seconds = api_get(lease->spec, lease_duration_seconds, 0);
    s->revision++;
    atomic_store(&s->written_ns, clock_mono_ns());
    atomic_fetch_add(&s->writes, 1);
    answer_lease(s, x, create ? 201 : 200);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct lease_server *s = ctx;
    bool read = str_eqz(x->method, "GET");
    if (atomic_load(&s->silent)) {
        hold(s, x);
    } else if (read && atomic_load(&s->hold_reads)) {
        hold(s, x);
        atomic_fetch_add(&s->reads_held, 1);
    } else if (!read) {
        write_lease(s, x);
    } else if (s->holder) {
        answer_lease(s, x, 200);
    } else {
        refuse(x, 404, "NotFound");
    }
}

static struct lease_server *server_new(void)
{
    struct lease_server *s = mem_zalloc(sizeof *s);
    struct error err = {0};
    list_init(&s->held);
    s->loop = loop_start("leases");
    s->server = http_server_new(&(struct http_server_options){
        .loops = &s->loop, .loops_len = 1, .ctx = s, .on_request = on_request});
    assert_int_equal(http_server_listen(s->server, "127.0.0.1:0", NULL, &err), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", http_server_port(s->server, 0));
    return s;
}

static void server_free(struct lease_server *s)
{
    http_server_stop_wait(s->server, 0);
    http_server_free(s->server);
    loop_join(s->loop);
    mem_free(s->holder);
    mem_free(s);
}

/* Somebody else renews the lease; those who asked meanwhile are answered with it. */
static void do_renew(void *arg)
{
    struct lease_server *s = arg;
    s->revision++;
    atomic_store(&s->hold_reads, false);
    list_for_each_safe (it, &s->held)
        answer_lease(s, list_entry(it, struct held, link)->x, 200);
}

/* ---------------------------------------------------------------------------------- candidate --- */

struct candidate {
    struct client *client;
    struct leader_election *election;
    _Atomic uint64_t started_ns, stopped_ns;
};

static void on_started(void *ctx)
{
    atomic_store(&((struct candidate *)ctx)->started_ns, clock_mono_ns());
}

static void on_stopped(void *ctx)
{
    atomic_store(&((struct candidate *)ctx)->stopped_ns, clock_mono_ns());
}

static void stand(struct candidate *c, struct lease_server *s, const char *identity,
                  uint32_t duration_ms, uint32_t deadline_ms, uint32_t retry_ms)
{
    const char *servers[] = {s->url};
    struct client_config config = {.servers = servers, .servers_len = 1};
    struct error err = {0};
    assert_int_equal(client_new(&config, "test", &c->client, &err), 0);
    c->election = leader_election_start(&(struct leader_config){.client = c->client,
                                                                .name = "l",
                                                                .identity = identity,
                                                                .lease_duration_ms = duration_ms,
                                                                .renew_deadline_ms = deadline_ms,
                                                                .retry_period_ms = retry_ms,
                                                                .release_on_stop = true,
                                                                .started = on_started,
                                                                .stopped = on_stopped,
                                                                .ctx = c});
}

static void candidate_end(struct candidate *c)
{
    leader_election_free(c->election);
    client_free(c->client);
}

static uint64_t wait_time(_Atomic uint64_t *t)
{
    for (uint64_t end = clock_mono_ns() + WAIT_NS; !atomic_load(t); usleep(1000))
        assert_true(clock_mono_ns() < end);
    return atomic_load(t);
}

static void wait_count(atomic_uint *n, unsigned want)
{
    for (uint64_t end = clock_mono_ns() + WAIT_NS; atomic_load(n) < want; usleep(1000))
        assert_true(clock_mono_ns() < end);
}

/* -------------------------------------------------------------------------------------- tests --- */

/* 1. A leader renews. 2. The server accepts requests and answers none, as one that is frozen. 3. The leader's attempts take
 * as long as they may. It has to stop all the same before another may have taken the lease. */
static void test_a_leader_that_gets_no_answer_stops_in_time(void **state)
{
    (void)state;
    struct lease_server *s = server_new();
    struct candidate a = {0};
    stand(&a, s, "a", 6000, 4000, 1900);
    wait_count(&s->writes, 2); /* taken, and renewed */
    atomic_store(&s->silent, true);
    uint64_t renewed = atomic_load(&s->written_ns);
    uint64_t stopped = wait_time(&a.stopped_ns);
    assert_true(stopped < renewed + 6 * NS_PER_S);
    assert_false(leader_election_is_leader(a.election));
    candidate_end(&a);
    server_free(s);
}

/* 1. The candidate asks, and the answer takes its time. 2. Meanwhile the leader renews. 3. The answer shows that renewal,
 * which is younger than the question: the lease is the leader's for its duration from the answer on. */
static void test_a_renewal_seen_late_counts_from_when_it_was_seen(void **state)
{
    (void)state;
    struct lease_server *s = server_new();
    s->holder = mem_strdup("a");
    s->revision = 1;
    s->seconds = 3;
    atomic_store(&s->hold_reads, true);
    struct candidate b = {0};
    stand(&b, s, "b", 3000, 2800, 200);
    wait_count(&s->reads_held, 1);
    uint64_t asked = clock_mono_ns(), renewed;
    do
        usleep(1000);
    while ((renewed = clock_mono_ns()) < asked + 1200 * NS_PER_MS);
    loop_call(s->loop, do_renew, s);
    assert_true(wait_time(&b.started_ns) >= renewed + 3 * NS_PER_S);
    candidate_end(&b);
    server_free(s);
}

static void test_a_lease_given_up_passes_on_at_once(void **state)
{
    (void)state;
    struct lease_server *s = server_new();
    struct candidate a = {0}, b = {0};
    stand(&a, s, "a", 300000, 200000, 100);
    wait_time(&a.started_ns);
    assert_true(leader_election_is_leader(a.election));
    stand(&b, s, "b", 300000, 200000, 100);
    assert_false(leader_election_is_leader(b.election));
    candidate_end(&a);
    assert_true(atomic_load(&a.stopped_ns) > 0);
    wait_time(&b.started_ns); /* no five minutes */
    assert_int_equal(s->transitions, 1);
    candidate_end(&b);
    server_free(s);
}

static void test_times_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    const struct {
        int64_t lease, renew, retry;
        const char *message;
    } cases[] = {
        {10, 10, 2, "leader-elect-lease-duration"},
        {15, 10, 9, "leader-elect-renew-deadline"},
        {15, 10, 0, "leader-elect-retry-period"},
        {5000000, 10, 2, "leader-elect-lease-duration"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elected_options o = ELECTED_DEFAULTS("l", 0);
        o.lease_ns = cases[i].lease * (int64_t)NS_PER_S;
        o.renew_ns = cases[i].renew * (int64_t)NS_PER_S;
        o.retry_ns = cases[i].retry * (int64_t)NS_PER_S;
        struct error err = {0};
        assert_int_equal(elected_run(&o, &(struct elected_work){0}, NULL, NULL, NULL, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, cases[i].message));
    }
}

static void quiet(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_leader_that_gets_no_answer_stops_in_time),
        cmocka_unit_test(test_a_renewal_seen_late_counts_from_when_it_was_seen),
        cmocka_unit_test(test_a_lease_given_up_passes_on_at_once),
        cmocka_unit_test(test_times_that_do_not_go_together_are_refused),
    };
    if (!getenv("TEST_VERBOSE"))
        log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
