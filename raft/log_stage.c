/*
 * Replacing the environment by a snapshot: a second environment is built beside the live one, made
 * durable, and becomes the live one by the rename of CURRENT. See log.h.
 */
#include "raft/log_state.h"
#include "raft/sealed.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct logdb_stage {
    struct logdb *db;
    struct logdb_env env; /* in db-<n>.tmp until installed */
    struct logdb_state state;
};

int logdb_stage_begin(struct logdb *db, struct logdb_stage **out, struct error *err)
{
    struct logdb_stage *s = mem_zalloc(sizeof *s);
    char path[LOGDB_PATH_MAX];
    uint64_t number = db->env.number + 1;
    s->db = db;
    snprintf(path, sizeof path, "%s/db-%" PRIu64 ".tmp", db->dir, number);
    int rc = logdb_remove_tree(db, path, err);
    if (rc == 0 && (rc = db->host->ops->mkdir(db->host, path)) < 0)
        rc = error_errno(err, ERR_IO, -rc, "create %s", path);
    if (rc == 0)
        rc = logdb_env_open(db, path, number, false, &s->env, err);
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
    (void)s;
    int rc = mdb_txn_commit(txn);
    return rc ? error_set(err, ERR_IO, "snapshot: commit: %s", mdb_strerror(rc)) : 0;
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
    return rc;
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
    snprintf(path, sizeof path, "%s/db-%" PRIu64, db->dir, s->env.number);
    rc = db->host->ops->rename(db->host, s->env.dir, path);
    if (rc >= 0)
        rc = db->host->ops->sync_dir(db->host, db->dir);
    if (rc < 0)
        return error_errno(err, ERR_IO, -rc, "rename %s to %s", s->env.dir, path);
    mem_free(s->env.dir);
    s->env.dir = mem_strdup(path);
    return 0;
}

int logdb_stage_install(struct logdb_stage *s, const struct raft_hard_state *hard,
                        struct error *err)
{
    struct logdb *db = s->db;
    char *old_dir = mem_strdup(db->env.dir);
    pthread_mutex_lock(&db->checkpoint_lock);
    int rc = stage_seal(s, hard, err);
    if (rc == 0)
        rc = logdb_current_write(db, s->env.number, err);
    if (rc < 0) {
        pthread_mutex_unlock(&db->checkpoint_lock);
        logdb_stage_abort(s);
        mem_free(old_dir);
        return logdb_fail(db, rc);
    }
    pthread_rwlock_wrlock(&db->env_lock);
    pthread_mutex_lock(&db->write_lock);
    logdb_pool_drain(db);
    logdb_env_close(&db->env);
    db->env = s->env;
    db->generation++;
    db->state = db->on_disk = s->state;
    vec_clear(&db->runs);
    db->runs_dirty = false;
    pthread_mutex_lock(&db->flushed_lock);
    db->flushed.len = db->flushed_head = 0;
    pthread_mutex_unlock(&db->flushed_lock);
    pthread_mutex_unlock(&db->write_lock);
    pthread_rwlock_unlock(&db->env_lock);
    pthread_mutex_unlock(&db->checkpoint_lock);
    log_info("store", "snapshot installed index=%" PRIu64 " term=%" PRIu64, s->state.base_index,
             s->state.base_term);
    /* Best effort: what stays is removed at the next start. */
    struct error ignored;
    if (logdb_remove_tree(db, old_dir, &ignored) < 0)
        log_warn("store", "old environment not removed error=\"%s\"", ignored.message);
    mem_free(old_dir);
    mem_free(s);
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
    mem_free(s);
}
