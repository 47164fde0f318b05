/*
 * Output queue, inside net/ only: bytes to be sent, as a list of chunks. Small pieces are copied
 * together, big shared ones (blobs) and arena memory are referenced.
 */
#ifndef C8S_NET_OUTQ_H
#define C8S_NET_OUTQ_H

#include "base/blob.h"
#include "base/list.h"
#include "base/str.h"
#include "net/pool.h"
#include <sys/uio.h>

struct outq {
    struct list chunks;
    struct pool *pool; /* of the loop it belongs to */
    size_t bytes;      /* queued in all chunks */
};

void outq_init(struct outq *q, struct pool *pool);
void outq_free(struct outq *q);
void outq_copy(struct outq *q, const void *data, size_t n);
/* Bytes from..from+n of the blob: referenced, or copied when that is cheaper. */
void outq_blob(struct outq *q, struct blob *b, size_t from, size_t n);
/* Memory of somebody else that stays until it is consumed or the queue is freed. */
void outq_borrow(struct outq *q, const void *data, size_t n);
/* First contiguous piece; n is 0 when the queue is empty. */
struct str outq_peek(const struct outq *q);
/* The first pieces as I/O vectors; returns how many. */
int outq_iov(const struct outq *q, struct iovec *iov, int max);
/* Drop the first n bytes (n ≤ bytes). */
void outq_consume(struct outq *q, size_t n);
/* Move the first n bytes to the end of `to`: blobs by reference, the rest as a copy. */
void outq_move(struct outq *to, struct outq *from, size_t n);

#endif
