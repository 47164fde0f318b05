/*
 * The scheduler: keeps cache and queue from informers, decides for one pod after the other, binds
 * without waiting.
 *
 *     informers (client's I/O thread) ──▶ queue, cache ──▶ scheduling thread ──bind──▶ client's I/O
 * thread
 *
 * One scheduling thread. Informers run from scheduler_new on, so that a stand-by is warm;
 * scheduler_start (when leading) starts deciding.
 */
#ifndef C8S_SCHEDULER_SCHEDULER_H
#define C8S_SCHEDULER_SCHEDULER_H

#include "base/metrics.h"
#include "client/client.h"
#include "client/recorder.h"

struct scheduler;

struct scheduler_config {
    struct client *client;
    const char *name; /* pods with this spec.schedulerName are ours; NULL: "default-scheduler" */
    struct metrics *metrics;   /* may be NULL */
    struct recorder *recorder; /* may be NULL: no events */
    unsigned binds_max;        /* under way at once; 0: 100 */
};

struct scheduler *scheduler_new(const struct scheduler_config *config);
bool scheduler_synced(struct scheduler *s);
/* Waits for the caches first, then decides until scheduler_free. */
void scheduler_start(struct scheduler *s);
/* Decide no more, and wait for the bindings under way. Done by scheduler_free, too. */
void scheduler_stop(struct scheduler *s);
void scheduler_free(struct scheduler *s);

#endif
