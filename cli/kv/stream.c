/*
 * Streams that the main thread reads: the loop's thread queues what arrives, kv_stream_next waits for it.
 * So a verb that lives on a stream is a plain loop, and what it does with a message (run a command, write to
 * another cluster) holds nobody up.
 */
#include "cli/kv/kv.h"
#include "base/clock.h"
#include "base/vec.h"
#include "net/loop.h"
#include "net/protobuf.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct kv_stream {
    struct kv_cli *cli;
    struct grpc_channel *channel;
    const char *path;
    const ProtobufCMessageDescriptor *response;
    struct grpc_client_call *call; /* loop thread; NULL when it has ended */
    const void *sending;           /* during kv_stream_send */
    /* under cli->lock */
    VEC(struct str) queue; /* packed messages, own memory */
    size_t taken;          /* of the queue */
    bool ended;
    int status;
    char text[512];
};

static void on_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                       struct str raw)
{
    (void)call, (void)m;
    struct kv_stream *s = ctx;
    char *copy = mem_strndup(raw.p ? raw.p : "", raw.n);
    uv_mutex_lock(&s->cli->lock);
    vec_push(&s->queue, str_make(copy, raw.n));
    uv_cond_broadcast(&s->cli->wake);
    uv_mutex_unlock(&s->cli->lock);
}

static void on_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct kv_stream *s = ctx;
    struct kv_cli *c = s->cli;
    s->call = NULL;
    uv_mutex_lock(&c->lock);
    s->ended = true;
    s->status = result->status;
    struct arena a;
    arena_init(&a);
    snprintf(s->text, sizeof s->text, "%s", kv_status_text(&a, result->status, result->message));
    arena_free(&a);
    uv_cond_broadcast(&c->wake);
    uv_mutex_unlock(&c->lock);
}

static void open_on_loop(void *arg)
{
    static const struct grpc_client_events events = {.on_message = on_message, .on_done = on_done};
    struct kv_stream *s = arg;
    s->call = grpc_open(s->channel, s->path, NULL, 0, &events, s);
}

struct kv_stream *kv_stream_open(struct kv_cli *c, struct grpc_channel *channel, const char *path,
                                 const ProtobufCMessageDescriptor *response)
{
    struct kv_stream *s = mem_zalloc(sizeof *s);
    s->cli = c;
    s->channel = channel;
    s->path = path;
    s->response = response;
    loop_call(c->loop, open_on_loop, s);
    return s;
}

static void send_on_loop(void *arg)
{
    struct kv_stream *s = arg;
    if (s->call)
        grpc_client_send(s->call, s->sending);
}

void kv_stream_send(struct kv_stream *s, const void *message)
{
    s->sending = message;
    loop_call(s->cli->loop, send_on_loop, s);
}

static void half_close_on_loop(void *arg)
{
    struct kv_stream *s = arg;
    if (s->call)
        grpc_client_end(s->call);
}

void kv_stream_half_close(struct kv_stream *s)
{
    loop_call(s->cli->loop, half_close_on_loop, s);
}

/* The next packed message, whose memory is the caller's then. */
static enum kv_next take(struct kv_stream *s, uint64_t timeout_ms, struct str *out)
{
    struct kv_cli *c = s->cli;
    enum kv_next next = KV_MESSAGE;
    uint64_t until = clock_mono_ns() + timeout_ms * NS_PER_MS;
    uv_mutex_lock(&c->lock);
    while (s->taken == s->queue.len && !s->ended && !c->stopped && next == KV_MESSAGE) {
        uint64_t now = clock_mono_ns();
        if (!timeout_ms)
            uv_cond_wait(&c->wake, &c->lock);
        else if (now >= until)
            next = KV_LATE;
        else
            uv_cond_timedwait(&c->wake, &c->lock, until - now);
    }
    if (c->stopped)
        next = KV_STOPPED;
    else if (s->taken < s->queue.len)
        *out = s->queue.items[s->taken++];
    else if (s->ended)
        next = KV_ENDED;
    if (s->taken == s->queue.len)
        s->taken = s->queue.len = 0;
    uv_mutex_unlock(&c->lock);
    return next;
}

enum kv_next kv_stream_next(struct kv_stream *s, uint64_t timeout_ms, struct arena *a, void *out)
{
    struct str raw;
    struct error err = {0};
    enum kv_next next = take(s, timeout_ms, &raw);
    if (next != KV_MESSAGE)
        return next;
    const ProtobufCMessage *message = pb_unpack(a, s->response, raw, &err);
    mem_free((char *)raw.p);
    if (!message) {
        s->status = GRPC_INTERNAL;
        snprintf(s->text, sizeof s->text, "%s", err.message);
        return KV_ENDED;
    }
    *(const ProtobufCMessage **)out = message;
    return KV_MESSAGE;
}

int kv_stream_status(const struct kv_stream *s, const char **text)
{
    *text = s->text;
    return s->status;
}

static void cancel_on_loop(void *arg)
{
    struct kv_stream *s = arg;
    if (s->call)
        grpc_client_cancel(s->call);
}

void kv_stream_close(struct kv_stream *s)
{
    struct kv_cli *c = s->cli;
    loop_call(c->loop, cancel_on_loop, s);
    uv_mutex_lock(&c->lock);
    while (!s->ended)
        uv_cond_wait(&c->wake, &c->lock);
    uv_mutex_unlock(&c->lock);
    for (size_t i = s->taken; i < s->queue.len; i++)
        mem_free((char *)s->queue.items[i].p);
    vec_free(&s->queue);
    mem_free(s);
}

/* ------------------------------------------------------------------- interruption --- */

void kv_stop(struct kv_cli *c, const char *why)
{
    uv_mutex_lock(&c->lock);
    if (!c->stopped)
        c->stopped = why;
    uv_cond_broadcast(&c->wake);
    uv_mutex_unlock(&c->lock);
}

static void *wait_for_signal(void *arg)
{
    sigset_t set;
    int signal_number;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigwait(&set, &signal_number) == 0)
        kv_stop(arg, "signal");
    return NULL;
}

void kv_catch_signals(struct kv_cli *c)
{
    pthread_t thread;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    /* It ends with the process, which lives longer than `c` in no case. */
    if (pthread_create(&thread, NULL, wait_for_signal, c) == 0)
        pthread_detach(thread);
}

/* --------------------------------------------------------------------- keep-alive --- */

/* What an answer says: how long to wait until the next request. 0: the lease is gone. */
static uint64_t interval_ms(const Etcdserverpb__LeaseKeepAliveResponse *r)
{
    return r->ttl <= 0 ? 0 : MAX((uint64_t)r->ttl * 1000 / 3, 500);
}

/* Wait between two requests; the stream may end meanwhile. */
static enum kv_next pause_for(struct kv_stream *s, uint64_t ms, struct arena *a)
{
    void *ignored;
    enum kv_next next = kv_stream_next(s, ms, a, &ignored);
    return next == KV_MESSAGE ? KV_LATE : next;
}

#define REOPEN_MS 200

enum kv_next kv_keep_alive(struct kv_cli *c, int64_t id, bool once, kv_keep_alive_answer *on_answer,
                           char text[256])
{
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    struct arena a;
    struct kv_stream *s = NULL;
    uint64_t alive_until = clock_mono_ns() + (uint64_t)c->command_timeout_ms * NS_PER_MS;
    enum kv_next end = KV_MESSAGE;
    arena_init(&a);
    q.id = id;
    text[0] = '\0';
    while (end == KV_MESSAGE) {
        Etcdserverpb__LeaseKeepAliveResponse *r;
        if (!s)
            s = kv_stream_open(c, c->channel, "/etcdserverpb.Lease/LeaseKeepAlive",
                               &etcdserverpb__lease_keep_alive_response__descriptor);
        kv_stream_send(s, &q);
        enum kv_next next = kv_stream_next(s, (uint64_t)c->command_timeout_ms, &a, &r);
        if (next == KV_MESSAGE) {
            uint64_t wait_ms = interval_ms(r);
            alive_until = clock_mono_ns() + (uint64_t)MAX(r->ttl, 0) * NS_PER_S;
            if (wait_ms && on_answer)
                on_answer(c, r);
            if (!wait_ms || once)
                end = KV_ENDED;
            if (!wait_ms)
                snprintf(text, 256, "etcdserver: requested lease not found");
            next = end == KV_MESSAGE ? pause_for(s, wait_ms, &a) : next;
        }
        if (next == KV_STOPPED)
            end = KV_STOPPED;
        if (next == KV_ENDED) { /* another try, while the lease may be there */
            const char *why;
            bool again = kv_stream_status(s, &why) == GRPC_UNAVAILABLE || !*why;
            if (!again || clock_mono_ns() >= alive_until) {
                snprintf(text, 256, "%s", why);
                end = KV_LATE;
            } else {
                kv_stream_close(s);
                s = NULL;
                uv_sleep(REOPEN_MS);
            }
        } else if (next == KV_LATE && clock_mono_ns() >= alive_until && end == KV_MESSAGE) {
            snprintf(text, 256, "context deadline exceeded");
            end = KV_LATE;
        }
        arena_reset(&a);
    }
    if (s)
        kv_stream_close(s);
    arena_free(&a);
    return end;
}
