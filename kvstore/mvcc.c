/*
 * Reading versions, at the present or a past revision (kvstore/mvcc.h). Writing is in mvcc_write.c,
 * answering range requests in range.c.
 */
#include "kvstore/mvcc.h"
#include "base/clock.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int mvcc_error(int rc, struct error *err, const char *what)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return error_set(err, ERR_NOT_FOUND, "%s: not found", what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return error_set(err, ERR_CORRUPT, "%s: %s", what, mdb_strerror(rc));
    default:
        return error_set(err, ERR_IO, "%s: %s", what, mdb_strerror(rc));
    }
}

int mvcc_open_trees(void *ctx, MDB_txn *txn, struct error *err)
{
    struct mvcc_trees *t = ctx;
    int rc = mdb_dbi_open(txn, "cur", MDB_CREATE, &t->cur);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "hist", MDB_CREATE, &t->hist);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "lease", MDB_CREATE, &t->lease);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "lease_key", MDB_CREATE, &t->lease_key);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "auth", MDB_CREATE, &t->auth);
    return mvcc_error(rc, err, "open trees");
}

/* ---- state records ---- */

int mvcc_state_load(struct logdb *db, MDB_txn *txn, struct mvcc_state *out, struct error *err)
{
    struct str s;
    *out = (struct mvcc_state){.rev = 1, .next_node = 1};
    int rc = logdb_get_meta(db, txn, "mvcc", &s);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return error_set(err, rc, "read the state record");
    if (s.n != sizeof *out)
        return error_set(err, ERR_CORRUPT, "state record of %zu bytes", s.n);
    memcpy(out, s.p, sizeof *out);
    return 0;
}

int mvcc_state_store(struct logdb *db, MDB_txn *txn, const struct mvcc_state *s, struct error *err)
{
    return logdb_put_meta(db, txn, "mvcc", str_make(s, sizeof *s), err);
}

int mvcc_compaction_load(struct logdb *db, MDB_txn *txn, struct mvcc_compaction *out,
                         struct error *err)
{
    struct str s;
    *out = (struct mvcc_compaction){0};
    int rc = logdb_get_meta(db, txn, "compaction", &s);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return error_set(err, rc, "read the compaction record");
    if (s.n != sizeof *out)
        return error_set(err, ERR_CORRUPT, "compaction record of %zu bytes", s.n);
    memcpy(out, s.p, sizeof *out);
    return 0;
}

/* ---- ranges ---- */

struct key_range key_range_make(struct str key, struct str end)
{
    return (struct key_range){
        .from = key, .end = end, .single = end.n == 0, .open = end.n == 1 && end.p[0] == 0};
}

struct key_range key_range_of(const struct kv_range_request *q)
{
    struct key_range r = key_range_make(q->key, q->end);
    r.no_values = (q->keys_only || q->count_only) && q->sort_target != KV_SORT_VALUE;
    return r;
}

bool key_range_has(const struct key_range *r, struct str key)
{
    if (r->single)
        return str_eq(r->from, key);
    return str_cmp(key, r->from) >= 0 && (r->open || str_cmp(key, r->end) < 0);
}

/* ---- versions ---- */

void hist_key_make(char out[HIST_KEY], struct kv_revid id)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)((uint64_t)id.rev >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        out[8 + i] = (char)(id.sub >> (24 - 8 * i));
}

struct kv_pair mvcc_pair(struct str key, const struct kv_record *r)
{
    return (struct kv_pair){.key = key,
                            .value = r->value,
                            .create_rev = r->create_rev,
                            .mod_rev = r->id.rev,
                            .version = r->version,
                            .lease = r->lease};
}

int mvcc_get_version(const struct mvcc_view *v, struct kv_revid id, struct kv_record *out,
                     struct error *err)
{
    char key[HIST_KEY];
    hist_key_make(key, id);
    MDB_val k = {sizeof key, key}, val;
    int rc = mdb_get(v->txn, v->trees->hist, &k, &val);
    if (rc)
        return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : mvcc_error(rc, err, "read history");
    return kv_record_read(str_make(val.mv_data, val.mv_size), str_make(key, sizeof key), out, err);
}

int mvcc_resolve(const struct mvcc_view *v, struct kv_record *r, struct error *err)
{
    while (r->id.rev > v->rev) {
        /* The jump leads further back than prev; taken only if it does not pass the revision. */
        struct kv_revid to = r->jump.rev > v->rev ? r->jump : r->prev;
        if (to.rev == 0)
            return ERR_NOT_FOUND;
        int rc = mvcc_get_version(v, to, r, err);
        if (rc < 0)
            return rc; /* NOT_FOUND: compacted, so there was none at v->rev */
    }
    return 0;
}

static int get(const struct mvcc_view *v, struct str key, struct record_heads *heads,
               struct kv_record *out, struct error *err)
{
    MDB_val val;
    int rc = tree_get(v->txn, v->trees->cur, key, &val);
    if (rc)
        return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : mvcc_error(rc, err, "read key");
    rc = record_heads_read(heads, str_make(val.mv_data, val.mv_size), key, out, err);
    if (rc == 0)
        rc = mvcc_resolve(v, out, err);
    return rc == 0 && out->tombstone ? ERR_NOT_FOUND : rc;
}

int mvcc_get(const struct mvcc_view *v, struct str key, struct kv_record *out, struct error *err)
{
    return get(v, key, NULL, out, err);
}

/* ---- walking ---- */

static int walk_single(const struct mvcc_view *v, const struct key_range *range,
                       mvcc_visit_fn *visit, void *ctx, bool *more, struct error *err)
{
    struct kv_record r;
    *more = false;
    int rc = get(v, range->from, range->no_values ? v->trees->heads : NULL, &r, err);
    if (rc == ERR_NOT_FOUND)
        return MVCC_WALK_DONE;
    if (rc < 0)
        return rc;
    rc = visit(ctx, range->from, &r);
    return rc < 0 ? rc : MVCC_WALK_DONE;
}

/* Steps to the next live version in the range. 0: it is at it->key; MDB_NOTFOUND: no more. */
static int walk_settle(const struct mvcc_view *v, const struct key_range *range,
                       struct tree_iter *it, int rc, struct kv_record *r, unsigned *steps,
                       struct error *err)
{
    for (;; rc = tree_next(it)) {
        if (rc)
            return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : mvcc_error(rc, err, "walk keys");
        if (!range->open && str_cmp(it->key, range->end) >= 0)
            return ERR_NOT_FOUND;
        ++*steps;
        rc = kv_record_read(str_make(it->value.mv_data, it->value.mv_size), it->key, r, err);
        if (rc < 0)
            return rc;
        rc = mvcc_resolve(v, r, err);
        if (rc == 0 && !r->tombstone)
            return 0;
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
        if (*steps >= 1024)
            return 1; /* many dead ones: let the caller look at the clock */
    }
}

int mvcc_walk(const struct mvcc_view *v, const struct key_range *range, mvcc_visit_fn *visit,
              void *ctx, uint64_t deadline_ns, struct buf *resume, bool *more, struct error *err)
{
    if (range->single)
        return walk_single(v, range, visit, ctx, more, err);
    struct tree_iter it;
    MDB_cursor *c;
    struct kv_record r;
    unsigned steps = 0;
    *more = false;
    int mrc = mdb_cursor_open(v->txn, v->trees->cur, &c);
    if (mrc)
        return mvcc_error(mrc, err, "open cursor");
    tree_iter_init(&it, c);
    int rc = walk_settle(v, range, &it, tree_seek(&it, range->from), &r, &steps, err);
    while (rc >= 0) {
        if (steps >= 256 || rc == 1) {
            steps = 0;
            if (deadline_ns && clock_mono_ns() > deadline_ns) {
                buf_clear(resume);
                buf_append_str(resume, it.key);
                *more = true;
                rc = MVCC_WALK_DEADLINE;
                goto out;
            }
        }
        int stop = rc == 1 ? 0 : visit(ctx, it.key, &r);
        if (stop < 0) {
            rc = stop;
            goto out;
        }
        if (stop > 0) { /* is there another one? */
            do {
                steps = 0;
                rc = walk_settle(v, range, &it, tree_next(&it), &r, &steps, err);
            } while (rc == 1);
            if (rc == 0) {
                *more = true;
                buf_clear(resume);
                buf_append_str(resume, it.key);
            }
            rc = rc == 0 || rc == ERR_NOT_FOUND ? MVCC_WALK_STOPPED : rc;
            goto out;
        }
        rc = walk_settle(v, range, &it, tree_next(&it), &r, &steps, err);
    }
    rc = rc == ERR_NOT_FOUND ? MVCC_WALK_DONE : rc;
out:
    tree_iter_free(&it);
    mdb_cursor_close(c);
    return rc;
}

int mvcc_history(const struct mvcc_view *v, struct kv_revid *from, size_t max, uint64_t deadline_ns,
                 mvcc_version_fn *fn, void *ctx, struct error *err)
{
    MDB_cursor *c;
    char key[HIST_KEY];
    hist_key_make(key, *from);
    MDB_val k = {sizeof key, key}, val;
    int rc = mdb_cursor_open(v->txn, v->trees->hist, &c);
    if (rc)
        return mvcc_error(rc, err, "open cursor");
    rc = mdb_cursor_get(c, &k, &val, MDB_SET_RANGE);
    int end = MVCC_WALK_DONE;
    for (size_t n = 0; rc == 0; n++) {
        struct kv_record r;
        end = kv_record_read(str_make(val.mv_data, val.mv_size), str_make(k.mv_data, k.mv_size), &r,
                             err);
        if (end < 0 || r.id.rev > v->rev)
            break;
        *from = r.id;
        if (n >= max || (deadline_ns && n % 64 == 63 && clock_mono_ns() > deadline_ns)) {
            end = MVCC_WALK_DEADLINE;
            break;
        }
        int stop = fn(ctx, &r);
        from->sub++;
        if (stop) {
            end = stop < 0 ? stop : MVCC_WALK_STOPPED;
            break;
        }
        rc = mdb_cursor_get(c, &k, &val, MDB_NEXT);
    }
    mdb_cursor_close(c);
    return rc && rc != MDB_NOTFOUND ? mvcc_error(rc, err, "walk history") : end;
}
