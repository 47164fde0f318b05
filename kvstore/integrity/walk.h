/*
 * The walk over everything stored, in slices (kvstore/integrity/integrity.h says what for).
 */
#ifndef C8S_KVSTORE_INTEGRITY_WALK_H
#define C8S_KVSTORE_INTEGRITY_WALK_H

#include "kvstore/mvcc.h"

enum walk_phase { WALK_IDLE, WALK_LIVE, WALK_HISTORY, WALK_LEASES, WALK_LOG };

struct integrity_walk {
    struct kv *kv;
    enum walk_phase phase;
    uint64_t generation; /* of the environment; another one: begin again */
    int64_t rev;         /* LIVE: read at; HISTORY: up to */
    int pin;
    struct buf resume;
    struct digest want, found;
    struct kv_revid at;
    uint64_t want_versions, want_history, versions, history;
    struct mvcc_removed_ahead ahead;
    uint64_t log_next; /* LOG: the next entry */
    uint64_t looked_at;
    uint64_t slice_max_ns;
    uint64_t digest;       /* shared, of the last complete walk */
    struct mvcc_view view; /* of the slice under way */
    struct error *err;
};

void integrity_walk_init(struct integrity_walk *w, struct kv *kv);
void integrity_walk_free(struct integrity_walk *w);
/* Give up; the next step begins a new one. */
void integrity_walk_reset(struct integrity_walk *w);
/*
 * One slice of about slice_ns. 1: there is more; 0: complete, nothing found (phase IDLE again); ERR_CORRUPT:
 * damage; ERR_UNAVAILABLE: not now (a large delete is under way, the state was replaced), begin again later.
 */
int integrity_walk_step(struct integrity_walk *w, uint64_t slice_ns, struct error *err);

#endif
