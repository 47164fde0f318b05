/*
 * One object in every namespace (controllers/per_namespace.h).
 */
#include "controllers/per_namespace.h"

#include "api/meta.h"
#include "base/mem.h"

static void object_changed(void *ctx, struct object *o)
{
    struct per_namespace *c = ctx;
    workqueue_add(c->queue, o->ns);
}

static void object_updated(void *ctx, struct object *old, struct object *o)
{
    (void)old;
    object_changed(ctx, o);
}

struct per_namespace *per_namespace_open(struct manager *m, struct workqueue *queue,
                                         const struct informer_config *objects,
                                         int (*make)(struct per_namespace *c, const char *ns,
                                                     struct arena *a, struct error *err))
{
    struct per_namespace *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    c->make = make;
    c->namespaces = manager_informer(m, RESOURCE_NAMESPACES);
    c->objects = manager_own_informer(m, objects);
    informer_enqueue(c->namespaces, queue);
    informer_add_handler(c->objects, &(struct informer_handler){.on_update = object_updated,
                                                                .on_delete = object_changed,
                                                                .ctx = c});
    return c;
}

int per_namespace_reconcile(void *ctx, const char *key, struct error *err)
{
    struct per_namespace *c = ctx;
    struct object *ns = informer_get_key(c->namespaces, key);
    int rc = 0;
    if (ns && time_is_zero(object_meta(ns->msg)->deletion_timestamp)) {
        struct arena a;
        arena_init(&a);
        rc = c->make(c, key, &a, err);
        arena_free(&a);
    }
    object_unref(ns);
    return rc;
}

void per_namespace_close(void *ctx)
{
    mem_free(ctx);
}
