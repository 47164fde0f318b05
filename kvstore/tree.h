/*
 * The `cur` tree: byte-string keys of any length in LMDB, whose keys are at most 511 bytes, in byte order.
 *
 * Keys are cut into chunks of 490 bytes. A node is a key space of its own inside the tree:
 *
 *     root node    00 ‖ chunk                  → record
 *     other nodes  01 ‖ node id:8 ‖ chunk      → record
 *     any node     … ‖ full chunk ‖ 01         → "the rest is in node <id>" (8 bytes, sealed)
 *
 * A key that ends exactly with a full chunk sorts directly before the pointer behind that chunk, as it
 * must. Nearly all keys are shorter than one chunk and cost one byte more than themselves.
 */
#ifndef C8S_KVSTORE_TREE_H
#define C8S_KVSTORE_TREE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include <lmdb.h>

#define TREE_CHUNK 490u
#define TREE_KEY_MAX 511u /* LMDB's limit, checked against the above when compiled */

/* The record under `key`: LMDB's code (MDB_NOTFOUND). */
int tree_get(MDB_txn *txn, MDB_dbi dbi, struct str key, MDB_val *value);
/* Room for `size` bytes under `key`, new or replaced; fill *place before the next call. *next_node: the next free
 * node id, kept by the caller with the state. */
int tree_reserve(MDB_txn *txn, MDB_dbi dbi, MDB_cursor *c, struct str key, size_t size,
                 void **place, uint64_t *next_node);
/* Remove `key` and the nodes that become empty. MDB_NOTFOUND when absent. */
int tree_delete(MDB_txn *txn, MDB_dbi dbi, struct str key);

struct tree_level {
    uint64_t node;
    size_t prefix; /* bytes of the key that lead here */
};

/* A walk in key order. After any change through other calls, seek again. */
struct tree_iter {
    MDB_cursor *cursor; /* the caller's */
    struct str key;     /* of the present entry; valid until the next move */
    MDB_val value;
    struct buf prefix; /* chunks that lead to the present node */
    struct tree_level *levels;
    size_t depth, cap; /* depth 0: in the root node */
    MDB_val raw;       /* LMDB's key of the present entry */
    struct buf assembled;
};

void tree_iter_init(struct tree_iter *it, MDB_cursor *cursor);
void tree_iter_free(struct tree_iter *it); /* not the cursor */
/* To the first entry ≥ key, or to the next one: 0, MDB_NOTFOUND at the end, or another LMDB code. */
int tree_seek(struct tree_iter *it, struct str key);
int tree_next(struct tree_iter *it);

#endif
