/* OpenAPI v2 and v3: every reference resolves, operation ids are unique, the published extensions are
 * there, and custom resources appear in both. */
#include "api/codec.h"
#include "api/openapi/openapi.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <yyjson.h>
#include <cmocka.h>

static const struct subresource widget_subs[] = {
    {"scale", "autoscaling", "v1", "Scale", VERB_GET | VERB_UPDATE | VERB_PATCH},
    {"status", "stable.example.com", "v1", "Widget", VERB_GET | VERB_UPDATE | VERB_PATCH},
    {0}};
static const struct resource widgets = {
    .group = "stable.example.com",
    .version = "v1",
    .api_version = "stable.example.com/v1",
    .kind = "Widget",
    .list_kind = "WidgetList",
    .plural = "widgets",
    .singular = "widget",
    .subresources = widget_subs,
    .verbs = VERB_CREATE | VERB_DELETE | VERB_DELETECOLLECTION | VERB_GET | VERB_LIST | VERB_PATCH |
             VERB_UPDATE | VERB_WATCH,
    .message = SCHEMA_NONE,
    .list_message = SCHEMA_NONE,
    .stored_as = SCHEMA_NONE,
    .namespaced = true,
};
static const char widget_schema[] =
    "{\"type\":\"object\",\"description\":\"A thing.\",\"required\":[\"spec\"],\"properties\":{"
    "\"apiVersion\":{\"type\":\"string\"},\"metadata\":{\"type\":\"object\"},"
    "\"spec\":{\"type\":\"object\",\"required\":[\"size\",\"maybe\"],\"properties\":{"
    "\"size\":{\"type\":\"integer\",\"minimum\":1,\"default\":3},"
    "\"maybe\":{\"type\":\"string\",\"nullable\":true},"
    "\"port\":{\"x-kubernetes-int-or-string\":true,\"anyOf\":[{\"type\":\"integer\"},{\"type\":"
    "\"string\"}]},"
    "\"free\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true,\"properties\":{"
    "\"a\":{\"type\":\"string\"}}},"
    "\"pod\":{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true,\"properties\":{"
    "\"spec\":{\"type\":\"object\"}}}}}}}";
static const struct openapi_custom custom[] = {
    {&widgets, {widget_schema, sizeof widget_schema - 1}}};
static const struct openapi_customs customs = {custom, 1};

static yyjson_doc *parse(const struct buf *b)
{
    yyjson_read_err err;
    yyjson_doc *doc = yyjson_read_opts(b->data, b->len, 0, NULL, &err);
    if (!doc)
        fail_msg("%s at %zu: %.80s", err.msg, err.pos, b->data + err.pos);
    return doc;
}

/* "a/b/c", names may hold '/' when another separator is used */
static yyjson_val *at(yyjson_val *v, const char *path, char separator)
{
    struct str rest = str_from(path), part;
    while (v && str_split(&rest, separator, &part))
        v = yyjson_obj_getn(v, part.p, part.n);
    return v;
}

static size_t refs;

static void check_refs(yyjson_val *v, yyjson_val *root)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach (v, i, max, item)
            check_refs(item, root);
        return;
    }
    if (!yyjson_is_obj(v))
        return;
    yyjson_obj_foreach (v, i, max, key, item) {
        if (yyjson_equals_str(key, "$ref") && yyjson_is_str(item)) {
            const char *name = yyjson_get_str(item);
            assert_true(strncmp(name, "#/", 2) == 0);
            if (!at(root, name + 2, '/'))
                fail_msg("nothing at %s", name);
            refs++;
        }
        check_refs(item, root);
    }
}

static const char *const methods[] = {"get",     "put",  "post",  "delete",
                                      "options", "head", "patch", NULL};

/* Every operation has an id of its own and answers; every {parameter} of a path is declared. */
static void check_paths(yyjson_val *root, bool v2)
{
    size_t i, max, ids_len = 0;
    yyjson_val *key, *item;
    const char **ids = mem_alloc(4000 * sizeof *ids);
    yyjson_obj_foreach (yyjson_obj_get(root, "paths"), i, max, key, item) {
        size_t k, parameters_max, braces = 0, declared = 0;
        yyjson_val *parameter;
        for (const char *c = yyjson_get_str(key); *c; c++)
            braces += *c == '{';
        yyjson_arr_foreach (yyjson_obj_get(item, "parameters"), k, parameters_max, parameter) {
            yyjson_val *ref = yyjson_obj_get(parameter, "$ref");
            yyjson_val *p = ref ? at(root, yyjson_get_str(ref) + 2, '/') : parameter;
            declared += yyjson_equals_str(yyjson_obj_get(p, "in"), "path");
            assert_non_null(yyjson_obj_get(p, v2 ? "type" : "schema"));
        }
        if (braces != declared)
            fail_msg("%s declares %zu parameters", yyjson_get_str(key), declared);
        for (const char *const *m = methods; *m; m++) {
            yyjson_val *operation = yyjson_obj_get(item, *m);
            if (!operation)
                continue;
            assert_non_null(at(operation, "responses/200", '/'));
            const char *id = yyjson_get_str(yyjson_obj_get(operation, "operationId"));
            assert_non_null(id);
            for (size_t n = 0; n < ids_len; n++)
                if (strcmp(ids[n], id) == 0)
                    fail_msg("%s twice", id);
            assert_true(ids_len < 4000);
            ids[ids_len++] = id;
        }
    }
    assert_true(ids_len > 0);
    mem_free(ids);
}

/* Every property of every definition says what it is. */
static void check_descriptions(yyjson_val *definitions)
{
    size_t i, max, k, n;
    yyjson_val *name, *definition, *key, *property;
    yyjson_obj_foreach (definitions, i, max, name, definition) {
        if (strncmp(yyjson_get_str(name), "com.example.", 12) == 0)
            continue; /* says what its author says */
        if (!yyjson_get_len(yyjson_obj_get(definition, "description")))
            fail_msg("%s has no description", yyjson_get_str(name));
        yyjson_obj_foreach (yyjson_obj_get(definition, "properties"), k, n, key, property)
            if (!yyjson_get_len(yyjson_obj_get(property, "description")))
                fail_msg("%s.%s has no description", yyjson_get_str(name), yyjson_get_str(key));
    }
}

static void v2_is_whole(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text);
    openapi_v2_json(NULL, &text);
    yyjson_doc *doc = parse(&text);
    yyjson_val *root = yyjson_doc_get_root(doc), *definitions = yyjson_obj_get(root, "definitions");
    refs = 0;
    check_refs(root, root);
    assert_true(refs > 5000);
    check_paths(root, true);
    check_descriptions(definitions);
    for (size_t i = 0; i < resources_len; i++) /* explain finds kinds by their definitions */
        assert_non_null(yyjson_obj_get(
            definitions, schema_string(schema_get(resources[i].message)->openapi_name)));
    yyjson_val *pod = at(root, "paths|/api/v1/namespaces/{namespace}/pods/{name}", '|');
    assert_true(yyjson_equals_str(at(pod, "get/operationId", '/'), "readCoreV1NamespacedPod"));
    assert_true(yyjson_equals_str(at(pod, "patch/x-kubernetes-action", '/'), "patch"));
    assert_true(
        yyjson_equals_str(at(pod, "delete/x-kubernetes-group-version-kind/kind", '/'), "Pod"));
    yyjson_val *containers =
        at(definitions, "io.k8s.api.core.v1.PodSpec/properties/containers", '/');
    assert_true(
        yyjson_equals_str(yyjson_obj_get(containers, "x-kubernetes-patch-merge-key"), "name"));
    assert_true(
        yyjson_equals_str(yyjson_obj_get(containers, "x-kubernetes-patch-strategy"), "merge"));
    assert_true(yyjson_equals_str(yyjson_obj_get(containers, "x-kubernetes-list-type"), "map"));
    yyjson_val *either = at(definitions, "io.k8s.apimachinery.pkg.util.intstr.IntOrString", '/');
    assert_true(yyjson_equals_str(yyjson_obj_get(either, "format"), "int-or-string"));
    yyjson_doc_free(doc);
    buf_free(&text);
}

static void v3_path(void *ctx, const char *path)
{
    size_t *count = ctx;
    struct buf text;
    buf_init(&text);
    assert_true(openapi_v3_document(str_from(path), &customs, &text));
    yyjson_doc *doc = parse(&text);
    yyjson_val *root = yyjson_doc_get_root(doc);
    check_refs(root, root);
    check_paths(root, false);
    check_descriptions(at(root, "components/schemas", '/'));
    yyjson_doc_free(doc);
    buf_free(&text);
    ++*count;
}

static void v3_documents_are_whole(void **state)
{
    (void)state;
    size_t count = 0;
    struct buf text;
    openapi_v3_paths(&customs, v3_path, &count);
    assert_true(count > 40);
    buf_init(&text);
    assert_false(openapi_v3_document(STR("apis/nope/v1"), &customs, &text));
    assert_false(openapi_v3_document(STR("apis/stable.example.com/v1"), NULL, &text));
    assert_int_equal(text.len, 0);
    buf_free(&text);
}

static void custom_resources_in_v3(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text);
    assert_true(openapi_v3_document(STR("apis/stable.example.com/v1"), &customs, &text));
    yyjson_doc *doc = parse(&text);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *widget = at(root, "components|schemas|com.example.stable.v1.Widget", '|');
    yyjson_val *spec = at(widget, "properties/spec/properties", '/');
    assert_non_null(at(widget, "properties/kind", '/'));
    assert_true(yyjson_is_arr(at(widget, "properties/metadata/allOf", '/')));
    assert_int_equal(yyjson_get_int(at(spec, "size/default", '/')), 3);
    assert_true(yyjson_is_true(at(spec, "maybe/nullable", '/')));
    assert_true(yyjson_is_arr(at(spec, "port/anyOf", '/')));
    assert_non_null(
        at(spec, "pod/properties/apiVersion", '/')); /* an embedded resource is an object */
    assert_non_null(at(spec, "pod/properties/metadata", '/'));
    yyjson_val *paths = yyjson_obj_get(root, "paths");
    yyjson_val *item =
        yyjson_obj_get(paths, "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}");
    assert_true(yyjson_equals_str(at(item, "get/operationId", '/'),
                                  "readStableExampleComV1NamespacedWidget"));
    yyjson_val *types = at(item, "patch/requestBody/content", '/');
    assert_non_null(yyjson_obj_get(types, "application/apply-patch+yaml"));
    assert_null(yyjson_obj_get(types, "application/strategic-merge-patch+json"));
    yyjson_val *scale = yyjson_obj_get(
        paths, "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}/scale");
    assert_true(
        yyjson_equals_str(at(scale, "get/x-kubernetes-group-version-kind/kind", '/'), "Scale"));
    yyjson_doc_free(doc);
    buf_free(&text);
}

static void custom_resources_in_v2(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text);
    openapi_v2_json(&customs, &text);
    yyjson_doc *doc = parse(&text);
    yyjson_val *root = yyjson_doc_get_root(doc);
    check_refs(root, root);
    check_paths(root, true);
    yyjson_val *widget = at(root, "definitions|com.example.stable.v1.Widget", '|');
    yyjson_val *spec = at(widget, "properties/spec", '/');
    assert_non_null(at(root, "definitions|com.example.stable.v1.WidgetList", '|'));
    assert_null(at(spec, "properties/size/default", '/'));
    assert_int_equal(yyjson_get_int(at(spec, "properties/size/minimum", '/')), 1);
    assert_null(at(spec, "properties/maybe/type", '/'));             /* nullable: any type */
    assert_int_equal(yyjson_arr_size(at(spec, "required", '/')), 1); /* and not required */
    assert_null(at(spec, "properties/port/anyOf", '/'));
    assert_null(at(spec, "properties/free/properties", '/')); /* or kubectl would refuse the rest */
    assert_null(at(spec, "properties/free/type", '/'));
    assert_true(
        yyjson_is_true(at(spec, "properties/free/x-kubernetes-preserve-unknown-fields", '/')));
    yyjson_doc_free(doc);
    buf_free(&text);
}

/* ---- protobuf ---- */

/* The next field of a message that holds length-delimited ones only. */
static bool next_field(struct str *rest, unsigned *number, struct str *value)
{
    uint64_t key = 0, n = 0;
    if (rest->n == 0)
        return false;
    for (int i = 0; i < 2; i++) {
        uint64_t v = 0;
        for (unsigned shift = 0;; shift += 7) {
            assert_true(rest->n > 0 && shift < 64);
            uint8_t byte = (uint8_t)rest->p[0];
            *rest = str_slice(*rest, 1, rest->n);
            v |= (uint64_t)(byte & 127) << shift;
            if (!(byte & 128))
                break;
        }
        *(i == 0 ? &key : &n) = v;
    }
    assert_int_equal(key & 7, 2);
    assert_true(n <= rest->n);
    *number = (unsigned)(key >> 3);
    *value = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->n);
    return true;
}

/* As JSON and as protobuf the document has the same paths, definitions and parameters. */
static void protobuf_says_the_same(void **state)
{
    (void)state;
    struct buf json, wire;
    buf_init(&json);
    buf_init(&wire);
    openapi_v2_json(&customs, &json);
    openapi_v2_protobuf(&customs, &wire);
    yyjson_doc *doc = parse(&json);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str rest = buf_str(&wire), section, entry, name, swagger = STR_NONE;
    unsigned number, item, part;
    size_t counts[3] = {0};
    static const char *const names[] = {"paths", "definitions", "parameters"};
    while (next_field(&rest, &number, &section)) {
        if (number == 1)
            swagger = section;
        if (number < 8 || number > 10)
            continue;
        while (next_field(&section, &item, &entry)) {
            assert_int_equal(item, number == 8 ? 2 : 1);
            assert_true(next_field(&entry, &part, &name));
            assert_int_equal(part, 1);
            assert_non_null(
                yyjson_obj_getn(yyjson_obj_get(root, names[number - 8]), name.p, name.n));
            counts[number - 8]++;
        }
    }
    assert_true(str_eqz(swagger, "2.0"));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(counts[i], yyjson_obj_size(yyjson_obj_get(root, names[i])));
    yyjson_doc_free(doc);
    buf_free(&json);
    buf_free(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v2_is_whole),
        cmocka_unit_test(v3_documents_are_whole),
        cmocka_unit_test(custom_resources_in_v3),
        cmocka_unit_test(custom_resources_in_v2),
        cmocka_unit_test(protobuf_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
