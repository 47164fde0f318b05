/*
 * Authentication of the etcd services' clients: hooks that a service calls before it does anything.
 *
 *     static void on_range(struct grpc_call *call, …)
 *     {
 *         if (etcd_refused(call, etcd_auth_range(s, call, key, end)))
 *             return;
 *
 * Each returns 0 or a kv code for etcd_fail, at once, without waiting. Everything passes while authentication is off.
 * A call is who its token says (metadata `token`, or `authorization`, as the JSON gateway has it), else its client
 * certificate's common name when --client-cert-auth is set (gRPC only: a gateway request's certificate is not a
 * user's), else nobody.
 *
 * Reads check when the data is read (behind the read index). Writes are not checked here but when applied: set
 * kv_txn_request.as from etcd_auth_who, use kv_lease_revoke_as.
 *
 *   Range, Watch create          etcd_auth_range                  (after reading: etcd_auth_still)
 *   Put, DeleteRange, Txn        etcd_auth_who → request.as       (kv_txn checks, also read-only ones)
 *   Compact, Defragment, Snapshot, Hash, HashKV, MoveLeader, Downgrade, Alarm other than GET,
 *   MemberAdd, Remove, Update, Promote                           etcd_auth_admin
 *   LeaseGrant, MemberList, Status, Alarm GET, LeaseTimeToLive    etcd_auth_user
 *   LeaseKeepAlive               etcd_auth_lease(…, true)
 *   Lock, Campaign, Proclaim, Resign, Leader, Observe             etcd_auth_prefix
 *   LeaseTimeToLive with keys, each lease of LeaseLeases          etcd_auth_lease(…, false)
 */
#ifndef C8S_KVSTORE_ETCD_AUTH_H
#define C8S_KVSTORE_ETCD_AUTH_H

#include "kvstore/etcd/internal.h"
#include "kvstore/kv_auth.h"

/* Who calls; the name lives in the call's arena. Always set (to nobody) when 0 is returned. */
int etcd_auth_who(struct etcd_server *s, struct grpc_call *call, struct kv_auth_info *out);

int etcd_auth_range(struct etcd_server *s, struct grpc_call *call, struct str key, struct str end);
/* All keys that begin with `prefix`: for reading, and with `write` for writing too (locks, elections). */
int etcd_auth_prefix(struct etcd_server *s, struct grpc_call *call, struct str prefix, bool write);
int etcd_auth_user(struct etcd_server *s, struct grpc_call *call);
int etcd_auth_admin(struct etcd_server *s, struct grpc_call *call);
int etcd_auth_lease(struct etcd_server *s, struct grpc_call *call, int64_t lease, bool write);
/* As a condition in front of a handler: ends the call with `rc`, if it is one.
 *     if (etcd_refused(call, etcd_auth_admin(s, call)))
 *         return;
 */
static inline bool etcd_refused(struct grpc_call *call, int rc)
{
    if (rc < 0)
        etcd_fail(call, rc);
    return rc < 0;
}

/* After a read that took several turns of the loop: KV_ERR_AUTH_OLD_REVISION when auth changed since `rev`, which
 * is kv_auth_revision from before. */
int etcd_auth_still(struct etcd_server *s, uint64_t rev);

/* For grpc_server_options.admit: holds a call whose simple token was made by a log entry not applied here
 * yet, so that a token works on every member at once. */
bool etcd_auth_admit(struct grpc_call *call, void *ctx);

/* As the reason of a watch that is cancelled at once: "rpc error: code = PermissionDenied desc = …". */
const char *etcd_auth_cancel_reason(struct grpc_call *call, int code);

/* Message and status of a kv_auth_err; NULL for any other code. */
const char *etcd_auth_error(int code, int *status);

extern const struct grpc_method etcd_auth_methods[];
extern const size_t etcd_auth_methods_len;

#endif
