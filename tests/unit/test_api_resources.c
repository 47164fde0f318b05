/*
 * What clients find out about built-in resources and rely on: names, short names, categories, the columns of `kubectl
 * get` (a star: only with -o wide) and the fields that select, as published for v1.35.
 */
#include "api/kinds.h"
#include "api/selector.h"
#include "tests/unit/api_test.h"

static const struct {
    const char *api_version, *plural, *singular, *short_names, *categories, *columns;
} published[] = {
    {"v1", "configmaps", "configmap", "cm", "", "Name,Data,Age"},
    {"v1", "endpoints", "endpoints", "ep", "", "Name,Endpoints,Age"},
    {"v1", "events", "event", "ev", "",
     "Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*"},
    {"v1", "limitranges", "limitrange", "limits", "", "Name,Created At"},
    {"v1", "namespaces", "namespace", "ns", "", "Name,Status,Age"},
    {"v1", "nodes", "node", "no", "",
     "Name,Status,Roles,Age,Version,Internal-IP*,External-IP*,OS-Image*,Kernel-Version*,Container-"
     "Runtime*"},
    {"v1", "persistentvolumeclaims", "persistentvolumeclaim", "pvc", "",
     "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode*"},
    {"v1", "persistentvolumes", "persistentvolume", "pv", "",
     "Name,Capacity,Access Modes,Reclaim "
     "Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,VolumeMode*"},
    {"v1", "pods", "pod", "po", "all",
     "Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*"},
    {"v1", "podtemplates", "podtemplate", "", "", "Name,Containers,Images,Pod Labels"},
    {"v1", "replicationcontrollers", "replicationcontroller", "rc", "all",
     "Name,Desired,Current,Ready,Age,Containers*,Images*,Selector*"},
    {"v1", "resourcequotas", "resourcequota", "quota", "", "Name,Request,Limit,Age"},
    {"v1", "secrets", "secret", "", "", "Name,Type,Data,Age"},
    {"v1", "serviceaccounts", "serviceaccount", "sa", "", "Name,Secrets,Age"},
    {"v1", "services", "service", "svc", "all",
     "Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector*"},
    {"apiregistration.k8s.io/v1", "apiservices", "apiservice", "", "api-extensions",
     "Name,Service,Available,Age"},
    {"apps/v1", "controllerrevisions", "controllerrevision", "", "",
     "Name,Controller,Revision,Age"},
    {"apps/v1", "daemonsets", "daemonset", "ds", "all",
     "Name,Desired,Current,Ready,Up-to-date,Available,Node "
     "Selector,Age,Containers*,Images*,Selector*"},
    {"apps/v1", "deployments", "deployment", "deploy", "all",
     "Name,Ready,Up-to-date,Available,Age,Containers*,Images*,Selector*"},
    {"apps/v1", "replicasets", "replicaset", "rs", "all",
     "Name,Desired,Current,Ready,Age,Containers*,Images*,Selector*"},
    {"apps/v1", "statefulsets", "statefulset", "sts", "all", "Name,Ready,Age,Containers*,Images*"},
    {"events.k8s.io/v1", "events", "event", "ev", "",
     "Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*"},
    {"autoscaling/v2", "horizontalpodautoscalers", "horizontalpodautoscaler", "hpa", "all",
     "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age"},
    {"autoscaling/v1", "horizontalpodautoscalers", "horizontalpodautoscaler", "hpa", "all",
     "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age"},
    {"batch/v1", "cronjobs", "cronjob", "cj", "all",
     "Name,Schedule,Timezone,Suspend,Active,Last Schedule,Age,Containers*,Images*,Selector*"},
    {"batch/v1", "jobs", "job", "", "all",
     "Name,Status,Completions,Duration,Age,Containers*,Images*,Selector*"},
    {"certificates.k8s.io/v1", "certificatesigningrequests", "certificatesigningrequest", "csr", "",
     "Name,Age,SignerName,Requestor,RequestedDuration,Condition"},
    {"networking.k8s.io/v1", "ingressclasses", "ingressclass", "", "",
     "Name,Controller,Parameters,Age"},
    {"networking.k8s.io/v1", "ingresses", "ingress", "ing", "",
     "Name,Class,Hosts,Address,Ports,Age"},
    {"networking.k8s.io/v1", "ipaddresses", "ipaddress", "ip", "", "Name,ParentRef"},
    {"networking.k8s.io/v1", "networkpolicies", "networkpolicy", "netpol", "",
     "Name,Pod-Selector,Age"},
    {"networking.k8s.io/v1", "servicecidrs", "servicecidr", "", "", "Name,CIDRs,Age"},
    {"policy/v1", "poddisruptionbudgets", "poddisruptionbudget", "pdb", "",
     "Name,Min Available,Max Unavailable,Allowed Disruptions,Age"},
    {"rbac.authorization.k8s.io/v1", "clusterrolebindings", "clusterrolebinding", "", "",
     "Name,Role,Age,Users*,Groups*,ServiceAccounts*"},
    {"rbac.authorization.k8s.io/v1", "clusterroles", "clusterrole", "", "", "Name,Created At"},
    {"rbac.authorization.k8s.io/v1", "rolebindings", "rolebinding", "", "",
     "Name,Role,Age,Users*,Groups*,ServiceAccounts*"},
    {"rbac.authorization.k8s.io/v1", "roles", "role", "", "", "Name,Created At"},
    {"storage.k8s.io/v1", "csidrivers", "csidriver", "", "",
     "Name,AttachRequired,PodInfoOnMount,StorageCapacity,TokenRequests,RequiresRepublish,Modes,"
     "Age"},
    {"storage.k8s.io/v1", "csinodes", "csinode", "", "", "Name,Drivers,Age"},
    {"storage.k8s.io/v1", "csistoragecapacities", "csistoragecapacity", "", "",
     "Name,StorageClassName,Capacity"},
    {"storage.k8s.io/v1", "storageclasses", "storageclass", "sc", "",
     "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age"},
    {"storage.k8s.io/v1", "volumeattachments", "volumeattachment", "", "",
     "Name,Attacher,PV,Node,Attached,Age"},
    {"storage.k8s.io/v1", "volumeattributesclasses", "volumeattributesclass", "vac", "",
     "Name,DriverName,Age"},
    {"admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations",
     "mutatingwebhookconfiguration", "", "api-extensions", "Name,Webhooks,Age"},
    {"admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "validatingadmissionpolicy",
     "", "api-extensions", "Name,Validations,ParamKind,Age"},
    {"admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings",
     "validatingadmissionpolicybinding", "", "api-extensions", "Name,PolicyName,ParamRef,Age"},
    {"admissionregistration.k8s.io/v1", "validatingwebhookconfigurations",
     "validatingwebhookconfiguration", "", "api-extensions", "Name,Webhooks,Age"},
    {"apiextensions.k8s.io/v1", "customresourcedefinitions", "customresourcedefinition", "crd,crds",
     "api-extensions", "Name,Created At"},
    {"scheduling.k8s.io/v1", "priorityclasses", "priorityclass", "pc", "",
     "Name,Value,Global-Default,Age,PreemptionPolicy"},
    {"coordination.k8s.io/v1", "leases", "lease", "", "", "Name,Holder,Age"},
    {"node.k8s.io/v1", "runtimeclasses", "runtimeclass", "", "", "Name,Handler,Age"},
    {"discovery.k8s.io/v1", "endpointslices", "endpointslice", "", "",
     "Name,AddressType,Ports,Endpoints,Age"},
    {"resource.k8s.io/v1", "deviceclasses", "deviceclass", "", "", "Name,Age"},
    {"resource.k8s.io/v1", "resourceclaims", "resourceclaim", "", "", "Name,State,Age"},
    {"resource.k8s.io/v1", "resourceclaimtemplates", "resourceclaimtemplate", "", "", "Name,Age"},
    {"resource.k8s.io/v1", "resourceslices", "resourceslice", "", "", "Name,Node,Driver,Pool,Age"},
    {"flowcontrol.apiserver.k8s.io/v1", "flowschemas", "flowschema", "", "",
     "Name,PriorityLevel,MatchingPrecedence,DistinguisherMethod,Age,MissingPL"},
    {"flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", "prioritylevelconfiguration",
     "", "", "Name,Type,NominalConcurrencyShares,Queues,HandSize,QueueLengthLimit,Age"},
};

static const char *joined(struct arena *a, const char *const *items)
{
    const char *text = "";
    for (size_t i = 0; items[i]; i++)
        text = arena_printf(a, "%s%s%s", text, i ? "," : "", items[i]);
    return text;
}

static const char *columns_of(struct arena *a, const struct resource *r)
{
    const char *text = "";
    for (size_t i = 0; r->columns[i].name; i++)
        text = arena_printf(a, "%s%s%s%s", text, i ? "," : "", r->columns[i].name,
                            r->columns[i].priority ? "*" : "");
    return text;
}

static const struct resource *find(const char *api_version, const char *plural)
{
    for (size_t i = 0; i < resources_len; i++) {
        if (strcmp(resources[i].api_version, api_version) == 0 &&
            strcmp(resources[i].plural, plural) == 0)
            return &resources[i];
    }
    return NULL;
}

static void test_published(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const struct resource *r = find(published[i].api_version, published[i].plural);
        if (!r)
            fail_msg("%s %s is not served", published[i].api_version, published[i].plural);
        assert_string_equal(r->singular, published[i].singular);
        assert_string_equal(joined(&a, r->short_names), published[i].short_names);
        assert_string_equal(joined(&a, r->categories), published[i].categories);
        if (strcmp(columns_of(&a, r), published[i].columns) != 0)
            fail_msg("%s: got %s want %s", r->plural, columns_of(&a, r), published[i].columns);
    }
    arena_free(&a);
}

/* The table above is complete: a new resource comes with a row. */
static void test_all_are_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < resources_len; i++) {
        const struct resource *r = &resources[i];
        bool known = !*r->storage_prefix;
        for (size_t k = 0; k < sizeof published / sizeof *published && !known; k++)
            known = strcmp(published[k].api_version, r->api_version) == 0 &&
                    strcmp(published[k].plural, r->plural) == 0;
        if (!known)
            fail_msg("%s %s is not in the table", r->api_version, r->plural);
    }
}

/* Every kind: metadata.name; in a namespace, or where it has no row here: metadata.namespace; these too, and no others. */
static const struct {
    const char *api_version, *plural, *fields[16];
} selectable[] = {
    {"v1",
     "pods",
     {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
      "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs",
      "status.nominatedNodeName"}},
    {"v1",
     "events",
     {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
      "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
      "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"}},
    {"events.k8s.io/v1",
     "events",
     {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
      "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reason",
      "reportingController", "type"}},
    {"v1", "secrets", {"type"}},
    {"v1", "nodes", {"spec.unschedulable"}},
    {"v1", "namespaces", {"status.phase"}},
    {"v1", "replicationcontrollers", {"status.replicas"}},
    {"apps/v1", "replicasets", {"status.replicas"}},
    {"batch/v1", "jobs", {"status.successful"}},
    {"certificates.k8s.io/v1", "certificatesigningrequests", {"spec.signerName"}},
};

static bool selects(struct arena *a, const struct resource *r, const char *field)
{
    struct field_selector s;
    struct error err;
    return field_selector_parse(a, r, str_from(arena_printf(a, "%s=1", field)), &s, &err) == 0;
}

static bool has_row(const struct resource *r)
{
    for (size_t i = 0; i < sizeof selectable / sizeof *selectable; i++)
        if (find(selectable[i].api_version, selectable[i].plural) == r)
            return true;
    return strcmp(r->plural, "resourceslices") == 0;
}

static void test_field_selectors(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof selectable / sizeof *selectable; i++) {
        const struct resource *r = find(selectable[i].api_version, selectable[i].plural);
        for (const char *const *f = selectable[i].fields; *f; f++) {
            if (!selects(&a, r, *f))
                fail_msg("%s cannot be selected by %s", r->plural, *f);
        }
        assert_false(selects(&a, r, "spec.odd"));
    }
    for (size_t i = 0; i < resources_len; i++) {
        const struct resource *r = &resources[i];
        assert_true(selects(&a, r, "metadata.name"));
        assert_int_equal(selects(&a, r, "metadata.namespace"), r->namespaced || !has_row(r));
        assert_false(selects(&a, r, "involvedObject.kind") && strcmp(r->api_version, "v1") != 0);
        assert_false(selects(&a, r, "metadata.uid"));
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published),
                                       cmocka_unit_test(test_all_are_known),
                                       cmocka_unit_test(test_field_selectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
