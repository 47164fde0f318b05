/*
 * The store's LMDB environment: Raft's log, hard state and the state machine's trees, in one
 * transaction, made durable by the journal.
 *
 *     data_dir/
 *       LOCK              flock: one process at a time
 *       CURRENT           names the directory below that counts; replaced by rename
 *       db-<n>/           data.mdb, lock.mdb, and pin-0 / pin-1: copies of both meta pages
 *       db-<n>.tmp/       a snapshot being received; removed at start
 *       journal/          raft/journal.h
 *       boot              which boot and mount last had the environment open (see below)
 *
 * The life of a batch:
 *
 *   journal thread   logdb_persist: append to the journal, flush. Now it may be acknowledged.
 *   apply thread     logdb_begin; logdb_txn_append (flushed entries → `log` tree, MDB_APPEND); the state
 *                    machine applies committed entries in the same MDB_txn; logdb_commit (no flush,
 *                    visible at once). Log and state can never disagree. While it holds a transaction open
 *                    (logdb_hold) the raft thread may put a few entries into it (logdb_hold_visit).
 *   checkpoint       every second or 64 MiB of journal: between two transactions, begin a read
 *   thread           transaction (the new pin) and read both meta pages; then flush data.mdb, write the
 *                    meta pages beside it (pin-0 and pin-1 in turn, checksummed), drop the old pin,
 *                    recycle journal segments.
 *
 * Why the pin: LMDB overwrites pages that no reader and no newer snapshot needs. Without a flush on
 * commit, the flushed snapshot's pages could be overwritten before a newer snapshot is whole on disk;
 * then neither is readable after a power loss. The read transaction keeps the flushed snapshot's pages
 * from being reused until the next one is flushed and its meta pages are kept.
 *
 * Recovery: `LMDB position` = the journal position stored in the meta tree by each transaction.
 *   - Same boot, same mount as last time: LMDB's pages are as the dead process left them (they live in
 *     the page cache): open, replay the journal behind the LMDB position.
 *   - Else a power loss is assumed: put the meta pages of the last checkpoint back, open, replay.
 * A process whose write or flush failed removes `boot` on its way out: the kernel takes the pages for clean
 * and a later flush reports success, so that start counts as one after a power loss.
 * Replay appends entries to the log and takes over hard state. Committed entries are applied by
 * the state machine afterwards as in normal running.
 *
 * After any failed write or sync, or a full map, the environment refuses everything and the process
 * must stop (options.fail_stop of kvstore/kv.h). MDB_WRITEMAP is not used (a full disk would be a
 * SIGBUS); the map size is fixed while open.
 */
#ifndef C8S_RAFT_LOG_H
#define C8S_RAFT_LOG_H

#include "base/error.h"
#include "raft/entry.h"
#include "raft/host.h"
#include "raft/journal.h"
#include "raft/raft.h"
#include <lmdb.h>
#include <stdatomic.h>

struct logdb;

#define LOGDB_FORMAT 2     /* version of the data directory */
#define LOGDB_TREES_MAX 16 /* named trees, the log's own included */

struct logdb_options {
    struct host *host;
    const char *dir;
    uint64_t map_bytes;
    uint64_t journal_segment_bytes; /* 0: the journal's default */
    const struct raft_config
        *founding; /* a new directory is a founding member's: it starts as if from a
                                         * snapshot at index 1 of term 1. NULL: it joins, empty */
    /* Identifies the boot and the mount; NULL: ask the kernel. Tests pass a new one after a simulated
     * power loss. */
    const char *boot_id;
    /* Create or open the state machine's trees; called for each environment opened, with a write
     * transaction. */
    int (*open_trees)(void *ctx, MDB_txn *txn, struct error *err); /* may be NULL */
    /* Somebody waits for a transaction that logdb_hold keeps open: commit it soon. Any thread; `ours`:
     * it is the holder's, who goes on at once: commit here, unless in the midst of changes. NULL:
     * nobody holds. */
    void (*want_commit)(void *ctx, bool ours);
    void *want_commit_ctx;
    void *ctx; /* open_trees' */
};

/*
 * Open, lock, recover. ERR_EXISTS: another process holds the directory; ERR_CORRUPT; ERR_IO;
 * ERR_UNSUPPORTED: written by a newer format.
 */
int logdb_open(const struct logdb_options *options, struct logdb **out, struct error *err);
/* Nobody may be inside; writes no checkpoint (call logdb_checkpoint before). */
void logdb_close(struct logdb *db);

/* Has a member's environment been made in `dir`? (It may still be damaged.) */
bool logdb_exists(struct host *host, const char *dir);

/* True when the directory held nothing before logdb_open. */
bool logdb_is_new(const struct logdb *db);

/* What the consensus core needs to start; owned by the caller, freed with logdb_boot_free. */
int logdb_boot(struct logdb *db, struct raft_boot *boot, struct error *err);
void logdb_boot_free(struct raft_boot *boot);

/* ---- journal thread ---- */

/* Append the batches to the journal, flush once. */
int logdb_persist(struct logdb *db, const struct raft_persist *batches, size_t n,
                  struct error *err);

/* ---- apply thread, or who visits: one write transaction at a time ---- */

struct logdb_txn {
    struct logdb *db;
    MDB_txn *mdb;
};
int logdb_begin(struct logdb *db, struct logdb_txn *txn, struct error *err);
/* Batches that logdb_persist has flushed, in that order, each once: entries go to the log tree (cut
 * back first where they overlap), the latest hard state to the meta tree. LMDB's journal position moves
 * over the flushes whose last batch is contained. */
int logdb_txn_append(struct logdb_txn *txn, const struct raft_persist *batches, size_t n,
                     struct error *err);
/* The state now includes entry `index`. Needed before every commit that changed the state. */
int logdb_txn_applied(struct logdb_txn *txn, uint64_t index, struct error *err);
/* The configuration as of the applied index. */
int logdb_txn_config(struct logdb_txn *txn, const struct raft_config *config, struct error *err);
/*
 * Between logdb_open and logdb_boot, for the last survivor of a cluster: from here on `config` holds.
 * Changes of configuration in the log that are not applied yet become entries without content; everything
 * else in the log stays. Follow with logdb_commit and logdb_checkpoint: a crash before that leaves all
 * as it was.
 */
int logdb_force_config(struct logdb_txn *txn, const struct raft_config *config, struct error *err);

/* Drop log entries up to `base` (≤ applied), at most `max` of them. *base_now: where the log begins. */
int logdb_txn_compact(struct logdb_txn *txn, uint64_t base, size_t max, uint64_t *base_now,
                      struct error *err);
int logdb_commit(struct logdb_txn *txn, struct error *err);
void logdb_abort(struct logdb_txn *txn);
/*
 * Instead of a commit: the changes are whole, and the transaction stays open for those to come, which
 * spares the pages that all of them touch. What is in it is as good as committed (the journal has it):
 * whoever begins a read, a write or a checkpoint meanwhile asks for the commit and waits for it. False:
 * somebody is waiting already, commit.
 */
bool logdb_hold(struct logdb_txn *txn);
/* Has the transaction under way been held, so that whoever begins a read waits for its commit? */
bool logdb_is_held(const struct logdb *db);
/* Does anybody wait for the transaction that is held? */
bool logdb_commit_wanted(const struct logdb *db);
/*
 * Another thread than the one that began the transaction that is held makes changes in it, while that one keeps off.
 * It cannot commit, since LMDB's lock belongs to who took it; the changes are whole when the visit ends.
 */
void logdb_hold_visit(struct logdb *db, bool begin);

/* Small values of the state machine that belong to the member (cluster id, name, …), stored sealed
 * (raft/sealed.h). */
int logdb_get_meta(struct logdb *db, MDB_txn *txn, const char *key,
                   struct str *out); /* ERR_NOT_FOUND */
int logdb_put_meta(struct logdb *db, MDB_txn *txn, const char *key, struct str value,
                   struct error *err);

/* ---- any thread ---- */

/*
 * Borrow a read transaction on the newest committed state. Give it back within 100 ms: pages freed
 * since cannot be reused while it lives, and the file grows. Taking one takes no lock that a writer
 * holds while working, but waits for the commit of what is held (logdb_hold): a few small changes.
 * ERR_IO once a write has failed: what was held, and answered, is lost with its commit, and nobody may be shown the
 * state before.
 */
int logdb_read_begin(struct logdb *db, MDB_txn **txn, struct error *err);
void logdb_read_end(struct logdb *db, MDB_txn *txn);

/* Entries [lo, hi] from the log tree into `out`, at most `max` of them and stopping once bytes_max is
 * reached (but at least one). Their data is referenced for the caller. *n = 0 when lo is compacted or
 * not there yet. */
int logdb_entries(struct logdb *db, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                  struct raft_entry *out, size_t max, size_t *n, struct error *err);
/* Did a write or a sync fail? Then everything is refused. */
bool logdb_failed(struct logdb *db);
/*
 * Look at the stored entries from *next on (0: from the log's beginning), at most `max` of them, without
 * keeping any. 1: there are more; 0: that was the last; ERR_CORRUPT: one is damaged or missing. Damage that a
 * read finds (here, in logdb_entries) leaves the environment usable: the caller says what follows from it.
 */
int logdb_check_entries(struct logdb *db, MDB_txn *txn, uint64_t *next, size_t max,
                        struct error *err);
/* Counts the environments installed; a walk over several read transactions compares it. */
uint64_t logdb_generation(struct logdb *db);

struct logdb_info {
    uint64_t applied, base_index, last_index; /* as committed to LMDB */
    uint64_t file_bytes;                      /* size of data.mdb's used part */
    uint64_t in_use_bytes;                    /* without free pages */
    uint64_t log_bytes;                       /* of those: the log */
    uint64_t map_bytes;
    uint64_t checkpoints;
    uint64_t recovered_batches; /* replayed at open */
    bool recovered_from_pin;    /* a power loss was assumed at open */
};
void logdb_info(struct logdb *db, struct logdb_info *out);
/* The same without the indexes, and without what a held transaction adds: for those who look often. */
void logdb_sizes(struct logdb *db, struct logdb_info *out);
/* Its file_bytes alone; apply thread, cheap. */
uint64_t logdb_file_bytes(struct logdb *db);
/* Bytes that the log tree takes, without what is held. */
uint64_t logdb_log_bytes(struct logdb *db);

/* ---- checkpoint thread ---- */

/* One checkpoint, as above; at once if there is nothing new. Also prepares a spare journal segment.
 * *flush_ns (may be NULL): what its flushes took, when all had been written out before; 0: nothing new. */
int logdb_checkpoint(struct logdb *db, uint64_t *flush_ns, struct error *err);
/* A spare journal segment now, between two checkpoints: nothing to do where there is one. */
int logdb_prepare(struct logdb *db, struct error *err);
/* Journal bytes flushed since the last checkpoint began. */
uint64_t logdb_checkpoint_lag(struct logdb *db);

/* Index, term and configuration of the state that `txn` reads. */
int logdb_snapshot_meta(struct logdb *db, MDB_txn *txn, struct raft_snapshot_meta *out,
                        struct error *err);

/* ---- snapshots ---- */

/*
 * A second environment beside the live one, filled by the state machine in bounded transactions and
 * then swapped in. Begin removes what an earlier attempt left. Only one at a time.
 */
struct logdb_stage;
int logdb_stage_begin(struct logdb *db, struct logdb_stage **out, struct error *err);
int logdb_stage_txn(struct logdb_stage *stage, MDB_txn **txn, struct error *err);
int logdb_stage_commit(struct logdb_stage *stage, MDB_txn *txn, struct error *err);
/* Complete it: log base, configuration; flush; keep its meta pages. */
int logdb_stage_finish(struct logdb_stage *stage, const struct raft_snapshot_meta *meta,
                       struct error *err);
/*
 * On the apply thread, with journal and apply idle: write the hard state and the journal's end
 * into the stage, flush, make CURRENT name it, swap. Waits for read transactions to end (≤ 100 ms).
 * The stage is consumed.
 */
int logdb_stage_install(struct logdb_stage *stage, const struct raft_hard_state *hard,
                        struct error *err);
/*
 * Between finish and install, for a state that is damaged while the log is not: the log's entries behind
 * the snapshot stay, checked one by one. ERR_UNAVAILABLE: the snapshot is older than the log's beginning, or
 * one of those entries is damaged: only a snapshot of the log's last entry or a later one will do, since
 * then the cluster has settled all that this member promised to keep. ERR_CORRUPT: the log contradicts what is
 * committed. Nobody else writes meanwhile.
 */
int logdb_stage_keep_log(struct logdb_stage *stage, const struct raft_snapshot_meta *meta,
                         struct error *err);
/* The hard state as stored. */
void logdb_hard_state(struct logdb *db, struct raft_hard_state *out);
/* Give up: removes the files. */
void logdb_stage_abort(struct logdb_stage *stage);

/* Is this address inside the map? Async-signal-safe. */
bool logdb_in_map(const struct logdb *db, const void *address);

/* ---- giving space back ---- */

struct logdb_defrag_options {
    const atomic_bool *stop; /* ends it with ERR_CANCELLED; may be NULL */
    const atomic_int *busy;  /* not 0: somebody writes, to whom the copy gives way; may be NULL */
};
struct logdb_defrag_info {
    uint64_t before_bytes, after_bytes; /* of the file */
    uint64_t took_ns;
    uint64_t stopped_ns; /* the longest time that writers were kept out */
};
/*
 * Copy everything into a new environment, while reads and writes go on, and put it in place of this one
 * (raft/log_defrag.c says how). Any thread but those of the store; as long as it takes. Needs room on disk for what
 * is in use. ERR_EXISTS: under way already; ERR_LIMIT: no room, or written to faster than copied;
 * ERR_UNAVAILABLE: a snapshot was installed meanwhile. Then all is as before.
 */
int logdb_defrag(struct logdb *db, const struct logdb_defrag_options *o,
                 struct logdb_defrag_info *out, struct error *err);

/* ---- marks ---- */

/* Small files in the data directory that say something about it, written and removed durably. */
int logdb_mark(struct logdb *db, const char *name, struct str text, struct error *err);
int logdb_marked(struct logdb *db, const char *name, struct buf *text,
                 struct error *err); /* ERR_NOT_FOUND */
int logdb_unmark(struct logdb *db, const char *name, struct error *err);

#endif
