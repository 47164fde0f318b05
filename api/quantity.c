/*
 * Quantities in 128-bit nano-units: parse exactly, print canonically.
 */
#include "api/quantity.h"
#include <assert.h>
#include <stdio.h>

#define NANOS_PER_UNIT 1000000000ll
static const __int128 QUANTITY_MAX = (__int128)INT64_MAX * NANOS_PER_UNIT;

/* Digits kept exactly; what is finer only rounds up. 38 of them fit 128 bits. The greatest amount has
 * 19 integer digits, 28 when it is written in nano-units. */
#define DIGITS_MAX 38
#define FRACTION_DIGITS_MAX 18
#define INTEGER_DIGITS_MAX 28

struct number { /* digits of "12.5": 125, 1 fraction digit */
    unsigned __int128 mantissa;
    int fraction_digits;
    bool inexact; /* non-zero digits were dropped */
    bool too_big; /* more integer digits than can be a valid amount */
    bool negative;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Read sign, digits and dot; returns how many bytes were the number, 0 when it has no digit. */
static size_t read_number(struct str s, struct number *n)
{
    *n = (struct number){0};
    size_t i = 0;
    int integer_digits = 0;
    bool dot = false, any = false;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
        n->negative = s.p[i++] == '-';
    for (; i < s.n && (is_digit(s.p[i]) || (s.p[i] == '.' && !dot)); i++) {
        if (s.p[i] == '.') {
            dot = true;
            continue;
        }
        any = true;
        int digit = s.p[i] - '0';
        if (dot && (n->fraction_digits == FRACTION_DIGITS_MAX ||
                    integer_digits + n->fraction_digits == DIGITS_MAX)) {
            n->inexact |= digit != 0;
            continue;
        }
        if (!dot && (n->mantissa || digit) && ++integer_digits > INTEGER_DIGITS_MAX) {
            n->too_big = true;
            continue;
        }
        n->mantissa = n->mantissa * 10 + (unsigned)digit;
        n->fraction_digits += dot;
    }
    return any ? i : 0;
}

/* Suffix → base and exponent; false when it is none. */
static bool read_suffix(struct str s, int *base, int *exponent, enum quantity_format *format)
{
    static const char decimal[] = "num kMGTPE"; /* position 3 is the empty suffix */
    *base = 10;
    *exponent = 0;
    *format = QUANTITY_DECIMAL_SI;
    if (s.n == 0)
        return true;
    const char *at = s.p[0] == ' ' ? NULL : strchr(decimal, s.p[0]);
    if (s.n == 1 && at) {
        *exponent = 3 * (int)(at - decimal) - 9;
        return true;
    }
    if (s.n == 2 && s.p[1] == 'i') {
        static const char binary[] = "KMGTPE";
        const char *b = strchr(binary, s.p[0]);
        if (!b)
            return false;
        *base = 2;
        *exponent = 10 * (int)(b - binary + 1);
        *format = QUANTITY_BINARY_SI;
        return true;
    }
    if (s.p[0] != 'e' && s.p[0] != 'E')
        return false;
    struct str digits = str_slice(s, 1, s.n);
    bool plus = digits.n > 1 && digits.p[0] == '+';
    int64_t value;
    if (!str_to_i64(plus ? str_slice(digits, 1, digits.n) : digits, &value) || value > 1000 ||
        value < -1000)
        return false;
    *exponent = (int)value;
    *format = QUANTITY_DECIMAL_EXPONENT;
    return true;
}

/* mantissa × 10^power, rounded up, saturating just past QUANTITY_MAX. */
static unsigned __int128 scale10(unsigned __int128 v, int power, bool *inexact)
{
    const unsigned __int128 cap = (unsigned __int128)QUANTITY_MAX + 1;
    for (; power > 0 && v; power--) {
        if (v > cap / 10)
            return cap;
        v *= 10;
    }
    for (; power < 0; power++) {
        *inexact |= v % 10 != 0;
        v /= 10;
        if (v == 0)
            break;
    }
    return v;
}

/* mantissa × 2^bits / 10^fraction × 10^9 without overflow: fraction digits go first when it is
 * tight. */
static unsigned __int128 scale2(struct number *n, int bits)
{
    unsigned __int128 v = n->mantissa, limit = ~(unsigned __int128)0 >> bits;
    int fraction = n->fraction_digits;
    while (v > limit && fraction > 9) {
        n->inexact |= v % 10 != 0;
        v /= 10;
        fraction--;
    }
    if (v > limit)
        return (unsigned __int128)QUANTITY_MAX + 1;
    return scale10(v << bits, 9 - fraction, &n->inexact);
}

int quantity_parse(struct str text, struct quantity *out, struct error *err)
{
    struct number n;
    size_t used = read_number(text, &n);
    if (used == 0)
        return error_set(err, ERR_INVALID,
                         "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    int base, exponent;
    if (!read_suffix(str_slice(text, used, text.n), &base, &exponent, &out->format))
        return error_set(err, ERR_INVALID, "unable to parse quantity's suffix");
    unsigned __int128 nanos =
        n.too_big   ? (unsigned __int128)QUANTITY_MAX
        : base == 2 ? scale2(&n, exponent)
                    : scale10(n.mantissa, exponent + 9 - n.fraction_digits, &n.inexact);
    nanos += n.inexact;
    if (nanos > (unsigned __int128)QUANTITY_MAX)
        nanos = (unsigned __int128)QUANTITY_MAX;
    out->nanos = n.negative ? -(__int128)nanos : (__int128)nanos;
    if (out->format == QUANTITY_BINARY_SI && nanos > 0 && nanos < (unsigned)NANOS_PER_UNIT)
        out->format = QUANTITY_DECIMAL_SI;
    return 0;
}

struct quantity quantity_of(const char *text)
{
    struct quantity q;
    if (!text || !*text || quantity_parse(str_from(text), &q, NULL) < 0)
        return (struct quantity){0, QUANTITY_DECIMAL_SI};
    return q;
}

struct quantity quantity_from_i64(int64_t value, enum quantity_format format)
{
    return (struct quantity){(__int128)value * NANOS_PER_UNIT, format};
}

struct quantity quantity_from_milli(int64_t milli, enum quantity_format format)
{
    return (struct quantity){(__int128)milli * (NANOS_PER_UNIT / 1000), format};
}

int quantity_cmp(struct quantity a, struct quantity b)
{
    return (a.nanos > b.nanos) - (a.nanos < b.nanos);
}

static struct quantity saturated(__int128 nanos, enum quantity_format format)
{
    if (nanos > QUANTITY_MAX)
        nanos = QUANTITY_MAX;
    if (nanos < -QUANTITY_MAX)
        nanos = -QUANTITY_MAX;
    return (struct quantity){nanos, format};
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    return saturated(a.nanos + b.nanos, a.nanos == 0 ? b.format : a.format);
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return saturated(a.nanos - b.nanos, a.nanos == 0 ? b.format : a.format);
}

/* Away from zero, as upstream's Value() rounds. */
static int64_t divide_up(__int128 v, int64_t by)
{
    __int128 q = v / by;
    if (v % by)
        q += v > 0 ? 1 : -1;
    return q > INT64_MAX ? INT64_MAX : q < INT64_MIN ? INT64_MIN : (int64_t)q;
}

int64_t quantity_value(struct quantity q)
{
    return divide_up(q.nanos, NANOS_PER_UNIT);
}

struct quantity quantity_round_up_milli(struct quantity q)
{
    __int128 step = NANOS_PER_UNIT / 1000, rest = q.nanos % step;
    if (rest)
        q.nanos += (rest > 0 ? step : -step) - rest;
    return q;
}

int64_t quantity_milli(struct quantity q)
{
    return divide_up(q.nanos, NANOS_PER_UNIT / 1000);
}

bool quantity_is_zero(struct quantity q)
{
    return q.nanos == 0;
}

/* Text of v with sign and suffix; digits come from 64-bit halves, which divide faster. */
static size_t print(char out[QUANTITY_TEXT_MAX], unsigned __int128 v, bool negative,
                    const char *suffix)
{
    char digits[40], *p = digits + sizeof digits;
    for (; v > UINT64_MAX; v /= 10)
        *--p = (char)('0' + (int)(v % 10));
    uint64_t low = (uint64_t)v;
    do {
        *--p = (char)('0' + (int)(low % 10));
    } while (low /= 10);
    size_t n = 0, len = (size_t)(digits + sizeof digits - p);
    if (negative)
        out[n++] = '-';
    memcpy(out + n, p, len);
    n += len;
    while (*suffix)
        out[n++] = *suffix++;
    out[n] = 0;
    assert(n < QUANTITY_TEXT_MAX);
    return n;
}

static size_t format_decimal(struct quantity q, unsigned __int128 v, char out[QUANTITY_TEXT_MAX])
{
    static const char *const suffixes[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    int thousands = 0; /* v is in units of 10^(3·thousands - 9) */
    while (v % 1000 == 0 && thousands < 9) {
        v /= 1000;
        thousands++;
    }
    if (q.format != QUANTITY_DECIMAL_EXPONENT)
        return print(out, v, q.nanos < 0, suffixes[thousands]);
    char suffix[8] = "";
    if (thousands != 3)
        snprintf(suffix, sizeof suffix, "e%d", 3 * thousands - 9);
    return print(out, v, q.nanos < 0, suffix);
}

size_t quantity_format(struct quantity q, char out[QUANTITY_TEXT_MAX])
{
    static const char *const suffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    unsigned __int128 v = (unsigned __int128)(q.nanos < 0 ? -q.nanos : q.nanos);
    if (v == 0)
        return print(out, 0, false, "");
    bool whole = v % (unsigned)NANOS_PER_UNIT == 0;
    unsigned __int128 units = v / (unsigned)NANOS_PER_UNIT;
    if (q.format != QUANTITY_BINARY_SI || !whole || units < 1024)
        return format_decimal(q, v, out);
    int power = 0;
    while (units % 1024 == 0 && power < 6) {
        units /= 1024;
        power++;
    }
    return print(out, units, q.nanos < 0, suffixes[power]);
}

char *quantity_text(struct arena *a, struct quantity q)
{
    char text[QUANTITY_TEXT_MAX];
    size_t n = quantity_format(q, text);
    return arena_strndup(a, text, n);
}

char *quantity_canonical(struct arena *a, const char *text)
{
    struct quantity q;
    if (!text || !*text)
        return (char *)"0";
    if (quantity_parse(str_from(text), &q, NULL) < 0)
        return NULL;
    char canonical[QUANTITY_TEXT_MAX];
    size_t n = quantity_format(q, canonical);
    return strcmp(canonical, text) == 0 ? (char *)text : arena_strndup(a, canonical, n);
}
