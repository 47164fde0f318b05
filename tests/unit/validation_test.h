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

#endif
