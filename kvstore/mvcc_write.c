/*
 * Writing versions: put, delete, leases' attachments, restoring, compaction (kvstore/mvcc.h).
 */
#include "kvstore/mvcc.h"
#include "raft/log_touch.h"
#include "raft/sealed.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include <assert.h>
#include <openssl/sha.h>

int mvcc_write_open(struct mvcc_write *w, struct logdb *db, const struct mvcc_trees *trees,
                    MDB_txn *txn, const struct mvcc_state *state, struct error *err)
{
    *w = (struct mvcc_write){
        .trees = trees, .db = db, .txn = txn, .state = *state, .rev = state->rev + 1};
    buf_init(&w->scratch);
    int rc = mdb_cursor_open(txn, trees->cur, &w->cur);
    if (rc == 0)
        rc = mdb_cursor_open(txn, trees->hist, &w->hist);
    return mvcc_error(rc, err, "open write cursors");
}

void mvcc_write_close(struct mvcc_write *w)
{
    if (w->cur)
        mdb_cursor_close(w->cur);
    if (w->hist)
        mdb_cursor_close(w->hist);
    w->cur = w->hist = NULL;
    buf_free(&w->scratch);
}

void mvcc_write_end_revision(struct mvcc_write *w)
{
    if (w->sub == 0)
        return;
    w->state.rev = w->rev++;
    w->sub = 0;
}

struct mvcc_view mvcc_write_view(const struct mvcc_write *w)
{
    return (struct mvcc_view){.trees = w->trees, .txn = w->txn, .rev = w->rev};
}

/* ---- attachments ---- */

#define LEASE_KEY_HEAD 440 /* bytes of a long key kept in its attachment's key, before the hash */

/* id ‖ key; a key that is too long for LMDB is cut and ends in its SHA-256, and then the whole key is
 * the value. */
static size_t lease_key_make(char out[TREE_KEY_MAX], int64_t id, struct str key)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)((uint64_t)id >> (56 - 8 * i));
    if (key.n <= TREE_CHUNK) {
        memcpy(out + 8, key.p, key.n);
        return 8 + key.n;
    }
    memcpy(out + 8, key.p, LEASE_KEY_HEAD);
    SHA256((const unsigned char *)key.p, key.n, (unsigned char *)out + 8 + LEASE_KEY_HEAD);
    out[8 + LEASE_KEY_HEAD + SHA256_DIGEST_LENGTH] = 0;
    return 8 + LEASE_KEY_HEAD + SHA256_DIGEST_LENGTH;
}

/* Put a sealed record, or remove it (payload NULL), keeping its tree's digest. *had: it was there. */
static int sealed_change(struct mvcc_write *w, MDB_dbi dbi, struct str key,
                         const struct str *payload, uint64_t *digest, bool *had)
{
    MDB_val k = {key.n, (void *)key.p}, v;
    int rc = mdb_get(w->txn, dbi, &k, &v);
    *had = rc == 0;
    if (rc && rc != MDB_NOTFOUND)
        return rc;
    if (*had && v.mv_size < SEALED_HEAD)
        return MDB_CORRUPTED;
    if (*had)
        *digest -= digest_sealed(v.mv_data);
    if (!payload) {
        logdb_touch(w->txn, dbi, &k);
        return *had ? mdb_del(w->txn, dbi, &k, NULL) : 0;
    }
    rc = sealed_put(w->txn, dbi, key, *payload);
    if (rc == 0)
        rc = mdb_get(w->txn, dbi, &k, &v);
    if (rc == 0)
        *digest += digest_sealed(v.mv_data);
    return rc;
}

static int attach(struct mvcc_write *w, int64_t id, struct str key, struct error *err)
{
    bool had;
    char raw[TREE_KEY_MAX];
    struct str k = str_make(raw, lease_key_make(raw, id, key));
    struct str whole = key.n > TREE_CHUNK ? key : STR_NONE;
    int rc = sealed_change(w, w->trees->lease_key, k, &whole, &w->state.digest.attached, &had);
    return mvcc_error(rc, err, "attach to lease");
}

static int detach(struct mvcc_write *w, int64_t id, struct str key, struct error *err)
{
    char raw[TREE_KEY_MAX];
    struct str k = str_make(raw, lease_key_make(raw, id, key));
    bool had;
    int rc = sealed_change(w, w->trees->lease_key, k, NULL, &w->state.digest.attached, &had);
    return mvcc_error(rc, err, "detach from lease");
}

/* ---- versions ---- */

/* Links of a version that follows `prev`. */
static int links_make(const struct mvcc_write *w, struct kv_record *r, const struct kv_record *prev,
                      struct error *err)
{
    r->depth = prev->depth + 1;
    r->prev = prev->id;
    if (kv_jump_depth(r->depth) == prev->depth) {
        r->jump = prev->id;
        return 0;
    }
    /* Equal strides: the jump goes to where prev's jump jumps. */
    struct mvcc_view v = mvcc_write_view(w);
    struct kv_record hop;
    if (prev->jump.rev == 0)
        return 0;
    int rc = mvcc_get_version(&v, prev->jump, &hop, err);
    if (rc == 0)
        r->jump = hop.jump;
    return rc == ERR_NOT_FOUND ? 0 : rc; /* compacted: no jump */
}

static int store_current(struct mvcc_write *w, struct str key, const struct kv_record *r,
                         struct error *err)
{
    struct kv_record in_cur = *r;
    void *place;
    in_cur.key = STR_NONE;
    size_t size = kv_record_size(&in_cur);
    int rc = tree_reserve(w->txn, w->trees->cur, w->cur, key, size, &place, &w->state.next_node);
    if (rc)
        return mvcc_error(rc, err, "put key");
    kv_record_write(&in_cur, key, place, size);
    return 0;
}

static int store_version(struct mvcc_write *w, struct str key, const struct kv_record *r,
                         struct error *err)
{
    struct kv_record in_hist = *r;
    char id[HIST_KEY];
    in_hist.key = key;
    hist_key_make(id, r->id);
    size_t size = kv_record_size(&in_hist);
    MDB_val k = {sizeof id, id}, v = {size, NULL};
    logdb_touch(w->txn, w->trees->hist, &k);
    int rc = mdb_cursor_put(w->hist, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc)
        return mvcc_error(rc, err, "append to history");
    kv_record_write(&in_hist, str_make(id, sizeof id), v.mv_data, size);
    uint32_t crc;
    memcpy(&crc, v.mv_data, sizeof crc);
    w->state.digest.added += digest_stored(crc, r->id);
    w->state.digest.added_versions++;
    return 0;
}

/* The newest version of key, whatever it is. *have: there is one. */
static int current(struct mvcc_write *w, struct str key, struct kv_record *r, bool *have,
                   struct error *err)
{
    MDB_val v;
    int rc = tree_get(w->txn, w->trees->cur, key, &v);
    *have = rc == 0;
    if (rc)
        return rc == MDB_NOTFOUND ? 0 : mvcc_error(rc, err, "read key");
    return kv_record_read(str_make(v.mv_data, v.mv_size), key, r, err);
}

int mvcc_put(struct mvcc_write *w, struct str key, struct str value, int64_t lease,
             struct error *err)
{
    struct kv_record prev, r = {.id = {w->rev, w->sub}, .value = value, .lease = lease};
    bool have;
    int rc = current(w, key, &prev, &have, err);
    if (rc == 0 && have)
        rc = links_make(w, &r, &prev, err);
    if (rc < 0)
        return rc;
    bool live = have && !prev.tombstone;
    r.create_rev = live ? prev.create_rev : w->rev;
    r.version = live ? prev.version + 1 : 1;
    if (w->on_change)
        w->on_change(w->ctx, key, &r, live ? &prev : NULL);
    digest_change(&w->state.digest, key, live ? &prev : NULL, &r);
    int64_t old_lease = live ? prev.lease : 0;
    rc = store_current(w, key, &r, err);
    if (rc == 0)
        rc = store_version(w, key, &r, err);
    if (rc == 0 && old_lease && old_lease != lease)
        rc = detach(w, old_lease, key, err);
    if (rc == 0 && lease && old_lease != lease)
        rc = attach(w, lease, key, err);
    w->sub++;
    return rc;
}

/* What this revision itself put (nested transactions can) was not there before it. */
static int tell_deleted(struct mvcc_write *w, struct str key, const struct kv_record *r,
                        const struct kv_record *prev, struct error *err)
{
    struct kv_record before = *prev;
    struct mvcc_view v = mvcc_write_view(w);
    v.rev = w->rev - 1;
    int rc = mvcc_resolve(&v, &before, err);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    w->on_change(w->ctx, key, r, rc == 0 && !before.tombstone ? &before : NULL);
    return 0;
}

int mvcc_delete(struct mvcc_write *w, struct str key, struct error *err)
{
    struct kv_record prev, r = {.id = {w->rev, w->sub}, .tombstone = true};
    bool have;
    int rc = current(w, key, &prev, &have, err);
    if (rc < 0)
        return rc;
    if (!have || prev.tombstone)
        return ERR_NOT_FOUND;
    rc = links_make(w, &r, &prev, err);
    if (rc == 0 && w->on_change)
        rc = tell_deleted(w, key, &r, &prev, err);
    if (rc < 0)
        return rc;
    digest_change(&w->state.digest, key, &prev, NULL);
    int64_t old_lease = prev.lease;
    rc = store_current(w, key, &r, err);
    if (rc == 0)
        rc = store_version(w, key, &r, err);
    if (rc == 0 && old_lease)
        rc = detach(w, old_lease, key, err);
    w->sub++;
    return rc;
}

/* Keys gathered before they are deleted: the walk's cursor does not survive changes. */
struct gathered {
    struct buf bytes;
    VEC(size_t) ends;
    size_t max;
};

static int gather(void *ctx, struct str key, const struct kv_record *r)
{
    struct gathered *g = ctx;
    (void)r;
    buf_append_str(&g->bytes, key);
    vec_push(&g->ends, g->bytes.len);
    return g->ends.len >= g->max;
}

int mvcc_delete_some(struct mvcc_write *w, const struct key_range *range, struct buf *from,
                     size_t max, int64_t *deleted, struct error *err)
{
    if (range->single) {
        int rc = mvcc_delete(w, range->from, err);
        *deleted += rc == 0;
        return rc == ERR_NOT_FOUND ? 0 : rc;
    }
    struct gathered g = {.max = max};
    struct key_range rest = *range;
    struct mvcc_view v = mvcc_write_view(w);
    struct buf resume;
    bool more = false;
    buf_init(&g.bytes);
    buf_init(&resume);
    if (from && from->len)
        rest.from = buf_str(from);
    int rc = mvcc_walk(&v, &rest, gather, &g, 0, &resume, &more, err);
    size_t at = 0;
    for (size_t i = 0; i < g.ends.len && rc >= 0; i++) {
        rc = mvcc_delete(w, str_make(g.bytes.data + at, g.ends.items[i] - at), err);
        at = g.ends.items[i];
        ++*deleted;
    }
    assert(rc != ERR_NOT_FOUND);
    if (rc >= 0 && more) {
        buf_clear(from);
        buf_append_str(from, buf_str(&resume));
    }
    buf_free(&g.bytes);
    vec_free(&g.ends);
    buf_free(&resume);
    return rc < 0 ? rc : more;
}

int mvcc_restore(struct mvcc_write *w, const struct kv_record *r, struct error *err)
{
    int rc = store_version(w, r->key, r, err);
    struct kv_record prev;
    bool have = false;
    if (rc == 0)
        rc = current(w, r->key, &prev, &have, err);
    if (rc < 0)
        return rc;
    if (have && !revid_less(prev.id, r->id))
        return error_set(err, ERR_CORRUPT, "versions of a key come out of order");
    int64_t old_lease = have ? prev.lease : 0;
    digest_change(&w->state.digest, r->key, have ? &prev : NULL, r);
    rc = store_current(w, r->key, r, err);
    if (rc == 0 && old_lease && old_lease != r->lease)
        rc = detach(w, old_lease, r->key, err);
    if (rc == 0 && r->lease && old_lease != r->lease)
        rc = attach(w, r->lease, r->key, err);
    return rc;
}

static bool lease_exists(struct mvcc_write *w, int64_t id);

int mvcc_import(struct mvcc_write *w, struct kv_record *r, int64_t compact_rev, struct error *err)
{
    struct kv_record prev;
    bool have;
    int rc = current(w, r->key, &prev, &have, err);
    if (rc < 0 || (r->tombstone && !have && r->id.rev <= compact_rev))
        return rc;
    if (have && !revid_less(prev.id, r->id))
        return error_set(err, ERR_CORRUPT, "versions of a key come out of order");
    if (have)
        rc = links_make(w, r, &prev, err);
    int64_t old_lease = have ? prev.lease : 0;
    if (rc == 0)
        rc = store_version(w, r->key, r, err);
    if (rc == 0)
        rc = store_current(w, r->key, r, err);
    if (rc == 0 && old_lease && old_lease != r->lease)
        rc = detach(w, old_lease, r->key, err);
    if (rc == 0 && r->lease && old_lease != r->lease && lease_exists(w, r->lease))
        rc = attach(w, r->lease, r->key, err);
    return rc;
}

/* ---- leases ---- */

static void lease_id_make(char out[8], int64_t id)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)((uint64_t)id >> (56 - 8 * i));
}

static int64_t lease_id_read(const char *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)p[i];
    return (int64_t)v;
}

static bool lease_exists(struct mvcc_write *w, int64_t id)
{
    char raw[8];
    lease_id_make(raw, id);
    MDB_val k = {sizeof raw, raw}, v;
    return mdb_get(w->txn, w->trees->lease, &k, &v) == 0;
}

int mvcc_lease_put(struct mvcc_write *w, int64_t id, int64_t ttl_s, int64_t remaining_s,
                   struct error *err)
{
    char raw[8];
    int64_t times[2] = {ttl_s, remaining_s};
    lease_id_make(raw, id);
    /* Without a checkpoint the record is as it was before there were any. */
    struct str record = str_make(times, remaining_s ? sizeof times : sizeof times[0]);
    bool had;
    int rc = sealed_change(w, w->trees->lease, str_make(raw, sizeof raw), &record,
                           &w->state.digest.leases, &had);
    return mvcc_error(rc, err, "put lease");
}

int mvcc_lease_delete(struct mvcc_write *w, int64_t id, struct error *err)
{
    char raw[8];
    lease_id_make(raw, id);
    bool had;
    int rc = sealed_change(w, w->trees->lease, str_make(raw, sizeof raw), NULL,
                           &w->state.digest.leases, &had);
    return mvcc_error(rc, err, "delete lease");
}

int mvcc_lease_each(const struct mvcc_view *v, mvcc_lease_fn *fn, void *ctx, struct error *err)
{
    MDB_cursor *c;
    MDB_val k, val;
    int stop = 0, rc = mdb_cursor_open(v->txn, v->trees->lease, &c);
    if (rc)
        return mvcc_error(rc, err, "open cursor");
    while (stop == 0 && (rc = mdb_cursor_get(c, &k, &val, MDB_NEXT)) == 0) {
        int64_t times[2] = {0};
        struct str record;
        if (sealed_open(&k, &val, &record) || k.mv_size != 8 ||
            (record.n != sizeof times && record.n != sizeof times[0])) {
            mdb_cursor_close(c);
            return error_set(err, ERR_CORRUPT, "a lease record is damaged");
        }
        memcpy(times, record.p, record.n);
        stop = fn(ctx, lease_id_read(k.mv_data), times[0], times[1]);
    }
    mdb_cursor_close(c);
    if (stop)
        return stop < 0 ? stop : 0;
    return rc == MDB_NOTFOUND ? 0 : mvcc_error(rc, err, "walk leases");
}

int mvcc_lease_keys(const struct mvcc_view *v, int64_t id, size_t max,
                    int (*fn)(void *ctx, struct str key), void *ctx, struct error *err)
{
    MDB_cursor *c;
    char raw[8];
    lease_id_make(raw, id);
    MDB_val k = {sizeof raw, raw}, val;
    int stop = 0, rc = mdb_cursor_open(v->txn, v->trees->lease_key, &c);
    if (rc)
        return mvcc_error(rc, err, "open cursor");
    rc = mdb_cursor_get(c, &k, &val, MDB_SET_RANGE);
    for (size_t n = 0; rc == 0 && stop == 0 && n < max; n++) {
        if (k.mv_size < 8 || memcmp(k.mv_data, raw, 8) != 0)
            break;
        struct str whole;
        if (sealed_open(&k, &val, &whole)) {
            rc = MDB_CORRUPTED;
            break;
        }
        stop = fn(ctx, whole.n ? whole : str_make((char *)k.mv_data + 8, k.mv_size - 8));
        rc = mdb_cursor_get(c, &k, &val, MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (stop < 0)
        return stop;
    return rc && rc != MDB_NOTFOUND ? mvcc_error(rc, err, "walk lease's keys") : 0;
}

/* ---- compaction ---- */

struct removal {
    MDB_txn *txn;
    const struct mvcc_trees *trees;
    uint64_t sum, versions;
    struct mvcc_removed_ahead *ahead; /* may be NULL */
};

static int delete_version(struct removal *rm, struct kv_revid id, struct error *err)
{
    char key[HIST_KEY];
    hist_key_make(key, id);
    MDB_val k = {sizeof key, key}, v;
    int rc = mdb_get(rm->txn, rm->trees->hist, &k, &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    uint32_t crc = 0;
    if (rc == 0 && v.mv_size < sizeof crc)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        memcpy(&crc, v.mv_data, sizeof crc);
    uint64_t digest = digest_stored(crc, id);
    if (rc == 0) {
        logdb_touch(rm->txn, rm->trees->hist, &k);
        rc = mdb_del(rm->txn, rm->trees->hist, &k, NULL);
    }
    if (rc)
        return mvcc_error(rc, err, "remove version");
    rm->sum += digest;
    rm->versions++;
    if (rm->ahead && id.rev <= rm->ahead->upto && !revid_less(id, rm->ahead->from)) {
        rm->ahead->sum += digest;
        rm->ahead->versions++;
    }
    return 0;
}

/* A version makes its predecessor superfluous; a deletion before the target is superfluous itself
 * (`whole`), in hist and, if nothing came after it, in cur. */
static int compact_one(struct removal *rm, struct kv_revid id, struct kv_revid prev, bool whole,
                       struct str key, struct error *err)
{
    int rc = prev.rev ? delete_version(rm, prev, err) : 0;
    if (rc < 0 || !whole)
        return rc;
    struct kv_record newest;
    MDB_val v;
    int mrc = tree_get(rm->txn, rm->trees->cur, key, &v);
    if (mrc == 0) {
        rc = kv_record_read(str_make(v.mv_data, v.mv_size), key, &newest, err);
        if (rc == 0 && revid_eq(newest.id, id))
            mrc = tree_delete(rm->txn, rm->trees->cur, key);
    }
    if (rc == 0 && mrc && mrc != MDB_NOTFOUND)
        rc = mvcc_error(mrc, err, "remove deleted key");
    return rc < 0 ? rc : delete_version(rm, id, err);
}

struct compact_item {
    struct kv_revid id, prev;
    bool tombstone;
    size_t key_end; /* in `keys` */
};

struct compact_slice {
    VEC(struct compact_item) items;
    struct buf keys; /* of tombstones: their pages change under the walk */
    struct kv_revid done;
};

static int compact_gather(void *ctx, const struct kv_record *r)
{
    struct compact_slice *s = ctx;
    s->done = r->id;
    if (r->tombstone)
        buf_append_str(&s->keys, r->key);
    if (r->tombstone || r->prev.rev)
        vec_push(&s->items, ((struct compact_item){r->id, r->prev, r->tombstone, s->keys.len}));
    return 0;
}

#define COMPACTION_DONE (UINT32_MAX - 1) /* as `sub`: all that the target makes superfluous */

bool mvcc_compaction_past(const struct mvcc_compaction *c, int64_t rev)
{
    return c->done.rev > rev || (c->done.rev == rev && c->done.sub == COMPACTION_DONE) || rev == 0;
}

/*
 * The deletions of the target revision itself are left to the next compaction: a watch may begin
 * there, and must be told of them (etcd issues 18089 and 19179).
 */
int mvcc_compact_slice(struct logdb *db, const struct mvcc_trees *trees, MDB_txn *txn,
                       struct mvcc_compaction *c, struct mvcc_removed_ahead *ahead,
                       uint64_t deadline_ns, bool *finished, struct error *err)
{
    struct compact_slice s = {.done = c->done};
    struct removal rm = {.txn = txn, .trees = trees, .ahead = ahead};
    struct mvcc_view v = {.trees = trees, .txn = txn, .rev = c->target};
    int rc = 0;
    *finished = false;
    buf_init(&s.keys);
    do {
        /* a former target's deletions are still there */
        bool again = s.done.rev == 0 || s.done.sub == COMPACTION_DONE;
        struct kv_revid from = {s.done.rev, again ? 0 : s.done.sub + 1};
        vec_clear(&s.items);
        buf_clear(&s.keys);
        rc = mvcc_history(&v, &from, 128, 0, compact_gather, &s, err);
        *finished = rc == MVCC_WALK_DONE;
        size_t at = 0;
        for (size_t i = 0; i < s.items.len && rc >= 0; i++) {
            const struct compact_item *it = &s.items.items[i];
            int e = compact_one(&rm, it->id, it->prev, it->tombstone && it->id.rev < c->target,
                                str_slice(buf_str(&s.keys), at, it->key_end), err);
            rc = e < 0 ? e : rc;
            at = it->key_end;
        }
    } while (rc >= 0 && !*finished && clock_mono_ns() < deadline_ns);
    if (rc >= 0 && *finished)
        s.done = (struct kv_revid){c->target, COMPACTION_DONE};
    buf_free(&s.keys);
    vec_free(&s.items);
    if (rc < 0)
        return rc;
    c->done = s.done;
    c->removed += rm.sum;
    c->removed_versions += rm.versions;
    return logdb_put_meta(db, txn, "compaction", str_make(c, sizeof *c), err);
}
