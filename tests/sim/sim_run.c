/*
 * One seed: the storm, in which only safety is required; then calm, in which a quorum is healed and
 * everything must converge within a bounded time.
 */
#include "sim.h"

#include "raft/state.h"
#include <assert.h>
#include <stdio.h>

#define STEPS_LIMIT 3000000 /* an ordinary seed takes about 6,000 */
#define CALM_LIMIT_US (120 * 1000 * SIM_MS)

uint64_t sim_rand(struct sim *s, uint64_t below)
{
    return below <= 1 ? 0 : rng_below(&s->rng, below);
}

bool sim_chance(struct sim *s, uint32_t per_mille)
{
    return sim_rand(s, 1000) < per_mille;
}

void sim_trace(struct sim *s, const char *format, ...)
{
    if (!s->trace)
        return;
    va_list args;
    va_start(args, format);
    printf("%9.3f ms  ", (double)s->now / 1000.0);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = snprintf(s->failure, sizeof s->failure, "at %.3f ms: ", (double)s->now / 1000.0);
    vsnprintf(s->failure + n, sizeof s->failure - (size_t)n, format, args);
    va_end(args);
    longjmp(s->failed, 1);
}

struct sim_event *sim_after(struct sim *s, uint64_t delay_us,
                            void (*fn)(struct sim *s, struct sim_event *e))
{
    struct sim_event *e = mem_zalloc(sizeof *e);
    e->fn = fn;
    /* Ties are broken by chance, which the seed decides. */
    heap_insert(&s->events, &e->item, (s->now + delay_us) << 12 | sim_rand(s, 4096));
    return e;
}

static void event_free(struct sim_event *e)
{
    if (e->drop)
        e->drop(e);
    mem_free(e);
}

static void step(struct sim *s)
{
    struct sim_event *e = container_of(heap_pop(&s->events), struct sim_event, item);
    s->now = e->item.key >> 12;
    if (++s->steps > STEPS_LIMIT)
        sim_fail(s, "livelock: more than %d events", STEPS_LIMIT);
    const struct sim_member *m = e->member ? sim_member(s, e->member) : NULL;
    if (m && (!m->alive || m->incarnation != e->incarnation)) {
        event_free(e);
        return;
    }
    e->fn(s, e);
    mem_free(e);
}

static void setup(struct sim *s)
{
    heap_init(&s->events);
    sim_weather_draw(s);
    vec_push(&s->checks.committed, (struct sim_committed){RAFT_FOUNDING_TERM, 0, 0});
    static const struct raft_config nothing;
    struct raft_id_set first = raft_config_members(&s->first_config);
    for (uint32_t i = 0; i < s->members_len; i++) {
        struct sim_member *m = &s->members[i];
        m->id = i + 1;
        sim_disk_init(&m->disk, raft_ids_has(&first, m->id) ? &s->first_config : &nothing);
    }
    for (uint32_t i = 0; i < s->members_len; i++)
        sim_member_start(s, &s->members[i]);
    sim_world_start(s);
}

/* ---- calm ---- */

/* The configuration of the state that is furthest. */
static const struct raft_config *newest_config(const struct sim *s)
{
    const struct sim_db *best = &s->members[0].disk.live;
    for (uint32_t i = 1; i < s->members_len; i++)
        if (s->members[i].disk.live.applied > best->applied)
            best = &s->members[i].disk.live;
    return &best->config;
}

/* Some member has entries of membership changes behind what is surely applied and durable on it. */
static bool change_pending(const struct sim_member *m)
{
    uint64_t sure = m->disk.checkpoint.applied;
    if (m->alive && m->raft->pending_configs.len > 0)
        return true;
    for (size_t k = 0; k < m->disk.live.log.len; k++)
        if (m->disk.live.log.items[k].kind == RAFT_ENTRY_CONFIG &&
            m->disk.live.log.items[k].index > sure)
            return true;
    for (size_t k = 0; k < m->disk.journal.len; k++)
        for (size_t j = 0; j < m->disk.journal.items[k]->entries.len; j++)
            if (m->disk.journal.items[k]->entries.items[j].kind == RAFT_ENTRY_CONFIG &&
                m->disk.journal.items[k]->entries.items[j].index > sure)
                return true;
    return false;
}

/*
 * Every voter goes by this configuration, whatever it forgets now. (A voter that holds a committed
 * change without knowing that it is committed still needs a quorum of the configuration before; such
 * a quorum is not ours to take away.)
 */
static bool config_is_settled(struct sim *s, const struct raft_config *c)
{
    for (uint32_t i = 0; i < s->members_len; i++)
        if (change_pending(&s->members[i]))
            return false;
    for (uint32_t i = 0; i < c->voters.len; i++) {
        const struct sim_disk *d = &sim_member(s, c->voters.ids[i])->disk;
        if (!raft_config_equal(&d->checkpoint.config, c) || !raft_config_equal(&d->live.config, c))
            return false;
    }
    return true;
}

/* When it is certain which configuration counts, leave a random minority of its voters dead. */
static void retire_minority(struct sim *s)
{
    const struct raft_config *c = newest_config(s);
    if (raft_config_is_joint(c) || c->voters.len < 3 || !config_is_settled(s, c))
        return;
    uint32_t n = (uint32_t)sim_rand(s, (c->voters.len - 1) / 2 + 1);
    for (uint32_t i = 0; i < n; i++) {
        struct sim_member *m = sim_member(s, c->voters.ids[sim_rand(s, c->voters.len)]);
        if (m->retired)
            continue;
        m->retired = true;
        if (m->alive)
            sim_member_crash(s, m, sim_chance(s, s->weather.power));
    }
}

static void heal(struct sim *s)
{
    retire_minority(s);
    s->calm = true;
    memset(s->cut, 0, sizeof s->cut);
    for (uint32_t i = 0; i < s->members_len; i++) {
        struct sim_member *m = &s->members[i];
        m->stalled = false;
        m->tick_us = SIM_TICK_US;
        if (!m->alive && !m->retired)
            sim_member_start(s, m);
    }
    sim_trace(s, "calm");
}

static struct sim_member *calm_leader(struct sim *s)
{
    struct sim_member *leader = NULL;
    for (uint32_t i = 0; i < s->members_len; i++) {
        struct sim_member *m = &s->members[i];
        if (m->alive && raft_role(m->raft) == RAFT_LEADER &&
            (!leader || raft_term(m->raft) > raft_term(leader->raft)))
            leader = m;
    }
    return leader;
}

/* What convergence still waits for; NULL: nothing. `goal`: commit index that must be passed. */
static const char *awaited(struct sim *s, uint64_t goal, uint64_t reads_goal)
{
    struct sim_member *leader = calm_leader(s);
    if (!leader)
        return "a leader";
    if (raft_commit_index(leader->raft) <= goal)
        return "a commit of the last leader";
    if (raft_config_is_joint(raft_configuration(leader->raft)))
        return "the joint configuration to be left";
    if (s->checks.reads_answered <= reads_goal)
        return "a read to be answered";
    uint64_t last = raft_last_index(leader->raft);
    struct raft_id_set members = raft_config_members(raft_configuration(leader->raft));
    for (uint32_t i = 0; i < members.len; i++) {
        const struct sim_member *m = sim_member(s, members.ids[i]);
        if (!m->retired && m->disk.live.applied != last)
            return "a member to have applied everything";
    }
    return NULL;
}

/* For a seed that does not converge: what each member knows. */
static void tell_members(struct sim *s)
{
    for (uint32_t i = 0; i < s->members_len; i++) {
        const struct sim_member *m = &s->members[i];
        if (!m->alive) {
            sim_trace(s, "%llu is down retired=%d", (unsigned long long)m->id, m->retired);
            continue;
        }
        const struct raft *r = m->raft;
        sim_trace(s,
                  "%llu %s term=%llu leader=%llu last=%llu stable=%llu commit=%llu handed=%llu "
                  "applied=%llu/%llu base=%llu jobs=%zu queue=%zu flushing=%d applying=%d "
                  "installing=%d/%d voter=%d",
                  (unsigned long long)m->id, raft_role_name(r->role), (unsigned long long)r->term,
                  (unsigned long long)r->leader, (unsigned long long)r->log.last_index,
                  (unsigned long long)r->stable, (unsigned long long)r->commit,
                  (unsigned long long)r->handed, (unsigned long long)r->applied,
                  (unsigned long long)m->disk.live.applied, (unsigned long long)r->log.base_index,
                  m->jobs.len, m->queue.len, m->flushing, m->applying, r->installing,
                  m->install_pending, raft_config_is_voter(&r->config, m->id));
        for (uint32_t k = 0; k < r->config.voters.len; k++)
            sim_trace(s, "   voter %llu", (unsigned long long)r->config.voters.ids[k]);
        for (uint32_t k = 0; k < r->config.outgoing.len; k++)
            sim_trace(s, "   outgoing voter %llu", (unsigned long long)r->config.outgoing.ids[k]);
        for (uint32_t k = 0; r->role == RAFT_LEADER && k < r->peers_len; k++)
            sim_trace(s, "   peer %llu state=%d match=%llu next=%llu fetch=%llu probe_sent=%d",
                      (unsigned long long)r->peers[k].id, (int)r->peers[k].state,
                      (unsigned long long)r->peers[k].match, (unsigned long long)r->peers[k].next,
                      (unsigned long long)r->peers[k].fetch_id, r->peers[k].probe_sent);
    }
}

static void calm(struct sim *s)
{
    uint64_t goal = s->commit_max, reads_goal = s->checks.reads_answered;
    uint64_t limit = s->now + CALM_LIMIT_US, next_client = s->now;
    const char *what = "anything";
    while (s->now < limit && s->events.len) {
        step(s);
        if (s->now < next_client)
            continue;
        what = awaited(s, goal, reads_goal);
        if (!what)
            return;
        next_client = s->now + 400 * SIM_MS;
        struct sim_member *leader = calm_leader(s);
        if (!leader)
            continue;
        if (raft_commit_index(leader->raft) <= goal)
            sim_propose(s, leader);
        sim_ask_read(s, leader);
    }
    tell_members(s);
    sim_fail(s, "convergence: %d virtual seconds after healing still waiting for %s",
             (int)(CALM_LIMIT_US / 1000000), what);
}

static void teardown(struct sim *s)
{
    while (s->events.len)
        event_free(container_of(heap_pop(&s->events), struct sim_event, item));
    heap_free(&s->events);
    for (uint32_t i = 0; i < s->members_len; i++)
        sim_member_free(&s->members[i]);
    sim_checks_free(&s->checks);
}

void sim_run(uint64_t seed, uint32_t faults, bool trace, struct sim_result *out)
{
    struct sim *s = mem_zalloc(sizeof *s);
    s->seed = seed;
    s->faults = faults;
    s->trace = trace;
    rng_seed(&s->rng, seed);
    *out = (struct sim_result){0};
    if (setjmp(s->failed) == 0) {
        setup(s);
        while (s->now < s->weather.storm_us && s->events.len)
            step(s);
        heal(s);
        calm(s);
        out->steps = s->steps;
        out->committed = s->checks.committed.len;
        out->elections = s->checks.elections;
        out->reads = s->checks.reads_answered;
        out->changes = s->checks.changes_applied;
        out->snapshots = s->checks.snapshots_installed;
        out->crashes = s->checks.crashes;
        teardown(s);
    } else {
        /* The event in hand and what it owns are lost; a failing run ends the process anyway. */
        out->failed = true;
        memcpy(out->failure, s->failure, sizeof out->failure);
        teardown(s);
    }
    mem_free(s);
}
