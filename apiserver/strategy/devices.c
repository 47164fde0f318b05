/*
 * Claims for devices: administrators' access is for namespaces that are meant for it; what drivers say of a device goes
 * when the device is no longer allocated.
 */
#include "api/meta.h"
#include "api/validation.h"
#include "apiserver/admission/admission.h"
#include "apiserver/strategy/strategy.h"
#include "base/map.h"
#include "proto/resource_v1.pb-c.h"

#define ADMIN_LABEL "resource.kubernetes.io/admin-access"

typedef Resource__V1__ResourceClaimStatus Status;
typedef Resource__V1__AllocatedDeviceStatus DeviceStatus;

/* ---- administrators' access ---- */

/* The first request that asks for it, or -1. */
static ptrdiff_t wants_admin(const Resource__V1__DeviceClaim *claim)
{
    for (size_t i = 0; i < claim->n_requests; i++) {
        const Resource__V1__ExactDeviceRequest *r = claim->requests[i]->exactly;
        if (r && r->has_admin_access && r->admin_access)
            return (ptrdiff_t)i;
    }
    return -1;
}

static struct status *check_admin(struct write *w, void *obj,
                                  const Resource__V1__DeviceClaim *claim)
{
    ptrdiff_t at = wants_admin(claim);
    struct arena *a = w->rq->a;
    struct admission ad;
    struct error err;
    void *ns;
    if (at < 0)
        return NULL;
    admission_of_write(&ad, w, ADMIT_CREATE, obj, NULL, NULL);
    int rc = admission_load(&ad, CACHED_NAMESPACES, "", w->ns, &ns, NULL, &err);
    if (rc < 0)
        return status_from_error(a, &err);
    const char *label = rc ? labels_get(object_meta(ns), ADMIN_LABEL) : NULL;
    if (label && strcmp(label, "true") == 0)
        return NULL;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct field_errors e = {.arena = a};
    field_error_add(&e, FIELD_FORBIDDEN,
                    arena_printf(a, "spec.devices.requests[%td].adminAccess", at), NULL,
                    "admin access to devices requires the `" ADMIN_LABEL
                    ": true` label on the containing namespace");
    return status_invalid_fields(a, &about, &e);
}

/* A spec never changes: it is looked at once. */
static struct status *admit_claim(struct write *w, void *obj, const void *old)
{
    return old ? NULL
               : check_admin(w, obj, ((const Resource__V1__ResourceClaim *)obj)->spec->devices);
}

static struct status *admit_template(struct write *w, void *obj, const void *old)
{
    const Resource__V1__ResourceClaimTemplate *t = obj;
    return old ? NULL : check_admin(w, obj, t->spec->spec->devices);
}

/* ---- status ---- */

static struct str device_key(struct arena *a, const char *driver, const char *pool,
                             const char *device)
{
    return str_from(arena_printf(a, "%s\n%s\n%s", driver, pool, device));
}

/* The devices that are allocated; nobody has counted them yet. */
static void allocated(struct arena *a, const Status *s, struct map *out)
{
    map_init(out);
    for (size_t i = 0; s->allocation && i < s->allocation->devices->n_results; i++) {
        Resource__V1__DeviceRequestAllocationResult *r = s->allocation->devices->results[i];
        map_put(out, device_key(a, r->driver, r->pool, r->device), r);
    }
}

static void drop_deallocated(struct write *w, void *obj, const void *old)
{
    Status *now = ((Resource__V1__ResourceClaim *)obj)->status;
    const Status *was = ((const Resource__V1__ResourceClaim *)old)->status;
    struct arena *a = w->rq->a;
    struct map before, after;
    size_t n = 0;
    allocated(a, was, &before);
    allocated(a, now, &after);
    for (size_t i = 0; i < now->n_devices; i++) {
        DeviceStatus *d = now->devices[i];
        struct str key = device_key(a, d->driver, d->pool, d->device);
        if (!map_has(&before, key) || map_has(&after, key))
            now->devices[n++] = d;
    }
    now->n_devices = n;
    map_free(&before);
    map_free(&after);
}

const struct strategy strategy_resource_claim = {
    .message = Resource__V1__ResourceClaim__SCHEMA,
    .flags = STRATEGY_STATUS_KEEPS_META | STRATEGY_RETURN_DELETED,
    .prepare_status = drop_deallocated,
    .admit = admit_claim,
};
const struct strategy strategy_resource_claim_template = {
    .message = Resource__V1__ResourceClaimTemplate__SCHEMA,
    .flags = STRATEGY_RETURN_DELETED,
    .admit = admit_template,
};
