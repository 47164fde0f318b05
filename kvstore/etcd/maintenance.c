/*
 * etcd's Maintenance service: Status, Alarm, Hash, HashKV, Defragment, MoveLeader.
 */
#include "kvstore/etcd/auth.h"
#include "base/mem.h"
#include "kvstore/alarm.h"
#include "kvstore/kv_defrag.h"
#include "kvstore/kv_members.h"

static void on_status(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                      struct str raw)
{
    (void)message, (void)raw;
    struct etcd_server *s = ctx;
    struct arena *a = grpc_arena(call);
    struct kv_status st;
    struct kv_alarm *alarms;
    size_t alarms_len;
    if (etcd_refused(call, etcd_auth_user(s, call)))
        return;
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__StatusResponse r = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    kv_status(s->kv, &st);
    kv_alarm_list(s->kv, a, &alarms, &alarms_len);
    etcd_header(s, &header, st.revision);
    header.raft_term = st.term;
    r.header = &header;
    r.version = (char *)ETCD_VERSION;
    r.storageversion = (char *)ETCD_VERSION;
    r.dbsize = (int64_t)st.db_size;
    r.dbsizeinuse = (int64_t)st.db_size_in_use;
    r.dbsizequota = (int64_t)st.quota_bytes; /* KV_QUOTA_NONE: -1 */
    r.leader = st.leader_id;
    r.raftindex = st.raft_index;
    r.raftterm = st.term;
    r.raftappliedindex = st.applied_index;
    r.islearner = st.is_learner;
    Etcdserverpb__DowngradeInfo downgrade = ETCDSERVERPB__DOWNGRADE_INFO__INIT;
    char target[16];
    kv_downgrade_target(s->kv, target, sizeof target);
    downgrade.enabled = target[0] != 0;
    downgrade.targetversion = target;
    r.downgradeinfo = &downgrade;
    r.errors = arena_alloc(a, (alarms_len + 1) * sizeof *r.errors);
    if (!st.leader_id)
        r.errors[r.n_errors++] = (char *)"etcdserver: no leader";
    for (size_t i = 0; i < alarms_len; i++) /* as the message prints in etcd's language */
        r.errors[r.n_errors++] =
            arena_printf(a, "memberID:%llu alarm:%s ", (unsigned long long)alarms[i].member,
                         kv_alarm_name(alarms[i].type));
    grpc_reply(call, &r.base);
}

/* ---- alarms ---- */

/* An Alarm call under way: etcd's clients disarm one by one, but a request may name a type or a member alone. */
struct alarm_call {
    struct etcd_request *request;
    struct kv_alarm alarm;
};

static void alarm_reply(struct etcd_request *r, const struct kv_alarm *alarms, size_t n)
{
    struct arena *a = grpc_arena(r->call);
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AlarmResponse response = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember *all = arena_array(a, Etcdserverpb__AlarmMember, n);
    etcd_header(r->server, &header, 0);
    response.header = &header;
    response.alarms = arena_alloc(a, n * sizeof *response.alarms);
    for (size_t i = 0; i < n; i++) {
        etcdserverpb__alarm_member__init(&all[i]);
        all[i].memberid = alarms[i].member;
        all[i].alarm = (Etcdserverpb__AlarmType)alarms[i].type;
        response.alarms[response.n_alarms++] = &all[i];
    }
    grpc_reply(r->call, &response.base);
}

/* The list is current: answer with the type asked for, NONE with all. */
static void alarm_list_confirmed(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct alarm_call *c = ctx;
    struct kv_alarm *alarms;
    size_t len, n = 0;
    if (code < 0) {
        etcd_fail(c->request->call, code);
        return;
    }
    kv_alarm_list(c->request->server->kv, grpc_arena(c->request->call), &alarms, &len);
    for (size_t i = 0; i < len; i++)
        if (c->alarm.type == KV_ALARM_NONE || alarms[i].type == c->alarm.type)
            alarms[n++] = alarms[i];
    alarm_reply(c->request, alarms, n);
}

static void alarm_changed(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct alarm_call *c = ctx;
    if (code < 0)
        etcd_fail(c->request->call, code);
    else
        alarm_reply(c->request, &c->alarm, 1);
}

static void on_alarm(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                     struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    const Etcdserverpb__AlarmRequest *q = (const void *)message;
    bool get = q->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    if (etcd_refused(call, get ? etcd_auth_user(s, call) : etcd_auth_admin(s, call)))
        return;
    struct alarm_call *c = arena_new(grpc_arena(call), struct alarm_call);
    c->request = etcd_request_new(s, call, message);
    c->alarm = (struct kv_alarm){q->memberid, (enum kv_alarm_type)q->alarm};
    bool raised = kv_alarm_has(s->kv, c->alarm.member, c->alarm.type);
    switch (q->action) {
    case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET:
        kv_read_index(s->kv, etcd_loop(call), alarm_list_confirmed, c);
        break;
    case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE:
        if (c->alarm.type == KV_ALARM_NONE)
            alarm_reply(c->request, NULL, 0); /* as etcd: nothing to do */
        else
            kv_alarm_raise(s->kv, c->alarm.member, c->alarm.type, etcd_loop(call), alarm_changed,
                           c);
        break;
    case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE:
        if (!raised)
            alarm_reply(c->request, NULL, 0);
        else
            kv_alarm_clear(s->kv, c->alarm.member, c->alarm.type, etcd_loop(call), alarm_changed,
                           c);
        break;
    default:
        grpc_finish(call, GRPC_INVALID_ARGUMENT, "etcdserver: unknown alarm action");
    }
}

/* ---- hashes ---- */

struct hash_job {
    struct etcd_job job;
    struct etcd_request *request;
    bool whole; /* Hash: the answer holds the hash alone */
    int64_t rev, hash_rev, compact_rev;
    uint32_t hash;
    int code;
};

static void hash_run(struct etcd_job *job)
{
    struct hash_job *h = container_of(job, struct hash_job, job);
    h->code = kv_hash(job->server->kv, h->rev, &h->hash, &h->hash_rev, &h->compact_rev, NULL);
}

static void hash_done(struct etcd_job *job)
{
    struct hash_job *h = container_of(job, struct hash_job, job);
    struct etcd_request *r = h->request;
    Etcdserverpb__ResponseHeader header;
    etcd_header(r->server, &header, 0);
    if (h->code < 0) {
        etcd_fail(r->call, h->code);
    } else if (h->whole) {
        Etcdserverpb__HashResponse response = ETCDSERVERPB__HASH_RESPONSE__INIT;
        response.header = &header;
        response.hash = h->hash;
        grpc_reply(r->call, &response.base);
    } else {
        Etcdserverpb__HashKVResponse response = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
        response.header = &header;
        response.hash = h->hash;
        response.compact_revision = h->compact_rev;
        response.hash_revision = h->hash_rev;
        grpc_reply(r->call, &response.base);
    }
    mem_free(h);
}

static void hash_start(struct etcd_server *s, struct grpc_call *call,
                       const ProtobufCMessage *message, int64_t rev, bool whole)
{
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    struct hash_job *h = mem_zalloc(sizeof *h);
    h->job.run = hash_run;
    h->job.done = hash_done;
    h->request = etcd_request_new(s, call, message);
    h->rev = rev;
    h->whole = whole;
    if (!etcd_job_start(s, etcd_loop(call), &h->job)) {
        mem_free(h);
        etcd_fail(call, ERR_LIMIT);
    }
}

static void on_hash_kv(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw)
{
    (void)raw;
    hash_start(ctx, call, message,
               ((const Etcdserverpb__HashKVRequest *)(const void *)message)->revision, false);
}

static void on_hash(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                    struct str raw)
{
    (void)raw;
    hash_start(ctx, call, message, 0, true);
}

/* ---- defragmentation ---- */

struct defrag_job {
    struct etcd_job job;
    struct etcd_request *request;
    int code;
};

static void defrag_run(struct etcd_job *job)
{
    struct defrag_job *d = container_of(job, struct defrag_job, job);
    struct logdb_defrag_info info;
    d->code = kv_defragment(job->server->kv, &job->stop, &info, NULL);
}

static void defrag_done(struct etcd_job *job)
{
    struct defrag_job *d = container_of(job, struct defrag_job, job);
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__DefragmentResponse response = ETCDSERVERPB__DEFRAGMENT_RESPONSE__INIT;
    if (d->code < 0) {
        etcd_fail(d->request->call, d->code == ERR_EXISTS ? ERR_LIMIT : d->code);
    } else {
        etcd_header(d->request->server, &header, 0);
        response.header = &header;
        grpc_reply(d->request->call, &response.base);
    }
    mem_free(d);
}

static void on_defragment(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                          struct str raw)
{
    (void)raw;
    struct etcd_server *s = ctx;
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    struct defrag_job *d = mem_zalloc(sizeof *d);
    d->job.run = defrag_run;
    d->job.done = defrag_done;
    d->request = etcd_request_new(s, call, message);
    if (!etcd_job_start(s, etcd_loop(call), &d->job)) {
        mem_free(d);
        etcd_fail(call, ERR_LIMIT);
    }
}

/* ---- handing leadership over ---- */

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
    if (etcd_refused(call, etcd_auth_admin(s, call)))
        return;
    kv_status(s->kv, &st);
    if (st.leader_id != s->member_id)
        grpc_finish(call, GRPC_FAILED_PRECONDITION, "etcdserver: not leader");
    else
        kv_move_leader(s->kv, q->targetid, etcd_loop(call), move_done,
                       etcd_request_new(s, call, message));
}

const struct grpc_method etcd_maintenance_methods[] = {
    ETCD_METHOD("Maintenance", "Status", status_request, on_status),
    ETCD_METHOD("Maintenance", "Alarm", alarm_request, on_alarm),
    ETCD_METHOD("Maintenance", "Hash", hash_request, on_hash),
    ETCD_METHOD("Maintenance", "HashKV", hash_kvrequest, on_hash_kv),
    ETCD_METHOD("Maintenance", "Defragment", defragment_request, on_defragment),
    ETCD_METHOD("Maintenance", "MoveLeader", move_leader_request, on_move_leader),
};
const size_t etcd_maintenance_methods_len = ARRAY_LEN(etcd_maintenance_methods);
