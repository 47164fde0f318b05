/*
 * The agent's HTTPS server (see server.h). Everything runs on the agent's loop; a log that is
 * followed is looked at again by a timer, and read only as fast as its reader takes it.
 */
#include "node/server.h"
#include "api/codec.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/tls.h"
#include "node/logs.h"
#include "node/pod_spec.h"
#include "node/streams.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLLOW_MS 200
#define QUEUED_MAX (256 * 1024) /* of one log answer, beyond which its reader is waited for */
#define PIECE (64 * 1024)

struct node_server {
    struct agent *g;
    struct metrics *metrics;
    struct http_server *http;
    struct tls_context *tls;
    struct node_streams *streams;
};

static void answer(struct http_exchange *x, int status, const char *text)
{
    const struct http_header type = {STR("content-type"), STR("text/plain; charset=utf-8")};

    http_respond(x, status, &type, 1, str_from(text));
}

/* ----------------------------------------------------------------------------------- logs --- */

/* One answer that streams a log. Freed in on_done. */
struct log_stream {
    struct http_exchange *x;
    struct agent *g;
    struct log_reader *reader;
    struct loop_timer timer;
    char *ns, *pod, *container;
    int number; /* the restart count in the file's name */
    bool follow, ended;
};

/* The restart count of the log to show: the highest there is, or with `previous` the next lower.
 * -1: none. */
static int log_number(const char *dir, bool previous)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int highest = -1, second = -1;

    while (d && (e = readdir(d)) != NULL) {
        char *end;
        long n = strtol(e->d_name, &end, 10);

        if (end == e->d_name || strcmp(end, ".log") != 0 || n < 0 || n > 1000000000)
            continue;
        if (n > highest) {
            second = highest;
            highest = (int)n;
        } else if (n > second) {
            second = (int)n;
        }
    }
    if (d)
        closedir(d);
    return previous ? second : highest;
}

static const Core__V1__ContainerStatus *status_of(const Core__V1__Pod *pod, const char *container)
{
    const Core__V1__ContainerStatus *s;

    for (size_t i = 0; (s = pod_container_status(pod, i)) != NULL; i++) {
        if (cstr_eq(s->name, container))
            return s;
    }
    return NULL;
}

/* Will nothing more be written to this log? Its container has ended, or the pod is gone. */
static bool log_over(struct log_stream *s)
{
    struct object *o = informer_get(s->g->pods, s->ns, s->pod);
    const Core__V1__ContainerStatus *c = o ? status_of(o->msg, s->container) : NULL;
    bool over = !c || c->restart_count > s->number ||
                (c->restart_count == s->number && c->state && !c->state->running &&
                 c->container_id && *c->container_id);

    object_unref(o);
    return over;
}

static void stream_more(struct log_stream *s)
{
    struct error err = {0};
    bool over = s->follow && log_over(s); /* before reading: what was written until then is read */
    struct buf out;
    int rc = 1;

    if (s->ended)
        return;
    buf_init(&out);
    while (rc == 1 && http_stream_queued(s->x) < QUEUED_MAX) {
        buf_clear(&out);
        rc = log_reader_read(s->reader, PIECE, &out, &err);
        if (out.len)
            http_stream_write(s->x, buf_str(&out));
    }
    buf_free(&out);
    if (rc == 1)
        return; /* on_drain goes on */
    if (rc == 0 && s->follow && !over && !http_closed(s->x)) {
        loop_timer_start(&s->timer, FOLLOW_MS);
        return;
    }
    s->ended = true;
    if (rc < 0)
        http_abort(s->x);
    else
        http_stream_end(s->x, NULL, 0);
}

static void on_timer(struct loop_timer *t)
{
    stream_more(container_of(t, struct log_stream, timer));
}

static void on_drain(struct http_exchange *x)
{
    struct log_stream *s = x->user;

    if (!loop_timer_active(&s->timer))
        stream_more(s);
}

static void on_close(struct http_exchange *x)
{
    struct log_stream *s = x->user;

    if (s->ended)
        return;
    loop_timer_stop(&s->timer);
    s->ended = true;
    http_abort(x);
}

static void on_done(struct http_exchange *x)
{
    struct log_stream *s = x->user;

    loop_timer_stop(&s->timer);
    log_reader_free(s->reader);
    mem_free(s->ns);
    mem_free(s->pod);
    mem_free(s->container);
    mem_free(s);
}

static bool bool_param(struct http_exchange *x, const char *name)
{
    struct str v = http_query_get(x, name);

    return str_eqz(v, "true") || str_eqz(v, "1");
}

/* Reads the options; a message names the parameter that is wrong. */
static const char *log_params(struct http_exchange *x, struct log_options *o)
{
    struct str v;

    *o = (struct log_options){.tail_lines = -1, .limit_bytes = -1};
    o->timestamps = bool_param(x, "timestamps");
    v = http_query_get(x, "tailLines");
    if (v.p && (!str_to_i64(v, &o->tail_lines) || o->tail_lines < 0))
        return "tailLines: must be a number, 0 or more";
    v = http_query_get(x, "limitBytes");
    if (v.p && (!str_to_i64(v, &o->limit_bytes) || o->limit_bytes < 1))
        return "limitBytes: must be a number, 1 or more";
    v = http_query_get(x, "sinceSeconds");
    if (v.p) {
        int64_t seconds;
        if (!str_to_i64(v, &seconds) || seconds < 1 || seconds > INT32_MAX)
            return "sinceSeconds: must be a number, 1 or more";
        o->since_ns = clock_wall_ns() - seconds * (int64_t)NS_PER_S;
    }
    v = http_query_get(x, "sinceTime");
    if (v.p) {
        int64_t seconds;
        int32_t nanos;
        if (!clock_parse_rfc3339(v.p, v.n, &seconds, &nanos))
            return "sinceTime: must be a time as of RFC 3339";
        o->since_ns = MAX(MIN(seconds, LOG_TIME_MAX_S), 0) * (int64_t)NS_PER_S + nanos;
    }
    v = http_query_get(x, "stream");
    if (v.p && str_eqz(v, "Stdout"))
        o->stream = 1;
    else if (v.p && str_eqz(v, "Stderr"))
        o->stream = 2;
    else if (v.p && v.n && !str_eqz(v, "All"))
        return "stream: must be All, Stdout or Stderr";
    return NULL;
}

/* Why there is no log (yet). */
static void answer_no_log(struct http_exchange *x, const Core__V1__Pod *pod, const char *container,
                          bool previous)
{
    const Core__V1__ContainerStatus *s = status_of(pod, container);
    const char *ns = pod->metadata->namespace_, *name = pod->metadata->name;

    if (previous)
        answer(x, 400,
               arena_printf(&x->arena,
                            "previous terminated container \"%s\" in pod \"%s\" not found",
                            container, name));
    else if (s && s->state && s->state->waiting)
        answer(x, 400,
               arena_printf(&x->arena, "container \"%s\" in pod \"%s\" is waiting to start: %s",
                            container, name, s->state->waiting->reason));
    else
        answer(x, 404,
               arena_printf(&x->arena, "no log of container \"%s\" in pod \"%s/%s\"", container, ns,
                            name));
}

static void start_stream(struct node_server *srv, struct http_exchange *x, const struct object *o,
                         const char *container, const struct log_options *options)
{
    const struct http_header type = {STR("content-type"), STR("text/plain")};
    bool previous = bool_param(x, "previous");
    const char *dir = arena_printf(
        &x->arena, "%s/%s", agent_log_dir(srv->g, &x->arena, o->ns, o->name, o->uid), container);
    int number = log_number(dir, previous);
    struct error err = {0};
    struct log_reader *reader;
    struct log_stream *s;

    if (number < 0) {
        answer_no_log(x, o->msg, container, previous);
        return;
    }
    reader = log_reader_open(arena_printf(&x->arena, "%s/%d.log", dir, number), options, &err);
    if (!reader) {
        answer(x, err.code == ERR_NOT_FOUND ? 404 : 500, err.message);
        return;
    }
    s = mem_zalloc(sizeof *s);
    *s = (struct log_stream){.x = x,
                             .g = srv->g,
                             .reader = reader,
                             .ns = mem_strdup(o->ns),
                             .pod = mem_strdup(o->name),
                             .container = mem_strdup(container),
                             .number = number,
                             .follow = bool_param(x, "follow") && !previous};
    loop_timer_init(x->loop, &s->timer, on_timer);
    x->user = s;
    x->on_drain = on_drain;
    x->on_close = on_close;
    x->on_done = on_done;
    http_stream_start(x, 200, &type, 1);
    stream_more(s);
}

/* One decoded part of the path; "" when there is none. */
static const char *path_part(struct http_exchange *x, struct str *rest)
{
    struct str part;
    struct buf out;
    const char *text = "";

    if (!str_split(rest, '/', &part))
        return text;
    buf_init(&out);
    if (percent_decode(&out, part, false))
        text = arena_strndup(&x->arena, out.data ? out.data : "", out.len);
    buf_free(&out);
    return text;
}

static void container_logs(struct node_server *srv, struct http_exchange *x, struct str rest)
{
    const char *ns = path_part(x, &rest), *pod = path_part(x, &rest),
               *container = path_part(x, &rest);
    struct log_options options;
    const char *wrong = log_params(x, &options);
    struct object *o;

    if (!*ns || !*pod || !*container || (rest.p && rest.n)) {
        answer(x, 404, "path must be /containerLogs/NAMESPACE/POD/CONTAINER");
        return;
    }
    if (wrong) {
        answer(x, 400, wrong);
        return;
    }
    o = informer_get(srv->g->pods, ns, pod);
    if (!o)
        answer(x, 404, arena_printf(&x->arena, "pod \"%s\" not found", pod));
    else if (!pod_container(o->msg, container)) /* also keeps "..": it is no container's name */
        answer(x, 404,
               arena_printf(&x->arena, "container \"%s\" not found in pod \"%s\"", container, pod));
    else
        start_stream(srv, x, o, container, &options);
    object_unref(o);
}

/* --------------------------------------------------------------------------------- others --- */

static void list_pods(struct node_server *srv, struct http_exchange *x)
{
    const struct http_header type = {STR("content-type"), STR("application/json")};
    Core__V1__PodList *list = api_new(&x->arena, Core__V1__PodList);
    struct object_refs pods = {0};
    struct buf out;

    informer_list(srv->g->pods, NULL, &pods);
    for (size_t i = 0; i < pods.len; i++)
        api_append(&x->arena, list, items, pods.items[i]->msg);
    buf_init(&out);
    json_encode(list, JSON_DEFAULT, &out);
    http_respond(x, 200, &type, 1, buf_str(&out));
    buf_free(&out);
    object_refs_free(&pods);
}

static void metrics_page(struct node_server *srv, struct http_exchange *x)
{
    const struct http_header type = {STR("content-type"),
                                     STR("text/plain; version=0.0.4; charset=utf-8")};
    struct buf out;

    buf_init(&out);
    metrics_render(srv->metrics, &out);
    http_respond(x, 200, &type, 1, buf_str(&out));
    buf_free(&out);
}

static bool allowed(const struct http_exchange *x)
{
    if (!x->peer || !x->peer->verified)
        return false;
    if (strcmp(x->peer->common_name, "kube-apiserver-kubelet-client") == 0)
        return true;
    for (size_t i = 0; i < x->peer->organizations_len; i++) {
        if (strcmp(x->peer->organizations[i], "system:masters") == 0 ||
            strcmp(x->peer->organizations[i], "kubeadm:cluster-admins") == 0)
            return true;
    }
    return false;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct node_server *srv = ctx;
    static const struct str logs = {"/containerLogs/", 15};

    if (!allowed(x))
        answer(x, 403, "Forbidden: the client certificate is not an API server's");
    else if (node_streams_path(x->path))
        node_streams_serve(srv->streams, x);
    else if (!str_eqz(x->method, "GET") && !str_eqz(x->method, "HEAD"))
        answer(x, 405, "Method Not Allowed");
    else if (str_has_prefix(x->path, logs))
        container_logs(srv, x, str_slice(x->path, logs.n, x->path.n));
    else if (str_eqz(x->path, "/healthz"))
        answer(x, 200, "ok");
    else if (str_eqz(x->path, "/pods"))
        list_pods(srv, x);
    else if (str_eqz(x->path, "/metrics"))
        metrics_page(srv, x);
    else
        answer(x, 404, "404 page not found");
}

int node_server_start(struct agent *g, struct metrics *metrics, struct node_server **out,
                      struct error *err)
{
    struct node_server *s = mem_zalloc(sizeof *s);
    char *address = mem_printf("%s:%lld", g->options.address, (long long)g->options.port);
    int rc = 0;

    s->g = g;
    s->metrics = metrics;
    s->streams = node_streams_new(g);
    s->tls = tls_server_new(&(struct tls_options){.cert_file = g->options.tls_cert_file,
                                                  .key_file = g->options.tls_key_file,
                                                  .ca_file = g->options.client_ca_file,
                                                  .client_auth = TLS_CLIENT_AUTH_REQUIRE,
                                                  .watch_files = true},
                            err);
    if (!s->tls)
        rc = err && err->code ? err->code : ERR_IO;
    if (rc == 0) {
        s->http = http_server_new(&(struct http_server_options){.loops = &g->loop,
                                                                .loops_len = 1,
                                                                .ctx = s,
                                                                .on_request = on_request,
                                                                .connections_max = 200,
                                                                .body_bytes_max = 4096});
        rc = http_server_listen(s->http, address, s->tls, err);
    }
    mem_free(address);
    if (rc < 0) {
        node_server_stop(s);
        return rc;
    }
    *out = s;
    return 0;
}

void node_server_stop(struct node_server *s)
{
    if (!s)
        return;
    if (s->http) {
        http_server_stop_wait(s->http, 1000);
        http_server_free(s->http);
    }
    node_streams_free(s->streams);
    tls_context_unref(s->tls);
    mem_free(s);
}
