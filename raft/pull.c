/*
 * Fetching a snapshot from a peer (raft/pull.h): a loop of its own, a transport that accepts nobody, one
 * channel. What the stream brings is written on the loop's thread: nothing else happens there.
 */
#include "raft/pull.h"
#include "raft/transport.h"

#include "base/mem.h"
#include <pthread.h>

struct pull {
    const struct raft_pull_options *o;
    struct loop *loop;
    struct raft_transport *transport;
    struct raft_channel *channel;
    struct raft_message message; /* with the metadata */
    struct raft_snapshot_writer *writer;
    struct loop_timer idle;
    struct error err;
    int code; /* ≠ 0: failed, and why */
    bool begun, finished, ending;
    struct loop_task close;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool closed;
};

static void transport_closed(void *ctx)
{
    struct pull *p = ctx;
    pthread_mutex_lock(&p->mutex);
    p->closed = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->mutex);
}

static void close_transport(struct loop_task *task)
{
    struct pull *p = container_of(task, struct pull, close);
    raft_transport_close(p->transport, transport_closed, p);
}

/* Closes later: we may be inside one of the transport's calls. */
static void end(struct pull *p, int code, const char *why)
{
    if (p->ending)
        return;
    p->ending = true;
    if (code < 0)
        p->code = error_set(&p->err, code, "%s: %s", p->o->address, why);
    loop_timer_stop(&p->idle);
    p->close.fn = close_transport;
    loop_post(p->loop, &p->close);
}

static void on_open(void *ctx)
{
    struct pull *p = ctx;
    raft_channel_send(p->channel, RAFT_FRAME_SNAPSHOT_WANT, STR_NONE);
}

static bool take_meta(struct pull *p, struct str body)
{
    const struct raft_pull_options *o = p->o;
    struct error err;
    if (p->begun || raft_message_decode(body, &p->message, &err) < 0 ||
        p->message.type != RAFT_MSG_SNAPSHOT || !p->message.snapshot) {
        end(p, ERR_CORRUPT, "it sent no proper snapshot");
        return false;
    }
    p->begun = true;
    if (p->message.snapshot->index < o->index_min) {
        end(p, ERR_UNAVAILABLE, "its state is older than what this member's log begins with");
        return false;
    }
    if (o->ops->snapshot_begin(o->machine, p->message.snapshot, &p->writer, &err) < 0) {
        end(p, err.code, err.message);
        return false;
    }
    return true;
}

static bool on_frame(void *ctx, enum raft_frame_kind kind, struct str body)
{
    struct pull *p = ctx;
    struct error err;
    int rc = 0;
    if (p->ending)
        return false;
    loop_timer_start(&p->idle, p->o->idle_ms);
    if (kind == RAFT_FRAME_SNAPSHOT_META)
        return take_meta(p, body);
    if (!p->begun || (kind != RAFT_FRAME_SNAPSHOT_CHUNK && kind != RAFT_FRAME_SNAPSHOT_END)) {
        end(p, ERR_CORRUPT, "it sent something else than a snapshot");
        return false;
    }
    if (kind == RAFT_FRAME_SNAPSHOT_CHUNK) {
        rc = p->o->ops->snapshot_write(p->writer, body, &err);
    } else {
        rc = p->o->ops->snapshot_finish(p->writer, &err);
        p->finished = rc >= 0;
    }
    if (rc < 0) {
        end(p, err.code, err.message);
    } else if (p->finished) {
        raft_channel_send(p->channel, RAFT_FRAME_SNAPSHOT_REPLY, STR("\1"));
        end(p, 0, NULL);
    }
    return rc >= 0;
}

static void on_close(void *ctx)
{
    struct pull *p = ctx;
    p->channel = NULL;
    end(p, ERR_UNAVAILABLE, p->begun ? "the stream broke off" : "it gives no snapshot now");
}

static void idle(struct loop_timer *timer)
{
    end(container_of(timer, struct pull, idle), ERR_TIMEOUT, "nothing came for too long");
}

/* ---- the transport's other business ---- */

static bool ignore_frame(void *ctx, uint64_t from, enum raft_frame_kind kind, struct str body)
{
    (void)ctx, (void)from, (void)kind, (void)body;
    return true;
}

static void ignore_unreachable(void *ctx, uint64_t peer)
{
    (void)ctx, (void)peer;
}

static bool refuse_channel(void *ctx, uint64_t from, struct raft_channel *channel)
{
    (void)ctx, (void)from, (void)channel;
    return false;
}

static void start(void *arg)
{
    static const struct raft_transport_events transport_events = {ignore_frame, ignore_unreachable,
                                                                  refuse_channel};
    static const struct raft_channel_events channel_events = {on_open, on_frame, NULL, on_close};
    struct pull *p = arg;
    const struct raft_pull_options *o = p->o;
    struct raft_transport_options t = {.id = o->id,
                                       .cluster_id = o->cluster_id,
                                       .level = o->level,
                                       .tls_client = o->tls,
                                       .events = &transport_events,
                                       .ctx = p};
    p->transport = raft_transport_new(p->loop, &t, &p->err);
    if (!p->transport) {
        p->code = p->err.code;
        transport_closed(p);
        return;
    }
    loop_timer_init(p->loop, &p->idle, idle);
    loop_timer_start(&p->idle, o->idle_ms);
    raft_transport_set_peer(p->transport, o->peer, o->address);
    p->channel = raft_channel_open(p->transport, o->peer, &channel_events, p);
    if (!p->channel)
        end(p, ERR_INVALID, "is this member itself");
}

int raft_pull_snapshot(const struct raft_pull_options *o, struct raft_snapshot_writer **out,
                       struct raft_snapshot_meta *meta, struct error *err)
{
    struct pull p = {.o = o};
    pthread_mutex_init(&p.mutex, NULL);
    pthread_cond_init(&p.changed, NULL);
    p.loop = loop_start("pull");
    loop_call(p.loop, start, &p);
    pthread_mutex_lock(&p.mutex);
    while (!p.closed)
        pthread_cond_wait(&p.changed, &p.mutex);
    pthread_mutex_unlock(&p.mutex);
    loop_join(p.loop);
    pthread_mutex_destroy(&p.mutex);
    pthread_cond_destroy(&p.changed);
    *out = NULL;
    if (p.code == 0 && p.finished) {
        *meta = *p.message.snapshot;
        *out = p.writer;
    } else if (p.writer) {
        o->ops->snapshot_abort(p.writer);
    }
    raft_message_clear(&p.message);
    return *out ? 0 : error_set(err, p.code, "%s", p.err.message);
}
