/*
 * ReplicaSet: decisions. Pure functions from what is observed to what to do; replicaset.c carries
 * them out.
 */
#ifndef C8S_CONTROLLERS_REPLICASET_H
#define C8S_CONTROLLERS_REPLICASET_H

#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

#define REPLICASET_BURST 500 /* pods created or deleted by one reconcile */

/* How many pods to create (> 0) or delete (< 0), at most REPLICASET_BURST. */
int replicaset_missing(const Apps__V1__ReplicaSet *rs, size_t active);

/* Order pods so that those to delete first come first: not on a node before on one, pending before
 * running, not ready before ready, lower deletion cost (annotation) first, more pods of the same
 * set on its node first, ready for a shorter time first, more restarts first, newer first. */
void replicaset_deletion_order(Core__V1__Pod **pods, size_t n);

/* What of its status can be seen in its pods. `terminating`: owned pods being deleted. *wait_s is
 * lowered to the seconds after which a ready pod becomes available. `failure`: why creating or
 * deleting failed ("FailedCreate", "FailedDelete"), or NULL; `message` with it. */
Apps__V1__ReplicaSetStatus *replicaset_status(struct arena *a, const Apps__V1__ReplicaSet *rs,
                                              Core__V1__Pod *const *active, size_t n,
                                              int32_t terminating, const char *failure,
                                              const char *message, int64_t now_s, int64_t *wait_s);

/* The pod that the set's template describes, named, owned and labelled. */
Core__V1__Pod *replicaset_pod(struct arena *a, const Apps__V1__ReplicaSet *rs);

#endif
