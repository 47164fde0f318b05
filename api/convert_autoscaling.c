/*
 * autoscaling v1 ⇄ v2. The stored version is v2; v1 can say no more of metrics than a CPU percentage. What
 * else a v2 object holds travels through v1 in an annotation and comes back from it.
 */
#include "api/codec.h"
#include "api/convert_internal.h"
#include "base/mem.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"

#define REST "autoscaling.c8s.io/v2"

typedef Autoscaling__V1__HorizontalPodAutoscaler V1;
typedef Autoscaling__V2__HorizontalPodAutoscaler V2;

static bool is_cpu_percentage(const Autoscaling__V2__MetricSpec *m)
{
    return m->resource && cstr_eq(m->type, "Resource") && cstr_eq(m->resource->name, "cpu") &&
           m->resource->target->has_average_utilization;
}

static bool is_cpu_status(const Autoscaling__V2__MetricStatus *m)
{
    return m->resource && cstr_eq(m->type, "Resource") && cstr_eq(m->resource->name, "cpu") &&
           m->resource->current->has_average_utilization;
}

/* The members v1 has no place for, as JSON in an annotation; nothing when there are none. */
static void keep_rest(struct arena *a, const V2 *from, Meta__V1__ObjectMeta *meta)
{
    V2 *rest = api_new(a, Autoscaling__V2__HorizontalPodAutoscaler);
    for (size_t i = 0; i < from->spec->n_metrics; i++) {
        if (!is_cpu_percentage(from->spec->metrics[i]))
            api_append(a, rest->spec, metrics, from->spec->metrics[i]);
    }
    for (size_t i = 0; i < from->status->n_current_metrics; i++) {
        if (!is_cpu_status(from->status->current_metrics[i]))
            api_append(a, rest->status, current_metrics, from->status->current_metrics[i]);
    }
    rest->spec->behavior = from->spec->behavior;
    rest->status->conditions = from->status->conditions;
    rest->status->n_conditions = from->status->n_conditions;
    if (!rest->spec->n_metrics && !rest->spec->behavior && !rest->status->n_current_metrics &&
        !rest->status->n_conditions)
        return;
    struct buf json;
    buf_init(&json);
    json_encode(rest, JSON_NO_TYPE_META, &json);
    annotations_set(a, meta, REST, arena_strndup(a, json.data, json.len));
    buf_free(&json);
}

void *autoscaler_to_v1(struct arena *a, void *object)
{
    V2 *from = object;
    V1 *to = api_new(a, Autoscaling__V1__HorizontalPodAutoscaler);
    to->metadata = arena_dup(a, from->metadata, sizeof *from->metadata);
    to->spec->scale_target_ref->api_version = from->spec->scale_target_ref->api_version;
    to->spec->scale_target_ref->kind = from->spec->scale_target_ref->kind;
    to->spec->scale_target_ref->name = from->spec->scale_target_ref->name;
    to->spec->has_min_replicas = from->spec->has_min_replicas;
    to->spec->min_replicas = from->spec->min_replicas;
    to->spec->max_replicas = from->spec->max_replicas;
    for (size_t i = 0; i < from->spec->n_metrics; i++) {
        if (is_cpu_percentage(from->spec->metrics[i]))
            api_set(to->spec, target_cpu_utilization_percentage,
                    from->spec->metrics[i]->resource->target->average_utilization);
    }
    to->status->has_observed_generation = from->status->has_observed_generation;
    to->status->observed_generation = from->status->observed_generation;
    to->status->last_scale_time = from->status->last_scale_time;
    to->status->current_replicas = from->status->current_replicas;
    to->status->desired_replicas = from->status->desired_replicas;
    for (size_t i = 0; i < from->status->n_current_metrics; i++) {
        if (is_cpu_status(from->status->current_metrics[i]))
            api_set(to->status, current_cpu_utilization_percentage,
                    from->status->current_metrics[i]->resource->current->average_utilization);
    }
    keep_rest(a, from, to->metadata);
    return to;
}

static void add_cpu_metric(struct arena *a, V2 *to, int32_t percent)
{
    Autoscaling__V2__MetricSpec *m = api_new(a, Autoscaling__V2__MetricSpec);
    m->type = (char *)"Resource";
    m->resource = api_new(a, Autoscaling__V2__ResourceMetricSource);
    m->resource->name = (char *)"cpu";
    m->resource->target->type = (char *)"Utilization";
    api_set(m->resource->target, average_utilization, percent);
    api_append(a, to->spec, metrics, m);
}

static void add_cpu_status(struct arena *a, V2 *to, int32_t percent)
{
    Autoscaling__V2__MetricStatus *m = api_new(a, Autoscaling__V2__MetricStatus);
    m->type = (char *)"Resource";
    m->resource = api_new(a, Autoscaling__V2__ResourceMetricStatus);
    m->resource->name = (char *)"cpu";
    api_set(m->resource->current, average_utilization, percent);
    api_append(a, to->status, current_metrics, m);
}

/* Bring back what keep_rest put away; a damaged annotation (a client wrote it) is left out. */
static void restore_rest(struct arena *a, V2 *to)
{
    const char *json = annotations_get(to->metadata, REST);
    void *decoded;
    if (!json)
        return;
    int rc = json_decode(a, schema_get(Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA),
                         str_from(json), NULL, &decoded, NULL);
    to->metadata->annotations =
        arena_dup(a, to->metadata->annotations,
                  to->metadata->n_annotations * sizeof *to->metadata->annotations);
    annotations_remove(to->metadata, REST);
    if (rc < 0)
        return;
    V2 *rest = decoded;
    for (size_t i = 0; i < rest->spec->n_metrics; i++)
        api_append(a, to->spec, metrics, rest->spec->metrics[i]);
    for (size_t i = 0; i < rest->status->n_current_metrics; i++)
        api_append(a, to->status, current_metrics, rest->status->current_metrics[i]);
    to->spec->behavior = rest->spec->behavior;
    to->status->conditions = rest->status->conditions;
    to->status->n_conditions = rest->status->n_conditions;
}

void *autoscaler_to_v2(struct arena *a, void *object)
{
    V1 *from = object;
    V2 *to = api_new(a, Autoscaling__V2__HorizontalPodAutoscaler);
    to->metadata = arena_dup(a, from->metadata, sizeof *from->metadata);
    to->spec->scale_target_ref->api_version = from->spec->scale_target_ref->api_version;
    to->spec->scale_target_ref->kind = from->spec->scale_target_ref->kind;
    to->spec->scale_target_ref->name = from->spec->scale_target_ref->name;
    to->spec->has_min_replicas = from->spec->has_min_replicas;
    to->spec->min_replicas = from->spec->min_replicas;
    to->spec->max_replicas = from->spec->max_replicas;
    if (from->spec->has_target_cpu_utilization_percentage)
        add_cpu_metric(a, to, from->spec->target_cpu_utilization_percentage);
    to->status->has_observed_generation = from->status->has_observed_generation;
    to->status->observed_generation = from->status->observed_generation;
    to->status->last_scale_time = from->status->last_scale_time;
    to->status->current_replicas = from->status->current_replicas;
    to->status->desired_replicas = from->status->desired_replicas;
    if (from->status->has_current_cpu_utilization_percentage)
        add_cpu_status(a, to, from->status->current_cpu_utilization_percentage);
    restore_rest(a, to);
    return to;
}
