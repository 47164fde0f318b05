/*
 * exec, attach and port-forward (node/streams.h). What is asked of the runtime is asked on a thread of its own:
 * its answer may take seconds, and the agent's loop serves others.
 */
#include "node/streams.h"
#include "api/codec.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/http_pass.h"
#include "node/runtime.h"

#define CALLS_MAX 32 /* of the runtime at a time */
#define ARGS_MAX 1024
#define STACK_BYTES (256u << 10)

enum kind { EXEC, ATTACH, PORT_FORWARD };

struct node_streams {
    struct agent *g;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned calls; /* under way */
};

/* One request until its stream is found; lives in the exchange's arena. */
struct stream_call {
    struct loop_task task;
    struct node_streams *streams;
    struct http_exchange *x;
    enum kind kind;
    const char *ns, *pod, *uid, *container;
    struct cri_stream_options options;
    struct arena a; /* of the thread */
    const char *url;
    int status; /* of a refusal; 0: none */
    struct error err;
};

static void answer(struct http_exchange *x, int status, const char *text)
{
    const struct http_header type = {STR("content-type"), STR("text/plain; charset=utf-8")};
    http_respond(x, status, &type, 1, str_from(text));
}

/* ---- on the call's thread ---- */

static int refuse(struct stream_call *c, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct stream_call *c, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_set(&c->err, ERR_INVALID, "%s", arena_vprintf(&c->a, format, args));
    va_end(args);
    c->status = status;
    return ERR_INVALID;
}

static const struct run_pod *find_pod(const struct stream_call *c, const struct run_pod *pods,
                                      size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(pods[i].uid, c->uid) == 0)
            return &pods[i];
    return NULL;
}

static int ask_container(struct stream_call *c, const struct run_pod *pod)
{
    struct cri *cri = c->streams->g->cri;
    const struct run_container *container = pod ? run_container_newest(pod, c->container) : NULL;
    if (!container)
        return refuse(c, 404, "container not found (\"%s\")", c->container);
    if (container->state != RUN_RUNNING)
        return refuse(c, 400, "container \"%s\" is not running", c->container);
    return c->kind == EXEC
               ? cri_exec_url(cri, container->id, &c->options, &c->a, &c->url, &c->err)
               : cri_attach_url(cri, container->id, &c->options, &c->a, &c->url, &c->err);
}

static int ask(struct stream_call *c)
{
    struct cri *cri = c->streams->g->cri;
    struct run_pod *pods;
    size_t n;
    int rc = runtime_read(cri, c->ns, c->pod, &c->a, &pods, &n, &c->err);
    if (rc < 0)
        return rc;
    const struct run_pod *pod = find_pod(c, pods, n);
    if (c->kind != PORT_FORWARD)
        return ask_container(c, pod);
    const struct run_sandbox *sandbox = pod ? run_sandbox_ready(pod) : NULL;
    if (!sandbox)
        return refuse(c, 400, "pod \"%s\" is not running", c->pod);
    return cri_port_forward_url(cri, sandbox->id, &c->options, &c->a, &c->url, &c->err);
}

static void *call_thread(void *arg)
{
    struct stream_call *c = arg;
    struct node_streams *s = c->streams;
    if (ask(c) < 0 && !c->status)
        c->status = 500;
    loop_post(s->g->loop, &c->task); /* c is the loop's from here */
    pthread_mutex_lock(&s->lock);
    if (--s->calls == 0)
        pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- on the loop ---- */

static void pass_failed(struct http_exchange *x, const char *why)
{
    answer(x, 502, arena_printf(&x->arena, "the runtime's stream cannot be reached: %s", why));
}

/* "http://127.0.0.1:4711/exec/TOKEN" */
static bool split_url(struct arena *a, const char *url, struct http_pass_target *out)
{
    const char *scheme = "http://";
    if (strncmp(url, scheme, strlen(scheme)) != 0)
        return false;
    const char *host = url + strlen(scheme), *slash = strchr(host, '/');
    if (!slash || slash == host)
        return false;
    out->address = arena_strndup(a, host, (size_t)(slash - host));
    out->path = arena_strdup(a, slash);
    return true;
}

static void call_done(struct loop_task *task)
{
    struct stream_call *c = container_of(task, struct stream_call, task);
    struct http_exchange *x = c->x;
    struct http_pass_target target = {0};
    int status = c->status;
    const char *text = arena_strdup(&x->arena, status ? c->err.message : "");
    bool found = !status && split_url(&x->arena, c->url, &target);
    if (!status && !found)
        text = arena_printf(&x->arena, "the runtime's stream has no http address: %s", c->url);
    arena_free(&c->a);
    if (found && !http_closed(x))
        http_pass(x, &target, pass_failed);
    else
        answer(x, status ? status : 500, text);
}

static void start(struct stream_call *c)
{
    struct node_streams *s = c->streams;
    pthread_mutex_lock(&s->lock);
    bool room = s->calls < CALLS_MAX;
    s->calls += room;
    pthread_mutex_unlock(&s->lock);
    if (!room) {
        answer(c->x, 503, "too many streams are being opened");
        return;
    }
    pthread_t thread;
    pthread_attr_t attr;
    arena_init(&c->a);
    c->task.fn = call_done;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int rc = pthread_create(&thread, &attr, call_thread, c);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->calls--;
    pthread_mutex_unlock(&s->lock);
    answer(c->x, 503, "no thread to open the stream");
}

/* ---- the request ---- */

static bool flag(struct http_exchange *x, const char *name)
{
    struct str v = http_query_get(x, name);
    return str_eqz(v, "1") || str_eqz(v, "true");
}

/* What is asked for; a message says what is wrong with it. */
static const char *parse_options(struct stream_call *c)
{
    struct http_exchange *x = c->x;
    struct cri_stream_options *o = &c->options;
    const char **argv = arena_array(&x->arena, const char *, ARGS_MAX + 1);
    int32_t *ports = arena_array(&x->arena, int32_t, ARGS_MAX);
    size_t n = 0;
    for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);) {
        uint64_t port;
        if (n == ARGS_MAX || o->ports_len == ARGS_MAX)
            return "too many parameters";
        if (str_eqz(q.name, "command"))
            argv[n++] = arena_strndup(&x->arena, q.value.p, q.value.n);
        else if (!str_eqz(q.name, "port"))
            continue;
        else if (!str_to_u64(q.value, &port) || port < 1 || port > 65535)
            return "port: must be a number from 1 to 65535";
        else
            ports[o->ports_len++] = (int32_t)port;
    }
    o->argv = argv;
    o->ports = ports;
    o->tty = flag(x, "tty");
    o->in = flag(x, "input");
    o->out = flag(x, "output");
    o->err = flag(x, "error") && !o->tty; /* a terminal has one output */
    if (c->kind == EXEC && n == 0)
        return "you must specify at least 1 command";
    if (c->kind != PORT_FORWARD && !o->in && !o->out && !o->err)
        return "you must specify at least 1 of stdin, stdout, stderr";
    return NULL;
}

static bool take_kind(struct str *path, enum kind *kind)
{
    static const struct {
        const char *prefix;
        enum kind kind;
    } kinds[] = {{"/exec/", EXEC}, {"/attach/", ATTACH}, {"/portForward/", PORT_FORWARD}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_has_prefix(*path, str_from(kinds[i].prefix))) {
            *path = str_slice(*path, strlen(kinds[i].prefix), path->n);
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

bool node_streams_path(struct str path)
{
    enum kind kind;
    return take_kind(&path, &kind);
}

void node_streams_serve(struct node_streams *s, struct http_exchange *x)
{
    struct stream_call *c = arena_new(&x->arena, struct stream_call);
    struct str path = x->path, part[3];
    size_t n = 0;
    c->streams = s;
    c->x = x;
    take_kind(&path, &c->kind);
    while (n < ARRAY_LEN(part) && str_split(&path, '/', &part[n]))
        n++;
    if (n != (c->kind == PORT_FORWARD ? 2u : 3u) || (path.p && path.n)) {
        answer(x, 404, "path must be NAMESPACE/POD, for exec and attach with /CONTAINER");
        return;
    }
    c->ns = arena_strndup(&x->arena, part[0].p, part[0].n);
    c->pod = arena_strndup(&x->arena, part[1].p, part[1].n);
    c->container = n == 3 ? arena_strndup(&x->arena, part[2].p, part[2].n) : "";
    struct object *o = informer_get(s->g->pods, c->ns, c->pod);
    const char *wrong = parse_options(c);
    if (!o) {
        answer(x, 404, "pod does not exist");
    } else if (wrong) {
        answer(x, 400, wrong);
    } else if (!http_tunnel_wanted(x)) {
        answer(x, 400, "Upgrade request required");
    } else {
        c->uid = arena_strdup(&x->arena, o->uid);
        start(c);
    }
    object_unref(o);
}

struct node_streams *node_streams_new(struct agent *g)
{
    struct node_streams *s = mem_zalloc(sizeof *s);
    s->g = g;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    return s;
}

void node_streams_free(struct node_streams *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    while (s->calls)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->idle);
    mem_free(s);
}
