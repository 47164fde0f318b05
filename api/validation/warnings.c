/*
 * What is well but had better be different: the texts of Warning headers.
 */
#include "api/quantity.h"
#include "api/validation/internal.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/custom_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"

struct warner {
    struct arena *arena;
    warning_fn *say;
    void *ctx;
    const char *prefix; /* of the pod: "" or "spec.template." */
};

#define WARN(w_, ...) (w_)->say((w_)->ctx, arena_printf((w_)->arena, __VA_ARGS__))

static void warn_node_selector(struct warner *w, const Core__V1__PodSpec *spec)
{
    static const struct {
        const char *label, *since, *instead;
    } old[] = {
        {"beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"},
        {"beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"},
        {"beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"},
        {"failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"},
        {"failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"},
    };
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        if (string_map_get(spec->node_selector, spec->n_node_selector, old[i].label))
            WARN(w, "%sspec.nodeSelector[%s]: deprecated since %s; use \"%s\" instead", w->prefix,
                 old[i].label, old[i].since, old[i].instead);
    }
}

static void warn_volumes(struct warner *w, const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const Core__V1__VolumeSource *v = spec->volumes[i]->volume_source;
        const struct {
            const void *source;
            const char *field, *state;
        } old[] = {
            {v->git_repo, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
            {v->glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
            {v->rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
            {v->cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
            {v->scale_io, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
            {v->storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
        };
        for (size_t k = 0; k < sizeof old / sizeof *old; k++) {
            if (old[k].source)
                WARN(w, "%sspec.volumes[%zu].%s: %s", w->prefix, i, old[k].field, old[k].state);
        }
    }
}

static void warn_amounts(struct warner *w, const char *list, size_t container, const char *field,
                         Meta__V1__QuantityEntry *const *amounts, size_t n)
{
    const int64_t nano = 1000000000;
    for (size_t i = 0; i < n; i++) {
        const char *name = amounts[i]->key, *text = amounts[i]->value->string;
        if (!is_one_of(name, ONE_OF("ephemeral-storage", "memory")))
            continue;
        if (quantity_of(text).nanos % nano != 0)
            WARN(
                w,
                "%sspec.%s[%zu].resources.%s[%s]: fractional byte value \"%s\" is invalid, must be "
                "an integer",
                w->prefix, list, container, field, name, text);
    }
}

static void warn_containers(struct warner *w, const char *list,
                            Core__V1__Container *const *containers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Core__V1__Container *c = containers[i];
        for (size_t k = 1; k < c->n_env; k++) {
            bool hides = false;
            for (size_t j = 0; j < k && !hides; j++)
                hides = cstr_eq(c->env[j]->name, c->env[k]->name);
            if (hides)
                WARN(w,
                     "%sspec.%s[%zu].env[%zu]: hides previous definition of \"%s\", which may be "
                     "dropped when using apply",
                     w->prefix, list, i, k, c->env[k]->name);
        }
        for (size_t k = 1; k < c->n_ports; k++) {
            for (size_t j = 0; j < k; j++) {
                const Core__V1__ContainerPort *a = c->ports[j], *b = c->ports[k];
                if (a->container_port != b->container_port || a->host_port != b->host_port ||
                    !cstr_eq(a->protocol, b->protocol) || !cstr_eq(a->host_ip, b->host_ip))
                    continue;
                WARN(w,
                     "%sspec.%s[%zu].ports[%zu]: duplicate port definition with "
                     "%sspec.%s[%zu].ports[%zu]",
                     w->prefix, list, i, k, w->prefix, list, i, j);
                break;
            }
        }
        if (!c->resources)
            continue;
        warn_amounts(w, list, i, "requests", c->resources->requests, c->resources->n_requests);
        warn_amounts(w, list, i, "limits", c->resources->limits, c->resources->n_limits);
    }
}

static void warn_pod(struct warner *w, const Core__V1__PodSpec *spec)
{
    warn_node_selector(w, spec);
    warn_volumes(w, spec);
    warn_containers(w, "initContainers", spec->init_containers, spec->n_init_containers);
    warn_containers(w, "containers", spec->containers, spec->n_containers);
    if (spec->has_termination_grace_period_seconds && spec->termination_grace_period_seconds < 0)
        WARN(w,
             "%sspec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and "
             "will be treated as 1",
             w->prefix);
}

/* The template an object makes pods from, and where it is; NULL for the rest. */
static const Core__V1__PodTemplateSpec *template_of(const void *object, const char **prefix)
{
    *prefix = "spec.template.";
    switch (schema_of(object)->id) {
    case Apps__V1__Deployment__SCHEMA:
        return ((const Apps__V1__Deployment *)object)->spec->template_;
    case Apps__V1__ReplicaSet__SCHEMA:
        return ((const Apps__V1__ReplicaSet *)object)->spec->template_;
    case Apps__V1__DaemonSet__SCHEMA:
        return ((const Apps__V1__DaemonSet *)object)->spec->template_;
    case Apps__V1__StatefulSet__SCHEMA:
        return ((const Apps__V1__StatefulSet *)object)->spec->template_;
    case Batch__V1__Job__SCHEMA:
        return ((const Batch__V1__Job *)object)->spec->template_;
    case Core__V1__ReplicationController__SCHEMA:
        return ((const Core__V1__ReplicationController *)object)->spec->template_;
    case Batch__V1__CronJob__SCHEMA:
        *prefix = "spec.jobTemplate.spec.template.";
        return ((const Batch__V1__CronJob *)object)->spec->job_template->spec->template_;
    case Core__V1__PodTemplate__SCHEMA:
        *prefix = "template.";
        return ((const Core__V1__PodTemplate *)object)->template_;
    default:
        return NULL;
    }
}

static void warn_service(struct warner *w, const Core__V1__ServiceSpec *spec)
{
    if (*spec->external_name && !cstr_eq(spec->type, "ExternalName"))
        WARN(w, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
}

static void warn_volume(struct warner *w, const Core__V1__PersistentVolumeSpec *spec)
{
    if (cstr_eq(spec->persistent_volume_reclaim_policy, "Recycle"))
        WARN(w, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
                "Instead, the recommended approach is to use dynamic provisioning.");
}

/* Of custom resources: built-in kinds refuse such names. */
static void warn_finalizers(struct warner *w, const Meta__V1__ObjectMeta *meta,
                            const Meta__V1__ObjectMeta *old)
{
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        const char *name = meta->finalizers[i];
        if (strchr(name, '/') || is_one_of(name, ONE_OF("foregroundDeletion", "orphan")) ||
            (old && string_list_has(old->finalizers, old->n_finalizers, name)))
            continue;
        WARN(w,
             "metadata.finalizers: \"%s\": prefer a domain-qualified finalizer name including a "
             "path "
             "(/) to avoid accidental conflicts with other finalizer writers",
             name);
    }
}

void validate_warnings(struct arena *a, const void *object, const void *old, warning_fn *say,
                       void *ctx)
{
    struct warner w = {a, say, ctx, ""};
    int kind = schema_of(object)->id;
    if (kind == Core__V1__Pod__SCHEMA) {
        const Core__V1__Pod *pod = object;
        const char *why = old ? NULL : validate_dns1123_label(pod->metadata->name);
        if (why)
            WARN(&w,
                 "metadata.name: this is used in the Pod's hostname, which can result in "
                 "surprising behavior; a DNS label is recommended: [%s]",
                 why);
        if (!old)
            warn_pod(&w, pod->spec);
    } else if (kind == Custom__V1__Object__SCHEMA) {
        warn_finalizers(&w, object_meta(object), old ? object_meta(old) : NULL);
    } else if (kind == Core__V1__Service__SCHEMA) {
        warn_service(&w, ((const Core__V1__Service *)object)->spec);
    } else if (kind == Core__V1__PersistentVolume__SCHEMA) {
        warn_volume(&w, ((const Core__V1__PersistentVolume *)object)->spec);
    } else if (kind == Networking__V1__Ingress__SCHEMA && !old) {
        const Networking__V1__Ingress *ingress = object;
        if (annotations_get(ingress->metadata, "kubernetes.io/ingress.class"))
            WARN(&w, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use "
                     "'spec.ingressClassName' instead");
    } else {
        const char *ignored;
        const Core__V1__PodTemplateSpec *t = template_of(object, &w.prefix);
        const Core__V1__PodTemplateSpec *before = old ? template_of(old, &ignored) : NULL;
        if (t && t->spec && !(before && object_equal(t, before)))
            warn_pod(&w, t->spec);
    }
}
