/*
 * Transactions: comparisons, checks, operations, answers (kvstore/txn_exec.h).
 */
#include "kvstore/txn_exec.h"
#include "base/mem.h"
#include <assert.h>

struct kv_txn_result *txn_result_new(void)
{
    struct kv_txn_result *r = mem_zalloc(sizeof *r);
    arena_init(&r->arena);
    r->message = "";
    return r;
}

void txn_result_fail(struct kv_txn_result *r, int code, const char *message)
{
    r->code = code;
    r->message = arena_strdup(&r->arena, message);
    r->ops = NULL;
    r->ops_len = 0;
    r->succeeded = false;
}

void kv_txn_result_free(struct kv_txn_result *r)
{
    if (!r)
        return;
    arena_free(&r->arena);
    mem_free(r);
}

/* A walk as far as the deadline allows, which ends the transaction. */
static int walk(const struct txn_exec *x, const struct mvcc_view *v, const struct key_range *range,
                mvcc_visit_fn *visit, void *ctx, struct error *err)
{
    struct buf resume;
    bool more;
    buf_init(&resume);
    int rc = mvcc_walk(v, range, visit, ctx, x->deadline_ns, &resume, &more, err);
    buf_free(&resume);
    return rc == MVCC_WALK_DEADLINE ? error_set(err, ERR_TIMEOUT, "it reads for too long") : rc;
}

/* ---- comparisons ---- */

static bool relation_holds(enum kv_compare_result want, int order)
{
    switch (want) {
    case KV_EQUAL:
        return order == 0;
    case KV_GREATER:
        return order > 0;
    case KV_LESS:
        return order < 0;
    case KV_NOT_EQUAL:
        return order != 0;
    }
    return false;
}

static bool compare_holds(const struct kv_compare *c, const struct kv_record *r)
{
    int64_t v = 0;
    switch (c->target) {
    case KV_COMPARE_VALUE:
        return relation_holds(c->result, str_cmp(r->value, c->value));
    case KV_COMPARE_VERSION:
        v = r->version;
        break;
    case KV_COMPARE_CREATE:
        v = r->create_rev;
        break;
    case KV_COMPARE_MOD:
        v = r->id.rev;
        break;
    case KV_COMPARE_LEASE:
        v = r->lease;
        break;
    }
    return relation_holds(c->result, v < c->number ? -1 : v > c->number);
}

struct compare_walk {
    const struct kv_compare *compare;
    bool any, all;
};

static int compare_one(void *ctx, struct str key, const struct kv_record *r)
{
    struct compare_walk *w = ctx;
    (void)key;
    w->any = true;
    w->all = compare_holds(w->compare, r);
    return !w->all;
}

static int compare_eval(const struct txn_exec *x, const struct kv_compare *c, bool *holds,
                        struct error *err)
{
    struct compare_walk w = {.compare = c, .all = true};
    struct key_range range = key_range_make(c->key, c->end);
    range.no_values = c->target != KV_COMPARE_VALUE;
    int rc = walk(x, &x->view, &range, compare_one, &w, err);
    if (rc < 0)
        return rc;
    static const struct kv_record nothing;
    *holds = w.any ? w.all : c->target != KV_COMPARE_VALUE && compare_holds(c, &nothing);
    return 0;
}

static const struct kv_op *branch_ops(const struct kv_txn_request *t, bool then, size_t *len)
{
    *len = then ? t->then_len : t->otherwise_len;
    return then ? t->then : t->otherwise;
}

static void branch_push(struct txn_exec *x, bool then)
{
    if (x->branches_len == x->branches_cap) {
        size_t cap = x->branches_cap ? 2 * x->branches_cap : 8;
        x->branches = arena_grow(x->scratch, x->branches, x->branches_cap, cap);
        x->branches_cap = cap;
    }
    x->branches[x->branches_len++] = then;
}

/* What a put needs of the state before. */
static int put_check(const struct txn_exec *x, const struct kv_put *p, struct error *err)
{
    struct kv_record r;
    if (p->lease && !lease_table_has(x->leases, p->lease))
        return error_set(err, KV_ERR_LEASE_NOT_FOUND, "requested lease not found");
    if (!p->ignore_value && !p->ignore_lease)
        return 0;
    int rc = mvcc_get(&x->view, p->key, &r, err);
    return rc == ERR_NOT_FOUND ? error_set(err, KV_ERR_KEY_NOT_FOUND, "key not found") : rc;
}

static int range_check(const struct txn_exec *x, const struct kv_range_request *q)
{
    if (q->rev > x->rev)
        return KV_ERR_FUTURE_REV;
    return q->rev && q->rev < MAX(x->compact_rev, q->rev < 0) ? ERR_COMPACTED : 0;
}

/* Decide the branches of t and what it contains, and check what will run. What is wrong with a put counts before what
 * is wrong with a range, wherever they stand, as in etcd: *range is that of the first range. */
static int decide(struct txn_exec *x, const struct kv_txn_request *t, int *range, struct error *err)
{
    bool then = true;
    int rc = 0;
    for (size_t i = 0; i < t->compares_len && then && rc == 0; i++)
        rc = compare_eval(x, &t->compares[i], &then, err);
    if (rc < 0)
        return rc;
    branch_push(x, then);
    size_t n;
    const struct kv_op *ops = branch_ops(t, then, &n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (ops[i].type == KV_OP_TXN)
            rc = decide(x, ops[i].txn, range, err);
        else if (ops[i].type == KV_OP_PUT)
            rc = put_check(x, &ops[i].put, err);
        else if (ops[i].type == KV_OP_RANGE && *range == 0)
            *range = range_check(x, &ops[i].range);
    }
    return rc;
}

/* ---- operations ---- */

/* The view that an operation sees: everything done so far. */
static struct mvcc_view now_view(const struct txn_exec *x)
{
    return x->write ? mvcc_write_view(x->write) : x->view;
}

/* Take `n` bytes of the answer's allowance. */
static bool take_bytes(struct txn_exec *x, size_t n)
{
    if (n > x->bytes_left)
        x->too_large = true;
    else
        x->bytes_left -= n;
    return !x->too_large;
}

static struct kv_pair pair_copy(struct arena *a, struct str key, const struct kv_record *r)
{
    struct kv_pair p = mvcc_pair(key, r);
    p.key.p = arena_dup(a, key.p, key.n);
    p.value.p = arena_dup(a, p.value.p, p.value.n);
    return p;
}

static int run_range(struct txn_exec *x, const struct kv_range_request *q, struct kv_op_result *out,
                     struct error *err)
{
    if (!out)
        return 0;
    struct range_collector c;
    struct mvcc_view v = now_view(x);
    struct key_range range = key_range_of(q);
    struct kv_range_request request = *q;
    if (q->rev > 0)
        v.rev = q->rev;
    request.bytes_max = 0;
    range_collector_init(&c, &request, &x->result->arena, x->bytes_left, &out->range);
    int rc = walk(x, &v, &range, range_collect, &c, err);
    if (rc == KV_ERR_RESPONSE_TOO_LARGE) {
        x->too_large = true;
        return 0;
    }
    if (rc < 0)
        return rc;
    range_collector_finish(&c);
    take_bytes(x, c.bytes);
    return 0;
}

static int run_put(struct txn_exec *x, const struct kv_put *p, struct kv_op_result *out,
                   struct error *err)
{
    struct str value = p->value;
    int64_t lease = p->lease;
    if (p->ignore_value || p->ignore_lease || (p->prev_kv && out)) {
        struct mvcc_view v = now_view(x);
        struct kv_record r;
        int rc = mvcc_get(&v, p->key, &r, err);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
        if (rc == 0 && p->ignore_value)
            value = str_make(arena_dup(x->scratch, r.value.p, r.value.n), r.value.n);
        if (rc == 0 && p->ignore_lease)
            lease = r.lease;
        if (rc == 0 && p->prev_kv && out && take_bytes(x, p->key.n + r.value.n)) {
            out->put.has_prev = true;
            out->put.prev = pair_copy(&x->result->arena, p->key, &r);
        }
    }
    return mvcc_put(x->write, p->key, value, lease, err);
}

struct prev_walk {
    struct txn_exec *x;
    struct kv_op_result *out;
    size_t cap;
};

static int prev_one(void *ctx, struct str key, const struct kv_record *r)
{
    struct prev_walk *w = ctx;
    struct kv_op_result *out = w->out;
    if (!take_bytes(w->x, sizeof(struct kv_pair) + key.n + r->value.n))
        return 1;
    if (out->del.prev_len == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 4;
        out->del.prev = arena_grow(&w->x->result->arena, out->del.prev,
                                   w->cap * sizeof *out->del.prev, cap * sizeof *out->del.prev);
        w->cap = cap;
    }
    out->del.prev[out->del.prev_len++] = pair_copy(&w->x->result->arena, key, r);
    return 0;
}

static int run_delete(struct txn_exec *x, const struct kv_delete *d, struct kv_op_result *out,
                      struct error *err)
{
    struct key_range range = key_range_make(d->key, d->end);
    struct buf from;
    int64_t deleted = 0;
    int rc = 0;
    buf_init(&from);
    if (d->prev_kv && out) {
        struct prev_walk w = {x, out, 0};
        struct mvcc_view v = now_view(x);
        bool more;
        rc = mvcc_walk(&v, &range, prev_one, &w, 0, &from, &more, err);
        buf_clear(&from);
    }
    do {
        rc = rc < 0 ? rc : mvcc_delete_some(x->write, &range, &from, 256, &deleted, err);
    } while (rc == 1);
    buf_free(&from);
    if (out)
        out->del.deleted = deleted;
    return rc;
}

static int run_txn(struct txn_exec *x, const struct kv_txn_request *t, struct kv_txn_result *out,
                   struct error *err)
{
    bool then = x->branches[x->next_branch++];
    size_t n;
    const struct kv_op *ops = branch_ops(t, then, &n);
    if (out) {
        out->succeeded = then;
        out->ops = arena_array(&x->result->arena, struct kv_op_result, n);
        out->ops_len = n;
        out->message = "";
    }
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct kv_op_result *r = out ? &out->ops[i] : NULL;
        if (r)
            r->type = ops[i].type;
        switch (ops[i].type) {
        case KV_OP_RANGE:
            rc = run_range(x, &ops[i].range, r, err);
            break;
        case KV_OP_PUT:
            rc = run_put(x, &ops[i].put, r, err);
            break;
        case KV_OP_DELETE:
            rc = run_delete(x, &ops[i].del, r, err);
            break;
        case KV_OP_TXN:
            if (r)
                r->txn = arena_new(&x->result->arena, struct kv_txn_result);
            rc = run_txn(x, ops[i].txn, r ? r->txn : NULL, err);
            break;
        }
        if (r)
            r->rev = x->write && x->write->sub ? x->write->rev : x->rev;
        if (r && r->type == KV_OP_RANGE)
            r->range.rev = r->range.current = r->rev;
    }
    return rc;
}

/* Nested transactions name the revision after the whole transaction. */
static void stamp(struct kv_txn_result *r, int64_t rev)
{
    r->rev = rev;
    for (size_t i = 0; i < r->ops_len; i++)
        if (r->ops[i].type == KV_OP_TXN)
            stamp(r->ops[i].txn, rev);
}

int txn_exec_run(struct txn_exec *x, const struct kv_txn_request *t, struct error *err)
{
    struct error own;
    err = err ? err : &own;
    x->branches_len = x->next_branch = 0;
    x->branches = NULL;
    x->branches_cap = 0;
    int range = 0, rc = decide(x, t, &range, err);
    if (rc == 0 && range)
        rc = error_set(err, range, "required revision %s",
                       range == ERR_COMPACTED ? "has been compacted" : "is a future revision");
    if (rc < 0) {
        if (x->result && !txn_exec_is_fatal(rc)) {
            txn_result_fail(x->result, rc, err->message);
            x->result->rev = x->rev;
        }
        return rc;
    }
    rc = run_txn(x, t, x->result, err);
    if (rc < 0)
        return rc;
    int64_t rev = x->rev;
    if (x->write) {
        mvcc_write_end_revision(x->write);
        rev = x->write->state.rev;
    }
    if (x->result && x->too_large) {
        txn_result_fail(x->result, KV_ERR_RESPONSE_TOO_LARGE, "the answer is too large");
        x->result->rev = rev;
    } else if (x->result) {
        stamp(x->result, rev);
    }
    return 0;
}
