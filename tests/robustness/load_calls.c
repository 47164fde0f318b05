/*
 * Calls of the store for the workloads (load.h).
 */
#include "tests/robustness/load.h"

#include <stdlib.h>

ProtobufCBinaryData load_bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

ProtobufCBinaryData load_prefix_end(struct arena *arena, const char *prefix)
{
    char *end = arena_strdup(arena, prefix);
    end[strlen(end) - 1]++; /* our prefixes end in '/' */
    return load_bytes(end);
}

uint64_t load_number(const ProtobufCBinaryData *value)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)value->len, (const char *)value->data);
    return strtoull(text, NULL, 10);
}

static bool call(struct grpc_channel *ch, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response, struct arena *arena,
                 ProtobufCMessage **out)
{
    return grpc_call_wait(ch, path, request, response, CALL_MS, arena, out, NULL, NULL) == 0;
}

bool load_put(struct grpc_channel *ch, struct arena *arena, const char *key, const char *value,
              int64_t lease, int64_t *revision)
{
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    ProtobufCMessage *answer;
    q.key = load_bytes(key);
    q.value = load_bytes(value);
    q.lease = lease;
    if (!call(ch, "/etcdserverpb.KV/Put", &q.base, &etcdserverpb__put_response__descriptor, arena,
              &answer))
        return false;
    *revision = ((Etcdserverpb__PutResponse *)answer)->header->revision;
    return true;
}

bool load_delete(struct grpc_channel *ch, struct arena *arena, const char *key, int64_t *revision,
                 int64_t *deleted)
{
    Etcdserverpb__DeleteRangeRequest q = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    ProtobufCMessage *answer;
    q.key = load_bytes(key);
    if (!call(ch, "/etcdserverpb.KV/DeleteRange", &q.base,
              &etcdserverpb__delete_range_response__descriptor, arena, &answer))
        return false;
    *revision = ((Etcdserverpb__DeleteRangeResponse *)answer)->header->revision;
    *deleted = ((Etcdserverpb__DeleteRangeResponse *)answer)->deleted;
    return true;
}

bool load_get(struct grpc_channel *ch, struct arena *arena, const char *key, bool prefix,
              bool serializable, int64_t revision, const Etcdserverpb__RangeResponse **out)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *answer;
    q.key = load_bytes(key);
    if (prefix)
        q.range_end = load_prefix_end(arena, key);
    q.serializable = serializable;
    q.revision = revision;
    if (!call(ch, "/etcdserverpb.KV/Range", &q.base, &etcdserverpb__range_response__descriptor,
              arena, &answer))
        return false;
    *out = (Etcdserverpb__RangeResponse *)answer;
    return true;
}

bool load_txn(struct grpc_channel *ch, struct arena *arena, const Etcdserverpb__TxnRequest *request,
              const Etcdserverpb__TxnResponse **out)
{
    ProtobufCMessage *answer;
    if (!call(ch, "/etcdserverpb.KV/Txn", &request->base, &etcdserverpb__txn_response__descriptor,
              arena, &answer))
        return false;
    *out = (Etcdserverpb__TxnResponse *)answer;
    return true;
}

bool load_grant(struct grpc_channel *ch, int64_t ttl_s, int64_t *id, int64_t *ttl_given)
{
    Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    ProtobufCMessage *answer;
    struct arena arena;
    arena_init(&arena);
    q.ttl = ttl_s;
    bool ok = call(ch, "/etcdserverpb.Lease/LeaseGrant", &q.base,
                   &etcdserverpb__lease_grant_response__descriptor, &arena, &answer);
    if (ok) {
        *id = ((Etcdserverpb__LeaseGrantResponse *)answer)->id;
        *ttl_given = ((Etcdserverpb__LeaseGrantResponse *)answer)->ttl;
    }
    arena_free(&arena);
    return ok;
}

/* A stream, of which one message each way is used. */
bool load_keep_alive(struct grpc_channel *ch, int64_t id, int64_t *ttl)
{
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    ProtobufCMessage *answer;
    struct arena arena;
    arena_init(&arena);
    q.id = id;
    bool ok = call(ch, "/etcdserverpb.Lease/LeaseKeepAlive", &q.base,
                   &etcdserverpb__lease_keep_alive_response__descriptor, &arena, &answer);
    if (ok)
        *ttl = ((Etcdserverpb__LeaseKeepAliveResponse *)answer)->ttl;
    arena_free(&arena);
    return ok;
}

bool load_revoke(struct grpc_channel *ch, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    ProtobufCMessage *answer;
    struct arena arena;
    arena_init(&arena);
    q.id = id;
    bool ok = call(ch, "/etcdserverpb.Lease/LeaseRevoke", &q.base,
                   &etcdserverpb__lease_revoke_response__descriptor, &arena, &answer);
    arena_free(&arena);
    return ok;
}

/* ---- pieces of transactions ---- */

static Etcdserverpb__Compare *compare(struct arena *arena, const char *key)
{
    Etcdserverpb__Compare *c = arena_alloc(arena, sizeof *c);
    etcdserverpb__compare__init(c);
    c->key = load_bytes(key);
    return c;
}

Etcdserverpb__Compare *txn_mod_is(struct arena *arena, const char *key, int64_t mod)
{
    Etcdserverpb__Compare *c = compare(arena, key);
    c->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c->mod_revision = mod;
    return c;
}

Etcdserverpb__Compare *txn_create_is(struct arena *arena, const char *key, int64_t create)
{
    Etcdserverpb__Compare *c = compare(arena, key);
    c->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
    c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    c->create_revision = create;
    return c;
}

Etcdserverpb__Compare *txn_value_is(struct arena *arena, const char *key, const char *value)
{
    Etcdserverpb__Compare *c = compare(arena, key);
    c->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    c->value = load_bytes(value);
    return c;
}

static Etcdserverpb__RequestOp *request(struct arena *arena)
{
    Etcdserverpb__RequestOp *op = arena_alloc(arena, sizeof *op);
    etcdserverpb__request_op__init(op);
    return op;
}

Etcdserverpb__RequestOp *txn_put(struct arena *arena, const char *key, const char *value,
                                 int64_t lease)
{
    Etcdserverpb__RequestOp *op = request(arena);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op->request_put = arena_alloc(arena, sizeof *op->request_put);
    etcdserverpb__put_request__init(op->request_put);
    op->request_put->key = load_bytes(key);
    op->request_put->value = load_bytes(value);
    op->request_put->lease = lease;
    return op;
}

Etcdserverpb__RequestOp *txn_get(struct arena *arena, const char *key)
{
    Etcdserverpb__RequestOp *op = request(arena);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op->request_range = arena_alloc(arena, sizeof *op->request_range);
    etcdserverpb__range_request__init(op->request_range);
    op->request_range->key = load_bytes(key);
    return op;
}

Etcdserverpb__RequestOp *txn_delete(struct arena *arena, const char *key)
{
    Etcdserverpb__RequestOp *op = request(arena);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range = arena_alloc(arena, sizeof *op->request_delete_range);
    etcdserverpb__delete_range_request__init(op->request_delete_range);
    op->request_delete_range->key = load_bytes(key);
    return op;
}
