/* See seen.h. */
#include "api/validation/seen.h"
#include "base/map.h"
#include "base/str.h"
#include <string.h>

static bool is_same(const struct seen_text *t, const char *a, const char *b)
{
    return strcmp(t->a, a) == 0 && strcmp(t->b, b) == 0;
}

/* The slot that has it, or the free one where it would be. */
static struct seen_text *slot_of(const struct seen *s, const char *a, const char *b)
{
    uint64_t hash = hash_bytes(a, strlen(a)) + (*b ? 3 * hash_bytes(b, strlen(b)) : 0);
    size_t at = (size_t)hash & (s->capacity - 1);
    while (s->slots[at].a && !is_same(&s->slots[at], a, b))
        at = (at + 1) & (s->capacity - 1);
    return &s->slots[at];
}

/* Twice the room: slots are half full at the most. */
static void grow(struct seen *s)
{
    const struct seen_text *old = s->capacity ? s->slots : s->few;
    size_t n = s->capacity ? s->capacity : s->n;
    s->capacity = s->capacity ? 2 * s->capacity : (size_t)4 * SEEN_FEW;
    s->slots = arena_array(s->arena, struct seen_text, s->capacity);
    for (size_t i = 0; i < n; i++) {
        if (old[i].a)
            *slot_of(s, old[i].a, old[i].b) = old[i];
    }
}

/* Where it stands, or NULL. */
static const struct seen_text *find(const struct seen *s, const char *a, const char *b)
{
    if (s->capacity) {
        const struct seen_text *slot = slot_of(s, a, b);
        return slot->a ? slot : NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (is_same(&s->few[i], a, b))
            return &s->few[i];
    }
    return NULL;
}

/* False when it stood there before. */
static bool add(struct seen *s, struct seen_text text)
{
    text.a = text.a ? text.a : "";
    text.b = text.b ? text.b : "";
    if (find(s, text.a, text.b))
        return false;
    if (s->capacity ? 2 * (s->n + 1) > s->capacity : s->n == SEEN_FEW)
        grow(s);
    *(s->capacity ? slot_of(s, text.a, text.b) : &s->few[s->n]) = text;
    s->n++;
    return true;
}

bool seen_pair_again(struct seen *s, const char *a, const char *b)
{
    return !add(s, (struct seen_text){a, b, NULL});
}

bool seen_again(struct seen *s, const char *text)
{
    return seen_pair_again(s, text, "");
}

bool seen_number_again(struct seen *s, int64_t number)
{
    return seen_again(s, arena_printf(s->arena, "%lld", (long long)number));
}

bool seen_has(const struct seen *s, const char *text)
{
    return find(s, text ? text : "", "") != NULL;
}

void seen_put(struct seen *s, const char *text, const void *value)
{
    add(s, (struct seen_text){text, "", value});
}

const void *seen_value(const struct seen *s, const char *text)
{
    const struct seen_text *found = find(s, text ? text : "", "");
    return found ? found->value : NULL;
}
