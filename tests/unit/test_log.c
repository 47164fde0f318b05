/*
 * The LMDB environment and the journal under power loss: whatever unsynced writes are lost, reordered
 * or torn, what was acknowledged is there, log and state agree, and nothing is there that was never
 * written. And under SIGKILL, where LMDB's pages survive in the page cache.
 *
 * The state machine of the test keeps KEYS slots: entry i puts i into slot i % KEYS, with a value long
 * enough to fill pages; `sum` counts what was applied.
 */
#include "disk_sim.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "raft/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS 97
#define LOG_MAX 100000

static struct {
    MDB_dbi slots;
} trees;

static int open_trees(void *ctx, MDB_txn *txn, struct error *err)
{
    (void)ctx;
    int rc = mdb_dbi_open(txn, "slots", MDB_CREATE | MDB_INTEGERKEY, &trees.slots);
    return rc ? error_set(err, ERR_IO, "%s", mdb_strerror(rc)) : 0;
}

/* What the member promised: for each index the term of the entry last persisted there. */
struct model {
    uint64_t term_at[LOG_MAX];
    uint64_t acked_last;          /* entries up to here, as in term_at, were flushed */
    struct raft_hard_state acked; /* flushed */
    /* what was being flushed when power failed: it may be there or not, as a whole */
    bool trying;
    uint64_t try_first, try_last, try_term;
    struct raft_hard_state try_hard;
    uint64_t applied, checkpointed; /* applied; and as of the last checkpoint that returned */
    uint64_t seq;
};

struct run {
    struct logdb *db;
    struct model *m;
    struct rng rng;
    struct host *host; /* NULL: the real one */
    char dir[64];
    char boot[32];
    unsigned boots;
    struct raft_persist to_log; /* flushed, not yet given to LMDB */
};

static int open_db(struct run *r, bool new_boot, struct error *err)
{
    struct raft_config founding = {.voters = {.len = 1, .ids = {7}}};
    if (new_boot)
        snprintf(r->boot, sizeof r->boot, "boot-%u", ++r->boots);
    struct logdb_options o = {.host = r->host ? r->host : host_posix(),
                              .dir = r->dir,
                              .map_bytes = 64u << 20,
                              .journal_segment_bytes = 64u << 10,
                              .founding = &founding,
                              .boot_id = r->boot,
                              .open_trees = open_trees};
    return logdb_open(&o, &r->db, err);
}

static struct blob *entry_data(uint64_t index, uint64_t term)
{
    size_t len = 24 + (index * 37 + term) % 700;
    struct blob *b = blob_new(len);
    for (size_t i = 0; i < len; i++)
        b->data[i] = (char)(index * 31 + term * 17 + i);
    return b;
}

static bool entry_is(const struct raft_entry *e, uint64_t index, uint64_t term)
{
    struct blob *b = entry_data(index, term);
    bool same =
        e->index == index && e->term == term && e->data && str_eq(blob_str(b), blob_str(e->data));
    blob_unref(b);
    return same;
}

/* Persist 1…8 new entries, sometimes rewriting an unapplied end in a new term. False: power failed. */
static bool do_persist(struct run *r, struct error *err)
{
    struct model *m = r->m;
    uint64_t first = m->acked_last + 1;
    struct raft_hard_state hard = m->acked;
    if (rng_below(&r->rng, 10) == 0) { /* a new leader cuts the end back */
        hard.term++;
        hard.vote = rng_below(&r->rng, 3);
        uint64_t room = m->acked_last - MAX(m->applied, m->acked.commit);
        first -= room ? rng_below(&r->rng, room + 1) : 0;
    }
    uint64_t n = 1 + rng_below(&r->rng, 8);
    struct raft_entry entries[8];
    for (uint64_t i = 0; i < n; i++)
        entries[i] = (struct raft_entry){.index = first + i,
                                         .term = hard.term,
                                         .kind = RAFT_ENTRY_DATA,
                                         .data = entry_data(first + i, hard.term)};
    hard.commit = MAX(hard.commit, first - 1);
    struct raft_persist p = {.seq = ++m->seq, .hard = hard, .entries = entries, .entries_len = n};
    m->trying = true;
    m->try_first = first;
    m->try_last = first + n - 1;
    m->try_term = hard.term;
    m->try_hard = hard;
    bool ok = logdb_persist(r->db, &p, 1, err) == 0;
    if (ok) {
        for (uint64_t i = 0; i < n; i++)
            m->term_at[first + i] = hard.term;
        m->acked_last = first + n - 1;
        m->acked = hard;
        m->trying = false;
        /* and into LMDB, with a random part of what is committed */
        struct logdb_txn txn;
        ok = logdb_begin(r->db, &txn, err) == 0;
        if (ok && logdb_txn_append(&txn, &p, 1, err) < 0) {
            logdb_abort(&txn);
            ok = false;
        }
        uint64_t upto = m->applied + rng_below(&r->rng, hard.commit - m->applied + 1);
        for (uint64_t i = m->applied + 1; ok && i <= upto; i++) {
            uint64_t slot = i % KEYS;
            struct blob *b = entry_data(i, m->term_at[i]);
            MDB_val k = {sizeof slot, &slot}, v = {b->len, b->data};
            ok = mdb_put(txn.mdb, trees.slots, &k, &v, 0) == 0;
            blob_unref(b);
            if (!ok)
                logdb_abort(&txn);
        }
        if (ok && upto > m->applied && logdb_txn_applied(&txn, upto, err) < 0) {
            logdb_abort(&txn);
            ok = false;
        }
        uint64_t base;
        if (ok && upto > 300 && rng_below(&r->rng, 4) == 0 &&
            logdb_txn_compact(&txn, upto - 250, 40, &base, err) < 0) {
            logdb_abort(&txn);
            ok = false;
        }
        if (ok)
            ok = logdb_commit(&txn, err) == 0;
        if (ok)
            m->applied = upto;
    }
    for (uint64_t i = 0; i < n; i++)
        blob_unref(entries[i].data);
    return ok;
}

static void slot_check(struct run *r, MDB_txn *txn, uint64_t slot, uint64_t applied)
{
    uint64_t index = applied / KEYS * KEYS + slot;
    if (index > applied)
        index = index >= KEYS ? index - KEYS : 0;
    MDB_val k = {sizeof slot, &slot}, v;
    int rc = mdb_get(txn, trees.slots, &k, &v);
    if (index <= 1) { /* the founding entry is no entry */
        if (applied <= 1)
            assert_int_equal(rc, MDB_NOTFOUND);
        return;
    }
    assert_int_equal(rc, 0);
    struct blob *b = entry_data(index, r->m->term_at[index]);
    assert_int_equal(v.mv_size, b->len);
    assert_memory_equal(v.mv_data, b->data, b->len);
    blob_unref(b);
}

/* After a restart: everything acknowledged is there, the state is that of its applied index. */
static void check(struct run *r)
{
    struct model *m = r->m;
    struct raft_boot boot;
    struct error err;
    if (logdb_boot(r->db, &boot, &err) < 0)
        fail_msg("boot: %s", err.message);
    bool tried = m->trying && boot.hard.term == m->try_hard.term &&
                 boot.last_index == m->try_last &&
                 (boot.last_index != m->acked_last || boot.hard.commit != m->acked.commit ||
                  boot.hard.term != m->acked.term);
    if (tried) { /* the batch under way made it, as a whole */
        for (uint64_t i = m->try_first; i <= m->try_last; i++)
            m->term_at[i] = m->try_term;
        m->acked_last = m->try_last;
        m->acked = m->try_hard;
    }
    m->trying = false;
    assert_int_equal(boot.hard.term, m->acked.term);
    assert_int_equal(boot.hard.vote, m->acked.vote);
    assert_true(boot.hard.commit >= m->acked.commit);
    assert_int_equal(boot.last_index, m->acked_last);
    assert_true(boot.applied >= m->checkpointed);
    assert_true(boot.applied <= MAX(m->applied, m->acked.commit));
    assert_true(boot.config.voters.len == 1 && boot.config.voters.ids[0] == 7);
    size_t n = 0, want = boot.last_index - boot.base_index;
    struct raft_entry *all = mem_zalloc((want + 1) * sizeof *all);
    assert_int_equal(
        logdb_entries(r->db, boot.base_index + 1, boot.last_index, UINT64_MAX, all, want, &n, &err),
        0);
    assert_int_equal(n, want);
    for (size_t i = 0; i < n; i++) {
        assert_true(
            entry_is(&all[i], boot.base_index + 1 + i, m->term_at[boot.base_index + 1 + i]));
        blob_unref(all[i].data);
    }
    mem_free(all);
    /* the term runs say the same */
    for (size_t i = 0; i < boot.runs_len; i++) {
        uint64_t to = i + 1 < boot.runs_len ? boot.runs[i + 1].index - 1 : boot.last_index;
        for (uint64_t k = boot.runs[i].index; k <= to; k++)
            assert_int_equal(m->term_at[k], boot.runs[i].term);
    }
    if (boot.base_index > 1)
        assert_int_equal(boot.base_term, m->term_at[boot.base_index]);
    MDB_txn *txn;
    assert_int_equal(logdb_read_begin(r->db, &txn, &err), 0);
    for (uint64_t s = 0; s < KEYS; s++)
        slot_check(r, txn, s, boot.applied);
    logdb_read_end(r->db, txn);
    m->applied = boot.applied;
    m->checkpointed = 0;
    m->acked.commit = boot.hard.commit;
    logdb_boot_free(&boot);
}

static void step(struct run *r, struct error *err, bool *alive)
{
    if (rng_below(&r->rng, 12) == 0) {
        uint64_t applied = r->m->applied;
        *alive = logdb_checkpoint(r->db, NULL, err) == 0;
        if (*alive)
            r->m->checkpointed = applied;
    } else {
        *alive = do_persist(r, err);
    }
}

static void run_init(struct run *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    rng_seed(&r->rng, seed);
    r->m = mem_zalloc(sizeof *r->m);
    r->m->acked = (struct raft_hard_state){.term = 1, .commit = 1};
    r->m->acked_last = 1;
    r->m->applied = 1;
    strcpy(r->dir, "/tmp/c8s-test-log.XXXXXX");
    assert_non_null(mkdtemp(r->dir));
}

static void run_free(struct run *r)
{
    char cmd[128];
    mem_free(r->m);
    snprintf(cmd, sizeof cmd, "rm -rf %s", r->dir);
    assert_int_equal(system(cmd), 0);
}

static unsigned rounds(void)
{
    const char *s = getenv("C8S_POWER_LOSS_ROUNDS");
    return s ? (unsigned)atoi(s) : 400;
}

/* Lives of 1…200 writes, each ended by a power loss; every third restart is cut off as well. */
static void power_loss(void **state)
{
    (void)state;
    struct run r;
    struct error err;
    unsigned lost = 0, recovered = 0, total = rounds();
    uint64_t seed = getenv("C8S_SEED") ? strtoull(getenv("C8S_SEED"), NULL, 0) : 1;
    for (unsigned life = 0; life < total;) {
        run_init(&r, seed + life);
        disk_sim_start(r.dir, seed + life);
        bool created = false;
        for (unsigned i = 0; i < 40 && life < total; i++, life++) {
            if (rng_below(&r.rng, 3) == 0)
                disk_sim_fail_after(1 + rng_below(&r.rng, 30)); /* while opening */
            else
                disk_sim_fail_after(1 + rng_below(&r.rng, 400));
            bool alive = open_db(&r, true, &err) == 0;
            if (!alive && !disk_sim_dead())
                fail_msg("seed %" PRIu64 " life %u: open: %s", seed, life, err.message);
            if (alive) {
                struct logdb_info info;
                logdb_info(r.db, &info);
                recovered += info.recovered_from_pin && info.recovered_batches > 0;
                check(&r);
                created = true;
                while (alive)
                    step(&r, &err, &alive);
                logdb_close(r.db);
            }
            assert_true(disk_sim_dead());
            lost++;
            disk_sim_reboot();
        }
        (void)created;
        disk_sim_stop();
        run_free(&r);
    }
    assert_true(lost == total);
    assert_true(recovered > total / 10); /* the case the test is about did happen */
}

/* The process dies, the page cache stays: LMDB is as it was, nothing is taken from the pin. */
static void sigkill(void **state)
{
    (void)state;
    struct run r;
    struct error err;
    run_init(&r, 77);
    struct model *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    *shared = *r.m;
    mem_free(r.m);
    r.m = shared;
    strcpy(r.boot, "one boot");
    for (int life = 0; life < 40; life++) {
        uint64_t seed = rng_next(&r.rng);
        useconds_t after = (useconds_t)(2000 + rng_below(&r.rng, 20000));
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            bool alive = open_db(&r, false, &err) == 0;
            rng_seed(&r.rng, seed);
            while (alive)
                step(&r, &err, &alive);
            _exit(1);
        }
        usleep(after);
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        uint64_t applied = r.m->applied;
        if (open_db(&r, false, &err) < 0)
            fail_msg("open: %s", err.message);
        struct logdb_info info;
        logdb_info(r.db, &info);
        assert_false(life > 0 && info.recovered_from_pin);
        assert_true(info.applied >= applied);
        check(&r);
        logdb_close(r.db);
    }
    assert_true(r.m->acked_last > 40);
    r.m = mem_zalloc(1);
    munmap(shared, sizeof *shared);
    run_free(&r);
}

/* A flushed record that has rotted is damage, not a torn tail. */
static void rot_is_reported(void **state)
{
    (void)state;
    struct run r;
    struct error err;
    run_init(&r, 5);
    assert_int_equal(open_db(&r, true, &err), 0);
    for (int i = 0; i < 20; i++)
        assert_true(do_persist(&r, &err));
    logdb_close(r.db);
    char path[128], byte;
    snprintf(path, sizeof path, "%s/journal/%016x.seg", r.dir, 1);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 64 + 200, SEEK_SET);
    assert_int_equal(fread(&byte, 1, 1, f), 1);
    byte ^= 1;
    fseek(f, 64 + 200, SEEK_SET);
    fwrite(&byte, 1, 1, f);
    fclose(f);
    assert_int_equal(open_db(&r, true, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "damaged"));
    run_free(&r);
}

#define SNAPSHOT_SLOT 3

/* A snapshot of one slot, whose text has four characters. */
static void install_snapshot(struct logdb *db, uint64_t index, char *text)
{
    struct logdb_stage *s;
    struct error err;
    MDB_txn *txn;
    uint64_t slot = SNAPSHOT_SLOT;
    MDB_val k = {sizeof slot, &slot}, v = {4, text};
    assert_int_equal(logdb_stage_begin(db, &s, &err), 0);
    assert_int_equal(logdb_stage_txn(s, &txn, &err), 0);
    assert_int_equal(mdb_put(txn, trees.slots, &k, &v, 0), 0);
    assert_int_equal(logdb_stage_commit(s, txn, &err), 0);
    struct raft_snapshot_meta meta = {
        .index = index, .term = 44, .config = {.voters = {.len = 1, .ids = {9}}}};
    assert_int_equal(logdb_stage_finish(s, &meta, &err), 0);
    struct raft_hard_state hard = {.term = 45, .vote = 3, .commit = index};
    assert_int_equal(logdb_stage_install(s, &hard, &err), 0);
}

static void snapshot_replaces_all(void **state)
{
    (void)state;
    struct run r;
    struct error err;
    run_init(&r, 6);
    assert_int_equal(open_db(&r, true, &err), 0);
    for (int i = 0; i < 30; i++)
        assert_true(do_persist(&r, &err));
    uint64_t slot = SNAPSHOT_SLOT;
    MDB_val k = {sizeof slot, &slot}, v;
    MDB_txn *txn;
    install_snapshot(r.db, 5000, "snap");
    for (int again = 0; again < 3; again++) {
        struct raft_boot boot;
        assert_int_equal(logdb_boot(r.db, &boot, &err), 0);
        assert_int_equal(boot.base_index, 5000);
        assert_int_equal(boot.base_term, 44);
        assert_int_equal(boot.last_index, 5000);
        assert_int_equal(boot.hard.term, 45);
        assert_int_equal(boot.hard.vote, 3);
        assert_int_equal(boot.config.voters.ids[0], 9);
        logdb_boot_free(&boot);
        assert_int_equal(logdb_read_begin(r.db, &txn, &err), 0);
        assert_int_equal(mdb_get(txn, trees.slots, &k, &v), 0);
        assert_memory_equal(v.mv_data, "snap", 4);
        logdb_read_end(r.db, txn);
        logdb_close(r.db);
        assert_int_equal(open_db(&r, again == 1, &err), 0);
    }
    logdb_close(r.db);
    run_free(&r);
}

/* ---- snapshots while defragmenting ---- */

struct busy_host {
    struct host host; /* first: the operations get a pointer to it */
    struct logdb *db;
    bool once;
};

/* The copy's directory has been made; before anything is in it two snapshots arrive, one after the other. */
static int mkdir_then_snapshots(struct host *host, const char *path)
{
    struct busy_host *b = (struct busy_host *)host;
    int rc = host_posix()->ops->mkdir(host_posix(), path);
    if (b->db && !b->once) {
        b->once = true;
        install_snapshot(b->db, 5000, "one ");
        install_snapshot(b->db, 6000, "two ");
    }
    return rc;
}

/* Each of the three has a directory of its own. (Found by the simulator: seed 104005.) */
static void snapshots_while_defragmenting(void **state)
{
    (void)state;
    struct host_ops ops = *host_posix()->ops;
    struct busy_host host = {.host = {&ops}};
    struct logdb_defrag_info info;
    struct run r;
    struct error err;
    ops.mkdir = mkdir_then_snapshots;
    run_init(&r, 7);
    r.host = &host.host;
    assert_int_equal(open_db(&r, true, &err), 0);
    for (int i = 0; i < 30; i++)
        assert_true(do_persist(&r, &err));
    host.db = r.db;
    int rc = logdb_defrag(r.db, &(struct logdb_defrag_options){0}, &info, &err);
    if (rc < 0)
        fail_msg("%s", err.message);
    assert_true(host.once);
    host.db = NULL;
    for (int again = 0; again < 2; again++) {
        uint64_t slot = SNAPSHOT_SLOT;
        MDB_val k = {sizeof slot, &slot}, v;
        MDB_txn *txn;
        assert_int_equal(logdb_read_begin(r.db, &txn, &err), 0);
        assert_int_equal(mdb_get(txn, trees.slots, &k, &v), 0);
        assert_memory_equal(v.mv_data, "two ", 4);
        logdb_read_end(r.db, txn);
        logdb_close(r.db);
        assert_int_equal(open_db(&r, true, &err), 0);
    }
    logdb_close(r.db);
    run_free(&r);
}

/* ---- a cold start ---- */

/* Does a page fault in data.mdb read that page alone? */
static bool reads_single_pages(void)
{
    char line[512];
    bool ours = false, single = false, found = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strstr(line, "/data.mdb"))
            ours = found = true;
        if (ours && strncmp(line, "VmFlags:", 8) == 0) {
            single = strstr(line, " rr") != NULL;
            ours = false;
        }
    }
    fclose(f);
    assert_true(found);
    return single;
}

static void a_start_reads_ahead_once_it_has_applied_what_it_found(void **state)
{
    (void)state;
    struct run r;
    struct error err;
    struct logdb_txn txn;
    run_init(&r, 7);
    assert_int_equal(open_db(&r, true, &err), 0);
    assert_false(reads_single_pages());
    do
        assert_true(do_persist(&r, &err));
    while (r.m->applied == r.m->acked_last);
    logdb_close(r.db);
    assert_int_equal(open_db(&r, false, &err), 0);
    assert_true(reads_single_pages());
    assert_int_equal(logdb_begin(r.db, &txn, &err), 0);
    assert_int_equal(logdb_txn_applied(&txn, r.m->acked_last, &err), 0);
    assert_int_equal(logdb_commit(&txn, &err), 0);
    assert_false(reads_single_pages());
    logdb_close(r.db);
    run_free(&r);
}

/* ---- a commit that others wait for fails ---- */

struct holding {
    struct logdb *db;
    atomic_bool wanted;
    struct error err;
};

static void commit_is_wanted(void *ctx, bool ours)
{
    struct holding *h = ctx;
    assert_false(ours);
    atomic_store(&h->wanted, true);
}

static void *wait_to_read(void *arg)
{
    struct holding *h = arg;
    MDB_txn *txn;
    int rc = logdb_read_begin(h->db, &txn, &h->err);
    if (rc == 0)
        logdb_read_end(h->db, txn);
    return (void *)(intptr_t)rc;
}

static void *wait_to_write(void *arg)
{
    struct holding *h = arg;
    struct logdb_txn txn;
    int rc = logdb_begin(h->db, &txn, &h->err);
    if (rc == 0)
        logdb_abort(&txn);
    return (void *)(intptr_t)rc;
}

static void *wait_to_checkpoint(void *arg)
{
    struct holding *h = arg;
    return (void *)(intptr_t)logdb_checkpoint(h->db, NULL, &h->err);
}

/* What is held has been answered: whoever waits for its commit must not be shown the state before it. */
static void who_waits_for_a_commit_learns_that_it_failed(void **state)
{
    void *(*const waits[])(void *) = {wait_to_read, wait_to_write, wait_to_checkpoint};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        char dir[] = "/tmp/c8s-log-XXXXXX", remove[64];
        struct holding h = {0};
        struct error err;
        struct raft_config founding = {.voters = {.len = 1, .ids = {7}}};
        assert_non_null(mkdtemp(dir));
        disk_sim_start(dir, i + 1);
        struct logdb_options o = {.host = host_posix(),
                                  .dir = dir,
                                  .map_bytes = 64u << 20,
                                  .journal_segment_bytes = 64u << 10,
                                  .founding = &founding,
                                  .boot_id = "boot",
                                  .open_trees = open_trees,
                                  .want_commit = commit_is_wanted,
                                  .want_commit_ctx = &h};
        assert_int_equal(logdb_open(&o, &h.db, &err), 0);
        struct raft_entry entry = {
            .index = 2, .term = 1, .kind = RAFT_ENTRY_DATA, .data = entry_data(2, 1)};
        struct raft_persist p = {
            .seq = 1, .hard = {.term = 1, .commit = 2}, .entries = &entry, .entries_len = 1};
        struct logdb_txn txn;
        assert_int_equal(logdb_persist(h.db, &p, 1, &err), 0);
        assert_int_equal(logdb_begin(h.db, &txn, &err), 0);
        assert_int_equal(logdb_txn_append(&txn, &p, 1, &err), 0);
        assert_int_equal(logdb_txn_applied(&txn, 2, &err), 0);
        assert_true(logdb_hold(&txn));

        pthread_t thread;
        void *rc;
        assert_int_equal(pthread_create(&thread, NULL, waits[i], &h), 0);
        while (!atomic_load(&h.wanted))
            usleep(1000);
        disk_sim_fail_after(1);
        assert_int_equal(logdb_commit(&txn, &err), ERR_IO);
        pthread_join(thread, &rc);
        assert_int_equal((intptr_t)rc, ERR_IO);
        assert_non_null(strstr(h.err.message, "failed write"));
        h.wanted = false;
        assert_int_equal((intptr_t)wait_to_read(&h), ERR_IO); /* nor who comes later */
        blob_unref(entry.data);
        logdb_close(h.db);
        disk_sim_stop();
        snprintf(remove, sizeof remove, "rm -rf %s", dir);
        assert_int_equal(system(remove), 0);
    }
}

struct visit {
    struct holding h;
    struct logdb_txn *txn;
    struct raft_persist batch;
};

/* As the raft thread does. It would wait for itself if it waited for the commit. */
static void *visit(void *arg)
{
    struct visit *v = arg;
    logdb_hold_visit(v->h.db, true);
    int rc = logdb_txn_append(v->txn, &v->batch, 1, &v->h.err);
    if (rc == 0)
        rc = logdb_txn_applied(v->txn, v->batch.entries->index, &v->h.err);
    void *read = rc == 0 ? wait_to_read(&v->h) : NULL;
    logdb_hold_visit(v->h.db, false);
    return rc == 0 ? read : (void *)(intptr_t)rc;
}

/* Another thread adds to what is held; who began it commits all, and what comes then is that thread's as before. */
static void a_visitor_adds_to_what_is_held(void **state)
{
    char dir[] = "/tmp/c8s-log-XXXXXX", remove[64];
    struct visit v = {0};
    struct raft_config founding = {.voters = {.len = 1, .ids = {7}}};
    struct error err;
    struct logdb_info info;
    pthread_t thread;
    void *rc;
    (void)state;
    assert_non_null(mkdtemp(dir));
    struct logdb_options o = {.host = host_posix(),
                              .dir = dir,
                              .map_bytes = 64u << 20,
                              .founding = &founding,
                              .boot_id = "boot",
                              .open_trees = open_trees,
                              .want_commit = commit_is_wanted,
                              .want_commit_ctx = &v.h};
    assert_int_equal(logdb_open(&o, &v.h.db, &err), 0);
    struct raft_entry entries[2];
    struct raft_persist p[2];
    for (uint64_t i = 0; i < 2; i++) {
        entries[i] = (struct raft_entry){
            .index = 2 + i, .term = 1, .kind = RAFT_ENTRY_DATA, .data = entry_data(2 + i, 1)};
        p[i] = (struct raft_persist){.seq = 1 + i,
                                     .hard = {.term = 1, .commit = 2 + i},
                                     .entries = &entries[i],
                                     .entries_len = 1};
    }
    struct logdb_txn txn;
    assert_int_equal(logdb_persist(v.h.db, p, 2, &err), 0);
    assert_int_equal(logdb_begin(v.h.db, &txn, &err), 0);
    assert_int_equal(logdb_txn_append(&txn, &p[0], 1, &err), 0);
    assert_int_equal(logdb_txn_applied(&txn, 2, &err), 0);
    assert_true(logdb_hold(&txn));
    v.txn = &txn;
    v.batch = p[1];
    assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    assert_false(v.h.wanted);
    assert_true(logdb_hold(&txn));
    assert_int_equal(logdb_commit(&txn, &err), 0);
    logdb_info(v.h.db, &info);
    assert_int_equal(info.applied, 3);
    assert_int_equal(logdb_begin(v.h.db, &txn, &err), 0); /* LMDB's lock is free */
    logdb_abort(&txn);
    logdb_close(v.h.db);
    blob_unref(entries[0].data);
    blob_unref(entries[1].data);
    snprintf(remove, sizeof remove, "rm -rf %s", dir);
    assert_int_equal(system(remove), 0);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rot_is_reported),
        cmocka_unit_test(snapshot_replaces_all),
        cmocka_unit_test(snapshots_while_defragmenting),
        cmocka_unit_test(a_start_reads_ahead_once_it_has_applied_what_it_found),
        cmocka_unit_test(who_waits_for_a_commit_learns_that_it_failed),
        cmocka_unit_test(a_visitor_adds_to_what_is_held),
        cmocka_unit_test(sigkill),
        cmocka_unit_test(power_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
