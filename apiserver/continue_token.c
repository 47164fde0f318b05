/*
 * Continue tokens: see continue_token.h.
 */
#include "apiserver/continue_token.h"
#include "base/buf.h"
#include "base/encode.h"
#include <yyjson.h>

#define TOKEN_MAX 8192

char *continue_token_make(struct arena *a, int64_t revision, struct str start)
{
    struct buf json, token;
    buf_init(&json);
    buf_init(&token);
    buf_printf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)revision);
    buf_append_json_string(&json, start);
    buf_append_char(&json, '}');
    base64url_encode(&token, buf_str(&json));
    char *out = arena_strndup(a, token.data, token.len);
    buf_free(&json);
    buf_free(&token);
    return out;
}

static int read_fields(struct arena *a, yyjson_val *root, int64_t *revision, struct str *start,
                       struct error *err)
{
    if (!yyjson_equals_str(yyjson_obj_get(root, "v"), "meta.k8s.io/v1"))
        return error_set(err, ERR_INVALID, "continue key is not valid: incorrect encoded version");
    yyjson_val *rv = yyjson_obj_get(root, "rv"), *s = yyjson_obj_get(root, "start");
    if (!yyjson_is_int(rv) || yyjson_get_sint(rv) <= 0)
        return error_set(err, ERR_INVALID,
                         "continue key is not valid: incorrect encoded start resourceVersion");
    if (!yyjson_is_str(s) || yyjson_get_len(s) == 0)
        return error_set(err, ERR_INVALID, "continue key is not valid: encoded start key empty");
    *revision = yyjson_get_sint(rv);
    *start = str_make(arena_dup(a, yyjson_get_str(s), yyjson_get_len(s)), yyjson_get_len(s));
    if (start->p[0] == '/' || str_find(*start, STR("..")) >= 0)
        return error_set(err, ERR_INVALID, "continue key is not valid: invalid start key");
    return 0;
}

int continue_token_parse(struct arena *a, const char *token, int64_t *revision, struct str *start,
                         struct error *err)
{
    struct str t = str_from(token);
    struct buf json;
    buf_init(&json);
    yyjson_doc *doc = NULL;
    if (t.n <= TOKEN_MAX && base64_decode(&json, t))
        doc = yyjson_read(json.data, json.len, 0);
    int rc = doc ? read_fields(a, yyjson_doc_get_root(doc), revision, start, err)
                 : error_set(err, ERR_INVALID, "continue key is not valid: malformed token");
    yyjson_doc_free(doc);
    buf_free(&json);
    return rc;
}
