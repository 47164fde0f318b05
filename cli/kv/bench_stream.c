/*
 * `c8s kv bench watch` and `lease`: what lives on streams.
 *
 * watch: the watches are dealt over one stream per connection; once all are there, clients put keys under
 * the prefix. A value begins with the time at which it was sent, so latency runs from sending a put to a
 * watcher's receiving its event.
 *
 * lease: each connection has a stream of keep-alives, `clients` of them under way over all; the server
 * answers a stream in its order.
 */
#include "cli/kv/bench.h"
#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STAMP 16      /* hexadecimal digits of the time in front of a value */
#define QUIET_MS 5000 /* no event for so long: the rest is lost */
#define LEASE_TTL_S 600

/* ---- watch ---- */

struct watch_run {
    struct bench *bench;
    int64_t created, received;
    struct bench_client *clients;
    int64_t seen_at_check;
    struct loop_timer check;
    bool puts_done;
};

static void put_next(struct bench_client *c);

static struct watch_run *run_of(struct bench *b)
{
    return b->stream_run;
}

static void finish_if_complete(struct watch_run *w)
{
    struct bench *b = w->bench;
    if (w->puts_done && w->received >= (b->answered - b->errors) * b->watchers)
        bench_over(b);
}

static void on_check(struct loop_timer *timer)
{
    struct watch_run *w = container_of(timer, struct watch_run, check);
    struct bench *b = w->bench;
    if (w->received == w->seen_at_check && (w->puts_done || w->created < b->watchers)) {
        b->errors++;
        snprintf(b->first_error, sizeof b->first_error,
                 "%" PRId64 " of %" PRId64 " watches, %" PRId64 " of %" PRId64 " events came",
                 w->created, b->watchers, w->received, b->answered * b->watchers);
        bench_over(b);
        return;
    }
    w->seen_at_check = w->received;
    loop_timer_start(&w->check, QUIET_MS);
}

static void on_put_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct bench_client *c = ctx;
    struct bench *b = c->bench;
    struct watch_run *w = run_of(b);
    vec_push(&b->put_ns, clock_mono_ns() - c->start_ns);
    b->answered++;
    if (result->status != GRPC_OK && b->errors++ == 0)
        snprintf(b->first_error, sizeof b->first_error, "%s: %s", grpc_status_name(result->status),
                 result->message);
    put_next(c);
    w->puts_done = b->answered == b->sent;
    finish_if_complete(w);
}

static void ignore_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                           struct str raw)
{
    (void)call, (void)ctx, (void)m, (void)raw;
}

static void put_next(struct bench_client *c)
{
    static const struct grpc_client_events events = {.on_message = ignore_message,
                                                     .on_done = on_put_done};
    struct bench *b = c->bench;
    char stamp[STAMP + 1];
    if (!bench_take(b))
        return;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bench_key(b);
    c->start_ns = clock_mono_ns();
    snprintf(stamp, sizeof stamp, "%016" PRIx64, c->start_ns);
    memcpy(b->value, stamp, STAMP);
    put.value = (ProtobufCBinaryData){MAX((size_t)b->val_size, (size_t)STAMP), b->value};
    grpc_open_unary(c->channel, "/etcdserverpb.KV/Put", &put.base, NULL, 0, &events, c);
}

static void start_puts(struct watch_run *w)
{
    struct bench *b = w->bench;
    int64_t clients = MIN(b->clients, b->total);
    b->start_ns = clock_mono_ns();
    b->until_ns = b->duration_ns ? b->start_ns + (uint64_t)b->duration_ns : 0;
    w->clients = arena_array(&b->cli.arena, struct bench_client, clients);
    for (int64_t i = 0; i < clients; i++) {
        w->clients[i].bench = b;
        w->clients[i].channel = b->channels[(size_t)i % b->channels_len];
        put_next(&w->clients[i]);
    }
}

static void on_event(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                     struct str raw)
{
    (void)call, (void)raw;
    struct watch_run *w = ctx;
    struct bench *b = w->bench;
    const Etcdserverpb__WatchResponse *r = (const void *)m;
    if (r->created && ++w->created == b->watchers)
        start_puts(w);
    uint64_t now = clock_mono_ns();
    for (size_t i = 0; i < r->n_events; i++) {
        const Mvccpb__KeyValue *kv = r->events[i]->kv;
        char stamp[STAMP + 1] = "";
        if (!kv || kv->value.len < STAMP)
            continue;
        memcpy(stamp, kv->value.data, STAMP);
        uint64_t sent = strtoull(stamp, NULL, 16);
        vec_push(&b->latency_ns, now > sent ? now - sent : 0);
        w->received++;
    }
    finish_if_complete(w);
}

static void on_stream_done(struct grpc_client_call *call, void *ctx,
                           const struct grpc_result *result)
{
    (void)call;
    struct bench *b = *(struct bench **)ctx;
    if (b->over)
        return;
    b->errors++;
    snprintf(b->first_error, sizeof b->first_error, "stream: %s: %s",
             grpc_status_name(result->status), result->message);
    bench_over(b);
}

void bench_watch_begin(struct bench *b)
{
    static const struct grpc_client_events events = {.on_message = on_event,
                                                     .on_done = on_stream_done};
    struct watch_run *w = arena_new(&b->cli.arena, struct watch_run);
    w->bench = b;
    b->stream_run = w;
    loop_timer_init(b->cli.loop, &w->check, on_check);
    loop_timer_start(&w->check, QUIET_MS);
    int64_t streams = MIN(b->connections, b->watchers);
    struct grpc_client_call **calls =
        arena_array(&b->cli.arena, struct grpc_client_call *, streams);
    for (int64_t i = 0; i < streams; i++)
        calls[i] = grpc_open(b->channels[(size_t)i % b->channels_len], "/etcdserverpb.Watch/Watch",
                             &etcdserverpb__watch_response__descriptor, 0, &events, w);
    for (int64_t i = 0; i < b->watchers; i++) {
        Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
        Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
        char end[128];
        size_t n = strlen(b->prefix);
        create.key = n ? kv_bytes(b->prefix) : (ProtobufCBinaryData){1, (uint8_t *)"\0"};
        create.range_end = create.key;
        if (n) { /* prefixes are text: the last byte can be raised */
            memcpy(end, b->prefix, n);
            end[n - 1]++;
            create.range_end = (ProtobufCBinaryData){n, (uint8_t *)end};
        }
        q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        q.create_request = &create;
        grpc_client_send(calls[i % streams], &q.base);
    }
}

/* ---- keep-alives ---- */

struct keep_stream {
    struct bench *bench; /* first: on_stream_done */
    struct grpc_client_call *call;
    VEC(uint64_t) started; /* of the requests under way, in order */
    size_t head;
};

static int64_t lease_id(const struct bench *b, int64_t i)
{
    return (int64_t)(0x4c8500000000ull + ((uint64_t)b->seed << 20)) + i % b->leases;
}

static void keep_next(struct keep_stream *s)
{
    struct bench *b = s->bench;
    if (!bench_take(b))
        return;
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    q.id = lease_id(b, b->sent);
    vec_push(&s->started, clock_mono_ns());
    grpc_client_send(s->call, &q.base);
}

static void on_kept(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                    struct str raw)
{
    (void)call, (void)raw;
    struct keep_stream *s = ctx;
    struct bench *b = s->bench;
    const Etcdserverpb__LeaseKeepAliveResponse *r = (const void *)m;
    struct grpc_result result = {r->ttl > 0 ? GRPC_OK : GRPC_NOT_FOUND, "lease not found"};
    if (s->head == s->started.len)
        return;
    bench_answered(b, s->started.items[s->head++], &result);
    if (s->head == s->started.len) {
        vec_clear(&s->started);
        s->head = 0;
    }
    keep_next(s);
    if (b->answered == b->sent)
        bench_over(b);
}

void bench_lease_begin(struct bench *b)
{
    static const struct grpc_client_events events = {.on_message = on_kept,
                                                     .on_done = on_stream_done};
    int64_t streams = MIN(b->connections, b->clients);
    struct keep_stream *list = arena_array(&b->cli.arena, struct keep_stream, streams);
    b->stream_run = list;
    b->streams_len = (size_t)streams;
    for (int64_t i = 0; i < streams; i++) {
        list[i].bench = b;
        list[i].call = grpc_open(
            b->channels[(size_t)i % b->channels_len], "/etcdserverpb.Lease/LeaseKeepAlive",
            &etcdserverpb__lease_keep_alive_response__descriptor, 0, &events, &list[i]);
    }
    for (int64_t i = 0; i < MIN(b->clients, b->total); i++)
        keep_next(&list[i % streams]);
}

int bench_leases_grant(struct bench *b)
{
    for (int64_t i = 0; i < b->leases; i++) {
        Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
        void *response;
        q.id = lease_id(b, i);
        q.ttl = LEASE_TTL_S;
        int rc = kv_call(&b->cli, b->cli.channel, "/etcdserverpb.Lease/LeaseGrant", &q,
                         &etcdserverpb__lease_grant_response__descriptor, &response);
        if (rc)
            return rc;
    }
    return 0;
}

void bench_leases_revoke(struct bench *b)
{
    struct keep_stream *list = b->stream_run;
    for (size_t i = 0; i < b->streams_len; i++)
        vec_free(&list[i].started);
    for (int64_t i = 0; i < b->leases; i++) {
        Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        void *response;
        q.id = lease_id(b, i);
        if (kv_call(&b->cli, b->cli.channel, "/etcdserverpb.Lease/LeaseRevoke", &q,
                    &etcdserverpb__lease_revoke_response__descriptor, &response))
            return; /* said so already */
    }
}
