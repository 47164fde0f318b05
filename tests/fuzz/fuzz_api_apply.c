/*
 * Writes and applies: the first byte names a kind, then come up to three lines of JSON: an object, what it
 * is updated to, and a configuration applied to that. The walk over structs must find what the walk
 * over trees finds, and applying twice must change nothing the second time.
 */
#include "api/codec.h"
#include "api/fields/managed_internal.h"
#include "api/meta.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "tests/fuzz/fuzz.h"

static const int kinds[] = {Core__V1__Pod__SCHEMA, Core__V1__ConfigMap__SCHEMA,
                            Core__V1__Service__SCHEMA, Apps__V1__Deployment__SCHEMA,
                            Core__V1__Node__SCHEMA};

static void compare(struct arena *a, const void *old, const void *now)
{
    struct typed_space s = {a, json_doc_new(a)};
    struct field_type type = field_type_of_message(schema_of(now));
    struct field_delta structs, trees;
    struct typed *l, *r;
    struct error err;
    if (typed_new(&s, &type, object_tree(&s, old), false, &l, &err) < 0 ||
        typed_new(&s, &type, object_tree(&s, now), false, &r, &err) < 0)
        return;
    object_compare_fields(a, old, now, &structs);
    typed_compare(&s, l, r, &trees);
    require(field_set_equal(structs.added, trees.added));
    require(field_set_equal(structs.removed, trees.removed));
    object_compare_fields(a, NULL, now, &structs);
    require(
        field_set_equal(object_new_fields(a, now),
                        strip_identity(a, field_set_union(a, structs.modified, structs.added))));
}

/* The object after the configuration was applied; NULL: refused. */
static void *applied(struct arena *a, const void *live, yyjson_val *config, int64_t now)
{
    struct error err;
    struct apply ap = {.a = a,
                       .m = schema_of(live),
                       .who = {"fuzz", "", now},
                       .force = true,
                       .live = live,
                       .config = config};
    return apply_run(&ap, &err) == 0 ? ap.object : NULL;
}

static void apply_twice(struct arena *a, const void *live, struct str text)
{
    yyjson_val **configs; /* read as the API server does */
    const char **lines;
    size_t n;
    struct error err;
    /* What comes of a key that stands twice is not settled: strict readers refuse it. */
    if (yaml_read(a, text, &configs, &n, &err) < 0 || n != 1 || !yyjson_is_obj(configs[0]) ||
        yaml_duplicate_keys(a, text, &lines) > 0)
        return;
    void *once = applied(a, live, configs[0], 3);
    void *twice = once ? applied(a, once, configs[0], 4) : NULL;
    if (twice)
        require(managed_fields_same(object_meta(once), object_meta(twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct error err;
    struct field_manager one = {"one", "", 1}, two = {"two", "", 2};
    if (size == 0)
        return 0;
    arena_init(&a);
    const struct schema_message *m = schema_get(kinds[data[0] % (sizeof kinds / sizeof *kinds)]);
    struct str rest = str_make(data + 1, size - 1), line;
    void *old, *now;
    if (str_split(&rest, '\n', &line) && json_decode(&a, m, line, NULL, &old, &err) == 0) {
        managed_fields_record(&a, &one, NULL, old);
        if (str_split(&rest, '\n', &line) && json_decode(&a, m, line, NULL, &now, &err) == 0) {
            compare(&a, old, now);
            managed_fields_record(&a, &two, old, now);
            if (str_split(&rest, '\n', &line))
                apply_twice(&a, now, line);
        }
    }
    arena_free(&a);
    return 0;
}
