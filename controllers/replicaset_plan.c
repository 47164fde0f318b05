/*
 * Decisions of the ReplicaSet controller (controllers/replicaset.h).
 */
#include "controllers/replicaset.h"

#include "api/meta.h"
#include "base/mem.h"
#include "base/random.h"
#include "controllers/pods.h"
#include <stdlib.h>

#define GENERATED_NAME_MAX 58 /* what of a name stays in front of the five random letters */

int replicaset_missing(const Apps__V1__ReplicaSet *rs, size_t active)
{
    int64_t missing = (int64_t)api_get(rs->spec, replicas, 1) - (int64_t)active;
    return (int)MAX(MIN(missing, REPLICASET_BURST), -REPLICASET_BURST);
}

/* ----------------------------------------------------------------------------- deletion order ---
 */

/* A pod with what its place in the order depends on. */
struct ranked {
    Core__V1__Pod *pod;
    int phase; /* Pending, Unknown, Running */
    bool assigned, ready;
    int64_t cost;
    size_t neighbours; /* pods of the set on the same node, itself included */
    int64_t ready_s, created_s;
    int32_t restarts;
};

static int phase_rank(const char *phase)
{
    return cstr_eq(phase, "Running") ? 2 : cstr_eq(phase, "Unknown") ? 1 : 0;
}

static int64_t deletion_cost(const Core__V1__Pod *pod)
{
    const char *text = annotations_get(pod->metadata, "controller.kubernetes.io/pod-deletion-cost");
    int64_t cost = 0;
    return text && str_to_i64(str_from(text), &cost) ? cost : 0;
}

static struct ranked rank(Core__V1__Pod *pod, Core__V1__Pod *const *pods, size_t n)
{
    struct ranked r = {.pod = pod,
                       .phase = phase_rank(pod->status->phase),
                       .assigned = *pod->spec->node_name != '\0',
                       .ready = pod_is_ready(pod),
                       .cost = deletion_cost(pod),
                       .created_s = time_ns(pod->metadata->creation_timestamp) / 1000000000,
                       .restarts = pod_restarts(pod)};
    if (r.ready)
        r.ready_s = time_ns(pod_condition(pod, "Ready")->last_transition_time) / 1000000000;
    for (size_t i = 0; r.assigned && i < n; i++)
        r.neighbours += cstr_eq(pods[i]->spec->node_name, pod->spec->node_name);
    return r;
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_rank(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    int d;
    if ((d = order(a->assigned, b->assigned)) || (d = order(a->phase, b->phase)) ||
        (d = order(a->ready, b->ready)) || (d = order(a->cost, b->cost)) ||
        (d = order((int64_t)b->neighbours, (int64_t)a->neighbours)) ||
        (d = order(b->ready_s, a->ready_s)) || (d = order(b->restarts, a->restarts)) ||
        (d = order(b->created_s, a->created_s)))
        return d;
    return strcmp(a->pod->metadata->name, b->pod->metadata->name); /* the same order every time */
}

void replicaset_deletion_order(Core__V1__Pod **pods, size_t n)
{
    struct ranked *ranked = mem_alloc(sizeof *ranked * (n + 1));
    for (size_t i = 0; i < n; i++)
        ranked[i] = rank(pods[i], pods, n);
    qsort(ranked, n, sizeof *ranked, by_rank);
    for (size_t i = 0; i < n; i++)
        pods[i] = ranked[i].pod;
    mem_free(ranked);
}

/* ------------------------------------------------------------------------------------- status ---
 */

static bool fully_labeled(const Apps__V1__ReplicaSet *rs, const Core__V1__Pod *pod)
{
    const Meta__V1__ObjectMeta *want = rs->spec->template_->metadata, *have = pod->metadata;
    return string_map_contains(have->labels, have->n_labels, want->labels, want->n_labels);
}

/* Other conditions stay; ReplicaFailure is there exactly while there is a failure. */
static void set_failure(struct arena *a, Apps__V1__ReplicaSetStatus *s,
                        const Apps__V1__ReplicaSetStatus *old, const char *failure,
                        const char *message, int64_t now_s)
{
    const Apps__V1__ReplicaSetCondition *have = NULL;
    for (size_t i = 0; i < old->n_conditions; i++) {
        if (cstr_eq(old->conditions[i]->type, "ReplicaFailure"))
            have = old->conditions[i];
        else
            api_append(a, s, conditions, object_clone(a, old->conditions[i]));
    }
    if (!failure)
        return;
    Apps__V1__ReplicaSetCondition *c = api_new(a, Apps__V1__ReplicaSetCondition);
    c->type = "ReplicaFailure";
    c->status = "True";
    c->reason = (char *)failure;
    c->message = arena_strdup(a, message ? message : "");
    c->last_transition_time = have && cstr_eq(have->status, "True")
                                  ? object_clone(a, have->last_transition_time)
                                  : time_from_s(a, now_s);
    api_append(a, s, conditions, c);
}

Apps__V1__ReplicaSetStatus *replicaset_status(struct arena *a, const Apps__V1__ReplicaSet *rs,
                                              Core__V1__Pod *const *active, size_t n,
                                              int32_t terminating, const char *failure,
                                              const char *message, int64_t now_s, int64_t *wait_s)
{
    Apps__V1__ReplicaSetStatus *s = api_new(a, Apps__V1__ReplicaSetStatus);
    s->replicas = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        s->fully_labeled_replicas += fully_labeled(rs, active[i]);
        s->ready_replicas += pod_is_ready(active[i]);
        s->available_replicas +=
            pod_is_available(active[i], rs->spec->min_ready_seconds, now_s, wait_s);
    }
    if (terminating || rs->status->has_terminating_replicas)
        api_set(s, terminating_replicas, terminating);
    s->observed_generation = rs->metadata->generation;
    set_failure(a, s, rs->status, failure, message, now_s);
    return s;
}

/* ---------------------------------------------------------------------------------------- pod ---
 */

Core__V1__Pod *replicaset_pod(struct arena *a, const Apps__V1__ReplicaSet *rs)
{
    const Core__V1__PodTemplateSpec *t = rs->spec->template_;
    Core__V1__Pod *pod = api_new(a, Core__V1__Pod);
    Meta__V1__ObjectMeta *m = pod->metadata;
    pod->spec = object_clone(a, t->spec);
    m->namespace_ = rs->metadata->namespace_;
    m->generate_name = arena_printf(a, "%s-", rs->metadata->name);
    char letters[6];
    random_name(letters, 5);
    m->name = arena_printf(a, "%.*s%s", GENERATED_NAME_MAX, m->generate_name, letters);
    for (size_t i = 0; i < t->metadata->n_labels; i++)
        labels_set(a, m, t->metadata->labels[i]->key, t->metadata->labels[i]->value);
    for (size_t i = 0; i < t->metadata->n_annotations; i++)
        annotations_set(a, m, t->metadata->annotations[i]->key, t->metadata->annotations[i]->value);
    for (size_t i = 0; i < t->metadata->n_finalizers; i++)
        api_append(a, m, finalizers, t->metadata->finalizers[i]);
    api_append(a, m, owner_references, owner_reference_new(a, rs));
    return pod;
}
