/*
 * Signals and threads: those sent to the process are the main thread's; a thread's own faults are its own.
 */
#ifndef C8S_BASE_SIGNALS_H
#define C8S_BASE_SIGNALS_H

#include <signal.h>

/*
 * Around pthread_create, for the new thread to get none of the process's signals: the calling thread blocks them, and
 * *before is what it blocked until now. Faults (SIGSEGV, SIGBUS, …) stay open: the kernel ends a process at once whose
 * thread blocks its own fault, whatever handler there is.
 */
void signals_block(sigset_t *before);
void signals_restore(const sigset_t *before);

#endif
