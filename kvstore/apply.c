/*
 * Applying one committed proposal to the state.
 *
 * What an entry does depends on the state and its bytes alone, so that every member does the same; only
 * the answer is for the member whose caller waits. A proposal that breaks a rule is applied as nothing
 * at all, with an error for its caller.
 */
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <inttypes.h>

/* The revision that changes are collected for. */
static struct watch_revision *revision_now(struct kv *kv, int64_t rev)
{
    if (kv->revisions.len == 0 || kv->revisions.items[kv->revisions.len - 1].rev != rev)
        vec_push(&kv->revisions, ((struct watch_revision){.rev = rev}));
    return &kv->revisions.items[kv->revisions.len - 1];
}

static void on_change(void *ctx, struct str key, const struct kv_record *now,
                      const struct kv_record *prev)
{
    struct kv *kv = ctx;
    struct watch_revision *r = revision_now(kv, now->id.rev);
    /* Nobody watches: whoever begins to, and wants this revision, finds it in the history. */
    size_t watchers, slow;
    watch_hub_count(kv->hub, &watchers, &slow);
    if (watchers == 0 && r->events_len == 0)
        r->history_only = true;
    if (!r->history_only)
        watch_revision_add(r, watch_event_new(kv->hub, key, now, prev));
}

/* ---- large deletes: several transactions, one revision ---- */

/*
 * A delete of many keys is one revision but not one LMDB transaction, which would hold every page it
 * changes in memory. Tombstones of the unfinished revision are above the watermark, so readers still see the
 * versions before. state.bulk_* says how far it is; after a restart the entry is applied again from its
 * beginning, where what is deleted already is skipped, and counts on.
 */
static void bulk_begin(struct apply *a, uint64_t index)
{
    struct mvcc_state *s = &a->write.state;
    if (s->bulk_index == index) {
        struct watch_revision *r = revision_now(a->kv, a->write.rev);
        watch_revision_clear(r);
        r->history_only = true; /* the first part may have been before a restart */
        a->write.sub = (uint32_t)s->bulk_sub;
        return;
    }
    s->bulk_index = index;
    s->bulk_deleted = 0;
    s->bulk_sub = 0;
}

/* 1: another transaction is needed. Else the revision ends here. */
static int bulk_end(struct apply *a, bool more, int64_t *deleted)
{
    struct mvcc_state *s = &a->write.state;
    *deleted = s->bulk_deleted;
    if (more) {
        s->bulk_sub = a->write.sub;
        a->write.sub = 0; /* not a complete revision yet */
        return 1;
    }
    s->bulk_index = 0;
    s->bulk_deleted = 0;
    s->bulk_sub = 0;
    mvcc_write_end_revision(&a->write);
    return 0;
}

/* Is this just one deletion of a range, for which nobody wants the previous pairs? */
static bool is_plain_delete(const struct kv_txn_request *t)
{
    return t->compares_len == 0 && t->then_len == 1 && t->then[0].type == KV_OP_DELETE &&
           t->then[0].del.end.n > 0 && !t->then[0].del.prev_kv;
}

static int apply_bulk_delete(struct apply *a, const struct kv_delete *d, uint64_t index,
                             struct pending *p, struct error *err)
{
    struct key_range range = key_range_make(d->key, d->end);
    struct kv *kv = a->kv;
    int64_t deleted, *count = &a->write.state.bulk_deleted;
    bulk_begin(a, index);
    if (kv->bulk_index != index)
        buf_clear(&kv->bulk_from);
    kv->bulk_index = index;
    int rc = mvcc_delete_some(&a->write, &range, &kv->bulk_from, BULK_KEYS, count, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        kv->bulk_index = 0;
    rc = bulk_end(a, rc == 1, &deleted);
    if (rc == 0 && p) {
        p->txn = txn_result_new();
        p->txn->succeeded = true;
        p->txn->ops = arena_array(&p->txn->arena, struct kv_op_result, 1);
        p->txn->ops_len = 1;
        p->txn->ops[0].type = KV_OP_DELETE;
        p->txn->ops[0].del.deleted = deleted;
        p->txn->rev = p->txn->ops[0].rev = a->write.state.rev;
    }
    return rc;
}

/* ---- the kinds ---- */

/* Refused by auth_check_*: nothing is done, the caller gets the reason. A failure to read stops the member. */
static int refuse_txn(struct apply *a, int code, struct pending *p, struct error *err)
{
    const char *why = kv_auth_message(code);
    if (!why)
        return error_set(err, code, "check permissions");
    if (p) {
        p->txn = txn_result_new();
        txn_result_fail(p->txn, code, why);
        p->txn->rev = a->write.state.rev;
    }
    return 0;
}

static bool ops_may_take_long(const struct kv_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kv_op *op = &ops[i];
        if ((op->type == KV_OP_RANGE && op->range.end.n) ||
            (op->type == KV_OP_DELETE && op->del.end.n) ||
            (op->type == KV_OP_TXN && txn_may_take_long(op->txn)))
            return true;
    }
    return false;
}

/* Ranges hold any number of keys, and a transaction as many ranges as it likes. */
bool txn_may_take_long(const struct kv_txn_request *t)
{
    for (size_t i = 0; i < t->compares_len; i++)
        if (t->compares[i].end.n)
            return true;
    return ops_may_take_long(t->then, t->then_len) ||
           ops_may_take_long(t->otherwise, t->otherwise_len);
}

/* 1: commit first and ask again. Nobody who reads what is held (logdb_hold) may have to wait for what takes long:
 * it is loops that wait, each with all its clients. */
static int apply_txn(struct apply *a, const struct proposal *q, uint64_t index, struct pending *p,
                     struct error *err)
{
    const struct kv_txn_request *t = &q->txn;
    struct kv *kv = a->kv;
    if (logdb_is_held(kv->db) && txn_may_take_long(t))
        return 1;
    struct mvcc_view view = mvcc_write_view(&a->write);
    int refused = auth_check_txn(kv, &view, proposal_who(q), t);
    if (refused)
        return refuse_txn(a, refused, p, err);
    if (is_plain_delete(t))
        return apply_bulk_delete(a, &t->then[0].del, index, p, err);
    struct txn_exec x = {.view = view,
                         .write = &a->write,
                         .leases = &kv->leases,
                         .rev = a->write.state.rev,
                         .compact_rev = a->write.state.compact_rev,
                         .scratch = &kv->apply_arena,
                         .bytes_left = kv->o.response_bytes_max};
    if (p)
        x.result = p->txn = txn_result_new();
    int rc = txn_exec_run(&x, t, err);
    return rc < 0 && txn_exec_is_fatal(rc) ? rc : 0;
}

static void lease_answer(struct apply *a, struct pending *p, int code, int64_t id, int64_t ttl_s)
{
    if (p)
        p->lease = (struct kv_lease_result){
            .code = code, .id = id, .ttl_s = ttl_s, .rev = a->write.state.rev};
}

static int apply_grant(struct apply *a, int64_t id, int64_t ttl_s, struct pending *p,
                       struct error *err)
{
    if (lease_table_has(&a->kv->leases, id)) {
        lease_answer(a, p, KV_ERR_LEASE_EXISTS, id, 0);
        return 0;
    }
    int rc = mvcc_lease_put(&a->write, id, ttl_s, 0, err);
    if (rc < 0)
        return rc;
    lease_table_add(&a->kv->leases, id, ttl_s, 0, a->now_ns);
    lease_answer(a, p, 0, id, ttl_s);
    return 0;
}

static int gather_key(void *ctx, struct str key)
{
    struct buf *b = ctx;
    buf_append_le32(b, (uint32_t)key.n);
    buf_append_str(b, key);
    return 0;
}

/* Delete up to BULK_KEYS keys of the lease. 1: there may be more. */
static int revoke_some(struct apply *a, int64_t id, struct error *err)
{
    struct mvcc_view v = mvcc_write_view(&a->write);
    struct buf keys;
    int n = 0;
    buf_init(&keys);
    int rc = mvcc_lease_keys(&v, id, BULK_KEYS, gather_key, &keys, err);
    for (size_t at = 0; at < keys.len && rc == 0; n++) {
        uint32_t len;
        memcpy(&len, keys.data + at, sizeof len);
        rc = mvcc_delete(&a->write, str_make(keys.data + at + 4, len), err);
        at += 4 + len;
        if (rc == ERR_NOT_FOUND)
            rc = error_set(err, ERR_CORRUPT, "a lease has a key that does not exist");
    }
    buf_free(&keys);
    return rc < 0 ? rc : n == BULK_KEYS;
}

/* `who` NULL: the process's own. */
static int apply_revoke(struct apply *a, int64_t id, const struct kv_auth_info *who, uint64_t index,
                        struct pending *p, struct error *err)
{
    struct mvcc_view view = mvcc_write_view(&a->write);
    int refused = auth_check_lease(a->kv, &view, who, id, true);
    if (refused && !kv_auth_message(refused))
        return error_set(err, refused, "check permissions");
    if (refused) {
        lease_answer(a, p, refused, id, 0);
        return 0;
    }
    if (!lease_table_has(&a->kv->leases, id)) {
        lease_answer(a, p, KV_ERR_LEASE_NOT_FOUND, id, 0);
        return 0;
    }
    int64_t deleted;
    bulk_begin(a, index);
    int rc = revoke_some(a, id, err);
    if (rc < 0)
        return rc;
    rc = bulk_end(a, rc == 1, &deleted);
    if (rc != 0)
        return rc;
    rc = mvcc_lease_delete(&a->write, id, err);
    if (rc < 0)
        return rc;
    lease_table_remove(&a->kv->leases, id);
    lease_answer(a, p, 0, id, 0);
    return 0;
}

/* Found due by the leader of `term`. In an entry of another term it comes from a leader of the past,
 * who knew nothing of the renewals since: whoever led after him extended the lease. */
static int apply_expire(struct apply *a, const struct raft_entry *e, int64_t id, uint64_t term,
                        struct pending *p, struct error *err)
{
    if (e->term == term)
        return apply_revoke(a, id, NULL, e->index, p, err);
    lease_answer(a, p, ERR_CONFLICT, id, 0);
    return 0;
}

static int apply_checkpoint(struct apply *a, const struct lease_left *items, size_t n,
                            struct pending *p, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        int64_t ttl_s;
        if (lease_table_set_remaining(&a->kv->leases, items[i].id, items[i].remaining_s, a->now_ns,
                                      &ttl_s))
            rc = mvcc_lease_put(&a->write, items[i].id, ttl_s, items[i].remaining_s, err);
    }
    if (p)
        p->rev = a->write.state.rev;
    return rc;
}

/*
 * Of members that did not know lease_call.c's way yet. One that has just joined learns of it here at the
 * latest, and asks again: by the log it would be told of a life that ends with an entry right behind.
 */
static void apply_keep_alive(struct apply *a, int64_t id, struct pending *p)
{
    if (kv_level(a->kv) >= proposal_kind_level(PROPOSAL_LEASE_EXPIRE)) {
        lease_answer(a, p, ERR_CONFLICT, id, 0);
        return;
    }
    struct lease_table *t = &a->kv->leases;
    int64_t ttl_s = 0, left_s;
    enum lease_state s = lease_table_get(t, id, a->now_ns, &ttl_s, &left_s);
    uint64_t term = atomic_load(&a->kv->leader_term);
    if (term)
        lease_table_renew(t, term, id, a->now_ns, &ttl_s);
    lease_answer(a, p, s == LEASE_ABSENT ? KV_ERR_LEASE_NOT_FOUND : 0, id, ttl_s);
}

static void apply_compact(struct apply *a, int64_t rev, struct pending *p)
{
    struct mvcc_state *s = &a->write.state;
    int code = rev <= s->compact_rev ? ERR_COMPACTED : rev > s->rev ? KV_ERR_FUTURE_REV : 0;
    if (code == 0)
        s->compact_rev = rev;
    if (p) {
        p->code = code;
        p->rev = s->rev;
    }
}

int apply_entry(struct apply *a, const struct raft_entry *e, struct pending *p, struct error *err)
{
    struct proposal q;
    arena_reset(&a->kv->apply_arena);
    a->write.on_change = on_change;
    a->write.ctx = a->kv;
    int rc = proposal_decode(raft_entry_payload(e), &a->kv->apply_arena, &q, err);
    if (rc < 0)
        return error_wrap(err, "log entry %" PRIu64, e->index);
    switch (q.kind) {
    case PROPOSAL_TXN:
        rc = apply_txn(a, &q, e->index, p, err);
        break;
    case PROPOSAL_LEASE_GRANT:
        rc = apply_grant(a, q.lease.id, q.lease.ttl_s, p, err);
        break;
    case PROPOSAL_LEASE_REVOKE:
        rc = apply_revoke(a, q.lease.id, proposal_who(&q), e->index, p, err);
        break;
    case PROPOSAL_LEASE_KEEP_ALIVE:
        apply_keep_alive(a, q.lease.id, p);
        break;
    case PROPOSAL_LEASE_EXPIRE:
        rc = apply_expire(a, e, q.expire.id, q.expire.term, p, err);
        break;
    case PROPOSAL_LEASE_CHECKPOINT:
        rc = apply_checkpoint(a, q.checkpoint.items, q.checkpoint.len, p, err);
        break;
    case PROPOSAL_COMPACT:
        apply_compact(a, q.compact_rev, p);
        break;
    case PROPOSAL_MEMBER:
        rc = members_apply(a->kv, a, &q.member, err);
        break;
    case PROPOSAL_DIGEST:
        integrity_apply(a->kv, a, &q.digest, e->index);
        break;
    case PROPOSAL_CLUSTER:
        rc = members_apply_cluster(a->kv, a, &q.cluster, p, err);
        break;
    case PROPOSAL_ALARM:
        rc = alarms_apply(a->kv, a, &q.alarm, err);
        break;
    case PROPOSAL_AUTH:
        rc = auth_apply(a, &q.auth, proposal_who(&q), e->index, p, err);
        break;
    }
    if (rc == 0 && p)
        p->applied = true;
    return rc;
}
