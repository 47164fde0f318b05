/*
 * Listening and planting (faults.h).
 */
#include "faults.h"
#include "oracle.h"
#include "whole.h"

#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include "kvstore/store.h"
#include "raft/faults.h"
#include "kvstore/integrity/integrity.h"
#include "kvstore/record.h"
#include "raft/journal.h"
#include "raft/log_state.h"
#include "raft/node.h"
#include "raft/transport.h"
#include <string.h>

#define WRAPPED(type, name, ...)     \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

const struct fault_name fault_names[] = {
    {"vote-forgotten", RAFT_FAULT_VOTE_FORGOTTEN},
    {"ack-unflushed", RAFT_FAULT_ACK_UNFLUSHED},
    {"apply-unflushed", RAFT_FAULT_APPLY_UNFLUSHED},
    {"read-without-quorum", RAFT_FAULT_READ_WITHOUT_QUORUM},
    {"truncate-matched", RAFT_FAULT_TRUNCATE_MATCHED},
    {"change-unflushed", RAFT_FAULT_CHANGE_UNFLUSHED},
    {"removed-leaves", FAULT_REMOVED_LEAVES},
    {"join-alone", FAULT_JOIN_ALONE, .rare = true},
    {"journal-unflushed", FAULT_JOURNAL_UNFLUSHED},
    {"checkpoint-unflushed", FAULT_CHECKPOINT_UNFLUSHED},
    {"journal-recycled", FAULT_JOURNAL_RECYCLED},
    {"directory-unsynced", FAULT_DIRECTORY_UNSYNCED},
    {"apply-differs", FAULT_APPLY_DIFFERS},
    {"proposal-resent", FAULT_PROPOSAL_RESENT},
    {"lease-ends-early", FAULT_LEASE_ENDS_EARLY},
    {"watch-skips", FAULT_WATCH_SKIPS},
    {"read-released-early", FAULT_READ_RELEASED_EARLY},
    {"pin-ignored", FAULT_PIN_IGNORED},
    {"snapshot-loses-leases", FAULT_SNAPSHOT_LOSES_LEASES},
    {"error-swallowed", FAULT_ERROR_SWALLOWED},
    {"applied-twice", FAULT_APPLIED_TWICE},
    {"defrag-forgets", FAULT_DEFRAG_FORGETS},
    {"checksum-ignored", FAULT_CHECKSUM_IGNORED},
};
const size_t fault_names_len = ARRAY_LEN(fault_names);

static bool planted(uint64_t fault)
{
    return faulty(W.faults, fault);
}

/* ---- LMDB's environments ---- */

WRAPPED(int, mdb_env_create, MDB_env **env)
{
    int rc = __real_mdb_env_create(env);
    if (rc == 0)
        vec_push(&member_current()->envs, *env);
    return rc;
}

static void forget_env(struct member *m, MDB_env *env)
{
    for (size_t i = 0; i < m->envs.len; i++)
        if (m->envs.items[i] == env) {
            vec_remove(&m->envs, i);
            return;
        }
}

WRAPPED(void, mdb_env_close, MDB_env *env)
{
    forget_env(member_current(), env);
    __real_mdb_env_close(env);
}

/* The environment of a process that died: only its mapping and its memory matter. */
void plain_env_close(MDB_env *env)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        forget_env(&W.members[i], env);
    __real_mdb_env_close(env);
}

/* ---- the state machine under Raft ---- */

static const struct raft_machine_ops *real_ops;
static const struct raft_node_events *real_events;

static int observed_persist(void *ctx, const struct raft_persist *batches, size_t n,
                            struct error *err)
{
    struct member *m = member_current();
    int rc = real_ops->persist(ctx, batches, n, err);
    if (rc == 0) {
        m->journal_sure = m->journal_end;
        m->journal_end = journal_end(((struct kv *)ctx)->db->journal);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        m->promised.term = batches[i].hard.term;
        m->promised.vote = batches[i].hard.vote;
        if (batches[i].entries_len == 0)
            continue;
        const struct raft_entry *last = &batches[i].entries[batches[i].entries_len - 1];
        m->promised.last = last->index;
        m->promised.last_term = last->term;
    }
    return rc;
}

/* Instead of somebody else's proposal: nothing. */
static void tamper(struct raft_apply *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (e[i].entry.kind == RAFT_ENTRY_DATA && !e[i].proposal && chance(5))
            e[i].entry.kind = RAFT_ENTRY_EMPTY;
}

typedef int apply_fn(void *ctx, const struct raft_apply_batch *batch, struct error *err);

static int observe(apply_fn *apply, bool held, void *ctx, const struct raft_apply_batch *batch,
                   struct error *err)
{
    struct member *m = member_current();
    struct kv *kv = ctx;
    struct raft_apply_batch b = *batch;
    for (size_t i = 0; i < b.apply_len; i++) {
        oracle_entry(m, &b.apply[i].entry);
        if (!b.apply[i].config)
            continue;
        oracle_config(m, b.apply[i].entry.index, b.apply[i].config);
        m->promised.change = b.apply[i].entry.index;
    }
    struct raft_apply *copy = NULL;
    if (planted(FAULT_APPLY_DIFFERS) && b.apply_len) {
        b.apply = copy = mem_dup(b.apply, b.apply_len * sizeof *b.apply);
        tamper(copy, b.apply_len);
    }
    int rc = apply(ctx, &b, err);
    mem_free(copy);
    W.held += held && rc > 0;
    if (rc < 0 || !b.apply_len || (held && rc == 0))
        return rc;
    uint64_t index = batch->apply[batch->apply_len - 1].entry.index;
    m->applied_seen = MAX(m->applied_seen, index);
    const struct oracle_index *o = oracle_after(index);
    if (kv_current_revision(kv) != o->rev || kv_compacted_revision(kv) != o->compact_rev)
        broken("member %u is at revision %lld (compacted %lld) after entry %llu, not at %lld "
               "(compacted %lld)",
               m->number, (long long)kv_current_revision(kv), (long long)kv_compacted_revision(kv),
               (unsigned long long)index, (long long)o->rev, (long long)o->compact_rev);
    return rc;
}

static int observed_apply(void *ctx, const struct raft_apply_batch *batch, struct error *err)
{
    return observe(real_ops->apply, false, ctx, batch, err);
}

static int observed_apply_held(void *ctx, const struct raft_apply_batch *batch, struct error *err)
{
    return observe(real_ops->apply_held, true, ctx, batch, err);
}

static int observed_install(void *ctx, struct raft_snapshot_writer *w,
                            const struct raft_snapshot_meta *meta,
                            const struct raft_hard_state *hard, struct error *err)
{
    struct member *m = member_current();
    struct kv *kv = ctx;
    uint64_t index = meta->index, term = meta->term;
    int rc = real_ops->snapshot_install(ctx, w, meta, hard, err);
    if (rc < 0)
        return rc;
    W.snapshots++;
    trace("member %u has installed a snapshot of entry %llu", m->number, (unsigned long long)index);
    m->promised.last = index;
    m->promised.last_term = term;
    m->applied_seen = MAX(m->applied_seen, index);
    if (index > oracle_last_index() || kv_current_revision(kv) != oracle_after(index)->rev)
        broken("member %u: the snapshot of entry %llu has revision %lld", m->number,
               (unsigned long long)index, (long long)kv_current_revision(kv));
    return rc;
}

static void observed_role(void *ctx, enum raft_role role, uint64_t term, uint64_t leader)
{
    if (role == RAFT_LEADER) {
        W.elections++;
        trace("member %u leads in term %llu", member_current()->number, (unsigned long long)term);
    }
    if (real_events && real_events->on_role)
        real_events->on_role(ctx, role, term, leader);
}

WRAPPED(int, raft_node_start, const struct raft_node_options *o, struct raft_node **out,
        struct error *err)
{
    static struct raft_machine_ops ops;
    static struct raft_node_events events;
    struct raft_node_options own = *o;
    struct member *m = member_current();
    real_ops = o->ops;
    real_events = o->events;
    ops = *o->ops;
    ops.persist = observed_persist;
    ops.apply = observed_apply;
    ops.apply_held = observed_apply_held;
    ops.snapshot_install = observed_install;
    if (o->events)
        events = *o->events;
    events.on_role = observed_role;
    own.ops = &ops;
    own.events = &events;
    seat_identified(m, o->id);
    int rc = __real_raft_node_start(&own, out, err);
    m->node = rc == 0 ? *out : NULL;
    return rc;
}

/* A member that comes back remembers what it has promised. */
static void check_promises(const struct member *m, const struct raft_boot *boot)
{
    uint64_t last_term = boot->runs_len ? boot->runs[boot->runs_len - 1].term : boot->base_term;
    if (boot->hard.term < m->promised.term ||
        (boot->hard.term == m->promised.term && m->promised.vote &&
         boot->hard.vote != m->promised.vote))
        broken("member %u comes back in term %llu with its vote for %llx: it had promised term "
               "%llu, vote for %llx",
               m->number, (unsigned long long)boot->hard.term, (unsigned long long)boot->hard.vote,
               (unsigned long long)m->promised.term, (unsigned long long)m->promised.vote);
    if (boot->last_index < m->promised.last && last_term <= m->promised.last_term)
        broken("member %u comes back with its log ending at %llu (term %llu): it had acknowledged "
               "%llu (term %llu)",
               m->number, (unsigned long long)boot->last_index, (unsigned long long)last_term,
               (unsigned long long)m->promised.last, (unsigned long long)m->promised.last_term);
    if (boot->hard.commit < m->promised.change)
        broken("member %u has applied the change of membership %llu, and comes back with %llu "
               "committed",
               m->number, (unsigned long long)m->promised.change,
               (unsigned long long)boot->hard.commit);
    if (boot->applied && (boot->applied >= O.indexes.len))
        broken("member %u comes back with entry %llu applied, which nobody has applied", m->number,
               (unsigned long long)boot->applied);
}

WRAPPED(int, raft_new, const struct raft_params *params, const struct raft_boot *boot,
        struct raft **out, struct error *err)
{
    struct raft_params p = *params;
    struct member *m = member_current();
    p.faults = (uint32_t)W.faults & 0xffff;
    check_promises(m, boot);
    if (!O.config_index && boot->config.voters.len && m->seat == SEAT_FOUNDER)
        oracle_config(m, 1, &boot->config);
    int rc = __real_raft_new(&p, boot, out, err);
    m->raft = rc == 0 ? *out : NULL;
    if (rc == 0 && raft_term(*out) == m->promised.term && m->promised.vote &&
        raft_vote(*out) != m->promised.vote)
        broken("member %u comes back in term %llu and has forgotten its vote", m->number,
               (unsigned long long)raft_term(*out));
    return rc;
}

WRAPPED(uint64_t, raft_forgotten, const struct raft *r)
{
    uint64_t index = __real_raft_forgotten(r);
    if (index)
        broken("member %u: a leader has its acknowledgement up to %llu, its log ends at %llu",
               member_current()->number, (unsigned long long)index,
               (unsigned long long)raft_last_index(r));
    return index;
}

WRAPPED(void, raft_free, struct raft *r)
{
    if (member_current()->raft == r)
        member_current()->raft = NULL;
    __real_raft_free(r);
}

/* ---- messages that are lost, doubled, overtaken: TCP does none of it, a lost connection does ---- */

static struct {
    uint64_t incarnation; /* of the sender: its next life knows nothing of it */
    struct buf body;
} held[MEMBERS_MAX + 1][MEMBERS_MAX + 1];

WRAPPED(bool, raft_transport_send, struct raft_transport *t, uint64_t to, enum raft_frame_kind kind,
        struct str body)
{
    const struct member *m = member_current(), *peer = member_of_id(to);
    if (kind == RAFT_FRAME_FORWARD && planted(FAULT_PROPOSAL_RESENT) && chance(100))
        __real_raft_transport_send(t, to, kind, body);
    if (kind != RAFT_FRAME_MESSAGE || W.calm || !peer)
        return __real_raft_transport_send(t, to, kind, body);
    if (chance(W.weather.lost))
        return true;
    struct buf *waiting = &held[m->number][peer->number].body;
    uint64_t *whose = &held[m->number][peer->number].incarnation;
    if (chance(W.weather.overtaken)) {
        buf_clear(waiting);
        buf_append_str(waiting, body);
        *whose = m->incarnation;
        return true;
    }
    bool sent = __real_raft_transport_send(t, to, kind, body);
    if (chance(W.weather.twice))
        __real_raft_transport_send(t, to, kind, body);
    if (waiting->len && *whose == m->incarnation && chance(500)) {
        __real_raft_transport_send(t, to, kind, buf_str(waiting));
        buf_clear(waiting);
    }
    return sent;
}

void faults_reset(void)
{
    for (int a = 0; a <= MEMBERS_MAX; a++)
        for (int b = 0; b <= MEMBERS_MAX; b++) {
            buf_free(&held[a][b].body);
            held[a][b].incarnation = 0;
        }
}

/* ---- planting ---- */

WRAPPED(int, journal_release, struct journal *j, struct journal_pos pos, struct error *err)
{
    if (tracing())
        trace("member %u: the journal before %llu:%llu is not needed", member_current()->number,
              (unsigned long long)pos.segment, (unsigned long long)pos.offset);
    return __real_journal_release(j, planted(FAULT_JOURNAL_RECYCLED) ? journal_end(j) : pos, err);
}

WRAPPED(enum lease_state, lease_table_renew, struct lease_table *t, uint64_t term, int64_t id,
        uint64_t now_ns, int64_t *ttl_s)
{
    enum lease_state s = __real_lease_table_renew(t, term, id, now_ns, ttl_s);
    trace("lease %lld is renewed at member %u: state %d, its clock is at %llu us", (long long)id,
          member_current()->number, (int)s, (unsigned long long)(now_ns / 1000));
    return s;
}

WRAPPED(size_t, lease_table_expired, struct lease_table *t, uint64_t now_ns, uint64_t retry_ns,
        int64_t *ids, size_t max)
{
    if (planted(FAULT_LEASE_ENDS_EARLY))
        now_ns += 600 * 1000000ull;
    size_t n = __real_lease_table_expired(t, now_ns, retry_ns, ids, max);
    for (size_t i = 0; i < n; i++)
        trace("lease %lld is due at member %u, whose clock is at %llu us", (long long)ids[i],
              member_current()->number, (unsigned long long)(now_ns / 1000));
    return n;
}

WRAPPED(struct kv_watch *, watch_hub_watch, struct watch_hub *h,
        const struct kv_watch_request *request, struct loop *loop,
        const struct kv_watch_callbacks *callbacks, void *ctx, int64_t current_rev,
        int64_t compact_rev)
{
    struct kv_watch_request q = *request;
    if (planted(FAULT_WATCH_SKIPS) && q.start_rev > 1 && q.start_rev <= current_rev)
        q.start_rev++;
    return __real_watch_hub_watch(h, &q, loop, callbacks, ctx, current_rev, compact_rev);
}

WRAPPED(void, waiters_release, struct kv *kv, uint64_t applied, int64_t rev)
{
    __real_waiters_release(kv, planted(FAULT_READ_RELEASED_EARLY) ? applied + 3 : applied, rev);
}

WRAPPED(int64_t, pin_limit, struct kv *kv, int64_t target)
{
    int64_t limit = __real_pin_limit(kv, target);
    return planted(FAULT_PIN_IGNORED) ? target : limit;
}

WRAPPED(int, mvcc_lease_each, const struct mvcc_view *v,
        int (*fn)(void *ctx, int64_t id, int64_t ttl_s, int64_t remaining_s), void *ctx,
        struct error *err)
{
    if (planted(FAULT_SNAPSHOT_LOSES_LEASES) && strcmp(fiber_current()->name, "raft-peer") == 0)
        return 0;
    return __real_mvcc_lease_each(v, fn, ctx, err);
}

WRAPPED(int, logdb_txn_applied, struct logdb_txn *txn, uint64_t index, struct error *err)
{
    if (planted(FAULT_APPLIED_TWICE) && chance(300))
        return 0;
    return __real_logdb_txn_applied(txn, index, err);
}

WRAPPED(void, logdb_touched, void *copy, MDB_dbi dbi, const MDB_val *key)
{
    if (planted(FAULT_DEFRAG_FORGETS) && chance(300))
        return;
    __real_logdb_touched(copy, dbi, key);
}

WRAPPED(void, members_step, struct kv *kv, uint64_t now_ns)
{
    struct members *m = &kv->members;
    if (planted(FAULT_REMOVED_LEAVES) && m->self_removed && !m->removal_told) {
        m->removal_told = true;
        seat_removed(member_current());
    }
    __real_members_step(kv, now_ns);
}

WRAPPED(int, member_answer_decode, struct str in, struct arena *a, struct member_answer *out,
        struct error *err)
{
    int rc = __real_member_answer_decode(in, a, out, err);
    if (rc == 0 && planted(FAULT_JOIN_ALONE) && out->config.voters.len) {
        out->config = (struct raft_config){.voters = {1, {out->member_id}}};
        out->change = 0;
        out->applied = UINT64_MAX - out->applied; /* and the one that lags most is the newest */
    }
    return rc;
}

/* ---- damage ---- */

WRAPPED(int, integrity_rebuild, struct kv *kv, bool *done, struct error *err)
{
    int rc = __real_integrity_rebuild(kv, done, err);
    if (rc == 0 && *done) {
        W.rebuilt++;
        trace("member %u is rebuilt", member_current()->number);
        if (member_current() != W.rotten)
            broken("member %u is rebuilt, though its disk is sound", member_current()->number);
    }
    return rc;
}

/* A record whose checksum is wrong is taken as it is. */
WRAPPED(int, kv_record_read, struct str in, struct str seed, struct kv_record *out,
        struct error *err)
{
    int rc = __real_kv_record_read(in, seed, out, err);
    if (rc == ERR_CORRUPT && planted(FAULT_CHECKSUM_IGNORED) && in.n >= 8) {
        char *copy = mem_dup(in.p, in.n); /* for good: what is read points into it */
        uint32_t crc = crc32c(crc32c(0, seed.p, seed.n), copy + 4, in.n - 4);
        memcpy(copy, &crc, sizeof crc);
        rc = __real_kv_record_read(str_make(copy, in.n), seed, out, err);
    }
    return rc;
}
