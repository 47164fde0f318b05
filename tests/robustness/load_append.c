/*
 * Workload append: transactions that read several lists and append to some of them.
 *
 * A list is a key whose value is its elements in text. A transaction reads all its keys first (one transaction
 * of ranges, sometimes serializable, so possibly stale), then writes those it appends to, on condition that none of
 * the keys has changed since (mod revisions compared): so what it read is judged as read at the second
 * step. One without appends is only the first step, linearizable.
 */
#include "tests/robustness/check_append.h"
#include "tests/robustness/load.h"

#include <inttypes.h>
#include <stdlib.h>

#define KEYS 5 /* of a generation */
#define OPS_MAX 4

struct appends {
    struct load *load;
    pthread_mutex_t lock;
    VEC(struct append_txn) txns;
};

static void *create(struct load *l)
{
    struct appends *s = mem_zalloc(sizeof *s);
    s->load = l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* What one transaction is about; each key once. */
struct attempt {
    struct arena arena;
    size_t len, appends;
    uint32_t keys[OPS_MAX];
    char *names[OPS_MAX];
    bool append[OPS_MAX];
    uint64_t values[OPS_MAX];
    int64_t mods[OPS_MAX];
    char *texts[OPS_MAX]; /* the lists read */
};

static void choose(struct attempt *a, struct appends *s, struct rng *rng)
{
    uint32_t base = load_generation(s->load) * KEYS, used = 0;
    size_t wanted = 1 + rng_below(rng, OPS_MAX);
    bool read_only = rng_below(rng, 3) == 0;
    while (a->len < wanted) {
        uint32_t key = (uint32_t)rng_below(rng, KEYS);
        if (used & (1u << key))
            continue;
        used |= 1u << key;
        a->keys[a->len] = base + key;
        a->names[a->len] = arena_printf(&a->arena, "rob/append/%u", base + key);
        a->append[a->len] = !read_only && rng_below(rng, 2);
        a->values[a->len] = load_value(s->load);
        a->appends += a->append[a->len];
        a->len++;
    }
}

static bool read_lists(struct attempt *a, struct grpc_channel *ch, bool serializable)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    const Etcdserverpb__TxnResponse *r;
    Etcdserverpb__RequestOp *ops[OPS_MAX];
    for (size_t i = 0; i < a->len; i++) {
        ops[i] = txn_get(&a->arena, a->names[i]);
        ops[i]->request_range->serializable = serializable;
    }
    q.n_success = a->len;
    q.success = ops;
    if (!load_txn(ch, &a->arena, &q, &r))
        return false;
    for (size_t i = 0; i < a->len; i++) {
        const Etcdserverpb__RangeResponse *range = r->responses[i]->response_range;
        bool there = range->n_kvs == 1;
        a->mods[i] = there ? range->kvs[0]->mod_revision : 0;
        a->texts[i] = there ? arena_strndup(&a->arena, (const char *)range->kvs[0]->value.data,
                                            range->kvs[0]->value.len)
                            : arena_strdup(&a->arena, "");
    }
    return true;
}

/* *committed: the condition held. */
static bool write_lists(struct attempt *a, struct grpc_channel *ch, bool *committed)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    const Etcdserverpb__TxnResponse *r;
    Etcdserverpb__Compare *compares[OPS_MAX];
    Etcdserverpb__RequestOp *ops[OPS_MAX];
    for (size_t i = 0; i < a->len; i++) {
        compares[i] = txn_mod_is(&a->arena, a->names[i], a->mods[i]);
        if (a->append[i])
            ops[q.n_success++] =
                txn_put(&a->arena, a->names[i],
                        arena_printf(&a->arena, "%s%" PRIu64 " ", a->texts[i], a->values[i]), 0);
    }
    q.n_compare = a->len;
    q.compare = compares;
    q.success = ops;
    if (!load_txn(ch, &a->arena, &q, &r))
        return false;
    *committed = r->succeeded;
    return true;
}

static struct append_op read_op(uint32_t key, const char *text)
{
    size_t n = 0;
    struct append_op o = {.key = key};
    for (const char *p = text; *p; p++)
        n += *p == ' ';
    uint64_t *list = mem_alloc((n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = strtoull(text, (char **)&text, 10);
    o.list = list;
    o.list_len = n;
    return o;
}

static void record(struct appends *s, const struct attempt *a, struct append_txn t)
{
    struct append_op *ops = mem_zalloc(2 * OPS_MAX * sizeof *ops);
    for (size_t i = 0; i < a->len; i++)
        ops[t.ops_len++] = read_op(a->keys[i], a->texts[i]);
    for (size_t i = 0; i < a->len; i++)
        if (a->append[i])
            ops[t.ops_len++] =
                (struct append_op){.append = true, .key = a->keys[i], .value = a->values[i]};
    t.ops = ops;
    t.end_ns = clock_mono_ns();
    pthread_mutex_lock(&s->lock);
    vec_push(&s->txns, t);
    pthread_mutex_unlock(&s->lock);
}

static void client(void *state, struct client *c)
{
    struct appends *s = state;
    struct attempt a = {.len = 0};
    arena_init(&a.arena);
    choose(&a, s, &c->rng);
    struct append_txn t = {.client = c->number, .start_ns = clock_mono_ns()};
    bool stale = s->load->stale_reads || (a.appends && rng_below(&c->rng, 2));
    bool ok = read_lists(&a, c->channel, stale);
    if (ok && a.appends) {
        bool committed = false;
        t.start_ns = clock_mono_ns();
        ok = write_lists(&a, c->channel, &committed);
        t.outcome = !ok ? APPEND_UNKNOWN : committed ? APPEND_COMMITTED : APPEND_ABORTED;
        record(s, &a, t);
    } else if (ok) {
        record(s, &a, t);
    }
    *(ok ? &c->answered : &c->unanswered) += 1;
    arena_free(&a.arena);
}

/* All lists of a generation in one transaction, from one member. */
static bool final_read(struct appends *s, struct grpc_channel *ch, uint32_t generation)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        struct attempt a = {.len = 1, .keys = {generation * KEYS + key}};
        arena_init(&a.arena);
        a.names[0] = arena_printf(&a.arena, "rob/append/%u", a.keys[0]);
        struct append_txn t = {.start_ns = clock_mono_ns()};
        bool ok = read_lists(&a, ch, false);
        if (ok)
            record(s, &a, t);
        arena_free(&a.arena);
        if (!ok)
            return false;
    }
    return true;
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct appends *s = state;
    size_t outcomes[3] = {0};
    uint64_t deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    uint32_t generations = load_generation(l) + 1;
    for (int m = 0; m < l->members; m++)
        for (uint32_t g = 0; g < generations && !v->bad; g++)
            while (!final_read(s, l->channels[m], g))
                if (clock_mono_ns() > deadline) {
                    verdict_fail(v, "%s does not answer after the faults", l->urls[m]);
                    break;
                }
    if (!v->bad)
        check_append(s->txns.items, s->txns.len, v);
    for (size_t i = 0; i < s->txns.len; i++) {
        outcomes[s->txns.items[i].outcome]++;
        for (size_t k = 0; k < s->txns.items[i].ops_len; k++)
            mem_free((void *)s->txns.items[i].ops[k].list);
        mem_free((void *)s->txns.items[i].ops);
    }
    snprintf(figures, figures_max, "%zu transactions committed, %zu refused, %zu without an answer",
             outcomes[APPEND_COMMITTED], outcomes[APPEND_ABORTED], outcomes[APPEND_UNKNOWN]);
    vec_free(&s->txns);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

const struct workload append_workload = {"append", 1, 20000, create, client, finish};
