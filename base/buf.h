/*
 * A growable byte buffer with a limit and a sticky error: append freely, check `failed` once at the
 * end. After a failure appends do nothing.
 */
#ifndef C8S_BASE_BUF_H
#define C8S_BASE_BUF_H

#include "base/str.h"
#include <stdarg.h>
#include <string.h>

struct buf {
    char *data; /* owned; NULL before the first append; not NUL-terminated (see buf_cstr) */
    size_t len;
    size_t cap;
    size_t limit; /* 0: none */
    bool failed;  /* an append would have passed the limit */
};

void buf_init(struct buf *b);
void buf_init_limited(struct buf *b, size_t limit);
void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* len = 0, failed = false; keeps the memory */
char *buf_reserve_slow(struct buf *b, size_t n);
/* Room for n more bytes; returns where to write them (then add to len), NULL past the limit. */
static inline char *buf_reserve(struct buf *b, size_t n)
{
    bool fits = b->cap - b->len >= n && b->data && !b->failed;
    return fits && (!b->limit || b->len + n <= b->limit) ? b->data + b->len
                                                         : buf_reserve_slow(b, n);
}
static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    char *at = n ? buf_reserve(b, n) : NULL;
    if (!at)
        return;
    memcpy(at, p, n);
    b->len += n;
}
static inline void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.p, s.n);
}
static inline void buf_append_char(struct buf *b, char c)
{
    char *at = buf_reserve(b, 1);
    if (!at)
        return;
    *at = c;
    b->len++;
}
void buf_append_cstr(struct buf *b, const char *s);
void buf_append_be32(struct buf *b, uint32_t v);
void buf_append_be64(struct buf *b, uint64_t v);
void buf_append_le32(struct buf *b, uint32_t v);
void buf_append_le64(struct buf *b, uint64_t v);
void buf_append_varint(struct buf *b, uint64_t v); /* protobuf base-128 */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args);
void buf_append_json_string(struct buf *b, struct str s); /* quoted and escaped */
/* Drop the first n bytes (memmove). */
void buf_consume(struct buf *b, size_t n);
struct str buf_str(const struct buf *b);
/* NUL-terminated view, valid until the next change. */
const char *buf_cstr(struct buf *b);
/* Hand the memory over (free with mem_free); the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *len);

#endif
