/*
 * Validation of autoscalers and disruption budgets.
 */
#include "api/meta.h"
#include "api/quantity.h"
#include "api/validation/internal.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"
#include "proto/policy_v1.pb-c.h"

#define SECONDS_MAX 3600 /* of a stabilization window */
#define PERIOD_MAX 1800
#define CONTROLLER "ReplicationController" /* all that can be scaled in the group without a name */
#define NO_METRIC_FOR_ZERO \
    "must specify at least one Object or External metric to support scaling to zero replicas"

/* What is scaled is of a group, but for replication controllers; what is only measured may be of none. */
static void check_target_reference(struct field_errors *e, const struct path *at, const char *kind,
                                   const char *name, const char *api_version, bool group_needed)
{
    struct str group, version;
    size_t slashes = 0;
    check_required_string(e, AT(at, "kind"), kind, validate_path_segment);
    check_required_string(e, AT(at, "name"), name, validate_path_segment);
    for (const char *c = api_version; *c; c++)
        slashes += *c == '/';
    api_version_split(str_from(api_version), &group, &version);
    if (slashes > 1)
        err_invalid(e, AT(at, "apiVersion"), api_version,
                    arena_printf(e->arena, "unexpected GroupVersion string: %s", api_version));
    else if (group_needed && group.n == 0)
        err_invalid(e, AT(at, "apiVersion"), api_version, "apiVersion must specify API group");
}

static void check_replicas(struct field_errors *e, const struct path *at, bool has_min, int32_t min,
                           int32_t max)
{
    if (has_min && min < 1)
        err_invalid_int(e, AT(at, "minReplicas"), min, "must be greater than or equal to 1");
    if (max < 1)
        err_invalid_int(e, AT(at, "maxReplicas"), max, "must be greater than 0");
    if (has_min && max < min)
        err_invalid_int(e, AT(at, "maxReplicas"), max,
                        "must be greater than or equal to `minReplicas`");
}

/* --- v1 --------------------------------------------------------------------------------------------- */

static void check_v1(struct field_errors *e, const void *object, bool names_group)
{
    const Autoscaling__V1__HorizontalPodAutoscalerSpec *spec =
        ((const Autoscaling__V1__HorizontalPodAutoscaler *)object)->spec;
    const Autoscaling__V1__CrossVersionObjectReference *ref = spec->scale_target_ref;
    check_replicas(e, SPEC, spec->has_min_replicas, spec->min_replicas, spec->max_replicas);
    check_target_reference(e, AT(SPEC, "scaleTargetRef"), ref->kind, ref->name, ref->api_version,
                           names_group && !cstr_eq(ref->kind, CONTROLLER));
    if (spec->has_min_replicas && spec->min_replicas == 0)
        err_forbidden(e, AT(SPEC, "metrics"), NO_METRIC_FOR_ZERO);
    /* It is a resource metric by another name, and upstream speaks of that. */
    if (spec->has_target_cpu_utilization_percentage && spec->target_cpu_utilization_percentage < 1)
        err_invalid_int(
            e, AT(AT(AT(ITEM(AT(SPEC, "metrics"), 0), "resource"), "target"), "averageUtilization"),
            spec->target_cpu_utilization_percentage, "must be greater than 0");
}

static void validate_v1(const void *object, struct field_errors *e)
{
    check_v1(e, object, true);
}

/* What was said of the target before stays good, though it names no group. */
static void validate_v1_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Autoscaling__V1__CrossVersionObjectReference
        *ref = ((const Autoscaling__V1__HorizontalPodAutoscaler *)object)->spec->scale_target_ref,
        *old =
            ((const Autoscaling__V1__HorizontalPodAutoscaler *)old_object)->spec->scale_target_ref;
    check_v1(e, object,
             !cstr_eq(ref->api_version, old->api_version) || !cstr_eq(ref->kind, old->kind));
}

static void validate_v1_status(const void *object, const void *old, struct field_errors *e)
{
    const Autoscaling__V1__HorizontalPodAutoscalerStatus *s =
        ((const Autoscaling__V1__HorizontalPodAutoscaler *)object)->status;
    (void)old;
    check_non_negative(e, AT(AT(NULL, "status"), "currentReplicas"), s->current_replicas);
    check_non_negative(e, AT(AT(NULL, "status"), "desiredReplicas"), s->desired_replicas);
}

/* --- v2 metrics --------------------------------------------------------------------------------------- */

static void check_metric_target(struct field_errors *e, const struct path *at,
                                const Autoscaling__V2__MetricTarget *t)
{
    if (!*t->type)
        err_required(e, AT(at, "type"), "must specify a metric target type");
    if (!is_one_of(t->type, ONE_OF("Utilization", "Value", "AverageValue")))
        err_invalid(e, AT(at, "type"), t->type,
                    "must be either Utilization, Value, or AverageValue");
    if (t->value && quantity_of(t->value->string).nanos <= 0)
        err_invalid(e, AT(at, "value"), t->value->string, "must be positive");
    if (t->average_value && quantity_of(t->average_value->string).nanos <= 0)
        err_invalid(e, AT(at, "averageValue"), t->average_value->string, "must be positive");
    if (t->has_average_utilization && t->average_utilization < 1)
        err_invalid_int(e, AT(at, "averageUtilization"), t->average_utilization,
                        "must be greater than 0");
}

static void check_metric_identifier(struct field_errors *e, const struct path *at,
                                    const Autoscaling__V2__MetricIdentifier *m)
{
    if (!*m->name)
        err_required(e, AT(at, "name"), "must specify a metric name");
    else
        check_string(e, AT(at, "name"), m->name, validate_path_segment);
}

static void check_resource_target(struct field_errors *e, const struct path *target,
                                  const Autoscaling__V2__MetricTarget *t)
{
    check_metric_target(e, target, t);
    if (!t->has_average_utilization && !t->average_value)
        err_required(e, AT(target, "averageUtilization"),
                     "must set either a target raw value or a target utilization");
    if (t->has_average_utilization && t->average_value)
        err_forbidden(e, AT(target, "averageValue"),
                      "may not set both a target raw value and a target utilization");
}

static void check_container_metric(struct field_errors *e, const struct path *at,
                                   const Autoscaling__V2__ContainerResourceMetricSource *c)
{
    if (!*c->name)
        err_required(e, AT(at, "name"), "must specify a resource name");
    else
        check_container_resource_name(e, AT(at, "name"), c->name);
    if (!*c->container)
        err_required(e, AT(at, "container"), "must specify a container");
    else
        check_string(e, AT(at, "container"), c->container, validate_dns1123_label);
    check_resource_target(e, AT(at, "target"), c->target);
}

static void check_object_metric(struct field_errors *e, const struct path *at,
                                const Autoscaling__V2__ObjectMetricSource *o)
{
    const Autoscaling__V2__CrossVersionObjectReference *ref = o->described_object;
    check_target_reference(e, AT(at, "describedObject"), ref->kind, ref->name, ref->api_version,
                           false);
    check_metric_identifier(e, AT(at, "metric"), o->metric);
    check_metric_target(e, AT(at, "target"), o->target);
    if (!o->target->value && !o->target->average_value)
        err_required(e, AT(AT(at, "target"), "averageValue"),
                     "must set either a target value or averageValue");
}

static void check_external_metric(struct field_errors *e, const struct path *at,
                                  const Autoscaling__V2__ExternalMetricSource *x)
{
    check_metric_identifier(e, AT(at, "metric"), x->metric);
    check_metric_target(e, AT(at, "target"), x->target);
    if (!x->target->value && !x->target->average_value)
        err_required(e, AT(AT(at, "target"), "averageValue"),
                     "must set either a target value for metric or a per-pod target");
    if (x->target->value && x->target->average_value)
        err_forbidden(e, AT(AT(at, "target"), "value"),
                      "may not set both a target value for metric and a per-pod target");
}

static void check_metric_source(struct field_errors *e, const struct path *at,
                                const Autoscaling__V2__MetricSpec *m)
{
    if (m->object)
        check_object_metric(e, AT(at, "object"), m->object);
    else if (m->external)
        check_external_metric(e, AT(at, "external"), m->external);
    else if (m->pods) {
        check_metric_identifier(e, AT(AT(at, "pods"), "metric"), m->pods->metric);
        check_metric_target(e, AT(AT(at, "pods"), "target"), m->pods->target);
        if (!m->pods->target->average_value)
            err_required(e, AT(AT(AT(at, "pods"), "target"), "averageValue"),
                         "must specify a positive target averageValue");
    } else if (m->resource) {
        if (!*m->resource->name)
            err_required(e, AT(AT(at, "resource"), "name"), "must specify a resource name");
        check_resource_target(e, AT(AT(at, "resource"), "target"), m->resource->target);
    } else if (m->container_resource)
        check_container_metric(e, AT(at, "containerResource"), m->container_resource);
}

static void check_metric(struct field_errors *e, const struct path *at,
                         const Autoscaling__V2__MetricSpec *m)
{
    const struct {
        const char *type, *field;
        const void *source;
    } sources[] = {{"ContainerResource", "containerResource", m->container_resource},
                   {"External", "external", m->external},
                   {"Object", "object", m->object},
                   {"Pods", "pods", m->pods},
                   {"Resource", "resource", m->resource}};
    size_t n = sizeof sources / sizeof *sources, present = 0;
    bool known = false;
    if (!*m->type)
        err_required(e, AT(at, "type"), "must specify a metric source type");
    for (size_t i = 0; i < n; i++) {
        known |= strcmp(sources[i].type, m->type) == 0;
        present += sources[i].source != NULL;
    }
    if (!known)
        err_not_supported(e, AT(at, "type"), m->type,
                          ONE_OF("ContainerResource", "External", "Object", "Pods", "Resource"));
    check_metric_source(e, at, m);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(sources[i].type, m->type) == 0 && !sources[i].source)
            err_required(e, AT(at, sources[i].field),
                         "must populate information for the given metric source");
    }
    for (size_t i = 0; i < n && present != 1; i++) {
        if (strcmp(sources[i].type, m->type) != 0 && sources[i].source)
            err_forbidden(e, AT(at, sources[i].field),
                          "must populate the given metric source only");
    }
}

/* --- v2 behaviour --------------------------------------------------------------------------------------- */

static void check_scaling_rules(struct field_errors *e, const struct path *at,
                                const Autoscaling__V2__HPAScalingRules *r)
{
    const struct path *window = AT(at, "stabilizationWindowSeconds"),
                      *policies = AT(at, "policies");
    if (!r)
        return;
    if (r->has_stabilization_window_seconds && r->stabilization_window_seconds < 0)
        err_invalid_int(e, window, r->stabilization_window_seconds,
                        "must be greater than or equal to zero");
    if (r->has_stabilization_window_seconds && r->stabilization_window_seconds > SECONDS_MAX)
        err_invalid_int(e, window, r->stabilization_window_seconds,
                        "must be less than or equal to 3600");
    if (r->select_policy)
        check_one_of(e, AT(at, "selectPolicy"), r->select_policy, ONE_OF("Disabled", "Max", "Min"));
    if (r->n_policies == 0)
        err_required(e, policies, "must specify at least one Policy");
    for (size_t i = 0; i < r->n_policies; i++) {
        const struct path *item = ITEM(policies, i);
        const Autoscaling__V2__HPAScalingPolicy *p = r->policies[i];
        check_one_of(e, AT(item, "type"), p->type, ONE_OF("Percent", "Pods"));
        if (p->value <= 0)
            err_invalid_int(e, AT(item, "value"), p->value, "must be greater than zero");
        if (p->period_seconds <= 0)
            err_invalid_int(e, AT(item, "periodSeconds"), p->period_seconds,
                            "must be greater than zero");
        if (p->period_seconds > PERIOD_MAX)
            err_invalid_int(e, AT(item, "periodSeconds"), p->period_seconds,
                            "must be less than or equal to 1800");
    }
    if (r->tolerance)
        check_quantity_non_negative(e, AT(at, "tolerance"), r->tolerance->string);
}

static void check_v2(struct field_errors *e, const void *object, bool names_group)
{
    const Autoscaling__V2__HorizontalPodAutoscalerSpec *spec =
        ((const Autoscaling__V2__HorizontalPodAutoscaler *)object)->spec;
    const Autoscaling__V2__CrossVersionObjectReference *ref = spec->scale_target_ref;
    check_replicas(e, SPEC, spec->has_min_replicas, spec->min_replicas, spec->max_replicas);
    check_target_reference(e, AT(SPEC, "scaleTargetRef"), ref->kind, ref->name, ref->api_version,
                           names_group && !cstr_eq(ref->kind, CONTROLLER));
    bool from_outside = false; /* something tells of load while no pod is there */
    for (size_t i = 0; i < spec->n_metrics; i++) {
        check_metric(e, ITEM(AT(SPEC, "metrics"), i), spec->metrics[i]);
        from_outside |= is_one_of(spec->metrics[i]->type, ONE_OF("External", "Object"));
    }
    if (spec->has_min_replicas && spec->min_replicas == 0 && !from_outside)
        err_forbidden(e, AT(SPEC, "metrics"), NO_METRIC_FOR_ZERO);
    if (!spec->behavior)
        return;
    check_scaling_rules(e, AT(AT(SPEC, "behavior"), "scaleUp"), spec->behavior->scale_up);
    check_scaling_rules(e, AT(AT(SPEC, "behavior"), "scaleDown"), spec->behavior->scale_down);
}

static void validate_v2(const void *object, struct field_errors *e)
{
    check_v2(e, object, true);
}

static void validate_v2_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Autoscaling__V2__CrossVersionObjectReference
        *ref = ((const Autoscaling__V2__HorizontalPodAutoscaler *)object)->spec->scale_target_ref,
        *old =
            ((const Autoscaling__V2__HorizontalPodAutoscaler *)old_object)->spec->scale_target_ref;
    check_v2(e, object,
             !cstr_eq(ref->api_version, old->api_version) || !cstr_eq(ref->kind, old->kind));
}

static void validate_v2_status(const void *object, const void *old, struct field_errors *e)
{
    const Autoscaling__V2__HorizontalPodAutoscalerStatus *s =
        ((const Autoscaling__V2__HorizontalPodAutoscaler *)object)->status;
    (void)old;
    check_non_negative(e, AT(AT(NULL, "status"), "currentReplicas"), s->current_replicas);
    check_non_negative(e, AT(AT(NULL, "status"), "desiredReplicas"), s->desired_replicas);
}

/* --- disruption budgets ----------------------------------------------------------------------------------- */

static void check_budget(struct field_errors *e, const struct path *at,
                         const Meta__V1__IntOrString *v)
{
    int32_t scaled;
    check_int_or_percent(e, at, v);
    if (v && v->type == 1 && int_or_string_scaled(v, 100, true, &scaled) == 0 && scaled > 100)
        err_invalid(e, at, v->str_val, "must not be greater than 100%");
}

static const char *amount_text(struct arena *a, const Meta__V1__IntOrString *v)
{
    return v->type == 1 ? field_quote(a, v->str_val) : arena_printf(a, "%d", v->int_val);
}

/* A spec with both amounts, by the names of upstream's own fields. */
static const char *budget_text(struct arena *a, const Policy__V1__PodDisruptionBudgetSpec *spec)
{
    const char *policy = spec->unhealthy_pod_eviction_policy;
    return arena_printf(a,
                        "{\"MinAvailable\":%s,\"Selector\":%s,\"MaxUnavailable\":%s,"
                        "\"UnhealthyPodEvictionPolicy\":%s}",
                        amount_text(a, spec->min_available), object_text(a, spec->selector),
                        amount_text(a, spec->max_unavailable),
                        policy ? field_quote(a, policy) : "null");
}

static void validate_pdb(const void *object, struct field_errors *e)
{
    const Policy__V1__PodDisruptionBudgetSpec *spec =
        ((const Policy__V1__PodDisruptionBudget *)object)->spec;
    if (spec->min_available && spec->max_unavailable)
        err_invalid_raw(e, SPEC, budget_text(e->arena, spec),
                        "minAvailable and maxUnavailable cannot be both set");
    check_budget(e, AT(SPEC, "minAvailable"), spec->min_available);
    check_budget(e, AT(SPEC, "maxUnavailable"), spec->max_unavailable);
    check_label_selector(e, AT(SPEC, "selector"), spec->selector);
    if (spec->unhealthy_pod_eviction_policy)
        check_one_of(e, AT(SPEC, "unhealthyPodEvictionPolicy"), spec->unhealthy_pod_eviction_policy,
                     ONE_OF("AlwaysAllow", "IfHealthyBudget"));
}

static void validate_pdb_status(const void *object, const void *old, struct field_errors *e)
{
    const Policy__V1__PodDisruptionBudgetStatus *s =
        ((const Policy__V1__PodDisruptionBudget *)object)->status;
    const struct path *at = AT(NULL, "status");
    (void)old;
    check_conditions(e, AT(at, "conditions"), s->conditions, s->n_conditions);
    check_non_negative(e, AT(at, "disruptionsAllowed"), s->disruptions_allowed);
    check_non_negative(e, AT(at, "currentHealthy"), s->current_healthy);
    check_non_negative(e, AT(at, "desiredHealthy"), s->desired_healthy);
    check_non_negative(e, AT(at, "expectedPods"), s->expected_pods);
}

static const struct kind_rules rows[] = {
    {.message = Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA,
     .create = validate_v1,
     .update = validate_v1_update,
     .update_alone = true,
     .status = validate_v1_status},
    {.message = Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA,
     .create = validate_v2,
     .update = validate_v2_update,
     .update_alone = true,
     .status = validate_v2_status},
    {.message = Policy__V1__PodDisruptionBudget__SCHEMA,
     .create = validate_pdb,
     .status = validate_pdb_status},
};
const struct rule_table autoscaling_rules = RULE_TABLE(rows);
