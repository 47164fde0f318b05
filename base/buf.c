/*
 * Growable byte buffer with a limit and a sticky error.
 */
#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

void buf_init_limited(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_free(struct buf *b)
{
    size_t limit = b->limit;
    mem_free(b->data);
    *b = (struct buf){.limit = limit};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

char *buf_reserve_slow(struct buf *b, size_t n)
{
    assert(b->len <= b->cap);
    if (b->failed)
        return NULL;
    if (n > SIZE_MAX / 2 - b->len || (b->limit && b->len + n > b->limit)) {
        b->failed = true;
        return NULL;
    }
    if (b->cap - b->len < n || !b->data) {
        size_t cap = MAX(b->cap + b->cap / 2, MAX(b->len + n, (size_t)64));
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_append_cstr(struct buf *b, const char *s)
{
    buf_append_str(b, str_from(s));
}

void buf_append_be32(struct buf *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_append(b, &v, sizeof v);
}

void buf_append_be64(struct buf *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    buf_append(b, &v, sizeof v);
}

void buf_append_le32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof v);
}

void buf_append_le64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof v);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "buf_append_le/be assume little-endian");

void buf_append_varint(struct buf *b, uint64_t v)
{
    unsigned char bytes[10];
    size_t n = 0;
    while (v >= 0x80) {
        bytes[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (unsigned char)v;
    buf_append(b, bytes, n);
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    size_t need = (size_t)n;
    /* The limit counts the bytes, not vsnprintf's NUL: print aside when only the NUL is too much.
     */
    if (b->limit && !b->failed && b->len + need == b->limit) {
        char *aside = mem_alloc(need + 1);
        vsnprintf(aside, need + 1, format, again);
        buf_append(b, aside, need);
        mem_free(aside);
    } else {
        char *at = buf_reserve(b, need + 1);
        if (at) {
            vsnprintf(at, need + 1, format, again);
            b->len += need;
        }
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

/* The two-character escape of c, or 0. */
static char json_short_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

void buf_append_json_string(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    buf_append_char(b, '"');
    size_t plain = 0; /* start of the run not yet copied */
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append_str(b, str_slice(s, plain, i));
        plain = i + 1;
        char escape = json_short_escape(c);
        if (escape)
            buf_append(b, (char[]){'\\', escape}, 2);
        else
            buf_append(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
    buf_append_str(b, str_slice(s, plain, s.n));
    buf_append_char(b, '"');
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len -= n;
    if (n && b->len)
        memmove(b->data, b->data + n, b->len);
}

struct str buf_str(const struct buf *b)
{
    return str_make(b->data, b->len);
}

const char *buf_cstr(struct buf *b)
{
    if (b->cap == b->len) {
        b->data = mem_realloc(b->data, b->len + 1);
        b->cap = b->len + 1;
    }
    b->data[b->len] = '\0';
    return b->data;
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = b->data;
    if (len)
        *len = b->len;
    *b = (struct buf){.limit = b->limit};
    return data;
}
