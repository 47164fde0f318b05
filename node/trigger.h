/*
 * Trigger: a thread that does one thing again whenever it is poked, never twice at the same time
 * and not more often than an interval. Pokes while it works or waits become one more run.
 */
#ifndef C8S_NODE_TRIGGER_H
#define C8S_NODE_TRIGGER_H

#include <stdint.h>

struct trigger;

/* `run` returns the milliseconds after which it wants to run again without a poke, 0: only when
 * poked (a retry after a failure, a periodic check). It runs first at the first poke. */
struct trigger *trigger_start(const char *name, uint32_t interval_ms, uint64_t (*run)(void *ctx),
                              void *ctx);
void trigger_poke(struct trigger *t); /* any thread */
/* Ends the thread after the run under way. */
void trigger_stop(struct trigger *t);

#endif
