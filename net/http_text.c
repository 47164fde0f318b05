/*
 * Text of HTTP: status names, header look-up, query strings.
 */
#include "net/http_internal.h"
#include "base/encode.h"

const char *http_status_text(int status)
{
    static const struct {
        short status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Entity"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].text;
    return "Unknown";
}

struct str http_header_get(const struct http_exchange *x, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < x->headers_len; i++)
        if (x->headers[i].name.n == n && memcmp(x->headers[i].name.p, name, n) == 0)
            return x->headers[i].value;
    return STR_NONE;
}

/* Decoded into the arena; as it stands if there is nothing to decode or an escape is broken. */
static struct str decode(struct http_exchange *x, struct str s)
{
    if (str_find_char(s, '%') < 0 && str_find_char(s, '+') < 0)
        return s;
    struct buf b;
    buf_init(&b);
    struct str out = s;
    if (percent_decode(&b, s, true))
        out = str_make(arena_dup(&x->arena, b.data ? b.data : "", b.len), b.len);
    buf_free(&b);
    return out;
}

bool http_query_next(struct http_exchange *x, struct http_query *q)
{
    struct str part;
    do {
        if (!q->rest.p || !str_split(&q->rest, '&', &part))
            return false;
    } while (part.n == 0);
    ptrdiff_t eq = str_find_char(part, '=');
    q->name = decode(x, eq < 0 ? part : str_slice(part, 0, (size_t)eq));
    q->value = eq < 0 ? STR("") : decode(x, str_slice(part, (size_t)eq + 1, part.n));
    if (!q->value.p)
        q->value = STR("");
    return true;
}

struct str http_query_get(struct http_exchange *x, const char *name)
{
    for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);)
        if (str_eqz(q.name, name))
            return q.value;
    return STR_NONE;
}

struct str http_decimal(char digits[HTTP_DECIMAL_MAX], uint64_t v)
{
    char *end = digits + HTTP_DECIMAL_MAX, *p = end;
    do {
        *--p = (char)('0' + v % 10);
    } while (v /= 10);
    return str_make(p, (size_t)(end - p));
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Has one of eight bytes a value below `least` (at most 128), or may it, next to one that has? */
static bool any_below(uint64_t v, unsigned char least)
{
    return (v - EACH_BYTE(least)) & ~v & EACH_BYTE(0x80);
}

bool http_value_valid(struct str value)
{
    size_t i = 0;
    for (uint64_t v; i + 8 <= value.n; i += 8) {
        memcpy(&v, value.p + i, 8);
        if (any_below(v, 0x20) || any_below(v ^ EACH_BYTE(0x7f), 1))
            break;
    }
    for (; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool http_token_valid(struct str name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == 0 || !strchr(others, c)))
            return false;
    }
    return name.n > 0;
}

/* ---- the head of an answer, as bytes ---- */

int http_head_status(struct str head)
{
    if (head.n < 12 || !str_has_prefix(head, STR("HTTP/1.")) || head.p[8] != ' ')
        return 0;
    int64_t status;
    return str_to_i64(str_slice(head, 9, 12), &status) && status >= 100 ? (int)status : 0;
}

int64_t http_head_length(struct str head)
{
    struct str line;
    int64_t n;
    while (head.p && str_split(&head, '\n', &line)) {
        struct str value = line, name;
        str_split(&value, ':', &name);
        if (value.p && str_ieq(name, STR("content-length")) && str_to_i64(str_trim(value), &n) &&
            n >= 0)
            return n;
    }
    return -1;
}
