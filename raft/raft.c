/*
 * The core's frame: making it, time, the dispatch of messages, and the collection of updates
 * (raft/raft.h). The protocol's parts are in election.c, replication.c, read_index.c, membership.c
 * and snapshot.c.
 */
#include "raft/state.h"

#include <assert.h>

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRE_CANDIDATE:
        return "pre-candidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    }
    return "unknown";
}

void raft_params_default(struct raft_params *p)
{
    *p = (struct raft_params){
        .heartbeat_ticks = 5,
        .election_ticks = 50,
        .append_bytes_max = 1024 * 1024,
        .inflight_max = 256,
        .inflight_bytes_max = 8 * 1024 * 1024,
        .unstable_bytes_max = 32 * 1024 * 1024,
        .cache_bytes_max = 4 * 1024 * 1024,
        .pending_reads_max = 4096,
    };
}

static bool boot_valid(const struct raft_boot *b)
{
    return raft_config_valid(&b->config) && b->applied <= b->hard.commit &&
           b->hard.commit <= b->last_index && b->base_index <= b->applied;
}

static void collect_pending_config(struct raft *r, const struct raft_entry *e)
{
    if (e->kind == RAFT_ENTRY_CONFIG)
        vec_push(&r->pending_configs, (struct raft_pending_config){e->index, blob_ref(e->data)});
}

int raft_new(const struct raft_params *params, const struct raft_boot *boot, struct raft **out,
             struct error *err)
{
    assert(params->id != 0 && params->heartbeat_ticks >= 1);
    assert(params->election_ticks > params->heartbeat_ticks);
    *out = NULL;
    if (!boot_valid(boot))
        return error_set(err, ERR_CORRUPT, "raft: stored indexes contradict each other");
    struct raft *r = mem_zalloc(sizeof *r);
    if (!raft_log_init(&r->log, boot)) {
        mem_free(r);
        return error_set(err, ERR_CORRUPT, "raft: stored log is not contiguous");
    }
    if (raft_log_last_term(&r->log) > boot->hard.term) {
        raft_log_free(&r->log);
        mem_free(r);
        return error_set(err, ERR_CORRUPT, "raft: stored log is ahead of the stored term");
    }
    r->params = *params;
    rng_seed(&r->rng, params->seed);
    r->term = boot->hard.term;
    r->vote = RAFT_FAULT(r, VOTE_FORGOTTEN) ? 0 : boot->hard.vote;
    r->commit = boot->hard.commit;
    r->applied = r->handed = boot->applied;
    r->stable = boot->last_index;
    r->unsent = boot->last_index + 1;
    r->seq_next = 1;
    r->hard_handed = (struct raft_hard_state){r->term, r->vote, r->commit};
    r->config = boot->config;
    for (size_t i = 0; i < boot->tail_len; i++)
        collect_pending_config(r, &boot->tail[i]);
    raft_reset_election_timer(r);
    *out = r;
    return 0;
}

static void output_clear(struct raft_output *o)
{
    for (size_t i = 0; i < o->messages.len; i++)
        raft_message_clear(&o->messages.items[i]);
    for (size_t i = 0; i < o->entries.len; i++)
        blob_unref(o->entries.items[i].data);
    for (size_t i = 0; i < o->apply.len; i++)
        blob_unref(o->apply.items[i].data);
    vec_clear(&o->messages);
    vec_clear(&o->entries);
    vec_clear(&o->apply);
    vec_clear(&o->reads);
    vec_clear(&o->fetches);
    vec_clear(&o->snapshots);
    o->install_set = false;
}

static void output_free(struct raft_output *o)
{
    output_clear(o);
    vec_free(&o->messages);
    vec_free(&o->entries);
    vec_free(&o->apply);
    vec_free(&o->reads);
    vec_free(&o->fetches);
    vec_free(&o->snapshots);
}

void raft_free(struct raft *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->peers_len; i++)
        raft_progress_close(&r->peers[i]);
    for (size_t i = 0; i < r->pending_configs.len; i++)
        blob_unref(r->pending_configs.items[i].data);
    vec_free(&r->pending_configs);
    vec_free(&r->batches);
    vec_free(&r->held);
    vec_free(&r->reads);
    output_free(&r->out[0]);
    output_free(&r->out[1]);
    raft_log_free(&r->log);
    mem_free(r);
}

/* ---- outgoing messages ---- */

struct raft_output *raft_out(struct raft *r)
{
    return &r->out[r->filling];
}

struct raft_message raft_message_to(const struct raft *r, uint64_t to, enum raft_message_type type)
{
    return (struct raft_message){.type = type, .from = r->params.id, .to = to, .term = r->term};
}

void raft_send(struct raft *r, const struct raft_message *m)
{
    assert(m->to != 0 && m->to != r->params.id);
    vec_push(&raft_out(r)->messages, *m);
}

/* Something in memory is not in any batch handed out so far, or in an installation under way. */
static bool is_dirty(const struct raft *r)
{
    return r->installing || r->term != r->hard_handed.term || r->vote != r->hard_handed.vote ||
           r->unsent <= r->log.last_index || (r->change_commit && !r->change_seq);
}

bool raft_term_is_stable(const struct raft *r)
{
    return !r->installing && r->term == r->hard_handed.term && r->term_seq <= r->seq_flushed;
}

void raft_send_durable(struct raft *r, const struct raft_message *m)
{
    assert(m->entries_len == 0 && m->snapshot == NULL);
    uint64_t after = is_dirty(r) ? r->seq_next : r->seq_handed;
    if (after <= r->seq_flushed)
        raft_send(r, m);
    else
        vec_push(&r->held, (struct raft_held){after, *m});
}

/* Release what waited for batches up to seq. What was promised in an older term has lost its
 * addressee; it is dropped rather than argued about. */
static void release_held(struct raft *r, uint64_t seq)
{
    size_t n = 0;
    while (n < r->held.len && r->held.items[n].after <= seq) {
        const struct raft_message *m = &r->held.items[n].message;
        if (m->term == r->term)
            raft_send(r, m);
        n++;
    }
    if (n == 0)
        return;
    memmove(r->held.items, r->held.items + n, (r->held.len - n) * sizeof r->held.items[0]);
    r->held.len -= n;
}

/* ---- the log ---- */

void raft_append_entry(struct raft *r, const struct raft_entry *e)
{
    raft_log_append(&r->log, e);
    collect_pending_config(r, e);
}

/*
 * Cut the log back. Batches under way keep only what is below the cut: without that, a flush that was
 * started for an entry since replaced would count for its replacement (append at 5, cut, append
 * another at 5: the report about the first must not make the second stable).
 */
void raft_truncate(struct raft *r, uint64_t last)
{
    assert(last >= r->commit && last >= r->handed);
    raft_log_truncate(&r->log, last);
    raft_pending_configs_truncate(r, last);
    r->stable = MIN(r->stable, last);
    r->unsent = MIN(r->unsent, last + 1);
    for (size_t i = 0; i < r->batches.len; i++)
        r->batches.items[i].last_index = MIN(r->batches.items[i].last_index, last);
}

bool raft_is_voter(const struct raft *r)
{
    return raft_config_is_voter(&r->config, r->params.id);
}

/* ---- events ---- */

static void tick_leader(struct raft *r)
{
    if (++r->heartbeat_elapsed >= r->params.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        raft_send_heartbeats(r);
    }
    if (r->transfer_to && ++r->transfer_elapsed >= r->params.election_ticks)
        r->transfer_to = 0;
}

void raft_tick(struct raft *r)
{
    raft_tick_election(r);
    if (r->role == RAFT_LEADER)
        tick_leader(r);
}

/*
 * A message of an older term. Its sender may be cut off from news: tell it, where that can matter,
 * so that a leader of the past steps down and a candidate that lags joins again.
 */
static void recv_old_term(struct raft *r, const struct raft_message *m)
{
    struct raft_message reply;
    switch (m->type) {
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
        reply = raft_message_to(r, m->from, RAFT_MSG_APPEND_REPLY);
        break;
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        reply = raft_message_to(
            r, m->from, m->type == RAFT_MSG_VOTE ? RAFT_MSG_VOTE_REPLY : RAFT_MSG_PRE_VOTE_REPLY);
        raft_add_news(r, &reply);
        break;
    default:
        return;
    }
    reply.reject = true;
    raft_send_durable(r, &reply);
}

/* Heard of a leader less than the shortest election timeout ago. */
static bool in_lease(const struct raft *r)
{
    return r->leader != 0 && r->election_elapsed < r->params.election_ticks;
}

/* Bring our term up to the message's; false: the message is to be ignored. */
static bool recv_new_term(struct raft *r, const struct raft_message *m)
{
    bool request = m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_VOTE;
    /* A member that lost touch, or was removed, must not disturb a leader that works. */
    if (request && !(m->flags & RAFT_MSG_TRANSFER) && in_lease(r))
        return false;
    if (m->type == RAFT_MSG_PRE_VOTE)
        return true; /* asking costs nobody a term */
    if (m->type == RAFT_MSG_PRE_VOTE_REPLY && !m->reject)
        return true; /* bears the term the election would have */
    bool from_leader =
        m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_SNAPSHOT;
    raft_become_follower(r, m->term, from_leader ? m->from : 0);
    return true;
}

static void dispatch(struct raft *r, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        raft_recv_vote_request(r, m);
        break;
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        raft_recv_vote_reply(r, m);
        break;
    case RAFT_MSG_APPEND:
        raft_recv_append(r, m);
        break;
    case RAFT_MSG_APPEND_REPLY:
        raft_recv_append_reply(r, m);
        break;
    case RAFT_MSG_HEARTBEAT:
        raft_recv_heartbeat(r, m);
        break;
    case RAFT_MSG_HEARTBEAT_REPLY:
        raft_recv_heartbeat_reply(r, m);
        break;
    case RAFT_MSG_SNAPSHOT:
        raft_recv_snapshot(r, m);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        raft_recv_timeout_now(r, m);
        break;
    case RAFT_MSG_READ_INDEX:
        raft_recv_read_index(r, m);
        break;
    case RAFT_MSG_READ_INDEX_REPLY:
        raft_recv_read_index_reply(r, m);
        break;
    }
}

void raft_step(struct raft *r, const struct raft_message *m)
{
    if (m->to != r->params.id || m->from == r->params.id || m->from == 0 || m->term == 0)
        return;
    if (m->type <= RAFT_MSG_VOTE_REPLY)
        raft_learn_commit(r, m);
    if (m->term < r->term) {
        recv_old_term(r, m);
        return;
    }
    if (m->term > r->term && !recv_new_term(r, m))
        return;
    dispatch(r, m);
}

void raft_persisted(struct raft *r, uint64_t seq)
{
    assert(seq > r->seq_flushed && seq <= r->seq_handed);
    r->seq_flushed = seq;
    size_t n = 0;
    while (n < r->batches.len && r->batches.items[n].seq <= seq) {
        r->stable = MAX(r->stable, r->batches.items[n].last_index);
        n++;
    }
    assert(n > 0 && r->stable <= r->log.last_index);
    memmove(r->batches.items, r->batches.items + n,
            (r->batches.len - n) * sizeof r->batches.items[0]);
    r->batches.len -= n;
    release_held(r, seq);
    raft_self_vote_flushed(r);
    bool told = r->change_seq && r->change_seq <= seq;
    if (told)
        r->change_commit = r->change_seq = 0;
    if (r->role == RAFT_LEADER)
        raft_leader_stable(r);
    if (r->role == RAFT_LEADER && told)
        raft_replicate_all(r);
}

void raft_snapshot_installed(struct raft *r)
{
    const struct raft_snapshot_meta *meta = &r->install;
    assert(r->installing && r->batches.len == 0 && r->applied == r->handed);
    assert(meta->index > r->commit);
    raft_log_reset(&r->log, meta->index, meta->term);
    raft_pending_configs_truncate(r, 0);
    r->commit = r->applied = r->handed = r->stable = meta->index;
    r->change_commit = r->change_seq = 0;
    r->unsent = meta->index + 1;
    r->installing = false;
    r->config = meta->config;
    if (!is_dirty(r))
        release_held(r, r->seq_next); /* the installation made durable what they waited for */
    if (r->leader)
        raft_ack(r, r->leader, meta->index);
}

void raft_applied(struct raft *r, uint64_t applied)
{
    assert(applied <= r->handed);
    if (applied <= r->applied)
        return;
    r->applied = applied;
    raft_log_unpin(&r->log, applied, r->params.cache_bytes_max);
    raft_apply_configs(r);
    raft_try_leave_joint(r);
}

void raft_compacted(struct raft *r, uint64_t base_index)
{
    assert(base_index <= r->applied || base_index <= r->log.base_index);
    raft_log_compact(&r->log, base_index);
}

/* ---- proposals ---- */

static int may_propose(const struct raft *r, struct error *err)
{
    if (r->role != RAFT_LEADER)
        return error_set(err, ERR_UNAVAILABLE, "not the leader");
    if (r->transfer_to)
        return error_set(err, ERR_UNAVAILABLE, "leadership is being handed over");
    if (r->log.pinned_bytes > r->params.unstable_bytes_max)
        return error_set(err, ERR_LIMIT, "too many requests: %llu bytes wait to be applied",
                         (unsigned long long)r->log.pinned_bytes);
    return 0;
}

int raft_propose(struct raft *r, struct blob *const *data, size_t n, uint64_t *first_index,
                 struct error *err)
{
    int rc = may_propose(r, err);
    if (rc < 0)
        return rc;
    *first_index = r->log.last_index + 1;
    for (size_t i = 0; i < n; i++) {
        assert(data[i] && data[i]->len >= RAFT_PROPOSAL_HEADER);
        raft_append_entry(
            r, &(struct raft_entry){r->log.last_index + 1, r->term, RAFT_ENTRY_DATA, data[i]});
    }
    raft_replicate_all(r);
    return 0;
}

int raft_may_change(const struct raft *r, struct error *err)
{
    int rc = may_propose(r, err);
    if (rc < 0)
        return rc;
    if (!RAFT_FAULT(r, EARLY_CHANGE) &&
        (!raft_term_committed(r) || r->pending_config_index > r->applied))
        return error_set(err, ERR_CONFLICT, "an earlier membership change is not applied yet");
    return 0;
}

int raft_propose_change(struct raft *r, struct blob *data, uint64_t *index, struct error *err)
{
    int rc = raft_may_change(r, err);
    if (rc < 0)
        return rc;
    struct raft_entry e = {r->log.last_index + 1, r->term, RAFT_ENTRY_CONFIG, data};
    struct raft_change change;
    struct raft_config next;
    rc = raft_change_decode(raft_entry_payload(&e), &change, err);
    if (rc == 0 && change.leave)
        rc = error_set(err, ERR_INVALID, "a joint configuration is left by the leader itself");
    if (rc == 0)
        rc = raft_config_change(&r->config, &change, &next, err);
    if (rc < 0)
        return rc;
    raft_append_entry(r, &e);
    r->pending_config_index = *index = e.index;
    raft_replicate_all(r);
    return 0;
}

/* ---- updates ---- */

/* Everything since the last batch becomes the next one. */
static void take_persist(struct raft *r, struct raft_output *o, struct raft_persist *p)
{
    *p = (struct raft_persist){0};
    if (r->installing || !is_dirty(r))
        return;
    p->seq = r->seq_next;
    p->hard = (struct raft_hard_state){r->term, r->vote, r->commit};
    while (r->unsent <= r->log.last_index) {
        const struct raft_entry *e;
        size_t n = raft_log_slice(&r->log, r->unsent, r->log.last_index, UINT64_MAX, &e);
        assert(n > 0); /* what is not flushed is never evicted */
        for (size_t i = 0; i < n; i++) {
            vec_push(&o->entries, e[i]);
            blob_ref(e[i].data);
        }
        r->unsent += n;
    }
    p->entries = o->entries.items;
    p->entries_len = o->entries.len;
    vec_push(&r->batches, (struct raft_batch){p->seq, r->log.last_index});
    if (p->hard.term != r->hard_handed.term)
        r->term_seq = p->seq;
    if (r->change_commit && !r->change_seq)
        r->change_seq = p->seq;
    r->hard_handed = p->hard;
    r->seq_handed = r->seq_next++;
}

static void take_apply(struct raft *r, struct raft_output *o)
{
    uint64_t commit = raft_commit_durable(r);
    uint64_t hi = RAFT_FAULT(r, APPLY_UNFLUSHED) ? commit : MIN(commit, r->stable);
    if (r->installing || hi <= r->handed)
        return;
    const struct raft_entry *e;
    size_t n = raft_log_slice(&r->log, r->handed + 1, hi, UINT64_MAX, &e);
    assert(n == hi - r->handed); /* what is not applied is never evicted */
    for (size_t i = 0; i < n; i++) {
        vec_push(&o->apply, e[i]);
        blob_ref(e[i].data);
    }
    r->handed = hi;
}

bool raft_take_ready(struct raft *r, struct raft_ready *out)
{
    struct raft_output *o = raft_out(r);
    *out = (struct raft_ready){0};
    take_persist(r, o, &out->persist);
    take_apply(r, o);
    out->messages = o->messages.items;
    out->messages_len = o->messages.len;
    out->apply = o->apply.items;
    out->apply_len = o->apply.len;
    out->reads = o->reads.items;
    out->reads_len = o->reads.len;
    out->fetches = o->fetches.items;
    out->fetches_len = o->fetches.len;
    out->snapshots = o->snapshots.items;
    out->snapshots_len = o->snapshots.len;
    if (o->install_set) {
        out->install = &o->install;
        out->install_hard = o->install_hard;
    }
    r->filling ^= 1;
    output_clear(raft_out(r));
    return out->persist.seq || out->messages_len || out->apply_len || out->reads_len ||
           out->fetches_len || out->snapshots_len || out->install;
}

/* ---- questions ---- */

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}
uint64_t raft_id(const struct raft *r)
{
    return r->params.id;
}
uint64_t raft_term(const struct raft *r)
{
    return r->term;
}
uint64_t raft_vote(const struct raft *r)
{
    return r->vote;
}
uint64_t raft_leader(const struct raft *r)
{
    return r->leader;
}
uint64_t raft_commit_index(const struct raft *r)
{
    return r->commit;
}
uint64_t raft_applied_index(const struct raft *r)
{
    return r->applied;
}
uint64_t raft_last_index(const struct raft *r)
{
    return r->log.last_index;
}
uint64_t raft_stable_index(const struct raft *r)
{
    return r->stable;
}
uint64_t raft_base_index(const struct raft *r)
{
    return r->log.base_index;
}
uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    return raft_log_term(&r->log, index);
}
const struct raft_config *raft_configuration(const struct raft *r)
{
    return &r->config;
}
uint64_t raft_forgotten(const struct raft *r)
{
    return r->forgotten;
}
uint64_t raft_memory_bytes(const struct raft *r)
{
    return r->log.bytes;
}
bool raft_term_committed(const struct raft *r)
{
    return r->role == RAFT_LEADER && raft_log_term(&r->log, r->commit) == r->term;
}

size_t raft_peers(const struct raft *r, struct raft_peer_status out[RAFT_MEMBERS_MAX])
{
    if (r->role != RAFT_LEADER)
        return 0;
    for (uint32_t i = 0; i < r->peers_len; i++) {
        const struct raft_progress *p = &r->peers[i];
        out[i] = (struct raft_peer_status){p->id,    raft_config_is_learner(&r->config, p->id),
                                           p->state, p->match,
                                           p->next,  p->recent_active};
    }
    return r->peers_len;
}
