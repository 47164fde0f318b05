/*
 * NodeUnschedulable: keeps pods off cordoned nodes, unless they tolerate that.
 */
#include "scheduler/plugins/node_match.h"
#include "scheduler/plugins/registry.h"

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    static const Core__V1__Taint cordoned = {
        .key = "node.kubernetes.io/unschedulable", .value = "", .effect = "NoSchedule"};
    const Core__V1__PodSpec *spec = c->facts->pod->spec;
    if (!n->node->spec->unschedulable ||
        taint_tolerated(spec->tolerations, spec->n_tolerations, &cordoned))
        return VERDICT_SUCCESS;
    return reject(why, VERDICT_UNRESOLVABLE, "node(s) were unschedulable");
}

const struct plugin plugin_node_unschedulable = {
    .name = "NodeUnschedulable", .events = EVENT_NODE_ADDED | EVENT_NODE_TAINTS, .filter = filter};
