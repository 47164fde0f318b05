/*
 * Validation of ingresses, ingress classes, network policies, IP addresses and service CIDRs.
 */
#include "proto/networking_v1.pb-c.h"
#include "api/validation/internal.h"
#include "base/arena_text.h"
#include <arpa/inet.h>

#define CONTROLLER_MAX 250
#define CLASS_ANNOTATION "kubernetes.io/ingress.class"

/* --- names ---------------------------------------------------------------------------------------- */

static const char *wildcard_subdomain(const char *s)
{
    bool good = strncmp(s, "*.", 2) == 0 && !validate_dns1123_subdomain(s + 2);
    return good ? NULL
                : "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
                  "subdomain, which must consist of lower case alphanumeric characters, '-' or "
                  "'.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
                  "for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
                  "[a-z0-9])?)*')";
}

static void check_host(struct field_errors *e, const struct path *at, const char *host)
{
    check_string(e, at, host, strchr(host, '*') ? wildcard_subdomain : validate_dns1123_subdomain);
}

static void check_reference(struct field_errors *e, const struct path *at, const char *group,
                            const char *kind, const char *name)
{
    if (group)
        check_string(e, AT(at, "apiGroup"), group, validate_dns1123_subdomain);
    if (!*kind)
        err_required(e, AT(at, "kind"), "kind is required");
    else
        check_string(e, AT(at, "kind"), kind, validate_path_segment);
    if (!*name)
        err_required(e, AT(at, "name"), "name is required");
    else
        check_string(e, AT(at, "name"), name, validate_path_segment);
}

/* --- ingresses -------------------------------------------------------------------------------------- */

static void check_backend(struct field_errors *e, const struct path *at,
                          const Networking__V1__IngressBackend *b)
{
    const struct path *service = AT(at, "service"), *port = AT(service, "port");
    if (b->resource && b->service) {
        err_invalid(e, at, "", "cannot set both resource and service backends");
        return;
    }
    if (b->resource) {
        check_reference(e, AT(at, "resource"), b->resource->api_group, b->resource->kind,
                        b->resource->name);
        return;
    }
    if (!b->service) {
        err_invalid(e, at, "", "resource or service backend is required");
        return;
    }
    const Networking__V1__ServiceBackendPort *p = b->service->port;
    check_required_string(e, AT(service, "name"), b->service->name, validate_dns1035_label);
    if (*p->name && p->number != 0)
        err_invalid(e, at, "", "cannot set both port name & port number");
    else if (*p->name)
        check_string(e, AT(port, "name"), p->name, validate_port_name);
    else if (p->number != 0)
        check_port_number(e, AT(port, "number"), p->number);
    else
        err_required(e, at, "port name or number is required");
}

static void check_exact_path(struct field_errors *e, const struct path *at, const char *path)
{
    static const char *const sequences[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const suffixes[] = {"/..", "/."};
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
        if (strstr(path, sequences[i]))
            err_invalid(e, at, path, arena_printf(e->arena, "must not contain '%s'", sequences[i]));
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (str_has_suffix(str_from(path), str_from(suffixes[i])))
            err_invalid(e, at, path, arena_printf(e->arena, "cannot end with '%s'", suffixes[i]));
    }
}

static void check_http_path(struct field_errors *e, const struct path *at,
                            const Networking__V1__HTTPIngressPath *p)
{
    const char *type = p->path_type, *path = p->path;
    if (!type) {
        err_required(e, AT(at, "pathType"), "pathType must be specified");
        return;
    }
    bool exact = is_one_of(type, ONE_OF("Exact", "Prefix"));
    check_one_of(e, AT(at, "pathType"), type, ONE_OF("Exact", "ImplementationSpecific", "Prefix"));
    if (path[0] != '/' && (exact || (*path && strcmp(type, "ImplementationSpecific") == 0)))
        err_invalid(e, AT(at, "path"), path, "must be an absolute path");
    if (exact)
        check_exact_path(e, AT(at, "path"), path);
    check_backend(e, AT(at, "backend"), p->backend);
}

static void check_rule(struct field_errors *e, const struct path *at,
                       const Networking__V1__IngressRule *r)
{
    const Networking__V1__HTTPIngressRuleValue *http = r->ingress_rule_value->http;
    const struct path *paths = AT(AT(at, "http"), "paths");
    if (*r->host) {
        if (!validate_ip(r->host))
            err_invalid(e, AT(at, "host"), r->host, "must be a DNS name, not an IP address");
        check_host(e, AT(at, "host"), r->host);
    }
    if (http && http->n_paths == 0)
        err_required(e, paths, "");
    for (size_t i = 0; http && i < http->n_paths; i++)
        check_http_path(e, ITEM(paths, i), http->paths[i]);
}

static void validate_ingress(const void *object, struct field_errors *e)
{
    const Networking__V1__IngressSpec *spec = ((const Networking__V1__Ingress *)object)->spec;
    const struct path *at = SPEC;
    if (spec->n_rules == 0 && !spec->default_backend)
        err_invalid_raw(e, at, "null", "either `defaultBackend` or `rules` must be specified");
    if (spec->default_backend)
        check_backend(e, AT(at, "defaultBackend"), spec->default_backend);
    for (size_t i = 0; i < spec->n_rules; i++)
        check_rule(e, ITEM(AT(at, "rules"), i), spec->rules[i]);
    for (size_t i = 0; i < spec->n_tls; i++) {
        const struct path *tls = ITEM(AT(at, "tls"), i);
        for (size_t k = 0; k < spec->tls[i]->n_hosts; k++)
            check_host(e, ITEM(AT(tls, "hosts"), k), spec->tls[i]->hosts[k]);
        check_optional(e, AT(tls, "secretName"), spec->tls[i]->secret_name,
                       validate_dns1123_subdomain);
    }
    if (spec->ingress_class_name)
        check_string(e, AT(at, "ingressClassName"), spec->ingress_class_name,
                     validate_dns1123_subdomain);
}

static void validate_new_ingress(const void *object, struct field_errors *e)
{
    const Networking__V1__Ingress *ingress = object;
    const char *class = ingress->spec->ingress_class_name;
    const char *annotation = annotations_get(ingress->metadata, CLASS_ANNOTATION);
    validate_ingress(object, e);
    if (annotation && class && strcmp(annotation, class) != 0)
        err_invalid(e, AT(AT(NULL, "annotations"), CLASS_ANNOTATION), annotation,
                    "must match `ingressClassName` when both are specified");
}

static void validate_ingress_update(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    validate_ingress(object, e);
}

static void validate_ingress_status(const void *object, const void *old, struct field_errors *e)
{
    const Networking__V1__IngressLoadBalancerStatus *s =
        ((const Networking__V1__Ingress *)object)->status->load_balancer;
    const struct path *at = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    (void)old;
    for (size_t i = 0; i < s->n_ingress; i++) {
        const char *host = s->ingress[i]->hostname;
        check_optional(e, AT(ITEM(at, i), "ip"), s->ingress[i]->ip, validate_ip);
        check_optional(e, AT(ITEM(at, i), "hostname"), host, validate_dns1123_subdomain);
        if (*host && !validate_ip(host))
            err_invalid(e, AT(ITEM(at, i), "hostname"), host,
                        "must be a DNS name, not an IP address");
    }
}

/* --- ingress classes ---------------------------------------------------------------------------------- */

static void check_parameters(struct field_errors *e, const struct path *at,
                             const Networking__V1__IngressClassParametersReference *p)
{
    if (!p)
        return;
    check_reference(e, at, p->api_group, p->kind, p->name);
    if (!p->scope) {
        err_required(e, AT(at, "scope"), "");
    } else if (!check_one_of(e, AT(at, "scope"), p->scope, ONE_OF("Cluster", "Namespace"))) {
        return;
    } else if (strcmp(p->scope, "Cluster") == 0) {
        if (p->namespace_)
            err_forbidden(e, AT(at, "namespace"), "`parameters.scope` is set to 'Cluster'");
    } else if (!p->namespace_) {
        err_required(e, AT(at, "namespace"), "`parameters.scope` is set to 'Namespace'");
    } else {
        check_string(e, AT(at, "namespace"), p->namespace_, validate_dns1123_label);
    }
}

static void validate_ingress_class(const void *object, struct field_errors *e)
{
    const Networking__V1__IngressClassSpec *spec =
        ((const Networking__V1__IngressClass *)object)->spec;
    if (strlen(spec->controller) > CONTROLLER_MAX)
        err_too_long(e, AT(SPEC, "controller"), CONTROLLER_MAX);
    check_domain_path(e, AT(SPEC, "controller"), spec->controller);
    check_parameters(e, AT(SPEC, "parameters"), spec->parameters);
}

static void validate_ingress_class_update(const void *object, const void *old,
                                          struct field_errors *e)
{
    check_immutable_string(e, AT(SPEC, "controller"),
                           ((const Networking__V1__IngressClass *)object)->spec->controller,
                           ((const Networking__V1__IngressClass *)old)->spec->controller);
    validate_ingress_class(object, e);
}

/* --- network policies --------------------------------------------------------------------------------- */

static void check_policy_port(struct field_errors *e, const struct path *at,
                              const Networking__V1__NetworkPolicyPort *p)
{
    const struct path *end = AT(at, "endPort");
    if (p->protocol)
        check_one_of(e, AT(at, "protocol"), p->protocol, ONE_OF("TCP", "UDP", "SCTP"));
    if (p->has_end_port && !p->port)
        err_invalid_int(e, end, p->end_port, "may not be specified when `port` is not specified");
    else if (p->has_end_port && p->port->type != 0)
        err_invalid_int(e, end, p->end_port, "may not be specified when `port` is non-numeric");
    if (p->port)
        check_port_ref(e, AT(at, "port"), p->port);
    if (!p->has_end_port || !p->port || p->port->type != 0)
        return;
    if (p->end_port < p->port->int_val) /* the value that is shown is the port's */
        err_invalid_int(e, end, p->port->int_val, "must be greater than or equal to `port`");
    check_port_number(e, end, p->end_port);
}

static void check_ip_block(struct field_errors *e, const struct path *at,
                           const Networking__V1__IPBlock *b)
{
    struct ip_prefix whole, except;
    if (!check_required_string(e, AT(at, "cidr"), b->cidr, validate_cidr))
        return;
    parse_prefix(b->cidr, &whole);
    for (size_t i = 0; i < b->n_except; i++) {
        const struct path *item = ITEM(AT(at, "except"), i);
        if (!check_string(e, item, b->except[i], validate_cidr))
            continue;
        parse_prefix(b->except[i], &except);
        if (!prefix_contains(&whole, &except) || whole.bits >= except.bits)
            err_invalid(e, item, b->except[i], "must be a strict subset of `cidr`");
    }
}

static void check_peer(struct field_errors *e, const struct path *at,
                       const Networking__V1__NetworkPolicyPeer *p)
{
    check_label_selector(e, AT(at, "podSelector"), p->pod_selector);
    check_label_selector(e, AT(at, "namespaceSelector"), p->namespace_selector);
    if (p->ip_block)
        check_ip_block(e, AT(at, "ipBlock"), p->ip_block);
    if (!p->pod_selector && !p->namespace_selector && !p->ip_block)
        err_required(e, at, "must specify a peer");
    else if (p->ip_block && (p->pod_selector || p->namespace_selector))
        err_forbidden(e, at, "may not specify both ipBlock and another peer");
}

static void check_policy_rule(struct field_errors *e, const struct path *at,
                              Networking__V1__NetworkPolicyPort *const *ports, size_t n,
                              const char *peers_name,
                              Networking__V1__NetworkPolicyPeer *const *peers, size_t m)
{
    for (size_t i = 0; i < n; i++)
        check_policy_port(e, ITEM(AT(at, "ports"), i), ports[i]);
    for (size_t i = 0; i < m; i++)
        check_peer(e, ITEM(AT(at, peers_name), i), peers[i]);
}

static void validate_network_policy(const void *object, struct field_errors *e)
{
    const Networking__V1__NetworkPolicySpec *spec =
        ((const Networking__V1__NetworkPolicy *)object)->spec;
    check_label_selector(e, AT(SPEC, "podSelector"), spec->pod_selector);
    for (size_t i = 0; i < spec->n_ingress; i++)
        check_policy_rule(e, ITEM(AT(SPEC, "ingress"), i), spec->ingress[i]->ports,
                          spec->ingress[i]->n_ports, "from", spec->ingress[i]->from,
                          spec->ingress[i]->n_from);
    for (size_t i = 0; i < spec->n_egress; i++)
        check_policy_rule(e, ITEM(AT(SPEC, "egress"), i), spec->egress[i]->ports,
                          spec->egress[i]->n_ports, "to", spec->egress[i]->to,
                          spec->egress[i]->n_to);
    if (spec->n_policy_types > 2) {
        err_invalid_list(e, AT(SPEC, "policyTypes"), spec->policy_types, spec->n_policy_types,
                         "may not specify more than two policyTypes");
        return;
    }
    for (size_t i = 0; i < spec->n_policy_types; i++)
        check_one_of(e, ITEM(AT(SPEC, "policyTypes"), i), spec->policy_types[i],
                     ONE_OF("Ingress", "Egress"));
}

/* --- addresses ----------------------------------------------------------------------------------------- */

static void validate_ip_address(const void *object, struct field_errors *e)
{
    const Networking__V1__ParentReference *p =
        ((const Networking__V1__IPAddress *)object)->spec->parent_ref;
    const struct path *at = AT(SPEC, "parentRef");
    check_strict_ip(e, AT(AT(NULL, "metadata"), "name"),
                    ((const Networking__V1__IPAddress *)object)->metadata->name);
    if (!p) {
        err_required(e, at, "");
        return;
    }
    check_optional(e, AT(at, "group"), p->group, validate_dns1123_subdomain);
    check_required_string(e, AT(at, "resource"), p->resource, validate_path_segment);
    check_required_string(e, AT(at, "name"), p->name, validate_path_segment);
    check_optional(e, AT(at, "namespace"), p->namespace_, validate_path_segment);
}

static void validate_ip_address_update(const void *object, const void *old, struct field_errors *e)
{
    const Networking__V1__ParentReference *p =
        ((const Networking__V1__IPAddress *)object)->spec->parent_ref;
    struct arena *a = e->arena;
    if (object_equal(p, ((const Networking__V1__IPAddress *)old)->spec->parent_ref))
        return;
    /* By the names of upstream's own fields. */
    const char *text = !p ? "null"
                          : arena_printf(a,
                                         "{\"Group\":%s,\"Resource\":%s,\"Namespace\":%s,"
                                         "\"Name\":%s}",
                                         field_quote(a, p->group), field_quote(a, p->resource),
                                         field_quote(a, p->namespace_), field_quote(a, p->name));
    err_invalid_raw(e, AT(SPEC, "parentRef"), text, IMMUTABLE);
}

/* --- ranges of service addresses ------------------------------------------------------------------------ */

static const char *ranges_text(struct arena *a, const Networking__V1__ServiceCIDRSpec *spec)
{
    struct arena_text text = {.a = a};
    arena_text_add(&text, "{\"CIDRs\":[");
    for (size_t i = 0; i < spec->n_cidrs; i++)
        arena_text_addf(&text, "%s%s", i ? "," : "", field_quote(a, spec->cidrs[i]));
    arena_text_add(&text, "]}");
    return arena_text_of(&text);
}

static void validate_service_cidr(const void *object, struct field_errors *e)
{
    const Networking__V1__ServiceCIDRSpec *spec =
        ((const Networking__V1__ServiceCIDR *)object)->spec;
    const struct path *at = AT(SPEC, "cidrs");
    struct ip_prefix a, b;
    if (spec->n_cidrs == 0) {
        err_required(e, at, "at least one CIDR required");
        return;
    }
    if (spec->n_cidrs > 2) {
        err_invalid_raw(e, at, ranges_text(e->arena, spec), "may only hold up to 2 values");
        return;
    }
    if (spec->n_cidrs == 2 &&
        (!parse_prefix(spec->cidrs[0], &a) || !parse_prefix(spec->cidrs[1], &b) || a.v6 == b.v6)) {
        err_invalid_raw(e, at, ranges_text(e->arena, spec),
                        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 "
                        "and 2001:db8::/64");
        return;
    }
    for (size_t i = 0; i < spec->n_cidrs; i++)
        check_strict_cidr(e, ITEM(at, i), spec->cidrs[i]);
}

/* Nothing changes but that a second family comes. */
static void validate_service_cidr_update(const void *object, const void *old_object,
                                         struct field_errors *e)
{
    const Networking__V1__ServiceCIDRSpec *spec =
        ((const Networking__V1__ServiceCIDR *)object)->spec;
    const Networking__V1__ServiceCIDRSpec *old =
        ((const Networking__V1__ServiceCIDR *)old_object)->spec;
    const struct path *at = AT(SPEC, "cidrs");
    if (spec->n_cidrs != old->n_cidrs && (old->n_cidrs != 1 || spec->n_cidrs != 2)) {
        err_invalid_list(e, at, spec->cidrs, spec->n_cidrs, IMMUTABLE);
        return;
    }
    for (size_t i = 0; i < old->n_cidrs; i++)
        check_immutable_string(e, ITEM(at, i), spec->cidrs[i], old->cidrs[i]);
}

static const struct kind_rules rows[] = {
    {.message = Networking__V1__Ingress__SCHEMA,
     .create = validate_new_ingress,
     .update = validate_ingress_update,
     .update_alone = true,
     .status = validate_ingress_status},
    {.message = Networking__V1__IngressClass__SCHEMA,
     .create = validate_ingress_class,
     .update = validate_ingress_class_update,
     .update_alone = true},
    {.message = Networking__V1__NetworkPolicy__SCHEMA, .create = validate_network_policy},
    {.message = Networking__V1__IPAddress__SCHEMA,
     .create = validate_ip_address,
     .update = validate_ip_address_update},
    {.message = Networking__V1__ServiceCIDR__SCHEMA,
     .create = validate_service_cidr,
     .update = validate_service_cidr_update},
};
const struct rule_table networking_rules = RULE_TABLE(rows);
