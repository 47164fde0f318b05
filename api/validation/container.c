/*
 * Validation of containers: names, ports, environment, mounts, probes, hooks; regular, init and
 * ephemeral ones.
 */
#include "api/quantity.h"
#include "api/validation/pod.h"

#define RESTART_RULES_MAX 20
#define EXIT_CODES_MAX 255

/* An ephemeral container's common part has the members of a container, in order. */
_Static_assert(sizeof(Core__V1__EphemeralContainerCommon) == sizeof(Core__V1__Container),
               "ephemeral containers are containers");

void visit_containers(struct pod_check *p, const struct path *at, container_visit *visit)
{
    const Core__V1__PodSpec *spec = p->spec;
    for (size_t i = 0; i < spec->n_init_containers; i++)
        visit(p, ITEM(AT(at, "initContainers"), i), spec->init_containers[i]);
    for (size_t i = 0; i < spec->n_containers; i++)
        visit(p, ITEM(AT(at, "containers"), i), spec->containers[i]);
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
        visit(
            p, ITEM(AT(at, "ephemeralContainers"), i),
            (const Core__V1__Container *)spec->ephemeral_containers[i]->ephemeral_container_common);
}

/* --- probes and hooks ----------------------------------------------------------------------- */

static const char *http_header_name(const char *s)
{
    bool good = *s != 0;
    for (; *s && good; s++)
        good = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
               *s == '-';
    return good ? NULL
                : "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
                  "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
}

static void check_http_get(struct field_errors *e, const struct path *at,
                           const Core__V1__HTTPGetAction *get)
{
    check_required(e, AT(at, "path"), get->path);
    check_port_ref(e, AT(at, "port"), get->port);
    check_one_of(e, AT(at, "scheme"), get->scheme, ONE_OF("HTTP", "HTTPS"));
    for (size_t i = 0; i < get->n_http_headers; i++)
        check_string(e, AT(at, "httpHeaders"), get->http_headers[i]->name, http_header_name);
}

/* What probes and hooks may do; at most one is set. */
struct handler {
    const Core__V1__ExecAction *exec;
    const Core__V1__HTTPGetAction *http_get;
    const Core__V1__TCPSocketAction *tcp_socket;
    const Core__V1__GRPCAction *grpc;
    const Core__V1__SleepAction *sleep;
};

static void check_sleep(struct pod_check *p, const struct path *at, const Core__V1__SleepAction *s)
{
    const Core__V1__PodSpec *spec = p->spec;
    if (spec->has_termination_grace_period_seconds &&
        (s->seconds < 0 || s->seconds > spec->termination_grace_period_seconds))
        err_invalid_int(
            p->e, at, s->seconds,
            arena_printf(p->e->arena,
                         "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                         (long long)spec->termination_grace_period_seconds));
}

static void check_handler(struct pod_check *p, const struct path *at, const struct handler *h)
{
    struct field_errors *e = p->e;
    const struct {
        const void *action;
        const char *name;
    } actions[] = {{h->exec, "exec"},
                   {h->http_get, "httpGet"},
                   {h->tcp_socket, "tcpSocket"},
                   {h->grpc, "grpc"},
                   {h->sleep, "sleep"}};
    const void *first = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (actions[i].action && first)
            err_forbidden(e, AT(at, actions[i].name), "may not specify more than 1 handler type");
        else if (actions[i].action)
            first = actions[i].action;
    }
    if (!first)
        err_required(e, at, "must specify a handler type");
    else if (first == h->exec && h->exec->n_command == 0)
        err_required(e, AT(AT(at, "exec"), "command"), "");
    else if (first == h->http_get)
        check_http_get(e, AT(at, "httpGet"), h->http_get);
    else if (first == h->tcp_socket)
        check_port_ref(e, AT(AT(at, "tcpSocket"), "port"), h->tcp_socket->port);
    else if (first == h->grpc)
        check_port_number(e, AT(AT(at, "grpc"), "port"), h->grpc->port);
    else if (first == h->sleep)
        check_sleep(p, AT(at, "sleep"), h->sleep);
}

enum probe_sort { LIVENESS, READINESS, STARTUP };

static void check_probe(struct pod_check *p, const struct path *at, const Core__V1__Probe *probe,
                        enum probe_sort sort)
{
    struct field_errors *e = p->e;
    if (!probe)
        return;
    const Core__V1__ProbeHandler *h = probe->handler;
    check_handler(p, at,
                  &(struct handler){.exec = h->exec,
                                    .http_get = h->http_get,
                                    .tcp_socket = h->tcp_socket,
                                    .grpc = h->grpc});
    check_non_negative(e, AT(at, "initialDelaySeconds"), probe->initial_delay_seconds);
    check_non_negative(e, AT(at, "timeoutSeconds"), probe->timeout_seconds);
    check_non_negative(e, AT(at, "periodSeconds"), probe->period_seconds);
    check_non_negative(e, AT(at, "successThreshold"), probe->success_threshold);
    check_non_negative(e, AT(at, "failureThreshold"), probe->failure_threshold);
    if (probe->has_termination_grace_period_seconds && probe->termination_grace_period_seconds <= 0)
        err_invalid_int(e, AT(at, "terminationGracePeriodSeconds"),
                        probe->termination_grace_period_seconds, "must be greater than 0");
    if (sort != READINESS && probe->success_threshold != 1)
        err_invalid_int(e, AT(at, "successThreshold"), probe->success_threshold, "must be 1");
    if (sort == READINESS && probe->has_termination_grace_period_seconds)
        err_invalid_int(e, AT(at, "terminationGracePeriodSeconds"),
                        probe->termination_grace_period_seconds,
                        "must not be set for readinessProbes");
}

static void check_hook(struct pod_check *p, const struct path *at,
                       const Core__V1__LifecycleHandler *h)
{
    if (h)
        check_handler(p, at,
                      &(struct handler){.exec = h->exec,
                                        .http_get = h->http_get,
                                        .tcp_socket = h->tcp_socket,
                                        .sleep = h->sleep});
}

static void check_life(struct pod_check *p, const struct path *at, const Core__V1__Container *c)
{
    if (c->lifecycle) {
        check_hook(p, AT(AT(at, "lifecycle"), "postStart"), c->lifecycle->post_start);
        check_hook(p, AT(AT(at, "lifecycle"), "preStop"), c->lifecycle->pre_stop);
    }
    check_probe(p, AT(at, "livenessProbe"), c->liveness_probe, LIVENESS);
    check_probe(p, AT(at, "readinessProbe"), c->readiness_probe, READINESS);
    check_probe(p, AT(at, "startupProbe"), c->startup_probe, STARTUP);
}

/* --- ports ----------------------------------------------------------------------------------- */

static void check_ports(struct field_errors *e, const struct path *at,
                        Core__V1__ContainerPort *const *ports, size_t n)
{
    struct seen names = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__ContainerPort *port = ports[i];
        if (*port->name && check_string(e, AT(item, "name"), port->name, validate_port_name) &&
            seen_again(&names, port->name))
            err_duplicate(e, AT(item, "name"), port->name);
        if (port->container_port == 0)
            err_required(e, AT(item, "containerPort"), "");
        else
            check_port_number(e, AT(item, "containerPort"), port->container_port);
        if (port->host_port != 0)
            check_port_number(e, AT(item, "hostPort"), port->host_port);
        check_required_one_of(e, AT(item, "protocol"), port->protocol,
                              ONE_OF("SCTP", "TCP", "UDP"));
    }
}

static void check_host_ports(struct field_errors *e, const struct path *at,
                             Core__V1__Container *const *containers, size_t n)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < containers[i]->n_ports; k++) {
            const Core__V1__ContainerPort *port = containers[i]->ports[k];
            if (port->host_port == 0)
                continue;
            const char *text =
                arena_printf(e->arena, "%s/%s/%d", port->protocol, port->host_ip, port->host_port);
            if (seen_again(&seen, text))
                err_duplicate(e, AT(ITEM(AT(ITEM(at, i), "ports"), k), "hostPort"), text);
        }
    }
}

/* --- environment ----------------------------------------------------------------------------- */

static const char *const field_labels[] = {
    "metadata.annotations", "metadata.labels",    "metadata.name",
    "metadata.namespace",   "metadata.uid",       "spec.nodeName",
    "spec.restartPolicy",   "spec.schedulerName", "spec.serviceAccountName",
    "status.hostIP",        "status.hostIPs",     "status.phase",
    "status.podIP",         "status.podIPs",      NULL};

/* "metadata.labels['key']" in two; false without a subscript. */
static bool split_subscript(struct arena *a, const char *label, const char **path,
                            const char **subscript)
{
    size_t n = strlen(label);
    const char *open = strstr(label, "['");
    if (!open || open == label || n < 2 || strcmp(label + n - 2, "']") != 0 ||
        (size_t)(open - label) + 4 > n)
        return false;
    *path = arena_strndup(a, label, (size_t)(open - label));
    *subscript = arena_strndup(a, open + 2, n - 2 - (size_t)(open + 2 - label));
    return true;
}

static void check_subscripted(struct field_errors *e, const struct path *at, const char *label,
                              const char *path, const char *subscript)
{
    if (!is_one_of(path, ONE_OF("metadata.annotations", "metadata.labels"))) {
        err_invalid(e, AT(at, "fieldPath"), label,
                    arena_printf(e->arena,
                                 "error converting fieldPath: field label does not support "
                                 "subscript: %s",
                                 label));
        return;
    }
    char *key = arena_strdup(e->arena, subscript);
    for (char *c = key; strcmp(path, "metadata.annotations") == 0 && *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    check_string(e, at, key, validate_qualified_name);
}

void check_object_field(struct field_errors *e, const struct path *at,
                        const Core__V1__ObjectFieldSelector *f, const char *const *allowed)
{
    const char *label = f->field_path, *path, *subscript;
    if (!check_required(e, AT(at, "apiVersion"), f->api_version) ||
        !check_required(e, AT(at, "fieldPath"), f->field_path))
        return;
    const char *problem = NULL;
    if (strcmp(f->api_version, "v1") != 0)
        problem = arena_printf(e->arena, "unsupported pod version: %s", f->api_version);
    else if (split_subscript(e->arena, label, &path, &subscript)) {
        check_subscripted(e, at, label, path, subscript);
        return;
    }
    if (strcmp(label, "spec.host") == 0)
        label = "spec.nodeName";
    if (!problem && !is_one_of(label, field_labels))
        problem = arena_printf(e->arena, "field label not supported: %s", label);
    if (problem)
        err_invalid(e, AT(at, "fieldPath"), f->field_path,
                    arena_printf(e->arena, "error converting fieldPath: %s", problem));
    else
        check_one_of(e, AT(at, "fieldPath"), label, allowed);
}

static void check_divisor(struct field_errors *e, const struct path *at, const char *resource,
                          const char *divisor)
{
    static const char *const sizes[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
#define SIZES                                                                            \
    "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are " \
    "supported with the "
    if (!divisor || quantity_is_zero(quantity_of(divisor)))
        return;
    const char *name = strchr(resource, '.');
    name = name ? name + 1 : resource;
    const char *message = NULL;
    if (strcmp(name, "cpu") == 0 && !is_one_of(divisor, ONE_OF("1", "1m")))
        message = "only divisor's values 1m and 1 are supported with the cpu resource";
    else if (strcmp(name, "memory") == 0 && !is_one_of(divisor, sizes))
        message = SIZES "memory resource";
    else if (strcmp(name, "ephemeral-storage") == 0 && !is_one_of(divisor, sizes))
        message = SIZES "local ephemeral storage resource";
    else if (strncmp(name, "hugepages-", 10) == 0 && !is_one_of(divisor, sizes))
        message = SIZES "hugepages resource";
    if (message)
        err_invalid(e, AT(at, "divisor"), resource, message);
}

void check_resource_field(struct field_errors *e, const struct path *at,
                          const Core__V1__ResourceFieldSelector *r, bool volume)
{
    static const char *const names[] = {"limits.cpu",
                                        "limits.ephemeral-storage",
                                        "limits.memory",
                                        "requests.cpu",
                                        "requests.ephemeral-storage",
                                        "requests.memory",
                                        NULL};
    if (volume && !*r->container_name)
        err_required(e, AT(at, "containerName"), "");
    else if (!*r->resource)
        err_required(e, AT(at, "resource"), "");
    else if (strncmp(r->resource, "limits.hugepages-", 17) != 0 &&
             strncmp(r->resource, "requests.hugepages-", 19) != 0)
        check_one_of(e, AT(at, "resource"), r->resource, names);
    check_divisor(e, at, r->resource, r->divisor ? r->divisor->string : NULL);
}

static void check_key_ref(struct field_errors *e, const struct path *at, const char *name,
                          const char *key)
{
    check_string(e, AT(at, "name"), name, validate_dns1123_subdomain);
    check_required_string(e, AT(at, "key"), key, validate_config_map_key);
}

static void check_file_key(struct pod_check *p, const struct path *at,
                           const Core__V1__FileKeySelector *f)
{
    struct field_errors *e = p->e;
    check_required(e, AT(at, "volumeName"), f->volume_name);
    if (check_required(e, AT(at, "path"), f->path))
        check_local_path(e, AT(at, "path"), f->path);
    check_required_string(e, AT(at, "key"), f->key, validate_env_var_name);
}

static void check_env_source(struct pod_check *p, const struct path *at,
                             const Core__V1__EnvVar *var)
{
    static const char *const paths[] = {"metadata.name",
                                        "metadata.namespace",
                                        "metadata.uid",
                                        "spec.nodeName",
                                        "spec.serviceAccountName",
                                        "status.hostIP",
                                        "status.hostIPs",
                                        "status.podIP",
                                        "status.podIPs",
                                        NULL};
    struct field_errors *e = p->e;
    const Core__V1__EnvVarSource *s = var->value_from;
    int count = !!s->field_ref + !!s->resource_field_ref + !!s->config_map_key_ref +
                !!s->secret_key_ref + !!s->file_key_ref;
    if (s->field_ref)
        check_object_field(e, AT(at, "fieldRef"), s->field_ref, paths);
    if (s->resource_field_ref)
        check_resource_field(e, AT(at, "resourceFieldRef"), s->resource_field_ref, false);
    if (s->config_map_key_ref)
        check_key_ref(e, AT(at, "configMapKeyRef"),
                      s->config_map_key_ref->local_object_reference->name,
                      s->config_map_key_ref->key);
    if (s->secret_key_ref)
        check_key_ref(e, AT(at, "secretKeyRef"), s->secret_key_ref->local_object_reference->name,
                      s->secret_key_ref->key);
    if (s->file_key_ref)
        check_file_key(p, AT(at, "fileKeyRef"), s->file_key_ref);
    if (count == 0)
        err_invalid(e, at, "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                    "`secretKeyRef` or `fileKeyRef`");
    else if (*var->value)
        err_invalid(e, at, "", "may not be specified when `value` is not empty");
    else if (count > 1)
        err_invalid(e, at, "", "may not have more than one field specified at a time");
}

static void check_env(struct pod_check *p, const struct path *at, Core__V1__EnvVar *const *vars,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_required_string(p->e, AT(ITEM(at, i), "name"), vars[i]->name, validate_env_var_name);
        if (vars[i]->value_from)
            check_env_source(p, AT(ITEM(at, i), "valueFrom"), vars[i]);
    }
}

static void check_env_from(struct field_errors *e, const struct path *at,
                           Core__V1__EnvFromSource *const *sources, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__EnvFromSource *s = sources[i];
        check_optional(e, AT(item, "prefix"), s->prefix, validate_env_var_name);
        if (s->config_map_ref)
            check_required_string(e, AT(AT(item, "configMapRef"), "name"),
                                  s->config_map_ref->local_object_reference->name,
                                  validate_dns1123_subdomain);
        if (s->secret_ref)
            check_required_string(e, AT(AT(item, "secretRef"), "name"),
                                  s->secret_ref->local_object_reference->name,
                                  validate_dns1123_subdomain);
        if (!s->config_map_ref && !s->secret_ref)
            err_invalid(e, at, "", "must specify one of: `configMapRef` or `secretRef`");
        else if (s->config_map_ref && s->secret_ref)
            err_invalid(e, at, "", "may not have more than one field specified at a time");
    }
}

/* --- mounts and devices ---------------------------------------------------------------------- */

static const Core__V1__VolumeSource *volume_named(const struct pod_check *p, const char *name)
{
    return seen_value(&p->volumes, name);
}

static void check_propagation(struct field_errors *e, const struct path *at,
                              const Core__V1__VolumeMount *m, const Core__V1__Container *c)
{
    const Core__V1__SecurityContext *s = c->security_context;
    const struct path *read_only = AT(at, "recursiveReadOnly");
    if (m->mount_propagation) {
        const struct path *mode = AT(at, "mountPropagation");
        check_one_of(e, mode, m->mount_propagation,
                     ONE_OF("Bidirectional", "HostToContainer", "None"));
        if (strcmp(m->mount_propagation, "Bidirectional") == 0 &&
            !(s && s->has_privileged && s->privileged))
            err_forbidden(e, mode,
                          "Bidirectional mount propagation is available only to privileged "
                          "containers");
    }
    if (!m->recursive_read_only || strcmp(m->recursive_read_only, "Disabled") == 0)
        return;
    if (!check_one_of(e, read_only, m->recursive_read_only,
                      ONE_OF("Disabled", "Enabled", "IfPossible")))
        return;
    if (!m->read_only)
        err_forbidden(e, read_only, "may only be specified when readOnly is true");
    if (m->mount_propagation && strcmp(m->mount_propagation, "None") != 0)
        err_forbidden(e, read_only,
                      "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_paths(struct field_errors *e, const struct path *at, const struct path *item,
                            const Core__V1__VolumeMount *m)
{
    if (*m->sub_path)
        check_descending_path(e, AT(at, "subPath"), m->sub_path);
    if (!*m->sub_path_expr)
        return;
    if (*m->sub_path)
        err_invalid(e, AT(item, "subPathExpr"), m->sub_path_expr,
                    "subPathExpr and subPath are mutually exclusive");
    check_descending_path(e, AT(at, "subPathExpr"), m->sub_path_expr);
}

/* What one list of a container says of another: names, and paths in the container. */
struct places {
    struct seen names, paths;
};

static struct places places_of_devices(struct arena *a, const Core__V1__Container *c)
{
    struct places out = {.names.arena = a, .paths.arena = a};
    for (size_t i = 0; i < c->n_volume_devices; i++) {
        seen_again(&out.names, c->volume_devices[i]->name);
        seen_again(&out.paths, c->volume_devices[i]->device_path);
    }
    return out;
}

static struct places places_of_mounts(struct arena *a, const Core__V1__Container *c)
{
    struct places out = {.names.arena = a, .paths.arena = a};
    for (size_t i = 0; i < c->n_volume_mounts; i++) {
        seen_again(&out.names, c->volume_mounts[i]->name);
        seen_again(&out.paths, c->volume_mounts[i]->mount_path);
    }
    return out;
}

/* Upstream says subPath, mountPropagation and recursiveReadOnly of the list, not of the mount. */
static void check_mounts(struct pod_check *p, const struct path *at, const Core__V1__Container *c)
{
    struct field_errors *e = p->e;
    const struct places devices = places_of_devices(e->arena, c);
    struct seen paths = {.arena = e->arena};
    for (size_t i = 0; i < c->n_volume_mounts; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__VolumeMount *m = c->volume_mounts[i];
        const Core__V1__VolumeSource *source = volume_named(p, m->name);
        check_required(e, AT(item, "name"), m->name);
        if (!source)
            err_not_found(e, AT(item, "name"), m->name);
        check_required(e, AT(item, "mountPath"), m->mount_path);
        if (seen_again(&paths, m->mount_path))
            err_invalid(e, AT(item, "mountPath"), m->mount_path, "must be unique");
        if (seen_has(&devices.names, m->name))
            err_invalid(e, AT(item, "name"), m->name, "must not already exist in volumeDevices");
        if (seen_has(&devices.paths, m->mount_path))
            err_invalid(e, AT(item, "mountPath"), m->mount_path,
                        "must not already exist as a path in volumeDevices");
        check_sub_paths(e, at, item, m);
        check_propagation(e, at, m, c);
    }
}

static void check_devices(struct pod_check *p, const struct path *at, const Core__V1__Container *c)
{
    struct field_errors *e = p->e;
    const struct places mounts = places_of_mounts(e->arena, c);
    struct seen names = {.arena = e->arena}, paths = {.arena = e->arena};
    for (size_t i = 0; i < c->n_volume_devices; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__VolumeDevice *d = c->volume_devices[i];
        const Core__V1__VolumeSource *source = volume_named(p, d->name);
        if (check_required(e, AT(item, "name"), d->name) && seen_again(&names, d->name))
            err_invalid(e, AT(item, "name"), d->name, "must be unique");
        if (!source)
            err_not_found(e, AT(item, "name"), d->name);
        else if (!source->persistent_volume_claim && !source->ephemeral)
            err_invalid(e, AT(item, "name"), d->name,
                        "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                        "block mode");
        bool backsteps = has_parent_step(d->device_path);
        check_required(e, AT(item, "devicePath"), d->device_path);
        if (backsteps ? seen_has(&paths, d->device_path) : seen_again(&paths, d->device_path))
            err_invalid(e, AT(item, "devicePath"), d->device_path, "must be unique");
        if (backsteps)
            err_invalid(e, AT(item, "devicePath"), d->device_path,
                        "can not contain backsteps ('..')");
        if (seen_has(&mounts.names, d->name))
            err_invalid(e, AT(item, "name"), d->name, "must not already exist in volumeMounts");
        if (seen_has(&mounts.paths, d->device_path))
            err_invalid(e, AT(item, "devicePath"), d->device_path,
                        "must not already exist as a path in volumeMounts");
    }
}

/* --- containers ------------------------------------------------------------------------------ */

void check_image_spaces(struct field_errors *e, const struct path *at, const char *image)
{
    struct str s = str_from(image);
    if (str_trim(s).n != s.n)
        err_invalid(e, at, image, "must not have leading or trailing whitespace");
}

void check_pull_policy(struct field_errors *e, const struct path *at, const char *policy)
{
    check_required_one_of(e, at, policy, ONE_OF("Always", "IfNotPresent", "Never"));
}

static void check_resize_policy(struct pod_check *p, const struct path *at,
                                const Core__V1__Container *c)
{
    struct field_errors *e = p->e;
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < c->n_resize_policy; i++) {
        const Core__V1__ContainerResizePolicy *r = c->resize_policy[i];
        if (seen_again(&seen, r->resource_name))
            err_duplicate(e, ITEM(at, i), r->resource_name);
        check_required_one_of(e, at, r->resource_name, ONE_OF("cpu", "memory"));
        check_required_one_of(e, at, r->restart_policy, ONE_OF("NotRequired", "RestartContainer"));
        if (strcmp(p->spec->restart_policy, "Never") == 0 &&
            strcmp(r->restart_policy, "NotRequired") != 0)
            err_invalid(e, at, r->restart_policy,
                        "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_restart_rule(struct field_errors *e, const struct path *at,
                               const Core__V1__ContainerRestartRule *r)
{
    check_one_of(e, AT(at, "action"), r->action, ONE_OF("Restart", "RestartAllContainers"));
    if (!r->exit_codes) {
        err_required(e, AT(at, "exitCodes"), "must be specified");
        return;
    }
    const struct path *codes = AT(at, "exitCodes");
    check_one_of(e, AT(codes, "operator"), r->exit_codes->operator_, ONE_OF("In", "NotIn"));
    if (r->exit_codes->n_values > EXIT_CODES_MAX)
        err_too_many(e, AT(codes, "values"), r->exit_codes->n_values, EXIT_CODES_MAX);
    else if (r->exit_codes->n_values == 0)
        err_required(e, AT(codes, "values"), "must have at least one value");
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < r->exit_codes->n_values; i++) {
        if (seen_number_again(&seen, r->exit_codes->values[i]))
            err_duplicate_raw(e, ITEM(AT(codes, "values"), i),
                              arena_printf(e->arena, "%d", r->exit_codes->values[i]));
    }
}

/* The container's own restart policy, which init containers had first. */
static void check_restart(struct field_errors *e, const struct path *at,
                          const Core__V1__Container *c)
{
    if (c->restart_policy)
        check_one_of(e, AT(at, "restartPolicy"), c->restart_policy,
                     ONE_OF("Always", "Never", "OnFailure"));
    if (c->n_restart_policy_rules == 0)
        return;
    const struct path *rules = AT(at, "restartPolicyRules");
    if (!c->restart_policy)
        err_required(e, AT(at, "restartPolicy"),
                     "must specify restartPolicy when restart rules "
                     "are used");
    if (c->n_restart_policy_rules > RESTART_RULES_MAX)
        err_too_many(e, rules, c->n_restart_policy_rules, RESTART_RULES_MAX);
    for (size_t i = 0; i < c->n_restart_policy_rules; i++)
        check_restart_rule(e, ITEM(rules, i), c->restart_policy_rules[i]);
}

static void check_common(struct pod_check *p, const struct path *at, const Core__V1__Container *c)
{
    struct field_errors *e = p->e;
    check_required_string(e, AT(at, "name"), c->name, validate_dns1123_label);
    check_required(e, AT(at, "image"), c->image);
    check_required_one_of(e, AT(at, "terminationMessagePolicy"), c->termination_message_policy,
                          ONE_OF("File", "FallbackToLogsOnError"));
    check_ports(e, AT(at, "ports"), c->ports, c->n_ports);
    check_env(p, AT(at, "env"), c->env, c->n_env);
    check_env_from(e, AT(at, "envFrom"), c->env_from, c->n_env_from);
    check_mounts(p, AT(at, "volumeMounts"), c);
    check_devices(p, AT(at, "volumeDevices"), c);
    check_pull_policy(e, AT(at, "imagePullPolicy"), c->image_pull_policy);
    check_container_resources(p, AT(at, "resources"), c->resources);
    check_resize_policy(p, AT(at, "resizePolicy"), c);
    check_security_context(p, AT(at, "securityContext"), c->security_context);
}

struct seen container_names(struct arena *a, const Core__V1__PodSpec *spec)
{
    struct seen out = {.arena = a};
    for (size_t i = 0; i < spec->n_containers; i++)
        seen_again(&out, spec->containers[i]->name);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        seen_again(&out, spec->init_containers[i]->name);
    return out;
}

void check_containers(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    if (spec->n_containers == 0)
        err_required(e, at, "");
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_containers; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Container *c = spec->containers[i];
        check_common(p, item, c);
        if (seen_again(&seen, c->name))
            err_duplicate(e, AT(item, "name"), c->name);
        check_life(p, item, c);
        check_restart(e, item, c);
    }
    check_host_ports(e, at, spec->containers, spec->n_containers);
}

static void check_no_life(struct field_errors *e, const struct path *at,
                          const Core__V1__Container *c)
{
    const struct {
        const void *set;
        const char *name;
    } fields[] = {{c->lifecycle, "lifecycle"},
                  {c->liveness_probe, "livenessProbe"},
                  {c->readiness_probe, "readinessProbe"},
                  {c->startup_probe, "startupProbe"}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].set)
            err_forbidden(e, AT(at, fields[i].name),
                          "may not be set for init containers without restartPolicy=Always");
    }
}

void check_init_containers(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_containers; i++)
        seen_again(&seen, spec->containers[i]->name);
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Container *c = spec->init_containers[i];
        check_common(p, item, c);
        check_restart(e, item, c);
        if (*c->name && seen_again(&seen, c->name))
            err_duplicate(e, AT(item, "name"), c->name);
        check_host_ports(e, at, &spec->init_containers[i], 1);
        if (c->restart_policy && strcmp(c->restart_policy, "Always") == 0)
            check_life(p, item, c);
        else
            check_no_life(e, item, c);
    }
}

/* Ephemeral containers get no guarantees: nothing that would promise some. */
static void check_ephemeral_fields(struct field_errors *e, const struct path *at,
                                   const Core__V1__Container *c)
{
    const struct {
        bool set;
        const char *name;
    } fields[] = {
        {c->n_ports > 0, "ports"},
        {c->resources &&
             c->resources->n_limits + c->resources->n_requests + c->resources->n_claims > 0,
         "resources"},
        {c->n_resize_policy > 0, "resizePolicy"},
        {c->restart_policy != NULL, "restartPolicy"},
        {c->n_restart_policy_rules > 0, "restartPolicyRules"},
        {c->liveness_probe != NULL, "livenessProbe"},
        {c->readiness_probe != NULL, "readinessProbe"},
        {c->startup_probe != NULL, "startupProbe"},
        {c->lifecycle != NULL, "lifecycle"}};
    static const char message[] = "cannot be set for an Ephemeral Container";
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].set)
            err_forbidden(e, AT(at, fields[i].name), message);
    }
    for (size_t i = 0; i < c->n_volume_mounts; i++) {
        const struct path *mount = ITEM(AT(at, "volumeMounts"), i);
        if (*c->volume_mounts[i]->sub_path)
            err_forbidden(e, AT(mount, "subPath"), message);
        if (*c->volume_mounts[i]->sub_path_expr)
            err_forbidden(e, AT(mount, "subPathExpr"), message);
    }
}

void check_ephemeral_containers(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    const struct seen targets = container_names(e->arena, spec);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__EphemeralContainer *ec = spec->ephemeral_containers[i];
        const Core__V1__Container *c = (const Core__V1__Container *)ec->ephemeral_container_common;
        check_common(p, item, c);
        check_image_spaces(e, AT(item, "image"), c->image);
        bool twice = seen_again(&seen, c->name);
        if (twice || seen_has(&targets, c->name))
            err_duplicate(e, AT(item, "name"), c->name);
        const char *target = ec->target_container_name;
        if (*target && !seen_has(&targets, target))
            err_not_found(e, AT(item, "targetContainerName"), target);
        check_ephemeral_fields(e, item, c);
    }
}
