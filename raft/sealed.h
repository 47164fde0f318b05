/*
 * Small records of LMDB trees under a checksum.
 *
 * LMDB has no page checksums: a bit that flips on the disk would be served as if it had been written.
 * Whatever is stored carries its own CRC: versions of keys (kvstore/record.h) and log entries
 * (raft/log.c) in formats of their own, everything else (hard state, members, leases, users, alarms,
 * …) as a sealed record:
 *
 *     crc32c:4 payload          the crc covers the record's LMDB key, then the payload
 *
 * so that a record found in a wrong place is refused as well. That a record is not lost altogether is
 * kvstore/integrity/digest.h's business.
 *
 * All functions return 0 or LMDB's codes; MDB_CORRUPTED for a record that fails its checksum.
 */
#ifndef C8S_RAFT_SEALED_H
#define C8S_RAFT_SEALED_H

#include "base/str.h"
#include <lmdb.h>

#define SEALED_HEAD 4

/* Store; replaces what is there. */
int sealed_put(MDB_txn *txn, MDB_dbi dbi, struct str key, struct str payload);
/* *payload points into the page: valid as long as the value mdb_get gives. MDB_NOTFOUND. */
int sealed_get(MDB_txn *txn, MDB_dbi dbi, struct str key, struct str *payload);
/* Check what a cursor stands on. */
int sealed_open(const MDB_val *key, const MDB_val *value, struct str *payload);

#endif
