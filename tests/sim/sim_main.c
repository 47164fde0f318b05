/*
 * sim_raft: run seeds, or look for a planted fault.
 *
 *   sim_raft --seeds 2000 [--from 1] [--jobs 2]        all must pass
 *   sim_raft --seed 17 [--trace] [--fault NAME]        one, told in detail
 *   sim_raft --fault NAME --seeds N                    must be found within N seeds
 *   sim_raft --all-faults --seeds N                    each of them
 *
 * Seeds are spread over processes, so that an assertion of the core, which ends its process, counts
 * as a failure of the seed it was running.
 */
#include "sim.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 64

static const struct {
    const char *name;
    uint32_t fault;
} fault_names[] = {
    {"vote-forgotten", RAFT_FAULT_VOTE_FORGOTTEN},
    {"snapshot-loses-vote", RAFT_FAULT_SNAPSHOT_LOSES_VOTE},
    {"old-term-commit", RAFT_FAULT_OLD_TERM_COMMIT},
    {"ack-unflushed", RAFT_FAULT_ACK_UNFLUSHED},
    {"apply-unflushed", RAFT_FAULT_APPLY_UNFLUSHED},
    {"learner-counted", RAFT_FAULT_LEARNER_COUNTED},
    {"read-before-commit", RAFT_FAULT_READ_BEFORE_COMMIT},
    {"read-without-quorum", RAFT_FAULT_READ_WITHOUT_QUORUM},
    {"early-change", RAFT_FAULT_EARLY_CHANGE},
    {"joint-one-half", RAFT_FAULT_JOINT_ONE_HALF},
    {"truncate-matched", RAFT_FAULT_TRUNCATE_MATCHED},
    {"journal-cut", RAFT_FAULT_JOURNAL_CUT},
};

/* Shared with the workers. */
struct board {
    atomic_uint_fast64_t next; /* seed to take */
    uint64_t last;
    atomic_bool found;
    atomic_uint_fast64_t steps, committed, elections, reads, changes, snapshots, crashes;
    struct {
        uint64_t seed; /* being run; 0: none */
        bool failed;
        char failure[512];
    } worker[JOBS_MAX];
};

static void work(struct board *b, int me, uint32_t faults)
{
    for (;;) {
        uint64_t seed = atomic_fetch_add(&b->next, 1);
        if (seed > b->last || atomic_load(&b->found))
            break;
        b->worker[me].seed = seed;
        struct sim_result r;
        sim_run(seed, faults, false, &r);
        if (r.failed) {
            memcpy(b->worker[me].failure, r.failure, sizeof r.failure);
            b->worker[me].failed = true;
            atomic_store(&b->found, true);
            _exit(1);
        }
        atomic_fetch_add(&b->steps, r.steps);
        atomic_fetch_add(&b->committed, r.committed);
        atomic_fetch_add(&b->elections, r.elections);
        atomic_fetch_add(&b->reads, r.reads);
        atomic_fetch_add(&b->changes, r.changes);
        atomic_fetch_add(&b->snapshots, r.snapshots);
        atomic_fetch_add(&b->crashes, r.crashes);
        b->worker[me].seed = 0;
    }
    exit(0); /* with the sanitizer's search for leaks */
}

struct search {
    uint64_t seed; /* the failing one; 0: none */
    char failure[512];
};

/* Run seeds [from, from + n) over `jobs` processes; stops at the first failure. */
static struct search search(uint64_t from, uint64_t n, int jobs, uint32_t faults, bool quiet)
{
    struct board *b =
        mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    atomic_store(&b->next, from);
    b->last = from + n - 1;
    fflush(stdout);
    pid_t pids[JOBS_MAX];
    for (int i = 0; i < jobs; i++) {
        pids[i] = fork();
        if (pids[i] < 0) {
            perror("fork");
            exit(2);
        }
        if (pids[i] == 0) {
            if (quiet && !freopen("/dev/null", "w", stderr))
                _exit(2);
            work(b, i, faults);
        }
    }
    struct search result = {0};
    for (int i = 0; i < jobs; i++) {
        int status;
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        if (status == 0)
            continue;
        atomic_store(&b->found, true);
        result.seed = b->worker[i].seed ? b->worker[i].seed : b->last;
        snprintf(result.failure, sizeof result.failure, "%s",
                 b->worker[i].failed ? b->worker[i].failure
                                     : "the core stopped at one of its own assertions");
    }
    if (!result.seed && !quiet)
        printf("%llu seeds passed: %llu steps, %llu entries committed, %llu elections, %llu reads, "
               "%llu membership changes applied, %llu snapshots installed, %llu crashes\n",
               (unsigned long long)n, (unsigned long long)b->steps,
               (unsigned long long)b->committed, (unsigned long long)b->elections,
               (unsigned long long)b->reads, (unsigned long long)b->changes,
               (unsigned long long)b->snapshots, (unsigned long long)b->crashes);
    munmap(b, sizeof *b);
    return result;
}

static int find_fault(size_t i, uint64_t from, uint64_t n, int jobs)
{
    struct search s = search(from, n, jobs, fault_names[i].fault, true);
    if (!s.seed) {
        printf("%-20s NOT FOUND within %llu seeds\n", fault_names[i].name, (unsigned long long)n);
        return 1;
    }
    printf("%-20s found, seed %llu: %s\n", fault_names[i].name, (unsigned long long)s.seed,
           s.failure);
    return 0;
}

static int run_one(uint64_t seed, uint32_t faults, bool trace)
{
    struct sim_result r;
    sim_run(seed, faults, trace, &r);
    if (r.failed) {
        printf("seed %llu FAILED %s\n", (unsigned long long)seed, r.failure);
        return 1;
    }
    printf(
        "seed %llu passed: %llu steps, %llu committed, %llu elections, %llu reads, %llu changes, "
        "%llu snapshots, %llu crashes\n",
        (unsigned long long)seed, (unsigned long long)r.steps, (unsigned long long)r.committed,
        (unsigned long long)r.elections, (unsigned long long)r.reads, (unsigned long long)r.changes,
        (unsigned long long)r.snapshots, (unsigned long long)r.crashes);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_raft [--seed N [--trace]] [--seeds N] [--from N] [--jobs N] "
                    "[--fault NAME | --all-faults]\nfaults:");
    for (size_t i = 0; i < ARRAY_LEN(fault_names); i++)
        fprintf(stderr, " %s", fault_names[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static size_t fault_index(const char *name)
{
    size_t i = 0;
    while (i < ARRAY_LEN(fault_names) && strcmp(fault_names[i].name, name) != 0)
        i++;
    return i;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, seeds = 2000, from = 1;
    int jobs = 2;
    size_t fault = ARRAY_LEN(fault_names);
    bool all_faults = false, trace = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--all-faults") == 0)
            all_faults = true;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--jobs") == 0)
            jobs = atoi(value), i++;
        else if (strcmp(argv[i], "--fault") == 0)
            fault = fault_index(value), i++;
        else
            return usage();
    }
    if (jobs < 1 || jobs > JOBS_MAX || seeds == 0)
        return usage();
    if (seed)
        return run_one(seed, fault < ARRAY_LEN(fault_names) ? fault_names[fault].fault : 0, trace);
    if (fault < ARRAY_LEN(fault_names))
        return find_fault(fault, from, seeds, jobs);
    int rc = 0;
    if (all_faults) {
        for (size_t i = 0; i < ARRAY_LEN(fault_names); i++)
            rc |= find_fault(i, from, seeds, jobs);
        return rc;
    }
    struct search s = search(from, seeds, jobs, 0, false);
    if (!s.seed)
        return 0;
    printf("seed %llu FAILED %s\nreproduce: sim_raft --seed %llu --trace\n",
           (unsigned long long)s.seed, s.failure, (unsigned long long)s.seed);
    return 1;
}
