/*
 * A pod's status (see pod_status.h).
 */
#include "node/pod_status.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/arena_text.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdio.h>

/* ----------------------------------------------------------------------------- containers --- */

static const struct wait_reason *wait_of(const struct status_input *in, const char *container)
{
    for (size_t i = 0; i < in->waits_len; i++) {
        if (strcmp(in->waits[i].container, container) == 0)
            return &in->waits[i];
    }
    return NULL;
}

static const char *container_id(const struct status_input *in, const struct run_container *r,
                                struct arena *a)
{
    return arena_printf(a, "%s://%s", in->runtime_name, r->id);
}

static Core__V1__ContainerState *state_terminated(const struct status_input *in,
                                                  const struct run_container *r, struct arena *a)
{
    Core__V1__ContainerState *s = api_new(a, Core__V1__ContainerState);
    Core__V1__ContainerStateTerminated *t = api_new(a, Core__V1__ContainerStateTerminated);
    const char *words = in->last_words ? in->last_words(in->ctx, r, a) : "";

    t->exit_code = r->exit_code;
    t->reason = (char *)(*r->reason ? r->reason : r->exit_code ? "Error" : "Completed");
    t->message = arena_readable(a, str_from(*words ? words : r->message));
    t->started_at = time_from_s(a, r->started_ns / (int64_t)NS_PER_S);
    t->finished_at = time_from_s(a, r->finished_ns / (int64_t)NS_PER_S);
    t->container_id = (char *)container_id(in, r, a);
    s->terminated = t;
    return s;
}

static Core__V1__ContainerState *state_waiting(const char *reason, const char *message,
                                               struct arena *a)
{
    Core__V1__ContainerState *s = api_new(a, Core__V1__ContainerState);

    s->waiting = api_new(a, Core__V1__ContainerStateWaiting);
    s->waiting->reason = (char *)reason;
    s->waiting->message = arena_readable(a, str_from(message ? message : ""));
    return s;
}

static Core__V1__ContainerState *state_running(const struct run_container *r, struct arena *a)
{
    Core__V1__ContainerState *s = api_new(a, Core__V1__ContainerState);

    s->running = api_new(a, Core__V1__ContainerStateRunning);
    s->running->started_at = time_from_s(a, r->started_ns / (int64_t)NS_PER_S);
    return s;
}

/* A container that never ran, in a pod that is over: nobody can know how it ended. */
static Core__V1__ContainerState *state_never_ran(struct arena *a)
{
    Core__V1__ContainerState *s = api_new(a, Core__V1__ContainerState);

    s->terminated = api_new(a, Core__V1__ContainerStateTerminated);
    s->terminated->exit_code = 137;
    s->terminated->reason = "ContainerStatusUnknown";
    s->terminated->message = "The container could not be located when the pod was terminated";
    return s;
}

/* Present and last state of a container of which there is at least one instance. */
static void states_of_run(const struct status_input *in, const Core__V1__Container *c, bool init,
                          const struct run_container *r, Core__V1__ContainerStatus *s,
                          struct arena *a)
{
    const struct run_container *before = run_container_previous(in->run, c->name);
    const struct wait_reason *wait = wait_of(in, c->name);
    bool again = r->state == RUN_EXITED && !in->ended && !in->fail_reason &&
                 container_restarts(in->pod, c, init, r->exit_code);

    if (before && before->state == RUN_EXITED)
        s->last_state = state_terminated(in, before, a);
    if (r->state == RUN_RUNNING) {
        s->state = state_running(r, a);
    } else if (r->state == RUN_EXITED && again && wait) {
        s->state = state_waiting(wait->reason, wait->message, a);
        s->last_state = state_terminated(in, r, a);
    } else if (r->state == RUN_EXITED) {
        s->state = state_terminated(in, r, a);
    } else {
        s->state = state_waiting(wait ? wait->reason : "ContainerCreating",
                                 wait ? wait->message : NULL, a);
    }
}

/* ------------------------------------------------------------------------------ resources --- */

static const Core__V1__ContainerStatus *status_of(Core__V1__ContainerStatus *const *list, size_t n,
                                                  const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (cstr_eq(list[i]->name, name))
            return list[i];
    }
    return NULL;
}

/*
 * A container has the resources of the spec that it was made from, as long as it runs: those that were reported
 * when it was first seen.
 */
static void resources_in_force(const struct status_input *in, const Core__V1__Container *c,
                               bool init, Core__V1__ContainerStatus *s, struct arena *a)
{
    const Core__V1__PodStatus *was = in->pod->status;
    const Core__V1__ContainerStatus *old =
        init ? status_of(was->init_container_statuses, was->n_init_container_statuses, c->name)
             : status_of(was->container_statuses, was->n_container_statuses, c->name);

    if (old && old->resources && cstr_eq(old->container_id, s->container_id)) {
        s->resources = old->resources;
        s->n_allocated_resources = old->n_allocated_resources;
        s->allocated_resources = old->allocated_resources;
        return;
    }
    s->resources =
        c->resources ? object_clone(a, c->resources) : api_new(a, Core__V1__ResourceRequirements);
    s->n_allocated_resources = s->resources->n_requests;
    s->allocated_resources = s->resources->requests;
}

static bool same_amounts(Meta__V1__QuantityEntry *const *x, size_t n,
                         Meta__V1__QuantityEntry *const *y, size_t m)
{
    static const char *const names[] = {"cpu", "memory"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *one = quantity_map_get(x, n, names[i]);
        const char *other = quantity_map_get(y, m, names[i]);
        if (!one != !other || (one && quantity_cmp(quantity_of(one), quantity_of(other)) != 0))
            return false;
    }
    return true;
}

/* Does the spec ask for other resources than the container has? */
static bool wants_resize(const Core__V1__Container *c, const Core__V1__ContainerStatus *s)
{
    const Core__V1__ResourceRequirements *want = c->resources, *have = s->resources;

    return want && have && s->state->running &&
           (!same_amounts(want->limits, want->n_limits, have->limits, have->n_limits) ||
            !same_amounts(want->requests, want->n_requests, have->requests, have->n_requests));
}

static Core__V1__ContainerStatus *container_status(const struct status_input *in,
                                                   const Core__V1__Container *c, bool init,
                                                   struct arena *a)
{
    const struct run_container *r = run_container_newest(in->run, c->name);
    const struct wait_reason *wait = wait_of(in, c->name);
    Core__V1__ContainerStatus *s = api_new(a, Core__V1__ContainerStatus);
    bool running = r && r->state == RUN_RUNNING, started;

    s->name = c->name;
    s->image = c->image;
    if (!r) {
        bool initializing = in->pod->spec->n_init_containers > 0;
        if (in->ended || in->fail_reason)
            s->state = state_never_ran(a);
        else if (wait)
            s->state = state_waiting(wait->reason, wait->message, a);
        else
            s->state =
                state_waiting(initializing ? "PodInitializing" : "ContainerCreating", NULL, a);
        api_set(s, started, false);
        return s;
    }
    states_of_run(in, c, init, r, s, a);
    s->restart_count = r->restart_count;
    s->container_id = (char *)container_id(in, r, a);
    s->image_id = (char *)r->image_ref;
    started = running && in->probes->started(in->probes->ctx, in->run->uid, r->id);
    api_set(s, started, started);
    if (running)
        resources_in_force(in, c, init, s, a);
    if (init && !container_is_sidecar(c))
        s->ready = r->state == RUN_EXITED && r->exit_code == 0;
    else
        s->ready = started && in->probes->ready(in->probes->ctx, in->run->uid, r->id);
    return s;
}

/* Nobody waits for an ephemeral container: it is neither started nor ready. */
static Core__V1__ContainerStatus *ephemeral_status(const struct status_input *in,
                                                   const Core__V1__Container *c, struct arena *a)
{
    Core__V1__ContainerStatus *s = container_status(in, c, false, a);

    s->ready = false;
    s->has_started = false;
    s->resources = NULL;
    s->n_allocated_resources = 0;
    return s;
}

/* ---------------------------------------------------------------------------------- phase --- */

static bool ended_well(const Core__V1__ContainerStatus *s)
{
    return s->state && s->state->terminated && s->state->terminated->exit_code == 0;
}

/* All init containers done? Sidecars count as soon as they have started. */
static bool initialized(const Core__V1__Pod *pod, const Core__V1__PodStatus *s)
{
    for (size_t i = 0; i < s->n_init_container_statuses; i++) {
        const Core__V1__ContainerStatus *c = s->init_container_statuses[i];
        bool sidecar = container_is_sidecar(pod->spec->init_containers[i]);

        if (sidecar ? !api_get(c, started, false) : !ended_well(c))
            return false;
    }
    return true;
}

static const char *phase_when_ended(const Core__V1__PodStatus *s)
{
    for (size_t i = 0; i < s->n_container_statuses; i++) {
        if (!ended_well(s->container_statuses[i]))
            return "Failed";
    }
    return "Succeeded";
}

static const char *phase_of(const struct status_input *in, const Core__V1__PodStatus *s)
{
    const Core__V1__Pod *pod = in->pod;
    size_t waiting = 0, running = 0, stopped = 0, succeeded = 0;

    if (in->fail_reason)
        return "Failed";
    if (in->ended)
        return phase_when_ended(s);
    for (size_t i = 0; i < s->n_container_statuses; i++) {
        const Core__V1__ContainerStatus *c = s->container_statuses[i];

        if (c->state->running)
            running++;
        else if (c->state->terminated) {
            stopped++;
            succeeded += c->state->terminated->exit_code == 0;
        } else if (c->last_state && c->last_state->terminated)
            stopped++;
        else
            waiting++;
    }
    for (size_t i = 0; i < s->n_init_container_statuses && !running && !stopped; i++) {
        const Core__V1__ContainerStatus *c = s->init_container_statuses[i];
        const Core__V1__ContainerStateTerminated *t = c->state->terminated;

        if (t && t->exit_code &&
            !container_restarts(pod, pod->spec->init_containers[i], true, t->exit_code))
            return "Failed";
    }
    if (waiting && !running && !stopped && !initialized(pod, s))
        return "Pending";
    if (waiting)
        return "Pending";
    if (running)
        return "Running";
    if (!stopped)
        return "Pending";
    if (cstr_eq(pod->spec->restart_policy, "Always"))
        return "Running";
    if (stopped == succeeded)
        return "Succeeded";
    return cstr_eq(pod->spec->restart_policy, "Never") ? "Failed" : "Running";
}

/* ----------------------------------------------------------------------------- conditions --- */

static const Core__V1__PodCondition *condition_find(const Core__V1__PodStatus *s, const char *type)
{
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (cstr_eq(s->conditions[i]->type, type))
            return s->conditions[i];
    }
    return NULL;
}

static void condition_add(const struct status_input *in, Core__V1__PodStatus *s, const char *type,
                          bool value, const char *reason, const char *message, struct arena *a)
{
    const Core__V1__PodCondition *old = condition_find(in->pod->status, type);
    Core__V1__PodCondition *c = api_new(a, Core__V1__PodCondition);

    c->type = (char *)type;
    c->status = value ? "True" : "False";
    c->reason = (char *)(reason ? reason : "");
    c->message = (char *)(message ? message : "");
    c->last_transition_time =
        old && cstr_eq(old->status, c->status) && !time_is_zero(old->last_transition_time)
            ? old->last_transition_time
            : time_from_s(a, in->now_s);
    api_append(a, s, conditions, c);
}

/* "[a b]": names of the containers that are not ready (or not initialised). */
static const char *unready(const struct status_input *in, const Core__V1__PodStatus *s, bool init,
                           struct arena *a)
{
    struct buf out;
    const char *text = NULL;
    size_t n = init ? s->n_init_container_statuses : s->n_container_statuses;

    buf_init(&out);
    for (size_t i = 0; i < n; i++) {
        const Core__V1__ContainerStatus *c =
            init ? s->init_container_statuses[i] : s->container_statuses[i];
        bool sidecar = init && container_is_sidecar(in->pod->spec->init_containers[i]);
        bool good = init && sidecar ? api_get(c, started, false) : c->ready;

        if (!good)
            buf_printf(&out, "%s%s", out.len ? " " : "", c->name);
    }
    if (out.len)
        text = arena_printf(a, "[%s]", buf_cstr(&out));
    buf_free(&out);
    return text;
}

static bool gates_open(const struct status_input *in, const char **closed)
{
    for (size_t i = 0; i < in->pod->spec->n_readiness_gates; i++) {
        const char *type = in->pod->spec->readiness_gates[i]->condition_type;
        const Core__V1__PodCondition *c = condition_find(in->pod->status, type);

        if (!c || !cstr_eq(c->status, "True")) {
            *closed = type;
            return false;
        }
    }
    return true;
}

static void ready_conditions(const struct status_input *in, Core__V1__PodStatus *s, struct arena *a)
{
    const char *names = unready(in, s, false, a), *reason = NULL, *message = NULL, *closed = NULL;
    bool over = cstr_eq(s->phase, "Succeeded") || cstr_eq(s->phase, "Failed");
    bool containers_ready = !names && !over && s->n_container_statuses > 0;
    bool ready = containers_ready && gates_open(in, &closed);

    if (cstr_eq(s->phase, "Succeeded"))
        reason = "PodCompleted";
    else if (cstr_eq(s->phase, "Failed"))
        reason = "PodFailed";
    else if (!containers_ready) {
        reason = "ContainersNotReady";
        message = arena_printf(a, "containers with unready status: %s", names ? names : "[]");
    }
    condition_add(
        in, s, "Ready", ready, containers_ready && !ready ? "ReadinessGatesNotReady" : reason,
        containers_ready && !ready
            ? arena_printf(a,
                           "corresponding condition of pod readiness gate \"%s\" does not "
                           "have \"True\" status",
                           closed)
            : message,
        a);
    condition_add(in, s, "ContainersReady", containers_ready, reason, message, a);
}

/* Containers keep what they were made with: a resize takes effect when they are made anew, and until then
 * the pod says that it cannot be had. */
static void resize_condition(const struct status_input *in, Core__V1__PodStatus *s, struct arena *a)
{
    const Core__V1__PodSpec *spec = in->pod->spec;
    const char *name = NULL;

    for (size_t i = 0; i < spec->n_init_containers && !name; i++) {
        if (wants_resize(spec->init_containers[i], s->init_container_statuses[i]))
            name = spec->init_containers[i]->name;
    }
    for (size_t i = 0; i < spec->n_containers && !name; i++) {
        if (wants_resize(spec->containers[i], s->container_statuses[i]))
            name = spec->containers[i]->name;
    }
    if (name)
        condition_add(in, s, "PodResizePending", true, "Infeasible",
                      arena_printf(a,
                                   "container %s: resizing a running container is not supported by "
                                   "this node agent",
                                   name),
                      a);
}

static void conditions(const struct status_input *in, Core__V1__PodStatus *s, struct arena *a)
{
    static const char *const own[] = {
        "PodReadyToStartContainers", "Initialized",      "Ready",
        "ContainersReady",           "PodResizePending", "PodResizeInProgress"};
    const struct run_sandbox *sandbox = run_sandbox_ready(in->run);
    bool done = initialized(in->pod, s) || cstr_eq(s->phase, "Succeeded");
    const char *names = done ? NULL : unready(in, s, true, a);
    const Core__V1__PodStatus *old = in->pod->status;

    condition_add(in, s, "PodReadyToStartContainers",
                  sandbox && (sandbox->host_network || *sandbox->ip), NULL, NULL, a);
    condition_add(
        in, s, "Initialized", done,
        done ? cstr_eq(s->phase, "Succeeded") ? "PodCompleted" : NULL : "ContainersNotInitialized",
        done ? NULL
             : arena_printf(a, "containers with incomplete status: %s", names ? names : "[]"),
        a);
    ready_conditions(in, s, a);
    if (!condition_find(old, "PodScheduled"))
        condition_add(in, s, "PodScheduled", true, NULL, NULL, a);
    resize_condition(in, s, a);
    for (size_t i = 0; i < old->n_conditions; i++) {
        bool ours = false;
        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            ours |= cstr_eq(old->conditions[i]->type, own[k]);
        if (!ours)
            api_append(a, s, conditions, old->conditions[i]);
    }
}

/* ------------------------------------------------------------------------------------ all --- */

static void addresses(const struct status_input *in, Core__V1__PodStatus *s, struct arena *a)
{
    const struct run_sandbox *sandbox = run_sandbox_ready(in->run);
    Core__V1__HostIP *host = api_new(a, Core__V1__HostIP);
    const char *ip = in->pod->spec->host_network ? (sandbox ? in->host_ip : "")
                     : sandbox                   ? sandbox->ip
                                                 : "";

    s->host_ip = (char *)in->host_ip;
    host->ip = (char *)in->host_ip;
    api_append(a, s, host_ips, host);
    /* A pod that is over keeps the address it had. */
    if (!*ip && (in->ended || in->fail_reason || pod_finished(in->pod)) && in->pod->status->pod_ip)
        ip = in->pod->status->pod_ip;
    if (*ip) {
        Core__V1__PodIP *own = api_new(a, Core__V1__PodIP);
        own->ip = (char *)ip;
        s->pod_ip = (char *)ip;
        api_append(a, s, pod_ips, own);
    }
}

Core__V1__PodStatus *pod_status(const struct status_input *in, struct arena *a)
{
    const Core__V1__PodSpec *spec = in->pod->spec;
    const Core__V1__PodStatus *old = in->pod->status;
    Core__V1__PodStatus *s = api_new(a, Core__V1__PodStatus);

    for (size_t i = 0; i < spec->n_init_containers; i++)
        api_append(a, s, init_container_statuses,
                   container_status(in, spec->init_containers[i], true, a));
    for (size_t i = 0; i < spec->n_containers; i++)
        api_append(a, s, container_statuses, container_status(in, spec->containers[i], false, a));
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
        api_append(a, s, ephemeral_container_statuses,
                   ephemeral_status(in, pod_ephemeral(in->pod, i), a));
    s->phase = (char *)(pod_finished(in->pod) ? old->phase : phase_of(in, s));
    s->reason = (char *)(in->fail_reason ? in->fail_reason : old->reason ? old->reason : "");
    s->message = (char *)(in->fail_message ? in->fail_message : old->message ? old->message : "");
    if (!pod_finished(in->pod) && !in->fail_reason)
        s->reason = s->message = ""; /* the scheduler's "Unschedulable" and the like are over */
    s->qos_class = (char *)pod_qos(in->pod);
    s->start_time = time_is_zero(old->start_time) ? time_from_s(a, in->now_s) : old->start_time;
    s->nominated_node_name = old->nominated_node_name;
    s->observed_generation = in->pod->metadata->generation;
    s->resize = old->resize;
    s->n_resource_claim_statuses = old->n_resource_claim_statuses;
    s->resource_claim_statuses = old->resource_claim_statuses;
    addresses(in, s, a);
    conditions(in, s, a);
    return s;
}

bool pod_status_equal(const Core__V1__PodStatus *a, const Core__V1__PodStatus *b)
{
    return object_equal(a, b);
}
