/*
 * Defaults by kind: workloads, services, storage, policy. (Pods: pod.c.)
 */
#include "api/custom/custom.h"
#include "api/defaults/defaults.h"
#include "api/defaults/internal.h"
#include "api/meta.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/admissionregistration_v1.pb-c.h"
#include "proto/apiregistration_v1.pb-c.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/rbac_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

/* --- workloads ---------------------------------------------------------------------------------
 */

static void template(struct arena *a, Core__V1__PodTemplateSpec *t)
{
    defaults_pod_spec(a, t->spec);
}

static void deployment(struct arena *a, void *object)
{
    Apps__V1__DeploymentSpec *spec = ((Apps__V1__Deployment *)object)->spec;
    default_opt(spec, replicas, 1);
    default_opt(spec, revision_history_limit, 10);
    default_opt(spec, progress_deadline_seconds, 600);
    default_string(&spec->strategy->type, "RollingUpdate");
    if (strcmp(spec->strategy->type, "RollingUpdate") == 0) {
        if (!spec->strategy->rolling_update)
            spec->strategy->rolling_update = api_new(a, Apps__V1__RollingUpdateDeployment);
        Apps__V1__RollingUpdateDeployment *rolling = spec->strategy->rolling_update;
        if (!rolling->max_unavailable)
            rolling->max_unavailable = int_or_string_string(a, "25%");
        if (!rolling->max_surge)
            rolling->max_surge = int_or_string_string(a, "25%");
    }
    template(a, spec->template_);
}

static void replica_set(struct arena *a, void *object)
{
    Apps__V1__ReplicaSetSpec *spec = ((Apps__V1__ReplicaSet *)object)->spec;
    default_opt(spec, replicas, 1);
    template(a, spec->template_);
}

static void replication_controller(struct arena *a, void *object)
{
    Core__V1__ReplicationController *rc = object;
    default_opt(rc->spec, replicas, 1);
    if (!rc->spec->template_)
        return;
    Meta__V1__ObjectMeta *meta = rc->spec->template_->metadata;
    if (rc->spec->n_selector == 0 && meta->n_labels > 0) {
        rc->spec->selector = meta->labels;
        rc->spec->n_selector = meta->n_labels;
    }
    if (rc->metadata->n_labels == 0) {
        rc->metadata->labels = meta->labels;
        rc->metadata->n_labels = meta->n_labels;
    }
    template(a, rc->spec->template_);
}

static void daemon_set(struct arena *a, void *object)
{
    Apps__V1__DaemonSetSpec *spec = ((Apps__V1__DaemonSet *)object)->spec;
    default_opt(spec, revision_history_limit, 10);
    default_string(&spec->update_strategy->type, "RollingUpdate");
    if (strcmp(spec->update_strategy->type, "RollingUpdate") == 0) {
        if (!spec->update_strategy->rolling_update)
            spec->update_strategy->rolling_update = api_new(a, Apps__V1__RollingUpdateDaemonSet);
        Apps__V1__RollingUpdateDaemonSet *rolling = spec->update_strategy->rolling_update;
        if (!rolling->max_unavailable)
            rolling->max_unavailable = int_or_string_int(a, 1);
        if (!rolling->max_surge)
            rolling->max_surge = int_or_string_int(a, 0);
    }
    template(a, spec->template_);
}

static void claim(struct arena *a, Core__V1__PersistentVolumeClaim *pvc)
{
    default_string(&pvc->status->phase, "Pending");
    default_pointer_string(&pvc->spec->volume_mode, "Filesystem");
    defaults_claim_amounts(a, pvc->spec);
    defaults_amounts(a, pvc->status->capacity, pvc->status->n_capacity);
    defaults_amounts(a, pvc->status->allocated_resources, pvc->status->n_allocated_resources);
}

static void stateful_set(struct arena *a, void *object)
{
    Apps__V1__StatefulSetSpec *spec = ((Apps__V1__StatefulSet *)object)->spec;
    default_opt(spec, replicas, 1);
    default_opt(spec, revision_history_limit, 10);
    default_string(&spec->pod_management_policy, "OrderedReady");
    default_string(&spec->update_strategy->type, "RollingUpdate");
    if (strcmp(spec->update_strategy->type, "RollingUpdate") == 0) {
        if (!spec->update_strategy->rolling_update)
            spec->update_strategy->rolling_update =
                api_new(a, Apps__V1__RollingUpdateStatefulSetStrategy);
        default_opt(spec->update_strategy->rolling_update, partition, 0);
    }
    if (!spec->persistent_volume_claim_retention_policy)
        spec->persistent_volume_claim_retention_policy =
            api_new(a, Apps__V1__StatefulSetPersistentVolumeClaimRetentionPolicy);
    default_string(&spec->persistent_volume_claim_retention_policy->when_deleted, "Retain");
    default_string(&spec->persistent_volume_claim_retention_policy->when_scaled, "Retain");
    for (size_t i = 0; i < spec->n_volume_claim_templates; i++)
        claim(a, spec->volume_claim_templates[i]);
    template(a, spec->template_);
}

static void job_failure_policy(Batch__V1__PodFailurePolicy *policy)
{
    for (size_t i = 0; policy && i < policy->n_rules; i++) {
        for (size_t k = 0; k < policy->rules[i]->n_on_pod_conditions; k++)
            default_string(&policy->rules[i]->on_pod_conditions[k]->status, "True");
    }
}

static void job(struct arena *a, void *object)
{
    Batch__V1__Job *j = object;
    Batch__V1__JobSpec *spec = j->spec;
    if (!spec->has_completions && !spec->has_parallelism)
        api_set(spec, completions, 1);
    default_opt(spec, parallelism, 1);
    default_opt(spec, backoff_limit, spec->has_backoff_limit_per_index ? INT32_MAX : 6);
    default_opt(spec, suspend, 0);
    default_pointer_string(&spec->completion_mode, "NonIndexed");
    default_pointer_string(&spec->pod_replacement_policy,
                           spec->pod_failure_policy ? "Failed" : "TerminatingOrFailed");
    job_failure_policy(spec->pod_failure_policy);
    if (j->metadata->n_labels == 0) {
        j->metadata->labels = spec->template_->metadata->labels;
        j->metadata->n_labels = spec->template_->metadata->n_labels;
    }
    template(a, spec->template_);
}

static void cron_job(struct arena *a, void *object)
{
    Batch__V1__CronJobSpec *spec = ((Batch__V1__CronJob *)object)->spec;
    default_string(&spec->concurrency_policy, "Allow");
    default_opt(spec, suspend, 0);
    default_opt(spec, successful_jobs_history_limit, 3);
    default_opt(spec, failed_jobs_history_limit, 1);
    job_failure_policy(spec->job_template->spec->pod_failure_policy);
    template(a, spec->job_template->spec->template_);
}

/* --- core ---------------------------------------------------------------------------------------
 */

static void pod(struct arena *a, void *object)
{
    defaults_pod(a, object);
}

static void pod_template(struct arena *a, void *object)
{
    template(a, ((Core__V1__PodTemplate *)object)->template_);
}

static void service_ports(struct arena *a, Core__V1__ServiceSpec *spec)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        Core__V1__ServicePort *port = spec->ports[i];
        default_string(&port->protocol, "TCP");
        bool unset = port->target_port->type == 1 ? !*port->target_port->str_val
                                                  : port->target_port->int_val == 0;
        if (unset)
            port->target_port = int_or_string_int(a, port->port);
    }
}

static void service(struct arena *a, void *object)
{
    Core__V1__Service *s = object;
    Core__V1__ServiceSpec *spec = s->spec;
    default_string(&spec->session_affinity, "None");
    default_string(&spec->type, "ClusterIP");
    if (strcmp(spec->session_affinity, "None") == 0)
        spec->session_affinity_config = NULL;
    if (strcmp(spec->session_affinity, "ClientIP") == 0) {
        if (!spec->session_affinity_config)
            spec->session_affinity_config = api_new(a, Core__V1__SessionAffinityConfig);
        if (!spec->session_affinity_config->client_ip)
            spec->session_affinity_config->client_ip = api_new(a, Core__V1__ClientIPConfig);
        default_opt(spec->session_affinity_config->client_ip, timeout_seconds, 10800);
    }
    service_ports(a, spec);
    bool balanced = strcmp(spec->type, "LoadBalancer") == 0;
    bool node_port = balanced || strcmp(spec->type, "NodePort") == 0;
    bool cluster = strcmp(spec->type, "ClusterIP") == 0;
    if (node_port || (cluster && spec->n_external_ips > 0))
        default_string(&spec->external_traffic_policy, "Cluster");
    if (node_port || cluster)
        default_pointer_string(&spec->internal_traffic_policy, "Cluster");
    if (balanced)
        default_opt(spec, allocate_load_balancer_node_ports, 1);
    for (size_t i = 0; balanced && i < s->status->load_balancer->n_ingress; i++) {
        Core__V1__LoadBalancerIngress *ingress = s->status->load_balancer->ingress[i];
        if (*ingress->ip)
            default_pointer_string(&ingress->ip_mode, "VIP");
    }
}

static void endpoints(struct arena *a, void *object)
{
    Core__V1__Endpoints *e = object;
    (void)a;
    for (size_t i = 0; i < e->n_subsets; i++) {
        for (size_t k = 0; k < e->subsets[i]->n_ports; k++)
            default_string(&e->subsets[i]->ports[k]->protocol, "TCP");
    }
}

static void endpoint_slice(struct arena *a, void *object)
{
    Discovery__V1__EndpointSlice *slice = object;
    (void)a;
    for (size_t i = 0; i < slice->n_ports; i++) {
        default_pointer_string(&slice->ports[i]->name, "");
        default_pointer_string(&slice->ports[i]->protocol, "TCP");
    }
}

static void secret(struct arena *a, void *object)
{
    (void)a;
    default_string(&((Core__V1__Secret *)object)->type, "Opaque");
}

/* Every namespace carries its name as a label, so that selectors can choose it. */
static void namespace(struct arena *a, void *object)
{
    Core__V1__Namespace *ns = object;
    default_string(&ns->status->phase, "Active");
    if (*ns->metadata->name)
        labels_set(a, ns->metadata, "kubernetes.io/metadata.name", ns->metadata->name);
}

static void node(struct arena *a, void *object)
{
    Core__V1__NodeStatus *status = ((Core__V1__Node *)object)->status;
    if (status->n_allocatable == 0) {
        status->allocatable = status->capacity;
        status->n_allocatable = status->n_capacity;
    }
    defaults_amounts(a, status->capacity, status->n_capacity);
    defaults_amounts(a, status->allocatable, status->n_allocatable);
}

static void persistent_volume(struct arena *a, void *object)
{
    Core__V1__PersistentVolume *pv = object;
    defaults_amounts(a, pv->spec->capacity, pv->spec->n_capacity);
    default_string(&pv->status->phase, "Pending");
    default_string(&pv->spec->persistent_volume_reclaim_policy, "Retain");
    default_pointer_string(&pv->spec->volume_mode, "Filesystem");
    if (pv->spec->persistent_volume_source->host_path)
        default_pointer_string(&pv->spec->persistent_volume_source->host_path->type, "");
}

static void persistent_volume_claim(struct arena *a, void *object)
{
    claim(a, object);
}

/* Containers: a default limit from max, a default request from the default limit, else from min. */
static void limit_range(struct arena *a, void *object)
{
    Core__V1__LimitRangeSpec *spec = ((Core__V1__LimitRange *)object)->spec;
    for (size_t i = 0; i < spec->n_limits; i++) {
        Core__V1__LimitRangeItem *item = spec->limits[i];
        defaults_amounts(a, item->max, item->n_max);
        defaults_amounts(a, item->min, item->n_min);
        defaults_amounts(a, item->default_, item->n_default_);
        defaults_amounts(a, item->default_request, item->n_default_request);
        defaults_amounts(a, item->max_limit_request_ratio, item->n_max_limit_request_ratio);
        if (strcmp(item->type, "Container") != 0)
            continue;
        quantity_map_fill(a, &item->default_, &item->n_default_, item->max, item->n_max);
        quantity_map_fill(a, &item->default_request, &item->n_default_request, item->default_,
                          item->n_default_);
        quantity_map_fill(a, &item->default_request, &item->n_default_request, item->min,
                          item->n_min);
    }
}

/* --- networking, rbac, storage, policy ----------------------------------------------------------
 */

static void policy_ports(Networking__V1__NetworkPolicyPort **ports, size_t n)
{
    for (size_t i = 0; i < n; i++)
        default_pointer_string(&ports[i]->protocol, "TCP");
}

static void network_policy(struct arena *a, void *object)
{
    Networking__V1__NetworkPolicySpec *spec = ((Networking__V1__NetworkPolicy *)object)->spec;
    for (size_t i = 0; i < spec->n_ingress; i++)
        policy_ports(spec->ingress[i]->ports, spec->ingress[i]->n_ports);
    for (size_t i = 0; i < spec->n_egress; i++)
        policy_ports(spec->egress[i]->ports, spec->egress[i]->n_ports);
    if (spec->n_policy_types == 0) {
        api_append(a, spec, policy_types, (char *)"Ingress");
        if (spec->n_egress > 0)
            api_append(a, spec, policy_types, (char *)"Egress");
    }
}

static void ingress_class(struct arena *a, void *object)
{
    Networking__V1__IngressClassSpec *spec = ((Networking__V1__IngressClass *)object)->spec;
    (void)a;
    if (spec->parameters)
        default_pointer_string(&spec->parameters->scope, "Cluster");
}

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void binding(Rbac__V1__RoleRef *ref, Rbac__V1__Subject **subjects, size_t n)
{
    default_string(&ref->api_group, RBAC_GROUP);
    for (size_t i = 0; i < n; i++) {
        bool person = !cstr_eq(subjects[i]->kind, "ServiceAccount");
        default_string(&subjects[i]->api_group, person ? RBAC_GROUP : "");
    }
}

static void role_binding(struct arena *a, void *object)
{
    Rbac__V1__RoleBinding *b = object;
    (void)a;
    binding(b->role_ref, b->subjects, b->n_subjects);
}

static void cluster_role_binding(struct arena *a, void *object)
{
    Rbac__V1__ClusterRoleBinding *b = object;
    (void)a;
    binding(b->role_ref, b->subjects, b->n_subjects);
}

static void storage_class(struct arena *a, void *object)
{
    Storage__V1__StorageClass *c = object;
    (void)a;
    default_pointer_string(&c->reclaim_policy, "Delete");
    default_pointer_string(&c->volume_binding_mode, "Immediate");
}

static void csi_driver(struct arena *a, void *object)
{
    Storage__V1__CSIDriverSpec *spec = ((Storage__V1__CSIDriver *)object)->spec;
    default_opt(spec, attach_required, 1);
    default_opt(spec, pod_info_on_mount, 0);
    default_opt(spec, storage_capacity, 0);
    default_opt(spec, requires_republish, 0);
    default_opt(spec, se_linux_mount, 0);
    default_pointer_string(&spec->fs_group_policy, "ReadWriteOnceWithFSType");
    if (spec->n_volume_lifecycle_modes == 0)
        api_append(a, spec, volume_lifecycle_modes, (char *)"Persistent");
}

static void priority_class(struct arena *a, void *object)
{
    (void)a;
    default_pointer_string(&((Scheduling__V1__PriorityClass *)object)->preemption_policy,
                           "PreemptLowerPriority");
}

static void autoscaler_v1(struct arena *a, void *object)
{
    (void)a;
    default_opt(((Autoscaling__V1__HorizontalPodAutoscaler *)object)->spec, min_replicas, 1);
}

static void scaling_policy(struct arena *a, Autoscaling__V2__HPAScalingRules *r, const char *type,
                           int32_t value)
{
    Autoscaling__V2__HPAScalingPolicy *p = api_new(a, Autoscaling__V2__HPAScalingPolicy);
    p->type = (char *)type;
    p->value = value;
    p->period_seconds = 15;
    api_append(a, r, policies, p);
}

/* Once something is said of the behavior, both directions have rules: up by four pods or twofold, whichever is more,
 * at once; down to nothing, after what the controller takes for a window. */
static void scaling_behavior(struct arena *a,
                             Autoscaling__V2__HorizontalPodAutoscalerBehavior *behavior)
{
    if (!behavior->scale_up)
        behavior->scale_up = api_new(a, Autoscaling__V2__HPAScalingRules);
    if (!behavior->scale_down)
        behavior->scale_down = api_new(a, Autoscaling__V2__HPAScalingRules);
    default_opt(behavior->scale_up, stabilization_window_seconds, 0);
    default_pointer_string(&behavior->scale_up->select_policy, "Max");
    default_pointer_string(&behavior->scale_down->select_policy, "Max");
    if (behavior->scale_up->n_policies == 0) {
        scaling_policy(a, behavior->scale_up, "Pods", 4);
        scaling_policy(a, behavior->scale_up, "Percent", 100);
    }
    if (behavior->scale_down->n_policies == 0)
        scaling_policy(a, behavior->scale_down, "Percent", 100);
}

static void autoscaler_v2(struct arena *a, void *object)
{
    Autoscaling__V2__HorizontalPodAutoscalerSpec *spec =
        ((Autoscaling__V2__HorizontalPodAutoscaler *)object)->spec;
    default_opt(spec, min_replicas, 1);
    if (spec->n_metrics == 0) {
        Autoscaling__V2__MetricSpec *m = api_new(a, Autoscaling__V2__MetricSpec);
        m->type = (char *)"Resource";
        m->resource = api_new(a, Autoscaling__V2__ResourceMetricSource);
        m->resource->name = (char *)"cpu";
        m->resource->target->type = (char *)"Utilization";
        api_set(m->resource->target, average_utilization, 80);
        api_append(a, spec, metrics, m);
    }
    if (spec->behavior)
        scaling_behavior(a, spec->behavior);
}

static void webhook_client(Admissionregistration__V1__WebhookClientConfig *c)
{
    if (c->service)
        default_opt(c->service, port, 443);
}

static void webhook_rules(Admissionregistration__V1__RuleWithOperations **rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        default_pointer_string(&rules[i]->rule->scope, "*");
}

static void validating_webhooks(struct arena *a, void *object)
{
    Admissionregistration__V1__ValidatingWebhookConfiguration *config = object;
    for (size_t i = 0; i < config->n_webhooks; i++) {
        Admissionregistration__V1__ValidatingWebhook *w = config->webhooks[i];
        default_pointer_string(&w->failure_policy, "Fail");
        default_pointer_string(&w->match_policy, "Equivalent");
        default_opt(w, timeout_seconds, 10);
        if (!w->namespace_selector)
            w->namespace_selector = api_new(a, Meta__V1__LabelSelector);
        if (!w->object_selector)
            w->object_selector = api_new(a, Meta__V1__LabelSelector);
        webhook_client(w->client_config);
        webhook_rules(w->rules, w->n_rules);
    }
}

static void mutating_webhooks(struct arena *a, void *object)
{
    Admissionregistration__V1__MutatingWebhookConfiguration *config = object;
    for (size_t i = 0; i < config->n_webhooks; i++) {
        Admissionregistration__V1__MutatingWebhook *w = config->webhooks[i];
        default_pointer_string(&w->failure_policy, "Fail");
        default_pointer_string(&w->match_policy, "Equivalent");
        default_pointer_string(&w->reinvocation_policy, "Never");
        default_opt(w, timeout_seconds, 10);
        if (!w->namespace_selector)
            w->namespace_selector = api_new(a, Meta__V1__LabelSelector);
        if (!w->object_selector)
            w->object_selector = api_new(a, Meta__V1__LabelSelector);
        webhook_client(w->client_config);
        webhook_rules(w->rules, w->n_rules);
    }
}

static void custom_resource_definition(struct arena *a, void *object)
{
    crd_defaults(a, object);
}

static void api_service(struct arena *a, void *object)
{
    Apiregistration__V1__APIServiceSpec *spec = ((Apiregistration__V1__APIService *)object)->spec;
    (void)a;
    if (spec->service)
        default_opt(spec->service, port, 443);
}

/* --- the table -----------------------------------------------------------------------------------
 */

static const struct {
    int message;
    void (*apply)(struct arena *a, void *object);
} kinds[] = {
    {Core__V1__Pod__SCHEMA, pod},
    {Core__V1__PodTemplate__SCHEMA, pod_template},
    {Core__V1__Service__SCHEMA, service},
    {Core__V1__Endpoints__SCHEMA, endpoints},
    {Core__V1__Secret__SCHEMA, secret},
    {Core__V1__Namespace__SCHEMA, namespace},
    {Core__V1__Node__SCHEMA, node},
    {Core__V1__PersistentVolume__SCHEMA, persistent_volume},
    {Core__V1__PersistentVolumeClaim__SCHEMA, persistent_volume_claim},
    {Core__V1__LimitRange__SCHEMA, limit_range},
    {Core__V1__ResourceQuota__SCHEMA, defaults_resource_quota},
    {Node__V1__RuntimeClass__SCHEMA, defaults_runtime_class},
    {Core__V1__ReplicationController__SCHEMA, replication_controller},
    {Apps__V1__Deployment__SCHEMA, deployment},
    {Apps__V1__ReplicaSet__SCHEMA, replica_set},
    {Apps__V1__DaemonSet__SCHEMA, daemon_set},
    {Apps__V1__StatefulSet__SCHEMA, stateful_set},
    {Batch__V1__Job__SCHEMA, job},
    {Batch__V1__CronJob__SCHEMA, cron_job},
    {Discovery__V1__EndpointSlice__SCHEMA, endpoint_slice},
    {Networking__V1__NetworkPolicy__SCHEMA, network_policy},
    {Networking__V1__IngressClass__SCHEMA, ingress_class},
    {Rbac__V1__RoleBinding__SCHEMA, role_binding},
    {Rbac__V1__ClusterRoleBinding__SCHEMA, cluster_role_binding},
    {Storage__V1__StorageClass__SCHEMA, storage_class},
    {Storage__V1__CSIDriver__SCHEMA, csi_driver},
    {Scheduling__V1__PriorityClass__SCHEMA, priority_class},
    {Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA, autoscaler_v1},
    {Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA, autoscaler_v2},
    {Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA, validating_webhooks},
    {Admissionregistration__V1__MutatingWebhookConfiguration__SCHEMA, mutating_webhooks},
    {Apiregistration__V1__APIService__SCHEMA, api_service},
    {Apiextensions__V1__CustomResourceDefinition__SCHEMA, custom_resource_definition},
    {Flowcontrol__V1__FlowSchema__SCHEMA, defaults_flow_schema},
    {Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA, defaults_priority_level},
    {Resource__V1__ResourceClaim__SCHEMA, defaults_resource_claim},
    {Resource__V1__ResourceClaimTemplate__SCHEMA, defaults_resource_claim_template},
    {Admissionregistration__V1__ValidatingAdmissionPolicy__SCHEMA, defaults_admission_policy},
    {Admissionregistration__V1__ValidatingAdmissionPolicyBinding__SCHEMA,
     defaults_admission_binding},
};

void defaults_apply(struct arena *a, void *object)
{
    int id = schema_of(object)->id;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].message == id) {
            kinds[i].apply(a, object);
            return;
        }
    }
}
