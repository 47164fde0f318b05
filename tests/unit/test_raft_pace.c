/*
 * The pace at which others catch up (raft/pace.h), against a model of a member whose commits suffer from it.
 */
#include "raft/pace.h"
#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define CHUNK (128u << 10)

struct world {
    struct pace pace;
    uint64_t now_ns, given, index;
    uint64_t put_every_ns, put_bytes;
    uint64_t (*commit_ns)(uint64_t rate); /* how long a commit takes; UINT64_MAX: none ends */
    uint64_t next_put_ns;
    uint64_t committing, committed_at; /* one at a time is enough for a model */
    uint64_t slowest_ns;
};

/* Steps of a millisecond; `greedy`: somebody takes whatever he is given. */
static void run(struct world *w, uint64_t for_ns, bool greedy)
{
    uint64_t end = w->now_ns + for_ns;
    w->given = w->slowest_ns = 0;
    for (; w->now_ns < end; w->now_ns += NS_PER_MS) {
        if (w->put_every_ns && w->now_ns >= w->next_put_ns && !w->committing) {
            uint64_t takes = w->commit_ns(greedy ? w->pace.rate : 0);
            w->next_put_ns = w->now_ns + w->put_every_ns;
            w->committing = ++w->index;
            w->committed_at = takes == UINT64_MAX ? takes : w->now_ns + takes;
            w->slowest_ns = MAX(w->slowest_ns, takes);
            pace_appended(&w->pace, w->index, w->put_bytes, w->now_ns);
        }
        if (w->committing && w->now_ns >= w->committed_at) {
            pace_committed(&w->pace, w->committing, w->now_ns);
            w->committing = 0;
        }
        while (greedy && pace_wait_ns(&w->pace, w->now_ns) == 0) {
            pace_taken(&w->pace, CHUNK, w->now_ns);
            w->given += CHUNK;
        }
    }
}

static void world_init(struct world *w, uint64_t (*commit_ns)(uint64_t rate), uint64_t put_bytes)
{
    *w = (struct world){.now_ns = NS_PER_S,
                        .commit_ns = commit_ns,
                        .put_every_ns = 10 * NS_PER_MS,
                        .put_bytes = put_bytes};
    pace_init(&w->pace, w->now_ns);
    run(w, 10 * NS_PER_S, false);
}

static uint64_t unharmed(uint64_t rate)
{
    (void)rate;
    return 4 * NS_PER_MS;
}

static void who_is_not_harmed_gives_all_he_has(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, unharmed, 300);
    run(&w, 10 * NS_PER_S, true);
    assert_int_equal(w.pace.rate, PACE_MAX);
}

/* A queue: twice as long at 48 MiB a second, ever longer beyond. */
static uint64_t shared_disk(uint64_t rate)
{
    uint64_t free = rate < (95u << 20) ? (96u << 20) - rate : 1 << 20;
    return 4 * NS_PER_MS * (96u << 20) / free;
}

static void the_pace_settles_where_commits_are_bearable(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, shared_disk, 300);
    run(&w, 5 * NS_PER_S, true);
    run(&w, 20 * NS_PER_S, true);
    assert_true(w.slowest_ns <= 8 * NS_PER_MS); /* not more than doubled */
    assert_true(w.given > 20 * (20ull << 20));  /* and what can be given is */
}

/* Any giving at all is too much. */
static uint64_t delicate(uint64_t rate)
{
    return (rate ? 40 : 4) * NS_PER_MS;
}

static void it_never_falls_below_the_floor(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, delicate, 300);
    run(&w, 5 * NS_PER_S, true);
    run(&w, 20 * NS_PER_S, true);
    assert_int_equal(w.pace.rate, PACE_FLOOR);
    assert_in_range(w.given, 20 * PACE_FLOOR * 99 / 100, 20 * PACE_FLOOR * 101 / 100);
}

static void the_floor_is_above_what_arrives(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, delicate, 400 << 10);
    run(&w, 5 * NS_PER_S, true);
    uint64_t before = w.index;
    run(&w, 20 * NS_PER_S, true);
    assert_true(w.given > 3 * (w.index - before) * (400ull << 10));
    assert_true(w.pace.rate < PACE_MAX / 4);
}

static uint64_t never(uint64_t rate)
{
    return rate ? UINT64_MAX : 4 * NS_PER_MS;
}

static void where_nothing_is_committed_nobody_is_spared(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, never, 300);
    run(&w, 2 * NS_PER_S, true);
    assert_int_equal(w.pace.rate, PACE_MAX);
    pace_reset(&w.pace); /* another one leads */
    w.committing = 0;
    w.commit_ns = delicate;
    run(&w, 5 * NS_PER_S, true);
    assert_int_equal(w.pace.rate, PACE_FLOOR);
}

static void who_begins_anew_begins_modestly(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, unharmed, 300);
    run(&w, 10 * NS_PER_S, true);
    run(&w, 3 * NS_PER_S, false);
    assert_int_equal(w.pace.rate, PACE_START);
    /* what was learnt meanwhile is what was usual before */
    assert_in_range(w.pace.usual_ns, 3 * NS_PER_MS, 5 * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_harmed_gives_all_he_has),
        cmocka_unit_test(the_pace_settles_where_commits_are_bearable),
        cmocka_unit_test(it_never_falls_below_the_floor),
        cmocka_unit_test(the_floor_is_above_what_arrives),
        cmocka_unit_test(where_nothing_is_committed_nobody_is_spared),
        cmocka_unit_test(who_begins_anew_begins_modestly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
