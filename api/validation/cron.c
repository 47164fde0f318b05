/*
 * Schedules of cron jobs: five fields, or a descriptor. (Whether one is well-formed, and in the published
 * words if not; when it is due is the controller's business.)
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include <strings.h>

struct cron_field {
    unsigned min, max;
    const char *const *names; /* of `min`, `min` + 1, …; NULL: numbers only */
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct cron_field fields[] = {
    {0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, months}, {0, 6, days}};

static const char *number(struct arena *a, struct str s, const struct cron_field *f, unsigned *out)
{
    int64_t n;
    for (size_t i = 0; f && f->names && f->names[i]; i++) {
        if (str_ieq(s, str_from(f->names[i]))) {
            *out = f->min + (unsigned)i;
            return NULL;
        }
    }
    if (!str_to_i64(s, &n))
        return arena_printf(a,
                            "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": "
                            "invalid syntax",
                            STR_ARG(s), STR_ARG(s));
    if (n < 0)
        return arena_printf(a, "negative number (%lld) not allowed: %.*s", (long long)n,
                            STR_ARG(s));
    *out = n > UINT16_MAX ? UINT16_MAX : (unsigned)n;
    return NULL;
}

static const char *check_bounds(struct arena *a, struct str expression, const struct cron_field *f,
                                unsigned start, unsigned end, unsigned step)
{
    if (start < f->min)
        return arena_printf(a, "beginning of range (%u) below minimum (%u): %.*s", start, f->min,
                            STR_ARG(expression));
    if (end > f->max)
        return arena_printf(a, "end of range (%u) above maximum (%u): %.*s", end, f->max,
                            STR_ARG(expression));
    if (start > end)
        return arena_printf(a, "beginning of range (%u) beyond end of range (%u): %.*s", start, end,
                            STR_ARG(expression));
    if (step == 0)
        return arena_printf(a, "step of range should be a positive number: %.*s",
                            STR_ARG(expression));
    return NULL;
}

/* "*", "5", "1-5", each with "/step". */
static const char *check_range_expression(struct arena *a, struct str expression,
                                          const struct cron_field *f)
{
    struct str rest = expression, range = STR_NONE, step = STR_NONE, low = STR_NONE;
    unsigned start = f->min, end = f->max, every = 1;
    const char *problem = NULL;
    str_split(&rest, '/', &range);
    bool stepped = str_find_char(expression, '/') >= 0;
    if (stepped)
        str_split(&rest, '/', &step);
    size_t slashes = 0, hyphens = 0;
    for (size_t i = 0; i < expression.n; i++)
        slashes += expression.p[i] == '/';
    for (size_t i = 0; i < range.n; i++)
        hyphens += range.p[i] == '-';
    struct str high = range;
    str_split(&high, '-', &low);
    if (!str_eq(low, STR("*")) && !str_eq(low, STR("?"))) {
        if ((problem = number(a, low, f, &start)))
            return problem;
        if (hyphens > 1)
            return arena_printf(a, "too many hyphens: %.*s", STR_ARG(expression));
        if (hyphens == 1 && (problem = number(a, high, f, &end)))
            return problem;
        if (hyphens == 0)
            end = stepped ? f->max : start;
    }
    if (slashes > 1)
        return arena_printf(a, "too many slashes: %.*s", STR_ARG(expression));
    if (stepped && (problem = number(a, step, NULL, &every)))
        return problem;
    return check_bounds(a, expression, f, start, end, every);
}

static const char *check_descriptor(struct arena *a, const char *s)
{
    static const char *const known[] = {"@annually", "@daily",  "@hourly", "@midnight",
                                        "@monthly",  "@weekly", "@yearly", NULL};
    int64_t ns;
    if (is_one_of(s, known))
        return NULL;
    if (strncmp(s, "@every ", 7) != 0)
        return arena_printf(a, "unrecognized descriptor: %s", s);
    if (go_duration_parse(str_from(s + 7), &ns))
        return NULL;
    return arena_printf(a, "failed to parse duration %s: time: invalid duration \"%s\"", s, s + 7);
}

const char *cron_problem(struct arena *a, const char *schedule)
{
    struct str words[8], rest = str_from(schedule), word;
    size_t n = 0;
    if (!*schedule)
        return "empty spec string";
    if (*schedule == '@')
        return check_descriptor(a, schedule);
    while (str_split(&rest, ' ', &word)) {
        if (word.n && n < sizeof words / sizeof *words)
            words[n++] = word;
    }
    if (n != 5) {
        struct buf list;
        buf_init(&list);
        for (size_t i = 0; i < n; i++)
            buf_printf(&list, "%s%.*s", i ? " " : "", STR_ARG(words[i]));
        const char *problem =
            arena_printf(a, "expected exactly 5 fields, found %zu: [%s]", n, buf_cstr(&list));
        buf_free(&list);
        return problem;
    }
    for (size_t i = 0; i < n; i++) {
        struct str list = words[i], part;
        while (str_split(&list, ',', &part)) {
            const char *problem = check_range_expression(a, part, &fields[i]);
            if (problem)
                return problem;
        }
    }
    return NULL;
}
