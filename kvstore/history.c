/*
 * Walking the whole history (kvstore/history.h).
 */
#include "kvstore/history.h"
#include "base/clock.h"
#include "base/mem.h"

int history_open(struct history *h, struct kv *kv, const struct mvcc_state *state, int64_t rev,
                 struct error *err)
{
    *h = (struct history){.kv = kv,
                          .rev = rev,
                          .compact_rev = state->compact_rev,
                          .keep_rev = state->compact_rev,
                          .generation = logdb_generation(kv->db),
                          .at = {1, 0},
                          .slot = -1};
    /* Everything above compact_rev must stay, and what is current at it. */
    if (!pin_take(kv, MAX(h->compact_rev, 1), &h->slot))
        return error_set(err, ERR_UNAVAILABLE, "compaction is ahead");
    return 0;
}

void history_close(struct history *h)
{
    pin_drop(h->kv, h->slot);
    h->slot = -1;
}

struct step {
    struct history *h;
    struct mvcc_view view;
    bool filter; /* removal has not come to compact_rev yet: what it would remove is skipped */
    mvcc_version_fn *fn;
    void *ctx;
    struct error *err;
};

static int visit(void *ctx, const struct kv_record *r)
{
    struct step *s = ctx;
    struct history *h = s->h;
    if (r->tombstone && r->id.rev <= h->compact_rev)
        return 0; /* kept for watches only */
    if (s->filter && r->id.rev <= h->compact_rev) {
        struct kv_record now;
        int rc = mvcc_get(&s->view, r->key, &now, s->err);
        if (rc == ERR_NOT_FOUND || (rc == 0 && !revid_eq(now.id, r->id)))
            return 0;
        if (rc < 0)
            return rc;
    }
    h->visited++;
    return s->fn(s->ctx, r);
}

int history_step(struct history *h, uint64_t ns, mvcc_version_fn *fn, void *ctx, bool *done,
                 struct error *err)
{
    struct kv *kv = h->kv;
    struct mvcc_compaction c;
    MDB_txn *txn;
    *done = false;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    if (logdb_generation(kv->db) != h->generation)
        rc = error_set(err, ERR_UNAVAILABLE, "the state was replaced meanwhile");
    if (rc == 0)
        rc = mvcc_compaction_load(kv->db, txn, &c, err);
    if (rc == 0) {
        struct mvcc_view v = {&kv->trees, txn, h->rev};
        struct step s = {h, {&kv->trees, txn, h->keep_rev}, true, fn, ctx, err};
        s.filter = h->keep_rev != h->compact_rev || !mvcc_compaction_past(&c, h->compact_rev);
        rc = mvcc_history(&v, &h->at, SIZE_MAX, clock_mono_ns() + ns, visit, &s, err);
    }
    logdb_read_end(kv->db, txn);
    *done = rc == MVCC_WALK_DONE;
    return rc < 0 ? rc : 0;
}
