/*
 * The insides of struct logdb, shared by log.c (transactions, log entries), log_env.c (directory,
 * pins, checkpoints, recovery) and log_stage.c (snapshots). Nobody else includes this.
 */
#ifndef C8S_RAFT_LOG_STATE_H
#define C8S_RAFT_LOG_STATE_H

#include "base/vec.h"
#include "raft/log.h"
#include <pthread.h>
#include <stdatomic.h>

#define LOGDB_RUNS_MAX 65536   /* term changes within one log */
#define LOGDB_READERS_MAX 1022 /* LMDB reader slots */
#define LOGDB_POOL_MAX 64      /* idle read transactions kept */
#define LOGDB_PATH_MAX 512

/* The record "state" of the meta tree, as stored (little-endian). */
struct logdb_state {
    uint64_t term, vote, commit;
    uint64_t journal_segment, journal_offset;
    uint64_t applied;
    uint64_t base_index, base_term;
    uint64_t last_index;
};

/* One LMDB environment. */
struct logdb_env {
    MDB_env *mdb;
    MDB_dbi meta, log;
    char *dir;       /* data_dir/db-<n> */
    uint64_t number; /* n */
    MDB_txn *pin;    /* reads the last flushed snapshot; NULL before the first checkpoint */
    uint64_t pin_txnid;
    uint64_t pin_seq; /* of the last pin file written */
};

/* A flush whose batches the apply thread has not put into LMDB yet. */
struct logdb_flushed {
    uint64_t seq; /* of its last batch */
    struct journal_pos end;
};

struct logdb {
    struct host *host;
    char *dir;
    uint64_t map_bytes;
    uint64_t journal_segment_bytes;
    int (*open_trees)(void *ctx, MDB_txn *txn, struct error *err);
    void *open_trees_ctx;
    int lock_fd;
    bool is_new;
    /*
     * write_lock: what was found at the start is not applied yet. Until then each page fault reads one page
     * (MDB_NORDAHEAD): a few entries that touch pages all over the file must not read the whole file, 8 MiB a fault.
     */
    bool starting;
    uint64_t found_last; /* the log's end at the start */
    bool recovered_from_pin;
    uint64_t recovered_batches;
    atomic_bool failed;
    atomic_bool defragmenting;

    struct journal *journal;

    pthread_mutex_t flushed_lock;
    VEC(struct logdb_flushed) flushed; /* oldest first */
    size_t flushed_head;

    /* Held by the apply thread during a transaction (a visit is under its lock), by the checkpoint thread while it takes a pin. */
    pthread_mutex_t write_lock;
    /* A transaction kept open (logdb_hold). `wanted` goes up before `held` is looked at, and the other
     * way round: one of the two sides notices. */
    void (*want_commit)(void *ctx, bool ours);
    void *want_commit_ctx;
    pthread_t holder;  /* valid while `held` */
    pthread_t visitor; /* held_lock; valid while `visited` */
    bool visited;
    atomic_bool held;
    atomic_uint wanted;
    pthread_mutex_t held_lock;
    pthread_cond_t held_over;
    uint64_t holds; /* held_lock: that have ended */

    struct logdb_state state;   /* as of the last commit, or of the open transaction */
    struct logdb_state on_disk; /* as of the last commit */
    VEC(struct raft_term_run) runs;
    bool runs_dirty;

    pthread_mutex_t checkpoint_lock; /* one checkpoint or installation at a time */
    uint64_t checkpoint_bytes;       /* journal_bytes when the last checkpoint began */
    atomic_ullong checkpoints;

    /* Read: while a read transaction is out; write: swapping `env`, with write_lock held too. Taken after
     * write_lock: whoever has a read transaction out must not ask for write_lock. */
    pthread_rwlock_t env_lock;
    struct logdb_env env;
    atomic_ullong
        numbers; /* the last n that a directory db-<n> was given; each only once between two starts */
    uint64_t generation;
    const char *_Atomic map; /* of `env`, map_bytes long */
    pthread_mutex_t pool_lock;
    MDB_txn *pool[LOGDB_POOL_MAX]; /* reset read transactions of `env` */
    size_t pool_len;
};

/* Turn an LMDB code into ours with a message; a failed write or a full map poisons `db`. */
int logdb_mdb_error(struct logdb *db, int rc, struct error *err, const char *what);
/* Poison: every later call fails. Returns the code. */
int logdb_fail(struct logdb *db, int code);
/* ERR_IO: it has. */
int logdb_failed_before(struct error *err);

/* log_hold.c */
/* Whoever needs the write lock asks for the end of a transaction that is held. */
void logdb_lock_writes(struct logdb *db);
/* What is held now, if anything, is committed when this returns. */
void logdb_await_commit(struct logdb *db);
/* Committed or aborted; write_lock still held, so that it is not the next transaction's hold that ends. */
void logdb_hold_over(struct logdb *db);

/* log.c */
int logdb_state_load(struct logdb *db, MDB_txn *txn, struct error *err);
int logdb_state_store(struct logdb *db, struct logdb_env *env, MDB_txn *txn,
                      const struct logdb_state *state, struct error *err);
int logdb_append_entries(struct logdb *db, MDB_txn *txn, const struct raft_entry *entries, size_t n,
                         struct error *err);
/* Entries (from, last] of the stored log, checked, from one environment's log tree to another's. */
int logdb_copy_entries(struct logdb *db, MDB_txn *source, MDB_txn *target, MDB_dbi target_log,
                       uint64_t from, uint64_t last, struct error *err);
uint64_t logdb_term_at(const struct logdb *db, uint64_t index);
void logdb_pool_drain(struct logdb *db);

/* log_env.c */
/* The next start is not to rely on the page cache. */
void logdb_boot_forget(struct logdb *db);
/* `existing`: take a pin of the newest snapshot before anything is written. */
int logdb_env_open(struct logdb *db, const char *dir, uint64_t number, bool existing,
                   struct logdb_env *out, struct error *err);
void logdb_env_close(struct logdb_env *env);
/* Write the dirty pages of data.mdb out bit by bit, so that the flush that follows is short and the flushes of
 * journals, this member's and its neighbours', are not stuck behind it. */
int logdb_write_back(MDB_env *env, struct error *err);
/* Begin a read transaction on the newest snapshot and read both meta pages; write_lock held. */
int logdb_pin_take(struct logdb *db, struct logdb_env *env, MDB_txn **pin, char **pages,
                   size_t *len, struct error *err);
/* Write the pages of a flushed snapshot to the next pin file, durably. */
int logdb_pin_write(struct logdb *db, struct logdb_env *env, uint64_t txnid, const char *pages,
                    size_t len, struct error *err);
int logdb_current_write(struct logdb *db, uint64_t number, struct error *err);
/* Whole file into `out`; ERR_NOT_FOUND when absent. */
int logdb_file_read(struct host *host, const char *path, struct buf *out, struct error *err);
/* Make dir/name hold exactly `content`, durably, by way of a temporary file and a rename. */
int logdb_file_replace(struct host *host, const char *dir, const char *name, struct str content,
                       struct error *err);
/* `env` is another one now: note where it is mapped. */
void logdb_map_note(struct logdb *db);
/* From here on the kernel may read ahead of page faults (see `starting`). */
void logdb_read_ahead(struct logdb *db);
int logdb_remove_tree(struct logdb *db, const char *path, struct error *err);

#endif
