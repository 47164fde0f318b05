/*
 * The pod network of a node: a bridge with an address range of its own (the node's pod CIDR),
 * routes to the ranges of the other nodes, and the packet rules of traffic that leaves the cluster.
 *
 *    pod ── veth ── c8s0 (bridge, first address of the pod CIDR) ── routing ──▶ 10.244.2.0/24 via
 * node 2 └─ masquerade ──▶ everything else
 *
 * Pods' interfaces are made by the CNI plug-ins `bridge` and `host-local`, run by the container
 * runtime from the file written here. Nodes must share a link (their addresses are used as
 * gateways). Functions keep no state and act on the network namespace of the process.
 */
#ifndef C8S_NODE_NETWORK_H
#define C8S_NODE_NETWORK_H

#include "base/buf.h"
#include "base/error.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define NETWORK_BRIDGE "c8s0"

/* An IPv4 range; `address` has no host bits set. */
struct cidr {
    struct in_addr address;
    unsigned prefix;
};
/* "10.244.1.0/24"; ERR_INVALID for anything else, host bits included. */
int cidr_parse(const char *text, struct cidr *out, struct error *err);
bool cidr_contains(const struct cidr *c, struct in_addr a);

/* Write conf_dir/10-c8s.conflist (by rename, only when it changes). ipam_dir keeps which addresses
 * are taken. The runtime reports its network as ready once the file is there. */
int network_write_cni(const char *conf_dir, const char *ipam_dir, const char *pod_cidr,
                      struct error *err);

/* Forwarding on; bridged packets seen by the packet rules, without which the answer of a pod
 * on the same bridge would bypass the translation back. Fails where /proc/sys cannot be written. */
int network_set_sysctls(struct error *err);

struct route {
    struct cidr to;
    struct in_addr via;
};
/* Make our routes (those with our protocol number) exactly these. *changed counts routes added or
 * removed. */
int network_sync_routes(const struct route *routes, size_t n, size_t *changed, struct error *err);

/* A port of a pod that is reachable under the node's addresses. */
struct host_port {
    const char *protocol; /* "TCP", "UDP", "SCTP" */
    const char *host_ip;  /* or NULL or "": all addresses of the node */
    uint16_t host_port;
    const char *pod_ip;
    uint16_t container_port;
};
/* The transaction that makes table c8s-pods: masquerading of what leaves the cluster, host ports.
 * Entries with bad addresses are left out. */
void network_pod_rules(const char *pod_cidr, const char *cluster_cidr,
                       const struct host_port *ports, size_t n, struct buf *out);

/* The first global IPv4 address of this host that its default route would use; ERR_NOT_FOUND
 * without. */
int network_default_address(char out[INET_ADDRSTRLEN], struct error *err);

#endif
