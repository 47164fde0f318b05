/*
 * Quantities: canonical forms, comparison, arithmetic and refusals.
 */
#include "api/quantity.h"
#include "tests/unit/api_test.h"

static void test_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"0", "0"},
        {"0.5", "500m"},
        {"1024Mi", "1Gi"},
        {"1.5Gi", "1536Mi"},
        {"100m", "100m"},
        {"1000m", "1"},
        {"1500m", "1500m"},
        {"2e3", "2e3"},
        {"1e3", "1e3"},
        {"1000", "1k"},
        {"1000000", "1M"},
        {"1024", "1024"},
        {"1024Ki", "1Mi"},
        {"0.1Ki", "102400m"},
        {"12e6", "12e6"},
        {"1.2345", "1234500u"},
        {"+5", "5"},
        {"-5", "-5"},
        {"-0.5", "-500m"},
        {".5", "500m"},
        {"5.", "5"},
        {"00012", "12"},
        {"1E", "1E"},
        {"1Ei", "1Ei"},
        {"0.0000000001", "1n"},
        {"1n", "1n"},
        {"1u", "1u"},
        {"2.5k", "2500"},
        {"1.5e3", "1500"},
        {"1e-3", "1e-3"},
        {"1e+3", "1e3"},
        {"512Ki", "512Ki"},
        {"0.3Gi", "322122547200m"},
        {"9223372036854775807", "9223372036854775807"},
        {"99999999999999999999", "9223372036854775807"},
        {"100E", "9223372036854775807"},
        {"500Mi", "500Mi"},
        {"0Gi", "0"},
        {"0.5Ki", "512"},
        {"1000Ki", "1000Ki"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = quantity_canonical(&a, cases[i].in);
        if (!out || strcmp(out, cases[i].out) != 0)
            fail_msg("%s: got %s, want %s", cases[i].in, out ? out : "(refused)", cases[i].out);
        char *again = quantity_canonical(&a, out);
        assert_string_equal(again, out);
    }
    arena_free(&a);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",    "Gi",   "1.2.3",         "1 Gi", "1gi",
                                        "abc", "1e",   "1e1.5",         "--1",  "+-1",
                                        "1KI", "0x10", "1e99999999999", "1Ki5", "."};
    struct quantity q;
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (quantity_parse(str_from(cases[i]), &q, &err) == 0)
            fail_msg("\"%s\" was accepted", cases[i]);
        assert_true(strlen(err.message) > 10);
    }
}

static void test_compare(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {{"1", "1000m", 0}, {"1Gi", "1G", 1},   {"100m", "0.1", 0}, {"2", "10", -1},
                 {"-1", "1", -1},   {"1Ki", "1024", 0}, {"1e3", "1k", 0},   {"0.1", "101m", -1},
                 {"1Ei", "1E", 1},  {"0", "0Gi", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(quantity_cmp(quantity_of(cases[i].a), quantity_of(cases[i].b)),
                         cases[i].order);
}

static void test_arithmetic(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_string_equal(quantity_text(&a, quantity_add(quantity_of("100m"), quantity_of("1.9"))),
                        "2");
    assert_string_equal(quantity_text(&a, quantity_add(quantity_of("512Mi"), quantity_of("512Mi"))),
                        "1Gi");
    assert_string_equal(quantity_text(&a, quantity_sub(quantity_of("1"), quantity_of("250m"))),
                        "750m");
    assert_string_equal(quantity_text(&a, quantity_add(quantity_of("0"), quantity_of("1Gi"))),
                        "1Gi");
    struct quantity big = quantity_of("9E");
    assert_int_equal(quantity_value(quantity_add(big, big)), INT64_MAX);
    assert_int_equal(quantity_value(quantity_of("1.1")), 2);
    assert_int_equal(quantity_value(quantity_of("-1.1")), -2);
    assert_int_equal(quantity_milli(quantity_of("0.0001")), 1);
    assert_int_equal(quantity_milli(quantity_of("2")), 2000);
    static const char *const rounded[][2] = {{"100u", "1m"},
                                             {"-100u", "-1m"},
                                             {"1000001u", "1001m"},
                                             {"1n", "1m"},
                                             {"1e-6", "1e-3"},
                                             {"1500m", "1500m"},
                                             {"9223372036854775807", "9223372036854775807"}};
    for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++)
        assert_string_equal(quantity_text(&a, quantity_round_up_milli(quantity_of(rounded[i][0]))),
                            rounded[i][1]);
    assert_true(quantity_is_zero(quantity_of("0Gi")));
    assert_string_equal(quantity_text(&a, quantity_from_milli(1500, QUANTITY_DECIMAL_SI)), "1500m");
    assert_string_equal(quantity_text(&a, quantity_from_i64(2048, QUANTITY_BINARY_SI)), "2Ki");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
