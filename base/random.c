/*
 * Random numbers: xoshiro256** (Blackman, Vigna) for simulation and jitter, getrandom(2) for
 * secrets.
 */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

/* SplitMix64, as its authors recommend for filling the state from one number. */
void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ull;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n >= 1);
    /* Values below 2^64 mod n would make small results more likely: draw again. */
    uint64_t floor = (0 - n) % n;
    uint64_t v;
    do
        v = rng_next(r);
    while (v < floor);
    return v % n;
}

void random_bytes(void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            perror("getrandom");
            abort();
        }
        at += got;
        n -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

/* A few bytes of what was fetched for many at once: names and ids, of which a server makes thousands a second. */
static void random_few(void *p, size_t n)
{
    static _Thread_local unsigned char stock[512];
    static _Thread_local size_t left;
    assert(n <= sizeof stock);
    if (left < n) {
        random_bytes(stock, sizeof stock);
        left = sizeof stock;
    }
    left -= n;
    memcpy(p, stock + left, n);
}

void random_name(char *out, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct rng r;
    uint64_t seed;
    random_few(&seed, sizeof seed);
    rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[rng_below(&r, sizeof alphabet - 1)];
    out[n] = '\0';
}

void random_uuid(char out[37])
{
    unsigned char b[16];
    random_few(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* RFC 9562 variant */
    static const char hex[] = "0123456789abcdef";
    char *at = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[b[i] >> 4];
        *at++ = hex[b[i] & 15];
    }
    *at = '\0';
}
