/*
 * Repeated lists: see list_cache.h.
 */
#include "apiserver/rest/list_cache.h"
#include "base/map.h"
#include "base/mem.h"

#define KEEP_MS 1000
#define ENTRIES_MAX 64

struct list_cache {
    struct loop_timer timer;
    int64_t rev;      /* of all entries */
    struct map asked; /* key → blob, or the cache itself where an answer has only been asked for */
    size_t bytes;
    bool ticking;
};

static void clear(struct list_cache *c)
{
    struct map_iter it = {0};
    while (map_next(&c->asked, &it))
        if (it.value != c)
            blob_unref(it.value);
    map_clear(&c->asked);
    c->bytes = 0;
}

static void on_timer(struct loop_timer *timer)
{
    struct list_cache *c = container_of(timer, struct list_cache, timer);
    c->ticking = false;
    clear(c);
}

struct list_cache *list_cache_new(struct loop *loop)
{
    struct list_cache *c = mem_zalloc(sizeof *c);
    map_init(&c->asked);
    loop_timer_init(loop, &c->timer, on_timer);
    return c;
}

void list_cache_free(struct list_cache *c)
{
    if (!c)
        return;
    loop_timer_stop(&c->timer);
    clear(c);
    map_free(&c->asked);
    mem_free(c);
}

struct blob *list_cache_get(struct list_cache *c, struct str key, int64_t rev, bool *keep)
{
    *keep = false;
    if (c->rev != rev || c->asked.len >= ENTRIES_MAX)
        clear(c);
    c->rev = rev;
    void *found = map_get(&c->asked, key);
    if (found && found != c)
        return found;
    *keep = found == c;
    if (!found)
        map_put(&c->asked, key, c);
    if (!c->ticking)
        loop_timer_start(&c->timer, KEEP_MS);
    c->ticking = true;
    return NULL;
}

void list_cache_put(struct list_cache *c, struct str key, int64_t rev, struct blob *answer)
{
    if (rev != c->rev || map_get(&c->asked, key) != c ||
        answer->len > LIST_CACHE_BYTES_MAX - c->bytes)
        return;
    map_put(&c->asked, key, blob_ref(answer));
    c->bytes += answer->len;
}
