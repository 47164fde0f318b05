/*
 * Typed values: see typed.h.
 */
#include "api/fields/typed.h"
#include "api/patch/internal.h"
#include "base/arena_str.h"
#include <stdlib.h>

#define ERRORS_MAX 20

/* ---- equality ---- */

struct pair {
    struct str key;
    yyjson_mut_val *value;
};

static int pair_compare(const void *a, const void *b)
{
    return str_cmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static struct pair *pairs_sorted(yyjson_mut_val *object)
{
    struct pair *pairs = mem_alloc((yyjson_mut_obj_size(object) + 1) * sizeof *pairs);
    size_t i, max;
    yyjson_mut_val *key, *value;
    yyjson_mut_obj_foreach (object, i, max, key, value)
        pairs[i] = (struct pair){mut_str(key), value};
    qsort(pairs, max, sizeof *pairs, pair_compare);
    return pairs;
}

static bool objects_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    size_t n = yyjson_mut_obj_size(a);
    if (n != yyjson_mut_obj_size(b))
        return false;
    if (n == 0)
        return true;
    struct pair *x = pairs_sorted(a), *y = pairs_sorted(b);
    bool equal = true;
    for (size_t i = 0; i < n && equal; i++)
        equal = str_eq(x[i].key, y[i].key) && json_values_equal(x[i].value, y[i].value);
    mem_free(x);
    mem_free(y);
    return equal;
}

static bool arrays_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    size_t n = yyjson_mut_arr_size(a);
    if (n != yyjson_mut_arr_size(b))
        return false;
    yyjson_mut_arr_iter x, y;
    yyjson_mut_arr_iter_init(a, &x);
    yyjson_mut_arr_iter_init(b, &y);
    while (n--)
        if (!json_values_equal(yyjson_mut_arr_iter_next(&x), yyjson_mut_arr_iter_next(&y)))
            return false;
    return true;
}

static bool is_number(yyjson_mut_val *v)
{
    return yyjson_mut_is_raw(v) || yyjson_mut_is_num(v);
}

static double number_of(yyjson_mut_val *v)
{
    return yyjson_mut_is_raw(v) ? strtod(yyjson_mut_get_raw(v), NULL) : yyjson_mut_get_num(v);
}

bool json_values_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    if (is_number(a) && is_number(b)) {
        if (yyjson_mut_is_raw(a) && yyjson_mut_is_raw(b)) {
            struct str x = scalar_key(a), y = scalar_key(b);
            int64_t i, k;
            if (str_eq(x, y))
                return true;
            if (str_to_i64(x, &i) && str_to_i64(y, &k))
                return i == k;
        }
        return number_of(a) == number_of(b);
    }
    if (yyjson_mut_get_type(a) != yyjson_mut_get_type(b))
        return false;
    if (yyjson_mut_is_obj(a))
        return objects_equal(a, b);
    if (yyjson_mut_is_arr(a))
        return arrays_equal(a, b);
    return yyjson_mut_equals(a, b);
}

/* ---- making ---- */

struct frame {
    const struct frame *up;
    const struct field_step *step;
};

struct maker {
    struct typed_space *s;
    bool strict;
    struct buf errors; /* "path: message" lines */
    size_t errors_len;
};

static void path_of(struct maker *m, const struct frame *f, struct buf *out)
{
    if (!f)
        return;
    path_of(m, f->up, out);
    field_step_text(m->s->a, f->step, out);
}

static void complain(struct maker *m, const struct frame *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void complain(struct maker *m, const struct frame *at, const char *format, ...)
{
    if (!m->strict || m->errors_len++ >= ERRORS_MAX)
        return;
    va_list args;
    if (m->errors.len)
        buf_append_cstr(&m->errors, "\n  ");
    path_of(m, at, &m->errors);
    buf_append_cstr(&m->errors, ": ");
    va_start(args, format);
    buf_vprintf(&m->errors, format, args);
    va_end(args);
}

/* A value in an error message. */
static const char *shown(struct maker *m, yyjson_mut_val *v)
{
    size_t n;
    if (yyjson_mut_is_str(v))
        return arena_strndup(m->s->a, yyjson_mut_get_str(v), yyjson_mut_get_len(v));
    char *text = yyjson_mut_val_write(v, 0, &n);
    const char *copy = text ? arena_strndup(m->s->a, text, n < 100 ? n : 100) : "";
    free(text);
    return copy;
}

static void check_scalar(struct maker *m, const struct field_type *type, yyjson_mut_val *v,
                         const struct frame *at)
{
    static const char *const names[] = {"any scalar", "string", "numeric (int or float)",
                                        "boolean"};
    bool fits = !yyjson_mut_is_ctn(v) && (type->scalar == FIELD_ANY ||
                                          (type->scalar == FIELD_STRING && yyjson_mut_is_str(v)) ||
                                          (type->scalar == FIELD_NUMBER && is_number(v)) ||
                                          (type->scalar == FIELD_BOOLEAN && yyjson_mut_is_bool(v)));
    if (fits)
        return;
    if (type->scalar == FIELD_NUMBER)
        complain(m, at, "expected numeric (int or float), got %s",
                 yyjson_mut_is_str(v)    ? "string"
                 : yyjson_mut_is_bool(v) ? "bool"
                 : yyjson_mut_is_arr(v)  ? "[]interface {}"
                                         : "map[string]interface {}");
    else
        complain(m, at,
                 type->scalar == FIELD_STRING
                     ? "expected %s, got &value.valueUnstructured{Value:%s}"
                     : "expected %s, got &{%s}",
                 names[type->scalar], shown(m, v));
}

static struct typed *make(struct maker *m, const struct field_type *type, yyjson_mut_val *v,
                          const struct field_step *step, const struct frame *up, int depth);

static int child_compare(const void *a, const void *b)
{
    const struct typed *x = *(struct typed *const *)a, *y = *(struct typed *const *)b;
    int order = field_step_compare(&x->step, &y->step);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void make_map(struct maker *m, struct typed *t, const struct frame *at, int depth)
{
    size_t i, max, n = 0;
    yyjson_mut_val *key, *value;
    t->form = TYPED_MAP;
    t->children = arena_array(m->s->a, struct typed *, yyjson_mut_obj_size(t->value));
    yyjson_mut_obj_foreach (t->value, i, max, key, value) {
        struct field_step step = field_step_member(mut_str(key));
        struct field_type type;
        enum field_declared d = field_type_member(&t->type, step.name, &type);
        if (d == FIELD_UNKNOWN) {
            struct frame here = {at, &step};
            complain(m, &here, "field not declared in schema");
            if (m->strict)
                continue;
        }
        struct typed *child = make(m, &type, value, &step, at, depth + 1);
        child->declared = d == FIELD_DECLARED;
        child->index = (uint32_t)i;
        t->children[n++] = child;
    }
    qsort(t->children, n, sizeof *t->children, child_compare);
    for (i = 0; i < n; i++) /* of a member that stands twice the last one counts */
        if (i + 1 == n || field_step_compare(&t->children[i]->step, &t->children[i + 1]->step) != 0)
            t->children[t->len++] = t->children[i];
}

static void append_scalar(struct buf *b, yyjson_mut_val *v)
{
    if (yyjson_mut_is_str(v)) {
        buf_append_json_string(b, mut_str(v));
    } else if (yyjson_mut_is_raw(v) || yyjson_mut_is_bool(v)) {
        buf_append_str(b, scalar_key(v));
    } else {
        size_t n;
        char *text = yyjson_mut_val_write(v, 0, &n);
        buf_append(b, text ? text : "null", text ? n : 4);
        free(text);
    }
}

/* The step of a list item by its keys; NULL, or what is wrong with it. */
static const char *key_step(struct maker *m, const struct field_key *keys, size_t n,
                            yyjson_mut_val *item, struct field_step *out)
{
    if (yyjson_mut_is_null(item))
        return "associative list with keys may not have a null element";
    if (!yyjson_mut_is_obj(item))
        return "associative list with keys may not have non-map elements";
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *v = yyjson_mut_obj_getn(item, keys[i].name.p, keys[i].name.n);
        if (!v && !keys[i].default_value.p)
            continue;
        buf_append_char(&b, b.len ? ',' : '{');
        buf_append_json_string(&b, keys[i].name);
        buf_append_char(&b, ':');
        if (v)
            append_scalar(&b, v);
        else
            buf_append_str(&b, keys[i].default_value);
    }
    const char *wrong = NULL;
    if (b.len == 0) {
        buf_append_cstr(&b,
                        "associative list with keys has an element that omits all key fields [");
        for (size_t i = 0; i < n; i++)
            buf_printf(&b, "%s\"%.*s\"", i ? " " : "", STR_ARG(keys[i].name));
        buf_append_cstr(&b, "] (and doesn't have default values for any key fields)");
        wrong = arena_strdup(m->s->a, buf_cstr(&b));
    } else {
        buf_append_char(&b, '}');
        *out = (struct field_step){'k', arena_copy(m->s->a, buf_str(&b))};
    }
    buf_free(&b);
    return wrong;
}

static const char *value_step(struct maker *m, yyjson_mut_val *item, struct field_step *out)
{
    if (yyjson_mut_is_obj(item))
        return "associative list without keys has an element that's a map type";
    if (yyjson_mut_is_arr(item))
        return "not supported: associative list with lists as elements";
    if (yyjson_mut_is_null(item))
        return "associative list without keys has an element that's an explicit null";
    struct buf b;
    buf_init(&b);
    append_scalar(&b, item);
    *out = (struct field_step){'v', arena_copy(m->s->a, buf_str(&b))};
    buf_free(&b);
    return NULL;
}

/* False: an item that has no step; the list is one value then. */
static bool make_items(struct maker *m, struct typed *t, const struct frame *at, int depth)
{
    struct field_key keys[FIELD_KEYS_MAX];
    struct field_type type;
    size_t n = t->type.kind == FIELD_LIST_MAP ? t->type.schema->keys(&t->type, keys) : 0, i, max;
    yyjson_mut_val *item;
    bool fine = true;
    t->type.schema->item(&t->type, &type);
    yyjson_mut_arr_foreach (t->value, i, max, item) {
        struct field_step step;
        const char *wrong = t->type.kind == FIELD_LIST_MAP ? key_step(m, keys, n, item, &step)
                                                           : value_step(m, item, &step);
        if (wrong && !m->strict && yyjson_mut_is_null(item))
            continue; /* what is left of an item whose every field was taken out */
        if (wrong) {
            complain(m, at, "element %zu: %s", i, wrong);
            fine = false;
            continue;
        }
        t->in_order[t->len] = make(m, &type, item, &step, at, depth + 1);
        t->in_order[t->len]->index = (uint32_t)i;
        t->len++;
    }
    return fine;
}

static void make_list(struct maker *m, struct typed *t, const struct frame *at, int depth)
{
    size_t n = yyjson_mut_arr_size(t->value);
    t->children = arena_array(m->s->a, struct typed *, n);
    t->in_order = arena_array(m->s->a, struct typed *, n);
    if (!make_items(m, t, at, depth)) {
        t->len = 0;
        return;
    }
    t->form = TYPED_LIST;
    if (t->len)
        memcpy(t->children, t->in_order, t->len * sizeof *t->children);
    qsort(t->children, t->len, sizeof *t->children, child_compare);
    for (size_t i = 1; i < t->len; i++) {
        struct typed *x = t->children[i - 1], *y = t->children[i];
        if (field_step_compare(&x->step, &y->step) != 0)
            continue;
        if (!x->duplicate && m->strict) {
            struct buf key;
            buf_init(&key);
            field_step_text(m->s->a, &y->step, &key);
            complain(m, at, "duplicate entries for key %s", buf_cstr(&key));
            buf_free(&key);
        }
        x->duplicate = y->duplicate = true;
    }
}

static struct typed *make(struct maker *m, const struct field_type *type, yyjson_mut_val *v,
                          const struct field_step *step, const struct frame *up, int depth)
{
    struct typed *t = arena_new(m->s->a, struct typed);
    *t = (struct typed){.step = *step, .type = *type, .value = v};
    struct frame frame = {up, step}, *at = step->kind ? &frame : NULL;
    if (yyjson_mut_is_null(v))
        return t;
    if (depth > FIELD_SET_DEPTH_MAX) {
        m->errors_len += !m->strict;
        complain(m, at, "nested too deep");
        return t;
    }
    switch (type->kind) {
    case FIELD_SCALAR:
        check_scalar(m, type, v, at);
        break;
    case FIELD_ATOMIC:
        break;
    case FIELD_STRUCT:
    case FIELD_MAP:
        if (yyjson_mut_is_obj(v))
            make_map(m, t, at, depth);
        else
            complain(m, at, "expected map, got &{%s}", shown(m, v));
        break;
    case FIELD_LIST_MAP:
    case FIELD_LIST_SET:
        if (yyjson_mut_is_arr(v))
            make_list(m, t, at, depth);
        else
            complain(m, at, "expected list, got &{%s}", shown(m, v));
        break;
    case FIELD_UNTYPED:
        if (yyjson_mut_is_obj(v))
            make_map(m, t, at, depth);
        break;
    }
    return t;
}

int typed_new(struct typed_space *s, const struct field_type *type, yyjson_mut_val *value,
              bool strict, struct typed **out, struct error *err)
{
    struct maker m = {.s = s, .strict = strict};
    struct field_step root = {0, STR_NONE};
    buf_init(&m.errors);
    *out = make(&m, type, value, &root, NULL, 0);
    int rc = 0;
    if (m.errors_len)
        rc = error_set(err, ERR_INVALID, "%s%s", m.errors_len > 1 ? "errors:\n  " : "",
                       strict ? buf_cstr(&m.errors) : "nested too deep");
    buf_free(&m.errors);
    return rc;
}

/* ---- the fields of a configuration ---- */

/* NULL when there is none; `forced`: the path of v itself is one. */
static struct field_set *fields_of(struct typed_space *s, const struct typed *v, bool forced)
{
    struct field_set *head = NULL, **tail = &head;
    for (size_t i = 0; i < v->len; i++) {
        const struct typed *c = v->children[i];
        if (i && field_step_compare(&c->step, &v->children[i - 1]->step) == 0)
            continue;
        bool itself = v->form == TYPED_LIST || !c->declared || (c->form == TYPED_MAP && !c->len);
        tail = field_set_append(tail, c->duplicate ? field_set_new(s->a, c->step, true)
                                                   : fields_of(s, c, itself));
    }
    bool member = forced || v->form == TYPED_LEAF;
    if (!member && !head)
        return NULL;
    struct field_set *set = field_set_new(s->a, v->step, member);
    set->children = head;
    return set;
}

struct field_set *typed_fields(struct typed_space *s, const struct typed *v)
{
    return fields_of(s, v, false);
}

/* ---- comparing ---- */

enum { ADDED, MODIFIED, REMOVED, DELTAS };

struct compared {
    struct field_set *set[DELTAS];
};

static bool is_nothing(const struct typed *v)
{
    return !v || yyjson_mut_is_null(v->value);
}

static const struct field_step *step_of(const struct typed *l, const struct typed *r)
{
    return l ? &l->step : &r->step;
}

static void mark(struct typed_space *s, struct compared *c, int which,
                 const struct field_step *step)
{
    if (!c->set[which])
        c->set[which] = field_set_new(s->a, *step, true);
    c->set[which]->member = true;
}

static void compare_leaf(struct typed_space *s, const struct typed *l, const struct typed *r,
                         struct compared *out)
{
    if (!l)
        mark(s, out, ADDED, &r->step);
    else if (!r)
        mark(s, out, REMOVED, &l->step);
    else if (!json_values_equal(l->value, r->value))
        mark(s, out, MODIFIED, &l->step);
}

static struct compared compare(struct typed_space *s, const struct typed *l, const struct typed *r);

/* Items that stand more than once on a side are compared as a group. */
static struct compared compare_group(struct typed_space *s, struct typed *const *l, size_t nl,
                                     struct typed *const *r, size_t nr)
{
    if (nl <= 1 && nr <= 1)
        return compare(s, nl ? *l : NULL, nr ? *r : NULL);
    struct compared out = {{NULL}};
    bool same = nl == nr;
    for (size_t i = 0; i < nl && same; i++)
        same = json_values_equal(l[i]->value, r[i]->value);
    if (!same)
        mark(s, &out,
             nl == 0   ? ADDED
             : nr == 0 ? REMOVED
                       : MODIFIED,
             nl ? &(*l)->step : &(*r)->step);
    return out;
}

static size_t group_len(const struct typed *v, size_t at)
{
    size_t n = 1;
    while (at + n < v->len &&
           field_step_compare(&v->children[at]->step, &v->children[at + n]->step) == 0)
        n++;
    return n;
}

static const struct typed nothing;

/* Children side by side; appended to what *out has. */
static void compare_children(struct typed_space *s, const struct typed *l, const struct typed *r,
                             const struct field_step *step, struct compared *out)
{
    struct field_set *heads[DELTAS] = {NULL}, **tails[DELTAS];
    for (int d = 0; d < DELTAS; d++)
        tails[d] = &heads[d];
    size_t i = 0, k = 0;
    while (i < l->len || k < r->len) {
        int order = i == l->len ? 1
                    : k == r->len
                        ? -1
                        : field_step_compare(&l->children[i]->step, &r->children[k]->step);
        size_t nl = order <= 0 ? group_len(l, i) : 0, nr = order >= 0 ? group_len(r, k) : 0;
        struct compared c =
            compare_group(s, nl ? l->children + i : NULL, nl, nr ? r->children + k : NULL, nr);
        for (int d = 0; d < DELTAS; d++)
            tails[d] = field_set_append(tails[d], c.set[d]);
        i += nl;
        k += nr;
    }
    for (int d = 0; d < DELTAS; d++) {
        if (!heads[d])
            continue;
        if (!out->set[d])
            out->set[d] = field_set_new(s->a, *step, false);
        out->set[d]->children = heads[d];
    }
}

/* As `form` wants it: a side of another form counts as empty. */
static void compare_as(struct typed_space *s, enum typed_form form, const struct typed *l,
                       const struct typed *r, struct compared *out)
{
    const struct typed *lc = l && l->form == form ? l : &nothing;
    const struct typed *rc = r && r->form == form ? r : &nothing;
    if (form == TYPED_LEAF || (lc->len == 0 && rc->len == 0)) {
        compare_leaf(s, l, r, out);
        return;
    }
    compare_children(s, lc, rc, step_of(l, r), out);
    if (!l)
        mark(s, out, ADDED, &r->step);
    else if (!r)
        mark(s, out, REMOVED, &l->step);
}

static struct compared compare(struct typed_space *s, const struct typed *l, const struct typed *r)
{
    struct compared out = {{NULL}};
    if (is_nothing(l) || is_nothing(r)) {
        enum typed_form form = !is_nothing(r) ? r->form : !is_nothing(l) ? l->form : TYPED_LEAF;
        compare_as(s, form, l, r, &out);
    } else if (l->form == r->form) {
        compare_as(s, l->form, l, r, &out);
    } else {
        if (l->form != TYPED_LEAF)
            compare_as(s, l->form, l, r, &out);
        if (r->form != TYPED_LEAF)
            compare_as(s, r->form, l, r, &out);
        mark(s, &out, MODIFIED, &l->step);
    }
    return out;
}

void typed_compare(struct typed_space *s, const struct typed *old, const struct typed *now,
                   struct field_delta *out)
{
    struct compared c = compare(s, old, now);
    *out = (struct field_delta){c.set[ADDED], c.set[MODIFIED], c.set[REMOVED]};
}

/* ---- merging ---- */

static yyjson_mut_val *copy(struct typed_space *s, yyjson_mut_val *v)
{
    return yyjson_mut_val_mut_copy(s->doc, v);
}

static void add_member(struct typed_space *s, yyjson_mut_val *object, struct str name,
                       yyjson_mut_val *value)
{
    yyjson_mut_obj_add(object, yyjson_mut_strn(s->doc, name.p, name.n), value);
}

static yyjson_mut_val *merge_maps(struct typed_space *s, const struct typed *base,
                                  const struct typed *over)
{
    yyjson_mut_val *out = yyjson_mut_obj(s->doc);
    size_t i = 0, k = 0;
    while (i < base->len || k < over->len) {
        int order = i == base->len ? 1
                    : k == over->len
                        ? -1
                        : field_step_compare(&base->children[i]->step, &over->children[k]->step);
        const struct typed *l = order <= 0 ? base->children[i++] : NULL;
        const struct typed *r = order >= 0 ? over->children[k++] : NULL;
        add_member(s, out, step_of(l, r)->name, typed_merge(s, l, r));
    }
    return out;
}

/* The items with this step among sorted children: how many, the first in *out. */
static size_t find_items(const struct typed *list, const struct field_step *step,
                         struct typed **out)
{
    size_t low = 0, high = list->len;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (field_step_compare(&list->children[mid]->step, step) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == list->len || field_step_compare(&list->children[low]->step, step) != 0)
        return 0;
    *out = list->children[low];
    return group_len(list, low);
}

/* Append what only base has, from *i to `end`. */
static void keep_items(struct typed_space *s, yyjson_mut_val *out, const struct typed *base,
                       const bool *in_over, size_t *i, size_t end)
{
    for (; *i < end; ++*i)
        if (!in_over[*i])
            yyjson_mut_arr_append(out, copy(s, base->in_order[*i]->value));
}

/* Where an item with this step comes next from i on; past the end where none does. */
static size_t next_place(const struct typed *base, const struct field_step *step, size_t i)
{
    struct typed *found;
    if (find_items(base, step, &found) <= 1)
        return found->index >= i ? found->index : base->len;
    while (i < base->len && field_step_compare(&base->in_order[i]->step, step) != 0)
        i++;
    return i;
}

/*
 * The items of both. What both have comes in over's order; before it, what only base has up to that
 * item's old place. Where over's order goes back in base, the rest of base comes first.
 */
static yyjson_mut_val *merge_lists(struct typed_space *s, const struct typed *base,
                                   const struct typed *over)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc);
    struct typed **shared = arena_array(s->a, struct typed *, over->len), *found;
    bool *in_over = arena_array(s->a, bool, base->len);
    size_t *next = arena_array(s->a, size_t, over->len + 1); /* the next shared item from k on */
    for (size_t i = 0; i < base->len; i++)
        in_over[i] = find_items(over, &base->in_order[i]->step, &found) > 0;
    next[over->len] = over->len;
    for (size_t k = over->len; k-- > 0;) {
        bool has = find_items(base, &over->in_order[k]->step, &shared[k]) > 0;
        shared[k] = has ? shared[k] : NULL;
        next[k] = has ? k : next[k + 1];
    }
    size_t i = 0;
    for (size_t k = 0; k < over->len; k++) {
        size_t upto = i;
        if (next[k] < over->len) {
            upto = next_place(base, &over->in_order[next[k]]->step, i);
        } else {
            while (upto < base->len && !in_over[upto])
                upto++;
        }
        keep_items(s, out, base, in_over, &i, upto);
        const struct typed *mine = shared[k] && !shared[k]->duplicate ? shared[k] : NULL;
        yyjson_mut_arr_append(out, typed_merge(s, mine, over->in_order[k]));
        i += i < base->len && (shared[k] || next[k] == over->len);
    }
    keep_items(s, out, base, in_over, &i, base->len);
    return out;
}

yyjson_mut_val *typed_merge(struct typed_space *s, const struct typed *base,
                            const struct typed *over)
{
    if (!base || !over)
        return copy(s, over ? over->value : base->value);
    if (is_nothing(over) && base->form != TYPED_LEAF && base->len)
        return copy(s, base->value);
    if (over->form == TYPED_LEAF || over->form != base->form)
        return copy(s, over->value);
    if (over->form == TYPED_MAP)
        return merge_maps(s, base, over);
    return merge_lists(s, base, over);
}

/* ---- taking fields out ---- */

/* Every child's node in the set, or NULL. */
static void mark_children(const struct typed *v, const struct field_set *set)
{
    const struct field_set *m = set ? set->children : NULL;
    for (size_t i = 0; i < v->len; i++) {
        struct typed *c = v->children[i];
        while (m && field_step_compare(&m->step, &c->step) < 0)
            m = m->next;
        c->mark = m && field_step_compare(&m->step, &c->step) == 0 ? m : NULL;
    }
}

yyjson_mut_val *typed_without(struct typed_space *s, const struct typed *v,
                              const struct field_set *set)
{
    if (!set || !set->children)
        return copy(s, v->value);
    if (v->form == TYPED_LEAF) /* fields in what is one value: it has become atomic since */
        return yyjson_mut_is_ctn(v->value) ? yyjson_mut_null(s->doc) : copy(s, v->value);
    bool list = v->form == TYPED_LIST;
    yyjson_mut_val *out = list ? yyjson_mut_arr(s->doc) : yyjson_mut_obj(s->doc);
    size_t kept = 0;
    mark_children(v, set);
    for (size_t i = 0; i < v->len; i++) {
        const struct typed *c = list ? v->in_order[i] : v->children[i];
        if (c->mark && c->mark->member)
            continue;
        yyjson_mut_val *value = typed_without(s, c, c->mark);
        kept++;
        if (list)
            yyjson_mut_arr_append(out, value);
        else
            add_member(s, out, c->step.name, value);
    }
    return kept ? out : yyjson_mut_null(s->doc);
}
