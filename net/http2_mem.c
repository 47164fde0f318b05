/*
 * nghttp2's allocator on a pool.
 */
#include "net/http2_mem.h"

static void *allocate(size_t n, void *pool)
{
    return pool_alloc(pool, n);
}

static void release(void *piece, void *pool)
{
    pool_release(pool, piece);
}

static void *allocate_zeroed(size_t count, size_t size, void *pool)
{
    return pool_calloc(pool, count, size);
}

static void *resize(void *piece, size_t n, void *pool)
{
    return pool_realloc(pool, piece, n);
}

nghttp2_mem http2_mem(struct pool *pool)
{
    return (nghttp2_mem){pool, allocate, release, allocate_zeroed, resize};
}
