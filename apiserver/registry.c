/*
 * The table of served resources: see registry.h. The order of groups is upstream's discovery order.
 */
#include "apiserver/registry.h"
#include <string.h>

#define ALL                                                                                        \
    (VERB_GET | VERB_LIST | VERB_WATCH | VERB_CREATE | VERB_UPDATE | VERB_PATCH | VERB_DELETE |    \
     VERB_DELETECOLLECTION)
#define RW (VERB_GET | VERB_UPDATE | VERB_PATCH)
#define STATUS {"status", SUB_STATUS, RW, 0, 0, 0}
#define SCALE {"scale", SUB_SCALE, RW, "autoscaling", "v1", "Scale"}
#define ROW(g, v, n, s, k, p, ns, sn, cat, st, ...)                                                \
    {g, v, n, s, k, p, ns, ALL, sn, cat, st, 0, {__VA_ARGS__}}
#define VIRTUAL(g, v, n, s, k, p, ns) {g, v, n, s, k, p, ns, VERB_CREATE, "", "", 0, 0, {{0}}}

static const struct resource table[] = {
    /* core */
    VIRTUAL("", "v1", "bindings", "binding", "Binding", "core", true),
    ROW("", "v1", "configmaps", "configmap", "ConfigMap", "core", true, "cm", "", "configmaps", {0}),
    ROW("", "v1", "endpoints", "endpoints", "Endpoints", "core", true, "ep", "", "services/endpoints", {0}),
    ROW("", "v1", "events", "event", "Event", "core", true, "ev", "", "events", {0}),
    ROW("", "v1", "limitranges", "limitrange", "LimitRange", "core", true, "limits", "", "limitranges", {0}),
    {"", "v1", "namespaces", "namespace", "Namespace", "core", false, ALL & ~(unsigned)VERB_DELETECOLLECTION,
     "ns", "", "namespaces", 0, {{"finalize", SUB_FINALIZE, VERB_UPDATE, 0, 0, 0}, STATUS}},
    ROW("", "v1", "nodes", "node", "Node", "core", false, "no", "", "minions", STATUS),
    ROW("", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", "core", true,
        "pvc", "", "persistentvolumeclaims", STATUS),
    ROW("", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", "core", false, "pv", "",
        "persistentvolumes", STATUS),
    ROW("", "v1", "pods", "pod", "Pod", "core", true, "po", "all", "pods",
        {"binding", SUB_BINDING, VERB_CREATE, "", "v1", "Binding"},
        {"ephemeralcontainers", SUB_EPHEMERAL, RW, 0, 0, 0},
        {"eviction", SUB_EVICTION, VERB_CREATE, "policy", "v1", "Eviction"},
        {"log", SUB_LOG, VERB_GET, 0, 0, 0}, {"resize", SUB_RESIZE, RW, 0, 0, 0}, STATUS),
    ROW("", "v1", "podtemplates", "podtemplate", "PodTemplate", "core", true, "", "", "podtemplates", {0}),
    ROW("", "v1", "replicationcontrollers", "replicationcontroller", "ReplicationController", "core", true,
        "rc", "all", "controllers", SCALE, STATUS),
    ROW("", "v1", "resourcequotas", "resourcequota", "ResourceQuota", "core", true, "quota", "",
        "resourcequotas", STATUS),
    ROW("", "v1", "secrets", "secret", "Secret", "core", true, "", "", "secrets", {0}),
    ROW("", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "core", true, "sa", "",
        "serviceaccounts", {"token", SUB_TOKEN, VERB_CREATE, "authentication.k8s.io", "v1", "TokenRequest"}),
    ROW("", "v1", "services", "service", "Service", "core", true, "svc", "all", "services/specs", STATUS),
    /* apps */
    ROW("apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", "apps", true, "", "",
        "controllerrevisions", {0}),
    ROW("apps", "v1", "daemonsets", "daemonset", "DaemonSet", "apps", true, "ds", "all", "daemonsets", STATUS),
    ROW("apps", "v1", "deployments", "deployment", "Deployment", "apps", true, "deploy", "all", "deployments",
        SCALE, STATUS),
    ROW("apps", "v1", "replicasets", "replicaset", "ReplicaSet", "apps", true, "rs", "all", "replicasets",
        SCALE, STATUS),
    ROW("apps", "v1", "statefulsets", "statefulset", "StatefulSet", "apps", true, "sts", "all", "statefulsets",
        SCALE, STATUS),
    /* events */
    {"events.k8s.io", "v1", "events", "event", "Event", "events", true, ALL, "ev", "", "events", "core/v1", {{0}}},
    /* authentication, authorization: virtual */
    VIRTUAL("authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview",
            "authentication", false),
    VIRTUAL("authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", "authentication", false),
    VIRTUAL("authorization.k8s.io", "v1", "localsubjectaccessreviews", "localsubjectaccessreview",
            "LocalSubjectAccessReview", "authorization", true),
    VIRTUAL("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview",
            "SelfSubjectAccessReview", "authorization", false),
    VIRTUAL("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "selfsubjectrulesreview",
            "SelfSubjectRulesReview", "authorization", false),
    VIRTUAL("authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview",
            "authorization", false),
    /* autoscaling: v2 only, until there is a converter to v1 */
    ROW("autoscaling", "v2", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler",
        "autoscaling", true, "hpa", "all", "horizontalpodautoscalers", STATUS),
    /* batch */
    ROW("batch", "v1", "cronjobs", "cronjob", "CronJob", "batch", true, "cj", "all", "cronjobs", STATUS),
    ROW("batch", "v1", "jobs", "job", "Job", "batch", true, "", "all", "jobs", STATUS),
    /* certificates */
    ROW("certificates.k8s.io", "v1", "certificatesigningrequests", "certificatesigningrequest",
        "CertificateSigningRequest", "certificates", false, "csr", "", "certificatesigningrequests",
        {"approval", SUB_APPROVAL, RW, 0, 0, 0}, STATUS),
    /* networking */
    ROW("networking.k8s.io", "v1", "ingressclasses", "ingressclass", "IngressClass", "networking", false, "", "",
        "ingressclasses", {0}),
    ROW("networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", "networking", true, "ing", "", "ingress",
        STATUS),
    ROW("networking.k8s.io", "v1", "ipaddresses", "ipaddress", "IPAddress", "networking", false, "ip", "",
        "ipaddresses", {0}),
    ROW("networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", "networking", true,
        "netpol", "", "networkpolicies", {0}),
    ROW("networking.k8s.io", "v1", "servicecidrs", "servicecidr", "ServiceCIDR", "networking", false, "", "",
        "servicecidrs", STATUS),
    /* policy */
    ROW("policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", "policy", true,
        "pdb", "", "poddisruptionbudgets", STATUS),
    /* rbac */
    ROW("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding",
        "rbac", false, "", "", "clusterrolebindings", {0}),
    ROW("rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", "rbac", false, "", "",
        "clusterroles", {0}),
    ROW("rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", "rbac", true, "", "",
        "rolebindings", {0}),
    ROW("rbac.authorization.k8s.io", "v1", "roles", "role", "Role", "rbac", true, "", "", "roles", {0}),
    /* storage */
    ROW("storage.k8s.io", "v1", "csidrivers", "csidriver", "CSIDriver", "storage", false, "", "", "csidrivers", {0}),
    ROW("storage.k8s.io", "v1", "csinodes", "csinode", "CSINode", "storage", false, "", "", "csinodes", {0}),
    ROW("storage.k8s.io", "v1", "csistoragecapacities", "csistoragecapacity", "CSIStorageCapacity", "storage",
        true, "", "", "csistoragecapacities", {0}),
    ROW("storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass", "storage", false, "sc", "",
        "storageclasses", {0}),
    ROW("storage.k8s.io", "v1", "volumeattachments", "volumeattachment", "VolumeAttachment", "storage", false,
        "", "", "volumeattachments", STATUS),
    ROW("storage.k8s.io", "v1", "volumeattributesclasses", "volumeattributesclass", "VolumeAttributesClass",
        "storage", false, "vac", "", "volumeattributesclasses", {0}),
    /* admissionregistration */
    ROW("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "mutatingwebhookconfiguration",
        "MutatingWebhookConfiguration", "admissionregistration", false, "", "api-extensions",
        "mutatingwebhookconfigurations", {0}),
    ROW("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "validatingadmissionpolicy",
        "ValidatingAdmissionPolicy", "admissionregistration", false, "", "api-extensions",
        "validatingadmissionpolicies", STATUS),
    ROW("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding", "ValidatingAdmissionPolicyBinding", "admissionregistration", false,
        "", "api-extensions", "validatingadmissionpolicybindings", {0}),
    ROW("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",
        "validatingwebhookconfiguration", "ValidatingWebhookConfiguration", "admissionregistration", false, "",
        "api-extensions", "validatingwebhookconfigurations", {0}),
    /* scheduling, coordination, node, discovery, flowcontrol, resource */
    ROW("scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", "scheduling", false, "pc",
        "", "priorityclasses", {0}),
    ROW("coordination.k8s.io", "v1", "leases", "lease", "Lease", "coordination", true, "", "", "leases", {0}),
    ROW("node.k8s.io", "v1", "runtimeclasses", "runtimeclass", "RuntimeClass", "node", false, "", "",
        "runtimeclasses", {0}),
    ROW("discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice", "discovery", true, "", "",
        "endpointslices", {0}),
    ROW("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "flowschema", "FlowSchema", "flowcontrol", false, "",
        "", "flowschemas", STATUS),
    ROW("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "prioritylevelconfiguration",
        "PriorityLevelConfiguration", "flowcontrol", false, "", "", "prioritylevelconfigurations", STATUS),
    ROW("resource.k8s.io", "v1", "deviceclasses", "deviceclass", "DeviceClass", "resource", false, "", "",
        "deviceclasses", {0}),
    ROW("resource.k8s.io", "v1", "resourceclaims", "resourceclaim", "ResourceClaim", "resource", true, "", "",
        "resourceclaims", STATUS),
    ROW("resource.k8s.io", "v1", "resourceclaimtemplates", "resourceclaimtemplate", "ResourceClaimTemplate",
        "resource", true, "", "", "resourceclaimtemplates", {0}),
    ROW("resource.k8s.io", "v1", "resourceslices", "resourceslice", "ResourceSlice", "resource", false, "", "",
        "resourceslices", {0}),
};

const struct resource *registry_all(size_t *count)
{
    *count = sizeof table / sizeof table[0];
    return table;
}

const struct resource *registry_find(const char *group, const char *version, const char *resource)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, resource) == 0 && strcmp(table[i].group, group) == 0 &&
            strcmp(table[i].version, version) == 0)
            return &table[i];
    return NULL;
}

const struct resource *registry_find_kind(const char *group, const char *version, const char *kind)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].kind, kind) == 0 && strcmp(table[i].group, group) == 0 &&
            strcmp(table[i].version, version) == 0)
            return &table[i];
    return NULL;
}

const struct subresource *registry_subresource(const struct resource *r, const char *name)
{
    for (size_t i = 0; i < RESOURCE_SUBS_MAX && r->subs[i].name; i++)
        if (strcmp(r->subs[i].name, name) == 0)
            return &r->subs[i];
    return NULL;
}

size_t registry_versions(const char *group, const char **out, size_t out_max)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].group, group) != 0)
            continue;
        bool seen = false;
        for (size_t k = 0; k < n; k++)
            seen |= strcmp(out[k], table[i].version) == 0;
        if (!seen && n < out_max)
            out[n++] = table[i].version;
    }
    return n;
}

const char *registry_group_version(struct arena *a, const char *group, const char *version)
{
    return *group ? arena_printf(a, "%s/%s", group, version) : version;
}

size_t registry_index(const struct resource *r)
{
    return (size_t)(r - table);
}
