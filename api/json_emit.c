/*
 * Emitters of JSON values, and struct → JSON.
 *
 * Output matches what the published servers write: members in declaration order, maps by key, Go's
 * escapes, null where Go has a nil without omitempty.
 */
#include "api/codec_internal.h"
#include "api/custom/internal.h"
#include "api/json_indent.h"
#include "base/clock.h"
#include "base/encode.h"
#include <math.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* --- values ------------------------------------------------------------------------------------
 */

/* 0: as it is; 1: \u00xx; else the letter after the backslash. */
static const char escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\b'] = 'b',
    ['\f'] = 'f', ['<'] = 1,     ['>'] = 1,    ['&'] = 1,    [0] = 1,      [1] = 1,
    [2] = 1,      [3] = 1,       [4] = 1,      [5] = 1,      [6] = 1,      [7] = 1,
    [11] = 1,     [14] = 1,      [15] = 1,     [16] = 1,     [17] = 1,     [18] = 1,
    [19] = 1,     [20] = 1,      [21] = 1,     [22] = 1,     [23] = 1,     [24] = 1,
    [25] = 1,     [26] = 1,      [27] = 1,     [28] = 1,     [29] = 1,     [30] = 1,
    [31] = 1,
};

#ifdef __SSE2__
/* Which of 16 bytes need an escape, or may: a bit each. */
static unsigned suspects(__m128i v)
{
    const __m128i control = _mm_set1_epi8(0x1f), two = _mm_set1_epi8(2), four = _mm_set1_epi8(4);
    __m128i bad = _mm_cmpeq_epi8(_mm_min_epu8(v, control), v);
    bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(v, two), _mm_set1_epi8('>')));  /* and < */
    bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(v, four), _mm_set1_epi8('&'))); /* and " */
    bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8((char)0xe2)));
    return (unsigned)_mm_movemask_epi8(bad);
}

/* Up to 16 bytes in a vector, some of them twice: loads that overlap in place of a loop over the rest. */
static __m128i load_short(const char *p, size_t n)
{
    if (n >= 8) {
        __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)p);
        return _mm_unpacklo_epi64(low, _mm_loadl_epi64((const __m128i *)(const void *)(p + n - 8)));
    }
    if (n >= 4) {
        int low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        return _mm_set_epi32(low, high, low, high);
    }
    char few[4] = {p[0], p[n / 2], p[n - 1], p[0]};
    int all;
    memcpy(&all, few, 4);
    return _mm_set1_epi32(all);
}
#endif

/* Length of the front of s that needs no escape. */
static size_t plain_length(struct str s)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= s.n; i += 16) {
        unsigned mask = suspects(_mm_loadu_si128((const __m128i *)(const void *)(s.p + i)));
        if (mask)
            return i + (size_t)__builtin_ctz(mask);
    }
    if (i < s.n && !suspects(load_short(s.p + i, s.n - i)))
        return s.n;
#endif
    while (i < s.n && !escapes[(uint8_t)s.p[i]] && (uint8_t)s.p[i] != 0xe2)
        i++;
    return i;
}

/* One character that may need an escape; returns the bytes used. */
static size_t emit_escaped(struct buf *out, struct str s)
{
    uint8_t c = (uint8_t)s.p[0];
    char escape = escapes[c], text[8];
    if (escape == 1) {
        snprintf(text, sizeof text, "\\u%04x", c);
        put(out, text, 6);
        return 1;
    }
    if (escape) {
        text[0] = '\\';
        text[1] = escape;
        put(out, text, 2);
        return 1;
    }
    /* U+2028 and U+2029 (e2 80 a8, e2 80 a9) are line ends in JavaScript. */
    if (s.n >= 3 && (uint8_t)s.p[1] == 0x80 && ((uint8_t)s.p[2] & 0xfe) == 0xa8) {
        put(out, (uint8_t)s.p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
        return 3;
    }
    put_char(out, (char)c);
    return 1;
}

void emit_string(struct buf *out, struct str s)
{
    if (!s.n) { /* it may have no bytes to point to */
        put_literal(out, "\"\"");
        return;
    }
    size_t n = plain_length(s);
    if (n == s.n && has_room(out, n + 2)) { /* as nearly every string */
        char *p = out->data + out->len;
        *p++ = '"';
        memcpy(p, s.p, n);
        p[n] = '"';
        out->len += n + 2;
        return;
    }
    put_char(out, '"');
    for (;;) {
        put(out, s.p, n);
        if (n < s.n)
            n += emit_escaped(out, str_make(s.p + n, s.n - n));
        s = str_make(s.p + n, s.n - n);
        if (!s.n)
            break;
        n = plain_length(s);
    }
    put_char(out, '"');
}

struct str i64_text(char text[24], int64_t v)
{
    char *end = text + 24, *p = end;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + u % 10);
    } while (u /= 10);
    if (v < 0)
        *--p = '-';
    return str_make(p, (size_t)(end - p));
}

void emit_i64(struct buf *out, int64_t v)
{
    char text[24];
    struct str digits = i64_text(text, v);
    put(out, digits.p, digits.n);
}

/* The shortest text that reads back the same; exponents below 1e-6 and from 1e21 on, as Go. */
void emit_double(struct buf *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        put_literal(out, "null");
        return;
    }
    double magnitude = fabs(v);
    bool exponent = v != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
    int precision = 1;
    do {
        snprintf(text, sizeof text, "%.*e", precision - 1, v);
    } while (strtod(text, NULL) != v && ++precision < 18);
    char *e = strchr(text, 'e');
    if (!exponent) {
        int power = atoi(e + 1), decimals = precision - 1 - power;
        if (decimals >= 0) {
            snprintf(text, sizeof text, "%.*f", decimals, v);
        } else { /* the digits that matter, then zeros */
            size_t digits = (size_t)(e - text);
            if (precision > 1) {
                char *point = strchr(text, '.');
                memmove(point, point + 1, (size_t)(e - point) - 1);
                digits--;
            }
            memset(text + digits, '0', (size_t)-decimals);
            text[digits + (size_t)-decimals] = 0;
        }
        buf_append_cstr(out, text);
        return;
    }
    if (e[2] == '0') /* Go writes e-7, not e-07 */
        memmove(e + 2, e + 3, strlen(e + 3) + 1);
    buf_append_cstr(out, text);
}

void emit_base64(struct buf *out, struct str s)
{
    put_char(out, '"');
    base64_encode(out, s);
    put_char(out, '"');
}

static char *digits2(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

/* Days since 1970 → year, month, day in the proleptic Gregorian calendar, counted from 1 March of year 0 so that leap
 * days come last. */
static char *emit_date(char *p, int64_t days)
{
    uint64_t z = (uint64_t)(days + 719468), era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    unsigned year = (unsigned)(yoe + era * 400 + (month <= 2));
    p = digits2(p, year / 100);
    p = digits2(p, year % 100);
    *p++ = '-';
    p = digits2(p, month);
    *p++ = '-';
    return digits2(p, day);
}

void emit_time(struct buf *out, int64_t seconds, int32_t nanos, bool micro)
{
    if ((seconds == 0 && nanos == 0) || seconds < TIME_SECONDS_MIN || seconds > TIME_SECONDS_MAX) {
        put_literal(out, "null");
        return;
    }
    char text[40], *p = text;
    int64_t since = seconds - TIME_SECONDS_MIN; /* never negative */
    unsigned second = (unsigned)(since % 86400);
    *p++ = '"';
    p = emit_date(p, since / 86400 + TIME_SECONDS_MIN / 86400);
    *p++ = 'T';
    p = digits2(p, second / 3600);
    *p++ = ':';
    p = digits2(p, second / 60 % 60);
    *p++ = ':';
    p = digits2(p, second % 60);
    if (micro) {
        unsigned us = (unsigned)nanos / 1000 % 1000000;
        *p++ = '.';
        p = digits2(p, us / 10000);
        p = digits2(p, us / 100 % 100);
        p = digits2(p, us % 100);
    }
    *p++ = 'Z';
    *p++ = '"';
    put(out, text, (size_t)(p - text));
}

void emit_duration(struct buf *out, int64_t ns)
{
    char text[CLOCK_DURATION_MAX];
    size_t n = clock_format_duration(ns, text);
    emit_string(out, str_make(text, n));
}

void emit_raw(struct buf *out, struct str raw)
{
    if (raw.n == 0)
        put_literal(out, "null");
    else
        put(out, raw.p, raw.n);
}

void emit_name(struct buf *out, const char *json_name, bool *first)
{
    if (!*first)
        put_char(out, ',');
    *first = false;
    put_char(out, '"');
    buf_append_cstr(out, json_name); /* names of the schema need no escapes */
    buf_append(out, "\":", 2);
}

/* --- struct → JSON -----------------------------------------------------------------------------
 */

static void emit_message(struct buf *out, const struct schema_message *m, const void *object);

static void emit_strings(struct buf *out, char *const *items, size_t n)
{
    put_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            put_char(out, ',');
        emit_string(out, str_from(items[i]));
    }
    put_char(out, ']');
}

/* Members of JSONSchemaPropsOr*: field 1 and 2 by position (see apiextensions_v1.proto). */
static void emit_props_or(struct buf *out, const struct schema_message *m, const void *object)
{
    const struct schema_field *first = schema_field_at(m, 0), *second = schema_field_at(m, 1);
    if (m->special == SCHEMA_PROPS_OR_BOOL) {
        const void *schema = MEMBER_CONST(object, second, void *);
        if (schema)
            emit_message(out, schema_field_message(second), schema);
        else
            buf_append_cstr(out,
                            MEMBER_CONST(object, first, protobuf_c_boolean) ? "true" : "false");
        return;
    }
    size_t n = member_count_get(object, second);
    const void *schema = MEMBER_CONST(object, first, void *);
    if (n == 0 && (schema || m->special == SCHEMA_PROPS_OR_ARRAY)) {
        if (schema)
            emit_message(out, schema_field_message(first), schema);
        else
            put_literal(out, "null");
    } else if (m->special == SCHEMA_PROPS_OR_STRINGS) {
        if (n == 0)
            put_literal(out, "null");
        else
            emit_strings(out, MEMBER_CONST(object, second, char **), n);
    } else {
        put_char(out, '[');
        for (size_t i = 0; i < n; i++) {
            if (i)
                put_char(out, ',');
            emit_message(out, schema_field_message(second),
                         MEMBER_CONST(object, second, void **)[i]);
        }
        put_char(out, ']');
    }
}

static void emit_special(struct buf *out, const struct schema_message *m, const void *object)
{
    switch ((enum schema_special)m->special) {
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME: {
        const Meta__V1__MicroTime *t = object; /* Time has the same layout */
        emit_time(out, t->seconds, t->nanos, m->special == SCHEMA_MICRO_TIME);
        return;
    }
    case SCHEMA_DURATION:
        emit_duration(out, ((const Meta__V1__Duration *)object)->duration);
        return;
    case SCHEMA_QUANTITY: {
        const char *text = ((const Meta__V1__Quantity *)object)->string;
        emit_string(out, text && *text ? str_from(text) : STR("0"));
        return;
    }
    case SCHEMA_INT_OR_STRING: {
        const Meta__V1__IntOrString *v = object;
        if (v->type == 1)
            emit_string(out, str_from(v->str_val));
        else
            emit_i64(out, v->int_val);
        return;
    }
    case SCHEMA_RAW: {
        const Meta__V1__RawExtension *raw = object; /* FieldsV1 and JSON have the same layout */
        emit_raw(out, str_make(raw->raw.data, raw->has_raw ? raw->raw.len : 0));
        return;
    }
    case SCHEMA_STRINGS: {
        const Meta__V1__Verbs *list = object;
        emit_strings(out, list->items, list->n_items);
        return;
    }
    default:
        emit_props_or(out, m, object);
    }
}

void emit_value(struct buf *out, const struct schema_field *f, const void *p)
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        if (*(const protobuf_c_boolean *)p)
            put_literal(out, "true");
        else
            put_literal(out, "false");
        return;
    case SCHEMA_INT32:
        emit_i64(out, *(const int32_t *)p);
        return;
    case SCHEMA_INT64:
        emit_i64(out, *(const int64_t *)p);
        return;
    case SCHEMA_DOUBLE:
        emit_double(out, *(const double *)p);
        return;
    case SCHEMA_STRING:
        emit_string(out, str_from(*(char *const *)p));
        return;
    case SCHEMA_BYTES: {
        const ProtobufCBinaryData *b = p;
        emit_base64(out, str_make(b->data, b->len));
        return;
    }
    case SCHEMA_MESSAGE:
        emit_message(out, schema_field_message(f), *(void *const *)p);
        return;
    }
}

static void emit_map(struct buf *out, const struct schema_field *f, void *const *entries, size_t n)
{
    const struct schema_field *value = schema_map_value(f);
    put_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            put_char(out, ',');
        emit_string(out, str_from(entry_key(entries[i])));
        put_char(out, ':');
        emit_value(out, value, (const char *)entries[i] + value->offset);
    }
    put_char(out, '}');
}

static void emit_list(struct buf *out, const struct schema_field *f, const void *object)
{
    size_t n = member_count_get(object, f), size = element_size(f);
    const char *items = MEMBER_CONST(object, f, char *);
    if (f->label == SCHEMA_MAP) {
        emit_map(out, f, (void *const *)(const void *)items, n);
        return;
    }
    put_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            put_char(out, ',');
        emit_value(out, f, items + i * size);
    }
    put_char(out, ']');
}

/* Zero in the sense of omitempty: scalars and bytes. */
static bool scalar_is_empty(const struct schema_field *f, const void *object)
{
    const void *p = (const char *)object + f->offset;
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        return !*(const protobuf_c_boolean *)p;
    case SCHEMA_INT32:
        return *(const int32_t *)p == 0;
    case SCHEMA_INT64:
        return *(const int64_t *)p == 0;
    case SCHEMA_DOUBLE:
        return *(const double *)p == 0;
    case SCHEMA_STRING:
        return !*(char *const *)p || !**(char *const *)p;
    case SCHEMA_BYTES:
        return ((const ProtobufCBinaryData *)p)->len == 0;
    case SCHEMA_MESSAGE:
        return *(void *const *)p == NULL;
    }
    return false;
}

/* Only times are published as omitzero. */
static bool message_is_zero(const struct schema_field *f, const void *object)
{
    const Meta__V1__Time *t = MEMBER_CONST(object, f, void *);
    return !t ||
           (schema_field_message(f)->special == SCHEMA_TIME && t->seconds == 0 && t->nanos == 0);
}

bool field_is_present(const struct schema_field *f, const void *object)
{
    if (field_is_list(f))
        return member_count_get(object, f) > 0;
    if (f->type == SCHEMA_BYTES)
        return member_has(object, f) &&
               !(f->flags & SCHEMA_OMIT_EMPTY && scalar_is_empty(f, object));
    if (f->label == SCHEMA_POINTER)
        return f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE
                   ? MEMBER_CONST(object, f, void *) != NULL
                   : member_has(object, f);
    if (f->type == SCHEMA_MESSAGE)
        return f->flags & SCHEMA_OMIT_ZERO ? !message_is_zero(f, object) : true;
    return !(f->flags & SCHEMA_OMIT_EMPTY && scalar_is_empty(f, object));
}

void emit_absent(struct buf *out, const struct schema_message *m, const struct schema_field *f)
{
    bool is_items = m->flags & SCHEMA_HAS_LIST_META && f->number == 2;
    if (is_items)
        buf_append_cstr(out, "[]");
    else if (f->label != SCHEMA_VALUE)
        put_literal(out, "null");
    else
        emit_value(out, f, (const char *)zero_struct);
}

static void emit_members(struct buf *out, const struct schema_message *m, const void *object,
                         bool *first)
{
    object = object ? object : zero_struct;
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE) {
            emit_members(out, schema_field_message(f), MEMBER_CONST(object, f, void *), first);
        } else if (field_is_present(f, object)) {
            emit_field_name(out, f, first);
            if (field_is_list(f))
                emit_list(out, f, object);
            else
                emit_value(out, f, (const char *)object + f->offset);
        } else if (field_always(f)) {
            emit_field_name(out, f, first);
            emit_absent(out, m, f);
        }
    }
}

static void emit_message(struct buf *out, const struct schema_message *m, const void *object)
{
    if (m->special != SCHEMA_PLAIN) {
        emit_special(out, m, object ? object : zero_struct);
        return;
    }
    bool first = true;
    put_char(out, '{');
    emit_members(out, m, object, &first);
    put_char(out, '}');
}

/* Metadata always, whatever else the body has. */
static void emit_custom(struct buf *out, const struct schema_message *m, const void *object,
                        bool *first)
{
    const struct schema_field *f = schema_field_at(m, 0);
    emit_name(out, "metadata", first);
    emit_message(out, schema_field_message(f), MEMBER_CONST(object, f, void *));
    custom_emit_body(out, object, first);
}

static void encode_compact(const void *object, bool type_meta, struct buf *out)
{
    const struct schema_message *m = schema_of(object);
    type_meta = type_meta || m->special == SCHEMA_CUSTOM; /* items of lists say their kind, too */
    if (!type_meta || !(m->flags & SCHEMA_HAS_TYPE_META)) {
        emit_message(out, m, object);
        return;
    }
    bool first = true;
    put_char(out, '{');
    emit_name(out, "kind", &first);
    emit_string(out, str_from(message_kind(m)));
    emit_name(out, "apiVersion", &first);
    emit_string(out, str_from(message_api_version(m)));
    if (m->special == SCHEMA_CUSTOM)
        emit_custom(out, m, object, &first);
    else
        emit_members(out, m, object, &first);
    put_char(out, '}');
}

void json_encode(const void *object, enum json_flag flags, struct buf *out)
{
    bool type_meta = !(flags & JSON_NO_TYPE_META);
    if (!(flags & JSON_PRETTY)) {
        encode_compact(object, type_meta, out);
        return;
    }
    struct buf compact;
    buf_init(&compact);
    encode_compact(object, type_meta, &compact);
    struct json_indent state = {.width = 2};
    json_indent(&state, buf_str(&compact), out);
    buf_free(&compact);
}
