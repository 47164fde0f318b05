/*
 * A typed client of the Kubernetes API, for everything of ours that talks to an API server.
 *
 * A client owns one I/O thread (an event loop); all connections live there. Any thread may call the
 * blocking functions: they hand the request to the I/O thread and sleep until the answer has been
 * decoded into the caller's arena. Two rules follow:
 *   - never call a blocking function from a callback (callbacks run on the I/O thread; debug builds
 *     assert it);
 *   - callbacks must not block, else every informer of this client stands still.
 *
 * Objects travel as protobuf (`application/vnd.kubernetes.protobuf`) and are the generated structs
 * of proto/ (`Core__V1__Pod *`, …), passed as `void *` where the resource decides the type.
 *
 *     struct error err;
 *     Core__V1__Pod *pod = client_get(c, RESOURCE_PODS, "default", "web-0", NULL, &arena, &err);
 *     if (!pod && err.code == ERR_NOT_FOUND) …
 *
 * Errors: functions that return an object return NULL and set err->code, others return the negative
 * code. A Status answered by the server becomes, by its reason:
 *
 *     NotFound                         ERR_NOT_FOUND       AlreadyExists          ERR_EXISTS
 *     Conflict                         ERR_CONFLICT        Invalid, BadRequest    ERR_INVALID
 *     Expired, Gone                    ERR_COMPACTED       Unauthorized, Forbidden ERR_DENIED
 *     Timeout                          ERR_TIMEOUT         RequestEntityTooLarge  ERR_LIMIT
 *     TooManyRequests, ServerTimeout, ServiceUnavailable   ERR_UNAVAILABLE
 *     MethodNotAllowed, NotAcceptable, UnsupportedMediaType ERR_UNSUPPORTED
 *     anything else                    ERR_INTERNAL
 *
 * and the message is the Status's message. `struct client_options.status` receives HTTP code,
 * reason and retry hint for who needs more. 429 and 503 with Retry-After are retried inside the
 * call until its timeout. Reads are retried on the next server when a connection fails; writes only
 * when the request provably never left.
 */
#ifndef C8S_CLIENT_CLIENT_H
#define C8S_CLIENT_CLIENT_H

#include "api/kinds.h"
#include "api/patch/patch.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

struct client;
struct client_config; /* client/kubeconfig.h */
struct loop;

/* ------------------------------------------------------------------------------- resources --- */

/* Resources are the rows of api/kinds.h; those that our components use often, by name. Resources
 * found by discovery (custom ones) are made by hand: group, version, kind, plural, namespaced,
 * message SCHEMA_NONE; then only metadata_only and raw requests work. */
#define RESOURCE_PODS resource_of_message(Core__V1__Pod__SCHEMA)
#define RESOURCE_NODES resource_of_message(Core__V1__Node__SCHEMA)
#define RESOURCE_NAMESPACES resource_of_message(Core__V1__Namespace__SCHEMA)
#define RESOURCE_SERVICES resource_of_message(Core__V1__Service__SCHEMA)
#define RESOURCE_ENDPOINTS resource_of_message(Core__V1__Endpoints__SCHEMA)
#define RESOURCE_CONFIGMAPS resource_of_message(Core__V1__ConfigMap__SCHEMA)
#define RESOURCE_SECRETS resource_of_message(Core__V1__Secret__SCHEMA)
#define RESOURCE_SERVICEACCOUNTS resource_of_message(Core__V1__ServiceAccount__SCHEMA)
#define RESOURCE_EVENTS resource_of_message(Core__V1__Event__SCHEMA)
#define RESOURCE_PERSISTENTVOLUMES resource_of_message(Core__V1__PersistentVolume__SCHEMA)
#define RESOURCE_PERSISTENTVOLUMECLAIMS resource_of_message(Core__V1__PersistentVolumeClaim__SCHEMA)
#define RESOURCE_DEPLOYMENTS resource_of_message(Apps__V1__Deployment__SCHEMA)
#define RESOURCE_REPLICASETS resource_of_message(Apps__V1__ReplicaSet__SCHEMA)
#define RESOURCE_DAEMONSETS resource_of_message(Apps__V1__DaemonSet__SCHEMA)
#define RESOURCE_STATEFULSETS resource_of_message(Apps__V1__StatefulSet__SCHEMA)
#define RESOURCE_CONTROLLERREVISIONS resource_of_message(Apps__V1__ControllerRevision__SCHEMA)
#define RESOURCE_JOBS resource_of_message(Batch__V1__Job__SCHEMA)
#define RESOURCE_CRONJOBS resource_of_message(Batch__V1__CronJob__SCHEMA)
#define RESOURCE_ENDPOINTSLICES resource_of_message(Discovery__V1__EndpointSlice__SCHEMA)
#define RESOURCE_LEASES resource_of_message(Coordination__V1__Lease__SCHEMA)
#define RESOURCE_PRIORITYCLASSES resource_of_message(Scheduling__V1__PriorityClass__SCHEMA)
#define RESOURCE_RUNTIMECLASSES resource_of_message(Node__V1__RuntimeClass__SCHEMA)

/* ---------------------------------------------------------------------------------- client --- */

/* Start a client (its thread too). The config is copied. `user_agent` e.g. "c8s-controllers".
 * No connection is made yet. */
int client_new(const struct client_config *config, const char *user_agent, struct client **out,
               struct error *err);
/* Cancels what is under way (blocking callers get ERR_CANCELLED), closes all watches, joins the
 * thread. Informers and others built on the client must be freed before. */
void client_free(struct client *c);
/* The I/O thread's loop: loop_post to it to run something between callbacks. */
struct loop *client_loop(struct client *c);
/* The namespace of the configuration's context; "default" when it names none. */
const char *client_namespace(const struct client *c);
/* A second set of connections to the same servers with the same identity, on its own thread: for
 * lease renewal that must not queue behind bulk traffic. Free with client_free. */
int client_clone(struct client *c, struct client **out, struct error *err);

/* What the server said beyond success or failure. */
struct client_status {
    int http_status;   /* 0: no answer */
    char reason[64];   /* Status.reason, e.g. "AlreadyExists" */
    int retry_after_s; /* -1: not told */
    char cause[64];    /* first details.causes[].reason, e.g. "ResourceVersionTooLarge" */
};

/* Per call; a NULL pointer means all defaults. Zero or NULL members are not sent. */
struct client_options {
    const char *subresource;                     /* "status", "scale", "eviction", "binding" */
    const char *resource_version;                /* get, list: "0", or at least this one */
    const char *label_selector, *field_selector; /* list, deletecollection */
    int64_t limit;                               /* list */
    const char *continue_token;                  /* list */
    const char *field_manager;                   /* writes; default: the user agent */
    bool dry_run;                                /* writes: dryRun=All */
    bool force;                                  /* server-side apply */
    bool metadata_only;           /* answers are Meta__V1__PartialObjectMetadata(List) */
    uint32_t timeout_ms;          /* of the whole call, retries included; 0: 30 s */
    struct client_status *status; /* out, optional */
};

/* All of these take namespace NULL or "" for cluster-scoped resources (and for lists over all
 * namespaces); answers live in `a`. */
void *client_get(struct client *c, const struct resource *r, const char *ns, const char *name,
                 const struct client_options *o, struct arena *a, struct error *err);
/* A list message (Core__V1__PodList, …). One page when o->limit is set: metadata->continue_ (use
 * client_list_all to walk them). */
void *client_list(struct client *c, const struct resource *r, const char *ns,
                  const struct client_options *o, struct arena *a, struct error *err);
/* Calls each(item) for every object over all pages; each returns false to stop early. */
int client_list_all(struct client *c, const struct resource *r, const char *ns,
                    const struct client_options *o, bool (*each)(void *ctx, void *object),
                    void *ctx, struct error *err);
/* Writes take name and namespace from the object's metadata and return the stored object. */
void *client_create(struct client *c, const struct resource *r, const void *object,
                    const struct client_options *o, struct arena *a, struct error *err);
/* Fails with ERR_CONFLICT when metadata.resourceVersion is set and no longer current. */
void *client_update(struct client *c, const struct resource *r, const void *object,
                    const struct client_options *o, struct arena *a, struct error *err);
void *client_update_status(struct client *c, const struct resource *r, const void *object,
                           const struct client_options *o, struct arena *a, struct error *err);

/* `patch` is JSON text (YAML for apply). */
void *client_patch(struct client *c, const struct resource *r, const char *ns, const char *name,
                   enum patch_type type, struct str patch, const struct client_options *o,
                   struct arena *a, struct error *err);

/* What a DELETE asks for. */
struct delete_options {
    int64_t grace_period_s;             /* -1: the object's own */
    const char *propagation;            /* NULL, "Background", "Foreground", "Orphan" */
    const char *uid, *resource_version; /* preconditions, or NULL */
};
#define DELETE_DEFAULTS ((struct delete_options){.grace_period_s = -1})
/* d may be NULL. Success also when the object only got its deletionTimestamp. */
int client_delete(struct client *c, const struct resource *r, const char *ns, const char *name,
                  const struct delete_options *d, const struct client_options *o,
                  struct error *err);
int client_delete_collection(struct client *c, const struct resource *r, const char *ns,
                             const struct delete_options *d, const struct client_options *o,
                             struct error *err);

/* Without waiting: for controllers that write many objects at once. `done` runs on the I/O thread
 * exactly once, also when the client is freed; err is NULL on success. The object is encoded before
 * the call returns. */
typedef void client_done_fn(void *ctx, const struct error *err);
void client_create_async(struct client *c, const struct resource *r, const void *object,
                         client_done_fn *done, void *ctx);
void client_delete_async(struct client *c, const struct resource *r, const char *ns,
                         const char *name, const struct delete_options *d, client_done_fn *done,
                         void *ctx);

/* Bind a pod to a node (POST pods/binding). ERR_CONFLICT: already bound or being deleted. */
int client_bind(struct client *c, const char *ns, const char *pod, const char *uid,
                const char *node, struct error *err);
void client_bind_async(struct client *c, const char *ns, const char *pod, const char *uid,
                       const char *node, client_done_fn *done, void *ctx);
/* POST policy/v1 Eviction. ERR_UNAVAILABLE (429): a disruption budget forbids it now. */
int client_evict(struct client *c, const char *ns, const char *pod, const struct delete_options *d,
                 struct error *err);
/* Read and set spec.replicas through the scale subresource. */
int client_get_scale(struct client *c, const struct resource *r, const char *ns, const char *name,
                     int32_t *spec_replicas, int32_t *status_replicas, struct error *err);
int client_set_scale(struct client *c, const struct resource *r, const char *ns, const char *name,
                     int32_t replicas, struct error *err);

/* ------------------------------------------------------------------------------------- raw --- */

/* A request as HTTP sees it, for what has no typed form (discovery, Tables, logs, custom
 * resources). */
struct client_request {
    const char *method;       /* "GET" when NULL */
    const char *path;         /* "/api/v1/namespaces/default/pods?limit=5": escaped already */
    const char *accept;       /* "application/json" when NULL */
    const char *content_type; /* of the body */
    struct str body;
    uint32_t timeout_ms; /* 0: 30 s; a stream: until the first byte, then none */
};

struct client_response {
    int http_status;
    const char *content_type; /* in the arena; "" when the server told none */
    const char *warnings;     /* Warning header texts, newline separated; NULL when none */
    struct str body;          /* in the arena */
};

/* Any HTTP status counts as success here (0); a negative code means no answer was had.
 * client_check turns the answer into an error of the table above. */
int client_raw(struct client *c, const struct client_request *q, struct arena *a,
               struct client_response *out, struct error *err);
/* 0 for 2xx; else sets err from the Status in the body (JSON or protobuf), status (may be NULL)
 * too. */
int client_check(const struct client_response *response, struct client_status *status,
                 struct error *err);
/* Stream an answer's body: on_data runs on the I/O thread; returning false ends the stream. Blocks
 * until the end. Answers other than 2xx become errors. */
int client_raw_stream(struct client *c, const struct client_request *q,
                      bool (*on_data)(void *ctx, struct str data), void *ctx, struct error *err);
/* Without waiting; `done` runs on the I/O thread exactly once. When err is not NULL response is
 * NULL. The response lives until done returns. */
void client_raw_async(struct client *c, const struct client_request *q,
                      void (*done)(void *ctx, const struct client_response *response,
                                   const struct error *err),
                      void *ctx);

/* ----------------------------------------------------------------------------------- watch --- */

enum watch_event_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK };

/* Callbacks on the I/O thread. The message lives in an arena that is reset when `event` returns,
 * unless the callback takes the arena over by copying *a and calling arena_init on it. */
struct watch_callbacks {
    void (*event)(void *ctx, enum watch_event_type type, void *object, struct arena *a);
    /* Last call of a watch, never called after client_watch_stop. err->code ERR_OK: the server
     * ended it regularly (time-out); ERR_COMPACTED: relist. */
    void (*end)(void *ctx, const struct error *err);
};
struct client_watch;
/* Call on the I/O thread only. o: selectors, resource_version, metadata_only. Bookmarks are asked
 * for. timeout_s: after which the server is asked to end the watch. */
struct client_watch *client_watch_start(struct client *c, const struct resource *r, const char *ns,
                                        const struct client_options *o, uint32_t timeout_s,
                                        const struct watch_callbacks *callbacks, void *ctx);
void client_watch_stop(struct client_watch *w);
/* Blocking form for command line tools: event returns false to stop (runs on the I/O thread). */
int client_watch_run(struct client *c, const struct resource *r, const char *ns,
                     const struct client_options *o,
                     bool (*event)(void *ctx, enum watch_event_type type, void *object), void *ctx,
                     struct error *err);

#endif
