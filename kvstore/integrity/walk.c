/*
 * The walk over everything stored (kvstore/integrity/walk.h).
 */
#include "kvstore/integrity/walk.h"
#include "kvstore/store.h"
#include "raft/sealed.h"
#include "base/clock.h"
#include <assert.h>
#include <inttypes.h>

#define LEASES_NS (90 * NS_PER_MS) /* for the lease trees, which one transaction must hold */
#define LOG_ENTRIES 64             /* of the log, between two looks at the clock */

void integrity_walk_init(struct integrity_walk *w, struct kv *kv)
{
    *w = (struct integrity_walk){.kv = kv, .pin = -1};
    buf_init(&w->resume);
}

void integrity_walk_free(struct integrity_walk *w)
{
    integrity_walk_reset(w);
    buf_free(&w->resume);
}

void integrity_walk_reset(struct integrity_walk *w)
{
    pin_drop(w->kv, w->pin);
    w->pin = -1;
    w->phase = WALK_IDLE;
    w->ahead = (struct mvcc_removed_ahead){0};
}

static int state_now(struct integrity_walk *w, struct mvcc_state *s)
{
    int rc = mvcc_state_load(w->kv->db, w->view.txn, s, w->err);
    if (rc == 0 && s->bulk_index)
        rc = error_set(w->err, ERR_UNAVAILABLE, "a large delete is under way");
    return rc;
}

/* ---- keys, at one revision ---- */

static int begin_live(struct integrity_walk *w)
{
    struct mvcc_state s;
    int rc = state_now(w, &s);
    if (rc == 0 && !pin_take(w->kv, s.rev, &w->pin))
        rc = error_set(w->err, ERR_UNAVAILABLE, "no pin is free");
    if (rc < 0)
        return rc;
    w->rev = s.rev;
    w->want = s.digest;
    w->found = (struct digest){0};
    w->looked_at = 0;
    buf_clear(&w->resume);
    buf_append_char(&w->resume, 0);
    w->phase = WALK_LIVE;
    return 0;
}

static int see_live(void *ctx, struct str key, const struct kv_record *r)
{
    struct integrity_walk *w = ctx;
    digest_change(&w->found, key, NULL, r);
    w->looked_at++;
    return 0;
}

static int live_differs(struct integrity_walk *w)
{
    unsigned slots = 0;
    for (int i = 0; i < DIGEST_SLOTS; i++)
        slots += w->found.live[i] != w->want.live[i];
    if (slots == 0 && w->found.live_keys == w->want.live_keys)
        return 0;
    return error_set(w->err, ERR_CORRUPT,
                     "the keys at revision %" PRId64 " are not those that were written: %" PRIu64
                     " keys found, %" PRIu64 " expected, %u of %d key ranges differ",
                     w->rev, w->found.live_keys, w->want.live_keys, slots, DIGEST_SLOTS);
}

static int step_live(struct integrity_walk *w, uint64_t deadline_ns)
{
    struct buf from;
    bool more;
    buf_init(&from);
    buf_append_str(&from, buf_str(&w->resume));
    struct key_range all = {.from = buf_str(&from), .open = true};
    w->view.rev = w->rev;
    int rc = mvcc_walk(&w->view, &all, see_live, w, deadline_ns, &w->resume, &more, w->err);
    buf_free(&from);
    if (rc < 0 || rc == MVCC_WALK_DEADLINE)
        return rc < 0 ? rc : 1;
    pin_drop(w->kv, w->pin);
    w->pin = -1;
    w->phase = WALK_HISTORY;
    w->ahead = (struct mvcc_removed_ahead){0};
    rc = live_differs(w);
    return rc < 0 ? rc : 1;
}

/* ---- versions, by revision ---- */

static int begin_history(struct integrity_walk *w)
{
    struct mvcc_compaction c;
    struct mvcc_state s;
    int rc = state_now(w, &s);
    if (rc == 0)
        rc = mvcc_compaction_load(w->kv->db, w->view.txn, &c, w->err);
    if (rc < 0)
        return rc;
    w->rev = s.rev;
    w->at = (struct kv_revid){1, 0};
    w->want_history = s.digest.added - c.removed;
    w->want_versions = s.digest.added_versions - c.removed_versions;
    w->history = w->versions = 0;
    w->ahead = (struct mvcc_removed_ahead){.from = w->at, .upto = s.rev};
    return 0;
}

/* A deletion stands in `cur` until compaction removes it from there and from here together. */
static int deletion_is_kept(struct integrity_walk *w, const struct kv_record *r)
{
    struct kv_record newest;
    MDB_val v;
    int rc = tree_get(w->view.txn, w->view.trees->cur, r->key, &v);
    if (rc == MDB_NOTFOUND)
        return error_set(w->err, ERR_CORRUPT,
                         "the deletion of a key at revision %" PRId64 " is gone", r->id.rev);
    if (rc)
        return mvcc_error(rc, w->err, "read key");
    rc = kv_record_read(str_make(v.mv_data, v.mv_size), r->key, &newest, w->err);
    if (rc == 0 && revid_less(newest.id, r->id))
        rc = error_set(w->err, ERR_CORRUPT,
                       "the newest version of a key is older than one of %" PRId64, r->id.rev);
    return rc;
}

static int see_version(void *ctx, const struct kv_record *r)
{
    struct integrity_walk *w = ctx;
    w->history += digest_stored(r->crc, r->id);
    w->versions++;
    w->looked_at++;
    return r->tombstone ? deletion_is_kept(w, r) : 0;
}

static int step_history(struct integrity_walk *w, uint64_t deadline_ns)
{
    if (!w->ahead.upto) {
        int rc = begin_history(w);
        if (rc < 0)
            return rc;
    }
    w->view.rev = w->rev;
    int rc = mvcc_history(&w->view, &w->at, SIZE_MAX, deadline_ns, see_version, w, w->err);
    w->ahead.from = w->at;
    if (rc < 0 || rc == MVCC_WALK_DEADLINE)
        return rc < 0 ? rc : 1;
    w->phase = WALK_LEASES;
    w->history += w->ahead.sum;
    w->versions += w->ahead.versions;
    w->ahead = (struct mvcc_removed_ahead){0};
    if (w->history == w->want_history && w->versions == w->want_versions)
        return 1;
    return error_set(w->err, ERR_CORRUPT,
                     "the history up to revision %" PRId64 " is not what was written: %" PRIu64
                     " versions found, %" PRIu64 " expected",
                     w->rev, w->versions, w->want_versions);
}

/* ---- leases ---- */

/* Sum of a tree's sealed records. 1: out of time. */
static int sum_sealed(struct integrity_walk *w, MDB_dbi dbi, uint64_t deadline_ns, uint64_t *sum)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(w->view.txn, dbi, &c);
    if (rc)
        return mvcc_error(rc, w->err, "open cursor");
    for (uint64_t n = 1; (rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0; n++) {
        struct str payload;
        if (n % 256 == 0 && clock_mono_ns() > deadline_ns)
            break;
        if ((rc = sealed_open(&k, &v, &payload)) != 0)
            break;
        *sum += digest_sealed(v.mv_data);
        w->looked_at++;
    }
    mdb_cursor_close(c);
    if (rc == 0)
        return 1;
    return rc == MDB_NOTFOUND ? 0 : mvcc_error(rc, w->err, "walk leases");
}

static int step_leases(struct integrity_walk *w)
{
    struct mvcc_state s;
    uint64_t leases = 0, attached = 0, until = clock_mono_ns() + LEASES_NS;
    int rc = mvcc_state_load(w->kv->db, w->view.txn, &s, w->err);
    if (rc == 0)
        rc = sum_sealed(w, w->view.trees->lease, until, &leases);
    if (rc == 0)
        rc = sum_sealed(w, w->view.trees->lease_key, until, &attached);
    w->phase = WALK_LOG;
    w->log_next = 0;
    if (rc < 0)
        return rc;
    /* Too many for one transaction: their records' checksums must do. */
    if (rc == 0 && (leases != s.digest.leases || attached != s.digest.attached))
        return error_set(w->err, ERR_CORRUPT,
                         "leases or their keys are not those that were granted");
    return 1;
}

/* ---- Raft's log ---- */

static int step_log(struct integrity_walk *w, uint64_t deadline_ns)
{
    int rc;
    while ((rc = logdb_check_entries(w->kv->db, w->view.txn, &w->log_next, LOG_ENTRIES, w->err)) ==
           1)
        if (clock_mono_ns() > deadline_ns)
            return 1;
    if (rc == 0) {
        w->phase = WALK_IDLE;
        w->digest = digest_shared(&w->want);
    }
    return rc;
}

/* ---- a slice ---- */

static int step(struct integrity_walk *w, uint64_t deadline_ns)
{
    switch (w->phase) {
    case WALK_IDLE: {
        int rc = begin_live(w);
        return rc < 0 ? rc : step_live(w, deadline_ns);
    }
    case WALK_LIVE:
        return step_live(w, deadline_ns);
    case WALK_HISTORY:
        return step_history(w, deadline_ns);
    case WALK_LEASES:
        return step_leases(w);
    case WALK_LOG:
        return step_log(w, deadline_ns);
    }
    return ERR_INTERNAL;
}

int integrity_walk_step(struct integrity_walk *w, uint64_t slice_ns, struct error *err)
{
    struct kv *kv = w->kv;
    MDB_txn *txn;
    uint64_t began = clock_mono_ns(), generation = logdb_generation(kv->db);
    if (w->phase != WALK_IDLE && generation != w->generation) {
        integrity_walk_reset(w);
        return error_set(err, ERR_UNAVAILABLE, "the state was replaced");
    }
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    w->view = (struct mvcc_view){.trees = &kv->trees, .txn = txn};
    w->err = err;
    w->generation = generation;
    rc = step(w, began + slice_ns);
    logdb_read_end(kv->db, txn);
    w->slice_max_ns = MAX(w->slice_max_ns, clock_mono_ns() - began);
    if (rc >= 0)
        return rc;
    integrity_walk_reset(w);
    /* Swapped between the look at the generation and the transaction: what was found means nothing. */
    if (logdb_generation(kv->db) != generation)
        return error_set(err, ERR_UNAVAILABLE, "the state was replaced");
    return rc;
}
