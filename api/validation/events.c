/*
 * Validation of events, in the old group and in the new.
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "proto/events_v1.pb-c.h"

#define SHORT_MAX 128
#define NOTE_MAX 1024

static void check_event_place(struct field_errors *e, const char *namespace_, const char *of,
                              bool dated)
{
    bool own = cstr_eq(namespace_, "default") || (dated && cstr_eq(namespace_, "kube-system"));
    /* An event lives where its object lives; that of a cluster's object in the default namespace. */
    if (*of ? !cstr_eq(of, namespace_) : *namespace_ && !own)
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), of,
                    "does not match event.namespace");
}

static void check_short(struct field_errors *e, const char *field, const char *shown,
                        const char *value)
{
    check_required(e, AT(NULL, field), value);
    if (strlen(value) > SHORT_MAX)
        err_invalid(e, AT(NULL, shown), "", "can have at most 128 characters");
}

/* What an event says that has its own time: how those of the new group are written. */
struct event_text {
    const char *controller_field, *controller, *instance, *action, *reason, *note;
};

static void check_event_text(struct field_errors *e, const struct event_text *t)
{
    check_required(e, AT(NULL, t->controller_field), t->controller);
    check_string(e, AT(NULL, t->controller_field), t->controller, validate_qualified_name);
    check_short(e, "reportingInstance", "repotingIntance", t->instance); /* as upstream writes it */
    check_short(e, "action", "action", t->action);
    check_short(e, "reason", "reason", t->reason);
    if (strlen(t->note) > NOTE_MAX)
        err_invalid(e, AT(NULL, "message"), "", "can have at most 1024 characters");
}

static void validate_event(const void *object, struct field_errors *e)
{
    const Core__V1__Event *event = object;
    bool dated = micro_time_ns(event->event_time) != 0;
    check_event_place(e, event->metadata->namespace_, event->involved_object->namespace_, dated);
    if (dated)
        check_event_text(e, &(struct event_text){"reportingComponent", event->reporting_component,
                                                 event->reporting_instance, event->action,
                                                 event->reason, event->message});
}

static void validate_new_event(const void *object, struct field_errors *e)
{
    const Events__V1__Event *event = object;
    bool dated = micro_time_ns(event->event_time) != 0;
    check_event_place(e, event->metadata->namespace_, event->regarding->namespace_, dated);
    if (!dated) {
        err_required(e, AT(NULL, "eventTime"), "");
        return;
    }
    check_event_text(e, &(struct event_text){"reportingController", event->reporting_controller,
                                             event->reporting_instance, event->action,
                                             event->reason, event->note});
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

static void validate_new_event_update(const void *object, const void *old_object,
                                      struct field_errors *e)
{
    const Events__V1__Event *event = object, *old = old_object;
    if (micro_time_ns(old->event_time) == 0)
        return; /* written the old way */
    check_immutable(e, AT(NULL, "involvedObject"), event->regarding, old->regarding);
    check_immutable_string(e, AT(NULL, "reason"), event->reason, old->reason);
    check_immutable_string(e, AT(NULL, "message"), event->note, old->note);
    check_immutable(e, AT(NULL, "related"), event->related, old->related);
    check_immutable_string(e, AT(NULL, "action"), event->action, old->action);
    check_immutable_string(e, AT(NULL, "type"), event->type, old->type);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__Event__SCHEMA, .create = validate_event},
    {.message = Events__V1__Event__SCHEMA,
     .create = validate_new_event,
     .update = validate_new_event_update},
};
const struct rule_table event_rules = RULE_TABLE(rows);
