/*
 * c8s get: objects as tables, JSON, YAML, names or by JSONPath; once or as they change.
 */
#include "api/jsonpath.h"
#include "cli/resources/res.h"

#include "base/mem.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
#define CELLS_MAX 64

enum output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME, OUTPUT_JSONPATH };

struct get {
    struct res_session s;
    const char *output_flag, *label_selector, *field_selector;
    bool all_namespaces, watch, watch_only, no_headers, show_labels, ignore_not_found,
        managed_fields, recursive;
    struct flag_list files, label_columns;
    enum output output;
    const char *template; /* of jsonpath */
    bool prefix_kind;     /* several kinds: "pod/web" */
    bool printed;         /* something was found */
};

static int parse_output(struct get *g)
{
    const char *o = g->output_flag;
    static const struct {
        const char *name;
        enum output output;
    } plain[] = {
        {"wide", OUTPUT_WIDE}, {"json", OUTPUT_JSON}, {"yaml", OUTPUT_YAML}, {"name", OUTPUT_NAME}};
    if (!o || !*o)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (strcmp(o, plain[i].name) == 0) {
            g->output = plain[i].output;
            return 0;
        }
    }
    if (str_has_prefix(str_from(o), STR("jsonpath="))) {
        g->output = OUTPUT_JSONPATH;
        g->template = o + strlen("jsonpath=");
        return 0;
    }
    return res_error(&g->s,
                     "unable to match a printer suitable for the output format \"%s\", allowed "
                     "formats are: json,jsonpath,name,wide,yaml",
                     o);
}

static bool is_table(const struct get *g)
{
    return g->output == OUTPUT_TABLE || g->output == OUTPUT_WIDE;
}

/* -------------------------------------------------------------------------------------- tables --- */

static const char *cell_text(struct get *g, yyjson_val *cell)
{
    if (yyjson_is_str(cell) || yyjson_is_raw(cell))
        return res_text(cell);
    if (yyjson_is_bool(cell))
        return yyjson_get_bool(cell) ? "true" : "false";
    if (yyjson_is_null(cell))
        return "<none>";
    size_t n;
    char *text = yyjson_val_write(cell, 0, &n);
    const char *copy = text ? arena_strndup(&g->s.arena, text, n) : "<unknown>";
    free(text);
    return copy;
}

static const char *labels_text(struct get *g, yyjson_val *labels)
{
    if (!yyjson_obj_size(labels))
        return "<none>";
    struct buf b;
    buf_init(&b);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL); /* sorted */
    yyjson_mut_val *sorted = res_sorted(doc, labels, true), *k, *v;
    size_t i, max;
    yyjson_mut_obj_foreach (sorted, i, max, k, v)
        buf_printf(&b, "%s%s=%s", i ? "," : "", yyjson_mut_get_str(k), yyjson_mut_get_str(v));
    const char *text = arena_strndup(&g->s.arena, b.data, b.len);
    yyjson_mut_doc_free(doc);
    buf_free(&b);
    return text;
}

static const char *upper(struct get *g, const char *text)
{
    char *copy = arena_strdup(&g->s.arena, text);
    for (char *p = copy; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return copy;
}

static bool is_shown(const struct get *g, yyjson_val *column)
{
    int64_t priority = 0;
    str_to_i64(str_from(res_text(yyjson_obj_get(column, "priority"))), &priority);
    return priority == 0 || g->output == OUTPUT_WIDE;
}

static size_t extra_cells(struct get *g, yyjson_val *meta, const char **cells, size_t n)
{
    yyjson_val *labels = yyjson_obj_get(meta, "labels");
    for (size_t i = 0; i < g->label_columns.len && n < CELLS_MAX - 1; i++)
        cells[n++] = res_text(yyjson_obj_get(labels, g->label_columns.items[i]));
    if (g->show_labels)
        cells[n++] = labels_text(g, labels);
    return n;
}

static void print_header(struct get *g, struct res_table *out, yyjson_val *columns)
{
    const char *cells[CELLS_MAX];
    size_t n = 0, i, max;
    yyjson_val *column;
    if (g->all_namespaces)
        cells[n++] = "NAMESPACE";
    yyjson_arr_foreach (columns, i, max, column) {
        if (is_shown(g, column) && n < CELLS_MAX - 2)
            cells[n++] = upper(g, res_text(yyjson_obj_get(column, "name")));
    }
    for (i = 0; i < g->label_columns.len && n < CELLS_MAX - 1; i++) {
        const char *slash = strrchr(g->label_columns.items[i], '/');
        cells[n++] = upper(g, slash ? slash + 1 : g->label_columns.items[i]);
    }
    if (g->show_labels)
        cells[n++] = "LABELS";
    res_table_row(out, cells, n);
}

static void print_row(struct get *g, struct res_table *out, const struct resource *r,
                      yyjson_val *columns, yyjson_val *row)
{
    const char *cells[CELLS_MAX];
    size_t n = 0, i, max;
    yyjson_val *cell, *values = yyjson_obj_get(row, "cells");
    yyjson_val *meta = res_member(row, "object", "metadata", NULL);
    if (g->all_namespaces)
        cells[n++] = r->namespaced ? res_text(yyjson_obj_get(meta, "namespace")) : "";
    yyjson_arr_foreach (values, i, max, cell) {
        if (!is_shown(g, yyjson_arr_get(columns, i)) || n >= CELLS_MAX - 2)
            continue;
        const char *text = cell_text(g, cell);
        if (i == 0 && g->prefix_kind)
            text = arena_printf(&g->s.arena, "%s/%s", res_type_text(&g->s, r), text);
        cells[n++] = text;
    }
    n = extra_cells(g, meta, cells, n);
    res_table_row(out, cells, n);
}

/* A Table as the server sends it. */
static void print_table(struct get *g, struct res_table *out, const struct resource *r,
                        yyjson_val *table, yyjson_val **columns, bool header)
{
    yyjson_val *rows = yyjson_obj_get(table, "rows"), *row;
    yyjson_val *own = yyjson_obj_get(table, "columnDefinitions");
    size_t i, max;
    if (yyjson_arr_size(own))
        *columns = own; /* later events of a watch leave them out */
    if (header && !g->no_headers && yyjson_arr_size(rows))
        print_header(g, out, *columns);
    yyjson_arr_foreach (rows, i, max, row)
        print_row(g, out, r, *columns, row);
}

/* ------------------------------------------------------------------------------------ requests --- */

static char *path_of(struct get *g, const struct res_target *t)
{
    struct res_session *s = &g->s;
    const char *ns = g->all_namespaces ? NULL : res_namespace(s, t->resource);
    char *path = res_path(s, t->resource, ns, t->name);
    if (t->name)
        return path;
    path = res_query(s, path, "labelSelector", g->label_selector);
    return res_query(s, path, "fieldSelector", g->field_selector);
}

static yyjson_val *fetch(struct get *g, const struct res_target *t)
{
    struct client_status status;
    struct client_request q = {.path = path_of(g, t), .accept = is_table(g) ? ACCEPT_TABLE : NULL};
    const struct client_response *r = res_request(&g->s, &q, &status);
    yyjson_val *root = NULL;
    struct error err = {0};
    if (!r)
        return NULL;
    if (status.http_status == 404 && t->name && g->ignore_not_found)
        return NULL;
    if (status.http_status >= 300) {
        res_print_status(&g->s, r);
        return NULL;
    }
    if (json_read(&g->s.arena, r->body, &root, &err) < 0)
        res_error(&g->s, "the server's answer: %s", err.message);
    return root;
}

static void say_nothing_found(struct get *g, const struct res_targets *targets)
{
    for (size_t i = 0; i < targets->len; i++)
        if (targets->items[i].name)
            return; /* the server has said which one is missing */
    if (g->s.exit_code || g->ignore_not_found)
        return;
    if (targets->len && targets->items[0].resource->namespaced && !g->all_namespaces)
        fprintf(stderr, "No resources found in %s namespace.\n", g->s.ns);
    else
        fprintf(stderr, "No resources found\n");
}

/* One table per kind, a blank line between; objects named one by one share their kind's table. */
static void get_tables(struct get *g, const struct res_targets *targets)
{
    struct res_table out;
    yyjson_val *columns = NULL;
    const struct resource *kind = NULL;
    res_table_init(&out, &g->s.arena);
    for (size_t i = 0; i < targets->len; i++) {
        const struct res_target *t = &targets->items[i];
        yyjson_val *table = fetch(g, t);
        if (!yyjson_arr_size(yyjson_obj_get(table, "rows")))
            continue;
        bool fresh = t->resource != kind;
        if (fresh && kind) {
            res_table_flush(&out);
            putchar('\n');
            res_table_init(&out, &g->s.arena);
        }
        kind = t->resource;
        print_table(g, &out, t->resource, table, &columns, fresh);
        g->printed = true;
    }
    res_table_flush(&out);
}

/* ------------------------------------------------------------------------------------- objects --- */

static void print_name(struct get *g, yyjson_val *object, const struct resource *r)
{
    printf("%s/%s\n", res_type_text(&g->s, r),
           res_text(res_member(object, "metadata", "name", NULL)));
}

static void print_object(struct get *g, yyjson_val *object)
{
    struct error err = {0};
    struct buf out;
    switch (g->output) {
    case OUTPUT_JSON:
        res_print_json(&g->s, object, g->managed_fields);
        break;
    case OUTPUT_YAML:
        res_print_yaml(&g->s, object, g->managed_fields);
        break;
    case OUTPUT_JSONPATH:
        buf_init(&out);
        if (jsonpath_render(g->template, object, &out, &err) < 0)
            res_error(&g->s, "%s", err.message);
        else
            fwrite(out.data ? out.data : "", 1, out.len, stdout);
        buf_free(&out);
        break;
    default:
        break;
    }
}

/* An item of a typed list says no kind and apiVersion of its own: add them. */
static yyjson_mut_val *with_type(yyjson_mut_doc *doc, yyjson_val *item, const struct resource *r)
{
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, item);
    if (!yyjson_obj_get(item, "kind")) {
        yyjson_mut_obj_put(copy, yyjson_mut_str(doc, "apiVersion"),
                           yyjson_mut_strcpy(doc, r->api_version));
        yyjson_mut_obj_put(copy, yyjson_mut_str(doc, "kind"), yyjson_mut_strcpy(doc, r->kind));
    }
    return copy;
}

static void add_items(struct get *g, yyjson_mut_doc *doc, yyjson_mut_val *items, yyjson_val *found,
                      const struct res_target *t)
{
    yyjson_val *item;
    size_t i, max;
    g->printed |= found != NULL;
    if (g->output == OUTPUT_NAME) {
        if (t->name && found)
            print_name(g, found, t->resource);
        yyjson_arr_foreach (yyjson_obj_get(found, "items"), i, max, item)
            print_name(g, item, t->resource);
    } else if (t->name && found) {
        yyjson_mut_arr_append(items, with_type(doc, found, t->resource));
    } else {
        yyjson_arr_foreach (yyjson_obj_get(found, "items"), i, max, item)
            yyjson_mut_arr_append(items, with_type(doc, item, t->resource));
    }
}

/* One named object stands by itself, everything else in a List. */
static void get_objects(struct get *g, const struct res_targets *targets)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *list = yyjson_mut_obj(doc), *items = yyjson_mut_arr(doc);
    bool single = targets->len == 1 && targets->items[0].name;
    for (size_t i = 0; i < targets->len; i++)
        add_items(g, doc, items, fetch(g, &targets->items[i]), &targets->items[i]);
    yyjson_mut_obj_add_str(doc, list, "apiVersion", "v1");
    yyjson_mut_obj_add_val(doc, list, "items", items);
    yyjson_mut_obj_add_str(doc, list, "kind", "List");
    yyjson_mut_val *meta = yyjson_mut_obj_add_obj(doc, list, "metadata");
    yyjson_mut_obj_add_str(doc, meta, "resourceVersion", "");
    yyjson_mut_val *root = single ? yyjson_mut_arr_get_first(items) : list;
    if (root && g->output != OUTPUT_NAME) {
        yyjson_mut_doc_set_root(doc, root);
        yyjson_doc *fixed = yyjson_mut_doc_imut_copy(doc, NULL);
        print_object(g, yyjson_doc_get_root(fixed));
        yyjson_doc_free(fixed);
    }
    g->printed = true;
    yyjson_mut_doc_free(doc);
}

/* --------------------------------------------------------------------------------------- watch --- */

struct watching {
    struct get *g;
    const struct resource *resource;
    struct res_table table;
    yyjson_val *columns;
    struct buf line; /* an incomplete event */
    bool first;
};

static void watch_one(struct watching *w, struct str event)
{
    struct get *g = w->g;
    yyjson_val *root;
    if (json_read(&g->s.arena, event, &root, NULL) < 0)
        return;
    yyjson_val *object = yyjson_obj_get(root, "object");
    const char *type = res_text(yyjson_obj_get(root, "type"));
    if (strcmp(type, "BOOKMARK") == 0)
        return;
    if (strcmp(type, "ERROR") == 0) {
        res_error(&g->s, "%s", res_text(yyjson_obj_get(object, "message")));
    } else if (is_table(g)) {
        print_table(g, &w->table, w->resource, object, &w->columns, w->first);
        w->first = false;
        res_table_flush(&w->table);
    } else if (g->output == OUTPUT_NAME) {
        print_name(g, object, w->resource);
    } else {
        if (g->output == OUTPUT_YAML)
            printf("---\n");
        print_object(g, object);
    }
    fflush(stdout);
}

static bool watch_data(void *ctx, struct str data)
{
    struct watching *w = ctx;
    buf_append_str(&w->line, data);
    ptrdiff_t end;
    while ((end = str_find_char(buf_str(&w->line), '\n')) >= 0) {
        watch_one(w, str_slice(buf_str(&w->line), 0, (size_t)end));
        buf_consume(&w->line, (size_t)end + 1);
    }
    return w->g->s.exit_code == 0;
}

/* What there is before anything changes. */
static void print_first(struct watching *w, yyjson_val *list)
{
    struct get *g = w->g;
    if (is_table(g)) {
        print_table(g, &w->table, w->resource, list, &w->columns, true);
        w->first = yyjson_arr_size(yyjson_obj_get(list, "rows")) == 0;
        res_table_flush(&w->table);
        return;
    }
    yyjson_val *item;
    size_t i, max;
    yyjson_arr_foreach (yyjson_obj_get(list, "items"), i, max, item) {
        if (g->output == OUTPUT_NAME)
            print_name(g, item, w->resource);
        else
            print_object(g, item);
    }
}

static void watch_target(struct get *g, const struct res_target *t)
{
    struct watching w = {.g = g, .resource = t->resource, .first = true};
    res_table_init(&w.table, &g->s.arena);
    buf_init(&w.line);
    struct res_target all = {t->resource, NULL};
    const char *by_name =
        t->name ? arena_printf(&g->s.arena, "metadata.name=%s", t->name) : g->field_selector;
    const char *given = g->field_selector;
    g->field_selector = by_name;
    char *path = path_of(g, &all);
    yyjson_val *list = fetch(g, &all);
    const char *from = res_text(res_member(list, "metadata", "resourceVersion", NULL));
    if (!g->watch_only)
        print_first(&w, list);
    g->field_selector = given;
    path = res_query(&g->s, path, "watch", "true");
    path = res_query(&g->s, path, "resourceVersion", from);
    struct error err = {0};
    struct client_request q = {.path = path,
                               .accept = is_table(g) ? ACCEPT_TABLE : "application/json"};
    if (g->s.exit_code == 0 && client_raw_stream(g->s.client, &q, watch_data, &w, &err) < 0)
        res_error(&g->s, "%s", err.message);
    buf_free(&w.line);
}

/* ---------------------------------------------------------------------------------------- main --- */

static int targets_of_files(struct get *g, struct res_targets *out)
{
    struct res_documents docs;
    if (res_read_manifests(&g->s, &g->files, g->recursive, &docs) < 0)
        return -1;
    memset(out, 0, sizeof *out);
    out->items = arena_array(&g->s.arena, struct res_target, docs.len + 1);
    for (size_t i = 0; i < docs.len; i++) {
        out->items[out->len++] = (struct res_target){docs.items[i].resource, docs.items[i].name};
        out->several_kinds |= docs.items[i].resource != docs.items[0].resource;
    }
    return 0;
}

static void run(struct get *g, const struct flag_list *args)
{
    struct res_targets targets;
    if (parse_output(g) < 0 || res_connect(&g->s) < 0)
        return;
    if (!args->len && !g->files.len) {
        res_error(&g->s,
                  "You must specify the type of resource to get. Use \"c8s api-resources\" for a "
                  "complete list of supported resources.");
        return;
    }
    if ((g->files.len ? targets_of_files(g, &targets)
                      : res_parse_targets(&g->s, args->items, args->len, &targets)) < 0)
        return;
    g->prefix_kind = targets.several_kinds;
    if (g->watch || g->watch_only) {
        if (targets.len == 1)
            watch_target(g, &targets.items[0]);
        else
            res_error(&g->s,
                      "watch is only supported on individual resources and resource collections");
        return;
    }
    if (is_table(g))
        get_tables(g, &targets);
    else
        get_objects(g, &targets);
    if (!g->printed)
        say_nothing_found(g, &targets);
}

int res_get_main(int argc, char **argv)
{
    struct get g = {0};
    struct flag_list args = {0};
    res_session_init(&g.s);
    const struct flag flags[] = {
        {"output", 'o', FLAG_STRING, &g.output_flag, "FORMAT",
         "wide, json, yaml, name, or jsonpath=TEMPLATE."},
        {"watch", 'w', FLAG_BOOL, &g.watch, NULL, "After listing, print changes as they come."},
        {"watch-only", 0, FLAG_BOOL, &g.watch_only, NULL, "Only changes."},
        {"selector", 'l', FLAG_STRING, &g.label_selector, "SELECTOR",
         "Only objects with these labels."},
        {"field-selector", 0, FLAG_STRING, &g.field_selector, "SELECTOR",
         "Only objects with these fields: metadata.name=x,status.phase!=y."},
        {"all-namespaces", 'A', FLAG_BOOL, &g.all_namespaces, NULL, "Of all namespaces."},
        {"filename", 'f', FLAG_LIST, &g.files, "FILE", "Objects that these manifests name."},
        {"recursive", 'R', FLAG_BOOL, &g.recursive, NULL, "Directories with what is below them."},
        {"no-headers", 0, FLAG_BOOL, &g.no_headers, NULL, "Tables without their first line."},
        {"show-labels", 0, FLAG_BOOL, &g.show_labels, NULL, "Labels as the last column."},
        {"label-columns", 'L', FLAG_LIST, &g.label_columns, "LABELS", "Labels as columns."},
        {"ignore-not-found", 0, FLAG_BOOL, &g.ignore_not_found, NULL,
         "Succeed also when a named object does not exist."},
        {"show-managed-fields", 0, FLAG_BOOL, &g.managed_fields, NULL,
         "Print metadata.managedFields, too."},
        RES_GLOBAL_FLAGS(&g.s),
        FLAGS_END,
    };
    flags_parse_or_exit(
        &(struct flags_spec){.program = "c8s get",
                             .summary = "Show objects.",
                             .usage = "(TYPE [NAME…] | TYPE/NAME… | -f FILE) [flags]",
                             .flags = flags,
                             .args_max = FLAGS_ANY},
        argc, argv, &args, 1);
    run(&g, &args);
    flag_list_free(&args);
    flag_list_free(&g.files);
    flag_list_free(&g.label_columns);
    return res_end(&g.s);
}
