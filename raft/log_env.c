/*
 * The data directory: opening an environment, the pinned snapshot and its meta pages, checkpoints,
 * and recovery. See log.h for the whole picture.
 *
 * A pin file: struct pin_header, then LMDB's first two pages (its meta pages) as they were when the
 * snapshot of `txnid` was the newest. The two files are written in turn; the whole one with the
 * higher `seq` counts.
 */
#include "raft/log_pieces.h"
#include "raft/log_state.h"
#include "base/crash_point.h"
#include "base/encode.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN_MAGIC "C8SPIN01"
#define FOUNDING_INDEX 1 /* raft/raft.h, struct raft_boot */
#define FOUNDING_TERM 1
#define PAGE_SIZE_MAX 65536u
#define META_TXNID_OFFSET 144 /* in a meta page: page header 16, then MDB_meta up to mm_txnid */
#define FORMAT_TEXT "c8s store format 2\n"

struct pin_header {
    char magic[8];
    uint64_t seq;
    uint64_t txnid;
    uint32_t page_size;
    uint32_t crc; /* of the fields above and the pages */
};

static uint32_t pin_crc(const struct pin_header *h, const char *pages)
{
    return crc32c(crc32c(0, h, offsetof(struct pin_header, crc)), pages, 2ul * h->page_size);
}

/* ---- small files ----------------------------------------------------------------------------- */

/* Whole file into `out`; ERR_NOT_FOUND when absent. */
int logdb_file_read(struct host *host, const char *path, struct buf *out, struct error *err)
{
    struct host_file *f;
    uint64_t size = 0;
    int rc = host->ops->open(host, path, HOST_OPEN_READ_ONLY, &f);
    if (rc < 0)
        return error_errno(err, rc == -ENOENT ? ERR_NOT_FOUND : ERR_IO, -rc, "open %s", path);
    rc = host->ops->size(f, &size);
    if (rc >= 0 && size > (1u << 20))
        rc = -EFBIG;
    if (rc >= 0) {
        char *p = buf_reserve(out, size + 1);
        ssize_t n = host->ops->pread(f, p, size, 0);
        if (n > 0)
            out->len += (size_t)n;
        rc = n < 0 ? (int)n : 0;
    }
    host->ops->close(f);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "read %s", path) : 0;
}

/* Make `path` hold exactly `content`, durably, by way of a temporary file and a rename. */
int logdb_file_replace(struct host *host, const char *dir, const char *name, struct str content,
                       struct error *err)
{
    char path[LOGDB_PATH_MAX], tmp[LOGDB_PATH_MAX + 8];
    struct host_file *f = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    int rc = host->ops->open(host, tmp, HOST_OPEN_CREATE | HOST_OPEN_TRUNCATE, &f);
    if (rc >= 0)
        rc = host->ops->pwrite(f, content.p, content.n, 0);
    if (rc >= 0)
        rc = host->ops->fdatasync(f);
    if (f)
        host->ops->close(f);
    CRASH_POINT(file_rename_before);
    if (rc >= 0)
        rc = host->ops->rename(host, tmp, path);
    CRASH_POINT(file_rename_after);
    if (rc >= 0)
        rc = host->ops->sync_dir(host, dir);
    CRASH_POINT(file_rename_synced);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "write %s", path) : 0;
}

/* ---- environments ---------------------------------------------------------------------------- */

static void announce(MDB_env *env, bool on)
{
    mdb_filehandle_t fd;
    if (mdb_env_get_fd(env, &fd) == 0 && fd >= 0)
        (on ? log_pieces_announce : log_pieces_forget)(fd);
}

int logdb_env_open(struct logdb *db, const char *dir, uint64_t number, bool existing,
                   struct logdb_env *out, struct error *err)
{
    *out = (struct logdb_env){.dir = mem_strdup(dir), .number = number};
    int rc = mdb_env_create(&out->mdb);
    if (rc == 0)
        rc = mdb_env_set_mapsize(out->mdb, db->map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(out->mdb, LOGDB_TREES_MAX);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(out->mdb, LOGDB_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(out->mdb, dir, MDB_NOSYNC | MDB_NOTLS | (existing ? MDB_NORDAHEAD : 0),
                          0600);
    if (rc == 0)
        announce(out->mdb, true);
    /* The pin comes before anything is written. */
    if (rc == 0 && existing)
        rc = mdb_txn_begin(out->mdb, NULL, MDB_RDONLY, &out->pin);
    if (rc == 0 && existing)
        out->pin_txnid = mdb_txn_id(out->pin);
    MDB_txn *txn = NULL;
    if (rc == 0)
        rc = mdb_txn_begin(out->mdb, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &out->meta);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "log", MDB_CREATE | MDB_INTEGERKEY, &out->log);
    int code = 0;
    if (rc == 0 && db->open_trees)
        code = db->open_trees(db->open_trees_ctx, txn, err);
    if (rc == 0 && code == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (txn)
        mdb_txn_abort(txn);
    if (rc || code < 0) {
        if (rc)
            code = error_set(err, ERR_IO, "open LMDB in %s: %s", dir, mdb_strerror(rc));
        logdb_env_close(out);
        return code;
    }
    return 0;
}

void logdb_env_close(struct logdb_env *env)
{
    if (env->pin)
        mdb_txn_abort(env->pin);
    if (env->mdb) {
        announce(env->mdb, false);
        mdb_env_close(env->mdb);
    }
    mem_free(env->dir);
    *env = (struct logdb_env){0};
}

/* ---- pins ------------------------------------------------------------------------------------ */

int logdb_pin_take(struct logdb *db, struct logdb_env *env, MDB_txn **pin, char **pages,
                   size_t *len, struct error *err)
{
    MDB_stat st;
    mdb_filehandle_t fd;
    int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, pin);
    if (rc)
        return logdb_mdb_error(db, rc, err, "pin");
    mdb_env_stat(env->mdb, &st);
    mdb_env_get_fd(env->mdb, &fd);
    *len = 2ul * st.ms_psize;
    *pages = mem_alloc(*len);
    uint64_t newest = 0, txnid = mdb_txn_id(*pin);
    ssize_t n = pread(fd, *pages, *len, 0);
    if (n == (ssize_t)*len)
        memcpy(&newest, *pages + (txnid & 1) * st.ms_psize + META_TXNID_OFFSET, sizeof newest);
    if (n != (ssize_t)*len || newest != txnid) {
        mdb_txn_abort(*pin);
        mem_free(*pages);
        *pin = NULL;
        *pages = NULL;
        return error_set(err, logdb_fail(db, ERR_IO),
                         "meta pages: read %zd bytes, transaction %" PRIu64 " is not %" PRIu64, n,
                         newest, txnid);
    }
    return 0;
}

/* Write a pin file, durably; its slot follows from h->seq. */
static int pin_store(struct logdb *db, const char *dir, const struct pin_header *h,
                     const char *pages, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    size_t len = 2ul * h->page_size;
    snprintf(path, sizeof path, "%s/pin-%d", dir, (int)(h->seq & 1));
    char *all = mem_alloc(sizeof *h + len);
    memcpy(all, h, sizeof *h);
    memcpy(all + sizeof *h, pages, len);
    struct host_file *f = NULL;
    int rc = db->host->ops->open(db->host, path, HOST_OPEN_CREATE, &f);
    if (rc >= 0)
        rc = db->host->ops->pwrite(f, all, sizeof *h + len, 0);
    CRASH_POINT(meta_copy_written);
    if (rc >= 0)
        rc = db->host->ops->fdatasync(f);
    CRASH_POINT(meta_copy_flushed);
    if (f)
        db->host->ops->close(f);
    /* The first two are new files: their names must survive too. */
    if (rc >= 0 && h->seq <= 2)
        rc = db->host->ops->sync_dir(db->host, dir);
    mem_free(all);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "write %s", path) : 0;
}

int logdb_pin_write(struct logdb *db, struct logdb_env *env, uint64_t txnid, const char *pages,
                    size_t len, struct error *err)
{
    struct pin_header h = {
        .seq = env->pin_seq + 1, .txnid = txnid, .page_size = (uint32_t)(len / 2)};
    memcpy(h.magic, PIN_MAGIC, sizeof h.magic);
    h.crc = pin_crc(&h, pages);
    int rc = pin_store(db, env->dir, &h, pages, err);
    if (rc == 0)
        env->pin_seq = h.seq;
    return rc;
}

/* The newest whole pin file, in `out`; its header in *h. ERR_NOT_FOUND if there is none. */
static int pin_read(struct logdb *db, const char *dir, struct buf *out, struct pin_header *h,
                    struct error *err)
{
    h->seq = 0;
    for (int i = 0; i < 2; i++) {
        char path[LOGDB_PATH_MAX];
        struct buf b;
        struct pin_header one;
        snprintf(path, sizeof path, "%s/pin-%d", dir, i);
        buf_init(&b);
        int rc = logdb_file_read(db->host, path, &b, err);
        if (rc < 0 && rc != ERR_NOT_FOUND) {
            buf_free(&b);
            return rc;
        }
        if (rc == 0 && b.len >= sizeof one) {
            memcpy(&one, b.data, sizeof one);
            if (memcmp(one.magic, PIN_MAGIC, 8) == 0 && one.page_size <= PAGE_SIZE_MAX &&
                b.len >= sizeof one + 2ul * one.page_size &&
                one.crc == pin_crc(&one, b.data + sizeof one) && one.seq > h->seq) {
                *h = one;
                buf_clear(out);
                buf_append(out, b.data + sizeof one, 2ul * one.page_size);
            }
        }
        buf_free(&b);
    }
    return h->seq ? 0
                  : error_set(err, ERR_NOT_FOUND, "%s has no whole copy of the meta pages", dir);
}

/* Put the meta pages of the last checkpoint back: LMDB then opens that snapshot. */
static int pin_restore(struct logdb *db, const char *dir, const struct buf *pages,
                       struct error *err)
{
    char path[LOGDB_PATH_MAX];
    struct host_file *f = NULL;
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    int rc = db->host->ops->open(db->host, path, 0, &f);
    if (rc >= 0)
        rc = db->host->ops->pwrite(f, pages->data, pages->len, 0);
    if (rc >= 0)
        rc = db->host->ops->fdatasync(f);
    if (f)
        db->host->ops->close(f);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "restore the meta pages of %s", path) : 0;
}

/* ---- checkpoint ------------------------------------------------------------------------------ */

uint64_t logdb_checkpoint_lag(struct logdb *db)
{
    pthread_mutex_lock(&db->checkpoint_lock);
    uint64_t n = journal_bytes(db->journal) - db->checkpoint_bytes;
    pthread_mutex_unlock(&db->checkpoint_lock);
    return n;
}

int logdb_write_back(MDB_env *env, struct error *err)
{
    enum { WINDOW = 4 << 20 };
    mdb_filehandle_t fd;
    struct stat st;
    mdb_env_get_fd(env, &fd);
    if (fstat(fd, &st) < 0)
        return error_errno(err, ERR_IO, errno, "stat data.mdb");
    for (off_t at = 0; at < st.st_size; at += WINDOW)
        if (sync_file_range(fd, at, WINDOW,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                SYNC_FILE_RANGE_WAIT_AFTER) < 0 &&
            errno != ENOSYS && errno != ESPIPE)
            return error_errno(err, ERR_IO, errno, "write back data.mdb");
    return 0;
}

/* checkpoint_lock held. `force`: also when LMDB has not changed since the last one. */
static int checkpoint(struct logdb *db, bool force, uint64_t *flush_ns, struct error *err)
{
    struct logdb_env *env = &db->env;
    MDB_txn *pin = NULL;
    char *pages = NULL;
    size_t len = 0;
    uint64_t began = db->journal ? journal_bytes(db->journal) : 0;

    logdb_lock_writes(db);
    struct journal_pos pos = {db->on_disk.journal_segment, db->on_disk.journal_offset};
    int rc = atomic_load(&db->failed) ? logdb_failed_before(err)
                                      : logdb_pin_take(db, env, &pin, &pages, &len, err);
    pthread_mutex_unlock(&db->write_lock);
    if (rc < 0)
        return rc;
    CRASH_POINT(checkpoint_pinned);
    uint64_t txnid = mdb_txn_id(pin);
    if (!force && txnid == env->pin_txnid) {
        mdb_txn_abort(pin);
        mem_free(pages);
        return 0;
    }
    rc = logdb_write_back(env->mdb, err);
    uint64_t flush_began = host_mono_ns(db->host);
    if (rc == 0)
        rc = logdb_mdb_error(db, mdb_env_sync(env->mdb, 1), err, "flush");
    CRASH_POINT(checkpoint_flushed);
    if (rc == 0)
        rc = logdb_pin_write(db, env, txnid, pages, len, err);
    if (flush_ns)
        *flush_ns = host_mono_ns(db->host) - flush_began;
    mem_free(pages);
    if (rc < 0) {
        mdb_txn_abort(pin);
        return logdb_fail(db, rc);
    }
    if (env->pin)
        mdb_txn_abort(env->pin);
    env->pin = pin;
    env->pin_txnid = txnid;
    db->checkpoint_bytes = began;
    atomic_fetch_add(&db->checkpoints, 1);
    CRASH_POINT(checkpoint_after);
    if (db->journal && pos.segment)
        rc = journal_release(db->journal, pos, err);
    return rc < 0 ? logdb_fail(db, rc) : 0;
}

int logdb_checkpoint(struct logdb *db, uint64_t *flush_ns, struct error *err)
{
    if (flush_ns)
        *flush_ns = 0;
    if (atomic_load(&db->failed))
        return logdb_failed_before(err);
    pthread_mutex_lock(&db->checkpoint_lock);
    int rc = checkpoint(db, false, flush_ns, err);
    pthread_mutex_unlock(&db->checkpoint_lock);
    return rc < 0 ? rc : logdb_prepare(db, err);
}

int logdb_prepare(struct logdb *db, struct error *err)
{
    if (atomic_load(&db->failed))
        return logdb_failed_before(err);
    return journal_prepare(db->journal, err) < 0 ? logdb_fail(db, ERR_IO) : 0;
}

/* ---- the directory --------------------------------------------------------------------------- */

int logdb_current_write(struct logdb *db, uint64_t number, struct error *err)
{
    char text[96];
    int n = snprintf(text, sizeof text, FORMAT_TEXT "db-%" PRIu64 "\n", number);
    return logdb_file_replace(db->host, db->dir, "CURRENT", str_make(text, (size_t)n), err);
}

static int current_read(struct logdb *db, uint64_t *number, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    struct buf b;
    int used = 0;
    snprintf(path, sizeof path, "%s/CURRENT", db->dir);
    buf_init(&b);
    int rc = logdb_file_read(db->host, path, &b, err);
    if (rc == 0 && strncmp(buf_cstr(&b), FORMAT_TEXT, strlen(FORMAT_TEXT)) != 0)
        rc = error_set(err, ERR_UNSUPPORTED, "%s is not of \"%.*s\"", path,
                       (int)strlen(FORMAT_TEXT) - 1, FORMAT_TEXT);
    else if (rc == 0 && (sscanf(buf_cstr(&b) + strlen(FORMAT_TEXT), "db-%" SCNu64 "\n%n", number,
                                &used) != 1 ||
                         used == 0))
        rc = error_set(err, ERR_CORRUPT, "%s names no environment", path);
    buf_free(&b);
    return rc;
}

struct removal {
    struct logdb *db;
    const char *path;
};

static int remove_one(void *ctx, const char *name)
{
    struct removal *r = ctx;
    char path[2 * LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", r->path, name);
    return r->db->host->ops->unlink(r->db->host, path);
}

/* Remove a directory of files; absent is fine. */
int logdb_remove_tree(struct logdb *db, const char *path, struct error *err)
{
    struct removal r = {db, path};
    int rc = db->host->ops->list_dir(db->host, path, remove_one, &r);
    if (rc == -ENOENT)
        return 0;
    if (rc >= 0 && rmdir(path) < 0)
        rc = -errno;
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "remove %s", path) : 0;
}

struct leftovers {
    struct logdb *db;
    uint64_t keep;
    struct error *err;
};

static int remove_leftover(void *ctx, const char *name)
{
    struct leftovers *l = ctx;
    char keep[64], path[2 * LOGDB_PATH_MAX];
    snprintf(keep, sizeof keep, "db-%" PRIu64, l->keep);
    if (strncmp(name, "db-", 3) != 0 || strcmp(name, keep) == 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", l->db->dir, name);
    return logdb_remove_tree(l->db, path, l->err);
}

/*
 * After a failed write or flush the kernel takes pages for clean that are not on disk, and a later
 * flush reports success: nothing that this process wrote since the last checkpoint can be relied on,
 * whatever the page cache shows. So the next start shall take it for another boot.
 */
void logdb_boot_forget(struct logdb *db)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/boot", db->dir);
    int rc = db->host->ops->unlink(db->host, path);
    if (rc < 0 && rc != -ENOENT)
        log_error("store", "cannot remove path=%s error=\"%s\"", path, strerror(-rc));
}

/* "boot id, device, mount": while it is the same, what the process wrote is at least in the page
 * cache, as written. */
static int boot_identity(struct logdb *db, const char *given, struct buf *out, struct error *err)
{
    char boot[64] = "";
    struct statx sx;
    if (given) {
        buf_append_cstr(out, given);
        return 0;
    }
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot, sizeof boot - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || statx(AT_FDCWD, db->dir, 0, STATX_BASIC_STATS | STATX_MNT_ID, &sx) < 0)
        return error_errno(err, ERR_IO, errno, "identify this boot and the mount of %s", db->dir);
    boot[strcspn(boot, "\n")] = 0;
    buf_printf(out, "%s %u:%u %llu\n", boot, sx.stx_dev_major, sx.stx_dev_minor,
               (unsigned long long)sx.stx_mnt_id);
    return 0;
}

static int lock_dir(struct logdb *db, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/LOCK", db->dir);
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0)
        return error_errno(err, ERR_IO, errno, "open %s", path);
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(err, ERR_EXISTS, "data directory %s is in use by another process",
                               db->dir)
                   : error_errno(err, ERR_IO, errno, "lock %s", path);
    return 0;
}

static int journal_has_files(void *ctx, const char *name)
{
    (void)name;
    *(bool *)ctx = true;
    return 0;
}

/* A new directory: an empty environment, flushed and pinned, then CURRENT. The journal comes after,
 * so a journal without CURRENT is damage. */
static int create(struct logdb *db, const struct logdb_options *o, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    bool journal = false;
    struct leftovers l = {db, 0, err};
    snprintf(path, sizeof path, "%s/journal", db->dir);
    db->host->ops->list_dir(db->host, path, journal_has_files, &journal);
    if (journal)
        return error_set(err, ERR_CORRUPT, "%s has a journal but no CURRENT", db->dir);
    int rc = db->host->ops->list_dir(db->host, db->dir, remove_leftover, &l);
    if (rc < 0)
        return error_set(err, ERR_IO, "clean %s", db->dir);
    snprintf(path, sizeof path, "%s/db-1", db->dir);
    rc = db->host->ops->mkdir(db->host, path);
    if (rc < 0)
        return error_errno(err, ERR_IO, -rc, "create %s", path);
    rc = logdb_env_open(db, path, 1, false, &db->env, err);
    if (rc < 0)
        return rc;
    struct logdb_txn txn;
    rc = logdb_begin(db, &txn, err);
    if (rc < 0)
        return rc;
    if (o->founding)
        db->state = (struct logdb_state){.term = FOUNDING_TERM,
                                         .commit = FOUNDING_INDEX,
                                         .applied = FOUNDING_INDEX,
                                         .base_index = FOUNDING_INDEX,
                                         .base_term = FOUNDING_TERM,
                                         .last_index = FOUNDING_INDEX};
    rc = logdb_state_store(db, &db->env, txn.mdb, &db->state, err);
    if (rc == 0 && o->founding)
        rc = logdb_txn_config(&txn, o->founding, err);
    if (rc < 0) {
        logdb_abort(&txn);
        return rc;
    }
    rc = logdb_commit(&txn, err);
    if (rc == 0)
        rc = checkpoint(db, true, NULL, err);
    if (rc == 0)
        rc = logdb_current_write(db, 1, err);
    db->is_new = true;
    return rc;
}

/* Before environment `number` is opened: go back to the last checkpoint, unless this is still the boot
 * in which it was last written. */
static int rewind_existing(struct logdb *db, uint64_t number, bool same_boot,
                           struct pin_header *pin, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    struct buf pages;
    struct pin_header h;
    snprintf(path, sizeof path, "%s/db-%" PRIu64, db->dir, number);
    buf_init(&pages);
    int rc = pin_read(db, path, &pages, &h, err);
    if (rc < 0)
        rc = rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
    /* What was read may be in the page cache only, and the next checkpoint writes over the other one. */
    if (rc == 0)
        rc = pin_store(db, path, &h, pages.data, err);
    if (rc == 0 && !same_boot) {
        rc = pin_restore(db, path, &pages, err);
        db->recovered_from_pin = true;
    }
    buf_free(&pages);
    if (rc < 0)
        return rc;
    *pin = h;
    return 0;
}

/* Open an environment that exists, with its newest snapshot flushed and pinned before anything is
 * written: in the same boot that snapshot may be newer than the last checkpoint. */
static int open_existing(struct logdb *db, uint64_t number, bool same_boot,
                         const struct pin_header *pin, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/db-%" PRIu64, db->dir, number);
    int rc = logdb_env_open(db, path, number, true, &db->env, err);
    if (rc < 0)
        return rc;
    db->env.pin_seq = pin->seq;
    if (!same_boot && db->env.pin_txnid != pin->txnid)
        return error_set(err, ERR_CORRUPT, "%s opens at transaction %" PRIu64 ", not at %" PRIu64,
                         path, db->env.pin_txnid, pin->txnid);
    MDB_txn *txn; /* the pin was there before the trees were opened, and does not know them */
    rc = mdb_txn_begin(db->env.mdb, NULL, MDB_RDONLY, &txn);
    if (rc)
        return logdb_mdb_error(db, rc, err, "begin read transaction");
    rc = logdb_state_load(db, txn, err);
    mdb_txn_abort(txn);
    if (rc == 0 && same_boot)
        rc = checkpoint(db, true, NULL, err);
    return rc;
}

struct log_replay {
    struct logdb *db;
    MDB_txn *txn;
};

static int replay_one(void *ctx, const struct journal_record *r, struct error *err)
{
    struct log_replay *lr = ctx;
    struct logdb *db = lr->db;
    int rc = logdb_append_entries(db, lr->txn, r->entries, r->entries_len, err);
    if (rc < 0)
        return rc;
    db->state.term = r->hard.term;
    db->state.vote = r->hard.vote;
    db->state.commit = r->hard.commit;
    db->state.journal_segment = r->end.segment;
    db->state.journal_offset = r->end.offset;
    db->recovered_batches++;
    return 0;
}

/* Open the journal and bring the log up to its end, in one transaction. */
static int replay(struct logdb *db, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/journal", db->dir);
    struct journal_options jo = {
        .host = db->host, .dir = path, .segment_bytes = db->journal_segment_bytes};
    struct journal_pos from = {db->state.journal_segment, db->state.journal_offset};
    struct logdb_txn txn;
    int rc = logdb_begin(db, &txn, err);
    if (rc < 0)
        return rc;
    struct log_replay lr = {db, txn.mdb};
    rc = journal_open(&jo, from, replay_one, &lr, &db->journal, NULL, err);
    if (rc < 0) {
        logdb_abort(&txn);
        return error_wrap(err, "journal of %s", db->dir);
    }
    /* The journal's own directory may be new: a power loss must not take it along with all segments. */
    int sync = db->host->ops->sync_dir(db->host, db->dir);
    if (sync < 0) {
        logdb_abort(&txn);
        return error_errno(err, ERR_IO, -sync, "sync %s", db->dir);
    }
    if (db->state.applied > db->state.last_index) {
        logdb_abort(&txn);
        return error_set(err, ERR_CORRUPT, "%s: applied entries are missing from the log", db->dir);
    }
    return logdb_commit(&txn, err);
}

/* Everything behind the lock. */
static int open_locked(struct logdb *db, const struct logdb_options *o, struct error *err)
{
    struct buf now, then;
    char path[LOGDB_PATH_MAX];
    uint64_t number = 0;
    struct pin_header pin = {0};
    buf_init(&now);
    buf_init(&then);
    snprintf(path, sizeof path, "%s/boot", db->dir);
    int rc = boot_identity(db, o->boot_id, &now, err);
    if (rc == 0) {
        rc = logdb_file_read(db->host, path, &then, err);
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    bool same_boot = rc == 0 && str_eq(buf_str(&now), buf_str(&then));
    if (rc == 0)
        rc = current_read(db, &number, err);
    if (rc == 0)
        rc = rewind_existing(db, number, same_boot, &pin, err);
    else if (rc == ERR_NOT_FOUND)
        rc = 0;
    /* From here on LMDB's pages may differ from the last checkpoint in ways that only the page cache
     * of this boot knows. */
    if (rc == 0 && !same_boot)
        rc = logdb_file_replace(db->host, db->dir, "boot", buf_str(&now), err);
    buf_free(&now);
    buf_free(&then);
    if (rc < 0)
        return rc;
    atomic_store(&db->numbers, MAX(number, 1u));
    if (number == 0)
        return create(db, o, err);
    /* What is removed now must not be what CURRENT names after a power loss. */
    rc = db->host->ops->sync_dir(db->host, db->dir);
    if (rc < 0)
        return error_errno(err, ERR_IO, -rc, "sync %s", db->dir);
    struct leftovers l = {db, number, err};
    if (db->host->ops->list_dir(db->host, db->dir, remove_leftover, &l) < 0)
        return error_wrap(err, "clean %s", db->dir);
    return open_existing(db, number, same_boot, &pin, err);
}

int logdb_open(const struct logdb_options *o, struct logdb **out, struct error *err)
{
    struct logdb *db = mem_zalloc(sizeof *db);
    pthread_rwlockattr_t prefer_writer;
    *out = NULL;
    db->host = o->host;
    db->dir = mem_strdup(o->dir);
    db->map_bytes = o->map_bytes;
    db->journal_segment_bytes = o->journal_segment_bytes;
    db->open_trees = o->open_trees;
    db->open_trees_ctx = o->ctx;
    db->want_commit = o->want_commit;
    db->want_commit_ctx = o->want_commit_ctx;
    db->lock_fd = -1;
    pthread_mutex_init(&db->flushed_lock, NULL);
    pthread_mutex_init(&db->write_lock, NULL);
    pthread_mutex_init(&db->checkpoint_lock, NULL);
    pthread_mutex_init(&db->pool_lock, NULL);
    pthread_mutex_init(&db->held_lock, NULL);
    pthread_cond_init(&db->held_over, NULL);
    /* Else a stream of readers could keep an installation waiting for ever. */
    pthread_rwlockattr_init(&prefer_writer);
    pthread_rwlockattr_setkind_np(&prefer_writer, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&db->env_lock, &prefer_writer);
    pthread_rwlockattr_destroy(&prefer_writer);

    int rc = 0;
    if (strlen(o->dir) > LOGDB_PATH_MAX / 2)
        rc = error_set(err, ERR_INVALID, "data directory: the path is longer than %d bytes",
                       LOGDB_PATH_MAX / 2);
    if (rc == 0 && (rc = db->host->ops->mkdir(db->host, db->dir)) < 0)
        rc = error_errno(err, ERR_IO, -rc, "create data directory %s", db->dir);
    if (rc == 0)
        rc = lock_dir(db, err);
    if (rc == 0)
        rc = open_locked(db, o, err);
    if (rc == 0)
        logdb_map_note(db);
    if (rc == 0)
        rc = replay(db, err);
    if (rc == 0)
        rc = journal_prepare(db->journal, err);
    if (rc < 0) {
        logdb_close(db);
        return rc;
    }
    db->starting = !db->is_new;
    db->found_last = db->state.last_index;
    log_info("store",
             "opened dir=%s applied=%" PRIu64 " last=%" PRIu64 " replayed=%" PRIu64 " from_pin=%d",
             db->dir, db->state.applied, db->state.last_index, db->recovered_batches,
             db->recovered_from_pin);
    *out = db;
    return 0;
}

void logdb_close(struct logdb *db)
{
    if (!db)
        return;
    logdb_pool_drain(db);
    logdb_env_close(&db->env);
    journal_close(db->journal);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    vec_free(&db->flushed);
    vec_free(&db->runs);
    pthread_mutex_destroy(&db->flushed_lock);
    pthread_mutex_destroy(&db->write_lock);
    pthread_mutex_destroy(&db->checkpoint_lock);
    pthread_mutex_destroy(&db->pool_lock);
    pthread_mutex_destroy(&db->held_lock);
    pthread_cond_destroy(&db->held_over);
    pthread_rwlock_destroy(&db->env_lock);
    mem_free(db->dir);
    mem_free(db);
}
