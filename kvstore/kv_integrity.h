/*
 * Damage to what is stored: how a member finds it, what it does then.
 *
 * It is found by a record's checksum when something is read or applied, by the walk in the background
 * that compares all records with the digests kept on apply (kvstore/integrity/digest.h), and by comparing those
 * digests with the other members' at the same log entry.
 *
 * From then on this member answers no read and takes no write of its clients (ERR_CORRUPT). It marks its
 * directory (the file DAMAGED says why), hands leadership over if it leads, raises the alarm CORRUPT under
 * its own name, and ends itself (options.fail_stop, with ERR_CORRUPT). When the directory is opened
 * again, kv_open fetches a snapshot from another member first and puts it in the state's place, keeping
 * log and hard state: the member's votes and acknowledgements stand. Then the alarm is cleared.
 *
 * The log is walked, too, and checked when a follower needs old entries. A damaged entry that the state
 * includes goes with the state. One behind it is a promise of which only the fact is left: then the snapshot
 * has to be of the log's last entry or a later one (kv_open waits for that), since a cluster that has applied
 * so much has no use for this member's word any more. When the hard state or the journal behind the last checkpoint is
 * damaged, or the member is alone, kv_open fails with ERR_CORRUPT and says what is to be done: such a
 * member may only come back under a new id.
 */
#ifndef C8S_KVSTORE_KV_INTEGRITY_H
#define C8S_KVSTORE_KV_INTEGRITY_H

#include "kvstore/kv.h"

#define KV_CHECK_DEFAULT_MS 600000  /* between two walks, from end to beginning */
#define KV_COMPARE_DEFAULT_MS 60000 /* between two comparisons of digests */

/* Has damage been found since the start? Any thread. */
bool kv_is_damaged(const struct kv *kv);
/* Walk everything now, as fast as it goes, and wait for the end: 0; ERR_CORRUPT: damage was found (and what is
 * said above has begun); ERR_UNAVAILABLE: the state was replaced or the store closed meanwhile. Not on a
 * loop. */
int kv_check(struct kv *kv, struct error *err);

struct kv_integrity_status {
    uint64_t walks;         /* complete and without a finding */
    uint64_t compared;      /* comparisons of digests in which a majority agreed with this member */
    uint64_t walked_keys;   /* versions looked at by the last walk */
    uint64_t slice_max_us;  /* the longest read transaction of a walk */
    uint64_t shared_digest; /* at the revision of the last walk */
    int64_t rev;
};
void kv_integrity_status(struct kv *kv, struct kv_integrity_status *out);

/*
 * A fault (SIGSEGV, SIGBUS) inside LMDB's map is damage, too: a wild offset in a page. The handler, for
 * the whole process, marks the directory and calls `then` (async-signal-safe functions only). Other faults
 * go to whoever was asked before.
 */
void kv_catch_faults(struct kv *kv, void (*then)(void));

#endif
