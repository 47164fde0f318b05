/*
 * Whoever changes a record of the environment says so, before or after, within the same transaction: while a copy of the
 * environment is being made (raft/log_defrag.c), what was copied already is copied again. Costs a look at a pointer
 * otherwise.
 */
#ifndef C8S_RAFT_LOG_TOUCH_H
#define C8S_RAFT_LOG_TOUCH_H

#include <lmdb.h>

void logdb_touched(void *copy, MDB_dbi dbi, const MDB_val *key);

static inline void logdb_touch(MDB_txn *txn, MDB_dbi dbi, const MDB_val *key)
{
    void *copy = mdb_env_get_userctx(mdb_txn_env(txn));
    if (copy)
        logdb_touched(copy, dbi, key);
}

#endif
