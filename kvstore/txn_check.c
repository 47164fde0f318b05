/*
 * What a transaction must satisfy before it is proposed (kvstore/proposal.h).
 *
 * Duplicate keys, as etcd defines them: among the operations that may run together, no key is put
 * twice, and none is put and deleted. The two branches of a transaction exclude each other, so they
 * are checked apart; an outer transaction's operations run together with either branch of an inner.
 */
#include "kvstore/mvcc.h"
#include "kvstore/proposal.h"
#include "base/vec.h"

struct writes {
    VEC(struct str) puts;
    VEC(struct key_range) dels;
};

static void writes_free(struct writes *w)
{
    vec_free(&w->puts);
    vec_free(&w->dels);
}

static int duplicate(struct error *err, struct str key)
{
    return error_set(err, KV_ERR_DUPLICATE_KEY, "duplicate key given in txn request: %.*s",
                     (int)MIN(key.n, 200), key.p);
}

/* Do `a` and `b` write one key? */
static int writes_disjoint(const struct writes *a, const struct writes *b, struct error *err)
{
    for (size_t i = 0; i < a->puts.len; i++) {
        for (size_t k = 0; k < b->puts.len; k++)
            if (str_eq(a->puts.items[i], b->puts.items[k]))
                return duplicate(err, a->puts.items[i]);
        for (size_t k = 0; k < b->dels.len; k++)
            if (key_range_has(&b->dels.items[k], a->puts.items[i]))
                return duplicate(err, a->puts.items[i]);
    }
    for (size_t i = 0; i < b->puts.len; i++)
        for (size_t k = 0; k < a->dels.len; k++)
            if (key_range_has(&a->dels.items[k], b->puts.items[i]))
                return duplicate(err, b->puts.items[i]);
    return 0;
}

static void writes_merge(struct writes *to, const struct writes *from)
{
    for (size_t i = 0; i < from->puts.len; i++)
        vec_push(&to->puts, from->puts.items[i]);
    for (size_t i = 0; i < from->dels.len; i++)
        vec_push(&to->dels, from->dels.items[i]);
}

#define OPS_TOTAL_FACTOR \
    16 /* all operations, nested ones included, in multiples of what one level may have */

struct check {
    size_t ops_left; /* bounds the time that looking for duplicates takes */
    struct error *err;
};

static int check_txn(struct check *c, const struct kv_txn_request *t, size_t ops_max,
                     unsigned depth, struct writes *out);

static int too_many(struct error *err)
{
    return error_set(err, KV_ERR_TOO_MANY_OPS, "too many operations in txn request");
}

static int no_key(struct error *err)
{
    return error_set(err, ERR_INVALID, "key is not provided");
}

/* One operation; what it writes goes to *out. */
static int check_op(struct check *c, const struct kv_op *op, size_t ops_max, unsigned depth,
                    struct writes *out)
{
    if (c->ops_left-- == 0)
        return too_many(c->err);
    switch (op->type) {
    case KV_OP_RANGE:
        return range_request_check(&op->range, c->err);
    case KV_OP_PUT:
        if (op->put.key.n == 0)
            return no_key(c->err);
        if (op->put.ignore_value && op->put.value.n)
            return error_set(c->err, ERR_INVALID, "value is provided");
        if (op->put.ignore_lease && op->put.lease)
            return error_set(c->err, ERR_INVALID, "lease is provided");
        vec_push(&out->puts, op->put.key);
        return 0;
    case KV_OP_DELETE:
        if (op->del.key.n == 0)
            return no_key(c->err);
        vec_push(&out->dels, key_range_make(op->del.key, op->del.end));
        return 0;
    case KV_OP_TXN:
        if (depth + 1 > KV_TXN_DEPTH_MAX)
            return too_many(c->err);
        return check_txn(c, op->txn, ops_max, depth + 1, out);
    }
    return error_set(c->err, ERR_INVALID, "unknown operation");
}

static int check_branch(struct check *c, const struct kv_op *ops, size_t n, size_t ops_max,
                        unsigned depth, struct writes *out)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct writes one = {0};
        rc = check_op(c, &ops[i], ops_max, depth, &one);
        if (rc == 0)
            rc = writes_disjoint(out, &one, c->err);
        writes_merge(out, &one);
        writes_free(&one);
    }
    return rc;
}

static int check_txn(struct check *c, const struct kv_txn_request *t, size_t ops_max,
                     unsigned depth, struct writes *out)
{
    size_t ops = MAX(t->compares_len, MAX(t->then_len, t->otherwise_len));
    if (ops > ops_max)
        return too_many(c->err);
    for (size_t i = 0; i < t->compares_len; i++)
        if (t->compares[i].key.n == 0)
            return no_key(c->err);
    struct writes otherwise = {0};
    int rc = check_branch(c, t->then, t->then_len, ops_max - ops, depth, out);
    if (rc == 0)
        rc = check_branch(c, t->otherwise, t->otherwise_len, ops_max - ops, depth, &otherwise);
    writes_merge(out, &otherwise);
    writes_free(&otherwise);
    return rc;
}

int txn_request_check(const struct kv_txn_request *t, size_t ops_max, struct error *err)
{
    struct check c = {.ops_left = OPS_TOTAL_FACTOR * ops_max, .err = err};
    struct writes w = {0};
    int rc = check_txn(&c, t, ops_max, 0, &w);
    writes_free(&w);
    return rc;
}

static bool ops_read_only(const struct kv_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ops[i].type == KV_OP_PUT || ops[i].type == KV_OP_DELETE)
            return false;
        if (ops[i].type == KV_OP_TXN && !txn_is_read_only(ops[i].txn))
            return false;
    }
    return true;
}

bool txn_is_read_only(const struct kv_txn_request *t)
{
    return ops_read_only(t->then, t->then_len) && ops_read_only(t->otherwise, t->otherwise_len);
}
