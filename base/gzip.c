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

struct gunzip {
    z_stream z;
    int rc;
};

struct gunzip *gunzip_new(struct str in)
{
    struct gunzip *g = mem_zalloc(sizeof *g);
    assert(in.n <= UINT32_MAX);
    g->z.next_in = (Bytef *)(uintptr_t)in.p;
    g->z.avail_in = (uInt)in.n;
    int rc = inflateInit2(&g->z, WINDOW_GZIP);
    assert(rc == Z_OK); /* as in gzip_new */
    (void)rc;
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->z);
    mem_free(g);
}

ssize_t gunzip_read(struct gunzip *g, char *out, size_t room)
{
    assert(room > 0 && room <= UINT32_MAX);
    g->z.next_out = (Bytef *)out;
    g->z.avail_out = (uInt)room;
    while (g->rc == Z_OK && g->z.avail_out)
        g->rc = inflate(&g->z, Z_NO_FLUSH);
    return g->rc == Z_OK || g->rc == Z_STREAM_END ? (ssize_t)(room - g->z.avail_out) : -1;
}
