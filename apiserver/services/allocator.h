/*
 * Ranges of cluster IPs and node ports, and the order in which addresses and ports are tried.
 *
 * What is taken is what has a key in the store: an IPAddress object per cluster IP (as upstream since
 * 1.33) and a key per node port, written in the transaction that writes the service and compared to be
 * absent. Two members can therefore never hand out the same one, and nothing leaks: the keys go in the
 * transaction that removes the service. A candidate is chosen at random, looked up locally, and chosen
 * again when the transaction finds it taken. (service_claims.c; service_repair.c mends what was changed by hand
 * or came with a snapshot of another store.)
 *
 *     range   │ network │ static band: asked for by number │ dynamic: given out at random … │ broadcast (IPv4)
 *
 * The static band is given out too, but only when everything else is taken.
 */
#ifndef C8S_APISERVER_SERVICES_ALLOCATOR_H
#define C8S_APISERVER_SERVICES_ALLOCATOR_H

#include "base/error.h"
#include "base/str.h"
#include <netinet/in.h>

/* An address of either family. */
struct ip_address {
    bool v6;
    uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

struct ip_range {
    struct ip_address base; /* the network's */
    unsigned bits;          /* prefix length */
    uint64_t last;          /* offset of the last usable address; the first has offset 1 */
    uint64_t low;           /* offsets below are the static band */
};

#define SERVICE_RANGES_MAX 2

/* What the flags say. */
struct service_net {
    struct ip_range
        ranges[SERVICE_RANGES_MAX]; /* of one family each; the first is the default family */
    size_t ranges_len;
    unsigned port_min, port_max;
    unsigned port_low; /* so many ports from port_min are the static band */
};

/* "10.96.0.7", "fd00::1". False: no address. */
bool ip_address_parse(const char *text, struct ip_address *out);
/* The canonical text. */
void ip_address_format(const struct ip_address *a, char out[INET6_ADDRSTRLEN]);
const char *ip_family(bool v6); /* "IPv4", "IPv6" */

/* "10.96.0.0/12" (/8 to /30), "fd00::/108" (/64 to /126); host bits are ignored. ERR_INVALID. */
int ip_range_parse(struct str cidr, struct ip_range *out, struct error *err);
/* "10.96.0.0/12" */
void ip_range_format(const struct ip_range *r, char out[INET6_ADDRSTRLEN + 4]);
bool ip_range_contains(const struct ip_range *r, const struct ip_address *a);
/* An address that a service may have: no network address, no IPv4 broadcast? */
bool ip_range_usable(const struct ip_range *r, const struct ip_address *a);
bool ip_range_contains_range(const struct ip_range *outer, const struct ip_range *inner);
/* The i-th candidate of a search that starts at random `seed`: walks the dynamic band, then the static
 * one; false when every address has been tried. */
bool ip_range_candidate(const struct ip_range *r, uint64_t seed, uint64_t i,
                        char out[INET6_ADDRSTRLEN]);
/* The first usable address: that of service `kubernetes`. */
void ip_range_first(const struct ip_range *r, char out[INET6_ADDRSTRLEN]);

/* "10.96.0.0/12" or two of different families, "10.96.0.0/16,fd00::/108". Ports: inclusive range. */
int service_net_parse(const char *cidrs, unsigned port_min, unsigned port_max,
                      struct service_net *out, struct error *err);
/* Is the family configured? */
bool service_net_has(const struct service_net *n, bool v6);
bool service_port_candidate(const struct service_net *n, uint64_t seed, uint32_t i, int32_t *port);
static inline bool service_port_contains(const struct service_net *n, int32_t port)
{
    return port >= (int32_t)n->port_min && port <= (int32_t)n->port_max;
}

#endif
