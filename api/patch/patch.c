/*
 * JSON patch (RFC 6902), JSON merge patch (RFC 7386), and the way of a struct through a patch.
 */
#include "api/patch/containers.h"
#include "api/patch/internal.h"
#include "api/fields/typed.h"
#include "base/vec.h"

/* What copy operations of one JSON patch may add, as upstream bounds them. */
#define COPIED_BYTES_MAX (3u << 20)

bool patch_type_parse(struct str content_type, enum patch_type *out)
{
    static const struct {
        const char *name;
        enum patch_type type;
    } types[] = {{"application/json-patch+json", PATCH_JSON},
                 {"application/merge-patch+json", PATCH_MERGE},
                 {"application/strategic-merge-patch+json", PATCH_STRATEGIC},
                 {"application/apply-patch+yaml", PATCH_APPLY}};
    struct str rest = content_type, name;
    str_split(&rest, ';', &name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (str_ieq(str_trim(name), str_from(types[i].name))) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

/* --- helpers -----------------------------------------------------------------------------------
 */

void members_take(struct members *m, yyjson_mut_val *object)
{
    size_t n = yyjson_mut_is_obj(object) ? yyjson_mut_obj_size(object) : 0, i, max;
    yyjson_mut_val *key, *value;
    *m = (struct members){mem_alloc((n + 1) * sizeof *m->items), 0, {0}};
    map_init(&m->index);
    if (n == 0)
        return;
    yyjson_mut_obj_foreach (object, i, max, key, value) {
        struct member *earlier = map_get(&m->index, mut_str(key));
        if (earlier) {
            earlier->value = value;
            continue;
        }
        m->items[m->len] = (struct member){key, value, false};
        map_put(&m->index, mut_str(key), &m->items[m->len++]);
    }
}

void members_free(struct members *m)
{
    mem_free(m->items);
    map_free(&m->index);
}

struct member *members_find(const struct members *m, struct str key)
{
    return map_get(&m->index, key);
}

yyjson_mut_val **items_take(yyjson_mut_val *array, size_t *n)
{
    size_t i, max;
    yyjson_mut_val *item, **items;
    *n = yyjson_mut_is_arr(array) ? yyjson_mut_arr_size(array) : 0;
    items = mem_alloc((*n + 1) * sizeof *items);
    if (*n) {
        yyjson_mut_arr_foreach (array, i, max, item) {
            items[i] = item;
        }
    }
    return items;
}

struct str scalar_key(yyjson_mut_val *v)
{
    if (yyjson_mut_is_str(v))
        return mut_str(v);
    if (yyjson_mut_is_raw(v))
        return str_make(yyjson_mut_get_raw(v), yyjson_mut_get_len(v));
    if (yyjson_mut_is_bool(v))
        return yyjson_mut_get_bool(v) ? STR("true") : STR("false");
    return STR_NONE;
}

struct merge_rule merge_rule_of(const struct schema_message *m, struct str name)
{
    struct merge_rule rule = {.merge_key = ""};
    const struct schema_field *via, *f = m ? schema_field_by_json(m, name, &via) : NULL;
    while (f && via) {
        m = schema_field_message(via);
        f = schema_field_by_json(m, name, &via);
    }
    if (!f)
        return rule;
    rule.map = f->label == SCHEMA_MAP;
    rule.merge_list = f->label == SCHEMA_REPEATED && f->flags & SCHEMA_PATCH_MERGE;
    rule.replace = f->flags & SCHEMA_PATCH_REPLACE;
    rule.retain_keys = f->flags & SCHEMA_PATCH_RETAIN_KEYS;
    rule.merge_key = schema_string(f->merge_key);
    if (rule.map)
        f = schema_map_value(f);
    if (f->type == SCHEMA_MESSAGE && schema_field_message(f)->special == SCHEMA_PLAIN)
        rule.message = schema_field_message(f);
    return rule;
}

bool depth_is_fine(yyjson_val *v, int depth)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(v))
        return true;
    if (depth > PATCH_DEPTH_MAX)
        return false;
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach (v, i, max, key, item) {
            if (!depth_is_fine(item, depth + 1))
                return false;
        }
        return true;
    }
    yyjson_arr_foreach (v, i, max, item) {
        if (!depth_is_fine(item, depth + 1))
            return false;
    }
    return true;
}

bool mut_depth_is_fine(yyjson_mut_val *v, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (!yyjson_mut_is_ctn(v))
        return true;
    if (depth > PATCH_DEPTH_MAX)
        return false;
    if (yyjson_mut_is_obj(v)) {
        yyjson_mut_obj_foreach (v, i, max, key, item) {
            if (!mut_depth_is_fine(item, depth + 1))
                return false;
        }
        return true;
    }
    yyjson_mut_arr_foreach (v, i, max, item) {
        if (!mut_depth_is_fine(item, depth + 1))
            return false;
    }
    return true;
}

/* --- JSON patch --------------------------------------------------------------------------------
 */

struct json_patch {
    yyjson_mut_doc *doc;
    yyjson_mut_val **root;
    struct error *err;
    size_t copied;
    struct containers containers;
};

/* Where a pointer leads: its parent container, and the last token unescaped. */
struct place {
    yyjson_mut_val *parent; /* NULL: the whole document */
    struct str token;
    char *owned;  /* token's bytes */
    size_t index; /* in an array; size of the array for "-" */
};

/* One reference token with ~1 and ~0 replaced. */
static char *token_unescape(struct str s, size_t *n)
{
    char *out = mem_alloc(s.n + 1);
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1'))
            c = s.p[++i] == '0' ? '~' : '/';
        out[(*n)++] = c;
    }
    return out;
}

/* Negative indexes count from the end, as the published server takes them: -1 is the last item, or, where
 * one may be added, the place after it. */
static bool array_index(struct str token, size_t size, bool end_allowed, size_t *out)
{
    int64_t i;
    size_t places = size + end_allowed;
    if (end_allowed && str_eq(token, STR("-"))) {
        *out = size;
        return true;
    }
    bool negative = token.n > 1 && token.p[0] == '-';
    struct str digits = str_slice(token, negative, token.n);
    if ((digits.n > 1 && digits.p[0] == '0') || digits.n == 0 || digits.p[0] < '0' ||
        digits.p[0] > '9' || !str_to_i64(digits, &i))
        return false;
    if (negative) {
        *out = places - (size_t)i;
        return i > 0 && (size_t)i <= places;
    }
    *out = (size_t)i;
    return *out < places;
}

static yyjson_mut_val *child(struct json_patch *p, yyjson_mut_val *v, struct str token)
{
    size_t i;
    if (yyjson_mut_is_obj(v))
        return named_get(&p->containers, v, token);
    if (yyjson_mut_is_arr(v) && array_index(token, yyjson_mut_arr_size(v), false, &i))
        return items_get(&p->containers, v, i);
    return NULL;
}

/* Walk to the parent of what `path` names. */
static int locate(struct json_patch *p, const char *op, struct str path, struct place *out)
{
    *out = (struct place){0};
    if (path.n == 0)
        return 0;
    if (path.p[0] != '/')
        return error_set(p->err, ERR_INVALID, "json patch: %s: path \"%.*s\" must start with '/'",
                         op, (int)MIN(path.n, 200), path.p);
    yyjson_mut_val *at = *p->root;
    struct str rest = str_slice(path, 1, path.n), token;
    rest.p = rest.p ? rest.p : "";
    while (str_split(&rest, '/', &token)) {
        mem_free(out->owned);
        out->owned = token_unescape(token, &out->token.n);
        out->token.p = out->owned;
        out->parent = at;
        if (rest.p)
            at = child(p, at, out->token);
        if (!at || (rest.p && !yyjson_mut_is_ctn(at)) || !yyjson_mut_is_ctn(out->parent)) {
            mem_free(out->owned);
            out->owned = NULL;
            return error_set(p->err, ERR_INVALID,
                             "json patch: %s operation does not apply: doc is missing "
                             "path: \"%.*s\": missing value",
                             op, (int)MIN(path.n, 200), path.p);
        }
    }
    return 0;
}

static yyjson_mut_val *value_at(struct json_patch *p, const struct place *place)
{
    return place->parent ? child(p, place->parent, place->token) : *p->root;
}

static int missing(struct json_patch *p, const char *op, struct str path)
{
    return error_set(
        p->err, ERR_INVALID,
        "json patch: %s operation does not apply: doc is missing key: %.*s: missing value", op,
        (int)MIN(path.n, 200), path.p);
}

static int do_add(struct json_patch *p, const char *op, struct str path, yyjson_mut_val *value)
{
    struct place place;
    int rc = locate(p, op, path, &place);
    if (rc < 0)
        return rc;
    size_t index;
    if (!place.parent) {
        *p->root = value;
    } else if (yyjson_mut_is_obj(place.parent)) {
        yyjson_mut_val *key = yyjson_mut_strncpy(p->doc, place.token.p, place.token.n);
        named_put(&p->containers, place.parent, key, value);
    } else if (array_index(place.token, yyjson_mut_arr_size(place.parent), true, &index)) {
        items_insert(&p->containers, place.parent, index, value);
    } else {
        rc = error_set(p->err, ERR_INVALID,
                       "json patch: %s operation does not apply: Unable to access "
                       "invalid index: %.*s: invalid index referenced",
                       op, (int)MIN(place.token.n, 50), place.token.p);
    }
    mem_free(place.owned);
    return rc;
}

/* Take a value out of the document. */
static int do_remove(struct json_patch *p, const char *op, struct str path,
                     yyjson_mut_val **removed)
{
    struct place place;
    int rc = locate(p, op, path, &place);
    if (rc < 0)
        return rc;
    yyjson_mut_val *value = value_at(p, &place);
    size_t index;
    if (!value || !place.parent) {
        rc = missing(p, op, path);
    } else if (yyjson_mut_is_obj(place.parent)) {
        named_remove(&p->containers, place.parent, place.token);
    } else {
        array_index(place.token, yyjson_mut_arr_size(place.parent), false, &index);
        items_remove(&p->containers, place.parent, index);
    }
    if (removed)
        *removed = value;
    mem_free(place.owned);
    return rc;
}

static int do_replace(struct json_patch *p, struct str path, yyjson_mut_val *value)
{
    struct place place;
    int rc = locate(p, "replace", path, &place);
    if (rc < 0)
        return rc;
    size_t index;
    if (!value_at(p, &place)) {
        rc = missing(p, "replace", path);
    } else if (!place.parent) {
        *p->root = value;
    } else if (yyjson_mut_is_obj(place.parent)) {
        named_put(&p->containers, place.parent,
                  yyjson_mut_strncpy(p->doc, place.token.p, place.token.n), value);
    } else {
        array_index(place.token, yyjson_mut_arr_size(place.parent), false, &index);
        items_replace(&p->containers, place.parent, index, value);
    }
    mem_free(place.owned);
    return rc;
}

static int do_copy(struct json_patch *p, struct str from, struct str path)
{
    struct place place;
    int rc = locate(p, "copy", from, &place);
    if (rc < 0)
        return rc;
    yyjson_mut_val *value = value_at(p, &place);
    mem_free(place.owned);
    if (!value)
        return missing(p, "copy", from);
    /* Moves into what was moved nest without a limit, and copying recurses. */
    if (!mut_depth_is_fine(value, 0))
        return error_set(p->err, ERR_LIMIT, "json patch: copy of a value that is nested too deep");
    size_t n;
    char *text = yyjson_mut_val_write(value, 0, &n);
    free(text);
    p->copied += text ? n : 0;
    if (p->copied > COPIED_BYTES_MAX)
        return error_set(p->err, ERR_LIMIT, "json patch: copy operations add more than %u bytes",
                         COPIED_BYTES_MAX);
    return do_add(p, "copy", path, yyjson_mut_val_mut_copy(p->doc, value));
}

static int do_test(struct json_patch *p, struct str path, yyjson_mut_val *value)
{
    struct place place;
    int rc = locate(p, "test", path, &place);
    if (rc < 0)
        return rc;
    yyjson_mut_val *have = value_at(p, &place);
    mem_free(place.owned);
    bool equal = have ? json_values_equal(have, value) : yyjson_mut_is_null(value);
    return equal ? 0
                 : error_set(p->err, ERR_CONFLICT,
                             "json patch: testing value %.*s failed: test failed",
                             (int)MIN(path.n, 200), path.p);
}

static bool is_prefix_path(struct str from, struct str path)
{
    return str_has_prefix(path, from) && path.n > from.n && path.p[from.n] == '/';
}

static int do_move(struct json_patch *p, struct str from, struct str path)
{
    yyjson_mut_val *moved;
    if (is_prefix_path(from, path))
        return error_set(p->err, ERR_INVALID, "json patch: cannot move a value into itself");
    /* What was taken out is in no container: it is put elsewhere as it is, however large. */
    int rc = do_remove(p, "move", from, &moved);
    return rc < 0 ? rc : do_add(p, "move", path, moved);
}

static struct str member_str(yyjson_val *op, const char *name, bool *present)
{
    yyjson_val *v = yyjson_obj_get(op, name);
    *present = yyjson_is_str(v);
    return *present ? str_make(yyjson_get_str(v), yyjson_get_len(v)) : STR("");
}

static int apply_operation(struct json_patch *p, yyjson_val *op)
{
    bool has_op, has_path, has_from;
    struct str name = member_str(op, "op", &has_op), path = member_str(op, "path", &has_path);
    struct str from = member_str(op, "from", &has_from);
    yyjson_val *value = yyjson_obj_get(op, "value");
    if (!has_op || !has_path)
        return error_set(p->err, ERR_INVALID, "json patch: an operation needs \"op\" and \"path\"");
    bool needs_value = str_eqz(name, "add") || str_eqz(name, "replace") || str_eqz(name, "test");
    bool needs_from = str_eqz(name, "move") || str_eqz(name, "copy");
    if ((needs_value && !value) || (needs_from && !has_from))
        return error_set(p->err, ERR_INVALID, "json patch: %.*s operation needs \"%s\"",
                         (int)MIN(name.n, 20), name.p, needs_value ? "value" : "from");
    yyjson_mut_val *v = needs_value ? yyjson_val_mut_copy(p->doc, value) : NULL;
    if (str_eqz(name, "add"))
        return do_add(p, "add", path, v);
    if (str_eqz(name, "replace"))
        return do_replace(p, path, v);
    if (str_eqz(name, "test"))
        return do_test(p, path, v);
    if (str_eqz(name, "remove"))
        return do_remove(p, "remove", path, NULL);
    if (str_eqz(name, "move"))
        return do_move(p, from, path);
    if (str_eqz(name, "copy"))
        return do_copy(p, from, path);
    return error_set(p->err, ERR_INVALID, "json patch: unexpected kind: %.*s", (int)MIN(name.n, 50),
                     name.p);
}

int json_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                     struct error *err)
{
    struct json_patch p = {.doc = doc, .root = root, .err = err};
    int rc = 0;
    if (!yyjson_is_arr(patch))
        return error_set(err, ERR_INVALID, "json patch: must be an array of operations");
    if (yyjson_arr_size(patch) > PATCH_OPERATIONS_MAX)
        return error_set(err, ERR_LIMIT,
                         "The allowed maximum operations in a JSON patch is %d, got %zu",
                         PATCH_OPERATIONS_MAX, yyjson_arr_size(patch));
    size_t i, max;
    yyjson_val *op;
    containers_init(&p.containers);
    yyjson_arr_foreach (patch, i, max, op) {
        rc = apply_operation(&p, op);
        if (rc < 0)
            break;
    }
    containers_free(&p.containers);
    return rc;
}

/* --- merge patch -------------------------------------------------------------------------------
 */

/* What is new has no members of null, in lists neither; lists keep theirs. */
static yyjson_mut_val *without_nulls(yyjson_mut_doc *doc, yyjson_val *v, int depth)
{
    size_t i, max;
    yyjson_val *key, *value;
    if (yyjson_is_arr(v) && depth <= PATCH_DEPTH_MAX) {
        yyjson_mut_val *list = yyjson_mut_arr(doc);
        yyjson_arr_foreach (v, i, max, value)
            yyjson_mut_arr_append(list, without_nulls(doc, value, depth + 1));
        return list;
    }
    if (!yyjson_is_obj(v) || depth > PATCH_DEPTH_MAX)
        return yyjson_val_mut_copy(doc, v);
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    yyjson_obj_foreach (v, i, max, key, value) {
        if (!yyjson_is_null(value))
            yyjson_mut_obj_add(object, yyjson_val_mut_copy(doc, key),
                               without_nulls(doc, value, depth + 1));
    }
    return object;
}

static yyjson_mut_val *merge(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_val *patch,
                             int depth)
{
    if (!yyjson_is_obj(patch) || depth > PATCH_DEPTH_MAX) /* in an object's place: as it stands */
        return yyjson_mut_is_obj(target) ? yyjson_val_mut_copy(doc, patch)
                                         : without_nulls(doc, patch, depth);
    struct members old;
    members_take(&old, target);
    yyjson_mut_val *result = yyjson_mut_obj(doc);
    size_t i, max;
    yyjson_val *key, *value;
    /* What the patch names is marked; the rest stays as it is and in place. */
    yyjson_obj_foreach (patch, i, max, key, value) {
        struct member *m = members_find(&old, str_make(yyjson_get_str(key), yyjson_get_len(key)));
        yyjson_mut_val *merged =
            yyjson_is_null(value) ? NULL : merge(doc, m ? m->value : NULL, value, depth + 1);
        if (m)
            m->value = merged;
        else if (merged)
            yyjson_mut_obj_add(
                result, yyjson_mut_strncpy(doc, yyjson_get_str(key), yyjson_get_len(key)), merged);
    }
    yyjson_mut_val *ordered = yyjson_mut_obj(doc);
    for (size_t k = 0; k < old.len; k++) {
        if (old.items[k].value)
            yyjson_mut_obj_add(ordered, old.items[k].key, old.items[k].value);
    }
    struct members added;
    members_take(&added, result);
    for (size_t k = 0; k < added.len; k++)
        yyjson_mut_obj_add(ordered, added.items[k].key, added.items[k].value);
    members_free(&added);
    members_free(&old);
    return ordered;
}

void merge_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch)
{
    *root = merge(doc, *root, patch, 0);
}
