/*
 * The scheduling queue (scheduler/queue.h).
 *
 * One map by key finds every pod the queue knows; its place tells in which structure it is: two
 * heaps (active by priority and arrival, backoff by time) or the list of unschedulable ones, oldest
 * first. Pods in flight are in the map only.
 */
#include "scheduler/queue.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <assert.h>
#include <pthread.h>
#include <time.h>

#define BACKOFF_INITIAL_NS NS_PER_S
#define BACKOFF_MAX_NS (10 * NS_PER_S)
#define UNSCHEDULABLE_MAX_NS (300 * NS_PER_S)
#define LEFTOVER_CHECK_NS (30 * NS_PER_S)

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint64_t (*now_ns)(void *ctx);
    void *now_ctx;
    struct map pods; /* key → struct queued_pod, owned */
    struct heap active, backoff;
    struct list unschedulable;
    size_t unschedulable_len, in_flight;
    uint64_t sequence, event_cycle;
    uint64_t leftover_check_ns;
    bool shut_down;
    struct gauge *gauges[3];
};

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return clock_mono_ns();
}

struct queue *queue_new(uint64_t (*now_ns)(void *ctx), void *ctx, struct metrics *metrics)
{
    struct queue *q = mem_zalloc(sizeof *q);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    q->now_ns = now_ns ? now_ns : mono;
    q->now_ctx = ctx;
    map_init(&q->pods);
    heap_init(&q->active);
    heap_init(&q->backoff);
    list_init(&q->unschedulable);
    if (metrics) {
        static const char *const labels[] = {"queue=\"active\"", "queue=\"backoff\"",
                                             "queue=\"unschedulable\""};
        for (size_t i = 0; i < ARRAY_LEN(labels); i++)
            q->gauges[i] = metrics_gauge(metrics, "scheduler_pending_pods", labels[i],
                                         "Pending pods, by the queue they are in.");
    }
    return q;
}

static void pod_free(struct queued_pod *p)
{
    pod_facts_unref(p->facts);
    pod_facts_unref(p->newer);
    mem_free(p->key);
    mem_free(p);
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    struct map_iter it = {0};
    while (map_next(&q->pods, &it))
        pod_free(it.value);
    map_free(&q->pods);
    heap_free(&q->active);
    heap_free(&q->backoff);
    pthread_cond_destroy(&q->cond);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static uint64_t now_of(struct queue *q)
{
    return q->now_ns(q->now_ctx);
}

static void gauges_changed(struct queue *q)
{
    if (!q->gauges[0])
        return;
    gauge_set(q->gauges[0], (double)q->active.len);
    gauge_set(q->gauges[1], (double)q->backoff.len);
    gauge_set(q->gauges[2], (double)q->unschedulable_len);
}

/* Higher priority first, then earlier arrival: 32 bits of each in one key. */
static uint64_t active_order(const struct queued_pod *p)
{
    uint32_t priority =
        (uint32_t)p->facts->priority ^ 0x80000000u; /* order-preserving to unsigned */
    return (uint64_t)~priority << 32 | (uint32_t)p->sequence;
}

static uint64_t backoff_ns(unsigned attempts)
{
    uint64_t d = BACKOFF_INITIAL_NS;
    for (unsigned i = 1; i < attempts && d < BACKOFF_MAX_NS; i++)
        d *= 2;
    return MIN(d, BACKOFF_MAX_NS);
}

/* When the pod's back-off is over, counted from when its attempt failed. */
static uint64_t backoff_end(const struct queued_pod *p)
{
    return p->queued_ns + (p->attempts ? backoff_ns(p->attempts) : 0);
}

static void leave(struct queue *q, struct queued_pod *p)
{
    switch (p->place) {
    case QUEUE_ACTIVE:
        heap_remove(&q->active, &p->heap);
        break;
    case QUEUE_BACKOFF:
        heap_remove(&q->backoff, &p->heap);
        break;
    case QUEUE_UNSCHEDULABLE:
        list_remove(&p->link);
        q->unschedulable_len--;
        break;
    case QUEUE_IN_FLIGHT:
        q->in_flight--;
        break;
    }
}

static void enter_active(struct queue *q, struct queued_pod *p)
{
    p->place = QUEUE_ACTIVE;
    heap_insert(&q->active, &p->heap, active_order(p));
    pthread_cond_signal(&q->cond);
}

static void enter_backoff(struct queue *q, struct queued_pod *p, uint64_t now)
{
    uint64_t end = backoff_end(p);
    if (end <= now) {
        enter_active(q, p);
        return;
    }
    p->place = QUEUE_BACKOFF;
    heap_insert(&q->backoff, &p->heap, end);
    pthread_cond_signal(&q->cond); /* the popper may have to wake earlier */
}

static struct queued_pod *new_pod(struct queue *q, struct pod_facts *facts)
{
    struct queued_pod *p = mem_zalloc(sizeof *p);
    p->facts = pod_facts_ref(facts);
    p->key = mem_strdup(facts->key);
    p->sequence = q->sequence++;
    p->queued_ns = now_of(q);
    list_init(&p->link);
    map_put(&q->pods, str_from(p->key), p);
    return p;
}

static void replace_facts(struct pod_facts **slot, struct pod_facts *facts)
{
    struct pod_facts *old = *slot;
    *slot = facts ? pod_facts_ref(facts) : NULL;
    pod_facts_unref(old);
}

/* Back from the attempt: what changed meanwhile counts from now on. */
static void take_newer(struct queued_pod *p)
{
    if (!p->newer)
        return;
    replace_facts(&p->facts, p->newer);
    replace_facts(&p->newer, NULL);
}

static void update_locked(struct queue *q, struct queued_pod *p, struct pod_facts *facts,
                          bool may_help)
{
    if (p->place == QUEUE_IN_FLIGHT) {
        /* The attempt under way reads the old facts; the pod must not be declared unschedulable on
         * them alone, hence the new cycle. */
        p->deleted = false;
        replace_facts(&p->newer, facts);
        if (may_help)
            q->event_cycle++;
        return;
    }
    replace_facts(&p->facts, facts);
    if (p->place == QUEUE_ACTIVE) {
        heap_rekey(&q->active, &p->heap, active_order(p));
    } else if (may_help && p->place == QUEUE_UNSCHEDULABLE) {
        leave(q, p);
        enter_backoff(q, p, now_of(q));
    }
}

void queue_add(struct queue *q, struct pod_facts *facts)
{
    pthread_mutex_lock(&q->lock);
    struct queued_pod *p = map_get(&q->pods, str_from(facts->key));
    if (p)
        update_locked(q, p, facts, true);
    else
        enter_active(q, new_pod(q, facts));
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_update(struct queue *q, struct pod_facts *facts, bool may_help)
{
    pthread_mutex_lock(&q->lock);
    struct queued_pod *p = map_get(&q->pods, str_from(facts->key));
    if (p)
        update_locked(q, p, facts, may_help);
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_remove(struct queue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    struct queued_pod *p = map_get(&q->pods, str_from(key));
    if (p && p->place == QUEUE_IN_FLIGHT) {
        p->deleted = true;
    } else if (p) {
        leave(q, p);
        map_remove(&q->pods, str_from(key));
        pod_free(p);
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

static void release_backoff(struct queue *q, uint64_t now)
{
    struct heap_item *h;
    while ((h = heap_peek(&q->backoff)) != NULL && h->key <= now) {
        struct queued_pod *p = container_of(h, struct queued_pod, heap);
        leave(q, p);
        enter_active(q, p);
    }
}

/* Pods that waited five minutes for an event are tried again without one. */
static void release_leftovers(struct queue *q, uint64_t now)
{
    if (now < q->leftover_check_ns)
        return;
    q->leftover_check_ns = now + LEFTOVER_CHECK_NS;
    list_for_each_safe (it, &q->unschedulable) {
        struct queued_pod *p = list_entry(it, struct queued_pod, link);
        if (now - p->queued_ns < UNSCHEDULABLE_MAX_NS)
            break; /* oldest first */
        leave(q, p);
        enter_active(q, p);
    }
}

static void wait_until(struct queue *q, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&q->cond, &q->lock);
        return;
    }
    struct timespec ts = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    pthread_cond_timedwait(&q->cond, &q->lock, &ts);
}

/* How long the popper may sleep, in real time: a test's clock does not wake anybody. */
static uint64_t sleep_ns(struct queue *q, uint64_t now)
{
    uint64_t until = UINT64_MAX;
    struct heap_item *h = heap_peek(&q->backoff);
    if (h)
        until = h->key - now;
    if (q->unschedulable_len)
        until = MIN(until, q->leftover_check_ns - now);
    return until;
}

static struct queued_pod *take(struct queue *q)
{
    struct queued_pod *p = container_of(heap_peek(&q->active), struct queued_pod, heap);
    leave(q, p);
    p->place = QUEUE_IN_FLIGHT;
    p->attempts++;
    p->event_cycle = q->event_cycle;
    q->in_flight++;
    return p;
}

struct queued_pod *queue_pop(struct queue *q, uint32_t timeout_ms)
{
    uint64_t deadline =
        timeout_ms == UINT32_MAX ? UINT64_MAX : clock_mono_ns() + timeout_ms * NS_PER_MS;
    struct queued_pod *p = NULL;
    pthread_mutex_lock(&q->lock);
    while (!q->shut_down) {
        uint64_t now = now_of(q), real = clock_mono_ns();
        release_backoff(q, now);
        release_leftovers(q, now);
        if (q->active.len) {
            p = take(q);
            break;
        }
        if (real >= deadline)
            break;
        uint64_t nap = sleep_ns(q, now);
        wait_until(q, MIN(deadline, nap == UINT64_MAX ? nap : real + nap));
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
    return p;
}

static void drop(struct queue *q, struct queued_pod *p)
{
    leave(q, p);
    map_remove(&q->pods, str_from(p->key));
    pod_free(p);
}

void queue_finish(struct queue *q, struct queued_pod *p)
{
    pthread_mutex_lock(&q->lock);
    assert(p->place == QUEUE_IN_FLIGHT);
    drop(q, p);
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_unschedulable(struct queue *q, struct queued_pod *p, uint32_t events)
{
    pthread_mutex_lock(&q->lock);
    assert(p->place == QUEUE_IN_FLIGHT);
    if (p->deleted) {
        drop(q, p);
    } else {
        bool missed = p->event_cycle != q->event_cycle;
        uint64_t now = now_of(q);
        leave(q, p);
        take_newer(p);
        p->queued_ns = now;
        p->events = events;
        if (missed) {
            enter_backoff(q, p, now);
        } else {
            if (q->unschedulable_len == 0)
                q->leftover_check_ns = now + UNSCHEDULABLE_MAX_NS;
            p->place = QUEUE_UNSCHEDULABLE;
            list_push_back(&q->unschedulable, &p->link);
            q->unschedulable_len++;
        }
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_retry(struct queue *q, struct queued_pod *p)
{
    pthread_mutex_lock(&q->lock);
    assert(p->place == QUEUE_IN_FLIGHT);
    if (p->deleted) {
        drop(q, p);
    } else {
        leave(q, p);
        take_newer(p);
        p->queued_ns = now_of(q);
        enter_backoff(q, p, p->queued_ns);
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_add_again(struct queue *q, struct pod_facts *facts, unsigned attempts)
{
    pthread_mutex_lock(&q->lock);
    if (!map_has(&q->pods, str_from(facts->key))) {
        struct queued_pod *p = new_pod(q, facts);
        p->attempts = attempts;
        enter_backoff(q, p, p->queued_ns);
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_event(struct queue *q, uint32_t events)
{
    pthread_mutex_lock(&q->lock);
    q->event_cycle++;
    uint64_t now = now_of(q);
    list_for_each_safe (it, &q->unschedulable) {
        struct queued_pod *p = list_entry(it, struct queued_pod, link);
        if (p->events & events) {
            leave(q, p);
            enter_backoff(q, p, now);
        }
    }
    gauges_changed(q);
    pthread_mutex_unlock(&q->lock);
}

void queue_shut_down(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->shut_down = true;
    pthread_cond_broadcast(&q->cond);
    pthread_mutex_unlock(&q->lock);
}

void queue_count(struct queue *q, struct queue_counts *out)
{
    pthread_mutex_lock(&q->lock);
    *out = (struct queue_counts){q->active.len, q->backoff.len, q->unschedulable_len, q->in_flight};
    pthread_mutex_unlock(&q->lock);
}
