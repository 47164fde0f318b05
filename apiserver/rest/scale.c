/*
 * The scale subresource: autoscaling/v1 Scale as a view of replicas and selector.
 */
#include "api/custom/custom.h"
#include "api/meta.h"
#include "api/patch/patch.h"
#include "api/selector.h"
#include "apiserver/custom/view.h"
#include "apiserver/strategy/strategy.h"
#include "apiserver/rest/apply.h"
#include "apiserver/table/table.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

/* Where a kind keeps what Scale shows. */
struct scalable {
    int32_t *replicas;
    protobuf_c_boolean *has_replicas;
    int32_t observed;
    const Meta__V1__LabelSelector *selector;
    const Core__V1__ReplicationControllerSpec *rc;
};

static struct scalable scalable_of(void *object)
{
    struct scalable s = {0};
    switch (schema_of(object)->id) {
    case Apps__V1__Deployment__SCHEMA: {
        Apps__V1__Deployment *d = object;
        s = (struct scalable){&d->spec->replicas, &d->spec->has_replicas, d->status->replicas,
                              d->spec->selector, NULL};
        break;
    }
    case Apps__V1__ReplicaSet__SCHEMA: {
        Apps__V1__ReplicaSet *d = object;
        s = (struct scalable){&d->spec->replicas, &d->spec->has_replicas, d->status->replicas,
                              d->spec->selector, NULL};
        break;
    }
    case Apps__V1__StatefulSet__SCHEMA: {
        Apps__V1__StatefulSet *d = object;
        s = (struct scalable){&d->spec->replicas, &d->spec->has_replicas, d->status->replicas,
                              d->spec->selector, NULL};
        break;
    }
    case Core__V1__ReplicationController__SCHEMA: {
        Core__V1__ReplicationController *d = object;
        s = (struct scalable){&d->spec->replicas, &d->spec->has_replicas, d->status->replicas, NULL,
                              d->spec};
        break;
    }
    default:
        break;
    }
    return s;
}

static char *selector_text(struct arena *a, const struct scalable *s)
{
    struct label_selector sel = {0};
    struct error err;
    if (s->rc)
        label_selector_from_map(a, s->rc->selector, s->rc->n_selector, &sel);
    else if (label_selector_from(a, s->selector, &sel, &err) < 0)
        return arena_strdup(a, "");
    struct buf b;
    buf_init(&b);
    label_selector_format(&sel, &b);
    char *text = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static Autoscaling__V1__Scale *scale_of(struct arena *a, void *object)
{
    Autoscaling__V1__Scale *custom = custom_scale_of(a, object);
    if (custom)
        return custom;
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    struct scalable s = scalable_of(object);
    Autoscaling__V1__Scale *scale = api_new(a, Autoscaling__V1__Scale);
    scale->metadata->name = meta->name;
    scale->metadata->namespace_ = meta->namespace_;
    scale->metadata->uid = meta->uid;
    scale->metadata->resource_version = meta->resource_version;
    scale->metadata->creation_timestamp = meta->creation_timestamp;
    scale->spec->replicas = s.replicas && *s.has_replicas ? *s.replicas : 0;
    scale->status->replicas = s.observed;
    scale->status->selector = selector_text(a, &s);
    return scale;
}

/* The path where a custom object lacks its replicas, as messages have it. */
static const char *lacking_path(struct arena *a, const struct resource *r)
{
    return arena_printf(a, ".%s", custom_of_message(resource_message(r))->scale.spec_replicas);
}

static void answer(struct rest *rq, void *object)
{
    const Autoscaling__V1__Scale *scale = scale_of(rq->a, object);
    struct status *bad = table_options_check(rq);
    if (scale->spec->replicas == SCALE_NO_REPLICAS)
        bad = status_internal(rq->a, "the spec replicas field \"%s\" does not exist",
                              lacking_path(rq->a, rq->r));
    if (bad) {
        rest_status(rq, bad);
    } else if (rq->accept.transform == TRANSFORM_TABLE) {
        struct buf b;
        buf_init(&b);
        table_write_scale(rq->a, scale, table_options(rq), &b);
        rest_json_or_wire(rq, 200, &b);
        buf_free(&b);
    } else {
        rest_object(rq, 200, scale);
    }
}

/* Built-in kinds call what is not there a scale, as published. */
static struct status *scale_absent(struct rest *rq)
{
    struct status_about about = rq->about;
    if (!rq->r->custom && rq->r->message != Apps__V1__StatefulSet__SCHEMA) {
        about.resource = arena_printf(rq->a, "%s/scale", rq->r->plural);
        about.group = *rq->r->group ? rq->r->group : "autoscaling";
    }
    return status_not_found(rq->a, &about);
}

static void get_ready(struct rest *rq)
{
    void *object;
    struct error err;
    int rc = rest_load(rq->server, rq->a, rq->r, rq->info.ns, rq->info.name, &object, &err);
    if (rc < 0)
        rest_status(rq, status_from_error(rq->a, &err));
    else if (rc == 0)
        rest_status(rq, scale_absent(rq));
    else
        answer(rq, object);
}

void rest_scale_get(struct rest *rq)
{
    rest_await(rq, "", get_ready);
}

/* ---- changes ---- */

struct scale_update {
    Autoscaling__V1__Scale *body; /* PUT */
    bool is_patch;
    enum patch_type type;
    struct str patch;
    struct apply_request apply;
};

/* Where the versions of the kind that the request names keep their replicas. */
static const struct scale_path *scale_paths(struct arena *a, const struct resource *r, size_t *n)
{
    static const struct scale_path core[] = {{"v1", SCALE_REPLICAS}},
                                   apps[] = {{"apps/v1beta1", SCALE_REPLICAS},
                                             {"apps/v1beta2", SCALE_REPLICAS},
                                             {"apps/v1", SCALE_REPLICAS}};
    const struct custom_version *v = r->custom ? custom_of_message(resource_message(r)) : NULL;
    if (!v) {
        *n = *r->group ? ARRAY_LEN(apps) : ARRAY_LEN(core);
        return *r->group ? apps : core;
    }
    *n = v->type->versions_len;
    struct scale_path *paths = arena_array(a, struct scale_path, *n);
    for (size_t i = 0; i < *n; i++) {
        const struct custom_version *other = &v->type->versions[i];
        paths[i] = (struct scale_path){other->resource.api_version,
                                       other->scale.enabled ? other->scale.spec_replicas : NULL};
    }
    return paths;
}

/* The configuration of one manager merged into what Scale shows; who owns the replicas then is the object's. */
static struct status *scale_applied(struct write *w, Autoscaling__V1__Scale **scale,
                                    Meta__V1__ObjectMeta *meta)
{
    struct arena *a = w->rq->a;
    const struct scale_update *u = w->ctx;
    struct error err;
    size_t n;
    const struct scale_path *paths = scale_paths(a, w->r, &n);
    if (managed_fields_to_scale(a, object_meta(w->old), paths, n, (*scale)->metadata, &err) < 0)
        return status_new(a, 500, "", "%s", err.message);
    struct apply ap = {.a = a,
                       .m = schema_get(Autoscaling__V1__Scale__SCHEMA),
                       .who = write_manager(w),
                       .force = u->apply.force,
                       .live = *scale,
                       .config = u->apply.config};
    struct status *s = apply_merge(w, &ap);
    if (s)
        return s;
    *scale = ap.object;
    if (managed_fields_from_scale(a, (*scale)->metadata, paths, n, w->r->api_version, meta, &err) <
        0)
        return status_new(a, 500, "", "%s", err.message);
    return NULL;
}

/* Scale as this request wants it. */
static struct status *scale_wanted(struct write *w, Autoscaling__V1__Scale **wanted,
                                   Meta__V1__ObjectMeta *meta)
{
    const struct scale_update *u = w->ctx;
    struct rest *rq = w->rq;
    struct error err = {0};
    struct patch_report report;
    void *patched;
    if (!u->is_patch) {
        *wanted = u->body;
        return NULL;
    }
    *wanted = scale_of(rq->a, w->old);
    if (u->type == PATCH_APPLY)
        return scale_applied(w, wanted, meta);
    struct field_problems problems = {0};
    rq->warnings_len = 0;
    if (object_patch_report(rq->a, *wanted, u->type, u->patch,
                            rq->field_validation == FIELD_VALIDATION_IGNORE ? NULL : &problems,
                            &patched, &report, &err) < 0)
        return rest_patch_error(rq->a, &report, &err);
    *wanted = patched;
    struct status *s = rest_patch_problems(rq, &problems, &report);
    return s ? s : rest_check_name(rq, (*wanted)->metadata);
}

static struct status *check_scale(struct write *w, const Autoscaling__V1__Scale *scale)
{
    struct arena *a = w->rq->a;
    if (w->r->custom && scale->spec->replicas == SCALE_NO_REPLICAS)
        return status_bad_request(a, "the spec replicas field \"%s\" cannot be empty",
                                  lacking_path(a, w->r));
    if (w->r->custom) /* its replicas are checked with the rest of it */
        return NULL;
    if (scale->spec->replicas < 0) {
        struct status_about about = {"autoscaling", w->r->plural, "Scale", w->name};
        struct status *s = status_invalid(a, &about);
        status_cause_add(a, s, "FieldValueInvalid", "spec.replicas",
                         "Invalid value: %d: must be greater than or equal to 0",
                         scale->spec->replicas);
        status_invalid_finish(a, s);
        return s;
    }
    struct status_about about = {w->r->group, arena_printf(a, "%s/scale", w->r->plural), "",
                                 w->name};
    const char *uid = *scale->metadata->uid ? scale->metadata->uid : NULL;
    return strategy_precondition(a, &about, uid, NULL, object_meta(w->old));
}

static struct status *scale_change(struct write *w)
{
    struct arena *a = w->rq->a;
    if (!w->old)
        return status_not_found(a, &w->rq->about);
    Meta__V1__ObjectMeta *entries = object_clone(a, object_meta(w->old));
    Autoscaling__V1__Scale *scale;
    struct status *s = scale_wanted(w, &scale, entries);
    if (s || (s = check_scale(w, scale)))
        return s;
    void *obj = custom_scaled(a, w->old, scale->spec->replicas);
    if (!obj) {
        obj = object_clone(a, w->old);
        struct scalable p = scalable_of(obj);
        *p.replicas = scale->spec->replicas;
        *p.has_replicas = 1;
    }
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    if (*scale->metadata->resource_version || !w->r->custom) /* else the newest */
        meta->resource_version = scale->metadata->resource_version;
    if (w->applied) {
        meta->managed_fields = entries->managed_fields;
        meta->n_managed_fields = entries->n_managed_fields;
    }
    return change_update(w, obj, NULL);
}

static void scale_done(struct write *w, struct status *s)
{
    struct rest *rq = w->rq;
    void *object;
    struct error err;
    if (s)
        rest_status(rq, s);
    else if (stored_decode(rq->a, w->stored, w->rev, rest_kept_message(w->r), &object, &err) < 0)
        rest_status(rq, status_internal(rq->a, "%s", err.message));
    else
        answer(rq, object);
}

void rest_scale_update(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct scale_update *u = arena_new(rq->a, struct scale_update);
    struct status *bad = NULL;
    if (rq->info.verb == VERB_PATCH) {
        u->is_patch = true;
        u->patch = rq->x->body;
        if (!patch_type_parse(http_header_get(rq->x, "content-type"), &u->type) ||
            (rq->r->custom && u->type == PATCH_STRATEGIC))
            bad = rest_patch_unsupported(rq);
        else if (u->type == PATCH_APPLY)
            bad = apply_parse(rq, SCALE_API_VERSION, "Scale", &u->apply);
    } else {
        u->body = rest_decode(rq, schema_get(Autoscaling__V1__Scale__SCHEMA));
        if (!u->body)
            return;
        bad = rest_check_name(rq, u->body->metadata);
    }
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    struct write *w = write_new(rq, scale_change, scale_done, u);
    write_run(w);
}
