/*
 * sim_store: run seeds over whole members, or look for a planted fault.
 *
 *   sim_store --seeds 2000 [--from 1] [--jobs 2] [--events 8000]     all must pass
 *   sim_store --twice --seeds 50                                     and be the same run again, event by event
 *   sim_store --seed 17 [--trace] [--fault NAME]                     one, told in detail
 *   sim_store --fault NAME --seeds N                                 must be found within N seeds
 *   sim_store --all-faults --seeds N                                 each of them
 *
 * Seeds are run by processes of their own, a handful each: what a killed member had allocated goes with
 * them, and an assertion, which ends the process, counts as a failure of the seed it was running.
 */
#include "faults.h"
#include "whole.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define SEEDS_PER_PROCESS 20
#define SEED_LIMIT_S 240 /* a seed takes a tenth of a second; sanitized, on a busy machine, some */

struct board {                  /* shared with the workers */
    atomic_uint_fast64_t taken; /* seeds */
    uint64_t from, n;
    uint64_t *hashes; /* [n], of what happened; NULL: nobody asks */
    bool backwards;
    atomic_bool found;
    struct run_result sum[JOBS_MAX];
    struct {
        uint64_t seed; /* being run; 0: none */
        char failure[sizeof W.failure];
    } worker[JOBS_MAX];
};

static void add(struct run_result *sum, const struct run_result *r)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)r;
    for (size_t i = 0; i < sizeof *r / sizeof *to; i++)
        to[i] += from[i];
}

static void work(struct board *b, int me, uint64_t faults)
{
    for (int i = 0; i < SEEDS_PER_PROCESS && !atomic_load(&b->found); i++) {
        uint64_t nth = atomic_fetch_add(&b->taken, 1);
        if (nth >= b->n)
            break;
        if (b->backwards)
            nth = b->n - 1 - nth;
        struct run_result r;
        b->worker[me].seed = b->from + nth;
        alarm(SEED_LIMIT_S); /* who hangs ends by a signal */
        run_seed(b->from + nth, faults, false, b->worker[me].failure, &r);
        add(&b->sum[me], &r);
        if (b->hashes)
            b->hashes[nth] = r.hash;
        b->worker[me].seed = 0;
    }
    _exit(0);
}

static pid_t start_worker(struct board *b, int me, uint64_t faults, bool quiet)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid > 0)
        return pid;
    if (quiet && !freopen("/dev/null", "w", stderr))
        _exit(2);
    work(b, me, faults);
    return 0;
}

struct options {
    uint64_t seeds, seed, from;
    int jobs;
    bool trace, twice, all_faults;
    const struct fault_name *fault;
};

struct search {
    uint64_t seed; /* the failing one; 0: none */
    char failure[sizeof W.failure];
    struct run_result sum;
};

static void *shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static const char *ending(int status)
{
    return !WIFSIGNALED(status)          ? "the process ended"
           : WTERMSIG(status) == SIGALRM ? "it hangs"
           : WTERMSIG(status) == SIGABRT ? "an assertion of the store or the simulator"
                                         : strsignal(WTERMSIG(status));
}

/* Run the seeds of `o` over its jobs' processes; stops at the first failure. */
static void search(const struct options *o, uint64_t faults, bool quiet, uint64_t *hashes,
                   bool backwards, struct search *out)
{
    struct board *b = shared(sizeof *b);
    pid_t pids[JOBS_MAX];
    int jobs = o->jobs, running = jobs;
    memset(out, 0, sizeof *out);
    b->from = o->from;
    b->n = o->seeds;
    b->hashes = hashes;
    b->backwards = backwards;
    for (int i = 0; i < jobs; i++)
        pids[i] = start_worker(b, i, faults, quiet);
    while (running > 0) {
        int status, me = 0;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR)
            continue;
        while (me < jobs && pids[me] != pid)
            me++;
        if (me == jobs)
            continue;
        running--;
        if (status != 0) {
            atomic_store(&b->found, true);
            if (!out->seed || b->worker[me].seed < out->seed) {
                out->seed = b->worker[me].seed;
                snprintf(out->failure, sizeof out->failure, "%s",
                         b->worker[me].failure[0] ? b->worker[me].failure : ending(status));
            }
        } else if (!atomic_load(&b->found) && atomic_load(&b->taken) < b->n) {
            pids[me] = start_worker(b, me, faults, quiet);
            running++;
        }
    }
    for (int i = 0; i < jobs; i++)
        add(&out->sum, &b->sum[i]);
    munmap(b, sizeof *b);
}

static void tell(uint64_t n, const struct run_result *r)
{
    printf("%llu seeds passed: %llu events, %llu virtual s; %llu writes acknowledged, %llu "
           "rejected, %llu unknown, %llu reads, %llu watch events, %llu lease answers, %llu leases "
           "expired, %llu compactions, %llu hashes compared; %llu elections, %llu crashes (%llu of "
           "power), %llu disk errors, %llu times a full disk, %llu bits flipped, %llu rebuilt, "
           "%llu ruined, %llu batches applied into held transactions, %llu snapshots installed, "
           "%llu defragmentations, %llu membership changes\n",
           (unsigned long long)n, (unsigned long long)r->steps,
           (unsigned long long)r->virtual_ms / 1000, (unsigned long long)r->counts.writes,
           (unsigned long long)r->counts.rejected, (unsigned long long)r->counts.unknown,
           (unsigned long long)r->counts.reads, (unsigned long long)r->counts.watch_events,
           (unsigned long long)r->counts.leases, (unsigned long long)r->counts.expired,
           (unsigned long long)r->counts.compactions, (unsigned long long)r->counts.hashes,
           (unsigned long long)r->elections, (unsigned long long)r->crashes,
           (unsigned long long)r->powers, (unsigned long long)r->disk_errors,
           (unsigned long long)r->full, (unsigned long long)r->flips,
           (unsigned long long)r->rebuilt, (unsigned long long)r->ruined,
           (unsigned long long)r->held, (unsigned long long)r->snapshots,
           (unsigned long long)r->counts.defrags, (unsigned long long)r->changes);
}

static int find_fault(const struct options *o, const struct fault_name *f)
{
    struct search s;
    search(o, f->fault, true, NULL, false, &s);
    if (!s.seed) {
        printf("%-22s NOT FOUND within %llu seeds\n", f->name, (unsigned long long)o->seeds);
        return 1;
    }
    printf("%-22s found, seed %llu: %s\n", f->name, (unsigned long long)s.seed, s.failure);
    return 0;
}

static int find_faults(const struct options *o)
{
    int failed = 0;
    for (size_t i = 0; i < fault_names_len; i++)
        if ((o->all_faults && !fault_names[i].rare) || &fault_names[i] == o->fault)
            failed += find_fault(o, &fault_names[i]);
    return failed ? 1 : 0;
}

static int run_one(const struct options *o)
{
    char *failure = shared(sizeof W.failure);
    fflush(stdout);
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        struct run_result r;
        run_seed(o->seed, o->fault ? o->fault->fault : 0, o->trace, failure, &r);
        tell(1, &r);
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status)
        printf("seed %llu FAILED %s\n", (unsigned long long)o->seed,
               failure[0] ? failure : ending(status));
    return status != 0;
}

static int failed(const struct search *s)
{
    printf("seed %llu FAILED %s\n   again, told in detail: sim_store --events %llu --seed %llu "
           "--trace\n",
           (unsigned long long)s->seed, s->failure, (unsigned long long)storm_events,
           (unsigned long long)s->seed);
    return 1;
}

/* Once more in the opposite order, beside other seeds in the same process: nothing may differ. */
static int run_again(const struct options *o, const uint64_t *hashes)
{
    struct search s;
    uint64_t *again = shared(o->seeds * sizeof *again);
    search(o, 0, false, again, true, &s);
    if (s.seed)
        return failed(&s);
    for (uint64_t i = 0; i < o->seeds; i++)
        if (hashes[i] != again[i]) {
            printf("seed %llu FAILED: it is not the same run a second time\n",
                   (unsigned long long)(o->from + i));
            return 1;
        }
    printf("%llu seeds ran the same twice\n", (unsigned long long)o->seeds);
    return 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_many(const struct options *o)
{
    struct search s;
    uint64_t *hashes = shared(o->seeds * sizeof *hashes);
    double begin = seconds();
    search(o, 0, false, hashes, false, &s);
    double wall = seconds() - begin;
    if (s.seed)
        return failed(&s);
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    tell(o->seeds, &s.sum);
    printf("%.1f s, %d at a time; %.1f s of processor: %.1f seeds/s and %.0f events/s on a core; "
           "trace %016llx\n",
           wall, o->jobs, cpu, (double)o->seeds / cpu, (double)s.sum.steps / cpu,
           (unsigned long long)s.sum.hash);
    return o->twice ? run_again(o, hashes) : 0;
}

static int usage(void)
{
    fputs("usage: sim_store (--seeds N [--from N] [--jobs N] [--twice] | --seed N [--trace]) "
          "[--events N] [--fault NAME | --all-faults]\n",
          stderr);
    return 2;
}

static const struct fault_name *fault_of(const char *name)
{
    for (size_t i = 0; i < fault_names_len; i++)
        if (strcmp(fault_names[i].name, name) == 0)
            return &fault_names[i];
    return NULL;
}

static bool parse_switch(struct options *o, const char *flag)
{
    bool *to = strcmp(flag, "--trace") == 0        ? &o->trace
               : strcmp(flag, "--twice") == 0      ? &o->twice
               : strcmp(flag, "--all-faults") == 0 ? &o->all_faults
                                                   : NULL;
    if (to)
        *to = true;
    return to != NULL;
}

static bool parse_value(struct options *o, const char *flag, const char *value)
{
    uint64_t n = strtoull(value, NULL, 10);
    if (strcmp(flag, "--seeds") == 0)
        o->seeds = n;
    else if (strcmp(flag, "--seed") == 0)
        o->seed = n;
    else if (strcmp(flag, "--from") == 0)
        o->from = n;
    else if (strcmp(flag, "--jobs") == 0)
        o->jobs = n < JOBS_MAX ? (int)n : JOBS_MAX;
    else if (strcmp(flag, "--events") == 0)
        storm_events = n;
    else if (strcmp(flag, "--fault") == 0)
        return (o->fault = fault_of(value)) != NULL;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    o.jobs = o.jobs < JOBS_MAX ? o.jobs : JOBS_MAX;
    for (int i = 1; i < argc; i++) {
        if (parse_switch(&o, argv[i]))
            continue;
        if (i + 1 == argc || !parse_value(&o, argv[i], argv[i + 1]))
            return usage();
        i++;
    }
    if ((!o.seeds && !o.seed) || o.jobs < 1 || storm_events < 100)
        return usage();
    return o.seed ? run_one(&o) : (o.all_faults || o.fault) ? find_faults(&o) : run_many(&o);
}
