/*
 * Concurrent clients of the store under faults, and the judgement of what they saw (load.h).
 *
 *   robustness_load run --workload NAME[,NAME…]|all [--seed N] [--tls CA CERT KEY] URL…
 *       runs the clients until a line comes on standard input, or its end: the faults must be healed
 *       by then. Then checks, prints a line per workload, and exits 1 when one was violated.
 *   robustness_load status [--tls CA CERT KEY] URL…
 *       prints for each URL: member id, leader id, term, applied index; "down" without an answer.
 */
#include "tests/robustness/load.h"

#include "net/tls.h"
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static const struct workload *const workloads[] = {&register_workload, &set_workload,
                                                   &append_workload,   &watch_workload,
                                                   &lease_workload,    &lock_workload};
#define WORKLOADS (sizeof workloads / sizeof *workloads)

struct running {
    const struct workload *workload;
    void *state;
    struct client *clients;
    pthread_t *threads;
    int clients_len;
};

uint32_t load_generation(const struct load *l)
{
    return (uint32_t)((clock_mono_ns() - l->start_ns) / (GENERATION_S * NS_PER_S));
}

uint64_t load_value(struct load *l)
{
    return atomic_fetch_add(&l->next_value, 1);
}

struct grpc_channel *load_channel(struct load *l, int member)
{
    const char *targets[] = {l->urls[member], NULL};
    struct grpc_channel_options o = {.targets = targets, .connect_timeout_ms = 1000, .tls = l->tls};
    struct error err;
    struct grpc_channel *ch = grpc_channel_new(l->loop, &o, &err);
    if (!ch) {
        fprintf(stderr, "%s: %s\n", l->urls[member], err.message);
        exit(2);
    }
    return ch;
}

void load_pause(const struct load *l, uint64_t ms)
{
    for (uint64_t until = clock_mono_ns() + ms * NS_PER_MS; clock_mono_ns() < until && !l->stop;)
        usleep(ms < 20 ? (useconds_t)ms * 1000 : 20000);
}

/* ---- clients ---- */

struct client_start {
    const struct running *run;
    struct client *client;
};

static void *client_main(void *arg)
{
    struct client_start start = *(struct client_start *)arg;
    struct client *c = start.client;
    uint32_t pause_us = start.run->workload->pause_us;
    mem_free(arg);
    while (!c->load->stop) {
        start.run->workload->client(start.run->state, c);
        usleep(pause_us / 2 + (useconds_t)rng_below(&c->rng, pause_us));
    }
    return NULL;
}

static void start_clients(struct load *l, struct running *r, uint32_t *number)
{
    r->clients_len = r->workload->clients * l->members;
    r->clients = mem_zalloc((size_t)r->clients_len * sizeof *r->clients);
    r->threads = mem_zalloc((size_t)r->clients_len * sizeof *r->threads);
    r->state = r->workload->create(l);
    for (int i = 0; i < r->clients_len; i++) {
        struct client *c = &r->clients[i];
        struct client_start *start = mem_alloc(sizeof *start);
        *start = (struct client_start){r, c};
        c->load = l;
        c->member = i % l->members;
        c->number = (*number)++;
        c->channel = load_channel(l, c->member);
        rng_seed(&c->rng, l->seed * 1000 + c->number);
        if (pthread_create(&r->threads[i], NULL, client_main, start) != 0)
            abort();
    }
}

/* ---- the end: every member serves, and all have the same ---- */

static uint64_t fold(uint64_t h, const void *p, size_t n)
{
    for (const uint8_t *b = p; n > 0; b++, n--)
        h = (h ^ *b) * 0x100000001b3ull;
    return h;
}

/* A number for all that a member has under "rob/" at a revision, or now (*revision 0; then it is set). */
static bool fingerprint(struct load *l, int member, int64_t *revision, uint64_t *out)
{
    const Etcdserverpb__RangeResponse *r;
    struct arena arena;
    arena_init(&arena);
    bool ok = load_get(l->channels[member], &arena, "rob/", true, false, *revision, &r);
    if (ok && *revision == 0)
        *revision = r->header->revision;
    *out = 0xcbf29ce484222325ull;
    for (size_t i = 0; ok && i < r->n_kvs; i++) {
        const Mvccpb__KeyValue *kv = r->kvs[i];
        const int64_t numbers[] = {kv->create_revision, kv->mod_revision, kv->version, kv->lease};
        *out = fold(fold(*out, kv->key.data, kv->key.len), kv->value.data, kv->value.len);
        *out = fold(*out, numbers, sizeof numbers);
    }
    arena_free(&arena);
    return ok;
}

static bool all_the_same(struct load *l)
{
    uint64_t first = 0, other, deadline = clock_mono_ns() + FINISH_S * NS_PER_S;
    int64_t revision = 0;
    for (int m = 0; m < l->members; m++) {
        while (!fingerprint(l, m, &revision, m == 0 ? &first : &other)) {
            if (clock_mono_ns() > deadline) {
                printf("VIOLATED members: %s does not serve\n", l->urls[m]);
                return false;
            }
            usleep(100000);
        }
        if (m > 0 && other != first) {
            printf("VIOLATED members: %s and %s differ at revision %" PRId64 "\n", l->urls[0],
                   l->urls[m], revision);
            return false;
        }
    }
    printf("ok       members: %d have the same at revision %" PRId64 "\n", l->members, revision);
    return true;
}

static bool finish_one(struct load *l, struct running *r)
{
    struct verdict v = {0};
    char figures[256] = "";
    size_t answered = 0, unanswered = 0;
    for (int i = 0; i < r->clients_len; i++) {
        grpc_channel_free(r->clients[i].channel);
        answered += r->clients[i].answered;
        unanswered += r->clients[i].unanswered;
    }
    r->workload->finish(r->state, l, &v, figures, sizeof figures);
    mem_free(r->clients);
    mem_free(r->threads);
    printf("%s %s: %zu calls answered, %zu not; %s\n", v.bad ? "VIOLATED" : "ok      ",
           r->workload->name, answered, unanswered, figures);
    if (v.bad)
        printf("         %s\n", v.why);
    fflush(stdout);
    return !v.bad;
}

static int run(struct load *l, const char *names)
{
    struct running running[WORKLOADS];
    size_t len = 0;
    uint32_t number = 0;
    bool ok = true;
    char list[256], line[64];
    snprintf(list, sizeof list, ",%s,", names);
    for (size_t i = 0; i < WORKLOADS; i++) {
        char name[64];
        snprintf(name, sizeof name, ",%s,", workloads[i]->name);
        if (strcmp(names, "all") == 0 || strstr(list, name))
            running[len++] = (struct running){.workload = workloads[i]};
    }
    if (len == 0) {
        fprintf(stderr, "no such workload: %s\n", names);
        return 2;
    }
    for (size_t i = 0; i < len; i++)
        start_clients(l, &running[i], &number);
    printf("running\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) == NULL && !feof(stdin))
        clearerr(stdin);
    l->stopped_ns = clock_mono_ns();
    l->stop = true;
    for (size_t i = 0; i < len; i++)
        for (int c = 0; c < running[i].clients_len; c++)
            pthread_join(running[i].threads[c], NULL);
    for (size_t i = 0; i < len; i++)
        ok = finish_one(l, &running[i]) && ok;
    ok = all_the_same(l) && ok;
    return ok ? 0 : 1;
}

static int print_status(struct load *l)
{
    for (int m = 0; m < l->members; m++) {
        Etcdserverpb__StatusRequest q = ETCDSERVERPB__STATUS_REQUEST__INIT;
        ProtobufCMessage *answer;
        struct arena arena;
        arena_init(&arena);
        if (grpc_call_wait(l->channels[m], "/etcdserverpb.Maintenance/Status", &q.base,
                           &etcdserverpb__status_response__descriptor, 1000, &arena, &answer, NULL,
                           NULL) == 0) {
            const Etcdserverpb__StatusResponse *s = (Etcdserverpb__StatusResponse *)answer;
            printf("%" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIu64 "\n", s->header->member_id,
                   s->leader, s->raftterm, s->raftappliedindex);
        } else {
            printf("down\n");
        }
        arena_free(&arena);
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: robustness_load run --workload NAMES [--seed N] [--tls CA CERT KEY] URL…\n"
            "       robustness_load status [--tls CA CERT KEY] URL…\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct load l = {.seed = 1, .next_value = 1, .start_ns = clock_mono_ns()};
    const char *names = "all";
    struct error err;
    int at = 2;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--workload") == 0 && at + 1 < argc)
            names = argv[++at];
        else if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc)
            l.seed = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--stale-reads") == 0)
            l.stale_reads = true;
        else if (strcmp(argv[at], "--tls") == 0 && at + 3 < argc) {
            struct tls_options o = {
                .ca_file = argv[at + 1], .cert_file = argv[at + 2], .key_file = argv[at + 3]};
            l.tls = tls_client_new(&o, &err);
            if (!l.tls) {
                fprintf(stderr, "%s\n", err.message);
                return 2;
            }
            at += 3;
        } else
            return usage();
    }
    l.urls = argv + at;
    l.members = argc - at;
    if (argc < 3 || l.members < 1 || l.members > MEMBERS_MAX)
        return usage();
    l.loop = loop_start("load");
    for (int m = 0; m < l.members; m++)
        l.channels[m] = load_channel(&l, m);
    int code = strcmp(argv[1], "run") == 0      ? run(&l, names)
               : strcmp(argv[1], "status") == 0 ? print_status(&l)
                                                : usage();
    for (int m = 0; m < l.members; m++)
        grpc_channel_free(l.channels[m]);
    loop_join(l.loop);
    tls_context_unref(l.tls);
    return code;
}
