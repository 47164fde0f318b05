/*
 * Validating documents by structural schemas, in the words of the validator that Kubernetes uses.
 *
 * Where one of several alternatives must hold, the errors shown are those of the alternative that came
 * closest, by counting the checks that passed (struct result.matches), as published.
 */
#include "api/structural/internal.h"
#include <math.h>

/* Of paths and values made for errors, more than anybody reads: the first errors are kept, and later ones, of which
 * a long document has many, do without. */
#define TEXT_BYTES_MAX (16u << 20)

struct validation {
    struct arena *a;
    const char *base; /* path of the value the walk began with */
    size_t made;      /* bytes of paths and values so far */
};

struct result {
    struct field_errors errors;
    unsigned matches;
};

static void check(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                  yyjson_mut_val *old, const struct step *at, struct result *r);

/* ---- errors ---- */

static const char *path_of(struct validation *v, const struct step *at)
{
    if (v->made >= TEXT_BYTES_MAX)
        return v->base;
    const char *path = step_path(v->a, v->base, at);
    v->made += strlen(path);
    return path;
}

/* How errors show a value. */
static const char *shown(struct validation *v, yyjson_mut_val *value)
{
    struct buf b;
    if (v->made >= TEXT_BYTES_MAX)
        return "";
    buf_init(&b);
    json_write_canonical(value, &b);
    const char *text = arena_strndup(v->a, b.data, b.len);
    v->made += b.len;
    buf_free(&b);
    return text;
}

static const char *number_text(struct validation *v, double d)
{
    struct buf b;
    buf_init(&b);
    emit_double(&b, d);
    const char *text = arena_strndup(v->a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* An error at a path (upstream shows no path at all as <nil>). */
static void add(struct validation *v, struct result *r, enum field_error_type type,
                const char *path, const char *bad, const char *detail)
{
    (void)v;
    field_error_add(&r->errors, type, *path ? path : "<nil>", bad, "%s", detail);
}

/* "spec.x in body <what>"; `bad` as shown. */
static void invalid(struct validation *v, struct result *r, const struct step *at, const char *bad,
                    const char *what)
{
    const char *path = path_of(v, at);
    add(v, r, FIELD_INVALID, path, bad, arena_printf(v->a, "%s in body %s", path, what));
}

static void wrong_type(struct validation *v, struct result *r, const struct step *at,
                       const char *wanted, const char *found)
{
    const char *path = path_of(v, at), *quoted = field_quote(v->a, found);
    add(v, r, FIELD_TYPE_INVALID, path, quoted,
        arena_printf(v->a, "%s in body must be of type %s: %s", path, wanted, quoted));
}

/* Of a junctor: it has no path but names one. */
static void composite(struct validation *v, struct result *r, const struct step *at,
                      const char *what)
{
    add(v, r, FIELD_INVALID, "", "\"\"",
        arena_printf(v->a, "%s %s", field_quote(v->a, path_of(v, at)), what));
}

static void merge(struct result *to, const struct result *from)
{
    for (size_t i = 0; i < from->errors.len; i++)
        field_error_copy(&to->errors, &from->errors.items[i]);
    to->matches += from->matches;
}

/* ---- one value ---- */

static const char *const type_names[] = {"",        "object", "array",  "string",
                                         "integer", "number", "boolean"};

static const char *wanted_type(const struct structural *s)
{
    return s->int_or_string ? "integer,string" : type_names[s->type];
}

static bool is_integral(yyjson_mut_val *value)
{
    struct number n = mut_number(value);
    return n.integer || (isfinite(n.d) && n.d == floor(n.d) && fabs(n.d) < 9007199254740992.0);
}

static bool type_holds(const struct structural *s, yyjson_mut_val *value)
{
    if (s->int_or_string)
        return yyjson_mut_is_str(value) || (mut_is_number(value) && is_integral(value));
    switch (s->type) {
    case STRUCTURAL_ANY:
        return true;
    case STRUCTURAL_OBJECT:
        return yyjson_mut_is_obj(value);
    case STRUCTURAL_ARRAY:
        return yyjson_mut_is_arr(value);
    case STRUCTURAL_STRING:
        return yyjson_mut_is_str(value);
    case STRUCTURAL_INTEGER:
        return mut_is_number(value) && is_integral(value);
    case STRUCTURAL_NUMBER:
        return mut_is_number(value);
    case STRUCTURAL_BOOLEAN:
        return yyjson_mut_is_bool(value);
    }
    return false;
}

static void check_type(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                       const struct step *at, struct result *r)
{
    if (type_holds(s, value))
        r->matches++;
    else
        wrong_type(v, r, at, wanted_type(s), mut_type_name(value));
}

static size_t characters(struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return n;
}

static void check_string(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                         const struct step *at, struct result *r)
{
    struct str text = mut_text(value);
    size_t n = s->rules->max_length >= 0 || s->rules->min_length >= 0 ? characters(text) : 0;
    if (s->rules->max_length >= 0 && n > (size_t)s->rules->max_length) {
        add(v, r, FIELD_TOO_LONG, path_of(v, at), NULL,
            arena_printf(v->a, "may not be more than %lld byte%s", (long long)s->rules->max_length,
                         s->rules->max_length == 1 ? "" : "s"));
        return;
    }
    if (s->rules->min_length >= 0 && n < (size_t)s->rules->min_length) {
        invalid(v, r, at, shown(v, value),
                arena_printf(v->a, "should be at least %lld chars long",
                             (long long)s->rules->min_length));
        return;
    }
    if (s->rules->compiled && structural_pattern_matches(s->rules->compiled, text) != 1)
        invalid(v, r, at, shown(v, value),
                arena_printf(v->a, "should match '%s'", s->rules->pattern));
}

static void check_format(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                         const struct step *at, struct result *r)
{
    struct str text = mut_text(value);
    if (structural_format_matches(s->rules->format, text)) {
        r->matches++;
        return;
    }
    const char *path = path_of(v, at), *quoted = shown(v, value);
    add(v, r, FIELD_TYPE_INVALID, path, quoted,
        arena_printf(v->a, "%s in body must be of type %s: %s", path, s->rules->format, quoted));
}

/* Out of the range that the format names. */
static bool in_range(const struct structural *s, struct number n)
{
    if (!s->rules->format || s->type != STRUCTURAL_INTEGER)
        return true;
    if (cstr_eq(s->rules->format, "int32"))
        return n.d >= INT32_MIN && n.d <= INT32_MAX;
    return n.integer || fabs(n.d) <= 9223372036854774784.0;
}

static bool is_multiple(struct number n, double of)
{
    if (of <= 0)
        return true;
    if (n.integer && of == floor(of) && of < 9e18)
        return n.i % (int64_t)of == 0;
    double quotient = n.d / of;
    return quotient == floor(quotient);
}

static void check_number(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                         const struct step *at, struct result *r)
{
    struct number n = mut_number(value);
    if (!in_range(s, n)) {
        const char *path = path_of(v, at);
        add(v, r, FIELD_INVALID, "", "\"\"",
            arena_printf(v->a, "Checked value must be of type %s with format %s in %s",
                         type_names[s->type], s->rules->format, path));
    }
    if (s->rules->has_multiple_of && !is_multiple(n, s->rules->multiple_of))
        invalid(v, r, at, shown(v, value),
                arena_printf(v->a, "should be a multiple of %s",
                             number_text(v, s->rules->multiple_of)));
    if (s->rules->has_minimum &&
        (n.d < s->rules->minimum || (s->rules->exclusive_minimum && n.d == s->rules->minimum)))
        invalid(v, r, at, shown(v, value),
                arena_printf(v->a, "should be greater than %s%s",
                             s->rules->exclusive_minimum ? "" : "or equal to ",
                             number_text(v, s->rules->minimum)));
    if (s->rules->has_maximum &&
        (n.d > s->rules->maximum || (s->rules->exclusive_maximum && n.d == s->rules->maximum)))
        invalid(v, r, at, shown(v, value),
                arena_printf(v->a, "should be less than %s%s",
                             s->rules->exclusive_maximum ? "" : "or equal to ",
                             number_text(v, s->rules->maximum)));
    r->matches++;
}

/* ---- lists and objects ---- */

/* Items of the old list by what makes them the same one; only maps have such. */
static void index_old(struct map *index, const struct structural *s, yyjson_mut_val *old)
{
    size_t i, max;
    yyjson_mut_val *item;
    map_init(index);
    if (s->list_type != STRUCTURAL_LIST_MAP || !s->items || !yyjson_mut_is_arr(old))
        return;
    yyjson_mut_arr_foreach (old, i, max, item) {
        struct buf b;
        buf_init(&b);
        if (yyjson_mut_is_obj(item)) {
            structural_identity(s, item, &b);
            if (!map_has(index, buf_str(&b)))
                map_put(index, buf_str(&b), item);
        }
        buf_free(&b);
    }
}

/* The item of the old list that is the same one. */
static yyjson_mut_val *old_item(const struct map *index, const struct structural *s,
                                yyjson_mut_val *item)
{
    if (index->len == 0 || !yyjson_mut_is_obj(item))
        return NULL;
    struct buf b;
    buf_init(&b);
    structural_identity(s, item, &b);
    yyjson_mut_val *found = map_get(index, buf_str(&b));
    buf_free(&b);
    return found;
}

static void check_items(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                        yyjson_mut_val *old, const struct step *at, struct result *r)
{
    size_t i, max;
    yyjson_mut_val *item;
    struct map index;
    index_old(&index, s, old);
    yyjson_mut_arr_foreach (value, i, max, item)
        check(v, s->items, item, old_item(&index, s, item), STEP_INDEX(at, i), r);
    map_free(&index);
}

static bool has_duplicates(yyjson_mut_val *list)
{
    struct map seen;
    size_t i, max;
    yyjson_mut_val *item;
    bool found = false;
    map_init(&seen);
    yyjson_mut_arr_foreach (list, i, max, item) {
        struct buf b;
        buf_init(&b);
        json_write_canonical(item, &b);
        found = found || map_has(&seen, buf_str(&b));
        map_put(&seen, buf_str(&b), item);
        buf_free(&b);
    }
    map_free(&seen);
    return found;
}

static void check_list(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                       yyjson_mut_val *old, const struct step *at, struct result *r)
{
    size_t n = yyjson_mut_arr_size(value);
    if (s->items)
        check_items(v, s, value, old, at, r);
    if (s->rules->min_items >= 0 && n < (size_t)s->rules->min_items)
        invalid(
            v, r, at, arena_printf(v->a, "%zu", n),
            arena_printf(v->a, "should have at least %lld items", (long long)s->rules->min_items));
    if (s->rules->max_items >= 0 && n > (size_t)s->rules->max_items)
        add(v, r, FIELD_TOO_MANY, path_of(v, at), arena_printf(v->a, "%zu", n),
            arena_printf(v->a, "must have at most %lld item%s", (long long)s->rules->max_items,
                         s->rules->max_items == 1 ? "" : "s"));
    if (s->rules->unique_items && has_duplicates(value))
        invalid(v, r, at, "\"\"", "shouldn't contain duplicates");
    r->matches++;
}

#define FEW_MEMBERS 16 /* so many are looked for one by one */

/* An object's members by name, for those who look for many. */
struct member_index {
    yyjson_mut_val *object;
    bool many;
    struct map map;
};

static void member_index_init(struct member_index *m, yyjson_mut_val *object, size_t lookups)
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    *m = (struct member_index){.object = object};
    map_init(&m->map);
    m->many = yyjson_mut_is_obj(object) && lookups > FEW_MEMBERS &&
              yyjson_mut_obj_size(object) > FEW_MEMBERS;
    if (!m->many)
        return;
    yyjson_mut_obj_foreach (object, i, max, key, item)
        if (!map_has(&m->map, mut_text(key)))
            map_put(&m->map, mut_text(key), item);
}

static yyjson_mut_val *member_of(const struct member_index *m, struct str name)
{
    return m->many ? map_get(&m->map, name) : mut_member(m->object, name);
}

static void check_required(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                           const struct step *at, struct result *r)
{
    struct member_index members;
    member_index_init(&members, value, s->rules->required_len);
    for (size_t k = 0; k < s->rules->required_len && !field_errors_full(&r->errors); k++) {
        struct str name = str_from(s->rules->required[k]);
        if (!member_of(&members, name))
            add(v, r, FIELD_REQUIRED, path_of(v, STEP_MEMBER(at, name)), NULL, "");
    }
    map_free(&members.map);
}

static void check_object(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                         yyjson_mut_val *old, const struct step *at, struct result *r)
{
    size_t n = yyjson_mut_obj_size(value), i, max;
    yyjson_mut_val *key, *item;
    if (s->rules->min_properties >= 0 && n < (size_t)s->rules->min_properties)
        invalid(v, r, at, arena_printf(v->a, "%zu", n),
                arena_printf(v->a, "should have at least %lld properties",
                             (long long)s->rules->min_properties));
    if (s->rules->max_properties >= 0 && n > (size_t)s->rules->max_properties)
        add(v, r, FIELD_TOO_MANY, path_of(v, at), arena_printf(v->a, "%zu", n),
            arena_printf(v->a, "must have at most %lld item%s", (long long)s->rules->max_properties,
                         s->rules->max_properties == 1 ? "" : "s"));
    struct member_index before;
    member_index_init(&before, old, n);
    yyjson_mut_obj_foreach (value, i, max, key, item) {
        struct str name = mut_text(key);
        const struct structural *below = structural_member(s, name);
        if (below)
            check(v, below, item, member_of(&before, name), STEP_MEMBER(at, name), r);
        else if (s->has_additional && !s->additional_allowed)
            add(v, r, FIELD_INVALID, path_of(v, at), "\"\"",
                arena_printf(v->a, "%s in body is a forbidden property",
                             path_of(v, STEP_MEMBER(at, name))));
    }
    map_free(&before.map);
    check_required(v, s, value, at, r);
}

/* ---- enums and junctors ---- */

static bool is_among(const struct structural_rules *rules, struct str text)
{
    size_t low = 0, high = rules->enums_len;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = str_cmp(text, rules->enums[mid]);
        if (order == 0)
            return true;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static void check_enum(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                       const struct step *at, struct result *r)
{
    struct buf text;
    buf_init(&text);
    json_write_canonical(value, &text);
    bool among = is_among(s->rules, buf_str(&text));
    buf_free(&text);
    if (among)
        return;
    const char *said = v->made < TEXT_BYTES_MAX ? s->rules->enums_said : "";
    v->made += strlen(said);
    add(v, r, FIELD_NOT_SUPPORTED, path_of(v, at), shown(v, value), said);
}

static struct result alternative(struct validation *v, const struct structural *s,
                                 yyjson_mut_val *value, const struct step *at)
{
    struct result r = {.errors = {.arena = v->a}};
    check(v, s, value, NULL, at, &r);
    return r;
}

/* How many of a list of alternatives hold, stopping at `enough`; the errors of the closest one. */
static size_t count_valid(struct validation *v, struct structural *const *list, size_t n,
                          size_t enough, yyjson_mut_val *value, const struct step *at,
                          struct result *best)
{
    size_t valid = 0;
    bool any = false;
    for (size_t i = 0; i < n && valid < enough; i++) {
        struct result r = alternative(v, list[i], value, at);
        if (r.errors.len == 0) {
            valid++;
        } else if (!any || r.matches > best->matches) {
            *best = r;
            any = true;
        }
    }
    return valid;
}

static void check_junctors(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                           const struct step *at, struct result *r)
{
    struct result best = {.errors = {.arena = v->a}};
    if (s->rules->any_of_len &&
        !count_valid(v, s->rules->any_of, s->rules->any_of_len, 1, value, at, &best)) {
        composite(v, r, at, "must validate at least one schema (anyOf)");
        merge(r, &best);
    }
    if (s->rules->one_of_len) {
        best = (struct result){.errors = {.arena = v->a}};
        size_t valid =
            count_valid(v, s->rules->one_of, s->rules->one_of_len, SIZE_MAX, value, at, &best);
        if (valid == 0) {
            composite(v, r, at, "must validate one and only one schema (oneOf). Found none valid");
            merge(r, &best);
        } else if (valid > 1) {
            composite(v, r, at,
                      arena_printf(v->a,
                                   "must validate one and only one schema (oneOf). Found %zu valid "
                                   "alternatives",
                                   valid));
        }
    }
    size_t held = 0;
    for (size_t i = 0; i < s->rules->all_of_len; i++) {
        struct result one = alternative(v, s->rules->all_of[i], value, at);
        held += one.errors.len == 0;
        merge(r, &one);
    }
    if (held < s->rules->all_of_len)
        composite(v, r, at,
                  held ? "must validate all the schemas (allOf)"
                       : "must validate all the schemas (allOf). None validated");
    if (s->rules->not_schema && alternative(v, s->rules->not_schema, value, at).errors.len == 0)
        composite(v, r, at, "must not validate the schema (not)");
    r->matches++;
}

/* ---- all of it ---- */

static void check_all(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                      yyjson_mut_val *old, const struct step *at, struct result *r)
{
    bool typed = s->type != STRUCTURAL_ANY || s->int_or_string;
    if (yyjson_mut_is_null(value)) {
        if (typed && !s->nullable)
            wrong_type(v, r, at, wanted_type(s), "null");
        if (s->rules->enums_said && !s->nullable)
            check_enum(v, s, value, at, r);
        r->matches++;
        return;
    }
    if (typed)
        check_type(v, s, value, at, r);
    check_junctors(v, s, value, at, r);
    if (yyjson_mut_is_str(value)) {
        check_string(v, s, value, at, r);
        if (s->rules->format && (s->type == STRUCTURAL_STRING || s->type == STRUCTURAL_ANY))
            check_format(v, s, value, at, r);
    } else if (mut_is_number(value)) {
        check_number(v, s, value, at, r);
    } else if (yyjson_mut_is_arr(value)) {
        check_list(v, s, value, old, at, r);
    }
    if (s->rules->enums_said)
        check_enum(v, s, value, at, r);
    if (yyjson_mut_is_obj(value))
        check_object(v, s, value, old, at, r);
    r->matches++;
}

static void check(struct validation *v, const struct structural *s, yyjson_mut_val *value,
                  yyjson_mut_val *old, const struct step *at, struct result *r)
{
    size_t before = r->errors.len, bytes = r->errors.bytes;
    check_all(v, s, value, old, at, r);
    if (r->errors.len > before && old && mut_equal(value, old)) {
        r->errors.len = before; /* it was so already */
        r->errors.bytes = bytes;
    }
}

void structural_validate(const struct structural *s, yyjson_mut_val *value, yyjson_mut_val *old,
                         const char *path, struct field_errors *e)
{
    if (!s)
        return;
    struct validation v = {e->arena, path, 0};
    struct result r = {.errors = *e};
    check(&v, s, value, old, NULL, &r);
    *e = r.errors;
}
