/*
 * The scheduling queue: which pod next, and when to try a pod again that found no place.
 *
 *     add ──▶ active ──pop──▶ (being tried) ──no node fits──▶ unschedulable ─┐
 *               ▲  ▲                 │                                       │ an event that may
 * help │  └─ back-off over ─┴─error, or an event meanwhile─▶ backoff ◀┘
 *               └────────────────────────────────────────────────────────────  (or active, when its
 * back-off is over)
 *
 * active is ordered by priority, then by time of arrival. The back-off is 1 s, doubling with each
 * attempt to 10 s. A pod that found no place waits until something changes in the cluster that one
 * of the plugins that rejected it has named as possibly helpful (enum cluster_event), or five
 * minutes.
 *
 * No change is lost: an event that arrives while a pod is being tried may already be too late for
 * the snapshot the attempt works on, so such a pod goes to backoff instead of unschedulable.
 *
 * Thread-safe. The queue holds one reference to each pod's facts (struct pod_facts).
 */
#ifndef C8S_SCHEDULER_QUEUE_H
#define C8S_SCHEDULER_QUEUE_H

#include "base/heap.h"
#include "base/list.h"
#include "scheduler/types.h"

struct metrics;

enum queue_place { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_IN_FLIGHT };

struct queued_pod {
    struct pod_facts *facts; /* one reference; does not change while in flight */
    struct pod_facts *newer; /* an update that came while in flight, or NULL */
    char *key;               /* "ns/name" */
    enum queue_place place;
    unsigned attempts;
    uint64_t sequence;    /* of arrival; keeps its place among equals through back-off */
    uint64_t queued_ns;   /* when it entered its place */
    uint64_t event_cycle; /* the queue's event count when it was popped */
    uint32_t events;      /* bits of enum cluster_event that may help it */
    bool deleted;         /* removed while in flight */
    struct heap_item heap;
    struct list link; /* in unschedulable */
};

struct queue;
/* now_ns: the clock, given so that tests can turn it; NULL: clock_mono_ns. metrics may be NULL. */
struct queue *queue_new(uint64_t (*now_ns)(void *ctx), void *ctx, struct metrics *metrics);
void queue_free(struct queue *q);

/* A pending pod appeared. Takes a reference of its own. */
void queue_add(struct queue *q, struct pod_facts *facts);
/* A pending pod changed. It becomes due at once when its change may have made it schedulable
 * (`may_help`), and keeps its place else. */
void queue_update(struct queue *q, struct pod_facts *facts, bool may_help);
/* A pending pod is gone, or was bound. */
void queue_remove(struct queue *q, const char *key);

/* The next pod; blocks up to timeout_ms (UINT32_MAX: without end); NULL on time-out and after
 * queue_shut_down. The caller must hand it back by exactly one of the three functions below. */
struct queued_pod *queue_pop(struct queue *q, uint32_t timeout_ms);
/* Assumed on a node, or not ours to schedule any more: forget it. */
void queue_finish(struct queue *q, struct queued_pod *p);
/* No node fits now. events: what may help (0: only time). */
void queue_unschedulable(struct queue *q, struct queued_pod *p, uint32_t events);
/* An error that may be gone on the next try. */
void queue_retry(struct queue *q, struct queued_pod *p);
/* A bind failed later on: the pod (facts) comes back as after `attempts` attempts. */
void queue_add_again(struct queue *q, struct pod_facts *facts, unsigned attempts);

/* Something changed in the cluster: `events` bits. Moves what waits for it. */
void queue_event(struct queue *q, uint32_t events);
void queue_shut_down(struct queue *q);

struct queue_counts {
    size_t active, backoff, unschedulable, in_flight;
};
void queue_count(struct queue *q, struct queue_counts *out);

#endif
