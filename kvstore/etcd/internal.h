/*
 * Inside the etcd services only.
 *
 *   server.c         listening, dispatch, stopping
 *   http.c           /health, /livez, /readyz, /version, /metrics
 *   convert.c        messages ⇄ kv.h, errors
 *   kv.c, watch.c, lease.c, cluster.c, maintenance.c, snapshot.c, lock.c, election.c, health.c   the services
 *   range_stream.c   KV.RangeStream
 *   auth.c           the Auth service, and who calls (auth.h)
 *   gateway.c        the same as JSON
 *   jobs.c           long work behind calls
 *   leader.c         clients that want a leader
 */
#ifndef C8S_KVSTORE_ETCD_INTERNAL_H
#define C8S_KVSTORE_ETCD_INTERNAL_H

#include "base/metrics.h"
#include "kvstore/etcd/etcd.h"
#include "kvstore/etcd/metrics.h"
#include "base/list.h"
#include "net/grpc.h"
#include "proto/etcd/election.pb-c.h"
#include "proto/etcd/lock.pb-c.h"
#include "proto/etcd/rpc.pb-c.h"
#include <pthread.h>
#include <stdatomic.h>

#define ETCD_JOBS_MAX 8 /* at once; more are refused */

/* Jobs under way (jobs.c). */
struct etcd_jobs {
    pthread_mutex_t lock;
    pthread_cond_t none;
    struct list jobs;
    unsigned running; /* with those whose `done` runs */
    bool closing;
};

struct etcd_server {
    struct etcd_metrics *calls;
    struct etcd_config config;
    struct kv *kv;
    struct http_server *http;         /* clients */
    struct http_server *plain_http;   /* listen_client_http_urls; NULL: none, `http` is for both */
    struct http_server *metrics_http; /* listen_metrics_urls; NULL: none */
    struct grpc_server *grpc;
    uint64_t cluster_id, member_id; /* fixed */
    _Atomic uint64_t term;          /* refreshed a few times a second: every answer carries it */
    struct loop_timer refresh;
    uint64_t leader_seen_ms;  /* leader.c, on the first loop: when there last was one */
    bool leader_lost;         /* and its streams were cancelled */
    atomic_size_t watch_held; /* bytes of large revisions that watches are putting together */
    atomic_uint hashing;      /* passwords given to the pool */
    struct etcd_jobs jobs;
};

/* A call under way: lives in the call's arena. */
struct etcd_request {
    struct etcd_server *server;
    struct grpc_call *call;
    const ProtobufCMessage *message;
    size_t budget; /* taken with kv_budget_take, given back when the call is freed */
};

/* The methods of each service: arrays for grpc_server_add. */
extern const struct grpc_method etcd_kv_methods[], etcd_watch_methods[], etcd_lease_methods[],
    etcd_cluster_methods[], etcd_maintenance_methods[], etcd_lock_methods[],
    etcd_election_methods[], etcd_health_methods[], etcd_range_stream_methods[];
extern const size_t etcd_kv_methods_len, etcd_watch_methods_len, etcd_lease_methods_len,
    etcd_cluster_methods_len, etcd_maintenance_methods_len, etcd_lock_methods_len,
    etcd_election_methods_len, etcd_health_methods_len, etcd_range_stream_methods_len;

/* An entry of such an array, for a method with one request message. */
#define ETCD_METHOD(service, name, descriptor, handler)                              \
    {                                                                                \
        .path = "/etcdserverpb." service "/" name,                                   \
        .request = &etcdserverpb__##descriptor##__descriptor, .on_message = handler, \
        .on_free = etcd_request_free                                                 \
    }

/* Long work behind a call: `run` on a thread of its own, then `done` on the loop. The call must not be finished before
 * `done`. */
struct etcd_job {
    void (*run)(struct etcd_job *job);
    void (*done)(struct etcd_job *job);
    atomic_bool stop; /* set when the server stops: `run` should return soon */
    struct etcd_server *server;
    struct loop *loop;
    struct loop_task task;
    struct list link;
};
/* False: too many are under way, or the server stops; neither function is called. */
bool etcd_job_start(struct etcd_server *s, struct loop *loop, struct etcd_job *job);
void etcd_jobs_init(struct etcd_jobs *j);
/* Stops them and waits; the loops still run. */
void etcd_jobs_close(struct etcd_jobs *j);
extern const struct grpc_method etcd_snapshot_method;

/* grpc_server_options.check (check.c). */
bool etcd_check(struct grpc_call *call, void *ctx, const struct grpc_method *method,
                const ProtobufCMessage *message);

/* A new etcd_request for a call, as its user. */
struct etcd_request *etcd_request_new(struct etcd_server *s, struct grpc_call *call,
                                      const ProtobufCMessage *message);
/* .on_free of every method that makes an etcd_request. */
void etcd_request_free(struct grpc_call *call, void *ctx);
struct loop *etcd_loop(struct grpc_call *call);

/* Fill a header; `rev` 0: the current revision. */
void etcd_header(const struct etcd_server *s, Etcdserverpb__ResponseHeader *h, int64_t rev);

/* End a call with what a kv_* function reported (never 0), by etcd's status and message. */
void etcd_fail(struct grpc_call *call, int code);
/* The message alone ("etcdserver: …"), and its gRPC status. */
const char *etcd_error_message(int code, int *status);
#define ETCD_EMPTY_KEY "etcdserver: key is not provided"

/* A stream whose client reads slowly takes no more requests and makes no more events past this. */
#define ETCD_QUEUE_PAUSE_BYTES (1u << 20)

/* gateway.c: is it a request under /v3/? Then it is answered. The first when its headers have come (the
 * body may be a stream), the second with the whole body. */
bool etcd_gateway_headers(struct etcd_server *s, struct http_exchange *x);
bool etcd_gateway_request(struct etcd_server *s, struct http_exchange *x);

/* convert.c */
static inline struct str etcd_str(ProtobufCBinaryData b)
{
    return str_make(b.data, b.len);
}
static inline ProtobufCBinaryData etcd_bytes(struct str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)s.p};
}
void etcd_kv_of_pair(const struct kv_pair *pair, Mvccpb__KeyValue *out);
/* 0, or what is wrong: a gRPC status with *message. */
int etcd_range_request(const Etcdserverpb__RangeRequest *q, struct kv_range_request *out,
                       const char **message);
int etcd_put_request(const Etcdserverpb__PutRequest *q, struct kv_put *out, const char **message);
int etcd_delete_request(const Etcdserverpb__DeleteRangeRequest *q, struct kv_delete *out,
                        const char **message);
int etcd_txn_request(const struct etcd_server *s, const Etcdserverpb__TxnRequest *q,
                     struct arena *a, struct kv_txn_request *out, const char **message);
void etcd_range_response(const struct etcd_server *s, const struct kv_range_result *r,
                         struct arena *a, Etcdserverpb__RangeResponse *out);
void etcd_delete_response(const struct kv_op_result *r, struct arena *a,
                          Etcdserverpb__DeleteRangeResponse *out);
void etcd_put_response(const struct kv_op_result *r, struct arena *a,
                       Etcdserverpb__PutResponse *out);
void etcd_txn_response(const struct etcd_server *s, const struct kv_txn_result *r, struct arena *a,
                       Etcdserverpb__TxnResponse *out);

/* leader.c. Does the call want a leader, and none is known? And what the first loop tells a few times a second. */
bool etcd_leader_missed(struct grpc_call *call, struct etcd_server *s);
void etcd_leader_watch(struct etcd_server *s, bool leader, uint64_t now_ms);

/* http.c */
void etcd_http_request(void *ctx, struct http_exchange *x);

#endif
