/*
 * The table of leases in memory (kvstore/lease.h).
 */
#include "kvstore/lease.h"
#include "kvstore/proposal.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdlib.h>

static struct str id_key(const int64_t *id)
{
    return str_make(id, sizeof *id);
}

static struct lease *find(struct lease_table *t, int64_t id)
{
    return map_get(&t->by_id, id_key(&id));
}

void lease_table_init(struct lease_table *t, uint64_t checkpoint_ns)
{
    pthread_mutex_init(&t->lock, NULL);
    t->term = 0;
    t->checkpoint_ns = checkpoint_ns;
    map_init(&t->by_id);
    heap_init(&t->heap);
    heap_init(&t->checkpoints);
}

static void lease_free(struct lease_table *t, struct lease *l)
{
    heap_remove(&t->heap, &l->item);
    heap_remove(&t->checkpoints, &l->checkpoint);
    mem_free(l);
}

static void clear_locked(struct lease_table *t)
{
    struct map_iter it = {0};
    while (map_next(&t->by_id, &it))
        lease_free(t, it.value);
    map_clear(&t->by_id);
}

void lease_table_clear(struct lease_table *t)
{
    pthread_mutex_lock(&t->lock);
    clear_locked(t);
    t->term = 0;
    pthread_mutex_unlock(&t->lock);
}

void lease_table_free(struct lease_table *t)
{
    clear_locked(t);
    map_free(&t->by_id);
    heap_free(&t->heap);
    heap_free(&t->checkpoints);
    pthread_mutex_destroy(&t->lock);
}

/* ---- deadlines; lock held ---- */

static void checkpoint_schedule(struct lease_table *t, struct lease *l, uint64_t now_ns)
{
    bool due = l->deadline_ns > now_ns && l->deadline_ns - now_ns > t->checkpoint_ns;
    if (due)
        heap_rekey(&t->checkpoints, &l->checkpoint, now_ns + t->checkpoint_ns);
    else
        heap_remove(&t->checkpoints, &l->checkpoint);
}

/* `left_s` from now on, and `extend_ns`. TTLs are ≤ 9e9 s: nothing overflows. */
static void set_deadline(struct lease_table *t, struct lease *l, int64_t left_s, uint64_t extend_ns,
                         uint64_t now_ns)
{
    l->deadline_ns = now_ns + (uint64_t)left_s * NS_PER_S + extend_ns;
    heap_rekey(&t->heap, &l->item, l->deadline_ns);
    checkpoint_schedule(t, l, now_ns);
}

static int64_t left_at_election(const struct lease *l)
{
    return l->remaining_s > 0 ? l->remaining_s : l->ttl_s;
}

void lease_table_lead(struct lease_table *t, uint64_t term, uint64_t extend_ns, uint64_t now_ns)
{
    struct map_iter it = {0};
    pthread_mutex_lock(&t->lock);
    if (term > t->term) {
        t->term = term;
        while (map_next(&t->by_id, &it)) {
            struct lease *l = it.value;
            set_deadline(t, l, left_at_election(l), extend_ns, now_ns);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

void lease_table_follow(struct lease_table *t)
{
    struct map_iter it = {0};
    pthread_mutex_lock(&t->lock);
    if (t->term) {
        t->term = 0;
        while (map_next(&t->by_id, &it)) {
            struct lease *l = it.value;
            heap_remove(&t->heap, &l->item);
            heap_remove(&t->checkpoints, &l->checkpoint);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

bool lease_table_is_led(struct lease_table *t, uint64_t term)
{
    pthread_mutex_lock(&t->lock);
    bool led = term && t->term == term;
    pthread_mutex_unlock(&t->lock);
    return led;
}

/* ---- what has been applied ---- */

void lease_table_add(struct lease_table *t, int64_t id, int64_t ttl_s, int64_t remaining_s,
                     uint64_t now_ns)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = find(t, id);
    if (!l) {
        l = mem_zalloc(sizeof *l);
        l->id = id;
        map_put(&t->by_id, id_key(&id), l);
    }
    l->ttl_s = ttl_s;
    l->remaining_s = remaining_s;
    if (t->term)
        set_deadline(t, l, left_at_election(l), 0, now_ns);
    pthread_mutex_unlock(&t->lock);
}

void lease_table_remove(struct lease_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = map_remove(&t->by_id, id_key(&id));
    if (l)
        lease_free(t, l);
    pthread_mutex_unlock(&t->lock);
}

bool lease_table_set_remaining(struct lease_table *t, int64_t id, int64_t remaining_s,
                               uint64_t now_ns, int64_t *ttl_s)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = find(t, id);
    if (l) {
        l->remaining_s = remaining_s;
        *ttl_s = l->ttl_s;
        if (t->term)
            checkpoint_schedule(t, l, now_ns);
    }
    pthread_mutex_unlock(&t->lock);
    return l != NULL;
}

/* ---- questions ---- */

static enum lease_state state_of(const struct lease_table *t, const struct lease *l,
                                 uint64_t now_ns)
{
    if (!l)
        return LEASE_ABSENT;
    return t->term && l->deadline_ns <= now_ns ? LEASE_EXPIRED : LEASE_LIVE;
}

enum lease_state lease_table_get(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s,
                                 int64_t *remaining_s)
{
    pthread_mutex_lock(&t->lock);
    const struct lease *l = find(t, id);
    enum lease_state state = state_of(t, l, now_ns);
    if (l) {
        *ttl_s = *remaining_s = l->ttl_s;
        if (t->term)
            *remaining_s =
                state == LEASE_LIVE ? (int64_t)((l->deadline_ns - now_ns) / NS_PER_S) : 0;
    }
    pthread_mutex_unlock(&t->lock);
    return state;
}

bool lease_table_has(struct lease_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    bool has = find(t, id) != NULL;
    pthread_mutex_unlock(&t->lock);
    return has;
}

enum lease_state lease_table_renew(struct lease_table *t, uint64_t term, int64_t id,
                                   uint64_t now_ns, int64_t *ttl_s)
{
    pthread_mutex_lock(&t->lock);
    struct lease *l = find(t, id);
    enum lease_state state = t->term == term ? state_of(t, l, now_ns) : LEASE_NOT_LED;
    if (state == LEASE_LIVE && l->remaining_s > 0)
        state = LEASE_CHECKPOINT;
    if (state == LEASE_LIVE) {
        set_deadline(t, l, l->ttl_s, 0, now_ns);
        *ttl_s = l->ttl_s;
    }
    pthread_mutex_unlock(&t->lock);
    return state;
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
        /* From now on for whoever renews it, too, who may have looked at the clock before. */
        l->deadline_ns = 0;
        heap_rekey(&t->heap, item, now_ns + retry_ns);
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

size_t lease_table_checkpoints(struct lease_table *t, uint64_t now_ns, struct lease_left *out,
                               size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&t->lock);
    while (n < max) {
        struct heap_item *item = heap_peek(&t->checkpoints);
        if (!item || item->key > now_ns)
            break;
        struct lease *l = container_of(item, struct lease, checkpoint);
        heap_rekey(&t->checkpoints, item, now_ns + t->checkpoint_ns);
        if (l->deadline_ns <= now_ns)
            continue;
        int64_t left = (int64_t)((l->deadline_ns - now_ns + NS_PER_S - 1) / NS_PER_S);
        if (left < l->ttl_s)
            out[n++] = (struct lease_left){l->id, left};
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
