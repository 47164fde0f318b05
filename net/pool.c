/*
 * Pool: free lists by size in steps of 32 bytes. Each piece has its size in the 16 bytes before it.
 */
#include "net/pool.h"
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define STEP 32u
#define CLASSES (POOL_PIECE_MAX / STEP)

union header {
    size_t size; /* usable bytes behind the header */
    union header *next;
    char align[16];
};

/* Sanitizers watch every piece only if it comes from malloc. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP_BYTES 0u
#else
#define KEEP_BYTES POOL_KEEP_BYTES
#endif

struct pool {
    union header *lists[CLASSES + 1]; /* pieces of class * STEP bytes; class 0 is not used */
    size_t kept;                      /* bytes in the lists */
    size_t out;                       /* pieces given out */
    size_t held;                      /* bytes of output that wait */
};

static_assert(sizeof(union header) == 16, "pieces stay aligned as malloc's are");

void pool_hold(struct pool *p, size_t n)
{
    p->held += n;
}

void pool_unhold(struct pool *p, size_t n)
{
    p->held -= n;
}

size_t pool_held(const struct pool *p)
{
    return p->held;
}

struct pool *pool_new(void)
{
    return mem_zalloc(sizeof(struct pool));
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    assert(p->out == 0);
    for (size_t i = 0; i <= CLASSES; i++) {
        while (p->lists[i]) {
            union header *h = p->lists[i];
            p->lists[i] = h->next;
            mem_free(h);
        }
    }
    mem_free(p);
}

void *pool_alloc(struct pool *p, size_t n)
{
    size_t class = n ? (n + STEP - 1) / STEP : 1;
    union header *h = class <= CLASSES ? p->lists[class] : NULL;
    if (h) {
        p->lists[class] = h->next;
        p->kept -= class * STEP;
    } else {
        h = mem_alloc(sizeof *h + class * STEP);
    }
    h->size = class * STEP;
    p->out++;
    return h + 1;
}

void *pool_calloc(struct pool *p, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        return NULL;
    return memset(pool_alloc(p, count * size), 0, count * size);
}

void pool_release(struct pool *p, void *piece)
{
    if (!piece)
        return;
    union header *h = (union header *)piece - 1;
    size_t size = h->size;
    p->out--;
    if (size > POOL_PIECE_MAX || p->kept + size > KEEP_BYTES) {
        mem_free(h);
        return;
    }
    h->next = p->lists[size / STEP];
    p->lists[size / STEP] = h;
    p->kept += size;
}

void *pool_realloc(struct pool *p, void *piece, size_t n)
{
    if (!piece)
        return pool_alloc(p, n);
    size_t old = ((union header *)piece - 1)->size;
    if (n <= old)
        return piece;
    void *fresh = pool_alloc(p, n);
    memcpy(fresh, piece, old);
    pool_release(p, piece);
    return fresh;
}
