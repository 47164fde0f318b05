/*
 * The query parameters of writes: dryRun, fieldValidation, fieldManager and force, checked as published.
 */
#include "api/validation.h"
#include "apiserver/rest/rest.h"

#define FIELD_MANAGER_MAX 128 /* bytes */

/* ---- field managers ---- */

/* One character of UTF-8 from the front of s; −1 when it is none. */
static int32_t rune_next(struct str s, size_t *len)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
    int32_t rune = n == 1 ? c : c & (0x7f >> n);
    *len = 1;
    if (n == 0 || n > s.n)
        return -1;
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return -1;
        rune = rune << 6 | (s.p[i] & 0x3f);
    }
    *len = n;
    return rune;
}

/* Controls, spaces other than ' ', and what is no character do not count as printable. */
static bool is_printable(int32_t rune)
{
    static const struct {
        int32_t from, to;
    } not [] = {{-1, 0x1f},       {0x7f, 0xa0},       {0xad, 0xad},     {0x1680, 0x1680},
                {0x180e, 0x180e}, {0x2000, 0x200f},   {0x2028, 0x202f}, {0x205f, 0x206f},
                {0x3000, 0x3000}, {0xd800, 0xf8ff},   {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
                {0xfffe, 0xffff}, {0xe0000, 0x10ffff}};
    for (size_t i = 0; i < sizeof not / sizeof not [0]; i++)
        if (rune >= not [i].from && rune <= not [i].to)
            return false;
    return true;
}

/* What stands before the first '/' of the User-Agent, without what cannot be printed. */
static const char *manager_of_agent(struct arena *a, struct str agent)
{
    struct str product;
    if (!str_split(&agent, '/', &product))
        return "";
    size_t len = 0, used;
    while (len < product.n && len < FIELD_MANAGER_MAX && product.p[len] >= 0x20 &&
           product.p[len] < 0x7f)
        len++;
    if (len == product.n) /* as all there are */
        return arena_strndup(a, product.p, len);
    char *out = arena_alloc(a, FIELD_MANAGER_MAX + 1);
    len = 0;
    while (product.n) {
        bool fine = is_printable(rune_next(product, &used));
        if (fine && len + used > FIELD_MANAGER_MAX)
            break;
        if (fine) {
            memcpy(out + len, product.p, used);
            len += used;
        }
        product = str_slice(product, used, product.n);
    }
    out[len] = 0;
    return out;
}

static void check_manager(struct rest *rq, struct status *s, const char *manager)
{
    struct str rest = str_from(manager);
    size_t used;
    if (rest.n > FIELD_MANAGER_MAX)
        status_cause_add(rq->a, s, "FieldValueTooLong", "fieldManager",
                         "Too long: may not be more than %d bytes", FIELD_MANAGER_MAX);
    while (rest.n) {
        int32_t rune = rune_next(rest, &used);
        if (!is_printable(rune)) {
            status_cause_add(rq->a, s, "FieldValueInvalid", "fieldManager",
                             "Invalid value: %s: invalid character U+%04X (at position %zu)",
                             field_quote(rq->a, manager), (unsigned)(rune < 0 ? 0xfffd : rune),
                             (size_t)(rest.p - manager));
            return;
        }
        rest = str_slice(rest, used, rest.n);
    }
}

/* ---- the parameters ---- */

void rest_check_dry_run(struct arena *a, struct status *s, const char *value)
{
    if (strcmp(value, "All") != 0)
        status_cause_add(a, s, "FieldValueNotSupported", "dryRun",
                         "Unsupported value: []string{\"%s\"}: supported values: \"All\"", value);
}

static void check_dry_run(struct rest *rq, struct status *s)
{
    const char *v = query_get(rq->a, rq->info.query, "dryRun");
    rq->dry_run = v != NULL;
    if (v)
        rest_check_dry_run(rq->a, s, v);
}

static void check_field_validation(struct rest *rq, struct status *s)
{
    const char *v = query_get(rq->a, rq->info.query, "fieldValidation");
    rq->field_validation = FIELD_VALIDATION_WARN;
    if (!v || !*v || strcmp(v, "Warn") == 0)
        return;
    if (strcmp(v, "Strict") == 0)
        rq->field_validation = FIELD_VALIDATION_STRICT;
    else if (strcmp(v, "Ignore") == 0)
        rq->field_validation = FIELD_VALIDATION_IGNORE;
    else
        status_cause_add(
            rq->a, s, "FieldValueNotSupported", "fieldValidation",
            "Unsupported value: \"%s\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            v);
}

static void check_patch(struct rest *rq, struct status *s, const char *manager)
{
    struct str type = http_header_get(rq->x, "content-type"), media;
    str_split(&type, ';', &media);
    bool apply = str_ieq(str_trim(media), STR("application/apply-patch+yaml"));
    if (apply && !*manager)
        status_cause_add(rq->a, s, "FieldValueRequired", "fieldManager",
                         "Required value: is required for apply patch");
    if (!apply && query_get(rq->a, rq->info.query, "force"))
        status_cause_add(rq->a, s, "FieldValueForbidden", "force",
                         "Forbidden: may not be specified for non-apply patch");
}

static bool deletes(const struct rest *rq)
{
    return rq->info.verb == VERB_DELETE || rq->info.verb == VERB_DELETECOLLECTION;
}

static void refuse_options(struct rest *rq, struct status_cause *causes)
{
    struct status_about about = {"meta.k8s.io", "",
                                 rq->info.verb == VERB_PATCH    ? "PatchOptions"
                                 : rq->info.verb == VERB_CREATE ? "CreateOptions"
                                 : deletes(rq)                  ? "DeleteOptions"
                                                                : "UpdateOptions",
                                 ""};
    struct status *s = status_invalid(rq->a, &about);
    s->causes = causes;
    status_invalid_finish(rq->a, s);
    rest_status(rq, s);
}

bool rest_write_options(struct rest *rq)
{
    bool patch = rq->info.verb == VERB_PATCH;
    struct status found = {0}, *s = &found; /* what is wrong */
    const char *manager = query_get(rq->a, rq->info.query, "fieldManager");
    manager = manager ? manager : "";
    if (patch)
        check_patch(rq, s, manager);
    if (!deletes(rq))
        check_manager(rq, s, manager);
    check_dry_run(rq, s);
    if (!deletes(rq))
        check_field_validation(rq, s);
    if (found.causes) {
        refuse_options(rq, found.causes);
        return false;
    }
    if (!*manager)
        manager = manager_of_agent(rq->a, http_header_get(rq->x, "user-agent"));
    rq->manager = *manager ? manager : "unknown";
    return true;
}
