/*
 * Services and their pods (controllers/services.h).
 */
#include "controllers/services.h"

#include "api/selector.h"
#include "base/mem.h"
#include "controllers/pods.h"

bool service_is_ours(const Core__V1__Service *service)
{
    return service->spec->n_selector && !cstr_eq(service->spec->type, "ExternalName");
}

static bool selects(const Core__V1__Service *service, const Meta__V1__ObjectMeta *pod)
{
    return service_is_ours(service) &&
           string_map_contains(pod->labels, pod->n_labels, service->spec->selector,
                               service->spec->n_selector);
}

/* Services that select the pod as it is, or as it was. */
static void enqueue_services(struct services *s, const struct object *old, const struct object *pod)
{
    struct object_refs all = {0};
    informer_list(s->services, pod->ns, &all);
    for (size_t i = 0; i < all.len; i++) {
        const Core__V1__Service *service = all.items[i]->msg;
        if (!selects(service, object_meta(pod->msg)) &&
            !(old && selects(service, object_meta(old->msg))))
            continue;
        struct arena a;
        arena_init(&a);
        workqueue_add(s->queue, informer_key(&a, pod->ns, all.items[i]->name));
        arena_free(&a);
    }
    object_refs_free(&all);
}

static void pod_changed(void *ctx, struct object *pod)
{
    enqueue_services(ctx, NULL, pod);
}

/* Only what an endpoint shows. */
static bool shows(const Core__V1__Pod *a, const Core__V1__Pod *b)
{
    return !cstr_eq(a->status->pod_ip, b->status->pod_ip) || pod_is_ready(a) != pod_is_ready(b) ||
           pod_is_terminating(a) != pod_is_terminating(b) || pod_has_ended(a) != pod_has_ended(b) ||
           !cstr_eq(a->spec->node_name, b->spec->node_name) ||
           a->metadata->n_labels != b->metadata->n_labels ||
           !string_map_contains(a->metadata->labels, a->metadata->n_labels, b->metadata->labels,
                                b->metadata->n_labels);
}

static void pod_updated(void *ctx, struct object *old, struct object *pod)
{
    if (shows(old->msg, pod->msg))
        enqueue_services(ctx, old, pod);
}

void services_open(struct services *s, struct manager *m, struct workqueue *queue,
                   const struct resource *own)
{
    s->client = manager_client(m);
    s->queue = queue;
    s->services = manager_informer(m, RESOURCE_SERVICES);
    s->pods = manager_informer(m, RESOURCE_PODS);
    s->nodes = manager_informer(m, RESOURCE_NODES);
    s->own = manager_informer(m, own);
    informer_enqueue(s->services, queue);
    informer_add_handler(s->pods, &(struct informer_handler){.on_add = pod_changed,
                                                             .on_update = pod_updated,
                                                             .on_delete = pod_changed,
                                                             .ctx = s});
}

struct zone_context {
    struct services *services;
    struct arena *a;
};

static const char *zone_of(void *ctx, const char *node)
{
    struct zone_context *z = ctx;
    struct object *o = informer_get(z->services->nodes, "", node);
    const char *zone = o ? labels_get(object_meta(o->msg), "topology.kubernetes.io/zone") : NULL;
    zone = zone ? arena_strdup(z->a, zone) : NULL;
    object_unref(o);
    return zone;
}

struct endpoint_group *services_desired(struct services *s, struct arena *a,
                                        const Core__V1__Service *service, struct object_refs *refs,
                                        size_t *len)
{
    informer_list(s->pods, service->metadata->namespace_, refs);
    Core__V1__Pod **pods = arena_array(a, Core__V1__Pod *, refs->len + 1);
    size_t n = 0;
    for (size_t i = 0; i < refs->len; i++)
        if (selects(service, object_meta(refs->items[i]->msg)))
            pods[n++] = refs->items[i]->msg;
    struct zone_context z = {s, a};
    return slices_desired(a, service, pods, n, zone_of, &z, len);
}
