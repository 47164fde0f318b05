/*
 * Requests and seats: see flow_filter.h.
 */
#include "apiserver/flow/flow_filter.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/flow/flow_dump.h"
#include "apiserver/flow/flow_width.h"
#include "apiserver/object_cache.h"
#include "apiserver/rest/rest.h"
#include "base/vec.h"

#define LOOK_MS 1000
#define PRESSED_LOOKS 10 /* connections look at their time limits every few seconds */

/* ---- what holds ---- */

static void update(void *ctx)
{
    struct worker *w = ctx;
    VEC(Flowcontrol__V1__FlowSchema *) schemas = {0};
    VEC(Flowcontrol__V1__PriorityLevelConfiguration *) levels = {0};
    const struct cached_object *o;
    for (o = object_cache_first(w->cache, CACHED_FLOW_SCHEMAS, ""); o; o = o->next)
        vec_push(&schemas, o->object);
    for (o = object_cache_first(w->cache, CACHED_PRIORITY_LEVELS, ""); o; o = o->next)
        vec_push(&levels, o->object);
    flow_control_update(w->server->flow, schemas.items, schemas.len, levels.items, levels.len);
    vec_free(&schemas);
    vec_free(&levels);
}

/* Who reads nothing holds what others wait for. */
static void look(struct loop_timer *timer)
{
    struct worker *w = container_of(timer, struct worker, flow_look);
    struct apiserver *s = w->server;
    bool pressed = atomic_exchange(&s->output_short, false) || kv_budget_wanted(s->kv) ||
                   (s->flow && flow_control_pressed(s->flow));
    w->flow_pressed = pressed ? PRESSED_LOOKS : w->flow_pressed - (w->flow_pressed > 0);
    http_server_write_timeout(s->http, w->flow_pressed ? FLOW_STALLED_MS : 0);
    loop_timer_start(timer, LOOK_MS);
}

void flow_filter_follow(struct worker *w)
{
    loop_timer_init(w->loop, &w->flow_look, look);
    loop_timer_start(&w->flow_look, LOOK_MS);
    if (!w->server->flow)
        return;
    object_cache_on_change(w->cache, CACHED_FLOW_SCHEMAS, update, w);
    object_cache_on_change(w->cache, CACHED_PRIORITY_LEVELS, update, w);
    update(w);
}

void flow_filter_unfollow(struct worker *w)
{
    loop_timer_stop(&w->flow_look);
}

/* ---- a request ---- */

static void refuse(struct rest *rq)
{
    rq->x->on_close = NULL;
    if (rq->server->rejected)
        counter_add(rq->server->rejected, 1);
    rest_status(rq, status_too_many_requests(rq->a, 1));
}

/* A watch has begun; how long it lasts is no matter. */
static void go(struct rest *rq)
{
    if (rq->info.verb == VERB_WATCH && !flow_watch_lists(rq))
        flow_leave(rq->server->flow, &rq->flow);
    rq->flow_next(rq);
}

static void seated(struct flow_ticket *t)
{
    struct rest *rq = container_of(t, struct rest, flow);
    loop_timer_stop(&rq->flow_wait);
    rq->x->on_close = NULL;
    if (http_closed(rq->x))
        rest_status(rq, status_too_many_requests(rq->a, 1)); /* to nobody */
    else
        go(rq);
}

static void waited(struct loop_timer *timer)
{
    struct rest *rq = container_of(timer, struct rest, flow_wait);
    if (flow_cancel(rq->server->flow, &rq->flow, FLOW_TIMED_OUT))
        refuse(rq);
}

static void closed(struct http_exchange *x)
{
    struct rest *rq = x->user;
    if (!flow_cancel(rq->server->flow, &rq->flow, FLOW_CANCELLED))
        return;
    loop_timer_stop(&rq->flow_wait);
    rest_status(rq, status_too_many_requests(rq->a, 1)); /* to nobody */
}

static void enter(struct rest *rq, const struct authz_attributes *at)
{
    rq->flow.go = seated;
    rq->flow.width = flow_width(rq);
    rq->flow.arrived_ns = rq->started_ns;
    rq->flow.about = &rq->info;
    rq->flow.user = rq->user;
    switch (flow_enter(rq->server->flow, &rq->flow, at, rq->x->loop)) {
    case FLOW_SEATED:
        go(rq);
        break;
    case FLOW_QUEUED:
        rq->x->on_close = closed;
        loop_timer_init(rq->x->loop, &rq->flow_wait, waited);
        loop_timer_start(&rq->flow_wait, FLOW_WAIT_MS);
        break;
    case FLOW_REFUSED:
        refuse(rq);
        break;
    }
}

/* Count a request of resources; without flow control its kind has a limit. */
static bool count_in(struct rest *rq)
{
    struct apiserver *s = rq->server;
    bool mutating = !(rq->info.verb & (VERB_GET | VERB_LIST));
    atomic_uint *n = mutating ? &s->mutating_inflight : &s->inflight;
    unsigned max = mutating ? s->config.mutating_inflight_max : s->config.inflight_max;
    if (atomic_fetch_add(n, 1) >= max && max && !s->flow) {
        atomic_fetch_sub(n, 1);
        return false;
    }
    rq->counted = true;
    rq->counted_mutating = mutating;
    return true;
}

void flow_filter_enter(struct rest *rq, const struct authz_attributes *at,
                       void (*next)(struct rest *rq))
{
    bool watch = rq->info.verb == VERB_WATCH;
    rq->flow_next = next;
    if (loop_output_bytes(rq->x->loop) > FLOW_OUTPUT_MAX) {
        atomic_store(&rq->server->output_short, true);
        refuse(rq);
    } else if (rq->info.is_resource && !request_is_long_running(&rq->info) && !count_in(rq)) {
        refuse(rq);
    } else if (rq->server->flow && (watch || !request_is_long_running(&rq->info))) {
        enter(rq, at);
    } else {
        next(rq);
    }
}

void flow_filter_begun(struct rest *rq)
{
    if (rq->server->flow)
        flow_leave(rq->server->flow, &rq->flow);
}

bool flow_filter_dump(struct rest *rq)
{
    struct flow_control *fc = rq->server->flow;
    struct str name = str_from(rq->info.path), under = STR("/debug/api_priority_and_fairness/");
    if (!fc || !str_has_prefix(name, under))
        return false;
    struct buf out;
    name = str_slice(name, under.n, name.n);
    buf_init(&out);
    if (str_eq(name, STR("dump_priority_levels"))) {
        flow_dump_levels(fc, &out);
    } else if (str_eq(name, STR("dump_queues"))) {
        flow_dump_queues(fc, &out);
    } else if (str_eq(name, STR("dump_requests"))) {
        const char *details = query_get(rq->a, rq->info.query, "includeRequestDetails");
        flow_dump_requests(fc, details && *details, &out);
    }
    bool known = out.len > 0; /* a table has a header at least */
    if (known)
        rest_respond(rq, 200, "text/plain; charset=utf-8", buf_str(&out));
    buf_free(&out);
    return known;
}

void flow_filter_done(struct rest *rq)
{
    struct apiserver *s = rq->server;
    if (rq->counted)
        atomic_fetch_sub(rq->counted_mutating ? &s->mutating_inflight : &s->inflight, 1);
    if (s->flow)
        flow_leave(s->flow, &rq->flow);
}
