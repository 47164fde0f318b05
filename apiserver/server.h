/*
 * The API server as a whole: what it is made of, and where its pieces find each other.
 *
 *     http_server ─▶ server.c (limits, authn, authz) ─▶ rest handlers ─▶ kvstore
 *
 * A request lives on one loop from its first byte to its last; everything below runs on that loop's
 * thread unless a header says otherwise. A `struct worker` holds what belongs to one loop.
 */
#ifndef C8S_APISERVER_SERVER_H
#define C8S_APISERVER_SERVER_H

#include "apiserver/auth/authn.h"
#include "apiserver/auth/authz.h"
#include "base/list.h"
#include "base/metrics.h"
#include "base/random.h"
#include "kvstore/kv.h"
#include "net/http.h"
#include "net/http_client.h"
#include "apiserver/auth/authn_front.h"
#include "net/loop.h"

struct apiserver_config {
    /* Serving. */
    const char *bind_address;      /* "0.0.0.0" */
    unsigned secure_port;          /* 6443; 0: any free port */
    const char *advertise_address; /* this member's address in Endpoints; NULL: none is published */
    const char *tls_cert_file, *tls_key_file, *client_ca_file;
    size_t loops_len;
    /* Authentication. */
    const char *token_file;
    const char *const *sa_key_files; /* NULL-terminated; public or private keys */
    const char *sa_signing_key_file;
    const char *sa_issuer;
    const char *const *audiences; /* NULL-terminated; NULL: the issuer */
    bool anonymous;
    bool always_allow;     /* --authorization-mode=AlwaysAllow */
    bool node_authorizer;  /* … Node, in front of RBAC */
    bool bootstrap_tokens; /* --enable-bootstrap-token-auth */
    struct front_proxy_config front_proxy;
    /* Admission. */
    uint64_t admission_off; /* bits of plugins that are not called (admission/admission.h) */
    const char *const *pod_security_exempt_namespaces;       /* NULL-terminated, or NULL */
    const struct pod_security_labels *pod_security_defaults; /* NULL: privileged, latest */
    const char *const *pod_security_exempt_users, *const *pod_security_exempt_runtime_classes;
    /* Services. */
    const char *service_cidr; /* "10.96.0.0/12" */
    unsigned node_port_min, node_port_max;
    /* Nodes. */
    const char *kubelet_ca_file, *kubelet_cert_file, *kubelet_key_file;
    /* Limits and times. */
    unsigned inflight_max, mutating_inflight_max; /* 400, 200 */
    bool priority_and_fairness; /* true: they are seats for all, dealt by flow/flow_control.h */
    unsigned watchers_max;                        /* per member; default 100000 */
    uint64_t min_request_timeout_s;               /* 1800: watches last this long up to twice */
    uint64_t compaction_interval_s;               /* 300; 0: never */
    uint64_t event_ttl_s;                         /* 3600 */
    uint64_t
        member_ttl_s; /* this member's entry in Endpoints outlives it by at most this long; 15 */
    struct metrics *metrics; /* may be NULL */
};

void apiserver_config_init(struct apiserver_config *c); /* the defaults above */

struct apiserver;
struct watch_hubs;
struct list_cache;
struct rest;
struct flow_control;
struct flow_stocks;
struct openapi_service;

/* The lease that this minute's events hang on. */
struct event_lease {
    int64_t id;
    uint64_t granted_ms;
    bool granting;
    struct list waiting; /* struct rest.event_link */
};

/* Reads that wait for a linearizable moment: those of one loop iteration share one barrier. */
struct read_barrier {
    struct list waiting; /* struct await (rest.c) */
    struct loop_deferred deferred;
};

struct worker {
    struct apiserver *server;
    struct loop *loop;
    size_t index;
    struct watch_hubs *hubs;
    struct list_cache *lists;        /* list_cache.h */
    struct object_cache *cache;      /* what admission asks for (object_cache.h) */
    struct quota_turns *quota_turns; /* writes that wait for a quota (admission/quota.h) */
    struct flow_stocks *stocks;      /* flow/flow_width.h */
    struct event_lease event_lease;
    struct read_barrier barrier;
    struct loop_timer flow_look; /* of the first worker: flow/flow_filter.h */
    unsigned flow_pressed;       /* looks for which it has been so */
    struct rng rng;  /* for ids that need not be secret */
    struct buf text; /* the answer that is being written: rest_stored */
    struct answer_cache *answers;
    struct map *node_clients; /* "host:port" → struct http_client, made on demand */
};

struct apiserver {
    struct apiserver_config config;
    struct kv *kv;
    struct worker *workers;
    size_t workers_len;
    struct http_server *http;
    struct tls_context *tls;
    struct tls_context *node_tls;
    struct tls_context *node_insecure_tls; /* for logs, when the client says so */
    struct tls_context *node_stream_tls; /* the same for HTTP/1.1, which is what upgrades are of */
    struct tls_context
        *proxy_tls; /* of proxied requests: any certificate will do, and none is shown */
    struct authn *authn;
    struct authz *authz;
    struct jwt_keys *sa_keys;
    struct jwt_signer *sa_signer;
    struct kept_gather *kept_gather; /* kept_write.h; of the keeper's thread */
    struct service_net *service_net; /* allocator.h */
    struct discovery *discovery;
    struct custom_registry *custom;  /* custom/registry.h */
    struct openapi_service *openapi; /* openapi_service.h */
    int64_t quota_recount_next_s;    /* the keeper's: when all quotas are counted anew */
    struct keeper *keeper;           /* self-maintained objects, compaction (keeper.h) */
    struct http_metrics *metrics;
    struct counter *rejected;  /* requests, with 429; NULL: not counted */
    struct flow_control *flow; /* flow/flow_control.h; NULL: two plain limits */
    atomic_uint inflight, mutating_inflight, watchers;
    atomic_bool bootstrapped; /* the self-made objects are there: ready */
    atomic_bool stopping;
    atomic_bool output_short; /* a request was refused for the answers that nobody takes */
};

/*
 * Start serving on the loops given (config.loops_len of them, running). Strings are not copied: they
 * must outlive the server. NULL with *err: the message names the flag or file.
 */
struct apiserver *apiserver_start(const struct apiserver_config *config, struct kv *kv,
                                  struct loop *const *loops, struct error *err);
int apiserver_port(const struct apiserver *s);
/* Stop taking requests, let running ones end for at most grace_ms, free. Not on a loop's thread. */
void apiserver_stop(struct apiserver *s, uint64_t grace_ms);

struct worker *apiserver_worker(struct apiserver *s, const struct loop *loop);

#endif
