/*
 * What a pod refers to: its secrets, config maps, claims of volumes and of devices, and service account. The Node authorizer lets
 * a node read what its own pods refer to; mirror pods may refer to nothing. Pure.
 */
#ifndef C8S_APISERVER_POD_REFS_H
#define C8S_APISERVER_POD_REFS_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>

enum pod_ref {
    POD_REF_SECRET,
    POD_REF_CONFIG_MAP,
    POD_REF_CLAIM,
    POD_REF_SERVICE_ACCOUNT,
    POD_REF_RESOURCE_CLAIM
};

/* Called for every reference, repeated ones again; true ends the walk. Claims of ephemeral volumes
 * have the name the controller gives them (`<pod>-<volume>`). */
typedef bool pod_ref_fn(void *ctx, enum pod_ref kind, const char *name);

/* True: a call returned true. */
bool pod_refs_each(const Core__V1__Pod *pod, pod_ref_fn *visit, void *ctx);
/* Does the pod refer to this one? */
bool pod_refers(const Core__V1__Pod *pod, enum pod_ref kind, const char *name);
/* Does it refer to any of the kind? */
bool pod_refers_any(const Core__V1__Pod *pod, enum pod_ref kind);

#endif
