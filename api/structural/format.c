/*
 * String formats of schemas: which are known, and what they accept. Dashes in names do not count
 * ("date-time" is "datetime").
 */
#include "api/structural/internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#define TEXT_MAX 512

typedef bool format_fn(const char *s);

static bool all_of(const char *s, size_t n, int (*is)(int))
{
    for (size_t i = 0; i < n; i++)
        if (!is((unsigned char)s[i]))
            return false;
    return true;
}

static bool is_any(const char *s)
{
    (void)s;
    return true;
}

static bool is_bson_id(const char *s)
{
    return strlen(s) == 24 && all_of(s, 24, isxdigit);
}

static bool is_ipv4(const char *s)
{
    struct in_addr a;
    return inet_pton(AF_INET, s, &a) == 1;
}

static bool is_ipv6(const char *s)
{
    struct in6_addr a;
    return inet_pton(AF_INET6, s, &a) == 1;
}

static bool is_cidr(const char *s)
{
    char address[TEXT_MAX];
    const char *slash = strchr(s, '/');
    int64_t bits;
    if (!slash || (slash[1] == '0' && slash[2]) || !isdigit((unsigned char)slash[1]))
        return false;
    memcpy(address, s, (size_t)(slash - s));
    address[slash - s] = 0;
    if (!str_to_i64(str_from(slash + 1), &bits))
        return false;
    return (is_ipv4(address) && bits <= 32) || (is_ipv6(address) && bits <= 128);
}

/* 6, 8 or 20 bytes: in pairs with : or -, or in fours with dots. */
static bool is_mac(const char *s)
{
    size_t n = strlen(s);
    size_t step = n > 4 && s[4] == '.' ? 5 : 3;
    if (n < 14 || (n + 1) % step)
        return false;
    size_t bytes = (n + 1) / step * (step == 5 ? 2 : 1);
    for (size_t i = 0; i < n; i++) {
        bool separator = (i + 1) % step == 0;
        if (separator ? s[i] != s[step - 1] || !strchr(":-.", s[i])
                      : !isxdigit((unsigned char)s[i]))
            return false;
    }
    return (bytes == 6 || bytes == 8 || bytes == 20) && (step == 5) == (s[step - 1] == '.');
}

/* `version` 0: any. Dashes may be left out, each by itself. */
static bool is_uuid_of(const char *s, char version)
{
    static const int groups[] = {8, 4, 4, 4, 12};
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        if (g && *s == '-')
            s++;
        if (strlen(s) < (size_t)groups[g] || !all_of(s, (size_t)groups[g], isxdigit))
            return false;
        if (version && g == 2 && *s != version)
            return false;
        if (version >= '4' && g == 3 && !strchr("89abAB", *s))
            return false;
        s += groups[g];
    }
    return *s == 0;
}

static bool is_uuid(const char *s)
{
    return is_uuid_of(s, 0);
}

static bool is_uuid3(const char *s)
{
    return is_uuid_of(s, '3');
}

static bool is_uuid4(const char *s)
{
    return is_uuid_of(s, '4');
}

static bool is_uuid5(const char *s)
{
    return is_uuid_of(s, '5');
}

/* Digits without the characters in `skip`; -1 when something else is there. */
static int digits_of(const char *s, const char *skip, char out[TEXT_MAX])
{
    int n = 0;
    for (; *s; s++) {
        if (strchr(skip, *s))
            continue;
        if (!isdigit((unsigned char)*s) && !(n == 9 && (*s == 'X' || *s == 'x')))
            return -1;
        out[n++] = *s;
    }
    out[n] = 0;
    return n;
}

static bool is_isbn10(const char *s)
{
    char d[TEXT_MAX];
    int sum = 0;
    if (digits_of(s, " -", d) != 10)
        return false;
    for (int i = 0; i < 10; i++)
        sum += (10 - i) * (isdigit((unsigned char)d[i]) ? d[i] - '0' : 10);
    return sum % 11 == 0;
}

static bool is_isbn13(const char *s)
{
    char d[TEXT_MAX];
    int sum = 0;
    if (digits_of(s, " -", d) != 13 || !all_of(d, 13, isdigit))
        return false;
    for (int i = 0; i < 13; i++)
        sum += (d[i] - '0') * (i % 2 ? 3 : 1);
    return sum % 10 == 0;
}

static bool is_isbn(const char *s)
{
    return is_isbn10(s) || is_isbn13(s);
}

static bool is_credit_card(const char *s)
{
    char d[TEXT_MAX];
    int n = 0, sum = 0;
    for (; *s; s++)
        if (isdigit((unsigned char)*s))
            d[n++] = *s;
    for (int i = 0; i < n; i++) {
        int v = d[n - 1 - i] - '0';
        v *= i % 2 ? 2 : 1;
        sum += v > 9 ? v - 9 : v;
    }
    return n >= 13 && n <= 19 && sum % 10 == 0;
}

static bool is_ssn(const char *s)
{
    size_t n = strlen(s), at = 3;
    if (n < 9 || !all_of(s, 3, isdigit))
        return false;
    at += s[at] == '-' || s[at] == ' ';
    if (n < at + 2 || !all_of(s + at, 2, isdigit))
        return false;
    at += 2;
    at += s[at] == '-' || s[at] == ' ';
    return n == at + 4 && all_of(s + at, 4, isdigit);
}

static bool is_hex_color(const char *s)
{
    s += *s == '#';
    size_t n = strlen(s);
    return (n == 3 || n == 6) && all_of(s, n, isxdigit);
}

static bool is_rgb_color(const char *s)
{
    int r, g, b, end = -1;
    return sscanf(s, "rgb( %d , %d , %d )%n", &r, &g, &b, &end) == 3 && end >= 0 && !s[end] &&
           r >= 0 && r <= 255 && g >= 0 && g <= 255 && b >= 0 && b <= 255;
}

static bool is_base64(const char *s)
{
    struct buf out;
    buf_init(&out);
    bool good = strlen(s) % 4 == 0 && base64_decode(&out, str_from(s));
    buf_free(&out);
    return good;
}

static bool is_date_time(const char *s)
{
    int64_t seconds;
    int32_t nanos;
    return clock_parse_rfc3339(s, strlen(s), &seconds, &nanos);
}

static bool is_date(const char *s)
{
    char text[32];
    if (strlen(s) != 10)
        return false;
    memcpy(text, s, 10);
    strcpy(text + 10, "T00:00:00Z");
    return is_date_time(text);
}

/* Go's durations, and a number with the name of a unit. */
static bool is_duration(const char *s)
{
    static const char *const units[] = {
        "ns",    "nano",        "nanosecond", "us",  "µs",     "micro", "microsecond", "ms",
        "milli", "millisecond", "s",          "sec", "second", "m",     "min",         "minute",
        "h",     "hr",          "hour",       "d",   "day",    "w",     "week"};
    int64_t ns;
    if (clock_parse_duration(str_from(s), &ns))
        return true;
    char *end;
    strtod(s, &end);
    if (end == s)
        return false;
    while (*end == ' ')
        end++;
    size_t n = strlen(end);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t u = strlen(units[i]);
        if (strncmp(end, units[i], u) == 0 && (n == u || (n == u + 1 && end[u] == 's')))
            return true;
    }
    return false;
}

static bool is_hostname(const char *s)
{
    size_t label = 0, n = strlen(s);
    if (n == 0 || n > 255)
        return false;
    for (size_t i = 0; i <= n; i++) {
        char c = s[i];
        if (c == '.' || c == 0) {
            if ((label == 0 && !(c == 0 && i > 0)) || label > 63 || (label && s[i - 1] == '-'))
                return false;
            label = 0;
        } else if ((c & 0x80) || isalnum((unsigned char)c) || (label && (c == '-' || c == '_'))) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_email(const char *s)
{
    char address[TEXT_MAX];
    const char *open = strchr(s, '<'), *close = strrchr(s, '>');
    if (open || close) { /* Name <address> */
        if (!open || !close || close < open || close[1])
            return false;
        memcpy(address, open + 1, (size_t)(close - open - 1));
        address[close - open - 1] = 0;
        s = address;
    }
    const char *at = strrchr(s, '@');
    if (!at || at == s || !at[1])
        return false;
    for (const char *p = s; *p; p++)
        if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p) ||
            (*p == '@' && p != at && *s != '"') || strchr("()<>,;:\\", *p))
            return false;
    return at[-1] != '.' && s[0] != '.' && !strstr(s, "..") && at[1] != '.';
}

/* An absolute URI or an absolute path, as in a request line. */
static bool is_uri(const char *s)
{
    for (const char *p = s; *p; p++) {
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return false;
        if (*p == '%' && !(isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2])))
            return false;
    }
    if (*s == '/')
        return true;
    const char *colon = strchr(s, ':');
    if (!colon || !isalpha((unsigned char)*s))
        return false;
    for (const char *p = s; p < colon; p++)
        if (!isalnum((unsigned char)*p) && !strchr("+-.", *p))
            return false;
    return true;
}

static bool is_short_name(const char *s)
{
    return validate_dns1123_label(s) == NULL;
}

static bool is_long_name(const char *s)
{
    return validate_dns1123_subdomain(s) == NULL;
}

static const struct {
    const char *name; /* without dashes */
    format_fn *accepts;
} formats[] = {
    {"bsonobjectid", is_bson_id},
    {"uri", is_uri},
    {"email", is_email},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"cidr", is_cidr},
    {"mac", is_mac},
    {"uuid", is_uuid},
    {"uuid3", is_uuid3},
    {"uuid4", is_uuid4},
    {"uuid5", is_uuid5},
    {"isbn", is_isbn},
    {"isbn10", is_isbn10},
    {"isbn13", is_isbn13},
    {"creditcard", is_credit_card},
    {"ssn", is_ssn},
    {"hexcolor", is_hex_color},
    {"rgbcolor", is_rgb_color},
    {"byte", is_base64},
    {"password", is_any},
    {"date", is_date},
    {"duration", is_duration},
    {"datetime", is_date_time},
    {"k8sshortname", is_short_name},
    {"k8slongname", is_long_name},
};

static format_fn *format_find(const char *format)
{
    char plain[64];
    size_t n = 0;
    for (const char *p = format; *p && n + 1 < sizeof plain; p++)
        if (*p != '-')
            plain[n++] = *p;
    plain[n] = 0;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(plain, formats[i].name) == 0)
            return formats[i].accepts;
    return NULL;
}

bool structural_format_known(const char *format)
{
    return format_find(format) != NULL;
}

bool structural_format_matches(const char *format, struct str text)
{
    format_fn *accepts = format_find(format);
    if (!accepts || accepts == is_any)
        return true;
    if (accepts == is_base64 || accepts == is_uri) { /* of any length */
        char *copy = mem_alloc(text.n + 1);
        memcpy(copy, text.p ? text.p : "", text.n);
        copy[text.n] = 0;
        bool good = strlen(copy) == text.n && accepts(copy);
        mem_free(copy);
        return good;
    }
    char copy[TEXT_MAX];
    if (text.n >= sizeof copy || (text.n && memchr(text.p, 0, text.n)))
        return false;
    memcpy(copy, text.p ? text.p : "", text.n);
    copy[text.n] = 0;
    return accepts(copy);
}
