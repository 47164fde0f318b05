/*
 * Workload watch: writers put, delete and change several keys in one transaction; watchers follow the prefix, each
 * session on another member, broken off after a short time and resumed behind the last revision that the session
 * covered, with or without previous pairs, progress notifications, and progress asked for.
 */
#include "tests/robustness/check_watch.h"
#include "tests/robustness/load.h"

#include <inttypes.h>
#include <stdlib.h>

#define PREFIX "rob/watch/"
#define KEYS 8
#define FENCE KEYS /* the key that is written last */

/* A watch that is open or was; filled on the loop's thread. */
struct session {
    struct load *load;
    int member;
    int64_t start_revision;
    bool prev_kv, progress_notify;
    struct grpc_client_call *call; /* loop thread only; NULL when done */
    pthread_mutex_t lock;
    bool done;
    int64_t covered, compacted;
    VEC(struct watch_response) responses;
};

struct watcher {
    uint32_t number;
    int64_t next; /* revision to go on from */
    VEC(struct session *) sessions;
};

struct watching {
    struct load *load;
    int64_t first;
    pthread_mutex_t lock;
    uint32_t clients;
    bool has_writer[MEMBERS_MAX];
    VEC(struct watcher *) watchers;
    VEC(struct watch_write) writes;
};

/* ---- sessions ---- */

static struct watch_event take_event(const Mvccpb__Event *e)
{
    struct watch_event out = {.revision = e->kv->mod_revision};
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)e->kv->key.len, (const char *)e->kv->key.data);
    out.key = strtoull(key + strlen(PREFIX), NULL, 10);
    if (e->type == MVCCPB__EVENT__EVENT_TYPE__PUT) {
        out.value = load_number(&e->kv->value);
        out.create = e->kv->create_revision;
        out.version = e->kv->version;
    }
    if (e->prev_kv) {
        out.has_prev = true;
        out.prev_mod = e->prev_kv->mod_revision;
        out.prev_value = load_number(&e->prev_kv->value);
    }
    return out;
}

static void on_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                       struct str raw)
{
    struct session *s = ctx;
    const Etcdserverpb__WatchResponse *r = (const void *)m;
    struct watch_response out = {.revision = r->header->revision, .fragment = r->fragment};
    (void)call;
    (void)raw;
    struct watch_event *events = mem_alloc((r->n_events + 1) * sizeof *events);
    for (size_t i = 0; i < r->n_events; i++)
        events[i] = take_event(r->events[i]);
    out.events = events;
    out.events_len = r->n_events;
    out.kind = r->created        ? WATCH_CREATED
               : r->n_events > 0 ? WATCH_EVENTS
               : r->canceled     ? WATCH_COMPACTED
                                 : WATCH_PROGRESS;
    pthread_mutex_lock(&s->lock);
    if (r->canceled &&
        r->compact_revision == 0) { /* the server ends the watch: that says nothing */
        mem_free(events);
    } else {
        if (r->canceled)
            s->compacted = out.revision = r->compact_revision;
        if (out.kind == WATCH_EVENTS && !r->fragment)
            s->covered = events[out.events_len - 1].revision;
        if (out.kind == WATCH_PROGRESS && out.revision > s->covered)
            s->covered = out.revision;
        vec_push(&s->responses, out);
    }
    pthread_mutex_unlock(&s->lock);
}

static void on_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    struct session *s = ctx;
    (void)call;
    (void)result;
    s->call = NULL;
    pthread_mutex_lock(&s->lock);
    s->done = true;
    pthread_mutex_unlock(&s->lock);
}

static void open_on_loop(void *arg)
{
    static const struct grpc_client_events events = {.on_message = on_message, .on_done = on_done};
    struct session *s = arg;
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    struct arena arena;
    arena_init(&arena);
    create.key = load_bytes(PREFIX);
    create.range_end = load_prefix_end(&arena, PREFIX);
    create.start_revision = s->start_revision;
    create.prev_kv = s->prev_kv;
    create.progress_notify = s->progress_notify;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    q.create_request = &create;
    s->call = grpc_open(s->load->channels[s->member], "/etcdserverpb.Watch/Watch",
                        &etcdserverpb__watch_response__descriptor, 0, &events, s);
    grpc_client_send(s->call, &q.base);
    arena_free(&arena);
}

static void ask_progress_on_loop(void *arg)
{
    struct session *s = arg;
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    q.progress_request = &progress;
    if (s->call)
        grpc_client_send(s->call, &q.base);
}

static void cancel_on_loop(void *arg)
{
    struct session *s = arg;
    if (s->call)
        grpc_client_cancel(s->call);
}

static bool is_done(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    bool done = s->done;
    pthread_mutex_unlock(&s->lock);
    return done;
}

static int64_t covered(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t revision = s->covered;
    pthread_mutex_unlock(&s->lock);
    return revision;
}

/* Watch for `ms`, or until `target` (0: none) is covered. */
static void watch_for(struct watching *w, struct watcher *me, struct rng *rng, uint64_t ms,
                      int64_t target)
{
    struct load *l = w->load;
    struct session *s = mem_zalloc(sizeof *s);
    *s = (struct session){.load = l,
                          .member = (int)rng_below(rng, (uint64_t)l->members),
                          .start_revision = me->next,
                          .prev_kv = rng_below(rng, 2),
                          .progress_notify = rng_below(rng, 2)};
    pthread_mutex_init(&s->lock, NULL);
    vec_push(&me->sessions, s);
    loop_call(l->loop, open_on_loop, s);
    uint64_t until = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < until && !is_done(s) && (target || !l->stop) &&
           (target == 0 || covered(s) < target)) {
        if (rng_below(rng, 4) == 0)
            loop_call(l->loop, ask_progress_on_loop, s);
        usleep((useconds_t)(20000 + rng_below(rng, 100000)));
    }
    loop_call(l->loop, cancel_on_loop, s);
    while (!is_done(s))
        usleep(1000);
    if (s->covered >= me->next)
        me->next = s->covered + 1;
    if (s->compacted > me->next)
        me->next = s->compacted;
}

/* ---- writers ---- */

static void add_write(struct watching *w, struct watch_write write)
{
    pthread_mutex_lock(&w->lock);
    vec_push(&w->writes, write);
    pthread_mutex_unlock(&w->lock);
}

/* One to three keys, in one transaction. */
static bool write_keys(struct watching *w, struct grpc_channel *ch, struct rng *rng)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    const Etcdserverpb__TxnResponse *r = NULL;
    Etcdserverpb__RequestOp *ops[3];
    struct watch_write writes[3] = {{0}};
    struct arena arena;
    size_t wanted = rng_below(rng, 3) ? 1 : 3;
    uint64_t first = rng_below(rng, KEYS);
    arena_init(&arena);
    for (size_t i = 0; i < wanted; i++) {
        writes[i].key = (first + i) % KEYS;
        char *key = arena_printf(&arena, PREFIX "%" PRIu64, writes[i].key);
        if (rng_below(rng, 4) > 0) {
            writes[i].value = load_value(w->load);
            ops[i] = txn_put(&arena, key, arena_printf(&arena, "%" PRIu64, writes[i].value), 0);
        } else {
            ops[i] = txn_delete(&arena, key);
        }
    }
    q.n_success = wanted;
    q.success = ops;
    bool ok = load_txn(ch, &arena, &q, &r);
    for (size_t i = 0; i < wanted; i++) {
        if (ok && writes[i].value == 0 && r->responses[i]->response_delete_range->deleted == 0)
            continue; /* nothing there: no event */
        writes[i].unknown = !ok;
        writes[i].revision = ok ? r->header->revision : 0;
        add_write(w, writes[i]);
    }
    arena_free(&arena);
    return ok;
}

static int64_t write_fence(struct watching *w)
{
    struct load *l = w->load;
    uint64_t deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    for (int m = 0; clock_mono_ns() < deadline; m = (m + 1) % l->members) {
        struct watch_write write = {.key = FENCE, .value = load_value(l)};
        struct arena arena;
        char value[32];
        arena_init(&arena);
        snprintf(value, sizeof value, "%" PRIu64, write.value);
        bool ok = load_put(l->channels[m], &arena, PREFIX "8", value, 0, &write.revision);
        arena_free(&arena);
        write.unknown = !ok;
        add_write(w, write);
        if (ok)
            return write.revision;
    }
    return 0;
}

/* ---- the workload ---- */

static void *create(struct load *l)
{
    struct watching *w = mem_zalloc(sizeof *w);
    w->load = l;
    pthread_mutex_init(&w->lock, NULL);
    w->first = write_fence(w);
    return w;
}

static void client(void *state, struct client *c)
{
    struct watching *w = state;
    if (!c->user) { /* the first of each member is a writer, and has no watcher */
        pthread_mutex_lock(&w->lock);
        uint32_t number = w->clients++;
        if (!w->has_writer[c->member]) {
            w->has_writer[c->member] = true;
            c->user = w;
        } else {
            struct watcher *me = mem_zalloc(sizeof *me);
            *me = (struct watcher){.number = number, .next = w->first};
            vec_push(&w->watchers, me);
            c->user = me;
        }
        pthread_mutex_unlock(&w->lock);
    }
    if (c->user != w) {
        watch_for(w, c->user, &c->rng, 100 + rng_below(&c->rng, 3000), 0);
        return;
    }
    bool ok = write_keys(w, c->channel, &c->rng);
    *(ok ? &c->answered : &c->unanswered) += 1;
}

/* Everybody goes on to the fence. */
static void catch_up(struct watching *w, int64_t last, struct rng *rng)
{
    uint64_t deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    for (size_t i = 0; i < w->watchers.len; i++)
        while (w->watchers.items[i]->next <= last && clock_mono_ns() < deadline)
            watch_for(w, w->watchers.items[i], rng, 10000, last);
}

/* Compactions that watchers were told of leave holes, unless somebody saw everything. */
static int64_t whole_from(const struct watching *w)
{
    int64_t best = INT64_MAX;
    for (size_t i = 0; i < w->watchers.len; i++) {
        int64_t compacted = w->first;
        for (size_t k = 0; k < w->watchers.items[i]->sessions.len; k++)
            if (w->watchers.items[i]->sessions.items[k]->compacted > compacted)
                compacted = w->watchers.items[i]->sessions.items[k]->compacted;
        if (compacted < best)
            best = compacted;
    }
    return best;
}

static void judge(struct watching *w, int64_t last, struct verdict *v, size_t *sessions_len,
                  size_t *events_len)
{
    VEC(struct watch_session) sessions = {0};
    for (size_t i = 0; i < w->watchers.len; i++) {
        const struct watcher *me = w->watchers.items[i];
        for (size_t k = 0; k < me->sessions.len; k++) {
            struct session *s = me->sessions.items[k];
            vec_push(&sessions, (struct watch_session){.watcher = me->number,
                                                       .start_revision = s->start_revision,
                                                       .wants_prev = s->prev_kv,
                                                       .responses = s->responses.items,
                                                       .responses_len = s->responses.len});
            for (size_t r = 0; r < s->responses.len; r++)
                *events_len += s->responses.items[r].events_len;
        }
    }
    struct watch_history h = {.sessions = sessions.items,
                              .sessions_len = sessions.len,
                              .writes = w->writes.items,
                              .writes_len = w->writes.len,
                              .first_revision = whole_from(w),
                              .last_revision = last};
    h.from_nothing = h.first_revision == w->first;
    check_watch(&h, v);
    *sessions_len = sessions.len;
    vec_free(&sessions);
}

static void free_all(struct watching *w)
{
    for (size_t i = 0; i < w->watchers.len; i++) {
        struct watcher *me = w->watchers.items[i];
        for (size_t k = 0; k < me->sessions.len; k++) {
            struct session *s = me->sessions.items[k];
            for (size_t r = 0; r < s->responses.len; r++)
                mem_free((void *)s->responses.items[r].events);
            vec_free(&s->responses);
            pthread_mutex_destroy(&s->lock);
            mem_free(s);
        }
        vec_free(&me->sessions);
        mem_free(me);
    }
    vec_free(&w->watchers);
    vec_free(&w->writes);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct watching *w = state;
    struct rng rng;
    size_t sessions = 0, events = 0;
    rng_seed(&rng, l->seed);
    int64_t last = write_fence(w);
    if (w->first == 0 || last == 0) {
        verdict_fail(v, "no member takes a write");
    } else {
        catch_up(w, last, &rng);
        judge(w, last, v, &sessions, &events);
    }
    snprintf(figures, figures_max, "%zu writes, %zu watchers, %zu sessions, %zu events",
             w->writes.len, w->watchers.len, sessions, events);
    free_all(w);
}

const struct workload watch_workload = {"watch", 3, 15000, create, client, finish};
