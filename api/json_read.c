/*
 * Text → tree: yyjson's memory in an arena, and what is read of a tree before it is decoded.
 */
#include "api/codec_internal.h"

static void *alc_malloc(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void *alc_realloc(void *ctx, void *p, size_t old_size, size_t size)
{
    return arena_grow(ctx, p, old_size, size);
}

static void alc_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static yyjson_alc arena_allocator(struct arena *a)
{
    return (yyjson_alc){alc_malloc, alc_realloc, alc_free, a};
}

yyjson_mut_doc *json_doc_new(struct arena *a)
{
    yyjson_alc alc = arena_allocator(a);
    return yyjson_mut_doc_new(&alc);
}

int json_read(struct arena *a, struct str json, yyjson_val **out, struct error *err)
{
    yyjson_alc alc = arena_allocator(a);
    yyjson_read_err e;
    if (json.n == 0)
        return error_set(err, ERR_INVALID, "unexpected end of JSON input");
    yyjson_doc *doc = yyjson_read_opts((char *)json.p, json.n, YYJSON_READ_NUMBER_AS_RAW, &alc, &e);
    if (!doc && e.code == YYJSON_READ_ERROR_UNEXPECTED_END)
        return error_set(err, ERR_INVALID, "unexpected end of JSON input");
    if (!doc)
        return error_set(err, ERR_INVALID, "invalid JSON at byte %zu: %s", e.pos, e.msg);
    *out = yyjson_doc_get_root(doc);
    return 0;
}

yyjson_val *json_last_member(yyjson_val *object, struct str name)
{
    size_t i, max;
    yyjson_val *key, *item, *found = NULL;
    yyjson_obj_foreach (object, i, max, key, item) {
        if (str_eq(str_make(yyjson_get_str(key), yyjson_get_len(key)), name))
            found = item;
    }
    return found;
}

void json_type_meta(yyjson_val *value, struct str *api_version, struct str *kind)
{
    yyjson_val *v = json_last_member(value, STR("apiVersion")),
               *k = json_last_member(value, STR("kind"));
    *api_version = str_make(yyjson_get_str(v), yyjson_get_len(v));
    *kind = str_make(yyjson_get_str(k), yyjson_get_len(k));
    if (!yyjson_is_str(v))
        *api_version = STR_NONE;
    if (!yyjson_is_str(k))
        *kind = STR_NONE;
}
