/*
 * EndpointSlice controller: for each service with a selector, slices that list its pods.
 */
#include "api/meta.h"
#include "base/mem.h"
#include "base/vec.h"
#include "controllers/expectations.h"
#include "controllers/services.h"

struct slices {
    struct services s;
    struct expectations *expectations; /* creations: a second look must not make the slice twice */
};

static bool is_ours(const Meta__V1__ObjectMeta *meta)
{
    return cstr_eq(labels_get(meta, SLICE_LABEL_MANAGER), SLICE_MANAGER);
}

static char *service_key(struct arena *a, const struct object *slice)
{
    const char *service = labels_get(object_meta(slice->msg), SLICE_LABEL_SERVICE);
    return service && is_ours(object_meta(slice->msg)) ? informer_key(a, slice->ns, service) : NULL;
}

static void slice_changed(struct slices *c, const struct object *slice, bool added)
{
    struct arena a;
    arena_init(&a);
    char *key = service_key(&a, slice);
    if (key && added)
        creation_observed(c->expectations, key);
    if (key)
        workqueue_add(c->s.queue, key);
    arena_free(&a);
}

static void slice_added(void *ctx, struct object *slice)
{
    slice_changed(ctx, slice, true);
}

static void slice_updated(void *ctx, struct object *old, struct object *slice)
{
    (void)old;
    slice_changed(ctx, slice, false);
}

static void slice_deleted(void *ctx, struct object *slice)
{
    slice_changed(ctx, slice, false);
}

static int carry_out(struct slices *c, const char *key, const struct slice_plan *plan,
                     struct arena *a, struct error *err)
{
    struct error failure = {0};
    if (plan->create_len)
        expect_creations(c->expectations, key, (unsigned)plan->create_len);
    for (size_t i = 0; i < plan->create_len; i++) {
        if (!client_create(c->s.client, RESOURCE_ENDPOINTSLICES, plan->create[i], NULL, a,
                           &failure))
            creation_observed(c->expectations, key); /* it will not come */
    }
    for (size_t i = 0; i < plan->update_len; i++)
        client_update(c->s.client, RESOURCE_ENDPOINTSLICES, plan->update[i], NULL, a, &failure);
    for (size_t i = 0; i < plan->remove_len; i++) {
        struct error gone = {0};
        client_delete(c->s.client, RESOURCE_ENDPOINTSLICES, plan->remove[i]->metadata->namespace_,
                      plan->remove[i]->metadata->name, NULL, NULL, &gone);
        if (gone.code && gone.code != ERR_NOT_FOUND)
            failure = gone;
    }
    return write_result(&failure, err);
}

static int sync_slices(struct slices *c, const char *key, const Core__V1__Service *service,
                       struct arena *a, struct error *err)
{
    struct object_refs pods = {0}, refs = {0};
    size_t groups_len, n = 0;
    struct endpoint_group *groups = services_desired(&c->s, a, service, &pods, &groups_len);
    informer_list(c->s.own, service->metadata->namespace_, &refs);
    Discovery__V1__EndpointSlice **existing =
        arena_array(a, Discovery__V1__EndpointSlice *, refs.len + 1);
    for (size_t i = 0; i < refs.len; i++) {
        const Meta__V1__ObjectMeta *meta = object_meta(refs.items[i]->msg);
        if (is_ours(meta) && time_is_zero(meta->deletion_timestamp) &&
            cstr_eq(labels_get(meta, SLICE_LABEL_SERVICE), service->metadata->name))
            existing[n++] = refs.items[i]->msg;
    }
    struct slice_plan plan = slices_plan(a, service, groups, groups_len, existing, n);
    int rc = carry_out(c, key, &plan, a, err);
    object_refs_free(&refs);
    object_refs_free(&pods);
    return rc;
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct slices *c = ctx;
    struct object *o = informer_get_key(c->s.services, key);
    if (!o) {
        expectations_forget(c->expectations, key); /* slices go by their owner reference */
        return 0;
    }
    const Core__V1__Service *service = o->msg;
    int rc = 0;
    if (service_is_ours(service) && time_is_zero(service->metadata->deletion_timestamp) &&
        expectations_met(c->expectations, key)) {
        struct arena a;
        arena_init(&a);
        rc = sync_slices(c, key, service, &a, err);
        arena_free(&a);
    }
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct slices *c = mem_zalloc(sizeof *c);
    c->expectations = expectations_new();
    services_open(&c->s, m, queue, RESOURCE_ENDPOINTSLICES);
    informer_add_handler(c->s.own, &(struct informer_handler){.on_add = slice_added,
                                                              .on_update = slice_updated,
                                                              .on_delete = slice_deleted,
                                                              .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    struct slices *c = ctx;
    expectations_free(c->expectations);
    mem_free(c);
}

const struct controller controller_endpointslice = {.name = "endpointslice",
                                                    .workers = 2,
                                                    .open = open_controller,
                                                    .reconcile = reconcile,
                                                    .close = close_controller};
