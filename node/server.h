/*
 * The agent's own HTTPS server (port 10250), for the API servers: container logs, the pods it runs,
 * health and metrics.
 *
 *     GET
 * /containerLogs/NS/POD/CONTAINER?follow=&previous=&tailLines=&sinceSeconds=&sinceTime=&timestamps=&limitBytes=&stream=
 *     GET /pods   /healthz   /metrics
 *     exec, attach and port-forward: streams.h
 *
 * A caller needs a client certificate of the cluster's CA that names an API server (common name
 * kube-apiserver-kubelet-client) or a member of system:masters; any other is answered 403.
 */
#ifndef C8S_NODE_SERVER_H
#define C8S_NODE_SERVER_H

#include "base/metrics.h"
#include "node/agent.h"

struct node_server;
int node_server_start(struct agent *g, struct metrics *metrics, struct node_server **out,
                      struct error *err);
void node_server_stop(struct node_server *s);

#endif
