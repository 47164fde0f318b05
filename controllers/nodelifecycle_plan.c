/*
 * Decisions about nodes (controllers/nodelifecycle.h).
 */
#include "controllers/nodelifecycle.h"

#include "api/meta.h"
#include "base/mem.h"

const Core__V1__NodeCondition *node_condition(const Core__V1__Node *node, const char *type)
{
    for (size_t i = 0; i < node->status->n_conditions; i++)
        if (cstr_eq(node->status->conditions[i]->type, type))
            return node->status->conditions[i];
    return NULL;
}

/* --------------------------------------------------------------------------------- conditions ---
 */

static Core__V1__NodeCondition *condition_slot(Core__V1__NodeStatus *s, const char *type)
{
    for (size_t i = 0; i < s->n_conditions; i++)
        if (cstr_eq(s->conditions[i]->type, type))
            return s->conditions[i];
    return NULL;
}

static bool make_unknown(struct arena *a, Core__V1__NodeStatus *s, const char *type, int64_t now_s)
{
    Core__V1__NodeCondition *c = condition_slot(s, type);
    if (c && cstr_eq(c->status, "Unknown"))
        return false;
    bool never = !c;
    if (never) {
        c = api_new(a, Core__V1__NodeCondition);
        c->type = (char *)type;
        api_append(a, s, conditions, c);
    }
    c->status = "Unknown";
    c->reason = never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown";
    c->message =
        never ? "Kubelet never posted node status." : "Kubelet stopped posting node status.";
    c->last_transition_time = time_from_s(a, now_s);
    return true;
}

bool node_mark_unknown(struct arena *a, Core__V1__NodeStatus *status, int64_t now_s)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    bool changed = false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        changed |= make_unknown(a, status, types[i], now_s);
    return changed;
}

/* ------------------------------------------------------------------------------------- taints ---
 */

struct taint_rule {
    const char *condition, *status; /* condition NULL: spec.unschedulable */
    const char *key, *effect;
};

static const struct taint_rule rules[] = {
    {"Ready", "False", TAINT_NOT_READY, "NoSchedule"},
    {"Ready", "False", TAINT_NOT_READY, "NoExecute"},
    {"Ready", "Unknown", TAINT_UNREACHABLE, "NoSchedule"},
    {"Ready", "Unknown", TAINT_UNREACHABLE, "NoExecute"},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure", "NoSchedule"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure", "NoSchedule"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure", "NoSchedule"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable", "NoSchedule"},
    {NULL, NULL, "node.kubernetes.io/unschedulable", "NoSchedule"},
};

static bool rule_holds(const struct taint_rule *r, const Core__V1__Node *node)
{
    if (!r->condition)
        return node->spec->unschedulable;
    const Core__V1__NodeCondition *c = node_condition(node, r->condition);
    return c && cstr_eq(c->status, r->status);
}

static bool is_rules(const Core__V1__Taint *t)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (cstr_eq(t->key, rules[i].key) && cstr_eq(t->effect, rules[i].effect))
            return true;
    return false;
}

static Core__V1__Taint *find_taint(const Core__V1__NodeSpec *spec, const struct taint_rule *r)
{
    for (size_t i = 0; i < spec->n_taints; i++)
        if (cstr_eq(spec->taints[i]->key, r->key) && cstr_eq(spec->taints[i]->effect, r->effect))
            return spec->taints[i];
    return NULL;
}

bool node_set_taints(struct arena *a, Core__V1__NodeSpec *spec, const Core__V1__Node *node,
                     int64_t now_s)
{
    Core__V1__NodeSpec kept = {.n_taints = 0};
    bool changed = false;
    for (size_t i = 0; i < spec->n_taints; i++)
        if (!is_rules(spec->taints[i]))
            api_append(a, &kept, taints, spec->taints[i]);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        Core__V1__Taint *t = find_taint(spec, &rules[i]);
        bool wanted = rule_holds(&rules[i], node);
        changed |= wanted != (t != NULL);
        if (!wanted)
            continue;
        if (!t) {
            t = api_new(a, Core__V1__Taint);
            t->key = (char *)rules[i].key;
            t->effect = (char *)rules[i].effect;
            t->time_added = time_from_s(a, now_s);
        }
        api_append(a, &kept, taints, t);
    }
    if (changed) {
        spec->taints = kept.taints;
        spec->n_taints = kept.n_taints;
    }
    return changed;
}

/* ----------------------------------------------------------------------------------- eviction ---
 */

static bool tolerates(const Core__V1__Toleration *t, const Core__V1__Taint *taint)
{
    if (t->effect && *t->effect && !cstr_eq(t->effect, taint->effect))
        return false;
    if (t->key && *t->key && !cstr_eq(t->key, taint->key))
        return false;
    if (cstr_eq(t->operator_, "Exists"))
        return true;
    return t->key && *t->key && cstr_eq(t->value, taint->value) &&
           (cstr_eq(t->operator_, "") || cstr_eq(t->operator_, "Equal"));
}

/* When this taint alone makes the pod leave: the shortest of the tolerations that fit it. */
static int64_t leave_time(const Core__V1__Pod *pod, const Core__V1__Taint *taint, int64_t now_s)
{
    int64_t added_s = time_is_zero(taint->time_added) ? now_s : taint->time_added->seconds;
    int64_t shortest = INT64_MAX;
    bool tolerated = false;
    for (size_t i = 0; i < pod->spec->n_tolerations; i++) {
        const Core__V1__Toleration *t = pod->spec->tolerations[i];
        if (!tolerates(t, taint))
            continue;
        tolerated = true;
        if (t->has_toleration_seconds)
            shortest = MIN(shortest, MAX(t->toleration_seconds, 0));
    }
    if (!tolerated)
        return 0;
    return shortest == INT64_MAX ? INT64_MAX : added_s + shortest;
}

int64_t pod_eviction_time(const Core__V1__Pod *pod, const Core__V1__Node *node, int64_t now_s)
{
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < node->spec->n_taints; i++) {
        const Core__V1__Taint *taint = node->spec->taints[i];
        if (cstr_eq(taint->effect, "NoExecute"))
            earliest = MIN(earliest, leave_time(pod, taint, now_s));
    }
    return earliest;
}
