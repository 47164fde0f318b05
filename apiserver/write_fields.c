/*
 * Who wrote what: managed fields of every create and update (see api/fields/managed_fields.h).
 */
#include "api/convert/convert.h"
#include "api/defaults/defaults.h"
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "apiserver/write.h"
#include "base/clock.h"
#include "proto/autoscaling_v2.pb-c.h"

struct field_manager write_manager(const struct write *w)
{
    return (struct field_manager){w->rq->manager ? w->rq->manager : "unknown",
                                  w->rq->sub ? w->rq->sub->name : "", clock_wall_s()};
}

void write_record_fields(struct write *w, void *obj)
{
    struct arena *a = w->rq->a;
    struct field_manager who = write_manager(w);
    if (w->applied)
        return;
    const struct schema_message *spoken = rest_message(w->r);
    void *before = NULL, *after;
    struct error err;
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    if (schema_of(obj)->id == spoken->id) {
        if (w->r->stored_as != Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA ||
            spoken->id == w->r->stored_as) {
            managed_fields_record(a, &who, w->old, obj);
            return;
        }
        /* Defaults of the other version show in this one, too. */
        if (object_convert(a, object_clone(a, obj), schema_get(w->r->stored_as), &after, &err) < 0)
            return;
        defaults_apply(a, after);
        obj = after;
    }
    /* The entry names fields of the version that the client speaks. */
    if (object_convert(a, object_clone(a, obj), spoken, &after, &err) < 0 ||
        (w->old && object_convert(a, object_clone(a, w->old), spoken, &before, &err) < 0))
        return;
    managed_fields_record(a, &who, before, after);
    meta->managed_fields = object_meta(after)->managed_fields;
    meta->n_managed_fields = object_meta(after)->n_managed_fields;
}

bool write_changes_nothing(const struct write *w, void *obj)
{
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    const Meta__V1__ObjectMeta *old = object_meta(w->old);
    Meta__V1__ManagedFieldsEntry **entries = meta->managed_fields;
    if (!managed_fields_same(meta, old))
        return false;
    meta->managed_fields = old->managed_fields; /* with the times they had */
    if (object_equal(obj, w->old))
        return true;
    meta->managed_fields = entries;
    return false;
}
