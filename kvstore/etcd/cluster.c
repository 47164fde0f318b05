/*
 * etcd's Cluster service (kvstore/kv_members.h), Maintenance.Downgrade, and gRPC's health service.
 */
#include "kvstore/etcd/auth.h"
#include "kvstore/kv_members.h"
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

/* The members as applied here, in the arena of the call. */
static Etcdserverpb__Member **members_of(struct etcd_request *r, size_t *n)
{
    struct arena *a = grpc_arena(r->call);
    struct kv_member *members;
    kv_member_list(r->server->kv, a, &members, n, NULL);
    Etcdserverpb__Member *all = arena_array(a, Etcdserverpb__Member, *n);
    Etcdserverpb__Member **list = arena_alloc(a, *n * sizeof *list);
    for (size_t i = 0; i < *n; i++) {
        etcdserverpb__member__init(&all[i]);
        all[i].id = members[i].id;
        all[i].name = arena_strndup(a, members[i].name.p, members[i].name.n);
        all[i].n_peerurls = members[i].peer_urls_len;
        all[i].peerurls = texts(a, members[i].peer_urls, members[i].peer_urls_len);
        all[i].n_clienturls = members[i].client_urls_len;
        all[i].clienturls = texts(a, members[i].client_urls, members[i].client_urls_len);
        all[i].islearner = members[i].is_learner;
        list[i] = &all[i];
    }
    return list;
}

/* As etcd: the answer does not come from the key space, so it has no revision. */
static Etcdserverpb__ResponseHeader *cluster_header(struct etcd_request *r)
{
    Etcdserverpb__ResponseHeader *h = arena_new(grpc_arena(r->call), Etcdserverpb__ResponseHeader);
    etcd_header(r->server, h, 0);
    h->revision = 0;
    return h;
}

static void members_confirmed(void *ctx, int code, int64_t rev)
{
    struct etcd_request *r = ctx;
    (void)rev;
    if (code == 0)
        code = etcd_auth_user(r->server, r->call);
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    response.header = cluster_header(r);
    response.members = members_of(r, &response.n_members);
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

/* ---------------------------------------------------------------------- changes --- */

static void change(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                   const struct kv_member_change *c, kv_member_fn *done)
{
    struct etcd_server *s = ctx;
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    kv_member_change(s->kv, c, etcd_loop(call), done, etcd_request_new(s, call, message));
}

static const struct str *urls_of(struct grpc_call *call, char *const *urls, size_t n)
{
    struct str *out = arena_array(grpc_arena(call), struct str, n);
    for (size_t i = 0; i < n; i++)
        out[i] = str_from(urls[i]);
    return out;
}

static void added(void *ctx, int code, uint64_t id)
{
    struct etcd_request *r = ctx;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    const Etcdserverpb__MemberAddRequest *q = (const void *)r->message;
    Etcdserverpb__MemberAddResponse response = ETCDSERVERPB__MEMBER_ADD_RESPONSE__INIT;
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = id;
    member.peerurls = q->peerurls;
    member.n_peerurls = q->n_peerurls;
    member.islearner = q->islearner;
    response.header = cluster_header(r);
    response.member = &member;
    response.members = members_of(r, &response.n_members);
    grpc_reply(r->call, &response.base);
}

static void on_member_add(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                          struct str raw)
{
    (void)raw;
    const Etcdserverpb__MemberAddRequest *q = (const void *)message;
    struct kv_member_change c = {.kind = q->islearner ? KV_MEMBER_ADD_LEARNER : KV_MEMBER_ADD,
                                 .peer_urls = urls_of(call, q->peerurls, q->n_peerurls),
                                 .peer_urls_len = q->n_peerurls};
    change(call, ctx, message, &c, added);
}

static void removed(void *ctx, int code, uint64_t id)
{
    struct etcd_request *r = ctx;
    (void)id;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__MemberRemoveResponse response = ETCDSERVERPB__MEMBER_REMOVE_RESPONSE__INIT;
    response.header = cluster_header(r);
    response.members = members_of(r, &response.n_members);
    grpc_reply(r->call, &response.base);
}

static void on_member_remove(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                             struct str raw)
{
    (void)raw;
    const Etcdserverpb__MemberRemoveRequest *q = (const void *)message;
    change(call, ctx, message, &(struct kv_member_change){.kind = KV_MEMBER_REMOVE, .id = q->id},
           removed);
}

static void updated(void *ctx, int code, uint64_t id)
{
    struct etcd_request *r = ctx;
    (void)id;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__MemberUpdateResponse response = ETCDSERVERPB__MEMBER_UPDATE_RESPONSE__INIT;
    response.header = cluster_header(r);
    response.members = members_of(r, &response.n_members);
    grpc_reply(r->call, &response.base);
}

static void on_member_update(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                             struct str raw)
{
    (void)raw;
    const Etcdserverpb__MemberUpdateRequest *q = (const void *)message;
    struct kv_member_change c = {.kind = KV_MEMBER_UPDATE,
                                 .id = q->id,
                                 .peer_urls = urls_of(call, q->peerurls, q->n_peerurls),
                                 .peer_urls_len = q->n_peerurls};
    change(call, ctx, message, &c, updated);
}

static void promoted(void *ctx, int code, uint64_t id)
{
    struct etcd_request *r = ctx;
    (void)id;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__MemberPromoteResponse response = ETCDSERVERPB__MEMBER_PROMOTE_RESPONSE__INIT;
    response.header = cluster_header(r);
    response.members = members_of(r, &response.n_members);
    grpc_reply(r->call, &response.base);
}

static void on_member_promote(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                              struct str raw)
{
    (void)raw;
    const Etcdserverpb__MemberPromoteRequest *q = (const void *)message;
    change(call, ctx, message, &(struct kv_member_change){.kind = KV_MEMBER_PROMOTE, .id = q->id},
           promoted);
}

/* -------------------------------------------------------------------- downgrade --- */

static void downgrade_done(void *ctx, int code, int64_t rev)
{
    struct etcd_request *r = ctx;
    const Etcdserverpb__DowngradeRequest *q = (const void *)r->message;
    (void)rev;
    /* As etcd: taking back what was never announced is no failure. */
    if (code == KV_ERR_NO_DOWNGRADE &&
        q->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL)
        code = 0;
    if (code < 0) {
        etcd_fail(r->call, code);
        return;
    }
    Etcdserverpb__DowngradeResponse response = ETCDSERVERPB__DOWNGRADE_RESPONSE__INIT;
    response.header = cluster_header(r);
    response.version = (char *)"3.6"; /* KV_CLUSTER_VERSION's major and minor */
    grpc_reply(r->call, &response.base);
}

static void on_downgrade(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                         struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__DowngradeRequest *q = (const void *)message;
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    struct etcd_request *r = etcd_request_new(s, call, message);
    int code = 0;
    if (q->action != ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL)
        code = kv_downgrade_check(s->kv, str_from(q->version));
    if (code < 0) {
        etcd_fail(call, code);
        return;
    }
    switch (q->action) {
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE:
        downgrade_done(r, 0, 0);
        break;
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE:
        kv_downgrade_set(s->kv, str_from(q->version), etcd_loop(call), downgrade_done, r);
        break;
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL:
        kv_downgrade_set(s->kv, STR_NONE, etcd_loop(call), downgrade_done, r);
        break;
    default:
        grpc_finish(call, GRPC_UNKNOWN, "etcdserver: unknown method");
        break;
    }
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
    ETCD_METHOD("Cluster", "MemberAdd", member_add_request, on_member_add),
    ETCD_METHOD("Cluster", "MemberRemove", member_remove_request, on_member_remove),
    ETCD_METHOD("Cluster", "MemberUpdate", member_update_request, on_member_update),
    ETCD_METHOD("Cluster", "MemberPromote", member_promote_request, on_member_promote),
    ETCD_METHOD("Maintenance", "Downgrade", downgrade_request, on_downgrade),
    {.path = "/grpc.health.v1.Health/Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .on_message = on_health},
};
const size_t etcd_cluster_methods_len = ARRAY_LEN(etcd_cluster_methods);
