/*
 * Typed growable arrays:
 *
 *     VEC(struct str) names = {0};
 *     vec_push(&names, STR("a"));
 *     for (size_t i = 0; i < names.len; i++) use(names.items[i]);
 *     vec_free(&names);
 */
#ifndef C8S_BASE_VEC_H
#define C8S_BASE_VEC_H

#include "base/mem.h"
#include <string.h>

#define VEC(type)        \
    struct {             \
        type *items;     \
        size_t len, cap; \
    }

/* Grow so that `n` items fit; `v` may be any VEC. */
#define vec_reserve(v, n)    \
    ((v)->cap >= (size_t)(n) \
         ? (void)0           \
         : (void)((v)->items = vec_grow_((v)->items, &(v)->cap, (size_t)(n), sizeof *(v)->items)))
#define vec_push(v, ...) \
    (vec_reserve(v, (v)->len + 1), (void)((v)->items[(v)->len++] = (__VA_ARGS__)))
#define vec_pop(v) ((v)->items[--(v)->len])
#define vec_clear(v) ((void)((v)->len = 0))
/* Remove item i, keeping the order. */
#define vec_remove(v, i)                                                                     \
    (memmove(&(v)->items[i], &(v)->items[(i) + 1], ((v)->len - (i)-1) * sizeof *(v)->items), \
     (void)(v)->len--)
#define vec_free(v) (mem_free((v)->items), (void)((v)->items = NULL, (v)->len = (v)->cap = 0))

void *vec_grow_(void *items, size_t *cap, size_t need, size_t item_size);

#endif
