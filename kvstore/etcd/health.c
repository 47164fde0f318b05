/*
 * The gRPC health service (grpc.health.v1) as etcd registers it: one service, "", which stands for all.
 * SERVING until a disk write fails.
 */
#include "kvstore/etcd/internal.h"
#include "proto/etcd/health.pb-c.h"

#define POLL_MS 1000

typedef Grpc__Health__V1__HealthCheckRequest check_request;
typedef Grpc__Health__V1__HealthCheckResponse check_response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;

#define SERVING(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

static serving_status status_of(struct etcd_server *s, const char *service)
{
    struct kv_status st;
    if (*service)
        return SERVING(SERVICE_UNKNOWN);
    kv_status(s->kv, &st);
    return st.failed ? SERVING(NOT_SERVING) : SERVING(SERVING);
}

static void on_check(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                     struct str raw)
{
    (void)raw;
    check_response r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    r.status = status_of(ctx, ((const check_request *)(const void *)message)->service);
    if (r.status == SERVING(SERVICE_UNKNOWN))
        grpc_finish(call, GRPC_NOT_FOUND, "unknown service");
    else
        grpc_reply(call, &r.base);
}

struct health_watch {
    struct etcd_server *server;
    struct grpc_call *call;
    const char *service; /* NULL: not asked for yet */
    serving_status last;
    struct loop_timer poll;
};

static void poll(struct loop_timer *timer)
{
    struct health_watch *w = container_of(timer, struct health_watch, poll);
    check_response r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    r.status = status_of(w->server, w->service);
    if (r.status != w->last)
        grpc_send(w->call, &r.base);
    w->last = r.status;
    loop_timer_start(timer, POLL_MS);
}

static void watch_open(struct grpc_call *call, void *ctx)
{
    struct health_watch *w = arena_new(grpc_arena(call), struct health_watch);
    w->server = ctx;
    w->call = call;
    w->last = SERVING(UNKNOWN);
    loop_timer_init(etcd_loop(call), &w->poll, poll);
    grpc_set_user(call, w);
}

static void watch_message(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                          struct str raw)
{
    (void)ctx, (void)raw;
    struct health_watch *w = grpc_user(call);
    if (w->service)
        return;
    w->service =
        arena_strdup(grpc_arena(call), ((const check_request *)(const void *)message)->service);
    poll(&w->poll);
}

static void watch_finish(struct health_watch *w, int status, const char *message)
{
    loop_timer_stop(&w->poll);
    grpc_finish(w->call, status, message);
}

static void watch_half_closed(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct health_watch *w = grpc_user(call);
    if (!w->service)
        watch_finish(w, GRPC_INTERNAL, "grpc: a unary call without a message");
}

static void watch_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    watch_finish(grpc_user(call), GRPC_CANCELLED, "Stream has ended.");
}

const struct grpc_method etcd_health_methods[] = {
    {.path = "/grpc.health.v1.Health/Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .on_message = on_check},
    {.path = "/grpc.health.v1.Health/Watch",
     .client_streaming = true, /* never ends by itself: see grpc_server_end_streams */
     .request = &grpc__health__v1__health_check_request__descriptor,
     .on_open = watch_open,
     .on_message = watch_message,
     .on_end = watch_half_closed,
     .on_cancel = watch_cancel},
};
const size_t etcd_health_methods_len = ARRAY_LEN(etcd_health_methods);
