/*
 * One version of one key, as stored.
 *
 * The same record is in `cur` (under its key, the newest version only) and in `hist` (under its
 * revision, every version since compaction, with the key in it):
 *
 *     crc32c:4  flags:1  varints: mod_rev sub depth, [create_rev version [lease]], prev, jump, key length
 *     key  value (the rest)
 *
 * prev leads to the key's version before; jump further back: with depth = how many versions lie behind,
 * the jump goes to depth d − w, w the last weight (2^k − 1) of d's skew-binary representation. A walk
 * to any past revision then takes O(log versions) steps, and a new version finds its jump from its
 * predecessor with at most one lookup (E. Myers, An applicative random-access stack, 1983).
 * Links may lead to versions that compaction has removed; their revision is in the link, so nobody
 * needs to follow one to find that out.
 */
#ifndef C8S_KVSTORE_RECORD_H
#define C8S_KVSTORE_RECORD_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Revision and number within the revision; identifies a version. */
struct kv_revid {
    int64_t rev; /* 0: none */
    uint32_t sub;
};

static inline bool revid_eq(struct kv_revid a, struct kv_revid b)
{
    return a.rev == b.rev && a.sub == b.sub;
}

static inline bool revid_less(struct kv_revid a, struct kv_revid b)
{
    return a.rev != b.rev ? a.rev < b.rev : a.sub < b.sub;
}

struct kv_record {
    struct kv_revid id; /* mod_rev and sub */
    struct kv_revid prev, jump;
    uint32_t depth;
    bool tombstone; /* a deletion: create_rev, version, lease are 0, the value is empty */
    int64_t create_rev;
    int64_t version;
    int64_t lease;
    uint32_t crc;   /* of the stored form; set by kv_record_read */
    struct str key; /* empty in `cur` */
    struct str value;
};

#define KV_RECORD_HEAD_MAX 128 /* bytes of an encoded record without key and value */

/* Bytes that kv_record_write will need. */
size_t kv_record_size(const struct kv_record *r);
/* Encode into p (kv_record_size bytes). `seed`: the bytes under which it is stored go into the checksum, so
 * that a record found in a wrong place is refused. */
void kv_record_write(const struct kv_record *r, struct str seed, char *p, size_t size);
/* Decode; key and value point into `in`. ERR_CORRUPT when the checksum or the form is wrong. */
int kv_record_read(struct str in, struct str seed, struct kv_record *out, struct error *err);
/* The same without the checksum: for bytes that are known to be right. */
int kv_record_parse(struct str in, struct kv_record *out, struct error *err);

/* Where the jump of a version at `depth` leads: a smaller depth. depth ≥ 1. */
uint32_t kv_jump_depth(uint32_t depth);

#endif
