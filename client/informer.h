/*
 * Informer: a local, always nearly current copy of one resource, kept by list and watch.
 *
 *    API server ──list──▶ cache ◀──watch── API server        cache ──handlers──▶ work queues
 *
 * The cache holds immutable decoded objects with a reference count: an update puts a new object in
 * place of the old one, so a reader may keep what it got for as long as it holds its reference, on
 * any thread. Never change an object from a cache.
 *
 * Order and time: handlers run on the client's I/O thread, one event after the other, and the cache
 * already shows the event when a handler runs. Handlers must not block (add a key to a queue).
 *
 * Never back in time: the informer remembers the highest revision it has seen and relists "at least
 * as new as" that one, so failing over to a member that lags waits instead of showing the past. A
 * lost watch is resumed from the last revision; 410 Gone leads to a relist, whose difference to the
 * cache is delivered as ordinary add/update/delete calls.
 *
 * Unless the past is all there is: a server that cannot reach that revision (504, ResourceVersionTooLarge), or says
 * that it is no more (410), is asked for the newest state instead. That list is linearizable, so a member that lags still waits for the others; of a store
 * that was restored from a backup it is older than what was seen, and takes its place.
 */
#ifndef C8S_CLIENT_INFORMER_H
#define C8S_CLIENT_INFORMER_H

#include "client/client.h"
#include <stdatomic.h>

/* One version of one object. Immutable; shared by reference. */
struct object {
    atomic_uint refs;
    const char *ns; /* "" for cluster-scoped */
    const char *name;
    const char *uid;
    const char *resource_version;
    uint64_t revision;  /* resource_version as a number */
    void *msg;          /* the decoded message: Core__V1__Pod *, … */
    struct arena arena; /* holds all of it */
};
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is fine */

/* A result list; each item holds a reference. */
struct object_refs {
    struct object **items;
    size_t len, cap;
};
void object_refs_free(struct object_refs *l); /* drops the references */

/* Index functions: call emit(emit_ctx, value) for each value the object is found under. */
typedef void index_fn(const void *msg, void (*emit)(void *emit_ctx, const char *value),
                      void *emit_ctx);
/* Ready-made ones. */
index_fn index_by_node;       /* pods: spec.nodeName */
index_fn index_by_controller; /* any kind: uid of the owner reference with controller=true */
index_fn index_by_owner;      /* any kind: uid of each owner reference */

#define INFORMER_INDEXES_MAX 4

struct informer_config {
    const struct resource *resource;
    const char *ns; /* NULL: all namespaces */
    const char *label_selector, *field_selector;
    bool metadata_only; /* msg is Meta__V1__PartialObjectMetadata */
    /* Drops what the cache need not hold, on the freshly decoded message, before it is shared.
     * metadata.managedFields is always dropped. May be NULL. */
    void (*trim)(void *msg);
    index_fn
        *indexes[INFORMER_INDEXES_MAX]; /* numbered 0… in this order; by namespace is built in */
};

/* All members may be NULL. `old` and `new_object` are borrowed for the call (object_ref to keep).
 */
struct informer_handler {
    void (*on_add)(void *ctx, struct object *new_object);
    void (*on_update)(void *ctx, struct object *old, struct object *new_object);
    void (*on_delete)(void *ctx, struct object *old); /* the last state known */
    void (*on_synced)(void *ctx);                     /* once, after the first list was delivered */
    void *ctx;
};

struct informer;
/* The strings of config are copied; the resource must outlive the informer. */
struct informer *informer_new(struct client *c, const struct informer_config *config);
/* Before informer_start. Up to 16 handlers. */
void informer_add_handler(struct informer *i, const struct informer_handler *h);
void informer_start(struct informer *i);
/* Stops and frees; after it returns no handler runs. Not from a handler. */
void informer_free(struct informer *i);

bool informer_has_synced(const struct informer *i);
/* Wait until each of n informers has synced; ERR_TIMEOUT past timeout_ms. */
int informer_wait_synced(struct informer *const *informers, size_t n, uint32_t timeout_ms,
                         struct error *err);

/* Reads; any thread. informer_get returns a new reference, or NULL. */
struct object *informer_get(struct informer *i, const char *ns, const char *name);
/* key "ns/name" or "name". */
struct object *informer_get_key(struct informer *i, const char *key);
/* Append to out. ns NULL: all. Unordered. */
void informer_list(struct informer *i, const char *ns, struct object_refs *out);
void informer_list_index(struct informer *i, unsigned index, const char *value,
                         struct object_refs *out);
size_t informer_count(struct informer *i);
/* Highest revision seen (of a list, an event or a bookmark). */
uint64_t informer_revision(struct informer *i);

/* Handler that adds "ns/name" (or "name") of every changed object to a queue (client/workqueue.h).
 */
struct workqueue;
void informer_enqueue(struct informer *i, struct workqueue *q);

/* "ns/name", or "name" when ns is empty, into the arena (back: object_key_split of api/meta.h). */
char *informer_key(struct arena *a, const char *ns, const char *name);

#endif
