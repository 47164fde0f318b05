/*
 * Validation of services, endpoints and endpoint slices.
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "proto/discovery_v1.pb-c.h"

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

/* --- services ---------------------------------------------------------------------------------------- */

static void check_service_port(struct field_errors *e, const struct path *at,
                               const Core__V1__ServicePort *p, bool name_required)
{
    if (name_required && !*p->name)
        err_required(e, AT(at, "name"), "");
    else if (*p->name)
        check_string(e, AT(at, "name"), p->name, validate_dns1123_label);
    check_port_number(e, AT(at, "port"), p->port);
    check_required_one_of(e, AT(at, "protocol"), p->protocol, protocols);
    check_port_ref(e, AT(at, "targetPort"), p->target_port);
    if (p->node_port != 0)
        check_port_number(e, AT(at, "nodePort"), p->node_port);
}

static void check_service_duplicates(struct field_errors *e, const struct path *at,
                                     const Core__V1__ServiceSpec *spec, size_t i)
{
    const Core__V1__ServicePort *p = spec->ports[i];
    for (size_t k = 0; k < i; k++) {
        const Core__V1__ServicePort *q = spec->ports[k];
        if (*p->name && cstr_eq(p->name, q->name))
            err_duplicate(e, AT(at, "name"), p->name);
        if (p->port == q->port && cstr_eq(p->protocol, q->protocol)) {
            err_duplicate(e, at, arena_printf(e->arena, "%s/%d", p->protocol, p->port));
            return;
        }
    }
}

static void check_service_addresses(struct field_errors *e, const struct path *at,
                                    const Core__V1__ServiceSpec *spec)
{
    bool headless = cstr_eq(spec->cluster_ip, "None");
    if (*spec->cluster_ip && !headless)
        check_string(e, ITEM(AT(at, "clusterIPs"), 0), spec->cluster_ip, validate_ip);
    if (headless && !cstr_eq(spec->type, "ClusterIP") && !cstr_eq(spec->type, "ExternalName"))
        err_invalid(e, ITEM(AT(at, "clusterIPs"), 0), "None",
                    arena_printf(e->arena, "may not be set to 'None' for %s services", spec->type));
    for (size_t i = 0; i < spec->n_external_ips; i++)
        check_string(e, ITEM(AT(at, "externalIPs"), i), spec->external_ips[i], validate_ip);
    if (cstr_eq(spec->type, "ExternalName")) {
        if (check_required(e, AT(at, "externalName"), spec->external_name))
            check_string(e, AT(at, "externalName"), spec->external_name,
                         validate_dns1123_subdomain);
        if (*spec->cluster_ip)
            err_forbidden(e, AT(at, "clusterIPs"), "may not be set for ExternalName services");
    }
}

static void validate_service(const void *object, struct field_errors *e)
{
    static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort",
                                        NULL};
    static const char *const affinities[] = {"ClientIP", "None", NULL};
    static const char *const policies[] = {"Cluster", "Local", NULL};
    const Core__V1__ServiceSpec *spec = ((const Core__V1__Service *)object)->spec;
    const struct path *at = SPEC;
    bool headless = cstr_eq(spec->cluster_ip, "None");
    if (spec->n_ports == 0 && !headless && !cstr_eq(spec->type, "ExternalName"))
        err_required(e, AT(at, "ports"), "");
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct path *item = ITEM(AT(at, "ports"), i);
        check_service_port(e, item, spec->ports[i], spec->n_ports > 1);
        check_service_duplicates(e, item, spec, i);
        if (cstr_eq(spec->type, "ClusterIP") && spec->ports[i]->node_port != 0)
            err_forbidden(e, AT(item, "nodePort"), "may not be used when `type` is 'ClusterIP'");
    }
    check_labels(e, AT(at, "selector"), spec->selector, spec->n_selector);
    check_required_one_of(e, AT(at, "type"), spec->type, types);
    check_required_one_of(e, AT(at, "sessionAffinity"), spec->session_affinity, affinities);
    if (spec->session_affinity_config && spec->session_affinity_config->client_ip) {
        const Core__V1__ClientIPConfig *c = spec->session_affinity_config->client_ip;
        if (c->timeout_seconds < 1 || c->timeout_seconds > 86400)
            err_invalid_int(e,
                            AT(AT(AT(at, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds"),
                            c->timeout_seconds, "must be greater than 0 and less than 86400");
    }
    check_service_addresses(e, at, spec);
    if (*spec->external_traffic_policy)
        check_one_of(e, AT(at, "externalTrafficPolicy"), spec->external_traffic_policy, policies);
    if (spec->internal_traffic_policy)
        check_one_of(e, AT(at, "internalTrafficPolicy"), spec->internal_traffic_policy, policies);
}

static void validate_service_update(const void *object, const void *old_object,
                                    struct field_errors *e)
{
    const Core__V1__ServiceSpec *spec = ((const Core__V1__Service *)object)->spec;
    const Core__V1__ServiceSpec *old = ((const Core__V1__Service *)old_object)->spec;
    bool changed_type = cstr_eq(spec->type, "ExternalName") || cstr_eq(old->type, "ExternalName");
    if (!changed_type && *old->cluster_ip && !cstr_eq(spec->cluster_ip, old->cluster_ip))
        err_invalid(e, ITEM(AT(SPEC, "clusterIPs"), 0), spec->cluster_ip,
                    "may not change once set");
}

/* --- endpoint slices ----------------------------------------------------------------------------------- */

static void validate_endpoint_slice(const void *object, struct field_errors *e)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const Discovery__V1__EndpointSlice *slice = object;
    check_required_one_of(e, AT(NULL, "addressType"), slice->address_type, types);
    if (slice->n_endpoints > 1000)
        field_error_add(e, FIELD_TOO_MANY, "endpoints",
                        arena_printf(e->arena, "%zu", slice->n_endpoints),
                        "must have at most 1000 items");
    if (slice->n_ports > 20000)
        field_error_add(e, FIELD_TOO_MANY, "ports", arena_printf(e->arena, "%zu", slice->n_ports),
                        "must have at most 20000 items");
    bool ip = !cstr_eq(slice->address_type, "FQDN");
    for (size_t i = 0; i < slice->n_endpoints; i++) {
        const Discovery__V1__Endpoint *endpoint = slice->endpoints[i];
        const struct path *addresses = AT(ITEM(AT(NULL, "endpoints"), i), "addresses");
        if (endpoint->n_addresses == 0)
            err_required(e, addresses, "must contain at least 1 address");
        for (size_t k = 0; k < endpoint->n_addresses; k++)
            check_string(e, ITEM(addresses, k), endpoint->addresses[k],
                         ip ? validate_ip : validate_dns1123_subdomain);
    }
    for (size_t i = 0; i < slice->n_ports; i++) {
        const struct path *item = ITEM(AT(NULL, "ports"), i);
        const Discovery__V1__EndpointPort *p = slice->ports[i];
        if (p->name && *p->name)
            check_string(e, AT(item, "name"), p->name, validate_dns1123_label);
        if (!p->protocol)
            err_required(e, AT(item, "protocol"), "");
        else
            check_one_of(e, AT(item, "protocol"), p->protocol, protocols);
        if (p->has_port)
            check_port_number(e, AT(item, "port"), p->port);
    }
}

static void validate_endpoint_slice_update(const void *object, const void *old,
                                           struct field_errors *e)
{
    const char *type = ((const Discovery__V1__EndpointSlice *)object)->address_type;
    if (!cstr_eq(type, ((const Discovery__V1__EndpointSlice *)old)->address_type))
        err_invalid(e, AT(NULL, "addressType"), type, IMMUTABLE);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__Service__SCHEMA,
     .create = validate_service,
     .update = validate_service_update},
    {.message = Discovery__V1__EndpointSlice__SCHEMA,
     .create = validate_endpoint_slice,
     .update = validate_endpoint_slice_update},
};
const struct rule_table service_rules = RULE_TABLE(rows);
