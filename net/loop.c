/*
 * Event loop: uv_loop_t with a wake-up queue, deferred work and light timers. See loop.h.
 *
 * Posted tasks form a lock-free stack (push by compare-and-swap). The loop takes the whole stack at
 * once and reverses it, so tasks of one thread run in the order posted; only the push that finds
 * the stack empty pays for a wake-up.
 */
#include "net/loop.h"
#include "net/loop_internal.h"
#include "base/mem.h"
#include "base/signals.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Deferred work that defers more work: after so many rounds let the loop poll first. */
#define DEFER_ROUNDS_MAX 64

struct loop {
    uv_loop_t uv;
    int wake_fd; /* eventfd, polled by `wake`; uv_async_t spins when a sender is preempted */
    uv_poll_t wake;
    uv_check_t after_io;
    uv_prepare_t before_poll;
    uv_timer_t timer;
    uint64_t timer_armed_ms; /* when `timer` fires; UINT64_MAX: not armed */
    struct heap timers;
    struct list deferred;
    _Atomic(struct loop_task *) posted;
    atomic_bool stop;
    atomic_bool running;
    bool left;                /* loop thread: by loop_leave */
    _Atomic(pthread_t) owner; /* valid while running */
    pthread_t thread;
    struct loop_scratch scratch;
    struct pool *pool;
};

static void run_posted(struct loop *loop)
{
    struct loop_task *stack = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct loop_task *queue = NULL;
    while (stack) {
        struct loop_task *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    while (queue) {
        struct loop_task *task = queue;
        queue = task->next;
        task->next = NULL;
        task->fn(task);
    }
}

static void run_deferred(struct loop *loop, int rounds)
{
    while (rounds-- > 0 && !list_empty(&loop->deferred)) {
        struct list now;
        list_init(&now);
        list_splice_back(&now, &loop->deferred);
        while (!list_empty(&now)) {
            struct loop_deferred *d = list_first(&now, struct loop_deferred, link);
            list_remove(&d->link);
            d->fn(d);
        }
    }
}

static void wake_up(struct loop *loop)
{
    /* EAGAIN would mean that 2^64 − 2 wake-ups are pending: then it is awake. */
    uint64_t one = 1;
    ssize_t written = write(loop->wake_fd, &one, sizeof one);
    (void)written;
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct loop *loop = poll->data;
    (void)status;
    (void)events;
    /* Cleared before the queue is taken: a push after that wakes again. */
    uint64_t wakes;
    ssize_t got = read(loop->wake_fd, &wakes, sizeof wakes);
    (void)got;
    run_posted(loop);
    if (atomic_load_explicit(&loop->stop, memory_order_acquire))
        uv_stop(&loop->uv);
}

static void on_after_io(uv_check_t *check)
{
    run_deferred(check->data, 1);
}

/* Whatever timers, closing handles and deferred work deferred must not wait for the next event. */
static void on_before_poll(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    run_deferred(loop, DEFER_ROUNDS_MAX);
    if (!list_empty(&loop->deferred))
        wake_up(loop);
}

static void on_timer(uv_timer_t *uv_timer);

static void arm_timer(struct loop *loop)
{
    struct heap_item *top = heap_peek(&loop->timers);
    if (!top) {
        loop->timer_armed_ms = UINT64_MAX;
        uv_timer_stop(&loop->timer);
        return;
    }
    if (loop->timer_armed_ms <= top->key)
        return;
    uint64_t now = uv_now(&loop->uv);
    loop->timer_armed_ms = top->key;
    uv_timer_start(&loop->timer, on_timer, top->key > now ? top->key - now : 0, 0);
}

static void on_timer(uv_timer_t *uv_timer)
{
    struct loop *loop = uv_timer->data;
    uint64_t now = uv_now(&loop->uv);
    struct heap_item *top;
    /* A timer that restarts itself with delay 0 has a key of now: it waits for the next round. */
    for (size_t n = loop->timers.len; n > 0 && (top = heap_peek(&loop->timers)) && top->key <= now;
         n--) {
        heap_remove(&loop->timers, top);
        struct loop_timer *timer = container_of(top, struct loop_timer, item);
        timer->fn(timer);
    }
    loop->timer_armed_ms = UINT64_MAX;
    arm_timer(loop);
}

struct loop *loop_new(void)
{
    struct loop *loop = mem_zalloc(sizeof *loop);
    if (uv_loop_init(&loop->uv) != 0)
        abort(); /* out of descriptors at start-up: nothing can work */
    loop->uv.data = loop;
    loop->wake.data = loop->after_io.data = loop->before_poll.data = loop->timer.data = loop;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0 || uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd) != 0 ||
        uv_poll_start(&loop->wake, UV_READABLE, on_wake) != 0)
        abort();
    uv_check_init(&loop->uv, &loop->after_io);
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_check_start(&loop->after_io, on_after_io);
    uv_prepare_start(&loop->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&loop->after_io);
    uv_unref((uv_handle_t *)&loop->before_poll);
    loop->timer_armed_ms = UINT64_MAX;
    heap_init(&loop->timers);
    list_init(&loop->deferred);
    buf_init(&loop->scratch.wire);
    loop->pool = pool_new();
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    assert(!atomic_load(&loop->running));
    while (atomic_load(&loop->posted) || !list_empty(&loop->deferred)) {
        run_posted(loop);
        run_deferred(loop, DEFER_ROUNDS_MAX);
    }
    /* Let handles that are closing finish before ours go. */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->after_io, NULL);
    uv_close((uv_handle_t *)&loop->before_poll, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
    close(loop->wake_fd);
    heap_free(&loop->timers);
    buf_free(&loop->scratch.wire);
    mem_free(loop->scratch.read);
    pool_free(loop->pool);
    mem_free(loop);
}

bool loop_run(struct loop *loop)
{
    atomic_store(&loop->owner, pthread_self());
    atomic_store(&loop->running, true);
    while (!loop->left && !atomic_load_explicit(&loop->stop, memory_order_acquire))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (loop->left) {
        loop->left = false;
        return true;
    }
    atomic_store(&loop->running, false);
    atomic_store(&loop->stop, false);
    return false;
}

void loop_leave(struct loop *loop)
{
    loop->left = true;
    uv_stop(&loop->uv);
}

void loop_expect(struct loop *loop)
{
    atomic_store(&loop->running, true);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    wake_up(loop);
}

struct start_args {
    struct loop *loop;
    char name[16];
    uv_sem_t up;
};

static void *thread_main(void *arg)
{
    struct start_args *args = arg;
    struct loop *loop = args->loop;
    pthread_setname_np(pthread_self(), args->name);
    atomic_store(&loop->owner, pthread_self());
    atomic_store(&loop->running, true);
    uv_sem_post(&args->up);
    loop_run(loop);
    return NULL;
}

struct loop *loop_start(const char *name)
{
    struct loop *loop = loop_new();
    struct start_args args = {.loop = loop};
    snprintf(args.name, sizeof args.name, "%s", name);
    if (uv_sem_init(&args.up, 0) != 0)
        abort();
    sigset_t old;
    signals_block(&old);
    if (pthread_create(&loop->thread, NULL, thread_main, &args) != 0)
        abort();
    signals_restore(&old);
    uv_sem_wait(&args.up); /* from here on loop_call knows that it runs */
    uv_sem_destroy(&args.up);
    return loop;
}

void loop_join(struct loop *loop)
{
    if (!loop)
        return;
    assert(!loop_is_current(loop));
    loop_stop(loop);
    pthread_join(loop->thread, NULL);
    loop_free(loop);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    assert(task->fn);
    struct loop_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task,
                                                    memory_order_release, memory_order_relaxed));
    if (!head)
        wake_up(loop);
}

struct blocking_call {
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
    uv_sem_t done;
};

static void run_blocking_call(struct loop_task *task)
{
    struct blocking_call *call = container_of(task, struct blocking_call, task);
    call->fn(call->arg);
    uv_sem_post(&call->done);
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    if (!atomic_load(&loop->running) || loop_is_current(loop)) {
        fn(arg);
        return;
    }
    struct blocking_call call = {.task.fn = run_blocking_call, .fn = fn, .arg = arg};
    if (uv_sem_init(&call.done, 0) != 0)
        abort();
    loop_post(loop, &call.task);
    uv_sem_wait(&call.done);
    uv_sem_destroy(&call.done);
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

bool loop_is_current(const struct loop *loop)
{
    return atomic_load(&loop->running) && pthread_equal(atomic_load(&loop->owner), pthread_self());
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

size_t loop_output_bytes(const struct loop *loop)
{
    return pool_held(loop->pool);
}

struct pool *loop_pool(struct loop *loop)
{
    return loop->pool;
}

struct loop_scratch *loop_scratch(struct loop *loop)
{
    if (!loop->scratch.read)
        loop->scratch.read = mem_alloc(LOOP_SCRATCH_READ_BYTES);
    return &loop->scratch;
}

void loop_deferred_init(struct loop_deferred *d, void (*fn)(struct loop_deferred *d))
{
    list_init(&d->link);
    d->fn = fn;
}

void loop_defer(struct loop *loop, struct loop_deferred *d)
{
    if (list_empty(&d->link))
        list_push_back(&loop->deferred, &d->link);
}

void loop_deferred_cancel(struct loop_deferred *d)
{
    list_remove(&d->link);
}

void loop_timer_init(struct loop *loop, struct loop_timer *timer,
                     void (*fn)(struct loop_timer *timer))
{
    *timer = (struct loop_timer){.loop = loop, .fn = fn};
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    struct loop *loop = timer->loop;
    uint64_t now = uv_now(&loop->uv);
    uint64_t at = delay_ms > UINT64_MAX / 2 - now ? UINT64_MAX / 2 : now + delay_ms;
    heap_rekey(&loop->timers, &timer->item, at);
    arm_timer(loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->loop)
        heap_remove(&timer->loop->timers, &timer->item);
}
