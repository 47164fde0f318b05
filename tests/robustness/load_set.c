/*
 * Workload set: unique elements are added under a prefix, which is read as a whole.
 */
#include "tests/robustness/check_set.h"
#include "tests/robustness/load.h"

#include <inttypes.h>

struct generation {
    VEC(struct set_add) adds;
    VEC(struct set_read) reads;
};

struct sets {
    struct load *load;
    pthread_mutex_t lock;
    VEC(struct generation) generations;
};

static void *create(struct load *l)
{
    struct sets *s = mem_zalloc(sizeof *s);
    s->load = l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* With the lock held. */
static struct generation *generation(struct sets *s, uint32_t number)
{
    while (s->generations.len <= number)
        vec_push(&s->generations, (struct generation){0});
    return &s->generations.items[number];
}

static bool read_set(struct sets *s, struct grpc_channel *ch, uint32_t number)
{
    struct set_read read = {.start_ns = clock_mono_ns()};
    const Etcdserverpb__RangeResponse *r;
    struct arena arena;
    char prefix[48];
    arena_init(&arena);
    snprintf(prefix, sizeof prefix, "rob/set/%u/", number);
    bool ok = load_get(ch, &arena, prefix, true, s->load->stale_reads, 0, &r);
    read.end_ns = clock_mono_ns();
    if (ok) {
        uint64_t *elements = mem_alloc((r->n_kvs + 1) * sizeof *elements);
        for (size_t i = 0; i < r->n_kvs; i++)
            elements[i] = load_number(&r->kvs[i]->value);
        read.elements = elements;
        read.elements_len = r->n_kvs;
        read.revision = r->header->revision;
        pthread_mutex_lock(&s->lock);
        vec_push(&generation(s, number)->reads, read);
        pthread_mutex_unlock(&s->lock);
    }
    arena_free(&arena);
    return ok;
}

static bool add_element(struct sets *s, struct grpc_channel *ch, uint32_t number)
{
    struct set_add add = {.element = load_value(s->load), .start_ns = clock_mono_ns()};
    struct arena arena;
    char key[64], value[32];
    arena_init(&arena);
    snprintf(value, sizeof value, "%" PRIu64, add.element);
    snprintf(key, sizeof key, "rob/set/%u/%s", number, value);
    bool ok = load_put(ch, &arena, key, value, 0, &add.revision);
    add.end_ns = clock_mono_ns();
    add.unknown = !ok;
    pthread_mutex_lock(&s->lock);
    vec_push(&generation(s, number)->adds, add);
    pthread_mutex_unlock(&s->lock);
    arena_free(&arena);
    return ok;
}

static void client(void *state, struct client *c)
{
    struct sets *s = state;
    uint32_t number = load_generation(s->load);
    bool ok = rng_below(&c->rng, 4) ? add_element(s, c->channel, number)
                                    : read_set(s, c->channel, number);
    *(ok ? &c->answered : &c->unanswered) += 1;
}

static void finish(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max)
{
    struct sets *s = state;
    size_t adds = 0, reads = 0;
    uint64_t deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    for (int m = 0; m < l->members; m++)
        for (uint32_t g = 0; g < s->generations.len && !v->bad; g++)
            while (!read_set(s, l->channels[m], g))
                if (clock_mono_ns() > deadline) {
                    verdict_fail(v, "%s does not answer after the faults", l->urls[m]);
                    break;
                }
    for (uint32_t i = 0; i < s->generations.len; i++) {
        struct generation *g = &s->generations.items[i];
        if (!v->bad)
            check_set(g->adds.items, g->adds.len, g->reads.items, g->reads.len, v);
        adds += g->adds.len;
        reads += g->reads.len;
        for (size_t r = 0; r < g->reads.len; r++)
            mem_free((void *)g->reads.items[r].elements);
        vec_free(&g->adds);
        vec_free(&g->reads);
    }
    snprintf(figures, figures_max, "%zu adds, %zu reads of %zu sets", adds, reads,
             s->generations.len);
    vec_free(&s->generations);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

const struct workload set_workload = {"set", 1, 20000, create, client, finish};
