/*
 * Leases: a client that was told that its lease is good for so long finds it there for so long; one that
 * nobody renews ends.
 */
#include "shim_net.h"
#include "client.h"

#include "base/mem.h"
#include "kvstore/members/level.h"
#include <string.h>

#define LEASE_FIRST 7000
/* A member's clock may run slower or faster than the client's. */
#define DRIFT_MARGIN_US(ttl_us) ((ttl_us) * (W.weather.drift_ppm + 1) / 500000 + 2 * MS)

int64_t random_lease(void)
{
    if (!O.leases.len)
        return 0;
    const struct oracle_lease *l = &O.leases.items[chance_below(O.leases.len)];
    for (size_t i = 0; i < O.leases.len && !l->live; i++)
        l = &O.leases.items[i];
    return l->live || chance(50) ? l->id : 0;
}

/* A grant or renewal was acknowledged: counted from when it was asked for, the TTL must be there. */
static void promise(const struct call *c, int64_t ttl_s)
{
    struct oracle_lease *l = oracle_lease(c->lease);
    uint64_t ttl_us = (uint64_t)ttl_s * SECOND, until = c->invoked_us + ttl_us;
    until -= MIN(DRIFT_MARGIN_US(ttl_us), until);
    if (!l)
        broken("lease %lld is acknowledged, but nobody has granted it", (long long)c->lease);
    if (!l->live && l->ended_us < until && !l->client_revoked)
        broken("lease %lld was acknowledged for %lld s at %llu ms and has ended at %llu ms",
               (long long)c->lease, (long long)ttl_s, (unsigned long long)(c->invoked_us / MS),
               (unsigned long long)(l->ended_us / MS));
    l->good_until_us = MAX(l->good_until_us, until);
}

static void lease_answered(void *ctx, const struct kv_lease_result *r)
{
    struct call *c = ctx;
    call_answered(c);
    trace("lease %lld, call %d answered by member %u: code %d, ttl %lld", (long long)c->lease,
          (int)c->kind, c->member->number, r->code, (long long)r->ttl_s);
    if (r->code == 0) {
        counts.leases++;
        member_saw(c->member, r->rev);
        /* Through the log a renewal says nothing of a revocation that is under way (docs/testing.md). */
        if (c->kind != CALL_REVOKE) {
            if (!c->through_log)
                promise(c, r->ttl_s);
        } else if (oracle_lease(c->lease) && oracle_lease(c->lease)->live) {
            broken("lease %lld is revoked, says member %u, and lives on", (long long)c->lease,
                   c->member->number);
        }
    }
    call_done(c);
}

static void grant_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    c->invoked_us = W.now;
    kv_lease_grant(c->member->kv, c->lease, c->ttl_s, c->member->loop, lease_answered, c);
}

static void keep_alive_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    c->invoked_us = W.now;
    c->through_log = kv_level(c->member->kv) < KV_LEVEL;
    kv_lease_keep_alive(c->member->kv, c->lease, c->member->loop, lease_answered, c);
}

static void revoke_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    kv_lease_revoke(c->member->kv, c->lease, c->member->loop, lease_answered, c);
}

void lease_step(struct member *m)
{
    int64_t id = random_lease();
    struct oracle_lease *l = id ? oracle_lease(id) : NULL;
    uint64_t what = chance_below(100);
    if (!l || what < 25) {
        struct call *c = call_new(m, CALL_GRANT);
        c->lease = LEASE_FIRST + (int64_t)W.leases_asked++;
        c->ttl_s = 1 + (int64_t)chance_below(3);
        call_post(c, grant_invoke);
    } else if (what < 92) {
        struct call *c = call_new(m, CALL_KEEP_ALIVE);
        c->lease = id;
        l->renewed_us = W.now;
        call_post(c, keep_alive_invoke);
    } else {
        struct call *c = call_new(m, CALL_REVOKE);
        c->lease = id;
        l->client_revoked = true;
        call_post(c, revoke_invoke);
    }
}

bool leases_settled(void)
{
    for (size_t i = 0; i < O.leases.len; i++)
        if (O.leases.items[i].live)
            return false;
    return true;
}
