/*
 * Pod garbage: which pods nobody will finish any more (decisions; podgc.c deletes them).
 */
#ifndef C8S_CONTROLLERS_PODGC_H
#define C8S_CONTROLLERS_PODGC_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

/* Being deleted, and never given a node: no node agent will end it. */
bool pod_is_unscheduled_garbage(const Core__V1__Pod *pod);
/* Of n ended pods, the oldest beyond `max`: sorts them and returns how many to delete from the
 * front. */
size_t ended_pods_surplus(const Core__V1__Pod **pods, size_t n, long long max);

#endif
