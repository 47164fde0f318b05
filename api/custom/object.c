/*
 * Custom objects: their JSON, their place in the store, and reading and changing their bodies.
 */
#include "api/custom/internal.h"
#include "api/structural/internal.h"
#include <stdlib.h>

/* ---- decoding ---- */

static bool is_head(struct str name)
{
    return str_eqz(name, "apiVersion") || str_eqz(name, "kind") || str_eqz(name, "metadata");
}

struct problems {
    struct arena *a;
    struct field_problems *list;
    size_t first_unknown;
};

static bool unknown(void *ctx, const char *path)
{
    struct problems *p = ctx;
    field_problem_add(p->a, p->list, (struct field_problem){.path = arena_strdup(p->a, path)});
    return !field_problems_full(p->list);
}

/* Members that stand twice: rare, and looked for only when somebody wants to know. */
static void find_duplicates(struct problems *p, yyjson_val *v, const struct step *at)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach (v, i, max, item)
            find_duplicates(p, item, STEP_INDEX(at, i));
        return;
    }
    if (!yyjson_is_obj(v))
        return;
    struct map seen;
    map_init(&seen);
    yyjson_obj_foreach (v, i, max, key, item) {
        struct str name = str_make(yyjson_get_str(key), yyjson_get_len(key));
        if (map_put(&seen, name, item) && !field_problems_full(p->list))
            field_problem_add(
                p->a, p->list,
                (struct field_problem){.duplicate = true,
                                       .path = step_path(p->a, "", STEP_MEMBER(at, name))});
        if (at || !str_eqz(name, "metadata"))
            find_duplicates(p, item, STEP_MEMBER(at, name));
    }
    map_free(&seen);
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const struct field_problem *)x)->path, ((const struct field_problem *)y)->path);
}

/* The members of the body; of equal ones the last. */
static yyjson_mut_val *body_of(yyjson_mut_doc *doc, yyjson_val *root)
{
    yyjson_mut_val *body = yyjson_mut_obj(doc);
    size_t i, max;
    yyjson_val *key, *item;
    yyjson_obj_foreach (root, i, max, key, item) {
        struct str name = str_make(yyjson_get_str(key), yyjson_get_len(key));
        if (!is_head(name))
            yyjson_mut_obj_add(body, yyjson_mut_strncpy(doc, name.p, name.n),
                               yyjson_val_mut_copy(doc, item));
    }
    return body;
}

/* Duplicates would show twice in everything that walks: writing and reading again drops them. */
static yyjson_mut_val *without_duplicates(struct arena *a, yyjson_mut_doc *doc,
                                          yyjson_mut_val *body)
{
    struct buf b;
    yyjson_val *root;
    buf_init(&b);
    json_write_canonical(body, &b);
    int rc = json_read(a, buf_str(&b), &root, NULL);
    buf_free(&b);
    return rc == 0 ? yyjson_val_mut_copy(doc, root) : body;
}

static int rank(const struct field_problem *p)
{
    return p->in_patch ? 0 : p->duplicate ? 1 : 2;
}

/* Duplicates are told before what is unknown, each in its order; what a patch says itself comes before both. */
static void duplicates_first(struct arena *a, struct field_problems *list)
{
    struct field_problem *sorted = arena_array(a, struct field_problem, list->len);
    size_t n = 0;
    for (int r = 0; r < 3; r++)
        for (size_t i = 0; i < list->len; i++)
            if (rank(&list->items[i]) == r)
                sorted[n++] = list->items[i];
    memcpy(list->items, sorted, n * sizeof *sorted);
}

int custom_decode_body(struct arena *a, const struct custom_version *v, yyjson_val *root,
                       struct field_problems *problems, CustomObject *out, struct error *err)
{
    if (!structural_depth_is_fine(root))
        return error_set(err, ERR_LIMIT, "JSON: nested more than %d deep", STRUCTURAL_DEPTH_MAX);
    struct problems p = {a, problems, 0};
    yyjson_mut_doc *doc = json_doc_new(a);
    if (problems)
        find_duplicates(&p, root, NULL);
    p.first_unknown = problems ? problems->len : 0;
    yyjson_mut_val *body = without_duplicates(a, doc, body_of(doc, root));
    if (!v->keep_unknown)
        structural_prune(body, v->schema, problems ? unknown : NULL, &p);
    if (problems && problems->len > p.first_unknown)
        qsort(problems->items + p.first_unknown, problems->len - p.first_unknown,
              sizeof *problems->items, by_path);
    structural_coerce_embedded(a, doc, body, v->schema, problems ? unknown : NULL, &p);
    if (problems && problems->len)
        duplicates_first(a, problems);
    int rc = structural_default(doc, body, v->schema, err);
    if (rc == 0)
        custom_set_body(a, out, body);
    return rc;
}

/* ---- bodies ---- */

static struct str body_text(const CustomObject *o)
{
    return o->has_body ? str_make(o->body.data, o->body.len) : STR_NONE;
}

yyjson_mut_val *custom_body(struct arena *a, yyjson_mut_doc *doc, const CustomObject *o)
{
    struct str text = body_text(o);
    yyjson_val *root;
    if (text.n <= 2 || json_read(a, text, &root, NULL) < 0)
        return yyjson_mut_obj(doc);
    return yyjson_val_mut_copy(doc, root);
}

void custom_set_body(struct arena *a, CustomObject *o, yyjson_mut_val *body)
{
    struct buf b;
    buf_init(&b);
    json_write_canonical(body, &b);
    o->has_body = b.len > 2;
    o->body = (ProtobufCBinaryData){0, NULL};
    if (o->has_body)
        o->body = (ProtobufCBinaryData){b.len, arena_dup(a, b.data, b.len)};
    buf_free(&b);
}

yyjson_mut_val *custom_tree(struct arena *a, yyjson_mut_doc *doc, const CustomObject *o)
{
    return json_tree(a, doc, o);
}

void custom_emit_body(struct buf *out, const CustomObject *o, bool *first)
{
    struct str text = body_text(o);
    if (text.n <= 2)
        return;
    if (!*first)
        put_char(out, ',');
    *first = false;
    put(out, text.p + 1, text.n - 2);
}

void custom_share(struct arena *a, CustomObject *to, const CustomObject *from, const char *name)
{
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *body = custom_body(a, doc, to);
    yyjson_mut_val *value = from ? mut_member(custom_body(a, doc, from), str_from(name)) : NULL;
    yyjson_mut_obj_remove_key(body, name);
    if (value)
        yyjson_mut_obj_add(body, yyjson_mut_str(doc, name), yyjson_mut_val_mut_copy(doc, value));
    custom_set_body(a, to, body);
}

int custom_convert(struct arena *a, const CustomObject *o, const struct custom_version *to,
                   CustomObject **out, struct error *err)
{
    const struct custom_version *from = custom_of_message(schema_of(o));
    if (!from || strcmp(from->type->name, to->type->name) != 0)
        return error_set(err, ERR_UNSUPPORTED, "not of the same kind as %s", to->resource.kind);
    CustomObject *copy = object_alloc(a, &to->message);
    copy->metadata = o->metadata;
    copy->has_body = o->has_body;
    copy->body = o->body;
    *out = copy;
    if (from == to || to->keep_unknown)
        return 0;
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *body = custom_body(a, doc, o);
    structural_prune(body, to->schema, NULL, NULL);
    custom_set_body(a, copy, body);
    return 0;
}

/* The next name of a path: up to a dot that no backslash hides. False at its end. */
static bool path_next(const char **path, char *name, size_t size)
{
    size_t n = 0;
    if (!**path)
        return false;
    for (; **path && **path != '.'; (*path)++) {
        if (**path == '\\' && (*path)[1])
            (*path)++;
        if (n + 1 < size)
            name[n++] = **path;
    }
    name[n] = 0;
    *path += **path == '.';
    return true;
}

yyjson_mut_val *custom_path_get(yyjson_mut_val *root, const char *path)
{
    char name[256];
    while (root && path_next(&path, name, sizeof name))
        root = mut_member(root, str_from(name));
    return root;
}

void custom_path_set(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *path,
                     yyjson_mut_val *value)
{
    char name[256];
    while (path_next(&path, name, sizeof name)) {
        yyjson_mut_val *key = yyjson_mut_strcpy(doc, name),
                       *next = mut_member(root, str_from(name));
        if (!*path) {
            yyjson_mut_obj_put(root, key, value);
            return;
        }
        if (!yyjson_mut_is_obj(next)) {
            next = yyjson_mut_obj(doc);
            yyjson_mut_obj_put(root, key, next);
        }
        root = next;
    }
}

/* ---- the store ---- */

void custom_stored_encode(const CustomObject *o, struct buf *out)
{
    const struct custom_version *v = custom_of_message(schema_of(o));
    struct arena a;
    CustomObject *stored;
    arena_init(&a);
    Meta__V1__ObjectMeta *meta = o->metadata;
    char *revision = meta->resource_version;
    meta->resource_version = (char *)"";
    if (custom_convert(&a, o, v->type->stored, &stored, NULL) == 0)
        json_encode(stored, JSON_DEFAULT, out);
    meta->resource_version = revision;
    arena_free(&a);
}

int custom_stored_decode(struct arena *a, struct str stored, int64_t revision,
                         const struct custom_version *wanted, void **out, struct error *err)
{
    yyjson_val *root;
    struct str api_version, kind, group, version;
    int rc = json_read(a, stored, &root, err);
    if (rc < 0)
        return error_wrap(err, "stored %s", wanted->resource.kind);
    json_type_meta(root, &api_version, &kind);
    api_version_split(api_version, &group, &version);
    const struct custom_version *as = custom_type_version(wanted->type, version);
    if (!as)
        as = wanted->type->stored; /* a version that is gone: conversion None keeps the content */
    CustomObject *o = object_alloc(a, &as->message);
    if ((rc = custom_decode_stored_fields(a, root, o, err)) < 0)
        return error_wrap(err, "stored %s", wanted->resource.kind);
    if (revision)
        o->metadata->resource_version = arena_printf(a, "%lld", (long long)revision);
    *out = o;
    return as == wanted ? 0 : custom_convert(a, o, wanted, (CustomObject **)out, err);
}
