/*
 * Pod workers: threads that bring one pod after the other from what is to what should be.
 *
 * A key is "namespace/name" of a pod. Its worker reads the pod from the informer and the containers
 * from the runtime every time; what is kept between two visits (struct pod_state in pod_worker.c)
 * may be lost. Workers wait while containers end, so there may be as many as WORKERS_MAX; a new one
 * is started when all are busy.
 */
#ifndef C8S_NODE_POD_WORKER_H
#define C8S_NODE_POD_WORKER_H

#include "node/agent.h"

#define WORKERS_MAX \
    512 /* more than a node has pods: those that take long to end stand in nobody's way */

struct pod_table *pod_table_new(void);
void pod_table_free(struct pod_table *t);

struct pod_workers;
/* Starts the first workers. Call when the informers have synced: what the informer does not know is
 * ended. */
struct pod_workers *pod_workers_start(struct agent *g);
/* After workqueue_shut_down: waits for all of them. */
void pod_workers_join(struct pod_workers *w);

#endif
