/*
 * What a leader knows of one peer, and how it paces what it sends.
 *
 *            reply                    rejected, lost
 *   PROBE ───────────▶ REPLICATE ─────────────────────▶ PROBE
 *     │ entries gone                                      ▲
 *     └──────────────▶ SNAPSHOT ──────────────────────────┘ sent or failed
 *
 * PROBE sends one append and waits for its reply or the next heartbeat's; REPLICATE sends ahead of
 * replies within a window of messages and bytes; SNAPSHOT sends no entries.
 *
 * Invariant: match < next. match is what the peer has flushed and agrees on, and never falls.
 */
#ifndef C8S_RAFT_PROGRESS_H
#define C8S_RAFT_PROGRESS_H

#include "raft/raft.h"

struct raft_inflight {
    uint64_t last_index; /* of the append's entries */
    uint64_t bytes;
};

struct raft_progress {
    uint64_t id;
    enum raft_progress_state state;
    uint64_t match;
    uint64_t next;        /* next entry to send */
    uint64_t commit_sent; /* highest commit index told in this state */
    uint64_t awaited;     /* callers of the peer wait for entries up to here to be committed */
    uint64_t read_acked;  /* highest read round confirmed */
    bool recent_active;   /* heard of since the last quorum check */
    bool probe_sent;      /* PROBE: waiting */
    uint64_t fetch_id;    /* ≠ 0: waiting for entries from the stored log */
    /* REPLICATE: a ring of appends under way, oldest at `start` */
    uint32_t start, count, capacity;
    uint64_t inflight_bytes;
    struct raft_inflight *ring; /* owned */
};

void raft_progress_init(struct raft_progress *p, uint64_t id, uint64_t next, uint32_t inflight_max);
void raft_progress_close(struct raft_progress *p);

void raft_progress_probe(struct raft_progress *p, uint64_t next); /* next > match */
void raft_progress_replicate(struct raft_progress *p);            /* continues after match */
void raft_progress_snapshot(struct raft_progress *p);

/* May an append with entries go out now? */
bool raft_progress_may_send(const struct raft_progress *p, uint64_t inflight_bytes_max);
/* An append with `n` entries from p->next was sent (n may be 0). */
void raft_progress_sent(struct raft_progress *p, size_t n, uint64_t bytes);
/* The peer has flushed up to `index`; true when that is news. Frees the window. */
bool raft_progress_acked(struct raft_progress *p, uint64_t index);
/*
 * The peer refused `rejected` as previous index; try after `hint`. False when the refusal is out of
 * date. Leaves REPLICATE.
 */
bool raft_progress_rejected(struct raft_progress *p, uint64_t rejected, uint64_t hint);
/* A heartbeat was answered: the peer is alive though messages may have been lost. */
void raft_progress_nudge(struct raft_progress *p, uint64_t inflight_bytes_max);

#endif
