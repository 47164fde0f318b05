/*
 * OpenAPI documents: which pieces they are made of. See openapi.h and internal.h.
 */
#include "api/openapi/operations.h"
#include <stdio.h>

#define INFO "\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.35.0\"}"
#define BEARER                                                         \
    "\"BearerToken\":{\"description\":\"A bearer token in the header " \
    "Authorization.\",\"type\":\"apiKey\",\"name\":\"authorization\",\"in\":\"header\"}"

/* ---- pieces ---- */

void openapi_put_names(struct openapi_writer *w, const char *names, char separator)
{
    struct str rest = str_from(names), name;
    for (bool first = true; str_split(&rest, separator, &name); first = false) {
        put_text(w, first ? "" : ",");
        emit_string(w->out, name);
    }
}

void openapi_put_gvk(struct openapi_writer *w, const char *group, const char *version,
                     const char *kind)
{
    buf_printf(w->out, "{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}", group, kind,
               version);
}

void openapi_put_ref_named(struct openapi_writer *w, const char *name)
{
    put_text(w, w->form == OPENAPI_V2 ? "\"$ref\":\"#/definitions/"
                                      : "\"$ref\":\"#/components/schemas/");
    put_text(w, name);
    put_text(w, "\"");
}

void openapi_put_ref(struct openapi_writer *w, int message)
{
    w->wanted[message] = true;
    openapi_put_ref_named(w, schema_string(schema_get(message)->openapi_name));
}

void openapi_put_ref_extra(struct openapi_writer *w, enum openapi_extra extra)
{
    w->wanted_extra[extra] = true;
    openapi_put_ref_named(w, openapi_extra_name(extra));
}

void openapi_piece_begin(struct openapi_writer *w)
{
    buf_clear(&w->scratch);
    w->out = &w->scratch;
}

void openapi_piece_end(struct openapi_writer *w, enum openapi_section section, const char *name)
{
    w->sink(w, section, name, buf_str(&w->scratch));
}

/* The sink of JSON documents: `"name":piece` after the others of its section. */
static void json_piece(struct openapi_writer *w, enum openapi_section section, const char *name,
                       struct str json)
{
    struct buf *out = w->document[section];
    if (w->some[section])
        buf_append_char(out, ',');
    w->some[section] = true;
    emit_string(out, str_from(name));
    buf_append_char(out, ':');
    buf_append_str(out, json);
}

static const struct openapi_customs no_customs = {NULL, 0};

/* Sections are written beside each other; the first straight into the document. */
static void writer_init(struct openapi_writer *w, enum openapi_form form,
                        const struct openapi_customs *customs, struct buf sections[3])
{
    *w = (struct openapi_writer){
        .form = form, .customs = customs ? customs : &no_customs, .sink = json_piece};
    buf_init(&w->scratch);
    for (int i = 0; i < 3; i++) {
        buf_init(&sections[i]);
        w->document[i] = &sections[i];
        if (i != OPENAPI_PARAMETERS)
            buf_reserve(&sections[i], OPENAPI_ROOM);
    }
}

static void writer_free(struct openapi_writer *w)
{
    buf_free(&w->scratch);
    for (int i = 0; i < 3; i++)
        buf_free(w->document[i]);
}

/* ---- what a document holds ---- */

static void built_in_paths(struct openapi_writer *w, const struct resource *r)
{
    struct openapi_target t = {
        r, r->message, r->list_message == SCHEMA_NONE ? r->message : r->list_message, NULL, NULL};
    openapi_resource_paths(w, &t);
}

static void custom_paths(struct openapi_writer *w, const struct resource *r)
{
    struct buf name, list;
    buf_init(&name);
    buf_init(&list);
    openapi_custom_name(r, r->kind, &name);
    openapi_custom_name(r, r->list_kind, &list);
    struct openapi_target t = {r, SCHEMA_NONE, SCHEMA_NONE, buf_cstr(&name), buf_cstr(&list)};
    openapi_resource_paths(w, &t);
    buf_free(&name);
    buf_free(&list);
}

/* The resources of one version of a group, and the path that lists them. */
static void version_paths(struct openapi_writer *w, const char *group, const char *version)
{
    openapi_version_path(w, group, version);
    for (size_t i = 0; i < resources_len; i++)
        if (strcmp(resources[i].group, group) == 0 && strcmp(resources[i].version, version) == 0)
            built_in_paths(w, &resources[i]);
    for (size_t i = 0; i < w->customs->len; i++) {
        const struct resource *r = w->customs->items[i].r;
        if (strcmp(r->group, group) == 0 && strcmp(r->version, version) == 0)
            custom_paths(w, r);
    }
}

/* A group's version, of what is built in or custom; each once. */
struct version_name {
    const char *group, *version;
};

static bool version_at(const struct openapi_customs *c, size_t i, struct version_name *out)
{
    if (i < group_versions_len) {
        *out = (struct version_name){group_versions[i].group, group_versions[i].version};
        return true;
    }
    if (i - group_versions_len >= c->len)
        return false;
    const struct resource *r = c->items[i - group_versions_len].r;
    *out = (struct version_name){r->group, r->version};
    return true;
}

static bool seen_before(const struct openapi_customs *c, size_t i, bool group_only)
{
    struct version_name me = {"", ""}, other;
    version_at(c, i, &me);
    for (size_t k = 0; k < i && version_at(c, k, &other); k++)
        if (strcmp(other.group, me.group) == 0 &&
            (group_only || strcmp(other.version, me.version) == 0))
            return true;
    return false;
}

/* ---- v2 ---- */

static void v2_pieces(struct openapi_writer *w)
{
    struct version_name v;
    for (const char *const *p = openapi_root_paths; *p; p++)
        openapi_root_path(w, *p);
    for (size_t i = 0; version_at(w->customs, i, &v); i++) {
        if (*v.group && !seen_before(w->customs, i, true))
            openapi_group_path(w, v.group);
        if (!seen_before(w->customs, i, false))
            version_paths(w, v.group, v.version);
    }
    openapi_shared_parameters(w);
    openapi_definitions(w);
}

void openapi_v2_json(const struct openapi_customs *customs, struct buf *out)
{
    struct openapi_writer w;
    struct buf sections[3];
    writer_init(&w, OPENAPI_V2, customs, sections);
    v2_pieces(&w);
    buf_append_cstr(out, "{\"swagger\":\"2.0\"," INFO ",\"paths\":{");
    buf_append_str(out, buf_str(&sections[OPENAPI_PATHS]));
    buf_append_cstr(out, "},\"definitions\":{");
    buf_append_str(out, buf_str(&sections[OPENAPI_DEFINITIONS]));
    buf_append_cstr(out, "},\"parameters\":{");
    buf_append_str(out, buf_str(&sections[OPENAPI_PARAMETERS]));
    buf_append_cstr(out,
                    "},\"securityDefinitions\":{" BEARER "},\"security\":[{\"BearerToken\":[]}]}");
    writer_free(&w);
}

void openapi_v2_protobuf(const struct openapi_customs *customs, struct buf *out)
{
    struct openapi_writer w;
    struct buf sections[3];
    writer_init(&w, OPENAPI_V2, customs, sections);
    w.sink = openapi_proto_piece;
    v2_pieces(&w);
    openapi_proto_document(&w, out);
    writer_free(&w);
}

/* ---- v3 ---- */

/* "apis/apps/v1" → apps, v1; "api/v1" → "", v1. False: it names no version. */
static bool version_path(const char *path, const struct version_name *v)
{
    char text[384];
    snprintf(text, sizeof text, *v->group ? "apis/%s/%s" : "api%s/%s", v->group, v->version);
    return strcmp(path, text) == 0;
}

static bool v3_paths(struct openapi_writer *w, const char *path)
{
    struct version_name v;
    char text[384];
    if (openapi_root_path(w, path))
        return true;
    for (size_t i = 0; version_at(w->customs, i, &v); i++) {
        snprintf(text, sizeof text, "apis/%s", v.group);
        if (*v.group && strcmp(path, text) == 0) {
            openapi_group_path(w, v.group);
            return true;
        }
        if (version_path(path, &v)) {
            w->group = v.group;
            w->version = v.version;
            version_paths(w, v.group, v.version);
            return true;
        }
    }
    return false;
}

bool openapi_v3_document(struct str path, const struct openapi_customs *customs, struct buf *out)
{
    struct openapi_writer w;
    struct buf sections[3];
    char text[384];
    snprintf(text, sizeof text, "%.*s", STR_ARG(path));
    writer_init(&w, OPENAPI_V3, customs, sections);
    bool found = v3_paths(&w, text);
    if (found) {
        openapi_definitions(&w);
        buf_append_cstr(out, "{\"openapi\":\"3.0.0\"," INFO ",\"paths\":{");
        buf_append_str(out, buf_str(&sections[OPENAPI_PATHS]));
        buf_append_cstr(out, "},\"components\":{\"schemas\":{");
        buf_append_str(out, buf_str(&sections[OPENAPI_DEFINITIONS]));
        buf_append_cstr(out, "},\"securitySchemes\":{" BEARER "}}}");
    }
    writer_free(&w);
    return found;
}

void openapi_v3_paths(const struct openapi_customs *customs,
                      void (*fn)(void *ctx, const char *path), void *ctx)
{
    const struct openapi_customs *c = customs ? customs : &no_customs;
    struct version_name v;
    char text[384];
    for (const char *const *p = openapi_root_paths; *p; p++)
        fn(ctx, *p);
    for (size_t i = 0; version_at(c, i, &v); i++) {
        if (*v.group && !seen_before(c, i, true)) {
            snprintf(text, sizeof text, "apis/%s", v.group);
            fn(ctx, text);
        }
        if (seen_before(c, i, false))
            continue;
        snprintf(text, sizeof text, *v.group ? "apis/%s/%s" : "api%s/%s", v.group, v.version);
        fn(ctx, text);
    }
}
