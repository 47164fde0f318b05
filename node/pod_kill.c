/*
 * Ending containers (see pod_kill.h).
 */
#include "node/pod_kill.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/files.h"
#include "node/prober.h"
#include "node/trigger.h"
#include "node/volumes.h"
#include <pthread.h>
#include <unistd.h>

#define GRACE_AFTER_HOOK_S 2 /* at least, however long the hook took */
#define HASTEN_MS 100

struct kill_job {
    struct agent *g;
    const Core__V1__Pod *pod;
    const char *pod_ip;
    const struct run_container *container;
    const char *message;
    int64_t grace_s;
    pthread_t thread;
    bool threaded;
    int rc;
    struct error err;
    struct list link; /* in pod_kills.jobs while it is under way */
    bool hastened;    /* SIGKILL has been asked for */
};

struct pod_kills {
    struct agent *g;
    struct trigger *trigger;
    pthread_mutex_t lock;
    struct list jobs; /* struct kill_job, of pods the API has (or had when they began) */
};

bool pod_hook(struct agent *g, const Core__V1__LifecycleHandler *h, const Core__V1__Container *c,
              const char *container_id, const char *pod_ip, int64_t timeout_s, struct arena *a,
              const char **output)
{
    *output = "";
    if (h->exec) {
        const char **argv = arena_array(a, const char *, h->exec->n_command + 1);
        struct cri_exec result;
        struct error err = {0};

        for (size_t i = 0; i < h->exec->n_command; i++)
            argv[i] = h->exec->command[i];
        if (cri_exec_sync(g->cri, container_id, argv, MAX(timeout_s, 1), a, &result, &err) < 0) {
            *output = arena_strdup(a, err.message);
            return false;
        }
        if (result.exit_code)
            *output = arena_printf(a, "command exited with %d", result.exit_code);
        return result.exit_code == 0;
    }
    if (h->http_get)
        return probe_http(g, h->http_get, c, pod_ip,
                          (uint32_t)MIN(MAX(timeout_s, 1), PROBE_TIMEOUT_MAX_S) * 1000, a, output);
    if (h->sleep) {
        sleep((unsigned)MIN(MAX(h->sleep->seconds, 0), timeout_s));
        return true;
    }
    return true;
}

static void run_pre_stop(struct kill_job *j)
{
    const Core__V1__Container *c = j->pod ? pod_container(j->pod, j->container->name) : NULL;
    uint64_t began = clock_mono_ns();
    const char *output;
    struct arena a;

    if (!c || !c->lifecycle || !c->lifecycle->pre_stop || j->grace_s == 0)
        return;
    arena_init(&a);
    if (!pod_hook(j->g, c->lifecycle->pre_stop, c, j->container->id, j->pod_ip, j->grace_s, &a,
                  &output))
        agent_event(j->g, j->pod, c->name, EVENT_WARNING, "FailedPreStopHook",
                    "PreStopHook failed: %s", output);
    arena_free(&a);
    j->grace_s -= (int64_t)((clock_mono_ns() - began) / NS_PER_S);
    j->grace_s = MAX(j->grace_s, GRACE_AFTER_HOOK_S);
}

static void job_listed(struct kill_job *j, bool listed)
{
    struct pod_kills *k = j->g->kills;

    if (!j->pod)
        return;
    pthread_mutex_lock(&k->lock);
    if (listed)
        list_push_back(&k->jobs, &j->link);
    else
        list_remove(&j->link);
    pthread_mutex_unlock(&k->lock);
    if (listed)
        trigger_poke(k->trigger); /* it may have been deleted by force before this began */
}

static void *kill_thread(void *arg)
{
    struct kill_job *j = arg;

    job_listed(j, true);

    if (j->pod)
        agent_event(j->g, j->pod, j->container->name, EVENT_NORMAL, "Killing", "%s", j->message);
    log_info("node", "ending container container=%s id=%.12s grace=%lld", j->container->name,
             j->container->id, (long long)j->grace_s);
    run_pre_stop(j);
    j->rc = cri_stop_container(j->g->cri, j->container->id, j->grace_s, &j->err);
    job_listed(j, false);
    return NULL;
}

/* ------------------------------------------------------------------------------ hastening --- */

/* Milliseconds left of a grace period that was cut short; 0: none, -1: it was not. */
static int64_t time_left_ms(struct agent *g, const struct kill_job *j)
{
    const Meta__V1__ObjectMeta *m = j->pod->metadata;
    struct object *o = informer_get(g->pods, m->namespace_, m->name);
    int64_t left = -1;

    if (!o || strcmp(o->uid, m->uid) != 0) {
        left = 0;
    } else if (pod_deleted(j->pod)) {
        /* The time stamp says when it is to be gone; a second deletion can only move it forward. */
        const Core__V1__Pod *now = o->msg;
        int64_t due_s = now->metadata->deletion_timestamp->seconds;
        if (due_s < m->deletion_timestamp->seconds)
            left = MAX(due_s * 1000 - clock_wall_ns() / (int64_t)NS_PER_MS, 0);
    }
    object_unref(o);
    return left;
}

/* Jobs whose time has been cut short. The containers' ids are copied: a job may end while its container is
 * being stopped. */
static uint64_t hasten(void *ctx)
{
    struct pod_kills *k = ctx;
    int64_t soonest = INT64_MAX;
    struct arena a;
    struct {
        char **items;
        size_t len, cap;
    } ids = {0};

    arena_init(&a);
    pthread_mutex_lock(&k->lock);
    list_for_each (it, &k->jobs) {
        struct kill_job *j = list_entry(it, struct kill_job, link);
        int64_t left = j->hastened ? -1 : time_left_ms(k->g, j);

        if (left > 0)
            soonest = MIN(soonest, left);
        if (left == 0) {
            j->hastened = true;
            vec_push(&ids, arena_strdup(&a, j->container->id));
        }
    }
    pthread_mutex_unlock(&k->lock);
    for (size_t i = 0; i < ids.len; i++) {
        struct error err = {0};
        log_info("node", "grace period cut short id=%.12s", ids.items[i]);
        if (cri_stop_container(k->g->cri, ids.items[i], 0, &err) < 0)
            log_warn("node", "container not killed id=%.12s err=\"%s\"", ids.items[i], err.message);
    }
    vec_free(&ids);
    arena_free(&a);
    return soonest == INT64_MAX ? 0 : (uint64_t)soonest;
}

static void on_pod_update(void *ctx, struct object *old, struct object *now)
{
    (void)old;
    if (pod_deleted(now->msg))
        trigger_poke(((struct pod_kills *)ctx)->trigger);
}

static void on_pod_delete(void *ctx, struct object *old)
{
    (void)old;
    trigger_poke(((struct pod_kills *)ctx)->trigger);
}

struct pod_kills *pod_kills_start(struct agent *g)
{
    struct pod_kills *k = mem_zalloc(sizeof *k);
    struct informer_handler h = {.on_update = on_pod_update, .on_delete = on_pod_delete, .ctx = k};

    k->g = g;
    pthread_mutex_init(&k->lock, NULL);
    list_init(&k->jobs);
    k->trigger = trigger_start("hasten", HASTEN_MS, hasten, k);
    informer_add_handler(g->pods, &h);
    return k;
}

void pod_kills_stop(struct pod_kills *k)
{
    if (!k)
        return;
    trigger_stop(k->trigger);
    pthread_mutex_destroy(&k->lock);
    mem_free(k);
}

/* -------------------------------------------------------------------------------- killing --- */

int pod_kill_containers(struct agent *g, const Core__V1__Pod *pod, const char *pod_ip,
                        const struct plan_kill *kills, size_t n, int64_t grace_s, struct error *err)
{
    struct kill_job *jobs = mem_zalloc((n + 1) * sizeof *jobs);
    int rc = 0;

    for (size_t i = 0; i < n; i++) {
        const Core__V1__Container *c = pod ? pod_container(pod, kills[i].container->name) : NULL;
        const Core__V1__Probe *probe = c ? c->liveness_probe : NULL;

        jobs[i] = (struct kill_job){.g = g,
                                    .pod = pod,
                                    .pod_ip = pod_ip,
                                    .container = kills[i].container,
                                    .message = kills[i].message,
                                    .grace_s = grace_s};
        if (kills[i].unhealthy && probe && probe->has_termination_grace_period_seconds)
            jobs[i].grace_s = MAX(probe->termination_grace_period_seconds, 0);
        /* The last one needs no thread of its own. */
        jobs[i].threaded =
            i + 1 < n && pthread_create(&jobs[i].thread, NULL, kill_thread, &jobs[i]) == 0;
        if (!jobs[i].threaded)
            kill_thread(&jobs[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].threaded)
            pthread_join(jobs[i].thread, NULL);
        if (jobs[i].rc < 0 && rc == 0)
            rc = error_set(err, jobs[i].rc, "stop container %s: %s", jobs[i].container->name,
                           jobs[i].err.message);
    }
    mem_free(jobs);
    return rc;
}

static bool is_sidecar_of(const Core__V1__Pod *pod, const char *name)
{
    for (size_t i = 0; pod && i < pod->spec->n_init_containers; i++) {
        if (cstr_eq(pod->spec->init_containers[i]->name, name))
            return container_is_sidecar(pod->spec->init_containers[i]);
    }
    return false;
}

static int kill_some(struct agent *g, const Core__V1__Pod *pod, const struct run_pod *run,
                     bool sidecars, const char *ip, int64_t grace_s, struct error *err)
{
    struct plan_kill *kills = mem_zalloc((run->containers_len + 1) * sizeof *kills);
    struct arena a;
    size_t n = 0;
    int rc;

    arena_init(&a);
    for (size_t i = 0; i < run->containers_len; i++) {
        const struct run_container *r = &run->containers[i];
        if (r->state != RUN_EXITED && is_sidecar_of(pod, r->name) == sidecars)
            kills[n++] = (struct plan_kill){
                .container = r, .message = arena_printf(&a, "Stopping container %s", r->name)};
    }
    rc = pod_kill_containers(g, pod, ip, kills, n, grace_s, err);
    arena_free(&a);
    mem_free(kills);
    return rc;
}

int pod_kill_all(struct agent *g, const Core__V1__Pod *pod, const struct run_pod *run,
                 int64_t grace_s, struct error *err)
{
    const struct run_sandbox *sandbox = run_sandbox_ready(run);
    const char *ip = sandbox ? sandbox->ip : "";
    uint64_t began = clock_mono_ns();
    int rc = kill_some(g, pod, run, false, ip, grace_s, err);

    if (rc == 0) {
        int64_t left = grace_s - (int64_t)((clock_mono_ns() - began) / NS_PER_S);
        rc = kill_some(g, pod, run, true, ip, MAX(left, MIN(grace_s, GRACE_AFTER_HOOK_S)), err);
    }
    for (size_t i = 0; i < run->sandboxes_len && rc == 0; i++) {
        if (run->sandboxes[i].ready)
            rc = cri_stop_sandbox(g->cri, run->sandboxes[i].id, err);
    }
    return rc;
}

int pod_remove(struct agent *g, const struct run_pod *run, const char *ns, const char *name,
               const char *uid, struct error *err)
{
    struct arena a;
    int rc = 0;

    arena_init(&a);
    for (size_t i = 0; run && i < run->containers_len && rc == 0; i++)
        rc = cri_remove_container(g->cri, run->containers[i].id, err);
    for (size_t i = 0; run && i < run->sandboxes_len && rc == 0; i++) {
        rc = cri_stop_sandbox(g->cri, run->sandboxes[i].id, err);
        if (rc == 0)
            rc = cri_remove_sandbox(g->cri, run->sandboxes[i].id, err);
    }
    if (rc == 0)
        rc = volumes_remove(g, uid, err);
    if (rc == 0)
        rc = file_remove_tree(agent_log_dir(g, &a, ns, name, uid), err);
    if (rc == 0)
        agent_remove_cgroups(g, uid);
    arena_free(&a);
    return rc;
}
