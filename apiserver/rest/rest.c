/*
 * Answers, bodies and keys: see rest.h.
 */
#include "apiserver/rest/rest.h"
#include "api/custom/custom.h"
#include "api/json_words.h"
#include "apiserver/rest/answer_cache.h"
#include "apiserver/table/table.h"
#include "base/arena_str.h"
#include "base/arena_text.h"
#include "base/gzip.h"
#include "base/mem.h"
#include "base/random.h"
#include <stdio.h>
#include <yyjson.h>

#define HEADERS_MAX (8 + REST_WARNINGS_MAX)
#define WARNINGS_CHARS 4096 /* past so many characters in all … */
#define WARNING_CHARS 256   /* … so many of each */

/* ---- answering ---- */

static char *put_hex(char *to, uint64_t bits, unsigned n)
{
    static const char digits[] = "0123456789abcdef";
    while (n--) {
        *to++ = digits[bits & 15];
        bits >>= 4;
    }
    return to;
}

/* A UUID without a system call: it names a request in logs, nothing more. */
static struct str audit_id(struct rest *rq)
{
    char *out = arena_alloc(rq->a, 36), *p = out;
    uint64_t first = rng_next(&rq->worker->rng), last = rng_next(&rq->worker->rng);
    p = put_hex(p, first, 8);
    *p++ = '-';
    p = put_hex(p, first >> 32, 4);
    *p++ = '-';
    *p++ = '4'; /* the version of random ones */
    p = put_hex(p, first >> 48, 3);
    *p++ = '-';
    p = put_hex(p, 8 | (last & 3), 1); /* and the variant */
    p = put_hex(p, last >> 2, 3);
    *p++ = '-';
    p = put_hex(p, last >> 16, 12);
    return str_make(out, 36);
}

/* Characters, not bytes. */
static size_t text_length(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* `299 - "text"`, of at most so many characters. What cannot stand in a header becomes a blank. */
static struct str warning_header(struct arena *a, const char *text, size_t limit)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, "299 - \"");
    for (const char *p = text; *p; p++) {
        if (((unsigned char)*p & 0xc0) != 0x80 && limit-- == 0)
            break;
        if (*p == '"' || *p == '\\')
            buf_append_char(&b, '\\');
        buf_append_char(&b, (unsigned char)*p < 0x20 ? ' ' : *p);
    }
    buf_append_char(&b, '"');
    struct str out = arena_copy(a, buf_str(&b));
    buf_free(&b);
    return out;
}

/* As published: whole, or each cut short when all of them are long. Clients take no headers of any length. */
static size_t warning_headers(struct rest *rq, struct http_header *h)
{
    size_t all = 0;
    for (size_t i = 0; i < rq->warnings_len; i++)
        all += text_length(rq->warnings[i]);
    for (size_t i = 0; i < rq->warnings_len; i++)
        h[i] = (struct http_header){
            STR("warning"),
            warning_header(rq->a, rq->warnings[i], all > WARNINGS_CHARS ? WARNING_CHARS : all)};
    return rq->warnings_len;
}

static size_t common_headers(struct rest *rq, const char *content_type, struct http_header *h)
{
    size_t n = 0;
    h[n++] = (struct http_header){STR("audit-id"), audit_id(rq)};
    h[n++] = (struct http_header){STR("cache-control"), STR("no-cache, private")};
    if (content_type)
        h[n++] = (struct http_header){STR("content-type"), str_from(content_type)};
    if (rq->flow.schema_uid[0]) {
        h[n++] = (struct http_header){STR("x-kubernetes-pf-flowschema-uid"),
                                      str_from(rq->flow.schema_uid)};
        h[n++] = (struct http_header){STR("x-kubernetes-pf-prioritylevel-uid"),
                                      str_from(rq->flow.level_uid)};
    }
    return n + warning_headers(rq, h + n);
}

static size_t gzip_headers(struct http_header *h, size_t n)
{
    h[n++] = (struct http_header){STR("content-encoding"), STR("gzip")};
    h[n++] = (struct http_header){STR("vary"), STR("Accept-Encoding")};
    return n;
}

void rest_respond(struct rest *rq, int code, const char *content_type, struct str body)
{
    struct http_header h[HEADERS_MAX];
    size_t n = common_headers(rq, content_type, h);
    struct buf small;
    rq->code = code;
    if (body.n <= REST_GZIP_MIN || !(rq->info.verb & (VERB_GET | VERB_LIST)) ||
        !negotiate_gzip(http_header_get(rq->x, "accept-encoding"))) {
        http_respond(rq->x, code, h, n, body);
        return;
    }
    buf_init(&small);
    gzip_compress(body, GZIP_FAST, &small);
    n = gzip_headers(h, n);
    http_respond(rq->x, code, h, n, buf_str(&small));
    buf_free(&small);
}

void rest_respond_blob(struct rest *rq, int code, const char *content_type, struct blob *body,
                       bool gzip)
{
    struct http_header h[HEADERS_MAX];
    size_t n = common_headers(rq, content_type, h);
    if (gzip)
        n = gzip_headers(h, n);
    rq->code = code;
    http_respond_blob(rq->x, code, h, n, body);
}

void rest_stream_start_coded(struct rest *rq, const char *content_type, bool gzip)
{
    struct http_header h[HEADERS_MAX];
    size_t n = common_headers(rq, content_type, h);
    if (gzip)
        n = gzip_headers(h, n);
    rq->code = 200;
    http_stream_start(rq->x, 200, h, n);
}

void rest_stream_start(struct rest *rq, const char *content_type)
{
    rest_stream_start_coded(rq, content_type, false);
}

struct status *status_wrong_form(struct rest *rq, bool list)
{
    size_t label = strcspn(rq->r->group, "."); /* the group without its domain */
    const char *package = rq->r->custom ? "unstructured"
                          : label       ? arena_strndup(rq->a, rq->r->group, label)
                                        : "core";
    const char *kind = list ? rq->r->list_kind : rq->r->kind;
    if (rq->r->custom)
        kind = list ? "UnstructuredList" : "Unstructured";
    return status_new(
        rq->a, 406, "NotAcceptable",
        list ? "you requested PartialObjectMetadata, but the requested object is a list "
               "(*%s.%s)"
             : "you requested PartialObjectMetadataList, but the requested object is not "
               "a list (*%s.%s)",
        package, kind);
}

static void json_to_yaml(struct arena *a, struct buf *b)
{
    yyjson_val *v;
    struct error err;
    struct buf y;
    buf_init(&y);
    if (json_read(a, buf_str(b), &v, &err) == 0)
        yaml_write(v, &y);
    buf_free(b);
    *b = y;
}

/* JSON text for whoever reads it himself. */
static void prettify(struct buf *b)
{
    struct json_indent state = {.width = 2};
    struct buf text;
    buf_init(&text);
    json_indent(&state, buf_str(b), &text);
    buf_free(b);
    *b = text;
}

void rest_status(struct rest *rq, const struct status *s)
{
    struct buf b;
    buf_init(&b);
    /* A form that was asked for is one of objects: a Status has none, and comes as JSON. */
    enum media media = rq->accept.transform == TRANSFORM_NONE ? rq->accept.media : MEDIA_JSON;
    if (media == MEDIA_PROTOBUF) {
        struct buf raw;
        buf_init(&raw);
        status_encode_wire(s, &raw);
        envelope_write(&b, STR("v1"), STR("Status"), buf_str(&raw));
        buf_free(&raw);
    } else {
        status_encode_json(s, &b);
        if (media == MEDIA_YAML)
            json_to_yaml(rq->a, &b);
        else if (rq->pretty)
            prettify(&b);
    }
    struct http_header h[HEADERS_MAX];
    size_t n = common_headers(rq, media_type(media), h);
    if (s->retry_after_s)
        h[n++] = (struct http_header){STR("retry-after"),
                                      str_from(arena_printf(rq->a, "%d", s->retry_after_s))};
    rq->code = s->code;
    http_respond(rq->x, s->code, h, n, buf_str(&b));
    buf_free(&b);
}

/* Finish a JSON answer and send it in the negotiated media. */
static void respond_json(struct rest *rq, int code, struct buf *b)
{
    if (rq->accept.media == MEDIA_YAML) {
        json_to_yaml(rq->a, b);
        rest_respond(rq, code, media_type(MEDIA_YAML), buf_str(b));
        return;
    }
    if (rq->pretty)
        prettify(b);
    else if (b->len && b->data[b->len - 1] != '\n')
        buf_append_char(b, '\n');
    rest_respond(rq, code, media_type(MEDIA_JSON), buf_str(b));
}

void rest_json_or_wire(struct rest *rq, int code, struct buf *b)
{
    if (rq->accept.media == MEDIA_PROTOBUF)
        rest_respond(rq, code, media_type(MEDIA_PROTOBUF), buf_str(b));
    else
        respond_json(rq, code, b);
}

void rest_object(struct rest *rq, int code, const void *object)
{
    struct buf b;
    buf_init(&b);
    if (rq->accept.media == MEDIA_PROTOBUF) {
        envelope_encode(object, &b);
    } else {
        json_encode(object, JSON_DEFAULT, &b);
    }
    rest_json_or_wire(rq, code, &b);
    buf_free(&b);
}

#define TEXT_KEPT_MAX (64u << 10)

/* Into `b`, as the request wants it; <0: answered with the error. */
static int write_stored(struct rest *rq, struct str stored, int64_t revision, struct buf *b)
{
    struct error err;
    int rc;
    enum media media = rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON;
    struct status *bad = table_options_check(rq);
    if (bad) {
        rest_status(rq, bad);
        return -1;
    }
    buf_clear(b);
    if (rq->accept.transform == TRANSFORM_TABLE) {
        rc = table_write_object(rq->r, stored, revision, table_options(rq), b, &err);
    } else {
        buf_reserve(b, stored.n + stored.n / 2 + 512);
        rc = stored_answer(rq->r, stored, revision, media,
                           rq->accept.transform == TRANSFORM_METADATA ? FORM_METADATA : FORM_FULL,
                           false, b, &err);
    }
    if (rc < 0)
        rest_status(rq, status_internal(rq->a, "%s", err.message));
    return rc;
}

void rest_stored(struct rest *rq, int code, struct str stored, int64_t revision)
{
    struct buf *b = &rq->worker->text;
    if (rq->accept.transform == TRANSFORM_METADATA && rq->accept.as_list) {
        rest_status(rq, status_wrong_form(rq, false));
        return;
    }
    if (write_stored(rq, stored, revision, b) == 0)
        rest_json_or_wire(rq, code, b);
    if (b->cap > TEXT_KEPT_MAX)
        buf_free(b);
}

void rest_pair(struct rest *rq, const struct kv_pair *pair)
{
    struct worker *w = rq->worker;
    struct buf *b = &w->text;
    struct str text;
    bool plain = rq->accept.media == MEDIA_JSON && rq->accept.transform == TRANSFORM_NONE &&
                 !rq->pretty && !rq->r->custom;
    if (!plain) {
        rest_stored(rq, 200, pair->value, pair->mod_rev);
        return;
    }
    if (!answer_cache_get(w->answers, rq->r, pair->key, pair->mod_rev, &text)) {
        if (write_stored(rq, pair->value, pair->mod_rev, b) < 0)
            return;
        buf_append_char(b, '\n');
        text = buf_str(b);
        answer_cache_put(w->answers, rq->r, pair->key, pair->mod_rev, text);
    }
    rest_respond(rq, 200, media_type(MEDIA_JSON), text);
    if (b->cap > TEXT_KEPT_MAX)
        buf_free(b);
}

void rest_warn(struct rest *rq, const char *text)
{
    if (rq->warnings_len == REST_WARNINGS_MAX)
        return;
    /* A write that is tried again says everything again. */
    for (size_t i = 0; i < rq->warnings_len; i++)
        if (strcmp(text, rq->warnings[i]) == 0)
            return;
    rq->warnings[rq->warnings_len++] = arena_strdup(rq->a, text);
}

/* ---- paths that lead nowhere ---- */

static bool is_built_in_group(struct str group)
{
    for (size_t i = 0; i < resources_len; i++)
        if (str_eqz(group, resources[i].group))
            return true;
    return false;
}

void rest_page_not_found(struct rest *rq)
{
    struct str path = str_from(rq->info.path), group = STR_NONE;
    if (str_has_prefix(path, STR("/apis/"))) {
        path = str_slice(path, 6, path.n);
        str_split(&path, '/', &group);
    }
    if (str_has_prefix(path, STR("/api/")) || (group.n && is_built_in_group(group))) {
        rest_status(rq, status_path_not_found(rq->a));
        return;
    }
    const struct http_header h[] = {{STR("content-type"), STR("text/plain; charset=utf-8")},
                                    {STR("x-content-type-options"), STR("nosniff")}};
    rq->code = 404;
    http_respond(rq->x, 404, h, ARRAY_LEN(h), STR("404 page not found\n"));
}

/* ---- bodies ---- */

void rest_yaml_errors(struct buf *out, const char *const *lines, size_t n)
{
    buf_append_cstr(out, "yaml: unmarshal errors:");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "\n  %s", lines[i]);
}

/* Keys that a YAML body has twice come first, by their lines; then the fields. */
static struct status *body_problems(struct rest *rq, const char *const *lines, size_t n,
                                    const struct field_problems *problems)
{
    if (n + problems->len == 0 || rq->field_validation == FIELD_VALIDATION_IGNORE)
        return NULL;
    if (rq->field_validation == FIELD_VALIDATION_WARN) {
        for (size_t i = 0; i < n; i++)
            rest_warn(rq, lines[i]);
        for (size_t i = 0; i < problems->len; i++)
            rest_warn(rq, field_problem_message(rq->a, &problems->items[i]));
        return NULL;
    }
    struct buf b;
    buf_init(&b);
    if (n)
        rest_yaml_errors(&b, lines, n);
    for (size_t i = 0; i < problems->len; i++)
        buf_printf(&b, "%s%s", b.len ? ", " : "",
                   field_problem_message(rq->a, &problems->items[i]));
    struct status *s = status_bad_request(
        rq->a, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
        rq->r->kind, rq->r->version, rq->r->kind, buf_cstr(&b));
    buf_free(&b);
    return s;
}

struct status *rest_field_problems(struct rest *rq, const struct field_problems *problems)
{
    return body_problems(rq, NULL, 0, problems);
}

/* The body's first bytes are no object's, which is told before what the object may be; options are not called one. */
static void unrecognized(struct rest *rq, const struct schema_message *m, const char *words)
{
    bool options = m->id == Meta__V1__DeleteOptions__SCHEMA;
    rest_status(rq, options
                        ? status_bad_request(rq->a, "%s", words)
                        : status_bad_request(
                              rq->a,
                              "the object provided is unrecognized (must be of type %s): %s (%s)",
                              message_kind(m), words, json_excerpt(rq->a, rq->x->body)));
}

/* Is a protobuf body one that can be read? Objects of custom resources have no such form. */
static bool protobuf_fits(struct rest *rq, const struct schema_message *m)
{
    struct envelope e;
    struct error err;
    if (envelope_parse(rq->x->body, &e, &err) < 0 && err.code == ERR_INVALID) {
        unrecognized(rq, m, err.message);
        return false;
    }
    if (!custom_of_message(m))
        return true;
    struct str version =
        str_slice(e.api_version, (size_t)(str_find_char(e.api_version, '/') + 1), e.api_version.n);
    struct str kind = e.kind.n ? e.kind : str_from(message_kind(m));
    version = version.n ? version : str_from(rq->info.version);
    rest_status(rq,
                status_bad_request(
                    rq->a,
                    "%s in version \"%s\" cannot be handled as a %s: Object 'Kind' is missing "
                    "in 'object has no kind field '",
                    arena_readable(rq->a, kind), arena_readable(rq->a, version), message_kind(m)));
    return false;
}

#define NAMED_MAX 256u /* bytes of a kind that somebody made up */

/* A body that is no `m`: named as what it says it is. */
static struct status *cannot_be_handled(struct rest *rq, const struct schema_message *m,
                                        enum media media, struct str body, const char *why)
{
    struct str api_version = STR_NONE, kind = STR_NONE, group;
    struct error ignored;
    yyjson_val *tree;
    if (media == MEDIA_JSON && json_read(rq->a, body, &tree, &ignored) == 0 && yyjson_is_obj(tree))
        json_type_meta(tree, &api_version, &kind);
    if (!api_version.n)
        api_version = str_from(message_api_version(m));
    str_split(&api_version, '/', &group);
    struct str version = api_version.n ? api_version : group;
    kind = kind.n ? str_slice(kind, 0, MIN(kind.n, NAMED_MAX)) : str_from(message_kind(m));
    version = str_slice(version, 0, MIN(version.n, NAMED_MAX));
    return status_bad_request(rq->a, "%s in version \"%s\" cannot be handled as a %s: %s",
                              arena_readable(rq->a, kind), arena_readable(rq->a, version),
                              message_kind(m), why);
}

/* null: as everywhere in an object, the same as leaving everything out. A YAML document with nothing in it is that, too. */
static bool says_nothing(enum media media, struct str body)
{
    if (media == MEDIA_PROTOBUF)
        return false;
    struct str said = str_trim(body);
    return str_eqz(said, "null") || (media == MEDIA_YAML && body.n && !said.n);
}

void *rest_decode(struct rest *rq, const struct schema_message *m)
{
    enum media media;
    bool custom = custom_of_message(m) != NULL;
    if (!negotiate_content_type(http_header_get(rq->x, "content-type"), &media)) {
        rest_status(rq, status_unsupported_media(rq->a, ACCEPTED_MEDIA));
        return NULL;
    }
    if (media == MEDIA_PROTOBUF && !protobuf_fits(rq, m))
        return NULL;
    struct field_problems problems = {0};
    struct error err = {0};
    struct str body = rq->x->body;
    void *object;
    if (!custom && says_nothing(media, body))
        body = STR("{}");
    if (body.n == 0 || body_decode(rq->a, media, m, body, &problems, &object, &err) < 0) {
        const char *words = media == MEDIA_JSON || body.n == 0 ? json_words(rq->a, body) : NULL;
        if (words)
            unrecognized(
                rq, m,
                arena_printf(rq->a, "couldn't get version/kind; json parse error: %s", words));
        else if (err.code == ERR_UNSUPPORTED && media != MEDIA_PROTOBUF)
            rest_status(rq, status_bad_request(rq->a, "%s", err.message));
        else
            rest_status(rq, cannot_be_handled(rq, m, media, body, err.message));
        return NULL;
    }
    const char **lines = NULL;
    size_t n = 0;
    if (media == MEDIA_YAML && rq->field_validation != FIELD_VALIDATION_IGNORE) {
        n = yaml_duplicate_keys(rq->a, body, &lines);
        if (!custom)
            field_problems_sort(&problems); /* as upstream comes by them: from sorted JSON */
    }
    struct status *s = body_problems(rq, lines, n, &problems);
    if (s) {
        rest_status(rq, s);
        return NULL;
    }
    return object;
}

/* ---- keys and local reads ---- */

struct str rest_key(struct arena *a, const struct resource *r, const char *ns, const char *name)
{
    size_t prefix = strlen(r->storage_prefix), n = r->namespaced ? strlen(ns) + 1 : 0;
    size_t last = strlen(name);
    char *key = arena_alloc(a, prefix + n + last + 2), *p = key;
    p = mempcpy(p, r->storage_prefix, prefix);
    *p++ = '/';
    if (n) {
        p = mempcpy(p, ns, n - 1);
        *p++ = '/';
    }
    p = mempcpy(p, name, last + 1);
    return str_make(key, (size_t)(p - key) - 1);
}

struct str rest_prefix(struct arena *a, const struct resource *r, const char *ns)
{
    return str_from(r->namespaced && *ns ? arena_printf(a, "%s/%s/", r->storage_prefix, ns)
                                         : arena_printf(a, "%s/", r->storage_prefix));
}

static int read_pair(struct kv *kv, struct arena *a, struct str key, struct kv_pair *out,
                     struct error *err)
{
    struct kv_range_request rq = {.key = key};
    struct kv_range_result result;
    if (kv_range(kv, &rq, a, &result, err) < 0)
        return err->code < 0 ? err->code : ERR_INTERNAL;
    if (result.pairs_len == 0)
        return 0;
    *out = result.pairs[0];
    return 1;
}

int rest_read(struct rest *rq, struct str key, struct kv_pair *out, struct error *err)
{
    return read_pair(rq->server->kv, rq->a, key, out, err);
}

int rest_load(struct apiserver *s, struct arena *a, const struct resource *r, const char *ns,
              const char *name, void **out, struct error *err)
{
    struct kv_pair pair;
    int rc = read_pair(s->kv, a, rest_key(a, r, ns, name), &pair, err);
    if (rc <= 0)
        return rc;
    rc = stored_decode(a, pair.value, pair.mod_rev, rest_kept_message(r), out, err);
    return rc < 0 ? rc : 1;
}

/* ---- reading at the right moment ---- */

struct await {
    struct list link; /* in the batch */
    struct rest *rq;
    rest_ready_fn *ready;
    int64_t wanted;
};

static void awaited(void *ctx, int code, int64_t rev)
{
    struct await *w = ctx;
    struct rest *rq = w->rq;
    if (code == 0) {
        w->ready(rq);
        return;
    }
    if (code == ERR_TIMEOUT && w->wanted) {
        rest_status(rq, status_too_large_version(rq->a, w->wanted,
                                                 rev ? rev : kv_current_revision(rq->server->kv)));
        return;
    }
    struct error err;
    error_set(&err, code, "no quorum");
    rest_status(rq, status_from_error(rq->a, &err));
}

/* The reads of one iteration, on their way through the store. */
struct batch {
    struct list waiting;
};

static void batch_done(void *ctx, int code, int64_t rev)
{
    struct batch *b = ctx;
    while (!list_empty(&b->waiting)) {
        struct await *w = list_first(&b->waiting, struct await, link);
        list_remove(&w->link);
        awaited(w, code, rev);
    }
    mem_free(b);
}

static void batch_send(struct loop_deferred *d)
{
    struct worker *w = container_of(d, struct worker, barrier.deferred);
    struct batch *b = mem_alloc(sizeof *b);
    list_init(&b->waiting);
    list_splice_back(&b->waiting, &w->barrier.waiting);
    kv_read_index(w->server->kv, w->loop, batch_done, b);
}

void rest_barrier_init(struct worker *w)
{
    list_init(&w->barrier.waiting);
    loop_deferred_init(&w->barrier.deferred, batch_send);
}

void rest_await(struct rest *rq, const char *rv, rest_ready_fn *ready)
{
    struct await *w = arena_new(rq->a, struct await);
    w->rq = rq;
    w->ready = ready;
    struct kv *kv = rq->server->kv;
    if (!rv || !*rv) {
        list_push_back(&rq->worker->barrier.waiting, &w->link);
        loop_defer(rq->worker->loop, &rq->worker->barrier.deferred);
        return;
    }
    if (!str_to_i64(str_from(rv), &w->wanted) || w->wanted < 0) {
        struct status *s = status_bad_request(
            rq->a, "resourceVersion: Invalid value: \"%s\": must be a number", rv);
        rest_status(rq, s);
        return;
    }
    if (w->wanted <= kv_current_revision(kv)) {
        ready(rq);
        return;
    }
    kv_wait_revision(kv, w->wanted, FUTURE_REVISION_WAIT_MS, rq->x->loop, awaited, w);
}
