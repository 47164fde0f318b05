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

/* What is asked for with an object: that it be made, that it replace the good one, or that its status do. */
enum asked { CREATE, UPDATE, STATUS };
/* How much of what is said a table's messages state. Of "!text" the text must not be a part. */
enum stated { PART, WHOLE };

/* A good object in YAML (JSON is YAML), what is changed in it, and what is said then: "" when all is well. */
struct validation_case {
    const char *object, *patch, *message;
};

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

/* What is said about `new` in the place of `old` (NULL: of nothing). */
static inline const char *said_of(struct arena *a, const void *new, const void *old,
                                  const char *sub)
{
    struct field_errors e = {.arena = a};
    const struct resource *r = resource_of_message(schema_of(new)->id);
    if (!old)
        validate_create(r, new, &e);
    else if (sub)
        validate_update_subresource(r, sub, new, old, &e);
    else
        validate_update(r, new, old, &e);
    return messages(a, &e);
}

static inline bool is_said(const char *got, const char *wanted, enum stated stated)
{
    if (!*wanted || stated == WHOLE)
        return strcmp(got, wanted) == 0;
    return *wanted == '!' ? !strstr(got, wanted + 1) : strstr(got, wanted) != NULL;
}

static inline bool check_case(struct arena *a, const struct validation_case *c, enum asked asked,
                              enum stated stated)
{
    const char *json = json_of(a, c->object);
    const void *new = changed(a, json, json_of(a, c->patch));
    const void *old = asked == CREATE ? NULL : changed(a, json, "");
    const char *got = said_of(a, new, old, asked == STATUS ? "status" : NULL);
    bool good = is_said(got, c->message, stated);
    if (!good)
        print_error("%s %s\ngot  %s\nwant %s\n", c->object, c->patch, got, c->message);
    return good;
}

/* Every case is tried, so that one run shows all that differ. */
static inline void check_cases(const struct validation_case *cases, size_t n, enum asked asked,
                               enum stated stated)
{
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < n; i++)
        good &= check_case(&a, &cases[i], asked, stated);
    arena_free(&a);
    assert_true(good);
}

static inline bool check_change(struct arena *a, const struct validation_change *c)
{
    const void *old = changed(a, json_of(a, c->object), json_of(a, c->before));
    const char *got = said_of(a, patched(a, old, json_of(a, c->after)), old, c->sub);
    bool good = is_said(got, c->message, PART);
    if (!good)
        print_error("%s\nfrom %s\nto   %s\ngot  %s\nwant %s\n", c->object, c->before, c->after, got,
                    c->message);
    return good;
}

static inline void check_changes(const struct validation_change *changes, size_t n)
{
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < n; i++)
        good &= check_change(&a, &changes[i]);
    arena_free(&a);
    assert_true(good);
}

/* The test of a table of cases, named as the table is; and of one of changes. */
#define CASES_TEST(table_, asked_, stated_)                                   \
    static void test_##table_(void **state)                                   \
    {                                                                         \
        (void)state;                                                          \
        check_cases(table_, sizeof table_ / sizeof *table_, asked_, stated_); \
    }
#define CHANGES_TEST(table_)                                   \
    static void test_##table_(void **state)                    \
    {                                                          \
        (void)state;                                           \
        check_changes(table_, sizeof table_ / sizeof *table_); \
    }

#endif
