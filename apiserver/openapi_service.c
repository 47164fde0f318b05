/*
 * OpenAPI on the wire: see openapi_service.h.
 */
#include "apiserver/openapi_service.h"
#include "base/clock.h"
#include "base/gzip.h"
#include "base/map.h"
#include "base/mem.h"
#include <openssl/sha.h>
#include <pthread.h>
#include <time.h>

#define HASH_SIZE (2 * SHA256_DIGEST_LENGTH + 1)
#define PLAIN_PIECE (16u << 10)
#define PLAIN_QUEUE (128u << 10) /* waits for a slow peer */
#define JSON_TYPE "application/json"
#define V2_PROTOBUF "application/com.github.proto-openapi.spec.v2.v1+protobuf"
/* What old clients ask for; they are answered with the newer name, as by others. */
#define V2_PROTOBUF_OLD "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

/* A document; its body is made at the first request for it. */
struct document {
    char hash[HASH_SIZE];
    struct blob *body; /* compressed; NULL: only the hash is known */
    size_t plain_len;
    bool built_in; /* custom resources have no part in it */
};

struct openapi_service {
    pthread_mutex_t lock;
    struct openapi_source source;
    uint64_t generation;  /* of the custom resources that the documents were made with */
    struct map documents; /* name → struct document; "v2", "v2.protobuf", "v3" or a path of v3 */
};

struct openapi_service *openapi_service_new(void)
{
    struct openapi_service *s = mem_zalloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    map_init(&s->documents);
    return s;
}

static void document_free(struct document *d)
{
    blob_unref(d->body);
    mem_free(d);
}

void openapi_service_free(struct openapi_service *s)
{
    if (!s)
        return;
    struct map_iter it = {0};
    while (map_next(&s->documents, &it))
        document_free(it.value);
    map_free(&s->documents);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

void openapi_service_source(struct openapi_service *s, const struct openapi_source *source)
{
    s->source = *source;
}

/* ---- making ---- */

static bool is_built_in(const char *name)
{
    const char *rest = strncmp(name, "apis/", 5) == 0 ? name + 5 : NULL;
    if (strcmp(name, "v2") == 0 || strcmp(name, "v2.protobuf") == 0 || strcmp(name, "v3") == 0)
        return false;
    for (size_t i = 0; rest && i < group_versions_len; i++)
        if (strcmp(rest, group_versions[i].api_version) == 0 ||
            strcmp(rest, group_versions[i].group) == 0)
            return true;
    return !rest;
}

struct making {
    struct openapi_service *s;
    const char *name;
    struct buf *out;
    bool found;
};

static struct document *get(struct making *m, const char *name, bool body,
                            const struct openapi_customs *customs);

struct index_entry {
    struct making *m;
    const struct openapi_customs *customs;
    bool some;
};

static void index_path(void *ctx, const char *path)
{
    struct index_entry *e = ctx;
    struct document *d = get(e->m, path, false, e->customs);
    buf_printf(e->m->out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}",
               e->some ? "," : "", path, path, d->hash);
    e->some = true;
}

static bool write_document(struct making *m, const char *name,
                           const struct openapi_customs *customs, struct buf *out)
{
    if (strcmp(name, "v2") == 0) {
        openapi_v2_json(customs, out);
        return true;
    }
    if (strcmp(name, "v2.protobuf") == 0) {
        openapi_v2_protobuf(customs, out);
        return true;
    }
    if (strcmp(name, "v3") != 0)
        return openapi_v3_document(str_from(name), customs, out);
    struct making inner = {m->s, name, out, false};
    struct index_entry e = {&inner, customs, false};
    buf_append_cstr(out, "{\"paths\":{");
    openapi_v3_paths(customs, index_path, &e);
    buf_append_cstr(out, "}}");
    return true;
}

/* The document, with its body when that is wanted; NULL: there is none. Locked. */
static struct document *get(struct making *m, const char *name, bool body,
                            const struct openapi_customs *customs)
{
    struct openapi_service *s = m->s;
    struct document *d = map_get(&s->documents, str_from(name));
    if (d && (d->body || !body))
        return d;
    struct buf b;
    buf_init(&b);
    buf_reserve(&b, OPENAPI_ROOM);
    if (write_document(m, name, customs, &b)) {
        unsigned char sum[SHA256_DIGEST_LENGTH];
        if (!d) {
            d = mem_zalloc(sizeof *d);
            d->built_in = is_built_in(name);
            map_put(&s->documents, str_from(name), d);
        }
        SHA256((const unsigned char *)b.data, b.len, sum);
        for (size_t i = 0; i < sizeof sum; i++)
            snprintf(d->hash + 2 * i, 3, "%02X", sum[i]);
        if (body) {
            struct buf small;
            buf_init(&small);
            gzip_compress(buf_str(&b), GZIP_SMALL, &small);
            d->body = blob_from(small.data, small.len);
            d->plain_len = b.len;
            buf_free(&small);
        }
    }
    buf_free(&b);
    return d;
}

static void make_one(void *arg, const struct openapi_customs *customs)
{
    struct making *m = arg;
    m->found = get(m, m->name, true, customs) != NULL;
}

/* Forget what was made with other custom resources. */
static void forget(struct openapi_service *s)
{
    for (bool found = true; found;) {
        struct map_iter it = {0};
        found = false;
        while (!found && map_next(&s->documents, &it)) {
            struct document *d = it.value;
            if (d->built_in)
                continue;
            found = true;
            map_remove(&s->documents, it.key);
            document_free(d);
        }
    }
}

/* What an answer needs of a document. */
struct taken {
    struct blob *body; /* one reference; NULL: there is no such document */
    size_t plain_len;
    char hash[HASH_SIZE];
};

static struct taken take(struct openapi_service *s, const char *name)
{
    struct taken t = {0};
    pthread_mutex_lock(&s->lock);
    uint64_t now = s->source.generation ? s->source.generation(s->source.ctx) : 0;
    if (now != s->generation)
        forget(s);
    s->generation = now;
    struct document *d = map_get(&s->documents, str_from(name));
    if (!d || !d->body) {
        struct making m = {s, name, NULL, false};
        if (s->source.list)
            s->source.list(s->source.ctx, make_one, &m);
        else
            make_one(&m, NULL);
        d = m.found ? map_get(&s->documents, str_from(name)) : NULL;
    }
    if (d) {
        t.body = blob_ref(d->body);
        t.plain_len = d->plain_len;
        memcpy(t.hash, d->hash, HASH_SIZE);
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}

/* ---- answering ---- */

/* If-None-Match names the tag (weak or not), or anything. */
static bool none_match(struct str header, const char *etag)
{
    struct str part;
    while (header.n && str_split(&header, ',', &part)) {
        part = str_trim(part);
        if (str_has_prefix(part, STR("W/")))
            part = str_slice(part, 2, part.n);
        if (str_eqz(part, etag) || str_eqz(part, "*"))
            return true;
    }
    return false;
}

static const char *in_a_year(struct arena *a)
{
    char text[64];
    time_t then = (time_t)clock_wall_s() + 365 * 86400;
    struct tm tm;
    gmtime_r(&then, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return arena_strdup(a, text);
}

/* A document on its way to a peer that takes no gzip: expanded as the peer takes it. */
struct plain_answer {
    struct http_exchange *x;
    struct blob *body;
    struct gunzip *gunzip;
};

static void plain_end(struct plain_answer *p, bool whole)
{
    struct http_exchange *x = p->x;
    gunzip_free(p->gunzip);
    blob_unref(p->body);
    x->on_drain = NULL;
    x->on_close = NULL;
    if (whole)
        http_stream_end(x, NULL, 0);
    else
        http_abort(x);
}

static void plain_go_on(struct plain_answer *p)
{
    char piece[PLAIN_PIECE];
    while (http_stream_queued(p->x) < PLAIN_QUEUE) {
        ssize_t n = gunzip_read(p->gunzip, piece, sizeof piece);
        if (n <= 0) {
            plain_end(p, n == 0);
            return;
        }
        http_stream_write(p->x, str_make(piece, (size_t)n));
    }
}

static void plain_drain(struct http_exchange *x)
{
    struct rest *rq = x->user;
    plain_go_on(rq->op);
}

static void plain_close(struct http_exchange *x)
{
    struct rest *rq = x->user;
    plain_end(rq->op, false);
}

static void send_plain(struct rest *rq, const struct taken *t, struct http_header *h, size_t n)
{
    struct plain_answer *p = arena_new(rq->a, struct plain_answer);
    const char *length = arena_printf(rq->a, "%zu", t->plain_len);
    h[n++] = (struct http_header){STR("content-length"), str_from(length)};
    *p = (struct plain_answer){rq->x, blob_ref(t->body), gunzip_new(blob_str(t->body))};
    rq->op = p;
    http_stream_start(rq->x, 200, h, n);
    rq->x->on_drain = plain_drain;
    rq->x->on_close = plain_close;
    plain_go_on(p);
}

static void send_body(struct rest *rq, const struct taken *t, const char *type, bool immutable)
{
    const char *etag = arena_printf(rq->a, "\"%s\"", t->hash);
    struct http_header h[7];
    size_t n = 0;
    h[n++] = (struct http_header){STR("content-type"), str_from(type)};
    h[n++] = (struct http_header){STR("etag"), str_from(etag)};
    h[n++] = (struct http_header){STR("vary"), STR("Accept, Accept-Encoding")};
    h[n++] = (struct http_header){STR("cache-control"),
                                  immutable ? STR("public, immutable") : STR("no-cache, private")};
    if (immutable)
        h[n++] = (struct http_header){STR("expires"), str_from(in_a_year(rq->a))};
    if (none_match(http_header_get(rq->x, "if-none-match"), etag)) {
        rq->code = 304;
        http_respond(rq->x, 304, h, n, STR_NONE);
        return;
    }
    rq->code = 200;
    if (negotiate_gzip(http_header_get(rq->x, "accept-encoding"))) {
        h[n++] = (struct http_header){STR("content-encoding"), STR("gzip")};
        http_respond_blob(rq->x, 200, h, n, t->body);
    } else {
        send_plain(rq, t, h, n);
    }
}

static void not_acceptable(struct rest *rq)
{
    rq->code = 406;
    http_respond(rq->x, 406, NULL, 0, STR_NONE);
}

static bool wants_any(struct str type)
{
    return str_eqz(type, "*/*") || str_ieq(type, STR("application/*"));
}

/* The most wanted form of v2: 1 protobuf, 0 JSON, -1 neither. */
static int v2_form(struct str accept)
{
    struct accept_clause c;
    int form = -1;
    double best = 0;
    if (str_trim(accept).n == 0)
        return 0;
    while (accept_clause_next(&accept, &c)) {
        bool json = wants_any(c.type) || str_ieq(c.type, STR(JSON_TYPE));
        bool protobuf = str_ieq(c.type, STR(V2_PROTOBUF)) || str_ieq(c.type, STR(V2_PROTOBUF_OLD));
        if (c.q <= best || (!json && !protobuf))
            continue;
        best = c.q;
        form = protobuf;
    }
    return form;
}

static void serve_v2(struct openapi_service *s, struct rest *rq)
{
    int form = v2_form(http_header_get(rq->x, "accept"));
    if (form < 0) {
        not_acceptable(rq);
        return;
    }
    struct taken t = take(s, form ? "v2.protobuf" : "v2");
    send_body(rq, &t, form ? V2_PROTOBUF : JSON_TYPE, false);
    blob_unref(t.body);
}

static bool accepts_json(struct str accept)
{
    struct accept_clause c;
    if (str_trim(accept).n == 0)
        return true;
    while (accept_clause_next(&accept, &c))
        if (c.q > 0 && (wants_any(c.type) || str_ieq(c.type, STR(JSON_TYPE))))
            return true;
    return false;
}

/* The URL in the index names the document's content: an old one leads to the new one. */
static void redirect(struct rest *rq, const char *name, const char *hash)
{
    const char *to = arena_printf(rq->a, "/openapi/v3/%s?hash=%s", name, hash);
    struct http_header h[] = {{STR("location"), str_from(to)}};
    rq->code = 301;
    http_respond(rq->x, 301, h, 1, STR_NONE);
}

static void serve_v3(struct openapi_service *s, struct rest *rq, const char *name)
{
    bool index = !*name;
    struct taken t = {0};
    if (!accepts_json(http_header_get(rq->x, "accept"))) {
        not_acceptable(rq);
        return;
    }
    /* The names of other documents are no paths of v3. */
    bool other = strchr(name, '.') == NULL && (strcmp(name, "v2") == 0 || strcmp(name, "v3") == 0);
    if (!other && strcmp(name, "v2.protobuf") != 0)
        t = take(s, index ? "v3" : name);
    const char *wanted = query_get(rq->a, rq->info.query, "hash");
    bool named = !index && wanted && *wanted;
    if (!t.body)
        rest_status(rq, status_path_not_found(rq->a));
    else if (named && strcmp(wanted, t.hash) != 0)
        redirect(rq, name, t.hash);
    else
        send_body(rq, &t, JSON_TYPE, named);
    blob_unref(t.body);
}

bool openapi_service_serve(struct openapi_service *s, struct rest *rq)
{
    char *path = arena_strdup(rq->a, rq->info.path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    if (strcmp(path, "/openapi/v2") == 0) {
        serve_v2(s, rq);
        return true;
    }
    if (strncmp(path, "/openapi/v3", 11) != 0 || (path[11] && path[11] != '/'))
        return false;
    serve_v3(s, rq, path[11] ? path + 12 : "");
    return true;
}
