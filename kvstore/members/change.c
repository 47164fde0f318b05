/*
 * Changes of membership: proposed by whoever is asked, checked on the leader, applied everywhere; what
 * members say of themselves; the cluster's level and announced downgrades (kvstore/members/members.h).
 *
 *     context of a change = version (1) kind id n peer URLs
 *
 * Why the leader checks and applying does not: the leader proposes a change only when every earlier one is
 * applied there, so what it checks against is exactly what the change will be applied to.
 */
#include "kvstore/members/members.h"
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/varint.h"
#include <assert.h>
#include <inttypes.h>
#include <openssl/sha.h>

#define CONTEXT_VERSION 1
#define RETRY_NS (20 * NS_PER_MS) /* after "another change is under way" */
#define LEARNER_LAG_MAX 5000      /* entries a learner may lack when it is promoted */
/* A removed member still votes and answers for so long: at least, and when nobody says that it is not needed. */
#define REMOVED_STAY_NS (1 * NS_PER_S)
#define REMOVED_STAY_MAX_NS (60 * NS_PER_S)

/* ---- the context ---- */

struct context {
    enum kv_member_change_kind kind;
    uint64_t id;
    struct str urls[MEMBER_URLS_MAX]; /* into the input */
    size_t urls_len;
};

static void context_encode(const struct kv_member_change *c, uint64_t id, struct buf *b)
{
    buf_append_varint(b, CONTEXT_VERSION);
    buf_append_varint(b, c->kind);
    buf_append_varint(b, id);
    buf_append_varint(b, c->peer_urls_len);
    for (size_t i = 0; i < c->peer_urls_len; i++)
        buf_append_varint_bytes(b, c->peer_urls[i]);
}

/* False: not one of ours. */
static bool context_decode(struct str in, struct context *c)
{
    struct varint_reader r = {.left = in};
    *c = (struct context){0};
    uint64_t version = varint_read(&r), kind = varint_read(&r);
    c->id = varint_read(&r);
    uint64_t n = varint_read(&r);
    if (r.failed || version != CONTEXT_VERSION || kind < KV_MEMBER_ADD || kind > KV_MEMBER_REMOVE ||
        n > MEMBER_URLS_MAX)
        return false;
    c->kind = (enum kv_member_change_kind)kind;
    while (c->urls_len < n)
        c->urls[c->urls_len++] = varint_read_bytes(&r);
    return !r.failed && r.left.n == 0;
}

/* ---- checking, on the leader's raft thread ---- */

static const struct raft_member_progress *progress_of(const struct raft_change_context *x,
                                                      uint64_t id)
{
    for (size_t i = 0; i < x->members_len; i++)
        if (x->members[i].id == id)
            return &x->members[i];
    return NULL;
}

/* Voters of the list, but `without`: how many, how many have ever run, how many are heard of now. */
struct tally {
    size_t voters, started, active;
};

static struct tally count_voters(const struct member_records *m,
                                 const struct raft_change_context *x, uint64_t without)
{
    struct tally t = {0};
    for (size_t i = 0; i < m->items.len; i++) {
        const struct kv_member *member = &m->items.items[i];
        if (member->id == without || !raft_config_is_voter(x->config, member->id))
            continue;
        const struct raft_member_progress *p = progress_of(x, member->id);
        t.voters++;
        t.started += member->started;
        t.active += p && p->active;
    }
    return t;
}

static size_t quorum(size_t n)
{
    return n / 2 + 1;
}

static bool url_taken(const struct member_records *m, const struct context *c)
{
    for (size_t i = 0; i < m->items.len; i++)
        for (size_t u = 0; u < m->items.items[i].peer_urls_len; u++)
            for (size_t k = 0; k < c->urls_len; k++)
                if (m->items.items[i].id != c->id &&
                    str_eq(m->items.items[i].peer_urls[u], c->urls[k]))
                    return true;
    return false;
}

static int check_add(struct kv *kv, struct member_records *m, const struct context *c,
                     const struct raft_change_context *x)
{
    struct tally t = count_voters(m, x, 0);
    bool learner = c->kind == KV_MEMBER_ADD_LEARNER;
    if (kv->o.strict_reconfig) {
        /* A second member may be added to a lone one: how a cluster is rebuilt. */
        bool second = t.started == 1 && t.voters == 1;
        if (!learner && !second && t.started < quorum(t.voters + 1))
            return KV_ERR_NOT_ENOUGH_STARTED;
        /* As etcd: whoever is away is brought back or removed first. */
        if (t.active < t.voters)
            return KV_ERR_UNHEALTHY;
    }
    if (member_find(m, c->id))
        return KV_ERR_MEMBER_EXISTS;
    if (url_taken(m, c))
        return KV_ERR_PEER_URL_EXISTS;
    if (learner && x->config->learners.len >= kv->o.learners_max)
        return KV_ERR_TOO_MANY_LEARNERS;
    return m->items.len >= RAFT_MEMBERS_MAX ? ERR_LIMIT : 0;
}

static int check_remove(struct kv *kv, struct member_records *m, const struct context *c,
                        const struct raft_change_context *x)
{
    if (!member_find(m, c->id))
        return KV_ERR_MEMBER_NOT_FOUND;
    if (!raft_config_is_voter(x->config, c->id))
        return 0;
    struct tally left = count_voters(m, x, c->id);
    if (left.voters == 0)
        return KV_ERR_NOT_ENOUGH_STARTED; /* nobody would be left */
    if (!kv->o.strict_reconfig)
        return 0;
    if (left.started < quorum(left.voters))
        return KV_ERR_NOT_ENOUGH_STARTED;
    const struct raft_member_progress *p = progress_of(x, c->id);
    /* Somebody who is away is no part of the quorum that works now. */
    if (p && p->active && left.active < quorum(left.voters))
        return KV_ERR_UNHEALTHY;
    return 0;
}

static int check_promote(struct kv *kv, struct member_records *m, const struct context *c,
                         const struct raft_change_context *x)
{
    struct tally t = count_voters(m, x, 0);
    const struct raft_member_progress *p = progress_of(x, c->id);
    if (!member_find(m, c->id) || !p)
        return KV_ERR_MEMBER_NOT_FOUND;
    if (!raft_config_is_learner(x->config, c->id))
        return KV_ERR_MEMBER_NOT_LEARNER;
    if (kv->o.strict_reconfig && t.started + 1 < quorum(t.voters + 1))
        return KV_ERR_NOT_ENOUGH_STARTED;
    /* etcd asks for nine tenths of the log, which may be far behind in a long one. */
    bool ready = p->active && p->replicated && p->match >= x->last - x->last / 10 &&
                 p->match + LEARNER_LAG_MAX >= x->last;
    return ready ? 0 : KV_ERR_LEARNER_NOT_READY;
}

static int check_update(struct member_records *m, const struct context *c)
{
    if (!member_find(m, c->id))
        return KV_ERR_MEMBER_NOT_FOUND;
    return url_taken(m, c) ? KV_ERR_PEER_URL_EXISTS : 0;
}

int members_check_change(void *ctx, const struct raft_change *change,
                         const struct raft_change_context *x)
{
    struct kv *kv = ctx;
    struct context c;
    int rc;
    if (kv_level(kv) < KV_LEVEL_2)
        return KV_ERR_LEVEL;
    if (!context_decode(change->context, &c) || change->ops_len != 1 || change->ops[0].id != c.id)
        return ERR_INVALID;
    pthread_mutex_lock(&kv->members.lock);
    struct member_records *m = &kv->members.now;
    switch (c.kind) {
    case KV_MEMBER_ADD:
    case KV_MEMBER_ADD_LEARNER:
        rc = check_add(kv, m, &c, x);
        break;
    case KV_MEMBER_REMOVE:
        rc = check_remove(kv, m, &c, x);
        break;
    case KV_MEMBER_PROMOTE:
        rc = check_promote(kv, m, &c, x);
        break;
    default:
        rc = check_update(m, &c);
        break;
    }
    pthread_mutex_unlock(&kv->members.lock);
    if (rc < 0)
        log_warn("store", "change of membership refused kind=%d member=%" PRIx64 " code=%d",
                 (int)c.kind, c.id, rc);
    return rc;
}

/* ---- proposing ---- */

struct member_call {
    struct list link; /* members.calls, while it waits for another change */
    struct loop_task task;
    struct kv *kv;
    struct loop *loop;
    kv_member_fn *cb;
    void *ctx;
    struct raft_change change;
    struct buf context;
    uint64_t id, deadline_ns, again_ns;
    bool applied;
    int code;
};

static void call_ends(struct loop_task *task)
{
    struct member_call *c = container_of(task, struct member_call, task);
    c->cb(c->ctx, c->code, c->id);
    buf_free(&c->context);
    mem_free(c);
}

static void call_finish(struct member_call *c, int code)
{
    c->code = code;
    c->task.fn = call_ends;
    if (c->loop)
        loop_post(c->loop, &c->task);
    else
        call_ends(&c->task);
}

/* A peer has said that this member is removed, before it could apply so itself. */
static bool is_own_removal(struct member_call *c)
{
    struct members *m = &c->kv->members;
    pthread_mutex_lock(&m->lock);
    bool removed = m->self_removed;
    pthread_mutex_unlock(&m->lock);
    return removed && c->id == c->kv->member_id && c->change.ops[0].kind == RAFT_REMOVE;
}

/* The end of a proposal. One that met another change, or a leader too new to take any, waits. */
static void proposed(void *ctx, enum raft_outcome outcome, int code, uint64_t index)
{
    struct member_call *c = ctx;
    struct kv *kv = c->kv;
    (void)index;
    if (outcome == RAFT_APPLIED) {
        assert(c->applied);
        call_finish(c, 0);
    } else if (outcome == RAFT_UNKNOWN && is_own_removal(c)) {
        call_finish(c, 0);
    } else if (outcome == RAFT_UNKNOWN) {
        call_finish(c, code == ERR_CANCELLED ? code : ERR_TIMEOUT);
    } else if (code == ERR_CONFLICT && !atomic_load(&kv->stopping)) {
        c->again_ns = host_mono_ns(kv->host) + RETRY_NS;
        pthread_mutex_lock(&kv->members.lock);
        list_push_back(&kv->members.calls, &c->link);
        pthread_mutex_unlock(&kv->members.lock);
    } else {
        call_finish(c, code == ERR_CONFLICT ? ERR_CANCELLED : code);
    }
}

static void call_propose(struct member_call *c)
{
    uint64_t now = host_mono_ns(c->kv->host);
    if (atomic_load(&c->kv->stopping))
        call_finish(c, ERR_CANCELLED);
    else if (atomic_load(&c->kv->failed))
        call_finish(c, ERR_IO);
    else if (now >= c->deadline_ns)
        call_finish(c, ERR_TIMEOUT);
    else
        driver_propose_config(c->kv->driver, &c->change,
                              (uint32_t)((c->deadline_ns - now) / NS_PER_MS + 1), proposed, c);
}

/* An id that nobody has had: of the addresses, the moment and chance. */
static uint64_t new_id(struct kv *kv, const struct kv_member_change *change)
{
    struct kv_member_config m = {.peer_urls = change->peer_urls,
                                 .peer_urls_len = change->peer_urls_len};
    uint64_t salt[2] = {host_random(kv->host), (uint64_t)clock_mono_ns()};
    return member_id_from(str_make(salt, sizeof salt), &m);
}

static enum raft_change_op_kind op_of(enum kv_member_change_kind kind)
{
    switch (kind) {
    case KV_MEMBER_ADD:
    case KV_MEMBER_PROMOTE:
        return RAFT_ADD_VOTER;
    case KV_MEMBER_ADD_LEARNER:
        return RAFT_ADD_LEARNER;
    case KV_MEMBER_REMOVE:
        return RAFT_REMOVE;
    case KV_MEMBER_UPDATE:
        break;
    }
    return RAFT_UPDATE;
}

static bool urls_valid(const struct kv_member_change *change)
{
    char address[256];
    bool secure;
    if (change->peer_urls_len == 0 || change->peer_urls_len > MEMBER_URLS_MAX)
        return false;
    for (size_t i = 0; i < change->peer_urls_len; i++)
        if (member_url_address(change->peer_urls[i], address, &secure, NULL) < 0)
            return false;
    return true;
}

void kv_member_change(struct kv *kv, const struct kv_member_change *change, struct loop *loop,
                      kv_member_fn *cb, void *ctx)
{
    struct member_call *c = mem_zalloc(sizeof *c);
    bool adds = change->kind == KV_MEMBER_ADD || change->kind == KV_MEMBER_ADD_LEARNER;
    c->kv = kv;
    c->loop = loop;
    c->cb = cb;
    c->ctx = ctx;
    c->id = adds ? new_id(kv, change) : change->id;
    c->deadline_ns = host_mono_ns(kv->host) + kv->o.request_timeout_ms * NS_PER_MS;
    buf_init(&c->context);
    if ((adds || change->kind == KV_MEMBER_UPDATE) && !urls_valid(change)) {
        call_finish(c, KV_ERR_MEMBER_URLS);
        return;
    }
    if (c->id == 0) {
        call_finish(c, KV_ERR_MEMBER_NOT_FOUND);
        return;
    }
    context_encode(change, c->id, &c->context);
    if (c->context.len > RAFT_CHANGE_CONTEXT_MAX) {
        call_finish(c, KV_ERR_MEMBER_URLS);
        return;
    }
    c->change = (struct raft_change){
        .ops_len = 1, .ops = {{op_of(change->kind), c->id}}, .context = buf_str(&c->context)};
    call_propose(c);
}

/* ---- applying ---- */

static void forget_oldest(struct member_records *m)
{
    if (m->removed.len >= MEMBERS_REMOVED_MAX)
        vec_remove(&m->removed, 0);
}

static void apply_one(struct member_records *m, const struct raft_change_op *op,
                      const struct context *c, const struct raft_config *after)
{
    struct raft_id_set all = raft_config_members(after);
    struct kv_member *member = member_find(m, op->id);
    bool in = raft_ids_has(&all, op->id);
    if (in && !member && m->items.len < RAFT_MEMBERS_MAX) {
        vec_push(&m->items, ((struct kv_member){.id = op->id,
                                                .peer_urls = (struct str *)c->urls,
                                                .peer_urls_len = c->urls_len}));
    } else if (in && member && c->kind == KV_MEMBER_UPDATE) {
        member->peer_urls = (struct str *)c->urls;
        member->peer_urls_len = c->urls_len;
    } else if (!in && member) {
        vec_remove(&m->items, (size_t)(member - m->items.items));
        forget_oldest(m);
        vec_push(&m->removed, op->id);
    }
}

int members_apply_change(struct kv *kv, struct apply *a, const struct raft_apply *e,
                         struct error *err)
{
    struct member_records m = {0};
    struct raft_change change;
    struct member_call *call = e->proposal;
    struct context c;
    if (call)
        call->applied = true;
    /* What cannot be read changed no configuration either (raft/config.h). */
    if (raft_change_decode(raft_entry_payload(&e->entry), &change, NULL) < 0 || change.leave)
        return 0;
    context_decode(change.context, &c);
    arena_reset(&kv->apply_arena);
    int rc = members_load(kv, a->txn.mdb, &kv->apply_arena, &m, err);
    for (uint32_t i = 0; i < change.ops_len && rc == 0; i++)
        apply_one(&m, &change.ops[i], &c, e->config);
    if (rc == 0)
        rc = members_save(kv, a->txn.mdb, &m, err);
    member_records_free(&m);
    kv->members.changed = true;
    log_info("store",
             "membership changed index=%" PRIu64 " kind=%d member=%" PRIx64
             " voters=%u learners=%u",
             e->entry.index, (int)c.kind, c.id, e->config->voters.len, e->config->learners.len);
    return rc;
}

int members_apply(struct kv *kv, struct apply *a, const struct proposal_member *p,
                  struct error *err)
{
    struct member_records m = {0};
    int rc = members_load(kv, a->txn.mdb, &kv->apply_arena, &m, err);
    struct kv_member *member = rc == 0 ? member_find(&m, p->id) : NULL;
    if (member) {
        member->name = p->name;
        member->client_urls = p->client_urls;
        member->client_urls_len = p->client_urls_len;
        member->started = true;
        rc = members_save(kv, a->txn.mdb, &m, err);
        kv->members.changed = true;
    }
    member_records_free(&m);
    return rc;
}

/* A cluster that has reached a level with records of who has run: all that are there now have. */
static void raise_level(struct member_records *m, unsigned level)
{
    if (level <= m->level)
        return;
    log_info("store", "the cluster's feature level rises from=%u to=%u", m->level, level);
    m->level = level;
    for (size_t i = 0; i < m->items.len; i++)
        m->items.items[i].started = true;
}

int members_apply_cluster(struct kv *kv, struct apply *a, const struct proposal_cluster *c,
                          struct pending *p, struct error *err)
{
    struct member_records m = {0};
    int rc = members_load(kv, a->txn.mdb, &kv->apply_arena, &m, err), code = 0;
    if (rc == 0 && c->action == PROPOSAL_CLUSTER_LEVEL)
        raise_level(&m, c->level);
    else if (rc == 0 && c->downgrade.n && m.downgrade.n)
        code = KV_ERR_DOWNGRADE_IN_PROCESS;
    else if (rc == 0 && !c->downgrade.n && !m.downgrade.n)
        code = KV_ERR_NO_DOWNGRADE;
    else if (rc == 0)
        m.downgrade = c->downgrade;
    if (rc == 0 && code == 0) {
        rc = members_save(kv, a->txn.mdb, &m, err);
        kv->members.changed = true;
    }
    if (p) {
        p->code = code;
        p->rev = a->write.state.rev;
    }
    member_records_free(&m);
    return rc;
}

/* ---- levels and downgrades ---- */

static void level_asked(void *ctx, int code, int64_t rev)
{
    struct kv *kv = ctx;
    (void)code, (void)rev; /* if it failed: again with the next step */
    pthread_mutex_lock(&kv->members.lock);
    kv->members.level_asked = false;
    pthread_mutex_unlock(&kv->members.lock);
}

/* The leader raises the level once it has heard from every member. */
static void level_step(struct kv *kv)
{
    struct members *m = &kv->members;
    struct raft_node_status st;
    if (kv_level(kv) >= kv->o.level)
        return;
    driver_status(kv->driver, &st);
    if (st.role != RAFT_LEADER)
        return;
    pthread_mutex_lock(&m->lock);
    unsigned level = kv->o.level;
    for (size_t i = 0; i < m->now.items.len; i++)
        if (m->now.items.items[i].id != kv->member_id)
            level = MIN(level, members_heard(m, m->now.items.items[i].id));
    bool raise = level > m->now.level && !m->level_asked && m->now.items.len > 0;
    m->level_asked |= raise;
    pthread_mutex_unlock(&m->lock);
    if (!raise)
        return;
    struct pending *p = pending_new(kv, PROPOSAL_CLUSTER, NULL, kv);
    struct proposal q = {.kind = PROPOSAL_CLUSTER,
                         .cluster = {.action = PROPOSAL_CLUSTER_LEVEL, .level = level}};
    p->rev_cb = level_asked;
    pending_propose(p, &q);
}

/* "3.5", "3.5.0", "3.5.17" → major, minor. */
static bool version_parse(struct str version, unsigned *major, unsigned *minor)
{
    struct str part;
    uint64_t v[3] = {0};
    size_t n = 0;
    while (n < 3 && str_split(&version, '.', &part))
        if (!str_to_u64(part, &v[n++]) || v[n - 1] > 1000)
            return false;
    *major = (unsigned)v[0];
    *minor = (unsigned)v[1];
    return n >= 2 && version.n == 0;
}

void kv_downgrade_target(struct kv *kv, char *out, size_t size)
{
    pthread_mutex_lock(&kv->members.lock);
    struct str s = kv->members.now.downgrade;
    size_t n = MIN(s.n, size - 1);
    memcpy(out, s.p ? s.p : "", n);
    out[n] = 0;
    pthread_mutex_unlock(&kv->members.lock);
}

int kv_downgrade_check(struct kv *kv, struct str version)
{
    unsigned major, minor, own_major, own_minor;
    char target[16];
    version_parse(STR(KV_CLUSTER_VERSION), &own_major, &own_minor);
    if (!version_parse(version, &major, &minor))
        return KV_ERR_DOWNGRADE_FORMAT;
    if (major != own_major || minor + 1 != own_minor)
        return KV_ERR_DOWNGRADE_TARGET;
    kv_downgrade_target(kv, target, sizeof target);
    return target[0] ? KV_ERR_DOWNGRADE_IN_PROCESS : 0;
}

void kv_downgrade_set(struct kv *kv, struct str version, struct loop *loop, kv_revision_fn *cb,
                      void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_CLUSTER, loop, ctx);
    unsigned major, minor;
    char text[16] = "";
    p->rev_cb = cb;
    int code = version.n ? kv_downgrade_check(kv, version) : 0;
    if (code == 0 && kv_level(kv) < KV_LEVEL_2)
        code = KV_ERR_LEVEL;
    if (code < 0) {
        pending_fail(p, code, "downgrade refused");
        return;
    }
    if (version.n && version_parse(version, &major, &minor))
        snprintf(text, sizeof text, "%u.%u.0", major, minor);
    struct proposal q = {
        .kind = PROPOSAL_CLUSTER,
        .cluster = {.action = PROPOSAL_CLUSTER_DOWNGRADE, .downgrade = str_from(text)}};
    pending_propose(p, &q);
}

/* ---- on the house thread ---- */

/* Changes that waited for another one. */
static void calls_step(struct kv *kv, uint64_t now_ns)
{
    struct list due;
    list_init(&due);
    pthread_mutex_lock(&kv->members.lock);
    list_for_each_safe (it, &kv->members.calls) {
        struct member_call *c = list_entry(it, struct member_call, link);
        if (c->again_ns > now_ns)
            continue;
        list_remove(&c->link);
        list_push_back(&due, &c->link);
    }
    pthread_mutex_unlock(&kv->members.lock);
    while (!list_empty(&due)) {
        struct member_call *c = list_first(&due, struct member_call, link);
        list_remove(&c->link);
        call_propose(c);
    }
}

/*
 * Can those who stay elect a leader without this member's vote? Whoever has not applied the removal still counts it.
 * They can when every majority of them has one who has: it tells the others (raft/election.c, "news"). m->lock held.
 */
static bool vote_is_dispensable(const struct members *m, uint64_t self)
{
    const struct raft_id_set *voters = &m->config.voters;
    uint32_t stay = voters->len - raft_ids_has(voters, self), know = 0;
    for (uint32_t i = 0; i < m->told_by.len; i++)
        know += raft_ids_has(voters, m->told_by.ids[i]);
    return know >= stay - stay / 2;
}

/*
 * A removed member goes on until its vote is not needed any more; after a restart, too. At the latest it ends when nobody
 * has told it so for long: those who stay may be gone. Started again, it goes on for as long again.
 */
static void removal_step(struct kv *kv, uint64_t now_ns)
{
    struct members *m = &kv->members;
    pthread_mutex_lock(&m->lock);
    uint64_t stay = MAX(REMOVED_STAY_NS, 2 * (uint64_t)kv->o.election_ms * NS_PER_MS);
    if (!vote_is_dispensable(m, kv->member_id))
        stay = REMOVED_STAY_MAX_NS;
    /* It may have been removed after now_ns was read. */
    bool tell = m->self_removed && !m->removal_told && now_ns >= m->self_removed_ns + stay;
    m->removal_told |= tell;
    pthread_mutex_unlock(&m->lock);
    if (tell && kv->o.on_removed)
        kv->o.on_removed(kv->o.on_removed_ctx);
}

void members_step(struct kv *kv, uint64_t now_ns)
{
    calls_step(kv, now_ns);
    level_step(kv);
    removal_step(kv, now_ns);
}

void members_cancel(struct kv *kv)
{
    while (!list_empty(&kv->members.calls)) {
        struct member_call *c = list_first(&kv->members.calls, struct member_call, link);
        list_remove(&c->link);
        call_finish(c, ERR_CANCELLED);
    }
}
