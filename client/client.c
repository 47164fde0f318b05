/*
 * REST client: construction, request paths, raw requests and the translation of Status into errors
 * (client/client.h). Exchanges are in client_exchange.c, the typed verbs in client_objects.c, watches
 * in client_watch.c.
 */
#include "client/client_internal.h"

#include "api/codec.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kubeconfig.h"
#include "net/tls.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define TOKEN_RELOAD_MS 60000
#define TOKEN_BYTES_MAX 65536
#define PING_INTERVAL_MS 10000 /* a server that froze is left for the next within 25 s */

/* ---------------------------------------------------------------------------- construction --- */

static struct client_config *config_copy(struct arena *a, const struct client_config *in)
{
    struct client_config *c = arena_new(a, struct client_config);
    *c = *in;
    c->servers = arena_array(a, const char *, in->servers_len + 1);
    for (size_t i = 0; i < in->servers_len; i++)
        c->servers[i] = arena_strdup(a, in->servers[i]);
    c->ca_pem = str_make(arena_dup(a, in->ca_pem.p, in->ca_pem.n), in->ca_pem.n);
    c->cert_pem = str_make(arena_dup(a, in->cert_pem.p, in->cert_pem.n), in->cert_pem.n);
    c->key_pem = str_make(arena_dup(a, in->key_pem.p, in->key_pem.n), in->key_pem.n);
    const char **texts[] = {&c->token, &c->token_file, &c->server_name, &c->ns, &c->user};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = *texts[i] ? arena_strdup(a, *texts[i]) : NULL;
    return c;
}

static char *read_token(const char *path, struct error *err)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        error_errno(err, ERR_IO, errno, "open token file %s", path);
        return NULL;
    }
    char *text = mem_alloc(TOKEN_BYTES_MAX);
    size_t n = fread(text, 1, TOKEN_BYTES_MAX - 1, f);
    fclose(f);
    struct str t = str_trim(str_make(text, n));
    char *token = NULL;
    if (t.n) /* without one we would be nobody; it may be there in a minute */
        token = mem_strndup(t.p, t.n);
    else
        error_set(err, ERR_INVALID, "token file %s is empty", path);
    mem_free(text);
    return token;
}

static void token_reload(struct loop_timer *timer)
{
    struct client *c = container_of(timer, struct client, token_timer);
    struct error err = {0};
    char *token = read_token(c->config->token_file, &err);
    if (token)
        http_client_set_token(c->http, token);
    else
        log_warn("client", "cannot read token again, keeping the old one error=%s", err.message);
    mem_free(token);
    loop_timer_start(&c->token_timer, TOKEN_RELOAD_MS);
}

static void token_timer_start(void *arg)
{
    struct client *c = arg;
    loop_timer_start(&c->token_timer, TOKEN_RELOAD_MS);
}

static void close_on_loop(void *arg)
{
    struct client *c = arg;
    c->closing = true;
    loop_timer_stop(&c->token_timer);
    exchanges_cancel_waiting(c);
}

static int http_open(struct client *c, struct error *err)
{
    const struct client_config *k = c->config;
    struct tls_context *tls =
        tls_client_new(&(struct tls_options){.ca_pem = k->ca_pem,
                                             .cert_pem = k->cert_pem,
                                             .key_pem = k->key_pem,
                                             .insecure_skip_verify = k->insecure},
                       err);
    if (!tls)
        return error_wrap(err, "client certificates of user %s", k->user ? k->user : "");
    char *file_token = NULL;
    if (k->token_file && !(file_token = read_token(k->token_file, err))) {
        tls_context_unref(tls);
        return err ? err->code : ERR_IO;
    }
    c->http = http_client_new(c->loop,
                              &(struct http_client_options){
                                  .servers = k->servers,
                                  .tls = tls,
                                  .server_name = k->server_name,
                                  .bearer_token = file_token ? file_token : k->token,
                                  .user_agent = c->user_agent,
                                  .ping_interval_ms = PING_INTERVAL_MS,
                              },
                              err);
    mem_free(file_token);
    tls_context_unref(tls);
    return c->http ? 0 : ERR_INVALID;
}

int client_new(const struct client_config *config, const char *user_agent, struct client **out,
               struct error *err)
{
    if (config->servers_len == 0)
        return error_set(err, ERR_INVALID, "no API server named");
    struct client *c = mem_zalloc(sizeof *c);
    arena_init(&c->config_arena);
    c->config = config_copy(&c->config_arena, config);
    c->user_agent = mem_strdup(user_agent);
    list_init(&c->waiting);
    c->loop = loop_start("client");
    loop_timer_init(c->loop, &c->token_timer, token_reload);
    int rc = http_open(c, err);
    if (rc < 0) {
        client_free(c);
        return rc;
    }
    if (c->config->token_file)
        loop_call(c->loop, token_timer_start, c);
    *out = c;
    return 0;
}

int client_clone(struct client *c, struct client **out, struct error *err)
{
    return client_new(c->config, c->user_agent, out, err);
}

void client_free(struct client *c)
{
    if (!c)
        return;
    loop_call(c->loop, close_on_loop, c);
    if (c->http)
        http_client_free(c->http); /* ends what is under way with ERR_CANCELLED */
    loop_join(c->loop);
    mem_free(c->user_agent);
    arena_free(&c->config_arena);
    mem_free(c);
}

struct loop *client_loop(struct client *c)
{
    return c->loop;
}

const char *client_namespace(const struct client *c)
{
    return c->config->ns ? c->config->ns : "default";
}

/* ----------------------------------------------------------------------------------- paths --- */

static void append_escaped(struct buf *out, const char *s)
{
    percent_encode(out, str_from(s));
}

void request_query(struct buf *path, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    bool first = str_find_char(buf_str(path), '?') < 0;
    buf_append_char(path, first ? '?' : '&');
    buf_append_cstr(path, key);
    buf_append_char(path, '=');
    append_escaped(path, value);
}

static void query_options(struct buf *out, const struct client_options *o, bool write)
{
    char number[24];
    request_query(out, "resourceVersion", o->resource_version);
    /* With a limit and no more said it would be exactly that version, which is compacted some day. */
    if (o->limit > 0 && o->resource_version && *o->resource_version && !o->continue_token)
        request_query(out, "resourceVersionMatch", "NotOlderThan");
    request_query(out, "labelSelector", o->label_selector);
    request_query(out, "fieldSelector", o->field_selector);
    request_query(out, "continue", o->continue_token);
    if (o->limit > 0) {
        snprintf(number, sizeof number, "%lld", (long long)o->limit);
        request_query(out, "limit", number);
    }
    if (!write)
        return;
    request_query(out, "fieldManager", o->field_manager);
    if (o->dry_run)
        request_query(out, "dryRun", "All");
    if (o->force)
        request_query(out, "force", "true");
}

void request_path(struct buf *out, const struct resource *r, const char *ns, const char *name,
                  const struct client_options *o, bool write)
{
    if (*r->group)
        buf_printf(out, "/apis/%s/%s", r->group, r->version);
    else
        buf_printf(out, "/api/%s", r->version);
    if (r->namespaced && ns && *ns) {
        buf_append_cstr(out, "/namespaces/");
        append_escaped(out, ns);
    }
    buf_printf(out, "/%s", r->plural);
    if (name) {
        buf_append_char(out, '/');
        append_escaped(out, name);
    }
    if (o && o->subresource)
        buf_printf(out, "/%s", o->subresource);
    if (o)
        query_options(out, o, write);
}

const char *request_accept(const struct client_options *o, bool list)
{
    if (!o || !o->metadata_only)
        return MEDIA_TYPE_PROTOBUF ",application/json";
    if (list)
        return MEDIA_TYPE_PROTOBUF
            ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    return MEDIA_TYPE_PROTOBUF ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
                               "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
}

/* ---------------------------------------------------------------------------------- errors --- */

static const struct reason_code {
    const char *reason;
    int code;
} reason_codes[] = {
    {"NotFound", ERR_NOT_FOUND},
    {"AlreadyExists", ERR_EXISTS},
    {"Conflict", ERR_CONFLICT},
    {"Invalid", ERR_INVALID},
    {"BadRequest", ERR_INVALID},
    {"Expired", ERR_COMPACTED},
    {"Gone", ERR_COMPACTED},
    {"Unauthorized", ERR_DENIED},
    {"Forbidden", ERR_DENIED},
    {"Timeout", ERR_TIMEOUT},
    {"RequestEntityTooLarge", ERR_LIMIT},
    {"TooManyRequests", ERR_UNAVAILABLE},
    {"ServerTimeout", ERR_UNAVAILABLE},
    {"ServiceUnavailable", ERR_UNAVAILABLE},
    {"MethodNotAllowed", ERR_UNSUPPORTED},
    {"NotAcceptable", ERR_UNSUPPORTED},
    {"UnsupportedMediaType", ERR_UNSUPPORTED},
};

static int code_of_reason(const char *reason)
{
    for (size_t i = 0; i < ARRAY_LEN(reason_codes); i++)
        if (cstr_eq(reason, reason_codes[i].reason))
            return reason_codes[i].code;
    return ERR_INTERNAL;
}

static int code_of_http(int http_status)
{
    static const struct {
        int http, code;
    } table[] = {
        {400, ERR_INVALID},     {401, ERR_DENIED},      {403, ERR_DENIED},   {404, ERR_NOT_FOUND},
        {405, ERR_UNSUPPORTED}, {406, ERR_UNSUPPORTED}, {409, ERR_CONFLICT}, {410, ERR_COMPACTED},
        {413, ERR_LIMIT},       {415, ERR_UNSUPPORTED}, {422, ERR_INVALID},  {429, ERR_UNAVAILABLE},
        {502, ERR_UNAVAILABLE}, {503, ERR_UNAVAILABLE}, {504, ERR_TIMEOUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].http == http_status)
            return table[i].code;
    return ERR_INTERNAL;
}

int status_message_to_error(const Meta__V1__Status *s, struct client_status *status,
                            struct error *err)
{
    if (status) {
        status->http_status = s->code;
        snprintf(status->reason, sizeof status->reason, "%s", s->reason ? s->reason : "");
        if (s->details) {
            if (s->details->retry_after_seconds > 0)
                status->retry_after_s = s->details->retry_after_seconds;
            if (s->details->n_causes > 0)
                snprintf(status->cause, sizeof status->cause, "%s", s->details->causes[0]->reason);
        }
    }
    int code = s->reason && *s->reason ? code_of_reason(s->reason) : code_of_http(s->code);
    return error_set(err, code, "%s",
                     s->message && *s->message ? s->message : (s->reason ? s->reason : "failed"));
}

int status_to_error(int http_status, const char *content_type, struct str body,
                    struct client_status *status, struct error *err)
{
    if (status) {
        memset(status, 0, sizeof *status);
        status->http_status = http_status;
        status->retry_after_s = -1;
    }
    if (http_status >= 200 && http_status < 300)
        return 0;
    struct arena a;
    arena_init(&a);
    void *s = NULL;
    int rc;
    if (decode_body(&a, schema_get(Meta__V1__Status__SCHEMA), content_type, body, &s, NULL) == 0) {
        rc = status_message_to_error(s, status, err);
        if (status)
            status->http_status = http_status;
    } else {
        struct str text = str_slice(str_trim(body), 0, 200);
        rc = error_set(err, code_of_http(http_status), "HTTP status %d: %.*s", http_status,
                       STR_ARG(text));
    }
    arena_free(&a);
    return rc;
}

int decode_body(struct arena *a, const struct schema_message *m, const char *content_type,
                struct str body, void **out, struct error *err)
{
    if (envelope_is(body))
        return envelope_decode(a, m, body, out, err);
    if (!str_has_prefix(str_from(content_type), STR("application/json")))
        return error_set(err, ERR_INVALID, "answer of content type `%s`",
                         content_type ? content_type : "");
    return json_decode(a, m, body, NULL, out, err);
}

/* ----------------------------------------------------------------------------- raw requests --- */

int client_raw(struct client *c, const struct client_request *q, struct arena *a,
               struct client_response *out, struct error *err)
{
    struct http_header headers[2] = {
        {STR("accept"), str_from(q->accept ? q->accept : "application/json")},
        {STR("content-type"), str_from(q->content_type)},
    };
    struct http_request request = {.method = q->method ? q->method : "GET",
                                   .path = q->path,
                                   .headers = headers,
                                   .headers_len = q->content_type ? 2 : 1,
                                   .body = q->body};
    struct http_response r;
    int rc = client_exchange(c, &request, q->timeout_ms, a, &r, err);
    if (rc < 0)
        return rc;
    *out = (struct client_response){.http_status = r.status, .body = r.body, .content_type = ""};
    struct arena_text warnings = {.a = a};
    struct str type = http_response_header(&r, "content-type");
    if (type.p)
        out->content_type = arena_strndup(a, type.p, type.n);
    for (size_t i = 0; i < r.headers_len; i++)
        if (str_eqz(r.headers[i].name, "warning"))
            arena_text_addf(&warnings, "%s%.*s", warnings.len ? "\n" : "",
                            STR_ARG(r.headers[i].value));
    out->warnings = warnings.s;
    return 0;
}

int client_check(const struct client_response *response, struct client_status *status,
                 struct error *err)
{
    return status_to_error(response->http_status, response->content_type, response->body, status,
                           err);
}

struct raw_async {
    void (*done)(void *ctx, const struct client_response *response, const struct error *err);
    void *ctx;
};

static void raw_finish(void *ctx, const struct http_response *r, const struct error *err)
{
    struct raw_async *x = ctx;
    if (err) {
        x->done(x->ctx, NULL, err);
    } else {
        struct str type = http_response_header(r, "content-type");
        char *t = mem_strndup(type.p ? type.p : "", type.n);
        struct client_response out = {.http_status = r->status, .body = r->body, .content_type = t};
        x->done(x->ctx, &out, NULL);
        mem_free(t);
    }
    mem_free(x);
}

void client_raw_async(struct client *c, const struct client_request *q,
                      void (*done)(void *ctx, const struct client_response *response,
                                   const struct error *err),
                      void *ctx)
{
    struct raw_async *x = mem_zalloc(sizeof *x);
    x->done = done;
    x->ctx = ctx;
    client_exchange_async(c, q->method ? q->method : "GET", str_from(q->path),
                          q->accept ? q->accept : "application/json", q->content_type, q->body,
                          q->timeout_ms, raw_finish, x);
}

/* ------------------------------------------------------------------------ streamed answers --- */

struct raw_stream {
    struct loop_task task;
    struct client *client;
    const struct client_request *request;
    bool (*on_data)(void *ctx, struct str data);
    void *ctx;
    int http_status;
    char *content_type;
    struct buf error_body;
    bool stopped; /* by on_data */
    struct error *err;
    int result;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
};

static void stream_headers(struct http_call *call, void *ctx, const struct http_response *r)
{
    (void)call;
    struct raw_stream *s = ctx;
    s->http_status = r->status;
    struct str type = http_response_header(r, "content-type");
    s->content_type = mem_strndup(type.p ? type.p : "", type.n);
}

static void stream_data(struct http_call *call, void *ctx, struct str data)
{
    struct raw_stream *s = ctx;
    if (s->http_status < 200 || s->http_status >= 300) {
        buf_append_str(&s->error_body, data);
    } else if (!s->stopped && !s->on_data(s->ctx, data)) {
        s->stopped = true;
        http_call_cancel(call);
    }
}

static void stream_done(struct http_call *call, void *ctx, const struct http_response *r,
                        const struct error *err)
{
    (void)call;
    (void)r;
    struct raw_stream *s = ctx;
    if (s->stopped)
        s->result = 0;
    else if (err->code)
        s->result = error_set(s->err, err->code, "%s", err->message);
    else
        s->result =
            status_to_error(s->http_status, s->content_type, buf_str(&s->error_body), NULL, s->err);
    pthread_mutex_lock(&s->lock);
    s->finished = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void stream_send(struct loop_task *task)
{
    struct raw_stream *s = container_of(task, struct raw_stream, task);
    const struct client_request *q = s->request;
    struct http_header headers[2] = {
        {STR("accept"), str_from(q->accept ? q->accept : "*/*")},
        {STR("content-type"), str_from(q->content_type)},
    };
    struct http_request request = {.method = q->method ? q->method : "GET",
                                   .path = q->path,
                                   .headers = headers,
                                   .headers_len = q->content_type ? 2 : 1,
                                   .body = q->body,
                                   .header_timeout_ms =
                                       q->timeout_ms ? q->timeout_ms : CALL_TIMEOUT_MS,
                                   .stream = true};
    static const struct http_call_events events = {
        .on_headers = stream_headers, .on_data = stream_data, .on_done = stream_done};
    http_client_send(s->client->http, &request, &events, s);
}

int client_raw_stream(struct client *c, const struct client_request *q,
                      bool (*on_data)(void *ctx, struct str data), void *ctx, struct error *err)
{
    assert(!loop_is_current(c->loop));
    struct raw_stream s = {.task.fn = stream_send,
                           .client = c,
                           .request = q,
                           .on_data = on_data,
                           .ctx = ctx,
                           .err = err,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .cond = PTHREAD_COND_INITIALIZER};
    buf_init_limited(&s.error_body, ERROR_BODY_MAX);
    loop_post(c->loop, &s.task);
    pthread_mutex_lock(&s.lock);
    while (!s.finished)
        pthread_cond_wait(&s.cond, &s.lock);
    pthread_mutex_unlock(&s.lock);
    buf_free(&s.error_body);
    mem_free(s.content_type);
    return s.result;
}
