/*
 * Converters between served versions: the choice, and events. (Autoscalers: autoscaling.c.)
 */
#include "api/convert/internal.h"
#include "proto/core_v1.pb-c.h"
#include "proto/events_v1.pb-c.h"

/* Strings and messages are shared with the old object: both live in the caller's arena. */
static Events__V1__Event *event_from_core(struct arena *a, Core__V1__Event *from)
{
    Events__V1__Event *to = api_new(a, Events__V1__Event);
    to->metadata = from->metadata;
    to->event_time = from->event_time ? from->event_time : to->event_time;
    to->series = NULL;
    if (from->series) {
        to->series = api_new(a, Events__V1__EventSeries);
        to->series->count = from->series->count;
        to->series->last_observed_time = from->series->last_observed_time;
    }
    to->reporting_controller = from->reporting_component;
    to->reporting_instance = from->reporting_instance;
    to->action = from->action;
    to->reason = from->reason;
    to->regarding = from->involved_object;
    to->related = from->related;
    to->note = from->message;
    to->type = from->type;
    to->deprecated_source = from->source;
    to->deprecated_first_timestamp = from->first_timestamp;
    to->deprecated_last_timestamp = from->last_timestamp;
    to->deprecated_count = from->count;
    return to;
}

static Core__V1__Event *event_to_core(struct arena *a, Events__V1__Event *from)
{
    Core__V1__Event *to = api_new(a, Core__V1__Event);
    to->metadata = from->metadata;
    to->event_time = from->event_time;
    if (from->series) {
        to->series = api_new(a, Core__V1__EventSeries);
        to->series->count = from->series->count;
        to->series->last_observed_time = from->series->last_observed_time;
    }
    to->reporting_component = from->reporting_controller;
    to->reporting_instance = from->reporting_instance;
    to->action = from->action;
    to->reason = from->reason;
    to->involved_object = from->regarding;
    to->related = from->related;
    to->message = from->note;
    to->type = from->type;
    to->source = from->deprecated_source;
    to->first_timestamp = from->deprecated_first_timestamp;
    to->last_timestamp = from->deprecated_last_timestamp;
    to->count = from->deprecated_count;
    return to;
}

int object_convert(struct arena *a, void *object, const struct schema_message *to, void **out,
                   struct error *err)
{
    const struct schema_message *from = schema_of(object);
    if (from == to)
        *out = object;
    else if (from->id == Core__V1__Event__SCHEMA && to->id == Events__V1__Event__SCHEMA)
        *out = event_from_core(a, object);
    else if (from->id == Events__V1__Event__SCHEMA && to->id == Core__V1__Event__SCHEMA)
        *out = event_to_core(a, object);
    else if (from->id == Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA &&
             to->id == Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA)
        *out = autoscaler_to_v1(a, object);
    else if (from->id == Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA &&
             to->id == Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA)
        *out = autoscaler_to_v2(a, object);
    else
        return error_set(err, ERR_UNSUPPORTED, "cannot convert %s to %s",
                         schema_string(from->full_name), schema_string(to->full_name));
    return 0;
}
