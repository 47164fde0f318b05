/*
 * A text put together piece by piece in an arena: lists in messages, whose length a client may choose. It doubles as it
 * grows, so that n pieces cost n times a piece; arena_printf of the text so far would cost the square of that.
 */
#ifndef C8S_BASE_ARENA_TEXT_H
#define C8S_BASE_ARENA_TEXT_H

#include "base/arena.h"
#include "base/str.h"

struct arena_text {
    struct arena *a; /* without a limit */
    char *s;         /* NULL until something was added; ends with a NUL */
    size_t len, cap;
};

/* Begin with {.a = arena}. */
void arena_text_add(struct arena_text *t, const char *s);
void arena_text_addf(struct arena_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text, "" when nothing was added; good until the next addition. */
static inline const char *arena_text_of(const struct arena_text *t)
{
    return t->s ? t->s : "";
}

/* All items with `between` between them; "" for none. */
char *arena_join(struct arena *a, const char *const *items, size_t n, const char *between);

/* The bytes as UTF-8: each that belongs to no character becomes U+FFFD. */
char *arena_readable(struct arena *a, struct str s);

#endif
