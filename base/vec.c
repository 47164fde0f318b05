/*
 * The growth behind VEC.
 */
#include "base/vec.h"

void *vec_grow_(void *items, size_t *cap, size_t need, size_t item_size)
{
    size_t grown = *cap + *cap / 2;
    size_t n = MAX(MAX(grown, need), (size_t)4);
    items = mem_realloc_array(items, n, item_size);
    *cap = n;
    return items;
}
