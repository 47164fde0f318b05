/*
 * Probes (see prober.h).
 */
#include "node/prober.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "health/health.pb-c.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "net/tls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MIN 3
#define THREADS_MAX \
    1024 /* a probe may take as long as its pod says; the others do not wait for it */
#define IDLE_MS 10000
#define BODY_MAX 10240
#define OUTPUT_MAX 512

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, PROBE_KINDS };
static const char *const probe_names[] = {"Startup", "Readiness", "Liveness"};

/* One probe of one container instance. */
struct probe {
    struct object *pod; /* a reference: the spec the probe reads */
    const Core__V1__Container *container;
    const Core__V1__Probe *spec;
    enum probe_kind kind;
    char *container_id, *ip;
    bool passing; /* the result that counts */
    int streak; /* results in a row that disagree with it (or, before the first, agree with success)
                 */
    bool gone;  /* forgotten while a thread runs it */
    bool busy;
};

struct prober {
    struct agent *agent;
    struct workqueue *due; /* "container id/kind" */
    pthread_mutex_t lock;
    struct map probes; /* the same key → struct probe */
    size_t threads, idle;
    bool stopping;
    pthread_cond_t none_left;
    pthread_attr_t attributes;
};

static void probe_free(struct probe *p)
{
    object_unref(p->pod);
    mem_free(p->container_id);
    mem_free(p->ip);
    mem_free(p);
}

static char *probe_key(const char *id, enum probe_kind kind)
{
    return mem_printf("%s/%d", id, kind);
}

/* -------------------------------------------------------------------------------- actions --- */

uint16_t probe_port(const Meta__V1__IntOrString *port, const Core__V1__Container *c)
{
    if (!port)
        return 0;
    if (port->type == 0)
        return port->int_val > 0 && port->int_val < 65536 ? (uint16_t)port->int_val : 0;
    for (size_t i = 0; i < c->n_ports; i++) {
        if (cstr_eq(c->ports[i]->name, port->str_val))
            return (uint16_t)c->ports[i]->container_port;
    }
    return 0;
}

/* A path as it may stand in a request: blanks, control characters and all that is not ASCII are escaped. */
static const char *request_path(const char *path, struct arena *a)
{
    const char *text;
    struct buf out;

    buf_init(&out);
    if (*path != '/')
        buf_append_char(&out, '/');
    for (const char *s = path; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c > 0x20 && c < 0x7f)
            buf_append_char(&out, *s);
        else
            buf_printf(&out, "%%%02X", c);
    }
    text = arena_strndup(a, out.data, out.len);
    buf_free(&out);
    return text;
}

bool probe_http(struct agent *g, const Core__V1__HTTPGetAction *h, const Core__V1__Container *c,
                const char *pod_ip, uint32_t timeout_ms, struct arena *a, const char **output)
{
    bool https = cstr_eq(h->scheme, "HTTPS");
    const char *host = h->host && *h->host ? h->host : pod_ip;
    const char *path = request_path(h->path ? h->path : "", a);
    const char *server =
        arena_printf(a, "%s://%s:%u", https ? "https" : "http", host, probe_port(h->port, c));
    struct http_header *headers = arena_array(a, struct http_header, h->n_http_headers + 1);
    struct tls_context *tls = NULL;
    struct http_client *client;
    struct http_response r = {0};
    struct error err = {0};
    int rc;

    if (https)
        tls = tls_client_new(&(struct tls_options){.insecure_skip_verify = true}, &err);
    client = http_client_new(
        g->loop,
        &(struct http_client_options){.servers = (const char *const[]){server, NULL},
                                      .tls = tls,
                                      .user_agent = "kube-probe/1.35",
                                      .http1_only = true,
                                      .connect_timeout_ms = timeout_ms},
        &err);
    tls_context_unref(tls);
    if (!client) {
        *output = arena_strdup(a, err.message);
        return false;
    }
    for (size_t i = 0; i < h->n_http_headers; i++) {
        char *name = arena_strdup(a, h->http_headers[i]->name);
        for (char *s = name; *s; s++)
            *s = *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s;
        headers[i] = (struct http_header){str_from(name), str_from(h->http_headers[i]->value)};
    }
    rc = http_client_do(client,
                        &(struct http_request){
                            .method = "GET",
                            .path = path,
                            .headers = headers,
                            .headers_len = h->n_http_headers,
                            .timeout_ms = timeout_ms,
                            .body_bytes_max = BODY_MAX,
                            .body_cut = true, /* who answers at length is well, too */
                        },
                        a, &r, &err);
    http_client_free(client);
    *output = rc < 0 ? arena_printf(a, "Get \"%s%s\": %s", server, path, err.message)
                     : arena_printf(a, "HTTP probe failed with statuscode: %d", r.status);
    return rc == 0 && r.status >= 200 && r.status < 400;
}

static bool probe_tcp(const char *host, uint16_t port, uint32_t timeout_ms, struct arena *a,
                      const char **output)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd, failure = 0;
    socklen_t len = sizeof failure;

    if (!port || inet_pton(AF_INET, host, &to.sin_addr) != 1) {
        *output = arena_printf(a, "dial tcp %s:%u: not an address", host, port);
        return false;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        failure = errno;
    } else {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (poll(&wait, 1, (int)timeout_ms) == 0)
            failure = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
    }
    if (fd >= 0)
        close(fd);
    *output = arena_printf(a, "dial tcp %s:%u: %s", host, port, strerror(failure));
    return failure == 0;
}

static bool probe_exec(struct agent *g, const Core__V1__ExecAction *e, const char *id,
                       uint32_t timeout_ms, struct arena *a, const char **output)
{
    const char **argv = arena_array(a, const char *, e->n_command + 1);
    struct cri_exec result;
    struct error err = {0};

    for (size_t i = 0; i < e->n_command; i++)
        argv[i] = e->command[i];
    if (cri_exec_sync(g->cri, id, argv, (timeout_ms + 999) / 1000, a, &result, &err) < 0) {
        *output = arena_strdup(a, err.message);
        return false;
    }
    *output = arena_printf(a, "%.*s%.*s", (int)MIN(result.stdout_data.n, OUTPUT_MAX),
                           result.stdout_data.p ? result.stdout_data.p : "",
                           (int)MIN(result.stderr_data.n, OUTPUT_MAX),
                           result.stderr_data.p ? result.stderr_data.p : "");
    return result.exit_code == 0;
}

static bool probe_grpc(struct agent *g, const Core__V1__GRPCAction *action, const char *ip,
                       uint32_t timeout_ms, struct arena *a, const char **output)
{
    const char *target = arena_printf(a, "http://%s:%d", ip, action->port);
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    struct grpc_channel *channel;
    struct error err = {0};
    bool serving = false;

    channel = grpc_channel_new(
        g->loop,
        &(struct grpc_channel_options){.targets = (const char *const[]){target, NULL},
                                       .message_bytes_max = BODY_MAX,
                                       .connect_timeout_ms = timeout_ms},
        &err);
    if (action->service)
        q.service = action->service;
    if (channel && grpc_call_wait(channel, "/grpc.health.v1.Health/Check", &q.base,
                                  &grpc__health__v1__health_check_response__descriptor, timeout_ms,
                                  a, &answer, NULL, &err) == 0) {
        const Grpc__Health__V1__HealthCheckResponse *r = (const void *)answer;
        serving = r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        *output = arena_printf(a, "service unhealthy (responded with status %d)", (int)r->status);
    } else {
        *output = arena_strdup(a, err.message);
    }
    if (channel)
        grpc_channel_free(channel);
    return serving;
}

static bool probe_run(struct agent *g, const struct probe *p, struct arena *a, const char **output)
{
    const Core__V1__ProbeHandler *h = p->spec->handler;
    uint32_t timeout_ms =
        (uint32_t)MIN(MAX(p->spec->timeout_seconds, 1), PROBE_TIMEOUT_MAX_S) * 1000;

    if (h->exec)
        return probe_exec(g, h->exec, p->container_id, timeout_ms, a, output);
    if (h->http_get)
        return probe_http(g, h->http_get, p->container, p->ip, timeout_ms, a, output);
    if (h->tcp_socket) {
        const char *host =
            h->tcp_socket->host && *h->tcp_socket->host ? h->tcp_socket->host : p->ip;
        return probe_tcp(host, probe_port(h->tcp_socket->port, p->container), timeout_ms, a,
                         output);
    }
    if (h->grpc)
        return probe_grpc(g, h->grpc, p->ip, timeout_ms, a, output);
    *output = "the probe says neither exec, httpGet, tcpSocket nor grpc";
    return false;
}

/* -------------------------------------------------------------------------------- results --- */

static bool result_of(struct prober *p, const char *id, enum probe_kind kind, bool without)
{
    char *key = probe_key(id, kind);
    const struct probe *probe;
    bool result;

    pthread_mutex_lock(&p->lock);
    probe = map_get(&p->probes, str_from(key));
    result = probe ? probe->passing : without;
    pthread_mutex_unlock(&p->lock);
    mem_free(key);
    return result;
}

/* A startup probe that has given up: neither passed nor to be waited for. */
static bool startup_failed(struct prober *p, const char *id)
{
    char *key = probe_key(id, PROBE_STARTUP);
    const struct probe *probe;
    bool failed;

    pthread_mutex_lock(&p->lock);
    probe = map_get(&p->probes, str_from(key));
    failed = probe && !probe->passing && probe->streak >= MAX(probe->spec->failure_threshold, 1);
    pthread_mutex_unlock(&p->lock);
    mem_free(key);
    return failed;
}

static bool view_started(void *ctx, const char *uid, const char *id)
{
    (void)uid;
    return result_of(ctx, id, PROBE_STARTUP, true);
}

static bool view_ready(void *ctx, const char *uid, const char *id)
{
    (void)uid;
    return result_of(ctx, id, PROBE_READINESS, true);
}

static bool view_live(void *ctx, const char *uid, const char *id)
{
    (void)uid;
    return result_of(ctx, id, PROBE_LIVENESS, true) && !startup_failed(ctx, id);
}

struct probe_view prober_view(struct prober *p)
{
    return (struct probe_view){view_started, view_ready, view_live, p};
}

/* Count a result; true when the one that counts has changed. */
static bool probe_count(struct probe *p, bool success)
{
    int threshold;

    if (p->kind == PROBE_STARTUP && !p->passing) {
        /* Failures are counted up to the limit; one success ends the probe. */
        p->streak = success ? 0 : p->streak + 1;
        p->passing = success;
        return success || p->streak == MAX(p->spec->failure_threshold, 1);
    }
    if (success == p->passing) {
        p->streak = 0;
        return false;
    }
    threshold = success ? MAX(p->spec->success_threshold, 1) : MAX(p->spec->failure_threshold, 1);
    if (++p->streak < threshold)
        return false;
    p->streak = 0;
    p->passing = success;
    return true;
}

/* ------------------------------------------------------------------------------- schedule --- */

static void probe_done(struct prober *p, struct probe *probe, const char *key, bool ran,
                       bool success, const char *output)
{
    struct agent *g = p->agent;
    const Core__V1__Pod *pod = probe->pod->msg;
    struct arena a;
    bool changed = false, again;

    arena_init(&a);
    if (ran && !success)
        agent_event(g, pod, probe->container->name, EVENT_WARNING, "Unhealthy",
                    "%s probe failed: %s", probe_names[probe->kind], output);
    pthread_mutex_lock(&p->lock);
    probe->busy = false;
    if (ran && !probe->gone)
        changed = probe_count(probe, success);
    if (changed)
        workqueue_add(g->queue, arena_printf(&a, "%s/%s", probe->pod->ns, probe->pod->name));
    /* A startup probe is over with its first success, every other goes on until it is forgotten. */
    again = !probe->gone && !(probe->kind == PROBE_STARTUP && probe->passing);
    if (again)
        workqueue_add_after(p->due, key, (uint64_t)MAX(probe->spec->period_seconds, 1) * 1000);
    else if (probe->gone)
        probe_free(probe);
    pthread_mutex_unlock(&p->lock);
    arena_free(&a);
}

static void probe_due(struct prober *p, const char *key)
{
    struct probe *probe;
    const char *output = "";
    bool ran = false, success = false;
    struct arena a;

    pthread_mutex_lock(&p->lock);
    probe = map_get(&p->probes, str_from(key));
    if (probe)
        probe->busy = true;
    pthread_mutex_unlock(&p->lock);
    if (!probe)
        return;
    arena_init(&a);
    /* The others wait until the container has started. */
    if (probe->kind == PROBE_STARTUP || result_of(p, probe->container_id, PROBE_STARTUP, true)) {
        ran = true;
        success = probe_run(p->agent, probe, &a, &output);
    }
    probe_done(p, probe, key, ran, success, output);
    arena_free(&a);
}

static void *probe_thread(void *arg);

/* With the lock held: one more if nobody is free. */
static void spawn_if_busy(struct prober *p)
{
    pthread_t thread;

    if (p->idle > 0 || p->threads >= THREADS_MAX)
        return;
    if (pthread_create(&thread, &p->attributes, probe_thread, p) == 0) {
        pthread_detach(thread);
        p->threads++;
        p->idle++;
    } else if (p->threads == 0) {
        log_error("prober", "no thread can be made: nothing is probed until one can");
    }
}

static void *probe_thread(void *arg)
{
    struct prober *p = arg;
    bool stay = true;

    while (stay) {
        char *key = workqueue_get_timeout(p->due, IDLE_MS);

        if (key) {
            pthread_mutex_lock(&p->lock);
            p->idle--;
            spawn_if_busy(p);
            pthread_mutex_unlock(&p->lock);
            probe_due(p, key);
            workqueue_done(p->due, key);
        }
        pthread_mutex_lock(&p->lock);
        if (key)
            p->idle++;
        else
            stay = !p->stopping && p->idle <= THREADS_MIN;
        if (!stay) {
            p->idle--;
            if (--p->threads == 0)
                pthread_cond_signal(&p->none_left);
        }
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

struct prober *prober_new(struct agent *g)
{
    struct prober *p = mem_zalloc(sizeof *p);

    p->agent = g;
    p->due = workqueue_new("probes", NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->none_left, NULL);
    map_init(&p->probes);
    pthread_attr_init(&p->attributes);
    pthread_attr_setstacksize(&p->attributes, 256 * 1024);
    pthread_mutex_lock(&p->lock);
    spawn_if_busy(p);
    pthread_mutex_unlock(&p->lock);
    return p;
}

void prober_free(struct prober *p)
{
    struct map_iter it = {0};

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    workqueue_shut_down(p->due);
    pthread_mutex_lock(&p->lock);
    while (p->threads)
        pthread_cond_wait(&p->none_left, &p->lock);
    pthread_mutex_unlock(&p->lock);
    while (map_next(&p->probes, &it))
        probe_free(it.value);
    map_free(&p->probes);
    workqueue_free(p->due);
    pthread_attr_destroy(&p->attributes);
    pthread_cond_destroy(&p->none_left);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

/* What the pod's status says of this very instance of a container. */
static const Core__V1__ContainerStatus *reported(const Core__V1__Pod *pod, const char *id)
{
    Core__V1__ContainerStatus *const *lists[] = {pod->status->container_statuses,
                                                 pod->status->init_container_statuses};
    size_t lens[] = {pod->status->n_container_statuses, pod->status->n_init_container_statuses};

    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lens[l]; i++) {
            const char *have = lists[l][i]->container_id;
            const char *slashes = have ? strstr(have, "//") : NULL;
            if (slashes && strcmp(slashes + 2, id) == 0)
                return lists[l][i];
        }
    }
    return NULL;
}

static void probe_add(struct prober *p, struct object *obj, const Core__V1__Container *c,
                      const Core__V1__Probe *spec, enum probe_kind kind,
                      const struct run_container *r, const char *ip)
{
    const Core__V1__ContainerStatus *s = reported(obj->msg, r->id);
    int64_t age_ms = (clock_wall_ns() - r->started_ns) / (int64_t)NS_PER_MS;
    int64_t delay_ms = (int64_t)spec->initial_delay_seconds * 1000 - age_ms;
    char *key = probe_key(r->id, kind);
    struct probe *probe;

    if (!map_has(&p->probes, str_from(key))) {
        probe = mem_zalloc(sizeof *probe);
        *probe = (struct probe){.pod = object_ref(obj),
                                .container = c,
                                .spec = spec,
                                .kind = kind,
                                .container_id = mem_strdup(r->id),
                                .ip = mem_strdup(ip),
                                .passing = kind == PROBE_LIVENESS};
        if (s && kind == PROBE_READINESS)
            probe->passing = s->ready;
        if (s && kind == PROBE_STARTUP)
            probe->passing = api_get(s, started, false);
        map_put(&p->probes, str_from(key), probe);
        if (!(kind == PROBE_STARTUP && probe->passing))
            workqueue_add_after(p->due, key, delay_ms > 0 ? (uint64_t)delay_ms : 0);
    }
    mem_free(key);
}

/* Drop the pod's probes of containers that no longer run; with run NULL all of them. */
static void forget_ended(struct prober *p, const char *uid, const struct run_pod *run)
{
    struct map_iter it = {0};

    while (map_next(&p->probes, &it)) {
        struct probe *probe = it.value;
        const struct run_container *r;

        if (strcmp(probe->pod->uid, uid) != 0)
            continue;
        r = run ? run_container_by_id(run, probe->container_id) : NULL;
        if (r && r->state == RUN_RUNNING)
            continue;
        map_remove(&p->probes, it.key);
        if (probe->busy)
            probe->gone = true; /* its thread frees it */
        else
            probe_free(probe);
    }
}

static void sync_container(struct prober *p, struct object *obj, const Core__V1__Container *c,
                           const struct run_pod *run, const char *ip)
{
    const struct run_container *r = run_container_newest(run, c->name);

    if (!r || r->state != RUN_RUNNING)
        return;
    if (c->startup_probe)
        probe_add(p, obj, c, c->startup_probe, PROBE_STARTUP, r, ip);
    if (c->readiness_probe)
        probe_add(p, obj, c, c->readiness_probe, PROBE_READINESS, r, ip);
    if (c->liveness_probe)
        probe_add(p, obj, c, c->liveness_probe, PROBE_LIVENESS, r, ip);
}

void prober_sync(struct prober *p, struct object *obj, const struct run_pod *run)
{
    const Core__V1__Pod *pod = obj->msg;
    const struct run_sandbox *sandbox = run ? run_sandbox_ready(run) : NULL;
    const char *ip = pod->spec->host_network ? p->agent->options.node_ip
                     : sandbox               ? sandbox->ip
                                             : "";

    pthread_mutex_lock(&p->lock);
    forget_ended(p, obj->uid, run);
    for (size_t i = 0; run && i < pod->spec->n_containers; i++)
        sync_container(p, obj, pod->spec->containers[i], run, ip);
    for (size_t i = 0; run && i < pod->spec->n_init_containers; i++)
        sync_container(p, obj, pod->spec->init_containers[i], run, ip);
    pthread_mutex_unlock(&p->lock);
}

void prober_forget(struct prober *p, const char *uid)
{
    pthread_mutex_lock(&p->lock);
    forget_ended(p, uid, NULL);
    pthread_mutex_unlock(&p->lock);
}
