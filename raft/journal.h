/*
 * The journal: what makes a member's promises durable, with one flush per batch.
 *
 * A directory of preallocated segment files, `<sequence, 16 hex digits>.seg`. Each holds a chain of
 * records; a record is one persist batch of the consensus core (hard state and entries), so a batch is
 * recovered whole or not at all.
 *
 *     segment:  header (64 bytes) │ record │ record │ … │ zeros, or what a recycled file held before
 *     record:   crc │ previous crc │ length │ kind, version │ flushed │ reserved │ payload, padded to 8
 *
 *   - `crc` covers the record and is seeded with the segment's random salt and the record's offset, so
 *     bytes of another segment, or of the file's earlier life, never pass for a record.
 *   - `previous crc` chains the records of a segment; a segment's header holds the last crc of the one
 *     before, which chains the segments.
 *   - `flushed` is the offset below which everything was durable when the record was written. A batch
 *     is only written once the one before is flushed, so at the end of the journal a damaged record is a
 *     torn write, unless a later record says that it had been flushed: then the disk lost
 *     acknowledged data, and opening fails with ERR_CORRUPT instead of forgetting a promise.
 *
 * Segments are written full of zeros when made and are recycled afterwards, so that a flush never has
 * to write file system metadata. They are recycled only behind a checkpoint (journal_release).
 *
 * After a failed write or flush the journal refuses everything (nothing is known about the pages that
 * failed, and retrying an fsync may report success for data that was dropped): the caller stops.
 *
 * Threads: append and flush on one thread at a time (the journal thread); journal_release and
 * journal_prepare on one other (the checkpoint thread); open and close with nobody else about.
 */
#ifndef C8S_RAFT_JOURNAL_H
#define C8S_RAFT_JOURNAL_H

#include "base/error.h"
#include "raft/entry.h"
#include "raft/host.h"

struct journal;

/* A place between two records; ordered by segment, then offset. */
struct journal_pos {
    uint64_t segment; /* sequence number, ≥ 1; 0: before everything */
    uint64_t offset;  /* bytes */
};

static inline int journal_pos_cmp(struct journal_pos a, struct journal_pos b)
{
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    return a.offset < b.offset ? -1 : a.offset > b.offset;
}

struct journal_options {
    struct host *host;
    const char *dir;        /* created when absent */
    uint64_t segment_bytes; /* 0: 16 MiB; a bigger record gets a segment of its own size */
};

/* One batch as it was appended; `end` is the position after it. Entries' data may be referenced. */
struct journal_record {
    struct raft_hard_state hard;
    const struct raft_entry *entries;
    size_t entries_len;
    struct journal_pos end;
};

/* Sees each record behind `from` in order; a value ≠ 0 stops opening with that code. */
typedef int journal_replay_fn(void *ctx, const struct journal_record *record, struct error *err);

/*
 * Open, check the chain, replay what lies behind `from` (which must be a position handed out before,
 * or {0, 0}), and cut a torn tail off. The surviving tail is written and flushed again before anything
 * is reported durable, since a crash may have left it in the page cache only. *discarded, if not NULL,
 * says how many bytes of torn tail were dropped.
 *
 * ERR_CORRUPT: `from` is not there, a flushed record is damaged, or a segment is missing.
 */
int journal_open(const struct journal_options *options, struct journal_pos from,
                 journal_replay_fn *replay, void *ctx, struct journal **out, uint64_t *discarded,
                 struct error *err);
void journal_close(struct journal *j);

/* Encode a batch into memory; durable after the next journal_flush. */
void journal_append(struct journal *j, const struct raft_hard_state *hard,
                    const struct raft_entry *entries, size_t entries_len);
/* Write and flush everything appended: one write and one fdatasync (two when a segment fills up). */
int journal_flush(struct journal *j, struct error *err);

/* The end of what is flushed; any thread. */
struct journal_pos journal_end(struct journal *j);
/* Bytes flushed since the journal was opened; any thread. */
uint64_t journal_bytes(struct journal *j);

/* Everything before `pos` is in a flushed checkpoint: recycle the segments that end before it. */
int journal_release(struct journal *j, struct journal_pos pos, struct error *err);
/* Have a spare segment ready, so that journal_flush does not have to make one. */
int journal_prepare(struct journal *j, struct error *err);

#endif
