/*
 * What is going on, for people: three tables as upstream prints them at /debug/api_priority_and_fairness/, of columns
 * that end in a comma and are padded to line up.
 *
 *   dump_priority_levels   a line for each level
 *   dump_queues            a line for each flow that has requests: it is its own queue; only of levels that queue
 *   dump_requests          a line for each request that waits or has its seats; with details: who asks for what
 *
 * A queue's index is its place in this one table. There is no progress meter of virtual time (flow_control.h says who is
 * next) and nobody guesses how long a request will take: NextDispatchR and TotalWorkSum are `<none>`, as upstream says
 * of what a level has not. FinalSeats and AdditionalLatency are 0: nothing is held after the answer.
 *
 * Any thread. All else waits while a table is made.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_DUMP_H
#define C8S_APISERVER_FLOW_FLOW_DUMP_H

#include "base/buf.h"

struct flow_control;

void flow_dump_levels(struct flow_control *fc, struct buf *out);
void flow_dump_queues(struct flow_control *fc, struct buf *out);
void flow_dump_requests(struct flow_control *fc, bool details, struct buf *out);

#endif
