/*
 * Configurations, their changes, and quorum arithmetic: pure functions (raft/config.h).
 */
#include "raft/config.h"

#include "raft/wire.h"
#include <assert.h>

#define CONFIG_VERSION 1
#define CHANGE_VERSION 1

/* ---- id sets ---- */

bool raft_ids_has(const struct raft_id_set *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->len; i++)
        if (s->ids[i] == id)
            return true;
    return false;
}

void raft_ids_add(struct raft_id_set *s, uint64_t id)
{
    assert(id != 0);
    if (raft_ids_has(s, id))
        return;
    assert(s->len < RAFT_MEMBERS_MAX);
    uint32_t at = s->len++;
    for (; at > 0 && s->ids[at - 1] > id; at--)
        s->ids[at] = s->ids[at - 1];
    s->ids[at] = id;
}

void raft_ids_remove(struct raft_id_set *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->len; i++) {
        if (s->ids[i] != id)
            continue;
        memmove(&s->ids[i], &s->ids[i + 1], (s->len - i - 1) * sizeof s->ids[0]);
        s->len--;
        return;
    }
}

bool raft_ids_equal(const struct raft_id_set *a, const struct raft_id_set *b)
{
    return a->len == b->len && memcmp(a->ids, b->ids, a->len * sizeof a->ids[0]) == 0;
}

static bool ids_valid(const struct raft_id_set *s)
{
    if (s->len > RAFT_MEMBERS_MAX)
        return false;
    for (uint32_t i = 0; i < s->len; i++)
        if (s->ids[i] == 0 || (i > 0 && s->ids[i - 1] >= s->ids[i]))
            return false;
    return true;
}

static bool ids_disjoint(const struct raft_id_set *a, const struct raft_id_set *b)
{
    for (uint32_t i = 0; i < a->len; i++)
        if (raft_ids_has(b, a->ids[i]))
            return false;
    return true;
}

static uint32_t ids_union_len(const struct raft_id_set *a, const struct raft_id_set *b)
{
    uint32_t n = a->len;
    for (uint32_t i = 0; i < b->len; i++)
        n += !raft_ids_has(a, b->ids[i]);
    return n;
}

/* ---- configurations ---- */

static bool config_small_enough(const struct raft_config *c)
{
    /* learners are disjoint from voters; outgoing voters may be anywhere but among learners */
    return ids_union_len(&c->voters, &c->outgoing) + c->learners.len <= RAFT_MEMBERS_MAX;
}

bool raft_config_valid(const struct raft_config *c)
{
    if (!ids_valid(&c->voters) || !ids_valid(&c->outgoing) || !ids_valid(&c->learners) ||
        !ids_valid(&c->learners_next))
        return false;
    if (c->voters.len == 0 && (c->outgoing.len || c->learners.len || c->learners_next.len))
        return false;
    if (!ids_disjoint(&c->voters, &c->learners) || !ids_disjoint(&c->outgoing, &c->learners))
        return false;
    if (!ids_disjoint(&c->learners_next, &c->voters))
        return false;
    for (uint32_t i = 0; i < c->learners_next.len; i++)
        if (!raft_ids_has(&c->outgoing, c->learners_next.ids[i]))
            return false;
    return config_small_enough(c);
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b)
{
    return raft_ids_equal(&a->voters, &b->voters) && raft_ids_equal(&a->outgoing, &b->outgoing) &&
           raft_ids_equal(&a->learners, &b->learners) &&
           raft_ids_equal(&a->learners_next, &b->learners_next);
}

bool raft_config_is_voter(const struct raft_config *c, uint64_t id)
{
    return raft_ids_has(&c->voters, id) || raft_ids_has(&c->outgoing, id);
}

bool raft_config_is_learner(const struct raft_config *c, uint64_t id)
{
    return raft_ids_has(&c->learners, id);
}

struct raft_id_set raft_config_members(const struct raft_config *c)
{
    struct raft_id_set all = c->voters;
    for (uint32_t i = 0; i < c->outgoing.len; i++)
        raft_ids_add(&all, c->outgoing.ids[i]);
    for (uint32_t i = 0; i < c->learners.len; i++)
        raft_ids_add(&all, c->learners.ids[i]);
    return all;
}

/* ---- encodings ---- */

static void ids_encode(const struct raft_id_set *s, struct buf *out)
{
    buf_append_be32(out, s->len);
    for (uint32_t i = 0; i < s->len; i++)
        buf_append_be64(out, s->ids[i]);
}

static void ids_decode(struct wire *w, struct raft_id_set *s)
{
    uint32_t n = wire_be32(w);
    if (n > RAFT_MEMBERS_MAX) {
        wire_fail(w);
        n = 0;
    }
    s->len = n;
    for (uint32_t i = 0; i < n; i++)
        s->ids[i] = wire_be64(w);
}

void raft_config_encode(const struct raft_config *c, struct buf *out)
{
    buf_append_be32(out, CONFIG_VERSION);
    ids_encode(&c->voters, out);
    ids_encode(&c->outgoing, out);
    ids_encode(&c->learners, out);
    ids_encode(&c->learners_next, out);
}

int raft_config_decode(struct str in, struct raft_config *out, struct error *err)
{
    struct wire w = wire_init(in);
    uint32_t version = wire_be32(&w);
    if (!w.failed && version != CONFIG_VERSION)
        return error_set(err, ERR_CORRUPT, "configuration: unknown version %u", version);
    struct raft_config c = {0};
    ids_decode(&w, &c.voters);
    ids_decode(&w, &c.outgoing);
    ids_decode(&w, &c.learners);
    ids_decode(&w, &c.learners_next);
    if (!wire_done(&w))
        return error_set(err, ERR_CORRUPT, "configuration: bad length");
    if (!raft_config_valid(&c))
        return error_set(err, ERR_CORRUPT, "configuration: breaks the rules of member sets");
    *out = c;
    return 0;
}

void raft_change_encode(const struct raft_change *c, struct buf *out)
{
    assert(c->ops_len <= RAFT_CHANGE_OPS_MAX);
    assert(c->context.n <= RAFT_CHANGE_CONTEXT_MAX);
    buf_append_be32(out, CHANGE_VERSION);
    buf_append_be32(out, (c->leave ? 1u : 0u) | (c->joint ? 2u : 0u));
    buf_append_be32(out, c->ops_len);
    for (uint32_t i = 0; i < c->ops_len; i++) {
        buf_append_be32(out, c->ops[i].kind);
        buf_append_be64(out, c->ops[i].id);
    }
    buf_append_be32(out, (uint32_t)c->context.n);
    buf_append_str(out, c->context);
}

int raft_change_decode(struct str in, struct raft_change *out, struct error *err)
{
    struct wire w = wire_init(in);
    uint32_t version = wire_be32(&w);
    if (!w.failed && version != CHANGE_VERSION)
        return error_set(err, ERR_CORRUPT, "membership change: unknown version %u", version);
    struct raft_change c = {0};
    uint32_t flags = wire_be32(&w);
    c.leave = flags & 1;
    c.joint = flags & 2;
    c.ops_len = wire_be32(&w);
    if (flags > 3 || c.ops_len > RAFT_CHANGE_OPS_MAX)
        return error_set(err, ERR_CORRUPT, "membership change: bad flags or count");
    for (uint32_t i = 0; i < c.ops_len; i++) {
        uint32_t kind = wire_be32(&w);
        c.ops[i].id = wire_be64(&w);
        if (kind < RAFT_ADD_VOTER || kind > RAFT_UPDATE || c.ops[i].id == 0)
            wire_fail(&w);
        c.ops[i].kind = (enum raft_change_op_kind)kind;
    }
    uint32_t context = wire_be32(&w);
    if (context > RAFT_CHANGE_CONTEXT_MAX)
        wire_fail(&w);
    c.context = wire_bytes(&w, context);
    if (!wire_done(&w))
        return error_set(err, ERR_CORRUPT, "membership change: bad operation or length");
    *out = c;
    return 0;
}

/* ---- changes ---- */

static int config_leave(const struct raft_config *from, struct raft_config *out, struct error *err)
{
    if (!raft_config_is_joint(from))
        return error_set(err, ERR_INVALID, "there is no joint configuration to leave");
    struct raft_config c = *from;
    for (uint32_t i = 0; i < from->learners_next.len; i++)
        raft_ids_add(&c.learners, from->learners_next.ids[i]);
    c.learners_next.len = 0;
    c.outgoing.len = 0;
    *out = c;
    return 0;
}

/* One operation on the incoming half; what an outgoing voter becomes is settled at the end. */
static int change_one(struct raft_config *c, const struct raft_change_op *op, struct error *err)
{
    unsigned long long id = op->id;
    bool known = raft_ids_has(&c->voters, op->id) || raft_ids_has(&c->learners, op->id);
    switch (op->kind) {
    case RAFT_ADD_VOTER:
    case RAFT_ADD_LEARNER:
        if (!known && c->voters.len + c->learners.len >= RAFT_MEMBERS_MAX)
            return error_set(err, ERR_INVALID, "member %llx: more than %d members", id,
                             RAFT_MEMBERS_MAX);
        raft_ids_remove(&c->voters, op->id);
        raft_ids_remove(&c->learners, op->id);
        raft_ids_add(op->kind == RAFT_ADD_VOTER ? &c->voters : &c->learners, op->id);
        return 0;
    case RAFT_REMOVE:
        if (!known)
            return error_set(err, ERR_INVALID, "member %llx: not a member", id);
        raft_ids_remove(&c->voters, op->id);
        raft_ids_remove(&c->learners, op->id);
        return 0;
    case RAFT_UPDATE:
        if (!known)
            return error_set(err, ERR_INVALID, "member %llx: not a member", id);
        return 0;
    }
    return error_set(err, ERR_INVALID, "unknown operation %d", (int)op->kind);
}

/* How many voters differ between two sets. */
static uint32_t voters_changed(const struct raft_id_set *a, const struct raft_id_set *b)
{
    uint32_t both = ids_union_len(a, b);
    uint32_t common = a->len + b->len - both;
    return both - common;
}

int raft_config_change(const struct raft_config *from, const struct raft_change *change,
                       struct raft_config *out, struct error *err)
{
    assert(raft_config_valid(from));
    if (change->leave)
        return config_leave(from, out, err);
    if (raft_config_is_joint(from))
        return error_set(err, ERR_INVALID, "the joint configuration must be left first");
    struct raft_config c = *from;
    for (uint32_t i = 0; i < change->ops_len; i++) {
        int rc = change_one(&c, &change->ops[i], err);
        if (rc < 0)
            return rc;
    }
    if (c.voters.len == 0)
        return error_set(err, ERR_INVALID, "the last voter cannot be removed");
    if (from->voters.len > 0 && (change->joint || voters_changed(&from->voters, &c.voters) > 1)) {
        c.outgoing = from->voters;
        for (uint32_t i = 0; i < from->voters.len; i++) {
            uint64_t id = from->voters.ids[i];
            if (!raft_ids_has(&c.learners, id))
                continue;
            raft_ids_remove(&c.learners, id);
            raft_ids_add(&c.learners_next, id);
        }
    }
    if (!config_small_enough(&c))
        return error_set(err, ERR_INVALID, "more than %d members while changing", RAFT_MEMBERS_MAX);
    assert(raft_config_valid(&c));
    *out = c;
    return 0;
}

/* ---- quorums ---- */

/* The highest value that a majority of `s` reaches; UINT64_MAX for the empty set, which never
 * decides anything by itself. */
static uint64_t majority_index(const struct raft_id_set *s,
                               uint64_t (*match)(void *ctx, uint64_t id), void *ctx)
{
    if (s->len == 0)
        return UINT64_MAX;
    uint64_t sorted[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < s->len; i++) { /* insertion sort, descending */
        uint64_t v = match(ctx, s->ids[i]);
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] < v; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v;
    }
    return sorted[s->len / 2]; /* len/2 + 1 members have at least this */
}

uint64_t raft_quorum_index(const struct raft_config *c, uint64_t (*match)(void *ctx, uint64_t id),
                           void *ctx)
{
    if (c->voters.len == 0)
        return 0;
    uint64_t in = majority_index(&c->voters, match, ctx);
    uint64_t outgoing = majority_index(&c->outgoing, match, ctx);
    return in < outgoing ? in : outgoing;
}

static enum raft_vote majority_vote(const struct raft_id_set *s,
                                    int (*vote)(void *ctx, uint64_t id), void *ctx)
{
    if (s->len == 0)
        return RAFT_VOTE_WON;
    uint32_t granted = 0, refused = 0, need = s->len / 2 + 1;
    for (uint32_t i = 0; i < s->len; i++) {
        int v = vote(ctx, s->ids[i]);
        granted += v > 0;
        refused += v < 0;
    }
    if (granted >= need)
        return RAFT_VOTE_WON;
    return s->len - refused < need ? RAFT_VOTE_LOST : RAFT_VOTE_PENDING;
}

enum raft_vote raft_quorum_vote(const struct raft_config *c, int (*vote)(void *ctx, uint64_t id),
                                void *ctx)
{
    if (c->voters.len == 0)
        return RAFT_VOTE_LOST;
    enum raft_vote in = majority_vote(&c->voters, vote, ctx);
    enum raft_vote outgoing = majority_vote(&c->outgoing, vote, ctx);
    if (in == RAFT_VOTE_LOST || outgoing == RAFT_VOTE_LOST)
        return RAFT_VOTE_LOST;
    return in == RAFT_VOTE_WON && outgoing == RAFT_VOTE_WON ? RAFT_VOTE_WON : RAFT_VOTE_PENDING;
}
