/*
 * Backups: the store's state at one revision as a file in etcd's schema, and back.
 *
 *     live store ── kv_backup ──▶ bbolt file (+ SHA-256) ── kv_restore ──▶ a new data directory
 *                                   ▲     │
 *                         etcd 3.4–3.6    └──▶ etcdctl / etcdutl snapshot restore ──▶ etcd
 *
 * The file's form is bolt/bolt.h's and kvstore/backup/schema.h's. A snapshot ends in the SHA-256 of all before it; a
 * database copied out of etcd's data directory does not, and is taken with skip_hash_check.
 */
#ifndef C8S_KVSTORE_BACKUP_BACKUP_H
#define C8S_KVSTORE_BACKUP_BACKUP_H

#include "kvstore/kv.h"

struct kv_backup_info {
    int64_t rev;
    uint64_t bytes;   /* of the file, without the hash */
    uint64_t entries; /* of the bucket `key` */
};

/*
 * Write the state as of now into `fd`, an empty file, without the hash. Blocks, for as long as it takes: goes in read
 * transactions of at most 20 ms with pauses between them, compaction leaves alone what is still to be read, and
 * memory stays bounded (by the leases, users and roles, and the longest value). Not on a loop's thread.
 * *stop (may be NULL) ends it with ERR_CANCELLED. ERR_LIMIT: no room for it on the file's disk.
 */
int kv_backup(struct kv *kv, int fd, const atomic_bool *stop, struct kv_backup_info *out,
              struct error *err);
/* An unnamed empty file in the data directory, for kv_backup. < 0: an ERR_*. */
int kv_backup_file(struct kv *kv, struct error *err);

struct kv_restore_options {
    const char *file;
    const struct kv_options *kv; /* data_dir (absent or empty), name, members, cluster_token, … */
    bool skip_hash_check;
    uint64_t bump_revision; /* the new store's revision lies this much higher */
    bool mark_compacted;    /* and everything up to it counts as compacted */
};

struct kv_restore_info {
    int64_t rev, compact_rev;
    uint64_t versions, leases;
};

/*
 * Make a data directory of a founding member out of a snapshot: keys with their history, leases, alarms, users and
 * roles. Built beside data_dir, renamed at the end: there is either all of it or nothing. ERR_EXISTS: data_dir is not
 * empty; ERR_CORRUPT: the file is damaged, or its hash wrong; ERR_UNSUPPORTED: not such a file; ERR_IO.
 */
int kv_restore(const struct kv_restore_options *o, struct kv_restore_info *out, struct error *err);

#endif
