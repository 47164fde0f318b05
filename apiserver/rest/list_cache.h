/*
 * Answers to lists that are asked for again and again while nothing changes: many clients that start at once,
 * or one that polls. The state at a revision never changes, so an answer made at the current revision is
 * right for as long as that stays the current one; with the next write anywhere it is forgotten.
 *
 * An answer is kept when it is asked for the second time at its revision, and for a second at most: an idle
 * server holds none. One cache per loop, on its thread.
 */
#ifndef C8S_APISERVER_REST_LIST_CACHE_H
#define C8S_APISERVER_REST_LIST_CACHE_H

#include "base/blob.h"
#include "net/loop.h"

#define LIST_CACHE_BYTES_MAX (4u << 20) /* of all answers of a loop */

struct list_cache;
struct list_cache *list_cache_new(struct loop *loop);
void list_cache_free(struct list_cache *c); /* NULL is fine */
/* The answer (no reference of its own), or NULL; then *keep says whether one made now is worth keeping. `key` is
 * everything that the answer depends on, besides the revision. */
struct blob *list_cache_get(struct list_cache *c, struct str key, int64_t rev, bool *keep);
/* Takes a reference of its own; too long an answer is not kept. */
void list_cache_put(struct list_cache *c, struct str key, int64_t rev, struct blob *answer);

#endif
