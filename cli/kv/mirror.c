/*
 * `c8s kv make-mirror`: copy a prefix to another cluster and follow its changes, a transaction per revision.
 */
#include "cli/kv/kv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>

#define BATCH_KEYS 1000
#define REPORT_MS 30000
#define REOPEN_MS 300

struct mirror {
    struct kv_cli *cli;
    struct grpc_channel *to;
    const char *prefix, *dest_prefix;
    bool no_dest_prefix;
    int64_t rev; /* everything up to it has been copied */
    int64_t max_ops;
    uint64_t total, reported_ns;
    struct arena arena; /* of a batch */
};

/* How much has been copied, now and then. */
static void report(struct mirror *m)
{
    uint64_t now = clock_mono_ns();
    if (now - m->reported_ns < REPORT_MS * NS_PER_MS)
        return;
    m->reported_ns = now;
    printf("%" PRIu64 "\n", m->total);
    fflush(stdout);
}

/* A key of the source as it is called at the destination. */
static ProtobufCBinaryData renamed(struct mirror *m, ProtobufCBinaryData key)
{
    size_t cut = strlen(m->prefix), add = strlen(m->dest_prefix);
    uint8_t *bytes = arena_alloc(&m->arena, add + key.len - cut);
    memcpy(bytes, m->dest_prefix, add);
    memcpy(bytes + add, key.data + cut, key.len - cut);
    return (ProtobufCBinaryData){add + key.len - cut, bytes};
}

/* A request to the destination. 0 or an exit code. */
static int send_to(struct mirror *m, const char *path, const void *request,
                   const ProtobufCMessageDescriptor *response)
{
    void *ignored;
    /* kv_call's answers go into the run's arena, which a mirror that runs for weeks would fill. */
    struct kv_cli c = *m->cli;
    arena_init(&c.arena);
    int rc = kv_call(&c, m->to, path, request, response, &ignored);
    arena_free(&c.arena);
    return rc;
}

/* ------------------------------------------------------------------------ the base --- */

static int copy_batch(struct mirror *m, const Etcdserverpb__RangeResponse *r)
{
    int rc = 0;
    for (size_t i = 0; i < r->n_kvs && rc == 0; i++) {
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        put.key = renamed(m, r->kvs[i]->key);
        put.value = r->kvs[i]->value;
        rc = send_to(m, "/etcdserverpb.KV/Put", &put, &etcdserverpb__put_response__descriptor);
        m->total += rc == 0;
        report(m);
    }
    return rc;
}

/* Everything there is, as of one revision, in batches. */
static int copy_base(struct mirror *m)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct kv_cli c = *m->cli;
    ProtobufCBinaryData zero = {1, (uint8_t *)"\0"};
    uint8_t *next = NULL;
    int rc = 0;
    q.key = *m->prefix ? kv_bytes(m->prefix) : zero;
    q.range_end = *m->prefix ? kv_prefix_end(&m->cli->arena, q.key) : zero;
    q.limit = BATCH_KEYS;
    for (bool more = true; more && rc == 0;) {
        Etcdserverpb__RangeResponse *r;
        arena_init(&c.arena);
        rc = kv_call(&c, c.channel, "/etcdserverpb.KV/Range", &q,
                     &etcdserverpb__range_response__descriptor, &r);
        if (rc == 0) {
            q.revision = m->rev = q.revision ? q.revision : r->header->revision;
            rc = copy_batch(m, r);
            more = r->more;
        }
        if (rc == 0 && r->n_kvs) { /* on behind the last one */
            ProtobufCBinaryData last = r->kvs[r->n_kvs - 1]->key;
            uint8_t *key = mem_zalloc(last.len + 1);
            memcpy(key, last.data, last.len);
            mem_free(next);
            next = key;
            q.key = (ProtobufCBinaryData){last.len + 1, key};
        }
        arena_free(&c.arena);
        arena_reset(&m->arena);
    }
    mem_free(next);
    return rc;
}

/* --------------------------------------------------------------------- the changes --- */

typedef VEC(Etcdserverpb__RequestOp *) op_list;

static int commit(struct mirror *m, op_list *ops)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    if (ops->len == 0)
        return 0;
    q.success = ops->items;
    q.n_success = ops->len;
    int rc = send_to(m, "/etcdserverpb.KV/Txn", &q, &etcdserverpb__txn_response__descriptor);
    m->total += rc == 0 ? ops->len : 0;
    vec_clear(ops);
    return rc;
}

static Etcdserverpb__RequestOp *op_of(struct mirror *m, const Mvccpb__Event *e)
{
    Etcdserverpb__RequestOp *op = arena_new(&m->arena, Etcdserverpb__RequestOp);
    etcdserverpb__request_op__init(op);
    if (e->type == MVCCPB__EVENT__EVENT_TYPE__PUT) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = arena_new(&m->arena, Etcdserverpb__PutRequest);
        etcdserverpb__put_request__init(op->request_put);
        op->request_put->key = renamed(m, e->kv->key);
        op->request_put->value = e->kv->value;
    } else {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = arena_new(&m->arena, Etcdserverpb__DeleteRangeRequest);
        etcdserverpb__delete_range_request__init(op->request_delete_range);
        op->request_delete_range->key = renamed(m, e->kv->key);
    }
    return op;
}

/* What happened in one revision happens in one transaction. */
static int copy_events(struct mirror *m, const Etcdserverpb__WatchResponse *r)
{
    op_list ops = {0};
    int64_t last = 0;
    int rc = 0;
    for (size_t i = 0; i < r->n_events && rc == 0; i++) {
        int64_t rev = r->events[i]->kv->mod_revision;
        if ((last && rev > last) || (int64_t)ops.len == m->max_ops)
            rc = commit(m, &ops);
        last = rev;
        vec_push(&ops, op_of(m, r->events[i]));
    }
    if (rc == 0)
        rc = commit(m, &ops);
    vec_free(&ops);
    if (rc == 0 && r->header->revision > m->rev)
        m->rev = r->header->revision;
    return rc;
}

static struct kv_stream *open_watch(struct mirror *m)
{
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    ProtobufCBinaryData zero = {1, (uint8_t *)"\0"};
    create.key = *m->prefix ? kv_bytes(m->prefix) : zero;
    create.range_end = *m->prefix ? kv_prefix_end(&m->arena, create.key) : zero;
    create.start_revision = m->rev + 1;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    q.create_request = &create;
    struct kv_stream *s = kv_stream_open(m->cli, m->cli->channel, "/etcdserverpb.Watch/Watch",
                                         &etcdserverpb__watch_response__descriptor);
    kv_stream_send(s, &q);
    return s;
}

static int follow(struct mirror *m)
{
    struct kv_stream *s = open_watch(m);
    int rc = 0;
    while (rc == 0) {
        Etcdserverpb__WatchResponse *r;
        const char *text;
        arena_reset(&m->arena);
        enum kv_next next = kv_stream_next(s, REPORT_MS, &m->arena, &r);
        if (next == KV_MESSAGE && r->compact_revision) {
            rc = kv_fail(KV_EXIT_ERROR, "etcdserver: mvcc: required revision has been compacted");
        } else if (next == KV_MESSAGE && r->canceled) {
            rc = kv_fail(KV_EXIT_ERROR, "%s", r->cancel_reason);
        } else if (next == KV_MESSAGE && !r->created) {
            rc = copy_events(m, r);
        } else if (next == KV_ENDED) {
            int status = kv_stream_status(s, &text);
            if (status != GRPC_OK && status != GRPC_UNAVAILABLE)
                rc = kv_fail(KV_EXIT_ERROR, "%s", text);
            kv_stream_close(s);
            uv_sleep(REOPEN_MS);
            s = open_watch(m);
        }
        report(m);
    }
    kv_stream_close(s);
    return rc;
}

/* ------------------------------------------------------------------------- the verb --- */

static int mirror(struct mirror *m, struct kv_access *to)
{
    struct error err = {0};
    const char *const endpoints[] = {m->cli->args.items[0], NULL};
    if (m->no_dest_prefix && *m->dest_prefix)
        return kv_fail(
            KV_EXIT_ARGS,
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
    if (!m->no_dest_prefix && !*m->dest_prefix)
        m->dest_prefix = m->prefix;
    kv_cli_connect_all(m->cli);
    int rc = kv_access_open(m->cli, to, endpoints);
    if (rc)
        return rc;
    m->to = kv_access_connect(m->cli, to, endpoints, 1, &err);
    if (!m->to)
        return kv_fail(KV_EXIT_ARGS, "%s", err.message);
    m->reported_ns = clock_mono_ns();
    if (m->rev)
        m->rev--;
    else
        rc = copy_base(m);
    return rc ? rc : follow(m);
}

int kv_mirror_main(int argc, char **argv)
{
    struct kv_cli c;
    struct kv_access to = {.insecure_transport = true, .prompt = "Destination Password: "};
    struct mirror m = {.cli = &c, .prefix = "", .dest_prefix = "", .max_ops = 128};
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"prefix", 0, FLAG_STRING, &m.prefix, "PREFIX", "Keys to mirror; empty: all."},
        {"dest-prefix", 0, FLAG_STRING, &m.dest_prefix, "PREFIX", "What replaces it there."},
        {"no-dest-prefix", 0, FLAG_BOOL, &m.no_dest_prefix, NULL, "Nothing replaces it."},
        {"rev", 0, FLAG_INT, &m.rev, "N", "Only what changed from this revision on."},
        {"max-txn-ops", 0, FLAG_INT, &m.max_ops, "N", "Of a transaction at the destination."},
        {"dest-cert", 0, FLAG_STRING, &to.cert, "FILE", "Client certificate for the destination."},
        {"dest-key", 0, FLAG_STRING, &to.key, "FILE", "Its key."},
        {"dest-cacert", 0, FLAG_STRING, &to.cacert, "FILE", "CA of the destination's servers."},
        {"dest-insecure-transport", 0, FLAG_BOOL, &to.insecure_transport, NULL,
         "Plain HTTP, unless TLS files are given."},
        {"dest-user", 0, FLAG_STRING, &to.user, "NAME[:PASSWORD]", "Who to be there."},
        {"dest-password", 0, FLAG_STRING, &to.password, NULL, "The password of --dest-user."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv make-mirror",
        .summary = "Copy keys to another cluster and follow their changes until interrupted.",
        .usage = "[flags] DESTINATION",
        .details = "Prints how many keys were copied, every 30 seconds.",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    arena_init(&m.arena);
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1 ? mirror(&m, &to)
                             : kv_fail(KV_EXIT_ARGS, "make-mirror takes one destination argument");
    grpc_channel_free(m.to);
    kv_access_close(&to);
    arena_free(&m.arena);
    kv_cli_stop(&c);
    return rc;
}
