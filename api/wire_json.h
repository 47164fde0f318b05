/*
 * Wire → JSON without structs (the fast path behind stored_answer).
 */
#ifndef C8S_API_WIRE_JSON_H
#define C8S_API_WIRE_JSON_H

#include "api/codec.h"

/*
 * Append the JSON of a wire message. `kind` NULL leaves out kind and apiVersion. `resource_version`
 * (p NULL: as it is in the bytes) takes the place of the top object's metadata.resourceVersion.
 *
 * ERR_UNSUPPORTED, with `out` as before: the bytes are damaged or not in canonical order; decode
 * them.
 */
int wire_to_json(const struct schema_message *m, struct str wire, const char *api_version,
                 const char *kind, struct str resource_version, struct buf *out);

#endif
