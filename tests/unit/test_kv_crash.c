/*
 * The whole store, killed at any moment: by SIGKILL, and by a power loss that loses, reorders and tears
 * what was not flushed (disk_sim.h). After each restart the store is exactly what some number of the writes made
 * it, and that number is at least what was acknowledged. Once more with defragmentation going on all the time.
 *
 * Write i is known from i alone: every seventh deletes a range, every fifth writes three keys at once, the
 * others put one key. Each changes something, so write i has revision i + 2.
 */
#include "disk_sim.h"
#include "kvstore/kv.h"
#include "kvstore/kv_defrag.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS 40

struct shared {
    _Atomic int64_t acked; /* writes acknowledged */
    _Atomic int64_t defragmented;
};

static struct shared *shared;
static char dir[STORE_DIR_MAX];

static void key_of(int64_t k, char out[32])
{
    snprintf(out, 32, "key/%02d", (int)(k % KEYS));
}

static void value_of(int64_t i, char out[32])
{
    snprintf(out, 32, "value %lld", (long long)i);
}

/* The ten keys that write i deletes: two groups on from the one it puts into. */
static int64_t group_of(int64_t i)
{
    return (i % KEYS / 10 + 2) % 4;
}

/* Which write last touched key k within the first n, and whether it put it. */
static int64_t last_write(int64_t k, int64_t n, bool *there)
{
    for (int64_t i = n; i-- > 0;) {
        if (i % 7 == 6) {
            if (k / 10 == group_of(i)) {
                *there = false;
                return i;
            }
            if (i % KEYS == k || (i + 1) % KEYS == k) {
                *there = true;
                return i;
            }
        } else if (k == i % KEYS || (i % 5 == 0 && (k == (i + 1) % KEYS || k == (i + 2) % KEYS))) {
            *there = true;
            return i;
        }
    }
    *there = false;
    return -1;
}

static int write_one(struct kv *kv, int64_t i)
{
    char keys[4][32], value[32], end[32];
    struct kv_op ops[3];
    struct kv_txn_request t = {.then = ops};
    value_of(i, value);
    if (i % 7 == 6) { /* ten keys go, two come */
        int64_t group = group_of(i);
        snprintf(keys[3], sizeof keys[3], "key/%02d", (int)group * 10);
        snprintf(end, sizeof end, "key/%02d", (int)group * 10 + 10);
        ops[t.then_len++] = (struct kv_op){.type = KV_OP_DELETE,
                                           .del = {.key = str_from(keys[3]), .end = str_from(end)}};
        for (int k = 0; k < 2; k++) {
            key_of(i + k, keys[k]);
            ops[t.then_len++] = (struct kv_op){
                .type = KV_OP_PUT, .put = {.key = str_from(keys[k]), .value = str_from(value)}};
        }
    } else {
        for (int k = 0; k < (i % 5 == 0 ? 3 : 1); k++) {
            key_of(i + k, keys[k]);
            ops[t.then_len++] = (struct kv_op){
                .type = KV_OP_PUT, .put = {.key = str_from(keys[k]), .value = str_from(value)}};
        }
    }
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    int code = r->code;
    if (code == 0 && r->rev != i + 2)
        code = ERR_INTERNAL;
    kv_txn_result_free(r);
    return code;
}

static void power_is_gone(void *ctx, const struct error *why)
{
    (void)ctx;
    (void)why;
    disk_sim_reboot_and_exit();
}

static struct kv *open_store(const char *boot)
{
    struct error err;
    struct kv_options o = {.data_dir = dir,
                           .map_bytes = 64u << 20,
                           .quota_bytes = 32u << 20,
                           .checkpoint_ms = 20,
                           .log_keep_entries = 50,
                           .journal_segment_bytes = 32u << 10,
                           .boot_id = boot,
                           .fail_stop = power_is_gone};
    struct kv *kv = kv_open(&o, &err);
    if (!kv && disk_sim_dead())
        disk_sim_reboot_and_exit();
    if (!kv)
        fprintf(stderr, "kv_open: %s\n", err.message);
    return kv;
}

static void ignore(void *ctx, int code, int64_t rev)
{
    (void)ctx;
    (void)code;
    (void)rev;
}

static void *defragment(void *kv)
{
    struct logdb_defrag_info info;
    struct error err;
    for (;;)
        if (kv_defragment(kv, NULL, &info, &err) == 0)
            atomic_fetch_add(&shared->defragmented, 1);
        else if (err.code == ERR_IO || disk_sim_dead())
            pause();
    return NULL;
}

/* In a child: write until killed. */
static void child(const char *boot, int64_t from, uint64_t seed, bool power, bool defrag)
{
    pthread_t thread;
    struct rng rng;
    rng_seed(&rng, seed);
    if (power) {
        disk_sim_start(dir, seed);
        disk_sim_fail_after(1 + rng_below(&rng, rng_below(&rng, 3) ? 600 : 60));
    }
    struct kv *kv = open_store(boot);
    if (!kv)
        _exit(3);
    if (defrag && pthread_create(&thread, NULL, defragment, kv) != 0)
        _exit(5);
    for (int64_t i = from;; i++) {
        int code = write_one(kv, i);
        if (code && power) /* the failing thread is about to end the process */
            pause();
        if (code)
            _exit(4);
        atomic_store(&shared->acked, i + 1);
        /* compaction and restarts of its slices belong to the picture */
        if (i % 50 == 49)
            kv_compact(kv, i - 20, false, NULL, ignore, NULL);
    }
}

/* The state after n writes at its revision, and at an earlier one that is not compacted. */
static void check_state(struct kv *kv, int64_t n)
{
    struct arena a;
    struct error err;
    arena_init(&a);
    int64_t compacted = kv_compacted_revision(kv);
    int64_t revs[2] = {n + 1, MAX(MAX(n - 7, compacted), 1)};
    for (int at = 0; at < 2; at++) {
        struct kv_range_request q = {.key = STR("key/"), .end = STR("key0"), .rev = revs[at]};
        struct kv_range_result r;
        if (kv_range(kv, &q, &a, &r, &err) < 0)
            fail_msg("range at %lld: %s", (long long)revs[at], err.message);
        size_t seen = 0;
        for (int64_t k = 0; k < KEYS; k++) {
            char key[32], value[32];
            bool there;
            int64_t i = last_write(k, revs[at] - 1, &there);
            if (!there)
                continue;
            key_of(k, key);
            value_of(i, value);
            if (seen >= r.pairs_len)
                fail_msg("at %lld of %lld: %s and those after it are missing", (long long)revs[at],
                         (long long)n + 1, key);
            const struct kv_pair *p = &r.pairs[seen++];
            if (!str_eq(p->key, str_from(key)) || !str_eq(p->value, str_from(value)) ||
                p->mod_rev != i + 2)
                fail_msg(
                    "at %lld of %lld (compacted %lld): %.*s = %.*s of %lld in place of %s = %s",
                    (long long)revs[at], (long long)n + 1, (long long)compacted, STR_ARG(p->key),
                    STR_ARG(p->value), (long long)p->mod_rev, key, value);
        }
        assert_int_equal(seen, r.pairs_len);
    }
    arena_free(&a);
}

static void barrier(struct kv *kv)
{
    struct store_call c;
    store_call_begin(&c);
    kv_read_index(kv, NULL, store_call_ended, &c);
    int code = store_call_wait(&c);
    if (code) {
        fprintf(stderr, "read index: %d\n", code);
        abort();
    }
}

static void lives(bool power, bool defrag, int count)
{
    char boot[32] = "boot";
    struct rng rng;
    const char *s = getenv("C8S_SEED");
    uint64_t seed = s ? strtoull(s, NULL, 0) : 1000;
    rng_seed(&rng, seed + power);
    store_dir_make(dir, "crash");
    atomic_store(&shared->acked, 0);
    atomic_store(&shared->defragmented, 0);
    int64_t n = 0;
    for (int life = 0; life < count; life++) {
        uint64_t child_seed = rng_next(&rng);
        if (power)
            snprintf(boot, sizeof boot, "boot %d", 2 * life);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            child(boot, n, child_seed, power, defrag);
        int status;
        if (!power) {
            usleep((useconds_t)(60000 + rng_below(&rng, 80000)));
            kill(pid, SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (power ? !WIFEXITED(status) || WEXITSTATUS(status) != 0 : !WIFSIGNALED(status))
            fail_msg("seed %llu life %d: child ended with status %x", (unsigned long long)seed,
                     life, status);
        if (power)
            snprintf(boot, sizeof boot, "boot %d", 2 * life + 1);
        struct kv *kv = open_store(boot);
        assert_non_null(kv);
        /* The write under way may have made it. A barrier: Raft applies the end of the log once it leads. */
        int64_t acked = atomic_load(&shared->acked);
        barrier(kv);
        n = kv_current_revision(kv) - 1;
        if (n < acked || n > acked + 1)
            fail_msg("seed %llu life %d: acknowledged %lld, there are %lld",
                     (unsigned long long)seed, life, (long long)acked, (long long)n);
        check_state(kv, n);
        assert_int_equal(write_one(kv, n), 0);
        n++;
        atomic_store(&shared->acked, n);
        check_state(kv, n);
        kv_close(kv);
    }
    assert_true(n > count);
    if (defrag) {
        printf("%d lives: %lld writes, %lld times defragmented\n", count, (long long)n,
               (long long)atomic_load(&shared->defragmented));
        assert_true(atomic_load(&shared->defragmented) > count / 2);
    }
    store_dir_remove(dir);
}

static void sigkill(void **state)
{
    (void)state;
    lives(false, false, 25);
}

static void power_loss(void **state)
{
    (void)state;
    lives(true, false, 40);
}

static void sigkill_defragmenting(void **state)
{
    (void)state;
    lives(false, true, 25);
}

static void power_loss_defragmenting(void **state)
{
    (void)state;
    lives(true, true, 60);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(sigkill), cmocka_unit_test(power_loss),
                                       cmocka_unit_test(sigkill_defragmenting),
                                       cmocka_unit_test(power_loss_defragmenting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
