/*
 * The oracle (oracle.h).
 */
#include "oracle.h"

#include "base/mem.h"
#include "kvstore/proposal.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct oracle O;
static struct arena scratch; /* of one entry */

void oracle_init(void)
{
    O = (struct oracle){.rev = 1};
    arena_init(&O.arena);
    arena_init(&scratch);
    vec_push(&O.indexes, (struct oracle_index){0});                   /* 0: before the log */
    vec_push(&O.indexes, (struct oracle_index){.rev = 1, .term = 1}); /* the founding */
}

void oracle_free(void)
{
    arena_free(&O.arena);
    arena_free(&scratch);
    vec_free(&O.indexes);
    vec_free(&O.events);
    vec_free(&O.leases);
}

uint64_t oracle_last_index(void)
{
    return O.indexes.len - 1;
}

const struct oracle_index *oracle_after(uint64_t index)
{
    assert(index < O.indexes.len);
    return &O.indexes.items[index];
}

/* ---- reading ---- */

bool oracle_in_range(struct str key, struct str end, struct str k)
{
    if (end.n == 0)
        return str_eq(key, k);
    if (str_cmp(k, key) < 0 && !(key.n == 1 && key.p[0] == 0))
        return false;
    return (end.n == 1 && end.p[0] == 0) || str_cmp(k, end) < 0;
}

size_t oracle_event_at(int64_t rev)
{
    size_t lo = 0, hi = O.events.len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (O.events.items[mid].now.mod_rev < rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct kv_pair *)a)->key, ((const struct kv_pair *)b)->key);
}

typedef VEC(struct kv_pair) pairs;

/* Live pairs of [key, end) after the first `n` events. */
static void live(struct str key, struct str end, size_t n, pairs *out)
{
    for (size_t i = n; i-- > 0;) {
        const struct kv_pair *p = &O.events.items[i].now;
        if (!oracle_in_range(key, end, p->key))
            continue;
        bool newer = false;
        for (size_t k = 0; k < out->len && !newer; k++)
            newer = str_eq(out->items[k].key, p->key);
        if (!newer)
            vec_push(out, *p);
        if (end.n == 0)
            break;
    }
    size_t kept = 0;
    for (size_t i = 0; i < out->len; i++)
        if (out->items[i].version)
            out->items[kept++] = out->items[i];
    out->len = kept;
    if (kept > 1)
        qsort(out->items, kept, sizeof *out->items, by_key);
}

static void range_after(struct arena *a, const struct kv_range_request *q, size_t events,
                        struct kv_range_result *out)
{
    pairs p = {0};
    live(q->key, q->end, events, &p);
    out->count = (int64_t)p.len;
    size_t n = q->limit && (size_t)q->limit < p.len ? (size_t)q->limit : p.len;
    out->more = n < p.len;
    out->pairs_len = q->count_only ? 0 : n;
    out->pairs = arena_dup(a, p.items, n * sizeof *p.items);
    vec_free(&p);
}

void oracle_range(struct arena *a, const struct kv_range_request *q, int64_t rev,
                  struct kv_range_result *out)
{
    *out = (struct kv_range_result){.rev = rev};
    range_after(a, q, oracle_event_at(rev + 1), out);
}

static struct kv_pair newest(struct str key)
{
    pairs p = {0};
    live(key, STR_NONE, O.events.len, &p);
    struct kv_pair found = p.len ? p.items[0] : (struct kv_pair){0};
    vec_free(&p);
    return found;
}

struct oracle_lease *oracle_lease(int64_t id)
{
    for (size_t i = 0; i < O.leases.len; i++)
        if (O.leases.items[i].id == id)
            return &O.leases.items[i];
    return NULL;
}

static void lease_pairs(int64_t id, pairs *out)
{
    pairs all = {0};
    live(str_make("", 1), str_make("", 1), O.events.len, &all);
    for (size_t i = 0; i < all.len; i++)
        if (all.items[i].lease == id)
            vec_push(out, all.items[i]);
    vec_free(&all);
}

bool oracle_lease_has_keys(int64_t id)
{
    pairs p = {0};
    lease_pairs(id, &p);
    bool any = p.len > 0;
    vec_free(&p);
    return any;
}

/* ---- writing; the revision under way is O.rev + 1 ---- */

static struct str keep(struct str s)
{
    return str_make(arena_dup(&O.arena, s.p, s.n), s.n);
}

static void put(const struct kv_put *q, int64_t rev)
{
    struct kv_pair prev = newest(q->key);
    struct kv_pair p = {.key = keep(q->key),
                        .value = q->ignore_value ? prev.value : keep(q->value),
                        .create_rev = prev.version ? prev.create_rev : rev,
                        .mod_rev = rev,
                        .version = prev.version + 1,
                        .lease = q->ignore_lease ? prev.lease : q->lease};
    vec_push(&O.events, (struct oracle_event){p, prev});
}

static void delete_pairs(const pairs *p, int64_t rev)
{
    for (size_t i = 0; i < p->len; i++)
        vec_push(&O.events,
                 (struct oracle_event){{.key = p->items[i].key, .mod_rev = rev}, p->items[i]});
}

static bool relation(enum kv_compare_result r, int c)
{
    return r == KV_EQUAL ? c == 0 : r == KV_GREATER ? c > 0 : r == KV_LESS ? c < 0 : c != 0;
}

static bool compare_pair(const struct kv_compare *c, const struct kv_pair *p)
{
    const int64_t v[] = {p->version, p->create_rev, p->mod_rev, 0, p->lease};
    if (c->target == KV_COMPARE_VALUE)
        return relation(c->result, str_cmp(p->value, c->value));
    return relation(c->result, (v[c->target] > c->number) - (v[c->target] < c->number));
}

static bool compare(const struct kv_compare *c)
{
    pairs p = {0};
    static const struct kv_pair none;
    live(c->key, c->end, O.events.len, &p);
    bool all = p.len > 0 || (c->target != KV_COMPARE_VALUE && compare_pair(c, &none));
    for (size_t i = 0; i < p.len; i++)
        all = all && compare_pair(c, &p.items[i]);
    vec_free(&p);
    return all;
}

static bool compares(const struct kv_txn_request *t)
{
    for (size_t i = 0; i < t->compares_len; i++)
        if (!compare(&t->compares[i]))
            return false;
    return true;
}

/* What must hold before any of it runs. */
static int check(const struct kv_txn_request *t)
{
    bool then = compares(t);
    const struct kv_op *ops = then ? t->then : t->otherwise;
    size_t n = then ? t->then_len : t->otherwise_len;
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        const struct oracle_lease *l;
        if (ops[i].type == KV_OP_TXN)
            rc = check(ops[i].txn);
        else if (ops[i].type == KV_OP_RANGE && ops[i].range.rev > O.rev)
            rc = KV_ERR_FUTURE_REV;
        else if (ops[i].type == KV_OP_RANGE && ops[i].range.rev && ops[i].range.rev < O.compact_rev)
            rc = ERR_COMPACTED;
        else if (ops[i].type == KV_OP_PUT && ops[i].put.lease &&
                 (!(l = oracle_lease(ops[i].put.lease)) || !l->live))
            rc = KV_ERR_LEASE_NOT_FOUND;
        else if (ops[i].type == KV_OP_PUT && (ops[i].put.ignore_value || ops[i].put.ignore_lease) &&
                 !newest(ops[i].put.key).version)
            rc = KV_ERR_KEY_NOT_FOUND;
        if (rc)
            return rc;
    }
    return 0;
}

/* Branches are decided before anything is changed, as the store does. */
static void decide(const struct kv_txn_request *t, bool *branches, size_t *n)
{
    bool then = compares(t);
    const struct kv_op *ops = then ? t->then : t->otherwise;
    size_t len = then ? t->then_len : t->otherwise_len;
    branches[(*n)++] = then;
    for (size_t i = 0; i < len; i++)
        if (ops[i].type == KV_OP_TXN)
            decide(ops[i].txn, branches, n);
}

static void run(const struct kv_txn_request *t, const bool **branch, struct kv_txn_result *out)
{
    bool then = *(*branch)++;
    const struct kv_op *ops = then ? t->then : t->otherwise;
    size_t n = then ? t->then_len : t->otherwise_len;
    out->succeeded = then;
    out->ops = arena_array(&scratch, struct kv_op_result, n);
    out->ops_len = n;
    for (size_t i = 0; i < n; i++) {
        struct kv_op_result *r = &out->ops[i];
        r->type = ops[i].type;
        pairs p = {0};
        switch (ops[i].type) {
        case KV_OP_RANGE:
            range_after(&scratch, &ops[i].range,
                        ops[i].range.rev ? oracle_event_at(ops[i].range.rev + 1) : O.events.len,
                        &r->range);
            /* Changed so far: the revision of this transaction. */
            r->range.rev = O.events.len > oracle_event_at(O.rev + 1) ? O.rev + 1 : O.rev;
            break;
        case KV_OP_PUT:
            r->put.prev = newest(ops[i].put.key);
            r->put.has_prev = ops[i].put.prev_kv && r->put.prev.version;
            put(&ops[i].put, O.rev + 1);
            break;
        case KV_OP_DELETE:
            live(ops[i].del.key, ops[i].del.end, O.events.len, &p);
            delete_pairs(&p, O.rev + 1);
            r->del.deleted = (int64_t)p.len;
            if (ops[i].del.prev_kv) {
                r->del.prev = arena_dup(&scratch, p.items, p.len * sizeof *p.items);
                r->del.prev_len = p.len;
            }
            vec_free(&p);
            break;
        case KV_OP_TXN:
            r->txn = arena_new(&scratch, struct kv_txn_result);
            run(ops[i].txn, branch, r->txn);
            break;
        }
    }
}

static void stamp(struct kv_txn_result *r, int64_t rev)
{
    r->rev = rev;
    for (size_t i = 0; i < r->ops_len; i++)
        if (r->ops[i].type == KV_OP_TXN)
            stamp(r->ops[i].txn, rev);
}

static void end_revision(size_t events_before)
{
    if (O.events.len > events_before)
        O.rev++;
}

static void apply_txn(const struct kv_txn_request *t, uint64_t index)
{
    struct kv_txn_result r = {.message = ""};
    bool branches[64];
    const bool *branch = branches;
    size_t before = O.events.len, n = 0;
    r.code = check(t);
    if (r.code == 0) {
        decide(t, branches, &n);
        assert(n <= ARRAY_LEN(branches));
        run(t, &branch, &r);
    }
    end_revision(before);
    if (r.code == 0)
        stamp(&r, O.rev);
    else
        r.rev = O.rev;
    uint64_t op = client_op_of(t);
    if (op)
        client_applied(op, index, &r);
}

static void revoke(int64_t id, bool expired)
{
    struct oracle_lease *l = oracle_lease(id);
    if (!l || !l->live)
        return;
    pairs p = {0};
    size_t before = O.events.len;
    lease_pairs(id, &p);
    delete_pairs(&p, O.rev + 1);
    vec_free(&p);
    end_revision(before);
    l->live = false;
    l->ended_us = W.now;
    if (expired)
        counts.expired++;
    if (l->good_until_us > W.now && !l->client_revoked)
        broken("lease %lld ends %llu ms before the time that a client was promised", (long long)id,
               (unsigned long long)((l->good_until_us - W.now) / MS));
}

static void apply(struct member *m, const struct raft_entry *e)
{
    struct proposal q;
    struct error err;
    arena_reset(&scratch);
    if (proposal_decode(raft_entry_payload(e), &scratch, &q, &err) < 0)
        broken("member %u: entry %llu: %s", m->number, (unsigned long long)e->index, err.message);
    switch (q.kind) {
    case PROPOSAL_TXN:
        apply_txn(&q.txn, e->index);
        break;
    case PROPOSAL_LEASE_GRANT:
        if (!oracle_lease(q.lease.id))
            vec_push(&O.leases, (struct oracle_lease){.id = q.lease.id, .renewed_us = W.now});
        if (!oracle_lease(q.lease.id)->live) {
            oracle_lease(q.lease.id)->live = true;
            oracle_lease(q.lease.id)->ttl_s = q.lease.ttl_s;
        }
        break;
    case PROPOSAL_LEASE_REVOKE:
        revoke(q.lease.id, false);
        break;
    case PROPOSAL_LEASE_EXPIRE:
        if (e->term == q.expire.term)
            revoke(q.expire.id, true);
        break;
    case PROPOSAL_COMPACT:
        if (q.compact_rev > O.compact_rev && q.compact_rev <= O.rev)
            O.compact_rev = q.compact_rev;
        break;
    default:
        break; /* changes no key and no revision: checked by the revision after each entry */
    }
}

static uint64_t content_of(const struct raft_entry *e)
{
    uint64_t h = 0xcbf29ce484222325ull + (uint64_t)e->kind;
    for (size_t i = 0; e->data && i < e->data->len; i++)
        h = (h ^ (uint8_t)e->data->data[i]) * 0x100000001b3ull;
    return h | 1;
}

void oracle_entry(struct member *m, const struct raft_entry *e)
{
    uint64_t content = content_of(e);
    if (e->index < O.indexes.len) {
        const struct oracle_index *known = &O.indexes.items[e->index];
        if (known->content != content || known->term != e->term)
            broken("state-machine safety: member %u applies another entry %llu", m->number,
                   (unsigned long long)e->index);
        return;
    }
    if (e->index != O.indexes.len)
        broken("member %u applies entry %llu, nobody has applied %zu", m->number,
               (unsigned long long)e->index, O.indexes.len);
    if (e->kind == RAFT_ENTRY_DATA)
        apply(m, e);
    vec_push(&O.indexes, (struct oracle_index){content, e->term, O.rev, O.compact_rev});
}

void oracle_config(struct member *m, uint64_t index, const struct raft_config *config)
{
    if (index == O.config_index && !raft_config_equal(config, &O.config))
        broken("member %u has another configuration after entry %llu", m->number,
               (unsigned long long)index);
    if (index <= O.config_index)
        return;
    seats_configured(config, index);
    O.config = *config;
    O.config_index = index;
    trace("entry %llu: %u voters, %u learners", (unsigned long long)index, config->voters.len,
          config->learners.len);
}

/* ---- what a client can see, as a number ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t mix_str(uint64_t h, struct str s)
{
    h = mix(h, s.n);
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3ull;
    return h;
}

static uint64_t mix_pair(uint64_t h, const struct kv_pair *p)
{
    h = mix_str(mix_str(h, p->key), p->value);
    h = mix(mix(h, (uint64_t)p->create_rev), (uint64_t)p->mod_rev);
    return mix(mix(h, (uint64_t)p->version), (uint64_t)p->lease);
}

uint64_t range_digest(const struct kv_range_result *r)
{
    uint64_t h = mix(mix(mix(1, (uint64_t)r->count), r->more), r->pairs_len);
    for (size_t i = 0; i < r->pairs_len; i++)
        h = mix_pair(h, &r->pairs[i]);
    return mix(h, (uint64_t)r->rev);
}

uint64_t result_digest(const struct kv_txn_result *r)
{
    uint64_t h = mix(mix(mix(2, r->succeeded), (uint64_t)r->rev), r->ops_len);
    for (size_t i = 0; i < r->ops_len; i++) {
        const struct kv_op_result *o = &r->ops[i];
        h = mix(h, o->type);
        switch (o->type) {
        case KV_OP_RANGE:
            h = mix(h, range_digest(&o->range));
            break;
        case KV_OP_PUT:
            h = mix(h, o->put.has_prev);
            if (o->put.has_prev)
                h = mix_pair(h, &o->put.prev);
            break;
        case KV_OP_DELETE:
            h = mix(mix(h, (uint64_t)o->del.deleted), o->del.prev_len);
            for (size_t k = 0; k < o->del.prev_len; k++)
                h = mix_pair(h, &o->del.prev[k]);
            break;
        case KV_OP_TXN:
            h = mix(h, result_digest(o->txn));
            break;
        }
    }
    return h;
}

void result_print(const char *who, const struct kv_txn_result *r)
{
    trace("%s: code %d, revision %lld, succeeded %d, %zu operations", who, r->code,
          (long long)r->rev, r->succeeded, r->ops_len);
    for (size_t i = 0; i < r->ops_len; i++) {
        const struct kv_op_result *o = &r->ops[i];
        if (o->type == KV_OP_RANGE)
            trace("   range: revision %lld count %lld more %d pairs %zu", (long long)o->range.rev,
                  (long long)o->range.count, o->range.more, o->range.pairs_len);
        else if (o->type == KV_OP_PUT)
            trace("   put: prev %d of %lld", o->put.has_prev, (long long)o->put.prev.mod_rev);
        else if (o->type == KV_OP_DELETE)
            trace("   delete: %lld, prev %zu", (long long)o->del.deleted, o->del.prev_len);
        else
            result_print("   nested", o->txn);
    }
}
