/*
 * Little texts that the table printers share: joined lists, selectors, ages.
 */
#ifndef C8S_APISERVER_TABLE_TEXT_H
#define C8S_APISERVER_TABLE_TEXT_H

#include "api/meta.h"
#include "apiserver/table/table.h"
#include "base/arena_text.h"

struct text {
    struct arena_text joined;
    size_t count; /* of items */
};

struct text text_new(struct arena *a);
void text_item(struct text *t, const char *separator, const char *item);
const char *text_or_none(const struct text *t); /* "<none>" when empty */
/* The first n items of a comma list, and how many more there are: "a,b,c + 4 more...". */
const char *text_cut(const struct text *t, size_t n);
const char *text_age(struct cells *c, const Meta__V1__Time *t);
/* "k=v,k2=v2", "<none>". */
const char *text_map(struct arena *a, StringEntry *const *entries, size_t n);
const char *text_selector(struct arena *a, const Meta__V1__LabelSelector *s);
/* Without white space at the end. */
const char *str_len_trim(struct arena *a, const char *s);

#endif
