/*
 * The work queue's promises: one worker per key, no change lost, delays and back-off.
 */
#include "client/workqueue.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void expect_get(struct workqueue *q, const char *want)
{
    char *key = workqueue_get_timeout(q, 60000);
    assert_non_null(key);
    assert_string_equal(key, want);
    workqueue_done(q, key);
}

static void test_added_twice_is_there_once(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new("t", NULL);
    workqueue_add(q, "a");
    workqueue_add(q, "b");
    workqueue_add(q, "a");
    assert_int_equal(workqueue_depth(q), 2);
    expect_get(q, "a");
    expect_get(q, "b");
    assert_null(workqueue_get_timeout(q, 1));
    workqueue_free(q);
}

static void test_added_while_processed_comes_back_after_done(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new("t", NULL);
    workqueue_add(q, "a");
    char *key = workqueue_get(q);
    workqueue_add(q, "a");
    workqueue_add(q, "a");
    assert_null(workqueue_get_timeout(q, 1)); /* never two workers with one key */
    workqueue_done(q, key);
    expect_get(q, "a");
    assert_null(workqueue_get_timeout(q, 1));
    workqueue_free(q);
}

static void test_the_earlier_delay_wins(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new("t", NULL);
    uint64_t start = clock_mono_ns();
    workqueue_add_after(q, "slow", 60000);
    workqueue_add_after(q, "a", 60000);
    workqueue_add_after(q, "a", 20);
    workqueue_add_after(q, "a", 60000);
    expect_get(q, "a");
    assert_true(clock_mono_ns() - start >= 19 * NS_PER_MS);
    assert_null(workqueue_get_timeout(q, 1));
    workqueue_free(q);
}

static void test_failures_back_off_until_forgotten(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new("t", NULL);
    uint64_t start = clock_mono_ns();
    for (unsigned i = 0; i < 4; i++) {
        workqueue_add_rate_limited(q, "a"); /* 5, 10, 20, 40 ms */
        expect_get(q, "a");
        assert_int_equal(workqueue_retries(q, "a"), i + 1);
    }
    assert_true(clock_mono_ns() - start >= 75 * NS_PER_MS);
    workqueue_forget(q, "a");
    assert_int_equal(workqueue_retries(q, "a"), 0);
    workqueue_free(q);
}

static void test_beyond_the_burst_ten_per_second(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new("t", NULL);
    char name[16];
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < 103; i++) {
        snprintf(name, sizeof name, "k%d", i);
        workqueue_add_rate_limited(q, name);
    }
    uint64_t all = 0;
    char *key;
    while (all < 103 && (key = workqueue_get_timeout(q, 60000)) != NULL) {
        all++;
        assert_true(all <= 101 + (clock_mono_ns() - start) / (100 * NS_PER_MS)); /* whatever stands still meanwhile */
        workqueue_done(q, key);
    }
    assert_int_equal(all, 103);
    assert_true(clock_mono_ns() - start >= 250 * NS_PER_MS);
    workqueue_free(q);
}

struct shared {
    struct workqueue *q;
    int running[8]; /* per key: workers inside */
    int handled[8];
    int clashes;
    pthread_mutex_t lock;
};

static void *worker(void *arg)
{
    struct shared *s = arg;
    char *key;
    while ((key = workqueue_get(s->q)) != NULL) {
        int k = key[0] - '0';
        pthread_mutex_lock(&s->lock);
        s->clashes += s->running[k]++ != 0;
        s->handled[k]++;
        pthread_mutex_unlock(&s->lock);
        sched_yield();
        pthread_mutex_lock(&s->lock);
        s->running[k]--;
        pthread_mutex_unlock(&s->lock);
        workqueue_done(s->q, key);
    }
    return NULL;
}

static void test_many_workers_never_share_a_key(void **state)
{
    (void)state;
    struct shared s = {.q = workqueue_new("t", NULL), .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, worker, &s);
    for (int i = 0; i < 4000; i++) {
        char key[2] = {(char)('0' + i % 8), 0};
        if (i % 3)
            workqueue_add(s.q, key);
        else
            workqueue_add_after(s.q, key, (uint64_t)(i % 2));
    }
    /* Level-triggered: after the last add of a key it is handled at least once more. */
    uint64_t deadline = clock_mono_ns() + 60 * NS_PER_S;
    int before = 0;
    for (int i = 0; i < 8; i++) {
        pthread_mutex_lock(&s.lock);
        before = s.handled[i];
        pthread_mutex_unlock(&s.lock);
        char key[2] = {(char)('0' + i), 0};
        workqueue_add(s.q, key);
        for (int now = before; now == before && clock_mono_ns() < deadline;) {
            pthread_mutex_lock(&s.lock);
            now = s.handled[i];
            pthread_mutex_unlock(&s.lock);
            sched_yield();
        }
        assert_true(clock_mono_ns() < deadline);
    }
    workqueue_shut_down(s.q);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(s.clashes, 0);
    workqueue_free(s.q);
}

struct patience {
    struct workqueue *q;
    atomic_int waiting;
    atomic_bool served;
};

static void *wait_for_key(struct patience *p, bool patient)
{
    atomic_fetch_add(&p->waiting, 1);
    char *key = patient ? workqueue_get(p->q) : workqueue_get_timeout(p->q, 2000);
    if (key) {
        atomic_store(&p->served, true);
        workqueue_done(p->q, key);
    }
    return NULL;
}

static void *impatient(void *arg)
{
    return wait_for_key(arg, false);
}

static void *patient(void *arg)
{
    return wait_for_key(arg, true);
}

/* 1. Many wait for two seconds, one for as long as it takes. 2. A key is added for later, and one of the many is told to
 * sleep no longer than until then. 3. Its two seconds are over first: it must leave that to another. */
static void test_who_leaves_passes_the_clock_on(void **state)
{
    (void)state;
    struct patience p = {.q = workqueue_new("t", NULL)};
    pthread_t many[8], one;
    for (int i = 0; i < 8; i++)
        pthread_create(&many[i], NULL, impatient, &p);
    pthread_create(&one, NULL, patient, &p);
    while (atomic_load(&p.waiting) < 9)
        sched_yield();
    workqueue_add_after(p.q, "a", 4000);
    for (int i = 0; i < 8; i++)
        pthread_join(many[i], NULL);
    uint64_t deadline = clock_mono_ns() + 30 * NS_PER_S;
    while (!atomic_load(&p.served) && clock_mono_ns() < deadline)
        usleep(1000);
    bool served = atomic_load(&p.served);
    workqueue_shut_down(p.q);
    pthread_join(one, NULL);
    assert_true(served);
    workqueue_free(p.q);
}

static void test_metrics_count(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct workqueue *q = workqueue_new("deployment", m);
    workqueue_add(q, "a");
    struct buf out;
    buf_init(&out);
    metrics_render(m, &out);
    assert_non_null(strstr(buf_cstr(&out), "workqueue_depth{name=\"deployment\"} 1"));
    buf_free(&out);
    workqueue_free(q);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_twice_is_there_once),
        cmocka_unit_test(test_added_while_processed_comes_back_after_done),
        cmocka_unit_test(test_the_earlier_delay_wins),
        cmocka_unit_test(test_failures_back_off_until_forgotten),
        cmocka_unit_test(test_beyond_the_burst_ten_per_second),
        cmocka_unit_test(test_many_workers_never_share_a_key),
        cmocka_unit_test(test_who_leaves_passes_the_clock_on),
        cmocka_unit_test(test_metrics_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
