/*
 * Files in bbolt's format (version 2), in which etcd keeps and ships its state: written in one pass, read
 * without trust.
 *
 *     file    = page 0, page 1 (meta), pages…                    pages of 4096 bytes when written here
 *     page    = id:8 flags:2 count:2 overflow:4, then elements, then bytes    (overflow: pages that follow it)
 *     meta    = magic:4 version:4 page size:4 flags:4 root:8 sequence:8 freelist:8 pages:8 txid:8 fnv1a:8
 *     leaf    = elements (flags:4 pos:4 key size:4 value size:4)    pos counts from the element itself
 *     branch  = elements (pos:4 key size:4 page:8)
 *     bucket  = an entry with flag 1 of the root tree; value = root page:8 sequence:8, or root page 0 and
 *               the bucket's only page inline
 *
 * Integers are little-endian. Entries are in byte order of their keys.
 *
 * The writer takes each bucket's entries in that order and fills page after page: leaves as they come, a
 * branch when it is full, so that it holds one page per level of the tree in memory. Meta pages are filled
 * in at the end. The result has no free pages.
 */
#ifndef C8S_BOLT_H
#define C8S_BOLT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define BOLT_PAGE 4096u
#define BOLT_KEY_MAX 32768u       /* bbolt's limit on a key */
#define BOLT_VALUE_MAX (1u << 30) /* ours, on a value: far above any request */
#define BOLT_DEPTH_MAX 16         /* levels of one tree */
#define BOLT_BUCKETS_MAX 32       /* per file, when writing */

/* ---- writing ---- */

struct bolt_writer;

/* Into an empty file, which stays the caller's. */
struct bolt_writer *bolt_writer_new(int fd);
void bolt_writer_free(struct bolt_writer *w);
/* Buckets one after the other, in any order. ERR_IO when the file cannot be written. */
int bolt_bucket_begin(struct bolt_writer *w, struct str name);
/* In strictly ascending order of keys (asserted); no empty key. */
int bolt_put(struct bolt_writer *w, struct str key, struct str value, struct error *err);
int bolt_bucket_end(struct bolt_writer *w, struct error *err);
/* Root tree, free list, meta pages. *size: of the file. Not synced. */
int bolt_finish(struct bolt_writer *w, uint64_t *size, struct error *err);
/* Bytes written so far. */
uint64_t bolt_written(const struct bolt_writer *w);

/* ---- reading ---- */

/* A whole file in memory (or mapped): any bytes; nothing outside them is touched. */
struct bolt {
    struct str bytes;
    uint32_t page_size;
    uint64_t root, pages, txid;
};

/* Find the newer valid meta page. ERR_CORRUPT. */
int bolt_open(struct str bytes, struct bolt *out, struct error *err);
/* Calls fn for each bucket in order of names. fn < 0 ends it with that code. */
typedef int bolt_bucket_fn(void *ctx, struct str name, struct error *err);
int bolt_each_bucket(const struct bolt *b, bolt_bucket_fn *fn, void *ctx, struct error *err);
/* Calls fn for each entry of the bucket in order, after checking form and order of its pages. Buckets within
 * the bucket are skipped. ERR_NOT_FOUND: no such bucket; ERR_CORRUPT. */
typedef int bolt_entry_fn(void *ctx, struct str key, struct str value, struct error *err);
int bolt_each(const struct bolt *b, struct str bucket, bolt_entry_fn *fn, void *ctx,
              struct error *err);

#endif
