/*
 * Snapshot streams, out and in (kvstore/snapshot.h).
 */
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/varint.h"
#include <assert.h>

#define MAGIC "C8SSNAP1"
#define MAGIC_SIZE 8
#define SNAPSHOT_FORMAT 2
#define RECORD_HEAD 9 /* type, length, crc */
#define RECORD_MAX (64u << 20)
#define STAGE_TXN_BYTES (4u << 20) /* received bytes per transaction */

enum record_type { REC_HEAD = 1, REC_META, REC_LEASE, REC_VERSION, REC_END, REC_AUTH };

struct head {
    int64_t rev, compact_rev;
    uint32_t format;
    struct digest digest; /* of the sender at `rev`; only the shared parts count here */
} __attribute__((packed));

/* ---- out ---- */

struct raft_snapshot_reader {
    struct kv *kv;
    uint64_t generation; /* the environment read from */
    int64_t rev, compact_rev;
    int pin;
    struct kv_revid at; /* the next version */
    struct buf head;    /* what comes before the versions; then whatever is not handed out yet */
    size_t head_at;
    uint64_t records;
    bool ended;
    bool keeps_log;
};

static uint32_t record_crc(const char *head, const void *p, size_t n)
{
    return crc32c(crc32c(0, head, 5), p, n);
}

static void record_begin(struct buf *b, enum record_type type, size_t n, size_t *at)
{
    *at = b->len;
    buf_append_char(b, (char)type);
    buf_append_le32(b, (uint32_t)n);
    buf_append_le32(b, 0);
}

static void record_end(struct buf *b, size_t at)
{
    uint32_t crc = record_crc(b->data + at, b->data + at + RECORD_HEAD, b->len - at - RECORD_HEAD);
    memcpy(b->data + at + 5, &crc, sizeof crc);
}

static void record_add(struct buf *b, enum record_type type, struct str payload)
{
    size_t at;
    record_begin(b, type, payload.n, &at);
    buf_append_str(b, payload);
    record_end(b, at);
}

static int add_lease(void *ctx, int64_t id, int64_t ttl_s, int64_t remaining_s)
{
    struct raft_snapshot_reader *r = ctx;
    int64_t lease[3] = {id, ttl_s, remaining_s};
    record_add(&r->head, REC_LEASE,
               str_make(lease, remaining_s ? sizeof lease : 2 * sizeof *lease));
    r->records++;
    return 0;
}

static int add_auth(void *ctx, enum auth_kind kind, struct str name, struct str value,
                    struct error *err)
{
    struct raft_snapshot_reader *r = ctx;
    struct buf b;
    (void)err;
    buf_init(&b);
    buf_append_char(&b, (char)kind);
    buf_append_varint_bytes(&b, name);
    buf_append_str(&b, value);
    record_add(&r->head, REC_AUTH, buf_str(&b));
    buf_free(&b);
    r->records++;
    return 0;
}

static const char *const shared_meta[] = {"members", "cluster", "alarms"};

/* Everything but the versions is small, and taken in one transaction together with the log index. */
static int reader_begin(struct raft_snapshot_reader *r, struct raft_snapshot_meta *meta,
                        struct error *err)
{
    struct kv *kv = r->kv;
    struct mvcc_state state;
    MDB_txn *txn;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = logdb_snapshot_meta(kv->db, txn, meta, err);
    if (rc == 0)
        rc = mvcc_state_load(kv->db, txn, &state, err);
    if (rc == 0 && state.bulk_index)
        rc = error_set(err, ERR_UNAVAILABLE, "a large delete is under way");
    if (rc == 0) {
        struct head h = {state.rev, state.compact_rev, SNAPSHOT_FORMAT, state.digest};
        struct mvcc_view v = {&kv->trees, txn, state.rev};
        r->rev = state.rev;
        r->compact_rev = state.compact_rev;
        buf_append(&r->head, MAGIC, MAGIC_SIZE);
        record_add(&r->head, REC_HEAD, str_make(&h, sizeof h));
        r->records = 1;
        for (size_t i = 0; i < ARRAY_LEN(shared_meta) && rc == 0; i++) {
            struct str value;
            int got = logdb_get_meta(kv->db, txn, shared_meta[i], &value);
            if (got == ERR_NOT_FOUND)
                continue;
            if (got < 0) { /* left out, it would be lost to whoever takes this snapshot */
                rc = error_set(err, got, "read the record \"%s\"", shared_meta[i]);
                break;
            }
            struct buf b;
            buf_init(&b);
            buf_append(&b, shared_meta[i], strlen(shared_meta[i]) + 1);
            buf_append_str(&b, value);
            record_add(&r->head, REC_META, buf_str(&b));
            buf_free(&b);
            r->records++;
        }
        if (rc == 0)
            rc = mvcc_lease_each(&v, add_lease, r, err);
        if (rc == 0)
            rc = auth_disk_each(&kv->trees, txn, add_auth, r, err);
    }
    /* Pinned while this transaction still holds everything. */
    if (rc == 0 && !pin_take(kv, MAX(r->compact_rev, 1), &r->pin))
        rc = error_set(err, ERR_UNAVAILABLE, "compaction is ahead of the snapshot");
    logdb_read_end(kv->db, txn);
    return rc;
}

/*
 * A follower that has taken a snapshot goes on with the log behind it: were that trimmed meanwhile, it would need
 * another snapshot, and under a steady load for ever one more.
 */
static bool is_log_kept(struct kv *kv)
{
    return atomic_load(&kv->snapshots_out) ||
           host_mono_ns(kv->host) < atomic_load(&kv->snapshot_log_until_ns);
}

static void keep_log(struct kv *kv, uint64_t index)
{
    if (!is_log_kept(kv)) /* else for an older one */
        atomic_store(&kv->snapshot_index, index);
    atomic_fetch_add(&kv->snapshots_out, 1);
}

static void let_log_go(struct kv *kv)
{
    atomic_store(&kv->snapshot_log_until_ns,
                 host_mono_ns(kv->host) + kv->o.snapshot_log_ms * NS_PER_MS);
    atomic_fetch_sub(&kv->snapshots_out, 1);
}

uint64_t snapshot_log_limit(struct kv *kv)
{
    return is_log_kept(kv) ? atomic_load(&kv->snapshot_index) : UINT64_MAX;
}

int snapshot_reader_open(void *ctx, struct raft_snapshot_reader **out,
                         struct raft_snapshot_meta *meta, struct error *err)
{
    struct raft_snapshot_reader *r = mem_zalloc(sizeof *r);
    r->kv = ctx;
    r->pin = -1;
    r->at.rev = 1;
    r->generation = logdb_generation(r->kv->db);
    buf_init(&r->head);
    int rc = reader_begin(r, meta, err);
    if (rc < 0) {
        snapshot_reader_close(r);
        return kv_check_code(ctx, rc, err);
    }
    r->keeps_log = true;
    keep_log(r->kv, meta->index);
    *out = r;
    return 0;
}

struct version_out {
    struct raft_snapshot_reader *reader;
    struct buf *out;
    size_t stop_at;
};

static int add_version(void *ctx, const struct kv_record *rec)
{
    struct version_out *o = ctx;
    size_t size = kv_record_size(rec), at;
    if (o->out->len >= o->stop_at)
        return 1;
    record_begin(o->out, REC_VERSION, size, &at);
    char *p = buf_reserve(o->out, size);
    kv_record_write(rec, STR("snapshot"), p, size);
    o->out->len += size;
    record_end(o->out, at);
    o->reader->records++;
    return 0;
}

/* Fill `head` again, with about `max` bytes of versions, or the end. */
static int reader_fill(struct raft_snapshot_reader *r, size_t max, struct error *err)
{
    struct kv *kv = r->kv;
    MDB_txn *txn;
    buf_clear(&r->head);
    r->head_at = 0;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    struct mvcc_view v = {&kv->trees, txn, r->rev};
    struct version_out o = {r, &r->head, max};
    rc = mvcc_history(&v, &r->at, SIZE_MAX, clock_mono_ns() + READ_SLICE_NS, add_version, &o, err);
    logdb_read_end(kv->db, txn);
    if (rc < 0)
        return kv_check_code(kv, rc, err);
    if (rc == MVCC_WALK_STOPPED && r->at.sub > 0)
        r->at.sub--; /* the one that stopped it was not taken */
    if (rc == MVCC_WALK_DONE) {
        record_add(&r->head, REC_END, str_make(&r->records, sizeof r->records));
        r->ended = true;
    }
    return 0;
}

int snapshot_reader_read(struct raft_snapshot_reader *r, struct buf *out, size_t max, bool *end,
                         struct error *err)
{
    int rc = 0;
    *end = false;
    if (logdb_generation(r->kv->db) != r->generation)
        return error_set(err, ERR_UNAVAILABLE, "the state was replaced meanwhile");
    if (r->head_at == r->head.len && !r->ended)
        rc = reader_fill(r, max, err);
    if (rc < 0)
        return rc;
    size_t n = MIN(max, r->head.len - r->head_at);
    buf_append(out, r->head.data + r->head_at, n);
    r->head_at += n;
    *end = r->ended && r->head_at == r->head.len;
    return 0;
}

void snapshot_reader_close(struct raft_snapshot_reader *r)
{
    pin_drop(r->kv, r->pin);
    if (r->keeps_log)
        let_log_go(r->kv);
    buf_free(&r->head);
    mem_free(r);
}

/* ---- in ---- */

struct raft_snapshot_writer {
    struct kv *kv;
    struct raft_snapshot_meta meta;
    struct logdb_stage *stage;
    MDB_txn *txn; /* NULL between transactions */
    struct mvcc_write write;
    struct mvcc_state state;
    struct digest digest; /* what the sender says the state comes to */
    struct buf pending;   /* an incomplete record */
    size_t txn_bytes;
    uint64_t records;
    bool magic_seen, head_seen, end_seen;
    int failed; /* sticky */
};

int snapshot_writer_begin(void *ctx, const struct raft_snapshot_meta *meta,
                          struct raft_snapshot_writer **out, struct error *err)
{
    struct raft_snapshot_writer *w = mem_zalloc(sizeof *w);
    w->kv = ctx;
    w->meta = *meta;
    w->state = (struct mvcc_state){.rev = 1, .next_node = 1};
    buf_init(&w->pending);
    int rc = logdb_stage_begin(w->kv->db, &w->stage, err);
    if (rc < 0) {
        mem_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

static int txn_begin(struct raft_snapshot_writer *w, struct error *err)
{
    if (w->txn)
        return 0;
    int rc = logdb_stage_txn(w->stage, &w->txn, err);
    if (rc == 0)
        rc = mvcc_write_open(&w->write, w->kv->db, &w->kv->trees, w->txn, &w->state, err);
    w->txn_bytes = 0;
    return rc;
}

static int txn_end(struct raft_snapshot_writer *w, struct error *err)
{
    if (!w->txn)
        return 0;
    w->state.next_node = w->write.state.next_node;
    w->state.digest = w->write.state.digest;
    int rc = mvcc_state_store(w->kv->db, w->txn, &w->state, err);
    mvcc_write_close(&w->write);
    MDB_txn *txn = w->txn;
    w->txn = NULL;
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return logdb_stage_commit(w->stage, txn, err);
}

static int corrupt(struct error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, "snapshot: %s", what);
}

static int take_head(struct raft_snapshot_writer *w, struct str p, struct error *err)
{
    struct head h;
    if (p.n != sizeof h || w->head_seen)
        return corrupt(err, "wrong head");
    memcpy(&h, p.p, sizeof h);
    if (h.format != SNAPSHOT_FORMAT)
        return error_set(err, ERR_UNSUPPORTED, "snapshot of format %u", h.format);
    if (h.rev < 1 || h.compact_rev < 0 || h.compact_rev > h.rev)
        return corrupt(err, "wrong revisions");
    w->state.rev = h.rev;
    w->state.compact_rev = h.compact_rev;
    w->digest = h.digest;
    w->head_seen = true;
    return 0;
}

static int take_meta(struct raft_snapshot_writer *w, struct str p, struct error *err)
{
    ptrdiff_t n = str_find_char(p, 0);
    if (n < 0 || n > 40)
        return corrupt(err, "wrong meta record");
    for (size_t i = 0; i < ARRAY_LEN(shared_meta); i++)
        if (strcmp(shared_meta[i], p.p) == 0)
            return logdb_put_meta(w->kv->db, w->txn, p.p, str_slice(p, (size_t)n + 1, p.n), err);
    return 0; /* of a newer version: of no use here */
}

static int take_version(struct raft_snapshot_writer *w, struct str p, struct error *err)
{
    struct kv_record r;
    int rc = kv_record_read(p, STR("snapshot"), &r, err);
    if (rc < 0)
        return rc;
    if (r.key.n == 0 || r.id.rev > w->state.rev)
        return corrupt(err, "a version without key, or of a later revision");
    return mvcc_restore(&w->write, &r, err);
}

static int take_auth(struct raft_snapshot_writer *w, struct str p, struct error *err)
{
    struct varint_reader r = {.left = p};
    enum auth_kind kind = varint_read_byte(&r, UINT8_MAX);
    struct str name = varint_read_bytes(&r);
    if (r.failed)
        return corrupt(err, "wrong record of users and roles");
    return auth_disk_put(&w->kv->trees, w->txn, kind, name, r.left, &w->write.state.next_node, err);
}

static int take_record(struct raft_snapshot_writer *w, enum record_type type, struct str p,
                       struct error *err)
{
    int64_t lease[3] = {0};
    uint64_t n;
    if (w->end_seen || (!w->head_seen && type != REC_HEAD))
        return corrupt(err, "records in a wrong order");
    int rc = txn_begin(w, err);
    if (rc < 0)
        return rc;
    switch (type) {
    case REC_HEAD:
        rc = take_head(w, p, err);
        break;
    case REC_META:
        rc = take_meta(w, p, err);
        break;
    case REC_LEASE:
        if (p.n != sizeof lease && p.n != 2 * sizeof *lease)
            return corrupt(err, "wrong lease record");
        memcpy(lease, p.p, p.n);
        rc = mvcc_lease_put(&w->write, lease[0], lease[1], lease[2], err);
        break;
    case REC_VERSION:
        rc = take_version(w, p, err);
        break;
    case REC_AUTH:
        rc = take_auth(w, p, err);
        break;
    case REC_END:
        if (p.n != sizeof n)
            return corrupt(err, "wrong end");
        memcpy(&n, p.p, sizeof n);
        w->end_seen = true;
        return n == w->records ? 0 : corrupt(err, "records are missing");
    default:
        return error_set(err, ERR_UNSUPPORTED, "snapshot record of type %d", (int)type);
    }
    w->records++;
    w->txn_bytes += p.n;
    if (rc == 0 && w->txn_bytes >= STAGE_TXN_BYTES)
        rc = txn_end(w, err);
    return rc;
}

/* Take one record off the pending bytes. 1: none is complete yet. */
static int take_next(struct raft_snapshot_writer *w, size_t *at, struct error *err)
{
    const char *p = w->pending.data + *at;
    size_t left = w->pending.len - *at;
    uint32_t len, crc;
    if (!w->magic_seen) {
        if (left < MAGIC_SIZE)
            return 1;
        if (memcmp(p, MAGIC, MAGIC_SIZE) != 0)
            return corrupt(err, "wrong magic");
        w->magic_seen = true;
        *at += MAGIC_SIZE;
        return 0;
    }
    if (left < RECORD_HEAD)
        return 1;
    memcpy(&len, p + 1, sizeof len);
    memcpy(&crc, p + 5, sizeof crc);
    if (len > RECORD_MAX)
        return corrupt(err, "a record is too long");
    if (left < RECORD_HEAD + len)
        return 1;
    if (crc != record_crc(p, p + RECORD_HEAD, len))
        return corrupt(err, "a record fails its checksum");
    *at += RECORD_HEAD + len;
    return take_record(w, (enum record_type)(unsigned char)p[0], str_make(p + RECORD_HEAD, len),
                       err);
}

int snapshot_writer_write(struct raft_snapshot_writer *w, struct str chunk, struct error *err)
{
    size_t at = 0;
    int rc = 0;
    if (w->failed)
        return corrupt(err, "it has failed before");
    buf_append_str(&w->pending, chunk);
    while (rc == 0)
        rc = take_next(w, &at, err);
    if (rc < 0) {
        w->failed = rc;
        return rc;
    }
    buf_consume(&w->pending, at);
    return 0;
}

int snapshot_writer_finish(struct raft_snapshot_writer *w, struct error *err)
{
    if (w->failed || !w->end_seen || w->pending.len)
        return corrupt(err, "it is not complete");
    int rc = txn_begin(w, err);
    if (rc == 0)
        rc = txn_end(w, err);
    /* A sender that lost records without noticing must not pass the loss on. */
    if (rc == 0 && !digest_agrees(&w->digest, &w->state.digest))
        rc = corrupt(err, "what came is not what the sender's digest says; is its disk damaged?");
    if (rc == 0)
        rc = logdb_stage_finish(w->stage, &w->meta, err);
    if (rc < 0)
        w->failed = rc;
    return rc;
}

static void writer_free(struct raft_snapshot_writer *w)
{
    buf_free(&w->pending);
    mem_free(w);
}

void snapshot_writer_abort(struct raft_snapshot_writer *w)
{
    if (!w)
        return;
    if (w->txn) {
        mvcc_write_close(&w->write);
        mdb_txn_abort(w->txn);
    }
    logdb_stage_abort(w->stage);
    writer_free(w);
}

int snapshot_writer_install(struct raft_snapshot_writer *w, const struct raft_hard_state *hard,
                            struct error *err)
{
    /* The member stays who it is. */
    uint64_t ids[2] = {w->kv->cluster_id, w->kv->member_id};
    MDB_txn *txn;
    int rc = logdb_stage_txn(w->stage, &txn, err);
    if (rc == 0) {
        rc = logdb_put_meta(w->kv->db, txn, "identity", str_make(ids, sizeof ids), err);
        if (rc == 0)
            rc = logdb_stage_commit(w->stage, txn, err);
        else
            mdb_txn_abort(txn);
    }
    if (rc == 0)
        rc = logdb_stage_install(w->stage, hard, err);
    else
        logdb_stage_abort(w->stage);
    writer_free(w);
    return rc;
}

int snapshot_writer_replace_state(struct raft_snapshot_writer *w, struct error *err)
{
    struct raft_hard_state hard;
    int rc = logdb_stage_keep_log(w->stage, &w->meta, err);
    if (rc < 0) {
        snapshot_writer_abort(w);
        return rc;
    }
    logdb_hard_state(w->kv->db, &hard);
    if (w->meta.term > hard.term) { /* elections that this member took no part in */
        hard.term = w->meta.term;
        hard.vote = 0;
    }
    return snapshot_writer_install(w, &hard, err);
}
