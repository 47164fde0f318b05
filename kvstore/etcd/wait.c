/*
 * Common parts of the Lock and Election services. See wait.h.
 */
#include "kvstore/etcd/wait.h"
#include "base/mem.h"

#include <inttypes.h>

#define SESSION_TTL_S 60

struct str etcd_prefix(struct arena *a, ProtobufCBinaryData name)
{
    char *p = arena_alloc(a, name.len + 1);
    if (name.len)
        memcpy(p, name.data, name.len);
    p[name.len] = '/';
    return str_make(p, name.len + 1);
}

struct str etcd_lease_key(struct arena *a, struct str prefix, int64_t lease)
{
    char hex[24];
    int n = lease < 0 ? snprintf(hex, sizeof hex, "-%" PRIx64, 0 - (uint64_t)lease)
                      : snprintf(hex, sizeof hex, "%" PRIx64, (uint64_t)lease);
    char *p = arena_alloc(a, prefix.n + (size_t)n);
    memcpy(p, prefix.p, prefix.n);
    memcpy(p + prefix.n, hex, (size_t)n);
    return str_make(p, prefix.n + (size_t)n);
}

struct kv_range_request etcd_first_created(struct arena *a, struct str prefix)
{
    return (struct kv_range_request){.key = prefix,
                                     .end = kv_prefix_end(a, prefix),
                                     .limit = 1,
                                     .sort_target = KV_SORT_CREATE,
                                     .sort_order = KV_SORT_ASCEND};
}

struct kv_range_request etcd_last_created(struct arena *a, struct str prefix, int64_t max_rev)
{
    struct kv_range_request q = etcd_first_created(a, prefix);
    q.sort_order = KV_SORT_DESCEND;
    q.max_create_rev = max_rev;
    return q;
}

void etcd_guarded_txn(struct kv *kv, const struct etcd_guarded *g, struct loop *loop, kv_txn_fn *cb,
                      void *ctx)
{
    struct kv_compare is = {
        .target = KV_COMPARE_CREATE, .result = KV_EQUAL, .key = g->key, .number = g->rev};
    struct kv_txn_request t = {.compares = &is,
                               .compares_len = 1,
                               .then = g->then,
                               .then_len = g->then_len,
                               .otherwise = g->otherwise,
                               .otherwise_len = g->otherwise_len};
    kv_txn(kv, &t, loop, cb, ctx);
}

static void deleted_quietly(void *ctx, struct kv_txn_result *result)
{
    (void)ctx;
    kv_txn_result_free(result);
}

void etcd_delete_quietly(struct kv *kv, struct str key)
{
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = key}};
    kv_txn(kv, &(struct kv_txn_request){.then = &op, .then_len = 1}, NULL, deleted_quietly, NULL);
}

struct given_lease {
    struct loop_task task;
    struct kv_lease_result result;
    kv_lease_fn *cb;
    void *ctx;
};

static void lease_given(struct loop_task *task)
{
    struct given_lease *g = container_of(task, struct given_lease, task);
    g->cb(g->ctx, &g->result);
    mem_free(g);
}

void etcd_session_lease(struct kv *kv, int64_t lease, struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    if (!lease) {
        kv_lease_grant(kv, 0, SESSION_TTL_S, loop, cb, ctx);
        return;
    }
    struct given_lease *g = mem_zalloc(sizeof *g);
    *g = (struct given_lease){{lease_given, NULL}, {.id = lease}, cb, ctx};
    loop_post(loop, &g->task);
}

void etcd_fail_inner(struct grpc_call *call, int code)
{
    int status;
    const char *message = etcd_error_message(code, &status);
    grpc_finish(call, GRPC_UNKNOWN, message);
}

/* --------------------------------------------------------------------- waiting --- */

struct etcd_wait {
    struct etcd_server *server;
    struct loop *loop;
    struct arena arena; /* prefix */
    struct str prefix;
    int64_t max_rev;
    etcd_wait_fn *done;
    void *ctx;
    struct kv_watch *watch;
    bool reading; /* a callback of the store's is still to come */
    bool cancelled;
};

static void wait_free(struct etcd_wait *w)
{
    if (w->watch)
        kv_watch_close(w->watch);
    arena_free(&w->arena);
    mem_free(w);
}

static void wait_end(struct etcd_wait *w, int code)
{
    etcd_wait_fn *done = w->done;
    void *ctx = w->ctx;
    wait_free(w);
    done(ctx, code);
}

static void look(struct etcd_wait *w);

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct etcd_wait *w = ctx;
    for (size_t i = 0; i < batch->events_len; i++)
        if (batch->events[i]->type == KV_EVENT_DELETE) {
            kv_watch_close(watch);
            w->watch = NULL;
            look(w);
            return;
        }
}

static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct etcd_wait *w = ctx;
    (void)watch, (void)compact_rev;
    wait_end(w, code);
}

static void known(void *ctx, int code, int64_t rev)
{
    static const struct kv_watch_callbacks callbacks = {.events = on_events, .closed = on_closed};
    struct etcd_wait *w = ctx;
    struct kv *kv = w->server->kv;
    struct kv_range_result r;
    struct arena a;
    (void)rev;
    w->reading = false;
    if (w->cancelled) {
        wait_free(w);
        return;
    }
    arena_init(&a);
    struct kv_range_request q = etcd_last_created(&a, w->prefix, w->max_rev);
    if (code == 0)
        code = kv_range(kv, &q, &a, &r, NULL);
    if (code < 0 || r.pairs_len == 0) {
        arena_free(&a);
        wait_end(w, code);
        return;
    }
    struct kv_watch_request from = {.key = r.pairs[0].key, .start_rev = r.rev + 1, .no_put = true};
    w->watch = kv_watch(kv, &from, w->loop, &callbacks, w, NULL);
    arena_free(&a);
}

static void look(struct etcd_wait *w)
{
    w->reading = true;
    kv_read_index(w->server->kv, w->loop, known, w);
}

struct etcd_wait *etcd_wait_start(struct etcd_server *s, struct loop *loop, struct str prefix,
                                  int64_t max_rev, etcd_wait_fn *done, void *ctx)
{
    struct etcd_wait *w = mem_zalloc(sizeof *w);
    w->server = s;
    w->loop = loop;
    arena_init(&w->arena);
    w->prefix = str_make(arena_dup(&w->arena, prefix.p, prefix.n), prefix.n);
    w->max_rev = max_rev;
    w->done = done;
    w->ctx = ctx;
    look(w);
    return w;
}

void etcd_wait_cancel(struct etcd_wait *w)
{
    w->cancelled = true;
    if (!w->reading)
        wait_free(w);
}
