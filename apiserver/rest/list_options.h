/*
 * What list, watch and deletecollection select by: labels, fields, namespace, and the key prefix that
 * follows from them.
 */
#ifndef C8S_APISERVER_REST_LIST_OPTIONS_H
#define C8S_APISERVER_REST_LIST_OPTIONS_H

#include "api/selector.h"
#include "apiserver/rest/rest.h"

struct selection {
    const struct resource *r;
    struct label_selector labels;
    struct field_selector fields;
    const char *ns;    /* "" for all */
    const char *name;  /* exact metadata.name, or NULL */
    const char *node;  /* pods: exact spec.nodeName, or NULL */
    struct str prefix; /* of the keys; the whole key when name and namespace are known */
    bool exact;        /* prefix is one key */
};

/* Parse labelSelector and fieldSelector. NULL, or the 400. */
struct status *selection_parse(struct rest *rq, struct selection *out);
/* A number of the query, 0 when absent: NULL, or the 400. */
struct status *query_number(struct rest *rq, const char *name, int64_t *out);
/* Does a stored object match? */
bool selection_matches(const struct selection *s, struct str stored);
/* Nothing can match (metadata.namespace differs from the path's). */
static inline bool selection_is_all(const struct selection *s)
{
    return s->labels.len == 0 && !s->labels.nothing && s->fields.len == 0;
}

#endif
