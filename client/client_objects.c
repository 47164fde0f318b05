/*
 * REST client: the typed verbs (client/client.h). Each builds a path, sends a body in an envelope,
 * and decodes the answer into the caller's arena.
 */
#include "client/client_internal.h"

#include "api/codec.h"
#include "api/meta.h"
#include "base/mem.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/policy_v1.pb-c.h"
#include <stdio.h>

/* What one typed call sends and expects. */
struct verb_call {
    const char *method;
    const struct resource *resource;
    const char *ns, *name;
    const struct client_options *options;
    bool write;
    const char *content_type; /* of body; NULL: none */
    struct str body;
    const struct schema_message *answer; /* NULL: not decoded */
};

static uint32_t timeout_of(const struct client_options *o)
{
    return o ? o->timeout_ms : 0;
}

static void no_status(const struct client_options *o)
{
    if (o && o->status)
        *o->status = (struct client_status){.retry_after_s = -1};
}

/* Does the call; *answer may be NULL when v->answer is. */
static int verb_run(struct client *c, const struct verb_call *v, struct arena *a, void **answer,
                    struct error *err)
{
    struct error local = {0};
    if (!err)
        err = &local;
    struct buf path;
    buf_init(&path);
    request_path(&path, v->resource, v->ns, v->name, v->options, v->write);
    bool list = v->answer && v->answer->flags & SCHEMA_HAS_LIST_META;
    struct http_header headers[2] = {
        {STR("accept"), str_from(request_accept(v->options, list))},
        {STR("content-type"), str_from(v->content_type)},
    };
    struct http_request q = {.method = v->method,
                             .path = buf_cstr(&path),
                             .headers = headers,
                             .headers_len = v->content_type ? 2 : 1,
                             .body = v->body};
    struct arena answer_arena; /* the encoded answer goes with it, the decoded one stays in `a` */
    arena_init(&answer_arena);
    struct http_response r;
    no_status(v->options);
    int rc = client_exchange(c, &q, timeout_of(v->options), &answer_arena, &r, err);
    if (rc == 0) {
        struct str type = http_response_header(&r, "content-type");
        const char *t = arena_strndup(&answer_arena, type.p ? type.p : "", type.n);
        rc = status_to_error(r.status, t, r.body, v->options ? v->options->status : NULL, err);
        if (rc == 0 && v->answer)
            rc = decode_body(a, v->answer, t, r.body, answer, err);
    }
    if (rc < 0)
        error_wrap(err, "%s %s", v->method, buf_cstr(&path));
    arena_free(&answer_arena);
    buf_free(&path);
    return rc;
}

static const struct schema_message *item_schema(const struct resource *r,
                                                const struct client_options *o)
{
    return schema_get(o && o->metadata_only ? Meta__V1__PartialObjectMetadata__SCHEMA : r->message);
}

static const struct schema_message *list_schema(const struct resource *r,
                                                const struct client_options *o)
{
    return schema_get(o && o->metadata_only ? Meta__V1__PartialObjectMetadataList__SCHEMA
                                            : r->list_message);
}

/* ----------------------------------------------------------------------------------- reads --- */

void *client_get(struct client *c, const struct resource *r, const char *ns, const char *name,
                 const struct client_options *o, struct arena *a, struct error *err)
{
    struct verb_call v = {.method = "GET",
                          .resource = r,
                          .ns = ns,
                          .name = name,
                          .options = o,
                          .answer = item_schema(r, o)};
    void *out = NULL;
    return verb_run(c, &v, a, &out, err) < 0 ? NULL : out;
}

void *client_list(struct client *c, const struct resource *r, const char *ns,
                  const struct client_options *o, struct arena *a, struct error *err)
{
    struct verb_call v = {
        .method = "GET", .resource = r, .ns = ns, .options = o, .answer = list_schema(r, o)};
    void *out = NULL;
    return verb_run(c, &v, a, &out, err) < 0 ? NULL : out;
}

int client_list_all(struct client *c, const struct resource *r, const char *ns,
                    const struct client_options *o, bool (*each)(void *ctx, void *object),
                    void *ctx, struct error *err)
{
    struct client_options page = o ? *o : (struct client_options){0};
    if (page.limit == 0)
        page.limit = 500;
    struct arena a, token_arena; /* the token outlives its page */
    arena_init(&a);
    arena_init(&token_arena);
    int rc = 0;
    bool go_on = true;
    while (go_on) {
        arena_reset(&a);
        struct error local = {0};
        void *list = client_list(c, r, ns, &page, &a, &local);
        if (!list) {
            rc = error_set(err, local.code, "%s", local.message);
            break;
        }
        size_t n = object_list_len(list);
        for (size_t i = 0; i < n && go_on; i++)
            go_on = each(ctx, object_list_item(list, i));
        const char *token = object_list_meta(list)->continue_;
        if (!token || !*token)
            break;
        arena_reset(&token_arena);
        page.continue_token = arena_strdup(&token_arena, token);
        page.resource_version = NULL; /* the token has it */
    }
    arena_free(&a);
    arena_free(&token_arena);
    return rc;
}

/* ---------------------------------------------------------------------------------- writes --- */

static void *write_object(struct client *c, const char *method, const struct resource *r,
                          const void *object, const struct client_options *o, struct arena *a,
                          struct error *err)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    bool post = cstr_eq(method, "POST");
    struct buf body;
    buf_init(&body);
    envelope_encode(object, &body);
    bool sub_of_name = o && o->subresource && post; /* pods/x/binding */
    struct verb_call v = {.method = method,
                          .resource = r,
                          .ns = meta->namespace_,
                          .name = post && !sub_of_name ? NULL : meta->name,
                          .options = o,
                          .write = true,
                          .content_type = MEDIA_TYPE_PROTOBUF,
                          .body = buf_str(&body),
                          .answer = item_schema(r, o)};
    void *out = NULL;
    int rc = verb_run(c, &v, a, &out, err);
    buf_free(&body);
    return rc < 0 ? NULL : out;
}

void *client_create(struct client *c, const struct resource *r, const void *object,
                    const struct client_options *o, struct arena *a, struct error *err)
{
    return write_object(c, "POST", r, object, o, a, err);
}

void *client_update(struct client *c, const struct resource *r, const void *object,
                    const struct client_options *o, struct arena *a, struct error *err)
{
    return write_object(c, "PUT", r, object, o, a, err);
}

void *client_update_status(struct client *c, const struct resource *r, const void *object,
                           const struct client_options *o, struct arena *a, struct error *err)
{
    struct client_options with = o ? *o : (struct client_options){0};
    with.subresource = "status";
    return write_object(c, "PUT", r, object, &with, a, err);
}

static const char *patch_media_type(enum patch_type type)
{
    switch (type) {
    case PATCH_JSON:
        return "application/json-patch+json";
    case PATCH_MERGE:
        return "application/merge-patch+json";
    case PATCH_STRATEGIC:
        return "application/strategic-merge-patch+json";
    case PATCH_APPLY:
        return "application/apply-patch+yaml";
    }
    return "";
}

void *client_patch(struct client *c, const struct resource *r, const char *ns, const char *name,
                   enum patch_type type, struct str patch, const struct client_options *o,
                   struct arena *a, struct error *err)
{
    struct verb_call v = {.method = "PATCH",
                          .resource = r,
                          .ns = ns,
                          .name = name,
                          .options = o,
                          .write = true,
                          .content_type = patch_media_type(type),
                          .body = patch,
                          .answer = item_schema(r, o)};
    void *out = NULL;
    return verb_run(c, &v, a, &out, err) < 0 ? NULL : out;
}

static Meta__V1__DeleteOptions *delete_message(struct arena *a, const struct delete_options *d)
{
    Meta__V1__DeleteOptions *m = api_new(a, Meta__V1__DeleteOptions);
    if (!d)
        return m;
    if (d->grace_period_s >= 0)
        api_set(m, grace_period_seconds, d->grace_period_s);
    if (d->propagation)
        m->propagation_policy = arena_strdup(a, d->propagation);
    if (d->uid || d->resource_version) {
        m->preconditions = api_new(a, Meta__V1__Preconditions);
        m->preconditions->uid = d->uid ? arena_strdup(a, d->uid) : NULL;
        m->preconditions->resource_version =
            d->resource_version ? arena_strdup(a, d->resource_version) : NULL;
    }
    return m;
}

static int delete_path(struct client *c, const struct resource *r, const char *ns, const char *name,
                       const struct delete_options *d, const struct client_options *o,
                       struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct buf body;
    buf_init(&body);
    envelope_encode(delete_message(&a, d), &body);
    struct verb_call v = {.method = "DELETE",
                          .resource = r,
                          .ns = ns,
                          .name = name,
                          .options = o,
                          .write = true,
                          .content_type = MEDIA_TYPE_PROTOBUF,
                          .body = buf_str(&body)};
    int rc = verb_run(c, &v, &a, NULL, err);
    buf_free(&body);
    arena_free(&a);
    return rc;
}

int client_delete(struct client *c, const struct resource *r, const char *ns, const char *name,
                  const struct delete_options *d, const struct client_options *o, struct error *err)
{
    return delete_path(c, r, ns, name, d, o, err);
}

int client_delete_collection(struct client *c, const struct resource *r, const char *ns,
                             const struct delete_options *d, const struct client_options *o,
                             struct error *err)
{
    return delete_path(c, r, ns, NULL, d, o, err);
}

/* ------------------------------------------------------------------------- without waiting --- */

struct write_async {
    client_done_fn *done;
    void *ctx;
};

static void write_finish(void *ctx, const struct http_response *r, const struct error *err)
{
    struct write_async *w = ctx;
    struct error failure = {0};
    if (!err) {
        struct str type = http_response_header(r, "content-type");
        char *t = mem_strndup(type.p ? type.p : "", type.n);
        if (status_to_error(r->status, t, r->body, NULL, &failure) < 0)
            err = &failure;
        mem_free(t);
    }
    w->done(w->ctx, err);
    mem_free(w);
}

static void write_async(struct client *c, const char *method, struct buf *path, struct buf *body,
                        client_done_fn *done, void *ctx)
{
    struct write_async *w = mem_zalloc(sizeof *w);
    w->done = done;
    w->ctx = ctx;
    client_exchange_async(c, method, buf_str(path), MEDIA_TYPE_PROTOBUF ",application/json",
                          MEDIA_TYPE_PROTOBUF, buf_str(body), 0, write_finish, w);
    buf_free(path);
    buf_free(body);
}

void client_create_async(struct client *c, const struct resource *r, const void *object,
                         client_done_fn *done, void *ctx)
{
    struct buf path, body;
    buf_init(&path);
    buf_init(&body);
    request_path(&path, r, object_meta(object)->namespace_, NULL, NULL, true);
    envelope_encode(object, &body);
    write_async(c, "POST", &path, &body, done, ctx);
}

void client_delete_async(struct client *c, const struct resource *r, const char *ns,
                         const char *name, const struct delete_options *d, client_done_fn *done,
                         void *ctx)
{
    struct buf path, body;
    buf_init(&path);
    buf_init(&body);
    struct arena a;
    arena_init(&a);
    request_path(&path, r, ns, name, NULL, true);
    envelope_encode(delete_message(&a, d), &body);
    arena_free(&a);
    write_async(c, "DELETE", &path, &body, done, ctx);
}

/* ---------------------------------------------------------------------------- subresources --- */

static Core__V1__Binding *binding_message(struct arena *a, const char *ns, const char *pod,
                                          const char *uid, const char *node)
{
    Core__V1__Binding *b = api_new(a, Core__V1__Binding);
    b->metadata->namespace_ = (char *)ns;
    b->metadata->name = (char *)pod;
    b->metadata->uid = uid ? (char *)uid : "";
    b->target->kind = "Node";
    b->target->name = (char *)node;
    return b;
}

/* POST a message to pods/name/<sub>; the answer is a Status that needs no reading. */
static int post_sub(struct client *c, const char *ns, const char *pod, const char *sub,
                    const void *message, struct error *err)
{
    struct client_options o = {.subresource = sub};
    struct buf body;
    buf_init(&body);
    envelope_encode(message, &body);
    struct verb_call v = {.method = "POST",
                          .resource = RESOURCE_PODS,
                          .ns = ns,
                          .name = pod,
                          .options = &o,
                          .write = true,
                          .content_type = MEDIA_TYPE_PROTOBUF,
                          .body = buf_str(&body)};
    int rc = verb_run(c, &v, NULL, NULL, err);
    buf_free(&body);
    return rc;
}

int client_bind(struct client *c, const char *ns, const char *pod, const char *uid,
                const char *node, struct error *err)
{
    struct arena a;
    arena_init(&a);
    int rc = post_sub(c, ns, pod, "binding", binding_message(&a, ns, pod, uid, node), err);
    arena_free(&a);
    return rc;
}

void client_bind_async(struct client *c, const char *ns, const char *pod, const char *uid,
                       const char *node, client_done_fn *done, void *ctx)
{
    struct buf path, body;
    buf_init(&path);
    buf_init(&body);
    struct arena a;
    arena_init(&a);
    request_path(&path, RESOURCE_PODS, ns, pod, &(struct client_options){.subresource = "binding"},
                 true);
    envelope_encode(binding_message(&a, ns, pod, uid, node), &body);
    arena_free(&a);
    write_async(c, "POST", &path, &body, done, ctx);
}

int client_evict(struct client *c, const char *ns, const char *pod, const struct delete_options *d,
                 struct error *err)
{
    struct arena a;
    arena_init(&a);
    Policy__V1__Eviction *e = api_new(&a, Policy__V1__Eviction);
    e->metadata->namespace_ = (char *)ns;
    e->metadata->name = (char *)pod;
    e->delete_options = delete_message(&a, d);
    int rc = post_sub(c, ns, pod, "eviction", e, err);
    arena_free(&a);
    return rc;
}

static Autoscaling__V1__Scale *scale_get(struct client *c, const struct resource *r, const char *ns,
                                         const char *name, struct arena *a, struct error *err)
{
    struct client_options o = {.subresource = "scale"};
    struct verb_call v = {.method = "GET",
                          .resource = r,
                          .ns = ns,
                          .name = name,
                          .options = &o,
                          .answer = schema_get(Autoscaling__V1__Scale__SCHEMA)};
    void *out = NULL;
    return verb_run(c, &v, a, &out, err) < 0 ? NULL : out;
}

int client_get_scale(struct client *c, const struct resource *r, const char *ns, const char *name,
                     int32_t *spec_replicas, int32_t *status_replicas, struct error *err)
{
    struct error local = {0};
    struct arena a;
    arena_init(&a);
    Autoscaling__V1__Scale *s = scale_get(c, r, ns, name, &a, &local);
    if (s && spec_replicas)
        *spec_replicas = s->spec->replicas;
    if (s && status_replicas)
        *status_replicas = s->status->replicas;
    arena_free(&a);
    return s ? 0 : error_set(err, local.code, "%s", local.message);
}

int client_set_scale(struct client *c, const struct resource *r, const char *ns, const char *name,
                     int32_t replicas, struct error *err)
{
    struct error local = {0};
    struct arena a;
    arena_init(&a);
    int rc = ERR_CONFLICT;
    for (int tries = 0; tries < 5 && rc == ERR_CONFLICT; tries++) {
        arena_reset(&a);
        Autoscaling__V1__Scale *s = scale_get(c, r, ns, name, &a, &local);
        if (!s) {
            rc = local.code;
            break;
        }
        s->spec->replicas = replicas;
        struct buf body;
        buf_init(&body);
        envelope_encode(s, &body);
        struct client_options o = {.subresource = "scale"};
        struct verb_call v = {.method = "PUT",
                              .resource = r,
                              .ns = ns,
                              .name = name,
                              .options = &o,
                              .write = true,
                              .content_type = MEDIA_TYPE_PROTOBUF,
                              .body = buf_str(&body)};
        rc = verb_run(c, &v, &a, NULL, &local);
        buf_free(&body);
    }
    arena_free(&a);
    return rc < 0 ? error_set(err, local.code, "%s", local.message) : 0;
}
