/* Priority and Fairness: which FlowSchema a request belongs to, whose turn it is, who is refused. */
#include "api/codec.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/flow/flow_dump.h"
#include "apiserver/flow/flow_width.h"
#include "apiserver/request.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/metrics.h"
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

static enum flow_answer ask_wide(struct flow_control *fc, struct flow_ticket *t, const char *user,
                                 const char *verb, unsigned width)
{
    struct user u = user_named(user);
    struct authz_attributes at = asks_pods(&u, verb);
    *t = (struct flow_ticket){.go = ignore, .width = width, .arrived_ns = clock_mono_ns()};
    list_init(&t->link);
    return flow_enter(fc, t, &at, loop);
}

static enum flow_answer ask(struct flow_control *fc, struct flow_ticket *t, const char *user,
                            const char *verb)
{
    return ask_wide(fc, t, user, verb, 1);
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

/* ---- wide requests ---- */

static void lists_are_as_wide_as_what_they_read(void **state)
{
    (void)state;
    static const struct {
        uint64_t objects, bytes;
        bool more;
        int64_t limit;
        bool selects;
        unsigned width;
    } rows[] = {
        {0, 0, false, 0, false, 1},
        {1, 10, false, 0, false, 1},
        {100, 100000, false, 0, false, 1},
        {100, 100001, false, 0, false, 2},
        {100, 950000, false, 0, true, 10},
        {1000, 1000000, true, 0, false, 10},
        {1, 1500000, false, 0, false, 10},
        {100, 500000, false, 10, false, 1},
        {100, 500000, false, 50, false, 3},
        {100, 500000, false, 500, false, 5},
        {100, 500000, false, 10, true, 3}, /* half of them */
        {100, 500000, false, 80, true, 4},
        {1000, 1000000, true, 500, false, 5},
        {1000, 1000000, true, 9000, false, 10},
        {1000, 1000000, true, 1, true, 10}, /* of who knows how many */
        {0, 0, true, 5, true, 1},
        {9, 900000, false, INT64_MAX, false, 9},
        {9, 900000, false, -1, false, 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct flow_stock stock = {rows[i].objects, rows[i].bytes, rows[i].more};
        unsigned width = flow_width_of(&stock, rows[i].limit, rows[i].selects);
        if (width != rows[i].width)
            fail_msg("row %zu: %u", i, width);
    }
}

/* A hundred seats; each flow of a request of one seat that comes later would be before the wide one. */
static void wide_ones_are_not_passed(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(100, NULL);
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    const char *const levels[] = {level_json("l", 1, QUEUE("8", "1", "50")),
                                  level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket many[94], mine, wide, other, later[20];
    update(fc, schemas, levels);
    ASK_MANY(fc, many, "alice", "get");
    ask(fc, &mine, "wendy", "get");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 10), FLOW_QUEUED); /* five are free */
    assert_int_equal(ask(fc, &other, "bob", "get"), FLOW_QUEUED);
    for (size_t i = 0; i < 4; i++)
        flow_leave(fc, &many[i]);
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        assert_int_equal(ask(fc, &later[i], arena_printf(&arena, "u%zu", i), "get"), FLOW_QUEUED);
    assert_int_equal(wide.where, FLOW_WAITING);
    assert_int_equal(other.where, FLOW_WAITING);
    flow_leave(fc, &many[4]);
    assert_int_equal(wide.where, FLOW_INSIDE);
    assert_int_equal(wide.seats, 10);
    assert_int_equal(seated(later, 20) + seated(&other, 1), 0); /* a hundred are taken */
    flow_leave(fc, &wide);
    assert_int_equal(seated(later, 20) + seated(&other, 1), 10);
    flow_leave(fc, &mine);
    leave_all(fc, many, 94);
    leave_all(fc, &other, 1);
    leave_all(fc, later, 20);
    flow_control_free(fc);
}

/* Who gives up lets go whom he kept waiting. */
static void wide_ones_give_up(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(100, NULL);
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    const char *const levels[] = {level_json("l", 1, QUEUE("8", "1", "50")),
                                  level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket many[95], wide, other;
    update(fc, schemas, levels);
    ASK_MANY(fc, many, "alice", "get");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 10), FLOW_QUEUED);
    assert_int_equal(ask(fc, &other, "bob", "get"), FLOW_QUEUED);
    assert_true(flow_cancel(fc, &wide, FLOW_TIMED_OUT));
    assert_int_equal(other.where, FLOW_INSIDE);
    flow_leave(fc, &other);
    leave_all(fc, many, 95);
    flow_control_free(fc);
}

/* Seats that nobody is sure of are saved up for it; what a level is sure of is not touched. */
static void levels_wait_for_wide_ones(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(100, NULL);
    const char *const schemas[] = {schema_json("get", 1, "a"), schema_json("list", 2, "b"),
                                   schema_json("watch", 3, "c"), NULL};
#define LENDS "\"lendablePercent\":100,"
    const char *const levels[] = {level_json("a", 4, LENDS QUEUE("8", "1", "50")),
                                  level_json("b", 4, LENDS QUEUE("8", "1", "50")),
                                  level_json("c", 2, QUEUE("8", "1", "50")),
                                  level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket many[78], wide, later[5], sure[20], borrower;
    update(fc, schemas, levels);
    ASK_MANY(fc, many, "alice", "list"); /* two are left, and twenty are c's */
    assert_int_equal(seated(many, 78), 78);
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 6), FLOW_QUEUED);
    ASK_MANY(fc, later, "bob", "list");
    assert_int_equal(seated(later, 5), 0);
    ASK_MANY(fc, sure, "carol", "watch");
    assert_int_equal(seated(sure, 20), 20);
    assert_int_equal(ask(fc, &borrower, "carol", "watch"), FLOW_QUEUED);
    for (size_t i = 0; i < 3; i++)
        flow_leave(fc, &many[i]);
    assert_int_equal(seated(later, 5) + seated(&borrower, 1), 0);
    assert_int_equal(wide.where, FLOW_WAITING);
    flow_leave(fc, &many[3]);
    assert_int_equal(wide.where, FLOW_INSIDE);
    flow_leave(fc, &many[4]); /* b has 73 of 40, c 20 of 20 */
    assert_int_equal(borrower.where, FLOW_INSIDE);
    assert_int_equal(seated(later, 5), 0);
    flow_leave(fc, &wide);
    leave_all(fc, later, 5);
    leave_all(fc, &borrower, 1);
    leave_all(fc, many, 78);
    leave_all(fc, sure, 20);
    assert_false(flow_control_pressed(fc));
    flow_control_free(fc);
}

/* What is saved up is not for whom has more of his own already; who has less goes first. */
static void needier_levels_do_not_wait(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(100, NULL);
    const char *const schemas[] = {schema_json("get", 1, "a"), schema_json("list", 2, "b"),
                                   schema_json("watch", 3, "c"), NULL};
    const char *const levels[] = {level_json("a", 4, LENDS QUEUE("8", "1", "50")),
                                  level_json("b", 4, LENDS QUEUE("8", "1", "50")),
                                  level_json("c", 2, LENDS REJECT),
                                  level_json("catch-all", 0, REJECT), NULL};
    static struct flow_ticket some[20], many[77], wide, less, more;
    update(fc, schemas, levels);
    ASK_MANY(fc, some, "alice", "get");
    ASK_MANY(fc, many, "alice", "list");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 6), FLOW_QUEUED);
    assert_int_equal(ask(fc, &less, "carol", "watch"), FLOW_SEATED);
    assert_int_equal(ask(fc, &more, "bob", "list"), FLOW_QUEUED);
    leave_all(fc, &more, 1);
    leave_all(fc, &less, 1);
    leave_all(fc, &wide, 1);
    leave_all(fc, some, 20);
    leave_all(fc, many, 77);
    flow_control_free(fc);
}

/* The handSize-th part of a level; and what it is sure of where, all being rounded up, nothing is left to borrow. */
static void widths_have_limits(void **state)
{
    (void)state;
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    static const struct {
        const char *more;
        unsigned others, width; /* levels as large */
    } rows[] = {{QUEUE("64", "1", "9"), 0, 10},
                {QUEUE("64", "20", "9"), 0, 5},
                {QUEUE("64", "1", "9"), 4, 3}, /* of twenty */
                {REJECT, 4, 3},
                {"\"lendablePercent\":85," REJECT, 0, 10},
                {"\"lendablePercent\":85," QUEUE("64", "1", "9"), 13, 1}}; /* of 8, 14 times */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct flow_control *fc = flow_control_new(100, NULL);
        const char *levels[16] = {level_json("l", 1, rows[i].more),
                                  level_json("catch-all", 0, REJECT)};
        Flowcontrol__V1__PriorityLevelConfiguration *l[16];
        Flowcontrol__V1__FlowSchema *f = decode(Flowcontrol__V1__FlowSchema__SCHEMA, schemas[0]);
        size_t n = 2 + rows[i].others;
        static struct flow_ticket wide;
        for (size_t j = 2; j < n; j++)
            levels[j] = level_json(arena_printf(&arena, "x%zu", j), 1, REJECT);
        for (size_t j = 0; j < n; j++)
            l[j] = decode(Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA, levels[j]);
        flow_control_update(fc, &f, 1, l, n);
        if (ask_wide(fc, &wide, "alice", "get", 10) != FLOW_SEATED || wide.seats != rows[i].width)
            fail_msg("row %zu: %u", i, wide.seats);
        leave_all(fc, &wide, 1);
        flow_control_free(fc);
    }
}

/* Whatever a level is like: a wide request gets in where one of one seat does, and never past the limit. */
static void widths_are_within_reach(void **state)
{
    (void)state;
    static const unsigned seats[] = {1, 2, 3, 7, 10, 40, 100, 600};
    static const char *const kinds[] = {"", "\"lendablePercent\":50,", "\"lendablePercent\":100,",
                                        "\"borrowingLimitPercent\":0,",
                                        "\"lendablePercent\":100,\"borrowingLimitPercent\":0,"};
    static const char *const answers[] = {REJECT, QUEUE("8", "1", "9"), QUEUE("8", "6", "9")};
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    for (size_t i = 0; i < ARRAY_LEN(seats) * ARRAY_LEN(kinds) * ARRAY_LEN(answers); i++) {
        unsigned n = seats[i % ARRAY_LEN(seats)];
        const char *kind = kinds[i / ARRAY_LEN(seats) % ARRAY_LEN(kinds)];
        const char *answer = answers[i / ARRAY_LEN(seats) / ARRAY_LEN(kinds)];
        struct flow_control *fc = flow_control_new(n, NULL);
        const char *const levels[] = {
            level_json("l", 3, arena_printf(&arena, "%s%s", kind, answer)),
            level_json("x", 3, REJECT), level_json("y", 2, REJECT),
            level_json("catch-all", 0, REJECT), NULL};
        static struct flow_ticket one, wide;
        update(fc, schemas, levels);
        enum flow_answer narrow = ask(fc, &one, "alice", "get");
        leave_all(fc, &one, 1);
        if (ask_wide(fc, &wide, "alice", "get", 1000) != narrow)
            fail_msg("row %zu of %u seats", i, n);
        if (wide.where == FLOW_INSIDE && (wide.seats > n || wide.seats > 10 || !wide.seats))
            fail_msg("row %zu: %u of %u seats", i, wide.seats, n);
        leave_all(fc, &wide, 1);
        flow_control_free(fc);
    }
}

/* A level that becomes small while somebody waits for ten seats, or none at all. */
static void wide_ones_outlive_their_level(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(100, NULL);
    const char *const schemas[] = {schema_json("get", 1, "l"), NULL};
    const char *const large[] = {level_json("l", 1, QUEUE("8", "1", "50")),
                                 level_json("catch-all", 0, REJECT), NULL};
    const char *const small[] = {
        level_json("l", 1, "\"borrowingLimitPercent\":0," QUEUE("8", "1", "50")),
        level_json("catch-all", 49, REJECT), NULL};
    const char *const none[] = {NULL};
    static struct flow_ticket many[95], wide, again;
    update(fc, schemas, large);
    ASK_MANY(fc, many, "alice", "get");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 10), FLOW_QUEUED);
    assert_int_equal(ask_wide(fc, &again, "bob", "get", 10), FLOW_QUEUED);
    update(fc, schemas, small); /* of two seats */
    assert_int_equal(wide.where, FLOW_WAITING);
    leave_all(fc, many, 94);
    assert_int_equal(wide.where, FLOW_INSIDE);
    assert_int_equal(wide.seats, 1);
    assert_int_equal(again.where, FLOW_WAITING);
    update(fc, none, none);
    leave_all(fc, &many[94], 1);
    leave_all(fc, &wide, 1);
    assert_int_equal(again.where, FLOW_INSIDE);
    leave_all(fc, &again, 1);
    flow_control_free(fc);
}

/* ---- what is told ---- */

/* The text with one space for many and "now" for times that are about now: how long those are changes. */
static const char *in_short(struct buf *out)
{
    struct buf text;
    struct str all = buf_str(out), cell;
    buf_init(&text);
    while (all.n && str_split(&all, ' ', &cell)) {
        int64_t s;
        int32_t ns;
        if (cell.n > 20 && clock_parse_rfc3339(cell.p, cell.n - 1, &s, &ns) &&
            llabs(s - clock_wall_s()) < 60)
            cell = STR("now,");
        if (!cell.n)
            continue;
        buf_append_str(&text, cell);
        buf_append_char(&text, ' ');
    }
    const char *copy = arena_strndup(&arena, text.data, text.len);
    buf_free(&text);
    buf_clear(out);
    return copy;
}

static const char *as_is(struct buf *out)
{
    const char *copy = arena_strndup(&arena, out->data, out->len);
    buf_clear(out);
    return copy;
}

static void tables_are_as_published(void **state)
{
    (void)state;
    struct flow_control *fc = flow_control_new(30, NULL);
    const char *const schemas[] = {schema_json("get", 1, "line"), schema_json("list", 2, "free"),
                                   schema_json("watch", 3, "no-line"), NULL};
    const char *const levels[] = {
        level_json("line", 20, "\"borrowingLimitPercent\":0," QUEUE("8", "1", "2")),
        level_json("no-line", 10, REJECT), level_json("catch-all", 0, REJECT),
        "{\"metadata\":{\"name\":\"free\",\"uid\":\"l-free\"},\"spec\":{"
        "\"type\":\"Exempt\",\"exempt\":{}}}",
        NULL};
    static struct flow_ticket get[20], wide, narrow, full, list, watch;
    struct request_info about = {.verb_str = "list",
                                 .path = "/apis/apps/v1/deployments\n",
                                 .group = "apps",
                                 .version = "v1",
                                 .resource = "deployments",
                                 .subresource = "",
                                 .ns = "",
                                 .name = "x"};
    struct user root = user_named("r\xc3\xb6\xc3\xb6t");
    struct buf out;
    buf_init(&out);
    update(fc, schemas, levels);
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 10), FLOW_QUEUED);
    assert_int_equal(ask(fc, &narrow, "wendy", "get"), FLOW_QUEUED);
    assert_int_equal(ask(fc, &full, "wendy", "get"), FLOW_REFUSED);
    assert_true(flow_cancel(fc, &narrow, FLOW_TIMED_OUT));
    assert_int_equal(ask_wide(fc, &list, "alice", "list", 7), FLOW_SEATED);
    list.about = &about;
    list.user = &root;
    assert_int_equal(ask(fc, &watch, "alice", "watch"), FLOW_SEATED);
    flow_dump_levels(fc, &out);
    assert_string_equal(
        as_is(&out),
        "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, "
        "DispatchedRequests, RejectedRequests, TimedoutRequests, CancelledRequests\n"
        "catch-all,         0,            true,   false,       0,               0,                 "
        "0,                  0,                0,                0\n"
        "free,              0,            false,  false,       0,               1,                 "
        "1,                  0,                0,                0\n"
        "line,              1,            false,  false,       1,               20,                "
        "20,                 1,                1,                0\n"
        "no-line,           0,            false,  false,       0,               1,                 "
        "1,                  0,                0,                0\n");
    leave_all(fc, &get[1], 19);
    assert_int_equal(wide.where, FLOW_INSIDE);
    assert_int_equal(wide.seats, 3);
    flow_leave(fc, &get[0]);
    flow_leave(fc, &watch);
    flow_dump_queues(fc, &out);
    assert_string_equal(
        as_is(&out),
        "PriorityLevelName, Index,  PendingRequests, ExecutingRequests, SeatsInUse, NextDispatchR, "
        "InitialSeatsSum, MaxSeatsSum, TotalWorkSum\n"
        "line,              0,      0,               1,                 3,          <none>,        "
        "0,               0,           <none>\n");
    flow_dump_requests(fc, true, &out);
    assert_string_equal(
        in_short(&out),
        "PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue, FlowDistingsher, "
        "ArriveTime, InitialSeats, FinalSeats, AdditionalLatency, StartTime, UserName, Verb, "
        "APIPath, Namespace, Name, APIVersion, Resource, SubResource\n"
        "free, list, -1, -1, , now, 7, 0, 0s, now, r\xc3\xb6\xc3\xb6t, list, "
        "/apis/apps/v1/deployments?, , x, apps/v1, deployments, \n"
        "line, get, 0, -1, wendy, now, 3, 0, 0s, now, , , , , , , , \n ");
    ASK_MANY(fc, get, "wendy", "get");
    flow_dump_requests(fc, false, &out);
    const char *text = in_short(&out);
    assert_non_null(strstr(text, "StartTime\n"));
    assert_non_null(strstr(text, "\nline, get, 0, 1, wendy, now, 1, 0, 0s, "
                                 "0001-01-01T00:00:00Z\n"));
    leave_all(fc, get, 20);
    leave_all(fc, &wide, 1);
    leave_all(fc, &list, 1);
    buf_free(&out);
    flow_control_free(fc);
}

static void metrics_are_as_published(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct flow_control *fc = flow_control_new(30, m);
    const char *const schemas[] = {schema_json("get", 1, "line"), schema_json("list", 2, "none"),
                                   NULL};
    const char *const levels[] = {
        level_json("line", 20, "\"borrowingLimitPercent\":0," QUEUE("8", "1", "2")),
        level_json("none", 10, REJECT), level_json("catch-all", 0, REJECT), NULL};
    static const char *const lines[] = {
        "nominal_limit_seats{priority_level=\"line\"} 20",
        "current_executing_requests{flow_schema=\"get\",priority_level=\"line\"} 18",
        "current_executing_seats{flow_schema=\"get\",priority_level=\"line\"} 20",
        "current_inqueue_requests{flow_schema=\"get\",priority_level=\"line\"} 1",
        "dispatched_requests_total{flow_schema=\"get\",priority_level=\"line\"} 18",
        "rejected_requests_total{flow_schema=\"get\",priority_level=\"line\",reason=\"time-out\"} "
        "1",
        "request_wait_duration_seconds_bucket{flow_schema=\"get\",priority_level=\"line\",execute="
        "\"true\",le=\"0\"} 18",
        "request_wait_duration_seconds_count{flow_schema=\"get\",priority_level=\"line\",execute="
        "\"false\"} 1",
        "current_executing_requests{flow_schema=\"list\",priority_level=\"none\"} 0"};
    static struct flow_ticket get[17], wide, wait, late;
    struct buf out;
    buf_init(&out);
    update(fc, schemas, levels);
    ASK_MANY(fc, get, "alice", "get");
    assert_int_equal(ask_wide(fc, &wide, "wendy", "get", 10), FLOW_SEATED); /* 15 % */
    ask(fc, &wait, "bob", "get");
    ask(fc, &late, "bob", "get");
    assert_true(flow_cancel(fc, &late, FLOW_TIMED_OUT));
    update(fc, schemas, levels); /* and what was counted stays */
    metrics_render(m, &out);
    buf_append_char(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(out.data, arena_printf(&arena, "apiserver_flowcontrol_%s\n", lines[i])))
            fail_msg("no %s in %s", lines[i], out.data);
    assert_null(strstr(out.data, "request_wait_duration_seconds_count{flow_schema=\"list\""));
    buf_free(&out);
    leave_all(fc, get, 17);
    leave_all(fc, &wait, 1);
    leave_all(fc, &wide, 1);
    metrics_free(m);
    flow_control_free(fc);
}

/* ---- many threads ---- */

#define LOOPS 4
#define JOBS 40 /* of a loop */
#define ROUNDS 50
#define SEATS 40 /* a request holds six of them at most */

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
    unsigned now = atomic_fetch_add(&busy, t->seats) + t->seats, most = atomic_load(&worst);
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
    atomic_fetch_sub(&busy, j->ticket.seats);
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
                          .ticket.width = i % 5 ? 1 : (unsigned)(i % 11),
                          .rounds = ROUNDS,
                          .task.fn = job_start};
        loop_post(j->loop, &j->task);
    }
    struct buf out;
    buf_init(&out);
    for (int i = 0; i < 6000 && atomic_load(&ended) < LOOPS * JOBS; i++) {
        flow_dump_requests(fc, true, &out);
        flow_dump_queues(fc, &out);
        flow_dump_levels(fc, &out);
        buf_clear(&out);
        usleep(10000);
    }
    buf_free(&out);
    for (size_t i = 0; i < LOOPS; i++)
        loop_join(loops[i]);
    assert_int_equal(atomic_load(&ended), LOOPS * JOBS);
    assert_int_equal(atomic_load(&refused), 0);
    assert_in_range(atomic_load(&worst), SEATS - 5, SEATS);
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
        cmocka_unit_test(lists_are_as_wide_as_what_they_read),
        cmocka_unit_test_setup_teardown(wide_ones_are_not_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(wide_ones_give_up, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_wait_for_wide_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(needier_levels_do_not_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(widths_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(widths_are_within_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(wide_ones_outlive_their_level, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_are_as_published, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_are_as_published, setup, teardown),
        cmocka_unit_test_setup_teardown(everybody_is_served, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
