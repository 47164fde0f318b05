/*
 * Versions of keys on LMDB: the two trees, reading at a revision, and writing a new one.
 *
 *     cur    key (kvstore/tree.h)    → newest version, or a tombstone until it is compacted
 *     hist   revision:8 ‖ sub:4 (BE) → every version since compaction, with its key
 *     lease  id:8 (BE)               → granted TTL, and the rest of it at its last checkpoint (0: none)
 *     lease_key  id:8 ‖ key          → attachment (see lease_key_make for long keys)
 *
 * A prefix is listed by one sequential scan of `cur`; at a past revision, a version in `cur` that is too new
 * is replaced by the one found through its links in `hist`.
 *
 * Nothing here knows of threads: a view belongs to one read transaction, a write to one write
 * transaction. Records returned point into LMDB pages: of a view, valid until its transaction ends or is
 * reset; of a write, until the next change in the same transaction.
 */
#ifndef C8S_KVSTORE_MVCC_H
#define C8S_KVSTORE_MVCC_H

#include "kvstore/integrity/digest.h"
#include "kvstore/kv.h"
#include "kvstore/record_heads.h"
#include "kvstore/tree.h"
#include "raft/log.h"

struct mvcc_trees {
    MDB_dbi cur, hist, lease, lease_key, auth;
    struct record_heads *heads; /* not a tree: what reading numbers goes by; NULL: nothing */
};

/* For logdb_options.open_trees; ctx is a struct mvcc_trees. */
int mvcc_open_trees(void *ctx, MDB_txn *txn, struct error *err);

/* What belongs to the whole state; stored (little-endian) with every transaction that changes it. */
struct mvcc_state {
    int64_t rev;         /* the watermark: newest complete revision; 1 in an empty store */
    int64_t compact_rev; /* history below is forgotten, except what is current at it; 0: none */
    uint64_t next_node;  /* of the cur tree */
    uint64_t bulk_index; /* log index of a delete done half (see mvcc_bulk); 0: none */
    int64_t bulk_deleted;
    uint64_t bulk_sub;
    struct digest digest;
};

int mvcc_state_load(struct logdb *db, MDB_txn *txn, struct mvcc_state *out, struct error *err);
int mvcc_state_store(struct logdb *db, MDB_txn *txn, const struct mvcc_state *s, struct error *err);

/* How far compaction has removed records; its own record, as its own thread writes it. */
struct mvcc_compaction {
    int64_t target; /* compact_rev being worked towards */
    struct kv_revid done;
    uint64_t removed, removed_versions; /* counterpart of digest.added */
};
/* Versions removed from the part of `hist` that a walk has yet to see, for its balance. */
struct mvcc_removed_ahead {
    struct kv_revid from; /* the walk's next */
    int64_t upto;         /* its last revision; 0: no walk */
    uint64_t sum, versions;
};
/* Is everything removed that compaction up to `rev` makes superfluous? */
bool mvcc_compaction_past(const struct mvcc_compaction *c, int64_t rev);
int mvcc_compaction_load(struct logdb *db, MDB_txn *txn, struct mvcc_compaction *out,
                         struct error *err);

/* ---- ranges ---- */

/* The key range of a request; see kv_range_request. */
struct key_range {
    struct str from;
    struct str end; /* exclusive; meaningless when `open` */
    bool single;    /* just `from` */
    bool open;      /* no end */
    bool no_values; /* of a single key its value is not looked at, so that it may be wrong */
};
struct key_range key_range_make(struct str key, struct str end);
/* That of a request for pairs, which knows whether it looks at values. */
struct key_range key_range_of(const struct kv_range_request *q);
bool key_range_has(const struct key_range *r, struct str key);

/* ---- reading ---- */

struct mvcc_view {
    const struct mvcc_trees *trees;
    MDB_txn *txn;
    int64_t rev;
};

/* The version of `key` at view->rev: ERR_NOT_FOUND when there is none or it is deleted. */
int mvcc_get(const struct mvcc_view *v, struct str key, struct kv_record *out, struct error *err);
/* A version by its id, with its key. ERR_NOT_FOUND. */
int mvcc_get_version(const struct mvcc_view *v, struct kv_revid id, struct kv_record *out,
                     struct error *err);
/* Replace `r`, a version of `key`, by the newest at or before view->rev. ERR_NOT_FOUND: none. May return a
 * tombstone. */
int mvcc_resolve(const struct mvcc_view *v, struct kv_record *r, struct error *err);

struct kv_pair mvcc_pair(struct str key, const struct kv_record *r);

enum mvcc_walk_end { MVCC_WALK_DONE, MVCC_WALK_STOPPED, MVCC_WALK_DEADLINE };
/* 0: go on; > 0: stop behind this one; < 0: fail with that code. */
typedef int mvcc_visit_fn(void *ctx, struct str key, const struct kv_record *r);
/*
 * Visit the live versions of the range in key order. Returns an mvcc_walk_end or an error. After
 * STOPPED and DEADLINE `resume` holds the key to go on from (after STOPPED it exists in the range only
 * if *more). deadline_ns 0: none (CLOCK_MONOTONIC otherwise).
 */
int mvcc_walk(const struct mvcc_view *v, const struct key_range *range, mvcc_visit_fn *visit,
              void *ctx, uint64_t deadline_ns, struct buf *resume, bool *more, struct error *err);

/* ---- answering range requests ---- */

/* Collects the pairs of one request; used over one or several walks. */
struct range_collector {
    const struct kv_range_request *request;
    struct arena *arena;
    size_t bytes_max;   /* what the answer may hold */
    bool fail_past_max; /* pass bytes_max: fail (else stop there) */
    size_t bytes;
    bool everything;  /* sorting or filtering: take all, cut at the end */
    size_t take;      /* without `everything`: pairs up to the limit, or one more */
    bool sort_values; /* values are needed until then, also with keys_only */
    size_t cap;
    int64_t count;
    bool full; /* only counting from here on */
    struct kv_range_result *out;
};
void range_collector_init(struct range_collector *c, const struct kv_range_request *request,
                          struct arena *arena, size_t bytes_max, struct kv_range_result *out);
int range_collect(void *ctx, struct str key, const struct kv_record *r); /* mvcc_visit_fn */
/* Filter, sort, cut, set count and more. */
void range_collector_finish(struct range_collector *c);
/* Key and end in order, limit and bounds not negative: ERR_INVALID. */
int range_request_check(const struct kv_range_request *r, struct error *err);

/* ---- writing ---- */

/* Called before each change is written, while `prev` (as of the revision before; NULL: none, or deleted) can still be
 * read. */
typedef void mvcc_change_fn(void *ctx, struct str key, const struct kv_record *now,
                            const struct kv_record *prev);

struct mvcc_write {
    const struct mvcc_trees *trees;
    struct logdb *db;
    MDB_txn *txn;
    MDB_cursor *cur, *hist; /* write cursors */
    struct mvcc_state state;
    int64_t rev;  /* the revision being written: state.rev + 1 */
    uint32_t sub; /* next number in it; 0: nothing changed so far */
    mvcc_change_fn *on_change;
    void *ctx;
    struct buf scratch;
};

/* On an open transaction; `state` as loaded or as left by the previous transaction. */
int mvcc_write_open(struct mvcc_write *w, struct logdb *db, const struct mvcc_trees *trees,
                    MDB_txn *txn, const struct mvcc_state *state, struct error *err);
/* Close the cursors; before the transaction ends. */
void mvcc_write_close(struct mvcc_write *w);
/* The revision is complete: if anything changed, it becomes the newest. */
void mvcc_write_end_revision(struct mvcc_write *w);
/* What the transaction sees now, its own changes included. */
struct mvcc_view mvcc_write_view(const struct mvcc_write *w);

int mvcc_put(struct mvcc_write *w, struct str key, struct str value, int64_t lease,
             struct error *err);
/* Delete up to `max` live keys of the range, from *from on (NULL: its start); *deleted is increased. 1: more are left
 * and `from` holds where to go on; 0: done. */
int mvcc_delete_some(struct mvcc_write *w, const struct key_range *range, struct buf *from,
                     size_t max, int64_t *deleted, struct error *err);
/* Delete one key; ERR_NOT_FOUND when it is not there. */
int mvcc_delete(struct mvcc_write *w, struct str key, struct error *err);

/* A version received in a snapshot, in order of revisions. */
int mvcc_restore(struct mvcc_write *w, const struct kv_record *r, struct error *err);

/* A version from elsewhere, in order of revisions and without links, which it gets here. Its lease counts only if it is
 * there. A deletion without a version before it at or below `compact_rev` is nothing. */
int mvcc_import(struct mvcc_write *w, struct kv_record *r, int64_t compact_rev, struct error *err);

/* ---- leases on disk ---- */

int mvcc_lease_put(struct mvcc_write *w, int64_t id, int64_t ttl_s, int64_t remaining_s,
                   struct error *err);
int mvcc_lease_delete(struct mvcc_write *w, int64_t id, struct error *err);
/* Calls fn for each lease, ascending. */
typedef int mvcc_lease_fn(void *ctx, int64_t id, int64_t ttl_s, int64_t remaining_s);
int mvcc_lease_each(const struct mvcc_view *v, mvcc_lease_fn *fn, void *ctx, struct error *err);
/* Calls fn for up to `max` keys attached to the lease. fn < 0 ends it. */
int mvcc_lease_keys(const struct mvcc_view *v, int64_t id, size_t max,
                    int (*fn)(void *ctx, struct str key), void *ctx, struct error *err);

/* ---- history ---- */

#define HIST_KEY 12
void hist_key_make(char out[HIST_KEY], struct kv_revid id);
/*
 * Visit versions from `from` on in order of revision, up to view->rev. Returns an mvcc_walk_end; after
 * DEADLINE or STOPPED *from is where to go on. At most `max` records.
 */
typedef int mvcc_version_fn(void *ctx, const struct kv_record *r);
int mvcc_history(const struct mvcc_view *v, struct kv_revid *from, size_t max, uint64_t deadline_ns,
                 mvcc_version_fn *fn, void *ctx, struct error *err);

/*
 * One slice of removing what `c->target` made superfluous: goes through the versions in
 * (c->done, target] and removes the predecessor of each, and deletions themselves, except the
 * target revision's, which are the next compaction's; stops at deadline_ns. *finished when the
 * target is reached; it must not change before. Stores *c. Adds to *ahead (may be NULL) what counts.
 */
int mvcc_compact_slice(struct logdb *db, const struct mvcc_trees *trees, MDB_txn *txn,
                       struct mvcc_compaction *c, struct mvcc_removed_ahead *ahead,
                       uint64_t deadline_ns, bool *finished, struct error *err);

/* An LMDB code as ours. */
int mvcc_error(int rc, struct error *err, const char *what);

#endif
