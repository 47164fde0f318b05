/*
 * Expectations (controllers/expectations.h).
 */
#include "controllers/expectations.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include <pthread.h>

#define EXPIRE_NS (300 * NS_PER_S)

struct expected {
    unsigned creations;
    VEC(char *) deletions; /* uids */
    uint64_t set_ns;
};

struct expectations {
    pthread_mutex_t lock;
    struct map keys; /* → struct expected */
};

struct expectations *expectations_new(void)
{
    struct expectations *e = mem_zalloc(sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    map_init(&e->keys);
    return e;
}

static void clear(struct expected *x)
{
    for (size_t i = 0; i < x->deletions.len; i++)
        mem_free(x->deletions.items[i]);
    vec_free(&x->deletions);
    x->creations = 0;
}

static void drop(struct expected *x)
{
    if (!x)
        return;
    clear(x);
    mem_free(x);
}

void expectations_free(struct expectations *e)
{
    if (!e)
        return;
    struct map_iter it = {0};
    while (map_next(&e->keys, &it))
        drop(it.value);
    map_free(&e->keys);
    pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

static struct expected *fresh(struct expectations *e, const char *key)
{
    struct expected *x = map_get(&e->keys, str_from(key));
    if (!x) {
        x = mem_zalloc(sizeof *x);
        map_put(&e->keys, str_from(key), x);
    }
    clear(x);
    x->set_ns = clock_mono_ns();
    return x;
}

void expect_creations(struct expectations *e, const char *key, unsigned n)
{
    pthread_mutex_lock(&e->lock);
    fresh(e, key)->creations = n;
    pthread_mutex_unlock(&e->lock);
}

void expect_deletions(struct expectations *e, const char *key, const char *const *uids, size_t n)
{
    pthread_mutex_lock(&e->lock);
    struct expected *x = fresh(e, key);
    for (size_t i = 0; i < n; i++)
        vec_push(&x->deletions, mem_strdup(uids[i]));
    pthread_mutex_unlock(&e->lock);
}

void creation_observed(struct expectations *e, const char *key)
{
    pthread_mutex_lock(&e->lock);
    struct expected *x = map_get(&e->keys, str_from(key));
    if (x && x->creations)
        x->creations--;
    pthread_mutex_unlock(&e->lock);
}

void deletion_observed(struct expectations *e, const char *key, const char *uid)
{
    pthread_mutex_lock(&e->lock);
    struct expected *x = map_get(&e->keys, str_from(key));
    for (size_t i = 0; x && i < x->deletions.len; i++) {
        if (strcmp(x->deletions.items[i], uid) != 0)
            continue;
        mem_free(x->deletions.items[i]);
        vec_remove(&x->deletions, i);
        break;
    }
    pthread_mutex_unlock(&e->lock);
}

bool expectations_met(struct expectations *e, const char *key)
{
    pthread_mutex_lock(&e->lock);
    struct expected *x = map_get(&e->keys, str_from(key));
    bool met = !x || (x->creations == 0 && x->deletions.len == 0) ||
               clock_mono_ns() - x->set_ns > EXPIRE_NS;
    pthread_mutex_unlock(&e->lock);
    return met;
}

void expectations_forget(struct expectations *e, const char *key)
{
    pthread_mutex_lock(&e->lock);
    drop(map_remove(&e->keys, str_from(key)));
    pthread_mutex_unlock(&e->lock);
}
