/*
 * The scale subresource: autoscaling/v1 Scale as a view of replicas and selector.
 */
#include "api/meta.h"
#include "api/patch.h"
#include "api/selector.h"
#include "apiserver/custom/view.h"
#include "apiserver/write.h"
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

static void get_ready(struct rest *rq)
{
    void *object;
    struct error err;
    int rc = rest_load(rq->server, rq->a, rq->r, rq->info.ns, rq->info.name, &object, &err);
    if (rc < 0)
        rest_status(rq, status_from_error(rq->a, &err));
    else if (rc == 0)
        rest_status(rq, status_not_found(rq->a, &rq->about));
    else
        rest_object(rq, 200, scale_of(rq->a, object));
}

void rest_scale_get(struct rest *rq)
{
    rest_await(rq, "", get_ready);
}

struct scale_update {
    Autoscaling__V1__Scale *body; /* PUT */
    bool is_patch;
    enum patch_type type;
    struct str patch;
};

static struct status *scale_change(struct write *w)
{
    struct scale_update *u = w->ctx;
    struct arena *a = w->rq->a;
    if (!w->old)
        return status_not_found(a, &w->rq->about);
    void *wanted = u->body;
    struct error err = {0};
    struct patch_report report;
    if (u->is_patch && object_patch_report(a, scale_of(a, w->old), u->type, u->patch, NULL, &wanted,
                                           &report, &err) < 0)
        return rest_patch_error(a, &report, &err);
    const Autoscaling__V1__Scale *scale = wanted;
    if (scale->spec->replicas < 0) {
        struct status_about about = {"autoscaling", w->r->plural, "Scale", w->name};
        struct status *s = status_invalid(a, &about);
        status_cause_add(a, s, "FieldValueInvalid", "spec.replicas",
                         "Invalid value: %d: must be greater than or equal to 0",
                         scale->spec->replicas);
        status_invalid_finish(a, s);
        return s;
    }
    void *obj = custom_scaled(a, w->old, scale->spec->replicas);
    if (!obj) {
        obj = object_clone(a, w->old);
        struct scalable s = scalable_of(obj);
        *s.replicas = scale->spec->replicas;
        *s.has_replicas = 1;
    }
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    meta->resource_version = scale->metadata->resource_version;
    if (*scale->metadata->uid)
        meta->uid = scale->metadata->uid;
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
        rest_object(rq, 200, scale_of(rq->a, object));
}

void rest_scale_update(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct scale_update *u = arena_new(rq->a, struct scale_update);
    if (rq->info.verb == VERB_PATCH) {
        u->is_patch = true;
        u->patch = rq->x->body;
        if (!patch_type_parse(http_header_get(rq->x, "content-type"), &u->type) ||
            u->type == PATCH_APPLY) {
            rest_status(rq, status_unsupported_media(
                                rq->a, "application/json-patch+json, application/merge-patch+json, "
                                       "application/strategic-merge-patch+json"));
            return;
        }
    } else {
        u->body = rest_decode(rq, schema_get(Autoscaling__V1__Scale__SCHEMA));
        if (!u->body)
            return;
    }
    struct write *w = write_new(rq, scale_change, scale_done, u);
    write_run(w);
}
