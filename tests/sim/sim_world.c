/*
 * What happens to the cluster while the storm lasts: clients, membership changes, transfers, crashes,
 * partitions and slow disks, each at intervals that the seed chose (0: never).
 */
#include "sim.h"

#include "raft/wire.h"

static uint64_t pick(struct sim *s, const uint64_t *choices, size_t n)
{
    return choices[sim_rand(s, n)];
}
#define PICK(s, ...) \
    pick(s, (const uint64_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint64_t[]){__VA_ARGS__})))

/* A third of the seeds dwell on what is rare otherwise: on membership, or on leaders that fall. */
static void theme(struct sim *s)
{
    struct sim_weather *w = &s->weather;
    uint64_t which = sim_rand(s, 6);
    if (which > 1)
        return;
    w->ambush = 600;
    w->loss = (uint32_t)PICK(s, 0, 10, 50);
    w->delay_us = PICK(s, 1 * SIM_MS, 10 * SIM_MS, 60 * SIM_MS);
    w->flush_us = PICK(s, 1 * SIM_MS, 30 * SIM_MS);
    if (which == 0) {
        w->change_us = PICK(s, 100 * SIM_MS, 300 * SIM_MS, 1000 * SIM_MS);
        w->propose_us = PICK(s, 10 * SIM_MS, 60 * SIM_MS);
    } else {
        w->crash_us = PICK(s, 300 * SIM_MS, 800 * SIM_MS);
        w->change_us = 0;
    }
}

void sim_weather_draw(struct sim *s)
{
    struct sim_weather *w = &s->weather;
    w->loss = (uint32_t)PICK(s, 0, 10, 50, 150, 300);
    w->duplicate = (uint32_t)PICK(s, 0, 20, 100, 300);
    w->slow = (uint32_t)PICK(s, 0, 10, 50, 150);
    w->delay_us = PICK(s, 1 * SIM_MS, 10 * SIM_MS, 60 * SIM_MS, 200 * SIM_MS);
    w->slow_us = PICK(s, 300 * SIM_MS, 1500 * SIM_MS, 4000 * SIM_MS);
    w->flush_us = PICK(s, 1 * SIM_MS, 30 * SIM_MS, 300 * SIM_MS, 1000 * SIM_MS);
    w->propose_us = PICK(s, 10 * SIM_MS, 60 * SIM_MS, 300 * SIM_MS);
    w->read_us = PICK(s, 20 * SIM_MS, 100 * SIM_MS, 500 * SIM_MS);
    w->change_us = PICK(s, 0, 0, 150 * SIM_MS, 600 * SIM_MS, 3000 * SIM_MS);
    w->transfer_us = PICK(s, 0, 0, 700 * SIM_MS, 5000 * SIM_MS);
    w->crash_us = PICK(s, 0, 500 * SIM_MS, 1500 * SIM_MS, 5000 * SIM_MS);
    w->partition_us = PICK(s, 0, 0, 600 * SIM_MS, 3000 * SIM_MS);
    w->checkpoint_us = PICK(s, 300 * SIM_MS, 1000 * SIM_MS, 5000 * SIM_MS);
    w->power = (uint32_t)PICK(s, 0, 300, 1000);
    w->ambush = (uint32_t)PICK(s, 0, 0, 200, 600);
    w->retain = PICK(s, 2, 10, 60);
    w->storm_us = PICK(s, 8000 * SIM_MS, 15000 * SIM_MS, 25000 * SIM_MS);
    s->members_len = (uint32_t)PICK(s, 3, 4, 5, 5, 6, 7);
    theme(s);
    uint64_t voters = PICK(s, 1, 2, 3, 3, 3, 4, 5);
    voters = MIN(voters, s->members_len);
    for (uint64_t id = 1; id <= voters; id++)
        raft_ids_add(&s->first_config.voters, id);
    if (voters < s->members_len && sim_chance(s, 300))
        raft_ids_add(&s->first_config.learners, voters + 1);
}

static struct sim_member *random_member(struct sim *s)
{
    return &s->members[sim_rand(s, s->members_len)];
}

static struct sim_member *random_alive(struct sim *s)
{
    struct sim_member *m = random_member(s);
    for (uint32_t i = 0; i < s->members_len && !m->alive; i++)
        m = sim_member(s, m->id % s->members_len + 1);
    return m->alive ? m : NULL;
}

/* A member that believes that it leads; there may be several. */
static struct sim_member *some_leader(struct sim *s)
{
    uint64_t first = sim_rand(s, s->members_len);
    for (uint64_t i = 0; i < s->members_len; i++) {
        struct sim_member *m = &s->members[(first + i) % s->members_len];
        if (m->alive && raft_role(m->raft) == RAFT_LEADER)
            return m;
    }
    return NULL;
}

/* ---- clients ---- */

void sim_propose(struct sim *s, struct sim_member *m)
{
    struct blob *blobs[4];
    size_t n = 1 + (size_t)sim_rand(s, ARRAY_LEN(blobs));
    for (size_t i = 0; i < n; i++) {
        blobs[i] = blob_new(RAFT_PROPOSAL_HEADER + 8 + (size_t)sim_rand(s, 60));
        memset(blobs[i]->data, 0, blobs[i]->len);
        wire_put_be64(blobs[i]->data, m->id);
        wire_put_be64(blobs[i]->data + 8, m->incarnation);
        wire_put_be64(blobs[i]->data + 16, ++s->next_content);
    }
    uint64_t first;
    struct error err;
    int rc = raft_propose(m->raft, blobs, n, &first, &err);
    (void)rc; /* a refusal is an answer too */
    for (size_t i = 0; i < n; i++)
        blob_unref(blobs[i]);
    sim_pump(s, m);
}

void sim_ask_read(struct sim *s, struct sim_member *m)
{
    uint64_t context = ++s->next_context;
    if (s->checks.reads.len > 200)
        vec_remove(&s->checks.reads, 0); /* given up */
    vec_push(&s->checks.reads, (struct sim_read){context, m->id, m->incarnation, s->commit_max});
    if (raft_read_index(m->raft, context, NULL) < 0)
        s->checks.reads.len--;
    sim_pump(s, m);
}

/* ---- repeating happenings ---- */

static void again(struct sim *s, struct sim_event *e, uint64_t mean_us)
{
    struct sim_event *next = sim_after(s, 1 + sim_rand(s, 2 * mean_us), e->fn);
    next->arg = e->arg;
}

static void happen_propose(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    struct sim_member *m = some_leader(s);
    if (m)
        sim_propose(s, m);
    again(s, e, s->weather.propose_us);
}

static void happen_read(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    struct sim_member *m = sim_chance(s, 500) ? some_leader(s) : random_alive(s);
    if (m)
        sim_ask_read(s, m);
    again(s, e, s->weather.read_us);
}

static void random_change(struct sim *s, struct raft_change *c)
{
    *c = (struct raft_change){.joint = sim_chance(s, 300)};
    if (sim_chance(s, 250)) { /* another set of voters altogether */
        for (uint64_t id = 1; id <= s->members_len; id++)
            c->ops[c->ops_len++] =
                (struct raft_change_op){sim_chance(s, 500) ? RAFT_ADD_VOTER : RAFT_ADD_LEARNER, id};
        return;
    }
    c->ops_len = sim_chance(s, 500) ? 1 : 1 + (uint32_t)sim_rand(s, 4);
    for (uint32_t i = 0; i < c->ops_len; i++) {
        c->ops[i].id = 1 + sim_rand(s, s->members_len);
        c->ops[i].kind = (enum raft_change_op_kind)PICK(s, RAFT_ADD_VOTER, RAFT_ADD_VOTER,
                                                        RAFT_ADD_LEARNER, RAFT_REMOVE, RAFT_UPDATE);
    }
}

static void happen_change(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    struct sim_member *m = some_leader(s);
    uint32_t times = 1 + (uint32_t)sim_rand(s, 3);
    for (uint32_t i = 0; m && i < times && m->alive; i++) {
        struct raft_change change;
        random_change(s, &change);
        struct buf b;
        buf_init(&b);
        for (int k = 0; k < 2; k++)
            buf_append_be64(&b, m->id);
        buf_append_be64(&b, ++s->next_content);
        raft_change_encode(&change, &b);
        struct blob *data = blob_from(b.data, b.len);
        buf_free(&b);
        uint64_t index;
        struct error err;
        if (raft_propose_change(m->raft, data, &index, &err) == 0)
            sim_ambush(s, m->id);
        blob_unref(data);
        sim_pump(s, m);
    }
    again(s, e, s->weather.change_us);
}

static void happen_transfer(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    struct sim_member *m = some_leader(s);
    if (m) {
        raft_transfer(m->raft, 1 + sim_rand(s, s->members_len), NULL);
        sim_pump(s, m);
    }
    again(s, e, s->weather.transfer_us);
}

/* ---- faults ---- */

static void happen_restart(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->arg);
    if (!m->alive && !m->retired)
        sim_member_start(s, m);
}

static void crash_one(struct sim *s)
{
    struct sim_member *m = sim_chance(s, 400) ? some_leader(s) : random_alive(s);
    if (!m)
        return;
    sim_member_crash(s, m, sim_chance(s, s->weather.power));
    struct sim_event *restart = sim_after(
        s, 1 + sim_rand(s, PICK(s, 5 * SIM_MS, 500 * SIM_MS, 4000 * SIM_MS)), happen_restart);
    restart->arg = m->id;
}

static void happen_crash(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    crash_one(s);
    if (sim_chance(s, 200)) /* several at once: a rack loses power */
        for (int i = 0; i < 3; i++)
            crash_one(s);
    again(s, e, s->weather.crash_us);
}

static void cut_member(struct sim *s, uint64_t id)
{
    for (uint64_t other = 1; other <= s->members_len; other++)
        s->cut[id][other] = s->cut[other][id] = true;
}

static void cut_halves(struct sim *s)
{
    bool side[SIM_MEMBERS_MAX + 1];
    for (uint64_t id = 1; id <= s->members_len; id++)
        side[id] = sim_chance(s, 500);
    for (uint64_t a = 1; a <= s->members_len; a++)
        for (uint64_t b = 1; b <= s->members_len; b++)
            s->cut[a][b] = side[a] != side[b];
}

static void happen_reconnect(struct sim *s, struct sim_event *e)
{
    (void)e;
    memset(s->cut, 0, sizeof s->cut);
    sim_trace(s, "links are whole");
}

static void happen_ambush(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->arg);
    if (s->calm)
        return;
    if (sim_chance(s, 500) && m->alive) {
        sim_member_crash(s, m, sim_chance(s, s->weather.power));
        sim_after(s, 1 + sim_rand(s, 3000 * SIM_MS), happen_restart)->arg = m->id;
        return;
    }
    cut_halves(s);
    sim_trace(s, "links are cut");
    sim_after(s, 1 + sim_rand(s, 3000 * SIM_MS), happen_reconnect);
}

void sim_ambush(struct sim *s, uint64_t member)
{
    if (!s->calm && sim_chance(s, s->weather.ambush))
        sim_after(s, 1 + sim_rand(s, PICK(s, 3 * SIM_MS, 30 * SIM_MS, 200 * SIM_MS)), happen_ambush)
            ->arg = member;
}

static void happen_partition(struct sim *s, struct sim_event *e)
{
    if (s->calm)
        return;
    struct sim_member *leader = some_leader(s);
    switch (sim_rand(s, 6)) {
    case 0:
        cut_member(s, random_member(s)->id);
        break;
    case 1:
        cut_member(s, leader ? leader->id : random_member(s)->id);
        break;
    case 2:
        cut_halves(s);
        break;
    case 3: /* one direction of one link */
        s->cut[random_member(s)->id][random_member(s)->id] = true;
        break;
    default:
        memset(s->cut, 0, sizeof s->cut);
    }
    sim_trace(s, "links change");
    again(s, e, s->weather.partition_us);
}

static void happen_stall(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = random_member(s);
    m->stalled = !m->stalled && sim_chance(s, 500);
    again(s, e, 2000 * SIM_MS);
}

void sim_world_start(struct sim *s)
{
    const struct {
        void (*fn)(struct sim *s, struct sim_event *e);
        uint64_t mean_us;
    } happenings[] = {
        {happen_propose, s->weather.propose_us},     {happen_read, s->weather.read_us},
        {happen_change, s->weather.change_us},       {happen_transfer, s->weather.transfer_us},
        {happen_crash, s->weather.crash_us},         {happen_stall, 2000 * SIM_MS},
        {happen_partition, s->weather.partition_us},
    };
    for (size_t i = 0; i < ARRAY_LEN(happenings); i++)
        if (happenings[i].mean_us)
            sim_after(s, 1 + sim_rand(s, 2 * happenings[i].mean_us), happenings[i].fn);
}
