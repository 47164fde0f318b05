/*
 * How etcd keeps its state in a bbolt file: bucket names, keys and values (its storage schema as of 3.4 to 3.6).
 *
 *     key              revision key (below)     mvccpb.KeyValue; of a deletion just the key
 *     meta             consistent_index, term   8 bytes big-endian: log index and term applied
 *                      confState                raft's configuration, JSON
 *                      scheduledCompactRev, finishedCompactRev      a revision key
 *                      storageVersion           "3.6.0"
 *     lease            id, 8 bytes big-endian   leasepb.Lease
 *     alarm            etcdserverpb.AlarmMember (empty)
 *     auth             authEnabled, authRevision                    authUsers, authRoles: by name
 *     members          id in hexadecimal        JSON
 *     members_removed, cluster                  present, empty: whoever restores founds a cluster anew
 *
 *     revision key = revision:8 '_' number within it:8 ['t' for a deletion]    (big-endian)
 */
#ifndef C8S_KVSTORE_BACKUP_SCHEMA_H
#define C8S_KVSTORE_BACKUP_SCHEMA_H

#include "base/buf.h"
#include "kvstore/alarm.h"
#include "kvstore/record.h"

#define SCHEMA_REV_KEY 17u     /* bytes of a revision key */
#define SCHEMA_REV_KEY_MAX 18u /* of a deletion's */
#define SCHEMA_STORAGE_VERSION "3.6.0"

struct schema_rev {
    struct kv_revid id;
    bool tombstone;
};

/* Writes SCHEMA_REV_KEY or, with `tombstone`, one byte more; returns how many. */
size_t schema_rev_key(char out[SCHEMA_REV_KEY_MAX], struct kv_revid id, bool tombstone);
/* ERR_CORRUPT. */
int schema_rev_read(struct str in, struct schema_rev *out, struct error *err);

/* The record's value in `key`, appended to `out`. r->key must be set. */
void schema_kv_write(const struct kv_record *r, struct buf *out);
/* And back: key, value (pointing into `in`), create_rev, version, lease; *mod_rev as it says. Unknown fields are
 * passed over. ERR_CORRUPT. */
int schema_kv_read(struct str in, struct kv_record *out, int64_t *mod_rev, struct error *err);

struct schema_lease {
    int64_t id, ttl_s, remaining_s; /* remaining 0: not checkpointed */
};
void schema_lease_write(const struct schema_lease *l, struct buf *out);
int schema_lease_read(struct str in, struct schema_lease *out, struct error *err);

void schema_alarm_write(const struct kv_alarm *a, struct buf *out);
int schema_alarm_read(struct str in, struct kv_alarm *out, struct error *err);

/* 8 bytes big-endian. */
void schema_be64(char out[8], uint64_t v);
bool schema_be64_read(struct str in, uint64_t *out);

#endif
