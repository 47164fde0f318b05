/*
 * YAML → JSON trees, and JSON trees → YAML.
 *
 * libyaml loads a document into nodes with aliases resolved; the nodes are written as JSON text,
 * scalars resolved by YAML 1.1 as Kubernetes' own reader does (yes/no/on/off are booleans, 0644 is
 * octal), and the text is parsed. What aliases may expand to is bounded by YAML_NODES_MAX and by a
 * limit on the text.
 */
#include "api/codec_internal.h"
#include "base/encode.h"
#include "base/mem.h"
#include "base/vec.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define YAML_DEPTH_MAX 100
#define YAML_TEXT_MAX (32u << 20)

struct converter {
    yaml_document_t *document;
    struct buf *out;
    size_t nodes;
    struct error *err;
};

/* --- scalars -----------------------------------------------------------------------------------
 */

static bool one_of(struct str s, const char *const *words)
{
    for (; *words; words++) {
        if (str_eqz(s, *words))
            return true;
    }
    return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"yes",  "Yes", "YES", "true", "True",
                                         "TRUE", "on",  "On",  "ON",   NULL};
static const char *const false_words[] = {"no",    "No",  "NO",  "false", "False",
                                          "FALSE", "off", "Off", "OFF",   NULL};

/* 12, -0x1f, 0b101, 0644, 0o17, 1_000; beyond 64 bits only plain decimal. */
static bool scalar_int(struct str s, struct buf *out)
{
    char text[80];
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 1 < sizeof text; i++) {
        if (s.p[i] != '_')
            text[n++] = s.p[i];
    }
    text[n] = 0;
    if (s.n >= sizeof text || n == 0)
        return false;
    const char *digits = text + (text[0] == '+' || text[0] == '-');
    bool negative = text[0] == '-';
    if (!isdigit((unsigned char)digits[0]))
        return false;
    int base = 10;
    if (digits[0] == '0' && digits[1]) {
        char kind = digits[1];
        base = kind == 'x' || kind == 'X' ? 16 : kind == 'b' || kind == 'B' ? 2 : 8;
        digits += base != 8 || kind == 'o' ? 2 : 1;
    }
    char *end;
    errno = 0;
    unsigned long long v = strtoull(digits, &end, base);
    if (end == digits || *end || !isxdigit((unsigned char)digits[0]))
        return false;
    if (errno == ERANGE || (negative && v > (unsigned long long)INT64_MAX + 1)) {
        if (base != 10)
            return false;
        buf_append_cstr(out, text + (text[0] == '+'));
        return true;
    }
    buf_printf(out, "%s%llu", negative && v ? "-" : "", v);
    return true;
}

static bool scalar_float(struct str s, struct buf *out)
{
    size_t i = 0;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
        i++;
    size_t start = i, whole, fraction = 0;
    while (i < s.n && isdigit((unsigned char)s.p[i]))
        i++;
    whole = i - start;
    if (i < s.n && s.p[i] == '.') {
        size_t dot = ++i;
        while (i < s.n && isdigit((unsigned char)s.p[i]))
            i++;
        fraction = i - dot;
    }
    if (whole + fraction == 0)
        return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
            i++;
        size_t exponent = i;
        while (i < s.n && isdigit((unsigned char)s.p[i]))
            i++;
        if (i == exponent)
            return false;
    }
    if (i != s.n || s.n >= 64)
        return false;
    char text[64];
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (!isfinite(strtod(text, NULL)))
        return false;
    bool leading_zero = whole > 1 && s.p[start] == '0',
         point_ends = s.p[start + whole] == '.' && !fraction;
    if (s.p[0] != '+' && whole > 0 && !leading_zero && !(whole < s.n && point_ends))
        buf_append_str(out, s); /* already a JSON number: every digit stays */
    else
        emit_double(out, strtod(text, NULL));
    return true;
}

/* Is it the text of something other than a string? Writes the JSON form. */
static bool scalar_resolve(struct str s, struct buf *out)
{
    if (one_of(s, null_words))
        buf_append_cstr(out, "null");
    else if (one_of(s, true_words))
        buf_append_cstr(out, "true");
    else if (one_of(s, false_words))
        buf_append_cstr(out, "false");
    else
        return s.n > 0 && (isdigit((unsigned char)s.p[0]) || strchr("+-.", s.p[0])) &&
               (scalar_int(s, out) || scalar_float(s, out));
    return true;
}

static bool tag_is(const yaml_node_t *node, const char *tag)
{
    return node->tag && strcmp((const char *)node->tag, tag) == 0;
}

/* libyaml gives every plain and untagged scalar the tag str; quoting is known by the style. */
static void put_scalar(struct converter *c, const yaml_node_t *node)
{
    struct str s = str_make(node->data.scalar.value, node->data.scalar.length);
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (tag_is(node, "tag:yaml.org,2002:binary")) {
        struct buf bytes;
        buf_init(&bytes);
        if (base64_decode(&bytes, s) && utf8_valid(buf_str(&bytes)))
            emit_string(c->out, buf_str(&bytes));
        else
            emit_string(c->out, s);
        buf_free(&bytes);
        return;
    }
    if (!plain || !scalar_resolve(s, c->out))
        emit_string(c->out, s);
}

/* Keys become strings: numbers and booleans by their JSON text. */
static int put_key(struct converter *c, const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE)
        return error_set(c->err, ERR_INVALID, "yaml: line %zu: a mapping key must be a scalar",
                         node->start_mark.line + 1);
    size_t at = c->out->len;
    put_scalar(c, node);
    if (at < c->out->len && c->out->data[at] != '"') {
        struct buf text;
        buf_init(&text);
        buf_append(&text, c->out->data + at, c->out->len - at);
        c->out->len = at;
        emit_string(c->out, buf_str(&text));
        buf_free(&text);
    }
    return 0;
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static int put_node(struct converter *c, int index, int depth);

static bool is_merge_key(const yaml_node_t *key)
{
    return key->type == YAML_SCALAR_NODE && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           key->data.scalar.length == 2 && memcmp(key->data.scalar.value, "<<", 2) == 0;
}

static bool same_key(const yaml_node_t *a, const yaml_node_t *b)
{
    return a->type == YAML_SCALAR_NODE && b->type == YAML_SCALAR_NODE &&
           str_eq(str_make(a->data.scalar.value, a->data.scalar.length),
                  str_make(b->data.scalar.value, b->data.scalar.length));
}

struct keyed {
    struct str key;
    size_t index;
};

static bool mapping_has(struct converter *c, const yaml_node_t *mapping, const yaml_node_t *key)
{
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        if (same_key(yaml_document_get_node(c->document, p->key), key))
            return true;
    }
    return false;
}

static int by_key_and_place(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Of pairs with one key the last counts: the others' marks are set. NULL: every key stands once. */
static bool *shadowed_pairs(struct converter *c, const yaml_node_t *mapping)
{
    const yaml_node_pair_t *start = mapping->data.mapping.pairs.start;
    size_t n = (size_t)(mapping->data.mapping.pairs.top - start), len = 0;
    bool *shadowed = NULL;
    if (n < 2)
        return NULL;
    struct keyed *all = mem_alloc(n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *key = yaml_document_get_node(c->document, start[i].key);
        if (key->type == YAML_SCALAR_NODE && !is_merge_key(key))
            all[len++] =
                (struct keyed){str_make(key->data.scalar.value, key->data.scalar.length), i};
    }
    qsort(all, len, sizeof *all, by_key_and_place);
    for (size_t i = 0; i + 1 < len; i++) {
        if (!str_eq(all[i].key, all[i + 1].key))
            continue;
        if (!shadowed)
            shadowed = mem_zalloc(n * sizeof *shadowed);
        shadowed[all[i].index] = true;
    }
    mem_free(all);
    return shadowed;
}

static int put_pairs(struct converter *c, const yaml_node_t *from, const yaml_node_t *own,
                     bool *first, int depth);

/* `<<`: the pairs of a mapping, or of several. */
static int put_merged(struct converter *c, const yaml_node_pair_t *p, const yaml_node_t *own,
                      bool *first, int depth)
{
    const yaml_node_t *value = yaml_document_get_node(c->document, p->value);
    int rc = ERR_INVALID;
    if (value->type == YAML_MAPPING_NODE) {
        rc = put_pairs(c, value, own, first, depth + 1);
    } else if (value->type == YAML_SEQUENCE_NODE) {
        rc = 0; /* earlier ones take precedence, and what is written last counts */
        for (yaml_node_item_t *i = value->data.sequence.items.top;
             rc == 0 && i > value->data.sequence.items.start; i--) {
            const yaml_node_t *item = yaml_document_get_node(c->document, i[-1]);
            rc = item->type == YAML_MAPPING_NODE ? put_pairs(c, item, own, first, depth + 1)
                                                 : ERR_INVALID;
        }
    }
    if (rc != ERR_INVALID)
        return rc;
    return error_set(c->err, rc,
                     "yaml: line %zu: map merge requires map or sequence of maps as the value",
                     yaml_document_get_node(c->document, p->key)->start_mark.line + 1);
}

static int put_pair(struct converter *c, const yaml_node_pair_t *p, bool *first, int depth)
{
    if (!*first)
        buf_append_char(c->out, ',');
    *first = false;
    int rc = put_key(c, yaml_document_get_node(c->document, p->key));
    if (rc < 0)
        return rc;
    buf_append_char(c->out, ':');
    return put_node(c, p->value, depth + 1);
}

/* Pairs of `from` whose keys `own` (NULL: none) does not have itself. */
static int put_pairs(struct converter *c, const yaml_node_t *from, const yaml_node_t *own,
                     bool *first, int depth)
{
    const yaml_node_pair_t *start = from->data.mapping.pairs.start;
    size_t n = (size_t)(from->data.mapping.pairs.top - start);
    if (depth > YAML_DEPTH_MAX)
        return error_set(c->err, ERR_LIMIT, "yaml: nested more than %d deep", YAML_DEPTH_MAX);
    bool *shadowed = shadowed_pairs(c, from);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        const yaml_node_t *key = yaml_document_get_node(c->document, start[i].key);
        if (is_merge_key(key))
            rc = put_merged(c, &start[i], own ? own : from, first, depth);
        else if (!(shadowed && shadowed[i]) && !(own && mapping_has(c, own, key)))
            rc = put_pair(c, &start[i], first, depth);
    }
    mem_free(shadowed);
    return rc;
}

static int put_node(struct converter *c, int index, int depth)
{
    if (depth > YAML_DEPTH_MAX)
        return error_set(c->err, ERR_LIMIT, "yaml: nested more than %d deep", YAML_DEPTH_MAX);
    if (++c->nodes > YAML_NODES_MAX || c->out->failed)
        return error_set(c->err, ERR_LIMIT,
                         "yaml: document is too large once aliases are expanded");
    const yaml_node_t *node = yaml_document_get_node(c->document, index);
    int rc = 0;
    bool first = true;
    switch (node->type) {
    case YAML_SCALAR_NODE:
        put_scalar(c, node);
        return 0;
    case YAML_SEQUENCE_NODE:
        buf_append_char(c->out, '[');
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             rc == 0 && i < node->data.sequence.items.top; i++) {
            if (!first)
                buf_append_char(c->out, ',');
            first = false;
            rc = put_node(c, *i, depth + 1);
        }
        buf_append_char(c->out, ']');
        return rc;
    case YAML_MAPPING_NODE:
        buf_append_char(c->out, '{');
        rc = put_pairs(c, node, NULL, &first, depth);
        buf_append_char(c->out, '}');
        return rc;
    default:
        buf_append_cstr(c->out, "null");
        return 0;
    }
}

static int convert_document(struct arena *a, yaml_document_t *document, yyjson_val **out,
                            struct error *err)
{
    struct buf text;
    buf_init_limited(&text, YAML_TEXT_MAX);
    struct converter c = {document, &text, 0, err};
    int rc = put_node(&c, 1, 1);
    if (rc == 0 && text.failed)
        rc = error_set(err, ERR_LIMIT, "yaml: document is too large once aliases are expanded");
    if (rc == 0)
        rc = json_read(a, buf_str(&text), out, err);
    buf_free(&text);
    return rc;
}

static int parse_error(const yaml_parser_t *parser, struct error *err)
{
    return error_set(err, ERR_INVALID, "yaml: line %zu: %s%s%s", parser->problem_mark.line + 1,
                     parser->context ? parser->context : "", parser->context ? ": " : "",
                     parser->problem ? parser->problem : "cannot be parsed");
}

int yaml_read(struct arena *a, struct str yaml, yyjson_val ***documents, size_t *count,
              struct error *err)
{
    VEC(yyjson_val *) found = {0};
    yaml_parser_t parser;
    int rc = 0;
    if (!yaml_parser_initialize(&parser))
        return error_set(err, ERR_INTERNAL, "yaml: cannot start the parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.p ? yaml.p : ""), yaml.n);
    for (bool more = true; more && rc == 0;) {
        yaml_document_t document;
        if (!yaml_parser_load(&parser, &document)) {
            rc = parse_error(&parser, err);
            break;
        }
        yyjson_val *root = NULL;
        more = yaml_document_get_root_node(&document) != NULL;
        if (more)
            rc = convert_document(a, &document, &root, err);
        if (root && !yyjson_is_null(root))
            vec_push(&found, root);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (rc == 0) {
        *count = found.len;
        *documents = arena_dup(a, found.items, found.len * sizeof *found.items);
    }
    vec_free(&found);
    return rc;
}

/* --- writing -----------------------------------------------------------------------------------
 */

struct writer {
    struct buf *out;
    bool sorted; /* keys by byte order */
};

static void write_value(struct writer *w, yyjson_val *v, int indent, bool in_list);

/* May stand without quotes: not the text of another type, no character that means something. */
/* How many bytes at `p` are a character that YAML takes for the end of a line or does not allow as it stands: DEL and C1
 * controls with NEL, LS and PS, the byte order mark, U+FFFE and U+FFFF. 0: none. */
static size_t special_at(const char *p, const char *end, unsigned *code)
{
    const uint8_t *u = (const uint8_t *)p;
    if (u[0] == 0x7f) {
        *code = u[0];
        return 1;
    }
    if (end - p >= 2 && u[0] == 0xc2 && u[1] < 0xa0) {
        *code = u[1];
        return 2;
    }
    if (end - p < 3)
        return 0;
    *code = (u[0] & 0xfu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    return u[0] >= 0xe0 && u[0] < 0xf0 &&
                   (*code == 0x2028 || *code == 0x2029 || *code == 0xfeff || *code >= 0xfffe)
               ? 3
               : 0;
}

static bool has_special(struct str s)
{
    unsigned code;
    for (size_t i = 0; i < s.n; i++)
        if (((uint8_t)s.p[i] >= 0x7f) && special_at(s.p + i, s.p + s.n, &code))
            return true;
    return false;
}

/* In double quotes. */
static void write_quoted(struct buf *out, struct str s)
{
    if (!has_special(s)) {
        buf_append_json_string(out, s);
        return;
    }
    struct buf json;
    buf_init(&json);
    buf_append_json_string(&json, s);
    const char *end = json.data + json.len;
    for (const char *p = json.data; p < end;) {
        unsigned code;
        size_t n = special_at(p, end, &code);
        if (n)
            buf_printf(out, "\\u%04X", code);
        else
            buf_append_char(out, *p);
        p += n ? n : 1;
    }
    buf_free(&json);
}

static bool is_plain(struct str s)
{
    struct buf ignored;
    buf_init(&ignored);
    bool other = scalar_resolve(s, &ignored);
    buf_free(&ignored);
    if (has_special(s))
        return false;
    if (other || s.n == 0 || strchr("!&*-?|>@`\"'#%{}[],:=~ ", s.p[0]) || s.p[s.n - 1] == ' ' ||
        s.p[s.n - 1] == ':')
        return s.n > 1 && s.p[0] == '-' && !other && s.p[1] != ' ' && s.p[1] != '-' &&
               is_plain(str_slice(s, 1, s.n));
    bool timestamp = s.n >= 10 && isdigit((unsigned char)s.p[0]) && s.p[4] == '-' && s.p[7] == '-';
    if (timestamp || str_has_prefix(s, STR("...")) || str_has_prefix(s, STR(".inf")))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = (uint8_t)s.p[i];
        bool colon = ch == ':' && i + 1 < s.n && s.p[i + 1] == ' ';
        bool comment = ch == '#' && i > 0 && s.p[i - 1] == ' ';
        if (ch < 0x20 || colon || comment)
            return false;
    }
    return true;
}

/* Lines only, no control characters, and something on the first line. */
static bool is_block(struct str s)
{
    if (has_special(s))
        return false;
    if (!memchr(s.p, '\n', s.n) || s.p[0] == ' ' || s.p[0] == '\n' || s.p[0] == '\t')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = (uint8_t)s.p[i];
        bool space_at_end = ch == ' ' && i + 1 < s.n && s.p[i + 1] == '\n';
        if ((ch < 0x20 && ch != '\n' && ch != '\t') || space_at_end)
            return false;
    }
    return true;
}

static void write_block(struct buf *out, struct str s, int indent)
{
    size_t newlines = 0;
    if (indent == 0) /* a document that is a text: its lines could pass for structure */
        indent = 2;
    while (newlines < s.n && s.p[s.n - 1 - newlines] == '\n')
        newlines++;
    buf_append_cstr(out, newlines == 0 ? "|-\n" : newlines == 1 ? "|\n" : "|+\n");
    if (newlines)
        s.n--;
    struct str rest = s, line;
    bool first = true;
    while (str_split(&rest, '\n', &line)) {
        if (!first)
            buf_append_char(out, '\n');
        first = false;
        if (line.n)
            buf_printf(out, "%*s", indent, "");
        buf_append_str(out, line);
    }
}

static void write_string(struct buf *out, struct str s, int indent)
{
    if (is_plain(s)) {
        buf_append_str(out, s);
    } else if (s.n && is_block(s)) {
        write_block(out, s, indent);
    } else if (s.n == 0 || !memchr(s.p, '\n', s.n)) {
        bool printable = !has_special(s);
        for (size_t i = 0; i < s.n; i++)
            printable &= (uint8_t)s.p[i] >= 0x20 && s.p[i] != '\'';
        if (s.n == 0 || !printable || one_of(s, true_words) || one_of(s, false_words) ||
            one_of(s, null_words) || isdigit((unsigned char)s.p[0])) {
            write_quoted(out, s);
        } else {
            buf_append_char(out, '\'');
            buf_append_str(out, s);
            buf_append_char(out, '\'');
        }
    } else {
        write_quoted(out, s);
    }
}

static void write_scalar(struct buf *out, yyjson_val *v, int indent)
{
    if (yyjson_is_str(v))
        write_string(out, str_make(yyjson_get_str(v), yyjson_get_len(v)), indent);
    else if (yyjson_is_raw(v))
        buf_append(out, yyjson_get_raw(v), yyjson_get_len(v));
    else if (yyjson_is_bool(v))
        buf_append_cstr(out, yyjson_get_bool(v) ? "true" : "false");
    else if (yyjson_is_uint(v))
        buf_printf(out, "%llu", (unsigned long long)yyjson_get_uint(v));
    else if (yyjson_is_sint(v))
        emit_i64(out, yyjson_get_sint(v));
    else if (yyjson_is_real(v))
        emit_double(out, yyjson_get_real(v));
    else
        buf_append_cstr(out, "null");
}

static int key_compare(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    return str_cmp(str_make(yyjson_get_str(x), yyjson_get_len(x)),
                   str_make(yyjson_get_str(y), yyjson_get_len(y)));
}

static void write_pair(struct writer *w, yyjson_val *key, int indent)
{
    yyjson_val *v = yyjson_obj_iter_get_val(key);
    struct str name = str_make(yyjson_get_str(key), yyjson_get_len(key));
    if (name.n && memchr(name.p, '\n', name.n)) /* a key must stand on one line */
        write_quoted(w->out, name);
    else
        write_string(w->out, name, indent + 2);
    buf_append_char(w->out, ':');
    if (yyjson_is_ctn(v) && yyjson_get_len(v) > 0) {
        buf_append_char(w->out, '\n');
        /* Lists under a key stand at the key's column, as kubectl prints them. */
        write_value(w, v, yyjson_is_arr(v) ? indent : indent + 2, false);
        return;
    }
    buf_append_char(w->out, ' ');
    write_value(w, v, indent + 2, true);
}

static void write_object(struct writer *w, yyjson_val *v, int indent, bool in_list)
{
    VEC(yyjson_val *) keys = {0};
    yyjson_obj_iter it = yyjson_obj_iter_with(v);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));)
        vec_push(&keys, key);
    if (w->sorted && keys.len > 1)
        qsort(keys.items, keys.len, sizeof *keys.items, key_compare);
    for (size_t i = 0; i < keys.len; i++) {
        if (i || !in_list)
            buf_printf(w->out, "%*s", indent, "");
        write_pair(w, keys.items[i], indent);
    }
    vec_free(&keys);
}

/* A value with its final newline. `in_list`: the cursor stands where its first line begins. */
static void write_value(struct writer *w, yyjson_val *v, int indent, bool in_list)
{
    if (yyjson_is_obj(v) && yyjson_obj_size(v)) {
        write_object(w, v, indent, in_list);
    } else if (yyjson_is_arr(v) && yyjson_arr_size(v)) {
        size_t i, max;
        yyjson_val *item;
        yyjson_arr_foreach (v, i, max, item) {
            if (i || !in_list)
                buf_printf(w->out, "%*s", indent, "");
            buf_append_cstr(w->out, "- ");
            write_value(w, item, indent + 2, true);
        }
    } else {
        if (yyjson_is_ctn(v))
            buf_append_cstr(w->out, yyjson_is_obj(v) ? "{}" : "[]");
        else
            write_scalar(w->out, v, indent);
        buf_append_char(w->out, '\n');
    }
}

void yaml_write(yyjson_val *value, struct buf *out)
{
    struct writer w = {out, false};
    write_value(&w, value, 0, false);
}

void yaml_encode(const void *object, struct buf *out)
{
    struct arena a;
    struct buf json;
    yyjson_val *root;
    arena_init(&a);
    buf_init(&json);
    json_encode(object, JSON_DEFAULT, &json);
    if (json_read(&a, buf_str(&json), &root, NULL) == 0) {
        struct writer w = {out, true};
        write_value(&w, root, 0, false);
    }
    buf_free(&json);
    arena_free(&a);
}
