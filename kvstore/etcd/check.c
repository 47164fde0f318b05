/*
 * What every call passes before its method sees it (grpc_server_options.check).
 *
 * A learner serves what cannot be mistaken for the cluster's word: serializable ranges, its own status and
 * defragmentation, and snapshots of what it has. Everything else is refused, as etcd does: clients that were given
 * its address go elsewhere. Whoever wants a leader is refused while there is none (leader.c).
 */
#include "kvstore/etcd/internal.h"
#include "kvstore/kv_members.h"

static bool learner_may(const struct grpc_method *method, const ProtobufCMessage *message)
{
    if (!message)
        return false;
    const ProtobufCMessageDescriptor *d = method->request;
    if (d == &etcdserverpb__range_request__descriptor)
        return ((const Etcdserverpb__RangeRequest *)(const void *)message)->serializable;
    return d == &etcdserverpb__status_request__descriptor ||
           d == &etcdserverpb__defragment_request__descriptor ||
           d == &etcdserverpb__snapshot_request__descriptor;
}

bool etcd_check(struct grpc_call *call, void *ctx, const struct grpc_method *method,
                const ProtobufCMessage *message)
{
    struct etcd_server *s = ctx;
    if (kv_is_learner(s->kv) && !learner_may(method, message))
        grpc_finish(call, GRPC_FAILED_PRECONDITION, "etcdserver: rpc not supported for learner");
    else if (etcd_leader_missed(call, s))
        etcd_fail(call, ERR_UNAVAILABLE);
    else
        return true;
    return false;
}
