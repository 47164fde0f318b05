/*
 * Proposal formats: encoding, decoding (kvstore/proposal.h). Checking requests is in txn_check.c.
 */
#include "kvstore/proposal.h"
#include "base/varint.h"
#include <assert.h>

#define PROPOSAL_VERSION 1

enum {
    RANGE_KEYS_ONLY = 1,
    RANGE_COUNT_ONLY = 2,
    RANGE_NO_COUNT = 4,
    PUT_PREV = 1,
    PUT_IGNORE_VALUE = 2,
    PUT_IGNORE_LEASE = 4,
    DELETE_PREV = 1,
};

/* ---- encoding ---- */

static void put_int(struct buf *b, int64_t v)
{
    buf_append_varint(b, (uint64_t)v);
}

static void put_byte(struct buf *b, unsigned v)
{
    buf_append_char(b, (char)v);
}

static void put_compare(struct buf *b, const struct kv_compare *c)
{
    put_byte(b, c->target);
    put_byte(b, c->result);
    buf_append_varint_bytes(b, c->key);
    buf_append_varint_bytes(b, c->end);
    if (c->target == KV_COMPARE_VALUE)
        buf_append_varint_bytes(b, c->value);
    else
        put_int(b, c->number);
}

static void put_range(struct buf *b, const struct kv_range_request *r)
{
    buf_append_varint_bytes(b, r->key);
    buf_append_varint_bytes(b, r->end);
    put_int(b, r->rev);
    put_int(b, r->limit);
    put_byte(b, r->sort_target);
    put_byte(b, r->sort_order);
    put_byte(b, (r->keys_only ? RANGE_KEYS_ONLY : 0u) | (r->count_only ? RANGE_COUNT_ONLY : 0u) |
                    (r->no_count ? RANGE_NO_COUNT : 0u));
    put_int(b, r->min_mod_rev);
    put_int(b, r->max_mod_rev);
    put_int(b, r->min_create_rev);
    put_int(b, r->max_create_rev);
}

static void put_txn(struct buf *b, const struct kv_txn_request *t);

static void put_ops(struct buf *b, const struct kv_op *ops, size_t n)
{
    buf_append_varint(b, n);
    for (size_t i = 0; i < n; i++) {
        const struct kv_op *op = &ops[i];
        put_byte(b, op->type);
        switch (op->type) {
        case KV_OP_RANGE:
            put_range(b, &op->range);
            break;
        case KV_OP_PUT:
            buf_append_varint_bytes(b, op->put.key);
            buf_append_varint_bytes(b, op->put.value);
            put_int(b, op->put.lease);
            put_byte(b, (op->put.prev_kv ? PUT_PREV : 0u) |
                            (op->put.ignore_value ? PUT_IGNORE_VALUE : 0u) |
                            (op->put.ignore_lease ? PUT_IGNORE_LEASE : 0u));
            break;
        case KV_OP_DELETE:
            buf_append_varint_bytes(b, op->del.key);
            buf_append_varint_bytes(b, op->del.end);
            put_byte(b, op->del.prev_kv ? DELETE_PREV : 0u);
            break;
        case KV_OP_TXN:
            put_txn(b, op->txn);
            break;
        }
    }
}

static void put_txn(struct buf *b, const struct kv_txn_request *t)
{
    buf_append_varint(b, t->compares_len);
    for (size_t i = 0; i < t->compares_len; i++)
        put_compare(b, &t->compares[i]);
    put_ops(b, t->then, t->then_len);
    put_ops(b, t->otherwise, t->otherwise_len);
}

static void put_auth(struct buf *b, const struct kv_auth_change *c)
{
    put_byte(b, c->op);
    buf_append_varint_bytes(b, c->name);
    buf_append_varint_bytes(b, c->role);
    buf_append_varint_bytes(b, c->secret);
    put_byte(b, c->no_password);
    put_byte(b, c->perm.type);
    buf_append_varint_bytes(b, c->perm.key);
    buf_append_varint_bytes(b, c->perm.end);
}

void proposal_encode(const struct proposal *p, struct buf *out)
{
    put_byte(out, PROPOSAL_VERSION);
    bool named = p->client && (p->who.user.n || p->who.rev);
    put_byte(out, p->kind | (named ? PROPOSAL_USER : p->client ? PROPOSAL_NOBODY : 0));
    if (named) {
        buf_append_varint_bytes(out, p->who.user);
        put_int(out, (int64_t)p->who.rev);
    }
    switch (p->kind) {
    case PROPOSAL_TXN:
        put_txn(out, &p->txn);
        break;
    case PROPOSAL_LEASE_GRANT:
        put_int(out, p->lease.id);
        put_int(out, p->lease.ttl_s);
        break;
    case PROPOSAL_LEASE_REVOKE:
    case PROPOSAL_LEASE_KEEP_ALIVE:
        put_int(out, p->lease.id);
        break;
    case PROPOSAL_COMPACT:
        put_int(out, p->compact_rev);
        break;
    case PROPOSAL_MEMBER:
        put_int(out, (int64_t)p->member.id);
        buf_append_varint_bytes(out, p->member.name);
        buf_append_varint(out, p->member.client_urls_len);
        for (size_t i = 0; i < p->member.client_urls_len; i++)
            buf_append_varint_bytes(out, p->member.client_urls[i]);
        break;
    case PROPOSAL_CLUSTER:
        put_byte(out, p->cluster.action);
        if (p->cluster.action == PROPOSAL_CLUSTER_LEVEL)
            put_int(out, p->cluster.level);
        else
            buf_append_varint_bytes(out, p->cluster.downgrade);
        break;
    case PROPOSAL_ALARM:
        put_int(out, (int64_t)p->alarm.member);
        put_byte(out, p->alarm.type);
        put_byte(out, p->alarm.clear);
        break;
    case PROPOSAL_LEASE_EXPIRE:
        put_int(out, p->expire.id);
        put_int(out, (int64_t)p->expire.term);
        break;
    case PROPOSAL_DIGEST:
        buf_append_varint(out, p->digest.mark);
        buf_append_varint(out, p->digest.member);
        buf_append_varint(out, p->digest.value);
        break;
    case PROPOSAL_LEASE_CHECKPOINT:
        buf_append_varint(out, p->checkpoint.len);
        for (size_t i = 0; i < p->checkpoint.len; i++) {
            put_int(out, p->checkpoint.items[i].id);
            put_int(out, p->checkpoint.items[i].remaining_s);
        }
        break;
    case PROPOSAL_AUTH:
        put_auth(out, &p->auth);
        break;
    }
}

/* ---- decoding: a reader with a sticky failure ---- */

struct reader {
    struct varint_reader in;
    struct arena *arena;
};

static uint64_t get_uint(struct reader *r)
{
    return varint_read(&r->in);
}

static int64_t get_int(struct reader *r)
{
    return (int64_t)varint_read(&r->in);
}

static unsigned get_byte(struct reader *r, unsigned max)
{
    return varint_read_byte(&r->in, max);
}

static struct str get_str(struct reader *r)
{
    return varint_read_bytes(&r->in);
}

/* A count of things that take at least `bytes_min` each. */
static size_t get_count(struct reader *r, size_t bytes_min)
{
    uint64_t n = get_uint(r);
    if (n > r->in.left.n / bytes_min)
        r->in.failed = true;
    return r->in.failed ? 0 : (size_t)n;
}

static void get_compare(struct reader *r, struct kv_compare *c)
{
    c->target = get_byte(r, KV_COMPARE_LEASE);
    c->result = get_byte(r, KV_NOT_EQUAL);
    c->key = get_str(r);
    c->end = get_str(r);
    if (c->target == KV_COMPARE_VALUE)
        c->value = get_str(r);
    else
        c->number = get_int(r);
}

static void get_range(struct reader *r, struct kv_range_request *q)
{
    q->key = get_str(r);
    q->end = get_str(r);
    q->rev = get_int(r);
    q->limit = get_int(r);
    q->sort_target = get_byte(r, KV_SORT_VALUE);
    q->sort_order = get_byte(r, KV_SORT_DESCEND);
    unsigned flags = get_byte(r, 7);
    q->keys_only = flags & RANGE_KEYS_ONLY;
    q->count_only = flags & RANGE_COUNT_ONLY;
    q->no_count = flags & RANGE_NO_COUNT;
    q->min_mod_rev = get_int(r);
    q->max_mod_rev = get_int(r);
    q->min_create_rev = get_int(r);
    q->max_create_rev = get_int(r);
}

static void get_txn(struct reader *r, struct kv_txn_request *t, unsigned depth);

static void get_op(struct reader *r, struct kv_op *op, unsigned depth)
{
    unsigned flags;
    op->type = get_byte(r, KV_OP_TXN);
    switch (op->type) {
    case KV_OP_RANGE:
        get_range(r, &op->range);
        break;
    case KV_OP_PUT:
        op->put.key = get_str(r);
        op->put.value = get_str(r);
        op->put.lease = get_int(r);
        flags = get_byte(r, 7);
        op->put.prev_kv = flags & PUT_PREV;
        op->put.ignore_value = flags & PUT_IGNORE_VALUE;
        op->put.ignore_lease = flags & PUT_IGNORE_LEASE;
        break;
    case KV_OP_DELETE:
        op->del.key = get_str(r);
        op->del.end = get_str(r);
        op->del.prev_kv = get_byte(r, 1) & DELETE_PREV;
        break;
    case KV_OP_TXN: {
        struct kv_txn_request *t = arena_new(r->arena, struct kv_txn_request);
        op->txn = t;
        if (depth + 1 > KV_TXN_DEPTH_MAX)
            r->in.failed = true;
        else
            get_txn(r, t, depth + 1);
        break;
    }
    }
}

static const struct kv_op *get_ops(struct reader *r, size_t *len, unsigned depth)
{
    size_t n = get_count(r, 3);
    struct kv_op *ops = arena_array(r->arena, struct kv_op, n);
    for (size_t i = 0; i < n && !r->in.failed; i++)
        get_op(r, &ops[i], depth);
    *len = r->in.failed ? 0 : n;
    return ops;
}

static void get_txn(struct reader *r, struct kv_txn_request *t, unsigned depth)
{
    size_t n = get_count(r, 5);
    struct kv_compare *compares = arena_array(r->arena, struct kv_compare, n);
    for (size_t i = 0; i < n && !r->in.failed; i++)
        get_compare(r, &compares[i]);
    t->compares = compares;
    t->compares_len = n;
    t->then = get_ops(r, &t->then_len, depth);
    t->otherwise = get_ops(r, &t->otherwise_len, depth);
}

static void get_member(struct reader *r, struct proposal_member *m)
{
    m->id = get_uint(r);
    m->name = get_str(r);
    m->client_urls_len = get_count(r, 1);
    m->client_urls = arena_array(r->arena, struct str, m->client_urls_len);
    for (size_t i = 0; i < m->client_urls_len; i++)
        m->client_urls[i] = get_str(r);
}

static void get_checkpoint(struct reader *r, struct proposal *out)
{
    out->checkpoint.len = get_count(r, 2);
    out->checkpoint.items = arena_array(r->arena, struct lease_left, out->checkpoint.len);
    for (size_t i = 0; i < out->checkpoint.len; i++) {
        out->checkpoint.items[i].id = get_int(r);
        out->checkpoint.items[i].remaining_s = get_int(r);
    }
}

static void get_auth(struct reader *r, struct kv_auth_change *c)
{
    c->op = get_byte(r, KV_AUTH_OP_LAST);
    c->name = get_str(r);
    c->role = get_str(r);
    c->secret = get_str(r);
    c->no_password = get_byte(r, 1);
    c->perm.type = get_byte(r, KV_AUTH_READWRITE);
    c->perm.key = get_str(r);
    c->perm.end = get_str(r);
    if (c->op == 0)
        r->in.failed = true;
}

static void get_cluster(struct reader *r, struct proposal_cluster *c)
{
    c->action = get_byte(r, PROPOSAL_CLUSTER_DOWNGRADE);
    if (c->action == PROPOSAL_CLUSTER_LEVEL)
        c->level = (unsigned)get_int(r);
    else if (c->action == PROPOSAL_CLUSTER_DOWNGRADE)
        c->downgrade = get_str(r);
    else
        r->in.failed = true;
}

int proposal_decode(struct str in, struct arena *a, struct proposal *out, struct error *err)
{
    struct reader r = {.in.left = in, .arena = a};
    *out = (struct proposal){0};
    if (in.n < 2)
        return error_set(err, ERR_CORRUPT, "proposal of %zu bytes", in.n);
    unsigned version = get_byte(&r, 255), kind = get_byte(&r, 255);
    out->client = kind & (PROPOSAL_NOBODY | PROPOSAL_USER);
    if (kind & PROPOSAL_USER) {
        out->who.user = get_str(&r);
        out->who.rev = get_uint(&r);
    }
    kind &= PROPOSAL_NOBODY - 1;
    if (version != PROPOSAL_VERSION || kind < PROPOSAL_TXN || kind > PROPOSAL_KIND_MAX)
        return error_set(err, ERR_UNSUPPORTED, "proposal of version %u, kind %u", version, kind);
    out->kind = kind;
    switch (out->kind) {
    case PROPOSAL_TXN:
        get_txn(&r, &out->txn, 0);
        break;
    case PROPOSAL_LEASE_GRANT:
        out->lease.id = get_int(&r);
        out->lease.ttl_s = get_int(&r);
        break;
    case PROPOSAL_LEASE_REVOKE:
    case PROPOSAL_LEASE_KEEP_ALIVE:
        out->lease.id = get_int(&r);
        break;
    case PROPOSAL_COMPACT:
        out->compact_rev = get_int(&r);
        break;
    case PROPOSAL_MEMBER:
        get_member(&r, &out->member);
        break;
    case PROPOSAL_CLUSTER:
        get_cluster(&r, &out->cluster);
        break;
    case PROPOSAL_ALARM:
        out->alarm.member = get_uint(&r);
        out->alarm.type = get_byte(&r, KV_ALARM_TYPE_MAX);
        out->alarm.clear = get_byte(&r, 1);
        break;
    case PROPOSAL_LEASE_EXPIRE:
        out->expire.id = get_int(&r);
        out->expire.term = get_uint(&r);
        break;
    case PROPOSAL_DIGEST:
        out->digest.mark = get_uint(&r);
        out->digest.member = get_uint(&r);
        out->digest.value = get_uint(&r);
        break;
    case PROPOSAL_LEASE_CHECKPOINT:
        get_checkpoint(&r, out);
        break;
    case PROPOSAL_AUTH:
        get_auth(&r, &out->auth);
        break;
    }
    if (r.in.failed || r.in.left.n)
        return error_set(err, ERR_CORRUPT, "proposal of kind %u has a wrong form", kind);
    return 0;
}
