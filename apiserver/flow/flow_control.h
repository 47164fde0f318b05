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
 * A request holds as many seats as its width, which flow_width.h estimates, but at most 15 % of its level's nominal limit,
 * where the level queues at most that limit's handSize-th part (both as upstream), and never more than the level can come to
 * hold by sure and lent seats: so none is let through beyond a limit, and none waits for what cannot come. A wide one that
 * is next and lacks seats stays next in its level, and what nobody is sure of is saved up for it, except for levels
 * needier than its own: it is passed by those that were there before, not by all that come after.
 *
 * Writes hold one seat. Upstream adds up to ten for 5 ms, by the number of watches, for the events that follow; here an
 * event is encoded once and costs its own watchers alone (watch/hub.h), on their loops: some 5 µs each, so that even a
 * thousand that hear it are one seat's work for those 5 ms.
 *
 * Threads: any. A ticket belongs to the loop that it names; `go` runs there.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_CONTROL_H
#define C8S_APISERVER_FLOW_FLOW_CONTROL_H

#include "apiserver/flow/flow_match.h"
#include "base/list.h"
#include "net/loop.h"

struct metrics;
struct request_info;
struct flow_control;
struct flow_counts;
struct flow_level;
struct flow;

#define FLOW_UID_MAX 40
#define FLOW_WIDTH_MAX 10 /* seats of one request */

enum flow_answer { FLOW_SEATED, FLOW_QUEUED, FLOW_REFUSED };

/* A request's place; it must live until it is left, or refused. */
struct flow_ticket {
    char schema_uid[FLOW_UID_MAX], level_uid[FLOW_UID_MAX]; /* "": no FlowSchema is known yet */
    /* Set by the owner; what is pointed to stays until the ticket is left or refused, and does not change: other threads
     * tell of it (flow_dump.h). NULL: nothing is told. */
    void (*go)(struct flow_ticket *t); /* of a queued one: it has its seats now */
    unsigned width;                    /* seats that it should hold; 0 is 1 */
    uint64_t arrived_ns;               /* by clock_mono_ns */
    const struct request_info *about;
    const struct user *user;
    /* Of flow_control. */
    struct loop *loop;
    struct loop_task task;
    struct list link; /* flow.waiting, level.inside */
    struct flow_level *level;
    struct flow *flow; /* NULL: in an exempt level */
    struct flow_counts *counts;
    unsigned seats; /* held */
    uint64_t started_ns;
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
/* Give the seats back; nothing happens without. */
void flow_leave(struct flow_control *fc, struct flow_ticket *t);
enum flow_cancel_reason { FLOW_TIMED_OUT, FLOW_CANCELLED };
/* Stop waiting. False: it has its seats, and t->go runs soon or did. */
bool flow_cancel(struct flow_control *fc, struct flow_ticket *t, enum flow_cancel_reason why);
/* Does anybody wait? */
bool flow_control_pressed(struct flow_control *fc);

#endif
