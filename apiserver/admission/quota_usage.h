/*
 * What objects cost under a ResourceQuota: names and amounts, scopes, what a pod has to name. Pure.
 */
#ifndef C8S_APISERVER_ADMISSION_QUOTA_USAGE_H
#define C8S_APISERVER_ADMISSION_QUOTA_USAGE_H

#include "api/kinds.h"
#include "api/quantity.h"
#include "base/arena.h"
#include "proto/core_v1.pb-c.h"

/* Amounts by resource name ("pods", "requests.cpu", "count/jobs.batch"); names belong to the arena. There may be as
 * many as a request's body has room for: many are looked up. */
struct usage_item {
    const char *name;
    struct quantity amount;
};

struct usage {
    struct arena *a;
    struct usage_item *items;
    size_t len, cap;
    uint32_t *slots; /* places of items, from 1, by their names' hashes; NULL while they are few */
    size_t slots_len;
};

struct quantity usage_get(const struct usage *u, const char *name); /* 0 when absent */
bool usage_has(const struct usage *u, const char *name);
void usage_add(struct usage *u, const char *name, struct quantity amount);
/* What a map of quantities says. */
struct usage usage_of_entries(struct arena *a, Meta__V1__QuantityEntry *const *entries, size_t n);
/* "cpu=1,pods=2": sorted by name, as the items are from then on. */
const char *usage_text(struct usage *u);

/* Requests (or limits) of a pod's containers: all of them and the sidecars together, or the most that an init container
 * needs on top of the sidecars started before it. */
struct usage usage_of_containers(struct arena *a, const Core__V1__PodSpec *spec, bool limits);
/* Add what an object of resource `r` (in its stored version) costs. */
void usage_of_object(struct usage *u, const struct resource *r, const void *object);
/* May objects of `r` cost anything under this name at all? */
bool usage_concerns(const struct resource *r, const char *name);

/* Do the quota's scopes and scope selector take the object in? */
bool quota_takes(const Core__V1__ResourceQuotaSpec *spec, const struct resource *r,
                 const void *object);
/* A quota of cpu or memory asks every container to name it: NULL, or `must specify cpu for: c1,c2`. */
const char *quota_missing(struct arena *a, const Core__V1__ResourceQuotaSpec *spec,
                          const Core__V1__Pod *pod);

#endif
