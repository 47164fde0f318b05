/*
 * Reviews: questions about tokens and permissions, answered at once and stored nowhere.
 */
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "api/validation.h"
#include "apiserver/auth/node_identity.h"
#include "apiserver/rest/rest.h"
#include "apiserver/rest/review_selector.h"
#include "base/clock.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/authorization_v1.pb-c.h"

/* ---- users ---- */

static void fill_user(struct arena *a, Authentication__V1__UserInfo *out, const struct user *u)
{
    out->username = (char *)u->name;
    out->uid = (char *)u->uid;
    for (size_t i = 0; i < u->groups_len; i++)
        api_append(a, out, groups, (char *)u->groups[i]);
    for (size_t i = 0; i < u->extra_len; i++) {
        Authentication__V1__ExtraValueEntry *e = api_new(a, Authentication__V1__ExtraValueEntry);
        e->key = (char *)u->extra[i].key;
        for (size_t k = 0; k < u->extra[i].values_len; k++)
            api_append(a, e->value, items, (char *)u->extra[i].values[k]);
        api_append(a, out, extra, e);
    }
}

static void token_review(struct rest *rq, Authentication__V1__TokenReview *tr)
{
    struct arena *a = rq->a;
    struct error err = {0};
    if (!tr->spec->token || !*tr->spec->token) {
        rest_status(rq,
                    status_bad_request(a, "token is required for TokenReview in authentication"));
        return;
    }
    const char **audiences;
    const struct user *u = authn_review(rq->server->authn, str_from(tr->spec->token),
                                        (const char *const *)tr->spec->audiences,
                                        tr->spec->n_audiences, &audiences, a, &err);
    tr->status = api_new(a, Authentication__V1__TokenReviewStatus);
    if (u) {
        tr->status->authenticated = 1;
        fill_user(a, tr->status->user, u);
        for (; *audiences; audiences++)
            api_append(a, tr->status, audiences, (char *)*audiences);
    } else {
        tr->status->error = arena_strdup(a, err.message);
    }
    rest_object(rq, 201, tr);
}

static void self_subject_review(struct rest *rq, Authentication__V1__SelfSubjectReview *r)
{
    r->metadata->creation_timestamp = time_now(rq->a);
    fill_user(rq->a, r->status->user_info, rq->user);
    rest_object(rq, 201, r);
}

/* ---- permissions ---- */

static void decide(struct rest *rq, const struct user *user,
                   const Authorization__V1__ResourceAttributes *res,
                   const Authorization__V1__NonResourceAttributes *path,
                   Authorization__V1__SubjectAccessReviewStatus *out)
{
    const char *reason = "", *ignored = "";
    struct authz_attributes at = {.user = user,
                                  .group = "",
                                  .resource = "",
                                  .subresource = "",
                                  .ns = "",
                                  .name = "",
                                  .path = ""};
    if (res) {
        at.is_resource = true;
        at.verb = res->verb;
        at.group = res->group;
        at.resource = res->resource;
        at.subresource = res->subresource;
        at.ns = res->namespace_;
        at.name = res->name;
        at.fields = review_field_selector(rq->a, res, &ignored);
    } else {
        at.verb = path->verb;
        at.path = path->path;
    }
    out->allowed = authz_allowed(rq->server->authz, &at, rq->a, &reason);
    out->reason = (char *)reason;
    out->evaluation_error = (char *)ignored;
}

static const char *shown_path(struct arena *a, const Authorization__V1__NonResourceAttributes *path)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, "{\"path\":");
    buf_append_json_string(&b, str_from(path->path));
    buf_append_cstr(&b, ",\"verb\":");
    buf_append_json_string(&b, str_from(path->verb));
    buf_append_char(&b, '}');
    const char *text = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

/* Exactly one kind of attributes. */
static void check_question(struct rest *rq, struct status *s, const void *res,
                           const Authorization__V1__NonResourceAttributes *path)
{
    if (res && path)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.nonResourceAttributes",
                         "Invalid value: %s: cannot be specified in combination with "
                         "resourceAttributes",
                         shown_path(rq->a, path));
    else if (!res && !path)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.resourceAttributes",
                         "Invalid value: \"null\": exactly one of nonResourceAttributes or "
                         "resourceAttributes must be specified");
}

static void check_selectors(struct rest *rq, struct status *s,
                            const Authorization__V1__ResourceAttributes *res)
{
    struct field_errors e = {.arena = rq->a};
    if (res)
        validate_access_attributes(res, &e);
    status_causes_add(rq->a, s, &e);
}

/* The refusal, if anything is wrong; true: none. */
static bool answerable(struct rest *rq, struct status *s)
{
    if (!s->causes)
        return true;
    status_invalid_finish(rq->a, s);
    rest_status(rq, s);
    return false;
}

/* Refusals of access reviews name no kind, as published. */
static struct status *refusal(struct rest *rq)
{
    struct status_about about = rq->about;
    about.kind = "";
    return status_invalid(rq->a, &about);
}

static void self_access(struct rest *rq, Authorization__V1__SelfSubjectAccessReview *r)
{
    struct status *s = refusal(rq);
    check_question(rq, s, r->spec->resource_attributes, r->spec->non_resource_attributes);
    check_selectors(rq, s, r->spec->resource_attributes);
    if (!answerable(rq, s))
        return;
    decide(rq, rq->user, r->spec->resource_attributes, r->spec->non_resource_attributes, r->status);
    rest_object(rq, 201, r);
}

/* What is wrong with a question about anybody. */
static void check_spec(struct rest *rq, struct status *s,
                       const Authorization__V1__SubjectAccessReviewSpec *spec)
{
    check_question(rq, s, spec->resource_attributes, spec->non_resource_attributes);
    if (!*spec->user && !spec->n_groups)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.user",
                         "Invalid value: \"\": at least one of user or group must be specified");
    check_selectors(rq, s, spec->resource_attributes);
}

static void access_review(struct rest *rq, void *review,
                          const Authorization__V1__SubjectAccessReviewSpec *spec,
                          Authorization__V1__SubjectAccessReviewStatus *status)
{
    struct user u = {.name = spec->user,
                     .uid = spec->uid,
                     .groups = (const char **)spec->groups,
                     .groups_len = spec->n_groups};
    decide(rq, &u, spec->resource_attributes, spec->non_resource_attributes, status);
    rest_object(rq, 201, review);
}

struct rules {
    struct arena *a;
    Authorization__V1__SubjectRulesReviewStatus *out;
};

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

/* Rules belong to a snapshot that may go: strings are copied. */
static char **copy(struct arena *a, const char *const *list, size_t *n)
{
    *n = count(list);
    char **out = arena_array(a, char *, *n + 1);
    for (size_t i = 0; i < *n; i++)
        out[i] = arena_strdup(a, list[i]);
    return out;
}

static void add_rule(void *ctx, const struct rbac_rule *rule)
{
    struct rules *r = ctx;
    if (rule->resources[0]) {
        Authorization__V1__ResourceRule *o = api_new(r->a, Authorization__V1__ResourceRule);
        o->verbs = copy(r->a, rule->verbs, &o->n_verbs);
        o->api_groups = copy(r->a, rule->groups, &o->n_api_groups);
        o->resources = copy(r->a, rule->resources, &o->n_resources);
        o->resource_names = copy(r->a, rule->names, &o->n_resource_names);
        api_append(r->a, r->out, resource_rules, o);
    }
    if (rule->urls[0]) {
        Authorization__V1__NonResourceRule *o = api_new(r->a, Authorization__V1__NonResourceRule);
        o->verbs = copy(r->a, rule->verbs, &o->n_verbs);
        o->non_resource_urls = copy(r->a, rule->urls, &o->n_non_resource_urls);
        api_append(r->a, r->out, non_resource_rules, o);
    }
}

static void self_rules(struct rest *rq, Authorization__V1__SelfSubjectRulesReview *r)
{
    if (!*r->spec->namespace_) {
        rest_status(rq, status_bad_request(rq->a, "no namespace on request"));
        return;
    }
    struct rules ctx = {rq->a, r->status};
    authz_user_rules(rq->server->authz, rq->user, r->spec->namespace_, add_rule, NULL, &ctx);
    r->spec->namespace_ = (char *)""; /* the answer is a new object, as published */
    const char *node;
    if (rq->server->config.node_authorizer && node_identity(rq->user, &node)) {
        r->status->incomplete = 1;
        r->status->evaluation_error =
            (char *)"node authorizer does not support user rule resolution";
    }
    rest_object(rq, 201, r);
}

/* A local review asks about its own namespace only. */
static void check_local(struct rest *rq, struct status *s,
                        const Authorization__V1__LocalSubjectAccessReview *r)
{
    const Authorization__V1__ResourceAttributes *at = r->spec->resource_attributes;
    const Authorization__V1__NonResourceAttributes *path = r->spec->non_resource_attributes;
    if (path)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.nonResourceAttributes",
                         "Invalid value: %s: disallowed on this kind of request",
                         shown_path(rq->a, path));
    else if (at && strcmp(at->namespace_, rq->info.ns) != 0)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.resourceAttributes.namespace",
                         "Invalid value: \"%s\": must match metadata.namespace", at->namespace_);
}

static void local_review(struct rest *rq, Authorization__V1__LocalSubjectAccessReview *r)
{
    struct status *s = refusal(rq);
    if (*r->metadata->namespace_ && strcmp(r->metadata->namespace_, rq->info.ns) != 0) {
        rest_status(
            rq, status_bad_request(rq->a, "the namespace of the provided object does not match the "
                                          "namespace sent on the request"));
        return;
    }
    check_spec(rq, s, r->spec);
    check_local(rq, s, r);
    if (answerable(rq, s))
        access_review(rq, r, r->spec, r->status);
}

void rest_review(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    void *review = rest_decode(rq, rest_message(rq->r));
    if (!review)
        return;
    switch (schema_of(review)->id) {
    case Authentication__V1__SelfSubjectReview__SCHEMA:
        self_subject_review(rq, review);
        return;
    case Authorization__V1__SelfSubjectRulesReview__SCHEMA:
        self_rules(rq, review);
        return;
    }
    /* What is answered is the question, whose fields have their owner. */
    struct field_manager who = {rq->manager ? rq->manager : "unknown", "", clock_wall_s()};
    managed_fields_record(rq->a, &who, NULL, review);
    switch (schema_of(review)->id) {
    case Authentication__V1__TokenReview__SCHEMA:
        token_review(rq, review);
        return;
    case Authorization__V1__SelfSubjectAccessReview__SCHEMA:
        self_access(rq, review);
        return;
    case Authorization__V1__SubjectAccessReview__SCHEMA: {
        Authorization__V1__SubjectAccessReview *r = review;
        struct status *bad = refusal(rq);
        check_spec(rq, bad, r->spec);
        if (answerable(rq, bad))
            access_review(rq, r, r->spec, r->status);
        return;
    }
    case Authorization__V1__LocalSubjectAccessReview__SCHEMA:
        local_review(rq, review);
        return;
    default:
        rest_status(rq, status_path_not_found(rq->a));
    }
}
