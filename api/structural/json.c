/*
 * JSON trees as structural schemas see them: numbers, equality, canonical text.
 */
#include "api/structural/internal.h"
#include <math.h>
#include <stdlib.h>

struct number number_of_text(struct str text)
{
    struct number n = {0};
    if (str_to_i64(text, &n.i)) {
        n.integer = true;
        n.d = (double)n.i;
        return n;
    }
    char copy[400];
    size_t len = MIN(text.n, sizeof copy - 1); /* more digits than any double has */
    memcpy(copy, text.p, len);
    copy[len] = 0;
    n.d = strtod(copy, NULL);
    return n;
}

struct number mut_number(yyjson_mut_val *v)
{
    if (yyjson_mut_is_raw(v))
        return number_of_text(str_make(yyjson_mut_get_raw(v), yyjson_mut_get_len(v)));
    if (yyjson_mut_is_sint(v) || (yyjson_mut_is_uint(v) && yyjson_mut_get_uint(v) <= INT64_MAX))
        return (struct number){true, yyjson_mut_get_sint(v), (double)yyjson_mut_get_sint(v)};
    return (struct number){false, 0, yyjson_mut_get_num(v)};
}

void number_write(struct number n, struct buf *out)
{
    if (n.integer)
        emit_i64(out, n.i);
    else if (isfinite(n.d))
        emit_double(out, n.d);
    else
        buf_append_cstr(out, n.d > 0 ? "1.7976931348623157e+308" : "-1.7976931348623157e+308");
}

const char *mut_type_name(yyjson_mut_val *v)
{
    if (yyjson_mut_is_str(v))
        return "string";
    if (mut_is_number(v))
        return mut_number(v).integer ? "integer" : "number";
    if (yyjson_mut_is_bool(v))
        return "boolean";
    if (yyjson_mut_is_arr(v))
        return "array";
    return yyjson_mut_is_obj(v) ? "object" : "null";
}

yyjson_mut_val *mut_member(yyjson_mut_val *object, struct str name)
{
    return yyjson_mut_is_obj(object) ? yyjson_mut_obj_getn(object, name.p, name.n) : NULL;
}

bool mut_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    struct buf x, y;
    if (!a || !b)
        return a == b;
    buf_init(&x);
    buf_init(&y);
    json_write_canonical(a, &x);
    json_write_canonical(b, &y);
    bool equal = str_eq(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return equal;
}

/* ---- canonical text ---- */

struct member_ref {
    yyjson_mut_val *key, *value;
    size_t at;
};

static int by_key(const void *x, const void *y)
{
    const struct member_ref *a = x, *b = y;
    int order = str_cmp(mut_text(a->key), mut_text(b->key));
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

static void write_members(yyjson_mut_val *v, struct buf *out)
{
    size_t n = yyjson_mut_obj_size(v), i, max;
    struct member_ref few[16], *all = n <= ARRAY_LEN(few) ? few : mem_alloc(n * sizeof *all);
    yyjson_mut_val *key, *item;
    bool sorted = true, any = false;
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        all[i] = (struct member_ref){key, item, i};
        sorted = sorted && (i == 0 || str_cmp(mut_text(all[i - 1].key), mut_text(key)) < 0);
    }
    if (!sorted)
        qsort(all, n, sizeof *all, by_key);
    put_char(out, '{');
    for (i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(mut_text(all[i].key), mut_text(all[i + 1].key)))
            continue; /* the last one counts */
        if (any)
            put_char(out, ',');
        any = true;
        emit_string(out, mut_text(all[i].key));
        put_char(out, ':');
        json_write_canonical(all[i].value, out);
    }
    put_char(out, '}');
    if (all != few)
        mem_free(all);
}

void json_write_canonical(yyjson_mut_val *v, struct buf *out)
{
    size_t i, max;
    yyjson_mut_val *item;
    if (yyjson_mut_is_str(v)) {
        emit_string(out, mut_text(v));
    } else if (mut_is_number(v)) {
        number_write(mut_number(v), out);
    } else if (yyjson_mut_is_bool(v)) {
        buf_append_cstr(out, yyjson_mut_get_bool(v) ? "true" : "false");
    } else if (yyjson_mut_is_obj(v)) {
        write_members(v, out);
    } else if (yyjson_mut_is_arr(v)) {
        put_char(out, '[');
        yyjson_mut_arr_foreach (v, i, max, item) {
            if (i)
                put_char(out, ',');
            json_write_canonical(item, out);
        }
        put_char(out, ']');
    } else {
        put_literal(out, "null");
    }
}
