/*
 * Validation of pods and pod templates: the spec as a whole, status. (What an update may change:
 * pod_update.c.)
 */
#include "api/validation/pod.h"
#include "api/meta.h"
#include "base/map.h"

#define NAMESERVERS_MAX 3
#define SEARCHES_MAX 32
#define SEARCH_LIST_MAX 2048

/* --- names ----------------------------------------------------------------------------------- */

static const char *subdomain_with_underscores(const char *s)
{
    char plain[256];
    size_t n = strlen(s);
    if (n > 253)
        return "must be no more than 253 bytes";
    for (size_t i = 0; i <= n; i++)
        plain[i] = s[i] == '_' ? '0' : s[i];
    if (!validate_dns1123_subdomain(plain))
        return NULL;
    return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
           "'_', '-' or '.', and must start and end with an alphanumeric character (e.g. "
           "'example.com', regex used for validation is "
           "'[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*')";
}

static void check_searches(struct field_errors *e, const struct path *at,
                           const Core__V1__PodDNSConfig *dns)
{
    size_t total = dns->n_searches ? dns->n_searches - 1 : 0; /* the spaces between them */
    for (size_t i = 0; i < dns->n_searches; i++)
        total += strlen(dns->searches[i]);
    if (dns->n_searches > SEARCHES_MAX)
        err_invalid_list(e, at, dns->searches, dns->n_searches,
                         "must not have more than 32 search paths");
    if (total > SEARCH_LIST_MAX)
        err_invalid_list(e, at, dns->searches, dns->n_searches,
                         "must not have more than 2048 characters (including spaces) in the "
                         "search list");
    for (size_t i = 0; i < dns->n_searches; i++) {
        size_t n = strlen(dns->searches[i]);
        if (strcmp(dns->searches[i], ".") == 0)
            continue;
        const char *name = n && dns->searches[i][n - 1] == '.'
                               ? arena_strndup(e->arena, dns->searches[i], n - 1)
                               : dns->searches[i];
        check_string(e, ITEM(at, i), name, subdomain_with_underscores);
    }
}

static void check_dns(struct field_errors *e, const struct path *at, const Core__V1__PodSpec *spec)
{
    const Core__V1__PodDNSConfig *dns = spec->dns_config;
    bool none = cstr_eq(spec->dns_policy, "None");
    if (none && !dns) {
        err_required(e, at, "must provide `dnsConfig` when `dnsPolicy` is None");
    } else if (none && dns->n_nameservers == 0) {
        err_required(e, AT(at, "nameservers"),
                     "must provide at least one DNS nameserver when `dnsPolicy` is None");
    } else if (dns) {
        if (dns->n_nameservers > NAMESERVERS_MAX)
            err_invalid_list(e, AT(at, "nameservers"), dns->nameservers, dns->n_nameservers,
                             "must not have more than 3 nameservers");
        for (size_t i = 0; i < dns->n_nameservers; i++)
            check_string(e, ITEM(AT(at, "nameservers"), i), dns->nameservers[i], validate_ip);
        check_searches(e, AT(at, "searches"), dns);
        for (size_t i = 0; i < dns->n_options; i++) {
            if (!dns->options[i]->name || !*dns->options[i]->name)
                err_required(e, ITEM(AT(at, "options"), i), "must not be empty");
        }
    }
}

static void check_pod_claims(struct field_errors *e, const struct path *at,
                             const Core__V1__PodSpec *spec)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_resource_claims; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__PodResourceClaim *c = spec->resource_claims[i];
        if (*c->name && seen_again(&seen, c->name))
            err_duplicate(e, AT(item, "name"), c->name);
        else
            check_required_string(e, AT(item, "name"), c->name, validate_dns1123_label);
        if (c->resource_claim_name && c->resource_claim_template_name)
            err_invalid_object(e, item, c,
                               "at most one of `resourceClaimName` or `resourceClaimTemplateName` "
                               "may be specified");
        if (!c->resource_claim_name && !c->resource_claim_template_name)
            err_invalid_object(e, item, c,
                               "must specify one of: `resourceClaimName`, "
                               "`resourceClaimTemplateName`");
        if (c->resource_claim_name)
            check_string(e, AT(item, "resourceClaimName"), c->resource_claim_name,
                         validate_dns1123_subdomain);
        if (c->resource_claim_template_name)
            check_string(e, AT(item, "resourceClaimTemplateName"), c->resource_claim_template_name,
                         validate_dns1123_subdomain);
    }
}

static void check_host_network_ports(struct pod_check *p, const struct path *at)
{
    const Core__V1__PodSpec *spec = p->spec;
    for (size_t i = 0; spec->host_network && i < spec->n_containers; i++) {
        const Core__V1__Container *c = spec->containers[i];
        for (size_t k = 0; k < c->n_ports; k++) {
            const Core__V1__ContainerPort *port = c->ports[k];
            /* Templates may leave it to the pod's defaults. */
            if ((p->is_pod || port->host_port != 0) && port->host_port != port->container_port)
                err_invalid_int(p->e, AT(ITEM(AT(ITEM(at, i), "ports"), k), "hostPort"),
                                port->host_port,
                                "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

static void check_gates(struct field_errors *e, const struct path *at,
                        const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_readiness_gates; i++)
        check_string(e, AT(ITEM(AT(at, "readinessGates"), i), "conditionType"),
                     spec->readiness_gates[i]->condition_type, validate_qualified_name);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_scheduling_gates; i++) {
        const struct path *item = ITEM(AT(at, "schedulingGates"), i);
        const char *name = spec->scheduling_gates[i]->name;
        check_string(e, item, name, validate_qualified_name);
        if (seen_again(&seen, name))
            err_duplicate(e, item, name);
    }
}

static void check_host_aliases(struct field_errors *e, const struct path *at,
                               const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_host_aliases; i++) {
        const Core__V1__HostAlias *alias = spec->host_aliases[i];
        check_string(e, AT(ITEM(at, i), "ip"), alias->ip, validate_ip);
        for (size_t k = 0; k < alias->n_hostnames; k++)
            check_string(e, ITEM(AT(ITEM(at, i), "hostnames"), k), alias->hostnames[k],
                         validate_dns1123_subdomain);
    }
}

/* --- the spec -------------------------------------------------------------------------------- */

static void check_pod_names(struct field_errors *e, const struct path *at,
                            const Core__V1__PodSpec *spec)
{
    check_optional(e, AT(at, "serviceAccountName"), spec->service_account_name,
                   validate_dns1123_subdomain);
    check_optional(e, AT(at, "nodeName"), spec->node_name, validate_dns1123_subdomain);
    if (spec->has_active_deadline_seconds)
        check_range(e, AT(at, "activeDeadlineSeconds"), spec->active_deadline_seconds, 1,
                    INT32_MAX);
    check_optional(e, AT(at, "hostname"), spec->hostname, validate_dns1123_label);
    check_optional(e, AT(at, "subdomain"), spec->subdomain, validate_dns1123_label);
    check_tolerations(e, AT(at, "tolerations"), spec->tolerations, spec->n_tolerations);
    check_host_aliases(e, AT(at, "hostAliases"), spec);
    check_optional(e, AT(at, "priorityClassName"), spec->priority_class_name,
                   validate_dns1123_subdomain);
    if (spec->runtime_class_name)
        check_string(e, AT(at, "runtimeClassName"), spec->runtime_class_name,
                     validate_dns1123_subdomain);
    if (spec->preemption_policy)
        check_required_one_of(e, AT(at, "preemptionPolicy"), spec->preemption_policy,
                              ONE_OF("PreemptLowerPriority", "Never"));
    if (!spec->hostname_override)
        return;
    const struct path *override = AT(at, "hostnameOverride");
    if (!*spec->hostname_override)
        err_invalid(e, override, "", "must not be empty");
    else if (strlen(spec->hostname_override) > 64)
        err_too_long(e, override, 64);
    else
        check_string(e, override, spec->hostname_override, validate_dns1123_subdomain);
    if (spec->has_set_hostname_as_fqdn && spec->set_hostname_as_fqdn)
        err_forbidden(e, override, "may not be specified when setHostnameAsFQDN is true");
    if (spec->host_network)
        err_forbidden(e, override, "may not be specified when hostNetwork is true");
}

static void check_spec(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    if (!spec->has_termination_grace_period_seconds)
        err_required(e, AT(at, "terminationGracePeriodSeconds"), "");
    check_volumes(p, AT(at, "volumes"));
    check_pod_claims(e, AT(at, "resourceClaims"), spec);
    check_containers(p, AT(at, "containers"));
    check_init_containers(p, AT(at, "initContainers"));
    check_ephemeral_containers(p, AT(at, "ephemeralContainers"));
    check_pod_resources(p, AT(at, "resources"));
    check_host_network_ports(p, AT(at, "containers"));
    check_required_one_of(e, AT(at, "restartPolicy"), spec->restart_policy,
                          ONE_OF("Always", "OnFailure", "Never"));
    check_required_one_of(e, AT(at, "dnsPolicy"), spec->dns_policy,
                          ONE_OF("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"));
    check_labels(e, AT(at, "nodeSelector"), spec->node_selector, spec->n_node_selector);
    check_pod_security(p, AT(at, "securityContext"));
    check_affinity(e, AT(at, "affinity"), spec->affinity);
    check_dns(e, AT(at, "dnsConfig"), spec);
    check_gates(e, at, spec);
    check_spread_constraints(e, AT(at, "topologySpreadConstraints"),
                             spec->topology_spread_constraints,
                             spec->n_topology_spread_constraints);
    check_pod_os(p, at);
    check_pod_names(e, at, spec);
    check_overhead(p->e, AT(at, "overhead"), p->spec->overhead, p->spec->n_overhead);
}

void check_pod_template(struct field_errors *e, const struct path *at,
                        const Core__V1__PodTemplateSpec *t)
{
    struct pod_check p = {.e = e, .spec = t->spec, .volumes.arena = e->arena};
    const struct path *spec = AT(at, "spec");
    /* Upstream leaves "metadata" out here. */
    check_labels(e, AT(at, "labels"), t->metadata->labels, t->metadata->n_labels);
    check_annotations(e, AT(at, "annotations"), t->metadata->annotations,
                      t->metadata->n_annotations);
    check_pod_annotations(&p, AT(at, "annotations"), t->metadata);
    check_spec(&p, spec);
    check_annotations_match_fields(&p, spec, t->metadata);
    if (t->spec->n_ephemeral_containers > 0)
        err_forbidden(e, AT(spec, "ephemeralContainers"),
                      "ephemeral containers not allowed in pod template");
}

/* --- pods ------------------------------------------------------------------------------------ */

/* What holds for every write of a pod. */
void check_pod(const Core__V1__Pod *pod, struct field_errors *e)
{
    const Core__V1__PodSpec *spec = pod->spec;
    struct pod_check p = {
        .e = e, .spec = spec, .meta = pod->metadata, .is_pod = true, .volumes.arena = e->arena};
    check_pod_annotations(&p, AT(AT(NULL, "metadata"), "annotations"), pod->metadata);
    check_spec(&p, SPEC);
    for (size_t i = 0; !*spec->service_account_name && i < spec->n_volumes; i++) {
        const Core__V1__ProjectedVolumeSource *v = spec->volumes[i]->volume_source->projected;
        const struct path *sources = AT(AT(ITEM(AT(SPEC, "volumes"), i), "projected"), "sources");
        for (size_t k = 0; v && k < v->n_sources; k++) {
            if (v->sources[k]->service_account_token)
                err_forbidden(e, AT(ITEM(sources, k), "serviceAccountToken"),
                              "must not be specified when serviceAccountName is not set");
        }
    }
    for (size_t i = 0; i < spec->n_containers; i++)
        check_image_spaces(e, AT(ITEM(AT(SPEC, "containers"), i), "image"),
                           spec->containers[i]->image);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        check_image_spaces(e, AT(ITEM(AT(SPEC, "initContainers"), i), "image"),
                           spec->init_containers[i]->image);
}

static void validate_pod(const void *object, struct field_errors *e)
{
    const Core__V1__Pod *pod = object;
    struct pod_check p = {.e = e,
                          .spec = pod->spec,
                          .meta = pod->metadata,
                          .is_pod = true,
                          .volumes.arena = e->arena};
    check_pod(pod, e);
    if (pod->spec->n_ephemeral_containers > 0)
        err_forbidden(e, AT(SPEC, "ephemeralContainers"), "cannot be set on create");
    if (*pod->spec->node_name && pod->spec->n_scheduling_gates > 0)
        err_forbidden(e, AT(SPEC, "nodeName"),
                      "cannot be set until all schedulingGates have been cleared");
    check_annotations_match_fields(&p, SPEC, pod->metadata);
}

static void validate_pod_template(const void *object, struct field_errors *e)
{
    check_pod_template(e, AT(NULL, "template"), ((const Core__V1__PodTemplate *)object)->template_);
}

/* --- status ---------------------------------------------------------------------------------- */

#define STATUS AT(NULL, "status")

/* At most one address of each family. */
static void check_families(struct field_errors *e, const struct path *at, const char *const *ips,
                           size_t n)
{
    check_one_per_family(e, at, (char *const *)ips, n,
                         "may specify no more than one IP for each IP family");
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        if (seen_again(&seen, ips[i]))
            err_duplicate(e, ITEM(at, i), ips[i]);
    }
}

static void check_pod_ips(struct field_errors *e, const Core__V1__PodStatus *s)
{
    const char **ips = arena_array(e->arena, const char *, s->n_pod_ips + s->n_host_ips + 1);
    for (size_t i = 0; i < s->n_pod_ips; i++) {
        ips[i] = s->pod_ips[i]->ip;
        check_string(e, ITEM(AT(STATUS, "podIPs"), i), ips[i], validate_ip);
    }
    check_families(e, AT(STATUS, "podIPs"), ips, s->n_pod_ips);
    if (s->n_host_ips && !cstr_eq(s->host_ip, s->host_ips[0]->ip))
        err_invalid(e, AT(ITEM(AT(STATUS, "hostIPs"), 0), "ip"), s->host_ips[0]->ip,
                    "must be equal to `hostIP`");
    for (size_t i = 0; i < s->n_host_ips; i++) {
        ips[i] = s->host_ips[i]->ip;
        check_string(e, ITEM(AT(STATUS, "hostIPs"), i), ips[i], validate_ip);
    }
    check_families(e, AT(STATUS, "hostIPs"), ips, s->n_host_ips);
}

/* Which containers may go on after they have ended, whatever the pod's own policy says. */
static struct seen may_go_on(struct arena *a, const Core__V1__PodSpec *spec)
{
    struct seen names = {.arena = a}, first = {.arena = a};
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        const Core__V1__Container *c = spec->init_containers[i];
        if (!seen_again(&first, c->name) && cstr_eq(c->restart_policy, "Always"))
            seen_again(&names, c->name);
    }
    for (size_t i = 0; i < spec->n_containers; i++) {
        if (spec->containers[i]->restart_policy)
            seen_again(&names, spec->containers[i]->name);
    }
    return names;
}

/* Statuses of containers that run or wait, by name: how many there are. */
static void index_going(struct map *going, Core__V1__ContainerStatus *const *items, size_t n)
{
    map_init(going);
    for (size_t i = 0; i < n; i++) {
        struct str name = str_from(items[i]->name);
        if (!items[i]->state->terminated)
            map_put(going, name, (void *)((uintptr_t)map_get(going, name) + 1));
    }
}

/* Containers that ended for good stay ended. */
static void check_transitions(struct field_errors *e, const struct path *at,
                              const Core__V1__PodSpec *spec, const char *restart,
                              Core__V1__ContainerStatus *const *new, size_t n,
                              Core__V1__ContainerStatus *const *old, size_t m)
{
    if (strcmp(restart, "Always") == 0)
        return;
    const struct seen free_to = may_go_on(e->arena, spec);
    struct map going;
    index_going(&going, new, n);
    for (size_t i = 0; i < m; i++) {
        const Core__V1__ContainerStateTerminated *end = old[i]->state->terminated;
        if (!end || (end->exit_code != 0 && strcmp(restart, "OnFailure") == 0) ||
            seen_has(&free_to, old[i]->name))
            continue;
        for (uintptr_t k = (uintptr_t)map_get(&going, str_from(old[i]->name)); k > 0; k--) {
            if (field_errors_full(e))
                break;
            err_forbidden(e, AT(ITEM(at, i), "state"),
                          "may not be transitioned to non-terminated state");
        }
    }
    map_free(&going);
}

static void check_claim_statuses(struct field_errors *e, const Core__V1__Pod *pod)
{
    const Core__V1__PodStatus *s = pod->status;
    struct seen claims = {.arena = e->arena}, seen = {.arena = e->arena};
    for (size_t i = 0; i < pod->spec->n_resource_claims; i++)
        seen_again(&claims, pod->spec->resource_claims[i]->name);
    for (size_t i = 0; i < s->n_resource_claim_statuses; i++) {
        const Core__V1__PodResourceClaimStatus *claim = s->resource_claim_statuses[i];
        const struct path *at = AT(ITEM(AT(STATUS, "resourceClaimStatuses"), i), "name");
        if (!seen_has(&claims, claim->name))
            err_invalid(e, at, claim->name,
                        "must match the name of an entry in `spec.resourceClaims`");
        if (seen_again(&seen, claim->name))
            err_duplicate(e, at, claim->name);
        if (claim->resource_claim_name)
            check_string(e, at, claim->resource_claim_name, validate_dns1123_subdomain);
    }
}

/* Who a container runs as. */
static void check_users(struct field_errors *e, const Core__V1__PodSpec *spec, const char *name,
                        Core__V1__ContainerStatus *const *statuses, size_t n)
{
    bool windows = spec->os && strcmp(spec->os->name, "windows") == 0;
    for (size_t i = 0; i < n; i++) {
        const struct path *at = AT(ITEM(AT(STATUS, name), i), "linux");
        const Core__V1__LinuxContainerUser *user =
            statuses[i]->user ? statuses[i]->user->linux : NULL;
        if (!user)
            continue;
        if (windows) {
            err_forbidden(e, at, "cannot be set for a windows pod");
            continue;
        }
        check_range(e, AT(at, "uid"), user->uid, 0, INT32_MAX);
        check_range(e, AT(at, "gid"), user->gid, 0, INT32_MAX);
        for (size_t k = 0; k < user->n_supplemental_groups; k++)
            check_range(e, ITEM(AT(at, "supplementalGroups"), k), user->supplemental_groups[k], 0,
                        INT32_MAX);
    }
}

static void validate_pod_status(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__Pod *pod = object, *before = old_object;
    const Core__V1__PodStatus *s = pod->status, *old = before->status;
    const Core__V1__PodSpec *spec = before->spec;
    struct pod_check p = {.e = e,
                          .spec = pod->spec,
                          .meta = pod->metadata,
                          .is_pod = true,
                          .volumes.arena = e->arena};
    check_annotation_changes(e, pod->metadata, before->metadata);
    check_pod_annotations(&p, AT(AT(NULL, "metadata"), "annotations"), pod->metadata);
    for (size_t i = 0; i < s->n_conditions; i++)
        check_string(e, AT(ITEM(AT(AT(NULL, "metadata"), "conditions"), i), "Type"),
                     s->conditions[i]->type, validate_qualified_name);
    if (!cstr_eq(pod->spec->node_name, spec->node_name))
        err_forbidden(e, AT(STATUS, "nodeName"), "may not be changed directly");
    if (!cstr_eq(s->nominated_node_name, old->nominated_node_name))
        check_optional(e, AT(STATUS, "nominatedNodeName"), s->nominated_node_name,
                       validate_dns1123_subdomain);
    check_immutable_string(e, AT(STATUS, "qosClass"), s->qos_class, old->qos_class);
    check_transitions(e, AT(STATUS, "containerStatuses"), spec, spec->restart_policy,
                      s->container_statuses, s->n_container_statuses, old->container_statuses,
                      old->n_container_statuses);
    check_transitions(e, AT(STATUS, "initContainerStatuses"), spec, spec->restart_policy,
                      s->init_container_statuses, s->n_init_container_statuses,
                      old->init_container_statuses, old->n_init_container_statuses);
    check_transitions(e, AT(STATUS, "ephemeralContainerStatuses"), spec, "Never",
                      s->ephemeral_container_statuses, s->n_ephemeral_container_statuses,
                      old->ephemeral_container_statuses, old->n_ephemeral_container_statuses);
    check_claim_statuses(e, pod);
    check_pod_ips(e, s);
    check_users(e, pod->spec, "containerStatuses", s->container_statuses, s->n_container_statuses);
    check_users(e, pod->spec, "initContainerStatuses", s->init_container_statuses,
                s->n_init_container_statuses);
    check_users(e, pod->spec, "ephemeralContainerStatuses", s->ephemeral_container_statuses,
                s->n_ephemeral_container_statuses);
}

static const struct sub_rule pod_subs[] = {
    {"ephemeralcontainers", validate_pod_ephemeral},
    {"resize", validate_pod_resize},
    {NULL, NULL},
};

static const struct kind_rules rows[] = {
    {.message = Core__V1__Pod__SCHEMA,
     .create = validate_pod,
     .update = validate_pod_update,
     .update_alone = true,
     .status = validate_pod_status,
     .subs = pod_subs},
    {.message = Core__V1__PodTemplate__SCHEMA, .create = validate_pod_template},
};
const struct rule_table pod_rules = RULE_TABLE(rows);
