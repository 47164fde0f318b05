/*
 * Clocks and RFC 3339 times, with the calendar computed here (no time zone database, no locale).
 */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_boot_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL);
}

/*
 * Days since 1970-01-01 of a proleptic Gregorian date, and back. Years are counted from March, so
 * that the leap day is the last of its year; an era is 400 years, 146097 days.
 */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

size_t clock_format_rfc3339(int64_t seconds, int32_t nanos, int fraction_digits,
                            char out[CLOCK_RFC3339_MAX])
{
    assert(fraction_digits == 0 || fraction_digits == 3 || fraction_digits == 6 ||
           fraction_digits == 9);
    int64_t days = seconds / 86400;
    int64_t rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t year;
    int month, day;
    date_from_days(days, &year, &month, &day);
    int n = snprintf(out, CLOCK_RFC3339_MAX, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)year,
                     month, day, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    if (n < 0 || n >= CLOCK_RFC3339_MAX - 11)
        n = CLOCK_RFC3339_MAX - 12; /* a year past 9999 by far: cut rather than overrun */
    if (fraction_digits > 0) {
        char fraction[16];
        snprintf(fraction, sizeof fraction, "%09d", nanos < 0 ? 0 : nanos % 1000000000);
        n += snprintf(out + n, CLOCK_RFC3339_MAX - (size_t)n, ".%.*s", fraction_digits, fraction);
    }
    n += snprintf(out + n, CLOCK_RFC3339_MAX - (size_t)n, "Z");
    return (size_t)n;
}

/* Exactly `width` digits at *s, which moves past them. */
static bool parse_digits(const char **s, const char *end, int width, int *out)
{
    int v = 0;
    if (end - *s < width)
        return false;
    for (int i = 0; i < width; i++) {
        char c = *(*s)++;
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *out = v;
    return true;
}

static bool parse_char(const char **s, const char *end, char c)
{
    if (*s >= end || **s != c)
        return false;
    (*s)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* ".digits", at most 9 of them significant. */
static bool parse_fraction(const char **s, const char *end, int32_t *nanos)
{
    *nanos = 0;
    if (!parse_char(s, end, '.'))
        return true;
    int digits = 0;
    for (; *s < end && **s >= '0' && **s <= '9'; (*s)++, digits++)
        if (digits < 9)
            *nanos = *nanos * 10 + (**s - '0');
    if (digits == 0)
        return false;
    for (; digits < 9; digits++)
        *nanos *= 10;
    return true;
}

/* "Z" or "+hh:mm", in seconds east of UTC. */
static bool parse_offset(const char **s, const char *end, int *seconds)
{
    if (parse_char(s, end, 'Z') || parse_char(s, end, 'z')) {
        *seconds = 0;
        return true;
    }
    int sign = parse_char(s, end, '-') ? -1 : parse_char(s, end, '+') ? 1 : 0;
    int hours, minutes;
    if (!sign || !parse_digits(s, end, 2, &hours) || !parse_char(s, end, ':') ||
        !parse_digits(s, end, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool clock_parse_rfc3339(const char *s, size_t n, int64_t *seconds, int32_t *nanos)
{
    const char *end = s + n;
    int year, month, day, hour, minute, second, offset;
    int32_t fraction;
    if (!parse_digits(&s, end, 4, &year) || !parse_char(&s, end, '-') ||
        !parse_digits(&s, end, 2, &month) || !parse_char(&s, end, '-') ||
        !parse_digits(&s, end, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month))
        return false;
    if (!parse_char(&s, end, 'T') && !parse_char(&s, end, 't'))
        return false;
    if (!parse_digits(&s, end, 2, &hour) || !parse_char(&s, end, ':') ||
        !parse_digits(&s, end, 2, &minute) || !parse_char(&s, end, ':') ||
        !parse_digits(&s, end, 2, &second) || hour > 23 || minute > 59 || second > 59)
        return false;
    if (!parse_fraction(&s, end, &fraction) || !parse_offset(&s, end, &offset) || s != end)
        return false;
    *seconds =
        days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *nanos = fraction;
    return true;
}

/* --- durations --- */

/* Nanoseconds in the unit that starts at *s, which moves past it; 0 when there is none. */
static uint64_t duration_unit(struct str *s)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},
                 {"us", NS_PER_US},
                 {"\xc2\xb5s", NS_PER_US}, /* micro sign */
                 {"\xce\xbcs", NS_PER_US}, /* Greek mu */
                 {"ms", NS_PER_MS},
                 {"s", NS_PER_S},
                 {"m", 60 * NS_PER_S},
                 {"h", 3600 * NS_PER_S}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct str name = str_from(units[i].name);
        if (str_has_prefix(*s, name)) {
            *s = str_slice(*s, name.n, s->n);
            return units[i].ns;
        }
    }
    return 0;
}

/* One "number unit" at *s, added to *total. */
static bool duration_term(struct str *s, uint64_t *total)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    size_t digits = 0;
    bool after_point = false;
    for (; s->n && ((s->p[0] >= '0' && s->p[0] <= '9') || (s->p[0] == '.' && !after_point));
         *s = str_slice(*s, 1, s->n)) {
        if (s->p[0] == '.') {
            after_point = true;
            continue;
        }
        uint64_t digit = (uint64_t)(s->p[0] - '0');
        digits++;
        if (!after_point) {
            if (__builtin_mul_overflow(whole, 10, &whole) ||
                __builtin_add_overflow(whole, digit, &whole))
                return false;
        } else if (scale < 1000000000000000ull) { /* further digits are below a nanosecond */
            fraction = fraction * 10 + digit;
            scale *= 10;
        }
    }
    uint64_t unit = digits ? duration_unit(s) : 0;
    if (unit == 0 || __builtin_mul_overflow(whole, unit, &whole))
        return false;
    uint64_t part = (uint64_t)((unsigned __int128)fraction * unit / scale);
    return !__builtin_add_overflow(*total, whole, total) &&
           !__builtin_add_overflow(*total, part, total);
}

bool clock_parse_duration(struct str s, int64_t *ns)
{
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_slice(s, 1, s.n);
    if (s.n == 0)
        return false;
    uint64_t total = 0;
    if (!str_eqz(s, "0"))
        while (s.n)
            if (!duration_term(&s, &total))
                return false;
    if (total > (uint64_t)INT64_MAX)
        return false;
    *ns = negative ? -(int64_t)total : (int64_t)total;
    return true;
}

/* v / 10^digits with trailing zeros cut: "1.5", "250". */
static int print_decimal(char *out, size_t size, uint64_t v, int digits)
{
    uint64_t scale = 1;
    for (int i = 0; i < digits; i++)
        scale *= 10;
    int n = snprintf(out, size, "%llu", (unsigned long long)(v / scale));
    uint64_t fraction = v % scale;
    if (fraction == 0)
        return n;
    while (fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    return n + snprintf(out + n, size - (size_t)n, ".%0*llu", digits, (unsigned long long)fraction);
}

size_t clock_format_duration(int64_t ns, char out[CLOCK_DURATION_MAX])
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    char *at = out;
    char *end = out + CLOCK_DURATION_MAX;
    if (ns < 0)
        *at++ = '-';
    if (v == 0)
        return (size_t)snprintf(out, CLOCK_DURATION_MAX, "0s");
    if (v < NS_PER_S) { /* one unit, below a second */
        int digits = v < NS_PER_US ? 0 : v < NS_PER_MS ? 3 : 6;
        at += print_decimal(at, (size_t)(end - at), v, digits);
        at += snprintf(at, (size_t)(end - at), "%s",
                       digits == 0   ? "ns"
                       : digits == 3 ? "\xc2\xb5s"
                                     : "ms");
        return (size_t)(at - out);
    }
    uint64_t minutes = v / (60 * NS_PER_S);
    if (minutes >= 60)
        at += snprintf(at, (size_t)(end - at), "%lluh", (unsigned long long)(minutes / 60));
    if (minutes > 0)
        at += snprintf(at, (size_t)(end - at), "%llum", (unsigned long long)(minutes % 60));
    at += print_decimal(at, (size_t)(end - at), v % (60 * NS_PER_S), 9);
    at += snprintf(at, (size_t)(end - at), "s");
    return (size_t)(at - out);
}
