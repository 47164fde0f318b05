/*
 * Selectors of access reviews: see review_selector.h.
 */
#include "apiserver/rest/review_selector.h"
#include "api/selector.h"
#include "base/arena_str.h"
#include "base/buf.h"
#include "base/vec.h"
#include <string.h>

static void append_escaped(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\,=", *text))
            buf_append_char(b, '\\');
        buf_append_char(b, *text);
    }
}

/* `what` was left out, as a whole or in part. */
static void ignore(struct buf *ignored, const char *what, bool part)
{
    buf_printf(ignored, "%sspec.resourceAttributes.%s %signored due to parse error",
               ignored->len ? "; " : "", what, part ? "partially " : "");
}

/* Of the requirements those that a field selector can say: one value, equal or not. */
static const char *fields_of(struct arena *a, const Authorization__V1__FieldSelectorAttributes *s,
                             struct buf *ignored)
{
    struct buf text;
    size_t taken = 0;
    buf_init(&text);
    for (size_t i = 0; i < s->n_requirements; i++) {
        const Meta__V1__FieldSelectorRequirement *r = s->requirements[i];
        bool in = strcmp(r->operator_, "In") == 0;
        if (r->n_values != 1 || (!in && strcmp(r->operator_, "NotIn") != 0))
            continue;
        buf_append_cstr(&text, taken++ ? "," : "");
        append_escaped(&text, r->key);
        buf_append_cstr(&text, in ? "=" : "!=");
        append_escaped(&text, r->values[0]);
    }
    if (taken < s->n_requirements)
        ignore(ignored, "fieldSelector", taken > 0);
    const char *out = taken ? arena_strndup(a, text.data, text.len) : NULL;
    buf_free(&text);
    return out;
}

static void look_at_labels(struct arena *a, const Authorization__V1__LabelSelectorAttributes *s,
                           struct buf *ignored)
{
    static const char *const known[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    struct label_selector parsed;
    struct error err;
    size_t taken = 0;
    for (size_t i = 0; i < s->n_requirements; i++)
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            taken += strcmp(s->requirements[i]->operator_, known[k]) == 0;
    if (*s->raw_selector && label_selector_parse(a, str_from(s->raw_selector), &parsed, &err) < 0)
        ignore(ignored, "labelSelector", false);
    else if (taken < s->n_requirements)
        ignore(ignored, "labelSelector", taken > 0);
}

const char *review_field_selector(struct arena *a, const Authorization__V1__ResourceAttributes *at,
                                  const char **ignored)
{
    const Authorization__V1__FieldSelectorAttributes *s = at->field_selector;
    const char *text = NULL;
    struct field_selector parsed;
    struct error err;
    struct buf b;
    buf_init(&b);
    if (s && s->n_requirements)
        text = fields_of(a, s, &b);
    else if (s && field_selector_parse(a, NULL, str_from(s->raw_selector), &parsed, &err) < 0)
        ignore(&b, "fieldSelector", false);
    else if (s)
        text = s->raw_selector;
    if (at->label_selector)
        look_at_labels(a, at->label_selector, &b);
    *ignored = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    return text;
}
