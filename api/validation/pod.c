/*
 * Validation of pods: containers, probes, ports, mounts, scheduling, and what an update may change.
 */
#include "api/meta.h"
#include "api/quantity.h"
#include "api/validation/internal.h"
#include "base/map.h"

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
static const char *const pull_policies[] = {"Always", "IfNotPresent", "Never", NULL};

/* --- probes and hooks ------------------------------------------------------------------------------- */

static void check_http_get(struct field_errors *e, const struct path *at,
                           const Core__V1__HTTPGetAction *get)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    check_required(e, AT(at, "path"), get->path);
    check_port_ref(e, AT(at, "port"), get->port);
    check_one_of(e, AT(at, "scheme"), get->scheme, schemes);
}

static void check_handler(struct field_errors *e, const struct path *at,
                          const Core__V1__ProbeHandler *h)
{
    int count = !!h->exec + !!h->http_get + !!h->tcp_socket + !!h->grpc;
    if (count == 0)
        err_required(e, at, "must specify a handler type");
    if (count > 1)
        err_forbidden(e, at, "may not specify more than 1 handler type");
    if (h->exec && h->exec->n_command == 0)
        err_required(e, AT(AT(at, "exec"), "command"), "");
    if (h->http_get)
        check_http_get(e, AT(at, "httpGet"), h->http_get);
    if (h->tcp_socket)
        check_port_ref(e, AT(AT(at, "tcpSocket"), "port"), h->tcp_socket->port);
    if (h->grpc)
        check_port_number(e, AT(AT(at, "grpc"), "port"), h->grpc->port);
}

static void check_probe(struct field_errors *e, const struct path *at, const Core__V1__Probe *p,
                        bool success_must_be_1)
{
    if (!p)
        return;
    check_handler(e, at, p->handler);
    check_non_negative(e, AT(at, "initialDelaySeconds"), p->initial_delay_seconds);
    check_non_negative(e, AT(at, "timeoutSeconds"), p->timeout_seconds);
    check_non_negative(e, AT(at, "periodSeconds"), p->period_seconds);
    check_non_negative(e, AT(at, "successThreshold"), p->success_threshold);
    check_non_negative(e, AT(at, "failureThreshold"), p->failure_threshold);
    if (success_must_be_1 && p->success_threshold != 1)
        err_invalid_int(e, AT(at, "successThreshold"), p->success_threshold, "must be 1");
    if (p->has_termination_grace_period_seconds && p->termination_grace_period_seconds <= 0)
        err_invalid_int(e, AT(at, "terminationGracePeriodSeconds"),
                        p->termination_grace_period_seconds, "must be greater than 0");
}

static void check_lifecycle_handler(struct field_errors *e, const struct path *at,
                                    const Core__V1__LifecycleHandler *h)
{
    if (!h)
        return;
    int count = !!h->exec + !!h->http_get + !!h->tcp_socket + !!h->sleep;
    if (count == 0)
        err_required(e, at, "must specify a handler type");
    if (count > 1)
        err_forbidden(e, at, "may not specify more than 1 handler type");
    if (h->exec && h->exec->n_command == 0)
        err_required(e, AT(AT(at, "exec"), "command"), "");
    if (h->http_get)
        check_http_get(e, AT(at, "httpGet"), h->http_get);
}

/* --- containers -------------------------------------------------------------------------------------- */

static void check_ports(struct field_errors *e, const struct path *at,
                        Core__V1__ContainerPort *const *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__ContainerPort *p = ports[i];
        if (*p->name && check_string(e, AT(item, "name"), p->name, validate_port_name)) {
            for (size_t k = 0; k < i; k++) {
                if (cstr_eq(ports[k]->name, p->name)) {
                    err_duplicate(e, AT(item, "name"), p->name);
                    break;
                }
            }
        }
        if (p->container_port == 0)
            err_required(e, AT(item, "containerPort"), "");
        else
            check_port_number(e, AT(item, "containerPort"), p->container_port);
        if (p->host_port != 0)
            check_port_number(e, AT(item, "hostPort"), p->host_port);
        check_required_one_of(e, AT(item, "protocol"), p->protocol, protocols);
    }
}

static void check_env_source(struct field_errors *e, const struct path *at,
                             const Core__V1__EnvVar *var)
{
    const Core__V1__EnvVarSource *s = var->value_from;
    int count = !!s->field_ref + !!s->resource_field_ref + !!s->config_map_key_ref +
                !!s->secret_key_ref + !!s->file_key_ref;
    if (count == 0)
        err_invalid(e, at, "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                    "`secretKeyRef`");
    else if (*var->value)
        err_invalid(e, at, "", "may not be specified when `value` is not empty");
    else if (count > 1)
        err_invalid(e, at, "", "may not have more than one field specified at a time");
    if (s->field_ref)
        check_required(e, AT(AT(at, "fieldRef"), "fieldPath"), s->field_ref->field_path);
    if (s->resource_field_ref)
        check_required(e, AT(AT(at, "resourceFieldRef"), "resource"),
                       s->resource_field_ref->resource);
    if (s->config_map_key_ref) {
        const struct path *ref = AT(at, "configMapKeyRef");
        check_required(e, AT(ref, "name"), s->config_map_key_ref->local_object_reference->name);
        if (check_required(e, AT(ref, "key"), s->config_map_key_ref->key))
            check_string(e, AT(ref, "key"), s->config_map_key_ref->key, validate_config_map_key);
    }
    if (s->secret_key_ref) {
        const struct path *ref = AT(at, "secretKeyRef");
        check_required(e, AT(ref, "name"), s->secret_key_ref->local_object_reference->name);
        if (check_required(e, AT(ref, "key"), s->secret_key_ref->key))
            check_string(e, AT(ref, "key"), s->secret_key_ref->key, validate_config_map_key);
    }
}

static void check_env(struct field_errors *e, const struct path *at, Core__V1__EnvVar *const *vars,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        if (check_required(e, AT(item, "name"), vars[i]->name))
            check_string(e, AT(item, "name"), vars[i]->name, validate_env_var_name);
        if (vars[i]->value_from)
            check_env_source(e, AT(item, "valueFrom"), vars[i]);
    }
}

static void check_mounts(struct field_errors *e, const struct path *at,
                         Core__V1__VolumeMount *const *mounts, size_t n, const struct map *volumes)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__VolumeMount *m = mounts[i];
        if (check_required(e, AT(item, "name"), m->name) && !map_has(volumes, str_from(m->name)))
            err_not_found(e, AT(item, "name"), m->name);
        check_required(e, AT(item, "mountPath"), m->mount_path);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(mounts[k]->mount_path, m->mount_path)) {
                err_invalid(e, AT(item, "mountPath"), m->mount_path, "must be unique");
                break;
            }
        }
        if (*m->sub_path && m->sub_path[0] == '/')
            err_invalid(e, AT(item, "subPath"), m->sub_path, "must be a relative path");
        if (*m->sub_path && *m->sub_path_expr)
            err_invalid(e, AT(item, "subPathExpr"), m->sub_path_expr,
                        "subPathExpr and subPath are mutually exclusive");
    }
}

static void check_image(struct field_errors *e, const struct path *at, const char *image)
{
    if (!check_required(e, at, image))
        return;
    struct str s = str_from(image);
    if (str_trim(s).n != s.n)
        err_invalid(e, at, image, "must not have leading or trailing whitespace");
}

static void check_security_context(struct field_errors *e, const struct path *at,
                                   const Core__V1__SecurityContext *s)
{
    if (!s)
        return;
    if (s->has_run_as_user && s->run_as_user < 0)
        err_invalid_int(e, AT(at, "runAsUser"), s->run_as_user,
                        "must be between 0 and 2147483647, inclusive");
    if (s->has_run_as_group && s->run_as_group < 0)
        err_invalid_int(e, AT(at, "runAsGroup"), s->run_as_group,
                        "must be between 0 and 2147483647, inclusive");
    if (s->has_allow_privilege_escalation && !s->allow_privilege_escalation && s->has_privileged &&
        s->privileged)
        err_invalid_object(
            e, at, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
}

static void check_container(struct field_errors *e, const struct path *at,
                            const Core__V1__Container *c, const struct map *volumes)
{
    static const char *const message_policies[] = {"FallbackToLogsOnError", "File", NULL};
    if (check_required(e, AT(at, "name"), c->name))
        check_string(e, AT(at, "name"), c->name, validate_dns1123_label);
    check_image(e, AT(at, "image"), c->image);
    check_one_of(e, AT(at, "imagePullPolicy"), c->image_pull_policy, pull_policies);
    check_one_of(e, AT(at, "terminationMessagePolicy"), c->termination_message_policy,
                 message_policies);
    check_ports(e, AT(at, "ports"), c->ports, c->n_ports);
    check_env(e, AT(at, "env"), c->env, c->n_env);
    check_mounts(e, AT(at, "volumeMounts"), c->volume_mounts, c->n_volume_mounts, volumes);
    check_resources(e, AT(at, "resources"), c->resources);
    check_security_context(e, AT(at, "securityContext"), c->security_context);
    check_probe(e, AT(at, "livenessProbe"), c->liveness_probe, true);
    check_probe(e, AT(at, "readinessProbe"), c->readiness_probe, false);
    check_probe(e, AT(at, "startupProbe"), c->startup_probe, true);
    if (c->lifecycle) {
        check_lifecycle_handler(e, AT(AT(at, "lifecycle"), "postStart"), c->lifecycle->post_start);
        check_lifecycle_handler(e, AT(AT(at, "lifecycle"), "preStop"), c->lifecycle->pre_stop);
    }
}

static void check_container_name(struct field_errors *e, const struct path *at, const char *name,
                                 struct map *names)
{
    if (!*name)
        return;
    if (map_has(names, str_from(name)))
        err_duplicate(e, AT(at, "name"), name);
    map_put(names, str_from(name), names);
}

static void check_host_ports(struct field_errors *e, const struct path *at,
                             const Core__V1__PodSpec *spec)
{
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < spec->n_containers; i++) {
        const Core__V1__Container *c = spec->containers[i];
        const struct path *ports = AT(ITEM(AT(at, "containers"), i), "ports");
        for (size_t k = 0; k < c->n_ports; k++) {
            const Core__V1__ContainerPort *p = c->ports[k];
            if (spec->host_network && p->host_port != p->container_port)
                err_invalid_int(e, AT(ITEM(ports, k), "hostPort"), p->host_port,
                                "must match `containerPort` when `hostNetwork` is true");
            if (p->host_port == 0)
                continue;
            struct str key =
                str_from(arena_printf(e->arena, "%s/%s/%d", p->protocol, p->host_ip, p->host_port));
            if (map_has(&seen, key))
                err_duplicate(e, AT(ITEM(ports, k), "hostPort"), key.p);
            map_put(&seen, key, &seen);
        }
    }
    map_free(&seen);
}

/* --- scheduling --------------------------------------------------------------------------------------- */

static const char *const effects[] = {"NoExecute", "NoSchedule", "PreferNoSchedule", NULL};

static void check_tolerations(struct field_errors *e, const struct path *at,
                              Core__V1__Toleration *const *tolerations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Toleration *t = tolerations[i];
        bool exists = cstr_eq(t->operator_, "Exists");
        if (*t->key)
            check_string(e, AT(item, "key"), t->key, validate_qualified_name);
        else if (!exists)
            err_invalid(
                e, AT(item, "operator"), t->operator_,
                "operator must be Exists when `key` is empty, which means \"match all values "
                "and all keys\"");
        if (t->has_toleration_seconds && !cstr_eq(t->effect, "NoExecute"))
            err_invalid(e, AT(item, "effect"), t->effect,
                        "effect must be 'NoExecute' when `tolerationSeconds` is set");
        if (exists && *t->value)
            err_invalid(e, AT(item, "operator"), t->value,
                        "value must be empty when `operator` is 'Exists'");
        else if (!exists && (!*t->operator_ || cstr_eq(t->operator_, "Equal")))
            check_string(e, AT(item, "operator"), t->value, validate_label_value);
        else if (!exists) {
            static const char *const operators[] = {"Equal", "Exists", NULL};
            err_not_supported(e, AT(item, "operator"), t->operator_, operators);
        }
        if (*t->effect)
            check_one_of(e, AT(item, "effect"), t->effect, effects);
    }
}

static void check_node_terms(struct field_errors *e, const struct path *at,
                             const Core__V1__NodeSelector *s)
{
    static const char *const operators[] = {"DoesNotExist", "Exists", "Gt", "In",
                                            "Lt",           "NotIn",  NULL};
    if (s->n_node_selector_terms == 0)
        err_required(e, AT(at, "nodeSelectorTerms"), "must have at least one node selector term");
    for (size_t i = 0; i < s->n_node_selector_terms; i++) {
        const Core__V1__NodeSelectorTerm *t = s->node_selector_terms[i];
        for (size_t k = 0; k < t->n_match_expressions; k++) {
            const struct path *r =
                ITEM(AT(ITEM(AT(at, "nodeSelectorTerms"), i), "matchExpressions"), k);
            check_string(e, AT(r, "key"), t->match_expressions[k]->key, validate_qualified_name);
            check_one_of(e, AT(r, "operator"), t->match_expressions[k]->operator_, operators);
        }
    }
}

static void check_affinity(struct field_errors *e, const struct path *at,
                           const Core__V1__Affinity *a)
{
    if (!a || !a->node_affinity)
        return;
    const Core__V1__NodeSelector *required =
        a->node_affinity->required_during_scheduling_ignored_during_execution;
    if (required)
        check_node_terms(
            e, AT(AT(at, "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution"),
            required);
}

static void check_dns(struct field_errors *e, const struct path *at, const Core__V1__PodSpec *spec)
{
    static const char *const policies[] = {"ClusterFirst", "ClusterFirstWithHostNet", "Default",
                                           "None", NULL};
    check_one_of(e, AT(at, "dnsPolicy"), spec->dns_policy, policies);
    bool none = cstr_eq(spec->dns_policy, "None");
    if (none && (!spec->dns_config || spec->dns_config->n_nameservers == 0))
        err_required(e, AT(AT(at, "dnsConfig"), "nameservers"),
                     "must provide at least one DNS nameserver when `dnsPolicy` is None");
    for (size_t i = 0; spec->dns_config && i < spec->dns_config->n_nameservers; i++)
        check_string(e, ITEM(AT(AT(at, "dnsConfig"), "nameservers"), i),
                     spec->dns_config->nameservers[i], validate_ip);
}

/* --- pod specs ---------------------------------------------------------------------------------------- */

static void check_all_containers(struct field_errors *e, const struct path *at,
                                 const Core__V1__PodSpec *spec)
{
    struct map volumes, names;
    map_init(&volumes);
    map_init(&names);
    for (size_t i = 0; i < spec->n_volumes; i++)
        map_put(&volumes, str_from(spec->volumes[i]->name), spec->volumes[i]);
    if (spec->n_containers == 0)
        err_required(e, AT(at, "containers"), "");
    for (size_t i = 0; i < spec->n_containers; i++) {
        const struct path *item = ITEM(AT(at, "containers"), i);
        check_container(e, item, spec->containers[i], &volumes);
        check_container_name(e, item, spec->containers[i]->name, &names);
    }
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        const struct path *item = ITEM(AT(at, "initContainers"), i);
        check_container(e, item, spec->init_containers[i], &volumes);
        check_container_name(e, item, spec->init_containers[i]->name, &names);
    }
    map_free(&volumes);
    map_free(&names);
    check_host_ports(e, at, spec);
}

static void check_pod_numbers(struct field_errors *e, const struct path *at,
                              const Core__V1__PodSpec *spec)
{
    if (spec->has_active_deadline_seconds &&
        (spec->active_deadline_seconds < 1 || spec->active_deadline_seconds > INT32_MAX))
        err_invalid_int(e, AT(at, "activeDeadlineSeconds"), spec->active_deadline_seconds,
                        "must be between 1 and 2147483647, inclusive");
    if (spec->has_termination_grace_period_seconds)
        check_non_negative(e, AT(at, "terminationGracePeriodSeconds"),
                           spec->termination_grace_period_seconds);
}

void check_pod_spec(struct field_errors *e, const struct path *at, const Core__V1__PodSpec *spec)
{
    static const char *const restart_policies[] = {"Always", "Never", "OnFailure", NULL};
    check_volumes(e, AT(at, "volumes"), spec->volumes, spec->n_volumes);
    check_all_containers(e, at, spec);
    check_required_one_of(e, AT(at, "restartPolicy"), spec->restart_policy, restart_policies);
    check_dns(e, at, spec);
    check_pod_numbers(e, at, spec);
    check_labels(e, AT(at, "nodeSelector"), spec->node_selector, spec->n_node_selector);
    check_tolerations(e, AT(at, "tolerations"), spec->tolerations, spec->n_tolerations);
    check_affinity(e, AT(at, "affinity"), spec->affinity);
    if (*spec->service_account_name)
        check_string(e, AT(at, "serviceAccountName"), spec->service_account_name,
                     validate_dns1123_subdomain);
    if (*spec->node_name)
        check_string(e, AT(at, "nodeName"), spec->node_name, validate_dns1123_subdomain);
    if (*spec->hostname)
        check_string(e, AT(at, "hostname"), spec->hostname, validate_dns1123_label);
    if (*spec->subdomain)
        check_string(e, AT(at, "subdomain"), spec->subdomain, validate_dns1123_label);
    if (*spec->priority_class_name)
        check_string(e, AT(at, "priorityClassName"), spec->priority_class_name,
                     validate_dns1123_subdomain);
    for (size_t i = 0; i < spec->n_image_pull_secrets; i++)
        check_required(e, AT(ITEM(AT(at, "imagePullSecrets"), i), "name"),
                       spec->image_pull_secrets[i]->name);
}

void check_pod_template(struct field_errors *e, const struct path *at,
                        const Core__V1__PodTemplateSpec *t)
{
    const struct path *meta = AT(at, "metadata");
    check_labels(e, AT(meta, "labels"), t->metadata->labels, t->metadata->n_labels);
    check_annotations(e, AT(meta, "annotations"), t->metadata->annotations,
                      t->metadata->n_annotations);
    check_pod_spec(e, AT(at, "spec"), t->spec);
    if (t->spec->n_ephemeral_containers > 0)
        err_forbidden(e, AT(AT(at, "spec"), "ephemeralContainers"),
                      "ephemeral containers not allowed in pod template");
}

/* --- pods ---------------------------------------------------------------------------------------------- */

static void validate_pod(const void *object, struct field_errors *e)
{
    check_pod_spec(e, AT(NULL, "spec"), ((const Core__V1__Pod *)object)->spec);
}

static bool has_toleration(const Core__V1__PodSpec *spec, const Core__V1__Toleration *wanted)
{
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        const Core__V1__Toleration *t = spec->tolerations[i];
        if (cstr_eq(t->key, wanted->key) && cstr_eq(t->operator_, wanted->operator_) &&
            cstr_eq(t->value, wanted->value) && cstr_eq(t->effect, wanted->effect))
            return true;
    }
    return false;
}

static void check_container_set(struct field_errors *e, const struct path *at,
                                Core__V1__Container *const *containers, size_t n, size_t old_n)
{
    if (n != old_n)
        err_forbidden(e, at, "pod updates may not add or remove containers");
    for (size_t i = 0; i < n; i++)
        check_image(e, AT(ITEM(at, i), "image"), containers[i]->image);
}

static void copy_images(Core__V1__Container **to, size_t to_len, Core__V1__Container *const *from,
                        size_t from_len)
{
    for (size_t i = 0; i < to_len && i < from_len; i++)
        to[i]->image = from[i]->image;
}

/* Like the old spec in everything that an update may change. */
static Core__V1__PodSpec *with_mutable_fields_of(struct arena *a, const Core__V1__PodSpec *spec,
                                                 const Core__V1__PodSpec *old)
{
    Core__V1__PodSpec *munged = object_clone(a, spec);
    copy_images(munged->containers, munged->n_containers, old->containers, old->n_containers);
    copy_images(munged->init_containers, munged->n_init_containers, old->init_containers,
                old->n_init_containers);
    munged->has_active_deadline_seconds = old->has_active_deadline_seconds;
    munged->active_deadline_seconds = old->active_deadline_seconds;
    munged->tolerations = old->tolerations;
    munged->n_tolerations = old->n_tolerations;
    /* Gates may only be removed (checked apart). */
    munged->scheduling_gates = old->scheduling_gates;
    munged->n_scheduling_gates = old->n_scheduling_gates;
    if (old->has_termination_grace_period_seconds && old->termination_grace_period_seconds < 0 &&
        munged->termination_grace_period_seconds == 1)
        munged->termination_grace_period_seconds = old->termination_grace_period_seconds;
    return munged;
}

static void check_deadline_change(struct field_errors *e, const struct path *at,
                                  const Core__V1__PodSpec *spec, const Core__V1__PodSpec *old)
{
    if (!old->has_active_deadline_seconds)
        return;
    if (!spec->has_active_deadline_seconds)
        err_invalid_raw(e, at, "null", "must not update from a positive integer to nil value");
    else if (spec->active_deadline_seconds > old->active_deadline_seconds)
        err_invalid_int(e, at, spec->active_deadline_seconds,
                        "must be less than or equal to previous value");
}

static void validate_pod_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__PodSpec *spec = ((const Core__V1__Pod *)object)->spec;
    const Core__V1__PodSpec *old = ((const Core__V1__Pod *)old_object)->spec;
    const struct path *at = AT(NULL, "spec");
    check_container_set(e, AT(at, "containers"), spec->containers, spec->n_containers,
                        old->n_containers);
    check_container_set(e, AT(at, "initContainers"), spec->init_containers, spec->n_init_containers,
                        old->n_init_containers);
    if (e->len)
        return;
    check_deadline_change(e, AT(at, "activeDeadlineSeconds"), spec, old);
    for (size_t i = 0; i < old->n_tolerations; i++) {
        if (!has_toleration(spec, old->tolerations[i])) {
            err_forbidden(e, AT(at, "tolerations"),
                          "existing toleration can not be modified except its tolerationSeconds");
            break;
        }
    }
    if (!object_equal(with_mutable_fields_of(e->arena, spec, old), old))
        err_forbidden(
            e, at,
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
            "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
            "(allow it to be set to 1 if it was previously negative)");
}

static void validate_pod_status_update(const void *object, const void *old_object,
                                       struct field_errors *e)
{
    const Core__V1__Pod *pod = object, *old = old_object;
    if (*pod->status->nominated_node_name)
        check_string(e, AT(AT(NULL, "status"), "nominatedNodeName"),
                     pod->status->nominated_node_name, validate_dns1123_subdomain);
    if (!cstr_eq(pod->spec->node_name, old->spec->node_name))
        err_forbidden(e, AT(AT(NULL, "spec"), "nodeName"), "may not be changed directly");
    for (size_t i = 0; i < pod->status->n_pod_ips; i++)
        check_string(e, ITEM(AT(AT(NULL, "status"), "podIPs"), i), pod->status->pod_ips[i]->ip,
                     validate_ip);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__Pod__SCHEMA,
     .create = validate_pod,
     .update = validate_pod_update,
     .status = validate_pod_status_update},
};
const struct rule_table pod_rules = RULE_TABLE(rows);
