/*
 * gzip over zlib: see gzip.h.
 */
#include "base/gzip.h"
#include "base/mem.h"
#include <assert.h>
#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* largest window; 16: with gzip's header and trailer */
#define PIECE (64u << 10)

struct gzip {
    z_stream z;
};

struct gzip *gzip_new(int level)
{
    struct gzip *g = mem_zalloc(sizeof *g);
    int rc = deflateInit2(&g->z, level, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK); /* fails for want of memory only, which ends the process elsewhere too */
    (void)rc;
    return g;
}

void gzip_free(struct gzip *g)
{
    if (!g)
        return;
    deflateEnd(&g->z);
    mem_free(g);
}

static void run(struct gzip *g, struct str in, int mode, struct buf *out)
{
    g->z.next_in = (Bytef *)(uintptr_t)in.p;
    g->z.avail_in = (uInt)in.n;
    do {
        char *room = buf_reserve(out, PIECE);
        if (!room)
            return; /* the buffer knows that it failed */
        g->z.next_out = (Bytef *)room;
        g->z.avail_out = PIECE;
        deflate(&g->z, mode);
        out->len += PIECE - g->z.avail_out;
    } while (g->z.avail_out == 0);
}

void gzip_write(struct gzip *g, struct str in, bool flush, struct buf *out)
{
    assert(in.n <= UINT32_MAX);
    run(g, in, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH, out);
}

void gzip_end(struct gzip *g, struct buf *out)
{
    run(g, STR_NONE, Z_FINISH, out);
}

void gzip_compress(struct str in, int level, struct buf *out)
{
    struct gzip *g = gzip_new(level);
    gzip_write(g, in, false, out);
    gzip_end(g, out);
    gzip_free(g);
}

bool gzip_expand(struct str in, size_t max, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
    if (in.n > UINT32_MAX || inflateInit2(&z, WINDOW_GZIP) != Z_OK)
        return false;
    size_t before = out->len;
    int rc = Z_OK;
    while (rc == Z_OK && out->len - before <= max) {
        char *room = buf_reserve(out, PIECE);
        if (!room)
            break;
        z.next_out = (Bytef *)room;
        z.avail_out = PIECE;
        rc = inflate(&z, Z_NO_FLUSH);
        out->len += PIECE - z.avail_out;
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END && out->len - before <= max;
}
