/*
 * Leader election by Lease (client/leader_election.h): one thread that tries to acquire or renew
 * every retry period.
 *
 * Safety. Let D be the lease duration and R < D the renew deadline. A leader's last successful
 * renewal was sent at its time t; it stops by t + R, since no request or pause of its later ones
 * goes on for longer. A candidate saw that renewal when an answer told it, at its own time t' ≥ t,
 * and waits until t' + D > t + R. (The time of the question would not do: it may be older than t.)
 * Clocks only measure durations, so they need equal speed, not equal time. The compare-and-swap on
 * resourceVersion makes two candidates' updates exclude each other.
 */
#include "client/leader_election.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "proto/coordination_v1.pb-c.h"
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#define THREAD_STACK_BYTES (256 * 1024)

struct leader_election {
    struct leader_config config;
    char *ns, *name, *identity;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool stop;   /* under lock */
    bool leader; /* under lock */

    /* The thread's own. */
    char *seen_holder;   /* last observed record … */
    char *seen_version;  /* … its resourceVersion … */
    uint64_t seen_ns;    /* … and when it changed last, by our clock */
    uint64_t renewed_ns; /* when our last successful renewal was sent */
    uint64_t seen_duration_ms;
};

/* The server has just told us of this lease. */
static void remember(struct leader_election *e, const Coordination__V1__Lease *lease)
{
    const char *holder = lease->spec->holder_identity ? lease->spec->holder_identity : "";
    if (cstr_eq(e->seen_version, lease->metadata->resource_version))
        return;
    bool changed = !e->seen_holder || !cstr_eq(e->seen_holder, holder);
    mem_free(e->seen_version);
    mem_free(e->seen_holder);
    e->seen_version = mem_strdup(lease->metadata->resource_version);
    e->seen_holder = mem_strdup(holder);
    e->seen_ns = clock_mono_ns();
    /* The holder's own promise, when it is longer than ours. */
    e->seen_duration_ms =
        MAX((uint64_t)e->config.lease_duration_ms,
            (uint64_t)MAX(api_get(lease->spec, lease_duration_seconds, 0), 0) * 1000);
    if (changed && *holder) {
        log_info("leader", "lease has a holder lease=%s/%s holder=%s", e->ns, e->name, holder);
        if (e->config.observed)
            e->config.observed(e->config.ctx, holder);
    }
}

static bool held_by_other(const struct leader_election *e)
{
    if (!e->seen_holder || !*e->seen_holder || cstr_eq(e->seen_holder, e->identity))
        return false;
    return clock_mono_ns() < e->seen_ns + e->seen_duration_ms * NS_PER_MS;
}

static void fill(struct leader_election *e, struct arena *a, Coordination__V1__Lease *lease)
{
    bool mine = lease->spec->holder_identity && cstr_eq(lease->spec->holder_identity, e->identity);
    int32_t transitions = api_get(lease->spec, lease_transitions, 0);
    if (!mine) {
        lease->spec->acquire_time = micro_time_now(a);
        if (*lease->metadata->resource_version) /* also of one that was given up */
            transitions++;
    }
    lease->spec->holder_identity = e->identity;
    api_set(lease->spec, lease_duration_seconds,
            (int32_t)((e->config.lease_duration_ms + 999) / 1000));
    api_set(lease->spec, lease_transitions, transitions);
    lease->spec->renew_time = micro_time_now(a);
}

/* Both try half the deadline at most, so that another server can be tried; a leader not past its. */
static uint32_t try_ms(const struct leader_election *e, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t left_ms = until_ns > now ? (until_ns - now) / NS_PER_MS : 0;
    return (uint32_t)MAX(MIN(e->config.renew_deadline_ms / 2, left_ms), 1);
}

/* The lease names us from now on. One without a resourceVersion is created. */
static int write_lease(struct leader_election *e, struct arena *a, Coordination__V1__Lease *lease,
                       uint64_t until_ns, struct error *err)
{
    bool create = !*lease->metadata->resource_version;
    fill(e, a, lease);
    struct client_options o = {.timeout_ms = try_ms(e, until_ns)};
    uint64_t sent = clock_mono_ns();
    lease = create ? client_create(e->config.client, RESOURCE_LEASES, lease, &o, a, err)
                   : client_update(e->config.client, RESOURCE_LEASES, lease, &o, a, err);
    if (!lease)
        return err->code;
    remember(e, lease);
    e->renewed_ns = sent;
    return 0;
}

static int create_lease(struct leader_election *e, struct arena *a, uint64_t until_ns,
                        struct error *err)
{
    Coordination__V1__Lease *lease = api_new(a, Coordination__V1__Lease);
    lease->metadata->namespace_ = e->ns;
    lease->metadata->name = e->name;
    if (!lease->spec)
        lease->spec = api_new(a, Coordination__V1__LeaseSpec);
    return write_lease(e, a, lease, until_ns, err);
}

/* Acquire or renew once, trying until then at most. 0: we hold the lease. */
static int try_once(struct leader_election *e, uint64_t until_ns, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct client_options o = {.timeout_ms = try_ms(e, until_ns)};
    Coordination__V1__Lease *lease =
        client_get(e->config.client, RESOURCE_LEASES, e->ns, e->name, &o, &a, err);
    int rc;
    if (!lease && err->code == ERR_NOT_FOUND) {
        rc = create_lease(e, &a, until_ns, err);
    } else if (!lease) {
        rc = err->code;
    } else {
        remember(e, lease);
        rc = held_by_other(e) ? error_set(err, ERR_DENIED, "held by %s", e->seen_holder)
                              : write_lease(e, &a, lease, until_ns, err);
    }
    arena_free(&a);
    return rc;
}

static void set_leader(struct leader_election *e, bool leader)
{
    pthread_mutex_lock(&e->lock);
    e->leader = leader;
    pthread_mutex_unlock(&e->lock);
}

/* Sleep until then. False: stop. */
static bool nap(struct leader_election *e, uint64_t end)
{
    struct timespec ts = {.tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S)};
    pthread_mutex_lock(&e->lock);
    int rc = 0;
    while (!e->stop && rc == 0)
        rc = pthread_cond_timedwait(&e->cond, &e->lock, &ts);
    bool go_on = !e->stop;
    pthread_mutex_unlock(&e->lock);
    return go_on;
}

/* A retry period from now; a candidate's with jitter. */
static uint64_t next_try(const struct leader_election *e, bool jitter)
{
    uint64_t ms = e->config.retry_period_ms;
    if (jitter)
        ms += random_u64() % (ms + ms / 5 + 1);
    return clock_mono_ns() + ms * NS_PER_MS;
}

/* When it has to stop unless the lease is renewed before. */
static uint64_t leads_until(const struct leader_election *e)
{
    return e->renewed_ns + e->config.renew_deadline_ms * NS_PER_MS;
}

/* Lead until the lease is lost or we are told to stop. */
static void lead(struct leader_election *e)
{
    log_info("leader", "became leader lease=%s/%s identity=%s", e->ns, e->name, e->identity);
    set_leader(e, true);
    e->config.started(e->config.ctx);
    while (nap(e, MIN(next_try(e, false), leads_until(e)))) {
        struct error err = {0};
        int rc = try_once(e, leads_until(e), &err);
        if (rc == 0)
            continue;
        if (rc == ERR_DENIED && !cstr_eq(e->seen_holder, e->identity)) {
            log_error("leader", "lost the lease to another error=\"%s\"", err.message);
            break;
        }
        log_warn("leader", "cannot renew the lease error=\"%s\"", err.message);
        if (clock_mono_ns() >= leads_until(e)) {
            log_error("leader", "not renewed within the deadline, stepping down lease=%s/%s", e->ns,
                      e->name);
            break;
        }
    }
    set_leader(e, false);
    e->config.stopped(e->config.ctx);
}

static void give_up_lease(struct leader_election *e)
{
    struct arena a;
    arena_init(&a);
    struct error err = {0};
    struct client_options o = {.timeout_ms = 2000};
    Coordination__V1__Lease *lease =
        client_get(e->config.client, RESOURCE_LEASES, e->ns, e->name, &o, &a, &err);
    if (lease && lease->spec->holder_identity &&
        cstr_eq(lease->spec->holder_identity, e->identity)) {
        lease->spec->holder_identity = NULL;
        api_set(lease->spec, lease_duration_seconds, 1);
        lease->spec->renew_time = micro_time_now(&a);
        if (!client_update(e->config.client, RESOURCE_LEASES, lease, &o, &a, &err))
            log_warn("leader", "could not release the lease error=\"%s\"", err.message);
    }
    arena_free(&a);
}

static void *election_thread(void *arg)
{
    struct leader_election *e = arg;
    bool go_on = true;
    while (go_on) {
        struct error err = {0};
        if (try_once(e, UINT64_MAX, &err) == 0) {
            lead(e);
            if (e->config.release_on_stop)
                give_up_lease(e);
        } else if (err.code != ERR_DENIED && err.code != ERR_CONFLICT && err.code != ERR_EXISTS) {
            log_warn("leader", "cannot acquire the lease error=\"%s\"", err.message);
        }
        go_on = nap(e, next_try(e, true));
    }
    return NULL;
}

static char *default_identity(void)
{
    char host[HOST_NAME_MAX + 1] = "", uuid[37];
    gethostname(host, sizeof host - 1);
    random_uuid(uuid);
    return mem_printf("%s_%s", host, uuid);
}

struct leader_election *leader_election_start(const struct leader_config *config)
{
    struct leader_election *e = mem_zalloc(sizeof *e);
    e->config = *config;
    if (!e->config.lease_duration_ms)
        e->config.lease_duration_ms = 15000;
    if (!e->config.renew_deadline_ms)
        e->config.renew_deadline_ms = 10000;
    if (!e->config.retry_period_ms)
        e->config.retry_period_ms = 2000;
    assert(e->config.renew_deadline_ms < e->config.lease_duration_ms);
    assert(e->config.retry_period_ms < e->config.renew_deadline_ms);
    e->ns = mem_strdup(config->ns ? config->ns : "kube-system");
    e->name = mem_strdup(config->name);
    e->identity = config->identity ? mem_strdup(config->identity) : default_identity();
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_t cond;
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&e->cond, &cond);
    pthread_condattr_destroy(&cond);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    int rc = pthread_create(&e->thread, &attr, election_thread, e);
    assert(rc == 0);
    (void)rc;
    pthread_attr_destroy(&attr);
    return e;
}

bool leader_election_is_leader(struct leader_election *e)
{
    pthread_mutex_lock(&e->lock);
    bool leader = e->leader;
    pthread_mutex_unlock(&e->lock);
    return leader;
}

void leader_election_free(struct leader_election *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    pthread_cond_destroy(&e->cond);
    pthread_mutex_destroy(&e->lock);
    mem_free(e->ns);
    mem_free(e->name);
    mem_free(e->identity);
    mem_free(e->seen_holder);
    mem_free(e->seen_version);
    mem_free(e);
}
