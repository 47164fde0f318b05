/*
 * Endpoint slices of a service: decisions. Which endpoints there should be, and how to get from the
 * slices that are to slices that say so with few writes (endpointslice.c writes them).
 */
#ifndef C8S_CONTROLLERS_ENDPOINTSLICE_H
#define C8S_CONTROLLERS_ENDPOINTSLICE_H

#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

struct arena;

#define SLICE_ENDPOINTS_MAX 100
#define SLICE_LABEL_SERVICE "kubernetes.io/service-name"
#define SLICE_LABEL_MANAGER "endpointslice.kubernetes.io/managed-by"
#define SLICE_MANAGER "endpointslice-controller.k8s.io"

/* The container port that a service port leads to; 0 when the pod has none of that name. */
int32_t service_target_port(const Core__V1__ServicePort *port, const Core__V1__Pod *pod);

/* Does the pod belong into an endpoint at all (has an address, has not ended)? */
bool pod_is_endpoint(const Core__V1__Pod *pod);

/* Zone of a node by name, or NULL. */
typedef const char *zone_fn(void *ctx, const char *node);

/* Endpoints with the same ports. */
struct endpoint_group {
    Discovery__V1__EndpointPort **ports;
    size_t ports_len;
    Discovery__V1__Endpoint **endpoints;
    size_t endpoints_len;
};

/* What the service's slices should hold together. Pods that resolve a named port differently are in
 * different groups. Without any endpoint there is one group without endpoints and with the ports
 * that need no pod to resolve. */
struct endpoint_group *slices_desired(struct arena *a, const Core__V1__Service *service,
                                      Core__V1__Pod *const *pods, size_t pods_len, zone_fn *zone,
                                      void *zone_ctx, size_t *len);

/* Changes to make. Existing slices are not touched; `update` holds changed copies. */
struct slice_plan {
    Discovery__V1__EndpointSlice **create, **update, **remove;
    size_t create_len, update_len, remove_len;
};
/* Endpoints stay in the slice they are in; new ones fill slices with room before new slices are
 * made. */
struct slice_plan slices_plan(struct arena *a, const Core__V1__Service *service,
                              const struct endpoint_group *groups, size_t groups_len,
                              Discovery__V1__EndpointSlice *const *existing, size_t existing_len);

/* The same endpoints as an Endpoints object's subsets. */
void endpoints_fill(struct arena *a, Core__V1__Endpoints *out, const struct endpoint_group *groups,
                    size_t groups_len);

#endif
