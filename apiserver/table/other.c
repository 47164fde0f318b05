/*
 * Rows of the remaining groups: networking, discovery, policy, rbac, storage, scheduling, ….
 */
#include "api/meta.h"
#include "apiserver/table/table.h"
#include "apiserver/table/text.h"
#include "base/mem.h"
#include "proto/autoscaling_v2.pb-c.h"
#include "proto/certificates_v1.pb-c.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"
#include "proto/policy_v1.pb-c.h"
#include "proto/rbac_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

#define UNKNOWN "<unknown>"

static void print_endpoint_slice(struct cells *c, const Discovery__V1__EndpointSlice *s)
{
    struct text ports = text_new(c->a), addresses = text_new(c->a);
    for (size_t i = 0; i < s->n_ports; i++)
        text_item(&ports, ",",
                  s->ports[i]->has_port ? arena_printf(c->a, "%d", s->ports[i]->port)
                  : s->ports[i]->name   ? s->ports[i]->name
                                        : "*");
    for (size_t i = 0; i < s->n_endpoints; i++)
        for (size_t k = 0; k < s->endpoints[i]->n_addresses; k++)
            text_item(&addresses, ",", s->endpoints[i]->addresses[k]);
    cell_string(c, s->metadata->name);
    cell_string(c, s->address_type);
    cell_string(c, ports.count ? text_cut(&ports, 3) : "<unset>");
    cell_string(c, addresses.count ? text_cut(&addresses, 3) : "<unset>");
    cell_string(c, text_age(c, s->metadata->creation_timestamp));
}

static void print_ingress(struct cells *c, const Networking__V1__Ingress *in)
{
    struct text hosts = text_new(c->a), address = text_new(c->a);
    for (size_t i = 0; i < in->spec->n_rules; i++)
        text_item(&hosts, ",", *in->spec->rules[i]->host ? in->spec->rules[i]->host : "*");
    for (size_t i = 0; i < in->status->load_balancer->n_ingress; i++) {
        const Networking__V1__IngressLoadBalancerIngress *lb =
            in->status->load_balancer->ingress[i];
        text_item(&address, ",", *lb->ip ? lb->ip : lb->hostname);
    }
    cell_string(c, in->metadata->name);
    cell_string(c, in->spec->ingress_class_name ? in->spec->ingress_class_name : "<none>");
    cell_string(c, hosts.count ? text_cut(&hosts, 3) : "*");
    cell_string(c, arena_text_of(&address.joined));
    cell_string(c, in->spec->n_tls ? "80, 443" : "80");
    cell_string(c, text_age(c, in->metadata->creation_timestamp));
}

static void print_pdb(struct cells *c, const Policy__V1__PodDisruptionBudget *p)
{
    cell_string(c, p->metadata->name);
    cell_string(c,
                p->spec->min_available ? int_or_string_text(c->a, p->spec->min_available) : "N/A");
    cell_string(c, p->spec->max_unavailable ? int_or_string_text(c->a, p->spec->max_unavailable)
                                            : "N/A");
    cell_int(c, p->status->disruptions_allowed);
    cell_string(c, text_age(c, p->metadata->creation_timestamp));
}

static void print_binding(struct cells *c, const Meta__V1__ObjectMeta *meta,
                          const Rbac__V1__RoleRef *ref, Rbac__V1__Subject *const *subjects,
                          size_t n)
{
    struct text users = text_new(c->a), groups = text_new(c->a), accounts = text_new(c->a);
    for (size_t i = 0; i < n; i++) {
        const Rbac__V1__Subject *s = subjects[i];
        if (strcmp(s->kind, "User") == 0)
            text_item(&users, ", ", s->name);
        else if (strcmp(s->kind, "Group") == 0)
            text_item(&groups, ", ", s->name);
        else if (strcmp(s->kind, "ServiceAccount") == 0)
            text_item(&accounts, ", ", arena_printf(c->a, "%s/%s", s->namespace_, s->name));
    }
    cell_string(c, meta->name);
    cell_printf(c, "%s/%s", ref->kind, ref->name);
    cell_string(c, text_age(c, meta->creation_timestamp));
    cell_string(c, arena_text_of(&users.joined));
    cell_string(c, arena_text_of(&groups.joined));
    cell_string(c, arena_text_of(&accounts.joined));
}

static void print_storage_class(struct cells *c, const Storage__V1__StorageClass *s)
{
    const char *is_default =
        annotations_get(s->metadata, "storageclass.kubernetes.io/is-default-class");
    cell_printf(c, "%s%s", s->metadata->name, cstr_eq(is_default, "true") ? " (default)" : "");
    cell_string(c, s->provisioner);
    cell_string(c, s->reclaim_policy ? s->reclaim_policy : "Delete");
    cell_string(c, s->volume_binding_mode ? s->volume_binding_mode : "Immediate");
    cell_bool(c, api_get(s, allow_volume_expansion, false));
    cell_string(c, text_age(c, s->metadata->creation_timestamp));
}

static const char *quantity_or(const Meta__V1__Quantity *q, const char *otherwise)
{
    return q ? q->string : otherwise;
}

/* What is wanted and what there is (NULL: not known yet), the average of pods or the whole. */
static const char *amount_text(struct arena *a, const Autoscaling__V2__MetricTarget *t,
                               const Autoscaling__V2__MetricValueStatus *now)
{
    if (t->average_value)
        return arena_printf(a, "%s/%s (avg)", quantity_or(now ? now->average_value : NULL, UNKNOWN),
                            t->average_value->string);
    return arena_printf(a, "%s/%s", quantity_or(now ? now->value : NULL, UNKNOWN),
                        quantity_or(t->value, "0"));
}

static const char *resource_text(struct arena *a, const char *name,
                                 const Autoscaling__V2__MetricTarget *t,
                                 const Autoscaling__V2__MetricValueStatus *now)
{
    if (t->average_value)
        return arena_printf(a, "%s: %s/%s", name,
                            quantity_or(now ? now->average_value : NULL, UNKNOWN),
                            t->average_value->string);
    const char *current = UNKNOWN, *target = "<auto>";
    if (now && now->has_average_utilization)
        current = arena_printf(a, "%d%%", now->average_utilization);
    if (t->has_average_utilization)
        target = arena_printf(a, "%d%%", t->average_utilization);
    return arena_printf(a, "%s: %s/%s", name, current, target);
}

/* `s`: the status at its place, or NULL. */
static const char *metric_text(struct arena *a, const Autoscaling__V2__MetricSpec *m,
                               const Autoscaling__V2__MetricStatus *s)
{
    if (cstr_eq(m->type, "External") && m->external)
        return amount_text(a, m->external->target, s && s->external ? s->external->current : NULL);
    if (cstr_eq(m->type, "Object") && m->object)
        return amount_text(a, m->object->target, s && s->object ? s->object->current : NULL);
    if (cstr_eq(m->type, "Pods") && m->pods) {
        const Meta__V1__Quantity *now = s && s->pods ? s->pods->current->average_value : NULL;
        return arena_printf(a, "%s/%s", quantity_or(now, UNKNOWN),
                            quantity_or(m->pods->target->average_value, "0"));
    }
    if (cstr_eq(m->type, "Resource") && m->resource)
        return resource_text(a, m->resource->name, m->resource->target,
                             s && s->resource ? s->resource->current : NULL);
    if (cstr_eq(m->type, "ContainerResource") && m->container_resource)
        return resource_text(a, m->container_resource->name, m->container_resource->target,
                             s && s->container_resource ? s->container_resource->current : NULL);
    return "<unknown type>";
}

static void print_hpa(struct cells *c, const Autoscaling__V2__HorizontalPodAutoscaler *h)
{
    struct text targets = text_new(c->a);
    for (size_t i = 0; i < h->spec->n_metrics; i++)
        text_item(
            &targets, ", ",
            metric_text(c->a, h->spec->metrics[i],
                        i < h->status->n_current_metrics ? h->status->current_metrics[i] : NULL));
    cell_string(c, h->metadata->name);
    cell_printf(c, "%s/%s", h->spec->scale_target_ref->kind, h->spec->scale_target_ref->name);
    cell_string(c, text_cut(&targets, 2));
    if (h->spec->has_min_replicas)
        cell_printf(c, "%d", h->spec->min_replicas);
    else
        cell_string(c, "<unset>");
    cell_int(c, h->spec->max_replicas);
    cell_int(c, h->status->current_replicas);
    cell_string(c, text_age(c, h->metadata->creation_timestamp));
}

static void print_csr(struct cells *c, const Certificates__V1__CertificateSigningRequest *r)
{
    struct text condition = text_new(c->a);
    for (size_t i = 0; i < r->status->n_conditions; i++)
        text_item(&condition, ",", r->status->conditions[i]->type);
    if (condition.count == 0)
        text_item(&condition, ",", "Pending");
    if (r->status->certificate.len > 0)
        text_item(&condition, ",", "Issued");
    cell_string(c, r->metadata->name);
    cell_string(c, text_age(c, r->metadata->creation_timestamp));
    cell_string(c, r->spec->signer_name);
    cell_string(c, r->spec->username);
    char duration[32] = "<none>";
    if (r->spec->has_expiration_seconds)
        duration_human(r->spec->expiration_seconds, duration);
    cell_string(c, duration);
    cell_string(c, arena_text_of(&condition.joined));
}

static void name_text_age(struct cells *c, const Meta__V1__ObjectMeta *meta, const char *text)
{
    cell_string(c, meta->name);
    cell_string(c, text);
    cell_string(c, text_age(c, meta->creation_timestamp));
}

static void print_priority_class(struct cells *c, const Scheduling__V1__PriorityClass *p)
{
    cell_string(c, p->metadata->name);
    cell_int(c, p->value);
    cell_bool(c, p->global_default);
    cell_string(c, text_age(c, p->metadata->creation_timestamp));
    cell_string(c, p->preemption_policy ? p->preemption_policy : "");
}

static void print_ingress_class(struct cells *c, const Networking__V1__IngressClass *i)
{
    const Networking__V1__IngressClassParametersReference *p = i->spec->parameters;
    cell_string(c, i->metadata->name);
    cell_string(c, i->spec->controller);
    if (p)
        cell_printf(c, "%s%s%s/%s", p->kind, p->api_group ? "." : "",
                    p->api_group ? p->api_group : "", p->name);
    else
        cell_string(c, "<none>");
    cell_string(c, text_age(c, i->metadata->creation_timestamp));
}

static void print_ip(struct cells *c, const Networking__V1__IPAddress *ip)
{
    const Networking__V1__ParentReference *p = ip->spec->parent_ref;
    cell_string(c, ip->metadata->name);
    cell_string(c,
                p ? arena_printf(c->a, "%s/%s/%s", p->resource, p->namespace_, p->name) : "<none>");
}

bool table_print_other(struct cells *c, const void *object)
{
    switch (schema_of(object)->id) {
    case Discovery__V1__EndpointSlice__SCHEMA:
        print_endpoint_slice(c, object);
        return true;
    case Networking__V1__Ingress__SCHEMA:
        print_ingress(c, object);
        return true;
    case Networking__V1__IngressClass__SCHEMA:
        print_ingress_class(c, object);
        return true;
    case Networking__V1__IPAddress__SCHEMA:
        print_ip(c, object);
        return true;
    case Policy__V1__PodDisruptionBudget__SCHEMA:
        print_pdb(c, object);
        return true;
    case Storage__V1__StorageClass__SCHEMA:
        print_storage_class(c, object);
        return true;
    case Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA:
        print_hpa(c, object);
        return true;
    case Certificates__V1__CertificateSigningRequest__SCHEMA:
        print_csr(c, object);
        return true;
    case Scheduling__V1__PriorityClass__SCHEMA:
        print_priority_class(c, object);
        return true;
    case Rbac__V1__RoleBinding__SCHEMA: {
        const Rbac__V1__RoleBinding *b = object;
        print_binding(c, b->metadata, b->role_ref, b->subjects, b->n_subjects);
        return true;
    }
    case Rbac__V1__ClusterRoleBinding__SCHEMA: {
        const Rbac__V1__ClusterRoleBinding *b = object;
        print_binding(c, b->metadata, b->role_ref, b->subjects, b->n_subjects);
        return true;
    }
    case Networking__V1__NetworkPolicy__SCHEMA: {
        const Networking__V1__NetworkPolicy *n = object;
        name_text_age(c, n->metadata, text_selector(c->a, n->spec->pod_selector));
        return true;
    }
    case Coordination__V1__Lease__SCHEMA: {
        const Coordination__V1__Lease *l = object;
        name_text_age(c, l->metadata, l->spec->holder_identity ? l->spec->holder_identity : "");
        return true;
    }
    case Node__V1__RuntimeClass__SCHEMA: {
        const Node__V1__RuntimeClass *r = object;
        name_text_age(c, r->metadata, r->handler);
        return true;
    }
    case Networking__V1__ServiceCIDR__SCHEMA: {
        const Networking__V1__ServiceCIDR *s = object;
        struct text t = text_new(c->a);
        for (size_t i = 0; i < s->spec->n_cidrs; i++)
            text_item(&t, ",", s->spec->cidrs[i]);
        name_text_age(c, s->metadata, text_or_none(&t));
        return true;
    }
    default:
        return false;
    }
}
