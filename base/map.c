/*
 * Hash map: open addressing with linear probing. A removed slot becomes a marker, so that probes go
 * on past it; the table is rebuilt when live entries and markers fill three quarters of it.
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <pthread.h>

#define CAPACITY_MIN 8

struct map_entry {
    char *key; /* owned, NUL-terminated; NULL: empty; DELETED: marker */
    size_t key_len;
    uint64_t hash;
    void *value;
};

static char deleted_marker[1];
#define DELETED deleted_marker

static bool slot_live(const struct map_entry *e)
{
    return e->key && e->key != DELETED;
}

/* --- SipHash-1-3 (Aumasson, Bernstein), 64-bit output --- */

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void hash_key_init(void)
{
    random_bytes(hash_key, sizeof hash_key);
}

static inline uint64_t rotl(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(const void *p, size_t n)
{
    pthread_once(&hash_key_once, hash_key_init);
    const unsigned char *in = p;
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ull, hash_key[1] ^ 0x646f72616e646f6dull,
                     hash_key[0] ^ 0x6c7967656e657261ull, hash_key[1] ^ 0x7465646279746573ull};
    size_t left = n;
    for (; left >= 8; left -= 8, in += 8) {
        uint64_t m;
        memcpy(&m, in, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)in[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the table --- */

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_free(struct map *m)
{
    for (size_t i = 0; i < m->capacity; i++)
        if (slot_live(&m->slots[i]))
            mem_free(m->slots[i].key);
    mem_free(m->slots);
    *m = (struct map){0};
}

void map_clear(struct map *m)
{
    map_free(m);
}

static struct map_entry *find(const struct map *m, struct str key, uint64_t hash)
{
    if (m->capacity == 0)
        return NULL;
    size_t mask = m->capacity - 1;
    for (size_t i = hash & mask; m->slots[i].key; i = (i + 1) & mask) {
        struct map_entry *e = &m->slots[i];
        if (e->hash == hash && slot_live(e) && str_eq(str_make(e->key, e->key_len), key))
            return e;
    }
    return NULL;
}

static struct map_entry *first_empty(struct map_entry *slots, size_t capacity, uint64_t hash)
{
    size_t i = hash & (capacity - 1);
    while (slots[i].key)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

/* Rebuild so that one more entry leaves the table at most half full; drops the markers. */
static void rebuild(struct map *m)
{
    size_t capacity = CAPACITY_MIN;
    while (capacity < (m->len + 1) * 2)
        capacity *= 2;
    struct map_entry *slots = mem_zalloc(capacity * sizeof *slots);
    for (size_t i = 0; i < m->capacity; i++)
        if (slot_live(&m->slots[i]))
            *first_empty(slots, capacity, m->slots[i].hash) = m->slots[i];
    mem_free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    m->used = m->len;
}

void *map_get(const struct map *m, struct str key)
{
    if (m->len == 0)
        return NULL;
    struct map_entry *e = find(m, key, hash_bytes(key.p, key.n));
    return e ? e->value : NULL;
}

bool map_has(const struct map *m, struct str key)
{
    return m->len && find(m, key, hash_bytes(key.p, key.n)) != NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_bytes(key.p, key.n);
    struct map_entry *e = find(m, key, hash);
    if (e) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    if ((m->used + 1) * 4 > m->capacity * 3)
        rebuild(m);
    e = first_empty(m->slots, m->capacity, hash);
    char *copy = mem_alloc(key.n + 1);
    if (key.n)
        memcpy(copy, key.p, key.n);
    copy[key.n] = '\0';
    *e = (struct map_entry){.key = copy, .key_len = key.n, .hash = hash, .value = value};
    m->len++;
    m->used++;
    assert(m->used < m->capacity);
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->len == 0)
        return NULL;
    struct map_entry *e = find(m, key, hash_bytes(key.p, key.n));
    if (!e)
        return NULL;
    void *value = e->value;
    mem_free(e->key);
    *e = (struct map_entry){.key = DELETED};
    m->len--;
    return value;
}

bool map_next(const struct map *m, struct map_iter *it)
{
    while (it->next < m->capacity) {
        const struct map_entry *e = &m->slots[it->next++];
        if (!slot_live(e))
            continue;
        it->key = str_make(e->key, e->key_len);
        it->value = e->value;
        return true;
    }
    return false;
}
