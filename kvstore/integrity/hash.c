/*
 * Hashing the key space as etcd does (kvstore/kv.h, kv_hash).
 *
 * etcd leaves out, of what lies at or below the compacted revision, all but the versions that are live at the
 * revision hashed; when no key at all is live there, it leaves out nothing that compaction would keep.
 */
#include "kvstore/backup/schema.h"
#include "kvstore/history.h"
#include "kvstore/integrity/integrity.h"
#include "base/encode.h"

#define HASH_SLICE_NS (20 * 1000 * 1000ull)

struct hashing {
    uint32_t crc;
    struct buf value;
};

static int hash_one(void *ctx, const struct kv_record *r)
{
    struct hashing *h = ctx;
    char key[SCHEMA_REV_KEY_MAX];
    size_t n = schema_rev_key(key, r->id, r->tombstone);
    buf_clear(&h->value);
    schema_kv_write(r, &h->value);
    h->crc = crc32c(h->crc, key, n);
    h->crc = crc32c(h->crc, h->value.data, h->value.len);
    return 0;
}

static int stop_at_first(void *ctx, struct str key, const struct kv_record *r)
{
    (void)key, (void)r;
    *(bool *)ctx = true;
    return 1;
}

/* Is any key live at `rev`? */
static int any_live(struct kv *kv, MDB_txn *txn, int64_t rev, bool *live, struct error *err)
{
    struct mvcc_view v = {&kv->trees, txn, rev};
    struct key_range all = key_range_make(STR("\0"), STR("\0"));
    struct buf resume;
    bool more;
    buf_init(&resume);
    int rc = mvcc_walk(&v, &all, stop_at_first, live, 0, &resume, &more, err);
    buf_free(&resume);
    return rc < 0 ? rc : 0;
}

static int hash_begin(struct history *h, struct kv *kv, int64_t rev, struct error *err)
{
    struct mvcc_state state;
    MDB_txn *txn;
    bool live = false;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = mvcc_state_load(kv->db, txn, &state, err);
    if (rc == 0 && rev > state.rev)
        rc = error_set(err, KV_ERR_FUTURE_REV, "required revision is a future revision");
    if (rc == 0 && rev > 0 && rev < state.compact_rev)
        rc = error_set(err, ERR_COMPACTED, "required revision has been compacted");
    if (rc == 0)
        rc = any_live(kv, txn, rev > 0 ? rev : state.rev, &live, err);
    if (rc == 0)
        rc = history_open(h, kv, &state, rev > 0 ? rev : state.rev, err);
    if (rc == 0 && live)
        h->keep_rev = h->rev;
    logdb_read_end(kv->db, txn);
    return rc;
}

int kv_hash(struct kv *kv, int64_t rev, uint32_t *hash, int64_t *hash_rev, int64_t *compact_rev,
            struct error *err)
{
    struct error unseen; /* damage is told in any case */
    err = err ? err : &unseen;
    struct history h = {.kv = kv, .slot = -1};
    struct hashing x = {.crc = crc32c(0, "key", 3)};
    bool done = false;
    int rc = kv_may_serve(kv, err);
    if (rc == 0)
        rc = hash_begin(&h, kv, rev, err);
    buf_init(&x.value);
    while (rc == 0 && !done)
        rc = atomic_load(&kv->stopping) ? error_set(err, ERR_CANCELLED, "the store is closing")
                                        : history_step(&h, HASH_SLICE_NS, hash_one, &x, &done, err);
    history_close(&h);
    buf_free(&x.value);
    *hash = x.crc;
    *hash_rev = h.rev;
    *compact_rev = h.compact_rev;
    return rc < 0 ? kv_check_code(kv, rc, err) : 0;
}
