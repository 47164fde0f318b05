/*
 * OpenAPI definitions of custom resources: the schema that a CustomResourceDefinition publishes, with the
 * members every object has.
 *
 * v2 cannot say everything that a structural schema can. What kubectl's validation would misunderstand there
 * is left out, as published: combinations (anyOf, oneOf, allOf, not), nullable values (which lose their type),
 * and what is below a node that keeps unknown fields.
 */
#include "api/openapi/internal.h"
#include <yyjson.h>

#define DEPTH_MAX 100

/* ---- names ---- */

/* Append the group's parts, last first. */
static void reversed(const char *group, struct buf *out)
{
    size_t end = strlen(group);
    while (end > 0) {
        size_t begin = end;
        while (begin > 0 && group[begin - 1] != '.')
            begin--;
        buf_append(out, group + begin, end - begin);
        buf_append_char(out, '.');
        end = begin ? begin - 1 : 0;
    }
}

void openapi_custom_name(const struct resource *r, const char *kind, struct buf *out)
{
    reversed(r->group, out);
    buf_printf(out, "%s.%s", r->version, kind);
}

/* ---- schemas ---- */

static void put_value(struct openapi_writer *w, yyjson_val *v)
{
    size_t n;
    char *text = yyjson_val_write(v, 0, &n);
    buf_append(w->out, text ? text : "null", text ? n : 4);
    free(text);
}

static bool is_true(yyjson_val *schema, const char *name)
{
    return yyjson_is_true(yyjson_obj_get(schema, name));
}

static void put_schema(struct openapi_writer *w, yyjson_val *schema, int depth, bool root);

static void put_metadata(struct openapi_writer *w, int message, const char *description)
{
    buf_printf(w->out, "{\"description\":\"%s\",", description);
    put_text(w, w->form == OPENAPI_V3 ? "\"allOf\":[{" : "");
    openapi_put_ref(w, message);
    put_text(w, w->form == OPENAPI_V3 ? "}]}" : "}");
}

/* properties, with those of every object in front where this is one. */
static void put_properties(struct openapi_writer *w, yyjson_val *properties, int depth, bool object,
                           bool *first)
{
    size_t i, max;
    yyjson_val *key, *value;
    bool none = true;
    emit_name(w->out, "properties", first);
    put_text(w, "{");
    if (object) {
        openapi_type_members(w, &none);
        emit_name(w->out, "metadata", &none);
        put_metadata(w, Meta__V1__ObjectMeta__SCHEMA, "What every object says of itself.");
    }
    yyjson_obj_foreach (properties, i, max, key, value) {
        const char *name = yyjson_get_str(key);
        if (object && (strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0 ||
                       strcmp(name, "metadata") == 0))
            continue;
        put_text(w, none ? "" : ",");
        none = false;
        emit_string(w->out, str_make(name, yyjson_get_len(key)));
        put_text(w, ":");
        put_schema(w, value, depth + 1, false);
    }
    put_text(w, "}");
}

/* v2: a nullable member cannot be required. */
static void put_required(struct openapi_writer *w, yyjson_val *schema, yyjson_val *names,
                         bool *first)
{
    size_t i, max;
    yyjson_val *name, *properties = yyjson_obj_get(schema, "properties");
    bool some = false;
    yyjson_arr_foreach (names, i, max, name) {
        if (w->form == OPENAPI_V2 &&
            is_true(yyjson_obj_get(properties, yyjson_get_str(name)), "nullable"))
            continue;
        if (!some)
            emit_name(w->out, "required", first);
        put_text(w, some ? "," : "[");
        some = true;
        put_value(w, name);
    }
    put_text(w, some ? "]" : "");
}

static bool is_text(yyjson_val *schema, const char *word, const char *text)
{
    return yyjson_equals_str(yyjson_obj_get(schema, word), text);
}

/* Words that v2 has no place for at this node. What keeps unknown fields has no type either: older kubectls would
 * refuse what its schema does not name. */
static bool dropped_in_v2(yyjson_val *schema, const char *word)
{
    static const char *const always[] = {"allOf", "anyOf", "oneOf", "not", "nullable", "default"};
    static const char *const structure[] = {"items", "properties", "additionalProperties"};
    bool nullable = is_true(schema, "nullable"),
         open = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(word, always[i]) == 0)
            return true;
    if (strcmp(word, "type") == 0)
        return nullable ||
               (open && (is_text(schema, word, "object") || is_text(schema, word, "array")));
    if (!nullable && !open)
        return strcmp(word, "additionalProperties") == 0 && is_true(schema, word);
    for (size_t i = 0; i < sizeof structure / sizeof *structure; i++)
        if (strcmp(word, structure[i]) == 0)
            return true;
    return false;
}

static void put_word(struct openapi_writer *w, yyjson_val *schema, const char *word,
                     yyjson_val *value, int depth, bool object, bool *first)
{
    if (strcmp(word, "properties") == 0) {
        put_properties(w, value, depth, object, first);
    } else if (strcmp(word, "required") == 0) {
        put_required(w, schema, value, first);
    } else if (yyjson_is_obj(value) &&
               (strcmp(word, "items") == 0 || strcmp(word, "additionalProperties") == 0)) {
        emit_name(w->out, word, first);
        put_schema(w, value, depth + 1, false);
    } else {
        put_text(w, *first ? "" : ",");
        *first = false;
        put_string(w, word);
        put_text(w, ":");
        put_value(w, value);
    }
}

/* The members of a schema, without braces. */
static void put_members(struct openapi_writer *w, yyjson_val *schema, int depth, bool object,
                        bool *first)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach (schema, i, max, key, value) {
        const char *word = yyjson_get_str(key);
        if (w->form == OPENAPI_V2 && dropped_in_v2(schema, word))
            continue;
        put_word(w, schema, word, value, depth, object, first);
    }
    bool kept = w->form == OPENAPI_V2 && dropped_in_v2(schema, "properties");
    if (object && !kept && !yyjson_obj_get(schema, "properties"))
        put_properties(w, NULL, depth, true, first);
}

static void put_schema(struct openapi_writer *w, yyjson_val *schema, int depth, bool root)
{
    bool first = true, object = root || is_true(schema, "x-kubernetes-embedded-resource");
    if (depth > DEPTH_MAX || !yyjson_is_obj(schema)) {
        put_text(w, "{}");
        return;
    }
    put_text(w, "{");
    put_members(w, schema, depth, object, &first);
    put_text(w, "}");
}

/* ---- definitions ---- */

static void put_gvk_extension(struct openapi_writer *w, const struct resource *r, const char *kind)
{
    put_text(w, ",\"x-kubernetes-group-version-kind\":[");
    openapi_put_gvk(w, r->group, r->version, kind);
    put_text(w, "]}");
}

static void end_definition(struct openapi_writer *w, const struct resource *r, const char *kind)
{
    struct buf name;
    buf_init(&name);
    put_gvk_extension(w, r, kind);
    openapi_custom_name(r, kind, &name);
    openapi_piece_end(w, OPENAPI_DEFINITIONS, buf_cstr(&name));
    buf_free(&name);
}

static void kind_definition(struct openapi_writer *w, const struct openapi_custom *c)
{
    yyjson_doc *doc = c->schema.n ? yyjson_read(c->schema.p, c->schema.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool any = !yyjson_is_obj(root) ||
               (w->form == OPENAPI_V2 && is_true(root, "x-kubernetes-preserve-unknown-fields"));
    openapi_piece_begin(w);
    if (any) {
        put_text(w, "{\"type\":\"object\"");
    } else {
        put_schema(w, root, 0, true);
        w->out->len--; /* the brace: one more member follows */
    }
    end_definition(w, c->r, c->r->kind);
    yyjson_doc_free(doc);
}

static void list_definition(struct openapi_writer *w, const struct resource *r)
{
    struct buf name;
    bool first = true;
    buf_init(&name);
    openapi_custom_name(r, r->kind, &name);
    openapi_piece_begin(w);
    buf_printf(w->out,
               "{\"description\":\"A list of objects of kind "
               "%s.\",\"type\":\"object\",\"required\":[\"items\"],\"properties\":{",
               r->kind);
    openapi_type_members(w, &first);
    put_text(w, ",\"items\":{\"description\":\"The objects.\",\"type\":\"array\",\"items\":{");
    put_text(w, w->form == OPENAPI_V3 ? "\"allOf\":[{" : "");
    openapi_put_ref_named(w, buf_cstr(&name));
    put_text(w, w->form == OPENAPI_V3 ? "}],\"default\":{}}}" : "}}");
    put_text(w, ",\"metadata\":");
    put_metadata(w, Meta__V1__ListMeta__SCHEMA, "What every list says of itself.");
    put_text(w, "}");
    end_definition(w, r, r->list_kind);
    buf_free(&name);
}

void openapi_custom_definitions(struct openapi_writer *w)
{
    for (size_t i = 0; i < w->customs->len; i++) {
        const struct openapi_custom *c = &w->customs->items[i];
        if (w->version &&
            (strcmp(c->r->group, w->group) != 0 || strcmp(c->r->version, w->version) != 0))
            continue;
        if (w->form == OPENAPI_V3 && !w->version)
            continue; /* a group's document has no kinds */
        kind_definition(w, c);
        list_definition(w, c->r);
    }
}
