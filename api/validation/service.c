/*
 * Validation of services, endpoints and endpoint slices.
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "base/mem.h"
#include "proto/discovery_v1.pb-c.h"

#define PROTOCOLS ONE_OF("SCTP", "TCP", "UDP")

#define KUBELET_PORT 10250

static bool has_type(const Core__V1__ServiceSpec *spec, const char *type)
{
    return strcmp(spec->type, type) == 0;
}

static bool is_headless(const Core__V1__ServiceSpec *spec)
{
    return spec->n_cluster_ips == 1 ? strcmp(spec->cluster_ips[0], "None") == 0
                                    : strcmp(spec->cluster_ip, "None") == 0;
}

/* --- ports ------------------------------------------------------------------------------------ */

static void check_service_port(struct field_errors *e, const struct path *at,
                               const Core__V1__ServiceSpec *spec, const Core__V1__ServicePort *p,
                               struct seen *names)
{
    bool twice = *p->name && seen_again(names, p->name);
    if (spec->n_ports > 1 && !*p->name)
        err_required(e, AT(at, "name"), "");
    else
        check_optional(e, AT(at, "name"), p->name, validate_dns1123_label);
    if (twice)
        err_duplicate(e, AT(at, "name"), p->name);
    check_port_number(e, AT(at, "port"), p->port);
    check_required_one_of(e, AT(at, "protocol"), p->protocol, PROTOCOLS);
    check_port_ref(e, AT(at, "targetPort"), p->target_port);
    if (p->app_protocol)
        check_string(e, AT(at, "appProtocol"), p->app_protocol, validate_qualified_name);
    if (has_type(spec, "ClusterIP") && p->node_port != 0)
        err_forbidden(e, AT(at, "nodePort"), "may not be used when `type` is 'ClusterIP'");
}

static void check_port_clashes(struct field_errors *e, const struct path *at,
                               const Core__V1__ServicePort *p, struct seen *node_ports,
                               struct seen *ports)
{
    bool node_port =
        p->node_port != 0 &&
        seen_pair_again(node_ports, p->protocol, arena_printf(e->arena, "%d", p->node_port));
    bool port = seen_pair_again(ports, p->protocol, arena_printf(e->arena, "%d", p->port));
    if (node_port)
        err_duplicate_raw(e, AT(at, "nodePort"), arena_printf(e->arena, "%d", p->node_port));
    if (port)
        err_duplicate_raw(e, at,
                          arena_printf(e->arena,
                                       "{\"Name\":\"\",\"Protocol\":%s,\"AppProtocol\":null,"
                                       "\"Port\":%d,\"TargetPort\":0,\"NodePort\":0}",
                                       field_quote(e->arena, p->protocol), p->port));
}

/* --- addresses --------------------------------------------------------------------------------- */

static void check_external_name(struct field_errors *e, const struct path *at,
                                const Core__V1__ServiceSpec *spec)
{
    static const char message[] = "may not be set for ExternalName services";
    if (spec->n_cluster_ips > 0)
        err_forbidden(e, AT(at, "clusterIPs"), message);
    if (spec->n_ip_families > 0)
        err_forbidden(e, AT(at, "ipFamilies"), message);
    if (spec->ip_family_policy)
        err_forbidden(e, AT(at, "ipFamilyPolicy"), message);
    size_t n = strlen(spec->external_name);
    bool dot = n > 0 && spec->external_name[n - 1] == '.';
    check_required_string(e, AT(at, "externalName"),
                          arena_strndup(e->arena, spec->external_name, n - dot),
                          validate_dns1123_subdomain);
}

static void check_families(struct field_errors *e, const struct path *at,
                           const Core__V1__ServiceSpec *spec)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_ip_families; i++) {
        const struct path *item = ITEM(AT(at, "ipFamilies"), i);
        check_one_of(e, item, spec->ip_families[i], ONE_OF("IPv4", "IPv6"));
        if (seen_again(&seen, spec->ip_families[i]))
            err_duplicate(e, item, spec->ip_families[i]);
    }
    if (spec->ip_family_policy)
        check_one_of(e, AT(at, "ipFamilyPolicy"), spec->ip_family_policy,
                     ONE_OF("PreferDualStack", "RequireDualStack", "SingleStack"));
}

static bool check_cluster_ip_syntax(struct field_errors *e, const struct path *at,
                                    const Core__V1__ServiceSpec *spec)
{
    bool well = true;
    for (size_t i = 0; i < spec->n_cluster_ips; i++) {
        if (i == 0 && strcmp(spec->cluster_ips[i], "None") == 0) {
            if (spec->n_cluster_ips > 1) {
                err_invalid_list(e, at, spec->cluster_ips, spec->n_cluster_ips,
                                 "'None' must be the first and only value");
                well = false;
            }
            continue;
        }
        well &= check_string(e, ITEM(at, i), spec->cluster_ips[i], validate_ip);
    }
    if (spec->n_cluster_ips > 2)
        err_invalid_list(e, at, spec->cluster_ips, spec->n_cluster_ips,
                         "may only hold up to 2 values");
    return well;
}

static void check_cluster_ips(struct field_errors *e, const struct path *spec_at,
                              const Core__V1__ServiceSpec *spec)
{
    const struct path *at = AT(spec_at, "clusterIPs");
    if (*spec->cluster_ip && spec->n_cluster_ips == 0)
        err_required(e, at, "");
    else if (*spec->cluster_ip && strcmp(spec->cluster_ips[0], spec->cluster_ip) != 0)
        err_invalid_list(e, at, spec->cluster_ips, spec->n_cluster_ips,
                         "first value must match `clusterIP`");
    else if (!*spec->cluster_ip && spec->n_cluster_ips > 0)
        err_invalid_list(e, at, spec->cluster_ips, spec->n_cluster_ips,
                         "must be empty when `clusterIP` is not specified");
    check_families(e, spec_at, spec);
    if (!check_cluster_ip_syntax(e, at, spec))
        return;
    if (spec->n_cluster_ips > 1 && ip_is_v6(spec->cluster_ips[0]) == ip_is_v6(spec->cluster_ips[1]))
        err_invalid_list(e, at, spec->cluster_ips, spec->n_cluster_ips,
                         "may specify no more than one IP for each IP family");
    for (size_t i = 0; !is_headless(spec) && i < spec->n_cluster_ips && i < spec->n_ip_families;
         i++) {
        const char *ip = spec->cluster_ips[i], *family = spec->ip_families[i];
        if (is_one_of(family, ONE_OF("IPv4", "IPv6")) &&
            ip_is_v6(ip) != (strcmp(family, "IPv6") == 0))
            err_invalid(e, ITEM(at, i), ip,
                        arena_printf(e->arena,
                                     "expected an %s value as indicated by `ipFamilies[%zu]`",
                                     family, i));
    }
}

static void check_source_ranges(struct field_errors *e, const struct path *at,
                                const Core__V1__Service *s)
{
    static const char key[] = "service.beta.kubernetes.io/load-balancer-source-ranges";
    static const char message[] = "may only be used when `type` is 'LoadBalancer'";
    const Core__V1__ServiceSpec *spec = s->spec;
    bool balanced = has_type(spec, "LoadBalancer");
    const char *annotation = annotations_get(s->metadata, key);
    if (spec->n_load_balancer_source_ranges > 0) {
        const struct path *ranges = AT(at, "LoadBalancerSourceRanges");
        if (!balanced)
            err_forbidden(e, ranges, message);
        for (size_t i = 0; i < spec->n_load_balancer_source_ranges; i++) {
            struct str range = str_trim(str_from(spec->load_balancer_source_ranges[i]));
            check_string(e, ITEM(ranges, i), arena_strndup(e->arena, range.p, range.n),
                         validate_cidr);
        }
    } else if (annotation) {
        const struct path *field = KEY(AT(AT(NULL, "metadata"), "annotations"), key);
        struct str rest = str_trim(str_from(annotation)), part;
        if (!balanced)
            err_forbidden(e, field, message);
        while (rest.n && str_split(&rest, ',', &part)) {
            part = str_trim(part);
            check_string(e, field, arena_strndup(e->arena, part.p, part.n), validate_cidr);
        }
    }
}

/* --- services ---------------------------------------------------------------------------------- */

static void check_affinity_config(struct field_errors *e, const struct path *at,
                                  const Core__V1__ServiceSpec *spec)
{
    static const char when[] = "when session affinity type is ClientIP";
    const Core__V1__SessionAffinityConfig *c = spec->session_affinity_config;
    const struct path *ip = AT(at, "clientIP"), *timeout = AT(ip, "timeoutSeconds");
    if (strcmp(spec->session_affinity, "None") == 0 && c)
        err_forbidden(e, at, "must not be set when session affinity is None");
    if (strcmp(spec->session_affinity, "ClientIP") != 0)
        return;
    if (!c)
        err_required(e, at, when);
    else if (!c->client_ip)
        err_required(e, ip, when);
    else if (!c->client_ip->has_timeout_seconds)
        err_required(e, timeout, when);
    else if (c->client_ip->timeout_seconds <= 0 || c->client_ip->timeout_seconds > 86400)
        err_invalid_int(e, timeout, c->client_ip->timeout_seconds,
                        "must be greater than 0 and less than 86400");
}

static bool is_external(const Core__V1__ServiceSpec *spec)
{
    return has_type(spec, "LoadBalancer") || has_type(spec, "NodePort") ||
           (has_type(spec, "ClusterIP") && spec->n_external_ips > 0);
}

static bool needs_health_check(const Core__V1__ServiceSpec *spec)
{
    return has_type(spec, "LoadBalancer") && strcmp(spec->external_traffic_policy, "Local") == 0;
}

static void check_traffic(struct field_errors *e, const struct path *at,
                          const Core__V1__ServiceSpec *spec)
{
    const struct path *external = AT(at, "externalTrafficPolicy");
    const struct path *internal = AT(at, "internalTrafficPolicy");
    if (is_external(spec))
        check_required_one_of(e, external, spec->external_traffic_policy,
                              ONE_OF("Cluster", "Local"));
    else if (*spec->external_traffic_policy)
        err_invalid(e, external, spec->external_traffic_policy,
                    "may only be set for externally-accessible services");
    /* The server chooses the port of those that need one. */
    if (!needs_health_check(spec) && spec->health_check_node_port != 0)
        err_invalid_int(e, AT(at, "healthCheckNodePort"), spec->health_check_node_port,
                        "may only be set when `type` is 'LoadBalancer' and "
                        "`externalTrafficPolicy` is 'Local'");
    else if (spec->health_check_node_port != 0)
        check_port_number(e, AT(at, "healthCheckNodePort"), spec->health_check_node_port);
    if (spec->internal_traffic_policy)
        check_one_of(e, internal, spec->internal_traffic_policy, ONE_OF("Cluster", "Local"));
    else if (!has_type(spec, "ExternalName") &&
             is_one_of(spec->type, ONE_OF("ClusterIP", "NodePort", "LoadBalancer")))
        err_required(e, internal, "");
    if (spec->traffic_distribution)
        check_one_of(e, AT(at, "trafficDistribution"), spec->traffic_distribution,
                     ONE_OF("PreferClose", "PreferSameNode", "PreferSameZone"));
}

static void check_balancer(struct field_errors *e, const struct path *at,
                           const Core__V1__ServiceSpec *spec)
{
    static const char message[] = "may only be used when `type` is 'LoadBalancer'";
    bool balanced = has_type(spec, "LoadBalancer");
    if (spec->has_allocate_load_balancer_node_ports && !balanced)
        err_forbidden(e, AT(at, "allocateLoadBalancerNodePorts"), message);
    if (!spec->has_allocate_load_balancer_node_ports && balanced)
        err_required(e, AT(NULL, "allocateLoadBalancerNodePorts"), "");
    if (spec->load_balancer_class && balanced)
        check_string(e, AT(at, "loadBalancerClass"), spec->load_balancer_class,
                     validate_qualified_name);
    else if (spec->load_balancer_class)
        err_forbidden(e, AT(at, "loadBalancerClass"), message);
}

static void check_type(struct field_errors *e, const struct path *at,
                       const Core__V1__ServiceSpec *spec)
{
    if (spec->n_ports == 0 && !is_headless(spec) && !has_type(spec, "ExternalName"))
        err_required(e, AT(at, "ports"), "");
    for (size_t i = 0; has_type(spec, "LoadBalancer") && i < spec->n_ports; i++) {
        if (spec->ports[i]->port == KUBELET_PORT)
            err_invalid_int(e, ITEM(AT(at, "ports"), i), KUBELET_PORT,
                            "may not expose port 10250 externally since it is used by kubelet");
    }
    if (is_headless(spec) && is_one_of(spec->type, ONE_OF("LoadBalancer", "NodePort")))
        err_invalid(e, ITEM(AT(at, "clusterIPs"), 0), "None",
                    arena_printf(e->arena, "may not be set to 'None' for %s services", spec->type));
    if (has_type(spec, "ExternalName"))
        check_external_name(e, at, spec);
}

#define TOPOLOGY_MODE "service.kubernetes.io/topology-mode"
#define TOPOLOGY_HINTS "service.kubernetes.io/topology-aware-hints"

/* The newer annotation and the one before it. */
static void check_topology(struct field_errors *e, const Meta__V1__ObjectMeta *meta)
{
    const char *mode = annotations_get(meta, TOPOLOGY_MODE);
    const char *hints = annotations_get(meta, TOPOLOGY_HINTS);
    if (mode && hints && strcmp(mode, hints) != 0)
        err_invalid(e, KEY(AT(AT(NULL, "metadata"), "annotations"), TOPOLOGY_MODE), mode,
                    "must match annotations[" TOPOLOGY_HINTS "] when both are specified");
}

static void validate_service(const void *object, struct field_errors *e)
{
    const Core__V1__Service *s = object;
    const Core__V1__ServiceSpec *spec = s->spec;
    const struct path *at = SPEC, *ports = AT(at, "ports");
    struct seen names = {.arena = e->arena};
    struct seen node_ports = {.arena = e->arena}, numbers = {.arena = e->arena};
    check_topology(e, s->metadata);
    check_type(e, at, spec);
    for (size_t i = 0; i < spec->n_ports; i++)
        check_service_port(e, ITEM(ports, i), spec, spec->ports[i], &names);
    check_labels(e, AT(at, "selector"), spec->selector, spec->n_selector);
    check_required_one_of(e, AT(at, "sessionAffinity"), spec->session_affinity,
                          ONE_OF("ClientIP", "None"));
    check_affinity_config(e, AT(at, "sessionAffinityConfig"), spec);
    if (!has_type(spec, "ExternalName"))
        check_cluster_ips(e, at, spec);
    for (size_t i = 0; i < spec->n_external_ips; i++) {
        const struct path *item = ITEM(AT(at, "externalIPs"), i);
        if (check_string(e, item, spec->external_ips[i], validate_ip))
            check_non_special_ip(e, item, spec->external_ips[i]);
    }
    check_required_one_of(e, AT(at, "type"), spec->type,
                          ONE_OF("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"));
    for (size_t i = 0; i < spec->n_ports; i++)
        check_port_clashes(e, ITEM(ports, i), spec->ports[i], &node_ports, &numbers);
    check_source_ranges(e, at, s);
    check_balancer(e, at, spec);
    check_traffic(e, at, spec);
}

/* The first of a list stays; the second may come, and go when the policy says so. */
static void check_list_change(struct field_errors *e, const char *field, const char *what,
                              char *const *new, size_t n, char *const *old, size_t m,
                              const char *policy)
{
    const struct path *at = AT(SPEC, field);
    for (size_t i = 0; i < m && (n == m || i == 0); i++) {
        if (n > 0 && strcmp(new[i], old[i]) != 0)
            err_invalid_list(e, ITEM(at, n == m && strcmp(what, "clusterIP") == 0 ? i : 0), new, n,
                             "may not change once set");
    }
    if (m > n && n == 0)
        err_invalid_list(e, ITEM(at, 0), new, n,
                         arena_printf(e->arena, "primary %s can not be unset", what));
    if (m > n && n == 1 && !cstr_eq(policy, "SingleStack"))
        err_invalid(e, AT(SPEC, "ipFamilyPolicy"), policy,
                    arena_printf(e->arena,
                                 "must be set to 'SingleStack' when releasing the secondary %s",
                                 what));
}

static void validate_service_update(const void *object, const void *old_object,
                                    struct field_errors *e)
{
    const Core__V1__ServiceSpec *spec = ((const Core__V1__Service *)object)->spec;
    const Core__V1__ServiceSpec *old = ((const Core__V1__Service *)old_object)->spec;
    if (!has_type(spec, "ExternalName") && !has_type(old, "ExternalName")) {
        bool headless = is_headless(spec), was = is_headless(old);
        if (!headless || !was)
            check_list_change(e, "clusterIPs", "clusterIP", spec->cluster_ips, spec->n_cluster_ips,
                              old->cluster_ips, old->n_cluster_ips, spec->ip_family_policy);
        if (!headless && !was)
            check_list_change(e, "ipFamilies", "ipFamily", spec->ip_families, spec->n_ip_families,
                              old->ip_families, old->n_ip_families, spec->ip_family_policy);
    }
    if (has_type(spec, "LoadBalancer") && has_type(old, "LoadBalancer") &&
        !cstr_eq(spec->load_balancer_class, old->load_balancer_class))
        err_invalid(e, AT(SPEC, "loadBalancerClass"), spec->load_balancer_class,
                    "may not change once set");
    if (needs_health_check(old) && needs_health_check(spec) &&
        old->health_check_node_port != spec->health_check_node_port)
        err_forbidden(e, AT(SPEC, "healthCheckNodePort"), IMMUTABLE);
}

static void validate_service_status(const void *object, const void *old, struct field_errors *e)
{
    const Core__V1__Service *s = object;
    const Core__V1__LoadBalancerStatus *status = s->status->load_balancer;
    const struct path *at = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    (void)old;
    if (!has_type(s->spec, "LoadBalancer") && status->n_ingress > 0) {
        err_forbidden(e, at, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (size_t i = 0; i < status->n_ingress; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__LoadBalancerIngress *in = status->ingress[i];
        check_optional(e, AT(item, "ip"), in->ip, validate_ip);
        if (!in->ip_mode && *in->ip)
            err_required(e, AT(item, "ipMode"), "must be specified when `ip` is set");
        else if (in->ip_mode && !*in->ip)
            err_forbidden(e, AT(item, "ipMode"), "may not be specified when `ip` is not set");
        else if (in->ip_mode)
            check_one_of(e, AT(item, "ipMode"), in->ip_mode, ONE_OF("Proxy", "VIP"));
        if (!*in->hostname)
            continue;
        check_string(e, AT(item, "hostname"), in->hostname, validate_dns1123_subdomain);
        if (!validate_ip(in->hostname))
            err_invalid(e, AT(item, "hostname"), in->hostname,
                        "must be a DNS name, not an IP address");
    }
}

/* --- endpoints --------------------------------------------------------------------------------- */

static void check_endpoint_addresses(struct field_errors *e, const struct path *at,
                                     Core__V1__EndpointAddress *const *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        check_string(e, AT(item, "ip"), addresses[i]->ip, validate_ip);
        check_optional(e, AT(item, "hostname"), addresses[i]->hostname, validate_dns1123_label);
        if (addresses[i]->node_name)
            check_string(e, AT(item, "nodeName"), addresses[i]->node_name,
                         validate_dns1123_subdomain);
        check_non_special_ip(e, AT(item, "ip"), addresses[i]->ip);
    }
}

static void validate_endpoints(const void *object, struct field_errors *e)
{
    const Core__V1__Endpoints *endpoints = object;
    for (size_t i = 0; i < endpoints->n_subsets; i++) {
        const struct path *at = ITEM(AT(NULL, "subsets"), i);
        const Core__V1__EndpointSubset *s = endpoints->subsets[i];
        if (s->n_addresses + s->n_not_ready_addresses == 0)
            err_required(e, at, "must specify `addresses` or `notReadyAddresses`");
        check_endpoint_addresses(e, AT(at, "addresses"), s->addresses, s->n_addresses);
        check_endpoint_addresses(e, AT(at, "notReadyAddresses"), s->not_ready_addresses,
                                 s->n_not_ready_addresses);
        for (size_t k = 0; k < s->n_ports; k++) {
            const struct path *item = ITEM(AT(at, "ports"), k);
            const Core__V1__EndpointPort *p = s->ports[k];
            if (s->n_ports > 1 && !*p->name)
                err_required(e, AT(item, "name"), "");
            else
                check_optional(e, AT(item, "name"), p->name, validate_dns1123_label);
            check_port_number(e, AT(item, "port"), p->port);
            check_required_one_of(e, AT(item, "protocol"), p->protocol, PROTOCOLS);
            if (p->app_protocol)
                check_string(e, AT(item, "appProtocol"), p->app_protocol, validate_qualified_name);
        }
    }
}

/* --- endpoint slices ---------------------------------------------------------------------------- */

#define ENDPOINTS_MAX 1000
#define ENDPOINT_ADDRESSES_MAX 100
#define SLICE_PORTS_MAX 20000
#define HINTS_MAX 8

/* At least two labels; a dot may come last. */
static void check_domain_name(struct field_errors *e, const struct path *at, const char *name)
{
    if (!check_required(e, at, name))
        return;
    struct str rest = str_from(name), label;
    if (str_has_suffix(rest, STR(".")))
        rest = str_slice(rest, 0, rest.n - 1);
    name = arena_strndup(e->arena, rest.p, rest.n);
    if (validate_dns1123_subdomain(name)) {
        check_string_joined(e, at, name, validate_dns1123_subdomain, ",");
    } else if (!strchr(name, '.')) {
        err_invalid(e, at, name, "should be a domain with at least two segments separated by dots");
    } else {
        while (str_split(&rest, '.', &label)) {
            const char *text = arena_strndup(e->arena, label.p, label.n);
            if (!validate_dns1123_label(text))
                continue;
            check_string_joined(e, at, text, validate_dns1123_label, ",");
            return;
        }
    }
}

static void check_slice_address(struct field_errors *e, const struct path *at, const char *type,
                                const char *address)
{
    bool v6 = strcmp(type, "IPv6") == 0;
    if (strcmp(type, "FQDN") == 0) {
        check_domain_name(e, at, address);
    } else if (v6 || strcmp(type, "IPv4") == 0) {
        if (!check_string(e, at, address, validate_ip))
            return;
        if (ip_is_v6(address) != v6)
            err_invalid(e, at, address, v6 ? "must be an IPv6 address" : "must be an IPv4 address");
        check_non_special_ip(e, at, address);
    }
}

static void check_hint_names(struct field_errors *e, const struct path *at, char *const *names,
                             size_t n, const char *(*rule)(const char *))
{
    if (n > HINTS_MAX) {
        err_too_many(e, at, n, HINTS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct path *name = AT(ITEM(at, i), "name");
        if (string_list_has(names, i, names[i]))
            err_duplicate(e, name, names[i]);
        check_string(e, name, names[i], rule);
    }
}

static void check_hints(struct field_errors *e, const struct path *at,
                        const Discovery__V1__EndpointHints *h)
{
    char **names = arena_array(e->arena, char *, MAX(h->n_for_zones, h->n_for_nodes));
    for (size_t i = 0; i < h->n_for_zones; i++)
        names[i] = h->for_zones[i]->name;
    check_hint_names(e, AT(at, "forZones"), names, h->n_for_zones, validate_label_value);
    for (size_t i = 0; i < h->n_for_nodes; i++)
        names[i] = h->for_nodes[i]->name;
    check_hint_names(e, AT(at, "forNodes"), names, h->n_for_nodes, validate_dns1123_subdomain);
}

static void check_slice_endpoint(struct field_errors *e, const struct path *at, const char *type,
                                 const Discovery__V1__Endpoint *p)
{
    const struct path *addresses = AT(at, "addresses");
    if (p->n_addresses == 0)
        err_required(e, addresses, "must contain at least 1 address");
    else if (p->n_addresses > ENDPOINT_ADDRESSES_MAX)
        err_too_many(e, addresses, p->n_addresses, ENDPOINT_ADDRESSES_MAX);
    for (size_t i = 0; i < p->n_addresses; i++)
        check_slice_address(e, ITEM(addresses, i), type, p->addresses[i]);
    if (p->node_name)
        check_string(e, AT(at, "nodeName"), p->node_name, validate_dns1123_subdomain);
    if (p->n_deprecated_topology > 16)
        err_too_many(e, AT(at, "deprecatedTopology"), p->n_deprecated_topology, 16);
    check_labels(e, AT(at, "deprecatedTopology"), p->deprecated_topology, p->n_deprecated_topology);
    if (p->hostname)
        check_string(e, AT(at, "hostname"), p->hostname, validate_dns1123_label);
    if (p->hints)
        check_hints(e, AT(at, "hints"), p->hints);
}

static void check_slice_ports(struct field_errors *e, const struct path *at,
                              const Discovery__V1__EndpointSlice *slice)
{
    if (slice->n_ports > SLICE_PORTS_MAX) {
        err_too_many(e, at, slice->n_ports, SLICE_PORTS_MAX);
        return;
    }
    struct seen names = {.arena = e->arena};
    for (size_t i = 0; i < slice->n_ports; i++) {
        const struct path *item = ITEM(at, i);
        const Discovery__V1__EndpointPort *p = slice->ports[i];
        check_optional(e, AT(item, "name"), p->name, validate_dns1123_label);
        if (seen_again(&names, p->name))
            err_duplicate(e, AT(item, "name"), p->name ? p->name : "");
        if (!p->protocol)
            err_required(e, AT(item, "protocol"), "");
        else
            check_one_of(e, AT(item, "protocol"), p->protocol, PROTOCOLS);
        if (p->app_protocol)
            check_string(e, AT(item, "appProtocol"), p->app_protocol, validate_qualified_name);
    }
}

/* Endpoints that are as they were are as good as they were. */
static void check_slice(struct field_errors *e, const Discovery__V1__EndpointSlice *slice,
                        const Discovery__V1__EndpointSlice *old)
{
    const struct path *at = AT(NULL, "endpoints");
    bool same = old && old->n_endpoints == slice->n_endpoints;
    for (size_t i = 0; same && i < slice->n_endpoints; i++)
        same = object_equal(slice->endpoints[i], old->endpoints[i]);
    check_required_one_of(e, AT(NULL, "addressType"), slice->address_type,
                          ONE_OF("FQDN", "IPv4", "IPv6"));
    check_slice_ports(e, AT(NULL, "ports"), slice);
    if (same)
        return;
    if (slice->n_endpoints > ENDPOINTS_MAX) {
        err_too_many(e, at, slice->n_endpoints, ENDPOINTS_MAX);
        return;
    }
    for (size_t i = 0; i < slice->n_endpoints; i++)
        check_slice_endpoint(e, ITEM(at, i), slice->address_type, slice->endpoints[i]);
}

static void validate_endpoint_slice(const void *object, struct field_errors *e)
{
    check_slice(e, object, NULL);
}

static void validate_endpoint_slice_update(const void *object, const void *before,
                                           struct field_errors *e)
{
    const Discovery__V1__EndpointSlice *slice = object, *old = before;
    check_slice(e, slice, old);
    check_immutable_string(e, AT(NULL, "addressType"), slice->address_type, old->address_type);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__Service__SCHEMA,
     .create = validate_service,
     .update = validate_service_update,
     .status = validate_service_status},
    {.message = Core__V1__Endpoints__SCHEMA, .create = validate_endpoints},
    {.message = Discovery__V1__EndpointSlice__SCHEMA,
     .create = validate_endpoint_slice,
     .update = validate_endpoint_slice_update,
     .update_alone = true},
};
const struct rule_table service_rules = RULE_TABLE(rows);
