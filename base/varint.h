/*
 * Base-128 varints, as protobuf has them: seven bits a byte, the lowest first, the top bit set in all but the
 * last. And byte strings, which are a varint length and the bytes.
 *
 * Taking is strict about room, not about form: at most ten bytes, which must not say more than 64 bits; a
 * number may be longer than it has to be (other programs write that).
 */
#ifndef C8S_BASE_VARINT_H
#define C8S_BASE_VARINT_H

#include "base/buf.h"

#define VARINT_BYTES_MAX 10

/* How many bytes `v` takes: 1 to 10. */
static inline size_t varint_size(uint64_t v)
{
    return (size_t)(70 - (unsigned)__builtin_clzll(v | 1)) / 7;
}

/* Write `v` at `p`, which has room for it; returns what is behind it. (Into a buffer: buf_append_varint.) */
static inline char *varint_put(char *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p++ = (char)v;
    return p;
}

static inline void buf_append_varint_bytes(struct buf *b, struct str s)
{
    buf_append_varint(b, s.n);
    buf_append_str(b, s);
}

/* Take one off the front of *in. False when it is cut off or does not fit: *in is as it was, *v is 0. */
static inline bool varint_take(struct str *in, uint64_t *v)
{
    size_t n = in->n < VARINT_BYTES_MAX ? in->n : VARINT_BYTES_MAX;
    uint64_t value = 0;
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)in->p[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) /* of the tenth, one bit is left */
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *in = str_make(in->p + i + 1, in->n - i - 1);
        *v = value;
        return true;
    }
    return false;
}

/* A byte string off the front of *in: *out points into it. False when it is cut off: *in is as it was. */
static inline bool varint_take_bytes(struct str *in, struct str *out)
{
    struct str left = *in;
    uint64_t n;
    *out = STR_NONE;
    if (!varint_take(&left, &n) || n > left.n)
        return false;
    *out = str_make(left.p, n);
    *in = str_make(left.p + n, left.n - n);
    return true;
}

/* The same with a sticky failure: read a whole record, then look once. After a failure all is 0 and empty. */
struct varint_reader {
    struct str left;
    bool failed;
};

static inline uint64_t varint_read(struct varint_reader *r)
{
    uint64_t v = 0;
    r->failed = r->failed || !varint_take(&r->left, &v);
    return v;
}

static inline struct str varint_read_bytes(struct varint_reader *r)
{
    struct str s = STR_NONE;
    r->failed = r->failed || !varint_take_bytes(&r->left, &s);
    return s;
}

/* One byte, at most `max`. */
static inline unsigned varint_read_byte(struct varint_reader *r, unsigned max)
{
    unsigned v = r->left.n && !r->failed ? (unsigned char)*r->left.p : max + 1;
    r->failed = v > max;
    if (r->failed)
        return 0;
    r->left = str_make(r->left.p + 1, r->left.n - 1);
    return v;
}

#endif
