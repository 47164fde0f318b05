/*
 * DefaultStorageClass: claims that name no class get the default one. StorageObjectInUseProtection:
 * claims, volumes and classes of volume attributes go only when nobody uses them.
 * PersistentVolumeClaimResize: a claim grows only where its class can.
 */
#include "apiserver/admission/admission.h"
#include "api/quantity.h"
#include "proto/core_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

#define CLASS_ANNOTATION "volume.beta.kubernetes.io/storage-class"
#define IS_DEFAULT "storageclass.kubernetes.io/is-default-class"

static struct status *default_class(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, Core__V1__PersistentVolumeClaim__SCHEMA, ""))
        return NULL;
    Core__V1__PersistentVolumeClaim *claim = ad->object;
    if (claim->spec->storage_class_name || annotations_get(claim->metadata, CLASS_ANNOTATION))
        return NULL;
    const char *name;
    struct error err;
    if (admission_default_class(ad, CACHED_STORAGE_CLASSES, IS_DEFAULT, &name, &err) < 0)
        return status_from_error(ad->a, &err);
    claim->spec->storage_class_name = (char *)name;
    return NULL;
}

static struct status *protect(struct admission *ad)
{
    const char *finalizer = admission_is(ad, Core__V1__PersistentVolumeClaim__SCHEMA, "")
                                ? "kubernetes.io/pvc-protection"
                            : admission_is(ad, Core__V1__PersistentVolume__SCHEMA, "")
                                ? "kubernetes.io/pv-protection"
                            : admission_is(ad, Storage__V1__VolumeAttributesClass__SCHEMA, "")
                                ? "kubernetes.io/vac-protection"
                                : NULL;
    if (ad->op != ADMIT_CREATE || !finalizer)
        return NULL;
    Meta__V1__ObjectMeta *meta = object_meta(ad->object);
    for (size_t i = 0; i < meta->n_finalizers; i++)
        if (strcmp(meta->finalizers[i], finalizer) == 0)
            return NULL;
    api_append(ad->a, meta, finalizers, (char *)finalizer);
    return NULL;
}

static const char *requested(const Core__V1__PersistentVolumeClaim *claim)
{
    const Core__V1__VolumeResourceRequirements *r = claim->spec->resources;
    return r ? quantity_map_get(r->requests, r->n_requests, "storage") : NULL;
}

static struct status *resize(struct admission *ad)
{
    if (ad->op != ADMIT_UPDATE || !admission_is(ad, Core__V1__PersistentVolumeClaim__SCHEMA, ""))
        return NULL;
    const Core__V1__PersistentVolumeClaim *claim = ad->object, *old = ad->old;
    if (quantity_cmp(quantity_of(requested(claim)), quantity_of(requested(old))) <= 0)
        return NULL;
    if (!cstr_eq(old->status->phase, "Bound"))
        return admission_forbidden(ad, "Only bound persistent volume claims can be expanded");
    const char *name = annotations_get(claim->metadata, CLASS_ANNOTATION);
    if (!name)
        name = claim->spec->storage_class_name;
    void *object = NULL;
    struct error err;
    int rc = name && *name
                 ? admission_load(ad, CACHED_STORAGE_CLASSES, "", name, &object, NULL, &err)
                 : 0;
    if (rc < 0)
        return status_from_error(ad->a, &err);
    const Storage__V1__StorageClass *class = object;
    if (rc == 1 && api_get(class, allow_volume_expansion, false))
        return NULL;
    return admission_forbidden(
        ad, "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            "the pvc must support resize");
}

const struct admission_plugin admission_storage_class = {.name = "DefaultStorageClass",
                                                         .mutate = default_class};
const struct admission_plugin admission_storage_in_use = {.name = "StorageObjectInUseProtection",
                                                          .mutate = protect};
const struct admission_plugin admission_claim_resize = {.name = "PersistentVolumeClaimResize",
                                                        .validate = resize};
