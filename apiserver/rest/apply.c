/*
 * PATCH as server-side apply: the configuration of one manager merged into the object
 * (api/fields/managed_fields.h), which is created when it does not exist.
 */
#include "apiserver/rest/apply.h"
#include "api/convert/convert.h"
#include "api/meta.h"
#include "apiserver/auth/authz.h"
#include "apiserver/strategy/strategy.h"

/* ---- conflicts ---- */

/*
 * One conflict on a line, several by manager:
 *     Apply failed with 2 conflicts: conflicts with "helm":
 *     - .spec.replicas
 */
static const char *conflict_message(struct arena *a, const struct apply *ap)
{
    struct buf b;
    buf_init(&b);
    if (ap->conflicts_len == 1) {
        buf_printf(&b, "Apply failed with 1 conflict: conflict with %s: %s",
                   ap->conflicts[0].manager, ap->conflicts[0].field);
    } else {
        const char *last = NULL;
        buf_printf(&b, "Apply failed with %zu conflicts: ", ap->conflicts_len);
        for (size_t i = 0; i < ap->conflicts_len; i++) {
            const struct apply_conflict *c = &ap->conflicts[i];
            if (!last || strcmp(last, c->manager) != 0)
                buf_printf(&b, "%sconflicts with %s:", last ? "\n" : "", c->manager);
            last = c->manager;
            buf_printf(&b, "\n- %s", c->field);
        }
    }
    const char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

static struct status *conflict_status(struct arena *a, const struct apply *ap)
{
    struct status *s = status_new(a, 409, "Conflict", "%s", conflict_message(a, ap));
    s->has_details = true;
    for (size_t i = 0; i < ap->conflicts_len; i++)
        status_cause_add(a, s, "FieldManagerConflict", ap->conflicts[i].field, "conflict with %s",
                         ap->conflicts[i].manager);
    return s;
}

/* ---- the change ---- */

/* Top-level members that belong to another view of the object: applying them has no effect. */
static const char *const *reset_members(const struct write *w)
{
    static const char *const status[] = {"status", NULL}, *const spec[] = {"spec", NULL};
    const struct subresource *sub = w->rq->sub;
    if (sub && (strcmp(sub->name, "status") == 0 || strcmp(sub->name, "approval") == 0))
        return spec;
    return resource_subresource(w->r, STR("status")) ? status : NULL;
}

static struct status *apply_create(struct write *w, void *object)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    struct arena *a = w->rq->a;
    if (!*meta->name)
        return status_bad_request(a,
                                  "the name of the object (%s based on URL) was undeterminable: "
                                  "name must be provided",
                                  w->name);
    struct status *s = rest_check_may_create(w);
    return s ? s : change_create(w, object);
}

/* Keys that the body has twice: refused, told, or ignored. */
static struct status *check_duplicates(struct rest *rq)
{
    const char **lines;
    if (rq->field_validation == FIELD_VALIDATION_IGNORE)
        return NULL;
    size_t n = yaml_duplicate_keys(rq->a, rq->x->body, &lines);
    if (n == 0)
        return NULL;
    rq->warnings_len = rq->warnings_kept; /* the others are an earlier attempt's */
    if (rq->field_validation == FIELD_VALIDATION_WARN) {
        for (size_t i = 0; i < n; i++)
            rest_warn(rq, lines[i]);
        return NULL;
    }
    struct buf b;
    buf_init(&b);
    rest_yaml_errors(&b, lines, n);
    struct status *s = status_bad_request(
        rq->a, "error strict decoding patch: error converting YAML to JSON: %s", buf_cstr(&b));
    buf_free(&b);
    return s;
}

/* What is to be created has no identity yet. */
static struct status *check_uid(struct write *w, const Meta__V1__ObjectMeta *meta)
{
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct arena *a = w->rq->a;
    if (!*meta->uid)
        return NULL;
    return status_conflict(a, &about,
                           arena_printf(a,
                                        "uid mismatch: the provided object specified uid %s, and "
                                        "no existing object was found",
                                        meta->uid));
}

struct status *apply_merge(struct write *w, struct apply *ap)
{
    struct error err = {0};
    int rc = apply_run(ap, &err);
    if (rc == ERR_CONFLICT)
        return conflict_status(ap->a, ap);
    if (rc < 0)
        return status_new(ap->a, 500, "", "%s", err.message);
    const Meta__V1__ObjectMeta *meta = object_meta(ap->object);
    struct status *s = ap->live ? NULL : check_uid(w, meta);
    if (s || (s = rest_check_name(w->rq, meta)) || (s = check_duplicates(w->rq)))
        return s;
    w->applied = true;
    return NULL;
}

static struct status *apply_change(struct write *w)
{
    const struct apply_request *u = w->ctx;
    struct arena *a = w->rq->a;
    void *seen = w->old;
    struct error err = {0};
    if (seen && w->r->stored_as != w->r->message &&
        object_convert(a, object_clone(a, w->old), rest_message(w->r), &seen, &err) < 0)
        return status_internal(a, "%s", err.message);
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    if (!seen && w->rq->sub)
        return status_not_found(a, &about);
    struct apply ap = {.a = a,
                       .m = rest_message(w->r),
                       .who = write_manager(w),
                       .force = u->force,
                       .live = seen,
                       .config = u->config,
                       .reset = reset_members(w)};
    struct status *s = apply_merge(w, &ap);
    if (s)
        return s;
    return seen ? change_update(w, ap.object, w->rq->sub) : apply_create(w, ap.object);
}

/* ---- the request ---- */

struct status *apply_parse(struct rest *rq, const char *api_version, const char *kind_name,
                           struct apply_request *u)
{
    struct error err;
    yyjson_val **docs;
    size_t n;
    u->force = query_bool(rq->a, rq->info.query, "force");
    if (yaml_read(rq->a, rq->x->body, &docs, &n, &err) < 0)
        return status_bad_request(rq->a, "error decoding YAML: %s", err.message);
    if (n && !yyjson_is_obj(docs[0]))
        return status_bad_request(
            rq->a, "error decoding patch: error unmarshaling JSON: while decoding JSON: json: "
                   "cannot unmarshal value into Go value of type map[string]interface {}");
    struct str version, kind;
    if (n) /* of several documents the first counts */
        json_type_meta(u->config = docs[0], &version, &kind);
    if (!n || !kind.n)
        return status_bad_request(rq->a, "invalid object type: /, Kind=");
    if (!str_eqz(version, api_version) || !str_eqz(kind, kind_name)) {
        bool core = str_find_char(version, '/') < 0;
        return status_bad_request(rq->a, "invalid object type: %s%.*s, Kind=%.*s", core ? "/" : "",
                                  STR_ARG(version), STR_ARG(kind));
    }
    yyjson_val *meta = yyjson_obj_get(u->config, "metadata");
    yyjson_val *entries = yyjson_obj_get(meta, "managedFields");
    if (entries && !yyjson_is_null(entries))
        return status_bad_request(rq->a, "metadata.managedFields must be nil");
    return NULL;
}

void rest_apply(struct rest *rq)
{
    struct apply_request *u = arena_new(rq->a, struct apply_request);
    struct status *bad = apply_parse(rq, rq->r->api_version, rq->r->kind, u);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    struct write *w = write_new(rq, apply_change, write_answer, u);
    write_run(w);
}
