/*
 * What the API server does with an object that a client sends: defaults, validation as a new object and as a change,
 * warnings, conversion to the stored version, its table row, what it costs under a quota, Pod Security, limits.
 *
 *     input:  object as JSON, NUL, how it is changed: a merge patch, or wire bytes that are added to the object's
 */
#include "api/codec.h"
#include "api/convert/convert.h"
#include "api/defaults/defaults.h"
#include "api/patch/patch.h"
#include "api/validation.h"
#include "apiserver/admission/limits.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/quota_usage.h"
#include "apiserver/table/table.h"
#include "proto/core_v1.pb-c.h"
#include "tests/fuzz/fuzz.h"

static void *changed(struct arena *a, const void *object, const struct schema_message *m,
                     struct str change)
{
    void *out;
    struct buf wire = {0};
    if (change.n && change.p[0] == '{')
        return object_patch(a, object, PATCH_MERGE, change, NULL, &out, NULL) == 0 ? out : NULL;
    wire_encode(object, &wire);
    buf_append_str(&wire, change);
    int rc = wire_decode(a, m, buf_str(&wire), &out, NULL);
    buf_free(&wire);
    return rc == 0 ? out : NULL;
}

static void count_warning(void *ctx, const char *text)
{
    (void)ctx;
    require(*text);
}

/* Refusals that say something, and say it in a Status. */
static void check_errors(struct arena *a, const struct field_errors *e, const struct resource *r)
{
    struct buf text = {0};
    for (size_t i = 0; i < e->len; i++)
        require(e->items[i].field && e->items[i].detail && *e->items[i].detail);
    field_errors_message(e, &text);
    require(text.len > 0 || e->len == 0);
    buf_clear(&text);
    json_encode(field_errors_status(a, e, r, "name"), JSON_DEFAULT, &text);
    buf_free(&text);
}

static void validate(struct arena *a, const struct resource *r, const void *object, const void *old)
{
    struct field_errors created = {.arena = a}, updated = {.arena = a};
    validate_create(r, object, &created);
    check_errors(a, &created, r);
    validate_update(r, object, old, &updated);
    check_errors(a, &updated, r);
    for (const struct subresource *s = r->subresources; s && s->name; s++) {
        struct field_errors e = {.arena = a};
        validate_update_subresource(r, s->name, object, old, &e);
        check_errors(a, &e, r);
    }
    validate_warnings(a, object, old, count_warning, NULL);
}

static const char *const limit_range_json =
    "{\"spec\":{\"limits\":[{\"type\":\"Container\",\"default\":{\"cpu\":\"1\"},\"defaultRequest\":"
    "{\"cpu\":"
    "\"100m\"},\"min\":{\"memory\":\"1Ki\"},\"max\":{\"memory\":\"1Gi\"},\"maxLimitRequestRatio\":{"
    "\"cpu\":\"2\"}},"
    "{\"type\":\"Pod\",\"max\":{\"cpu\":\"4\"}},{\"type\":\"PersistentVolumeClaim\",\"max\":{"
    "\"storage\":\"1Gi\"}}]}}";

static const char *const quota_json =
    "{\"hard\":{\"cpu\":\"1\",\"requests.memory\":\"1Gi\",\"pods\":\"1\"},\"scopes\":["
    "\"NotTerminating\"],"
    "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":"
    "\"NotIn\",\"values\":[\"x\"]}]}}";

static void admit_pod(struct arena *a, Core__V1__Pod *pod)
{
    struct pod_security_policy policy = {.level = POD_SECURITY_RESTRICTED, .latest = true};
    struct pod_security_violation v[POD_SECURITY_CHECKS_MAX];
    size_t n = pod_security_evaluate(a, &policy, pod->metadata, pod->spec, v);
    require(n <= POD_SECURITY_CHECKS_MAX);
    pod_security_details(a, v, n);
}

static void admit(struct arena *a, const struct resource *r, void *object)
{
    void *range, *spec;
    struct usage cost = {.a = a};
    require(json_decode(a, schema_get(Core__V1__LimitRange__SCHEMA), str_from(limit_range_json),
                        NULL, &range, NULL) == 0);
    require(json_decode(a, schema_get(Core__V1__ResourceQuotaSpec__SCHEMA), str_from(quota_json),
                        NULL, &spec, NULL) == 0);
    usage_of_object(&cost, r, object);
    usage_text(&cost);
    quota_takes(spec, r, object);
    if (r->message == Core__V1__PersistentVolumeClaim__SCHEMA)
        limits_check(a, range, object);
    if (r->message != Core__V1__Pod__SCHEMA)
        return;
    limits_check(a, range, object);
    quota_missing(a, spec, object);
    admit_pod(a, object);
    Core__V1__Pod *pod = object_clone(a, object);
    size_t room = 1u << 20;
    if (limits_default(a, range, pod, &room))
        limits_check(a, range, pod);
}

/* Stored as all of its kind are, and printed. */
static void store_and_print(struct arena *a, const struct resource *r, void *object)
{
    struct buf stored = {0}, row = {0};
    struct error err = {0};
    void *kept, *back;
    if (object_convert(a, object, schema_get(r->stored_as), &kept, &err) == 0) {
        stored_encode(kept, &stored);
        require(stored_decode(a, buf_str(&stored), 7, schema_get(r->message), &back, &err) == 0);
        struct table_options o = {.include = TABLE_OBJECT, .now_s = 1800000000};
        require(table_write_object(r, buf_str(&stored), 7, o, &row, &err) == 0);
        yyjson_val *tree;
        require(json_read(a, buf_str(&row), &tree, &err) == 0);
    }
    buf_free(&stored);
    buf_free(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct str json = fuzz_input(data, n), change = fuzz_input(data + n, size - n);
    struct arena a;
    void *object;
    arena_init(&a);
    if (json_decode(&a, NULL, json, NULL, &object, NULL) == 0) {
        const struct schema_message *m = schema_of(object);
        const struct resource *r = resource_of_message(m->id);
        void *next =
            r ? changed(&a, object, m, str_slice(change, MIN(1, change.n), change.n)) : NULL;
        if (next) {
            defaults_apply(&a, object);
            defaults_apply(&a, next);
            validate(&a, r, next, object);
            admit(&a, r, next);
            store_and_print(&a, r, next);
        }
    }
    arena_free(&a);
    fuzz_input_free(json);
    fuzz_input_free(change);
    return 0;
}
