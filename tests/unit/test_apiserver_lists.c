/* Which state a list or a watch shows: the documented combinations of resourceVersion, resourceVersionMatch,
 * limit, continue and sendInitialEvents, and the published errors for the others. And field selectors'
 * errors, by kind. */
#include "api/selector.h"
#include "apiserver/rest/answer_cache.h"
#include "apiserver/rest/list_version.h"
#include "apiserver/rest/negotiate.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define INVALID "ListOptions.meta.k8s.io \"\" is invalid: "

struct row {
    const char *version, *match, *token, *send;
    int64_t limit;
    const char *error; /* then nothing else is looked at */
    const char *await;
    int64_t exact;
};

static const struct row lists[] = {
    {"", "", "", NULL, 0, NULL, "", 0},
    {"", "", "", NULL, 5, NULL, "", 0},
    {"0", "", "", NULL, 0, NULL, "0", 0},
    {"0", "", "", NULL, 5, NULL, "0", 0},
    {"0", "NotOlderThan", "", NULL, 5, NULL, "0", 0},
    {"7", "", "", NULL, 0, NULL, "7", 0},
    {"7", "", "", NULL, 5, NULL, "7", 7}, /* a chunked list is of one state */
    {"7", "NotOlderThan", "", NULL, 5, NULL, "7", 0},
    {"7", "Exact", "", NULL, 0, NULL, "7", 7},
    {"7", "Exact", "", NULL, 5, NULL, "7", 7},
    {"", "", "t", NULL, 5, NULL, "0", 0},
    {"0", "", "t", NULL, 5, NULL, "0", 0},
    {"7", "", "t", NULL, 5, "specifying resource version is not allowed when using continue"},
    {"", "Exact", "", NULL, 0,
     INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless "
             "resourceVersion is provided"},
    {"0", "Exact", "", NULL, 0,
     INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for "
             "resourceVersion \"0\""},
    {"1", "foo", "", NULL, 0,
     INVALID "resourceVersionMatch: Unsupported value: \"foo\": supported values: \"Exact\", "
             "\"NotOlderThan\", \"\""},
    {"0", "NotOlderThan", "t", NULL, 0,
     INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is "
             "provided"},
    {"", "", "", "true", 0,
     INVALID "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"},
    {"", "", "", "false", 0,
     INVALID "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"},
    {"abc", "", "", NULL, 0,
     "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax"},
    {"-1", "", "", NULL, 0,
     "resourceVersion: Invalid value: \"-1\": strconv.ParseUint: parsing \"-1\": invalid syntax"},
};

static void list_versions(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct row *w = &lists[i];
        struct list_version got;
        struct list_query q = {w->version, w->match, w->token, w->send, w->limit, false};
        struct status *s = list_version_of(&a, &q, &got);
        if (w->error) {
            if (!s || strcmp(s->message, w->error) != 0)
                fail_msg("row %zu: %s", i, s ? s->message : "no error");
            assert_int_equal(s->code, strncmp(w->error, INVALID, 10) == 0 ? 422 : 400);
            continue;
        }
        if (s || strcmp(got.await, w->await) != 0 || got.exact != w->exact)
            fail_msg("row %zu: %s", i, s ? s->message : got.await);
    }
    arena_free(&a);
}

struct watch_row {
    const char *version, *match, *send;
    const char *error;
    const char *await;
    bool initial, end;
    int64_t from;
};

static const struct watch_row watches[] = {
    {"", "", NULL, NULL, "", true, false, 0},
    {"0", "", NULL, NULL, "0", true, false, 0},
    {"7", "", NULL, NULL, "0", false, false, 7}, /* a watch of the future waits */
    {"", "NotOlderThan", "true", NULL, "", true, true, 0},
    {"0", "NotOlderThan", "true", NULL, "0", true, true, 0},
    {"7", "NotOlderThan", "1", NULL, "7", true, true, 0},
    {"", "NotOlderThan", "false", NULL, "", false, false, 0},
    {"7", "NotOlderThan", "false", NULL, "0", false, false, 7},
    {"", "", "true",
     INVALID "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
             "resourceVersionMatch to NotOlderThan"},
    {"1", "NotOlderThan", NULL,
     INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless "
             "sendInitialEvents is provided"},
    {"1", "Exact", "true",
     INVALID "[resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
             "resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: "
             "\"Exact\": supported values: \"NotOlderThan\"]"},
};

static void watch_versions(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        const struct watch_row *w = &watches[i];
        struct list_version got;
        struct list_query q = {w->version, w->match, "", w->send, 0, true};
        struct status *s = list_version_of(&a, &q, &got);
        if (w->error) {
            if (!s || strcmp(s->message, w->error) != 0)
                fail_msg("row %zu: %s", i, s ? s->message : "no error");
            continue;
        }
        if (s || strcmp(got.await, w->await) != 0 || got.initial != w->initial ||
            got.initial_end != w->end || got.from != w->from)
            fail_msg("row %zu: %s", i, s ? s->message : got.await);
    }
    arena_free(&a);
}

static void unknown_fields(void **state)
{
    (void)state;
    static const struct {
        const char *group, *plural, *selector, *error; /* NULL: it is known */
    } rows[] = {
        {"", "pods", "spec.nodeName=n1,status.phase!=Running", NULL},
        {"", "pods", "spec.foo=b", "field label not supported: spec.foo"},
        {"", "nodes", "spec.unschedulable=true", NULL},
        {"", "events", "involvedObject.name=x,type=Warning", NULL},
        {"", "secrets", "type=Opaque", NULL},
        {"batch", "jobs", "status.successful=1", NULL},
        {"batch", "jobs", "x=1", "field label \"x\" not supported for Job"},
        {"apps", "replicasets", "x=1", "field label \"x\" not supported for appsv1.ReplicaSet"},
        {"apps", "deployments", "spec.foo=b",
         "\"spec.foo\" is not a known field selector: only \"metadata.name\", "
         "\"metadata.namespace\""},
        {"", "configmaps", "metadata.name==a,metadata.namespace=b", NULL},
        {"", "pods", "foo", "invalid selector: 'foo'; can't understand 'foo'"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct field_selector got;
        struct error err = {0};
        const struct resource *r =
            resource_find(str_from(rows[i].group), STR("v1"), str_from(rows[i].plural));
        assert_non_null(r);
        int rc = field_selector_parse(&a, r, str_from(rows[i].selector), &got, &err);
        if (!rows[i].error)
            assert_int_equal(rc, 0);
        else
            assert_string_equal(err.message, rows[i].error);
    }
    arena_free(&a);
}

static void encodings(void **state)
{
    (void)state;
    assert_true(negotiate_gzip(STR("gzip")));
    assert_true(negotiate_gzip(STR("deflate, gzip;q=0.5, br")));
    assert_true(negotiate_gzip(STR("*")));
    assert_false(negotiate_gzip(STR("")));
    assert_false(negotiate_gzip(STR("identity")));
    assert_false(negotiate_gzip(STR("gzip;q=0")));
}

/* An answer is of one key, one version and one resource; another in its place drives it out. */
static void kept_answers(void **state)
{
    (void)state;
    struct answer_cache *c = answer_cache_new();
    const struct resource *r = resource_find(STR(""), STR("v1"), STR("pods"));
    const struct resource *other = resource_find(STR(""), STR("v1"), STR("secrets"));
    struct str got,
        long_text = str_make(mem_zalloc(ANSWER_CACHE_TEXT_MAX + 1), ANSWER_CACHE_TEXT_MAX + 1);
    assert_false(answer_cache_get(c, r, STR("a"), 5, &got));
    answer_cache_put(c, r, STR("a"), 5, STR("five"));
    assert_true(answer_cache_get(c, r, STR("a"), 5, &got) && str_eqz(got, "five"));
    assert_false(answer_cache_get(c, r, STR("a"), 6, &got));
    assert_false(answer_cache_get(c, other, STR("a"), 5, &got));
    answer_cache_put(c, r, STR("a"), 6, STR("six, and longer"));
    assert_false(answer_cache_get(c, r, STR("a"), 5, &got));
    assert_true(answer_cache_get(c, r, STR("a"), 6, &got) && str_eqz(got, "six, and longer"));
    answer_cache_put(c, r, STR("b"), 7, long_text);
    assert_false(answer_cache_get(c, r, STR("b"), 7, &got));
    unsigned found = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 1000; i++) {
            char key[16];
            snprintf(key, sizeof key, "key%d", i);
            if (pass == 0)
                answer_cache_put(c, r, str_from(key), i, str_from(key));
            else if (answer_cache_get(c, r, str_from(key), i, &got)) {
                assert_true(str_eqz(got, key));
                found++;
            }
        }
    assert_in_range(found, 1, ANSWER_CACHE_ENTRIES);
    mem_free((char *)long_text.p);
    answer_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_versions),  cmocka_unit_test(watch_versions),
        cmocka_unit_test(unknown_fields), cmocka_unit_test(encodings),
        cmocka_unit_test(kept_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
