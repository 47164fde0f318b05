/*
 * OpenAPI: writes operations in the forms of v2 and v3. See operations.h.
 */
#include "api/openapi/operations.h"

#define TYPES_OF_OBJECTS "application/json application/yaml application/vnd.kubernetes.protobuf"
static const char *const media_types[] = {
    [MEDIA_OBJECTS] = TYPES_OF_OBJECTS,
    [MEDIA_LISTS] = TYPES_OF_OBJECTS
    " application/json;stream=watch application/vnd.kubernetes.protobuf;stream=watch",
    [MEDIA_ANY] = "*/*",
    [MEDIA_LOG] = "text/plain " TYPES_OF_OBJECTS,
    [MEDIA_DISCOVERY] = TYPES_OF_OBJECTS,
    [MEDIA_JSON_ONLY] = "application/json",
    [MEDIA_KEYS] = "application/jwk-set+json",
};
#define PATCH_TYPES                                             \
    "application/json-patch+json application/merge-patch+json " \
    "application/strategic-merge-patch+json application/apply-patch+yaml"
/* Custom resources have no strategic merge and no protobuf. */
#define CUSTOM_PATCH_TYPES \
    "application/json-patch+json application/merge-patch+json application/apply-patch+yaml"
#define CUSTOM_TYPES "application/json application/yaml"

static bool is_custom(const struct openapi_operation *o)
{
    return o->object.message == SCHEMA_NONE && o->object.name;
}

static const char *answer_types(const struct openapi_operation *o)
{
    if (is_custom(o) && (o->media == MEDIA_OBJECTS || o->media == MEDIA_LISTS))
        return CUSTOM_TYPES;
    return media_types[o->media];
}

static const char *patch_types(const struct openapi_operation *o)
{
    return is_custom(o) ? CUSTOM_PATCH_TYPES : PATCH_TYPES;
}

/* The schema, without braces. */
static void put_schema(struct openapi_writer *w, struct openapi_ref ref)
{
    if (ref.message != SCHEMA_NONE)
        openapi_put_ref(w, ref.message);
    else if (ref.name)
        openapi_put_ref_named(w, ref.name);
    else
        put_text(w, "\"type\":\"string\"");
}

/* "content":{"application/json":{"schema":…},…} */
static void put_content(struct openapi_writer *w, const char *types, struct openapi_ref ref,
                        bool patch)
{
    struct str rest = str_from(types), type;
    put_text(w, "\"content\":{");
    for (bool first = true; str_split(&rest, ' ', &type); first = false) {
        buf_printf(w->out, "%s\"%.*s\":{\"schema\":{", first ? "" : ",", STR_ARG(type));
        if (patch)
            openapi_put_ref_extra(w, EXTRA_PATCH);
        else
            put_schema(w, ref);
        put_text(w, "}}");
    }
    put_text(w, "}");
}

/* ---- parameters ---- */

static void put_each(struct openapi_writer *w, const char *names, bool *first)
{
    struct str rest = str_from(names), name;
    while (str_split(&rest, ' ', &name)) {
        struct str plain = name, where = STR_NONE;
        ptrdiff_t slash = str_find_char(name, '/');
        if (slash >= 0) {
            plain = str_slice(name, 0, (size_t)slash);
            where = str_slice(name, (size_t)slash + 1, name.n);
        }
        put_text(w, *first ? "" : ",");
        *first = false;
        openapi_put_parameter(w, plain, str_eqz(where, "path") ? "path" : "query");
    }
}

void openapi_put_parameters(struct openapi_writer *w, const char *names)
{
    bool first = true;
    put_text(w, "\"parameters\":[");
    put_each(w, names, &first);
    put_text(w, "]");
}

/* v2: the body is a parameter. */
static void body_parameter(struct openapi_writer *w, const struct openapi_operation *o)
{
    if (o->body == BODY_DELETE) {
        put_text(w, "{\"$ref\":\"#/parameters/delete.body\"}");
    } else if (o->body == BODY_PATCH) {
        put_text(w, "{\"$ref\":\"#/parameters/patch.body\"}");
    } else {
        put_text(w, "{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":{");
        put_schema(w, o->object);
        put_text(w, "}}");
    }
}

static void own_parameters(struct openapi_writer *w, const struct openapi_operation *o)
{
    bool body = w->form == OPENAPI_V2 && o->body != BODY_NONE, first = !body;
    if (!body && !o->query)
        return;
    put_text(w, ",\"parameters\":[");
    if (body)
        body_parameter(w, o);
    if (o->query)
        put_each(w, o->query, &first);
    put_text(w, "]");
}

static void request_body(struct openapi_writer *w, const struct openapi_operation *o)
{
    static const struct openapi_ref options = {Meta__V1__DeleteOptions__SCHEMA, NULL};
    if (w->form == OPENAPI_V2 || o->body == BODY_NONE)
        return;
    put_text(w, ",\"requestBody\":{");
    if (o->body == BODY_PATCH)
        put_content(w, patch_types(o), o->object, true);
    else
        put_content(w, "*/*", o->body == BODY_DELETE ? options : o->object, false);
    put_text(w, o->body == BODY_DELETE ? "}" : ",\"required\":true}");
}

/* ---- answers ---- */

static void response(struct openapi_writer *w, const struct openapi_operation *o, struct str code)
{
    buf_printf(w->out, "\"%.*s\":{\"description\":\"%s\",", STR_ARG(code),
               str_eqz(code, "200")   ? "OK"
               : str_eqz(code, "201") ? "Created"
                                      : "Accepted");
    if (w->form == OPENAPI_V3) {
        put_content(w, answer_types(o), o->answer, false);
    } else {
        put_text(w, "\"schema\":{");
        put_schema(w, o->answer);
        put_text(w, "}");
    }
    put_text(w, "},");
}

static void responses(struct openapi_writer *w, const struct openapi_operation *o)
{
    struct str rest = str_from(o->codes), code;
    put_text(w, ",\"responses\":{");
    while (str_split(&rest, ' ', &code))
        response(w, o, code);
    put_text(w, "\"401\":{\"description\":\"Unauthorized\"}}");
}

/* v2 says what is sent and understood beside the schemas. */
static void media(struct openapi_writer *w, const struct openapi_operation *o)
{
    if (w->form == OPENAPI_V3)
        return;
    if (o->media != MEDIA_KEYS && o->kind) {
        put_text(w, ",\"consumes\":[");
        openapi_put_names(w, o->body == BODY_PATCH ? patch_types(o) : "*/*", ' ');
        put_text(w, "]");
    } else if (o->media == MEDIA_DISCOVERY || o->answer.name) {
        put_text(w, ",\"consumes\":[");
        openapi_put_names(w, answer_types(o), ' ');
        put_text(w, "]");
    }
    put_text(w, ",\"produces\":[");
    openapi_put_names(w, answer_types(o), ' ');
    put_text(w, "],\"schemes\":[\"https\"]");
}

void openapi_put_operation(struct openapi_writer *w, const struct openapi_operation *o, bool *first)
{
    emit_name(w->out, o->method, first);
    buf_printf(w->out, "{\"description\":\"%s\",\"operationId\":\"%s\",\"tags\":[\"%s\"]",
               o->description, o->id, o->tag);
    media(w, o);
    own_parameters(w, o);
    request_body(w, o);
    responses(w, o);
    if (o->action)
        buf_printf(w->out, ",\"x-kubernetes-action\":\"%s\"", o->action);
    if (o->kind) {
        put_text(w, ",\"x-kubernetes-group-version-kind\":");
        openapi_put_gvk(w, o->group, o->version, o->kind);
    }
    put_text(w, "}");
}
