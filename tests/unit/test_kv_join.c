/*
 * Specification of kvstore/members/join.c: which answers a joining member believes; and of the answers' form.
 *
 * Members 1 to 3 are there; 4 was at the address of the one that joins, was removed, and 5 was added there.
 */
#include "kvstore/members/members.h"
#include "base/mem.h"
#include "base/varint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define OLD 4 /* was here under the address of the one that joins; removed */
#define NEW 5 /* was added there after that */
#define CLUSTER 0xc
#define OTHER_CLUSTER 0xd
#define ANSWERS_MAX 8

static const struct kv_member_config own = {
    .name = STR("m4"), .peer_urls = &STR("http://m4:2380"), .peer_urls_len = 1};

/* What a list says: up to entry 80 the old member is there, at 90 nobody, from 100 on the new one. */
struct saying {
    uint64_t member, applied;
    uint64_t change; /* in its log */
    bool stranger;   /* of another cluster */
};

static void set_config(struct member_answer *a, const char *voters, bool learner)
{
    const struct kv_member *self = member_with_url(&a->records, &own);
    for (; *voters; voters++)
        if (*voters != 'x')
            raft_ids_add(&a->config.voters, (uint64_t)(*voters - '0'));
        else if (self && !learner)
            raft_ids_add(&a->config.voters, self->id);
    if (self && learner)
        raft_ids_add(&a->config.learners, self->id);
}

/* `voters`: "123x", x is whoever has the address (a learner when `learner`). */
static void says(struct member_answer *a, const struct saying *s, const char *voters, bool learner)
{
    static const struct str urls[] = {STR("http://m1:2380"), STR("http://m2:2380"),
                                      STR("http://m3:2380")};
    *a = (struct member_answer){.cluster_id = s->stranger ? OTHER_CLUSTER : CLUSTER,
                                .member_id = s->member,
                                .applied = s->applied,
                                .change = s->change,
                                .records.level = 2};
    if (!s->applied) /* it is only joining itself */
        return;
    for (uint64_t i = 0; i < ARRAY_LEN(urls); i++)
        vec_push(&a->records.items,
                 ((struct kv_member){
                     .id = i + 1, .peer_urls = (struct str *)&urls[i], .peer_urls_len = 1}));
    uint64_t id = s->applied <= 80 ? OLD : s->applied >= 100 ? NEW : 0;
    if (id && !s->stranger)
        vec_push(&a->records.items,
                 ((struct kv_member){
                     .id = id, .peer_urls = (struct str *)own.peer_urls, .peer_urls_len = 1}));
    if (s->applied >= 90)
        vec_push(&a->records.removed, OLD);
    set_config(a, voters, learner);
}

static void who_is_believed(void **state)
{
    static const struct {
        const char *what, *voters;
        bool learner;
        struct saying says[ANSWERS_MAX];
        int code;
        uint64_t id;
        const char *why;
    } cases[] = {
        {"nobody answers", "123x", false, {{0}}, ERR_UNAVAILABLE, 0, "none of the members"},
        {"all are up to date", "123x", false, {{1, 100}, {2, 110}, {3, 120}}, 0, NEW, NULL},
        {"a majority of the others is enough", "123x", false, {{1, 100}, {3, 80}}, 0, NEW, NULL},
        {"the newest counts, whoever comes first",
         "123x",
         false,
         {{3, 80}, {2, 100}},
         0,
         NEW,
         NULL},
        {"one that lags is not a majority",
         "123x",
         false,
         {{3, 80}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 3 other voters answer, and only a majority knows who is a member: waiting "
         "for "
         "(http://m1:2380), (http://m2:2380)"},
        {"nor is one that is up to date",
         "123x",
         false,
         {{1, 100}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 3"},
        {"answering twice does not help",
         "123x",
         false,
         {{3, 80}, {3, 80}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of"},
        {"of two others both are needed",
         "12x",
         false,
         {{1, 100}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 2"},
        {"a learner: a majority of all voters",
         "123",
         true,
         {{3, 80}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 3"},
        {"  is enough", "123", true, {{3, 80}, {1, 100}}, 0, NEW, NULL},
        {"a learner's answer is no voter's",
         "12",
         true,
         {{3, 100}, {1, 100}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 2"},
        {"the second of two: the other one is alone", "1x", false, {{1, 100}}, 0, NEW, NULL},
        {"after --force-new-cluster: one is the majority", "1", true, {{1, 100}}, 0, NEW, NULL},
        {"not added", "123", false, {{1, 90}, {2, 90}}, ERR_NOT_FOUND, 0, "add it first"},
        {"not added, as far as one knows",
         "123",
         false,
         {{1, 90}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 3"},
        /* the removal is in a log, and nobody who answers has applied it */
        {"a change that is not decided yet",
         "123",
         true,
         {{2, 80, 90}, {3, 70}},
         ERR_UNAVAILABLE,
         0,
         "waiting for the cluster to decide a change of membership that member 2 has in its log "
         "(entry 90)"},
        {"  in the log of one that lags, applied by another",
         "123",
         true,
         {{2, 80, 90}, {3, 100}},
         0,
         NEW,
         NULL},
        {"  of a voter: those who answer decide it",
         "12x",
         false,
         {{1, 80, 90}, {2, 80}},
         ERR_UNAVAILABLE,
         0,
         "waiting for the cluster to decide"},
        {"  of a voter without whom nothing is decided",
         "123x",
         false,
         {{1, 100, 110}, {2, 100}},
         0,
         NEW,
         NULL},
        {"  the same with two voters", "1x", false, {{1, 100, 110}}, 0, NEW, NULL},
        /* others than members */
        {"who answers is joining itself",
         "123",
         true,
         {{3, 0}},
         ERR_UNAVAILABLE,
         0,
         "only joining"},
        {"who answers was removed: its list is of the past",
         "123",
         true,
         {{OLD, 200}, {1, 100}, {2, 90}},
         0,
         NEW,
         NULL},
        {"another cluster is no majority of this one",
         "123",
         true,
         {{1, 300, 0, true}, {2, 300, 0, true}, {3, 100}},
         ERR_UNAVAILABLE,
         0,
         "only 1 of the 3"},
        {"  and is not the one to join",
         "123",
         true,
         {{1, 300, 0, true}, {2, 100}, {3, 100}},
         0,
         NEW,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct member_answer answers[ANSWERS_MAX], *newest;
        const struct kv_member *self;
        struct error err = {0};
        size_t n = 0;
        for (; n < ANSWERS_MAX && cases[i].says[n].member; n++)
            says(&answers[n], &cases[i].says[n], cases[i].voters, cases[i].learner);
        int rc = members_judge(answers, n, &own, &newest, &self, &err);
        if (rc != cases[i].code || (rc == 0 && self->id != cases[i].id) ||
            (cases[i].why && !strstr(err.message, cases[i].why)))
            fail_msg("%s: code %d, %s", cases[i].what, rc, rc ? err.message : "another id");
        assert_true(!newest == (n == 0));
        while (n > 0)
            member_answer_free(&answers[--n]);
    }
}

/* ---- the form of an answer (kvstore/members/peers.c) ---- */

static void encode(struct buf *b, const struct member_answer *a, bool with_config)
{
    struct buf part;
    buf_init(&part);
    buf_append_varint(b, 1);
    buf_append_varint(b, a->cluster_id);
    buf_append_varint(b, a->member_id);
    buf_append_varint(b, a->applied);
    members_encode(&a->records, &part);
    buf_append_varint_bytes(b, buf_str(&part));
    buf_clear(&part);
    cluster_encode(&a->records, &part);
    buf_append_varint_bytes(b, buf_str(&part));
    buf_append_varint(b, 2);
    buf_append_varint(b, 1);
    buf_append_varint(b, OLD);
    if (with_config) {
        buf_clear(&part);
        buf_append_varint(b, a->change);
        raft_config_encode(&a->config, &part);
        buf_append_varint_bytes(b, buf_str(&part));
    }
    buf_free(&part);
}

static void answers_come_whole_or_not_at_all(void **state)
{
    const struct saying s = {2, 100, 105, false};
    struct member_answer a, back;
    struct arena arena;
    struct error err;
    struct buf b, old;
    (void)state;
    arena_init(&arena);
    buf_init(&b);
    buf_init(&old);
    says(&a, &s, "123", true);
    encode(&b, &a, true);
    encode(&old, &a, false);
    assert_int_equal(member_answer_decode(buf_str(&b), &arena, &back, &err), 0);
    assert_true(back.cluster_id == CLUSTER && back.member_id == 2 && back.applied == 100);
    assert_true(back.change == 105 && raft_config_equal(&back.config, &a.config));
    assert_true(back.heard.len == 2 && back.heard.items[1] == OLD);
    assert_true(back.records.items.len == 4 && back.records.removed.len == 1);
    member_answer_free(&back);

    /* A member of a program that did not say who votes: all are held to. */
    assert_int_equal(member_answer_decode(buf_str(&old), &arena, &back, &err), 0);
    assert_true(back.change == 0 && back.config.voters.len == 4);
    assert_true(raft_ids_has(&back.config.voters, NEW));
    member_answer_free(&back);

    for (size_t n = 0; n < b.len; n++) {
        int rc = member_answer_decode(str_make(b.data, n), &arena, &back, &err);
        assert_int_equal(rc < 0, n != old.len);
        member_answer_free(&back);
    }
    member_answer_free(&a);
    buf_free(&b);
    buf_free(&old);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_believed),
        cmocka_unit_test(answers_come_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
