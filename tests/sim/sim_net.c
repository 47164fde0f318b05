/*
 * The virtual network: each message is lost, delayed (so that it overtakes others), or delivered twice,
 * as the weather has it; links may be cut in one direction.
 */
#include "sim.h"

bool sim_link_up(struct sim *s, uint64_t from, uint64_t to)
{
    return !s->cut[from][to];
}

static void message_free(struct sim_event *e)
{
    raft_message_clear(e->data);
    mem_free(e->data);
}

static void message_arrives(struct sim *s, struct sim_event *e)
{
    struct raft_message *m = e->data;
    struct sim_member *to = sim_member(s, m->to);
    if (to->alive && sim_link_up(s, m->from, m->to)) {
        sim_trace(
            s, "%llu <- %llu %s term=%llu index=%llu/%llu commit=%llu n=%zu reject=%d ctx=%llu",
            (unsigned long long)m->to, (unsigned long long)m->from, raft_message_name(m->type),
            (unsigned long long)m->term, (unsigned long long)m->index,
            (unsigned long long)m->log_term, (unsigned long long)m->commit, m->entries_len,
            m->reject, (unsigned long long)m->context);
        raft_step(to->raft, m);
        sim_pump(s, to);
    }
    message_free(e);
}

static uint64_t delay(struct sim *s)
{
    if (s->calm)
        return 200 + sim_rand(s, 1000);
    if (sim_chance(s, s->weather.slow))
        return sim_rand(s, s->weather.slow_us) + 1;
    return sim_rand(s, s->weather.delay_us) + 100;
}

static void deliver_later(struct sim *s, const struct raft_message *m)
{
    struct raft_message *copy = mem_alloc(sizeof *copy);
    raft_message_copy(copy, m);
    struct sim_event *e = sim_after(s, delay(s), message_arrives);
    e->data = copy;
    e->drop = message_free;
}

void sim_send(struct sim *s, const struct raft_message *m)
{
    if (m->type == RAFT_MSG_VOTE_REPLY && !m->reject)
        sim_check_vote(s, m->from, m->term, m->to);
    if (m->to > s->members_len || !sim_link_up(s, m->from, m->to))
        return;
    if (!s->calm && sim_chance(s, s->weather.loss))
        return;
    deliver_later(s, m);
    if (!s->calm && sim_chance(s, s->weather.duplicate))
        deliver_later(s, m);
}
