/*
 * c8s describe: which objects, what is common to all kinds, and kinds without a text of their own
 * (cli/resources/describe.h).
 */
#include "cli/resources/describe.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PADDING 2

/* -------------------------------------------------------------------------------------- writer --- */

void write_line(struct writer *w, int level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (int i = 0; i < level; i++)
        buf_append_cstr(&w->text, "  ");
    buf_vprintf(&w->text, format, args);
    buf_append_char(&w->text, '\n');
    va_end(args);
}

struct cells {
    struct str *items;
    size_t len;
    size_t *widths; /* of all but the last */
};

static size_t width_of(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* Lines that follow each other and have a further cell after column c share that column's width. */
static void line_up(struct cells *lines, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c + 1 < lines[i].len; c++) {
            if (lines[i].widths[c])
                continue; /* done with an earlier line */
            size_t end = i, width = 0;
            for (; end < n && c + 1 < lines[end].len; end++)
                width = MAX(width, width_of(lines[end].items[c]) + PADDING);
            for (size_t k = i; k < end; k++)
                lines[k].widths[c] = width;
        }
    }
}

static void split_line(struct arena *a, struct str line, struct cells *out)
{
    struct str rest = line, cell;
    size_t n = 1;
    for (size_t i = 0; i < line.n; i++)
        n += line.p[i] == '\t';
    out->items = arena_array(a, struct str, n);
    out->widths = arena_array(a, size_t, n);
    out->len = 0;
    while (out->len < n && str_split(&rest, '\t', &cell))
        out->items[out->len++] = cell;
}

void writer_flush(struct writer *w)
{
    struct arena a;
    arena_init(&a);
    struct str rest = buf_str(&w->text), line;
    VEC(struct cells) lines = {0};
    while (str_split(&rest, '\n', &line)) {
        struct cells cells;
        split_line(&a, line, &cells);
        vec_push(&lines, cells);
    }
    if (lines.len)
        lines.len--; /* behind the last newline */
    line_up(lines.items, lines.len);
    for (size_t i = 0; i < lines.len; i++) {
        for (size_t c = 0; c < lines.items[i].len; c++) {
            printf("%.*s", STR_ARG(lines.items[i].items[c]));
            size_t have = width_of(lines.items[i].items[c]);
            for (; c + 1 < lines.items[i].len && have < lines.items[i].widths[c]; have++)
                putchar(' ');
        }
        putchar('\n');
    }
    vec_free(&lines);
    buf_clear(&w->text);
    arena_free(&a);
}

/* -------------------------------------------------------------------------------------- pieces --- */

const char *or_none(const char *text)
{
    return text && *text ? text : "<none>";
}

static int by_key(const void *x, const void *y)
{
    return strcmp((*(Meta__V1__StringEntry *const *)x)->key,
                  (*(Meta__V1__StringEntry *const *)y)->key);
}

static bool is_hidden(const char *key)
{
    return strcmp(key, "kubectl.kubernetes.io/last-applied-configuration") == 0;
}

void write_map(struct writer *w, int level, const char *label,
               Meta__V1__StringEntry *const *entries, size_t n)
{
    Meta__V1__StringEntry **sorted = mem_alloc(sizeof *sorted * (n + 1));
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_hidden(entries[i]->key))
            sorted[len++] = entries[i];
    if (len)
        qsort(sorted, len, sizeof *sorted, by_key);
    bool annotations = strcmp(label, "Annotations") == 0;
    if (!len)
        write_line(w, level, "%s:\t<none>", label);
    for (size_t i = 0; i < len; i++)
        write_line(w, level, "%s%s\t%s%s%s", i ? "" : label, i ? "" : ":", sorted[i]->key,
                   annotations ? ": " : "=", sorted[i]->value);
    mem_free(sorted);
}

void write_list(struct writer *w, int level, const char *label, char *const *items, size_t n)
{
    if (!n)
        return;
    write_line(w, level, "%s:", label);
    for (size_t i = 0; i < n; i++)
        write_line(w, level + 1, "%s", items[i]);
}

void write_quantities(struct writer *w, int level, const char *label,
                      Meta__V1__QuantityEntry *const *entries, size_t n)
{
    if (!n)
        return;
    write_line(w, level, "%s:", label);
    for (size_t i = 0; i < n; i++)
        write_line(w, level + 1, "%s:\t%s", entries[i]->key, entries[i]->value->string);
}

const char *date_text(struct writer *w, const Meta__V1__Time *t)
{
    if (time_is_zero(t))
        return "<unset>";
    time_t seconds = (time_t)t->seconds;
    struct tm tm;
    char text[64];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return arena_strdup(&w->s->arena, text);
}

const char *age_text(struct writer *w, const Meta__V1__Time *t)
{
    if (time_is_zero(t))
        return "<unknown>";
    char text[32];
    duration_human(clock_wall_s() - t->seconds, text);
    return arena_strdup(&w->s->arena, text);
}

static const char *event_age(struct writer *w, const Core__V1__Event *e)
{
    const Meta__V1__Time *last =
        time_is_zero(e->last_timestamp) ? e->metadata->creation_timestamp : e->last_timestamp;
    if (e->count <= 1)
        return age_text(w, last);
    return arena_printf(&w->s->arena, "%s (x%d over %s)", age_text(w, last), e->count,
                        age_text(w, e->first_timestamp));
}

static int by_last(const void *x, const void *y)
{
    const Core__V1__Event *a = *(Core__V1__Event *const *)x, *b = *(Core__V1__Event *const *)y;
    int64_t d = time_ns(a->last_timestamp) - time_ns(b->last_timestamp);
    return (d > 0) - (d < 0);
}

void write_events(struct writer *w, const char *ns, const char *kind, const char *name,
                  const char *uid)
{
    const char *selector =
        arena_printf(&w->s->arena, "involvedObject.kind=%s,involvedObject.name=%s", kind, name);
    if (uid && *uid && strcmp(kind, "Node") != 0) /* node agents write their name as uid */
        selector = arena_printf(&w->s->arena, "%s,involvedObject.uid=%s", selector, uid);
    Core__V1__EventList *list = res_list_objects(w->s, RESOURCE_EVENTS, ns, NULL, selector);
    if (!list || !list->n_items) {
        write_line(w, 0, "Events:\t<none>");
        return;
    }
    qsort(list->items, list->n_items, sizeof *list->items, by_last);
    write_line(w, 0, "Events:");
    write_line(w, 1, "Type\tReason\tAge\tFrom\tMessage");
    write_line(w, 1, "----\t------\t----\t----\t-------");
    for (size_t i = 0; i < list->n_items; i++) {
        const Core__V1__Event *e = list->items[i];
        write_line(w, 1, "%s\t%s\t%s\t%s\t%s", e->type, e->reason, event_age(w, e),
                   *e->source->component ? e->source->component : e->reporting_component,
                   e->message);
    }
}

/* ------------------------------------------------------------------------------------- any kind --- */

/* "clusterIP" → "Cluster IP" */
static const char *title(struct writer *w, const char *key)
{
    struct buf b;
    buf_init(&b);
    for (const char *p = key; *p; p++) {
        bool upper = isupper((unsigned char)*p);
        bool starts = upper && p > key &&
                      (!isupper((unsigned char)p[-1]) || (p[1] && islower((unsigned char)p[1])));
        if (starts)
            buf_append_char(&b, ' ');
        buf_append_char(&b, p == key ? (char)toupper((unsigned char)*p) : *p);
    }
    const char *text = arena_strndup(&w->s->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static const char *scalar(struct writer *w, yyjson_val *v)
{
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? "true" : "false";
    (void)w;
    return yyjson_is_null(v) ? "<nil>" : res_text(v);
}

static void write_tree(struct writer *w, int level, yyjson_val *object);

static void write_member(struct writer *w, int level, const char *label, yyjson_val *v)
{
    yyjson_val *item;
    size_t i, max;
    if (yyjson_is_obj(v)) {
        write_line(w, level, "%s:", label);
        write_tree(w, level + 1, v);
    } else if (yyjson_is_arr(v)) {
        write_line(w, level, "%s:", label);
        yyjson_arr_foreach (v, i, max, item) {
            if (yyjson_is_obj(item))
                write_tree(w, level + 1, item);
            else
                write_line(w, level + 1, "%s", scalar(w, item));
        }
    } else {
        write_line(w, level, "%s:\t%s", label, scalar(w, v));
    }
}

static void write_tree(struct writer *w, int level, yyjson_val *object)
{
    yyjson_val *k, *v;
    size_t i, max;
    yyjson_obj_foreach (object, i, max, k, v)
        write_member(w, level, title(w, yyjson_get_str(k)), v);
}

static bool is_heading(const char *key)
{
    static const char *const heading[] = {"apiVersion", "kind", "metadata"};
    for (size_t i = 0; i < ARRAY_LEN(heading); i++)
        if (strcmp(key, heading[i]) == 0)
            return true;
    return false;
}

static void write_any_map(struct writer *w, const char *label, yyjson_val *map, const char *between)
{
    yyjson_val *k, *v;
    size_t i, max, n = 0;
    yyjson_obj_foreach (map, i, max, k, v) {
        if (!is_hidden(yyjson_get_str(k)))
            write_line(w, 0, "%s\t%s%s%s", n++ ? "" : label, yyjson_get_str(k), between,
                       res_text(v));
    }
    if (!n)
        write_line(w, 0, "%s\t<none>", label);
}

static void describe_any(struct writer *w, const struct resource *r, yyjson_val *root)
{
    yyjson_val *meta = yyjson_obj_get(root, "metadata"), *k, *v;
    size_t i, max;
    write_line(w, 0, "Name:\t%s", res_text(yyjson_obj_get(meta, "name")));
    write_line(w, 0, "Namespace:\t%s", res_text(yyjson_obj_get(meta, "namespace")));
    write_any_map(w, "Labels:", yyjson_obj_get(meta, "labels"), "=");
    write_any_map(w, "Annotations:", yyjson_obj_get(meta, "annotations"), ": ");
    write_line(w, 0, "API Version:\t%s", r->api_version);
    write_line(w, 0, "Kind:\t%s", r->kind);
    bool secret = strcmp(r->kind, "Secret") == 0 && !*r->group;
    yyjson_obj_foreach (root, i, max, k, v) {
        if (is_heading(yyjson_get_str(k)))
            continue;
        if (secret && strcmp(yyjson_get_str(k), "data") == 0) {
            yyjson_val *name, *value;
            size_t n, m;
            write_line(w, 0, "Data:"); /* sizes, never the values */
            yyjson_obj_foreach (v, n, m, name, value)
                write_line(w, 1, "%s:\t%zu bytes", yyjson_get_str(name),
                           strlen(res_text(value)) * 3 / 4);
            continue;
        }
        write_member(w, 0, title(w, yyjson_get_str(k)), v);
    }
    const char *ns = res_text(yyjson_obj_get(meta, "namespace"));
    write_events(w, *ns ? ns : NULL, r->kind, res_text(yyjson_obj_get(meta, "name")),
                 res_text(yyjson_obj_get(meta, "uid")));
}

/* ---------------------------------------------------------------------------------------- main --- */

static void describe_json(struct writer *w, const struct resource *r, struct str json)
{
    struct error err = {0};
    void *object = NULL;
    yyjson_val *root = NULL;
    bool known = r == RESOURCE_PODS || r == RESOURCE_NODES || r == RESOURCE_DEPLOYMENTS ||
                 r == RESOURCE_SERVICES;
    int rc = known ? json_decode(&w->s->arena, schema_get(r->message), json, NULL, &object, &err)
                   : json_read(&w->s->arena, json, &root, &err);
    if (rc < 0)
        res_error(w->s, "the server's answer: %s", err.message);
    else if (r == RESOURCE_PODS)
        describe_pod(w, object);
    else if (r == RESOURCE_NODES)
        describe_node(w, object);
    else if (r == RESOURCE_DEPLOYMENTS)
        describe_deployment(w, object);
    else if (r == RESOURCE_SERVICES)
        describe_service(w, object);
    else
        describe_any(w, r, root);
    writer_flush(w);
}

static void describe_named(struct writer *w, const struct resource *r, const char *ns,
                           const char *name, bool *first)
{
    const struct client_response *answer =
        res_request(w->s, &(struct client_request){.path = res_path(w->s, r, ns, name)}, NULL);
    if (!answer)
        return;
    if (!*first)
        printf("\n\n");
    *first = false;
    describe_json(w, r, answer->body);
}

static void describe_all(struct writer *w, const struct resource *r, const char *ns,
                         const char *selector, bool *first)
{
    char *path = res_query(w->s, res_path(w->s, r, ns, NULL), "labelSelector", selector);
    const struct client_response *answer =
        res_request(w->s, &(struct client_request){.path = path}, NULL);
    yyjson_val *root, *item;
    size_t i, max;
    if (!answer || json_read(&w->s->arena, answer->body, &root, NULL) < 0)
        return;
    yyjson_arr_foreach (yyjson_obj_get(root, "items"), i, max, item) {
        yyjson_val *meta = yyjson_obj_get(item, "metadata");
        const char *own_ns = res_text(yyjson_obj_get(meta, "namespace"));
        describe_named(w, r, *own_ns ? own_ns : NULL, res_text(yyjson_obj_get(meta, "name")),
                       first);
    }
    if (*first && r->namespaced && ns)
        fprintf(stderr, "No resources found in %s namespace.\n", ns);
    else if (*first)
        fprintf(stderr, "No resources found\n");
}

int res_describe_main(int argc, char **argv)
{
    struct res_session s;
    struct flag_list args = {0};
    const char *selector = NULL;
    bool all_namespaces = false, first = true;
    res_session_init(&s);
    const struct flag flags[] = {
        {"selector", 'l', FLAG_STRING, &selector, "SELECTOR", "Only objects with these labels."},
        {"all-namespaces", 'A', FLAG_BOOL, &all_namespaces, NULL, "Of all namespaces."},
        RES_GLOBAL_FLAGS(&s),
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s describe",
                                             .summary = "Tell all about objects.",
                                             .usage = "(TYPE [NAME…] | TYPE/NAME…) [flags]",
                                             .flags = flags,
                                             .args_min = 1,
                                             .args_max = FLAGS_ANY},
                        argc, argv, &args, 1);
    struct writer w = {.s = &s};
    struct res_targets targets;
    buf_init(&w.text);
    if (res_connect(&s) == 0 && res_parse_targets(&s, args.items, args.len, &targets) == 0) {
        for (size_t i = 0; i < targets.len; i++) {
            const struct res_target *t = &targets.items[i];
            const char *ns = all_namespaces ? NULL : res_namespace(&s, t->resource);
            if (t->name)
                describe_named(&w, t->resource, ns, t->name, &first);
            else
                describe_all(&w, t->resource, ns, selector, &first);
        }
    }
    buf_free(&w.text);
    flag_list_free(&args);
    return res_end(&s);
}
