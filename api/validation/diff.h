/*
 * What some refusals end with: the difference of two values, as upstream shows it (its util/diff since 1.34).
 * A unified diff of the JSON of its internal types: their fields in their order, named as in Go, none left out,
 * a line each.
 */
#ifndef C8S_API_VALIDATION_DIFF_H
#define C8S_API_VALIDATION_DIFF_H

#include "base/arena.h"

/* The object (NULL: null) as JSON of its internal type, in one line. */
const char *internal_json(struct arena *a, const void *object);

/* Objects of one type (or NULL); in the arena. Ends with a line's end; "" when the two look the same, or are too
 * large for the comparison to be worth its time. */
const char *internal_diff(struct arena *a, const void *old, const void *new);

/* The same of two lists of objects. */
const char *internal_list_diff(struct arena *a, const void *const *old, size_t n_old,
                               const void *const *new, size_t n_new);

/* The lines of `new` that are not in `old` and the other way round, with three lines around them. As
 * internal_diff. */
const char *unified_diff(struct arena *a, const char *old, const char *new);

#endif
