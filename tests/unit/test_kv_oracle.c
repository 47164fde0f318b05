/*
 * The store against a slow and obvious second implementation: a list of every version ever written,
 * searched from end to end. Random puts, deletions, nested transactions with every kind of comparison,
 * ranges at present and past revisions, sorted and limited, compactions and restarts.
 */
#include "kvstore/kv.h"
#include "base/log.h"
#include "base/random.h"
#include "base/vec.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct version {
    struct kv_pair p; /* version 0: deleted */
};

struct oracle {
    struct arena arena;
    VEC(struct version) versions;
    int64_t rev, compacted;
};

static struct rng rng;
static uint64_t seed_now;

#define KEYS 48
static struct str keys[KEYS];

static struct str copy(struct arena *a, struct str s)
{
    return str_make(arena_dup(a, s.p, s.n), s.n);
}

/* Short ones, binary ones, and long ones around the limits of a chunk, with common beginnings. */
static void keys_init(struct arena *a)
{
    static const size_t lengths[] = {489, 490, 491, 492, 511, 979, 980, 981, 1470, 1500, 3000};
    for (int i = 0; i < KEYS; i++) {
        char *p;
        size_t n;
        if (i < 24) {
            p = arena_printf(a, "/k/%c%d", 'a' + i % 4, i);
            n = strlen(p);
        } else if (i < 30) {
            n = 1 + (size_t)i % 3;
            p = arena_alloc(a, n);
            for (size_t k = 0; k < n; k++)
                p[k] = (char)(i == 24 + (int)k ? 0xff : i % 2 ? 0 : 0x7f + i);
        } else {
            n = lengths[(i - 30) % 11];
            p = arena_alloc(a, n);
            memset(p, 'L', n);
            p[n - 1] = (char)(i > 40 ? 'M' : 'L');
        }
        keys[i] = str_make(p, n);
    }
}

static struct str any_key(void)
{
    return keys[rng_below(&rng, KEYS)];
}

static void any_range(struct str *key, struct str *end)
{
    *key = any_key();
    *end = STR_NONE;
    switch (rng_below(&rng, 6)) {
    case 0:
        *end = str_make("", 1);
        break;
    case 1:
        *key = STR("/k/a");
        *end = STR("/k/b");
        break;
    case 2:
        *key = str_make("", 1);
        *end = str_make("", 1);
        break;
    case 3:
    case 4:
        *end = any_key();
        break;
    default:
        break;
    }
}

/* ---- the oracle ---- */

static bool in_range(struct str key, struct str end, struct str k)
{
    if (end.n == 0)
        return str_eq(key, k);
    if (str_cmp(k, key) < 0)
        return false;
    return (end.n == 1 && end.p[0] == 0) || str_cmp(k, end) < 0;
}

static const struct kv_pair *o_get(const struct oracle *o, struct str key, int64_t rev)
{
    for (size_t i = o->versions.len; i-- > 0;) {
        const struct kv_pair *p = &o->versions.items[i].p;
        if (p->mod_rev <= rev && str_eq(p->key, key))
            return p->version ? p : NULL;
    }
    return NULL;
}

typedef VEC(struct kv_pair) pairs;

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct kv_pair *)a)->key, ((const struct kv_pair *)b)->key);
}

static pairs o_range(const struct oracle *o, struct str key, struct str end, int64_t rev)
{
    pairs out = {0};
    for (int i = 0; i < KEYS; i++) {
        bool twice = false;
        for (int k = 0; k < i; k++)
            twice = twice || str_eq(keys[k], keys[i]);
        const struct kv_pair *p =
            twice || !in_range(key, end, keys[i]) ? NULL : o_get(o, keys[i], rev);
        if (p)
            vec_push(&out, *p);
    }
    if (out.len)
        qsort(out.items, out.len, sizeof *out.items, by_key);
    return out;
}

static void o_put(struct oracle *o, const struct kv_put *put, int64_t rev)
{
    const struct kv_pair *old = o_get(o, put->key, INT64_MAX);
    struct kv_pair p = {.key = copy(&o->arena, put->key),
                        .value = copy(&o->arena, put->ignore_value ? old->value : put->value),
                        .create_rev = old ? old->create_rev : rev,
                        .mod_rev = rev,
                        .version = old ? old->version + 1 : 1,
                        .lease = put->ignore_lease ? old->lease : put->lease};
    vec_push(&o->versions, ((struct version){p}));
}

static int64_t o_delete(struct oracle *o, struct str key, struct str end, int64_t rev)
{
    pairs dead = o_range(o, key, end, INT64_MAX);
    int64_t n = (int64_t)dead.len;
    for (size_t i = 0; i < dead.len; i++)
        vec_push(&o->versions, ((struct version){{.key = dead.items[i].key, .mod_rev = rev}}));
    vec_free(&dead);
    return n;
}

static bool holds(enum kv_compare_result r, int c)
{
    return r == KV_EQUAL ? c == 0 : r == KV_GREATER ? c > 0 : r == KV_LESS ? c < 0 : c != 0;
}

static bool o_compare_one(const struct kv_compare *c, const struct kv_pair *p)
{
    int64_t v[] = {p->version, p->create_rev, p->mod_rev, 0, p->lease};
    if (c->target == KV_COMPARE_VALUE)
        return holds(c->result, str_cmp(p->value, c->value));
    return holds(c->result, (v[c->target] > c->number) - (v[c->target] < c->number));
}

static bool o_compare(const struct oracle *o, const struct kv_compare *c)
{
    pairs p = o_range(o, c->key, c->end, INT64_MAX);
    bool all = true;
    if (p.len == 0) {
        struct kv_pair none = {.version = 0};
        all = c->target != KV_COMPARE_VALUE && o_compare_one(c, &none);
    }
    for (size_t i = 0; i < p.len; i++)
        all = all && o_compare_one(c, &p.items[i]);
    vec_free(&p);
    return all;
}

/* ---- comparing answers ---- */

static void check_at(bool ok, const char *what, int line)
{
    if (!ok)
        fail_msg("seed %llu line %d: %s", (unsigned long long)seed_now, line, what);
}
#define CHECK(what) check_at((what), #what, __LINE__)

static void same_pair(const struct kv_pair *a, const struct kv_pair *b, bool keys_only)
{
    CHECK(str_eq(a->key, b->key));
    CHECK(keys_only ? a->value.n == 0 : str_eq(a->value, b->value));
    CHECK(a->create_rev == b->create_rev);
    CHECK(a->mod_rev == b->mod_rev);
    CHECK(a->version == b->version);
    CHECK(a->lease == b->lease);
}

static int64_t sort_number(enum kv_sort_target t, const struct kv_pair *p)
{
    return t == KV_SORT_VERSION ? p->version : t == KV_SORT_CREATE ? p->create_rev : p->mod_rev;
}

static int order(enum kv_sort_target t, const struct kv_pair *a, const struct kv_pair *b)
{
    if (t == KV_SORT_KEY)
        return str_cmp(a->key, b->key);
    if (t == KV_SORT_VALUE)
        return str_cmp(a->value, b->value);
    int64_t x = sort_number(t, a), y = sort_number(t, b);
    return (x > y) - (x < y);
}

/* The answer of a range: same set where it is complete, right order, right count. */
static void check_range(const struct oracle *o, const struct kv_range_request *q,
                        const struct kv_range_result *r, int64_t rev)
{
    pairs all = o_range(o, q->key, q->end, rev), want = {0};
    CHECK(r->count == (int64_t)all.len);
    for (size_t i = 0; i < all.len; i++) {
        const struct kv_pair *p = &all.items[i];
        if ((!q->min_mod_rev || p->mod_rev >= q->min_mod_rev) &&
            (!q->max_mod_rev || p->mod_rev <= q->max_mod_rev) &&
            (!q->min_create_rev || p->create_rev >= q->min_create_rev) &&
            (!q->max_create_rev || p->create_rev <= q->max_create_rev))
            vec_push(&want, *p);
    }
    size_t n = q->limit ? MIN(want.len, (size_t)q->limit) : want.len, candidates = want.len;
    /* A target without an order: what the limit leaves in key order, and one more, is all that is sorted. */
    bool filtered = q->min_mod_rev || q->max_mod_rev || q->min_create_rev || q->max_create_rev;
    if (q->sort_order == KV_SORT_NONE && q->limit && !filtered)
        candidates = MIN(want.len, (size_t)q->limit + 1);
    if (q->count_only)
        n = 0;
    CHECK(r->pairs_len == n);
    CHECK(q->count_only || r->more == (n < want.len));
    bool sorted = q->sort_target != KV_SORT_KEY || q->sort_order == KV_SORT_DESCEND;
    for (size_t i = 0; i < n; i++) {
        if (!sorted) {
            same_pair(&r->pairs[i], &want.items[i], q->keys_only);
            continue;
        }
        int dir = q->sort_order == KV_SORT_DESCEND ? -1 : 1;
        const struct kv_pair *exact = o_get(o, r->pairs[i].key, rev);
        CHECK(exact);
        same_pair(&r->pairs[i], exact, q->keys_only);
        if (q->keys_only && q->sort_target == KV_SORT_VALUE)
            continue;
        if (i > 0)
            CHECK(dir * order(q->sort_target, &r->pairs[i - 1], &r->pairs[i]) <= 0);
        /* nothing left out comes before the last one */
        size_t before = 0;
        for (size_t k = 0; k < candidates; k++)
            before += dir * order(q->sort_target, &want.items[k], &r->pairs[i]) < 0;
        CHECK(before <= i);
    }
    vec_free(&all);
    vec_free(&want);
}

/* ---- random requests ---- */

static int64_t leases[3] = {11, 22, 33};

static struct kv_range_request any_range_request(const struct oracle *o)
{
    struct kv_range_request q = {0};
    any_range(&q.key, &q.end);
    if (rng_below(&rng, 2))
        q.rev = MAX(o->compacted, 1) +
                (int64_t)rng_below(&rng, (uint64_t)(o->rev - MAX(o->compacted, 1)) + 1);
    if (rng_below(&rng, 3) == 0)
        q.limit = 1 + (int64_t)rng_below(&rng, 6);
    q.sort_order = rng_below(&rng, 3);
    q.sort_target = rng_below(&rng, 5);
    q.keys_only = rng_below(&rng, 6) == 0;
    q.count_only = rng_below(&rng, 8) == 0;
    if (rng_below(&rng, 6) == 0)
        q.min_mod_rev = (int64_t)rng_below(&rng, (uint64_t)o->rev + 1);
    if (rng_below(&rng, 6) == 0)
        q.max_create_rev = 1 + (int64_t)rng_below(&rng, (uint64_t)o->rev + 1);
    return q;
}

static struct str any_value(struct arena *a)
{
    size_t n = rng_below(&rng, 20) == 0 ? 5000 : rng_below(&rng, 40);
    char *p = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + rng_below(&rng, 3));
    return str_make(p, n);
}

static struct kv_compare any_compare(struct arena *a, const struct oracle *o)
{
    struct kv_compare c = {.target = rng_below(&rng, 5), .result = rng_below(&rng, 4)};
    c.key = any_key();
    if (rng_below(&rng, 4) == 0)
        any_range(&c.key, &c.end);
    const struct kv_pair *p = o_get(o, c.key, INT64_MAX);
    c.number = (int64_t)rng_below(&rng, 3);
    if (p && rng_below(&rng, 2))
        c.number = c.target == KV_COMPARE_VERSION  ? p->version
                   : c.target == KV_COMPARE_CREATE ? p->create_rev
                   : c.target == KV_COMPARE_MOD    ? p->mod_rev
                                                   : p->lease;
    c.value = p && rng_below(&rng, 2) ? copy(a, p->value) : any_value(a);
    if (c.target != KV_COMPARE_VALUE)
        c.value = STR_NONE;
    else
        c.number = 0;
    return c;
}

static struct kv_txn_request *any_txn(struct arena *a, const struct oracle *o, unsigned depth,
                                      uint64_t *used);

/* Operations that write disjoint keys: each put takes a key from what is left of `used`, and deletions
 * are of one key likewise. */
static struct kv_op any_op(struct arena *a, const struct oracle *o, unsigned depth, uint64_t *used)
{
    struct kv_op op = {.type = rng_below(&rng, depth < 2 ? 10 : 8) / 3};
    size_t k = rng_below(&rng, KEYS);
    for (size_t i = 0; i < KEYS; i++) /* equal long keys share the lowest number */
        if (str_eq(keys[i], keys[k])) {
            k = i;
            break;
        }
    if (*used & (1ull << k))
        op.type = KV_OP_RANGE;
    switch (op.type) {
    case KV_OP_RANGE:
        op.range = any_range_request(o);
        break;
    case KV_OP_PUT: {
        const struct kv_pair *p = o_get(o, keys[k], INT64_MAX);
        op.put =
            (struct kv_put){.key = keys[k], .value = any_value(a), .prev_kv = rng_below(&rng, 2)};
        if (rng_below(&rng, 4) == 0)
            op.put.lease = leases[rng_below(&rng, 3)];
        if (p && rng_below(&rng, 6) == 0) {
            op.put.ignore_value = true;
            op.put.value = STR_NONE;
        }
        if (p && rng_below(&rng, 6) == 0) {
            op.put.ignore_lease = true;
            op.put.lease = 0;
        }
        *used |= 1ull << k;
        break;
    }
    case KV_OP_DELETE:
        op.del = (struct kv_delete){.key = keys[k], .prev_kv = rng_below(&rng, 2)};
        *used |= 1ull << k;
        break;
    case KV_OP_TXN:
        op.txn = any_txn(a, o, depth + 1, used);
        break;
    }
    return op;
}

static struct kv_txn_request *any_txn(struct arena *a, const struct oracle *o, unsigned depth,
                                      uint64_t *used)
{
    struct kv_txn_request *t = arena_new(a, struct kv_txn_request);
    struct kv_compare *c = arena_array(a, struct kv_compare, 3);
    struct kv_op *then = arena_array(a, struct kv_op, 4),
                 *otherwise = arena_array(a, struct kv_op, 4);
    t->compares = c;
    t->then = then;
    t->otherwise = otherwise;
    t->compares_len = rng_below(&rng, 3);
    for (size_t i = 0; i < t->compares_len; i++)
        c[i] = any_compare(a, o);
    t->then_len = rng_below(&rng, 4);
    for (size_t i = 0; i < t->then_len; i++)
        then[i] = any_op(a, o, depth, used);
    t->otherwise_len = rng_below(&rng, 4);
    for (size_t i = 0; i < t->otherwise_len; i++)
        otherwise[i] = any_op(a, o, depth, used);
    return t;
}

/* ---- running one on both ---- */

/* Decide before anything is changed, in the order of the walk. */
typedef VEC(bool) decisions;

static void o_decide(const struct oracle *o, const struct kv_txn_request *t, decisions *d)
{
    bool then = true;
    for (size_t i = 0; i < t->compares_len; i++)
        then = then && o_compare(o, &t->compares[i]);
    vec_push(d, then);
    const struct kv_op *ops = then ? t->then : t->otherwise;
    for (size_t i = 0; i < (then ? t->then_len : t->otherwise_len); i++)
        if (ops[i].type == KV_OP_TXN)
            o_decide(o, ops[i].txn, d);
}

static void o_run(struct oracle *o, const struct kv_txn_request *t, const struct kv_txn_result *r,
                  const decisions *d, size_t *next, int64_t rev, bool *changed)
{
    bool then = d->items[(*next)++];
    CHECK(r->succeeded == then);
    const struct kv_op *ops = then ? t->then : t->otherwise;
    size_t n = then ? t->then_len : t->otherwise_len;
    CHECK(r->ops_len == n);
    for (size_t i = 0; i < n; i++) {
        const struct kv_op_result *out = &r->ops[i];
        CHECK(out->type == ops[i].type);
        if (ops[i].type == KV_OP_RANGE) {
            check_range(o, &ops[i].range, &out->range,
                        ops[i].range.rev ? ops[i].range.rev : INT64_MAX);
        } else if (ops[i].type == KV_OP_PUT) {
            const struct kv_pair *prev = o_get(o, ops[i].put.key, INT64_MAX);
            CHECK(out->put.has_prev == (prev && ops[i].put.prev_kv));
            if (out->put.has_prev)
                same_pair(&out->put.prev, prev, false);
            o_put(o, &ops[i].put, rev);
            *changed = true;
        } else if (ops[i].type == KV_OP_DELETE) {
            const struct kv_pair *prev = o_get(o, ops[i].del.key, INT64_MAX);
            if (ops[i].del.prev_kv && prev && !ops[i].del.end.n) {
                CHECK(out->del.prev_len == 1);
                same_pair(&out->del.prev[0], prev, false);
            }
            int64_t deleted = o_delete(o, ops[i].del.key, ops[i].del.end, rev);
            CHECK(out->del.deleted == deleted);
            *changed = *changed || deleted > 0;
        } else {
            o_run(o, ops[i].txn, out->txn, d, next, rev, changed);
        }
    }
}

static void run_txn(struct kv *kv, struct oracle *o, const struct kv_txn_request *t)
{
    struct kv_txn_result *r = kv_txn_wait(kv, t);
    if (r->code)
        fail_msg("seed %llu: txn: %d %s", (unsigned long long)seed_now, r->code, r->message);
    decisions d = {0};
    size_t next = 0;
    bool changed = false;
    o_decide(o, t, &d);
    o_run(o, t, r, &d, &next, o->rev + 1, &changed);
    o->rev += changed;
    CHECK(r->rev == o->rev);
    CHECK(kv_current_revision(kv) == o->rev);
    vec_free(&d);
    kv_txn_result_free(r);
}

static void compact(struct kv *kv, struct oracle *o)
{
    int64_t rev = 1 + (int64_t)rng_below(&rng, (uint64_t)o->rev);
    if (rng_below(&rng, 2))
        rev = MAX(o->compacted, 1) + (int64_t)rng_below(&rng, 10);
    int want = rev <= o->compacted ? ERR_COMPACTED : rev > o->rev ? KV_ERR_FUTURE_REV : 0;
    CHECK(store_compact(kv, rev, rng_below(&rng, 2)) == want);
    if (want == 0)
        o->compacted = rev;
}

static void one_range(struct kv *kv, const struct oracle *o, struct arena *a)
{
    struct kv_range_request q = any_range_request(o);
    struct kv_range_result r;
    struct error err = {0};
    if (rng_below(&rng, 10) == 0)
        q.rev = o->rev + 1;
    else if (rng_below(&rng, 10) == 0 && o->compacted > 1)
        q.rev = 1 + (int64_t)rng_below(&rng, (uint64_t)o->compacted - 1);
    int rc = kv_range(kv, &q, a, &r, &err);
    if (q.rev > o->rev) {
        CHECK(rc == KV_ERR_FUTURE_REV);
    } else if (q.rev && q.rev < o->compacted) {
        CHECK(rc == ERR_COMPACTED);
    } else {
        if (rc)
            fail_msg("seed %llu: range: %s", (unsigned long long)seed_now, err.message);
        check_range(o, &q, &r, q.rev ? q.rev : o->rev);
    }
}

/* Page by page at a fixed revision: the pages together are the whole. */
static void paged(struct kv *kv, const struct oracle *o, struct arena *a)
{
    struct kv_range_request q = {.no_count = true, .rev = o->rev};
    any_range(&q.key, &q.end);
    if (!q.end.n)
        return;
    pairs want = o_range(o, q.key, q.end, q.rev);
    size_t at = 0;
    for (;;) {
        struct kv_range_result r;
        struct error err;
        q.limit = rng_below(&rng, 2) ? 1 + (int64_t)rng_below(&rng, 5) : 0;
        q.bytes_max = rng_below(&rng, 2) ? 1 + rng_below(&rng, 3000) : 0;
        CHECK(kv_range(kv, &q, a, &r, &err) == 0);
        for (size_t i = 0; i < r.pairs_len; i++) {
            CHECK(at < want.len);
            same_pair(&r.pairs[i], &want.items[at++], false);
        }
        if (!r.more)
            break;
        CHECK(r.pairs_len > 0 && r.next.n > 0);
        q.key = r.next;
    }
    CHECK(at == want.len);
    vec_free(&want);
}

static struct kv *open_store(const char *dir)
{
    struct kv_options o = {
        .data_dir = dir, .map_bytes = 256u << 20, .quota_bytes = 200u << 20, .checkpoint_ms = 30};
    return store_open(&o);
}

static void run_seed(uint64_t seed, int steps)
{
    char dir[STORE_DIR_MAX];
    struct oracle o = {.rev = 1};
    struct arena a, scratch;
    seed_now = seed;
    rng_seed(&rng, seed);
    store_dir_make(dir, "oracle");
    arena_init(&o.arena);
    arena_init(&a);
    arena_init(&scratch);
    keys_init(&a);
    struct kv *kv = open_store(dir);
    for (int i = 0; i < 3; i++) {
        int code;
        store_grant(kv, leases[i], 100000, &code);
        assert_int_equal(code, 0);
    }
    for (int i = 0; i < steps; i++) {
        uint64_t used = 0, what = rng_below(&rng, 100);
        arena_reset(&scratch);
        if (what < 45) {
            run_txn(kv, &o, any_txn(&scratch, &o, 0, &used));
        } else if (what < 55) {
            struct kv_op op = {.type = KV_OP_DELETE, .del.prev_kv = rng_below(&rng, 2)};
            any_range(&op.del.key, &op.del.end);
            if (rng_below(&rng, 3)) /* not always nearly everything */
                op.del.end = STR_NONE;
            run_txn(kv, &o, &(struct kv_txn_request){.then = &op, .then_len = 1});
        } else if (what < 85) {
            one_range(kv, &o, &scratch);
        } else if (what < 95) {
            paged(kv, &o, &scratch);
        } else if (what < 99) {
            compact(kv, &o);
        } else {
            kv_close(kv);
            kv = open_store(dir);
            CHECK(kv_current_revision(kv) == o.rev);
            CHECK(kv_compacted_revision(kv) == o.compacted);
        }
    }
    /* Leases know their keys; revoking deletes them. */
    struct kv_lease_info info;
    struct error err;
    assert_int_equal(kv_lease_time_to_live(kv, leases[0], true, &scratch, &info, &err), 0);
    pairs all = o_range(&o, str_make("", 1), str_make("", 1), o.rev);
    size_t attached = 0;
    for (size_t i = 0; i < all.len; i++)
        attached += all.items[i].lease == leases[0];
    CHECK(info.keys_len == attached);
    vec_free(&all);
    uint32_t h1, h2;
    int64_t hr, hc;
    assert_int_equal(kv_hash(kv, 0, &h1, &hr, &hc, &err), 0);
    kv_close(kv);
    kv = open_store(dir);
    assert_int_equal(kv_hash(kv, 0, &h2, &hr, &hc, &err), 0);
    CHECK(h1 == h2 && hr == o.rev && hc == o.compacted);
    kv_close(kv);
    vec_free(&o.versions);
    arena_free(&o.arena);
    arena_free(&a);
    arena_free(&scratch);
    store_dir_remove(dir);
}

static void random_operations(void **state)
{
    (void)state;
    const char *s = getenv("C8S_SEED");
    uint64_t first = s ? strtoull(s, NULL, 0) : 1, n = s ? 1 : 6;
    for (uint64_t seed = first; seed < first + n; seed++)
        run_seed(seed, 700);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
