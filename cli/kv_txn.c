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
 */
#include "cli/kv.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One line of standard input into the arena, without its newline; NULL at the end. */
static char *read_line(struct kv_cli *c)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, stdin);
    char *copy = NULL;
    if (n >= 0) {
        if (n && line[n - 1] == '\n')
            n--;
        copy = arena_strndup(&c->arena, line, (size_t)n);
    }
    free(line);
    return copy;
}

static bool is_blank(const char *s)
{
    return str_trim(str_from(s)).n == 0;
}

/* A Go-quoted string ("a\n\x00") into bytes; *at moves behind it. */
static bool parse_quoted(struct kv_cli *c, const char **at, ProtobufCBinaryData *out)
{
    static const char plain[] = "n\nt\tr\ra\ab\bf\fv\v\\\\\"\"";
    const char *p = *at;
    if (*p++ != '"')
        return false;
    struct buf b;
    buf_init(&b);
    while (*p && *p != '"') {
        unsigned value;
        const char *escape;
        if (*p != '\\') {
            buf_append_char(&b, *p++);
        } else if (p[1] == 'x' && sscanf(p + 2, "%2x", &value) == 1 && p[3]) {
            buf_append_char(&b, (char)value);
            p += 4;
        } else if (p[1] && (escape = strchr(plain, p[1])) && (escape - plain) % 2 == 0) {
            buf_append_char(&b, escape[1]);
            p += 2;
        } else {
            break;
        }
    }
    bool ok = *p == '"';
    *out = (ProtobufCBinaryData){b.len, arena_dup(&c->arena, b.data ? b.data : "", b.len)};
    buf_free(&b);
    *at = p + ok;
    return ok;
}

static void skip_space(const char **p)
{
    while (**p == ' ' || **p == '\t')
        (*p)++;
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
    const char *p = line;
    char name[16];
    size_t n = strcspn(p, "(");
    etcdserverpb__compare__init(q);
    if (!p[n] || n >= sizeof name)
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s", line);
    struct str trimmed = str_trim(str_make(p, n));
    snprintf(name, sizeof name, "%.*s", STR_ARG(trimmed));
    size_t t = 0;
    while (t < ARRAY_LEN(targets) && !cstr_eq(targets[t].name, name))
        t++;
    if (t == ARRAY_LEN(targets))
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s (unknown target %s)", line, name);
    p += n + 1;
    ProtobufCBinaryData operand;
    char *end;
    bool ok = parse_quoted(c, &p, &q->key) && *p++ == ')';
    skip_space(&p);
    if (ok && p[0] == '!' && p[1] == '=') {
        q->result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL;
        p += 2;
    } else if (ok && (*p == '=' || *p == '<' || *p == '>')) {
        q->result = *p == '=' ? 0 : *p == '>' ? 1 : 2;
        p++;
    } else {
        ok = false;
    }
    skip_space(&p);
    if (!ok || !parse_quoted(c, &p, &operand) || !is_blank(p))
        return kv_fail(KV_EXIT_INPUT, "malformed comparison: %s", line);
    q->target = (Etcdserverpb__Compare__CompareTarget)targets[t].target;
    q->target_union_case = (Etcdserverpb__Compare__TargetUnionCase)targets[t].union_case;
    if (q->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        q->value = operand;
        return 0;
    }
    char *text = arena_strndup(&c->arena, (const char *)operand.data, operand.len);
    int base = q->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE ? 16 : 10;
    q->version = strtoll(text, &end, base); /* all numbers of the union share their place */
    return *text && !*end ? 0 : kv_fail(KV_EXIT_INPUT, "malformed comparison: %s", line);
}

/* Words separated by spaces; a word may be Go-quoted. */
static int split_words(struct kv_cli *c, const char *line, struct flag_list *argv)
{
    const char *p = line;
    for (;;) {
        skip_space(&p);
        if (!*p)
            return 0;
        ProtobufCBinaryData word;
        if (*p == '"') {
            if (!parse_quoted(c, &p, &word))
                return kv_fail(KV_EXIT_INPUT, "malformed request: %s", line);
        } else {
            size_t n = strcspn(p, " \t");
            word = (ProtobufCBinaryData){n, (uint8_t *)p};
            p += n;
        }
        char *text = arena_strndup(&c->arena, (const char *)word.data, word.len);
        flag_list_add(argv, text);
    }
}

struct op_flags {
    const char *lease;
    bool prefix, from_key, prev_kv, ignore_value, ignore_lease, keys_only, count_only, serializable;
    int64_t limit, rev;
};

static int fill_op(struct kv_cli *c, const char *verb, const struct op_flags *f,
                   struct flag_list *args, Etcdserverpb__RequestOp *op)
{
    struct kv_cli inner = *c;
    ProtobufCBinaryData key = {0}, end = {0};
    inner.verb = verb;
    inner.args = *args;
    if (cstr_eq(verb, "put")) {
        size_t wanted = f->ignore_value ? 1 : 2;
        if (args->len != wanted)
            return kv_fail(KV_EXIT_ARGS, "put command needs %zu arguments", wanted);
        Etcdserverpb__PutRequest *q = arena_new(&c->arena, Etcdserverpb__PutRequest);
        etcdserverpb__put_request__init(q);
        q->key = kv_bytes(args->items[0]);
        if (args->len == 2)
            q->value = kv_bytes(args->items[1]);
        if (!kv_lease_id(f->lease, &q->lease))
            return kv_fail(KV_EXIT_ARGS, "bad lease ID (\"%s\"), expecting ID in Hex", f->lease);
        q->prev_kv = f->prev_kv;
        q->ignore_value = f->ignore_value;
        q->ignore_lease = f->ignore_lease;
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = q;
        return 0;
    }
    int rc = kv_range_args(&inner, f->prefix, f->from_key, &key, &end);
    if (rc)
        return rc;
    if (cstr_eq(verb, "get")) {
        Etcdserverpb__RangeRequest *q = arena_new(&c->arena, Etcdserverpb__RangeRequest);
        etcdserverpb__range_request__init(q);
        q->key = key;
        q->range_end = end;
        q->limit = f->limit;
        q->revision = f->rev;
        q->keys_only = f->keys_only;
        q->count_only = f->count_only;
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = q;
        return 0;
    }
    Etcdserverpb__DeleteRangeRequest *q = arena_new(&c->arena, Etcdserverpb__DeleteRangeRequest);
    etcdserverpb__delete_range_request__init(q);
    q->key = key;
    q->range_end = end;
    q->prev_kv = f->prev_kv;
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range = q;
    return 0;
}

static int parse_op(struct kv_cli *c, const char *line, Etcdserverpb__RequestOp *op)
{
    struct flag_list words = {0}, args = {0};
    struct op_flags f = {.lease = "0"};
    struct error err = {0};
    etcdserverpb__request_op__init(op);
    const struct flag flags[] = {
        {"lease", 0, FLAG_STRING, &f.lease, "ID", "lease"},
        {"prefix", 0, FLAG_BOOL, &f.prefix, NULL, "prefix"},
        {"from-key", 0, FLAG_BOOL, &f.from_key, NULL, "from key"},
        {"prev-kv", 0, FLAG_BOOL, &f.prev_kv, NULL, "previous pair"},
        {"ignore-value", 0, FLAG_BOOL, &f.ignore_value, NULL, "keep the value"},
        {"ignore-lease", 0, FLAG_BOOL, &f.ignore_lease, NULL, "keep the lease"},
        {"keys-only", 0, FLAG_BOOL, &f.keys_only, NULL, "keys only"},
        {"count-only", 0, FLAG_BOOL, &f.count_only, NULL, "count only"},
        {"limit", 0, FLAG_INT, &f.limit, NULL, "limit"},
        {"rev", 0, FLAG_INT, &f.rev, NULL, "revision"},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "txn", .summary = "", .flags = flags, .args_max = FLAGS_ANY};
    int rc = split_words(c, line, &words);
    if (rc == 0 &&
        (words.len == 0 || (!cstr_eq(words.items[0], "put") && !cstr_eq(words.items[0], "get") &&
                            !cstr_eq(words.items[0], "del"))))
        rc = kv_fail(KV_EXIT_INPUT, "invalid txn request: %s", line);
    if (rc == 0 && flags_parse(&spec, (int)words.len, words.items, &args, &err) != 0)
        rc = kv_fail(KV_EXIT_INPUT, "invalid txn request: %s", err.message);
    if (rc == 0) {
        /* The request keeps slices of the arguments. */
        for (size_t i = 0; i < args.len; i++) {
            char *copy = arena_strdup(&c->arena, args.items[i]);
            mem_free(args.items[i]);
            args.items[i] = copy;
        }
        rc = fill_op(c, words.items[0], &f, &args, op);
        args.len = 0; /* the items are the arena's now */
    }
    flag_list_free(&words);
    flag_list_free(&args);
    return rc;
}

static int read_ops(struct kv_cli *c, const char *prompt, size_t *n, Etcdserverpb__RequestOp ***out)
{
    VEC(Etcdserverpb__RequestOp *) ops = {0};
    char *line;
    int rc = 0;
    if (prompt)
        puts(prompt);
    while (rc == 0 && (line = read_line(c)) && !is_blank(line)) {
        Etcdserverpb__RequestOp *op = arena_new(&c->arena, Etcdserverpb__RequestOp);
        rc = parse_op(c, line, op);
        vec_push(&ops, op);
    }
    *n = ops.len;
    *out = arena_dup(&c->arena, ops.items, ops.len * sizeof *ops.items);
    vec_free(&ops);
    return rc;
}

static int read_compares(struct kv_cli *c, const char *prompt, Etcdserverpb__TxnRequest *q)
{
    VEC(Etcdserverpb__Compare *) list = {0};
    char *line;
    int rc = 0;
    if (prompt)
        puts(prompt);
    while (rc == 0 && (line = read_line(c)) && !is_blank(line)) {
        Etcdserverpb__Compare *compare = arena_new(&c->arena, Etcdserverpb__Compare);
        rc = parse_compare(c, line, compare);
        vec_push(&list, compare);
    }
    q->n_compare = list.len;
    q->compare = arena_dup(&c->arena, list.items, list.len * sizeof *list.items);
    vec_free(&list);
    return rc;
}

int kv_txn_main(int argc, char **argv)
{
    struct kv_cli c;
    bool interactive = false;
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__TxnResponse *r;
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
                   "ended by an "
                   "empty line. A comparison: mod(\"KEY\") > \"0\"; targets create, mod, version, "
                   "value, lease; "
                   "operators =, !=, <, >. A request: put, get or del with their flags.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    kv_cli_start(&c, &spec, argc, argv);
    int rc = read_compares(&c, interactive ? "compares:" : NULL, &q);
    if (rc == 0)
        rc = read_ops(&c, interactive ? "success requests (get, put, del):" : NULL, &q.n_success,
                      &q.success);
    if (rc == 0)
        rc = read_ops(&c, interactive ? "failure requests (get, put, del):" : NULL, &q.n_failure,
                      &q.failure);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Txn", &q,
                     &etcdserverpb__txn_response__descriptor, &r);
    if (rc == 0)
        rc = kv_print_txn(&c, r);
    kv_cli_stop(&c);
    return rc;
}
