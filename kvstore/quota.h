/*
 * The space quota (--quota-backend-bytes): counts the bytes in use by the state (not Raft's log, not free pages)
 * and refuses what grows it before it is proposed. Nothing is refused when it is applied: members measure
 * different sizes, and must not differ in what they apply.
 *
 * Use is measured by the house thread a few times a second; between two measurements every request adds what it
 * may cost at most. The first one refused raises the alarm NOSPACE of this member (kvstore/alarm.h), which
 * binds the others as well, until somebody clears it.
 */
#ifndef C8S_KVSTORE_QUOTA_H
#define C8S_KVSTORE_QUOTA_H

#include "kvstore/kv.h"

struct logdb_info;

#define QUOTA_LEASE_COST 64 /* bytes, as etcd counts them */

struct quota {
    _Atomic uint64_t used;     /* as last measured */
    _Atomic uint64_t promised; /* what requests may have added since */
    atomic_bool exceeded;      /* something was refused: the alarm is due */
    atomic_bool raising;       /* proposed, not ended */
};

/* What a transaction may add: the dearer of its branches; 0 when it puts nothing. */
uint64_t quota_txn_cost(const struct kv_txn_request *t);
/* May a request that costs this be proposed? Any thread, no lock. cost 0: always. */
bool quota_take(struct kv *kv, uint64_t cost);
/* House thread: measure, raise the alarm when due. */
void quota_step(struct kv *kv, const struct logdb_info *info);

#endif
