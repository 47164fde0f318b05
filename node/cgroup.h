/*
 * Control groups, of either version: one below the other in every hierarchy that is mounted under
 * /sys/fs/cgroup. Paths are absolute within a hierarchy: "/c8s/demo/node1".
 */
#ifndef C8S_NODE_CGROUP_H
#define C8S_NODE_CGROUP_H

#include "base/error.h"
#include <stddef.h>

/* SIGKILL every process in the group and below, in all hierarchies; returns how many were found. */
size_t cgroup_kill(const char *path);
/* Remove the group and those below it, in all hierarchies; ERR_UNAVAILABLE while processes are left
 * in one. Success when absent. */
int cgroup_remove(const char *path, struct error *err);
/* Remove "parent/name" and then "parent" where they are empty; quietly leaves what is not. */
void cgroup_remove_empty(const char *parent, const char *name);

#endif
