/*
 * Kept objects: see kept_objects.h.
 */
#include "apiserver/kept/kept_objects.h"
#include "api/codec.h"
#include "api/kinds.h"
#include "api/meta.h"
#include "apiserver/kept/kept_write.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/apiextensions_v1.pb-c.h"
#include "proto/apiregistration_v1.pb-c.h"

#define AUTOMANAGED "kube-aggregator.kubernetes.io/automanaged"
#define CUSTOM_GROUP_PRIORITY 1000
#define CUSTOM_VERSION_PRIORITY 100

/* ---- APIServices ---- */

/* The order of groups in discovery, as published. */
static const struct priority {
    const char *group, *version;
    int32_t group_priority, version_priority;
} priorities[] = {
    {"", "v1", 18000, 1},
    {"apps", "v1", 17800, 15},
    {"events.k8s.io", "v1", 17750, 15},
    {"authentication.k8s.io", "v1", 17700, 15},
    {"authorization.k8s.io", "v1", 17600, 15},
    {"autoscaling", "v1", 17500, 15},
    {"autoscaling", "v2", 17500, 30},
    {"batch", "v1", 17400, 15},
    {"certificates.k8s.io", "v1", 17300, 15},
    {"networking.k8s.io", "v1", 17200, 15},
    {"policy", "v1", 17100, 15},
    {"rbac.authorization.k8s.io", "v1", 17000, 15},
    {"storage.k8s.io", "v1", 16800, 15},
    {"apiextensions.k8s.io", "v1", 16700, 15},
    {"admissionregistration.k8s.io", "v1", 16700, 15},
    {"scheduling.k8s.io", "v1", 16600, 15},
    {"coordination.k8s.io", "v1", 16500, 15},
    {"node.k8s.io", "v1", 16300, 15},
    {"discovery.k8s.io", "v1", 16200, 15},
    {"flowcontrol.apiserver.k8s.io", "v1", 16100, 21},
    {"resource.k8s.io", "v1", 16200, 20},
};

static bool is_built_in(const char *group, const char *version)
{
    for (size_t i = 0; i < group_versions_len; i++)
        if (cstr_eq(group_versions[i].group, group) && cstr_eq(group_versions[i].version, version))
            return true;
    return false;
}

static int keep_api_service(struct apiserver *s, struct arena *a, const struct priority *p,
                            const char *managed, struct error *err)
{
    Apiregistration__V1__APIService *o = api_new(a, Apiregistration__V1__APIService), *now;
    o->metadata->name = arena_printf(a, "%s.%s", p->version, p->group);
    labels_set(a, o->metadata, AUTOMANAGED, managed);
    o->spec->group = (char *)p->group;
    o->spec->version = (char *)p->version;
    o->spec->group_priority_minimum = p->group_priority;
    o->spec->version_priority = p->version_priority;
    Apiregistration__V1__APIServiceCondition *c =
        api_new(a, Apiregistration__V1__APIServiceCondition);
    c->type = (char *)"Available";
    c->status = (char *)"True";
    c->reason = (char *)"Local";
    c->message = (char *)"Local APIServices are always available";
    c->last_transition_time = time_now(a);
    api_append(a, o->status, conditions, c);
    void *old;
    int64_t mod_rev;
    int rc = kept_load(s, a, kept_key(a, o), &old, &mod_rev, err);
    now = old;
    if (rc > 0 && !labels_get(now->metadata, AUTOMANAGED))
        return 0; /* somebody's own, for a server of his */
    return rc < 0 ? rc : kept_unless_conflict(kept_converge_spec(s, a, o, err));
}

static bool is_established(const Apiextensions__V1__CustomResourceDefinition *crd)
{
    for (size_t i = 0; i < crd->status->n_conditions; i++)
        if (cstr_eq(crd->status->conditions[i]->type, "Established"))
            return cstr_eq(crd->status->conditions[i]->status, "True");
    return false;
}

/* One for each version served of one definition; their names are put into `names`. */
static int keep_custom(struct apiserver *s, struct arena *a,
                       const Apiextensions__V1__CustomResourceDefinition *crd, struct map *names,
                       struct error *err)
{
    for (size_t i = 0; i < crd->spec->n_versions; i++) {
        const Apiextensions__V1__CustomResourceDefinitionVersion *v = crd->spec->versions[i];
        const char *name = arena_printf(a, "%s.%s", v->name, crd->spec->group);
        if (!v->served || is_built_in(crd->spec->group, v->name) || map_get(names, str_from(name)))
            continue;
        map_put(names, str_from(name), (void *)name);
        struct priority p = {crd->spec->group, v->name, CUSTOM_GROUP_PRIORITY,
                             CUSTOM_VERSION_PRIORITY};
        int rc = keep_api_service(s, a, &p, "true", err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int visit_crd(struct apiserver *s, struct arena *a, const struct kv_pair *pair, void *object,
                     void *names, struct error *err)
{
    (void)pair;
    return is_established(object) ? keep_custom(s, a, object, names, err) : 0;
}

/* An APIService of a definition that is gone goes too. */
static int visit_api_service(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                             void *object, void *names, struct error *err)
{
    const Apiregistration__V1__APIService *o = object;
    (void)a;
    if (!cstr_eq(labels_get(o->metadata, AUTOMANAGED), "true") ||
        map_get(names, str_from(o->metadata->name)))
        return 0;
    return kept_unless_conflict(kept_remove_with(s, pair->key, pair->mod_rev, STR_NONE, 0, err));
}

static int keep_api_services(struct apiserver *s, struct arena *a, struct error *err)
{
    struct map names;
    int rc = 0;
    map_init(&names);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(priorities); i++)
        if (is_built_in(priorities[i].group, priorities[i].version))
            rc = keep_api_service(s, a, &priorities[i], "onstart", err);
    if (rc == 0)
        rc = kept_each(s, a, Apiextensions__V1__CustomResourceDefinition__SCHEMA, visit_crd, &names,
                       err);
    if (rc == 0)
        rc = kept_each(s, a, Apiregistration__V1__APIService__SCHEMA, visit_api_service, &names,
                       err);
    map_free(&names);
    return rc;
}

int kept_objects(struct apiserver *s, struct arena *a, struct error *err)
{
    int rc = kept_flow_control(s, a, err);
    if (rc == 0)
        rc = keep_api_services(s, a, err);
    if (rc == 0)
        rc = kept_authentication(s, a, err);
    return rc;
}
