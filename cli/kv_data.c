/*
 * `c8s kv put|get|del|compaction`: etcdctl's flags and behaviour.
 */
#include "cli/kv.h"

#include <stdio.h>
#include <unistd.h>

/* The value from standard input, as etcdctl takes it when none is given. */
static int read_value(struct kv_cli *c, ProtobufCBinaryData *out)
{
    struct buf b;
    buf_init_limited(&b, 64u << 20);
    ssize_t n = 0;
    do {
        b.len += (size_t)n;
        char *to = buf_reserve(&b, 65536);
        if (!to)
            return kv_fail(KV_EXIT_ARGS, "standard input is larger than 64 MiB");
        n = read(0, to, 65536);
    } while (n > 0);
    *out = (ProtobufCBinaryData){b.len, arena_dup(&c->arena, b.data, b.len)};
    buf_free(&b);
    return n < 0 ? kv_fail(KV_EXIT_IO, "reading standard input failed") : 0;
}

int kv_put_main(int argc, char **argv)
{
    struct kv_cli c;
    const char *lease = "0";
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    bool prev_kv = false, ignore_value = false, ignore_lease = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"lease", 0, FLAG_STRING, &lease, "ID", "Lease (hexadecimal) to attach the key to."},
        {"prev-kv", 0, FLAG_BOOL, &prev_kv, NULL, "Print the pair before."},
        {"ignore-value", 0, FLAG_BOOL, &ignore_value, NULL, "Keep the current value."},
        {"ignore-lease", 0, FLAG_BOOL, &ignore_lease, NULL, "Keep the current lease."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv put",
                                    .summary =
                                        "Put a key; the value is standard input if not given.",
                                    .usage = "[flags] KEY [VALUE]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_start(&c, &spec, argc, argv);
    int rc = 0;
    Etcdserverpb__PutResponse *r;
    size_t wanted = ignore_value ? 1 : 2;
    if (c.args.len == 0)
        rc = kv_fail(KV_EXIT_ARGS,
                     "put command needs 1 argument and input from stdin or 2 arguments");
    else if (c.args.len > wanted)
        rc = kv_fail(KV_EXIT_ARGS, "put command needs only %zu argument%s", wanted,
                     wanted > 1 ? "s" : " when 'ignore-value' is set");
    else if (!kv_lease_id(lease, &q.lease))
        rc = kv_fail(KV_EXIT_ARGS, "bad lease ID (\"%s\"), expecting ID in Hex", lease);
    if (rc == 0 && c.args.len == 1 && !ignore_value)
        rc = read_value(&c, &q.value);
    else if (rc == 0 && c.args.len == 2)
        q.value = kv_bytes(c.args.items[1]);
    if (rc == 0) {
        q.key = kv_bytes(c.args.items[0]);
        q.prev_kv = prev_kv;
        q.ignore_value = ignore_value;
        q.ignore_lease = ignore_lease;
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Put", &q,
                     &etcdserverpb__put_response__descriptor, &r);
    }
    if (rc == 0)
        rc = kv_print_put(&c, r);
    kv_cli_stop(&c);
    return rc;
}

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

struct get_flags {
    const char *consistency, *order, *sort_by;
    int64_t limit, rev;
    bool prefix, from_key, keys_only, count_only, value_only;
};

static int fill_range(struct kv_cli *c, const struct get_flags *f, Etcdserverpb__RangeRequest *q)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND"};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"};
    int order = 0, target = 0;
    if (!cstr_eq(f->consistency, "l") && !cstr_eq(f->consistency, "s"))
        return kv_fail(KV_EXIT_FEATURE, "unknown consistency flag \"%s\"", f->consistency);
    if (!pick(f->order, orders, ARRAY_LEN(orders), &order))
        return kv_fail(KV_EXIT_FEATURE, "bad sort order %s", f->order);
    if (*f->sort_by && !pick(f->sort_by, targets, ARRAY_LEN(targets), &target))
        return kv_fail(KV_EXIT_FEATURE, "bad sort target %s", f->sort_by);
    if (f->keys_only && f->count_only)
        return kv_fail(
            KV_EXIT_ARGS,
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one");
    q->serializable = cstr_eq(f->consistency, "s");
    q->limit = f->limit;
    q->revision = f->rev;
    q->keys_only = f->keys_only;
    q->count_only = f->count_only;
    q->sort_target = (Etcdserverpb__RangeRequest__SortTarget)target;
    q->sort_order = (Etcdserverpb__RangeRequest__SortOrder)order;
    return kv_range_args(c, f->prefix, f->from_key, &q->key, &q->range_end);
}

int kv_get_main(int argc, char **argv)
{
    struct kv_cli c;
    struct get_flags f = {.consistency = "l", .order = "", .sort_by = ""};
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"consistency", 0, FLAG_STRING, &f.consistency, "l|s", "Linearizable or serializable."},
        {"order", 0, FLAG_STRING, &f.order, "ORDER", "ASCEND or DESCEND."},
        {"sort-by", 0, FLAG_STRING, &f.sort_by, "TARGET", "CREATE, KEY, MODIFY, VALUE or VERSION."},
        {"limit", 0, FLAG_INT, &f.limit, "N", "At most so many results; 0: all."},
        {"prefix", 0, FLAG_BOOL, &f.prefix, NULL, "All keys that begin with KEY."},
        {"from-key", 0, FLAG_BOOL, &f.from_key, NULL, "All keys not less than KEY."},
        {"rev", 0, FLAG_INT, &f.rev, "N", "As of this revision."},
        {"keys-only", 0, FLAG_BOOL, &f.keys_only, NULL, "Leave values out."},
        {"count-only", 0, FLAG_BOOL, &f.count_only, NULL, "Only the number of keys."},
        {"print-value-only", 0, FLAG_BOOL, &f.value_only, NULL,
         "Only values, in the simple format."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv get",
                                    .summary = "Get a key or a range of keys.",
                                    .usage = "[flags] KEY [RANGE_END]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_start(&c, &spec, argc, argv);
    Etcdserverpb__RangeResponse *r;
    int rc = fill_range(&c, &f, &q);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Range", &q,
                     &etcdserverpb__range_response__descriptor, &r);
    if (rc == 0)
        rc = kv_print_range(&c, r, f.value_only);
    kv_cli_stop(&c);
    return rc;
}

int kv_del_main(int argc, char **argv)
{
    struct kv_cli c;
    bool prefix = false, from_key = false, prev_kv = false;
    Etcdserverpb__DeleteRangeRequest q = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"prefix", 0, FLAG_BOOL, &prefix, NULL, "All keys that begin with KEY."},
        {"from-key", 0, FLAG_BOOL, &from_key, NULL, "All keys not less than KEY."},
        {"prev-kv", 0, FLAG_BOOL, &prev_kv, NULL, "Print the pairs deleted."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv del",
                                    .summary = "Delete a key or a range of keys.",
                                    .usage = "[flags] KEY [RANGE_END]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_start(&c, &spec, argc, argv);
    Etcdserverpb__DeleteRangeResponse *r;
    q.prev_kv = prev_kv;
    int rc = kv_range_args(&c, prefix, from_key, &q.key, &q.range_end);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/DeleteRange", &q,
                     &etcdserverpb__delete_range_response__descriptor, &r);
    if (rc == 0)
        rc = kv_print_delete(&c, r);
    kv_cli_stop(&c);
    return rc;
}

int kv_compact_main(int argc, char **argv)
{
    struct kv_cli c;
    bool physical = false;
    Etcdserverpb__CompactionRequest q = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
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
    kv_cli_start(&c, &spec, argc, argv);
    Etcdserverpb__CompactionResponse *r;
    int rc = 0;
    if (c.args.len != 1)
        rc = kv_fail(KV_EXIT_ARGS, "compaction command needs 1 argument");
    else if (!str_to_i64(str_from(c.args.items[0]), &q.revision))
        rc = kv_fail(KV_EXIT_ERROR, "\"%s\" is not a revision", c.args.items[0]);
    q.physical = physical;
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Compact", &q,
                     &etcdserverpb__compaction_response__descriptor, &r);
    if (rc == 0)
        printf("compacted revision %lld\n", (long long)q.revision);
    kv_cli_stop(&c);
    return rc;
}
