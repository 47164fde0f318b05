/*
 * Selections: see list_options.h.
 */
#include "apiserver/rest/list_options.h"

struct status *query_number(struct rest *rq, const char *name, int64_t *out)
{
    *out = 0;
    if (query_i64(rq->a, rq->info.query, name, out) >= 0)
        return NULL;
    const char *text = query_get(rq->a, rq->info.query, name);
    const char *digits = text + (*text == '-' || *text == '+');
    bool number = *digits && digits[strspn(digits, "0123456789")] == 0;
    return status_bad_request(rq->a, "strconv.ParseInt: parsing \"%s\": %s", text,
                              number ? "value out of range" : "invalid syntax");
}

struct status *selection_parse(struct rest *rq, struct selection *out)
{
    *out = (struct selection){.r = rq->r};
    const char *labels = query_get(rq->a, rq->info.query, "labelSelector");
    const char *fields = query_get(rq->a, rq->info.query, "fieldSelector");
    struct error err;
    if (labels && *labels && label_selector_parse(rq->a, str_from(labels), &out->labels, &err) < 0)
        return status_bad_request(rq->a, "%s", err.message);
    if (fields && *fields &&
        field_selector_parse(rq->a, rq->r, str_from(fields), &out->fields, &err) < 0)
        return status_bad_request(rq->a, "%s", err.message);
    const char *ns = rq->info.ns;
    if (rq->r->namespaced && !*ns) {
        const char *want = field_selector_exact(&out->fields, "metadata.namespace");
        ns = want ? want : "";
    }
    out->ns = ns;
    out->name = field_selector_exact(&out->fields, "metadata.name");
    if (!out->name && rq->info.verb == VERB_WATCH && *rq->info.name)
        out->name = rq->info.name; /* /watch/…/NAME */
    out->node = rq->r->stored_as == Core__V1__Pod__SCHEMA
                    ? field_selector_exact(&out->fields, "spec.nodeName")
                    : NULL;
    if (out->name && *out->name && (*ns || !rq->r->namespaced)) {
        out->exact = true;
        out->prefix = rest_key(rq->a, rq->r, ns, out->name);
    } else {
        out->prefix = rest_prefix(rq->a, rq->r, ns);
    }
    return NULL;
}

bool selection_matches(const struct selection *s, struct str stored)
{
    if ((s->labels.len || s->labels.nothing) && !label_selector_matches_stored(&s->labels, stored))
        return false;
    return s->fields.len == 0 || field_selector_matches_stored(&s->fields, s->r, stored);
}
