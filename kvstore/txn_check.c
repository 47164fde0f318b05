/*
 * What a transaction must satisfy before it is proposed (kvstore/proposal.h).
 *
 * Duplicate keys, as etcd defines them. Among the operations that may run together no key is put twice, and
 * none is put that this level, or a nested transaction before it, deletes. The two branches of a
 * transaction exclude each other. What a nested transaction puts and a later one beside it deletes is fine:
 * they run in that order.
 */
#include "kvstore/mvcc.h"
#include "kvstore/proposal.h"
#include "base/map.h"
#include "base/vec.h"

#define OPS_TOTAL_FACTOR \
    16 /* all operations, nested ones included, in multiples of what one level may have */

struct check {
    size_t ops_left; /* bounds the time that looking for duplicates takes */
    struct error *err;
};

static int check_txn(struct check *c, const struct kv_txn_request *t, size_t ops_max,
                     unsigned depth);

static int too_many(struct error *err)
{
    return error_set(err, KV_ERR_TOO_MANY_OPS, "too many operations in txn request");
}

static int no_key(struct error *err)
{
    return error_set(err, ERR_INVALID, "key is not provided");
}

static int check_op(struct check *c, const struct kv_op *op, size_t ops_max, unsigned depth)
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
        return 0;
    case KV_OP_DELETE:
        return op->del.key.n == 0 ? no_key(c->err) : 0;
    case KV_OP_TXN:
        if (depth + 1 > KV_TXN_DEPTH_MAX)
            return too_many(c->err);
        return check_txn(c, op->txn, ops_max, depth + 1);
    }
    return error_set(c->err, ERR_INVALID, "unknown operation");
}

static int check_branch(struct check *c, const struct kv_op *ops, size_t n, size_t ops_max,
                        unsigned depth)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check_op(c, &ops[i], ops_max, depth);
    return rc;
}

static int check_txn(struct check *c, const struct kv_txn_request *t, size_t ops_max,
                     unsigned depth)
{
    size_t ops = MAX(t->compares_len, MAX(t->then_len, t->otherwise_len));
    if (ops > ops_max)
        return too_many(c->err);
    for (size_t i = 0; i < t->compares_len; i++)
        if (t->compares[i].key.n == 0)
            return no_key(c->err);
    int rc = check_branch(c, t->then, t->then_len, ops_max - ops, depth);
    return rc ? rc : check_branch(c, t->otherwise, t->otherwise_len, ops_max - ops, depth);
}

/* ---- duplicate keys ---- */

#define COMPARED_MAX 32 /* so many keys are compared one by one; more are looked up */

struct writes {
    VEC(struct str) puts;
    VEC(struct key_range) dels;
    struct map places; /* key → where it is first in puts, from 1; of those before `placed` */
    size_t placed;
};

static void writes_free(struct writes *w)
{
    vec_free(&w->puts);
    vec_free(&w->dels);
    map_free(&w->places);
}

/* Is key among the first `puts` puts? */
static bool is_put(struct writes *w, size_t puts, struct str key)
{
    bool found = false;
    if (puts <= COMPARED_MAX) {
        for (size_t i = 0; i < puts && !found; i++)
            found = str_eq(w->puts.items[i], key);
        return found;
    }
    for (; w->placed < puts; w->placed++)
        if (!map_has(&w->places, w->puts.items[w->placed]))
            map_put(&w->places, w->puts.items[w->placed], (void *)(uintptr_t)(w->placed + 1));
    size_t at = (uintptr_t)map_get(&w->places, key);
    return at > 0 && at <= puts;
}

/* May `key` be put besides the first `puts` puts of `w` and all its deletions? */
static int put_check(struct writes *w, size_t puts, struct str key, struct error *err)
{
    bool again = is_put(w, puts, key);
    for (size_t i = 0; i < w->dels.len && !again; i++)
        again = key_range_has(&w->dels.items[i], key);
    return again ? error_set(err, KV_ERR_DUPLICATE_KEY, "duplicate key given in txn request: %.*s",
                             (int)MIN(key.n, 200), key.p)
                 : 0;
}

static int branch_writes(const struct kv_op *ops, size_t n, struct writes *out, struct error *err);

/* Add what a nested transaction writes, whichever branch it takes. */
static int nested_writes(const struct kv_txn_request *t, struct writes *out, struct error *err)
{
    struct writes branches[2] = {0};
    size_t before = out->puts.len;
    int rc = branch_writes(t->then, t->then_len, &branches[0], err);
    if (rc == 0)
        rc = branch_writes(t->otherwise, t->otherwise_len, &branches[1], err);
    for (int b = 0; b < 2; b++)
        for (size_t i = 0; i < branches[b].puts.len && rc == 0; i++) {
            rc = put_check(out, before, branches[b].puts.items[i], err);
            vec_push(&out->puts, branches[b].puts.items[i]);
        }
    for (int b = 0; b < 2; b++) {
        for (size_t i = 0; i < branches[b].dels.len; i++)
            vec_push(&out->dels, branches[b].dels.items[i]);
        writes_free(&branches[b]);
    }
    return rc;
}

static int branch_writes(const struct kv_op *ops, size_t n, struct writes *out, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++)
        if (ops[i].type == KV_OP_DELETE)
            vec_push(&out->dels, key_range_make(ops[i].del.key, ops[i].del.end));
    for (size_t i = 0; i < n && rc == 0; i++)
        if (ops[i].type == KV_OP_TXN)
            rc = nested_writes(ops[i].txn, out, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (ops[i].type == KV_OP_PUT) {
            rc = put_check(out, out->puts.len, ops[i].put.key, err);
            vec_push(&out->puts, ops[i].put.key);
        }
    return rc;
}

int txn_request_check(const struct kv_txn_request *t, size_t ops_max, struct error *err)
{
    struct check c = {.ops_left = OPS_TOTAL_FACTOR * ops_max, .err = err};
    struct writes then = {0}, otherwise = {0};
    int rc = check_txn(&c, t, ops_max, 0);
    if (rc == 0)
        rc = branch_writes(t->then, t->then_len, &then, err);
    if (rc == 0)
        rc = branch_writes(t->otherwise, t->otherwise_len, &otherwise, err);
    writes_free(&then);
    writes_free(&otherwise);
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
