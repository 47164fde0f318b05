/*
 * Shared by the files that write OpenAPI documents.
 *
 * A document is made of pieces: paths, definitions (schemas) and shared parameters, each a named JSON object. A
 * piece is written into a scratch buffer and handed to the writer's sink, which puts it into a JSON document
 * or, for v2, into gnostic's protobuf. So no document is ever held as a tree.
 */
#ifndef C8S_API_OPENAPI_INTERNAL_H
#define C8S_API_OPENAPI_INTERNAL_H

#include "api/codec_internal.h"
#include "api/openapi/openapi.h"

enum openapi_form { OPENAPI_V2, OPENAPI_V3 };
enum openapi_section { OPENAPI_PATHS, OPENAPI_DEFINITIONS, OPENAPI_PARAMETERS };

/* Definitions that stand for no message of proto/. */
enum openapi_extra { EXTRA_PATCH, EXTRA_VERSION_INFO, EXTRA_COUNT };

struct openapi_writer {
    struct buf *out;    /* the piece being written */
    struct buf scratch; /* what out points to between the pieces */
    enum openapi_form form;
    const struct openapi_customs *customs; /* never NULL */
    const char *group, *version;           /* of the document; NULL: all of them (v2) */
    bool wanted[SCHEMA_MESSAGE_COUNT];     /* schemas that something refers to */
    bool wanted_extra[EXTRA_COUNT];
    void (*sink)(struct openapi_writer *w, enum openapi_section section, const char *name,
                 struct str json);
    struct buf *document[3]; /* the sink's: by section */
    bool some[3];
};

/* ---- pieces of JSON (openapi.c) ---- */

static inline void put_text(struct openapi_writer *w, const char *s)
{
    buf_append_cstr(w->out, s);
}

/* A JSON string. */
static inline void put_string(struct openapi_writer *w, const char *s)
{
    emit_string(w->out, str_from(s));
}

/* "a","b" from "a,b" */
void openapi_put_names(struct openapi_writer *w, const char *names, char separator);
void openapi_put_gvk(struct openapi_writer *w, const char *group, const char *version,
                     const char *kind);
/* {"$ref":"#/definitions/…"} without its braces; marks the message as wanted. */
void openapi_put_ref(struct openapi_writer *w, int message);
void openapi_put_ref_named(struct openapi_writer *w, const char *name);
void openapi_put_ref_extra(struct openapi_writer *w, enum openapi_extra extra);
/* Begin a piece; end it under a name. */
void openapi_piece_begin(struct openapi_writer *w);
void openapi_piece_end(struct openapi_writer *w, enum openapi_section section, const char *name);

/* ---- definitions ---- */

/* Write all wanted definitions, and those that they want (schema.c). */
void openapi_definitions(struct openapi_writer *w);
const char *openapi_extra_name(enum openapi_extra extra);
/* Members apiVersion and kind as they stand in every object. */
void openapi_type_members(struct openapi_writer *w, bool *first);
/* Definitions of the custom resources of the document (custom.c). */
void openapi_custom_definitions(struct openapi_writer *w);

/* ---- paths (paths.c, operations.c) ---- */

/* All paths of a resource. `ref`: the definition of its kind, `list_ref` that of its list. */
struct openapi_target {
    const struct resource *r;
    int message, list_message;    /* SCHEMA_NONE for custom resources: */
    const char *name, *list_name; /* then their definitions' names */
};
void openapi_resource_paths(struct openapi_writer *w, const struct openapi_target *t);
/* "/api/v1/" and the like: what discovery answers. */
void openapi_version_path(struct openapi_writer *w, const char *group, const char *version);
void openapi_group_path(struct openapi_writer *w, const char *group);
/* /api/, /apis/, /version/, …; path as in the v3 index ("api", "version"). False: there is none. */
bool openapi_root_path(struct openapi_writer *w, const char *path);
extern const char *const openapi_root_paths[]; /* NULL ends */

/* Parameters that operations share: query, path and body ones. */
enum { PARAMETER_BODY_NONE = -1 };
void openapi_put_parameter(struct openapi_writer *w, struct str name, const char *where);
/* v2: the shared definitions under #/parameters. */
void openapi_shared_parameters(struct openapi_writer *w);

/* ---- v2 as protobuf (proto.c) ---- */

void openapi_proto_piece(struct openapi_writer *w, enum openapi_section section, const char *name,
                         struct str json);
void openapi_proto_document(struct openapi_writer *w, struct buf *out);

#endif
