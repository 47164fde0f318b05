/*
 * JSONPath as kubectl has it, and tables.
 */
#include "api/jsonpath.h"
#include "cli/resources/res.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const char document[] = "{\"kind\":\"List\",\"items\":["
                               "{\"metadata\":{\"name\":\"a\",\"labels\":{\"app.kubernetes.io/"
                               "name\":\"x\"}},\"n\":1,\"ok\":true,"
                               "\"ports\":[{\"port\":80},{\"port\":443}]},"
                               "{\"metadata\":{\"name\":\"b\"},\"n\":20,\"ok\":false,\"ports\":[]},"
                               "{\"metadata\":{\"name\":\"c\"},\"n\":3,\"ok\":true}]}";

static void test_jsonpath(void **state)
{
    (void)state;
    static const struct {
        const char *template, *want; /* NULL: malformed */
    } cases[] = {
        {"{.kind}", "List"},
        {".kind", "List"},
        {"{$.kind}", "List"},
        {"{.none}", ""},
        {"kind is {.kind}!", "kind is List!"},
        {"{.items[*].metadata.name}", "a b c"},
        {"{.items[0].metadata.name}", "a"},
        {"{.items[-1].metadata.name}", "c"},
        {"{.items[9].metadata.name}", ""},
        {"{.items[0:2].metadata.name}", "a b"},
        {"{.items[1:].metadata.name}", "b c"},
        {"{.items[::2].metadata.name}", "a c"},
        {"{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x"},
        {"{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"},
        {"{.items[0]['n','ok']}", "1 true"},
        {"{.items[0].ports}", "[{\"port\":80},{\"port\":443}]"},
        {"{..port}", "80 443"},
        {"{.items[*].n}", "1 20 3"},
        {"{.items[?(@.n>2)].metadata.name}", "b c"},
        {"{.items[?(@.n<=3)].metadata.name}", "a c"},
        {"{.items[?(@.metadata.name==\"b\")].n}", "20"},
        {"{.items[?(@.metadata.name!='b')].n}", "1 3"},
        {"{.items[?(@.ok==true)].n}", "1 3"},
        {"{.items[?(@.ports)].metadata.name}", "a b"},
        {"{range .items[*]}{.metadata.name}={.n}{\"\\n\"}{end}", "a=1\nb=20\nc=3\n"},
        {"{range .items[*]}[{range .ports[*]}{.port},{end}]{end}", "[80,443,][][]"},
        {"{\"a\\tb\"}", "a\tb"},
        {"{.kind", NULL},
        {"{range .items[*]}x", NULL},
        {"{end}", NULL},
        {"{.items[x]}", NULL},
        {"{.items[0}", NULL},
        {"{.items[?(n>2)]}", NULL},
        {"{.items[0:2:0]}", NULL},
        {"{kind}", NULL},
    };
    struct arena a;
    yyjson_val *root;
    arena_init(&a);
    assert_int_equal(json_read(&a, str_from(document), &root, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        struct error err = {0};
        buf_init(&out);
        int rc = jsonpath_render(cases[i].template, root, &out, &err);
        if (!cases[i].want) {
            assert_true(rc < 0);
            assert_non_null(strstr(err.message, "jsonpath: "));
        } else {
            assert_int_equal(rc, 0);
            assert_string_equal(buf_cstr(&out), cases[i].want);
        }
        buf_free(&out);
    }
    arena_free(&a);
}

static void test_objects_are_sorted_without_managed_fields(void **state)
{
    (void)state;
    struct arena a;
    yyjson_val *root;
    arena_init(&a);
    assert_int_equal(
        json_read(
            &a,
            STR("{\"spec\":{\"managedFields\":1,\"b\":2,\"a\":1.50},\"metadata\":{\"name\":\"x\","
                "\"managedFields\":[1]}}"),
            &root, NULL),
        0);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, res_sorted(doc, root, false));
    char *text = yyjson_mut_write(doc, 0, NULL);
    assert_string_equal(
        text, "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"a\":1.50,\"b\":2,\"managedFields\":1}}");
    free(text);
    yyjson_mut_doc_free(doc);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonpath),
        cmocka_unit_test(test_objects_are_sorted_without_managed_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
