/*
 * Defaults of pods and of everything a pod spec holds.
 */
#include "api/defaults/defaults.h"
#include "api/defaults/internal.h"
#include "api/meta.h"

#define FILE_MODE 0644

const char *default_pull_policy(const char *image)
{
    if (strchr(image, '@'))
        return "IfNotPresent";
    const char *last = strrchr(image, '/'); /* a registry's port is no tag */
    const char *tag = strchr(last ? last : image, ':');
    return !tag || strcmp(tag, ":latest") == 0 ? "Always" : "IfNotPresent";
}

static void field_ref(Core__V1__ObjectFieldSelector *ref)
{
    if (ref)
        default_string(&ref->api_version, "v1");
}

static void http_get(Core__V1__HTTPGetAction *get)
{
    if (!get)
        return;
    default_string(&get->path, "/");
    default_string(&get->scheme, "HTTP");
}

static void probe(Core__V1__Probe *p)
{
    if (!p)
        return;
    default_i32(&p->timeout_seconds, 1);
    default_i32(&p->period_seconds, 10);
    default_i32(&p->success_threshold, 1);
    default_i32(&p->failure_threshold, 3);
    http_get(p->handler->http_get);
    if (p->handler->grpc && !p->handler->grpc->service)
        p->handler->grpc->service = (char *)"";
}

static void lifecycle(Core__V1__Lifecycle *l)
{
    if (!l)
        return;
    if (l->post_start)
        http_get(l->post_start->http_get);
    if (l->pre_stop)
        http_get(l->pre_stop->http_get);
}

static void env(Core__V1__EnvVar **vars, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (vars[i]->value_from)
            field_ref(vars[i]->value_from->field_ref);
    }
}

static void ports(Core__V1__ContainerPort **list, size_t n, bool host_network)
{
    for (size_t i = 0; i < n; i++) {
        default_string(&list[i]->protocol, "TCP");
        if (host_network)
            default_i32(&list[i]->host_port, list[i]->container_port);
    }
}

static void container(Core__V1__Container *c, bool host_network)
{
    default_string(&c->image_pull_policy, default_pull_policy(c->image));
    default_string(&c->termination_message_path, "/dev/termination-log");
    default_string(&c->termination_message_policy, "File");
    ports(c->ports, c->n_ports, host_network);
    env(c->env, c->n_env);
    probe(c->liveness_probe);
    probe(c->readiness_probe);
    probe(c->startup_probe);
    lifecycle(c->lifecycle);
}

static void ephemeral_container(Core__V1__EphemeralContainerCommon *c)
{
    default_string(&c->image_pull_policy, default_pull_policy(c->image));
    default_string(&c->termination_message_path, "/dev/termination-log");
    default_string(&c->termination_message_policy, "File");
    ports(c->ports, c->n_ports, false);
    env(c->env, c->n_env);
}

static void downward_items(Core__V1__DownwardAPIVolumeFile **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        field_ref(items[i]->field_ref);
}

static void projected(Core__V1__ProjectedVolumeSource *p)
{
    default_opt(p, default_mode, FILE_MODE);
    for (size_t i = 0; i < p->n_sources; i++) {
        Core__V1__VolumeProjection *source = p->sources[i];
        if (source->service_account_token)
            default_opt(source->service_account_token, expiration_seconds, 3600);
        if (source->downward_api)
            downward_items(source->downward_api->items, source->downward_api->n_items);
    }
}

/* Is no member of the source set? Every member is a pointer. */
static bool source_is_empty(const Core__V1__VolumeSource *v)
{
    const struct schema_message *m = schema_get(Core__V1__VolumeSource__SCHEMA);
    for (unsigned i = 0; i < m->field_count; i++) {
        if (*(void *const *)((const char *)v + schema_field_at(m, i)->offset))
            return false;
    }
    return true;
}

static void rare_volumes(Core__V1__VolumeSource *v)
{
    if (v->iscsi)
        default_string(&v->iscsi->iscsi_interface, "default");
    if (v->rbd) {
        default_string(&v->rbd->pool, "rbd");
        default_string(&v->rbd->user, "admin");
        default_string(&v->rbd->keyring, "/etc/ceph/keyring");
    }
    if (v->scale_io) {
        default_string(&v->scale_io->storage_mode, "ThinProvisioned");
        default_string(&v->scale_io->fs_type, "xfs");
    }
    if (v->azure_disk) {
        default_pointer_string(&v->azure_disk->caching_mode, "ReadWrite");
        default_pointer_string(&v->azure_disk->kind, "Shared");
        default_pointer_string(&v->azure_disk->fs_type, "ext4");
        default_opt(v->azure_disk, read_only, 0);
    }
}

static void volume(struct arena *a, Core__V1__Volume *volume)
{
    Core__V1__VolumeSource *v = volume->volume_source;
    if (source_is_empty(v)) {
        v->empty_dir = api_new(a, Core__V1__EmptyDirVolumeSource);
        return;
    }
    if (v->secret)
        default_opt(v->secret, default_mode, FILE_MODE);
    if (v->config_map)
        default_opt(v->config_map, default_mode, FILE_MODE);
    if (v->downward_api) {
        default_opt(v->downward_api, default_mode, FILE_MODE);
        downward_items(v->downward_api->items, v->downward_api->n_items);
    }
    if (v->projected)
        projected(v->projected);
    if (v->host_path)
        default_pointer_string(&v->host_path->type, "");
    if (v->image && v->image->reference)
        default_string(&v->image->pull_policy, default_pull_policy(v->image->reference));
    if (v->ephemeral && v->ephemeral->volume_claim_template)
        default_pointer_string(&v->ephemeral->volume_claim_template->spec->volume_mode,
                               "Filesystem");
    rare_volumes(v);
}

/* serviceAccount is the old name of serviceAccountName: both are answered. */
static void service_account(Core__V1__PodSpec *spec)
{
    default_string(&spec->service_account_name, spec->service_account);
    spec->service_account = spec->service_account_name;
}

void defaults_pod_spec(struct arena *a, Core__V1__PodSpec *spec)
{
    default_string(&spec->dns_policy, "ClusterFirst");
    default_string(&spec->restart_policy, "Always");
    default_string(&spec->scheduler_name, "default-scheduler");
    default_opt(spec, termination_grace_period_seconds, 30);
    if (!spec->security_context)
        spec->security_context = api_new(a, Core__V1__PodSecurityContext);
    service_account(spec);
    for (size_t i = 0; i < spec->n_volumes; i++)
        volume(a, spec->volumes[i]);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        container(spec->init_containers[i], spec->host_network);
    for (size_t i = 0; i < spec->n_containers; i++)
        container(spec->containers[i], spec->host_network);
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
        ephemeral_container(spec->ephemeral_containers[i]->ephemeral_container_common);
    defaults_pod_amounts(a, spec);
}

/* A limit without a request requests as much. */
static void requests_from_limits(struct arena *a, Core__V1__ResourceRequirements *r)
{
    if (r)
        quantity_map_fill(a, &r->requests, &r->n_requests, r->limits, r->n_limits);
}

void defaults_pod(struct arena *a, Core__V1__Pod *pod)
{
    Core__V1__PodSpec *spec = pod->spec;
    for (size_t i = 0; i < spec->n_containers; i++)
        requests_from_limits(a, spec->containers[i]->resources);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        requests_from_limits(a, spec->init_containers[i]->resources);
    requests_from_limits(a, spec->resources);
    default_opt(spec, enable_service_links, 1);
    defaults_pod_spec(a, spec);
}
