/*
 * `c8s kv txn`: comparisons, requests if they hold, requests if not, each part ended by an empty line, in
 * etcdctl's language:
 *
 *     mod("key1") > "0"
 *
 *     put key1 "overwrote-key1"
 *     get key1
 *
 *     put key1 "created-key1"
 *
 * Input that ends before the last empty line is refused: it may be half of what was meant.
 */
#include "cli/kv/kv.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------ reading --- */

/* One line of standard input into the arena, without the white space around it; NULL at the end. */
static char *read_line(struct kv_cli *c)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, stdin);
    char *copy = NULL;
    if (n > 0 && line[n - 1] == '\n') { /* a line that is not ended is not one */
        struct str s = str_trim(str_make(line, (size_t)n));
        copy = arena_strndup(&c->arena, s.p, s.n);
    }
    free(line);
    return copy;
}

static void append_utf8(struct buf *b, uint32_t code)
{
    if (code < 0x80) {
        buf_append_char(b, (char)code);
    } else if (code < 0x800) {
        buf_append_char(b, (char)(0xc0 | code >> 6));
        buf_append_char(b, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        buf_append_char(b, (char)(0xe0 | code >> 12));
        buf_append_char(b, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_append_char(b, (char)(0x80 | (code & 0x3f)));
    } else {
        buf_append_char(b, (char)(0xf0 | code >> 18));
        buf_append_char(b, (char)(0x80 | (code >> 12 & 0x3f)));
        buf_append_char(b, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_append_char(b, (char)(0x80 | (code & 0x3f)));
    }
}

/* `digits` digits of a number at p; false if there are not so many. */
static bool digits_of(const char *p, size_t digits, int base, uint32_t *out)
{
    char text[9] = {0};
    char *end;
    memcpy(text, p, strnlen(p, digits));
    *out = (uint32_t)strtoul(text, &end, base);
    return strlen(text) == digits && !*end && strspn(text, "0123456789abcdefABCDEF") == digits;
}

/* What stands behind a backslash; returns how many characters, 0 if it means nothing. */
static size_t unescape(struct buf *b, const char *p)
{
    static const char plain[] = "n\nt\tr\ra\ab\bf\fv\v\\\\\"\"";
    static const struct {
        char letter;
        size_t digits;
    } numbers[] = {{'x', 2}, {'u', 4}, {'U', 8}};
    uint32_t code;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (*p != numbers[i].letter)
            continue;
        if (!digits_of(p + 1, numbers[i].digits, 16, &code) || code > 0x10ffff)
            return 0;
        if (*p == 'x')
            buf_append_char(b, (char)code);
        else
            append_utf8(b, code);
        return 1 + numbers[i].digits;
    }
    if (*p >= '0' && *p <= '3' && digits_of(p, 3, 8, &code)) {
        buf_append_char(b, (char)code);
        return 3;
    }
    for (const char *e = plain; *e; e += 2) {
        if (*p == *e) {
            buf_append_char(b, e[1]);
            return 1;
        }
    }
    return 0;
}

/* A Go-quoted string ("a\n\x00") into bytes; *at moves behind it. */
static bool parse_quoted(struct kv_cli *c, const char **at, ProtobufCBinaryData *out)
{
    const char *p = *at;
    char quote = *p;
    if (quote != '"' && quote != '`')
        return false;
    struct buf b;
    buf_init(&b);
    for (p++; *p && *p != quote;) {
        size_t n = 1;
        if (*p != '\\' || quote == '`')
            buf_append_char(&b, *p);
        else
            n = unescape(&b, p + 1), n += n > 0;
        if (n == 0)
            break;
        p += n;
    }
    bool ok = *p == quote;
    *out = (ProtobufCBinaryData){b.len, arena_dup(&c->arena, b.data ? b.data : "", b.len)};
    buf_free(&b);
    *at = p + ok;
    return ok;
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\f' || ch == '\v' || ch == '\n';
}

static void skip_space(const char **p)
{
    while (is_space(**p))
        (*p)++;
}

/* The end of a quoted word that starts at p, behind its quote; NULL if it does not end. */
static const char *end_of_quote(const char *p)
{
    char quote = *p++;
    while (*p && *p != quote)
        p += quote == '"' && *p == '\\' && p[1] ? 2 : 1;
    return *p ? p + 1 : NULL;
}

int kv_split_words(struct kv_cli *c, const char *line, struct flag_list *argv)
{
    const char *p = line;
    for (;;) {
        ProtobufCBinaryData word;
        const char *end = NULL;
        skip_space(&p);
        if (!*p)
            return 0;
        if (*p == '"' || *p == '\'')
            end = end_of_quote(p);
        if (end && *p == '"') {
            if (!parse_quoted(c, &p, &word))
                return kv_fail(KV_EXIT_INPUT, "invalid syntax");
            p = end;
        } else if (end) { /* nothing is special between single quotes */
            word = (ProtobufCBinaryData){(size_t)(end - p) - 2, (uint8_t *)p + 1};
            p = end;
        } else if (*p == '"' || *p == '\'') { /* of nothing: dropped */
            p++;
            continue;
        } else {
            const char *start = p;
            while (*p && !is_space(*p))
                p++;
            word = (ProtobufCBinaryData){(size_t)(p - start), (uint8_t *)start};
        }
        flag_list_add(argv, arena_strndup(&c->arena, (const char *)word.data, word.len));
    }
}

/* -------------------------------------------------------------------- comparisons --- */

/* key") op "value, as far as it could be read. */
struct parts {
    ProtobufCBinaryData key, op, value;
    int n;
};

static struct parts read_parts(struct kv_cli *c, const char *p)
{
    struct parts x = {0};
    skip_space(&p);
    if (!parse_quoted(c, &p, &x.key))
        return (struct parts){0};
    x.n = 1;
    if (*p != ')')
        return x;
    if (!is_space(*++p))
        return x;
    skip_space(&p);
    x.op.data = (uint8_t *)p;
    while (*p && !is_space(*p))
        p++;
    x.op.len = (size_t)(p - (const char *)x.op.data);
    if (x.op.len == 0)
        return x;
    x.n = 2;
    skip_space(&p);
    if (parse_quoted(c, &p, &x.value))
        x.n = 3;
    else
        x.value.len = 0;
    return x;
}

static int malformed(const char *line, struct str target, const struct parts *x)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "malformed comparison: %s; got %.*s(", line, STR_ARG(target));
    kv_quote(&b, x->key);
    buf_printf(&b, ") %.*s ", (int)x->op.len, (const char *)x->op.data);
    kv_quote(&b, x->value);
    int rc = kv_fail(KV_EXIT_INPUT, "%s", buf_cstr(&b));
    buf_free(&b);
    return rc;
}

static bool set_result(struct str op, Etcdserverpb__Compare *q)
{
    static const char *const ops[] = {"=", ">", "<", "!="};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (str_eqz(op, ops[i])) {
            q->result = (Etcdserverpb__Compare__CompareResult)i;
            return true;
        }
    }
    return false;
}

/* target("key") op "operand" */
static int parse_compare(struct kv_cli *c, const char *line, Etcdserverpb__Compare *q)
{
    static const struct {
        const char *name;
        int target, union_case;
    } targets[] = {
        {"ver", 0, 4}, {"version", 0, 4}, {"c", 1, 5},     {"create", 1, 5}, {"m", 2, 6},
        {"mod", 2, 6}, {"val", 3, 7},     {"value", 3, 7}, {"lease", 4, 8},
    };
    struct str rest = str_from(line), target;
    etcdserverpb__compare__init(q);
    if (!strchr(line, '('))
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s", line);
    str_split(&rest, '(', &target);
    struct parts x = read_parts(c, rest.p);
    if (x.n != 3)
        return malformed(line, target, &x);
    size_t t = 0;
    while (t < ARRAY_LEN(targets) && !str_eqz(target, targets[t].name))
        t++;
    if (t == ARRAY_LEN(targets))
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s (unknown target %.*s)", line,
                       STR_ARG(target));
    if (!set_result(str_make(x.op.data, x.op.len), q))
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s (unknown operator %.*s)", line,
                       (int)x.op.len, (const char *)x.op.data);
    q->key = x.key;
    q->target = (Etcdserverpb__Compare__CompareTarget)targets[t].target;
    q->target_union_case = (Etcdserverpb__Compare__TargetUnionCase)targets[t].union_case;
    if (q->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        q->value = x.value;
        return 0;
    }
    const char *text = arena_strndup(&c->arena, (const char *)x.value.data, x.value.len);
    int base = q->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE ? 16 : 10;
    int64_t number;
    if (kv_parse_int(&c->arena, text, base, &number))
        return kv_fail(KV_EXIT_INPUT, "invalid txn compare request: %s", line);
    q->version = number; /* all numbers of the union share their place */
    return 0;
}

/* ----------------------------------------------------------------------- requests --- */

struct op_flags {
    struct kv_put_flags put;
    struct kv_get_flags get;
    struct kv_del_flags del;
};

/* The request of a line whose verb and arguments are known: they are `inner`'s. */
static int fill_op(struct kv_cli *inner, const struct op_flags *f, Etcdserverpb__RequestOp *op)
{
    if (cstr_eq(inner->verb, "put")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = arena_new(&inner->arena, Etcdserverpb__PutRequest);
        return kv_put_request(inner, &f->put, op->request_put);
    }
    if (cstr_eq(inner->verb, "get")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = arena_new(&inner->arena, Etcdserverpb__RangeRequest);
        return kv_get_request(inner, &f->get, op->request_range);
    }
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range = arena_new(&inner->arena, Etcdserverpb__DeleteRangeRequest);
    return kv_del_request(inner, &f->del, op->request_delete_range);
}

/* The flags of a verb, parsed; its arguments go into `args`. ERR_*: unknown verb or bad flags. */
static int parse_words(struct op_flags *f, struct flag_list *words, struct flag_list *args,
                       struct error *err)
{
    const struct flag put[] = {KV_PUT_FLAGS(&f->put), FLAGS_END};
    const struct flag get[] = {KV_GET_FLAGS(&f->get), FLAGS_END};
    const struct flag del[] = {KV_DEL_FLAGS(&f->del), FLAGS_END};
    const char *verb = words->items[0];
    const struct flags_spec spec = {.program = "txn",
                                    .flags = cstr_eq(verb, "put")   ? put
                                             : cstr_eq(verb, "get") ? get
                                             : cstr_eq(verb, "del") ? del
                                                                    : NULL,
                                    .args_max = FLAGS_ANY};
    if (!spec.flags)
        return error_set(err, ERR_INVALID, "unknown request");
    return flags_parse(&spec, (int)words->len, words->items, args, err);
}

static int parse_op(struct kv_cli *c, const char *line, Etcdserverpb__RequestOp *op)
{
    struct flag_list words = {0}, args = {0};
    struct op_flags f = {.put.lease = "0", .get = {.consistency = "l", .order = "", .sort_by = ""}};
    struct error err = {0};
    etcdserverpb__request_op__init(op);
    int rc = kv_split_words(c, line, &words);
    if (rc == 0 && words.len < 2)
        rc = kv_fail(KV_EXIT_INPUT, "invalid txn compare request: %s", line);
    if (rc == 0 && parse_words(&f, &words, &args, &err) != 0)
        rc = kv_fail(KV_EXIT_INPUT, "invalid txn request: %s", line);
    if (rc == 0) {
        /* The request keeps slices of arguments and flags: they must live as long as it. */
        struct kv_cli inner = *c;
        inner.verb = arena_strdup(&inner.arena, words.items[0]);
        inner.args.items = arena_array(&inner.arena, char *, args.len + 1);
        inner.args.len = args.len;
        for (size_t i = 0; i < args.len; i++)
            inner.args.items[i] = arena_strdup(&inner.arena, args.items[i]);
        rc = fill_op(&inner, &f, op);
        c->arena = inner.arena;
    }
    flag_list_free(&words);
    flag_list_free(&args);
    return rc;
}

/* -------------------------------------------------------------------------- parts --- */

static int unexpected_end(void)
{
    return kv_fail(KV_EXIT_INPUT, "EOF");
}

static int read_ops(struct kv_cli *c, const char *prompt, size_t *n, Etcdserverpb__RequestOp ***out)
{
    VEC(Etcdserverpb__RequestOp *) ops = {0};
    char *line;
    int rc = 0;
    if (prompt)
        puts(prompt);
    while ((line = read_line(c)) && *line && rc == 0) {
        Etcdserverpb__RequestOp *op = arena_new(&c->arena, Etcdserverpb__RequestOp);
        rc = parse_op(c, line, op);
        vec_push(&ops, op);
    }
    *n = ops.len;
    *out = arena_dup(&c->arena, ops.items, ops.len * sizeof *ops.items);
    vec_free(&ops);
    return rc || line ? rc : unexpected_end();
}

static int read_compares(struct kv_cli *c, const char *prompt, Etcdserverpb__TxnRequest *q)
{
    VEC(Etcdserverpb__Compare *) list = {0};
    char *line;
    int rc = 0;
    if (prompt)
        puts(prompt);
    while ((line = read_line(c)) && *line && rc == 0) {
        Etcdserverpb__Compare *compare = arena_new(&c->arena, Etcdserverpb__Compare);
        rc = parse_compare(c, line, compare);
        vec_push(&list, compare);
    }
    q->n_compare = list.len;
    q->compare = arena_dup(&c->arena, list.items, list.len * sizeof *list.items);
    vec_free(&list);
    return rc || line ? rc : unexpected_end();
}

/* ------------------------------------------------------------------------- answers --- */

static void show_op(struct kv_cli *c, const Etcdserverpb__ResponseOp *op)
{
    static kv_form *const simple[] = {NULL, kv_simple_range, kv_simple_put, kv_simple_delete};
    static kv_form *const fields[] = {NULL, kv_fields_range, kv_fields_put, kv_fields_delete};
    if (op->response_case > 0 && op->response_case < ARRAY_LEN(simple))
        (c->format == KV_FIELDS ? fields : simple)[op->response_case](c, op->response_range);
}

static void simple_txn(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__TxnResponse *r = message;
    puts(r->succeeded ? "SUCCESS" : "FAILURE");
    for (size_t i = 0; i < r->n_responses; i++) {
        putchar('\n');
        show_op(c, r->responses[i]);
    }
}

static void fields_txn(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__TxnResponse *r = message;
    kv_fields_header(r->header);
    printf("\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
    for (size_t i = 0; i < r->n_responses; i++)
        show_op(c, r->responses[i]);
}

int kv_txn_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_txn, .fields = fields_txn};
    struct kv_cli c;
    bool interactive = false;
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"interactive", 'i', FLAG_BOOL, &interactive, NULL, "Ask for each part."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s kv txn",
        .summary = "Compare and change keys in one transaction, read from standard input.",
        .details = "Comparisons, then requests for success, then requests for failure, each part "
                   "ended by an empty line. A comparison: mod(\"KEY\") > \"0\"; targets create, "
                   "mod, version, value, lease; operators =, !=, <, >. A request: put, get or del "
                   "with their flags.",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len ? kv_fail(KV_EXIT_ARGS, "txn command does not accept argument") : 0;
    if (rc == 0)
        rc = read_compares(&c, interactive ? "compares:" : NULL, &q);
    if (rc == 0)
        rc = read_ops(&c, interactive ? "success requests (get, put, del):" : NULL, &q.n_success,
                      &q.success);
    if (rc == 0)
        rc = read_ops(&c, interactive ? "failure requests (get, put, del):" : NULL, &q.n_failure,
                      &q.failure);
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc =
            kv_ask(&c, "/etcdserverpb.KV/Txn", &q, &etcdserverpb__txn_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}
