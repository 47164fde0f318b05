/*
 * Slices: a pointer and a length into bytes that somebody else owns. They need no NUL at the end
 * and may contain one. Pass by value.
 */
#ifndef C8S_BASE_STR_H
#define C8S_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_make(const void *p, size_t n)
{
    return (struct str){(const char *)p, n};
}

/* NULL gives the empty slice. */
static inline struct str str_from(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_eqz(struct str a, const char *b)
{
    return str_eq(a, str_from(b));
}

/* strcmp on C strings that may be NULL; NULL counts as "". */
static inline bool cstr_eq(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* For qsort and bsearch over an array of C strings. */
static inline int cstr_order(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* Byte order, shorter first when one is a prefix of the other; <0, 0, >0. */
int str_cmp(struct str a, struct str b);
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
/* Index of the byte or -1. */
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);
struct str str_slice(struct str s, size_t from, size_t to); /* bounds are clamped */
struct str str_trim(struct str s);                          /* ASCII white space, both ends */
/* Cut *rest at the first `sep`: returns the part before, leaves the part after; false when *rest
 * was already exhausted (its p is NULL; then *part is STR_NONE). "a,b" gives a, b; "" gives one empty part. */
bool str_split(struct str *rest, char sep, struct str *part);
/* Whole slice as a decimal number; false on anything else, overflow included. */
bool str_to_i64(struct str s, int64_t *out);
bool str_to_u64(struct str s, uint64_t *out);
/* Equality in time that depends only on the lengths: for tokens and other secrets. */
bool str_eq_constant_time(struct str a, struct str b);

#endif
