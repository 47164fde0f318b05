/*
 * Answers written a moment ago: see answer_cache.h.
 */
#include "apiserver/rest/answer_cache.h"
#include "base/map.h"
#include "base/mem.h"

struct entry {
    const struct resource *r; /* NULL: free */
    int64_t mod_rev;
    size_t key_len, text_len;
    char *bytes; /* key and text */
};

struct answer_cache {
    struct entry entries[ANSWER_CACHE_ENTRIES];
};

struct answer_cache *answer_cache_new(void)
{
    return mem_zalloc(sizeof(struct answer_cache));
}

void answer_cache_free(struct answer_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < ANSWER_CACHE_ENTRIES; i++)
        mem_free(c->entries[i].bytes);
    mem_free(c);
}

static size_t place(struct str key)
{
    return hash_bytes(key.p, key.n) % ANSWER_CACHE_ENTRIES;
}

bool answer_cache_get(const struct answer_cache *c, const struct resource *r, struct str key,
                      int64_t mod_rev, struct str *text)
{
    const struct entry *e = &c->entries[place(key)];
    if (e->r != r || e->mod_rev != mod_rev || !str_eq(key, str_make(e->bytes, e->key_len)))
        return false;
    *text = str_make(e->bytes + e->key_len, e->text_len);
    return true;
}

void answer_cache_put(struct answer_cache *c, const struct resource *r, struct str key,
                      int64_t mod_rev, struct str text)
{
    if (text.n > ANSWER_CACHE_TEXT_MAX)
        return;
    struct entry *e = &c->entries[place(key)];
    if (!e->bytes || e->key_len + e->text_len < key.n + text.n)
        e->bytes = mem_realloc(e->bytes, key.n + text.n);
    e->r = r;
    e->mod_rev = mod_rev;
    e->key_len = key.n;
    e->text_len = text.n;
    memcpy(e->bytes, key.p, key.n);
    memcpy(e->bytes + key.n, text.p, text.n);
}
