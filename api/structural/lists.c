/*
 * What schemas say beyond JSON Schema: lists that are sets or maps, and embedded resources.
 */
#include "api/structural/internal.h"
#include "base/mem.h"
#include <ctype.h>
#include <stdlib.h>

struct walker {
    struct field_errors *e;
    const char *base;
};

static const char *path_of(struct walker *w, const struct step *at)
{
    return field_errors_full(w->e) ? "" : step_path(w->e->arena, w->base, at);
}

static const char *shown(struct walker *w, yyjson_mut_val *value)
{
    struct buf b;
    if (field_errors_full(w->e))
        return "";
    buf_init(&b);
    json_write_canonical(value, &b);
    const char *text = arena_strndup(w->e->arena, b.data, b.len);
    buf_free(&b);
    return text;
}

/* ---- sets and maps ---- */

#define FEW_KEYS 8     /* so many are looked for one by one */
#define FEW_MEMBERS 16 /* so many have room on the stack */

static void write_key(const char *key, yyjson_mut_val *value, bool *any, struct buf *out)
{
    buf_append_cstr(out, *any ? "," : "");
    buf_append_json_string(out, str_from(key));
    buf_append_char(out, ':');
    json_write_canonical(value, out);
    *any = true;
}

/* The place of a name among the list's keys; SIZE_MAX: it is none. */
static size_t key_place(const struct structural *s, struct str name)
{
    size_t low = 0, high = s->list_keys_len;
    while (low < high) {
        size_t mid = (low + high) / 2, place = s->list_keys_order[mid];
        int order = str_cmp(name, str_from(s->list_keys[place]));
        if (order == 0)
            return place;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return SIZE_MAX;
}

struct key_value {
    size_t place;
    yyjson_mut_val *value;
};

static int by_place(const void *x, const void *y)
{
    const struct key_value *a = x, *b = y;
    return (a->place > b->place) - (a->place < b->place);
}

/* Of many keys those that the item has, in the keys' order: there may be as many as a definition has room for, and as
 * many items as an object has. */
static void write_found(const struct structural *s, yyjson_mut_val *item, struct buf *out)
{
    size_t members = yyjson_mut_obj_size(item), n = 0, i, max;
    struct key_value few[FEW_MEMBERS],
        *found = members <= FEW_MEMBERS ? few : mem_alloc(members * sizeof *found);
    yyjson_mut_val *key, *value;
    bool any = false;
    yyjson_mut_obj_foreach (item, i, max, key, value) {
        size_t place = key_place(s, mut_text(key));
        if (place != SIZE_MAX)
            found[n++] = (struct key_value){place, value};
    }
    qsort(found, n, sizeof *found, by_place);
    for (i = 0; i < n; i++)
        if (i == 0 || found[i].place != found[i - 1].place)
            write_key(s->list_keys[found[i].place], found[i].value, &any, out);
    if (found != few)
        mem_free(found);
}

void structural_identity(const struct structural *s, yyjson_mut_val *item, struct buf *out)
{
    if (s->list_type == STRUCTURAL_LIST_SET) {
        json_write_canonical(item, out);
        return;
    }
    bool any = false, many = s->list_keys_len > FEW_KEYS;
    buf_append_char(out, '{');
    if (many && yyjson_mut_is_obj(item))
        write_found(s, item, out);
    for (size_t k = 0; k < s->list_keys_len && !many; k++) {
        yyjson_mut_val *v = mut_member(item, str_from(s->list_keys[k]));
        if (v)
            write_key(s->list_keys[k], v, &any, out);
    }
    buf_append_char(out, '}');
}

static bool only_objects(struct walker *w, yyjson_mut_val *list, const struct step *at)
{
    size_t i, max;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach (list, i, max, item) {
        if (yyjson_mut_is_obj(item) || yyjson_mut_is_null(item))
            continue;
        field_error_add(w->e, FIELD_INVALID, path_of(w, STEP_INDEX(at, i)), shown(w, item),
                        "must be an object for an array of list-type map");
        return false;
    }
    return true;
}

/* The second of equal items is reported, further ones are not. */
static void check_unique(struct walker *w, const struct structural *s, yyjson_mut_val *list,
                         const struct step *at)
{
    static char once, twice;
    struct map seen;
    size_t i, max;
    yyjson_mut_val *item;
    if (s->list_type == STRUCTURAL_LIST_MAP && !only_objects(w, list, at))
        return;
    map_init(&seen);
    yyjson_mut_arr_foreach (list, i, max, item) {
        struct buf b;
        buf_init(&b);
        structural_identity(s, item, &b);
        void *before = map_put(&seen, buf_str(&b), &once);
        if (before)
            map_put(&seen, buf_str(&b), &twice);
        if (before == &once)
            field_error_add(w->e, FIELD_DUPLICATE, path_of(w, STEP_INDEX(at, i)), buf_cstr(&b),
                            "%s", "");
        buf_free(&b);
    }
    map_free(&seen);
}

static void walk_lists(struct walker *w, const struct structural *s, yyjson_mut_val *v,
                       const struct step *at)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (!s)
        return;
    if (yyjson_mut_is_arr(v)) {
        if (s->list_type != STRUCTURAL_LIST_ATOMIC)
            check_unique(w, s, v, at);
        yyjson_mut_arr_foreach (v, i, max, item)
            walk_lists(w, s->items, item, STEP_INDEX(at, i));
    } else if (yyjson_mut_is_obj(v)) {
        yyjson_mut_obj_foreach (v, i, max, key, item) {
            struct str name = mut_text(key);
            if (structural_find(s, name))
                walk_lists(w, structural_member(s, name), item, STEP_MEMBER(at, name));
            else
                walk_lists(w, s->additional, item, STEP_KEY(at, name));
        }
    }
}

void structural_validate_lists(const struct structural *s, yyjson_mut_val *value, const char *path,
                               struct field_errors *e)
{
    struct walker w = {e, path};
    walk_lists(&w, s, value, NULL);
}

/* ---- embedded resources ---- */

/* A string that is there and not empty; NULL: reported. */
static const char *required_string(struct walker *w, yyjson_mut_val *object, const char *name,
                                   const struct step *up)
{
    yyjson_mut_val *v = mut_member(object, str_from(name));
    const char *path = path_of(w, STEP_MEMBER(up, str_from(name)));
    if (!v)
        field_error_add(w->e, FIELD_REQUIRED, path, NULL, "%s", "");
    else if (!yyjson_mut_is_str(v))
        field_error_add(w->e, FIELD_INVALID, path, shown(w, v), "must be a string");
    else if (yyjson_mut_get_len(v) == 0)
        field_error_add(w->e, FIELD_INVALID, path, "\"\"", "must not be empty");
    else
        return yyjson_mut_get_str(v);
    return NULL;
}

static void check_metadata(struct walker *w, yyjson_mut_val *metadata, const struct step *up)
{
    struct arena *a = w->e->arena;
    const char *path = path_of(w, STEP_MEMBER(up, STR("metadata")));
    struct buf text;
    struct error err;
    void *decoded;
    buf_init(&text);
    json_write_canonical(metadata, &text);
    if (json_decode(a, schema_get(Meta__V1__ObjectMeta__SCHEMA), buf_str(&text), NULL, &decoded,
                    &err) < 0) {
        field_error_add(w->e, FIELD_INVALID, path, shown(w, metadata), "%s", err.message);
    } else {
        Meta__V1__ObjectMeta *meta = decoded;
        if (!*meta->name)
            meta->name = (char *)"fakename";
        validate_object_meta(meta, *meta->namespace_ != 0, path, w->e);
    }
    buf_free(&text);
}

static void check_embedded(struct walker *w, yyjson_mut_val *v, const struct step *at)
{
    const char *version = required_string(w, v, "apiVersion", at);
    const char *kind = required_string(w, v, "kind", at);
    const char *slash = version ? strchr(version, '/') : NULL;
    if (slash && strchr(slash + 1, '/'))
        field_error_add(w->e, FIELD_INVALID, path_of(w, STEP_MEMBER(at, STR("apiVersion"))),
                        field_quote(w->e->arena, version), "unexpected GroupVersion string: %s",
                        version);
    if (kind) {
        char *lower = arena_strdup(w->e->arena, kind);
        for (char *p = lower; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        const char *wrong = validate_dns1035_label(lower);
        if (wrong)
            field_error_add(w->e, FIELD_INVALID, path_of(w, STEP_MEMBER(at, STR("kind"))),
                            field_quote(w->e->arena, kind),
                            "may have mixed case, but should otherwise match: %s", wrong);
    }
    yyjson_mut_val *metadata = mut_member(v, STR("metadata"));
    if (metadata)
        check_metadata(w, metadata, at);
}

static void walk_embedded(struct walker *w, const struct structural *s, yyjson_mut_val *v,
                          const struct step *at)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (!s)
        return;
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item)
            walk_embedded(w, s->items, item, STEP_INDEX(at, i));
        return;
    }
    if (!yyjson_mut_is_obj(v))
        return;
    if (s->embedded_resource)
        check_embedded(w, v, at);
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        struct str name = mut_text(key);
        if (structural_find(s, name))
            walk_embedded(w, structural_member(s, name), item, STEP_MEMBER(at, name));
        else
            walk_embedded(w, s->additional, item, STEP_KEY(at, name));
    }
}

void structural_validate_embedded(const struct structural *s, yyjson_mut_val *value,
                                  const char *path, struct field_errors *e)
{
    struct walker w = {e, path};
    walk_embedded(&w, s, value, NULL);
}

/* ---- metadata of embedded resources ---- */

struct coercer {
    struct arena *a;
    yyjson_mut_doc *doc;
    structural_unknown_fn *unknown;
    void *ctx;
};

static void report_unknown(struct coercer *c, const struct field_problems *problems,
                           const struct step *at)
{
    for (size_t i = 0; c->unknown && i < problems->len; i++) {
        if (problems->items[i].duplicate)
            continue; /* told already */
        const char *path =
            arena_printf(c->a, "%s.%s", step_path(c->a, "", at), problems->items[i].path);
        if (!c->unknown(c->ctx, path))
            c->unknown = NULL;
    }
}

static void coerce_metadata(struct coercer *c, yyjson_mut_val *metadata, const struct step *at)
{
    struct field_problems problems = {0};
    struct buf text;
    struct error err;
    void *meta;
    yyjson_val *known;
    buf_init(&text);
    json_write_canonical(metadata, &text);
    int rc = json_decode(c->a, schema_get(Meta__V1__ObjectMeta__SCHEMA), buf_str(&text), &problems,
                         &meta, &err);
    buf_clear(&text);
    if (rc == 0) {
        json_encode(meta, JSON_NO_TYPE_META, &text);
        rc = json_read(c->a, buf_str(&text), &known, NULL);
    }
    buf_free(&text);
    if (rc < 0)
        return;
    report_unknown(c, &problems, at);
    yyjson_mut_val *next = metadata->next;
    *metadata = *yyjson_val_mut_copy(c->doc, known);
    metadata->next = next;
}

static void coerce_embedded(struct coercer *c, const struct structural *s, yyjson_mut_val *v,
                            const struct step *at)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (!s || !s->embedded_below)
        return;
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item)
            coerce_embedded(c, s->items, item, STEP_INDEX(at, i));
        return;
    }
    if (!yyjson_mut_is_obj(v))
        return;
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        struct str name = mut_text(key);
        if (!s->embedded_resource || !str_eqz(name, "metadata"))
            coerce_embedded(c, structural_member(s, name), item, STEP_MEMBER(at, name));
        else if (yyjson_mut_is_obj(item))
            coerce_metadata(c, item, STEP_MEMBER(at, name));
    }
}

void structural_coerce_embedded(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *root,
                                const struct structural *s, structural_unknown_fn *unknown,
                                void *ctx)
{
    struct coercer c = {a, doc, unknown, ctx};
    coerce_embedded(&c, s, root, NULL);
}
