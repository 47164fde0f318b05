/*
 * Label and field selectors, on structs and on stored bytes.
 */
#include "api/codec.h"
#include "api/selector.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "tests/unit/api_test.h"

static void test_labels(void **state)
{
    (void)state;
    static const struct {
        const char *selector;
        bool matches; /* {app: web, tier: front, n: "5", empty: ""} */
    } cases[] = {
        {"", true},
        {"app=web", true},
        {"app==web", true},
        {"app = web , tier = front", true},
        {"app=web,tier=back", false},
        {"app!=web", false},
        {"missing!=x", true},
        {"app in (api, web)", true},
        {"app in (api)", false},
        {"app notin (api)", true},
        {"app notin (web,api)", false},
        {"missing notin (x)", true},
        {"app", true},
        {"missing", false},
        {"!missing", true},
        {"! app", false},
        {"empty=", true},
        {"empty in (,x)", true},
        {"app=", false},
        {"n>4", true},
        {"n>5", false},
        {"n<6,n>1", true},
        {"app<6", false},
        {"example.com/x notin (a),app", true},
    };
    struct arena a;
    struct error err;
    struct buf stored;
    arena_init(&a);
    buf_init(&stored);
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    labels_set(&a, pod->metadata, "tier", "front");
    labels_set(&a, pod->metadata, "app", "web");
    labels_set(&a, pod->metadata, "n", "5");
    labels_set(&a, pod->metadata, "empty", "");
    stored_encode(pod, &stored);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct label_selector s;
        if (label_selector_parse(&a, str_from(cases[i].selector), &s, &err) < 0)
            fail_msg("%s: %s", cases[i].selector, err.message);
        if (label_selector_matches_meta(&s, pod->metadata) != cases[i].matches ||
            label_selector_matches_stored(&s, buf_str(&stored)) != cases[i].matches)
            fail_msg("%s: wrong answer", cases[i].selector);
        struct buf text; /* its own text means the same */
        struct label_selector again;
        buf_init(&text);
        label_selector_format(&s, &text);
        assert_int_equal(label_selector_parse(&a, buf_str(&text), &again, &err), 0);
        assert_int_equal(label_selector_matches_meta(&again, pod->metadata), cases[i].matches);
        buf_free(&text);
    }
    buf_free(&stored);
    arena_free(&a);
}

static void test_labels_refused(void **state)
{
    (void)state;
#define WITHIN "unable to parse requirement: "
#define OPERATORS "in, notin, =, ==, !=, gt, lt"
    static const struct {
        const char *text, *want; /* how the message begins */
    } cases[] = {
        {"a=b,", "found '', expected: identifier after ','"},
        {"a,,b", "found ',', expected: identifier after ','"},
        {"=b", "found '=', expected: !, identifier, or 'end of string'"},
        {"(a)", "found '(', expected: !, identifier, or 'end of string'"},
        {",", "found ',', expected: !, identifier, or 'end of string'"},
        {"!", WITHIN "found '', expected: identifier"},
        {"!=a", "found '!=', expected: !, identifier, or 'end of string'"},
        {"a b", WITHIN "found 'b', expected: " OPERATORS},
        {"a!b", WITHIN "found '!', expected: " OPERATORS},
        {"!a=b", "found '=', expected: ',' or 'end of string'"},
        {"a=b c", "found 'c', expected: ',' or 'end of string'"},
        {"a=b)", "found ')', expected: ',' or 'end of string'"},
        {"a===b", WITHIN "found '=', expected: identifier"},
        {"a in", WITHIN "found '' expected: '('"},
        {"a notin", WITHIN "found '' expected: '('"},
        {"a in b", WITHIN "found 'b' expected: '('"},
        {"a in (b", WITHIN "found '', expected: ',' or ')'"},
        {"a in (b c)", WITHIN "found 'c', expected: ',' or ')'"},
        {"a in (=)", WITHIN "found '=', expected: ',', ')' or identifier"},
        {"a in (b,=)", WITHIN "found '=', expected: ',', or identifier"},
        {"a>x", WITHIN "values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must "
                       "be an integer"},
        {"a=-b",
         WITHIN "values[0][a]: Invalid value: \"-b\": a valid label must be an empty string"},
        {"a in (b,-c)", WITHIN "values[0][a]: Invalid value: \"-c\": a valid label"},
        {"a in (-x,b,-c)", WITHIN "[values[0][a]: Invalid value: \"-c\": "},
        {"-a=b", WITHIN "<nil>: Invalid value: \"-a\": name part must consist of"},
        {"a/b/c", WITHIN "<nil>: Invalid value: \"a/b/c\": a valid label key must consist of"},
        {"A_/x=1", WITHIN "<nil>: Invalid value: \"A_/x\": prefix part a lowercase RFC 1123"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct label_selector s;
        struct error err = {0};
        if (label_selector_parse(&a, str_from(cases[i].text), &s, &err) == 0)
            fail_msg("\"%s\" was accepted", cases[i].text);
        if (strncmp(err.message, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("\"%s\": %s, not %s", cases[i].text, err.message, cases[i].want);
    }
    arena_free(&a);
}

static void test_selector_structs(void **state)
{
    (void)state;
    struct arena a;
    struct label_selector s;
    struct error err;
    arena_init(&a);
    Meta__V1__ObjectMeta *meta = api_new(&a, Meta__V1__ObjectMeta);
    labels_set(&a, meta, "app", "web");

    assert_int_equal(label_selector_from(&a, NULL, &s, &err), 0);
    assert_false(label_selector_matches_meta(&s, meta));
    Meta__V1__LabelSelector *in = api_new(&a, Meta__V1__LabelSelector);
    assert_int_equal(label_selector_from(&a, in, &s, &err), 0);
    assert_true(label_selector_matches_meta(&s, meta));
    string_map_set(&a, &in->match_labels, &in->n_match_labels, "app", "web");
    Meta__V1__LabelSelectorRequirement *r = api_new(&a, Meta__V1__LabelSelectorRequirement);
    r->key = (char *)"tier";
    r->operator_ = (char *)"DoesNotExist";
    api_append(&a, in, match_expressions, r);
    assert_int_equal(label_selector_from(&a, in, &s, &err), 0);
    assert_true(label_selector_matches_meta(&s, meta));
    labels_set(&a, meta, "tier", "x");
    assert_false(label_selector_matches_meta(&s, meta));
    r->operator_ = (char *)"Near";
    assert_int_equal(label_selector_from(&a, in, &s, &err), ERR_INVALID);

    label_selector_from_map(&a, NULL, 0, &s); /* a service without a selector has no pods */
    assert_false(label_selector_matches_meta(&s, meta));
    arena_free(&a);
}

static void check_fields(const void *object, const char *text, bool matches)
{
    struct arena a;
    struct error err;
    struct field_selector s;
    struct buf stored;
    arena_init(&a);
    buf_init(&stored);
    stored_encode(object, &stored);
    const struct resource *r = resource_of_message(schema_of(object)->id);
    if (field_selector_parse(&a, r, str_from(text), &s, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    if (field_selector_matches(&s, object) != matches ||
        field_selector_matches_stored(&s, r, buf_str(&stored)) != matches)
        fail_msg("%s: wrong answer", text);
    buf_free(&stored);
    arena_free(&a);
}

static void test_fields(void **state)
{
    (void)state;
    struct arena a;
    struct error err;
    struct field_selector s;
    arena_init(&a);
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    pod->metadata->name = (char *)"web-1";
    pod->metadata->namespace_ = (char *)"default";
    pod->spec->node_name = (char *)"n1";
    pod->status->phase = (char *)"Running";
    check_fields(pod, "", true);
    check_fields(pod, "spec.nodeName=n1", true);
    check_fields(pod, "spec.nodeName==n2", false);
    check_fields(pod, "spec.nodeName!=n2,metadata.name=web-1", true);
    check_fields(pod, "status.phase!=Running", false);
    check_fields(pod, "spec.hostNetwork=false", true);
    check_fields(pod, "status.podIP=", true);
    check_fields(pod, "metadata.namespace=default,", true);
    check_fields(pod, "metadata.name=web-1", true);

    Core__V1__Node *node = api_new(&a, Core__V1__Node);
    check_fields(node, "spec.unschedulable=false", true);
    node->spec->unschedulable = 1;
    check_fields(node, "spec.unschedulable=true", true);

    Core__V1__Event *event = api_new(&a, Core__V1__Event);
    event->involved_object->name = (char *)"web-1";
    event->source->component = (char *)"kubelet";
    check_fields(event, "involvedObject.name=web-1,source=kubelet", true);
    check_fields(event, "involvedObject.name=web-2", false);

    Batch__V1__Job *job = api_new(&a, Batch__V1__Job);
    job->status->succeeded = 3;
    check_fields(job, "status.successful=3", true);

    const struct resource *pods = resource_of_message(Core__V1__Pod__SCHEMA);
    assert_int_equal(field_selector_parse(&a, pods, STR("spec.containers=x"), &s, &err),
                     ERR_INVALID);
    assert_string_equal(err.message, "field label not supported: spec.containers");
    assert_int_equal(field_selector_parse(&a, pods, STR("spec.nodeName"), &s, &err), ERR_INVALID);
    const struct resource *nodes = resource_of_message(Core__V1__Node__SCHEMA);
    assert_int_equal(field_selector_parse(&a, nodes, STR("metadata.namespace=x"), &s, &err),
                     ERR_INVALID);
    assert_int_equal(field_selector_parse(&a, NULL, STR("a.b=c\\,d,e!=f"), &s, &err), 0);
    assert_string_equal(field_selector_exact(&s, "a.b"), "c,d");
    assert_null(field_selector_exact(&s, "e"));
    assert_int_equal(field_selector_parse(&a, NULL, STR("a=\\\\\\="), &s, &err), 0);
    assert_string_equal(field_selector_exact(&s, "a"), "\\=");
    assert_int_equal(field_selector_parse(&a, NULL, STR("a=b\\xc"), &s, &err), ERR_INVALID);
    assert_string_equal(err.message, "invalid field selector: invalid escape sequence: \\x");
    assert_int_equal(field_selector_parse(&a, NULL, STR("a=b\\\xc3\xa4"), &s, &err), ERR_INVALID);
    assert_string_equal(err.message, "invalid field selector: invalid escape sequence: \\\xc3\xa4");
    assert_int_equal(field_selector_parse(&a, NULL, STR("a=b\\"), &s, &err), ERR_INVALID);
    assert_string_equal(err.message, "invalid field selector: invalid escape sequence: \\");
    assert_int_equal(field_selector_parse(&a, NULL, STR("a=b=c"), &s, &err), ERR_INVALID);
    assert_string_equal(err.message, "invalid field selector: unescaped character in value: 61");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_labels_refused),
        cmocka_unit_test(test_selector_structs),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
