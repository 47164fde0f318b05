/*
 * The ranges that cluster IPs come from: ServiceCIDR objects. `kubernetes` is made from the flags; others are made
 * and deleted by whoever may.
 *
 * A service that takes an address pins the ServiceCIDR that it took it from (its transaction fails when that object
 * changed), so that none is given out of a range that is on its way out.
 */
#ifndef C8S_APISERVER_SERVICES_CIDRS_H
#define C8S_APISERVER_SERVICES_CIDRS_H

#include "apiserver/services/allocator.h"
#include "apiserver/server.h"

#define SERVICE_CIDR_FINALIZER "networking.k8s.io/service-cidr-finalizer"

/* One range of one object. */
struct service_cidr {
    struct ip_range range;
    const char *name; /* of the object */
    struct str key;
    int64_t mod_rev;
    bool usable; /* not being deleted, not marked as not ready */
};

struct service_cidrs {
    struct service_cidr *items;
    size_t len;
};

/* All ranges stored here, in the order of their objects' names; in the arena. */
int service_cidrs_load(struct kv *kv, struct arena *a, struct service_cidrs *out,
                       struct error *err);
/* A usable range that the address is in (first choice: one whose network address it is not). NULL: none. */
const struct service_cidr *service_cidrs_find(const struct service_cidrs *list,
                                              const struct ip_address *ip);
/* The key of an address's IPAddress object; `ip` in canonical form. */
struct str service_ip_key(struct arena *a, const char *ip);
/* The key of a node port; its value is "NAMESPACE/NAME" of the service that has it. */
struct str service_port_key(struct arena *a, int32_t port);
/* The encoded IPAddress object of a service's cluster IP. */
struct str service_ip_object(struct arena *a, const char *ip, const char *ns, const char *name);

#endif
