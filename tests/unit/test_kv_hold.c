/*
 * Small writes are answered before their transaction is committed (logdb_hold): what must follow is that
 * nobody can tell, and that far fewer pages are written.
 */
#include "kvstore/kv.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
    return store_fixture_make(state, "hold",
                              (struct kv_options){.map_bytes = 256u << 20,
                                                  .quota_bytes = 128u << 20,
                                                  .checkpoint_ms = 10000});
}

static int64_t put(struct kv *kv, const char *key, uint64_t number)
{
    char value[32];
    snprintf(value, sizeof value, "%llu", (unsigned long long)number);
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(key), .value = str_from(value)}};
    int64_t rev;
    assert_int_equal(store_write(kv, &op, 1, &rev), 0);
    return rev;
}

/* The number under `key` as this member has it; -1: none. */
static int64_t get(struct kv *kv, const char *key, int64_t rev)
{
    struct kv_range_request q = {.key = str_from(key), .rev = rev};
    struct kv_range_result out;
    struct error err;
    struct arena a;
    arena_init(&a);
    int rc = kv_range(kv, &q, &a, &out, &err);
    if (rc)
        fail_msg("range %s: %s", key, err.message);
    int64_t n = -1;
    if (out.count == 1) {
        char text[32] = {0};
        memcpy(text, out.pairs[0].value.p, out.pairs[0].value.n);
        n = atoll(text);
    }
    arena_free(&a);
    return n;
}

static void a_write_is_seen_at_once(void **state)
{
    struct store_fixture *f = *state;
    for (uint64_t i = 0; i < 200; i++) {
        int64_t rev = put(f->kv, "k", i);
        assert_int_equal(get(f->kv, "k", i % 2 ? rev : 0), i); /* its revision is not the future */
    }
}

struct race {
    struct kv *kv;
    _Atomic int64_t acknowledged;
    atomic_bool done;
};

static void *reader(void *arg)
{
    struct race *r = arg;
    while (!atomic_load(&r->done)) {
        int64_t least = atomic_load(&r->acknowledged), seen = get(r->kv, "k", 0);
        if (seen < least)
            return "a reader missed a write that had been acknowledged";
    }
    return NULL;
}

static void readers_never_fall_behind(void **state)
{
    struct store_fixture *f = *state;
    struct race r = {.kv = f->kv};
    pthread_t threads[3];
    put(f->kv, "k", 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &r), 0);
    for (int64_t i = 1; i <= 1000; i++) {
        put(f->kv, "k", (uint64_t)i);
        atomic_store(&r.acknowledged, i);
        if (i % 100 == 0) /* pauses in which what is held is held for long */
            usleep(20000);
    }
    atomic_store(&r.done, true);
    for (size_t i = 0; i < 3; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        if (fault)
            fail_msg("%s", (const char *)fault);
    }
}

static uint64_t bytes_written(void)
{
    char line[128];
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/io", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "wchar: %llu", &n) == 1)
            break;
    fclose(f);
    return n;
}

/* A commit for each write takes ten pages or more. On a machine so busy that writes come one in
 * 100 ms nothing can be gathered: then another hundred is tried. */
static void pages_are_written_once_for_many(void **state)
{
    struct store_fixture *f = *state;
    uint64_t least = UINT64_MAX;
    for (int round = 0; round < 50 && least > 15000; round++) {
        uint64_t before = bytes_written();
        for (uint64_t i = 0; i < 100; i++)
            put(f->kv, "k", i);
        least = MIN(least, (bytes_written() - before) / 100);
    }
    print_message("%llu bytes written per write\n", (unsigned long long)least);
    assert_in_range(least, 1, 15000);
}

/* How often threads of this name went to sleep. */
static uint64_t sleeps_of(const char *name)
{
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *d; (d = readdir(tasks));) {
        char path[300], line[128];
        unsigned long long n = 0;
        bool is_it = false;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *f = d->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (f && fgets(line, sizeof line, f)) {
            if (strncmp(line, "Name:\t", 6) == 0)
                is_it = strcspn(line + 6, "\n") == strlen(name) &&
                        strncmp(line + 6, name, strlen(name)) == 0;
            if (is_it && sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
                sum += n;
        }
        if (f)
            fclose(f);
    }
    closedir(tasks);
    return sum;
}

/* The raft thread applies one write into what is held: the apply thread is not woken for it. Rounds as above. */
static void a_write_alone_wakes_no_apply_thread(void **state)
{
    struct store_fixture *f = *state;
    uint64_t least = UINT64_MAX;
    put(f->kv, "k", 0);
    assert_true(sleeps_of("raft-apply") > 0);
    for (int round = 0; round < 50 && least > 25; round++) {
        uint64_t before = sleeps_of("raft-apply");
        for (uint64_t i = 0; i < 100; i++)
            put(f->kv, "k", i);
        least = MIN(least, sleeps_of("raft-apply") - before);
    }
    print_message("%llu times woken for a hundred writes\n", (unsigned long long)least);
    assert_in_range(least, 0, 25);
    assert_int_equal(get(f->kv, "k", 0), 99);
}

static void what_is_held_survives_the_end(void **state)
{
    struct store_fixture *f = *state;
    put(f->kv, "a", 1);
    put(f->kv, "b", 2);
    kv_close(f->kv);
    f->kv = store_open(&f->options);
    assert_int_equal(get(f->kv, "a", 0), 1);
    assert_int_equal(get(f->kv, "b", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_is_seen_at_once, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(readers_never_fall_behind, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(pages_are_written_once_for_many, setup,
                                        store_fixture_remove),
        cmocka_unit_test_setup_teardown(a_write_alone_wakes_no_apply_thread, setup,
                                        store_fixture_remove),
        cmocka_unit_test_setup_teardown(what_is_held_survives_the_end, setup, store_fixture_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
