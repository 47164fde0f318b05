/*
 * Snapshots for followers: a logical, versioned stream, made and taken in bounded pieces.
 *
 *     stream  = magic "C8SSNAP1" record* end
 *     record  = type:1 length:4 crc32c:4 payload     (little-endian; crc over type, length and payload)
 *     HEAD    revision, compact revision, format, digest (kvstore/integrity/digest.h): checked at the end
 *     META    name, value           the state machine's small values (members, names)
 *     LEASE   id, ttl
 *     VERSION key and record (kvstore/record.h), in order of revision
 *     AUTH    kind, length of name, name, value   a record of users, roles or their state (kvstore/auth/auth.h)
 *     END     number of records before
 *
 * The history holds every version since compaction, and each key's newest before it: replaying it in
 * order rebuilds `cur`, links and attachments included. The reader renews its read transaction with every
 * chunk and keeps compaction from what it still needs; the writer fills an environment beside the
 * live one, transaction by transaction (raft/log.h, logdb_stage).
 */
#ifndef C8S_KVSTORE_SNAPSHOT_H
#define C8S_KVSTORE_SNAPSHOT_H

#include "raft/node.h"

int snapshot_reader_open(void *ctx, struct raft_snapshot_reader **out,
                         struct raft_snapshot_meta *meta, struct error *err);
int snapshot_reader_read(struct raft_snapshot_reader *r, struct buf *out, size_t max, bool *end,
                         struct error *err);
void snapshot_reader_close(struct raft_snapshot_reader *r);

int snapshot_writer_begin(void *ctx, const struct raft_snapshot_meta *meta,
                          struct raft_snapshot_writer **out, struct error *err);
int snapshot_writer_write(struct raft_snapshot_writer *w, struct str chunk, struct error *err);
int snapshot_writer_finish(struct raft_snapshot_writer *w, struct error *err);
void snapshot_writer_abort(struct raft_snapshot_writer *w);
/* On the apply thread; consumes the writer. */
int snapshot_writer_install(struct raft_snapshot_writer *w, const struct raft_hard_state *hard,
                            struct error *err);
/* In kv_open, for a member that keeps its log and hard state; consumes the writer. */
int snapshot_writer_replace_state(struct raft_snapshot_writer *w, struct error *err);

struct kv;
/* Up to which log index may be trimmed, for those who are sent a snapshot: they need what came since. Any thread. */
uint64_t snapshot_log_limit(struct kv *kv);

#endif
