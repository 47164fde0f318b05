/*
 * Seats, levels and flows: see flow_control.h.
 */
#include "apiserver/flow/flow_control.h"
#include "api/object.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/vec.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CATCH_ALL "catch-all"
#define CATCH_ALL_SHARES 5

/* Requests of one FlowSchema with one distinguisher, while it has any. */
struct flow {
    struct flow_level *level;
    struct str key; /* with the flow */
    unsigned seated, waiting_len;
    struct list waiting; /* struct flow_ticket.link */
    struct heap_item
        by_holding; /* level->waiting_flows: seats held, then who was served longest ago */
    uint32_t turn;
};

/* Kept until the end: its metrics are. */
struct flow_level {
    struct flow_control *fc;
    struct str name;
    char uid[FLOW_UID_MAX];
    bool exempt;
    /* Atomic is what metrics read without the lock: they have one of their own, which is taken under ours. */
    atomic_uint nominal;                /* seats: the nominal limit */
    unsigned sure, most;                /* seats: never lent, at most */
    unsigned queue_max, flow_queue_max; /* requests that may wait; 0: none */
    atomic_uint seated, waiting;
    uint32_t turn;
    struct map flows; /* "schema", NUL, "distinguisher" → struct flow */
    struct heap waiting_flows;
};

struct schema {
    const Flowcontrol__V1__FlowSchema *object; /* in flow_control.arena */
    char uid[FLOW_UID_MAX];
    struct flow_level *level;
    struct counter *dispatched, *queue_full, *no_queue, *timed_out, *cancelled; /* or NULL */
};

struct flow_control {
    pthread_mutex_t lock; /* guards all below */
    unsigned seats;
    struct metrics *metrics;
    struct arena arena; /* of the schemas */
    struct schema *schemas;
    size_t schemas_len;
    VEC(struct flow_level *) levels;
    struct flow_level *fallback; /* while no schema matches */
    unsigned committed;          /* over all limited levels: max(seated, sure) */
    atomic_uint waiting;
    struct buf key; /* the flow that is looked for */
};

/* ---- levels ---- */

static double level_nominal(void *ctx)
{
    return ((struct flow_level *)ctx)->nominal;
}

static double level_seated(void *ctx)
{
    return ((struct flow_level *)ctx)->seated;
}

static double level_waiting(void *ctx)
{
    return ((struct flow_level *)ctx)->waiting;
}

static void register_level(struct metrics *m, struct flow_level *l)
{
    static const struct {
        const char *name, *help;
        double (*fn)(void *ctx);
    } gauges[] = {
        {"apiserver_flowcontrol_nominal_limit_seats", "Seats of a priority level.", level_nominal},
        {"apiserver_flowcontrol_current_executing_seats", "Seats that are taken.", level_seated},
        {"apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.",
         level_waiting}};
    char labels[320];
    snprintf(labels, sizeof labels, "priority_level=\"%.*s\"", STR_ARG(l->name));
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
        metrics_gauge_fn(m, gauges[i].name, labels, gauges[i].help, gauges[i].fn, l);
}

static struct flow_level *level_of(struct flow_control *fc, struct str name, bool make)
{
    for (size_t i = 0; i < fc->levels.len; i++)
        if (str_eq(fc->levels.items[i]->name, name))
            return fc->levels.items[i];
    if (!make)
        return NULL;
    struct flow_level *l = mem_zalloc(sizeof *l);
    l->fc = fc;
    l->name = str_make(mem_dup(name.p, name.n), name.n);
    map_init(&l->flows);
    heap_init(&l->waiting_flows);
    vec_push(&fc->levels, l);
    if (fc->metrics)
        register_level(fc->metrics, l);
    return l;
}

static unsigned committed_of(const struct flow_level *l)
{
    return l->exempt ? 0 : MAX(l->seated, l->sure);
}

static bool may_seat(const struct flow_level *l)
{
    const struct flow_control *fc = l->fc;
    return l->exempt || fc->seats == 0 || l->seated < l->sure ||
           (l->seated < l->most && fc->committed < fc->seats);
}

static void count_seat(struct flow_level *l, int n)
{
    l->fc->committed -= committed_of(l);
    l->seated += (unsigned)n;
    l->fc->committed += committed_of(l);
}

/* ---- flows ---- */

static struct flow *flow_of(struct flow_level *l, struct str key)
{
    struct flow *f = map_get(&l->flows, key);
    if (f)
        return f;
    f = mem_zalloc(sizeof *f);
    f->level = l;
    f->key = str_make(mem_dup(key.p, key.n), key.n);
    list_init(&f->waiting);
    map_put(&l->flows, key, f);
    return f;
}

static void flow_settle(struct flow *f)
{
    struct flow_level *l = f->level;
    if (f->waiting_len)
        heap_rekey(&l->waiting_flows, &f->by_holding, (uint64_t)f->seated << 32 | f->turn);
    else
        heap_remove(&l->waiting_flows, &f->by_holding);
    if (f->waiting_len || f->seated)
        return;
    map_remove(&l->flows, f->key);
    mem_free((void *)f->key.p);
    mem_free(f);
}

static void count(struct counter *c)
{
    if (c)
        counter_add(c, 1);
}

static void seat(struct flow_ticket *t)
{
    struct flow *f = t->flow;
    t->where = FLOW_INSIDE;
    count_seat(t->level, 1);
    count(t->dispatched);
    if (!f)
        return;
    f->seated++;
    f->turn = ++t->level->turn;
}

static void unqueue(struct flow_ticket *t)
{
    list_remove(&t->link);
    t->flow->waiting_len--;
    t->level->waiting--;
    atomic_fetch_sub(&t->level->fc->waiting, 1);
}

/* The level that waits with the least part of what is its own. */
static struct flow_level *neediest(struct flow_control *fc)
{
    struct flow_level *best = NULL;
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        if (l->waiting && may_seat(l) &&
            (!best ||
             (uint64_t)l->seated * (best->nominal + 1) < (uint64_t)best->seated * (l->nominal + 1)))
            best = l;
    }
    return best;
}

static void called(struct loop_task *task)
{
    struct flow_ticket *t = container_of(task, struct flow_ticket, task);
    t->go(t);
}

static void dispatch(struct flow_control *fc)
{
    struct flow_level *l;
    while (atomic_load(&fc->waiting) && (l = neediest(fc))) {
        struct flow *f = container_of(heap_peek(&l->waiting_flows), struct flow, by_holding);
        struct flow_ticket *t = list_first(&f->waiting, struct flow_ticket, link);
        unqueue(t);
        seat(t);
        flow_settle(f);
        t->task.fn = called;
        loop_post(t->loop, &t->task);
    }
}

/* ---- what holds ---- */

static void copy_uid(char *out, const char *uid)
{
    snprintf(out, FLOW_UID_MAX, "%s", uid ? uid : "");
}

static unsigned percent_of(unsigned n, int32_t percent)
{
    return (unsigned)(((uint64_t)n * (uint64_t)MAX(percent, 0) + 50) / 100);
}

/* What a level asks for; shares of Exempt ones count, too. */
static int32_t shares_of(const Flowcontrol__V1__PriorityLevelConfiguration *c)
{
    if (c->spec->limited)
        return MAX(c->spec->limited->nominal_concurrency_shares, 0);
    return c->spec->exempt ? MAX(c->spec->exempt->nominal_concurrency_shares, 0) : 0;
}

static void configure(struct flow_level *l, const Flowcontrol__V1__PriorityLevelConfiguration *c,
                      uint64_t shares)
{
    const Flowcontrol__V1__LimitedPriorityLevelConfiguration *limited = c->spec->limited;
    const struct flow_control *fc = l->fc;
    uint64_t mine = (uint64_t)shares_of(c);
    copy_uid(l->uid, c->metadata->uid);
    l->exempt = !limited;
    l->nominal = shares ? (unsigned)((fc->seats * mine + shares - 1) / shares) : 0;
    l->sure = l->most = l->nominal;
    l->queue_max = l->flow_queue_max = 0;
    if (!limited)
        return;
    l->sure = l->nominal - MIN(percent_of(l->nominal, limited->lendable_percent), l->nominal);
    l->most = limited->has_borrowing_limit_percent
                  ? l->nominal + percent_of(l->nominal, limited->borrowing_limit_percent)
                  : UINT32_MAX;
    const Flowcontrol__V1__LimitResponse *r = limited->limit_response;
    if (r && r->queuing && cstr_eq(r->type, "Queue")) {
        uint64_t length = (uint64_t)MAX(r->queuing->queue_length_limit, 0);
        l->queue_max = (unsigned)MIN(length * (uint64_t)MAX(r->queuing->queues, 0), UINT32_MAX);
        l->flow_queue_max =
            (unsigned)MIN(length * (uint64_t)MAX(r->queuing->hand_size, 0), UINT32_MAX);
    }
}

/* Who waits in a level that is no more still gets his turn. */
static void retire(struct flow_level *l)
{
    l->uid[0] = 0;
    l->nominal = l->queue_max = l->flow_queue_max = 0;
    l->sure = l->waiting > 0;
    l->most = UINT32_MAX;
}

static struct counter *rejections(struct flow_control *fc, const struct schema *s,
                                  const char *reason)
{
    char labels[640];
    snprintf(labels, sizeof labels, "flow_schema=\"%s\",priority_level=\"%.*s\",reason=\"%s\"",
             s->object->metadata->name, STR_ARG(s->level->name), reason);
    return metrics_counter(fc->metrics, "apiserver_flowcontrol_rejected_requests_total", labels,
                           "Requests refused, and why.");
}

static void register_schema(struct flow_control *fc, struct schema *s)
{
    char labels[640];
    if (!fc->metrics)
        return;
    snprintf(labels, sizeof labels, "flow_schema=\"%s\",priority_level=\"%.*s\"",
             s->object->metadata->name, STR_ARG(s->level->name));
    s->dispatched = metrics_counter(fc->metrics, "apiserver_flowcontrol_dispatched_requests_total",
                                    labels, "Requests that got a seat.");
    if (s->level->exempt)
        return;
    s->queue_full = rejections(fc, s, "queue-full");
    s->no_queue = rejections(fc, s, "concurrency-limit");
    s->timed_out = rejections(fc, s, "time-out");
    s->cancelled = rejections(fc, s, "cancelled");
}

static void forget_schemas(struct flow_control *fc)
{
    mem_free(fc->schemas);
    fc->schemas = NULL;
    fc->schemas_len = 0;
    arena_free(&fc->arena);
    arena_init(&fc->arena);
}

static void take_levels(struct flow_control *fc,
                        Flowcontrol__V1__PriorityLevelConfiguration *const *levels, size_t n)
{
    uint64_t shares = 0;
    bool caught = false;
    for (size_t i = 0; i < n; i++) {
        shares += (uint64_t)shares_of(levels[i]);
        caught |= strcmp(levels[i]->metadata->name, CATCH_ALL) == 0;
    }
    for (size_t i = 0; i < fc->levels.len; i++)
        retire(fc->levels.items[i]);
    for (size_t i = 0; i < n; i++)
        configure(level_of(fc, str_from(levels[i]->metadata->name), true), levels[i],
                  caught ? shares : shares + CATCH_ALL_SHARES);
    if (!caught)
        fc->fallback->nominal = fc->fallback->sure =
            (unsigned)((uint64_t)fc->seats * CATCH_ALL_SHARES / (shares + CATCH_ALL_SHARES));
    fc->committed = 0;
    for (size_t i = 0; i < fc->levels.len; i++)
        fc->committed += committed_of(fc->levels.items[i]);
}

/* Schemas of a level that is not there are left out, as published. */
static void take_schemas(struct flow_control *fc, Flowcontrol__V1__FlowSchema *const *schemas,
                         size_t n)
{
    forget_schemas(fc);
    const Flowcontrol__V1__FlowSchema **all =
        arena_array(&fc->arena, const Flowcontrol__V1__FlowSchema *, n + 1);
    for (size_t i = 0; i < n; i++)
        all[i] = api_clone(&fc->arena, schemas[i]);
    qsort(all, n, sizeof *all, flow_schema_order);
    fc->schemas = mem_zalloc((n + 1) * sizeof *fc->schemas);
    for (size_t i = 0; i < n; i++) {
        struct schema *s = &fc->schemas[fc->schemas_len];
        const char *level = all[i]->spec->priority_level_configuration->name;
        s->object = all[i];
        s->level = level_of(fc, str_from(level), false);
        if (!s->level || !s->level->uid[0])
            continue;
        copy_uid(s->uid, all[i]->metadata->uid);
        register_schema(fc, s);
        fc->schemas_len++;
    }
}

void flow_control_update(struct flow_control *fc, Flowcontrol__V1__FlowSchema *const *schemas,
                         size_t schemas_len,
                         Flowcontrol__V1__PriorityLevelConfiguration *const *levels,
                         size_t levels_len)
{
    pthread_mutex_lock(&fc->lock);
    take_levels(fc, levels, levels_len);
    take_schemas(fc, schemas, schemas_len);
    dispatch(fc);
    pthread_mutex_unlock(&fc->lock);
}

struct flow_control *flow_control_new(unsigned seats, struct metrics *m)
{
    struct flow_control *fc = mem_zalloc(sizeof *fc);
    pthread_mutex_init(&fc->lock, NULL);
    fc->seats = seats;
    fc->metrics = m;
    arena_init(&fc->arena);
    buf_init(&fc->key);
    fc->fallback = level_of(fc, STR(CATCH_ALL), true);
    flow_control_update(fc, NULL, 0, NULL, 0);
    return fc;
}

void flow_control_free(struct flow_control *fc)
{
    if (!fc)
        return;
    forget_schemas(fc);
    arena_free(&fc->arena);
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        map_free(&l->flows);
        heap_free(&l->waiting_flows);
        mem_free((void *)l->name.p);
        mem_free(l);
    }
    vec_free(&fc->levels);
    buf_free(&fc->key);
    pthread_mutex_destroy(&fc->lock);
    mem_free(fc);
}

/* ---- a request ---- */

static const struct schema *schema_for(struct flow_control *fc, struct flow_ticket *t,
                                       const struct authz_attributes *at)
{
    static const struct schema none;
    const struct schema *s = NULL;
    for (size_t i = 0; i < fc->schemas_len && !s; i++)
        if (flow_schema_matches(fc->schemas[i].object, at))
            s = &fc->schemas[i];
    t->level = s ? s->level : fc->fallback;
    memcpy(t->schema_uid, s ? s->uid : "", s ? FLOW_UID_MAX : 1);
    memcpy(t->level_uid, s ? t->level->uid : "", s ? FLOW_UID_MAX : 1);
    return s ? s : &none;
}

static struct str flow_key(struct flow_control *fc, const struct schema *s,
                           const struct authz_attributes *at)
{
    buf_clear(&fc->key);
    if (s->object) {
        buf_append_cstr(&fc->key, s->object->metadata->name);
        buf_append_char(&fc->key, 0);
        flow_distinguisher(s->object, at, &fc->key);
    } else {
        buf_append_cstr(&fc->key, at->user->name);
    }
    return buf_str(&fc->key);
}

static enum flow_answer take_place(struct flow_ticket *t, const struct schema *s)
{
    struct flow_level *l = t->level;
    struct flow *f = t->flow;
    if (l->waiting == 0 && may_seat(l)) {
        seat(t);
        return FLOW_SEATED;
    }
    if (l->waiting >= l->queue_max || f->waiting_len >= l->flow_queue_max) {
        count(l->queue_max ? s->queue_full : s->no_queue);
        return FLOW_REFUSED;
    }
    t->where = FLOW_WAITING;
    list_push_back(&f->waiting, &t->link);
    f->waiting_len++;
    l->waiting++;
    atomic_fetch_add(&l->fc->waiting, 1);
    return FLOW_QUEUED;
}

enum flow_answer flow_enter(struct flow_control *fc, struct flow_ticket *t,
                            const struct authz_attributes *at, struct loop *loop)
{
    pthread_mutex_lock(&fc->lock);
    const struct schema *s = schema_for(fc, t, at);
    enum flow_answer answer = FLOW_SEATED;
    t->loop = loop;
    t->flow = NULL;
    t->dispatched = s->dispatched;
    t->timed_out = s->timed_out;
    t->cancelled = s->cancelled;
    if (t->level->exempt || fc->seats == 0) {
        seat(t);
    } else {
        struct flow *f = t->flow = flow_of(t->level, flow_key(fc, s, at));
        answer = take_place(t, s);
        flow_settle(f);
    }
    pthread_mutex_unlock(&fc->lock);
    return answer;
}

void flow_leave(struct flow_control *fc, struct flow_ticket *t)
{
    if (t->where != FLOW_INSIDE)
        return;
    pthread_mutex_lock(&fc->lock);
    t->where = FLOW_OUTSIDE;
    count_seat(t->level, -1);
    if (t->flow) {
        t->flow->seated--;
        flow_settle(t->flow);
    }
    dispatch(fc);
    pthread_mutex_unlock(&fc->lock);
}

bool flow_cancel(struct flow_control *fc, struct flow_ticket *t, enum flow_cancel_reason why)
{
    pthread_mutex_lock(&fc->lock);
    bool waits = t->where == FLOW_WAITING;
    if (waits) {
        t->where = FLOW_OUTSIDE;
        unqueue(t);
        flow_settle(t->flow);
    }
    pthread_mutex_unlock(&fc->lock);
    if (waits)
        count(why == FLOW_TIMED_OUT ? t->timed_out : t->cancelled);
    return waits;
}

bool flow_control_pressed(struct flow_control *fc)
{
    return atomic_load(&fc->waiting) > 0;
}
