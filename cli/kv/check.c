/*
 * `c8s kv check perf`, `check datascale`: is the cluster fast enough, and how much memory do keys take? The
 * loads and limits are etcdctl's.
 */
#include "cli/kv/bench.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_client.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOWEST_S_MAX 0.5
#define STDDEV_S_MAX 0.1
#define THROUGHPUT_MIN 0.9 /* of the load */
#define CLEAN_UP_MS 30000

struct load {
    const char *name, *alias;
    int64_t rate, clients; /* perf */
    int64_t keys, writers; /* datascale */
};
static const struct load loads[] = {
    {"s", "small", 150, 50, 10000, 50},
    {"m", "medium", 1000, 200, 100000, 200},
    {"l", "large", 8000, 500, 1000000, 500},
    {"xl", "xLarge", 15000, 1000, 3000000, 1000},
};

struct check {
    struct bench bench;
    const char *load_name;
    const struct load *load;
    bool auto_compact, auto_defrag;
    bool passed;
};

static const struct load *find_load(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(loads); i++)
        if (cstr_eq(loads[i].name, name) || cstr_eq(loads[i].alias, name))
            return &loads[i];
    return NULL;
}

/* ---------------------------------------------------------------- before and after --- */

/* Nothing may be there that the cleaning would take away. 0 or an exit code. */
static int check_empty(struct check *k)
{
    struct kv_cli *c = &k->bench.cli;
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RangeResponse *r;
    q.key = kv_bytes(k->bench.prefix);
    q.range_end = kv_prefix_end(&c->arena, q.key);
    q.limit = 1;
    int rc = kv_call(c, c->channel, "/etcdserverpb.KV/Range", &q,
                     &etcdserverpb__range_response__descriptor, &r);
    if (rc == 0 && r->n_kvs)
        rc = kv_fail(KV_EXIT_INPUT,
                     "prefix \"%s\" has keys. Delete with 'etcdctl del --prefix %s' first",
                     k->bench.prefix, k->bench.prefix);
    return rc;
}

static int compact(struct kv_cli *c, int64_t rev)
{
    Etcdserverpb__CompactionRequest q = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    void *r;
    printf("Compacting with revision %" PRId64 "\n", rev);
    q.revision = rev;
    q.physical = true;
    int rc = kv_call(c, c->channel, "/etcdserverpb.KV/Compact", &q,
                     &etcdserverpb__compaction_response__descriptor, &r);
    if (rc == 0)
        printf("Compacted with revision %" PRId64 "\n", rev);
    return rc;
}

static int defragment(struct kv_cli *c, const char *endpoint)
{
    struct error err = {0};
    Etcdserverpb__DefragmentRequest q = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    void *r;
    printf("Defragmenting \"%s\"\n", endpoint);
    struct grpc_channel *channel = kv_connect_one(c, endpoint, &err);
    if (!channel)
        return kv_fail(KV_EXIT_ERROR, "%s", err.message);
    int rc = kv_call(c, channel, "/etcdserverpb.Maintenance/Defragment", &q,
                     &etcdserverpb__defragment_response__descriptor, &r);
    grpc_channel_free(channel);
    if (rc == 0)
        printf("Defragmented \"%s\"\n", endpoint);
    return rc;
}

/* Take away what was put. 0 or an exit code. */
static int clean_up(struct check *k)
{
    struct kv_cli *c = &k->bench.cli;
    Etcdserverpb__DeleteRangeRequest q = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__DeleteRangeResponse *r;
    c->command_timeout_ms = MAX(c->command_timeout_ms, CLEAN_UP_MS);
    q.key = kv_bytes(k->bench.prefix);
    q.range_end = kv_prefix_end(&c->arena, q.key);
    int rc = kv_call(c, c->channel, "/etcdserverpb.KV/DeleteRange", &q,
                     &etcdserverpb__delete_range_response__descriptor, &r);
    if (rc == 0 && k->auto_compact)
        rc = compact(c, r->header->revision);
    for (size_t i = 0; i < c->endpoints.len && rc == 0 && k->auto_defrag; i++)
        rc = defragment(c, c->endpoints.items[i]);
    return rc;
}

/* ---------------------------------------------------------------------------- perf --- */

static void verdict(struct check *k, bool good, const char *pass, const char *fail, double value)
{
    printf(good ? "PASS: " : "");
    printf(good ? pass : fail, value);
    k->passed &= good;
}

static void print_errors(const struct bench *b)
{
    puts("FAIL: too many errors");
    printf("FAIL: ERROR(%s) -> %" PRId64 "\n", b->first_error, b->errors);
}

static void report_perf(struct bench *b)
{
    struct check *k = container_of(b, struct check, bench);
    double n = (double)b->latency_ns.len, sum = 0, squares = 0, slowest = 0;
    double seconds = (double)(b->end_ns - b->start_ns) / 1e9;
    for (size_t i = 0; i < b->latency_ns.len; i++) {
        double s = (double)b->latency_ns.items[i] / 1e9;
        sum += s;
        squares += s * s;
        slowest = MAX(slowest, s);
    }
    double variance = n > 0 ? squares / n - (sum / n) * (sum / n) : 0;
    double rps = seconds > 0 ? n / seconds : 0;
    k->passed = b->errors == 0;
    if (b->errors)
        print_errors(b);
    bool fast = rps / (double)k->load->rate > THROUGHPUT_MIN;
    k->passed &= fast;
    printf(fast ? "PASS: Throughput is %" PRId64 " writes/s\n"
                : "FAIL: Throughput too low: %" PRId64 " writes/s\n",
           (int64_t)rps + 1);
    verdict(k, slowest <= SLOWEST_S_MAX, "Slowest request took %fs\n",
            "Slowest request took too long: %fs\n", slowest);
    double stddev = sqrt(MAX(variance, 0));
    verdict(k, stddev <= STDDEV_S_MAX, "Stddev is %fs\n", "Stddev too high: %fs\n", stddev);
    puts(k->passed ? "PASS" : "FAIL");
}

/* The flags of both, the load found. Ends the process on --help and mistakes. */
static int start(struct check *k, const struct flags_spec *spec, int argc, char **argv)
{
    kv_cli_parse(&k->bench.cli, spec, argc, argv);
    k->load = find_load(k->load_name);
    if (!k->load)
        return kv_fail(KV_EXIT_FEATURE, "unknown load option %s", k->load_name);
    kv_cli_connect_all(&k->bench.cli);
    return check_empty(k);
}

static void stop(struct check *k)
{
    kv_cli_stop(&k->bench.cli);
    vec_free(&k->bench.latency_ns);
    vec_free(&k->bench.put_ns);
}

#define CHECK_FLAGS(k)                                                                          \
    {"load", 0, FLAG_STRING, &(k)->load_name, "s|m|l|xl", "Small, medium, large, very large."}, \
        {"prefix", 0, FLAG_STRING, &(k)->bench.prefix, "PREFIX", "Of the keys that are put."},  \
        {"auto-compact", 0, FLAG_BOOL, &(k)->auto_compact, NULL, "Compact afterwards."},        \
    {                                                                                           \
        "auto-defrag", 0, FLAG_BOOL, &(k)->auto_defrag, NULL, "Defragment afterwards."          \
    }

static int perf_main(int argc, char **argv)
{
    struct check k = {.load_name = "s"};
    struct bench *b = &k.bench;
    *b = (struct bench){.kind = BENCH_PUT,
                        .prefix = "/etcdctl-check-perf/",
                        .seed = 1,
                        .duration_ns = 60 * (int64_t)NS_PER_S};
    kv_cli_init(&b->cli, argv[0]);
    const struct flag flags[] = {
        CHECK_FLAGS(&k),
        {"duration", 0, FLAG_DURATION, &b->duration_ns, "TIME", "How long."},
        KV_GLOBAL_FLAGS(&b->cli),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv check perf",
        .summary = "Does the cluster keep up with a load of puts?",
        .details = "Passes with 90 % of the load's puts per second (150, 1000, 8000, 15000), none "
                   "slower than 0.5 s and a standard deviation of at most 0.1 s.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    int rc = start(&k, &spec, argc, argv);
    if (rc == 0) {
        b->rate = k.load->rate;
        b->clients = k.load->clients;
        b->connections = MIN(k.load->clients, 100);
        b->total = 1; /* the time ends it */
        b->key_size = 256;
        b->val_size = 1024;
        b->key_space = INT64_MAX / 2;
        b->random = true;
        b->txn_ops = b->watchers = b->leases = 1;
        rc = bench_run(b, report_perf);
        int cleaned = clean_up(&k);
        rc = rc ? rc : cleaned ? cleaned : k.passed ? 0 : KV_EXIT_ERROR;
    }
    stop(&k);
    return rc;
}

/* ----------------------------------------------------------------------- datascale --- */

/* process_resident_memory_bytes of the first endpoint's metrics; 0 if it cannot be had. */
static double resident_bytes(struct kv_cli *c)
{
    static const char name[] = "\nprocess_resident_memory_bytes ";
    const char *endpoint = c->endpoints.items[0];
    const char *url =
        strstr(endpoint, "://")
            ? endpoint
            : arena_printf(&c->arena, "%s://%s", c->access.cacert ? "https" : "http", endpoint);
    const char *const servers[] = {url, NULL};
    struct error err = {0};
    struct http_response r;
    struct http_request q = {.method = "GET",
                             .path = "/metrics",
                             .timeout_ms = (uint64_t)c->command_timeout_ms,
                             .body_bytes_max = 16u << 20};
    struct http_client_options o = {.servers = servers, .tls = c->access.tls, .http1_only = true};
    struct http_client *client = http_client_new(c->loop, &o, &err);
    double bytes = 0;
    if (client && http_client_do(client, &q, &c->arena, &r, &err) == 0 && r.status == 200) {
        char *text = arena_printf(&c->arena, "\n%.*s", STR_ARG(r.body));
        const char *at = strstr(text, name);
        bytes = at ? strtod(at + strlen(name), NULL) : 0;
    } else {
        printf("fetch error: %s\n", err.message);
    }
    http_client_free(client);
    return bytes;
}

static void report_nothing(struct bench *b)
{
    if (b->errors)
        print_errors(b);
}

static int measure(struct check *k)
{
    struct bench *b = &k->bench;
    double before = resident_bytes(&b->cli);
    if (before <= 0) {
        puts("FAIL: Could not read process_resident_memory_bytes before the put operations.");
        return KV_EXIT_ERROR;
    }
    printf("Start data scale check for work load [%" PRId64
           " key-value pairs, 1024 bytes per key-value, %" PRId64 " concurrent clients].\n",
           b->total, b->clients);
    fflush(stdout);
    int rc = bench_run(b, report_nothing);
    double after = resident_bytes(&b->cli);
    int cleaned = clean_up(k);
    if (after <= 0) {
        puts("FAIL: Could not read process_resident_memory_bytes after the put operations.");
        return KV_EXIT_ERROR;
    }
    if (rc == 0 && cleaned == 0)
        printf("PASS: Approximate system memory used : %.2f MB.\n",
               (after - before) / (1024 * 1024));
    return rc ? rc : cleaned;
}

static int datascale_main(int argc, char **argv)
{
    struct check k = {.load_name = "s"};
    struct bench *b = &k.bench;
    *b = (struct bench){.kind = BENCH_PUT, .prefix = "/etcdctl-check-datascale/", .seed = 1};
    kv_cli_init(&b->cli, argv[0]);
    const struct flag flags[] = {CHECK_FLAGS(&k), KV_GLOBAL_FLAGS(&b->cli), FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv check datascale",
        .summary = "How much memory do keys take at the first endpoint?",
        .details = "Puts 10,000, 100,000, 1,000,000 or 3,000,000 keys and takes them away again.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    int rc = start(&k, &spec, argc, argv);
    if (rc == 0) {
        b->total = b->key_space = k.load->keys;
        b->clients = k.load->writers;
        b->connections = MIN(k.load->writers, 100);
        b->key_size = 500;
        b->val_size = 524;
        b->txn_ops = b->watchers = b->leases = 1;
        rc = measure(&k);
    }
    stop(&k);
    return rc;
}

const struct kv_verb kv_check_verbs[] = {
    {"perf", perf_main, "Does the cluster keep up with a load of puts?"},
    {"datascale", datascale_main, "How much memory do keys take?"},
    {NULL},
};
