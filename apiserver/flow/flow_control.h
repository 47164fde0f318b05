/*
 * API Priority and Fairness: how many requests are served at once, and whose, as FlowSchemas and
 * PriorityLevelConfigurations say.
 *
 *     request ──FlowSchema──▶ priority level ──distinguisher──▶ flow ──a seat is free──▶ served
 *
 * All requests share the seats given. Of them a level has ceil(seats × its shares ÷ all shares): its nominal limit. It
 * is sure of those that it does not lend (lendablePercent); beyond them it may take what no other level is sure of, up to
 * its nominal limit and borrowingLimitPercent of it (without one: all). A seat that comes free goes to the level that waits
 * with the smallest part of its nominal limit, and there to the flow that holds the fewest seats, so that who asks most does
 * not keep others out. Levels of type Exempt have no limit.
 *
 * A request whose level is full waits, where the level queues: at most handSize × queueLengthLimit of one flow and
 * queues × queueLengthLimit of the level; others are refused. Upstream deals flows to shared queues by their hash; here
 * each has its own, which is what those approximate.
 *
 * Threads: any. A ticket belongs to the loop that it names; `go` runs there.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_CONTROL_H
#define C8S_APISERVER_FLOW_FLOW_CONTROL_H

#include "apiserver/flow/flow_match.h"
#include "base/list.h"
#include "net/loop.h"

struct counter;
struct metrics;
struct flow_control;
struct flow_level;
struct flow;

#define FLOW_UID_MAX 40

enum flow_answer { FLOW_SEATED, FLOW_QUEUED, FLOW_REFUSED };

/* A request's place; it must live until it is left, or refused. */
struct flow_ticket {
    char schema_uid[FLOW_UID_MAX], level_uid[FLOW_UID_MAX]; /* "": no FlowSchema is known yet */
    void (*go)(struct flow_ticket *t);                      /* of a queued one: it has a seat now */
    /* Of flow_control. */
    struct loop *loop;
    struct loop_task task;
    struct list link; /* flow.waiting */
    struct flow_level *level;
    struct flow *flow; /* NULL: in an exempt level */
    struct counter *dispatched, *timed_out, *cancelled;
    enum { FLOW_OUTSIDE, FLOW_WAITING, FLOW_INSIDE } where;
};

/* seats 0: no limits. m may be NULL; the gauges registered there are read until it is freed. */
struct flow_control *flow_control_new(unsigned seats, struct metrics *m);
void flow_control_free(struct flow_control *fc); /* nobody waits or is seated; NULL is fine */

/* What holds from now on; copied. Seats held stay, and are counted where they were taken. */
void flow_control_update(struct flow_control *fc, Flowcontrol__V1__FlowSchema *const *schemas,
                         size_t schemas_len,
                         Flowcontrol__V1__PriorityLevelConfiguration *const *levels,
                         size_t levels_len);

/* t->go is set. FLOW_QUEUED: t->go is called on `loop` later, unless it is cancelled first. */
enum flow_answer flow_enter(struct flow_control *fc, struct flow_ticket *t,
                            const struct authz_attributes *at, struct loop *loop);
/* Give the seat back; nothing happens without one. */
void flow_leave(struct flow_control *fc, struct flow_ticket *t);
enum flow_cancel_reason { FLOW_TIMED_OUT, FLOW_CANCELLED };
/* Stop waiting. False: it has a seat, and t->go runs soon or did. */
bool flow_cancel(struct flow_control *fc, struct flow_ticket *t, enum flow_cancel_reason why);
/* Does anybody wait? */
bool flow_control_pressed(struct flow_control *fc);

#endif
