/*
 * Tables: the frame, the generic cells and the dispatch to the printers. See table.h.
 */
#include "apiserver/table/table.h"
#include "api/meta.h"
#include "apiserver/custom/view.h"
#include "apiserver/rest/rest.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

struct table_options table_options(const struct rest *rq)
{
    struct table_options o = {.v1beta1 = rq->accept.v1beta1, .now_s = clock_wall_s()};
    const char *include = query_get(rq->a, rq->info.query, "includeObject");
    if (include && strcmp(include, "Object") == 0)
        o.include = TABLE_OBJECT;
    else if (include && strcmp(include, "None") == 0)
        o.include = TABLE_NONE;
    return o;
}

struct status *table_options_check(const struct rest *rq)
{
    const char *include = query_get(rq->a, rq->info.query, "includeObject");
    if (rq->accept.transform != TRANSFORM_TABLE || !include || !*include ||
        strcmp(include, "Object") == 0 || strcmp(include, "Metadata") == 0 ||
        strcmp(include, "None") == 0)
        return NULL;
    return status_bad_request(rq->a,
                              "Unable to convert to Table as requested: includeObject: Invalid "
                              "value: \"%s\": must be 'Metadata', 'Object', 'None', or empty",
                              include);
}

/* ---- cells ---- */

static void separate(struct cells *c)
{
    if (c->any)
        buf_append_char(c->out, ',');
    c->any = true;
    c->count++;
}

void cell_string(struct cells *c, const char *s)
{
    separate(c);
    buf_append_json_string(c->out, str_from(s ? s : ""));
}

void cell_printf(struct cells *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cell_string(c, arena_vprintf(c->a, format, args));
    va_end(args);
}

void cell_int(struct cells *c, int64_t v)
{
    separate(c);
    buf_printf(c->out, "%lld", (long long)v);
}

void cell_raw(struct cells *c, const char *json)
{
    separate(c);
    buf_append_cstr(c->out, json);
}

void cell_bool(struct cells *c, bool v)
{
    separate(c);
    buf_append_cstr(c->out, v ? "true" : "false");
}

void cell_null(struct cells *c)
{
    separate(c);
    buf_append_cstr(c->out, "null");
}

const char *cell_age(struct cells *c, int64_t time_s)
{
    if (time_s == 0)
        return "<unknown>";
    char text[32];
    duration_human(MAX(0, c->now_s - time_s), text);
    return arena_strdup(c->a, text);
}

/* ---- rows ---- */

static bool print_special(struct cells *c, const void *object)
{
    return table_print_custom(c, object) || table_print_pod(c, object) ||
           table_print_core(c, object) || table_print_apps(c, object) ||
           table_print_other(c, object) || table_print_server(c, object);
}

static void write_cells(const struct resource *r, const void *object, struct cells *c)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    print_special(c, object);
    for (const struct column *col = r->columns + c->count; col->name; col++) {
        if (strcmp(col->name, "Name") == 0)
            cell_string(c, meta->name);
        else if (strcmp(col->name, "Age") == 0)
            cell_string(c, cell_age(c, time_ns(meta->creation_timestamp) / (int64_t)NS_PER_S));
        else if (strcmp(col->name, "Created At") == 0)
            cell_string(c, time_text(c->a, meta->creation_timestamp));
        else
            cell_null(c);
    }
}

/* Pods that have come to an end say so beside their cells. */
static void row_conditions(const void *object, struct buf *out)
{
    if (schema_of(object)->id != Core__V1__Pod__SCHEMA)
        return;
    const char *phase = ((const Core__V1__Pod *)object)->status->phase, *message = NULL;
    if (cstr_eq(phase, "Succeeded"))
        message = "The pod has completed successfully.";
    else if (cstr_eq(phase, "Failed"))
        message = "The pod failed.";
    if (message)
        buf_printf(out,
                   ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":"
                   "\"%s\",\"message\":\"%s\"}]",
                   phase, message);
}

static int write_row(const struct resource *r, struct str stored, int64_t revision,
                     struct table_options o, struct buf *out, struct error *err)
{
    struct arena a;
    arena_init(&a);
    void *object;
    /* What older versions call otherwise is shown all the same. */
    bool older = r->message == Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA;
    int rc = stored_decode(&a, stored, revision,
                           older ? schema_get(r->stored_as) : resource_message(r), &object, err);
    if (rc == 0) {
        struct cells c = {.out = out, .a = &a, .now_s = o.now_s};
        buf_append_cstr(out, "{\"cells\":[");
        write_cells(r, object, &c);
        buf_append_char(out, ']');
        row_conditions(object, out);
        buf_append_cstr(out, o.include == TABLE_NONE ? ",\"object\":null" : ",\"object\":");
        if (o.include != TABLE_NONE) {
            rc = stored_answer(r, stored, revision, MEDIA_JSON,
                               o.include == TABLE_OBJECT ? FORM_FULL : FORM_METADATA, false, out,
                               err);
        }
        buf_append_char(out, '}');
    }
    arena_free(&a);
    return rc;
}

/* ---- frame ---- */

/* Since 1.2x these print text where the column was once a number. */
static const char *column_type(const struct resource *r, const struct column *c)
{
    if (r && strcmp(r->plural, "pods") == 0 && strcmp(c->name, "Restarts") == 0)
        return "string";
    return c->type;
}

static void write_columns(const struct resource *r, const struct column *columns, struct buf *out)
{
    buf_append_cstr(out, "\"columnDefinitions\":[");
    for (const struct column *c = columns; c->name; c++) {
        buf_append_cstr(out, c == columns ? "{\"name\":" : ",{\"name\":");
        buf_append_json_string(out, str_from(c->name));
        buf_append_cstr(out, ",\"type\":");
        buf_append_json_string(out, str_from(column_type(r, c)));
        buf_append_cstr(out, ",\"format\":");
        buf_append_json_string(out, str_from(c->format));
        buf_append_cstr(out, ",\"description\":");
        buf_append_json_string(out, str_from(c->description));
        buf_printf(out, ",\"priority\":%d}", c->priority);
    }
    buf_append_cstr(out, "],");
}

static void write_type(struct table_options options, struct buf *out)
{
    buf_printf(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",",
               options.v1beta1 ? "v1beta1" : "v1");
}

void table_begin(struct table_writer *w, const struct resource *r, struct table_options options,
                 struct buf *out)
{
    *w = (struct table_writer){.r = r, .options = options, .out = out};
    write_type(options, out);
    if (options.no_headers)
        buf_append_cstr(out, "\"columnDefinitions\":null,");
    else
        write_columns(r, r->columns, out);
    buf_append_cstr(out, "\"rows\":[");
}

int table_add(struct table_writer *w, struct str stored, int64_t revision, struct error *err)
{
    if (w->count++)
        buf_append_char(w->out, ',');
    return write_row(w->r, stored, revision, w->options, w->out, err);
}

void table_end(struct table_writer *w, int64_t revision, const char *continue_token,
               int64_t remaining)
{
    buf_append_cstr(w->out, "],\"metadata\":{");
    if (revision) /* a dry run's new object has none */
        buf_printf(w->out, "\"resourceVersion\":\"%lld\"", (long long)revision);
    if (continue_token && *continue_token)
        buf_printf(w->out, ",\"continue\":\"%s\"", continue_token);
    if (remaining > 0)
        buf_printf(w->out, ",\"remainingItemCount\":%lld", (long long)remaining);
    buf_append_cstr(w->out, "}}");
}

int table_write_object(const struct resource *r, struct str stored, int64_t revision,
                       struct table_options options, struct buf *out, struct error *err)
{
    struct table_writer w;
    table_begin(&w, r, options, out);
    int rc = table_add(&w, stored, revision, err);
    table_end(&w, revision, NULL, -1);
    return rc;
}

/* ---- scale, which is no stored object ---- */

void table_write_scale(struct arena *a, const Autoscaling__V1__Scale *scale,
                       struct table_options options, struct buf *out)
{
    static const struct column columns[] = {
        {"Name", "string", "name", "Name of the object, unique within its kind and namespace.", 0},
        {"Desired", "integer", "", "How many replicas there shall be.", 0},
        {"Available", "integer", "", "How many replicas there are.", 0},
        {"Age", "string", "", "How long the object has existed.", 0},
        {NULL}};
    const Meta__V1__ObjectMeta *meta = scale->metadata;
    struct cells c = {.out = out, .a = a, .now_s = options.now_s};
    write_type(options, out);
    write_columns(NULL, columns, out);
    buf_append_cstr(out, "\"rows\":[{\"cells\":[");
    cell_string(&c, meta->name);
    cell_int(&c, scale->spec->replicas);
    cell_int(&c, scale->status->replicas);
    cell_string(&c, cell_age(&c, time_ns(meta->creation_timestamp) / (int64_t)NS_PER_S));
    buf_append_cstr(out, "],\"object\":");
    Meta__V1__PartialObjectMetadata *partial = api_new(a, Meta__V1__PartialObjectMetadata);
    partial->metadata = scale->metadata;
    if (options.include == TABLE_NONE)
        buf_append_cstr(out, "null");
    else
        json_encode(options.include == TABLE_OBJECT ? (const void *)scale : partial, JSON_DEFAULT,
                    out);
    buf_printf(out, "}],\"metadata\":{\"resourceVersion\":\"%s\"}}", meta->resource_version);
}
