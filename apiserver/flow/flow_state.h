/*
 * What flow_control.c keeps and flow_dump.c tells of: private to this folder. The lock guards everything but what is
 * atomic.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_STATE_H
#define C8S_APISERVER_FLOW_FLOW_STATE_H

#include "apiserver/flow/flow_control.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/vec.h"
#include <pthread.h>
#include <stdatomic.h>

/* Requests of one FlowSchema with one distinguisher, while it has any. */
struct flow {
    struct flow_level *level;
    struct str key;                          /* with the flow: "schema", NUL, "distinguisher" */
    unsigned seated, executing, waiting_len; /* seats, and requests */
    struct list waiting;                     /* struct flow_ticket.link */
    struct heap_item
        by_holding; /* level->waiting_flows: seats held, then who was served longest ago */
    uint32_t turn;
    int index; /* of a dump that is being made */
};

/* Kept until the end: its metrics are. */
struct flow_level {
    struct flow_control *fc;
    struct str name;
    char uid[FLOW_UID_MAX]; /* "": there is no such level any more */
    bool exempt;
    atomic_uint nominal;                /* seats: the nominal limit; metrics read it */
    unsigned sure, most;                /* seats: never lent, at most */
    unsigned width_max;                 /* seats of one request */
    unsigned queue_max, flow_queue_max; /* requests that may wait; 0: none */
    unsigned seated, executing, waiting;
    uint32_t turn;
    struct map flows; /* struct flow.key → struct flow */
    struct heap waiting_flows;
    struct flow_ticket *next; /* a wide one that lacks seats: nobody goes before it. Or NULL */
    struct list inside;       /* struct flow_ticket.link */
    uint64_t dispatched, rejected, timed_out, cancelled;
};

/* What is counted of one schema in one level. Kept until the end, as its metrics are. */
struct flow_counts {
    struct flow_counts *following;
    struct str schema; /* "": none matched */
    struct flow_level *level;
    /* Written under the lock; metrics read them without: they have one of their own, which is taken under ours. */
    atomic_uint executing, seats, waiting;
    /* NULL: not counted. */
    struct counter *dispatched, *queue_full, *no_queue, *timed_out, *cancelled;
    struct histogram *waited, *waited_in_vain; /* seconds; of levels that queue */
};

struct flow_schema {
    const Flowcontrol__V1__FlowSchema *object; /* in flow_control.arena */
    char uid[FLOW_UID_MAX];
    struct flow_counts *counts;
};

struct flow_control {
    pthread_mutex_t lock;
    unsigned seats;
    struct metrics *metrics;
    struct arena arena; /* of the schemas */
    struct flow_schema *schemas;
    size_t schemas_len;
    VEC(struct flow_level *) levels;
    struct flow_counts *counts;
    struct flow_counts *fallback; /* while no schema matches */
    unsigned committed;           /* over all limited levels: max(seated, sure) */
    struct flow_level
        *saving_for; /* its next one waits for several seats that nobody is sure of, or NULL */
    atomic_uint waiting;
    struct buf key; /* the flow that is looked for */
};

/* The seats that a request would hold in its level as that is now. */
static inline unsigned flow_seats_wanted(const struct flow_ticket *t)
{
    unsigned most = t->level->width_max;
    return t->width < 1 ? 1 : t->width < most ? t->width : most;
}

#endif
