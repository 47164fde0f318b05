/*
 * Replacing the environment by a snapshot: a second environment is built beside the live one, made
 * durable, and becomes the live one by the rename of CURRENT. See log.h.
 */
#include "raft/log_state.h"
#include "raft/sealed.h"
#include "base/crash_point.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <string.h>

struct logdb_stage {
    struct logdb *db;
    struct logdb_env env; /* in db-<n>.tmp until installed */
    struct logdb_state state;
    VEC(struct raft_term_run) runs; /* of the part of the log that stays */
};

int logdb_stage_begin(struct logdb *db, struct logdb_stage **out, struct error *err)
{
    struct logdb_stage *s = mem_zalloc(sizeof *s);
    char path[LOGDB_PATH_MAX];
    uint64_t number = atomic_fetch_add(&db->numbers, 1) + 1;
    s->db = db;
    snprintf(path, sizeof path, "%s/db-%" PRIu64 ".tmp", db->dir, number);
    int rc = logdb_remove_tree(db, path, err);
    if (rc == 0 && (rc = db->host->ops->mkdir(db->host, path)) < 0)
        rc = error_errno(err, ERR_IO, -rc, "create %s", path);
    if (rc == 0)
        rc = logdb_env_open(db, path, number, false, &s->env, err);
    CRASH_POINT(stage_begun);
    if (rc < 0) {
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

int logdb_stage_txn(struct logdb_stage *s, MDB_txn **txn, struct error *err)
{
    int rc = mdb_txn_begin(s->env.mdb, NULL, 0, txn);
    return rc ? error_set(err, ERR_IO, "snapshot: begin transaction: %s", mdb_strerror(rc)) : 0;
}

int logdb_stage_commit(struct logdb_stage *s, MDB_txn *txn, struct error *err)
{
    CRASH_POINT(stage_commit_before);
    int rc = mdb_txn_commit(txn);
    CRASH_POINT(stage_commit_after);
    if (rc)
        return error_set(err, ERR_IO, "snapshot: commit: %s", mdb_strerror(rc));
    return logdb_write_back(s->env.mdb, err);
}

/* Put a record into the stage's meta tree. */
static int put_meta(struct logdb_stage *s, MDB_txn *txn, const char *key, const void *p, size_t n,
                    struct error *err)
{
    int rc = sealed_put(txn, s->env.meta, str_from(key), str_make(p, n));
    return rc ? error_set(err, ERR_IO, "snapshot: put %s: %s", key, mdb_strerror(rc)) : 0;
}

int logdb_stage_finish(struct logdb_stage *s, const struct raft_snapshot_meta *meta,
                       struct error *err)
{
    MDB_txn *txn;
    struct buf config;
    s->state = (struct logdb_state){.commit = meta->index,
                                    .applied = meta->index,
                                    .base_index = meta->index,
                                    .base_term = meta->term,
                                    .last_index = meta->index};
    int rc = logdb_stage_txn(s, &txn, err);
    if (rc < 0)
        return rc;
    buf_init(&config);
    raft_config_encode(&meta->config, &config);
    rc = put_meta(s, txn, "config", config.data, config.len, err);
    buf_free(&config);
    if (rc == 0)
        rc = put_meta(s, txn, "state", &s->state, sizeof s->state, err);
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = logdb_stage_commit(s, txn, err);
    if (rc == 0 && (rc = mdb_env_sync(s->env.mdb, 1)) != 0)
        rc = error_set(err, ERR_IO, "snapshot: flush: %s", mdb_strerror(rc));
    CRASH_POINT(stage_finished);
    return rc;
}

/* The runs of (from, last]. */
static void keep_runs(struct logdb_stage *s, uint64_t from)
{
    struct logdb *db = s->db;
    for (size_t i = 0; i < db->runs.len; i++) {
        struct raft_term_run run = db->runs.items[i];
        if (i + 1 < db->runs.len && db->runs.items[i + 1].index <= from + 1)
            continue;
        run.index = MAX(run.index, from + 1);
        vec_push(&s->runs, run);
    }
}

int logdb_stage_keep_log(struct logdb_stage *s, const struct raft_snapshot_meta *meta,
                         struct error *err)
{
    struct logdb *db = s->db;
    const struct logdb_state *now = &db->on_disk;
    MDB_txn *source, *target;
    if (meta->index < now->base_index)
        return error_set(err, ERR_UNAVAILABLE,
                         "the snapshot is of entry %" PRIu64 ", the log begins behind %" PRIu64,
                         meta->index, now->base_index);
    if (meta->index >= now->last_index)
        return 0; /* it covers the log */
    if (logdb_term_at(db, meta->index) != meta->term)
        /* What is behind contradicts what is committed: it never was, and never will be. */
        return meta->index > now->commit
                   ? 0
                   : error_set(err, ERR_CORRUPT,
                               "log entry %" PRIu64 " is of another term than the cluster's",
                               meta->index);
    int rc = logdb_read_begin(db, &source, err);
    if (rc < 0)
        return rc;
    rc = logdb_stage_txn(s, &target, err);
    if (rc == 0) {
        rc = logdb_copy_entries(db, source, target, s->env.log, meta->index, now->last_index, err);
        keep_runs(s, meta->index);
        s->state.last_index = now->last_index;
        if (rc == 0)
            rc = put_meta(s, target, "runs", s->runs.items, s->runs.len * sizeof *s->runs.items,
                          err);
        if (rc == 0)
            rc = logdb_stage_commit(s, target, err);
        else
            mdb_txn_abort(target);
    }
    logdb_read_end(db, source);
    if (rc != ERR_CORRUPT)
        return rc;
    error_wrap(err,
               "the log behind the snapshot's entry %" PRIu64 " is damaged, one of %" PRIu64
               " or later is needed",
               meta->index, now->last_index);
    if (err)
        err->code = ERR_UNAVAILABLE;
    return ERR_UNAVAILABLE;
}

/* Hard state and the journal's end into the stage, all durable, pinned, under its final name. */
static int stage_seal(struct logdb_stage *s, const struct raft_hard_state *hard, struct error *err)
{
    struct logdb *db = s->db;
    struct journal_pos end = journal_end(db->journal);
    MDB_txn *txn;
    s->state.term = hard->term;
    s->state.vote = hard->vote;
    s->state.commit = MAX(hard->commit, s->state.applied);
    s->state.journal_segment = end.segment;
    s->state.journal_offset = end.offset;
    int rc = logdb_stage_txn(s, &txn, err);
    if (rc < 0)
        return rc;
    rc = put_meta(s, txn, "state", &s->state, sizeof s->state, err);
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = logdb_stage_commit(s, txn, err);
    if (rc < 0)
        return rc;
    if ((rc = mdb_env_sync(s->env.mdb, 1)) != 0)
        return error_set(err, ERR_IO, "snapshot: flush: %s", mdb_strerror(rc));

    char *pages;
    size_t len;
    rc = logdb_pin_take(db, &s->env, &s->env.pin, &pages, &len, err);
    if (rc < 0)
        return rc;
    s->env.pin_txnid = mdb_txn_id(s->env.pin);
    rc = logdb_pin_write(db, &s->env, s->env.pin_txnid, pages, len, err);
    mem_free(pages);
    if (rc < 0)
        return rc;
    char path[LOGDB_PATH_MAX];
    CRASH_POINT(stage_sealed);
    snprintf(path, sizeof path, "%s/db-%" PRIu64, db->dir, s->env.number);
    rc = db->host->ops->rename(db->host, s->env.dir, path);
    CRASH_POINT(stage_renamed);
    if (rc >= 0)
        rc = db->host->ops->sync_dir(db->host, db->dir);
    if (rc < 0)
        return error_errno(err, ERR_IO, -rc, "rename %s to %s", s->env.dir, path);
    mem_free(s->env.dir);
    s->env.dir = mem_strdup(path);
    return 0;
}

static void stage_free(struct logdb_stage *s)
{
    vec_free(&s->runs);
    mem_free(s);
}

int logdb_stage_install(struct logdb_stage *s, const struct raft_hard_state *hard,
                        struct error *err)
{
    struct logdb *db = s->db;
    pthread_mutex_lock(&db->checkpoint_lock);
    char *old_dir = mem_strdup(db->env.dir); /* defragmentation changes it under the same lock */
    int rc = stage_seal(s, hard, err);
    CRASH_POINT(stage_current_before);
    if (rc == 0)
        rc = logdb_current_write(db, s->env.number, err);
    CRASH_POINT(stage_current_after);
    if (rc < 0) {
        pthread_mutex_unlock(&db->checkpoint_lock);
        /* The directory stays: a rename whose flush failed may have made it the one that CURRENT names. The
         * next start removes it if not. */
        logdb_env_close(&s->env);
        stage_free(s);
        mem_free(old_dir);
        return logdb_fail(db, rc);
    }
    pthread_mutex_lock(&db->write_lock);
    pthread_rwlock_wrlock(&db->env_lock);
    logdb_pool_drain(db);
    logdb_env_close(&db->env);
    db->env = s->env;
    db->generation++;
    logdb_map_note(db);
    db->state = db->on_disk = s->state;
    vec_clear(&db->runs);
    for (size_t i = 0; i < s->runs.len; i++)
        vec_push(&db->runs, s->runs.items[i]);
    db->runs_dirty = false;
    pthread_mutex_lock(&db->flushed_lock);
    db->flushed.len = db->flushed_head = 0;
    pthread_mutex_unlock(&db->flushed_lock);
    pthread_rwlock_unlock(&db->env_lock);
    pthread_mutex_unlock(&db->write_lock);
    pthread_mutex_unlock(&db->checkpoint_lock);
    log_info("store", "snapshot installed index=%" PRIu64 " term=%" PRIu64, s->state.base_index,
             s->state.base_term);
    CRASH_POINT(stage_swapped);
    /* Best effort: what stays is removed at the next start. */
    struct error ignored;
    if (logdb_remove_tree(db, old_dir, &ignored) < 0)
        log_warn("store", "old environment not removed error=\"%s\"", ignored.message);
    CRASH_POINT(stage_old_removed);
    mem_free(old_dir);
    stage_free(s);
    return 0;
}

void logdb_stage_abort(struct logdb_stage *s)
{
    if (!s)
        return;
    struct logdb *db = s->db;
    struct error ignored;
    char *dir = mem_strdup(s->env.dir);
    logdb_env_close(&s->env);
    if (logdb_remove_tree(db, dir, &ignored) < 0)
        log_warn("store", "staged snapshot not removed error=\"%s\"", ignored.message);
    mem_free(dir);
    stage_free(s);
}

/* ---- marks ---- */

int logdb_mark(struct logdb *db, const char *name, struct str text, struct error *err)
{
    return logdb_file_replace(db->host, db->dir, name, text, err);
}

int logdb_marked(struct logdb *db, const char *name, struct buf *text, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", db->dir, name);
    return logdb_file_read(db->host, path, text, err);
}

int logdb_unmark(struct logdb *db, const char *name, struct error *err)
{
    char path[LOGDB_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", db->dir, name);
    int rc = db->host->ops->unlink(db->host, path);
    rc = rc == -ENOENT ? 0 : rc;
    if (rc >= 0)
        rc = db->host->ops->sync_dir(db->host, db->dir);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "remove %s", path) : 0;
}

/* LMDB does not tell where it has mapped its file. */
void logdb_map_note(struct logdb *db)
{
    char line[2 * LOGDB_PATH_MAX];
    mdb_filehandle_t fd;
    struct stat st;
    FILE *maps = fopen("/proc/self/maps", "re");
    atomic_store(&db->map, NULL);
    mdb_env_get_fd(db->env.mdb, &fd);
    if (maps && fstat(fd, &st) == 0)
        while (fgets(line, sizeof line, maps)) {
            unsigned long from, inode;
            unsigned dev[2];
            if (sscanf(line, "%lx-%*x %*s %*x %x:%x %lu", &from, &dev[0], &dev[1], &inode) == 4 &&
                inode == st.st_ino && makedev(dev[0], dev[1]) == st.st_dev) {
                atomic_store(&db->map, (const char *)from);
                break;
            }
        }
    if (maps)
        fclose(maps);
}

void logdb_read_ahead(struct logdb *db)
{
    char *map = (char *)atomic_load(&db->map);
    db->starting = false;
    if (map && madvise(map, db->map_bytes, MADV_NORMAL) < 0)
        log_warn("store", "no read-ahead for data.mdb errno=%d", errno);
}

bool logdb_in_map(const struct logdb *db, const void *address)
{
    const char *map = atomic_load(&db->map), *at = address;
    return map && at >= map && at < map + db->map_bytes;
}

void logdb_hard_state(struct logdb *db, struct raft_hard_state *out)
{
    logdb_lock_writes(db);
    *out = (struct raft_hard_state){db->on_disk.term, db->on_disk.vote, db->on_disk.commit};
    pthread_mutex_unlock(&db->write_lock);
}
