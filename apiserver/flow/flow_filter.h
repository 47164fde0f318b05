/*
 * The place of Priority and Fairness in a request's way: after it is known who asks, before it is asked whether he may.
 *
 *     authentication ─▶ impersonation ─▶ flow_filter_enter ─▶ authorization ─▶ handler ─▶ flow_filter_done
 *
 * Seats (flow_width.h: how many) are held until the peer has taken the answer, since an answer costs memory until then; a
 * watch holds its own only while it begins, until the objects it asked for have been sent, and connections to pods and nodes hold none. Nobody is served, not even whom no level limits, while answers
 * that wait for their readers hold FLOW_OUTPUT_MAX. While anybody waits for a seat, or for memory for his answer, peers
 * that take nothing of theirs for FLOW_STALLED_MS are sent away.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_FILTER_H
#define C8S_APISERVER_FLOW_FLOW_FILTER_H

#include "apiserver/auth/authz.h"

#define FLOW_WAIT_MS 15000 /* for a seat: a quarter of what a request may take, as published */
#define FLOW_STALLED_MS 5000
#define FLOW_OUTPUT_MAX (128u << 20) /* of one loop; what answers are made of comes on top */

struct rest;
struct worker;

/* Take what FlowSchemas and priority levels say from the worker's cache now, and whenever they change. */
void flow_filter_follow(struct worker *w);
void flow_filter_unfollow(struct worker *w);

/* Call next(rq), now or when there is a seat; or answer 429. */
void flow_filter_enter(struct rest *rq, const struct authz_attributes *at,
                       void (*next)(struct rest *rq));
/* A watch has begun, and sent what there was. */
void flow_filter_begun(struct rest *rq);
/* Answer below /debug/api_priority_and_fairness/; false: the path is none of these, or there is no flow control. */
bool flow_filter_dump(struct rest *rq);
/* The exchange ends. */
void flow_filter_done(struct rest *rq);

#endif
