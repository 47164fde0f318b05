/*
 * gzip (RFC 1952) over zlib: whole buffers, and a stream of pieces.
 */
#ifndef C8S_BASE_GZIP_H
#define C8S_BASE_GZIP_H

#include "base/buf.h"
#include "base/str.h"
#include <sys/types.h>

#define GZIP_FAST 1  /* for answers made once */
#define GZIP_SMALL 6 /* for what is kept */

/* Append the compressed form of `in`. */
void gzip_compress(struct str in, int level, struct buf *out);

/* Expanding piece by piece one gzip member that is all there. About 40 KiB while it is open. */
struct gunzip;
struct gunzip *gunzip_new(struct str in); /* `in` must stay */
void gunzip_free(struct gunzip *g);       /* NULL is fine */
/* Up to `room` bytes into `out`: how many; 0 at the end, negative when it is damaged. */
ssize_t gunzip_read(struct gunzip *g, char *out, size_t room);

/* A stream: pieces go in, compressed bytes come out. About 260 KiB while it is open. */
struct gzip;
struct gzip *gzip_new(int level);
void gzip_free(struct gzip *z); /* NULL is fine */
/* Append to *out what `in` gives; `flush`: all of it, so that the reader can go on from there. */
void gzip_write(struct gzip *z, struct str in, bool flush, struct buf *out);
void gzip_end(struct gzip *z, struct buf *out); /* the trailer; then only gzip_free */

#endif
