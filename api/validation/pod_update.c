/*
 * What may change in a pod: by an update, by its subresources `ephemeralcontainers` and `resize`.
 */
#include "api/quantity.h"
#include "api/validation/pod.h"

#define MIRROR "kubernetes.io/config.mirror"
#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"

void check_annotation_changes(struct field_errors *e, const Meta__V1__ObjectMeta *new,
                              const Meta__V1__ObjectMeta *old)
{
    const struct path *at = AT(AT(NULL, "metadata"), "annotations");
    const struct seen now = string_map_index(e->arena, new->annotations, new->n_annotations);
    const struct seen before = string_map_index(e->arena, old->annotations, old->n_annotations);
    for (size_t i = 0; i < old->n_annotations; i++) {
        const char *key = old->annotations[i]->key;
        if (cstr_eq(seen_value(&now, key), old->annotations[i]->value))
            continue;
        if (strncmp(key, APPARMOR, strlen(APPARMOR)) == 0)
            err_forbidden(e, KEY(at, key), "may not remove or update AppArmor annotations");
        if (strcmp(key, MIRROR) == 0)
            err_forbidden(e, KEY(at, key), "may not remove or update mirror pod annotation");
    }
    for (size_t i = 0; i < new->n_annotations; i++) {
        const char *key = new->annotations[i]->key;
        if (seen_has(&before, key))
            continue;
        if (strncmp(key, APPARMOR, strlen(APPARMOR)) == 0)
            err_forbidden(e, KEY(at, key), "may not add AppArmor annotations");
        if (strcmp(key, MIRROR) == 0)
            err_forbidden(e, KEY(at, key), "may not add mirror pod annotation");
    }
}

static bool same_count(struct field_errors *e, const struct path *at, size_t n, size_t old)
{
    if (n != old)
        err_forbidden(e, at, "pod updates may not add or remove containers");
    return n == old;
}

/* False: nothing more is worth saying. */
static bool check_deadline(struct field_errors *e, const struct path *at,
                           const Core__V1__PodSpec *spec, const Core__V1__PodSpec *old)
{
    int64_t now = spec->active_deadline_seconds;
    if (!spec->has_active_deadline_seconds) {
        if (old->has_active_deadline_seconds)
            err_invalid_raw(e, at, "null", "must not update from a positive integer to nil value");
        return true;
    }
    if (!check_range(e, at, now, 0, INT32_MAX))
        return false;
    if (old->has_active_deadline_seconds && now > old->active_deadline_seconds) {
        err_invalid_int(e, at, now, "must be less than or equal to previous value");
        return false;
    }
    return true;
}

static void check_tolerations_added(struct field_errors *e, const struct path *at,
                                    const Core__V1__PodSpec *spec, const Core__V1__PodSpec *old)
{
    struct seen now = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_tolerations; i++)
        seen_again(&now, toleration_text(e->arena, spec->tolerations[i]));
    for (size_t i = 0; i < old->n_tolerations; i++) {
        if (seen_has(&now, toleration_text(e->arena, old->tolerations[i])))
            continue;
        err_forbidden(e, at,
                      "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
}

static void check_gates_removed(struct field_errors *e, const struct path *at,
                                const Core__V1__PodSpec *spec, const Core__V1__PodSpec *old)
{
    struct seen before = {.arena = e->arena};
    for (size_t i = 0; i < old->n_scheduling_gates; i++)
        seen_again(&before, old->scheduling_gates[i]->name);
    for (size_t i = 0; i < spec->n_scheduling_gates; i++) {
        const char *name = spec->scheduling_gates[i]->name;
        if (!seen_has(&before, name))
            err_forbidden(e, AT(ITEM(at, i), "name"),
                          arena_printf(e->arena,
                                       "only deletion is allowed, but found new scheduling gate "
                                       "'%s'",
                                       name));
    }
}

/* While gates hold a pod back, what it needs of its node may be narrowed. */
static void check_gated(struct field_errors *e, Core__V1__PodSpec *munged,
                        const Core__V1__PodSpec *old)
{
    if (!string_map_contains(munged->node_selector, munged->n_node_selector, old->node_selector,
                             old->n_node_selector))
        err_invalid_map(e, AT(SPEC, "nodeSelector"), munged->node_selector, munged->n_node_selector,
                        "only additions to spec.nodeSelector are allowed (no mutations or "
                        "deletions)");
    munged->node_selector = old->node_selector;
    munged->n_node_selector = old->n_node_selector;
    const Core__V1__Affinity *before = old->affinity;
    Core__V1__NodeAffinity *was = before ? before->node_affinity : NULL;
    Core__V1__NodeAffinity *now = munged->affinity ? munged->affinity->node_affinity : NULL;
    if (object_equal(now, was))
        return;
    check_node_affinity_narrowed(e, AT(AT(SPEC, "affinity"), "nodeAffinity"), now, was);
    if (!munged->affinity) {
        munged->affinity = api_new(e->arena, Core__V1__Affinity);
        munged->affinity->node_affinity = was;
    } else if (!before && !munged->affinity->pod_affinity && !munged->affinity->pod_anti_affinity) {
        munged->affinity = NULL;
    } else {
        munged->affinity->node_affinity = was;
    }
}

/* Like the old spec in everything that an update may change. */
static Core__V1__PodSpec *with_mutable_fields_of(struct field_errors *e,
                                                 const Core__V1__PodSpec *spec,
                                                 const Core__V1__PodSpec *old)
{
    Core__V1__PodSpec *munged = object_clone(e->arena, spec);
    for (size_t i = 0; i < munged->n_containers; i++)
        munged->containers[i]->image = old->containers[i]->image;
    for (size_t i = 0; i < munged->n_init_containers; i++)
        munged->init_containers[i]->image = old->init_containers[i]->image;
    munged->has_active_deadline_seconds = old->has_active_deadline_seconds;
    munged->active_deadline_seconds = old->active_deadline_seconds;
    munged->tolerations = old->tolerations;
    munged->n_tolerations = old->n_tolerations;
    munged->scheduling_gates = old->scheduling_gates;
    munged->n_scheduling_gates = old->n_scheduling_gates;
    if (old->has_termination_grace_period_seconds && old->termination_grace_period_seconds < 0 &&
        munged->termination_grace_period_seconds == 1)
        munged->termination_grace_period_seconds = old->termination_grace_period_seconds;
    if (old->n_scheduling_gates > 0)
        check_gated(e, munged, old);
    return munged;
}

void validate_pod_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__Pod *pod = object, *before = old_object;
    const Core__V1__PodSpec *spec = pod->spec, *old = before->spec;
    check_pod(pod, e);
    check_annotation_changes(e, pod->metadata, before->metadata);
    if (!same_count(e, AT(SPEC, "containers"), spec->n_containers, old->n_containers) ||
        !same_count(e, AT(SPEC, "initContainers"), spec->n_init_containers,
                    old->n_init_containers) ||
        !check_deadline(e, AT(SPEC, "activeDeadlineSeconds"), spec, old))
        return;
    check_tolerations_added(e, AT(SPEC, "tolerations"), spec, old);
    check_gates_removed(e, AT(SPEC, "schedulingGates"), spec, old);
    if (object_equal(spec, old))
        return;
    const Core__V1__PodSpec *munged = with_mutable_fields_of(e, spec, old);
    if (!object_equal(munged, old))
        err_forbidden_diff(
            e, SPEC, old, munged,
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
            "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
            "(allow it to be set to 1 if it was previously negative)");
}

/* --- ephemeral containers ---------------------------------------------------------------------- */

static bool is_mirror(const Core__V1__Pod *pod)
{
    return annotations_get(pod->metadata, MIRROR) != NULL;
}

void validate_pod_ephemeral(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__Pod *pod = object, *before = old_object;
    const struct path *at = AT(SPEC, "ephemeralContainers");
    if (is_mirror(before)) {
        err_forbidden(e, NAMELESS, "static pods do not support ephemeral containers");
        return;
    }
    check_pod(pod, e);
    check_annotation_changes(e, pod->metadata, before->metadata);
    for (size_t i = 0; i < before->spec->n_ephemeral_containers; i++) {
        const Core__V1__EphemeralContainer *old = before->spec->ephemeral_containers[i],
                                           *new = NULL;
        const char *name = old->ephemeral_container_common->name;
        for (size_t k = 0; k < pod->spec->n_ephemeral_containers && !new; k++) {
            const Core__V1__EphemeralContainer *c = pod->spec->ephemeral_containers[k];
            if (strcmp(c->ephemeral_container_common->name, name) == 0)
                new = c;
        }
        if (!new)
            err_forbidden(e, at,
                          arena_printf(e->arena,
                                       "existing ephemeral containers \"%s\" may not be removed\n",
                                       name));
        else if (!object_equal(old, new))
            err_forbidden_diff(
                e, at, old, new,
                arena_printf(e->arena, "existing ephemeral containers \"%s\" may not be changed",
                             name));
    }
}

/* --- resize ------------------------------------------------------------------------------------ */

static bool some_removed(struct arena *a, Meta__V1__QuantityEntry *const *new, size_t n,
                         Meta__V1__QuantityEntry *const *old, size_t m)
{
    struct seen now = {.arena = a};
    for (size_t i = 0; i < n; i++)
        seen_again(&now, new[i]->key);
    for (size_t i = 0; i < m; i++) {
        if (!seen_has(&now, old[i]->key))
            return true;
    }
    return false;
}

static void check_container_resize(struct field_errors *e, const struct path *at,
                                   const Core__V1__ResourceRequirements *new,
                                   const Core__V1__ResourceRequirements *old)
{
    if (some_removed(e->arena, new->requests, new->n_requests, old->requests, old->n_requests))
        err_forbidden(e, AT(at, "requests"), "resource requests cannot be removed");
    if (some_removed(e->arena, new->limits, new->n_limits, old->limits, old->n_limits))
        err_forbidden(e, AT(at, "limits"), "resource limits cannot be removed");
}

/* The old amounts of cpu and memory in place of the new ones. */
static void restore_amounts(struct arena *a, Meta__V1__QuantityEntry ***new, size_t *n,
                            Meta__V1__QuantityEntry *const *old, size_t m)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < 2; i++) {
        const char *was = quantity_map_get(old, m, names[i]);
        size_t kept = 0;
        for (size_t k = 0; k < *n; k++) {
            if (strcmp((*new)[k]->key, names[i]) != 0)
                (*new)[kept++] = (*new)[k];
        }
        *n = kept;
        if (was)
            quantity_map_set(a, new, n, names[i], was);
    }
}

static void restore_resources(struct arena *a, Core__V1__ResourceRequirements *new,
                              const Core__V1__ResourceRequirements *old)
{
    restore_amounts(a, &new->limits, &new->n_limits, old->limits, old->n_limits);
    restore_amounts(a, &new->requests, &new->n_requests, old->requests, old->n_requests);
}

static const char *effective_qos(const Core__V1__PodSpec *spec)
{
    bool any = false, guaranteed = true;
    for (size_t i = 0; i < spec->n_containers + spec->n_init_containers; i++) {
        const Core__V1__Container *c = i < spec->n_containers
                                           ? spec->containers[i]
                                           : spec->init_containers[i - spec->n_containers];
        for (size_t k = 0; k < 2; k++) {
            const char *name = k ? "memory" : "cpu";
            const Core__V1__ResourceRequirements *r = c->resources;
            struct quantity limit = quantity_of(quantity_map_get(r->limits, r->n_limits, name));
            const char *text = quantity_map_get(r->requests, r->n_requests, name);
            struct quantity request = text ? quantity_of(text) : limit;
            any |= limit.nanos > 0 || request.nanos > 0;
            guaranteed &= limit.nanos > 0 && quantity_cmp(request, limit) == 0;
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static bool has_pod_resources(const Core__V1__Pod *pod)
{
    const Core__V1__ResourceRequirements *r = pod->spec->resources;
    return r && r->n_limits + r->n_requests > 0;
}

/* Only amounts of cpu and memory change. */
static void check_only_amounts(struct field_errors *e, const Core__V1__PodSpec *spec,
                               const Core__V1__PodSpec *old)
{
    Core__V1__PodSpec *munged = object_clone(e->arena, spec);
    bool well = true;
    for (size_t i = 0; i < munged->n_containers; i++)
        restore_resources(e->arena, munged->containers[i]->resources,
                          old->containers[i]->resources);
    for (size_t i = 0; i < munged->n_init_containers; i++) {
        Core__V1__Container *c = munged->init_containers[i];
        bool sidecar = cstr_eq(c->restart_policy, "Always");
        if (sidecar)
            restore_resources(e->arena, c->resources, old->init_containers[i]->resources);
        if (object_equal(c, old->init_containers[i]))
            continue;
        well = false;
        err_forbidden(e, SPEC,
                      sidecar ? "only cpu and memory resources for sidecar containers are mutable"
                              : "resources for non-sidecar init containers are immutable");
    }
    if (well && !object_equal(munged, old))
        err_forbidden(e, SPEC, "only cpu and memory resources are mutable");
}

void validate_pod_resize(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__Pod *pod = object, *before = old_object;
    const Core__V1__PodSpec *spec = pod->spec, *old = before->spec;
    const char *refusal = NULL;
    if (has_pod_resources(pod) || has_pod_resources(before))
        refusal = "pods with pod-level resources cannot be resized";
    else if (is_mirror(before))
        refusal = "static pods cannot be resized";
    else if (old->os && strcmp(old->os->name, "windows") == 0)
        refusal = "windows pods cannot be resized";
    if (refusal) {
        err_forbidden(e, NAMELESS, refusal);
        return;
    }
    check_pod(pod, e);
    if (!same_count(e, AT(SPEC, "containers"), spec->n_containers, old->n_containers) ||
        !same_count(e, AT(SPEC, "initContainers"), spec->n_init_containers, old->n_init_containers))
        return;
    const char *was = *before->status->qos_class ? before->status->qos_class : effective_qos(old);
    if (strcmp(effective_qos(spec), was) != 0)
        err_invalid(e, SPEC, was, "Pod QOS Class may not change as a result of resizing");
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        if (cstr_eq(spec->init_containers[i]->restart_policy, "Always"))
            check_container_resize(e, AT(ITEM(AT(SPEC, "initContainers"), i), "resources"),
                                   spec->init_containers[i]->resources,
                                   old->init_containers[i]->resources);
    }
    for (size_t i = 0; i < spec->n_containers; i++)
        check_container_resize(e, AT(ITEM(AT(SPEC, "containers"), i), "resources"),
                               spec->containers[i]->resources, old->containers[i]->resources);
    check_only_amounts(e, spec, old);
}
