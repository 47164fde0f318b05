/*
 * Giving space back to the disk while writes go on (raft/log.h, logdb_defrag).
 *
 * LMDB's file never shrinks, so all records are copied in order into a second environment, which then takes the first
 * one's place:
 *
 *     1 pass       tree by tree, in slices, each in a read transaction of its own. Meanwhile writers note the keys
 *                  that they change (raft/log_touch.h); of these the ones already copied are copied again: `dirty`.
 *     2 catch up   rounds of copying what is dirty, each shorter than the one before.
 *     3 seal       After a round that ends with nothing dirty left as of its read transaction, the copy is exactly
 *                  that snapshot. It is flushed and pinned, as by a checkpoint, and gets its name.
 *     4 catch up   again; then, while no transaction and no reader is under way, the little that is left, and the
 *                  environments change places in memory. Only this stops writers.
 *     5 name it    CURRENT names the new one; the old one is removed.
 *
 * From 3 to 5 no checkpoint is made and no journal released: whichever environment CURRENT names after a crash has its
 * pinned snapshot and the journal since then. The crash of the process between 4 and 5 leaves the old one as it was at
 * 4, and the journal since. Anything that fails before 5 is given up without harm; failing in 5 stops the member.
 */
#include "raft/log_state.h"
#include "raft/log_touch.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SLICE_BYTES (2u << 20)
#define SLICE_NS (10 * NS_PER_MS)
#define PAUSE_NS (2 * NS_PER_MS)
#define WRITE_BACK_BYTES (4u << 20) /* at once: a journal flush may have to wait for it */
#define DIRTY_MAX (64u << 20)       /* bytes of keys: more than that is given up */
#define DIRTY_ROUND (2u << 20)      /* copied again within the pass */
#define DIRTY_LITTLE (16u << 10)
#define ROUNDS_MAX 100
#define READERS_WAIT_NS (3 * NS_PER_MS)
#define SWAP_TRIES 5000
#define DISK_SPARE (64ull << 20)

struct logdb_copy {
    struct logdb *db;
    const struct logdb_defrag_options *o;
    struct logdb_env env; /* the copy */
    uint64_t generation;
    MDB_dbi trees[LOGDB_TREES_MAX]; /* in the order of copying */
    size_t trees_len, at;           /* trees before `at` are copied */
    struct buf position;            /* of the tree `at`: up to this key; empty: nothing yet */
    struct buf touched;             /* by writers since the last look; write_lock */
    struct buf dirty;               /* copied before, changed since */
    bool overflow;                  /* write_lock */
    uint64_t written;               /* since the last write back */
    struct logdb_defrag_info *out;
};

/* One noted key, in `touched` and `dirty`. */
struct touch {
    uint16_t dbi, n;
    char key[];
};

/* ---- what writers change ---- */

void logdb_touched(void *copy, MDB_dbi dbi, const MDB_val *key)
{
    struct logdb_copy *c = copy;
    struct touch t = {(uint16_t)dbi, (uint16_t)key->mv_size};
    if (c->touched.len > DIRTY_MAX) {
        c->overflow = true;
        return;
    }
    buf_append(&c->touched, &t, sizeof t);
    buf_append(&c->touched, key->mv_data, key->mv_size);
}

static struct touch touch_at(const struct buf *b, size_t at, const char **key)
{
    struct touch t;
    memcpy(&t, b->data + at, sizeof t);
    *key = b->data + at + sizeof t;
    return t;
}

static bool is_copied(const struct logdb_copy *c, MDB_txn *txn, struct touch t, const char *key)
{
    for (size_t i = 0; i < c->at; i++)
        if (c->trees[i] == t.dbi)
            return true;
    if (c->at == c->trees_len || c->trees[c->at] != t.dbi || c->position.len == 0)
        return false;
    uint64_t aligned[512 / 8]; /* keys of MDB_INTEGERKEY trees must be */
    memcpy(aligned, key, MIN(t.n, sizeof aligned));
    MDB_val a = {t.n, aligned}, b = {c->position.len, c->position.data};
    return mdb_cmp(txn, t.dbi, &a, &b) <= 0;
}

/* write_lock held, so that no transaction is open: what was touched is dirty if it had been copied. What was not is
 * seen by the next slice. */
static int take_touched(struct logdb_copy *c, MDB_txn *txn, struct error *err)
{
    const char *key;
    if (c->db->generation != c->generation)
        return error_set(err, ERR_UNAVAILABLE, "the state was replaced meanwhile");
    if (atomic_load(&c->db->failed))
        return logdb_failed_before(err);
    if (c->overflow || c->dirty.len > DIRTY_MAX)
        return error_set(err, ERR_LIMIT, "writes come faster than they can be copied");
    for (size_t at = 0; at < c->touched.len;) {
        struct touch t = touch_at(&c->touched, at, &key);
        if (is_copied(c, txn, t, key))
            buf_append(&c->dirty, c->touched.data + at, sizeof t + t.n);
        at += sizeof t + t.n;
    }
    buf_clear(&c->touched);
    return 0;
}

/* A read transaction of which `dirty` knows all that was changed before. Ends with logdb_read_end. */
static int look(struct logdb_copy *c, MDB_txn **source, struct error *err)
{
    struct logdb *db = c->db;
    if (c->o->stop && atomic_load(c->o->stop))
        return error_set(err, ERR_CANCELLED, "stopped");
    int rc = logdb_read_begin(db, source, err);
    if (rc < 0)
        return rc;
    logdb_lock_writes(db);
    rc = take_touched(c, *source, err);
    mdb_txn_reset(*source);
    int mrc = rc == 0 ? mdb_txn_renew(*source) : 0;
    pthread_mutex_unlock(&db->write_lock);
    if (mrc)
        rc = error_set(err, ERR_IO, "defragment: read: %s", mdb_strerror(mrc));
    if (rc < 0)
        logdb_read_end(db, *source);
    return rc;
}

/* ---- copying ---- */

static int copy_error(int rc, const char *what, struct error *err)
{
    return error_set(err,
                     rc == ENOSPC || rc == MDB_MAP_FULL               ? ERR_LIMIT
                     : rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ? ERR_CORRUPT
                                                                      : ERR_IO,
                     "defragment: %s: %s", what, mdb_strerror(rc));
}

static int target_begin(struct logdb_copy *c, MDB_txn **txn, struct error *err)
{
    int rc = mdb_txn_begin(c->env.mdb, NULL, 0, txn);
    return rc ? copy_error(rc, "begin", err) : 0;
}

/* A slice of the tree `at`. */
static int copy_slice(struct logdb_copy *c, MDB_txn *source, struct error *err)
{
    MDB_dbi dbi = c->trees[c->at];
    MDB_cursor *from = NULL, *to = NULL;
    MDB_txn *target;
    MDB_val k = {c->position.len, c->position.data}, v, last = {0};
    uint64_t until = clock_mono_ns() + SLICE_NS;
    size_t bytes = 0;
    int rc = target_begin(c, &target, err);
    if (rc < 0)
        return rc;
    rc = mdb_cursor_open(source, dbi, &from);
    if (rc == 0)
        rc = mdb_cursor_open(target, dbi, &to);
    if (rc == 0)
        rc = mdb_cursor_get(from, &k, &v, c->position.len ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && c->position.len &&
        mdb_cmp(source, dbi, &k, &(MDB_val){c->position.len, c->position.data}) == 0)
        rc = mdb_cursor_get(from, &k, &v, MDB_NEXT);
    while (rc == 0) {
        if ((rc = mdb_cursor_put(to, &k, &v, MDB_APPEND)) != 0)
            break;
        last = k;
        bytes += k.mv_size + v.mv_size + 16;
        if (bytes >= SLICE_BYTES || clock_mono_ns() >= until)
            break;
        rc = mdb_cursor_get(from, &k, &v, MDB_NEXT);
    }
    bool end = rc == MDB_NOTFOUND;
    if (last.mv_size) { /* its bytes are in the source's page */
        buf_clear(&c->position);
        buf_append(&c->position, last.mv_data, last.mv_size);
    }
    mdb_cursor_close(from);
    if (to)
        mdb_cursor_close(to);
    rc = end ? 0 : rc;
    if (rc)
        mdb_txn_abort(target);
    else
        rc = mdb_txn_commit(target);
    if (rc)
        return copy_error(rc, "copy", err);
    c->written += bytes;
    if (end) {
        c->at++;
        buf_clear(&c->position);
    }
    return 0;
}

static int by_key(const void *a, const void *b, void *dirty)
{
    const struct buf *d = dirty;
    const char *ka, *kb;
    struct touch x = touch_at(d, *(const uint32_t *)a, &ka);
    struct touch y = touch_at(d, *(const uint32_t *)b, &kb);
    if (x.dbi != y.dbi)
        return x.dbi < y.dbi ? -1 : 1;
    int rc = memcmp(ka, kb, MIN(x.n, y.n));
    return rc ? rc : (int)x.n - (int)y.n;
}

static int copy_one(MDB_txn *source, MDB_txn *target, MDB_dbi dbi, MDB_val *k, size_t *bytes)
{
    MDB_val v;
    int rc = mdb_get(source, dbi, k, &v);
    if (rc == 0) {
        *bytes += k->mv_size + v.mv_size;
        return mdb_put(target, dbi, k, &v, 0);
    }
    if (rc != MDB_NOTFOUND)
        return rc;
    rc = mdb_del(target, dbi, k, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* What is dirty, as `source` has it. */
static int copy_dirty(struct logdb_copy *c, MDB_txn *source, struct error *err)
{
    VEC(uint32_t) offsets = {0};
    const char *key;
    size_t bytes = 0;
    MDB_txn *target = NULL;
    if (c->dirty.len == 0)
        return 0;
    for (size_t at = 0; at < c->dirty.len;) {
        struct touch t = touch_at(&c->dirty, at, &key);
        vec_push(&offsets, (uint32_t)at);
        at += sizeof t + t.n;
    }
    qsort_r(offsets.items, offsets.len, sizeof *offsets.items, by_key, &c->dirty);
    int rc = mdb_txn_begin(c->env.mdb, NULL, 0, &target);
    for (size_t i = 0; i < offsets.len && rc == 0; i++) {
        if (i && by_key(&offsets.items[i - 1], &offsets.items[i], &c->dirty) == 0)
            continue;
        struct touch t = touch_at(&c->dirty, offsets.items[i], &key);
        uint64_t aligned[512 / 8];
        memcpy(aligned, key, MIN(t.n, sizeof aligned));
        MDB_val k = {t.n, aligned};
        rc = copy_one(source, target, t.dbi, &k, &bytes);
        if (rc == 0 && bytes >= SLICE_BYTES) {
            rc = mdb_txn_commit(target);
            target = NULL;
            if (rc == 0)
                rc = mdb_txn_begin(c->env.mdb, NULL, 0, &target);
            c->written += bytes;
            bytes = 0;
        }
    }
    if (rc == 0) {
        rc = mdb_txn_commit(target);
        c->written += bytes;
    } else if (target) {
        mdb_txn_abort(target);
    }
    vec_free(&offsets);
    buf_clear(&c->dirty);
    return rc ? copy_error(rc, "copy what has changed", err) : 0;
}

/* The disk begins with what is written; writers go first. */
static void give_way(struct logdb_copy *c)
{
    struct timespec pause = {0, PAUSE_NS};
    mdb_filehandle_t fd;
    if (c->written >= WRITE_BACK_BYTES) {
        mdb_env_get_fd(c->env.mdb, &fd);
        sync_file_range(fd, 0, 0, /* advice: the flush tells of failures */
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER);
        c->written = 0;
    }
    nanosleep(&pause, NULL);
    for (int i = 0; i < 5 && c->o->busy && atomic_load(c->o->busy); i++)
        nanosleep(&pause, NULL);
}

static int pass(struct logdb_copy *c, struct error *err)
{
    int rc = 0;
    while (rc == 0 && c->at < c->trees_len) {
        MDB_txn *source;
        if ((rc = look(c, &source, err)) < 0)
            return rc;
        rc = copy_slice(c, source, err);
        if (rc == 0 && c->dirty.len >= DIRTY_ROUND)
            rc = copy_dirty(c, source, err);
        logdb_read_end(c->db, source);
        give_way(c);
    }
    return rc;
}

/* One round: afterwards the copy is what one read transaction saw. *bytes: of the keys it took. */
static int catch_up_once(struct logdb_copy *c, size_t *bytes, struct error *err)
{
    MDB_txn *source;
    int rc = look(c, &source, err);
    if (rc < 0)
        return rc;
    *bytes = c->dirty.len;
    rc = copy_dirty(c, source, err);
    logdb_read_end(c->db, source);
    return rc;
}

static int catch_up(struct logdb_copy *c, struct error *err)
{
    size_t bytes = SIZE_MAX;
    int rc = 0;
    for (int i = 0; i < ROUNDS_MAX && bytes > DIRTY_LITTLE && rc == 0; i++)
        rc = catch_up_once(c, &bytes, err);
    return rc;
}

/* ---- changing places ---- */

static int seal(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    char *pages, path[LOGDB_PATH_MAX];
    size_t len, bytes;
    int rc = catch_up_once(c, &bytes, err);
    if (rc < 0)
        return rc;
    if ((rc = mdb_env_sync(c->env.mdb, 1)) != 0)
        return copy_error(rc, "flush", err);
    rc = logdb_pin_take(db, &c->env, &c->env.pin, &pages, &len, err);
    if (rc < 0)
        return rc;
    c->env.pin_txnid = mdb_txn_id(c->env.pin);
    rc = logdb_pin_write(db, &c->env, c->env.pin_txnid, pages, len, err);
    mem_free(pages);
    if (rc < 0)
        return rc;
    CRASH_POINT(defrag_sealed);
    snprintf(path, sizeof path, "%s/db-%" PRIu64, db->dir, c->env.number);
    rc = logdb_remove_tree(db, path, err);
    if (rc == 0 && (rc = db->host->ops->rename(db->host, c->env.dir, path)) >= 0)
        rc = db->host->ops->sync_dir(db->host, db->dir);
    if (rc < 0)
        return error_errno(err, ERR_IO, -rc, "rename %s to %s", c->env.dir, path);
    CRASH_POINT(defrag_renamed);
    mem_free(c->env.dir);
    c->env.dir = mem_strdup(path);
    return 0;
}

/* write_lock and env_lock held: nobody is inside. */
static int change_places(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    MDB_txn *source;
    int rc = mdb_txn_begin(db->env.mdb, NULL, MDB_RDONLY, &source);
    if (rc)
        return copy_error(rc, "read", err);
    rc = take_touched(c, source, err);
    if (rc == 0)
        rc = copy_dirty(c, source, err);
    mdb_txn_abort(source);
    if (rc < 0)
        return rc;
    mdb_env_set_userctx(db->env.mdb, NULL);
    logdb_pool_drain(db);
    struct logdb_env old = db->env;
    db->env = c->env;
    c->env = old;
    logdb_map_note(db);
    return 0;
}

static bool readers_gone(struct logdb *db)
{
    struct timespec pause = {0, 50 * 1000};
    uint64_t until = clock_mono_ns() + READERS_WAIT_NS;
    do {
        if (pthread_rwlock_trywrlock(&db->env_lock) == 0)
            return true;
        nanosleep(&pause, NULL);
    } while (clock_mono_ns() < until);
    return false;
}

/* Tried again when a reader takes long: writers must not wait for it. */
static int swap(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    struct timespec pause = {0, PAUSE_NS};
    for (int i = 0; i < SWAP_TRIES; i++) {
        size_t bytes = DIRTY_LITTLE + 1;
        for (int k = 0; k < 5 && bytes > DIRTY_LITTLE; k++) {
            int rc = catch_up_once(c, &bytes, err);
            if (rc < 0)
                return rc;
        }
        logdb_lock_writes(db);
        uint64_t began = clock_mono_ns();
        bool alone = readers_gone(db);
        int rc = alone ? change_places(c, err) : 0;
        if (alone)
            pthread_rwlock_unlock(&db->env_lock);
        uint64_t stopped = clock_mono_ns() - began;
        pthread_mutex_unlock(&db->write_lock);
        c->out->stopped_ns = MAX(c->out->stopped_ns, stopped);
        if (alone)
            return rc;
        nanosleep(&pause, NULL);
    }
    return error_set(err, ERR_UNAVAILABLE, "defragment: there is always somebody reading");
}

static int take_over(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    pthread_mutex_lock(&db->checkpoint_lock);
    int rc = seal(c, err);
    if (rc == 0)
        rc = swap(c, err);
    CRASH_POINT(defrag_swapped);
    if (rc == 0 && logdb_current_write(db, db->env.number, err) < 0)
        rc = logdb_fail(db, ERR_IO);
    CRASH_POINT(defrag_named);
    pthread_mutex_unlock(&db->checkpoint_lock);
    return rc;
}

/* ---- from the beginning ---- */

static int check_room(struct logdb *db, struct logdb_defrag_info *out, struct error *err)
{
    struct logdb_info info;
    struct statvfs fs;
    logdb_info(db, &info);
    out->before_bytes = info.file_bytes;
    if (statvfs(db->dir, &fs) < 0)
        return error_errno(err, ERR_IO, errno, "look at the disk of %s", db->dir);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize, wanted = info.in_use_bytes + DISK_SPARE;
    if (room < wanted)
        return error_set(err, ERR_LIMIT,
                         "defragmenting needs %" PRIu64 " bytes on disk, %" PRIu64 " are free",
                         wanted, room);
    return 0;
}

/* The second environment, empty, in db-<n>.tmp. Snapshots that are received meanwhile have other numbers. */
static int open_copy(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    char path[LOGDB_PATH_MAX];
    uint64_t number = atomic_fetch_add(&db->numbers, 1) + 1;
    snprintf(path, sizeof path, "%s/db-%" PRIu64 ".tmp", db->dir, number);
    int rc = logdb_remove_tree(db, path, err);
    if (rc == 0 && (rc = db->host->ops->mkdir(db->host, path)) < 0)
        rc = error_errno(err, ERR_IO, -rc, "create %s", path);
    return rc < 0 ? rc : logdb_env_open(db, path, number, false, &c->env, err);
}

/* From here on writers note what they change. The log comes last: it grows at its end. */
static int begin(struct logdb_copy *c, struct error *err)
{
    struct logdb *db = c->db;
    MDB_txn *txn;
    MDB_stat st;
    int rc = logdb_read_begin(db, &txn, err);
    if (rc < 0)
        return rc;
    for (MDB_dbi dbi = 2; dbi < LOGDB_TREES_MAX + 2; dbi++) /* 0 and 1 are LMDB's own */
        if (dbi != db->env.log && mdb_stat(txn, dbi, &st) == 0)
            c->trees[c->trees_len++] = dbi;
    c->trees[c->trees_len++] = db->env.log;
    assert(c->env.log == db->env.log && c->env.meta == db->env.meta);
    logdb_lock_writes(db);
    c->generation = db->generation;
    mdb_env_set_userctx(db->env.mdb, c);
    pthread_mutex_unlock(&db->write_lock);
    logdb_read_end(db, txn);
    return 0;
}

/* Nobody notes anything any more; whichever environment is not the live one goes. */
static void end(struct logdb_copy *c)
{
    struct logdb *db = c->db;
    struct error ignored;
    logdb_lock_writes(db);
    if (db->env.mdb && mdb_env_get_userctx(db->env.mdb) == c)
        mdb_env_set_userctx(db->env.mdb, NULL);
    pthread_mutex_unlock(&db->write_lock);
    char *dir = c->env.dir ? mem_strdup(c->env.dir) : NULL;
    logdb_env_close(&c->env);
    if (dir && !atomic_load(&db->failed) && logdb_remove_tree(db, dir, &ignored) < 0)
        log_warn("store", "environment not removed error=\"%s\"", ignored.message);
    CRASH_POINT(defrag_old_removed);
    mem_free(dir);
    buf_free(&c->position);
    buf_free(&c->touched);
    buf_free(&c->dirty);
}

int logdb_defrag(struct logdb *db, const struct logdb_defrag_options *o,
                 struct logdb_defrag_info *out, struct error *err)
{
    struct logdb_info info;
    struct logdb_copy c = {.db = db, .o = o, .out = out};
    uint64_t began = clock_mono_ns();
    *out = (struct logdb_defrag_info){0};
    if (atomic_exchange(&db->defragmenting, true))
        return error_set(err, ERR_EXISTS, "defragmenting is under way");
    int rc = check_room(db, out, err);
    if (rc == 0)
        rc = open_copy(&c, err);
    if (rc == 0)
        rc = begin(&c, err);
    if (rc == 0)
        rc = pass(&c, err);
    if (rc == 0)
        rc = catch_up(&c, err);
    if (rc == 0)
        rc = take_over(&c, err);
    end(&c);
    logdb_info(db, &info);
    out->after_bytes = info.file_bytes;
    out->took_ns = clock_mono_ns() - began;
    atomic_store(&db->defragmenting, false);
    return rc;
}
