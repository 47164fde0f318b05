/*
 * etcd's Lock service.
 *
 * Who wants the lock `name` puts the key name/<lease>; the key with the least create revision holds it. Its
 * create revision is a fencing token. The key goes with Unlock, or with the lease.
 *
 *     session lease ─▶ put the key ─▶ first? ── yes ─▶ locked
 *                                        └─ no ─▶ wait for the earlier ones ─▶ is the key still there? ─▶ locked
 */
#include "kvstore/etcd/auth.h"
#include "kvstore/etcd/wait.h"

struct lock_call {
    struct etcd_request base; /* first: on_free */
    struct str prefix, key;
    int64_t lease, rev;
    struct etcd_wait *wait;
};

static void fail_text(struct lock_call *l, const char *text)
{
    grpc_finish(l->base.call, GRPC_UNKNOWN, text);
}

static void locked(struct lock_call *l, int64_t rev)
{
    Etcdserverpb__ResponseHeader header;
    V3lockpb__LockResponse response = V3LOCKPB__LOCK_RESPONSE__INIT;
    etcd_header(l->base.server, &header, rev);
    response.header = &header;
    response.key = etcd_bytes(l->key);
    grpc_reply(l->base.call, &response.base);
}

/* The client has gone: so does its place in the queue. */
static bool given_up(struct lock_call *l)
{
    if (!grpc_cancelled(l->base.call))
        return false;
    if (l->key.n)
        etcd_delete_quietly(l->base.server->kv, l->key);
    grpc_finish(l->base.call, GRPC_CANCELLED, "context canceled");
    return true;
}

static void key_confirmed(void *ctx, int code, int64_t rev)
{
    struct lock_call *l = ctx;
    struct kv_range_request q = {.key = l->key};
    struct kv_range_result r;
    (void)rev;
    if (given_up(l))
        return;
    if (code == 0)
        code = kv_range(l->base.server->kv, &q, grpc_arena(l->base.call), &r, NULL);
    if (code < 0) {
        etcd_delete_quietly(l->base.server->kv, l->key);
        etcd_fail_inner(l->base.call, code);
    } else if (r.pairs_len == 0) {
        fail_text(l, "mutex: session is expired");
    } else {
        locked(l, r.current);
    }
}

static void earlier_gone(void *ctx, int code)
{
    struct lock_call *l = ctx;
    l->wait = NULL;
    if (given_up(l))
        return;
    if (code < 0) {
        etcd_delete_quietly(l->base.server->kv, l->key);
        etcd_fail_inner(l->base.call, code);
        return;
    }
    kv_read_index(l->base.server->kv, etcd_loop(l->base.call), key_confirmed, l);
}

static void queued(void *ctx, struct kv_txn_result *result)
{
    struct lock_call *l = ctx;
    if (result->code < 0) {
        if (grpc_cancelled(l->base.call))
            grpc_finish(l->base.call, GRPC_CANCELLED, "context canceled");
        else
            etcd_fail_inner(l->base.call, result->code);
    } else if (!given_up(l)) {
        const struct kv_range_result *owner = &result->ops[1].range;
        l->rev = result->succeeded ? result->rev : result->ops[0].range.pairs[0].create_rev;
        if (owner->pairs_len == 0 || owner->pairs[0].create_rev == l->rev)
            locked(l, result->rev);
        else
            l->wait = etcd_wait_start(l->base.server, etcd_loop(l->base.call), l->prefix,
                                      l->rev - 1, earlier_gone, l);
    }
    kv_txn_result_free(result);
}

static void have_lease(void *ctx, const struct kv_lease_result *result)
{
    struct lock_call *l = ctx;
    struct grpc_call *call = l->base.call;
    struct arena *a = grpc_arena(call);
    if (given_up(l))
        return;
    if (result->code < 0) {
        etcd_fail_inner(call, result->code);
        return;
    }
    l->lease = result->id;
    l->key = etcd_lease_key(a, l->prefix, l->lease);
    struct kv_op owner = {.type = KV_OP_RANGE, .range = etcd_first_created(a, l->prefix)};
    struct kv_op then[] = {{.type = KV_OP_PUT, .put = {.key = l->key, .lease = l->lease}}, owner};
    struct kv_op otherwise[] = {{.type = KV_OP_RANGE, .range = {.key = l->key}}, owner};
    etcd_guarded_txn(l->base.server->kv, &(struct etcd_guarded){l->key, 0, then, otherwise, 2, 2},
                     etcd_loop(call), queued, l);
}

static void on_lock(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                    struct str raw)
{
    (void)raw;
    const V3lockpb__LockRequest *q = (const void *)message;
    struct lock_call *l = arena_new(grpc_arena(call), struct lock_call);
    l->base = (struct etcd_request){.server = ctx, .call = call, .message = message};
    grpc_set_user(call, &l->base);
    l->prefix = etcd_prefix(grpc_arena(call), q->name);
    int denied = etcd_auth_prefix(l->base.server, call, l->prefix, true);
    if (denied) {
        etcd_fail_inner(call, denied);
        return;
    }
    etcd_session_lease(l->base.server->kv, q->lease, etcd_loop(call), have_lease, l);
}

static void on_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct lock_call *l = grpc_user(call);
    if (!l->wait)
        return; /* what is under way looks for itself when it ends */
    etcd_wait_cancel(l->wait);
    l->wait = NULL;
    given_up(l);
}

static void unlocked(void *ctx, struct kv_txn_result *result)
{
    struct etcd_request *r = ctx;
    if (result->code < 0) {
        etcd_fail_inner(r->call, result->code);
    } else {
        Etcdserverpb__ResponseHeader header;
        V3lockpb__UnlockResponse response = V3LOCKPB__UNLOCK_RESPONSE__INIT;
        etcd_header(r->server, &header, result->rev);
        response.header = &header;
        grpc_reply(r->call, &response.base);
    }
    kv_txn_result_free(result);
}

static void on_unlock(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const V3lockpb__UnlockRequest *q = (const void *)message;
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = etcd_str(q->key)}};
    if (!q->key.len) {
        grpc_finish(call, GRPC_UNKNOWN, ETCD_EMPTY_KEY);
        return;
    }
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    if (rc < 0) {
        etcd_fail_inner(call, rc);
        return;
    }
    kv_txn(s->kv, &(struct kv_txn_request){.as = &who, .then = &op, .then_len = 1}, etcd_loop(call),
           unlocked, etcd_request_new(s, call, message));
}

const struct grpc_method etcd_lock_methods[] = {
    {.path = "/v3lockpb.Lock/Lock",
     .request = &v3lockpb__lock_request__descriptor,
     .long_running = true,
     .on_message = on_lock,
     .on_cancel = on_cancel,
     .on_free = etcd_request_free},
    {.path = "/v3lockpb.Lock/Unlock",
     .request = &v3lockpb__unlock_request__descriptor,
     .on_message = on_unlock,
     .on_free = etcd_request_free},
};
const size_t etcd_lock_methods_len = ARRAY_LEN(etcd_lock_methods);
