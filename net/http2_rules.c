/*
 * The rules of net/http2_rules.h.
 */
#include "net/http2_rules.h"
#include "base/mem.h"

#include <nghttp2/nghttp2.h>

enum { SEEN_METHOD = 1, SEEN_SCHEME = 2, SEEN_PATH = 4, SEEN_AUTHORITY = 8 };

void http2_rules_init(struct http2_rules *r)
{
    *r = (struct http2_rules){.announced = -1};
}

static const uint8_t *bytes(struct str s)
{
    return (const uint8_t *)s.p;
}

static bool pseudo_header(struct http2_rules *r, struct str name, struct str value)
{
    uint8_t bit;
    bool valid;
    if (str_eq(name, STR(":method"))) {
        bit = SEEN_METHOD;
        valid = nghttp2_check_method(bytes(value), value.n);
    } else if (str_eq(name, STR(":scheme"))) {
        bit = SEEN_SCHEME;
        valid = value.n && nghttp2_check_header_value(bytes(value), value.n);
    } else if (str_eq(name, STR(":path"))) {
        bit = SEEN_PATH;
        valid = nghttp2_check_path(bytes(value), value.n) && value.n &&
                (value.p[0] == '/' || str_eq(value, STR("*")));
    } else if (str_eq(name, STR(":authority"))) {
        bit = SEEN_AUTHORITY;
        valid = nghttp2_check_header_value(bytes(value), value.n);
    } else {
        return false;
    }
    if (!valid || r->regular || (r->seen & bit))
        return false;
    r->seen |= bit;
    return true;
}

static bool of_connection(struct str name)
{
    return str_eq(name, STR("connection")) || str_eq(name, STR("proxy-connection")) ||
           str_eq(name, STR("keep-alive")) || str_eq(name, STR("upgrade")) ||
           str_eq(name, STR("transfer-encoding"));
}

static bool field_valid(struct str name, struct str value)
{
    if (!nghttp2_check_header_name(bytes(name), name.n) ||
        !nghttp2_check_header_value(bytes(value), value.n) || of_connection(name))
        return false;
    return !str_eq(name, STR("te")) || str_ieq(value, STR("trailers"));
}

bool http2_rules_header(struct http2_rules *r, struct str name, struct str value)
{
    if (name.n && name.p[0] == ':')
        return pseudo_header(r, name, value);
    r->regular = true;
    if (!field_valid(name, value))
        return false;
    if (str_eq(name, STR("content-length"))) {
        uint64_t n;
        if (!str_to_u64(value, &n) || n > INT64_MAX ||
            (r->announced >= 0 && (int64_t)n != r->announced))
            return false;
        r->announced = (int64_t)n;
    }
    return true;
}

bool http2_rules_trailer(struct str name, struct str value)
{
    return name.n && name.p[0] != ':' && field_valid(name, value);
}

bool http2_rules_headers_end(const struct http2_rules *r)
{
    const uint8_t needed = SEEN_METHOD | SEEN_SCHEME | SEEN_PATH;
    return (r->seen & needed) == needed;
}

bool http2_rules_body(struct http2_rules *r, uint64_t n, bool end)
{
    r->body += n;
    if (r->announced < 0)
        return true;
    return end ? r->body == (uint64_t)r->announced : r->body <= (uint64_t)r->announced;
}
