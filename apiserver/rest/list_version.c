/*
 * Versions of lists and watches: see list_version.h.
 */
#include "apiserver/rest/list_version.h"

static void forbid(struct arena *a, struct status *s, const char *field, const char *why)
{
    status_cause_add(a, s, "FieldValueForbidden", field, "Forbidden: %s", why);
}

static void unsupported(struct arena *a, struct status *s, const char *match, const char *values)
{
    status_cause_add(a, s, "FieldValueNotSupported", "resourceVersionMatch",
                     "Unsupported value: \"%s\": supported values: %s", match, values);
}

static void check_list(struct arena *a, const struct list_query *q, struct status *s)
{
    const char *field = "resourceVersionMatch";
    bool exact = strcmp(q->match, "Exact") == 0;
    if (*q->match) {
        if (!*q->version)
            forbid(a, s, field,
                   "resourceVersionMatch is forbidden unless resourceVersion is provided");
        if (*q->token)
            forbid(a, s, field, "resourceVersionMatch is forbidden when continue is provided");
        if (!exact && strcmp(q->match, "NotOlderThan") != 0)
            unsupported(a, s, q->match, "\"Exact\", \"NotOlderThan\", \"\"");
        if (exact && strcmp(q->version, "0") == 0)
            forbid(a, s, field,
                   "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if (q->send)
        forbid(a, s, "sendInitialEvents", "sendInitialEvents is forbidden for list");
}

static void check_watch(struct arena *a, const struct list_query *q, struct status *s)
{
    const char *field = "resourceVersionMatch";
    bool not_older = strcmp(q->match, "NotOlderThan") == 0;
    if (q->send && !not_older)
        forbid(a, s, field,
               "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!*q->match)
        return;
    if (!q->send)
        forbid(a, s, field,
               "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!not_older)
        unsupported(a, s, q->match, "\"NotOlderThan\"");
    if (*q->token)
        forbid(a, s, field, "resourceVersionMatch is forbidden when continue is provided");
}

/* As Go's ParseBool; a flag without a value is set. */
static bool is_true(const char *s)
{
    return s && strcmp(s, "0") != 0 && strcasecmp(s, "false") != 0;
}

static void watch_version(const struct list_query *q, int64_t n, struct list_version *out)
{
    bool send = is_true(q->send);
    out->initial_end = send;
    out->initial = send || (!q->send && n == 0);
    if (out->initial) {
        out->await = q->version;
        return;
    }
    out->from = n;
    out->await = *q->version ? "0" : "";
}

static void list_version(const struct list_query *q, int64_t n, struct list_version *out)
{
    bool exact = strcmp(q->match, "Exact") == 0 || (!*q->match && q->limit > 0);
    out->await = *q->token ? "0" : q->version;
    if (n > 0 && exact)
        out->exact = n;
}

struct status *list_version_of(struct arena *a, const struct list_query *q,
                               struct list_version *out)
{
    struct status_about about = {"meta.k8s.io", "", "ListOptions", ""};
    struct status *s = status_invalid(a, &about);
    int64_t n = 0;
    *out = (struct list_version){.await = ""};
    if (q->watch)
        check_watch(a, q, s);
    else
        check_list(a, q, s);
    if (s->causes) {
        status_invalid_finish(a, s);
        return s;
    }
    if (*q->version && (!str_to_i64(str_from(q->version), &n) || n < 0))
        return status_bad_request(a,
                                  "resourceVersion: Invalid value: \"%s\": strconv.ParseUint: "
                                  "parsing \"%s\": invalid syntax",
                                  q->version, q->version);
    if (*q->token && n > 0)
        return status_bad_request(a,
                                  "specifying resource version is not allowed when using continue");
    if (q->watch)
        watch_version(q, n, out);
    else
        list_version(q, n, out);
    return NULL;
}
