/*
 * Validation of workloads: deployments, replica sets, daemon sets, stateful sets, jobs, scales.
 */
#include "api/meta.h"
#include "api/selector.h"
#include "api/validation/internal.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"

/* A selector that is there, not empty, valid, and matches the template. */
static void check_selector_of(struct field_errors *e, const struct path *spec,
                              const Meta__V1__LabelSelector *s, const Core__V1__PodTemplateSpec *t)
{
    struct label_selector selector;
    if (!s) {
        err_required(e, AT(spec, "selector"), "");
        return;
    }
    size_t before = e->len;
    check_label_selector(e, AT(spec, "selector"), s);
    if (s->n_match_labels + s->n_match_expressions == 0)
        err_invalid_raw(e, AT(spec, "selector"), "{}", "empty selector is invalid for deployment");
    if (e->len > before || label_selector_from(e->arena, s, &selector, NULL) < 0)
        return;
    if (!label_selector_matches_meta(&selector, t->metadata)) {
        err_invalid_map(e, AT(AT(AT(spec, "template"), "metadata"), "labels"), t->metadata->labels,
                        t->metadata->n_labels, "`selector` does not match template `labels`");
    }
}

/* Controllers that keep pods running take only pods that are restarted. */
static void check_always(struct field_errors *e, const struct path *spec,
                         const Core__V1__PodTemplateSpec *t)
{
    static const char *const always[] = {"Always", NULL};
    const struct path *at = AT(AT(spec, "template"), "spec");
    if (*t->spec->restart_policy && !cstr_eq(t->spec->restart_policy, "Always"))
        err_not_supported(e, AT(at, "restartPolicy"), t->spec->restart_policy, always);
    if (t->spec->has_active_deadline_seconds)
        err_forbidden(e, AT(at, "activeDeadlineSeconds"),
                      "activeDeadlineSeconds in pod template is not "
                      "supported for this controller");
}

static bool is_zero(const Meta__V1__IntOrString *v)
{
    int32_t scaled;
    return v && int_or_string_scaled(v, 100, true, &scaled) == 0 && scaled == 0;
}

static bool over_100_percent(const Meta__V1__IntOrString *v)
{
    int32_t scaled;
    return v && v->type == 1 && int_or_string_scaled(v, 100, true, &scaled) == 0 && scaled > 100;
}

static void check_selector_unchanged(struct field_errors *e, const Meta__V1__LabelSelector *new,
                                     const Meta__V1__LabelSelector *old)
{
    if (!object_equal(new, old))
        err_invalid_object(e, AT(SPEC, "selector"), new, IMMUTABLE);
}

/* --- deployments ------------------------------------------------------------------------------------- */

static void check_rolling(struct field_errors *e, const struct path *at,
                          const Apps__V1__RollingUpdateDeployment *r)
{
    check_int_or_percent(e, AT(at, "maxUnavailable"), r->max_unavailable);
    check_int_or_percent(e, AT(at, "maxSurge"), r->max_surge);
    if (is_zero(r->max_unavailable) && is_zero(r->max_surge))
        err_invalid(e, AT(at, "maxUnavailable"), int_or_string_text(e->arena, r->max_unavailable),
                    "may not be 0 when `maxSurge` is 0");
    if (over_100_percent(r->max_unavailable))
        err_invalid(e, AT(at, "maxUnavailable"), r->max_unavailable->str_val,
                    "must not be greater than 100%");
}

static void validate_deployment(const void *object, struct field_errors *e)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    const Apps__V1__DeploymentSpec *spec = ((const Apps__V1__Deployment *)object)->spec;
    const struct path *at = SPEC, *strategy = AT(at, "strategy");
    if (spec->has_replicas)
        check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_selector_of(e, at, spec->selector, spec->template_);
    check_pod_template(e, AT(at, "template"), spec->template_);
    check_always(e, at, spec->template_);
    bool recreate = cstr_eq(spec->strategy->type, "Recreate");
    check_one_of(e, AT(strategy, "type"), spec->strategy->type, types);
    if (recreate && spec->strategy->rolling_update)
        err_forbidden(e, AT(strategy, "rollingUpdate"),
                      "may not be specified when strategy `type` is 'Recreate'");
    else if (spec->strategy->rolling_update)
        check_rolling(e, AT(strategy, "rollingUpdate"), spec->strategy->rolling_update);
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
    check_selector_unchanged(e, ((const Apps__V1__Deployment *)object)->spec->selector,
                             ((const Apps__V1__Deployment *)old)->spec->selector);
}

/* --- replica sets, daemon sets, stateful sets ---------------------------------------------------------- */

static void validate_replica_set(const void *object, struct field_errors *e)
{
    const Apps__V1__ReplicaSetSpec *spec = ((const Apps__V1__ReplicaSet *)object)->spec;
    const struct path *at = SPEC;
    if (spec->has_replicas)
        check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    check_selector_of(e, at, spec->selector, spec->template_);
    check_pod_template(e, AT(at, "template"), spec->template_);
    check_always(e, at, spec->template_);
}

static void validate_replica_set_update(const void *object, const void *old, struct field_errors *e)
{
    check_selector_unchanged(e, ((const Apps__V1__ReplicaSet *)object)->spec->selector,
                             ((const Apps__V1__ReplicaSet *)old)->spec->selector);
}

static void validate_daemon_set(const void *object, struct field_errors *e)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    const Apps__V1__DaemonSetSpec *spec = ((const Apps__V1__DaemonSet *)object)->spec;
    const struct path *at = SPEC, *strategy = AT(at, "updateStrategy");
    check_selector_of(e, at, spec->selector, spec->template_);
    check_pod_template(e, AT(at, "template"), spec->template_);
    check_always(e, at, spec->template_);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    check_one_of(e, AT(strategy, "type"), spec->update_strategy->type, types);
    const Apps__V1__RollingUpdateDaemonSet *rolling = spec->update_strategy->rolling_update;
    if (!rolling)
        return;
    const struct path *r = AT(strategy, "rollingUpdate");
    check_int_or_percent(e, AT(r, "maxUnavailable"), rolling->max_unavailable);
    check_int_or_percent(e, AT(r, "maxSurge"), rolling->max_surge);
    if (is_zero(rolling->max_unavailable) && is_zero(rolling->max_surge))
        err_required(e, AT(r, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
    if (!is_zero(rolling->max_unavailable) && !is_zero(rolling->max_surge))
        err_invalid(e, AT(r, "maxSurge"), int_or_string_text(e->arena, rolling->max_surge),
                    "may not be set when maxUnavailable is non-zero");
}

static void validate_daemon_set_update(const void *object, const void *old, struct field_errors *e)
{
    check_selector_unchanged(e, ((const Apps__V1__DaemonSet *)object)->spec->selector,
                             ((const Apps__V1__DaemonSet *)old)->spec->selector);
}

static void validate_stateful_set(const void *object, struct field_errors *e)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    static const char *const policies[] = {"OrderedReady", "Parallel", NULL};
    const Apps__V1__StatefulSetSpec *spec = ((const Apps__V1__StatefulSet *)object)->spec;
    const struct path *at = SPEC;
    if (spec->has_replicas)
        check_non_negative(e, AT(at, "replicas"), spec->replicas);
    check_required_one_of(e, AT(at, "podManagementPolicy"), spec->pod_management_policy, policies);
    check_one_of(e, AT(AT(at, "updateStrategy"), "type"), spec->update_strategy->type, types);
    check_non_negative(e, AT(at, "minReadySeconds"), spec->min_ready_seconds);
    check_selector_of(e, at, spec->selector, spec->template_);
    check_pod_template(e, AT(at, "template"), spec->template_);
    check_always(e, at, spec->template_);
}

static void validate_stateful_set_update(const void *object, const void *old_object,
                                         struct field_errors *e)
{
    const Apps__V1__StatefulSetSpec *spec = ((const Apps__V1__StatefulSet *)object)->spec;
    const Apps__V1__StatefulSetSpec *old = ((const Apps__V1__StatefulSet *)old_object)->spec;
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

static void validate_scale(const void *object, struct field_errors *e)
{
    check_non_negative(e, AT(SPEC, "replicas"),
                       ((const Autoscaling__V1__Scale *)object)->spec->replicas);
}

static const struct kind_rules rows[] = {
    {.message = Apps__V1__Deployment__SCHEMA,
     .create = validate_deployment,
     .update = validate_deployment_update},
    {.message = Apps__V1__ReplicaSet__SCHEMA,
     .create = validate_replica_set,
     .update = validate_replica_set_update},
    {.message = Apps__V1__DaemonSet__SCHEMA,
     .create = validate_daemon_set,
     .update = validate_daemon_set_update},
    {.message = Apps__V1__StatefulSet__SCHEMA,
     .create = validate_stateful_set,
     .update = validate_stateful_set_update},
    {.message = Autoscaling__V1__Scale__SCHEMA, .create = validate_scale},
};
const struct rule_table workload_rules = RULE_TABLE(rows);
