/*
 * One API request on its way: what was asked, by whom, in which form, and the ways to answer.
 *
 * A `struct rest` lives in the exchange's arena. Handlers answer exactly once with one of rest_*;
 * afterwards neither is touched.
 */
#ifndef C8S_APISERVER_REST_REST_H
#define C8S_APISERVER_REST_REST_H

#include "api/json_indent.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/rest/negotiate.h"
#include "apiserver/request.h"
#include "apiserver/server.h"
#include "apiserver/status.h"

enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_STRICT, FIELD_VALIDATION_IGNORE };

#define REST_WARNINGS_MAX 16
#define REST_GZIP_MIN (128u << 10) /* longer answers are compressed for whoever takes that */

struct rest {
    struct apiserver *server;
    struct worker *worker;
    struct http_exchange *x;
    struct arena *a; /* = &x->arena */
    struct request_info info;
    const struct user *user;
    const struct resource *r;      /* NULL for non-resource requests */
    const struct subresource *sub; /* NULL: the resource itself */
    struct status_about about;
    struct accept accept;
    bool pretty;               /* JSON answers are indented */
    struct json_indent indent; /* of a list that is streamed so */
    bool dry_run;
    enum field_validation field_validation;
    const char *manager; /* of the fields written: fieldManager, else from the User-Agent */
    const char *warnings[REST_WARNINGS_MAX];
    size_t warnings_len;
    size_t warnings_kept; /* of them, those that belong to the resource: each attempt says them */
    bool counted, counted_mutating; /* holds a place among the requests in flight */
    struct flow_ticket flow;        /* its seat (flow/flow_filter.h) */
    struct loop_timer flow_wait;
    void (*flow_next)(struct rest *rq);
    uint64_t started_ns;
    int code;
    struct list event_link; /* waiting for worker.event_lease */
    void (*resume)(struct rest *rq, int code);
    size_t budget; /* bytes of kv_budget held until the exchange ends */
    uint64_t budget_flow;
    void *op; /* the handler's own state */
};

/* Route an authorised resource request. Takes over answering. */
void rest_dispatch(struct rest *rq);

/* Headers: content-type (NULL: none), cache-control, audit-id, where the request was counted, warnings. Body is copied. */
void rest_respond(struct rest *rq, int code, const char *content_type, struct str body);
/* The same with a shared body, not copied; `gzip`: it is compressed already. */
void rest_respond_blob(struct rest *rq, int code, const char *content_type, struct blob *body,
                       bool gzip);
void rest_status(struct rest *rq, const struct status *s);
/* 404: below /api/ and the groups that are built in a Status, everywhere else plain text, as published. */
void rest_page_not_found(struct rest *rq);
/* A struct of any kind, in the negotiated media (tables are only made of stored objects). */
void rest_object(struct rest *rq, int code, const void *object);
/* A stored object in the negotiated form. */
void rest_stored(struct rest *rq, int code, struct str stored, int64_t revision);
/* The answer to a GET of what was read: 200 and the object in the negotiated form. */
void rest_pair(struct rest *rq, const struct kv_pair *pair);
/* An encoded answer in *b: JSON (re-written as YAML or indented when asked for) or an envelope. */
void rest_json_or_wire(struct rest *rq, int code, struct buf *b);
/* Headers of a streamed answer; writes what content_type says. */
void rest_stream_start(struct rest *rq, const char *content_type);
/* The same; gzip: the pieces are compressed. */
void rest_stream_start_coded(struct rest *rq, const char *content_type, bool gzip);
/* 406: PartialObjectMetadata of a list, or PartialObjectMetadataList of one object. */
struct status *status_wrong_form(struct rest *rq, bool list);
/* Past the maximum: dropped; of those that are long in all the beginnings go out. The text is copied. */
void rest_warn(struct rest *rq, const char *text);

/*
 * Decode the body as message `m` with the request's field validation. NULL: answered already with the
 * published error.
 */
void *rest_decode(struct rest *rq, const struct schema_message *m);
/* Strict: a status; Warn: warnings are added and NULL returned. */
struct status *rest_field_problems(struct rest *rq, const struct field_problems *problems);
/* What is said of keys that stand twice (yaml_duplicate_keys). */
void rest_yaml_errors(struct buf *out, const char *const *lines, size_t n);
/* dryRun, fieldValidation and fieldManager from the query; false: answered with 422. write_options.c */
bool rest_write_options(struct rest *rq);
/* Add the cause to s if this is no value of dryRun. */
void rest_check_dry_run(struct arena *a, struct status *s, const char *value);

/* Is this the object that the path names? NULL, or 400. update.c */
struct status *rest_check_name(struct rest *rq, const Meta__V1__ObjectMeta *meta);

/* Who may update or apply may still not create: NULL, or 403. update.c */
struct write;
struct status *rest_check_may_create(struct write *w);

/* The answer to a patch that failed; to unknown and duplicate fields in one (refused, told or ignored); to a
 * type of patch that the resource does not take. update.c */
struct patch_report;
struct status *rest_patch_error(struct arena *a, const struct patch_report *report,
                                const struct error *err);
struct status *rest_patch_problems(struct rest *rq, const struct field_problems *problems,
                                   const struct patch_report *report);
struct status *rest_patch_unsupported(struct rest *rq);

/* Handlers, by file. */
void rest_get(struct rest *rq);    /* get.c */
void rest_list(struct rest *rq);   /* list.c */
void rest_watch(struct rest *rq);  /* watch.c */
void rest_create(struct rest *rq); /* create.c */
void rest_update(struct rest *rq); /* update.c */
void rest_patch(struct rest *rq);
void rest_apply(struct rest *rq);  /* apply.c */
void rest_delete(struct rest *rq); /* delete.c */
void rest_delete_collection(struct rest *rq);
void rest_binding(struct rest *rq);  /* pod.c */
void rest_eviction(struct rest *rq); /* eviction.c */
void rest_log(struct rest *rq);      /* apiserver/proxy/log.c */
void rest_connect(struct rest *rq);  /* apiserver/proxy/connect.c */
void rest_proxy(struct rest *rq);    /* apiserver/proxy/proxy.c */
/* A request to a proxy subresource with a body, which is delivered in pieces to rest_proxy_body. */
bool rest_proxy_streams(const struct http_exchange *x);
void rest_proxy_body(struct http_exchange *x, struct str data, bool end);
void rest_token(struct rest *rq);     /* token.c */
void rest_scale_get(struct rest *rq); /* scale.c */
void rest_scale_update(struct rest *rq);
void rest_review(struct rest *rq);           /* review.c */
void rest_component_status(struct rest *rq); /* component_status.c */

/* ---- stored objects ---- */

/* "/registry/pods/ns/name"; ns "" for cluster-scoped resources. */
struct str rest_key(struct arena *a, const struct resource *r, const char *ns, const char *name);
/* Prefix of all objects of a resource, or of those in a namespace (ns ""): "/registry/pods/ns/". */
struct str rest_prefix(struct arena *a, const struct resource *r, const char *ns);
/* Local read of one object into the arena. 1 found, 0 absent, <0 with *err. */
int rest_read(struct rest *rq, struct str key, struct kv_pair *out, struct error *err);
/* Local read and decode of one object of a resource. Same result. */
int rest_load(struct apiserver *s, struct arena *a, const struct resource *r, const char *ns,
              const char *name, void **out, struct error *err);
/* The schema message a resource speaks. */
static inline const struct schema_message *rest_message(const struct resource *r)
{
    return resource_message(r);
}

/* What a resource's objects are decoded as to be changed: the version stored, and for custom resources, which are
 * all stored alike, the request's own. */
static inline const struct schema_message *rest_kept_message(const struct resource *r)
{
    return r->custom ? resource_message(r) : NULL;
}

/*
 * Bring this member to the version a read wants ("": linearizable, "0": as it is, N: at least N), then
 * call `ready` with *err (code 0: go on). An unparsable version is answered here.
 */
#define FUTURE_REVISION_WAIT_MS \
    3000 /* so long a version may be another member's and not here yet */
typedef void rest_ready_fn(struct rest *rq);
void rest_await(struct rest *rq, const char *resource_version, rest_ready_fn *ready);
void rest_barrier_init(struct worker *w);

#endif
