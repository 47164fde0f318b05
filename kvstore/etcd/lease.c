/*
 * etcd's Lease service: LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive, LeaseLeases.
 */
#include "kvstore/etcd/auth.h"
#include "base/mem.h"

static void grant_done(void *ctx, const struct kv_lease_result *result)
{
    struct etcd_request *r = ctx;
    if (result->code < 0) {
        etcd_fail(r->call, result->code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseGrantResponse response = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    etcd_header(r->server, &header, result->rev);
    response.header = &header;
    response.id = result->id;
    response.ttl = result->ttl_s;
    grpc_reply(r->call, &response.base);
}

static void on_grant(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                     struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__LeaseGrantRequest *q = (const void *)message;
    if (etcd_refused(call, etcd_auth_user(s, call)))
        return;
    kv_lease_grant(s->kv, q->id, q->ttl, etcd_loop(call), grant_done,
                   etcd_request_new(s, call, message));
}

static void revoke_done(void *ctx, const struct kv_lease_result *result)
{
    struct etcd_request *r = ctx;
    if (result->code < 0) {
        etcd_fail(r->call, result->code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseRevokeResponse response = ETCDSERVERPB__LEASE_REVOKE_RESPONSE__INIT;
    etcd_header(r->server, &header, result->rev);
    response.header = &header;
    grpc_reply(r->call, &response.base);
}

static void on_revoke(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__LeaseRevokeRequest *q = (const void *)message;
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    if (etcd_refused(call, rc ? rc : kv_auth_check_user(s->kv, &who)))
        return;
    kv_lease_revoke_as(s->kv, q->id, &who, etcd_loop(call), revoke_done,
                       etcd_request_new(s, call, message));
}

/* ------------------------------------------------------------------- keep-alive --- */

/* A keep-alive stream. It ends when the client has half-closed and no answer is outstanding, or at once when
 * an error came, the client has gone or the server ends it; what is outstanding then comes to nothing. */
struct keep_alive_stream {
    struct etcd_server *server;
    struct grpc_call *call; /* NULL: finished */
    unsigned outstanding;
    bool ended;
};

static void keep_alive_open(struct grpc_call *call, void *ctx)
{
    struct keep_alive_stream *s = mem_zalloc(sizeof *s);
    s->server = ctx;
    s->call = call;
    grpc_set_user(call, s);
}

static void keep_alive_release(struct keep_alive_stream *s)
{
    if (!s->call && !s->outstanding)
        mem_free(s);
}

/* The caller lets go of it, or has something outstanding. */
static void keep_alive_finish(struct keep_alive_stream *s, int status, const char *message)
{
    struct grpc_call *call = s->call;
    if (!call)
        return;
    s->call = NULL;
    grpc_set_user(call, NULL);
    grpc_finish(call, status, message);
}

static void keep_alive_fail(struct keep_alive_stream *s, int code)
{
    int status;
    const char *message = etcd_error_message(code, &status);
    keep_alive_finish(s, status, message);
}

struct keep_alive {
    struct keep_alive_stream *stream;
    int64_t id;
};

static void keep_alive_done(void *ctx, const struct kv_lease_result *result)
{
    struct keep_alive *k = ctx;
    struct keep_alive_stream *s = k->stream;
    if (result->code < 0 && result->code != KV_ERR_LEASE_NOT_FOUND) {
        keep_alive_fail(s, result->code);
    } else if (s->call) {
        Etcdserverpb__ResponseHeader header;
        Etcdserverpb__LeaseKeepAliveResponse response =
            ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
        etcd_header(s->server, &header, result->rev);
        response.header = &header;
        response.id = k->id;
        response.ttl = result->code ? 0 : result->ttl_s; /* 0: there is no such lease */
        grpc_send(s->call, &response.base);
    }
    mem_free(k);
    if (--s->outstanding == 0 && s->ended)
        keep_alive_finish(s, GRPC_OK, NULL);
    keep_alive_release(s);
}

static void on_keep_alive(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                          struct str raw)
{
    (void)raw;
    struct etcd_server *server = ctx;
    struct keep_alive_stream *s = grpc_user(call);
    int64_t lease = ((const Etcdserverpb__LeaseKeepAliveRequest *)(const void *)message)->id;
    int code = etcd_auth_lease(server, call, lease, true);
    if (code < 0) {
        keep_alive_fail(s, code);
        keep_alive_release(s);
        return;
    }
    struct keep_alive *k = mem_alloc(sizeof *k);
    *k = (struct keep_alive){s, lease};
    s->outstanding++;
    kv_lease_keep_alive(server->kv, k->id, etcd_loop(call), keep_alive_done, k);
}

static void keep_alive_end(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct keep_alive_stream *s = grpc_user(call);
    s->ended = true;
    if (s->outstanding)
        return;
    keep_alive_finish(s, GRPC_OK, NULL);
    keep_alive_release(s);
}

static void keep_alive_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct keep_alive_stream *s = grpc_user(call);
    keep_alive_finish(s, GRPC_CANCELLED, "context canceled");
    keep_alive_release(s);
}

/* ---------------------------------------------------------------------- queries --- */

static void ttl_known(void *ctx, const struct kv_lease_result *result)
{
    struct etcd_request *r = ctx;
    const Etcdserverpb__LeaseTimeToLiveRequest *q = (const void *)r->message;
    struct arena *a = grpc_arena(r->call);
    struct kv_lease_info info = {0};
    int code = result->code;
    /* Keys from here: kv_read_index before the question made sure that nothing is missing. */
    if (code == 0 && q->keys)
        code = kv_lease_time_to_live(r->server->kv, q->id, true, a, &info, NULL);
    if (code < 0 && code != KV_ERR_LEASE_NOT_FOUND) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseTimeToLiveResponse response =
        ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    etcd_header(r->server, &header, 0);
    response.header = &header;
    response.id = q->id;
    response.ttl = code ? -1 : result->remaining_s;
    response.grantedttl = code ? 0 : result->ttl_s;
    response.n_keys = info.keys_len;
    response.keys = arena_array(a, ProtobufCBinaryData, info.keys_len);
    for (size_t i = 0; i < info.keys_len; i++)
        response.keys[i] = etcd_bytes(info.keys[i]);
    grpc_reply(r->call, &response.base);
}

static void ttl_confirmed(void *ctx, int code, int64_t rev)
{
    struct etcd_request *r = ctx;
    const Etcdserverpb__LeaseTimeToLiveRequest *q = (const void *)r->message;
    (void)rev;
    if (code == 0)
        code = q->keys ? etcd_auth_lease(r->server, r->call, q->id, false)
                       : etcd_auth_user(r->server, r->call);
    if (code < 0)
        etcd_fail(r->call, code);
    else
        kv_lease_remaining(r->server->kv, q->id, etcd_loop(r->call), ttl_known, r);
}

static void on_time_to_live(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                            struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    kv_read_index(s->kv, etcd_loop(call), ttl_confirmed, etcd_request_new(s, call, message));
}

static void leases_confirmed(void *ctx, int code, int64_t rev)
{
    struct etcd_request *r = ctx;
    struct arena *a = grpc_arena(r->call);
    int64_t *ids = NULL;
    size_t n = 0;
    if (code == 0)
        code = kv_lease_list(r->server->kv, a, &ids, &n, NULL);
    if (code == 0)
        code = etcd_auth_user(r->server, r->call);
    for (size_t i = 0; i < n && code == 0 && kv_auth_enabled(r->server->kv); i++)
        code = etcd_auth_lease(r->server, r->call, ids[i], false);
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseLeasesResponse response = ETCDSERVERPB__LEASE_LEASES_RESPONSE__INIT;
    Etcdserverpb__LeaseStatus *all = arena_array(a, Etcdserverpb__LeaseStatus, n);
    etcd_header(r->server, &header, rev);
    response.header = &header;
    response.n_leases = n;
    response.leases = arena_alloc(a, n * sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        etcdserverpb__lease_status__init(&all[i]);
        all[i].id = ids[i];
        response.leases[i] = &all[i];
    }
    grpc_reply(r->call, &response.base);
}

static void on_leases(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    kv_read_index(s->kv, etcd_loop(call), leases_confirmed, etcd_request_new(s, call, message));
}

#define LEASE_METHOD(name, descriptor, handler)                                                    \
    {                                                                                              \
        .path = "/etcdserverpb.Lease/" name, .request = &etcdserverpb__##descriptor##__descriptor, \
        .on_message = handler, .on_free = etcd_request_free                                        \
    }

const struct grpc_method etcd_lease_methods[] = {
    LEASE_METHOD("LeaseGrant", lease_grant_request, on_grant),
    LEASE_METHOD("LeaseRevoke", lease_revoke_request, on_revoke),
    LEASE_METHOD("LeaseTimeToLive", lease_time_to_live_request, on_time_to_live),
    LEASE_METHOD("LeaseLeases", lease_leases_request, on_leases),
    {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
     .client_streaming = true,
     .request = &etcdserverpb__lease_keep_alive_request__descriptor,
     .on_open = keep_alive_open,
     .on_message = on_keep_alive,
     .on_end = keep_alive_end,
     .on_cancel = keep_alive_cancel},
};
const size_t etcd_lease_methods_len = ARRAY_LEN(etcd_lease_methods);
