/*
 * Defaults: fills what a client left out, in place, before validation, exactly once per write (and
 * again when an object of an older schema level is read).
 *
 * Only what depends on the object alone: cluster IPs, node ports, service accounts and other
 * admission are the API server's.
 */
#ifndef C8S_API_DEFAULTS_H
#define C8S_API_DEFAULTS_H

#include "api/object.h"

/* Any top-level struct; kinds without defaults are left alone. */
void defaults_apply(struct arena *a, void *object);
/* A pod template on its own (what deployments, jobs, … embed). */
struct Core__V1__PodSpec_;
void defaults_pod_spec(struct arena *a, void *core_v1_pod_spec);

#endif
