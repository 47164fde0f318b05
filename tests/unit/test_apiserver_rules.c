/* RBAC rules, continue tokens, negotiation, Status texts: the pure pieces. */
#include "apiserver/auth/rbac_held.h"
#include "apiserver/rest/continue_token.h"
#include "apiserver/rest/negotiate.h"
#include "apiserver/status.h"
#include "base/encode.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

/* ---- RBAC: one rule against one request ---- */

/* A NULL-terminated list: L("a", "b",), L(). */
#define L(...) ((const char *[]){__VA_ARGS__ NULL})

struct rule_row {
    struct rbac_rule rule;
    const char *verb, *group, *resource, *sub, *name; /* resource NULL: name is a path */
    bool allowed;
};

static void rules_match_requests(void **state)
{
    (void)state;
    const struct rbac_rule pods = {L("get", "list", ), L("", ), L("pods", ), L(), L()};
    const struct rbac_rule logs = {L("get", ), L("", ), L("pods/log", ), L(), L()};
    const struct rbac_rule scales = {L("update", ), L("apps", ), L("*/scale", ), L(), L()};
    const struct rbac_rule all = {L("*", ), L("*", ), L("*", ), L(), L()};
    const struct rbac_rule one = {L("get", ), L("", ), L("configmaps", ), L("a", "b", ), L()};
    const struct rbac_rule urls = {L("get", ), L(), L(), L(), L("/healthz", "/api/*", )};
    const struct rule_row rows[] = {
        {pods, "get", "", "pods", "", "x", true},
        {pods, "delete", "", "pods", "", "x", false},
        {pods, "get", "apps", "pods", "", "x", false},
        {pods, "get", "", "pods", "log", "x",
         false}, /* a resource does not include its subresources */
        {pods, "get", "", "podsx", "", "x", false},
        {logs, "get", "", "pods", "log", "x", true},
        {logs, "get", "", "pods", "", "x", false},
        {scales, "update", "apps", "deployments", "scale", "d", true},
        {scales, "update", "apps", "deployments", "", "d", false},
        {all, "escalate", "any.io", "things", "sub", "", true},
        {one, "get", "", "configmaps", "", "b", true},
        {one, "get", "", "configmaps", "", "c", false},
        {one, "get", "", "configmaps", "", "", false}, /* names never allow collections */
        {urls, "get", NULL, NULL, NULL, "/healthz", true},
        {urls, "get", NULL, NULL, NULL, "/api/v1", true},
        {urls, "get", NULL, NULL, NULL, "/apis", false},
        {urls, "post", NULL, NULL, NULL, "/healthz", false},
        {all, "get", NULL, NULL, NULL, "/healthz", false}, /* resources are no paths */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct rule_row *r = &rows[i];
        struct authz_attributes at = {.verb = r->verb,
                                      .is_resource = r->resource != NULL,
                                      .group = r->group,
                                      .resource = r->resource,
                                      .subresource = r->sub,
                                      .ns = "",
                                      .name = r->name,
                                      .path = r->name};
        if (rbac_rule_allows(&r->rule, &at) != r->allowed)
            fail_msg("row %zu", i);
    }
}

/* ---- RBAC: all permissions of a rule against many rules ---- */

static void rules_cover_rules(void **state)
{
    (void)state;
    const struct rbac_rule held[] = {
        {L("get", "list", ), L("", ), L("pods", "pods/log", ), L(), L()},
        {L("watch", ), L("", ), L("pods", ), L(), L()},
        {L("update", ), L("*", ), L("*/scale", ), L(), L()},
        {L("*", ), L("batch", ), L("*", ), L(), L()},
        {L("get", ), L("", ), L("secrets", ), L("a", "b", ), L()},
        {L("get", ), L(), L(), L(), L("/healthz", "/api/*", )},
    };
    const struct {
        struct rbac_rule rule;
        bool covered;
    } rows[] = {
        {{L("get", "list", "watch", ), L("", ), L("pods", ), L(), L()}, true}, /* by two together */
        {{L("get", "watch", ), L("", ), L("pods", "pods/log", ), L(), L()}, false},
        {{L("get", ), L("", ), L("pods", ), L("x", ), L()}, true},
        {{L("update", ), L("apps", ), L("deployments/scale", "*/scale", ), L(), L()}, true},
        {{L("update", ), L("*", ), L("*/scale", ), L(), L()}, true},
        {{L("update", ), L("apps", ), L("deployments", ), L(), L()}, false},
        {{L("*", ), L("batch", ), L("jobs", "*", "jobs/status", ), L(), L()}, true},
        {{L("*", ), L("*", ), L("jobs", ), L(), L()}, false},
        {{L("get", ), L("", ), L("secrets", ), L("a", ), L()}, true},
        {{L("get", ), L("", ), L("secrets", ), L("a", "c", ), L()}, false},
        {{L("get", ), L("", ), L("secrets", ), L(), L()}, false},
        {{L("get", ), L(), L(), L(), L("/healthz", "/api/v1", "/api/*", )}, true},
        {{L("get", ), L(), L(), L(), L("/apis/*", )}, false},
        {{L("post", ), L(), L(), L(), L("/healthz", )}, false},
        {{L("get", ), L("", ), L("pods", ), L(), L("/healthz", )}, true},
        {{L("get", ), L("", ), L("pods", ), L(), L("/version", )}, false},
        {{L(), L("", ), L("nodes", ), L(), L()}, true}, /* allows nothing */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rbac_rules_cover(held, ARRAY_LEN(held), &rows[i].rule) != rows[i].covered)
            fail_msg("row %zu", i);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool count_one(void *ctx, const struct authz_attributes *at)
{
    (void)at;
    ++*(size_t *)ctx;
    return true;
}

#define MANY_RULES 30000

/* As many rules as a role has room for, compared with as many, each of which names something else. */
static void many_rules_are_looked_up(void **state)
{
    (void)state;
    static char names[MANY_RULES + 1][16];
    static const char *lists[MANY_RULES + 1][2];
    static struct rbac_rule rules[MANY_RULES + 1];
    static const char *get[] = {"get", NULL}, *core[] = {"", NULL}, *none[] = {NULL};
    static const char *maps[] = {"configmaps", NULL};
    struct rbac_held *held = rbac_held_new();
    size_t steps = 16000000, missing = 0;
    double begin = cpu_seconds();
    for (int i = 0; i <= MANY_RULES; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        lists[i][0] = names[i];
        rules[i] = (struct rbac_rule){get, core, maps, lists[i], none};
        if (i < MANY_RULES)
            rbac_held_add(held, &rules[i]);
    }
    for (int i = 0; i <= MANY_RULES; i++) {
        struct authz_attributes at = {.ns = "", .group = "", .subresource = "", .path = ""};
        enum rbac_answer answer =
            rbac_held_covers(held, &rules[i], &at, &steps, count_one, &missing);
        assert_int_equal(answer, i < MANY_RULES ? RBAC_YES : RBAC_NO);
    }
    assert_int_equal(missing, 1);
    rbac_held_free(held);
    assert_true(cpu_seconds() - begin < 3);
}

/* A few kilobytes of lists that multiply to 10^12 permissions: held as a whole, or given up. */
static void products_are_not_walked(void **state)
{
    (void)state;
    static char texts[1000][8];
    static const char *list[1001];
    for (int i = 0; i < 1000; i++) {
        snprintf(texts[i], sizeof texts[i], "t%d", i);
        list[i] = texts[i];
    }
    const struct rbac_rule huge = {list, list, list, list, L()};
    const struct rbac_rule all = {L("*", ), L("*", ), L("*", ), L(), L()};
    const struct rbac_rule half = {list, list, list, L("t0", ), L()};
    const struct {
        const struct rbac_rule *held;
        enum rbac_answer answer;
    } rows[] = {{&all, RBAC_YES}, {&huge, RBAC_YES}, {&half, RBAC_TOO_MUCH}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rbac_held *held = rbac_held_new();
        size_t steps = 16000000, missing = 0;
        struct authz_attributes at = {.ns = "", .path = ""};
        double begin = cpu_seconds();
        rbac_held_add(held, rows[i].held);
        assert_int_equal(rbac_held_covers(held, &huge, &at, &steps, count_one, &missing),
                         rows[i].answer);
        assert_true(cpu_seconds() - begin < 5);
        rbac_held_free(held);
    }
}

/* ---- continue tokens ---- */

static void tokens_round_trip(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    const char start[] = "ns/na\"me\0";
    struct continue_token t = {1234567890123, str_make(start, 9), 42}, got;
    assert_int_equal(continue_token_parse(&a, continue_token_make(&a, &t), &got, NULL), 0);
    assert_int_equal(got.revision, 1234567890123);
    assert_int_equal(got.start.n, 9);
    assert_memory_equal(got.start.p, start, 9);
    assert_int_equal(got.remaining, 42);
    t = (struct continue_token){CONTINUE_NEWEST, STR("a"), -1};
    assert_int_equal(continue_token_parse(&a, continue_token_make(&a, &t), &got, NULL), 0);
    assert_int_equal(got.revision, CONTINUE_NEWEST);
    assert_int_equal(got.remaining, -1);
    arena_free(&a);
}

static void bad_tokens_are_refused(void **state)
{
    (void)state;
    const char *bodies[] = {"",
                            "x",
                            "{}",
                            "{\"v\":\"v1\",\"rv\":1,\"start\":\"a\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":-2,\"start\":\"a\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"a\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"../x\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"/x\"}",
                            "{\"v\":\"meta.k8s.io/v1\",\"rv\":\"1\",\"start\":\"a\"}"};
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct buf b;
        struct error err = {0};
        struct continue_token got;
        buf_init(&b);
        base64url_encode(&b, str_from(bodies[i]));
        buf_append_char(&b, 0);
        assert_int_equal(continue_token_parse(&a, b.data, &got, &err), ERR_INVALID);
        assert_non_null(strstr(err.message, "continue key is not valid"));
        buf_free(&b);
    }
    arena_free(&a);
}

/* ---- negotiation ---- */

static void accept_headers(void **state)
{
    (void)state;
    struct accept got;
    const struct {
        const char *header;
        bool discovery, ok;
        enum media media;
        enum transform transform;
    } rows[] = {
        {"", false, true, MEDIA_JSON, TRANSFORM_NONE},
        {"*/*", false, true, MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", false, true, MEDIA_JSON,
         TRANSFORM_TABLE},
        {"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", false,
         true, MEDIA_JSON, TRANSFORM_NONE},
        {"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
         false, true, MEDIA_PROTOBUF, TRANSFORM_METADATA},
        {"application/vnd.kubernetes.protobuf, application/json", false, true, MEDIA_PROTOBUF,
         TRANSFORM_NONE},
        {"application/json;q=0.5, application/yaml", false, true, MEDIA_YAML, TRANSFORM_NONE},
        {"text/html", false, false, MEDIA_JSON, TRANSFORM_NONE},
        {"text/html;q=0.9, application/yaml;q=0.5", false, true, MEDIA_YAML, TRANSFORM_NONE},
        {"*/*, application/yaml", false, true, MEDIA_YAML, TRANSFORM_NONE}, /* the more specific */
        {"application/*;q=0.3,application/vnd.kubernetes.protobuf;q=0.2", false, true, MEDIA_JSON,
         TRANSFORM_NONE},
        {"application/json;q=0", false, false, MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;q=0,*/*;q=0.1", false, true, MEDIA_JSON, TRANSFORM_NONE},
        {"application/yaml;as=Table;v=v1;g=meta.k8s.io", false, true, MEDIA_YAML, TRANSFORM_TABLE},
        {"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", false, false,
         MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io", false, true,
         MEDIA_JSON, TRANSFORM_METADATA},
        {"application/json;as=Table;v=v1", false, false, MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;as=Table;v=v9;g=meta.k8s.io", false, false, MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;as=Table;v=v1;g=meta.k8s.io", true, false, MEDIA_JSON, TRANSFORM_NONE},
        {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", true, true,
         MEDIA_JSON, TRANSFORM_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ok = negotiate_accept(str_from(rows[i].header), rows[i].discovery, &got);
        if (ok != rows[i].ok ||
            (ok && (got.media != rows[i].media || got.transform != rows[i].transform)))
            fail_msg("row %zu: %s", i, rows[i].header);
    }
    struct str table = STR("application/json;as=Table;v=v1;g=meta.k8s.io");
    assert_false(negotiate_accept_tableless(table, &got));
    assert_true(got.known_type);
    assert_true(negotiate_accept_tableless(str_from(rows[2].header), &got)); /* or JSON */
    assert_int_equal(got.transform, TRANSFORM_NONE);
    enum media m;
    assert_true(negotiate_content_type(STR("application/json; charset=utf-8"), &m));
    assert_int_equal(m, MEDIA_JSON);
    assert_true(negotiate_content_type(STR("application/vnd.kubernetes.protobuf"), &m));
    assert_int_equal(m, MEDIA_PROTOBUF);
    assert_false(negotiate_content_type(STR("text/plain"), &m));
    assert_false(negotiate_content_type(STR("*/*"), &m));
}

/* ---- Status ---- */

static void check_json(const struct status *s, const char *want)
{
    struct buf b;
    buf_init(&b);
    status_encode_json(s, &b);
    assert_string_equal(buf_cstr(&b), want);
    buf_free(&b);
}

static void statuses_read_as_published(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct status_about d = {"apps", "deployments", "Deployment", "web"};
    check_json(status_not_found(&a, &d),
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
               "\"message\":\"deployments.apps \\\"web\\\" not found\",\"reason\":\"NotFound\","
               "\"details\":{\"name\":\"web\",\"group\":\"apps\",\"kind\":\"deployments\"},"
               "\"code\":404}\n");
    check_json(status_deleted(&a, &d, "u"),
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
               "\"details\":{\"name\":\"web\",\"group\":\"apps\",\"kind\":\"deployments\",\"uid\":"
               "\"u\"}}\n");
    struct status *s = status_invalid(&a, &d);
    status_cause_add(&a, s, "FieldValueRequired", "spec.selector", "Required value");
    status_cause_add(&a, s, "FieldValueInvalid", "spec.replicas",
                     "Invalid value: %d: must not be negative", -1);
    status_invalid_finish(&a, s);
    assert_string_equal(
        s->message,
        "Deployment.apps \"web\" is invalid: [spec.selector: Required value, spec.replicas: "
        "Invalid value: -1: must not be negative]");
    assert_int_equal(s->code, 422);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_cover_rules),       cmocka_unit_test(many_rules_are_looked_up),
        cmocka_unit_test(products_are_not_walked), cmocka_unit_test(rules_match_requests),
        cmocka_unit_test(tokens_round_trip),       cmocka_unit_test(bad_tokens_are_refused),
        cmocka_unit_test(accept_headers),          cmocka_unit_test(statuses_read_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
