/*
 * Texts that grow in an arena: see arena_text.h.
 */
#include "base/arena_text.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

/* Room for n more bytes and the NUL. */
static char *room(struct arena_text *t, size_t n)
{
    if (t->cap - t->len < n + 1) {
        size_t cap = t->cap ? t->cap * 2 : 128;
        while (cap - t->len < n + 1)
            cap *= 2;
        t->s = arena_grow(t->a, t->s, t->cap, cap);
        t->cap = cap;
    }
    return t->s + t->len;
}

void arena_text_add(struct arena_text *t, const char *s)
{
    size_t n = strlen(s);
    memcpy(room(t, n), s, n + 1);
    t->len += n;
}

void arena_text_addf(struct arena_text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        vsnprintf(room(t, (size_t)n), (size_t)n + 1, format, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

char *arena_join(struct arena *a, const char *const *items, size_t n, const char *between)
{
    size_t gap = strlen(between), len = n ? (n - 1) * gap : 0;
    for (size_t i = 0; i < n; i++)
        len += strlen(items[i]);
    char *text = arena_alloc(a, len + 1), *end = text;
    for (size_t i = 0; i < n; i++) {
        if (i)
            end = stpcpy(end, between);
        end = stpcpy(end, items[i]);
    }
    *end = '\0';
    return text;
}

char *arena_readable(struct arena *a, struct str s)
{
    struct buf out;
    buf_init(&out);
    while (s.n) {
        size_t most = MIN(s.n, 4), n = 1;
        while (n <= most && !utf8_valid(str_slice(s, 0, n)))
            n++;
        if (n <= most)
            buf_append(&out, s.p, n);
        else
            buf_append_cstr(&out, "\xef\xbf\xbd");
        s = str_slice(s, n <= most ? n : 1, s.n);
    }
    char *copy = arena_strndup(a, out.data ? out.data : "", out.len);
    buf_free(&out);
    return copy;
}
