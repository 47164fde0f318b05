/*
 * Specification of base/str.h, buf.h, varint.h, encode.h, clock.h, random.h and error.h.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/varint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define assert_str(s, want) assert_true(str_eqz((s), (want)))

/* --- error --- */

static void errors_grow_outward(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(error_set(&e, ERR_INVALID, "spec.replicas: must be at least %d", 0),
                     ERR_INVALID);
    assert_int_equal(error_wrap(&e, "document %d", 2), ERR_INVALID);
    assert_int_equal(error_wrap(&e, "apply manifest %s", "web.yaml"), ERR_INVALID);
    assert_string_equal(e.message,
                        "apply manifest web.yaml: document 2: spec.replicas: must be at least 0");
    assert_int_equal(error_errno(&e, ERR_IO, ENOENT, "open %s", "/x"), ERR_IO);
    assert_string_equal(e.message, "open /x: No such file or directory");
    assert_int_equal(error_set(NULL, ERR_LIMIT, "nobody listens"), ERR_LIMIT);
    assert_int_equal(error_wrap(NULL, "nobody"), ERR_INTERNAL);
    assert_string_equal(error_code_name(ERR_NOT_FOUND), "not found");
    assert_string_equal(error_code_name(-999), "unknown");
}

static void long_error_messages_are_cut_not_overrun(void **state)
{
    (void)state;
    struct error e = {0};
    char big[ERROR_MESSAGE_MAX * 2];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    error_set(&e, ERR_IO, "%s", big);
    assert_int_equal(strlen(e.message), ERROR_MESSAGE_MAX - 1);
    error_wrap(&e, "outer");
    assert_int_equal(strlen(e.message), ERROR_MESSAGE_MAX - 1);
    assert_memory_equal(e.message, "outer: xxx", 10);
    error_wrap(&e, "%s", big);
    error_errno(&e, ERR_IO, EPERM, "%s", big);
    assert_int_equal(strlen(e.message), ERROR_MESSAGE_MAX - 1);
}

/* --- str --- */

static void str_compares_in_byte_order(void **state)
{
    (void)state;
    static const char *const ascending[] = {"", "a", "a/", "aa", "ab", "b", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(ascending); i++)
        for (size_t j = 0; j < ARRAY_LEN(ascending); j++) {
            int c = str_cmp(str_from(ascending[i]), str_from(ascending[j]));
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_ieq(STR("Content-Type"), STR("content-tYPE")));
    assert_false(str_ieq(STR("a"), STR("ab")));
    assert_true(str_eq_constant_time(STR("token"), STR("token")));
    assert_false(str_eq_constant_time(STR("token"), STR("tokem")));
    assert_false(str_eq_constant_time(STR("token"), STR("toke")));
}

static void str_searches_and_slices(void **state)
{
    (void)state;
    assert_true(str_has_prefix(STR("abc"), STR("ab")) && str_has_prefix(STR("abc"), STR("")));
    assert_false(str_has_prefix(STR("a"), STR("ab")));
    assert_true(str_has_suffix(STR("abc"), STR("bc")));
    assert_false(str_has_suffix(STR("c"), STR("bc")));
    assert_int_equal(str_find(STR("hello"), STR("ll")), 2);
    assert_int_equal(str_find(STR("hello"), STR("lx")), -1);
    assert_int_equal(str_find(STR_NONE, STR("x")), -1);
    assert_int_equal(str_find_char(STR("a\0b"), 'b'), 2);
    assert_str(str_slice(STR("hello"), 1, 3), "el");
    assert_str(str_slice(STR("hello"), 3, 99), "lo");
    assert_str(str_slice(STR("hello"), 9, 99), "");
    assert_str(str_trim(STR(" \t a b\r\n")), "a b");
    assert_str(str_trim(STR("  ")), "");
}

static void str_split_gives_every_part(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want; /* parts joined with '|' and ended with '.' */
    } cases[] = {{"a,b", "a|b|."}, {"", "|."}, {",", "||."}, {"a", "a|."}, {"a,,b,", "a||b||."}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf got = {0};
        struct str part, rest = str_from(cases[i].in);
        while (str_split(&rest, ',', &part)) {
            buf_append_str(&got, part);
            buf_append_char(&got, '|');
        }
        buf_append_char(&got, '.');
        assert_string_equal(buf_cstr(&got), cases[i].want);
        buf_free(&got);
    }
    struct str none = STR_NONE, part = STR("before");
    assert_false(str_split(&none, ',', &part));
    assert_null(part.p);
    assert_int_equal(part.n, 0);
}

static void numbers_take_the_whole_slice_or_fail(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool ok;
        int64_t want;
    } cases[] = {{"0", true, 0},
                 {"-1", true, -1},
                 {"+7", true, 7},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {"1x", false, 0},
                 {" 1", false, 0},
                 {"--1", false, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t v = 0;
        assert_int_equal(str_to_i64(str_from(cases[i].in), &v), cases[i].ok);
        assert_true(v == cases[i].want);
    }
    uint64_t u;
    assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR("-1"), &u));
}

/* --- buf --- */

static void buf_appends_and_consumes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, "ab");
    buf_printf(&b, "-%d-", 42);
    buf_append_be32(&b, 0x01020304);
    buf_append_le32(&b, 0x01020304);
    assert_memory_equal(b.data, "ab-42-\1\2\3\4\4\3\2\1", 14);
    buf_consume(&b, 6);
    assert_memory_equal(b.data, "\1\2\3\4\4\3\2\1", 8);
    buf_clear(&b);
    buf_append_be64(&b, 0x0102030405060708ull);
    buf_append_le64(&b, 0x0102030405060708ull);
    assert_memory_equal(b.data, "\1\2\3\4\5\6\7\10\10\7\6\5\4\3\2\1", 16);
    size_t n;
    char *taken = buf_take(&b, &n);
    assert_int_equal(n, 16);
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_cstr(&b), "");
    mem_free(taken);
    buf_free(&b);
}

static void buf_past_its_limit_fails_once_and_for_all(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 8);
    buf_append_cstr(&b, "1234");
    buf_printf(&b, "%d", 5678); /* exactly full */
    assert_false(b.failed);
    assert_true(str_eqz(buf_str(&b), "12345678"));
    buf_append_char(&b, '9');
    assert_true(b.failed);
    buf_clear(&b);
    buf_append_cstr(&b, "123456789");
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_append_cstr(&b, "1"); /* small enough, but the error sticks */
    assert_int_equal(b.len, 0);
    assert_null(buf_reserve(&b, 1));
    buf_free(&b);
}

static void varints_are_protobufs(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *hex;
    } cases[] = {
        {0, "00"}, {127, "7f"}, {128, "8001"}, {300, "ac02"}, {UINT64_MAX, "ffffffffffffffffff01"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = {0}, hex = {0};
        buf_append_varint(&b, cases[i].v);
        hex_encode(&hex, buf_str(&b));
        assert_string_equal(buf_cstr(&hex), cases[i].hex);
        buf_free(&b);
        buf_free(&hex);
    }
}

/* Bytes in, what is left, the number. */
static void varints_are_taken_off_the_front(void **state)
{
    static const struct {
        struct str in;
        bool good;
        uint64_t v;
        size_t left;
    } cases[] = {
        {STR("\x00"), true, 0, 0},
        {STR("\x7f rest"), true, 127, 5},
        {STR("\xac\x02"), true, 300, 0},
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), true, UINT64_MAX >> 1, 0}, /* nine bytes */
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01!"), true, UINT64_MAX, 1},
        {STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), true, 1ull << 63, 0},
        {STR("\x81\x80\x00"), true, 1, 0}, /* longer than it has to be */
        {STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), true, 0, 0},
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), false, 0, 10},     /* bit 64 */
        {STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), false, 0, 11}, /* eleven */
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), false, 0, 10},
        {STR("\x80"), false, 0, 1},
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), false, 0, 9}, /* the tenth is missing */
        {STR(""), false, 0, 0},
        {STR_NONE, false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str in = cases[i].in;
        uint64_t v = 99;
        assert_int_equal(varint_take(&in, &v), cases[i].good);
        assert_true(v == cases[i].v);
        assert_int_equal(in.n, cases[i].left);
        assert_ptr_equal(in.p, cases[i].in.p ? cases[i].in.p + (cases[i].in.n - in.n) : NULL);
    }
}

static void varints_come_back_in_the_size_foretold(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (int add = -1; add <= 1; add++) {
            uint64_t v = (1ull << bit) + (uint64_t)add, back;
            char bytes[VARINT_BYTES_MAX];
            struct buf b;
            size_t n = (size_t)(varint_put(bytes, v) - bytes);
            struct str in = str_make(bytes, n);
            assert_int_equal(n, varint_size(v));
            buf_init(&b);
            buf_append_varint(&b, v);
            assert_true(str_eq(buf_str(&b), in));
            buf_free(&b);
            assert_true(varint_take(&in, &back));
            assert_true(back == v && in.n == 0);
            for (size_t cut = 0; cut < n; cut++) { /* no part of it is one */
                in = str_make(bytes, cut);
                assert_false(varint_take(&in, &back));
            }
        }
}

static void byte_strings_end_where_they_say(void **state)
{
    struct str in, s;
    struct buf b;
    (void)state;
    buf_init(&b);
    buf_append_varint_bytes(&b, STR("abc"));
    buf_append_varint_bytes(&b, STR(""));
    buf_append_char(&b, 7);
    in = buf_str(&b);
    assert_true(varint_take_bytes(&in, &s));
    assert_str(s, "abc");
    assert_true(varint_take_bytes(&in, &s));
    assert_int_equal(s.n, 0);
    assert_false(varint_take_bytes(&in, &s)); /* 7 bytes of none */
    assert_int_equal(in.n, 1);
    assert_int_equal(s.n, 0);
    in = STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
             "abc"); /* a length that wraps */
    assert_false(varint_take_bytes(&in, &s));
    assert_int_equal(in.n, 13);

    struct varint_reader r = {.left = buf_str(&b)};
    assert_str(varint_read_bytes(&r), "abc");
    assert_int_equal(varint_read(&r), 0);
    assert_int_equal(varint_read_byte(&r, 7), 7);
    assert_true(r.left.n == 0 && !r.failed);
    assert_int_equal(varint_read(&r), 0);
    assert_true(r.failed);

    r = (struct varint_reader){.left = STR("\x08\x01x")};
    assert_int_equal(varint_read_byte(&r, 7), 0); /* above what may be */
    assert_true(r.failed);
    assert_int_equal(varint_read(&r), 0); /* and it stays failed */
    assert_int_equal(varint_read_byte(&r, UINT8_MAX), 0);
    assert_int_equal(varint_read_bytes(&r).n, 0);
    assert_true(r.failed && r.left.n == 3);
    buf_free(&b);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_append_json_string(&b, str_make("a\"\\\n\t\0\x1f\x7f\xc3\xa9", 10));
    assert_string_equal(buf_cstr(&b), "\"a\\\"\\\\\\n\\t\\u0000\\u001f\x7f\xc3\xa9\"");
    buf_free(&b);
}

/* --- encode --- */

static void base64_round_trips_and_refuses_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *standard, *url;
    } cases[] = {{"", "", ""},
                 {"f", "Zg==", "Zg"},
                 {"fo", "Zm8=", "Zm8"},
                 {"foo", "Zm9v", "Zm9v"},
                 {"foob", "Zm9vYg==", "Zm9vYg"},
                 {"\xfb\xff\xbf", "+/+/", "-_-_"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = {0};
        base64_encode(&b, str_from(cases[i].plain));
        assert_string_equal(buf_cstr(&b), cases[i].standard);
        buf_clear(&b);
        base64url_encode(&b, str_from(cases[i].plain));
        assert_string_equal(buf_cstr(&b), cases[i].url);
        buf_clear(&b);
        assert_true(base64_decode(&b, str_from(cases[i].standard)));
        assert_string_equal(buf_cstr(&b), cases[i].plain);
        buf_clear(&b);
        assert_true(base64_decode(&b, str_from(cases[i].url)));
        assert_string_equal(buf_cstr(&b), cases[i].plain);
        buf_free(&b);
    }
    static const char *const bad[] = {"Z",    "Zg=",  "Zg===", "Zm9v=", "Zm 9v",
                                      "Zh==", "Zm9=", "Zm\n8", "=",     "===="};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf b = {0};
        if (base64_decode(&b, str_from(bad[i])))
            fail_msg("base64 accepted \"%s\"", bad[i]);
        buf_free(&b);
    }
}

static void hex_and_percent(void **state)
{
    (void)state;
    struct buf b = {0};
    hex_encode(&b, str_make("\x00\xaf", 2));
    assert_string_equal(buf_cstr(&b), "00af");
    buf_clear(&b);
    assert_true(hex_decode(&b, STR("00Af")) && b.len == 2 && b.data[1] == '\xaf');
    assert_false(hex_decode(&b, STR("0")));
    assert_false(hex_decode(&b, STR("0g")));
    buf_clear(&b);
    percent_encode(&b, STR("a b/c~\xff"));
    assert_string_equal(buf_cstr(&b), "a%20b%2Fc~%FF");
    buf_clear(&b);
    assert_true(percent_decode(&b, STR("a%20b+c"), false));
    assert_string_equal(buf_cstr(&b), "a b+c");
    buf_clear(&b);
    assert_true(percent_decode(&b, STR("a%2bb+c"), true));
    assert_string_equal(buf_cstr(&b), "a+b c");
    assert_false(percent_decode(&b, STR("%"), false));
    assert_false(percent_decode(&b, STR("%2"), false));
    assert_false(percent_decode(&b, STR("%zz"), false));
    buf_free(&b);
}

static void utf8_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool valid;
    } cases[] = {{"", true},
                 {"plain ascii, longer than a word", true},
                 {"\xc3\xa9", true},
                 {"\xe2\x82\xac", true},
                 {"\xf0\x9f\x98\x80", true},
                 {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
                 {"12345678\xc3", false},    /* cut */
                 {"\x80", false},            /* continuation alone */
                 {"\xc0\xaf", false},        /* overlong */
                 {"\xc1\xbf", false},
                 {"\xe0\x80\xaf", false},     /* overlong */
                 {"\xf0\x80\x80\xaf", false}, /* overlong */
                 {"\xed\xa0\x80", false},     /* surrogate */
                 {"\xf4\x90\x80\x80", false}, /* past U+10FFFF */
                 {"\xf5\x80\x80\x80", false},
                 {"\xff", false},
                 {"\xe2\x28\xa1", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (utf8_valid(str_from(cases[i].in)) != cases[i].valid)
            fail_msg("case %zu", i);
}

static void crc32c_matches_rfc_3720_and_its_fallback(void **state)
{
    (void)state;
    unsigned char bytes[300];
    memset(bytes, 0, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    random_bytes(bytes, sizeof bytes);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        assert_int_equal(crc32c(0, bytes, n), crc32c_table(0, bytes, n));
        assert_int_equal(crc32c(crc32c(0, bytes, n), bytes + n, sizeof bytes - n),
                         crc32c(0, bytes, sizeof bytes));
    }
}

/* --- clock --- */

static void rfc3339_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
        int32_t nanos;
    } same[] = {{"1970-01-01T00:00:00Z", 0, 0},
                {"2026-11-21T08:15:49Z", 1795248949, 0},
                {"2000-02-29T23:59:59Z", 951868799, 0},
                {"1969-12-31T23:59:59Z", -1, 0},
                {"0001-01-01T00:00:00Z", -62135596800ll, 0},
                {"9999-12-31T23:59:59Z", 253402300799ll, 0}};
    char out[CLOCK_RFC3339_MAX];
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        int64_t s;
        int32_t ns;
        assert_true(clock_parse_rfc3339(same[i].text, strlen(same[i].text), &s, &ns));
        assert_true(s == same[i].seconds && ns == same[i].nanos);
        assert_int_equal(clock_format_rfc3339(s, ns, 0, out), strlen(same[i].text));
        assert_string_equal(out, same[i].text);
    }
    clock_format_rfc3339(0, 120034567, 6, out);
    assert_string_equal(out, "1970-01-01T00:00:00.120034Z");
    clock_format_rfc3339(INT64_MAX / 2, 999999999, 9, out); /* no overrun */
    clock_format_rfc3339(INT64_MIN / 2, 999999999, 9, out);
}

static void rfc3339_offsets_fractions_and_refusals(void **state)
{
    (void)state;
    int64_t s;
    int32_t ns;
    struct str t = STR("1970-01-01T02:00:00.5+01:30");
    assert_true(clock_parse_rfc3339(t.p, t.n, &s, &ns) && s == 1800 && ns == 500000000);
    t = STR("1970-01-01t00:00:00.1234567899z");
    assert_true(clock_parse_rfc3339(t.p, t.n, &s, &ns) && s == 0 && ns == 123456789);
    static const char *const bad[] = {"",
                                      "1970-01-01",
                                      "1970-01-01T00:00:00",
                                      "1970-1-01T00:00:00Z",
                                      "1970-13-01T00:00:00Z",
                                      "1970-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "1970-01-01T24:00:00Z",
                                      "1970-01-01T00:00:00.Z",
                                      "1970-01-01T00:00:00+1:00",
                                      "1970-01-01T00:00:00Zx",
                                      "1970-01-01 00:00:00Z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (clock_parse_rfc3339(bad[i], strlen(bad[i]), &s, &ns))
            fail_msg("accepted \"%s\"", bad[i]);
}

static void durations_are_gos(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int64_t ns;
        const char *canonical;
    } cases[] = {{"0", 0, "0s"},
                 {"5m", 300000000000, "5m0s"},
                 {"1h30m", 5400000000000, "1h30m0s"},
                 {"1.5s", 1500000000, "1.5s"},
                 {"-1.5h", -5400000000000, "-1h30m0s"},
                 {"250ms", 250000000, "250ms"},
                 {".5us", 500, "500ns"},
                 {"1500us", 1500000, "1.5ms"},
                 {"3\xc2\xb5s", 3000, "3\xc2\xb5s"},
                 {"2562047h47m16.854775807s", INT64_MAX, "2562047h47m16.854775807s"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ns;
        char out[CLOCK_DURATION_MAX];
        assert_true(clock_parse_duration(str_from(cases[i].in), &ns));
        assert_true(ns == cases[i].ns);
        assert_int_equal(clock_format_duration(ns, out), strlen(cases[i].canonical));
        assert_string_equal(out, cases[i].canonical);
    }
    static const char *const bad[] = {"",   "5", "-",  "m",   "5 m",      "1.2.3s",
                                      "5x", "+", ".s", "1h5", "2562048h", "99999999999999999999s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ns;
        if (clock_parse_duration(str_from(bad[i]), &ns))
            fail_msg("accepted \"%s\"", bad[i]);
    }
}

/* --- random --- */

static void seeds_reproduce_and_bounds_hold(void **state)
{
    (void)state;
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    assert_true(rng_next(&a) == rng_next(&b));
    assert_true(rng_next(&a) != rng_next(&c));
    unsigned seen = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t v = rng_below(&a, 5);
        assert_true(v < 5);
        seen |= 1u << v;
    }
    assert_int_equal(seen, 31);
    assert_int_equal(rng_below(&a, 1), 0);
}

static void names_and_uuids_have_their_form(void **state)
{
    (void)state;
    char name[6], uuid[37];
    random_name(name, 5);
    assert_int_equal(strlen(name), 5);
    assert_int_equal(strspn(name, "bcdfghjklmnpqrstvwxz2456789"), 5);
    random_uuid(uuid);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
    assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[14] == '4' && uuid[18] == '-');
    assert_non_null(strchr("89ab", uuid[19]));
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_grow_outward),
        cmocka_unit_test(long_error_messages_are_cut_not_overrun),
        cmocka_unit_test(str_compares_in_byte_order),
        cmocka_unit_test(str_searches_and_slices),
        cmocka_unit_test(str_split_gives_every_part),
        cmocka_unit_test(numbers_take_the_whole_slice_or_fail),
        cmocka_unit_test(buf_appends_and_consumes),
        cmocka_unit_test(buf_past_its_limit_fails_once_and_for_all),
        cmocka_unit_test(varints_are_protobufs),
        cmocka_unit_test(varints_are_taken_off_the_front),
        cmocka_unit_test(varints_come_back_in_the_size_foretold),
        cmocka_unit_test(byte_strings_end_where_they_say),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(base64_round_trips_and_refuses_the_rest),
        cmocka_unit_test(hex_and_percent),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(crc32c_matches_rfc_3720_and_its_fallback),
        cmocka_unit_test(rfc3339_times),
        cmocka_unit_test(rfc3339_offsets_fractions_and_refusals),
        cmocka_unit_test(durations_are_gos),
        cmocka_unit_test(seeds_reproduce_and_bounds_hold),
        cmocka_unit_test(names_and_uuids_have_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
