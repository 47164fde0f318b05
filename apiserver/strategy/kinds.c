/*
 * Which strategy is whose: the table of resources of which little is special, with their small hooks, and
 * the list of those that have a file of their own.
 */
#include "api/defaults/defaults.h"
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "base/mem.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"
#include <inttypes.h>
#include <pthread.h>

static void keep_labels(struct write *w, void *obj, const void *old)
{
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    (void)w;
    meta->labels = object_meta(old)->labels;
    meta->n_labels = object_meta(old)->n_labels;
}

/* Counted once: what changes later does not matter to anybody who looks at the generation. */
static void first_generation(struct write *w, void *obj)
{
    (void)w;
    object_meta(obj)->generation = 1;
}

/* Only older versions of the API have it as a field. */
#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

static int64_t template_generation(const Meta__V1__ObjectMeta *meta)
{
    const char *text = annotations_get(meta, TEMPLATE_GENERATION);
    int64_t n;
    return text && str_to_i64(str_from(text), &n) && n > 0 ? n : 1;
}

static void set_template_generation(struct arena *a, Meta__V1__ObjectMeta *meta, int64_t n)
{
    annotations_set(a, meta, TEMPLATE_GENERATION, arena_printf(a, "%" PRId64, n));
}

static void first_template_generation(struct write *w, void *obj)
{
    set_template_generation(w->rq->a, object_meta(obj), template_generation(object_meta(obj)));
}

/* Clients do not choose it: it counts changes of the template, which a client who puts it need not say whole. */
static void count_template_generation(struct write *w, void *obj, const void *old)
{
    const Apps__V1__DaemonSet *ds = obj, *was = old;
    defaults_apply(w->rq->a, obj);
    bool changed = !object_equal(ds->spec->template_, was->spec->template_);
    set_template_generation(w->rq->a, object_meta(obj),
                            template_generation(object_meta(old)) + changed);
}

/* Slices of v1 have no topology; what an older version stored stays until the endpoints change. */
static void drop_slice_topology(struct write *w, void *obj)
{
    const Discovery__V1__EndpointSlice *slice = obj;
    (void)w;
    for (size_t i = 0; i < slice->n_endpoints; i++)
        slice->endpoints[i]->n_deprecated_topology = 0;
}

static void drop_new_slice_topology(struct write *w, void *obj, const void *old)
{
    const Discovery__V1__EndpointSlice *slice = obj, *was = old;
    bool same = slice->n_endpoints == was->n_endpoints;
    for (size_t i = 0; same && i < slice->n_endpoints; i++)
        same = object_equal(slice->endpoints[i], was->endpoints[i]);
    if (!same)
        drop_slice_topology(w, obj);
}

/* Counted from what it was made with, which is none. */
static void count_driver_changes(struct write *w, void *obj, const void *old)
{
    (void)w;
    if (!object_equal(((const Storage__V1__CSIDriver *)obj)->spec,
                      ((const Storage__V1__CSIDriver *)old)->spec))
        object_meta(obj)->generation++;
}

static const struct strategy generic = {.message = SCHEMA_NONE};
static const struct strategy counted[] = {
    {.message = Apps__V1__Deployment__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_ANNOTATIONS_COUNT,
     .prepare_status = keep_labels},
    {.message = Apps__V1__ReplicaSet__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Apps__V1__StatefulSet__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Apps__V1__DaemonSet__SCHEMA,
     .flags = STRATEGY_GENERATION,
     .prepare_create = first_template_generation,
     .prepare_update = count_template_generation},
    {.message = Batch__V1__CronJob__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Core__V1__ReplicationController__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_ORPHANS},
    {.message = Policy__V1__PodDisruptionBudget__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION},
    {.message = Networking__V1__Ingress__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Networking__V1__IngressClass__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Networking__V1__NetworkPolicy__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Networking__V1__IPAddress__SCHEMA, .flags = STRATEGY_GENERATION},
    {.message = Discovery__V1__EndpointSlice__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_LABELS_COUNT,
     .prepare_create = drop_slice_topology,
     .prepare_update = drop_new_slice_topology},
    {.message = Flowcontrol__V1__FlowSchema__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_STATUS_KEEPS_META},
    {.message = Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_STATUS_KEEPS_META},
    {.message = Scheduling__V1__PriorityClass__SCHEMA, .prepare_create = first_generation},
    {.message = Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION},
    {.message = Admissionregistration__V1__MutatingWebhookConfiguration__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicy__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_STATUS_KEEPS_META | STRATEGY_NEEDS_VERSION},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicyBinding__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION},
    {.message = Resource__V1__ResourceSlice__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_RETURN_DELETED},
    {.message = Resource__V1__DeviceClass__SCHEMA,
     .flags = STRATEGY_GENERATION | STRATEGY_RETURN_DELETED},
    {.message = Storage__V1__StorageClass__SCHEMA, .flags = STRATEGY_RETURN_DELETED},
    {.message = Storage__V1__VolumeAttributesClass__SCHEMA, .flags = STRATEGY_RETURN_DELETED},
    {.message = Storage__V1__CSIDriver__SCHEMA,
     .flags = STRATEGY_NEEDS_VERSION | STRATEGY_RETURN_DELETED,
     .prepare_update = count_driver_changes},
    {.message = Storage__V1__CSINode__SCHEMA,
     .flags = STRATEGY_NEEDS_VERSION | STRATEGY_RETURN_DELETED},
    {.message = Storage__V1__CSIStorageCapacity__SCHEMA, .flags = STRATEGY_NEEDS_VERSION},
    {.message = Storage__V1__VolumeAttachment__SCHEMA,
     .flags = STRATEGY_STATUS_KEEPS_META | STRATEGY_NEEDS_VERSION | STRATEGY_RETURN_DELETED},
    {.message = Node__V1__RuntimeClass__SCHEMA,
     .flags = STRATEGY_CREATE_ON_UPDATE | STRATEGY_NEEDS_VERSION},
    {.message = Apiregistration__V1__APIService__SCHEMA,
     .flags = STRATEGY_STATUS_KEEPS_META | STRATEGY_NEEDS_VERSION},
    {.message = Coordination__V1__Lease__SCHEMA,
     .flags = STRATEGY_CREATE_ON_UPDATE | STRATEGY_NEEDS_VERSION},
    {.message = Core__V1__Endpoints__SCHEMA, .flags = STRATEGY_CREATE_ON_UPDATE},
    {.message = Core__V1__PersistentVolume__SCHEMA, .flags = STRATEGY_RETURN_DELETED},
    {.message = Core__V1__PersistentVolumeClaim__SCHEMA, .flags = STRATEGY_RETURN_DELETED},
    {.message = Core__V1__PodTemplate__SCHEMA,
     .flags = STRATEGY_RETURN_DELETED | STRATEGY_GENERATION},
    {.message = Core__V1__ResourceQuota__SCHEMA, .flags = STRATEGY_RETURN_DELETED},
};

static const struct strategy *const special[] = {
    &strategy_pod,
    &strategy_custom,
    &strategy_crd,
    &strategy_node,
    &strategy_namespace,
    &strategy_limit_range,
    &strategy_secret,
    &strategy_service,
    &strategy_service_cidr,
    &strategy_service_account,
    &strategy_event,
    &strategy_role,
    &strategy_cluster_role,
    &strategy_role_binding,
    &strategy_cluster_role_binding,
    &strategy_job,
    &strategy_certificate_request,
    &strategy_resource_claim,
    &strategy_resource_claim_template,
};

static const struct strategy *strategy_of_message(uint16_t message)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (special[i]->message == message)
            return special[i];
    for (size_t i = 0; i < ARRAY_LEN(counted); i++)
        if (counted[i].message == message)
            return &counted[i];
    return &generic;
}

static const struct strategy **of_resource; /* as `resources` */
static pthread_once_t of_resource_once = PTHREAD_ONCE_INIT;

static void of_resource_make(void)
{
    of_resource = mem_alloc(resources_len * sizeof *of_resource);
    for (size_t i = 0; i < resources_len; i++)
        of_resource[i] = strategy_of_message(resources[i].stored_as);
}

const struct strategy *strategy_of(const struct resource *r)
{
    if (r->custom)
        return &strategy_custom;
    pthread_once(&of_resource_once, of_resource_make);
    return of_resource[r - resources];
}
