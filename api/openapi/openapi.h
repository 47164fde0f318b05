/*
 * OpenAPI documents from the schema tables, the table of resources and the schemas of custom resources: what
 * `kubectl explain`, client-side validation, Helm and generators of client libraries read.
 *
 * Nothing is kept here: documents are several megabytes in all, and whoever serves them decides how to keep
 * them (apiserver/openapi_service.h). All functions may be called from any thread.
 */
#ifndef C8S_API_OPENAPI_OPENAPI_H
#define C8S_API_OPENAPI_OPENAPI_H

#include "api/kinds.h"
#include "base/buf.h"

/*
 * Reserved at once for a document and its larger parts: so much that malloc maps it, so that what was touched of it
 * goes back to the system when it is freed (apiserver/main.c sets the threshold).
 */
#define OPENAPI_ROOM (4u << 20)

/* A custom resource in one of its served versions. */
struct openapi_custom {
    /* Group, version, kind, list_kind, plural, verbs, scope and subresources are read. */
    const struct resource *r;
    /* The version's openAPIV3Schema as JSON; empty: any object. */
    struct str schema;
};
struct openapi_customs {
    const struct openapi_custom *items;
    size_t len;
};

/*
 * OpenAPI v2: one document for everything, as JSON or as protobuf (openapi.v2.Document of gnostic's
 * OpenAPIv2.proto). `customs` may be NULL.
 */
void openapi_v2_json(const struct openapi_customs *customs, struct buf *out);
void openapi_v2_protobuf(const struct openapi_customs *customs, struct buf *out);

/*
 * OpenAPI v3: a document per path of the index: "api/v1", "apis/apps/v1", "apis/apps", "version", …, with all
 * schemas that its operations reach. False when there is no such path.
 */
bool openapi_v3_document(struct str path, const struct openapi_customs *customs, struct buf *out);
/* Every path there is a document for, in the index's order. */
void openapi_v3_paths(const struct openapi_customs *customs,
                      void (*fn)(void *ctx, const char *path), void *ctx);

/* "com.example.stable.v1.CronTab": the definition's name of a custom resource's kind. */
void openapi_custom_name(const struct resource *r, const char *kind, struct buf *out);

#endif
