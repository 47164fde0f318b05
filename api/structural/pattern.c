/*
 * Patterns of schemas, by PCRE2.
 *
 * Schemas are written for Go's regular expressions. What PCRE2 has beyond them (look-around, back
 * references, atomic groups, recursion) is refused, so that a definition accepted here is accepted
 * everywhere; `$` matches at the very end only. Go's matcher is linear, PCRE2 backtracks: its steps are
 * limited by the length of the text, since an object may have a hundred thousand texts. Where they are not enough, its
 * other matcher follows all ways at once, if the text is short enough. Whoever passes all limits does not match.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "api/structural/internal.h"
#include <ctype.h>
#include <pcre2.h>

#define STEPS_MIN 400 /* of backtracking, and more by the text's length */
#define STEPS_PER_BYTE 16
#define STEPS_ALONE 100000 /* where there is no other way */
#define HEAP_KIB_MAX 65536
/* Texts for which all ways are followed: that may take time with the square of their length; and those for which every
 * place is tried as the beginning. */
#define ALL_WAYS_BYTES_MAX 4096
#define SLIDING_BYTES_MAX 256
#define WORKSPACE_INTS 2048 /* and where these are too few: */
#define WORKSPACE_MORE_INTS 65536
#define PATTERN_BYTES_MAX 65536

struct structural_pattern {
    pcre2_code *code;
    bool anchored; /* matches at the beginning only */
};

/* Something that Go does not know; NULL when there is nothing. */
static const char *foreign_syntax(const char *p)
{
    bool class = false;
    for (; *p; p++) {
        if (*p == '\\') {
            char c = *++p;
            if (!c)
                return "trailing backslash at end of expression: ``";
            if (!class && c >= '1' && c <= '9')
                return "invalid escape sequence: back references are not supported";
            if (strchr("gkGKRXZNcouUlLeE", c) && !(c == 'E'))
                return "invalid escape sequence";
            if (c == 'Q') { /* literal up to \E */
                const char *end = strstr(p, "\\E");
                if (!end)
                    return NULL;
                p = end + 1;
            }
        } else if (class) {
            if (*p == '[' && p[1] == ':' && strstr(p + 2, ":]"))
                p = strstr(p + 2, ":]") + 1;
            else if (*p == ']')
                class = false;
        } else if (*p == '[') {
            class = true;
            if (p[1] == '^')
                p++;
            if (p[1] == ']')
                p++;
        } else if (*p == '(' && (p[1] == '*' || p[1] == '?')) {
            if (p[1] == '*')
                return "missing argument to repetition operator: `*`";
            const char *q = p + 2;
            bool named = (*q == 'P' && q[1] == '<') || (*q == '<' && q[1] != '=' && q[1] != '!');
            while (*q && strchr("imsU-", *q))
                q++;
            if (!named && *q != ':' && *q != ')')
                return "invalid or unsupported Perl syntax";
        } else if (strchr("*+?}", *p) && p[1] == '+') {
            return "invalid nested repetition operator";
        }
    }
    return NULL;
}

struct structural_pattern *structural_pattern_new(const char *pattern, struct error *err)
{
    int code;
    PCRE2_SIZE at;
    const char *foreign = foreign_syntax(pattern);
    if (foreign || strlen(pattern) > PATTERN_BYTES_MAX) {
        error_set(err, ERR_INVALID, "error parsing regexp: %s", foreign ? foreign : "too long");
        return NULL;
    }
    pcre2_compile_context *ctx = pcre2_compile_context_create(NULL);
    pcre2_set_parens_nest_limit(ctx, 200);
    uint32_t flags = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags, &code, &at, ctx);
    pcre2_compile_context_free(ctx);
    if (!compiled) {
        char text[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        error_set(err, ERR_INVALID, "error parsing regexp: %s at byte %zu", text, (size_t)at);
        return NULL;
    }
    struct structural_pattern *p = mem_zalloc(sizeof *p);
    p->code = compiled;
    uint32_t all = 0;
    pcre2_pattern_info(compiled, PCRE2_INFO_ALLOPTIONS, &all);
    p->anchored = all & PCRE2_ANCHORED;
    return p;
}

void structural_pattern_free(struct structural_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    mem_free(p);
}

static int verdict(int rc)
{
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : ERR_LIMIT;
}

static bool gave_up(int rc)
{
    return rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
           rc == PCRE2_ERROR_DEPTHLIMIT;
}

static int match_all_ways(const struct structural_pattern *p, struct str text,
                          pcre2_match_data *data, pcre2_match_context *ctx)
{
    int few[WORKSPACE_INTS], *more;
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.p ? text.p : "");
    int rc = pcre2_dfa_match(p->code, subject, text.n, 0, PCRE2_DFA_SHORTEST, data, ctx, few,
                             WORKSPACE_INTS);
    if (rc != PCRE2_ERROR_DFA_WSSIZE)
        return rc;
    more = mem_alloc(WORKSPACE_MORE_INTS * sizeof *more);
    rc = pcre2_dfa_match(p->code, subject, text.n, 0, PCRE2_DFA_SHORTEST, data, ctx, more,
                         WORKSPACE_MORE_INTS);
    mem_free(more);
    return rc;
}

int structural_pattern_matches(const struct structural_pattern *p, struct str text)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.p ? text.p : "");
    bool second_way = text.n <= (p->anchored ? ALL_WAYS_BYTES_MAX : SLIDING_BYTES_MAX);
    size_t steps = STEPS_MIN + STEPS_PER_BYTE * text.n;
    pcre2_match_context *ctx = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(
        ctx, (uint32_t)MIN(MAX(steps, second_way ? 0 : (size_t)STEPS_ALONE), (size_t)UINT32_MAX));
    pcre2_set_heap_limit(ctx, HEAP_KIB_MAX);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc = pcre2_match(p->code, subject, text.n, 0, 0, data, ctx);
    if (gave_up(rc) && second_way)
        rc = match_all_ways(p, text, data, ctx);
    pcre2_match_data_free(data);
    pcre2_match_context_free(ctx);
    return verdict(rc);
}
