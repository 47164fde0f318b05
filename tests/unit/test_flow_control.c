/* Priority and Fairness: which FlowSchema a request belongs to, whose turn it is, who is refused. */
#include "api/codec.h"
#include "apiserver/flow/flow_control.h"
#include "base/arena_text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct arena arena;
/* Not running: who is given a seat is seen by his ticket. Teardown runs what was posted: tickets are static. */
static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    loop = loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    arena_free(&arena);
    return 0;
}

static void *decode(int message, const char *json)
{
    void *out;
    struct error err;
    if (json_decode(&arena, schema_get(message), str_from(json), NULL, &out, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    return out;
}

/* ---- matching ---- */

static const char *const dev[] = {"dev", "system:authenticated"};

static struct user user_named(const char *name)
{
    return (struct user){.name = name, .uid = "", .groups = (const char **)dev, .groups_len = 2};
}

static void requests_match_schemas(void **state)
{
    (void)state;
#define PODS                                                                              \
    "{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"nodes/" \
    "status\"],"
#define RULE(subject, rules) "{\"spec\":{\"rules\":[{\"subjects\":[" subject "]," rules "}]}}"
#define ALICE "{\"kind\":\"User\",\"user\":{\"name\":\"alice\"}}"
#define ANY "{\"kind\":\"Group\",\"group\":{\"name\":\"*\"}}"
#define IN_A "\"resourceRules\":[" PODS "\"namespaces\":[\"a\"]}]"
#define CLUSTER "\"resourceRules\":[" PODS "\"clusterScope\":true}]"
#define PATHS(p) "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"" p "\"]}]"
#define ACCOUNT(name) \
    "{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"a\",\"name\":\"" name "\"}}"
    static const struct {
        const char *schema, *user, *verb, *resource, *sub, *ns; /* resource NULL: ns is a path */
        bool matches;
    } rows[] = {
        {RULE(ALICE, IN_A), "alice", "get", "pods", "", "a", true},
        {RULE(ALICE, IN_A), "alicex", "get", "pods", "", "a", false},
        {RULE(ALICE, IN_A), "alice", "delete", "pods", "", "a", false},
        {RULE(ALICE, IN_A), "alice", "get", "pods", "", "b", false},
        {RULE(ALICE, IN_A), "alice", "get", "pods", "", "", false}, /* no clusterScope */
        {RULE(ALICE, IN_A), "alice", "get", "pods", "status", "a", false},
        {RULE(ALICE, CLUSTER), "alice", "list", "pods", "", "", true},
        {RULE(ALICE, CLUSTER), "alice", "list", "pods", "", "a", false},
        {RULE(ALICE, CLUSTER), "alice", "get", "nodes", "status", "", true},
        {RULE(ALICE, CLUSTER), "alice", "get", "nodes", "", "", false},
        {RULE(ALICE, CLUSTER), "alice", "get", NULL, NULL, "/pods", false},
        {RULE(ANY, CLUSTER), "bob", "get", "pods", "", "", true},
        {RULE("{\"kind\":\"Group\",\"group\":{\"name\":\"dev\"}}", CLUSTER), "bob", "get", "pods",
         "", "", true},
        {RULE("{\"kind\":\"Group\",\"group\":{\"name\":\"ops\"}}", CLUSTER), "bob", "get", "pods",
         "", "", false},
        {RULE(ACCOUNT("*"), CLUSTER), "system:serviceaccount:a:x", "get", "pods", "", "", true},
        {RULE(ACCOUNT("*"), CLUSTER), "system:serviceaccount:ab:x", "get", "pods", "", "", false},
        {RULE(ACCOUNT("x"), CLUSTER), "system:serviceaccount:a:x", "get", "pods", "", "", true},
        {RULE(ACCOUNT("x"), CLUSTER), "system:serviceaccount:a:xy", "get", "pods", "", "", false},
        {RULE(ACCOUNT("x"), CLUSTER), "a:x", "get", "pods", "", "", false},
        {RULE(ANY, PATHS("/api")), "bob", "get", NULL, NULL, "/api", true},
        {RULE(ANY, PATHS("/api")), "bob", "get", NULL, NULL, "/api/v1", true},
        {RULE(ANY, PATHS("/api")), "bob", "get", NULL, NULL, "/apis", false},
        {RULE(ANY, PATHS("/api/*")), "bob", "get", NULL, NULL, "/api/v1", true},
        {RULE(ANY, PATHS("/api/*")), "bob", "get", NULL, NULL, "/api", false},
        {RULE(ANY, PATHS("*")), "bob", "get", NULL, NULL, "/x", true},
        {RULE(ANY, PATHS("*")), "bob", "get", "pods", "", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct user u = user_named(rows[i].user);
        struct authz_attributes at = {.user = &u,
                                      .verb = rows[i].verb,
                                      .is_resource = rows[i].resource != NULL,
                                      .group = "",
                                      .resource = rows[i].resource ? rows[i].resource : "",
                                      .subresource = rows[i].sub ? rows[i].sub : "",
                                      .ns = rows[i].resource ? rows[i].ns : "",
                                      .name = "",
                                      .path = rows[i].ns};
        void *f = decode(Flowcontrol__V1__FlowSchema__SCHEMA, rows[i].schema);
        if (flow_schema_matches(f, &at) != rows[i].matches)
            fail_msg("row %zu", i);
    }
}

/* ---- seats ---- */

static const char *schema_json(const char *name, int precedence, const char *level)
{
    return arena_printf(
        &arena,
        "{\"metadata\":{\"name\":\"%s\",\"uid\":\"s-%s\"},\"spec\":{\"matchingPrecedence\":%d,"
        "\"priorityLevelConfiguration\":{\"name\":\"%s\"},\"distinguisherMethod\":"
        "{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":[{\"kind\":\"Group\",\"group\":"
        "{\"name\":\"*\"}}],\"resourceRules\":[{\"verbs\":[\"%s\"],\"apiGroups\":[\"*\"],"
        "\"resources\":[\"*\"],\"clusterScope\":true}]}]}}",
        name, name, precedence, level, name);
}

static const char *level_json(const char *name, int shares, const char *more)
{
    return arena_printf(
        &arena,
        "{\"metadata\":{\"name\":\"%s\",\"uid\":\"l-%s\"},\"spec\":{\"type\":\"Limited\","
        "\"limited\":{\"nominalConcurrencyShares\":%d,%s}}}",
        name, name, shares, more);
}

#define QUEUE(queues, hand, length)                                                               \
    "\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":" queues ",\"handSize\":" hand \
    ",\"queueLengthLimit\":" length "}}"
#define REJECT "\"limitResponse\":{\"type\":\"Reject\"}"

/* Schemas and levels, NULL behind each; a schema is for the verb of its name. */
static void update(struct flow_control *fc, const char *const *schemas, const char *const *levels)
{
    Flowcontrol__V1__FlowSchema *s[8];
    Flowcontrol__V1__PriorityLevelConfiguration *l[8];
    size_t n = 0, m = 0;
    for (; schemas[n]; n++)
        s[n] = decode(Flowcontrol__V1__FlowSchema__SCHEMA, schemas[n]);
    for (; levels[m]; m++)
        l[m] = decode(Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA, levels[m]);
    flow_control_update(fc, s, n, l, m);
}

static void ignore(struct flow_ticket *t)
{
    (void)t;
}

static struct authz_attributes asks_pods(const struct user *u, const char *verb)
{
    return (struct authz_attributes){.user = u,
                                     .verb = verb,
                                     .is_resource = true,
                                     .group = "",
                                     .resource = "pods",
                                     .subresource = "",
                                     .ns = "",
                                     .name = "",
                                     .path = ""};
}

static enum flow_answer ask(struct flow_control *fc, struct flow_ticket *t, const char *user,
                            const char *verb)
{
    struct user u = user_named(user);
    struct authz_attributes at = asks_pods(&u, verb);
    *t = (struct flow_ticket){.go = ignore};
    list_init(&t->link);
    return flow_enter(fc, t, &at, loop);
}

static size_t seated(const struct flow_ticket *t, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += t[i].where == FLOW_INSIDE;
    return sum;
}

static void leave_all(struct flow_control *fc, struct flow_ticket *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        flow_cancel(fc, &t[i], FLOW_CANCELLED);
    for (size_t i = 0; i < n; i++)
        flow_leave(fc, &t[i]);
}

#define ASK_MANY(fc, tickets, user, verb)              \
    for (size_t i_ = 0; i_ < ARRAY_LEN(tickets); i_++) \
    ask(fc, &(tickets)[i_], user, verb)

/* Ten seats for two levels alike: who lends half may borrow from whom lends nothing only what is left over. */
static void levels_lend_and_borrow(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(10, NULL);
    const char *const schemas[] = {schema_json("get", 1, "keeps"), schema_json("list", 2, "lends"),
                                   NULL};
    const char *const levels[] = {
        level_json("keeps", 1, QUEUE("2", "1", "50")),
        level_json("lends", 1, "\"lendablePercent\":40," QUEUE("2", "1", "50")),
        level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket get[12], list[12], one;
    update(fc, schemas, levels);
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(seated(get, 12), 7); /* five, and the two that are lent */
    ASK_MANY(fc, list, "alice", "list");
    assert_int_equal(seated(list, 12), 3); /* what is never lent */
    assert_true(flow_control_pressed(fc));
    flow_leave(fc, &get[0]); /* the two wait with 6 and 3 of 5 */
    assert_int_equal(seated(get, 12), 6);
    assert_int_equal(seated(list, 12), 4);
    flow_leave(fc, &get[1]);
    assert_int_equal(seated(list, 12), 5);
    assert_string_equal(get[2].schema_uid, "s-get");
    assert_string_equal(get[2].level_uid, "l-keeps");
    assert_int_equal(ask(fc, &one, "alice", "delete"), FLOW_REFUSED); /* no schema, and no seat */
    leave_all(fc, get, 12);
    leave_all(fc, list, 12);
    assert_false(flow_control_pressed(fc));
    flow_control_free(fc);
}

static void borrowing_has_its_limit(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(20, NULL);
    const char *const schemas[] = {schema_json("get", 1, "few"), NULL};
    const char *const levels[] = {level_json("few", 1, "\"borrowingLimitPercent\":50," REJECT),
                                  level_json("idle", 1, "\"lendablePercent\":100," REJECT), NULL};
    static struct flow_ticket get[20];
    update(fc, schemas, levels);
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(seated(get, 20),
                     3 + 2); /* one share in seven, catch-all's five among them, and half of that */
    leave_all(fc, get, 20);
    flow_control_free(fc);
}

/* Who asks a hundred times has his queue; who asks once is next. */
static void flows_take_turns(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(2, NULL);
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    const char *const levels[] = {level_json("l", 1, QUEUE("8", "2", "3")),
                                  level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket greedy[12], bob[2], carol;
    update(fc, schemas, levels);
    ASK_MANY(fc, greedy, "greedy", "get");
    assert_int_equal(seated(greedy, 12), 2);
    assert_int_equal(greedy[7].where, FLOW_WAITING);
    assert_int_equal(greedy[8].where, FLOW_OUTSIDE); /* six wait: handSize × queueLengthLimit */
    assert_int_equal(ask(fc, &bob[0], "bob", "get"), FLOW_QUEUED);
    assert_int_equal(ask(fc, &bob[1], "bob", "get"), FLOW_QUEUED);
    assert_int_equal(ask(fc, &carol, "carol", "get"), FLOW_QUEUED);
    flow_leave(fc, &greedy[0]);
    assert_int_equal(bob[0].where, FLOW_INSIDE);
    flow_leave(fc, &greedy[1]);
    assert_int_equal(greedy[2].where, FLOW_WAITING);
    assert_int_equal(carol.where, FLOW_INSIDE);
    flow_leave(fc, &carol); /* none has a seat but bob: the greedy one goes first */
    assert_int_equal(greedy[2].where, FLOW_INSIDE);
    assert_int_equal(bob[1].where, FLOW_WAITING);
    assert_true(flow_cancel(fc, &bob[1], FLOW_TIMED_OUT));
    assert_false(flow_cancel(fc, &bob[0], FLOW_TIMED_OUT));
    flow_leave(fc, &bob[0]);
    assert_int_equal(greedy[3].where, FLOW_INSIDE);
    leave_all(fc, greedy, 12);
    assert_false(flow_control_pressed(fc));
    flow_control_free(fc);
}

static void levels_come_and_go(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(2, NULL);
    const char *const schemas[] = {schema_json("get", 5, "l"), schema_json("list", 1, "free"),
                                   schema_json("watch", 1, "nowhere"), NULL};
    const char *const levels[] = {level_json("l", 1, QUEUE("8", "2", "3")),
                                  level_json("catch-all", 0, REJECT),
                                  "{\"metadata\":{\"name\":\"free\",\"uid\":\"l-free\"},\"spec\":{"
                                  "\"type\":\"Exempt\",\"exempt\":{}}}",
                                  NULL};
    const char *const none[] = {NULL};
    static struct flow_ticket get[4], list[50], other;
    assert_int_equal(ask(fc, &other, "alice", "get"), FLOW_SEATED); /* nothing is known yet */
    assert_string_equal(other.schema_uid, "");
    flow_leave(fc, &other);
    update(fc, schemas, levels);
    ASK_MANY(fc, list, "alice", "list");
    assert_int_equal(seated(list, 50), 50);
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(seated(get, 4), 2);
    assert_int_equal(ask(fc, &other, "alice", "watch"), FLOW_REFUSED); /* its level is not there */
    update(fc, none, none);
    assert_int_equal(seated(get, 4), 2);
    assert_int_equal(ask(fc, &other, "alice", "get"), FLOW_SEATED); /* sure of all that there is */
    flow_leave(fc, &other);
    flow_leave(fc, &get[0]);
    flow_leave(fc, &get[1]);
    assert_int_equal(seated(get, 4), 1); /* one by one */
    update(fc, schemas, levels);
    assert_int_equal(seated(get, 4), 2);
    leave_all(fc, get, 4);
    leave_all(fc, list, 50);
    flow_control_free(fc);
}

static void no_seats_is_no_limit(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(0, NULL);
    static struct flow_ticket get[50];
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(seated(get, 50), 50);
    leave_all(fc, get, 50);
    flow_control_free(fc);
}

/* ---- many threads ---- */

#define LOOPS 4
#define JOBS 40 /* of a loop */
#define ROUNDS 50
#define SEATS 5

struct job {
    struct flow_ticket ticket;
    struct loop_task task;
    struct flow_control *fc;
    struct loop *loop;
    const char *user;
    unsigned rounds;
};

static atomic_uint busy, worst, refused, ended;

static void job_done(struct loop_task *task);

/* Hold the seat for a turn of the loop. */
static void job_go(struct flow_ticket *t)
{
    struct job *j = container_of(t, struct job, ticket);
    unsigned now = atomic_fetch_add(&busy, 1) + 1, most = atomic_load(&worst);
    while (now > most && !atomic_compare_exchange_weak(&worst, &most, now))
        ;
    j->task.fn = job_done;
    loop_post(j->loop, &j->task);
}

static void job_start(struct loop_task *task)
{
    struct job *j = container_of(task, struct job, task);
    struct user u = user_named(j->user);
    struct authz_attributes at = asks_pods(&u, "get");
    j->ticket.go = job_go;
    switch (flow_enter(j->fc, &j->ticket, &at, j->loop)) {
    case FLOW_SEATED:
        job_go(&j->ticket);
        break;
    case FLOW_REFUSED:
        atomic_fetch_add(&refused, 1);
        break;
    case FLOW_QUEUED:
        break;
    }
}

static void job_done(struct loop_task *task)
{
    struct job *j = container_of(task, struct job, task);
    atomic_fetch_sub(&busy, 1);
    flow_leave(j->fc, &j->ticket);
    if (--j->rounds)
        job_start(&j->task);
    else
        atomic_fetch_add(&ended, 1);
}

static void everybody_is_served(void **state)
{
    (void)state;
    static struct job jobs[LOOPS][JOBS];
    static const char *const users[] = {"a", "b", "c"};
    struct flow_control *fc = flow_control_new(SEATS, NULL);
    struct loop *loops[LOOPS];
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    const char *const levels[] = {level_json("l", 1, QUEUE("8", "2", "200")),
                                  level_json("catch-all", 0, REJECT), NULL};
    update(fc, schemas, levels);
    for (size_t i = 0; i < LOOPS; i++)
        loops[i] = loop_start("flows");
    for (size_t i = 0; i < LOOPS * JOBS; i++) {
        struct job *j = &jobs[i % LOOPS][i / LOOPS];
        *j = (struct job){.fc = fc,
                          .loop = loops[i % LOOPS],
                          .user = users[i % ARRAY_LEN(users)],
                          .rounds = ROUNDS,
                          .task.fn = job_start};
        loop_post(j->loop, &j->task);
    }
    for (int i = 0; i < 6000 && atomic_load(&ended) < LOOPS * JOBS; i++)
        usleep(10000);
    for (size_t i = 0; i < LOOPS; i++)
        loop_join(loops[i]);
    assert_int_equal(atomic_load(&ended), LOOPS * JOBS);
    assert_int_equal(atomic_load(&refused), 0);
    assert_int_equal(atomic_load(&worst), SEATS);
    assert_false(flow_control_pressed(fc));
    flow_control_free(fc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_match_schemas, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_lend_and_borrow, setup, teardown),
        cmocka_unit_test_setup_teardown(borrowing_has_its_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(flows_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(no_seats_is_no_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(everybody_is_served, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
