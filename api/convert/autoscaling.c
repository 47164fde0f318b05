/*
 * autoscaling v1 ⇄ v2. The stored version is v2; v1 can say no more of metrics than a CPU percentage. What
 * else a v2 object holds travels through v1 in annotations (autoscaling_notes.c).
 */
#include "api/codec.h"
#include "api/convert/internal.h"
#include "base/mem.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"

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

static bool has_member(const void *metric)
{
    return is_cpu_percentage(metric);
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
    autoscaler_notes_write(a, from, has_member, to->metadata);
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
    autoscaler_notes_read(a, to);
    return to;
}
