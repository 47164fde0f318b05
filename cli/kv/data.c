/*
 * `c8s kv put|get|del|compaction`: etcdctl's flags and behaviour.
 */
#include "cli/kv/kv.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define STDIN_BYTES_MAX (64u << 20)

/* --------------------------------------------------------------------------- put --- */

void kv_simple_put(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__PutResponse *r = message;
    puts("OK");
    if (r->prev_kv)
        kv_print_pair(c, r->prev_kv);
}

void kv_fields_put(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__PutResponse *r = message;
    kv_fields_header(r->header);
    if (r->prev_kv)
        kv_fields_pair("Prev", r->prev_kv);
}

/* The value from standard input, as etcdctl takes it when none is given. */
static int read_value(struct kv_cli *c, ProtobufCBinaryData *out)
{
    struct buf b;
    buf_init_limited(&b, STDIN_BYTES_MAX);
    ssize_t n = 0;
    do {
        b.len += (size_t)n;
        char *to = buf_reserve(&b, 65536);
        if (!to) {
            buf_free(&b);
            return kv_fail(KV_EXIT_ARGS, "standard input is larger than 64 MiB");
        }
        n = read(0, to, 65536);
    } while (n > 0);
    *out = (ProtobufCBinaryData){b.len, arena_dup(&c->arena, b.data, b.len)};
    buf_free(&b);
    return n < 0 || out->len == 0
               ? kv_fail(KV_EXIT_ARGS,
                         "put command needs 1 argument and input from stdin or 2 arguments")
               : 0;
}

int kv_put_request(struct kv_cli *c, const struct kv_put_flags *f, Etcdserverpb__PutRequest *q)
{
    etcdserverpb__put_request__init(q);
    if (c->args.len == 0)
        return kv_fail(KV_EXIT_ARGS,
                       "put command needs 1 argument and input from stdin or 2 arguments");
    if (f->ignore_value && c->args.len > 1)
        return kv_fail(KV_EXIT_ARGS,
                       "put command needs only 1 argument when 'ignore-value' is set");
    q->key = kv_bytes(c->args.items[0]);
    if (!f->ignore_value && c->args.len > 1)
        q->value = kv_bytes(c->args.items[1]);
    int rc = f->ignore_value || c->args.len > 1 ? 0 : read_value(c, &q->value);
    if (rc)
        return rc;
    const char *wrong = kv_parse_int(&c->arena, f->lease, 16, &q->lease);
    if (wrong)
        return kv_fail(KV_EXIT_ARGS, "bad lease ID (%s), expecting ID in Hex", wrong);
    q->prev_kv = f->prev_kv;
    q->ignore_value = f->ignore_value;
    q->ignore_lease = f->ignore_lease;
    return 0;
}

int kv_put_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = kv_simple_put, .fields = kv_fields_put};
    struct kv_cli c;
    struct kv_put_flags f = {.lease = "0"};
    Etcdserverpb__PutRequest q;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_PUT_FLAGS(&f), KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv put",
        .summary = "Put a key; the value is standard input if not given.",
        .details = "A VALUE that begins with '-' goes behind '--': put KEY -- VALUE.",
        .usage = "[flags] KEY [VALUE]",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = kv_put_request(&c, &f, &q);
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc =
            kv_ask(&c, "/etcdserverpb.KV/Put", &q, &etcdserverpb__put_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

/* --------------------------------------------------------------------------- get --- */

void kv_simple_range(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__RangeResponse *r = message;
    for (size_t i = 0; i < r->n_kvs; i++)
        kv_print_pair(c, r->kvs[i]);
}

static void simple_values(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__RangeResponse *r = message;
    for (size_t i = 0; i < r->n_kvs; i++) {
        kv_print_bytes(c, r->kvs[i]->value);
        putchar('\n');
    }
}

void kv_fields_range(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__RangeResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_kvs; i++)
        kv_fields_pair("", r->kvs[i]);
    printf("\"More\" : %s\n\"Count\" : %" PRId64 "\n", r->more ? "true" : "false", r->count);
}

const struct kv_forms kv_range_forms = {.simple = kv_simple_range, .fields = kv_fields_range};

static bool pick(const char *text, const char *const *names, size_t n, int *out)
{
    for (size_t i = 0; i < n; i++) {
        if (str_ieq(str_from(text), str_from(names[i]))) {
            *out = (int)i;
            return true;
        }
    }
    return false;
}

static int sorting(const struct kv_get_flags *f, Etcdserverpb__RangeRequest *q)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND"};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"};
    int order = 0, target = 0;
    if (!pick(f->order, orders, ARRAY_LEN(orders), &order))
        return kv_fail(KV_EXIT_FEATURE, "bad sort order %s", f->order);
    if (*f->sort_by && !pick(f->sort_by, targets, ARRAY_LEN(targets), &target))
        return kv_fail(KV_EXIT_FEATURE, "bad sort target %s", f->sort_by);
    /* As etcd's client library: keys come in ascending order anyhow. */
    if (target == 0 && order == 1)
        order = 0;
    q->sort_target = (Etcdserverpb__RangeRequest__SortTarget)target;
    q->sort_order = (Etcdserverpb__RangeRequest__SortOrder)order;
    return 0;
}

int kv_get_request(struct kv_cli *c, const struct kv_get_flags *f, Etcdserverpb__RangeRequest *q)
{
    etcdserverpb__range_request__init(q);
    if (c->args.len == 0)
        return kv_fail(
            KV_EXIT_ARGS,
            "get command needs one argument as key and an optional argument as range_end");
    if (f->prefix && f->from_key)
        return kv_fail(KV_EXIT_ARGS,
                       "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if (f->keys_only && f->count_only)
        return kv_fail(
            KV_EXIT_ARGS,
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one");
    if (!cstr_eq(f->consistency, "l") && !cstr_eq(f->consistency, "s"))
        return kv_fail(KV_EXIT_FEATURE, "unknown consistency flag \"%s\"", f->consistency);
    int rc = kv_range_args(c, f->prefix, f->from_key, &q->key, &q->range_end);
    rc = rc ? rc : sorting(f, q);
    if (rc)
        return rc;
    if (f->max_create_rev > 0 && f->min_create_rev > f->max_create_rev)
        return kv_fail(KV_EXIT_FEATURE,
                       "getMinCreateRev(=%" PRId64 ") > getMaxCreateRev(=%" PRId64 ")",
                       f->min_create_rev, f->max_create_rev);
    if (f->max_mod_rev > 0 && f->min_mod_rev > f->max_mod_rev)
        return kv_fail(KV_EXIT_FEATURE, "getMinModRev(=%" PRId64 ") > getMaxModRev(=%" PRId64 ")",
                       f->min_mod_rev, f->max_mod_rev);
    q->serializable = cstr_eq(f->consistency, "s");
    q->limit = f->limit;
    q->revision = MAX(f->rev, 0);
    q->keys_only = f->keys_only;
    q->count_only = f->count_only;
    q->min_create_revision = MAX(f->min_create_rev, 0);
    q->max_create_revision = MAX(f->max_create_rev, 0);
    q->min_mod_revision = MAX(f->min_mod_rev, 0);
    q->max_mod_revision = MAX(f->max_mod_rev, 0);
    return 0;
}

int kv_get_main(int argc, char **argv)
{
    struct kv_cli c;
    struct kv_get_flags f = {.consistency = "l", .order = "", .sort_by = ""};
    struct kv_forms forms = kv_range_forms;
    Etcdserverpb__RangeRequest q;
    Etcdserverpb__RangeResponse *r;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GET_FLAGS(&f), KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv get",
                                    .summary = "Get a key or a range of keys.",
                                    .usage = "[flags] KEY [RANGE_END]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = kv_get_request(&c, &f, &q);
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Range", &q,
                     &etcdserverpb__range_response__descriptor, &r);
    }
    if (rc == 0 && f.count_only && c.format != KV_FIELDS)
        rc = kv_fail(KV_EXIT_ARGS, "--count-only is only for `--write-out=fields`");
    if (rc == 0 && f.value_only && c.format != KV_SIMPLE)
        rc = kv_fail(KV_EXIT_ARGS, "print-value-only is only for `--write-out=simple`");
    if (f.value_only)
        forms.simple = simple_values;
    if (rc == 0)
        rc = kv_show(&c, r, &forms);
    kv_cli_stop(&c);
    return rc;
}

/* --------------------------------------------------------------------------- del --- */

void kv_simple_delete(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__DeleteRangeResponse *r = message;
    printf("%" PRId64 "\n", r->deleted);
    for (size_t i = 0; i < r->n_prev_kvs; i++)
        kv_print_pair(c, r->prev_kvs[i]);
}

void kv_fields_delete(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__DeleteRangeResponse *r = message;
    kv_fields_header(r->header);
    printf("\"Deleted\" : %" PRId64 "\n", r->deleted);
    for (size_t i = 0; i < r->n_prev_kvs; i++)
        kv_fields_pair("Prev", r->prev_kvs[i]);
}

int kv_del_request(struct kv_cli *c, const struct kv_del_flags *f,
                   Etcdserverpb__DeleteRangeRequest *q)
{
    etcdserverpb__delete_range_request__init(q);
    if (c->args.len == 0 || c->args.len > 2)
        return kv_fail(
            KV_EXIT_ARGS,
            "del command needs one argument as key and an optional argument as range_end");
    int rc = kv_range_args(c, f->prefix, f->from_key, &q->key, &q->range_end);
    q->prev_kv = f->prev_kv;
    return rc;
}

int kv_del_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = kv_simple_delete, .fields = kv_fields_delete};
    struct kv_cli c;
    struct kv_del_flags f = {0};
    Etcdserverpb__DeleteRangeRequest q;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_DEL_FLAGS(&f), KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv del",
                                    .summary = "Delete a key or a range of keys.",
                                    .usage = "[flags] KEY [RANGE_END]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = kv_del_request(&c, &f, &q);
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_ask(&c, "/etcdserverpb.KV/DeleteRange", &q,
                    &etcdserverpb__delete_range_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

/* -------------------------------------------------------------------- compaction --- */

int kv_compact_main(int argc, char **argv)
{
    struct kv_cli c;
    bool physical = false;
    Etcdserverpb__CompactionRequest q = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    Etcdserverpb__CompactionResponse *r;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"physical", 0, FLAG_BOOL, &physical, NULL, "Wait until the records are gone."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv compaction",
                                    .summary =
                                        "Forget history up to a revision, which stays readable.",
                                    .usage = "[flags] REVISION",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = 0;
    const char *wrong = NULL;
    if (c.args.len != 1)
        rc = kv_fail(KV_EXIT_ARGS, "compaction command needs 1 argument");
    else if ((wrong = kv_parse_int(&c.arena, c.args.items[0], 10, &q.revision)))
        rc = kv_fail(KV_EXIT_ERROR, "%s", wrong);
    q.physical = physical;
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Compact", &q,
                     &etcdserverpb__compaction_response__descriptor, &r);
    }
    if (rc == 0)
        printf("compacted revision %" PRId64 "\n", q.revision);
    kv_cli_stop(&c);
    return rc;
}
