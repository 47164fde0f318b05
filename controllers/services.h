/*
 * What the EndpointSlice and the Endpoints controller share: which services a pod's change
 * concerns, and what the endpoints of a service are now.
 */
#ifndef C8S_CONTROLLERS_SERVICES_H
#define C8S_CONTROLLERS_SERVICES_H

#include "controllers/controller.h"
#include "controllers/endpointslice.h"

struct services {
    struct client *client;
    struct workqueue *queue;
    struct informer *services, *pods, *nodes, *own; /* own: EndpointSlices or Endpoints */
};

/* Make the informers and let changes of services and pods enqueue services. */
void services_open(struct services *s, struct manager *m, struct workqueue *queue,
                   const struct resource *own);
/* Does the controller make endpoints for this service (it has a selector and no external name)? */
bool service_is_ours(const Core__V1__Service *service);
/* The desired endpoints. What it points to lives as long as `refs` and the arena. */
struct endpoint_group *services_desired(struct services *s, struct arena *a,
                                        const Core__V1__Service *service, struct object_refs *refs,
                                        size_t *len);

#endif
