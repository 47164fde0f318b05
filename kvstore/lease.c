/*
 * The table of leases in memory (kvstore/lease.h).
 */
#include "kvstore/lease.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdlib.h>

static struct str id_key(const int64_t *id)
{
    return str_make(id, sizeof *id);
}

void lease_table_init(struct lease_table *t)
{
    pthread_mutex_init(&t->lock, NULL);
    map_init(&t->by_id);
    heap_init(&t->heap);
}

static void clear_locked(struct lease_table *t)
{
    struct map_iter it = {0};
    while (map_next(&t->by_id, &it)) {
        struct lease *l = it.value;
        heap_remove(&t->heap, &l->item);
        mem_free(l);
    }
    map_clear(&t->by_id);
}

void lease_table_clear(struct lease_table *t)
{
    pthread_mutex_lock(&t->lock);
    clear_locked(t);
    pthread_mutex_unlock(&t->lock);
}

void lease_table_free(struct lease_table *t)
{
    clear_locked(t);
    map_free(&t->by_id);
    heap_free(&t->heap);
    pthread_mutex_destroy(&t->lock);
}

static void set_deadline(struct lease_table *t, struct lease *l, uint64_t now_ns)
{
    l->deadline_ns = now_ns + (uint64_t)l->ttl_s * NS_PER_S; /* TTLs are ≤ 9e9 s: fits */
    heap_rekey(&t->heap, &l->item, l->deadline_ns);
}

void lease_table_add(struct lease_table *t, int64_t id, int64_t ttl_s, uint64_t now_ns)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = map_get(&t->by_id, id_key(&id));
    if (!l) {
        l = mem_zalloc(sizeof *l);
        l->id = id;
        map_put(&t->by_id, id_key(&id), l);
    }
    l->ttl_s = ttl_s;
    set_deadline(t, l, now_ns);
    pthread_mutex_unlock(&t->lock);
}

void lease_table_remove(struct lease_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = map_remove(&t->by_id, id_key(&id));
    if (l)
        heap_remove(&t->heap, &l->item);
    mem_free(l);
    pthread_mutex_unlock(&t->lock);
}

bool lease_table_get(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s,
                     int64_t *remaining_s)
{
    pthread_mutex_lock(&t->lock);
    const struct lease *l = map_get(&t->by_id, id_key(&id));
    if (l) {
        *ttl_s = l->ttl_s;
        *remaining_s = l->deadline_ns > now_ns
                           ? (int64_t)((l->deadline_ns - now_ns + NS_PER_S - 1) / NS_PER_S)
                           : 0;
    }
    pthread_mutex_unlock(&t->lock);
    return l != NULL;
}

bool lease_table_has(struct lease_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    bool has = map_has(&t->by_id, id_key(&id));
    pthread_mutex_unlock(&t->lock);
    return has;
}

bool lease_table_renew(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = map_get(&t->by_id, id_key(&id));
    if (l) {
        set_deadline(t, l, now_ns);
        *ttl_s = l->ttl_s;
    }
    pthread_mutex_unlock(&t->lock);
    return l != NULL;
}

void lease_table_renew_all(struct lease_table *t, uint64_t now_ns)
{
    struct map_iter it = {0};
    pthread_mutex_lock(&t->lock);
    while (map_next(&t->by_id, &it))
        set_deadline(t, it.value, now_ns);
    pthread_mutex_unlock(&t->lock);
}

size_t lease_table_expired(struct lease_table *t, uint64_t now_ns, uint64_t retry_ns, int64_t *ids,
                           size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&t->lock);
    while (n < max) {
        struct heap_item *item = heap_peek(&t->heap);
        if (!item || item->key > now_ns)
            break;
        struct lease *l = container_of(item, struct lease, item);
        ids[n++] = l->id;
        heap_rekey(&t->heap, item, now_ns + retry_ns);
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

size_t lease_table_len(struct lease_table *t)
{
    pthread_mutex_lock(&t->lock);
    size_t n = t->by_id.len;
    pthread_mutex_unlock(&t->lock);
    return n;
}

static int id_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void lease_table_list(struct lease_table *t, struct arena *a, int64_t **ids, size_t *len)
{
    struct map_iter it = {0};
    size_t n = 0;
    pthread_mutex_lock(&t->lock);
    *ids = arena_alloc(a, (t->by_id.len + 1) * sizeof **ids);
    while (map_next(&t->by_id, &it))
        (*ids)[n++] = ((struct lease *)it.value)->id;
    pthread_mutex_unlock(&t->lock);
    qsort(*ids, n, sizeof **ids, id_cmp);
    *len = n;
}
