/*
 * Namespace controller: empties a namespace that is being deleted, then lets it go.
 *
 * Every resource that discovery names is deleted as a collection and counted; conditions say what
 * is left and why. When nothing is left the finalizer "kubernetes" is taken off spec, and the API
 * server removes the namespace.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/discovery.h"
#include "controllers/namespace.h"

#define RETRY_MS 1000 /* while objects end at their own pace */

struct namespaces {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    struct informer *informer;
};

static int delete_kind(struct namespaces *c, const struct discovered *x, const char *ns,
                       struct namespace_content *found, struct arena *a, struct error *err)
{
    struct client_options count = {.metadata_only = true, .limit = 500};
    const struct resource *r = x->resource;
    if (x->verbs & VERB_DELETECOLLECTION) {
        struct delete_options d = {.grace_period_s = -1, .propagation = "Background"};
        if (client_delete_collection(c->client, r, ns, &d, NULL, err) < 0)
            return err->code == ERR_NOT_FOUND || err->code == ERR_UNSUPPORTED ? 0 : err->code;
    }
    Meta__V1__PartialObjectMetadataList *left = client_list(c->client, r, ns, &count, a, err);
    if (!left)
        return err->code == ERR_NOT_FOUND || err->code == ERR_UNSUPPORTED ? 0 : err->code;
    if (!(x->verbs & VERB_DELETECOLLECTION)) {
        for (size_t i = 0; i < left->n_items; i++)
            client_delete(c->client, r, ns, left->items[i]->metadata->name, NULL, NULL, NULL);
    }
    for (size_t i = 0; i < left->n_items; i++)
        namespace_content_add(found, a, r, left->items[i]->metadata);
    return 0;
}

static int delete_content(struct namespaces *c, const char *ns, struct namespace_content *found,
                          struct arena *a, struct error *err)
{
    struct discovery d;
    if (discovery_load(c->client, &d, err) < 0) {
        found->discovery_error = arena_strdup(a, err->message);
        discovery_free(&d);
        return err->code;
    }
    int rc = 0;
    for (size_t i = 0; i < d.len && manager_running(c->manager); i++) {
        const struct discovered *x = &d.items[i];
        if (!x->resource->namespaced || !(x->verbs & VERB_LIST) || !(x->verbs & VERB_DELETE))
            continue;
        struct error failure = {0};
        if (delete_kind(c, x, ns, found, a, &failure) < 0) {
            found->deletion_error = arena_strdup(a, failure.message);
            rc = error_set(err, failure.code, "%s", failure.message);
        }
    }
    discovery_free(&d);
    return rc;
}

static int write_conditions(struct namespaces *c, const Core__V1__Namespace *ns,
                            const struct namespace_content *found, struct arena *a)
{
    Core__V1__Namespace *next = object_clone(a, ns);
    next->status->phase = "Terminating";
    namespace_conditions(a, next->status, found, clock_wall_s());
    if (object_equal(next->status, ns->status))
        return 0;
    struct error failure = {0};
    client_update_status(c->client, RESOURCE_NAMESPACES, next, NULL, a, &failure);
    return write_result(&failure, NULL);
}

static int finalize(struct namespaces *c, const Core__V1__Namespace *ns, struct arena *a,
                    struct error *err)
{
    struct error failure = {0};
    /* The newest version: conditions were written a moment ago. */
    Core__V1__Namespace *live =
        client_get(c->client, RESOURCE_NAMESPACES, NULL, ns->metadata->name, NULL, a, &failure);
    if (!live)
        return write_result(&failure, err);
    size_t n = 0;
    for (size_t i = 0; i < live->spec->n_finalizers; i++)
        if (!cstr_eq(live->spec->finalizers[i], "kubernetes"))
            live->spec->finalizers[n++] = live->spec->finalizers[i];
    if (n == live->spec->n_finalizers)
        return 0;
    live->spec->n_finalizers = n;
    struct client_options o = {.subresource = "finalize"};
    client_update(c->client, RESOURCE_NAMESPACES, live, &o, a, &failure);
    if (failure.code == 0)
        log_info("namespace", "emptied and finalized namespace=%s", ns->metadata->name);
    return write_result(&failure, err);
}

static int empty(struct namespaces *c, const char *key, const Core__V1__Namespace *ns,
                 struct arena *a, struct error *err)
{
    struct namespace_content found = {0};
    int rc = delete_content(c, ns->metadata->name, &found, a, err);
    if (write_conditions(c, ns, &found, a) < 0)
        workqueue_add_after(c->queue, key, RETRY_MS);
    if (rc < 0)
        return rc;
    if (found.len == 0)
        return finalize(c, ns, a, err);
    workqueue_add_after(c->queue, key, RETRY_MS);
    return 0;
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct namespaces *c = ctx;
    struct object *o = informer_get_key(c->informer, key);
    const Core__V1__Namespace *ns = o ? o->msg : NULL;
    int rc = 0;
    if (ns && !time_is_zero(ns->metadata->deletion_timestamp) && ns->spec->n_finalizers) {
        struct arena a;
        arena_init(&a);
        rc = empty(c, key, ns, &a, err);
        arena_free(&a);
    }
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct namespaces *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    c->informer = manager_informer(m, RESOURCE_NAMESPACES);
    informer_enqueue(c->informer, queue);
    return c;
}

static void close_controller(void *ctx)
{
    mem_free(ctx);
}

const struct controller controller_namespace = {.name = "namespace",
                                                .workers = 2,
                                                .open = open_controller,
                                                .reconcile = reconcile,
                                                .close = close_controller};
