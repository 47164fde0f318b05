/*
 * Priority: pods get the number and the preemption policy of their class, or of the default one; and
 * there is one default class at most.
 */
#include "apiserver/admission/admission.h"
#include "proto/core_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"

/* The default class of lowest value; NULL: there is none. */
static struct status *default_class(struct admission *ad, const Scheduling__V1__PriorityClass **out)
{
    void **items;
    size_t n;
    struct error err;
    *out = NULL;
    if (admission_list(ad, CACHED_PRIORITY_CLASSES, "", &items, &n, &err) < 0)
        return status_from_error(ad->a, &err);
    for (size_t i = 0; i < n; i++) {
        const Scheduling__V1__PriorityClass *c = items[i];
        if (c->global_default && (!*out || c->value < (*out)->value))
            *out = c;
    }
    return NULL;
}

static struct status *class_of(struct admission *ad, const Core__V1__PodSpec *spec,
                               const Scheduling__V1__PriorityClass **out)
{
    struct error err;
    void *object;
    if (!*spec->priority_class_name)
        return default_class(ad, out);
    int rc = admission_load(ad, CACHED_PRIORITY_CLASSES, "", spec->priority_class_name, &object,
                            NULL, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 0)
        return admission_forbidden(ad, "no PriorityClass with name %s was found",
                                   spec->priority_class_name);
    *out = object;
    return NULL;
}

static struct status *new_pod(struct admission *ad, Core__V1__PodSpec *spec)
{
    const Scheduling__V1__PriorityClass *class;
    struct status *s = class_of(ad, spec, &class);
    if (s)
        return s;
    int32_t value = class ? class->value : 0;
    const char *policy = class && class->preemption_policy && *class->preemption_policy
                             ? class->preemption_policy
                             : "PreemptLowerPriority";
    if (spec->has_priority && spec->priority != value)
        return admission_forbidden(
            ad,
            "the integer value of priority (%d) must not be provided in pod spec; "
            "priority admission controller computed %d from the given PriorityClass name",
            spec->priority, value);
    if (spec->preemption_policy && *spec->preemption_policy &&
        strcmp(spec->preemption_policy, policy) != 0)
        return admission_forbidden(
            ad,
            "the string value of PreemptionPolicy (%s) must not be provided in pod spec; "
            "priority admission controller computed %s from the given PriorityClass name",
            spec->preemption_policy, policy);
    if (class && !*spec->priority_class_name)
        spec->priority_class_name = arena_strdup(ad->a, class->metadata->name);
    api_set(spec, priority, value);
    spec->preemption_policy = arena_strdup(ad->a, policy);
    return NULL;
}

static struct status *admit(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE || !admission_is(ad, Core__V1__Pod__SCHEMA, ""))
        return NULL;
    Core__V1__PodSpec *spec = ((Core__V1__Pod *)ad->object)->spec;
    if (ad->op == ADMIT_CREATE)
        return new_pod(ad, spec);
    const Core__V1__PodSpec *old = ((const Core__V1__Pod *)ad->old)->spec;
    if (!spec->has_priority && old->has_priority)
        api_set(spec, priority, old->priority);
    if (!spec->preemption_policy)
        spec->preemption_policy = old->preemption_policy;
    return NULL;
}

static struct status *validate(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE || !admission_is(ad, Scheduling__V1__PriorityClass__SCHEMA, ""))
        return NULL;
    const Scheduling__V1__PriorityClass *c = ad->object, *other;
    if (!c->global_default)
        return NULL;
    struct status *s = default_class(ad, &other);
    if (s || !other || strcmp(other->metadata->name, c->metadata->name) == 0)
        return s;
    return admission_forbidden(
        ad, "PriorityClass %s is already marked as default. Only one default can exist",
        other->metadata->name);
}

const struct admission_plugin admission_priority = {
    .name = "Priority", .mutate = admit, .validate = validate};
