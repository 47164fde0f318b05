/*
 * Workload lease: each client grants a lease, puts a key with it, keeps it alive for a while, and then revokes it or
 * lets it go, all the time looking whether the key is there.
 */
#include "tests/robustness/check_lease.h"
#include "tests/robustness/load.h"

#include <inttypes.h>

struct life {
    int64_t id;
    char key[48];
    uint64_t ttl_ns;
    VEC(struct lease_op) ops;
};

struct leases {
    struct load *load;
    pthread_mutex_t lock;
    VEC(struct life) lives;
};

static void *create(struct load *l)
{
    struct leases *s = mem_zalloc(sizeof *s);
    s->load = l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void record(struct life *life, enum lease_kind kind, uint64_t start_ns, bool unknown)
{
    vec_push(&life->ops, (struct lease_op){.kind = kind,
                                           .unknown = unknown,
                                           .ttl_ns = life->ttl_ns,
                                           .start_ns = start_ns,
                                           .end_ns = clock_mono_ns()});
}

static bool grant(struct life *life, struct client *c)
{
    int64_t ttl, revision;
    struct arena arena;
    uint64_t start_ns = clock_mono_ns();
    if (!load_grant(c->channel, 2 + (int64_t)rng_below(&c->rng, 3), &life->id, &ttl))
        return false;
    life->ttl_ns = (uint64_t)ttl * NS_PER_S;
    record(life, LEASE_REFRESH, start_ns, false);
    snprintf(life->key, sizeof life->key, "rob/lease/%" PRIx64, life->id);
    arena_init(&arena);
    bool ok = load_put(c->channel, &arena, life->key, "here", life->id, &revision);
    arena_free(&arena);
    return ok; /* else nobody can say whether the key should be there */
}

static bool look(struct life *life, struct grpc_channel *ch, bool *there)
{
    const Etcdserverpb__RangeResponse *r;
    struct arena arena;
    uint64_t start_ns = clock_mono_ns();
    arena_init(&arena);
    bool ok = load_get(ch, &arena, life->key, false, false, 0, &r);
    if (ok) {
        *there = r->n_kvs > 0;
        record(life, *there ? LEASE_PRESENT : LEASE_ABSENT, start_ns, false);
    }
    arena_free(&arena);
    return ok;
}

static bool keep_alive(struct life *life, struct grpc_channel *ch)
{
    uint64_t start_ns = clock_mono_ns();
    int64_t ttl;
    if (!load_keep_alive(ch, life->id, &ttl))
        return false;
    if (ttl > 0)
        life->ttl_ns = (uint64_t)ttl * NS_PER_S;
    record(life, ttl > 0 ? LEASE_REFRESH : LEASE_GONE, start_ns, false);
    return true;
}

static void client(void *state, struct client *c)
{
    struct leases *s = state;
    struct life life = {0};
    bool there = true, ok = grant(&life, c);
    if (ok) {
        uint64_t now = clock_mono_ns(), keep_until = now + rng_below(&c->rng, 8) * NS_PER_S,
                 leave = keep_until + 8 * NS_PER_S;
        bool revoke = rng_below(&c->rng, 3) == 0;
        while (there && !s->load->stop && (now = clock_mono_ns()) < leave) {
            if (now < keep_until) {
                ok = keep_alive(&life, c->channel);
                *(ok ? &c->answered : &c->unanswered) += 1;
            } else if (revoke) {
                uint64_t start_ns = clock_mono_ns();
                ok = load_revoke(c->channel, life.id);
                record(&life, LEASE_REVOKE, start_ns, !ok);
                revoke = false;
            }
            ok = look(&life, c->channel, &there);
            *(ok ? &c->answered : &c->unanswered) += 1;
            load_pause(s->load, 100 + rng_below(&c->rng, 400));
        }
        pthread_mutex_lock(&s->lock);
        vec_push(&s->lives, life);
        pthread_mutex_unlock(&s->lock);
    } else {
        vec_free(&life.ops);
        c->unanswered++;
        load_pause(s->load, 200);
    }
}

static uint64_t gone_by(const struct load *l, const struct life *life)
{
    uint64_t last = l->stopped_ns;
    for (size_t i = 0; i < life->ops.len; i++)
        if (life->ops.items[i].kind == LEASE_REFRESH && life->ops.items[i].end_ns > last)
            last = life->ops.items[i].end_ns;
    return last + life->ttl_ns + EXPIRY_SLACK_S * NS_PER_S;
}

/* Look until it is gone, or for as long as it may be there. */
static void see_off(struct load *l, struct life *life, struct verdict *v)
{
    uint64_t limit = gone_by(l, life) + NS_PER_S,
             answers_by = clock_mono_ns() + FINISH_S * NS_PER_S;
    bool there = true, answered = false;
    while (there && (clock_mono_ns() < limit || !answered)) {
        answered = look(life, l->channels[0], &there);
        if (!answered && clock_mono_ns() > answers_by) {
            verdict_fail(v, "%s does not answer after the faults", l->urls[0]);
            return;
        }
        usleep(there ? 50000 : 0);
    }
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct leases *s = state;
    size_t kinds[LEASE_ABSENT + 1] = {0};
    for (size_t i = 0; i < s->lives.len; i++) {
        struct life *life = &s->lives.items[i];
        see_off(l, life, v);
        struct lease_history h = {.id = life->id,
                                  .ops = life->ops.items,
                                  .ops_len = life->ops.len,
                                  .gone_by_ns = gone_by(l, life)};
        if (!v->bad)
            check_lease(&h, v);
        for (size_t k = 0; k < life->ops.len; k++)
            kinds[life->ops.items[k].kind]++;
        vec_free(&life->ops);
    }
    snprintf(figures, figures_max,
             "%zu leases, %zu times refreshed, %zu revoked, seen there %zu times, gone %zu",
             s->lives.len, kinds[LEASE_REFRESH], kinds[LEASE_REVOKE], kinds[LEASE_PRESENT],
             kinds[LEASE_ABSENT]);
    vec_free(&s->lives);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

const struct workload lease_workload = {"lease", 2, 50000, create, client, finish};
