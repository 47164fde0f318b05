/*
 * Validation of events, in the old group and in the new.
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "proto/events_v1.pb-c.h"

#define SHORT_MAX 128
#define NOTE_MAX 1024

/* What both groups say of an event, by the names that the group has for them. */
struct event_view {
    const char *namespace_, *of; /* of what it is about */
    bool dated;                  /* has its own time: as those of the new group do */
    const char *controller_field, *controller, *instance, *action, *reason, *note;
};

/* An event lives where its object lives; that of a cluster's object in the default namespace. */
static void check_event_place(struct field_errors *e, const struct event_view *v)
{
    bool good;
    if (v->dated)
        good = *v->of || is_one_of(v->namespace_, ONE_OF("default", "kube-system"));
    else if (*v->of)
        good = cstr_eq(v->of, v->namespace_);
    else
        good = !*v->namespace_ || cstr_eq(v->namespace_, "default");
    if (!good)
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), v->of,
                    "does not match event.namespace");
}

static void check_short(struct field_errors *e, const char *field, const char *value)
{
    check_required(e, AT(NULL, field), value);
    if (strlen(value) > SHORT_MAX)
        err_invalid(e, AT(NULL, field), "", "can have at most 128 characters");
}

static void check_event(struct field_errors *e, const struct event_view *v)
{
    check_event_place(e, v);
    if (v->dated) {
        check_required(e, AT(NULL, v->controller_field), v->controller);
        check_string(e, AT(NULL, v->controller_field), v->controller, validate_qualified_name);
        check_short(e, "reportingInstance", v->instance);
        check_short(e, "action", v->action);
        check_short(e, "reason", v->reason);
        if (strlen(v->note) > NOTE_MAX)
            err_invalid(e, AT(NULL, "message"), "", "can have at most 1024 characters");
    }
    check_string(e, AT(NULL, "namespace"), v->namespace_, validate_dns1123_subdomain);
}

static void validate_event(const void *object, struct field_errors *e)
{
    const Core__V1__Event *event = object;
    check_event(e, &(struct event_view){.namespace_ = event->metadata->namespace_,
                                        .of = event->involved_object->namespace_,
                                        .dated = micro_time_ns(event->event_time) != 0,
                                        .controller_field = "reportingComponent",
                                        .controller = event->reporting_component,
                                        .instance = event->reporting_instance,
                                        .action = event->action,
                                        .reason = event->reason,
                                        .note = event->message});
}

/* ---- events.k8s.io ---- */

static void check_new_event(struct field_errors *e, const Events__V1__Event *event)
{
    check_event(e, &(struct event_view){.namespace_ = event->metadata->namespace_,
                                        .of = event->regarding->namespace_,
                                        .dated = micro_time_ns(event->event_time) != 0,
                                        .controller_field = "reportingController",
                                        .controller = event->reporting_controller,
                                        .instance = event->reporting_instance,
                                        .action = event->action,
                                        .reason = event->reason,
                                        .note = event->note});
}

static void check_series(struct field_errors *e, const Events__V1__EventSeries *series)
{
    if (series && series->count < 2)
        err_invalid(e, AT(NULL, "series.count"), "", "should be at least 2");
    if (series && micro_time_ns(series->last_observed_time) == 0)
        err_required(e, AT(NULL, "series.lastObservedTime"), "");
}

static void validate_new_event(const void *object, struct field_errors *e)
{
    const Events__V1__Event *event = object;
    check_new_event(e, event);
    check_series(e, event->series);
    if (micro_time_ns(event->event_time) == 0)
        err_required(e, AT(NULL, "eventTime"), "");
    if (!is_one_of(event->type, ONE_OF("Normal", "Warning")))
        err_invalid(e, AT(NULL, "type"), "",
                    arena_printf(e->arena, "has invalid value: %s", event->type));
    if (time_ns(event->deprecated_first_timestamp) != 0)
        err_invalid(e, AT(NULL, "firstTimestamp"), "", "needs to be unset");
    if (time_ns(event->deprecated_last_timestamp) != 0)
        err_invalid(e, AT(NULL, "lastTimestamp"), "", "needs to be unset");
    if (event->deprecated_count != 0)
        err_invalid(e, AT(NULL, "count"), "", "needs to be unset");
    if (*event->deprecated_source->component || *event->deprecated_source->host)
        err_invalid(e, AT(NULL, "source"), "", "needs to be unset");
}

/* Only its series and metadata change. */
static void validate_new_event_update(const void *object, const void *before,
                                      struct field_errors *e)
{
    const Events__V1__Event *event = object, *old = before;
    check_new_event(e, event);
    if (!object_equal(event->series, old->series))
        check_series(e, event->series);
    check_immutable(e, AT(NULL, "involvedObject"), event->regarding, old->regarding);
    check_immutable_string(e, AT(NULL, "reason"), event->reason, old->reason);
    check_immutable_string(e, AT(NULL, "message"), event->note, old->note);
    check_immutable(e, AT(NULL, "source"), event->deprecated_source, old->deprecated_source);
    check_immutable(e, AT(NULL, "firstTimestamp"), event->deprecated_first_timestamp,
                    old->deprecated_first_timestamp);
    check_immutable(e, AT(NULL, "lastTimestamp"), event->deprecated_last_timestamp,
                    old->deprecated_last_timestamp);
    if (event->deprecated_count != old->deprecated_count)
        err_invalid_int(e, AT(NULL, "count"), event->deprecated_count, IMMUTABLE);
    check_immutable_string(e, AT(NULL, "type"), event->type, old->type);
    check_immutable(e, AT(NULL, "eventTime"), event->event_time, old->event_time);
    check_immutable_string(e, AT(NULL, "action"), event->action, old->action);
    check_immutable(e, AT(NULL, "related"), event->related, old->related);
    check_immutable_string(e, AT(NULL, "reportingController"), event->reporting_controller,
                           old->reporting_controller);
    check_immutable_string(e, AT(NULL, "reportingInstance"), event->reporting_instance,
                           old->reporting_instance);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__Event__SCHEMA, .create = validate_event},
    {.message = Events__V1__Event__SCHEMA,
     .create = validate_new_event,
     .update = validate_new_event_update,
     .update_alone = true},
};
const struct rule_table event_rules = RULE_TABLE(rows);
