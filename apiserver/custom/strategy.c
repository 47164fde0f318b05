/*
 * Strategies of custom objects and of their definitions.
 */
#include "api/meta.h"
#include "apiserver/custom/controller.h"
#include "apiserver/strategy/strategy.h"

/* ---- objects ---- */

static const struct custom_version *version_of(const void *obj)
{
    return custom_of_message(schema_of(obj));
}

static void object_create(struct write *w, void *obj)
{
    if (version_of(obj)->has_status)
        custom_share(w->rq->a, obj, NULL, "status");
}

static void object_update(struct write *w, void *obj, const void *old)
{
    if (version_of(obj)->has_status)
        custom_share(w->rq->a, obj, old, "status");
}

/* Status, and who manages which fields; all else stays. */
static void object_status(struct write *w, void *obj, const void *old)
{
    struct arena *a = w->rq->a;
    CustomObject *o = obj, *status = api_clone(a, o);
    const CustomObject *before = old;
    Meta__V1__ObjectMeta *meta = api_clone(a, before->metadata);
    meta->managed_fields = o->metadata->managed_fields;
    meta->n_managed_fields = o->metadata->n_managed_fields;
    *o->metadata = *meta;
    o->has_body = before->has_body;
    o->body = before->body;
    custom_share(a, o, status, "status");
}

/*
 * A new object only while its definition is there and lives: this member may not have heard of its end yet,
 * so that the transaction compares, too. (Whoever removes the definition compares that there is no object.)
 */
static struct status *object_admit(struct write *w, void *obj, const void *old)
{
    const struct custom_type *t = version_of(obj)->type;
    struct arena *a = w->rq->a;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct kv_range_result out;
    struct error err;
    if (old)
        return NULL;
    if (t->terminating)
        return status_forbidden(
            a, &about, "create not allowed while custom resource definition is terminating");
    struct str key = str_from(arena_printf(a, CRD_PREFIX "%s", t->name));
    struct kv_range_request range = {.key = key, .keys_only = true}; /* definitions are long */
    if (kv_range(w->rq->server->kv, &range, a, &out, &err) < 0)
        return status_from_error(a, &err);
    if (out.pairs_len == 0 || out.pairs[0].create_rev != t->create_rev)
        return status_path_not_found(a);
    write_extra_unchanged(w, key, t->create_rev);
    w->compares[w->compares_len - 1].target = KV_COMPARE_CREATE;
    return NULL;
}

const struct strategy strategy_custom = {
    .message = Custom__V1__Object__SCHEMA,
    .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION,
    .prepare_create = object_create,
    .prepare_update = object_update,
    .prepare_status = object_status,
    .admit = object_admit,
};

/* ---- definitions ---- */

/* What was stored in a version may still be there after another becomes the storage version. */
static void definition_update(struct write *w, void *obj, const void *old)
{
    struct arena *a = w->rq->a;
    CrdObject *crd = obj;
    (void)old;
    crd->status = api_clone(a, crd->status);
    for (size_t i = 0; i < crd->spec->n_versions; i++) {
        bool known = false;
        if (!crd->spec->versions[i]->storage)
            continue;
        for (size_t k = 0; k < crd->status->n_stored_versions; k++)
            known |= cstr_eq(crd->status->stored_versions[k], crd->spec->versions[i]->name);
        if (!known)
            api_append(a, crd->status, stored_versions, crd->spec->versions[i]->name);
        return;
    }
}

/* Its objects go first: the controller sees to that. */
static void definition_delete(struct write *w, void *obj)
{
    struct arena *a = w->rq->a;
    CrdObject *crd = obj;
    if (crd->metadata->deletion_timestamp)
        return;
    if (!has_finalizer(crd->metadata, CRD_FINALIZER))
        api_append(a, crd->metadata, finalizers, (char *)CRD_FINALIZER);
    crd_set_condition(a, crd, "Terminating", "True", "InstanceDeletionPending",
                      "CustomResourceDefinition marked for deletion; CustomResource deletion will "
                      "begin soon");
}

const struct strategy strategy_crd = {
    .message = Apiextensions__V1__CustomResourceDefinition__SCHEMA,
    .flags = STRATEGY_GENERATION | STRATEGY_NEEDS_VERSION | STRATEGY_STATUS_KEEPS_META,
    .prepare_update = definition_update,
    .prepare_delete = definition_delete,
};
