/*
 * The resources that are served: one row per (group, version, resource), in discovery's order, which
 * decides how clients resolve short names. A row names the kind, its verbs, its subresources and where
 * it is stored; how objects change is the strategy's matter (strategy.h).
 *
 * All tables are constant and shared by every thread.
 */
#ifndef C8S_APISERVER_REGISTRY_H
#define C8S_APISERVER_REGISTRY_H

#include "apiserver/request.h"

struct strategy;

enum subresource_id {
    SUB_NONE,
    SUB_STATUS,
    SUB_SCALE,
    SUB_BINDING,
    SUB_EVICTION,
    SUB_LOG,
    SUB_TOKEN,
    SUB_FINALIZE,
    SUB_APPROVAL,
    SUB_EPHEMERAL,
    SUB_RESIZE,
};

struct subresource {
    const char *name;
    enum subresource_id id;
    unsigned verbs;                   /* enum verb bits */
    const char *group, *version, *kind; /* answered kind where it differs; NULL: the resource's own */
};

#define RESOURCE_SUBS_MAX 7

struct resource {
    const char *group, *version;
    const char *name;     /* plural */
    const char *singular;
    const char *kind;
    const char *proto;    /* package part of the schema name: "core", "apps", … */
    bool namespaced;
    unsigned verbs;
    const char *short_names; /* "po,pod" or "" */
    const char *categories;  /* "all" or "" */
    const char *storage;     /* key prefix below /registry/: "pods", "services/specs"; NULL: virtual */
    const char *stored_version; /* NULL: this one. Else "events/v1": stored as core/v1 and converted */
    struct subresource subs[RESOURCE_SUBS_MAX];
};

/* All rows; group by group in discovery order. */
const struct resource *registry_all(size_t *count);
/* NULL when not served. */
const struct resource *registry_find(const char *group, const char *version, const char *resource);
const struct resource *registry_find_kind(const char *group, const char *version, const char *kind);
const struct subresource *registry_subresource(const struct resource *r, const char *name);
/* The served versions of a group, preferred first; 0 when the group is unknown. */
size_t registry_versions(const char *group, const char **out, size_t out_max);
/* "v1" or "apps/v1". */
const char *registry_group_version(struct arena *a, const char *group, const char *version);
/* Index of a row, a dense id for per-resource tables. */
size_t registry_index(const struct resource *r);

#endif
