/*
 * Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and strategic merge patch.
 *
 * They work on JSON trees (yyjson, in an arena), so that the same code serves built-in kinds and
 * custom resources; object_patch does the whole way for a struct.
 */
#ifndef C8S_API_PATCH_PATCH_H
#define C8S_API_PATCH_PATCH_H

#include "api/codec.h"

enum patch_type {
    PATCH_JSON,      /* application/json-patch+json */
    PATCH_MERGE,     /* application/merge-patch+json */
    PATCH_STRATEGIC, /* application/strategic-merge-patch+json */
    PATCH_APPLY,     /* application/apply-patch+yaml: not handled here */
};

#define PATCH_OPERATIONS_MAX 10000 /* of a JSON patch, as upstream */

/* By media type, parameters ignored; false when it is none of them. */
bool patch_type_parse(struct str content_type, enum patch_type *out);

/*
 * Apply a patch document to a struct: encode as JSON, patch, decode again. The result is a new
 * struct in the arena; `object` is not changed. `problems` collects unknown and duplicate fields of
 * the patch (may be NULL). ERR_INVALID: the patch is malformed, or its result does not decode
 * (message names the field); ERR_CONFLICT: a JSON patch `test` failed; ERR_LIMIT: too many
 * operations or copied bytes.
 */
int object_patch(struct arena *a, const void *object, enum patch_type type, struct str patch,
                 struct field_problems *problems, void **out, struct error *err);

/* How a patch failed, for whoever answers. */
enum patch_failure {
    PATCH_FINE,
    PATCH_MALFORMED, /* the patch is not one (400) */
    PATCH_REFUSED,   /* it does not apply to this object (422, without further words) */
    PATCH_TOO_LARGE, /* 413 */
    PATCH_NO_OBJECT, /* what it makes is no object of the kind (422) */
    PATCH_FAILED,    /* the object and the patch do not go together (500) */
};

struct patch_report {
    enum patch_failure failure;
    /* What PATCH_NO_OBJECT and field problems speak of: the patched object as JSON, or the patch in Go's
     * notation when it is a strategic one. NULL when neither happened. */
    const char *shown;
};

/* object_patch with a report (never NULL). Field problems of a JSON patch's operations come first. */
int object_patch_report(struct arena *a, const void *object, enum patch_type type, struct str patch,
                        struct field_problems *problems, void **out, struct patch_report *report,
                        struct error *err);

/* The pieces, on trees. *root is replaced when the patch replaces the whole document. */
int json_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                     struct error *err);
void merge_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch);
/* ERR_INVALID: the patch is malformed; ERR_CONFLICT: it contradicts itself; ERR_INTERNAL: other failures.
 * `m` says how lists merge. Handles $patch: replace|delete|merge, $retainKeys,
 * $deleteFromPrimitiveList/x and $setElementOrder/x; list items are matched by merge key. */
int strategic_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                          const struct schema_message *m, struct error *err);

/*
 * The patch that turns `current` into what `modified` asks for, deleting what `original` (the last
 * applied configuration, may be NULL) had and `modified` no longer has: `kubectl apply`'s three-way
 * merge. With a schema a strategic merge patch, without (custom resources) a JSON merge patch. An
 * empty object means nothing to do.
 */
int patch_three_way(struct arena *a, const struct schema_message *m, yyjson_val *original,
                    yyjson_val *modified, yyjson_val *current, yyjson_mut_val **patch,
                    yyjson_mut_doc *doc, struct error *err);

#endif
