/*
 * The pod network of this node, kept in step with the Node objects: the CNI file once the node has
 * a pod CIDR, routes to the other nodes' pods, masquerading, host ports of this node's pods.
 */
#ifndef C8S_NODE_POD_NETWORK_H
#define C8S_NODE_POD_NETWORK_H

#include "node/agent.h"

struct pod_network;
/* Adds handlers to the node and pod informers: call before they are started. */
struct pod_network *pod_network_start(struct agent *g);
/* Stops following; routes and rules stay. */
void pod_network_stop(struct pod_network *n);

#endif
