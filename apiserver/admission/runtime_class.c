/*
 * RuntimeClass: what a pod costs besides its containers, and the nodes that can run it.
 */
#include "apiserver/admission/admission.h"
#include "api/quantity.h"
#include "proto/core_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"

#define TOLERATIONS_MANY 1000

static bool same_amounts(Meta__V1__QuantityEntry *const *x, size_t nx,
                         Meta__V1__QuantityEntry *const *y, size_t ny)
{
    if (nx != ny)
        return false;
    for (size_t i = 0; i < nx; i++) {
        const char *other = quantity_map_get(y, ny, x[i]->key);
        if (!other || quantity_cmp(quantity_of(x[i]->value->string), quantity_of(other)) != 0)
            return false;
    }
    return true;
}

static struct status *set_overhead(struct admission *ad, Core__V1__PodSpec *spec,
                                   const Node__V1__Overhead *o)
{
    if (!o || o->n_pod_fixed == 0)
        return NULL;
    if (spec->n_overhead &&
        !same_amounts(spec->overhead, spec->n_overhead, o->pod_fixed, o->n_pod_fixed))
        return admission_forbidden(
            ad, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    spec->n_overhead = 0;
    for (size_t i = 0; i < o->n_pod_fixed; i++)
        quantity_map_set(ad->a, &spec->overhead, &spec->n_overhead,
                         arena_strdup(ad->a, o->pod_fixed[i]->key),
                         arena_strdup(ad->a, o->pod_fixed[i]->value->string));
    return NULL;
}

/* Does `wide` tolerate all that `t` does? As upstream has it: an Equal that is only meant is none of `t`. */
static bool tolerates_more(const Core__V1__Toleration *wide, const Core__V1__Toleration *t)
{
    bool exists = cstr_eq(wide->operator_, "Exists");
    if (object_equal(wide, t))
        return true;
    if (!cstr_eq(wide->key, t->key) && !(exists && !*wide->key))
        return false;
    if (!cstr_eq(wide->effect, t->effect) && *wide->effect)
        return false;
    if (cstr_eq(wide->effect, "NoExecute") && wide->has_toleration_seconds &&
        (!t->has_toleration_seconds || t->toleration_seconds > wide->toleration_seconds))
        return false;
    if (exists)
        return true;
    return (!*wide->operator_ || cstr_eq(wide->operator_, "Equal")) &&
           cstr_eq(t->operator_, "Equal") && cstr_eq(t->value, wide->value);
}

/* Leave out what another one covers; of equal ones the first stays. Each is compared with all: more than any pod has
 * are left as they are, which tolerates the same. */
static void tolerations_reduce(Core__V1__PodSpec *spec)
{
    size_t kept = 0;
    if (spec->n_tolerations > TOLERATIONS_MANY)
        return;
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        const Core__V1__Toleration *t = spec->tolerations[i];
        bool covered = false;
        for (size_t k = 0; k < kept && !covered; k++)
            covered = tolerates_more(spec->tolerations[k], t);
        for (size_t k = i + 1; k < spec->n_tolerations && !covered; k++)
            covered =
                tolerates_more(spec->tolerations[k], t) && !object_equal(spec->tolerations[k], t);
        if (!covered)
            spec->tolerations[kept++] = spec->tolerations[i];
    }
    spec->n_tolerations = kept;
}

static struct status *set_scheduling(struct admission *ad, Core__V1__PodSpec *spec,
                                     const Node__V1__Scheduling *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_node_selector; i++) {
        const StringEntry *want = s->node_selector[i];
        const char *has = string_map_get(spec->node_selector, spec->n_node_selector, want->key);
        if (has && strcmp(has, want->value) != 0)
            return admission_forbidden(ad,
                                       "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
                                       "pod.spec.nodeSelector[%s] = %s",
                                       want->key, want->value, want->key, has);
        string_map_set(ad->a, &spec->node_selector, &spec->n_node_selector,
                       arena_strdup(ad->a, want->key), arena_strdup(ad->a, want->value));
    }
    for (size_t i = 0; i < s->n_tolerations; i++)
        api_append(ad->a, spec, tolerations, api_clone(ad->a, s->tolerations[i]));
    tolerations_reduce(spec);
    return NULL;
}

static bool concerns(const struct admission *ad)
{
    return ad->op == ADMIT_CREATE && admission_is(ad, Core__V1__Pod__SCHEMA, "");
}

static struct status *class_of(struct admission *ad, const char *name,
                               const Node__V1__RuntimeClass **out)
{
    void *object;
    struct error err;
    int rc = admission_load(ad, CACHED_RUNTIME_CLASSES, "", name, &object, NULL, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 0)
        return admission_forbidden(ad, "pod rejected: RuntimeClass \"%s\" not found", name);
    *out = object;
    return NULL;
}

static struct status *admit(struct admission *ad)
{
    if (!concerns(ad))
        return NULL;
    Core__V1__PodSpec *spec = ((Core__V1__Pod *)ad->object)->spec;
    const Node__V1__RuntimeClass *class;
    if (!spec->runtime_class_name || !*spec->runtime_class_name)
        return NULL;
    struct status *s = class_of(ad, spec->runtime_class_name, &class);
    if (!s)
        s = set_overhead(ad, spec, class->overhead);
    if (!s)
        s = set_scheduling(ad, spec, class->scheduling);
    return s;
}

static struct status *validate(struct admission *ad)
{
    if (!concerns(ad))
        return NULL;
    const Core__V1__PodSpec *spec = ((const Core__V1__Pod *)ad->object)->spec;
    const Node__V1__RuntimeClass *class = NULL;
    struct status *s = NULL;
    if (spec->n_overhead == 0)
        return NULL;
    if (spec->runtime_class_name && *spec->runtime_class_name)
        s = class_of(ad, spec->runtime_class_name, &class);
    if (s || (class && class->overhead && class->overhead->n_pod_fixed))
        return s;
    return admission_forbidden(
        ad, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
}

const struct admission_plugin admission_runtime_class = {
    .name = "RuntimeClass", .mutate = admit, .validate = validate};
