/*
 * Hubs and their index: see hub.h.
 */
#include "apiserver/watch/hub.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/networking_v1.pb-c.h"
#include <stdio.h>

#define PROGRESS_INTERVAL_MS 60000
/* A new hub starts where its first watcher wants to, if that is no further back than this. */
#define HUB_BACK_MAX 1000
#define INDEX_KEY_MAX 640

struct bucket {
    struct list watchers;
};

struct hub {
    struct watch_hubs *hubs;
    bool namespaced;             /* the resource itself may go before the hub does */
    const struct resource *pods; /* if it is they; NULL: another */
    struct arena arena;
    struct str prefix; /* "/registry/pods/" */
    struct kv_watch *watch;
    int64_t rev; /* events up to here have been dispatched */
    struct map buckets;
    struct list catching_up;
    size_t watchers;
    bool dispatching; /* freed afterwards when the last watcher leaves meanwhile */
};

struct watch_hubs {
    struct worker *worker;
    struct map hubs; /* storage prefix → struct hub */
    struct loop_timer timer;
};

/* ---- index ---- */

static void index_key(const struct watcher *w, char out[INDEX_KEY_MAX])
{
    const struct selection *s = w->select;
    if (s->exact)
        snprintf(out, INDEX_KEY_MAX, "o:%s/%s", s->ns, s->name);
    else if (s->node && *s->node)
        snprintf(out, INDEX_KEY_MAX, "h:%s", s->node);
    else if (*s->ns)
        snprintf(out, INDEX_KEY_MAX, "n:%s", s->ns);
    else
        snprintf(out, INDEX_KEY_MAX, "*");
}

static void join(struct watcher *w)
{
    char key[INDEX_KEY_MAX];
    index_key(w, key);
    struct bucket *b = map_get(&w->hub->buckets, str_from(key));
    if (!b) {
        b = mem_zalloc(sizeof *b);
        list_init(&b->watchers);
        map_put(&w->hub->buckets, str_from(key), b);
    }
    list_remove(&w->link);
    list_push_back(&b->watchers, &w->link);
    w->bucket = mem_strdup(key);
    w->more_of_seen = false;
    if (w->catch_up) {
        kv_watch_close(w->catch_up);
        w->catch_up = NULL;
    }
}

static void leave_bucket(struct watcher *w)
{
    if (!w->bucket)
        return;
    struct bucket *b = map_get(&w->hub->buckets, str_from(w->bucket));
    if (list_empty(&b->watchers) && !w->hub->dispatching)
        mem_free(map_remove(&w->hub->buckets, str_from(w->bucket)));
    mem_free((char *)w->bucket);
    w->bucket = NULL;
}

/* ---- delivering ---- */

static void deliver(struct watcher *w, struct kv_event *e)
{
    bool again = w->more_of_seen && e->kv.mod_rev == w->seen;
    if (e->kv.mod_rev <= w->seen && !again)
        return;
    const struct selection *s = w->select;
    bool was = e->prev.version > 0 && selection_matches(s, e->prev.value);
    bool is = e->type == KV_EVENT_PUT && selection_matches(s, e->kv.value);
    if (again && (is || was) && !w->first_passed)
        w->first_passed = true;
    else if (is)
        w->events->event(w, was ? WATCH_MODIFIED : WATCH_ADDED, e, e->kv.value, e->kv.mod_rev);
    else if (was)
        w->events->event(w, WATCH_DELETED, e, e->prev.value, e->kv.mod_rev);
}

static void deliver_bucket(struct hub *h, const char *key, struct kv_event *e)
{
    struct bucket *b = map_get(&h->buckets, str_from(key));
    if (!b)
        return;
    list_for_each_safe (it, &b->watchers)
        deliver(list_entry(it, struct watcher, link), e);
}

/* Pods: the nodes before and after; usually one. */
static void deliver_nodes(struct hub *h, struct kv_event *e)
{
    char key[INDEX_KEY_MAX], text[32];
    struct str now = STR_NONE, before = STR_NONE;
    if (e->type == KV_EVENT_PUT)
        now = stored_field(h->pods, e->kv.value, "spec.nodeName", text);
    if (e->prev.version > 0)
        before = stored_field(h->pods, e->prev.value, "spec.nodeName", text);
    if (now.n) {
        snprintf(key, sizeof key, "h:%.*s", STR_ARG(now));
        deliver_bucket(h, key, e);
    }
    if (before.n && !str_eq(before, now)) {
        snprintf(key, sizeof key, "h:%.*s", STR_ARG(before));
        deliver_bucket(h, key, e);
    }
}

static void dispatch(struct hub *h, struct kv_event *e)
{
    char key[INDEX_KEY_MAX];
    struct str rest = str_slice(e->kv.key, h->prefix.n, e->kv.key.n), ns = STR_NONE;
    if (h->namespaced)
        str_split(&rest, '/', &ns);
    deliver_bucket(h, "*", e);
    if (ns.n) {
        snprintf(key, sizeof key, "n:%.*s", STR_ARG(ns));
        deliver_bucket(h, key, e);
    }
    snprintf(key, sizeof key, "o:%.*s/%.*s", STR_ARG(ns), STR_ARG(rest));
    deliver_bucket(h, key, e);
    if (h->pods)
        deliver_nodes(h, e);
}

static void hub_release(struct hub *h);

static void hub_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct hub *h = ctx;
    (void)watch;
    h->dispatching = true;
    for (size_t i = 0; i < batch->events_len; i++)
        dispatch(h, batch->events[i]);
    h->rev = batch->partial ? MAX(h->rev, batch->rev - 1) : MAX(h->rev, batch->rev);
    h->dispatching = false;
    hub_release(h);
}

/* Visit all watchers in the index; they may leave meanwhile. */
static void each_joined(struct hub *h, void (*fn)(struct watcher *w, int64_t arg), int64_t arg)
{
    h->dispatching = true;
    struct map_iter it = {0};
    while (map_next(&h->buckets, &it)) {
        struct bucket *b = it.value;
        list_for_each_safe (l, &b->watchers)
            fn(list_entry(l, struct watcher, link), arg);
    }
    h->dispatching = false;
}

static void tell_progress(struct watcher *w, int64_t rev)
{
    if (rev >= w->seen)
        w->events->progress(w, rev);
}

static void hub_progress(void *ctx, struct kv_watch *watch, int64_t rev)
{
    struct hub *h = ctx;
    (void)watch;
    h->rev = MAX(h->rev, rev);
    each_joined(h, tell_progress, h->rev);
    hub_release(h);
}

static void tell_closed(struct watcher *w, int64_t code)
{
    watcher_stop(w);
    w->events->closed(w, (int)code);
}

static void hub_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct hub *h = ctx;
    (void)watch;
    (void)compact_rev;
    /* Watchers still catching up have store watches of their own, which tell them themselves; but
     * without a hub they have nothing to join. */
    h->dispatching = true;
    list_for_each_safe (it, &h->catching_up)
        tell_closed(list_entry(it, struct watcher, link), code);
    each_joined(h, tell_closed, code);
    hub_release(h);
}

static const struct kv_watch_callbacks hub_callbacks = {
    .events = hub_events, .progress = hub_progress, .closed = hub_closed};

/* Free a hub that nobody needs any more. */
static void hub_release(struct hub *h)
{
    if (h->watchers > 0 || h->dispatching)
        return;
    map_remove(&h->hubs->hubs, h->prefix);
    kv_watch_close(h->watch);
    struct map_iter it = {0};
    while (map_next(&h->buckets, &it))
        mem_free(it.value);
    map_free(&h->buckets);
    arena_free(&h->arena);
    mem_free(h);
}

static struct hub *hub_get(struct watch_hubs *hubs, const struct resource *r, int64_t seen)
{
    char prefix[256];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%s/", r->storage_prefix);
    struct hub *h = map_get(&hubs->hubs, str_make(prefix, n));
    if (h)
        return h;
    h = mem_zalloc(sizeof *h);
    h->hubs = hubs;
    h->namespaced = r->namespaced;
    h->pods = r->stored_as == Core__V1__Pod__SCHEMA ? r : NULL;
    arena_init(&h->arena);
    h->prefix = str_make(arena_dup(&h->arena, prefix, n), n);
    list_init(&h->catching_up);
    map_init(&h->buckets);
    map_put(&hubs->hubs, h->prefix, h);
    struct kv *kv = hubs->worker->server->kv;
    int64_t now = kv_current_revision(kv);
    bool back = seen < now && now - seen <= HUB_BACK_MAX && seen >= kv_compacted_revision(kv);
    struct kv_watch_request rq = {.key = h->prefix,
                                  .end = kv_prefix_end(&h->arena, h->prefix),
                                  .start_rev = back ? seen + 1 : 0,
                                  .prev_kv = true};
    int64_t created;
    h->watch = kv_watch(kv, &rq, hubs->worker->loop, &hub_callbacks, h, &created);
    h->rev = back ? seen : created;
    return h;
}

/* ---- catching up ---- */

static void caught_up_to(struct watcher *w, int64_t rev)
{
    w->seen = MAX(w->seen, rev);
    if (w->seen >= w->hub->rev)
        join(w);
}

static void catch_up_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct watcher *w = ctx;
    bool gone = false;
    (void)watch;
    w->gone = &gone;
    for (size_t i = 0; i < batch->events_len; i++) {
        deliver(w, batch->events[i]);
        if (gone)
            return;
    }
    w->gone = NULL;
    if (!batch->partial)
        caught_up_to(w, batch->rev);
    if (w->catch_up)
        kv_watch_request_progress(w->catch_up);
}

static void catch_up_progress(void *ctx, struct kv_watch *watch, int64_t rev)
{
    struct watcher *w = ctx;
    (void)watch;
    caught_up_to(w, rev);
    if (w->catch_up)
        kv_watch_request_progress(w->catch_up);
}

static void catch_up_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    (void)watch;
    (void)compact_rev;
    tell_closed(ctx, code);
}

static const struct kv_watch_callbacks catch_up_callbacks = {
    .events = catch_up_events, .progress = catch_up_progress, .closed = catch_up_closed};

static void catch_up(struct watcher *w)
{
    struct watch_hubs *hubs = w->hubs;
    struct arena a;
    arena_init(&a);
    struct kv_watch_request rq = {
        .key = w->select->prefix, .start_rev = w->seen + !w->more_of_seen, .prev_kv = true};
    if (!w->select->exact)
        rq.end = kv_prefix_end(&a, w->select->prefix);
    w->catch_up =
        kv_watch(hubs->worker->server->kv, &rq, hubs->worker->loop, &catch_up_callbacks, w, NULL);
    arena_free(&a);
    kv_watch_request_progress(w->catch_up);
}

/* ---- watchers ---- */

/* May one write change several of them? Then one revision is of several events. */
static bool written_together(const struct resource *r)
{
    return r->stored_as == Core__V1__ResourceQuota__SCHEMA ||
           r->stored_as == Networking__V1__IPAddress__SCHEMA;
}

void watcher_start(struct watch_hubs *hubs, struct watcher *w, int64_t seen, bool resumed)
{
    w->hubs = hubs;
    w->seen = seen;
    w->more_of_seen = resumed && written_together(w->select->r) &&
                      seen > kv_compacted_revision(hubs->worker->server->kv);
    w->first_passed = false;
    w->bucket = NULL;
    w->catch_up = NULL;
    w->gone = NULL;
    w->hub = hub_get(hubs, w->select->r, seen);
    w->hub->watchers++;
    list_init(&w->link);
    if (seen >= w->hub->rev && !w->more_of_seen) {
        join(w);
        return;
    }
    list_push_back(&w->hub->catching_up, &w->link);
    catch_up(w);
}

void watcher_stop(struct watcher *w)
{
    struct hub *h = w->hub;
    if (!h)
        return;
    if (w->gone)
        *w->gone = true;
    list_remove(&w->link);
    leave_bucket(w);
    if (w->catch_up)
        kv_watch_close(w->catch_up);
    w->catch_up = NULL;
    w->hub = NULL;
    h->watchers--;
    hub_release(h);
}

int64_t watcher_revision(const struct watcher *w)
{
    return w->hub && w->bucket ? MAX(w->seen, w->hub->rev) : w->seen;
}

static void ask_progress(struct loop_timer *timer)
{
    struct watch_hubs *hubs = container_of(timer, struct watch_hubs, timer);
    struct map_iter it = {0};
    while (map_next(&hubs->hubs, &it))
        kv_watch_request_progress(((struct hub *)it.value)->watch);
    loop_timer_start(timer, PROGRESS_INTERVAL_MS);
}

struct watch_hubs *watch_hubs_new(struct worker *worker)
{
    struct watch_hubs *h = mem_zalloc(sizeof *h);
    h->worker = worker;
    map_init(&h->hubs);
    loop_timer_init(worker->loop, &h->timer, ask_progress);
    loop_timer_start(&h->timer, PROGRESS_INTERVAL_MS);
    return h;
}

void watch_hubs_free(struct watch_hubs *h)
{
    if (!h)
        return;
    loop_timer_stop(&h->timer);
    map_free(&h->hubs);
    mem_free(h);
}

struct each {
    void (*fn)(struct watcher *w);
};

static void each_one(struct watcher *w, int64_t arg)
{
    ((struct each *)(intptr_t)arg)->fn(w);
}

void watch_hubs_each(struct watch_hubs *hubs, void (*fn)(struct watcher *w))
{
    struct each e = {fn};
    struct map_iter it = {0};
    while (map_next(&hubs->hubs, &it)) {
        struct hub *h = it.value;
        h->dispatching = true;
        list_for_each_safe (l, &h->catching_up)
            fn(list_entry(l, struct watcher, link));
        each_joined(h, each_one, (int64_t)(intptr_t)&e);
        hub_release(h);
    }
}

void watch_hubs_end(struct watch_hubs *hubs, const char *storage_prefix,
                    void (*fn)(struct watcher *w))
{
    char prefix[512];
    struct each e = {fn};
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%s/", storage_prefix);
    struct hub *h = map_get(&hubs->hubs, str_make(prefix, n));
    if (!h)
        return;
    h->dispatching = true;
    list_for_each_safe (l, &h->catching_up)
        fn(list_entry(l, struct watcher, link));
    each_joined(h, each_one, (int64_t)(intptr_t)&e);
    hub_release(h);
}
