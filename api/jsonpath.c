/*
 * JSONPath templates in kubectl's dialect: text with {expressions}.
 *
 *     {.items[*].metadata.name}   members, [n], [-1], [from:to:step], [*], ['a.b'], ['a','b']
 *     {..name}                    any depth
 *     {.items[?(@.phase=="Run")]} filters: ==, !=, <, <=, >, >=, existence
 *     {range .items[*]}…{end}     for each
 *     {"\n"}                      literals
 *
 * Results of one expression are joined by spaces; strings are printed bare, lists and objects as JSON.
 */
#include "api/jsonpath.h"
#include "base/mem.h"
#include "base/vec.h"
#include <stdlib.h>

#define DEPTH_MAX 32

typedef VEC(yyjson_val *) val_list;

struct evaluation {
    struct buf *out;
    struct error *err;
};

/* "" for what has no text; numbers may be raw. */
static const char *text_of(yyjson_val *v)
{
    if (yyjson_is_raw(v))
        return yyjson_get_raw(v);
    return yyjson_is_str(v) ? yyjson_get_str(v) : "";
}

static int malformed(struct evaluation *e, const char *what, struct str at)
{
    return error_set(e->err, ERR_INVALID, "jsonpath: %s at \"%.*s\"", what, STR_ARG(at));
}

static int evaluate(struct evaluation *e, struct str path, yyjson_val *current, yyjson_val *root,
                    val_list *out, int depth);

/* --------------------------------------------------------------------------------------- steps --- */

static void collect_deep(yyjson_val *v, const char *name, val_list *out, int depth)
{
    yyjson_val *k, *item;
    size_t i, max;
    if (depth > DEPTH_MAX)
        return;
    yyjson_val *mine = yyjson_obj_get(v, name);
    if (mine)
        vec_push(out, mine);
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach (v, i, max, k, item)
            collect_deep(item, name, out, depth + 1);
    } else {
        yyjson_arr_foreach (v, i, max, item)
            collect_deep(item, name, out, depth + 1);
    }
}

static void collect_all(yyjson_val *v, val_list *out)
{
    yyjson_val *k, *item;
    size_t i, max;
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach (v, i, max, k, item)
            vec_push(out, item);
    } else {
        yyjson_arr_foreach (v, i, max, item)
            vec_push(out, item);
    }
}

/* A name after a dot; "\." is a dot that belongs to it. */
static struct str take_name(struct str *path, char *name, size_t size)
{
    size_t i = 0, n = 0;
    for (; i < path->n && n + 1 < size; i++) {
        char c = path->p[i];
        if (c == '\\' && i + 1 < path->n)
            c = path->p[++i];
        else if (c == '.' || c == '[' || c == ' ' || c == ')' || c == '=' || c == '!' || c == '<' ||
                 c == '>')
            break;
        name[n++] = c;
    }
    name[n] = '\0';
    *path = str_slice(*path, i, path->n);
    return str_make(name, n);
}

static void step_name(const val_list *in, const char *name, val_list *out)
{
    for (size_t i = 0; i < in->len; i++) {
        yyjson_val *v = yyjson_obj_get(in->items[i], name);
        if (v)
            vec_push(out, v);
    }
}

/* [n], [from:to], [from:to:step]; negative ones count from the end. */
static int step_index(struct evaluation *e, struct str inside, const val_list *in, val_list *out)
{
    int64_t bounds[3] = {0, INT64_MAX, 1};
    struct str rest = inside, part;
    int n = 0;
    bool range = str_find_char(inside, ':') >= 0;
    while (str_split(&rest, ':', &part)) {
        if (n == 3 || (part.n && !str_to_i64(str_trim(part), &bounds[n])))
            return malformed(e, "not an index", inside);
        n++;
    }
    if (bounds[2] < 1)
        return malformed(e, "step must be at least 1", inside);
    for (size_t i = 0; i < in->len; i++) {
        int64_t size = (int64_t)yyjson_arr_size(in->items[i]);
        int64_t from = bounds[0] < 0 ? bounds[0] + size : bounds[0];
        int64_t to = !range ? from + 1 : bounds[1] < 0 ? bounds[1] + size : MIN(bounds[1], size);
        for (int64_t k = MAX(from, 0); k < MIN(to, size); k += bounds[2])
            vec_push(out, yyjson_arr_get(in->items[i], (size_t)k));
    }
    return 0;
}

/* ['a'] or ['a','b'] */
static int step_keys(struct evaluation *e, struct str inside, const val_list *in, val_list *out)
{
    struct str rest = inside, part;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n < 2 || (part.p[0] != '\'' && part.p[0] != '"') ||
            part.p[part.n - 1] != part.p[0])
            return malformed(e, "not a quoted name", inside);
        char *name = mem_strndup(part.p + 1, part.n - 2);
        step_name(in, name, out);
        mem_free(name);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------- filters --- */

static double number_of(yyjson_val *v)
{
    return yyjson_is_raw(v) ? strtod(yyjson_get_raw(v), NULL) : yyjson_get_num(v);
}

/* Is `v`, compared with the literal, <0, 0, >0? */
static int compare(yyjson_val *v, struct str literal)
{
    literal = str_trim(literal);
    bool quoted = literal.n >= 2 && (literal.p[0] == '"' || literal.p[0] == '\'');
    if (quoted)
        return str_cmp(str_from(text_of(v)), str_slice(literal, 1, literal.n - 1));
    if (str_eqz(literal, "true") || str_eqz(literal, "false"))
        return yyjson_is_bool(v) ? yyjson_get_bool(v) - str_eqz(literal, "true") : 1;
    char *text = mem_strndup(literal.p, literal.n);
    double want = strtod(text, NULL), have = number_of(v);
    mem_free(text);
    return (have > want) - (have < want);
}

static bool holds(const char *operator, int order)
{
    if (strcmp(operator, "==") == 0)
        return order == 0;
    if (strcmp(operator, "!=") == 0)
        return order != 0;
    if (strcmp(operator, "<=") == 0)
        return order <= 0;
    if (strcmp(operator, ">=") == 0)
        return order >= 0;
    return *operator== '<' ? order < 0 : order> 0;
}

static int filter_item(struct evaluation *e, struct str condition, yyjson_val *item,
                       yyjson_val *root, bool *keep, int depth)
{
    static const char *const operators[] = {"==", "!=", "<=", ">=", "<", ">"};
    struct str left = condition, right = STR_NONE;
    const char *operator= NULL;
    for (size_t i = 0; i < ARRAY_LEN(operators) && !operator; i++) {
        ptrdiff_t at = str_find(condition, str_from(operators[i]));
        if (at < 0)
            continue;
        operator= operators[i];
        left = str_slice(condition, 0, (size_t)at);
        right = str_slice(condition, (size_t)at + strlen(operator), condition.n);
    }
    left = str_trim(left);
    if (!left.n || left.p[0] != '@')
        return malformed(e, "a filter begins with @", condition);
    val_list found = {0};
    int rc = evaluate(e, str_slice(left, 1, left.n), item, root, &found, depth + 1);
    *keep = found.len && (!operator|| holds(operator, compare(found.items[0], right)));
    vec_free(&found);
    return rc;
}

static int step_filter(struct evaluation *e, struct str condition, const val_list *in,
                       yyjson_val *root, val_list *out, int depth)
{
    for (size_t i = 0; i < in->len; i++) {
        yyjson_val *item;
        size_t k, max;
        yyjson_arr_foreach (in->items[i], k, max, item) {
            bool keep = false;
            if (filter_item(e, condition, item, root, &keep, depth) < 0)
                return ERR_INVALID;
            if (keep)
                vec_push(out, item);
        }
    }
    return 0;
}

/* The bracket's end, over nested brackets and quotes. */
static ptrdiff_t bracket_end(struct str path)
{
    int depth = 0;
    char quote = 0;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else if (c == '[')
            depth++;
        else if (c == ']' && --depth == 0)
            return (ptrdiff_t)i;
    }
    return -1;
}

static int step_bracket(struct evaluation *e, struct str inside, const val_list *in,
                        yyjson_val *root, val_list *out, int depth)
{
    if (str_eqz(inside, "*")) {
        for (size_t i = 0; i < in->len; i++)
            collect_all(in->items[i], out);
        return 0;
    }
    if (str_has_prefix(inside, STR("?(")) && str_has_suffix(inside, STR(")")))
        return step_filter(e, str_slice(inside, 2, inside.n - 1), in, root, out, depth);
    if (inside.n && (inside.p[0] == '\'' || inside.p[0] == '"'))
        return step_keys(e, inside, in, out);
    return step_index(e, inside, in, out);
}

static int step(struct evaluation *e, struct str *path, const val_list *in, yyjson_val *root,
                val_list *out, int depth)
{
    char name[512];
    if (path->p[0] == '[') {
        ptrdiff_t end = bracket_end(*path);
        if (end < 0)
            return malformed(e, "missing ]", *path);
        struct str inside = str_slice(*path, 1, (size_t)end);
        *path = str_slice(*path, (size_t)end + 1, path->n);
        return step_bracket(e, inside, in, root, out, depth);
    }
    if (path->p[0] != '.')
        return malformed(e, "unexpected character", *path);
    bool deep = path->n > 1 && path->p[1] == '.';
    *path = str_slice(*path, deep ? 2 : 1, path->n);
    struct str key = take_name(path, name, sizeof name);
    if (str_eqz(key, "*")) {
        for (size_t i = 0; i < in->len; i++)
            collect_all(in->items[i], out);
    } else if (deep) {
        for (size_t i = 0; i < in->len; i++)
            collect_deep(in->items[i], name, out, 0);
    } else if (key.n) {
        step_name(in, name, out);
    } else {
        for (size_t i = 0; i < in->len; i++) /* {.} or .[0] */
            vec_push(out, in->items[i]);
    }
    return 0;
}

static int evaluate(struct evaluation *e, struct str path, yyjson_val *current, yyjson_val *root,
                    val_list *out, int depth)
{
    if (depth > DEPTH_MAX)
        return malformed(e, "nested too deep", path);
    val_list now = {0};
    vec_push(&now, current);
    path = str_trim(path);
    if (path.n && (path.p[0] == '$' || path.p[0] == '@')) {
        now.items[0] = path.p[0] == '$' ? root : current;
        path = str_slice(path, 1, path.n);
    }
    int rc = 0;
    while (rc == 0 && path.n) {
        val_list next = {0};
        rc = step(e, &path, &now, root, &next, depth);
        vec_free(&now);
        now.items = next.items;
        now.len = next.len;
        now.cap = next.cap;
    }
    for (size_t i = 0; rc == 0 && i < now.len; i++)
        vec_push(out, now.items[i]);
    vec_free(&now);
    return rc;
}

/* ----------------------------------------------------------------------------------- templates --- */

void jsonpath_print(yyjson_val *v, struct buf *out)
{
    if (yyjson_is_str(v) || yyjson_is_raw(v)) {
        buf_append_cstr(out, text_of(v));
        return;
    }
    size_t n;
    char *text = yyjson_val_write(v, 0, &n);
    if (text)
        buf_append(out, text, n);
    free(text);
}

static void print_literal(struct buf *out, struct str text)
{
    for (size_t i = 1; i + 1 < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' && i + 2 < text.n) {
            c = text.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        buf_append_char(out, c);
    }
}

static int print_expression(struct evaluation *e, struct str expression, yyjson_val *current,
                            yyjson_val *root)
{
    expression = str_trim(expression);
    if (expression.n >= 2 && (expression.p[0] == '"' || expression.p[0] == '\'')) {
        print_literal(e->out, expression);
        return 0;
    }
    val_list found = {0};
    int rc = evaluate(e, expression, current, root, &found, 0);
    for (size_t i = 0; rc == 0 && i < found.len; i++) {
        if (i)
            buf_append_char(e->out, ' ');
        jsonpath_print(found.items[i], e->out);
    }
    vec_free(&found);
    return rc;
}

/* The next {…}, over quotes and nested braces; false: none. */
static bool next_braces(struct str text, size_t *from, size_t *to)
{
    ptrdiff_t open = str_find_char(text, '{');
    if (open < 0)
        return false;
    char quote = 0;
    for (size_t i = (size_t)open + 1; i < text.n; i++) {
        char c = text.p[i];
        if (quote && c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '}') {
            *from = (size_t)open;
            *to = i;
            return true;
        }
    }
    *from = (size_t)open;
    *to = text.n;
    return true;
}

/* Where the {end} of a range begins and ends, nested ranges skipped; false: there is none. */
static bool find_end(struct str text, size_t *from, size_t *to)
{
    size_t offset = 0, a, b;
    int depth = 1;
    while (next_braces(str_slice(text, offset, text.n), &a, &b) && offset + b < text.n) {
        struct str inside = str_trim(str_slice(text, offset + a + 1, offset + b));
        if (str_has_prefix(inside, STR("range ")))
            depth++;
        else if (str_eqz(inside, "end") && --depth == 0) {
            *from = offset + a;
            *to = offset + b + 1;
            return true;
        }
        offset += b + 1;
    }
    return false;
}

static int render(struct evaluation *e, struct str text, yyjson_val *current, yyjson_val *root,
                  int depth);

/* `rest` begins behind {range …}; *used says how much of it the body and {end} are. */
static int render_range(struct evaluation *e, struct str path, struct str rest, yyjson_val *current,
                        yyjson_val *root, size_t *used, int depth)
{
    size_t from, to;
    if (!find_end(rest, &from, &to))
        return malformed(e, "range without end", path);
    val_list items = {0};
    int rc = evaluate(e, path, current, root, &items, depth);
    for (size_t i = 0; rc == 0 && i < items.len; i++)
        rc = render(e, str_slice(rest, 0, from), items.items[i], root, depth + 1);
    vec_free(&items);
    *used = to;
    return rc;
}

static int render(struct evaluation *e, struct str text, yyjson_val *current, yyjson_val *root,
                  int depth)
{
    size_t from, to, used = 0;
    if (depth > DEPTH_MAX)
        return malformed(e, "nested too deep", text);
    while (next_braces(text, &from, &to)) {
        if (to == text.n)
            return malformed(e, "unclosed action", str_slice(text, from, text.n));
        buf_append_str(e->out, str_slice(text, 0, from));
        struct str inside = str_trim(str_slice(text, from + 1, to));
        text = str_slice(text, to + 1, text.n);
        if (str_has_prefix(inside, STR("range "))) {
            if (render_range(e, str_slice(inside, 6, inside.n), text, current, root, &used, depth) <
                0)
                return ERR_INVALID;
            text = str_slice(text, used, text.n);
        } else if (str_eqz(inside, "end")) {
            return malformed(e, "end without range", inside);
        } else if (print_expression(e, inside, current, root) < 0) {
            return ERR_INVALID;
        }
    }
    buf_append_str(e->out, text);
    return 0;
}

int jsonpath_render(const char *template, yyjson_val *root, struct buf *out, struct error *err)
{
    struct evaluation e = {out, err};
    struct str text = str_from(template);
    /* kubectl takes `.a.b` for `{.a.b}`. */
    if (str_find_char(text, '{') < 0 && text.n && (text.p[0] == '.' || text.p[0] == '$'))
        return print_expression(&e, text, root, root);
    return render(&e, text, root, root, 0);
}

int jsonpath_find(struct arena *a, const char *expression, yyjson_val *root, yyjson_val ***values,
                  size_t *len, struct error *err)
{
    struct evaluation e = {NULL, err};
    val_list found = {0};
    int rc = evaluate(&e, str_from(expression), root, root, &found, 0);
    *len = rc == 0 ? found.len : 0;
    *values = arena_dup(a, found.items ? found.items : (yyjson_val *[]){NULL},
                        found.len * sizeof *found.items);
    vec_free(&found);
    return rc;
}
