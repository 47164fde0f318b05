/*
 * NodeResourcesFit: what the pod requests must be free on the node (allocatable minus the requests
 * of the pods there); among nodes that fit the emptier one is better (least allocated: the mean of
 * the free shares of CPU and memory after the pod).
 */
#include "scheduler/plugins/registry.h"

#include "base/mem.h"

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    const struct resources *want = &c->facts->request, *have = &n->allocatable;
    enum verdict v = VERDICT_SUCCESS;
    if ((int64_t)n->pods.len + 1 > have->pods)
        v = reject(why, VERDICT_UNSCHEDULABLE, "Too many pods");
    if (want->milli_cpu > 0 && want->milli_cpu > have->milli_cpu - n->requested.milli_cpu)
        v = reject(why, VERDICT_UNSCHEDULABLE, "Insufficient cpu");
    if (want->memory_bytes > 0 &&
        want->memory_bytes > have->memory_bytes - n->requested.memory_bytes)
        v = reject(why, VERDICT_UNSCHEDULABLE, "Insufficient memory");
    if (want->ephemeral_bytes > 0 &&
        want->ephemeral_bytes > have->ephemeral_bytes - n->requested.ephemeral_bytes)
        v = reject(why, VERDICT_UNSCHEDULABLE, "Insufficient ephemeral-storage");
    for (size_t i = 0; i < want->named_len; i++) {
        const struct named_amount *w = &want->named[i];
        int64_t free = resources_named(have, w->name) - node_info_named_requested(n, w->name);
        if (w->value > 0 && w->value > free)
            v = reject(why, VERDICT_UNSCHEDULABLE,
                       arena_printf(&c->arena, "Insufficient %s", w->name));
    }
    return v;
}

static int64_t free_share(int64_t capacity, int64_t used)
{
    return capacity <= 0 || used > capacity ? 0 : (capacity - used) * SCORE_MAX / capacity;
}

static int64_t score(struct cycle *c, unsigned self, const struct node_info *n)
{
    (void)self;
    const struct pod_facts *f = c->facts;
    return (free_share(n->allocatable.milli_cpu, n->score_milli_cpu + f->score_milli_cpu) +
            free_share(n->allocatable.memory_bytes,
                       n->score_memory_bytes + f->score_memory_bytes)) /
           2;
}

const struct plugin plugin_node_resources_fit = {
    .name = "NodeResourcesFit",
    .events = EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED,
    .weight = 1,
    .filter = filter,
    .score = score};
