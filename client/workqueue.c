/*
 * Work queue (client/workqueue.h).
 *
 * Every key the queue knows is one item, in a map by its text, in up to three states at once:
 *
 *     queued      in `ready`, waiting for a worker
 *     processing  with a worker; an add meanwhile sets `again`, and done moves it to `ready`
 *     delayed     in the heap by due time; when due it is added like any other
 *
 * and with a count of failures. An item in none of these states and without failures is freed.
 * Workers waiting in workqueue_get time their sleep to the heap's first item, so no timer thread is
 * needed.
 */
#include "client/workqueue.h"

#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#define BACKOFF_BASE_MS 5
#define BACKOFF_MAX_MS 1000000
#define BUCKET_PER_S 10
#define BUCKET_BURST 100

struct item {
    struct list link; /* in ready when queued */
    struct heap_item delay;
    bool queued, processing, again;
    unsigned failures;
    char key[];
};

struct workqueue {
    pthread_mutex_t lock;
    pthread_cond_t cond; /* CLOCK_MONOTONIC */
    struct list ready;
    size_t ready_len;
    struct heap delayed;
    struct map items; /* key → struct item, owned */
    bool shut_down;
    uint64_t bucket_next_ns; /* when the next rate-limited add beyond the burst is due */
    struct gauge *depth;
    struct counter *adds, *retries;
};

struct workqueue *workqueue_new(const char *name, struct metrics *metrics)
{
    struct workqueue *q = mem_zalloc(sizeof *q);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    list_init(&q->ready);
    heap_init(&q->delayed);
    map_init(&q->items);
    if (metrics) {
        char *labels = mem_printf("name=\"%s\"", name);
        q->depth =
            metrics_gauge(metrics, "workqueue_depth", labels, "Keys that are due and waiting.");
        q->adds = metrics_counter(metrics, "workqueue_adds_total", labels, "Keys made due.");
        q->retries =
            metrics_counter(metrics, "workqueue_retries_total", labels, "Keys that came back.");
        mem_free(labels);
    }
    return q;
}

void workqueue_free(struct workqueue *q)
{
    if (!q)
        return;
    struct map_iter it = {0};
    while (map_next(&q->items, &it))
        mem_free(it.value);
    map_free(&q->items);
    heap_free(&q->delayed);
    pthread_cond_destroy(&q->cond);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static struct item *item_of(struct workqueue *q, const char *key)
{
    struct str k = str_from(key);
    struct item *it = map_get(&q->items, k);
    if (!it) {
        it = mem_zalloc(sizeof *it + k.n + 1);
        memcpy(it->key, key, k.n + 1);
        list_init(&it->link);
        map_put(&q->items, k, it);
    }
    return it;
}

static void forget_if_idle(struct workqueue *q, struct item *it)
{
    if (it->queued || it->processing || it->delay.index || it->failures)
        return;
    map_remove(&q->items, str_from(it->key));
    mem_free(it);
}

static void depth_changed(struct workqueue *q)
{
    if (q->depth)
        gauge_set(q->depth, (double)q->ready_len);
}

static void make_due(struct workqueue *q, struct item *it)
{
    if (it->processing) {
        it->again = true;
        return;
    }
    if (it->queued)
        return;
    it->queued = true;
    list_push_back(&q->ready, &it->link);
    q->ready_len++;
    if (q->adds)
        counter_add(q->adds, 1);
    depth_changed(q);
    pthread_cond_signal(&q->cond);
}

void workqueue_add(struct workqueue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    if (!q->shut_down)
        make_due(q, item_of(q, key));
    pthread_mutex_unlock(&q->lock);
}

static void add_after_locked(struct workqueue *q, const char *key, uint64_t delay_ms)
{
    struct item *it = item_of(q, key);
    if (delay_ms == 0) {
        make_due(q, it);
        return;
    }
    uint64_t due = clock_mono_ns() + delay_ms * NS_PER_MS;
    if (it->delay.index && it->delay.key <= due)
        return;
    heap_rekey(&q->delayed, &it->delay, due);
    if (heap_peek(&q->delayed) == &it->delay)
        pthread_cond_signal(&q->cond); /* somebody must sleep less long */
}

void workqueue_add_after(struct workqueue *q, const char *key, uint64_t delay_ms)
{
    pthread_mutex_lock(&q->lock);
    if (!q->shut_down)
        add_after_locked(q, key, delay_ms);
    pthread_mutex_unlock(&q->lock);
}

static uint64_t item_backoff_ms(unsigned failures)
{
    return failures >= 18 ? BACKOFF_MAX_MS
                          : MIN((uint64_t)BACKOFF_BASE_MS << failures, BACKOFF_MAX_MS);
}

/* A token bucket over all keys, kept as the time at which the bucket would be full again. */
static uint64_t bucket_delay_ms(struct workqueue *q, uint64_t now)
{
    uint64_t interval = NS_PER_S / BUCKET_PER_S;
    if (q->bucket_next_ns < now)
        q->bucket_next_ns = now;
    q->bucket_next_ns += interval;
    uint64_t debt = q->bucket_next_ns - now, allowed = interval * BUCKET_BURST;
    return debt > allowed ? (debt - allowed) / NS_PER_MS : 0;
}

void workqueue_add_rate_limited(struct workqueue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    if (!q->shut_down) {
        struct item *it = item_of(q, key);
        uint64_t delay = item_backoff_ms(it->failures++);
        uint64_t bucket = bucket_delay_ms(q, clock_mono_ns());
        if (q->retries)
            counter_add(q->retries, 1);
        add_after_locked(q, key, MAX(delay, bucket));
    }
    pthread_mutex_unlock(&q->lock);
}

void workqueue_forget(struct workqueue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    struct item *it = map_get(&q->items, str_from(key));
    if (it) {
        it->failures = 0;
        forget_if_idle(q, it);
    }
    pthread_mutex_unlock(&q->lock);
}

unsigned workqueue_retries(struct workqueue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    struct item *it = map_get(&q->items, str_from(key));
    unsigned n = it ? it->failures : 0;
    pthread_mutex_unlock(&q->lock);
    return n;
}

static void release_due(struct workqueue *q, uint64_t now)
{
    struct heap_item *h;
    while ((h = heap_peek(&q->delayed)) != NULL && h->key <= now) {
        heap_pop(&q->delayed);
        make_due(q, container_of(h, struct item, delay));
    }
}

static void wait_until(struct workqueue *q, uint64_t deadline)
{
    if (deadline == UINT64_MAX) {
        pthread_cond_wait(&q->cond, &q->lock);
        return;
    }
    struct timespec ts = {.tv_sec = (time_t)(deadline / NS_PER_S),
                          .tv_nsec = (long)(deadline % NS_PER_S)};
    pthread_cond_timedwait(&q->cond, &q->lock, &ts);
}

static char *take(struct workqueue *q)
{
    struct item *it = list_first(&q->ready, struct item, link);
    list_remove(&it->link);
    q->ready_len--;
    depth_changed(q);
    it->queued = false;
    it->processing = true;
    if (q->ready_len || heap_peek(&q->delayed))
        pthread_cond_signal(&q->cond); /* another worker takes over keeping the time */
    return mem_strdup(it->key);
}

static char *get_until(struct workqueue *q, uint64_t deadline)
{
    char *key = NULL;
    pthread_mutex_lock(&q->lock);
    while (!q->shut_down) {
        uint64_t now = clock_mono_ns();
        release_due(q, now);
        if (q->ready_len) {
            key = take(q);
            break;
        }
        if (now >= deadline) {
            if (heap_peek(&q->delayed))
                pthread_cond_signal(&q->cond); /* it may be this worker who kept the time */
            break;
        }
        struct heap_item *next = heap_peek(&q->delayed);
        wait_until(q, next ? MIN(next->key, deadline) : deadline);
    }
    pthread_mutex_unlock(&q->lock);
    return key;
}

char *workqueue_get(struct workqueue *q)
{
    return get_until(q, UINT64_MAX);
}

char *workqueue_get_timeout(struct workqueue *q, uint32_t timeout_ms)
{
    return get_until(q, clock_mono_ns() + timeout_ms * NS_PER_MS);
}

void workqueue_done(struct workqueue *q, char *key)
{
    pthread_mutex_lock(&q->lock);
    struct item *it = map_get(&q->items, str_from(key));
    assert(it && it->processing);
    it->processing = false;
    if (it->again && !q->shut_down) {
        it->again = false;
        make_due(q, it);
    } else {
        forget_if_idle(q, it);
    }
    pthread_mutex_unlock(&q->lock);
    mem_free(key);
}

size_t workqueue_depth(struct workqueue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->ready_len;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void workqueue_shut_down(struct workqueue *q)
{
    pthread_mutex_lock(&q->lock);
    q->shut_down = true;
    pthread_cond_broadcast(&q->cond);
    pthread_mutex_unlock(&q->lock);
}
