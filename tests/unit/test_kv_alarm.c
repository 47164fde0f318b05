/*
 * Alarms and the space quota: what they refuse, how long they last, how one recovers.
 */
#include "kvstore/alarm.h"
#include "kvstore/kv.h"
#include "base/log.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUOTA (4u << 20)

static int setup(void **state)
{
    return store_fixture_make(
        state, "alarm",
        (struct kv_options){.map_bytes = 256u << 20, .quota_bytes = QUOTA, .checkpoint_ms = 50});
}

static int run_op(struct kv *kv, struct kv_op op)
{
    return store_write(kv, &op, 1, NULL);
}

static int put(struct kv *kv, const char *key, struct str value)
{
    return run_op(kv,
                  (struct kv_op){.type = KV_OP_PUT, .put = {.key = str_from(key), .value = value}});
}

static int del(struct kv *kv, const char *key, const char *end)
{
    return run_op(kv, (struct kv_op){.type = KV_OP_DELETE,
                                     .del = {.key = str_from(key), .end = str_from(end)}});
}

static int raise_alarm(struct kv *kv, uint64_t member, enum kv_alarm_type type)
{
    struct store_call c;
    store_call_begin(&c);
    kv_alarm_raise(kv, member, type, NULL, store_call_ended, &c);
    return store_call_wait(&c);
}

static int clear_alarm(struct kv *kv, uint64_t member, enum kv_alarm_type type)
{
    struct store_call c;
    store_call_begin(&c);
    kv_alarm_clear(kv, member, type, NULL, store_call_ended, &c);
    return store_call_wait(&c);
}

static int grant(struct kv *kv)
{
    int code;
    store_grant(kv, 0, 60, &code);
    return code;
}

static size_t alarm_count(struct kv *kv)
{
    struct arena a;
    struct kv_alarm *list;
    size_t n;
    arena_init(&a);
    kv_alarm_list(kv, &a, &list, &n);
    arena_free(&a);
    return n;
}

static void eventually(bool (*is)(struct kv *kv), struct kv *kv, const char *what)
{
    for (int i = 0; i < 3000; i++) {
        if (is(kv))
            return;
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
    }
    fail_msg("never came: %s", what);
}

static bool no_space(struct kv *kv)
{
    return kv_alarm_active(kv, KV_ALARM_NOSPACE);
}

static void alarms_are_kept(void **state)
{
    struct store_fixture *f = *state;
    assert_int_equal(raise_alarm(f->kv, 7, KV_ALARM_NONE), ERR_INVALID);
    assert_int_equal(raise_alarm(f->kv, 7, KV_ALARM_NOSPACE), 0);
    assert_int_equal(raise_alarm(f->kv, 7, KV_ALARM_NOSPACE), 0); /* once */
    assert_int_equal(raise_alarm(f->kv, UINT64_MAX, KV_ALARM_CORRUPT), 0);
    assert_int_equal(alarm_count(f->kv), 2);
    kv_close(f->kv);
    f->kv = store_open(&f->options);
    eventually(no_space, f->kv, "the alarms after a restart");
    assert_int_equal(alarm_count(f->kv), 2);
    assert_true(kv_alarm_has(f->kv, UINT64_MAX, KV_ALARM_CORRUPT));
    assert_false(kv_alarm_has(f->kv, 7, KV_ALARM_CORRUPT));
    assert_int_equal(clear_alarm(f->kv, 8, KV_ALARM_NOSPACE),
                     0); /* another's: no error, no effect */
    assert_int_equal(alarm_count(f->kv), 2);
    assert_int_equal(clear_alarm(f->kv, 7, KV_ALARM_NOSPACE), 0);
    assert_int_equal(clear_alarm(f->kv, UINT64_MAX, KV_ALARM_CORRUPT), 0);
    assert_int_equal(alarm_count(f->kv), 0);
}

static void no_space_refuses_growth_only(void **state)
{
    struct store_fixture *f = *state;
    assert_int_equal(put(f->kv, "a", STR("1")), 0);
    assert_int_equal(raise_alarm(f->kv, 7, KV_ALARM_NOSPACE), 0);
    assert_int_equal(put(f->kv, "a", STR("2")), KV_ERR_NO_SPACE);
    assert_int_equal(grant(f->kv), KV_ERR_NO_SPACE);
    struct kv_op inner = {.type = KV_OP_PUT, .put = {.key = STR("b"), .value = STR("1")}};
    struct kv_txn_request nested = {.otherwise = &inner, .otherwise_len = 1};
    assert_int_equal(run_op(f->kv, (struct kv_op){.type = KV_OP_TXN, .txn = &nested}),
                     KV_ERR_NO_SPACE);
    assert_int_equal(store_compact(f->kv, 2, true), 0);
    assert_int_equal(del(f->kv, "a", ""), 0);
    assert_int_equal(clear_alarm(f->kv, 7, KV_ALARM_NOSPACE), 0);
    assert_int_equal(put(f->kv, "a", STR("3")), 0);
}

static void corrupt_refuses_changes(void **state)
{
    struct store_fixture *f = *state;
    assert_int_equal(put(f->kv, "a", STR("1")), 0);
    assert_int_equal(raise_alarm(f->kv, 7, KV_ALARM_CORRUPT), 0);
    assert_int_equal(put(f->kv, "a", STR("2")), ERR_CORRUPT);
    assert_int_equal(del(f->kv, "a", ""), ERR_CORRUPT);
    assert_int_equal(store_compact(f->kv, 2, true), ERR_CORRUPT);
    assert_int_equal(grant(f->kv), ERR_CORRUPT);
    assert_int_equal(clear_alarm(f->kv, 7, KV_ALARM_CORRUPT), 0);
    assert_int_equal(del(f->kv, "a", ""), 0);
}

/* Fill up: refused before the quota is passed by much, the alarm comes by itself and stays until it is cleared
 * and there is room. */
static void quota_raises_the_alarm(void **state)
{
    struct store_fixture *f = *state;
    static char value[64 * 1024];
    struct kv_status st;
    char key[32];
    int code = 0, n = 0;
    memset(value, 'x', sizeof value);
    for (; code == 0 && n < 10000; n++) {
        snprintf(key, sizeof key, "key-%d", n);
        code = put(f->kv, key, str_make(value, sizeof value));
    }
    assert_int_equal(code, KV_ERR_NO_SPACE);
    assert_in_range(n, 10, QUOTA / sizeof value);
    eventually(no_space, f->kv, "the alarm NOSPACE");
    kv_status(f->kv, &st);
    assert_true(st.no_space);
    assert_true(kv_alarm_has(f->kv, st.member_id, KV_ALARM_NOSPACE));
    assert_true(st.db_size_in_use < QUOTA + QUOTA / 2);

    /* Disarmed without making room: it is back with the next put. */
    assert_int_equal(clear_alarm(f->kv, st.member_id, KV_ALARM_NOSPACE), 0);
    code = 0;
    for (int i = 0; code == 0 && i < 100; i++)
        code = put(f->kv, "more", str_make(value, sizeof value));
    assert_int_equal(code, KV_ERR_NO_SPACE);
    eventually(no_space, f->kv, "the alarm NOSPACE again");

    assert_int_equal(del(f->kv, "key-", "key."), 0);
    assert_int_equal(del(f->kv, "more", ""), 0);
    assert_int_equal(store_compact(f->kv, kv_current_revision(f->kv), true), 0);
    assert_int_equal(put(f->kv, "a", STR("1")), KV_ERR_NO_SPACE); /* the alarm stays */
    assert_int_equal(clear_alarm(f->kv, st.member_id, KV_ALARM_NOSPACE), 0);
    for (int i = 0; (code = put(f->kv, "a", STR("1"))) != 0 && i < 1000; i++) {
        assert_int_equal(code, KV_ERR_NO_SPACE); /* until the space has been measured again */
        clear_alarm(f->kv, st.member_id, KV_ALARM_NOSPACE);
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
    }
    assert_int_equal(code, 0);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(alarms_are_kept, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(no_space_refuses_growth_only, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(corrupt_refuses_changes, setup, store_fixture_remove),
        cmocka_unit_test_setup_teardown(quota_raises_the_alarm, setup, store_fixture_remove),
    };
    return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}
