/*
 * etcd's Election service.
 *
 * Candidates of the election `name` are the keys name/<lease>, with what they proclaim as value; the one with
 * the least create revision leads. Campaign waits to be that one; Proclaim changes the value and Resign
 * deletes the key, each only if the key is still the one of that create revision; Observe shows whoever leads.
 */
#include "kvstore/etcd/auth.h"
#include "kvstore/etcd/wait.h"
#include "base/mem.h"

static const char missing_leader[] = "\"leader\" field must be provided";
static const char not_leader[] = "election: not leader";

struct election_call {
    struct etcd_request base; /* first: on_free */
    struct str prefix, key, value;
    int64_t lease, rev;
    int64_t header_rev;
    struct etcd_wait *wait;
};

static struct election_call *call_new(struct etcd_server *s, struct grpc_call *call,
                                      const ProtobufCMessage *message)
{
    struct election_call *e = arena_new(grpc_arena(call), struct election_call);
    e->base = (struct etcd_request){.server = s, .call = call, .message = message};
    grpc_set_user(call, &e->base);
    return e;
}

/* The result's failure, if it is one, ends the call. */
static bool failed(struct election_call *e, const struct kv_txn_result *result)
{
    if (result->code < 0)
        etcd_fail_inner(e->base.call, result->code);
    return result->code < 0;
}

static void resigned_quietly(void *ctx, struct kv_txn_result *result)
{
    (void)ctx;
    kv_txn_result_free(result);
}

static void resign(struct election_call *e, kv_txn_fn *cb, struct loop *loop)
{
    struct kv_op gone = {.type = KV_OP_DELETE, .del = {.key = e->key}};
    etcd_guarded_txn(e->base.server->kv, &(struct etcd_guarded){e->key, e->rev, &gone, NULL, 1, 0},
                     loop, cb, e);
}

static void proclaim(struct election_call *e, kv_txn_fn *cb)
{
    struct kv_op put = {.type = KV_OP_PUT,
                        .put = {.key = e->key, .value = e->value, .lease = e->lease}};
    etcd_guarded_txn(e->base.server->kv, &(struct etcd_guarded){e->key, e->rev, &put, NULL, 1, 0},
                     etcd_loop(e->base.call), cb, e);
}

/* --------------------------------------------------------------------- campaign --- */

static bool given_up(struct election_call *e)
{
    if (!grpc_cancelled(e->base.call))
        return false;
    if (e->rev)
        resign(e, resigned_quietly, NULL);
    grpc_finish(e->base.call, GRPC_CANCELLED, "context canceled");
    return true;
}

static void elected(void *ctx, int code)
{
    struct election_call *e = ctx;
    const V3electionpb__CampaignRequest *q = (const void *)e->base.message;
    e->wait = NULL;
    if (given_up(e))
        return;
    if (code < 0) {
        etcd_fail_inner(e->base.call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    V3electionpb__LeaderKey leader = V3ELECTIONPB__LEADER_KEY__INIT;
    V3electionpb__CampaignResponse response = V3ELECTIONPB__CAMPAIGN_RESPONSE__INIT;
    etcd_header(e->base.server, &header, e->header_rev);
    leader.name = q->name;
    leader.key = etcd_bytes(e->key);
    leader.rev = e->rev;
    leader.lease = e->lease;
    response.header = &header;
    response.leader = &leader;
    grpc_reply(e->base.call, &response.base);
}

static void wait_to_lead(struct election_call *e)
{
    e->wait =
        etcd_wait_start(e->base.server, etcd_loop(e->base.call), e->prefix, e->rev - 1, elected, e);
}

static void candidate_updated(void *ctx, struct kv_txn_result *result)
{
    struct election_call *e = ctx;
    if (!given_up(e) && !failed(e, result)) {
        if (result->succeeded)
            wait_to_lead(e);
        else
            grpc_finish(e->base.call, GRPC_UNKNOWN, not_leader);
    }
    kv_txn_result_free(result);
}

static void candidate(void *ctx, struct kv_txn_result *result)
{
    struct election_call *e = ctx;
    if (result->code == 0) {
        const struct kv_pair *have = result->succeeded ? NULL : result->ops[0].range.pairs;
        e->header_rev = result->rev;
        e->rev = have ? have->create_rev : result->rev;
        if (given_up(e))
            ;
        else if (have && !str_eq(have->value, e->value))
            proclaim(e, candidate_updated);
        else
            wait_to_lead(e);
    } else if (!given_up(e)) {
        etcd_fail_inner(e->base.call, result->code);
    }
    kv_txn_result_free(result);
}

static void campaign_lease(void *ctx, const struct kv_lease_result *result)
{
    struct election_call *e = ctx;
    struct grpc_call *call = e->base.call;
    if (given_up(e))
        return;
    if (result->code < 0) {
        etcd_fail_inner(call, result->code);
        return;
    }
    e->lease = result->id;
    e->key = etcd_lease_key(grpc_arena(call), e->prefix, e->lease);
    struct kv_op put = {.type = KV_OP_PUT,
                        .put = {.key = e->key, .value = e->value, .lease = e->lease}};
    struct kv_op get = {.type = KV_OP_RANGE, .range = {.key = e->key}};
    etcd_guarded_txn(e->base.server->kv, &(struct etcd_guarded){e->key, 0, &put, &get, 1, 1},
                     etcd_loop(call), candidate, e);
}

static void on_campaign(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                        struct str raw)
{
    (void)raw;
    const V3electionpb__CampaignRequest *q = (const void *)message;
    struct election_call *e = call_new(ctx, call, message);
    e->prefix = etcd_prefix(grpc_arena(call), q->name);
    e->value = etcd_str(q->value);
    int denied = etcd_auth_prefix(e->base.server, call, e->prefix, true);
    if (denied) {
        etcd_fail_inner(call, denied);
        return;
    }
    etcd_session_lease(e->base.server->kv, q->lease, etcd_loop(call), campaign_lease, e);
}

static void on_campaign_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct election_call *e = grpc_user(call);
    if (!e->wait)
        return; /* what is under way looks for itself when it ends */
    etcd_wait_cancel(e->wait);
    e->wait = NULL;
    given_up(e);
}

/* ----------------------------------------------------------- proclaim and resign --- */

static void of_leader(struct election_call *e, const V3electionpb__LeaderKey *leader)
{
    e->key = etcd_str(leader->key);
    e->rev = leader->rev;
    e->lease = leader->lease;
}

static void proclaimed(void *ctx, struct kv_txn_result *result)
{
    struct election_call *e = ctx;
    if (!failed(e, result)) {
        Etcdserverpb__ResponseHeader header;
        V3electionpb__ProclaimResponse response = V3ELECTIONPB__PROCLAIM_RESPONSE__INIT;
        etcd_header(e->base.server, &header, result->rev);
        response.header = &header;
        if (result->succeeded)
            grpc_reply(e->base.call, &response.base);
        else
            grpc_finish(e->base.call, GRPC_UNKNOWN, not_leader);
    }
    kv_txn_result_free(result);
}

static void proclaim_lease(void *ctx, const struct kv_lease_result *result)
{
    struct election_call *e = ctx;
    e->lease = result->id;
    if (result->code < 0)
        etcd_fail_inner(e->base.call, result->code);
    else
        proclaim(e, proclaimed);
}

static void on_proclaim(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                        struct str raw)
{
    (void)raw;
    const V3electionpb__ProclaimRequest *q = (const void *)message;
    struct election_call *e = call_new(ctx, call, message);
    if (!q->leader) {
        grpc_finish(call, GRPC_UNKNOWN, missing_leader);
        return;
    }
    of_leader(e, q->leader);
    e->value = etcd_str(q->value);
    int denied = etcd_auth_prefix(e->base.server, call, e->key, true);
    if (denied) {
        etcd_fail_inner(call, denied);
        return;
    }
    etcd_session_lease(e->base.server->kv, e->lease, etcd_loop(call), proclaim_lease, e);
}

static void resigned(void *ctx, struct kv_txn_result *result)
{
    struct election_call *e = ctx;
    if (!failed(e, result)) {
        Etcdserverpb__ResponseHeader header;
        V3electionpb__ResignResponse response = V3ELECTIONPB__RESIGN_RESPONSE__INIT;
        etcd_header(e->base.server, &header, result->rev);
        response.header = &header;
        grpc_reply(e->base.call, &response.base);
    }
    kv_txn_result_free(result);
}

static void on_resign(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    const V3electionpb__ResignRequest *q = (const void *)message;
    struct election_call *e = call_new(ctx, call, message);
    if (!q->leader) {
        grpc_finish(call, GRPC_UNKNOWN, missing_leader);
        return;
    }
    of_leader(e, q->leader);
    int denied = etcd_auth_prefix(e->base.server, call, e->key, true);
    if (denied) {
        etcd_fail_inner(call, denied);
        return;
    }
    resign(e, resigned, etcd_loop(call));
}

/* ------------------------------------------------------------- leader and observe --- */

static void send_leader(struct etcd_server *s, struct grpc_call *call, const struct kv_pair *pair,
                        int64_t rev)
{
    Etcdserverpb__ResponseHeader header;
    Mvccpb__KeyValue kv;
    V3electionpb__LeaderResponse response = V3ELECTIONPB__LEADER_RESPONSE__INIT;
    etcd_header(s, &header, rev);
    etcd_kv_of_pair(pair, &kv);
    response.header = &header;
    response.kv = &kv;
    grpc_send(call, &response.base);
}

static void leader_known(void *ctx, int code, int64_t rev)
{
    struct election_call *e = ctx;
    struct grpc_call *call = e->base.call;
    struct kv_range_request q = etcd_first_created(grpc_arena(call), e->prefix);
    struct kv_range_result r;
    (void)rev;
    if (code == 0)
        code = kv_range(e->base.server->kv, &q, grpc_arena(call), &r, NULL);
    if (code < 0) {
        etcd_fail_inner(call, code);
    } else if (r.pairs_len == 0) {
        grpc_finish(call, GRPC_UNKNOWN, "election: no leader");
    } else {
        send_leader(e->base.server, call, &r.pairs[0], r.current);
        grpc_finish(call, GRPC_OK, NULL);
    }
}

static void on_leader(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    const V3electionpb__LeaderRequest *q = (const void *)message;
    struct election_call *e = call_new(ctx, call, message);
    e->prefix = etcd_prefix(grpc_arena(call), q->name);
    int denied = etcd_auth_prefix(e->base.server, call, e->prefix, false);
    if (denied) {
        etcd_fail_inner(call, denied);
        return;
    }
    kv_read_index(e->base.server->kv, etcd_loop(call), leader_known, e);
}

/*
 * look ─▶ nobody: watch the prefix for the first put ─┐
 *   ▲  └▶ a leader: show him, watch his key ◀─────────┘
 *   └────────────── his key is deleted ──┘
 * Watches and reads that are under way when the client goes end by themselves (`over`).
 */
struct observer {
    struct etcd_server *server;
    struct grpc_call *call;
    struct str prefix;
    struct kv_watch *watch;
    bool started, reading, over;
};

static void look(struct observer *o);

static void observe_end(struct observer *o, int status, const char *message)
{
    o->over = true;
    if (o->watch)
        kv_watch_close(o->watch);
    o->watch = NULL;
    if (!o->reading)
        grpc_finish(o->call, status, message);
}

static void observe_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    (void)watch, (void)compact_rev, (void)code;
    observe_end(ctx, GRPC_OK, NULL); /* as etcd: the stream just ends */
}

static void observe_watch(struct observer *o, struct str key, struct str end, int64_t from,
                          void (*events)(void *, struct kv_watch *, const struct kv_watch_batch *))
{
    struct kv_watch_callbacks callbacks = {.events = events, .closed = observe_closed};
    struct kv_watch_request q = {.key = key, .end = end, .start_rev = from};
    if (o->watch)
        kv_watch_close(o->watch);
    o->watch = kv_watch(o->server->kv, &q, etcd_loop(o->call), &callbacks, o, NULL);
}

static void on_leaders_key(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct observer *o = ctx;
    (void)watch;
    for (size_t i = 0; i < batch->events_len; i++) {
        if (batch->events[i]->type == KV_EVENT_DELETE) {
            look(o);
            return;
        }
        send_leader(o->server, o->call, &batch->events[i]->kv, batch->rev);
    }
    if (grpc_queued(o->call) > ETCD_QUEUE_PAUSE_BYTES)
        kv_watch_pause(o->watch);
}

static void show(struct observer *o, const struct kv_pair *pair, int64_t rev)
{
    send_leader(o->server, o->call, pair, rev);
    observe_watch(o, pair->key, STR_NONE, rev + 1, on_leaders_key);
}

static void on_candidates(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct observer *o = ctx;
    (void)watch;
    for (size_t i = 0; i < batch->events_len; i++)
        if (batch->events[i]->type == KV_EVENT_PUT) {
            show(o, &batch->events[i]->kv, batch->events[i]->kv.mod_rev);
            return;
        }
}

static void observed(void *ctx, int code, int64_t rev)
{
    struct observer *o = ctx;
    struct kv_range_result r;
    struct arena a;
    (void)rev;
    o->reading = false;
    if (o->over) {
        grpc_finish(o->call, GRPC_CANCELLED, "context canceled");
        return;
    }
    arena_init(&a);
    struct kv_range_request q = etcd_first_created(&a, o->prefix);
    if (code == 0)
        code = kv_range(o->server->kv, &q, &a, &r, NULL);
    if (code < 0)
        observe_end(o, GRPC_OK, NULL);
    else if (r.pairs_len)
        show(o, &r.pairs[0], r.current);
    else
        observe_watch(o, o->prefix, q.end, r.current + 1, on_candidates);
    arena_free(&a);
}

static void look(struct observer *o)
{
    if (o->watch)
        kv_watch_close(o->watch);
    o->watch = NULL;
    o->reading = true;
    kv_read_index(o->server->kv, etcd_loop(o->call), observed, o);
}

static void observe_open(struct grpc_call *call, void *ctx)
{
    struct observer *o = arena_new(grpc_arena(call), struct observer);
    o->server = ctx;
    o->call = call;
    grpc_set_user(call, o);
}

static void observe_message(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                            struct str raw)
{
    (void)ctx, (void)raw;
    struct observer *o = grpc_user(call);
    if (o->started)
        return;
    o->started = true;
    o->prefix = etcd_prefix(grpc_arena(call),
                            ((const V3electionpb__LeaderRequest *)(const void *)message)->name);
    int status, denied = etcd_auth_prefix(o->server, call, o->prefix, false);
    if (denied)
        observe_end(o, GRPC_UNKNOWN, etcd_error_message(denied, &status));
    else
        look(o);
}

static void observe_half_closed(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct observer *o = grpc_user(call);
    if (!o->started)
        observe_end(o, GRPC_INTERNAL, "grpc: a unary call without a message");
}

static void observe_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct observer *o = grpc_user(call);
    observe_end(o, GRPC_CANCELLED, "context canceled");
}

static void observe_drain(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct observer *o = grpc_user(call);
    if (o->watch)
        kv_watch_resume(o->watch);
}

#define ELECTION_METHOD(name, descriptor, handler)                                                \
    .path = "/v3electionpb.Election/" name, .request = &v3electionpb__##descriptor##__descriptor, \
    .on_message = handler

const struct grpc_method etcd_election_methods[] = {
    {ELECTION_METHOD("Campaign", campaign_request, on_campaign), .long_running = true,
     .on_cancel = on_campaign_cancel, .on_free = etcd_request_free},
    {ELECTION_METHOD("Proclaim", proclaim_request, on_proclaim), .on_free = etcd_request_free},
    {ELECTION_METHOD("Resign", resign_request, on_resign), .on_free = etcd_request_free},
    {ELECTION_METHOD("Leader", leader_request, on_leader), .on_free = etcd_request_free},
    /* Streaming from the server only, but it never ends by itself: see grpc_server_end_streams. */
    {ELECTION_METHOD("Observe", leader_request, observe_message), .client_streaming = true,
     .on_open = observe_open, .on_end = observe_half_closed, .on_cancel = observe_cancel,
     .on_drain = observe_drain},
};
const size_t etcd_election_methods_len = ARRAY_LEN(etcd_election_methods);
