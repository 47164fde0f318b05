/*
 * Structural schemas as tables: what is pruned, defaulted and refused, in which words. And the JSONPath and
 * order of versions that custom resources use.
 */
#include "api/custom/custom.h"
#include "api/jsonpath.h"
#include "api/structural/structural.h"
#include "base/buf.h"
#include "base/mem.h"
#include "tests/unit/api_test.h"
#include <time.h>

#define MANY 40000

static struct arena arena;

static struct structural *schema_of_json(const char *json)
{
    void *props;
    struct structural *s;
    struct error err;
    if (json_decode(&arena, schema_get(Apiextensions__V1__JSONSchemaProps__SCHEMA), str_from(json),
                    NULL, &props, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    if (structural_new(&arena, props, &s, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    return s;
}

static yyjson_mut_val *tree(yyjson_mut_doc *doc, const char *json)
{
    yyjson_val *v;
    struct error err;
    if (json_read(&arena, str_from(json), &v, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    return yyjson_val_mut_copy(doc, v);
}

static const char *text_of(yyjson_mut_val *v)
{
    struct buf b;
    buf_init(&b);
    json_write_canonical(v, &b);
    const char *text = arena_strndup(&arena, b.data, b.len);
    buf_free(&b);
    return text;
}

/* ---- pruning ---- */

static bool note(void *ctx, const char *path)
{
    struct buf *b = ctx;
    buf_printf(b, "%s%s", b->len ? "," : "", path);
    return true;
}

static bool note_one(void *ctx, const char *path)
{
    return note(ctx, path) && false;
}

static const struct {
    const char *schema, *in, *out, *unknown;
} prunings[] = {
    {"{\"type\":\"object\"}", "{\"a\":1,\"apiVersion\":\"v1\",\"metadata\":{\"x\":1}}",
     "{\"apiVersion\":\"v1\",\"metadata\":{\"x\":1}}", "a"},
    {"{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{\"a\":{"
     "\"type\":\"string\"}}}}}",
     "{\"spec\":{\"a\":\"x\",\"b\":{\"c\":1},\"kind\":\"K\"}}", "{\"spec\":{\"a\":\"x\"}}",
     "spec.b,spec.kind"},
    {"{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"object\","
     "\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}",
     "{\"l\":[{\"a\":1},{\"b\":2}]}", "{\"l\":[{\"a\":1},{}]}", "l[1].b"},
    /* Maps keep all names; what is in them is pruned. */
    {"{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"object\",\"additionalProperties\":{"
     "\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}",
     "{\"m\":{\"x\":{\"a\":1,\"b\":2}}}", "{\"m\":{\"x\":{\"a\":1}}}", "m.x.b"},
    /* preserve-unknown-fields: what is unknown stays, what is known is pruned by its own schema. */
    {"{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"object\","
     "\"x-kubernetes-preserve-unknown-fields\":true,\"properties\":{\"k\":{\"type\":\"object\","
     "\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}}",
     "{\"p\":{\"u\":{\"v\":1},\"k\":{\"a\":1,\"b\":2}}}",
     "{\"p\":{\"k\":{\"a\":1},\"u\":{\"v\":1}}}", "p.k.b"},
    {"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}", "{\"a\":{\"b\":[1]}}",
     "{\"a\":{\"b\":[1]}}", ""},
    /* Embedded resources keep their metadata whole. */
    {"{\"type\":\"object\",\"properties\":{\"e\":{\"type\":\"object\","
     "\"x-kubernetes-embedded-resource\":true,\"properties\":{\"spec\":{\"type\":\"object\"}}}}}",
     "{\"e\":{\"kind\":\"K\",\"metadata\":{\"z\":1},\"spec\":{\"a\":1},\"x\":1}}",
     "{\"e\":{\"kind\":\"K\",\"metadata\":{\"z\":1},\"spec\":{}}}", "e.spec.a,e.x"},
    {"{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\"}}}",
     "{\"l\":[{\"a\":1},[{\"b\":2}]]}", "{\"l\":[{},[{}]]}", "l[0].a,l[1][0].b"},
};

static void test_prune(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prunings); i++) {
        struct structural *s = schema_of_json(prunings[i].schema);
        yyjson_mut_doc *doc = json_doc_new(&arena);
        yyjson_mut_val *v = tree(doc, prunings[i].in);
        struct buf unknown;
        buf_init(&unknown);
        structural_prune(v, s, note, &unknown);
        assert_string_equal(text_of(v), prunings[i].out);
        assert_string_equal(buf_cstr(&unknown), prunings[i].unknown);
        buf_free(&unknown);
        structural_free(s);
    }
}

/* ---- defaulting ---- */

static const struct {
    const char *schema, *in, *out;
} defaultings[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":5},\"b\":{"
     "\"type\":\"string\"}}}",
     "{}", "{\"a\":5}"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":5}}}",
     "{\"a\":1}", "{\"a\":1}"},
    /* A default of an object is completed by the defaults in it. */
    {"{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\",\"default\":{},"
     "\"properties\":"
     "{\"x\":{\"type\":\"string\",\"default\":\"y\"}}}}}",
     "{}", "{\"o\":{\"x\":\"y\"}}"},
    {"{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\",\"properties\":"
     "{\"x\":{\"type\":\"string\",\"default\":\"y\"}}}}}",
     "{}", "{}"},
    /* Nulls: replaced by the default, dropped without one, kept where allowed. */
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"default\":\"d\"},\"b\":{"
     "\"type\":\"string\"},\"c\":{\"type\":\"string\",\"nullable\":true},\"d\":{\"type\":"
     "\"string\","
     "\"nullable\":true,\"default\":\"d\"}}}",
     "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}", "{\"a\":\"d\",\"c\":null,\"d\":null}"},
    {"{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"object\","
     "\"properties\":{\"p\":{\"type\":\"string\",\"default\":\"TCP\"}}}}}}",
     "{\"l\":[{},{\"p\":\"UDP\"}]}", "{\"l\":[{\"p\":\"TCP\"},{\"p\":\"UDP\"}]}"},
    {"{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"object\",\"additionalProperties\":{"
     "\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"integer\",\"default\":1}}}}}}",
     "{\"m\":{\"k\":{}}}", "{\"m\":{\"k\":{\"p\":1}}}"},
    {"{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"default\":1.50}}}", "{}",
     "{\"n\":1.5}"},
};

static void test_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(defaultings); i++) {
        struct structural *s = schema_of_json(defaultings[i].schema);
        yyjson_mut_doc *doc = json_doc_new(&arena);
        yyjson_mut_val *v = tree(doc, defaultings[i].in);
        assert_int_equal(structural_default(doc, v, s, NULL), 0);
        assert_string_equal(text_of(v), defaultings[i].out);
        structural_free(s);
    }
}

/* A default of n bytes for a property of each item, and a list of that many items. */
static int default_items(size_t n, size_t items, struct error *err)
{
    struct buf text;
    buf_init(&text);
    buf_printf(&text,
               "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":"
               "\"object\",\"properties\":{\"p\":{\"type\":\"string\",\"default\":\"%0*d\"}}}}}}",
               (int)n, 0);
    struct structural *s = schema_of_json(buf_cstr(&text));
    buf_clear(&text);
    buf_append_cstr(&text, "{\"l\":[{}");
    for (size_t i = 1; i < items; i++)
        buf_append_cstr(&text, ",{}");
    buf_append_cstr(&text, "]}");
    yyjson_mut_doc *doc = json_doc_new(&arena);
    yyjson_mut_val *v = tree(doc, buf_cstr(&text));
    int rc = structural_default(doc, v, s, err);
    structural_free(s);
    buf_free(&text);
    return rc;
}

static void test_defaults_have_a_limit(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(default_items(1000, 3000, &err), 0);
    assert_int_equal(default_items(1000, 3200, &err), ERR_LIMIT);
    assert_string_equal(err.message, "defaults of its schema add more than 3145728 bytes");
    size_t before = arena.used;
    assert_int_equal(default_items(600000, 100000, &err), ERR_LIMIT);
    assert_true(arena.used - before < 100u << 20); /* sixty gigabytes, were it done */
}

/* ---- validation: schema of one field `f`, its value, the errors ---- */

static const struct {
    const char *schema, *value, *errors; /* "" when it is valid */
} validations[] = {
    {"{\"type\":\"string\"}", "\"x\"", ""},
    {"{\"type\":\"string\"}", "1",
     "f: Invalid value: \"integer\": f in body must be of type string: \"integer\""},
    {"{\"type\":\"string\"}", "null",
     "f: Invalid value: \"null\": f in body must be of type string: \"null\""},
    {"{\"type\":\"string\",\"nullable\":true}", "null", ""},
    {"{\"type\":\"integer\"}", "\"1\"",
     "f: Invalid value: \"string\": f in body must be of type integer: \"string\""},
    {"{\"type\":\"integer\"}", "1.0", ""},
    {"{\"type\":\"integer\"}", "1.5",
     "f: Invalid value: \"number\": f in body must be of type integer: \"number\""},
    {"{\"type\":\"number\"}", "3", ""},
    {"{\"type\":\"boolean\"}", "{}",
     "f: Invalid value: \"object\": f in body must be of type boolean: \"object\""},
    {"{\"type\":\"object\"}", "[]",
     "f: Invalid value: \"array\": f in body must be of type object: \"array\""},
    {"{\"x-kubernetes-int-or-string\":true}", "5", ""},
    {"{\"x-kubernetes-int-or-string\":true}", "\"50%\"", ""},
    {"{\"x-kubernetes-int-or-string\":true}", "true",
     "f: Invalid value: \"boolean\": f in body must be of type integer,string: \"boolean\""},
    {"{\"type\":\"string\",\"minLength\":2}", "\"a\"",
     "f: Invalid value: \"a\": f in body should be at least 2 chars long"},
    {"{\"type\":\"string\",\"maxLength\":2}", "\"äöü\"",
     "f: Too long: may not be more than 2 bytes"},
    {"{\"type\":\"string\",\"maxLength\":3}", "\"äöü\"", ""},
    {"{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"b\"",
     "f: Invalid value: \"b\": f in body should match '^a+$'"},
    {"{\"type\":\"string\",\"pattern\":\"b\"}", "\"abc\"", ""}, /* not anchored */
    {"{\"type\":\"string\",\"pattern\":\"^a$\"}", "\"a\\n\"",
     "f: Invalid value: \"a\\n\": f in body should match '^a$'"},
    {"{\"type\":\"string\",\"enum\":[\"a\",\"b\"]}", "\"c\"",
     "f: Unsupported value: \"c\": supported values: \"a\", \"b\""},
    {"{\"type\":\"integer\",\"enum\":[1,2]}", "2", ""},
    {"{\"type\":\"integer\",\"enum\":[1,2]}", "3",
     "f: Unsupported value: 3: supported values: \"1\", \"2\""},
    {"{\"type\":\"integer\",\"minimum\":1,\"maximum\":10}", "0",
     "f: Invalid value: 0: f in body should be greater than or equal to 1"},
    {"{\"type\":\"integer\",\"minimum\":1,\"maximum\":10}", "11",
     "f: Invalid value: 11: f in body should be less than or equal to 10"},
    {"{\"type\":\"number\",\"minimum\":1.5,\"exclusiveMinimum\":true}", "1.5",
     "f: Invalid value: 1.5: f in body should be greater than 1.5"},
    {"{\"type\":\"integer\",\"multipleOf\":3}", "7",
     "f: Invalid value: 7: f in body should be a multiple of 3"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":1}", "[\"a\",\"b\"]",
     "f: Too many: 2: must have at most 1 item"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1}", "[]",
     "f: Invalid value: 0: f in body should have at least 1 items"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", "[\"a\",1]",
     "f[1]: Invalid value: \"integer\": f[1] in body must be of type string: \"integer\""},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"uniqueItems\":true}", "[\"a\",\"a\"]",
     "f: Invalid value: \"\": f in body shouldn't contain duplicates"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
     "{}", "f.a: Required value"},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"},\"maxProperties\":1}",
     "{\"a\":\"1\",\"b\":\"2\"}", "f: Too many: 2: must have at most 1 item"},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}",
     "f.a: Invalid value: \"integer\": f.a in body must be of type string: \"integer\""},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}", "\"x\"",
     "f: Invalid value: \"x\": f in body must be of type ipv4: \"x\""},
    {"{\"type\":\"string\",\"format\":\"date-time\"}", "\"2026-11-21T10:00:00Z\"", ""},
    {"{\"type\":\"string\",\"format\":\"nonsense\"}", "\"x\"", ""},
    {"{\"type\":\"integer\",\"anyOf\":[{\"minimum\":5},{\"enum\":[1]}]}", "1", ""},
    {"{\"type\":\"integer\",\"anyOf\":[{\"minimum\":5}]}", "1",
     "[<nil>: Invalid value: \"\": \"f\" must validate at least one schema (anyOf), f: Invalid "
     "value: 1: f in body should be greater than or equal to 5]"},
    {"{\"type\":\"integer\",\"oneOf\":[{\"minimum\":5},{\"minimum\":3}]}", "6",
     "<nil>: Invalid value: \"\": \"f\" must validate one and only one schema (oneOf). Found 2 "
     "valid alternatives"},
    {"{\"type\":\"integer\",\"oneOf\":[{\"minimum\":5},{\"minimum\":3}]}", "4", ""},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}}"
     ","
     "\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     "{}",
     "[<nil>: Invalid value: \"\": \"f\" must validate one and only one schema (oneOf). Found none "
     "valid, f.a: Required value]"},
    {"{\"type\":\"integer\",\"not\":{\"enum\":[3]}}", "3",
     "<nil>: Invalid value: \"\": \"f\" must not validate the schema (not)"},
    {"{\"type\":\"integer\",\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3",
     "[f: Invalid value: 3: f in body should be less than or equal to 2, <nil>: Invalid value: "
     "\"\": \"f\" must validate all the schemas (allOf)]"},
};

static const char *wrapped(const char *format, const char *inner)
{
    struct buf b;
    buf_init(&b);
    const char *at = strstr(format, "@");
    buf_append(&b, format, (size_t)(at - format));
    buf_append_cstr(&b, inner);
    buf_append_cstr(&b, at + 1);
    const char *text = arena_strndup(&arena, b.data, b.len);
    buf_free(&b);
    return text;
}

static const char *errors_of(struct structural *s, const char *json, const char *old_json)
{
    yyjson_mut_doc *doc = json_doc_new(&arena);
    struct field_errors e = {.arena = &arena};
    struct buf b;
    yyjson_mut_val *v = tree(doc, json), *old = old_json ? tree(doc, old_json) : NULL;
    structural_validate(s, v, old, "", &e);
    structural_validate_embedded(s, v, "", &e);
    structural_validate_lists(s, v, "", &e);
    buf_init(&b);
    field_errors_message(&e, &b);
    const char *text = arena_strndup(&arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static void test_validate(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(validations); i++) {
        struct structural *s = schema_of_json(
            wrapped("{\"type\":\"object\",\"properties\":{\"f\":@}}", validations[i].schema));
        const char *errors = errors_of(s, wrapped("{\"f\":@}", validations[i].value), NULL);
        if (strcmp(errors, validations[i].errors) != 0)
            fail_msg("case %zu %s\nhas   %s\nnot   %s", i, validations[i].schema, errors,
                     validations[i].errors);
        structural_free(s);
    }
}

/* Names as long as a body: what is said of what is below them does not hold them again and again. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Items with ' for " and # for their number. */
static void append_many(struct buf *b, const char *item)
{
    for (int i = 0; *item && i < MANY; i++) {
        buf_append_cstr(b, i ? "," : "");
        for (const char *c = item; *c; c++) {
            if (*c == '#')
                buf_printf(b, "%d", i);
            else
                buf_append_char(b, *c == '\'' ? '"' : *c);
        }
    }
}

static const char *with_many(const char *before, const char *item, const char *after)
{
    struct buf b;
    buf_init(&b);
    for (; *before; before++)
        buf_append_char(&b, *before == '\'' ? '"' : *before);
    append_many(&b, item);
    for (; *after; after++)
        buf_append_char(&b, *after == '\'' ? '"' : *after);
    const char *text = arena_strndup(&arena, b.data, b.len);
    buf_free(&b);
    return text;
}

/* An object as long as a request allows, of a schema as long, against itself: nothing is compared with all others. */
static void test_many_of_everything(void **state)
{
    (void)state;
    static const struct {
        const char *schema[3], *value[3];
        size_t errors;
    } rows[] = {
        {{"{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'"
          "items':{'type':'object'",
          "", "}}"},
         {"[", "{'k':'#'}", "]"},
         0},
        {{"{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':[", "'k#'",
          "],'items':{'type':'object'}}"},
         {"[{'z':0},{", "'k#':1", "}]"},
         0},
        {{"{'type':'object','additionalProperties':{'type':'integer'", "", "}}"},
         {"{", "'k#':#", "}"},
         0},
        {{"{'type':'object','required':[", "'k#'", "]}"}, {"{", "'k#':#", "}"}, 0},
        {{"{'type':'object','required':[", "'k#'", "]}"}, {"{", "'m#':#", "}"}, 200},
        {{"{'type':'array','items':{'enum':[", "'k#'", "]}}"}, {"[", "'k#'", "]"}, 0},
        {{"{'type':'array','items':{'enum':[", "'k#'", "]}}"}, {"[", "'m#'", "]"}, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct structural *s =
            schema_of_json(with_many(rows[i].schema[0], rows[i].schema[1], rows[i].schema[2]));
        const char *json = with_many(rows[i].value[0], rows[i].value[1], rows[i].value[2]);
        yyjson_mut_val *value = tree(json_doc_new(&arena), json);
        yyjson_mut_val *old = tree(json_doc_new(&arena), json);
        struct field_errors e = {.arena = &arena};
        double begin = cpu_seconds();
        structural_validate(s, value, rows[i].errors ? NULL : old, "", &e);
        structural_validate_lists(s, value, "", &e);
        double seconds = cpu_seconds() - begin;
        print_message("%zu: %.2f s\n", i, seconds);
        assert_int_equal(e.len, rows[i].errors);
        assert_true(seconds < 3);
        structural_free(s);
    }
}

static void test_long_names(void **state)
{
    (void)state;
    enum { LONG = 500000, ITEMS = 50000 };
    struct structural *s = schema_of_json(
        "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"properties\":{"
        "\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":"
        "\"string\"}}}}}");
    struct arena a;
    struct buf json, unknown;
    arena_init(&a);
    buf_init(&json);
    buf_init(&unknown);
    buf_append_cstr(&json, "{\"");
    for (int i = 0; i < LONG; i++)
        buf_append_char(&json, 'n');
    buf_append_cstr(&json, "\":{\"l\":[0");
    for (int i = 0; i < ITEMS; i++)
        buf_printf(&json, ",%d,%d", i, i);
    buf_append_char(&json, ']');
    for (int i = 0; i < ITEMS; i++)
        buf_printf(&json, ",\"u%d\":0", i);
    buf_append_cstr(&json, "}}");
    yyjson_val *v;
    struct error err;
    assert_int_equal(json_read(&a, buf_str(&json), &v, &err), 0);
    yyjson_mut_val *value = yyjson_val_mut_copy(json_doc_new(&a), v);
    struct field_errors e = {.arena = &a}, lists = {.arena = &a};
    structural_validate(s, value, NULL, "", &e);
    assert_true(e.len > 0 && e.len < 10);
    structural_validate_lists(s, value, "", &lists);
    assert_true(lists.len > 0 && lists.len < 10);
    assert_true(a.used < 200u << 20);
    structural_prune(value, s, note_one, &unknown);
    assert_int_equal(unknown.len, LONG + strlen(".u0"));
    structural_free(s);
    buf_free(&json);
    buf_free(&unknown);
    arena_free(&a);
}

/* What was wrong before and has not changed is left alone. */
static void test_ratcheting(void **state)
{
    (void)state;
    struct structural *s = schema_of_json(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":1},\"b\":{"
        "\"type\":\"string\"},\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
        "\"x-kubernetes-list-map-keys\":[\"k\"],\"items\":{\"type\":\"object\",\"properties\":{"
        "\"k\":{\"type\":\"string\"},\"v\":{\"type\":\"integer\",\"maximum\":1}}}}}}");
    assert_string_equal(errors_of(s, "{\"a\":\"xx\",\"b\":\"2\"}", "{\"a\":\"xx\",\"b\":\"1\"}"),
                        "");
    assert_string_equal(errors_of(s, "{\"a\":\"xy\"}", "{\"a\":\"xx\"}"),
                        "a: Too long: may not be more than 1 byte");
    assert_string_equal(errors_of(s, "{\"l\":[{\"k\":\"n\"},{\"k\":\"o\",\"v\":5}]}",
                                  "{\"l\":[{\"k\":\"o\",\"v\":5}]}"),
                        "");
    assert_string_equal(
        errors_of(s, "{\"l\":[{\"k\":\"o\",\"v\":6}]}", "{\"l\":[{\"k\":\"o\",\"v\":5}]}"),
        "l[0].v: Invalid value: 6: l[0].v in body should be less than or equal to 1");
    structural_free(s);
}

static void test_lists(void **state)
{
    (void)state;
    struct structural *s =
        schema_of_json("{\"type\":\"object\",\"properties\":{\"set\":{\"type\":\"array\",\"x-"
                       "kubernetes-list-type\":"
                       "\"set\",\"items\":{\"type\":\"string\"}},\"map\":{\"type\":\"array\","
                       "\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"a\","
                       "\"b\"],\"items\":{"
                       "\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{"
                       "\"type\":\"integer\"}}"
                       "}}}}");
    assert_string_equal(errors_of(s, "{\"set\":[\"x\",\"y\",\"x\",\"x\"]}", NULL),
                        "set[2]: Duplicate value: \"x\"");
    assert_string_equal(
        errors_of(s,
                  "{\"map\":[{\"a\":\"x\",\"b\":1},{\"a\":\"x\",\"b\":2},{\"a\":\"x\",\"b\":1}]}",
                  NULL),
        "map[2]: Duplicate value: {\"a\":\"x\",\"b\":1}");
    structural_free(s);
}

static void test_embedded(void **state)
{
    (void)state;
    struct structural *s = schema_of_json(
        "{\"type\":\"object\",\"properties\":{\"e\":{\"type\":\"object\","
        "\"x-kubernetes-embedded-resource\":true,\"x-kubernetes-preserve-unknown-fields\":true}}}");
    assert_string_equal(errors_of(s, "{\"e\":{}}", NULL),
                        "[e.apiVersion: Required value, e.kind: Required value]");
    assert_string_equal(
        errors_of(s,
                  "{\"e\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"}}}",
                  NULL),
        "");
    structural_free(s);
}

/* ---- patterns, formats, text ---- */

static void test_patterns(void **state)
{
    (void)state;
    static const char *const refused[] = {"(?=a)", "(?!a)", "(?<=a)b", "(a)\\1", "a++",
                                          "(?>a)", "(",     "[a",      "*a",     "a{2,1}"};
    static const char *const accepted[] = {"(?i)a",  "(?P<n>a)", "[[:alpha:]]+",
                                           "\\d{3}", "a*?",      "\\Q(\\E",
                                           "^$",     "(?:a|b)",  "\\p{Greek}"};
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_null(structural_pattern_new(refused[i], &err));
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        struct structural_pattern *p = structural_pattern_new(accepted[i], &err);
        if (!p)
            fail_msg("%s: %s", accepted[i], err.message);
        structural_pattern_free(p);
    }
    /* Exponential for a matcher that backtracks. */
    struct structural_pattern *p = structural_pattern_new("^(a+)+$", &err);
    assert_int_equal(
        structural_pattern_matches(p, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")), 0);
    structural_pattern_free(p);
    /* Long. */
    static char text[600000];
    memset(text, 'a', sizeof text);
    p = structural_pattern_new("^([a-z]{4})*$", &err);
    assert_int_equal(structural_pattern_matches(p, str_make(text, sizeof text)), 1);
    text[sizeof text - 1] = '!';
    assert_int_equal(structural_pattern_matches(p, str_make(text, sizeof text)), 0);
    structural_pattern_free(p);
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *format, *good, *bad;
    } cases[] = {
        {"uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"},
        {"ipv4", "10.0.0.1", "10.0.0"},
        {"ipv6", "fe80::1", "10.0.0.1"},
        {"cidr", "10.0.0.0/8", "10.0.0.0/33"},
        {"mac", "01:23:45:67:89:ab", "01:23:45:67:89"},
        {"date", "2026-11-21", "2026-13-21"},
        {"duration", "1h30m", "x"},
        {"duration", "22 ns", "22 parsecs"},
        {"date-time", "2014-12-15T19:30:20.000Z", "yesterday"},
        {"byte", "aGVsbG8=", "a"},
        {"email", "a@b.example", "a.b"},
        {"hostname", "a.b-c.example", "a..b"},
        {"uri", "https://x.example/a?b", "x y"},
        {"hexcolor", "#FFFFFF", "#FFF0"},
        {"rgbcolor", "rgb(255,255,255)", "rgb(256,0,0)"},
        {"isbn10", "0321751043", "0321751044"},
        {"isbn13", "978-0321751041", "978-0321751042"},
        {"creditcard", "4111111111111111", "4111111111111112"},
        {"ssn", "111-22-3333", "111-22-333"},
        {"bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"},
        {"k8s-short-name", "a-b", "A"},
        {"k8s-long-name", "a.b", "a..b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(structural_format_known(cases[i].format));
        if (!structural_format_matches(cases[i].format, str_from(cases[i].good)))
            fail_msg("%s refuses %s", cases[i].format, cases[i].good);
        if (structural_format_matches(cases[i].format, str_from(cases[i].bad)))
            fail_msg("%s accepts %s", cases[i].format, cases[i].bad);
    }
    assert_false(structural_format_known("nonsense"));
}

static void test_canonical(void **state)
{
    (void)state;
    yyjson_mut_doc *doc = json_doc_new(&arena);
    assert_string_equal(text_of(tree(doc, "{\"b\":1.0,\"a\":[1e3,-0,0.1,9223372036854775807,"
                                          "9223372036854775808],\"b\":\"<\"}")),
                        "{\"a\":[1000,0,0.1,9223372036854775807,9223372036854776000],"
                        "\"b\":\"\\u003c\"}");
}

static void test_paths(void **state)
{
    (void)state;
    yyjson_val *root, **values;
    struct error err;
    size_t n;
    assert_int_equal(json_read(&arena,
                               STR("{\"status\":{\"conditions\":[{\"type\":\"A\",\"status\":\"F\"},"
                                   "{\"type\":\"Ready\",\"status\":\"True\"}]},\"n\":3}"),
                               &root, &err),
                     0);
    assert_int_equal(jsonpath_find(&arena, ".status.conditions[?(@.type==\"Ready\")].status", root,
                                   &values, &n, &err),
                     0);
    assert_int_equal(n, 1);
    assert_string_equal(yyjson_get_str(values[0]), "True");
    assert_int_equal(jsonpath_find(&arena, ".nothing.here", root, &values, &n, &err), 0);
    assert_int_equal(n, 0);
}

static void test_version_order(void **state)
{
    (void)state;
    static const char *const order[] = {"v10",     "v2",        "v1",        "v11beta2", "v10beta3",
                                        "v3beta1", "v12alpha1", "v11alpha2", "foo1",     "foo10"};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        for (size_t k = 0; k < ARRAY_LEN(order); k++) {
            int sign = custom_version_order(order[i], order[k]);
            assert_true(i < k ? sign < 0 : i > k ? sign > 0 : sign == 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_defaults_have_a_limit),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_ratcheting),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_version_order),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_many_of_everything),
    };
    arena_init(&arena);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return rc;
}
