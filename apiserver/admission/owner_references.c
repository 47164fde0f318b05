/*
 * OwnerReferencesPermissionEnforcement (off by default): who makes an object a dependent must be
 * allowed to delete it, and who lets it hold its owner back must be allowed to hold the owner back.
 */
#include "apiserver/admission/admission.h"
#include "api/meta.h"
#include "proto/core_v1.pb-c.h"

static bool changes_owners(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old)
{
    if (!old)
        return meta->n_owner_references > 0;
    if (meta->n_owner_references != old->n_owner_references)
        return true;
    for (size_t i = 0; i < meta->n_owner_references; i++)
        if (!object_equal(meta->owner_references[i], old->owner_references[i]))
            return true;
    return false;
}

static bool was_blocking(const Meta__V1__ObjectMeta *old, const char *uid)
{
    for (size_t i = 0; old && i < old->n_owner_references; i++)
        if (strcmp(old->owner_references[i]->uid, uid) == 0)
            return api_get(old->owner_references[i], block_owner_deletion, false);
    return false;
}

static struct status *check_block(struct admission *ad, const Meta__V1__OwnerReference *ref)
{
    const struct resource *r =
        resource_find_kind(str_from(ref->api_version), str_from(ref->kind), NULL);
    if (!r)
        return admission_forbidden(ad,
                                   "cannot set blockOwnerDeletion in this case because cannot find "
                                   "RESTMapping for APIVersion %s Kind %s: no matches for kind "
                                   "\"%s\" in version \"%s\"",
                                   ref->api_version, ref->kind, ref->kind, ref->api_version);
    struct authz_attributes at = {.user = ad->user,
                                  .verb = "update",
                                  .is_resource = true,
                                  .group = r->group,
                                  .resource = r->plural,
                                  .subresource = "finalizers",
                                  .ns = r->namespaced ? ad->ns : "",
                                  .name = ref->name,
                                  .path = ""};
    const char *reason;
    if (authz_allowed(ad->rq->server->authz, &at, ad->a, &reason))
        return NULL;
    return admission_forbidden(ad,
                               "cannot set blockOwnerDeletion if an ownerReference refers to a "
                               "resource you can't set finalizers on: %s, <nil>",
                               reason);
}

static struct status *validate(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE || admission_is(ad, Core__V1__Pod__SCHEMA, "status") ||
        admission_is(ad, Core__V1__Pod__SCHEMA, "binding"))
        return NULL;
    const Meta__V1__ObjectMeta *meta = object_meta(ad->object);
    const Meta__V1__ObjectMeta *old = ad->old ? object_meta(ad->old) : NULL;
    if (!meta || !changes_owners(meta, old))
        return NULL;
    struct authz_attributes at = {.user = ad->user,
                                  .verb = "delete",
                                  .is_resource = true,
                                  .group = ad->r->group,
                                  .resource = ad->r->plural,
                                  .subresource = ad->sub,
                                  .ns = ad->ns,
                                  .name = ad->name,
                                  .path = ""};
    const char *reason;
    if (ad->op == ADMIT_UPDATE && !authz_allowed(ad->rq->server->authz, &at, ad->a, &reason))
        return admission_forbidden(
            ad, "cannot set an ownerRef on a resource you can't delete: %s, <nil>", reason);
    struct status *s = NULL;
    for (size_t i = 0; i < meta->n_owner_references && !s; i++) {
        const Meta__V1__OwnerReference *ref = meta->owner_references[i];
        if (api_get(ref, block_owner_deletion, false) && !was_blocking(old, ref->uid))
            s = check_block(ad, ref);
    }
    return s;
}

const struct admission_plugin admission_owner_references = {
    .name = "OwnerReferencesPermissionEnforcement", .off = true, .validate = validate};
