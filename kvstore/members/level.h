/*
 * Feature levels: which kinds of log entries and records the members of a cluster understand.
 *
 * Each program has a level (KV_LEVEL). A member tells its level to every peer it connects to; the leader
 * raises the cluster's level, by a log entry, once it has heard from every member and all know a higher
 * one. The cluster's level is replicated, stored with the state, travels in snapshots and never falls: a
 * program of a lower level is refused by its peers and does not open a directory of a higher one. A new
 * cluster begins at its founders' level, so a single member has all of it from its first moment.
 *
 * The rule for whoever adds a kind of proposal (kvstore/proposal.h) or a field that older programs would
 * not understand: name the level it came with in proposal_kind_level, and do not use it below.
 * pending_propose refuses kinds of a level that the cluster has not reached with KV_ERR_LEVEL, which
 * clients see as etcd's "etcdserver: not capable": nothing else is needed for a new kind.
 */
#ifndef C8S_KVSTORE_MEMBERS_LEVEL_H
#define C8S_KVSTORE_MEMBERS_LEVEL_H

#include "kvstore/kv.h"
#include "kvstore/proposal.h"

enum kv_level {
    KV_LEVEL_1 = 1, /* kinds up to PROPOSAL_MEMBER; members are those of the founding */
    KV_LEVEL_2 = 2, /* changes of membership, and all kinds after PROPOSAL_MEMBER */
    KV_LEVEL = KV_LEVEL_2,
};

#define KV_ERR_LEVEL (-200) /* FailedPrecondition: not every member understands it yet */

/* The cluster's level as applied on this member: 1 ≤ level ≤ KV_LEVEL. Any thread, costs nothing. */
unsigned kv_level(const struct kv *kv);
/* The level this member claims: KV_LEVEL, or options.level when tests of rolling upgrades ask for less. */
unsigned kv_level_own(const struct kv *kv);
/* The level that a kind of proposal came with. */
unsigned proposal_kind_level(enum proposal_kind kind);

#endif
