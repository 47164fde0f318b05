/*
 * One seed: the storm, in which only safety is required; then calm, in which a quorum is healed and
 * everything must converge.
 */
#include "client.h"
#include "faults.h"
#include "whole.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define CALM_LIMIT_US (90 * SECOND)
#define STEPS_LIMIT 3000000

struct world W;
static char *failure_out;

/* ---- scheduler ---- */

uint64_t now_us(void)
{
    return W.now;
}

uint64_t chance_bits(void)
{
    return rng_next(&W.rng);
}

uint64_t chance_below(uint64_t n)
{
    return n <= 1 ? 0 : (uint64_t)(((unsigned __int128)rng_next(&W.rng) * n) >> 64);
}

bool chance(uint32_t per_mille)
{
    return per_mille && chance_below(1000) < per_mille;
}

void event_in(struct event *e, uint64_t delay_us)
{
    heap_rekey(&W.events, &e->item, (W.now + delay_us) << 12 | (rng_next(&W.rng) & 4095));
}

void event_cancel(struct event *e)
{
    heap_remove(&W.events, &e->item);
}

struct late {
    struct event e;
    void (*fn)(void *ctx);
    void *ctx;
};

static void late_run(struct event *e)
{
    struct late *l = container_of(e, struct late, e);
    void (*fn)(void *ctx) = l->fn;
    void *ctx = l->ctx;
    mem_free(l);
    fn(ctx);
}

void later(uint64_t delay_us, void (*fn)(void *ctx), void *ctx)
{
    struct late *l = mem_zalloc(sizeof *l);
    l->e.fn = late_run;
    l->fn = fn;
    l->ctx = ctx;
    event_in(&l->e, delay_us);
}

static bool step(void)
{
    struct heap_item *item = heap_pop(&W.events);
    if (!item)
        return false;
    uint64_t at = item->key >> 12;
    assert(at >= W.now);
    W.now = at;
    W.hash = (W.hash ^ item->key) * 0x9e3779b97f4a7c15ull;
    W.hash ^= W.hash >> 29;
    if (++W.steps > STEPS_LIMIT)
        broken("livelock: more than %d events", STEPS_LIMIT);
    struct event *e = container_of(item, struct event, item);
    e->fn(e);
    return true;
}

/* ---- telling ---- */

bool tracing(void)
{
    return W.trace;
}

void trace(const char *format, ...)
{
    if (!W.trace)
        return;
    va_list args;
    va_start(args, format);
    printf("%11.3f ms  ", (double)W.now / 1000.0);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n =
        snprintf(W.failure, sizeof W.failure, "at %.3f ms, event %llu: ", (double)W.now / 1000.0,
                 (unsigned long long)W.steps);
    vsnprintf(W.failure + n, sizeof W.failure - (size_t)n, format, args);
    va_end(args);
    trace("%s", W.failure);
    memcpy(failure_out, W.failure, sizeof W.failure);
    fflush(stdout);
    (_exit)(1);
}

static void log_line(void *ctx, enum log_level level, const char *line)
{
    (void)ctx, (void)level;
    const struct member *m = member_current();
    const char *module = strstr(line, "module=");
    trace("%u: %s", m ? m->number : 0, module ? module + 7 : line);
}

/* ---- a seed ---- */

static void setup(uint64_t seed, uint64_t faults, bool with_trace)
{
    memset(&W, 0, sizeof W);
    memset(&counts, 0, sizeof counts);
    W.seed = seed;
    W.faults = faults;
    W.trace = with_trace;
    rng_seed(&W.rng, seed);
    log_set_sink(log_line, NULL);
    log_set_level(with_trace ? LOG_DEBUG : LOG_ERROR);
    hash_bytes("", 0); /* the key of hash tables is drawn before the world is there */
    heap_init(&W.events);
    weather_draw();
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        m->number = i + 1;
        m->boot = 1;
        list_init(&m->fibers);
        list_init(&m->listeners);
        list_init(&m->streams);
        m->disk = disk_new(m);
    }
    world_start();
    clients_start();
}

static void calm(void)
{
    uint64_t limit = W.now + CALM_LIMIT_US, next = W.now;
    const char *awaited = "anything";
    for (;;) {
        if (W.now >= next) {
            if (clients_settled(&awaited))
                return;
            next = W.now + 100 * MS;
        }
        if (W.now >= limit || !step())
            broken("convergence: %d virtual seconds after healing still waiting for %s",
                   (int)(CALM_LIMIT_US / SECOND), awaited);
    }
}

/* Everybody ends in good order: what kv_close asserts is tested, too. */
static void close_all(void)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        if (W.members[i].state == MEMBER_UP)
            member_stop(&W.members[i]);
    for (uint64_t until = W.now + 20 * SECOND;;) {
        bool any = false;
        for (uint32_t i = 0; i < W.members_len; i++)
            any = any || W.members[i].state == MEMBER_STOPPING;
        if (!any)
            return;
        if (W.now > until || !step())
            broken("a member does not stop");
    }
}

static void teardown(void)
{
    clients_free();
    members_free();
    net_free();
    faults_reset();
    /* What is left are happenings to come; each is a plain allocation of `later`. */
    struct heap_item *item;
    while ((item = heap_pop(&W.events)))
        if (container_of(item, struct event, item)->fn == late_run)
            mem_free(container_of(container_of(item, struct event, item), struct late, e));
    heap_free(&W.events);
}

void run_seed(uint64_t seed, uint64_t faults, bool with_trace, char *failure,
              struct run_result *out)
{
    failure_out = failure;
    setup(seed, faults, with_trace);
    while (W.steps < W.weather.storm_events && step())
        ;
    world_heal();
    trace("calm");
    calm();
    trace("settled");
    close_all();
    *out = (struct run_result){.hash = W.hash,
                               .steps = W.steps,
                               .virtual_ms = W.now / MS,
                               .crashes = W.crashes,
                               .powers = W.powers,
                               .snapshots = W.snapshots,
                               .elections = W.elections,
                               .disk_errors = W.disk_errors,
                               .changes = W.changes,
                               .full = W.full,
                               .flips = W.flips,
                               .rebuilt = W.rebuilt,
                               .ruined = W.ruined,
                               .held = W.held,
                               .counts = counts};
    teardown();
}
