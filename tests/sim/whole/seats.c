/*
 * Membership: seats, each with an address and a disk. An operator asks for members to be added, promoted
 * and removed while everything else goes on; it starts a process on a free seat, and clears the disk of a
 * seat whose member is out, so that the next one there is a new member under the same address.
 *
 * What is true is what the log says: O.config follows the entries as they are applied first.
 */
#include "shim_net.h"
#include "client.h"

#include "base/mem.h"
#include "kvstore/kv_members.h"
#include "raft/raft.h"
#include <string.h>

bool seat_in(const struct member *m)
{
    return m->id &&
           (raft_config_is_voter(&O.config, m->id) || raft_config_is_learner(&O.config, m->id));
}

bool seat_votes(const struct member *m)
{
    return m->id && raft_config_is_voter(&O.config, m->id);
}

/* ---- leaving ---- */

static void clear(void *ctx)
{
    struct member *m = ctx;
    if (seat_in(m))
        return;
    if (m->state == MEMBER_STOPPING) {
        later(100 * MS, clear, m);
        return;
    }
    trace("seat %u is cleared: its member %llx is out", m->number, (unsigned long long)m->id);
    member_crash(m, DEATH_CRASH);
    disk_free(m->disk);
    m->disk = disk_new(m);
    /* In the calm nobody is asked for any more; but somebody may have been, under this address. */
    m->seat = W.calm ? SEAT_JOINING : SEAT_FREE;
    m->leaving = m->ruined = false;
    if (W.rotten == m)
        W.rotten = NULL;
    m->id = m->removed_index = 0;
    m->applied_seen = 0;
    memset(&m->promised, 0, sizeof m->promised);
}

void seats_configured(const struct raft_config *next, uint64_t index)
{
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        bool stays = raft_config_is_voter(next, m->id) || raft_config_is_learner(next, m->id);
        if (seat_in(m) && !stays)
            m->removed_index = index;
    }
    struct raft_id_set before = raft_config_members(&O.config), after = raft_config_members(next);
    for (uint32_t i = 0; i < before.len; i++)
        if (!raft_ids_has(&after, before.ids[i]) && W.removed_len < ARRAY_LEN(W.removed))
            W.removed[W.removed_len++] = before.ids[i];
}

/* Nobody is given an identity that was somebody else's and was gone when it asked. */
void seat_identified(struct member *m, uint64_t id)
{
    if (!m->id)
        for (uint32_t i = 0; i < m->removed_before; i++)
            if (W.removed[i] == id)
                broken("member %u joins as %llx, which was removed before it started", m->number,
                       (unsigned long long)id);
    m->id = id;
}

/*
 * A removed member may go when every majority of those who stay has one who knows for good: else they may need its
 * vote. After a minute it goes anyway; when more has changed since, its own list is not the one to go by.
 */
static void check_dispensable(const struct member *m)
{
    const struct raft_id_set *voters = &O.config.voters;
    uint32_t know = 0;
    if (m->applied_seen < m->removed_index)
        return; /* it was told, and goes by a list of before (docs/safety.md) */
    for (uint32_t i = 0; i < voters->len; i++) {
        const struct member *k = member_of_id(voters->ids[i]);
        know += k && MAX(k->applied_seen, k->promised.change) >= m->removed_index;
    }
    if (m->removed_index == O.config_index && W.now < 60 * SECOND &&
        know < voters->len - voters->len / 2)
        broken("member %u goes, because it was removed, but only %u of the %u who stay know",
               m->number, know, voters->len);
}

void seat_removed(void *ctx)
{
    struct member *m = ctx;
    if (seat_in(m))
        broken("member %u is told that it was removed, and is a member", m->number);
    trace("member %u goes, because it was removed", m->number);
    if (m->leaving)
        return;
    m->leaving = true;
    if (m->state == MEMBER_UP) {
        check_dispensable(m);
        member_stop(m);
    }
    later(chance_below(500 * MS), clear, m);
}

/* ---- asking ---- */

static void changed(void *ctx, int code, uint64_t id)
{
    struct call *c = ctx;
    call_answered(c);
    trace("change of membership answered by member %u: code %d, id %llx", c->member->number, code,
          (unsigned long long)id);
    if (code == 0) {
        bool in = raft_config_is_voter(&O.config, id) || raft_config_is_learner(&O.config, id);
        W.changes++;
        if (c->change == KV_MEMBER_REMOVE && in)
            broken("member %llx is removed, says member %u, and is still there",
                   (unsigned long long)id, c->member->number);
        /* A member that is told by a peer that it is out says so to whoever asked it for just that, and cannot know
         * by whose wish it went (seed 701008: by one of before this call, which came late in a stopped member). */
        bool own = c->change == KV_MEMBER_REMOVE && id == c->member->id;
        if (O.config_index <= c->config_before && !own)
            broken("a change of membership is acknowledged by member %u, but nobody has applied it",
                   c->member->number);
    }
    call_done(c);
}

static void change_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    char url[32];
    snprintf(url, sizeof url, "http://m%u:2380", c->seat);
    struct str urls = str_from(url);
    struct kv_member_change q = {.kind = c->change, .id = c->change_id, .peer_urls = &urls};
    q.peer_urls_len = c->seat ? 1 : 0;
    c->config_before = O.config_index;
    kv_member_change(c->member->kv, &q, c->member->loop, changed, c);
}

static void ask(struct member *by, enum kv_member_change_kind kind, uint64_t id, uint32_t seat)
{
    struct call *c = call_new(by, CALL_CHANGE);
    c->change = kind;
    c->change_id = id;
    c->seat = seat;
    trace("member %u is asked for a change of membership: kind %d, id %llx, seat %u", by->number,
          (int)kind, (unsigned long long)id, seat);
    call_post(c, change_invoke);
}

void seat_remove(struct member *by, const struct member *m)
{
    ask(by, KV_MEMBER_REMOVE, m->id, 0);
}

static void add(struct member *by)
{
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->seat != SEAT_FREE)
            continue;
        m->seat = SEAT_JOINING; /* world.c starts it, again and again until it is let in */
        ask(by, chance(700) ? KV_MEMBER_ADD_LEARNER : KV_MEMBER_ADD, 0, m->number);
        return;
    }
}

/* Somebody who was not let in is asked for once more. */
static void add_again(struct member *by)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        if (W.members[i].seat == SEAT_JOINING && !W.members[i].id) {
            ask(by, KV_MEMBER_ADD_LEARNER, 0, i + 1);
            return;
        }
}

void happen_change(void)
{
    struct member *by = chance(600) ? leading_member() : random_client_member();
    if (!by || by->state != MEMBER_UP || !O.config.voters.len)
        return;
    uint64_t what = chance_below(100);
    if (what < 35)
        add(by);
    else if (what < 45)
        add_again(by);
    else if (what < 75 && O.config.learners.len)
        ask(by, KV_MEMBER_PROMOTE, O.config.learners.ids[0], 0);
    else if (what < 80)
        ask(by, KV_MEMBER_PROMOTE, O.config.voters.ids[0], 0); /* is refused */
    else {
        struct raft_id_set all = raft_config_members(&O.config);
        if (O.config.voters.len > 2 || chance(200))
            ask(by, KV_MEMBER_REMOVE, all.ids[chance_below(all.len)], 0);
    }
}

/* ---- the calm: nobody changes any more ---- */

/* Everybody that the log names has a process; whoever it does not name is of no account. */
bool seats_settled(void)
{
    size_t known = 0;
    struct raft_id_set all = raft_config_members(&O.config);
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        m->out = !seat_in(m);
        known += !m->out;
    }
    return known == all.len;
}

/* Who has not come yet counts for dead: it is let in by a majority of the others only (kvstore/members/join.c). */
static bool majority_lives(const struct raft_id_set *voters)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < W.members_len; i++) {
        const struct member *m = &W.members[i];
        live += !m->retired && !m->ruined && raft_ids_has(voters, m->id);
    }
    return live * 2 > voters->len || !voters->len;
}

static bool quorum_lives(const struct raft_config *c)
{
    return majority_lives(&c->voters) && majority_lives(&c->outgoing);
}

/*
 * A removal that was under way may have left too few: then whoever stayed dead comes back, too. So it does
 * when the dead were the only ones to know that a change is committed: a configuration takes effect when it is
 * applied (raft/config.h), so those who have not applied it need a majority of the one before.
 */
void seats_keep_quorum(void)
{
    bool enough = quorum_lives(&O.config);
    for (uint32_t i = 0; i < W.members_len; i++) {
        const struct member *m = &W.members[i];
        if (m->raft && !m->retired && raft_config_is_voter(raft_configuration(m->raft), m->id))
            enough = enough && quorum_lives(raft_configuration(m->raft));
    }
    for (uint32_t i = 0; i < W.members_len && !enough; i++)
        W.members[i].retired = false;
}

/* Of the voters a random minority stays dead. */
void seats_heal(void)
{
    uint32_t voters = O.config.voters.len;
    uint32_t minority = voters ? (voters - 1) / 2 : 0;
    if (W.rotten && minority)
        minority--; /* it may be busy with being rebuilt, or not come back */
    uint32_t n = (uint32_t)chance_below(minority + 1);
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->seat == SEAT_FREE)
            m->seat = SEAT_JOINING; /* a request whose outcome nobody knows may still come true */
    }
    for (uint32_t tries = 0; tries < 20 && n; tries++) {
        struct member *m = &W.members[chance_below(W.members_len)];
        if (m->retired || m == W.rotten || !seat_votes(m))
            continue;
        m->retired = true;
        member_crash(m, DEATH_CRASH);
        n--;
    }
}
