/*
 * Codecs beyond the oracle: bad input, presence, stored objects, lists, watch events, YAML.
 */
#include "api/codec.h"
#include "api/codec_internal.h"
#include "api/convert/convert.h"
#include "api/json_indent.h"
#include "api/meta.h"
#include "proto/apiextensions_v1.pb-c.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/events_v1.pb-c.h"
#include "tests/unit/api_test.h"

struct fixture {
    struct arena a;
    struct buf out;
    struct error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    arena_init(&f->a);
    buf_init(&f->out);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->a);
    buf_free(&f->out);
    free(f);
    return 0;
}

static Core__V1__Pod *sample_pod(struct arena *a)
{
    Core__V1__Pod *pod = api_new(a, Core__V1__Pod);
    Core__V1__Container *c = api_new(a, Core__V1__Container);
    pod->metadata->name = (char *)"web-1";
    pod->metadata->namespace_ = (char *)"default";
    pod->metadata->uid = (char *)"u-1";
    labels_set(a, pod->metadata, "tier", "<b>&");
    labels_set(a, pod->metadata, "app", "web");
    c->name = (char *)"main";
    c->image = (char *)"nginx";
    api_append(a, pod->spec, containers, c);
    pod->spec->node_name = (char *)"n1";
    return pod;
}

/* --- JSON in ------------------------------------------------------------------------------------ */

static void test_json_errors(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"", "unexpected end of JSON input"},
        {"{", "unexpected end of JSON input"},
        {"[]", "cannot unmarshal array"},
        {"{\"spec\":{\"replicas\":\"3\"}}", "json: cannot unmarshal string into Go struct field "
                                            "DeploymentSpec.spec.replicas of type int32"},
        {"{\"spec\":{\"replicas\":1.5}}", "json: cannot unmarshal number 1.5 into Go struct field "
                                          "DeploymentSpec.spec.replicas of type int32"},
        {"{\"spec\":{\"replicas\":2147483648}}", "number 2147483648"},
        {"{\"spec\":{\"template\":{\"spec\":{\"containers\":{}}}}}",
         "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers "
         "of type "
         "[]v1.Container"},
        {"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":\"x\"}]"
         "}]}}}}",
         "Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type "
         "int32"},
        {"{\"metadata\":{\"labels\":{\"a\":1}}}", "cannot unmarshal number 1 into Go struct field "
                                                  "ObjectMeta.metadata.labels.a of type string"},
        {"{\"metadata\":{\"labels\":[]}}", "of type map[string]string"},
        {"{\"metadata\":{\"name\":\"a\\u0000b\"}}", "metadata.name: string contains NUL"},
        {"{\"metadata\":{\"creationTimestamp\":\"yesterday\"}}",
         "metadata.creationTimestamp: must be a time"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}",
         "converting (v1.Pod) to (apps.Deployment): unknown conversion"},
        {"{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\"}",
         "converting (v2.HorizontalPodAutoscaler) to (apps.Deployment): unknown conversion"},
        {"{\"kind\":\"StatefulSet\"}",
         "converting (v1.StatefulSet) to (apps.Deployment): unknown conversion"},
        {"{\"apiVersion\":\"apps/v2\"}",
         "no kind \"Deployment\" is registered for version \"apps/v2\""},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Deployment\"}",
         "no kind \"Deployment\" is registered for version \"v1\""},
        {"{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":{}}}}}", "must be an integer"},
        {"{\"metadata\":{\"name\":\"\xff\"}}", "invalid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *out;
        int rc = json_decode(&f->a, schema_get(Apps__V1__Deployment__SCHEMA),
                             str_from(cases[i].json), NULL, &out, &f->err);
        if (rc >= 0)
            fail_msg("%s was accepted", cases[i].json);
        if (!strstr(f->err.message, cases[i].message))
            fail_msg("%s: got \"%s\", want \"%s\"", cases[i].json, f->err.message,
                     cases[i].message);
    }
}

static void test_field_problems_sorted(void **state)
{
    struct fixture *f = *state;
    struct field_problems problems = {0};
    static const char *const paths[] = {"spec.list[10].x", "spec.listA", "spec.list[9].x",
                                        "spec.list[9]",    "spec.b-c",   "spec.b.a",
                                        "metadata.z",      "spec",       "spec.list[key].x"};
    static const char *const want[] = {
        "metadata.z",   "spec",           "spec.b.a",        "spec.b-c",
        "spec.list[9]", "spec.list[9].x", "spec.list[10].x", "spec.list[key].x",
        "spec.listA"};
    field_problems_sort(&problems);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        field_problem_add(&f->a, &problems, (struct field_problem){.path = paths[i]});
    field_problems_sort(&problems);
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_string_equal(problems.items[i].path, want[i]);
}

static void test_field_problems(void **state)
{
    struct fixture *f = *state;
    struct field_problems problems = {0};
    void *out;
    const char *json =
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"name\":\"b\","
        "\"labels\":"
        "{\"x\":\"1\",\"x\":\"2\"},\"nmae\":1},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"imagee\":\"i\"}],"
        "\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}],\"hostnetwork\":true}}";
    static const char *const want[] = {
        "duplicate field \"metadata.name\"", "duplicate field \"metadata.labels.x\"",
        "unknown field \"metadata.nmae\"", "unknown field \"spec.containers[0].imagee\"",
        "unknown field \"spec.hostnetwork\""};
    assert_int_equal(json_decode(&f->a, NULL, str_from(json), &problems, &out, &f->err), 0);
    assert_int_equal(problems.len, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(field_problem_message(&f->a, &problems.items[i]), want[i]);
    Core__V1__Pod *pod = out;
    assert_string_equal(pod->metadata->name, "b"); /* the last wins */
    assert_string_equal(labels_get(pod->metadata, "x"), "2");
    assert_false(pod->spec->host_network); /* names are case-sensitive */
    assert_string_equal(pod->spec->volumes[0]->volume_source->host_path->path, "/");
}

/* One case of what stands twice: the object as it comes out. */
struct twice {
    const char *json, *want;
};

static const char *text_of(struct fixture *f, int rc, void *out)
{
    struct buf text;
    assert_int_equal(rc, 0);
    buf_init(&text);
    json_encode(out, JSON_NO_TYPE_META, &text);
    const char *copy = arena_strndup(&f->a, text.data, text.len);
    buf_free(&text);
    return copy;
}

/*
 * What stands twice in one object goes into the same Go value twice: structs and maps come together (a map's
 * values are new each time), items of a list go into the earlier ones, null empties what can be nil.
 */
static void test_members_twice(void **state)
{
    struct fixture *f = *state;
    static const struct twice cases[] = {
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"],\"finalizers\":[]}}", "{}"},
        {"{\"metadata\":{\"finalizers\":[],\"finalizers\":[\"a\",\"b\"]}}",
         "{\"finalizers\":[\"a\",\"b\"]}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"],\"finalizers\":[\"c\"]}}",
         "{\"finalizers\":[\"c\"]}"},
        {"{\"metadata\":{\"finalizers\":[\"a\"],\"finalizers\":[\"b\",\"c\"]}}",
         "{\"finalizers\":[\"b\",\"c\"]}"},
        {"{\"metadata\":{\"finalizers\":[\"a\"],\"finalizers\":null}}", "{}"},
        {"{\"metadata\":{\"finalizers\":[\"a\"],\"finalizers\":[null,null]}}",
         "{\"finalizers\":[\"a\",\"\"]}"},
        {"{\"metadata\":{\"finalizers\":[\"a\"]},\"metadata\":{\"finalizers\":[]}}", "{}"},
        {"{\"metadata\":{\"finalizers\":[\"a\"]},\"metadata\":{\"name\":\"n\"}}",
         "{\"name\":\"n\",\"finalizers\":[\"a\"]}"},
        {"{\"metadata\":{\"name\":\"n\"},\"metadata\":null}", "{\"name\":\"n\"}"},
        {"{\"metadata\":{\"name\":\"n\",\"name\":null}}", "{\"name\":\"n\"}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"1\"},\"labels\":{\"c\":\"2\",\"b\":\"2\"}}"
         "}",
         "{\"labels\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}"},
        {"{\"metadata\":{\"labels\":{\"b\":\"1\"},\"labels\":{}}}", "{\"labels\":{\"b\":\"1\"}}"},
        {"{\"metadata\":{\"labels\":{\"b\":\"1\"},\"labels\":{\"b\":null}}}",
         "{\"labels\":{\"b\":\"\"}}"},
        {"{\"metadata\":{\"labels\":{\"b\":\"1\"},\"labels\":null}}", "{}"},
        {"{\"metadata\":{\"labels\":{\"b\":\"1\"},\"labels\":null,\"labels\":{\"a\":\"1\"}}}",
         "{\"labels\":{\"a\":\"1\"}}"},
        {"{\"metadata\":{\"deletionGracePeriodSeconds\":3,\"deletionGracePeriodSeconds\":null}}",
         "{}"},
        {"{\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"creationTimestamp\":null}"
         "}",
         "{}"},
        {"{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionTimestamp\":null}"
         "}",
         "{}"},
        {"{\"metadata\":{\"ownerReferences\":[{\"name\":\"a\",\"uid\":\"1\",\"controller\":true},"
         "{\"name\":\"b\"}],\"ownerReferences\":[{\"name\":\"c\",\"controller\":null}]}}",
         "{\"ownerReferences\":[{\"apiVersion\":\"\",\"kind\":\"\",\"name\":\"c\",\"uid\":\"1\"}]"
         "}"},
        {"{\"metadata\":{\"ownerReferences\":[{\"uid\":\"1\"}],"
         "\"ownerReferences\":[null,{\"name\":\"b\"}]}}",
         "{\"ownerReferences\":[{\"apiVersion\":\"\",\"kind\":\"\",\"name\":\"\",\"uid\":\"1\"},"
         "{\"apiVersion\":\"\",\"kind\":\"\",\"name\":\"b\",\"uid\":\"\"}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        void *out;
        int rc = json_decode(&f->a, schema_get(Core__V1__Pod__SCHEMA), str_from(cases[i].json),
                             NULL, &out, &f->err);
        const char *got = rc == 0 ? text_of(f, rc, object_meta(out)) : f->err.message;
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: %s, not %s", cases[i].json, got, cases[i].want);
    }
}

static void test_forms_of_their_own_twice(void **state)
{
    struct fixture *f = *state;
    static const struct twice cases[] = {
        {"{\"additionalProperties\":{\"type\":\"string\"},\"additionalProperties\":false}",
         "{\"additionalProperties\":false}"},
        {"{\"items\":[{\"type\":\"string\"}],\"items\":{\"type\":\"object\"}}",
         "{\"items\":{\"type\":\"object\"}}"},
        {"{\"items\":{\"type\":\"object\",\"format\":\"x\"},\"items\":{\"type\":\"string\"}}",
         "{\"items\":{\"type\":\"string\"}}"},
        {"{\"default\":{\"a\":1},\"default\":{\"b\":2}}", "{\"default\":{\"b\":2}}"},
        {"{\"default\":1,\"default\":null}", "{}"},
        {"{\"not\":{\"type\":\"a\"},\"not\":{\"format\":\"b\"}}",
         "{\"not\":{\"type\":\"a\",\"format\":\"b\"}}"},
        {"{\"not\":{\"type\":\"a\"},\"not\":null}", "{}"},
        {"{\"properties\":{\"x\":{\"type\":\"a\"}},\"properties\":{\"x\":{\"format\":\"b\"}}}",
         "{\"properties\":{\"x\":{\"format\":\"b\"}}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        void *out;
        int rc = json_decode(&f->a, schema_get(Apiextensions__V1__JSONSchemaProps__SCHEMA),
                             str_from(cases[i].json), NULL, &out, &f->err);
        const char *got = rc == 0 ? text_of(f, rc, out) : f->err.message;
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: %s, not %s", cases[i].json, got, cases[i].want);
    }
}

/* Who reads into a map first has of what stands twice the last, whole. */
static void test_members_twice_by_way_of_maps(void **state)
{
    struct fixture *f = *state;
    static const struct twice cases[] = {
        {"{\"metadata\":{\"labels\":{\"b\":\"1\"},\"labels\":{\"a\":\"1\"}}}",
         "{\"labels\":{\"a\":\"1\"}}"},
        {"{\"metadata\":{\"name\":\"n\"},\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
         "{\"labels\":{\"a\":\"1\"}}"},
        {"{\"metadata\":{\"name\":\"n\",\"name\":null}}", "{}"},
        {"{\"metadata\":{\"ownerReferences\":[{\"uid\":\"1\"}],"
         "\"ownerReferences\":[{\"name\":\"b\"}]}}",
         "{\"ownerReferences\":[{\"apiVersion\":\"\",\"kind\":\"\",\"name\":\"b\",\"uid\":\"\"}]}"},
    };
    const struct schema_message *pod = schema_get(Core__V1__Pod__SCHEMA);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        void *out;
        int rc = json_decode_map(&f->a, pod, str_from(cases[i].json), NULL, &out, &f->err);
        assert_string_equal(text_of(f, rc, object_meta(out)), cases[i].want);
        rc = body_decode(&f->a, MEDIA_YAML, pod, str_from(cases[i].json), NULL, &out, &f->err);
        assert_string_equal(text_of(f, rc, object_meta(out)), cases[i].want);
    }
    void *out; /* of mappings merged the first that has a key gives it */
    int rc = body_decode(&f->a, MEDIA_YAML, pod,
                         STR("metadata:\n  labels:\n    <<: [{a: one, b: one}, {a: two, c: two}]\n"
                             "    b: own\n"),
                         NULL, &out, &f->err);
    assert_string_equal(text_of(f, rc, object_meta(out)),
                        "{\"labels\":{\"a\":\"one\",\"b\":\"own\",\"c\":\"two\"}}");
}

/* A map that stands very often costs what it takes, not its square. */
static void test_maps_many_times(void **state)
{
    struct fixture *f = *state;
    void *out;
    struct buf json;
    buf_init(&json);
    buf_append_cstr(&json, "{\"metadata\":{\"name\":\"n\"");
    for (int i = 0; i < 150000; i++)
        buf_printf(&json, ",\"labels\":{\"%d\":\"\"}", i);
    buf_append_cstr(&json, "}}");
    assert_int_equal(
        json_decode(&f->a, schema_get(Core__V1__Pod__SCHEMA), buf_str(&json), NULL, &out, &f->err),
        ERR_LIMIT);
    buf_free(&json);
}

/* kind and apiVersion count, too: each problem is told once, and the last kind is the object's. */
static void test_type_twice(void **state)
{
    struct fixture *f = *state;
    struct field_problems problems = {0};
    void *out;
    const char *json = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"kind\":\"Pod\","
                       "\"kind\":\"ConfigMap\",\"data\":{\"a\":\"1\"},\"x\":1,\"x\":2}";
    assert_int_equal(json_decode(&f->a, NULL, str_from(json), &problems, &out, &f->err), 0);
    assert_ptr_equal(schema_of(out), schema_get(Core__V1__ConfigMap__SCHEMA));
    assert_int_equal(problems.len, 2);
    assert_string_equal(field_problem_message(&f->a, &problems.items[0]),
                        "duplicate field \"kind\"");
    assert_string_equal(field_problem_message(&f->a, &problems.items[1]), "unknown field \"x\"");
}

static void test_json_depth_and_memory(void **state)
{
    struct fixture *f = *state;
    void *out;
    struct buf json;
    buf_init(&json);
    buf_append_cstr(&json, "{\"spec\":{\"versions\":[{\"schema\":{\"openAPIV3Schema\":");
    for (int i = 0; i < 1000; i++)
        buf_append_cstr(&json, "{\"not\":");
    buf_append_cstr(&json, "{}");
    for (int i = 0; i < 1000; i++)
        buf_append_char(&json, '}');
    buf_append_cstr(&json, "}}]}}");
    assert_int_equal(json_decode(&f->a,
                                 schema_get(Apiextensions__V1__CustomResourceDefinition__SCHEMA),
                                 buf_str(&json), NULL, &out, &f->err),
                     ERR_LIMIT);
    buf_clear(&json);
    /* a megabyte of empty pods would be hundreds of megabytes of structs */
    buf_append_cstr(&json, "{\"items\":[{}");
    for (int i = 0; i < 300000; i++)
        buf_append_cstr(&json, ",{}");
    buf_append_cstr(&json, "]}");
    assert_int_equal(json_decode(&f->a, schema_get(Core__V1__PodList__SCHEMA), buf_str(&json), NULL,
                                 &out, &f->err),
                     ERR_LIMIT);
    buf_free(&json);
}

static void test_json_forms(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int message;
        const char *in, *out;
    } cases[] = {
        /* null means absent; value messages are there; quantities canonical; GMT */
        {Core__V1__Pod__SCHEMA,
         "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"2026-01-01T02:00:00+02:00\","
         "\"labels\":null},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":"
         "{\"cpu\":0.5,\"memory\":\"1024Mi\"}}}],\"hostNetwork\":null}}",
         "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\","
         "\"creationTimestamp\":"
         "\"2026-01-01T00:00:00Z\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{"
         "\"limits\":"
         "{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}}]},\"status\":{}}"},
        {Core__V1__PodList__SCHEMA, "{}",
         "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}"},
        {Rbac__V1__Role__SCHEMA, "{}",
         "{\"kind\":\"Role\",\"apiVersion\":\"rbac.authorization.k8s.io/"
         "v1\",\"metadata\":{},\"rules\":null}"},
        {Core__V1__Secret__SCHEMA, "{\"data\":{\"b\":\"aGk=\",\"a\":\"\"}}",
         "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{},\"data\":{\"a\":\"\",\"b\":"
         "\"aGk=\"}}"},
        {Core__V1__Secret__SCHEMA, "{\"data\":{\"b\":\"aG\\nk=\\n\"}}",
         "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{},\"data\":{\"b\":\"aGk=\"}}"},
        {Core__V1__Service__SCHEMA,
         "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":\"http\"}]}}",
         "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"ports\":[{"
         "\"port\":80,"
         "\"targetPort\":\"http\"}]},\"status\":{\"loadBalancer\":{}}}"},
        {Apps__V1__ControllerRevision__SCHEMA,
         "{\"data\":{\"b\":1.50,\"a\":[null]},\"revision\":3}",
         "{\"kind\":\"ControllerRevision\",\"apiVersion\":\"apps/v1\",\"metadata\":{},\"data\":"
         "{\"b\":1.50,\"a\":[null]},\"revision\":3}"},
        {Coordination__V1__Lease__SCHEMA,
         "{\"spec\":{\"renewTime\":\"2026-01-01T00:00:00.123456789Z\"}}",
         "{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"metadata\":{},\"spec\":"
         "{\"renewTime\":\"2026-01-01T00:00:00.123456Z\"}}"},
        {Apiextensions__V1__JSONSchemaProps__SCHEMA,
         "{\"maximum\":1e21,\"minimum\":0.1,\"multipleOf\":100,\"items\":{\"type\":\"string\"},"
         "\"additionalProperties\":false,\"default\":null,\"example\":\"x\"}",
         "{\"maximum\":1e+21,\"minimum\":0.1,\"multipleOf\":100,\"items\":{\"type\":\"string\"},"
         "\"additionalProperties\":false,\"example\":\"x\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *object, *again;
        const struct schema_message *m = schema_get(cases[i].message);
        if (json_decode(&f->a, m, str_from(cases[i].in), NULL, &object, &f->err) < 0)
            fail_msg("%s: %s", cases[i].in, f->err.message);
        buf_clear(&f->out);
        json_encode(object, JSON_DEFAULT, &f->out);
        assert_json_equal(cases[i].in, buf_str(&f->out), str_from(cases[i].out));
        /* and through the wire */
        buf_clear(&f->out);
        wire_encode(object, &f->out);
        assert_int_equal(wire_decode(&f->a, m, buf_str(&f->out), &again, &f->err), 0);
        assert_true(object_equal(object, again));
    }
}

/* A string of every length, and in it at every place a byte that needs an escape: what is checked many bytes at once
 * must see each of them. */
static void test_json_escapes_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *escaped;
    } cases[] = {{"\"", "\\\""},
                 {"\\", "\\\\"},
                 {"<", "\\u003c"},
                 {">", "\\u003e"},
                 {"&", "\\u0026"},
                 {"\n", "\\n"},
                 {"\x1f", "\\u001f"},
                 {"\xe2\x80\xa9", "\\u2029"},
                 {"\xe2\x82\xac", "\xe2\x82\xac"},
                 {"\x7f", "\x7f"},
                 {" ", " "},
                 {"\xc3\xa9", "\xc3\xa9"}};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (size_t before = 0; before < 40; before++)
            for (size_t after = 0; after < 20; after++) {
                char text[100], wanted[120];
                snprintf(text, sizeof text, "%.*s%s%.*s", (int)before,
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN", cases[c].raw, (int)after,
                         "0123456789!#$%'()*+,");
                snprintf(wanted, sizeof wanted, "\"%.*s%s%.*s\"", (int)before,
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN", cases[c].escaped, (int)after,
                         "0123456789!#$%'()*+,");
                struct buf b;
                buf_init(&b);
                char *exact =
                    mem_strndup(text, strlen(text)); /* a sanitizer sees every byte too far */
                emit_string(&b, str_from(exact));
                assert_string_equal(buf_cstr(&b), wanted);
                mem_free(exact);
                buf_free(&b);
            }
}

static void test_json_escapes(void **state)
{
    struct fixture *f = *state;
    Core__V1__ConfigMap *map = api_new(&f->a, Core__V1__ConfigMap);
    string_map_set(&f->a, &map->data, &map->n_data, "k",
                   "<a href=\"x\">&\xe2\x80\xa8\n\t\x01\xc3\xa9\\");
    json_encode(map, JSON_NO_TYPE_META, &f->out);
    assert_string_equal(buf_cstr(&f->out),
                        "{\"metadata\":{},\"data\":{\"k\":\"\\u003ca href=\\\"x\\\""
                        "\\u003e\\u0026\\u2028\\n\\t\\u0001\xc3\xa9\\\\\"}}");
}

/* --- wire ---------------------------------------------------------------------------------------- */

static void test_wire_bad_input(void **state)
{
    struct fixture *f = *state;
    const struct schema_message *m = schema_get(Core__V1__Pod__SCHEMA);
    void *out;
    Core__V1__Pod *pod = sample_pod(&f->a);
    wire_encode(pod, &f->out);
    for (size_t n = 0; n < f->out.len;
         n++) /* cut anywhere: an error or a shorter object, never a crash */
        wire_decode(&f->a, m, str_make(f->out.data, n), &out, &f->err);
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x0a\x05", 2},                                          /* length past the end */
        {"\x0a\x03\x0a\x01\xff", 5},                              /* name is not UTF-8 */
        {"\x0a\x03\x0a\x01\x00", 5},                              /* name contains NUL */
        {"\x08\x01", 2},                                          /* varint for a message */
        {"\x0b", 1},                                              /* group */
        {"\x00\x00", 2},                                          /* field 0 */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* length of 11 bytes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (wire_decode(&f->a, m, str_make(cases[i].bytes, cases[i].n), &out, &f->err) == 0)
            fail_msg("case %zu was accepted", i);
    }
    assert_int_equal(wire_decode(&f->a, m, STR(""), &out, &f->err), 0);
    assert_non_null(((Core__V1__Pod *)out)->spec);
    assert_string_equal(((Core__V1__Pod *)out)->metadata->name, "");
}

static void test_wire_depth_and_memory(void **state)
{
    struct fixture *f = *state;
    struct buf deep, next;
    void *out;
    buf_init(&deep);
    buf_init(&next);
    for (int i = 0; i < 100; i++) { /* JSONSchemaProps.not */
        buf_clear(&next);
        buf_append_varint(&next, 28 << 3 | 2);
        buf_append_varint(&next, deep.len);
        buf_append_str(&next, buf_str(&deep));
        buf_clear(&deep);
        buf_append_str(&deep, buf_str(&next));
    }
    assert_int_equal(wire_decode(&f->a, schema_get(Apiextensions__V1__JSONSchemaProps__SCHEMA),
                                 buf_str(&deep), &out, &f->err),
                     ERR_LIMIT);
    buf_clear(&deep);
    for (int i = 0; i < 300000; i++)
        buf_append(&deep, "\x12\x00", 2); /* empty items */
    assert_int_equal(
        wire_decode(&f->a, schema_get(Core__V1__PodList__SCHEMA), buf_str(&deep), &out, &f->err),
        ERR_LIMIT);
    buf_free(&deep);
    buf_free(&next);
}

static void test_wire_foreign_order(void **state)
{
    struct fixture *f = *state;
    void *out;
    /* kind-less ObjectMeta twice (merged), map unsorted with a duplicate, unknown field 99 */
    static const char bytes[] = "\x0a\x05\x0a\x03"
                                "abc"
                                "\x9a\x06\x00"
                                "\x0a\x0e\x5a\x06\x0a\x01z\x12\x01"
                                "1"
                                "\x1a\x04"
                                "ns-1"
                                "\x0a\x08\x5a\x06\x0a\x01"
                                "a\x12\x01"
                                "2"
                                "\x0a\x08\x5a\x06\x0a\x01z\x12\x01"
                                "3";
    assert_int_equal(wire_decode(&f->a, schema_get(Core__V1__ConfigMap__SCHEMA),
                                 str_make(bytes, sizeof bytes - 1), &out, &f->err),
                     0);
    Core__V1__ConfigMap *map = out;
    assert_string_equal(map->metadata->name, "abc");
    assert_string_equal(map->metadata->namespace_, "ns-1");
    assert_int_equal(map->metadata->n_labels, 2);
    assert_string_equal(map->metadata->labels[0]->key, "a");
    assert_string_equal(labels_get(map->metadata, "z"), "3");
}

/* --- stored objects -------------------------------------------------------------------------------- */

static void test_stored(void **state)
{
    struct fixture *f = *state;
    struct buf stored, other;
    struct stored_meta meta;
    void *out;
    buf_init(&stored);
    buf_init(&other);
    Core__V1__Pod *pod = sample_pod(&f->a);
    pod->metadata->resource_version = (char *)"77";
    pod->metadata->generation = 4;
    pod->metadata->deletion_timestamp = time_from_s(&f->a, 1234);
    stored_encode(pod, &stored);
    assert_string_equal(pod->metadata->resource_version, "77"); /* left as it was */
    assert_ptr_equal(stored_message(buf_str(&stored)), schema_get(Core__V1__Pod__SCHEMA));

    assert_true(stored_meta(buf_str(&stored), &meta));
    assert_true(str_eqz(meta.name, "web-1") && str_eqz(meta.namespace_, "default"));
    assert_true(str_eqz(meta.uid, "u-1"));
    assert_int_equal(meta.generation, 4);
    assert_int_equal(meta.deletion_timestamp, 1234);

    assert_int_equal(stored_decode(&f->a, buf_str(&stored), 123, NULL, &out, &f->err), 0);
    assert_string_equal(((Core__V1__Pod *)out)->metadata->resource_version, "123");
    stored_encode(out, &other); /* no resourceVersion in what is stored */
    assert_true(str_eq(buf_str(&stored), buf_str(&other)));

    /* answers equal what encoding the struct gives */
    const struct resource *pods = resource_of_message(Core__V1__Pod__SCHEMA);
    for (int media = MEDIA_JSON; media <= MEDIA_PROTOBUF; media++) {
        buf_clear(&f->out);
        buf_clear(&other);
        assert_int_equal(
            stored_answer(pods, buf_str(&stored), 123, media, FORM_FULL, false, &f->out, &f->err),
            0);
        if (media == MEDIA_JSON) {
            json_encode(out, JSON_DEFAULT, &other);
            assert_json_equal("answer", buf_str(&f->out), buf_str(&other));
            assert_true(f->out.data[f->out.len - 1] == '}');
        } else {
            envelope_encode(out, &other);
            assert_true(str_eq(buf_str(&f->out), buf_str(&other)));
        }
    }
    buf_clear(&f->out);
    assert_int_equal(
        stored_answer(pods, buf_str(&stored), 5, MEDIA_JSON, FORM_METADATA, true, &f->out, &f->err),
        0);
    assert_json_equal(
        "metadata", buf_str(&f->out),
        STR("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":"
            "{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":\"u-1\",\"resourceVersion\":"
            "\"5\",\"generation\":4,\"deletionTimestamp\":\"1970-01-01T00:20:34Z\",\"labels\":"
            "{\"app\":\"web\",\"tier\":\"<b>&\"}}}"));
    buf_free(&stored);
    buf_free(&other);
}

static void test_stored_other_version(void **state)
{
    struct fixture *f = *state;
    struct buf stored;
    void *out;
    buf_init(&stored);
    Core__V1__Event *event = api_new(&f->a, Core__V1__Event);
    event->metadata->name = (char *)"e";
    event->message = (char *)"hello";
    event->involved_object->name = (char *)"web-1";
    event->source->component = (char *)"kubelet";
    event->count = 3;
    stored_encode(event, &stored);
    const struct resource *r = resource_of_message(Events__V1__Event__SCHEMA);
    assert_int_equal(r->stored_as, Core__V1__Event__SCHEMA);
    assert_int_equal(
        stored_answer(r, buf_str(&stored), 9, MEDIA_JSON, FORM_FULL, false, &f->out, &f->err), 0);
    assert_non_null(strstr(buf_cstr(&f->out), "\"note\":\"hello\""));
    assert_non_null(strstr(buf_cstr(&f->out), "\"deprecatedCount\":3"));
    assert_non_null(strstr(buf_cstr(&f->out), "\"apiVersion\":\"events.k8s.io/v1\""));
    assert_int_equal(stored_decode(&f->a, buf_str(&stored), 9,
                                   schema_get(Events__V1__Event__SCHEMA), &out, &f->err),
                     0);
    assert_string_equal(((Events__V1__Event *)out)->regarding->name, "web-1");
    assert_string_equal(((Events__V1__Event *)out)->deprecated_source->component, "kubelet");
    buf_free(&stored);
}

/* v2 → v1 → v2 loses nothing, though v1 can only say a CPU percentage. */
static void test_autoscaler_versions(void **state)
{
    struct fixture *f = *state;
    void *v2, *v1, *again;
    const char *json =
        "{\"metadata\":{\"name\":\"h\",\"annotations\":{\"x\":\"y\"}},\"spec\":{\"maxReplicas\":5,"
        "\"scaleTargetRef\":"
        "{\"kind\":\"Deployment\",\"name\":\"web\"},\"metrics\":[{\"type\":\"Resource\","
        "\"resource\":{\"name\":\"cpu\","
        "\"target\":{\"type\":\"Utilization\",\"averageUtilization\":60}}},{\"type\":\"Resource\","
        "\"resource\":{\"name\":"
        "\"memory\",\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1Gi\"}}},"
        "{\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"Service\",\"name\":\"s\"}"
        ","
        "\"metric\":{\"name\":\"rate\",\"selector\":{\"matchLabels\":{\"a\":\"b\"}}},\"target\":{"
        "\"type\":"
        "\"Value\",\"value\":\"5\"}}},{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"m\"},"
        "\"target\":{"
        "\"type\":\"AverageValue\",\"averageValue\":\"7\"}}},{\"type\":\"External\",\"external\":{"
        "\"metric\":{"
        "\"name\":\"x\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"3\"}}}],"
        "\"behavior\":{"
        "\"scaleUp\":{\"stabilizationWindowSeconds\":0,\"policies\":[{\"type\":\"Pods\",\"value\":"
        "4,"
        "\"periodSeconds\":15}]}}},\"status\":{\"currentMetrics\":[{\"type\":\"Resource\","
        "\"resource\":{\"name\":"
        "\"cpu\",\"current\":{\"averageUtilization\":55,\"averageValue\":\"1\"}}}],\"conditions\":["
        "{\"type\":"
        "\"AbleToScale\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}";
    static const char *const notes[] = {
        "\"autoscaling.alpha.kubernetes.io/"
        "metrics\":\"[{\\\"type\\\":\\\"Resource\\\",\\\"resource\\\":{"
        "\\\"name\\\":\\\"memory\\\",\\\"targetAverageValue\\\":\\\"1Gi\\\"}},{\\\"type\\\":"
        "\\\"Object\\\",",
        "\\\"pods\\\":{\\\"metricName\\\":\\\"m\\\",\\\"targetAverageValue\\\":\\\"7\\\"}",
        "\"autoscaling.alpha.kubernetes.io/"
        "behavior\":\"{\\\"ScaleUp\\\":{\\\"StabilizationWindowSeconds\\\":0,",
        "\"autoscaling.alpha.kubernetes.io/"
        "current-metrics\":\"[{\\\"type\\\":\\\"Resource\\\",\\\"resource\\\":{"
        "\\\"name\\\":\\\"cpu\\\",\\\"currentAverageUtilization\\\":55,\\\"currentAverageValue\\\":"
        "\\\"1\\\"}}]",
        "\"autoscaling.alpha.kubernetes.io/conditions\":\"[{\\\"type\\\":\\\"AbleToScale\\\""};
    const struct schema_message *m2 = schema_get(Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA);
    const struct schema_message *m1 = schema_get(Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA);
    assert_int_equal(json_decode(&f->a, m2, str_from(json), NULL, &v2, &f->err), 0);
    void *kept = object_clone(&f->a, v2);
    assert_int_equal(object_convert(&f->a, v2, m1, &v1, &f->err), 0);
    json_encode(v1, JSON_DEFAULT, &f->out);
    assert_non_null(strstr(buf_cstr(&f->out), "\"targetCPUUtilizationPercentage\":60"));
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (!strstr(buf_cstr(&f->out), notes[i]))
            fail_msg("%s\nlacks %s", buf_cstr(&f->out), notes[i]);
    assert_int_equal(object_convert(&f->a, v1, m2, &again, &f->err), 0);
    assert_true(object_equal(kept, again));
    assert_true(object_equal(kept, v2)); /* and leaves the old object alone */
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    struct buf stored;
    void *out;
    buf_init(&stored);
    const struct resource *pods = resource_of_message(Core__V1__Pod__SCHEMA);
    Core__V1__Pod *pod = sample_pod(&f->a);
    pod->spec->hostname = arena_printf(&f->a, "%0300d", 7); /* lengths of two bytes */
    stored_encode(pod, &stored);
    for (int media = MEDIA_JSON; media <= MEDIA_PROTOBUF; media++) {
        struct list_writer w;
        buf_clear(&f->out);
        buf_append_cstr(&f->out, "prefix"); /* what is there stays */
        list_begin(&w, pods, media, FORM_FULL, &f->out);
        for (int i = 1; i <= 3; i++)
            assert_int_equal(list_add(&w, buf_str(&stored), i, &f->err), 0);
        list_end(&w, 42, "tok\"en", 7);
        struct str body = str_slice(buf_str(&f->out), 6, f->out.len);
        assert_int_equal(body_decode(&f->a, media, NULL, body, NULL, &out, &f->err), 0);
        Core__V1__PodList *list = out;
        assert_int_equal(list->n_items, 3);
        assert_string_equal(list->items[2]->metadata->resource_version, "3");
        assert_string_equal(list->items[1]->spec->hostname, pod->spec->hostname);
        assert_string_equal(list->metadata->resource_version, "42");
        assert_string_equal(list->metadata->continue_, "tok\"en");
        assert_int_equal(list->metadata->remaining_item_count, 7);
    }
    /* empty, metadata only */
    struct list_writer w;
    buf_clear(&f->out);
    list_begin(&w, pods, MEDIA_JSON, FORM_METADATA, &f->out);
    list_end(&w, 1, "", -1);
    assert_json_equal(
        "empty", buf_str(&f->out),
        STR("{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\","
            "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}"));
    buf_free(&stored);
}

static void test_watch_events(void **state)
{
    struct fixture *f = *state;
    struct buf object;
    struct str type, got;
    buf_init(&object);
    for (int media = MEDIA_JSON; media <= MEDIA_PROTOBUF; media++) {
        buf_clear(&f->out);
        buf_clear(&object);
        body_encode(sample_pod(&f->a), media, &object);
        watch_event_write(&f->out, media, "ADDED", buf_str(&object));
        size_t one = f->out.len;
        watch_event_write(&f->out, media, "MODIFIED", buf_str(&object));
        for (size_t n = 0; n < one; n++) /* not complete yet */
            assert_int_equal(
                watch_event_read(str_make(f->out.data, n), media, &type, &got, &f->err), 0);
        assert_int_equal(watch_event_read(buf_str(&f->out), media, &type, &got, &f->err), one);
        assert_true(str_eqz(type, "ADDED"));
        void *decoded;
        assert_int_equal(body_decode(&f->a, media, NULL, got, NULL, &decoded, &f->err), 0);
        assert_string_equal(object_meta(decoded)->name, "web-1");
        assert_true(watch_event_read(str_slice(buf_str(&f->out), one, f->out.len), media, &type,
                                     &got, &f->err) > 0);
        assert_true(str_eqz(type, "MODIFIED"));
    }
    assert_true(watch_event_read(STR("{\"kind\":\"x\"}\n"), MEDIA_JSON, &type, &got, &f->err) < 0);
    buf_free(&object);
}

/* --- YAML ------------------------------------------------------------------------------------------ */

static void check_yaml(struct fixture *f, const char *yaml, const char *want)
{
    yyjson_val **documents;
    size_t count;
    if (yaml_read(&f->a, str_from(yaml), &documents, &count, &f->err) < 0)
        fail_msg("%s: %s", yaml, f->err.message);
    assert_int_equal(count, 1);
    size_t n;
    char *text = yyjson_val_write(documents[0], 0, &n);
    assert_json_equal(yaml, str_make(text, n), str_from(want));
    free(text);
}

static void test_yaml(void **state)
{
    struct fixture *f = *state;
    check_yaml(f, "a: 1\nb: {c: 1, d: 2, c: 3, c: 4}\na: 5\n",
               "{\"b\":{\"d\":2,\"c\":4},\"a\":5}"); /* of equal keys the last counts */
    check_yaml(f, "a: 1\nb: [x, 'y', \"1\"]\nc: {d: ~, e: yes, f: 'yes', g: no}\n",
               "{\"a\":1,\"b\":[\"x\",\"y\",\"1\"],\"c\":{\"d\":null,\"e\":true,\"f\":\"yes\","
               "\"g\":false}}");
    check_yaml(
        f, "mode: 0644\nhex: 0x1F\nbin: 0b11\nneg: -5\nbig: 123456789012345678901\nsep: 1_000\n",
        "{\"mode\":420,\"hex\":31,\"bin\":3,\"neg\":-5,\"big\":123456789012345678901,\"sep\":"
        "1000}");
    check_yaml(f, "f: 1.50\ng: .5\nh: 1e3\ni: 5.\nv: 1.2.3\nd: 2026-01-01\nt: 12:30\n",
               "{\"f\":1.50,\"g\":0.5,\"h\":1e3,\"i\":5,\"v\":\"1.2.3\",\"d\":\"2026-01-01\",\"t\":"
               "\"12:30\"}");
    check_yaml(f, "1: a\ntrue: b\nx: |\n  l1\n  l2\nz: >-\n  f1\n  f2\n",
               "{\"1\":\"a\",\"true\":\"b\",\"x\":\"l1\\nl2\\n\",\"z\":\"f1 f2\"}");
    check_yaml(
        f, "base: &b {x: 1, y: 2}\nuse: *b\nmerged:\n  <<: *b\n  y: 3\n",
        "{\"base\":{\"x\":1,\"y\":2},\"use\":{\"x\":1,\"y\":2},\"merged\":{\"x\":1,\"y\":3}}");

    yyjson_val **documents;
    size_t count;
    assert_int_equal(yaml_read(&f->a, STR("---\na: 1\n---\n# nothing\n---\nb: 2\n"), &documents,
                               &count, &f->err),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(yaml_read(&f->a, STR("a: [1\n"), &documents, &count, &f->err), ERR_INVALID);
    assert_non_null(strstr(f->err.message, "yaml: line"));
    assert_int_equal(yaml_read(&f->a, STR("a: *nope\n"), &documents, &count, &f->err), ERR_INVALID);
    assert_int_equal(yaml_read(&f->a, STR("[a]: b\n"), &documents, &count, &f->err), ERR_INVALID);
}

/* Nine levels of nine aliases each: 9⁹ leaves. */
static void test_yaml_bomb(void **state)
{
    struct fixture *f = *state;
    yyjson_val **documents;
    size_t count;
    buf_append_cstr(&f->out, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        buf_printf(&f->out, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            buf_printf(&f->out, "%s*a%d", k ? "," : "", i - 1);
        buf_append_cstr(&f->out, "]\n");
    }
    assert_int_equal(yaml_read(&f->a, buf_str(&f->out), &documents, &count, &f->err), ERR_LIMIT);
}

/* What is written reads back as the same object. */
static void test_yaml_write(void **state)
{
    struct fixture *f = *state;
    static const char *const values[] = {"plain",
                                         "yes",
                                         "1",
                                         "1.5",
                                         "0x10",
                                         "-",
                                         "- a",
                                         "a: b",
                                         "a:b",
                                         "a #b",
                                         "a#b",
                                         "#x",
                                         "",
                                         " lead",
                                         "trail ",
                                         "multi\nline",
                                         "multi\nline\n",
                                         "multi\n\n",
                                         "\ttab",
                                         "it's",
                                         "\"quoted\"",
                                         "{a}",
                                         "[a]",
                                         "*x",
                                         "&x",
                                         "!x",
                                         "%x",
                                         "@x",
                                         "`x",
                                         "null",
                                         "~",
                                         "2026-01-01",
                                         "-5",
                                         "-x",
                                         "--flag=1",
                                         "=",
                                         "<<",
                                         "a\\b",
                                         "a\"b",
                                         "\xc3\xa9",
                                         "a\xc2\x85z",
                                         "\xc2\x85",
                                         "a\xe2\x80\xa8\nz",
                                         "\xe2\x80\xa9 'x",
                                         "\xef\xbb\xbfx",
                                         "\xef\xbf\xbf",
                                         "a\xc2\x80",
                                         "a\x7fz",
                                         "\xf0\x9f\x98\x80",
                                         "10.0.0.1",
                                         "1e5",
                                         "on",
                                         "key: |\n  x\n",
                                         "  \n x",
                                         "a\n  b\n c"};
    Core__V1__ConfigMap *map = api_new(&f->a, Core__V1__ConfigMap);
    map->metadata->name = (char *)"m";
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        string_map_set(&f->a, &map->data, &map->n_data, arena_printf(&f->a, "k%zu", i), values[i]);
    yaml_encode(map, &f->out);
    void *again;
    if (body_decode(&f->a, MEDIA_YAML, NULL, buf_str(&f->out), NULL, &again, &f->err) < 0)
        fail_msg("%s\n%s", f->err.message, buf_cstr(&f->out));
    Core__V1__ConfigMap *read = again;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *got = string_map_get(read->data, read->n_data, arena_printf(&f->a, "k%zu", i));
        if (!got || strcmp(got, values[i]) != 0)
            fail_msg("\"%s\" became \"%s\"\n%s", values[i], got ? got : "(nothing)",
                     buf_cstr(&f->out));
    }
    buf_clear(&f->out);
    Core__V1__Pod *pod = sample_pod(&f->a);
    yaml_encode(pod, &f->out);
    assert_string_equal(buf_cstr(&f->out),
                        "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    app: web\n"
                        "    tier: <b>&\n  name: web-1\n  namespace: default\n  uid: u-1\n"
                        "spec:\n  containers:\n  - image: nginx\n    name: main\n"
                        "    resources: {}\n  nodeName: n1\nstatus: {}\n");
}

/* Each text whole, then cut in two at every place: the same. */
static void json_is_indented_in_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{}", "{}"},
        {"[]\n", "[]"},
        {"{\"a\":1}", "{\n  \"a\": 1\n}"},
        {"{\"a\":[],\"b\":{}}", "{\n  \"a\": [],\n  \"b\": {}\n}"},
        {"[true,null,-1.5e3]", "[\n  true,\n  null,\n  -1.5e3\n]"},
        {" [ \"a\" , [ ] ]", "[\n  \"a\",\n  []\n]"},
        {"[[{\"k\":[1]}]]", "[\n  [\n    {\n      \"k\": [\n        1\n      ]\n    }\n  ]\n]"},
        {"{\"s\":\"{[,: \\\\\",\"t\":\"\\\"}\"}",
         "{\n  \"s\": \"{[,: \\\\\",\n  \"t\": \"\\\"}\"\n}"},
        {"\"\"", "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str in = str_from(cases[i].in);
        for (size_t cut = 0; cut <= in.n; cut++) {
            struct json_indent indent = {.width = 2};
            struct buf out;
            buf_init(&out);
            json_indent(&indent, str_slice(in, 0, cut), &out);
            json_indent(&indent, str_slice(in, cut, in.n), &out);
            assert_string_equal(buf_cstr(&out), cases[i].out);
            buf_free(&out);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_indented_in_pieces),
        TEST(test_json_errors),
        TEST(test_field_problems),
        TEST(test_field_problems_sorted),
        TEST(test_members_twice),
        TEST(test_forms_of_their_own_twice),
        TEST(test_members_twice_by_way_of_maps),
        TEST(test_maps_many_times),
        TEST(test_type_twice),
        TEST(test_json_depth_and_memory),
        TEST(test_json_forms),
        TEST(test_json_escapes),
        TEST(test_json_escapes_anywhere),
        TEST(test_wire_bad_input),
        TEST(test_wire_depth_and_memory),
        TEST(test_wire_foreign_order),
        TEST(test_stored),
        TEST(test_stored_other_version),
        TEST(test_autoscaler_versions),
        TEST(test_lists),
        TEST(test_watch_events),
        TEST(test_yaml),
        TEST(test_yaml_bomb),
        TEST(test_yaml_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
