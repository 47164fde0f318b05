/*
 * Endpoints controller: the older form of the same list, one object of the service's name, for
 * clients that still read it.
 */
#include "api/meta.h"
#include "base/mem.h"
#include "controllers/services.h"

#define LABEL_MANAGED "endpoints.kubernetes.io/managed-by"

static void endpoints_changed(void *ctx, struct object *o)
{
    struct services *s = ctx;
    struct arena a;
    arena_init(&a);
    workqueue_add(s->queue, informer_key(&a, o->ns, o->name));
    arena_free(&a);
}

static Core__V1__Endpoints *describe(struct arena *a, const Core__V1__Service *service,
                                     const struct object *have)
{
    Core__V1__Endpoints *e = have ? object_clone(a, have->msg) : api_new(a, Core__V1__Endpoints);
    e->metadata->namespace_ = service->metadata->namespace_;
    e->metadata->name = service->metadata->name;
    for (size_t i = 0; i < service->metadata->n_labels; i++)
        labels_set(a, e->metadata, service->metadata->labels[i]->key,
                   service->metadata->labels[i]->value);
    labels_set(a, e->metadata, LABEL_MANAGED, "endpoint-controller");
    if (cstr_eq(service->spec->cluster_ip, "None"))
        labels_set(a, e->metadata, "service.kubernetes.io/headless", "");
    return e;
}

static int sync_endpoints(struct services *s, const Core__V1__Service *service, struct object *have,
                          struct arena *a, struct error *err)
{
    struct object_refs pods = {0};
    size_t groups_len;
    struct endpoint_group *groups = services_desired(s, a, service, &pods, &groups_len);
    Core__V1__Endpoints *e = describe(a, service, have);
    endpoints_fill(a, e, groups, groups_len);
    struct error failure = {0};
    if (!have)
        client_create(s->client, RESOURCE_ENDPOINTS, e, NULL, a, &failure);
    else if (!object_equal(e, have->msg))
        client_update(s->client, RESOURCE_ENDPOINTS, e, NULL, a, &failure);
    object_refs_free(&pods);
    return write_result(&failure, err);
}

/* Endpoints have no owner reference: they go with their service by name. */
static int remove_endpoints(struct services *s, const struct object *have, struct error *err)
{
    if (!cstr_eq(labels_get(object_meta(have->msg), LABEL_MANAGED), "endpoint-controller"))
        return 0; /* made by hand, for a service without selector perhaps */
    struct delete_options d = {.grace_period_s = -1, .uid = have->uid};
    struct error failure = {0};
    client_delete(s->client, RESOURCE_ENDPOINTS, have->ns, have->name, &d, NULL, &failure);
    return write_result(&failure, err);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct services *s = ctx;
    struct object *o = informer_get_key(s->services, key), *have = informer_get_key(s->own, key);
    const Core__V1__Service *service = o ? o->msg : NULL;
    struct arena a;
    arena_init(&a);
    int rc = 0;
    if (!service && have)
        rc = remove_endpoints(s, have, err);
    else if (service && service_is_ours(service) &&
             time_is_zero(service->metadata->deletion_timestamp))
        rc = sync_endpoints(s, service, have, &a, err);
    arena_free(&a);
    object_unref(have);
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct services *s = mem_zalloc(sizeof *s);
    services_open(s, m, queue, RESOURCE_ENDPOINTS);
    informer_add_handler(s->own, &(struct informer_handler){.on_add = endpoints_changed,
                                                            .on_delete = endpoints_changed,
                                                            .ctx = s});
    return s;
}

static void close_controller(void *ctx)
{
    mem_free(ctx);
}

const struct controller controller_endpoints = {.name = "endpoints",
                                                .workers = 1,
                                                .open = open_controller,
                                                .reconcile = reconcile,
                                                .close = close_controller};
