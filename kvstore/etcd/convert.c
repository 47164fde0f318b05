/*
 * etcd's messages into the store's requests and results, and the other way; errors by etcd's names.
 *
 * Slices point into the message, which lives as long as the call; nothing is copied.
 */
#include "kvstore/etcd/auth.h"
#include "kvstore/kv_members.h"
#include "kvstore/members/level.h"

const char *etcd_error_message(int code, int *status)
{
    static const struct {
        int code, status;
        const char *message;
    } table[] = {
        {ERR_COMPACTED, GRPC_OUT_OF_RANGE,
         "etcdserver: mvcc: required revision has been compacted"},
        {KV_ERR_FUTURE_REV, GRPC_OUT_OF_RANGE,
         "etcdserver: mvcc: required revision is a future revision"},
        {KV_ERR_KEY_NOT_FOUND, GRPC_INVALID_ARGUMENT, "etcdserver: key not found"},
        {KV_ERR_LEASE_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: requested lease not found"},
        {KV_ERR_LEASE_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists"},
        {KV_ERR_LEASE_TTL, GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL"},
        {KV_ERR_NO_SPACE, GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"},
        {KV_ERR_TOO_MANY_OPS, GRPC_INVALID_ARGUMENT,
         "etcdserver: too many operations in txn request"},
        {KV_ERR_TOO_LARGE, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large"},
        {KV_ERR_DUPLICATE_KEY, GRPC_INVALID_ARGUMENT,
         "etcdserver: duplicate key given in txn request"},
        {KV_ERR_RESPONSE_TOO_LARGE, GRPC_RESOURCE_EXHAUSTED,
         "etcdserver: response is too large, use a limit"},
        {KV_ERR_MEMBER_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: member ID already exist"},
        {KV_ERR_PEER_URL_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"},
        {KV_ERR_MEMBER_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: member not found"},
        {KV_ERR_MEMBER_NOT_LEARNER, GRPC_FAILED_PRECONDITION,
         "etcdserver: can only promote a learner member"},
        {KV_ERR_LEARNER_NOT_READY, GRPC_FAILED_PRECONDITION,
         "etcdserver: can only promote a learner member which is in sync with leader"},
        {KV_ERR_TOO_MANY_LEARNERS, GRPC_FAILED_PRECONDITION,
         "etcdserver: too many learner members in cluster"},
        {KV_ERR_NOT_ENOUGH_STARTED, GRPC_FAILED_PRECONDITION,
         "etcdserver: re-configuration failed due to not enough started members"},
        {KV_ERR_UNHEALTHY, GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster"},
        {KV_ERR_MEMBER_URLS, GRPC_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"},
        {KV_ERR_DOWNGRADE_FORMAT, GRPC_INVALID_ARGUMENT,
         "etcdserver: wrong downgrade target version format"},
        {KV_ERR_DOWNGRADE_TARGET, GRPC_INVALID_ARGUMENT,
         "etcdserver: invalid downgrade target version"},
        {KV_ERR_DOWNGRADE_IN_PROCESS, GRPC_FAILED_PRECONDITION,
         "etcdserver: cluster has a downgrade job in progress"},
        {KV_ERR_NO_DOWNGRADE, GRPC_FAILED_PRECONDITION, "etcdserver: no inflight downgrade job"},
        {KV_ERR_LEVEL, GRPC_FAILED_PRECONDITION, "etcdserver: not capable"},
        {ERR_LIMIT, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"},
        {ERR_TIMEOUT, GRPC_UNAVAILABLE, "etcdserver: request timed out"},
        {ERR_UNAVAILABLE, GRPC_UNAVAILABLE, "etcdserver: no leader"},
        {ERR_CANCELLED, GRPC_UNAVAILABLE, "etcdserver: server stopped"},
        {ERR_CORRUPT, GRPC_DATA_LOSS, "etcdserver: corrupt cluster"},
        {ERR_IO, GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster"},
        {ERR_INVALID, GRPC_INVALID_ARGUMENT, "etcdserver: invalid request"},
        {ERR_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: member not found"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].code == code) {
            *status = table[i].status;
            return table[i].message;
        }
    }
    const char *message = etcd_auth_error(code, status);
    if (message)
        return message;
    *status = GRPC_UNKNOWN;
    return "etcdserver: internal error";
}

void etcd_fail(struct grpc_call *call, int code)
{
    int status;
    const char *message = etcd_error_message(code, &status);
    grpc_finish(call, status, message);
}

void etcd_kv_of_pair(const struct kv_pair *pair, Mvccpb__KeyValue *out)
{
    mvccpb__key_value__init(out);
    out->key = etcd_bytes(pair->key);
    out->value = etcd_bytes(pair->value);
    out->create_revision = pair->create_rev;
    out->mod_revision = pair->mod_rev;
    out->version = pair->version;
    out->lease = pair->lease;
}

/* --------------------------------------------------------------------- requests --- */

static int invalid(const char **message, const char *text)
{
    *message = text;
    return GRPC_INVALID_ARGUMENT;
}

int etcd_range_request(const Etcdserverpb__RangeRequest *q, struct kv_range_request *out,
                       const char **message)
{
    if (q->key.len == 0)
        return invalid(message, ETCD_EMPTY_KEY);
    if ((unsigned)q->sort_order > KV_SORT_DESCEND || (unsigned)q->sort_target > KV_SORT_VALUE)
        return invalid(message, "etcdserver: invalid sort option");
    *out = (struct kv_range_request){
        .key = etcd_str(q->key),
        .end = etcd_str(q->range_end),
        .rev = q->revision > 0 ? q->revision : 0,
        .limit = q->limit > 0 ? q->limit : 0,
        .sort_target = (enum kv_sort_target)q->sort_target,
        .sort_order = (enum kv_sort_order)q->sort_order,
        .keys_only = q->keys_only,
        .count_only = q->count_only,
        .min_mod_rev = MAX(q->min_mod_revision, 0),
        .max_mod_rev = MAX(q->max_mod_revision, 0),
        .min_create_rev = MAX(q->min_create_revision, 0),
        .max_create_rev = MAX(q->max_create_revision, 0),
    };
    if (q->max_mod_revision < 0 || q->max_create_revision < 0) /* nothing is as old as that */
        out->min_mod_rev = INT64_MAX;
    return 0;
}

int etcd_put_request(const Etcdserverpb__PutRequest *q, struct kv_put *out, const char **message)
{
    if (q->key.len == 0)
        return invalid(message, ETCD_EMPTY_KEY);
    if (q->ignore_value && q->value.len)
        return invalid(message, "etcdserver: value is provided");
    if (q->ignore_lease && q->lease)
        return invalid(message, "etcdserver: lease is provided");
    *out = (struct kv_put){
        .key = etcd_str(q->key),
        .value = etcd_str(q->value),
        .lease = q->lease,
        .prev_kv = q->prev_kv,
        .ignore_value = q->ignore_value,
        .ignore_lease = q->ignore_lease,
    };
    return 0;
}

int etcd_delete_request(const Etcdserverpb__DeleteRangeRequest *q, struct kv_delete *out,
                        const char **message)
{
    if (q->key.len == 0)
        return invalid(message, ETCD_EMPTY_KEY);
    *out = (struct kv_delete){
        .key = etcd_str(q->key), .end = etcd_str(q->range_end), .prev_kv = q->prev_kv};
    return 0;
}

static int compare_of(const Etcdserverpb__Compare *c, struct kv_compare *out, const char **message)
{
    if (c->key.len == 0)
        return invalid(message, ETCD_EMPTY_KEY);
    if ((unsigned)c->target > KV_COMPARE_LEASE || (unsigned)c->result > KV_NOT_EQUAL)
        return invalid(message, "etcdserver: invalid compare");
    *out = (struct kv_compare){
        .target = (enum kv_compare_target)c->target,
        .result = (enum kv_compare_result)c->result,
        .key = etcd_str(c->key),
        .end = etcd_str(c->range_end),
    };
    /* An operand of another target counts as absent, which is zero, as in etcd. */
    switch (out->target) {
    case KV_COMPARE_VERSION:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION)
            out->number = c->version;
        break;
    case KV_COMPARE_CREATE:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION)
            out->number = c->create_revision;
        break;
    case KV_COMPARE_MOD:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION)
            out->number = c->mod_revision;
        break;
    case KV_COMPARE_LEASE:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE)
            out->number = c->lease;
        break;
    case KV_COMPARE_VALUE:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE)
            out->value = etcd_str(c->value);
        break;
    }
    return 0;
}

static int txn_of(const Etcdserverpb__TxnRequest *q, size_t ops_max, struct arena *a,
                  struct kv_txn_request *out, const char **message);

static int op_of(const Etcdserverpb__RequestOp *op, size_t ops_max, struct arena *a,
                 struct kv_op *out, const char **message)
{
    int rc;
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        out->type = KV_OP_RANGE;
        rc = etcd_range_request(op->request_range, &out->range, message);
        if (op->request_range->revision < 0)
            out->range.rev = -1; /* inside a transaction that is a compacted one */
        return rc;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        out->type = KV_OP_PUT;
        return etcd_put_request(op->request_put, &out->put, message);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        out->type = KV_OP_DELETE;
        return etcd_delete_request(op->request_delete_range, &out->del, message);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN: {
        struct kv_txn_request *nested = arena_new(a, struct kv_txn_request);
        out->type = KV_OP_TXN;
        out->txn = nested;
        return txn_of(op->request_txn, ops_max, a, nested, message);
    }
    default: /* what etcd says of an operation that is none */
        return invalid(message, "etcdserver: key not found");
    }
}

/* As etcd: what is nested has the operations that its parent leaves. */
static int txn_of(const Etcdserverpb__TxnRequest *q, size_t ops_max, struct arena *a,
                  struct kv_txn_request *out, const char **message)
{
    size_t ops = MAX(q->n_compare, MAX(q->n_success, q->n_failure));
    if (ops > ops_max)
        return invalid(message, "etcdserver: too many operations in txn request");
    struct kv_compare *compares = arena_array(a, struct kv_compare, q->n_compare);
    struct kv_op *then = arena_array(a, struct kv_op, q->n_success);
    struct kv_op *otherwise = arena_array(a, struct kv_op, q->n_failure);
    int rc = 0;
    for (size_t i = 0; i < q->n_compare && !rc; i++)
        rc = compare_of(q->compare[i], &compares[i], message);
    for (size_t i = 0; i < q->n_success && !rc; i++)
        rc = op_of(q->success[i], ops_max - ops, a, &then[i], message);
    for (size_t i = 0; i < q->n_failure && !rc; i++)
        rc = op_of(q->failure[i], ops_max - ops, a, &otherwise[i], message);
    *out = (struct kv_txn_request){
        .compares = compares,
        .compares_len = q->n_compare,
        .then = then,
        .then_len = q->n_success,
        .otherwise = otherwise,
        .otherwise_len = q->n_failure,
    };
    return rc;
}

static bool serializable(Etcdserverpb__RequestOp *const *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i]->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE ||
            !ops[i]->request_range->serializable)
            return false;
    return true;
}

int etcd_txn_request(const struct etcd_server *s, const Etcdserverpb__TxnRequest *q,
                     struct arena *a, struct kv_txn_request *out, const char **message)
{
    int rc = txn_of(q, s->config.txn_ops_max, a, out, message);
    out->serializable =
        rc == 0 && serializable(q->success, q->n_success) && serializable(q->failure, q->n_failure);
    return rc;
}

/* ---------------------------------------------------------------------- answers --- */

static Mvccpb__KeyValue **kvs_of(const struct kv_pair *pairs, size_t n, struct arena *a)
{
    Mvccpb__KeyValue *kvs = arena_alloc(a, n * sizeof *kvs);
    Mvccpb__KeyValue **list = arena_alloc(a, n * sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        etcd_kv_of_pair(&pairs[i], &kvs[i]);
        list[i] = &kvs[i];
    }
    return list;
}

/* The header is left to the caller: inside a transaction only the revision is set. */
void etcd_range_response(const struct etcd_server *s, const struct kv_range_result *r,
                         struct arena *a, Etcdserverpb__RangeResponse *out)
{
    (void)s;
    etcdserverpb__range_response__init(out);
    out->n_kvs = r->pairs_len;
    out->kvs = kvs_of(r->pairs, r->pairs_len, a);
    out->more = r->more;
    out->count = r->count;
}

void etcd_put_response(const struct kv_op_result *r, struct arena *a,
                       Etcdserverpb__PutResponse *out)
{
    etcdserverpb__put_response__init(out);
    if (r->put.has_prev)
        out->prev_kv = *kvs_of(&r->put.prev, 1, a);
}

void etcd_delete_response(const struct kv_op_result *r, struct arena *a,
                          Etcdserverpb__DeleteRangeResponse *out)
{
    etcdserverpb__delete_range_response__init(out);
    out->deleted = r->del.deleted;
    out->n_prev_kvs = r->del.prev_len;
    out->prev_kvs = kvs_of(r->del.prev, r->del.prev_len, a);
}

static Etcdserverpb__ResponseHeader *inner_header(struct arena *a, int64_t rev)
{
    Etcdserverpb__ResponseHeader *h = arena_alloc(a, sizeof *h);
    etcdserverpb__response_header__init(h);
    h->revision = rev;
    return h;
}

static Etcdserverpb__ResponseOp *response_op(const struct etcd_server *s,
                                             const struct kv_op_result *r, struct arena *a)
{
    Etcdserverpb__ResponseOp *op = arena_alloc(a, sizeof *op);
    etcdserverpb__response_op__init(op);
    switch (r->type) {
    case KV_OP_RANGE:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        op->response_range = arena_alloc(a, sizeof *op->response_range);
        etcd_range_response(s, &r->range, a, op->response_range);
        op->response_range->header = inner_header(a, r->rev);
        break;
    case KV_OP_PUT:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        op->response_put = arena_alloc(a, sizeof *op->response_put);
        etcd_put_response(r, a, op->response_put);
        op->response_put->header = inner_header(a, r->rev);
        break;
    case KV_OP_DELETE:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        op->response_delete_range = arena_alloc(a, sizeof *op->response_delete_range);
        etcd_delete_response(r, a, op->response_delete_range);
        op->response_delete_range->header = inner_header(a, r->rev);
        break;
    case KV_OP_TXN:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        op->response_txn = arena_alloc(a, sizeof *op->response_txn);
        etcd_txn_response(s, r->txn, a, op->response_txn);
        op->response_txn->header = inner_header(a, 0); /* etcd fills in the outermost one's only */
        break;
    }
    return op;
}

void etcd_txn_response(const struct etcd_server *s, const struct kv_txn_result *r, struct arena *a,
                       Etcdserverpb__TxnResponse *out)
{
    etcdserverpb__txn_response__init(out);
    out->succeeded = r->succeeded;
    out->n_responses = r->ops_len;
    out->responses = arena_alloc(a, r->ops_len * sizeof(void *));
    for (size_t i = 0; i < r->ops_len; i++)
        out->responses[i] = response_op(s, &r->ops[i], a);
}
