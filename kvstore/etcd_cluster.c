/*
 * etcd's Cluster service as far as we have it (MemberList), and gRPC's health service.
 */
#include "kvstore/etcd_auth.h"
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
        code = etcd_auth_user(r->server, r->call);
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

const struct grpc_method etcd_cluster_methods[] = {
    ETCD_METHOD("Cluster", "MemberList", member_list_request, on_member_list),
    {.path = "/grpc.health.v1.Health/Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .on_message = on_health},
};
const size_t etcd_cluster_methods_len = ARRAY_LEN(etcd_cluster_methods);
