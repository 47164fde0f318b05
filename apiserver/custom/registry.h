/*
 * The registry: which custom resources exist, by what the store says.
 *
 *     store: /registry/apiextensions.k8s.io/customresourcedefinitions/
 *        │ watch (worker 0), and a look at the key on each request
 *        ▼
 *     custom_set ── immutable, counted, replaced as a whole ──▶ requests, discovery, OpenAPI
 *
 * Every member follows its own store; none is told by another. A request compares the revision of its
 * definition with the store's, so that who has created or changed a definition on a member finds it
 * there at once, and elsewhere as soon as that member has applied the change.
 *
 * When a definition changes or goes, the watches on its objects end; clients start again.
 */
#ifndef C8S_APISERVER_CUSTOM_REGISTRY_H
#define C8S_APISERVER_CUSTOM_REGISTRY_H

#include "api/custom/custom.h"

#define CRD_PREFIX "/registry/apiextensions.k8s.io/customresourcedefinitions/"

struct apiserver;
struct custom_registry;

/* All types at one moment. */
struct custom_set {
    unsigned refs;              /* the registry's */
    uint64_t generation;        /* another set has another */
    struct custom_type **types; /* sorted by group, then plural */
    size_t types_len;
};

/* Empty at first. */
struct custom_registry *custom_registry_new(struct apiserver *s);
/* On worker 0's loop: take what the store has, follow it, and start the controller (controller.h). */
void custom_registry_follow(struct custom_registry *r);
/* Before the loops stop; not on a loop. NULL is fine, here and below. */
void custom_registry_stop(struct custom_registry *r);
void custom_registry_unfollow(struct custom_registry *r); /* on worker 0's loop */
void custom_registry_free(struct custom_registry *r);     /* nobody uses its resources any more */

/* The present set, one reference. Any thread. */
const struct custom_set *custom_set_get(struct custom_registry *r);
void custom_set_put(struct custom_registry *r, const struct custom_set *set);
/* Grows whenever what is served changes: documents made from an older set are stale. */
uint64_t custom_generation(struct custom_registry *r);

/*
 * The resource that serves this path, with a reference (resource_unref); NULL: none. Any thread.
 */
const struct resource *custom_resource_find(struct custom_registry *r, struct str group,
                                            struct str version, struct str plural);

/* For openapi_service_source; ctx is the registry. */
struct openapi_customs;
uint64_t custom_openapi_generation(void *ctx);
void custom_openapi_list(void *ctx, void (*fn)(void *arg, const struct openapi_customs *customs),
                         void *arg);

#endif
