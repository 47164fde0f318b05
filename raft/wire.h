/*
 * Reading big-endian fields from untrusted bytes: a cursor with a sticky failure, so that a decoder
 * checks once at the end. After a failure reads give zero and nothing.
 */
#ifndef C8S_RAFT_WIRE_H
#define C8S_RAFT_WIRE_H

#include "base/str.h"

struct wire {
    const uint8_t *p;
    size_t left;
    bool failed;
};

static inline struct wire wire_init(struct str in)
{
    return (struct wire){(const uint8_t *)in.p, in.n, false};
}

static inline void wire_fail(struct wire *w)
{
    w->failed = true;
    w->left = 0;
}

static inline struct str wire_bytes(struct wire *w, size_t n)
{
    if (w->failed || n > w->left) {
        wire_fail(w);
        return STR_NONE;
    }
    struct str s = str_make(w->p, n);
    w->p += n;
    w->left -= n;
    return s;
}

static inline uint64_t wire_be(struct wire *w, size_t n)
{
    struct str s = wire_bytes(w, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | (uint8_t)s.p[i];
    return v;
}

static inline uint8_t wire_u8(struct wire *w)
{
    return (uint8_t)wire_be(w, 1);
}

static inline uint32_t wire_be32(struct wire *w)
{
    return (uint32_t)wire_be(w, 4);
}

static inline uint64_t wire_be64(struct wire *w)
{
    return wire_be(w, 8);
}

/* Everything was read and nothing failed. */
static inline bool wire_done(const struct wire *w)
{
    return !w->failed && w->left == 0;
}

static inline void wire_put_be64(void *p, uint64_t v)
{
    uint8_t *b = (uint8_t *)p;
    for (int i = 7; i >= 0; i--, v >>= 8)
        b[i] = (uint8_t)v;
}

static inline void wire_put_be32(void *p, uint32_t v)
{
    uint8_t *b = (uint8_t *)p;
    for (int i = 3; i >= 0; i--, v >>= 8)
        b[i] = (uint8_t)v;
}

#endif
