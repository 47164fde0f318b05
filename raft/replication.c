/*
 * Replication: appends, their replies, heartbeats, and the commit index.
 *
 * A leader sends entries before they are flushed on its own disk and counts itself only up to what
 * is (match of a leader = its stable index). A follower acknowledges only what it has flushed.
 */
#include "raft/state.h"

#include <assert.h>

struct raft_progress *raft_peer(struct raft *r, uint64_t id)
{
    for (uint32_t i = 0; i < r->peers_len; i++)
        if (r->peers[i].id == id)
            return &r->peers[i];
    return NULL;
}

/* ---- commit ---- */

void raft_set_commit(struct raft *r, uint64_t index)
{
    assert(index <= r->log.last_index);
    if (index <= r->commit)
        return;
    for (size_t i = 0; i < r->pending_configs.len; i++) {
        uint64_t change = r->pending_configs.items[i].index;
        if (change <= r->commit || change > index)
            continue;
        if (!r->change_commit)
            r->change_commit = change;
        r->change_seq = 0;
    }
    r->commit = index;
}

/*
 * A commit index needs no flush of its own, but for changes of membership: whoever hears that it was removed goes away,
 * and those who stay must not be able to forget that they need its vote no more. (Of two members one removes the
 * other, and loses power before its next flush: it would wait for the other's vote for ever.) So a member tells of a
 * committed change, and applies it, once it has that on its own disk.
 */
uint64_t raft_commit_durable(const struct raft *r)
{
    return r->change_commit && !RAFT_FAULT(r, CHANGE_UNFLUSHED)
               ? MIN(r->commit, r->change_commit - 1)
               : r->commit;
}

static uint64_t match_of(void *ctx, uint64_t id)
{
    struct raft *r = ctx;
    if (id == r->params.id)
        return r->stable;
    const struct raft_progress *p = raft_peer(r, id);
    return p ? p->match : 0;
}

/* The configuration whose quorum decides; differs from the true one only by planted faults. */
static struct raft_config deciding_config(const struct raft *r)
{
    struct raft_config c = r->config;
    if (RAFT_FAULT(r, JOINT_ONE_HALF))
        c.outgoing.len = c.learners_next.len = 0;
    if (RAFT_FAULT(r, LEARNER_COUNTED))
        for (uint32_t i = 0; i < r->config.learners.len; i++)
            raft_ids_add(&c.voters, r->config.learners.ids[i]);
    return c;
}

/*
 * Advance the commit index to the highest entry flushed by a quorum.
 *
 * Only entries of the current term count directly (Raft §5.4.2): an older entry may be on a quorum
 * and still be overwritten. It commits together with the first entry of this term.
 */
bool raft_advance_commit(struct raft *r)
{
    assert(r->role == RAFT_LEADER);
    struct raft_config c = deciding_config(r);
    uint64_t index = raft_quorum_index(&c, match_of, r);
    if (index <= r->commit)
        return false;
    if (raft_log_term(&r->log, index) != r->term && !RAFT_FAULT(r, OLD_TERM_COMMIT))
        return false;
    bool first_of_term = !raft_term_committed(r);
    raft_set_commit(r, index);
    if (first_of_term)
        raft_reads_advance(r);
    return true;
}

void raft_leader_stable(struct raft *r)
{
    if (raft_advance_commit(r))
        raft_replicate_all(r);
}

/* ---- sending ---- */

/* An append of `n` entries behind p->next − 1; takes copies of them. */
static void send_append(struct raft *r, struct raft_progress *p, const struct raft_entry *e,
                        size_t n)
{
    struct raft_message m = raft_message_to(r, p->id, RAFT_MSG_APPEND);
    m.index = p->next - 1;
    m.log_term = raft_log_term(&r->log, m.index);
    m.commit = raft_commit_durable(r);
    uint64_t bytes = 0;
    if (n == 0 && p->state == RAFT_REPLICATE && p->commit_sent < m.commit)
        m.flags = RAFT_MSG_NO_REPLY;
    if (n) {
        m.entries = mem_dup(e, n * sizeof *e);
        m.entries_len = n;
        for (size_t i = 0; i < n; i++) {
            assert(e[i].index == p->next + i);
            blob_ref(e[i].data);
            bytes += raft_entry_size(&e[i]);
        }
    }
    p->commit_sent = m.commit;
    raft_progress_sent(p, n, bytes);
    raft_send(r, &m);
}

/* Entries that are not in memory any more come from the stored log. */
static void fetch(struct raft *r, struct raft_progress *p)
{
    p->fetch_id = ++r->last_fetch_id;
    vec_push(&raft_out(r)->fetches, (struct raft_fetch){p->id, p->fetch_id, p->next, r->applied,
                                                        r->params.append_bytes_max});
}

/*
 * Is a message worth its while only to tell the commit index? A follower needs it to apply, which is
 * urgent for a change of configuration and where a caller of its own waits; for anything else it may
 * come with the next entries (params.commit_lazy).
 */
static bool commit_is_due(const struct raft *r, const struct raft_progress *p)
{
    return p->commit_sent < raft_commit_durable(r) &&
           (!r->params.commit_lazy || p->commit_sent < p->awaited || raft_has_committed_change(r));
}

/* Send one append if there is anything to say; false when done for now. */
static bool replicate_one(struct raft *r, struct raft_progress *p)
{
    if (p->next - 1 < r->log.base_index) {
        raft_need_snapshot(r, p);
        return false;
    }
    if (p->next > r->log.last_index) {
        if (commit_is_due(r, p) || p->state == RAFT_PROBE)
            send_append(r, p, NULL, 0);
        return false;
    }
    const struct raft_entry *e;
    size_t n = raft_log_slice(&r->log, p->next, r->log.last_index, r->params.append_bytes_max, &e);
    if (n == 0) {
        fetch(r, p);
        return false;
    }
    send_append(r, p, e, MIN(n, RAFT_MESSAGE_ENTRIES_MAX));
    return true;
}

/* A window that is full still lets the commit index through: it is small and releases answers. */
static void send_commit_only(struct raft *r, struct raft_progress *p)
{
    if (p->state != RAFT_REPLICATE || p->fetch_id || !commit_is_due(r, p) ||
        p->next - 1 < r->log.base_index)
        return;
    send_append(r, p, NULL, 0);
}

void raft_replicate(struct raft *r, struct raft_progress *p)
{
    assert(r->role == RAFT_LEADER);
    while (raft_progress_may_send(p, r->params.inflight_bytes_max)) {
        if (!replicate_one(r, p))
            return;
    }
    send_commit_only(r, p);
}

void raft_replicate_all(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_len; i++)
        raft_replicate(r, &r->peers[i]);
}

bool raft_commit_untold(const struct raft *r)
{
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->peers_len; i++)
        if (r->peers[i].state == RAFT_REPLICATE && r->peers[i].commit_sent < raft_commit_durable(r))
            return true;
    return false;
}

void raft_tell_commit(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < r->peers_len; i++)
        raft_commit_awaited(r, r->peers[i].id, r->commit);
}

void raft_commit_awaited(struct raft *r, uint64_t peer, uint64_t index)
{
    struct raft_progress *p = r->role == RAFT_LEADER ? raft_peer(r, peer) : NULL;
    if (!p)
        return;
    p->awaited = MAX(p->awaited, index);
    if (commit_is_due(r, p))
        raft_replicate(r, p);
}

void raft_send_heartbeats(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_len; i++) {
        struct raft_progress *p = &r->peers[i];
        struct raft_message m = raft_message_to(r, p->id, RAFT_MSG_HEARTBEAT);
        /* Never beyond what the peer is known to have in common with us. */
        m.commit = MIN(p->match, raft_commit_durable(r));
        m.context = r->read_round;
        raft_send(r, &m);
    }
}

void raft_fetched(struct raft *r, const struct raft_fetch *f, const struct raft_entry *entries,
                  size_t n)
{
    struct raft_progress *p = raft_peer(r, f->peer);
    if (r->role != RAFT_LEADER || !p || p->fetch_id != f->id)
        return;
    p->fetch_id = 0;
    if (p->next != f->lo) {
        raft_replicate(r, p);
        return;
    }
    if (n == 0) {
        raft_need_snapshot(r, p);
        return;
    }
    assert(entries[0].index == f->lo && f->lo + n - 1 <= r->applied);
    if (!raft_progress_may_send(p, r->params.inflight_bytes_max) || f->lo - 1 < r->log.base_index)
        return; /* a later reply or heartbeat starts it again */
    send_append(r, p, entries, MIN(n, RAFT_MESSAGE_ENTRIES_MAX));
    raft_replicate(r, p);
}

void raft_peer_unreachable(struct raft *r, uint64_t peer)
{
    struct raft_progress *p = r->role == RAFT_LEADER ? raft_peer(r, peer) : NULL;
    if (p && p->state == RAFT_REPLICATE)
        raft_progress_probe(p, p->match + 1);
}

/* ---- follower ---- */

/*
 * Tell the leader that our log agrees with its up to `index`; only when that part is flushed, and the
 * term under which we agreed too.
 */
void raft_ack(struct raft *r, uint64_t to, uint64_t index)
{
    struct raft_message m = raft_message_to(r, to, RAFT_MSG_APPEND_REPLY);
    m.index = index;
    if ((index <= r->stable && raft_term_is_stable(r)) || RAFT_FAULT(r, ACK_UNFLUSHED))
        raft_send(r, &m);
    else
        raft_send_durable(r, &m);
}

/* The first of the message's entries that our log does not have; entries_len when it has all. */
static size_t first_new_entry(const struct raft *r, const struct raft_message *m)
{
    size_t i = 0;
    while (i < m->entries_len && m->entries[i].index <= r->log.last_index &&
           raft_log_term(&r->log, m->entries[i].index) == m->entries[i].term)
        i++;
    return i;
}

static void reject_append(struct raft *r, const struct raft_message *m)
{
    struct raft_message reply = raft_message_to(r, m->from, RAFT_MSG_APPEND_REPLY);
    reply.reject = true;
    reply.index = m->index;
    /* Skip a whole term at once: nothing above `hint` of our log can agree with the leader's. */
    reply.hint = raft_log_find_term(&r->log, MIN(m->index, r->log.last_index), m->log_term);
    reply.log_term = raft_log_term(&r->log, reply.hint);
    raft_send_durable(r, &reply);
}

/*
 * Entries already here are left alone, also those behind them: an append that arrives late, after
 * newer ones, must not cut off what was acknowledged meanwhile. Only a contradiction cuts.
 */
static void append_entries(struct raft *r, const struct raft_message *m)
{
    size_t i = first_new_entry(r, m);
    if (RAFT_FAULT(r, TRUNCATE_MATCHED) && m->entries_len > 0) {
        i = 0;
        while (i < m->entries_len && m->entries[i].index <= r->commit)
            i++;
        uint64_t cut = MAX(m->index, r->commit);
        if (cut < r->log.last_index)
            raft_truncate(r, cut);
    }
    if (i < m->entries_len && m->entries[i].index <= r->log.last_index)
        raft_truncate(r, m->entries[i].index - 1);
    for (; i < m->entries_len; i++)
        raft_append_entry(r, &m->entries[i]);
}

/* Contents that a correct leader of this term could send. */
static bool append_is_sane(const struct raft *r, const struct raft_message *m)
{
    uint64_t term = m->log_term;
    for (size_t i = 0; i < m->entries_len; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->index != m->index + 1 + i || e->term < term || e->term > m->term)
            return false;
        if (e->index <= r->commit && e->index >= r->log.base_index &&
            raft_log_term(&r->log, e->index) != e->term)
            return false; /* would overwrite what is committed */
        term = e->term;
    }
    return true;
}

void raft_recv_append(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER)
        return; /* two leaders of one term: only a sender that lies */
    raft_become_follower(r, m->term, m->from);
    if (r->installing || !append_is_sane(r, m))
        return;
    if (m->index < r->commit && m->index + m->entries_len <= r->commit) {
        raft_ack(r, m->from, r->commit); /* all of it is old news */
        return;
    }
    if (m->index < r->log.base_index) {
        raft_ack(r, m->from, r->commit);
        return;
    }
    if (m->index > r->log.last_index || raft_log_term(&r->log, m->index) != m->log_term) {
        reject_append(r, m);
        return;
    }
    /* When too much waits for our disk or state machine, learn no more than what is committed of it,
     * and say nothing: the leader asks again with its next heartbeat, not at once. While nothing
     * committed waits, entries must be taken however many there are: they may be just what a new
     * leader needs on a quorum to commit the rest. (Leaders bound that tail, see may_propose.) */
    raft_set_commit(r, MIN(m->commit, m->index));
    if (m->entries_len > 0 && r->commit > r->applied &&
        r->log.pinned_bytes > 2 * r->params.unstable_bytes_max)
        return;
    append_entries(r, m);
    uint64_t agreed = m->index + m->entries_len;
    raft_set_commit(r, MIN(m->commit, agreed));
    if (!(m->flags & RAFT_MSG_NO_REPLY))
        raft_ack(r, m->from, agreed);
}

/*
 * A heartbeat says min(match of this peer, commit index), so no more than what this member has acknowledged to this
 * leader in this term, and no more than what is committed. Entries of which both are true are in every later log of
 * a member that keeps its promises: they were flushed before the acknowledgement left, no leader of a later term
 * contradicts them, and a snapshot replaces them only by more. That holds however late or often the message comes,
 * and in whatever life of the member. So if our log ends before, it has lost something.
 */
void raft_recv_heartbeat(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER)
        return;
    raft_become_follower(r, m->term, m->from);
    if (!r->installing && m->commit > r->log.last_index) {
        r->forgotten = m->commit;
        return;
    }
    if (!r->installing)
        raft_set_commit(r, m->commit);
    struct raft_message reply = raft_message_to(r, m->from, RAFT_MSG_HEARTBEAT_REPLY);
    reply.context = m->context;
    if (raft_term_is_stable(r))
        raft_send(r, &reply); /* a disk that is slow with entries must not silence us */
    else
        raft_send_durable(r, &reply);
}

/* ---- leader ---- */

void raft_recv_append_reply(struct raft *r, const struct raft_message *m)
{
    struct raft_progress *p = r->role == RAFT_LEADER ? raft_peer(r, m->from) : NULL;
    if (!p || m->index > r->log.last_index)
        return;
    p->recent_active = true;
    if (m->reject) {
        uint64_t hint = MIN(m->hint, raft_log_find_term(&r->log, m->hint, m->log_term));
        if (raft_progress_rejected(p, m->index, hint))
            raft_replicate(r, p);
        return;
    }
    bool news = raft_progress_acked(p, m->index);
    if (p->state == RAFT_PROBE || (p->state == RAFT_SNAPSHOT && p->match >= r->log.base_index))
        raft_progress_replicate(p);
    if (news && raft_advance_commit(r))
        raft_replicate_all(r);
    else
        raft_replicate(r, p);
    raft_transfer_advance(r, p);
}

void raft_recv_heartbeat_reply(struct raft *r, const struct raft_message *m)
{
    struct raft_progress *p = r->role == RAFT_LEADER ? raft_peer(r, m->from) : NULL;
    if (!p)
        return;
    raft_progress_nudge(p, r->params.inflight_bytes_max);
    if (m->context > p->read_acked && m->context <= r->read_round) {
        p->read_acked = m->context;
        raft_reads_advance(r);
    }
    if (p->match < r->log.last_index || p->state == RAFT_PROBE)
        raft_replicate(r, p);
    /* Everything was sent but not all of it confirmed: should it be lost, the refusal of an empty
     * append behind it will tell. */
    if (p->state == RAFT_REPLICATE && !p->fetch_id && p->next > r->log.last_index &&
        p->match < r->log.last_index)
        send_append(r, p, NULL, 0);
}
