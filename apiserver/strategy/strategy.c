/*
 * Generic changes of objects: metadata that the server owns, status kept apart from spec, generation,
 * defaults, validation and the life of deleted objects. (What is special about which: kinds.c.)
 */
#include "apiserver/strategy/strategy.h"
#include "apiserver/admission/admission.h"
#include "api/convert/convert.h"
#include "api/defaults/defaults.h"
#include "api/meta.h"
#include "api/validation.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "proto/apiextensions_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

#define GRACE_MAX_S (100LL * 365 * 24 * 3600) /* so that it ends at a time that can be written */
#define TWICE                                                                                      \
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in " \
    "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate "   \
    "UID(s) observed: "
#define GENERATE_SUFFIX 5
#define GENERATE_BASE_MAX 58

static bool has_status(const struct resource *r)
{
    return resource_subresource(r, STR("status")) != NULL;
}

static struct status_about about_of(const struct write *w)
{
    return (struct status_about){w->r->group, w->r->plural, w->r->kind, w->name};
}

/* As refusals that name a kind have it: events are of the core group, whoever asks. */
static struct status_about about_kind(const struct write *w)
{
    struct status_about about = about_of(w);
    if (w->r->stored_as == Core__V1__Event__SCHEMA)
        about.group = "";
    return about;
}

/* ---- create ---- */

static void generate_name(struct arena *a, Meta__V1__ObjectMeta *meta)
{
    size_t base = MIN(strlen(meta->generate_name), (size_t)GENERATE_BASE_MAX);
    char *name = arena_alloc(a, base + GENERATE_SUFFIX + 1);
    memcpy(name, meta->generate_name, base);
    random_name(name + base, GENERATE_SUFFIX);
#ifdef C8S_CRASH_POINTS
    /* Test builds can be made to choose the same name every time. */
    const char *always = getenv("C8S_GENERATED_SUFFIX");
    if (always && strlen(always) == GENERATE_SUFFIX)
        memcpy(name + base, always, GENERATE_SUFFIX);
#endif
    meta->name = name;
}

static void fill_new_meta(struct write *w, Meta__V1__ObjectMeta *meta)
{
    struct arena *a = w->rq->a;
    char uid[37];
    random_uuid(uid);
    meta->uid = arena_strdup(a, uid);
    meta->creation_timestamp = time_now(a);
    meta->deletion_timestamp = NULL;
    meta->has_deletion_grace_period_seconds = 0;
    meta->self_link = (char *)"";
    meta->resource_version = (char *)"";
    meta->generation = 0;
    if (!w->r->namespaced)
        meta->namespace_ = (char *)"";
    else
        meta->namespace_ = arena_strdup(a, w->ns);
    if (!*meta->name && *meta->generate_name)
        generate_name(a, meta);
}

/* A reference that is there twice, word by word, is kept once, and who sent it is told. */
static void drop_repeated_owners(struct write *w, Meta__V1__ObjectMeta *meta)
{
    struct arena *a = w->rq->a;
    struct arena_text twice = {.a = a};
    struct map seen;
    size_t n = 0;
    if (meta->n_owner_references < 2)
        return;
    map_init(&seen);
    for (size_t i = 0; i < meta->n_owner_references; i++) {
        Meta__V1__OwnerReference *o = meta->owner_references[i];
        struct str key = str_from(arena_printf(
            a, "%s\n%s\n%s\n%s\n%d%d%d%d", o->uid, o->api_version, o->kind, o->name,
            o->has_controller, o->has_controller && o->controller, o->has_block_owner_deletion,
            o->has_block_owner_deletion && o->block_owner_deletion));
        if (map_has(&seen, key)) {
            arena_text_addf(&twice, "%s%s", twice.s ? ", " : "", o->uid);
            continue;
        }
        map_put(&seen, key, o);
        meta->owner_references[n++] = o;
    }
    map_free(&seen);
    if (n < meta->n_owner_references)
        rest_warn(w->rq, arena_printf(a, TWICE "%s", arena_text_of(&twice)));
    meta->n_owner_references = n;
}

static struct status *validated(struct write *w, const struct field_errors *e)
{
    if (e->len == 0)
        return NULL;
    struct status_about about = about_kind(w);
    return status_invalid_fields(w->rq->a, &about, e);
}

static void warn(void *rq, const char *text)
{
    rest_warn(rq, text);
}

/* Validation speaks of the version the client uses. */
static struct status *validate(struct write *w, void *obj, const void *old,
                               const struct subresource *sub)
{
    struct field_errors e = {.arena = w->rq->a};
    if (!old)
        validate_create(w->r, obj, &e);
    else if (sub)
        validate_update_subresource(w->r, sub->name, obj, old, &e);
    else
        validate_update(w->r, obj, old, &e);
    if (e.len == 0 && !sub)
        validate_warnings(w->rq->a, obj, old, warn, w->rq);
    return validated(w, &e);
}

/* The struct that is stored, from one in the version the client speaks. */
static struct status *to_stored(struct write *w, void *object, void **out)
{
    struct error err;
    *out = object;
    if (w->r->stored_as == schema_of(object)->id)
        return NULL;
    if (object_convert(w->rq->a, object, schema_get(w->r->stored_as), out, &err) < 0)
        return status_bad_request(w->rq->a, "%s", err.message);
    defaults_apply(w->rq->a, *out); /* of what only the stored version has */
    return NULL;
}

/* Nobody owns a status who wrote no status, whatever defaults or the server put there. */
static void record_new(struct write *w, void *object)
{
    const struct schema_field *f;
    void **status = has_status(w->r) ? object_member(object, "status", &f) : NULL;
    void *kept = status ? *status : NULL;
    if (status)
        object_share_member(object, object_new(w->rq->a, schema_of(object)), "status");
    write_record_fields(w, object);
    if (status)
        *status = kept;
}

struct status *change_create(struct write *w, void *object)
{
    const struct strategy *st = strategy_of(w->r);
    Meta__V1__ObjectMeta *meta = object_meta(object);
    struct status *s;
    fill_new_meta(w, meta);
    drop_repeated_owners(w, meta);
    w->name = meta->name;
    if (has_status(w->r) && !(st->flags & STRATEGY_KEEP_STATUS))
        object_share_member(object, object_new(w->rq->a, schema_of(object)), "status");
    if (st->flags & STRATEGY_GENERATION)
        meta->generation = 1;
    if (st->prepare_create)
        st->prepare_create(w, object);
    defaults_apply(w->rq->a, object);
    record_new(w, object);
    if (st->complete_create)
        st->complete_create(w, object);
    struct admission ad;
    admission_of_write(&ad, w, ADMIT_CREATE, object, NULL, NULL);
    if ((s = admission_mutate(&ad)))
        return s;
    if (st->admit && (s = st->admit(w, object, NULL)))
        return s;
    if ((s = validate(w, object, NULL, NULL)) || (s = admission_validate(&ad)))
        return s;
    if (st->claim && (s = st->claim(w, object, NULL)))
        return s;
    return to_stored(w, object, &w->obj);
}

/* ---- update ---- */

/* What clients may not change. */
static void keep_meta(Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old)
{
    if (!*meta->uid) /* another one has been refused or is by validation */
        meta->uid = old->uid;
    meta->creation_timestamp = old->creation_timestamp;
    /* Deleting is not undone; what else a client says of it is refused by validation. */
    if (old->deletion_timestamp)
        meta->deletion_timestamp = old->deletion_timestamp;
    if (!meta->has_deletion_grace_period_seconds) {
        meta->has_deletion_grace_period_seconds = old->has_deletion_grace_period_seconds;
        meta->deletion_grace_period_seconds = old->deletion_grace_period_seconds;
    }
    meta->self_link = (char *)"";
    meta->generation = old->generation;
    meta->generate_name = old->generate_name;
}

struct status *strategy_wrong_uid(const struct write *w, const char *wanted, const char *found)
{
    struct arena *a = w->rq->a;
    struct status_about about = about_of(w);
    return status_conflict(
        a, &about,
        arena_printf(a,
                     "StorageError: invalid object, Code: 4, Key: %.*s, ResourceVersion: 0, "
                     "AdditionalErrorMsg: Precondition failed: UID in precondition: %s, UID in "
                     "object meta: %s",
                     STR_ARG(w->key), wanted, found));
}

/* The uid of what is put is a precondition; that of what a patch makes is compared by validation. */
static struct status *check_update_meta(struct write *w, const Meta__V1__ObjectMeta *meta,
                                        const Meta__V1__ObjectMeta *old, bool needs_version)
{
    struct arena *a = w->rq->a;
    struct status_about about = about_of(w);
    if (*meta->uid && strcmp(meta->uid, old->uid) != 0 && w->rq->info.verb != VERB_PATCH)
        return strategy_wrong_uid(w, meta->uid, old->uid);
    if (!*meta->resource_version || strcmp(meta->resource_version, "0") == 0) {
        if (!needs_version)
            return NULL;
        about.kind = about.resource; /* as published */
        struct status *s = status_invalid(a, &about);
        status_cause_add(a, s, "FieldValueInvalid", "metadata.resourceVersion",
                         "Invalid value: 0: must be specified for an update");
        status_invalid_finish(a, s);
        return s;
    }
    int64_t rv;
    if (!str_to_i64(str_from(meta->resource_version), &rv)) {
        struct status *s = status_invalid(a, &about);
        status_cause_add(a, s, "FieldValueInvalid", "metadata.resourceVersion",
                         "Invalid value: \"%s\": must be an unsigned integer",
                         meta->resource_version);
        status_invalid_finish(a, s);
        return s;
    }
    if (strcmp(meta->resource_version, old->resource_version) != 0)
        return status_conflict(a, &about, STATUS_MODIFIED);
    return NULL;
}

static bool labels_changed(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old)
{
    return meta->n_labels != old->n_labels ||
           !string_map_contains(meta->labels, meta->n_labels, old->labels, old->n_labels);
}

static bool spec_changed(const struct strategy *st, const void *obj, const void *old)
{
    const struct schema_field *f;
    const Meta__V1__ObjectMeta *nm = object_meta(obj), *om = object_meta(old);
    void *const *n = object_member(obj, "spec", &f), *const *o = object_member(old, "spec", &f);
    if ((st->flags & STRATEGY_LABELS_COUNT) && labels_changed(nm, om))
        return true;
    if (!n || !o) /* no spec (endpoint slices, webhooks): everything but metadata counts */
        return !object_equal_except(obj, old, "metadata");
    if (!object_equal(*n, *o))
        return true;
    return (st->flags & STRATEGY_ANNOTATIONS_COUNT) &&
           (nm->n_annotations != om->n_annotations ||
            !string_map_contains(nm->annotations, nm->n_annotations, om->annotations,
                                 om->n_annotations));
}

static void keep_client_meta(Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old)
{
    meta->labels = old->labels;
    meta->n_labels = old->n_labels;
    meta->annotations = old->annotations;
    meta->n_annotations = old->n_annotations;
    meta->owner_references = old->owner_references;
    meta->n_owner_references = old->n_owner_references;
    meta->finalizers = old->finalizers;
    meta->n_finalizers = old->n_finalizers;
}

/* Spec stays the old one on a status update; `finalize` is the other way round. */
static void prepare_status(struct write *w, const struct strategy *st, void *obj,
                           const struct subresource *sub)
{
    const struct schema_field *f;
    if (st->prepare_sub && st->prepare_sub(w, sub->name, obj, w->old))
        return;
    if (strcmp(sub->name, "finalize") == 0)
        object_share_member(obj, w->old, "status");
    else if (object_member(obj, "spec", &f))
        object_share_member(obj, w->old, "spec");
    if (st->flags & STRATEGY_STATUS_KEEPS_META)
        keep_client_meta(object_meta(obj), object_meta(w->old));
    if (st->prepare_status)
        st->prepare_status(w, obj, w->old);
}

/* A deleted object goes when nothing holds it any more. */
static bool is_released(const Meta__V1__ObjectMeta *meta)
{
    return meta->deletion_timestamp && meta->n_finalizers == 0 &&
           (!meta->has_deletion_grace_period_seconds || meta->deletion_grace_period_seconds == 0);
}

/* Namespaces are also held by spec.finalizers. */
static bool namespace_held(const void *obj)
{
    if (schema_of(obj)->id != Core__V1__Namespace__SCHEMA)
        return false;
    const Core__V1__Namespace *ns = obj;
    return ns->spec->n_finalizers > 0;
}

static void prepare_update(struct write *w, const struct strategy *st, void *obj)
{
    if (has_status(w->r))
        object_share_member(obj, w->old, "status");
    if (st->prepare_update)
        st->prepare_update(w, obj, w->old);
}

struct status *change_update(struct write *w, void *object, const struct subresource *sub)
{
    const struct strategy *st = strategy_of(w->r);
    void *obj;
    struct status *s = to_stored(w, object, &obj);
    if (s)
        return s;
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    const Meta__V1__ObjectMeta *old = object_meta(w->old);
    if ((s = check_update_meta(w, meta, old, !sub && (st->flags & STRATEGY_NEEDS_VERSION))))
        return s;
    keep_meta(meta, old);
    drop_repeated_owners(w, meta);
    if (!*meta->name)
        meta->name = old->name;
    meta->namespace_ = old->namespace_;
    meta->resource_version = old->resource_version;
    if (sub)
        prepare_status(w, st, obj, sub);
    else
        prepare_update(w, st, obj);
    meta = object_meta(obj); /* a subresource may have put the old one in its place */
    defaults_apply(w->rq->a, obj);
    write_record_fields(w, obj);
    bool status = sub && strcmp(sub->name, "status") == 0;
    if (!status && (st->flags & STRATEGY_GENERATION) && spec_changed(st, obj, w->old))
        meta->generation = old->generation + 1;
    struct admission ad;
    admission_of_write(&ad, w, ADMIT_UPDATE, obj, w->old, sub);
    if ((s = admission_mutate(&ad)))
        return s;
    if (st->admit && !sub && (s = st->admit(w, obj, w->old)))
        return s;
    if ((s = validate(w, obj, w->old, sub)) || (s = admission_validate(&ad)))
        return s;
    if (is_released(meta) && !namespace_held(obj)) {
        if (st->claim && (s = st->claim(w, NULL, w->old)))
            return s;
        w->remove = w->updated = true;
        w->obj = obj; /* what is answered */
        return NULL;
    }
    if (write_changes_nothing(w, obj)) {
        w->unchanged = true;
        return NULL;
    }
    if (st->claim && !sub && (s = st->claim(w, obj, w->old)))
        return s;
    w->obj = obj;
    return NULL;
}

/* ---- delete ---- */

struct status *strategy_precondition(struct arena *a, const struct status_about *about,
                                     const char *uid, const char *resource_version,
                                     const Meta__V1__ObjectMeta *meta)
{
    bool other = uid && strcmp(uid, meta->uid) != 0;
    if (!other && (!resource_version || strcmp(resource_version, meta->resource_version) == 0))
        return NULL;
    const char *what = other ? "UID" : "ResourceVersion";
    return status_conflict(
        a, about,
        arena_printf(a, "Precondition failed: %s in precondition: %s, %s in object meta: %s", what,
                     other ? uid : resource_version, what,
                     other ? meta->uid : meta->resource_version));
}

static struct status *check_preconditions(struct write *w, const struct delete_options *o)
{
    struct arena *a = w->rq->a;
    struct status_about about = about_kind(w);
    const Meta__V1__ObjectMeta *old = object_meta(w->old);
    if (schema_of(w->old)->id == Core__V1__Namespace__SCHEMA)
        return strategy_precondition(a, &about, o->uid, o->resource_version, old);
    about.resource = about.kind; /* as published */
    if (o->uid && strcmp(o->uid, old->uid) != 0)
        return status_conflict(
            a, &about,
            arena_printf(a,
                         "the UID in the precondition (%s) does not match the UID in record (%s). "
                         "The object might have been deleted and then recreated",
                         o->uid, old->uid));
    if (o->resource_version && strcmp(o->resource_version, old->resource_version) != 0)
        return status_conflict(
            a, &about,
            arena_printf(a,
                         "the ResourceVersion in the precondition (%s) does not match the "
                         "ResourceVersion in record (%s). The object might have been modified",
                         o->resource_version, old->resource_version));
    return NULL;
}

static void set_finalizer(struct arena *a, Meta__V1__ObjectMeta *meta, const char *name,
                          bool wanted)
{
    if (!wanted)
        remove_finalizer(meta, name);
    else if (!has_finalizer(meta, name))
        api_append(a, meta, finalizers, (char *)name);
}

/* The dependents' fate is held as a finalizer until the garbage collector has seen to it. */
static void apply_propagation(struct arena *a, const struct strategy *st,
                              Meta__V1__ObjectMeta *meta, const char *propagation)
{
    if (st->flags & STRATEGY_OWNS_NOTHING) {
        set_finalizer(a, meta, "orphan", false);
        set_finalizer(a, meta, "foregroundDeletion", false);
        return;
    }
    if (!propagation) {
        if ((st->flags & STRATEGY_ORPHANS) && !has_finalizer(meta, "foregroundDeletion"))
            set_finalizer(a, meta, "orphan", true);
        return;
    }
    set_finalizer(a, meta, "orphan", strcmp(propagation, "Orphan") == 0);
    set_finalizer(a, meta, "foregroundDeletion", strcmp(propagation, "Foreground") == 0);
}

static void mark_deleted(struct arena *a, Meta__V1__ObjectMeta *meta, int64_t grace_s)
{
    meta->deletion_timestamp = time_from_s(a, clock_wall_s() + grace_s);
    api_set(meta, deletion_grace_period_seconds, grace_s);
    if (meta->generation > 0)
        meta->generation++;
}

/* Already being deleted: a shorter grace period brings it forward. */
static void shorten_grace(struct arena *a, Meta__V1__ObjectMeta *meta, int64_t grace_s)
{
    int64_t before = meta->deletion_grace_period_seconds;
    if (!meta->has_deletion_grace_period_seconds || grace_s >= before)
        return;
    int64_t at = meta->deletion_timestamp->seconds - before + grace_s;
    meta->deletion_timestamp = time_from_s(a, at);
    meta->deletion_grace_period_seconds = grace_s;
}

/* Whose deletion is marked by code of its own, which knows of no grace period. */
static bool ends_in_its_own_way(const void *obj)
{
    int id = schema_of(obj)->id;
    return id == Core__V1__Namespace__SCHEMA ||
           id == Apiextensions__V1__CustomResourceDefinition__SCHEMA;
}

struct status *change_delete(struct write *w, const struct delete_options *o)
{
    const struct strategy *st = strategy_of(w->r);
    struct arena *a = w->rq->a;
    struct status_about about = about_of(w);
    if (!w->old)
        return status_not_found(a, &about);
    struct status *s = check_preconditions(w, o);
    if (s)
        return s;
    struct admission ad;
    admission_of_write(&ad, w, ADMIT_DELETE, NULL, w->old, w->rq->sub);
    if ((s = admission_mutate(&ad)) || (s = admission_validate(&ad)))
        return s;
    void *obj = object_clone(a, w->old);
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    if (meta->deletion_timestamp && namespace_held(obj)) {
        w->unchanged = true; /* it ends as the first deletion said */
        return NULL;
    }
    int64_t grace = st->grace ? MIN(st->grace(w->old, o), GRACE_MAX_S) : 0;
    if (st->prepare_delete)
        st->prepare_delete(w, obj);
    apply_propagation(a, st, meta, o->propagation);
    if (schema_of(obj)->id == Core__V1__Namespace__SCHEMA && namespace_held(obj))
        ((Core__V1__Namespace *)obj)->status->phase = (char *)"Terminating";
    bool held = meta->n_finalizers > 0 || namespace_held(obj);
    if (!meta->deletion_timestamp) {
        if (held || grace > 0)
            mark_deleted(a, meta, grace);
        if (ends_in_its_own_way(obj)) {
            meta->has_deletion_grace_period_seconds = 0;
            meta->generation = object_meta(w->old)->generation;
        }
    } else if (st->grace && (o->has_grace || !meta->has_deletion_grace_period_seconds)) {
        shorten_grace(a, meta, grace);
        grace = meta->deletion_grace_period_seconds;
    } else if (meta->has_deletion_grace_period_seconds) {
        grace = meta->deletion_grace_period_seconds;
    }
    if (!held && grace == 0) {
        if (st->claim && (s = st->claim(w, NULL, w->old)))
            return s;
        const Meta__V1__ObjectMeta *before = object_meta(w->old);
        if (st->grace && !meta->deletion_timestamp)
            mark_deleted(a, meta, 0);
        if (st->grace &&
            before->deletion_grace_period_seconds != meta->deletion_grace_period_seconds)
            w->obj = obj; /* what is answered: as if it had been marked before */
        else if (st->grace && !before->deletion_timestamp)
            w->obj = obj;
        else if (w->dry_run && before->n_finalizers > 0)
            w->obj = obj; /* as published: a dry run goes no further than to take them off */
        w->remove = true;
        return NULL;
    }
    if (object_equal(obj, w->old))
        w->unchanged = true;
    else
        w->obj = obj;
    return NULL;
}
