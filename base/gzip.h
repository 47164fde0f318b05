/*
 * gzip (RFC 1952) over zlib: whole buffers, and a stream of pieces.
 */
#ifndef C8S_BASE_GZIP_H
#define C8S_BASE_GZIP_H

#include "base/buf.h"
#include "base/str.h"

#define GZIP_FAST 1  /* for answers made once */
#define GZIP_SMALL 6 /* for what is kept */

/* Append the compressed form of `in`. */
void gzip_compress(struct str in, int level, struct buf *out);
/* Append what `in` (one gzip member) expands to; false: it is damaged or longer than `max` bytes. */
bool gzip_expand(struct str in, size_t max, struct buf *out);

/* A stream: pieces go in, compressed bytes come out. About 260 KiB while it is open. */
struct gzip;
struct gzip *gzip_new(int level);
void gzip_free(struct gzip *z); /* NULL is fine */
/* Append to *out what `in` gives; `flush`: all of it, so that the reader can go on from there. */
void gzip_write(struct gzip *z, struct str in, bool flush, struct buf *out);
void gzip_end(struct gzip *z, struct buf *out); /* the trailer; then only gzip_free */

#endif
