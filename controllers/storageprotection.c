/*
 * Storage protection: claims, volumes and classes of volume attributes carry a finalizer from their creation
 * (admission's StorageObjectInUseProtection). These controllers take it off a deleted claim when no pod uses
 * it any more, off a deleted volume when no claim is bound to it, and off a deleted class when no claim and no
 * volume names it.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/mem.h"
#include "proto/core_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"
#include <stdio.h>

#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
#define VOLUME_FINALIZER "kubernetes.io/pv-protection"
#define ATTRIBUTES_FINALIZER "kubernetes.io/vac-protection"
#define CLASSES resource_of_message(Storage__V1__VolumeAttributesClass__SCHEMA)

struct protection {
    struct client *client;
    struct workqueue *queue;
    struct informer *objects;
    struct informer *pods;             /* of claims */
    struct informer *claims, *volumes; /* of classes */
};

/* Take the finalizer off and write. */
static int release(struct protection *c, const struct resource *r, const void *have,
                   const char *finalizer, struct error *err)
{
    struct arena a;
    struct error failure = {0};
    arena_init(&a);
    void *object = object_clone(&a, have);
    if (remove_finalizer(object_meta(object), finalizer))
        client_update(c->client, r, object, NULL, &a, &failure);
    arena_free(&a);
    return write_result(&failure, err);
}

static bool is_held(const Meta__V1__ObjectMeta *meta, const char *finalizer)
{
    return meta->deletion_timestamp && has_finalizer(meta, finalizer);
}

static struct protection *open_protection(struct manager *m, struct workqueue *queue,
                                          const struct resource *r)
{
    struct protection *c = mem_zalloc(sizeof *c);
    c->client = manager_client(m);
    c->queue = queue;
    c->objects = manager_informer(m, r);
    informer_enqueue(c->objects, queue);
    return c;
}

static void close_protection(void *ctx)
{
    mem_free(ctx);
}

/* ---- claims ---- */

/* The claim of a pod's volume; false: it has none. A volume of the pod's own makes its claim's name. */
static bool claim_of(const Core__V1__Pod *pod, const Core__V1__Volume *v, char *out, size_t size)
{
    const Core__V1__VolumeSource *s = v->volume_source;
    if (s->persistent_volume_claim)
        snprintf(out, size, "%s", s->persistent_volume_claim->claim_name);
    else if (s->ephemeral)
        snprintf(out, size, "%s-%s", pod->metadata->name, v->name);
    return s->persistent_volume_claim || s->ephemeral;
}

static void pod_changed(void *ctx, struct object *o)
{
    struct protection *c = ctx;
    const Core__V1__Pod *pod = o->msg;
    char claim[512], key[1024];
    for (size_t i = 0; i < pod->spec->n_volumes; i++)
        if (claim_of(pod, pod->spec->volumes[i], claim, sizeof claim)) {
            snprintf(key, sizeof key, "%s/%s", pod->metadata->namespace_, claim);
            workqueue_add(c->queue, key);
        }
}

static bool uses(const Core__V1__Pod *pod, const char *name)
{
    char claim[512];
    for (size_t i = 0; *pod->spec->node_name && i < pod->spec->n_volumes; i++)
        if (claim_of(pod, pod->spec->volumes[i], claim, sizeof claim) && strcmp(claim, name) == 0)
            return true;
    return false;
}

static bool is_used(struct protection *c, const Meta__V1__ObjectMeta *claim)
{
    struct object_refs pods = {0};
    bool used = false;
    informer_list(c->pods, claim->namespace_, &pods);
    for (size_t i = 0; i < pods.len && !used; i++)
        used = uses(pods.items[i]->msg, claim->name);
    object_refs_free(&pods);
    return used;
}

static int reconcile_claim(void *ctx, const char *key, struct error *err)
{
    struct protection *c = ctx;
    struct object *o = informer_get_key(c->objects, key);
    int rc = 0;
    if (o && is_held(object_meta(o->msg), CLAIM_FINALIZER) && !is_used(c, object_meta(o->msg)))
        rc = release(c, RESOURCE_PERSISTENTVOLUMECLAIMS, o->msg, CLAIM_FINALIZER, err);
    object_unref(o);
    return rc;
}

static void *open_claims(struct manager *m, struct workqueue *queue)
{
    struct protection *c = open_protection(m, queue, RESOURCE_PERSISTENTVOLUMECLAIMS);
    c->pods = manager_informer(m, RESOURCE_PODS);
    informer_add_handler(c->pods, &(struct informer_handler){.on_delete = pod_changed, .ctx = c});
    return c;
}

/* ---- volumes ---- */

static int reconcile_volume(void *ctx, const char *key, struct error *err)
{
    struct protection *c = ctx;
    struct object *o = informer_get_key(c->objects, key);
    const Core__V1__PersistentVolume *pv = o ? o->msg : NULL;
    int rc = 0;
    if (pv && is_held(pv->metadata, VOLUME_FINALIZER) && !cstr_eq(pv->status->phase, "Bound"))
        rc = release(c, RESOURCE_PERSISTENTVOLUMES, pv, VOLUME_FINALIZER, err);
    object_unref(o);
    return rc;
}

static void *open_volumes(struct manager *m, struct workqueue *queue)
{
    return open_protection(m, queue, RESOURCE_PERSISTENTVOLUMES);
}

/* ---- classes of volume attributes ---- */

#define NAMES_MAX 3

/* What a claim names: the class it wants, the one it has, and the one that it is about to get. */
static size_t names_of_claim(const void *object, const char *out[NAMES_MAX])
{
    const Core__V1__PersistentVolumeClaim *claim = object;
    const Core__V1__ModifyVolumeStatus *modify = claim->status->modify_volume_status;
    out[0] = claim->spec->volume_attributes_class_name;
    out[1] = claim->status->current_volume_attributes_class_name;
    out[2] = modify ? modify->target_volume_attributes_class_name : NULL;
    return 3;
}

static size_t names_of_volume(const void *object, const char *out[NAMES_MAX])
{
    out[0] = ((const Core__V1__PersistentVolume *)object)->spec->volume_attributes_class_name;
    return 1;
}

typedef size_t names_fn(const void *object, const char *out[NAMES_MAX]);

static void enqueue_names(struct protection *c, const void *object, names_fn *names_of)
{
    const char *names[NAMES_MAX];
    size_t n = names_of(object, names);
    for (size_t i = 0; i < n; i++)
        if (names[i] && *names[i])
            workqueue_add(c->queue, names[i]);
}

static void claim_gone(void *ctx, struct object *o)
{
    enqueue_names(ctx, o->msg, names_of_claim);
}

static void claim_changed(void *ctx, struct object *old, struct object *now)
{
    (void)now;
    claim_gone(ctx, old);
}

static void volume_gone(void *ctx, struct object *o)
{
    enqueue_names(ctx, o->msg, names_of_volume);
}

static void volume_changed(void *ctx, struct object *old, struct object *now)
{
    (void)now;
    volume_gone(ctx, old);
}

static bool is_named(struct informer *objects, names_fn *names_of, const char *class)
{
    struct object_refs all = {0};
    bool found = false;
    informer_list(objects, NULL, &all);
    for (size_t i = 0; i < all.len && !found; i++) {
        const char *names[NAMES_MAX];
        size_t n = names_of(all.items[i]->msg, names);
        for (size_t k = 0; k < n; k++)
            found |= cstr_eq(names[k], class);
    }
    object_refs_free(&all);
    return found;
}

/* One that was made before admission gave out finalizers gets it now. */
static int hold(struct protection *c, const void *have, struct error *err)
{
    struct arena a;
    struct error failure = {0};
    arena_init(&a);
    void *object = object_clone(&a, have);
    api_append(&a, object_meta(object), finalizers, (char *)ATTRIBUTES_FINALIZER);
    client_update(c->client, CLASSES, object, NULL, &a, &failure);
    arena_free(&a);
    return write_result(&failure, err);
}

static int reconcile_class(void *ctx, const char *key, struct error *err)
{
    struct protection *c = ctx;
    struct object *o = informer_get_key(c->objects, key);
    int rc = 0;
    if (!o)
        return 0;
    const Meta__V1__ObjectMeta *meta = object_meta(o->msg);
    if (is_held(meta, ATTRIBUTES_FINALIZER)) {
        if (!is_named(c->volumes, names_of_volume, meta->name) &&
            !is_named(c->claims, names_of_claim, meta->name))
            rc = release(c, CLASSES, o->msg, ATTRIBUTES_FINALIZER, err);
    } else if (!meta->deletion_timestamp && !has_finalizer(meta, ATTRIBUTES_FINALIZER)) {
        rc = hold(c, o->msg, err);
    }
    object_unref(o);
    return rc;
}

static void *open_classes(struct manager *m, struct workqueue *queue)
{
    struct protection *c = open_protection(m, queue, CLASSES);
    c->claims = manager_informer(m, RESOURCE_PERSISTENTVOLUMECLAIMS);
    c->volumes = manager_informer(m, RESOURCE_PERSISTENTVOLUMES);
    informer_add_handler(
        c->claims,
        &(struct informer_handler){.on_update = claim_changed, .on_delete = claim_gone, .ctx = c});
    informer_add_handler(c->volumes, &(struct informer_handler){.on_update = volume_changed,
                                                                .on_delete = volume_gone,
                                                                .ctx = c});
    return c;
}

const struct controller controller_pvcprotection = {
    .name = "persistentvolumeclaim-protection-controller",
    .workers = 1,
    .open = open_claims,
    .reconcile = reconcile_claim,
    .close = close_protection};
const struct controller controller_pvprotection = {.name = "persistentvolume-protection-controller",
                                                   .workers = 1,
                                                   .open = open_volumes,
                                                   .reconcile = reconcile_volume,
                                                   .close = close_protection};
const struct controller controller_vacprotection = {
    .name = "volumeattributesclass-protection-controller",
    .workers = 1,
    .open = open_classes,
    .reconcile = reconcile_class,
    .close = close_protection};
