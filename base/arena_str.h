/*
 * Slices in arenas. (arena_strndup is for C strings: it ends at the first NUL, and so does the memory it takes.)
 */
#ifndef C8S_BASE_ARENA_STR_H
#define C8S_BASE_ARENA_STR_H

#include "base/arena.h"
#include "base/str.h"

/* All bytes, NULs too, and a NUL behind them. */
static inline struct str arena_copy(struct arena *a, struct str s)
{
    char *copy = (char *)arena_alloc(a, s.n + 1);
    if (!copy)
        return STR_NONE;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return str_make(copy, s.n);
}

#endif
