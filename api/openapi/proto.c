/*
 * OpenAPI v2 as protobuf: gnostic's openapi.v2.Document (OpenAPIv2.proto of google/gnostic), which kubectl up to
 * 1.26 and Helm ask for. Pieces arrive as JSON, and each JSON object becomes the message that gnostic makes of
 * it: a table per message says which member goes into which field. Extensions (x-…), defaults and enums are Any
 * messages that carry YAML text; JSON is YAML.
 */
#include "api/openapi/internal.h"
#include <yyjson.h>

#define DEPTH_MAX 128

enum kind {
    STRING,  /* string, or one of a list */
    STRINGS, /* repeated string */
    BOOL,
    INTEGER,
    NUMBER,
    ANY,  /* Any */
    ANYS, /* repeated Any */
    SCHEMA,
    SCHEMAS,     /* repeated Schema */
    SCHEMA_ITEM, /* SchemaItem {1: schema} and ItemsItem alike */
    SCHEMA_OR_BOOL,
    SCHEMA_MAP_OF, /* {1: NamedSchema} */
    TYPE,          /* TypeItem {1: value} */
    OPERATION,
    PARAMETERS,
    RESPONSES,
};

struct row {
    const char *name;
    uint8_t number;
    uint8_t kind;
};

static const struct row schema_rows[] = {
    {"$ref", 1, STRING},
    {"format", 2, STRING},
    {"title", 3, STRING},
    {"description", 4, STRING},
    {"default", 5, ANY},
    {"multipleOf", 6, NUMBER},
    {"maximum", 7, NUMBER},
    {"exclusiveMaximum", 8, BOOL},
    {"minimum", 9, NUMBER},
    {"exclusiveMinimum", 10, BOOL},
    {"maxLength", 11, INTEGER},
    {"minLength", 12, INTEGER},
    {"pattern", 13, STRING},
    {"maxItems", 14, INTEGER},
    {"minItems", 15, INTEGER},
    {"uniqueItems", 16, BOOL},
    {"maxProperties", 17, INTEGER},
    {"minProperties", 18, INTEGER},
    {"required", 19, STRINGS},
    {"enum", 20, ANYS},
    {"additionalProperties", 21, SCHEMA_OR_BOOL},
    {"type", 22, TYPE},
    {"items", 23, SCHEMA_ITEM},
    {"allOf", 24, SCHEMAS},
    {"properties", 25, SCHEMA_MAP_OF},
    {"example", 30, ANY},
    {NULL, 31, ANY}, /* where extensions go */
};
static const struct row path_rows[] = {
    {"get", 2, OPERATION},    {"put", 3, OPERATION},         {"post", 4, OPERATION},
    {"delete", 5, OPERATION}, {"options", 6, OPERATION},     {"head", 7, OPERATION},
    {"patch", 8, OPERATION},  {"parameters", 9, PARAMETERS}, {NULL, 10, ANY},
};
static const struct row operation_rows[] = {
    {"tags", 1, STRINGS},        {"description", 3, STRING}, {"operationId", 5, STRING},
    {"produces", 6, STRINGS},    {"consumes", 7, STRINGS},   {"parameters", 8, PARAMETERS},
    {"responses", 9, RESPONSES}, {"schemes", 10, STRINGS},   {NULL, 13, ANY},
};
static const struct row response_rows[] = {
    {"description", 1, STRING}, {"schema", 2, SCHEMA_ITEM}, {NULL, 5, ANY}};
static const struct row body_rows[] = {{"description", 1, STRING}, {"name", 2, STRING},
                                       {"in", 3, STRING},          {"required", 4, BOOL},
                                       {"schema", 5, SCHEMA},      {NULL, 6, ANY}};
static const struct row query_rows[] = {
    {"required", 1, BOOL}, {"in", 2, STRING},   {"description", 3, STRING},
    {"name", 4, STRING},   {"type", 6, STRING}, {"uniqueItems", 20, BOOL},
    {NULL, 23, ANY}};
static const struct row path_parameter_rows[] = {
    {"required", 1, BOOL}, {"in", 2, STRING},   {"description", 3, STRING},
    {"name", 4, STRING},   {"type", 5, STRING}, {"uniqueItems", 19, BOOL},
    {NULL, 22, ANY}};

/* ---- wire ---- */

static void put_key(struct buf *out, unsigned number, enum wire_type type)
{
    buf_append_varint(out, number << 3 | type);
}

static void put_bytes(struct buf *out, unsigned number, struct str s)
{
    put_key(out, number, WIRE_BYTES);
    buf_append_varint(out, s.n);
    buf_append_str(out, s);
}

/* A nested message: its length is put in front once it is known. */
static size_t message_begin(struct buf *out, unsigned number)
{
    put_key(out, number, WIRE_BYTES);
    return out->len;
}

static void message_end(struct buf *out, size_t begin)
{
    uint64_t n = out->len - begin;
    size_t len = 1;
    for (uint64_t v = n; v >= 128; v >>= 7)
        len++;
    if (!buf_reserve(out, len))
        return;
    memmove(out->data + begin + len, out->data + begin, n);
    out->len = begin;
    buf_append_varint(out, n);
    out->len = begin + len + n;
}

/* ---- values ---- */

static void put_object(struct buf *out, const struct row *rows, yyjson_val *object, int depth);

static void put_any(struct buf *out, unsigned number, yyjson_val *v)
{
    size_t n, begin = message_begin(out, number);
    char *text = yyjson_val_write(v, 0, &n);
    put_key(out, 2, WIRE_BYTES);
    buf_append_varint(out, (text ? n : 4) + 1);
    buf_append(out, text ? text : "null", text ? n : 4);
    buf_append_char(out, '\n');
    free(text);
    message_end(out, begin);
}

static void put_named_any(struct buf *out, unsigned number, const char *name, yyjson_val *v)
{
    size_t begin = message_begin(out, number);
    put_bytes(out, 1, str_from(name));
    put_any(out, 2, v);
    message_end(out, begin);
}

static struct str text_of(yyjson_val *v)
{
    return yyjson_is_str(v) ? str_make(yyjson_get_str(v), yyjson_get_len(v)) : STR_NONE;
}

static void put_nested(struct buf *out, unsigned number, const struct row *rows, yyjson_val *v,
                       int depth)
{
    size_t begin = message_begin(out, number);
    put_object(out, rows, v, depth + 1);
    message_end(out, begin);
}

static void put_parameter(struct buf *out, unsigned number, yyjson_val *p, int depth)
{
    struct str in = text_of(yyjson_obj_get(p, "in"));
    size_t begin = message_begin(out, number);
    if (str_eqz(in, "body")) {
        put_nested(out, 1, body_rows, p, depth);
    } else {
        bool path = str_eqz(in, "path");
        size_t other = message_begin(out, 2);
        put_nested(out, path ? 4 : 3, path ? path_parameter_rows : query_rows, p, depth);
        message_end(out, other);
    }
    message_end(out, begin);
}

static void put_parameters(struct buf *out, unsigned number, yyjson_val *list, int depth)
{
    size_t i, max;
    yyjson_val *p;
    yyjson_arr_foreach (list, i, max, p) {
        struct str ref = text_of(yyjson_obj_get(p, "$ref"));
        size_t begin = message_begin(out, number);
        if (ref.n) {
            size_t reference = message_begin(out, 2);
            put_bytes(out, 1, ref);
            message_end(out, reference);
        } else {
            put_parameter(out, 1, p, depth);
        }
        message_end(out, begin);
    }
}

static void put_responses(struct buf *out, unsigned number, yyjson_val *responses, int depth)
{
    size_t i, max, begin = message_begin(out, number);
    yyjson_val *code, *response;
    yyjson_obj_foreach (responses, i, max, code, response) {
        size_t named = message_begin(out, 1);
        put_bytes(out, 1, text_of(code));
        size_t value = message_begin(out, 2);
        put_nested(out, 1, response_rows, response, depth);
        message_end(out, value);
        message_end(out, named);
    }
    message_end(out, begin);
}

static void put_named_schema(struct buf *out, struct str name, yyjson_val *schema, int depth)
{
    size_t named = message_begin(out, 1);
    put_bytes(out, 1, name);
    put_nested(out, 2, schema_rows, schema, depth);
    message_end(out, named);
}

static void put_schema_or_bool(struct buf *out, unsigned number, yyjson_val *v, int depth)
{
    size_t begin = message_begin(out, number);
    if (yyjson_is_bool(v)) {
        put_key(out, 2, WIRE_VARINT);
        buf_append_varint(out, yyjson_is_true(v));
    } else {
        put_nested(out, 1, schema_rows, v, depth);
    }
    message_end(out, begin);
}

static void put_number(struct buf *out, unsigned number, yyjson_val *v)
{
    double d = yyjson_get_num(v);
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    put_key(out, number, WIRE_FIXED64);
    buf_append_le64(out, bits);
}

/* Messages that hold lists and maps. */
static void put_many(struct buf *out, const struct row *row, yyjson_val *v, int depth)
{
    size_t i, max, begin;
    yyjson_val *key, *item;
    if (row->kind == SCHEMA_MAP_OF) {
        begin = message_begin(out, row->number);
        yyjson_obj_foreach (v, i, max, key, item)
            put_named_schema(out, text_of(key), item, depth);
        message_end(out, begin);
        return;
    }
    yyjson_arr_foreach (v, i, max, item) {
        if (row->kind == STRINGS)
            put_bytes(out, row->number, text_of(item));
        else if (row->kind == ANYS)
            put_any(out, row->number, item);
        else
            put_nested(out, row->number, schema_rows, item, depth);
    }
}

static void put_member(struct buf *out, const struct row *row, yyjson_val *v, int depth)
{
    size_t begin;
    switch ((enum kind)row->kind) {
    case STRING:
        put_bytes(out, row->number, text_of(v));
        return;
    case BOOL:
    case INTEGER:
        put_key(out, row->number, WIRE_VARINT);
        buf_append_varint(out,
                          row->kind == BOOL ? yyjson_is_true(v) : (uint64_t)yyjson_get_sint(v));
        return;
    case NUMBER:
        put_number(out, row->number, v);
        return;
    case ANY:
        put_any(out, row->number, v);
        return;
    case STRINGS:
    case ANYS:
    case SCHEMAS:
    case SCHEMA_MAP_OF:
        put_many(out, row, v, depth);
        return;
    case SCHEMA:
        put_nested(out, row->number, schema_rows, v, depth);
        return;
    case SCHEMA_ITEM:
        begin = message_begin(out, row->number);
        put_nested(out, 1, schema_rows, v, depth);
        message_end(out, begin);
        return;
    case SCHEMA_OR_BOOL:
        put_schema_or_bool(out, row->number, v, depth);
        return;
    case TYPE:
        begin = message_begin(out, row->number);
        put_bytes(out, 1, text_of(v));
        message_end(out, begin);
        return;
    case OPERATION:
        put_nested(out, row->number, operation_rows, v, depth);
        return;
    case PARAMETERS:
        put_parameters(out, row->number, v, depth);
        return;
    case RESPONSES:
        put_responses(out, row->number, v, depth);
        return;
    }
}

/* Members that the format has no field for and that are no extension are left out. */
static void put_object(struct buf *out, const struct row *rows, yyjson_val *object, int depth)
{
    size_t i, max;
    yyjson_val *key, *value;
    if (depth > DEPTH_MAX)
        return;
    yyjson_obj_foreach (object, i, max, key, value) {
        const char *name = yyjson_get_str(key);
        const struct row *row = rows;
        while (row->name && strcmp(row->name, name) != 0)
            row++;
        if (row->name)
            put_member(out, row, value, depth);
        else if (strncmp(name, "x-", 2) == 0)
            put_named_any(out, row->number, name, value);
    }
}

/* ---- document ---- */

void openapi_proto_piece(struct openapi_writer *w, enum openapi_section section, const char *name,
                         struct str json)
{
    struct buf *out = w->document[section];
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    assert(doc); /* what we write is JSON */
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (section == OPENAPI_DEFINITIONS) {
        put_named_schema(out, str_from(name), root, 0);
    } else {
        size_t begin = message_begin(out, section == OPENAPI_PATHS ? 2 : 1);
        put_bytes(out, 1, str_from(name));
        if (section == OPENAPI_PATHS)
            put_nested(out, 2, path_rows, root, 0);
        else
            put_parameter(out, 2, root, 0);
        message_end(out, begin);
    }
    yyjson_doc_free(doc);
}

static void put_security(struct buf *out)
{
    size_t requirement = message_begin(out, 12);
    size_t named = message_begin(out, 1);
    put_bytes(out, 1, STR("BearerToken"));
    put_bytes(out, 2, STR_NONE);
    message_end(out, named);
    message_end(out, requirement);
    size_t definitions = message_begin(out, 13);
    named = message_begin(out, 1);
    put_bytes(out, 1, STR("BearerToken"));
    size_t item = message_begin(out, 2);
    size_t key = message_begin(out, 2);
    put_bytes(out, 1, STR("apiKey"));
    put_bytes(out, 2, STR("authorization"));
    put_bytes(out, 3, STR("header"));
    put_bytes(out, 4, STR("A bearer token in the header Authorization."));
    message_end(out, key);
    message_end(out, item);
    message_end(out, named);
    message_end(out, definitions);
}

void openapi_proto_document(struct openapi_writer *w, struct buf *out)
{
    put_bytes(out, 1, STR("2.0"));
    size_t info = message_begin(out, 2);
    put_bytes(out, 1, STR("Kubernetes"));
    put_bytes(out, 2, STR("v1.35.0"));
    message_end(out, info);
    put_bytes(out, 8, buf_str(w->document[OPENAPI_PATHS]));
    put_bytes(out, 9, buf_str(w->document[OPENAPI_DEFINITIONS]));
    put_bytes(out, 10, buf_str(w->document[OPENAPI_PARAMETERS]));
    put_security(out);
}
