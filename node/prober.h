/*
 * Probes: startup, readiness and liveness of running containers, by command, HTTP, TCP
 * connection or gRPC health check.
 *
 * Threads take what is due from a queue, one more whenever all are busy. A result that changes puts the pod's key into the
 * agent's queue; what follows from it (status, restart) is the pod worker's to decide. Thread-safe.
 */
#ifndef C8S_NODE_PROBER_H
#define C8S_NODE_PROBER_H

#include "node/agent.h"
#include "node/pod_plan.h"

struct prober *prober_new(struct agent *g);
void prober_free(struct prober *p);

/* Probe exactly the running containers of this pod: new ones are added, others forgotten. What the
 * pod's status says about a container's readiness is believed until its first probe after a restart
 * of the agent. run NULL: none. */
void prober_sync(struct prober *p, struct object *pod, const struct run_pod *run);
/* Forget a pod. */
void prober_forget(struct prober *p, const char *uid);

struct probe_view prober_view(struct prober *p);

#define PROBE_TIMEOUT_MAX_S 86400 /* in milliseconds it fits into an int */

/* One HTTP GET, TCP connection or command with a time limit: true when it succeeded. What it said
 * is put into the arena for the event. Shared with the lifecycle hooks. */
bool probe_http(struct agent *g, const Core__V1__HTTPGetAction *h, const Core__V1__Container *c,
                const char *pod_ip, uint32_t timeout_ms, struct arena *a, const char **output);
/* The number of a port given by number or by the name of a container port; 0 when there is none. */
uint16_t probe_port(const Meta__V1__IntOrString *port, const Core__V1__Container *c);

#endif
