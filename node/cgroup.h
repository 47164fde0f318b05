/*
 * Control groups, of either version: one below the other in every hierarchy that is mounted under
 * /sys/fs/cgroup. Paths are absolute within a hierarchy: "/c8s/demo/node1".
 */
#ifndef C8S_NODE_CGROUP_H
#define C8S_NODE_CGROUP_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* What a group as a whole may use; 0 leaves a value as it is. */
struct cgroup_limits {
    int64_t cpu_shares;            /* version 1's scale, 2 … 262144 */
    int64_t cpu_quota, cpu_period; /* microseconds */
};
/* Set them on a group that exists; in version 2 as weight and cpu.max. A hierarchy that is not there is
 * passed over. */
int cgroup_set(const char *path, const struct cgroup_limits *l, struct error *err);
/* Version 2's weight (1 … 10000) for version 1's shares, by the runtimes' formula. */
int64_t cgroup_weight(int64_t shares);

/* SIGKILL every process in the group and below, in all hierarchies; returns how many were found. */
size_t cgroup_kill(const char *path);
/* Remove the group and those below it, in all hierarchies; ERR_UNAVAILABLE while processes are left
 * in one. Success when absent. */
int cgroup_remove(const char *path, struct error *err);
/* Remove "parent/name" and then "parent" where they are empty; quietly leaves what is not. */
void cgroup_remove_empty(const char *parent, const char *name);

#endif
