/*
 * Texts in requests that are no objects: Accept, Content-Type and continue tokens, names of proxied services, and the
 * JSONPath of a custom resource's columns over a document. The first byte chooses which.
 */
#include "api/codec.h"
#include "api/jsonpath.h"
#include "apiserver/proxy/target.h"
#include "apiserver/rest/continue_token.h"
#include "apiserver/rest/negotiate.h"
#include "tests/fuzz/fuzz.h"

static void headers(struct str in)
{
    struct accept accept;
    enum media media;
    for (int discovery = 0; discovery < 2; discovery++)
        if (negotiate_accept(in, discovery, &accept)) {
            require(accept.media <= MEDIA_YAML && accept.transform < TRANSFORM_COUNT);
            require(!discovery || accept.transform != TRANSFORM_TABLE);
        }
    if (negotiate_accept_custom(in, &accept))
        require(accept.media != MEDIA_PROTOBUF || accept.transform == TRANSFORM_METADATA);
    if (negotiate_accept_tableless(in, &accept))
        require(accept.transform != TRANSFORM_TABLE);
    negotiate_gzip(in);
    if (negotiate_content_type(in, &media))
        require(media_type(media) != NULL);
}

/* What is accepted is what is made again. */
static void continue_token(struct arena *a, struct str in)
{
    struct continue_token token, again;
    struct error err = {0};
    if (continue_token_parse(a, arena_strndup(a, in.p, in.n), &token, &err) < 0) {
        require(err.message[0]);
        return;
    }
    require(token.revision >= CONTINUE_NEWEST);
    require(continue_token_parse(a, continue_token_make(a, &token), &again, &err) == 0);
    require(token.revision == again.revision && token.remaining == again.remaining);
    require(str_eq(token.start, again.start));
}

static void proxied(struct arena *a, struct str in)
{
    const char *scheme, *name, *port, *text = arena_strndup(a, in.p, in.n);
    if (proxy_name_split(a, text, &scheme, &name, &port))
        require(scheme && name && port);
    proxy_address_allowed(text);
}

/* A path, a newline, a document. */
static void column(struct arena *a, struct str in)
{
    const char *end = in.n ? memchr(in.p, '\n', in.n) : NULL;
    size_t n = end ? (size_t)(end - in.p) : in.n;
    const char *path = arena_strndup(a, in.p, n);
    struct buf out = {0};
    yyjson_val *root, **values;
    size_t len;
    if (json_read(a, str_slice(in, MIN(n + 1, in.n), in.n), &root, NULL) < 0)
        return;
    if (jsonpath_find(a, path, root, &values, &len, NULL) == 0)
        for (size_t i = 0; i < len; i++)
            jsonpath_print(values[i], &out);
    buf_clear(&out);
    jsonpath_render(path, root, &out, NULL);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena a;
    struct str in = fuzz_input(data + 1, size - 1);
    arena_init(&a);
    switch (data[0] % 4) {
    case 0:
        headers(in);
        break;
    case 1:
        continue_token(&a, in);
        break;
    case 2:
        proxied(&a, in);
        break;
    default:
        column(&a, in);
    }
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
