/*
 * Validation of services, endpoint slices, configuration, nodes, events, leases and RBAC objects.
 */
#include "api/meta.h"
#include "api/validation_internal.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/rbac_v1.pb-c.h"

#define SPEC AT(NULL, "spec")
#define DATA_SIZE_MAX (1024 * 1024)

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

void validate_service(const void *object, struct field_errors *e)
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

void validate_service_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__ServiceSpec *spec = ((const Core__V1__Service *)object)->spec;
    const Core__V1__ServiceSpec *old = ((const Core__V1__Service *)old_object)->spec;
    bool changed_type = cstr_eq(spec->type, "ExternalName") || cstr_eq(old->type, "ExternalName");
    if (!changed_type && *old->cluster_ip && !cstr_eq(spec->cluster_ip, old->cluster_ip))
        err_invalid(e, ITEM(AT(SPEC, "clusterIPs"), 0), spec->cluster_ip,
                    "may not change once set");
}

/* --- endpoint slices ----------------------------------------------------------------------------------- */

void validate_endpoint_slice(const void *object, struct field_errors *e)
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

void validate_endpoint_slice_update(const void *object, const void *old, struct field_errors *e)
{
    const char *type = ((const Discovery__V1__EndpointSlice *)object)->address_type;
    if (!cstr_eq(type, ((const Discovery__V1__EndpointSlice *)old)->address_type))
        err_invalid(e, AT(NULL, "addressType"), type, IMMUTABLE);
}

/* --- config maps and secrets ---------------------------------------------------------------------------- */

void validate_config_map(const void *object, struct field_errors *e)
{
    const Core__V1__ConfigMap *map = object;
    size_t total = 0;
    for (size_t i = 0; i < map->n_data; i++) {
        const char *key = map->data[i]->key;
        check_string(e, KEY(AT(NULL, "data"), key), key, validate_config_map_key);
        total += strlen(map->data[i]->value);
    }
    for (size_t i = 0; i < map->n_binary_data; i++) {
        const char *key = map->binary_data[i]->key;
        check_string(e, KEY(AT(NULL, "binaryData"), key), key, validate_config_map_key);
        if (string_map_get(map->data, map->n_data, key))
            err_invalid(e, KEY(AT(NULL, "data"), key), key,
                        "duplicate of key present in binaryData");
        total += map->binary_data[i]->value.len;
    }
    if (total > DATA_SIZE_MAX)
        err_too_long(e, NULL, DATA_SIZE_MAX);
}

static bool bytes_map_equal(Meta__V1__BytesEntry *const *a, size_t n,
                            Meta__V1__BytesEntry *const *b, size_t m)
{
    if (n != m)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!object_equal(a[i], b[i]))
            return false;
    }
    return true;
}

void validate_config_map_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__ConfigMap *map = object, *old = old_object;
    if (!old->has_immutable || !old->immutable)
        return;
    const char *why = "field is immutable when `immutable` is set";
    if (!map->has_immutable || !map->immutable)
        err_forbidden(e, AT(NULL, "immutable"), why);
    if (map->n_data != old->n_data ||
        !string_map_contains(map->data, map->n_data, old->data, old->n_data))
        err_forbidden(e, AT(NULL, "data"), why);
    if (!bytes_map_equal(map->binary_data, map->n_binary_data, old->binary_data,
                         old->n_binary_data))
        err_forbidden(e, AT(NULL, "binaryData"), why);
}

static const Meta__V1__BytesEntry *secret_data(const Core__V1__Secret *s, const char *key)
{
    for (size_t i = 0; i < s->n_data; i++) {
        if (cstr_eq(s->data[i]->key, key))
            return s->data[i];
    }
    return NULL;
}

/* What each type of secret must hold. */
static void check_secret_type(struct field_errors *e, const Core__V1__Secret *s)
{
    static const struct {
        const char *type;
        const char *keys[2];
    } types[] = {{"kubernetes.io/dockercfg", {".dockercfg"}},
                 {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}},
                 {"kubernetes.io/ssh-auth", {"ssh-privatekey"}},
                 {"kubernetes.io/tls", {"tls.crt", "tls.key"}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!cstr_eq(s->type, types[i].type))
            continue;
        for (int k = 0; k < 2 && types[i].keys[k]; k++) {
            if (!secret_data(s, types[i].keys[k]))
                err_required(e, KEY(AT(NULL, "data"), types[i].keys[k]), "");
        }
    }
    if (cstr_eq(s->type, "kubernetes.io/service-account-token") &&
        !annotations_get(s->metadata, "kubernetes.io/service-account.name"))
        err_required(
            e, KEY(AT(AT(NULL, "metadata"), "annotations"), "kubernetes.io/service-account.name"),
            "");
}

void validate_secret(const void *object, struct field_errors *e)
{
    const Core__V1__Secret *s = object;
    size_t total = 0;
    for (size_t i = 0; i < s->n_data; i++) {
        check_string(e, KEY(AT(NULL, "data"), s->data[i]->key), s->data[i]->key,
                     validate_config_map_key);
        total += s->data[i]->value.len;
    }
    if (total > DATA_SIZE_MAX)
        err_too_long(e, AT(NULL, "data"), DATA_SIZE_MAX);
    check_secret_type(e, s);
}

void validate_secret_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__Secret *s = object, *old = old_object;
    if (!cstr_eq(s->type, old->type))
        err_invalid(e, AT(NULL, "type"), s->type, IMMUTABLE);
    if (!old->has_immutable || !old->immutable)
        return;
    const char *why = "field is immutable when `immutable` is set";
    if (!s->has_immutable || !s->immutable)
        err_forbidden(e, AT(NULL, "immutable"), why);
    if (!bytes_map_equal(s->data, s->n_data, old->data, old->n_data))
        err_forbidden(e, AT(NULL, "data"), why);
}

/* --- nodes, events, leases -------------------------------------------------------------------------------- */

void validate_node(const void *object, struct field_errors *e)
{
    static const char *const effects[] = {"NoExecute", "NoSchedule", "PreferNoSchedule", NULL};
    const Core__V1__NodeSpec *spec = ((const Core__V1__Node *)object)->spec;
    for (size_t i = 0; i < spec->n_taints; i++) {
        const struct path *item = ITEM(AT(SPEC, "taints"), i);
        const Core__V1__Taint *t = spec->taints[i];
        check_string(e, AT(item, "key"), t->key, validate_qualified_name);
        check_string(e, AT(item, "value"), t->value, validate_label_value);
        check_required_one_of(e, AT(item, "effect"), t->effect, effects);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(spec->taints[k]->key, t->key) &&
                cstr_eq(spec->taints[k]->effect, t->effect)) {
                err_duplicate(e, item, t->key);
                break;
            }
        }
    }
}

void validate_node_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__NodeSpec *spec = ((const Core__V1__Node *)object)->spec;
    const Core__V1__NodeSpec *old = ((const Core__V1__Node *)old_object)->spec;
    if (*old->pod_cidr && !cstr_eq(spec->pod_cidr, old->pod_cidr))
        err_forbidden(e, AT(SPEC, "podCIDRs"),
                      "node updates may not change podCIDR except from \"\" to valid");
    if (*old->provider_id && !cstr_eq(spec->provider_id, old->provider_id))
        err_forbidden(e, AT(SPEC, "providerID"),
                      "node updates may not change providerID except from \"\" to valid");
}

/* An event lives where its object lives; cluster-scoped objects' events in any namespace. */
void validate_event(const void *object, struct field_errors *e)
{
    const Core__V1__Event *event = object;
    const char *of = event->involved_object->namespace_;
    if (*of && !cstr_eq(of, event->metadata->namespace_))
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), of,
                    "does not match event.namespace");
    if (!*of && !cstr_eq(event->metadata->namespace_, "default") &&
        !cstr_eq(event->metadata->namespace_, "kube-system") &&
        micro_time_ns(event->event_time) == 0)
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), of,
                    "does not match event.namespace");
}

void validate_lease(const void *object, struct field_errors *e)
{
    const Coordination__V1__LeaseSpec *spec = ((const Coordination__V1__Lease *)object)->spec;
    if (spec->has_lease_duration_seconds && spec->lease_duration_seconds <= 0)
        err_invalid_int(e, AT(SPEC, "leaseDurationSeconds"), spec->lease_duration_seconds,
                        "must be greater than 0");
    if (spec->has_lease_transitions)
        check_non_negative(e, AT(SPEC, "leaseTransitions"), spec->lease_transitions);
    /* An empty holder is how clients give a lease back. */
}

void validate_binding(const void *object, struct field_errors *e)
{
    static const char *const kinds[] = {"Node", "<empty>", NULL};
    const Core__V1__ObjectReference *target = ((const Core__V1__Binding *)object)->target;
    if (*target->kind && !cstr_eq(target->kind, "Node"))
        err_not_supported(e, AT(AT(NULL, "target"), "kind"), target->kind, kinds);
    check_required(e, AT(AT(NULL, "target"), "name"), target->name);
}

/* --- rbac ------------------------------------------------------------------------------------------------- */

static void check_rules(struct field_errors *e, Rbac__V1__PolicyRule *const *rules, size_t n,
                        bool namespaced)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *at = ITEM(AT(NULL, "rules"), i);
        const Rbac__V1__PolicyRule *r = rules[i];
        if (r->n_verbs == 0)
            err_required(e, AT(at, "verbs"), "verbs must contain at least one value");
        if (r->n_non_resource_urls > 0) {
            if (namespaced)
                err_invalid(e, AT(at, "nonResourceURLs"), r->non_resource_urls[0],
                            "namespaced rules cannot apply to non-resource URLs");
            if (r->n_api_groups + r->n_resources + r->n_resource_names > 0)
                err_invalid(e, AT(at, "nonResourceURLs"), r->non_resource_urls[0],
                            "rules cannot apply to both regular resources and non-resource URLs");
            continue;
        }
        if (r->n_api_groups == 0)
            err_required(e, AT(at, "apiGroups"),
                         "resource rules must supply at least one api group");
        if (r->n_resources == 0)
            err_required(e, AT(at, "resources"),
                         "resource rules must supply at least one resource");
    }
}

void validate_role(const void *object, struct field_errors *e)
{
    const Rbac__V1__Role *role = object;
    check_rules(e, role->rules, role->n_rules, true);
}

void validate_cluster_role(const void *object, struct field_errors *e)
{
    const Rbac__V1__ClusterRole *role = object;
    check_rules(e, role->rules, role->n_rules, false);
}

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void check_subject(struct field_errors *e, const struct path *at, const Rbac__V1__Subject *s,
                          bool namespaced)
{
    static const char *const kinds[] = {"Group", "ServiceAccount", "User", NULL};
    static const char *const core_group[] = {"", NULL}, *const rbac_group[] = {RBAC_GROUP, NULL};
    check_required(e, AT(at, "name"), s->name);
    if (cstr_eq(s->kind, "ServiceAccount")) {
        if (*s->name)
            check_string(e, AT(at, "name"), s->name, validate_dns1123_subdomain);
        if (*s->api_group)
            check_one_of(e, AT(at, "apiGroup"), s->api_group, core_group);
        if (!namespaced)
            check_required(e, AT(at, "namespace"), s->namespace_);
    } else if (cstr_eq(s->kind, "User") || cstr_eq(s->kind, "Group")) {
        check_one_of(e, AT(at, "apiGroup"), s->api_group, rbac_group);
    } else {
        err_not_supported(e, AT(at, "kind"), s->kind, kinds);
    }
}

static void check_role_binding(struct field_errors *e, const Rbac__V1__RoleRef *ref,
                               Rbac__V1__Subject *const *subjects, size_t n, bool namespaced)
{
    static const char *const groups[] = {RBAC_GROUP, NULL};
    static const char *const cluster_kinds[] = {"ClusterRole", NULL};
    static const char *const kinds[] = {"ClusterRole", "Role", NULL};
    const struct path *at = AT(NULL, "roleRef");
    check_one_of(e, AT(at, "apiGroup"), ref->api_group, groups);
    check_one_of(e, AT(at, "kind"), ref->kind, namespaced ? kinds : cluster_kinds);
    if (check_required(e, AT(at, "name"), ref->name))
        check_string(e, AT(at, "name"), ref->name, validate_path_segment);
    for (size_t i = 0; i < n; i++)
        check_subject(e, ITEM(AT(NULL, "subjects"), i), subjects[i], namespaced);
}

void validate_role_binding(const void *object, struct field_errors *e)
{
    const Rbac__V1__RoleBinding *b = object;
    check_role_binding(e, b->role_ref, b->subjects, b->n_subjects, true);
}

void validate_cluster_role_binding(const void *object, struct field_errors *e)
{
    const Rbac__V1__ClusterRoleBinding *b = object;
    check_role_binding(e, b->role_ref, b->subjects, b->n_subjects, false);
}

static void check_role_ref_unchanged(struct field_errors *e, const Rbac__V1__RoleRef *new,
                                     const Rbac__V1__RoleRef *old)
{
    if (!object_equal(new, old))
        err_invalid_object(e, AT(NULL, "roleRef"), new, "cannot change roleRef");
}

void validate_role_binding_update(const void *object, const void *old, struct field_errors *e)
{
    check_role_ref_unchanged(e, ((const Rbac__V1__RoleBinding *)object)->role_ref,
                             ((const Rbac__V1__RoleBinding *)old)->role_ref);
}

void validate_cluster_role_binding_update(const void *object, const void *old,
                                          struct field_errors *e)
{
    check_role_ref_unchanged(e, ((const Rbac__V1__ClusterRoleBinding *)object)->role_ref,
                             ((const Rbac__V1__ClusterRoleBinding *)old)->role_ref);
}
