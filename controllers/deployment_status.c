/*
 * Decisions of the Deployment controller: status and conditions (controllers/deployment.h).
 */
#include "controllers/deployment.h"

#include "api/meta.h"
#include "base/mem.h"

#define NO_DEADLINE INT32_MAX

Apps__V1__DeploymentCondition *deployment_condition(const Apps__V1__DeploymentStatus *s,
                                                    const char *type)
{
    for (size_t i = 0; i < s->n_conditions; i++)
        if (cstr_eq(s->conditions[i]->type, type))
            return s->conditions[i];
    return NULL;
}

static void remove_condition(Apps__V1__DeploymentStatus *s, const char *type)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_conditions; i++)
        if (!cstr_eq(s->conditions[i]->type, type))
            s->conditions[n++] = s->conditions[i];
    s->n_conditions = n;
}

void deployment_set_condition(struct arena *a, Apps__V1__DeploymentStatus *s, const char *type,
                              const char *status, const char *reason, const char *message,
                              int64_t now_s)
{
    const Apps__V1__DeploymentCondition *have = deployment_condition(s, type);
    if (have && cstr_eq(have->status, status) && cstr_eq(have->reason, reason))
        return;
    Apps__V1__DeploymentCondition *c = api_new(a, Apps__V1__DeploymentCondition);
    c->type = (char *)type;
    c->status = (char *)status;
    c->reason = (char *)reason;
    c->message = arena_strdup(a, message);
    c->last_update_time = time_from_s(a, now_s);
    c->last_transition_time =
        have && cstr_eq(have->status, status) ? have->last_transition_time : time_from_s(a, now_s);
    remove_condition(s, type);
    api_append(a, s, conditions, c);
}

bool deployment_complete(const Apps__V1__Deployment *d, const Apps__V1__DeploymentStatus *s)
{
    int32_t want = api_get(d->spec, replicas, 1);
    return s->updated_replicas == want && s->replicas == want && s->available_replicas == want &&
           s->observed_generation >= d->metadata->generation;
}

static void count(const struct rollout_sets *s, Apps__V1__DeploymentStatus *out)
{
    int32_t total = 0, terminating = 0;
    bool has_terminating = false;
    for (size_t i = 0; i <= s->old_len; i++) {
        const Apps__V1__ReplicaSet *rs = i < s->old_len ? s->old[i] : s->new_set;
        if (!rs)
            continue;
        total += api_get(rs->spec, replicas, 1);
        out->replicas += rs->status->replicas;
        out->ready_replicas += rs->status->ready_replicas;
        out->available_replicas += rs->status->available_replicas;
        terminating += api_get(rs->status, terminating_replicas, 0);
        has_terminating |= rs->status->has_terminating_replicas;
    }
    out->updated_replicas = s->new_set ? s->new_set->status->replicas : 0;
    out->unavailable_replicas = MAX(total - out->available_replicas, 0);
    if (has_terminating)
        api_set(out, terminating_replicas, terminating);
}

static void set_available(struct arena *a, const Apps__V1__Deployment *d,
                          Apps__V1__DeploymentStatus *s, int64_t now_s)
{
    int32_t surge, unavailable;
    deployment_bounds(d, &surge, &unavailable);
    if (s->available_replicas >= api_get(d->spec, replicas, 1) - unavailable)
        deployment_set_condition(a, s, "Available", "True", "MinimumReplicasAvailable",
                                 "Deployment has minimum availability.", now_s);
    else
        deployment_set_condition(a, s, "Available", "False", "MinimumReplicasUnavailable",
                                 "Deployment does not have minimum availability.", now_s);
}

/* Has anything moved forward since the old status was written? */
static bool progressed(const Apps__V1__DeploymentStatus *old, const Apps__V1__DeploymentStatus *now)
{
    return now->updated_replicas > old->updated_replicas ||
           now->replicas - now->updated_replicas < old->replicas - old->updated_replicas ||
           now->ready_replicas > old->ready_replicas ||
           now->available_replicas > old->available_replicas;
}

static const char *subject(struct arena *a, const Apps__V1__Deployment *d,
                           const struct rollout_sets *s)
{
    return s->new_set ? arena_printf(a, "ReplicaSet \"%s\"", s->new_set->metadata->name)
                      : arena_printf(a, "Deployment \"%s\"", d->metadata->name);
}

/* Seconds until the rollout counts as stuck; ≤ 0: it does. INT64_MAX: it cannot. */
static int64_t until_stuck(const Apps__V1__Deployment *d, const Apps__V1__DeploymentStatus *s,
                           int64_t now_s)
{
    const Apps__V1__DeploymentCondition *c = deployment_condition(s, "Progressing");
    if (!c || cstr_eq(c->reason, "NewReplicaSetAvailable"))
        return INT64_MAX;
    if (cstr_eq(c->reason, "ProgressDeadlineExceeded"))
        return 0;
    int64_t since = time_ns(c->last_update_time) / 1000000000;
    return since + d->spec->progress_deadline_seconds - now_s;
}

static void renew_progress(struct arena *a, Apps__V1__DeploymentStatus *s, const char *message,
                           int64_t now_s)
{
    const Apps__V1__DeploymentCondition *have = deployment_condition(s, "Progressing");
    Meta__V1__Time *since =
        have && cstr_eq(have->status, "True") ? have->last_transition_time : NULL;
    remove_condition(s, "Progressing"); /* so that its update time moves */
    deployment_set_condition(a, s, "Progressing", "True", "ReplicaSetUpdated", message, now_s);
    if (since)
        deployment_condition(s, "Progressing")->last_transition_time = since;
}

static void set_progress(struct arena *a, const Apps__V1__Deployment *d,
                         const struct rollout_sets *sets, Apps__V1__DeploymentStatus *s,
                         int64_t now_s, int64_t *recheck_s)
{
    if (api_get(d->spec, progress_deadline_seconds, NO_DEADLINE) == NO_DEADLINE) {
        remove_condition(s, "Progressing");
        return;
    }
    const Apps__V1__DeploymentCondition *have = deployment_condition(s, "Progressing");
    bool was_complete = have && cstr_eq(have->reason, "NewReplicaSetAvailable");
    if (was_complete && s->replicas == s->updated_replicas)
        return; /* scaling a finished rollout is not a rollout */
    const char *who = subject(a, d, sets);
    if (deployment_complete(d, s)) {
        deployment_set_condition(a, s, "Progressing", "True", "NewReplicaSetAvailable",
                                 arena_printf(a, "%s has successfully progressed.", who), now_s);
    } else if (progressed(d->status, s)) {
        renew_progress(a, s, arena_printf(a, "%s is progressing.", who), now_s);
    } else if (until_stuck(d, s, now_s) <= 0) {
        deployment_set_condition(a, s, "Progressing", "False", "ProgressDeadlineExceeded",
                                 arena_printf(a, "%s has timed out progressing.", who), now_s);
        return;
    }
    int64_t left = until_stuck(d, s, now_s);
    if (left != INT64_MAX)
        *recheck_s = MIN(*recheck_s, left + 1);
}

/* Sets that cannot make pods say so; the deployment repeats the newest word. */
static void set_failure(struct arena *a, const struct rollout_sets *s,
                        Apps__V1__DeploymentStatus *out)
{
    const Apps__V1__ReplicaSetCondition *failure = NULL;
    for (size_t i = 0; i <= s->old_len; i++) {
        const Apps__V1__ReplicaSet *rs = i == 0 ? s->new_set : s->old[i - 1];
        for (size_t c = 0; rs && !failure && c < rs->status->n_conditions; c++)
            if (cstr_eq(rs->status->conditions[c]->type, "ReplicaFailure"))
                failure = rs->status->conditions[c];
    }
    if (!failure) {
        remove_condition(out, "ReplicaFailure");
        return;
    }
    deployment_set_condition(a, out, "ReplicaFailure", failure->status, failure->reason,
                             failure->message, time_ns(failure->last_transition_time) / 1000000000);
}

Apps__V1__DeploymentStatus *deployment_status(struct arena *a, const Apps__V1__Deployment *d,
                                              const struct rollout_sets *s, bool rollout,
                                              int64_t now_s, int64_t *recheck_s)
{
    Apps__V1__DeploymentStatus *out = api_new(a, Apps__V1__DeploymentStatus);
    out->observed_generation = d->metadata->generation;
    if (d->status->has_collision_count)
        api_set(out, collision_count, d->status->collision_count);
    for (size_t i = 0; i < d->status->n_conditions; i++)
        api_append(a, out, conditions, object_clone(a, d->status->conditions[i]));
    count(s, out);
    set_available(a, d, out, now_s);
    if (rollout)
        set_progress(a, d, s, out, now_s, recheck_s);
    set_failure(a, s, out);
    return out;
}
