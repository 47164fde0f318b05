/*
 * Label selectors: parsing, matching, formatting. (Field selectors: field_selector.c.)
 */
#include "api/selector.h"
#include "api/codec_internal.h"
#include "api/custom/internal.h"
#include "api/validation.h"
#include "base/vec.h"
#include <stdlib.h>

#define REQUIREMENTS_MAX 1000
#define PROBLEMS_MAX 10 /* values of one requirement that are told of */

/* --- parsing -----------------------------------------------------------------------------------
 */

enum token { END, COMMA, OPEN, CLOSE, NOT, EQUAL, NOT_EQUAL, GREATER, LESS, WORD };

struct lexer {
    struct arena *arena;
    struct str rest;
    struct str text; /* of the last token */
    struct error *err;
};

static bool is_special(char c)
{
    return memchr("=!(),<>", c, 7) != NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum token lex(struct lexer *l)
{
    while (l->rest.n && is_space(l->rest.p[0]))
        l->rest = str_slice(l->rest, 1, l->rest.n);
    if (l->rest.n == 0) {
        l->text = STR("");
        return END;
    }
    static const struct {
        const char *text;
        enum token token;
    } symbols[] = {{"!=", NOT_EQUAL}, {"==", EQUAL}, {"=", EQUAL},   {"!", NOT}, {"(", OPEN},
                   {")", CLOSE},      {",", COMMA},  {">", GREATER}, {"<", LESS}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        struct str s = str_from(symbols[i].text);
        if (str_has_prefix(l->rest, s)) {
            l->text = s;
            l->rest = str_slice(l->rest, s.n, l->rest.n);
            return symbols[i].token;
        }
    }
    size_t n = 0;
    while (n < l->rest.n && !is_special(l->rest.p[n]) && !is_space(l->rest.p[n]))
        n++;
    l->text = str_slice(l->rest, 0, n);
    l->rest = str_slice(l->rest, n, l->rest.n);
    return WORD;
}

static enum token peek(struct lexer *l)
{
    struct lexer copy = *l;
    enum token t = lex(&copy);
    l->text = copy.text;
    return t;
}

/* Of a token between requirements. */
static int out_of_place(struct lexer *l, const char *expected)
{
    return error_set(l->err, ERR_INVALID, "found '%.*s', expected: %s", (int)MIN(l->text.n, 100),
                     l->text.p, expected);
}

/* Of one within. */
static int unexpected(struct lexer *l, const char *expected)
{
    return error_set(l->err, ERR_INVALID, "unable to parse requirement: found '%.*s', expected: %s",
                     (int)MIN(l->text.n, 100), l->text.p, expected);
}

/* A rule's messages, one a line, as one. */
static const char *joined(struct arena *a, const char *messages)
{
    struct str rest = str_from(messages), line;
    const char *out = NULL;
    while (messages && str_split(&rest, '\n', &line))
        out = out ? arena_printf(a, "%s; %.*s", out, STR_ARG(line))
                  : arena_printf(a, "%.*s", STR_ARG(line));
    return out;
}

static int check_key(struct lexer *l, const char *key)
{
    const char *message = joined(l->arena, validate_qualified_name(key));
    if (!message)
        return 0;
    return error_set(l->err, ERR_INVALID,
                     "unable to parse requirement: <nil>: Invalid value: \"%.100s\": %s", key,
                     message);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void values_set(struct arena *a, struct selector_requirement *r, const char **values,
                       size_t n)
{
    r->values = arena_dup(a, values, n * sizeof *values);
    if (n > 1)
        qsort(r->values, n, sizeof *r->values, compare_text);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || strcmp(r->values[kept - 1], r->values[i]) != 0)
            r->values[kept++] = r->values[i];
    }
    r->values_len = kept;
}

/* Values in their order, all that is wrong with them. */
static int check_values(struct lexer *l, const struct selector_requirement *r)
{
    struct buf wrong;
    size_t n = 0;
    buf_init(&wrong);
    for (size_t i = 0; i < r->values_len && n < PROBLEMS_MAX; i++) {
        const char *message = joined(l->arena, validate_label_value(r->values[i]));
        if (message)
            buf_printf(&wrong, "%svalues[%zu][%.100s]: Invalid value: \"%.100s\": %s",
                       n++ ? ", " : "", i, r->key, r->values[i], message);
    }
    if (n)
        error_set(l->err, ERR_INVALID, "unable to parse requirement: %s%s%s", n > 1 ? "[" : "",
                  buf_cstr(&wrong), n > 1 ? "]" : "");
    buf_free(&wrong);
    return n ? ERR_INVALID : 0;
}

/* One value, possibly empty: `a=`. */
static int parse_value(struct lexer *l, struct selector_requirement *r)
{
    const char *value = "";
    enum token t = peek(l);
    if (t == WORD) {
        lex(l);
        value = arena_strndup(l->arena, l->text.p, l->text.n);
    } else if (t != END && t != COMMA) {
        return unexpected(l, "identifier");
    }
    values_set(l->arena, r, &value, 1);
    int64_t number;
    if (r->op == SELECTOR_GT || r->op == SELECTOR_LT)
        return str_to_i64(str_from(value), &number)
                   ? 0
                   : error_set(
                         l->err, ERR_INVALID,
                         "unable to parse requirement: values[0]: Invalid value: \"%.100s\": for "
                         "'Gt', 'Lt' operators, the value must be an integer",
                         value);
    return check_values(l, r);
}

/* `(a, b,)`: empty values are allowed. */
static int parse_set(struct lexer *l, struct selector_requirement *r)
{
    VEC(const char *) values = {0};
    int rc = 0;
    if (lex(l) != OPEN)
        return error_set(l->err, ERR_INVALID,
                         "unable to parse requirement: found '%.*s' expected: '('",
                         (int)MIN(l->text.n, 100), l->text.p);
    for (bool done = false; !done && rc == 0;) {
        const char *value = "";
        enum token t = peek(l);
        if (t == WORD) {
            lex(l);
            value = arena_strndup(l->arena, l->text.p, l->text.n);
        } else if (t != COMMA && t != CLOSE) {
            rc = unexpected(l, values.len ? "',', or identifier" : "',', ')' or identifier");
            break;
        }
        vec_push(&values, value);
        t = lex(l);
        done = t == CLOSE;
        if (t != COMMA && t != CLOSE)
            rc = unexpected(l, "',' or ')'");
        if (values.len > REQUIREMENTS_MAX * 10)
            rc = error_set(l->err, ERR_LIMIT, "label selector has too many values");
    }
    if (rc == 0) {
        values_set(l->arena, r, values.items, values.len);
        rc = check_values(l, r);
    }
    vec_free(&values);
    return rc;
}

static int parse_requirement(struct lexer *l, struct selector_requirement *r)
{
    enum token t = lex(l);
    bool negated = t == NOT;
    if (negated)
        t = lex(l);
    if (t != WORD)
        return unexpected(l, "identifier");
    r->key = arena_strndup(l->arena, l->text.p, l->text.n);
    int rc = check_key(l, r->key);
    if (rc < 0)
        return rc;
    t = peek(l);
    if (negated || t == END || t == COMMA) {
        r->op = negated ? SELECTOR_NOT_EXISTS : SELECTOR_EXISTS;
        return 0;
    }
    lex(l);
    switch (t) {
    case EQUAL:
        r->op = SELECTOR_IN;
        return parse_value(l, r);
    case NOT_EQUAL:
        r->op = SELECTOR_NOT_IN;
        return parse_value(l, r);
    case GREATER:
        r->op = SELECTOR_GT;
        return parse_value(l, r);
    case LESS:
        r->op = SELECTOR_LT;
        return parse_value(l, r);
    default:
        break;
    }
    if (t == WORD && (str_eq(l->text, STR("in")) || str_eq(l->text, STR("notin")))) {
        r->op = l->text.n == 2 ? SELECTOR_IN : SELECTOR_NOT_IN;
        return parse_set(l, r);
    }
    return unexpected(l, "in, notin, =, ==, !=, gt, lt");
}

int label_selector_parse(struct arena *a, struct str text, struct label_selector *out,
                         struct error *err)
{
    struct lexer l = {a, text, STR_NONE, err};
    VEC(struct selector_requirement) items = {0};
    int rc = 0;
    *out = (struct label_selector){0};
    if (memchr(text.p ? text.p : "", 0, text.n))
        return error_set(err, ERR_INVALID, "unable to parse requirement: NUL character");
    enum token first = peek(&l);
    if (first != END && first != WORD && first != NOT)
        return out_of_place(&l, "!, identifier, or 'end of string'");
    while (rc == 0 && peek(&l) != END) {
        struct selector_requirement r = {0};
        rc = parse_requirement(&l, &r);
        vec_push(&items, r);
        enum token t = peek(&l);
        if (rc == 0 && t == COMMA) {
            lex(&l);
            t = peek(&l);
            if (t != WORD && t != NOT)
                rc = out_of_place(&l, "identifier after ','");
        } else if (rc == 0 && t != END) {
            rc = out_of_place(&l, "',' or 'end of string'");
        }
        if (items.len > REQUIREMENTS_MAX)
            rc = error_set(err, ERR_LIMIT, "label selector has too many requirements");
    }
    if (rc == 0) {
        out->items = arena_dup(a, items.items, items.len * sizeof *items.items);
        out->len = items.len;
    }
    vec_free(&items);
    return rc;
}

/* --- from structs ------------------------------------------------------------------------------
 */

static int requirement_from(struct arena *a, const Meta__V1__LabelSelectorRequirement *e,
                            struct selector_requirement *r, struct error *err)
{
    static const struct {
        const char *name;
        enum selector_op op;
    } ops[] = {{"In", SELECTOR_IN},
               {"NotIn", SELECTOR_NOT_IN},
               {"Exists", SELECTOR_EXISTS},
               {"DoesNotExist", SELECTOR_NOT_EXISTS}};
    r->key = e->key;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (cstr_eq(e->operator_, ops[i].name)) {
            r->op = ops[i].op;
            values_set(a, r, (const char **)e->values, e->n_values);
            return 0;
        }
    }
    return error_set(err, ERR_INVALID, "\"%.64s\" is not a valid label selector operator",
                     e->operator_);
}

void label_selector_from_map(struct arena *a, StringEntry *const *entries, size_t n,
                             struct label_selector *out)
{
    *out = (struct label_selector){arena_array(a, struct selector_requirement, n), n, n == 0};
    for (size_t i = 0; i < n; i++) {
        const char *value = entries[i]->value ? entries[i]->value : "";
        out->items[i] = (struct selector_requirement){entries[i]->key, SELECTOR_IN, NULL, 0};
        values_set(a, &out->items[i], &value, 1);
    }
}

int label_selector_from(struct arena *a, const Meta__V1__LabelSelector *s,
                        struct label_selector *out, struct error *err)
{
    *out = (struct label_selector){NULL, 0, !s};
    if (!s)
        return 0;
    struct label_selector labels;
    label_selector_from_map(a, s->match_labels, s->n_match_labels, &labels);
    size_t n = s->n_match_labels + s->n_match_expressions;
    out->items = arena_array(a, struct selector_requirement, n);
    out->len = n;
    for (size_t i = 0; i < labels.len; i++)
        out->items[i] = labels.items[i];
    for (size_t i = 0; i < s->n_match_expressions; i++) {
        int rc = requirement_from(a, s->match_expressions[i], &out->items[labels.len + i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- matching ----------------------------------------------------------------------------------
 */

/* `value` p NULL: the label is absent. */
static bool requirement_holds(const struct selector_requirement *r, struct str value)
{
    int64_t have, bound;
    bool in = false;
    switch (r->op) {
    case SELECTOR_EXISTS:
        return value.p != NULL;
    case SELECTOR_NOT_EXISTS:
        return value.p == NULL;
    case SELECTOR_IN:
    case SELECTOR_NOT_IN:
        for (size_t i = 0; value.p && i < r->values_len && !in; i++)
            in = str_eqz(value, r->values[i]);
        return r->op == SELECTOR_IN ? in : !in;
    case SELECTOR_GT:
    case SELECTOR_LT:
        if (!value.p || !str_to_i64(value, &have) || !str_to_i64(str_from(r->values[0]), &bound))
            return false;
        return r->op == SELECTOR_GT ? have > bound : have < bound;
    }
    return false;
}

bool label_selector_matches(const struct label_selector *s, StringEntry *const *labels, size_t n)
{
    if (s->nothing)
        return false;
    for (size_t i = 0; i < s->len; i++) {
        const char *value = string_map_get(labels, n, s->items[i].key);
        if (!requirement_holds(&s->items[i], value ? str_from(value) : STR_NONE))
            return false;
    }
    return true;
}

/* A label in the wire form of an ObjectMeta; p NULL when absent. Field 11 holds the entries. */
static struct str label_in_wire(struct str meta, const char *key)
{
    struct wire_reader r = wire_reader_of(meta);
    uint32_t number, type;
    struct str entry, name = STR(""), value;
    while (r.p < r.end && wire_tag(&r, &number, &type) && number <= 11) {
        if (number != 11 || type != WIRE_BYTES) {
            if (!wire_skip(&r, type))
                break;
            continue;
        }
        if (!wire_bytes(&r, &entry))
            break;
        if (wire_find(entry, 1, &name) && str_eqz(name, key))
            return wire_find(entry, 2, &value) ? value : STR("");
    }
    return STR_NONE;
}

/* A label in the text of a custom object's labels; neither keys nor values hold what JSON escapes. */
static struct str label_in_json(struct str labels, const char *key)
{
    struct str value = json_scan_member(labels, str_from(key));
    return value.p ? json_scan_string(value) : STR_NONE;
}

bool label_selector_matches_stored(const struct label_selector *s, struct str stored)
{
    struct envelope e;
    struct str meta = STR("");
    if (s->nothing)
        return false;
    if (s->len == 0)
        return true;
    bool json = stored_is_json(stored);
    if (json)
        meta = json_scan_member(json_scan_member(stored, STR("metadata")), STR("labels"));
    else if (envelope_parse(stored, &e, NULL) < 0)
        return false;
    else
        wire_find(e.raw, 1, &meta);
    for (size_t i = 0; i < s->len; i++) {
        struct str value =
            json ? label_in_json(meta, s->items[i].key) : label_in_wire(meta, s->items[i].key);
        if (value.n == 0 && value.p)
            value = STR("");
        if (!requirement_holds(&s->items[i], value))
            return false;
    }
    return true;
}

/* --- formatting --------------------------------------------------------------------------------
 */

static void format_values(const struct selector_requirement *r, struct buf *out)
{
    buf_append_char(out, '(');
    for (size_t i = 0; i < r->values_len; i++) {
        if (i)
            buf_append_char(out, ',');
        buf_append_cstr(out, r->values[i]);
    }
    buf_append_char(out, ')');
}

void label_selector_format(const struct label_selector *s, struct buf *out)
{
    for (size_t i = 0; i < s->len; i++) {
        const struct selector_requirement *r = &s->items[i];
        if (i)
            buf_append_char(out, ',');
        if (r->op == SELECTOR_NOT_EXISTS)
            buf_append_char(out, '!');
        buf_append_cstr(out, r->key);
        if (r->op == SELECTOR_IN || r->op == SELECTOR_NOT_IN) {
            bool in = r->op == SELECTOR_IN;
            if (r->values_len == 1) {
                buf_append_cstr(out, in ? "=" : "!=");
                buf_append_cstr(out, r->values[0]);
            } else {
                buf_append_cstr(out, in ? " in " : " notin ");
                format_values(r, out);
            }
        } else if (r->op == SELECTOR_GT || r->op == SELECTOR_LT) {
            buf_append_cstr(out, r->op == SELECTOR_GT ? ">" : "<");
            buf_append_cstr(out, r->values[0]);
        }
    }
}
