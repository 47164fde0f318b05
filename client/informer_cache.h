/*
 * The store inside an informer: objects by key, and by index values. One lock; reads return
 * references.
 */
#ifndef C8S_CLIENT_INFORMER_CACHE_H
#define C8S_CLIENT_INFORMER_CACHE_H

#include "base/map.h"
#include "client/informer.h"
#include <pthread.h>

enum { CACHE_BY_NAMESPACE = INFORMER_INDEXES_MAX, CACHE_INDEXES, CACHE_ALL };

struct informer_cache {
    pthread_mutex_t lock;
    struct map objects; /* key → struct object, one reference each */
    index_fn *functions[CACHE_INDEXES];
    struct map indexes[CACHE_INDEXES]; /* value → struct bucket */
};

void informer_cache_init(struct informer_cache *c, index_fn *const functions[INFORMER_INDEXES_MAX]);
void informer_cache_free(struct informer_cache *c);
/* Takes a reference of its own; returns the object replaced (its reference is the caller's now) or
 * NULL. */
struct object *informer_cache_put(struct informer_cache *c, struct object *o);
/* Returns the object removed, with its reference, or NULL. */
struct object *informer_cache_remove(struct informer_cache *c, const char *ns, const char *name);
struct object *informer_cache_get(struct informer_cache *c, const char *ns, const char *name);
struct object *informer_cache_get_key(struct informer_cache *c, const char *key);
/* index: 0…, CACHE_BY_NAMESPACE or CACHE_ALL. */
void informer_cache_list(struct informer_cache *c, int index, const char *value, struct object_refs *out);
size_t informer_cache_count(struct informer_cache *c);

#endif
