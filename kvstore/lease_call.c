/*
 * Keep-alives and questions about a lease's remaining time: answered by the leader alone, outside the log.
 *
 *     start ─▶ do we lead? ── yes ─▶ read index: leadership confirmed, everything before applied ─▶ table
 *                   │ no, somebody does: call him, who does the same       ▲
 *                   │ nobody                                               │ checkpoint taken back first
 *                   ▼                                                      │
 *                 later ◀── expired but not revoked, leader changed, no answer
 *
 * Why a renewal that was answered is never lost: the leader was confirmed after the request came, and has
 * applied what came before, a revocation included. Whoever leads next gives every lease its full TTL (or
 * what its last checkpoint left; a renewal takes a checkpoint back, through the log, before it is answered)
 * and an election timeout from its election on. Whoever is told counts from when he hears it: so what was
 * asked longer ago than an election timeout is not told any more (the process was stopped or the machine
 * suspended in between, or a disk stood still): another may lead since, and the lease be gone. A revocation for expiry names the term of the leader who found it due and does
 * nothing in an entry of another term, so a leader of the past, woken up, revokes nothing.
 *
 *     question = kind:1 id:8                answer = −code:4 ttl:8 remaining:8      (big-endian)
 */
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "raft/wire.h"

#define QUESTION_BYTES 9
#define ANSWER_BYTES 20
#define LEASE_BATCH 256
#define LEASE_RETRY_NS (5 * NS_PER_S)
#define CHECKPOINT_BATCH 1000

enum lease_call_kind { LEASE_RENEW = 1, LEASE_QUERY = 2 };

struct lease_call {
    struct kv *kv;
    enum lease_call_kind kind;
    int64_t id;
    uint64_t deadline_ns;
    uint64_t tried_ns; /* clock_boot_ns of the question that is answered */
    uint64_t fresh_ns; /* for how long the answer is worth something */
    uint64_t term;     /* ours, when we lead */
    struct list link;  /* kv->lease_calls, until it is tried again */
    /* Who asked: a caller here, or another member. */
    struct loop *loop;
    kv_lease_fn *cb;
    void *ctx;
    uint64_t from, call_id;
    struct kv_lease_result result;
    struct loop_task task;
};

static void try_call(struct lease_call *c);

/* ---- ends ---- */

/* There may be no store any more, only the call. */
static void call_done(struct loop_task *task)
{
    struct lease_call *c = container_of(task, struct lease_call, task);
    if (c->result.code == 0 && clock_boot_ns() - c->tried_ns > c->fresh_ns)
        c->result.code = ERR_TIMEOUT;
    c->cb(c->ctx, &c->result);
    mem_free(c);
}

static void call_end(struct lease_call *c, int code)
{
    struct kv *kv = c->kv;
    c->result.code = code;
    c->task.fn = call_done;
    if (!c->from && c->loop) {
        loop_post(c->loop, &c->task);
        return;
    }
    if (!c->from) {
        call_done(&c->task);
        return;
    }
    char b[ANSWER_BYTES];
    wire_put_be32(b, (uint32_t)-code);
    wire_put_be64(b + 4, (uint64_t)c->result.ttl_s);
    wire_put_be64(b + 12, (uint64_t)c->result.remaining_s);
    if (!atomic_load(&kv->stopping)) /* else there may be no driver any more */
        driver_answer(kv->driver, c->from, c->call_id, str_make(b, sizeof b));
    mem_free(c);
}

/* Not now: the house thread tries again, until the deadline. Whoever forwarded it tries again himself. */
static void call_later(struct lease_call *c)
{
    struct kv *kv = c->kv;
    pthread_mutex_lock(&kv->house_lock);
    bool stopping = atomic_load(&kv->stopping);
    if (!stopping)
        list_push_back(&kv->lease_calls, &c->link);
    pthread_mutex_unlock(&kv->house_lock);
    if (stopping)
        call_end(c, ERR_CANCELLED);
}

/* ---- here, leading ---- */

static void checkpoint_taken_back(void *ctx, int code, int64_t rev)
{
    struct lease_call *c = ctx;
    (void)rev;
    if (code == KV_ERR_LEVEL)
        call_end(c, code);
    else
        call_later(c);
}

static void renew(struct lease_call *c)
{
    struct kv *kv = c->kv;
    struct lease_left full = {c->id, 0};
    struct proposal q = {.kind = PROPOSAL_LEASE_CHECKPOINT, .checkpoint = {&full, 1}};
    uint64_t now = host_mono_ns(kv->host);
    switch (lease_table_renew(&kv->leases, c->term, c->id, now, &c->result.ttl_s)) {
    case LEASE_LIVE:
        c->result.remaining_s = c->result.ttl_s;
        call_end(c, 0);
        break;
    case LEASE_ABSENT:
        call_end(c, KV_ERR_LEASE_NOT_FOUND);
        break;
    case LEASE_CHECKPOINT:
        pending_propose(pending_new_rev(kv, q.kind, checkpoint_taken_back, c), &q);
        break;
    case LEASE_EXPIRED: /* its revocation is under way: only its end will tell */
    case LEASE_NOT_LED:
        call_later(c);
        break;
    }
}

static void confirmed(void *ctx, int code, int64_t rev)
{
    struct lease_call *c = ctx;
    struct kv *kv = c->kv;
    uint64_t now = host_mono_ns(kv->host);
    (void)rev;
    if (code == ERR_CANCELLED || code == ERR_IO) {
        call_end(c, code);
    } else if (code < 0 || atomic_load(&kv->leader_term) != c->term) {
        call_later(c);
    } else if (c->kind == LEASE_RENEW) {
        renew(c);
    } else if (!lease_table_is_led(&kv->leases, c->term)) {
        call_later(c);
    } else {
        enum lease_state s =
            lease_table_get(&kv->leases, c->id, now, &c->result.ttl_s, &c->result.remaining_s);
        call_end(c, s == LEASE_ABSENT ? KV_ERR_LEASE_NOT_FOUND : 0);
    }
}

/* ---- at the leader, from here ---- */

static void answered(void *ctx, int code, struct str answer)
{
    struct lease_call *c = ctx;
    struct wire w = wire_init(answer);
    if (code == ERR_CANCELLED) {
        call_end(c, code);
        return;
    }
    if (code == 0) {
        code = -(int)wire_be32(&w);
        c->result.ttl_s = (int64_t)wire_be64(&w);
        c->result.remaining_s = (int64_t)wire_be64(&w);
    }
    if (code == 0 && wire_done(&w))
        call_end(c, 0);
    else if (code == KV_ERR_LEASE_NOT_FOUND)
        call_end(c, code);
    else
        call_later(c);
}

static void forward(struct lease_call *c)
{
    struct kv *kv = c->kv;
    char q[QUESTION_BYTES] = {(char)c->kind};
    wire_put_be64(q + 1, (uint64_t)c->id);
    driver_call(kv->driver, 0, str_make(q, sizeof q), 2 * kv->o.election_ms, answered, c);
}

/* As long as members do not all understand the calls, keep-alives go through the log, as they used to. */
static void logged(void *ctx, const struct kv_lease_result *r)
{
    struct lease_call *c = ctx;
    c->result.ttl_s = c->result.remaining_s = r->ttl_s;
    if (r->code == ERR_CONFLICT)
        call_later(c); /* they do by now */
    else
        call_end(c, r->code);
}

static void by_log(struct lease_call *c)
{
    if (c->kind == LEASE_RENEW) {
        lease_renew_logged(c->kv, c->id, logged, c);
        return;
    }
    enum lease_state s = lease_table_get(&c->kv->leases, c->id, host_mono_ns(c->kv->host),
                                         &c->result.ttl_s, &c->result.remaining_s);
    call_end(c, s == LEASE_ABSENT ? KV_ERR_LEASE_NOT_FOUND : 0);
}

static void try_call(struct lease_call *c)
{
    struct kv *kv = c->kv;
    c->term = atomic_load(&kv->leader_term);
    c->tried_ns = clock_boot_ns();
    if (atomic_load(&kv->failed)) {
        call_end(c, ERR_IO);
    } else if (c->term) {
        kv_read_index(kv, NULL, confirmed, c);
    } else if (c->from) {
        call_end(c, ERR_UNAVAILABLE);
    } else if (kv_level(kv) < proposal_kind_level(PROPOSAL_LEASE_EXPIRE)) {
        by_log(c);
    } else {
        forward(c);
    }
}

static struct lease_call *call_new(struct kv *kv, enum lease_call_kind kind, int64_t id)
{
    struct lease_call *c = mem_zalloc(sizeof *c);
    c->kv = kv;
    c->kind = kind;
    c->id = c->result.id = id;
    /* The header must not be newer than the moment the renewal was true. */
    c->result.rev = kv_current_revision(kv);
    c->deadline_ns = host_mono_ns(kv->host) + kv->o.request_timeout_ms * NS_PER_MS;
    c->fresh_ns = kv->o.election_ms * NS_PER_MS;
    list_init(&c->link);
    return c;
}

static void ask(struct kv *kv, enum lease_call_kind kind, int64_t id, struct loop *loop,
                kv_lease_fn *cb, void *ctx)
{
    struct lease_call *c = call_new(kv, kind, id);
    c->loop = loop;
    c->cb = cb;
    c->ctx = ctx;
    if (atomic_load(&kv->stopping))
        call_end(c, ERR_CANCELLED);
    else
        try_call(c);
}

void kv_lease_keep_alive(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    ask(kv, LEASE_RENEW, id, loop, cb, ctx);
}

void kv_lease_remaining(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    ask(kv, LEASE_QUERY, id, loop, cb, ctx);
}

bool lease_recv_call(struct kv *kv, uint64_t from, uint64_t call_id, struct str question)
{
    struct wire w = wire_init(question);
    uint8_t kind = wire_u8(&w);
    int64_t id = (int64_t)wire_be64(&w);
    if (!wire_done(&w) || (kind != LEASE_RENEW && kind != LEASE_QUERY))
        return false;
    struct lease_call *c = call_new(kv, kind, id);
    c->from = from;
    c->call_id = call_id;
    try_call(c);
    return true;
}

/* ---- the house thread ---- */

static void retry_calls(struct kv *kv, uint64_t now_ns)
{
    struct list calls;
    list_init(&calls);
    pthread_mutex_lock(&kv->house_lock);
    list_splice_back(&calls, &kv->lease_calls);
    pthread_mutex_unlock(&kv->house_lock);
    while (!list_empty(&calls)) {
        struct lease_call *c = list_first(&calls, struct lease_call, link);
        struct raft_node_status st;
        list_remove(&c->link);
        if (now_ns < c->deadline_ns) {
            try_call(c);
            continue;
        }
        driver_status(kv->driver, &st);
        call_end(c, st.leader ? ERR_TIMEOUT : ERR_UNAVAILABLE);
    }
}

void lease_calls_cancel(struct kv *kv)
{
    while (!list_empty(&kv->lease_calls)) {
        struct lease_call *c = list_first(&kv->lease_calls, struct lease_call, link);
        list_remove(&c->link);
        call_end(c, ERR_CANCELLED);
    }
}

static void expired_done(void *ctx, const struct kv_lease_result *r)
{
    (void)ctx;
    if (r->code && r->code != KV_ERR_LEASE_NOT_FOUND)
        log_debug("lease", "revocation failed, later again id=%lld code=%d", (long long)r->id,
                  r->code);
}

struct expiry {
    struct kv *kv;
    uint64_t term;
    size_t len;
    int64_t ids[LEASE_BATCH];
};

/* Leadership is confirmed: what was due then is revoked, in this term. */
static void expire(void *ctx, int code, int64_t rev)
{
    struct expiry *e = ctx;
    struct kv *kv = e->kv;
    (void)rev;
    for (size_t i = 0; code == 0 && i < e->len && atomic_load(&kv->leader_term) == e->term; i++) {
        if (kv_level(kv) < proposal_kind_level(PROPOSAL_LEASE_EXPIRE))
            kv_lease_revoke(kv, e->ids[i], NULL, expired_done, NULL);
        else
            lease_expire_propose(kv, e->ids[i], e->term, expired_done);
    }
    mem_free(e);
}

static void checkpointed(void *ctx, int code, int64_t rev)
{
    (void)ctx, (void)rev;
    if (code)
        log_debug("lease", "checkpoint failed, later again code=%d", code);
}

static void checkpoint(struct kv *kv, uint64_t now_ns)
{
    struct lease_left due[CHECKPOINT_BATCH];
    size_t n = lease_table_checkpoints(&kv->leases, now_ns, due, ARRAY_LEN(due));
    struct proposal q = {.kind = PROPOSAL_LEASE_CHECKPOINT, .checkpoint = {due, n}};
    if (n && kv_level(kv) >= proposal_kind_level(q.kind))
        pending_propose(pending_new_rev(kv, q.kind, checkpointed, NULL), &q);
}

void leases_step(struct kv *kv, uint64_t now_ns)
{
    uint64_t term = atomic_load(&kv->leader_term);
    if (!term) {
        lease_table_follow(&kv->leases);
    } else {
        struct expiry *e = mem_zalloc(sizeof *e);
        lease_table_lead(&kv->leases, term, kv->o.election_ms * NS_PER_MS, now_ns);
        e->kv = kv;
        e->term = term;
        e->len = lease_table_expired(&kv->leases, now_ns, LEASE_RETRY_NS, e->ids, LEASE_BATCH);
        if (e->len)
            kv_read_index(kv, NULL, expire, e);
        else
            mem_free(e);
        checkpoint(kv, now_ns);
    }
    retry_calls(kv, now_ns);
}
