/*
 * Shared by the tests of api/: comparing JSON by value.
 */
#ifndef C8S_TESTS_API_TEST_H
#define C8S_TESTS_API_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "api/codec.h"

static inline bool json_number_equal(yyjson_val *a, yyjson_val *b)
{
    const char *x = yyjson_get_raw(a), *y = yyjson_get_raw(b);
    return x && y && (strcmp(x, y) == 0 || strtod(x, NULL) == strtod(y, NULL));
}

/* Member order does not matter; the first difference is written to `where`. */
static inline bool json_value_equal(yyjson_val *a, yyjson_val *b, char *where, size_t size)
{
    size_t at = strlen(where), i, max;
    yyjson_val *key, *v;
    if (yyjson_get_type(a) != yyjson_get_type(b))
        return false;
    if (yyjson_is_obj(a)) {
        yyjson_obj_foreach (b, i, max, key, v) {
            snprintf(where + at, size - at, ".%s", yyjson_get_str(key));
            if (!yyjson_obj_get(a, yyjson_get_str(key)))
                return false;
        }
        yyjson_obj_foreach (a, i, max, key, v) {
            snprintf(where + at, size - at, ".%s", yyjson_get_str(key));
            yyjson_val *other = yyjson_obj_get(b, yyjson_get_str(key));
            if (!other || !json_value_equal(v, other, where, size))
                return false;
        }
        where[at] = 0;
        return yyjson_obj_size(a) == yyjson_obj_size(b);
    }
    if (yyjson_is_arr(a)) {
        if (yyjson_arr_size(a) != yyjson_arr_size(b))
            return false;
        yyjson_arr_foreach (a, i, max, v) {
            snprintf(where + at, size - at, "[%zu]", i);
            if (!json_value_equal(v, yyjson_arr_get(b, i), where, size))
                return false;
        }
        where[at] = 0;
        return true;
    }
    if (yyjson_is_raw(a))
        return json_number_equal(a, b);
    return yyjson_equals(a, b);
}

static inline void assert_json_equal(const char *name, struct str got, struct str want)
{
    struct arena a;
    struct error err = {0};
    yyjson_val *x, *y;
    char where[1024] = "";
    arena_init(&a);
    if (json_read(&a, got, &x, &err) < 0)
        fail_msg("%s: our JSON does not parse: %s\n%.*s", name, err.message, STR_ARG(got));
    assert_int_equal(json_read(&a, want, &y, &err), 0);
    if (!json_value_equal(x, y, where, sizeof where))
        fail_msg("%s: JSON differs at %s\ngot  %.*s\nwant %.*s", name, where,
                 (int)(got.n < 3000 ? got.n : 3000), got.p, (int)(want.n < 3000 ? want.n : 3000),
                 want.p);
    arena_free(&a);
}

#endif
