/*
 * Patches as large as a request allows: what they cost in time, memory and stack stays in proportion to their size.
 */
#include "api/fields/field_set.h"
#include "api/patch/patch.h"
#include "proto/apiextensions_v1.pb-c.h"
#include "proto/apps_v1.pb-c.h"
#include "tests/unit/api_test.h"
#include <time.h>

#define SECONDS_MAX 5
#define LEVELS 200  /* of a value that an operation brings */
#define ROUNDS 1700 /* so many of them fit into a body of 3 MB */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The operations on {}: what comes of it, and what it cost. */
static int applied(struct arena *a, const struct buf *patch, yyjson_mut_val **root, double *seconds)
{
    struct error err = {0};
    yyjson_val *operations;
    yyjson_mut_doc *doc = json_doc_new(a);
    *root = yyjson_mut_obj(doc);
    assert_int_equal(json_read(a, buf_str(patch), &operations, &err), 0);
    double begin = cpu_seconds();
    int rc = json_patch_apply(doc, root, operations, &err);
    *seconds = cpu_seconds() - begin;
    return rc;
}

/* A large value moved to and fro is not copied each time. */
static void test_moves(void **state)
{
    (void)state;
    struct arena a;
    struct buf patch;
    yyjson_mut_val *root;
    double seconds;
    arena_init(&a);
    buf_init(&patch);
    buf_append_cstr(&patch, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":[0");
    for (int i = 1; i < 100000; i++)
        buf_append_cstr(&patch, ",0");
    buf_append_cstr(&patch, "]}");
    for (int i = 1; i < PATCH_OPERATIONS_MAX; i++)
        buf_append_cstr(&patch, i % 2 ? ",{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}"
                                      : ",{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}");
    buf_append_char(&patch, ']');
    assert_int_equal(applied(&a, &patch, &root, &seconds), 0);
    assert_int_equal(yyjson_mut_arr_size(yyjson_mut_obj_get(root, "b")), 100000);
    assert_true(seconds < SECONDS_MAX);
    buf_free(&patch);
    arena_free(&a);
}

/* What is moved into another value again and again gets deeper than a recursion may go: it is refused, not copied. */
static void test_nesting(void **state)
{
    (void)state;
    struct arena a;
    struct buf patch, value, path;
    yyjson_mut_val *root;
    double seconds;
    arena_init(&a);
    buf_init(&patch);
    buf_init(&value);
    buf_init(&path);
    for (int i = 0; i < LEVELS; i++)
        buf_append_cstr(&value, "{\"a\":");
    buf_append_cstr(&value, "0");
    for (int i = 0; i < LEVELS; i++)
        buf_append_char(&value, '}');
    for (int i = 0; i < LEVELS; i++)
        buf_append_cstr(&path, "/a");
    buf_append_cstr(&patch, "[{\"op\":\"add\",\"path\":\"/x\",\"value\":0}");
    for (int i = 0; i < ROUNDS; i++) {
        buf_printf(&patch, ",{\"op\":\"add\",\"path\":\"/y\",\"value\":%s}", buf_cstr(&value));
        buf_printf(&patch, ",{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/y%s\"}", buf_cstr(&path));
        buf_append_cstr(&patch, ",{\"op\":\"move\",\"from\":\"/y\",\"path\":\"/x\"}");
    }
    buf_append_cstr(&patch, ",{\"op\":\"copy\",\"from\":\"/x\",\"path\":\"/z\"}]");
    assert_true(applied(&a, &patch, &root, &seconds) < 0);
    assert_true(seconds < SECONDS_MAX);
    buf_free(&patch);
    buf_free(&value);
    buf_free(&path);
    arena_free(&a);
}

/* ---- what is said about fields ---- */

#define LONG_NAME 500000
#define TWICE 50000

/* {"<a long name>":{"a":0,"a":0,…}} */
static void append_twice(struct buf *json)
{
    buf_append_cstr(json, "{\"");
    for (int i = 0; i < LONG_NAME; i++)
        buf_append_char(json, 'n');
    buf_append_cstr(json, "\":{\"type\":\"a\"");
    for (int i = 0; i < TWICE; i++)
        buf_append_cstr(json, ",\"type\":\"a\"");
    buf_append_cstr(json, "}}");
}

/* The path of a problem holds names as long as the text: not every member that stands twice gets one. */
static void test_problems_of_patches(void **state)
{
    (void)state;
    struct arena a;
    struct buf patch;
    struct field_problems problems = {0};
    struct error err = {0};
    void *out;
    arena_init(&a);
    buf_init(&patch);
    append_twice(&patch);
    Apps__V1__Deployment *d = api_new(&a, Apps__V1__Deployment);
    assert_int_equal(object_patch(&a, d, PATCH_MERGE, buf_str(&patch), &problems, &out, &err), 0);
    assert_true(problems.len > 0 && problems.items[0].duplicate);
    assert_true(a.used < 100u << 20);
    buf_free(&patch);
    arena_free(&a);
}

static void test_problems_of_objects(void **state)
{
    (void)state;
    struct arena a;
    struct buf json;
    struct field_problems problems = {0};
    struct error err = {0};
    void *out;
    arena_init(&a);
    buf_init(&json);
    buf_append_cstr(&json,
                    "{\"spec\":{\"versions\":[{\"schema\":{\"openAPIV3Schema\":{\"properties\":");
    append_twice(&json);
    buf_append_cstr(&json, "}}}]}}");
    assert_int_equal(json_decode(&a,
                                 schema_get(Apiextensions__V1__CustomResourceDefinition__SCHEMA),
                                 buf_str(&json), &problems, &out, &err),
                     0);
    assert_true(problems.len > 0 && problems.items[0].duplicate);
    assert_true(a.used < 100u << 20);
    buf_free(&json);
    arena_free(&a);
}

/* Managed fields of a client that names one field again and again. */
static void test_field_sets(void **state)
{
    (void)state;
    struct arena a;
    struct buf json;
    struct field_set *set;
    struct error err = {0};
    arena_init(&a);
    buf_init(&json);
    buf_append_cstr(&json, "{\"f:a\":{\".\":{}");
    for (int i = 0; i < TWICE; i++)
        buf_printf(&json, ",\"f:%d\":{}", i);
    buf_append_char(&json, '}');
    for (int i = 0; i < TWICE; i++)
        buf_printf(&json, ",\"f:a\":{\"f:b%d\":{}}", i);
    buf_append_char(&json, '}');
    double begin = cpu_seconds();
    assert_int_equal(field_set_parse(&a, buf_str(&json), &set, &err), 0);
    assert_true(cpu_seconds() - begin < SECONDS_MAX);
    assert_true(a.used < 500u << 20);
    size_t n = 0;
    for (struct field_set *c = set->children->children; c; c = c->next)
        n++;
    assert_int_equal(n, 2 * TWICE);
    assert_true(set->children->member);
    assert_null(set->children->next);
    buf_free(&json);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_problems_of_patches),
        cmocka_unit_test(test_problems_of_objects),
        cmocka_unit_test(test_field_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
