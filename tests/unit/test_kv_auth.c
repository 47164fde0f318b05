/*
 * Users, roles and permissions: what permissions of several roles cover together (held against a slow
 * second implementation), and that a change holds for requests that were under way when it came, survives a
 * restart, and travels in snapshots.
 */
#include "kvstore/auth/auth.h"
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- ranges ---- */

static bool covers(const struct kv_auth_permission *perms, size_t n, bool write, const char *key,
                   const char *end)
{
    struct arena a;
    arena_init(&a);
    struct auth_ranges r = auth_ranges_make(&a, perms, n, write);
    bool yes = auth_ranges_cover(&r, str_from(key),
                                 cstr_eq(end, "OPEN") ? str_make("\0", 1) : str_from(end));
    arena_free(&a);
    return yes;
}

#define OPEN str_make("\0", 1)

static void permissions_add_up(void **state)
{
    (void)state;
    const struct kv_auth_permission p[] = {
        {KV_AUTH_READ, STR("a"), STR("c")},  {KV_AUTH_READWRITE, STR("c"), STR("e")},
        {KV_AUTH_READ, STR("g"), STR_NONE},  {KV_AUTH_WRITE, STR("b"), STR("d")},
        {KV_AUTH_READ, STR("x"), OPEN},      {KV_AUTH_READ, STR("xx"), STR("xy")},
        {KV_AUTH_READ, STR("d"), STR("dd")}, {KV_AUTH_WRITE, STR("\xff"), STR_NONE},
    };
    const struct {
        const char *key, *end;
        bool read, write;
    } cases[] = {
        {"a", "", true, false},       {"a", "c", true, false},  {"a", "e", true, false},
        {"a", "e\x01", false, false}, {"b", "e", true, true},   {"b", "d", true, true},
        {"bz", "cz", true, true},     {"e", "", false, false},  {"g", "", true, false},
        {"g", "h", false, false},     {"gg", "", false, false}, {"w", "OPEN", false, false},
        {"x", "OPEN", true, false},   {"x", "y", true, false},  {"zz", "OPEN", true, false},
        {"a", "OPEN", false, false},  {"\xff", "", true, true}, {"", "", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(covers(p, ARRAY_LEN(p), false, cases[i].key, cases[i].end), cases[i].read);
        assert_int_equal(covers(p, ARRAY_LEN(p), true, cases[i].key, cases[i].end), cases[i].write);
    }
}

/* Keys of one letter a…h: a range is covered when each of its letters, and each gap behind one, is in some permission. */
static bool slow_covers(const struct kv_auth_permission *p, size_t n, int from, int to)
{
    for (int at = from; at < to; at++) {
        bool found = false;
        for (size_t i = 0; i < n; i++)
            found |= p[i].key.p[0] <= 'a' + at && p[i].end.n && p[i].end.p[0] > 'a' + at;
        if (!found)
            return false;
    }
    return true;
}

static void random_permissions_agree(void **state)
{
    (void)state;
    static const char letters[] = "abcdefghi";
    for (int round = 0; round < 3000; round++) {
        struct kv_auth_permission p[6];
        size_t n = random_u64() % 6;
        for (size_t i = 0; i < n; i++) {
            size_t from = random_u64() % 8, to = from + 1 + random_u64() % (8 - from);
            p[i] = (struct kv_auth_permission){KV_AUTH_READ, str_make(letters + from, 1),
                                               str_make(letters + to, 1)};
        }
        struct arena a;
        arena_init(&a);
        struct auth_ranges r = auth_ranges_make(&a, p, n, false);
        for (size_t i = 1; i < r.len; i++)
            assert_true(str_cmp(r.items[i - 1].end, r.items[i].from) < 0);
        for (int from = 0; from < 8; from++)
            for (int to = from + 1; to <= 8; to++)
                assert_int_equal(
                    auth_ranges_cover(&r, str_make(letters + from, 1), str_make(letters + to, 1)),
                    slow_covers(p, n, from, to));
        arena_free(&a);
    }
}

static void ranges_that_are_none(void **state)
{
    (void)state;
    assert_true(auth_range_valid(STR("k"), STR_NONE));
    assert_true(auth_range_valid(STR("k"), STR("l")));
    assert_true(auth_range_valid(STR("k"), OPEN));
    assert_false(auth_range_valid(STR_NONE, STR_NONE));
    assert_false(auth_range_valid(STR("l"), STR("k")));
    assert_false(auth_range_valid(STR("k"), STR("k")));
}

/* ---- passwords ---- */

static void passwords(void **state)
{
    (void)state;
    char hash[KV_AUTH_HASH_MAX], other[KV_AUTH_HASH_MAX];
    struct error err;
    assert_int_equal(kv_auth_hash_password("secret", 4, hash, &err), 0);
    assert_int_equal(kv_auth_hash_password("secret", 4, other, &err), 0);
    assert_string_not_equal(hash, other); /* salted */
    assert_memory_equal(hash, "$2a$04$", 7);
    assert_true(kv_auth_password_ok("secret", str_from(hash)));
    assert_false(kv_auth_password_ok("Secret", str_from(hash)));
    assert_false(kv_auth_password_ok("", str_from(hash)));
    assert_false(kv_auth_password_ok("", STR_NONE));
    assert_false(kv_auth_password_ok("x", STR("x")));
    /* made by another implementation: golang.org/x/crypto/bcrypt's own test vector */
    assert_true(kv_auth_password_ok(
        "allmine", STR("$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga")));
    char longest[KV_AUTH_PASSWORD_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(kv_auth_hash_password(longest, 4, hash, &err), ERR_LIMIT);
}

/* ---- the store ---- */

static int setup(void **state)
{
    return store_fixture_make(state, "auth",
                              (struct kv_options){.map_bytes = 64u << 20,
                                                  .quota_bytes = 32u << 20,
                                                  .auth_token_ttl_s = 1});
}

struct wait {
    sem_t done;
    int code;
    char token[64];
};

static void changed(void *ctx, const struct kv_auth_result *r)
{
    struct wait *w = ctx;
    w->code = r->code;
    snprintf(w->token, sizeof w->token, "%s", r->token);
    sem_post(&w->done);
}

static int change_as(struct kv *kv, const struct kv_auth_info *who, struct kv_auth_change c,
                     char *token)
{
    struct wait w = {0};
    sem_init(&w.done, 0, 0);
    kv_auth_change(kv, &c, who, NULL, changed, &w);
    sem_wait(&w.done);
    sem_destroy(&w.done);
    if (token)
        strcpy(token, w.token);
    return w.code;
}

static int change(struct kv *kv, struct kv_auth_change c)
{
    return change_as(kv, NULL, c, NULL);
}

static void add_user(struct kv *kv, const char *name, const char *role)
{
    char hash[KV_AUTH_HASH_MAX];
    assert_int_equal(kv_auth_hash_password("pw", 4, hash, NULL), 0);
    assert_int_equal(change(kv, (struct kv_auth_change){.op = KV_AUTH_USER_ADD,
                                                        .name = str_from(name),
                                                        .secret = str_from(hash)}),
                     0);
    assert_int_equal(change(kv, (struct kv_auth_change){.op = KV_AUTH_USER_GRANT_ROLE,
                                                        .name = str_from(name),
                                                        .role = str_from(role)}),
                     0);
}

/* root, and ann who may read and write a…b. */
static void populate(struct kv *kv)
{
    assert_int_equal(change(kv, (struct kv_auth_change){.op = KV_AUTH_ROLE_ADD, .role = STR("r")}),
                     0);
    assert_int_equal(
        change(kv, (struct kv_auth_change){.op = KV_AUTH_ROLE_GRANT,
                                           .role = STR("r"),
                                           .perm = {KV_AUTH_READWRITE, STR("a"), STR("b")}}),
        0);
    add_user(kv, "root", "root");
    add_user(kv, "ann", "r");
    assert_int_equal(change(kv, (struct kv_auth_change){.op = KV_AUTH_ENABLE}), 0);
}

static int put(struct kv *kv, const struct kv_auth_info *who, const char *key, int64_t lease)
{
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(key), .lease = lease}};
    struct kv_txn_request t = {.then = &op, .then_len = 1, .as = who};
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    int code = r->code;
    kv_txn_result_free(r);
    return code;
}

static void writes_are_checked_when_applied(void **state)
{
    struct store_fixture *f = *state;
    struct kv *kv = f->kv;
    assert_int_equal(kv_auth_revision(kv), 1);
    populate(kv);
    uint64_t rev = kv_auth_revision(kv);
    assert_int_equal(rev, 7);
    struct kv_auth_info nobody = {0}, ann = {STR("ann"), rev}, old = {STR("ann"), rev - 1},
                        gone = {STR("zed"), rev};
    assert_int_equal(put(kv, NULL, "x", 0), 0); /* the process itself */
    assert_int_equal(put(kv, &nobody, "a", 0), KV_ERR_AUTH_USER_EMPTY);
    assert_int_equal(put(kv, &ann, "a", 0), 0);
    assert_int_equal(put(kv, &ann, "b", 0), KV_ERR_AUTH_DENIED);
    assert_int_equal(put(kv, &old, "a", 0), KV_ERR_AUTH_OLD_REVISION);
    assert_int_equal(put(kv, &gone, "a", 0), KV_ERR_AUTH_DENIED);
    /* taken away while a request is on its way: the same identity is refused */
    assert_int_equal(change(kv, (struct kv_auth_change){.op = KV_AUTH_ROLE_REVOKE,
                                                        .role = STR("r"),
                                                        .perm = {0, STR("a"), STR("b")}}),
                     0);
    assert_int_equal(put(kv, &ann, "a", 0), KV_ERR_AUTH_OLD_REVISION);
    ann.rev = kv_auth_revision(kv);
    assert_int_equal(put(kv, &ann, "a", 0), KV_ERR_AUTH_DENIED);
    /* nobody but root changes anything */
    assert_int_equal(change_as(kv, &ann, (struct kv_auth_change){.op = KV_AUTH_DISABLE}, NULL),
                     KV_ERR_AUTH_DENIED);
    assert_int_equal(change_as(kv, &nobody, (struct kv_auth_change){.op = KV_AUTH_DISABLE}, NULL),
                     KV_ERR_AUTH_USER_EMPTY);
    struct kv_auth_info root = {STR("root"), ann.rev};
    assert_int_equal(change_as(kv, &root, (struct kv_auth_change){.op = KV_AUTH_DISABLE}, NULL), 0);
    assert_int_equal(put(kv, &nobody, "b", 0), 0);
}

static void nested_transactions(void **state)
{
    struct store_fixture *f = *state;
    populate(f->kv);
    struct kv_auth_info ann = {STR("ann"), kv_auth_revision(f->kv)};
    struct kv_op inner = {.type = KV_OP_PUT, .put = {.key = STR("b")}};
    struct kv_txn_request nested = {.then = &inner, .then_len = 1};
    struct kv_op op = {.type = KV_OP_TXN, .txn = &nested};
    struct kv_txn_request outer = {.otherwise = &op, .otherwise_len = 1, .as = &ann};
    assert_int_equal(kv_auth_check_txn(f->kv, &ann, &outer), KV_ERR_AUTH_DENIED);
    inner.put.key = STR("a1");
    assert_int_equal(kv_auth_check_txn(f->kv, &ann, &outer), 0);
    struct kv_compare c = {.key = STR("c")};
    nested.compares = &c;
    nested.compares_len = 1;
    assert_int_equal(kv_auth_check_txn(f->kv, &ann, &outer), KV_ERR_AUTH_DENIED);
    struct kv_txn_result *r = kv_txn_wait(f->kv, &outer); /* and the store does check */
    assert_int_equal(r->code, KV_ERR_AUTH_DENIED);
    kv_txn_result_free(r);
    /* a transaction that only reads takes another way */
    struct kv_op get = {.type = KV_OP_RANGE, .range = {.key = STR("b")}};
    struct kv_txn_request reads = {.then = &get, .then_len = 1, .as = &ann};
    r = kv_txn_wait(f->kv, &reads);
    assert_int_equal(r->code, KV_ERR_AUTH_DENIED);
    kv_txn_result_free(r);
}

static int lease_op(struct kv *kv, bool grant, const struct kv_auth_info *who)
{
    struct store_call c;
    store_call_begin(&c);
    if (grant)
        kv_lease_grant(kv, 77, 600, NULL, store_lease_call_ended, &c);
    else
        kv_lease_revoke_as(kv, 77, who, NULL, store_lease_call_ended, &c);
    return store_call_wait(&c);
}

static void leases_with_somebody_elses_keys(void **state)
{
    struct store_fixture *f = *state;
    populate(f->kv);
    struct kv_auth_info ann = {STR("ann"), kv_auth_revision(f->kv)};
    assert_int_equal(lease_op(f->kv, true, NULL), 0);
    assert_int_equal(put(f->kv, &ann, "a", 77), 0);
    assert_int_equal(kv_auth_check_lease(f->kv, &ann, 77, false), 0);
    assert_int_equal(put(f->kv, NULL, "secret", 77), 0);
    assert_int_equal(put(f->kv, &ann, "a", 77), KV_ERR_AUTH_DENIED);
    assert_int_equal(kv_auth_check_lease(f->kv, &ann, 77, false), KV_ERR_AUTH_DENIED);
    assert_int_equal(lease_op(f->kv, false, &ann), KV_ERR_AUTH_DENIED);
    assert_int_equal(lease_op(f->kv, false, NULL), 0);
}

static void tokens(void **state)
{
    struct store_fixture *f = *state;
    char token[64];
    struct kv_auth_info who;
    struct arena a;
    arena_init(&a);
    populate(f->kv);
    struct kv_auth_change ask = {.op = KV_AUTH_AUTHENTICATE, .name = STR("ann")};
    assert_int_equal(change_as(f->kv, NULL, ask, token), 0);
    assert_int_equal(kv_auth_token(f->kv, str_from(token), &a, &who), 0);
    assert_true(str_eqz(who.user, "ann"));
    assert_int_equal(who.rev, kv_auth_revision(f->kv));
    assert_int_equal(kv_auth_token(f->kv, STR("x.1"), &a, &who), KV_ERR_AUTH_TOKEN);
    assert_int_equal(kv_auth_token_index(f->kv, str_from(token)), 0);
    assert_int_equal(kv_auth_token_index(f->kv, STR("abc.99999")), 99999);
    assert_int_equal(kv_auth_token_index(f->kv, STR("abc.99999x")), 0);
    /* another password ends it */
    char hash[KV_AUTH_HASH_MAX];
    assert_int_equal(kv_auth_hash_password("new", 4, hash, NULL), 0);
    struct kv_auth_change password = {
        .op = KV_AUTH_USER_PASSWORD, .name = STR("ann"), .secret = str_from(hash)};
    assert_int_equal(change(f->kv, password), 0);
    assert_int_equal(kv_auth_token(f->kv, str_from(token), &a, &who), KV_ERR_AUTH_TOKEN);
    /* so does time, counted from its last use: 1 s here */
    assert_int_equal(change_as(f->kv, NULL, ask, token), 0);
    assert_int_equal(kv_auth_token(f->kv, str_from(token), &a, &who), 0);
    sleep(2); /* asking whether it is over would prolong it */
    assert_int_equal(kv_auth_token(f->kv, str_from(token), &a, &who), KV_ERR_AUTH_TOKEN);
    arena_free(&a);
}

static void survives_a_restart(void **state)
{
    struct store_fixture *f = *state;
    populate(f->kv);
    char name[2000]; /* longer than a key of LMDB may be */
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    add_user(f->kv, name, "r");
    uint32_t hash = kv_auth_hash(f->kv);
    uint64_t rev = kv_auth_revision(f->kv);
    kv_close(f->kv);
    f->kv = store_open(&f->options);
    assert_true(kv_auth_enabled(f->kv));
    assert_int_equal(kv_auth_revision(f->kv), rev);
    assert_int_equal(kv_auth_hash(f->kv), hash);
    struct kv_auth_info who = {str_from(name), rev};
    assert_int_equal(put(f->kv, &who, "a", 0), 0);
    assert_int_equal(put(f->kv, &who, "b", 0), KV_ERR_AUTH_DENIED);
}

static int count(void *ctx, enum auth_kind kind, struct str name, struct str value,
                 struct error *err)
{
    (void)kind, (void)name, (void)value, (void)err;
    ++*(int *)ctx;
    return 0;
}

static void travels_in_snapshots(void **state)
{
    struct store_fixture *f = *state;
    struct raft_snapshot_reader *r;
    struct raft_snapshot_writer *w;
    struct raft_snapshot_meta meta;
    struct error err = {0};
    struct buf stream = {0};
    bool end = false;
    int records = 0;
    MDB_txn *txn;
    populate(f->kv);
    assert_int_equal(snapshot_reader_open(f->kv, &r, &meta, &err), 0);
    while (!end)
        assert_int_equal(snapshot_reader_read(r, &stream, 333, &end, &err), 0);
    snapshot_reader_close(r);
    assert_non_null(memmem(stream.data, stream.len, "ann", 3));
    assert_int_equal(snapshot_writer_begin(f->kv, &meta, &w, &err), 0);
    if (snapshot_writer_write(w, buf_str(&stream), &err) < 0 || snapshot_writer_finish(w, &err) < 0)
        fail_msg("%s", err.message);
    snapshot_writer_abort(w);
    assert_int_equal(logdb_read_begin(f->kv->db, &txn, &err), 0);
    assert_int_equal(auth_disk_each(&f->kv->trees, txn, count, &records, &err), 0);
    logdb_read_end(f->kv->db, txn);
    assert_int_equal(records, 4); /* role r, users ann and root, the state */
    buf_free(&stream);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permissions_add_up),
        cmocka_unit_test(random_permissions_agree),
        cmocka_unit_test(ranges_that_are_none),
        cmocka_unit_test(passwords),
        cmocka_unit_test_setup_teardown(writes_are_checked_when_applied, setup,
                                        store_fixture_remove),
        cmocka_unit_test_setup_teardown(nested_transactions, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(leases_with_somebody_elses_keys, setup,
                                        store_fixture_remove),
        cmocka_unit_test_setup_teardown(tokens, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(survives_a_restart, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(travels_in_snapshots, setup, store_fixture_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
