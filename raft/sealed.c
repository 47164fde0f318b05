/*
 * Sealed records (raft/sealed.h).
 */
#include "raft/sealed.h"
#include "raft/log_touch.h"
#include "base/encode.h"
#include <stdint.h>
#include <string.h>

int sealed_put(MDB_txn *txn, MDB_dbi dbi, struct str key, struct str payload)
{
    MDB_val k = {key.n, (void *)key.p}, v = {SEALED_HEAD + payload.n, NULL};
    uint32_t crc = crc32c(crc32c(0, key.p, key.n), payload.p, payload.n);
    logdb_touch(txn, dbi, &k);
    int rc = mdb_put(txn, dbi, &k, &v, MDB_RESERVE);
    if (rc)
        return rc;
    memcpy(v.mv_data, &crc, sizeof crc);
    if (payload.n)
        memcpy((char *)v.mv_data + SEALED_HEAD, payload.p, payload.n);
    return 0;
}

int sealed_open(const MDB_val *key, const MDB_val *value, struct str *payload)
{
    uint32_t crc;
    if (value->mv_size < SEALED_HEAD)
        return MDB_CORRUPTED;
    memcpy(&crc, value->mv_data, sizeof crc);
    *payload = str_make((char *)value->mv_data + SEALED_HEAD, value->mv_size - SEALED_HEAD);
    return crc == crc32c(crc32c(0, key->mv_data, key->mv_size), payload->p, payload->n)
               ? 0
               : MDB_CORRUPTED;
}

int sealed_get(MDB_txn *txn, MDB_dbi dbi, struct str key, struct str *payload)
{
    MDB_val k = {key.n, (void *)key.p}, v;
    int rc = mdb_get(txn, dbi, &k, &v);
    return rc ? rc : sealed_open(&k, &v, payload);
}
