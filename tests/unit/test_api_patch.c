/*
 * Patches: cases from the examples of RFC 6902 and RFC 7386, and the published behaviour of strategic
 * merge patch on real kinds.
 */
#include "api/patch/patch.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "tests/unit/api_test.h"
#include <time.h>

struct patch_case {
    const char *document, *patch, *want; /* want NULL: refused */
};

static void check_tree(const struct patch_case *c, int (*apply)(yyjson_mut_doc *, yyjson_mut_val **,
                                                                yyjson_val *, struct error *))
{
    struct arena a;
    struct error err = {0};
    yyjson_val *document, *patch;
    arena_init(&a);
    assert_int_equal(json_read(&a, str_from(c->document), &document, &err), 0);
    assert_int_equal(json_read(&a, str_from(c->patch), &patch, &err), 0);
    yyjson_mut_doc *doc = json_doc_new(&a);
    yyjson_mut_val *root = yyjson_val_mut_copy(doc, document);
    int rc = apply(doc, &root, patch, &err);
    if (!c->want) {
        if (rc == 0)
            fail_msg("%s on %s was accepted", c->patch, c->document);
        assert_true(err.message[0] != 0);
    } else {
        if (rc < 0)
            fail_msg("%s on %s: %s", c->patch, c->document, err.message);
        size_t n;
        char *text = yyjson_mut_val_write(root, 0, &n);
        assert_json_equal(c->patch, str_make(text, n), str_from(c->want));
        free(text);
    }
    arena_free(&a);
}

static void test_json_patch(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        /* RFC 6902 appendix A */
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"foo\":\"bar\",\"baz\":\"qux\"}"},
        {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
         "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
         "{\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
         "{\"foo\":[\"bar\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}",
         "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
         "{\"baz\":\"boo\",\"foo\":\"bar\"}"},
        {"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
         "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
         "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}"},
        {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
         "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
         "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}"},
        {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
         "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},"
         "{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
         "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}"},
        {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", NULL},
        {"{\"foo\":\"bar\"}",
         "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
         "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]", NULL},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
         "{\"/\":9,\"~1\":10}"},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]", NULL},
        {"{\"foo\":[\"bar\"]}",
         "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
         "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}"},
        /* edges */
        {"{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":1}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":2}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]", NULL},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-2\",\"value\":2}]", "{\"a\":[2,1]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-3\",\"value\":2}]", NULL},
        {"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/-1\",\"value\":3}]", "{\"a\":[1,3]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-2\"}]", "{\"a\":[2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-3\"}]", NULL},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-0\"}]", NULL},
        {"{\"a\":[1,2]}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":[1,2.0]}]", "{\"a\":[1,2]}"},
        {"{\"a\":{\"x\":1,\"y\":[]}}",
         "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"y\":[],\"x\":1}}]",
         "{\"a\":{\"x\":1,\"y\":[]}}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/00\",\"value\":2}]", NULL},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"spin\",\"path\":\"/a\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"path\":\"/b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "{\"op\":\"add\"}", NULL},
        {"{\"a\":1}", "[1]", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_tree(&cases[i], json_patch_apply);
}

static int apply_merge(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                       struct error *err)
{
    (void)err;
    merge_patch_apply(doc, root, patch);
    return 0;
}

static void test_merge_patch(void **state)
{
    (void)state;
    static const struct patch_case cases[] = {
        /* RFC 7386 appendix A */
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        /* as published: what is new loses members of null within lists, too, but for an object's place */
        {"{}", "{\"a\":[{\"b\":null,\"c\":1},null]}", "{\"a\":[{\"c\":1},null]}"},
        {"{\"a\":[1]}", "{\"a\":[[{\"b\":null}]]}", "{\"a\":[[{}]]}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":[{\"b\":null}]}", "{\"a\":[{\"b\":null}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_tree(&cases[i], apply_merge);
}

static int apply_pod(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                     struct error *err)
{
    return strategic_patch_apply(doc, root, patch, schema_get(Core__V1__Pod__SCHEMA), err);
}

static int apply_deployment(yyjson_mut_doc *doc, yyjson_mut_val **root, yyjson_val *patch,
                            struct error *err)
{
    return strategic_patch_apply(doc, root, patch, schema_get(Apps__V1__Deployment__SCHEMA), err);
}

static void test_strategic_patch(void **state)
{
    (void)state;
    static const struct patch_case pods[] = {
        /* lists of objects merge by key */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"},{\"name\":\"b\",\"image\":"
         "\"y\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"z\"},{\"name\":\"c\",\"image\":"
         "\"w\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"},{\"name\":\"b\",\"image\":"
         "\"z\"},"
         "{\"name\":\"c\",\"image\":\"w\"}]}}"},
        /* an item is deleted by directive */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}"},
        /* the whole list is replaced */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"$patch\":\"replace\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"},
        /* an object is replaced, or emptied */
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
         "{\"metadata\":{\"labels\":{\"$patch\":\"replace\",\"c\":\"3\"}}}",
         "{\"metadata\":{\"labels\":{\"c\":\"3\"}}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
         "{\"metadata\":{\"labels\":{\"a\":null,\"c\":\"3\"}}}",
         "{\"metadata\":{\"labels\":{\"b\":\"2\",\"c\":\"3\"}}}"},
        /* lists without a merge strategy are replaced */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"command\":[\"x\",\"y\"]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"command\":[\"z\"]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"command\":[\"z\"]}]}}"},
        /* lists of scalars that merge are sets */
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"finalizers\":[\"b\",\"c\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"c\"]}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a\"],\"finalizers\":[\"c\"]}}",
         "{\"metadata\":{\"finalizers\":[\"c\",\"b\"]}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a\"]}}",
         "{\"metadata\":{\"finalizers\":[\"b\"]}}"},
        /* order */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}}",
         "{\"spec\":{\"$setElementOrder/"
         "containers\":[{\"name\":\"c\"},{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"a\"},{\"name\":\"b\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"server\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"$setElementOrder/"
         "containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"n\"}],"
         "\"containers\":[{\"name\":\"n\",\"image\":\"i\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"server\"},{\"name\":\"b\"},"
         "{\"name\":\"n\",\"image\":\"i\"}]}}"},
        /* what is new to the server comes before what only the server has; what both have keeps
           the server's order */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"n\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"n\"},{\"name\":\"a\"},{\"name\":\"b\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"i\"},{\"name\":\"n\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\",\"image\":\"i\"},{\"name\":"
         "\"n\"},"
         "{\"name\":\"c\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"},{\"name\":\"a\",\"image\":"
         "\"j\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\"},{\"name\":\"c\",\"image\":\"i\"},{\"name\":"
         "\"a\","
         "\"image\":\"j\"}]}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}", "{\"metadata\":{\"finalizers\":[\"n\"]}}",
         "{\"metadata\":{\"finalizers\":[\"n\",\"a\",\"b\"]}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"n\",\"b\"],\"finalizers\":[\"n\"]}}",
         "{\"metadata\":{\"finalizers\":[\"n\",\"a\",\"b\"]}}"},
        /* several of one key: all stay, or all go */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"},{\"containerPort\":80}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$setElementOrder/"
         "ports\":[{\"containerPort\":80},"
         "{\"containerPort\":53},{\"containerPort\":53}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80},"
         "{\"containerPort\":53,\"protocol\":\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"}]}"
         "]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"},{\"containerPort\":80}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"$patch\":\"delete\","
         "\"containerPort\":53}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80}]}]}}"},
        /* … and what the patch does not name comes together, too */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
         "\"UDP\"},{\"containerPort\":81},{\"containerPort\":80},{\"containerPort\":53,"
         "\"protocol\":\"TCP\"}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"name\":"
         "\"w\"}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"},{\"containerPort\":81},{"
         "\"containerPort\":80,\"name\":\"w\"}]}]}}"},
        /* deletions come before what is added, and are nothing but that */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"tty\":true},{\"name\":\"a\",\"$patch\":"
         "\"delete\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"tty\":true}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"$patch\":\"replace\",\"name\":\"r\"},{\"name\":\"b\",\"$"
         "patch\":"
         "\"delete\"},{\"name\":\"c\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"$patch\":\"merge\"}]}}", NULL},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"$patch\":\"explode\"}]}}", NULL},
        /* retainKeys: one volume source takes another's place */
        {"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}",
         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],"
         "\"hostPath\":{\"path\":\"/x\"}}]}}",
         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}}"},
        /* numeric merge keys; nested lists */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"name\":"
         "\"w\"}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"hostPort\":"
         "8080},"
         "{\"containerPort\":81}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"name\":"
         "\"w\","
         "\"hostPort\":8080},{\"containerPort\":81}]}]}}"},
        /* nulls and directives vanish where there is nothing to change */
        {"{\"spec\":{}}", "{\"spec\":{\"securityContext\":{\"runAsUser\":1,\"fsGroup\":null}}}",
         "{\"spec\":{\"securityContext\":{\"runAsUser\":1}}}"},
        /* refusals */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}", NULL},
        {"{\"spec\":{}}", "{\"spec\":{\"$patch\":\"explode\"}}", NULL},
        {"{}", "[]", NULL},
    };
    static const struct patch_case deployments[] = {
        {"{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}"
         "}",
         "{\"spec\":{\"strategy\":{\"$retainKeys\":[\"type\"],\"type\":\"Recreate\"}}}",
         "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}"},
        {"{\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\","
         "\"env\":["
         "{\"name\":\"X\",\"value\":\"1\"}]}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":["
         "{\"name\":\"Y\",\"value\":\"2\"}]}]}}}}",
         "{\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\","
         "\"env\":["
         "{\"name\":\"Y\",\"value\":\"2\"},{\"name\":\"X\",\"value\":\"1\"}]}]}}}}"},
    };
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++)
        check_tree(&pods[i], apply_pod);
    for (size_t i = 0; i < sizeof deployments / sizeof *deployments; i++)
        check_tree(&deployments[i], apply_deployment);
}

static void test_object_patch(void **state)
{
    (void)state;
    struct arena a;
    struct error err = {0};
    struct field_problems problems = {0};
    void *out;
    arena_init(&a);
    Apps__V1__Deployment *d = api_new(&a, Apps__V1__Deployment);
    d->metadata->name = (char *)"web";
    api_set(d->spec, replicas, 2);
    labels_set(&a, d->metadata, "a", "1");

    assert_int_equal(object_patch(&a, d, PATCH_STRATEGIC, STR("{\"spec\":{\"replicas\":5}}"),
                                  &problems, &out, &err),
                     0);
    assert_int_equal(((Apps__V1__Deployment *)out)->spec->replicas, 5);
    assert_int_equal(d->spec->replicas, 2);
    assert_int_equal(problems.len, 0);

    assert_int_equal(
        object_patch(&a, d, PATCH_MERGE, STR("{\"spec\":{\"replicsa\":5}}"), &problems, &out, &err),
        0);
    assert_int_equal(problems.len, 1);
    assert_string_equal(field_problem_message(&a, &problems.items[0]),
                        "unknown field \"spec.replicsa\"");

    assert_int_equal(
        object_patch(&a, d, PATCH_MERGE, STR("{\"spec\":{\"replicas\":\"x\"}}"), NULL, &out, &err),
        ERR_INVALID);
    assert_non_null(strstr(err.message, "spec.replicas of type int32"));

    assert_int_equal(
        object_patch(&a, d, PATCH_JSON,
                     STR("[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":3}]"), NULL, &out,
                     &err),
        ERR_CONFLICT);
    assert_int_equal(object_patch(&a, d, PATCH_JSON,
                                  STR("[{\"op\":\"remove\",\"path\":\"/metadata/labels\"}]"), NULL,
                                  &out, &err),
                     0);
    assert_int_equal(((Apps__V1__Deployment *)out)->metadata->n_labels, 0);
    assert_int_equal(object_patch(&a, d, PATCH_MERGE, STR("{"), NULL, &out, &err), ERR_INVALID);
    arena_free(&a);
}

/* What the published server answers to patches that fail, and what it finds in those that do not. */
static void test_reports(void **state)
{
    (void)state;
    static const struct {
        enum patch_type type;
        const char *patch;
        enum patch_failure failure;
        const char *message;  /* of the failure */
        const char *problems; /* one a line */
        const char *shown;    /* a part of it */
    } cases[] = {
        {PATCH_MERGE, "{", PATCH_MALFORMED, "error decoding patch: unexpected end of JSON input",
         "", NULL},
        {PATCH_JSON, "", PATCH_MALFORMED, "error decoding patch: unexpected end of JSON input", "",
         NULL},
        {PATCH_STRATEGIC, "{\"data\":[", PATCH_MALFORMED, "unexpected end of JSON input", "", NULL},
        {PATCH_JSON, "{}", PATCH_MALFORMED,
         "error decoding patch: json: cannot unmarshal object into Go value of type "
         "[]handlers.jsonPatchOp",
         "", NULL},
        {PATCH_MERGE, "null", PATCH_MALFORMED, "Invalid JSON Patch", "", NULL},
        {PATCH_JSON, "null", PATCH_FINE, NULL, "", NULL},
        {PATCH_STRATEGIC, "null", PATCH_FINE, NULL, "", NULL},
        {PATCH_MERGE, "[]", PATCH_MALFORMED,
         "error decoding patch: json: cannot unmarshal array into Go value of type "
         "map[string]interface {}",
         "", NULL},
        {PATCH_STRATEGIC, "\"x\"", PATCH_MALFORMED,
         "json: cannot unmarshal string into Go value of type map[string]interface {}", "", NULL},
        {PATCH_JSON, "[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":3}]", PATCH_REFUSED,
         NULL, "", NULL},
        {PATCH_JSON, "[{\"op\":\"remove\",\"path\":\"/spec/nothing\"}]", PATCH_REFUSED, NULL, "",
         NULL},
        {PATCH_JSON, "[{\"op\":\"spin\",\"path\":\"/spec\"}]", PATCH_REFUSED, NULL, "", NULL},
        {PATCH_JSON, "[{\"op\":\"add\",\"path\":\"/spec/foo\",\"value\":1,\"why\":2,\"value\":2}]",
         PATCH_FINE, NULL,
         "json patch duplicate field \"[0].value\"\njson patch unknown field \"[0].why\"\n"
         "unknown field \"spec.foo\"\n",
         "\"foo\":"},
        {PATCH_MERGE, "{\"spec\":{\"replicas\":2,\"foo\":1,\"replicas\":3}}", PATCH_FINE, NULL,
         "duplicate field \"spec.replicas\"\nunknown field \"spec.foo\"\n", "\"foo\":1"},
        {PATCH_MERGE, "{\"spec\":{\"replicas\":\"x\"}}", PATCH_NO_OBJECT,
         "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type "
         "int32",
         "", "\"replicas\":\"x\""},
        {PATCH_STRATEGIC,
         "{\"spec\":{\"foo\":[\"b\",null,1],\"template\":{\"spec\":{\"containers\":[{\"name\":"
         "\"c\",\"imagee\":\"x\"}]}}}}",
         PATCH_FINE, NULL,
         "unknown field \"spec.template.spec.containers[0].imagee\"\nunknown field \"spec.foo\"\n",
         "map[spec:map[foo:[b <nil> 1] template:map[spec:map[containers:[map[imagee:x "
         "name:c]]]]]]"},
        {PATCH_STRATEGIC, "{\"apiVersion\":\"x/v9\",\"kind\":\"Other\"}", PATCH_FINE, NULL, "",
         NULL},
        {PATCH_MERGE, "{\"kind\":\"Other\"}", PATCH_NO_OBJECT,
         "no kind \"Other\" is registered for version \"apps/v1\"", "", "\"kind\":\"Other\""},
        {PATCH_STRATEGIC, "{\"spec\":{\"template\":{\"spec\":{\"overhead\":{\"cpu\":\"x\"}}}}}",
         PATCH_NO_OBJECT,
         "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
         "", "overhead:map[cpu:x]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"replicas\":[]}}", PATCH_NO_OBJECT,
         "unrecognized type: int32", "", "map[spec:map[replicas:[]]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"replicas\":\"x\"}}", PATCH_NO_OBJECT,
         "unrecognized type: int32", "", "map[spec:map[replicas:x]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"replicas\":1.5}}", PATCH_NO_OBJECT,
         "cannot convert float64 to int32", "", "map[spec:map[replicas:1.5]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"paused\":1}}", PATCH_NO_OBJECT, "unrecognized type: bool",
         "", "map[spec:map[paused:1]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"strategy\":{\"type\":1}}}", PATCH_NO_OBJECT,
         "cannot convert int64 to string", "", "map[spec:map[strategy:map[type:1]]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"template\":\"x\"}}", PATCH_NO_OBJECT,
         "cannot restore struct from: string", "", "map[spec:map[template:x]]"},
        {PATCH_STRATEGIC, "{\"metadata\":{\"labels\":{\"a\":true}}}", PATCH_NO_OBJECT,
         "unrecognized type: string", "", "map[metadata:map[labels:map[a:true]]]"},
        {PATCH_STRATEGIC, "{\"metadata\":{\"labels\":\"a\"}}", PATCH_NO_OBJECT,
         "cannot restore map from string", "", "map[metadata:map[labels:a]]"},
        {PATCH_STRATEGIC, "{\"metadata\":{\"finalizers\":{}}}", PATCH_NO_OBJECT, NULL, "",
         "map[metadata:map[finalizers:map[]]]"},
        {PATCH_STRATEGIC, "{\"spec\":{\"$patch\":\"explode\",\"a\":1}}", PATCH_FAILED,
         "unknown patch type: explode in map: map[$patch:explode a:1]", "", NULL},
        {PATCH_STRATEGIC,
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}}}", PATCH_FAILED,
         "map: map[image:x] does not contain declared merge key: name", "", NULL},
        {PATCH_STRATEGIC,
         "{\"spec\":{\"strategy\":{\"$retainKeys\":\"type\",\"type\":\"Recreate\"}}}",
         PATCH_MALFORMED, "invalid patch format of retainKeys", "", NULL},
        {PATCH_STRATEGIC,
         "{\"spec\":{\"strategy\":{\"$retainKeys\":[\"rollingUpdate\"],\"type\":\"Recreate\"}}}",
         PATCH_MALFORMED, "invalid patch format of retainKeys", "", NULL},
        {PATCH_STRATEGIC, "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":\"x\"}}",
         PATCH_MALFORMED, "invalid patch format of primitive list", "", NULL},
        {PATCH_STRATEGIC, "{\"metadata\":{\"$setElementOrder/finalizers\":{}}}", PATCH_MALFORMED,
         "invalid patch format of setElementOrder list", "", NULL},
        {PATCH_STRATEGIC,
         "{\"spec\":{\"template\":{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"c\"},"
         "{\"name\":\"d\"}],\"containers\":[{\"name\":\"d\"},{\"name\":\"c\"}]}}}}",
         PATCH_FAILED,
         "The order in patch list:\n[map[name:d] map[name:c]]\n doesn't match $setElementOrder "
         "list:\n[map[name:c] map[name:d]]\n",
         "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct error err = {0};
        struct field_problems problems = {0};
        struct patch_report report;
        void *d, *out;
        arena_init(&a);
        assert_int_equal(
            json_decode(&a, schema_get(Apps__V1__Deployment__SCHEMA),
                        STR("{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":1,"
                            "\"strategy\":{},\"template\":{\"spec\":{\"containers\":[{"
                            "\"name\":\"c\"}]}}}}"),
                        NULL, &d, &err),
            0);
        int rc = object_patch_report(&a, d, cases[i].type, str_from(cases[i].patch), &problems,
                                     &out, &report, &err);
        if (report.failure != cases[i].failure || (rc < 0) != (report.failure != PATCH_FINE))
            fail_msg("%s: failure %d, %s", cases[i].patch, report.failure, err.message);
        if (cases[i].message)
            assert_string_equal(err.message, cases[i].message);
        struct buf found;
        buf_init(&found);
        for (size_t k = 0; k < problems.len; k++)
            buf_printf(&found, "%s\n", field_problem_message(&a, &problems.items[k]));
        if (rc == 0)
            assert_string_equal(buf_cstr(&found), cases[i].problems);
        if (cases[i].shown && !strstr(report.shown, cases[i].shown))
            fail_msg("%s: shown %s", cases[i].patch, report.shown);
        buf_free(&found);
        arena_free(&a);
    }
}

static void test_too_many_operations(void **state)
{
    (void)state;
    struct arena a;
    struct error err = {0};
    struct patch_report report;
    struct buf patch;
    void *out;
    arena_init(&a);
    buf_init(&patch);
    for (int i = 0; i <= PATCH_OPERATIONS_MAX; i++)
        buf_printf(&patch, "%s{\"op\":\"test\",\"path\":\"/x\",\"value\":null}", i ? "," : "[");
    buf_append_char(&patch, ']');
    Apps__V1__Deployment *d = api_new(&a, Apps__V1__Deployment);
    assert_true(object_patch_report(&a, d, PATCH_JSON, buf_str(&patch), NULL, &out, &report, &err) <
                0);
    assert_int_equal(report.failure, PATCH_TOO_LARGE);
    assert_string_equal(err.message,
                        "The allowed maximum operations in a JSON patch is 10000, got 10001");
    buf_free(&patch);
    arena_free(&a);
}

/* original (or NULL), modified, current → the patch, and what it makes of current. */
static void test_three_way(void **state)
{
    (void)state;
    static const struct {
        const char *original, *modified, *current, *patch, *result;
    } cases[] = {
        {NULL, "{\"spec\":{\"replicas\":3}}", "{\"spec\":{\"replicas\":3,\"paused\":true}}", "{}",
         NULL},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
         "{\"metadata\":{\"labels\":{\"a\":\"9\"}}}",
         "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\",\"server\":\"x\"}}}",
         "{\"metadata\":{\"labels\":{\"a\":\"9\",\"b\":null}}}",
         "{\"metadata\":{\"labels\":{\"a\":\"9\",\"server\":\"x\"}}}"},
        /* a container goes, one changes, one comes; what the server defaulted stays */
        {"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"},{"
         "\"name\":\"b\",\"image\":\"y\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"z\"},{"
         "\"name\":\"a\",\"image\":\"x2\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\","
         "\"imagePullPolicy\":\"Always\"},{\"name\":\"b\",\"image\":\"y\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"$setElementOrder/"
         "containers\":[{\"name\":\"c\"},{\"name\":\"a\"}],"
         "\"containers\":[{\"name\":\"c\",\"image\":\"z\"},{\"image\":\"x2\",\"name\":\"a\"},{"
         "\"name\":\"b\",\"$patch\":\"delete\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"z\"},{"
         "\"name\":\"a\",\"image\":\"x2\",\"imagePullPolicy\":\"Always\"}]}}}}"},
        /* scalars in a merging list */
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"c\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"s\"]}}",
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"a\",\"c\"],\"$deleteFromPrimitiveList/"
         "finalizers\":[\"b\"],\"finalizers\":[\"c\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"c\",\"s\"]}}"},
        /* one-of: the strategy changes its type */
        {"{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\"}}}",
         "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}",
         "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}"
         "}",
         "{\"spec\":{\"strategy\":{\"type\":\"Recreate\",\"$retainKeys\":[\"type\"]}}}",
         "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}"},
        /* lists without merge keys are whole values */
        {NULL, "{\"spec\":{\"template\":{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}}}",
         "{\"spec\":{\"template\":{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct error err = {0};
        yyjson_val *original = NULL, *modified, *current, *patch;
        yyjson_mut_val *made;
        arena_init(&a);
        yyjson_mut_doc *doc = json_doc_new(&a);
        if (cases[i].original)
            assert_int_equal(json_read(&a, str_from(cases[i].original), &original, &err), 0);
        assert_int_equal(json_read(&a, str_from(cases[i].modified), &modified, &err), 0);
        assert_int_equal(json_read(&a, str_from(cases[i].current), &current, &err), 0);
        assert_int_equal(patch_three_way(&a, schema_get(Apps__V1__Deployment__SCHEMA), original,
                                         modified, current, &made, doc, &err),
                         0);
        size_t n;
        char *text = yyjson_mut_val_write(made, 0, &n);
        assert_json_equal(cases[i].modified, str_make(text, n), str_from(cases[i].patch));
        assert_int_equal(json_read(&a, str_make(text, n), &patch, &err), 0);
        free(text);
        yyjson_mut_val *root = yyjson_val_mut_copy(doc, current);
        assert_int_equal(strategic_patch_apply(doc, &root, patch,
                                               schema_get(Apps__V1__Deployment__SCHEMA), &err),
                         0);
        text = yyjson_mut_val_write(root, 0, &n);
        assert_json_equal(cases[i].modified, str_make(text, n),
                          str_from(cases[i].result ? cases[i].result : cases[i].current));
        free(text);
        arena_free(&a);
    }
}

/* {"data":{"name-0":"v",…}}, in the order of `step`. */
static yyjson_val *large(struct arena *a, size_t n, size_t step, const char *value)
{
    struct buf b;
    struct error err = {0};
    yyjson_val *root;
    buf_init(&b);
    buf_append_cstr(&b, "{\"data\":{");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s\"name-%05zu\":\"%s\"", i ? "," : "", i * step % n, value);
    buf_append_cstr(&b, "}}");
    assert_int_equal(json_read(a, buf_str(&b), &root, &err), 0);
    buf_free(&b);
    return root;
}

static void test_three_way_of_large_objects(void **state)
{
    (void)state;
    struct arena a;
    struct error err = {0};
    yyjson_mut_val *made;
    size_t n = 100000;
    arena_init(&a);
    yyjson_mut_doc *doc = json_doc_new(&a);
    yyjson_val *original = large(&a, n, 1, "x"), *modified = large(&a, n, 7, "y"),
               *current = large(&a, n, 99999, "x");
    struct timespec began, ended;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    assert_int_equal(patch_three_way(&a, schema_get(Core__V1__ConfigMap__SCHEMA), original,
                                     modified, current, &made, doc, &err),
                     0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    double took = (double)(ended.tv_sec - began.tv_sec) + (ended.tv_nsec - began.tv_nsec) / 1e9;
    print_message("three-way merge of %zu names: %.3f s\n", n, took);
    assert_int_equal(yyjson_mut_obj_size(yyjson_mut_obj_get(made, "data")), n);
    assert_true(took < 5);
    arena_free(&a);
}

static void test_patch_types(void **state)
{
    (void)state;
    enum patch_type type;
    assert_true(patch_type_parse(STR("application/merge-patch+json"), &type));
    assert_int_equal(type, PATCH_MERGE);
    assert_true(
        patch_type_parse(STR("application/strategic-merge-patch+json; charset=utf-8"), &type));
    assert_int_equal(type, PATCH_STRATEGIC);
    assert_false(patch_type_parse(STR("application/json"), &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_patch),
        cmocka_unit_test(test_merge_patch),
        cmocka_unit_test(test_strategic_patch),
        cmocka_unit_test(test_object_patch),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_too_many_operations),
        cmocka_unit_test(test_three_way_of_large_objects),
        cmocka_unit_test(test_patch_types),
        cmocka_unit_test(test_three_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
