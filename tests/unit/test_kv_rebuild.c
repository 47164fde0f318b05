/*
 * A member whose state is damaged is rebuilt from its peers: three members over real sockets in one
 * process. Damage is done to one of them behind its back; it finds out, serves nothing more, raises
 * CORRUPT and ends; opened again it has the same state as the others, its log and its vote.
 */
#include "kvstore/alarm.h"
#include "kvstore/integrity/integrity.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/test_port.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMBERS 3
#define PATIENCE_US (60 * 1000 * 1000)

struct cluster {
    char dir[STORE_DIR_MAX];
    int ports[MEMBERS];
    struct kv *kv[MEMBERS];
    _Atomic int ended[MEMBERS];
    uint32_t compare_ms;
    uint64_t log_keep;
};

struct ender {
    struct cluster *c;
    int i;
} enders[MEMBERS];

static void ends(void *ctx, const struct error *why)
{
    struct ender *e = ctx;
    atomic_store(&e->c->ended[e->i], why->code);
}

static struct kv *member_open(struct cluster *c, int i, struct error *err)
{
    char dir[128], names[MEMBERS][8], urls[MEMBERS][64];
    struct kv_member_config m[MEMBERS];
    struct str url[MEMBERS];
    for (int k = 0; k < MEMBERS; k++) {
        snprintf(names[k], sizeof names[k], "m%d", k);
        snprintf(urls[k], sizeof urls[k], "http://127.0.0.1:%d", c->ports[k]);
        url[k] = str_from(urls[k]);
        m[k] = (struct kv_member_config){str_from(names[k]), &url[k], 1};
    }
    snprintf(dir, sizeof dir, "%s/m%d", c->dir, i);
    enders[i] = (struct ender){c, i};
    atomic_store(&c->ended[i], 0);
    struct kv_options o = {.data_dir = dir,
                           .name = str_from(names[i]),
                           .members = m,
                           .members_len = MEMBERS,
                           .map_bytes = 256u << 20,
                           .request_timeout_ms = 60000,
                           .log_keep_entries = c->log_keep,
                           .compare_ms = c->compare_ms,
                           .fail_stop = ends,
                           .fail_stop_ctx = &enders[i]};
    return kv_open(&o, err);
}

static void member_start(struct cluster *c, int i)
{
    struct error err;
    c->kv[i] = member_open(c, i, &err);
    if (!c->kv[i])
        fail_msg("member %d: %s", i, err.message);
}

static void member_stop(struct cluster *c, int i)
{
    kv_close(c->kv[i]);
    c->kv[i] = NULL;
}

static int setup_with(void **state, uint32_t compare_ms)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    store_dir_make(c->dir, "rebuild");
    c->compare_ms = compare_ms;
    for (int i = 0; i < MEMBERS; i++)
        c->ports[i] = test_port();
    for (int i = 0; i < MEMBERS; i++)
        member_start(c, i);
    *state = c;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_comparing(void **state)
{
    return setup_with(state, 300);
}

static int teardown(void **state)
{
    struct cluster *c = *state;
    for (int i = 0; i < MEMBERS; i++)
        kv_close(c->kv[i]);
    store_dir_remove(c->dir);
    mem_free(c);
    return 0;
}

static int try_put(struct kv *kv, const char *key, const char *value, int64_t *rev)
{
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(key), .value = str_from(value)}};
    return store_write(kv, &op, 1, rev);
}

static int64_t put(struct kv *kv, const char *key, const char *value)
{
    int64_t rev;
    for (int i = 0; i < PATIENCE_US / 10000; i++) {
        int code = try_put(kv, key, value, &rev);
        if (code == 0)
            return rev;
        if (code != ERR_UNAVAILABLE && code != ERR_CORRUPT) /* no leader; alarm not cleared yet */
            fail_msg("put: %d", code);
        usleep(10000);
    }
    fail_msg("no put gets through");
    return 0;
}

static int64_t fill(struct kv *kv, int from, int n)
{
    int64_t rev = 0;
    for (int i = from; i < from + n; i++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "/keys/%d", i % 100);
        snprintf(value, sizeof value, "value %d", i);
        rev = put(kv, key, value);
    }
    return rev;
}

#define EVENTUALLY(condition)                                   \
    do {                                                        \
        int waited = 0;                                         \
        while (!(condition)) {                                  \
            if ((waited += 10000) > PATIENCE_US)                \
                fail_msg("waited in vain for: %s", #condition); \
            usleep(10000);                                      \
        }                                                       \
    } while (0)

static int leader_of(struct cluster *c)
{
    for (int tries = 0; tries < PATIENCE_US / 10000; tries++) {
        for (int i = 0; i < MEMBERS; i++) {
            struct kv_status st;
            if (!c->kv[i])
                continue;
            kv_status(c->kv[i], &st);
            if (st.leader_id == st.member_id)
                return i;
        }
        usleep(10000);
    }
    fail_msg("no leader");
    return 0;
}

static void all_equal(struct cluster *c, int64_t rev)
{
    uint32_t hash[MEMBERS];
    int64_t hr, hc;
    struct error err;
    for (int i = 0; i < MEMBERS; i++) {
        EVENTUALLY(kv_current_revision(c->kv[i]) >= rev);
        assert_int_equal(kv_hash(c->kv[i], rev, &hash[i], &hr, &hc, &err), 0);
        if (kv_check(c->kv[i], &err) != 0)
            fail_msg("member %d: %s", i, err.message);
    }
    for (int i = 1; i < MEMBERS; i++)
        assert_int_equal(hash[0], hash[i]);
}

/* Remove the n-th record of `cur` without anybody's knowledge. */
static void lose_a_key(struct kv *kv, int n)
{
    struct logdb_txn txn;
    struct error err;
    MDB_cursor *c;
    MDB_val k, v;
    assert_int_equal(logdb_begin(kv->db, &txn, &err), 0);
    assert_int_equal(mdb_cursor_open(txn.mdb, kv->trees.cur, &c), 0);
    for (int i = 0; i <= n; i++)
        assert_int_equal(mdb_cursor_get(c, &k, &v, MDB_NEXT), 0);
    assert_int_equal(mdb_cursor_del(c, 0), 0);
    mdb_cursor_close(c);
    assert_int_equal(logdb_commit(&txn, &err), 0);
}

static void answered(void *ctx, int code, int64_t rev)
{
    (void)rev;
    atomic_store((_Atomic int *)ctx, code);
}

static void is_rebuilt(struct cluster *c, int i)
{
    struct error err;
    uint64_t id = c->kv[i]->member_id;
    assert_int_equal(kv_check(c->kv[i], &err), ERR_CORRUPT);
    EVENTUALLY(c->ended[i]);
    assert_int_equal(c->ended[i], ERR_CORRUPT);
    EVENTUALLY(kv_alarm_has(c->kv[(i + 1) % MEMBERS], id, KV_ALARM_CORRUPT));
    member_stop(c, i);
    member_start(c, i);
    EVENTUALLY(!kv_alarm_active(c->kv[(i + 1) % MEMBERS], KV_ALARM_CORRUPT));
}

static void a_follower_that_lost_a_key_is_rebuilt(void **state)
{
    struct cluster *c = *state;
    int64_t rev = fill(c->kv[0], 0, 300);
    int victim = (leader_of(c) + 1) % MEMBERS;
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    lose_a_key(c->kv[victim], 10);
    is_rebuilt(c, victim);
    rev = fill(c->kv[victim], 300, 50);
    all_equal(c, rev);
}

/* It would not remember that the alarm is its own, and never clear it. */
static void damage_that_cannot_be_noted_raises_no_alarm(void **state)
{
    struct cluster *c = *state;
    struct error err;
    char path[160];
    int64_t rev = fill(c->kv[0], 0, 300);
    int victim = (leader_of(c) + 1) % MEMBERS;
    struct kv *other = c->kv[(victim + 1) % MEMBERS];
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    snprintf(path, sizeof path, "%s/m%d/DAMAGED.tmp", c->dir, victim);
    assert_int_equal(mkdir(path, 0700), 0); /* the note's write fails */
    lose_a_key(c->kv[victim], 10);
    assert_int_equal(kv_check(c->kv[victim], &err), ERR_CORRUPT);
    EVENTUALLY(c->ended[victim]);
    assert_int_equal(c->ended[victim], ERR_IO);
    assert_int_equal(rmdir(path), 0);
    member_stop(c, victim);
    assert_false(kv_alarm_active(other, KV_ALARM_CORRUPT));
    put(other, "/keys/0", "writes go on");
    member_start(c, victim);
    is_rebuilt(c, victim);
    all_equal(c, fill(c->kv[victim], 300, 50));
}

/* The alarm may come out of the log after its clearing: it is cleared again (the simulator's seed 682). */
static void an_alarm_of_before_the_rebuild_that_comes_late_is_cleared(void **state)
{
    struct cluster *c = *state;
    int64_t rev = fill(c->kv[0], 0, 300);
    int victim = (leader_of(c) + 1) % MEMBERS;
    struct kv *other = c->kv[(victim + 1) % MEMBERS];
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    lose_a_key(c->kv[victim], 10);
    is_rebuilt(c, victim);
    _Atomic int raised = 1;
    kv_alarm_raise(other, c->kv[victim]->member_id, KV_ALARM_CORRUPT, NULL, answered, &raised);
    EVENTUALLY(raised <= 0);
    assert_int_equal(raised, 0);
    EVENTUALLY(!kv_alarm_active(other, KV_ALARM_CORRUPT));
    all_equal(c, fill(other, 300, 10)); /* and writes go on */
}

static void a_leader_that_lost_a_key_hands_over_and_is_rebuilt(void **state)
{
    struct cluster *c = *state;
    fill(c->kv[0], 0, 300);
    int victim = leader_of(c);
    lose_a_key(c->kv[victim], 20);
    is_rebuilt(c, victim);
    assert_int_not_equal(leader_of(c), victim);
    all_equal(c, fill(c->kv[victim], 300, 50));
}

/* The member is as little trusted after a crash in between: the mark stays until the new state is in. */
static void the_rebuild_waits_for_a_peer(void **state)
{
    struct cluster *c = *state;
    struct error err;
    struct buf why;
    buf_init(&why);
    int64_t rev = fill(c->kv[0], 0, 200);
    int victim = (leader_of(c) + 1) % MEMBERS;
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    error_set(&err, ERR_CORRUPT, "said so by the test");
    kv_damaged(c->kv[victim], &err);
    EVENTUALLY(c->ended[victim]);
    for (int i = 0; i < MEMBERS; i++)
        member_stop(c, i);
    /* one peer alone has no quorum, but its state */
    int peer = (victim + 1) % MEMBERS;
    member_start(c, peer);
    member_start(c, victim);
    assert_int_equal(logdb_marked(c->kv[victim]->db, INTEGRITY_DAMAGED, &why, &err), ERR_NOT_FOUND);
    rev = fill(c->kv[victim], 200, 20); /* the two are a majority */
    member_start(c, (victim + 2) % MEMBERS);
    all_equal(c, rev);
    buf_free(&why);
}

/* Whoever was away during elections gets a state of a term that it has never seen. */
static void the_rebuilt_state_may_be_of_a_later_term(void **state)
{
    struct cluster *c = *state;
    struct error err;
    int64_t rev = fill(c->kv[0], 0, 100);
    int leader = leader_of(c), victim = (leader + 1) % MEMBERS, other = (leader + 2) % MEMBERS;
    struct kv_status before, after;
    kv_status(c->kv[leader], &before);
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    error_set(&err, ERR_CORRUPT, "said so by the test");
    kv_damaged(c->kv[victim], &err);
    EVENTUALLY(c->ended[victim]);
    member_stop(c, victim);
    member_stop(c, leader);
    member_stop(c, other);
    member_start(c, leader);
    member_start(c, other);
    for (int i = 0; i < 2; i++) /* what a new leader begins its term with is applied */
        EVENTUALLY((kv_status(c->kv[i ? leader : other], &after), after.term > before.term) &&
                   after.leader_id && after.applied_index > before.applied_index);
    member_start(c, victim);
    EVENTUALLY(!kv_alarm_active(c->kv[leader], KV_ALARM_CORRUPT));
    all_equal(c, fill(c->kv[victim], 150, 20));
}

/*
 * Entries that the member has acknowledged stay: here its log goes further than the state of the only peer
 * that can help, and the last entries are on a quorum only together with it.
 */
static void the_log_behind_the_snapshot_stays(void **state)
{
    struct cluster *c = *state;
    struct error err;
    int leader = leader_of(c), victim = (leader + 1) % MEMBERS, helper = (leader + 2) % MEMBERS;
    int64_t rev = fill(c->kv[leader], 0, 200);
    EVENTUALLY(kv_current_revision(c->kv[helper]) >= rev);
    member_stop(c, helper);
    rev = fill(c->kv[victim], 200, 100); /* the helper lacks these */
    error_set(&err, ERR_CORRUPT, "said so by the test");
    kv_damaged(c->kv[victim], &err);
    EVENTUALLY(c->ended[victim]);
    member_stop(c, victim);
    member_stop(c, leader); /* for good: only the victim's log has the last hundred */
    member_start(c, helper);
    member_start(c, victim);
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    EVENTUALLY(kv_current_revision(c->kv[helper]) >= rev);
    rev = fill(c->kv[helper], 300, 20);
    member_start(c, leader);
    all_equal(c, rev);
}

/* Change a byte of an entry of the stored log. */
static void flip_entry(struct kv *kv, uint64_t index)
{
    struct logdb_txn txn;
    struct error err;
    MDB_val k = {sizeof index, &index}, v;
    MDB_dbi log;
    assert_int_equal(logdb_begin(kv->db, &txn, &err), 0);
    assert_int_equal(mdb_dbi_open(txn.mdb, "log", MDB_INTEGERKEY, &log), 0);
    assert_int_equal(mdb_get(txn.mdb, log, &k, &v), 0);
    char *copy = mem_dup(v.mv_data, v.mv_size);
    copy[v.mv_size - 1] ^= 16;
    v.mv_data = copy;
    assert_int_equal(mdb_put(txn.mdb, log, &k, &v, 0), 0);
    mem_free(copy);
    assert_int_equal(logdb_commit(&txn, &err), 0);
}

static void a_damaged_log_entry_is_found_by_the_walk(void **state)
{
    struct cluster *c = *state;
    struct logdb_info info;
    int64_t rev = fill(c->kv[0], 0, 300);
    int victim = (leader_of(c) + 1) % MEMBERS;
    EVENTUALLY(kv_current_revision(c->kv[victim]) >= rev);
    logdb_info(c->kv[victim]->db, &info);
    flip_entry(c->kv[victim], info.applied - 50);
    is_rebuilt(c, victim);
    all_equal(c, fill(c->kv[victim], 300, 50));
}

/* The leader needs an old entry for a follower that lags, and finds it damaged: the follower gets it from the
 * next leader, this one is rebuilt. */
static void a_leader_whose_log_is_damaged_is_rebuilt(void **state)
{
    struct cluster *c = *state;
    struct logdb_info info;
    int lagging = (leader_of(c) + 1) % MEMBERS, a = (lagging + 1) % MEMBERS,
        b = (lagging + 2) % MEMBERS;
    int64_t rev = fill(c->kv[a], 0, 100);
    EVENTUALLY(kv_current_revision(c->kv[lagging]) >= rev);
    logdb_info(c->kv[a]->db, &info);
    uint64_t damaged = info.last_index + 20;
    member_stop(c, lagging);
    rev = fill(c->kv[a], 100, 100);
    member_stop(c, a); /* what is in memory is not read from the disk */
    member_stop(c, b);
    member_start(c, a);
    member_start(c, b);
    int leader = leader_of(c), other = leader == a ? b : a;
    flip_entry(c->kv[leader], damaged);
    member_start(c, lagging);
    EVENTUALLY(c->ended[leader]);
    assert_int_equal(c->ended[leader], ERR_CORRUPT);
    member_stop(c, leader);
    EVENTUALLY(kv_current_revision(c->kv[lagging]) >= rev);
    member_start(c, leader);
    EVENTUALLY(!kv_alarm_active(c->kv[other], KV_ALARM_CORRUPT));
    all_equal(c, fill(c->kv[leader], 300, 50));
}

static void ignore(void *ctx, struct kv_txn_result *r)
{
    (void)ctx;
    kv_txn_result_free(r);
}

/*
 * Entries that were acknowledged and not applied yet are damaged: what they were is lost here, that there
 * were some is not. The member comes back once the others have got past them, and not before.
 */
static void a_damaged_end_of_the_log_waits_for_the_others_to_pass_it(void **state)
{
    struct cluster *c = *state;
    struct logdb_info info;
    int victim = leader_of(c), a = (victim + 1) % MEMBERS, b = (victim + 2) % MEMBERS;
    int64_t rev = fill(c->kv[victim], 0, 50);
    EVENTUALLY(kv_current_revision(c->kv[a]) >= rev && kv_current_revision(c->kv[b]) >= rev);
    member_stop(c, a);
    member_stop(c, b);
    for (int i = 0; i < 30; i++) { /* as long as it takes itself for the leader */
        struct kv_op op = {.type = KV_OP_PUT, .put = {.key = STR("/alone"), .value = STR("x")}};
        struct kv_txn_request t = {.then = &op, .then_len = 1};
        kv_txn(c->kv[victim], &t, NULL, ignore, NULL);
    }
    EVENTUALLY((logdb_info(c->kv[victim]->db, &info), info.last_index >= info.applied + 25));
    flip_entry(c->kv[victim], info.applied + 20);
    member_stop(c, victim);
    member_start(c, a);
    member_start(c, b);
    uint64_t passed = 0;
    rev = fill(c->kv[a], 50, 60);
    EVENTUALLY(kv_current_revision(c->kv[b]) >= rev);
    EVENTUALLY((passed = atomic_load(&c->kv[b]->applied)) >= info.last_index);
    member_start(c, victim);
    EVENTUALLY(!kv_alarm_active(c->kv[a], KV_ALARM_CORRUPT));
    all_equal(c, fill(c->kv[victim], 200, 20));
    logdb_info(c->kv[victim]->db, &info);
    assert_true(info.applied >= passed);
}

/* A state that is whole, but not the others': a walk finds nothing, the comparison does. */
static void a_state_that_differs_is_found_by_comparison(void **state)
{
    struct cluster *c = *state;
    struct logdb_txn txn;
    struct mvcc_write w;
    struct error err;
    int64_t rev = fill(c->kv[0], 0, 100);
    int victim = (leader_of(c) + 1) % MEMBERS;
    struct kv *kv = c->kv[victim];
    EVENTUALLY(kv_current_revision(kv) >= rev);
    struct kv_integrity_status before, after;
    kv_integrity_status(kv, &before);
    EVENTUALLY((kv_integrity_status(kv, &after), after.compared > before.compared + 1));
    /* Nobody writes now but the marks, which leave the revision alone; the apply thread takes its state
     * from memory, so change that, too, as a fault in the code would. */
    assert_int_equal(logdb_begin(kv->db, &txn, &err), 0);
    assert_int_equal(mvcc_write_open(&w, kv->db, &kv->trees, txn.mdb, &kv->state, &err), 0);
    assert_int_equal(mvcc_put(&w, STR("/keys/5"), STR("only here"), 0, &err), 0);
    mvcc_write_end_revision(&w);
    kv->state = w.state;
    assert_int_equal(mvcc_state_store(kv->db, txn.mdb, &w.state, &err), 0);
    mvcc_write_close(&w);
    assert_int_equal(logdb_commit(&txn, &err), 0);
    EVENTUALLY(c->ended[victim]);
    assert_int_equal(c->ended[victim], ERR_CORRUPT);
    assert_int_equal(c->ended[(victim + 1) % MEMBERS], 0);
    assert_int_equal(c->ended[(victim + 2) % MEMBERS], 0);
    member_stop(c, victim);
    member_start(c, victim);
    EVENTUALLY(!kv_alarm_active(c->kv[victim], KV_ALARM_CORRUPT));
    all_equal(c, fill(c->kv[victim], 200, 20));
}

int main(void)
{
    log_set_level(getenv("C8S_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_follower_that_lost_a_key_is_rebuilt, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_that_cannot_be_noted_raises_no_alarm, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_alarm_of_before_the_rebuild_that_comes_late_is_cleared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_lost_a_key_hands_over_and_is_rebuilt, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_rebuild_waits_for_a_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rebuilt_state_may_be_of_a_later_term, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_behind_the_snapshot_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_log_entry_is_found_by_the_walk, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_whose_log_is_damaged_is_rebuilt, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_end_of_the_log_waits_for_the_others_to_pass_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_that_differs_is_found_by_comparison,
                                        setup_comparing, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
