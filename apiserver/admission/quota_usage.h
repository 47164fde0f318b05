/*
 * What objects cost under a ResourceQuota: names and amounts, scopes, what a pod has to name. Pure.
 */
#ifndef C8S_APISERVER_ADMISSION_QUOTA_USAGE_H
#define C8S_APISERVER_ADMISSION_QUOTA_USAGE_H

#include "api/kinds.h"
#include "api/quantity.h"
#include "base/arena.h"
#include "proto/core_v1.pb-c.h"

/* Amounts by resource name ("pods", "requests.cpu", "count/jobs.batch"); names belong to the arena. */
struct usage_item {
    const char *name;
    struct quantity amount;
};

struct usage {
    struct arena *a;
    struct usage_item *items;
    size_t len, cap;
};

struct quantity usage_get(const struct usage *u, const char *name); /* 0 when absent */
bool usage_has(const struct usage *u, const char *name);
void usage_add(struct usage *u, const char *name, struct quantity amount);
/* "cpu=1,pods=2": sorted by name. */
const char *usage_text(const struct usage *u);

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
