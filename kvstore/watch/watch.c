/*
 * Ring, shards and delivery of watch events (kvstore/watch/watch.h; structures in state.h).
 */
#include "kvstore/watch/state.h"
#include "base/mem.h"
#include <assert.h>

#define RING_REVS_MAX 65536 /* revisions in the ring, however small */
#define CHUNK_REVS 256      /* revisions taken out of the ring at once */
#define CHUNK_EVENTS 1024
#define RUN_CHUNKS 8 /* chunks delivered before the loop gets its turn */

/* ---- events ---- */

struct kv_event *watch_event_new(const struct watch_hub *h, struct str key,
                                 const struct kv_record *now, const struct kv_record *prev)
{
    size_t bytes = key.n + now->value.n + (prev ? prev->value.n : 0);
    struct kv_event *e = mem_alloc(sizeof *e + bytes);
    char *p = (char *)(e + 1);
    *e = (struct kv_event){.type = now->tombstone ? KV_EVENT_DELETE : KV_EVENT_PUT,
                           .cache_free = h->o.cache_free};
    atomic_init(&e->refs, 1);
    memcpy(p, key.p, key.n);
    struct str own_key = str_make(p, key.n);
    p += key.n;
    e->kv = mvcc_pair(own_key, now);
    if (now->value.n)
        memcpy(p, now->value.p, now->value.n);
    e->kv.value = str_make(p, now->value.n);
    p += now->value.n;
    if (prev) {
        e->prev = mvcc_pair(own_key, prev);
        if (prev->value.n)
            memcpy(p, prev->value.p, prev->value.n);
        e->prev.value = str_make(p, prev->value.n);
    }
    return e;
}

struct kv_event *kv_event_ref(struct kv_event *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void kv_event_unref(struct kv *kv, struct kv_event *e)
{
    (void)kv;
    if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < KV_EVENT_CACHE_SLOTS; i++) {
        void *cached = atomic_load_explicit(&e->cache[i], memory_order_relaxed);
        if (cached && e->cache_free)
            e->cache_free(cached);
    }
    mem_free(e);
}

void *kv_event_cache_set(struct kv_event *e, unsigned slot, void *value)
{
    assert(slot < KV_EVENT_CACHE_SLOTS);
    void *present = NULL;
    if (atomic_compare_exchange_strong(&e->cache[slot], &present, value))
        return value;
    return present;
}

static size_t event_bytes(const struct kv_event *e)
{
    return sizeof *e + e->kv.key.n + e->kv.value.n + e->prev.value.n;
}

void watch_revision_add(struct watch_revision *r, struct kv_event *event)
{
    r->bytes += event_bytes(event);
    if (r->events_len == WATCH_REV_EVENTS_MAX || r->bytes > WATCH_REV_BYTES_MAX) {
        watch_revision_clear(r);
        r->history_only = true;
    }
    if (r->history_only) {
        kv_event_unref(NULL, event);
        return;
    }
    if (r->events_len == r->events_cap) {
        r->events_cap = r->events_cap ? 4 * r->events_cap : 1;
        r->events = mem_realloc_array(r->events, r->events_cap, sizeof *r->events);
    }
    r->events[r->events_len++] = event;
}

void watch_revision_clear(struct watch_revision *r)
{
    for (uint32_t i = 0; i < r->events_len; i++)
        kv_event_unref(NULL, r->events[i]);
    mem_free(r->events);
    r->events = NULL;
    r->events_len = r->events_cap = 0;
    r->bytes = 0;
}

/* ---- ring; hub->lock held ---- */

static struct watch_revision *ring_at(struct watch_hub *h, int64_t rev)
{
    assert(rev >= h->ring_first && rev <= h->ring_last);
    return &h->ring[(h->ring_head + (size_t)(rev - h->ring_first)) % h->ring_cap];
}

/* Take the oldest revision out; what was in it is cleared by the caller, outside the lock. */
static struct watch_revision ring_pop(struct watch_hub *h)
{
    struct watch_revision r = *ring_at(h, h->ring_first);
    h->ring_bytes -= r.bytes + sizeof r;
    h->ring_head = (h->ring_head + 1) % h->ring_cap;
    h->ring_first++;
    return r;
}

static void ring_push(struct watch_hub *h, const struct watch_revision *r)
{
    size_t n = (size_t)(h->ring_last - h->ring_first + 1);
    if (n == h->ring_cap) {
        size_t cap = h->ring_cap ? 2 * h->ring_cap : 64;
        struct watch_revision *ring = mem_alloc(cap * sizeof *ring);
        for (size_t i = 0; i < n; i++)
            ring[i] = *ring_at(h, h->ring_first + (int64_t)i);
        mem_free(h->ring);
        h->ring = ring;
        h->ring_cap = cap;
        h->ring_head = 0;
    }
    assert(r->rev == h->ring_last + 1);
    h->ring_last++;
    *ring_at(h, h->ring_last) = *r;
    h->ring_bytes += r->bytes + sizeof *r;
}

void watch_hub_publish(struct watch_hub *h, struct watch_revision *revs, size_t n)
{
    VEC(struct watch_revision) old = {0};
    if (n == 0)
        return;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < n; i++) {
        while (h->ring_first <= h->ring_last && (h->ring_bytes + revs[i].bytes > h->o.ring_bytes ||
                                                 h->ring_last - h->ring_first >= RING_REVS_MAX))
            vec_push(&old, ring_pop(h));
        ring_push(h, &revs[i]);
        revs[i] = (struct watch_revision){0};
    }
    list_for_each (it, &h->shards)
        shard_post(list_entry(it, struct watch_shard, link));
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < old.len; i++)
        watch_revision_clear(&old.items[i]);
    vec_free(&old);
}

void watch_hub_reset(struct watch_hub *h, int64_t rev)
{
    pthread_mutex_lock(&h->lock);
    while (h->ring_first <= h->ring_last) {
        struct watch_revision r = ring_pop(h);
        watch_revision_clear(&r);
    }
    h->ring_first = rev + 1;
    h->ring_last = rev;
    list_for_each (it, &h->shards)
        shard_post(list_entry(it, struct watch_shard, link));
    pthread_mutex_unlock(&h->lock);
}

/* ---- references ---- */

static void hub_unref(struct watch_hub *h)
{
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    while (h->ring_first <= h->ring_last) {
        struct watch_revision r = ring_pop(h);
        watch_revision_clear(&r);
    }
    mem_free(h->ring);
    pthread_cond_destroy(&h->history_wake);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

void shard_unref(struct watch_shard *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    watch_index_free(&s->index);
    vec_free(&s->touched);
    hub_unref(s->hub);
    mem_free(s);
}

void watch_ref(struct kv_watch *w)
{
    atomic_fetch_add(&w->refs, 1);
}

void watch_unref(struct kv_watch *w)
{
    if (atomic_fetch_sub(&w->refs, 1) != 1)
        return;
    assert(w->pending.len == 0);
    vec_free(&w->pending);
    shard_unref(w->shard);
    mem_free(w->bytes);
    mem_free(w);
}

/* ---- delivery; on the loop's thread ---- */

static void shard_run(struct loop_task *task);

void shard_post(struct watch_shard *s)
{
    if (atomic_exchange(&s->posted, true))
        return;
    atomic_fetch_add(&s->refs, 1);
    s->task.fn = shard_run;
    loop_post(s->loop, &s->task);
}

void watch_enqueue(struct kv_watch *w)
{
    if (list_empty(&w->work))
        list_push_back(&w->shard->work, &w->work);
    shard_post(w->shard);
}

static void leave_live(struct kv_watch *w)
{
    if (w->state != WATCH_LIVE)
        return;
    watch_index_remove(&w->shard->index, w);
    if (w->next.rev <= w->shard->pos)
        w->next = (struct kv_revid){w->shard->pos + 1, 0};
    w->state = WATCH_CATCH_UP;
    atomic_fetch_add(&w->shard->hub->slow, 1);
}

static void enter_live(struct kv_watch *w)
{
    assert(w->state == WATCH_CATCH_UP && w->next.rev > w->shard->pos && w->next.sub == 0);
    watch_index_add(&w->shard->index, w);
    w->state = WATCH_LIVE;
    atomic_fetch_sub(&w->shard->hub->slow, 1);
}

void watch_end(struct kv_watch *w, int code, int64_t compact_rev)
{
    leave_live(w);
    if (w->state == WATCH_ENDED)
        return;
    w->state = WATCH_ENDED;
    atomic_fetch_sub(&w->shard->hub->slow, 1);
    w->end_code = code;
    w->end_compact_rev = compact_rev;
    watch_enqueue(w);
}

bool watch_wants(const struct kv_watch *w, const struct kv_event *e)
{
    if (e->kv.mod_rev < w->next.rev)
        return false;
    return e->type == KV_EVENT_PUT ? !w->request.no_put : !w->request.no_delete;
}

static void pending_clear(struct kv_watch *w)
{
    for (size_t i = 0; i < w->pending.len; i++)
        kv_event_unref(NULL, w->pending.items[i]);
    vec_clear(&w->pending);
    if (w->pending.cap > 256)
        vec_free(&w->pending);
}

bool watch_deliver(struct kv_watch *w, int64_t rev, bool partial)
{
    watch_ref(w);
    bool ends =
        w->partial && !partial; /* said that more comes: now it is known that nothing does */
    if ((w->pending.len || ends) && !w->user_closed) {
        w->partial = partial;
        struct kv_watch_batch batch = {.events = w->pending.items,
                                       .events_len = w->pending.len,
                                       .rev = rev,
                                       .partial = partial};
        w->delivered_since_progress = true;
        w->callbacks.events(w->ctx, w, &batch);
    }
    pending_clear(w);
    bool open = !w->user_closed;
    watch_unref(w);
    return open;
}

static void touch(void *ctx, struct kv_watch *w)
{
    struct kv_event *e = ctx;
    if (!watch_wants(w, e))
        return;
    if (w->pending.len == 0) {
        watch_ref(w);
        vec_push(&w->shard->touched, w);
    }
    vec_push(&w->pending, kv_event_ref(e));
}

/* Copy references of events in (from, …] out of the ring: at most a chunk. Returns the last revision
 * taken; stops before a revision that is only in history (*big). */
static int64_t ring_take(struct watch_hub *h, int64_t from, int64_t upto, event_vec *out, bool *big)
{
    int64_t last = from;
    *big = false;
    for (int n = 0; n < CHUNK_REVS && last < upto && out->len < CHUNK_EVENTS; n++) {
        struct watch_revision *r = ring_at(h, last + 1);
        if (r->history_only) {
            *big = true;
            break;
        }
        for (uint32_t i = 0; i < r->events_len; i++)
            vec_push(out, kv_event_ref(r->events[i]));
        last++;
    }
    return last;
}

static void events_release(event_vec *v)
{
    for (size_t i = 0; i < v->len; i++)
        kv_event_unref(NULL, v->items[i]);
    vec_free(v);
}

/* All live watchers go on by themselves: the ring does not have what comes next for them. */
static void all_catch_up(struct watch_shard *s)
{
    list_for_each (it, &s->watches) {
        struct kv_watch *w = list_entry(it, struct kv_watch, link);
        if (w->state == WATCH_LIVE && !w->paused) {
            leave_live(w);
            watch_enqueue(w);
        }
    }
}

/* Deliver the next chunk to the live watchers. False when there is nothing more. */
static bool shard_step(struct watch_shard *s)
{
    struct watch_hub *h = s->hub;
    event_vec events = {0};
    bool big = false, overtaken;
    pthread_mutex_lock(&h->lock);
    int64_t ring_last = h->ring_last, last = s->pos;
    overtaken = s->pos + 1 < h->ring_first;
    if (!overtaken)
        last = ring_take(h, s->pos, ring_last, &events, &big);
    pthread_mutex_unlock(&h->lock);
    if (overtaken || (big && last == s->pos)) {
        all_catch_up(s);
        s->pos = overtaken ? ring_last : s->pos + 1;
        return s->pos < ring_last;
    }
    for (size_t i = 0; i < events.len; i++)
        watch_index_match(&s->index, events.items[i]->kv.key, touch, events.items[i]);
    s->pos = last;
    for (size_t i = 0; i < s->touched.len; i++) {
        watch_deliver(s->touched.items[i], last, false);
        watch_unref(s->touched.items[i]);
    }
    vec_clear(&s->touched);
    events_release(&events);
    return last < ring_last;
}

/* One watcher behind the shard's position: from the ring, or else from history. */
static void watch_catch_up(struct kv_watch *w)
{
    struct watch_shard *s = w->shard;
    struct watch_hub *h = s->hub;
    event_vec events = {0};
    bool big = false, behind;
    if (w->next.rev > s->pos && w->next.sub == 0) {
        enter_live(w);
        return;
    }
    pthread_mutex_lock(&h->lock);
    behind = w->next.rev < h->ring_first || w->next.sub > 0;
    int64_t from = w->next.rev - 1, last = from;
    if (!behind)
        last = ring_take(h, from, MIN(s->pos, h->ring_last), &events, &big);
    pthread_mutex_unlock(&h->lock);
    if (behind || (big && last == from)) {
        events_release(&events);
        watch_history_request(w);
        return;
    }
    for (size_t i = 0; i < events.len; i++)
        if (key_range_has(&w->range, events.items[i]->kv.key) && watch_wants(w, events.items[i]))
            vec_push(&w->pending, kv_event_ref(events.items[i]));
    events_release(&events);
    w->next = (struct kv_revid){last + 1, 0};
    watch_ref(w);
    if (watch_deliver(w, last, false) && w->state == WATCH_CATCH_UP && !w->paused)
        watch_enqueue(w);
    watch_unref(w);
}

static void watch_attend(struct kv_watch *w)
{
    if (w->state == WATCH_ENDED) {
        int code = w->end_code;
        w->end_code = 0;
        if (code && !w->user_closed)
            w->callbacks.closed(w->ctx, w, code, w->end_compact_rev);
    } else if (w->state == WATCH_CATCH_UP && !w->paused) {
        watch_catch_up(w);
    }
}

/*
 * Progress notices for watchers that have everything. One that asked for a revision this member has not reached is
 * told nothing before it has: after a resume on a member that lags, a notice of an older revision would
 * go back in time.
 */
static void shard_progress(struct watch_shard *s, bool due)
{
    watch_vec tell = {0};
    list_for_each (it, &s->watches) {
        struct kv_watch *w = list_entry(it, struct kv_watch, link);
        bool periodic = due && w->request.progress && !w->delivered_since_progress;
        if (due)
            w->delivered_since_progress = false;
        if (w->state != WATCH_LIVE || w->paused || !(periodic || w->progress_wanted) ||
            w->request.start_rev > s->pos + 1)
            continue;
        w->progress_wanted = false;
        watch_ref(w);
        vec_push(&tell, w);
    }
    for (size_t i = 0; i < tell.len; i++) {
        struct kv_watch *w = tell.items[i];
        if (!w->user_closed && w->state == WATCH_LIVE && w->callbacks.progress)
            w->callbacks.progress(w->ctx, w, s->pos);
        watch_unref(w);
    }
    vec_free(&tell);
}

static void shard_run(struct loop_task *task)
{
    struct watch_shard *s = container_of(task, struct watch_shard, task);
    struct watch_hub *h = s->hub;
    atomic_store(&s->posted, false);
    if (atomic_load(&h->closing))
        list_for_each (it, &s->watches)
            watch_end(list_entry(it, struct kv_watch, link), ERR_CANCELLED, 0);
    bool more = true;
    for (int i = 0; i < RUN_CHUNKS && more; i++)
        more = shard_step(s);
    struct list work;
    list_init(&work);
    list_splice_back(&work, &s->work);
    while (!list_empty(&work)) {
        struct kv_watch *w = list_first(&work, struct kv_watch, work);
        list_remove(&w->work);
        watch_attend(w);
    }
    if (!more)
        shard_progress(s, atomic_exchange(&s->progress_due, false));
    if (more || !list_empty(&s->work))
        shard_post(s);
    shard_unref(s);
}

/* ---- the interface ---- */

static struct watch_shard *shard_of(struct watch_hub *h, struct loop *loop)
{
    struct watch_shard *s = NULL;
    pthread_mutex_lock(&h->lock);
    list_for_each (it, &h->shards)
        if (list_entry(it, struct watch_shard, link)->loop == loop)
            s = list_entry(it, struct watch_shard, link);
    if (!s) {
        s = mem_zalloc(sizeof *s);
        atomic_init(&s->refs, 1);
        s->hub = h;
        atomic_fetch_add(&h->refs, 1);
        s->loop = loop;
        s->pos = h->ring_last;
        watch_index_init(&s->index);
        list_init(&s->watches);
        list_init(&s->work);
        list_push_back(&h->shards, &s->link);
    }
    pthread_mutex_unlock(&h->lock);
    return s;
}

/* Is [key, end) exactly the keys that begin with `key`? */
static bool is_prefix_range(const struct key_range *r)
{
    struct arena a;
    arena_init(&a);
    struct str end = kv_prefix_end(&a, r->from);
    bool prefix = !r->open && str_eq(end, r->end);
    arena_free(&a);
    return prefix;
}

struct kv_watch *watch_hub_watch(struct watch_hub *h, const struct kv_watch_request *request,
                                 struct loop *loop, const struct kv_watch_callbacks *callbacks,
                                 void *ctx, int64_t current_rev, int64_t compact_rev)
{
    struct kv_watch *w = mem_zalloc(sizeof *w);
    struct watch_shard *s = shard_of(h, loop);
    atomic_init(&w->refs, 1);
    w->shard = s;
    atomic_fetch_add(&s->refs, 1);
    w->bytes = mem_alloc(request->key.n + request->end.n + 1);
    if (request->key.n)
        memcpy(w->bytes, request->key.p, request->key.n);
    if (request->end.n)
        memcpy(w->bytes + request->key.n, request->end.p, request->end.n);
    w->request = *request;
    w->request.key = str_make(w->bytes, request->key.n);
    w->request.end = str_make(w->bytes + request->key.n, request->end.n);
    w->range = key_range_make(w->request.key, w->request.end);
    w->index_kind = w->range.single              ? WATCH_EXACT
                    : is_prefix_range(&w->range) ? WATCH_PREFIX
                                                 : WATCH_RANGE;
    w->callbacks = *callbacks;
    w->ctx = ctx;
    w->next = (struct kv_revid){request->start_rev > 0 ? request->start_rev : current_rev + 1, 0};
    w->state = WATCH_CATCH_UP;
    list_init(&w->link);
    list_init(&w->work);
    list_push_back(&s->watches, &w->link);
    atomic_fetch_add(&h->watchers, 1);
    atomic_fetch_add(&h->slow, 1);
    if (w->next.rev < compact_rev)
        watch_end(w, ERR_COMPACTED, compact_rev);
    else if (w->next.rev > s->pos)
        enter_live(w);
    if (w->state == WATCH_CATCH_UP || atomic_load(&h->closing))
        watch_enqueue(w);
    return w;
}

void kv_watch_pause(struct kv_watch *w)
{
    if (w->paused || w->state == WATCH_ENDED)
        return;
    w->paused = true;
    leave_live(w);
}

void kv_watch_resume(struct kv_watch *w)
{
    if (!w->paused)
        return;
    w->paused = false;
    if (w->state == WATCH_CATCH_UP)
        watch_enqueue(w);
}

void kv_watch_request_progress(struct kv_watch *w)
{
    w->progress_wanted = true;
    shard_post(w->shard);
}

void kv_watch_close(struct kv_watch *w)
{
    assert(!w->user_closed);
    struct watch_hub *h = w->shard->hub;
    w->user_closed = true;
    leave_live(w);
    if (w->state != WATCH_ENDED)
        atomic_fetch_sub(&h->slow, 1);
    w->state = WATCH_ENDED;
    list_remove(&w->link);
    list_remove(&w->work);
    atomic_fetch_sub(&h->watchers, 1);
    watch_unref(w);
}

void watch_hub_progress(struct watch_hub *h)
{
    pthread_mutex_lock(&h->lock);
    list_for_each (it, &h->shards) {
        struct watch_shard *s = list_entry(it, struct watch_shard, link);
        atomic_store(&s->progress_due, true);
        shard_post(s);
    }
    pthread_mutex_unlock(&h->lock);
}

void watch_hub_count(struct watch_hub *h, size_t *watchers, size_t *slow)
{
    *watchers = atomic_load(&h->watchers);
    *slow = atomic_load(&h->slow);
}

struct watch_hub *watch_hub_new(const struct watch_hub_options *o, int64_t rev)
{
    struct watch_hub *h = mem_zalloc(sizeof *h);
    atomic_init(&h->refs, 1);
    h->o = *o;
    h->ring_first = rev + 1;
    h->ring_last = rev;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->history_wake, NULL);
    list_init(&h->shards);
    list_init(&h->history);
    int rc = pthread_create(&h->history_thread, NULL, watch_history_main, h);
    assert(rc == 0);
    (void)rc;
    return h;
}

void watch_hub_close(struct watch_hub *h)
{
    struct list shards;
    list_init(&shards);
    pthread_mutex_lock(&h->lock);
    atomic_store(&h->closing, true);
    pthread_cond_signal(&h->history_wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->history_thread, NULL);
    pthread_mutex_lock(&h->lock);
    list_splice_back(&shards, &h->shards);
    pthread_mutex_unlock(&h->lock);
    while (!list_empty(&shards)) {
        struct watch_shard *s = list_first(&shards, struct watch_shard, link);
        list_remove(&s->link);
        shard_post(s);
        shard_unref(s);
    }
    hub_unref(h);
}
