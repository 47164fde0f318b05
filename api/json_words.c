/*
 * Where a text stops being JSON: see json_words.h. Only read when something else has failed, so it may be slow.
 */
#include "api/json_words.h"
#include "base/arena_text.h"
#include <stdio.h>

#define EXCERPT_MAX 30
#define DEPTH_MAX 10000 /* as published */

struct scan {
    struct arena *a;
    struct str text;
    size_t at;
    const char *wrong; /* set once */
};

static const char *shown_char(struct arena *a, unsigned char c)
{
    static const char names[] = "abtnvfr"; /* from 7 on */
    if (c == '\'')
        return "'\\''";
    if (c == '\\')
        return "'\\\\'";
    if (c >= 7 && c <= 13)
        return arena_printf(a, "'\\%c'", names[c - 7]);
    if (c < 0x20 || c == 0x7f)
        return arena_printf(a, "'\\x%02x'", c);
    if (c < 0x80)
        return arena_printf(a, "'%c'", c);
    if (c < 0xa0 || c == 0xad) /* bytes are taken for characters of Latin 1 */
        return arena_printf(a, "'\\u%04x'", c);
    return arena_printf(a, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

/* The text goes wrong here: `where` says what was being read. */
static void stop(struct scan *s, const char *where)
{
    if (s->wrong)
        return;
    if (s->at >= s->text.n)
        s->wrong = "unexpected end of JSON input";
    else
        s->wrong = arena_printf(s->a, "invalid character %s %s",
                                shown_char(s->a, (unsigned char)s->text.p[s->at]), where);
}

static int peek(const struct scan *s)
{
    return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : -1;
}

static void skip_spaces(struct scan *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\r' || peek(s) == '\n')
        s->at++;
}

static bool is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void read_escape(struct scan *s)
{
    int c = peek(s);
    if (c <= 0 || !strchr("bfnrt\\/\"u", c)) {
        stop(s, "in string escape code");
        return;
    }
    s->at++;
    for (int i = 0; c == 'u' && i < 4; i++, s->at++) {
        if (!is_hex(peek(s))) {
            stop(s, "in \\u hexadecimal character escape");
            return;
        }
    }
}

static void read_string(struct scan *s)
{
    for (s->at++; !s->wrong; s->at++) {
        int c = peek(s);
        if (c == '"') {
            s->at++;
            return;
        }
        if (c < 0x20) {
            stop(s, "in string literal");
        } else if (c == '\\') {
            s->at++;
            read_escape(s);
            s->at--;
        }
    }
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static void read_digits(struct scan *s, const char *where)
{
    if (!is_digit(peek(s)))
        stop(s, where);
    while (is_digit(peek(s)))
        s->at++;
}

static void read_number(struct scan *s)
{
    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++;
    else
        read_digits(s, "in numeric literal");
    if (!s->wrong && peek(s) == '.') {
        s->at++;
        read_digits(s, "after decimal point in numeric literal");
    }
    if (!s->wrong && (peek(s) == 'e' || peek(s) == 'E')) {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        read_digits(s, "in exponent of numeric literal");
    }
}

static void read_literal(struct scan *s, const char *word)
{
    for (const char *p = word; *p; p++, s->at++) {
        if (peek(s) != *p) {
            stop(s, arena_printf(s->a, "in literal %s (expecting '%c')", word, *p));
            return;
        }
    }
}

/* A value that holds no others. */
static void read_scalar(struct scan *s)
{
    int c = peek(s);
    if (c == '"')
        read_string(s);
    else if (c == '-' || is_digit(c))
        read_number(s);
    else if (c == 't')
        read_literal(s, "true");
    else if (c == 'f')
        read_literal(s, "false");
    else if (c == 'n')
        read_literal(s, "null");
    else
        stop(s, "looking for beginning of value");
}

/* A member's name and its colon. */
static void read_key(struct scan *s)
{
    skip_spaces(s);
    if (peek(s) != '"')
        stop(s, "looking for beginning of object key string");
    if (s->wrong)
        return;
    read_string(s);
    skip_spaces(s);
    if (!s->wrong && peek(s) != ':')
        stop(s, "after object key");
    s->at++;
}

/* What comes after a value: closes what it closes. True: another value. */
static bool read_after(struct scan *s, const char *open, size_t *depth)
{
    while (*depth && !s->wrong) {
        skip_spaces(s);
        bool object = open[*depth - 1] == '{';
        int c = peek(s);
        if (c != ',' && c != (object ? '}' : ']')) {
            stop(s, object ? "after object key:value pair" : "after array element");
            return false;
        }
        s->at++;
        if (c == ',') {
            if (object)
                read_key(s);
            return !s->wrong;
        }
        --*depth;
    }
    return false;
}

/* Opens an object or a list; true: there is a value in it. */
static bool read_open(struct scan *s, char *open, size_t *depth)
{
    int c = peek(s);
    if (*depth == DEPTH_MAX) {
        s->wrong = "exceeded max depth";
        return false;
    }
    s->at++;
    open[(*depth)++] = (char)c;
    skip_spaces(s);
    if (peek(s) == (c == '{' ? '}' : ']'))
        return false;
    if (c == '{')
        read_key(s);
    return !s->wrong;
}

static void read_document(struct scan *s)
{
    char *open = arena_alloc(s->a, DEPTH_MAX);
    size_t depth = 0;
    bool more = true;
    while (more && !s->wrong) {
        skip_spaces(s);
        if (peek(s) == '{' || peek(s) == '[') {
            more = read_open(s, open, &depth);
            if (more || s->wrong)
                continue;
            s->at++; /* an empty one: closed */
            depth--;
        } else {
            read_scalar(s);
        }
        more = read_after(s, open, &depth);
    }
    skip_spaces(s);
    if (!s->wrong && s->at < s->text.n)
        stop(s, "after top-level value");
}

const char *json_words(struct arena *a, struct str text)
{
    struct scan s = {.a = a, .text = text};
    read_document(&s);
    if (s.wrong)
        return s.wrong;
    s.at = 0;
    skip_spaces(&s);
    const char *what = NULL;
    int c = peek(&s);
    if (c == '[')
        what = "array";
    else if (c == '"')
        what = "string";
    else if (c == 't' || c == 'f')
        what = "bool";
    else if (c != '{' && c != 'n')
        what = "number";
    return what
               ? arena_printf(a,
                              "json: cannot unmarshal %s into Go value of type struct { APIVersion "
                              "string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
                              "\"json:\\\"kind,omitempty\\\"\" }",
                              what)
               : NULL;
}

const char *json_excerpt(struct arena *a, struct str text)
{
    size_t n = text.n < EXCERPT_MAX ? text.n : EXCERPT_MAX;
    const char *dots = text.n > EXCERPT_MAX ? " ..." : "";
    if (!n)
        return "<empty>";
    if (text.p[0] == '{')
        return arena_printf(a, "%s%s", arena_readable(a, str_slice(text, 0, n)), dots);
    char hex[2 * EXCERPT_MAX + 1];
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text.p[i]);
    return arena_printf(a, "%s%s", hex, dots);
}
