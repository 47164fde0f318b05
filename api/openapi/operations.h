/*
 * OpenAPI: one operation, as paths.c describes it and operations.c writes it.
 */
#ifndef C8S_API_OPENAPI_OPERATIONS_H
#define C8S_API_OPENAPI_OPERATIONS_H

#include "api/openapi/internal.h"

enum openapi_body { BODY_NONE, BODY_OBJECT, BODY_DELETE, BODY_PATCH };
enum openapi_media {
    MEDIA_OBJECTS, /* JSON, YAML, protobuf */
    MEDIA_LISTS,   /* and the forms of a watch */
    MEDIA_ANY,     /* what is behind a proxy */
    MEDIA_LOG,
    MEDIA_DISCOVERY,
    MEDIA_JSON_ONLY,
    MEDIA_KEYS, /* a JSON Web Key Set */
};

/* A definition: a message, or a name; neither is a string. */
struct openapi_ref {
    int message; /* SCHEMA_NONE: see name */
    const char *name;
};

struct openapi_operation {
    const char *method;      /* "get" */
    const char *action;      /* x-kubernetes-action; NULL: none */
    const char *id;          /* operationId */
    const char *description; /* plain characters */
    const char *tag;
    const char *query; /* parameters, space-separated; NULL: none */
    const char *codes; /* of success: "200 201" */
    enum openapi_body body;
    enum openapi_media media;
    struct openapi_ref object, answer;
    const char *group, *version, *kind; /* kind NULL: none is named */
};

/* `"get":{…}` with a comma in front unless it is the first. */
void openapi_put_operation(struct openapi_writer *w, const struct openapi_operation *o,
                           bool *first);
/* `"parameters":[…]` of a whole path. Path parameters and query ones, space-separated, in one list:
 * "name/path" stands for a path parameter. */
void openapi_put_parameters(struct openapi_writer *w, const char *names);

#endif
