/*
 * A lock whose holders write with a fencing token: the create revision of the key that makes them the holder.
 *
 * A holder that is cut off or stopped may go on believing that it holds the lock; what protects the data is
 * the token (Jepsen's analysis of etcd 3.4.3 shows what happens without). So writes are judged by the
 * token, and belief only as long as the lease lasted by the holder's own clock.
 */
#ifndef C8S_ROBUSTNESS_CHECK_LOCK_H
#define C8S_ROBUSTNESS_CHECK_LOCK_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

struct lock_hold {
    uint32_t client;
    int64_t token;    /* create revision of the lock's key */
    uint64_t from_ns; /* the lock was answered */
    /* the release was asked for, or the last successful refresh's start plus TTL; at or before from_ns:
     * the answer came when the lock was lost already, and nobody believed in it */
    uint64_t until_ns;
};

struct lock_write {
    int64_t token;
    int64_t revision; /* of the guarded write, which succeeded */
};

/*
 * Two holds never overlap; no two have the same token; the guarded writes, in the order of revisions, never go
 * back to a smaller token, and every one belongs to a hold. `queued`: waiters have keys of their own (etcd's Lock
 * service), so a token may be older than the hold; otherwise the key was created by the one transaction that took the lock, and
 * no write with an older token may come after that. Sorts both.
 */
void check_lock(struct lock_hold *holds, size_t holds_len, struct lock_write *writes,
                size_t writes_len, bool queued, struct verdict *v);

#endif
