/*
 * Defragmentation while the store is in use: everything written before and meanwhile is there, the file has
 * shrunk, and writes stood still for a moment only. (Killed in the middle of it: test_kv_crash.c.)
 */
#include "kvstore/kv.h"
#include "kvstore/kv_defrag.h"
#include "kvstore/kv_integrity.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define KEYS 3000
#else
#define KEYS 60000 /* of 4 KB: 240 MB */
#endif
#define VALUE_BYTES 4096
#define WRITERS 2
#define STOPPED_MAX_NS (50 * NS_PER_MS)

static int setup(void **state)
{
    return store_fixture_make(
        state, "defrag", (struct kv_options){.map_bytes = 4ull << 30, .quota_bytes = 2ull << 30});
}

/* ---- what is in it ---- */

static void key_of(int i, char out[32])
{
    snprintf(out, 32, "fill/%07d", i);
}

static void fill(struct kv *kv, int from, int to)
{
    static char value[VALUE_BYTES];
    char keys[50][32];
    struct kv_op ops[50];
    memset(value, 'v', sizeof value);
    for (int i = from; i < to; i += 50) {
        for (int k = 0; k < 50; k++) {
            key_of(i + k, keys[k]);
            ops[k] = (struct kv_op){
                .type = KV_OP_PUT,
                .put = {.key = str_from(keys[k]), .value = str_make(value, sizeof value)}};
        }
        assert_int_equal(store_write(kv, ops, 50, NULL), 0);
    }
}

static void compact_all(struct kv *kv)
{
    assert_int_equal(store_compact(kv, kv_current_revision(kv), true), 0);
}

static void delete_range(struct kv *kv, int from, int to)
{
    char key[32], end[32];
    key_of(from, key);
    key_of(to, end);
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = str_from(key), .end = str_from(end)}};
    assert_int_equal(store_write(kv, &op, 1, NULL), 0);
}

/* ---- who uses it meanwhile ---- */

struct writer {
    struct kv *kv;
    int number;
    atomic_bool stop;
    int64_t count, last_rev;
    uint64_t slowest_ns;
    pthread_t thread;
};

/* Puts and deletes of its own keys, short and very long ones, before and behind what fills the store. */
static void *write_on(void *arg)
{
    struct writer *w = arg;
    char key[1400], value[32];
    for (int64_t i = 0; !atomic_load(&w->stop); i++) {
        int n =
            snprintf(key, sizeof key, "%s/%d/%03d", i % 2 ? "a" : "z", w->number, (int)(i % 300));
        if (i % 300 >= 280) {
            memset(key + n, 'l', 1200);
            n += 1200;
        }
        snprintf(value, sizeof value, "%lld", (long long)i);
        struct kv_op op = {.type = KV_OP_PUT,
                           .put = {.key = str_make(key, (size_t)n), .value = str_from(value)}};
        if (i % 7 == 3)
            op = (struct kv_op){.type = KV_OP_DELETE, .del = {.key = str_make(key, (size_t)n)}};
        uint64_t began = clock_mono_ns();
        if (store_write(w->kv, &op, 1, &w->last_rev) != 0)
            abort();
        w->slowest_ns = MAX(w->slowest_ns, clock_mono_ns() - began);
        w->count++;
    }
    return NULL;
}

/* Every key of a writer as its last write left it. */
static void check_writer(struct kv *kv, const struct writer *w)
{
    for (int64_t i = MAX(w->count - 300, 0); i < w->count; i++) {
        char key[1400], value[32];
        struct arena a;
        struct error err;
        struct kv_range_result r;
        int n =
            snprintf(key, sizeof key, "%s/%d/%03d", i % 2 ? "a" : "z", w->number, (int)(i % 300));
        if (i % 300 >= 280) {
            memset(key + n, 'l', 1200);
            n += 1200;
        }
        snprintf(value, sizeof value, "%lld", (long long)i);
        arena_init(&a);
        struct kv_range_request q = {.key = str_make(key, (size_t)n)};
        if (kv_range(kv, &q, &a, &r, &err) < 0)
            fail_msg("range: %s", err.message);
        assert_int_equal(r.pairs_len, i % 7 == 3 ? 0 : 1);
        if (r.pairs_len)
            assert_true(str_eqz(r.pairs[0].value, value));
        arena_free(&a);
    }
}

static uint32_t hash_of(struct kv *kv)
{
    uint32_t hash;
    int64_t rev, compacted;
    assert_int_equal(kv_hash(kv, 0, &hash, &rev, &compacted, NULL), 0);
    return hash;
}

static void defragment_under_load(struct kv *kv, struct logdb_defrag_info *info)
{
    struct writer writers[WRITERS];
    struct error err;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.kv = kv, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    if (kv_defragment(kv, NULL, info, &err) < 0)
        fail_msg("defragment: %s", err.message);
    int64_t writes = 0;
    uint64_t slowest = 0;
    for (int i = 0; i < WRITERS; i++) {
        atomic_store(&writers[i].stop, true);
        pthread_join(writers[i].thread, NULL);
        writes += writers[i].count;
        slowest = MAX(slowest, writers[i].slowest_ns);
    }
    printf(
        "defragmented %.1f MB to %.1f MB in %.0f ms; meanwhile %lld writes, stopped for %.3f ms, "
        "the slowest took %.1f ms\n",
        (double)info->before_bytes / 1e6, (double)info->after_bytes / 1e6,
        (double)info->took_ns / 1e6, (long long)writes, (double)info->stopped_ns / 1e6,
        (double)slowest / 1e6);
    assert_true(writes > 10);
    for (int i = 0; i < WRITERS; i++)
        check_writer(kv, &writers[i]);
}

static void gives_space_back_under_load(void **state)
{
    struct store_fixture *f = *state;
    struct logdb_defrag_info full, half;
    struct error err;
    fill(f->kv, 0, KEYS);
    /* Full: as large as before, but whole. A busy machine may take the processor away: the best of three. */
    uint64_t stopped = UINT64_MAX;
    for (int i = 0; i < 3 && stopped > STOPPED_MAX_NS; i++) {
        defragment_under_load(f->kv, &full);
        stopped = MIN(stopped, full.stopped_ns);
    }
    assert_true(stopped <= STOPPED_MAX_NS);
    assert_true(full.after_bytes >= (uint64_t)KEYS * VALUE_BYTES);
    delete_range(f->kv, KEYS / 4, KEYS);
    compact_all(f->kv);
    /* The history of what was deleted in one revision is gone to its end; 4 KB take two pages, twice. */
    struct kv_status st;
    kv_status(f->kv, &st);
    assert_true(st.db_size_in_use < KEYS / 4 * 16384ull * 5 / 4 + (4u << 20));
    defragment_under_load(f->kv, &half);
    assert_true(half.after_bytes < half.before_bytes);
    /* And the log: some 64 MiB of it, which a busy machine writes too little to let go of, and what pages add. */
    assert_true(half.after_bytes < st.db_size_in_use + (160u << 20));
    if (kv_check(f->kv, &err) < 0)
        fail_msg("check: %s", err.message);
    uint32_t hash = hash_of(f->kv);
    kv_close(f->kv);
    f->kv = store_open(&f->options);
    assert_int_equal(hash_of(f->kv), hash);
    if (kv_check(f->kv, &err) < 0)
        fail_msg("check after a restart: %s", err.message);
}

static void *defragment_too(void *kv)
{
    struct logdb_defrag_info info;
    struct error err;
    return (void *)(intptr_t)kv_defragment(kv, NULL, &info, &err);
}

static void one_at_a_time_and_stoppable(void **state)
{
    struct store_fixture *f = *state;
    struct logdb_defrag_info info;
    struct error err;
    atomic_bool stop = true;
    fill(f->kv, 0, 1000);
    assert_int_equal(kv_defragment(f->kv, &stop, &info, &err), ERR_CANCELLED);
    pthread_t threads[4];
    int done = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, defragment_too, f->kv), 0);
    for (int i = 0; i < 4; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_true((intptr_t)rc == 0 || (intptr_t)rc == ERR_EXISTS);
        done += rc == NULL;
    }
    assert_true(done >= 1);
    if (kv_check(f->kv, &err) < 0)
        fail_msg("check: %s", err.message);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_space_back_under_load, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(one_at_a_time_and_stoppable, setup, store_fixture_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
