/*
 * The service proxy's nftables rules: from services and endpoints to the text of a transaction.
 *
 *   table ip c8s-proxy
 *     prerouting, output ─▶ chain services
 *         ip daddr . proto . port   vmap @service-ips    ─▶ svc/NS/NAME/PORT   (cluster IP)
 *                                                         ─▶ ext/NS/NAME/PORT   (external IPs)
 *         proto . port, local daddr vmap @service-ports  ─▶ ext/NS/NAME/PORT   (node port)
 *     svc/…: dnat to numgen random mod N map { 0 : ip . port, … }
 *     ext/…: mark for masquerading, goto svc/…  (or lcl/…: this node's endpoints only)
 *     filter-prerouting, filter-output: @no-endpoints, @no-endpoint-ports ─▶ reject or drop
 *     postrouting: masquerade what is marked, and a pod that reaches itself (@hairpin)
 *
 * A packet of a new connection costs two map look-ups however many services there are; the rest of
 * its connection follows conntrack. A change of one service touches its own chains and elements
 * only. Pure text: nothing here talks to the kernel.
 */
#ifndef C8S_NODE_PROXY_RULES_H
#define C8S_NODE_PROXY_RULES_H

#include "base/buf.h"
#include "base/map.h"
#include <stdbool.h>
#include <stdint.h>

#define PROXY_TABLE "c8s-proxy"

struct proxy_endpoint {
    const char *ip; /* IPv4 */
    uint16_t port;
    bool local; /* on this node */
};

/* One port of one service. Strings are borrowed. */
struct proxy_port {
    const char *ns, *service, *port_name; /* port_name may be "" */
    const char *protocol;                 /* "TCP", "UDP", "SCTP" */
    const char *cluster_ip;
    uint16_t port;
    uint16_t node_port;              /* 0: none */
    const char *const *external_ips; /* external and load balancer addresses */
    size_t external_ips_len;
    const struct proxy_endpoint *endpoints; /* ready ones */
    size_t endpoints_len;
    bool client_affinity; /* sessionAffinity ClientIP: chosen by a hash of the client's address */
    bool external_local;  /* externalTrafficPolicy Local */
    bool internal_local;  /* internalTrafficPolicy Local */
};

/* A rule set as named parts, so that two can be compared. */
struct ruleset {
    struct map chains;   /* name → body (rules, one a line) */
    struct map elements; /* "MAP { KEY" → " : VERDICT", or "" in a set */
};

void ruleset_init(struct ruleset *r);
void ruleset_free(struct ruleset *r);

/* Add one service port. cluster_cidr: sources outside of it are masqueraded on the way to a cluster
 * IP; "" when unknown (then none are). False, and nothing added, when a name or an address is not
 * what it should be (it would end up in the rule text). */
bool ruleset_add(struct ruleset *r, const struct proxy_port *p, const char *cluster_cidr);

/* The transaction that makes the table anew. */
void ruleset_full(const struct ruleset *r, struct buf *out);
/* The transaction from `old` to `now`; nothing is appended when they are equal. */
void ruleset_diff(const struct ruleset *old, const struct ruleset *now, struct buf *out);

#endif
