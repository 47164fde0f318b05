/*
 * Answering range requests: collect, filter, sort, cut (kvstore/mvcc.h).
 */
#include "kvstore/mvcc.h"
#include "base/mem.h"
#include <assert.h>
#include <stdlib.h>

int range_request_check(const struct kv_range_request *r, struct error *err)
{
    if (r->key.n == 0)
        return error_set(err, ERR_INVALID, "key is not provided");
    if (r->rev < -1 || r->limit < 0 || r->min_mod_rev < 0 || r->max_mod_rev < 0 ||
        r->min_create_rev < 0 || r->max_create_rev < 0)
        return error_set(err, ERR_INVALID,
                         "revision, limit and revision bounds must not be negative");
    if (r->sort_target > KV_SORT_VALUE || r->sort_order > KV_SORT_DESCEND)
        return error_set(err, ERR_INVALID, "invalid sort option");
    return 0;
}

static bool has_filter(const struct kv_range_request *r)
{
    return r->min_mod_rev || r->max_mod_rev || r->min_create_rev || r->max_create_rev;
}

static bool needs_sort(const struct kv_range_request *r)
{
    return r->sort_target != KV_SORT_KEY || r->sort_order == KV_SORT_DESCEND;
}

/* Sort what the limit leaves, not limit what is sorted. */
static bool limits_first(const struct kv_range_request *r)
{
    return needs_sort(r) && r->sort_order == KV_SORT_NONE && !has_filter(r);
}

void range_collector_init(struct range_collector *c, const struct kv_range_request *request,
                          struct arena *arena, size_t bytes_max, struct kv_range_result *out)
{
    *c = (struct range_collector){.request = request, .arena = arena, .out = out};
    c->fail_past_max = request->bytes_max == 0;
    c->bytes_max = request->bytes_max ? MIN(request->bytes_max, bytes_max) : bytes_max;
    c->everything = has_filter(request) || (needs_sort(request) && !limits_first(request));
    c->take = (size_t)request->limit + limits_first(request);
    c->sort_values = needs_sort(request) && request->sort_target == KV_SORT_VALUE;
    out->pairs = NULL;
    out->pairs_len = 0;
    out->more = false;
    out->count = 0;
    out->next = STR_NONE;
}

static void pair_add(struct range_collector *c, struct str key, const struct kv_record *r)
{
    struct kv_range_result *out = c->out;
    if (out->pairs_len == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 4;
        out->pairs =
            arena_grow(c->arena, out->pairs, c->cap * sizeof *out->pairs, cap * sizeof *out->pairs);
        c->cap = cap;
    }
    struct kv_pair p = mvcc_pair(key, r);
    p.key.p = arena_dup(c->arena, key.p, key.n);
    if (c->request->keys_only && !c->sort_values)
        p.value = STR_NONE;
    else
        p.value.p = arena_dup(c->arena, p.value.p, p.value.n);
    out->pairs[out->pairs_len++] = p;
}

static bool passes(const struct kv_range_request *q, const struct kv_record *r)
{
    return (!q->min_mod_rev || r->id.rev >= q->min_mod_rev) &&
           (!q->max_mod_rev || r->id.rev <= q->max_mod_rev) &&
           (!q->min_create_rev || r->create_rev >= q->min_create_rev) &&
           (!q->max_create_rev || r->create_rev <= q->max_create_rev);
}

int range_collect(void *ctx, struct str key, const struct kv_record *r)
{
    struct range_collector *c = ctx;
    const struct kv_range_request *q = c->request;
    if (c->full || q->count_only) {
        c->count++;
        return 0;
    }
    if (!passes(q, r)) {
        c->count++;
        return 0;
    }
    size_t size = sizeof(struct kv_pair) + key.n + (q->keys_only ? 0 : r->value.n);
    bool limit_reached = !c->everything && q->limit && c->out->pairs_len == c->take;
    bool too_big = c->bytes + size > c->bytes_max && (c->fail_past_max || c->out->pairs_len > 0);
    if (!limit_reached && too_big && (c->fail_past_max || c->everything))
        return KV_ERR_RESPONSE_TOO_LARGE;
    if (limit_reached || too_big) {
        c->full = true;
        c->count++;
        c->out->more = true;
        if (!c->everything)
            c->out->next = str_make(arena_dup(c->arena, key.p, key.n), key.n);
        return q->no_count ? 1 : 0;
    }
    c->bytes += size;
    c->count++;
    pair_add(c, key, r);
    return 0;
}

static int cmp_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int pair_cmp(const void *pa, const void *pb, void *ctx)
{
    const struct kv_range_request *q = ctx;
    const struct kv_pair *a = pa, *b = pb;
    int d = 0;
    switch (q->sort_target) {
    case KV_SORT_KEY:
        d = str_cmp(a->key, b->key);
        break;
    case KV_SORT_VERSION:
        d = cmp_i64(a->version, b->version);
        break;
    case KV_SORT_CREATE:
        d = cmp_i64(a->create_rev, b->create_rev);
        break;
    case KV_SORT_MOD:
        d = cmp_i64(a->mod_rev, b->mod_rev);
        break;
    case KV_SORT_VALUE:
        d = str_cmp(a->value, b->value);
        break;
    }
    /* Equals stay in the order of their keys, both ways. */
    return d == 0 ? str_cmp(a->key, b->key) : q->sort_order == KV_SORT_DESCEND ? -d : d;
}

void range_collector_finish(struct range_collector *c)
{
    const struct kv_range_request *q = c->request;
    struct kv_range_result *out = c->out;
    out->count = c->count;
    if (needs_sort(q) && out->pairs_len > 1)
        qsort_r(out->pairs, out->pairs_len, sizeof *out->pairs, pair_cmp, (void *)q);
    if (q->keys_only && c->sort_values)
        for (size_t i = 0; i < out->pairs_len; i++)
            out->pairs[i].value = STR_NONE;
    if (q->limit && out->pairs_len > (size_t)q->limit) {
        out->pairs_len = (size_t)q->limit;
        out->more = true;
    }
}
