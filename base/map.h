/*
 * Hash map from byte strings to pointers. Keys are copied in; values belong to the caller. Open
 * addressing, SipHash-1-3 keyed at random per process, so that chosen keys cannot collide on
 * purpose. Not thread-safe. Iteration order is unspecified; removing the current entry while
 * iterating is allowed, inserting is not.
 */
#ifndef C8S_BASE_MAP_H
#define C8S_BASE_MAP_H

#include "base/str.h"

struct map_entry;

struct map {
    struct map_entry *slots;
    size_t len;      /* live entries */
    size_t used;     /* live and deleted slots */
    size_t capacity; /* power of two, or 0 */
};

void map_init(struct map *m);
void map_free(struct map *m); /* frees keys, not values */
void *map_get(const struct map *m, struct str key);
bool map_has(const struct map *m, struct str key);
/* Insert or replace; returns the value replaced, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the value removed, or NULL. */
void *map_remove(struct map *m, struct str key);
void map_clear(struct map *m);

struct map_iter {
    size_t next;
    struct str key; /* NUL-terminated copy, owned by the map */
    void *value;
};
/* struct map_iter it = {0}; while (map_next(m, &it)) … */
bool map_next(const struct map *m, struct map_iter *it);

uint64_t hash_bytes(const void *p, size_t n); /* SipHash-1-3 with the process's random key */

#endif
