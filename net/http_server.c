/*
 * HTTP server: listeners, connections, which version a connection speaks, time limits, stopping.
 * See http.h and http_internal.h.
 */
#include "net/http_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define REFUSALS_LOGGED 5 /* a second */
#define CONNECTIONS_MAX 32768u
#define DESCRIPTORS_RESERVED 150u
#define KEEPALIVE_S 30 /* TCP's probes: clients that vanished */
#define FREE_EXCHANGES_MAX 1024
#define TICK_MIN_MS 10
#define TICK_MAX_MS 5000

static const char h2_preface[24] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ------------------------------------------------------------------ exchanges --- */

struct exchange *http_exchange_new(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    struct exchange *x;
    if (!list_empty(&w->free_exchanges)) {
        x = list_first(&w->free_exchanges, struct exchange, link);
        list_remove(&x->link);
        w->free_exchanges_len--;
        struct arena arena = x->pub.arena;
        *x = (struct exchange){.pub.arena = arena};
    } else {
        x = mem_zalloc(sizeof *x);
        arena_init(&x->pub.arena);
    }
    x->worker = w;
    x->conn = c;
    x->pub.loop = w->loop;
    x->pub.server = w->server;
    x->pub.version = c->version->number;
    x->pub.version_minor = c->version->number == 1 ? 1 : 0;
    x->pub.tls = stream_is_tls(c->stream);
    x->pub.peer = stream_peer(c->stream);
    x->pub.remote = stream_remote(c->stream);
    x->pub.content_length = -1;
    x->body_limit = w->server->options.body_bytes_max;
    x->opened_ms = x->progress_ms = loop_now_ms(w->loop);
    buf_init(&x->body);
    buf_init(&x->paused_body);
    outq_init(&x->out, loop_pool(w->loop));
    list_push_back(&c->exchanges, &x->link);
    c->exchanges_len++;
    w->exchanges++;
    return x;
}

static void worker_check_stopped(struct http_worker *w);

static void exchange_free(struct exchange *x)
{
    struct http_worker *w = x->worker;
    if (x->pub.on_done)
        x->pub.on_done(&x->pub);
    outq_free(&x->out);
    exchange_uncount_body(x);
    buf_free(&x->body);
    buf_free(&x->paused_body);
    w->exchanges--;
    /* A big arena goes back to the system; a small one is worth keeping. */
    if (w->free_exchanges_len < FREE_EXCHANGES_MAX && !w->stopping && x->pub.arena.used < 8192) {
        arena_reset(&x->pub.arena);
        list_push_front(&w->free_exchanges, &x->link);
        w->free_exchanges_len++;
    } else {
        arena_free(&x->pub.arena);
        mem_free(x);
    }
    worker_check_stopped(w);
}

void exchange_hold(struct exchange *x)
{
    x->holds++;
}

void exchange_release(struct exchange *x)
{
    assert(x->holds > 0);
    if (--x->holds == 0 && x->finished && x->answered)
        exchange_free(x);
}

/* Unlink from the connection: the version has no more use for it. */
void exchange_finished(struct exchange *x)
{
    exchange_hold(x);
    if (!x->finished) {
        x->finished = true;
        struct http_conn *c = x->conn;
        if (c) {
            list_remove(&x->link);
            x->conn = NULL;
            c->idle_since_ms = loop_now_ms(c->worker->loop);
            c->exchanges_len--;
        }
        if (!x->answered)
            exchange_closed(x);
    }
    exchange_release(x);
}

/* ---------------------------------------------------------------- connections --- */

static void run_kick(struct loop_deferred *d)
{
    struct http_conn *c = container_of(d, struct http_conn, kick);
    if (c->version && c->stream)
        c->version->flush(c);
}

void http_conn_kick(struct http_conn *c)
{
    loop_defer(c->worker->loop, &c->kick);
}

static void conn_set_version(struct http_conn *c, const struct http_version *version)
{
    c->version = version;
    c->state = version->open(c);
}

static void conn_opened(struct stream *s, void *ctx)
{
    struct http_conn *c = ctx;
    struct str alpn = stream_alpn(s);
    if (str_eqz(alpn, "h2"))
        conn_set_version(c, &http_version_2);
    else if (alpn.n)
        conn_set_version(c, &http_version_1);
    /* Otherwise the first bytes tell. */
    if (c->stopping && c->version)
        c->version->stop(c);
}

/* Plain connections (and TLS without ALPN): HTTP/2 if the client begins with its preface. */
static void conn_detect(struct http_conn *c, const char *data, size_t n)
{
    size_t take = MIN(n, sizeof c->preface - c->preface_len);
    memcpy(c->preface + c->preface_len, data, take);
    c->preface_len += take;
    bool same = memcmp(c->preface, h2_preface, c->preface_len) == 0;
    if (same && c->preface_len < sizeof h2_preface)
        return;
    conn_set_version(c, same ? &http_version_2 : &http_version_1);
    if (c->stopping)
        c->version->stop(c);
    c->version->input(c, c->preface, c->preface_len);
    if (c->stream && n > take)
        c->version->input(c, data + take, n - take);
}

static void conn_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    (void)s;
    struct http_conn *c = ctx;
    c->read_ms = loop_now_ms(c->worker->loop);
    if (c->version)
        c->version->input(c, data, n);
    else
        conn_detect(c, data, n);
}

static void conn_drained(struct stream *s, void *ctx)
{
    (void)s;
    struct http_conn *c = ctx;
    if (c->version)
        c->version->drained(c);
}

/* Who is refused for its certificate, or does not like ours: somebody will want to know why. */
static bool refused_certificate(const char *reason)
{
    return reason && (strstr(reason, "alert") || strstr(reason, "certificate"));
}

/* A few a second. */
static void log_refusal(struct http_worker *w, struct stream *s, const char *reason)
{
    uint64_t second = loop_now_ms(w->loop) / 1000;
    if (w->refusal_second != second) {
        w->refusal_second = second;
        w->refusals = 0;
    }
    if (w->refusals++ < REFUSALS_LOGGED)
        log_warn("net", "connection refused remote=%s reason=\"%s\"", stream_remote(s), reason);
}

static void conn_closed(struct stream *s, void *ctx, int code, const char *reason)
{
    struct http_conn *c = ctx;
    struct http_worker *w = c->worker;
    if (code < 0 && refused_certificate(reason))
        log_refusal(w, s, reason);
    else if (code < 0)
        log_debug("net", "connection lost remote=%s error=%s reason=\"%s\"", stream_remote(s),
                  error_code_name(code), reason);
    c->stream = NULL;
    loop_deferred_cancel(&c->kick);
    loop_timer_stop(&c->tick);
    /* All of them first: whoever hears of the end of one may write to another, and the stream is gone. */
    struct list left;
    list_init(&left);
    list_splice_back(&left, &c->exchanges);
    list_for_each (it, &left)
        list_entry(it, struct exchange, link)->conn = NULL;
    while (!list_empty(&left)) {
        struct exchange *x = list_first(&left, struct exchange, link);
        list_remove(&x->link);
        exchange_finished(x);
    }
    if (c->version)
        c->version->free(c);
    list_remove(&c->link);
    mem_free(c);
    atomic_fetch_sub(&w->server->connections, 1);
    worker_check_stopped(w);
}

static const struct stream_events conn_events = {
    .on_open = conn_opened,
    .on_data = conn_data,
    .on_drain = conn_drained,
    .on_close = conn_closed,
};

static uint64_t tick_ms(const struct http_server_options *o)
{
    uint64_t shortest = MIN(MIN(o->idle_timeout_ms, o->header_timeout_ms),
                            MIN(MIN(o->body_timeout_ms, o->write_timeout_ms),
                                MIN(o->ping_interval_ms, o->ping_timeout_ms)));
    uint64_t ms = shortest / 4;
    return ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
}

/* All time limits of a connection, looked at a few times per shortest limit. */
static void on_tick(struct loop_timer *timer)
{
    struct http_conn *c = container_of(timer, struct http_conn, tick);
    const struct http_server_options *o = &c->worker->server->options;
    uint64_t now = loop_now_ms(c->worker->loop);
    loop_timer_start(&c->tick, tick_ms(o));
    if (stream_write_stalled_ms(c->stream) > atomic_load(&c->worker->server->write_timeout_ms)) {
        stream_close(c->stream, ERR_TIMEOUT, "the peer takes no output");
        return;
    }
    if (!c->version) {
        if (now - c->opened_ms > o->header_timeout_ms)
            stream_close(c->stream, ERR_TIMEOUT, "no request came");
        return;
    }
    if (!c->version->tick(c, now))
        return;
    if (c->exchanges_len == 0 && now - c->idle_since_ms > o->idle_timeout_ms)
        c->version->stop(c);
}

void http_server_accept(struct http_server *server, struct loop *loop, int fd,
                        struct tls_context *tls)
{
    struct http_worker *w = NULL;
    for (size_t i = 0; i < server->options.loops_len; i++)
        if (server->workers[i].loop == loop)
            w = &server->workers[i];
    assert(w);
    size_t count = atomic_fetch_add(&server->connections, 1);
    if (w->stopping || count >= server->options.connections_max) {
        atomic_fetch_sub(&server->connections, 1);
        close(fd);
        return;
    }
    struct http_conn *c = mem_zalloc(sizeof *c);
    c->worker = w;
    list_init(&c->exchanges);
    list_push_back(&w->conns, &c->link);
    loop_deferred_init(&c->kick, run_kick);
    loop_timer_init(loop, &c->tick, on_tick);
    c->opened_ms = c->read_ms = c->idle_since_ms = loop_now_ms(loop);
    c->stream = stream_accept(loop, fd, tls, &conn_events, c);
    stream_set_low_water(c->stream, server->options.queue_low_water);
    stream_set_keepalive(c->stream, KEEPALIVE_S);
    loop_timer_start(&c->tick, tick_ms(&server->options));
}

static void accept_connection(void *ctx, struct loop *loop, int fd)
{
    struct http_listen *l = ctx;
    http_server_accept(l->server, loop, fd, l->tls);
}

const char *http_date(struct http_worker *w)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if ((int64_t)now.tv_sec != w->date_s) {
        struct tm tm;
        time_t t = now.tv_sec;
        gmtime_r(&t, &tm);
        strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        w->date_s = (int64_t)now.tv_sec;
    }
    return w->date;
}

/* --------------------------------------------------------------------- server --- */

#define DEFAULT(field, value)  \
    do {                       \
        if (!(field))          \
            (field) = (value); \
    } while (0)

unsigned http_connections_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= CONNECTIONS_MAX)
        return CONNECTIONS_MAX;
    unsigned n = (unsigned)limit.rlim_cur;
    return n > 2 * DESCRIPTORS_RESERVED ? n - DESCRIPTORS_RESERVED : MAX(n / 2, 1u);
}

static void set_defaults(struct http_server_options *o)
{
    DEFAULT(o->header_bytes_max, 64 * 1024);
    DEFAULT(o->headers_max, 128);
    DEFAULT(o->body_bytes_max, 3 * 1024 * 1024);
    DEFAULT(o->body_total_max, 256u * 1024 * 1024);
    DEFAULT(o->streams_max, 250);
    DEFAULT(o->connections_max, MIN(10000u, http_connections_max()));
    DEFAULT(o->idle_timeout_ms, 180000);
    DEFAULT(o->header_timeout_ms, 20000);
    DEFAULT(o->body_timeout_ms, 60000);
    DEFAULT(o->write_timeout_ms, 60000);
    DEFAULT(o->ping_interval_ms, 30000);
    DEFAULT(o->ping_timeout_ms, 20000);
    DEFAULT(o->resets_per_s_max, 200);
    DEFAULT(o->queue_low_water, 64 * 1024);
    DEFAULT(o->window_bytes, 1024 * 1024);
}

void http_server_write_timeout(struct http_server *s, uint64_t ms)
{
    atomic_store(&s->write_timeout_ms, ms ? ms : s->options.write_timeout_ms);
}

static void on_grace_over(struct loop_timer *timer)
{
    struct http_worker *w = container_of(timer, struct http_worker, grace);
    list_for_each_safe (it, &w->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, link);
        stream_close(c->stream, ERR_CANCELLED, "the server stops");
    }
}

struct http_server *http_server_new(const struct http_server_options *options)
{
    assert(options->loops_len > 0 && options->on_request);
    struct http_server *s = mem_zalloc(sizeof *s);
    s->options = *options;
    set_defaults(&s->options);
    atomic_init(&s->write_timeout_ms, s->options.write_timeout_ms);
    s->options.loops = mem_dup(options->loops, options->loops_len * sizeof *options->loops);
    s->workers = mem_zalloc(options->loops_len * sizeof *s->workers);
    for (size_t i = 0; i < options->loops_len; i++) {
        struct http_worker *w = &s->workers[i];
        w->server = s;
        w->loop = options->loops[i];
        list_init(&w->conns);
        list_init(&w->free_exchanges);
        loop_timer_init(w->loop, &w->grace, on_grace_over);
    }
    return s;
}

struct listen_call {
    struct http_listen *listen;
    const char *address;
    struct error *err;
};

static void run_listen(void *arg)
{
    struct listen_call *call = arg;
    const struct http_server_options *o = &call->listen->server->options;
    call->listen->listener = listener_new(o->loops, o->loops_len, call->address, accept_connection,
                                          call->listen, call->err);
}

int http_server_listen(struct http_server *s, const char *address, struct tls_context *tls,
                       struct error *err)
{
    struct http_listen *l = mem_zalloc(sizeof *l);
    l->server = s;
    l->tls = tls_context_ref(tls);
    loop_call(s->options.loops[0], run_listen, &(struct listen_call){l, address, err});
    if (!l->listener) {
        tls_context_unref(tls);
        mem_free(l);
        return ERR_IO;
    }
    l->port = listener_port(l->listener);
    s->listens = mem_realloc_array(s->listens, s->listens_len + 1, sizeof *s->listens);
    s->listens[s->listens_len++] = l;
    return 0;
}

int http_server_port(const struct http_server *s, size_t listen_index)
{
    return s->listens[listen_index]->port;
}

size_t http_server_connections(const struct http_server *s)
{
    return atomic_load(&s->connections);
}

static void run_stopped(struct loop_task *task)
{
    struct http_server *s = container_of(task, struct http_server, stopped_task);
    s->stopped(s->stopped_arg);
}

/* A stopping worker without connections and exchanges is done; the last one reports. */
static void worker_check_stopped(struct http_worker *w)
{
    if (!w->stopping || !list_empty(&w->conns) || w->exchanges)
        return;
    w->stopping = false; /* report once */
    loop_timer_stop(&w->grace);
    while (!list_empty(&w->free_exchanges)) {
        struct exchange *x = list_first(&w->free_exchanges, struct exchange, link);
        list_remove(&x->link);
        arena_free(&x->pub.arena);
        mem_free(x);
    }
    w->free_exchanges_len = 0;
    struct http_server *s = w->server;
    if (atomic_fetch_sub(&s->busy_workers, 1) == 1)
        loop_post(s->options.loops[0], &s->stopped_task);
}

static void stop_worker(struct loop_task *task)
{
    struct http_worker *w = container_of(task, struct http_worker, task);
    w->stopping = true;
    loop_timer_start(&w->grace, w->server->grace_ms);
    list_for_each_safe (it, &w->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, link);
        c->stopping = true;
        if (c->version)
            c->version->stop(c);
        else
            stream_close(c->stream, 0, NULL);
    }
    worker_check_stopped(w);
}

void http_server_stop(struct http_server *s, uint64_t grace_ms, void (*done)(void *arg), void *arg)
{
    assert(!atomic_load(&s->stopping));
    atomic_store(&s->stopping, true);
    s->grace_ms = grace_ms;
    s->stopped = done;
    s->stopped_arg = arg;
    s->stopped_task.fn = run_stopped;
    atomic_store(&s->busy_workers, s->options.loops_len);
    for (size_t i = 0; i < s->listens_len; i++) {
        listener_close(s->listens[i]->listener);
        s->listens[i]->listener = NULL;
    }
    for (size_t i = 0; i < s->options.loops_len; i++) {
        s->workers[i].task.fn = stop_worker;
        loop_post(s->workers[i].loop, &s->workers[i].task);
    }
}

struct stop_wait {
    struct http_server *server;
    uint64_t grace_ms;
    uv_sem_t done;
};

static void stop_wait_done(void *arg)
{
    struct stop_wait *w = arg;
    uv_sem_post(&w->done);
}

static void stop_wait_begin(void *arg)
{
    struct stop_wait *w = arg;
    http_server_stop(w->server, w->grace_ms, stop_wait_done, w);
}

void http_server_stop_wait(struct http_server *s, uint64_t grace_ms)
{
    struct stop_wait w = {.server = s, .grace_ms = grace_ms};
    uv_sem_init(&w.done, 0);
    loop_call(s->options.loops[0], stop_wait_begin, &w);
    uv_sem_wait(&w.done);
    uv_sem_destroy(&w.done);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->listens_len; i++) {
        listener_close(s->listens[i]->listener); /* a server that never ran */
        tls_context_unref(s->listens[i]->tls);
        mem_free(s->listens[i]);
    }
    mem_free(s->listens);
    mem_free(s->workers);
    mem_free((void *)s->options.loops);
    mem_free(s);
}
