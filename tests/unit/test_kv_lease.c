/*
 * How long leases last over elections (kvstore/lease.h): the table against a clock of the test's own, and what a real
 * store's checkpoint leaves on disk.
 */
#include "base/clock.h"
#include "base/log.h"
#include "kvstore/lease.h"
#include "kvstore/proposal.h"
#include "tests/unit/store_test.h"
#include <semaphore.h>
#include <unistd.h>

#define S(n_) ((uint64_t)(n_)*NS_PER_S)
#define EVERY 300  /* seconds between two checkpoints of a lease */
#define EXTRA S(2) /* what an election adds */

static int64_t left(struct lease_table *t, int64_t id, uint64_t now)
{
    int64_t ttl, remaining = -1;
    lease_table_get(t, id, now, &ttl, &remaining);
    return remaining;
}

/* Due leases have their checkpoints applied, as the log would bring them back. */
static size_t checkpoint(struct lease_table *t, uint64_t now)
{
    struct lease_left due[8];
    int64_t ttl;
    size_t n = lease_table_checkpoints(t, now, due, ARRAY_LEN(due));
    for (size_t i = 0; i < n; i++)
        assert_true(lease_table_set_remaining(t, due[i].id, due[i].remaining_s, now, &ttl));
    return n;
}

static void checkpoints_outlive_elections(void **state)
{
    struct lease_table t;
    int64_t ttl;
    (void)state;
    lease_table_init(&t, S(EVERY));
    lease_table_lead(&t, 1, EXTRA, S(10));
    lease_table_add(&t, 1, 1000, 0, S(10));
    lease_table_add(&t, 2, EVERY, 0, S(10)); /* too short for any */
    assert_int_equal(checkpoint(&t, S(10 + EVERY) - 1), 0);
    assert_int_equal(checkpoint(&t, S(10 + EVERY)), 1);
    assert_int_equal(checkpoint(&t, S(10 + EVERY)), 0);
    assert_int_equal(left(&t, 1, S(10 + EVERY)), 1000 - EVERY);

    lease_table_follow(&t);
    assert_int_equal(left(&t, 1, S(400)), 1000); /* who does not lead does not know */
    lease_table_lead(&t, 2, EXTRA, S(400));
    assert_int_equal(left(&t, 1, S(400)), 1000 - EVERY + 2);
    assert_int_equal(left(&t, 2, S(400)), EVERY + 2); /* its full time again */

    /* A renewal has to take the checkpoint back first: else the next leader would end the lease too early. */
    assert_int_equal(lease_table_renew(&t, 2, 1, S(450), &ttl), LEASE_CHECKPOINT);
    assert_true(lease_table_set_remaining(&t, 1, 0, S(450), &ttl));
    assert_int_equal(lease_table_renew(&t, 2, 1, S(450), &ttl), LEASE_LIVE);
    lease_table_lead(&t, 3, EXTRA, S(460));
    assert_int_equal(left(&t, 1, S(460)), 1000 + 2);
    lease_table_free(&t);
}

/* No checkpoint says more than the lease ever had, nor anything of one that is over. */
static void only_less_is_written_down(void **state)
{
    struct lease_table t;
    (void)state;
    lease_table_init(&t, S(EVERY));
    lease_table_add(&t, 1, EVERY + 10, 0, 0);
    lease_table_lead(&t, 1, S(1000), 0);
    assert_int_equal(checkpoint(&t, S(EVERY)), 0);     /* 1,010 s are left of 310 */
    assert_int_equal(checkpoint(&t, S(5 * EVERY)), 0); /* it is over */
    lease_table_free(&t);
}

struct answer {
    sem_t there;
    int code;
    int64_t remaining_s;
};

static void on_answer(void *ctx, const struct kv_lease_result *r)
{
    struct answer *a = ctx;
    a->code = r->code;
    a->remaining_s = r->remaining_s;
    sem_post(&a->there);
}

static int64_t remaining(struct kv *kv, struct answer *a)
{
    kv_lease_remaining(kv, 7, NULL, on_answer, a);
    sem_wait(&a->there);
    assert_int_equal(a->code, 0);
    return a->remaining_s;
}

/* The record is on disk: started again, the store goes on from it. */
static void checkpoints_outlive_restarts(void **state)
{
    char dir[STORE_DIR_MAX];
    struct answer a;
    (void)state;
    sem_init(&a.there, 0, 0);
    store_dir_make(dir, "lease");
    const struct kv_options o = {.data_dir = dir, .map_bytes = 256u << 20, .lease_checkpoint_s = 1};
    struct kv *kv = store_open(&o);
    kv_lease_grant(kv, 7, 1000, NULL, on_answer, &a);
    sem_wait(&a.there);
    assert_int_equal(a.code, 0);
    /* An election gives a second or two: less than 998 of 1,000 is what a checkpoint left. */
    int64_t most = 1000;
    for (int i = 0; i < 60 && most >= 998; i++) {
        sleep(4);
        kv_close(kv);
        kv = store_open(&o);
        most = remaining(kv, &a);
    }
    assert_true(most < 998);
    kv_close(kv);
    store_dir_remove(dir);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_outlive_elections),
        cmocka_unit_test(only_less_is_written_down),
        cmocka_unit_test(checkpoints_outlive_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
