/*
 * What the store writes into log entries: the proposal formats, version 1.
 *
 *     version:1  kind:1  body
 *     TXN           txn
 *     LEASE_GRANT   id ttl              LEASE_REVOKE  id       LEASE_KEEP_ALIVE  id
 *     COMPACT       revision
 *     MEMBER        id, name, client URLs (what a member says of itself)
 *     ALARM         member type:1 clear:1
 *     CLUSTER       action:1 and a level, or a downgrade's target version ("": none)
 *     LEASE_EXPIRE  id term             LEASE_CHECKPOINT  n (id remaining)*
 *     AUTH          op:1 name role secret flags:1 perm:1 key end        (kvstore/kv_auth.h)
 *
 * A request of a client has PROPOSAL_NOBODY (nobody was named) added to its kind, or PROPOSAL_USER; then user and
 * auth revision stand in front of the body. Without either it is the process's own and may do everything.
 *
 *     txn      = n compare*  n op*  n op*        (compares, then, otherwise)
 *     compare  = target:1 result:1 key end (number | value)
 *     op       = type:1 and
 *                range: key end rev limit target:1 order:1 flags:1 bounds×4
 *                put:   key value lease flags:1   delete: key end flags:1   txn: txn
 *
 * Integers are base-128 varints, byte strings a length and bytes. A decoder accepts exactly what the
 * encoder writes: sizes are bounded by the input, nesting by KV_TXN_DEPTH_MAX, and nothing may be left
 * over. A new kind or version is used only when every member supports it.
 */
#ifndef C8S_KVSTORE_PROPOSAL_H
#define C8S_KVSTORE_PROPOSAL_H

#include "base/buf.h"
#include "kvstore/alarm.h"
#include "kvstore/kv_auth.h"

enum proposal_kind {
    PROPOSAL_TXN = 1,
    PROPOSAL_LEASE_GRANT = 2,
    PROPOSAL_LEASE_REVOKE = 3,
    PROPOSAL_LEASE_KEEP_ALIVE = 4,
    PROPOSAL_COMPACT = 5,
    PROPOSAL_MEMBER = 6,
    PROPOSAL_ALARM = 7,
    PROPOSAL_LEASE_EXPIRE = 8, /* revoke, if the entry has the term of the one who found it due */
    PROPOSAL_LEASE_CHECKPOINT = 9, /* what is left of long leases */
    PROPOSAL_AUTH = 10,
    PROPOSAL_DIGEST = 11, /* integrity.h: a mark, or a member's vote about one */
    PROPOSAL_CLUSTER = 12, /* the feature level rises; a downgrade is announced or taken back */
    PROPOSAL_KIND_MAX = PROPOSAL_CLUSTER,
};
/* Added to the kind in the encoded form. */
#define PROPOSAL_NOBODY 0x40u
#define PROPOSAL_USER 0x80u

struct proposal_member {
    uint64_t id;
    struct str name;
    struct str *client_urls;
    size_t client_urls_len;
};

enum proposal_cluster_action { PROPOSAL_CLUSTER_LEVEL = 1, PROPOSAL_CLUSTER_DOWNGRADE = 2 };

struct proposal_cluster {
    enum proposal_cluster_action action;
    unsigned level;       /* LEVEL */
    struct str downgrade; /* DOWNGRADE */
};

struct proposal_alarm {
    uint64_t member;
    enum kv_alarm_type type;
    bool clear; /* else raise */
};

/* A checkpoint: seconds that a lease had left; 0: it was renewed since, and has its full TTL. */
struct lease_left {
    int64_t id, remaining_s;
};

struct proposal_digest {
    uint64_t mark; /* index of the entry voted about; 0: this entry is a mark */
    uint64_t member, value;
};

struct proposal {
    enum proposal_kind kind;
    union {
        struct kv_txn_request txn;
        struct {
            int64_t id, ttl_s;
        } lease;
        struct {
            int64_t id;
            uint64_t term;
        } expire;
        struct {
            struct lease_left *items;
            size_t len;
        } checkpoint;
        int64_t compact_rev;
        struct proposal_member member;
        struct proposal_alarm alarm;
        struct kv_auth_change auth;
        struct proposal_digest digest;
        struct proposal_cluster cluster;
    };
    bool client; /* somebody outside asks: */
    struct kv_auth_info who;
};

static inline void proposal_from(struct proposal *p, const struct kv_auth_info *who)
{
    p->client = who != NULL;
    if (who)
        p->who = *who;
}
/* For the checks: NULL when it is the process's own. */
static inline const struct kv_auth_info *proposal_who(const struct proposal *p)
{
    return p->client ? &p->who : NULL;
}

void proposal_encode(const struct proposal *p, struct buf *out);
/* Strings point into `in`, arrays are in `a`. ERR_CORRUPT; ERR_UNSUPPORTED for a newer version or kind. */
int proposal_decode(struct str in, struct arena *a, struct proposal *out, struct error *err);

/* What a request must satisfy before it is proposed: keys given, numbers in range, at most ops_max operations
 * (nested ones included), depth, no key written twice (KV_ERR_DUPLICATE_KEY). */
int txn_request_check(const struct kv_txn_request *t, size_t ops_max, struct error *err);
/* Does it write nothing, whatever branch runs? */
bool txn_is_read_only(const struct kv_txn_request *t);

#endif
