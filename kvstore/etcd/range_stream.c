/*
 * KV.RangeStream (etcd 3.7): a range as a stream of parts that, merged, are the answer of Range. Parts are read
 * at the revision of the first one, each when the client has taken most of those before it, so a range of any
 * size takes little memory here. A compaction past that revision breaks the stream off, as in etcd.
 */
#include "kvstore/etcd/auth.h"

#define PART_BYTES (256u * 1024)

struct range_stream {
    struct etcd_request base;     /* first: etcd_request_free */
    struct kv_range_request rest; /* what is left to send; `key` is owned by `from` */
    struct buf from;
    int64_t limit; /* of the whole; 0: none */
    int64_t sent;
    int64_t header_rev; /* 0: nothing has been read yet */
    bool reading, over;
};

static void finish(struct range_stream *r, int status, const char *message)
{
    r->over = true;
    if (!r->reading)
        grpc_finish(r->base.call, status, message);
}

static void fail(struct range_stream *r, int code)
{
    int status;
    const char *message = etcd_error_message(code, &status);
    finish(r, status, message);
}

static void send_part(struct range_stream *r, Etcdserverpb__RangeResponse *part)
{
    Etcdserverpb__RangeStreamResponse response = ETCDSERVERPB__RANGE_STREAM_RESPONSE__INIT;
    response.range_response = part;
    grpc_send(r->base.call, &response.base);
}

/* Keys from `next` on, which the limit keeps back: they count as well. */
static int count_rest(struct range_stream *r, struct str next, struct arena *a, int64_t *count)
{
    struct kv_range_request q = {
        .key = next, .end = r->rest.end, .rev = r->rest.rev, .count_only = true};
    struct kv_range_result result;
    int rc = kv_range(r->base.server->kv, &q, a, &result, NULL);
    *count = rc < 0 ? 0 : result.count;
    return rc;
}

/* Read and send one part. False: it was the last, or the stream has failed. */
static bool part(struct range_stream *r, struct arena *a)
{
    struct etcd_server *s = r->base.server;
    struct kv_range_result result;
    r->rest.limit = r->limit ? r->limit - r->sent : 0;
    int rc = kv_range(s->kv, &r->rest, a, &result, NULL);
    if (rc < 0) {
        fail(r, rc);
        return false;
    }
    if (!r->header_rev) {
        r->header_rev = result.current;
        r->rest.rev = result.rev;
    }
    r->sent += (int64_t)result.pairs_len;
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__RangeResponse out;
    etcd_range_response(s, &result, a, &out);
    bool last = !result.more || r->rest.count_only || (r->limit && r->sent >= r->limit);
    out.more = last && result.more;
    out.count = r->rest.count_only ? result.count : last ? r->sent : 0;
    if (last) {
        int64_t kept_back = 0;
        if (result.more && (rc = count_rest(r, result.next, a, &kept_back)) < 0) {
            fail(r, rc);
            return false;
        }
        out.count += kept_back;
        etcd_header(s, &header, r->header_rev);
        out.header = &header;
    }
    send_part(r, &out);
    if (last) {
        finish(r, GRPC_OK, NULL);
        return false;
    }
    struct buf from;
    buf_init(&from);
    buf_append_str(&from, result.next);
    buf_free(&r->from);
    r->from = from;
    r->rest.key = buf_str(&r->from);
    return true;
}

/* As many parts as the client's queue may hold. */
static void go_on(struct range_stream *r)
{
    bool more = true;
    while (more && !r->over && grpc_queued(r->base.call) < ETCD_QUEUE_PAUSE_BYTES) {
        struct arena a;
        arena_init(&a);
        more = part(r, &a);
        arena_free(&a);
    }
}

static void confirmed(void *ctx, int code, int64_t rev)
{
    struct range_stream *r = ctx;
    (void)rev;
    r->reading = false;
    if (r->over) {
        grpc_finish(r->base.call, GRPC_CANCELLED, "context canceled");
        return;
    }
    if (code == 0)
        code = etcd_auth_range(r->base.server, r->base.call, r->rest.key, r->rest.end);
    if (code < 0)
        fail(r, code);
    else
        go_on(r);
}

static void on_message(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__RangeRequest *q = (const void *)message;
    struct range_stream *r = arena_new(grpc_arena(call), struct range_stream);
    const char *why;
    r->base = (struct etcd_request){.server = s, .call = call, .message = message};
    grpc_set_user(call, &r->base);
    buf_init(&r->from);
    int status = etcd_range_request(q, &r->rest, &why);
    bool sorted = q->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE &&
                  (q->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
                   q->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND);
    bool filtered = q->min_mod_revision || q->max_mod_revision || q->min_create_revision ||
                    q->max_create_revision;
    if (!status && sorted) {
        status = GRPC_UNIMPLEMENTED;
        why = "RangeStream does not support custom sort orders";
    } else if (!status && filtered) {
        status = GRPC_UNIMPLEMENTED;
        why = "RangeStream does not support revision filters";
    }
    if (status) {
        finish(r, status, why);
        return;
    }
    r->limit = r->rest.limit;
    r->rest.sort_order = KV_SORT_NONE; /* etcd takes a target without an order, and ignores it */
    r->rest.sort_target = KV_SORT_KEY;
    r->rest.no_count = !r->rest.count_only;
    r->rest.bytes_max = r->rest.count_only ? 0 : PART_BYTES;
    r->reading = true;
    if (q->serializable)
        confirmed(r, 0, 0);
    else
        kv_read_index(s->kv, etcd_loop(call), confirmed, r);
}

static void on_drain(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct range_stream *r = (void *)grpc_user(call);
    if (r && !r->reading && !r->over)
        go_on(r);
}

static void on_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    finish(grpc_user(call), GRPC_CANCELLED, "context canceled");
}

static void on_free(struct grpc_call *call, void *ctx)
{
    struct range_stream *r = grpc_user(call);
    if (r)
        buf_free(&r->from);
    etcd_request_free(call, ctx);
}

const struct grpc_method etcd_range_stream_methods[] = {
    {.path = "/etcdserverpb.KV/RangeStream",
     .long_running = true,
     .request = &etcdserverpb__range_request__descriptor,
     .on_message = on_message,
     .on_cancel = on_cancel,
     .on_drain = on_drain,
     .on_free = on_free},
};
const size_t etcd_range_stream_methods_len = ARRAY_LEN(etcd_range_stream_methods);
