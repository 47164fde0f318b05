/*
 * PUT and PATCH of objects and of the subresources that are views of the whole object (status,
 * finalize, approval, ephemeralcontainers, resize).
 */
#include "api/convert/convert.h"
#include "api/meta.h"
#include "api/patch/patch.h"
#include "apiserver/strategy/strategy.h"

struct update {
    void *body;           /* PUT */
    enum patch_type type; /* PATCH */
    struct str patch;
};

static struct status_about about_of(const struct write *w)
{
    return (struct status_about){w->r->group, w->r->plural, w->r->kind, w->name};
}

struct status *rest_check_may_create(struct write *w)
{
    struct rest *rq = w->rq;
    struct authz_attributes attr = {.user = rq->user,
                                    .verb = "create",
                                    .is_resource = true,
                                    .group = rq->info.group,
                                    .resource = rq->info.resource,
                                    .subresource = rq->info.subresource,
                                    .ns = rq->info.ns,
                                    .name = rq->info.name,
                                    .path = rq->info.path};
    if (authz_allowed(rq->server->authz, &attr, rq->a, NULL))
        return NULL;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    return status_forbidden(rq->a, &about,
                            "User \"%s\" cannot create resource \"%s\" in API group \"%s\"%s%s%s",
                            rq->user->name, rq->info.resource, rq->info.group,
                            w->r->namespaced ? " in the namespace \"" : " at the cluster scope",
                            w->r->namespaced ? rq->info.ns : "", w->r->namespaced ? "\"" : "");
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
        return strategy_wrong_uid(w, meta->uid, "");
    if (*meta->resource_version && strcmp(meta->resource_version, "0") != 0)
        return status_not_found(a, &about);
    struct status *s = rest_check_may_create(w);
    return s ? s : change_create(w, object);
}

/* ` "" is invalid: patch: Invalid value: "<what was shown>": <why>` */
static struct status *patch_invalid(struct arena *a, const char *shown, const char *why)
{
    struct status_about nothing = {"", "", "", ""};
    struct status *s = status_invalid(a, &nothing);
    struct buf quoted;
    buf_init(&quoted);
    buf_append_json_string(&quoted, str_from(shown ? shown : ""));
    status_cause_add(a, s, "FieldValueInvalid", "patch", "Invalid value: %s: %s", buf_cstr(&quoted),
                     why);
    status_invalid_finish(a, s);
    buf_free(&quoted);
    return s;
}

struct status *rest_patch_error(struct arena *a, const struct patch_report *report,
                                const struct error *err)
{
    switch (report->failure) {
    case PATCH_REFUSED: {
        struct status *s = status_new(
            a, 422, "Invalid", "the server rejected our request due to an error in our request");
        s->has_details = true;
        return s;
    }
    case PATCH_TOO_LARGE:
        return status_new(a, 413, "RequestEntityTooLarge", "Request entity too large: %s",
                          err->message);
    case PATCH_NO_OBJECT:
        return patch_invalid(a, report->shown, err->message);
    case PATCH_FAILED:
        return status_new(a, 500, "", "%s", err->message);
    case PATCH_MALFORMED:
    case PATCH_FINE:
        break;
    }
    return status_bad_request(a, "%s", err->message);
}

/* Custom resources: a patch that makes another kind of the object fails when that is validated. */
static struct status *other_kind(struct write *w, const struct patch_report *report)
{
    struct arena *a = w->rq->a;
    struct str api_version, kind, group, version;
    yyjson_val *tree;
    struct error err;
    if (!w->r->custom || report->failure != PATCH_NO_OBJECT || !report->shown ||
        json_read(a, str_from(report->shown), &tree, &err) < 0)
        return NULL;
    json_type_meta(tree, &api_version, &kind);
    bool wrong_kind = !str_eqz(kind, w->r->kind),
         wrong_version = !str_eqz(api_version, w->r->api_version);
    if (!kind.n || !api_version.n || (!wrong_kind && !wrong_version))
        return NULL;
    api_version_split(api_version, &group, &version);
    struct status_about about = {arena_strndup(a, group.p, group.n), w->r->plural,
                                 arena_strndup(a, kind.p, kind.n), w->name};
    struct status *s = status_invalid(a, &about);
    if (wrong_kind)
        status_cause_add(a, s, "FieldValueInvalid", "kind", "Invalid value: \"%.*s\": must be %s",
                         STR_ARG(kind), w->r->kind);
    if (wrong_version)
        status_cause_add(a, s, "FieldValueInvalid", "apiVersion",
                         "Invalid value: \"%.*s\": must be %s", STR_ARG(api_version),
                         w->r->api_version);
    status_invalid_finish(a, s);
    return s;
}

struct status *rest_patch_problems(struct rest *rq, const struct field_problems *problems,
                                   const struct patch_report *report)
{
    if (problems->len == 0 || rq->field_validation != FIELD_VALIDATION_STRICT)
        return rest_field_problems(rq, problems);
    struct buf why;
    buf_init(&why);
    buf_append_cstr(&why, "strict decoding error: ");
    for (size_t i = 0; i < problems->len; i++)
        buf_printf(&why, "%s%s", i ? ", " : "", field_problem_message(rq->a, &problems->items[i]));
    struct status *s = patch_invalid(rq->a, report->shown, buf_cstr(&why));
    buf_free(&why);
    return s;
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
    struct patch_report report;
    rq->warnings_len = rq->warnings_kept;
    if (object_patch_report(rq->a, seen, u->type, u->patch,
                            rq->field_validation == FIELD_VALIDATION_IGNORE ? NULL : &problems,
                            &patched, &report, &err) < 0) {
        struct status *other = other_kind(w, &report);
        return other ? other : rest_patch_error(rq->a, &report, &err);
    }
    struct status *s = rest_patch_problems(rq, &problems, &report);
    if (s)
        return s;
    if ((s = rest_check_name(rq, object_meta(patched))))
        return s;
    return change_update(w, patched, rq->sub);
}

/* ---- requests ---- */

struct status *rest_check_name(struct rest *rq, const Meta__V1__ObjectMeta *meta)
{
    if (rq->r->namespaced && *meta->namespace_ && strcmp(meta->namespace_, rq->info.ns) != 0)
        return status_bad_request(rq->a, "the namespace of the provided object does not match the "
                                         "namespace sent on the request");
    if (!*meta->name)
        return status_bad_request(rq->a,
                                  "the name of the object (%s based on URL) was undeterminable: "
                                  "name must be provided",
                                  rq->info.name);
    if (strcmp(meta->name, rq->info.name) != 0)
        return status_bad_request(
            rq->a, "the name of the object (%s) does not match the name on the URL (%s)",
            meta->name, rq->info.name);
    return NULL;
}

void rest_update(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct update *u = arena_new(rq->a, struct update);
    u->body = rest_decode(rq, rest_message(rq->r));
    if (!u->body)
        return;
    struct status *s = rest_check_name(rq, object_meta(u->body));
    if (s) {
        rest_status(rq, s);
        return;
    }
    struct write *w = write_new(rq, NULL, write_answer, u);
    w->change = put_change;
    write_run(w);
}

struct status *rest_patch_unsupported(struct rest *rq)
{
    return status_unsupported_media(
        rq->a, arena_printf(rq->a,
                            "application/json-patch+json, application/merge-patch+json, "
                            "application/apply-patch+yaml%s",
                            rq->r->custom ? "" : ", application/strategic-merge-patch+json"));
}

void rest_patch(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    struct update *u = arena_new(rq->a, struct update);
    if (!patch_type_parse(http_header_get(rq->x, "content-type"), &u->type) ||
        (rq->r->custom && u->type == PATCH_STRATEGIC)) {
        rest_status(rq, rest_patch_unsupported(rq));
        return;
    }
    if (u->type == PATCH_APPLY) {
        rest_apply(rq);
        return;
    }
    u->patch = rq->x->body;
    struct write *w = write_new(rq, NULL, write_answer, u);
    w->change = patch_change;
    write_run(w);
}
