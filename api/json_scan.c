/*
 * Finding members in JSON text without building a tree: for looking at metadata of stored custom objects
 * as cheaply as at that of built-in ones. The text was written by us or checked before; damaged text ends
 * the search, it is never read past its end.
 */
#include "api/custom/internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct str *s)
{
    while (s->n && is_space(*s->p))
        s->p++, s->n--;
}

static bool take(struct str *s, char c)
{
    skip_space(s);
    if (!s->n || *s->p != c)
        return false;
    s->p++, s->n--;
    return true;
}

/* Length of the string that begins here, quotes included; 0: damaged. */
static size_t string_length(struct str s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Length of the value that begins here; 0: damaged. */
static size_t value_length(struct str s)
{
    size_t depth = 0;
    if (!s.n)
        return 0;
    if (*s.p == '"')
        return string_length(s);
    if (*s.p != '{' && *s.p != '[') {
        size_t i = 0;
        while (i < s.n && s.p[i] != ',' && s.p[i] != '}' && s.p[i] != ']' && !is_space(s.p[i]))
            i++;
        return i;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            size_t n = string_length(str_slice(s, i, s.n));
            if (!n)
                return 0;
            i += n - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static struct str take_value(struct str *rest)
{
    skip_space(rest);
    size_t n = value_length(*rest);
    struct str value = n ? str_slice(*rest, 0, n) : STR_NONE;
    *rest = str_slice(*rest, n, rest->n);
    return value;
}

bool json_scan_next(struct str *rest, struct str *key, struct str *value)
{
    if (!take(rest, '{') && !take(rest, ','))
        return false;
    skip_space(rest);
    if (!rest->n || *rest->p != '"')
        return false;
    struct str quoted = take_value(rest);
    if (!quoted.p || !take(rest, ':'))
        return false;
    *key = str_slice(quoted, 1, quoted.n - 1);
    *value = take_value(rest);
    return value->p != NULL;
}

struct str json_scan_member(struct str object, struct str name)
{
    struct str key, value;
    while (json_scan_next(&object, &key, &value))
        if (str_eq(key, name))
            return value;
    return STR_NONE;
}

struct str json_scan_string(struct str value)
{
    if (value.n < 2 || *value.p != '"')
        return STR("");
    return str_slice(value, 1, value.n - 1);
}
