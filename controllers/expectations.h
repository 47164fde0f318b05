/*
 * What a controller has asked for and not yet seen in its cache.
 *
 * A controller that creates three pods and looks at its cache a moment later may see none of them
 * and would create three more. So it notes what it expects before it writes, handlers tick off what
 * arrives, and the controller does nothing to a key that still expects something. Expectations that
 * are not met within five minutes no longer count: the cache is then believed.
 *
 * Thread-safe.
 */
#ifndef C8S_CONTROLLERS_EXPECTATIONS_H
#define C8S_CONTROLLERS_EXPECTATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expectations;
struct expectations *expectations_new(void);
void expectations_free(struct expectations *e);

/* Expect n creations for the key from now on (what was expected before is forgotten). */
void expect_creations(struct expectations *e, const char *key, unsigned n);
/* Expect that the objects with these uids go. */
void expect_deletions(struct expectations *e, const char *key, const char *const *uids, size_t n);
/* One creation was seen, or failed and will not be seen. */
void creation_observed(struct expectations *e, const char *key);
void deletion_observed(struct expectations *e, const char *key, const char *uid);
/* Nothing is awaited (any more). */
bool expectations_met(struct expectations *e, const char *key);
void expectations_forget(struct expectations *e, const char *key);

#endif
