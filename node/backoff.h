/*
 * Exponential back-off per key, kubelet's way: the first failure delays the second try by
 * `initial`, each further one doubles that up to `max`, and a key that has been quiet for twice
 * `max` starts over. Used for restarts of containers (10 s … 5 min) and for image pulls.
 * Thread-safe. Times are nanoseconds of one clock, passed in.
 */
#ifndef C8S_NODE_BACKOFF_H
#define C8S_NODE_BACKOFF_H

#include <stdint.h>

struct backoff;

struct backoff *backoff_new(uint64_t initial_ns, uint64_t max_ns);
void backoff_free(struct backoff *b);

/* How long a retry of something that failed at `since` still has to wait at `now`; 0: go ahead. */
uint64_t backoff_wait(struct backoff *b, const char *key, int64_t since, int64_t now);
/* A retry of something that failed at `since` begins: the next one waits longer. Returns the new
 * delay. */
uint64_t backoff_next(struct backoff *b, const char *key, int64_t since);
/* The key's present delay, 0 when it has none. */
uint64_t backoff_delay(struct backoff *b, const char *key);
/* Forget a key, or every key that begins with `prefix`. */
void backoff_reset(struct backoff *b, const char *key);
void backoff_reset_prefix(struct backoff *b, const char *prefix);

#endif
