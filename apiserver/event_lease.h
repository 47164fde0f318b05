/*
 * Events expire by the store's leases. One lease a minute and loop holds all events written in that
 * minute, so that expiry costs one revision for many.
 */
#ifndef C8S_APISERVER_EVENT_LEASE_H
#define C8S_APISERVER_EVENT_LEASE_H

#include "apiserver/rest/rest.h"

/* Calls `ready` (at once, or later on the loop) when rq->worker->event_lease is fresh; code < 0: not to be had. */
void event_lease_ensure(struct rest *rq, void (*ready)(struct rest *rq, int code));

#endif
