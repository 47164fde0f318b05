/*
 * What a checker says of a history: sound, or the first thing found wrong, in words.
 *
 * All checkers of this folder work alike: the caller records what its clients asked and saw, with times of
 * one monotonic clock, calls check_*() once at the end, and gets a verdict. An operation without an answer
 * is "unknown": it may have taken effect at any time after its start, or not at all; it is never an error.
 */
#ifndef C8S_ROBUSTNESS_VERDICT_H
#define C8S_ROBUSTNESS_VERDICT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct verdict {
    bool bad;
    char why[400]; /* "stale read: …"; empty while not bad */
};

/* The first fault stays. Returns false, so that a check can `return verdict_fail(…)`. */
__attribute__((format(printf, 2, 3))) static inline bool verdict_fail(struct verdict *v,
                                                                      const char *format, ...)
{
    va_list args;
    if (v->bad)
        return false;
    v->bad = true;
    va_start(args, format);
    vsnprintf(v->why, sizeof v->why, format, args);
    va_end(args);
    return false;
}

/* qsort that takes an empty array without a place. */
static inline void check_sort(void *items, size_t n, size_t size,
                              int (*compare)(const void *, const void *))
{
    if (n > 1)
        qsort(items, n, size, compare);
}

#endif
