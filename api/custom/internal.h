/*
 * Custom objects inside the codecs: what json_decode.c, json_emit.c and stored.c call.
 */
#ifndef C8S_API_CUSTOM_INTERNAL_H
#define C8S_API_CUSTOM_INTERNAL_H

#include "api/codec.h"
#include "api/custom/custom.h"

/* The body from a JSON object (apiVersion, kind and metadata left out): pruned and defaulted. `problems` (may
 * be NULL) gets unknown and duplicate fields. */
int custom_decode_body(struct arena *a, const struct custom_version *v, yyjson_val *root,
                       struct field_problems *problems, CustomObject *out, struct error *err);
/* Append the body's members to an object that is being written. */
void custom_emit_body(struct buf *out, const CustomObject *o, bool *first);

/* Metadata and body of an object whose kind is known, problems ignored (json_decode.c). */
int custom_decode_stored_fields(struct arena *a, yyjson_val *root, CustomObject *out,
                                struct error *err);

/* JSON as it lies in the store. */
static inline bool stored_is_json(struct str stored)
{
    return stored.n > 0 && stored.p[0] == '{';
}
void custom_stored_encode(const CustomObject *o, struct buf *out);
int custom_stored_decode(struct arena *a, struct str stored, int64_t revision,
                         const struct custom_version *wanted, void **out, struct error *err);

/* --- raw JSON without a tree ------------------------------------------------------------------ */

/* The text of a member's value in the text of an object (not descending); p NULL when absent or damaged. */
struct str json_scan_member(struct str object, struct str name);
/* Visit members: *rest is the object's text at first; false at its end. Strings keep their quotes. */
bool json_scan_next(struct str *rest, struct str *key, struct str *value);
/* The inside of a string's text, escapes as they are; "" for anything else. */
struct str json_scan_string(struct str value);

#endif
