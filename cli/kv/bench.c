/*
 * `c8s kv bench put|range|txn|watch|lease`: a load generator for any etcd v3 server.
 *
 * `clients` requests are under way at any time, dealt over `connections` HTTP/2 connections and these over
 * the endpoints; each client sends its next request when its last is answered (closed loop). With --rate
 * requests are due at fixed times, and latency runs from when a request was due: a server that stalls
 * cannot hide it by being asked less.
 */
#include "cli/kv/bench.h"
#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PACE_MS 1
#define TXN_OPS_MAX 128

static void next_request(struct bench_client *c);

void bench_over(struct bench *b)
{
    if (b->over)
        return;
    b->over = true;
    b->end_ns = clock_mono_ns();
    uv_sem_post(&b->ended);
}

bool bench_take(struct bench *b)
{
    if (b->sent == b->total || (b->until_ns && clock_mono_ns() >= b->until_ns))
        return false;
    b->sent++;
    return true;
}

void bench_answered(struct bench *b, uint64_t start_ns, const struct grpc_result *result)
{
    vec_push(&b->latency_ns, clock_mono_ns() - start_ns);
    b->answered++;
    if (result->status == GRPC_OK)
        return;
    b->errors++;
    if (!b->first_error[0])
        snprintf(b->first_error, sizeof b->first_error, "%s: %s", grpc_status_name(result->status),
                 result->message);
}

static void on_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                       struct str raw)
{
    (void)call, (void)ctx, (void)m, (void)raw;
}

static bool is_finished(const struct bench *b)
{
    bool no_more = b->sent == b->total || (b->until_ns && clock_mono_ns() >= b->until_ns);
    return no_more && b->answered == b->sent;
}

static void on_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct bench_client *c = ctx;
    struct bench *b = c->bench;
    bench_answered(b, c->start_ns, result);
    if (b->rate)
        list_push_back(&b->idle, &c->link);
    else
        next_request(c);
    if (is_finished(b))
        bench_over(b);
}

/* Keys are decimal numbers behind the prefix, zero-filled to key_size. */
ProtobufCBinaryData bench_key(struct bench *b)
{
    uint64_t space = (uint64_t)b->key_space;
    uint64_t n = b->random ? rng_below(&b->rng, space) : (uint64_t)(b->sent - 1) % space;
    int len = snprintf((char *)b->key, 512, "%s%0*" PRIu64, b->prefix,
                       (int)(b->key_size - (int64_t)strlen(b->prefix)), n);
    return (ProtobufCBinaryData){(size_t)len, b->key};
}

/* ---- the requests ---- */

static const struct grpc_client_events unary_events = {.on_message = on_message,
                                                       .on_done = on_done};

/* The answer is not unpacked: the client's share of the machine stays small. */
static void send_unary(struct bench_client *c, const char *path, const ProtobufCMessage *message)
{
    grpc_open_unary(c->channel, path, message, NULL, 0, &unary_events, c);
}

static void send_put(struct bench_client *c)
{
    struct bench *b = c->bench;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bench_key(b);
    put.value = (ProtobufCBinaryData){(size_t)b->val_size, b->value};
    send_unary(c, "/etcdserverpb.KV/Put", &put.base);
}

static void send_range(struct bench_client *c)
{
    struct bench *b = c->bench;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bench_key(b);
    range.serializable = cstr_eq(b->consistency, "s");
    range.limit = b->limit;
    if (b->all) /* from the first key to the last, whatever they are */
        range.key = range.range_end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    send_unary(c, "/etcdserverpb.KV/Range", &range.base);
}

/*
 * A transaction of `txn_ops` operations: `reads` of a hundred only read; the others compare the version of
 * their first key, which always holds, and put. Keys of one transaction differ as long as there are enough.
 */
static void send_txn(struct bench_client *c)
{
    struct bench *b = c->bench;
    bool reads = rng_below(&b->rng, 100) < (uint64_t)b->reads;
    size_t n = (size_t)b->txn_ops;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&compare};
    Etcdserverpb__RequestOp ops[TXN_OPS_MAX], *list[TXN_OPS_MAX];
    Etcdserverpb__PutRequest puts[TXN_OPS_MAX];
    Etcdserverpb__RangeRequest ranges[TXN_OPS_MAX];
    uint8_t keys[TXN_OPS_MAX][16];
    uint64_t first = rng_below(&b->rng, (uint64_t)b->key_space);
    for (size_t i = 0; i < n; i++) {
        int len = snprintf((char *)keys[i], sizeof keys[i], "%010" PRIu64,
                           (first + i) % (uint64_t)b->key_space);
        ProtobufCBinaryData key = {(size_t)len, keys[i]};
        etcdserverpb__request_op__init(&ops[i]);
        list[i] = &ops[i];
        if (reads) {
            etcdserverpb__range_request__init(&ranges[i]);
            ranges[i].key = key;
            ops[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
            ops[i].request_range = &ranges[i];
        } else {
            etcdserverpb__put_request__init(&puts[i]);
            puts[i].key = key;
            puts[i].value = (ProtobufCBinaryData){(size_t)b->val_size, b->value};
            ops[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            ops[i].request_put = &puts[i];
        }
    }
    txn.n_success = n;
    txn.success = list;
    if (!reads) {
        compare.key = (ProtobufCBinaryData){strlen((char *)keys[0]), keys[0]};
        compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION;
        compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER;
        compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        compare.version = -1;
        txn.n_compare = 1;
        txn.compare = compares;
    }
    send_unary(c, "/etcdserverpb.KV/Txn", &txn.base);
}

static void send_request(struct bench_client *c)
{
    switch (c->bench->kind) {
    case BENCH_PUT:
        send_put(c);
        break;
    case BENCH_RANGE:
        send_range(c);
        break;
    default:
        send_txn(c);
    }
}

static void next_request(struct bench_client *c)
{
    if (!bench_take(c->bench))
        return;
    c->start_ns = clock_mono_ns();
    send_request(c);
}

/* Every millisecond: what is due, as far as there are clients for it. */
static void on_pace(struct loop_timer *timer)
{
    struct bench *b = container_of(timer, struct bench, pace);
    double elapsed_s = (double)(clock_mono_ns() - b->start_ns) / 1e9;
    int64_t due = (int64_t)(elapsed_s * (double)b->rate);
    while (b->sent < due && !list_empty(&b->idle) && bench_take(b)) {
        struct bench_client *c = list_first(&b->idle, struct bench_client, link);
        list_remove(&c->link);
        c->start_ns = b->start_ns + (uint64_t)((double)(b->sent - 1) / (double)b->rate * 1e9);
        send_request(c);
    }
    if (is_finished(b))
        bench_over(b);
    else
        loop_timer_start(&b->pace, PACE_MS);
}

static void begin(void *arg)
{
    struct bench *b = arg;
    b->start_ns = clock_mono_ns();
    b->until_ns = b->duration_ns ? b->start_ns + (uint64_t)b->duration_ns : 0;
    loop_timer_init(b->cli.loop, &b->pace, on_pace);
    if (b->kind == BENCH_WATCH) {
        bench_watch_begin(b);
        return;
    }
    if (b->kind == BENCH_LEASE) {
        bench_lease_begin(b);
        return;
    }
    int64_t clients = MIN(b->clients, b->total);
    struct bench_client *list = arena_array(&b->cli.arena, struct bench_client, clients);
    for (int64_t i = 0; i < clients; i++) {
        list[i].bench = b;
        list[i].channel = b->channels[(size_t)i % b->channels_len];
        list_push_back(&b->idle, &list[i].link);
    }
    if (b->rate) {
        on_pace(&b->pace);
        return;
    }
    for (int64_t i = 0; i < clients; i++)
        next_request(&list[i]);
}

/* ---- the report ---- */

static int compare_u64(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

struct summary {
    double mean, p50, p99, p999, max; /* ms */
};

static struct summary summarize(uint64_t *ns, size_t n)
{
    struct summary s = {0};
    if (n == 0)
        return s;
    double sum = 0;
    qsort(ns, n, sizeof *ns, compare_u64);
    for (size_t i = 0; i < n; i++)
        sum += (double)ns[i];
    s.mean = sum / (double)n / 1e6;
    s.p50 = (double)ns[n / 2] / 1e6;
    s.p99 = (double)ns[MIN(n * 99 / 100, n - 1)] / 1e6;
    s.p999 = (double)ns[MIN(n * 999 / 1000, n - 1)] / 1e6;
    s.max = (double)ns[n - 1] / 1e6;
    return s;
}

static void report(struct bench *b)
{
    size_t n = b->latency_ns.len;
    double seconds = (double)(b->end_ns - b->start_ns) / 1e9;
    struct summary s = summarize(b->latency_ns.items, n);
    struct summary put = summarize(b->put_ns.items, b->put_ns.len);
    double throughput = (double)(n - MIN((size_t)b->errors, n)) / seconds;
    const char *what = b->kind == BENCH_WATCH ? "events" : "requests";
    if (b->cli.format == KV_JSON) {
        printf("{\"total\":%zu,\"errors\":%" PRId64 ",\"seconds\":%.3f,\"throughput\":%.1f,"
               "\"mean_ms\":%.4f,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"p999_ms\":%.4f,"
               "\"max_ms\":%.4f",
               n, b->errors, seconds, throughput, s.mean, s.p50, s.p99, s.p999, s.max);
        if (b->kind == BENCH_WATCH)
            printf(",\"puts\":%zu,\"put_p50_ms\":%.4f,\"put_p99_ms\":%.4f", b->put_ns.len, put.p50,
                   put.p99);
        printf("}\n");
    } else {
        if (b->kind == BENCH_WATCH)
            printf("%zu puts, p50 %.3f ms, p99 %.3f\n", b->put_ns.len, put.p50, put.p99);
        printf("%zu %s in %.3f s, %" PRId64 " errors\n"
               "latency mean %.3f ms, p50 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n%.0f %s/s\n",
               n, what, seconds, b->errors, s.mean, s.p50, s.p99, s.p999, s.max, throughput, what);
    }
    if (b->errors)
        fprintf(stderr, "Error: %" PRId64 " requests failed, the first: %s\n", b->errors,
                b->first_error);
}

/* ---- a run ---- */

static int check(const struct bench *b)
{
    if (b->connections < 1 || b->clients < 1 || b->total < 1 || b->key_space < 1)
        return kv_fail(KV_EXIT_ARGS,
                       "connections, clients, total and key-space-size must be at least 1");
    if (b->key_size < 1 || b->key_size > 500 || b->val_size < 0 || b->val_size > 64 << 20)
        return kv_fail(KV_EXIT_ARGS, "key-size must be 1 to 500, val-size 0 to 64 MiB");
    if (strlen(b->prefix) > 100)
        return kv_fail(KV_EXIT_ARGS, "prefix must have at most 100 bytes");
    if (b->rate < 0 || b->duration_ns < 0)
        return kv_fail(KV_EXIT_ARGS, "rate and duration must not be negative");
    if (b->txn_ops < 1 || b->txn_ops > TXN_OPS_MAX || b->reads < 0 || b->reads > 100)
        return kv_fail(KV_EXIT_ARGS, "txn-ops must be 1 to %d, reads 0 to 100", TXN_OPS_MAX);
    if (b->watchers < 1 || b->watchers > 100000 || b->leases < 1 || b->leases > 100000)
        return kv_fail(KV_EXIT_ARGS, "watchers and leases must be 1 to 100000");
    if (b->cli.endpoints.len > BENCH_CHANNELS_MAX)
        return kv_fail(KV_EXIT_ARGS, "at most %d endpoints", BENCH_CHANNELS_MAX);
    return 0;
}

/* A channel for each endpoint, as far as there are connections; the first get one more. */
static int connect_all(struct bench *b)
{
    struct error err = {0};
    size_t n = MIN(b->cli.endpoints.len, (size_t)b->connections);
    for (size_t i = 0; i < n; i++) {
        const char *const one[] = {b->cli.endpoints.items[i], NULL};
        size_t share = (size_t)b->connections / n + (i < (size_t)b->connections % n);
        b->channels[i] = kv_cli_connect(&b->cli, one, (unsigned)share, &err);
        if (!b->channels[i])
            return kv_fail(KV_EXIT_ARGS, "%s", err.message);
        b->channels_len++;
    }
    return 0;
}

int bench_run(struct bench *b, void (*report_to)(struct bench *b))
{
    list_init(&b->idle);
    int rc = check(b);
    if (rc == 0)
        rc = connect_all(b);
    b->key = arena_alloc(&b->cli.arena, 1024);
    b->value = mem_zalloc((size_t)b->val_size + 32);
    if (b->duration_ns)
        b->total = INT64_MAX;
    rng_seed(&b->rng, (uint64_t)b->seed);
    for (int64_t i = 0; i < b->val_size; i++)
        b->value[i] = (uint8_t)('a' + rng_below(&b->rng, 26));
    if (rc == 0 && b->kind == BENCH_LEASE)
        rc = bench_leases_grant(b);
    if (rc == 0) {
        uv_sem_init(&b->ended, 0);
        loop_call(b->cli.loop, begin, b);
        uv_sem_wait(&b->ended);
        report_to(b);
        uv_sem_destroy(&b->ended);
        if (b->kind == BENCH_LEASE)
            bench_leases_revoke(b);
    }
    for (size_t i = 0; i < b->channels_len; i++)
        grpc_channel_free(b->channels[i]);
    mem_free(b->value);
    return rc ? rc : b->errors ? KV_EXIT_ERROR : 0;
}

static const struct {
    const char *program, *summary;
} kinds[] = {
    [BENCH_PUT] = {"c8s kv bench put", "Put keys."},
    [BENCH_RANGE] = {"c8s kv bench range", "Read one key at a time."},
    [BENCH_TXN] = {"c8s kv bench txn", "Transactions: some only read, the others compare and put."},
    [BENCH_WATCH] = {"c8s kv bench watch", "Put keys under a prefix that many watch."},
    [BENCH_LEASE] = {"c8s kv bench lease", "Keep leases alive."},
};

static int bench_main(int argc, char **argv, enum bench_kind kind)
{
    struct bench b = {.kind = kind,
                      .connections = 1,
                      .clients = 1,
                      .total = 10000,
                      .key_size = 8,
                      .val_size = 8,
                      .key_space = kind == BENCH_TXN ? 10000 : 1,
                      .seed = 1,
                      .reads = 50,
                      .txn_ops = 4,
                      .watchers = 100,
                      .leases = 100,
                      .consistency = "l",
                      .prefix = kind == BENCH_WATCH ? "bench-watch/" : ""};
    kv_cli_init(&b.cli, argv[0]);
    const struct flag flags[] = {
        {"connections", 0, FLAG_INT, &b.connections, "N",
         "HTTP/2 connections, dealt over the endpoints.", .alias = "conns"},
        {"clients", 0, FLAG_INT, &b.clients, "N", "Requests under way at a time."},
        {"total", 0, FLAG_INT, &b.total, "N", "Requests in all."},
        {"duration", 0, FLAG_DURATION, &b.duration_ns, "TIME", "Go on for so long instead."},
        {"rate", 0, FLAG_INT, &b.rate, "N",
         "Requests due per second; 0: each client sends when its last is answered (put, range, "
         "txn)."},
        {"key-size", 0, FLAG_INT, &b.key_size, "BYTES", "Length of a key."},
        {"val-size", 0, FLAG_INT, &b.val_size, "BYTES", "Length of a value."},
        {"key-space-size", 0, FLAG_INT, &b.key_space, "N", "Different keys."},
        {"random", 0, FLAG_BOOL, &b.random, NULL, "Keys at random instead of in turn."},
        {"seed", 0, FLAG_INT, &b.seed, "N", "Of the random numbers."},
        {"prefix", 0, FLAG_STRING, &b.prefix, "TEXT", "In front of every key (not txn)."},
        {"consistency", 0, FLAG_STRING, &b.consistency, "l|s",
         "Linearizable or serializable (range).", .choices = "l|s"},
        {"all", 0, FLAG_BOOL, &b.all, NULL, "Read every key of the store in each request (range)."},
        {"limit", 0, FLAG_INT, &b.limit, "N", "Of a range (range)."},
        {"txn-ops", 0, FLAG_INT, &b.txn_ops, "N", "Operations of a transaction (txn)."},
        {"reads", 0, FLAG_INT, &b.reads, "PERCENT", "Transactions that only read (txn)."},
        {"watchers", 0, FLAG_INT, &b.watchers, "N", "Watches of the prefix (watch)."},
        {"leases", 0, FLAG_INT, &b.leases, "N", "Leases to keep alive, in turn (lease)."},
        KV_GLOBAL_FLAGS(&b.cli),
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = kinds[kind].program,
        .summary = kinds[kind].summary,
        .details = "The last line is the figure: requests answered per second.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    kv_cli_start(&b.cli, &spec, argc, argv);
    int rc = bench_run(&b, report);
    kv_cli_stop(&b.cli);
    vec_free(&b.latency_ns);
    vec_free(&b.put_ns);
    return rc;
}

static int put_main(int argc, char **argv)
{
    return bench_main(argc, argv, BENCH_PUT);
}

static int range_main(int argc, char **argv)
{
    return bench_main(argc, argv, BENCH_RANGE);
}

static int txn_main(int argc, char **argv)
{
    return bench_main(argc, argv, BENCH_TXN);
}

static int watch_main(int argc, char **argv)
{
    return bench_main(argc, argv, BENCH_WATCH);
}

static int lease_main(int argc, char **argv)
{
    return bench_main(argc, argv, BENCH_LEASE);
}

const struct kv_verb kv_bench_verbs[] = {
    {"put", put_main, "Puts per second"},
    {"range", range_main, "Reads per second"},
    {"txn", txn_main, "Transactions per second"},
    {"watch", watch_main, "Events per second to watchers"},
    {"lease", lease_main, "Keep-alives per second"},
    {NULL},
};
