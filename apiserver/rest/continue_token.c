/*
 * Continue tokens: see continue_token.h.
 */
#include "apiserver/rest/continue_token.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include <yyjson.h>

#define TOKEN_MAX 8192

char *continue_token_make(struct arena *a, const struct continue_token *t)
{
    struct buf json, token;
    buf_init(&json);
    buf_init(&token);
    buf_printf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)t->revision);
    buf_append_json_string(&json, t->start);
    if (t->remaining >= 0)
        buf_printf(&json, ",\"n\":%lld", (long long)t->remaining);
    buf_append_char(&json, '}');
    base64url_encode(&token, buf_str(&json));
    char *out = arena_strndup(a, token.data, token.len);
    buf_free(&json);
    buf_free(&token);
    return out;
}

static int read_fields(struct arena *a, yyjson_val *root, struct continue_token *out,
                       struct error *err)
{
    yyjson_val *v = yyjson_obj_get(root, "v"), *n = yyjson_obj_get(root, "n");
    yyjson_val *rv = yyjson_obj_get(root, "rv"), *s = yyjson_obj_get(root, "start");
    if (!yyjson_equals_str(v, "meta.k8s.io/v1"))
        return error_set(
            err, ERR_INVALID,
            "continue key is not valid: server does not recognize this encoded version \"%.100s\"",
            yyjson_is_str(v) ? yyjson_get_str(v) : "");
    if (!yyjson_is_int(rv) || (yyjson_get_sint(rv) <= 0 && yyjson_get_sint(rv) != CONTINUE_NEWEST))
        return error_set(err, ERR_INVALID,
                         "continue key is not valid: incorrect encoded start resourceVersion "
                         "(version meta.k8s.io/v1)");
    if (!yyjson_is_str(s) || yyjson_get_len(s) == 0)
        return error_set(
            err, ERR_INVALID,
            "continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
    size_t len = yyjson_get_len(s);
    *out = (struct continue_token){
        yyjson_get_sint(rv), str_make(arena_dup(a, yyjson_get_str(s), len), len),
        yyjson_is_int(n) && yyjson_get_sint(n) >= 0 ? yyjson_get_sint(n) : -1};
    if (out->start.p[0] == '/' || str_find(out->start, STR("..")) >= 0)
        return error_set(err, ERR_INVALID, "continue key is not valid: %.*s",
                         (int)MIN(out->start.n, 200), out->start.p);
    return 0;
}

int continue_token_parse(struct arena *a, const char *text, struct continue_token *out,
                         struct error *err)
{
    struct str t = str_from(text);
    struct buf json;
    buf_init(&json);
    yyjson_doc *doc = NULL;
    if (t.n <= TOKEN_MAX && base64_decode(&json, t))
        doc = yyjson_read(json.data, json.len, 0);
    int rc = doc ? read_fields(a, yyjson_doc_get_root(doc), out, err)
                 : error_set(err, ERR_INVALID, "continue key is not valid: malformed token");
    yyjson_doc_free(doc);
    buf_free(&json);
    return rc;
}
