/*
 * Intrusive binary min-heap ordered by a 64-bit key (a deadline in ns, a priority): peek O(1),
 * insert, remove and re-key O(log n). Ties come out in no particular order.
 */
#ifndef C8S_BASE_HEAP_H
#define C8S_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    uint64_t key;
    size_t index; /* position + 1; 0: not in a heap */
};

struct heap {
    struct heap_item **items;
    size_t len, cap;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h); /* frees the array, not the items */
void heap_insert(struct heap *h, struct heap_item *item,
                 uint64_t key);                           /* item must not be in a heap */
void heap_remove(struct heap *h, struct heap_item *item); /* no-op when not in the heap */
void heap_rekey(struct heap *h, struct heap_item *item, uint64_t key); /* inserts when absent */
struct heap_item *heap_peek(const struct heap *h);                     /* NULL when empty */
struct heap_item *heap_pop(struct heap *h);                            /* NULL when empty */

#endif
