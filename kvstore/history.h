/*
 * The whole history at one revision, as it would be with compaction finished: for hashes and backups, which must
 * come out the same on every member however far each has got with removing records.
 *
 * Of versions at or below the compacted revision those are visited that are current at it (deletions are not);
 * above it all, up to the revision asked for; in order of revision. The walk goes in slices, each in a read
 * transaction of its own, and holds compaction back meanwhile.
 */
#ifndef C8S_KVSTORE_HISTORY_H
#define C8S_KVSTORE_HISTORY_H

#include "kvstore/store.h"

struct history {
    struct kv *kv;
    int64_t rev;         /* the last revision visited */
    int64_t compact_rev; /* as of the beginning */
    int64_t keep_rev;    /* of versions at or below compact_rev: those current at this one */
    uint64_t generation;
    struct kv_revid at; /* the next version */
    int slot;
    uint64_t visited;
};

/* Within a read transaction whose state is `state`. ERR_UNAVAILABLE: compaction is ahead of it (try again with a new
 * transaction), or too many walks are under way. Ends with history_close, also after a failure. */
int history_open(struct history *h, struct kv *kv, const struct mvcc_state *state, int64_t rev,
                 struct error *err);
/* One slice of at most `ns`. fn as for mvcc_history: > 0 ends the slice behind this version. *done: there is no more.
 * ERR_UNAVAILABLE: the state was replaced by a snapshot meanwhile. */
int history_step(struct history *h, uint64_t ns, mvcc_version_fn *fn, void *ctx, bool *done,
                 struct error *err);
void history_close(struct history *h);

#endif
