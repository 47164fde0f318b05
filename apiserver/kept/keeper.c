/*
 * The keeper's thread: see keeper.h. It blocks in the store (kv_txn_wait), which loops must not; stopping
 * interrupts its waits, and every step is safe to repeat by another member at the same time.
 */
#include "apiserver/kept/keeper.h"
#include "apiserver/admission/quota.h"
#include "apiserver/kept/bootstrap.h"
#include "apiserver/services/upkeep.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMBER_PREFIX "/registry/masterleases/"
#define RETRY_MS 200

struct keeper {
    struct apiserver *s;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    int64_t lease;  /* this member's; 0: none */
    bool announced; /* the lease holds this member's key */
    int64_t compact_next_ns, compact_rev;
    int64_t repair_next_ns; /* 0: not yet done */
    int64_t restored_rev;   /* nothing was written since the kept objects were looked at */
};

/* ---- waiting ---- */

static bool stopping(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool stop = k->stop;
    pthread_mutex_unlock(&k->lock);
    return stop;
}

/* Sleep; true when asked to stop. */
static bool pause_ms(struct keeper *k, uint64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&k->lock);
    while (!k->stop && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
        ;
    bool stop = k->stop;
    pthread_mutex_unlock(&k->lock);
    return stop;
}

/* An asynchronous call of the store, waited for. */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool here;
    int code;
    int64_t value;
};

static void answer_init(struct answer *a)
{
    *a = (struct answer){.here = false};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->done, NULL);
}

static void answer_give(struct answer *a, int code, int64_t value)
{
    pthread_mutex_lock(&a->lock);
    a->here = true;
    a->code = code;
    a->value = value;
    pthread_cond_signal(&a->done);
    pthread_mutex_unlock(&a->lock);
}

static int answer_wait(struct answer *a, int64_t *value)
{
    pthread_mutex_lock(&a->lock);
    while (!a->here)
        pthread_cond_wait(&a->done, &a->lock);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->done);
    if (value)
        *value = a->value;
    return a->code;
}

static void on_lease(void *ctx, const struct kv_lease_result *r)
{
    answer_give(ctx, r->code, r->id);
}

static void on_revision(void *ctx, int code, int64_t rev)
{
    answer_give(ctx, code, rev);
}

/* ---- membership ---- */

/* A lease that lives: the one there is, or a new one that holds no key yet. */
static int hold_lease(struct keeper *k)
{
    struct answer a;
    if (k->lease) {
        answer_init(&a);
        kv_lease_keep_alive(k->s->kv, k->lease, NULL, on_lease, &a);
        if (answer_wait(&a, NULL) == 0)
            return 0;
    }
    k->lease = 0;
    k->announced = false;
    answer_init(&a);
    kv_lease_grant(k->s->kv, 0, (int64_t)k->s->config.member_ttl_s, NULL, on_lease, &a);
    int64_t id;
    int rc = answer_wait(&a, &id);
    if (rc == 0)
        k->lease = id;
    return rc;
}

/* The key that says this member lives, on a lease. Whether a write that failed took place is not known: it is
 * repeated until one succeeds, else a lease that is renewed would hold nothing. */
static int announce(struct keeper *k)
{
    struct apiserver *s = k->s;
    int rc = hold_lease(k);
    if (rc < 0 || k->announced)
        return rc;
    char key[128];
    snprintf(key, sizeof key, MEMBER_PREFIX "%s", s->config.advertise_address);
    struct kv_op put = {.type = KV_OP_PUT,
                        .put = {.key = str_from(key),
                                .value = str_from(s->config.advertise_address),
                                .lease = k->lease}};
    struct kv_txn_request txn = {.then = &put, .then_len = 1};
    struct kv_txn_result *r = kv_txn_wait(s->kv, &txn);
    rc = r->code;
    k->announced = rc == 0;
    kv_txn_result_free(r);
    return rc;
}

static void withdraw(struct keeper *k)
{
    if (!k->lease)
        return;
    struct answer a;
    answer_init(&a);
    kv_lease_revoke(k->s->kv, k->lease, NULL, on_lease, &a);
    answer_wait(&a, NULL);
}

/* The addresses of all living members, and the endpoints that follow. */
static int publish(struct keeper *k)
{
    struct arena a;
    struct error err = {0};
    struct kv_range_result out;
    arena_init(&a);
    struct kv_range_request rq = {.key = STR(MEMBER_PREFIX),
                                  .end = kv_prefix_end(&a, STR(MEMBER_PREFIX))};
    int rc = kv_range(k->s->kv, &rq, &a, &out, &err);
    if (rc == 0) {
        const char **ips = arena_array(&a, const char *, out.pairs_len + 1);
        for (size_t i = 0; i < out.pairs_len; i++)
            ips[i] = arena_strndup(&a, out.pairs[i].value.p, out.pairs[i].value.n);
        rc = bootstrap_endpoints(k->s, &a, ips, out.pairs_len, &err);
    }
    if (rc < 0 && rc != ERR_CONFLICT)
        log_warn("keeper", "endpoints of kubernetes not published → again soon error=\"%s\"",
                 err.message);
    arena_free(&a);
    return rc;
}

/* ---- compaction ---- */

/*
 * Every interval: note the present revision and compact at the one noted an interval ago, so that
 * watches and continue tokens have that long. All members do it; whoever comes second finds it done.
 */
static void compact(struct keeper *k)
{
    struct apiserver *s = k->s;
    uint64_t interval_ns = s->config.compaction_interval_s * NS_PER_S;
    int64_t now = (int64_t)clock_mono_ns();
    if (!interval_ns || now < k->compact_next_ns)
        return;
    k->compact_next_ns = now + (int64_t)interval_ns;
    int64_t target = k->compact_rev;
    k->compact_rev = kv_current_revision(s->kv);
    if (target <= kv_compacted_revision(s->kv))
        return;
    struct answer a;
    answer_init(&a);
    kv_compact(s->kv, target, false, NULL, on_revision, &a);
    int rc = answer_wait(&a, NULL);
    if (rc == 0)
        log_info("keeper", "history compacted rev=%lld", (long long)target);
    else if (rc != ERR_COMPACTED)
        log_warn("keeper", "compaction failed → again later code=%d rev=%lld", rc,
                 (long long)target);
}

/* ---- the thread ---- */

#define UPKEEP_MS 1000             /* between looks at ServiceCIDRs */
#define REPAIR_NS (180 * NS_PER_S) /* between looks at all claims, on the leader */

/* What is small and soon wanted: ranges that are new or going. */
static void upkeep(struct keeper *k)
{
    struct error err = {0};
    if (service_cidrs_upkeep(k->s, &err) < 0)
        log_warn("keeper", "ServiceCIDRs were not looked after → again soon error=\"%s\"",
                 err.message);
}

/* Claims that nobody has, and services without: the leader looks every few minutes, everybody at the start. */
static void repair(struct keeper *k)
{
    struct service_repairs done;
    struct error err = {0};
    struct kv_status st;
    int64_t now = (int64_t)clock_mono_ns();
    kv_status(k->s->kv, &st);
    if (k->repair_next_ns && (now < k->repair_next_ns || st.leader_id != st.member_id))
        return;
    if (service_repair(k->s, &done, &err) < 0)
        log_warn("keeper", "claims of services were not checked → again soon error=\"%s\"",
                 err.message);
    else
        k->repair_next_ns = now + (int64_t)REPAIR_NS;
}

/* Deleted or changed objects come back. */
static void restore(struct keeper *k)
{
    struct error err = {0};
    int64_t rev = kv_current_revision(k->s->kv);
    if (rev == k->restored_rev)
        return;
    if (bootstrap_objects(k->s, false, &err) == 0)
        k->restored_rev = rev;
    else if (err.code != ERR_UNAVAILABLE && err.code != ERR_TIMEOUT)
        log_warn("keeper", "kept objects are not as they should be → again soon error=\"%s\"",
                 err.message);
}

static bool bootstrap(struct keeper *k)
{
    while (!stopping(k)) {
        struct error err = {0}; /* of this attempt */
        struct answer a;
        answer_init(&a);
        kv_read_index(k->s->kv, NULL, on_revision, &a);
        if (answer_wait(&a, NULL) == 0 && bootstrap_objects(k->s, true, &err) == 0) {
            atomic_store(&k->s->bootstrapped, true);
            log_info("keeper", "bootstrap objects are in place → ready rev=%lld",
                     (long long)kv_current_revision(k->s->kv));
            return true;
        }
        if (err.code && err.code != ERR_UNAVAILABLE && err.code != ERR_TIMEOUT)
            log_warn("keeper", "bootstrap failed → again error=\"%s\"", err.message);
        if (pause_ms(k, RETRY_MS))
            return false;
    }
    return false;
}

static void *keeper_run(void *arg)
{
    struct keeper *k = arg;
    if (!bootstrap(k))
        return NULL;
    bool member = k->s->config.advertise_address != NULL;
    uint64_t period_ms = MAX(k->s->config.member_ttl_s * 1000 / 3, 500u);
    k->compact_rev = 0;
    while (!stopping(k)) {
        int rc = member ? announce(k) : 0;
        if (rc == 0)
            rc = publish(k);
        compact(k);
        restore(k);
        repair(k);
        quota_recount(k->s);
        upkeep(k);
        bool stop = false;
        for (uint64_t ms = 0; rc == 0 && !stop && ms < period_ms; ms += UPKEEP_MS) {
            stop = pause_ms(k, MIN(period_ms - ms, (uint64_t)UPKEEP_MS));
            if (!stop)
                upkeep(k);
        }
        if (stop || (rc < 0 && pause_ms(k, RETRY_MS)))
            break;
    }
    if (member)
        withdraw(k);
    return NULL;
}

struct keeper *keeper_start(struct apiserver *s)
{
    struct keeper *k = mem_zalloc(sizeof *k);
    k->s = s;
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&k->thread, NULL, keeper_run, k) != 0) {
        log_error("keeper", "cannot start its thread");
        abort();
    }
    return k;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    mem_free(k);
}
