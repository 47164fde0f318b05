/*
 * The consensus core: a pure function from events to updates.
 *
 * It does no I/O, takes no lock, reads no clock and no random source (timeouts come from a generator
 * seeded by `params.seed`). One thread calls it. Events go in by the functions below; after one or
 * more of them the caller takes a `struct raft_ready` and does what it says:
 *
 *      raft_tick, raft_step, raft_propose, …          raft_take_ready
 *                      │                                     │
 *                      ▼                                     ▼
 *      ┌─────────────────────────────┐   persist  → journal: append, flush → raft_persisted(seq)
 *      │ term, vote, role, progress, │   messages → network, now
 *      │ term runs, recent entries,  │   apply    → state machine          → raft_applied(index)
 *      │ pending reads and changes   │   reads    → callers waiting for a read index
 *      └─────────────────────────────┘   fetch    → read old entries       → raft_fetched
 *                                        snapshot → stream to a peer       → raft_snapshot_sent
 *                                        install  → swap the state         → raft_snapshot_installed
 *
 * Order that the caller must keep: persist batches reach the journal in order of `seq` and are
 * reported in that order (one report may cover several). Nothing else has to wait for anything: a
 * message that promises something (a vote, an acknowledgement) is held back inside until its batch is
 * reported, and entries come out for applying only once they are committed AND flushed here. A leader
 * sends entries before they are flushed here, and counts itself only after.
 *
 * Messages may be lost, duplicated, reordered and delayed at will. What a message says is checked,
 * never asserted; a message that makes no sense is dropped.
 */
#ifndef C8S_RAFT_RAFT_H
#define C8S_RAFT_RAFT_H

#include "raft/entry.h"
#include "raft/message.h"

struct raft; /* defined in raft/state.h, private to raft/ */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };
const char *raft_role_name(enum raft_role role);

struct raft_params {
    uint64_t id;                 /* this member; ≥ 1 */
    uint64_t seed;               /* for election timeouts; differs between members and starts */
    uint32_t heartbeat_ticks;    /* ≥ 1 */
    uint32_t election_ticks;     /* > heartbeat_ticks; the timeout is drawn from [e, 2e) */
    uint32_t append_bytes_max;   /* entry bytes in one append message (one entry may exceed it) */
    uint32_t inflight_max;       /* append messages under way to one peer, ≤ RAFT_INFLIGHT_MAX */
    uint64_t inflight_bytes_max; /* entry bytes under way to one peer */
    uint64_t unstable_bytes_max; /* proposals are refused while more is unflushed or unapplied */
    uint64_t cache_bytes_max;   /* recent entries kept in memory for peers, beside unapplied ones */
    uint32_t pending_reads_max; /* read index requests waiting at once */
    /* Tell followers of a new commit index with the next entries or with raft_tell_commit, instead of
     * in a message of its own; at once where it is awaited (raft_commit_awaited). */
    bool commit_lazy;
#ifdef RAFT_FAULTS
    uint32_t faults; /* enum raft_fault of raft/faults.h; only in the simulator's build */
#endif
};

/* Reasonable values for everything but id and seed. */
void raft_params_default(struct raft_params *p);

#define RAFT_INFLIGHT_MAX 512

/* Entries [index, next run's index) have `term`. */
struct raft_term_run {
    uint64_t index;
    uint64_t term;
};

/*
 * What storage holds at start. The log is (base_index, last_index]; the entry at base_index is gone
 * (compacted, or covered by a snapshot) but its term is known. base_index ≤ applied ≤ last_index,
 * applied ≤ hard.commit ≤ last_index.
 *
 * A new cluster's founding members all start from the same `config` as if from a snapshot at index 1
 * of term 1 (RAFT_FOUNDING_*: base_index = applied = last_index = hard.commit = 1, base_term =
 * hard.term = 1). A member that joins later starts with everything zero and an empty config: since
 * entry 1 is nowhere to be had, the leader sends it a snapshot, which brings the configuration.
 */
#define RAFT_FOUNDING_INDEX 1
#define RAFT_FOUNDING_TERM 1

struct raft_boot {
    struct raft_hard_state hard;
    struct raft_config config; /* as of `applied` */
    uint64_t applied;
    uint64_t base_index, base_term;
    const struct raft_term_run *runs; /* ascending, covering (base_index, last_index] */
    size_t runs_len;
    uint64_t last_index;
    const struct raft_entry
        *tail; /* the entries (applied, last_index]; referenced, not taken over */
    size_t tail_len;
};

/* ERR_CORRUPT when `boot` breaks the rules above; *out is then NULL. */
int raft_new(const struct raft_params *params, const struct raft_boot *boot, struct raft **out,
             struct error *err);
void raft_free(struct raft *r);

/* ---- events ---- */

/* One unit of time. */
void raft_tick(struct raft *r);

/* A message from a peer. Entries are referenced; the caller keeps its own references. */
void raft_step(struct raft *r, const struct raft_message *m);

/*
 * Append `n` entries of `kind` (DATA) at this leader. On success their indexes are *first_index … and
 * their term raft_term(r). References to the blobs are taken. ERR_UNAVAILABLE: not the leader, or
 * leadership is being handed over; ERR_LIMIT: too much is unflushed or unapplied. On failure nothing
 * was appended, and never will be.
 */
int raft_propose(struct raft *r, struct blob *const *data, size_t n, uint64_t *first_index,
                 struct error *err);

/* Could a membership change be proposed now? 0, or as raft_propose_change. */
int raft_may_change(const struct raft *r, struct error *err);

/*
 * Propose a membership change; `data` is a proposal header followed by the encoded change. Also
 * ERR_CONFLICT: an earlier change is not applied yet, or the term's first entry is not committed yet;
 * ERR_INVALID: the change makes no sense (raft_config_change).
 */
int raft_propose_change(struct raft *r, struct blob *data, uint64_t *index, struct error *err);

/*
 * Ask for a read index. It comes out in raft_ready.reads with the same `context` (chosen by the
 * caller; unique among its own requests) or never (leader lost, message lost): the caller repeats
 * after a while with a new context, which is harmless. On a follower the request goes to the leader.
 * ERR_UNAVAILABLE: no leader known; ERR_LIMIT: too many wait.
 */
int raft_read_index(struct raft *r, uint64_t context, struct error *err);

/* Hand leadership to voter `to`, given up after one election timeout. ERR_UNAVAILABLE: not leader;
 * ERR_INVALID: not a voter. to = own id: cancels. */
int raft_transfer(struct raft *r, uint64_t to, struct error *err);

/*
 * With params.commit_lazy. Leader: is there a peer that has not been told the commit index? The caller
 * then calls raft_tell_commit within a few milliseconds (heartbeats tell it too, but are rare).
 */
bool raft_commit_untold(const struct raft *r);
void raft_tell_commit(struct raft *r);
/* Callers of `peer` wait for the entries up to `index`: it is told at once when they are committed. */
void raft_commit_awaited(struct raft *r, uint64_t peer, uint64_t index);

/* Batches up to `seq` are flushed. */
void raft_persisted(struct raft *r, uint64_t seq);

/*
 * The state machine has applied up to `applied`, and the stored log (what fetches read) holds the
 * entries up to there. Configurations take effect here.
 */
void raft_applied(struct raft *r, uint64_t applied);

/* The stored log now begins after `base_index` (≤ applied). Ignored when not above the present base. */
void raft_compacted(struct raft *r, uint64_t base_index);

/*
 * Answer to a fetch: entries from fetch->lo on, contiguous; n = 0: they are not to be had (compacted
 * meanwhile), send a snapshot. Stale answers are ignored.
 */
struct raft_fetch;
void raft_fetched(struct raft *r, const struct raft_fetch *fetch, const struct raft_entry *entries,
                  size_t n);

/* The stream to `peer` of a snapshot at `index` ended; ok: the peer said that it has it. */
void raft_snapshot_sent(struct raft *r, uint64_t peer, uint64_t index, bool ok);

/* The installation asked for by raft_ready.install is done and durable. */
void raft_snapshot_installed(struct raft *r);

/* Sending to `peer` failed or its queue overflowed: messages may be lost. */
void raft_peer_unreachable(struct raft *r, uint64_t peer);

/* ---- update ---- */

struct raft_persist {
    uint64_t seq; /* 0: nothing to persist; else ascending by one */
    struct raft_hard_state hard;
    /* Append these. entries[0].index may be at or below the last one appended: the log is first cut
     * back to entries[0].index − 1. Never below a committed index. */
    const struct raft_entry *entries;
    size_t entries_len;
};

struct raft_read {
    uint64_t context;
    uint64_t index; /* the state at or after this index answers the read */
};

struct raft_fetch {
    uint64_t peer;
    uint64_t id; /* matches the answer to the question */
    uint64_t lo;
    uint64_t hi; /* inclusive */
    uint64_t bytes_max;
};

struct raft_ready {
    struct raft_persist persist;
    const struct raft_message *messages; /* send now, in this order per peer; loss is fine */
    size_t messages_len;
    const struct raft_entry
        *apply; /* contiguous after what came before; committed and flushed here */
    size_t apply_len;
    const struct raft_read *reads;
    size_t reads_len;
    const struct raft_fetch *fetches;
    size_t fetches_len;
    const uint64_t *snapshots; /* peers that need a snapshot with index ≥ first − 1 */
    size_t snapshots_len;
    /* Not NULL: a snapshot already received and staged shall replace log and state, and install_hard
     * the hard state, all durable together. Batches and applies handed out before are finished
     * (and reported) first; until raft_snapshot_installed no new ones come out. */
    const struct raft_snapshot_meta *install;
    struct raft_hard_state install_hard;
};

/*
 * Take what has accumulated. Arrays belong to the core, are valid until the next raft_take_ready or
 * raft_free (other calls leave them alone), and hold their own references: who keeps an entry longer
 * refs its blob. Returns false when there is nothing at all.
 */
bool raft_take_ready(struct raft *r, struct raft_ready *out);

/* ---- questions ---- */

enum raft_role raft_role(const struct raft *r);
uint64_t raft_id(const struct raft *r);
uint64_t raft_term(const struct raft *r);
uint64_t raft_vote(const struct raft *r);
uint64_t raft_leader(const struct raft *r); /* 0: unknown */
uint64_t raft_commit_index(const struct raft *r);
uint64_t raft_applied_index(const struct raft *r);
uint64_t raft_last_index(const struct raft *r);
uint64_t raft_stable_index(const struct raft *r); /* flushed here */
uint64_t raft_base_index(const struct raft *r);
/* Term of the entry at index; 0 when outside [base_index, last_index]. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);
const struct raft_config *raft_configuration(const struct raft *r);
/* Index of the last membership change in the log that is not applied here, decided or not; 0: none. */
uint64_t raft_last_change(const struct raft *r);
/*
 * 0; or a leader has this member's acknowledgement of the entries up to this index, which are committed, and the
 * log ended before it: storage has lost what it had flushed. The member must not go on: what else it has promised
 * (votes) may be lost, too. It is removed and added anew.
 */
uint64_t raft_forgotten(const struct raft *r);
/* Bytes of entries held in memory. */
uint64_t raft_memory_bytes(const struct raft *r);
/* Leader: the commit index reached an entry of this term, so reads and changes are served. */
bool raft_term_committed(const struct raft *r);

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };
struct raft_peer_status {
    uint64_t id;
    bool learner;
    enum raft_progress_state state;
    uint64_t match, next;
    bool recent_active;
};
/* Leader: fills up to RAFT_MEMBERS_MAX; returns how many (0 when not leading). */
size_t raft_peers(const struct raft *r, struct raft_peer_status out[RAFT_MEMBERS_MAX]);

#endif
