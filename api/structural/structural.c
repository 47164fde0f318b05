/*
 * Structural schemas: compiling, pruning and defaulting. (Validating: validate.c.)
 */
#include "api/structural/internal.h"
#include <math.h>
#include <stdlib.h>

/* ---- compiling ---- */

struct compiler {
    struct arena *a;
    struct error *err;
    struct map
        patterns; /* text → the rules that it was compiled for: schemas repeat a few patterns hundreds of times */
};

static int compile(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p, int depth,
                   struct structural **out);

static int by_name(const void *x, const void *y)
{
    return str_cmp(((const struct structural_property *)x)->name,
                   ((const struct structural_property *)y)->name);
}

static const char *const no_names[] = {NULL};
static const struct structural_rules no_rules = {
    .max_length = -1,
    .min_length = -1,
    .max_items = -1,
    .min_items = -1,
    .max_properties = -1,
    .min_properties = -1,
};

/* A copy, NULL-terminated. */
static const char *const *names_of(struct compiler *c, char *const *from, size_t n)
{
    if (n == 0)
        return no_names;
    const char **names = arena_array(c->a, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = arena_strdup(c->a, from[i]);
    return names;
}

struct key_place {
    const char *name;
    size_t place;
};

static int key_order(const void *x, const void *y)
{
    return strcmp(((const struct key_place *)x)->name, ((const struct key_place *)y)->name);
}

static void compile_list_keys(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                              struct structural *s)
{
    size_t n = p->n_x_kubernetes_list_map_keys;
    s->list_keys = names_of(c, p->x_kubernetes_list_map_keys, n);
    s->list_keys_len = n;
    if (n == 0)
        return;
    struct key_place *places = mem_alloc(n * sizeof *places);
    size_t *order = arena_array(c->a, size_t, n);
    for (size_t i = 0; i < n; i++)
        places[i] = (struct key_place){s->list_keys[i], i};
    qsort(places, n, sizeof *places, key_order);
    for (size_t i = 0; i < n; i++)
        order[i] = places[i].place;
    s->list_keys_order = order;
    mem_free(places);
}

/* The properties that have a default, in order. */
static void note_defaulted(struct compiler *c, struct structural *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->properties_len; i++)
        n += s->properties[i].schema->default_value != NULL;
    s->defaulted = n ? arena_array(c->a, const struct structural_property *, n) : NULL;
    for (size_t i = 0; i < s->properties_len; i++) {
        struct structural_property *p = &s->properties[i];
        if (!p->schema->default_value)
            continue;
        p->defaulted = s->defaulted_len;
        s->defaulted[s->defaulted_len++] = p;
    }
}

static int compile_properties(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                              int depth, struct structural *s)
{
    if (p->n_properties == 0)
        return 0;
    s->properties = arena_array(c->a, struct structural_property, p->n_properties);
    s->properties_len = p->n_properties; /* what is there when one fails is freed */
    for (size_t i = 0; i < p->n_properties; i++) {
        struct structural_property *to = &s->properties[i];
        to->name = str_from(arena_strdup(c->a, p->properties[i]->key));
        int rc = compile(c, p->properties[i]->value, depth + 1, &to->schema);
        if (rc < 0)
            return rc;
        s->defaults_below |= to->schema->defaults_below;
        s->embedded_below |= to->schema->embedded_below;
    }
    qsort(s->properties, s->properties_len, sizeof *s->properties, by_name);
    note_defaulted(c, s);
    return 0;
}

static int compile_list(struct compiler *c, Apiextensions__V1__JSONSchemaProps *const *in, size_t n,
                        int depth, struct structural ***out, size_t *out_len)
{
    *out = n ? arena_array(c->a, struct structural *, n) : NULL;
    *out_len = n;
    for (size_t i = 0; i < n; i++) {
        int rc = compile(c, in[i], depth + 1, &(*out)[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static enum structural_type type_of(const char *type)
{
    static const char *const names[] = {
        [STRUCTURAL_OBJECT] = "object", [STRUCTURAL_ARRAY] = "array",
        [STRUCTURAL_STRING] = "string", [STRUCTURAL_INTEGER] = "integer",
        [STRUCTURAL_NUMBER] = "number", [STRUCTURAL_BOOLEAN] = "boolean"};
    for (int i = STRUCTURAL_OBJECT; i <= STRUCTURAL_BOOLEAN; i++)
        if (cstr_eq(type, names[i]))
            return (enum structural_type)i;
    return STRUCTURAL_ANY;
}

/* Formats that say nothing about this type are as good as none. */
static const char *format_of(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                             enum structural_type type)
{
    const char *f = p->format;
    if (!f || !*f)
        return NULL;
    bool known = type == STRUCTURAL_INTEGER  ? cstr_eq(f, "int32") || cstr_eq(f, "int64")
                 : type == STRUCTURAL_NUMBER ? cstr_eq(f, "float") || cstr_eq(f, "double")
                 : type == STRUCTURAL_STRING || type == STRUCTURAL_ANY ? structural_format_known(f)
                                                                       : false;
    return known ? arena_strdup(c->a, f) : NULL;
}

static int parse_json_in(struct compiler *c, struct arena *a, const Apiextensions__V1__JSON *json,
                         yyjson_val **out)
{
    if (!json->has_raw || json->raw.len == 0) {
        *out = NULL;
        return 0;
    }
    int rc = json_read(a, str_make(json->raw.data, json->raw.len), out, c->err);
    if (rc == 0 && !structural_depth_is_fine(*out))
        rc = error_set(c->err, ERR_INVALID, "a value in the schema is nested too deep");
    return rc;
}

static int parse_json(struct compiler *c, const Apiextensions__V1__JSON *json, yyjson_val **out)
{
    return parse_json_in(c, c->a, json, out);
}

static int text_order(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

/* One of the values: its text, which is looked up, and how a refusal names it. */
static void add_enum(struct compiler *c, struct structural_rules *r, yyjson_mut_val *value,
                     struct buf *said)
{
    struct buf text;
    buf_init(&text);
    json_write_canonical(value, &text);
    if (!yyjson_mut_is_null(value))
        r->enums[r->enums_len++] = str_make(arena_strndup(c->a, text.data, text.len), text.len);
    buf_append_cstr(said, said->len ? ", " : "supported values: ");
    if (yyjson_mut_is_str(value)) {
        buf_append_str(said, buf_str(&text));
    } else {
        buf_append_char(said, '"');
        buf_append_str(said, buf_str(&text));
        buf_append_char(said, '"');
    }
    buf_free(&text);
}

static int compile_enums(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                         struct structural_rules *r)
{
    struct arena scratch;
    struct buf said;
    int rc = 0;
    arena_init(&scratch);
    buf_init(&said);
    r->enums = p->n_enum_ ? arena_array(c->a, struct str, p->n_enum_) : NULL;
    for (size_t i = 0; i < p->n_enum_ && rc == 0; i++) {
        yyjson_val *value;
        rc = parse_json_in(c, &scratch, p->enum_[i], &value);
        if (rc == 0 && value)
            add_enum(c, r, yyjson_val_mut_copy(json_doc_new(&scratch), value), &said);
        arena_reset(&scratch);
    }
    if (r->enums_len)
        qsort(r->enums, r->enums_len, sizeof *r->enums, text_order);
    r->enums_said = said.len ? arena_strndup(c->a, said.data, said.len) : NULL;
    buf_free(&said);
    arena_free(&scratch);
    return rc;
}

static int compile_pattern(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                           struct structural_rules *r)
{
    if (!p->pattern || !*p->pattern)
        return 0;
    const struct structural_rules *same = map_get(&c->patterns, str_from(p->pattern));
    if (same) {
        r->pattern = same->pattern;
        r->compiled = same->compiled;
        return 0;
    }
    r->pattern = arena_strdup(c->a, p->pattern);
    r->compiled = structural_pattern_new(p->pattern, c->err);
    r->compiled_here = true;
    map_put(&c->patterns, str_from(p->pattern), r);
    return r->compiled ? 0 : ERR_INVALID;
}

static int compile_junctors(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                            int depth, struct structural_rules *r)
{
    int rc = compile_list(c, p->all_of, p->n_all_of, depth, &r->all_of, &r->all_of_len);
    if (rc == 0)
        rc = compile_list(c, p->any_of, p->n_any_of, depth, &r->any_of, &r->any_of_len);
    if (rc == 0)
        rc = compile_list(c, p->one_of, p->n_one_of, depth, &r->one_of, &r->one_of_len);
    if (rc == 0 && p->not_)
        rc = compile(c, p->not_, depth + 1, &r->not_schema);
    return rc;
}

static void take_numbers(const Apiextensions__V1__JSONSchemaProps *p, struct structural_rules *r)
{
    r->has_maximum = p->has_maximum;
    r->maximum = p->maximum;
    r->exclusive_maximum = p->exclusive_maximum;
    r->has_minimum = p->has_minimum;
    r->minimum = p->minimum;
    r->exclusive_minimum = p->exclusive_minimum;
    r->has_multiple_of = p->has_multiple_of;
    r->multiple_of = p->multiple_of;
    r->max_length = p->has_max_length ? p->max_length : -1;
    r->min_length = p->has_min_length ? p->min_length : -1;
    r->max_items = p->has_max_items ? p->max_items : -1;
    r->min_items = p->has_min_items ? p->min_items : -1;
    r->max_properties = p->has_max_properties ? p->max_properties : -1;
    r->min_properties = p->has_min_properties ? p->min_properties : -1;
    r->unique_items = p->unique_items;
}

/* Does the schema say anything that is not about structure? */
static bool has_rules(const Apiextensions__V1__JSONSchemaProps *p, const char *format)
{
    return format || (p->pattern && *p->pattern) || p->has_maximum || p->has_minimum ||
           p->has_multiple_of || p->has_max_length || p->has_min_length || p->has_max_items ||
           p->has_min_items || p->has_max_properties || p->has_min_properties || p->unique_items ||
           p->n_enum_ || p->n_required || p->n_all_of || p->n_any_of || p->n_one_of || p->not_;
}

/* Also when something is wrong, s->rules has what is to be freed. */
static int compile_rules(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p, int depth,
                         struct structural *s)
{
    const char *format = format_of(c, p, s->type);
    s->rules = &no_rules;
    if (!has_rules(p, format))
        return 0;
    struct structural_rules *r = arena_new(c->a, struct structural_rules);
    s->rules = r;
    r->format = format;
    take_numbers(p, r);
    r->required = names_of(c, p->required, p->n_required);
    r->required_len = p->n_required;
    int rc = compile_enums(c, p, r);
    if (rc == 0)
        rc = compile_pattern(c, p, r);
    return rc < 0 ? rc : compile_junctors(c, p, depth, r);
}

static int compile_structure(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p,
                             int depth, struct structural *s)
{
    int rc = compile_properties(c, p, depth, s);
    if (rc == 0 && p->items && p->items->schema) {
        rc = compile(c, p->items->schema, depth + 1, &s->items);
        s->defaults_below |= rc == 0 && s->items->defaults_below;
        s->embedded_below |= rc == 0 && s->items->embedded_below;
    }
    if (rc == 0 && p->additional_properties) {
        s->has_additional = true;
        s->additional_allowed = p->additional_properties->allows;
        if (p->additional_properties->schema) {
            s->additional_allowed = true;
            rc = compile(c, p->additional_properties->schema, depth + 1, &s->additional);
            s->defaults_below |= rc == 0 && s->additional->defaults_below;
            s->embedded_below |= rc == 0 && s->additional->embedded_below;
        }
    }
    if (rc == 0 && p->default_) {
        rc = parse_json(c, p->default_, &s->default_value);
        if (rc == 0 && s->default_value) {
            s->default_json =
                arena_strndup(c->a, (const char *)p->default_->raw.data, p->default_->raw.len);
            s->defaults_below = true;
        }
    }
    const char *list = p->x_kubernetes_list_type;
    s->list_type = cstr_eq(list, "set")   ? STRUCTURAL_LIST_SET
                   : cstr_eq(list, "map") ? STRUCTURAL_LIST_MAP
                                          : STRUCTURAL_LIST_ATOMIC;
    compile_list_keys(c, p, s);
    s->atomic_map = cstr_eq(p->x_kubernetes_map_type, "atomic");
    return rc;
}

static int compile(struct compiler *c, const Apiextensions__V1__JSONSchemaProps *p, int depth,
                   struct structural **out)
{
    if (depth > STRUCTURAL_DEPTH_MAX)
        return error_set(c->err, ERR_INVALID, "the schema is nested more than %d deep",
                         STRUCTURAL_DEPTH_MAX);
    struct structural *s = *out = arena_new(c->a, struct structural);
    s->type = type_of(p->type);
    s->nullable = p->nullable;
    s->preserve_unknown =
        p->has_x_kubernetes_preserve_unknown_fields && p->x_kubernetes_preserve_unknown_fields;
    s->embedded_resource = s->embedded_below = p->x_kubernetes_embedded_resource;
    s->int_or_string = p->x_kubernetes_int_or_string;
    int rc = compile_rules(c, p, depth, s);
    return rc < 0 ? rc : compile_structure(c, p, depth, s);
}

int structural_new(struct arena *a, const Apiextensions__V1__JSONSchemaProps *props,
                   struct structural **out, struct error *err)
{
    struct compiler c = {.a = a, .err = err};
    *out = NULL;
    if (!props)
        return 0;
    map_init(&c.patterns);
    int rc = compile(&c, props, 1, out);
    map_free(&c.patterns);
    if (rc < 0) {
        structural_free(*out);
        *out = NULL;
    }
    return rc;
}

static void free_list(struct structural **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        structural_free(list[i]);
}

static void free_rules(const struct structural_rules *r)
{
    if (!r)
        return;
    if (r->compiled_here)
        structural_pattern_free(r->compiled);
    free_list(r->all_of, r->all_of_len);
    free_list(r->any_of, r->any_of_len);
    free_list(r->one_of, r->one_of_len);
    structural_free(r->not_schema);
}

void structural_free(struct structural *s)
{
    if (!s)
        return;
    free_rules(s->rules);
    s->rules = NULL;
    for (size_t i = 0; i < s->properties_len; i++)
        structural_free(s->properties[i].schema);
    structural_free(s->additional);
    structural_free(s->items);
}

/* ---- walking ---- */

const struct structural_property *structural_find(const struct structural *s, struct str name)
{
    size_t low = 0, high = s->properties_len;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = str_cmp(name, s->properties[mid].name);
        if (order == 0)
            return &s->properties[mid];
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct structural *structural_member(const struct structural *s, struct str name)
{
    if (!s)
        return NULL;
    const struct structural_property *p = structural_find(s, name);
    return p ? p->schema : s->additional;
}

const struct structural *structural_items(const struct structural *s)
{
    return s ? s->items : NULL;
}

static bool depth_is_fine(yyjson_val *v, int depth)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(v))
        return true;
    if (depth > STRUCTURAL_DEPTH_MAX)
        return false;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach (v, i, max, item) {
            if (!depth_is_fine(item, depth + 1))
                return false;
        }
        return true;
    }
    yyjson_obj_foreach (v, i, max, key, item) {
        if (!depth_is_fine(item, depth + 1))
            return false;
    }
    return true;
}

bool structural_depth_is_fine(yyjson_val *value)
{
    return depth_is_fine(value, 1);
}

static void path_print(struct buf *out, const struct step *at)
{
    if (!at)
        return;
    path_print(out, at->up);
    if (!at->name.p) {
        buf_printf(out, "[%zu]", at->index);
    } else if (at->key) {
        buf_printf(out, "[%.*s]", STR_ARG(at->name));
    } else {
        if (out->len)
            buf_append_char(out, '.');
        buf_append_str(out, at->name);
    }
}

const char *step_path(struct arena *a, const char *base, const struct step *at)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, base);
    path_print(&b, at);
    const char *out = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return out;
}

/* ---- pruning ---- */

struct pruner {
    structural_unknown_fn *unknown;
    void *ctx;
};

static bool is_meta_name(struct str name)
{
    return str_eqz(name, "apiVersion") || str_eqz(name, "kind") || str_eqz(name, "metadata");
}

static void report(struct pruner *p, const struct step *at)
{
    struct arena a;
    if (!p->unknown)
        return;
    arena_init(&a);
    if (!p->unknown(p->ctx, step_path(&a, "", at)))
        p->unknown = NULL;
    arena_free(&a);
}

/* `keep`: unknown members stay (preserve-unknown-fields), but what the schema knows below is pruned by its
 * own rules. */
static void prune(struct pruner *p, yyjson_mut_val *v, const struct structural *s, bool root,
                  const struct step *up);

static void prune_members(struct pruner *p, yyjson_mut_val *v, const struct structural *s,
                          bool root, bool keep, const struct step *up)
{
    yyjson_mut_obj_iter it;
    yyjson_mut_obj_iter_init(v, &it);
    yyjson_mut_val *key;
    while ((key = yyjson_mut_obj_iter_next(&it))) {
        struct str name = mut_text(key);
        if ((root || (s && s->embedded_resource)) && is_meta_name(name))
            continue;
        const struct structural_property *known = s ? structural_find(s, name) : NULL;
        if (known) {
            prune(p, yyjson_mut_obj_iter_get_val(key), known->schema, false, STEP_MEMBER(up, name));
        } else if (s && s->has_additional) {
            prune(p, yyjson_mut_obj_iter_get_val(key), s->additional, false, STEP_MEMBER(up, name));
        } else if (!keep) {
            report(p, STEP_MEMBER(up, name));
            yyjson_mut_obj_iter_remove(&it);
        }
    }
}

static void prune_kept(struct pruner *p, yyjson_mut_val *v, const struct structural *s, bool root,
                       const struct step *up)
{
    size_t i, max;
    yyjson_mut_val *item;
    if (!s)
        return;
    if (yyjson_mut_is_obj(v)) {
        prune_members(p, v, s, root, true, up);
    } else if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item)
            prune_kept(p, item, s->items, false, STEP_INDEX(up, i));
    }
}

static void prune(struct pruner *p, yyjson_mut_val *v, const struct structural *s, bool root,
                  const struct step *up)
{
    size_t i, max;
    yyjson_mut_val *item;
    if (s && s->preserve_unknown) {
        prune_kept(p, v, s, root, up);
    } else if (yyjson_mut_is_obj(v)) {
        prune_members(p, v, s, root, false, up);
    } else if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item)
            prune(p, item, s ? s->items : NULL, false, STEP_INDEX(up, i));
    }
}

void structural_prune(yyjson_mut_val *root, const struct structural *s,
                      structural_unknown_fn *unknown, void *ctx)
{
    struct pruner p = {unknown, ctx};
    prune(&p, root, s, true, NULL);
}

void structural_prune_value(yyjson_mut_val *value, const struct structural *s)
{
    struct pruner p = {NULL, NULL};
    prune(&p, value, s, false, NULL);
}

/* ---- defaulting ---- */

/* Nulls where none is allowed: gone, unless a default takes their place. */
static void drop_nulls(yyjson_mut_val *v, const struct structural *s)
{
    size_t i, max;
    yyjson_mut_val *item, *key;
    if (!s)
        return;
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item)
            drop_nulls(item, s->items);
        return;
    }
    if (!yyjson_mut_is_obj(v))
        return;
    yyjson_mut_obj_iter it;
    yyjson_mut_obj_iter_init(v, &it);
    while ((key = yyjson_mut_obj_iter_next(&it))) {
        const struct structural *below = structural_member(s, mut_text(key));
        item = yyjson_mut_obj_iter_get_val(key);
        if (yyjson_mut_is_null(item) && below && !below->nullable && !below->default_value)
            yyjson_mut_obj_iter_remove(&it);
        else
            drop_nulls(item, below);
    }
}

static bool wants_default(yyjson_mut_val *v, const struct structural *s)
{
    return s && s->default_value && (!v || (yyjson_mut_is_null(v) && !s->nullable));
}

struct defaulting {
    yyjson_mut_doc *doc;
    size_t room; /* for the text of what is still added */
};

/* A copy of the default; NULL: there is no room for it (nor for any after it). */
static yyjson_mut_val *default_of(struct defaulting *d, const struct structural *s, size_t more)
{
    size_t n = strlen(s->default_json) + more;
    if (n > d->room) {
        d->room = 0;
        return NULL;
    }
    d->room -= n;
    return yyjson_val_mut_copy(d->doc, s->default_value);
}

/* Put the default's value where a value stands. */
static bool overwrite(struct defaulting *d, yyjson_mut_val *at, const struct structural *s)
{
    yyjson_mut_val *copy = default_of(d, s, 0), *next = at->next;
    if (!copy)
        return false;
    *at = *copy;
    at->next = next;
    return true;
}

/* The properties that are absent and have a default. What is there is looked up in the schema, not the other way
 * round: each step is paid for by a byte of the object or of a default. */
static bool add_absent(struct defaulting *d, yyjson_mut_val *v, const struct structural *s)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (s->defaulted_len == 0)
        return true;
    bool *there = mem_zalloc(s->defaulted_len), fits = true;
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        const struct structural_property *p = structural_find(s, mut_text(key));
        if (p && p->schema->default_value)
            there[p->defaulted] = true;
    }
    for (size_t k = 0; k < s->defaulted_len && fits; k++) {
        const struct structural_property *p = s->defaulted[k];
        if (there[k])
            continue;
        yyjson_mut_val *value = default_of(d, p->schema, p->name.n + strlen("\"\":,"));
        fits = value && yyjson_mut_obj_add(v, yyjson_mut_strn(d->doc, p->name.p, p->name.n), value);
    }
    mem_free(there);
    return fits;
}

static bool set_defaults(struct defaulting *d, yyjson_mut_val *v, const struct structural *s)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (!s || !s->defaults_below)
        return true;
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach (v, i, max, item) {
            if ((wants_default(item, s->items) && !overwrite(d, item, s->items)) ||
                !set_defaults(d, item, s->items))
                return false;
        }
        return true;
    }
    if (!yyjson_mut_is_obj(v))
        return true;
    if (!add_absent(d, v, s))
        return false;
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        const struct structural *below = structural_member(s, mut_text(key));
        if ((wants_default(item, below) && !overwrite(d, item, below)) ||
            !set_defaults(d, item, below))
            return false;
    }
    return true;
}

int structural_default(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct structural *s,
                       struct error *err)
{
    struct defaulting d = {doc, STRUCTURAL_DEFAULTED_MAX};
    drop_nulls(root, s);
    return set_defaults(&d, root, s)
               ? 0
               : error_set(err, ERR_LIMIT, "defaults of its schema add more than %u bytes",
                           STRUCTURAL_DEFAULTED_MAX);
}
