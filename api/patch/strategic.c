/*
 * Strategic merge patch: a merge patch whose lists merge item by item where the schema says so,
 * with directives in the patch ($patch, $retainKeys, $deleteFromPrimitiveList/x,
 * $setElementOrder/x).
 *
 * Works functionally: members and items are taken out of the old containers and put into new ones.
 */
#include "api/patch/internal.h"
#include "base/vec.h"
#include <stdlib.h>

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define DELETE_PRIMITIVES "$deleteFromPrimitiveList/"
#define SET_ORDER "$setElementOrder/"

struct strategic {
    yyjson_mut_doc *doc;
    struct error *err;
};

static yyjson_mut_val *merge_object(struct strategic *s, yyjson_mut_val *old, yyjson_mut_val *patch,
                                    const struct schema_message *m, bool map, int depth);

/* --- taking a patch value where there was none ---------------------------------------------------
 */

static bool is_directive(struct str key)
{
    return str_eqz(key, DIRECTIVE) || str_eqz(key, RETAIN_KEYS) ||
           str_has_prefix(key, STR(DELETE_PRIMITIVES)) || str_has_prefix(key, STR(SET_ORDER));
}

static struct str directive_of(yyjson_mut_val *object)
{
    yyjson_mut_val *v = yyjson_mut_is_obj(object) ? yyjson_mut_obj_get(object, DIRECTIVE) : NULL;
    return yyjson_mut_is_str(v) ? mut_str(v) : STR_NONE;
}

/* Without nulls and directives, which mean nothing where there is nothing to change. */
static yyjson_mut_val *cleaned(struct strategic *s, yyjson_mut_val *v, int depth)
{
    if (depth > PATCH_DEPTH_MAX)
        return v;
    if (yyjson_mut_is_arr(v)) {
        size_t n;
        yyjson_mut_val **items = items_take(v, &n), *out = yyjson_mut_arr(s->doc);
        for (size_t i = 0; i < n; i++) {
            if (!str_eqz(directive_of(items[i]), "delete"))
                yyjson_mut_arr_append(out, cleaned(s, items[i], depth + 1));
        }
        mem_free(items);
        return out;
    }
    if (!yyjson_mut_is_obj(v))
        return v;
    struct members members;
    members_take(&members, v);
    yyjson_mut_val *out = yyjson_mut_obj(s->doc);
    for (size_t i = 0; i < members.len; i++) {
        if (!is_directive(mut_str(members.items[i].key)) &&
            !yyjson_mut_is_null(members.items[i].value))
            yyjson_mut_obj_add(out, members.items[i].key,
                               cleaned(s, members.items[i].value, depth + 1));
    }
    members_free(&members);
    return out;
}

/* --- lists
 * ---------------------------------------------------------------------------------------- */

typedef VEC(yyjson_mut_val *) value_vec;

static struct str item_key(yyjson_mut_val *item, const char *merge_key)
{
    if (!*merge_key)
        return scalar_key(item);
    return yyjson_mut_is_obj(item) ? scalar_key(yyjson_mut_obj_get(item, merge_key)) : STR_NONE;
}

/* Keys of items, which stay when the items have been put elsewhere. Free with mem_free. */
static struct str *keys_of(yyjson_mut_val **items, size_t n, const char *merge_key)
{
    struct str *keys = mem_alloc((n + 1) * sizeof *keys);
    for (size_t i = 0; i < n; i++)
        keys[i] = item_key(items[i], merge_key);
    return keys;
}

/* The first place of each key, counted from 1. */
static void places_init(struct map *places, const struct str *keys, size_t n)
{
    map_init(places);
    for (size_t i = 0; i < n; i++)
        if (keys[i].p && !map_has(places, keys[i]))
            map_put(places, keys[i], (void *)(i + 1));
}

/* An item of the merged list, where its key stands in the patch and in the old list (0: not there),
 * and where it stands now. */
struct place {
    yyjson_mut_val *item;
    size_t in_order, in_old, now;
};

static int in_order_first(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->in_order != y->in_order)
        return x->in_order < y->in_order ? -1 : 1;
    return x->now < y->now ? -1 : 1;
}

static int in_old_first(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->in_old != y->in_old)
        return x->in_old < y->in_old ? -1 : 1;
    return x->now < y->now ? -1 : 1;
}

/*
 * Order a merged list: items that the patch names (in $setElementOrder, or itself) in its order,
 * the others, which only the server has, in theirs. A server's item goes before the next item of
 * the patch when the old list had it so; what is new to the server comes first. Several items of
 * one key come together.
 */
static void order_items(value_vec *merged, const struct str *order, size_t order_len,
                        const struct str *old, size_t old_len, const char *merge_key)
{
    struct map wanted, server;
    size_t n = merged->len, own = 0, i = 0, j = 0;
    struct place *named = mem_alloc((n + 1) * sizeof *named);
    struct place *others = mem_alloc((n + 1) * sizeof *others);
    places_init(&wanted, order, order_len);
    places_init(&server, old, old_len);
    for (size_t k = 0; k < n; k++) {
        struct str key = item_key(merged->items[k], merge_key);
        struct place p = {merged->items[k], (size_t)map_get(&wanted, key),
                          (size_t)map_get(&server, key), k};
        if (p.in_order)
            named[own++] = p;
        else
            others[k - own] = p;
    }
    if (own)
        qsort(named, own, sizeof *named, in_order_first);
    if (own < n)
        qsort(others, n - own, sizeof *others, in_old_first);
    for (size_t k = 0; k < n; k++) {
        bool both = i < n - own && j < own;
        bool before =
            both && others[i].in_old && named[j].in_old && others[i].in_old < named[j].in_old;
        merged->items[k] = before || j == own ? others[i++].item : named[j++].item;
    }
    map_free(&wanted);
    map_free(&server);
    mem_free(named);
    mem_free(others);
}

static yyjson_mut_val *list_of(struct strategic *s, value_vec *items)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc);
    for (size_t i = 0; i < items->len; i++)
        yyjson_mut_arr_append(out, items->items[i]);
    vec_free(items);
    return out;
}

/* As $setElementOrder says (NULL: there is none), else as the items of the patch stand. */
static void order_by_patch(value_vec *merged, yyjson_mut_val *order, yyjson_mut_val **patch,
                           size_t patch_len, const struct str *old, size_t old_len,
                           const char *merge_key)
{
    size_t n = patch_len;
    yyjson_mut_val **names = order ? items_take(order, &n) : NULL;
    struct str *keys = keys_of(names ? names : patch, n, merge_key);
    order_items(merged, keys, n, old, old_len, merge_key);
    mem_free(keys);
    mem_free(names);
}

/* Lists of scalars: a set. `delete` NULL or the values to take out. */
static yyjson_mut_val *merge_primitives(struct strategic *s, yyjson_mut_val *old,
                                        yyjson_mut_val *patch, yyjson_mut_val *delete,
                                        yyjson_mut_val *order)
{
    struct map seen, gone;
    size_t old_len, patch_len, delete_len;
    yyjson_mut_val **o = items_take(old, &old_len), **p = items_take(patch, &patch_len);
    yyjson_mut_val **d = items_take(delete, &delete_len);
    struct str *old_keys = keys_of(o, old_len, "");
    value_vec merged = {0};
    map_init(&seen);
    map_init(&gone);
    for (size_t i = 0; i < delete_len; i++)
        map_put(&gone, scalar_key(d[i]), d[i]);
    for (size_t i = 0; i < old_len + patch_len; i++) {
        yyjson_mut_val *item = i < old_len ? o[i] : p[i - old_len];
        struct str key = scalar_key(item);
        if ((i < old_len && map_has(&gone, key)) || (i >= old_len && map_has(&seen, key)))
            continue;
        map_put(&seen, key, item);
        vec_push(&merged, item);
    }
    order_by_patch(&merged, order, p, patch_len, old_keys, old_len, "");
    mem_free(old_keys);
    map_free(&seen);
    map_free(&gone);
    mem_free(o);
    mem_free(p);
    mem_free(d);
    return list_of(s, &merged);
}

static int no_merge_key(struct strategic *s, yyjson_mut_val *item, const char *merge_key)
{
    struct buf shown;
    buf_init(&shown);
    go_format(item, &shown);
    error_set(s->err, ERR_INTERNAL, "map: %.*s does not contain declared merge key: %s",
              (int)MIN(shown.len, (size_t)SHOWN_MAX), shown.data, merge_key);
    buf_free(&shown);
    return ERR_INTERNAL;
}

static int unknown_directive(struct strategic *s, struct str directive, yyjson_mut_val *patch)
{
    struct buf shown;
    buf_init(&shown);
    go_format(patch, &shown);
    error_set(s->err, ERR_INTERNAL, "unknown patch type: %.*s in map: %.*s",
              (int)MIN(directive.n, 50), directive.p, (int)MIN(shown.len, (size_t)SHOWN_MAX),
              shown.data);
    buf_free(&shown);
    return ERR_INTERNAL;
}

/*
 * Items of the patch that only say what to do are taken out of it: `replace` for the whole list,
 * or a deletion, whose key goes to `gone`. Returns whether to replace, or an error.
 */
static int take_directives(struct strategic *s, yyjson_mut_val **patch, size_t *n,
                           const char *merge_key, struct map *gone)
{
    size_t kept = 0;
    bool replace = false;
    for (size_t i = 0; i < *n; i++) {
        struct str directive = directive_of(patch[i]), key = item_key(patch[i], merge_key);
        if (!directive.p) {
            patch[kept++] = patch[i];
        } else if (str_eqz(directive, "replace")) {
            replace = true;
        } else if (str_eqz(directive, "delete")) {
            if (!key.p)
                return no_merge_key(s, patch[i], merge_key);
            map_put(gone, key, patch[i]);
        } else if (str_eqz(directive, "merge")) {
            return error_set(s->err, ERR_INTERNAL,
                             "merging lists cannot yet be specified in the patch");
        } else {
            return unknown_directive(s, directive, patch[i]);
        }
    }
    *n = kept;
    return replace;
}

/* Each item of the patch into the first of its key, or at the end. */
static int merge_items(struct strategic *s, value_vec *merged, yyjson_mut_val **patch, size_t n,
                       const struct merge_rule *rule, int depth)
{
    struct map index;
    struct str *keys = keys_of(merged->items, merged->len, rule->merge_key);
    int rc = 0;
    places_init(&index, keys, merged->len);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct str key = item_key(patch[i], rule->merge_key);
        size_t at = key.p ? (size_t)map_get(&index, key) : 0;
        yyjson_mut_val *v = NULL;
        if (!key.p) {
            rc = no_merge_key(s, patch[i], rule->merge_key);
        } else if (at) {
            v = merge_object(s, merged->items[at - 1], patch[i], rule->message, false, depth + 1);
            rc = v ? 0 : s->err->code;
            merged->items[at - 1] = v;
        } else {
            v = cleaned(s, patch[i], depth + 1);
            vec_push(merged, v);
            map_put(&index, item_key(v, rule->merge_key), (void *)merged->len);
        }
    }
    mem_free(keys);
    map_free(&index);
    return rc;
}

/* NULL on error (s->err is set). */
static yyjson_mut_val *merge_list(struct strategic *s, yyjson_mut_val *old, yyjson_mut_val *patch,
                                  yyjson_mut_val *order, const struct merge_rule *rule, int depth)
{
    size_t old_len, patch_len;
    yyjson_mut_val **o = items_take(old, &old_len), **p = items_take(patch, &patch_len);
    yyjson_mut_val *out = NULL;
    struct map gone;
    value_vec merged = {0};
    map_init(&gone);
    int replace = take_directives(s, p, &patch_len, rule->merge_key, &gone);
    struct str *old_keys = keys_of(o, old_len, rule->merge_key);
    struct str *patch_keys = keys_of(p, patch_len, rule->merge_key);
    for (size_t i = 0; i < old_len && replace == 0; i++)
        if (!old_keys[i].p || !map_has(&gone, old_keys[i]))
            vec_push(&merged, o[i]);
    for (size_t i = 0; i < patch_len && replace > 0; i++)
        vec_push(&merged, cleaned(s, p[i], depth));
    if (replace == 0 && merge_items(s, &merged, p, patch_len, rule, depth) < 0)
        replace = ERR_INVALID;
    if (replace == 0 && order)
        order_by_patch(&merged, order, NULL, 0, old_keys, old_len, rule->merge_key);
    else if (replace == 0)
        order_items(&merged, patch_keys, patch_len, old_keys, old_len, rule->merge_key);
    if (replace >= 0)
        out = list_of(s, &merged);
    map_free(&gone);
    mem_free(old_keys);
    mem_free(patch_keys);
    mem_free(o);
    mem_free(p);
    vec_free(&merged);
    return out;
}

/* --- objects
 * --------------------------------------------------------------------------------------- */

/* `prefix` + name, as in $setElementOrder/containers. */
static yyjson_mut_val *list_directive(const struct members *patch, const char *prefix,
                                      struct str name)
{
    struct buf key;
    buf_init(&key);
    buf_append_cstr(&key, prefix);
    buf_append_str(&key, name);
    struct member *m = members_find(patch, buf_str(&key));
    buf_free(&key);
    return m ? m->value : NULL;
}

/* The merged value of a member that both have. NULL on error. */
static yyjson_mut_val *merge_member(struct strategic *s, yyjson_mut_val *old, yyjson_mut_val *patch,
                                    yyjson_mut_val *order, yyjson_mut_val *delete,
                                    const struct schema_message *m, struct str name, int depth)
{
    struct merge_rule rule = merge_rule_of(m, name);
    if (yyjson_mut_is_obj(old) && yyjson_mut_is_obj(patch) && !rule.replace)
        return merge_object(s, old, patch, rule.message, rule.map, depth + 1);
    bool both_lists = yyjson_mut_is_arr(old) && yyjson_mut_is_arr(patch);
    if (!both_lists || !rule.merge_list)
        return cleaned(s, patch, depth + 1);
    if (!*rule.merge_key)
        return merge_primitives(s, old, patch, delete, order);
    return merge_list(s, old, patch, order, &rule, depth + 1);
}

/* A member of the old object that the patch has only directives for. */
static yyjson_mut_val *rearrange(struct strategic *s, yyjson_mut_val *old, yyjson_mut_val *order,
                                 yyjson_mut_val *delete, const struct schema_message *m,
                                 struct str name, int depth)
{
    struct merge_rule rule = merge_rule_of(m, name);
    if (!yyjson_mut_is_arr(old) || (!order && !delete) || !rule.merge_list)
        return old;
    if (!*rule.merge_key)
        return merge_primitives(s, old, NULL, delete, order);
    return merge_list(s, old, NULL, order, &rule, depth + 1);
}

/* Keys of $retainKeys; false when there is no such directive. */
static bool retain_set(const struct members *patch, struct map *retain)
{
    struct member *m = members_find(patch, STR(RETAIN_KEYS));
    if (!m || !yyjson_mut_is_arr(m->value))
        return false;
    size_t n;
    yyjson_mut_val **names = items_take(m->value, &n);
    for (size_t i = 0; i < n; i++)
        map_put(retain, scalar_key(names[i]), names[i]);
    mem_free(names);
    return true;
}

static yyjson_mut_val *merge_members(struct strategic *s, struct members *old,
                                     struct members *patch, const struct schema_message *m,
                                     bool map, int depth)
{
    struct map retain;
    map_init(&retain);
    bool retaining = retain_set(patch, &retain);
    yyjson_mut_val *out = yyjson_mut_obj(s->doc);
    for (size_t i = 0; i < old->len && out; i++) {
        struct str name = mut_str(old->items[i].key);
        struct member *p = members_find(patch, name);
        yyjson_mut_val *order = list_directive(patch, SET_ORDER, name), *value;
        yyjson_mut_val *delete = list_directive(patch, DELETE_PRIMITIVES, name);
        if (p)
            p->used = true;
        bool drop = (retaining && !map_has(&retain, name)) || (p && yyjson_mut_is_null(p->value)) ||
                    (p && str_eqz(directive_of(p->value), "delete"));
        if (drop)
            continue;
        if (!p)
            value = rearrange(s, old->items[i].value, order, delete, map ? NULL : m, name, depth);
        else if (map) /* every value of a map is of message m, or plain */
            value = yyjson_mut_is_obj(old->items[i].value) && yyjson_mut_is_obj(p->value)
                        ? merge_object(s, old->items[i].value, p->value, m, false, depth + 1)
                        : cleaned(s, p->value, depth + 1);
        else
            value = merge_member(s, old->items[i].value, p->value, order, delete, m, name, depth);
        if (value)
            yyjson_mut_obj_add(out, old->items[i].key, value);
        else
            out = NULL;
    }
    for (size_t i = 0; i < patch->len && out; i++) {
        struct member *p = &patch->items[i];
        bool skip = p->used || is_directive(mut_str(p->key)) || yyjson_mut_is_null(p->value) ||
                    str_eqz(directive_of(p->value), "delete");
        if (!skip)
            yyjson_mut_obj_add(out, p->key, cleaned(s, p->value, depth + 1));
    }
    map_free(&retain);
    return out;
}

/* NULL on error. `map`: the members are keys of a map whose values are of message m. */
static yyjson_mut_val *merge_object(struct strategic *s, yyjson_mut_val *old, yyjson_mut_val *patch,
                                    const struct schema_message *m, bool map, int depth)
{
    if (depth > PATCH_DEPTH_MAX) {
        error_set(s->err, ERR_LIMIT, "strategic merge patch: nested too deep");
        return NULL;
    }
    struct str directive = directive_of(patch);
    if (str_eqz(directive, "replace"))
        return cleaned(s, patch, depth);
    if (str_eqz(directive, "delete"))
        return yyjson_mut_obj(s->doc);
    if (directive.p && !str_eqz(directive, "merge")) {
        unknown_directive(s, directive, patch);
        return NULL;
    }
    struct members o, p;
    members_take(&o, old);
    members_take(&p, patch);
    yyjson_mut_val *out = directives_check(&p, map ? NULL : m, s->err) < 0
                              ? NULL
                              : merge_members(s, &o, &p, m, map, depth);
    members_free(&o);
    members_free(&p);
    return out;
}

int strategic_patch_apply(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                          const struct schema_message *m, struct error *err)
{
    struct strategic s = {doc, err};
    if (!yyjson_is_obj(patch))
        return error_set(err, ERR_INVALID,
                         "json: cannot unmarshal array into Go value of type "
                         "map[string]interface {}");
    if (!depth_is_fine(patch, 0) || !mut_depth_is_fine(*root, 0))
        return error_set(err, ERR_LIMIT, "strategic merge patch: nested too deep");
    yyjson_mut_val *merged = merge_object(&s, *root, yyjson_val_mut_copy(doc, patch), m, false, 0);
    if (!merged)
        return err->code;
    *root = merged;
    return 0;
}
