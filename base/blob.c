/*
 * Reference-counted immutable bytes.
 */
#include "base/blob.h"
#include "base/mem.h"

#include <assert.h>

struct blob *blob_new(size_t len)
{
    struct blob *b = mem_alloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

struct blob *blob_from(const void *data, size_t len)
{
    struct blob *b = blob_new(len);
    if (len)
        memcpy(b->data, data, len);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b) {
        unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
        assert(before > 0);
        (void)before;
    }
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b)
        return;
    /* Release: our reads happen before the free; acquire: the freeing thread sees them all done. */
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        mem_free(b);
}
