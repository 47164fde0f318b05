/*
 * Sums over the stored state (kvstore/integrity/digest.h).
 */
#include "kvstore/integrity/digest.h"
#include "base/encode.h"
#include <string.h>

/* Bijective, so that different records never cancel by construction (D. Stafford's variant 13 of the
 * SplitMix64 finalizer). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint64_t with(uint64_t h, uint64_t v)
{
    return mix(h + 0x9e3779b97f4a7c15ull + v);
}

unsigned digest_slot(struct str key)
{
    size_t n = key.n;
    while (n > 0 && key.p[n - 1] != '/')
        n--;
    if (n == 0)
        n = key.n;
    return (unsigned)(mix(crc32c(0, key.p, n)) % DIGEST_SLOTS);
}

uint64_t digest_live(struct str key, const struct kv_record *r)
{
    /* Two checksums, not one of both: a byte may not wander from the key to the value. */
    uint64_t h = with(crc32c(0, key.p, key.n), crc32c(0, r->value.p, r->value.n));
    h = with(h, (uint64_t)r->id.rev);
    h = with(h, r->id.sub);
    h = with(h, (uint64_t)r->create_rev);
    h = with(h, (uint64_t)r->version);
    return with(h, (uint64_t)r->lease);
}

uint64_t digest_stored(uint32_t crc, struct kv_revid id)
{
    return with(with(crc, (uint64_t)id.rev), id.sub);
}

uint64_t digest_sealed(const void *record)
{
    uint32_t crc;
    memcpy(&crc, record, sizeof crc);
    return with(0, crc);
}

void digest_change(struct digest *d, struct str key, const struct kv_record *prev,
                   const struct kv_record *now)
{
    unsigned slot = digest_slot(key);
    if (prev && !prev->tombstone) {
        d->live[slot] -= digest_live(key, prev);
        d->live_keys--;
    }
    if (now && !now->tombstone) {
        d->live[slot] += digest_live(key, now);
        d->live_keys++;
    }
}

uint64_t digest_shared(const struct digest *d)
{
    uint64_t h = with(d->live_keys, with(d->leases, d->attached));
    for (int i = 0; i < DIGEST_SLOTS; i++)
        h = with(h, d->live[i]);
    return h;
}

bool digest_agrees(const struct digest *a, const struct digest *b)
{
    return memcmp(a->live, b->live, sizeof a->live) == 0 && a->live_keys == b->live_keys &&
           a->leases == b->leases && a->attached == b->attached;
}
