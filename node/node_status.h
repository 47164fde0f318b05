/*
 * The Node object of this host: registration, heartbeats by Lease (every 10 s, 40 s long), status
 * on change and every few minutes, readiness by what the runtime says of itself and its network.
 */
#ifndef C8S_NODE_NODE_STATUS_H
#define C8S_NODE_NODE_STATUS_H

#include "node/agent.h"

/* What the host has; allocatable is what is left for pods. */
struct host_facts {
    int64_t cpus, memory, ephemeral; /* bytes */
    const char *machine_id, *system_uuid, *boot_id, *kernel, *os_image, *architecture;
};
void host_facts_read(const char *root_dir, struct arena *a, struct host_facts *out);
/* Memory that is kept back for the host (kubelet's default eviction threshold). */
#define HOST_MEMORY_KEPT (100ll << 20)

struct node_status;
/* Starts the heartbeat thread; registers the node first. */
struct node_status *node_status_start(struct agent *g);
void node_status_stop(struct node_status *s);

#endif
