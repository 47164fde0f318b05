/*
 * The lease of this minute's events: see event_lease.h.
 */
#include "apiserver/event_lease.h"

#define FRESH_MS 60000

static void granted(void *ctx, const struct kv_lease_result *result)
{
    struct worker *w = ctx;
    w->event_lease.granting = false;
    if (result->code == 0) {
        w->event_lease.id = result->id;
        w->event_lease.granted_ms = loop_now_ms(w->loop);
    }
    struct list waiting;
    list_init(&waiting);
    list_splice_back(&waiting, &w->event_lease.waiting);
    while (!list_empty(&waiting)) {
        struct rest *rq = list_first(&waiting, struct rest, event_link);
        list_remove(&rq->event_link);
        rq->resume(rq, result->code);
    }
}

void event_lease_ensure(struct rest *rq, void (*ready)(struct rest *rq, int code))
{
    struct worker *w = rq->worker;
    struct event_lease *l = &w->event_lease;
    if (l->id && loop_now_ms(w->loop) - l->granted_ms < FRESH_MS) {
        ready(rq, 0);
        return;
    }
    rq->resume = ready;
    list_push_back(&l->waiting, &rq->event_link);
    if (l->granting)
        return;
    l->granting = true;
    kv_lease_grant(w->server->kv, 0, (int64_t)w->server->config.event_ttl_s, w->loop, granted, w);
}
