/*
 * Which fields differ between two structs: the walk of api/fields/typed.c, made on structs by the schema
 * tables, so that recording who wrote what costs a create or an update no JSON tree.
 *
 * A member counts as there exactly when JSON shows it; that, and the order of the result, is the same
 * as typed_compare of the two objects' JSON (the unit test compares both).
 */
#include "api/codec_internal.h"
#include "api/fields/managed_internal.h"
#include "base/arena_str.h"
#include <stdlib.h>

enum { ADDED, MODIFIED, REMOVED, DELTAS };

/* Children found so far, of one node. */
struct lists {
    struct field_set *head[DELTAS], **tail[DELTAS];
};

struct walk {
    struct arena *a;
    struct buf text;   /* of a list item's step */
    bool own;          /* leave out what is nobody's: the identity of the object */
    unsigned messages; /* that the walk is inside of */
};

/* By number: name, namespace, selfLink, uid, resourceVersion, generation, creationTimestamp. */
#define IDENTITY (1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8)

static bool is_identity(const struct walk *w, const struct schema_message *m,
                        const struct schema_field *f)
{
    return w->own && w->messages == 2 && m->id == Meta__V1__ObjectMeta__SCHEMA && f->number < 32 &&
           (IDENTITY >> f->number & 1);
}

static void walk_message(struct walk *w, const struct schema_message *m, const void *l,
                         const void *r, struct lists *out);

static void lists_init(struct lists *c)
{
    for (int d = 0; d < DELTAS; d++) {
        c->head[d] = NULL;
        c->tail[d] = &c->head[d];
    }
}

/* A node for what was found below `step`, and for the path itself where `itself` is not DELTAS. */
static void emit(struct walk *w, struct field_step step, const struct lists *below, int itself,
                 struct lists *out)
{
    for (int d = 0; d < DELTAS; d++) {
        struct field_set *children = below ? below->head[d] : NULL;
        if (!children && d != itself)
            continue;
        struct field_set *s = field_set_new(w->a, step, d == itself);
        s->children = children;
        out->tail[d] = field_set_append(out->tail[d], s);
    }
}

/* What became of a path that may be there before and after. */
static int fate(bool before, bool after)
{
    return !before ? ADDED : !after ? REMOVED : DELTAS;
}

/* Most members of most structs are pointers that are NULL. */
static inline bool shows(const struct schema_field *f, const void *object)
{
    if (!object)
        return false;
    if (field_always(f))
        return true;
    if (f->label == SCHEMA_POINTER && (f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE))
        return MEMBER_CONST(object, f, void *) != NULL;
    if (field_is_list(f))
        return member_count_get(object, f) > 0;
    return field_is_present(f, object);
}

/* The struct of a message member, for a walk below it; NULL: there is no object. */
static const void *below(const struct schema_field *f, const void *object, bool there)
{
    if (!there)
        return NULL;
    const void *p = MEMBER_CONST(object, f, void *);
    return p || f->label == SCHEMA_POINTER ? p : zero_struct;
}

/* The struct of an inlined message. */
static const void *inlined(const struct schema_field *via, const void *object)
{
    const void *p = object ? MEMBER_CONST(object, via, void *) : NULL;
    return object && !p ? zero_struct : p;
}

/* ---- lists that merge, and maps ---- */

struct item {
    struct field_step step;
    const void *p; /* the element: a struct, a scalar's place */
    size_t index;
};

struct items {
    struct item *all;
    size_t len;
};

static int item_compare(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = field_step_compare(&x->step, &y->step);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void items_sort(struct items *items)
{
    for (size_t i = 1; i < items->len; i++)
        if (item_compare(&items->all[i - 1], &items->all[i]) > 0) {
            qsort(items->all, items->len, sizeof *items->all, item_compare);
            return;
        }
}

static void string_json(const char *text, struct buf *out)
{
    size_t n = text ? strlen(text) : 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == '"' || text[i] == '\\') {
            buf_append_json_string(out, str_make(text, n));
            return;
        }
    put_char(out, '"');
    put(out, text, n);
    put_char(out, '"');
}

static void scalar_json(const struct schema_field *f, const void *p, struct buf *out)
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        buf_append_cstr(out, *(const protobuf_c_boolean *)p ? "true" : "false");
        break;
    case SCHEMA_INT32:
        emit_i64(out, *(const int32_t *)p);
        break;
    case SCHEMA_INT64:
        emit_i64(out, *(const int64_t *)p);
        break;
    case SCHEMA_STRING:
        string_json(*(char *const *)p, out);
        break;
    default:
        put_literal(out, "null");
    }
}

/* The keys of a list, looked up once for all its items. */
struct list_keys {
    struct field_key key[FIELD_KEYS_MAX];
    const struct schema_field *field[FIELD_KEYS_MAX], *via[FIELD_KEYS_MAX];
    size_t len;
};

static void list_keys_init(struct list_keys *k, const struct schema_field *list)
{
    struct field_type type = field_type_of_field(list);
    k->len = type.kind == FIELD_LIST_MAP ? type.schema->keys(&type, k->key) : 0;
    for (size_t i = 0; i < k->len; i++)
        k->field[i] = schema_field_by_json(schema_field_message(list), k->key[i].name, &k->via[i]);
}

/* {"containerPort":80,"protocol":"TCP"} */
static void key_json(const struct list_keys *k, const void *item, struct buf *out)
{
    for (size_t i = 0; i < k->len; i++) {
        const struct schema_field *f = k->field[i];
        const void *at = k->via[i] ? inlined(k->via[i], item) : item;
        bool there = f && shows(f, at);
        if (!there && !k->key[i].default_value.p)
            continue;
        put_char(out, out->len ? ',' : '{');
        put_char(out, '"');
        put(out, k->key[i].name.p, k->key[i].name.n);
        put_literal(out, "\":");
        if (there)
            scalar_json(f, (const char *)at + f->offset, out);
        else
            put(out, k->key[i].default_value.p, k->key[i].default_value.n);
    }
    put_char(out, '}');
}

/* The items of a set or map list with their steps, sorted. */
static struct items list_items(struct walk *w, const struct schema_field *f,
                               const struct list_keys *keys, const void *object)
{
    struct items items = {NULL, object ? member_count_get(object, f) : 0};
    if (items.len == 0)
        return items;
    size_t size = element_size(f);
    const char *elements = MEMBER_CONST(object, f, char *);
    items.all = arena_alloc(w->a, items.len * sizeof *items.all);
    for (size_t i = 0; i < items.len; i++) {
        const void *p = elements + i * size;
        buf_clear(&w->text);
        if (keys->len)
            key_json(keys, p = *(void *const *)p, &w->text);
        else
            scalar_json(f, p, &w->text);
        struct field_step step = {keys->len ? 'k' : 'v', arena_copy(w->a, buf_str(&w->text))};
        items.all[i] = (struct item){step, p, i};
    }
    items_sort(&items);
    return items;
}

static struct items map_items(struct walk *w, const struct schema_field *f, const void *object)
{
    struct items items = {NULL, object ? member_count_get(object, f) : 0};
    if (items.len == 0)
        return items;
    void *const *entries = MEMBER_CONST(object, f, void **);
    items.all = arena_alloc(w->a, items.len * sizeof *items.all);
    for (size_t i = 0; i < items.len; i++)
        items.all[i] =
            (struct item){field_step_member(str_from(entry_key(entries[i]))), entries[i], i};
    items_sort(&items);
    return items;
}

static size_t group_len(const struct items *items, size_t at)
{
    size_t n = 1;
    while (at + n < items->len &&
           field_step_compare(&items->all[at].step, &items->all[at + n].step) == 0)
        n++;
    return n;
}

/* One element on each side, or none (NULL). `f`: the list, or a map's value field. */
static void walk_element(struct walk *w, const struct schema_field *f, bool map,
                         const struct item *l, const struct item *r, struct lists *out)
{
    struct field_step step = l ? l->step : r->step;
    bool nested = f->type == SCHEMA_MESSAGE && !(map && field_is_list(f)) &&
                  field_type_of_message(schema_field_message(f)).kind == FIELD_STRUCT;
    struct lists children;
    lists_init(&children);
    if (nested) {
        const void *lp = l ? map ? MEMBER_CONST(l->p, f, void *) : l->p : NULL;
        const void *rp = r ? map ? MEMBER_CONST(r->p, f, void *) : r->p : NULL;
        walk_message(w, schema_field_message(f), lp, rp, &children);
        emit(w, step, &children, fate(l, r), out);
        return;
    }
    int itself = fate(l, r);
    if (l && r && map && !member_equal(f, l->p, r->p))
        itself = MODIFIED;
    if (l && r && !map && f->type == SCHEMA_MESSAGE && !object_equal(l->p, r->p))
        itself = MODIFIED;
    emit(w, step, NULL, itself, out);
}

/* Elements that stand more than once on a side are compared as a group. */
static void walk_group(struct walk *w, const struct schema_field *f, const struct item *l,
                       size_t nl, const struct item *r, size_t nr, struct lists *out)
{
    bool same = nl == nr;
    for (size_t i = 0; i < nl && same && f->type == SCHEMA_MESSAGE; i++)
        same = object_equal(l[i].p, r[i].p);
    if (!same)
        emit(w, nl ? l->step : r->step, NULL, nl == 0 ? ADDED : nr == 0 ? REMOVED : MODIFIED, out);
}

static void walk_items(struct walk *w, const struct schema_field *f, bool map,
                       const struct items *l, const struct items *r, struct lists *out)
{
    const struct schema_field *value = map ? schema_map_value(f) : f;
    size_t i = 0, k = 0;
    while (i < l->len || k < r->len) {
        int order = i == l->len   ? 1
                    : k == r->len ? -1
                                  : field_step_compare(&l->all[i].step, &r->all[k].step);
        size_t nl = order <= 0 ? group_len(l, i) : 0, nr = order >= 0 ? group_len(r, k) : 0;
        if (!map && (nl > 1 || nr > 1))
            walk_group(w, f, nl ? l->all + i : NULL, nl, nr ? r->all + k : NULL, nr, out);
        else
            walk_element(w, value, map, nl ? &l->all[i + nl - 1] : NULL,
                         nr ? &r->all[k + nr - 1] : NULL, out);
        i += nl;
        k += nr;
    }
}

/* ---- members ---- */

static bool same_memory(const struct schema_field *f, const void *l, const void *r)
{
    return l && r && (field_is_list(f) || f->type == SCHEMA_MESSAGE) &&
           MEMBER_CONST(l, f, void *) == MEMBER_CONST(r, f, void *) &&
           (!field_is_list(f) || member_count_get(l, f) == member_count_get(r, f));
}

static void walk_member(struct walk *w, const struct schema_field *f, const void *l, const void *r,
                        struct lists *out)
{
    bool before = shows(f, l), after = shows(f, r);
    if ((!before && !after) || same_memory(f, l, r))
        return;
    struct field_step step = {'f', str_make(schema_string(f->json_name), f->json_len)};
    struct field_type type = field_type_of_field(f);
    struct lists children;
    lists_init(&children);
    int itself = fate(before, after);
    if (w->own && w->messages == 1 && f->message == Meta__V1__ObjectMeta__SCHEMA)
        itself = DELTAS;
    if (type.kind == FIELD_STRUCT) {
        walk_message(w, schema_field_message(f), below(f, l, before), below(f, r, after),
                     &children);
    } else if (type.kind == FIELD_MAP) {
        struct items x = map_items(w, f, l), y = map_items(w, f, r);
        walk_items(w, f, true, &x, &y, &children);
    } else if (type.kind == FIELD_LIST_MAP || type.kind == FIELD_LIST_SET) {
        struct list_keys keys;
        list_keys_init(&keys, f);
        struct items x = list_items(w, f, &keys, l), y = list_items(w, f, &keys, r);
        walk_items(w, f, false, &x, &y, &children);
    } else if (before && after && !member_equal(f, l, r)) {
        itself = MODIFIED;
    }
    emit(w, step, &children, itself, out);
}

/* l, r: NULL where there is no object. */
static void walk_message(struct walk *w, const struct schema_message *m, const void *l,
                         const void *r, struct lists *out)
{
    if (l == r)
        return;
    w->messages++;
    for (unsigned i = 0; i < m->member_count; i++) {
        const struct schema_member *member = &schema_members[m->members + i];
        const struct schema_field *f = &schema_fields[member->field];
        const struct schema_field *via = member->via == 0xffff ? NULL : &schema_fields[member->via];
        const void *lp = l, *rp = r;
        while (via) {
            lp = inlined(via, lp);
            rp = inlined(via, rp);
            const struct schema_message *inner = schema_field_message(via);
            if (member->field >= inner->fields &&
                member->field < inner->fields + inner->field_count)
                break; /* its own, not one that it inlines in turn */
            f = schema_field_by_json(inner, str_make(schema_string(f->json_name), f->json_len),
                                     &via);
        }
        if (m->id == Meta__V1__ObjectMeta__SCHEMA &&
            f->message == Meta__V1__ManagedFieldsEntry__SCHEMA)
            continue;
        if (!is_identity(w, m, f))
            walk_member(w, f, lp, rp, out);
    }
    w->messages--;
}

/* Custom objects have no struct: by their trees. */
static void compare_trees(struct arena *a, const void *old, const void *now,
                          struct field_delta *out)
{
    struct typed_space s = {a, json_doc_new(a)};
    struct field_type type = field_type_of_message(schema_of(now));
    struct typed *l, *r;
    struct error err;
    *out = (struct field_delta){NULL, NULL, NULL};
    yyjson_mut_val *o = old ? object_tree(&s, old) : yyjson_mut_obj(s.doc);
    if (typed_new(&s, &type, o, false, &l, &err) == 0 &&
        typed_new(&s, &type, object_tree(&s, now), false, &r, &err) == 0)
        typed_compare(&s, l, r, out);
}

static struct field_set *rooted(struct arena *a, struct field_set *children)
{
    if (!children)
        return NULL;
    struct field_set *root = field_set_new(a, (struct field_step){0, STR_NONE}, false);
    root->children = children;
    return root;
}

static void walk_top(struct walk *w, const void *old, const void *now, struct lists *top)
{
    lists_init(top);
    buf_init(&w->text);
    walk_message(w, schema_of(now), old ? old : zero_struct, now, top);
    buf_free(&w->text);
}

void object_compare_fields(struct arena *a, const void *old, const void *now,
                           struct field_delta *out)
{
    struct walk w = {.a = a};
    struct lists top;
    if (schema_of(now)->special != SCHEMA_PLAIN) {
        compare_trees(a, old, now, out);
        return;
    }
    walk_top(&w, old, now, &top);
    *out = (struct field_delta){rooted(a, top.head[ADDED]), rooted(a, top.head[MODIFIED]),
                                rooted(a, top.head[REMOVED])};
}

struct field_set *object_new_fields(struct arena *a, const void *now)
{
    struct walk w = {.a = a, .own = true};
    struct lists top;
    if (schema_of(now)->special != SCHEMA_PLAIN) {
        struct field_delta delta;
        compare_trees(a, NULL, now, &delta);
        return strip_identity(a, field_set_union(a, delta.modified, delta.added));
    }
    walk_top(&w, NULL, now, &top);
    return field_set_union(a, rooted(a, top.head[MODIFIED]), rooted(a, top.head[ADDED]));
}
