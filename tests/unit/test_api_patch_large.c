/*
 * Patches as large as a request allows: what they cost in time, memory and stack stays in proportion to their size.
 */
#include "api/fields/field_set.h"
#include "api/patch/containers.h"
#include "api/patch/patch.h"
#include "api/structural/structural.h"
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

/* Operations all over a list or an object as long as a request allows: each costs as if it were short. */
static void test_long_containers(void **state)
{
    (void)state;
    static const struct {
        const char *item; /* % is its number */
        char open, close;
        const char *operation; /* # is a number near the end */
    } rows[] = {
        {"0", '[', ']', "{'op':'add','path':'/a/#','value':1},{'op':'remove','path':'/a/#'}"},
        {"0", '[', ']',
         "{'op':'replace','path':'/a/#','value':1},{'op':'test','path':'/a/#','value':1}"},
        {"'k%':0", '{', '}',
         "{'op':'add','path':'/a/k#','value':1},{'op':'remove','path':'/a/k#'}"},
        {"'k%':0", '{', '}',
         "{'op':'add','path':'/a/z#','value':1},{'op':'test','path':'/a/z#','value':1}"},
    };
    enum { ITEMS = 150000 };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct arena a;
        struct buf patch;
        yyjson_mut_val *root;
        double seconds;
        arena_init(&a);
        buf_init(&patch);
        buf_printf(&patch, "[{'op':'add','path':'/a','value':%c", rows[r].open);
        for (int i = 0; i < ITEMS; i++) {
            buf_append_cstr(&patch, i ? "," : "");
            for (const char *c = rows[r].item; *c; c++)
                if (*c == '%')
                    buf_printf(&patch, "%d", i);
                else
                    buf_append_char(&patch, *c);
        }
        buf_printf(&patch, "%c}", rows[r].close);
        for (int i = 0; i < PATCH_OPERATIONS_MAX / 2 - 1; i++) {
            buf_append_char(&patch, ',');
            for (const char *c = rows[r].operation; *c; c++)
                if (*c == '#')
                    buf_printf(&patch, "%d", ITEMS - 10 - i);
                else
                    buf_append_char(&patch, *c);
        }
        buf_append_char(&patch, ']');
        for (size_t i = 0; i < patch.len; i++)
            patch.data[i] = patch.data[i] == '\'' ? '"' : patch.data[i];
        assert_int_equal(applied(&a, &patch, &root, &seconds), 0);
        print_message("%zu: %.2f s\n", r, seconds);
        assert_true(seconds < 2);
        buf_free(&patch);
        arena_free(&a);
    }
}

static const char *text_of(struct arena *a, yyjson_mut_val *v)
{
    struct buf b;
    buf_init(&b);
    json_write_canonical(v, &b);
    const char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* The same changes by yyjson's own functions and by those that know long containers give the same. */
static void test_containers_are_what_they_were(void **state)
{
    (void)state;
    struct arena a;
    struct containers c;
    arena_init(&a);
    containers_init(&c);
    yyjson_mut_doc *doc = json_doc_new(&a);
    yyjson_mut_val *list[2] = {yyjson_mut_arr(doc), yyjson_mut_arr(doc)};
    yyjson_mut_val *object[2] = {yyjson_mut_obj(doc), yyjson_mut_obj(doc)};
    unsigned seed = 1;
    for (int i = 0; i < 18000; i++) {
        int phase = i / 3000; /* growing, about even, shrinking to nothing, and again */
        seed = seed * 1103515245 + 12345;
        size_t n = yyjson_mut_arr_size(list[0]), at = n ? (seed >> 8) % n : 0;
        unsigned what = (seed >> 4) % 8, more = phase % 3 == 0 ? 6 : phase % 3 == 1 ? 4 : 2;
        char name[16];
        snprintf(name, sizeof name, "k%u", (seed >> 12) % 800);
        assert_true(n == 0 ||
                    yyjson_mut_equals(yyjson_mut_arr_get(list[0], at), items_get(&c, list[1], at)));
        if (what < more || n == 0) {
            size_t where = what == 0 ? n : at;
            yyjson_mut_arr_insert(list[0], yyjson_mut_int(doc, i), where);
            items_insert(&c, list[1], where, yyjson_mut_int(doc, i));
            yyjson_mut_obj_put(object[0], yyjson_mut_strcpy(doc, name), yyjson_mut_int(doc, i));
            named_put(&c, object[1], yyjson_mut_strcpy(doc, name), yyjson_mut_int(doc, i));
        } else if (what == 7) {
            yyjson_mut_arr_replace(list[0], at, yyjson_mut_int(doc, i));
            items_replace(&c, list[1], at, yyjson_mut_int(doc, i));
        } else {
            yyjson_mut_arr_remove(list[0], at);
            items_remove(&c, list[1], at);
            yyjson_mut_obj_remove_key(object[0], name);
            named_remove(&c, object[1], str_from(name));
        }
        assert_int_equal(yyjson_mut_arr_size(list[1]), yyjson_mut_arr_size(list[0]));
        if (i % 500 == 0) {
            assert_string_equal(text_of(&a, list[0]), text_of(&a, list[1]));
            assert_string_equal(text_of(&a, object[0]), text_of(&a, object[1]));
            assert_true(yyjson_mut_equals(object[0], object[1]));
        }
    }
    assert_string_equal(text_of(&a, list[0]), text_of(&a, list[1]));
    assert_string_equal(text_of(&a, object[0]), text_of(&a, object[1]));
    containers_free(&c);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_containers),
        cmocka_unit_test(test_containers_are_what_they_were),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_problems_of_patches),
        cmocka_unit_test(test_problems_of_objects),
        cmocka_unit_test(test_field_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
