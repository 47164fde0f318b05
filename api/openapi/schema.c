/*
 * OpenAPI definitions of the messages in proto/: from the schema tables, in the forms of v2 and v3.
 *
 * v3 says more: defaults, and values of several types (oneOf). v2 has the one word for them that kubectl's
 * validation knows.
 */
#include "api/openapi/internal.h"

static bool is_v3(const struct openapi_writer *w)
{
    return w->form == OPENAPI_V3;
}

/* ---- types ---- */

/* Members of a type that stands for one JSON value; false: it is an object like any other. */
static bool special_type(struct openapi_writer *w, const struct schema_message *m)
{
    bool v3 = is_v3(w);
    switch ((enum schema_special)m->special) {
    case SCHEMA_PLAIN:
        return false;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        put_text(w, ",\"type\":\"string\",\"format\":\"date-time\"");
        return true;
    case SCHEMA_DURATION:
        put_text(w, ",\"type\":\"string\"");
        return true;
    case SCHEMA_QUANTITY:
        put_text(w, v3 ? ",\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]"
                       : ",\"type\":\"string\"");
        return true;
    case SCHEMA_INT_OR_STRING:
        put_text(w, ",\"format\":\"int-or-string\"");
        put_text(w, v3 ? ",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]"
                       : ",\"type\":\"string\"");
        return true;
    case SCHEMA_RAW:
        /* JSON (apiextensions) may be any value, the others are objects. */
        if (m->id != Apiextensions__V1__JSON__SCHEMA)
            put_text(w, ",\"type\":\"object\"");
        return true;
    case SCHEMA_STRINGS:
        put_text(w, ",\"type\":\"array\",\"items\":{\"type\":\"string\"}");
        return true;
    default:
        return true; /* any value */
    }
}

static void enum_values(struct openapi_writer *w, const struct schema_field *f)
{
    const char *values = schema_string(f->enum_values);
    if (!*values || !f->enum_closed)
        return;
    put_text(w, ",\"enum\":[");
    openapi_put_names(w, values, ',');
    put_text(w, "]");
}

static const char *const scalar_types[] = {
    [SCHEMA_BOOL] = "\"type\":\"boolean\"",
    [SCHEMA_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
    [SCHEMA_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
    [SCHEMA_DOUBLE] = "\"type\":\"number\",\"format\":\"double\"",
    [SCHEMA_STRING] = "\"type\":\"string\"",
    [SCHEMA_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
};
static const char *const scalar_zeros[] = {"false", "0", "0", "0", "\"\"", "\"\""};

/* The type of one value, as members of a schema object without its braces. */
static void value_type(struct openapi_writer *w, const struct schema_field *f)
{
    if (f->type != SCHEMA_MESSAGE) {
        put_text(w, scalar_types[f->type]);
        enum_values(w, f);
    } else if (schema_field_message(f)->special == SCHEMA_STRINGS) {
        put_text(w, "\"type\":\"array\",\"items\":{\"type\":\"string\"}");
    } else if (is_v3(w)) {
        put_text(w, "\"allOf\":[{");
        openapi_put_ref(w, f->message);
        put_text(w, "}]");
    } else {
        openapi_put_ref(w, f->message);
    }
}

/* An element of a list or a value of a map. */
static void element(struct openapi_writer *w, const struct schema_field *f)
{
    put_text(w, "{");
    value_type(w, f);
    if (is_v3(w) && f->type != SCHEMA_MESSAGE)
        buf_printf(w->out, ",\"default\":%s", scalar_zeros[f->type]);
    else if (is_v3(w) && schema_field_message(f)->special == SCHEMA_PLAIN)
        put_text(w, ",\"default\":{}");
    put_text(w, "}");
}

static void default_value(struct openapi_writer *w, const struct schema_field *f)
{
    const char *published = schema_string(f->default_value);
    if (!is_v3(w))
        return;
    if (*published)
        buf_printf(w->out, ",\"default\":%s", published);
    else if (f->label == SCHEMA_VALUE && f->type == SCHEMA_MESSAGE) {
        if (schema_field_message(f)->special == SCHEMA_PLAIN)
            put_text(w, ",\"default\":{}");
    } else if (f->label == SCHEMA_VALUE && f->flags & SCHEMA_REQUIRED)
        buf_printf(w->out, ",\"default\":%s", scalar_zeros[f->type]);
}

/* ---- fields ---- */

static void merge_extensions(struct openapi_writer *w, const struct schema_field *f)
{
    static const char *const list_types[] = {NULL, "atomic", "set", "map"};
    const char *merge_key = schema_string(f->merge_key), *keys = schema_string(f->list_keys);
    if (f->list_type)
        buf_printf(w->out, ",\"x-kubernetes-list-type\":\"%s\"", list_types[f->list_type]);
    if (*keys) {
        put_text(w, ",\"x-kubernetes-list-map-keys\":[");
        openapi_put_names(w, keys, ',');
        put_text(w, "]");
    }
    if (f->flags & SCHEMA_ATOMIC)
        put_text(w, ",\"x-kubernetes-map-type\":\"atomic\"");
    if (f->flags & SCHEMA_GRANULAR)
        put_text(w, ",\"x-kubernetes-map-type\":\"granular\"");
    if (*merge_key)
        buf_printf(w->out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", merge_key);
    bool merge = f->flags & SCHEMA_PATCH_MERGE, retain = f->flags & SCHEMA_PATCH_RETAIN_KEYS;
    if (merge || retain || f->flags & SCHEMA_PATCH_REPLACE)
        buf_printf(w->out, ",\"x-kubernetes-patch-strategy\":\"%s\"",
                   merge && retain ? "merge,retainKeys"
                   : merge         ? "merge"
                   : retain        ? "retainKeys"
                                   : "replace");
}

static void property(struct openapi_writer *w, const struct schema_field *f, bool *first)
{
    emit_name(w->out, schema_string(f->json_name), first);
    put_text(w, "{\"description\":");
    put_string(w, schema_string(f->description));
    put_text(w, ",");
    if (f->label == SCHEMA_MAP) {
        put_text(w, "\"type\":\"object\",\"additionalProperties\":");
        element(w, schema_map_value(f));
    } else if (f->label == SCHEMA_REPEATED) {
        put_text(w, "\"type\":\"array\",\"items\":");
        element(w, f);
    } else {
        value_type(w, f);
        default_value(w, f);
    }
    merge_extensions(w, f);
    put_text(w, "}");
}

static void properties(struct openapi_writer *w, const struct schema_message *m, bool *first)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE)
            properties(w, schema_field_message(f), first);
        else
            property(w, f, first);
    }
}

static void required_names(struct openapi_writer *w, const struct schema_message *m, bool *first)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE) {
            required_names(w, schema_field_message(f), first);
        } else if (f->flags & SCHEMA_REQUIRED) {
            put_text(w, *first ? ",\"required\":[" : ",");
            put_string(w, schema_string(f->json_name));
            *first = false;
        }
    }
}

void openapi_type_members(struct openapi_writer *w, bool *first)
{
    emit_name(w->out, "apiVersion", first);
    put_text(w, "{\"description\":\"APIVersion defines the group and version whose schema this "
                "object follows. The server converts what it knows to its own version and refuses "
                "what it does not know.\",\"type\":\"string\"}");
    emit_name(w->out, "kind", first);
    put_text(w, "{\"description\":\"What this object is: the name of its type in CamelCase. It "
                "cannot be changed.\",\"type\":\"string\"}");
}

/* ---- definitions ---- */

/* DeleteOptions and WatchEvent are spoken in every group. */
static bool in_every_group(const struct schema_message *m)
{
    return m->id == Meta__V1__DeleteOptions__SCHEMA || m->id == Meta__V1__WatchEvent__SCHEMA;
}

static bool is_built_in(const char *group, const char *version)
{
    for (size_t i = 0; i < group_versions_len; i++)
        if (strcmp(group_versions[i].group, group) == 0 &&
            strcmp(group_versions[i].version, version) == 0)
            return true;
    return false;
}

static void group_version_kinds(struct openapi_writer *w, const struct schema_message *m)
{
    const char *kind = m->id == Meta__V1__WatchEvent__SCHEMA ? "WatchEvent" : message_kind(m);
    put_text(w, ",\"x-kubernetes-group-version-kind\":[");
    if (in_every_group(m)) {
        for (size_t i = 0; i < group_versions_len; i++) {
            put_text(w, i ? "," : "");
            openapi_put_gvk(w, group_versions[i].group, group_versions[i].version, kind);
        }
        if (w->group && w->version && !is_built_in(w->group, w->version)) {
            put_text(w, ",");
            openapi_put_gvk(w, w->group, w->version, kind);
        }
    } else {
        struct str group, version;
        api_version_split(str_from(message_api_version(m)), &group, &version);
        buf_printf(w->out, "{\"group\":\"%.*s\",\"kind\":\"%s\",\"version\":\"%.*s\"}",
                   STR_ARG(group), kind, STR_ARG(version));
    }
    put_text(w, "]");
}

/* Types of which one field says which of the others there is. */
static void union_of(struct openapi_writer *w, const struct schema_message *m)
{
    static const struct {
        uint16_t message;
        const char *discriminator, *fields;
    } unions[] = {
        {Core__V1__SeccompProfile__SCHEMA, "type", "\"localhostProfile\":\"LocalhostProfile\""},
        {Core__V1__AppArmorProfile__SCHEMA, "type", "\"localhostProfile\":\"LocalhostProfile\""},
        {Flowcontrol__V1__LimitResponse__SCHEMA, "type", "\"queuing\":\"Queuing\""},
        {Flowcontrol__V1__PriorityLevelConfigurationSpec__SCHEMA, "type",
         "\"exempt\":\"Exempt\",\"limited\":\"Limited\""},
        {Flowcontrol__V1__Subject__SCHEMA, "kind",
         "\"group\":\"Group\",\"serviceAccount\":\"ServiceAccount\",\"user\":\"User\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(unions); i++)
        if (unions[i].message == m->id)
            buf_printf(w->out,
                       ",\"x-kubernetes-unions\":[{\"discriminator\":\"%s\","
                       "\"fields-to-discriminateBy\":{%s}}]",
                       unions[i].discriminator, unions[i].fields);
}

static void object_type(struct openapi_writer *w, const struct schema_message *m)
{
    bool first = true, none = true, event = m->id == Meta__V1__WatchEvent__SCHEMA;
    bool typed = m->flags & SCHEMA_HAS_TYPE_META && !event;
    put_text(w, ",\"type\":\"object\"");
    if (typed || m->field_count > 0) { /* clients take an object without the word for a map */
        put_text(w, ",\"properties\":{");
        if (typed)
            openapi_type_members(w, &first);
        properties(w, m, &first);
        put_text(w, "}");
    }
    required_names(w, m, &none);
    if (!none)
        put_text(w, "]");
    if (m->flags & SCHEMA_MESSAGE_ATOMIC)
        put_text(w, ",\"x-kubernetes-map-type\":\"atomic\"");
    union_of(w, m);
    if (m->flags & SCHEMA_HAS_TYPE_META || event)
        group_version_kinds(w, m);
}

static void definition(struct openapi_writer *w, const struct schema_message *m)
{
    openapi_piece_begin(w);
    put_text(w, "{\"description\":");
    put_string(w, schema_string(m->description));
    if (!special_type(w, m))
        object_type(w, m);
    put_text(w, "}");
    openapi_piece_end(w, OPENAPI_DEFINITIONS, schema_string(m->openapi_name));
}

const char *openapi_extra_name(enum openapi_extra extra)
{
    return extra == EXTRA_PATCH ? "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
                                : "io.k8s.apimachinery.pkg.version.Info";
}

static void patch_definition(struct openapi_writer *w)
{
    put_text(w,
             "{\"description\":\"A change of an object: in which form, the request's content type "
             "says.\",\"type\":\"object\"}");
}

static void version_definition(struct openapi_writer *w)
{
    static const char *const rows[][2] = {
        {"major", "First number of the version."},
        {"minor", "Second number of the version."},
        {"gitVersion", "The whole version."},
        {"gitCommit", "Commit that the server was built from."},
        {"gitTreeState", "Whether there were other changes when it was built."},
        {"buildDate", "When the server was built."},
        {"goVersion", "Version of the language's tools; a field of other implementations."},
        {"compiler", "What compiled the server."},
        {"platform", "Operating system and processor."},
        {"emulationMajor", "First number of the version that the server behaves as."},
        {"emulationMinor", "Second number of the version that the server behaves as."},
        {"minCompatibilityMajor", "First number of the oldest version it works with."},
        {"minCompatibilityMinor", "Second number of the oldest version it works with."},
    };
    bool first = true;
    put_text(
        w,
        "{\"description\":\"What version a server is of.\",\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        emit_name(w->out, rows[i][0], &first);
        put_text(w, "{\"description\":");
        put_string(w, rows[i][1]);
        put_text(w, ",\"type\":\"string\"}");
    }
    put_text(w, "},\"required\":[\"major\",\"minor\",\"gitVersion\",\"gitCommit\",\"gitTreeState\","
                "\"buildDate\",\"goVersion\",\"compiler\",\"platform\"]}");
}

/* Definitions refer to others: go on until none is new. */
void openapi_definitions(struct openapi_writer *w)
{
    bool done[SCHEMA_MESSAGE_COUNT] = {false};
    openapi_custom_definitions(w);
    for (bool found = true; found;) {
        found = false;
        for (int i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
            if (!w->wanted[i] || done[i])
                continue;
            done[i] = found = true;
            definition(w, schema_get(i));
        }
    }
    for (int i = 0; i < EXTRA_COUNT; i++) {
        if (!w->wanted_extra[i])
            continue;
        openapi_piece_begin(w);
        if (i == EXTRA_PATCH)
            patch_definition(w);
        else
            version_definition(w);
        openapi_piece_end(w, OPENAPI_DEFINITIONS, openapi_extra_name((enum openapi_extra)i));
    }
}
