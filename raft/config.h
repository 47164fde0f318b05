/*
 * Membership: configurations, changes to them, and quorums.
 *
 * A configuration has voters and learners. While a change of more than one voter is under way it is
 * joint: a decision then needs a majority of the incoming voters AND a majority of the outgoing ones.
 * Joint configurations leave by themselves (the leader proposes the second step once the first is
 * applied).
 *
 * A configuration takes effect on a member when that member APPLIES its entry. Why that is safe,
 * though a majority may still be in the previous one:
 *   1. A leader proposes a change only when every earlier change is applied on it, hence committed.
 *   2. So an append that carries the second change carries a commit index that covers the first; it
 *      is persisted in the same journal record, before the append is acknowledged.
 *   3. A member does not campaign while it knows of a committed change that it has not applied.
 * Hence nobody campaigns more than one change behind a configuration in use, and majorities of
 * neighbouring configurations intersect: simple changes move one voter, larger ones are joint.
 *
 * The price: a member that holds a committed change, but does not know that it is committed, still
 * needs a majority of the configuration before it to be elected. Whoever is removed should go on until
 * enough of the others have applied the change (election messages then spread the news), and come back
 * for that when it ended before (kvstore/members/change.c, removal_step).
 */
#ifndef C8S_RAFT_CONFIG_H
#define C8S_RAFT_CONFIG_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define RAFT_MEMBERS_MAX 16           /* members of any role, and of each set below */
#define RAFT_CHANGE_OPS_MAX 16        /* operations of one change */
#define RAFT_CHANGE_CONTEXT_MAX 65536 /* bytes that travel with a change for the state machine */

/* A set of member ids, ascending, without 0. */
struct raft_id_set {
    uint32_t len;
    uint64_t ids[RAFT_MEMBERS_MAX];
};

bool raft_ids_has(const struct raft_id_set *s, uint64_t id);
void raft_ids_add(struct raft_id_set *s, uint64_t id); /* no-op when present; asserts on overflow */
void raft_ids_remove(struct raft_id_set *s, uint64_t id);
bool raft_ids_equal(const struct raft_id_set *a, const struct raft_id_set *b);

/*
 * Invariants (raft_config_valid): voters is not empty unless the whole configuration is; no id is in
 * both voters and learners; outgoing is empty unless joint; learners_next ⊆ outgoing (voters that
 * become learners when the joint configuration is left) and disjoint from voters and learners.
 */
struct raft_config {
    struct raft_id_set voters;   /* incoming half when joint */
    struct raft_id_set outgoing; /* voters of the previous configuration; empty: not joint */
    struct raft_id_set learners;
    struct raft_id_set learners_next;
};

static inline bool raft_config_is_joint(const struct raft_config *c)
{
    return c->outgoing.len > 0;
}
bool raft_config_valid(const struct raft_config *c);
bool raft_config_equal(const struct raft_config *a, const struct raft_config *b);
/* Has a vote, in either half. */
bool raft_config_is_voter(const struct raft_config *c, uint64_t id);
/* Gets entries without a vote (now, or still as an outgoing voter: then false). */
bool raft_config_is_learner(const struct raft_config *c, uint64_t id);
/* Everybody that replication goes to. */
struct raft_id_set raft_config_members(const struct raft_config *c);

/* Stable, versioned encoding; appends to `out`. */
void raft_config_encode(const struct raft_config *c, struct buf *out);
/* ERR_CORRUPT with a message on anything but a valid encoding of a valid configuration. */
int raft_config_decode(struct str in, struct raft_config *out, struct error *err);

enum raft_change_op_kind {
    RAFT_ADD_VOTER = 1,   /* also promotes a learner */
    RAFT_ADD_LEARNER = 2, /* also demotes a voter */
    RAFT_REMOVE = 3,
    RAFT_UPDATE = 4, /* nothing changes in quorums; `context` says what (a member's addresses) */
};

struct raft_change_op {
    enum raft_change_op_kind kind;
    uint64_t id;
};

/*
 * A change. It is made in one step when at most one voter is added or removed, else through a joint
 * configuration. `leave` is the second step of a joint change; only leaders' cores make it.
 */
struct raft_change {
    bool leave;
    bool joint; /* go through a joint configuration even for a single voter */
    uint32_t ops_len;
    struct raft_change_op ops[RAFT_CHANGE_OPS_MAX];
    struct str context; /* opaque to Raft; when decoded, points into the input */
};

void raft_change_encode(const struct raft_change *c, struct buf *out);
int raft_change_decode(struct str in, struct raft_change *out, struct error *err); /* ERR_CORRUPT */

/*
 * The configuration after `change`; `out` may be `from`. ERR_INVALID (reason in err, fit for a user)
 * when the change makes no sense: a joint configuration not left first, the last voter removed, an
 * unknown member removed, too many members. A committed entry whose change is refused leaves the
 * configuration as it was: every member decides this alike, since it depends on (from, change) only.
 */
int raft_config_change(const struct raft_config *from, const struct raft_change *change,
                       struct raft_config *out, struct error *err);

/* The highest index that a quorum has; `match(ctx, id)` says what member id has persisted. */
uint64_t raft_quorum_index(const struct raft_config *c, uint64_t (*match)(void *ctx, uint64_t id),
                           void *ctx);

enum raft_vote { RAFT_VOTE_PENDING, RAFT_VOTE_WON, RAFT_VOTE_LOST };
/* `vote(ctx, id)`: 1 granted, -1 refused, 0 no answer yet. */
enum raft_vote raft_quorum_vote(const struct raft_config *c, int (*vote)(void *ctx, uint64_t id),
                                void *ctx);

#endif
