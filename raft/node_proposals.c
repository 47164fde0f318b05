/*
 * Proposals of this member's callers, and those that followers forward to us.
 *
 *                      leader known                    accepted at (index, term)
 *     WAITING ───────────────────────────▶ FORWARDED ─────────────────────────▶ ACCEPTED
 *        │    ╲______ we lead: straight into the log __________________________↗   │
 *        │ deadline          refused: │ deadline, no answer:                        │
 *        ▼                            ▼                                            ▼
 *     REJECTED                REJECTED / UNKNOWN        applied here → APPLIED; another entry at that
 *                                                       index → REJECTED; deadline → UNKNOWN
 *
 * A proposal is put into a log by one member, once. When its entry comes out of the log, here and in
 * this incarnation, (member, epoch, sequence) in its header finds the caller.
 *
 *   forward = count:4 ( config:1 length:4 data )*          data with header
 *   reply   = count:4 ( seq:8 code:4 index:8 term:8 )*     code 0: in the log, else −ERR_*
 */
#include "raft/node_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "raft/wire.h"
#include <assert.h>

/* ---- the books ---- */

static struct proposal **bucket(struct raft_node *n, uint64_t seq)
{
    return &n->buckets[seq & (PROPOSAL_BUCKETS - 1)];
}

static struct proposal *find(struct raft_node *n, uint64_t seq)
{
    struct proposal *p = *bucket(n, seq);
    while (p && p->seq != seq)
        p = p->next;
    return p;
}

static void enter(struct raft_node *n, struct proposal *p)
{
    p->seq = ++n->last_seq;
    p->next = *bucket(n, p->seq);
    *bucket(n, p->seq) = p;
    n->proposals_len++;
    heap_insert(&n->by_deadline, &p->by_deadline, node_now_ms(n) + p->timeout_ms);
}

/* Out of the queue of those that are in no log yet. */
static void unqueue(struct raft_node *n, struct proposal *p)
{
    list_remove(&p->link);
    n->waiting_len--;
}

static void leave(struct raft_node *n, struct proposal *p)
{
    struct proposal **at = bucket(n, p->seq);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    n->proposals_len--;
    heap_remove(&n->by_deadline, &p->by_deadline);
    heap_remove(&n->by_index, &p->by_index);
    if (p->state == PROPOSAL_WAITING)
        unqueue(n, p);
}

static void proposal_free(struct proposal *p)
{
    blob_unref(p->data);
    mem_free(p);
}

static void finish(struct raft_node *n, struct proposal *p, enum raft_outcome outcome, int code)
{
    leave(n, p);
    if (n->metrics.failed)
        counter_add(n->metrics.failed, 1);
    p->fn(p->ctx, outcome, code, 0);
    proposal_free(p);
}

void proposal_applied(struct proposal *p, uint64_t index)
{
    p->fn(p->ctx, RAFT_APPLIED, 0, index);
    proposal_free(p);
}

static void set_accepted(struct raft_node *n, struct proposal *p, uint64_t index, uint64_t term)
{
    p->state = PROPOSAL_ACCEPTED;
    p->index = index;
    p->term = term;
    heap_insert(&n->by_index, &p->by_index, index);
}

/* ---- arrival ---- */

/* Whoever adds to what is not applied yet would only wait longer. Changes of membership may: they make it better. */
static bool too_many(const struct raft_node *n, const struct proposal *p)
{
    return n->proposals_len >= PROPOSALS_MAX ||
           (!p->is_config && raft_commit_index(n->raft) > atomic_load(&n->applied) + APPLY_GAP_MAX);
}

static void proposal_arrives(struct loop_task *task)
{
    struct proposal *p = container_of(task, struct proposal, task);
    struct raft_node *n = p->node;
    int refused = n->stopping || n->retired ? ERR_CANCELLED : too_many(n, p) ? ERR_LIMIT : 0;
    if (refused) {
        p->fn(p->ctx, RAFT_REJECTED, refused, 0);
        proposal_free(p);
        return;
    }
    enter(n, p);
    wire_put_be64(p->data->data, n->options.id);
    wire_put_be64(p->data->data + 8, n->epoch);
    wire_put_be64(p->data->data + 16, p->seq);
    list_push_back(&n->waiting, &p->link);
    n->waiting_len++;
    node_wake(n);
}

static void propose(struct raft_node *n, struct blob *data, bool is_config, uint32_t timeout_ms,
                    raft_propose_fn *fn, void *ctx)
{
    assert(data->len >= RAFT_PROPOSAL_HEADER && data->len <= RAFT_ENTRY_DATA_MAX);
    struct proposal *p = mem_zalloc(sizeof *p);
    p->task.fn = proposal_arrives;
    p->node = n;
    p->data = data;
    p->is_config = is_config;
    p->fn = fn;
    p->ctx = ctx;
    p->timeout_ms = timeout_ms ? timeout_ms : PROPOSAL_TIMEOUT_MS;
    loop_post(n->loop, &p->task);
}

struct blob *raft_proposal_new(size_t len)
{
    return blob_new(RAFT_PROPOSAL_HEADER + len);
}

void raft_propose_data(struct raft_node *n, struct blob *proposal, uint32_t timeout_ms,
                       raft_propose_fn *fn, void *ctx)
{
    propose(n, proposal, false, timeout_ms, fn, ctx);
}

void raft_propose_config(struct raft_node *n, const struct raft_change *change, uint32_t timeout_ms,
                         raft_propose_fn *fn, void *ctx)
{
    struct buf b;
    buf_init(&b);
    raft_change_encode(change, &b);
    struct blob *data = raft_proposal_new(b.len);
    memcpy(raft_proposal_payload(data), b.data, b.len);
    buf_free(&b);
    propose(n, data, true, timeout_ms, fn, ctx);
}

/* ---- at the leader ---- */

/* What is known of everybody, for the machine to judge a change by. */
static void change_context(struct raft_node *n, struct raft_change_context *c)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    size_t len = raft_peers(n->raft, peers);
    *c = (struct raft_change_context){.last = raft_last_index(n->raft),
                                      .config = raft_configuration(n->raft)};
    c->members[c->members_len++] =
        (struct raft_member_progress){n->options.id, raft_stable_index(n->raft), true, true};
    for (size_t i = 0; i < len && c->members_len < RAFT_MEMBERS_MAX; i++)
        c->members[c->members_len++] = (struct raft_member_progress){
            peers[i].id, peers[i].match, peers[i].state == RAFT_REPLICATE,
            n->transport && raft_transport_active(n->transport, peers[i].id)};
}

/* Into the log, if the core has no other change under way and the machine agrees. */
static int propose_change(struct raft_node *n, struct blob *data, uint64_t *index)
{
    struct raft_change_context context;
    struct raft_change change;
    struct raft_entry e = {.data = data};
    struct error err;
    int rc = raft_may_change(n->raft, &err);
    if (rc < 0)
        return rc;
    rc = raft_change_decode(raft_entry_payload(&e), &change, &err);
    if (rc == 0 && n->ops->check_change) {
        change_context(n, &context);
        rc = n->ops->check_change(n->machine, &change, &context);
    }
    return rc < 0 ? rc : raft_propose_change(n->raft, data, index, &err);
}

/* Propose the changes of configuration at the head of the queue, one by one. */
static bool propose_config_here(struct raft_node *n, struct proposal *p)
{
    uint64_t index;
    int rc = propose_change(n, p->data, &index);
    if (rc == ERR_UNAVAILABLE)
        return false;
    if (rc < 0) {
        finish(n, p, RAFT_REJECTED, rc);
        return true;
    }
    unqueue(n, p);
    set_accepted(n, p, index, raft_term(n->raft));
    return true;
}

/* Propose data from the head of the queue, as many as go together; false: not now. */
static bool propose_batch_here(struct raft_node *n)
{
    struct blob *blobs[PROPOSE_BATCH_MAX];
    struct proposal *batch[PROPOSE_BATCH_MAX];
    size_t len = 0;
    for (struct list *it = n->waiting.next; it != &n->waiting && len < PROPOSE_BATCH_MAX;
         it = it->next) {
        struct proposal *p = list_entry(it, struct proposal, link);
        if (p->is_config)
            break;
        batch[len] = p;
        blobs[len++] = p->data;
    }
    if (len == 0)
        return true;
    uint64_t first = 0;
    int rc = raft_propose(n->raft, blobs, len, &first, NULL);
    if (rc == ERR_UNAVAILABLE)
        return false; /* leadership is being handed over: wait for the next leader */
    for (size_t i = 0; i < len; i++) {
        if (rc < 0) {
            finish(n, batch[i], RAFT_REJECTED, rc);
            continue;
        }
        unqueue(n, batch[i]);
        set_accepted(n, batch[i], first + i, raft_term(n->raft));
    }
    return true;
}

/* Rather wait for the disk than to give it, and the followers, one more small batch. */
static bool should_gather(const struct raft_node *n)
{
    return n->unflushed >= GATHER_MIN && n->waiting_len < PROPOSE_BATCH_MAX;
}

static void propose_here(struct raft_node *n)
{
    if (should_gather(n))
        return; /* the report of the journal wakes us */
    while (!list_empty(&n->waiting)) {
        struct proposal *p = list_first(&n->waiting, struct proposal, link);
        if (!(p->is_config ? propose_config_here(n, p) : propose_batch_here(n)))
            return;
    }
}

/* ---- at a follower ---- */

/* Encode proposals from the head of the queue into n->frame; returns how many. */
static size_t encode_forward(struct raft_node *n)
{
    size_t count = 0;
    buf_clear(&n->frame);
    buf_append_be32(&n->frame, 0);
    for (struct list *it = n->waiting.next;
         it != &n->waiting && count < PROPOSE_BATCH_MAX && n->frame.len < FORWARD_BYTES_MAX;
         it = it->next) {
        struct proposal *p = list_entry(it, struct proposal, link);
        buf_append_char(&n->frame, p->is_config);
        buf_append_be32(&n->frame, (uint32_t)p->data->len);
        buf_append_str(&n->frame, blob_str(p->data));
        count++;
    }
    wire_put_be32(n->frame.data, (uint32_t)count);
    return count;
}

static void forward(struct raft_node *n, uint64_t leader)
{
    /* The answer to what is under way wakes us; should it be lost, the time does. */
    if (n->forwarded_open >= GATHER_MIN && n->waiting_len < PROPOSE_BATCH_MAX &&
        node_now_ms(n) - n->forwarded_ms <= SOON_MS) {
        node_soon(n);
        return;
    }
    n->forwarded_open = 0;
    while (!list_empty(&n->waiting)) {
        size_t count = encode_forward(n);
        if (!raft_transport_send(n->transport, leader, RAFT_FRAME_FORWARD, buf_str(&n->frame)))
            return; /* nothing of it left: they go on waiting */
        for (size_t sent = count; sent > 0; sent--) {
            struct proposal *p = list_first(&n->waiting, struct proposal, link);
            unqueue(n, p);
            p->state = PROPOSAL_FORWARDED;
        }
        n->forwarded_open += count;
        n->forwarded_ms = node_now_ms(n);
    }
}

void node_send_proposals(struct raft_node *n)
{
    if (list_empty(&n->waiting))
        return;
    uint64_t leader = raft_leader(n->raft);
    if (raft_role(n->raft) == RAFT_LEADER)
        propose_here(n);
    else if (leader != 0 && leader != n->options.id && n->transport)
        forward(n, leader);
}

/* ---- forwarded to us ---- */

static void append_reply(struct buf *reply, uint64_t seq, int code, uint64_t index, uint64_t term)
{
    buf_append_be64(reply, seq);
    buf_append_be32(reply, (uint32_t)-code);
    buf_append_be64(reply, index);
    buf_append_be64(reply, term);
}

struct forwarded {
    struct blob *blobs[PROPOSE_BATCH_MAX];
    size_t len;
};

static uint64_t header_seq(const struct blob *b)
{
    struct wire w = wire_init(str_make(b->data + 16, 8));
    return wire_be64(&w);
}

static void propose_forwarded(struct raft_node *n, uint64_t from, struct forwarded *f,
                              struct buf *reply)
{
    if (f->len == 0)
        return;
    uint64_t first = 0, term = raft_term(n->raft);
    int rc = raft_propose(n->raft, f->blobs, f->len, &first, NULL);
    for (size_t i = 0; i < f->len; i++) {
        append_reply(reply, header_seq(f->blobs[i]), rc, rc < 0 ? 0 : first + i, term);
        blob_unref(f->blobs[i]);
    }
    if (rc == 0)
        raft_commit_awaited(n->raft, from, first + f->len - 1);
    f->len = 0;
}

bool node_recv_forward(struct raft_node *n, uint64_t from, struct str body)
{
    struct wire w = wire_init(body);
    uint32_t count = wire_be32(&w);
    if (count > PROPOSE_BATCH_MAX)
        return false;
    struct forwarded f = {.len = 0};
    struct buf reply;
    buf_init(&reply);
    buf_append_be32(&reply, count);
    for (uint32_t i = 0; i < count && !w.failed; i++) {
        uint8_t is_config = wire_u8(&w);
        uint32_t len = wire_be32(&w);
        if (is_config > 1 || len < RAFT_PROPOSAL_HEADER || len > RAFT_ENTRY_DATA_MAX)
            wire_fail(&w);
        struct str data = wire_bytes(&w, len);
        if (w.failed)
            break;
        struct wire head = wire_init(data);
        if (wire_be64(&head) != from)
            wire_fail(&w); /* proposals are forwarded by their own member only */
        struct blob *b = blob_from(data.p, data.n);
        if (!is_config) {
            f.blobs[f.len++] = b;
            continue;
        }
        propose_forwarded(n, from, &f, &reply);
        uint64_t index = 0;
        int rc = propose_change(n, b, &index);
        append_reply(&reply, header_seq(b), rc, index, raft_term(n->raft));
        if (rc == 0)
            raft_commit_awaited(n->raft, from, index);
        blob_unref(b);
    }
    bool ok = wire_done(&w);
    if (ok)
        propose_forwarded(n, from, &f, &reply);
    for (size_t i = 0; i < f.len; i++)
        blob_unref(f.blobs[i]);
    /* A reply that is lost leaves the follower not knowing, which it will say. */
    if (ok)
        raft_transport_send(n->transport, from, RAFT_FRAME_FORWARD_REPLY, buf_str(&reply));
    buf_free(&reply);
    node_wake(n);
    return ok;
}

bool node_recv_forward_reply(struct raft_node *n, uint64_t from, struct str body)
{
    (void)from;
    struct wire w = wire_init(body);
    uint32_t count = wire_be32(&w);
    for (uint32_t i = 0; i < count && !w.failed; i++) {
        uint64_t seq = wire_be64(&w);
        int code = -(int)wire_be32(&w);
        uint64_t index = wire_be64(&w), term = wire_be64(&w);
        n->forwarded_open -= n->forwarded_open > 0;
        struct proposal *p = w.failed ? NULL : find(n, seq);
        if (!p || p->state != PROPOSAL_FORWARDED)
            continue; /* applied or given up meanwhile */
        if (code != 0)
            finish(n, p, RAFT_REJECTED, code);
        else if (index <= n->settled) /* late, behind a snapshot that may well contain it */
            finish(n, p, RAFT_UNKNOWN, ERR_TIMEOUT);
        else
            set_accepted(n, p, index, term);
    }
    if (!list_empty(&n->waiting))
        node_wake(n);
    return wire_done(&w);
}

/* ---- ends ---- */

struct proposal *node_take_proposal(struct raft_node *n, const struct raft_entry *e)
{
    if (!e->data)
        return NULL;
    struct wire w = wire_init(str_make(e->data->data, RAFT_PROPOSAL_HEADER));
    uint64_t member = wire_be64(&w), epoch = wire_be64(&w), seq = wire_be64(&w);
    if (member != n->options.id || epoch != n->epoch)
        return NULL;
    struct proposal *p = find(n, seq);
    if (p)
        leave(n, p);
    return p;
}

void node_settle_proposals(struct raft_node *n, uint64_t index, enum raft_outcome outcome)
{
    struct heap_item *item;
    n->settled = MAX(n->settled, index);
    while ((item = heap_peek(&n->by_index)) && item->key <= index)
        finish(n, container_of(item, struct proposal, by_index), outcome, ERR_UNAVAILABLE);
}

void node_expire_proposals(struct raft_node *n)
{
    uint64_t now = node_now_ms(n);
    struct heap_item *item;
    while ((item = heap_peek(&n->by_deadline)) && item->key <= now) {
        struct proposal *p = container_of(item, struct proposal, by_deadline);
        if (p->state == PROPOSAL_WAITING)
            finish(n, p, RAFT_REJECTED, ERR_UNAVAILABLE);
        else
            finish(n, p, RAFT_UNKNOWN, ERR_TIMEOUT);
    }
}

void node_cancel_proposals(struct raft_node *n)
{
    struct heap_item *item;
    while ((item = heap_peek(&n->by_deadline))) {
        struct proposal *p = container_of(item, struct proposal, by_deadline);
        finish(n, p, p->state == PROPOSAL_WAITING ? RAFT_REJECTED : RAFT_UNKNOWN, ERR_CANCELLED);
    }
}

static void retire(struct loop_task *task)
{
    struct raft_node *n = container_of(task, struct raft_node, retire);
    n->retired = true;
    if (n->stopping)
        return;
    node_cancel_proposals(n);
    node_cancel_reads(n);
}

void raft_node_retire(struct raft_node *n)
{
    n->retire.fn = retire;
    loop_post(n->loop, &n->retire);
}
