/*
 * Bearer tokens among subprotocols: see authn_websocket.h.
 */
#include "apiserver/auth/authn_websocket.h"
#include "base/arena_str.h"
#include "base/arena_text.h"
#include "base/encode.h"
#include "net/websocket.h"

#define PREFIX "base64url.bearer.authorization.k8s.io."

struct offers {
    struct arena *a;
    struct str encoded; /* the first token's text */
    size_t tokens, others;
};

/* The header's value without tokens. */
static struct str without_tokens(struct offers *o, struct str list)
{
    struct arena_text kept = {.a = o->a};
    struct str one;
    while (list.p && str_split(&list, ',', &one)) {
        one = str_trim(one);
        if (!str_has_prefix(one, STR(PREFIX))) {
            arena_text_addf(&kept, "%s%.*s", kept.len ? ", " : "", STR_ARG(one));
            o->others++;
        } else if (o->tokens++ == 0) {
            o->encoded = str_slice(one, sizeof PREFIX - 1, one.n);
        }
    }
    return str_make(arena_text_of(&kept), kept.len);
}

static int decode(const struct offers *o, struct str *token, struct error *err)
{
    struct buf b;
    buf_init(&b);
    int rc = 0;
    if (!base64_decode(&b, o->encoded))
        rc = error_set(err, ERR_DENIED, "invalid base64.bearer.authorization token encoding");
    else if (!utf8_valid(buf_str(&b)))
        rc = error_set(err, ERR_DENIED, "invalid base64.bearer.authorization token");
    else if (b.len && !o->others)
        rc = error_set(err, ERR_DENIED, "missing additional subprotocol");
    else
        *token = arena_copy(o->a, buf_str(&b));
    buf_free(&b);
    return rc;
}

int websocket_token_take(struct http_exchange *x, struct arena *a, struct str *token,
                         struct error *err)
{
    struct offers o = {.a = a};
    *token = STR_NONE;
    if (!websocket_wanted(x))
        return 0;
    struct http_header *headers = arena_array(a, struct http_header, x->headers_len + 1);
    size_t n = 0;
    for (size_t i = 0; i < x->headers_len; i++) {
        struct http_header h = x->headers[i];
        if (str_eqz(h.name, "sec-websocket-protocol"))
            h.value = without_tokens(&o, h.value);
        if (h.value.n || x->headers[i].value.n == 0)
            headers[n++] = h;
    }
    if (!o.tokens)
        return 0;
    x->headers = headers;
    x->headers_len = n;
    if (o.tokens > 1)
        return error_set(err, ERR_DENIED, "multiple base64.bearer.authorization tokens specified");
    return decode(&o, token, err);
}
