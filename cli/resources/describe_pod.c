/*
 * c8s describe pod, and pod templates.
 */
#include "cli/resources/describe.h"

#include "api/meta.h"
#include "base/mem.h"
#include <stdio.h>

/* -------------------------------------------------------------------------------------- state --- */

static void write_terminated(struct writer *w, int level,
                             const Core__V1__ContainerStateTerminated *t)
{
    if (*t->reason)
        write_line(w, level, "Reason:\t%s", t->reason);
    if (*t->message)
        write_line(w, level, "Message:\t%s", t->message);
    write_line(w, level, "Exit Code:\t%d", t->exit_code);
    if (t->signal > 0)
        write_line(w, level, "Signal:\t%d", t->signal);
    write_line(w, level, "Started:\t%s", date_text(w, t->started_at));
    write_line(w, level, "Finished:\t%s", date_text(w, t->finished_at));
}

static void write_state(struct writer *w, const char *label, const Core__V1__ContainerState *s)
{
    if (s && s->running) {
        write_line(w, 2, "%s:\tRunning", label);
        write_line(w, 3, "Started:\t%s", date_text(w, s->running->started_at));
    } else if (s && s->terminated) {
        write_line(w, 2, "%s:\tTerminated", label);
        write_terminated(w, 3, s->terminated);
    } else if (s && s->waiting) {
        write_line(w, 2, "%s:\tWaiting", label);
        if (*s->waiting->reason)
            write_line(w, 3, "Reason:\t%s", s->waiting->reason);
    } else if (strcmp(label, "State") == 0) {
        write_line(w, 2, "%s:\tWaiting", label);
    }
}

/* ---------------------------------------------------------------------------------- containers --- */

static const char *env_source(struct writer *w, const Core__V1__EnvVarSource *from)
{
    struct arena *a = &w->s->arena;
    if (from->field_ref)
        return arena_printf(a, " (%s:%s)", from->field_ref->api_version,
                            from->field_ref->field_path);
    if (from->resource_field_ref)
        return arena_printf(a, " (%s)", from->resource_field_ref->resource);
    if (from->secret_key_ref)
        return arena_printf(a, "<set to the key '%s' in secret '%s'>", from->secret_key_ref->key,
                            from->secret_key_ref->local_object_reference->name);
    if (from->config_map_key_ref)
        return arena_printf(a, "<set to the key '%s' of config map '%s'>",
                            from->config_map_key_ref->key,
                            from->config_map_key_ref->local_object_reference->name);
    return "";
}

static void write_environment(struct writer *w, const Core__V1__Container *c)
{
    write_line(w, 2, "Environment:%s", c->n_env ? "" : "\t<none>");
    for (size_t i = 0; i < c->n_env; i++)
        write_line(w, 3, "%s:\t%s", c->env[i]->name,
                   c->env[i]->value_from ? env_source(w, c->env[i]->value_from) : c->env[i]->value);
    if (!c->n_volume_mounts)
        write_line(w, 2, "Mounts:\t<none>");
    else
        write_line(w, 2, "Mounts:");
    for (size_t i = 0; i < c->n_volume_mounts; i++)
        write_line(w, 3, "%s from %s (%s)", c->volume_mounts[i]->mount_path,
                   c->volume_mounts[i]->name, c->volume_mounts[i]->read_only ? "ro" : "rw");
}

static const char *probe_text(struct writer *w, const Core__V1__Probe *p)
{
    struct arena *a = &w->s->arena;
    const Core__V1__ProbeHandler *h = p->handler;
    const char *what = "unknown";
    if (h && h->exec)
        what = "exec";
    else if (h && h->http_get)
        what = arena_printf(a, "http-get http://%s:%s%s", h->http_get->host,
                            int_or_string_text(a, h->http_get->port), h->http_get->path);
    else if (h && h->tcp_socket)
        what = arena_printf(a, "tcp-socket %s:%s", h->tcp_socket->host,
                            int_or_string_text(a, h->tcp_socket->port));
    else if (h && h->grpc)
        what = arena_printf(a, "grpc <pod>:%d", h->grpc->port);
    return arena_printf(a, "%s delay=%ds timeout=%ds period=%ds #success=%d #failure=%d", what,
                        p->initial_delay_seconds, p->timeout_seconds, p->period_seconds,
                        p->success_threshold, p->failure_threshold);
}

static void write_probes(struct writer *w, const Core__V1__Container *c)
{
    if (c->liveness_probe)
        write_line(w, 2, "Liveness:\t%s", probe_text(w, c->liveness_probe));
    if (c->readiness_probe)
        write_line(w, 2, "Readiness:\t%s", probe_text(w, c->readiness_probe));
    if (c->startup_probe)
        write_line(w, 2, "Startup:\t%s", probe_text(w, c->startup_probe));
}

static void write_ports(struct writer *w, const Core__V1__Container *c)
{
    struct buf ports, host;
    buf_init(&ports);
    buf_init(&host);
    for (size_t i = 0; i < c->n_ports; i++) {
        const Core__V1__ContainerPort *p = c->ports[i];
        buf_printf(&ports, "%s%d/%s%s%s%s", i ? ", " : "", p->container_port, p->protocol,
                   *p->name ? " (" : "", p->name, *p->name ? ")" : "");
        buf_printf(&host, "%s%d/%s%s%s%s", i ? ", " : "", p->host_port, p->protocol,
                   *p->name ? " (" : "", p->name, *p->name ? ")" : "");
    }
    const char *s = c->n_ports > 1 ? "s" : "";
    write_line(w, 2, "Port%s:\t%s", s, c->n_ports ? buf_cstr(&ports) : "<none>");
    write_line(w, 2, "Host Port%s:\t%s", s, c->n_ports ? buf_cstr(&host) : "<none>");
    buf_free(&ports);
    buf_free(&host);
}

static const Core__V1__ContainerStatus *status_of(Core__V1__ContainerStatus *const *all, size_t n,
                                                  const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static void write_container(struct writer *w, const Core__V1__Container *c,
                            const Core__V1__ContainerStatus *status)
{
    write_line(w, 1, "%s:", c->name);
    if (status)
        write_line(w, 2, "Container ID:\t%s", status->container_id);
    write_line(w, 2, "Image:\t%s", c->image);
    if (status)
        write_line(w, 2, "Image ID:\t%s", status->image_id);
    write_ports(w, c);
    write_list(w, 2, "Command", c->command, c->n_command);
    write_list(w, 2, "Args", c->args, c->n_args);
    if (status) {
        write_state(w, "State", status->state);
        write_state(w, "Last State", status->last_state);
        write_line(w, 2, "Ready:\t%s", status->ready ? "True" : "False");
        write_line(w, 2, "Restart Count:\t%d", status->restart_count);
    }
    write_quantities(w, 2, "Limits", c->resources->limits, c->resources->n_limits);
    write_quantities(w, 2, "Requests", c->resources->requests, c->resources->n_requests);
    write_probes(w, c);
    write_environment(w, c);
}

static void write_containers(struct writer *w, const char *label,
                             Core__V1__Container *const *containers, size_t n,
                             Core__V1__ContainerStatus *const *statuses, size_t statuses_len)
{
    if (!n)
        return;
    write_line(w, 0, "%s:", label);
    for (size_t i = 0; i < n; i++)
        write_container(w, containers[i], status_of(statuses, statuses_len, containers[i]->name));
}

/* ------------------------------------------------------------------------------------- volumes --- */

static void write_volume(struct writer *w, const Core__V1__Volume *v)
{
    const Core__V1__VolumeSource *s = v->volume_source;
    write_line(w, 1, "%s:", v->name);
    if (s->host_path) {
        write_line(w, 2, "Type:\tHostPath (bare host directory volume)");
        write_line(w, 2, "Path:\t%s", s->host_path->path);
    } else if (s->empty_dir) {
        write_line(w, 2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)");
        write_line(w, 2, "Medium:\t%s", s->empty_dir->medium);
    } else if (s->secret) {
        write_line(w, 2, "Type:\tSecret (a volume populated by a Secret)");
        write_line(w, 2, "SecretName:\t%s", s->secret->secret_name);
    } else if (s->config_map) {
        write_line(w, 2, "Type:\tConfigMap (a volume populated by a ConfigMap)");
        write_line(w, 2, "Name:\t%s", s->config_map->local_object_reference->name);
    } else if (s->projected) {
        write_line(w, 2,
                   "Type:\tProjected (a volume that contains injected data from multiple sources)");
        write_line(w, 2, "Sources:\t%zu", s->projected->n_sources);
    } else if (s->persistent_volume_claim) {
        write_line(w, 2, "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim)");
        write_line(w, 2, "ClaimName:\t%s", s->persistent_volume_claim->claim_name);
    } else {
        write_line(w, 2, "Type:\t<unknown>");
    }
}

static void write_volumes(struct writer *w, const Core__V1__PodSpec *spec)
{
    write_line(w, 0, "Volumes:%s", spec->n_volumes ? "" : "\t<none>");
    for (size_t i = 0; i < spec->n_volumes; i++)
        write_volume(w, spec->volumes[i]);
}

static const char *toleration_text(struct writer *w, const Core__V1__Toleration *t)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, t->key);
    if (*t->value)
        buf_printf(&b, "=%s", t->value);
    if (*t->effect)
        buf_printf(&b, ":%s", t->effect);
    if (strcmp(t->operator_, "Exists") == 0 && !*t->value)
        buf_printf(&b, "%s op=Exists", b.len ? "" : "");
    if (t->has_toleration_seconds)
        buf_printf(&b, " for %llds", (long long)t->toleration_seconds);
    const char *text = arena_strndup(&w->s->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static void write_tolerations(struct writer *w, const Core__V1__PodSpec *spec)
{
    if (!spec->n_tolerations)
        write_line(w, 0, "Tolerations:\t<none>");
    for (size_t i = 0; i < spec->n_tolerations; i++)
        write_line(w, 0, "%s\t%s",
                   i ? "" : "Tolerations:", toleration_text(w, spec->tolerations[i]));
}

/* ----------------------------------------------------------------------------------------- pod --- */

static void write_heading(struct writer *w, const Core__V1__Pod *pod)
{
    const Meta__V1__ObjectMeta *m = pod->metadata;
    const Core__V1__PodStatus *s = pod->status;
    write_line(w, 0, "Name:\t%s", m->name);
    write_line(w, 0, "Namespace:\t%s", m->namespace_);
    write_line(w, 0, "Priority:\t%d", api_get(pod->spec, priority, 0));
    if (*pod->spec->priority_class_name)
        write_line(w, 0, "Priority Class Name:\t%s", pod->spec->priority_class_name);
    if (*pod->spec->service_account_name)
        write_line(w, 0, "Service Account:\t%s", pod->spec->service_account_name);
    if (*pod->spec->node_name)
        write_line(w, 0, "Node:\t%s/%s", pod->spec->node_name, s->host_ip);
    else
        write_line(w, 0, "Node:\t<none>");
    if (!time_is_zero(s->start_time))
        write_line(w, 0, "Start Time:\t%s", date_text(w, s->start_time));
    write_map(w, 0, "Labels", m->labels, m->n_labels);
    write_map(w, 0, "Annotations", m->annotations, m->n_annotations);
    if (!time_is_zero(m->deletion_timestamp)) {
        write_line(w, 0, "Status:\tTerminating (lasts %s)", age_text(w, m->deletion_timestamp));
        write_line(w, 0, "Termination Grace Period:\t%llds",
                   (long long)api_get(m, deletion_grace_period_seconds, 0));
    } else {
        write_line(w, 0, "Status:\t%s", s->phase);
    }
    if (*s->reason)
        write_line(w, 0, "Reason:\t%s", s->reason);
    if (*s->message)
        write_line(w, 0, "Message:\t%s", s->message);
    write_line(w, 0, "IP:\t%s", s->pod_ip);
    write_line(w, 0, "IPs:%s", s->n_pod_ips ? "" : "\t<none>");
    for (size_t i = 0; i < s->n_pod_ips; i++)
        write_line(w, 1, "IP:\t%s", s->pod_ips[i]->ip);
    const Meta__V1__OwnerReference *owner = controller_of(m);
    if (owner)
        write_line(w, 0, "Controlled By:\t%s/%s", owner->kind, owner->name);
}

void describe_pod(struct writer *w, const Core__V1__Pod *pod)
{
    const Core__V1__PodSpec *spec = pod->spec;
    const Core__V1__PodStatus *s = pod->status;
    write_heading(w, pod);
    write_containers(w, "Init Containers", spec->init_containers, spec->n_init_containers,
                     s->init_container_statuses, s->n_init_container_statuses);
    write_containers(w, "Containers", spec->containers, spec->n_containers, s->container_statuses,
                     s->n_container_statuses);
    if (s->n_conditions) {
        write_line(w, 0, "Conditions:");
        write_line(w, 1, "Type\tStatus");
        for (size_t i = 0; i < s->n_conditions; i++)
            write_line(w, 1, "%s\t%s ", s->conditions[i]->type, s->conditions[i]->status);
    }
    write_volumes(w, spec);
    if (*s->qos_class)
        write_line(w, 0, "QoS Class:\t%s", s->qos_class);
    write_map(w, 0, "Node-Selectors", spec->node_selector, spec->n_node_selector);
    write_tolerations(w, spec);
    write_events(w, pod->metadata->namespace_, "Pod", pod->metadata->name, pod->metadata->uid);
}

void describe_template(struct writer *w, const Core__V1__PodTemplateSpec *t)
{
    write_line(w, 0, "Pod Template:");
    write_map(w, 1, "Labels", t->metadata->labels, t->metadata->n_labels);
    if (t->metadata->n_annotations)
        write_map(w, 1, "Annotations", t->metadata->annotations, t->metadata->n_annotations);
    if (*t->spec->service_account_name)
        write_line(w, 1, "Service Account:\t%s", t->spec->service_account_name);
    if (t->spec->n_init_containers)
        write_line(w, 1, "Init Containers:");
    for (size_t i = 0; i < t->spec->n_init_containers; i++)
        write_container(w, t->spec->init_containers[i], NULL);
    write_line(w, 1, "Containers:");
    for (size_t i = 0; i < t->spec->n_containers; i++)
        write_container(w, t->spec->containers[i], NULL);
    write_volumes(w, t->spec);
    write_map(w, 1, "Node-Selectors", t->spec->node_selector, t->spec->n_node_selector);
    write_tolerations(w, t->spec);
}
