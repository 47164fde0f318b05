/*
 * The core's state, private to raft/ and its tests. What each file does with it:
 *   raft.c        making, ticking, the dispatch of messages, updates
 *   election.c    campaigns, votes, changes of role
 *   replication.c appends, heartbeats, commit
 *   read_index.c  linearizable reads
 *   membership.c  changes of configuration, leadership transfer
 *   snapshot.c    peers too far behind, installing
 */
#ifndef C8S_RAFT_STATE_H
#define C8S_RAFT_STATE_H

#include "base/random.h"
#include "base/vec.h"
#include "raft/faults.h"
#include "raft/log_window.h"
#include "raft/progress.h"
#include "raft/raft.h"

/* A message that promises something: it leaves when batch `after` is flushed. */
struct raft_held {
    uint64_t after;
    struct raft_message message; /* owns nothing */
};

/* A batch handed out and not yet reported flushed. */
struct raft_batch {
    uint64_t seq;
    uint64_t last_index; /* entries up to here are ours as they are now, once it is flushed */
};

struct raft_pending_read {
    uint64_t from; /* member that asked; own id: local */
    uint64_t context;
    uint64_t index; /* 0: the term's first entry is not committed yet */
    uint64_t round; /* confirmed when a quorum has acknowledged this round or a later one */
};

/* A CONFIG entry in the log that is not applied yet. */
struct raft_pending_config {
    uint64_t index;
    struct blob *data; /* reference */
};

/* What goes out with a ready; two of them, one being filled while the caller holds the other. */
struct raft_output {
    VEC(struct raft_message) messages; /* own their arrays and references */
    VEC(struct raft_entry) entries;    /* to persist; references */
    VEC(struct raft_entry) apply;      /* references */
    VEC(struct raft_read) reads;
    VEC(struct raft_fetch) fetches;
    VEC(uint64_t) snapshots;
    struct raft_snapshot_meta install;
    struct raft_hard_state install_hard;
    bool install_set;
};

struct raft {
    struct raft_params params;
    struct rng rng;

    enum raft_role role;
    uint64_t term, vote, leader;

    struct raft_log log;
    uint64_t commit;
    uint64_t applied; /* reported by the state machine */
    uint64_t handed;  /* handed out for applying; applied ≤ handed ≤ min(commit, stable) */

    /* persistence */
    uint64_t stable; /* entries up to here are flushed and still in the log */
    uint64_t unsent; /* first entry not yet handed out to be persisted */
    uint64_t seq_next, seq_handed, seq_flushed; /* next = handed + 1 */
    struct raft_hard_state hard_handed;         /* of the last batch or installation */
    uint64_t term_seq;                          /* batch that brought hard_handed.term */
    uint64_t
        change_commit;   /* the first committed change of which that is not durable here; 0: none */
    uint64_t change_seq; /* the batch that makes it so; 0: to come */
    VEC(struct raft_batch) batches;
    VEC(struct raft_held) held;

    /* elections */
    uint32_t election_elapsed, election_timeout;
    uint32_t heartbeat_elapsed;
    uint64_t votes_granted[RAFT_MEMBERS_MAX], votes_refused[RAFT_MEMBERS_MAX];
    uint32_t granted_len, refused_len;
    uint64_t self_vote_seq; /* CANDIDATE: own vote counts once this batch is flushed; 0: counted */
    bool campaign_transfer; /* the campaign was ordered by the leader */

    /* leadership */
    struct raft_progress peers[RAFT_MEMBERS_MAX]; /* the others of the configuration */
    uint32_t peers_len;
    uint64_t transfer_to;
    uint32_t transfer_elapsed;
    uint64_t last_fetch_id;

    /* reads */
    VEC(struct raft_pending_read) reads;
    uint64_t read_round;

    /* membership */
    struct raft_config config;
    VEC(struct raft_pending_config) pending_configs; /* ascending; (applied, last] */
    uint64_t pending_config_index; /* leader: no change may be proposed before this is applied */

    /* snapshot being installed */
    bool installing;
    struct raft_snapshot_meta install;

    uint64_t forgotten; /* raft_forgotten */

    struct raft_output out[2];
    unsigned filling; /* which of out is being filled */
};

/* raft.c */
struct raft_output *raft_out(struct raft *r);
struct raft_message raft_message_to(const struct raft *r, uint64_t to, enum raft_message_type type);
/* Queue a message; entries and snapshot are taken over. */
void raft_send(struct raft *r, const struct raft_message *m);
/* Queue a message (without entries) that may leave only once everything up to now is durable. */
void raft_send_durable(struct raft *r, const struct raft_message *m);
/* The present term has been flushed. */
bool raft_term_is_stable(const struct raft *r);
bool raft_is_voter(const struct raft *r);
void raft_append_entry(struct raft *r, const struct raft_entry *e);
void raft_truncate(struct raft *r, uint64_t last);

/* election.c */
void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader);
void raft_campaign(struct raft *r, bool pre_vote, bool transfer);
void raft_tick_election(struct raft *r);
void raft_self_vote_flushed(struct raft *r);
void raft_recv_vote_request(struct raft *r, const struct raft_message *m);
void raft_recv_vote_reply(struct raft *r, const struct raft_message *m);
void raft_recv_timeout_now(struct raft *r, const struct raft_message *m);
void raft_reset_election_timer(struct raft *r);
void raft_add_news(const struct raft *r, struct raft_message *m);
void raft_learn_commit(struct raft *r, const struct raft_message *m);

/* replication.c */
struct raft_progress *raft_peer(struct raft *r, uint64_t id); /* NULL: not a peer */
void raft_replicate(struct raft *r, struct raft_progress *p);
void raft_replicate_all(struct raft *r);
void raft_send_heartbeats(struct raft *r);
bool raft_advance_commit(struct raft *r); /* leader */
void raft_set_commit(struct raft *r, uint64_t index);
uint64_t raft_commit_durable(const struct raft *r); /* what may be told and applied */
void raft_leader_stable(struct raft *r);            /* own entries were flushed */
void raft_recv_append(struct raft *r, const struct raft_message *m);
void raft_recv_append_reply(struct raft *r, const struct raft_message *m);
void raft_recv_heartbeat(struct raft *r, const struct raft_message *m);
void raft_recv_heartbeat_reply(struct raft *r, const struct raft_message *m);
void raft_ack(struct raft *r, uint64_t to, uint64_t index);

/* read_index.c */
void raft_recv_read_index(struct raft *r, const struct raft_message *m);
void raft_recv_read_index_reply(struct raft *r, const struct raft_message *m);
void raft_reads_advance(struct raft *r);
void raft_reads_drop(struct raft *r);

/* membership.c */
void raft_apply_configs(struct raft *r);
void raft_progress_rebuild(struct raft *r); /* peers := configuration without self */
void raft_pending_configs_truncate(struct raft *r, uint64_t last);
bool raft_has_committed_change(const struct raft *r); /* committed and not applied */
void raft_try_leave_joint(struct raft *r);
void raft_transfer_advance(struct raft *r, struct raft_progress *p);

/* snapshot.c */
void raft_need_snapshot(struct raft *r, struct raft_progress *p);
void raft_recv_snapshot(struct raft *r, const struct raft_message *m);

#endif
