/*
 * Pool, inside net/ only: memory for the many small objects of one loop (nghttp2's streams and frames,
 * output chunks), kept in free lists by size.
 *
 * A burst of a thousand requests frees a thousand objects of each kind at once: malloc then merges and
 * splits them again and again, which was a fifth of a request's cost. One thread; pieces above POOL_PIECE_MAX
 * go to malloc. What the lists keep is bounded.
 */
#ifndef C8S_NET_POOL_H
#define C8S_NET_POOL_H

#include <stddef.h>

#define POOL_PIECE_MAX 1024u
#define POOL_KEEP_BYTES (2u << 20) /* in all free lists together */

struct pool;

struct pool *pool_new(void);
void pool_free(struct pool *p); /* every piece must have been given back */
void *pool_alloc(struct pool *p, size_t n);
void *pool_calloc(struct pool *p, size_t count, size_t size);
void *pool_realloc(struct pool *p, void *piece, size_t n);
void pool_release(struct pool *p, void *piece); /* NULL is fine */

/* Bytes that wait in output queues, wherever they lie. */
void pool_hold(struct pool *p, size_t n);
void pool_unhold(struct pool *p, size_t n);
size_t pool_held(const struct pool *p);

#endif
