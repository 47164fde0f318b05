/*
 * Which watchers want a key (kvstore/watch/state.h).
 */
#include "kvstore/watch/state.h"
#include "base/mem.h"
#include <assert.h>

void watch_index_init(struct watch_index *x)
{
    *x = (struct watch_index){0};
    map_init(&x->exact);
    map_init(&x->prefixes);
}

static void free_lists(struct map *m)
{
    struct map_iter it = {0};
    while (map_next(m, &it)) {
        watch_vec *v = it.value;
        vec_free(v);
        mem_free(v);
    }
    map_free(m);
}

void watch_index_free(struct watch_index *x)
{
    free_lists(&x->exact);
    free_lists(&x->prefixes);
    vec_free(&x->lengths);
    vec_free(&x->others);
}

static void list_add(struct map *m, struct str key, struct kv_watch *w)
{
    watch_vec *v = map_get(m, key);
    if (!v) {
        v = mem_zalloc(sizeof *v);
        map_put(m, key, v);
    }
    vec_push(v, w);
}

static void vec_drop(watch_vec *v, struct kv_watch *w)
{
    for (size_t i = 0; i < v->len; i++)
        if (v->items[i] == w) {
            v->items[i] = v->items[--v->len];
            return;
        }
    assert(!"watch is not in the index");
}

static void list_drop(struct map *m, struct str key, struct kv_watch *w)
{
    watch_vec *v = map_get(m, key);
    assert(v);
    vec_drop(v, w);
    if (v->len == 0) {
        map_remove(m, key);
        vec_free(v);
        mem_free(v);
    }
}

static void length_add(struct watch_index *x, struct str prefix)
{
    size_t i = 0, len = prefix.n;
    char last = len ? prefix.p[len - 1] : 0;
    while (i < x->lengths.len && x->lengths.items[i].len < len)
        i++;
    struct prefix_length *there = i < x->lengths.len ? &x->lengths.items[i] : NULL;
    if (there && there->len == len) {
        there->used++;
        there->alike = there->alike && there->last == last;
        return;
    }
    vec_push(&x->lengths, ((struct prefix_length){0}));
    memmove(&x->lengths.items[i + 1], &x->lengths.items[i],
            (x->lengths.len - 1 - i) * sizeof *x->lengths.items);
    x->lengths.items[i] = (struct prefix_length){len, 1, len > 0, last};
}

static void length_drop(struct watch_index *x, size_t len)
{
    for (size_t i = 0; i < x->lengths.len; i++)
        if (x->lengths.items[i].len == len) {
            if (--x->lengths.items[i].used == 0)
                vec_remove(&x->lengths, i);
            return;
        }
}

void watch_index_add(struct watch_index *x, struct kv_watch *w)
{
    switch (w->index_kind) {
    case WATCH_EXACT:
        list_add(&x->exact, w->range.from, w);
        break;
    case WATCH_PREFIX:
        list_add(&x->prefixes, w->range.from, w);
        length_add(x, w->range.from);
        break;
    case WATCH_RANGE:
        vec_push(&x->others, w);
        break;
    }
}

void watch_index_remove(struct watch_index *x, struct kv_watch *w)
{
    switch (w->index_kind) {
    case WATCH_EXACT:
        list_drop(&x->exact, w->range.from, w);
        break;
    case WATCH_PREFIX:
        list_drop(&x->prefixes, w->range.from, w);
        length_drop(x, w->range.from.n);
        break;
    case WATCH_RANGE:
        vec_drop(&x->others, w);
        break;
    }
}

static void each(const watch_vec *v, void (*fn)(void *ctx, struct kv_watch *w), void *ctx)
{
    for (size_t i = 0; v && i < v->len; i++)
        fn(ctx, v->items[i]);
}

void watch_index_match(const struct watch_index *x, struct str key,
                       void (*fn)(void *ctx, struct kv_watch *w), void *ctx)
{
    if (x->exact.len)
        each(map_get(&x->exact, key), fn, ctx);
    for (size_t i = 0; i < x->lengths.len && x->lengths.items[i].len <= key.n; i++) {
        const struct prefix_length *l = &x->lengths.items[i];
        if (!l->alike || key.p[l->len - 1] == l->last)
            each(map_get(&x->prefixes, str_slice(key, 0, l->len)), fn, ctx);
    }
    for (size_t i = 0; i < x->others.len; i++)
        if (key_range_has(&x->others.items[i]->range, key))
            fn(ctx, x->others.items[i]);
}
