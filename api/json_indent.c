/*
 * Indenting JSON: see json_indent.h.
 */
#include "api/json_indent.h"

static void new_line(const struct json_indent *s, struct buf *out)
{
    size_t n = (size_t)s->width * s->depth;
    buf_append_char(out, '\n');
    char *at = buf_reserve(out, n);
    if (!at)
        return;
    memset(at, ' ', n);
    out->len += n;
}

/* The rest of a string, up to its end or the piece's; returns what was taken. */
static size_t string_part(struct json_indent *s, struct str piece, struct buf *out)
{
    size_t i = 0;
    while (i < piece.n && s->in_string) {
        char c = piece.p[i++];
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
    }
    buf_append(out, piece.p, i);
    return i;
}

static void token(struct json_indent *s, char c, struct buf *out)
{
    bool closes = c == '}' || c == ']';
    if (closes && s->depth)
        s->depth--;
    if (s->opened !=
        closes) /* something in what was opened, or the end of what has something in it */
        new_line(s, out);
    s->opened = c == '{' || c == '[';
    buf_append_char(out, c);
    s->depth += s->opened;
    s->in_string = c == '"';
}

void json_indent(struct json_indent *s, struct str piece, struct buf *out)
{
    for (size_t i = 0; i < piece.n;) {
        if (s->in_string) {
            i += string_part(s, str_slice(piece, i, piece.n), out);
            continue;
        }
        char c = piece.p[i++];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            continue;
        if (c == ',') {
            buf_append_char(out, c);
            new_line(s, out);
        } else if (c == ':') {
            buf_append(out, ": ", 2);
        } else {
            token(s, c, out);
        }
    }
}
