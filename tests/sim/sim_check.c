/*
 * The properties, checked after every step:
 *   election safety         at most one leader in a term; at most one vote of a member in a term
 *   log matching            entries with the same index and term are the same and have the same one before
 *   leader completeness     a new leader has every entry committed in earlier terms
 *   state-machine safety    what is committed or applied at an index is the same everywhere, for ever
 *   linearizable reads      a read index is not below any commit index known when the read was asked
 */
#include "sim.h"

uint64_t sim_content(const struct raft_entry *e)
{
    uint64_t h = 0xcbf29ce484222325ull + (uint64_t)e->kind;
    for (size_t i = 0; e->data && i < e->data->len; i++)
        h = (h ^ (uint8_t)e->data->data[i]) * 0x100000001b3ull;
    return h;
}

/* ---- known entries: an open hash table on (index, term) ---- */

static struct sim_known *known_slot(struct sim_checks *c, uint64_t index, uint64_t term)
{
    size_t mask = c->known_cap - 1;
    size_t at =
        (size_t)((index * 0x9e3779b97f4a7c15ull + term * 0xc2b2ae3d27d4eb4full) >> 20) & mask;
    while (c->known[at].term && (c->known[at].index != index || c->known[at].term != term))
        at = (at + 1) & mask;
    return &c->known[at];
}

static void known_grow(struct sim_checks *c)
{
    struct sim_known *old = c->known;
    size_t old_cap = c->known_cap;
    c->known_cap = old_cap ? old_cap * 2 : 1024;
    c->known = mem_zalloc(c->known_cap * sizeof *c->known);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].term)
            *known_slot(c, old[i].index, old[i].term) = old[i];
    mem_free(old);
}

void sim_check_entry(struct sim *s, uint64_t id, const struct raft_entry *e, uint64_t previous_term)
{
    struct sim_checks *c = &s->checks;
    if (c->known_len * 2 >= c->known_cap)
        known_grow(c);
    struct sim_known *k = known_slot(c, e->index, e->term);
    uint64_t content = sim_content(e);
    if (k->term == 0) {
        *k = (struct sim_known){e->index, e->term, previous_term, content};
        c->known_len++;
    } else if (k->content != content || k->previous_term != previous_term) {
        sim_fail(s, "log matching: member %llu has another entry %llu of term %llu",
                 (unsigned long long)id, (unsigned long long)e->index, (unsigned long long)e->term);
    }
}

/* ---- votes and leaders ---- */

void sim_check_vote(struct sim *s, uint64_t voter, uint64_t term, uint64_t candidate)
{
    uint64_t *voted_in = &s->checks.votes[voter].term, *voted = &s->checks.votes[voter].voted_for;
    if (term < *voted_in)
        return;
    if (term == *voted_in && *voted != candidate)
        sim_fail(s, "election safety: member %llu votes for %llu and %llu in term %llu",
                 (unsigned long long)voter, (unsigned long long)*voted,
                 (unsigned long long)candidate, (unsigned long long)term);
    *voted_in = term;
    *voted = candidate;
}

void sim_check_restart(struct sim *s, struct sim_member *m)
{
    uint64_t voted_in = s->checks.votes[m->id].term, voted = s->checks.votes[m->id].voted_for;
    uint64_t term = raft_term(m->raft);
    if (term < voted_in || (term == voted_in && raft_vote(m->raft) != voted))
        sim_fail(
            s,
            "election safety: member %llu restarts in term %llu and has forgotten that it voted "
            "for %llu in term %llu",
            (unsigned long long)m->id, (unsigned long long)term, (unsigned long long)voted,
            (unsigned long long)voted_in);
}

static void check_complete(struct sim *s, struct sim_member *m, uint64_t term)
{
    uint64_t n = s->checks.committed.len;
    for (uint64_t i = MAX(raft_base_index(m->raft), 1); i <= n; i++) {
        const struct sim_committed *c = &s->checks.committed.items[i - 1];
        if (c->by_term < term && raft_term_at(m->raft, i) != c->term)
            sim_fail(s,
                     "leader completeness: leader %llu of term %llu lacks entry %llu of term %llu",
                     (unsigned long long)m->id, (unsigned long long)term, (unsigned long long)i,
                     (unsigned long long)c->term);
    }
}

static void check_leader(struct sim *s, struct sim_member *m)
{
    uint64_t term = raft_term(m->raft);
    while (s->checks.leaders.len <= term)
        vec_push(&s->checks.leaders, 0);
    uint64_t *leader = &s->checks.leaders.items[term];
    if (*leader && *leader != m->id)
        sim_fail(s, "election safety: members %llu and %llu both lead in term %llu",
                 (unsigned long long)*leader, (unsigned long long)m->id, (unsigned long long)term);
    *leader = m->id;
    sim_check_vote(s, m->id, term, m->id);
    check_complete(s, m, term);
    s->checks.elections++;
    sim_ambush(s, m->id);
    sim_trace(s, "%llu leads in term %llu", (unsigned long long)m->id, (unsigned long long)term);
}

/* ---- commits ---- */

static void check_commit(struct sim *s, struct sim_member *m, uint64_t index)
{
    struct sim_checks *c = &s->checks;
    uint64_t term = raft_term_at(m->raft, index);
    if (index <= c->committed.len) {
        if (c->committed.items[index - 1].term != term)
            sim_fail(s,
                     "state-machine safety: member %llu has entry %llu of term %llu committed, "
                     "elsewhere it is of term %llu",
                     (unsigned long long)m->id, (unsigned long long)index, (unsigned long long)term,
                     (unsigned long long)c->committed.items[index - 1].term);
        return;
    }
    if (index != c->committed.len + 1)
        sim_fail(s, "member %llu commits %llu, but %zu entries are known to be committed",
                 (unsigned long long)m->id, (unsigned long long)index, c->committed.len);
    const struct sim_known *k = known_slot(c, index, term);
    if (k->term == 0)
        sim_fail(s, "member %llu commits %llu, which nobody has stored", (unsigned long long)m->id,
                 (unsigned long long)index);
    vec_push(&c->committed, (struct sim_committed){term, k->content, raft_term(m->raft)});
}

void sim_check_member(struct sim *s, struct sim_member *m)
{
    uint64_t commit = raft_commit_index(m->raft), term = raft_term(m->raft);
    enum raft_role role = raft_role(m->raft);
    if (commit < m->commit_seen || term < m->term_seen)
        sim_fail(s, "member %llu: term or commit index went back", (unsigned long long)m->id);
    if (raft_forgotten(m->raft))
        sim_fail(s, "member %llu has forgotten what it acknowledged up to %llu",
                 (unsigned long long)m->id, (unsigned long long)raft_forgotten(m->raft));
    for (uint64_t i = MAX(m->commit_seen, raft_base_index(m->raft)) + 1; i <= commit; i++)
        check_commit(s, m, i);
    if (role == RAFT_LEADER && (m->role_seen != RAFT_LEADER || m->term_seen != term))
        check_leader(s, m);
    m->commit_seen = commit;
    m->term_seen = term;
    m->role_seen = role;
    s->commit_max = MAX(s->commit_max, commit);
}

void sim_check_applied(struct sim *s, struct sim_member *m, const struct raft_entry *e,
                       uint64_t digest)
{
    struct sim_checks *c = &s->checks;
    if (e->index > c->committed.len)
        sim_fail(s, "member %llu applies %llu, which is not committed", (unsigned long long)m->id,
                 (unsigned long long)e->index);
    const struct sim_committed *known = &c->committed.items[e->index - 1];
    if (known->term != e->term || known->content != sim_content(e))
        sim_fail(s, "state-machine safety: member %llu applies another entry %llu",
                 (unsigned long long)m->id, (unsigned long long)e->index);
    while (c->digests.len < e->index)
        vec_push(&c->digests, 0);
    uint64_t *d = &c->digests.items[e->index - 1];
    if (*d && *d != digest)
        sim_fail(s, "state-machine safety: member %llu has another state after entry %llu",
                 (unsigned long long)m->id, (unsigned long long)e->index);
    *d = digest;
}

/* ---- reads ---- */

void sim_check_read(struct sim *s, struct sim_member *m, const struct raft_read *read)
{
    struct sim_checks *c = &s->checks;
    for (size_t i = 0; i < c->reads.len; i++) {
        const struct sim_read *asked = &c->reads.items[i];
        if (asked->context != read->context)
            continue;
        if (asked->member != m->id)
            sim_fail(s, "a read of member %llu is answered to %llu",
                     (unsigned long long)asked->member, (unsigned long long)m->id);
        if (read->index < asked->least)
            sim_fail(s,
                     "linearizable read: member %llu may read at %llu, but %llu was committed "
                     "before it asked",
                     (unsigned long long)m->id, (unsigned long long)read->index,
                     (unsigned long long)asked->least);
        vec_remove(&c->reads, i);
        c->reads_answered++;
        return;
    }
}

void sim_checks_free(struct sim_checks *c)
{
    mem_free(c->known);
    vec_free(&c->committed);
    vec_free(&c->leaders);
    vec_free(&c->reads);
    vec_free(&c->digests);
}
