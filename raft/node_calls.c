/*
 * Calls between the state machines of two members: a question, an answer, outside the log.
 *
 *     call   = id:8 question            answer = id:8 answer
 *
 * `id` is the caller's own, counted from a random number that each start draws: an answer to a question
 * that this member asked before it was restarted must not pass for one to a question of now. A call is sent once; an answer that comes after the caller has given up is
 * dropped. Whoever asks knows what it means that no answer came.
 */
#include "raft/node_internal.h"

#include "base/mem.h"
#include "raft/wire.h"

#define CALLS_MAX 65536 /* waiting for an answer at once */
#define CALL_ID 8

struct call {
    struct loop_task task;
    struct raft_node *node;
    struct list link;  /* in node->calls */
    struct call *next; /* hash chain */
    uint64_t id, to, deadline_ms;
    raft_call_fn *fn;
    void *ctx;
    struct blob *frame;
};

static struct call **bucket(struct raft_node *n, uint64_t id)
{
    return &n->call_buckets[id & (CALL_BUCKETS - 1)];
}

static void call_free(struct call *c)
{
    blob_unref(c->frame);
    mem_free(c);
}

static void finish(struct call *c, int code, struct str answer)
{
    struct raft_node *n = c->node;
    struct call **at = bucket(n, c->id);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    list_remove(&c->link);
    n->calls_len--;
    c->fn(c->ctx, code, answer);
    call_free(c);
}

static void call_arrives(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct raft_node *n = c->node;
    uint64_t to = c->to ? c->to : raft_leader(n->raft);
    int rc = n->stopping                 ? ERR_CANCELLED
             : n->calls_len >= CALLS_MAX ? ERR_LIMIT
             : to == n->options.id       ? ERR_CONFLICT
             : to == 0 || !n->transport  ? ERR_UNAVAILABLE
                                         : 0;
    if (rc == 0) {
        c->id = ++n->last_call;
        wire_put_be64(c->frame->data, c->id);
        if (!raft_transport_send(n->transport, to, RAFT_FRAME_CALL, blob_str(c->frame)))
            rc = ERR_UNAVAILABLE;
    }
    if (rc < 0) {
        c->fn(c->ctx, rc, STR_NONE);
        call_free(c);
        return;
    }
    c->to = to;
    c->deadline_ms += node_now_ms(n);
    blob_unref(c->frame);
    c->frame = NULL;
    c->next = *bucket(n, c->id);
    *bucket(n, c->id) = c;
    list_push_back(&n->calls, &c->link);
    n->calls_len++;
}

static struct blob *frame_new(struct str body)
{
    struct blob *b = blob_new(CALL_ID + body.n);
    if (body.n)
        memcpy(b->data + CALL_ID, body.p, body.n);
    return b;
}

void raft_node_call(struct raft_node *n, uint64_t to, struct str question, uint32_t timeout_ms,
                    raft_call_fn *fn, void *ctx)
{
    struct call *c = mem_zalloc(sizeof *c);
    c->task.fn = call_arrives;
    c->node = n;
    c->to = to;
    c->deadline_ms = timeout_ms;
    c->fn = fn;
    c->ctx = ctx;
    c->frame = frame_new(question);
    loop_post(n->loop, &c->task);
}

struct answer {
    struct loop_task task;
    struct raft_node *node;
    uint64_t to;
    struct blob *frame;
};

static void answer_leaves(struct loop_task *task)
{
    struct answer *a = container_of(task, struct answer, task);
    if (!a->node->stopping && a->node->transport)
        raft_transport_send(a->node->transport, a->to, RAFT_FRAME_CALL_REPLY, blob_str(a->frame));
    blob_unref(a->frame);
    mem_free(a);
}

void raft_node_answer(struct raft_node *n, uint64_t to, uint64_t id, struct str answer)
{
    struct answer *a = mem_zalloc(sizeof *a);
    a->task.fn = answer_leaves;
    a->node = n;
    a->to = to;
    a->frame = frame_new(answer);
    wire_put_be64(a->frame->data, id);
    if (loop_is_current(n->loop))
        answer_leaves(&a->task);
    else
        loop_post(n->loop, &a->task);
}

bool node_recv_call(struct raft_node *n, uint64_t from, struct str body)
{
    struct wire w = wire_init(body);
    uint64_t id = wire_be64(&w);
    if (w.failed)
        return false;
    if (n->ops->call)
        n->ops->call(n->machine, from, id, str_make(w.p, w.left));
    return true;
}

bool node_recv_answer(struct raft_node *n, uint64_t from, struct str body)
{
    struct wire w = wire_init(body);
    uint64_t id = wire_be64(&w);
    if (w.failed)
        return false;
    for (struct call *c = *bucket(n, id); c; c = c->next)
        if (c->id == id && c->to == from) {
            finish(c, 0, str_make(w.p, w.left));
            break;
        }
    return true;
}

void node_expire_calls(struct raft_node *n)
{
    uint64_t now = node_now_ms(n);
    list_for_each_safe (it, &n->calls) {
        struct call *c = list_entry(it, struct call, link);
        if (now >= c->deadline_ms)
            finish(c, ERR_TIMEOUT, STR_NONE);
    }
}

void node_lose_calls(struct raft_node *n, uint64_t peer, int code)
{
    list_for_each_safe (it, &n->calls) {
        struct call *c = list_entry(it, struct call, link);
        if (peer == 0 || c->to == peer)
            finish(c, code, STR_NONE);
    }
}
