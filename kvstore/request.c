/*
 * Writes: check, encode, propose, answer (kvstore/kv.h, "writing" and "leases").
 */
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/mem.h"
#include <assert.h>

static void pending_done(struct loop_task *task)
{
    struct pending *p = container_of(task, struct pending, task);
    switch (p->kind) {
    case PROPOSAL_TXN:
        p->txn_cb(p->ctx, p->txn);
        break;
    case PROPOSAL_LEASE_GRANT:
    case PROPOSAL_LEASE_REVOKE:
    case PROPOSAL_LEASE_KEEP_ALIVE:
    case PROPOSAL_LEASE_EXPIRE:
        p->lease_cb(p->ctx, &p->lease);
        break;
    case PROPOSAL_COMPACT:
    case PROPOSAL_MEMBER:
    case PROPOSAL_CLUSTER:
    case PROPOSAL_ALARM:
    case PROPOSAL_DIGEST:
    case PROPOSAL_LEASE_CHECKPOINT:
        p->rev_cb(p->ctx, p->code, p->rev);
        break;
    case PROPOSAL_AUTH:
        p->auth_cb(p->ctx, &(struct kv_auth_result){p->code, p->rev, kv_auth_revision(p->kv),
                                                    p->token ? p->token : ""});
        break;
    }
    mem_free(p->token);
    mem_free(p);
}

void pending_finish(struct pending *p)
{
    p->task.fn = pending_done;
    if (p->loop)
        loop_post(p->loop, &p->task);
    else
        pending_done(&p->task);
}

void pending_fail(struct pending *p, int code, const char *message)
{
    int64_t rev = kv_current_revision(p->kv);
    if (p->kind == PROPOSAL_TXN) {
        if (!p->txn)
            p->txn = txn_result_new();
        txn_result_fail(p->txn, code, message);
        p->txn->rev = rev;
    }
    p->lease.code = code;
    p->lease.rev = rev;
    p->code = code;
    p->rev = rev;
    pending_finish(p);
}

static const char *outcome_message(enum raft_outcome outcome, int code)
{
    if (outcome == RAFT_UNKNOWN)
        return code == ERR_CANCELLED ? "the store is closing; the outcome is unknown"
                                     : "request timed out; the outcome is unknown";
    switch (code) {
    case ERR_UNAVAILABLE:
        return "no leader";
    case ERR_LIMIT:
        return "too many requests";
    case ERR_CANCELLED:
        return "the store is closing";
    default:
        return "request was refused";
    }
}

/* The end of a proposal: apply thread when applied, else the Raft thread. */
static void proposed(void *ctx, enum raft_outcome outcome, int code, uint64_t index)
{
    struct pending *p = ctx;
    (void)index;
    if (outcome != RAFT_APPLIED) {
        if (outcome == RAFT_UNKNOWN && code != ERR_CANCELLED)
            code = ERR_TIMEOUT;
        pending_fail(p, code, outcome_message(outcome, code));
        return;
    }
    assert(p->applied);
    if (p->kind == PROPOSAL_COMPACT && p->code == 0 && p->physical) {
        struct waiter *w = waiter_new(p->kv, p->loop, p->rev_cb, p->ctx);
        w->rev = p->compact_rev;
        compaction_wait(p->kv, w);
        mem_free(p);
        return;
    }
    pending_finish(p);
}

/* What the alarm CORRUPT refuses (kvstore/alarm.h). */
static bool refused_when_corrupt(enum proposal_kind kind)
{
    return kind == PROPOSAL_TXN || kind == PROPOSAL_LEASE_GRANT || kind == PROPOSAL_LEASE_REVOKE ||
           kind == PROPOSAL_COMPACT;
}

/* Enough for a transaction of puts in one allocation; the buffer grows where it is not. */
static size_t proposal_size_guess(const struct proposal *q)
{
    size_t n = 128;
    for (size_t i = 0; q->kind == PROPOSAL_TXN && i < q->txn.then_len; i++)
        if (q->txn.then[i].type == KV_OP_PUT)
            n += q->txn.then[i].put.key.n + q->txn.then[i].put.value.n + 16;
    return n;
}

void pending_propose(struct pending *p, const struct proposal *proposal)
{
    struct kv *kv = p->kv;
    if (atomic_load(&kv->failed)) {
        pending_fail(p, ERR_IO, "the store has stopped after a failed write");
        return;
    }
    if (kv_is_damaged(kv) && proposal->kind != PROPOSAL_ALARM) {
        pending_fail(p, ERR_CORRUPT, "this member's stored state is damaged");
        return;
    }
    if (atomic_load(&kv->stopping)) {
        pending_fail(p, ERR_CANCELLED, "the store is closing");
        return;
    }
    if (proposal_kind_level(proposal->kind) > kv_level(kv)) {
        pending_fail(p, KV_ERR_LEVEL, "not every member understands this yet");
        return;
    }
    if (kv_alarm_active(kv, KV_ALARM_CORRUPT) && refused_when_corrupt(p->kind)) {
        pending_fail(p, ERR_CORRUPT, "corrupt cluster");
        return;
    }
    struct buf b;
    buf_init(&b);
    buf_reserve(&b, proposal_size_guess(proposal));
    proposal_encode(proposal, &b);
    if (b.len > kv->o.request_bytes_max) {
        buf_free(&b);
        pending_fail(p, KV_ERR_TOO_LARGE, "request is too large");
        return;
    }
    struct blob *blob = driver_proposal_new(b.len);
    memcpy(raft_proposal_payload(blob), b.data, b.len);
    buf_free(&b);
    driver_propose(kv->driver, blob, proposed, p);
}

struct pending *pending_new(struct kv *kv, enum proposal_kind kind, struct loop *loop, void *ctx)
{
    struct pending *p = mem_zalloc(sizeof *p);
    p->kv = kv;
    p->kind = kind;
    p->loop = loop;
    p->ctx = ctx;
    return p;
}

struct pending *pending_new_rev(struct kv *kv, enum proposal_kind kind, kv_revision_fn *cb,
                                void *ctx)
{
    struct pending *p = pending_new(kv, kind, NULL, ctx);
    p->rev_cb = cb;
    return p;
}

/* Nobody's requests are marked before every member understands it; nobody can switch authentication on
 * before that, either. */
void proposal_ask(const struct kv *kv, struct proposal *p, const struct kv_auth_info *who)
{
    if (kv_level(kv) >= KV_LEVEL_2)
        proposal_from(p, who);
}

/* ---- transactions ---- */

static void read_txn_ready(void *ctx, int code, int64_t rev);

struct read_txn {
    struct pending *pending;
    struct arena arena;
    struct blob *encoded; /* the request, to be decoded again when the read index is known */
    bool brief;
};

/* A transaction that only reads goes by read index and touches no log. */
static void read_txn(struct pending *p, const struct kv_txn_request *t)
{
    struct read_txn *r = mem_zalloc(sizeof *r);
    struct buf b;
    struct proposal q = {.kind = PROPOSAL_TXN, .txn = *t};
    buf_init(&b);
    proposal_from(&q, t->as);
    proposal_encode(&q, &b);
    r->encoded = blob_from(b.data, b.len);
    r->pending = p;
    r->brief = t->brief;
    arena_init(&r->arena);
    buf_free(&b);
    if (t->serializable)
        kv_wait_revision(p->kv, 0, 0, p->loop, read_txn_ready, r);
    else
        kv_read_index(p->kv, p->loop, read_txn_ready, r);
}

/* A read transaction in which the newest revision is whole: chosen again when a later one has been
 * compacted meanwhile. */
static int present_begin(struct kv *kv, MDB_txn **txn, struct mvcc_state *state, int64_t *rev,
                         struct error *err)
{
    for (;;) {
        *rev = kv_current_revision(kv);
        int rc = logdb_read_begin(kv->db, txn, err);
        if (rc < 0)
            return rc;
        rc = mvcc_state_load(kv->db, *txn, state, err);
        if (rc == 0 && *rev >= state->compact_rev)
            return 0;
        logdb_read_end(kv->db, *txn);
        if (rc < 0)
            return rc;
    }
}

static int read_txn_run(struct kv *kv, const struct kv_txn_request *t,
                        const struct kv_auth_info *who, uint64_t for_ns, struct arena *scratch,
                        struct kv_txn_result *result, struct error *err)
{
    struct mvcc_state state;
    MDB_txn *txn;
    int64_t rev = 0;
    int rc = kv_may_serve(kv, err);
    if (rc == 0)
        rc = present_begin(kv, &txn, &state, &rev, err);
    if (rc < 0)
        return kv_check_code(kv, rc, err);
    struct txn_exec x = {.view = {&kv->trees, txn, rev},
                         .leases = &kv->leases,
                         .rev = rev,
                         .compact_rev = state.compact_rev,
                         .scratch = scratch,
                         .result = result,
                         .bytes_left = kv->o.response_bytes_max,
                         .deadline_ns = for_ns ? clock_mono_ns() + for_ns : 0};
    rc = auth_check_txn(kv, &x.view, who, t);
    if (rc < 0)
        error_set(err, rc, "%s", kv_auth_message(rc));
    else
        rc = txn_exec_run(&x, t, err);
    logdb_read_end(kv->db, txn);
    return kv_check_code(kv, rc, err);
}

static void read_txn_ready(void *ctx, int code, int64_t rev)
{
    struct read_txn *r = ctx;
    struct pending *p = r->pending;
    struct error err = {0};
    struct proposal q;
    (void)rev;
    p->txn = txn_result_new();
    if (code) {
        txn_result_fail(p->txn, code, code == ERR_UNAVAILABLE ? "no leader" : "request timed out");
    } else {
        int rc = proposal_decode(blob_str(r->encoded), &r->arena, &q, &err);
        assert(rc == 0);
        rc = read_txn_run(p->kv, &q.txn, proposal_who(&q), r->brief ? READ_BRIEF_NS : 0, &r->arena,
                          p->txn, &err);
        if (rc == ERR_TIMEOUT) /* of the brief only */
            txn_result_fail(p->txn, KV_ERR_READS_LONG, err.message);
        else if (rc < 0 && !p->txn->code)
            txn_result_fail(p->txn, rc, err.message);
    }
    blob_unref(r->encoded);
    arena_free(&r->arena);
    mem_free(r);
    pending_done(&p->task); /* we are on its loop already */
}

/* The option bounds what clients ask for; what this process does for itself must not depend on it. */
static size_t ops_max(const struct kv *kv, const struct kv_txn_request *t)
{
    return t->as ? kv->o.txn_ops_max : KV_OWN_OPS_MAX;
}

struct kv_txn_result *kv_txn_read(struct kv *kv, const struct kv_txn_request *t, uint64_t for_ns)
{
    struct kv_txn_result *result = txn_result_new();
    struct arena scratch;
    struct error err = {0};
    arena_init(&scratch);
    int rc = txn_request_check(t, ops_max(kv, t), &err);
    assert(rc < 0 || txn_is_read_only(t));
    if (rc == 0)
        rc = read_txn_run(kv, t, t->as, for_ns, &scratch, result, &err);
    if (rc < 0 && (!result->code || rc == ERR_TIMEOUT))
        txn_result_fail(result, rc, err.message);
    arena_free(&scratch);
    return result;
}

void kv_txn(struct kv *kv, const struct kv_txn_request *t, struct loop *loop, kv_txn_fn *cb,
            void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_TXN, loop, ctx);
    struct error err = {0};
    p->txn_cb = cb;
    int rc = txn_request_check(t, ops_max(kv, t), &err);
    if (rc < 0) {
        pending_fail(p, rc, err.message);
        return;
    }
    if (txn_is_read_only(t)) {
        read_txn(p, t);
        return;
    }
    if (!quota_take(kv, quota_txn_cost(t))) {
        pending_fail(p, KV_ERR_NO_SPACE, "database space exceeded");
        return;
    }
    struct proposal q = {.kind = PROPOSAL_TXN, .txn = *t};
    proposal_ask(kv, &q, t->as);
    pending_propose(p, &q);
}

struct sync_txn {
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct kv_txn_result *result;
};

static void sync_txn_done(void *ctx, struct kv_txn_result *result)
{
    struct sync_txn *s = ctx;
    pthread_mutex_lock(&s->lock);
    s->result = result;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
}

struct kv_txn_result *kv_txn_wait(struct kv *kv, const struct kv_txn_request *request)
{
    struct sync_txn s = {.result = NULL};
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.done, NULL);
    kv_txn(kv, request, NULL, sync_txn_done, &s);
    pthread_mutex_lock(&s.lock);
    while (!s.result)
        pthread_cond_wait(&s.done, &s.lock);
    pthread_mutex_unlock(&s.lock);
    pthread_cond_destroy(&s.done);
    pthread_mutex_destroy(&s.lock);
    return s.result;
}

void kv_compact(struct kv *kv, int64_t rev, bool physical, struct loop *loop, kv_revision_fn *cb,
                void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_COMPACT, loop, ctx);
    struct proposal q = {.kind = PROPOSAL_COMPACT, .compact_rev = rev};
    p->rev_cb = cb;
    p->physical = physical;
    p->compact_rev = rev;
    pending_propose(p, &q);
}

/* ---- leases ---- */

void kv_lease_grant(struct kv *kv, int64_t id, int64_t ttl_s, struct loop *loop, kv_lease_fn *cb,
                    void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_LEASE_GRANT, loop, ctx);
    p->lease_cb = cb;
    while (id == 0)
        id = (int64_t)(host_random(kv->host) >> 1);
    p->lease.id = id;
    /* As etcd: shorter than an election and a half is no use, nobody could renew it in time. */
    int64_t ttl_min_s = (3 * (int64_t)kv->o.election_ms / 2 + 999) / 1000;
    struct proposal q = {.kind = PROPOSAL_LEASE_GRANT, .lease = {id, MAX(ttl_s, ttl_min_s)}};
    if (ttl_s > KV_LEASE_TTL_MAX_S)
        pending_fail(p, KV_ERR_LEASE_TTL, "too large lease TTL");
    else if (!quota_take(kv, QUOTA_LEASE_COST))
        pending_fail(p, KV_ERR_NO_SPACE, "database space exceeded");
    else
        pending_propose(p, &q);
}

void kv_lease_revoke(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_LEASE_REVOKE, loop, ctx);
    struct proposal q = {.kind = PROPOSAL_LEASE_REVOKE, .lease = {id, 0}};
    p->lease_cb = cb;
    p->lease.id = id;
    pending_propose(p, &q);
}

void lease_renew_logged(struct kv *kv, int64_t id, kv_lease_fn *cb, void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_LEASE_KEEP_ALIVE, NULL, ctx);
    struct proposal q = {.kind = PROPOSAL_LEASE_KEEP_ALIVE, .lease = {id, 0}};
    p->lease_cb = cb;
    p->lease.id = id;
    pending_propose(p, &q);
}

void lease_expire_propose(struct kv *kv, int64_t id, uint64_t term, kv_lease_fn *cb)
{
    struct pending *p = pending_new(kv, PROPOSAL_LEASE_EXPIRE, NULL, NULL);
    struct proposal q = {.kind = PROPOSAL_LEASE_EXPIRE, .expire = {id, term}};
    p->lease_cb = cb;
    p->lease.id = id;
    pending_propose(p, &q);
}

struct key_list {
    struct arena *arena;
    VEC(struct str) keys;
};

static int lease_key(void *ctx, struct str key)
{
    struct key_list *l = ctx;
    vec_push(&l->keys, str_make(arena_dup(l->arena, key.p, key.n), key.n));
    return 0;
}

int kv_lease_time_to_live(struct kv *kv, int64_t id, bool want_keys, struct arena *a,
                          struct kv_lease_info *out, struct error *err)
{
    *out = (struct kv_lease_info){.id = id};
    if (lease_table_get(&kv->leases, id, host_mono_ns(kv->host), &out->ttl_s, &out->remaining_s) ==
        LEASE_ABSENT)
        return error_set(err, KV_ERR_LEASE_NOT_FOUND, "requested lease not found");
    if (!want_keys)
        return 0;
    MDB_txn *txn;
    struct key_list l = {.arena = a};
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    struct mvcc_view v = {&kv->trees, txn, INT64_MAX};
    rc = mvcc_lease_keys(&v, id, SIZE_MAX, lease_key, &l, err);
    logdb_read_end(kv->db, txn);
    out->keys = arena_dup(a, l.keys.items, l.keys.len * sizeof *l.keys.items);
    out->keys_len = l.keys.len;
    vec_free(&l.keys);
    return kv_check_code(kv, rc, err);
}

int kv_lease_list(struct kv *kv, struct arena *a, int64_t **ids, size_t *ids_len, struct error *err)
{
    (void)err;
    lease_table_list(&kv->leases, a, ids, ids_len);
    return 0;
}
