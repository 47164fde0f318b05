/*
 * Decisions about endpoint slices (controllers/endpointslice.h).
 */
#include "controllers/endpointslice.h"

#include "api/meta.h"
#include "base/mem.h"
#include "controllers/pods.h"
#include <stdlib.h>

#define LABEL_HEADLESS "service.kubernetes.io/headless"
#define INT_OR_STRING_STRING 1
#define ENDPOINTS_MAX 1000 /* of an Endpoints object */

/* -------------------------------------------------------------------------------- one endpoint ---
 */

int32_t service_target_port(const Core__V1__ServicePort *port, const Core__V1__Pod *pod)
{
    const Meta__V1__IntOrString *t = port->target_port;
    if (!t || t->type != INT_OR_STRING_STRING)
        return t && t->int_val ? t->int_val : port->port;
    for (size_t c = 0; pod && c < pod->spec->n_containers; c++) {
        const Core__V1__Container *container = pod->spec->containers[c];
        for (size_t i = 0; i < container->n_ports; i++)
            if (cstr_eq(container->ports[i]->name, t->str_val) &&
                cstr_eq(container->ports[i]->protocol, port->protocol))
                return container->ports[i]->container_port;
    }
    return 0;
}

bool pod_is_endpoint(const Core__V1__Pod *pod)
{
    return *pod->status->pod_ip && !pod_has_ended(pod);
}

static Discovery__V1__Endpoint *make_endpoint(struct arena *a, const Core__V1__Service *service,
                                              const Core__V1__Pod *pod, const char *zone)
{
    Discovery__V1__Endpoint *e = api_new(a, Discovery__V1__Endpoint);
    api_append(a, e, addresses, pod->status->pod_ip);
    if (!e->conditions)
        e->conditions = api_new(a, Discovery__V1__EndpointConditions);
    bool terminating = pod_is_terminating(pod), serving = pod_is_ready(pod);
    bool ready = service->spec->publish_not_ready_addresses || (serving && !terminating);
    api_set(e->conditions, ready, ready);
    api_set(e->conditions, serving, serving);
    api_set(e->conditions, terminating, terminating);
    if (*pod->spec->hostname && cstr_eq(pod->spec->subdomain, service->metadata->name))
        e->hostname = pod->spec->hostname;
    if (*pod->spec->node_name)
        e->node_name = pod->spec->node_name;
    e->zone = (char *)zone;
    Core__V1__ObjectReference *ref = api_new(a, Core__V1__ObjectReference);
    ref->kind = "Pod";
    ref->namespace_ = pod->metadata->namespace_;
    ref->name = pod->metadata->name;
    ref->uid = pod->metadata->uid;
    e->target_ref = ref;
    return e;
}

/* The ports as this pod resolves them; those it does not have are left out. pod NULL: without a
 * pod. */
static Discovery__V1__EndpointPort **make_ports(struct arena *a, const Core__V1__Service *service,
                                                const Core__V1__Pod *pod, size_t *len)
{
    Discovery__V1__EndpointPort **ports =
        arena_array(a, Discovery__V1__EndpointPort *, service->spec->n_ports + 1);
    *len = 0;
    for (size_t i = 0; i < service->spec->n_ports; i++) {
        const Core__V1__ServicePort *from = service->spec->ports[i];
        int32_t number = service_target_port(from, pod);
        if (number == 0)
            continue;
        Discovery__V1__EndpointPort *p = api_new(a, Discovery__V1__EndpointPort);
        p->name = from->name;
        p->protocol = *from->protocol ? from->protocol : "TCP";
        p->app_protocol = from->app_protocol;
        api_set(p, port, number);
        ports[(*len)++] = p;
    }
    return ports;
}

static bool same_ports(Discovery__V1__EndpointPort *const *a, size_t n_a,
                       Discovery__V1__EndpointPort *const *b, size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++) {
        bool found = false;
        for (size_t j = 0; j < n_b && !found; j++)
            found = cstr_eq(a[i]->name, b[j]->name) && cstr_eq(a[i]->protocol, b[j]->protocol) &&
                    a[i]->port == b[j]->port && cstr_eq(a[i]->app_protocol, b[j]->app_protocol);
        if (!found)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------- desired ---
 */

static struct endpoint_group *group_for(struct arena *a, struct endpoint_group **groups,
                                        size_t *len, Discovery__V1__EndpointPort **ports,
                                        size_t ports_len)
{
    for (size_t i = 0; i < *len; i++)
        if (same_ports((*groups)[i].ports, (*groups)[i].ports_len, ports, ports_len))
            return &(*groups)[i];
    *groups = arena_grow(a, *groups, *len * sizeof **groups, (*len + 1) * sizeof **groups);
    (*groups)[*len] = (struct endpoint_group){.ports = ports, .ports_len = ports_len};
    return &(*groups)[(*len)++];
}

static int by_address(const void *x, const void *y)
{
    const Discovery__V1__Endpoint *a = *(Discovery__V1__Endpoint *const *)x,
                                  *b = *(Discovery__V1__Endpoint *const *)y;
    return strcmp(a->addresses[0], b->addresses[0]);
}

struct endpoint_group *slices_desired(struct arena *a, const Core__V1__Service *service,
                                      Core__V1__Pod *const *pods, size_t pods_len, zone_fn *zone,
                                      void *zone_ctx, size_t *len)
{
    struct endpoint_group *groups = NULL;
    *len = 0;
    for (size_t i = 0; i < pods_len; i++) {
        if (!pod_is_endpoint(pods[i]))
            continue;
        size_t ports_len;
        Discovery__V1__EndpointPort **ports = make_ports(a, service, pods[i], &ports_len);
        struct endpoint_group *g = group_for(a, &groups, len, ports, ports_len);
        g->endpoints = arena_grow(a, g->endpoints, g->endpoints_len * sizeof *g->endpoints,
                                  (g->endpoints_len + 1) * sizeof *g->endpoints);
        g->endpoints[g->endpoints_len++] = make_endpoint(
            a, service, pods[i], zone ? zone(zone_ctx, pods[i]->spec->node_name) : NULL);
    }
    for (size_t i = 0; i < *len; i++)
        qsort(groups[i].endpoints, groups[i].endpoints_len, sizeof *groups[i].endpoints,
              by_address);
    if (*len == 0) {
        size_t ports_len;
        Discovery__V1__EndpointPort **ports = make_ports(a, service, NULL, &ports_len);
        group_for(a, &groups, len, ports, ports_len);
    }
    return groups;
}

/* ---------------------------------------------------------------------------------------- plan ---
 */

static void set_labels(struct arena *a, Meta__V1__ObjectMeta *meta,
                       const Core__V1__Service *service)
{
    const Meta__V1__ObjectMeta *from = service->metadata;
    meta->n_labels = 0;
    meta->labels = NULL;
    for (size_t i = 0; i < from->n_labels; i++)
        labels_set(a, meta, from->labels[i]->key, from->labels[i]->value);
    labels_set(a, meta, SLICE_LABEL_SERVICE, from->name);
    labels_set(a, meta, SLICE_LABEL_MANAGER, SLICE_MANAGER);
    if (cstr_eq(service->spec->cluster_ip, "None"))
        labels_set(a, meta, LABEL_HEADLESS, "");
    else
        string_map_remove(meta->labels, &meta->n_labels, LABEL_HEADLESS);
}

static Discovery__V1__EndpointSlice *new_slice(struct arena *a, const Core__V1__Service *service,
                                               const struct endpoint_group *g)
{
    Discovery__V1__EndpointSlice *s = api_new(a, Discovery__V1__EndpointSlice);
    s->metadata->namespace_ = service->metadata->namespace_;
    s->metadata->generate_name = arena_printf(a, "%s-", service->metadata->name);
    api_append(a, s->metadata, owner_references, owner_reference_new(a, service));
    set_labels(a, s->metadata, service);
    s->address_type = service->spec->n_ip_families && cstr_eq(service->spec->ip_families[0], "IPv6")
                          ? "IPv6"
                          : "IPv4";
    s->ports = g->ports;
    s->n_ports = g->ports_len;
    return s;
}

/* The same endpoint, whatever its conditions are: same address and pod. */
static bool same_target(const Discovery__V1__Endpoint *a, const Discovery__V1__Endpoint *b)
{
    const char *uid_a = a->target_ref ? a->target_ref->uid : "";
    const char *uid_b = b->target_ref ? b->target_ref->uid : "";
    return a->n_addresses && b->n_addresses && cstr_eq(a->addresses[0], b->addresses[0]) &&
           cstr_eq(uid_a, uid_b);
}

/* Endpoints of a group that have a slice already. */
struct placing {
    const struct endpoint_group *group;
    bool *placed;
};

/* What of the slice is still wanted, as it is wanted now. */
static void keep_endpoints(struct arena *a, struct placing *p,
                           const Discovery__V1__EndpointSlice *have,
                           Discovery__V1__EndpointSlice *next)
{
    for (size_t i = 0; i < have->n_endpoints && next->n_endpoints < SLICE_ENDPOINTS_MAX; i++) {
        for (size_t e = 0; e < p->group->endpoints_len; e++) {
            if (p->placed[e] || !same_target(have->endpoints[i], p->group->endpoints[e]))
                continue;
            p->placed[e] = true;
            api_append(a, next, endpoints, p->group->endpoints[e]);
            break;
        }
    }
}

static void fill_up(struct arena *a, struct placing *p, Discovery__V1__EndpointSlice *slice)
{
    for (size_t e = 0; e < p->group->endpoints_len && slice->n_endpoints < SLICE_ENDPOINTS_MAX;
         e++) {
        if (p->placed[e])
            continue;
        p->placed[e] = true;
        api_append(a, slice, endpoints, p->group->endpoints[e]);
    }
}

static bool all_placed(const struct placing *p)
{
    for (size_t e = 0; e < p->group->endpoints_len; e++)
        if (!p->placed[e])
            return false;
    return true;
}

static bool slice_differs(const Discovery__V1__EndpointSlice *have,
                          const Discovery__V1__EndpointSlice *next)
{
    return !object_equal(have, next);
}

/* Slices of one group: which stay, how they change, which are new. `used` marks existing slices
 * that have a group. */
static void plan_group(struct arena *a, const Core__V1__Service *service,
                       const struct endpoint_group *g,
                       Discovery__V1__EndpointSlice *const *existing, size_t existing_len,
                       bool *used, struct slice_plan *plan)
{
    struct placing p = {g, arena_array(a, bool, g->endpoints_len + 1)};
    Discovery__V1__EndpointSlice **next =
        arena_array(a, Discovery__V1__EndpointSlice *, existing_len + 1);
    size_t mine = 0;
    for (size_t i = 0; i < existing_len; i++) {
        if (used[i] ||
            !same_ports(existing[i]->ports, existing[i]->n_ports, g->ports, g->ports_len))
            continue;
        used[i] = true;
        mine++;
        next[i] = object_clone(a, existing[i]);
        next[i]->n_endpoints = 0;
        next[i]->endpoints = NULL;
        set_labels(a, next[i]->metadata, service);
        keep_endpoints(a, &p, existing[i], next[i]);
    }
    for (size_t i = 0; i < existing_len; i++) {
        if (!next[i])
            continue;
        fill_up(a, &p, next[i]);
        /* An empty slice goes, unless it is what says that there is none. */
        if (next[i]->n_endpoints == 0 && (g->endpoints_len || mine > 1)) {
            mine--;
            plan->remove[plan->remove_len++] = existing[i];
        } else if (slice_differs(existing[i], next[i])) {
            plan->update[plan->update_len++] = next[i];
        }
    }
    while (!all_placed(&p) || mine == 0) {
        Discovery__V1__EndpointSlice *s = new_slice(a, service, g);
        fill_up(a, &p, s);
        plan->create[plan->create_len++] = s;
        mine++;
    }
}

struct slice_plan slices_plan(struct arena *a, const Core__V1__Service *service,
                              const struct endpoint_group *groups, size_t groups_len,
                              Discovery__V1__EndpointSlice *const *existing, size_t existing_len)
{
    size_t created_max = 0;
    for (size_t g = 0; g < groups_len; g++)
        created_max += groups[g].endpoints_len / SLICE_ENDPOINTS_MAX + 2;
    struct slice_plan plan = {
        .create = arena_array(a, Discovery__V1__EndpointSlice *, created_max),
        .update = arena_array(a, Discovery__V1__EndpointSlice *, existing_len + 1),
        .remove = arena_array(a, Discovery__V1__EndpointSlice *, existing_len + 1),
    };
    bool *used = arena_array(a, bool, existing_len + 1);
    for (size_t g = 0; g < groups_len; g++)
        plan_group(a, service, &groups[g], existing, existing_len, used, &plan);
    for (size_t i = 0; i < existing_len; i++)
        if (!used[i])
            plan.remove[plan.remove_len++] = existing[i];
    return plan;
}

/* ----------------------------------------------------------------------------------- Endpoints ---
 */

static Core__V1__EndpointAddress *make_address(struct arena *a, const Discovery__V1__Endpoint *e)
{
    Core__V1__EndpointAddress *x = api_new(a, Core__V1__EndpointAddress);
    x->ip = e->addresses[0];
    x->hostname = e->hostname ? e->hostname : "";
    x->node_name = e->node_name;
    x->target_ref = e->target_ref;
    return x;
}

void endpoints_fill(struct arena *a, Core__V1__Endpoints *out, const struct endpoint_group *groups,
                    size_t groups_len)
{
    size_t total = 0;
    out->n_subsets = 0;
    out->subsets = NULL;
    for (size_t g = 0; g < groups_len; g++) {
        Core__V1__EndpointSubset *s = api_new(a, Core__V1__EndpointSubset);
        for (size_t i = 0; i < groups[g].endpoints_len && total < ENDPOINTS_MAX; i++) {
            const Discovery__V1__Endpoint *e = groups[g].endpoints[i];
            if (e->conditions->ready)
                api_append(a, s, addresses, make_address(a, e));
            else if (!e->conditions->terminating)
                api_append(a, s, not_ready_addresses, make_address(a, e));
            else
                continue;
            total++;
        }
        for (size_t i = 0; i < groups[g].ports_len; i++) {
            Core__V1__EndpointPort *p = api_new(a, Core__V1__EndpointPort);
            p->name = groups[g].ports[i]->name ? groups[g].ports[i]->name : "";
            p->port = groups[g].ports[i]->port;
            p->protocol = groups[g].ports[i]->protocol;
            p->app_protocol = groups[g].ports[i]->app_protocol;
            api_append(a, s, ports, p);
        }
        if (s->n_addresses || s->n_not_ready_addresses)
            api_append(a, out, subsets, s);
    }
}
