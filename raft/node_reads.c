/*
 * Read index for this member's callers. Requests gather while a round is under way; each round is one
 * request to the core for everybody who came before it. A round that is not answered in time (the
 * leader changed, a message was lost) is given up and its callers join a new one, which is harmless.
 */
#include "raft/node_internal.h"

#include "base/mem.h"
#include <assert.h>

static void request_end(struct read_request *q, int code, uint64_t index)
{
    list_remove(&q->link);
    q->fn(q->ctx, code, index);
    mem_free(q);
}

static void read_arrives(struct loop_task *task)
{
    struct read_request *q = container_of(task, struct read_request, task);
    struct raft_node *n = q->node;
    list_init(&q->link);
    if (n->stopping || n->retired) {
        request_end(q, ERR_CANCELLED, 0);
        return;
    }
    q->deadline_ms += node_now_ms(n);
    list_push_back(&n->reads_waiting, &q->link);
    node_wake(n);
}

void raft_node_read_index(struct raft_node *n, uint32_t timeout_ms, raft_read_fn *fn, void *ctx)
{
    struct read_request *q = mem_zalloc(sizeof *q);
    q->task.fn = read_arrives;
    q->node = n;
    q->fn = fn;
    q->ctx = ctx;
    q->deadline_ms = timeout_ms ? timeout_ms : PROPOSAL_TIMEOUT_MS;
    loop_post(n->loop, &q->task);
}

static void round_free(struct raft_node *n, struct read_round *round)
{
    assert(list_empty(&round->requests));
    list_remove(&round->link);
    n->read_rounds_len--;
    mem_free(round);
}

void node_send_reads(struct raft_node *n)
{
    if (list_empty(&n->reads_waiting) || n->read_rounds_len >= READ_ROUNDS_MAX)
        return;
    uint64_t context = ++n->last_context;
    if (raft_read_index(n->raft, context, NULL) < 0)
        return; /* no leader: at the next pump, until the deadline */
    struct read_round *round = mem_zalloc(sizeof *round);
    round->context = context;
    round->sent_ms = node_now_ms(n);
    list_init(&round->requests);
    list_splice_back(&round->requests, &n->reads_waiting);
    list_push_back(&n->read_rounds, &round->link);
    n->read_rounds_len++;
}

void node_recv_read(struct raft_node *n, const struct raft_read *read)
{
    list_for_each_safe (it, &n->read_rounds) {
        struct read_round *round = list_entry(it, struct read_round, link);
        if (round->context != read->context)
            continue;
        while (!list_empty(&round->requests))
            request_end(list_first(&round->requests, struct read_request, link), 0, read->index);
        round_free(n, round);
        if (!list_empty(&n->reads_waiting))
            node_wake(n);
        return;
    }
}

static void round_give_up(struct raft_node *n, struct read_round *round)
{
    list_splice_back(&n->reads_waiting, &round->requests);
    round_free(n, round);
}

void node_retry_reads(struct raft_node *n)
{
    list_for_each_safe (it, &n->read_rounds)
        round_give_up(n, list_entry(it, struct read_round, link));
    if (!list_empty(&n->reads_waiting))
        node_wake(n);
}

void node_expire_reads(struct raft_node *n)
{
    uint64_t now = node_now_ms(n);
    list_for_each_safe (it, &n->read_rounds) {
        struct read_round *round = list_entry(it, struct read_round, link);
        if (now - round->sent_ms >= n->election_ms / 4)
            round_give_up(n, round);
    }
    list_for_each_safe (jt, &n->reads_waiting) {
        struct read_request *q = list_entry(jt, struct read_request, link);
        if (now >= q->deadline_ms)
            request_end(q, raft_leader(n->raft) ? ERR_TIMEOUT : ERR_UNAVAILABLE, 0);
    }
}

void node_cancel_reads(struct raft_node *n)
{
    list_for_each_safe (it, &n->read_rounds)
        round_give_up(n, list_entry(it, struct read_round, link));
    while (!list_empty(&n->reads_waiting))
        request_end(list_first(&n->reads_waiting, struct read_request, link), ERR_CANCELLED, 0);
}
