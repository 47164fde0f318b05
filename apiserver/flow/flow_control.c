/*
 * Seats, levels and flows: see flow_control.h.
 */
#include "apiserver/flow/flow_state.h"
#include "api/object.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <stdio.h>
#include <stdlib.h>

#define CATCH_ALL "catch-all"
#define CATCH_ALL_SHARES 5
#define WIDTH_PERCENT 15 /* of a level's nominal limit: what one request may hold, as upstream */

/* ---- levels ---- */

static double level_nominal(void *ctx)
{
    return ((struct flow_level *)ctx)->nominal;
}

static void register_level(struct metrics *m, struct flow_level *l)
{
    char labels[320];
    snprintf(labels, sizeof labels, "priority_level=\"%.*s\"", STR_ARG(l->name));
    metrics_gauge_fn(m, "apiserver_flowcontrol_nominal_limit_seats", labels,
                     "Seats of a priority level.", level_nominal, l);
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
    list_init(&l->inside);
    vec_push(&fc->levels, l);
    if (fc->metrics)
        register_level(fc->metrics, l);
    return l;
}

static unsigned committed_of(const struct flow_level *l)
{
    return l->exempt ? 0 : MAX(l->seated, l->sure);
}

/* Does the request want more than its level is sure of? */
static bool borrows(const struct flow_level *l, unsigned n)
{
    return !l->exempt && l->fc->seats && l->seated + n > l->sure;
}

static bool fits(const struct flow_level *l, unsigned n)
{
    const struct flow_control *fc = l->fc;
    return !borrows(l, n) || (l->seated + n <= l->most &&
                              fc->committed - committed_of(l) + l->seated + n <= fc->seats);
}

/* Has a the smaller part of what is its own? */
static bool needier(const struct flow_level *a, const struct flow_level *b)
{
    return (uint64_t)a->seated * (b->nominal + 1) < (uint64_t)b->seated * (a->nominal + 1);
}

/*
 * What nobody is sure of is saved up for a wide request that waits for it, else those who want one seat each would
 * always be there first. Only levels that are needier than its own take of that meanwhile; while theirs end, its
 * level's end, too, until none is needier.
 */
static bool may_seat(const struct flow_level *l, unsigned n)
{
    const struct flow_level *other = l->fc->saving_for;
    return fits(l, n) && (!other || other == l || !borrows(l, n) || needier(l, other));
}

static void count_seats(struct flow_level *l, int n)
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

/* Under the lock, so that it need not be one operation. */
static void bump(atomic_uint *n, int by)
{
    unsigned now = atomic_load_explicit(n, memory_order_relaxed);
    atomic_store_explicit(n, now + (unsigned)by, memory_order_relaxed);
}

static void observe_wait(struct histogram *h, const struct flow_ticket *t, bool waited)
{
    if (h)
        histogram_observe(h, waited ? (double)(clock_mono_ns() - t->arrived_ns) / 1e9 : 0);
}

static void hold_seats(struct flow_ticket *t, int sign)
{
    int n = sign * (int)t->seats;
    count_seats(t->level, n);
    t->level->executing += (unsigned)sign;
    bump(&t->counts->executing, sign);
    bump(&t->counts->seats, n);
    if (!t->flow)
        return;
    t->flow->seated += (unsigned)n;
    t->flow->executing += (unsigned)sign;
}

static void seat(struct flow_ticket *t)
{
    t->where = FLOW_INSIDE;
    t->seats = flow_seats_wanted(t);
    list_push_back(&t->level->inside, &t->link);
    hold_seats(t, 1);
    t->level->dispatched++;
    count(t->counts->dispatched);
    if (t->flow)
        t->flow->turn = ++t->level->turn;
}

static void unqueue(struct flow_ticket *t)
{
    list_remove(&t->link);
    if (t->level->next == t)
        t->level->next = NULL;
    t->flow->waiting_len--;
    t->level->waiting--;
    bump(&t->counts->waiting, -1);
    atomic_fetch_sub(&t->level->fc->waiting, 1);
}

/* Whose turn it is in a level where somebody waits. */
static struct flow_ticket *next_of(const struct flow_level *l)
{
    if (l->next)
        return l->next;
    struct flow *f = container_of(heap_peek(&l->waiting_flows), struct flow, by_holding);
    return list_first(&f->waiting, struct flow_ticket, link);
}

/* Whoever is next and too wide for the seats that are free stays next; the neediest level that waits so for seats that
 * nobody is sure of. */
static struct flow_level *hold_places(struct flow_control *fc)
{
    struct flow_level *best = NULL;
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        struct flow_ticket *t = l->waiting ? next_of(l) : NULL;
        unsigned n = t ? flow_seats_wanted(t) : 1;
        if (n == 1 || !fits(l, 1) || fits(l, n))
            continue;
        l->next = t;
        if (l->seated + n <= l->most && (!best || needier(l, best)))
            best = l;
    }
    return best;
}

/* The level that waits with the least part of what is its own. */
static struct flow_level *neediest(struct flow_control *fc)
{
    struct flow_level *best = NULL;
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        if (l->waiting && may_seat(l, flow_seats_wanted(next_of(l))) && (!best || needier(l, best)))
            best = l;
    }
    return best;
}

static void called(struct loop_task *task)
{
    struct flow_ticket *t = container_of(task, struct flow_ticket, task);
    t->go(t);
}

static struct flow_level *whose_turn(struct flow_control *fc)
{
    bool anybody = atomic_load(&fc->waiting) > 0;
    fc->saving_for = anybody ? hold_places(fc) : NULL;
    return anybody ? neediest(fc) : NULL;
}

static void dispatch(struct flow_control *fc)
{
    struct flow_level *l;
    while ((l = whose_turn(fc))) {
        struct flow_ticket *t = next_of(l);
        struct flow *f = t->flow;
        unqueue(t);
        seat(t);
        t->started_ns = clock_mono_ns();
        observe_wait(t->counts->waited, t, true);
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
    l->width_max = FLOW_WIDTH_MAX;
    l->nominal = shares ? (unsigned)((fc->seats * mine + shares - 1) / shares) : 0;
    l->sure = l->most = l->nominal;
    l->queue_max = l->flow_queue_max = 0;
    if (!limited)
        return;
    l->sure = l->nominal - MIN(percent_of(l->nominal, limited->lendable_percent), l->nominal);
    l->most = limited->has_borrowing_limit_percent
                  ? l->nominal + percent_of(l->nominal, limited->borrowing_limit_percent)
                  : UINT32_MAX;
    l->width_max = (unsigned)(((uint64_t)l->nominal * WIDTH_PERCENT + 99) / 100);
    const Flowcontrol__V1__LimitResponse *r = limited->limit_response;
    if (r && r->queuing && cstr_eq(r->type, "Queue")) {
        uint64_t length = (uint64_t)MAX(r->queuing->queue_length_limit, 0);
        l->queue_max = (unsigned)MIN(length * (uint64_t)MAX(r->queuing->queues, 0), UINT32_MAX);
        l->flow_queue_max =
            (unsigned)MIN(length * (uint64_t)MAX(r->queuing->hand_size, 0), UINT32_MAX);
        l->width_max = MIN(l->width_max, l->nominal / (unsigned)MAX(r->queuing->hand_size, 1));
    }
}

/* No request may want more than its level can come to hold, else it would wait for ever. */
static void limit_widths(struct flow_control *fc)
{
    unsigned sure = 0;
    for (size_t i = 0; i < fc->levels.len; i++)
        sure += fc->levels.items[i]->exempt ? 0 : fc->levels.items[i]->sure;
    unsigned lent = fc->seats - MIN(sure, fc->seats);
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        if (!l->exempt && fc->seats)
            l->width_max = MIN(l->width_max, MIN(l->most, l->sure + lent));
        l->width_max = MAX(MIN(l->width_max, FLOW_WIDTH_MAX), 1);
    }
}

/* Who waits in a level that is no more still gets his turn. */
static void retire(struct flow_level *l)
{
    l->uid[0] = 0;
    l->nominal = l->queue_max = l->flow_queue_max = 0;
    l->sure = l->waiting > 0;
    l->most = UINT32_MAX;
    l->width_max = 1;
}

static struct counter *rejections(struct flow_control *fc, const char *labels, const char *reason)
{
    char all[700];
    snprintf(all, sizeof all, "%s,reason=\"%s\"", labels, reason);
    return metrics_counter(fc->metrics, "apiserver_flowcontrol_rejected_requests_total", all,
                           "Requests refused, and why.");
}

static struct histogram *waits(struct flow_control *fc, const char *labels, bool execute)
{
    static const double bounds[] = {0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30};
    char all[700];
    snprintf(all, sizeof all, "%s,execute=\"%s\"", labels, execute ? "true" : "false");
    return metrics_histogram(fc->metrics, "apiserver_flowcontrol_request_wait_duration_seconds",
                             all, "How long requests waited for a seat, and whether they got one.",
                             bounds, ARRAY_LEN(bounds));
}

static double counts_executing(void *ctx)
{
    return ((struct flow_counts *)ctx)->executing;
}

static double counts_seats(void *ctx)
{
    return ((struct flow_counts *)ctx)->seats;
}

static double counts_waiting(void *ctx)
{
    return ((struct flow_counts *)ctx)->waiting;
}

static void register_gauges(struct metrics *m, const char *labels, struct flow_counts *c)
{
    static const struct {
        const char *name, *help;
        double (*fn)(void *ctx);
    } gauges[] = {
        {"apiserver_flowcontrol_current_executing_requests", "Requests that have their seats.",
         counts_executing},
        {"apiserver_flowcontrol_current_executing_seats", "Seats that are taken.", counts_seats},
        {"apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.",
         counts_waiting}};
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
        metrics_gauge_fn(m, gauges[i].name, labels, gauges[i].help, gauges[i].fn, c);
}

/* What may be counted of it as the level is now; what there is once is there for good. */
static void register_counts(struct flow_control *fc, struct flow_counts *c)
{
    char labels[640];
    if (!fc->metrics || !c->schema.n)
        return;
    snprintf(labels, sizeof labels, "flow_schema=\"%.*s\",priority_level=\"%.*s\"",
             STR_ARG(c->schema), STR_ARG(c->level->name));
    if (!c->dispatched)
        register_gauges(fc->metrics, labels, c);
    c->dispatched = metrics_counter(fc->metrics, "apiserver_flowcontrol_dispatched_requests_total",
                                    labels, "Requests that got a seat.");
    if (c->level->exempt)
        return;
    c->queue_full = rejections(fc, labels, "queue-full");
    c->no_queue = rejections(fc, labels, "concurrency-limit");
    c->timed_out = rejections(fc, labels, "time-out");
    c->cancelled = rejections(fc, labels, "cancelled");
    if (!c->level->queue_max)
        return;
    c->waited = waits(fc, labels, true);
    c->waited_in_vain = waits(fc, labels, false);
}

static struct flow_counts *counts_of(struct flow_control *fc, struct flow_level *l,
                                     struct str schema)
{
    struct flow_counts *c = fc->counts;
    while (c && (c->level != l || !str_eq(c->schema, schema)))
        c = c->following;
    if (!c) {
        c = mem_zalloc(sizeof *c);
        c->schema = str_make(mem_dup(schema.p, schema.n), schema.n);
        c->level = l;
        c->following = fc->counts;
        fc->counts = c;
    }
    register_counts(fc, c);
    return c;
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
    struct flow_level *last = fc->fallback->level;
    if (!caught)
        last->nominal = last->sure =
            (unsigned)((uint64_t)fc->seats * CATCH_ALL_SHARES / (shares + CATCH_ALL_SHARES));
    limit_widths(fc);
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
        struct flow_schema *s = &fc->schemas[fc->schemas_len];
        const char *name = all[i]->spec->priority_level_configuration->name;
        struct flow_level *level = level_of(fc, str_from(name), false);
        if (!level || !level->uid[0])
            continue;
        s->object = all[i];
        s->counts = counts_of(fc, level, str_from(all[i]->metadata->name));
        copy_uid(s->uid, all[i]->metadata->uid);
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
    fc->fallback = counts_of(fc, level_of(fc, STR(CATCH_ALL), true), STR(""));
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
    while (fc->counts) {
        struct flow_counts *c = fc->counts;
        fc->counts = c->following;
        mem_free((void *)c->schema.p);
        mem_free(c);
    }
    vec_free(&fc->levels);
    buf_free(&fc->key);
    pthread_mutex_destroy(&fc->lock);
    mem_free(fc);
}

/* ---- a request ---- */

/* NULL: none matches. */
static const struct flow_schema *schema_for(struct flow_control *fc, struct flow_ticket *t,
                                            const struct authz_attributes *at)
{
    const struct flow_schema *s = NULL;
    for (size_t i = 0; i < fc->schemas_len && !s; i++)
        if (flow_schema_matches(fc->schemas[i].object, at))
            s = &fc->schemas[i];
    t->counts = s ? s->counts : fc->fallback;
    t->level = t->counts->level;
    memcpy(t->schema_uid, s ? s->uid : "", s ? FLOW_UID_MAX : 1);
    memcpy(t->level_uid, s ? t->level->uid : "", s ? FLOW_UID_MAX : 1);
    return s;
}

static struct str flow_key(struct flow_control *fc, const struct flow_schema *s,
                           const struct authz_attributes *at)
{
    buf_clear(&fc->key);
    if (s)
        buf_append_cstr(&fc->key, s->object->metadata->name);
    buf_append_char(&fc->key, 0);
    if (s)
        flow_distinguisher(s->object, at, &fc->key);
    else
        buf_append_cstr(&fc->key, at->user->name);
    return buf_str(&fc->key);
}

static enum flow_answer take_place(struct flow_ticket *t)
{
    struct flow_level *l = t->level;
    struct flow *f = t->flow;
    if (l->waiting == 0 && may_seat(l, flow_seats_wanted(t))) {
        seat(t);
        if (l->queue_max)
            observe_wait(t->counts->waited, t, false);
        return FLOW_SEATED;
    }
    if (l->waiting >= l->queue_max || f->waiting_len >= l->flow_queue_max) {
        count(l->queue_max ? t->counts->queue_full : t->counts->no_queue);
        l->rejected++;
        return FLOW_REFUSED;
    }
    t->where = FLOW_WAITING;
    list_push_back(&f->waiting, &t->link);
    f->waiting_len++;
    l->waiting++;
    bump(&t->counts->waiting, 1);
    atomic_fetch_add(&l->fc->waiting, 1);
    return FLOW_QUEUED;
}

enum flow_answer flow_enter(struct flow_control *fc, struct flow_ticket *t,
                            const struct authz_attributes *at, struct loop *loop)
{
    pthread_mutex_lock(&fc->lock);
    const struct flow_schema *s = schema_for(fc, t, at);
    enum flow_answer answer = FLOW_SEATED;
    t->loop = loop;
    t->flow = NULL;
    t->started_ns = t->arrived_ns;
    if (t->level->exempt || fc->seats == 0) {
        seat(t);
    } else {
        struct flow *f = t->flow = flow_of(t->level, flow_key(fc, s, at));
        answer = take_place(t);
        flow_settle(f);
        if (answer == FLOW_QUEUED && t->width > 1)
            dispatch(fc); /* its place is held from now on */
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
    list_remove(&t->link);
    hold_seats(t, -1);
    if (t->flow)
        flow_settle(t->flow);
    dispatch(fc);
    pthread_mutex_unlock(&fc->lock);
}

bool flow_cancel(struct flow_control *fc, struct flow_ticket *t, enum flow_cancel_reason why)
{
    pthread_mutex_lock(&fc->lock);
    bool waits = t->where == FLOW_WAITING;
    if (waits) {
        struct flow_level *l = t->level;
        bool late = why == FLOW_TIMED_OUT;
        t->where = FLOW_OUTSIDE;
        *(late ? &l->timed_out : &l->cancelled) += 1;
        count(late ? t->counts->timed_out : t->counts->cancelled);
        observe_wait(t->counts->waited_in_vain, t, true);
        unqueue(t);
        flow_settle(t->flow);
        dispatch(fc); /* a wide one kept others waiting */
    }
    pthread_mutex_unlock(&fc->lock);
    return waits;
}

bool flow_control_pressed(struct flow_control *fc)
{
    return atomic_load(&fc->waiting) > 0;
}
