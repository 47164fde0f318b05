/*
 * Load for bench/api_watch.py: many watches, and writes that they see or do not see.
 *
 *     watch_load URL CA TOKEN REVISION WATCHERS SELECTOR WRITES PER_SECOND
 *
 * WATCHERS watches of the pods of namespace "bench" from REVISION on are opened over HTTP/2; SELECTOR "all": of all its
 * pods; "node": watcher i of those with spec.nodeName=node-i. Then WRITES pods in turn get a new annotation, PER_SECOND of them a
 * second (0: the next when all watchers have seen the one before). The last line is
 *
 *     writes N in S s, events E, slowest_ms of an event after its write began: p50 P p99 P max P
 *
 * where the slowest event of a write is what counts. The pods pod-0 … pod-99 exist, pod-i bound to node-i.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 200 /* watches on a connection */
#define PODS 100
#define NS_PER_S 1000000000ull

static struct {
    struct loop *loop;
    struct http_client **clients;
    struct http_client *writer;
    const char *revision;
    unsigned watchers, open, writes, written, answered, per_second, failed;
    bool by_node;
    uint64_t began_ns, *write_ns, *slowest_ns, events;
    unsigned *seen; /* events of a write */
    struct loop_timer timer;
} load;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "watch_load: %s: %s\n", what, why);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void finish(void)
{
    double seconds = (double)(clock_mono_ns() - load.began_ns) / 1e9;
    qsort(load.slowest_ns, load.writes, sizeof *load.slowest_ns, compare);
    double p50 = (double)load.slowest_ns[load.writes / 2] / 1e6;
    double p99 = (double)load.slowest_ns[load.writes * 99 / 100] / 1e6;
    printf("writes %u in %.2f s, events %llu, slowest_ms p50 %.1f p99 %.1f max %.1f\n", load.writes,
           seconds, (unsigned long long)load.events, p50, p99,
           (double)load.slowest_ns[load.writes - 1] / 1e6);
    fflush(stdout);
    exit(load.failed ? 1 : 0);
}

/* How many watchers see write i. */
static unsigned audience(unsigned i)
{
    if (!load.by_node)
        return load.watchers;
    return i % PODS < load.watchers ? 1 : 0;
}

static void maybe_finish(void)
{
    if (load.answered < load.writes)
        return;
    for (unsigned i = 0; i < load.writes; i++)
        if (load.seen[i] < audience(i))
            return;
    finish();
}

static void write_one(void);

/* An event of write i: `"note":"<revision>-<i>"` stands in its annotations. */
static void watch_data(struct http_call *call, void *ctx, struct str data)
{
    (void)call;
    (void)ctx;
    char mark[64];
    size_t n = (size_t)snprintf(mark, sizeof mark, "\"note\":\"%s-", load.revision);
    const char *at = data.p, *end = data.p + data.n;
    while ((at = memmem(at, (size_t)(end - at), mark, n))) {
        at += n;
        unsigned i = (unsigned)strtoul(at, NULL, 10);
        load.events++;
        if (++load.seen[i] == audience(i)) {
            load.slowest_ns[i] = clock_mono_ns() - load.write_ns[i];
            if (!load.per_second && load.written < load.writes)
                write_one();
            maybe_finish();
        }
    }
}

static void watch_done(struct http_call *call, void *ctx, const struct http_response *r,
                       const struct error *err)
{
    (void)call;
    (void)ctx;
    fprintf(stderr, "watch_load: a watch ended: %d %s\n", r->status, err->message);
    exit(1);
}

static void write_done(struct http_call *call, void *ctx, const struct http_response *r,
                       const struct error *err)
{
    (void)call;
    (void)ctx;
    if (r->status != 200 && load.failed++ == 0)
        fprintf(stderr, "watch_load: a write: %d %s %.*s\n", r->status, err->message,
                STR_ARG(r->body));
    load.answered++;
    maybe_finish();
}

static void write_one(void)
{
    static const struct http_header type = {STR("content-type"),
                                            STR("application/merge-patch+json")};
    static const struct http_call_events events = {.on_done = write_done};
    unsigned i = load.written++;
    char path[96], body[128];
    snprintf(path, sizeof path, "/api/v1/namespaces/bench/pods/pod-%u", i % PODS);
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"annotations\":{\"note\":\"%s-%u\"}}}",
                     load.revision, i);
    load.write_ns[i] = clock_mono_ns();
    struct http_request q = {.method = "PATCH",
                             .path = path,
                             .headers = &type,
                             .headers_len = 1,
                             .body = str_make(body, (size_t)n)};
    http_client_send(load.writer, &q, &events, NULL);
}

static void on_tick(struct loop_timer *timer)
{
    uint64_t due = (clock_mono_ns() - load.began_ns) * load.per_second / NS_PER_S;
    while (load.written < load.writes && load.written < due)
        write_one();
    if (load.written < load.writes)
        loop_timer_start(timer, 1);
}

static void begin(void)
{
    printf("%u watches are open\n", load.open);
    fflush(stdout);
    if (getchar() == EOF) /* bench/api_watch.py reads the server's CPU time, then says go */
        die("standard input", "ended");
    load.began_ns = clock_mono_ns();
    if (load.per_second)
        on_tick(&load.timer);
    else
        write_one();
}

static void open_some(unsigned from);

static void watch_open(struct http_call *call, void *ctx, const struct http_response *r)
{
    (void)call;
    (void)ctx;
    if (r->status != 200)
        die("a watch was refused", "see the server's log");
    if (++load.open == load.watchers)
        begin();
    else if (load.open % STREAMS == 0)
        open_some(load.open);
}

/* Those of one connection; the next connection's when these are open. */
static void open_some(unsigned from)
{
    static const struct http_call_events events = {
        .on_headers = watch_open, .on_data = watch_data, .on_done = watch_done};
    for (unsigned i = from; i < load.watchers && i < from + STREAMS; i++) {
        char path[160];
        int n =
            snprintf(path, sizeof path, "/api/v1/pods?watch=1&resourceVersion=%s", load.revision);
        if (load.by_node)
            snprintf(path + n, sizeof path - (size_t)n, "&fieldSelector=spec.nodeName%%3Dnode-%u",
                     i);
        struct http_request q = {.method = "GET", .path = path, .stream = true};
        http_client_send(load.clients[i / STREAMS], &q, &events, NULL);
    }
    if (load.watchers == 0)
        begin();
}

static void start(void *arg)
{
    (void)arg;
    open_some(0);
}

int main(int argc, char **argv)
{
    if (argc != 9)
        die("usage", "watch_load URL CA TOKEN REVISION WATCHERS all|node WRITES PER_SECOND");
    struct error err;
    load.revision = argv[4];
    load.watchers = (unsigned)atoi(argv[5]);
    load.by_node = strcmp(argv[6], "node") == 0;
    load.writes = (unsigned)atoi(argv[7]);
    load.per_second = (unsigned)atoi(argv[8]);
    if (load.writes == 0)
        die("WRITES", "at least 1");
    load.loop = loop_new();
    load.write_ns = mem_alloc(load.writes * sizeof *load.write_ns);
    load.slowest_ns = mem_alloc(load.writes * sizeof *load.slowest_ns);
    load.seen = mem_alloc(load.writes * sizeof *load.seen);
    memset(load.slowest_ns, 0, load.writes * sizeof *load.slowest_ns);
    memset(load.seen, 0, load.writes * sizeof *load.seen);
    loop_timer_init(load.loop, &load.timer, on_tick);
    struct tls_options t = {.ca_file = argv[2]};
    struct tls_context *tls = tls_client_new(&t, &err);
    if (!tls)
        die("TLS", err.message);
    const char *servers[] = {argv[1], NULL};
    struct http_client_options o = {
        .servers = servers, .tls = tls, .bearer_token = argv[3], .connect_timeout_ms = 60000};
    unsigned n = (load.watchers + STREAMS - 1) / STREAMS;
    load.clients = mem_alloc((n + 1) * sizeof *load.clients);
    for (unsigned i = 0; i <= n; i++) {
        struct http_client *c = http_client_new(load.loop, &o, &err);
        if (!c)
            die(argv[1], err.message);
        if (i < n)
            load.clients[i] = c;
        else
            load.writer = c;
    }
    loop_call(load.loop, start, NULL);
    loop_run(load.loop);
    return 1;
}
