/*
 * The lease checker (check_lease.h). Every pair of a sign of life and a sign of death is compared: leases
 * have tens of operations.
 */
#include "tests/robustness/check_lease.h"

#include <inttypes.h>

static bool revoked_before(const struct lease_history *h, uint64_t ns)
{
    for (size_t i = 0; i < h->ops_len; i++)
        if (h->ops[i].kind == LEASE_REVOKE && h->ops[i].start_ns < ns)
            return true;
    return false;
}

/* `dead` found the lease or its key gone. */
static bool check_death(const struct lease_history *h, const struct lease_op *dead,
                        struct verdict *v)
{
    bool revoked = revoked_before(h, dead->end_ns);
    for (size_t i = 0; i < h->ops_len; i++) {
        const struct lease_op *o = &h->ops[i];
        bool alive = o->kind == LEASE_REFRESH || o->kind == LEASE_PRESENT;
        if (alive && o->start_ns > dead->end_ns)
            return verdict_fail(v, "lease %" PRIx64 " came back: seen gone, then %s", h->id,
                                o->kind == LEASE_REFRESH ? "kept alive" : "its key was there");
        if (o->kind == LEASE_REFRESH && !revoked && dead->end_ns < o->start_ns + o->ttl_ns)
            return verdict_fail(v,
                                "early expiry: lease %" PRIx64
                                " gone %.3f s before a refresh's TTL "
                                "of %.0f s was over",
                                h->id, (double)(o->start_ns + o->ttl_ns - dead->end_ns) / 1e9,
                                (double)o->ttl_ns / 1e9);
    }
    return true;
}

static bool check_life(const struct lease_history *h, const struct lease_op *alive,
                       struct verdict *v)
{
    for (size_t i = 0; i < h->ops_len; i++)
        if (h->ops[i].kind == LEASE_REVOKE && !h->ops[i].unknown &&
            h->ops[i].end_ns < alive->start_ns)
            return verdict_fail(v, "lease %" PRIx64 " lives after its revocation", h->id);
    if (h->gone_by_ns && alive->kind == LEASE_PRESENT && alive->start_ns > h->gone_by_ns)
        return verdict_fail(v, "lease %" PRIx64 " did not expire: its key is there %.1f s too late",
                            h->id, (double)(alive->start_ns - h->gone_by_ns) / 1e9);
    return true;
}

void check_lease(const struct lease_history *h, struct verdict *v)
{
    for (size_t i = 0; i < h->ops_len && !v->bad; i++) {
        const struct lease_op *o = &h->ops[i];
        if (o->kind == LEASE_GONE || o->kind == LEASE_ABSENT)
            check_death(h, o, v);
        else if (o->kind != LEASE_REVOKE)
            check_life(h, o, v);
    }
}
