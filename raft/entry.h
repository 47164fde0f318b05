/*
 * The words of the log: entries, hard state, snapshot metadata. Shared by the core, the journal, the
 * LMDB log, the transport and the state machine; holds no behaviour beyond small accessors.
 */
#ifndef C8S_RAFT_ENTRY_H
#define C8S_RAFT_ENTRY_H

#include "base/blob.h"
#include "raft/config.h"

enum raft_entry_kind {
    RAFT_ENTRY_EMPTY = 0,  /* a leader's first entry of its term; no data (blob NULL) */
    RAFT_ENTRY_DATA = 1,   /* proposal header and the state machine's own bytes */
    RAFT_ENTRY_CONFIG = 2, /* proposal header and an encoded struct raft_change */
};

/*
 * One log entry. `data` is immutable and shared (refcounted); who stores an entry holds a reference.
 * index ≥ 1 and term ≥ 1 always; index 0 with term 0 stands for "before the log".
 */
struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_kind kind;
    struct blob *data; /* NULL for RAFT_ENTRY_EMPTY, else ≥ RAFT_PROPOSAL_HEADER bytes */
};

/*
 * Every DATA and CONFIG entry begins with who proposed it, 3 × 8 bytes big-endian: member id, start
 * epoch (drawn at random each time the member starts), sequence. The origin finds its waiting caller
 * by it; a proposal is never sent twice, so a triple occurs at most once in the log.
 */
#define RAFT_PROPOSAL_HEADER 24

/* The state machine's bytes of a DATA entry, or the encoded change of a CONFIG entry. */
static inline struct str raft_entry_payload(const struct raft_entry *e)
{
    if (!e->data || e->data->len <= RAFT_PROPOSAL_HEADER)
        return STR_NONE;
    return str_make(e->data->data + RAFT_PROPOSAL_HEADER, e->data->len - RAFT_PROPOSAL_HEADER);
}

/* What an entry counts for in byte limits: its data and a fixed overhead. */
static inline uint64_t raft_entry_size(const struct raft_entry *e)
{
    return 32 + (e->data ? e->data->len : 0);
}

/*
 * What must survive a restart besides the log. A vote counts, and an append is acknowledged, only
 * after the hard state belonging to it is flushed. `commit` goes into every journal record: a member
 * that acknowledges an append also remembers the commit index that came with it, and the safety of
 * membership changes rests on that (raft/config.h).
 */
struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* member voted for in `term`; 0: none */
    uint64_t commit;
};

/* Identifies a snapshot: the state after applying `index`, whose entry had `term`. */
struct raft_snapshot_meta {
    uint64_t index;
    uint64_t term;
    struct raft_config config; /* as of `index` */
};

#endif
