/*
 * The journal's segments, records, recovery and recycling; the format is described in journal.h.
 *
 * State on disk, by file name: `<sequence>.seg` up to the current one hold the chain; the one after
 * the current may exist already, prepared (its header does not carry its sequence yet, so it does not
 * count as begun); `spare-<n>` are empty segments kept for preparing.
 */
#include "raft/journal.h"
#include "base/crash_point.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT_MAGIC "C8SJRNL1"
#define SEGMENT_HEADER 64u
#define RECORD_MAGIC 0x52533843u /* "C8SR" */
#define RECORD_HEADER 32u
#define RECORD_KIND_BATCH 1
#define SEGMENT_BYTES_DEFAULT (16u << 20)
#define SEGMENT_BYTES_MIN 4096u
#define ZERO_CHUNK 4096u /* small writes make small folios: a flush then touches what it must */
#define SPARES_MAX 2
#define BATCH_FIXED 36u /* term, vote, commit, first index, count */
#define ENTRY_FIXED 13u /* term, kind, length + 1 */

struct segment_header {
    char magic[8];
    uint64_t sequence;
    uint64_t salt;
    uint32_t prev_crc; /* last crc of the segment before; 0 for the first */
    uint32_t reserved[8];
    uint32_t crc; /* of all before */
};
static_assert(sizeof(struct segment_header) == SEGMENT_HEADER, "header is written as it is");

struct record_header {
    uint32_t crc;  /* of salt, offset and everything that follows */
    uint32_t prev; /* crc of the record before, or of the segment header */
    uint32_t len;  /* payload bytes */
    uint16_t kind;
    uint16_t version;
    uint64_t flushed;
    uint32_t magic;
    uint32_t reserved;
};
static_assert(sizeof(struct record_header) == RECORD_HEADER, "header is written as it is");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the on-disk integers are little-endian"
#endif

struct journal {
    struct host *host;
    char *dir;
    uint64_t segment_bytes;

    /* journal thread */
    struct host_file *file; /* the current segment */
    uint64_t salt;
    uint64_t offset;       /* end of what is written and flushed in it */
    uint64_t size;         /* of the file; a larger record grows it */
    uint32_t crc;          /* of the last record */
    struct buf pending;    /* encoded records, headers unfinished */
    VEC(uint32_t) lengths; /* of the records in `pending`, padded, header included */
    bool failed;

    /* Making and recycling segments, which writes megabytes and syncs the directory: taken by the
     * checkpoint thread, and by the journal thread only to begin a segment nobody has prepared. */
    pthread_mutex_t files;
    uint64_t first;  /* lowest segment still kept */
    unsigned spares; /* files spare-0 … spare-(n-1) */

    /* Taken after `files`, for moments only: every flush publishes its end under it. */
    pthread_mutex_t lock;
    uint64_t current;    /* the journal thread's to change */
    uint64_t end_offset; /* as published */
    uint64_t bytes;
    struct host_file *next; /* current + 1, prepared; NULL: none yet */
};

static char *segment_path(const struct journal *j, uint64_t sequence)
{
    return mem_printf("%s/%016" PRIx64 ".seg", j->dir, sequence);
}

static char *spare_path(const struct journal *j, unsigned n)
{
    return mem_printf("%s/spare-%u", j->dir, n);
}

static uint64_t padded(uint64_t n)
{
    return (n + 7) & ~7ull;
}

static uint32_t record_crc(uint64_t salt, uint64_t offset, const struct record_header *h,
                           const void *payload)
{
    uint64_t seed[2] = {salt, offset};
    uint32_t crc = crc32c(0, seed, sizeof seed);
    crc = crc32c(crc, &h->prev, RECORD_HEADER - sizeof h->crc);
    return crc32c(crc, payload, h->len);
}

static uint32_t header_crc(const struct segment_header *h)
{
    return crc32c(0, h, offsetof(struct segment_header, crc));
}

/* ---- making and recycling segments ---------------------------------------------------------- */

/* Write zeros over the whole file, so that later flushes write data only, never block maps. */
static int fill_with_zeros(struct host *host, struct host_file *f, uint64_t size)
{
    int rc = host->ops->allocate(f, size);
    if (rc < 0)
        return rc;
    size_t chunk = MIN(size, ZERO_CHUNK);
    char *zeros = mem_zalloc(chunk);
    for (uint64_t at = 0; at < size && rc >= 0; at += chunk)
        rc = host->ops->pwrite(f, zeros, MIN(chunk, size - at), at);
    mem_free(zeros);
    return rc < 0 ? rc : host->ops->fdatasync(f);
}

/* An empty segment file under its final name: a spare if there is one, else a new file. `files` held. */
static int segment_make(struct journal *j, uint64_t sequence, struct host_file **out,
                        struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    char *path = segment_path(j, sequence);
    struct host_file *f = NULL;
    int rc = 0;
    if (j->spares > 0) {
        char *spare = spare_path(j, j->spares - 1);
        rc = ops->rename(j->host, spare, path);
        mem_free(spare);
        if (rc >= 0) {
            j->spares--;
            rc = ops->open(j->host, path, 0, &f);
        }
    } else {
        rc = ops->open(j->host, path, HOST_OPEN_CREATE | HOST_OPEN_TRUNCATE, &f);
        if (rc >= 0)
            rc = fill_with_zeros(j->host, f, j->segment_bytes);
    }
    if (rc >= 0)
        rc = ops->sync_dir(j->host, j->dir);
    CRASH_POINT(segment_make_after);
    if (rc < 0) {
        error_errno(err, ERR_IO, -rc, "journal segment %s", path);
        if (f)
            ops->close(f);
        f = NULL;
    }
    *out = f;
    mem_free(path);
    return rc < 0 ? ERR_IO : 0;
}

int journal_prepare(struct journal *j, struct error *err)
{
    struct host_file *f = NULL;
    int rc = 0;
    pthread_mutex_lock(&j->files);
    pthread_mutex_lock(&j->lock);
    bool have = j->next != NULL;
    uint64_t sequence = j->current + 1;
    pthread_mutex_unlock(&j->lock);
    /* Without a next one, and with `files` held here, no segment is begun meanwhile. */
    if (!have)
        rc = segment_make(j, sequence, &f, err);
    if (f) {
        pthread_mutex_lock(&j->lock);
        j->next = f;
        pthread_mutex_unlock(&j->lock);
    }
    pthread_mutex_unlock(&j->files);
    return rc;
}

/* Turn segment `sequence` into a spare, or remove it when there are enough or it outgrew its size.
 * `files` held. */
static int segment_recycle(struct journal *j, uint64_t sequence, struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    char *path = segment_path(j, sequence);
    struct host_file *f = NULL;
    uint64_t size = 0;
    int rc = 0;
    bool keep = j->spares < SPARES_MAX;
    if (keep) {
        rc = ops->open(j->host, path, 0, &f);
        if (rc >= 0) {
            rc = ops->size(f, &size);
            ops->close(f);
        }
        keep = rc >= 0 && size == j->segment_bytes;
    }
    CRASH_POINT(segment_recycle_before);
    if (rc >= 0 && keep) {
        char *spare = spare_path(j, j->spares);
        rc = ops->rename(j->host, path, spare);
        if (rc >= 0)
            j->spares++;
        mem_free(spare);
    } else if (rc >= 0 || rc == -ENOENT) {
        rc = ops->unlink(j->host, path);
        rc = rc == -ENOENT ? 0 : rc;
    }
    CRASH_POINT(segment_recycle_after);
    if (rc < 0)
        error_errno(err, ERR_IO, -rc, "recycle %s", path);
    mem_free(path);
    return rc < 0 ? ERR_IO : 0;
}

int journal_release(struct journal *j, struct journal_pos pos, struct error *err)
{
    int rc = 0;
    assert(pos.segment <= journal_end(j).segment);
    for (bool more = true; rc == 0 && more;) {
        pthread_mutex_lock(&j->files); /* for each anew: the journal thread may wait for it */
        more = j->first < pos.segment;
        if (more)
            rc = segment_recycle(j, j->first, err);
        if (more && rc == 0)
            j->first++;
        pthread_mutex_unlock(&j->files);
    }
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void append_u64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof v);
}

void journal_append(struct journal *j, const struct raft_hard_state *hard,
                    const struct raft_entry *entries, size_t entries_len)
{
    size_t start = j->pending.len;
    uint64_t need = RECORD_HEADER + BATCH_FIXED;
    for (size_t i = 0; i < entries_len; i++)
        need += ENTRY_FIXED + (entries[i].data ? entries[i].data->len : 0);
    assert(need < UINT32_MAX - 8 && entries_len < UINT32_MAX);
    buf_reserve(&j->pending, padded(need));

    struct record_header h = {.len = (uint32_t)(need - RECORD_HEADER),
                              .kind = RECORD_KIND_BATCH,
                              .version = 1,
                              .magic = RECORD_MAGIC};
    buf_append(&j->pending, &h, sizeof h);
    append_u64(&j->pending, hard->term);
    append_u64(&j->pending, hard->vote);
    append_u64(&j->pending, hard->commit);
    append_u64(&j->pending, entries_len ? entries[0].index : 0);
    buf_append_le32(&j->pending, (uint32_t)entries_len);
    for (size_t i = 0; i < entries_len; i++) {
        const struct raft_entry *e = &entries[i];
        assert(e->index == entries[0].index + i);
        append_u64(&j->pending, e->term);
        buf_append_char(&j->pending, (char)e->kind);
        buf_append_le32(&j->pending, e->data ? (uint32_t)e->data->len + 1 : 0);
        if (e->data)
            buf_append(&j->pending, e->data->data, e->data->len);
    }
    assert(j->pending.len - start == need);
    static const char zeros[8];
    buf_append(&j->pending, zeros, padded(need) - need);
    vec_push(&j->lengths, (uint32_t)padded(need));
}

/* Write [p, p + n) at the current end and flush. */
static int write_and_flush(struct journal *j, const char *p, size_t n, struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    CRASH_POINT(journal_write_before);
    int rc = n ? ops->pwrite(j->file, p, n, j->offset) : 0;
    CRASH_POINT(journal_write_after);
    if (rc >= 0)
        rc = ops->fdatasync(j->file);
    CRASH_POINT(journal_flush_after);
    if (rc < 0) {
        j->failed = true;
        return error_errno(err, ERR_IO, -rc, "journal: write of %zu bytes to segment %" PRIu64, n,
                           j->current);
    }
    j->offset += n;
    j->size = MAX(j->size, j->offset);
    pthread_mutex_lock(&j->lock);
    j->end_offset = j->offset;
    j->bytes += n;
    pthread_mutex_unlock(&j->lock);
    return 0;
}

/* The file of the segment to begin, if it is prepared or `made` now. It counts as begun from here:
 * journal_prepare, on the other thread, must not make this one again. */
static struct host_file *segment_take(struct journal *j, struct host_file *made)
{
    pthread_mutex_lock(&j->lock);
    struct host_file *f = made ? made : j->next;
    if (f) {
        j->next = NULL;
        j->current++;
        j->end_offset = SEGMENT_HEADER;
    }
    pthread_mutex_unlock(&j->lock);
    return f;
}

/* Begin the next segment: everything in the present one is flushed. The header is flushed with the
 * records that follow it. */
static int segment_switch(struct journal *j, struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    struct host_file *f = segment_take(j, NULL);
    if (!f) {
        pthread_mutex_lock(&j->files);
        f = segment_take(j, NULL); /* it was about to be ready */
        if (!f && segment_make(j, j->current + 1, &f, err) == 0)
            segment_take(j, f);
        pthread_mutex_unlock(&j->files);
    }
    if (!f) {
        j->failed = true;
        return ERR_IO;
    }
    uint64_t sequence = j->current;

    struct segment_header h = {
        .sequence = sequence, .salt = host_random(j->host), .prev_crc = j->crc};
    memcpy(h.magic, SEGMENT_MAGIC, sizeof h.magic);
    h.crc = header_crc(&h);
    uint64_t size = 0;
    int rc = ops->size(f, &size);
    CRASH_POINT(segment_begin_before);
    if (rc >= 0)
        rc = ops->pwrite(f, &h, sizeof h, 0);
    CRASH_POINT(segment_begin_after);
    if (rc < 0) {
        j->failed = true;
        ops->close(f);
        return error_errno(err, ERR_IO, -rc, "journal: begin segment %" PRIu64, sequence);
    }
    if (j->file)
        ops->close(j->file);
    j->file = f;
    j->salt = h.salt;
    j->crc = h.crc;
    j->size = size;
    j->offset = SEGMENT_HEADER;
    return 0;
}

int journal_flush(struct journal *j, struct error *err)
{
    if (j->failed)
        return error_set(err, ERR_IO, "journal: an earlier write failed");
    char *group = j->pending.data; /* records that go out in one write, and their bytes */
    size_t group_len = 0;
    uint64_t flushed = j->offset;
    for (size_t i = 0; i < j->lengths.len; i++) {
        char *record = group + group_len;
        uint64_t at = j->offset + group_len;
        /* The first record of a segment may exceed it: the file then grows. */
        if (at + j->lengths.items[i] > j->size && at > SEGMENT_HEADER) {
            if (group_len && write_and_flush(j, group, group_len, err) < 0)
                return ERR_IO;
            if (segment_switch(j, err) < 0)
                return ERR_IO;
            group = record;
            group_len = 0;
            flushed = at = j->offset;
        }
        struct record_header h;
        memcpy(&h, record, sizeof h);
        h.prev = j->crc;
        h.flushed = flushed;
        h.crc = record_crc(j->salt, at, &h, record + RECORD_HEADER);
        memcpy(record, &h, sizeof h);
        j->crc = h.crc;
        group_len += j->lengths.items[i];
    }
    if (group_len && write_and_flush(j, group, group_len, err) < 0)
        return ERR_IO;
    vec_clear(&j->lengths);
    if (j->pending.cap > (4u << 20))
        buf_free(&j->pending);
    buf_clear(&j->pending);
    return 0;
}

struct journal_pos journal_end(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    struct journal_pos p = {j->current, j->end_offset};
    pthread_mutex_unlock(&j->lock);
    return p;
}

uint64_t journal_bytes(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    uint64_t n = j->bytes;
    pthread_mutex_unlock(&j->lock);
    return n;
}

/* ---- opening -------------------------------------------------------------------------------- */

struct listing {
    VEC(uint64_t) segments;
    unsigned spares_seen; /* bit n: spare-n exists */
};

static int list_one(void *ctx, const char *name)
{
    struct listing *l = ctx;
    uint64_t sequence;
    unsigned n;
    int used = 0;
    if (sscanf(name, "%16" SCNx64 ".seg%n", &sequence, &used) == 1 && used > 0 && !name[used])
        vec_push(&l->segments, sequence);
    else if (sscanf(name, "spare-%u%n", &n, &used) == 1 && !name[used] && n < 31)
        l->spares_seen |= 1u << n;
    return 0;
}

static void sort_sequences(uint64_t *a, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && a[k - 1] > a[k]; k--) {
            uint64_t t = a[k];
            a[k] = a[k - 1];
            a[k - 1] = t;
        }
}

/* One segment in memory while it is checked. */
struct image {
    char *data;
    uint64_t size, cap;
    struct segment_header header;
};

static bool header_valid(const struct segment_header *h, uint64_t sequence)
{
    return memcmp(h->magic, SEGMENT_MAGIC, 8) == 0 && h->sequence == sequence &&
           h->crc == header_crc(h);
}

/* All of the file, `size` bytes. */
static int image_read(struct journal *j, struct host_file *f, uint64_t size, struct image *im)
{
    if (size + 8 > im->cap) {
        mem_free(im->data);
        im->cap = size + 8;
        im->data = mem_alloc(im->cap);
    }
    ssize_t n = j->host->ops->pread(f, im->data, size, 0);
    if (n < (ssize_t)SEGMENT_HEADER)
        return n < 0 ? (int)n : -EIO;
    memset(im->data + n, 0, 8); /* a file cut off within a record's padding */
    im->size = padded((uint64_t)n);
    memcpy(&im->header, im->data, SEGMENT_HEADER);
    return 0;
}

/*
 * Load a segment in place of what `im` holds, if it is *begun: its header is whole and carries this
 * sequence. Of one that was only prepared nothing but the header is read.
 */
static int image_load(struct journal *j, uint64_t sequence, struct image *im, bool *begun,
                      struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    char *path = segment_path(j, sequence);
    struct host_file *f = NULL;
    struct segment_header h = {0};
    uint64_t size = 0;
    int rc = ops->open(j->host, path, HOST_OPEN_READ_ONLY, &f);
    if (rc >= 0)
        rc = ops->size(f, &size);
    if (rc >= 0) {
        ssize_t n = ops->pread(f, &h, sizeof h, 0);
        rc = n < 0 ? (int)n : 0;
    }
    *begun = rc >= 0 && header_valid(&h, sequence);
    if (*begun)
        rc = image_read(j, f, size, im);
    if (f)
        ops->close(f);
    if (rc < 0)
        error_errno(err, ERR_IO, -rc, "journal segment %s", path);
    mem_free(path);
    return rc < 0 ? ERR_IO : 0;
}

/* The record at `at` if it is whole. The chain is the caller's business. */
static bool image_record(const struct image *im, uint64_t at, struct record_header *h)
{
    if (at + RECORD_HEADER > im->size)
        return false;
    memcpy(h, im->data + at, sizeof *h);
    if (h->magic != RECORD_MAGIC || h->len > im->size - at - RECORD_HEADER)
        return false;
    return h->crc == record_crc(im->header.salt, at, h, im->data + at + RECORD_HEADER);
}

/* Decode a batch into `out`; its entries are the caller's to release. */
static int batch_decode(struct str in, struct journal_record *out, struct raft_entry **entries,
                        struct error *err)
{
    const char *p = in.p, *end = in.p + in.n;
    uint64_t first;
    uint32_t n;
    if (in.n < BATCH_FIXED)
        return error_set(err, ERR_CORRUPT, "journal record of %zu bytes", in.n);
    memcpy(&out->hard.term, p, 8);
    memcpy(&out->hard.vote, p + 8, 8);
    memcpy(&out->hard.commit, p + 16, 8);
    memcpy(&first, p + 24, 8);
    memcpy(&n, p + 32, 4);
    p += BATCH_FIXED;
    if (n > (size_t)(end - p) / ENTRY_FIXED)
        return error_set(err, ERR_CORRUPT, "journal record counts %u entries", n);
    *entries = mem_zalloc((n + 1) * sizeof **entries);
    out->entries = *entries;
    for (out->entries_len = 0; out->entries_len < n; out->entries_len++) {
        struct raft_entry *e = &(*entries)[out->entries_len];
        uint32_t len;
        if (end - p < (ptrdiff_t)ENTRY_FIXED)
            return error_set(err, ERR_CORRUPT, "journal record is cut short");
        e->index = first + out->entries_len;
        memcpy(&e->term, p, 8);
        e->kind = (enum raft_entry_kind)(uint8_t)p[8];
        memcpy(&len, p + 9, 4);
        p += ENTRY_FIXED;
        if (len > 0 && len - 1 > (size_t)(end - p))
            return error_set(err, ERR_CORRUPT, "journal record is cut short");
        if (len > 0) {
            e->data = blob_from(p, len - 1);
            p += len - 1;
        }
    }
    return p == end ? 0 : error_set(err, ERR_CORRUPT, "journal record has bytes left over");
}

struct replay {
    struct journal *j;
    struct journal_pos from;
    journal_replay_fn *fn;
    void *ctx;
    uint64_t last_flushed; /* of the last whole record: where its batch began */
};

static int replay_record(struct replay *r, const struct record_header *h, const char *payload,
                         struct journal_pos end, struct error *err)
{
    struct journal_record rec = {.end = end};
    struct raft_entry *entries = NULL;
    if (h->kind != RECORD_KIND_BATCH || h->version != 1)
        return error_set(err, ERR_UNSUPPORTED, "journal record of kind %u version %u", h->kind,
                         h->version);
    int rc = batch_decode(str_make(payload, h->len), &rec, &entries, err);
    if (rc == 0)
        rc = r->fn(r->ctx, &rec, err);
    for (size_t i = 0; entries && i < rec.entries_len; i++)
        blob_unref(entries[i].data);
    mem_free(entries);
    return rc;
}

/* Follow the chain through one segment; replays what is behind `from`. Leaves journal's offset and
 * crc at the end of the chain. */
static int segment_walk(struct replay *r, const struct image *im, uint64_t sequence,
                        struct error *err)
{
    struct journal *j = r->j;
    struct record_header h;
    j->offset = SEGMENT_HEADER;
    j->crc = im->header.crc;
    j->salt = im->header.salt;
    r->last_flushed = 0;
    bool found = sequence != r->from.segment || r->from.offset == SEGMENT_HEADER;
    while (image_record(im, j->offset, &h) && h.prev == j->crc) {
        uint64_t end = j->offset + padded(RECORD_HEADER + h.len);
        struct journal_pos pos = {sequence, end};
        if (journal_pos_cmp(pos, r->from) > 0) {
            if (!found)
                return error_set(err, ERR_CORRUPT, "journal has no position %" PRIu64 ":%" PRIu64,
                                 r->from.segment, r->from.offset);
            int rc = replay_record(r, &h, im->data + j->offset + RECORD_HEADER, pos, err);
            if (rc < 0)
                return error_wrap(err, "journal segment %" PRIu64 " at %" PRIu64, sequence,
                                  j->offset);
        }
        found = found || end == r->from.offset;
        r->last_flushed = h.flushed;
        j->crc = h.crc;
        j->offset = end;
    }
    if (!found)
        return error_set(err, ERR_CORRUPT, "journal ends before position %" PRIu64 ":%" PRIu64,
                         r->from.segment, r->from.offset);
    return 0;
}

/*
 * Behind the end of the chain nothing may say that more than this had been flushed. *torn: bytes from
 * the end of the chain to the last thing that is not zero or is a whole record.
 */
static int tail_check(const struct journal *j, const struct image *im, uint64_t sequence,
                      uint64_t *torn, struct error *err)
{
    struct record_header h;
    *torn = 0;
    for (uint64_t at = j->offset; at + RECORD_HEADER <= im->size; at += 8) {
        uint32_t magic;
        memcpy(&magic, im->data + at + offsetof(struct record_header, magic), sizeof magic);
        if (magic != RECORD_MAGIC || !image_record(im, at, &h))
            continue;
        if (h.flushed > j->offset)
            return error_set(err, ERR_CORRUPT,
                             "journal segment %" PRIu64 " is damaged at %" PRIu64
                             ", before records known to be flushed",
                             sequence, j->offset);
        *torn = at + padded(RECORD_HEADER + h.len) - j->offset;
    }
    return 0;
}

/* Make the end of the chain durable by writing it again: after a crash of the process it may be in
 * the page cache only, and after a failed write-back the pages may even count as clean. */
static int tail_rewrite(struct journal *j, const struct image *im, uint64_t from, struct error *err)
{
    const struct host_ops *ops = j->host->ops;
    from = from >= SEGMENT_HEADER && from < j->offset ? from : 0;
    int rc = ops->pwrite(j->file, im->data + from, j->offset - from, from);
    if (rc >= 0 && from > 0)
        rc = ops->pwrite(j->file, im->data, SEGMENT_HEADER, 0);
    if (rc >= 0)
        rc = ops->fdatasync(j->file);
    return rc < 0 ? error_errno(err, ERR_IO, -rc, "journal: flush of the recovered tail") : 0;
}

/* Walk all segments from the first; ends with the current one open. `segments` are ascending. */
static int chain_walk(struct replay *r, const uint64_t *segments, size_t n, uint64_t *torn,
                      struct error *err)
{
    struct journal *j = r->j;
    struct image im = {0};
    bool begun;
    int rc = image_load(j, segments[0], &im, &begun, err);
    if (rc == 0 && !begun)
        rc = segments[0] == 1 && r->from.segment == 0 && n == 1
                 ? 1 /* died while making the very first one */
                 : error_set(err, ERR_CORRUPT, "journal segment %" PRIu64 " has no valid header",
                             segments[0]);
    for (size_t i = 0; rc == 0; i++) {
        j->current = segments[i];
        rc = segment_walk(r, &im, segments[i], err);
        if (rc < 0 || i + 1 == n)
            break;
        if (segments[i + 1] != segments[i] + 1) {
            rc = error_set(err, ERR_CORRUPT, "journal segment %" PRIu64 " is missing",
                           segments[i] + 1);
            break;
        }
        rc = image_load(j, segments[i + 1], &im, &begun, err);
        if (rc < 0 || !begun)
            break; /* prepared, not begun */
        if (im.header.prev_crc != j->crc)
            rc = error_set(err, ERR_CORRUPT,
                           "journal segment %" PRIu64 " is damaged at %" PRIu64
                           ", though a later segment was begun",
                           segments[i], j->offset);
    }
    if (rc == 0)
        rc = tail_check(j, &im, j->current, torn, err);
    if (rc == 0) {
        char *path = segment_path(j, j->current);
        int e = j->host->ops->open(j->host, path, 0, &j->file);
        rc = e < 0 ? error_errno(err, ERR_IO, -e, "open %s", path)
                   : tail_rewrite(j, &im, r->last_flushed, err);
        j->size = im.size;
        mem_free(path);
    }
    mem_free(im.data);
    return rc;
}

/* What is neither in the chain nor a spare under its proper number goes. */
static int sort_out_files(struct journal *j, const struct listing *l, uint64_t first,
                          struct error *err)
{
    for (unsigned n = 0; n < 31; n++) {
        if (!(l->spares_seen & (1u << n)))
            continue;
        char *path = spare_path(j, n);
        int rc = j->host->ops->unlink(j->host, path);
        mem_free(path);
        if (rc < 0)
            return error_errno(err, ERR_IO, -rc, "remove journal spare %u", n);
    }
    for (size_t i = 0; i < l->segments.len; i++)
        if (l->segments.items[i] < first || l->segments.items[i] > j->current)
            if (segment_recycle(j, l->segments.items[i], err) < 0)
                return ERR_IO;
    return 0;
}

static int journal_recover(struct journal *j, struct journal_pos from, journal_replay_fn *fn,
                           void *ctx, uint64_t *torn, struct error *err)
{
    struct listing l = {0};
    struct replay r = {.j = j, .from = from, .fn = fn, .ctx = ctx};
    int rc = j->host->ops->list_dir(j->host, j->dir, list_one, &l);
    if (rc < 0) {
        rc = error_errno(err, ERR_IO, -rc, "list %s", j->dir);
        goto out;
    }
    sort_sequences(l.segments.items, l.segments.len);
    size_t begin = 0;
    while (begin < l.segments.len && l.segments.items[begin] < from.segment)
        begin++;
    bool have = begin < l.segments.len;
    uint64_t want = from.segment ? from.segment : 1;
    if ((have && l.segments.items[begin] != want) || (!have && from.segment)) {
        rc = error_set(err, ERR_CORRUPT, "journal segment %" PRIu64 " is missing", want);
        goto out;
    }
    rc = have ? chain_walk(&r, l.segments.items + begin, l.segments.len - begin, torn, err) : 1;
    if (rc == 1) { /* a new journal */
        j->current = 0;
        j->first = 1;
        rc = sort_out_files(j, &l, 1, err);
        if (rc == 0)
            rc = segment_switch(j, err);
        if (rc == 0)
            rc = write_and_flush(j, NULL, 0, err);
    } else if (rc == 0) {
        j->first = want;
        rc = sort_out_files(j, &l, want, err);
    }
out:
    vec_free(&l.segments);
    return rc;
}

int journal_open(const struct journal_options *options, struct journal_pos from,
                 journal_replay_fn *replay, void *ctx, struct journal **out, uint64_t *discarded,
                 struct error *err)
{
    struct journal *j = mem_zalloc(sizeof *j);
    uint64_t torn = 0;
    j->host = options->host;
    j->dir = mem_strdup(options->dir);
    j->segment_bytes = options->segment_bytes ? options->segment_bytes : SEGMENT_BYTES_DEFAULT;
    j->segment_bytes = MAX(padded(j->segment_bytes), SEGMENT_BYTES_MIN);
    pthread_mutex_init(&j->files, NULL);
    pthread_mutex_init(&j->lock, NULL);
    buf_init(&j->pending);
    *out = NULL;

    int rc = j->host->ops->mkdir(j->host, j->dir);
    if (rc < 0)
        rc = error_errno(err, ERR_IO, -rc, "create %s", j->dir);
    else
        rc = journal_recover(j, from, replay, ctx, &torn, err);
    if (rc < 0) {
        journal_close(j);
        return rc;
    }
    j->end_offset = j->offset;
    if (torn)
        log_warn("journal",
                 "torn tail cut off segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64,
                 j->current, j->offset, torn);
    if (discarded)
        *discarded = torn;
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->file)
        j->host->ops->close(j->file);
    if (j->next)
        j->host->ops->close(j->next);
    buf_free(&j->pending);
    vec_free(&j->lengths);
    pthread_mutex_destroy(&j->files);
    pthread_mutex_destroy(&j->lock);
    mem_free(j->dir);
    mem_free(j);
}
