/*
 * Pods: phase and quality of service of new ones, grace of deleted ones.
 */
#include "api/meta.h"
#include "api/quantity.h"
#include "apiserver/strategy/strategy.h"
#include "base/map.h"
#include "proto/core_v1.pb-c.h"

/* ---- quality of service ---- */

struct qos {
    bool any, guaranteed;
};

static bool positive(const char *q)
{
    return q && !quantity_is_zero(quantity_of(q));
}

static void qos_add(struct qos *q, const Core__V1__ResourceRequirements *r)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *request = r ? quantity_map_get(r->requests, r->n_requests, names[i]) : NULL;
        const char *limit = r ? quantity_map_get(r->limits, r->n_limits, names[i]) : NULL;
        q->any |= positive(request) || positive(limit);
        if (!positive(limit))
            q->guaranteed = false;
        else if (request && quantity_cmp(quantity_of(request), quantity_of(limit)) != 0)
            q->guaranteed = false;
    }
}

static const char *qos_name(const struct qos *q)
{
    return !q->any ? "BestEffort" : q->guaranteed ? "Guaranteed" : "Burstable";
}

/* What is said of the pod as a whole counts before what is said of its containers. */
static const char *qos_class(const Core__V1__PodSpec *spec)
{
    struct qos q = {.guaranteed = true};
    if (spec->resources) {
        qos_add(&q, spec->resources);
        return qos_name(&q);
    }
    for (size_t i = 0; i < spec->n_containers; i++)
        qos_add(&q, spec->containers[i]->resources);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        qos_add(&q, spec->init_containers[i]->resources);
    return qos_name(&q);
}

/* ---- affinity and spread ---- */

/* "The same value of this label as I have" is said in the selector. */
static void select_keys(struct arena *a, const struct map *labels, Meta__V1__LabelSelector *s,
                        char *const *keys, size_t n, const char *operator)
{
    if (!s || !n)
        return;
    size_t len = s->n_match_expressions;
    Meta__V1__LabelSelectorRequirement **all =
        arena_array(a, Meta__V1__LabelSelectorRequirement *, len + n);
    for (size_t i = 0; i < len; i++)
        all[i] = s->match_expressions[i];
    for (size_t i = 0; i < n; i++) {
        const char *value = map_get(labels, str_from(keys[i]));
        if (!value)
            continue;
        Meta__V1__LabelSelectorRequirement *r = api_new(a, Meta__V1__LabelSelectorRequirement);
        r->key = keys[i];
        r->operator_ = (char *)operator;
        api_append(a, r, values, (char *)value);
        all[len++] = r;
    }
    s->match_expressions = all;
    s->n_match_expressions = len;
}

static void settle_term(struct arena *a, const struct map *labels, Core__V1__PodAffinityTerm *t)
{
    select_keys(a, labels, t->label_selector, t->match_label_keys, t->n_match_label_keys, "In");
    select_keys(a, labels, t->label_selector, t->mismatch_label_keys, t->n_mismatch_label_keys,
                "NotIn");
}

#define SETTLE_TERMS(a, labels, affinity)                                                          \
    do {                                                                                           \
        for (size_t i_ = 0;                                                                        \
             (affinity) &&                                                                         \
             i_ < (affinity)->n_preferred_during_scheduling_ignored_during_execution;              \
             i_++)                                                                                 \
            settle_term((a), (labels),                                                             \
                        (affinity)                                                                 \
                            ->preferred_during_scheduling_ignored_during_execution[i_]             \
                            ->pod_affinity_term);                                                  \
        for (size_t i_ = 0;                                                                        \
             (affinity) && i_ < (affinity)->n_required_during_scheduling_ignored_during_execution; \
             i_++)                                                                                 \
            settle_term((a), (labels),                                                             \
                        (affinity)->required_during_scheduling_ignored_during_execution[i_]);      \
    } while (0)

static void settle_selectors(struct arena *a, Core__V1__Pod *pod)
{
    const Core__V1__PodSpec *spec = pod->spec;
    const Meta__V1__ObjectMeta *meta = pod->metadata;
    struct map labels;
    if (!spec->affinity && !spec->n_topology_spread_constraints)
        return;
    map_init(&labels);
    for (size_t i = 0; i < meta->n_labels; i++)
        map_put(&labels, str_from(meta->labels[i]->key), meta->labels[i]->value);
    if (spec->affinity) {
        SETTLE_TERMS(a, &labels, spec->affinity->pod_affinity);
        SETTLE_TERMS(a, &labels, spec->affinity->pod_anti_affinity);
    }
    for (size_t i = 0; i < spec->n_topology_spread_constraints; i++) {
        Core__V1__TopologySpreadConstraint *c = spec->topology_spread_constraints[i];
        select_keys(a, &labels, c->label_selector, c->match_label_keys, c->n_match_label_keys,
                    "In");
    }
    map_free(&labels);
}

/* ---- hooks ---- */

static void prepare_create(struct write *w, void *obj)
{
    Core__V1__Pod *pod = obj;
    pod->status->phase = (char *)"Pending";
    settle_selectors(w->rq->a, pod);
    if (pod->spec->n_scheduling_gates)
        pod_set_condition(w->rq->a, pod, "PodScheduled", "False", "SchedulingGated",
                          "Scheduling is blocked due to non-empty scheduling gates");
}

/* podIP is the first of podIPs; where the two differ, it is the one that counts. */
static void settle_ips(struct arena *a, Core__V1__PodStatus *s)
{
    if (!*s->pod_ip) {
        s->pod_ip = s->n_pod_ips ? s->pod_ips[0]->ip : s->pod_ip;
    } else if (!s->n_pod_ips || strcmp(s->pod_ip, s->pod_ips[0]->ip) != 0) {
        Core__V1__PodIP *ip = api_new(a, Core__V1__PodIP);
        ip->ip = s->pod_ip;
        s->n_pod_ips = 0;
        s->pod_ips = NULL;
        api_append(a, s, pod_ips, ip);
    }
}

static void prepare_status(struct write *w, void *obj, const void *old)
{
    Core__V1__Pod *pod = obj;
    const Core__V1__Pod *before = old;
    pod->status->qos_class = before->status->qos_class;
    pod->metadata->owner_references = before->metadata->owner_references;
    pod->metadata->n_owner_references = before->metadata->n_owner_references;
    settle_ips(w->rq->a, pod->status);
}

static void take_sizes(Core__V1__Container **into, size_t n, Core__V1__Container *const *from,
                       size_t from_n)
{
    for (size_t i = 0; i < MIN(n, from_n); i++) {
        if (strcmp(into[i]->name, from[i]->name) != 0)
            continue;
        into[i]->resources = from[i]->resources;
        into[i]->resize_policy = from[i]->resize_policy;
        into[i]->n_resize_policy = from[i]->n_resize_policy;
    }
}

/* What these two are for is taken from the new object, and the rest from the old. */
static bool prepare_sub(struct write *w, const char *sub, void *obj, const void *old)
{
    Core__V1__Pod *pod = obj;
    const Core__V1__Pod *before = old;
    const Core__V1__PodSpec *wanted = pod->spec;
    Core__V1__PodSpec *spec = object_clone(w->rq->a, before->spec);
    if (strcmp(sub, "resize") == 0) {
        take_sizes(spec->containers, spec->n_containers, wanted->containers, wanted->n_containers);
        take_sizes(spec->init_containers, spec->n_init_containers, wanted->init_containers,
                   wanted->n_init_containers);
    } else if (strcmp(sub, "ephemeralcontainers") == 0) {
        spec->ephemeral_containers = wanted->ephemeral_containers;
        spec->n_ephemeral_containers = wanted->n_ephemeral_containers;
    } else {
        return false;
    }
    Meta__V1__ObjectMeta *meta = object_clone(w->rq->a, before->metadata);
    meta->managed_fields = pod->metadata->managed_fields;
    meta->n_managed_fields = pod->metadata->n_managed_fields;
    pod->metadata = meta;
    pod->spec = spec;
    object_share_member(pod, before, "status");
    return true;
}

static struct status *admit(struct write *w, void *obj, const void *old)
{
    Core__V1__Pod *pod = obj;
    (void)w;
    if (old)
        return NULL;
    pod->status->qos_class = (char *)qos_class(pod->spec);
    return NULL;
}

/* Unscheduled and finished pods have nothing to end gracefully. */
static int64_t grace(const void *old, const struct delete_options *o)
{
    const Core__V1__Pod *pod = old;
    int64_t s = 30;
    if (o->has_grace)
        s = o->grace_s;
    else if (pod->spec->has_termination_grace_period_seconds)
        s = pod->spec->termination_grace_period_seconds;
    if (s < 0)
        s = 1;
    if (!*pod->spec->node_name || strcmp(pod->status->phase, "Failed") == 0 ||
        strcmp(pod->status->phase, "Succeeded") == 0)
        s = 0;
    return s;
}

const struct strategy strategy_pod = {
    .message = Core__V1__Pod__SCHEMA,
    .flags = STRATEGY_GENERATION | STRATEGY_RETURN_DELETED,
    .prepare_create = prepare_create,
    .prepare_status = prepare_status,
    .prepare_sub = prepare_sub,
    .admit = admit,
    .grace = grace,
};
