/*
 * SchedulingGates: a pod waits outside the queue until its spec.schedulingGates are empty.
 */
#include "scheduler/plugins/registry.h"

static bool pre_enqueue(const struct pod_facts *facts)
{
    return facts->pod->spec->n_scheduling_gates == 0;
}

const struct plugin plugin_scheduling_gates = {.name = "SchedulingGates",
                                               .pre_enqueue = pre_enqueue};
