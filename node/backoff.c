/*
 * Exponential back-off per key (see backoff.h).
 */
#include "node/backoff.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>

struct entry {
    uint64_t delay_ns;
    int64_t updated_ns; /* when the failure that led to this delay happened */
};

struct backoff {
    pthread_mutex_t lock;
    struct map entries; /* key → struct entry */
    uint64_t initial_ns, max_ns;
};

struct backoff *backoff_new(uint64_t initial_ns, uint64_t max_ns)
{
    struct backoff *b = mem_zalloc(sizeof *b);

    pthread_mutex_init(&b->lock, NULL);
    map_init(&b->entries);
    b->initial_ns = initial_ns;
    b->max_ns = max_ns;
    return b;
}

void backoff_free(struct backoff *b)
{
    struct map_iter it = {0};

    if (!b)
        return;
    while (map_next(&b->entries, &it))
        mem_free(it.value);
    map_free(&b->entries);
    pthread_mutex_destroy(&b->lock);
    mem_free(b);
}

static bool expired(const struct backoff *b, const struct entry *e, int64_t since)
{
    return since - e->updated_ns > (int64_t)(2 * b->max_ns);
}

uint64_t backoff_wait(struct backoff *b, const char *key, int64_t since, int64_t now)
{
    const struct entry *e;
    uint64_t wait = 0;

    pthread_mutex_lock(&b->lock);
    e = map_get(&b->entries, str_from(key));
    if (e && !expired(b, e, since) && now - since < (int64_t)e->delay_ns)
        wait = e->delay_ns - (uint64_t)(now > since ? now - since : 0);
    pthread_mutex_unlock(&b->lock);
    return wait;
}

uint64_t backoff_next(struct backoff *b, const char *key, int64_t since)
{
    struct entry *e;
    uint64_t delay;

    pthread_mutex_lock(&b->lock);
    e = map_get(&b->entries, str_from(key));
    if (!e) {
        e = mem_zalloc(sizeof *e);
        map_put(&b->entries, str_from(key), e);
    }
    if (!e->delay_ns || expired(b, e, since))
        e->delay_ns = b->initial_ns;
    else
        e->delay_ns = MIN(2 * e->delay_ns, b->max_ns);
    e->updated_ns = since;
    delay = e->delay_ns;
    pthread_mutex_unlock(&b->lock);
    return delay;
}

uint64_t backoff_delay(struct backoff *b, const char *key)
{
    const struct entry *e;
    uint64_t delay;

    pthread_mutex_lock(&b->lock);
    e = map_get(&b->entries, str_from(key));
    delay = e ? e->delay_ns : 0;
    pthread_mutex_unlock(&b->lock);
    return delay;
}

void backoff_reset(struct backoff *b, const char *key)
{
    pthread_mutex_lock(&b->lock);
    mem_free(map_remove(&b->entries, str_from(key)));
    pthread_mutex_unlock(&b->lock);
}

void backoff_reset_prefix(struct backoff *b, const char *prefix)
{
    struct map_iter it = {0};

    pthread_mutex_lock(&b->lock);
    while (map_next(&b->entries, &it)) {
        if (str_has_prefix(it.key, str_from(prefix)))
            mem_free(map_remove(&b->entries, it.key));
    }
    pthread_mutex_unlock(&b->lock);
}
