/*
 * etcd's KV service: Range, Put, DeleteRange, Txn, Compact.
 *
 * A small answer is read in one go. A large range is walked twice at one revision: first to learn its
 * encoded size, for which memory is then reserved out of the budget of all requests, and again to write it
 * straight into the frame: no structs, one copy. A sorted or filtered one is gathered in structs, and a
 * transaction's ranges while it is applied; they wait for their share of the same budget first.
 */
#include "kvstore/etcd/auth.h"
#include "base/varint.h"

#include <assert.h>

#define SMALL_ANSWER_BYTES (64u * 1024)
#define TXN_RANGES_BUDGET (4u << 20) /* for a transaction that reads ranges of unknown size */
#define TXN_SMALL_LIMIT 100          /* keys of a range that waits for nothing */
#define GRPC_PREFIX 5
/* A transaction that only reads, and for long: on a thread of its own, for so long at most; and how long it waits for one. */
#define LONG_READ_NS (5 * 1000 * 1000000ull)
#define LONG_READ_RETRY_MS 10
#define LONG_READ_RETRIES 500

struct etcd_request *etcd_request_new(struct etcd_server *s, struct grpc_call *call,
                                      const ProtobufCMessage *message)
{
    struct etcd_request *r = arena_new(grpc_arena(call), struct etcd_request);
    *r = (struct etcd_request){.server = s, .call = call, .message = message};
    grpc_set_user(call, r);
    return r;
}

void etcd_request_free(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct etcd_request *r = grpc_user(call);
    if (r && r->budget)
        kv_budget_give(r->server->kv, r->budget, 0);
}

struct loop *etcd_loop(struct grpc_call *call)
{
    return grpc_exchange(call)->loop;
}

/* ------------------------------------------------------------------------ range --- */

struct range_call {
    struct etcd_request base;
    uint64_t auth_rev; /* allowed at */
    struct kv_range_request request;
    struct kv_range_result result; /* of the measuring walk */
    size_t kvs_bytes;              /* encoded kvs fields */
    int64_t measured;              /* pairs of the measuring walk */
    struct blob *frame;
    char *at; /* where the next pair goes */
};

/* A KeyValue's fields, without the tag and length in front of it. */
static size_t pair_size(const struct kv_pair *p, bool keys_only)
{
    size_t n = 1 + varint_size(p->key.n) + p->key.n + 1 + varint_size((uint64_t)p->create_rev) + 1 +
               varint_size((uint64_t)p->mod_rev) + 1 + varint_size((uint64_t)p->version);
    if (!keys_only && p->value.n)
        n += 1 + varint_size(p->value.n) + p->value.n;
    if (p->lease)
        n += 1 + varint_size((uint64_t)p->lease);
    return n;
}

static char *put_bytes(char *at, unsigned field, struct str s)
{
    *at++ = (char)(field << 3 | 2);
    at = varint_put(at, s.n);
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_number(char *at, unsigned field, int64_t v)
{
    *at++ = (char)(field << 3);
    return varint_put(at, (uint64_t)v);
}

static char *put_pair(char *at, const struct kv_pair *p, bool keys_only)
{
    *at++ = 2 << 3 | 2; /* RangeResponse.kvs */
    at = varint_put(at, pair_size(p, keys_only));
    at = put_bytes(at, 1, p->key);
    at = put_number(at, 2, p->create_rev);
    at = put_number(at, 3, p->mod_rev);
    at = put_number(at, 4, p->version);
    if (!keys_only && p->value.n)
        at = put_bytes(at, 5, p->value);
    if (p->lease)
        at = put_number(at, 6, p->lease);
    return at;
}

static int measure_pair(void *ctx, const struct kv_pair *p)
{
    struct range_call *r = ctx;
    size_t n = pair_size(p, r->request.keys_only);
    r->kvs_bytes += 1 + varint_size(n) + n;
    r->measured++;
    return r->kvs_bytes > 1u << 30 ? KV_ERR_RESPONSE_TOO_LARGE : 0;
}

static int write_pair(void *ctx, const struct kv_pair *p)
{
    struct range_call *r = ctx;
    r->at = put_pair(r->at, p, r->request.keys_only);
    return 0;
}

/* The walk that fills the frame, at the revision of the measuring walk. */
static void send_large(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct range_call *r = ctx;
    struct grpc_call *call = r->base.call;
    struct etcd_server *s = r->base.server;
    if (code < 0) {
        r->base.budget = 0;
        etcd_fail(call, code);
        return;
    }
    if (grpc_cancelled(call)) {
        grpc_finish(call, GRPC_CANCELLED, "context canceled");
        return;
    }
    /* Everything but the kvs, packed by protobuf-c; protobuf lets the kvs stand behind it. */
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__RangeResponse rest = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    etcd_header(s, &header, r->result.current);
    rest.header = &header;
    rest.more = r->result.more;
    rest.count = r->result.count;
    size_t rest_bytes = protobuf_c_message_get_packed_size(&rest.base);
    size_t n = rest_bytes + r->kvs_bytes;
    struct blob *frame = blob_new(GRPC_PREFIX + n); /* outlives the call, and `r` with it */
    r->frame = frame;
    char *p = frame->data;
    *p++ = 0;
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (char)(n >> shift);
    p += protobuf_c_message_pack(&rest.base, (uint8_t *)p);
    r->at = p;
    struct kv_range_request again = r->request;
    struct kv_range_result result;
    again.rev = r->result.rev;
    int rc = kv_scan(s->kv, &again, write_pair, r, grpc_arena(call), &result, NULL);
    if (rc == 0)
        rc = etcd_auth_still(s, r->auth_rev);
    if (rc == 0) {
        assert(r->at == frame->data + frame->len);
        grpc_send_frame(call, frame);
        grpc_finish(call, GRPC_OK, NULL);
    } else {
        etcd_fail(call, rc); /* compacted in between */
    }
    blob_unref(frame);
}

static void start_large(struct range_call *r)
{
    struct etcd_server *s = r->base.server;
    struct grpc_call *call = r->base.call;
    int64_t count = r->result.count; /* kv_scan does not count: the first read did, if it had to */
    r->request.rev = r->result.rev;
    int rc = kv_scan(s->kv, &r->request, measure_pair, r, grpc_arena(call), &r->result, NULL);
    if (rc < 0) {
        etcd_fail(call, rc);
        return;
    }
    r->result.count = r->request.no_count ? r->measured : count;
    r->base.budget = r->kvs_bytes;
    if (kv_budget_take(s->kv, r->kvs_bytes, 0, etcd_loop(call), send_large, r))
        send_large(r, 0, 0);
}

/* Read and answer by way of structs. */
static void send_gathered(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct range_call *r = ctx;
    struct etcd_server *s = r->base.server;
    struct grpc_call *call = r->base.call;
    struct kv_range_request *q = &r->request;
    struct error err = {0};
    if (code < 0) {
        r->base.budget = 0;
        etcd_fail(call, code);
        return;
    }
    if (grpc_cancelled(call)) {
        grpc_finish(call, GRPC_CANCELLED, "context canceled");
        return;
    }
    int rc = kv_range(s->kv, q, grpc_arena(call), &r->result, &err);
    if (rc == 0)
        rc = etcd_auth_still(s, r->auth_rev);
    if (rc < 0) {
        etcd_fail(call, rc);
        return;
    }
    bool cut =
        q->bytes_max && r->result.more && (!q->limit || (int64_t)r->result.pairs_len < q->limit);
    q->bytes_max = 0;
    if (cut) {
        start_large(r);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__RangeResponse response;
    etcd_range_response(s, &r->result, grpc_arena(call), &response);
    if (q->no_count)
        response.count = (int64_t)r->result.pairs_len;
    etcd_header(s, &header, r->result.current);
    response.header = &header;
    grpc_reply(call, &response.base);
}

/* Everything that passes the filters is held until it is sorted: learn how much that is and wait for so
 * much of the budget. */
static void start_gathered(struct range_call *r)
{
    struct etcd_server *s = r->base.server;
    struct kv_range_request all = r->request;
    all.sort_order = KV_SORT_NONE;
    all.limit = 0;
    int rc = kv_scan(s->kv, &all, measure_pair, r, grpc_arena(r->base.call), &r->result, NULL);
    if (rc < 0) {
        etcd_fail(r->base.call, rc);
        return;
    }
    size_t structs = sizeof(struct kv_pair) + sizeof(Mvccpb__KeyValue) + sizeof(void *);
    size_t bytes = 2 * r->kvs_bytes + 2 * (size_t)r->measured * structs; /* read, and packed */
    if (bytes > SMALL_ANSWER_BYTES) {
        r->base.budget = bytes;
        if (!kv_budget_take(s->kv, bytes, 0, etcd_loop(r->base.call), send_gathered, r))
            return;
    }
    send_gathered(r, 0, 0);
}

static void read_range(struct range_call *r)
{
    struct kv_range_request *q = &r->request;
    r->auth_rev = kv_auth_revision(r->base.server->kv);
    if (etcd_refused(r->base.call, etcd_auth_range(r->base.server, r->base.call, q->key, q->end)))
        return;
    bool in_order = q->sort_target == KV_SORT_KEY && q->sort_order != KV_SORT_DESCEND;
    bool filtered = q->min_mod_rev || q->max_mod_rev || q->min_create_rev || q->max_create_rev;
    if (q->count_only || q->end.n == 0) {
        send_gathered(r, 0, 0);
    } else if (in_order && !filtered) {
        q->bytes_max = SMALL_ANSWER_BYTES;
        q->no_count = !q->limit; /* without a limit the pairs themselves are the count */
        send_gathered(r, 0, 0);
    } else {
        start_gathered(r);
    }
}

static void range_confirmed(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct range_call *r = ctx;
    if (grpc_cancelled(r->base.call))
        grpc_finish(r->base.call, GRPC_CANCELLED, "context canceled");
    else if (code < 0)
        etcd_fail(r->base.call, code);
    else
        read_range(r);
}

static void on_range(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                     struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__RangeRequest *q = (const void *)message;
    struct range_call *r = arena_new(grpc_arena(call), struct range_call);
    const char *why;
    r->base = (struct etcd_request){.server = s, .call = call, .message = message};
    grpc_set_user(call, &r->base);
    int status = etcd_range_request(q, &r->request, &why);
    if (status)
        grpc_finish(call, status, why);
    else if (q->serializable)
        read_range(r);
    else
        kv_read_index(s->kv, etcd_loop(call), range_confirmed, r);
}

/* ----------------------------------------------------------------------- writes --- */

/* What a write answers, by the message it came with. */
static void txn_done(void *ctx, struct kv_txn_result *result)
{
    struct etcd_request *r = ctx;
    struct grpc_call *call = r->call;
    struct arena *a = grpc_arena(call);
    Etcdserverpb__ResponseHeader header;
    etcd_header(r->server, &header, result->rev);
    if (result->code < 0) {
        etcd_fail(call, result->code);
    } else if (r->message->descriptor == &etcdserverpb__put_request__descriptor) {
        Etcdserverpb__PutResponse response;
        etcd_put_response(&result->ops[0], a, &response);
        response.header = &header;
        grpc_reply(call, &response.base);
    } else if (r->message->descriptor == &etcdserverpb__delete_range_request__descriptor) {
        Etcdserverpb__DeleteRangeResponse response;
        etcd_delete_response(&result->ops[0], a, &response);
        response.header = &header;
        grpc_reply(call, &response.base);
    } else {
        Etcdserverpb__TxnResponse response;
        etcd_txn_response(r->server, result, a, &response);
        response.header = &header;
        grpc_reply(call, &response.base);
    }
    kv_txn_result_free(result);
}

static void propose_op(struct etcd_server *s, struct grpc_call *call,
                       const ProtobufCMessage *message, const struct kv_op *op)
{
    struct kv_auth_info who;
    if (etcd_refused(call, etcd_auth_who(s, call, &who)))
        return;
    kv_txn(s->kv, &(struct kv_txn_request){.as = &who, .then = op, .then_len = 1}, etcd_loop(call),
           txn_done, etcd_request_new(s, call, message));
}

static void on_put(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                   struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    struct kv_op op = {.type = KV_OP_PUT};
    const char *why;
    int status = etcd_put_request((const void *)message, &op.put, &why);
    if (status) {
        grpc_finish(call, status, why);
        return;
    }
    propose_op(s, call, message, &op);
}

static void on_delete(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    struct kv_op op = {.type = KV_OP_DELETE};
    const char *why;
    int status = etcd_delete_request((const void *)message, &op.del, &why);
    if (status) {
        grpc_finish(call, status, why);
        return;
    }
    propose_op(s, call, message, &op);
}

struct txn_call {
    struct etcd_request base;
    struct kv_txn_request request; /* in the call's arena */
    struct kv_auth_info who;
    /* When it reads for long: */
    struct etcd_job job;
    struct loop_timer again;
    unsigned tries;
    struct kv_txn_result *result;
};

static void long_read(struct etcd_job *job)
{
    struct txn_call *t = container_of(job, struct txn_call, job);
    t->result = kv_txn_read(job->server->kv, &t->request, LONG_READ_NS);
}

static void long_read_done(struct etcd_job *job)
{
    struct txn_call *t = container_of(job, struct txn_call, job);
    txn_done(&t->base, t->result);
}

/* On a thread, or a little later when all are busy. */
static void start_long_read(struct loop_timer *timer)
{
    struct txn_call *t = container_of(timer, struct txn_call, again);
    struct grpc_call *call = t->base.call;
    if (grpc_cancelled(call))
        grpc_finish(call, GRPC_CANCELLED, "context canceled");
    else if (etcd_job_start(t->base.server, etcd_loop(call), &t->job))
        ;
    else if (t->tries++ < LONG_READ_RETRIES)
        loop_timer_start(timer, LONG_READ_RETRY_MS);
    else
        etcd_fail(call, ERR_LIMIT);
}

static void txn_ended(void *ctx, struct kv_txn_result *result)
{
    struct txn_call *t = ctx;
    if (result->code != KV_ERR_READS_LONG) {
        txn_done(&t->base, result);
        return;
    }
    kv_txn_result_free(result);
    t->job = (struct etcd_job){.run = long_read, .done = long_read_done};
    loop_timer_init(etcd_loop(t->base.call), &t->again, start_long_read);
    start_long_read(&t->again);
}

static bool reads_ranges(const struct kv_txn_request *request);

static bool any_reads_ranges(const struct kv_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kv_range_request *q = &ops[i].range;
        if (ops[i].type == KV_OP_TXN ? reads_ranges(ops[i].txn)
            : ops[i].type == KV_OP_DELETE
                ? ops[i].del.prev_kv && ops[i].del.end.n
                : ops[i].type == KV_OP_RANGE && q->end.n && !q->count_only &&
                      !(q->limit && q->limit <= TXN_SMALL_LIMIT))
            return true;
    }
    return false;
}

/* Whether the answer may be much larger than the request. */
static bool reads_ranges(const struct kv_txn_request *request)
{
    return any_reads_ranges(request->then, request->then_len) ||
           any_reads_ranges(request->otherwise, request->otherwise_len);
}

static void propose_txn(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct txn_call *t = ctx;
    struct grpc_call *call = t->base.call;
    if (code < 0) {
        t->base.budget = 0;
        etcd_fail(call, code);
    } else if (grpc_cancelled(call)) {
        grpc_finish(call, GRPC_CANCELLED, "context canceled");
    } else if (!etcd_refused(call, etcd_auth_who(t->base.server, call, &t->who))) {
        t->request.as = &t->who;
        t->request.brief = true;
        kv_txn(t->base.server->kv, &t->request, etcd_loop(call), txn_ended, t);
    }
}

static void on_txn(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                   struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    struct txn_call *t = arena_new(grpc_arena(call), struct txn_call);
    const char *why;
    t->base = (struct etcd_request){.server = s, .call = call, .message = message};
    grpc_set_user(call, &t->base);
    int status = etcd_txn_request(s, (const void *)message, grpc_arena(call), &t->request, &why);
    if (status) {
        grpc_finish(call, status, why);
        return;
    }
    if (reads_ranges(&t->request)) {
        t->base.budget = TXN_RANGES_BUDGET;
        if (!kv_budget_take(s->kv, TXN_RANGES_BUDGET, 0, etcd_loop(call), propose_txn, t))
            return;
    }
    propose_txn(t, 0, 0);
}

static void compact_done(void *ctx, int code, int64_t rev)
{
    struct etcd_request *r = ctx;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__CompactionResponse response = ETCDSERVERPB__COMPACTION_RESPONSE__INIT;
    etcd_header(r->server, &header, rev);
    response.header = &header;
    grpc_reply(r->call, &response.base);
}

static void on_compact(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__CompactionRequest *q = (const void *)message;
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    kv_compact(s->kv, q->revision, q->physical, etcd_loop(call), compact_done,
               etcd_request_new(s, call, message));
}

#define KV_METHOD(name, descriptor, handler)                                                    \
    {                                                                                           \
        .path = "/etcdserverpb.KV/" name, .request = &etcdserverpb__##descriptor##__descriptor, \
        .on_message = handler, .on_free = etcd_request_free                                     \
    }

const struct grpc_method etcd_kv_methods[] = {
    {.path = "/etcdserverpb.KV/Range",
     .request = &etcdserverpb__range_request__descriptor,
     .response = &etcdserverpb__range_response__descriptor, /* large answers are made as bytes */
     .on_message = on_range,
     .on_free = etcd_request_free},
    KV_METHOD("Put", put_request, on_put),
    KV_METHOD("DeleteRange", delete_range_request, on_delete),
    KV_METHOD("Txn", txn_request, on_txn),
    KV_METHOD("Compact", compaction_request, on_compact),
};
const size_t etcd_kv_methods_len = ARRAY_LEN(etcd_kv_methods);
