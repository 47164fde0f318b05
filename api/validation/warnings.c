/*
 * What is well but had better be different: the texts of Warning headers.
 */
#include "api/meta.h"
#include "api/validation/warner.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/custom_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

#define STORAGE_CLASS_ANNOTATION "volume.beta.kubernetes.io/storage-class"
#define INDEXED_COMPLETIONS 100000
#define INDEXED_PARALLELISM 10000

/* ---- what makes pods ---- */

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

/* New ones only: a name cannot be changed. */
static void warn_name(struct warner *w, const Meta__V1__ObjectMeta *meta, const char *used)
{
    const char *why = validate_dns1123_label(meta->name);
    if (why)
        WARN(w,
             "metadata.name: this is used in %s, which can result in surprising behavior; a DNS "
             "label is recommended: [%s]",
             used, why);
}

static bool names_pods(int kind)
{
    return kind == Apps__V1__Deployment__SCHEMA || kind == Apps__V1__ReplicaSet__SCHEMA ||
           kind == Apps__V1__StatefulSet__SCHEMA || kind == Batch__V1__Job__SCHEMA ||
           kind == Batch__V1__CronJob__SCHEMA || kind == Core__V1__ReplicationController__SCHEMA;
}

static void warn_job(struct warner *w, const char *at, const Batch__V1__JobSpec *spec)
{
    if (cstr_eq(spec->completion_mode, "Indexed") && spec->completions > INDEXED_COMPLETIONS &&
        spec->parallelism > INDEXED_PARALLELISM)
        WARN(w,
             "%s: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
             "higher than 10^4, Kubernetes might not be able to track completedIndexes when a big "
             "number of indexes fail",
             at);
}

static void warn_jobs(struct warner *w, const void *object)
{
    if (schema_of(object)->id == Batch__V1__Job__SCHEMA) {
        warn_job(w, "spec", ((const Batch__V1__Job *)object)->spec);
    } else if (schema_of(object)->id == Batch__V1__CronJob__SCHEMA) {
        const Batch__V1__CronJobSpec *spec = ((const Batch__V1__CronJob *)object)->spec;
        warn_job(w, "spec.jobTemplate.spec", spec->job_template->spec);
        if (strstr(spec->schedule, "TZ"))
            WARN(w, "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
                    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
                    "details");
    }
}

static void warn_workload(struct warner *w, const void *object, const void *old)
{
    const char *ignored;
    const Core__V1__PodTemplateSpec *t = template_of(object, &w->prefix);
    const Core__V1__PodTemplateSpec *before = old ? template_of(old, &ignored) : NULL;
    if (!old && names_pods(schema_of(object)->id))
        warn_name(w, object_meta(object), "Pod names and hostnames");
    if (!t || (before && object_equal(t, before)))
        return;
    warn_jobs(w, object);
    if (t->spec)
        warn_pod(w, t->spec, t->metadata);
}

/* ---- services ---- */

static void warn_headless(struct warner *w, const Core__V1__ServiceSpec *spec)
{
    if (*spec->load_balancer_ip)
        WARN(w, "spec.loadBalancerIP is ignored for headless services");
    if (spec->n_external_ips)
        WARN(w, "spec.externalIPs is ignored for headless services");
    if (!cstr_eq(spec->session_affinity, "None"))
        WARN(w, "spec.SessionAffinity is ignored for headless services");
}

static void warn_service_addresses(struct warner *w, const Core__V1__ServiceSpec *spec)
{
    for (size_t i = 0; i < spec->n_cluster_ips; i++)
        warn_ip(w, arena_printf(w->arena, "spec.clusterIPs[%zu]", i), spec->cluster_ips[i]);
    for (size_t i = 0; i < spec->n_external_ips; i++)
        warn_ip(w, arena_printf(w->arena, "spec.externalIPs[%zu]", i), spec->external_ips[i]);
    warn_ip(w, "spec.loadBalancerIP", spec->load_balancer_ip);
    for (size_t i = 0; i < spec->n_load_balancer_source_ranges; i++)
        warn_cidr(w, arena_printf(w->arena, "spec.loadBalancerSourceRanges[%zu]", i),
                  spec->load_balancer_source_ranges[i]);
}

static void warn_service(struct warner *w, const Core__V1__Service *s)
{
    const Core__V1__ServiceSpec *spec = s->spec;
    bool external = cstr_eq(spec->type, "ExternalName");
    if (annotations_get(s->metadata, "service.kubernetes.io/topology-aware-hints"))
        WARN(w, "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
                "service.kubernetes.io/topology-mode instead");
    if (cstr_eq(spec->type, "ClusterIP") && cstr_eq(spec->cluster_ip, "None"))
        warn_headless(w, spec);
    warn_service_addresses(w, spec);
    if (external && spec->n_external_ips)
        WARN(w, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    if (!external && *spec->external_name)
        WARN(w, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    if (cstr_eq(spec->traffic_distribution, "PreferClose"))
        WARN(w, "spec.trafficDistribution: \"PreferClose\" is deprecated; use "
                "\"PreferSameZone\"");
}

static void warn_policy_peers(struct warner *w, const char *at,
                              Networking__V1__NetworkPolicyPeer *const *peers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Networking__V1__IPBlock *block = peers[i]->ip_block;
        if (!block)
            continue;
        const char *item = arena_printf(w->arena, "%s[%zu].ipBlock", at, i);
        warn_cidr(w, arena_printf(w->arena, "%s.cidr", item), block->cidr);
        for (size_t k = 0; k < block->n_except; k++)
            warn_cidr(w, arena_printf(w->arena, "%s.except[%zu]", item, k), block->except[k]);
    }
}

static void warn_policy(struct warner *w, const Networking__V1__NetworkPolicySpec *spec)
{
    for (size_t i = 0; i < spec->n_ingress; i++)
        warn_policy_peers(w, arena_printf(w->arena, "spec.ingress[%zu].from", i),
                          spec->ingress[i]->from, spec->ingress[i]->n_from);
    for (size_t i = 0; i < spec->n_egress; i++)
        warn_policy_peers(w, arena_printf(w->arena, "spec.egress[%zu].to", i), spec->egress[i]->to,
                          spec->egress[i]->n_to);
}

/* ---- storage ---- */

static void warn_storage_annotation(struct warner *w, const Meta__V1__ObjectMeta *meta)
{
    if (annotations_get(meta, STORAGE_CLASS_ANNOTATION))
        WARN(w, "metadata.annotations[" STORAGE_CLASS_ANNOTATION
                "]: deprecated since v1.8; use \"storageClassName\" attribute instead");
}

static void warn_volume(struct warner *w, const Core__V1__PersistentVolume *volume)
{
    const Core__V1__PersistentVolumeSpec *spec = volume->spec;
    const Core__V1__PersistentVolumeSource *v = spec->persistent_volume_source;
    const struct {
        const void *source;
        const char *field, *state;
    } old[] = {
        {v->cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
        {v->photon_persistent_disk, "photonPersistentDisk",
         "deprecated in v1.11, non-functional in v1.16+"},
        {v->scale_io, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
        {v->storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
        {v->glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
        {v->rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
    };
    warn_storage_annotation(w, volume->metadata);
    if (cstr_eq(spec->persistent_volume_reclaim_policy, "Recycle"))
        WARN(w, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
                "Instead, the recommended approach is to use dynamic provisioning.");
    const Core__V1__NodeSelector *nodes =
        spec->node_affinity ? spec->node_affinity->required : NULL;
    for (size_t i = 0; nodes && i < nodes->n_node_selector_terms; i++)
        warn_node_selector_term(
            w, arena_printf(w->arena, "spec.nodeAffinity.required.nodeSelectorTerms[%zu]", i),
            nodes->node_selector_terms[i], false);
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        if (old[i].source)
            WARN(w, "spec.%s: %s", old[i].field, old[i].state);
    }
}

static void warn_claim(struct warner *w, const Core__V1__PersistentVolumeClaim *claim)
{
    warn_storage_annotation(w, claim->metadata);
    warn_claim_spec(w, "spec", claim->spec);
}

static void warn_storage_class(struct warner *w, const Storage__V1__StorageClass *c)
{
    for (size_t i = 0; i < c->n_allowed_topologies; i++) {
        const Core__V1__TopologySelectorTerm *t = c->allowed_topologies[i];
        for (size_t k = 0; k < t->n_match_label_expressions; k++) {
            const char *key = t->match_label_expressions[k]->key;
            const char *why = node_label_deprecated(key);
            if (why)
                WARN(w, "allowedTopologies[%zu].matchLabelExpressions[%zu].key: %s is %s", i, k,
                     key, why);
        }
    }
}

static void warn_capacity(struct warner *w, const Storage__V1__CSIStorageCapacity *c)
{
    const Meta__V1__LabelSelector *s = c->node_topology;
    const char *why;
    for (size_t i = 0; s && i < s->n_match_expressions; i++) {
        if ((why = node_label_deprecated(s->match_expressions[i]->key)))
            WARN(w, "nodeTopology.matchExpressions[%zu].key: %s is %s", i,
                 s->match_expressions[i]->key, why);
    }
    for (size_t i = 0; s && i < s->n_match_labels; i++) {
        if ((why = node_label_deprecated(s->match_labels[i]->key)))
            WARN(w, "nodeTopology.matchLabels.%s: %s", s->match_labels[i]->key, why);
    }
}

/* Tokens that are asked for go where they may be logged, unless the driver takes them elsewhere. */
static void warn_driver(struct warner *w, const Storage__V1__CSIDriverSpec *spec,
                        const Storage__V1__CSIDriverSpec *old)
{
    bool same = old && spec->n_token_requests == old->n_token_requests;
    for (size_t i = 0; same && i < spec->n_token_requests; i++)
        same = object_equal(spec->token_requests[i], old->token_requests[i]);
    if (!same && spec->n_token_requests > 0 && !spec->has_service_account_token_in_secrets)
        WARN(w, "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set "
                "to true to prevent possible logging of tokens in volume attributes");
}

/* ---- others ---- */

static void warn_runtime_class(struct warner *w, const Node__V1__RuntimeClass *c)
{
    const Node__V1__Scheduling *s = c->scheduling;
    for (size_t i = 0; s && i < s->n_node_selector; i++) {
        const char *why = node_label_deprecated(s->node_selector[i]->key);
        if (why)
            WARN(w, "scheduling.nodeSelector: %s", why);
    }
}

static void warn_node(struct warner *w, const Core__V1__NodeSpec *spec)
{
    if (spec->config_source)
        WARN(w, "spec.configSource: deprecated in v1.22, support removed in v1.26");
    if (*spec->external_id)
        WARN(w, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
    for (size_t i = 0; i < spec->n_pod_cidrs; i++)
        warn_cidr(w, arena_printf(w->arena, "spec.podCIDRs[%zu]", i), spec->pod_cidrs[i]);
}

static void warn_account(struct warner *w, const Meta__V1__ObjectMeta *meta,
                         const Meta__V1__ObjectMeta *old)
{
    static const char key[] = "kubernetes.io/enforce-mountable-secrets";
    if (annotations_get(meta, key) && !(old && annotations_get(old, key)))
        WARN(w,
             "metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to "
             "isolate access to mounted secrets",
             key);
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
    switch (schema_of(object)->id) {
    case Core__V1__Pod__SCHEMA:
        if (old) /* people do not change pods themselves */
            return;
        warn_name(&w, object_meta(object), "the Pod's hostname");
        warn_pod(&w, ((const Core__V1__Pod *)object)->spec, object_meta(object));
        return;
    case Custom__V1__Object__SCHEMA:
        warn_finalizers(&w, object_meta(object), old ? object_meta(old) : NULL);
        return;
    case Core__V1__Service__SCHEMA:
        warn_service(&w, object);
        return;
    case Networking__V1__NetworkPolicy__SCHEMA:
        warn_policy(&w, ((const Networking__V1__NetworkPolicy *)object)->spec);
        return;
    case Networking__V1__Ingress__SCHEMA:
        if (!old && annotations_get(object_meta(object), "kubernetes.io/ingress.class"))
            WARN(&w, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use "
                     "'spec.ingressClassName' instead");
        return;
    case Core__V1__PersistentVolume__SCHEMA:
        warn_volume(&w, object);
        return;
    case Core__V1__PersistentVolumeClaim__SCHEMA:
        warn_claim(&w, object);
        return;
    case Storage__V1__StorageClass__SCHEMA:
        warn_storage_class(&w, object);
        return;
    case Storage__V1__CSIStorageCapacity__SCHEMA:
        warn_capacity(&w, object);
        return;
    case Storage__V1__CSIDriver__SCHEMA:
        warn_driver(&w, ((const Storage__V1__CSIDriver *)object)->spec,
                    old ? ((const Storage__V1__CSIDriver *)old)->spec : NULL);
        return;
    case Node__V1__RuntimeClass__SCHEMA:
        warn_runtime_class(&w, object);
        return;
    case Core__V1__Node__SCHEMA:
        warn_node(&w, ((const Core__V1__Node *)object)->spec);
        return;
    case Core__V1__ServiceAccount__SCHEMA:
        warn_account(&w, object_meta(object), old ? object_meta(old) : NULL);
        return;
    default:
        warn_workload(&w, object, old);
    }
}
