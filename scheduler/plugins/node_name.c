/*
 * NodeName: a pod that names its node runs there or nowhere.
 */
#include "scheduler/plugins/registry.h"

#include "base/str.h"

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    const char *wanted = c->facts->pod->spec->node_name;
    if (*wanted && strcmp(wanted, n->name) != 0)
        return reject(why, VERDICT_UNRESOLVABLE, "node(s) didn't match the requested node name");
    return VERDICT_SUCCESS;
}

const struct plugin plugin_node_name = {
    .name = "NodeName", .events = EVENT_NODE_ADDED, .filter = filter};
