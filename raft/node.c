/*
 * The driver's frame: start and stop, the raft thread's pump, status (raft/node.h).
 */
#include "raft/node_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#define HEARTBEAT_MS 100
#define ELECTION_MS 1000
#define TICKS_PER_HEARTBEAT 5

void node_fatal(const char *what, const struct error *err)
{
    log_error("raft", "stopping the process: %s failed reason=\"%s\"", what, err->message);
    _exit(1);
}

uint64_t node_now_ms(const struct raft_node *n)
{
    return loop_now_ms(n->loop);
}

/* ---- queues ---- */

void queue_init(struct queue *q)
{
    pthread_mutex_init(&q->mutex, NULL);
    sem_init(&q->wake, 0, 0);
    list_init(&q->jobs);
}

void queue_close(struct queue *q)
{
    assert(list_empty(&q->jobs));
    pthread_mutex_destroy(&q->mutex);
    sem_destroy(&q->wake);
}

void queue_stop(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->stop = true;
    queue_wake_unlock(q, true);
}

void queue_wake_unlock(struct queue *q, bool wake)
{
    wake = wake && q->asleep;
    if (wake)
        q->asleep = false;
    pthread_mutex_unlock(&q->mutex);
    if (wake) /* after the unlock: who wakes up does not run into the mutex */
        sem_post(&q->wake);
}

bool queue_sleep(struct queue *q, const struct timespec *until)
{
    q->asleep = true;
    pthread_mutex_unlock(&q->mutex);
    int rc = until ? sem_clockwait(&q->wake, CLOCK_MONOTONIC, until) : sem_wait(&q->wake);
    bool timed_out = rc < 0 && errno == ETIMEDOUT;
    pthread_mutex_lock(&q->mutex);
    q->asleep = false;
    return !timed_out;
}

void queue_push(struct queue *q, struct list *job)
{
    pthread_mutex_lock(&q->mutex);
    list_push_back(&q->jobs, job);
    queue_wake_unlock(q, true);
}

/* ---- the pump ---- */

void node_wake(struct raft_node *n)
{
    loop_defer(n->loop, &n->pump);
}

static void send_messages(struct raft_node *n, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->messages_len; i++) {
        const struct raft_message *m = &ready->messages[i];
        if (!n->transport)
            continue;
        buf_clear(&n->frame);
        raft_message_encode(m, &n->frame);
        bool ok = raft_transport_send(n->transport, m->to, RAFT_FRAME_MESSAGE, buf_str(&n->frame));
        node_metrics_sent(&n->peer_metrics, m, n->frame.len, ok);
    }
    if (n->frame.cap > 4 * 1024 * 1024)
        buf_free(&n->frame);
}

/* A leader looks how long its commits take (raft/pace.h). */
static void watch_pace(struct raft_node *n, const struct raft_persist *batch)
{
    uint64_t bytes = batch->entries_len * PACE_ENTRY_BYTES;
    if (batch->entries_len == 0 || raft_role(n->raft) != RAFT_LEADER)
        return;
    for (size_t i = 0; i < batch->entries_len; i++)
        bytes += raft_entry_size(&batch->entries[i]);
    pace_appended(&n->pace, batch->entries[batch->entries_len - 1].index, bytes,
                  host_mono_ns(n->options.host));
}

static void handle_ready(struct raft_node *n, const struct raft_ready *ready)
{
    watch_pace(n, &ready->persist);
    /* Messages first: a leader's entries are on their way while its own disk writes. They leave before
     * the journal thread is woken, which competes for the processor and the disk. */
    send_messages(n, ready);
    if (ready->persist.seq) {
        if (n->transport && ready->persist.entries_len)
            raft_transport_flush(n->transport);
        node_journal_push(n, &ready->persist);
    }
    if (ready->apply_len)
        node_apply_entries(n, ready);
    for (size_t i = 0; i < ready->reads_len; i++)
        node_recv_read(n, &ready->reads[i]);
    for (size_t i = 0; i < ready->fetches_len; i++)
        node_fetch(n, &ready->fetches[i]);
    for (size_t i = 0; i < ready->snapshots_len; i++)
        node_send_snapshot(n, ready->snapshots[i]);
    if (ready->install)
        node_install(n, ready);
}

static void publish_status(struct raft_node *n)
{
    pthread_mutex_lock(&n->status_mutex);
    struct raft_node_status *s = &n->status;
    s->id = raft_id(n->raft);
    s->term = raft_term(n->raft);
    s->leader = raft_leader(n->raft);
    s->role = raft_role(n->raft);
    s->commit = raft_commit_index(n->raft);
    s->applied = raft_applied_index(n->raft);
    s->stable = raft_stable_index(n->raft);
    s->last = raft_last_index(n->raft);
    s->change = raft_last_change(n->raft);
    s->leader_changes = n->leader_changes;
    s->proposals_pending = n->proposals_len;
    s->config = *raft_configuration(n->raft);
    s->peers_len = raft_peers(n->raft, s->peers);
    pthread_mutex_unlock(&n->status_mutex);
    if (!n->metrics.committed)
        return;
    gauge_set(n->metrics.has_leader, s->leader != 0);
    gauge_set(n->metrics.is_leader, s->role == RAFT_LEADER);
    gauge_set(n->metrics.committed, (double)s->commit);
    gauge_set(n->metrics.applied, (double)s->applied);
    gauge_set(n->metrics.pending, (double)s->proposals_pending);
}

static void transfer_end(struct raft_node *n, int code)
{
    struct transfer t = n->transfer;
    n->transfer = (struct transfer){0};
    if (t.fn)
        t.fn(t.ctx, code);
}

/* Role, term or leader changed: one line of log, callbacks, and what depends on the leader. */
static void watch_role(struct raft_node *n)
{
    enum raft_role role = raft_role(n->raft);
    uint64_t term = raft_term(n->raft), leader = raft_leader(n->raft);
    if (role == n->role_seen && term == n->term_seen && leader == n->leader_seen)
        return;
    if (role != RAFT_LEADER)
        pace_reset(&n->pace);
    bool leader_changed = leader != 0 && (leader != n->leader_seen || term != n->term_seen);
    n->role_seen = role;
    n->term_seen = term;
    n->leader_seen = leader;
    log_info("raft", "now %s term=%llu leader=%llx last=%llu commit=%llu", raft_role_name(role),
             (unsigned long long)term, (unsigned long long)leader,
             (unsigned long long)raft_last_index(n->raft),
             (unsigned long long)raft_commit_index(n->raft));
    if (leader_changed) {
        n->leader_changes++;
        if (n->metrics.leader_changes)
            counter_add(n->metrics.leader_changes, 1);
        node_retry_reads(n);
    }
    if (n->transfer.deadline_ms && leader != 0 && leader != raft_id(n->raft))
        transfer_end(n, 0);
    if (n->options.events && n->options.events->on_role)
        n->options.events->on_role(n->options.events_ctx, role, term, leader);
}

/* What the apply thread has got to; it wakes us only when somebody waits for it (node_apply.c). */
static void take_applied(struct raft_node *n)
{
    uint64_t base = atomic_load(&n->log_base), applied = atomic_load(&n->applied);
    raft_applied(n->raft, applied);
    raft_compacted(n->raft, MIN(base, applied));
}

/*
 * In a stream of writes the followers learn of a commit with the next entries; the first one after a
 * pause is told at once, so that a single write costs nobody a delay.
 */
static void tell_commit(struct raft_node *n)
{
    if (!raft_commit_untold(n->raft))
        return;
    uint64_t now = node_now_ms(n), last = n->committed_ms;
    n->committed_ms = now;
    if (now - last <= SOON_MS) {
        node_soon(n);
        return;
    }
    struct raft_ready ready;
    raft_tell_commit(n->raft);
    while (raft_take_ready(n->raft, &ready))
        handle_ready(n, &ready);
}

/*
 * Bring the core's input in (proposals and reads gathered since) and its output out, until there is
 * none. Runs once per loop iteration, so that everything that arrived together goes on together.
 */
void node_pump(struct raft_node *n)
{
    if (n->stopping)
        return;
    take_applied(n);
    node_send_proposals(n);
    node_send_reads(n);
    struct raft_ready ready;
    while (raft_take_ready(n->raft, &ready))
        handle_ready(n, &ready);
    pace_committed(&n->pace, raft_commit_index(n->raft), host_mono_ns(n->options.host));
    tell_commit(n);
    watch_role(n);
    publish_status(n);
}

/*
 * Work that nobody waits for gathers for a moment: a follower that is told of a commit with the next
 * entries, and applies several at once, spares every member a wake-up, a message and a transaction.
 */
void node_soon(struct raft_node *n)
{
    if (!loop_timer_active(&n->soon))
        loop_timer_start(&n->soon, SOON_MS);
}

static void soon(struct loop_timer *timer)
{
    struct raft_node *n = container_of(timer, struct raft_node, soon);
    raft_tell_commit(n->raft);
    if (n->apply_put_off)
        node_apply_hurry(n, true);
    node_wake(n);
}

static void pump_deferred(struct loop_deferred *d)
{
    node_pump(container_of(d, struct raft_node, pump));
}

static void tick(struct loop_timer *timer)
{
    struct raft_node *n = container_of(timer, struct raft_node, tick);
    raft_tick(n->raft);
    node_expire_proposals(n);
    node_expire_reads(n);
    node_expire_calls(n);
    node_expire_snapshots(n);
    if (n->transfer.deadline_ms && node_now_ms(n) >= n->transfer.deadline_ms)
        transfer_end(n, ERR_TIMEOUT);
    loop_timer_start(&n->tick, n->tick_ms);
    node_wake(n);
}

static void applied_arrives(struct loop_task *task)
{
    struct raft_node *n = container_of(task, struct raft_node, applied_task);
    atomic_store(&n->applied_posted, false);
    if (!n->stopping)
        node_wake(n);
}

/* ---- transport ---- */

/*
 * The disk has forgotten what this member said was safe (raft_forgotten): a record cut off as torn that was whole
 * once, flushes that were none. Votes may be gone with it, so nothing that it says can be trusted any more.
 */
static void check_promises(struct raft_node *n)
{
    struct error err;
    uint64_t promised = raft_forgotten(n->raft);
    if (promised == 0)
        return;
    error_set(&err, ERR_CORRUPT,
              "this member has acknowledged log entries up to %llu, its log ends at %llu: the disk "
              "lost what it had flushed. Remove the member (member remove), delete its data "
              "directory and add it again (member add)",
              (unsigned long long)promised, (unsigned long long)raft_last_index(n->raft));
    node_fatal("keeping what was acknowledged", &err);
}

static bool recv_message(struct raft_node *n, uint64_t from, struct str body)
{
    struct raft_message m;
    struct error err;
    if (raft_message_decode(body, &m, &err) < 0) {
        log_warn("raft", "dropped a message from=%llx reason=\"%s\"", (unsigned long long)from,
                 err.message);
        return false;
    }
    bool ok = m.from == from && m.type != RAFT_MSG_SNAPSHOT;
    if (ok) {
        node_metrics_received(&n->peer_metrics, &m, body.n);
        raft_step(n->raft, &m);
        check_promises(n);
        node_wake(n);
    }
    raft_message_clear(&m);
    return ok;
}

static bool on_frame(void *ctx, uint64_t from, enum raft_frame_kind kind, struct str body)
{
    struct raft_node *n = ctx;
    if (n->stopping)
        return true;
    switch (kind) {
    case RAFT_FRAME_MESSAGE:
        return recv_message(n, from, body);
    case RAFT_FRAME_FORWARD:
        return node_recv_forward(n, from, body);
    case RAFT_FRAME_FORWARD_REPLY:
        return node_recv_forward_reply(n, from, body);
    case RAFT_FRAME_CALL:
        return node_recv_call(n, from, body);
    case RAFT_FRAME_CALL_REPLY:
        return node_recv_answer(n, from, body);
    default:
        return false;
    }
}

static void on_unreachable(void *ctx, uint64_t peer)
{
    struct raft_node *n = ctx;
    if (n->stopping)
        return;
    raft_peer_unreachable(n->raft, peer);
    node_lose_calls(n, peer, ERR_TIMEOUT);
    node_wake(n);
}

static bool on_channel(void *ctx, uint64_t from, struct raft_channel *channel)
{
    struct raft_node *n = ctx;
    return !n->stopping && node_recv_channel(n, from, channel);
}

static const struct raft_transport_events transport_events = {on_frame, on_unreachable, on_channel};

struct set_peer {
    struct loop_task task;
    struct raft_node *node;
    uint64_t id;
    char *address;
    bool expel;
};

static void set_peer(struct loop_task *task)
{
    struct set_peer *s = container_of(task, struct set_peer, task);
    struct raft_transport *t = s->node->stopping ? NULL : s->node->transport;
    if (t && s->expel)
        raft_transport_expel(t, s->id);
    else if (t)
        raft_transport_set_peer(t, s->id, s->address);
    mem_free(s->address);
    mem_free(s);
}

static void post_peer(struct raft_node *n, uint64_t id, const char *address, bool expel)
{
    struct set_peer *s = mem_zalloc(sizeof *s);
    *s = (struct set_peer){{set_peer, NULL}, n, id, address ? mem_strdup(address) : NULL, expel};
    loop_post(n->loop, &s->task);
}

void raft_node_set_peer(struct raft_node *n, uint64_t id, const char *address)
{
    post_peer(n, id, address, false);
}

void raft_node_expel(struct raft_node *n, uint64_t id)
{
    post_peer(n, id, NULL, true);
}

void raft_node_hurry(struct raft_node *n)
{
    if (n->apply_put_off)
        node_apply_hurry(n, false);
}

/* ---- leadership transfer ---- */

struct transfer_request {
    struct loop_task task;
    struct raft_node *node;
    uint64_t to;
    raft_done_fn *fn;
    void *ctx;
};

static uint64_t best_successor(struct raft_node *n)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    size_t len = raft_peers(n->raft, peers);
    uint64_t best = 0, match = 0;
    for (size_t i = 0; i < len; i++)
        if (!peers[i].learner && peers[i].recent_active && (!best || peers[i].match > match)) {
            best = peers[i].id;
            match = peers[i].match;
        }
    return best;
}

static void transfer_start(struct loop_task *task)
{
    struct transfer_request *t = container_of(task, struct transfer_request, task);
    struct raft_node *n = t->node;
    uint64_t to = t->to ? t->to : best_successor(n);
    int rc = ERR_UNAVAILABLE;
    if (!n->stopping && to)
        rc = raft_transfer(n->raft, to, NULL);
    if (rc == 0 && to != raft_id(n->raft)) {
        transfer_end(n, ERR_CANCELLED); /* an earlier one */
        n->transfer = (struct transfer){t->fn, t->ctx, node_now_ms(n) + 2 * n->election_ms};
    } else if (t->fn) {
        t->fn(t->ctx, rc);
    }
    node_wake(n);
    mem_free(t);
}

void raft_node_transfer(struct raft_node *n, uint64_t to, raft_done_fn *fn, void *ctx)
{
    struct transfer_request *t = mem_zalloc(sizeof *t);
    *t = (struct transfer_request){{transfer_start, NULL}, n, to, fn, ctx};
    loop_post(n->loop, &t->task);
}

/* ---- status ---- */

void raft_node_status(struct raft_node *n, struct raft_node_status *out)
{
    pthread_mutex_lock(&n->status_mutex);
    *out = n->status;
    pthread_mutex_unlock(&n->status_mutex);
}

struct loop *raft_node_loop(struct raft_node *n)
{
    return n->loop;
}

int raft_node_port(struct raft_node *n)
{
    return n->transport ? raft_transport_port(n->transport) : 0;
}

/* ---- start ---- */

static void metrics_start(struct raft_node *n, struct metrics *m)
{
    if (!m)
        return;
    n->peer_metrics.registry = m;
    n->metrics.has_leader = metrics_gauge(m, "etcd_server_has_leader", NULL,
                                          "Whether a leader is known to this member.");
    n->metrics.is_leader =
        metrics_gauge(m, "etcd_server_is_leader", NULL, "Whether this member leads.");
    n->metrics.committed = metrics_gauge(m, "etcd_server_proposals_committed_total", NULL,
                                         "Index of the last entry known to be committed.");
    n->metrics.applied = metrics_gauge(m, "etcd_server_proposals_applied_total", NULL,
                                       "Index of the last entry applied here.");
    n->metrics.pending = metrics_gauge(m, "etcd_server_proposals_pending", NULL,
                                       "Proposals of this member's callers that are under way.");
    n->metrics.leader_changes = metrics_counter(m, "etcd_server_leader_changes_seen_total", NULL,
                                                "Leaders seen since the start.");
    n->metrics.failed = metrics_counter(m, "etcd_server_proposals_failed_total", NULL,
                                        "Proposals that were refused or ended unknown.");
    n->metrics.given_bytes = metrics_counter(
        m, "c8s_store_catch_up_bytes_total", NULL,
        "Bytes of snapshots and of the stored log that were given to members behind.");
    n->metrics.given_waits =
        metrics_counter(m, "c8s_store_catch_up_waits_total", NULL,
                        "How often a member behind had to wait, so that commits here do not.");
}

static int core_start(struct raft_node *n, struct error *err)
{
    const struct raft_node_options *o = &n->options;
    uint32_t heartbeat = o->heartbeat_ms ? o->heartbeat_ms : HEARTBEAT_MS;
    n->election_ms = o->election_ms ? o->election_ms : ELECTION_MS;
    n->tick_ms = o->tick_ms ? o->tick_ms : MAX(heartbeat / TICKS_PER_HEARTBEAT, 1u);
    struct raft_params params;
    raft_params_default(&params);
    params.id = o->id;
    params.seed = host_random(o->host);
    params.commit_lazy = true;
    params.heartbeat_ticks = MAX(heartbeat / n->tick_ms, 1u);
    params.election_ticks = MAX(n->election_ms / n->tick_ms, params.heartbeat_ticks + 1);
    n->handed_config = o->boot->config;
    atomic_store(&n->applied, o->boot->applied);
    atomic_store(&n->log_base, o->boot->base_index);
    return raft_new(&params, o->boot, &n->raft, err);
}

struct start_call {
    struct raft_node *node;
    struct error *err;
    int rc;
};

/* On the raft thread. */
static void start_on_loop(void *arg)
{
    struct start_call *call = arg;
    struct raft_node *n = call->node;
    const struct raft_node_options *o = &n->options;
    if (o->listen) {
        struct raft_transport_options t = {.id = o->id,
                                           .cluster_id = o->cluster_id,
                                           .level = o->level,
                                           .rules = o->peer_rules,
                                           .rules_ctx = o->peer_rules_ctx,
                                           .listen = o->listen,
                                           .tls_server = o->tls_server,
                                           .tls_client = o->tls_client,
                                           .events = &transport_events,
                                           .ctx = n};
        n->transport = raft_transport_new(n->loop, &t, call->err);
        if (!n->transport) {
            call->rc = call->err ? call->err->code : ERR_IO;
            return;
        }
    }
    loop_timer_start(&n->tick, n->tick_ms);
    node_pump(n);
}

static void node_free(struct raft_node *n)
{
    raft_free(n->raft);
    heap_free(&n->by_deadline);
    heap_free(&n->by_index);
    buf_free(&n->frame);
    queue_close(&n->journal);
    queue_close(&n->apply);
    queue_close(&n->peer);
    vec_free(&n->scratch.persisted);
    vec_free(&n->scratch.apply);
    pthread_mutex_destroy(&n->status_mutex);
    pthread_mutex_destroy(&n->stop_mutex);
    pthread_cond_destroy(&n->stopped);
    mem_free(n);
}

static struct raft_node *node_new(const struct raft_node_options *options)
{
    struct raft_node *n = mem_zalloc(sizeof *n);
    n->options = *options;
    n->ops = options->ops;
    n->machine = options->machine_ctx;
    n->epoch = host_random(options->host);
    /* Answers to questions, proposals and reads of an earlier start, which come late, find nobody. */
    n->last_call = n->last_seq = n->last_context = n->epoch;
    list_init(&n->waiting);
    list_init(&n->reads_waiting);
    list_init(&n->read_rounds);
    list_init(&n->fetches);
    list_init(&n->snapshots_out);
    pace_init(&n->pace, host_mono_ns(options->host));
    list_init(&n->calls);
    list_init(&n->flush_here);
    heap_init(&n->by_deadline);
    heap_init(&n->by_index);
    buf_init(&n->frame);
    queue_init(&n->journal);
    queue_init(&n->apply);
    queue_init(&n->peer);
    pthread_mutex_init(&n->status_mutex, NULL);
    pthread_mutex_init(&n->stop_mutex, NULL);
    pthread_cond_init(&n->stopped, NULL);
    n->applied_task.fn = applied_arrives;
    loop_deferred_init(&n->pump, pump_deferred);
    return n;
}

static void thread_start(pthread_t *thread, void *(*fn)(void *arg), struct raft_node *n,
                         const char *name)
{
    int rc = pthread_create(thread, NULL, fn, n);
    if (rc != 0) {
        struct error err;
        error_errno(&err, ERR_IO, rc, "create thread %s", name);
        node_fatal("starting a thread", &err);
    }
    pthread_setname_np(*thread, name);
}

static void threads_stop(struct raft_node *n)
{
    queue_stop(
        &n->journal); /* one of the two ends when it is drained, the other one with the loop */
    queue_stop(&n->apply);
    pthread_join(n->apply_thread, NULL);
    queue_stop(&n->peer);
    pthread_join(n->peer_thread, NULL);
    loop_stop(n->loop);
    for (int i = 0; i < 2; i++)
        pthread_join(n->loop_threads[i], NULL);
    loop_free(n->loop); /* runs what the threads posted */
}

int raft_node_start(const struct raft_node_options *options, struct raft_node **out,
                    struct error *err)
{
    assert(options->id && options->host && options->boot && options->ops);
    assert(!options->tls_server == !options->tls_client);
    struct raft_node *n = node_new(options);
    *out = NULL;
    int rc = core_start(n, err);
    if (rc < 0) {
        node_free(n);
        return rc;
    }
    metrics_start(n, options->metrics);
    n->loop = loop_new();
    loop_timer_init(n->loop, &n->tick, tick);
    loop_timer_init(n->loop, &n->soon, soon);
    loop_timer_init(n->loop, &n->bulk, node_bulk);
    publish_status(n);
    *out = n; /* before anything is applied: the state machine may call us from there */
    loop_expect(n->loop);
    thread_start(&n->loop_threads[0], node_loop_thread, n, "raft");
    thread_start(&n->loop_threads[1], node_journal_thread, n, "raft-journal");
    thread_start(&n->apply_thread, node_apply_thread, n, "raft-apply");
    thread_start(&n->peer_thread, node_peer_thread, n, "raft-peer");
    struct start_call call = {n, err, 0};
    loop_call(n->loop, start_on_loop, &call);
    n->options.boot = NULL;
    if (call.rc == 0)
        return 0;
    threads_stop(n);
    node_free(n);
    *out = NULL;
    return call.rc;
}

/* ---- stop ---- */

static void transport_closed(void *ctx)
{
    struct raft_node *n = ctx;
    pthread_mutex_lock(&n->stop_mutex);
    n->transport_closed = true;
    pthread_cond_signal(&n->stopped);
    pthread_mutex_unlock(&n->stop_mutex);
}

static void stop_on_loop(void *arg)
{
    struct raft_node *n = arg;
    n->stopping = true;
    loop_timer_stop(&n->tick);
    loop_timer_stop(&n->soon);
    loop_timer_stop(&n->bulk);
    loop_deferred_cancel(&n->pump);
    node_cancel_proposals(n);
    node_cancel_reads(n);
    node_cancel_fetches(n);
    node_lose_calls(n, 0, ERR_CANCELLED);
    transfer_end(n, ERR_CANCELLED);
    if (n->transport)
        raft_transport_close(n->transport, transport_closed, n);
    else
        transport_closed(n);
}

void raft_node_stop(struct raft_node *n)
{
    if (!n)
        return;
    assert(!loop_is_current(n->loop));
    loop_call(n->loop, stop_on_loop, n);
    pthread_mutex_lock(&n->stop_mutex);
    while (!n->transport_closed)
        pthread_cond_wait(&n->stopped, &n->stop_mutex);
    pthread_mutex_unlock(&n->stop_mutex);
    threads_stop(n);
    if (n->staged)
        n->ops->snapshot_abort(n->staged);
    node_free(n);
}
