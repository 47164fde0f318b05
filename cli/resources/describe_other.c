/*
 * c8s describe node, deployment and service.
 */
#include "cli/resources/describe.h"

#include "api/meta.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "base/mem.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include <stdio.h>

/* ---------------------------------------------------------------------------------------- node --- */

static void write_roles(struct writer *w, const Meta__V1__ObjectMeta *m)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    struct buf roles;
    buf_init(&roles);
    for (size_t i = 0; i < m->n_labels; i++)
        if (str_has_prefix(str_from(m->labels[i]->key), STR(prefix)))
            buf_printf(&roles, "%s%s", roles.len ? "," : "", m->labels[i]->key + strlen(prefix));
    write_line(w, 0, "Roles:\t%s", or_none(buf_cstr(&roles)));
    buf_free(&roles);
}

static void write_taints(struct writer *w, const Core__V1__NodeSpec *spec)
{
    if (!spec->n_taints)
        write_line(w, 0, "Taints:\t<none>");
    for (size_t i = 0; i < spec->n_taints; i++) {
        const Core__V1__Taint *t = spec->taints[i];
        write_line(w, 0, "%s\t%s%s%s:%s", i ? "" : "Taints:", t->key, *t->value ? "=" : "",
                   t->value, t->effect);
    }
}

static void write_node_conditions(struct writer *w, const Core__V1__NodeStatus *s)
{
    write_line(w, 0, "Conditions:");
    write_line(w, 1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    write_line(w, 1, "----\t------\t-----------------\t------------------\t------\t-------");
    for (size_t i = 0; i < s->n_conditions; i++) {
        const Core__V1__NodeCondition *c = s->conditions[i];
        write_line(w, 1, "%s \t%s \t%s \t%s \t%s \t%s", c->type, c->status,
                   date_text(w, c->last_heartbeat_time), date_text(w, c->last_transition_time),
                   c->reason, c->message);
    }
}

static void write_system_info(struct writer *w, const Core__V1__NodeSystemInfo *i)
{
    if (!i)
        return;
    write_line(w, 0, "System Info:");
    write_line(w, 1, "Machine ID:\t%s", i->machine_id);
    write_line(w, 1, "System UUID:\t%s", i->system_uuid);
    write_line(w, 1, "Boot ID:\t%s", i->boot_id);
    write_line(w, 1, "Kernel Version:\t%s", i->kernel_version);
    write_line(w, 1, "OS Image:\t%s", i->os_image);
    write_line(w, 1, "Operating System:\t%s", i->operating_system);
    write_line(w, 1, "Architecture:\t%s", i->architecture);
    write_line(w, 1, "Container Runtime Version:\t%s", i->container_runtime_version);
    write_line(w, 1, "Kubelet Version:\t%s", i->kubelet_version);
}

struct sums {
    struct quantity cpu_requests, cpu_limits, memory_requests, memory_limits;
};

static struct quantity named(Meta__V1__QuantityEntry *const *entries, size_t n, const char *name)
{
    return quantity_of(quantity_map_get(entries, n, name));
}

static struct sums pod_sums(const Core__V1__Pod *pod)
{
    struct sums s = {0};
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        const Core__V1__ResourceRequirements *r = pod->spec->containers[i]->resources;
        s.cpu_requests = quantity_add(s.cpu_requests, named(r->requests, r->n_requests, "cpu"));
        s.cpu_limits = quantity_add(s.cpu_limits, named(r->limits, r->n_limits, "cpu"));
        s.memory_requests =
            quantity_add(s.memory_requests, named(r->requests, r->n_requests, "memory"));
        s.memory_limits = quantity_add(s.memory_limits, named(r->limits, r->n_limits, "memory"));
    }
    return s;
}

static const char *share(struct writer *w, struct quantity q, struct quantity of)
{
    int64_t whole = quantity_milli(of), part = quantity_milli(q);
    return arena_printf(&w->s->arena, "%s (%lld%%)", quantity_text(&w->s->arena, q),
                        whole ? (long long)(part * 100 / whole) : 0ll);
}

static void write_node_pods(struct writer *w, const Core__V1__Node *node)
{
    const char *selector =
        arena_printf(&w->s->arena, "spec.nodeName=%s,status.phase!=Succeeded,status.phase!=Failed",
                     node->metadata->name);
    Core__V1__PodList *pods = res_list_objects(w->s, RESOURCE_PODS, NULL, NULL, selector);
    const Core__V1__NodeStatus *s = node->status;
    struct quantity cpu = named(s->allocatable, s->n_allocatable, "cpu");
    struct quantity memory = named(s->allocatable, s->n_allocatable, "memory");
    struct sums total = {0};
    size_t n = pods ? pods->n_items : 0;
    write_line(w, 0, "Non-terminated Pods:\t(%zu in total)", n);
    write_line(w, 1,
               "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    write_line(w, 1,
               "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    for (size_t i = 0; i < n; i++) {
        const Core__V1__Pod *pod = pods->items[i];
        struct sums p = pod_sums(pod);
        write_line(w, 1, "%s\t%s\t\t%s\t%s\t%s\t%s\t%s", pod->metadata->namespace_,
                   pod->metadata->name, share(w, p.cpu_requests, cpu), share(w, p.cpu_limits, cpu),
                   share(w, p.memory_requests, memory), share(w, p.memory_limits, memory),
                   age_text(w, pod->metadata->creation_timestamp));
        total.cpu_requests = quantity_add(total.cpu_requests, p.cpu_requests);
        total.cpu_limits = quantity_add(total.cpu_limits, p.cpu_limits);
        total.memory_requests = quantity_add(total.memory_requests, p.memory_requests);
        total.memory_limits = quantity_add(total.memory_limits, p.memory_limits);
    }
    write_line(w, 0, "Allocated resources:");
    write_line(w, 1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    write_line(w, 1, "Resource\tRequests\tLimits");
    write_line(w, 1, "--------\t--------\t------");
    write_line(w, 1, "cpu\t%s\t%s", share(w, total.cpu_requests, cpu),
               share(w, total.cpu_limits, cpu));
    write_line(w, 1, "memory\t%s\t%s", share(w, total.memory_requests, memory),
               share(w, total.memory_limits, memory));
}

static void write_lease(struct writer *w, const char *node)
{
    struct error err = {0};
    Coordination__V1__Lease *lease = client_get(w->s->client, RESOURCE_LEASES, "kube-node-lease",
                                                node, NULL, &w->s->arena, &err);
    write_line(w, 0, "Lease:");
    if (!lease || !lease->spec) {
        write_line(w, 1, "Failed to get lease: %s", err.code ? err.message : "empty");
        return;
    }
    const Meta__V1__MicroTime *m = lease->spec->renew_time;
    Meta__V1__Time renewed = {.seconds = m ? m->seconds : 0};
    write_line(w, 1, "HolderIdentity:\t%s", or_none(lease->spec->holder_identity));
    write_line(w, 1, "RenewTime:\t%s", date_text(w, &renewed));
}

void describe_node(struct writer *w, const Core__V1__Node *node)
{
    const Meta__V1__ObjectMeta *m = node->metadata;
    const Core__V1__NodeStatus *s = node->status;
    write_line(w, 0, "Name:\t%s", m->name);
    write_roles(w, m);
    write_map(w, 0, "Labels", m->labels, m->n_labels);
    write_map(w, 0, "Annotations", m->annotations, m->n_annotations);
    write_line(w, 0, "CreationTimestamp:\t%s", date_text(w, m->creation_timestamp));
    write_taints(w, node->spec);
    write_line(w, 0, "Unschedulable:\t%s", node->spec->unschedulable ? "true" : "false");
    write_lease(w, m->name);
    write_node_conditions(w, s);
    write_line(w, 0, "Addresses:");
    for (size_t i = 0; i < s->n_addresses; i++)
        write_line(w, 1, "%s:\t%s", s->addresses[i]->type, s->addresses[i]->address);
    write_quantities(w, 0, "Capacity", s->capacity, s->n_capacity);
    write_quantities(w, 0, "Allocatable", s->allocatable, s->n_allocatable);
    write_system_info(w, s->node_info);
    if (*node->spec->pod_cidr)
        write_line(w, 0, "PodCIDR:\t%s", node->spec->pod_cidr);
    write_node_pods(w, node);
    write_events(w, NULL, "Node", m->name, NULL);
}

/* ---------------------------------------------------------------------------------- deployment --- */

static const char *selector_text(struct writer *w, const Meta__V1__LabelSelector *s)
{
    struct label_selector parsed;
    struct buf b;
    buf_init(&b);
    if (label_selector_from(&w->s->arena, s, &parsed, NULL) == 0)
        label_selector_format(&parsed, &b);
    const char *text = arena_strndup(&w->s->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return or_none(text);
}

static void write_sets(struct writer *w, const Apps__V1__Deployment *d)
{
    const char *selector = selector_text(w, d->spec->selector);
    Apps__V1__ReplicaSetList *list =
        res_list_objects(w->s, RESOURCE_REPLICASETS, d->metadata->namespace_, selector, NULL);
    const char *current = annotations_get(d->metadata, "deployment.kubernetes.io/revision");
    struct buf old, new;
    buf_init(&old);
    buf_init(&new);
    for (size_t i = 0; list && i < list->n_items; i++) {
        const Apps__V1__ReplicaSet *rs = list->items[i];
        if (!is_controlled_by(rs->metadata, d->metadata))
            continue;
        bool is_new =
            cstr_eq(annotations_get(rs->metadata, "deployment.kubernetes.io/revision"), current);
        struct buf *b = is_new ? &new : &old;
        buf_printf(b, "%s%s (%d/%d replicas created)", b->len ? ", " : "", rs->metadata->name,
                   rs->status->replicas, api_get(rs->spec, replicas, 1));
    }
    write_line(w, 0, "OldReplicaSets:\t%s", or_none(buf_cstr(&old)));
    write_line(w, 0, "NewReplicaSet:\t%s", or_none(buf_cstr(&new)));
    buf_free(&old);
    buf_free(&new);
}

void describe_deployment(struct writer *w, const Apps__V1__Deployment *d)
{
    const Meta__V1__ObjectMeta *m = d->metadata;
    const Apps__V1__DeploymentStatus *s = d->status;
    write_line(w, 0, "Name:\t%s", m->name);
    write_line(w, 0, "Namespace:\t%s", m->namespace_);
    write_line(w, 0, "CreationTimestamp:\t%s", date_text(w, m->creation_timestamp));
    write_map(w, 0, "Labels", m->labels, m->n_labels);
    write_map(w, 0, "Annotations", m->annotations, m->n_annotations);
    write_line(w, 0, "Selector:\t%s", selector_text(w, d->spec->selector));
    write_line(w, 0,
               "Replicas:\t%d desired | %d updated | %d total | %d available | %d unavailable",
               api_get(d->spec, replicas, 1), s->updated_replicas, s->replicas,
               s->available_replicas, s->unavailable_replicas);
    write_line(w, 0, "StrategyType:\t%s", d->spec->strategy->type);
    write_line(w, 0, "MinReadySeconds:\t%d", d->spec->min_ready_seconds);
    const Apps__V1__RollingUpdateDeployment *r = d->spec->strategy->rolling_update;
    if (r)
        write_line(w, 0, "RollingUpdateStrategy:\t%s max unavailable, %s max surge",
                   int_or_string_text(&w->s->arena, r->max_unavailable),
                   int_or_string_text(&w->s->arena, r->max_surge));
    describe_template(w, d->spec->template_);
    if (s->n_conditions) {
        write_line(w, 0, "Conditions:");
        write_line(w, 1, "Type\tStatus\tReason");
        write_line(w, 1, "----\t------\t------");
        for (size_t i = 0; i < s->n_conditions; i++)
            write_line(w, 1, "%s \t%s\t%s", s->conditions[i]->type, s->conditions[i]->status,
                       s->conditions[i]->reason);
    }
    write_sets(w, d);
    write_events(w, m->namespace_, "Deployment", m->name, m->uid);
}

/* ------------------------------------------------------------------------------------- service --- */

/* Ready addresses for a service port, "a:1,b:1 + 2 more...". */
static const char *endpoints_text(struct writer *w, const Discovery__V1__EndpointSliceList *slices,
                                  const char *port_name)
{
    struct buf b;
    size_t count = 0;
    buf_init(&b);
    for (size_t i = 0; slices && i < slices->n_items; i++) {
        const Discovery__V1__EndpointSlice *s = slices->items[i];
        for (size_t p = 0; p < s->n_ports; p++) {
            if (!cstr_eq(s->ports[p]->name, port_name))
                continue;
            for (size_t e = 0; e < s->n_endpoints; e++) {
                const Discovery__V1__Endpoint *x = s->endpoints[e];
                if (!x->n_addresses ||
                    (x->conditions && x->conditions->has_ready && !x->conditions->ready))
                    continue;
                if (count++ < 3)
                    buf_printf(&b, "%s%s:%d", b.len ? "," : "", x->addresses[0], s->ports[p]->port);
            }
        }
    }
    if (count > 3)
        buf_printf(&b, " + %zu more...", count - 3);
    const char *text = arena_strndup(&w->s->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static void write_service_ports(struct writer *w, const Core__V1__Service *service)
{
    const char *selector =
        arena_printf(&w->s->arena, "kubernetes.io/service-name=%s", service->metadata->name);
    Discovery__V1__EndpointSliceList *slices = res_list_objects(
        w->s, RESOURCE_ENDPOINTSLICES, service->metadata->namespace_, selector, NULL);
    for (size_t i = 0; i < service->spec->n_ports; i++) {
        const Core__V1__ServicePort *p = service->spec->ports[i];
        write_line(w, 0, "Port:\t%s\t%d/%s", *p->name ? p->name : "<unset>", p->port, p->protocol);
        write_line(w, 0, "TargetPort:\t%s/%s", int_or_string_text(&w->s->arena, p->target_port),
                   p->protocol);
        if (p->node_port)
            write_line(w, 0, "NodePort:\t%s\t%d/%s", *p->name ? p->name : "<unset>", p->node_port,
                       p->protocol);
        write_line(w, 0, "Endpoints:\t%s", endpoints_text(w, slices, p->name));
    }
}

void describe_service(struct writer *w, const Core__V1__Service *service)
{
    const Meta__V1__ObjectMeta *m = service->metadata;
    const Core__V1__ServiceSpec *spec = service->spec;
    write_line(w, 0, "Name:\t%s", m->name);
    write_line(w, 0, "Namespace:\t%s", m->namespace_);
    write_map(w, 0, "Labels", m->labels, m->n_labels);
    write_map(w, 0, "Annotations", m->annotations, m->n_annotations);
    struct buf selector;
    buf_init(&selector);
    for (size_t i = 0; i < spec->n_selector; i++)
        buf_printf(&selector, "%s%s=%s", i ? "," : "", spec->selector[i]->key,
                   spec->selector[i]->value);
    write_line(w, 0, "Selector:\t%s", or_none(buf_cstr(&selector)));
    buf_free(&selector);
    write_line(w, 0, "Type:\t%s", spec->type);
    if (spec->ip_family_policy)
        write_line(w, 0, "IP Family Policy:\t%s", spec->ip_family_policy);
    if (spec->n_ip_families)
        write_line(w, 0, "IP Families:\t%s", spec->ip_families[0]);
    write_line(w, 0, "IP:\t%s", spec->cluster_ip);
    if (spec->n_cluster_ips)
        write_line(w, 0, "IPs:\t%s", spec->cluster_ips[0]);
    write_service_ports(w, service);
    write_line(w, 0, "Session Affinity:\t%s", spec->session_affinity);
    if (*spec->external_traffic_policy)
        write_line(w, 0, "External Traffic Policy:\t%s", spec->external_traffic_policy);
    if (spec->internal_traffic_policy)
        write_line(w, 0, "Internal Traffic Policy:\t%s", spec->internal_traffic_policy);
    write_events(w, m->namespace_, "Service", m->name, m->uid);
}
