/*
 * Texts for the table printers: see text.h.
 */
#include "apiserver/table/text.h"
#include "api/selector.h"
#include "base/clock.h"

struct text text_new(struct arena *a)
{
    return (struct text){.joined = {.a = a}};
}

void text_item(struct text *t, const char *separator, const char *item)
{
    if (t->count++)
        arena_text_add(&t->joined, separator);
    arena_text_add(&t->joined, item);
}

const char *text_or_none(const struct text *t)
{
    return t->joined.len ? t->joined.s : "<none>";
}

const char *text_cut(const struct text *t, size_t n)
{
    if (t->count <= n)
        return text_or_none(t);
    const char *s = arena_text_of(&t->joined), *p = s;
    for (size_t i = 0; i < n && p; i++)
        p = strchr(p + (i > 0), ',');
    return arena_printf(t->joined.a, "%.*s + %zu more...", (int)(p ? p - s : 0), s, t->count - n);
}

const char *text_age(struct cells *c, const Meta__V1__Time *t)
{
    return cell_age(c, time_ns(t) / (int64_t)NS_PER_S);
}

const char *text_map(struct arena *a, StringEntry *const *entries, size_t n)
{
    struct text t = text_new(a);
    for (size_t i = 0; i < n; i++)
        text_item(&t, ",", arena_printf(a, "%s=%s", entries[i]->key, entries[i]->value));
    return text_or_none(&t);
}

const char *text_selector(struct arena *a, const Meta__V1__LabelSelector *s)
{
    struct label_selector sel = {0};
    struct error err;
    if (!s || label_selector_from(a, s, &sel, &err) < 0 || sel.len == 0)
        return "<none>";
    struct buf b;
    buf_init(&b);
    label_selector_format(&sel, &b);
    const char *text = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

const char *str_len_trim(struct arena *a, const char *s)
{
    struct str t = str_trim(str_from(s));
    return arena_strndup(a, t.p ? t.p : "", t.n);
}
