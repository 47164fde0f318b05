/*
 * For tests of validation: an object with one thing changed by a merge patch, and what is said about it.
 */
#ifndef C8S_TESTS_UNIT_VALIDATION_TEST_H
#define C8S_TESTS_UNIT_VALIDATION_TEST_H

#include "api/defaults/defaults.h"
#include "api/patch/patch.h"
#include "api/validation.h"
#include "tests/unit/api_test.h"
#include <stdlib.h>

static void *decode(struct arena *a, const char *json)
{
    void *object;
    struct error err;
    if (json_decode(a, NULL, str_from(json), NULL, &object, &err) < 0)
        fail_msg("%s: %s", json, err.message);
    return object;
}

/* Patch, default; `patch` "" leaves the object as it is. */
static void *changed(struct arena *a, const char *json, const char *patch)
{
    void *object = decode(a, json);
    struct error err;
    if (*patch && object_patch(a, object, PATCH_MERGE, str_from(patch), NULL, &object, &err) < 0)
        fail_msg("%s: %s", patch, err.message);
    defaults_apply(a, object);
    return object;
}

static const char *messages(struct arena *a, const struct field_errors *e)
{
    struct buf text;
    buf_init(&text);
    field_errors_message(e, &text);
    const char *out = arena_strndup(a, text.data ? text.data : "", text.len);
    buf_free(&text);
    return out;
}

/* YAML (flow style is short) as JSON; "" stays so. */
static inline const char *json_of(struct arena *a, const char *yaml)
{
    yyjson_val **docs;
    size_t n;
    struct error err;
    if (!*yaml)
        return "";
    if (yaml_read(a, str_from(yaml), &docs, &n, &err) < 0)
        fail_msg("%s: %s", yaml, err.message);
    char *text = yyjson_val_write(docs[0], 0, &n);
    const char *out = arena_strndup(a, text, n);
    free(text);
    return out;
}

struct validation_case {
    const char *object, *patch, *message; /* "" when all is well */
};

static inline bool is_said(const char *got, const char *wanted)
{
    return !*wanted ? *got == 0 : strstr(got, wanted) != NULL;
}

/* Cases in YAML, as new objects. */
static inline void check_creates(const struct validation_case *cases, size_t n)
{
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < n; i++) {
        const struct validation_case *c = &cases[i];
        struct field_errors e = {.arena = &a};
        void *object = changed(&a, json_of(&a, c->object), json_of(&a, c->patch));
        validate_create(resource_of_message(schema_of(object)->id), object, &e);
        if (is_said(messages(&a, &e), c->message))
            continue;
        print_error("%s %s\ngot  %s\nwant %s\n", c->object, c->patch, messages(&a, &e), c->message);
        good = false;
    }
    arena_free(&a);
    assert_true(good);
}

/* A good object patched twice: into what is there, and that into what is asked for. `sub` NULL: the whole. */
struct validation_change {
    const char *object, *before, *after, *sub, *message;
};

static inline void *patched(struct arena *a, const void *object, const char *patch)
{
    void *out = object_clone(a, object);
    struct error err;
    if (*patch && object_patch(a, out, PATCH_MERGE, str_from(patch), NULL, &out, &err) < 0)
        fail_msg("%s: %s", patch, err.message);
    defaults_apply(a, out);
    return out;
}

static inline void check_changes(const struct validation_change *changes, size_t n)
{
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < n; i++) {
        const struct validation_change *c = &changes[i];
        struct field_errors e = {.arena = &a};
        void *old = changed(&a, json_of(&a, c->object), json_of(&a, c->before));
        void *new = patched(&a, old, json_of(&a, c->after));
        const struct resource *r = resource_of_message(schema_of(old)->id);
        if (c->sub)
            validate_update_subresource(r, c->sub, new, old, &e);
        else
            validate_update(r, new, old, &e);
        if (is_said(messages(&a, &e), c->message))
            continue;
        print_error("%s\nfrom %s\nto   %s\ngot  %s\nwant %s\n", c->object, c->before, c->after,
                    messages(&a, &e), c->message);
        good = false;
    }
    arena_free(&a);
    assert_true(good);
}

#endif
