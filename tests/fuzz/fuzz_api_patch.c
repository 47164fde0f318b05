/*
 * Patches of any kind on a deployment: the first byte says which, the rest is the patch. A result is an
 * object that encodes and decodes again.
 */
#include "api/codec.h"
#include "api/patch/patch.h"
#include "proto/apps_v1.pb-c.h"
#include "tests/fuzz/fuzz.h"

static const char document[] =
    "{\"metadata\":{\"name\":\"web\",\"labels\":{\"a\":\"1\"},\"finalizers\":[\"x\",\"y\"]},"
    "\"spec\":{"
    "\"replicas\":2,\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}},"
    "\"template\":{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{"
    "\"name\":\"m\","
    "\"image\":\"i\",\"ports\":[{\"containerPort\":80}],\"env\":[{\"name\":\"E\",\"value\":\"1\"}]}"
    ","
    "{\"name\":\"n\",\"command\":[\"a\",\"b\"]}]}}}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct error err;
    void *object, *patched, *again;
    struct field_problems problems = {0};
    if (size == 0)
        return 0;
    arena_init(&a);
    const struct schema_message *m = schema_get(Apps__V1__Deployment__SCHEMA);
    require(json_decode(&a, m, STR(document), NULL, &object, &err) == 0);
    struct str patch = str_make(data + 1, size - 1);
    if (object_patch(&a, object, data[0] % 3, patch, &problems, &patched, &err) == 0) {
        struct buf wire = {0};
        wire_encode(patched, &wire);
        require(wire_decode(&a, m, buf_str(&wire), &again, &err) == 0);
        require(object_equal(patched, again));
        buf_free(&wire);
    }
    arena_free(&a);
    return 0;
}
