/*
 * Configurations: changes as a table, encodings, and quorums against an obvious, slow oracle.
 */
#include "base/mem.h"
#include "base/random.h"
#include "raft/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* "1 2 3 | 1 2 / 4 5 ; 6": voters | outgoing / learners ; learners to be */
static struct raft_config parse(const char *text)
{
    struct raft_config c = {0};
    struct raft_id_set *into = &c.voters;
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            into = &c.outgoing;
        else if (*p == '/')
            into = &c.learners;
        else if (*p == ';')
            into = &c.learners_next;
        else if (*p >= '1' && *p <= '9')
            raft_ids_add(into, (uint64_t)(*p - '0'));
    }
    return c;
}

static void id_sets(void **state)
{
    (void)state;
    struct raft_id_set s = {0};
    for (uint64_t id = RAFT_MEMBERS_MAX; id >= 1; id--) {
        raft_ids_add(&s, id);
        raft_ids_add(&s, id);
    }
    assert_int_equal(s.len, RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < s.len; i++)
        assert_int_equal(s.ids[i], i + 1);
    raft_ids_remove(&s, 3);
    raft_ids_remove(&s, 99);
    assert_int_equal(s.len, RAFT_MEMBERS_MAX - 1);
    assert_false(raft_ids_has(&s, 3));
    assert_true(raft_ids_has(&s, 4));
}

/* ops: "+4" voter, "l4" learner, "-4" remove, "u4" update, "j" joint in any case, "leave" */
static struct raft_change parse_change(const char *text)
{
    struct raft_change c = {0};
    if (strcmp(text, "leave") == 0) {
        c.leave = true;
        return c;
    }
    for (const char *p = text; *p; p++) {
        enum raft_change_op_kind kind = *p == '+'   ? RAFT_ADD_VOTER
                                        : *p == 'l' ? RAFT_ADD_LEARNER
                                        : *p == '-' ? RAFT_REMOVE
                                                    : RAFT_UPDATE;
        if (*p == 'j')
            c.joint = true;
        else if (*p != ' ')
            c.ops[c.ops_len++] = (struct raft_change_op){kind, (uint64_t)(*++p - '0')};
    }
    return c;
}

static void changes(void **state)
{
    (void)state;
    static const struct {
        const char *from, *change, *to, *refused; /* to or refused */
    } cases[] = {
        {"", "+1", "1", NULL},
        {"1", "+2", "1 2", NULL},
        {"1 2 3", "-2", "1 3", NULL},
        {"1 2 3", "l4", "1 2 3 / 4", NULL},
        {"1 2 3 / 4", "+4", "1 2 3 4", NULL},
        {"1 2 3", "l3", "1 2 / 3", NULL},
        {"1 2 3", "u2", "1 2 3", NULL},
        {"1 2 3", "j+4", "1 2 3 4 | 1 2 3", NULL},
        {"1 2 3", "+4-1", "2 3 4 | 1 2 3", NULL},
        {"1 2 3", "+4+5-1-2-3", "4 5 | 1 2 3", NULL},
        {"1 2 3", "l1+4", "2 3 4 | 1 2 3 ; 1", NULL},
        {"2 3 4 | 1 2 3 ; 1", "leave", "2 3 4 / 1", NULL},
        {"4 5 | 1 2 3", "leave", "4 5", NULL},
        {"1 2 3 / 4", "-4l5", "1 2 3 / 5", NULL},
        {"1 2 3", "leave", NULL, "no joint configuration"},
        {"4 5 | 1 2 3", "+6", NULL, "must be left first"},
        {"1", "-1", NULL, "last voter"},
        {"1", "l1", NULL, "last voter"},
        {"1 2 3", "-9", NULL, "not a member"},
        {"1 2 3", "u9", NULL, "not a member"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_config from = parse(cases[i].from), to;
        struct raft_change change = parse_change(cases[i].change);
        struct error err;
        int rc = raft_config_change(&from, &change, &to, &err);
        if (cases[i].refused) {
            assert_int_equal(rc, ERR_INVALID);
            assert_non_null(strstr(err.message, cases[i].refused));
            continue;
        }
        struct raft_config wanted = parse(cases[i].to);
        assert_int_equal(rc, 0);
        if (!raft_config_equal(&to, &wanted))
            fail_msg("%s with %s is not %s", cases[i].from, cases[i].change, cases[i].to);
    }
}

/* Random changes from random configurations: the result is valid, and majorities of what was before
 * and what comes after always meet. */
static void changes_keep_quorums_together(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    struct raft_config c = parse("1 2 3");
    for (int i = 0; i < 20000; i++) {
        struct raft_change change = {.joint = rng_below(&rng, 4) == 0};
        if (raft_config_is_joint(&c))
            change.leave = true;
        else
            change.ops_len = 1 + (uint32_t)rng_below(&rng, 4);
        for (uint32_t k = 0; k < change.ops_len; k++)
            change.ops[k] = (struct raft_change_op){
                (enum raft_change_op_kind)(1 + rng_below(&rng, 4)), 1 + rng_below(&rng, 7)};
        struct raft_config before = c;
        if (raft_config_change(&before, &change, &c, NULL) < 0) {
            assert_true(raft_config_equal(&before, &c));
            continue;
        }
        assert_true(raft_config_valid(&c));
        /* one voter more or less, or the old voters have a say of their own */
        uint32_t moved = 0;
        for (uint64_t id = 1; id <= 7; id++)
            moved += raft_ids_has(&before.voters, id) != raft_ids_has(&c.voters, id);
        if (!raft_config_is_joint(&before) && moved > 1)
            assert_true(raft_ids_equal(&c.outgoing, &before.voters));
    }
}

/* ---- quorums ---- */

struct votes {
    uint64_t match[10];
    int vote[10];
};

static uint64_t match_of(void *ctx, uint64_t id)
{
    return ((struct votes *)ctx)->match[id];
}

static int vote_of(void *ctx, uint64_t id)
{
    return ((struct votes *)ctx)->vote[id];
}

/* More than half of the set satisfies it, counted one by one. */
static bool oracle_majority(const struct raft_id_set *s, const bool yes[10])
{
    int have = 0, all = 0;
    for (uint64_t id = 1; id < 10; id++)
        if (raft_ids_has(s, id)) {
            all++;
            have += yes[id];
        }
    return all == 0 || 2 * have > all;
}

static bool oracle_quorum(const struct raft_config *c, const bool yes[10])
{
    return oracle_majority(&c->voters, yes) && oracle_majority(&c->outgoing, yes);
}

/* The highest index that a quorum reaches: try all of them. */
static uint64_t oracle_index(const struct raft_config *c, const struct votes *v)
{
    for (uint64_t index = 20; index > 0; index--) {
        bool yes[10];
        for (int id = 0; id < 10; id++)
            yes[id] = v->match[id] >= index;
        if (oracle_quorum(c, yes))
            return index;
    }
    return 0;
}

static enum raft_vote oracle_vote(const struct raft_config *c, const struct votes *v)
{
    bool granted[10], possible[10];
    for (int id = 0; id < 10; id++) {
        granted[id] = v->vote[id] > 0;
        possible[id] = v->vote[id] >= 0;
    }
    if (oracle_quorum(c, granted))
        return RAFT_VOTE_WON;
    return oracle_quorum(c, possible) ? RAFT_VOTE_PENDING : RAFT_VOTE_LOST;
}

static void quorums_agree_with_the_oracle(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 12);
    for (int i = 0; i < 100000; i++) {
        struct raft_config c = {0};
        struct votes v;
        bool joint = rng_below(&rng, 2);
        raft_ids_add(&c.voters, 1 + rng_below(&rng, 9));
        for (uint64_t id = 1; id < 10; id++) {
            if (rng_below(&rng, 2))
                raft_ids_add(&c.voters, id);
            if (joint && rng_below(&rng, 2))
                raft_ids_add(&c.outgoing, id);
            v.match[id] = rng_below(&rng, 20);
            v.vote[id] = (int)rng_below(&rng, 3) - 1;
        }
        v.match[0] = 0;
        v.vote[0] = 0;
        assert_int_equal(raft_quorum_index(&c, match_of, &v), oracle_index(&c, &v));
        assert_int_equal(raft_quorum_vote(&c, vote_of, &v), oracle_vote(&c, &v));
    }
}

static void nobody_decides_nothing(void **state)
{
    (void)state;
    struct raft_config c = {0};
    struct votes v = {{9, 9}, {1, 1}};
    assert_int_equal(raft_quorum_index(&c, match_of, &v), 0);
    assert_int_equal(raft_quorum_vote(&c, vote_of, &v), RAFT_VOTE_LOST);
}

/* ---- encodings ---- */

static void encodings(void **state)
{
    (void)state;
    static const char *const configs[] = {"", "1", "1 2 3 / 4", "2 3 4 | 1 2 3 / 5 ; 1"};
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        struct raft_config c = parse(configs[i]), back;
        struct buf b;
        buf_init(&b);
        raft_config_encode(&c, &b);
        assert_int_equal(raft_config_decode(buf_str(&b), &back, NULL), 0);
        assert_true(raft_config_equal(&c, &back));
        for (size_t n = 0; n < b.len; n++) /* cut anywhere: refused */
            assert_int_equal(raft_config_decode(str_make(b.data, n), &back, NULL), ERR_CORRUPT);
        buf_append_char(&b, 0);
        assert_int_equal(raft_config_decode(buf_str(&b), &back, NULL), ERR_CORRUPT);
        buf_free(&b);
    }
    struct raft_change change = parse_change("j+4-1l5"), back;
    change.context = STR("addresses");
    struct buf b;
    buf_init(&b);
    raft_change_encode(&change, &b);
    assert_int_equal(raft_change_decode(buf_str(&b), &back, NULL), 0);
    assert_int_equal(back.ops_len, 3);
    assert_true(back.joint && !back.leave && str_eqz(back.context, "addresses"));
    assert_int_equal(back.ops[2].kind, RAFT_ADD_LEARNER);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(raft_change_decode(str_make(b.data, n), &back, NULL), ERR_CORRUPT);
    buf_free(&b);
}

/* Encodings of configurations that break the rules. */
static void invalid_configurations_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"| 1 2", "/ 1", "1 2 / 2", "1 | 2 / 2", "1 2 ; 1", "1 ; 3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct raft_config c = parse(bad[i]), back;
        struct buf b;
        buf_init(&b);
        raft_config_encode(&c, &b);
        assert_int_equal(raft_config_decode(buf_str(&b), &back, NULL), ERR_CORRUPT);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_sets),
        cmocka_unit_test(changes),
        cmocka_unit_test(changes_keep_quorums_together),
        cmocka_unit_test(quorums_agree_with_the_oracle),
        cmocka_unit_test(nobody_decides_nothing),
        cmocka_unit_test(encodings),
        cmocka_unit_test(invalid_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
