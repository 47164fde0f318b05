/*
 * All plugins, one file each; the default profile is in registry.c.
 */
#ifndef C8S_SCHEDULER_PLUGINS_REGISTRY_H
#define C8S_SCHEDULER_PLUGINS_REGISTRY_H

#include "scheduler/framework.h"

extern const struct plugin plugin_scheduling_gates;
extern const struct plugin plugin_node_unschedulable;
extern const struct plugin plugin_node_name;
extern const struct plugin plugin_taint_toleration;
extern const struct plugin plugin_node_affinity;
extern const struct plugin plugin_node_ports;
extern const struct plugin plugin_node_resources_fit;
extern const struct plugin plugin_balanced_allocation;

#endif
