/*
 * The life of one lease with one key on it: never ended early, ended in the end.
 */
#ifndef C8S_ROBUSTNESS_CHECK_LEASE_H
#define C8S_ROBUSTNESS_CHECK_LEASE_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

enum lease_kind {
    LEASE_REFRESH, /* granted, or kept alive, with the TTL answered */
    LEASE_GONE,    /* a keep-alive was answered "no such lease" */
    LEASE_REVOKE,
    LEASE_PRESENT, /* a linearizable read of the key found it */
    LEASE_ABSENT,  /* … did not */
};

struct lease_op {
    enum lease_kind kind;
    bool unknown;    /* REVOKE only; other operations without an answer are not recorded */
    uint64_t ttl_ns; /* REFRESH */
    uint64_t start_ns, end_ns;
};

struct lease_history {
    int64_t id; /* for people */
    const struct lease_op *ops;
    size_t ops_len;
    /* The key must be gone in reads that begin after this time: the last refresh, or the end of all faults
     * (an election gives leases their time anew), plus TTL and what the machine may take. 0: unknown. */
    uint64_t gone_by_ns;
};

/*
 * A refresh that succeeded at some time after its start s promises the lease until s + TTL. So nobody may find the key
 * absent, or the lease gone, before that (unless it was revoked); a refresh may not succeed after that; what is
 * gone stays gone; and it is gone after a revocation, and by gone_by_ns. The first refresh is the grant,
 * and the key was put before the first read.
 */
void check_lease(const struct lease_history *h, struct verdict *v);

#endif
