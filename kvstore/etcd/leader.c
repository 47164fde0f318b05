/*
 * Clients that want a leader: those who send the metadata `hasleader: true`, as etcd's clients do with
 * WithRequireLeader.
 *
 * Their calls are refused while no leader is known here. Their streams are cancelled once none has been known for three
 * election timeouts, so that a watch on a member that is cut off ends and its client goes to another one.
 */
#include "kvstore/etcd/internal.h"
#include "base/mem.h"

#define NO_LEADER_ELECTIONS 3

static bool wants_leader(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    return str_eqz(grpc_metadata(call, "hasleader"), "true");
}

/* A stream that its method may end at any time; what waits for a lock is no such. */
static bool stream_wants_leader(struct grpc_call *call, void *ctx)
{
    return grpc_call_method(call)->client_streaming && wants_leader(call, ctx);
}

bool etcd_leader_missed(struct grpc_call *call, struct etcd_server *s)
{
    struct kv_status st;
    if (!wants_leader(call, s))
        return false;
    kv_status(s->kv, &st);
    return st.leader_id == 0;
}

struct cancel_task {
    struct loop_task task;
    struct etcd_server *server;
    struct loop *loop;
};

static void cancel_streams(struct loop_task *task)
{
    struct cancel_task *t = container_of(task, struct cancel_task, task);
    int status;
    const char *message = etcd_error_message(ERR_UNAVAILABLE, &status);
    grpc_server_cancel(t->server->grpc, t->loop, stream_wants_leader, status, message);
    mem_free(t);
}

void etcd_leader_watch(struct etcd_server *s, bool leader, uint64_t now_ms)
{
    if (leader || !s->leader_seen_ms) {
        s->leader_seen_ms = now_ms;
        s->leader_lost = false;
        return;
    }
    uint64_t patience = (uint64_t)NO_LEADER_ELECTIONS * s->config.election_ms;
    if (s->leader_lost || now_ms - s->leader_seen_ms < patience)
        return;
    s->leader_lost = true;
    for (size_t i = 0; i < s->config.loops_len; i++) {
        struct cancel_task *t = mem_alloc(sizeof *t);
        *t = (struct cancel_task){{.fn = cancel_streams}, s, s->config.loops[i]};
        loop_post(t->loop, &t->task);
    }
}
