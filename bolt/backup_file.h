/*
 * A snapshot as etcd's tools save it: a bbolt file and the SHA-256 of all of it. Opened (mapped), its hash checked, and
 * what `snapshot status` says of it. What its buckets mean is kvstore/backup/schema.h's.
 */
#ifndef C8S_BOLT_BACKUP_FILE_H
#define C8S_BOLT_BACKUP_FILE_H

#include "bolt/bolt.h"

#define BACKUP_HASH_BYTES 32 /* SHA-256, at the end of a snapshot */

struct backup_file {
    void *map;
    size_t map_bytes;
    bool has_hash; /* by its length */
    struct bolt bolt;
};

/* ERR_NOT_FOUND, ERR_UNSUPPORTED (empty), ERR_CORRUPT (no bbolt file), ERR_IO. */
int backup_file_open(const char *path, struct backup_file *out, struct error *err);
void backup_file_close(struct backup_file *f);
/* ERR_CORRUPT: no hash, or a wrong one. */
int backup_file_verify(const struct backup_file *f, struct error *err);

struct backup_status {
    uint32_t hash; /* CRC-32C over all buckets' names, keys and values */
    int64_t revision;
    uint64_t total_keys, total_bytes; /* entries in all buckets; the file's pages */
    char version[32];                 /* storage version; "" before 3.6 */
};
/* What etcd's `snapshot status` says of a file. Reads all of it; checks the hash at its end, if there is one. */
int backup_file_status(const char *path, struct backup_status *out, struct error *err);

#endif
