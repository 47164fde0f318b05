/*
 * The service proxy: keeps the packet rules of proxy/rules.h in step with Services and
 * EndpointSlices.
 */
#ifndef C8S_NODE_PROXY_PROXY_H
#define C8S_NODE_PROXY_PROXY_H

#include "client/informer.h"
#include "node/proxy/rules.h"

struct proxy;

/* Adds handlers to the two informers: call before they are started. Strings are borrowed for the
 * proxy's life. Rules are first written when both have synced. */
struct proxy *proxy_start(struct informer *services, struct informer *slices, const char *node_name,
                          const char *cluster_cidr);
/* Stops following. The rules stay: connections go on while the agent is replaced. */
void proxy_stop(struct proxy *p);

/* All rules for these objects; the pure part, for tests. */
void proxy_build(const struct object_refs *services, const struct object_refs *slices,
                 const char *node_name, const char *cluster_cidr, struct ruleset *out);

#endif
