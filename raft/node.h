/*
 * A Raft member in production: the core (raft/raft.h), its threads, its peers, and a state machine.
 *
 *   any thread ──raft_propose, raft_read_index──▶ ┌─────────────┐ ◀──TLS streams──▶ peers
 *                                                 │ raft thread │ (a struct loop; ticks, messages)
 *                                                 └──┬───▲───┬──┘
 *                      entries, hard state (in order)│   │   │what is flushed, then what is committed
 *                                     ┌──────────────▼┐  │  ┌▼─────────────┐
 *                                     │journal thread │──┘  │ apply thread │──▶ callbacks of proposals
 *                                     │ops->persist   │     │ ops->apply   │
 *                                     └───────────────┘     └──────────────┘
 *                                     ┌───────────────┐
 *                                     │ peer thread   │ ops->read_log, snapshots out and in
 *                                     └───────────────┘
 *
 * Whoever has the loop touches no page of LMDB and takes no lock but the ones around its short input queues.
 * The raft thread leaves the loop to flush a small batch itself while the disk is quick, and to apply a few small
 * entries into a transaction that the apply thread holds open; each spares two switches of threads. When that
 * stalls, raft and journal thread change places (node_journal.c), so that nothing waits for a disk that hangs.
 * Queues between the threads are bounded: proposals are refused with a definite answer while too much is
 * unflushed or unapplied.
 *
 * Several proposals that arrive together become one append, one message per peer, one journal record
 * with one flush, and one state transaction.
 *
 * On a follower a proposal travels to the leader once; it carries (member, start epoch, sequence) and
 * is never sent again. Its end is definite (applied, or certainly never applied) or honestly unknown.
 */
#ifndef C8S_RAFT_NODE_H
#define C8S_RAFT_NODE_H

#include "base/metrics.h"
#include "net/loop.h"
#include "net/tls.h"
#include "raft/host.h"
#include "raft/peer_rules.h"
#include "raft/raft.h"

struct raft_node;

/* One committed entry on its way into the state machine. */
struct raft_apply {
    struct raft_entry entry;
    /* The `ctx` given to raft_propose or raft_propose_change when this member's caller still waits
     * for it, else NULL. The state machine leaves the result in it; the proposal's callback follows
     * after the transaction is committed. */
    void *proposal;
    /* CONFIG entries: the configuration after this entry; store it with the state. Else NULL. */
    const struct raft_config *config;
};

/* Everything for one transaction of log and state. At least one of the parts is not empty. */
struct raft_apply_batch {
    /* Flushed batches for the stored log, in order, each exactly once. A batch's entries[0].index may
     * be at or below the log's last: the log is cut back to entries[0].index − 1 first. The last one
     * is always the last of an ops->persist call (that call's journal position belongs to it). */
    const struct raft_persist *persisted;
    size_t persisted_len;
    const struct raft_apply *apply; /* committed, flushed, in the log by now, contiguous */
    size_t apply_len;
};

struct raft_snapshot_reader; /* the state machine's own */
struct raft_snapshot_writer;

/* What the leader knows of a member when a change is proposed. */
struct raft_member_progress {
    uint64_t id;
    uint64_t match;  /* flushed there, as far as is known */
    bool replicated; /* in step: gets entries, no snapshot or probing */
    bool active;     /* raft_transport_active; self: always */
};

struct raft_change_context {
    uint64_t last; /* of this leader's log */
    const struct raft_config *config;
    struct raft_member_progress members[RAFT_MEMBERS_MAX]; /* everybody of config, self included */
    size_t members_len;
};

/*
 * What a member stands on. `ctx` is `machine_ctx` of the options. Every int function returns 0 or a
 * negative ERR_* with a message; a failure of persist, apply or snapshot_install ends the process (nothing is
 * retried after a failed write).
 */
struct raft_machine_ops {
    /* ---- journal thread, or the raft thread in its place ---- */

    /*
     * Append `n` batches, in order, as one or more records and make them durable: one fdatasync.
     * Each batch's `hard` counts even when it has no entries. Never called between
     * snapshot_install's begin and end.
     */
    int (*persist)(void *ctx, const struct raft_persist *batches, size_t n, struct error *err);

    /* ---- raft thread ---- */

    /* Does anybody here wait for committed entries to be applied, besides the callers of proposals? If
     * not, they may be applied a little later, several together. Must not block; NULL: always. */
    bool (*awaited)(void *ctx);

    /* ---- apply thread ---- */

    /* One transaction: append to the stored log, apply, commit (visible at once, not flushed), or
     * hold it for the next batch to join, as long as nobody can tell. A CONFIG entry whose `config`
     * equals the previous one still counts as applied. */
    int (*apply)(void *ctx, const struct raft_apply_batch *batch, struct error *err);
    /* Commit what is held: nothing comes any more, or what comes is not of this kind. NULL: nothing
     * ever is. */
    int (*settle)(void *ctx, struct error *err);

    /* ---- raft thread, in the place of the apply thread and never beside it ---- */

    /*
     * A few small entries into the transaction that the apply thread holds, which spares waking it: 1, they
     * are applied as by `apply`, and the transaction is still held. 0: none is held, or it is to be
     * committed, or these entries may take long; nothing has changed, and the apply thread does it. Never a
     * CONFIG entry. May stall like a flush: the loop is left for it. NULL: always 0.
     */
    int (*apply_held)(void *ctx, const struct raft_apply_batch *batch, struct error *err);

    /* After each transaction and at least every 100 ms: bounded housekeeping (≤ 5 ms): checkpoint,
     * log trimming. Returns the stored log's base index (entries up to it are gone); the state
     * machine keeps enough entries for followers that lag a little. */
    uint64_t (*maintain)(void *ctx, uint64_t now_ns);

    /*
     * Replace log and state by the snapshot received in `w` (finished before) and the hard state
     * given, durably and at once: the log becomes empty with base (meta->index, meta->term), the
     * journal starts anew with `hard`: term and vote are never lost. Takes w over. No persist runs
     * meanwhile.
     */
    int (*snapshot_install)(void *ctx, struct raft_snapshot_writer *w,
                            const struct raft_snapshot_meta *meta,
                            const struct raft_hard_state *hard, struct error *err);

    /* ---- raft thread ---- */

    /*
     * May this change of membership be proposed? Asked on the leader for every change, its own callers'
     * and forwarded ones, once all earlier changes are applied: what is answered here holds when the
     * change is applied. 0, or a negative code for the proposal's callback. Must not block. May be NULL.
     */
    int (*check_change)(void *ctx, const struct raft_change *change,
                        const struct raft_change_context *context);

    /* Another member's state machine asks (raft_node_call); must not block. Answer now or later, on any
     * thread, with raft_node_answer, or never. NULL: questions are dropped. */
    void (*call)(void *ctx, uint64_t from, uint64_t id, struct str question);

    /* ---- peer thread (beside the others: uses read transactions, its own files) ---- */

    /*
     * Entries of the stored log from lo to at most hi, at most bytes_max (but at least one), with
     * references for the caller, appended to `out` (room for `max`). Returns how many; 0: lo is not
     * there any more (compacted).
     */
    int (*read_log)(void *ctx, uint64_t lo, uint64_t hi, uint64_t bytes_max, struct raft_entry *out,
                    size_t max, struct error *err);

    /* A consistent snapshot of the state now; fills meta (index, term, config). */
    int (*snapshot_open)(void *ctx, struct raft_snapshot_reader **out,
                         struct raft_snapshot_meta *meta, struct error *err);
    /* Next chunk of the stream into `out` (≤ max bytes); *end when it was the last. */
    int (*snapshot_read)(struct raft_snapshot_reader *r, struct buf *out, size_t max, bool *end,
                         struct error *err);
    void (*snapshot_close)(struct raft_snapshot_reader *r);

    /* Receive a snapshot beside the live state. */
    int (*snapshot_begin)(void *ctx, const struct raft_snapshot_meta *meta,
                          struct raft_snapshot_writer **out, struct error *err);
    int (*snapshot_write)(struct raft_snapshot_writer *w, struct str chunk, struct error *err);
    /* All chunks came; verify and flush what was built. */
    int (*snapshot_finish)(struct raft_snapshot_writer *w, struct error *err);
    /* Drop it (also after finish, when Raft does not want it any more). */
    void (*snapshot_abort)(struct raft_snapshot_writer *w);
};

/* What is called back about the member itself, on the raft thread; must not block. May be NULL. */
struct raft_node_events {
    void (*on_role)(void *ctx, enum raft_role role, uint64_t term, uint64_t leader);
};

struct raft_node_options {
    uint64_t id;         /* this member */
    uint64_t cluster_id; /* peers of another cluster are refused */
    struct host *host;
    uint32_t tick_ms;      /* default 20 */
    uint32_t heartbeat_ms; /* etcd's --heartbeat-interval; default 100 */
    uint32_t election_ms;  /* etcd's --election-timeout; default 1000 */
    const char *listen;    /* "host:port" for peers; NULL: no transport (single member) */
    unsigned level;        /* feature level to claim towards peers; 0: 1 */
    const struct raft_peer_rules *peer_rules; /* NULL: everybody of the cluster is admitted */
    void *peer_rules_ctx;
    struct tls_context *tls_server, *tls_client; /* both or neither (plain TCP); referenced */
    const struct raft_boot *boot; /* what storage recovered; read during raft_node_start only */
    const struct raft_machine_ops *ops;
    void *machine_ctx;
    const struct raft_node_events *events;
    void *events_ctx;
    struct metrics *metrics; /* NULL: none */
};

/* Starts the threads; peers are told by raft_node_set_peer. *out is set before anything is applied,
 * so that the state machine may use it from its functions. */
int raft_node_start(const struct raft_node_options *options, struct raft_node **out,
                    struct error *err);
/* Stops everything: waiting proposals end unknown, reads ERR_CANCELLED; what was handed to the
 * journal is flushed. Not from a callback. */
void raft_node_stop(struct raft_node *n);

/* Where a member is to be reached: "host:port", copied; several URLs of one member: call again with
 * the one to use. NULL forgets it. Any thread; the state machine calls it when a CONFIG entry's
 * context names addresses. */
void raft_node_set_peer(struct raft_node *n, uint64_t id, const char *address);
/* A member was removed: forget it, tell it so and disconnect it. Any thread. */
void raft_node_expel(struct raft_node *n, uint64_t id);
/* This member is one no more: what its callers wait for ends with ERR_CANCELLED, as does whatever they ask from now
 * on; votes and acknowledgements go on until raft_node_stop, since others may need them. Any thread, once. */
void raft_node_retire(struct raft_node *n);

/* ---- proposals ---- */

enum raft_outcome {
    RAFT_APPLIED,  /* applied on this member; the state machine's result is in the proposal's ctx */
    RAFT_REJECTED, /* certainly not applied, now or later; `code` says why */
    RAFT_UNKNOWN,  /* may or may not have been applied, or be applied later */
};

/*
 * Called exactly once per proposal. RAFT_APPLIED: on the thread that applied it (apply or raft), right after
 * that, with its log index. Otherwise on the raft thread, with an ERR_* code
 * (ERR_UNAVAILABLE no leader, ERR_LIMIT too much is waiting, ERR_TIMEOUT, ERR_CONFLICT and ERR_INVALID
 * for membership changes, ERR_CANCELLED shutdown). Must not block.
 */
typedef void raft_propose_fn(void *ctx, enum raft_outcome outcome, int code, uint64_t index);

/* A blob for raft_propose with room for `len` payload bytes behind the header, which the node fills
 * in. Write the payload to raft_proposal_payload(b). */
struct blob *raft_proposal_new(size_t len);
static inline char *raft_proposal_payload(struct blob *b)
{
    return b->data + RAFT_PROPOSAL_HEADER;
}

/* Propose; takes the reference to `proposal` over. Any thread; never waits. A proposal not ended by
 * timeout_ms ends RAFT_UNKNOWN (RAFT_REJECTED when it never left). 0: the default, 5 s. */
void raft_propose_data(struct raft_node *n, struct blob *proposal, uint32_t timeout_ms,
                       raft_propose_fn *fn, void *ctx);
/* The same for a membership change (its context is copied). */
void raft_propose_config(struct raft_node *n, const struct raft_change *change, uint32_t timeout_ms,
                         raft_propose_fn *fn, void *ctx);

/* ---- reads ---- */

/* code 0: a state that has applied `index` is linearizable for this read (the state machine waits
 * for its own applied index); else ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_CANCELLED. Raft thread. */
typedef void raft_read_fn(void *ctx, int code, uint64_t index);
/* Any thread. Requests that arrive while a round is under way share the next one. */
void raft_node_read_index(struct raft_node *n, uint32_t timeout_ms, raft_read_fn *fn, void *ctx);

/* ---- calls: questions to another member's state machine, outside the log ---- */

/*
 * Ask member `to` (0: whoever leads, as far as is known here). `fn` is called once, on the raft thread:
 * 0 with the answer (valid during the call); ERR_CONFLICT: that member is this one; ERR_UNAVAILABLE: no
 * leader, or no connection, so that it was not asked; ERR_LIMIT; ERR_TIMEOUT: no answer, which may mean
 * anything; ERR_CANCELLED. Any thread; the question is copied.
 */
typedef void raft_call_fn(void *ctx, int code, struct str answer);
void raft_node_call(struct raft_node *n, uint64_t to, struct str question, uint32_t timeout_ms,
                    raft_call_fn *fn, void *ctx);
/* Any thread; copied. Dropped when the asker has gone. */
void raft_node_answer(struct raft_node *n, uint64_t to, uint64_t id, struct str answer);

/* Apply what is committed without delay: somebody waits for it now. Raft thread. */
void raft_node_hurry(struct raft_node *n);
/* Call the state machine's `maintain` soon. Any thread. */
void raft_node_nudge(struct raft_node *n);

/* ---- leadership and status ---- */

/* Hand leadership to a voter; asynchronous, see raft_node_status. to = 0: to the one most up to date.
 * Any thread. fn (may be NULL) is called on the raft thread when the leader changed (0) or after the
 * election timeout (ERR_TIMEOUT), at once with ERR_INVALID or ERR_UNAVAILABLE. */
typedef void raft_done_fn(void *ctx, int code);
void raft_node_transfer(struct raft_node *n, uint64_t to, raft_done_fn *fn, void *ctx);

struct raft_node_status {
    uint64_t id, term, leader; /* leader 0: unknown */
    enum raft_role role;
    uint64_t commit, applied, stable, last;
    uint64_t change; /* the last membership change in the log that is not applied; 0: none */
    uint64_t leader_changes; /* since the start */
    uint64_t proposals_pending;
    struct raft_config config;
    size_t peers_len; /* leader only */
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
};
/* A recent copy, refreshed whenever something changes. Any thread, never waits for the raft thread. */
void raft_node_status(struct raft_node *n, struct raft_node_status *out);

/* The raft thread's loop (for tests, and for users that want to share it with nothing else). */
struct loop *raft_node_loop(struct raft_node *n);
/* The port bound for peers (for "…:0"); 0 without transport. */
int raft_node_port(struct raft_node *n);

#endif
