/*
 * Snapshots: for peers whose next entry is gone from the log, and their installation here.
 */
#include "raft/state.h"

#include <assert.h>

void raft_need_snapshot(struct raft *r, struct raft_progress *p)
{
    if (!p->recent_active)
        return; /* not to somebody who is away; its next answer starts it */
    raft_progress_snapshot(p);
    vec_push(&raft_out(r)->snapshots, p->id);
}

void raft_snapshot_sent(struct raft *r, uint64_t peer, uint64_t index, bool ok)
{
    struct raft_progress *p = r->role == RAFT_LEADER ? raft_peer(r, peer) : NULL;
    if (!p || p->state != RAFT_SNAPSHOT)
        return;
    if (ok && index <= r->log.last_index)
        raft_progress_probe(p, MAX(p->match, index) + 1);
    else
        raft_progress_probe(p, p->match + 1);
    p->probe_sent = true; /* its acknowledgement, or the next heartbeat's answer, goes on */
}

/*
 * The driver has received and staged the whole snapshot. It is refused (by not asking for its
 * installation) when it brings nothing new.
 */
void raft_recv_snapshot(struct raft *r, const struct raft_message *m)
{
    const struct raft_snapshot_meta *meta = m->snapshot;
    if (r->role == RAFT_LEADER || !meta || meta->term > m->term)
        return;
    raft_become_follower(r, m->term, m->from);
    if (r->installing)
        return;
    if (meta->index <= r->commit) {
        raft_ack(r, m->from, r->commit);
        return;
    }
    if (raft_log_term(&r->log, meta->index) == meta->term) {
        /* Our log agrees up to there: knowing that it is committed is all we lacked. */
        raft_set_commit(r, meta->index);
        raft_ack(r, m->from, meta->index);
        return;
    }
    r->installing = true;
    r->install = *meta;
    struct raft_output *o = raft_out(r);
    o->install = *meta;
    o->install_hard = (struct raft_hard_state){r->term, r->vote, meta->index};
    if (RAFT_FAULT(r, SNAPSHOT_LOSES_VOTE))
        o->install_hard.vote = 0;
    o->install_set = true;
    r->hard_handed = (struct raft_hard_state){r->term, r->vote, meta->index};
    r->term_seq = r->seq_handed;
}
