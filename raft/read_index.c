/*
 * Linearizable reads without writing (Raft thesis §6.4, ReadIndex).
 *
 * The leader notes its commit index and then makes sure that it still leads, by a round of heartbeats
 * that a quorum answers in its term; a state that has applied the noted index answers the read. Rounds
 * are numbered: a heartbeat carries the highest number, an answer echoes it, so that one round
 * confirms every request made before it. No clock is trusted.
 */
#include "raft/state.h"

#include <assert.h>

void raft_reads_drop(struct raft *r)
{
    vec_clear(&r->reads);
}

static uint64_t read_acked(void *ctx, uint64_t id)
{
    struct raft *r = ctx;
    if (id == r->params.id)
        return r->read_round;
    const struct raft_progress *p = raft_peer(r, id);
    return p ? p->read_acked : 0;
}

static void answer(struct raft *r, const struct raft_pending_read *read)
{
    if (read->from == r->params.id) {
        vec_push(&raft_out(r)->reads, (struct raft_read){read->context, read->index});
        return;
    }
    raft_commit_awaited(r, read->from, read->index); /* the index is of use once it is applied */
    struct raft_message m = raft_message_to(r, read->from, RAFT_MSG_READ_INDEX_REPLY);
    m.context = read->context;
    m.index = read->index;
    raft_send(r, &m);
}

/* Requests that came before the term's first commit start now. */
static void start_waiting(struct raft *r)
{
    bool started = false;
    for (size_t i = 0; i < r->reads.len; i++) {
        struct raft_pending_read *read = &r->reads.items[i];
        if (read->index != 0)
            continue;
        read->index = r->commit;
        read->round = r->read_round + 1;
        started = true;
    }
    if (started) {
        r->read_round++;
        raft_send_heartbeats(r);
    }
}

void raft_reads_advance(struct raft *r)
{
    assert(r->role == RAFT_LEADER);
    if (r->reads.len == 0 || (!raft_term_committed(r) && !RAFT_FAULT(r, READ_BEFORE_COMMIT)))
        return;
    start_waiting(r);
    uint64_t confirmed = raft_quorum_index(&r->config, read_acked, r);
    if (RAFT_FAULT(r, READ_WITHOUT_QUORUM))
        confirmed = r->read_round;
    size_t n = 0; /* rounds ascend along the list */
    while (n < r->reads.len && r->reads.items[n].round <= confirmed)
        answer(r, &r->reads.items[n++]);
    if (n == 0)
        return;
    memmove(r->reads.items, r->reads.items + n, (r->reads.len - n) * sizeof r->reads.items[0]);
    r->reads.len -= n;
}

static bool add_read(struct raft *r, uint64_t from, uint64_t context)
{
    if (r->reads.len >= r->params.pending_reads_max)
        return false;
    vec_push(&r->reads, (struct raft_pending_read){.from = from, .context = context});
    raft_reads_advance(r);
    return true;
}

int raft_read_index(struct raft *r, uint64_t context, struct error *err)
{
    if (r->role == RAFT_LEADER) {
        if (!add_read(r, r->params.id, context))
            return error_set(err, ERR_LIMIT, "too many reads wait for their index");
        return 0;
    }
    if (r->leader == 0)
        return error_set(err, ERR_UNAVAILABLE, "no leader");
    struct raft_message m = raft_message_to(r, r->leader, RAFT_MSG_READ_INDEX);
    m.context = context;
    raft_send(r, &m);
    return 0;
}

void raft_recv_read_index(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_LEADER || !raft_peer(r, m->from))
        return;
    if (add_read(r, m->from, m->context))
        return;
    struct raft_message reply = raft_message_to(r, m->from, RAFT_MSG_READ_INDEX_REPLY);
    reply.context = m->context;
    reply.reject = true;
    raft_send(r, &reply);
}

void raft_recv_read_index_reply(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || m->reject)
        return;
    vec_push(&raft_out(r)->reads, (struct raft_read){m->context, m->index});
}
