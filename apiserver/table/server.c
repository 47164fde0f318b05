/*
 * Rows of what the API server and drivers are set up with: webhooks, admission policies, API services, flow control, CSI,
 * devices.
 */
#include "apiserver/table/table.h"
#include "apiserver/table/text.h"
#include "proto/admissionregistration_v1.pb-c.h"
#include "proto/apiregistration_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

static void cell_text(struct cells *c, const char *s, const char *otherwise)
{
    cell_string(c, s && *s ? s : otherwise);
}

/* ---- storage ---- */

static void print_driver(struct cells *c, const Storage__V1__CSIDriver *d)
{
    const Storage__V1__CSIDriverSpec *s = d->spec;
    struct text modes = text_new(c->a), audiences = text_new(c->a);
    for (size_t i = 0; i < s->n_volume_lifecycle_modes; i++)
        text_item(&modes, ",", s->volume_lifecycle_modes[i]);
    for (size_t i = 0; i < s->n_token_requests; i++)
        text_item(&audiences, ",", s->token_requests[i]->audience);
    cell_string(c, d->metadata->name);
    cell_bool(c, !s->has_attach_required || s->attach_required);
    cell_bool(c, s->has_pod_info_on_mount && s->pod_info_on_mount);
    cell_bool(c, s->has_storage_capacity && s->storage_capacity);
    cell_string(c, audiences.count ? audiences.joined.s : "<unset>");
    cell_bool(c, s->has_requires_republish && s->requires_republish);
    cell_string(c, text_or_none(&modes));
    cell_string(c, text_age(c, d->metadata->creation_timestamp));
}

static void print_capacity(struct cells *c, const Storage__V1__CSIStorageCapacity *s)
{
    cell_string(c, s->metadata->name);
    cell_string(c, s->storage_class_name);
    cell_text(c, s->capacity ? s->capacity->string : NULL, "<unset>");
}

static void print_attachment(struct cells *c, const Storage__V1__VolumeAttachment *v)
{
    const char *volume = v->spec->source->persistent_volume_name;
    cell_string(c, v->metadata->name);
    cell_string(c, v->spec->attacher);
    cell_text(c, volume, "");
    cell_string(c, v->spec->node_name);
    cell_bool(c, v->status->attached);
    cell_string(c, text_age(c, v->metadata->creation_timestamp));
}

static bool print_storage(struct cells *c, const void *object)
{
    const Storage__V1__CSINode *node = object;
    const Storage__V1__VolumeAttributesClass *class = object;
    switch (schema_of(object)->id) {
    case Storage__V1__CSIDriver__SCHEMA:
        print_driver(c, object);
        return true;
    case Storage__V1__CSIStorageCapacity__SCHEMA:
        print_capacity(c, object);
        return true;
    case Storage__V1__VolumeAttachment__SCHEMA:
        print_attachment(c, object);
        return true;
    case Storage__V1__CSINode__SCHEMA:
        cell_string(c, node->metadata->name);
        cell_int(c, (int64_t)node->spec->n_drivers);
        return true;
    case Storage__V1__VolumeAttributesClass__SCHEMA:
        cell_string(c, class->metadata->name);
        cell_string(c, class->driver_name);
        return true;
    default:
        return false;
    }
}

/* ---- admission, aggregation ---- */

static void print_policy(struct cells *c,
                         const Admissionregistration__V1__ValidatingAdmissionPolicy *p)
{
    const Admissionregistration__V1__ParamKind *kind = p->spec->param_kind;
    cell_string(c, p->metadata->name);
    cell_int(c, (int64_t)p->spec->n_validations);
    if (kind)
        cell_printf(c, "%s/%s", kind->api_version, kind->kind);
    else
        cell_string(c, "<unset>");
}

static void
print_policy_binding(struct cells *c,
                     const Admissionregistration__V1__ValidatingAdmissionPolicyBinding *b)
{
    const Admissionregistration__V1__ParamRef *ref = b->spec->param_ref;
    cell_string(c, b->metadata->name);
    cell_string(c, b->spec->policy_name);
    if (ref && *ref->name)
        cell_printf(c, "%s/%s", *ref->namespace_ ? ref->namespace_ : "*", ref->name);
    else
        cell_string(c, ref && ref->selector ? text_selector(c->a, ref->selector) : "<unset>");
}

/* Whether it is available; where it is not, why. */
static void print_api_service(struct cells *c, const Apiregistration__V1__APIService *s)
{
    const Apiregistration__V1__ServiceReference *service = s->spec->service;
    const char *available = "Unknown";
    for (size_t i = 0; i < s->status->n_conditions; i++) {
        const Apiregistration__V1__APIServiceCondition *k = s->status->conditions[i];
        if (strcmp(k->type, "Available") == 0)
            available = strcmp(k->status, "True") != 0 && *k->reason
                            ? arena_printf(c->a, "%s (%s)", k->status, k->reason)
                            : k->status;
    }
    cell_string(c, s->metadata->name);
    if (service)
        cell_printf(c, "%s/%s", service->namespace_, service->name);
    else
        cell_string(c, "Local");
    cell_string(c, available);
}

static bool print_extension(struct cells *c, const void *object)
{
    const Admissionregistration__V1__MutatingWebhookConfiguration *mutating = object;
    const Admissionregistration__V1__ValidatingWebhookConfiguration *validating = object;
    switch (schema_of(object)->id) {
    case Admissionregistration__V1__MutatingWebhookConfiguration__SCHEMA:
        cell_string(c, mutating->metadata->name);
        cell_int(c, (int64_t)mutating->n_webhooks);
        return true;
    case Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA:
        cell_string(c, validating->metadata->name);
        cell_int(c, (int64_t)validating->n_webhooks);
        return true;
    case Admissionregistration__V1__ValidatingAdmissionPolicy__SCHEMA:
        print_policy(c, object);
        return true;
    case Admissionregistration__V1__ValidatingAdmissionPolicyBinding__SCHEMA:
        print_policy_binding(c, object);
        return true;
    case Apiregistration__V1__APIService__SCHEMA:
        print_api_service(c, object);
        return true;
    default:
        return false;
    }
}

/* ---- flow control, devices ---- */

static void print_flow_schema(struct cells *c, const Flowcontrol__V1__FlowSchema *f)
{
    const Flowcontrol__V1__FlowDistinguisherMethod *method = f->spec->distinguisher_method;
    const char *dangling = "?";
    for (size_t i = 0; i < f->status->n_conditions; i++)
        if (strcmp(f->status->conditions[i]->type, "Dangling") == 0)
            dangling = f->status->conditions[i]->status;
    cell_string(c, f->metadata->name);
    cell_text(c, f->spec->priority_level_configuration->name, "<none>");
    cell_int(c, f->spec->matching_precedence);
    cell_text(c, method ? method->type : NULL, "<none>");
    cell_string(c, text_age(c, f->metadata->creation_timestamp));
    cell_string(c, dangling);
}

static void cell_if(struct cells *c, bool there, int64_t n)
{
    if (there)
        cell_int(c, n);
    else
        cell_string(c, "<none>");
}

static void print_priority_level(struct cells *c,
                                 const Flowcontrol__V1__PriorityLevelConfiguration *p)
{
    const Flowcontrol__V1__LimitedPriorityLevelConfiguration *l = p->spec->limited;
    const Flowcontrol__V1__QueuingConfiguration *q =
        l && l->limit_response ? l->limit_response->queuing : NULL;
    cell_string(c, p->metadata->name);
    cell_string(c, p->spec->type);
    cell_if(c, l, l ? l->nominal_concurrency_shares : 0);
    cell_if(c, q, q ? q->queues : 0);
    cell_if(c, q, q ? q->hand_size : 0);
    cell_if(c, q, q ? q->queue_length_limit : 0);
}

static void print_claim(struct cells *c, const Resource__V1__ResourceClaim *r)
{
    struct text state = text_new(c->a);
    bool deleted = !time_is_zero(r->metadata->deletion_timestamp);
    if (deleted)
        text_item(&state, ",", "deleted");
    if (r->status->allocation)
        text_item(&state, ",", "allocated");
    else if (!deleted)
        text_item(&state, ",", "pending");
    if (r->status->allocation && r->status->n_reserved_for)
        text_item(&state, ",", "reserved");
    cell_string(c, r->metadata->name);
    cell_string(c, arena_text_of(&state.joined));
}

static void print_slice(struct cells *c, const Resource__V1__ResourceSlice *s)
{
    cell_string(c, s->metadata->name);
    cell_text(c, s->spec->node_name, "");
    cell_string(c, s->spec->driver);
    cell_string(c, s->spec->pool->name);
}

bool table_print_server(struct cells *c, const void *object)
{
    switch (schema_of(object)->id) {
    case Flowcontrol__V1__FlowSchema__SCHEMA:
        print_flow_schema(c, object);
        return true;
    case Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA:
        print_priority_level(c, object);
        return true;
    case Resource__V1__ResourceClaim__SCHEMA:
        print_claim(c, object);
        return true;
    case Resource__V1__ResourceSlice__SCHEMA:
        print_slice(c, object);
        return true;
    default:
        return print_storage(c, object) || print_extension(c, object);
    }
}
