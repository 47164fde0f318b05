/*
 * The independent oracle: one object of each kind with every field set, as JSON and as protobuf,
 * made by upstream's own code. Each .pb must decode to its .json and back, byte for byte on the
 * wire and value for value in JSON, by every path this library has.
 *
 * The files are not part of the project: $C8S_TESTDATA, or ../shared/testdata beside the source
 * root.
 */
#include "api/codec.h"
#include "api/wire_json.h"
#include "tests/unit/api_test.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static char directory[4096];

static bool find_oracle(void)
{
    const char *env = getenv("C8S_TESTDATA");
    if (env)
        snprintf(directory, sizeof directory, "%s/k8s-api-v1.35", env);
    else
        snprintf(directory, sizeof directory, "%s/../shared/testdata/k8s-api-v1.35",
                 C8S_SOURCE_DIR);
    DIR *d = opendir(directory);
    if (!d) { /* a worktree beside the main one */
        snprintf(directory, sizeof directory, "%s/../../shared/testdata/k8s-api-v1.35",
                 C8S_SOURCE_DIR);
        d = opendir(directory);
    }
    if (d)
        closedir(d);
    return d != NULL;
}

static struct str read_file(struct arena *a, const char *name, const char *suffix)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s%s", directory, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f)
        return STR_NONE;
    struct buf b;
    char chunk[4096];
    size_t n;
    buf_init(&b);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_append(&b, chunk, n);
    fclose(f);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}

/* "core.v1.Pod" is /v1 Pod; "apps.v1.Deployment" is apps/v1. */
static const struct schema_message *message_of(struct str json, struct arena *a)
{
    yyjson_val *root;
    struct error err;
    struct str api_version, kind;
    assert_int_equal(json_read(a, json, &root, &err), 0);
    json_type_meta(root, &api_version, &kind);
    int id = kind_message(api_version, kind);
    return id == SCHEMA_NONE ? NULL : schema_get(id);
}

static void check(const char *name)
{
    struct arena a;
    struct error err = {0};
    struct buf out;
    void *object;
    arena_init(&a);
    buf_init(&out);
    struct str json = read_file(&a, name, ".json"), pb = read_file(&a, name, ".pb");
    assert_true(json.n > 0 && pb.n > 0);
    struct envelope e;
    assert_int_equal(envelope_parse(pb, &e, &err), 0);
    const struct schema_message *m = message_of(json, &a);
    if (strcmp(name, "core.v1.WatchEvent") == 0) /* has no apiVersion and kind in JSON */
        m = schema_get(Meta__V1__WatchEvent__SCHEMA);
    if (!m)
        fail_msg("%s: kind is not known", name);

    /* wire → struct → wire */
    if (wire_decode(&a, m, e.raw, &object, &err) < 0)
        fail_msg("%s: %s", name, err.message);
    wire_encode(object, &out);
    if (!str_eq(buf_str(&out), e.raw))
        fail_msg("%s: wire form differs after decoding and encoding", name);
    assert_int_equal(wire_size(object), e.raw.n);

    /* struct → JSON */
    buf_clear(&out);
    json_encode(object, JSON_PRETTY, &out);
    assert_json_equal(name, buf_str(&out), json);

    /* JSON → struct → wire, strict */
    struct field_problems problems = {0};
    void *from_json;
    if (json_decode(&a, m, json, &problems, &from_json, &err) < 0)
        fail_msg("%s: %s", name, err.message);
    if (problems.len)
        fail_msg("%s: %s", name, field_problem_message(&a, &problems.items[0]));
    buf_clear(&out);
    wire_encode(from_json, &out);
    if (!str_eq(buf_str(&out), e.raw))
        fail_msg("%s: wire form differs after decoding JSON", name);
    assert_true(object_equal(object, from_json));
    assert_true(object_equal(object, object_clone(&a, object)));

    /* wire → JSON without structs; JSON schemas take the long way */
    buf_clear(&out);
    bool meta = m->flags & SCHEMA_HAS_TYPE_META;
    if (wire_to_json(m, e.raw, message_api_version(m), meta ? message_kind(m) : NULL, STR_NONE,
                     &out) == 0)
        assert_json_equal(name, buf_str(&out), json);
    else
        assert_true(strstr(name, "CustomResourceDefinition") != NULL);

    /* the whole envelope */
    if (meta && e.api_version.n) {
        buf_clear(&out);
        envelope_write(&out, e.api_version, e.kind, e.raw);
        assert_true(str_eq(buf_str(&out), pb));
    }
    buf_free(&out);
    arena_free(&a);
}

static void test_oracle(void **state)
{
    (void)state;
    if (!find_oracle()) {
        printf("skipped: no oracle at %s\n", directory);
        skip();
    }
    DIR *d = opendir(directory);
    int count = 0;
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));) {
        char name[256];
        size_t n = strlen(entry->d_name);
        if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(n - 5), entry->d_name);
        check(name);
        count++;
    }
    closedir(d);
    assert_true(count > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
