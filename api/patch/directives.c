/*
 * The directives of a strategic merge patch, checked before the patch is applied; and values in the
 * notation of messages that the published server's clients know.
 */
#include "api/patch/internal.h"
#include <stdlib.h>

#define RETAIN_KEYS "$retainKeys"
#define DELETE_PRIMITIVES "$deleteFromPrimitiveList"
#define SET_ORDER "$setElementOrder"

/* ---- Go's notation ---- */

struct pair {
    struct str key;
    yyjson_mut_val *value;
};

static int pair_compare(const void *a, const void *b)
{
    return str_cmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static void format_map(yyjson_mut_val *v, struct buf *out)
{
    size_t n = yyjson_mut_obj_size(v), i, max;
    yyjson_mut_val *key, *value;
    struct pair *pairs = mem_alloc((n + 1) * sizeof *pairs);
    yyjson_mut_obj_foreach (v, i, max, key, value)
        pairs[i] = (struct pair){mut_str(key), value};
    qsort(pairs, n, sizeof *pairs, pair_compare);
    buf_append_cstr(out, "map[");
    for (i = 0; i < n; i++) {
        buf_printf(out, "%s%.*s:", i ? " " : "", STR_ARG(pairs[i].key));
        go_format(pairs[i].value, out);
    }
    buf_append_char(out, ']');
    mem_free(pairs);
}

void go_format(yyjson_mut_val *v, struct buf *out)
{
    size_t i, max;
    yyjson_mut_val *item;
    if (yyjson_mut_is_obj(v)) {
        format_map(v, out);
    } else if (yyjson_mut_is_arr(v)) {
        buf_append_char(out, '[');
        yyjson_mut_arr_foreach (v, i, max, item) {
            if (i)
                buf_append_char(out, ' ');
            go_format(item, out);
        }
        buf_append_char(out, ']');
    } else if (yyjson_mut_is_null(v)) {
        buf_append_cstr(out, "<nil>");
    } else {
        buf_append_str(out, scalar_key(v));
    }
}

/* ---- directives ---- */

/* The members of the patch must all be retained: else the patch would drop what it sets. */
static int check_retain_keys(const struct members *patch, struct error *err)
{
    static const char wrong[] = "invalid patch format of retainKeys";
    struct member *m = members_find(patch, STR(RETAIN_KEYS));
    if (!m)
        return 0;
    if (!yyjson_mut_is_arr(m->value))
        return error_set(err, ERR_INVALID, wrong);
    struct map names;
    size_t i, max;
    yyjson_mut_val *name;
    int rc = 0;
    map_init(&names);
    yyjson_mut_arr_foreach (m->value, i, max, name)
        map_put(&names, scalar_key(name), name);
    for (i = 0; i < patch->len && rc == 0; i++) {
        struct str key = mut_str(patch->items[i].key);
        bool directive = key.n && key.p[0] == '$';
        if (!directive && !yyjson_mut_is_null(patch->items[i].value) && !map_has(&names, key))
            rc = error_set(err, ERR_INVALID, wrong);
    }
    map_free(&names);
    return rc;
}

static struct str key_of(yyjson_mut_val *item, const char *merge_key)
{
    if (!*merge_key)
        return scalar_key(item);
    return yyjson_mut_is_obj(item) ? scalar_key(yyjson_mut_obj_get(item, merge_key)) : STR_NONE;
}

static bool is_removed(yyjson_mut_val *item)
{
    return yyjson_mut_is_obj(item) && yyjson_mut_obj_get(item, "$patch");
}

/* The items of the patch, but deletions, stand in the order list in the same order. */
static int check_order(yyjson_mut_val *items, yyjson_mut_val *order, const char *merge_key,
                       struct error *err)
{
    yyjson_mut_arr_iter names;
    size_t i, max;
    yyjson_mut_val *item, *name;
    if (yyjson_mut_arr_size(items) == 0 || yyjson_mut_arr_size(order) == 0)
        return 0;
    yyjson_mut_arr_iter_init(order, &names);
    yyjson_mut_arr_foreach (items, i, max, item) {
        struct str key = key_of(item, merge_key);
        if (is_removed(item))
            continue;
        bool found = false;
        while (!found && (name = yyjson_mut_arr_iter_next(&names)))
            found = str_eq(key_of(name, merge_key), key);
        if (found)
            continue;
        struct buf list, wanted;
        buf_init(&list);
        buf_init(&wanted);
        go_format(items, &list);
        go_format(order, &wanted);
        int rc = error_set(err, ERR_INTERNAL,
                           "The order in patch list:\n%.*s\n doesn't match %s list:\n%.*s\n",
                           (int)MIN(list.len, (size_t)SHOWN_MAX), list.data, SET_ORDER,
                           (int)MIN(wanted.len, (size_t)SHOWN_MAX), wanted.data);
        buf_free(&list);
        buf_free(&wanted);
        return rc;
    }
    return 0;
}

/* The name after a directive's slash; NULL p: not this directive. */
static struct str named_list(struct str key, const char *directive)
{
    size_t n = strlen(directive);
    if (!str_has_prefix(key, str_from(directive)))
        return STR_NONE;
    return key.n > n && key.p[n] == '/' ? str_slice(key, n + 1, key.n) : str_make("", 0);
}

int directives_check(const struct members *patch, const struct schema_message *m, struct error *err)
{
    int rc = check_retain_keys(patch, err);
    for (size_t i = 0; i < patch->len && rc == 0; i++) {
        struct str key = mut_str(patch->items[i].key), list;
        yyjson_mut_val *value = patch->items[i].value;
        if (key.n == 0 || key.p[0] != '$')
            continue;
        if ((list = named_list(key, SET_ORDER)).p) {
            struct member *items = members_find(patch, list);
            bool lists = yyjson_mut_is_arr(value) && (!items || yyjson_mut_is_arr(items->value));
            if (!list.n || !lists)
                rc = error_set(err, ERR_INVALID, "invalid patch format of setElementOrder list");
            else if (items)
                rc = check_order(items->value, value, merge_rule_of(m, list).merge_key, err);
        } else if ((list = named_list(key, DELETE_PRIMITIVES)).p) {
            if (!list.n || !yyjson_mut_is_arr(value))
                rc = error_set(err, ERR_INVALID, "invalid patch format of primitive list");
        }
    }
    return rc;
}
