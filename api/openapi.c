/*
 * OpenAPI v3 documents from the schema tables and the table of resources.
 *
 * A document holds the paths of one group-version and every schema that they reach. Nothing is kept: the API
 * server caches what it serves.
 */
#include "api/openapi.h"
#include "api/codec_internal.h"
#include <stdio.h>

struct writer {
    struct buf *out;
    const char *group, *version;
    bool wanted[SCHEMA_MESSAGE_COUNT]; /* schemas that something refers to */
};

/* --- small pieces -------------------------------------------------------------------------------- */

static void text(struct writer *w, const char *s)
{
    buf_append_cstr(w->out, s);
}

static void string(struct writer *w, const char *s)
{
    emit_string(w->out, str_from(s));
}

static void ref(struct writer *w, int message)
{
    w->wanted[message] = true;
    text(w, "{\"$ref\":\"#/components/schemas/");
    text(w, schema_string(schema_get(message)->openapi_name));
    text(w, "\"}");
}

static void group_version_kind(struct writer *w, const char *group, const char *version,
                               const char *kind)
{
    buf_printf(w->out, "{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}", group, kind,
               version);
}

/* --- schemas ------------------------------------------------------------------------------------- */

/* Members of a type that stands for one JSON value; false: it is an object like any other. */
static bool special_type(struct writer *w, const struct schema_message *m)
{
    switch ((enum schema_special)m->special) {
    case SCHEMA_PLAIN:
        return false;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        text(w, "\"type\":\"string\",\"format\":\"date-time\"");
        return true;
    case SCHEMA_DURATION:
        text(w, "\"type\":\"string\"");
        return true;
    case SCHEMA_QUANTITY:
        text(w, "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]");
        return true;
    case SCHEMA_INT_OR_STRING:
        text(w, "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":"
                "\"string\"}]");
        return true;
    case SCHEMA_RAW:
        /* JSON (apiextensions) may be any value, the others are objects. */
        text(w, m->id == Apiextensions__V1__JSON__SCHEMA ? "\"nullable\":true"
                                                         : "\"type\":\"object\"");
        return true;
    case SCHEMA_STRINGS:
        text(w, "\"type\":\"array\",\"items\":{\"type\":\"string\"}");
        return true;
    default:
        text(w, "\"nullable\":true");
        return true;
    }
}

static void enum_values(struct writer *w, const struct schema_field *f)
{
    struct str rest = str_from(schema_string(f->enum_values)), value;
    if (rest.n == 0 || !f->enum_closed)
        return;
    text(w, ",\"enum\":[");
    for (bool first = true; str_split(&rest, ',', &value); first = false) {
        if (!first)
            buf_append_char(w->out, ',');
        emit_string(w->out, value);
    }
    buf_append_char(w->out, ']');
}

/* The type of one value, as members of a schema object (without braces). */
static void value_type(struct writer *w, const struct schema_field *f)
{
    static const char *const scalars[] = {
        [SCHEMA_BOOL] = "\"type\":\"boolean\"",
        [SCHEMA_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
        [SCHEMA_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
        [SCHEMA_DOUBLE] = "\"type\":\"number\",\"format\":\"double\"",
        [SCHEMA_STRING] = "\"type\":\"string\"",
        [SCHEMA_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
    };
    if (f->type != SCHEMA_MESSAGE) {
        text(w, scalars[f->type]);
        enum_values(w, f);
        return;
    }
    text(w, "\"allOf\":[");
    ref(w, f->message);
    text(w, "]");
}

static void default_value(struct writer *w, const struct schema_field *f)
{
    const char *published = schema_string(f->default_value);
    if (*published) {
        text(w, ",\"default\":");
        text(w, published);
    } else if (f->label == SCHEMA_VALUE && f->type == SCHEMA_MESSAGE) {
        text(w, ",\"default\":{}");
    } else if (f->label == SCHEMA_VALUE && f->flags & SCHEMA_REQUIRED) {
        static const char *const zeros[] = {"false", "0", "0", "0", "\"\"", "\"\""};
        text(w, ",\"default\":");
        text(w, zeros[f->type]);
    }
}

static void list_keys(struct writer *w, const char *keys)
{
    struct str rest = str_from(keys), key;
    text(w, ",\"x-kubernetes-list-map-keys\":[");
    for (bool first = true; str_split(&rest, ',', &key); first = false) {
        if (!first)
            buf_append_char(w->out, ',');
        emit_string(w->out, key);
    }
    buf_append_char(w->out, ']');
}

static void merge_extensions(struct writer *w, const struct schema_field *f)
{
    static const char *const list_types[] = {NULL, "atomic", "set", "map"};
    const char *merge_key = schema_string(f->merge_key), *keys = schema_string(f->list_keys);
    if (f->list_type)
        buf_printf(w->out, ",\"x-kubernetes-list-type\":\"%s\"", list_types[f->list_type]);
    if (*keys)
        list_keys(w, keys);
    if (f->flags & SCHEMA_ATOMIC)
        text(w, ",\"x-kubernetes-map-type\":\"atomic\"");
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

static void property(struct writer *w, const struct schema_field *f, bool *first)
{
    emit_name(w->out, schema_string(f->json_name), first);
    text(w, "{\"description\":");
    string(w, schema_string(f->description));
    text(w, ",");
    if (f->label == SCHEMA_MAP) {
        text(w, "\"type\":\"object\",\"additionalProperties\":{");
        value_type(w, schema_map_value(f));
        text(w, "}");
    } else if (f->label == SCHEMA_REPEATED) {
        text(w, "\"type\":\"array\",\"items\":{");
        value_type(w, f);
        if (f->type == SCHEMA_MESSAGE)
            text(w, ",\"default\":{}");
        text(w, "}");
    } else {
        value_type(w, f);
        default_value(w, f);
    }
    merge_extensions(w, f);
    text(w, "}");
}

static void properties(struct writer *w, const struct schema_message *m, bool *first)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE)
            properties(w, schema_field_message(f), first);
        else
            property(w, f, first);
    }
}

static void required_names(struct writer *w, const struct schema_message *m, bool *first)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE) {
            required_names(w, schema_field_message(f), first);
        } else if (f->flags & SCHEMA_REQUIRED) {
            text(w, *first ? ",\"required\":[" : ",");
            string(w, schema_string(f->json_name));
            *first = false;
        }
    }
}

static const char API_VERSION_TEXT[] =
    "Version of the schema this object is written in. The server converts what it knows to its own "
    "version and refuses what it does not know.";
static const char KIND_TEXT[] =
    "What this object is: the name of its type in CamelCase. It cannot be changed.";

static void object_schema(struct writer *w, const struct schema_message *m)
{
    bool first = true, none = true;
    text(w, "\"type\":\"object\",\"properties\":{");
    if (m->flags & SCHEMA_HAS_TYPE_META) {
        emit_name(w->out, "apiVersion", &first);
        buf_printf(w->out, "{\"description\":\"%s\",\"type\":\"string\"}", API_VERSION_TEXT);
        emit_name(w->out, "kind", &first);
        buf_printf(w->out, "{\"description\":\"%s\",\"type\":\"string\"}", KIND_TEXT);
    }
    properties(w, m, &first);
    text(w, "}");
    required_names(w, m, &none);
    if (!none)
        text(w, "]");
    if (m->flags & SCHEMA_MESSAGE_ATOMIC)
        text(w, ",\"x-kubernetes-map-type\":\"atomic\"");
    if (m->flags & SCHEMA_HAS_TYPE_META) {
        struct str group, version;
        api_version_split(str_from(message_api_version(m)), &group, &version);
        bool meta = strncmp(schema_string(m->full_name), "meta.", 5) == 0;
        text(w, ",\"x-kubernetes-group-version-kind\":[");
        if (meta) /* options and Status are spoken in every group */
            group_version_kind(w, w->group, w->version, message_kind(m));
        else
            buf_printf(w->out, "{\"group\":\"%.*s\",\"kind\":\"%s\",\"version\":\"%.*s\"}",
                       STR_ARG(group), message_kind(m), STR_ARG(version));
        text(w, "]");
    }
}

static void message_schema(struct writer *w, const struct schema_message *m)
{
    text(w, "{\"description\":");
    string(w, schema_string(m->description));
    text(w, ",");
    if (!special_type(w, m))
        object_schema(w, m);
    text(w, "}");
}

/* Schemas refer to others: go on until none is new. */
static void schemas(struct writer *w)
{
    bool done[SCHEMA_MESSAGE_COUNT] = {false}, first = true;
    for (bool found = true; found;) {
        found = false;
        for (int i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
            if (!w->wanted[i] || done[i])
                continue;
            done[i] = found = true;
            emit_name(w->out, schema_string(schema_get(i)->openapi_name), &first);
            message_schema(w, schema_get(i));
        }
    }
}

/* --- paths ---------------------------------------------------------------------------------------- */

enum shape { COLLECTION, ITEM, EVERYWHERE, SUBRESOURCE };

static const struct {
    enum verb verb;
    enum shape shape;
    const char *method;
    const char *action;
    const char *query; /* parameters, space-separated */
} operations[] = {
    {VERB_LIST, EVERYWHERE, "get", "list",
     "labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch watch "
     "allowWatchBookmarks sendInitialEvents timeoutSeconds pretty"},
    {VERB_LIST, COLLECTION, "get", "list",
     "labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch watch "
     "allowWatchBookmarks sendInitialEvents timeoutSeconds pretty"},
    {VERB_CREATE, COLLECTION, "post", "post", "dryRun fieldManager fieldValidation pretty"},
    {VERB_DELETECOLLECTION, COLLECTION, "delete", "deletecollection",
     "labelSelector fieldSelector limit continue dryRun gracePeriodSeconds propagationPolicy "
     "pretty"},
    {VERB_GET, ITEM, "get", "get", "pretty"},
    {VERB_UPDATE, ITEM, "put", "put", "dryRun fieldManager fieldValidation pretty"},
    {VERB_PATCH, ITEM, "patch", "patch", "dryRun fieldManager fieldValidation force pretty"},
    {VERB_DELETE, ITEM, "delete", "delete",
     "dryRun gracePeriodSeconds propagationPolicy orphanDependents pretty"},
    {VERB_GET, SUBRESOURCE, "get", "get", "pretty"},
    {VERB_CREATE, SUBRESOURCE, "post", "post", "dryRun fieldManager fieldValidation pretty"},
    {VERB_UPDATE, SUBRESOURCE, "put", "put", "dryRun fieldManager fieldValidation pretty"},
    {VERB_PATCH, SUBRESOURCE, "patch", "patch", "dryRun fieldManager fieldValidation force pretty"},
};

static const struct {
    const char *name, *type, *description;
} parameters[] = {
    {"allowWatchBookmarks", "boolean",
     "Ask for BOOKMARK events, which tell how far the watch has come."},
    {"continue", "string", "Token of the previous answer: continue the list where it ended."},
    {"dryRun", "string", "With value All nothing is stored; every other step is done."},
    {"fieldManager", "string",
     "Name of whoever makes the change, at most 128 printable characters."},
    {"fieldSelector", "string", "Only objects whose fields have these values."},
    {"fieldValidation", "string",
     "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
    {"force", "boolean", "Take over fields that other managers own. Only for apply patches."},
    {"gracePeriodSeconds", "integer", "Seconds until the object is gone; zero is at once."},
    {"labelSelector", "string", "Only objects whose labels match."},
    {"limit", "integer", "At most so many objects in one answer."},
    {"orphanDependents", "boolean", "Deprecated: use propagationPolicy."},
    {"pretty", "string", "With value true the answer is indented."},
    {"propagationPolicy", "string",
     "What becomes of dependents: Orphan, Background or Foreground."},
    {"resourceVersion", "string", "How fresh the answer must be, or where the watch begins."},
    {"resourceVersionMatch", "string",
     "How resourceVersion applies to a list: Exact or NotOlderThan."},
    {"sendInitialEvents", "boolean", "Begin the watch with events for what exists."},
    {"timeoutSeconds", "integer", "End the request after so long, whatever happens."},
    {"watch", "boolean", "Stream changes instead of a list."},
};

static void query_parameter(struct writer *w, struct str name)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        if (str_eqz(name, parameters[i].name))
            buf_printf(
                w->out,
                "{\"name\":\"%s\",\"in\":\"query\",\"description\":\"%s\",\"schema\":{\"type\":"
                "\"%s\",\"uniqueItems\":true}}",
                parameters[i].name, parameters[i].description, parameters[i].type);
    }
}

static void query_parameters(struct writer *w, const char *names)
{
    struct str rest = str_from(names), name;
    text(w, "\"parameters\":[");
    for (bool first = true; str_split(&rest, ' ', &name); first = false) {
        if (!first)
            buf_append_char(w->out, ',');
        query_parameter(w, name);
    }
    text(w, "]");
}

static void content(struct writer *w, const char *const *types, int message)
{
    text(w, "\"content\":{");
    for (bool first = true; *types; types++, first = false) {
        buf_printf(w->out, "%s\"%s\":{\"schema\":", first ? "" : ",", *types);
        ref(w, message);
        text(w, "}");
    }
    text(w, "}");
}

static const char *const answer_types[] = {"application/json", "application/yaml",
                                           "application/vnd.kubernetes.protobuf", NULL};
static const char *const patch_types[] = {
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", NULL};
static const char *const any_type[] = {"*/*", NULL};

/* What a request carries and an answer brings. */
static void bodies(struct writer *w, size_t op, int object, int list)
{
    const char *method = operations[op].method, *action = operations[op].action;
    if (strcmp(method, "post") == 0 || strcmp(method, "put") == 0) {
        text(w, "\"requestBody\":{");
        content(w, any_type, object);
        text(w, ",\"required\":true},");
    } else if (strcmp(method, "patch") == 0) {
        text(w, "\"requestBody\":{");
        content(w, patch_types, Meta__V1__RawExtension__SCHEMA);
        text(w, ",\"required\":true},");
    } else if (strcmp(method, "delete") == 0) {
        text(w, "\"requestBody\":{");
        content(w, any_type, Meta__V1__DeleteOptions__SCHEMA);
        text(w, "},");
    }
    int answer = strcmp(action, "list") == 0         ? list
                 : strncmp(action, "delete", 6) == 0 ? Meta__V1__Status__SCHEMA
                                                     : object;
    text(w, "\"responses\":{\"200\":{\"description\":\"OK\",");
    content(w, answer_types, answer);
    text(w, "}");
    if (strcmp(method, "post") == 0 || strcmp(method, "put") == 0 || strcmp(method, "patch") == 0) {
        text(w, ",\"201\":{\"description\":\"Created\",");
        content(w, answer_types, answer);
        text(w, "}");
    }
    text(w, ",\"401\":{\"description\":\"Unauthorized\"}}");
}

struct target { /* what the operations of a path are about */
    const char *group, *version, *kind;
    int object, list;
    uint32_t verbs;
};

static void path_operations(struct writer *w, const struct target *t, enum shape shape, bool *first)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (operations[i].shape != shape || !(t->verbs & operations[i].verb))
            continue;
        emit_name(w->out, operations[i].method, first);
        buf_printf(w->out, "{\"description\":\"%s %s\",", operations[i].action, t->kind);
        query_parameters(w, operations[i].query);
        text(w, ",");
        bodies(w, i, t->object, t->list);
        buf_printf(w->out, ",\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":",
                   operations[i].action);
        group_version_kind(w, t->group, t->version, t->kind);
        text(w, "}");
    }
}

static void path_parameter(struct writer *w, const char *name, const char *description)
{
    buf_printf(
        w->out,
        "{\"name\":\"%s\",\"in\":\"path\",\"description\":\"%s\",\"required\":true,\"schema\":"
        "{\"type\":\"string\",\"uniqueItems\":true}}",
        name, description);
}

static void path(struct writer *w, const struct resource *r, const struct target *t,
                 enum shape shape, const char *sub, bool *first)
{
    static const uint32_t collection = VERB_LIST | VERB_CREATE | VERB_DELETECOLLECTION;
    static const uint32_t item = VERB_GET | VERB_UPDATE | VERB_PATCH | VERB_DELETE;
    uint32_t possible = shape == COLLECTION   ? collection
                        : shape == ITEM       ? item
                        : shape == EVERYWHERE ? (uint32_t)VERB_LIST
                                              : item | VERB_CREATE;
    bool namespaced = r->namespaced && shape != EVERYWHERE, none = true;
    if (!(t->verbs & possible))
        return;
    buf_printf(
        w->out, "%s\"%s%s/%s%s/%s%s%s%s\":{", *first ? "" : ",", *r->group ? "/apis/" : "/api",
        r->group, r->version, namespaced ? "/namespaces/{namespace}" : "", r->plural,
        shape == ITEM || shape == SUBRESOURCE ? "/{name}" : "", sub ? "/" : "", sub ? sub : "");
    *first = false;
    path_operations(w, t, shape, &none);
    bool named = shape == ITEM || shape == SUBRESOURCE;
    if (namespaced || named) {
        buf_printf(w->out, "%s\"parameters\":[", none ? "" : ",");
        if (named)
            path_parameter(w, "name", "Name of the object.");
        if (named && namespaced)
            text(w, ",");
        if (namespaced)
            path_parameter(w, "namespace", "Namespace of the object.");
        text(w, "]");
    }
    text(w, "}");
}

static void resource_paths(struct writer *w, const struct resource *r, bool *first)
{
    struct target t = {r->group,
                       r->version,
                       r->kind,
                       r->message,
                       r->list_message == SCHEMA_NONE ? r->message : r->list_message,
                       r->verbs};
    if (r->namespaced)
        path(w, r, &t, EVERYWHERE, NULL, first);
    path(w, r, &t, COLLECTION, NULL, first);
    path(w, r, &t, ITEM, NULL, first);
    for (const struct subresource *s = r->subresources; s->name; s++) {
        char api_version[128];
        snprintf(api_version, sizeof api_version, "%s%s%s", s->group, *s->group ? "/" : "",
                 s->version);
        int message = kind_message(str_from(api_version), str_from(s->kind));
        struct target sub = {s->group,   s->version,
                             s->kind,    message == SCHEMA_NONE ? r->message : message,
                             r->message, s->verbs};
        path(w, r, &sub, SUBRESOURCE, s->name, first);
    }
}

/* --- documents ------------------------------------------------------------------------------------ */

static const struct group_version *find_version(struct str api_version)
{
    for (size_t i = 0; i < group_versions_len; i++) {
        if (str_eqz(api_version, group_versions[i].api_version))
            return &group_versions[i];
    }
    return NULL;
}

bool openapi_v3_document(struct str api_version, struct buf *out)
{
    const struct group_version *gv = find_version(api_version);
    if (!gv)
        return false;
    struct writer w = {out, gv->group, gv->version, {false}};
    bool first = true;
    w.wanted[Meta__V1__WatchEvent__SCHEMA] = true;
    text(&w, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.35.0\"},"
             "\"paths\":{");
    for (size_t i = 0; i < resources_len; i++) {
        if (strcmp(resources[i].api_version, gv->api_version) == 0)
            resource_paths(&w, &resources[i], &first);
    }
    text(&w, "},\"components\":{\"schemas\":{");
    schemas(&w);
    text(&w, "},\"securitySchemes\":{\"BearerToken\":{\"description\":\"A bearer "
             "token.\",\"type\":\"apiKey\","
             "\"name\":\"authorization\",\"in\":\"header\"}}}}");
    return true;
}

/* FNV-1a over the document, twice with different starts: it need only change when the document does. */
void openapi_v3_hash(struct str api_version, char out[65])
{
    struct buf document;
    uint64_t a = 0xcbf29ce484222325ull, b = 0x9e3779b97f4a7c15ull;
    buf_init(&document);
    openapi_v3_document(api_version, &document);
    for (size_t i = 0; i < document.len; i++) {
        a = (a ^ (uint8_t)document.data[i]) * 0x100000001b3ull;
        b = (b ^ (uint8_t)document.data[i]) * 0x100000001b3ull;
    }
    buf_free(&document);
    snprintf(out, 65, "%016llX%016llX", (unsigned long long)a, (unsigned long long)b);
}

void openapi_v3_index(struct buf *out)
{
    buf_append_cstr(out, "{\"paths\":{");
    for (size_t i = 0; i < group_versions_len; i++) {
        const struct group_version *gv = &group_versions[i];
        char hash[65], path_text[256];
        openapi_v3_hash(str_from(gv->api_version), hash);
        snprintf(path_text, sizeof path_text, "%s/%s", *gv->group ? "apis" : "api",
                 gv->api_version);
        buf_printf(out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}", i ? "," : "",
                   path_text, path_text, hash);
    }
    buf_append_cstr(out, "}}");
}
