/*
 * NodeResourcesBalancedAllocation: a node whose CPU and memory would be used to equal shares is
 * better than one that runs out of one while the other lies idle. 100 minus the standard deviation
 * of the shares.
 */
#include "scheduler/plugins/registry.h"

#include "base/mem.h"
#include <stdlib.h>

static int64_t used_share(int64_t capacity, int64_t used)
{
    return capacity <= 0 ? SCORE_MAX : MIN(used * SCORE_MAX / capacity, SCORE_MAX);
}

static int64_t score(struct cycle *c, unsigned self, const struct node_info *n)
{
    (void)self;
    const struct pod_facts *f = c->facts;
    int64_t cpu =
        used_share(n->allocatable.milli_cpu, n->requested.milli_cpu + f->request.milli_cpu);
    int64_t memory = used_share(n->allocatable.memory_bytes,
                                n->requested.memory_bytes + f->request.memory_bytes);
    return SCORE_MAX -
           llabs(cpu - memory) / 2; /* of two values the deviation is half the distance */
}

const struct plugin plugin_balanced_allocation = {
    .name = "NodeResourcesBalancedAllocation", .weight = 1, .score = score};
