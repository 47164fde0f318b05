/*
 * Three-way merge: the patch that `apply` sends. What the modified document says is added or changed; what
 * the last applied one said and the modified one no longer says is deleted; what only the server has stays.
 *
 * With a schema the patch is a strategic merge patch: lists that merge are compared item by item by their
 * merge key, and their order is stated. Without, it is a JSON merge patch and lists are whole values.
 */
#include "api/patch/internal.h"

struct differ {
    yyjson_mut_doc *doc;
    bool strategic;
};

static struct str val_str(yyjson_val *v)
{
    return str_make(yyjson_get_str(v), yyjson_get_len(v));
}

/* The members of an object by name: looked for one by one as long as they are few. */
struct names {
    yyjson_val *object; /* NULL or no object: none */
    bool many;
    struct map index;
};

#define NAMES_FEW 32

static void names_init(struct names *n, yyjson_val *object)
{
    size_t i, max;
    yyjson_val *key, *value;
    n->object = yyjson_is_obj(object) ? object : NULL;
    n->many = yyjson_obj_size(n->object) > NAMES_FEW;
    map_init(&n->index);
    if (!n->many)
        return;
    yyjson_obj_foreach (object, i, max, key, value)
        if (!map_has(&n->index, val_str(key)))
            map_put(&n->index, val_str(key), value);
}

static yyjson_val *names_get(const struct names *n, yyjson_val *key)
{
    struct str name = val_str(key);
    if (n->many)
        return map_get(&n->index, name);
    return n->object ? yyjson_obj_getn(n->object, name.p, name.n) : NULL;
}

static void names_free(struct names *n)
{
    map_free(&n->index);
}

static struct str val_scalar(yyjson_val *v)
{
    if (yyjson_is_str(v))
        return val_str(v);
    if (yyjson_is_raw(v))
        return str_make(yyjson_get_raw(v), yyjson_get_len(v));
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? STR("true") : STR("false");
    return STR_NONE;
}

static bool same_scalar(yyjson_val *a, yyjson_val *b)
{
    struct str x = val_scalar(a), y = val_scalar(b);
    if (!x.p || !y.p || yyjson_get_type(a) != yyjson_get_type(b))
        return yyjson_is_null(a) && yyjson_is_null(b);
    return str_eq(x, y) || (yyjson_is_raw(a) && strtod(x.p, NULL) == strtod(y.p, NULL));
}

static bool same(yyjson_val *a, yyjson_val *b);

static bool same_members(yyjson_val *a, yyjson_val *b)
{
    size_t i, max;
    yyjson_val *key, *item;
    struct names others;
    bool equal = true;
    names_init(&others, b);
    yyjson_obj_foreach (a, i, max, key, item) {
        yyjson_val *other = names_get(&others, key);
        equal = equal && other && same(item, other);
    }
    names_free(&others);
    return equal;
}

static bool same(yyjson_val *a, yyjson_val *b)
{
    if (yyjson_get_type(a) != yyjson_get_type(b) || yyjson_get_len(a) != yyjson_get_len(b))
        return same_scalar(a, b);
    if (yyjson_is_obj(a))
        return same_members(a, b);
    if (!yyjson_is_arr(a))
        return same_scalar(a, b);
    yyjson_arr_iter x, y;
    yyjson_arr_iter_init(a, &x);
    yyjson_arr_iter_init(b, &y);
    while (yyjson_arr_iter_has_next(&x))
        if (!same(yyjson_arr_iter_next(&x), yyjson_arr_iter_next(&y)))
            return false;
    return true;
}

static yyjson_mut_val *diff_object(struct differ *d, yyjson_val *original, yyjson_val *modified,
                                   yyjson_val *current, const struct schema_message *m, bool retain,
                                   int depth);

static yyjson_mut_val *prefixed_key(struct differ *d, const char *prefix, yyjson_val *key)
{
    size_t n = strlen(prefix);
    char *text = mem_alloc(n + yyjson_get_len(key));
    memcpy(text, prefix, n);
    memcpy(text + n, yyjson_get_str(key), yyjson_get_len(key));
    yyjson_mut_val *out = yyjson_mut_strncpy(d->doc, text, n + yyjson_get_len(key));
    mem_free(text);
    return out;
}

/* Items by their scalar key; merge_key "" for lists of scalars. */
static void index_items(struct map *index, yyjson_val *list, const char *merge_key)
{
    size_t i, max;
    yyjson_val *item;
    map_init(index);
    if (!yyjson_is_arr(list))
        return;
    yyjson_arr_foreach (list, i, max, item) {
        struct str key = val_scalar(*merge_key ? yyjson_obj_get(item, merge_key) : item);
        if (key.p && !map_has(index, key))
            map_put(index, key, item);
    }
}

/* {merge_key: value} or the value, for $setElementOrder and deletions. */
static yyjson_mut_val *item_name(struct differ *d, yyjson_val *item, const char *merge_key)
{
    if (!*merge_key)
        return yyjson_val_mut_copy(d->doc, item);
    yyjson_mut_val *out = yyjson_mut_obj(d->doc);
    yyjson_mut_obj_add(out, yyjson_mut_str(d->doc, merge_key),
                       yyjson_val_mut_copy(d->doc, yyjson_obj_get(item, merge_key)));
    return out;
}

/* Added, changed and deleted items; an empty list when there are none. */
static yyjson_mut_val *diff_items(struct differ *d, yyjson_val *original, yyjson_val *modified,
                                  yyjson_val *current, const struct merge_rule *rule, int depth)
{
    struct map had, wanted, have;
    size_t i, max;
    yyjson_val *item;
    yyjson_mut_val *out = yyjson_mut_arr(d->doc);
    index_items(&had, original, rule->merge_key);
    index_items(&wanted, modified, rule->merge_key);
    index_items(&have, current, rule->merge_key);
    yyjson_arr_foreach (modified, i, max, item) {
        struct str key = val_scalar(yyjson_obj_get(item, rule->merge_key));
        yyjson_val *there = map_get(&have, key);
        if (!there) {
            yyjson_mut_arr_append(out, yyjson_val_mut_copy(d->doc, item));
            continue;
        }
        yyjson_mut_val *change = diff_object(d, map_get(&had, key), item, there, rule->message,
                                             rule->retain_keys, depth + 1);
        if (!change)
            continue;
        yyjson_mut_obj_add(change, yyjson_mut_str(d->doc, rule->merge_key),
                           yyjson_val_mut_copy(d->doc, yyjson_obj_get(item, rule->merge_key)));
        yyjson_mut_arr_append(out, change);
    }
    struct map_iter it = {0};
    while (map_next(&had, &it)) {
        if (map_has(&wanted, it.key) || !map_has(&have, it.key))
            continue;
        yyjson_mut_val *gone = item_name(d, it.value, rule->merge_key);
        yyjson_mut_obj_add(gone, yyjson_mut_str(d->doc, "$patch"),
                           yyjson_mut_str(d->doc, "delete"));
        yyjson_mut_arr_append(out, gone);
    }
    map_free(&had);
    map_free(&wanted);
    map_free(&have);
    return out;
}

/* Values to add and, in *deleted, values to take out of a list of scalars. */
static yyjson_mut_val *diff_scalars(struct differ *d, yyjson_val *original, yyjson_val *modified,
                                    yyjson_val *current, yyjson_mut_val **deleted)
{
    struct map had, wanted, have;
    size_t i, max;
    yyjson_val *item;
    yyjson_mut_val *out = yyjson_mut_arr(d->doc);
    *deleted = yyjson_mut_arr(d->doc);
    index_items(&had, original, "");
    index_items(&wanted, modified, "");
    index_items(&have, current, "");
    yyjson_arr_foreach (modified, i, max, item) {
        if (!map_has(&have, val_scalar(item)))
            yyjson_mut_arr_append(out, yyjson_val_mut_copy(d->doc, item));
    }
    struct map_iter it = {0};
    while (map_next(&had, &it)) {
        if (!map_has(&wanted, it.key) && map_has(&have, it.key))
            yyjson_mut_arr_append(*deleted, yyjson_val_mut_copy(d->doc, it.value));
    }
    map_free(&had);
    map_free(&wanted);
    map_free(&have);
    return out;
}

/* Every item must have the merge key, else the list cannot merge. */
static bool mergeable(yyjson_val *list, const char *merge_key)
{
    size_t i, max;
    yyjson_val *item;
    if (!yyjson_is_arr(list))
        return list == NULL;
    yyjson_arr_foreach (list, i, max, item) {
        if (!val_scalar(*merge_key ? yyjson_obj_get(item, merge_key) : item).p)
            return false;
    }
    return true;
}

/* A list that merges: adds up to three members to the patch. */
static void diff_list(struct differ *d, yyjson_mut_val *patch, yyjson_val *key,
                      yyjson_val *original, yyjson_val *modified, yyjson_val *current,
                      const struct merge_rule *rule, int depth)
{
    yyjson_mut_val *deleted = NULL, *changes;
    if (*rule->merge_key)
        changes = diff_items(d, original, modified, current, rule, depth);
    else
        changes = diff_scalars(d, original, modified, current, &deleted);
    bool any_deleted = deleted && yyjson_mut_arr_size(deleted) > 0;
    if (yyjson_mut_arr_size(changes) == 0 && !any_deleted)
        return;
    size_t i, max;
    yyjson_val *item;
    yyjson_mut_val *order = yyjson_mut_arr(d->doc);
    yyjson_arr_foreach (modified, i, max, item) {
        yyjson_mut_arr_append(order, item_name(d, item, rule->merge_key));
    }
    yyjson_mut_obj_add(patch, prefixed_key(d, "$setElementOrder/", key), order);
    if (any_deleted)
        yyjson_mut_obj_add(patch, prefixed_key(d, "$deleteFromPrimitiveList/", key), deleted);
    if (yyjson_mut_arr_size(changes) > 0)
        yyjson_mut_obj_add(patch, yyjson_val_mut_copy(d->doc, key), changes);
}

static void diff_member(struct differ *d, yyjson_mut_val *patch, yyjson_val *key,
                        yyjson_val *original, yyjson_val *modified, yyjson_val *current,
                        const struct schema_message *m, int depth)
{
    struct merge_rule rule = merge_rule_of(m, val_str(key));
    if (yyjson_is_null(modified)) {
        if (current && !yyjson_is_null(current))
            yyjson_mut_obj_add(patch, yyjson_val_mut_copy(d->doc, key), yyjson_mut_null(d->doc));
        return;
    }
    if (yyjson_is_obj(modified) && yyjson_is_obj(current) && !rule.replace) {
        yyjson_mut_val *change =
            diff_object(d, original, modified, current, rule.map ? NULL : rule.message,
                        rule.retain_keys, depth + 1);
        if (change)
            yyjson_mut_obj_add(patch, yyjson_val_mut_copy(d->doc, key), change);
        return;
    }
    bool lists =
        d->strategic && rule.merge_list && yyjson_is_arr(modified) && yyjson_is_arr(current);
    if (lists && mergeable(modified, rule.merge_key) && mergeable(current, rule.merge_key) &&
        mergeable(original, rule.merge_key)) {
        diff_list(d, patch, key, original, modified, current, &rule, depth);
        return;
    }
    if (!current || !same(modified, current))
        yyjson_mut_obj_add(patch, yyjson_val_mut_copy(d->doc, key),
                           yyjson_val_mut_copy(d->doc, modified));
}

/* NULL when nothing is to be done. `retain`: state which keys stay (one-of structs). */
static yyjson_mut_val *diff_object(struct differ *d, yyjson_val *original, yyjson_val *modified,
                                   yyjson_val *current, const struct schema_message *m, bool retain,
                                   int depth)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_mut_val *patch = yyjson_mut_obj(d->doc);
    struct names had, wanted, have;
    if (depth > PATCH_DEPTH_MAX)
        return NULL;
    names_init(&had, original);
    names_init(&wanted, modified);
    names_init(&have, current);
    yyjson_obj_foreach (modified, i, max, key, value) {
        diff_member(d, patch, key, names_get(&had, key), value, names_get(&have, key), m, depth);
    }
    if (yyjson_is_obj(original)) {
        yyjson_obj_foreach (original, i, max, key, value) {
            yyjson_val *there = names_get(&have, key);
            if (!names_get(&wanted, key) && there && !yyjson_is_null(there))
                yyjson_mut_obj_add(patch, yyjson_val_mut_copy(d->doc, key),
                                   yyjson_mut_null(d->doc));
        }
    }
    names_free(&had);
    names_free(&wanted);
    names_free(&have);
    if (yyjson_mut_obj_size(patch) == 0)
        return NULL;
    if (d->strategic && retain) {
        yyjson_mut_val *keys = yyjson_mut_arr(d->doc);
        yyjson_obj_foreach (modified, i, max, key, value) {
            yyjson_mut_arr_append(keys, yyjson_val_mut_copy(d->doc, key));
        }
        yyjson_mut_obj_add(patch, yyjson_mut_str(d->doc, "$retainKeys"), keys);
    }
    return patch;
}

int patch_three_way(struct arena *a, const struct schema_message *m, yyjson_val *original,
                    yyjson_val *modified, yyjson_val *current, yyjson_mut_val **patch,
                    yyjson_mut_doc *doc, struct error *err)
{
    struct differ d = {doc, m != NULL};
    (void)a;
    if (!yyjson_is_obj(modified) || !yyjson_is_obj(current) ||
        (original && !yyjson_is_obj(original)))
        return error_set(err, ERR_INVALID, "apply: configurations must be objects");
    if (!depth_is_fine(modified, 0) || !depth_is_fine(current, 0) ||
        (original && !depth_is_fine(original, 0)))
        return error_set(err, ERR_LIMIT, "apply: configuration is nested too deep");
    *patch = diff_object(&d, original, modified, current, m, false, 0);
    if (!*patch)
        *patch = yyjson_mut_obj(doc);
    return 0;
}
