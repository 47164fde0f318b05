/*
 * Clocks and RFC 3339 times, with the calendar computed here (no time zone database, no locale).
 */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

uint64_t clock_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
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
