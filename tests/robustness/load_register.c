/*
 * Workload register: single keys are put, read, compared-and-swapped and deleted. Judged twice: by the search
 * for an order that believes no revision, and by the revisions.
 */
#include "tests/partition/linearizability.h"
#include "tests/robustness/check_revisions.h"
#include "tests/robustness/load.h"

#include <inttypes.h>

#define KEYS 6 /* of a generation */

struct registers {
    struct load *load;
    pthread_mutex_t lock;
    VEC(struct rev_op) ops;
};

static void *create(struct load *l)
{
    struct registers *s = mem_zalloc(sizeof *s);
    s->load = l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void key_name(uint32_t key, char out[static 48])
{
    snprintf(out, 48, "rob/register/%u", key);
}

static void see(struct rev_op *op, const Etcdserverpb__RangeResponse *r)
{
    op->kind = REV_GET;
    op->value = op->expected = 0;
    if (r->n_kvs == 1) {
        op->value = load_number(&r->kvs[0]->value);
        op->mod = r->kvs[0]->mod_revision;
        op->create = r->kvs[0]->create_revision;
        op->version = r->kvs[0]->version;
    }
}

static bool do_get(struct grpc_channel *ch, struct arena *arena, const char *key, struct rev_op *op)
{
    const Etcdserverpb__RangeResponse *r;
    if (!load_get(ch, arena, key, false, op->serializable, 0, &r))
        return false;
    op->revision = r->header->revision;
    see(op, r);
    return true;
}

static bool do_delete(struct grpc_channel *ch, struct arena *arena, const char *key,
                      struct rev_op *op)
{
    int64_t deleted;
    if (!load_delete(ch, arena, key, &op->revision, &deleted))
        return false;
    if (deleted == 0)
        op->kind = REV_GET; /* no more than a look */
    return true;
}

/* Swap what was seen last for a new value; when it is not there any more, the answer is a read. */
static bool do_cas(struct grpc_channel *ch, struct arena *arena, const char *key, const char *value,
                   struct rev_op *op)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    const Etcdserverpb__TxnResponse *r;
    char expected[32];
    snprintf(expected, sizeof expected, "%" PRIu64, op->expected);
    Etcdserverpb__Compare *c =
        op->expected ? txn_value_is(arena, key, expected) : txn_create_is(arena, key, 0);
    Etcdserverpb__RequestOp *then = txn_put(arena, key, value, 0), *otherwise = txn_get(arena, key);
    q.n_compare = q.n_success = q.n_failure = 1;
    q.compare = &c;
    q.success = &then;
    q.failure = &otherwise;
    if (!load_txn(ch, arena, &q, &r))
        return false;
    op->revision = r->header->revision;
    if (!r->succeeded)
        see(op, r->responses[0]->response_range);
    return true;
}

static void record(struct registers *s, struct client *c, struct rev_op op, bool answered)
{
    op.end_ns = clock_mono_ns();
    op.unknown = !answered;
    *(answered ? &c->answered : &c->unanswered) += 1;
    if (!answered && op.kind == REV_GET)
        return; /* a read without an answer says nothing */
    pthread_mutex_lock(&s->lock);
    vec_push(&s->ops, op);
    pthread_mutex_unlock(&s->lock);
}

/* What a key was seen to hold last, by anybody: what a cas has a chance with. */
static uint64_t last_seen(struct registers *s, uint32_t key)
{
    uint64_t value = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = s->ops.len; i-- > 0 && i + 200 > s->ops.len;)
        if (s->ops.items[i].key == key && !s->ops.items[i].unknown) {
            value = s->ops.items[i].value;
            break;
        }
    pthread_mutex_unlock(&s->lock);
    return value;
}

static void client(void *state, struct client *c)
{
    struct registers *s = state;
    struct arena arena;
    char key[48], value[32];
    bool ok;
    struct rev_op op = {.client = c->number,
                        .key =
                            load_generation(s->load) * KEYS + (uint32_t)rng_below(&c->rng, KEYS)};
    arena_init(&arena);
    key_name(op.key, key);
    op.value = load_value(s->load);
    snprintf(value, sizeof value, "%" PRIu64, op.value);
    uint64_t dice = rng_below(&c->rng, 100), seen = last_seen(s, op.key);
    op.start_ns = clock_mono_ns();
    if (dice < 30) {
        op.kind = REV_PUT;
        ok = load_put(c->channel, &arena, key, value, 0, &op.revision);
    } else if (dice < 60) {
        op.kind = REV_CAS;
        op.expected = seen;
        ok = do_cas(c->channel, &arena, key, value, &op);
    } else if (dice < 66) {
        op.kind = REV_DELETE;
        op.value = 0;
        ok = do_delete(c->channel, &arena, key, &op);
    } else {
        op.kind = REV_GET;
        op.serializable = dice >= 92 || s->load->stale_reads;
        ok = do_get(c->channel, &arena, key, &op);
        if (s->load->stale_reads)
            op.serializable = false; /* must be found out */
    }
    record(s, c, op, ok);
    arena_free(&arena);
}

/* Every key as every member has it now. */
static bool final_reads(struct registers *s, struct load *l, struct verdict *v)
{
    uint32_t keys = (load_generation(l) + 1) * KEYS, first = keys > 4 * KEYS ? keys - 4 * KEYS : 0;
    uint64_t deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    for (int m = 0; m < l->members; m++)
        for (uint32_t k = first; k < keys; k++) {
            struct rev_op op = {.key = k, .kind = REV_GET};
            char key[48];
            bool ok = false;
            key_name(k, key);
            while (!ok && clock_mono_ns() < deadline) {
                struct arena arena;
                arena_init(&arena);
                op.start_ns = clock_mono_ns();
                ok = do_get(l->channels[m], &arena, key, &op);
                arena_free(&arena);
            }
            op.end_ns = clock_mono_ns();
            if (!ok)
                return verdict_fail(v, "%s does not answer after the faults", l->urls[m]);
            vec_push(&s->ops, op);
        }
    return true;
}

/* The same history without revisions, for the search. */
static void check_order(const struct registers *s, struct verdict *v, bool *gave_up)
{
    VEC(struct history_op) history = {0};
    for (size_t i = 0; i < s->ops.len; i++) {
        const struct rev_op *o = &s->ops.items[i];
        struct history_op h = {.key = o->key,
                               .client = o->client,
                               .b = o->value,
                               .a = o->expected,
                               .unknown = o->unknown,
                               .start_ns = o->start_ns,
                               .end_ns = o->end_ns,
                               .succeeded = true};
        h.kind = o->kind == REV_GET ? HISTORY_GET : o->kind == REV_CAS ? HISTORY_CAS : HISTORY_PUT;
        if (!o->serializable)
            vec_push(&history, h);
    }
    struct history_verdict found;
    history_check(history.items, history.len, &found);
    *gave_up = found.gave_up;
    if (!found.linearizable && !found.gave_up)
        verdict_fail(
            v, "key %u is not linearizable: no order passes client %u's operation (b=%" PRIu64 ")",
            found.key, found.op.client, found.op.b);
    vec_free(&history);
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct registers *s = state;
    bool gave_up = false;
    size_t unknown = 0;
    if (final_reads(s, l, v)) {
        check_order(s, v, &gave_up);
        if (!v->bad)
            check_revisions(s->ops.items, s->ops.len, v);
    }
    for (size_t i = 0; i < s->ops.len; i++)
        unknown += s->ops.items[i].unknown;
    snprintf(figures, figures_max, "%zu operations, %zu of them writes without an answer%s",
             s->ops.len, unknown, gave_up ? " (the search without revisions grew too long)" : "");
    vec_free(&s->ops);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

const struct workload register_workload = {"register", 2, 20000, create, client, finish};
