/*
 * PUT and PATCH of objects and of the subresources that are views of the whole object (status,
 * finalize, approval, ephemeralcontainers, resize).
 */
#include "api/convert.h"
#include "api/meta.h"
#include "api/patch.h"
#include "apiserver/apply.h"
#include "apiserver/strategy.h"
#include <stdlib.h>

struct update {
    void *body;           /* PUT */
    enum patch_type type; /* PATCH */
    struct str patch;
    yyjson_val *config; /* apply */
    const char *manager;
    bool force;
};

static struct status_about about_of(const struct write *w)
{
    return (struct status_about){w->r->group, w->r->plural, w->r->kind, w->name};
}

static struct status *put_change(struct write *w)
{
    const struct update *u = w->ctx;
    struct arena *a = w->rq->a;
    const struct strategy *st = strategy_of(w->r);
    void *object = object_clone(a, u->body);
    Meta__V1__ObjectMeta *meta = object_meta(object);
    if (w->old)
        return change_update(w, object, w->rq->sub);
    struct status_about about = about_of(w);
    if (w->rq->sub || !(st->flags & STRATEGY_CREATE_ON_UPDATE))
        return status_not_found(a, &about);
    if (*meta->uid)
        return status_conflict(
            a, &about,
            arena_printf(a, "Precondition failed: UID in precondition: %s, UID in object meta: ",
                         meta->uid));
    if (*meta->resource_version && strcmp(meta->resource_version, "0") != 0)
        return status_not_found(a, &about);
    return change_create(w, object);
}

static struct status *patch_error(struct write *w, const struct error *err)
{
    struct arena *a = w->rq->a;
    struct status_about about = about_of(w);
    switch (err->code) {
    case ERR_CONFLICT:
        return status_new(a, 422, "Invalid",
                          "the server rejected our request due to an error in our request: %s",
                          err->message);
    case ERR_LIMIT:
        return status_new(a, 413, "RequestEntityTooLarge", "%s", err->message);
    case ERR_UNSUPPORTED:
        return status_unsupported_media(
            a, "application/json-patch+json, application/merge-patch+json, "
               "application/strategic-merge-patch+json");
    default:
        (void)about;
        return status_bad_request(a, "%s", err->message);
    }
}

/* The object as the client's version sees it, patched. */
static struct status *patch_change(struct write *w)
{
    const struct update *u = w->ctx;
    struct rest *rq = w->rq;
    struct status_about about = about_of(w);
    if (!w->old)
        return status_not_found(rq->a, &about);
    void *seen = w->old, *patched;
    struct error err = {0};
    if (w->r->stored_as != w->r->message &&
        object_convert(rq->a, w->old, rest_message(w->r), &seen, &err) < 0)
        return status_internal(rq->a, "%s", err.message);
    struct field_problems problems = {0};
    rq->warnings_len = 0;
    if (object_patch(rq->a, seen, u->type, u->patch, &problems, &patched, &err) < 0)
        return patch_error(w, &err);
    struct status *s = rest_field_problems(rq, &problems);
    if (s)
        return s;
    const Meta__V1__ObjectMeta *meta = object_meta(patched);
    if (strcmp(meta->name, w->name) != 0) {
        struct status *bad = status_invalid(rq->a, &about);
        status_cause_add(rq->a, bad, "FieldValueInvalid", "metadata.name",
                         "Invalid value: \"%s\": field is immutable", meta->name);
        status_invalid_finish(rq->a, bad);
        return bad;
    }
    return change_update(w, patched, rq->sub);
}

/* ---- apply ---- */

static struct status *apply_conflict(struct write *w, const struct apply *ap)
{
    struct arena *a = w->rq->a;
    struct status_about about = about_of(w);
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "Apply failed with %zu conflict%s:", ap->conflicts_len,
               ap->conflicts_len == 1 ? "" : "s");
    for (size_t i = 0; i < ap->conflicts_len; i++)
        buf_printf(&b, "%s conflict with \"%s\": %s", i ? "," : "", ap->conflicts[i].manager,
                   ap->conflicts[i].field);
    struct status *s = status_conflict(a, &about, "");
    s->message = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    for (size_t i = 0; i < ap->conflicts_len; i++)
        status_cause_add(a, s, "FieldManagerConflict", ap->conflicts[i].field,
                         "conflict with \"%s\"", ap->conflicts[i].manager);
    return s;
}

/* Merge the configuration into what is there (an empty object when nothing is) and decode the result. */
static struct status *apply_to(struct write *w, void *seen, void **result)
{
    const struct update *u = w->ctx;
    struct arena *a = w->rq->a;
    yyjson_mut_doc *doc = json_doc_new(a);
    struct apply ap = {
        .doc = doc, .a = a, .m = rest_message(w->r), .manager = u->manager, .force = u->force};
    yyjson_mut_val *config = yyjson_val_mut_copy(doc, u->config);
    yyjson_mut_val *live = seen ? json_tree(a, doc, seen) : yyjson_mut_obj(doc);
    Meta__V1__ManagedFieldsEntry **entries = NULL;
    size_t n = 0;
    if (seen) {
        Meta__V1__ObjectMeta *meta = object_meta(object_clone(a, seen));
        entries = meta->managed_fields;
        n = meta->n_managed_fields;
    }
    apply_merge(&ap, live, config, &entries, &n, w->r->api_version);
    struct status *s = NULL;
    struct error err;
    if (ap.conflicts_len && !ap.force) {
        s = apply_conflict(w, &ap);
    } else {
        size_t len;
        char *text = yyjson_mut_val_write(live, 0, &len);
        if (json_decode(a, rest_message(w->r), str_make(text, len), NULL, result, &err) < 0)
            s = status_bad_request(a, "%s", err.message);
        free(text);
    }
    if (s)
        return s;
    object_meta(*result)->managed_fields = entries;
    object_meta(*result)->n_managed_fields = n;
    return NULL;
}

static struct status *apply_change(struct write *w)
{
    struct arena *a = w->rq->a;
    void *seen = w->old, *result;
    struct error err;
    if (seen && w->r->stored_as != w->r->message &&
        object_convert(a, w->old, rest_message(w->r), &seen, &err) < 0)
        return status_internal(a, "%s", err.message);
    struct status_about about = about_of(w);
    if (!seen && w->rq->sub)
        return status_not_found(a, &about);
    struct status *s = apply_to(w, seen, &result);
    if (s)
        return s;
    if (seen)
        return change_update(w, result, w->rq->sub);
    object_meta(result)->name = (char *)w->name;
    return change_create(w, result);
}

/* The body of an apply: one YAML or JSON document that is the object named in the path. */
static struct status *apply_parse(struct rest *rq, struct update *u)
{
    struct error err;
    yyjson_val **docs;
    size_t n;
    u->manager = query_get(rq->a, rq->info.query, "fieldManager");
    u->force = query_bool(rq->a, rq->info.query, "force");
    if (!u->manager || !*u->manager) {
        struct status_about about = {"meta.k8s.io", "", "PatchOptions", ""};
        struct status *s = status_invalid(rq->a, &about);
        status_cause_add(rq->a, s, "FieldValueRequired", "fieldManager",
                         "Required value: is required for apply patch");
        status_invalid_finish(rq->a, s);
        return s;
    }
    if (yaml_read(rq->a, rq->x->body, &docs, &n, &err) < 0)
        return status_bad_request(rq->a, "error decoding YAML: %s", err.message);
    if (n != 1 || !yyjson_is_obj(docs[0]))
        return status_bad_request(rq->a, "the body of an apply must be one object");
    u->config = docs[0];
    struct field_problems problems = {0};
    void *object;
    if (json_decode_value(rq->a, rest_message(rq->r), u->config, &problems, &object, &err) < 0)
        return status_bad_request(rq->a, "%s", err.message);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (*meta->name && strcmp(meta->name, rq->info.name) != 0)
        return status_bad_request(
            rq->a, "the name of the object (%s) does not match the name on the URL (%s)",
            meta->name, rq->info.name);
    if (*meta->namespace_ && strcmp(meta->namespace_, rq->info.ns) != 0)
        return status_bad_request(
            rq->a, "the namespace of the object (%s) does not match the namespace on the URL (%s)",
            meta->namespace_, rq->info.ns);
    if (meta->n_managed_fields)
        return status_bad_request(rq->a, "metadata.managedFields must be nil");
    return rest_field_problems(rq, &problems);
}

/* ---- requests ---- */

static struct write *new_write(struct rest *rq, struct update *u)
{
    struct write *w = arena_new(rq->a, struct write);
    w->rq = rq;
    w->r = rq->r;
    w->ns = rq->info.ns;
    w->name = rq->info.name;
    w->done = write_answer;
    w->ctx = u;
    w->dry_run = rq->dry_run;
    return w;
}

void rest_update(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct update *u = arena_new(rq->a, struct update);
    u->body = rest_decode(rq, rest_message(rq->r));
    if (!u->body)
        return;
    const Meta__V1__ObjectMeta *meta = object_meta(u->body);
    if (*meta->name && strcmp(meta->name, rq->info.name) != 0) {
        rest_status(rq, status_bad_request(
                            rq->a,
                            "the name of the object (%s) does not match the name on the URL (%s)",
                            meta->name, rq->info.name));
        return;
    }
    if (!*meta->name) {
        struct status *s = status_invalid(rq->a, &rq->about);
        status_cause_add(rq->a, s, "FieldValueRequired", "metadata.name",
                         "Required value: name is required");
        status_invalid_finish(rq->a, s);
        rest_status(rq, s);
        return;
    }
    if (rq->r->namespaced && *meta->namespace_ && strcmp(meta->namespace_, rq->info.ns) != 0) {
        rest_status(rq, status_bad_request(
                            rq->a,
                            "the namespace of the object (%s) does not match the namespace on "
                            "the URL (%s)",
                            meta->namespace_, rq->info.ns));
        return;
    }
    struct write *w = new_write(rq, u);
    w->change = put_change;
    write_run(w);
}

void rest_patch(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct update *u = arena_new(rq->a, struct update);
    if (!patch_type_parse(http_header_get(rq->x, "content-type"), &u->type)) {
        rest_status(rq, status_unsupported_media(
                            rq->a, "application/json-patch+json, application/merge-patch+json, "
                                   "application/apply-patch+yaml, "
                                   "application/strategic-merge-patch+json"));
        return;
    }
    u->patch = rq->x->body;
    struct status *bad = u->type == PATCH_APPLY ? apply_parse(rq, u) : NULL;
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    struct write *w = new_write(rq, u);
    w->change = u->type == PATCH_APPLY ? apply_change : patch_change;
    write_run(w);
}
