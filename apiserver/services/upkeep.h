/*
 * What keeps the services' addresses in order. Blocking: on the keeper's thread.
 */
#ifndef C8S_APISERVER_SERVICES_UPKEEP_H
#define C8S_APISERVER_SERVICES_UPKEEP_H

#include "apiserver/server.h"

/* ServiceCIDRs: finalizer and condition Ready of those in use; those being deleted go when no address is left in
 * them that no other range holds. */
int service_cidrs_upkeep(struct apiserver *s, struct error *err);

struct service_repairs {
    unsigned missing;   /* addresses and ports of services that nothing was said about: claimed */
    unsigned leaked;    /* claims of no service: freed */
    unsigned conflicts; /* one address or port, two services: for people to decide, in the log */
};

/*
 * Make the claims (IPAddress objects, node port keys) what the services say. They are written together, so there
 * is something to do only after somebody deleted one by hand, or after a snapshot of another store. Each repair
 * is a transaction on the service and the claim as they were read.
 */
int service_repair(struct apiserver *s, struct service_repairs *out, struct error *err);

#endif
