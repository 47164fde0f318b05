/*
 * The checkers of tests/robustness/ on histories with known faults, which they must reject by name, and on
 * sound ones, which they must accept.
 */
#include "tests/robustness/check_append.h"
#include "tests/robustness/check_lease.h"
#include "tests/robustness/check_lock.h"
#include "tests/robustness/check_revisions.h"
#include "tests/robustness/check_set.h"
#include "tests/robustness/check_watch.h"

#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include <setjmp.h>

#include <cmocka.h>

#define ITEMS(type, ...) (type[]){__VA_ARGS__}, ARRAY_LEN(((type[]){__VA_ARGS__}))

static void assert_sound(const struct verdict *v)
{
    if (v->bad)
        fail_msg("a sound history was rejected: %s", v->why);
}

static void assert_found(const struct verdict *v, const char *what)
{
    if (!v->bad || !strstr(v->why, what))
        fail_msg("wanted \"%s\", got \"%s\"", what, v->bad ? v->why : "sound");
}

/* ---- register with revisions ---- */

static struct rev_op put(uint64_t from, uint64_t to, int64_t rev, uint64_t value)
{
    return (struct rev_op){
        .kind = REV_PUT, .start_ns = from, .end_ns = to, .revision = rev, .value = value};
}
static struct rev_op lost_put(uint64_t from, uint64_t value)
{
    return (struct rev_op){.kind = REV_PUT, .unknown = true, .start_ns = from, .value = value};
}
static struct rev_op drop(uint64_t from, uint64_t to, int64_t rev)
{
    return (struct rev_op){.kind = REV_DELETE, .start_ns = from, .end_ns = to, .revision = rev};
}
static struct rev_op lost_drop(uint64_t from)
{
    return (struct rev_op){.kind = REV_DELETE, .unknown = true, .start_ns = from};
}
static struct rev_op cas(uint64_t from, uint64_t to, int64_t rev, uint64_t expected, uint64_t value)
{
    return (struct rev_op){.kind = REV_CAS,
                           .start_ns = from,
                           .end_ns = to,
                           .revision = rev,
                           .expected = expected,
                           .value = value};
}
/* A read at header revision `rev` that saw a value of (mod, create, version). */
static struct rev_op get(uint64_t from, uint64_t to, int64_t rev, uint64_t value, int64_t mod,
                         int64_t create, int64_t version)
{
    return (struct rev_op){.kind = REV_GET,
                           .start_ns = from,
                           .end_ns = to,
                           .revision = rev,
                           .value = value,
                           .mod = mod,
                           .create = create,
                           .version = version};
}
static struct rev_op nothing(uint64_t from, uint64_t to, int64_t rev)
{
    return (struct rev_op){.kind = REV_GET, .start_ns = from, .end_ns = to, .revision = rev};
}

static struct verdict revisions(struct rev_op *ops, size_t n)
{
    struct verdict v = {0};
    check_revisions(ops, n, &v);
    return v;
}
#define REV_SOUND(...)                                                    \
    do {                                                                  \
        struct verdict v_ = revisions(ITEMS(struct rev_op, __VA_ARGS__)); \
        assert_sound(&v_);                                                \
    } while (0)
#define REV_FOUND(what, ...)                                              \
    do {                                                                  \
        struct verdict v_ = revisions(ITEMS(struct rev_op, __VA_ARGS__)); \
        assert_found(&v_, what);                                          \
    } while (0)

static void revisions_sound(void **state)
{
    (void)state;
    REV_SOUND(nothing(1, 2, 1));
    REV_SOUND(put(1, 2, 2, 7), get(3, 4, 2, 7, 2, 2, 1));
    REV_SOUND(put(1, 2, 2, 7), cas(3, 4, 3, 7, 8), get(5, 6, 3, 8, 3, 2, 2));
    REV_SOUND(put(1, 2, 2, 7), drop(3, 4, 3), nothing(5, 6, 3), put(7, 8, 4, 9),
              get(9, 10, 4, 9, 4, 4, 1));
    /* unanswered: took effect, seen; or did not */
    REV_SOUND(put(1, 2, 2, 7), lost_put(3, 8), get(5, 6, 3, 8, 3, 2, 2));
    REV_SOUND(put(1, 2, 2, 7), lost_put(3, 8), get(5, 6, 2, 7, 2, 2, 1));
    REV_SOUND(put(1, 2, 2, 7), lost_drop(3), nothing(5, 6, 3));
    /* concurrent writes: revisions in either order; a concurrent read from either side */
    REV_SOUND(put(1, 10, 3, 7), put(1, 10, 2, 8), get(11, 12, 3, 7, 3, 2, 2));
    REV_SOUND(put(1, 10, 2, 7), nothing(2, 3, 1), get(4, 5, 2, 7, 2, 2, 1));
    /* a serializable read may be late, and is right for its own revision */
    struct rev_op late = nothing(5, 6, 1);
    late.serializable = true;
    REV_SOUND(put(1, 2, 2, 7), late);
}

static void revisions_faults(void **state)
{
    (void)state;
    REV_FOUND("out of thin air", get(1, 2, 2, 5, 2, 2, 1));
    REV_FOUND("lost write", put(1, 2, 2, 7), nothing(3, 4, 2));
    REV_FOUND("stale read", put(1, 2, 2, 7), put(3, 4, 3, 8), get(5, 6, 3, 7, 2, 2, 1));
    REV_FOUND("back in time", put(1, 2, 2, 7), put(3, 4, 3, 8), get(5, 6, 2, 7, 2, 2, 1));
    REV_FOUND("back in time", put(1, 2, 3, 7), put(3, 4, 2, 8));
    REV_FOUND("two writes", put(1, 2, 2, 7), put(3, 4, 2, 8));
    REV_FOUND("applied twice", lost_put(1, 7), get(3, 4, 2, 7, 2, 2, 1), get(5, 6, 5, 7, 5, 2, 3));
    REV_FOUND("applied twice", put(1, 2, 2, 7), get(3, 4, 4, 7, 4, 2, 2));
    REV_FOUND("lost update", put(1, 2, 2, 7), put(3, 4, 3, 8), cas(5, 6, 4, 7, 9));
    REV_FOUND("lost update", put(1, 2, 2, 7), cas(3, 9, 3, 7, 8), cas(3, 9, 4, 7, 9));
    REV_FOUND("before it was written", get(1, 2, 2, 7, 2, 2, 1), lost_put(3, 7));
    REV_FOUND("version", put(1, 2, 2, 7), get(3, 4, 2, 7, 2, 2, 2));
    REV_FOUND("do not go together", put(1, 2, 2, 7), put(3, 4, 3, 8), put(5, 6, 4, 9),
              get(3, 4, 3, 8, 3, 2, 2), get(7, 8, 4, 9, 4, 2, 2));
    REV_FOUND("do not go together", put(1, 2, 2, 7), put(3, 4, 3, 8), get(2, 3, 2, 7, 2, 2, 1),
              get(5, 6, 3, 8, 3, 3, 1), get(7, 8, 3, 8, 3, 2, 2));
    REV_FOUND("has create", put(1, 9, 2, 7), get(3, 4, 1, 7, 2, 2, 1));
    struct rev_op other = get(3, 4, 2, 7, 2, 2, 1);
    other.key = 1;
    REV_FOUND("found on key", put(1, 2, 2, 7), other);
}

/* ---- set ---- */

static struct set_add add(uint64_t from, uint64_t to, int64_t rev, uint64_t element)
{
    return (struct set_add){.element = element, .revision = rev, .start_ns = from, .end_ns = to};
}
static struct set_add lost_add(uint64_t from, uint64_t element)
{
    return (struct set_add){.element = element, .unknown = true, .start_ns = from};
}
#define ELEMENTS(...) \
    .elements = (uint64_t[]){__VA_ARGS__}, .elements_len = ARRAY_LEN(((uint64_t[]){__VA_ARGS__}))
#define READ(from, to, rev, ...)                                               \
    (struct set_read)                                                          \
    {                                                                          \
        ELEMENTS(__VA_ARGS__), .revision = rev, .start_ns = from, .end_ns = to \
    }
#define NO_ELEMENTS(from, to, rev)                      \
    (struct set_read)                                   \
    {                                                   \
        .revision = rev, .start_ns = from, .end_ns = to \
    }
#define ADDS(...) ITEMS(struct set_add, __VA_ARGS__)
#define READS(...) ITEMS(struct set_read, __VA_ARGS__)

static void set_sound(void **state)
{
    (void)state;
    struct verdict v = {0};
    check_set(ADDS(add(1, 2, 2, 1), add(3, 8, 3, 2), lost_add(3, 3), lost_add(3, 4)),
              READS(NO_ELEMENTS(0, 1, 1), READ(4, 5, 2, 1), READ(4, 6, 4, 2, 1, 3),
                    READ(9, 10, 4, 1, 2, 3)),
              &v);
    assert_sound(&v);
}

static void set_faults(void **state)
{
    (void)state;
    struct verdict v = {0};
    check_set(ADDS(add(1, 2, 2, 1)), READS(NO_ELEMENTS(3, 4, 1)), &v);
    assert_found(&v, "lost write");
    v = (struct verdict){0};
    check_set(ADDS(add(1, 2, 2, 1)), READS(READ(3, 4, 2, 1, 9)), &v);
    assert_found(&v, "never added");
    v = (struct verdict){0};
    check_set(ADDS(lost_add(5, 1)), READS(READ(3, 4, 2, 1)), &v);
    assert_found(&v, "before it was added");
    v = (struct verdict){0};
    check_set(ADDS(lost_add(1, 1)), READS(READ(3, 4, 2, 1), NO_ELEMENTS(5, 6, 2)), &v);
    assert_found(&v, "vanished");
    v = (struct verdict){0};
    check_set(ADDS(add(1, 2, 2, 1)), READS(READ(3, 4, 2, 1, 1)), &v);
    assert_found(&v, "duplicate");
    v = (struct verdict){0}; /* concurrent, so only the revision tells */
    check_set(ADDS(add(1, 9, 2, 1), add(1, 9, 3, 2)), READS(READ(3, 4, 3, 2)), &v);
    assert_found(&v, "hole");
    v = (struct verdict){0};
    check_set(ADDS(add(1, 9, 5, 1)), READS(READ(3, 4, 3, 1)), &v);
    assert_found(&v, "of revision 5");
}

/* ---- list-append ---- */

#define A(k, v)                              \
    {                                        \
        .append = true, .key = k, .value = v \
    }
#define R(k, ...)                                                   \
    {                                                               \
        .key = k, .list = (uint64_t[]){0, ##__VA_ARGS__} + 1,       \
        .list_len = ARRAY_LEN(((uint64_t[]){0, ##__VA_ARGS__})) - 1 \
    }
#define T(from, to, how, ...)                                                      \
    {                                                                              \
        .ops = (struct append_op[]){__VA_ARGS__},                                  \
        .ops_len = ARRAY_LEN(((struct append_op[]){__VA_ARGS__})), .outcome = how, \
        .start_ns = from, .end_ns = to                                             \
    }
#define OK(from, to, ...) T(from, to, APPEND_COMMITTED, __VA_ARGS__)
#define NO(from, to, ...) T(from, to, APPEND_ABORTED, __VA_ARGS__)
#define MAYBE(from, ...) T(from, 0, APPEND_UNKNOWN, __VA_ARGS__)
#define APPEND_SOUND(...)                             \
    do {                                              \
        struct verdict v_ = {0};                      \
        const struct append_txn t_[] = {__VA_ARGS__}; \
        check_append(t_, ARRAY_LEN(t_), &v_);         \
        assert_sound(&v_);                            \
    } while (0)
#define APPEND_FOUND(what, ...)                       \
    do {                                              \
        struct verdict v_ = {0};                      \
        const struct append_txn t_[] = {__VA_ARGS__}; \
        check_append(t_, ARRAY_LEN(t_), &v_);         \
        assert_found(&v_, what);                      \
    } while (0)

static void append_sound(void **state)
{
    (void)state;
    APPEND_SOUND(OK(1, 2, A(0, 1)), OK(3, 4, R(0, 1), A(0, 2)), OK(5, 6, R(0, 1, 2)));
    APPEND_SOUND(OK(1, 2, A(0, 1), A(0, 2), R(0, 1, 2)),
                 OK(3, 4, R(0, 1, 2), A(0, 3), R(0, 1, 2, 3)));
    /* concurrent writers, one reader in between */
    APPEND_SOUND(OK(1, 9, A(0, 1)), OK(1, 9, A(0, 2)), OK(2, 3, R(0, 2)), OK(10, 11, R(0, 2, 1)));
    /* an unanswered append appears late, another never */
    APPEND_SOUND(MAYBE(1, A(0, 1)), MAYBE(1, A(0, 7)), OK(2, 3, R(0)), OK(4, 5, R(0, 1)));
    APPEND_SOUND(NO(1, 2, A(0, 1)), OK(3, 4, R(0)));
    /* two keys, snapshots that agree */
    APPEND_SOUND(OK(1, 8, A(0, 1), A(1, 1)), OK(2, 7, R(0), R(1)), OK(2, 7, R(0, 1), R(1, 1)));
}

static void append_faults(void **state)
{
    (void)state;
    APPEND_FOUND("garbage", OK(1, 2, R(0, 5)));
    APPEND_FOUND("G1a", NO(1, 2, A(0, 1)), OK(3, 4, R(0, 1)));
    APPEND_FOUND("G1b", OK(1, 9, A(0, 1), A(0, 2)), OK(2, 3, R(0, 1)));
    APPEND_FOUND("duplicate", OK(1, 2, A(0, 1)), OK(3, 4, R(0, 1, 1)));
    APPEND_FOUND("incompatible order", OK(1, 2, A(0, 1)), OK(1, 2, A(0, 2)), OK(3, 4, R(0, 1, 2)),
                 OK(3, 4, R(0, 2, 1)));
    APPEND_FOUND("internal", OK(1, 2, A(0, 1), R(0)));
    APPEND_FOUND("internal", OK(1, 2, A(0, 1)), OK(1, 9, R(0), R(0, 1)));
    APPEND_FOUND("lost append", OK(1, 2, A(0, 1)), OK(3, 4, R(0)));
    /* G0: two transactions, each before the other on one key */
    APPEND_FOUND("G0:", OK(1, 9, A(0, 1), A(1, 1)), OK(1, 9, A(0, 2), A(1, 2)),
                 OK(10, 11, R(0, 1, 2), R(1, 2, 1)));
    /* G1c: each reads what the other wrote */
    APPEND_FOUND("G1c:", OK(1, 9, A(0, 1), R(1, 2)), OK(1, 9, A(1, 2), R(0, 1)));
    /* read skew: one key before the other transaction, one after it */
    APPEND_FOUND("G-single:", OK(1, 9, A(0, 1), A(1, 1)), OK(1, 9, R(0), R(1, 1)),
                 OK(10, 11, R(0, 1)));
    /* lost update: both read nothing and append */
    APPEND_FOUND("G-single:", OK(1, 9, R(0), A(0, 1)), OK(1, 9, R(0), A(0, 2)),
                 OK(10, 11, R(0, 1, 2)));
    /* write skew: each misses the other's append */
    APPEND_FOUND("G2:", OK(1, 9, R(0), A(1, 1)), OK(1, 9, R(1), A(0, 1)),
                 OK(10, 11, R(0, 1), R(1, 1)));
    /* serializable, but not in the order of time: a stale read */
    APPEND_FOUND("G-single-realtime:", OK(1, 2, A(0, 1)), OK(3, 4, A(0, 2)), OK(5, 6, R(0, 1)),
                 OK(7, 8, R(0, 1, 2)));
    /* written in the wrong order of time */
    APPEND_FOUND("G0-realtime:", OK(1, 2, A(0, 1)), OK(3, 4, A(0, 2)), OK(5, 6, R(0, 2, 1)));
    /* read from the future: only unknown writers can hide it from single lists */
    APPEND_FOUND("G1c-realtime:", OK(1, 2, R(0, 1)), OK(3, 4, A(0, 1)));
    /* two stale reads of two keys that only together contradict the clock */
    APPEND_FOUND("realtime", OK(1, 2, A(0, 1)), OK(1, 9, A(1, 1)), OK(3, 4, R(0), R(1)),
                 OK(10, 11, R(0, 1), R(1, 1)));
}

/* Random serial executions are sound; with two lists of one read swapped against time they are not. */
static void append_random(void **state)
{
    (void)state;
    enum { N = 60, KEYS = 3 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        uint64_t lists[KEYS][N];
        size_t len[KEYS] = {0};
        static struct append_op ops[N][2];
        struct append_txn txns[N + 1];
        for (uint32_t t = 0; t < N; t++) {
            for (size_t i = 0; i < 2; i++) {
                uint32_t key = (uint32_t)(t + i) % KEYS;
                ops[t][i] =
                    (struct append_op){.key = key, .list = lists[key], .list_len = len[key]};
                if (rng_below(&rng, 2) && t > 0) {
                    ops[t][i] = (struct append_op){.append = true, .key = key, .value = t + 1};
                    lists[key][len[key]++] = t + 1;
                }
            }
            /* overlapping its neighbours */
            txns[t] = (struct append_txn){.ops = ops[t],
                                          .ops_len = 2,
                                          .outcome = APPEND_COMMITTED,
                                          .start_ns = t * 10 + 101 - rng_below(&rng, 2) * 15,
                                          .end_ns = t * 10 + 109 + rng_below(&rng, 30)};
        }
        struct append_op all[KEYS];
        for (uint32_t k = 0; k < KEYS; k++)
            all[k] = (struct append_op){.key = k, .list = lists[k], .list_len = len[k]};
        txns[N] =
            (struct append_txn){.ops = all, .ops_len = KEYS, .start_ns = 10000, .end_ns = 10001};
        struct verdict v = {0};
        check_append(txns, N + 1, &v);
        assert_sound(&v);
        ops[N - 1][0] = (struct append_op){.key = 0, .list = lists[0], .list_len = len[0] / 2};
        v = (struct verdict){0};
        check_append(txns, N + 1, &v);
        assert_true(v.bad || len[0] / 2 >= len[0] - 2);
    }
}

/* ---- watch ---- */

static struct watch_event ev(int64_t rev, uint64_t key, uint64_t value, int64_t create,
                             int64_t version)
{
    return (struct watch_event){
        .revision = rev, .key = key, .value = value, .create = create, .version = version};
}
#define EV(...)                                    \
    .events = (struct watch_event[]){__VA_ARGS__}, \
    .events_len = ARRAY_LEN(((struct watch_event[]){__VA_ARGS__}))
#define GOT(rev, ...)                                          \
    {                                                          \
        .kind = WATCH_EVENTS, .revision = rev, EV(__VA_ARGS__) \
    }
#define PART(rev, ...)                                                           \
    {                                                                            \
        .kind = WATCH_EVENTS, .revision = rev, .fragment = true, EV(__VA_ARGS__) \
    }
#define CREATED(rev)                           \
    {                                          \
        .kind = WATCH_CREATED, .revision = rev \
    }
#define PROGRESS(rev)                           \
    {                                           \
        .kind = WATCH_PROGRESS, .revision = rev \
    }
#define COMPACTED(rev)                           \
    {                                            \
        .kind = WATCH_COMPACTED, .revision = rev \
    }
#define SESSION(who, from, ...)                                              \
    {                                                                        \
        .watcher = who, .start_revision = from,                              \
        .responses = (struct watch_response[]){__VA_ARGS__},                 \
        .responses_len = ARRAY_LEN(((struct watch_response[]){__VA_ARGS__})) \
    }

/* key 1: put 2, put 4, deleted 5; key 2: put 3, put 5 (one transaction with the delete) */
#define E2 ev(2, 1, 12, 2, 1)
#define E3 ev(3, 2, 13, 3, 1)
#define E4 ev(4, 1, 14, 2, 2)
#define E5A ev(5, 1, 0, 0, 0)
#define E5B ev(5, 2, 15, 3, 2)
#define WHOLE SESSION(0, 1, CREATED(1), GOT(2, E2), GOT(4, E3, E4), GOT(5, E5A, E5B))
static const struct watch_write watch_writes[] = {{1, 12, false, 2}, {2, 13, false, 3},
                                                  {1, 14, true, 0},  {1, 0, false, 5},
                                                  {2, 15, false, 5}, {2, 99, true, 0}};

static struct verdict watch(const struct watch_session *s, size_t n)
{
    struct verdict v = {0};
    struct watch_history h = {.sessions = s,
                              .sessions_len = n,
                              .writes = watch_writes,
                              .writes_len = ARRAY_LEN(watch_writes),
                              .first_revision = 2,
                              .last_revision = 5,
                              .from_nothing = true};
    check_watch(&h, &v);
    return v;
}
#define WATCH_SOUND(...)                                                     \
    do {                                                                     \
        struct verdict v_ = watch(ITEMS(struct watch_session, __VA_ARGS__)); \
        assert_sound(&v_);                                                   \
    } while (0)
#define WATCH_FOUND(what, ...)                                               \
    do {                                                                     \
        struct verdict v_ = watch(ITEMS(struct watch_session, __VA_ARGS__)); \
        assert_found(&v_, what);                                             \
    } while (0)

static void watch_sound(void **state)
{
    (void)state;
    WATCH_SOUND(WHOLE);
    WATCH_SOUND(WHOLE,
                SESSION(1, 0, CREATED(3), GOT(4, E4), PROGRESS(4), GOT(5, E5B, E5A), PROGRESS(9)));
    /* resumed on another member; a session that got nothing in between */
    WATCH_SOUND(WHOLE, SESSION(1, 2, CREATED(4), GOT(4, E2, E3)), SESSION(1, 4, CREATED(2)),
                SESSION(1, 4, GOT(4, E4), PROGRESS(4)), SESSION(1, 5, GOT(5, E5A, E5B)));
    /* one revision in fragments */
    WATCH_SOUND(WHOLE, SESSION(1, 2, PART(5, E2, E3, E4, E5A), GOT(5, E5B)));
    /* compacted: what was missed is named */
    WATCH_SOUND(WHOLE, SESSION(1, 2, GOT(2, E2)), SESSION(1, 3, COMPACTED(5)),
                SESSION(1, 5, GOT(5, E5A, E5B)));
    struct watch_event with_prev = E4;
    with_prev.has_prev = true, with_prev.prev_mod = 2, with_prev.prev_value = 12;
    WATCH_SOUND(WHOLE, SESSION(1, 4, GOT(4, with_prev), GOT(5, E5A, E5B)));
}

static void watch_faults(void **state)
{
    (void)state;
    WATCH_FOUND("twice or late", WHOLE, SESSION(1, 2, GOT(2, E2), GOT(3, E2, E3)));
    WATCH_FOUND("twice", WHOLE, SESSION(1, 2, GOT(2, E2, E2)));
    WATCH_FOUND("missing event", WHOLE, SESSION(1, 2, GOT(2, E2), GOT(4, E4)));
    WATCH_FOUND("missing event", WHOLE,
                SESSION(1, 2, GOT(5, E2, E3, E4, E5A))); /* half a transaction */
    WATCH_FOUND("behind", WHOLE, SESSION(1, 2, GOT(4, E2, E4, E3)));
    WATCH_FOUND("twice or late", WHOLE, SESSION(1, 2, GOT(4, E2, E3, E4), GOT(4, E3)));
    WATCH_FOUND("asked for", WHOLE,
                SESSION(1, 4, GOT(3, E3))); /* a future revision gives old events */
    WATCH_FOUND("missing event", WHOLE,
                SESSION(1, 2, GOT(2, E2), PROGRESS(4))); /* overtakes an event */
    WATCH_FOUND("missing event", WHOLE, SESSION(1, 2, GOT(3, E2, E3), PROGRESS(4), GOT(4, E4)));
    WATCH_FOUND("after it had everything", WHOLE, SESSION(1, 2, GOT(4, E2, E3, E4), PROGRESS(3)));
    WATCH_FOUND("missing event", WHOLE, SESSION(1, 2, GOT(2, E2)), SESSION(1, 3, GOT(4, E4)));
    WATCH_FOUND("gap itself", WHOLE, SESSION(1, 2, GOT(2, E2)), SESSION(1, 4, GOT(4, E4)));
    WATCH_FOUND("does not need", WHOLE, SESSION(1, 2, GOT(3, E2, E3), COMPACTED(2)));
    WATCH_FOUND("no further", WHOLE, SESSION(1, 2, GOT(4, E2, E3, E4)));
    WATCH_FOUND("header revision", WHOLE, SESSION(1, 2, GOT(1, E2)));
    WATCH_FOUND("disagree", WHOLE, SESSION(1, 2, GOT(2, ev(2, 1, 77, 2, 1))));
    WATCH_FOUND("never got", WHOLE, SESSION(1, 2, PART(3, E2, E3), GOT(5, E5A, E5B)));
    WATCH_FOUND("nobody wrote", SESSION(0, 1, GOT(2, E2), GOT(3, E3), GOT(4, ev(4, 2, 77, 3, 2)),
                                        GOT(5, E5A, E5B)));
    WATCH_FOUND("lost event", SESSION(0, 1, GOT(2, E2), GOT(4, E4), GOT(5, E5A, E5B)));
    WATCH_FOUND("version", SESSION(0, 1, GOT(4, E2, E3, ev(4, 1, 14, 2, 3)), GOT(5, E5A, E5B)));
    struct watch_event wrong_prev = E4;
    wrong_prev.has_prev = true, wrong_prev.prev_mod = 1, wrong_prev.prev_value = 11;
    WATCH_FOUND("previous pair", SESSION(0, 1, GOT(4, E2, E3, wrong_prev), GOT(5, E5A, E5B)));
    struct watch_session no_prev = SESSION(1, 2, GOT(4, E2, E3, E4));
    no_prev.wants_prev = true;
    WATCH_FOUND("no previous pair", WHOLE, no_prev);
}

/* ---- lease ---- */

#define S 1000000000ull
static struct lease_op l(enum lease_kind kind, uint64_t from, uint64_t to)
{
    return (struct lease_op){.kind = kind, .start_ns = from * S, .end_ns = to * S, .ttl_ns = 5 * S};
}
static struct verdict lease(const struct lease_op *ops, size_t n)
{
    struct verdict v = {0};
    struct lease_history h = {.id = 77, .ops = ops, .ops_len = n, .gone_by_ns = 30 * S};
    check_lease(&h, &v);
    return v;
}
#define LEASE(check, ...)                                               \
    do {                                                                \
        struct verdict v_ = lease(ITEMS(struct lease_op, __VA_ARGS__)); \
        check;                                                          \
    } while (0)

static void lease_sound(void **state)
{
    (void)state;
    LEASE(assert_sound(&v_), l(LEASE_REFRESH, 1, 2), l(LEASE_PRESENT, 3, 4), l(LEASE_REFRESH, 5, 6),
          l(LEASE_PRESENT, 9, 9), l(LEASE_ABSENT, 10, 11), l(LEASE_GONE, 12, 13));
    LEASE(assert_sound(&v_), l(LEASE_REFRESH, 1, 2), l(LEASE_REVOKE, 2, 3), l(LEASE_ABSENT, 3, 4));
    /* a revocation without an answer may have worked */
    struct lease_op lost = l(LEASE_REVOKE, 2, 2);
    lost.unknown = true;
    LEASE(assert_sound(&v_), l(LEASE_REFRESH, 1, 2), lost, l(LEASE_PRESENT, 3, 4),
          l(LEASE_ABSENT, 4, 5));
    /* late is allowed until the time given */
    LEASE(assert_sound(&v_), l(LEASE_REFRESH, 1, 2), l(LEASE_PRESENT, 29, 29),
          l(LEASE_ABSENT, 31, 32));
}

static void lease_faults(void **state)
{
    (void)state;
    LEASE(assert_found(&v_, "early expiry"), l(LEASE_REFRESH, 1, 2), l(LEASE_ABSENT, 4, 5));
    LEASE(assert_found(&v_, "early expiry"), l(LEASE_REFRESH, 1, 2), l(LEASE_REFRESH, 5, 6),
          l(LEASE_ABSENT, 7, 8));
    LEASE(assert_found(&v_, "early expiry"), l(LEASE_REFRESH, 1, 2), l(LEASE_GONE, 3, 4));
    LEASE(assert_found(&v_, "came back"), l(LEASE_REFRESH, 1, 2), l(LEASE_ABSENT, 7, 8),
          l(LEASE_REFRESH, 9, 10));
    LEASE(assert_found(&v_, "came back"), l(LEASE_REFRESH, 1, 2), l(LEASE_ABSENT, 7, 8),
          l(LEASE_PRESENT, 9, 10));
    LEASE(assert_found(&v_, "after its revocation"), l(LEASE_REFRESH, 1, 2), l(LEASE_REVOKE, 2, 3),
          l(LEASE_PRESENT, 4, 5));
    LEASE(assert_found(&v_, "after its revocation"), l(LEASE_REFRESH, 1, 2), l(LEASE_REVOKE, 2, 3),
          l(LEASE_REFRESH, 4, 5));
    LEASE(assert_found(&v_, "did not expire"), l(LEASE_REFRESH, 1, 2), l(LEASE_PRESENT, 31, 32));
}

/* ---- lock ---- */

#define HOLDS(...) ITEMS(struct lock_hold, __VA_ARGS__)
#define WRITES(...) ITEMS(struct lock_write, __VA_ARGS__)

static void lock_sound(void **state)
{
    (void)state;
    struct verdict v = {0};
    check_lock(HOLDS({1, 5, 10, 20}, {2, 8, 20, 30}), WRITES({5, 6}, {5, 7}, {8, 9}), false, &v);
    assert_sound(&v);
    /* the first one's answer came late, when its lease was over and the second had the lock */
    check_lock(HOLDS({1, 5, 15, 15}, {2, 8, 12, 30}), WRITES({8, 9}), false, &v);
    assert_sound(&v);
    /* queued: the second waiter's key is older than the first holder's last write */
    check_lock(HOLDS({1, 5, 10, 20}, {2, 6, 21, 30}), WRITES({5, 7}, {6, 9}), true, &v);
    assert_sound(&v);
}

static void lock_faults(void **state)
{
    (void)state;
    struct verdict v = {0};
    check_lock(HOLDS({1, 5, 10, 20}, {2, 8, 15, 30}), WRITES({5, 6}), false, &v);
    assert_found(&v, "two holders");
    v = (struct verdict){0};
    check_lock(HOLDS({1, 5, 10, 40}, {2, 8, 41, 50}, {3, 9, 20, 21}), WRITES({5, 6}), false, &v);
    assert_found(&v, "two holders");
    v = (struct verdict){0};
    check_lock(HOLDS({1, 5, 10, 20}, {2, 5, 20, 30}), WRITES({5, 6}), false, &v);
    assert_found(&v, "two holds with the token");
    v = (struct verdict){0};
    check_lock(HOLDS({1, 5, 10, 20}, {2, 8, 20, 30}), WRITES({5, 6}, {8, 9}, {5, 10}), true, &v);
    assert_found(&v, "after token 8");
    v = (struct verdict){0}; /* nobody wrote with 8 yet, but the lock had passed to it */
    check_lock(HOLDS({1, 5, 10, 20}, {2, 8, 20, 30}), WRITES({5, 6}, {5, 10}), false, &v);
    assert_found(&v, "had passed");
    v = (struct verdict){0};
    check_lock(HOLDS({1, 5, 10, 20}), WRITES({4, 6}), false, &v);
    assert_found(&v, "no holder had");
    v = (struct verdict){0};
    check_lock(HOLDS({1, 5, 10, 20}), WRITES({5, 4}), false, &v);
    assert_found(&v, "with token 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(revisions_sound), cmocka_unit_test(revisions_faults),
        cmocka_unit_test(set_sound),       cmocka_unit_test(set_faults),
        cmocka_unit_test(append_sound),    cmocka_unit_test(append_faults),
        cmocka_unit_test(append_random),   cmocka_unit_test(watch_sound),
        cmocka_unit_test(watch_faults),    cmocka_unit_test(lease_sound),
        cmocka_unit_test(lease_faults),    cmocka_unit_test(lock_sound),
        cmocka_unit_test(lock_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
