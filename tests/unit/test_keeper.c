/*
 * The keeper's thread over a store that fails when it is told to: what it tries again, and when.
 */
#include "apiserver/admission/quota.h"
#include "apiserver/kept/bootstrap.h"
#include "apiserver/kept/keeper.h"
#include "apiserver/services/upkeep.h"
#include "base/mem.h"
#include "tests/unit/api_test.h"
#include <pthread.h>

/* ---- the store ---- */

#define MEMBER "/registry/masterleases/10.0.0.1"

/* What the keeper asked for, and which of it fails. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int puts_to_fail, bootstraps_to_fail;
    unsigned grants, renewals, puts, publishes, bootstraps;
    int64_t lease_of_key; /* 0: this member's key is not there */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void count(unsigned *what)
{
    pthread_mutex_lock(&store.lock);
    (*what)++;
    pthread_cond_broadcast(&store.changed);
    pthread_mutex_unlock(&store.lock);
}

static bool fails(int *left)
{
    pthread_mutex_lock(&store.lock);
    bool fail = *left > 0;
    *left -= fail;
    pthread_mutex_unlock(&store.lock);
    return fail;
}

/* Waits, at most 30 s, until something has been counted so often. */
static bool reaches(const unsigned *what, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&store.lock);
    while (*what < n && pthread_cond_timedwait(&store.changed, &store.lock, &until) == 0)
        ;
    bool reached = *what >= n;
    pthread_mutex_unlock(&store.lock);
    return reached;
}

void kv_read_index(struct kv *kv, struct loop *loop, kv_revision_fn *cb, void *ctx)
{
    (void)kv, (void)loop;
    cb(ctx, 0, 1);
}

void kv_lease_grant(struct kv *kv, int64_t id, int64_t ttl_s, struct loop *loop, kv_lease_fn *cb,
                    void *ctx)
{
    (void)kv, (void)id, (void)loop;
    count(&store.grants);
    cb(ctx, &(struct kv_lease_result){.id = 7, .ttl_s = ttl_s});
}

void kv_lease_keep_alive(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    (void)kv, (void)loop;
    count(&store.renewals);
    cb(ctx, &(struct kv_lease_result){.id = id});
}

void kv_lease_revoke(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    (void)kv, (void)loop;
    assert_int_equal(id, 7);
    store.lease_of_key = 0;
    cb(ctx, &(struct kv_lease_result){.id = id});
}

struct kv_txn_result *kv_txn_wait(struct kv *kv, const struct kv_txn_request *request)
{
    struct kv_txn_result *r = mem_zalloc(sizeof *r);
    (void)kv;
    assert_int_equal(request->then_len, 1);
    const struct kv_op *op = request->then;
    assert_true(str_eqz(op->put.key, MEMBER));
    r->message = "";
    if (fails(&store.puts_to_fail)) {
        r->code = ERR_TIMEOUT;
    } else {
        r->succeeded = true;
        store.lease_of_key = op->put.lease;
    }
    count(&store.puts);
    return r;
}

void kv_txn_result_free(struct kv_txn_result *result)
{
    mem_free(result);
}

struct str kv_prefix_end(struct arena *a, struct str prefix)
{
    (void)a;
    return prefix;
}

int kv_range(struct kv *kv, const struct kv_range_request *request, struct arena *a,
             struct kv_range_result *out, struct error *err)
{
    (void)kv, (void)request, (void)a, (void)err;
    *out = (struct kv_range_result){.rev = 1};
    return 0;
}

void kv_compact(struct kv *kv, int64_t rev, bool physical, struct loop *loop, kv_revision_fn *cb,
                void *ctx)
{
    (void)kv, (void)physical, (void)loop;
    cb(ctx, 0, rev);
}

int64_t kv_current_revision(const struct kv *kv)
{
    (void)kv;
    return 1;
}

int64_t kv_compacted_revision(const struct kv *kv)
{
    (void)kv;
    return 0;
}

void kv_status(struct kv *kv, struct kv_status *out)
{
    (void)kv;
    *out = (struct kv_status){.member_id = 1, .leader_id = 1};
}

/* ---- what else it looks after ---- */

int bootstrap_objects(struct apiserver *s, bool first, struct error *err)
{
    (void)s, (void)first;
    bool fail = fails(&store.bootstraps_to_fail);
    count(&store.bootstraps);
    return fail ? error_set(err, ERR_TIMEOUT, "no leader") : 0;
}

int bootstrap_endpoints(struct apiserver *s, struct arena *a, const char *const *ips,
                        size_t ips_len, struct error *err)
{
    (void)s, (void)a, (void)ips, (void)ips_len, (void)err;
    count(&store.publishes);
    return 0;
}

int service_cidrs_upkeep(struct apiserver *s, struct error *err)
{
    (void)s, (void)err;
    return 0;
}

int service_repair(struct apiserver *s, struct service_repairs *out, struct error *err)
{
    (void)s, (void)err;
    *out = (struct service_repairs){0};
    return 0;
}

unsigned quota_recount(struct apiserver *s)
{
    (void)s;
    return 0;
}

/* ---- the tests ---- */

static struct apiserver *server_new(void)
{
    struct apiserver *s = mem_zalloc(sizeof *s);
    s->config.advertise_address = "10.0.0.1";
    s->config.member_ttl_s = 1;
    return s;
}

/* The lease is granted, the write of the key fails: a lease without its key is not enough. */
static void test_announced_until_written(void **state)
{
    struct apiserver *s = server_new();
    (void)state;
    store.puts_to_fail = 2;
    struct keeper *k = keeper_start(s);
    assert_true(reaches(&store.publishes, 1));
    assert_int_equal(store.puts, 3);
    assert_int_equal(store.grants, 1);
    assert_int_equal(store.lease_of_key, 7);
    assert_true(reaches(&store.renewals, 4)); /* once it is there it is renewed only */
    assert_int_equal(store.puts, 3);
    keeper_stop(k);
    assert_int_equal(store.lease_of_key, 0);
    mem_free(s);
}

/* Nothing is served before the first objects are there. */
static void test_bootstrap_until_done(void **state)
{
    struct apiserver *s = server_new();
    (void)state;
    unsigned before = store.bootstraps;
    store.bootstraps_to_fail = 2;
    struct keeper *k = keeper_start(s);
    assert_true(reaches(&store.bootstraps, before + 3));
    keeper_stop(k);
    assert_true(atomic_load(&s->bootstrapped));
    mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announced_until_written),
        cmocka_unit_test(test_bootstrap_until_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
