/*
 * serviceaccounts/token: a signed token for a service account, bound to an object if asked.
 */
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "apiserver/admission/admission.h"
#include "base/clock.h"
#include "base/random.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

#define EXPIRATION_DEFAULT_S 3600
#define EXPIRATION_MIN_S 600
#define EXPIRATION_MAX_S (1ll << 32)

static void json_member(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, "\"%s\":", key);
    buf_append_json_string(b, str_from(value));
}

static void json_object_ref(struct buf *b, const char *key, const Meta__V1__ObjectMeta *meta)
{
    buf_printf(b, ",\"%s\":{", key);
    json_member(b, "name", meta->name);
    buf_append_char(b, ',');
    json_member(b, "uid", meta->uid);
    buf_append_char(b, '}');
}

struct bound {
    void *object; /* pod or secret; NULL: none */
    void *node;   /* of the pod */
};

/* The object the token dies with. */
static struct status *
find_bound(struct rest *rq, const Authentication__V1__BoundObjectReference *ref, struct bound *out)
{
    struct error err;
    if (!ref)
        return NULL;
    int id = strcmp(ref->kind, "Pod") == 0      ? Core__V1__Pod__SCHEMA
             : strcmp(ref->kind, "Secret") == 0 ? Core__V1__Secret__SCHEMA
             : strcmp(ref->kind, "Node") == 0   ? Core__V1__Node__SCHEMA
                                                : SCHEMA_NONE;
    if (id == SCHEMA_NONE)
        return status_bad_request(
            rq->a, "cannot bind token for serviceaccount to object of type %s", ref->kind);
    const struct resource *r = resource_of_message(id);
    struct status_about about = {"", r->plural, r->kind, ref->name};
    int rc = rest_load(rq->server, rq->a, r, r->namespaced ? rq->info.ns : "", ref->name,
                       &out->object, &err);
    if (rc < 0)
        return status_from_error(rq->a, &err);
    if (rc == 0)
        return status_not_found(rq->a, &about);
    const Meta__V1__ObjectMeta *meta = object_meta(out->object);
    if (*ref->uid && strcmp(ref->uid, meta->uid) != 0)
        return status_conflict(
            rq->a, &about,
            arena_printf(rq->a,
                         "the UID in the bound object reference (%s) does not match the UID in "
                         "record. The object might have been deleted and then recreated",
                         ref->uid));
    if (id == Core__V1__Node__SCHEMA) {
        out->node = out->object;
        out->object = NULL;
    }
    if (id != Core__V1__Pod__SCHEMA)
        return NULL;
    const Core__V1__Pod *pod = out->object;
    if (strcmp(pod->spec->service_account_name, rq->info.name) != 0)
        return status_bad_request(rq->a,
                                  "cannot bind token for serviceaccount \"%s\" to pod running with "
                                  "different serviceaccount name.",
                                  rq->info.name);
    if (*pod->spec->node_name &&
        rest_load(rq->server, rq->a, resource_of_message(Core__V1__Node__SCHEMA), "",
                  pod->spec->node_name, &out->node, &err) < 0)
        return status_from_error(rq->a, &err);
    return NULL;
}

static char *claims(struct rest *rq, const Authentication__V1__TokenRequestSpec *spec,
                    const Meta__V1__ObjectMeta *sa, const struct bound *bound, int64_t now,
                    int64_t seconds)
{
    char jti[37];
    struct buf b;
    random_uuid(jti);
    buf_init(&b);
    buf_append_cstr(&b, "{\"aud\":[");
    for (size_t i = 0; i < spec->n_audiences; i++) {
        buf_append_cstr(&b, i ? "," : "");
        buf_append_json_string(&b, str_from(spec->audiences[i]));
    }
    buf_printf(&b, "],\"exp\":%lld,\"iat\":%lld,", (long long)(now + seconds), (long long)now);
    json_member(&b, "iss", rq->server->config.sa_issuer);
    buf_printf(&b, ",\"jti\":\"%s\",\"kubernetes.io\":{", jti);
    json_member(&b, "namespace", sa->namespace_);
    if (bound->node)
        json_object_ref(&b, "node", object_meta(bound->node));
    if (bound->object)
        json_object_ref(&b,
                        schema_of(bound->object)->id == Core__V1__Pod__SCHEMA ? "pod" : "secret",
                        object_meta(bound->object));
    json_object_ref(&b, "serviceaccount", sa);
    buf_printf(&b, "},\"nbf\":%lld,", (long long)now);
    json_member(&b, "sub",
                arena_printf(rq->a, "system:serviceaccount:%s:%s", sa->namespace_, sa->name));
    buf_append_char(&b, '}');
    char *text = arena_strdup(rq->a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

static struct status *check_expiration(struct rest *rq, int64_t seconds)
{
    struct status_about about = {"authentication.k8s.io", "tokenrequests", "TokenRequest", ""};
    struct status *s = status_invalid(rq->a, &about);
    if (seconds < EXPIRATION_MIN_S)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.expirationSeconds",
                         "Invalid value: %lld: may not specify a duration less than 10 minutes",
                         (long long)seconds);
    else if (seconds > EXPIRATION_MAX_S)
        status_cause_add(rq->a, s, "FieldValueInvalid", "spec.expirationSeconds",
                         "Invalid value: %lld: may not specify a duration larger than 2^32 seconds",
                         (long long)seconds);
    if (!s->causes)
        return NULL;
    status_invalid_finish(rq->a, s);
    return s;
}

/* What the body says about whose token it is must be what the path says. */
static struct status *check_names(struct rest *rq, const Meta__V1__ObjectMeta *meta)
{
    struct status_about about = {"authentication.k8s.io", "tokenrequests", "TokenRequest",
                                 rq->info.name};
    struct status *s = status_invalid(rq->a, &about);
    if (*meta->name && strcmp(meta->name, rq->info.name) != 0)
        status_cause_add(rq->a, s, "FieldValueInvalid", "metadata.name",
                         "Invalid value: \"%s\": must match the service account name if specified",
                         meta->name);
    else if (*meta->namespace_ && strcmp(meta->namespace_, rq->info.ns) != 0)
        status_cause_add(
            rq->a, s, "FieldValueInvalid", "metadata.namespace",
            "Invalid value: \"%s\": must match the service account namespace if specified",
            meta->namespace_);
    if (!s->causes)
        return NULL;
    status_invalid_finish(rq->a, s);
    return s;
}

static void token_ready(struct rest *rq)
{
    Authentication__V1__TokenRequest *tr = rq->op;
    struct error err;
    void *sa;
    int rc = rest_load(rq->server, rq->a, rq->r, rq->info.ns, rq->info.name, &sa, &err);
    if (rc <= 0) {
        rest_status(rq,
                    rc < 0 ? status_from_error(rq->a, &err) : status_not_found(rq->a, &rq->about));
        return;
    }
    struct admission ad = {.rq = rq,
                           .user = rq->user,
                           .op = ADMIT_CREATE,
                           .r = rq->r,
                           .sub = "token",
                           .ns = rq->info.ns,
                           .name = rq->info.name,
                           .object = tr,
                           .dry_run = rq->dry_run,
                           .confirmed = true,
                           .a = rq->a};
    struct bound bound = {0};
    struct status *bad = check_names(rq, tr->metadata);
    if (!bad)
        bad = admission_mutate(&ad);
    if (!bad && !(bad = admission_validate(&ad)))
        bad = find_bound(rq, tr->spec->bound_object_ref, &bound);
    int64_t seconds = tr->spec->expiration_seconds;
    if (!bad)
        bad = check_expiration(rq, seconds);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    if (tr->spec->n_audiences == 0)
        api_append(rq->a, tr->spec, audiences,
                   (char *)(rq->server->config.audiences ? rq->server->config.audiences[0]
                                                         : rq->server->config.sa_issuer));
    int64_t now = clock_wall_s();
    char *payload = claims(rq, tr->spec, object_meta(sa), &bound, now, seconds);
    char *token = jwt_sign(rq->server->sa_signer, str_from(payload), rq->a, &err);
    if (!token) {
        rest_status(rq, status_internal(rq->a, "%s", err.message));
        return;
    }
    tr->metadata->name = (char *)rq->info.name;
    tr->metadata->namespace_ = (char *)rq->info.ns;
    tr->metadata->creation_timestamp = time_now(rq->a);
    tr->status->token = token;
    tr->status->expiration_timestamp = time_from_s(rq->a, now + seconds);
    rest_object(rq, 201, tr);
}

void rest_token(struct rest *rq)
{
    if (!rq->server->sa_signer) {
        rest_status(rq, status_path_not_found(rq->a));
        return;
    }
    if (!rest_write_options(rq))
        return;
    Authentication__V1__TokenRequest *tr =
        rest_decode(rq, schema_get(Authentication__V1__TokenRequest__SCHEMA));
    if (!tr)
        return;
    if (!tr->spec->has_expiration_seconds)
        api_set(tr->spec, expiration_seconds, EXPIRATION_DEFAULT_S);
    struct field_manager who = {rq->manager ? rq->manager : "unknown", "token", clock_wall_s()};
    managed_fields_record(rq->a, &who, NULL, tr);
    rq->op = tr;
    rest_await(rq, "", token_ready);
}
