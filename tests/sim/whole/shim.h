/*
 * Included before everything else when the store's sources are compiled for the simulator: their
 * threads become fibers, their clocks virtual, and the end of the process the end of the member.
 */
#ifndef C8S_TESTS_SIM_WHOLE_SHIM_H
#define C8S_TESTS_SIM_WHOLE_SHIM_H

#include "base/clock.h"
#include "fiber_sync.h"
#include "net/loop.h"
#include "net/stream.h"
#include <pthread.h>
#include <sys/resource.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define pthread_create fiber_thread_create
#define pthread_join fiber_thread_join
#define pthread_detach fiber_thread_detach
#define pthread_self fiber_thread_self
#define pthread_setname_np fiber_thread_setname
#define setpriority(which, who, nice) 0
#define pthread_mutex_init fiber_mutex_init
#define pthread_mutex_destroy fiber_mutex_destroy
#define pthread_mutex_lock fiber_mutex_lock
#define pthread_mutex_trylock fiber_mutex_trylock
#define pthread_mutex_unlock fiber_mutex_unlock
#define pthread_cond_init fiber_cond_init
#define pthread_cond_destroy fiber_cond_destroy
#define pthread_cond_wait fiber_cond_wait
#define pthread_cond_timedwait fiber_cond_timedwait
#define pthread_cond_signal fiber_cond_signal
#define pthread_cond_broadcast fiber_cond_broadcast
#define pthread_rwlock_init fiber_rwlock_init
#define pthread_rwlock_destroy fiber_rwlock_destroy
#define pthread_rwlock_rdlock fiber_rwlock_rdlock
#define pthread_rwlock_tryrdlock fiber_rwlock_tryrdlock
#define pthread_rwlock_wrlock fiber_rwlock_wrlock
#define pthread_rwlock_trywrlock fiber_rwlock_trywrlock
#define pthread_rwlock_unlock fiber_rwlock_unlock

#define sem_init fiber_sem_init
#define sem_destroy fiber_sem_destroy
#define sem_post fiber_sem_post
#define sem_wait fiber_sem_wait
#define sem_trywait fiber_sem_trywait
#define sem_clockwait fiber_sem_clockwait

#define clock_gettime fiber_clock_gettime
#define clock_mono_ns fiber_mono_ns
#define clock_boot_ns fiber_mono_ns
#define clock_wall_ns fiber_wall_ns
#define clock_wall_s fiber_wall_s
#define nanosleep fiber_nanosleep
#define usleep fiber_usleep
#define sched_yield fiber_yield
#define _exit fiber_exit_process
#define exit fiber_exit_process
#define abort fiber_abort

/* What has no counterpart yet would reach the real thing on a fiber's bytes. */
#pragma GCC poison pthread_mutex_timedlock pthread_mutex_clocklock pthread_rwlock_timedrdlock
#pragma GCC poison pthread_rwlock_timedwrlock pthread_rwlock_clockrdlock pthread_rwlock_clockwrlock
#pragma GCC poison pthread_cond_clockwait pthread_spin_lock pthread_barrier_wait pthread_once
#pragma GCC poison sem_timedwait
#pragma GCC poison clock_nanosleep pthread_cancel pthread_key_create

/* net/loop.h and net/stream.h, on fibers and the simulated network (loop.c, net.c). */
#include "shim_net.h"

#endif
