/*
 * Output queue: a list of chunks, each either a buffer of its own that small writes fill up, or a
 * reference to a blob or borrowed memory. See outq.h.
 */
#include "net/outq.h"
#include "base/mem.h"

#include <assert.h>

#define FIRST_CHUNK_BYTES 448u
#define CHUNK_BYTES \
    4000u /* buffer of a chunk that small writes share, with its header under 4 KiB */
#define REFERENCE_MIN_BYTES 4096u /* shorter pieces are cheaper to copy than to track */

struct chunk {
    struct list link;
    struct blob *blob; /* reference held, or NULL */
    const char *data;  /* first byte not consumed yet */
    size_t len;        /* bytes not consumed yet */
    size_t room;       /* free bytes of `buffer` after data + len */
    size_t held;       /* bytes of memory that wait with it */
    char buffer[];
};

void outq_init(struct outq *q, struct pool *pool)
{
    q->pool = pool;
    list_init(&q->chunks);
    q->bytes = 0;
}

static void chunk_free(struct outq *q, struct chunk *c)
{
    list_remove(&c->link);
    blob_unref(c->blob);
    pool_unhold(q->pool, c->held);
    pool_release(q->pool, c);
}

void outq_free(struct outq *q)
{
    while (!list_empty(&q->chunks))
        chunk_free(q, list_first(&q->chunks, struct chunk, link));
    q->bytes = 0;
}

/* `held`: the memory that it keeps; a blob's is shared, and not counted. */
static struct chunk *chunk_new(struct outq *q, size_t buffer, size_t held)
{
    struct chunk *c = pool_alloc(q->pool, sizeof *c + buffer);
    c->held = held;
    pool_hold(q->pool, held);
    c->blob = NULL;
    c->data = c->buffer;
    c->len = 0;
    c->room = buffer;
    list_push_back(&q->chunks, &c->link);
    return c;
}

void outq_copy(struct outq *q, const void *data, size_t n)
{
    const char *from = data;
    q->bytes += n;
    if (!list_empty(&q->chunks)) {
        struct chunk *tail = list_entry(q->chunks.prev, struct chunk, link);
        size_t take = MIN(n, tail->room);
        if (take) {
            memcpy((char *)tail->data + tail->len, from, take);
            tail->len += take;
            tail->room -= take;
            from += take;
            n -= take;
        }
    }
    if (!n)
        return;
    /* A queue of one small piece is the common case: an answer. */
    size_t size = MAX(n, list_empty(&q->chunks) ? FIRST_CHUNK_BYTES : CHUNK_BYTES);
    struct chunk *c = chunk_new(q, size, size);
    memcpy(c->buffer, from, n);
    c->len = n;
    c->room -= n;
}

void outq_blob(struct outq *q, struct blob *b, size_t from, size_t n)
{
    assert(from <= b->len && n <= b->len - from);
    if (n < REFERENCE_MIN_BYTES) {
        outq_copy(q, b->data + from, n);
        return;
    }
    struct chunk *c = chunk_new(q, 0, 0);
    c->blob = blob_ref(b);
    c->data = b->data + from;
    c->len = n;
    q->bytes += n;
}

void outq_borrow(struct outq *q, const void *data, size_t n)
{
    if (!n)
        return;
    struct chunk *c = chunk_new(q, 0, n);
    c->data = data;
    c->len = n;
    q->bytes += n;
}

struct str outq_peek(const struct outq *q)
{
    if (list_empty(&q->chunks))
        return STR_NONE;
    const struct chunk *c = list_first(&q->chunks, struct chunk, link);
    return str_make(c->data, c->len);
}

int outq_iov(const struct outq *q, struct iovec *iov, int max)
{
    int n = 0;
    list_for_each (it, &q->chunks) {
        if (n == max)
            break;
        const struct chunk *c = list_entry(it, struct chunk, link);
        iov[n++] = (struct iovec){.iov_base = (void *)c->data, .iov_len = c->len};
    }
    return n;
}

void outq_consume(struct outq *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (n) {
        struct chunk *c = list_first(&q->chunks, struct chunk, link);
        size_t take = MIN(n, c->len);
        c->data += take;
        c->len -= take;
        n -= take;
        if (c->len == 0)
            chunk_free(q, c);
    }
}

void outq_move(struct outq *to, struct outq *from, size_t n)
{
    assert(n <= from->bytes);
    while (n) {
        struct chunk *c = list_first(&from->chunks, struct chunk, link);
        size_t take = MIN(n, c->len);
        if (c->blob)
            outq_blob(to, c->blob, (size_t)(c->data - c->blob->data), take);
        else
            outq_copy(to, c->data, take);
        outq_consume(from, take);
        n -= take;
    }
}
