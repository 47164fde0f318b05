/*
 * Answers to GETs in JSON that were written a moment ago: what does not change (configuration, a class, a lease
 * between two renewals) is asked for again and again, and a version of an object has one text.
 *
 * A table of few, small entries, found by the object's key: a newcomer takes the place of whoever was there. Each
 * loop has its own; no locks.
 */
#ifndef C8S_APISERVER_REST_ANSWER_CACHE_H
#define C8S_APISERVER_REST_ANSWER_CACHE_H

#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define ANSWER_CACHE_ENTRIES 128u
#define ANSWER_CACHE_TEXT_MAX 8192u /* longer ones are not kept: 1 MB in all at most */

struct resource;
struct answer_cache;

struct answer_cache *answer_cache_new(void);
void answer_cache_free(struct answer_cache *c);
/* The text of the object of that key and version, as resource `r` shows it; valid until the next call. `r` is one of
 * those that live as long as the process. */
bool answer_cache_get(const struct answer_cache *c, const struct resource *r, struct str key,
                      int64_t mod_rev, struct str *text);
void answer_cache_put(struct answer_cache *c, const struct resource *r, struct str key,
                      int64_t mod_rev, struct str text);

#endif
