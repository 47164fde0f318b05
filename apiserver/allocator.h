/*
 * Cluster IPs and node ports of services.
 *
 * What is taken is what has a key in the store: an IPAddress object per cluster IP (as upstream since
 * 1.33) and a key per node port, written in the transaction that writes the service and compared to be
 * absent. Two members can therefore never hand out the same one, and nothing leaks: the keys go in the
 * transaction that removes the service. A candidate is chosen at random, looked up locally, and chosen
 * again when the transaction finds it taken.
 */
#ifndef C8S_APISERVER_ALLOCATOR_H
#define C8S_APISERVER_ALLOCATOR_H

#include "base/error.h"
#include "base/str.h"
#include <netinet/in.h>

struct service_net {
    uint32_t base; /* network address, host order */
    uint32_t size; /* addresses in it, network and broadcast included */
    uint32_t low;  /* the first `low` offsets are left for addresses asked for by number */
    unsigned port_min, port_max;
};

/* "10.96.0.0/12"; prefix length 12 to 30. Ports: inclusive range. */
int service_net_parse(const char *cidr, unsigned port_min, unsigned port_max,
                      struct service_net *out, struct error *err);
/* The service `kubernetes` has the first address. */
void service_net_first(const struct service_net *n, char out[INET_ADDRSTRLEN]);
/* A usable address of the range (no network, broadcast)? */
bool service_net_contains(const struct service_net *n, const char *ip);
/* The i-th candidate of a search that starts at random `seed`: walks the upper part, then the lower;
 * false when every address has been tried. */
bool service_net_candidate(const struct service_net *n, uint64_t seed, uint32_t i,
                           char out[INET_ADDRSTRLEN]);
bool service_port_candidate(const struct service_net *n, uint64_t seed, uint32_t i, int32_t *port);
static inline bool service_port_contains(const struct service_net *n, int32_t port)
{
    return port >= (int32_t)n->port_min && port <= (int32_t)n->port_max;
}

#endif
