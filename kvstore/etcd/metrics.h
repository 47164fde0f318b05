/*
 * Calls counted under the names that Go's gRPC servers have: grpc_server_started_total, grpc_server_handled_total by
 * status, with --metrics=extensive grpc_server_handling_seconds of unary calls. And the warning of slow ones.
 */
#ifndef C8S_KVSTORE_ETCD_METRICS_H
#define C8S_KVSTORE_ETCD_METRICS_H

#include "kvstore/slow.h"
#include "net/grpc.h"

struct metrics;
struct etcd_metrics;

/* `m` may be NULL: only warnings. slow_ns 0: the default. */
struct etcd_metrics *etcd_metrics_new(struct metrics *m, bool extensive, uint64_t slow_ns);
void etcd_metrics_free(struct etcd_metrics *e);
/* Before the first call. */
void etcd_metrics_add(struct etcd_metrics *e, const struct grpc_method *methods, size_t n);
/* grpc_server_options.on_end; ctx: the struct etcd_metrics. Any thread. */
void etcd_metrics_ended(struct etcd_metrics *e, const struct grpc_method *method, int status,
                        uint64_t took_ns);

#endif
