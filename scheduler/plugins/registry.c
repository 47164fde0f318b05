/*
 * The default profile: which plugins run, in this order. The cheap filters that rule out most come
 * first.
 */
#include "scheduler/plugins/registry.h"

#include "base/mem.h"

const struct plugin *const default_plugins[] = {
    &plugin_scheduling_gates,   &plugin_node_unschedulable,  &plugin_node_name,
    &plugin_taint_toleration,   &plugin_node_affinity,       &plugin_node_ports,
    &plugin_node_resources_fit, &plugin_balanced_allocation,
};
const size_t default_plugins_len = ARRAY_LEN(default_plugins);
_Static_assert(ARRAY_LEN(default_plugins) <= PLUGINS_MAX,
               "cycle.state and the skip bits hold them");
