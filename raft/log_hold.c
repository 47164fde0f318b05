/*
 * A write transaction kept open over several batches (logdb_hold in log.h), and how others get it
 * committed when they need what is in it.
 */
#include "raft/log_state.h"
#include <assert.h>

bool logdb_hold(struct logdb_txn *txn)
{
    struct logdb *db = txn->db;
    assert(db->want_commit);
    if (!atomic_load(&db->held)) {
        db->holder = pthread_self();
        atomic_store(&db->held, true);
    }
    return atomic_load(&db->wanted) == 0;
}

bool logdb_is_held(const struct logdb *db)
{
    return atomic_load(&db->held);
}

void logdb_hold_visit(struct logdb *db, bool begin)
{
    assert(atomic_load(&db->held));
    pthread_mutex_lock(&db->held_lock);
    assert(db->visited != begin);
    db->visited = begin;
    db->visitor = pthread_self();
    pthread_mutex_unlock(&db->held_lock);
}

bool logdb_commit_wanted(const struct logdb *db)
{
    return atomic_load(&db->wanted) > 0;
}

void logdb_hold_over(struct logdb *db)
{
    if (!atomic_load(&db->held))
        return;
    pthread_mutex_lock(&db->held_lock);
    atomic_store(&db->held, false);
    db->holds++;
    pthread_cond_broadcast(&db->held_over);
    pthread_mutex_unlock(&db->held_lock);
}

/* `wanted` has been raised. */
static void ask_and_wait(struct logdb *db)
{
    pthread_mutex_lock(&db->held_lock);
    uint64_t hold = db->holds;
    bool held = atomic_load(&db->held), ours = held && pthread_equal(db->holder, pthread_self());
    /* In the midst of changes: there is nothing that it could be given. */
    bool visiting = db->visited && pthread_equal(db->visitor, pthread_self());
    pthread_mutex_unlock(&db->held_lock);
    if (visiting)
        return;
    if (held)
        db->want_commit(db->want_commit_ctx, ours);
    if (!held || ours)
        return;
    pthread_mutex_lock(&db->held_lock);
    while (atomic_load(&db->held) && db->holds == hold)
        pthread_cond_wait(&db->held_over, &db->held_lock);
    pthread_mutex_unlock(&db->held_lock);
}

void logdb_await_commit(struct logdb *db)
{
    /* Whoever knows of a change that is held has been told by the holder, after this was set. */
    if (!atomic_load(&db->held))
        return;
    atomic_fetch_add(&db->wanted, 1);
    ask_and_wait(db);
    atomic_fetch_sub(&db->wanted, 1);
}

void logdb_lock_writes(struct logdb *db)
{
    atomic_fetch_add(&db->wanted, 1);
    ask_and_wait(db);
    pthread_mutex_lock(&db->write_lock);
    atomic_fetch_sub(&db->wanted, 1);
}
