/*
 * What shim.h turns the store's threads, locks, clocks and ends of the process into. Locks and
 * conditions live in the bytes of the pthread objects; who gets a lock next, and who is woken by a
 * signal, is drawn.
 */
#ifndef C8S_TESTS_SIM_WHOLE_FIBER_SYNC_H
#define C8S_TESTS_SIM_WHOLE_FIBER_SYNC_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <time.h>

int fiber_thread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg),
                        void *arg);
int fiber_thread_join(pthread_t thread, void **result);
int fiber_thread_detach(pthread_t thread);
pthread_t fiber_thread_self(void);
int fiber_thread_setname(pthread_t thread, const char *name);

int fiber_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int fiber_mutex_destroy(pthread_mutex_t *m);
int fiber_mutex_lock(pthread_mutex_t *m);
int fiber_mutex_trylock(pthread_mutex_t *m);
int fiber_mutex_unlock(pthread_mutex_t *m);
/* For locks of libraries: nobody else runs first, and who has it may take it again. */
int fiber_mutex_lock_now(pthread_mutex_t *m);
int fiber_mutex_unlock_now(pthread_mutex_t *m);

int fiber_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int fiber_cond_destroy(pthread_cond_t *c);
int fiber_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
/* The deadline is on the member's monotonic clock. */
int fiber_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *deadline);
int fiber_cond_signal(pthread_cond_t *c);
int fiber_cond_broadcast(pthread_cond_t *c);

int fiber_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *attr);
int fiber_rwlock_destroy(pthread_rwlock_t *l);
int fiber_rwlock_rdlock(pthread_rwlock_t *l);
int fiber_rwlock_tryrdlock(pthread_rwlock_t *l);
int fiber_rwlock_wrlock(pthread_rwlock_t *l);
int fiber_rwlock_trywrlock(pthread_rwlock_t *l);
int fiber_rwlock_unlock(pthread_rwlock_t *l);

int fiber_sem_init(sem_t *s, int shared, unsigned value);
int fiber_sem_destroy(sem_t *s);
int fiber_sem_post(sem_t *s);
int fiber_sem_wait(sem_t *s);
int fiber_sem_trywait(sem_t *s);
/* The deadline is on the member's clock, whichever is named. */
int fiber_sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *deadline);

int fiber_clock_gettime(clockid_t clock, struct timespec *out);
uint64_t fiber_mono_ns(void);
int64_t fiber_wall_ns(void);
int64_t fiber_wall_s(void);
int fiber_nanosleep(const struct timespec *for_how_long, struct timespec *left);
int fiber_usleep(unsigned us);
int fiber_yield(void);

void fiber_exit_process(int code) __attribute__((noreturn)); /* _exit, exit, abort */
void fiber_abort(void) __attribute__((noreturn));

#endif
