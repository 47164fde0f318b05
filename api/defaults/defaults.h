/*
 * Defaults: fills what a client left out, in place, before validation, exactly once per write (and
 * again when an object of an older schema level is read).
 *
 * Only what depends on the object alone: cluster IPs, node ports, service accounts and other
 * admission are the API server's. New strings are literals or shared with the object; new messages
 * come from the arena.
 */
#ifndef C8S_API_DEFAULTS_DEFAULTS_H
#define C8S_API_DEFAULTS_DEFAULTS_H

#include "api/object.h"
#include "proto/core_v1.pb-c.h"

/* Any top-level struct; kinds without defaults are left alone. */
void defaults_apply(struct arena *a, void *object);
/* A pod spec on its own (what deployments, jobs, … embed in their templates). */
void defaults_pod_spec(struct arena *a, Core__V1__PodSpec *spec);
/* Always for images without a tag or with tag latest (and no digest), else IfNotPresent. */
const char *default_pull_policy(const char *image);

#endif
