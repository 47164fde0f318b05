/*
 * The store's own side of kvstore/kv_integrity.h: the walk, the comparison, the reaction.
 *
 * The walk runs on the house thread in slices of a few milliseconds, a read transaction each, with pauses: about
 * 4 % of a core while a walk is on. It looks at every key at one fixed revision, which is pinned, and sums what
 * clients would see; then at every stored version, in order of revision; then at the leases. Compaction, on
 * the same thread, says what it removes ahead of the walk, so that the sums can be compared exactly. When
 * compaction waits for the pin, or somebody for the walk, there are no pauses.
 *
 * The comparison goes through the log: the leader proposes a mark; each member notes its digests as of that
 * entry and proposes its vote. A majority of voters with equal digests convicts whoever differs.
 */
#ifndef C8S_KVSTORE_INTEGRITY_INTEGRITY_H
#define C8S_KVSTORE_INTEGRITY_INTEGRITY_H

#include "kvstore/kv_integrity.h"
#include "kvstore/mvcc.h"

#define INTEGRITY_DAMAGED "DAMAGED" /* marks in the data directory (logdb_mark) */
#define INTEGRITY_REBUILT "REBUILT" /* its alarm is to be cleared */

/* Follows what is wrong with a directory that cannot be used any more. */
#define INTEGRITY_ADVICE                                                                          \
    "; this member's promises may be lost with it, so it cannot come back as it is: remove it "   \
    "(member remove), delete its data directory and add it again (member add). A cluster of one " \
    "is restored from a backup (snapshot restore)"

struct integrity; /* of a struct kv */
struct apply;
struct proposal_digest;

struct integrity *integrity_new(struct kv *kv);
void integrity_free(struct integrity *in);

/* Any thread: begins the reaction, the first time. */
void kv_damaged(struct kv *kv, const struct error *why);
/* The same if rc is ERR_CORRUPT; returns rc. */
int kv_check_code(struct kv *kv, int rc, const struct error *why);

/* 0, or ERR_CORRUPT once this member is damaged. */
int kv_may_serve(struct kv *kv, struct error *err);

/* House thread, often. Returns true when it wants to be called again at once. */
bool integrity_step(struct kv *kv, uint64_t now_ns, bool leader);
/* For mvcc_compact_slice. */
struct mvcc_removed_ahead *integrity_ahead(struct kv *kv);
/* Ends those who wait in kv_check. House thread, at its end. */
void integrity_stop(struct kv *kv);

/* Apply thread: a committed PROPOSAL_DIGEST. */
void integrity_apply(struct kv *kv, struct apply *a, const struct proposal_digest *p,
                     uint64_t index);

/* In kv_open, before anything is served: fetch the state anew if the directory is marked. *done: it was. */
int integrity_rebuild(struct kv *kv, bool *done, struct error *err);
/* In kv_open with --initial-corrupt-check. */
int integrity_check_all(struct kv *kv, struct error *err);
/* Before the start: the log behind the applied entry, which Raft is about to take over. ERR_CORRUPT. */
int integrity_check_log(struct kv *kv, struct error *err);

#endif
