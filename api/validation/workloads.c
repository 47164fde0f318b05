/*
 * Validation of workloads: deployments, replica sets, daemon sets, stateful sets, replication
 * controllers, revisions, scales.
 */
#include "api/meta.h"
#include "api/selector.h"
#include "api/validation/volume.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"

#define STATUS AT(NULL, "status")

/* --- what all have ----------------------------------------------------------------------------- */

static void err_template_labels(struct field_errors *e, const struct path *spec,
                                const Core__V1__PodTemplateSpec *t)
{
    err_invalid_map(e, AT(AT(AT(spec, "template"), "metadata"), "labels"), t->metadata->labels,
                    t->metadata->n_labels, "`selector` does not match template `labels`");
}

static void check_template_matches(struct field_errors *e, const struct path *spec,
                                   const struct label_selector *selector,
                                   const Core__V1__PodTemplateSpec *t)
{
    if (!label_selector_matches_meta(selector, t->metadata))
        err_template_labels(e, spec, t);
}

/*
 * A selector that is there, not empty, valid, and matches the template. False: it cannot be used, and upstream
 * looks no further into the template.
 */
static bool check_selector_of(struct field_errors *e, const struct path *spec,
                              const Meta__V1__LabelSelector *s, const Core__V1__PodTemplateSpec *t,
                              const char *kind, const char *invalid)
{
    struct label_selector selector;
    if (!s) { /* selects nothing */
        err_required(e, AT(spec, "selector"), "");
        err_template_labels(e, spec, t);
        return true;
    }
    size_t before = e->len;
    check_label_selector(e, AT(spec, "selector"), s);
    bool valid = e->len == before && label_selector_from(e->arena, s, &selector, NULL) == 0;
    if (s->n_match_labels + s->n_match_expressions == 0)
        err_invalid_raw(e, AT(spec, "selector"), "{}",
                        arena_printf(e->arena, "empty selector is %s", kind));
    if (!valid)
        err_invalid_object(e, AT(spec, "selector"), s, invalid);
    else
        check_template_matches(e, spec, &selector, t);
    return valid;
}

/* A number or a quoted percentage. */
static const char *int_or_string_json(struct arena *a, const Meta__V1__IntOrString *v)
{
    if (!v)
        return "0";
    const char *text = int_or_string_text(a, v);
    return v->type == 1 ? field_quote(a, text) : text;
}

/* A strategy as upstream shows it: by the names of its own structs, not by those of the wire. */
static const char *strategy_text(struct arena *a, const char *type, bool rolling,
                                 const Meta__V1__IntOrString *unavailable,
                                 const Meta__V1__IntOrString *surge)
{
    const char *update =
        rolling ? arena_printf(a, "{\"MaxUnavailable\":%s,\"MaxSurge\":%s}",
                               int_or_string_json(a, unavailable), int_or_string_json(a, surge))
                : "null";
    return arena_printf(a, "{\"Type\":%s,\"RollingUpdate\":%s}", field_quote(a, type), update);
}

/* Controllers that keep pods running take only pods that are restarted. */
static void check_always(struct field_errors *e, const struct path *spec,
                         const Core__V1__PodTemplateSpec *t, const char *deadline)
{
    const struct path *at = AT(AT(spec, "template"), "spec");
    if (strcmp(t->spec->restart_policy, "Always") != 0)
        err_not_supported(e, AT(at, "restartPolicy"), t->spec->restart_policy, ONE_OF("Always"));
    if (t->spec->has_active_deadline_seconds)
        err_forbidden(e, AT(at, "activeDeadlineSeconds"), deadline);
}

static bool is_zero(const Meta__V1__IntOrString *v)
{
    int32_t scaled;
    return !v || (int_or_string_scaled(v, 100, true, &scaled) == 0 && scaled == 0);
}

static void check_at_most_100_percent(struct field_errors *e, const struct path *at,
                                      const Meta__V1__IntOrString *v)
{
    int32_t scaled;
    if (v && v->type == 1 && int_or_string_scaled(v, 100, true, &scaled) == 0 && scaled > 100)
        err_invalid(e, at, v->str_val, "must not be greater than 100%");
}

static void err_invalid_int_or_string(struct field_errors *e, const struct path *at,
                                      const Meta__V1__IntOrString *v, const char *detail)
{
    err_invalid_raw(e, at, int_or_string_json(e->arena, v), detail);
}

/* A count in a status, and what it may not exceed; the names are the JSON names. */
struct count {
    const char *name;
    int64_t value;
    const char *within; /* NULL: nothing */
    int64_t limit;
};

static void check_counts(struct field_errors *e, const struct count *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_non_negative(e, AT(STATUS, counts[i].name), counts[i].value);
    for (size_t i = 0; i < n; i++) {
        if (counts[i].within && counts[i].value > counts[i].limit)
            err_invalid_int(e, AT(STATUS, counts[i].name), counts[i].value,
                            arena_printf(e->arena, "cannot be greater than %s", counts[i].within));
    }
}
#define CHECK_COUNTS(e, ...)                               \
    check_counts((e), (const struct count[]){__VA_ARGS__}, \
                 sizeof((const struct count[]){__VA_ARGS__}) / sizeof(struct count))

static void check_collisions(struct field_errors *e, bool set, int32_t count, bool had,
                             int32_t before)
{
    if (had && (!set || count < before))
        err_invalid_int(e, AT(STATUS, "collisionCount"), set ? count : 0, "cannot be decremented");
}

/* --- deployments -------------------------------------------------------------------------------- */

static void check_rolling(struct field_errors *e, const struct path *at,
                          const Apps__V1__RollingUpdateDeployment *r)
{
    check_int_or_percent(e, AT(at, "maxUnavailable"), r->max_unavailable);
    check_int_or_percent(e, AT(at, "maxSurge"), r->max_surge);
    if (is_zero(r->max_unavailable) && is_zero(r->max_surge))
        err_invalid_int_or_string(e, AT(at, "maxUnavailable"), r->max_unavailable,
                                  "may not be 0 when `maxSurge` is 0");
    check_at_most_100_percent(e, AT(at, "maxUnavailable"), r->max_unavailable);
}

static void check_deployment_strategy(struct field_errors *e, const struct path *at,
                                      const Apps__V1__DeploymentStrategy *s)
{
    const Apps__V1__RollingUpdateDeployment *r = s->rolling_update;
    if (cstr_eq(s->type, "Recreate")) {
        if (r)
            err_forbidden(e, AT(at, "rollingUpdate"),
                          "may not be specified when strategy `type` is 'Recreate'");
    } else if (cstr_eq(s->type, "RollingUpdate")) {
        if (r)
            check_rolling(e, AT(at, "rollingUpdate"), r);
    } else {
        err_not_supported_raw(e, at,
                              strategy_text(e->arena, s->type, r, r ? r->max_unavailable : NULL,
                                            r ? r->max_surge : NULL),
                              ONE_OF("Recreate", "RollingUpdate"));
    }
}

static void check_template_of_replica_set(struct field_errors *e, const struct path *at,
                                          const Meta__V1__LabelSelector *selector,
                                          const Core__V1__PodTemplateSpec *t)
{
    if (!check_selector_of(e, at, selector, t, "invalid for deployment", "invalid label selector"))
        return;
    check_pod_template(e, AT(at, "template"), t);
    check_always(e, at, t, "activeDeadlineSeconds in ReplicaSet is not Supported");
}

static void validate_deployment(const void *object, struct field_errors *e)
{
    const Apps__V1__DeploymentSpec *spec = ((const Apps__V1__Deployment *)object)->spec;
    const struct path *at = SPEC;
    check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_template_of_replica_set(e, at, spec->selector, spec->template_);
    check_deployment_strategy(e, AT(at, "strategy"), spec->strategy);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    if (spec->has_revision_history_limit)
        check_non_negative(e, AT(at, "revisionHistoryLimit"), spec->revision_history_limit);
    if (!spec->has_progress_deadline_seconds)
        return;
    check_non_negative(e, AT(at, "progressDeadlineSeconds"), spec->progress_deadline_seconds);
    if (spec->progress_deadline_seconds <= spec->min_ready_seconds)
        err_invalid_int(e, AT(at, "progressDeadlineSeconds"), spec->progress_deadline_seconds,
                        "must be greater than minReadySeconds");
}

static void validate_deployment_update(const void *object, const void *old, struct field_errors *e)
{
    check_immutable(e, AT(SPEC, "selector"), ((const Apps__V1__Deployment *)object)->spec->selector,
                    ((const Apps__V1__Deployment *)old)->spec->selector);
}

static void validate_deployment_status(const void *object, const void *old_object,
                                       struct field_errors *e)
{
    const Apps__V1__DeploymentStatus *s = ((const Apps__V1__Deployment *)object)->status;
    const Apps__V1__DeploymentStatus *old = ((const Apps__V1__Deployment *)old_object)->status;
    CHECK_COUNTS(e, {"observedGeneration", s->observed_generation}, {"replicas", s->replicas},
                 {"updatedReplicas", s->updated_replicas, "status.replicas", s->replicas},
                 {"readyReplicas", s->ready_replicas, "status.replicas", s->replicas},
                 {"availableReplicas", s->available_replicas, "status.replicas", s->replicas},
                 {"availableReplicas", s->available_replicas, "readyReplicas", s->ready_replicas},
                 {"unavailableReplicas", s->unavailable_replicas},
                 {"terminatingReplicas", s->terminating_replicas},
                 {"collisionCount", s->collision_count});
    check_collisions(e, s->has_collision_count, s->collision_count, old->has_collision_count,
                     old->collision_count);
}

/* --- replica sets, replication controllers -------------------------------------------------------- */

static void validate_replica_set(const void *object, struct field_errors *e)
{
    const Apps__V1__ReplicaSetSpec *spec = ((const Apps__V1__ReplicaSet *)object)->spec;
    const struct path *at = SPEC;
    check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    check_template_of_replica_set(e, at, spec->selector, spec->template_);
}

static void validate_replica_set_update(const void *object, const void *old, struct field_errors *e)
{
    check_immutable(e, AT(SPEC, "selector"), ((const Apps__V1__ReplicaSet *)object)->spec->selector,
                    ((const Apps__V1__ReplicaSet *)old)->spec->selector);
}

static void validate_replica_set_status(const void *object, const void *old, struct field_errors *e)
{
    const Apps__V1__ReplicaSetStatus *s = ((const Apps__V1__ReplicaSet *)object)->status;
    (void)old;
    CHECK_COUNTS(
        e, {"replicas", s->replicas},
        {"fullyLabeledReplicas", s->fully_labeled_replicas, "status.replicas", s->replicas},
        {"readyReplicas", s->ready_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "readyReplicas", s->ready_replicas},
        {"observedGeneration", s->observed_generation});
}

static void validate_controller(const void *object, struct field_errors *e)
{
    const Core__V1__ReplicationControllerSpec *spec =
        ((const Core__V1__ReplicationController *)object)->spec;
    const struct path *at = SPEC, *template = AT(at, "template");
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    if (spec->n_selector == 0)
        err_required(e, AT(at, "selector"), "");
    check_non_negative(e, AT(at, "replicas"), spec->replicas);
    if (!spec->template_) {
        err_required(e, template, "");
        return;
    }
    const Meta__V1__ObjectMeta *meta = spec->template_->metadata;
    if (!string_map_contains(meta->labels, meta->n_labels, spec->selector, spec->n_selector))
        err_invalid_map(e, AT(AT(template, "metadata"), "labels"), meta->labels, meta->n_labels,
                        "`selector` does not match template `labels`");
    check_pod_template(e, template, spec->template_);
    check_always(e, at, spec->template_,
                 "activeDeadlineSeconds in ReplicationController is not Supported");
}

static void validate_controller_status(const void *object, const void *old, struct field_errors *e)
{
    const Core__V1__ReplicationControllerStatus *s =
        ((const Core__V1__ReplicationController *)object)->status;
    (void)old;
    CHECK_COUNTS(
        e, {"replicas", s->replicas},
        {"fullyLabeledReplicas", s->fully_labeled_replicas, "status.replicas", s->replicas},
        {"readyReplicas", s->ready_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "readyReplicas", s->ready_replicas},
        {"observedGeneration", s->observed_generation});
}

/* --- daemon sets -------------------------------------------------------------------------------- */

static void check_daemon_rolling(struct field_errors *e, const struct path *at,
                                 const Apps__V1__RollingUpdateDaemonSet *r)
{
    const struct path *unavailable = AT(at, "maxUnavailable"), *surge = AT(at, "maxSurge");
    bool has_unavailable = !is_zero(r->max_unavailable), has_surge = !is_zero(r->max_surge);
    check_int_or_percent(e, unavailable, r->max_unavailable);
    check_int_or_percent(e, surge, r->max_surge);
    if (!has_unavailable && !has_surge)
        err_required(e, unavailable, "cannot be 0 when maxSurge is 0");
    else if (has_unavailable && has_surge)
        err_invalid_int_or_string(e, surge, r->max_surge,
                                  "may not be set when maxUnavailable is non-zero");
    check_at_most_100_percent(e, unavailable, r->max_unavailable);
    check_at_most_100_percent(e, surge, r->max_surge);
}

static void check_daemon_unknown(struct field_errors *e, const struct path *at,
                                 const Apps__V1__DaemonSetUpdateStrategy *s)
{
    const Apps__V1__RollingUpdateDaemonSet *r = s->rolling_update;
    err_not_supported_raw(
        e, at,
        strategy_text(e->arena, s->type, r, r ? r->max_unavailable : NULL, r ? r->max_surge : NULL),
        ONE_OF("RollingUpdate", "OnDelete"));
}

static void validate_daemon_set(const void *object, struct field_errors *e)
{
    const Apps__V1__DaemonSetSpec *spec = ((const Apps__V1__DaemonSet *)object)->spec;
    const struct path *at = SPEC, *strategy = AT(at, "updateStrategy");
    struct label_selector selector;
    size_t before = e->len;
    check_label_selector(e, AT(at, "selector"), spec->selector);
    if (!spec->selector) /* selects nothing */
        err_template_labels(e, at, spec->template_);
    else if (e->len == before &&
             label_selector_from(e->arena, spec->selector, &selector, NULL) == 0)
        check_template_matches(e, at, &selector, spec->template_);
    if (spec->selector && spec->selector->n_match_labels + spec->selector->n_match_expressions == 0)
        err_invalid_raw(e, AT(at, "selector"), "{}", "empty selector is invalid for daemonset");
    check_pod_template(e, AT(at, "template"), spec->template_);
    check_always(e, at, spec->template_, "activeDeadlineSeconds in DaemonSet is not Supported");
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    const char *type = spec->update_strategy->type;
    if (strcmp(type, "RollingUpdate") == 0 && !spec->update_strategy->rolling_update)
        err_required(e, AT(strategy, "rollingUpdate"), "");
    else if (strcmp(type, "RollingUpdate") == 0)
        check_daemon_rolling(e, AT(strategy, "rollingUpdate"),
                             spec->update_strategy->rolling_update);
    else if (strcmp(type, "OnDelete") != 0)
        check_daemon_unknown(e, strategy, spec->update_strategy);
    if (spec->has_revision_history_limit)
        check_non_negative(e, AT(at, "revisionHistoryLimit"), spec->revision_history_limit);
}

static void validate_daemon_set_update(const void *object, const void *old, struct field_errors *e)
{
    check_immutable(e, AT(SPEC, "selector"), ((const Apps__V1__DaemonSet *)object)->spec->selector,
                    ((const Apps__V1__DaemonSet *)old)->spec->selector);
}

static void validate_daemon_set_status(const void *object, const void *old_object,
                                       struct field_errors *e)
{
    const Apps__V1__DaemonSetStatus *s = ((const Apps__V1__DaemonSet *)object)->status;
    const Apps__V1__DaemonSetStatus *old = ((const Apps__V1__DaemonSet *)old_object)->status;
    CHECK_COUNTS(e, {"currentNumberScheduled", s->current_number_scheduled},
                 {"numberMisscheduled", s->number_misscheduled},
                 {"desiredNumberScheduled", s->desired_number_scheduled},
                 {"numberReady", s->number_ready}, {"observedGeneration", s->observed_generation},
                 {"updatedNumberScheduled", s->updated_number_scheduled},
                 {"numberAvailable", s->number_available},
                 {"numberUnavailable", s->number_unavailable},
                 {"collisionCount", s->collision_count});
    check_collisions(e, s->has_collision_count, s->collision_count, old->has_collision_count,
                     old->collision_count);
}

/* --- stateful sets ------------------------------------------------------------------------------- */

static const char *stateful_rolling_text(struct arena *a,
                                         const Apps__V1__RollingUpdateStatefulSetStrategy *r)
{
    if (!r)
        return "null";
    return arena_printf(a, "{\"Partition\":%d,\"MaxUnavailable\":%s}", r->partition,
                        r->max_unavailable ? int_or_string_json(a, r->max_unavailable) : "null");
}

static void check_stateful_strategy(struct field_errors *e, const struct path *at,
                                    const Apps__V1__StatefulSetUpdateStrategy *s)
{
    const struct path *rolling = AT(at, "rollingUpdate");
    if (!*s->type) {
        err_required(e, at, "");
    } else if (strcmp(s->type, "OnDelete") == 0) {
        if (s->rolling_update)
            err_invalid_raw(e, rolling, stateful_rolling_text(e->arena, s->rolling_update),
                            "only allowed for updateStrategy 'RollingUpdate'");
    } else if (strcmp(s->type, "RollingUpdate") != 0) {
        err_invalid_raw(e, at,
                        arena_printf(e->arena, "{\"Type\":%s,\"RollingUpdate\":%s}",
                                     field_quote(e->arena, s->type),
                                     stateful_rolling_text(e->arena, s->rolling_update)),
                        "must be 'RollingUpdate' or 'OnDelete'");
    } else if (s->rolling_update) {
        const Meta__V1__IntOrString *most = s->rolling_update->max_unavailable;
        check_non_negative(e, AT(rolling, "partition"), s->rolling_update->partition);
        if (!most)
            return;
        check_int_or_percent(e, AT(rolling, "maxUnavailable"), most);
        if (is_zero(most))
            err_invalid_int_or_string(e, AT(rolling, "maxUnavailable"), most, "cannot be 0");
        check_at_most_100_percent(e, AT(rolling, "maxUnavailable"), most);
    }
}

static void
check_claim_retention(struct field_errors *e, const struct path *at,
                      const Apps__V1__StatefulSetPersistentVolumeClaimRetentionPolicy *p)
{
    if (!p)
        return;
    check_one_of(e, AT(at, "whenDeleted"), p->when_deleted, ONE_OF("Retain", "Delete"));
    check_one_of(e, AT(at, "whenScaled"), p->when_scaled, ONE_OF("Retain", "Delete"));
}

/* The template with the volumes that the claims will be. */
static const Core__V1__PodTemplateSpec *with_claims(struct arena *a,
                                                    const Apps__V1__StatefulSetSpec *spec)
{
    Core__V1__PodTemplateSpec *t = object_clone(a, spec->template_);
    struct seen places = {.arena = a}; /* of volumes by their names: one more than the index */
    Core__V1__Volume **all =
        arena_array(a, Core__V1__Volume *, t->spec->n_volumes + spec->n_volume_claim_templates + 1);
    for (size_t i = 0; i < t->spec->n_volumes; i++) {
        all[i] = t->spec->volumes[i];
        seen_put(&places, all[i]->name, (const void *)(uintptr_t)(i + 1));
    }
    t->spec->volumes = all;
    for (size_t i = 0; i < spec->n_volume_claim_templates; i++) {
        const char *name = spec->volume_claim_templates[i]->metadata->name;
        Core__V1__Volume *v = api_new(a, Core__V1__Volume);
        v->name = (char *)name;
        v->volume_source->persistent_volume_claim =
            api_new(a, Core__V1__PersistentVolumeClaimVolumeSource);
        v->volume_source->persistent_volume_claim->claim_name = (char *)name;
        size_t place = (size_t)(uintptr_t)seen_value(&places, name);
        if (place > 0) {
            all[place - 1] = v;
            continue;
        }
        all[t->spec->n_volumes++] = v;
        seen_put(&places, name, (const void *)(uintptr_t)t->spec->n_volumes);
    }
    return t;
}

static void check_claim_templates(struct field_errors *e, const Apps__V1__StatefulSetSpec *spec)
{
    for (size_t i = 0; i < spec->n_volume_claim_templates; i++)
        check_claim_spec(e, AT(ITEM(AT(SPEC, "volumeClaimTemplates"), i), "spec"),
                         spec->volume_claim_templates[i]->spec);
}

static bool template_is_well(struct arena *a, const Apps__V1__StatefulSetSpec *spec)
{
    struct field_errors e = {.arena = a};
    check_pod_template(&e, AT(SPEC, "template"), with_claims(a, spec));
    return e.len == 0;
}

static bool claims_are_well(struct arena *a, const Apps__V1__StatefulSetSpec *spec)
{
    struct field_errors e = {.arena = a};
    check_claim_templates(&e, spec);
    return e.len == 0;
}

/*
 * `old` NULL: it is new. Templates of pods and claims were not looked at for long: sets that have bad ones may keep
 * them.
 */
static void check_stateful_spec(struct field_errors *e, const Apps__V1__StatefulSetSpec *spec,
                                const Apps__V1__StatefulSetSpec *old)
{
    const struct path *at = SPEC, *template = AT(at, "template");
    const Meta__V1__ObjectMeta *meta = spec->template_->metadata;
    if (!*spec->pod_management_policy)
        err_required(e, AT(at, "podManagementPolicy"), "");
    else if (!is_one_of(spec->pod_management_policy, ONE_OF("OrderedReady", "Parallel")))
        err_invalid(e, AT(at, "podManagementPolicy"), spec->pod_management_policy,
                    "must be 'OrderedReady' or 'Parallel'");
    check_stateful_strategy(e, AT(at, "updateStrategy"), spec->update_strategy);
    check_claim_retention(e, AT(at, "persistentVolumeClaimRetentionPolicy"),
                          spec->persistent_volume_claim_retention_policy);
    if (!old || claims_are_well(e->arena, old))
        check_claim_templates(e, spec);
    check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    if (spec->ordinals)
        check_non_negative(e, AT(AT(at, "ordinals"), "start"), spec->ordinals->start);
    bool usable =
        check_selector_of(e, at, spec->selector, spec->template_, "invalid for statefulset", "");
    if (usable && (!old || template_is_well(e->arena, old))) {
        check_pod_template(e, template, with_claims(e->arena, spec));
    } else if (usable) {
        check_labels(e, AT(template, "labels"), meta->labels, meta->n_labels);
        check_annotations(e, AT(template, "annotations"), meta->annotations, meta->n_annotations);
    }
    check_always(e, at, spec->template_, "activeDeadlineSeconds in StatefulSet is not Supported");
    if (!old)
        check_optional(e, AT(at, "serviceName"), spec->service_name, validate_dns1123_subdomain);
    if (spec->has_revision_history_limit)
        check_non_negative(e, AT(at, "revisionHistoryLimit"), spec->revision_history_limit);
}

static void validate_stateful_set(const void *object, struct field_errors *e)
{
    check_stateful_spec(e, ((const Apps__V1__StatefulSet *)object)->spec, NULL);
}

static void validate_stateful_set_update(const void *object, const void *old_object,
                                         struct field_errors *e)
{
    const Apps__V1__StatefulSetSpec *spec = ((const Apps__V1__StatefulSet *)object)->spec;
    const Apps__V1__StatefulSetSpec *old = ((const Apps__V1__StatefulSet *)old_object)->spec;
    check_stateful_spec(e, spec, old);
    Apps__V1__StatefulSetSpec *munged = object_clone(e->arena, spec);
    munged->has_replicas = old->has_replicas;
    munged->replicas = old->replicas;
    munged->template_ = old->template_;
    munged->update_strategy = old->update_strategy;
    munged->persistent_volume_claim_retention_policy =
        old->persistent_volume_claim_retention_policy;
    munged->min_ready_seconds = old->min_ready_seconds;
    munged->ordinals = old->ordinals;
    munged->has_revision_history_limit = old->has_revision_history_limit;
    munged->revision_history_limit = old->revision_history_limit;
    if (!object_equal(munged, old))
        err_forbidden(e, SPEC,
                      "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                      "'template', 'updateStrategy', 'revisionHistoryLimit', "
                      "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

static void validate_stateful_set_status(const void *object, const void *old_object,
                                         struct field_errors *e)
{
    const Apps__V1__StatefulSetStatus *s = ((const Apps__V1__StatefulSet *)object)->status;
    const Apps__V1__StatefulSetStatus *old = ((const Apps__V1__StatefulSet *)old_object)->status;
    CHECK_COUNTS(
        e, {"replicas", s->replicas},
        {"readyReplicas", s->ready_replicas, "status.replicas", s->replicas},
        {"currentReplicas", s->current_replicas, "status.replicas", s->replicas},
        {"updatedReplicas", s->updated_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "status.replicas", s->replicas},
        {"availableReplicas", s->available_replicas, "status.readyReplicas", s->ready_replicas},
        {"observedGeneration", s->observed_generation}, {"collisionCount", s->collision_count});
    check_collisions(e, s->has_collision_count, s->collision_count, old->has_collision_count,
                     old->collision_count);
}

/* --- revisions, scales --------------------------------------------------------------------------- */

static void validate_revision(const void *object, struct field_errors *e)
{
    const Apps__V1__ControllerRevision *r = object;
    if (!r->data->has_raw || r->data->raw.len == 0)
        err_required(e, AT(NULL, "data"), "data is mandatory");
    check_non_negative(e, AT(NULL, "revision"), r->revision);
}

static void validate_revision_update(const void *object, const void *old, struct field_errors *e)
{
    const Apps__V1__ControllerRevision *r = object;
    if (!object_equal(r->data, ((const Apps__V1__ControllerRevision *)old)->data))
        err_invalid_raw(e, AT(NULL, "data"),
                        r->data->raw.len ? arena_strndup(e->arena, (const char *)r->data->raw.data,
                                                         r->data->raw.len)
                                         : "null",
                        IMMUTABLE);
}

static void validate_scale(const void *object, struct field_errors *e)
{
    check_non_negative(e, AT(SPEC, "replicas"),
                       ((const Autoscaling__V1__Scale *)object)->spec->replicas);
}

static const struct kind_rules rows[] = {
    {.message = Apps__V1__Deployment__SCHEMA,
     .create = validate_deployment,
     .update = validate_deployment_update,
     .status = validate_deployment_status},
    {.message = Apps__V1__ReplicaSet__SCHEMA,
     .create = validate_replica_set,
     .update = validate_replica_set_update,
     .status = validate_replica_set_status},
    {.message = Core__V1__ReplicationController__SCHEMA,
     .create = validate_controller,
     .status = validate_controller_status},
    {.message = Apps__V1__DaemonSet__SCHEMA,
     .create = validate_daemon_set,
     .update = validate_daemon_set_update,
     .status = validate_daemon_set_status},
    {.message = Apps__V1__StatefulSet__SCHEMA,
     .create = validate_stateful_set,
     .update = validate_stateful_set_update,
     .update_alone = true,
     .status = validate_stateful_set_status},
    {.message = Apps__V1__ControllerRevision__SCHEMA,
     .create = validate_revision,
     .update = validate_revision_update},
    {.message = Autoscaling__V1__Scale__SCHEMA, .create = validate_scale},
};
const struct rule_table workload_rules = RULE_TABLE(rows);
