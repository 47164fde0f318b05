/*
 * Trigger (see trigger.h).
 */
#include "node/trigger.h"
#include "base/clock.h"
#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define STACK_BYTES (512 * 1024)

struct trigger {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool poked, stopping;
    uint32_t interval_ms;
    uint64_t (*run)(void *ctx);
    void *ctx;
};

/* With the lock held: until `deadline_ns` (0: for ever), a poke (if `pokes` counts) or the stop. */
static void wait_until(struct trigger *t, uint64_t deadline_ns, bool pokes)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % NS_PER_S)};

    while (!t->stopping && !(pokes && t->poked)) {
        if (!deadline_ns)
            pthread_cond_wait(&t->wake, &t->lock);
        else if (pthread_cond_timedwait(&t->wake, &t->lock, &at) == ETIMEDOUT)
            return;
    }
}

static void *trigger_thread(void *arg)
{
    struct trigger *t = arg;
    uint64_t again_ns = 0;

    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        uint64_t again_ms;

        wait_until(t, again_ns, true);
        if (t->stopping)
            break;
        t->poked = false;
        pthread_mutex_unlock(&t->lock);
        again_ms = t->run(t->ctx);
        pthread_mutex_lock(&t->lock);
        again_ns = again_ms ? clock_mono_ns() + again_ms * NS_PER_MS : 0;
        wait_until(t, clock_mono_ns() + t->interval_ms * NS_PER_MS, false);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

struct trigger *trigger_start(const char *name, uint32_t interval_ms, uint64_t (*run)(void *ctx),
                              void *ctx)
{
    struct trigger *t = mem_zalloc(sizeof *t);
    pthread_attr_t attributes;
    pthread_condattr_t clock;

    t->interval_ms = interval_ms;
    t->run = run;
    t->ctx = ctx;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_create(&t->thread, &attributes, trigger_thread, t);
    pthread_attr_destroy(&attributes);
    pthread_setname_np(t->thread, name);
    return t;
}

void trigger_poke(struct trigger *t)
{
    pthread_mutex_lock(&t->lock);
    t->poked = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void trigger_stop(struct trigger *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}
