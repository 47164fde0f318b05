/* Request info: path → verb, group, resource, as RBAC sees it. */
#include "apiserver/request.h"
#include "base/error.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct row {
    const char *method, *path, *query;
    const char *verb, *group, *version, *ns, *resource, *sub, *name, *rest;
};

static const struct row rows[] = {
    {"GET", "/api/v1/namespaces", "", "list", "", "v1", "", "namespaces", "", "", ""},
    {"GET", "/api/v1/namespaces/other", "", "get", "", "v1", "other", "namespaces", "", "other",
     ""},
    {"PUT", "/api/v1/namespaces/other/finalize", "", "update", "", "v1", "other", "namespaces",
     "finalize", "other", ""},
    {"GET", "/api/v1/namespaces/other/pods", "", "list", "", "v1", "other", "pods", "", "", ""},
    {"GET", "/api/v1/namespaces/other/pods/foo/log", "follow=true", "get", "", "v1", "other",
     "pods", "log", "foo", ""},
    {"HEAD", "/api/v1/namespaces/other/pods/foo", "", "get", "", "v1", "other", "pods", "", "foo",
     ""},
    {"GET", "/api/v1/pods", "watch=true", "watch", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=false", "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/watch/namespaces/x/pods", "", "watch", "", "v1", "x", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=1&fieldSelector=metadata.name%3Dfoo", "watch", "", "v1", "",
     "pods", "", "foo", ""},
    {"POST", "/api/v1/namespaces/o/pods", "", "create", "", "v1", "o", "pods", "", "", ""},
    {"DELETE", "/api/v1/namespaces/o/pods", "", "deletecollection", "", "v1", "o", "pods", "", "",
     ""},
    {"DELETE", "/api/v1/namespaces/o/pods/a", "", "delete", "", "v1", "o", "pods", "", "a", ""},
    {"PATCH", "/apis/apps/v1/namespaces/o/deployments/d/scale", "", "patch", "apps", "v1", "o",
     "deployments", "scale", "d", ""},
    {"GET", "/api/v1/nodes/n1/proxy/metrics/cadvisor", "", "get", "", "v1", "", "nodes", "proxy",
     "n1", "metrics/cadvisor"},
    {"GET", "/api/v1/nodes/a%20b", "", "get", "", "v1", "", "nodes", "", "a b", ""},
    {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", "", "get",
     "rbac.authorization.k8s.io", "v1", "", "clusterroles", "", "system:node", ""},
};

static void parses_resource_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *w = &rows[i];
        struct arena a;
        arena_init(&a);
        struct request_info r;
        struct error err = {0};
        assert_int_equal(request_info_parse(&a, str_from(w->method), str_from(w->path),
                                            str_from(w->query), &r, &err),
                         0);
        assert_true(r.is_resource);
        assert_string_equal(r.verb_str, w->verb);
        assert_string_equal(r.group, w->group);
        assert_string_equal(r.version, w->version);
        assert_string_equal(r.ns, w->ns);
        assert_string_equal(r.resource, w->resource);
        assert_string_equal(r.subresource, w->sub);
        assert_string_equal(r.name, w->name);
        assert_string_equal(r.rest, w->rest);
        arena_free(&a);
    }
}

static void other_paths_are_not_resources(void **state)
{
    (void)state;
    const char *paths[] = {"/",     "/healthz",   "/api",          "/api/v1",
                           "/apis", "/apis/apps", "/apis/apps/v1", "/openapi/v3/api/v1"};
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct request_info r;
        assert_int_equal(request_info_parse(&a, STR("POST"), str_from(paths[i]), STR(""), &r, NULL),
                         0);
        assert_false(r.is_resource);
        assert_string_equal(r.verb_str, "post");
        assert_string_equal(r.path, paths[i]);
    }
    arena_free(&a);
}

static void refuses_bad_escapes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct request_info r;
    struct error err = {0};
    assert_int_equal(request_info_parse(&a, STR("GET"), STR("/api/v1/pods/%zz"), STR(""), &r, &err),
                     ERR_INVALID);
    assert_int_equal(request_info_parse(&a, STR("GET"), STR("/api/v1/pods/%00"), STR(""), &r, &err),
                     ERR_INVALID);
    arena_free(&a);
}

static void reads_queries(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct str q = STR("a=1&b=x+y&c&d=%2C&limit=50&bad=5x&f=FALSE");
    assert_string_equal(query_get(&a, q, "b"), "x y");
    assert_string_equal(query_get(&a, q, "c"), "");
    assert_string_equal(query_get(&a, q, "d"), ",");
    assert_null(query_get(&a, q, "zz"));
    assert_true(query_bool(&a, q, "c"));
    assert_false(query_bool(&a, q, "f"));
    int64_t n = 0;
    assert_int_equal(query_i64(&a, q, "limit", &n), 1);
    assert_int_equal(n, 50);
    assert_int_equal(query_i64(&a, q, "bad", &n), -1);
    assert_int_equal(query_i64(&a, q, "none", &n), 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_resource_paths),
        cmocka_unit_test(other_paths_are_not_resources),
        cmocka_unit_test(refuses_bad_escapes),
        cmocka_unit_test(reads_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
