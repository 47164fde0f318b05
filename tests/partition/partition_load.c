/*
 * Concurrent clients of the store for the partition test, and the judgement of what they saw.
 *
 *   partition_load leader URL…                      prints the number (0…) of the URL that leads
 *   partition_load run SECONDS URL…                 puts, gets and compare-and-swaps on a few keys from
 *                                                   threads that each stay with one member; at the end
 *                                                   all keys are read from every member, and the whole
 *                                                   history must be linearizable
 *
 * Every error counts as "outcome unknown", whatever its code: a client must not conclude more.
 */
#include "tests/partition/linearizability.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "net/grpc.h"
#include "proto/etcd/rpc.pb-c.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 12
#define KEYS 16
#define CALL_MS 2000
#define PAUSE_US 15000 /* between two operations of a client: bounds the history's length */
#define URLS_MAX 9
#define NEIGHBOURHOOD_NS (3000 * NS_PER_MS)

typedef VEC(struct history_op) history;

struct client {
    pthread_t thread;
    uint32_t number;
    struct grpc_channel *channel;
    struct rng rng;
    history ops;
    size_t acknowledged, unknown;
};

static _Atomic uint64_t next_value = 1;
static _Atomic uint64_t until_ns;
static bool stale_reads; /* ask for reads that may be stale: the test of this test */

static struct grpc_channel *open_channel(struct loop *loop, const char *url)
{
    const char *targets[] = {url, NULL};
    struct grpc_channel_options o = {.targets = targets, .connect_timeout_ms = 1000};
    struct error err;
    struct grpc_channel *ch = grpc_channel_new(loop, &o, &err);
    if (!ch) {
        fprintf(stderr, "%s: %s\n", url, err.message);
        exit(2);
    }
    return ch;
}

/* ---- one operation ---- */

static ProtobufCBinaryData bytes(char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static bool call(struct grpc_channel *ch, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response, struct arena *arena,
                 ProtobufCMessage **out)
{
    return grpc_call_wait(ch, path, request, response, CALL_MS, arena, out, NULL, NULL) == 0;
}

static bool do_put(struct grpc_channel *ch, struct arena *arena, char *key, char *value)
{
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    ProtobufCMessage *answer;
    q.key = bytes(key);
    q.value = bytes(value);
    return call(ch, "/etcdserverpb.KV/Put", &q.base, &etcdserverpb__put_response__descriptor, arena,
                &answer);
}

/* 0 when there is no such key. */
static uint64_t value_of(const Etcdserverpb__RangeResponse *r)
{
    char text[32] = "0";
    if (r && r->n_kvs == 1)
        snprintf(text, sizeof text, "%.*s", (int)r->kvs[0]->value.len,
                 (const char *)r->kvs[0]->value.data);
    return strtoull(text, NULL, 10);
}

static bool do_get(struct grpc_channel *ch, struct arena *arena, char *key, uint64_t *value)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *answer;
    q.key = bytes(key);
    q.serializable = stale_reads;
    if (!call(ch, "/etcdserverpb.KV/Range", &q.base, &etcdserverpb__range_response__descriptor,
              arena, &answer))
        return false;
    *value = value_of((Etcdserverpb__RangeResponse *)answer);
    return true;
}

/* *seen: the value found instead when the comparison fails. */
static bool do_cas(struct grpc_channel *ch, struct arena *arena, char *key, uint64_t old,
                   char *value, bool *succeeded, uint64_t *seen)
{
    char old_text[32];
    snprintf(old_text, sizeof old_text, "%llu", (unsigned long long)old);
    Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT;
    c.key = bytes(key);
    if (old == 0) {
        c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
        c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        c.create_revision = 0;
    } else {
        c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
        c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        c.value = bytes(old_text);
    }
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes(key);
    put.value = bytes(value);
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op.request_put = &put;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes(key);
    Etcdserverpb__RequestOp otherwise = ETCDSERVERPB__REQUEST_OP__INIT;
    otherwise.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    otherwise.request_range = &range;
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    q.n_compare = q.n_success = q.n_failure = 1;
    q.failure = (Etcdserverpb__RequestOp *[]){&otherwise};
    q.compare = (Etcdserverpb__Compare *[]){&c};
    q.success = (Etcdserverpb__RequestOp *[]){&op};
    ProtobufCMessage *answer;
    if (!call(ch, "/etcdserverpb.KV/Txn", &q.base, &etcdserverpb__txn_response__descriptor, arena,
              &answer))
        return false;
    const Etcdserverpb__TxnResponse *r = (Etcdserverpb__TxnResponse *)answer;
    *succeeded = r->succeeded;
    if (!r->succeeded)
        *seen = r->n_responses == 1 ? value_of(r->responses[0]->response_range) : 0;
    return true;
}

/* ---- clients ---- */

static void record(struct client *c, struct history_op op, bool answered)
{
    op.end_ns = clock_mono_ns();
    op.unknown = !answered;
    c->acknowledged += answered;
    c->unknown += !answered;
    if (answered || op.kind != HISTORY_GET) /* a read without an answer says nothing */
        vec_push(&c->ops, op);
}

static void one_operation(struct client *c, uint64_t *last_seen)
{
    struct arena arena;
    arena_init(&arena);
    uint32_t key = (uint32_t)rng_below(&c->rng, KEYS);
    char name[32], text[32];
    snprintf(name, sizeof name, "register/%u", key);
    struct history_op op = {.key = key, .client = c->number, .start_ns = clock_mono_ns()};
    op.b = atomic_fetch_add(&next_value, 1);
    snprintf(text, sizeof text, "%llu", (unsigned long long)op.b);
    uint64_t seen = 0;
    bool ok;
    switch (rng_below(&c->rng, 3)) {
    case 0:
        op.kind = HISTORY_PUT;
        ok = do_put(c->channel, &arena, name, text);
        break;
    case 1:
        op.kind = HISTORY_CAS;
        op.a = last_seen[key];
        ok = do_cas(c->channel, &arena, name, op.a, text, &op.succeeded, &seen);
        if (ok && !op.succeeded) { /* no more than a look at the value */
            op.kind = HISTORY_GET;
            op.b = seen;
        }
        break;
    default:
        op.kind = HISTORY_GET;
        ok = do_get(c->channel, &arena, name, &op.b);
    }
    if (ok)
        last_seen[key] = op.b;
    record(c, op, ok);
    arena_free(&arena);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    uint64_t last_seen[KEYS] = {0};
    while (clock_mono_ns() < until_ns) {
        one_operation(c, last_seen);
        usleep(PAUSE_US / 2 + (useconds_t)rng_below(&c->rng, PAUSE_US));
    }
    return NULL;
}

/* Read every key from every member; each must answer. */
static bool final_reads(struct loop *loop, char **urls, int urls_len, history *all)
{
    for (int u = 0; u < urls_len; u++) {
        struct grpc_channel *ch = open_channel(loop, urls[u]);
        for (uint32_t key = 0; key < KEYS; key++) {
            struct arena arena;
            char name[32];
            snprintf(name, sizeof name, "register/%u", key);
            struct history_op op = {.key = key, .kind = HISTORY_GET};
            bool ok = false;
            for (int attempt = 0; attempt < 10 && !ok; attempt++) {
                arena_init(&arena);
                op.start_ns = clock_mono_ns();
                ok = do_get(ch, &arena, name, &op.b);
                op.end_ns = clock_mono_ns();
                arena_free(&arena);
            }
            if (!ok) {
                printf("final read of %s from %s failed\n", name, urls[u]);
                return false;
            }
            vec_push(all, op);
        }
        grpc_channel_free(ch);
    }
    return true;
}

static const char *const kind_names[] = {"put", "get", "cas"};

/* What happened to the offending key around the offending operation. */
static void tell_neighbours(const history *all, const struct history_verdict *v)
{
    for (size_t i = 0; i < all->len; i++) {
        const struct history_op *o = &all->items[i];
        if (o->key != v->key || o->start_ns + NEIGHBOURHOOD_NS < v->op.start_ns ||
            o->start_ns > v->op.end_ns + NEIGHBOURHOOD_NS)
            continue;
        printf("  %s a=%llu b=%llu succeeded=%d unknown=%d from %.3f to %.3f ms client=%u\n",
               kind_names[o->kind], (unsigned long long)o->a, (unsigned long long)o->b,
               o->succeeded, o->unknown, (double)o->start_ns / 1e6, (double)o->end_ns / 1e6,
               o->client);
    }
}

static int judge(history *all, size_t acknowledged, size_t unknown)
{
    struct history_verdict v;
    size_t n = all->len;
    history_check(all->items, all->len, &v);
    printf("%zu operations acknowledged, %zu ended unknown, %zu in the history, %zu judged "
           "(%zu of unknown outcome)\n",
           acknowledged, unknown, n, v.checked, v.unknown);
    if (v.linearizable) {
        printf("linearizable\n");
        return 0;
    }
    printf("%s: key register/%u, at %s a=%llu b=%llu succeeded=%d start=%llu end=%llu\n",
           v.gave_up ? "undecided" : "NOT LINEARIZABLE", v.key, kind_names[v.op.kind],
           (unsigned long long)v.op.a, (unsigned long long)v.op.b, v.op.succeeded,
           (unsigned long long)v.op.start_ns, (unsigned long long)v.op.end_ns);
    tell_neighbours(all, &v);
    return 1;
}

static int run(int seconds, char **urls, int urls_len)
{
    struct loop *loop = loop_start("clients");
    static struct client clients[CLIENTS];
    atomic_store(&until_ns, clock_mono_ns() + (uint64_t)seconds * NS_PER_S);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        rng_seed(&c->rng, random_u64());
        c->number = (uint32_t)i;
        c->channel = open_channel(loop, urls[i % urls_len]);
        if (pthread_create(&c->thread, NULL, client_main, c) != 0)
            return 2;
    }
    history all = {0};
    size_t acknowledged = 0, unknown = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        pthread_join(c->thread, NULL);
        grpc_channel_free(c->channel);
        for (size_t k = 0; k < c->ops.len; k++)
            vec_push(&all, c->ops.items[k]);
        acknowledged += c->acknowledged;
        unknown += c->unknown;
        vec_free(&c->ops);
    }
    bool read = final_reads(loop, urls, urls_len, &all);
    int rc = judge(&all, acknowledged, unknown);
    vec_free(&all);
    loop_join(loop);
    return read ? rc : 1;
}

/* The member that says of itself that it leads; of several, the one with the highest term. */
static int print_leader(char **urls, int urls_len)
{
    struct loop *loop = loop_start("clients");
    int leader = -1;
    uint64_t term = 0;
    for (int u = 0; u < urls_len; u++) {
        struct arena arena;
        arena_init(&arena);
        struct grpc_channel *ch = open_channel(loop, urls[u]);
        Etcdserverpb__StatusRequest q = ETCDSERVERPB__STATUS_REQUEST__INIT;
        ProtobufCMessage *answer;
        if (call(ch, "/etcdserverpb.Maintenance/Status", &q.base,
                 &etcdserverpb__status_response__descriptor, &arena, &answer)) {
            const Etcdserverpb__StatusResponse *s = (Etcdserverpb__StatusResponse *)answer;
            if (s->leader && s->leader == s->header->member_id && s->raftterm > term) {
                leader = u;
                term = s->raftterm;
            }
        }
        grpc_channel_free(ch);
        arena_free(&arena);
    }
    loop_join(loop);
    if (leader < 0)
        return 1;
    printf("%d\n", leader);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "leader") == 0)
        return print_leader(argv + 2, argc - 2);
    stale_reads = getenv("C8S_PARTITION_STALE_READS") != NULL;
    if (argc >= 4 && strcmp(argv[1], "run") == 0 && argc - 3 <= URLS_MAX && atoi(argv[2]) > 0)
        return run(atoi(argv[2]), argv + 3, argc - 3);
    fprintf(stderr, "usage: partition_load leader URL… | run SECONDS URL…\n");
    return 2;
}
