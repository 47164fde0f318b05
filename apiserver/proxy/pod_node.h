/*
 * From a pod to the node agent that runs it: which container is meant, and where its agent listens. Shared by
 * logs and by exec, attach and port-forward.
 */
#ifndef C8S_APISERVER_PROXY_POD_NODE_H
#define C8S_APISERVER_PROXY_POD_NODE_H

#include "apiserver/rest/rest.h"
#include "proto/core_v1.pb-c.h"

/* The request's pod, as stored here. NULL: answered. */
const Core__V1__Pod *pod_node_load(struct rest *rq);

/* The container of the query parameter `container`, or the only one, or the annotated default. NULL with
 * *bad set: the 400. */
const char *pod_node_container(struct rest *rq, const Core__V1__Pod *pod, struct status **bad);

/* "host:port" of the agent of the pod's node. NULL with *bad set. */
const char *pod_node_address(struct rest *rq, const Core__V1__Pod *pod, struct status **bad);

/* A node's address and its agent's port. NULL with *bad set. */
const char *node_host(struct rest *rq, const char *name, int32_t *port, struct status **bad);

#endif
