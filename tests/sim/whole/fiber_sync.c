/*
 * Locks, conditions and clocks for fibers (fiber_sync.h).
 */
#include "fiber_sync.h"
#include "whole.h"

#include "base/clock.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

/* A list of waiting fibers that is also right when all its bytes are zero. */
struct waiters {
    struct list head;
};

static void waiters_add(struct waiters *w)
{
    if (!w->head.next)
        list_init(&w->head);
    list_push_back(&w->head, &fiber_current()->waiting);
}

static bool waiters_none(const struct waiters *w)
{
    return !w->head.next || list_empty(&w->head);
}

static void wake(struct list *l)
{
    struct fiber *f = list_entry(l, struct fiber, waiting);
    list_remove(l);
    fiber_wake(f);
}

static void waiters_wake_one(struct waiters *w)
{
    if (waiters_none(w))
        return;
    struct list *l = w->head.next;
    for (uint64_t skip = chance_below(3); skip > 0 && l->next != &w->head; skip--)
        l = l->next;
    wake(l);
}

static void waiters_wake_all(struct waiters *w)
{
    while (!waiters_none(w))
        wake(w->head.next);
}

/* ---- mutex ---- */

struct mutex {
    struct fiber *owner;
    struct waiters waiters;
};
static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "lives in its bytes");

static struct mutex *mutex_of(pthread_mutex_t *m)
{
    return (struct mutex *)(void *)m;
}

int fiber_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    (void)attr;
    memset(m, 0, sizeof *m);
    return 0;
}

int fiber_mutex_destroy(pthread_mutex_t *m)
{
    assert(!mutex_of(m)->owner && waiters_none(&mutex_of(m)->waiters));
    return 0;
}

int fiber_mutex_lock(pthread_mutex_t *pm)
{
    struct mutex *m = mutex_of(pm);
    struct fiber *f = fiber_current();
    assert(f && m->owner != f);
    if (W.weather.yield && chance(W.weather.yield))
        fiber_wait_for(chance_below(30));
    while (m->owner) {
        waiters_add(&m->waiters);
        fiber_wait();
    }
    m->owner = f;
    return 0;
}

int fiber_mutex_trylock(pthread_mutex_t *pm)
{
    struct mutex *m = mutex_of(pm);
    if (m->owner)
        return EBUSY;
    m->owner = fiber_current();
    return 0;
}

int fiber_mutex_unlock(pthread_mutex_t *pm)
{
    struct mutex *m = mutex_of(pm);
    assert(m->owner == fiber_current());
    m->owner = NULL;
    waiters_wake_one(&m->waiters);
    return 0;
}

int fiber_mutex_lock_now(pthread_mutex_t *pm)
{
    struct mutex *m = mutex_of(pm);
    struct fiber *f = fiber_current();
    while (m->owner && m->owner != f) {
        waiters_add(&m->waiters);
        fiber_wait();
    }
    m->owner = f;
    return 0;
}

int fiber_mutex_unlock_now(pthread_mutex_t *pm)
{
    struct mutex *m = mutex_of(pm);
    m->owner = NULL;
    waiters_wake_one(&m->waiters);
    return 0;
}

/* ---- condition ---- */

static_assert(sizeof(struct waiters) <= sizeof(pthread_cond_t), "lives in its bytes");

static struct waiters *cond_of(pthread_cond_t *c)
{
    return (struct waiters *)(void *)c;
}

int fiber_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
    (void)attr;
    memset(c, 0, sizeof *c);
    return 0;
}

int fiber_cond_destroy(pthread_cond_t *c)
{
    assert(waiters_none(cond_of(c)));
    return 0;
}

int fiber_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    waiters_add(cond_of(c));
    fiber_mutex_unlock(m);
    fiber_wait();
    return fiber_mutex_lock(m);
}

int fiber_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *deadline)
{
    struct fiber *f = fiber_current();
    uint64_t at = (uint64_t)deadline->tv_sec * NS_PER_S + (uint64_t)deadline->tv_nsec;
    uint64_t now = fiber_mono_ns();
    waiters_add(cond_of(c));
    fiber_mutex_unlock(m);
    fiber_wait_for(at > now ? (at - now) / 1000 + 1 : 0);
    bool timed_out = f->timed_out;
    if (timed_out)
        list_remove(&f->waiting);
    fiber_mutex_lock(m);
    return timed_out ? ETIMEDOUT : 0;
}

int fiber_cond_signal(pthread_cond_t *c)
{
    waiters_wake_one(cond_of(c));
    return 0;
}

int fiber_cond_broadcast(pthread_cond_t *c)
{
    waiters_wake_all(cond_of(c));
    return 0;
}

/* ---- read-write lock; writers first ---- */

struct rwlock {
    struct fiber *writer;
    uint32_t readers, writers_waiting;
    struct waiters waiters;
};
static_assert(sizeof(struct rwlock) <= sizeof(pthread_rwlock_t), "lives in its bytes");

static struct rwlock *rwlock_of(pthread_rwlock_t *l)
{
    return (struct rwlock *)(void *)l;
}

int fiber_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *attr)
{
    (void)attr;
    memset(l, 0, sizeof *l);
    return 0;
}

int fiber_rwlock_destroy(pthread_rwlock_t *l)
{
    assert(!rwlock_of(l)->writer && !rwlock_of(l)->readers);
    return 0;
}

int fiber_rwlock_rdlock(pthread_rwlock_t *pl)
{
    struct rwlock *l = rwlock_of(pl);
    while (l->writer || l->writers_waiting) {
        waiters_add(&l->waiters);
        fiber_wait();
    }
    l->readers++;
    return 0;
}

int fiber_rwlock_tryrdlock(pthread_rwlock_t *pl)
{
    struct rwlock *l = rwlock_of(pl);
    if (l->writer || l->writers_waiting)
        return EBUSY;
    l->readers++;
    return 0;
}

int fiber_rwlock_wrlock(pthread_rwlock_t *pl)
{
    struct rwlock *l = rwlock_of(pl);
    l->writers_waiting++;
    while (l->writer || l->readers) {
        waiters_add(&l->waiters);
        fiber_wait();
    }
    l->writers_waiting--;
    l->writer = fiber_current();
    return 0;
}

int fiber_rwlock_trywrlock(pthread_rwlock_t *pl)
{
    struct rwlock *l = rwlock_of(pl);
    if (l->writer || l->readers)
        return EBUSY;
    l->writer = fiber_current();
    return 0;
}

int fiber_rwlock_unlock(pthread_rwlock_t *pl)
{
    struct rwlock *l = rwlock_of(pl);
    if (l->writer)
        l->writer = NULL;
    else
        l->readers--;
    if (!l->readers)
        waiters_wake_all(&l->waiters);
    return 0;
}

/* ---- semaphore ---- */

struct semaphore {
    unsigned value;
    struct waiters waiters;
};
static_assert(sizeof(struct semaphore) <= sizeof(sem_t), "lives in its bytes");

static struct semaphore *sem_of(sem_t *s)
{
    return (struct semaphore *)(void *)s;
}

int fiber_sem_init(sem_t *s, int shared, unsigned value)
{
    (void)shared;
    memset(s, 0, sizeof *s);
    sem_of(s)->value = value;
    return 0;
}

int fiber_sem_destroy(sem_t *s)
{
    assert(waiters_none(&sem_of(s)->waiters));
    return 0;
}

int fiber_sem_post(sem_t *s)
{
    sem_of(s)->value++;
    waiters_wake_one(&sem_of(s)->waiters);
    return 0;
}

int fiber_sem_wait(sem_t *ps)
{
    struct semaphore *s = sem_of(ps);
    while (s->value == 0) {
        waiters_add(&s->waiters);
        fiber_wait();
    }
    s->value--;
    return 0;
}

int fiber_sem_trywait(sem_t *ps)
{
    struct semaphore *s = sem_of(ps);
    if (s->value == 0) {
        errno = EAGAIN;
        return -1;
    }
    s->value--;
    return 0;
}

int fiber_sem_clockwait(sem_t *ps, clockid_t clock, const struct timespec *deadline)
{
    struct semaphore *s = sem_of(ps);
    struct timespec t;
    fiber_clock_gettime(clock, &t);
    int64_t ns = (int64_t)(deadline->tv_sec - t.tv_sec) * (int64_t)NS_PER_S +
                 (deadline->tv_nsec - t.tv_nsec);
    uint64_t until = W.now + (ns > 0 ? (uint64_t)ns / 1000 + 1 : 0);
    while (s->value == 0) {
        if (W.now >= until) {
            errno = ETIMEDOUT;
            return -1;
        }
        waiters_add(&s->waiters);
        fiber_wait_for(until - W.now);
        list_remove(&fiber_current()->waiting);
    }
    s->value--;
    return 0;
}

/* ---- time ---- */

uint64_t fiber_mono_ns(void)
{
    struct member *m = member_current();
    return m ? member_mono_ns(m) : now_us() * 1000;
}

int64_t fiber_wall_ns(void)
{
    struct member *m = member_current();
    return 1800000000ll * (int64_t)NS_PER_S + (int64_t)now_us() * 1000 +
           (m ? m->wall_offset_ns : 0);
}

int64_t fiber_wall_s(void)
{
    return fiber_wall_ns() / (int64_t)NS_PER_S;
}

int fiber_clock_gettime(clockid_t clock, struct timespec *out)
{
    uint64_t ns = clock == CLOCK_REALTIME ? (uint64_t)fiber_wall_ns() : fiber_mono_ns();
    out->tv_sec = (time_t)(ns / NS_PER_S);
    out->tv_nsec = (long)(ns % NS_PER_S);
    return 0;
}

int fiber_nanosleep(const struct timespec *t, struct timespec *left)
{
    (void)left;
    fiber_wait_for((uint64_t)t->tv_sec * SECOND + (uint64_t)t->tv_nsec / 1000 + 1);
    return 0;
}

int fiber_usleep(unsigned us)
{
    fiber_wait_for(us + 1);
    return 0;
}

int fiber_yield(void)
{
    fiber_wait_for(1);
    return 0;
}

/* ---- the end of the process ---- */

void fiber_exit_process(int code)
{
    trace("member %u: the process ends with code %d", member_current()->number, code);
    member_current()->how = DEATH_CRASH;
    fiber_die();
}

void fiber_abort(void)
{
    broken("member %u: abort()", member_current()->number);
}
