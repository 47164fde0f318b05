/*
 * A small API server for tests (fake_api.h). All state belongs to its loop; the test's calls go there by loop_call.
 */
#include "tests/unit/fake_api.h"

#include "api/codec.h"
#include "api/meta.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/vec.h"
#include "net/http.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct change {
    uint64_t revision;
    const char *type; /* NULL: bookmark */
    struct str envelope;
};

struct stored {
    char *ns, *name, *uid, *node;
    uint64_t revision;
};

struct watcher {
    struct list link;
    struct fake_api *fake;
    struct http_exchange *x;
};

struct fake_api {
    struct loop *loop;
    struct http_server *server;
    int port;
    char url[64];
    VEC(struct stored) pods; /* sorted by ns/name */
    VEC(struct change) history;
    struct list watchers;
    uint64_t revision, compacted, next_uid;
    unsigned refuse;
    int refuse_status, refuse_after_s, watch_status;
    bool lags;
    struct fake_counts counts;
};

#define PROTOBUF "application/vnd.kubernetes.protobuf"

/* -------------------------------------------------------------------------------------- state --- */

static int find(const struct fake_api *f, const char *ns, const char *name)
{
    for (size_t i = 0; i < f->pods.len; i++)
        if (cstr_eq(f->pods.items[i].ns, ns) && cstr_eq(f->pods.items[i].name, name))
            return (int)i;
    return -1;
}

static Core__V1__Pod *pod_of(struct arena *a, const struct stored *s, uint64_t revision)
{
    Core__V1__Pod *pod = api_new(a, Core__V1__Pod);
    pod->metadata->namespace_ = s->ns;
    pod->metadata->name = s->name;
    pod->metadata->uid = s->uid;
    pod->metadata->resource_version = arena_printf(a, "%llu", (unsigned long long)revision);
    pod->spec->node_name = s->node;
    return pod;
}

static struct str encode(const void *object)
{
    struct buf b;
    buf_init(&b);
    envelope_encode(object, &b);
    size_t n;
    char *p = buf_take(&b, &n);
    return str_make(p, n);
}

static void send_event(struct http_exchange *x, const char *type, struct str envelope)
{
    struct buf b;
    buf_init(&b);
    watch_event_write(&b, MEDIA_PROTOBUF, type, envelope);
    http_stream_write(x, buf_str(&b));
    buf_free(&b);
}

static void record(struct fake_api *f, const char *type, const struct stored *s)
{
    struct arena a;
    arena_init(&a);
    struct change c = {f->revision, type, encode(pod_of(&a, s, f->revision))};
    vec_push(&f->history, c);
    list_for_each (it, &f->watchers)
        send_event(list_entry(it, struct watcher, link)->x, type, c.envelope);
    arena_free(&a);
}

static int by_key(const void *x, const void *y)
{
    const struct stored *a = x, *b = y;
    int d = strcmp(a->ns, b->ns);
    return d ? d : strcmp(a->name, b->name);
}

static struct stored *put(struct fake_api *f, const char *ns, const char *name, const char *node)
{
    int i = find(f, ns, name);
    f->revision++;
    if (i < 0) {
        vec_push(&f->pods,
                 (struct stored){.ns = mem_strdup(ns),
                                 .name = mem_strdup(name),
                                 .uid = mem_printf("uid-%llu", (unsigned long long)++f->next_uid),
                                 .node = mem_strdup("")});
        qsort(f->pods.items, f->pods.len, sizeof *f->pods.items, by_key);
        i = find(f, ns, name);
    }
    struct stored *s = &f->pods.items[i];
    bool fresh = s->revision == 0;
    mem_free(s->node);
    s->node = mem_strdup(node ? node : "");
    s->revision = f->revision;
    record(f, fresh ? "ADDED" : "MODIFIED", s);
    return s;
}

static void stored_free(struct stored *s)
{
    mem_free(s->ns);
    mem_free(s->name);
    mem_free(s->uid);
    mem_free(s->node);
}

static bool drop(struct fake_api *f, const char *ns, const char *name)
{
    int i = find(f, ns, name);
    if (i < 0)
        return false;
    f->revision++;
    record(f, "DELETED", &f->pods.items[i]);
    stored_free(&f->pods.items[i]);
    vec_remove(&f->pods, (size_t)i);
    return true;
}

/* ------------------------------------------------------------------------------------ answers --- */

static void answer(struct http_exchange *x, int status, const void *object)
{
    struct http_header header = {STR("content-type"), STR(PROTOBUF)};
    struct str body = encode(object);
    http_respond(x, status, &header, 1, body);
    mem_free((char *)body.p);
}

static void fail(struct http_exchange *x, int code, const char *reason, const char *cause)
{
    Meta__V1__Status *s =
        status_failure(&x->arena, code, reason, "", "pods", "", "refused with %d", code);
    if (cause) {
        Meta__V1__StatusCause *c = api_new(&x->arena, Meta__V1__StatusCause);
        c->reason = (char *)cause;
        if (!s->details)
            s->details = api_new(&x->arena, Meta__V1__StatusDetails);
        api_append(&x->arena, s->details, causes, c);
    }
    answer(x, code, s);
}

static uint64_t number(struct http_exchange *x, const char *parameter)
{
    uint64_t v = 0;
    struct str text = http_query_get(x, parameter);
    return text.n && str_to_u64(text, &v) ? v : 0;
}

static void serve_list(struct fake_api *f, struct http_exchange *x, const char *ns)
{
    uint64_t at_least = number(x, "resourceVersion"), limit = number(x, "limit"),
             from = number(x, "continue");
    f->counts.lists++;
    if (at_least > f->revision) {
        fail(x, 504, "Timeout", "ResourceVersionTooLarge");
        return;
    }
    bool exact = at_least && limit && !http_query_get(x, "resourceVersionMatch").n;
    if (exact && at_least != f->revision) {
        fail(x, 410, "Expired", NULL);
        return;
    }
    if (f->lags && !at_least && !from) {
        fail(x, 504, "Timeout", NULL);
        return;
    }
    Core__V1__PodList *list = api_new(&x->arena, Core__V1__PodList);
    list->metadata->resource_version =
        arena_printf(&x->arena, "%llu", (unsigned long long)f->revision);
    size_t i = from;
    for (; i < f->pods.len && (!limit || list->n_items < limit); i++)
        if (!ns || cstr_eq(ns, f->pods.items[i].ns))
            api_append(&x->arena, list, items,
                       pod_of(&x->arena, &f->pods.items[i], f->pods.items[i].revision));
    if (i < f->pods.len)
        list->metadata->continue_ = arena_printf(&x->arena, "%zu", i);
    answer(x, 200, list);
}

static void watcher_gone(struct http_exchange *x)
{
    struct watcher *w = x->user;
    list_remove(&w->link);
    mem_free(w);
    x->user = NULL;
}

static void watch_closed(struct http_exchange *x)
{
    http_stream_end(x, NULL, 0);
}

static void serve_watch(struct fake_api *f, struct http_exchange *x)
{
    uint64_t from = number(x, "resourceVersion");
    f->counts.watches++;
    if (f->watch_status && f->watch_status != 200) {
        fail(x, f->watch_status, "", NULL);
        return;
    }
    if (from < f->compacted) {
        fail(x, 410, "Expired", NULL);
        return;
    }
    struct http_header header = {STR("content-type"), STR(PROTOBUF ";stream=watch")};
    http_stream_start(x, 200, &header, 1);
    if (f->watch_status) {
        http_stream_end(x, NULL, 0);
        return;
    }
    for (size_t i = 0; i < f->history.len; i++)
        if (f->history.items[i].revision > from)
            send_event(x, f->history.items[i].type, f->history.items[i].envelope);
    struct watcher *w = mem_zalloc(sizeof *w);
    w->fake = f;
    w->x = x;
    list_push_back(&f->watchers, &w->link);
    x->user = w;
    x->on_close = watch_closed;
    x->on_done = watcher_gone;
    if (from <= f->revision || f->lags)
        return;
    struct str status =
        encode(status_failure(&x->arena, 410, "Expired", "", "pods", "", "of the future"));
    send_event(x, "ERROR", status);
    mem_free((char *)status.p);
}

static void serve_write(struct fake_api *f, struct http_exchange *x, const char *ns,
                        const char *name)
{
    void *decoded;
    struct error err = {0};
    bool create = str_eqz(x->method, "POST");
    if (envelope_decode(&x->arena, schema_get(Core__V1__Pod__SCHEMA), x->body, &decoded, &err) <
        0) {
        fail(x, 400, "BadRequest", NULL);
        return;
    }
    Core__V1__Pod *pod = decoded;
    name = create ? pod->metadata->name : name;
    int i = find(f, ns, name);
    uint64_t expected = 0;
    str_to_u64(str_from(pod->metadata->resource_version), &expected);
    create ? f->counts.creates++ : f->counts.updates++;
    if (create && i >= 0) {
        fail(x, 409, "AlreadyExists", NULL);
    } else if (!create && i < 0) {
        fail(x, 404, "NotFound", NULL);
    } else if (!create && expected && expected != f->pods.items[i].revision) {
        fail(x, 409, "Conflict", NULL);
    } else {
        struct stored *s = put(f, ns, name, pod->spec->node_name);
        answer(x, create ? 201 : 200, pod_of(&x->arena, s, s->revision));
    }
}

static void serve_object(struct fake_api *f, struct http_exchange *x, const char *ns,
                         const char *name)
{
    if (str_eqz(x->method, "DELETE")) {
        f->counts.deletes++;
        if (drop(f, ns, name))
            answer(x, 200, status_success(&x->arena, "", "pods", name, ""));
        else
            fail(x, 404, "NotFound", NULL);
        return;
    }
    if (!str_eqz(x->method, "GET")) {
        serve_write(f, x, ns, name);
        return;
    }
    f->counts.gets++;
    int i = find(f, ns, name);
    if (i < 0)
        fail(x, 404, "NotFound", NULL);
    else
        answer(x, 200, pod_of(&x->arena, &f->pods.items[i], f->pods.items[i].revision));
}

static bool refused(struct fake_api *f, struct http_exchange *x)
{
    if (!f->refuse)
        return false;
    f->refuse--;
    f->counts.refused++;
    if (f->refuse_after_s < 0) {
        fail(x, f->refuse_status, "", NULL);
        return true;
    }
    struct http_header header = {STR("retry-after"),
                                 str_from(arena_printf(&x->arena, "%d", f->refuse_after_s))};
    http_respond(x, f->refuse_status, &header, 1, STR("busy"));
    return true;
}

/* /api/v1/pods, /api/v1/namespaces/<ns>/pods[/<name>] */
static void on_request(void *ctx, struct http_exchange *x)
{
    struct fake_api *f = ctx;
    char ns[64] = "", name[64] = "";
    const char *path = arena_strndup(&x->arena, x->path.p, x->path.n);
    if (refused(f, x))
        return;
    if (sscanf(path, "/api/v1/namespaces/%63[^/]/pods/%63[^/]", ns, name) == 2)
        serve_object(f, x, ns, name);
    else if (str_eqz(x->method, "POST") && sscanf(path, "/api/v1/namespaces/%63[^/]/pods", ns) == 1)
        serve_write(f, x, ns, "");
    else if (http_query_get(x, "watch").n)
        serve_watch(f, x);
    else
        serve_list(f, x, *ns ? ns : NULL);
}

/* --------------------------------------------------------------------------------- life cycle --- */

static void listen_at(struct fake_api *f, int port)
{
    char address[32];
    struct error err = {0};
    f->server = http_server_new(&(struct http_server_options){
        .loops = &f->loop, .loops_len = 1, .ctx = f, .on_request = on_request});
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    int rc = http_server_listen(f->server, address, NULL, &err);
    if (rc < 0)
        fprintf(stderr, "fake API server: %s\n", err.message);
    assert(rc == 0);
    f->port = http_server_port(f->server, 0);
}

struct fake_api *fake_api_new(void)
{
    struct fake_api *f = mem_zalloc(sizeof *f);
    list_init(&f->watchers);
    f->revision = 1;
    f->loop = loop_start("fake-api");
    listen_at(f, 0);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", f->port);
    return f;
}

void fake_die(struct fake_api *f)
{
    http_server_stop_wait(f->server, 0);
    http_server_free(f->server);
    f->server = NULL;
}

void fake_revive(struct fake_api *f)
{
    listen_at(f, f->port);
}

static void forget(void *arg)
{
    struct fake_api *f = arg;
    for (size_t i = 0; i < f->pods.len; i++)
        stored_free(&f->pods.items[i]);
    for (size_t i = 0; i < f->history.len; i++)
        mem_free((char *)f->history.items[i].envelope.p);
    vec_clear(&f->pods);
    vec_clear(&f->history);
}

void fake_api_free(struct fake_api *f)
{
    if (f->server)
        fake_die(f);
    loop_join(f->loop);
    forget(f);
    vec_free(&f->pods);
    vec_free(&f->history);
    mem_free(f);
}

const char *fake_api_url(const struct fake_api *f)
{
    return f->url;
}

/* ---------------------------------------------------------------------------- the test's calls --- */

struct call {
    struct fake_api *f, *from;
    const char *ns, *name, *node;
    unsigned times;
    int status, after_s;
    uint64_t revision;
    struct fake_counts counts;
};

static void do_put(void *arg)
{
    struct call *c = arg;
    c->revision = put(c->f, c->ns, c->name, c->node)->revision;
}

uint64_t fake_put_pod(struct fake_api *f, const char *ns, const char *name, const char *node)
{
    struct call c = {.f = f, .ns = ns, .name = name, .node = node};
    loop_call(f->loop, do_put, &c);
    return c.revision;
}

static void do_delete(void *arg)
{
    struct call *c = arg;
    drop(c->f, c->ns, c->name);
    c->revision = c->f->revision;
}

uint64_t fake_delete_pod(struct fake_api *f, const char *ns, const char *name)
{
    struct call c = {.f = f, .ns = ns, .name = name};
    loop_call(f->loop, do_delete, &c);
    return c.revision;
}

static void do_bookmark(void *arg)
{
    struct call *c = arg;
    c->revision = ++c->f->revision;
    struct arena a;
    arena_init(&a);
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    pod->metadata->resource_version = arena_printf(&a, "%llu", (unsigned long long)c->revision);
    struct str envelope = encode(pod);
    list_for_each (it, &c->f->watchers)
        send_event(list_entry(it, struct watcher, link)->x, "BOOKMARK", envelope);
    mem_free((char *)envelope.p);
    arena_free(&a);
}

uint64_t fake_bookmark(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_bookmark, &c);
    return c.revision;
}

static void do_revision(void *arg)
{
    struct call *c = arg;
    c->revision = c->f->revision;
    c->counts = c->f->counts;
}

uint64_t fake_revision(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_revision, &c);
    return c.revision;
}

struct fake_counts fake_counts(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_revision, &c);
    return c.counts;
}

static void do_compact(void *arg)
{
    struct call *c = arg;
    for (size_t i = 0; i < c->f->history.len; i++)
        mem_free((char *)c->f->history.items[i].envelope.p);
    vec_clear(&c->f->history);
    c->f->compacted = ++c->f->revision;
}

void fake_compact(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_compact, &c);
}

static void do_break(void *arg)
{
    struct call *c = arg;
    list_for_each_safe (it, &c->f->watchers)
        http_abort(list_entry(it, struct watcher, link)->x);
}

void fake_break_watches(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_break, &c);
}

static void do_refuse(void *arg)
{
    struct call *c = arg;
    c->f->refuse = c->times;
    c->f->refuse_status = c->status;
    c->f->refuse_after_s = c->after_s;
}

void fake_refuse(struct fake_api *f, unsigned times, int status, int retry_after_s)
{
    struct call c = {.f = f, .times = times, .status = status, .after_s = retry_after_s};
    loop_call(f->loop, do_refuse, &c);
}

static void do_watches(void *arg)
{
    struct call *c = arg;
    c->f->watch_status = c->status;
}

void fake_watches(struct fake_api *f, int status)
{
    struct call c = {.f = f, .status = status};
    loop_call(f->loop, do_watches, &c);
}

static void do_copy(void *arg)
{
    struct call *c = arg;
    struct fake_api *to = c->f, *from = c->from;
    forget(to);
    for (size_t i = 0; i < from->pods.len; i++) {
        const struct stored *s = &from->pods.items[i];
        vec_push(&to->pods, (struct stored){mem_strdup(s->ns), mem_strdup(s->name),
                                            mem_strdup(s->uid), mem_strdup(s->node), s->revision});
    }
    for (size_t i = 0; i < from->history.len; i++) {
        struct change ch = from->history.items[i];
        ch.envelope.p = mem_dup(ch.envelope.p, ch.envelope.n);
        vec_push(&to->history, ch);
    }
    to->revision = from->revision;
    to->compacted = from->compacted;
    to->next_uid = from->next_uid;
    to->lags = false;
}

/* Only while nothing changes in `from`. */
void fake_copy(struct fake_api *to, struct fake_api *from)
{
    struct call c = {.f = to, .from = from};
    loop_call(to->loop, do_copy, &c);
}

static void do_lag(void *arg)
{
    struct call *c = arg;
    c->f->lags = true;
}

void fake_lag(struct fake_api *f)
{
    struct call c = {.f = f};
    loop_call(f->loop, do_lag, &c);
}
