/*
 * Snapshots to peers that are too far behind, and from a leader to us. The sockets are the raft
 * thread's; reading and writing the state is the peer thread's. Both directions are paced: one chunk
 * is read while little is queued, and reading from the socket stops while much is unwritten.
 *
 *   sender    META chunk* END ──▶              receiver   begin, write*, finish, offer to the core
 *             ◀── REPLY                                   REPLY 1: taken (or not needed any more)
 *
 * A member whose state is damaged asks for one: WANT ──▶, then as above (raft/pull.h). The core knows
 * nothing of that.
 */
#include "raft/node_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include <assert.h>

#define CHUNK_BYTES (128 * 1024) /* small steps, so that the pace is even */
#define SEND_AHEAD_BYTES (1024 * 1024)
#define UNWRITTEN_MAX (4 * 1024 * 1024)
#define IDLE_LIMIT_MS 30000 /* a stream without progress for so long is given up */

/* ---- out ---- */

struct
    snapshot_out { /* lives until neither the channel nor a job of the peer thread refers to it */
    struct list link;
    struct raft_node *node;
    uint64_t peer, term;
    struct raft_channel *channel;        /* NULL: not open, or closed */
    struct raft_snapshot_reader *reader; /* the peer thread's while a job is out */
    struct raft_snapshot_meta meta;
    bool opened, job_out, ended, ok, over;
    bool wanted; /* the peer asked, not the core */
    uint64_t began_ms, progress_ms, bytes;
    struct peer_job job;
    struct buf chunk;
    int rc;
    bool chunk_is_last;
};

static void out_step(struct snapshot_out *o);

static void out_over(struct snapshot_out *o)
{
    struct raft_node *n = o->node;
    if (!o->over) {
        o->over = true;
        log_info("raft", "snapshot stream ended peer=%llx index=%llu ok=%d bytes=%llu took_ms=%llu",
                 (unsigned long long)o->peer, (unsigned long long)o->meta.index, o->ok,
                 (unsigned long long)o->bytes, (unsigned long long)(node_now_ms(n) - o->began_ms));
        node_metrics_snapshot_ends(&n->peer_metrics, o->peer, true, o->ok,
                                   node_now_ms(n) - o->began_ms);
        if (!n->stopping && !o->wanted) {
            raft_snapshot_sent(n->raft, o->peer, o->meta.index, o->ok);
            node_wake(n);
        }
    }
    if (o->channel) {
        raft_channel_close(o->channel);
        return; /* on_close comes back here */
    }
    if (o->job_out)
        return;
    if (o->reader)
        n->ops->snapshot_close(o->reader);
    list_remove(&o->link);
    buf_free(&o->chunk);
    mem_free(o);
}

static void out_read(struct peer_job *job)
{
    struct snapshot_out *o = container_of(job, struct snapshot_out, job);
    const struct raft_machine_ops *ops = o->node->ops;
    struct error err;
    o->rc = 0;
    if (!o->reader)
        o->rc = ops->snapshot_open(o->node->machine, &o->reader, &o->meta, &err);
    else
        o->rc = ops->snapshot_read(o->reader, &o->chunk, CHUNK_BYTES, &o->chunk_is_last, &err);
    if (o->rc < 0)
        log_error("raft", "cannot read a snapshot peer=%llx reason=\"%s\"",
                  (unsigned long long)o->peer, err.message);
}

static void out_opened(void *ctx)
{
    struct snapshot_out *o = ctx;
    struct raft_message m = {.type = RAFT_MSG_SNAPSHOT,
                             .from = o->node->options.id,
                             .to = o->peer,
                             .term = o->term,
                             .snapshot = &o->meta};
    struct buf b;
    buf_init(&b);
    raft_message_encode(&m, &b);
    raft_channel_send(o->channel, RAFT_FRAME_SNAPSHOT_META, buf_str(&b));
    buf_free(&b);
    o->opened = true;
    o->progress_ms = node_now_ms(o->node);
    out_step(o);
}

static bool out_frame(void *ctx, enum raft_frame_kind kind, struct str body)
{
    struct snapshot_out *o = ctx;
    if (kind != RAFT_FRAME_SNAPSHOT_REPLY || body.n != 1)
        return false;
    o->ok = body.p[0] == 1;
    out_over(o);
    return true;
}

static void out_drained(void *ctx)
{
    out_step(ctx);
}

static void out_closed(void *ctx)
{
    struct snapshot_out *o = ctx;
    o->channel = NULL;
    out_over(o);
}

static const struct raft_channel_events out_events = {out_opened, out_frame, out_drained,
                                                      out_closed};

static void out_job_done(struct peer_job *job)
{
    struct snapshot_out *o = container_of(job, struct snapshot_out, job);
    struct raft_node *n = o->node;
    o->job_out = false;
    if (o->rc < 0 || o->over || n->stopping) {
        out_over(o);
        return;
    }
    if (!o->channel) { /* the snapshot is open: connect */
        o->channel = raft_channel_open(n->transport, o->peer, &out_events, o);
        if (!o->channel)
            out_over(o);
        return;
    }
    if (!o->opened) { /* wanted: the channel was there first */
        out_opened(o);
        return;
    }
    raft_channel_send(o->channel, RAFT_FRAME_SNAPSHOT_CHUNK, buf_str(&o->chunk));
    node_given(n, o->chunk.len);
    o->bytes += o->chunk.len;
    buf_clear(&o->chunk);
    o->progress_ms = node_now_ms(n);
    if (o->chunk_is_last) {
        o->ended = true;
        raft_channel_send(o->channel, RAFT_FRAME_SNAPSHOT_END, STR_NONE);
    }
    out_step(o);
}

static void out_start_job(struct snapshot_out *o)
{
    o->job_out = true;
    o->job.run = out_read;
    o->job.done = out_job_done;
    node_peer_push(o->node, &o->job);
}

/* Read on when little is queued, at the pace that the others can bear. */
static void out_step(struct snapshot_out *o)
{
    if (o->over || !o->opened || o->job_out || o->ended ||
        raft_channel_queued(o->channel) > SEND_AHEAD_BYTES || !node_may_give(o->node))
        return;
    out_start_job(o);
}

void node_go_on_sending(struct raft_node *n)
{
    list_for_each (it, &n->snapshots_out)
        out_step(list_entry(it, struct snapshot_out, link));
}

static struct snapshot_out *out_new(struct raft_node *n, uint64_t peer)
{
    struct snapshot_out *o = mem_zalloc(sizeof *o);
    o->node = n;
    o->peer = peer;
    o->term = raft_term(n->raft);
    o->began_ms = o->progress_ms = node_now_ms(n);
    buf_init(&o->chunk);
    list_push_back(&n->snapshots_out, &o->link);
    node_metrics_snapshot_begins(&n->peer_metrics, peer, true);
    return o;
}

void node_send_snapshot(struct raft_node *n, uint64_t peer)
{
    if (!n->transport) {
        raft_snapshot_sent(n->raft, peer, 0, false);
        return;
    }
    log_info("raft", "peer is too far behind: sending a snapshot peer=%llx",
             (unsigned long long)peer);
    out_start_job(out_new(n, peer));
}

/* ---- in ---- */

struct snapshot_in { /* lives until neither the channel nor a job refers to it */
    struct raft_node *node;
    uint64_t from;
    struct raft_channel *channel;
    struct raft_message message; /* with the metadata */
    bool begun, ended, failed, paused, taken;
    uint64_t unwritten; /* bytes in jobs */
    size_t jobs_out;
    uint64_t began_ms, progress_ms;
    struct raft_snapshot_writer *writer; /* the peer thread's until the last job is back */
};

struct in_job {
    struct peer_job job;
    struct snapshot_in *in;
    enum { IN_BEGIN, IN_WRITE, IN_FINISH } kind;
    struct blob *chunk;
};

static void in_run(struct peer_job *job)
{
    struct in_job *j = container_of(job, struct in_job, job);
    struct snapshot_in *in = j->in;
    const struct raft_machine_ops *ops = in->node->ops;
    struct error err;
    int rc = 0;
    if (in->failed) /* by an earlier job; jobs run in order on one thread */
        return;
    switch (j->kind) {
    case IN_BEGIN:
        rc = ops->snapshot_begin(in->node->machine, in->message.snapshot, &in->writer, &err);
        break;
    case IN_WRITE:
        rc = ops->snapshot_write(in->writer, blob_str(j->chunk), &err);
        break;
    case IN_FINISH:
        rc = ops->snapshot_finish(in->writer, &err);
        break;
    }
    if (rc >= 0)
        return;
    in->failed = true;
    log_error("raft", "cannot receive a snapshot from=%llx reason=\"%s\"",
              (unsigned long long)in->from, err.message);
}

static void in_close(struct snapshot_in *in)
{
    struct raft_node *n = in->node;
    if (in->channel) {
        raft_channel_close(in->channel);
        return; /* in_closed comes back here */
    }
    if (in->jobs_out)
        return;
    if (in->writer)
        n->ops->snapshot_abort(in->writer);
    if (n->snapshot_in == in)
        n->snapshot_in = NULL;
    if (in->begun)
        node_metrics_snapshot_ends(&n->peer_metrics, in->from, false, in->taken,
                                   node_now_ms(n) - in->began_ms);
    raft_message_clear(&in->message);
    mem_free(in);
}

/* Everything is staged: let the core decide. */
static void in_offer(struct snapshot_in *in)
{
    struct raft_node *n = in->node;
    n->staged = in->writer;
    in->writer = NULL;
    uint64_t index = in->message.snapshot->index;
    raft_step(n->raft, &in->message);
    node_pump(n); /* takes it when the core wants it installed */
    in->taken = n->installing || raft_commit_index(n->raft) >= index;
    if (!n->installing) {
        n->ops->snapshot_abort(n->staged);
        n->staged = NULL;
    }
    char reply = in->taken;
    if (in->channel)
        raft_channel_send(in->channel, RAFT_FRAME_SNAPSHOT_REPLY, str_make(&reply, 1));
    in_close(in);
}

static void in_job_done(struct peer_job *job)
{
    struct in_job *j = container_of(job, struct in_job, job);
    struct snapshot_in *in = j->in;
    struct raft_node *n = in->node;
    bool finished = j->kind == IN_FINISH;
    in->jobs_out--;
    if (j->chunk) {
        in->unwritten -= j->chunk->len;
        blob_unref(j->chunk);
    }
    mem_free(j);
    in->progress_ms = node_now_ms(n);
    if (n->stopping || in->failed || !in->channel) {
        in_close(in);
        return;
    }
    if (in->paused && in->unwritten < UNWRITTEN_MAX / 2) {
        in->paused = false;
        raft_channel_resume(in->channel);
    }
    if (finished)
        in_offer(in);
}

static void in_push(struct snapshot_in *in, int kind, struct str chunk)
{
    struct in_job *j = mem_zalloc(sizeof *j);
    j->in = in;
    j->kind = kind;
    j->job.run = in_run;
    j->job.done = in_job_done;
    if (kind == IN_WRITE) {
        j->chunk = blob_from(chunk.p, chunk.n);
        in->unwritten += chunk.n;
    }
    in->jobs_out++;
    node_peer_push(in->node, &j->job);
}

static bool in_meta(struct snapshot_in *in, struct str body)
{
    struct error err;
    if (in->begun || raft_message_decode(body, &in->message, &err) < 0)
        return false;
    const struct raft_message *m = &in->message;
    if (m->type != RAFT_MSG_SNAPSHOT || m->from != in->from)
        return false;
    in->begun = true;
    in->began_ms = node_now_ms(in->node);
    node_metrics_snapshot_begins(&in->node->peer_metrics, in->from, false);
    in_push(in, IN_BEGIN, STR_NONE);
    return true;
}

/* The peer made the channel to receive, not to send. */
static void in_turn_round(struct snapshot_in *in)
{
    struct snapshot_out *o = out_new(in->node, in->from);
    log_info("raft", "a peer asks for a snapshot peer=%llx", (unsigned long long)in->from);
    o->wanted = true;
    o->channel = in->channel;
    raft_channel_attach(o->channel, &out_events, o);
    in->node->snapshot_in = NULL;
    mem_free(in);
    out_start_job(o);
}

static bool in_frame(void *ctx, enum raft_frame_kind kind, struct str body)
{
    struct snapshot_in *in = ctx;
    if (kind == RAFT_FRAME_SNAPSHOT_WANT && !in->begun) {
        in_turn_round(in);
        return true;
    }
    in->progress_ms = node_now_ms(in->node);
    if (kind == RAFT_FRAME_SNAPSHOT_META)
        return in_meta(in, body);
    if (!in->begun || in->ended)
        return false;
    if (kind == RAFT_FRAME_SNAPSHOT_END) {
        in->ended = true;
        in_push(in, IN_FINISH, STR_NONE);
        return true;
    }
    if (kind != RAFT_FRAME_SNAPSHOT_CHUNK)
        return false;
    in_push(in, IN_WRITE, body);
    if (in->unwritten > UNWRITTEN_MAX && !in->paused) {
        in->paused = true;
        raft_channel_pause(in->channel);
    }
    return true;
}

static void in_closed(void *ctx)
{
    struct snapshot_in *in = ctx;
    in->channel = NULL;
    in_close(in);
}

bool node_recv_channel(struct raft_node *n, uint64_t from, struct raft_channel *channel)
{
    static const struct raft_channel_events events = {NULL, in_frame, NULL, in_closed};
    if (n->snapshot_in || n->staged || n->installing)
        return false; /* one at a time; the sender tries again */
    struct snapshot_in *in = mem_zalloc(sizeof *in);
    in->node = n;
    in->from = from;
    in->channel = channel;
    in->progress_ms = node_now_ms(n);
    n->snapshot_in = in;
    raft_channel_attach(channel, &events, in);
    return true;
}

/* ---- installing ---- */

/* The core wants the staged snapshot. All batches handed out before go through the journal first. */
void node_install(struct raft_node *n, const struct raft_ready *ready)
{
    assert(n->staged && !n->installing);
    n->installing = true;
    n->install_meta = *ready->install;
    n->install_hard = ready->install_hard;
    log_info("raft", "installing snapshot index=%llu term=%llu",
             (unsigned long long)n->install_meta.index, (unsigned long long)n->install_meta.term);
    node_journal_push(n, NULL);
}

/* The journal is idle, and stays so: the core holds its batches back. Now behind the applies. */
void node_barrier_passed(struct raft_node *n)
{
    assert(n->installing && n->staged);
    struct apply_job *job = mem_zalloc(sizeof *job);
    job->kind = APPLY_INSTALL;
    job->writer = n->staged;
    job->meta = n->install_meta;
    job->hard = n->install_hard;
    n->staged = NULL;
    node_apply_push(n, job, true);
}

void node_installed(struct raft_node *n)
{
    assert(n->installing);
    raft_applied(n->raft,
                 atomic_load(&n->applied)); /* the last of the old state, if not told yet */
    n->installing = false;
    n->handed_config = n->install_meta.config;
    atomic_store(&n->applied, n->install_meta.index);
    atomic_store(&n->log_base, n->install_meta.index);
    raft_snapshot_installed(n->raft);
    /* Whether what waited for these indexes is in the snapshot, nobody can tell. */
    node_settle_proposals(n, n->install_meta.index, RAFT_UNKNOWN);
    node_wake(n);
}

void node_expire_snapshots(struct raft_node *n)
{
    uint64_t now = node_now_ms(n);
    for (struct list *it = n->snapshots_out.next, *next; it != &n->snapshots_out; it = next) {
        next = it->next;
        struct snapshot_out *o = list_entry(it, struct snapshot_out, link);
        if (!o->over && now - o->progress_ms > IDLE_LIMIT_MS)
            out_over(o);
    }
    struct snapshot_in *in = n->snapshot_in;
    if (in && in->channel && now - in->progress_ms > IDLE_LIMIT_MS)
        in_close(in);
}
