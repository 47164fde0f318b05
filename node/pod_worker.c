/*
 * Pod workers (see pod_worker.h). One visit of a pod:
 *
 *     not in the API, or another pod of that name in the runtime   end it, remove it
 *     being deleted      end its containers, write the last status, remove it, DELETE with grace 0
 *     finished           stop the sandbox, unmount; containers stay for their logs
 *     else               volumes, plan, kill, sandbox, images, containers, probes, status
 */
#include "node/pod_worker.h"
#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "node/container_config.h"
#include "node/files.h"
#include "node/images.h"
#include "node/logs.h"
#include "node/pod_kill.h"
#include "node/pod_status.h"
#include "node/prober.h"
#include "node/volumes.h"
#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>

#define WORKERS_MIN 2
#define IDLE_MS 10000
#define STACK_BYTES (512 * 1024)
#define REFRESH_S 60 /* volumes from the API, and a look at a pod about which nothing is heard */
#define SOON_MS 100
#define RETRY_MS 2000
#define BRIEF_MS 1000 /* a container that is not restarted is not said to run before it is so old */
#define LAST_WORDS_MAX 4096
#define LAST_WORDS_LINES 80

/* Why a container waits, and until when it is not tried again. */
struct wait {
    char *container, *reason, *message;
    int64_t retry_at_ns;
};

/* What is remembered of a pod between two visits. Touched only by the worker that has its key. */
struct pod_state {
    struct token_cache *tokens;
    VEC(struct wait) waits;
    int64_t volumes_at_s; /* last time all volumes were prepared; 0: never */
    bool unmounted;       /* a finished pod's volumes are gone */
};

struct pod_table {
    pthread_mutex_t lock;
    struct map states; /* uid → struct pod_state */
};

/* One visit. */
struct visit {
    struct agent *g;
    struct object *object; /* the pod; NULL when the API has none */
    const Core__V1__Pod *pod;
    struct pod_state *state;
    struct run_pod *run; /* NULL when nothing of it is in the runtime */
    struct pod_context context;
    struct object_refs services;
    struct arena arena;
    uint64_t again_ms; /* visit again after this time at the latest */
};

struct pod_table *pod_table_new(void)
{
    struct pod_table *t = mem_zalloc(sizeof *t);

    pthread_mutex_init(&t->lock, NULL);
    map_init(&t->states);
    return t;
}

static void state_free(struct pod_state *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->waits.len; i++) {
        mem_free(s->waits.items[i].container);
        mem_free(s->waits.items[i].reason);
        mem_free(s->waits.items[i].message);
    }
    vec_free(&s->waits);
    token_cache_free(s->tokens);
    mem_free(s);
}

void pod_table_free(struct pod_table *t)
{
    struct map_iter it = {0};

    if (!t)
        return;
    while (map_next(&t->states, &it))
        state_free(it.value);
    map_free(&t->states);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

static struct pod_state *state_get(struct agent *g, const char *uid)
{
    struct pod_state *s;

    pthread_mutex_lock(&g->table->lock);
    s = map_get(&g->table->states, str_from(uid));
    if (!s) {
        s = mem_zalloc(sizeof *s);
        s->tokens = token_cache_new();
        map_put(&g->table->states, str_from(uid), s);
    }
    pthread_mutex_unlock(&g->table->lock);
    return s;
}

static void state_forget(struct agent *g, const char *uid)
{
    struct arena a;

    pthread_mutex_lock(&g->table->lock);
    state_free(map_remove(&g->table->states, str_from(uid)));
    pthread_mutex_unlock(&g->table->lock);
    prober_forget(g->prober, uid);
    arena_init(&a);
    backoff_reset_prefix(g->restarts, arena_printf(&a, "%s/", uid));
    backoff_reset_prefix(g->pulls, arena_printf(&a, "%s/", uid));
    arena_free(&a);
}

/* ---------------------------------------------------------------------------------- waits --- */

static struct wait *wait_find(struct pod_state *s, const char *container)
{
    for (size_t i = 0; i < s->waits.len; i++) {
        if (strcmp(s->waits.items[i].container, container) == 0)
            return &s->waits.items[i];
    }
    return NULL;
}

static void wait_set(struct pod_state *s, const char *container, const char *reason,
                     const char *message, int64_t retry_at_ns)
{
    struct wait *w = wait_find(s, container);

    if (!w) {
        vec_push(&s->waits, (struct wait){.container = mem_strdup(container)});
        w = &s->waits.items[s->waits.len - 1];
    }
    mem_free(w->reason);
    mem_free(w->message);
    w->reason = mem_strdup(reason);
    w->message = mem_strdup(message);
    w->retry_at_ns = retry_at_ns;
}

static void wait_clear(struct pod_state *s, const char *container)
{
    struct wait *w = wait_find(s, container);

    if (!w)
        return;
    mem_free(w->container);
    mem_free(w->reason);
    mem_free(w->message);
    vec_remove(&s->waits, (size_t)(w - s->waits.items));
}

static void again_in(struct visit *v, uint64_t ms)
{
    v->again_ms = MIN(v->again_ms, MAX(ms, 1));
}

/* -------------------------------------------------------------------------------- context --- */

static int fetch(struct agent *g, const struct resource *r, const char *ns, const char *name,
                 struct arena *a, const void **out, struct error *err)
{
    struct error why = {0};

    *out = client_get(g->client, r, ns, name, NULL, a, &why);
    if (*out)
        return 0;
    if (why.code == ERR_NOT_FOUND) /* kubelet's wording */
        return error_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", r->singular, name);
    return error_set(err, why.code ? why.code : ERR_INTERNAL, "%s", why.message);
}

static int fetch_configmap(void *ctx, const char *ns, const char *name, struct arena *a,
                           const Core__V1__ConfigMap **out, struct error *err)
{
    return fetch(ctx, RESOURCE_CONFIGMAPS, ns, name, a, (const void **)out, err);
}

static int fetch_secret(void *ctx, const char *ns, const char *name, struct arena *a,
                        const Core__V1__Secret **out, struct error *err)
{
    return fetch(ctx, RESOURCE_SECRETS, ns, name, a, (const void **)out, err);
}

static void context_init(struct visit *v)
{
    struct agent *g = v->g;
    const struct run_sandbox *sandbox = run_sandbox_ready(v->run);
    const Core__V1__Service **services;

    if (!v->services.len)
        informer_list(g->services, NULL, &v->services);
    services = arena_array(&v->arena, const Core__V1__Service *, v->services.len + 1);
    for (size_t i = 0; i < v->services.len; i++)
        services[i] = v->services.items[i]->msg;
    v->context = (struct pod_context){
        .pod = v->pod,
        .pod_ip = v->pod->spec->host_network ? g->options.node_ip
                  : sandbox                  ? sandbox->ip
                                             : "",
        .host_ip = g->options.node_ip,
        .node_name = g->options.node_name,
        .node_cpu_milli = g->cpu_milli,
        .node_memory = g->memory,
        .node_ephemeral = g->ephemeral,
        .configmap = fetch_configmap,
        .secret = fetch_secret,
        .ctx = g,
        .services = services,
        .services_len = v->services.len,
    };
}

/* What runs, read anew. */
static int reread(struct visit *v, struct error *err)
{
    struct run_pod *pods;
    size_t n;
    int rc = runtime_read(v->g->cri, v->object->ns, v->object->name, &v->arena, &pods, &n, err);

    if (rc < 0)
        return rc;
    v->run = NULL;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(pods[i].uid, v->object->uid) == 0)
            v->run = &pods[i];
    }
    return 0;
}

/* --------------------------------------------------------------------------------- status --- */

/* What the container left in its termination log, or else (if its policy says so) the end of its
 * log. */
static const char *last_words(void *ctx, const struct run_container *c, struct arena *a)
{
    struct str text = STR_NONE;
    (void)ctx;

    if (c->message_file)
        file_read_end(c->message_file, LAST_WORDS_MAX, a, &text, NULL);
    if (!text.n && c->exit_code && strcmp(c->message_policy, "FallbackToLogsOnError") == 0)
        return logs_tail(c->log_path, LAST_WORDS_LINES, LAST_WORDS_MAX / 2, a);
    return text.n ? text.p : "";
}

/*
 * For how long the pod is not said to run yet, although it does. Whoever runs a command in a pod of its own
 * attaches when the pod runs, and would miss all that a brief command has said; of one that has ended before
 * it was said to run they read the log (`kubectl run --rm -i … -- date`). Kubelet looks once a second.
 */
static uint64_t brief_ms(const struct visit *v)
{
    int64_t now = clock_wall_ns();
    uint64_t left = 0;

    if (!cstr_eq(v->pod->spec->restart_policy, "Never") ||
        cstr_eq(v->pod->status->phase, "Running"))
        return 0;
    for (size_t i = 0; v->run && i < v->run->containers_len; i++) {
        const struct run_container *r = &v->run->containers[i];
        int64_t age_ms = (now - r->started_ns) / (int64_t)NS_PER_MS;

        if (r->state == RUN_RUNNING && age_ms >= 0 && age_ms < BRIEF_MS)
            left = MAX(left, (uint64_t)(BRIEF_MS - age_ms));
    }
    return left;
}

/* Compute and write the status if it differs from the one the API has. */
static int report(struct visit *v, bool ended, const char *fail_reason, const char *fail_message,
                  struct error *err)
{
    struct probe_view probes = prober_view(v->g->prober);
    struct wait_reason *waits = arena_array(&v->arena, struct wait_reason, v->state->waits.len + 1);
    struct status_input in = {.pod = v->pod,
                              .run = v->run,
                              .probes = &probes,
                              .waits = waits,
                              .host_ip = v->g->options.node_ip,
                              .runtime_name = "containerd",
                              .now_s = clock_wall_s(),
                              .ended = ended,
                              .fail_reason = fail_reason,
                              .fail_message = fail_message,
                              .last_words = last_words};
    uint64_t brief = ended || fail_reason ? 0 : brief_ms(v);
    Core__V1__PodStatus *status;
    Core__V1__Pod *copy;

    if (brief) {
        again_in(v, brief);
        return 0;
    }
    for (size_t i = 0; i < v->state->waits.len; i++) {
        const struct wait *w = &v->state->waits.items[i];
        waits[in.waits_len++] = (struct wait_reason){w->container, w->reason, w->message};
    }
    status = pod_status(&in, &v->arena);
    if (pod_status_equal(status, v->pod->status))
        return 0;
    copy = arena_dup(&v->arena, v->pod, sizeof *copy);
    copy->status = status;
    copy = client_update_status(v->g->client, RESOURCE_PODS, copy, NULL, &v->arena, err);
    if (!copy)
        return err->code;
    log_debug("node", "wrote status pod=%s/%s phase=%s", v->object->ns, v->object->name,
              status->phase);
    v->pod = copy; /* with the new resourceVersion and status */
    v->context.pod = copy;
    return 0;
}

/* ------------------------------------------------------------------------------- deletion --- */

/* A pod in the runtime that the API does not know (any more). */
static int end_orphan(struct agent *g, const struct run_pod *run, struct error *err)
{
    int rc = pod_kill_all(g, NULL, run, run_pod_active(run) ? run->grace_s : 0, err);

    if (rc == 0)
        rc = pod_remove(g, run, run->ns, run->name, run->uid, err);
    if (rc == 0) {
        log_info("node", "removed pod that the API does not have pod=%s/%s uid=%s", run->ns,
                 run->name, run->uid);
        state_forget(g, run->uid);
    }
    return rc;
}

static int end_deleted(struct visit *v, struct error *err)
{
    struct agent *g = v->g;
    struct delete_options d = {.grace_period_s = 0, .uid = v->object->uid};
    int rc = 0;

    prober_forget(g->prober, v->object->uid); /* no restarts, no events about a pod that ends */
    if (v->run) {
        rc = pod_kill_all(g, v->pod, v->run, pod_grace_s(v->pod), err);
        if (rc == 0)
            rc = reread(v, err);
    }
    if (rc == 0)
        rc = report(v, true, NULL, NULL, err);
    if (rc == ERR_NOT_FOUND)
        rc = 0; /* deleted by force meanwhile */
    if (rc == 0)
        rc = pod_remove(g, v->run, v->object->ns, v->object->name, v->object->uid, err);
    if (rc < 0)
        return rc;
    rc = client_delete(g->client, RESOURCE_PODS, v->object->ns, v->object->name, &d, NULL, err);
    if (rc == ERR_NOT_FOUND || rc == ERR_CONFLICT) /* gone, or another pod has the name by now */
        rc = 0;
    if (rc == 0) {
        log_info("node", "pod has ended pod=%s/%s uid=%s", v->object->ns, v->object->name,
                 v->object->uid);
        state_forget(g, v->object->uid);
    }
    return rc;
}

/* Succeeded or Failed: its containers stay for their logs, all else is given back. */
static int settle_finished(struct visit *v, struct error *err)
{
    int rc = 0;

    prober_forget(v->g->prober, v->object->uid);
    if (v->run && run_pod_active(v->run))
        rc = pod_kill_all(v->g, v->pod, v->run, pod_grace_s(v->pod), err);
    if (rc == 0 && !v->state->unmounted) {
        struct arena a;
        arena_init(&a);
        rc = file_unmount_below(agent_pod_dir(v->g, &a, v->object->uid), err);
        arena_free(&a);
        v->state->unmounted = rc == 0;
    }
    return rc;
}

/* ------------------------------------------------------------------------------- starting --- */

static int make_sandbox(struct visit *v, uint32_t attempt, struct error *err)
{
    struct agent *g = v->g;
    CriPodSandboxConfig *config = sandbox_config(g, v->pod, attempt, &v->arena);
    const char *id;
    int rc = file_make_dirs(config->log_directory, 0755, err);

    if (rc == 0)
        rc = cri_run_sandbox(g->cri, config, &v->arena, &id, err);
    if (rc < 0) {
        agent_event(g, v->pod, NULL, EVENT_WARNING, "FailedCreatePodSandBox",
                    "Failed to create pod sandbox: %s", err->message);
        return rc;
    }
    agent_limit_pod(g, v->pod);
    return reread(v, err);
}

/* Sandboxes that are over go, unless the newest instance of some container is in them: it tells how
 * that one ended (a job must not run twice) and how often it was restarted. Removing a sandbox
 * removes its containers. */
static void tidy_sandboxes(struct visit *v)
{
    for (size_t i = 1; v->run && i < v->run->sandboxes_len; i++) {
        const struct run_sandbox *s = &v->run->sandboxes[i];
        bool needed = s->ready;

        for (size_t k = 0; k < v->run->containers_len && !needed; k++) {
            const struct run_container *r = &v->run->containers[k];
            needed =
                strcmp(r->sandbox_id, s->id) == 0 && run_container_newest(v->run, r->name) == r;
        }
        if (!needed)
            cri_remove_sandbox(v->g->cri, s->id, NULL); /* else at the next visit */
    }
}

/* A restart of a container that has ended waits for its back-off. */
static bool restart_waits(struct visit *v, const Core__V1__Container *c,
                          const struct run_container *r)
{
    struct agent *g = v->g;
    int64_t now = clock_wall_ns();
    char *key = arena_printf(&v->arena, "%s/%s", v->object->uid, c->name);
    uint64_t wait = backoff_wait(g->restarts, key, r->finished_ns, now);
    char delay[48];

    if (!wait) {
        backoff_next(g->restarts, key, r->finished_ns);
        return false;
    }
    go_duration_format((int64_t)backoff_delay(g->restarts, key), delay);
    wait_set(v->state, c->name, "CrashLoopBackOff",
             arena_printf(&v->arena, "back-off %s restarting failed container=%s pod=%s_%s(%s)",
                          delay, c->name, v->object->name, v->object->ns, v->object->uid),
             now + (int64_t)wait);
    agent_event(g, v->pod, c->name, EVENT_WARNING, "BackOff",
                "Back-off restarting failed container %s in pod %s_%s(%s)", c->name,
                v->object->name, v->object->ns, v->object->uid);
    again_in(v, wait / NS_PER_MS + 1);
    return true;
}

/* Something that must be tried again later, longer each time. */
static void failed(struct visit *v, const char *container, const char *what, const char *reason,
                   const char *message)
{
    int64_t now = clock_wall_ns();
    char *key = arena_printf(&v->arena, "%s/%s/%s", v->object->uid, container, what);
    uint64_t delay = backoff_next(v->g->pulls, key, now);

    wait_set(v->state, container, reason, message, now + (int64_t)delay);
    again_in(v, delay / NS_PER_MS + 1);
}

/* Not yet: it failed before and its time has not come. An image that could not be pulled is said to
 * be backed off from then on. */
static bool still_waits(struct visit *v, const Core__V1__Container *c)
{
    struct wait *w = wait_find(v->state, c->name);
    int64_t left = w ? w->retry_at_ns - clock_wall_ns() : 0;

    if (left <= 0 || strcmp(w->reason, "CrashLoopBackOff") == 0)
        return false; /* restart_waits knows better */
    again_in(v, (uint64_t)left / NS_PER_MS + 1);
    if (strcmp(w->reason, "ErrImagePull") == 0) {
        char *message = arena_printf(&v->arena, "Back-off pulling image \"%s\"", c->image);
        agent_event(v->g, v->pod, c->name, EVENT_NORMAL, "BackOff", "%s", message);
        wait_set(v->state, c->name, "ImagePullBackOff",
                 arena_printf(&v->arena, "%s: ErrImagePull: %s", message, w->message),
                 w->retry_at_ns);
    }
    return true;
}

static void post_start(struct visit *v, const Core__V1__Container *c, const char *id)
{
    const char *output;
    struct plan_kill kill = {.message = "FailedPostStartHook"};
    struct run_container r = {.id = id, .name = c->name};

    if (!c->lifecycle || !c->lifecycle->post_start)
        return;
    if (pod_hook(v->g, c->lifecycle->post_start, c, id, v->context.pod_ip, REFRESH_S, &v->arena,
                 &output))
        return;
    agent_event(v->g, v->pod, c->name, EVENT_WARNING, "FailedPostStartHook",
                "PostStartHook failed: %s", output);
    kill.container = &r;
    pod_kill_containers(v->g, v->pod, v->context.pod_ip, &kill, 1, pod_grace_s(v->pod), NULL);
}

/* Ended containers beyond the newest one, and their logs. */
static void tidy_ended(struct visit *v, const char *name)
{
    size_t ended = 0;

    for (size_t i = 0; v->run && i < v->run->containers_len; i++) {
        const struct run_container *r = &v->run->containers[i];

        if (strcmp(r->name, name) != 0 || r->state == RUN_RUNNING || ended++ == 0)
            continue;
        if (cri_remove_container(v->g->cri, r->id, NULL) == 0) {
            logs_remove(r->log_path);
            if (message_file_is_own(v->g, v->object->uid, r->message_file))
                file_remove_tree(r->message_file, NULL);
        }
    }
}

/* The running container whose processes an ephemeral one wants to see. */
static int find_target(struct visit *v, const Core__V1__Container *c, const char **id,
                       struct error *err)
{
    const char *name = pod_ephemeral_target(v->pod, c->name);
    const struct run_container *r = *name ? run_container_newest(v->run, name) : NULL;

    if (!*name)
        return 0;
    if (!r || r->state != RUN_RUNNING)
        return error_set(err, ERR_NOT_FOUND, "unable to find target container %s", name);
    *id = r->id;
    return 0;
}

static void start_container(struct visit *v, const Core__V1__Container *c)
{
    struct agent *g = v->g;
    const struct run_container *before = run_container_newest(v->run, c->name);
    const struct run_sandbox *sandbox = run_sandbox_ready(v->run);
    struct container_order order = {.container = c};
    CriContainerConfig *config;
    CriPodSandboxConfig *pod_config = sandbox_config(g, v->pod, sandbox->attempt, &v->arena);
    struct image_info image;
    struct image_failure failure;
    struct error err = {0};
    const char *id;

    if (still_waits(v, c))
        return;
    if (before && before->state == RUN_EXITED && restart_waits(v, c, before))
        return;
    tidy_ended(v, c->name);
    if (image_ensure(g, &v->context, c, &v->arena, &image, &failure) < 0) {
        failed(v, c->name, "image", failure.reason, failure.message);
        return;
    }
    order.restart_count = before ? before->restart_count + 1 : 0;
    order.image_ref = image.ref;
    order.image_uid = image.uid;
    order.image_user = image.user;
    if (find_target(v, c, &order.target_id, &err) < 0 ||
        container_config(g, &v->context, &order, &v->arena, &config, &err) < 0) {
        agent_event(g, v->pod, c->name, EVENT_WARNING, "Failed", "Error: %s", err.message);
        failed(v, c->name, "config", "CreateContainerConfigError", err.message);
        return;
    }
    if (cri_create_container(g->cri, sandbox->id, config, pod_config, &v->arena, &id, &err) < 0) {
        agent_event(g, v->pod, c->name, EVENT_WARNING, "Failed", "Error: %s", err.message);
        failed(v, c->name, "create", "CreateContainerError", err.message);
        return;
    }
    agent_event(g, v->pod, c->name, EVENT_NORMAL, "Created", "Created container: %s", c->name);
    if (cri_start_container(g->cri, id, &err) < 0) {
        agent_event(g, v->pod, c->name, EVENT_WARNING, "Failed", "Error: %s", err.message);
        failed(v, c->name, "start", "RunContainerError", err.message);
        return;
    }
    agent_event(g, v->pod, c->name, EVENT_NORMAL, "Started", "Started container %s", c->name);
    log_info("node", "started container pod=%s/%s container=%s restarts=%d id=%.12s", v->object->ns,
             v->object->name, c->name, order.restart_count, id);
    wait_clear(v->state, c->name);
    post_start(v, c, id);
}

static int prepare_volumes(struct visit *v, struct error *err)
{
    int64_t now = clock_wall_s();
    int rc;

    if (v->state->volumes_at_s && now - v->state->volumes_at_s < REFRESH_S)
        return 0;
    rc = volumes_prepare(v->g, &v->context, v->state->tokens, err);
    if (rc == 0) {
        v->state->volumes_at_s = now;
        return 0;
    }
    agent_event(v->g, v->pod, NULL, EVENT_WARNING, "FailedMount", "%s", err->message);
    if (v->state->volumes_at_s) { /* they are there, only not refreshed */
        log_warn("node", "volumes not refreshed pod=%s/%s err=\"%s\"", v->object->ns,
                 v->object->name, err->message);
        *err = (struct error){0};
        return 0;
    }
    return rc;
}

/* ------------------------------------------------------------------------------ the visit --- */

static bool deadline_passed(const struct visit *v)
{
    const Core__V1__PodSpec *s = v->pod->spec;

    return s->has_active_deadline_seconds && !time_is_zero(v->pod->status->start_time) &&
           clock_wall_s() - v->pod->status->start_time->seconds >= s->active_deadline_seconds;
}

static int fail_pod(struct visit *v, const char *reason, const char *message, struct error *err)
{
    int rc = 0;

    agent_event(v->g, v->pod, NULL, EVENT_WARNING, reason, "%s", message);
    if (v->run) {
        rc = pod_kill_all(v->g, v->pod, v->run, pod_grace_s(v->pod), err);
        if (rc == 0)
            rc = reread(v, err);
    }
    return rc < 0 ? rc : report(v, false, reason, message, err);
}

/* Do what the plan says, up to the point where something must be waited for. */
static int carry_out(struct visit *v, struct pod_plan *plan, struct error *err)
{
    struct probe_view probes = prober_view(v->g->prober);
    int rc = 0;

    if (plan->stop_all)
        rc = pod_kill_all(v->g, v->pod, v->run, pod_grace_s(v->pod), err);
    if (rc == 0 && plan->kill_len)
        rc = pod_kill_containers(v->g, v->pod, v->context.pod_ip, plan->kill, plan->kill_len,
                                 pod_grace_s(v->pod), err);
    if (rc == 0 && plan->kill_len)
        rc = reread(v, err);
    if (rc == 0 && plan->new_sandbox) {
        rc = make_sandbox(v, plan->attempt, err);
        if (rc == 0) {
            context_init(v); /* the pod has an address now */
            pod_plan(v->pod, v->run, &probes, &v->arena, plan);
        }
    }
    for (size_t i = 0; rc == 0 && i < plan->start_len && run_sandbox_ready(v->run); i++)
        start_container(v, plan->start[i]);
    return rc;
}

static int keep_running(struct visit *v, struct error *err)
{
    struct probe_view probes = prober_view(v->g->prober);
    struct pod_plan plan;
    int rc;

    context_init(v);
    if (deadline_passed(v))
        return fail_pod(v, "DeadlineExceeded",
                        "Pod was active on the node longer than the specified "
                        "deadline",
                        err);
    if (v->pod->spec->has_active_deadline_seconds)
        again_in(v, 1000);
    prober_sync(v->g->prober, v->object, v->run);
    rc = report(v, false, NULL, NULL, err);
    if (rc < 0)
        return rc;
    pod_plan(v->pod, v->run, &probes, &v->arena, &plan);
    if (plan.new_sandbox && !v->pod->spec->host_network && !atomic_load(&v->g->network_ready)) {
        agent_event(v->g, v->pod, NULL, EVENT_WARNING, "NetworkNotReady",
                    "network is not ready: container runtime network not ready");
        again_in(v, 1000);
        return 0;
    }
    if (!plan.finished)
        rc = prepare_volumes(v, err);
    if (rc == 0)
        rc = carry_out(v, &plan, err);
    if (rc < 0) {
        log_warn("node", "pod not in its desired state pod=%s/%s err=\"%s\"", v->object->ns,
                 v->object->name, err->message);
        again_in(v, RETRY_MS);
    }
    *err = (struct error){0};
    rc = reread(v, err);
    if (rc < 0)
        return rc;
    tidy_sandboxes(v);
    prober_sync(v->g->prober, v->object, v->run);
    return report(v, false, NULL, NULL, err);
}

static int visit_pod(struct visit *v, struct error *err)
{
    v->pod = v->object->msg;
    v->state = state_get(v->g, v->object->uid);
    if (pod_deleted(v->pod))
        return end_deleted(v, err);
    if (pod_finished(v->pod))
        return settle_finished(v, err);
    return keep_running(v, err);
}

/* Visit the pod(s) of a name; 0 and *again_ms when to come back by itself. */
static int visit(struct agent *g, const char *ns, const char *name, uint64_t *again_ms,
                 struct error *err)
{
    struct visit v = {.g = g, .again_ms = REFRESH_S * 1000 + random_u64() % 5000};
    struct run_pod *pods;
    size_t n;
    int rc;

    arena_init(&v.arena);
    v.object = informer_get(g->pods, ns, name);
    rc = runtime_read(g->cri, ns, name, &v.arena, &pods, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (v.object && strcmp(pods[i].uid, v.object->uid) == 0)
            v.run = &pods[i];
        else
            rc = end_orphan(g, &pods[i], err);
    }
    if (rc == 0 && v.object)
        rc = visit_pod(&v, err);
    *again_ms = v.object ? v.again_ms : 0;
    object_unref(v.object);
    object_refs_free(&v.services);
    arena_free(&v.arena);
    return rc;
}

/* ---------------------------------------------------------------------------- the threads --- */

struct pod_workers {
    struct agent *g;
    pthread_mutex_t lock;
    pthread_cond_t none_left;
    size_t threads, idle;
    pthread_attr_t attributes;
};

static void *worker(void *arg);

/* With the lock held: one more if nobody is free. */
static void spawn_if_busy(struct pod_workers *w)
{
    pthread_t thread;

    if (w->idle > 0 || w->threads >= WORKERS_MAX)
        return;
    if (pthread_create(&thread, &w->attributes, worker, w) == 0) {
        pthread_detach(thread);
        w->threads++;
        w->idle++;
    }
}

static void work(struct agent *g, const char *key)
{
    struct error err = {0};
    struct arena a;
    struct str ns, name;
    uint64_t again_ms = 0;
    int rc;

    object_key_split(str_from(key), &ns, &name);
    arena_init(&a);
    rc = visit(g, arena_strndup(&a, ns.p ? ns.p : "", ns.n), arena_strndup(&a, name.p, name.n),
               &again_ms, &err);
    arena_free(&a);
    if (rc == ERR_CONFLICT) { /* somebody else wrote; the informer will have it in a moment */
        workqueue_add_after(g->queue, key, SOON_MS);
    } else if (rc < 0) {
        log_warn("node", "visit of pod failed pod=%s err=\"%s\"", key, err.message);
        workqueue_add_rate_limited(g->queue, key);
    } else {
        workqueue_forget(g->queue, key);
        if (again_ms)
            workqueue_add_after(g->queue, key, again_ms);
    }
}

static void *worker(void *arg)
{
    struct pod_workers *w = arg;
    bool stay = true;

    while (stay) {
        char *key = workqueue_get_timeout(w->g->queue, IDLE_MS);

        if (key) {
            pthread_mutex_lock(&w->lock);
            w->idle--;
            spawn_if_busy(w);
            pthread_mutex_unlock(&w->lock);
            work(w->g, key);
            workqueue_done(w->g->queue, key);
        }
        pthread_mutex_lock(&w->lock);
        if (key)
            w->idle++;
        else
            stay = !atomic_load(&w->g->stopping) && w->idle <= WORKERS_MIN;
        if (!stay) {
            w->idle--;
            if (--w->threads == 0)
                pthread_cond_signal(&w->none_left);
        }
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

struct pod_workers *pod_workers_start(struct agent *g)
{
    struct pod_workers *w = mem_zalloc(sizeof *w);

    w->g = g;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->none_left, NULL);
    pthread_attr_init(&w->attributes);
    pthread_attr_setstacksize(&w->attributes, STACK_BYTES);
    pthread_mutex_lock(&w->lock);
    spawn_if_busy(w);
    pthread_mutex_unlock(&w->lock);
    return w;
}

void pod_workers_join(struct pod_workers *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->threads)
        pthread_cond_wait(&w->none_left, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_attr_destroy(&w->attributes);
    pthread_cond_destroy(&w->none_left);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}
