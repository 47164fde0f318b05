/*
 * What is stored is what was written: digests kept on apply, the walk that compares them with everything
 * there is, and damage made by hand to each tree (kvstore/kv_integrity.h). One member, in one process;
 * test_kv_rebuild has three and real bit flips.
 */
#include "kvstore/integrity/integrity.h"
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "raft/log_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char dir[STORE_DIR_MAX];
    struct kv *kv;
    struct rng rng;
    int ended;  /* code that the store ended with */
    bool exits; /* … and the process with it */
};

enum { ENDED_HOLDING = 42, ENDED_WITHOUT };

static void ends(void *ctx, const struct error *why)
{
    struct fixture *f = ctx;
    if (f->exits) /* is the transaction still open that it applied into? */
        _exit(f->kv->apply.txn.mdb ? ENDED_HOLDING : ENDED_WITHOUT);
    f->ended = why->code;
}

static void open_kv(struct fixture *f, bool initial_check)
{
    struct error err;
    struct kv_options o = {.data_dir = f->dir,
                           .map_bytes = 256u << 20,
                           .initial_corrupt_check = initial_check,
                           .fail_stop = ends,
                           .fail_stop_ctx = f};
    f->kv = kv_open(&o, &err);
    if (!f->kv)
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    store_dir_make(f->dir, "integrity");
    rng_seed(&f->rng, 7);
    open_kv(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kv_close(f->kv);
    store_dir_remove(f->dir);
    mem_free(f);
    return 0;
}

/* Short keys, and some longer than an LMDB key. */
static struct str key_at(char buf[1200], uint64_t n)
{
    int len = snprintf(buf, 1200, "/dir%u/key%04u", (unsigned)(n % 5), (unsigned)n);
    if (n % 16 == 3) {
        memset(buf + len, 'x', 1100);
        len += 1100;
    }
    return str_make(buf, (size_t)len);
}

static int put(struct fixture *f, uint64_t n, int64_t lease)
{
    char key[1200], value[64];
    snprintf(value, sizeof value, "value %llu", (unsigned long long)rng_next(&f->rng));
    struct kv_op op = {.type = KV_OP_PUT,
                       .put = {.key = key_at(key, n), .value = str_from(value), .lease = lease}};
    return store_write(f->kv, &op, 1, NULL);
}

static void churn(struct fixture *f, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        char key[1200];
        uint64_t n = rng_below(&f->rng, 300);
        if (rng_below(&f->rng, 4)) {
            assert_int_equal(put(f, n, 0), 0);
        } else {
            struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = key_at(key, n)}};
            assert_int_equal(store_write(f->kv, &op, 1, NULL), 0);
        }
    }
}

static void compact(struct kv *kv, int64_t rev)
{
    assert_int_equal(store_compact(kv, rev, true), 0);
}

static int64_t grant(struct kv *kv)
{
    int code;
    int64_t id = store_grant(kv, 0, 1000, &code);
    assert_int_equal(code, 0);
    return id;
}

static void revoke_lease(struct kv *kv, int64_t id)
{
    struct store_call c;
    store_call_begin(&c);
    kv_lease_revoke(kv, id, NULL, store_lease_call_ended, &c);
    assert_int_equal(store_call_wait(&c), 0);
}

static void check_finds_nothing(struct kv *kv)
{
    struct error err;
    if (kv_check(kv, &err) != 0)
        fail_msg("%s", err.message);
}

static void the_walk_agrees_with_what_was_written(void **state)
{
    struct fixture *f = *state;
    struct kv_integrity_status st;
    check_finds_nothing(f->kv);
    churn(f, 400);
    check_finds_nothing(f->kv);
    int64_t a = grant(f->kv), b = grant(f->kv);
    for (uint64_t n = 0; n < 50; n++)
        assert_int_equal(put(f, n, n % 2 ? a : b), 0);
    for (uint64_t n = 20; n < 30; n++)
        assert_int_equal(put(f, n, n % 2 ? b : 0), 0);
    check_finds_nothing(f->kv);
    revoke_lease(f->kv, a);
    check_finds_nothing(f->kv);
    compact(f->kv, kv_current_revision(f->kv) - 30);
    check_finds_nothing(f->kv);
    churn(f, 100);
    compact(f->kv, kv_current_revision(f->kv));
    check_finds_nothing(f->kv);
    struct kv_op all = {.type = KV_OP_DELETE, .del = {.key = STR("/"), .end = STR("0")}};
    assert_int_equal(store_write(f->kv, &all, 1, NULL), 0);
    check_finds_nothing(f->kv);
    assert_int_equal(put(f, 0, 0), 0); /* deletions of the compacted revision itself would stay */
    compact(f->kv, kv_current_revision(f->kv));
    check_finds_nothing(f->kv);
    kv_integrity_status(f->kv, &st);
    assert_int_equal(st.walks, 8);
    assert_int_equal(
        st.walked_keys,
        3); /* the lease that is left; the last key, among the live ones and in history */
    kv_close(f->kv);
    open_kv(f, true);
    churn(f, 50);
    check_finds_nothing(f->kv);
    assert_int_equal(f->ended, 0);
}

/* Random writes, compacted at their last revision; returns how many versions are left. */
static uint64_t compacted_in_steps(struct fixture *f, bool steps, uint32_t *hash)
{
    struct error err;
    struct kv_integrity_status st;
    int64_t rev, compacted;
    for (int i = 0; i < 300; i++) {
        churn(f, 1);
        if (steps && i % 3 == 0 && kv_current_revision(f->kv) > kv_compacted_revision(f->kv))
            compact(f->kv, kv_current_revision(f->kv)); /* often at a deletion */
    }
    if (kv_compacted_revision(f->kv) < kv_current_revision(f->kv))
        compact(f->kv, kv_current_revision(f->kv));
    check_finds_nothing(f->kv);
    kv_integrity_status(f->kv, &st);
    assert_int_equal(kv_hash(f->kv, 0, hash, &rev, &compacted, &err), 0);
    assert_int_equal(rev, compacted);
    return st.walked_keys;
}

/* Compaction leaves what its own revision wrote to the next: many small ones must come to the same as a single one. */
static void compactions_add_up(void **state)
{
    struct fixture *f = *state;
    struct fixture *again;
    uint32_t once, stepwise;
    assert_int_equal(setup((void **)&again), 0);
    uint64_t versions = compacted_in_steps(f, false, &once);
    assert_int_equal(compacted_in_steps(again, true, &stepwise), versions);
    assert_int_equal(once, stepwise);
    assert_int_equal(teardown((void **)&again), 0);
}

struct writer {
    struct fixture *f;
    atomic_bool stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; !atomic_load(&w->stop); i++) {
        churn(w->f, 20);
        if (i % 4 == 3)
            compact(w->f->kv, kv_current_revision(w->f->kv) - 10);
    }
    return NULL;
}

static void the_walk_is_exact_while_others_write_and_compact(void **state)
{
    struct fixture *f = *state;
    struct writer w = {.f = f};
    pthread_t thread;
    churn(f, 300);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 20; i++)
        check_finds_nothing(f->kv);
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    check_finds_nothing(f->kv);
}

/* ---- damage by hand ---- */

enum tree { CUR, HIST, LEASE, LEASE_KEY };

/* Delete or change one record of a tree behind the store's back. */
static void tamper(struct fixture *f, enum tree tree, bool remove, bool tombstone)
{
    struct kv *kv = f->kv;
    struct logdb_txn txn;
    struct error err;
    MDB_cursor *c;
    MDB_val k, v;
    MDB_dbi dbi = tree == CUR     ? kv->trees.cur
                  : tree == HIST  ? kv->trees.hist
                  : tree == LEASE ? kv->trees.lease
                                  : kv->trees.lease_key;
    assert_int_equal(logdb_begin(kv->db, &txn, &err), 0);
    assert_int_equal(mdb_cursor_open(txn.mdb, dbi, &c), 0);
    for (int n = 0;; n++) {
        assert_int_equal(mdb_cursor_get(c, &k, &v, MDB_NEXT), 0);
        bool is_tombstone = tree <= HIST && ((char *)v.mv_data)[4] & 1;
        if (n >= 3 && is_tombstone == tombstone)
            break;
    }
    if (remove) {
        assert_int_equal(mdb_cursor_del(c, 0), 0);
    } else {
        char *copy = mem_dup(v.mv_data, v.mv_size);
        copy[v.mv_size - 1] ^= 4;
        v.mv_data = copy;
        assert_int_equal(mdb_cursor_put(c, &k, &v, MDB_CURRENT), 0);
        mem_free(copy);
    }
    mdb_cursor_close(c);
    assert_int_equal(logdb_commit(&txn, &err), 0);
}

static void fill(struct fixture *f)
{
    int64_t lease = grant(f->kv);
    for (int i = 0; i < 5; i++)
        grant(f->kv);
    churn(f, 300);
    for (uint64_t n = 0; n < 20; n++)
        assert_int_equal(put(f, n, lease), 0);
}

static bool file_there(struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return access(path, F_OK) == 0;
}

/* The walk finds it; nothing is served any more; the store ends. */
static void expect_found(struct fixture *f, const char *words)
{
    struct error err;
    struct arena a;
    struct kv_range_request q = {.key = STR("/dir1/key0001")};
    struct kv_range_result r;
    arena_init(&a);
    assert_int_equal(kv_check(f->kv, &err), ERR_CORRUPT);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    assert_true(kv_is_damaged(f->kv));
    assert_int_equal(kv_range(f->kv, &q, &a, &r, &err), ERR_CORRUPT);
    assert_int_equal(put(f, 1, 0), ERR_CORRUPT);
    assert_true(file_there(f, INTEGRITY_DAMAGED));
    for (int i = 0; i < 6000 && !f->ended; i++)
        usleep(10000);
    assert_int_equal(f->ended, ERR_CORRUPT);
    assert_true(kv_alarm_has(f->kv, f->kv->member_id, KV_ALARM_CORRUPT));
    arena_free(&a);
}

static void a_lost_key_is_found(void **state)
{
    fill(*state);
    tamper(*state, CUR, true, false);
    expect_found(*state, "keys found");
}

static void a_lost_deletion_is_found(void **state)
{
    fill(*state);
    tamper(*state, CUR, true, true);
    expect_found(*state, "deletion");
}

static void a_changed_key_is_found(void **state)
{
    fill(*state);
    tamper(*state, CUR, false, false);
    expect_found(*state, "checksum");
}

static void a_lost_version_is_found(void **state)
{
    fill(*state);
    tamper(*state, HIST, true, false);
    expect_found(*state, "versions found");
}

static void a_changed_version_is_found(void **state)
{
    fill(*state);
    tamper(*state, HIST, false, false);
    expect_found(*state, "checksum");
}

static void a_lost_lease_is_found(void **state)
{
    fill(*state);
    tamper(*state, LEASE, true, false);
    expect_found(*state, "leases");
}

static void a_changed_lease_is_found(void **state)
{
    fill(*state);
    tamper(*state, LEASE, false, false);
    expect_found(*state, "walk leases");
}

static void a_lost_attachment_is_found(void **state)
{
    fill(*state);
    tamper(*state, LEASE_KEY, true, false);
    expect_found(*state, "leases");
}

/* A record that is read is found at once, without a walk. */
static void a_read_finds_a_changed_key(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    struct error err;
    struct kv_range_request q = {.key = STR("\0"), .end = STR("\0")};
    struct kv_range_result r;
    fill(f);
    tamper(f, CUR, false, false);
    arena_init(&a);
    q.key = q.end = str_make("", 1);
    assert_int_equal(kv_range(f->kv, &q, &a, &r, &err), ERR_CORRUPT);
    assert_true(kv_is_damaged(f->kv));
    arena_free(&a);
}

/*
 * Applying meets damage, in a transaction that may have what clients were told of: the end comes before it is given up,
 * else readers find the state before (the simulator's seed 100531). In a process of its own, since it ends that.
 */
static void whoever_fails_while_applying_ends_first(void **state)
{
    struct fixture f = {.exits = true};
    struct kv_op all = {.type = KV_OP_DELETE, .del = {.key = {"", 1}, .end = {"", 1}}};
    int status;
    (void)state;
    store_dir_make(f.dir, "integrity");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rng_seed(&f.rng, 7);
        open_kv(&f, false);
        fill(&f);
        tamper(&f, CUR, false, false);
        store_write(f.kv, &all, 1, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    store_dir_remove(f.dir);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ENDED_HOLDING);
}

static void damage_member_list(struct kv *kv)
{
    struct logdb_txn txn;
    struct error err;
    MDB_cursor *c;
    MDB_val k, v;
    bool found = false;
    assert_int_equal(logdb_begin(kv->db, &txn, &err), 0);
    assert_int_equal(mdb_cursor_open(txn.mdb, kv->db->env.meta, &c), 0);
    while (!found && mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0)
        found = str_has_suffix(str_make(k.mv_data, k.mv_size), STR("members"));
    assert_true(found);
    char *copy = mem_dup(v.mv_data, v.mv_size);
    copy[v.mv_size - 1] ^= 1;
    v.mv_data = copy;
    assert_int_equal(mdb_cursor_put(c, &k, &v, MDB_CURRENT), 0);
    mdb_cursor_close(c);
    mem_free(copy);
    assert_int_equal(logdb_commit(&txn, &err), 0);
}

/*
 * Who takes a snapshot without the member list takes sound members for removed ones (the simulator's seed 487). And to
 * have read damage is not to have failed to write: the store can still be written, and rebuilt (seed 32).
 */
static void no_snapshot_is_made_of_a_damaged_member_list(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot_reader *r;
    struct raft_snapshot_meta meta;
    struct logdb_txn txn;
    struct error err;
    struct str s;
    MDB_txn *read;
    damage_member_list(f->kv);
    assert_int_equal(logdb_read_begin(f->kv->db, &read, &err), 0);
    assert_int_equal(logdb_get_meta(f->kv->db, read, "members", &s), ERR_CORRUPT);
    logdb_read_end(f->kv->db, read);
    assert_int_equal(logdb_begin(f->kv->db, &txn, &err), 0);
    assert_int_equal(logdb_put_meta(f->kv->db, txn.mdb, "test", STR("written"), &err), 0);
    assert_int_equal(logdb_commit(&txn, &err), 0);
    assert_int_equal(snapshot_reader_open(f->kv, &r, &meta, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "members"));
    assert_true(kv_is_damaged(f->kv));
}

/* --initial-corrupt-check finds it before anything is served; alone, the member cannot be rebuilt and says
 * what to do. */
static void the_check_at_start_finds_a_lost_key(void **state)
{
    struct fixture *f = *state;
    struct error err;
    fill(f);
    tamper(f, CUR, true, false);
    kv_close(f->kv);
    f->kv = NULL;
    struct kv_options o = {
        .data_dir = f->dir, .map_bytes = 256u << 20, .initial_corrupt_check = true};
    assert_null(kv_open(&o, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.message, "backup"));
    o.initial_corrupt_check = false; /* it stays marked */
    assert_null(kv_open(&o, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Nothing outlives 100 ms, and the walk gives way. */
static void read_transactions_of_a_walk_are_short(void **state)
{
    struct fixture *f = *state;
    struct kv_integrity_status st;
    struct error err;
    struct logdb_txn txn;
    char key[32], value[256] = {0};
    /* many keys at once, not through the log: the digest is the same code */
    struct mvcc_write w;
    assert_int_equal(logdb_begin(f->kv->db, &txn, &err), 0);
    assert_int_equal(mvcc_write_open(&w, f->kv->db, &f->kv->trees, txn.mdb, &f->kv->state, &err),
                     0);
    for (int i = 0; i < 40000; i++) {
        snprintf(key, sizeof key, "/many/%06d", i);
        assert_int_equal(mvcc_put(&w, str_from(key), str_make(value, sizeof value), 0, &err), 0);
        if (i % 100 == 99)
            mvcc_write_end_revision(&w);
    }
    f->kv->state = w.state;
    assert_int_equal(mvcc_state_store(f->kv->db, txn.mdb, &w.state, &err), 0);
    mvcc_write_close(&w);
    assert_int_equal(logdb_commit(&txn, &err), 0);
    check_finds_nothing(f->kv);
    kv_integrity_status(f->kv, &st);
    assert_int_equal(st.walked_keys, 80000);
    assert_true(st.slice_max_us < 100000);
    print_message("longest read transaction of a walk: %llu us\n",
                  (unsigned long long)st.slice_max_us);
}

/* Of a long record only the head is looked at again: its numbers are those that were checked with the whole, or
 * it is read in full. */
static void numbers_of_long_records(void **state)
{
    enum { VALUE = 100 << 10 };
    struct record_heads *h = record_heads_new();
    struct kv_record r, now = {.id = {7, 1}, .create_rev = 5, .version = 2, .depth = 1};
    char *value = mem_zalloc(VALUE);
    struct error err;
    (void)state;
    now.value = str_make(value, VALUE);
    size_t n = kv_record_size(&now);
    char *p = mem_alloc(n), *at_value = p + n - VALUE;
    struct str in = str_make(p, n), key = STR("/registry/long"), other = STR("/registry/lonh");
    kv_record_write(&now, key, p, n);
    at_value[9] ^= 1; /* wrong before it was ever right */
    assert_int_equal(record_heads_read(h, in, key, &r, &err), ERR_CORRUPT);
    at_value[9] ^= 1;
    assert_int_equal(record_heads_read(h, in, other, &r, &err), ERR_CORRUPT);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(record_heads_read(h, in, key, &r, &err), 0);
        assert_true(r.id.rev == 7 && r.id.sub == 1 && r.create_rev == 5 && r.version == 2);
        assert_int_equal(r.value.n, VALUE);
        at_value[9] ^= 1; /* the numbers are right all the same */
    }
    at_value[9] ^= 1;
    assert_int_equal(record_heads_read(h, in, key, &r, &err), 0);
    assert_int_equal(kv_record_read(in, key, &r, &err), ERR_CORRUPT);
    /* Anything else about it than its value counts. */
    assert_int_equal(record_heads_read(h, in, other, &r, &err), ERR_CORRUPT);
    assert_int_equal(record_heads_read(h, str_make(p, n - 1), key, &r, &err), ERR_CORRUPT);
    for (char *q = p; q < at_value; q++) {
        *q ^= 1;
        assert_int_equal(record_heads_read(h, in, key, &r, &err), ERR_CORRUPT);
        *q ^= 1;
    }
    /* The next version is read in full, and takes its place. */
    now.id.rev = 8;
    now.version = 3;
    kv_record_write(&now, key, p, n);
    at_value[9] ^= 1;
    assert_int_equal(record_heads_read(h, in, key, &r, &err), ERR_CORRUPT);
    at_value[9] ^= 1;
    assert_int_equal(record_heads_read(h, in, key, &r, &err), 0);
    assert_true(r.id.rev == 8 && r.version == 3);
    mem_free(p);
    mem_free(value);
    record_heads_free(h);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_walk_agrees_with_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(compactions_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(the_walk_is_exact_while_others_write_and_compact, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(read_transactions_of_a_walk_are_short, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_key_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_deletion_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_key_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_version_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_version_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_lease_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_lease_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_attachment_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_read_finds_a_changed_key, setup, teardown),
        cmocka_unit_test(whoever_fails_while_applying_ends_first),
        cmocka_unit_test_setup_teardown(no_snapshot_is_made_of_a_damaged_member_list, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_check_at_start_finds_a_lost_key, setup, teardown),
        cmocka_unit_test(numbers_of_long_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
