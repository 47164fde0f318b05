/*
 * Intrusive binary min-heap.
 */
#include "base/heap.h"
#include "base/mem.h"

#include <assert.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    mem_free(h->items);
    *h = (struct heap){0};
}

static void place(struct heap *h, size_t i, struct heap_item *item)
{
    h->items[i] = item;
    item->index = i + 1;
}

static void sift_up(struct heap *h, size_t i)
{
    struct heap_item *item = h->items[i];
    while (i > 0 && h->items[(i - 1) / 2]->key > item->key) {
        place(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, item);
}

static void sift_down(struct heap *h, size_t i)
{
    struct heap_item *item = h->items[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->len)
            break;
        if (child + 1 < h->len && h->items[child + 1]->key < h->items[child]->key)
            child++;
        if (h->items[child]->key >= item->key)
            break;
        place(h, i, h->items[child]);
        i = child;
    }
    place(h, i, item);
}

void heap_insert(struct heap *h, struct heap_item *item, uint64_t key)
{
    assert(item->index == 0);
    if (h->len == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->items = mem_realloc_array(h->items, h->cap, sizeof *h->items);
    }
    item->key = key;
    place(h, h->len++, item);
    sift_up(h, h->len - 1);
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    if (item->index == 0)
        return;
    size_t i = item->index - 1;
    assert(i < h->len && h->items[i] == item);
    item->index = 0;
    struct heap_item *last = h->items[--h->len];
    if (last == item)
        return;
    place(h, i, last);
    sift_up(h, i);
    sift_down(h, last->index - 1);
}

void heap_rekey(struct heap *h, struct heap_item *item, uint64_t key)
{
    heap_remove(h, item);
    heap_insert(h, item, key);
}

struct heap_item *heap_peek(const struct heap *h)
{
    return h->len ? h->items[0] : NULL;
}

struct heap_item *heap_pop(struct heap *h)
{
    struct heap_item *top = heap_peek(h);
    if (top)
        heap_remove(h, top);
    return top;
}
