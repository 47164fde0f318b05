/*
 * Workload lock: a lock is a key that exists while somebody holds it, bound to the holder's lease; its create revision is
 * the fencing token. Holders write to one register, each write on condition that their key is still there.
 */
#include "tests/robustness/check_lock.h"
#include "tests/robustness/load.h"

#include <inttypes.h>

#define LOCK_KEY "rob/lock/holder"
#define DATA_KEY "rob/lock/data"

struct locks {
    struct load *load;
    pthread_mutex_t lock;
    size_t refused; /* guarded writes that came too late */
    VEC(struct lock_hold) holds;
    VEC(struct lock_write) writes;
};

static void *create(struct load *l)
{
    struct locks *s = mem_zalloc(sizeof *s);
    s->load = l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Put `key` or delete it if the lock's create revision is `token` (0: nobody has it). */
static bool guarded(struct client *c, int64_t token, const char *key, const char *value,
                    int64_t lease, bool *succeeded, int64_t *revision)
{
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    const Etcdserverpb__TxnResponse *r;
    struct arena arena;
    arena_init(&arena);
    Etcdserverpb__Compare *compare = txn_create_is(&arena, LOCK_KEY, token);
    Etcdserverpb__RequestOp *op =
        value ? txn_put(&arena, key, value, lease) : txn_delete(&arena, key);
    q.n_compare = q.n_success = 1;
    q.compare = &compare;
    q.success = &op;
    bool ok = load_txn(c->channel, &arena, &q, &r);
    if (ok) {
        *succeeded = r->succeeded;
        *revision = r->header->revision;
    }
    *(ok ? &c->answered : &c->unanswered) += 1;
    arena_free(&arena);
    return ok;
}

/* True when the lock is held; `hold` then says by which token and, so far, until when. */
static bool acquire(struct client *c, int64_t lease, uint64_t refreshed_ns, uint64_t ttl_ns,
                    struct lock_hold *hold)
{
    bool succeeded;
    int64_t token;
    if (!guarded(c, 0, LOCK_KEY, "held", lease, &succeeded, &token) || !succeeded)
        return false;
    *hold = (struct lock_hold){.client = c->number,
                               .token = token,
                               .from_ns = clock_mono_ns(),
                               .until_ns = refreshed_ns + ttl_ns};
    return true;
}

/* Write some, keeping the lease alive or, sometimes, not; then release, or walk away. */
static void hold_it(struct locks *s, struct client *c, int64_t lease, struct lock_hold *hold)
{
    char value[32];
    bool careless = rng_below(&c->rng, 4) == 0, succeeded = true;
    for (uint64_t n = 1 + rng_below(&c->rng, 6); n > 0 && succeeded; n--) {
        int64_t revision, ttl;
        snprintf(value, sizeof value, "%" PRId64, hold->token);
        if (guarded(c, hold->token, DATA_KEY, value, 0, &succeeded, &revision)) {
            pthread_mutex_lock(&s->lock);
            if (succeeded)
                vec_push(&s->writes, (struct lock_write){hold->token, revision});
            else
                s->refused++;
            pthread_mutex_unlock(&s->lock);
        }
        uint64_t now = clock_mono_ns();
        if (!careless && load_keep_alive(c->channel, lease, &ttl) && ttl > 0)
            hold->until_ns = now + (uint64_t)ttl * NS_PER_S;
        load_pause(s->load, rng_below(&c->rng, careless ? 1500 : 100));
    }
    uint64_t now = clock_mono_ns();
    if (careless && rng_below(&c->rng, 2))
        return; /* the lease will end it */
    if (now < hold->until_ns)
        hold->until_ns = now;
    int64_t revision;
    guarded(c, hold->token, LOCK_KEY, NULL, 0, &succeeded, &revision);
}

static void client(void *state, struct client *c)
{
    struct locks *s = state;
    struct lock_hold hold;
    int64_t lease, ttl;
    uint64_t refreshed_ns = clock_mono_ns();
    if (!load_grant(c->channel, 2, &lease, &ttl)) {
        c->unanswered++;
        load_pause(s->load, 200);
        return;
    }
    uint64_t ttl_ns = (uint64_t)ttl * NS_PER_S;
    bool held = false;
    while (!held && !s->load->stop && clock_mono_ns() < refreshed_ns + ttl_ns) {
        held = acquire(c, lease, refreshed_ns, ttl_ns, &hold);
        if (!held)
            load_pause(s->load, 20 + rng_below(&c->rng, 60));
    }
    if (!held)
        return;
    hold_it(s, c, lease, &hold);
    if (hold.until_ns <
        hold.from_ns) /* the answer came when the lease was over: never believed in it */
        hold.until_ns = hold.from_ns;
    pthread_mutex_lock(&s->lock);
    vec_push(&s->holds, hold);
    pthread_mutex_unlock(&s->lock);
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct locks *s = state;
    (void)l;
    check_lock(s->holds.items, s->holds.len, s->writes.items, s->writes.len, false, v);
    snprintf(figures, figures_max, "%zu holds, %zu writes with their token, %zu refused",
             s->holds.len, s->writes.len, s->refused);
    vec_free(&s->holds);
    vec_free(&s->writes);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

const struct workload lock_workload = {"lock", 1, 20000, create, client, finish};
