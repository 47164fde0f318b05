/*
 * etcd's Cluster and Maintenance services as far as we have them (MemberList; Status, Alarm, HashKV,
 * MoveLeader), and gRPC's health service.
 */
#include "kvstore/etcd_internal.h"
#include "base/mem.h"
#include "proto/etcd/health.pb-c.h"

/* ---------------------------------------------------------------------- members --- */

static char **texts(struct arena *a, const struct str *list, size_t n)
{
    char **out = arena_alloc(a, n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = arena_strndup(a, list[i].p, list[i].n);
    return out;
}

static void members_confirmed(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct etcd_request *r = ctx;
    struct arena *a = grpc_arena(r->call);
    struct kv_member *members = NULL;
    size_t n = 0;
    if (code == 0)
        code = kv_member_list(r->server->kv, a, &members, &n, NULL);
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    Etcdserverpb__Member *all = arena_array(a, Etcdserverpb__Member, n);
    etcd_header(r->server, &header, 0);
    header.revision = 0; /* as etcd: the answer does not come from the key space */
    response.header = &header;
    response.n_members = n;
    response.members = arena_alloc(a, n * sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        etcdserverpb__member__init(&all[i]);
        all[i].id = members[i].id;
        all[i].name = arena_strndup(a, members[i].name.p, members[i].name.n);
        all[i].n_peerurls = members[i].peer_urls_len;
        all[i].peerurls = texts(a, members[i].peer_urls, members[i].peer_urls_len);
        all[i].n_clienturls = members[i].client_urls_len;
        all[i].clienturls = texts(a, members[i].client_urls, members[i].client_urls_len);
        all[i].islearner = members[i].is_learner;
        response.members[i] = &all[i];
    }
    grpc_reply(r->call, &response.base);
}

static void on_member_list(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                           struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    struct etcd_request *r = etcd_request_new(s, call, message);
    if (((const Etcdserverpb__MemberListRequest *)(const void *)message)->linearizable)
        kv_read_index(s->kv, etcd_loop(call), members_confirmed, r);
    else
        members_confirmed(r, 0, 0);
}

/* ------------------------------------------------------------------ maintenance --- */

static void on_status(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)message, (void)raw;
    struct etcd_server *s = ctx;
    struct kv_status st;
    char *errors[2];
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__StatusResponse r = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    kv_status(s->kv, &st);
    etcd_header(s, &header, st.revision);
    header.raft_term = st.term;
    r.header = &header;
    r.version = (char *)ETCD_VERSION;
    r.storageversion = (char *)ETCD_VERSION;
    r.dbsize = (int64_t)st.db_size;
    r.dbsizeinuse = (int64_t)st.db_size_in_use;
    r.dbsizequota = (int64_t)st.quota_bytes;
    r.leader = st.leader_id;
    r.raftindex = st.raft_index;
    r.raftterm = st.term;
    r.raftappliedindex = st.applied_index;
    r.islearner = st.is_learner;
    r.errors = errors;
    if (!st.leader_id)
        errors[r.n_errors++] = (char *)"etcdserver: no leader";
    if (st.no_space)
        errors[r.n_errors++] = arena_printf(grpc_arena(call), "memberID:%llu alarm:NOSPACE ",
                                            (unsigned long long)s->member_id);
    grpc_reply(call, &r.base);
}

static void on_alarm(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                     struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__AlarmRequest *q = (const void *)message;
    struct kv_status st;
    if (q->action != ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET) {
        /* NOSPACE here follows from the space in use: it comes and goes by itself. */
        grpc_finish(call, GRPC_UNIMPLEMENTED, "etcdserver: alarms cannot be set or cleared");
        return;
    }
    kv_status(s->kv, &st);
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AlarmResponse r = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember alarm = ETCDSERVERPB__ALARM_MEMBER__INIT, *list = &alarm;
    etcd_header(s, &header, st.revision);
    alarm.memberid = s->member_id;
    alarm.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    r.header = &header;
    r.alarms = &list;
    r.n_alarms = st.no_space;
    grpc_reply(call, &r.base);
}

/* Hashing walks the whole store: on a thread of libuv's pool, not on the loop. */
struct hash_work {
    uv_work_t work;
    struct etcd_request *request;
    int64_t rev, hash_rev, compact_rev;
    uint32_t hash;
    int code;
};

static void run_hash(uv_work_t *work)
{
    struct hash_work *h = container_of(work, struct hash_work, work);
    h->code =
        kv_hash(h->request->server->kv, h->rev, &h->hash, &h->hash_rev, &h->compact_rev, NULL);
}

static void hash_done(uv_work_t *work, int status)
{
    struct hash_work *h = container_of(work, struct hash_work, work);
    struct etcd_request *r = h->request;
    if (status < 0)
        h->code = ERR_CANCELLED;
    if (h->code < 0) {
        etcd_fail(r->call, h->code);
    } else {
        Etcdserverpb__ResponseHeader header;
        Etcdserverpb__HashKVResponse response = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
        etcd_header(r->server, &header, 0);
        response.header = &header;
        response.hash = h->hash;
        response.compact_revision = h->compact_rev;
        response.hash_revision = h->hash_rev;
        grpc_reply(r->call, &response.base);
    }
    mem_free(h);
}

static void on_hash_kv(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw)
{
    (void)raw;
    struct hash_work *h = mem_zalloc(sizeof *h);
    h->request = etcd_request_new(ctx, call, message);
    h->rev = ((const Etcdserverpb__HashKVRequest *)(const void *)message)->revision;
    uv_queue_work(loop_uv(etcd_loop(call)), &h->work, run_hash, hash_done);
}

static void move_done(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct etcd_request *r = ctx;
    if (code == ERR_NOT_FOUND || code == ERR_INVALID) {
        grpc_finish(r->call, GRPC_FAILED_PRECONDITION, "etcdserver: bad leader transferee");
        return;
    }
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__MoveLeaderResponse response = ETCDSERVERPB__MOVE_LEADER_RESPONSE__INIT;
    etcd_header(r->server, &header, 0);
    response.header = &header;
    grpc_reply(r->call, &response.base);
}

static void on_move_leader(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                           struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__MoveLeaderRequest *q = (const void *)message;
    struct kv_status st;
    kv_status(s->kv, &st);
    if (st.leader_id != s->member_id)
        grpc_finish(call, GRPC_FAILED_PRECONDITION, "etcdserver: not leader");
    else
        kv_move_leader(s->kv, q->targetid, etcd_loop(call), move_done,
                       etcd_request_new(s, call, message));
}

static void on_health(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)message, (void)raw;
    struct etcd_server *s = ctx;
    struct kv_status st;
    Grpc__Health__V1__HealthCheckResponse r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    kv_status(s->kv, &st);
    r.status = st.failed || !st.leader_id
                   ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
                   : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc_reply(call, &r.base);
}

#define METHOD(service, name, descriptor, handler)                                   \
    {                                                                                \
        .path = "/etcdserverpb." service "/" name,                                   \
        .request = &etcdserverpb__##descriptor##__descriptor, .on_message = handler, \
        .on_free = etcd_request_free                                                 \
    }

const struct grpc_method etcd_cluster_methods[] = {
    METHOD("Cluster", "MemberList", member_list_request, on_member_list),
    METHOD("Maintenance", "Status", status_request, on_status),
    METHOD("Maintenance", "Alarm", alarm_request, on_alarm),
    METHOD("Maintenance", "HashKV", hash_kvrequest, on_hash_kv),
    METHOD("Maintenance", "MoveLeader", move_leader_request, on_move_leader),
    {.path = "/grpc.health.v1.Health/Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .on_message = on_health},
};
const size_t etcd_cluster_methods_len = ARRAY_LEN(etcd_cluster_methods);
