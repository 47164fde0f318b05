/*
 * net/loop.h on a fiber: tasks, timers, deferred work; it sleeps in the scheduler.
 */
#include "fiber_sync.h"
#include "shim_net.h"
#include "whole.h"

#include "base/mem.h"
#include <assert.h>

struct loop {
    struct fiber *fiber; /* that runs it; NULL: none */
    bool sleeping, stop, left;
    bool expected; /* somebody is about to run it */
    struct loop_task *first, **last;
    struct heap timers; /* ms by the member's clock */
    struct list deferred;
    uint64_t now_ms;
};

struct loop *loop_new(void)
{
    struct loop *l = mem_zalloc(sizeof *l);
    l->last = &l->first;
    heap_init(&l->timers);
    list_init(&l->deferred);
    l->now_ms = fiber_mono_ns() / 1000000;
    return l;
}

static bool run_tasks(struct loop *l)
{
    struct loop_task *t = l->first;
    bool any = t != NULL;
    l->first = NULL;
    l->last = &l->first;
    while (t) {
        struct loop_task *next = t->next;
        t->next = NULL;
        t->fn(t);
        t = next;
    }
    return any;
}

static void run_timers(struct loop *l)
{
    struct heap_item *item;
    while ((item = heap_peek(&l->timers)) && item->key <= l->now_ms) {
        heap_pop(&l->timers);
        struct loop_timer *t = container_of(item, struct loop_timer, item);
        t->fn(t);
    }
}

static void run_deferred(struct loop *l)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, &l->deferred);
    while (!list_empty(&now)) {
        struct loop_deferred *d = list_first(&now, struct loop_deferred, link);
        list_remove(&d->link);
        d->fn(d);
    }
}

void loop_free(struct loop *l)
{
    while (run_tasks(l))
        ;
    assert(!l->timers.len);
    heap_free(&l->timers);
    mem_free(l);
}

static void sleep_until_work(struct loop *l)
{
    struct heap_item *item = heap_peek(&l->timers);
    l->sleeping = true;
    if (l->first || !list_empty(&l->deferred))
        ;
    else if (!item)
        fiber_wait();
    else if (item->key > l->now_ms)
        fiber_wait_for((item->key - l->now_ms) * MS + chance_below(300));
    l->sleeping = false;
}

bool loop_run(struct loop *l)
{
    l->fiber = fiber_current();
    while (!l->stop && !l->left) {
        l->now_ms = fiber_mono_ns() / 1000000;
        run_tasks(l);
        run_timers(l);
        run_deferred(l);
        if (!l->stop && !l->left)
            sleep_until_work(l);
    }
    if (l->left) {
        l->left = false;
        return true;
    }
    l->fiber = NULL;
    l->expected = false;
    return false;
}

void loop_leave(struct loop *l)
{
    l->left = true;
}

void loop_expect(struct loop *l)
{
    l->expected = true;
}

static void wake(struct loop *l)
{
    if (l->sleeping) {
        l->sleeping = false; /* one wake-up for a burst of posts */
        fiber_wake(l->fiber);
    }
}

void loop_stop(struct loop *l)
{
    l->stop = true;
    wake(l);
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    loop_run(l);
    return NULL;
}

struct loop *loop_start(const char *name)
{
    struct loop *l = loop_new();
    l->fiber = fiber_start(member_current(), name, loop_main, l);
    return l;
}

void loop_join(struct loop *l)
{
    struct fiber *f = l->fiber;
    loop_stop(l);
    fiber_thread_join((pthread_t)f, NULL);
    loop_free(l);
}

void loop_post(struct loop *l, struct loop_task *t)
{
    t->next = NULL;
    *l->last = t;
    l->last = &t->next;
    wake(l);
}

struct call {
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
    struct fiber *caller;
    bool done;
};

static void call_run(struct loop_task *t)
{
    struct call *c = container_of(t, struct call, task);
    c->fn(c->arg);
    c->done = true;
    fiber_wake(c->caller);
}

void loop_call(struct loop *l, void (*fn)(void *arg), void *arg)
{
    if ((!l->fiber && !l->expected) || l->fiber == fiber_current()) {
        fn(arg);
        return;
    }
    struct call *c = mem_zalloc(sizeof *c);
    *c = (struct call){{call_run, NULL}, fn, arg, fiber_current(), false};
    loop_post(l, &c->task);
    while (!c->done)
        fiber_wait();
    mem_free(c);
}

uv_loop_t *loop_uv(struct loop *l)
{
    (void)l;
    broken("loop_uv: there is no libuv here");
}

bool loop_is_current(const struct loop *l)
{
    return l->fiber && l->fiber == fiber_current();
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

void loop_deferred_init(struct loop_deferred *d, void (*fn)(struct loop_deferred *d))
{
    list_init(&d->link);
    d->fn = fn;
}

void loop_defer(struct loop *l, struct loop_deferred *d)
{
    if (list_empty(&d->link))
        list_push_back(&l->deferred, &d->link);
}

void loop_deferred_cancel(struct loop_deferred *d)
{
    list_remove(&d->link);
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(struct loop_timer *timer))
{
    *t = (struct loop_timer){.loop = l, .fn = fn};
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms)
{
    heap_rekey(&t->loop->timers, &t->item, t->loop->now_ms + delay_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
    heap_remove(&t->loop->timers, &t->item);
}
