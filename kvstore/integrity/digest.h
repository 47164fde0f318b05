/*
 * Digests of the stored state: how a member notices that it lost something it did not read.
 *
 * Checksums find a record that changed. They do not find one that is gone: LMDB has no page checksums, and
 * a damaged page header or branch loses keys without a word. So each transaction also keeps, with the
 * state, sums over what is stored, and a walk in the background (kvstore/integrity/integrity.h) compares them with
 * what it finds.
 *
 *     live[slot]   every key's newest version if it is no deletion; equal on members at the same revision
 *     leases       the lease tree          attached   the lease_key tree; equal on members, too
 *     added        every version appended to `hist`, less what compaction removed (which has its own
 *                  pace on each member, and its own record, struct mvcc_compaction)
 *
 * Each is a sum modulo 2^64 of one mixed number per record, so that adding, replacing and removing cost
 * the same wherever they happen and the order does not matter. `live` hashes what clients see (key,
 * revisions, version, lease, value), never the links, which depend on how far compaction has come. The
 * others hash the records' own checksums.
 *
 * A key's slot depends on what comes before its last '/', so that a difference names a kind of keys.
 */
#ifndef C8S_KVSTORE_INTEGRITY_DIGEST_H
#define C8S_KVSTORE_INTEGRITY_DIGEST_H

#include "base/str.h"
#include "kvstore/record.h"

#define DIGEST_SLOTS 16

/* Part of struct mvcc_state, stored with it (little-endian). */
struct digest {
    uint64_t live[DIGEST_SLOTS];
    uint64_t live_keys; /* how many versions `live` counts */
    uint64_t leases, attached;
    uint64_t added, added_versions;
};

unsigned digest_slot(struct str key);
/* What one live version adds to its slot. */
uint64_t digest_live(struct str key, const struct kv_record *r);
/* What a stored version adds to `added`: from its checksum. */
uint64_t digest_stored(uint32_t crc, struct kv_revid id);
/* What a sealed record (raft/sealed.h) adds: from the checksum at its beginning. */
uint64_t digest_sealed(const void *record);

/* A key's newest version changes from `prev` to `now` (NULL: none; deletions count as none). */
void digest_change(struct digest *d, struct str key, const struct kv_record *prev,
                   const struct kv_record *now);

/* One number for everything that is equal on members at the same revision. */
uint64_t digest_shared(const struct digest *d);
/* Are the shared parts equal? */
bool digest_agrees(const struct digest *a, const struct digest *b);

#endif
