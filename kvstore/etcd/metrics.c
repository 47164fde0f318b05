/*
 * Metrics of calls (kvstore/etcd/metrics.h).
 */
#include "kvstore/etcd/metrics.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define METHODS_MAX 256 /* a power of two, well above the methods there are */

static const char *const code_names[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
#define CODES (sizeof code_names / sizeof *code_names)

struct method_metrics {
    const struct grpc_method *method; /* NULL: free */
    bool unary;
    struct counter *started, *handled[CODES];
    struct histogram *seconds; /* NULL: not wanted */
};

struct etcd_metrics {
    struct metrics *registry;
    bool extensive;
    uint64_t slow_ns;
    struct slow_log slow;
    struct method_metrics methods[METHODS_MAX]; /* by the address of the method */
};

struct etcd_metrics *etcd_metrics_new(struct metrics *m, bool extensive, uint64_t slow_ns)
{
    struct etcd_metrics *e = mem_zalloc(sizeof *e);
    e->registry = m;
    e->extensive = extensive;
    e->slow_ns = slow_ns ? slow_ns : SLOW_CALL_NS;
    return e;
}

void etcd_metrics_free(struct etcd_metrics *e)
{
    mem_free(e);
}

static struct method_metrics *find(struct etcd_metrics *e, const struct grpc_method *method)
{
    size_t i = ((uintptr_t)method / sizeof *method) % METHODS_MAX;
    while (e->methods[i].method && e->methods[i].method != method)
        i = (i + 1) % METHODS_MAX;
    return &e->methods[i];
}

/* "/etcdserverpb.KV/Range" → grpc_service="etcdserverpb.KV",grpc_method="Range". A call whose client streams is a
 * stream both ways, but for those that answer one message with many. */
static int labels(const struct grpc_method *m, char *out, size_t n)
{
    const char *service = m->path + 1, *slash = strchr(service, '/');
    bool server_stream = strstr(m->path, "/Snapshot") || strstr(m->path, "/RangeStream") ||
                         strstr(m->path, "/Observe") || strstr(m->path, "Health/Watch");
    return snprintf(out, n, "grpc_method=\"%s\",grpc_service=\"%.*s\",grpc_type=\"%s\"", slash + 1,
                    (int)(slash - service), service,
                    m->client_streaming ? "bidi_stream"
                    : server_stream     ? "server_stream"
                                        : "unary");
}

void etcd_metrics_add(struct etcd_metrics *e, const struct grpc_method *methods, size_t n)
{
    static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
    char text[256], with_code[320];
    for (size_t i = 0; i < n; i++) {
        struct method_metrics *mm = find(e, &methods[i]);
        assert(!mm->method);
        mm->method = &methods[i];
        labels(&methods[i], text, sizeof text);
        mm->unary = strstr(text, "\"unary\"") != NULL;
        if (!e->registry)
            continue;
        mm->started =
            metrics_counter(e->registry, "grpc_server_started_total", text, "Calls begun.");
        for (size_t c = 0; c < CODES; c++) {
            snprintf(with_code, sizeof with_code, "grpc_code=\"%s\",%s", code_names[c], text);
            mm->handled[c] = metrics_counter(e->registry, "grpc_server_handled_total", with_code,
                                             "Calls ended, by status.");
        }
        if (e->extensive && mm->unary)
            mm->seconds = metrics_histogram(e->registry, "grpc_server_handling_seconds", text,
                                            "Time from a call's headers to its end.", bounds,
                                            ARRAY_LEN(bounds));
    }
}

void etcd_metrics_ended(struct etcd_metrics *e, const struct grpc_method *method, int status,
                        uint64_t took_ns)
{
    struct method_metrics *mm = find(e, method);
    unsigned left_out;
    if (mm->started) {
        counter_add(mm->started, 1);
        counter_add(mm->handled[(size_t)status < CODES ? (size_t)status : GRPC_UNKNOWN], 1);
        if (mm->seconds)
            histogram_observe(mm->seconds, (double)took_ns / 1e9);
    }
    if (took_ns >= e->slow_ns && mm->unary && !method->long_running &&
        !strstr(method->path, "/Defragment") && slow_may_say(&e->slow, clock_mono_ns(), &left_out))
        log_warn("store",
                 "a call took too long method=%s took_ms=%" PRIu64 " expected_ms=%" PRIu64
                 " code=%d left_out=%u",
                 method->path, took_ns / 1000000, e->slow_ns / 1000000, status, left_out);
}
