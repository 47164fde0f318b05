/*
 * Event loop: one uv_loop_t that belongs to one thread.
 *
 * Everything that lives on a loop (connections, exchanges, calls, timers) is touched on its thread
 * only. The three exceptions, which any thread may call, are loop_post, loop_stop and loop_call.
 *
 *     static void say(struct loop_task *t) { …container_of(t, struct job, task)… }
 *     job->task.fn = say;
 *     loop_post(loop, &job->task);       // from any thread; runs soon on the loop's thread
 *
 * Tasks are intrusive: no allocation, no lock; a burst of posts costs one wake-up. Posts of one
 * thread run in the order posted.
 */
#ifndef C8S_NET_LOOP_H
#define C8S_NET_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop;

/* Work for a loop. `fn` is set by the poster; `next` belongs to the loop until fn runs. When fn is
 * called the task is out of the queue: fn may free it or post it again. */
struct loop_task {
    void (*fn)(struct loop_task *task);
    struct loop_task *next;
};

struct loop *loop_new(void);
/* Free a loop that does not run. Every handle of its users must have been closed; tasks still
 * queued are run first. */
void loop_free(struct loop *loop);

/* Run on the calling thread: false after loop_stop, true after loop_leave. */
bool loop_run(struct loop *loop);
/* Loop thread: loop_run returns after the current iteration, for the thread to do something slow. The
 * loop counts as running meanwhile, and whoever has it next goes on with loop_run: this thread or, when
 * the two have agreed on it, another one. */
void loop_leave(struct loop *loop);
/* Threads that are about to start will run it: from now on loop_call waits for them. */
void loop_expect(struct loop *loop);
/* Make loop_run return after the current iteration. Any thread; sticky if the loop does not run
 * yet. */
void loop_stop(struct loop *loop);

/* loop_new and a thread that runs it, named `name` (at most 15 bytes). SIGPIPE and the process's
 * other signals are blocked in that thread. */
struct loop *loop_start(const char *name);
/* Stop the thread of loop_start, join it and free the loop. Not from the loop's own thread. */
void loop_join(struct loop *loop);

/* Any thread: run task->fn on the loop's thread. The task must stay alive until then. */
void loop_post(struct loop *loop, struct loop_task *task);
/* Any other thread: run fn(arg) on the loop's thread and wait for it. On the loop's own thread it
 * and while the loop does not run it is a plain call. */
void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);

uv_loop_t *loop_uv(struct loop *loop);
bool loop_is_current(const struct loop *loop); /* is the caller on the loop's thread? */
/* Memory of output that peers have not taken yet, but for shared blobs. On the loop's thread. */
size_t loop_output_bytes(const struct loop *loop);
uint64_t loop_now_ms(const struct loop *loop); /* monotonic, updated once per iteration */

/*
 * Deferred work: run once at the end of the current iteration, after all I/O callbacks, before the
 * loop sleeps. Connections use it to write everything that an iteration produced with one system
 * call. Deferring an item that is already deferred does nothing. Loop thread only.
 */
struct loop_deferred {
    struct list link; /* loop_deferred_init; linked while deferred */
    void (*fn)(struct loop_deferred *d);
};
void loop_deferred_init(struct loop_deferred *d, void (*fn)(struct loop_deferred *d));
void loop_defer(struct loop *loop, struct loop_deferred *d);
void loop_deferred_cancel(struct loop_deferred *d);

/*
 * Light timers: intrusive, all on one uv_timer_t, stopped synchronously, nothing to close.
 * One-shot; restart in the callback for a periodic one. Loop thread only. (uv_timer_t on loop_uv
 * works as well.)
 */
struct loop_timer {
    struct heap_item item;
    struct loop *loop;
    void (*fn)(struct loop_timer *timer);
};
void loop_timer_init(struct loop *loop, struct loop_timer *timer,
                     void (*fn)(struct loop_timer *timer));
void loop_timer_start(struct loop_timer *timer,
                      uint64_t delay_ms);       /* moves it when it is running */
void loop_timer_stop(struct loop_timer *timer); /* harmless when not running */
static inline bool loop_timer_active(const struct loop_timer *timer)
{
    return timer->item.index != 0;
}

#endif
