/*
 * Patterns of schemas, by PCRE2.
 *
 * Schemas are written for Go's regular expressions. What PCRE2 has beyond them (look-around, back
 * references, atomic groups, recursion) is refused, so that a definition accepted here is accepted
 * everywhere; `$` matches at the very end only. Go's matcher is linear, PCRE2 backtracks: its steps are
 * limited, and whoever passes the limit does not match.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "api/structural/internal.h"
#include <ctype.h>
#include <pcre2.h>

#define MATCH_STEPS_MAX 1000000
#define HEAP_KIB_MAX 4096
#define PATTERN_BYTES_MAX 65536

struct structural_pattern {
    pcre2_code *code;
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
    return p;
}

void structural_pattern_free(struct structural_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    mem_free(p);
}

int structural_pattern_matches(const struct structural_pattern *p, struct str text)
{
    pcre2_match_context *ctx = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(ctx, MATCH_STEPS_MAX);
    pcre2_set_heap_limit(ctx, HEAP_KIB_MAX);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc = pcre2_match(p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, data, ctx);
    pcre2_match_data_free(data);
    pcre2_match_context_free(ctx);
    if (rc >= 0)
        return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : ERR_LIMIT;
}
