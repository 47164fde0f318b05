/*
 * The linearizability checker on small histories, right ones and wrong ones.
 */
#include "tests/partition/linearizability.h"

#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct history_op put(uint64_t start, uint64_t end, uint64_t v)
{
    return (struct history_op){.kind = HISTORY_PUT, .b = v, .start_ns = start, .end_ns = end};
}
static struct history_op lost_put(uint64_t start, uint64_t v)
{
    return (struct history_op){.kind = HISTORY_PUT, .b = v, .unknown = true, .start_ns = start};
}
static struct history_op get(uint64_t start, uint64_t end, uint64_t v)
{
    return (struct history_op){.kind = HISTORY_GET, .b = v, .start_ns = start, .end_ns = end};
}
static struct history_op cas(uint64_t start, uint64_t end, uint64_t a, uint64_t b, bool ok)
{
    return (struct history_op){
        .kind = HISTORY_CAS, .a = a, .b = b, .succeeded = ok, .start_ns = start, .end_ns = end};
}

static struct history_verdict check(struct history_op *ops, size_t n)
{
    struct history_verdict v;
    history_check(ops, n, &v);
    assert_false(v.gave_up);
    return v;
}
#define CHECK(...)                                                                             \
    check((struct history_op[]){__VA_ARGS__}, ARRAY_LEN(((struct history_op[]){__VA_ARGS__}))) \
        .linearizable

static void right_histories(void **state)
{
    (void)state;
    assert_true(CHECK(get(1, 2, 0)));
    assert_true(CHECK(put(1, 2, 7), get(3, 4, 7)));
    /* concurrent: the read may see either */
    assert_true(CHECK(put(1, 10, 7), get(2, 3, 0), get(4, 5, 7)));
    assert_true(CHECK(put(1, 10, 7), get(2, 3, 7), get(4, 5, 7)));
    /* two writers, readers agree on an order */
    assert_true(CHECK(put(1, 10, 7), put(1, 10, 8), get(11, 12, 7), get(13, 14, 7)));
    assert_true(CHECK(cas(1, 2, 0, 5, true), cas(3, 4, 0, 6, false), get(5, 6, 5)));
    /* a write without an answer takes effect much later, or never */
    assert_true(CHECK(lost_put(1, 9), put(2, 3, 7), get(4, 5, 7), get(6, 7, 9)));
    assert_true(CHECK(lost_put(1, 9), put(2, 3, 7), get(4, 5, 7)));
    /* only an unanswered write that nobody read explains why the comparison fails */
    assert_true(CHECK(put(1, 2, 7), lost_put(3, 9), cas(4, 5, 7, 8, false), put(6, 7, 5)));
}

static void wrong_histories(void **state)
{
    (void)state;
    assert_false(CHECK(put(1, 2, 7), get(3, 4, 0)));                /* stale read */
    assert_false(CHECK(put(1, 2, 7), put(3, 4, 8), get(5, 6, 7)));  /* lost write */
    assert_false(CHECK(put(1, 10, 7), get(2, 3, 7), get(4, 5, 0))); /* time goes back */
    assert_false(CHECK(get(1, 2, 3)));                              /* out of thin air */
    assert_false(CHECK(put(1, 2, 7), cas(3, 4, 7, 8, true), cas(5, 6, 7, 9, true))); /* both win */
    assert_false(CHECK(put(1, 2, 7), cas(3, 4, 7, 8, false), get(5, 6, 7))); /* refused wrongly */
    /* an unanswered write that is seen, then unseen, then seen again */
    assert_false(CHECK(lost_put(1, 9), put(2, 3, 7), get(4, 5, 9), get(6, 7, 7), get(8, 9, 9)));
    assert_false(CHECK(put(1, 2, 7), cas(4, 5, 7, 8, false), lost_put(6, 9)));
    /* seen before it was asked for */
    assert_false(CHECK(get(1, 2, 9), lost_put(3, 9)));
    /* readers disagree on the order of two writes */
    assert_false(CHECK(put(1, 10, 7), put(1, 10, 8), get(11, 12, 7), get(13, 14, 8)));
}

static void keys_are_apart(void **state)
{
    (void)state;
    struct history_op ops[] = {put(1, 2, 7), get(3, 4, 0), put(1, 2, 5), get(3, 4, 5)};
    ops[1].key = 1;
    ops[2].key = ops[3].key = 2;
    assert_true(check(ops, 4).linearizable);
    struct history_op bad[] = {put(1, 2, 7), get(3, 4, 7), put(1, 2, 5), get(3, 4, 6)};
    bad[2].key = bad[3].key = 3;
    struct history_verdict v = check(bad, 4);
    assert_false(v.linearizable);
    assert_int_equal(v.key, 3);
    assert_int_equal(v.op.b, 6);
}

/* A true register, many clients, made-up latencies: linearizable; with one answer changed: not. */
static void long_histories(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int round = 0; round < 10; round++) {
        VEC(struct history_op) ops = {0};
        uint64_t value = 0, next = 1;
        size_t a_get = 0;
        for (uint64_t t = 1000; t < 81000; t += 100) {
            uint64_t start = t - rng_below(&rng, 900), end = t + rng_below(&rng, 900);
            struct history_op op = get(start, end, value);
            switch (rng_below(&rng, 4)) {
            case 0:
                op = put(start, end, value = ++next);
                break;
            case 1:
                /* one that fails tells the value it saw: then it is a get */
                if (rng_below(&rng, 2)) {
                    op = cas(start, end, value, ++next, true);
                    value = next;
                }
                break;
            case 2:
                if (rng_below(&rng, 20) == 0) { /* no answer; takes effect or not */
                    op = lost_put(start, ++next);
                    if (rng_below(&rng, 2))
                        value = next;
                }
                break;
            default:
                a_get = ops.len;
            }
            vec_push(&ops, op);
        }
        struct history_op *copy = mem_dup(ops.items, ops.len * sizeof *ops.items);
        assert_true(check(copy, ops.len).linearizable);
        mem_free(copy);
        ops.items[a_get].b = 77777777;
        assert_false(check(ops.items, ops.len).linearizable);
        vec_free(&ops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_histories),
        cmocka_unit_test(wrong_histories),
        cmocka_unit_test(keys_are_apart),
        cmocka_unit_test(long_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
