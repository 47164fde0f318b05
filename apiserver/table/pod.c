/*
 * The row of a pod: readiness, a status that says what is going on, restarts.
 */
#include "api/meta.h"
#include "apiserver/table/table.h"
#include "base/map.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proto/core_v1.pb-c.h"

struct summary {
    const char *reason;
    int ready, total;
    int64_t restarts;
    int64_t last_restart_s; /* 0: never */
};

static int64_t seconds(const Meta__V1__Time *t)
{
    return time_ns(t) / (int64_t)NS_PER_S;
}

/* Init containers by name; the first of several counts. */
static void index_init(struct map *index, const Core__V1__PodSpec *spec)
{
    map_init(index);
    for (size_t i = spec->n_init_containers; i-- > 0;)
        map_put(index, str_from(spec->init_containers[i]->name), spec->init_containers[i]);
}

static bool restarts_always(const Core__V1__Container *c)
{
    return c && cstr_eq(c->restart_policy, "Always");
}

static const char *terminated_reason(struct arena *a, const Core__V1__ContainerStateTerminated *t)
{
    if (*t->reason)
        return t->reason;
    return t->signal ? arena_printf(a, "Signal:%d", t->signal)
                     : arena_printf(a, "ExitCode:%d", t->exit_code);
}

static void note_restart(struct summary *s, const Core__V1__ContainerStatus *cs)
{
    s->restarts += cs->restart_count;
    const Core__V1__ContainerState *last = cs->last_state;
    if (last && last->terminated)
        s->last_restart_s = MAX(s->last_restart_s, seconds(last->terminated->finished_at));
}

/* Init containers run one after the other: the first that is not through tells the status. */
static bool init_status_of(struct arena *a, const Core__V1__Pod *pod, const struct map *index,
                           struct summary *s)
{
    const Core__V1__PodStatus *st = pod->status;
    struct summary init = *s;
    for (size_t i = 0; i < st->n_init_container_statuses; i++) {
        const Core__V1__ContainerStatus *cs = st->init_container_statuses[i];
        const Core__V1__ContainerState *state = cs->state;
        const Core__V1__Container *c = map_get(index, str_from(cs->name));
        note_restart(&init, cs);
        if (restarts_always(c))
            note_restart(s, cs);
        if (state->terminated && state->terminated->exit_code == 0)
            continue;
        if (restarts_always(c) && cs->has_started && cs->started) {
            if (cs->ready)
                s->ready++;
            continue;
        }
        if (state->terminated)
            s->reason = arena_printf(a, "Init:%s", terminated_reason(a, state->terminated));
        else if (state->waiting && *state->waiting->reason &&
                 strcmp(state->waiting->reason, "PodInitializing") != 0)
            s->reason = arena_printf(a, "Init:%s", state->waiting->reason);
        else
            s->reason = arena_printf(a, "Init:%zu/%zu", i, pod->spec->n_init_containers);
        s->restarts = init.restarts;
        s->last_restart_s = init.last_restart_s;
        return true;
    }
    return false;
}

static bool has_ready_condition(const Core__V1__PodStatus *st)
{
    for (size_t i = 0; i < st->n_conditions; i++)
        if (strcmp(st->conditions[i]->type, "Ready") == 0 &&
            strcmp(st->conditions[i]->status, "True") == 0)
            return true;
    return false;
}

static void container_status(struct arena *a, const Core__V1__Pod *pod, struct summary *s)
{
    const Core__V1__PodStatus *st = pod->status;
    bool running = false;
    for (size_t i = st->n_container_statuses; i-- > 0;) {
        const Core__V1__ContainerStatus *cs = st->container_statuses[i];
        const Core__V1__ContainerState *state = cs->state;
        note_restart(s, cs);
        if (state->waiting && *state->waiting->reason) {
            s->reason = state->waiting->reason;
        } else if (state->terminated) {
            s->reason = terminated_reason(a, state->terminated);
        } else if (cs->ready && state->running) {
            running = true;
            s->ready++;
        }
    }
    if (strcmp(s->reason, "Completed") == 0 && running)
        s->reason = has_ready_condition(st) ? "Running" : "NotReady";
}

static bool init_status(struct arena *a, const Core__V1__Pod *pod, struct summary *s)
{
    struct map index;
    if (pod->status->n_init_container_statuses == 0)
        return false;
    index_init(&index, pod->spec);
    bool told = init_status_of(a, pod, &index, s);
    map_free(&index);
    return told;
}

static struct summary summarise(struct arena *a, const Core__V1__Pod *pod)
{
    const Core__V1__PodStatus *st = pod->status;
    struct summary s = {.reason = *st->reason ? st->reason : st->phase,
                        .total = (int)pod->spec->n_containers};
    for (size_t i = 0; i < st->n_conditions; i++)
        if (strcmp(st->conditions[i]->type, "PodScheduled") == 0 &&
            strcmp(st->conditions[i]->reason, "SchedulingGated") == 0)
            s.reason = "SchedulingGated";
    for (size_t i = 0; i < pod->spec->n_init_containers; i++)
        s.total += restarts_always(pod->spec->init_containers[i]);
    if (!init_status(a, pod, &s))
        container_status(a, pod, &s);
    if (pod->metadata->deletion_timestamp) {
        if (strcmp(st->reason, "NodeLost") == 0)
            s.reason = "Unknown";
        else if (strcmp(st->phase, "Succeeded") != 0 && strcmp(st->phase, "Failed") != 0)
            s.reason = "Terminating";
    }
    return s;
}

static void readiness_gates(struct cells *c, const Core__V1__Pod *pod)
{
    size_t ready = 0, total = pod->spec->n_readiness_gates;
    if (total == 0) {
        cell_string(c, "<none>");
        return;
    }
    struct map conditions; /* those that hold */
    map_init(&conditions);
    for (size_t k = 0; k < pod->status->n_conditions; k++)
        if (strcmp(pod->status->conditions[k]->status, "True") == 0)
            map_put(&conditions, str_from(pod->status->conditions[k]->type), c);
    for (size_t i = 0; i < total; i++)
        ready += map_has(&conditions, str_from(pod->spec->readiness_gates[i]->condition_type));
    map_free(&conditions);
    cell_printf(c, "%zu/%zu", ready, total);
}

static const char *or_none(const char *s)
{
    return s && *s ? s : "<none>";
}

bool table_print_pod(struct cells *c, const void *object)
{
    if (schema_of(object)->id != Core__V1__Pod__SCHEMA)
        return false;
    const Core__V1__Pod *pod = object;
    struct summary s = summarise(c->a, pod);
    cell_string(c, pod->metadata->name);
    cell_printf(c, "%d/%d", s.ready, s.total);
    cell_string(c, s.reason);
    if (s.restarts && s.last_restart_s)
        cell_printf(c, "%lld (%s ago)", (long long)s.restarts, cell_age(c, s.last_restart_s));
    else
        cell_printf(c, "%lld", (long long)s.restarts);
    cell_string(c, cell_age(c, seconds(pod->metadata->creation_timestamp)));
    cell_string(c, pod->status->n_pod_ips ? pod->status->pod_ips[0]->ip
                                          : or_none(pod->status->pod_ip));
    cell_string(c, or_none(pod->spec->node_name));
    cell_string(c, or_none(pod->status->nominated_node_name));
    readiness_gates(c, pod);
    return true;
}
