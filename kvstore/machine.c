/*
 * The state machine under Raft: journal, transactions of log and state, publication (raft/node.h's
 * struct raft_machine_ops). Snapshots are in snapshot.c.
 */
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <assert.h>
#include <inttypes.h>

#define LOG_TRIM_STEP 1000         /* entries trimmed in one transaction */
#define LOG_KEEP_BYTES (64u << 20) /* of the stored log, about */
#define LOG_KEEP_MIN 16            /* entries kept however large they are */
#define LOG_MEASURE_NS (100 * NS_PER_MS)
/* Kept for who is sent a snapshot: so much at most, and no more than a part of the file's limit. */
#define LOG_HOLD_BYTES (512u << 20)
#define LOG_HOLD_PART 8

static int machine_persist(void *ctx, const struct raft_persist *batches, size_t n,
                           struct error *err)
{
    struct kv *kv = ctx;
    uint64_t began = host_mono_ns(kv->host);
    int rc = logdb_persist(kv->db, batches, n, err);
    if (rc < 0)
        kv_fail_stop(kv, err);
    uint64_t now = host_mono_ns(kv->host), took = now - began;
    unsigned left_out;
    if (took >= SLOW_FLUSH_NS && slow_may_say(&kv->slow_flush, now, &left_out))
        log_warn("store",
                 "slow flush of the journal took_ms=%" PRIu64 " expected_ms=%llu left_out=%u",
                 took / 1000000, SLOW_FLUSH_NS / 1000000, left_out);
    if (kv->metrics.fsync)
        histogram_observe(kv->metrics.fsync, (double)took / 1e9);
    return rc;
}

/* Raft thread: watchers, and reads that wait for an index or a revision. */
static bool machine_awaited(void *ctx)
{
    struct kv *kv = ctx;
    size_t watchers, slow;
    watch_hub_count(kv->hub, &watchers, &slow);
    return watchers > 0 || atomic_load(&kv->waiting) > 0;
}

/* ---- one transaction ---- */

/*
 * A few small entries need not be committed before they are answered: the journal has them, and the
 * transaction that stays open spares the next ones most of their pages. Who wants to read gets the
 * commit first (logdb_hold); where somebody just did, the next batches are committed at once, so that
 * a stream of reads waits for a commit only now and then.
 */
#define HOLD_NS (100 * NS_PER_MS)
#define HOLD_PAUSE_NS (5 * NS_PER_MS)
#define HOLD_BATCH 16     /* entries in a batch: more are worth a commit of their own */
#define HOLD_ENTRIES 1024 /* in all */
#define HOLD_BYTES (1u << 20)

static int txn_open(struct apply *a, struct error *err)
{
    checkpoint_make_room(a->kv);
    a->since_ns = a->now_ns;
    a->entries = a->bytes = 0;
    int rc = logdb_begin(a->kv->db, &a->txn, err);
    if (rc < 0)
        return rc;
    rc = mvcc_write_open(&a->write, a->kv->db, &a->kv->trees, a->txn.mdb, &a->kv->state, err);
    if (rc < 0)
        logdb_abort(&a->txn);
    return rc;
}

/* Store what changed and commit. */
static int txn_close(struct apply *a, struct error *err)
{
    struct kv *kv = a->kv;
    uint64_t began = host_mono_ns(kv->host);
    assert(!a->visited); /* it is the apply thread's to end */
    int rc = mvcc_state_store(kv->db, a->txn.mdb, &a->write.state, err);
    kv->state = a->write.state;
    mvcc_write_close(&a->write);
    if (rc < 0) {
        logdb_abort(&a->txn);
        return rc;
    }
    rc = logdb_commit(&a->txn, err);
    if (rc == 0 && kv->metrics.transaction)
        histogram_observe(kv->metrics.transaction, (double)(host_mono_ns(kv->host) - began) / 1e9);
    return rc;
}

static void txn_drop(struct apply *a)
{
    mvcc_write_close(&a->write);
    logdb_abort(&a->txn);
}

/* May it be kept open, since nobody can tell and more may come? */
static bool may_hold(const struct apply *a, const struct raft_apply_batch *b)
{
    const struct kv *kv = a->kv;
    return b->apply_len <= HOLD_BATCH && a->entries <= HOLD_ENTRIES && a->bytes <= HOLD_BYTES &&
           !kv->members.changed && atomic_load(&kv->waiting) == 0 &&
           a->now_ns - atomic_load(&kv->commit_wanted_ns) >= HOLD_PAUSE_NS;
}

static int txn_end(struct apply *a, const struct raft_apply_batch *b, struct error *err)
{
    if (!may_hold(a, b) || !logdb_hold(&a->txn))
        return txn_close(a, err);
    a->kv->state = a->write.state;
    return 0;
}

static int machine_settle(void *ctx, struct error *err)
{
    struct kv *kv = ctx;
    int rc = kv->apply.txn.mdb ? txn_close(&kv->apply, err) : 0;
    if (rc < 0)
        kv_fail_stop(kv, err);
    return rc;
}

void machine_want_commit(void *ctx, bool ours)
{
    struct kv *kv = ctx;
    struct error err;
    atomic_store(&kv->commit_wanted_ns, host_mono_ns(kv->host));
    if (!ours)
        driver_nudge(kv->driver);
    else if (!atomic_load(&kv->apply_busy))
        machine_settle(kv, &err);
}

/* A DATA entry; a large delete takes several transactions, in which the applied index stays. */
static int apply_data(struct apply *a, const struct raft_apply *e, uint64_t applied,
                      struct error *err)
{
    int rc;
    while ((rc = apply_entry(a, &e->entry, e->proposal, err)) == 1) {
        if (applied && (rc = logdb_txn_applied(&a->txn, applied, err)) < 0)
            return rc;
        if ((rc = txn_close(a, err)) < 0 || (rc = txn_open(a, err)) < 0)
            return rc; /* nothing is open now: see machine_apply */
    }
    return rc;
}

static int apply_all(struct apply *a, const struct raft_apply_batch *b, struct error *err)
{
    uint64_t applied = 0;
    int rc = 0;
    for (size_t i = 0; i < b->apply_len && rc == 0; i++) {
        const struct raft_apply *e = &b->apply[i];
        if (e->config)
            rc = logdb_txn_config(&a->txn, e->config, err);
        if (rc == 0 && e->config)
            rc = members_apply_change(a->kv, a, e, err);
        if (rc == 0 && e->entry.kind == RAFT_ENTRY_DATA)
            rc = apply_data(a, e, applied, err);
        applied = e->entry.index;
    }
    if (rc == 0 && applied)
        rc = logdb_txn_applied(&a->txn, applied, err);
    return rc;
}

static void measure_apply(struct kv *kv, const struct raft_apply_batch *b, uint64_t began_ns)
{
    uint64_t now = host_mono_ns(kv->host), took = now - began_ns;
    unsigned left_out;
    if (took < kv->o.warning_apply_ns || b->apply_len == 0)
        return;
    if (kv->metrics.slow_apply)
        counter_add(kv->metrics.slow_apply, 1);
    if (slow_may_say(&kv->slow_apply, now, &left_out))
        log_warn("store",
                 "applying took too long took_ms=%" PRIu64 " expected_ms=%" PRIu64
                 " entries=%zu from_index=%" PRIu64 " left_out=%u",
                 took / 1000000, kv->o.warning_apply_ns / 1000000, (size_t)b->apply_len,
                 b->apply[0].entry.index, left_out);
}

/* The batch into the transaction that is open. */
static int apply_into(struct apply *a, const struct raft_apply_batch *b, struct error *err)
{
    int rc = logdb_txn_append(&a->txn, b->persisted, b->persisted_len, err);
    if (rc == 0)
        rc = apply_all(a, b, err);
    a->entries += b->apply_len;
    for (size_t i = 0; i < b->apply_len; i++)
        a->bytes += b->apply[i].entry.data ? b->apply[i].entry.data->len : 0;
    return rc;
}

static int apply_batch(struct apply *a, const struct raft_apply_batch *b, struct error *err)
{
    struct kv *kv = a->kv;
    int rc = a->txn.mdb ? 0 : txn_open(a, err);
    if (rc < 0)
        return rc;
    rc = apply_into(a, b, err);
    if (rc == 0)
        return txn_end(a, b, err);
    if (a->txn.mdb) {
        /* The end comes first: a held transaction has what clients were told of, and who waits to read it must not
         * find the state before. */
        kv_check_code(kv, rc, err);
        kv_fail_stop(kv, err);
        txn_drop(a);
    }
    return rc;
}

/* It is applied: clients may see it. */
static void applied(struct kv *kv, const struct raft_apply_batch *b)
{
    measure_apply(kv, b, kv->apply.now_ns);
    kv_publish(kv, b->apply_len ? b->apply[b->apply_len - 1].entry.index : 0);
}

static int machine_apply(void *ctx, const struct raft_apply_batch *b, struct error *err)
{
    struct kv *kv = ctx;
    kv->apply.kv = kv;
    kv->apply.now_ns = host_mono_ns(kv->host);
    atomic_store(&kv->apply_busy, 1);
    int rc = apply_batch(&kv->apply, b, err);
    if (rc == 0 && kv->members.changed) {
        kv->members.changed = false;
        rc = members_refresh(kv, err);
    }
    atomic_store(&kv->apply_busy, 0);
    if (rc < 0) {
        kv_check_code(kv, rc, err);
        kv_fail_stop(kv, err);
        return rc;
    }
    applied(kv, b);
    return 0;
}

/* ---- by the raft thread ---- */

#define HERE_BYTES (16u << 10)

/* Only keys by name: neither a walk over many, nor what members are told of, nor several transactions. */
static bool is_quick(struct kv *kv, const struct raft_entry *e)
{
    struct proposal q;
    arena_reset(&kv->apply_arena);
    return e->kind == RAFT_ENTRY_DATA && e->data->len <= HERE_BYTES &&
           proposal_decode(raft_entry_payload(e), &kv->apply_arena, &q, NULL) == 0 &&
           q.kind == PROPOSAL_TXN && !txn_may_take_long(&q.txn);
}

static bool may_apply_held(struct kv *kv, const struct raft_apply_batch *b)
{
    if (!kv->apply.txn.mdb || !may_hold(&kv->apply, b) || logdb_commit_wanted(kv->db))
        return false;
    for (size_t i = 0; i < b->apply_len; i++)
        if (!is_quick(kv, &b->apply[i].entry))
            return false;
    return true;
}

static int machine_apply_held(void *ctx, const struct raft_apply_batch *b, struct error *err)
{
    struct kv *kv = ctx;
    struct apply *a = &kv->apply;
    a->now_ns = host_mono_ns(kv->host);
    if (!may_apply_held(kv, b))
        return 0;
    atomic_store(&kv->apply_busy, 1);
    a->visited = true;
    logdb_hold_visit(kv->db, true);
    int rc = apply_into(a, b, err);
    logdb_hold_visit(kv->db, false);
    a->visited = false;
    atomic_store(&kv->apply_busy, 0);
    if (rc < 0) { /* the transaction stays open: nobody may read behind it until the process ends */
        kv_check_code(kv, rc, err);
        kv_fail_stop(kv, err);
        return rc;
    }
    kv->state = a->write.state;
    applied(kv, b);
    return 1;
}

/* ---- publication: the one watermark ---- */

void kv_publish(struct kv *kv, uint64_t applied)
{
    int64_t compacted = atomic_load_explicit(&kv->compacted, memory_order_relaxed);
    atomic_store(&kv->watermark, kv->state.rev);
    if (applied)
        atomic_store(&kv->applied, applied);
    watch_hub_publish(kv->hub, kv->revisions.items, kv->revisions.len);
    vec_clear(&kv->revisions);
    if (kv->state.compact_rev != compacted) {
        atomic_store(&kv->compacted, kv->state.compact_rev);
        house_wake(kv);
    }
    waiters_release(kv, atomic_load(&kv->applied), kv->state.rev);
}

static int load_lease(void *ctx, int64_t id, int64_t ttl_s, int64_t remaining_s)
{
    struct kv *kv = ctx;
    lease_table_add(&kv->leases, id, ttl_s, remaining_s, host_mono_ns(kv->host));
    return 0;
}

/* What memory keeps of the stored state: at start and after a snapshot. */
int kv_load_state(struct kv *kv, struct error *err)
{
    MDB_txn *txn;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = mvcc_state_load(kv->db, txn, &kv->state, err);
    struct mvcc_view v = {&kv->trees, txn, kv->state.rev};
    lease_table_clear(&kv->leases);
    if (rc == 0)
        rc = mvcc_lease_each(&v, load_lease, kv, err);
    if (rc == 0)
        rc = alarms_load(kv, txn, err);
    if (rc == 0)
        rc = auth_store_load(&kv->auth, &kv->trees, txn, err);
    logdb_read_end(kv->db, txn);
    struct logdb_info info;
    logdb_info(kv->db, &info);
    atomic_store(&kv->watermark, kv->state.rev);
    atomic_store(&kv->compacted, kv->state.compact_rev);
    atomic_store(&kv->applied, info.applied);
    kv->log_base = info.base_index;
    return rc < 0 ? rc : members_refresh(kv, err);
}

/* ---- housekeeping on the apply thread ---- */

/* How many applied entries stay in the log: as many as asked for, fewer when they are large. */
static uint64_t entries_to_keep(struct kv *kv, uint64_t applied, uint64_t now_ns)
{
    if (kv->log_keep && now_ns - kv->log_measured_ns < LOG_MEASURE_NS)
        return kv->log_keep;
    uint64_t bytes = logdb_log_bytes(kv->db), entries = applied - kv->log_base;
    kv->log_measured_ns = now_ns;
    kv->log_bytes = bytes;
    kv->log_keep = kv->o.log_keep_entries;
    if (bytes > LOG_KEEP_BYTES)
        kv->log_keep = MIN(kv->log_keep, MAX(entries * LOG_KEEP_BYTES / bytes, LOG_KEEP_MIN));
    return kv->log_keep;
}

static uint64_t kept_for_snapshots(struct kv *kv, uint64_t applied)
{
    uint64_t limit = snapshot_log_limit(kv);
    if (limit >= applied || kv->log_bytes > MIN(LOG_HOLD_BYTES, kv->o.map_bytes / LOG_HOLD_PART))
        return 0;
    return applied - limit;
}

static uint64_t machine_maintain(void *ctx, uint64_t now_ns)
{
    struct kv *kv = ctx;
    struct error err;
    if (logdb_commit_wanted(kv->db) || now_ns - kv->apply.since_ns >= HOLD_NS)
        if (machine_settle(kv, &err) < 0)
            return kv->log_base;
    uint64_t applied = atomic_load(&kv->applied), keep = entries_to_keep(kv, applied, now_ns);
    keep = MAX(keep, kept_for_snapshots(kv, applied));
    if (applied < kv->log_base + keep + MIN(keep, LOG_TRIM_STEP) || atomic_load(&kv->failed))
        return kv->log_base;
    struct logdb_txn txn;
    int rc = logdb_begin(kv->db, &txn, &err);
    if (rc == 0) {
        rc = logdb_txn_compact(&txn, applied - keep, LOG_TRIM_STEP, &kv->log_base, &err);
        CRASH_POINT(log_trim_before);
        if (rc == 0)
            rc = logdb_commit(&txn, &err);
        else
            logdb_abort(&txn);
    }
    CRASH_POINT(log_trim_after);
    if (rc < 0)
        kv_fail_stop(kv, &err);
    return kv->log_base;
}

static int machine_read_log(void *ctx, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                            struct raft_entry *out, size_t max, struct error *err)
{
    struct kv *kv = ctx;
    size_t n;
    int rc = logdb_entries(kv->db, lo, hi, bytes_max, out, max, &n, err);
    if (rc == ERR_CORRUPT)
        kv_damaged(kv, err);
    else if (rc < 0)
        kv_fail_stop(kv, err);
    return rc < 0 ? rc : (int)n;
}

static int machine_snapshot_install(void *ctx, struct raft_snapshot_writer *w,
                                    const struct raft_snapshot_meta *meta,
                                    const struct raft_hard_state *hard, struct error *err)
{
    struct kv *kv = ctx;
    (void)meta;
    int rc = snapshot_writer_install(w, hard, err);
    if (rc == 0)
        rc = kv_load_state(kv, err);
    if (rc < 0) {
        kv_fail_stop(kv, err);
        return rc;
    }
    watch_hub_reset(kv->hub, kv->state.rev);
    waiters_release(kv, atomic_load(&kv->applied), kv->state.rev);
    house_wake(kv);
    return 0;
}

static void machine_call(void *ctx, uint64_t from, uint64_t id, struct str question)
{
    struct kv *kv = ctx;
    if (!lease_recv_call(kv, from, id, question))
        log_warn("store", "a question that is not understood from=%" PRIx64, from);
}

const struct raft_machine_ops kv_machine_ops = {
    .call = machine_call,
    .persist = machine_persist,
    .awaited = machine_awaited,
    .apply = machine_apply,
    .settle = machine_settle,
    .apply_held = machine_apply_held,
    .maintain = machine_maintain,
    .snapshot_install = machine_snapshot_install,
    .check_change = members_check_change,
    .read_log = machine_read_log,
    .snapshot_open = snapshot_reader_open,
    .snapshot_read = snapshot_reader_read,
    .snapshot_close = snapshot_reader_close,
    .snapshot_begin = snapshot_writer_begin,
    .snapshot_write = snapshot_writer_write,
    .snapshot_finish = snapshot_writer_finish,
    .snapshot_abort = snapshot_writer_abort,
};
