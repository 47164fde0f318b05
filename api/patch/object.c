/*
 * The way of a struct through a patch: encoded as JSON, patched, decoded again; with what went wrong in
 * the terms of the published server.
 */
#include "api/patch/internal.h"
#include "base/arena_str.h"
#include <stdlib.h>

struct patching {
    struct arena *a;
    enum patch_type type;
    struct field_problems *problems; /* may be NULL */
    struct patch_report *report;
    struct error *err;
};

static int failed(struct patching *p, enum patch_failure failure, int rc)
{
    p->report->failure = failure;
    return rc;
}

/* ---- the patch itself ---- */

struct named {
    struct str key;
    size_t index;
};

static int named_compare(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void add_problem(struct patching *p, bool duplicate, const struct buf *path, struct str name)
{
    if (field_problems_full(p->problems))
        return;
    const char *at = arena_printf(p->a, "%.*s%s%.*s", (int)path->len, path->len ? path->data : "",
                                  path->len ? "." : "", STR_ARG(name));
    field_problem_add(p->a, p->problems,
                      (struct field_problem){
                          .duplicate = duplicate, .in_patch = p->type == PATCH_JSON, .path = at});
}

/* Members that stand twice in one object. */
static void find_duplicates(struct patching *p, yyjson_val *object, const struct buf *path)
{
    size_t n = yyjson_obj_size(object), i, max;
    yyjson_val *key, *value;
    if (n < 2)
        return;
    struct named *names = mem_alloc(n * sizeof *names);
    yyjson_obj_foreach (object, i, max, key, value)
        names[i] = (struct named){str_make(yyjson_get_str(key), yyjson_get_len(key)), i};
    qsort(names, n, sizeof *names, named_compare);
    for (i = 1; i < n; i++)
        if (str_eq(names[i - 1].key, names[i].key))
            add_problem(p, true, path, names[i].key);
    mem_free(names);
}

static void scan(struct patching *p, yyjson_val *v, struct buf *path)
{
    size_t i, max, at = path->len;
    yyjson_val *key, *item;
    if (yyjson_is_obj(v)) {
        find_duplicates(p, v, path);
        yyjson_obj_foreach (v, i, max, key, item) {
            if (!yyjson_is_ctn(item))
                continue;
            buf_printf(path, "%s%s", at ? "." : "", yyjson_get_str(key));
            scan(p, item, path);
            path->len = at;
        }
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_foreach (v, i, max, item) {
            buf_printf(path, "[%zu]", i);
            scan(p, item, path);
            path->len = at;
        }
    }
}

/* Members of operations that mean nothing; values may have any. */
static void scan_operations(struct patching *p, yyjson_val *patch)
{
    static const char *const known[] = {"op", "path", "from", "value"};
    size_t i, k, max, n;
    yyjson_val *op, *key, *value;
    struct buf path;
    buf_init(&path);
    yyjson_arr_foreach (patch, i, max, op) {
        buf_clear(&path);
        buf_printf(&path, "[%zu]", i);
        if (!yyjson_is_obj(op))
            continue;
        find_duplicates(p, op, &path);
        yyjson_obj_foreach (op, k, n, key, value) {
            bool fine = false;
            for (size_t j = 0; j < sizeof known / sizeof *known; j++)
                fine = fine || yyjson_equals_str(key, known[j]);
            if (!fine)
                add_problem(p, false, &path, str_make(yyjson_get_str(key), yyjson_get_len(key)));
        }
    }
    buf_free(&path);
}

static const char *go_type(yyjson_val *v)
{
    return yyjson_is_str(v)    ? "string"
           : yyjson_is_bool(v) ? "bool"
           : yyjson_is_arr(v)  ? "array"
           : yyjson_is_obj(v)  ? "object"
                               : "number";
}

/* A patch of null changes nothing, but for merge patches, where it would leave nothing. */
static int read_null(struct patching *p, yyjson_val **out)
{
    struct error why;
    if (p->type == PATCH_MERGE)
        return failed(p, PATCH_MALFORMED, error_set(p->err, ERR_INVALID, "Invalid JSON Patch"));
    return json_read(p->a, p->type == PATCH_JSON ? STR("[]") : STR("{}"), out, &why);
}

static int read_patch(struct patching *p, struct str text, yyjson_val **out)
{
    struct error why;
    if (json_read(p->a, text, out, &why) < 0)
        return failed(p, PATCH_MALFORMED,
                      p->type == PATCH_MERGE && !p->problems
                          ? error_set(p->err, ERR_INVALID, "invalid JSON patch")
                          : error_set(p->err, ERR_INVALID, "%s%s",
                                      p->type == PATCH_STRATEGIC || !p->problems
                                          ? ""
                                          : "error decoding patch: ",
                                      why.message));
    if (!depth_is_fine(*out, 0))
        return failed(p, PATCH_MALFORMED, error_set(p->err, ERR_LIMIT, "patch is nested too deep"));
    if (yyjson_is_null(*out))
        return read_null(p, out);
    bool fits = p->type == PATCH_JSON ? yyjson_is_arr(*out) : yyjson_is_obj(*out);
    if (!fits)
        return failed(
            p, PATCH_MALFORMED,
            error_set(p->err, ERR_INVALID, "%sjson: cannot unmarshal %s into Go value of type %s",
                      p->type == PATCH_STRATEGIC ? "" : "error decoding patch: ", go_type(*out),
                      p->type == PATCH_JSON ? "[]handlers.jsonPatchOp"
                                            : "map[string]interface {}"));
    if (p->type == PATCH_JSON && yyjson_arr_size(*out) > PATCH_OPERATIONS_MAX)
        return failed(p, PATCH_TOO_LARGE,
                      error_set(p->err, ERR_LIMIT,
                                "The allowed maximum operations in a JSON patch is %d, got %zu",
                                PATCH_OPERATIONS_MAX, yyjson_arr_size(*out)));
    if (p->problems && p->type == PATCH_JSON) {
        scan_operations(p, *out);
    } else if (p->problems) {
        struct buf path;
        buf_init(&path);
        scan(p, *out, &path);
        buf_free(&path);
    }
    return 0;
}

/* ---- applying it ---- */

static int apply(struct patching *p, const struct schema_message *m, yyjson_mut_doc *doc,
                 yyjson_mut_val **root, yyjson_val *patch)
{
    int rc = 0;
    switch (p->type) {
    case PATCH_JSON:
        rc = json_patch_apply(doc, root, patch, p->err);
        return rc < 0 ? failed(p, PATCH_REFUSED, rc) : 0;
    case PATCH_MERGE:
        merge_patch_apply(doc, root, patch);
        return 0;
    case PATCH_STRATEGIC:
        rc = strategic_patch_apply(doc, root, patch, m, p->err);
        return rc == 0 ? 0
                       : failed(p,
                                rc == ERR_INTERNAL   ? PATCH_FAILED
                                : rc == ERR_CONFLICT ? PATCH_REFUSED
                                                     : PATCH_MALFORMED,
                                rc);
    case PATCH_APPLY:
        break;
    }
    return failed(p, PATCH_MALFORMED,
                  error_set(p->err, ERR_UNSUPPORTED, "apply patches are not handled here"));
}

/* What messages about the result show. */
static const char *shown(struct patching *p, yyjson_val *patch, struct str result)
{
    if (p->type != PATCH_STRATEGIC)
        return arena_copy(p->a, result).p;
    struct buf text;
    buf_init(&text);
    go_format(yyjson_val_mut_copy(json_doc_new(p->a), patch), &text);
    const char *copy = arena_strndup(p->a, text.data, text.len);
    buf_free(&text);
    return copy;
}

static int decode(struct patching *p, const struct schema_message *m, yyjson_mut_val *root,
                  yyjson_val *patch, void **out)
{
    size_t n;
    char *text = yyjson_mut_val_write(root, 0, &n);
    if (!text)
        return failed(p, PATCH_FAILED,
                      error_set(p->err, ERR_INVALID, "the result is not valid JSON"));
    __typeof__(json_decode) *read = json_decode;
    if (p->type == PATCH_STRATEGIC)
        read = json_decode_restored;
    else if (p->type == PATCH_MERGE)
        read = json_decode_map;
    int rc = read(p->a, m, str_make(text, n), p->problems, out, p->err);
    if (rc < 0)
        failed(p, PATCH_NO_OBJECT, rc);
    if (rc < 0 || (p->problems && p->problems->len))
        p->report->shown = shown(p, patch, str_make(text, n));
    free(text);
    return rc;
}

int object_patch_report(struct arena *a, const void *object, enum patch_type type, struct str patch,
                        struct field_problems *problems, void **out, struct patch_report *report,
                        struct error *err)
{
    struct patching p = {a, type, problems, report, err};
    const struct schema_message *m = schema_of(object);
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_val *tree;
    *report = (struct patch_report){PATCH_FINE, NULL};
    int rc = read_patch(&p, patch, &tree);
    if (rc < 0)
        return rc;
    yyjson_mut_val *root = json_tree(a, doc, object);
    if ((rc = apply(&p, m, doc, &root, tree)) < 0)
        return rc;
    if (!mut_depth_is_fine(root, 0))
        return failed(&p, PATCH_MALFORMED,
                      error_set(err, ERR_LIMIT, "patched object is nested too deep"));
    return decode(&p, m, root, tree, out);
}

int object_patch(struct arena *a, const void *object, enum patch_type type, struct str patch,
                 struct field_problems *problems, void **out, struct error *err)
{
    struct patch_report report;
    return object_patch_report(a, object, type, patch, problems, out, &report, err);
}
