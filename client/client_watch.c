/*
 * REST client: watches (client/client.h). A watch is one streamed answer; its bytes are cut into
 * event frames, each decoded into the watch's arena and handed to the callback. All on the I/O
 * thread.
 */
#include "client/client_internal.h"

#include "api/codec.h"
#include "base/mem.h"
#include <assert.h>
#include <pthread.h>

#define FRAME_BYTES_MAX (64u << 20) /* one event; an object is ≤ 3 MiB, its JSON a little more */

struct client_watch {
    struct client *client;
    struct http_call *call;
    const struct schema_message *schema;
    struct watch_callbacks callbacks;
    void *ctx;
    struct buf in; /* an incomplete frame */
    struct arena arena;
    enum media media;
    int http_status;
    char *content_type;
    bool stopped; /* no callback any more */
    bool ended;   /* `failure` says why */
    struct error failure;
};

static bool type_of(struct str name, enum watch_event_type *out)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eqz(name, names[i])) {
            *out = (enum watch_event_type)i;
            return true;
        }
    }
    return false;
}

static int decode_object(struct client_watch *w, const struct schema_message *m, struct str object,
                         void **out)
{
    return envelope_is(object) ? envelope_decode(&w->arena, m, object, out, &w->failure)
                               : json_decode(&w->arena, m, object, NULL, out, &w->failure);
}

/* An event of the server; false ends the watch with w->failure. */
static bool deliver(struct client_watch *w, struct str type_name, struct str object)
{
    enum watch_event_type type;
    void *message = NULL;
    if (str_eqz(type_name, "ERROR")) {
        if (decode_object(w, schema_get(Meta__V1__Status__SCHEMA), object, &message) == 0)
            status_message_to_error(message, NULL, &w->failure);
        return false;
    }
    if (!type_of(type_name, &type)) {
        error_set(&w->failure, ERR_INVALID, "watch event of type `%.*s`", STR_ARG(type_name));
        return false;
    }
    if (decode_object(w, w->schema, object, &message) < 0) {
        error_wrap(&w->failure, "watch event");
        return false;
    }
    w->callbacks.event(w->ctx, type, message, &w->arena);
    arena_reset(&w->arena);
    return true;
}

static void end_with_failure(struct client_watch *w)
{
    w->ended = true;
    if (w->failure.code == 0)
        error_set(&w->failure, ERR_INTERNAL, "watch broken off");
    http_call_cancel(w->call);
}

static void watch_data(struct http_call *call, void *ctx, struct str data)
{
    (void)call;
    struct client_watch *w = ctx;
    if (w->ended || w->stopped)
        return;
    buf_append_str(&w->in, data);
    if (w->in.failed) {
        error_set(&w->failure, ERR_LIMIT, "watch event of more than %u bytes", FRAME_BYTES_MAX);
        end_with_failure(w);
        return;
    }
    if (w->http_status < 200 || w->http_status >= 300)
        return; /* a Status, read at the end */
    size_t used = 0;
    while (!w->stopped) {
        struct str type, object;
        struct str rest = str_slice(buf_str(&w->in), used, w->in.len);
        ptrdiff_t n = watch_event_read(rest, w->media, &type, &object, &w->failure);
        if (n == 0)
            break;
        if (n < 0 || !deliver(w, type, object)) {
            end_with_failure(w);
            return;
        }
        used += (size_t)n;
    }
    buf_consume(&w->in, used);
    if (w->in.len == 0 && w->in.cap > 65536) {
        buf_free(&w->in); /* a burst does not cost memory for ever */
        buf_init_limited(&w->in, FRAME_BYTES_MAX);
    }
}

static void watch_headers(struct http_call *call, void *ctx, const struct http_response *r)
{
    (void)call;
    struct client_watch *w = ctx;
    struct str type = http_response_header(r, "content-type");
    w->http_status = r->status;
    mem_free(w->content_type);
    w->content_type = mem_strndup(type.p ? type.p : "", type.n);
    w->media = str_has_prefix(type, STR("application/json")) ? MEDIA_JSON : MEDIA_PROTOBUF;
}

static void watch_free(struct client_watch *w)
{
    buf_free(&w->in);
    arena_free(&w->arena);
    mem_free(w->content_type);
    mem_free(w);
}

static void watch_done(struct http_call *call, void *ctx, const struct http_response *r,
                       const struct error *err)
{
    (void)call;
    (void)r;
    struct client_watch *w = ctx;
    if (!w->ended) {
        if (err->code)
            w->failure = *err;
        else
            status_to_error(w->http_status, w->content_type, buf_str(&w->in), NULL, &w->failure);
    }
    if (!w->stopped) {
        w->stopped = true;
        w->callbacks.end(w->ctx, &w->failure);
    }
    watch_free(w);
}

struct client_watch *client_watch_start(struct client *c, const struct resource *r, const char *ns,
                                        const struct client_options *o, uint32_t timeout_s,
                                        const struct watch_callbacks *callbacks, void *ctx)
{
    assert(loop_is_current(c->loop));
    struct client_watch *w = mem_zalloc(sizeof *w);
    w->client = c;
    w->schema =
        schema_get(o && o->metadata_only ? Meta__V1__PartialObjectMetadata__SCHEMA : r->message);
    w->callbacks = *callbacks;
    w->ctx = ctx;
    buf_init_limited(&w->in, FRAME_BYTES_MAX);
    arena_init(&w->arena);
    struct buf path;
    buf_init(&path);
    request_path(&path, r, ns, NULL, o, false);
    request_query(&path, "watch", "true");
    request_query(&path, "allowWatchBookmarks", "true");
    if (timeout_s) {
        char number[16];
        snprintf(number, sizeof number, "%u", timeout_s);
        request_query(&path, "timeoutSeconds", number);
    }
    struct http_header accept = {STR("accept"), str_from(request_accept(o, false))};
    struct http_request q = {.method = "GET",
                             .path = buf_cstr(&path),
                             .headers = &accept,
                             .headers_len = 1,
                             .header_timeout_ms = CALL_TIMEOUT_MS,
                             .stream = true};
    static const struct http_call_events events = {
        .on_headers = watch_headers, .on_data = watch_data, .on_done = watch_done};
    w->call = http_client_send(c->http, &q, &events, w);
    buf_free(&path);
    return w;
}

void client_watch_stop(struct client_watch *w)
{
    w->stopped = true;
    if (!w->ended)
        http_call_cancel(w->call); /* watch_done frees w */
}

/* ---------------------------------------------------------------------------- blocking form --- */

struct watch_run {
    struct loop_task task;
    struct client *client;
    const struct resource *resource;
    const char *ns;
    const struct client_options *options;
    bool (*event)(void *ctx, enum watch_event_type type, void *object);
    void *ctx;
    struct client_watch *watch;
    struct error *err;
    int result;
    bool finished;
    pthread_mutex_t lock;
    pthread_cond_t cond;
};

static void run_finish(struct watch_run *x)
{
    pthread_mutex_lock(&x->lock);
    x->finished = true;
    pthread_cond_signal(&x->cond);
    pthread_mutex_unlock(&x->lock);
}

static void run_event(void *ctx, enum watch_event_type type, void *object, struct arena *a)
{
    (void)a;
    struct watch_run *x = ctx;
    if (!x->event(x->ctx, type, object)) {
        client_watch_stop(x->watch);
        run_finish(x);
    }
}

static void run_end(void *ctx, const struct error *err)
{
    struct watch_run *x = ctx;
    if (err->code)
        x->result = error_set(x->err, err->code, "%s", err->message);
    run_finish(x);
}

static void run_start(struct loop_task *task)
{
    struct watch_run *x = container_of(task, struct watch_run, task);
    static const struct watch_callbacks callbacks = {.event = run_event, .end = run_end};
    x->watch = client_watch_start(x->client, x->resource, x->ns, x->options, 0, &callbacks, x);
}

int client_watch_run(struct client *c, const struct resource *r, const char *ns,
                     const struct client_options *o,
                     bool (*event)(void *ctx, enum watch_event_type type, void *object), void *ctx,
                     struct error *err)
{
    assert(!loop_is_current(c->loop));
    struct watch_run x = {.task.fn = run_start,
                          .client = c,
                          .resource = r,
                          .ns = ns,
                          .options = o,
                          .event = event,
                          .ctx = ctx,
                          .err = err,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .cond = PTHREAD_COND_INITIALIZER};
    loop_post(c->loop, &x.task);
    pthread_mutex_lock(&x.lock);
    while (!x.finished)
        pthread_cond_wait(&x.cond, &x.lock);
    pthread_mutex_unlock(&x.lock);
    return x.result;
}
