/*
 * Configurations taking effect, joint ones being left, and leadership being handed over.
 */
#include "raft/state.h"

#include <assert.h>

void raft_pending_configs_truncate(struct raft *r, uint64_t last)
{
    while (r->pending_configs.len &&
           r->pending_configs.items[r->pending_configs.len - 1].index > last)
        blob_unref(vec_pop(&r->pending_configs).data);
}

uint64_t raft_last_change(const struct raft *r)
{
    size_t n = r->pending_configs.len;
    return n ? r->pending_configs.items[n - 1].index : 0;
}

bool raft_has_committed_change(const struct raft *r)
{
    return r->pending_configs.len > 0 && r->pending_configs.items[0].index <= r->commit;
}

void raft_progress_rebuild(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_len; i++)
        raft_progress_close(&r->peers[i]);
    r->peers_len = 0;
    struct raft_id_set members = raft_config_members(&r->config);
    for (uint32_t i = 0; i < members.len; i++) {
        if (members.ids[i] == r->params.id)
            continue;
        struct raft_progress *p = &r->peers[r->peers_len++];
        raft_progress_init(p, members.ids[i], r->log.last_index + 1, r->params.inflight_max);
        p->recent_active = true; /* time to answer before the first quorum check */
    }
}

/* Peers of the new configuration; what is known of those that stay is kept. */
static void progress_update(struct raft *r)
{
    struct raft_id_set members = raft_config_members(&r->config);
    for (uint32_t i = r->peers_len; i-- > 0;) {
        if (raft_ids_has(&members, r->peers[i].id))
            continue;
        raft_progress_close(&r->peers[i]);
        r->peers[i] = r->peers[--r->peers_len];
    }
    for (uint32_t i = 0; i < members.len; i++) {
        uint64_t id = members.ids[i];
        if (id == r->params.id || raft_peer(r, id))
            continue;
        struct raft_progress *p = &r->peers[r->peers_len++];
        raft_progress_init(p, id, r->log.last_index + 1, r->params.inflight_max);
        p->recent_active = true;
    }
}

/* The leader has no vote any more: let the voter that has most take over at once. */
static void step_down_removed(struct raft *r)
{
    const struct raft_progress *best = NULL;
    for (uint32_t i = 0; i < r->peers_len; i++) {
        const struct raft_progress *p = &r->peers[i];
        if (raft_config_is_voter(&r->config, p->id) && (!best || p->match > best->match))
            best = p;
    }
    if (best) {
        struct raft_message m = raft_message_to(r, best->id, RAFT_MSG_TIMEOUT_NOW);
        raft_send(r, &m);
    }
    raft_become_follower(r, r->term, 0);
}

/*
 * The leader that we follow has no vote any more: it goes. All learn of that at about the same time, so they
 * campaign in the order of their ids instead of waiting for their election timeouts. (Whom the leader itself
 * calls upon, step_down_removed, may not have applied the change yet and could not campaign.)
 */
static void leader_leaves(struct raft *r)
{
    uint32_t rank = 0;
    raft_become_follower(r, r->term, 0);
    for (uint32_t i = 0; i < r->config.voters.len; i++)
        rank += r->config.voters.ids[i] < r->params.id;
    uint32_t turn = 2 + 2 * rank * r->params.heartbeat_ticks;
    if (raft_is_voter(r) && turn < r->election_timeout)
        r->election_timeout = turn;
}

static void config_changed(struct raft *r)
{
    if (r->role == RAFT_FOLLOWER && r->leader && !raft_config_is_voter(&r->config, r->leader))
        leader_leaves(r);
    if (r->role != RAFT_LEADER)
        return;
    progress_update(r);
    if (r->transfer_to && !raft_config_is_voter(&r->config, r->transfer_to))
        r->transfer_to = 0;
    if (raft_is_voter(r))
        raft_advance_commit(r); /* a smaller quorum may already have it */
    raft_replicate_all(r);
    if (!raft_is_voter(r))
        step_down_removed(r);
    else
        raft_reads_advance(r);
}

void raft_apply_configs(struct raft *r)
{
    size_t n = 0;
    bool changed = false;
    for (; n < r->pending_configs.len && r->pending_configs.items[n].index <= r->applied; n++) {
        struct raft_pending_config *pending = &r->pending_configs.items[n];
        struct raft_entry e = {pending->index, 0, RAFT_ENTRY_CONFIG, pending->data};
        struct raft_change change;
        /* A change that cannot be read or makes no sense changes nothing, on every member alike. */
        if (raft_change_decode(raft_entry_payload(&e), &change, NULL) == 0 &&
            raft_config_change(&r->config, &change, &r->config, NULL) == 0)
            changed = true;
        blob_unref(pending->data);
    }
    if (n == 0)
        return;
    memmove(r->pending_configs.items, r->pending_configs.items + n,
            (r->pending_configs.len - n) * sizeof r->pending_configs.items[0]);
    r->pending_configs.len -= n;
    if (changed)
        config_changed(r);
}

/* A joint configuration is left as soon as it is applied; by a later leader if this one goes. */
void raft_try_leave_joint(struct raft *r)
{
    if (r->role != RAFT_LEADER || !raft_config_is_joint(&r->config) || !raft_term_committed(r) ||
        r->pending_config_index > r->applied)
        return;
    struct raft_change leave = {.leave = true};
    struct buf b;
    buf_init(&b);
    static const char no_origin[RAFT_PROPOSAL_HEADER]; /* nobody waits for it */
    buf_append(&b, no_origin, sizeof no_origin);
    raft_change_encode(&leave, &b);
    struct blob *data = blob_from(b.data, b.len);
    buf_free(&b);
    raft_append_entry(
        r, &(struct raft_entry){r->log.last_index + 1, r->term, RAFT_ENTRY_CONFIG, data});
    blob_unref(data);
    r->pending_config_index = r->log.last_index;
    raft_replicate_all(r);
}

/* ---- leadership transfer ---- */

void raft_transfer_advance(struct raft *r, struct raft_progress *p)
{
    if (r->role != RAFT_LEADER || !r->transfer_to || p->id != r->transfer_to ||
        p->match != r->log.last_index)
        return;
    struct raft_message m = raft_message_to(r, p->id, RAFT_MSG_TIMEOUT_NOW);
    raft_send(r, &m);
}

int raft_transfer(struct raft *r, uint64_t to, struct error *err)
{
    if (r->role != RAFT_LEADER)
        return error_set(err, ERR_UNAVAILABLE, "not the leader");
    if (to == r->params.id) {
        r->transfer_to = 0;
        return 0;
    }
    struct raft_progress *p = raft_peer(r, to);
    if (!p || !raft_config_is_voter(&r->config, to))
        return error_set(err, ERR_INVALID, "member %llx: not a voter", (unsigned long long)to);
    r->transfer_to = to;
    r->transfer_elapsed = 0;
    raft_transfer_advance(r, p);
    raft_replicate(r, p);
    return 0;
}
