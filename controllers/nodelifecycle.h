/*
 * Node lifecycle: decisions about conditions and taints (nodelifecycle.c and tainteviction.c carry
 * them out).
 */
#ifndef C8S_CONTROLLERS_NODELIFECYCLE_H
#define C8S_CONTROLLERS_NODELIFECYCLE_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

struct arena;

#define TAINT_NOT_READY "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"

const Core__V1__NodeCondition *node_condition(const Core__V1__Node *node, const char *type);

/* The node has been silent for too long: Ready and the pressure conditions become Unknown in
 * `status`. False: they are already. */
bool node_mark_unknown(struct arena *a, Core__V1__NodeStatus *status, int64_t now_s);

/* The taints that follow from conditions and spec.unschedulable, with those of others kept as they
 * are. Time added stays for taints that stay. False: `spec` has them so already. */
bool node_set_taints(struct arena *a, Core__V1__NodeSpec *spec, const Core__V1__Node *node,
                     int64_t now_s);

/* When must the pod leave the node because of NoExecute taints? Seconds since 1970; 0: at once;
 * INT64_MAX: never. A taint's time counts from its timeAdded, else from now. */
int64_t pod_eviction_time(const Core__V1__Pod *pod, const Core__V1__Node *node, int64_t now_s);

#endif
