/*
 * Field sets: see field_set.h.
 */
#include "api/fields/field_set.h"
#include "api/codec_internal.h"
#include "base/arena_str.h"
#include <stdlib.h>

int field_step_compare(const struct field_step *a, const struct field_step *b)
{
    if (a->kind != b->kind) {
        static const char order[] = "fkvi";
        return (int)(strchr(order, a->kind) - order) - (int)(strchr(order, b->kind) - order);
    }
    if (a->name.p == b->name.p && a->name.n == b->name.n)
        return 0;
    return str_cmp(a->name, b->name);
}

struct field_set *field_set_new(struct arena *a, struct field_step step, bool member)
{
    struct field_set *s = arena_alloc(a, sizeof *s);
    *s = (struct field_set){.step = step, .member = member};
    return s;
}

/* ---- FieldsV1 ---- */

static int set_step(const void *a, const void *b)
{
    return field_step_compare(&(*(struct field_set *const *)a)->step,
                              &(*(struct field_set *const *)b)->step);
}

/* Of equal steps. In halves: one by one, each would copy again what all before it have. */
static struct field_set *united(struct arena *a, struct field_set **all, size_t n)
{
    return n == 1 ? all[0]
                  : field_set_union(a, united(a, all, n / 2), united(a, all + n / 2, n - n / 2));
}

/* Ours are in order; other writers' may not be. Equal ones are united. */
static struct field_set *sorted(struct arena *a, struct field_set *list, size_t n)
{
    struct field_set **all = arena_array(a, struct field_set *, n), *head = NULL, **tail = &head;
    size_t i = 0, equal;
    for (struct field_set *s = list; s; s = s->next)
        all[i++] = s;
    qsort(all, n, sizeof *all, set_step);
    for (i = 0; i < n; i += equal) {
        for (equal = 1; i + equal < n && set_step(all + i, all + i + equal) == 0;)
            equal++;
        struct field_set *one = united(a, all + i, equal);
        one->next = NULL;
        tail = field_set_append(tail, one);
    }
    return head;
}

static int key_compare(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    return str_cmp(str_make(yyjson_get_str(x), yyjson_get_len(x)),
                   str_make(yyjson_get_str(y), yyjson_get_len(y)));
}

static void append_json(struct buf *b, yyjson_val *v)
{
    if (yyjson_is_str(v)) {
        buf_append_json_string(b, str_make(yyjson_get_str(v), yyjson_get_len(v)));
        return;
    }
    size_t n;
    char *text = yyjson_val_write(v, 0, &n);
    buf_append(b, text ? text : "null", text ? n : 4);
    free(text);
}

/* A plain JSON string at the front, without escapes: its length with the quotes, 0 when it is none. */
static size_t plain_string(struct str s)
{
    if (s.n < 2 || s.p[0] != '"')
        return 0;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == '\\')
            return 0;
    }
    return 0;
}

/* The same of a string, a whole number or a boolean. */
static size_t plain_scalar(struct str s)
{
    size_t n = 0;
    if (s.n && s.p[0] == '"')
        return plain_string(s);
    if (str_has_prefix(s, STR("true")) || str_has_prefix(s, STR("false")))
        return s.p[0] == 't' ? 4 : 5;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n > 1 && s.p[0] == '0' ? 0 : n;
}

/* Is it {"a":1,"b":"x"} with its names in order? What we write is, and needs no parser. */
static bool is_canonical_key(struct str s)
{
    struct str last = STR_NONE;
    if (s.n < 2 || s.p[0] != '{')
        return false;
    do {
        s = str_slice(s, 1, s.n);
        size_t n = plain_string(s);
        struct str name = str_slice(s, 0, n);
        if (n == 0 || n == s.n || s.p[n] != ':' || (last.p && str_cmp(last, name) >= 0))
            return false;
        last = name;
        s = str_slice(s, n + 1, s.n);
        if ((n = plain_scalar(s)) == 0)
            return false;
        s = str_slice(s, n, s.n);
    } while (s.n && s.p[0] == ',');
    return str_eqz(s, "}");
}

/* The canonical text of a key {"name":"a"}: members sorted, no spaces. */
static int canonical_key(struct arena *a, struct str text, struct str *out, struct error *err)
{
    yyjson_val *v, *keys[FIELD_KEYS_MAX], *key, *value;
    *out = text;
    if (is_canonical_key(text))
        return 0;
    if (json_read(a, text, &v, err) < 0)
        return ERR_INVALID;
    size_t n = yyjson_obj_size(v), i, max;
    if (!yyjson_is_obj(v) || n == 0 || n > FIELD_KEYS_MAX)
        return error_set(err, ERR_INVALID, "invalid key");
    yyjson_obj_foreach (v, i, max, key, value)
        keys[i] = key;
    qsort(keys, n, sizeof *keys, key_compare);
    struct buf b;
    buf_init(&b);
    for (i = 0; i < n; i++) {
        buf_append_char(&b, i ? ',' : '{');
        append_json(&b, keys[i]);
        buf_append_char(&b, ':');
        append_json(&b, yyjson_obj_iter_get_val(keys[i]));
    }
    buf_append_char(&b, '}');
    *out = arena_copy(a, buf_str(&b));
    buf_free(&b);
    return 0;
}

/* `f:name`, `k:{…}`, `v:1`, `i:0`. */
static int step_parse(struct arena *a, struct str text, struct field_step *out, struct error *err)
{
    if (text.n < 2 || text.p[1] != ':' || !strchr("fkvi", text.p[0]))
        return error_set(err, ERR_INVALID, "invalid path element \"%.*s\"",
                         (int)(text.n < 50 ? text.n : 50), text.p);
    *out = (struct field_step){text.p[0], str_slice(text, 2, text.n)};
    if (out->kind == 'f' || out->kind == 'i')
        return 0;
    if (out->kind == 'k')
        return canonical_key(a, out->name, &out->name, err);
    yyjson_val *v;
    return json_read(a, out->name, &v, err) < 0 ? ERR_INVALID : 0;
}

static int parse_children(struct arena *a, yyjson_val *v, struct field_set *parent, int depth,
                          struct error *err)
{
    if (!yyjson_is_obj(v) || depth > FIELD_SET_DEPTH_MAX)
        return error_set(err, ERR_INVALID, "fields must be nested objects");
    struct field_set **tail = &parent->children, *last = NULL;
    bool in_order = true;
    size_t n = 0, i, max;
    yyjson_val *key, *value;
    if (yyjson_obj_size(v) == 0)
        parent->member = true;
    yyjson_obj_foreach (v, i, max, key, value) {
        struct str name = str_make(yyjson_get_str(key), yyjson_get_len(key));
        struct field_step step;
        if (str_eqz(name, ".")) {
            parent->member = true;
            continue;
        }
        int rc = step_parse(a, name, &step, err);
        if (rc < 0)
            return rc;
        struct field_set *child = field_set_new(a, step, false);
        if ((rc = parse_children(a, value, child, depth + 1, err)) < 0)
            return rc;
        in_order = in_order && (!last || field_step_compare(&last->step, &step) < 0);
        last = child;
        tail = field_set_append(tail, child);
        n++;
    }
    if (!in_order)
        parent->children = sorted(a, parent->children, n);
    return 0;
}

int field_set_parse(struct arena *a, struct str fields_v1, struct field_set **out,
                    struct error *err)
{
    yyjson_val *v;
    *out = NULL;
    if (fields_v1.n == 0)
        return 0;
    int rc = json_read(a, fields_v1, &v, err);
    if (rc < 0)
        return rc;
    struct field_set *root = field_set_new(a, (struct field_step){0, STR_NONE}, false);
    if ((rc = parse_children(a, v, root, 0, err)) < 0)
        return rc;
    root->member = false;
    *out = root->children ? root : NULL;
    return 0;
}

/* Does a JSON string of it need no escape? */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return true;
}

static void write_step(const struct field_step *s, struct buf *out)
{
    char head[3] = {'"', s->kind, ':'};
    if (is_plain(s->name)) {
        put(out, head, 3);
        put(out, s->name.p, s->name.n);
        put_literal(out, "\":");
        return;
    }
    struct buf text;
    buf_init(&text);
    put(&text, head + 1, 2);
    put(&text, s->name.p, s->name.n);
    buf_append_json_string(out, buf_str(&text));
    put_char(out, ':');
    buf_free(&text);
}

void field_set_write(const struct field_set *s, struct buf *out)
{
    bool first = true;
    put_char(out, '{');
    if (s && s->member && s->children) {
        put_literal(out, "\".\":{}");
        first = false;
    }
    for (const struct field_set *c = s ? s->children : NULL; c; c = c->next) {
        if (!first)
            put_char(out, ',');
        first = false;
        write_step(&c->step, out);
        if (c->children)
            field_set_write(c, out);
        else
            put_literal(out, "{}");
    }
    put_char(out, '}');
}

/* ---- operations ---- */

/* A node with these contents; NULL when it holds nothing. */
static struct field_set *made(struct arena *a, const struct field_set *like, bool member,
                              struct field_set *children)
{
    if (!member && !children)
        return NULL;
    struct field_set *s = field_set_new(a, like->step, member);
    s->children = children;
    return s;
}

/* A node of its own place in a list, with the same children. */
static struct field_set *shared(struct arena *a, const struct field_set *s)
{
    return made(a, s, s->member, s->children);
}

/* The first of the next children: <0 x's, >0 y's, 0 both. */
static int next_of(const struct field_set *x, const struct field_set *y)
{
    if (!x || !y)
        return x ? -1 : 1;
    return field_step_compare(&x->step, &y->step);
}

struct field_set *field_set_union(struct arena *a, const struct field_set *x,
                                  const struct field_set *y)
{
    if (!x || !y)
        return x ? shared(a, x) : y ? shared(a, y) : NULL;
    struct field_set *head = NULL, **tail = &head;
    const struct field_set *p = x->children, *q = y->children;
    while (p || q) {
        int order = next_of(p, q);
        tail = field_set_append(tail, order < 0   ? shared(a, p)
                                      : order > 0 ? shared(a, q)
                                                  : field_set_union(a, p, q));
        p = order <= 0 ? p->next : p;
        q = order >= 0 ? q->next : q;
    }
    return made(a, x, x->member || y->member, head);
}

struct field_set *field_set_intersection(struct arena *a, const struct field_set *x,
                                         const struct field_set *y)
{
    if (!x || !y)
        return NULL;
    struct field_set *head = NULL, **tail = &head;
    const struct field_set *p = x->children, *q = y->children;
    while (p && q) {
        int order = next_of(p, q);
        if (order == 0)
            tail = field_set_append(tail, field_set_intersection(a, p, q));
        p = order <= 0 ? p->next : p;
        q = order >= 0 ? q->next : q;
    }
    return made(a, x, x->member && y->member, head);
}

static struct field_set *difference(struct arena *a, const struct field_set *x,
                                    const struct field_set *y, bool trees)
{
    if (!x)
        return NULL;
    if (!y)
        return shared(a, x);
    if (trees && y->member)
        return NULL;
    struct field_set *head = NULL, **tail = &head;
    const struct field_set *p = x->children, *q = y->children;
    while (p) {
        int order = next_of(p, q);
        if (order <= 0) {
            tail = field_set_append(tail, difference(a, p, order == 0 ? q : NULL, trees));
            p = p->next;
        }
        q = order >= 0 ? q->next : q;
    }
    return made(a, x, x->member && !y->member, head);
}

struct field_set *field_set_difference(struct arena *a, const struct field_set *x,
                                       const struct field_set *y)
{
    return difference(a, x, y, false);
}

struct field_set *field_set_without_trees(struct arena *a, const struct field_set *x,
                                          const struct field_set *y)
{
    return difference(a, x, y, true);
}

bool field_set_equal(const struct field_set *x, const struct field_set *y)
{
    if (!x || !y)
        return x == y;
    if (x->member != y->member || field_step_compare(&x->step, &y->step) != 0)
        return false;
    const struct field_set *p = x->children, *q = y->children;
    while (p && q && field_set_equal(p, q)) {
        p = p->next;
        q = q->next;
    }
    return !p && !q;
}

struct field_set *field_set_with_named(struct arena *a, const struct field_set *s,
                                       const struct field_type *type)
{
    if (!s)
        return NULL;
    struct field_set *head = NULL, **tail = &head;
    for (const struct field_set *c = s->children; c; c = c->next) {
        struct field_type child = field_type_untyped();
        bool list = type->kind == FIELD_LIST_MAP, named = false;
        if (c->step.kind == 'f' && (type->kind == FIELD_STRUCT || type->kind == FIELD_MAP))
            named = field_type_member(type, c->step.name, &child) == FIELD_DECLARED;
        else if (list && type->schema)
            type->schema->item(type, &child);
        struct field_set *copy = field_set_with_named(a, c, &child);
        if (copy && named && copy->children)
            copy->member = true;
        tail = field_set_append(tail, copy);
    }
    return made(a, s, s->member, head);
}

/* ---- paths for people ---- */

/* [name="web",protocol="TCP"] */
static void append_key(struct arena *a, struct str key, struct buf *out)
{
    yyjson_val *v, *name, *value;
    size_t i, max;
    if (json_read(a, key, &v, NULL) < 0)
        return;
    yyjson_obj_foreach (v, i, max, name, value) {
        buf_append_char(out, i ? ',' : '[');
        buf_append(out, yyjson_get_str(name), yyjson_get_len(name));
        buf_append_char(out, '=');
        append_json(out, value);
    }
    buf_append_char(out, ']');
}

void field_step_text(struct arena *a, const struct field_step *s, struct buf *out)
{
    if (s->kind == 'k')
        append_key(a, s->name, out);
    else
        buf_printf(out,
                   s->kind == 'f'   ? ".%.*s"
                   : s->kind == 'v' ? "[=%.*s]"
                                    : "[%.*s]",
                   STR_ARG(s->name));
}

static void each(struct arena *a, const struct field_set *s, struct buf *path,
                 field_set_path_fn *fn, void *ctx)
{
    size_t at = path->len;
    for (const struct field_set *c = s->children; c; c = c->next) {
        if (c->member) {
            field_step_text(a, &c->step, path);
            fn(ctx, arena_strndup(a, path->data, path->len));
            path->len = at;
        }
    }
    for (const struct field_set *c = s->children; c; c = c->next) {
        if (!c->children)
            continue;
        field_step_text(a, &c->step, path);
        each(a, c, path, fn, ctx);
        path->len = at;
    }
}

void field_set_each(struct arena *a, const struct field_set *s, field_set_path_fn *fn, void *ctx)
{
    struct buf path;
    buf_init(&path);
    if (s)
        each(a, s, &path, fn, ctx);
    buf_free(&path);
}
