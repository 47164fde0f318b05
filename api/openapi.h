/*
 * OpenAPI v3 documents from the schema tables: what `kubectl explain` and `kubectl apply` read.
 */
#ifndef C8S_API_OPENAPI_H
#define C8S_API_OPENAPI_H

#include "api/kinds.h"
#include "base/buf.h"

/* The index served at /openapi/v3: {"paths": {"api/v1": {"serverRelativeURL":
 * "/openapi/v3/api/v1?hash=…"}, …}}. */
void openapi_v3_index(struct buf *out);
/* The document of a group-version ("v1", "apps/v1"): paths with their operations (PATCH carries
 * dryRun, fieldManager, force, fieldValidation; every operation its x-kubernetes-group-version-kind
 * and x-kubernetes-action) and all schemas they reach. False when there is no such one. */
bool openapi_v3_document(struct str api_version, struct buf *out);
/* Hash in the index's URL: changes whenever the document does. */
void openapi_v3_hash(struct str api_version, char out[65]);

#endif
