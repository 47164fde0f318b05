/*
 * The few small resources that admission asks for on nearly every write, decoded and in memory: one
 * cache per worker, loaded from the local store and kept by store watches.
 *
 *     store ──watch──▶ on_events ──▶ map "ns/name" → object
 *                                    map "ns"      → objects of that namespace
 *
 * Everything runs on the worker's own thread, so there is no lock and no reference count: what a
 * look-up returns is valid until the caller returns to its loop. It may lag behind the store by the
 * watch's delay; who must not decide by old data pins the object's revision in its transaction, or
 * asks the store once the first answer was no (admission_load does that).
 */
#ifndef C8S_APISERVER_OBJECT_CACHE_H
#define C8S_APISERVER_OBJECT_CACHE_H

#include "api/object.h"

struct kv;
struct loop;

enum cached_kind {
    CACHED_NAMESPACES,
    CACHED_SERVICE_ACCOUNTS,
    CACHED_LIMIT_RANGES,
    CACHED_RESOURCE_QUOTAS,
    CACHED_PRIORITY_CLASSES,
    CACHED_RUNTIME_CLASSES,
    CACHED_STORAGE_CLASSES,
    CACHED_INGRESS_CLASSES,
    CACHED_FLOW_SCHEMAS,
    CACHED_PRIORITY_LEVELS,
    CACHED_KINDS,
};

struct cached_object {
    void *object; /* of the stored version; shared: never changed */
    int64_t mod_rev;
    /* The cache's. */
    struct arena arena;
    struct cached_object *next; /* of the same namespace */
};

struct object_cache;

/* On the loop's thread, as all below. Reads the store; the watches start now. */
struct object_cache *object_cache_new(struct kv *kv, struct loop *loop);
void object_cache_free(struct object_cache *c); /* NULL is fine */

/* False while a kind could not be read: ask the store instead. */
bool object_cache_ready(const struct object_cache *c, enum cached_kind kind);
/* NULL when there is none. ns "" for cluster-scoped kinds. */
const struct cached_object *object_cache_get(const struct object_cache *c, enum cached_kind kind,
                                             const char *ns, const char *name);
/* The first of a namespace's objects (by `next`), in no order; NULL when there are none. */
const struct cached_object *object_cache_first(const struct object_cache *c, enum cached_kind kind,
                                               const char *ns);
/* Call fn after each change of that kind's objects; one for each kind. */
void object_cache_on_change(struct object_cache *c, enum cached_kind kind, void (*fn)(void *ctx),
                            void *ctx);
/* The schema id of a kind's objects. */
int cached_kind_message(enum cached_kind kind);

#endif
