/*
 * Questions about pods, adoption and release (controllers/pods.h).
 */
#include "controllers/pods.h"

#include "api/meta.h"
#include "base/buf.h"
#include "base/mem.h"

bool pod_is_terminating(const Core__V1__Pod *pod)
{
    return !time_is_zero(pod->metadata->deletion_timestamp);
}

bool pod_has_ended(const Core__V1__Pod *pod)
{
    return cstr_eq(pod->status->phase, "Succeeded") || cstr_eq(pod->status->phase, "Failed");
}

bool pod_is_active(const Core__V1__Pod *pod)
{
    return !pod_has_ended(pod) && !pod_is_terminating(pod);
}

const Core__V1__PodCondition *pod_condition(const Core__V1__Pod *pod, const char *type)
{
    for (size_t i = 0; i < pod->status->n_conditions; i++)
        if (cstr_eq(pod->status->conditions[i]->type, type))
            return pod->status->conditions[i];
    return NULL;
}

bool pod_is_ready(const Core__V1__Pod *pod)
{
    const Core__V1__PodCondition *c = pod_condition(pod, "Ready");
    return c && cstr_eq(c->status, "True");
}

bool pod_is_available(const Core__V1__Pod *pod, int32_t min_ready_s, int64_t now_s, int64_t *wait_s)
{
    if (!pod_is_ready(pod))
        return false;
    if (min_ready_s <= 0)
        return true;
    int64_t since = time_ns(pod_condition(pod, "Ready")->last_transition_time) / 1000000000;
    int64_t missing = since + min_ready_s - now_s;
    if (missing <= 0)
        return true;
    if (wait_s)
        *wait_s = MIN(*wait_s, missing);
    return false;
}

int32_t pod_restarts(const Core__V1__Pod *pod)
{
    int32_t max = 0;
    for (size_t i = 0; i < pod->status->n_container_statuses; i++)
        max = MAX(max, pod->status->container_statuses[i]->restart_count);
    return max;
}

/* ----------------------------------------------------------------------------------- claiming ---
 */

enum claim claim_decide(const Meta__V1__ObjectMeta *object, const struct label_selector *selector,
                        const Meta__V1__ObjectMeta *owner)
{
    const Meta__V1__OwnerReference *controller = controller_of(object);
    bool matches = label_selector_matches_meta(selector, object);
    if (controller && !cstr_eq(controller->uid, owner->uid))
        return CLAIM_NONE;
    bool owner_goes = !time_is_zero(owner->deletion_timestamp);
    if (controller) {
        if (matches)
            return CLAIM_OWNED;
        return owner_goes ? CLAIM_NONE : CLAIM_RELEASE;
    }
    bool object_goes = !time_is_zero(object->deletion_timestamp);
    return matches && !owner_goes && !object_goes ? CLAIM_ADOPT : CLAIM_NONE;
}

static int patch_owner(struct client *c, const struct resource *r,
                       const Meta__V1__ObjectMeta *object, struct buf *patch, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct error failure = {0};
    client_patch(c, r, object->namespace_, object->name, PATCH_STRATEGIC, buf_str(patch), NULL, &a,
                 &failure);
    arena_free(&a);
    buf_free(patch);
    /* Gone, or (422) no longer the object of that uid: nothing to claim. */
    if (failure.code == 0 || failure.code == ERR_NOT_FOUND || failure.code == ERR_INVALID)
        return 0;
    return error_set(err, failure.code, "%s", failure.message);
}

int claim_adopt(struct client *c, const struct resource *r, const Meta__V1__ObjectMeta *object,
                const void *owner, struct error *err)
{
    const Meta__V1__ObjectMeta *meta = object_meta(owner);
    struct buf patch;
    buf_init(&patch);
    buf_printf(&patch,
               "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\","
               "\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,\"blockOwnerDeletion\":true}],"
               "\"uid\":\"%s\"}}",
               object_api_version(owner), object_kind(owner), meta->name, meta->uid, object->uid);
    return patch_owner(c, r, object, &patch, err);
}

int claim_release(struct client *c, const struct resource *r, const Meta__V1__ObjectMeta *object,
                  const Meta__V1__ObjectMeta *owner, struct error *err)
{
    struct buf patch;
    buf_init(&patch);
    buf_printf(&patch,
               "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%s\"}],"
               "\"uid\":\"%s\"}}",
               owner->uid, object->uid);
    return patch_owner(c, r, object, &patch, err);
}
