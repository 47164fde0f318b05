/*
 * The difference between a pod's spec and what runs (see pod_plan.h).
 */
#include "node/pod_plan.h"
#include "base/mem.h"

static void plan_start(struct pod_plan *p, struct arena *a, const Core__V1__Container *c)
{
    p->start = list_room(a, p->start, p->start_len, sizeof *p->start);
    p->start[p->start_len++] = c;
}

static void plan_kill(struct pod_plan *p, struct arena *a, const struct run_container *r,
                      bool unhealthy, const char *reason, const char *message)
{
    p->kill = list_room(a, p->kill, p->kill_len, sizeof *p->kill);
    p->kill[p->kill_len++] = (struct plan_kill){r, reason, message, unhealthy};
}

bool container_restarts(const Core__V1__Pod *pod, const Core__V1__Container *c, bool init,
                        int exit_code)
{
    const char *policy =
        c->restart_policy && *c->restart_policy ? c->restart_policy : pod->spec->restart_policy;

    if (init && container_is_sidecar(c))
        return true;
    if (cstr_eq(policy, "Never"))
        return false;
    /* An init container that succeeded is done, whatever the policy. */
    if (cstr_eq(policy, "OnFailure") || init)
        return exit_code != 0;
    return true;
}

/* The newest container of that name, if it belongs to this sandbox. */
static const struct run_container *in_sandbox(const struct run_pod *run, const char *name,
                                              const struct run_sandbox *sandbox)
{
    const struct run_container *r = run_container_newest(run, name);

    return r && strcmp(r->sandbox_id, sandbox->id) == 0 ? r : NULL;
}

/* Is every ordinary container over for good? False while one has not even run. */
static bool main_done(const Core__V1__Pod *pod, const struct run_pod *run)
{
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        const Core__V1__Container *c = pod->spec->containers[i];
        const struct run_container *r = run_container_newest(run, c->name);

        if (!r || r->state != RUN_EXITED || container_restarts(pod, c, false, r->exit_code))
            return false;
    }
    return true;
}

static bool main_begun(const Core__V1__Pod *pod, const struct run_pod *run,
                       const struct run_sandbox *sandbox)
{
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        if (in_sandbox(run, pod->spec->containers[i]->name, sandbox))
            return true;
    }
    return false;
}

/* An init container that failed and may not be tried again fails the pod. */
static bool init_failed(const Core__V1__Pod *pod, const struct run_pod *run)
{
    for (size_t i = 0; i < pod->spec->n_init_containers; i++) {
        const Core__V1__Container *c = pod->spec->init_containers[i];
        const struct run_container *r = run_container_newest(run, c->name);

        if (r && r->state == RUN_EXITED && r->exit_code != 0 &&
            !container_restarts(pod, c, true, r->exit_code))
            return true;
    }
    return false;
}

/* A running container that must end: its image changed, or a probe gave up on it. */
static bool check_running(struct pod_plan *p, const struct run_pod *run,
                          const struct run_container *r, const Core__V1__Container *c,
                          const struct probe_view *probes, struct arena *a)
{
    if (*r->hash && strcmp(r->hash, container_hash(a, c)) != 0) {
        plan_kill(p, a, r, false, "Changed",
                  arena_printf(a, "Container %s definition changed, will be restarted", c->name));
        return true;
    }
    if (!probes->live(probes->ctx, run->uid, r->id)) {
        bool started = probes->started(probes->ctx, run->uid, r->id);
        plan_kill(p, a, r, true, "Unhealthy",
                  arena_printf(a, "Container %s failed %s probe, will be restarted", c->name,
                               started ? "liveness" : "startup"));
        return true;
    }
    return false;
}

/* Returns true when the next one may go ahead. */
static bool plan_init(struct pod_plan *p, const Core__V1__Pod *pod, const Core__V1__Container *c,
                      const struct run_pod *run, const struct run_sandbox *sandbox, bool begun,
                      const struct probe_view *probes, struct arena *a)
{
    const struct run_container *r = in_sandbox(run, c->name, sandbox);
    bool sidecar = container_is_sidecar(c);

    if (begun && !sidecar)
        return true;
    if (!r || r->state == RUN_CREATED || r->state == RUN_UNKNOWN) {
        if (r && r->state == RUN_UNKNOWN)
            plan_kill(p, a, r, false, "Unknown", "Container is in an unknown state");
        plan_start(p, a, c);
        return begun;
    }
    if (r->state == RUN_RUNNING) {
        if (check_running(p, run, r, c, probes, a))
            return begun;
        return sidecar && (begun || probes->started(probes->ctx, run->uid, r->id));
    }
    if (!container_restarts(pod, c, true, r->exit_code))
        return r->exit_code == 0;
    plan_start(p, a, c);
    return begun;
}

static void plan_main(struct pod_plan *p, const Core__V1__Pod *pod, const struct run_pod *run,
                      const struct run_sandbox *sandbox, const struct probe_view *probes,
                      struct arena *a)
{
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        const Core__V1__Container *c = pod->spec->containers[i];
        const struct run_container *any = run_container_newest(run, c->name);
        const struct run_container *r = in_sandbox(run, c->name, sandbox);

        if (r && r->state == RUN_RUNNING) {
            check_running(p, run, r, c, probes, a);
        } else if (any && any->state == RUN_EXITED) {
            /* Also what ended in an earlier sandbox counts: a job is not run twice. */
            if (container_restarts(pod, c, false, any->exit_code))
                plan_start(p, a, c);
        } else {
            if (r && r->state == RUN_UNKNOWN)
                plan_kill(p, a, r, false, "Unknown", "Container is in an unknown state");
            plan_start(p, a, c);
        }
    }
}

/* What somebody debugs with: in no order, and never a second time. */
static void plan_ephemeral(struct pod_plan *p, const Core__V1__Pod *pod, const struct run_pod *run,
                           struct arena *a)
{
    for (size_t i = 0; i < pod->spec->n_ephemeral_containers; i++) {
        const Core__V1__Container *c = pod_ephemeral(pod, i);

        if (!run_container_newest(run, c->name))
            plan_start(p, a, c);
    }
}

static void plan_end_sidecars(struct pod_plan *p, const Core__V1__Pod *pod,
                              const struct run_pod *run, struct arena *a)
{
    for (size_t i = pod->spec->n_init_containers; i-- > 0;) {
        const Core__V1__Container *c = pod->spec->init_containers[i];
        const struct run_container *r = run_container_newest(run, c->name);

        if (r && r->state == RUN_RUNNING)
            plan_kill(p, a, r, false, "Completed",
                      arena_printf(a, "Stopping container %s: the pod has completed", c->name));
    }
}

static uint32_t next_attempt(const struct run_pod *run)
{
    return run && run->sandboxes_len ? run->sandboxes[0].attempt + 1 : 0;
}

void pod_plan(const Core__V1__Pod *pod, const struct run_pod *run, const struct probe_view *probes,
              struct arena *a, struct pod_plan *out)
{
    const struct run_sandbox *sandbox = run ? run_sandbox_ready(run) : NULL;
    bool begun;

    *out = (struct pod_plan){0};
    if (run && (main_done(pod, run) || init_failed(pod, run))) {
        if (init_failed(pod, run))
            out->stop_all = run_pod_active(run);
        else
            plan_end_sidecars(out, pod, run, a);
        out->finished = out->kill_len == 0 && !out->stop_all;
        return;
    }
    if (!sandbox) {
        out->stop_all = run && run_pod_active(run);
        out->new_sandbox = true;
        out->attempt = next_attempt(run);
        return; /* what is to start is planned again once the sandbox is there */
    }
    plan_ephemeral(out, pod, run, a);
    begun = main_begun(pod, run, sandbox);
    for (size_t i = 0; i < pod->spec->n_init_containers; i++) {
        if (!plan_init(out, pod, pod->spec->init_containers[i], run, sandbox, begun, probes, a))
            return;
    }
    plan_main(out, pod, run, sandbox, probes, a);
}
