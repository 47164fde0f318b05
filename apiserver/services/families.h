/*
 * The IP families of a service: which it has, of which ranges its cluster IPs are, and what may change; the fields
 * clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy are brought into agreement here, by upstream's rules.
 *
 * Pure: nothing but the service, the one before and what families the cluster has.
 */
#ifndef C8S_APISERVER_SERVICES_FAMILIES_H
#define C8S_APISERVER_SERVICES_FAMILIES_H

#include "api/validation.h"
#include "apiserver/services/allocator.h"
#include "proto/core_v1.pb-c.h"

/* Node ports a service may have; more are refused. An update may free as many as it takes, in one transaction. */
#define SERVICE_NODE_PORTS_MAX 400
/* Ports that share them: one for each protocol. */
#define SERVICE_NODE_PORT_USERS_MAX (3 * SERVICE_NODE_PORTS_MAX)

/* What the client left out stays as it was (addresses, node ports), what the new type has no use for and the
 * client did not touch goes, and clusterIP and clusterIPs agree. `old` NULL: a new service. Before defaults. */
void service_patch(struct arena *a, Core__V1__Service *s, const Core__V1__Service *old);
/* Fill in ipFamilyPolicy and ipFamilies, or say in *e why these fields do not go together. After defaults. */
void service_init_families(const struct service_net *net, Core__V1__Service *s,
                           const Core__V1__Service *old, struct field_errors *e);

bool service_has_type(const Core__V1__Service *s, const char *type);
bool service_needs_ip(const Core__V1__Service *s); /* of a type with cluster IPs, "None" included */
bool service_is_headless(const Core__V1__Service *s);
bool service_needs_node_ports(const Core__V1__Service *s);
bool service_may_have_node_ports(const Core__V1__Service *s); /* those asked for by number */
bool service_needs_health_port(const Core__V1__Service *s);

#endif
