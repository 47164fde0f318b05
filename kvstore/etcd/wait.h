/*
 * What etcd's Lock and Election services are made of: keys under a prefix, each bound to a lease, in the order
 * of their create revisions. Everything runs on the call's loop.
 */
#ifndef C8S_KVSTORE_ETCD_WAIT_H
#define C8S_KVSTORE_ETCD_WAIT_H

#include "kvstore/etcd/internal.h"

/* name ‖ "/", and the key of a lease below it (etcd's form: the id in hexadecimal); in `a`. */
struct str etcd_prefix(struct arena *a, ProtobufCBinaryData name);
struct str etcd_lease_key(struct arena *a, struct str prefix, int64_t lease);

/* "The key whose create revision is the least (or, descending, the greatest) below the prefix." */
struct kv_range_request etcd_first_created(struct arena *a, struct str prefix);
struct kv_range_request etcd_last_created(struct arena *a, struct str prefix, int64_t max_rev);

/* If the key's create revision is `rev` (0: if there is none), do `then`, else `otherwise`. */
struct etcd_guarded {
    struct str key;
    int64_t rev;
    const struct kv_op *then, *otherwise;
    size_t then_len, otherwise_len;
};
void etcd_guarded_txn(struct kv *kv, const struct etcd_guarded *g, struct loop *loop, kv_txn_fn *cb,
                      void *ctx);
/* Delete the key, without caring how that ends: for calls that are gone. */
void etcd_delete_quietly(struct kv *kv, struct str key);

/* The lease of a session: `lease` itself, or when it is 0 a new one of 60 s. code, id. */
void etcd_session_lease(struct kv *kv, int64_t lease, struct loop *loop, kv_lease_fn *cb,
                        void *ctx);

/* End a call as etcd's own client inside the server makes it end: the text, without the status. */
void etcd_fail_inner(struct grpc_call *call, int code);

/*
 * Wait until no key below `prefix` has a create revision ≤ max_rev: one watch at a time, on the newest of
 * them. `done` comes once, never from inside; not after etcd_wait_cancel, which may be called until then.
 */
struct etcd_wait;
typedef void etcd_wait_fn(void *ctx, int code);
struct etcd_wait *etcd_wait_start(struct etcd_server *s, struct loop *loop, struct str prefix,
                                  int64_t max_rev, etcd_wait_fn *done, void *ctx);
void etcd_wait_cancel(struct etcd_wait *w);

#endif
