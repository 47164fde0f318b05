/*
 * Objects that a cluster has from the start. Blocking: on the keeper's thread.
 */
#ifndef C8S_APISERVER_KEPT_BOOTSTRAP_H
#define C8S_APISERVER_KEPT_BOOTSTRAP_H

#include "apiserver/server.h"

/* Create what is missing: namespaces, priority classes, ServiceCIDR and Service kubernetes, the objects of
 * kept_objects.h; with `first` RBAC too (what people delete of that stays deleted until the server starts again). */
int bootstrap_objects(struct apiserver *s, bool first, struct error *err);
/* Make Endpoints and EndpointSlice `kubernetes` name these addresses (sorted). ERR_CONFLICT: somebody
 * else was writing them. */
int bootstrap_endpoints(struct apiserver *s, struct arena *a, const char *const *ips,
                        size_t ips_len, struct error *err);

/* The default roles and bindings, made or brought up to date (bootstrap_roles.c). */
int bootstrap_rbac(struct apiserver *s, struct arena *a, struct error *err);

/* bootstrap_rbac.json, embedded. */
extern const char bootstrap_rbac_json[];
extern const unsigned long bootstrap_rbac_json_len;
/* bootstrap_flowcontrol.json */
extern const char bootstrap_flowcontrol_json[];
extern const unsigned long bootstrap_flowcontrol_json_len;

#endif
