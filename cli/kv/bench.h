/*
 * `c8s kv bench`, inside: one run of the load generator, shared by its verbs.
 *
 *   bench.c            flags, the closed or paced loop of unary requests (put, range, txn), the report
 *   bench_stream.c     watch and lease keep-alive, which live on streams
 *
 * One thread, a loop's, does all of it, so that any two servers are driven alike.
 */
#ifndef C8S_CLI_KV_BENCH_H
#define C8S_CLI_KV_BENCH_H

#include "base/random.h"
#include "base/vec.h"
#include "cli/kv/kv.h"

#define BENCH_CHANNELS_MAX 64 /* endpoints */

enum bench_kind { BENCH_PUT, BENCH_RANGE, BENCH_TXN, BENCH_WATCH, BENCH_LEASE };

struct bench {
    struct kv_cli cli;
    enum bench_kind kind;
    /* flags */
    int64_t connections, clients, total, key_size, val_size, key_space, seed, rate, limit;
    int64_t duration_ns;
    int64_t reads, txn_ops; /* txn: percentage that only reads; operations in each */
    int64_t watchers;       /* watch */
    int64_t leases;         /* lease */
    bool random, all;
    const char *consistency, *prefix;

    /* loop thread */
    struct grpc_channel *channels[BENCH_CHANNELS_MAX]; /* one per endpoint */
    size_t channels_len;
    struct rng rng;
    int64_t sent, answered, errors;
    VEC(uint64_t) latency_ns; /* of each request answered (watch: of each event) */
    VEC(uint64_t) put_ns;     /* watch: of each put */
    char first_error[256];
    uint8_t *key, *value;
    uint64_t start_ns, end_ns, until_ns; /* until_ns 0: no limit of time */
    uv_sem_t ended;
    bool over;
    struct loop_timer pace;
    struct list idle; /* paced: clients without a request */
    void *stream_run; /* bench_stream.c's own, in the arena */
    size_t streams_len;
};

/* A client: one request under way at a time. */
struct bench_client {
    struct bench *bench;
    struct grpc_channel *channel;
    uint64_t start_ns;
    struct list link;
};

/* A run, connected by kv_cli_start, of which `report_to` tells when it is over. 0 or an exit code. */
int bench_run(struct bench *b, void (*report_to)(struct bench *b));

/* May another request be sent? Counts it. */
bool bench_take(struct bench *b);
/* A request that began at `start_ns` was answered. */
void bench_answered(struct bench *b, uint64_t start_ns, const struct grpc_result *result);
/* Everything asked for is done: wakes the main thread. Once. */
void bench_over(struct bench *b);
/* The next key, valid until the next call. */
ProtobufCBinaryData bench_key(struct bench *b);

/* bench_stream.c: loop thread; they end with bench_over. */
void bench_watch_begin(struct bench *b);
void bench_lease_begin(struct bench *b);
/* Main thread, before and after: 0 or an exit code. */
int bench_leases_grant(struct bench *b);
void bench_leases_revoke(struct bench *b);

#endif
