/*
 * Requests over HTTP/2 that keep to the rules of RFC 9113 and such that do not.
 */
#include "net/http2_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Fields "name=value", separated by '|'. */
static bool accepted(const char *fields)
{
    struct http2_rules r;
    struct str rest = str_from(fields);
    http2_rules_init(&r);
    while (rest.n) {
        ptrdiff_t bar = str_find_char(rest, '|');
        size_t end = bar < 0 ? rest.n : (size_t)bar;
        struct str field = str_slice(rest, 0, end);
        size_t eq = (size_t)str_find_char(field, '=');
        if (!http2_rules_header(&r, str_slice(field, 0, eq), str_slice(field, eq + 1, field.n)))
            return false;
        rest = str_slice(rest, bar < 0 ? rest.n : end + 1, rest.n);
    }
    return http2_rules_headers_end(&r);
}

#define GET ":method=GET|:scheme=https|:path=/x"

static void ordinary_requests_pass(void **state)
{
    (void)state;
    assert_true(accepted(GET));
    assert_true(accepted(GET "|:authority=10.0.0.1:2379|accept=*/*|te=trailers"));
    assert_true(accepted(":method=OPTIONS|:scheme=http|:path=*"));
    assert_true(accepted(GET "|content-length=12|content-length=12"));
}

static void authorities_of_etcd_clients_pass(void **state)
{
    (void)state;
    assert_true(accepted(GET "|:authority=http://127.0.0.1:2379"));
    assert_true(accepted(GET "|:authority=#initially=[127.0.0.1:2379;127.0.0.1:2380]"));
    assert_false(accepted(GET "|:authority=a\nb"));
}

static void incomplete_or_disordered_requests_do_not(void **state)
{
    (void)state;
    assert_false(accepted(":method=GET|:scheme=https"));
    assert_false(accepted(":method=GET|:path=/x"));
    assert_false(accepted(":scheme=https|:path=/x"));
    assert_false(accepted(GET "|:method=GET"));
    assert_false(accepted("accept=x|" GET));
    assert_false(accepted(GET "|:status=200"));
    assert_false(accepted(":method=GE T|:scheme=https|:path=/x"));
    assert_false(accepted(":method=GET|:scheme=https|:path=x"));
    assert_false(accepted(":method=GET|:scheme=https|:path=/a b"));
}

static void fields_of_other_protocols_do_not(void **state)
{
    (void)state;
    assert_false(accepted(GET "|connection=close"));
    assert_false(accepted(GET "|transfer-encoding=chunked"));
    assert_false(accepted(GET "|te=gzip"));
    assert_false(accepted(GET "|Accept=x"));
    assert_false(accepted(GET "|bad name=x"));
    assert_false(accepted(GET "|accept=a\r\nb"));
    assert_false(accepted(GET "|content-length=12|content-length=13"));
    assert_false(accepted(GET "|content-length=-1"));
    assert_false(http2_rules_trailer(STR(":path"), STR("/")));
    assert_false(http2_rules_trailer(STR("connection"), STR("x")));
    assert_true(http2_rules_trailer(STR("grpc-status"), STR("0")));
}

static void a_body_is_as_long_as_announced(void **state)
{
    (void)state;
    struct http2_rules r;
    http2_rules_init(&r);
    assert_true(http2_rules_header(&r, STR("content-length"), STR("10")));
    assert_true(http2_rules_body(&r, 6, false));
    assert_false(http2_rules_body(&r, 0, true));
    assert_true(http2_rules_body(&r, 4, true));
    assert_false(http2_rules_body(&r, 1, false));
    http2_rules_init(&r);
    assert_true(http2_rules_body(&r, 1000, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_requests_pass),
        cmocka_unit_test(authorities_of_etcd_clients_pass),
        cmocka_unit_test(incomplete_or_disordered_requests_do_not),
        cmocka_unit_test(fields_of_other_protocols_do_not),
        cmocka_unit_test(a_body_is_as_long_as_announced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
