/*
 * A member joins with an empty directory: which of the answers is to be believed? (kvstore/members/members.h)
 *
 * A member list may be old. Where a member was removed and another one added under its address, whoever has not
 * heard of it would give the new one the identity of the old one: an id that has voted and acknowledged, without
 * the log that it did so with. So:
 *
 *   1. Everybody asked but the one that joins, a majority of the voters must have answered. A removal was committed by
 *      a majority of all of them; of n voters, n/2 others at least have it in their log, and n - n/2 others at
 *      least are a majority of n - 1: one of those who answer has it.
 *   2. The newest list counts, and it must contain every change of membership that one of them has in its log: what
 *      is in a log may be committed, and who leads the cluster goes on until that is decided.
 *
 * When the one that joins is itself a voter without which those who answer decide nothing, 2 is left out: n is
 * even then, and n/2 others answer. Even if it was the old one, whose removal is in one of their logs, it does no
 * harm: what n/2 + 1 committed or voted for is known to n/2 others, and n/2 others are asked with it for any
 * election; that is more than the n - 1 that there are. Once the change is decided it goes.
 */
#include "kvstore/members/members.h"
#include "base/buf.h"
#include <inttypes.h>

const struct kv_member *member_with_url(const struct member_records *m,
                                        const struct kv_member_config *own)
{
    for (size_t i = 0; i < m->items.len; i++)
        for (size_t u = 0; u < m->items.items[i].peer_urls_len; u++)
            for (size_t k = 0; k < own->peer_urls_len; k++)
                if (str_eq(m->items.items[i].peer_urls[u], own->peer_urls[k]))
                    return &m->items.items[i];
    return NULL;
}

struct answers {
    struct member_answer *items;
    size_t len;
};

/* Whoever answers was removed, says somebody else of the same cluster. */
static bool is_out(const struct answers *all, const struct member_answer *a)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->items[i].cluster_id == a->cluster_id &&
            member_removed(&all->items[i].records, a->member_id))
            return true;
    return false;
}

/* Of cluster `cluster_id` (0: any); of those that list `own` (NULL: of all). */
static struct member_answer *newest_of(const struct answers *all, uint64_t cluster_id,
                                       const struct kv_member_config *own)
{
    struct member_answer *newest = NULL;
    for (size_t i = 0; i < all->len; i++) {
        struct member_answer *a = &all->items[i];
        if ((!cluster_id || a->cluster_id == cluster_id) && !is_out(all, a) &&
            (!own || member_with_url(&a->records, own)) &&
            (!newest || a->applied > newest->applied))
            newest = a;
    }
    return newest;
}

static bool has_answered(const struct answers *all, uint64_t cluster_id, uint64_t id)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->items[i].cluster_id == cluster_id && all->items[i].member_id == id)
            return true;
    return false;
}

/* "m2 (http://10.0.0.2:2380)" */
static void say_who(struct buf *out, const struct member_records *m, uint64_t id)
{
    if (out->len)
        buf_append_cstr(out, ", ");
    for (size_t i = 0; i < m->items.len; i++) {
        const struct kv_member *member = &m->items.items[i];
        if (member->id != id)
            continue;
        buf_printf(out, "%.*s%s", STR_ARG(member->name), member->name.n ? " " : "");
        if (member->peer_urls_len)
            buf_printf(out, "(%.*s)", STR_ARG(member->peer_urls[0]));
        return;
    }
    buf_printf(out, "%" PRIx64, id);
}

static uint32_t count_others(const struct answers *all, const struct member_answer *newest,
                             const struct raft_id_set *voters, uint64_t self, struct buf *missing)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < voters->len; i++) {
        if (voters->ids[i] == self)
            continue;
        if (has_answered(all, newest->cluster_id, voters->ids[i]))
            answered++;
        else if (missing)
            say_who(missing, &newest->records, voters->ids[i]);
    }
    return answered;
}

/* A majority of these voters, `self` (0: nobody) apart. */
static int need_majority(const struct answers *all, const struct member_answer *newest,
                         const struct raft_id_set *voters, uint64_t self, struct error *err)
{
    uint32_t others = voters->len - raft_ids_has(voters, self);
    struct buf missing;
    buf_init(&missing);
    uint32_t answered = count_others(all, newest, voters, self, &missing);
    int rc =
        answered >= others / 2 + 1
            ? 0
            : error_set(err, ERR_UNAVAILABLE,
                        "only %u of the %u other voters answer, and only a majority knows who is "
                        "a member: waiting for %s",
                        answered, others, buf_cstr(&missing));
    buf_free(&missing);
    return rc;
}

/* No answer knows of a change that the newest list does not have. */
static int need_decided(const struct answers *all, const struct member_answer *newest,
                        uint64_t self, struct error *err)
{
    const struct raft_id_set *voters = &newest->config.voters;
    if (raft_ids_has(voters, self) &&
        count_others(all, newest, voters, self, NULL) < voters->len / 2 + 1)
        return 0;
    for (size_t i = 0; i < all->len; i++) {
        const struct member_answer *a = &all->items[i];
        if (a->cluster_id == newest->cluster_id && a->change > newest->applied)
            return error_set(err, ERR_UNAVAILABLE,
                             "waiting for the cluster to decide a change of membership that member "
                             "%" PRIx64 " has in its log (entry %" PRIu64 ")",
                             a->member_id, a->change);
    }
    return 0;
}

int members_judge(struct member_answer *answers, size_t n, const struct kv_member_config *own,
                  struct member_answer **newest, const struct kv_member **self, struct error *err)
{
    const struct answers all = {answers, n};
    /* Should members of two clusters be asked, then it is the one that this member was added to. */
    struct member_answer *ours = newest_of(&all, 0, own);
    struct member_answer *a = *newest = newest_of(&all, ours ? ours->cluster_id : 0, NULL);
    *self = NULL;
    if (!a)
        return error_set(err, ERR_UNAVAILABLE, "none of the members to join answers");
    if (!a->config.voters.len)
        return error_set(err, ERR_UNAVAILABLE,
                         "waiting for a member: those who answer are only joining themselves");
    *self = member_with_url(&a->records, own);
    uint64_t id = *self ? (*self)->id : 0;
    int rc = need_majority(&all, a, &a->config.voters, id, err);
    if (rc == 0 && raft_config_is_joint(&a->config))
        rc = need_majority(&all, a, &a->config.outgoing, id, err);
    if (rc == 0)
        rc = need_decided(&all, a, id, err);
    if (rc < 0 || *self)
        return rc;
    return error_set(
        err, ERR_NOT_FOUND,
        "no member of the cluster has the peer URL %.*s: add it first (`etcdctl member "
        "add %.*s --peer-urls=%.*s`)",
        STR_ARG(own->peer_urls[0]), STR_ARG(own->name), STR_ARG(own->peer_urls[0]));
}
