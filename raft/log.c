/*
 * The log tree, hard state and transactions of the environment described in log.h.
 *
 * Trees: `meta` (strings → small values; "state" is struct logdb_state, "runs" the term runs, "config"
 * the configuration, "u:…" the state machine's) and `log` (index, native integer → entry record).
 */
#include "raft/log_state.h"
#include "raft/log_touch.h"
#include "raft/sealed.h"
#include "base/crash_point.h"
#include "base/encode.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Value of the log tree: this, then the data. */
struct entry_record {
    uint32_t crc; /* of index and all that follows */
    uint8_t kind;
    uint8_t has_data;
    uint8_t reserved[2];
    uint64_t term;
};

int logdb_fail(struct logdb *db, int code)
{
    if (!atomic_exchange(&db->failed, true))
        logdb_boot_forget(db);
    return code;
}

int logdb_mdb_error(struct logdb *db, int rc, struct error *err, const char *what)
{
    if (rc == 0)
        return 0;
    int code = rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ? ERR_CORRUPT
               : rc == MDB_NOTFOUND                                                ? ERR_NOT_FOUND
                                                                                   : ERR_IO;
    error_set(err, code, "lmdb: %s: %s", what, mdb_strerror(rc));
    return rc == MDB_NOTFOUND ? code : logdb_fail(db, code);
}

/* Of a read transaction: what is damaged there does not keep anybody from writing. */
static int read_error(int rc, const char *what, struct error *err)
{
    bool corrupt = rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID;
    return error_set(err, corrupt ? ERR_CORRUPT : ERR_IO, "lmdb: read %s: %s", what,
                     mdb_strerror(rc));
}

static MDB_val val(const void *p, size_t n)
{
    return (MDB_val){n, (void *)p};
}

int logdb_failed_before(struct error *err)
{
    return error_set(err, ERR_IO, "the store has stopped after a failed write");
}

/* ---- state record ---------------------------------------------------------------------------- */

int logdb_state_store(struct logdb *db, struct logdb_env *env, MDB_txn *txn,
                      const struct logdb_state *state, struct error *err)
{
    int rc = sealed_put(txn, env->meta, STR("state"), str_make(state, sizeof *state));
    return logdb_mdb_error(db, rc, err, "put state");
}

static int runs_store(struct logdb *db, MDB_txn *txn, struct error *err)
{
    struct str runs = str_make(db->runs.items, db->runs.len * sizeof *db->runs.items);
    return logdb_mdb_error(db, sealed_put(txn, db->env.meta, STR("runs"), runs), err, "put runs");
}

/* Take state and runs over from what is committed. */
int logdb_state_load(struct logdb *db, MDB_txn *txn, struct error *err)
{
    struct str s;
    int rc = sealed_get(txn, db->env.meta, STR("state"), &s);
    if (rc)
        return logdb_mdb_error(db, rc, err, "get state");
    if (s.n != sizeof db->state)
        return error_set(err, ERR_CORRUPT, "lmdb: state record of %zu bytes", s.n);
    memcpy(&db->state, s.p, sizeof db->state);
    db->on_disk = db->state;
    rc = sealed_get(txn, db->env.meta, STR("runs"), &s);
    vec_clear(&db->runs);
    db->runs_dirty = false;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc)
        return logdb_mdb_error(db, rc, err, "get runs");
    size_t n = s.n / sizeof *db->runs.items;
    if (s.n % sizeof *db->runs.items || n > LOGDB_RUNS_MAX)
        return error_set(err, ERR_CORRUPT, "lmdb: runs record of %zu bytes", s.n);
    vec_reserve(&db->runs, n);
    memcpy(db->runs.items, s.p, s.n);
    db->runs.len = n;
    return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

static uint32_t entry_crc(uint64_t index, const struct entry_record *r, const void *data, size_t n)
{
    uint32_t crc = crc32c(0, &index, sizeof index);
    crc = crc32c(crc, (const char *)r + sizeof r->crc, sizeof *r - sizeof r->crc);
    return n ? crc32c(crc, data, n) : crc;
}

static int entry_check(uint64_t index, MDB_val v, struct error *err)
{
    struct entry_record r;
    if (v.mv_size < sizeof r)
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " has %zu bytes", index, v.mv_size);
    memcpy(&r, v.mv_data, sizeof r);
    const char *data = (const char *)v.mv_data + sizeof r;
    size_t n = v.mv_size - sizeof r;
    if (r.crc != entry_crc(index, &r, data, n))
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " fails its checksum", index);
    return 0;
}

/* Check and decode; the data is copied into a blob of the caller's. */
static int entry_decode(uint64_t index, MDB_val v, struct raft_entry *out, struct error *err)
{
    struct entry_record r;
    int rc = entry_check(index, v, err);
    if (rc < 0)
        return rc;
    memcpy(&r, v.mv_data, sizeof r);
    const char *data = (const char *)v.mv_data + sizeof r;
    size_t n = v.mv_size - sizeof r;
    *out = (struct raft_entry){.index = index, .term = r.term, .kind = r.kind};
    out->data = r.has_data ? blob_from(data, n) : NULL;
    return 0;
}

static void runs_cut(struct logdb *db, uint64_t from)
{
    while (db->runs.len && db->runs.items[db->runs.len - 1].index >= from) {
        db->runs.len--;
        db->runs_dirty = true;
    }
}

static void runs_add(struct logdb *db, uint64_t index, uint64_t term)
{
    if (db->runs.len && db->runs.items[db->runs.len - 1].term == term)
        return;
    vec_push(&db->runs, ((struct raft_term_run){index, term}));
    db->runs_dirty = true;
}

uint64_t logdb_term_at(const struct logdb *db, uint64_t index)
{
    if (index == db->state.base_index)
        return db->state.base_term;
    for (size_t i = db->runs.len; i-- > 0;)
        if (db->runs.items[i].index <= index)
            return db->runs.items[i].term;
    return 0;
}

/* Delete entries ≥ from, at the end of the log. */
static int log_cut(struct logdb *db, MDB_txn *txn, uint64_t from, struct error *err)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(txn, db->env.log, &c);
    if (rc)
        return logdb_mdb_error(db, rc, err, "open log cursor");
    CRASH_POINT(log_cut_before);
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_LAST)) == 0) {
        uint64_t index;
        memcpy(&index, k.mv_data, sizeof index);
        if (index < from)
            break;
        logdb_touch(txn, db->env.log, &k);
        if ((rc = mdb_cursor_del(c, 0)) != 0)
            break;
    }
    mdb_cursor_close(c);
    if (rc && rc != MDB_NOTFOUND)
        return logdb_mdb_error(db, rc, err, "cut the log back");
    runs_cut(db, from);
    db->state.last_index = from - 1;
    CRASH_POINT(log_cut_after);
    return 0;
}

int logdb_append_entries(struct logdb *db, MDB_txn *txn, const struct raft_entry *entries, size_t n,
                         struct error *err)
{
    size_t i = 0;
    while (i < n && entries[i].index <= db->state.base_index)
        i++; /* replay of what a snapshot or trimming has covered since */
    if (i == n)
        return 0;
    if (entries[i].index > db->state.last_index + 1)
        return error_set(err, ERR_CORRUPT, "log ends at %" PRIu64 ", next entry is %" PRIu64,
                         db->state.last_index, entries[i].index);
    if (entries[i].index <= db->state.last_index && log_cut(db, txn, entries[i].index, err) < 0)
        return err ? err->code : ERR_IO;

    MDB_cursor *c;
    int rc = mdb_cursor_open(txn, db->env.log, &c);
    if (rc)
        return logdb_mdb_error(db, rc, err, "open log cursor");
    for (; i < n && rc == 0; i++) {
        const struct raft_entry *e = &entries[i];
        size_t len = e->data ? e->data->len : 0;
        struct entry_record r = {
            .kind = (uint8_t)e->kind, .has_data = e->data != NULL, .term = e->term};
        r.crc = entry_crc(e->index, &r, e->data ? e->data->data : NULL, len);
        MDB_val k = val(&e->index, sizeof e->index), v = val(NULL, sizeof r + len);
        logdb_touch(txn, db->env.log, &k);
        rc = mdb_cursor_put(c, &k, &v, MDB_APPEND | MDB_RESERVE);
        if (rc)
            break;
        memcpy(v.mv_data, &r, sizeof r);
        if (len)
            memcpy((char *)v.mv_data + sizeof r, e->data->data, len);
        runs_add(db, e->index, e->term);
        db->state.last_index = e->index;
    }
    mdb_cursor_close(c);
    return logdb_mdb_error(db, rc, err, "append to the log");
}

int logdb_entries(struct logdb *db, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                  struct raft_entry *out, size_t max, size_t *n, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *c = NULL;
    *n = 0;
    int rc = logdb_read_begin(db, &txn, err);
    if (rc < 0)
        return rc;
    MDB_val k = val(&lo, sizeof lo), v;
    uint64_t bytes = 0, expect = lo;
    int mrc = mdb_cursor_open(txn, db->env.log, &c);
    if (mrc == 0)
        mrc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    while (mrc == 0 && rc == 0 && *n < max) {
        uint64_t index;
        memcpy(&index, k.mv_data, sizeof index);
        if (index != expect || index > hi || (*n > 0 && bytes >= bytes_max))
            break;
        rc = entry_decode(index, v, &out[*n], err);
        if (rc < 0)
            break;
        bytes += raft_entry_size(&out[(*n)++]);
        expect++;
        mrc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    if (c)
        mdb_cursor_close(c);
    logdb_read_end(db, txn);
    if (mrc && mrc != MDB_NOTFOUND)
        rc = read_error(mrc, "log entries", err);
    while (rc < 0 && *n > 0)
        blob_unref(out[--*n].data);
    return rc;
}

int logdb_check_entries(struct logdb *db, MDB_txn *txn, uint64_t *next, size_t max,
                        struct error *err)
{
    struct logdb_state s;
    struct str record;
    MDB_cursor *c;
    int rc = sealed_get(txn, db->env.meta, STR("state"), &record);
    if (rc || record.n != sizeof s)
        return error_set(err, ERR_CORRUPT, "state record cannot be read");
    memcpy(&s, record.p, sizeof s);
    *next = MAX(*next, s.base_index + 1);
    if (*next > s.last_index)
        return 0;
    MDB_val k = val(next, sizeof *next), v;
    if ((rc = mdb_cursor_open(txn, db->env.log, &c)) != 0)
        return read_error(rc, "log entries", err);
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_KEY);
    int code = 0;
    for (size_t i = 0; rc == 0 && code == 0 && i < max && *next <= s.last_index; i++) {
        uint64_t index = 0;
        memcpy(&index, k.mv_data, MIN(k.mv_size, sizeof index));
        if (index != *next)
            rc = MDB_NOTFOUND;
        else if ((code = entry_check(index, v, err)) == 0 && ++*next <= s.last_index)
            rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (code < 0)
        return code;
    if (rc == MDB_NOTFOUND)
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " is missing", *next);
    return rc ? read_error(rc, "log entries", err) : *next <= s.last_index;
}

int logdb_copy_entries(struct logdb *db, MDB_txn *source, MDB_txn *target, MDB_dbi target_log,
                       uint64_t from, uint64_t last, struct error *err)
{
    MDB_cursor *c;
    uint64_t index = from + 1, found;
    MDB_val k = val(&index, sizeof index), v;
    int code = 0, rc = mdb_cursor_open(source, db->env.log, &c);
    if (rc)
        return error_set(err, ERR_CORRUPT, "log: %s", mdb_strerror(rc));
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_KEY);
    for (; rc == 0 && index <= last && code == 0; index++) {
        struct raft_entry e = {0};
        memcpy(&found, k.mv_data, sizeof found);
        if (found != index)
            break;
        code = entry_decode(index, v, &e, err);
        blob_unref(e.data);
        if (code == 0 && (rc = mdb_put(target, target_log, &k, &v, MDB_APPEND)) != 0)
            code =
                error_set(err, ERR_IO, "copy log entry %" PRIu64 ": %s", index, mdb_strerror(rc));
        if (code == 0)
            rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (code == 0 && index <= last)
        code = error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " is missing", index);
    return code;
}

/* ---- start ----------------------------------------------------------------------------------- */

int logdb_boot(struct logdb *db, struct raft_boot *boot, struct error *err)
{
    const struct logdb_state *s = &db->state;
    *boot = (struct raft_boot){
        .hard = {.term = s->term, .vote = s->vote, .commit = MAX(s->commit, s->applied)},
        .applied = s->applied,
        .base_index = s->base_index,
        .base_term = s->base_term,
        .last_index = s->last_index,
    };
    struct raft_term_run *runs = mem_zalloc((db->runs.len + 1) * sizeof *runs);
    if (db->runs.len)
        memcpy(runs, db->runs.items, db->runs.len * sizeof *runs);
    boot->runs = runs;
    boot->runs_len = db->runs.len;
    if (s->applied > s->last_index || s->base_index > s->applied)
        return error_set(err, ERR_CORRUPT,
                         "log base %" PRIu64 ", applied %" PRIu64 ", last %" PRIu64 " disagree",
                         s->base_index, s->applied, s->last_index);

    MDB_txn *txn;
    int rc = logdb_read_begin(db, &txn, err);
    if (rc < 0)
        return rc;
    struct str config;
    int mrc = sealed_get(txn, db->env.meta, STR("config"), &config);
    if (mrc == 0)
        rc = raft_config_decode(config, &boot->config, err);
    else if (mrc != MDB_NOTFOUND)
        rc = logdb_mdb_error(db, mrc, err, "get config");
    logdb_read_end(db, txn);

    size_t want = s->last_index - s->applied, got = 0;
    struct raft_entry *tail = mem_zalloc((want + 1) * sizeof *tail);
    boot->tail = tail;
    while (rc == 0 && got < want) {
        size_t n = 0;
        rc = logdb_entries(db, s->applied + 1 + got, s->last_index, UINT64_MAX, tail + got,
                           want - got, &n, err);
        if (rc == 0 && n == 0)
            rc = error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " is missing",
                           s->applied + 1 + got);
        got += n;
    }
    boot->tail_len = got;
    return rc;
}

void logdb_boot_free(struct raft_boot *boot)
{
    for (size_t i = 0; i < boot->tail_len; i++)
        blob_unref(boot->tail[i].data);
    mem_free((void *)boot->tail);
    mem_free((void *)boot->runs);
    *boot = (struct raft_boot){0};
}

/* ---- journal thread -------------------------------------------------------------------------- */

int logdb_persist(struct logdb *db, const struct raft_persist *batches, size_t n, struct error *err)
{
    if (atomic_load_explicit(&db->failed, memory_order_relaxed))
        return logdb_failed_before(err);
    for (size_t i = 0; i < n; i++)
        journal_append(db->journal, &batches[i].hard, batches[i].entries, batches[i].entries_len);
    if (journal_flush(db->journal, err) < 0)
        return logdb_fail(db, ERR_IO);
    if (n && !batches[n - 1].entries_len)
        CRASH_POINT(hard_state_after);
    struct logdb_flushed f = {.seq = batches[n - 1].seq, .end = journal_end(db->journal)};
    pthread_mutex_lock(&db->flushed_lock);
    vec_push(&db->flushed, f);
    pthread_mutex_unlock(&db->flushed_lock);
    return 0;
}

/* Batches up to `seq` are in LMDB: move its journal position over the flushes that they complete. */
static void flushed_advance(struct logdb *db, uint64_t seq)
{
    pthread_mutex_lock(&db->flushed_lock);
    size_t done = db->flushed_head, n = db->flushed.len;
    while (done < n && db->flushed.items[done].seq <= seq) {
        db->state.journal_segment = db->flushed.items[done].end.segment;
        db->state.journal_offset = db->flushed.items[done].end.offset;
        done++;
    }
    if (done == n || done > 1024) {
        memmove(db->flushed.items, db->flushed.items + done,
                (n - done) * sizeof *db->flushed.items);
        db->flushed.len = n - done;
        done = 0;
    }
    db->flushed_head = done;
    pthread_mutex_unlock(&db->flushed_lock);
}

/* ---- apply thread ---------------------------------------------------------------------------- */

int logdb_begin(struct logdb *db, struct logdb_txn *txn, struct error *err)
{
    *txn = (struct logdb_txn){.db = db};
    if (atomic_load_explicit(&db->failed, memory_order_relaxed))
        return logdb_failed_before(err);
    logdb_lock_writes(db);
    if (atomic_load(&db->failed)) { /* the commit that this one waited for */
        pthread_mutex_unlock(&db->write_lock);
        return logdb_failed_before(err);
    }
    int rc = mdb_txn_begin(db->env.mdb, NULL, 0, &txn->mdb);
    if (rc) {
        pthread_mutex_unlock(&db->write_lock);
        return logdb_mdb_error(db, rc, err, "begin transaction");
    }
    return 0;
}

int logdb_txn_append(struct logdb_txn *txn, const struct raft_persist *batches, size_t n,
                     struct error *err)
{
    struct logdb *db = txn->db;
    for (size_t i = 0; i < n; i++) {
        int rc =
            logdb_append_entries(db, txn->mdb, batches[i].entries, batches[i].entries_len, err);
        if (rc < 0)
            return rc;
    }
    if (n) {
        const struct raft_hard_state *hard = &batches[n - 1].hard;
        db->state.term = hard->term;
        db->state.vote = hard->vote;
        db->state.commit = hard->commit;
        flushed_advance(db, batches[n - 1].seq);
    }
    return 0;
}

int logdb_txn_applied(struct logdb_txn *txn, uint64_t index, struct error *err)
{
    struct logdb_state *s = &txn->db->state;
    if (index < s->applied || index > s->last_index)
        return error_set(err, ERR_INTERNAL,
                         "applied index goes from %" PRIu64 " to %" PRIu64
                         ", the log ends at %" PRIu64,
                         s->applied, index, s->last_index);
    s->applied = index;
    return 0;
}

int logdb_txn_config(struct logdb_txn *txn, const struct raft_config *config, struct error *err)
{
    struct buf b;
    buf_init(&b);
    raft_config_encode(config, &b);
    CRASH_POINT(config_change_before);
    int rc = sealed_put(txn->mdb, txn->db->env.meta, STR("config"), buf_str(&b));
    buf_free(&b);
    CRASH_POINT(config_change_after);
    return logdb_mdb_error(txn->db, rc, err, "put config");
}

int logdb_txn_compact(struct logdb_txn *txn, uint64_t base, size_t max, uint64_t *base_now,
                      struct error *err)
{
    struct logdb *db = txn->db;
    struct logdb_state *s = &db->state;
    MDB_cursor *c;
    MDB_val k, v;
    assert(base <= s->applied);
    base = MIN(base, s->base_index + max);
    int rc = mdb_cursor_open(txn->mdb, db->env.log, &c);
    if (rc)
        return logdb_mdb_error(db, rc, err, "open log cursor");
    uint64_t base_term = base > s->base_index ? logdb_term_at(db, base) : s->base_term;
    while (s->base_index < base && (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST)) == 0) {
        uint64_t index;
        memcpy(&index, k.mv_data, sizeof index);
        if (index > base)
            break;
        logdb_touch(txn->mdb, db->env.log, &k);
        if ((rc = mdb_cursor_del(c, 0)) != 0)
            break;
        s->base_index = index;
    }
    mdb_cursor_close(c);
    if (rc)
        return logdb_mdb_error(db, rc, err, "trim the log");
    s->base_term = base_term;
    /* The run that holds base + 1 begins there from now on. */
    size_t drop = 0;
    while (drop + 1 < db->runs.len && db->runs.items[drop + 1].index <= s->base_index + 1)
        drop++;
    if (drop || (db->runs.len && s->base_index >= s->last_index)) {
        if (s->base_index >= s->last_index)
            drop = db->runs.len;
        memmove(db->runs.items, db->runs.items + drop,
                (db->runs.len - drop) * sizeof *db->runs.items);
        db->runs.len -= drop;
        db->runs_dirty = true;
    }
    if (db->runs.len && db->runs.items[0].index <= s->base_index) {
        db->runs.items[0].index = s->base_index + 1;
        db->runs_dirty = true;
    }
    *base_now = s->base_index;
    return 0;
}

int logdb_commit(struct logdb_txn *txn, struct error *err)
{
    struct logdb *db = txn->db;
    int rc = 0;
    if (memcmp(&db->state, &db->on_disk, sizeof db->state) != 0)
        rc = logdb_state_store(db, &db->env, txn->mdb, &db->state, err);
    if (rc == 0 && db->runs_dirty)
        rc = runs_store(db, txn->mdb, err);
    if (rc < 0) {
        rc = logdb_fail(db, rc); /* first: who waits for the commit looks for this */
        logdb_abort(txn);
        return rc;
    }
    CRASH_POINT(apply_commit_before);
    rc = logdb_mdb_error(db, mdb_txn_commit(txn->mdb), err, "commit");
    CRASH_POINT(apply_commit_after);
    txn->mdb = NULL;
    if (rc == 0) {
        db->on_disk = db->state;
        db->runs_dirty = false;
        if (db->starting && db->state.applied >= db->found_last)
            logdb_read_ahead(db);
    }
    logdb_hold_over(db);
    pthread_mutex_unlock(&db->write_lock);
    return rc;
}

/* After an abort what has been flushed but not stored would be lost for the log tree: the caller
 * cannot go on, except when it had appended nothing. */
void logdb_abort(struct logdb_txn *txn)
{
    if (!txn->mdb)
        return;
    struct logdb *db = txn->db;
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    if (memcmp(&db->state, &db->on_disk, sizeof db->state) != 0)
        atomic_store(&db->failed, true);
    logdb_hold_over(db);
    pthread_mutex_unlock(&db->write_lock);
}

/* ---- what a snapshot is of ---- */

int logdb_snapshot_meta(struct logdb *db, MDB_txn *txn, struct raft_snapshot_meta *out,
                        struct error *err)
{
    struct logdb_state s;
    struct str record;
    int rc = sealed_get(txn, db->env.meta, STR("state"), &record);
    if (rc || record.n != sizeof s)
        return error_set(err, ERR_CORRUPT, "state record cannot be read");
    memcpy(&s, record.p, sizeof s);
    *out = (struct raft_snapshot_meta){.index = s.applied, .term = s.base_term};
    if (s.applied > s.base_index) {
        struct raft_entry e;
        MDB_val k = val(&s.applied, sizeof s.applied), v;
        rc = mdb_get(txn, db->env.log, &k, &v);
        if (rc)
            return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " cannot be read", s.applied);
        if (entry_decode(s.applied, v, &e, err) < 0)
            return err ? err->code : ERR_CORRUPT;
        blob_unref(e.data);
        out->term = e.term;
    }
    rc = sealed_get(txn, db->env.meta, STR("config"), &record);
    if (rc)
        return rc == MDB_NOTFOUND ? 0 : read_error(rc, "the configuration", err);
    return raft_config_decode(record, &out->config, err);
}

/* ---- the state machine's small values -------------------------------------------------------- */

static int meta_key(const char *key, char out[64])
{
    size_t n = strlen(key);
    assert(n > 0 && n + 2 < 64);
    memcpy(out, "u:", 2);
    memcpy(out + 2, key, n);
    return (int)n + 2;
}

int logdb_get_meta(struct logdb *db, MDB_txn *txn, const char *key, struct str *out)
{
    char name[64];
    int rc = sealed_get(txn, db->env.meta, str_make(name, (size_t)meta_key(key, name)), out);
    if (rc)
        return rc == MDB_NOTFOUND ? ERR_NOT_FOUND : read_error(rc, "a record of the member", NULL);
    return 0;
}

int logdb_put_meta(struct logdb *db, MDB_txn *txn, const char *key, struct str value,
                   struct error *err)
{
    char name[64];
    int rc = sealed_put(txn, db->env.meta, str_make(name, (size_t)meta_key(key, name)), value);
    return logdb_mdb_error(db, rc, err, "put meta");
}

/* ---- readers --------------------------------------------------------------------------------- */

void logdb_pool_drain(struct logdb *db)
{
    pthread_mutex_lock(&db->pool_lock);
    while (db->pool_len)
        mdb_txn_abort(db->pool[--db->pool_len]);
    pthread_mutex_unlock(&db->pool_lock);
}

/* What is committed, without what is held. */
static int read_committed(struct logdb *db, MDB_txn **txn, struct error *err)
{
    MDB_txn *t = NULL;
    pthread_rwlock_rdlock(&db->env_lock);
    pthread_mutex_lock(&db->pool_lock);
    if (db->pool_len)
        t = db->pool[--db->pool_len];
    pthread_mutex_unlock(&db->pool_lock);
    int rc = t ? mdb_txn_renew(t) : mdb_txn_begin(db->env.mdb, NULL, MDB_RDONLY, &t);
    if (rc) {
        pthread_rwlock_unlock(&db->env_lock);
        return error_set(err, rc == MDB_READERS_FULL ? ERR_LIMIT : ERR_IO,
                         "lmdb: begin read transaction: %s", mdb_strerror(rc));
    }
    *txn = t;
    return 0;
}

int logdb_read_begin(struct logdb *db, MDB_txn **txn, struct error *err)
{
    logdb_await_commit(db);
    if (atomic_load(&db->failed)) /* what was held is lost, and may have been answered already */
        return logdb_failed_before(err);
    return read_committed(db, txn, err);
}

void logdb_read_end(struct logdb *db, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    pthread_mutex_lock(&db->pool_lock);
    bool keep = db->pool_len < LOGDB_POOL_MAX;
    if (keep)
        db->pool[db->pool_len++] = txn;
    pthread_mutex_unlock(&db->pool_lock);
    if (!keep)
        mdb_txn_abort(txn);
    pthread_rwlock_unlock(&db->env_lock);
}

uint64_t logdb_generation(struct logdb *db)
{
    pthread_rwlock_rdlock(&db->env_lock);
    uint64_t g = db->generation;
    pthread_rwlock_unlock(&db->env_lock);
    return g;
}

bool logdb_failed(struct logdb *db)
{
    return atomic_load(&db->failed);
}

bool logdb_is_new(const struct logdb *db)
{
    return db->is_new;
}

uint64_t logdb_log_bytes(struct logdb *db)
{
    MDB_txn *txn;
    MDB_stat tree = {0};
    if (read_committed(db, &txn, NULL) < 0)
        return 0;
    mdb_stat(txn, db->env.log, &tree);
    logdb_read_end(db, txn);
    return (tree.ms_branch_pages + tree.ms_leaf_pages + tree.ms_overflow_pages) *
           (uint64_t)tree.ms_psize;
}

uint64_t logdb_file_bytes(struct logdb *db)
{
    MDB_envinfo info;
    MDB_stat st;
    logdb_lock_writes(db); /* against defragmentation */
    mdb_env_info(db->env.mdb, &info);
    mdb_env_stat(db->env.mdb, &st);
    pthread_mutex_unlock(&db->write_lock);
    return (uint64_t)(info.me_last_pgno + 1) * st.ms_psize;
}

void logdb_sizes(struct logdb *db, struct logdb_info *out)
{
    MDB_envinfo info;
    MDB_stat st;
    *out = (struct logdb_info){0};
    MDB_txn *txn;
    if (read_committed(db, &txn, NULL) < 0)
        return;
    mdb_env_info(db->env.mdb, &info);
    mdb_env_stat(db->env.mdb, &st);
    for (MDB_dbi dbi = 0; dbi < LOGDB_TREES_MAX + 2; dbi++) {
        MDB_stat tree;
        if (mdb_stat(txn, dbi, &tree) != 0)
            continue;
        uint64_t bytes = (tree.ms_branch_pages + tree.ms_leaf_pages + tree.ms_overflow_pages) *
                         (uint64_t)tree.ms_psize;
        out->in_use_bytes += bytes;
        if (dbi == db->env.log)
            out->log_bytes = bytes;
    }
    logdb_read_end(db, txn);
    out->file_bytes = (uint64_t)(info.me_last_pgno + 1) * st.ms_psize;
    out->map_bytes = info.me_mapsize;
    out->checkpoints = atomic_load(&db->checkpoints);
    out->recovered_batches = db->recovered_batches;
    out->recovered_from_pin = db->recovered_from_pin;
}

void logdb_info(struct logdb *db, struct logdb_info *out)
{
    logdb_await_commit(db);
    logdb_sizes(db, out);
    logdb_lock_writes(db);
    out->applied = db->on_disk.applied;
    out->base_index = db->on_disk.base_index;
    out->last_index = db->on_disk.last_index;
    pthread_mutex_unlock(&db->write_lock);
}
