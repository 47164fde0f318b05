/*
 * Server-side apply, for the objects that can be applied: whole ones (apply.c) and scales (scale.c).
 */
#ifndef C8S_APISERVER_REST_APPLY_H
#define C8S_APISERVER_REST_APPLY_H

#include "api/fields/managed_fields.h"
#include "apiserver/write.h"

struct apply_request {
    yyjson_val *config;
    bool force;
};

/* The body: one YAML or JSON document that is an object of the kind. NULL, or the published error. */
struct status *apply_parse(struct rest *rq, const char *api_version, const char *kind_name,
                           struct apply_request *out);
/*
 * apply_run with its conflicts, its errors, keys that stand twice and the name checked; the result is in
 * ap->object, and the write is marked as one whose managed fields are recorded.
 */
struct status *apply_merge(struct write *w, struct apply *ap);

#endif
