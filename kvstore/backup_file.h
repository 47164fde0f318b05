/*
 * A snapshot file, mapped. Inside backup_file.c and restore.c.
 */
#ifndef C8S_KVSTORE_BACKUP_FILE_H
#define C8S_KVSTORE_BACKUP_FILE_H

#include "kvstore/bolt.h"

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

#endif
