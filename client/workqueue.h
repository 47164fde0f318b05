/*
 * A queue of keys for level-triggered workers.
 *
 * A key that is added while it waits is there once; one that is added while a worker has it becomes
 * due again when the worker is done, so no two workers ever have the same key and no change is
 * lost. Keys that failed come back after an exponential delay (5 ms · 2ⁿ, at most 1000 s; all
 * together at most 10 per second beyond a burst of 100, as upstream's controllers do).
 *
 *     char *key;
 *     while ((key = workqueue_get(q)) != NULL) {
 *         if (reconcile(ctx, key, &err) < 0) workqueue_add_rate_limited(q, key);
 *         else workqueue_forget(q, key);
 *         workqueue_done(q, key);              // frees key
 *     }
 *
 * Thread-safe. No thread of its own: waiting workers keep the time.
 */
#ifndef C8S_CLIENT_WORKQUEUE_H
#define C8S_CLIENT_WORKQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;
struct workqueue;

/* metrics may be NULL; else workqueue_depth, _adds_total, _retries_total with label name. */
struct workqueue *workqueue_new(const char *name, struct metrics *metrics);
void workqueue_free(struct workqueue *q); /* after all workers have left workqueue_get */

void workqueue_add(struct workqueue *q, const char *key);
/* The earlier of several due times of one key wins. */
void workqueue_add_after(struct workqueue *q, const char *key, uint64_t delay_ms);
void workqueue_add_rate_limited(struct workqueue *q, const char *key);
/* The key succeeded: its delay starts over. */
void workqueue_forget(struct workqueue *q, const char *key);
unsigned workqueue_retries(struct workqueue *q,
                           const char *key); /* failures since the last forget */

/* Blocks; the caller owns the key until workqueue_done. NULL after workqueue_shut_down. */
char *workqueue_get(struct workqueue *q);
/* As workqueue_get, NULL also after timeout_ms. */
char *workqueue_get_timeout(struct workqueue *q, uint32_t timeout_ms);
void workqueue_done(struct workqueue *q, char *key);
size_t workqueue_depth(struct workqueue *q); /* due now */
/* Wakes all workers; keys left are dropped. */
void workqueue_shut_down(struct workqueue *q);

#endif
