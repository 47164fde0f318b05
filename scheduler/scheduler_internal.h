/*
 * What the scheduler's files share.
 */
#ifndef C8S_SCHEDULER_SCHEDULER_INTERNAL_H
#define C8S_SCHEDULER_SCHEDULER_INTERNAL_H

#include "scheduler/framework.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"
#include <pthread.h>

struct scheduler {
    struct client *client;
    struct recorder *recorder;
    char *name;
    struct informer *pods, *nodes;
    struct queue *queue;
    struct cache *cache;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    unsigned binds_max;

    /* The scheduling thread's. */
    struct snapshot snapshot;
    size_t next_node;
    struct rng rng;
    struct arena cycle_arena;

    pthread_mutex_t lock; /* of binds */
    pthread_cond_t cond;
    unsigned binds; /* under way */

    struct metrics *own_metrics;
    struct counter *attempts_scheduled, *attempts_unschedulable, *attempts_error;
    struct histogram *decide_seconds, *bind_seconds;
};

/* Make the informers and connect them with cache and queue. */
void scheduler_watch(struct scheduler *s);

/* What of a node changed, as bits of enum cluster_event. */
uint32_t node_changes(const Core__V1__Node *old, const Core__V1__Node *now);
/* May the change of a pending pod have made it schedulable? */
bool pod_change_may_help(const Core__V1__Pod *old, const Core__V1__Pod *now);

#endif
