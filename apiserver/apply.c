/*
 * Server-side apply: see apply.h.
 *
 * The schema says how each value merges. A leaf is one value (scalars, atomic lists, maps and structs);
 * structs and maps merge by member, lists of type map by their keys, lists of type set by value.
 */
#include "apiserver/apply.h"
#include "api/meta.h"
#include "base/arena_str.h"
#include <stdlib.h>

#define DEPTH_MAX CODEC_DEPTH_MAX
#define KEYS_MAX 4

enum node_kind { NODE_LEAF, NODE_STRUCT, NODE_MAP, NODE_LIST_MAP, NODE_LIST_SET };

struct node {
    enum node_kind kind;
    const struct schema_message *m; /* of the struct, or of the list's items */
    const struct schema_field *f;   /* of the map or list */
};

/* ---- schema ---- */

static struct node struct_node(const struct schema_message *m, unsigned flags)
{
    if (m->special != SCHEMA_PLAIN || (flags & SCHEMA_ATOMIC) || (m->flags & SCHEMA_MESSAGE_ATOMIC))
        return (struct node){.kind = NODE_LEAF};
    return (struct node){.kind = NODE_STRUCT, .m = m};
}

static struct node field_node(const struct schema_field *f)
{
    if (f->label == SCHEMA_MAP)
        return (f->flags & SCHEMA_ATOMIC) ? (struct node){.kind = NODE_LEAF}
                                          : (struct node){.kind = NODE_MAP, .f = f};
    if (f->label == SCHEMA_REPEATED) {
        if (f->list_type == SCHEMA_LIST_MAP && f->type == SCHEMA_MESSAGE)
            return (struct node){.kind = NODE_LIST_MAP, .f = f, .m = schema_field_message(f)};
        if (f->list_type == SCHEMA_LIST_SET)
            return (struct node){.kind = NODE_LIST_SET, .f = f};
        return (struct node){.kind = NODE_LEAF};
    }
    if (f->type == SCHEMA_MESSAGE)
        return struct_node(schema_field_message(f), f->flags);
    return (struct node){.kind = NODE_LEAF};
}

/* The node of a member; false when the schema has none. */
static bool child_node(const struct node *n, struct str key, struct node *out)
{
    if (n->kind == NODE_MAP) {
        *out = field_node(schema_map_value(n->f));
        return true;
    }
    const struct schema_field *via, *f = schema_field_by_json(n->m, key, &via);
    if (!f)
        return false;
    *out = field_node(f);
    return true;
}

/* ---- trees ---- */

static struct str key_of(yyjson_mut_val *key)
{
    return str_make(yyjson_mut_get_str(key), yyjson_mut_get_len(key));
}

static yyjson_mut_val *member(yyjson_mut_val *object, struct str key)
{
    return yyjson_mut_is_obj(object) ? yyjson_mut_obj_getn(object, key.p, key.n) : NULL;
}

static void set_member(struct apply *ap, yyjson_mut_val *object, struct str key,
                       yyjson_mut_val *value)
{
    yyjson_mut_obj_put(object, yyjson_mut_strncpy(ap->doc, key.p, key.n), value);
}

static struct str prefixed(struct apply *ap, const char *prefix, struct str s)
{
    return str_from(arena_printf(ap->a, "%s%.*s", prefix, STR_ARG(s)));
}

static struct str text_of(struct apply *ap, yyjson_mut_val *v)
{
    size_t n;
    char *text = yyjson_mut_val_write(v, 0, &n);
    struct str s = text ? arena_copy(ap->a, str_make(text, n)) : STR_NONE;
    free(text);
    return s;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* `k:{"containerPort":80,"protocol":"TCP"}`: what identifies an item of a map list. Absent keys count
 * with their defaults. */
static struct str item_key(struct apply *ap, yyjson_mut_val *item, const struct schema_field *f)
{
    struct str names[KEYS_MAX], rest = str_from(schema_string(f->list_keys)), part;
    size_t n = 0;
    while (n < KEYS_MAX && rest.n && str_split(&rest, ',', &part))
        names[n++] = part;
    qsort(names, n, sizeof names[0], by_name);
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, "k:{");
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct schema_field *via,
            *kf = schema_field_by_json(schema_field_message(f), names[i], &via);
        yyjson_mut_val *v = member(item, names[i]);
        struct str text = v && !yyjson_mut_is_null(v) ? text_of(ap, v)
                          : kf                        ? str_from(schema_string(kf->default_value))
                                                      : STR_NONE;
        if (!text.n)
            continue;
        buf_append_cstr(&b, any ? "," : "");
        buf_append_json_string(&b, names[i]);
        buf_append_char(&b, ':');
        buf_append_str(&b, text);
        any = true;
    }
    buf_append_char(&b, '}');
    struct str s = arena_copy(ap->a, buf_str(&b));
    buf_free(&b);
    return s;
}

static yyjson_mut_val *find_item(struct apply *ap, yyjson_mut_val *list, struct str key,
                                 const struct schema_field *f)
{
    size_t i, n;
    yyjson_mut_val *item;
    if (yyjson_mut_is_arr(list))
        yyjson_mut_arr_foreach (list, i, n, item)
            if (str_eq(item_key(ap, item, f), key))
                return item;
    return NULL;
}

static yyjson_mut_val *find_value(struct apply *ap, yyjson_mut_val *list, struct str text)
{
    size_t i, n;
    yyjson_mut_val *item;
    if (yyjson_mut_is_arr(list))
        yyjson_mut_arr_foreach (list, i, n, item)
            if (str_eq(text_of(ap, item), text))
                return item;
    return NULL;
}

/* ---- the set of fields in a configuration ---- */

static yyjson_mut_val *fields(struct apply *ap, yyjson_mut_val *value, const struct node *n,
                              int depth);

static void member_fields(struct apply *ap, yyjson_mut_val *out, yyjson_mut_val *value,
                          const struct node *n, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *v;
    yyjson_mut_obj_foreach (value, i, max, key, v) {
        struct node child;
        if (!yyjson_mut_is_null(v) && child_node(n, key_of(key), &child))
            set_member(ap, out, prefixed(ap, "f:", key_of(key)), fields(ap, v, &child, depth + 1));
    }
}

static void item_fields(struct apply *ap, yyjson_mut_val *out, yyjson_mut_val *value,
                        const struct node *n, int depth)
{
    size_t i, max;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach (value, i, max, item) {
        if (n->kind == NODE_LIST_SET) {
            set_member(ap, out, prefixed(ap, "v:", text_of(ap, item)), yyjson_mut_obj(ap->doc));
            continue;
        }
        yyjson_mut_val *sub = yyjson_mut_obj(ap->doc);
        set_member(ap, sub, STR("."), yyjson_mut_obj(ap->doc));
        if (yyjson_mut_is_obj(item))
            member_fields(ap, sub, item, &(struct node){.kind = NODE_STRUCT, .m = n->m}, depth + 1);
        set_member(ap, out, item_key(ap, item, n->f), sub);
    }
}

static yyjson_mut_val *fields(struct apply *ap, yyjson_mut_val *value, const struct node *n,
                              int depth)
{
    yyjson_mut_val *out = yyjson_mut_obj(ap->doc);
    if (depth > DEPTH_MAX)
        return out;
    if ((n->kind == NODE_STRUCT || n->kind == NODE_MAP) && yyjson_mut_is_obj(value))
        member_fields(ap, out, value, n, depth);
    else if ((n->kind == NODE_LIST_MAP || n->kind == NODE_LIST_SET) && yyjson_mut_is_arr(value))
        item_fields(ap, out, value, n, depth);
    return out;
}

yyjson_mut_val *apply_fields(struct apply *ap, yyjson_mut_val *config)
{
    static const char *const identity[] = {
        "f:name",          "f:namespace",  "f:uid",     "f:resourceVersion", "f:creationTimestamp",
        "f:managedFields", "f:generation", "f:selfLink"};
    yyjson_mut_val *set = fields(ap, config, &(struct node){.kind = NODE_STRUCT, .m = ap->m}, 0);
    yyjson_mut_val *meta = member(set, STR("f:metadata"));
    for (size_t i = 0; meta && i < sizeof identity / sizeof identity[0]; i++)
        yyjson_mut_obj_remove_key(meta, identity[i]);
    if (meta && yyjson_mut_obj_size(meta) == 0)
        yyjson_mut_obj_remove_key(set, "f:metadata");
    yyjson_mut_obj_remove_key(set, "f:status");
    return set;
}

/* ---- merging ---- */

static void merge_members(struct apply *ap, yyjson_mut_val *live, yyjson_mut_val *config,
                          const struct node *n, int depth);

static void merge_items(struct apply *ap, yyjson_mut_val *live, yyjson_mut_val *config,
                        const struct node *n, int depth)
{
    size_t i, max;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach (config, i, max, item) {
        yyjson_mut_val *old = n->kind == NODE_LIST_SET
                                  ? find_value(ap, live, text_of(ap, item))
                                  : find_item(ap, live, item_key(ap, item, n->f), n->f);
        if (!old)
            yyjson_mut_arr_append(live, yyjson_mut_val_mut_copy(ap->doc, item));
        else if (n->kind == NODE_LIST_MAP && yyjson_mut_is_obj(old) && yyjson_mut_is_obj(item))
            merge_members(ap, old, item, &(struct node){.kind = NODE_STRUCT, .m = n->m}, depth + 1);
    }
}

static void merge_members(struct apply *ap, yyjson_mut_val *live, yyjson_mut_val *config,
                          const struct node *n, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *v;
    if (depth > DEPTH_MAX)
        return;
    yyjson_mut_obj_foreach (config, i, max, key, v) {
        struct node child;
        yyjson_mut_val *old = member(live, key_of(key));
        if (yyjson_mut_is_null(v) || !child_node(n, key_of(key), &child))
            continue;
        if ((child.kind == NODE_STRUCT || child.kind == NODE_MAP) && yyjson_mut_is_obj(old) &&
            yyjson_mut_is_obj(v))
            merge_members(ap, old, v, &child, depth + 1);
        else if ((child.kind == NODE_LIST_MAP || child.kind == NODE_LIST_SET) &&
                 yyjson_mut_is_arr(old) && yyjson_mut_is_arr(v))
            merge_items(ap, old, v, &child, depth + 1);
        else
            set_member(ap, live, key_of(key), yyjson_mut_val_mut_copy(ap->doc, v));
    }
}

/* ---- removing what is no longer applied ---- */

static void remove_item(yyjson_mut_val *list, yyjson_mut_val *item)
{
    size_t i, n;
    yyjson_mut_val *v;
    yyjson_mut_arr_foreach (list, i, n, v)
        if (v == item) {
            yyjson_mut_arr_remove(list, i);
            return;
        }
}

static void prune(struct apply *ap, yyjson_mut_val *live, const struct node *n, yyjson_mut_val *old,
                  yyjson_mut_val *now, yyjson_mut_val *others, int depth);

/* One entry "f:x" of the old set. */
static void prune_member(struct apply *ap, yyjson_mut_val *live, const struct node *n,
                         struct str name, yyjson_mut_val *old, yyjson_mut_val *now,
                         yyjson_mut_val *others, int depth)
{
    struct node child;
    yyjson_mut_val *value = member(live, name);
    if (!value || !child_node(n, name, &child))
        return;
    if (yyjson_mut_obj_size(old) > 0)
        prune(ap, value, &child, old, now, others, depth + 1);
    bool empty =
        (yyjson_mut_is_obj(value) || yyjson_mut_is_arr(value)) && yyjson_mut_get_len(value) == 0;
    if (!now && !others && (yyjson_mut_obj_size(old) == 0 || empty))
        yyjson_mut_obj_remove_keyn(live, name.p, name.n);
}

static void prune_item(struct apply *ap, yyjson_mut_val *live, const struct node *n, struct str key,
                       yyjson_mut_val *old, yyjson_mut_val *now, yyjson_mut_val *others, int depth)
{
    bool set = n->kind == NODE_LIST_SET;
    yyjson_mut_val *item =
        set ? find_value(ap, live, str_slice(key, 2, key.n)) : find_item(ap, live, key, n->f);
    if (!item)
        return;
    if (!now && !others)
        remove_item(live, item); /* it was ours alone: with what was defaulted in it */
    else if (!set)
        prune(ap, item, &(struct node){.kind = NODE_STRUCT, .m = n->m}, old, now, others,
              depth + 1);
}

static void prune(struct apply *ap, yyjson_mut_val *live, const struct node *n, yyjson_mut_val *old,
                  yyjson_mut_val *now, yyjson_mut_val *others, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *sub;
    if (depth > DEPTH_MAX)
        return;
    yyjson_mut_obj_foreach (old, i, max, key, sub) {
        struct str k = key_of(key);
        yyjson_mut_val *now_sub = member(now, k), *others_sub = member(others, k);
        if (str_has_prefix(k, STR("f:")) && (n->kind == NODE_STRUCT || n->kind == NODE_MAP))
            prune_member(ap, live, n, str_slice(k, 2, k.n), sub, now_sub, others_sub, depth);
        else if (!str_eqz(k, ".") && (n->kind == NODE_LIST_MAP || n->kind == NODE_LIST_SET))
            prune_item(ap, live, n, k, sub, now_sub, others_sub, depth);
    }
}

/* ---- conflicts ---- */

static void conflict_add(struct apply *ap, const char *manager, const char *path)
{
    if (ap->conflicts_len < APPLY_CONFLICTS_MAX)
        ap->conflicts[ap->conflicts_len++] = (struct apply_conflict){manager, path};
}

/* Compare leaves in both sets; with force the other manager loses them. */
static void find_conflicts(struct apply *ap, const char *manager, const struct node *n,
                           yyjson_mut_val *live, yyjson_mut_val *config, yyjson_mut_val *theirs,
                           yyjson_mut_val *ours, const char *path, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *sub;
    if (depth > DEPTH_MAX)
        return;
    yyjson_mut_obj_foreach (ours, i, max, key, sub) {
        struct str k = key_of(key), name = str_slice(k, 2, k.n);
        yyjson_mut_val *their = member(theirs, k), *a, *b;
        struct node child;
        if (!their || str_eqz(k, ".") || str_has_prefix(k, STR("v:")))
            continue;
        if (str_has_prefix(k, STR("k:"))) {
            a = find_item(ap, live, k, n->f);
            b = find_item(ap, config, k, n->f);
            child = (struct node){.kind = NODE_STRUCT, .m = n->m};
        } else {
            if (!child_node(n, name, &child))
                continue;
            a = member(live, name);
            b = member(config, name);
        }
        const char *here = arena_printf(
            ap->a, str_has_prefix(k, STR("k:")) ? "%s[%.*s]" : "%s.%.*s", path, STR_ARG(name));
        if (yyjson_mut_obj_size(sub) > 0) {
            find_conflicts(ap, manager, &child, a, b, their, sub, here, depth + 1);
        } else if (yyjson_mut_obj_size(their) == 0 && a && b &&
                   !str_eq(text_of(ap, a), text_of(ap, b))) {
            conflict_add(ap, manager, here);
            if (ap->force)
                yyjson_mut_obj_remove_keyn(theirs, k.p, k.n);
        }
    }
}

/* ---- managers ---- */

static yyjson_mut_val *read_set(struct apply *ap, const Meta__V1__ManagedFieldsEntry *e)
{
    yyjson_val *v;
    if (!e->fields_v1 || !e->fields_v1->has_raw ||
        json_read(ap->a, str_make(e->fields_v1->raw.data, e->fields_v1->raw.len), &v, NULL) < 0 ||
        !yyjson_is_obj(v))
        return yyjson_mut_obj(ap->doc);
    return yyjson_val_mut_copy(ap->doc, v);
}

static void write_set(struct apply *ap, Meta__V1__ManagedFieldsEntry *e, yyjson_mut_val *set)
{
    struct str text = text_of(ap, set);
    e->fields_v1 = api_new(ap->a, Meta__V1__FieldsV1);
    e->fields_v1->has_raw = 1;
    e->fields_v1->raw.data = (uint8_t *)text.p;
    e->fields_v1->raw.len = text.n;
}

static void unite(struct apply *ap, yyjson_mut_val *into, yyjson_mut_val *from, int depth)
{
    size_t i, max;
    yyjson_mut_val *key, *sub;
    if (depth > DEPTH_MAX)
        return;
    yyjson_mut_obj_foreach (from, i, max, key, sub) {
        yyjson_mut_val *have = member(into, key_of(key));
        if (have && yyjson_mut_is_obj(sub))
            unite(ap, have, sub, depth + 1);
        else if (!have)
            set_member(ap, into, key_of(key), yyjson_mut_val_mut_copy(ap->doc, sub));
    }
}

static bool applies(const Meta__V1__ManagedFieldsEntry *e)
{
    return strcmp(e->operation, "Apply") == 0 && !*e->subresource;
}

void apply_merge(struct apply *ap, yyjson_mut_val *live, yyjson_mut_val *config,
                 Meta__V1__ManagedFieldsEntry ***entries, size_t *entries_len,
                 const char *api_version)
{
    const struct node top = {.kind = NODE_STRUCT, .m = ap->m};
    yyjson_mut_val *now = apply_fields(ap, config), *old = NULL, *others = yyjson_mut_obj(ap->doc);
    Meta__V1__ManagedFieldsEntry *mine = NULL;
    for (size_t i = 0; i < *entries_len; i++) {
        Meta__V1__ManagedFieldsEntry *e = (*entries)[i];
        if (!applies(e))
            continue;
        yyjson_mut_val *set = read_set(ap, e);
        if (strcmp(e->manager, ap->manager) == 0) {
            mine = e;
            old = set;
            continue;
        }
        find_conflicts(ap, e->manager, &top, live, config, set, now, "", 0);
        if (ap->force)
            write_set(ap, e, set);
        unite(ap, others, set, 0);
    }
    if (ap->conflicts_len && !ap->force)
        return;
    merge_members(ap, live, config, &top, 0);
    if (old)
        prune(ap, live, &top, old, now, others, 0);
    bool same = mine && str_eq(text_of(ap, old), text_of(ap, now));
    if (!mine) {
        mine = api_new(ap->a, Meta__V1__ManagedFieldsEntry);
        mine->manager = (char *)ap->manager;
        mine->operation = (char *)"Apply";
        mine->fields_type = (char *)"FieldsV1";
        struct {
            size_t n_list;
            Meta__V1__ManagedFieldsEntry **list;
        } all = {*entries_len, *entries};
        api_append(ap->a, &all, list, mine);
        *entries = all.list;
        *entries_len = all.n_list;
    }
    if (same)
        return; /* so that applying again changes nothing */
    mine->api_version = (char *)api_version;
    mine->time = time_now(ap->a);
    write_set(ap, mine, now);
}
