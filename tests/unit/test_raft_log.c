/*
 * The log window against an array that keeps everything, and the wire form of messages.
 */
#include "base/mem.h"
#include "base/random.h"
#include "raft/log_window.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- the window ---- */

#define ORACLE_MAX 4096

struct oracle { /* terms of (base, last]; everything for ever */
    uint64_t term[ORACLE_MAX];
    uint64_t base, last, pinned;
};

static void compare(const struct raft_log *log, const struct oracle *o)
{
    assert_int_equal(log->last_index, o->last);
    assert_int_equal(log->base_index, o->base);
    for (uint64_t i = 0; i < o->last + 3; i++)
        assert_int_equal(raft_log_term(log, i), i < o->base || i > o->last ? 0 : o->term[i]);
    assert_int_equal(raft_log_last_term(log), o->term[o->last]);
    /* all that is pinned is there, contiguous */
    const struct raft_entry *e;
    size_t n = raft_log_slice(log, o->pinned + 1, o->last, UINT64_MAX, &e);
    assert_int_equal(n, o->last - o->pinned);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(e[i].index, o->pinned + 1 + i);
        assert_int_equal(e[i].term, o->term[e[i].index]);
        bytes += raft_entry_size(&e[i]);
    }
    assert_int_equal(log->pinned_bytes, bytes);
    assert_true(log->bytes >= bytes);
}

static void one_step(struct raft_log *log, struct oracle *o, struct rng *rng)
{
    uint64_t to;
    switch (rng_below(rng, 6)) {
    case 0:
        to = o->pinned + rng_below(rng, o->last - o->pinned + 1);
        raft_log_truncate(log, to);
        o->last = to;
        break;
    case 1:
        o->pinned += rng_below(rng, o->last - o->pinned + 1);
        raft_log_unpin(log, o->pinned, rng_below(rng, 500));
        break;
    case 2:
        o->base += rng_below(rng, o->pinned - o->base + 1);
        raft_log_compact(log, o->base);
        break;
    case 3:
        if (rng_below(rng, 50))
            break;
        o->base = o->last = o->pinned = o->last + 1 + rng_below(rng, 5);
        o->term[o->base] = o->term[o->base - 1] + 100;
        raft_log_reset(log, o->base, o->term[o->base]);
        break;
    default:
        for (uint64_t n = rng_below(rng, 20); n > 0 && o->last + 10 < ORACLE_MAX; n--) {
            uint64_t term = o->term[o->last] + (rng_below(rng, 8) == 0) + (o->last == 0);
            struct blob *b = blob_new(RAFT_PROPOSAL_HEADER + rng_below(rng, 40));
            raft_log_append(log, &(struct raft_entry){o->last + 1, term, RAFT_ENTRY_DATA, b});
            blob_unref(b);
            o->term[++o->last] = term;
        }
    }
}

static void window_agrees_with_the_oracle(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    for (int round = 0; round < 30; round++) {
        struct oracle *o = mem_zalloc(sizeof *o);
        struct raft_log log;
        struct raft_boot boot = {0};
        assert_true(raft_log_init(&log, &boot));
        for (int i = 0; i < 300 && o->last + 30 < ORACLE_MAX; i++) {
            one_step(&log, o, &rng);
            compare(&log, o);
        }
        raft_log_free(&log);
        mem_free(o);
    }
}

static void slices_are_bounded(void **state)
{
    (void)state;
    struct raft_log log;
    struct raft_boot boot = {0};
    assert_true(raft_log_init(&log, &boot));
    for (uint64_t i = 1; i <= 10; i++) {
        struct blob *b = blob_new(100 - 32);
        raft_log_append(&log, &(struct raft_entry){i, 1, RAFT_ENTRY_DATA, b});
        blob_unref(b);
    }
    const struct raft_entry *e;
    assert_int_equal(raft_log_slice(&log, 3, 10, 350, &e), 3);
    assert_int_equal(e[0].index, 3);
    assert_int_equal(raft_log_slice(&log, 3, 10, 1, &e), 1); /* at least one */
    assert_int_equal(raft_log_slice(&log, 3, 4, 10000, &e), 2);
    assert_int_equal(raft_log_slice(&log, 11, 20, 10000, &e), 0);
    raft_log_unpin(&log, 5, 0); /* no cache: what is applied goes */
    assert_int_equal(raft_log_slice(&log, 5, 10, 10000, &e), 0);
    assert_int_equal(raft_log_slice(&log, 6, 10, 10000, &e), 5);
    raft_log_free(&log);
}

static void finding_a_term(void **state)
{
    (void)state;
    /* terms 1 1 3 3 3 6 at 1 … 6 */
    static const struct raft_term_run runs[] = {{1, 1}, {3, 3}, {6, 6}};
    struct raft_boot boot = {
        .hard = {6, 0, 6}, .applied = 6, .last_index = 6, .runs = runs, .runs_len = 3};
    struct raft_log log;
    assert_true(raft_log_init(&log, &boot));
    static const struct {
        uint64_t index, term, found;
    } cases[] = {{6, 6, 6}, {6, 5, 5}, {6, 3, 5}, {6, 2, 2},
                 {4, 3, 4}, {9, 9, 6}, {5, 1, 2}, {6, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(raft_log_find_term(&log, cases[i].index, cases[i].term), cases[i].found);
    raft_log_free(&log);
}

static void boot_data_is_checked(void **state)
{
    (void)state;
    static const struct raft_term_run good[] = {{1, 1}, {3, 2}}, falling[] = {{1, 2}, {3, 1}},
                                      gap[] = {{2, 1}};
    struct raft_log log;
    struct raft_boot boot = {.applied = 4, .last_index = 4, .runs = good, .runs_len = 2};
    assert_true(raft_log_init(&log, &boot));
    raft_log_free(&log);
    boot.runs = falling;
    assert_false(raft_log_init(&log, &boot));
    boot.runs = gap;
    boot.runs_len = 1;
    assert_false(raft_log_init(&log, &boot));
    boot = (struct raft_boot){.applied = 3, .last_index = 4, .runs = good, .runs_len = 2};
    assert_false(raft_log_init(&log, &boot)); /* the tail is missing */
}

/* ---- messages ---- */

static struct raft_message sample(enum raft_message_type type)
{
    struct raft_message m = {.type = type,
                             .from = 1,
                             .to = 2,
                             .term = 9,
                             .index = 40,
                             .log_term = 7,
                             .commit = 39,
                             .hint = 5,
                             .context = 77,
                             .reject = true,
                             .flags = 1};
    if (type == RAFT_MSG_APPEND) {
        m.entries_len = 3;
        m.entries = mem_zalloc(3 * sizeof *m.entries);
        m.entries[0] = (struct raft_entry){41, 7, RAFT_ENTRY_EMPTY, NULL};
        m.entries[1] =
            (struct raft_entry){42, 8, RAFT_ENTRY_DATA, blob_new(RAFT_PROPOSAL_HEADER + 5)};
        m.entries[2] =
            (struct raft_entry){43, 9, RAFT_ENTRY_CONFIG, blob_new(RAFT_PROPOSAL_HEADER)};
        memset(m.entries[1].data->data, 'x', m.entries[1].data->len);
        memset(m.entries[2].data->data, 'y', m.entries[2].data->len);
    }
    if (type == RAFT_MSG_SNAPSHOT) {
        m.snapshot = mem_zalloc(sizeof *m.snapshot);
        m.snapshot->index = 30;
        m.snapshot->term = 6;
        raft_ids_add(&m.snapshot->config.voters, 3);
    }
    return m;
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->reject, b->reject);
    const uint64_t x[] = {a->from,     a->to,     a->term, a->index,
                          a->log_term, a->commit, a->hint, a->context};
    const uint64_t y[] = {b->from,     b->to,     b->term, b->index,
                          b->log_term, b->commit, b->hint, b->context};
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(a->entries_len, b->entries_len);
    for (size_t i = 0; i < a->entries_len; i++) {
        assert_int_equal(a->entries[i].index, b->entries[i].index);
        assert_int_equal(a->entries[i].term, b->entries[i].term);
        assert_int_equal(a->entries[i].kind, b->entries[i].kind);
        assert_true(str_eq(blob_str(a->entries[i].data), blob_str(b->entries[i].data)));
    }
    assert_int_equal(!a->snapshot, !b->snapshot);
    if (a->snapshot) {
        assert_int_equal(a->snapshot->index, b->snapshot->index);
        assert_int_equal(a->snapshot->term, b->snapshot->term);
        assert_true(raft_config_equal(&a->snapshot->config, &b->snapshot->config));
    }
}

static void messages_come_back(void **state)
{
    (void)state;
    for (int type = 1; type <= RAFT_MSG_TYPE_MAX; type++) {
        struct raft_message m = sample((enum raft_message_type)type), back, copy;
        struct buf b;
        struct error err;
        buf_init(&b);
        raft_message_encode(&m, &b);
        if (raft_message_decode(buf_str(&b), &back, &err) < 0)
            fail_msg("%s: %s", raft_message_name(m.type), err.message);
        assert_same(&m, &back);
        raft_message_copy(&copy, &back);
        assert_same(&m, &copy);
        for (size_t n = 0; n < b.len; n++) { /* cut anywhere: refused, nothing leaks */
            struct raft_message cut;
            assert_int_equal(raft_message_decode(str_make(b.data, n), &cut, &err), ERR_CORRUPT);
        }
        raft_message_clear(&m);
        raft_message_clear(&back);
        raft_message_clear(&copy);
        buf_free(&b);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 8);
    struct raft_message m = sample(RAFT_MSG_APPEND);
    struct buf b;
    buf_init(&b);
    raft_message_encode(&m, &b);
    for (int i = 0; i < 200000; i++) { /* flipped bytes: refused or a sane message, never a crash */
        char *bytes = mem_dup(b.data, b.len);
        for (int k = 0; k < 3; k++)
            bytes[rng_below(&rng, b.len)] = (char)rng_next(&rng);
        struct raft_message back;
        if (raft_message_decode(str_make(bytes, b.len), &back, NULL) == 0) {
            uint64_t term = back.log_term;
            for (size_t k = 0; k < back.entries_len; k++) {
                assert_int_equal(back.entries[k].index, back.index + 1 + k);
                assert_true(back.entries[k].term >= term && back.entries[k].term <= back.term);
                term = back.entries[k].term;
            }
            raft_message_clear(&back);
        }
        mem_free(bytes);
    }
    raft_message_clear(&m);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_agrees_with_the_oracle),
        cmocka_unit_test(slices_are_bounded),
        cmocka_unit_test(finding_a_term),
        cmocka_unit_test(boot_data_is_checked),
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
