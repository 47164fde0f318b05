/*
 * The store without any protocol around it: members in this process over real sockets, a real journal
 * on the disk given.
 *
 *     store_bench DIR MEMBERS put-one|put-random|put-sequential SECONDS [CLIENTS] [KEYS] [VALUE_BYTES]
 *
 * The last line is the figure: puts per second, or the latency's percentiles, with CPU per put and
 * bytes written per put and member (process_io's write_bytes).
 */
#include "kvstore/kv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct kv *members[8];
static int members_len;
static size_t keys = 1, value_len = 256;
static atomic_ullong done;
static atomic_bool stop;
static char *value;

struct client {
    struct kv *kv;
    struct rng rng;
    char key[64];
    atomic_bool idle;
};

static void issue(struct client *c);

static void finished(void *ctx, struct kv_txn_result *r)
{
    struct client *c = ctx;
    if (r->code)
        fprintf(stderr, "put: %d %s\n", r->code, r->message);
    kv_txn_result_free(r);
    atomic_fetch_add(&done, 1);
    if (atomic_load(&stop))
        atomic_store(&c->idle, true);
    else
        issue(c);
}

static void issue(struct client *c)
{
    snprintf(c->key, sizeof c->key, "/bench/%012" PRIu64, rng_below(&c->rng, keys));
    struct kv_op op = {.type = KV_OP_PUT,
                       .put = {.key = str_from(c->key), .value = {value, value_len}}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    kv_txn(c->kv, &t, NULL, finished, c);
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t written(void)
{
    char line[128];
    uint64_t n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "write_bytes: %" SCNu64, &n) == 1)
            break;
    if (f)
        fclose(f);
    return n;
}

static long status_kb(const char *field)
{
    char line[256], want[64];
    long kb = 0;
    snprintf(want, sizeof want, "%s: %%ld", field);
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, want, &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

static void open_members(const char *dir)
{
    char dirs[8][256], names[8][8], urls[8][64];
    struct kv_member_config m[8];
    struct str url[8];
    struct error err;
    for (int i = 0; i < members_len; i++) {
        snprintf(dirs[i], sizeof dirs[i], "%s/m%d", dir, i);
        snprintf(names[i], sizeof names[i], "m%d", i);
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", 23800 + i);
        url[i] = str_from(urls[i]);
        m[i] = (struct kv_member_config){str_from(names[i]), &url[i], 1};
    }
    for (int i = 0; i < members_len; i++) {
        struct kv_options o = {.data_dir = dirs[i],
                               .name = str_from(names[i]),
                               .members = m,
                               .members_len = (size_t)members_len,
                               .quota_bytes = 8ull << 30,
                               .map_bytes = 32ull << 30};
        members[i] = kv_open(&o, &err);
        if (!members[i]) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
    }
}

static struct kv *leader(void)
{
    for (;;) {
        for (int i = 0; i < members_len; i++) {
            struct kv_status st;
            kv_status(members[i], &st);
            if (st.leader_id == st.member_id)
                return members[i];
        }
        usleep(1000);
    }
}

static int cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sequential(struct kv *kv, double seconds)
{
    size_t cap = 1000000, n = 0;
    uint64_t *ns = mem_alloc(cap * sizeof *ns), end = clock_mono_ns() + (uint64_t)(seconds * 1e9);
    struct kv_op op = {.type = KV_OP_PUT,
                       .put = {.key = STR("/bench/one"), .value = {value, value_len}}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    uint64_t w = written();
    double cpu = cpu_s();
    while (clock_mono_ns() < end && n < cap) {
        uint64_t began = clock_mono_ns();
        kv_txn_result_free(kv_txn_wait(kv, &t));
        ns[n++] = clock_mono_ns() - began;
    }
    cpu = cpu_s() - cpu;
    w = written() - w;
    qsort(ns, n, sizeof *ns, cmp);
    printf(
        "sequential puts: %zu, p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, max %.3f ms; "
        "%.1f us CPU; %.1f KB written per put and member\n",
        n, (double)ns[n / 2] / 1e6, (double)ns[n * 9 / 10] / 1e6, (double)ns[n * 99 / 100] / 1e6,
        (double)ns[n * 999 / 1000] / 1e6, (double)ns[n - 1] / 1e6, cpu / (double)n * 1e6,
        (double)w / 1024 / (double)n / members_len);
    mem_free(ns);
}

static void concurrent(struct kv *kv, double seconds, int clients)
{
    struct client *c = mem_zalloc((size_t)clients * sizeof *c);
    for (int i = 0; i < clients; i++) {
        c[i].kv = kv;
        rng_seed(&c[i].rng, (uint64_t)i + 1);
        issue(&c[i]);
    }
    usleep(300000);
    uint64_t first = atomic_load(&done), w = written(), began = clock_mono_ns();
    double cpu = cpu_s();
    usleep((useconds_t)(seconds * 1e6));
    double took = (double)(clock_mono_ns() - began) / 1e9;
    uint64_t n = atomic_load(&done) - first;
    cpu = cpu_s() - cpu;
    w = written() - w;
    atomic_store(&stop, true);
    for (int i = 0; i < clients; i++)
        while (!atomic_load(&c[i].idle))
            usleep(1000);
    mem_free(c);
    printf("RssAnon %ld MB, VmRSS %ld MB (all members)\n", status_kb("RssAnon") / 1024,
           status_kb("VmRSS") / 1024);
    printf(
        "%s: %.0f puts/s, %.1f us CPU per put (all members), %.2f KB written per put and member\n",
        keys == 1 ? "one key" : "random keys", (double)n / took, cpu / (double)n * 1e6,
        (double)w / 1024 / (double)n / members_len);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: store_bench DIR MEMBERS put-one|put-random|put-sequential SECONDS "
                        "[CLIENTS] [KEYS] [VALUE_BYTES]\n");
        return 2;
    }
    log_set_level(LOG_WARN);
    members_len = atoi(argv[2]);
    double seconds = atof(argv[4]);
    int clients = argc > 5 ? atoi(argv[5]) : 1000;
    if (strcmp(argv[3], "put-random") == 0)
        keys = argc > 6 ? (size_t)atoll(argv[6]) : 1000000;
    value_len = argc > 7 ? (size_t)atoll(argv[7]) : 256;
    value = mem_alloc(value_len + 1);
    memset(value, 'v', value_len);
    open_members(argv[1]);
    struct kv *kv = leader();
    if (strcmp(argv[3], "put-sequential") == 0)
        sequential(kv, seconds);
    else
        concurrent(kv, seconds, clients);
    for (int i = 0; i < members_len; i++)
        kv_close(members[i]);
    return 0;
}
