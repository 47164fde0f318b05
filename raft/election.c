/*
 * Elections: timeouts, campaigns with pre-vote, votes, and the changes of role.
 *
 * Why a vote is safe: term and vote are flushed before the answer leaves (raft_send_durable), a
 * candidate counts its own vote only after it is flushed too, and a member votes once in a term, for
 * a log at least as up to date as its own. So two leaders of one term would need a member that
 * answered both.
 */
#include "raft/state.h"

#include <assert.h>

static bool is_sole_voter(const struct raft *r)
{
    return r->config.voters.len == 1 && r->config.voters.ids[0] == r->params.id &&
           !raft_config_is_joint(&r->config);
}

void raft_reset_election_timer(struct raft *r)
{
    r->election_elapsed = 0;
    r->election_timeout =
        r->params.election_ticks + (uint32_t)rng_below(&r->rng, r->params.election_ticks);
    /* A sole voter competes with nobody: it leads at the next tick. */
    if (is_sole_voter(r))
        r->election_timeout = 1;
}

/* What every change of role or term does. */
static void reset(struct raft *r, uint64_t term)
{
    assert(term >= r->term);
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
    }
    r->leader = 0;
    r->granted_len = r->refused_len = 0;
    r->self_vote_seq = 0;
    r->campaign_transfer = false;
    r->transfer_to = 0;
    r->transfer_elapsed = 0;
    r->heartbeat_elapsed = 0;
    raft_reads_drop(r);
    raft_reset_election_timer(r);
}

void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
    reset(r, term);
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
}

/*
 * The first entry of a term has no content: it commits what older terms left behind, and until it is
 * committed neither reads nor membership changes are served, since until then the leader does not
 * know how far the commit index of its predecessors went.
 */
static void become_leader(struct raft *r)
{
    assert(r->role == RAFT_CANDIDATE && r->vote == r->params.id);
    reset(r, r->term);
    r->role = RAFT_LEADER;
    r->leader = r->params.id;
    raft_progress_rebuild(r);
    /* A change may be in the log that is not applied here yet; assume so until all of it is. */
    r->pending_config_index = r->log.last_index;
    raft_append_entry(r,
                      &(struct raft_entry){r->log.last_index + 1, r->term, RAFT_ENTRY_EMPTY, NULL});
    raft_replicate_all(r);
}

/* ---- counting ---- */

static bool listed(const uint64_t *ids, uint32_t n, uint64_t id)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static int vote_of(void *ctx, uint64_t id)
{
    const struct raft *r = ctx;
    if (listed(r->votes_granted, r->granted_len, id))
        return 1;
    return listed(r->votes_refused, r->refused_len, id) ? -1 : 0;
}

static void count_votes(struct raft *r)
{
    switch (raft_quorum_vote(&r->config, vote_of, r)) {
    case RAFT_VOTE_PENDING:
        return;
    case RAFT_VOTE_WON:
        if (r->role == RAFT_PRE_CANDIDATE)
            raft_campaign(r, false, r->campaign_transfer);
        else
            become_leader(r);
        return;
    case RAFT_VOTE_LOST:
        raft_become_follower(r, r->term, 0);
        return;
    }
}

static void record_vote(struct raft *r, uint64_t from, bool granted)
{
    if (vote_of(r, from) != 0 || !raft_config_is_voter(&r->config, from))
        return; /* the first answer counts; others have no vote */
    if (granted)
        r->votes_granted[r->granted_len++] = from;
    else
        r->votes_refused[r->refused_len++] = from;
    assert(r->granted_len + r->refused_len <= RAFT_MEMBERS_MAX);
    count_votes(r);
}

void raft_self_vote_flushed(struct raft *r)
{
    if (r->role != RAFT_CANDIDATE || !r->self_vote_seq || r->seq_flushed < r->self_vote_seq)
        return;
    r->self_vote_seq = 0;
    record_vote(r, r->params.id, true);
}

/* ---- news ---- */

/*
 * Election messages tell what the sender knows to be committed, and the receiver takes it over where
 * its own log agrees: that an entry of a term is committed is true for ever, whoever says it.
 *
 * Without it an election can get stuck for good. Voters 3 and 4, leader 3 removes itself (entry 99):
 *   1. 99 is committed by both; 3 applies it, goes on with entries 100…104, and the news that 99 is
 *      committed never reaches 4.
 *   2. 3 has no vote any more and does not campaign. 4, still in the configuration {3, 4}, asks 3,
 *      which must refuse since its log is longer.
 * With it the refusal tells 4 that 99 is committed; 4 applies it and elects itself.
 */
void raft_add_news(const struct raft *r, struct raft_message *m)
{
    m->commit = raft_commit_durable(r);
    m->hint = raft_log_term(&r->log, m->commit);
}

void raft_learn_commit(struct raft *r, const struct raft_message *m)
{
    if (!r->installing && m->commit > r->commit && m->commit <= r->log.last_index && m->hint != 0 &&
        raft_log_term(&r->log, m->commit) == m->hint)
        raft_set_commit(r, m->commit);
}

/* ---- campaigning ---- */

/* A member that knows of a committed change it has not applied would count with a configuration more
 * than one step behind the one in use (raft/config.h, rule 3). */
static bool may_campaign(const struct raft *r)
{
    return raft_is_voter(r) && !r->installing && !raft_has_committed_change(r);
}

static void ask_for_votes(struct raft *r, bool pre_vote, bool transfer)
{
    struct raft_id_set members = raft_config_members(&r->config);
    for (uint32_t i = 0; i < members.len; i++) {
        uint64_t id = members.ids[i];
        if (id == r->params.id || !raft_config_is_voter(&r->config, id))
            continue;
        struct raft_message m =
            raft_message_to(r, id, pre_vote ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE);
        m.index = r->log.last_index;
        m.log_term = raft_log_last_term(&r->log);
        m.flags = transfer ? RAFT_MSG_TRANSFER : 0;
        raft_add_news(r, &m);
        if (pre_vote) {
            m.term = r->term + 1;
            raft_send(r, &m);
        } else {
            /* A request must not outlive a crash that forgets it: answers to it would be counted
             * again for a log that is shorter than the one voted for. */
            raft_send_durable(r, &m);
        }
    }
}

void raft_campaign(struct raft *r, bool pre_vote, bool transfer)
{
    assert(r->role != RAFT_LEADER);
    if (!may_campaign(r)) {
        raft_reset_election_timer(r);
        return;
    }
    if (pre_vote) {
        reset(r, r->term);
        r->role = RAFT_PRE_CANDIDATE;
    } else {
        reset(r, r->term + 1);
        r->role = RAFT_CANDIDATE;
        r->vote = r->params.id;
        r->self_vote_seq = r->seq_next;
    }
    r->campaign_transfer = transfer;
    ask_for_votes(r, pre_vote, transfer);
    if (pre_vote)
        record_vote(r, r->params.id, true);
}

/* ---- time ---- */

static int peer_activity(void *ctx, uint64_t id)
{
    struct raft *r = ctx;
    if (id == r->params.id)
        return 1;
    const struct raft_progress *p = raft_peer(r, id);
    return p && p->recent_active ? 1 : -1;
}

/* A leader that has not heard of a quorum for an election timeout is no leader any more. */
static void check_quorum(struct raft *r)
{
    bool active = raft_quorum_vote(&r->config, peer_activity, r) == RAFT_VOTE_WON;
    for (uint32_t i = 0; i < r->peers_len; i++)
        r->peers[i].recent_active = false;
    if (!active)
        raft_become_follower(r, r->term, 0);
}

void raft_tick_election(struct raft *r)
{
    r->election_elapsed++;
    if (r->role == RAFT_LEADER) {
        if (r->election_elapsed >= r->params.election_ticks) {
            r->election_elapsed = 0;
            check_quorum(r);
        }
        return;
    }
    if (r->election_elapsed < r->election_timeout)
        return;
    /* Its own vote is being flushed, which may take longer than a tick. Nobody else could vote. */
    if (r->role == RAFT_CANDIDATE && is_sole_voter(r) && r->seq_flushed < r->self_vote_seq)
        return;
    raft_reset_election_timer(r);
    if (raft_is_voter(r))
        raft_campaign(r, true, false);
}

void raft_recv_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || (r->leader && m->from != r->leader))
        return;
    raft_campaign(r, false, true);
}

/* ---- requests and replies ---- */

static bool log_is_up_to_date(const struct raft *r, uint64_t log_term, uint64_t index)
{
    uint64_t own = raft_log_last_term(&r->log);
    return log_term > own || (log_term == own && index >= r->log.last_index);
}

/*
 * A learner answers too: it may have been made a voter by a change that it has not applied yet.
 */
void raft_recv_vote_request(struct raft *r, const struct raft_message *m)
{
    bool pre_vote = m->type == RAFT_MSG_PRE_VOTE;
    bool free_to_vote;
    if (pre_vote)
        free_to_vote = m->term > r->term;
    else
        free_to_vote = r->vote == m->from || (r->vote == 0 && r->leader == 0);
    bool grant = free_to_vote && log_is_up_to_date(r, m->log_term, m->index);
    struct raft_message reply =
        raft_message_to(r, m->from, pre_vote ? RAFT_MSG_PRE_VOTE_REPLY : RAFT_MSG_VOTE_REPLY);
    reply.reject = !grant;
    raft_add_news(r, &reply);
    if (pre_vote) {
        if (grant)
            reply.term = m->term;
        raft_send(r, &reply);
        return;
    }
    if (grant) {
        r->vote = m->from;
        raft_reset_election_timer(r);
    }
    raft_send_durable(r, &reply);
}

void raft_recv_vote_reply(struct raft *r, const struct raft_message *m)
{
    bool pre_vote = m->type == RAFT_MSG_PRE_VOTE_REPLY;
    if (r->role != (pre_vote ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
        return;
    if (pre_vote && !m->reject && m->term != r->term + 1)
        return; /* granted for another attempt */
    record_vote(r, m->from, !m->reject);
}
