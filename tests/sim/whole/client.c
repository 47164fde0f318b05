/*
 * Clients that write, read and compare hashes, and what their answers must be:
 *
 *   - an acknowledged write is in the log, after everything that was applied before it was invoked, once, and
 *     its answer is what the oracle got; a rejected one never is;
 *   - a linearizable read shows the state at a revision not below anything applied before it;
 *   - any read shows the oracle's state at the revision it names; a member's revisions never fall;
 *   - compacted and future revisions are refused, others are not;
 *   - members that hash the same revision and compaction agree.
 */
#include "shim_net.h"
#include "client.h"

#include "base/mem.h"
#include "kvstore/alarm.h"
#include "kvstore/proposal.h"
#include "raft/raft.h"
#include <assert.h>
#include <string.h>

#define MARK "\x01op" /* a key that never exists: its comparison carries a client's number */

struct client_counts counts;

static struct {
    VEC(struct call *) calls;  /* transactions: [number − 1] */
    VEC(struct call *) others; /* still waiting */
    uint64_t written;
    struct str keys[32];
    char key_bytes[32][64];
    struct {
        int64_t rev, compact_rev;
        uint32_t hash;
    } hashes[256];
    size_t hashes_len;
    /* in the calm */
    bool asked[MEMBERS_MAX + 1];
    int64_t settled_rev;
    uint32_t final_hash;
    bool final[MEMBERS_MAX + 1], final_known;
    uint64_t next_write_us;
} C;

struct member *leading_member(void)
{
    struct member *best = NULL;
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->raft && m->state != MEMBER_DOWN && raft_role(m->raft) == RAFT_LEADER &&
            (!best || raft_term(m->raft) > raft_term(best->raft)))
            best = m;
    }
    return best;
}

/* ---- calls ---- */

struct call *call_new(struct member *m, enum call_kind kind)
{
    struct call *c = mem_zalloc(sizeof *c);
    c->kind = kind;
    c->member = m;
    c->incarnation = m->incarnation;
    c->invoked_us = W.now;
    c->index_before = oracle_last_index();
    c->rev_before = O.rev;
    if (kind == CALL_TXN) {
        vec_push(&C.calls, c);
        c->number = C.calls.len;
    } else {
        vec_push(&C.others, c);
    }
    return c;
}

static void call_end(struct call *c)
{
    if (c->kind == CALL_TXN)
        return;
    for (size_t i = 0; i < C.others.len; i++)
        if (C.others.items[i] == c) {
            C.others.items[i] = C.others.items[--C.others.len];
            break;
        }
    mem_free(c);
}

void call_done(struct call *c)
{
    call_end(c);
}

static void invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct member *m = c->member;
    if (m->state == MEMBER_UP) {
        m->users++;
        c->invoke(task);
        m->users--;
        return;
    }
    c->state = CALL_UNKNOWN;
    call_end(c);
}

void call_post(struct call *c, void (*fn)(struct loop_task *task))
{
    c->invoke = fn;
    c->task.fn = invoke;
    loop_post(c->member->loop, &c->task);
}

void call_answered(const struct call *c)
{
    if (c->incarnation != c->member->incarnation || c->state != CALL_WAITING)
        broken("an answer from member %u of another life", c->member->number);
}

void member_saw(struct member *m, int64_t rev)
{
    if (!m->closing && kv_current_revision(m->kv) < rev)
        broken("one watermark: member %u answers with revision %lld and is at %lld", m->number,
               (long long)rev, (long long)kv_current_revision(m->kv));
    if (rev > m->rev_seen)
        m->rev_seen = rev;
}

void clients_member_died(struct member *m)
{
    for (size_t i = 0; i < C.calls.len; i++) {
        struct call *c = C.calls.items[i];
        if (c->member == m && c->state == CALL_WAITING) {
            c->state = CALL_UNKNOWN;
            counts.unknown++;
        }
    }
    for (size_t i = 0; i < C.others.len;)
        if (C.others.items[i]->member == m)
            call_end(C.others.items[i]);
        else
            i++;
    watches_member_died(m);
}

/* Did nothing, surely? What else the store may say leaves it open. */
static bool is_definite(int code)
{
    return code != ERR_TIMEOUT && code != ERR_CANCELLED && code != ERR_IO;
}

struct member *random_client_member(void)
{
    struct member *m = &W.members[chance_below(W.members_len)];
    return m->state == MEMBER_UP && m->paused_until <= W.now ? m : NULL;
}

/* ---- keys ---- */

struct str random_key(void)
{
    return C.keys[chance_below(W.weather.keys)];
}

void random_range(struct str *key, struct str *end)
{
    static const char *const bounds[] = {"/a/", "/a0", "/b/", "/b0", "/c/", "/c0"};
    *end = STR_NONE;
    switch (chance_below(4)) {
    case 0:
        *key = str_make("", 1);
        *end = str_make("", 1);
        break;
    case 1: {
        uint64_t i = 2 * chance_below(3);
        *key = str_from(bounds[i]);
        *end = str_from(bounds[i + 1]);
        break;
    }
    default:
        *key = random_key();
    }
}

static void keys_init(void)
{
    for (uint32_t i = 0; i < W.weather.keys; i++) {
        snprintf(C.key_bytes[i], sizeof C.key_bytes[i], "/%c/%u%s", "abc"[i % 3], i,
                 i % 5 == 4 ? "/with/a/longer/name" : "");
        C.keys[i] = str_from(C.key_bytes[i]);
    }
}

/* ---- transactions ---- */

uint64_t client_op_of(const struct kv_txn_request *t)
{
    for (size_t i = 0; i < t->compares_len; i++)
        if (str_eq(t->compares[i].key, STR(MARK)))
            return (uint64_t)t->compares[i].number;
    unsigned long long n = 0;
    if (t->then_len && t->then[0].type == KV_OP_PUT && t->then[0].put.value.n > 1 &&
        t->then[0].put.value.p[0] == '#')
        for (size_t i = 1; i < t->then[0].put.value.n && t->then[0].put.value.p[i] != ' '; i++)
            n = 10 * n + (unsigned)(t->then[0].put.value.p[i] - '0');
    return n;
}

void client_applied(uint64_t op, uint64_t index, const struct kv_txn_result *expected)
{
    assert(op >= 1 && op <= C.calls.len);
    struct call *c = C.calls.items[op - 1];
    if (c->index)
        broken("operation %llu is applied twice: entries %llu and %llu", (unsigned long long)op,
               (unsigned long long)c->index, (unsigned long long)index);
    if (c->state == CALL_REJECTED)
        broken("operation %llu was rejected and is applied, entry %llu", (unsigned long long)op,
               (unsigned long long)index);
    if (index <= c->index_before)
        broken("operation %llu is entry %llu, but %llu was applied before it was invoked",
               (unsigned long long)op, (unsigned long long)index,
               (unsigned long long)c->index_before);
    c->index = index;
    c->expected_code = expected->code;
    c->expected_rev = expected->rev;
    c->expected_digest = expected->code ? 0 : result_digest(expected);
    if (tracing()) {
        trace("operation %llu is entry %llu", (unsigned long long)op, (unsigned long long)index);
        result_print("   expected", expected);
    }
}

static void txn_refused(struct call *c, const struct kv_txn_result *r)
{
    if (is_definite(r->code)) {
        c->state = CALL_REJECTED;
        counts.rejected++;
        if (c->index)
            broken("operation %llu was rejected with code %d, but is applied, entry %llu",
                   (unsigned long long)c->number, r->code, (unsigned long long)c->index);
    } else {
        c->state = CALL_UNKNOWN;
        counts.unknown++;
    }
}

static void txn_done(void *ctx, struct kv_txn_result *r)
{
    struct call *c = ctx;
    call_answered(c);
    if (tracing())
        trace("operation %llu answered by member %u: code %d %s", (unsigned long long)c->number,
              c->member->number, r->code, r->message);
    if (r->code == 0 || (c->index && r->code == c->expected_code)) {
        c->state = CALL_DONE;
        counts.writes++;
        if (!c->index)
            broken("operation %llu is acknowledged by member %u, but nobody has applied it",
                   (unsigned long long)c->number, c->member->number);
        if (r->code != c->expected_code || r->rev != c->expected_rev ||
            (r->code == 0 && result_digest(r) != c->expected_digest)) {
            result_print("got", r);
            broken("operation %llu: the answer of member %u is not what the log says (code %d, "
                   "revision %lld; expected %d, %lld)",
                   (unsigned long long)c->number, c->member->number, r->code, (long long)r->rev,
                   c->expected_code, (long long)c->expected_rev);
        }
        member_saw(c->member, r->rev);
    } else {
        txn_refused(c, r);
    }
    kv_txn_result_free(r);
}

struct txn_draft {
    struct kv_compare compares[4];
    struct kv_op then[5], otherwise[3], nested_ops[2];
    struct kv_txn_request nested, txn;
    char value[4][160];
    unsigned values;
};

static struct str draft_value(struct txn_draft *d, uint64_t number)
{
    char *v = d->value[d->values];
    size_t n =
        (size_t)snprintf(v, sizeof d->value[0], "#%llu %u ", (unsigned long long)number, d->values);
    size_t pad = chance_below(sizeof d->value[0] - n);
    memset(v + n, 'x', pad);
    d->values++;
    return str_make(v, n + pad);
}

static void draft_op(struct txn_draft *d, struct kv_op *op, uint64_t number)
{
    *op = (struct kv_op){.type = (enum kv_op_type)chance_below(3)};
    switch (op->type) {
    case KV_OP_PUT:
        if (d->values < ARRAY_LEN(d->value)) {
            op->put = (struct kv_put){.key = random_key(),
                                      .value = draft_value(d, number),
                                      .lease = chance(300) ? random_lease() : 0,
                                      .prev_kv = chance(500)};
            break;
        }
        op->type = KV_OP_RANGE; /* fallthrough */
    case KV_OP_RANGE:
        random_range(&op->range.key, &op->range.end);
        op->range.count_only = chance(100);
        op->range.limit = op->range.count_only ? 0 : (int64_t)chance_below(4);
        break;
    default:
        random_range(&op->del.key, &op->del.end);
        if (op->del.end.n == 1 && chance(800))
            op->del.end = STR_NONE, op->del.key = random_key();
        op->del.prev_kv = chance(300);
    }
}

/* A key is written once in a transaction: drafts that break it are not for the oracle. */
static bool draft_is_valid(const struct txn_draft *d)
{
    struct error err;
    return txn_request_check(&d->txn, 128, &err) == 0;
}

static void draft_compare(struct kv_compare *c)
{
    *c = (struct kv_compare){.target = (enum kv_compare_target)chance_below(5),
                             .result = (enum kv_compare_result)chance_below(4),
                             .number = (int64_t)chance_below(4)};
    random_range(&c->key, &c->end);
    if (c->target == KV_COMPARE_VALUE)
        c->value = STR("#5");
    if (c->target == KV_COMPARE_CREATE || c->target == KV_COMPARE_MOD)
        c->number = (int64_t)chance_below((uint64_t)O.rev + 1);
    if (c->target == KV_COMPARE_MOD && chance(500)) { /* compare-and-swap on the newest */
        struct kv_range_result r;
        struct kv_range_request q = {.key = c->key = random_key()};
        struct arena a;
        arena_init(&a);
        c->end = STR_NONE;
        oracle_range(&a, &q, O.rev, &r);
        c->number = r.pairs_len ? r.pairs[0].mod_rev : 0;
        c->result = KV_EQUAL;
        arena_free(&a);
    }
}

static void mark(struct kv_compare *c, uint64_t number)
{
    *c = (struct kv_compare){.target = KV_COMPARE_VERSION,
                             .result = KV_NOT_EQUAL,
                             .key = STR(MARK),
                             .number = (int64_t)number};
}

static void draft_txn(struct txn_draft *d, uint64_t number)
{
    memset(d, 0, sizeof *d);
    d->txn = (struct kv_txn_request){d->compares, 0, d->then, 0, d->otherwise, 0};
    if (chance(400)) { /* a single put */
        d->then[0] = (struct kv_op){.type = KV_OP_PUT,
                                    .put = {.key = random_key(),
                                            .value = draft_value(d, number),
                                            .lease = chance(200) ? random_lease() : 0,
                                            .prev_kv = chance(300)}};
        d->txn.then_len = 1;
        return;
    }
    mark(&d->compares[d->txn.compares_len++], number);
    for (uint64_t i = chance_below(3); i > 0; i--)
        draft_compare(&d->compares[d->txn.compares_len++]);
    for (uint64_t i = 1 + chance_below(3); i > 0; i--)
        draft_op(d, &d->then[d->txn.then_len++], number);
    for (uint64_t i = chance_below(3); i > 0; i--)
        draft_op(d, &d->otherwise[d->txn.otherwise_len++], number);
    if (chance(100)) {
        d->nested =
            (struct kv_txn_request){&d->compares[3], 1, d->nested_ops, 1, d->nested_ops + 1, 1};
        draft_compare(&d->compares[3]);
        draft_op(d, &d->nested_ops[0], number);
        draft_op(d, &d->nested_ops[1], number);
        d->then[d->txn.then_len++] = (struct kv_op){.type = KV_OP_TXN, .txn = &d->nested};
    }
}

static bool writes(const struct kv_txn_request *t)
{
    return !txn_is_read_only(t);
}

static void txn_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct txn_draft d;
    do
        draft_txn(&d, c->number);
    while (!draft_is_valid(&d) || !writes(&d.txn));
    c->index_before = oracle_last_index();
    kv_txn(c->member->kv, &d.txn, c->member->loop, txn_done, c);
}

/* A plain deletion of a range goes another way in the store, and can carry no mark: its answer is compared
 * with what the revision did. */
static void delete_done(void *ctx, struct kv_txn_result *r)
{
    struct call *c = ctx;
    call_answered(c);
    if (r->code == 0) {
        int64_t n = 0, deleted = r->ops[0].del.deleted;
        if (deleted > 0)
            for (size_t i = oracle_event_at(r->rev);
                 i < O.events.len && O.events.items[i].now.mod_rev == r->rev; i++)
                n += O.events.items[i].now.version == 0 &&
                     oracle_in_range(c->key, c->end, O.events.items[i].now.key);
        if (r->rev > O.rev || n != deleted)
            broken("member %u says that revision %lld deleted %lld keys; it deleted %lld",
                   c->member->number, (long long)r->rev, (long long)deleted, (long long)n);
        member_saw(c->member, r->rev);
        counts.writes++;
    }
    kv_txn_result_free(r);
    call_end(c);
}

static void delete_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct kv_op op = {.type = KV_OP_DELETE};
    do
        random_range(&c->key, &c->end);
    while (!c->end.n);
    op.del.key = c->key;
    op.del.end = c->end;
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    kv_txn(c->member->kv, &t, c->member->loop, delete_done, c);
}

/* ---- reads ---- */

static void check_refusal(const struct call *c, int rc, int64_t rev)
{
    const struct member *m = c->member;
    if (rot_explains(m, rc))
        return;
    /* Between a commit that failed and the end of the process: what was held, and answered, is lost here, so nobody is
     * shown the state before (raft/log.h; seed 701171). */
    if (rc == ERR_IO && m->disk_failed)
        return;
    if (rc == ERR_COMPACTED ? rev < O.compact_rev
                            : rc == KV_ERR_FUTURE_REV && rev > kv_current_revision(m->kv))
        return;
    broken(
        "member %u refuses to read at revision %lld with code %d (it is at %lld, compacted %lld)",
        m->number, (long long)rev, rc, (long long)kv_current_revision(m->kv),
        (long long)O.compact_rev);
}

static void read_now(struct call *c)
{
    struct member *m = c->member;
    struct kv_range_result got, expected;
    struct error err;
    struct arena a;
    arena_init(&a);
    int64_t seen = m->rev_seen;
    int rc = kv_range(m->kv, &c->range, &a, &got, &err);
    if (m->incarnation != c->incarnation)
        broken("a read outlives its member");
    if (rc < 0) {
        check_refusal(c, rc, c->range.rev);
        goto out;
    }
    counts.reads++;
    if (got.current < seen)
        broken("member %u goes back from revision %lld to %lld", m->number, (long long)seen,
               (long long)got.current);
    if (c->linearizable && got.current < c->rev_before)
        broken("linearizable read: member %u reads at revision %lld, but %lld was applied before "
               "the read was invoked",
               m->number, (long long)got.current, (long long)c->rev_before);
    if (got.rev > O.rev)
        broken("member %u reads at revision %lld, which nobody has reached", m->number,
               (long long)got.rev);
    oracle_range(&a, &c->range, got.rev, &expected);
    if (range_digest(&got) != range_digest(&expected))
        broken("member %u: a range at revision %lld has %lld keys (%zu pairs), not the %lld (%zu) "
               "that were there",
               m->number, (long long)got.rev, (long long)got.count, got.pairs_len,
               (long long)expected.count, expected.pairs_len);
    member_saw(m, got.current);
out:
    arena_free(&a);
    call_end(c);
}

static void read_ready(void *ctx, int code, int64_t rev)
{
    struct call *c = ctx;
    call_answered(c);
    struct member *m = c->member;
    if (code || m->closing) {
        call_end(c);
        return;
    }
    m->users++;
    member_saw(m, rev);
    read_now(c);
    m->users--;
}

static void read_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct member *m = c->member;
    random_range(&c->range.key, &c->range.end);
    c->range.count_only = chance(100);
    c->range.limit = c->range.count_only ? 0 : (int64_t)chance_below(5);
    c->rev_before = O.rev;
    if (chance(300))
        c->range.rev = (int64_t)chance_below((uint64_t)O.rev + 3);
    c->linearizable = chance(600);
    if (c->linearizable)
        kv_read_index(m->kv, m->loop, read_ready, c);
    else
        read_now(c);
}

/* ---- hashes ---- */

static void check_hash(const struct member *m, int64_t rev, int64_t compact_rev, uint32_t hash)
{
    counts.hashes++;
    for (size_t i = 0; i < C.hashes_len; i++)
        if (C.hashes[i].rev == rev && C.hashes[i].compact_rev == compact_rev) {
            if (C.hashes[i].hash != hash)
                broken("member %u: another hash of revision %lld (compacted %lld): %08x, not %08x",
                       m->number, (long long)rev, (long long)compact_rev, hash, C.hashes[i].hash);
            return;
        }
    if (C.hashes_len < ARRAY_LEN(C.hashes)) {
        C.hashes[C.hashes_len].rev = rev;
        C.hashes[C.hashes_len].compact_rev = compact_rev;
        C.hashes[C.hashes_len++].hash = hash;
    }
}

static void *hash_main(void *arg)
{
    struct member *m = arg;
    if (m->state != MEMBER_UP)
        return NULL;
    m->users++;
    struct error err;
    uint32_t hash;
    int64_t rev, compact_rev;
    /* Multiples of ten, so that members are asked for the same ones. */
    int64_t at = kv_current_revision(m->kv) / 10 * 10;
    int rc = kv_hash(m->kv, at, &hash, &rev, &compact_rev, &err);
    if (rc == 0 && at > 0)
        check_hash(m, rev, compact_rev, hash);
    else if (rc == ERR_CORRUPT && !rot_explains(m, rc))
        broken("member %u: hash: %s", m->number, err.message);
    m->users--;
    return NULL;
}

/* ---- a client ---- */

static void client_step(void *ctx)
{
    struct member *m = random_client_member();
    if (W.calm)
        return;
    if (m) {
        uint64_t what = chance_below(100);
        if (what < 55)
            call_post(call_new(m, CALL_TXN), txn_invoke);
        else if (what < 58)
            call_post(call_new(m, CALL_DELETE), delete_invoke);
        else if (what < 88)
            call_post(call_new(m, CALL_READ), read_invoke);
        else if (what < 97)
            lease_step(m);
        else
            fiber_start(m, "hash", hash_main, m)->detached = true;
    }
    later(1 + chance_below(2 * W.weather.op_us), client_step, ctx);
}

void clients_start(void)
{
    memset(&C, 0, sizeof C);
    oracle_init();
    keys_init();
    watches_start();
    later(300 * MS, client_step, NULL);
}

void clients_free(void)
{
    for (size_t i = 0; i < C.calls.len; i++)
        mem_free(C.calls.items[i]);
    while (C.others.len)
        call_end(C.others.items[0]);
    vec_free(&C.calls);
    vec_free(&C.others);
    watches_free();
    oracle_free();
}

/* ---- the calm ---- */

/* Everything of a member against the oracle. */
static void *final_main(void *arg)
{
    struct member *m = arg;
    struct kv_range_request q = {.key = str_make("", 1), .end = str_make("", 1)};
    struct kv_range_result got, expected;
    struct arena a;
    struct error err = {.message = ""};
    uint32_t hash;
    int64_t rev, compact_rev, *leases;
    struct kv_status status;
    size_t leases_len, live = 0;
    if (m->state != MEMBER_UP)
        return NULL;
    m->users++;
    arena_init(&a);
    int rc = kv_range(m->kv, &q, &a, &got, &err);
    if (rc == 0)
        rc = kv_hash(m->kv, 0, &hash, &rev, &compact_rev, &err);
    if (rc < 0 && rot_explains(m, rc)) /* again, when it is rebuilt */
        goto out;
    if (rc < 0)
        broken("member %u: %s", m->number, err.message);
    oracle_range(&a, &q, O.rev, &expected);
    if (got.rev == O.rev && range_digest(&got) != range_digest(&expected))
        broken("convergence: member %u has another state at revision %lld", m->number,
               (long long)got.rev);
    kv_status(m->kv, &status);
    uint64_t applied = status.applied_index;
    kv_lease_list(m->kv, &a, &leases, &leases_len, &err);
    for (size_t i = 0; i < O.leases.len; i++)
        live += O.leases.items[i].live;
    kv_status(m->kv, &status);
    if (applied == oracle_last_index() && status.applied_index == applied && rev == O.rev) {
        if (leases_len != live)
            broken("convergence: member %u has %zu leases, not %zu", m->number, leases_len, live);
        check_hash(m, rev, compact_rev, hash);
        C.final[m->number] = true;
    }
out:
    C.asked[m->number] = false;
    arena_free(&a);
    m->users--;
    return NULL;
}

static void settle_write(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    char value[32];
    snprintf(value, sizeof value, "#%llu ", (unsigned long long)c->number);
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = C.keys[0], .value = str_from(value)}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    c->index_before = oracle_last_index();
    kv_txn(c->member->kv, &t, c->member->loop, txn_done, c);
}

/* A write is acknowledged by each member in the calm. */
static bool all_written(void)
{
    bool all = true, again = W.now >= C.next_write_us;
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        bool done = m->retired || m->ruined || m->out || !seat_votes(m);
        for (size_t k = C.written; k < C.calls.len; k++)
            done = done || (C.calls.items[k]->member == m && C.calls.items[k]->state == CALL_DONE);
        all = all && done;
        if (!done && again && m->state == MEMBER_UP)
            call_post(call_new(m, CALL_TXN), settle_write);
    }
    if (again)
        C.next_write_us = W.now + 1000 * MS;
    return all;
}

static const struct member *alarm_corrupt(void)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        if (W.members[i].state == MEMBER_UP && kv_alarm_active(W.members[i].kv, KV_ALARM_CORRUPT))
            return &W.members[i];
    return NULL;
}

bool clients_settled(const char **awaited)
{
    if (!C.written)
        C.written = C.calls.len + 1;
    world_look_after();
    const struct member *alarmed = alarm_corrupt();
    if (alarmed && W.flips == 0)
        broken("member %u knows of an alarm CORRUPT", alarmed->number);
    *awaited = "a leader";
    if (!leading_member())
        return false;
    client_disarm(leading_member());
    *awaited = "everybody that was added";
    if (!seats_settled())
        return false;
    *awaited = "a write at each member";
    if (!all_written())
        return false;
    *awaited = "leases to end";
    if (!leases_settled())
        return false;
    *awaited = "watches to have everything";
    if (!watches_settled())
        return false;
    *awaited = "the alarm CORRUPT to be cleared";
    if (!W.ruined && alarm_corrupt())
        return false;
    *awaited = "members to have the same state";
    bool all = true;
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->retired || m->ruined || m->out || C.final[m->number])
            continue;
        all = false;
        if (m->state == MEMBER_UP && !C.asked[m->number]) {
            C.asked[m->number] = true;
            fiber_start(m, "final", final_main, m)->detached = true;
        }
    }
    return all;
}
