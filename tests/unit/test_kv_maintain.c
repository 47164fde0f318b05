/*
 * Compaction by itself, periodic and by revision (kvstore/auto_compact.h), and keeping warnings few.
 */
#include "kvstore/kv.h"
#include "kvstore/slow.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[STORE_DIR_MAX];
    struct kv *kv;
};

static void open_store(struct fixture *f, struct kv_options o)
{
    struct error err;
    store_dir_make(f->dir, "maintain");
    o.data_dir = f->dir;
    o.map_bytes = 256u << 20;
    f->kv = kv_open(&o, &err);
    if (!f->kv)
        fail_msg("kv_open: %s", err.message);
}

static void close_store(struct fixture *f)
{
    kv_close(f->kv);
    store_dir_remove(f->dir);
}

static int64_t put(struct kv *kv)
{
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = STR("k"), .value = STR("v")}};
    int64_t rev;
    assert_int_equal(store_write(kv, &op, 1, &rev), 0);
    return rev;
}

static void wait_compacted(struct kv *kv, int64_t rev)
{
    for (int i = 0; i < 3000 && kv_compacted_revision(kv) < rev; i++)
        usleep(10000);
    assert_int_equal(kv_compacted_revision(kv), rev);
}

static void by_revision(void **state)
{
    struct fixture f;
    int64_t rev = 0;
    (void)state;
    open_store(&f, (struct kv_options){.auto_compact_revs = 10, .auto_compact_check_ms = 100});
    for (int i = 0; i < 50; i++)
        rev = put(f.kv);
    wait_compacted(f.kv, rev - 10);
    /* Nothing new: nothing to do. */
    usleep(300000);
    assert_int_equal(kv_compacted_revision(f.kv), rev - 10);
    rev = put(f.kv);
    wait_compacted(f.kv, rev - 10);
    close_store(&f);
}

static void by_revision_keeps_a_young_store(void **state)
{
    struct fixture f;
    (void)state;
    open_store(&f, (struct kv_options){.auto_compact_revs = 1000, .auto_compact_check_ms = 50});
    for (int i = 0; i < 20; i++)
        put(f.kv);
    usleep(300000);
    assert_int_equal(kv_compacted_revision(f.kv), 0);
    close_store(&f);
}

/* What is younger than the retention stays; what is older goes, but not before it is. */
static void periodic(void **state)
{
    struct fixture f;
    int64_t old = 0;
    (void)state;
    open_store(&f, (struct kv_options){.auto_compact_ns = 2 * NS_PER_S});
    for (int i = 0; i < 19; i++)
        put(f.kv);
    uint64_t written = clock_mono_ns();
    old = put(f.kv);
    while (kv_compacted_revision(f.kv) < old && clock_mono_ns() - written < 60 * NS_PER_S) {
        int64_t compacted = kv_compacted_revision(f.kv);
        /* 20 ms for the clocks of two threads. */
        if (clock_mono_ns() - written < 2 * NS_PER_S - 20 * NS_PER_MS)
            assert_true(compacted < old);
        usleep(2000);
    }
    wait_compacted(f.kv, old);
    written = clock_mono_ns();
    int64_t young = put(f.kv);
    assert_true(kv_compacted_revision(f.kv) < young || clock_mono_ns() - written > 2 * NS_PER_S);
    wait_compacted(f.kv, young);
    close_store(&f);
}

static void off_by_default(void **state)
{
    struct fixture f;
    (void)state;
    open_store(&f, (struct kv_options){.auto_compact_check_ms = 10});
    for (int i = 0; i < 20; i++)
        put(f.kv);
    usleep(200000);
    assert_int_equal(kv_compacted_revision(f.kv), 0);
    close_store(&f);
}

static void one_warning_a_second(void **state)
{
    struct slow_log s = {0};
    unsigned left_out = 99;
    uint64_t at = 5 * NS_PER_S;
    (void)state;
    assert_true(slow_may_say(&s, at, &left_out));
    assert_int_equal(left_out, 0);
    for (int i = 1; i <= 7; i++)
        assert_false(slow_may_say(&s, at + (uint64_t)i * NS_PER_MS, &left_out));
    assert_true(slow_may_say(&s, at + NS_PER_S, &left_out));
    assert_int_equal(left_out, 7);
    assert_true(slow_may_say(&s, at + 3 * NS_PER_S, &left_out));
    assert_int_equal(left_out, 0);
}

struct warnings {
    pthread_mutex_t lock;
    char first[512];
};

static void keep_first_warning(void *ctx, enum log_level level, const char *line)
{
    struct warnings *w = ctx;
    if (level != LOG_WARN || !strstr(line, "applying"))
        return;
    pthread_mutex_lock(&w->lock);
    if (!w->first[0])
        snprintf(w->first, sizeof w->first, "%s", line);
    pthread_mutex_unlock(&w->lock);
}

/* What an operator reads when applying takes longer than --warning-apply-duration, here: than nothing. */
static void slow_applying_is_told(void **state)
{
    struct warnings w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct fixture f;
    (void)state;
    log_set_level(LOG_WARN);
    log_set_sink(keep_first_warning, &w);
    open_store(&f, (struct kv_options){.warning_apply_ns = 1});
    put(f.kv);
    close_store(&f); /* its threads have ended: nobody else looks at `w` */
    log_set_sink(NULL, NULL);
    log_set_level(LOG_ERROR);
    assert_non_null(strstr(w.first, "level=warn module=store msg=\"applying took too long\""));
    assert_non_null(strstr(w.first, " took_ms="));
    assert_non_null(strstr(w.first, " expected_ms=0 entries="));
    assert_non_null(strstr(w.first, " left_out=0"));
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_revision),
        cmocka_unit_test(by_revision_keeps_a_young_store),
        cmocka_unit_test(periodic),
        cmocka_unit_test(off_by_default),
        cmocka_unit_test(one_warning_a_second),
        cmocka_unit_test(slow_applying_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
