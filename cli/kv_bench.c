/*
 * `c8s kv bench put|range`: a load generator for any etcd v3 server.
 *
 * `clients` requests are under way at any time, dealt over `connections` HTTP/2 connections; each client sends
 * its next request when its last is answered (closed loop). Latency runs from handing the request to the
 * connection to its answer. One thread does all of it, so that two servers are driven alike.
 */
#include "cli/kv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct bench {
    struct kv_cli cli;
    int64_t connections, clients, total, key_size, val_size, key_space, seed, rate;
    bool random, range, all;
    const char *consistency, *prefix;
    int64_t limit;
    /* loop thread */
    struct grpc_channel *channel;
    struct rng rng;
    int64_t sent, done, errors;
    uint64_t *latency_ns; /* of each request done */
    char first_error[256];
    uint8_t *key, *value;
    uint64_t start_ns, end_ns;
    uv_sem_t ended;
    struct loop_timer pace;
};

struct client {
    struct bench *bench;
    uint64_t start_ns;
};

static void next_request(struct client *c);

static void on_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                       struct str raw)
{
    (void)call, (void)ctx, (void)m, (void)raw;
}

static void on_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct client *c = ctx;
    struct bench *b = c->bench;
    b->latency_ns[b->done++] = clock_mono_ns() - c->start_ns;
    if (result->status != GRPC_OK) {
        b->errors++;
        if (!b->first_error[0])
            snprintf(b->first_error, sizeof b->first_error, "%s: %s",
                     grpc_status_name(result->status), result->message);
    }
    if (b->done == b->total) {
        b->end_ns = clock_mono_ns();
        uv_sem_post(&b->ended);
    } else {
        next_request(c);
    }
}

/* Keys are decimal numbers behind the prefix, zero-filled to key_size. */
static ProtobufCBinaryData make_key(struct bench *b)
{
    uint64_t space = (uint64_t)b->key_space;
    uint64_t n = b->random ? rng_below(&b->rng, space) : (uint64_t)b->sent % space;
    int len = snprintf((char *)b->key, 512, "%s%0*" PRIu64, b->prefix,
                       (int)(b->key_size - (int64_t)strlen(b->prefix)), n);
    return (ProtobufCBinaryData){(size_t)len, b->key};
}

static void next_request(struct client *c)
{
    static const struct grpc_client_events events = {.on_message = on_message, .on_done = on_done};
    struct bench *b = c->bench;
    if (b->sent == b->total)
        return;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    const ProtobufCMessage *message = b->range ? &range.base : &put.base;
    put.key = range.key = make_key(b);
    put.value = (ProtobufCBinaryData){(size_t)b->val_size, b->value};
    range.serializable = cstr_eq(b->consistency, "s");
    range.limit = b->limit;
    if (b->all) { /* from the first key to the last, whatever they are */
        range.key = range.range_end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    }
    b->sent++;
    c->start_ns = clock_mono_ns();
    /* The answer is not unpacked: the client's share of the machine stays small. */
    grpc_open_unary(b->channel, b->range ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put",
                    message, NULL, 0, &events, c);
}

static void begin(void *arg)
{
    struct bench *b = arg;
    int64_t clients = MIN(b->clients, b->total);
    struct client *list = arena_array(&b->cli.arena, struct client, clients);
    b->start_ns = clock_mono_ns();
    for (int64_t i = 0; i < clients; i++) {
        list[i].bench = b;
        next_request(&list[i]);
    }
}

static int compare_u64(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void report(struct bench *b)
{
    size_t n = (size_t)b->total;
    double seconds = (double)(b->end_ns - b->start_ns) / 1e9;
    double sum = 0;
    qsort(b->latency_ns, n, sizeof *b->latency_ns, compare_u64);
    for (size_t i = 0; i < n; i++)
        sum += (double)b->latency_ns[i];
    double p50 = (double)b->latency_ns[n / 2] / 1e6;
    double p99 = (double)b->latency_ns[MIN(n * 99 / 100, n - 1)] / 1e6;
    double p999 = (double)b->latency_ns[MIN(n * 999 / 1000, n - 1)] / 1e6;
    double max = (double)b->latency_ns[n - 1] / 1e6, mean = sum / (double)n / 1e6;
    double throughput = (double)(b->total - b->errors) / seconds;
    if (b->cli.format == KV_JSON)
        printf("{\"total\":%" PRId64 ",\"errors\":%" PRId64
               ",\"seconds\":%.3f,\"throughput\":%.1f,\"mean_ms\":%.4f,"
               "\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"p999_ms\":%.4f,\"max_ms\":%.4f}\n",
               b->total, b->errors, seconds, throughput, mean, p50, p99, p999, max);
    else
        printf("%" PRId64 " requests in %.3f s, %" PRId64
               " errors\nlatency mean %.3f ms, p50 %.3f, p99 %.3f, p99.9 %.3f, "
               "max %.3f\n%.0f requests/s\n",
               b->total, seconds, b->errors, mean, p50, p99, p999, max, throughput);
    if (b->errors)
        fprintf(stderr, "Error: %" PRId64 " requests failed, the first: %s\n", b->errors,
                b->first_error);
}

static int check(struct bench *b)
{
    if (b->connections < 1 || b->clients < 1 || b->total < 1 || b->key_space < 1)
        return kv_fail(KV_EXIT_ARGS,
                       "connections, clients, total and key-space-size must be at least 1");
    if (b->key_size < 1 || b->key_size > 500 || b->val_size < 0 || b->val_size > 64 << 20)
        return kv_fail(KV_EXIT_ARGS, "key-size must be 1 to 500, val-size 0 to 64 MiB");
    if (strlen(b->prefix) > 100)
        return kv_fail(KV_EXIT_ARGS, "prefix must have at most 100 bytes");
    return 0;
}

static int run(struct bench *b)
{
    struct error err = {0};
    int rc = check(b);
    if (rc)
        return rc;
    b->channel = kv_cli_connect(&b->cli, (const char *const *)b->cli.endpoints.items,
                                (unsigned)b->connections, &err);
    if (!b->channel)
        return kv_fail(KV_EXIT_ARGS, "%s", err.message);
    b->key = arena_alloc(&b->cli.arena, 1024);
    b->value = mem_alloc((size_t)b->val_size);
    rng_seed(&b->rng, (uint64_t)b->seed);
    for (int64_t i = 0; i < b->val_size; i++)
        b->value[i] = (uint8_t)('a' + rng_below(&b->rng, 26));
    b->latency_ns = mem_alloc((size_t)b->total * sizeof *b->latency_ns);
    uv_sem_init(&b->ended, 0);
    loop_call(b->cli.loop, begin, b);
    uv_sem_wait(&b->ended);
    report(b);
    uv_sem_destroy(&b->ended);
    grpc_channel_free(b->channel);
    mem_free(b->latency_ns);
    mem_free(b->value);
    return b->errors ? KV_EXIT_ERROR : 0;
}

static int bench_main(int argc, char **argv, bool range)
{
    struct bench b = {.connections = 1,
                      .clients = 1,
                      .total = 10000,
                      .key_size = 8,
                      .val_size = 8,
                      .key_space = 1,
                      .seed = 1,
                      .range = range,
                      .consistency = "l",
                      .prefix = ""};
    kv_cli_init(&b.cli, argv[0]);
    const struct flag flags[] = {
        {"connections", 0, FLAG_INT, &b.connections, "N", "HTTP/2 connections.", .alias = "conns"},
        {"clients", 0, FLAG_INT, &b.clients, "N", "Requests under way at a time."},
        {"total", 0, FLAG_INT, &b.total, "N", "Requests in all."},
        {"key-size", 0, FLAG_INT, &b.key_size, "BYTES", "Length of a key."},
        {"val-size", 0, FLAG_INT, &b.val_size, "BYTES", "Length of a value (put)."},
        {"key-space-size", 0, FLAG_INT, &b.key_space, "N", "Different keys."},
        {"random", 0, FLAG_BOOL, &b.random, NULL, "Keys at random instead of in turn."},
        {"seed", 0, FLAG_INT, &b.seed, "N", "Of the random numbers."},
        {"prefix", 0, FLAG_STRING, &b.prefix, "TEXT", "In front of every key."},
        {"consistency", 0, FLAG_STRING, &b.consistency, "l|s",
         "Linearizable or serializable (range).", .choices = "l|s"},
        {"all", 0, FLAG_BOOL, &b.all, NULL, "Read every key of the store in each request (range)."},
        {"limit", 0, FLAG_INT, &b.limit, "N", "Of a range (range)."},
        KV_GLOBAL_FLAGS(&b.cli),
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = range ? "c8s kv bench range" : "c8s kv bench put",
        .summary = range ? "Read one key at a time." : "Put keys.",
        .details = "The last line is the figure: requests answered per second.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    kv_cli_start(&b.cli, &spec, argc, argv);
    int rc = run(&b);
    kv_cli_stop(&b.cli);
    return rc;
}

static int put_main(int argc, char **argv)
{
    return bench_main(argc, argv, false);
}

static int range_main(int argc, char **argv)
{
    return bench_main(argc, argv, true);
}

int kv_bench_main(int argc, char **argv)
{
    static const struct kv_verb verbs[] = {
        {"put", put_main, "Puts per second"}, {"range", range_main, "Reads per second"}, {NULL}};
    return kv_dispatch("c8s kv bench", verbs, argc, argv);
}
