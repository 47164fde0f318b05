/*
 * The rules of autoscaling, rbac, storage, networking, policy, scheduling and node, one by one: a good object
 * with one thing changed, and all that kube-apiserver 1.35 says about it, word by word.
 */
#include "api/validation/diff.h"
#include "tests/unit/validation_test.h"

#define IN(group_, kind_, more_) \
    "{apiVersion: " group_ ", kind: " kind_ ", metadata: {name: x, namespace: d}, " more_ "}"
#define OF(group_, kind_, more_) \
    "{apiVersion: " group_ ", kind: " kind_ ", metadata: {name: x}, " more_ "}"
#define RBAC "rbac.authorization.k8s.io"
#define STORAGE "storage.k8s.io/v1"
#define NETWORK "networking.k8s.io/v1"

/* --- autoscaling ---- */

#define TARGET "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}"
static const char hpa1[] =
    IN("autoscaling/v1", "HorizontalPodAutoscaler", "spec: {maxReplicas: 3, " TARGET "}");
static const char hpa[] =
    IN("autoscaling/v2", "HorizontalPodAutoscaler", "spec: {maxReplicas: 3, " TARGET "}");

#define METRIC(metric_) "{spec: {metrics: [" metric_ "]}}"
#define RESOURCE(target_) METRIC("{type: Resource, resource: {name: cpu, target: " target_ "}}")
#define CONTAINER(more_)                                                                \
    METRIC("{type: ContainerResource, containerResource: {target: {type: Utilization, " \
           "averageUtilization: 5}, " more_ "}}")
#define PODS(target_) METRIC("{type: Pods, pods: {metric: {name: m}, target: " target_ "}}")
#define OBJECT(ref_, target_)                               \
    METRIC("{type: Object, object: {describedObject: " ref_ \
           ", metric: {name: m}, target: " target_ "}}")
#define EXTERNAL(target_) \
    METRIC("{type: External, external: {metric: {name: m}, target: " target_ "}}")
#define SCALE_UP(rules_) "{spec: {behavior: {scaleUp: " rules_ "}}}"
#define POLICY(policy_) SCALE_UP("{policies: [" policy_ "]}")

static const struct validation_case autoscaling[] = {
    {hpa, "", ""},
    {hpa1, "", ""},
    {hpa, "{spec: {minReplicas: -1}}",
     "spec.minReplicas: Invalid value: -1: must be greater than or equal to 1"},
    {hpa, "{spec: {maxReplicas: 0}}",
     "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid "
     "value: 0: must be greater than or equal to `minReplicas`]"},
    {hpa, "{spec: {minReplicas: 4}}",
     "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"},
    {hpa, "{spec: {minReplicas: 0}}",
     "[spec.minReplicas: Invalid value: 0: must be greater than or equal to 1, spec.metrics: "
     "Forbidden: must specify at least one Object or External metric to support scaling to zero "
     "replicas]"},
    {hpa, "{spec: {scaleTargetRef: {kind: null, name: null}}}",
     "[spec.scaleTargetRef.kind: Required value, spec.scaleTargetRef.name: Required value]"},
    {hpa, "{spec: {scaleTargetRef: {kind: a/b, name: '..'}}}",
     "[spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/', "
     "spec.scaleTargetRef.name: Invalid value: \"..\": may not be '..']"},
    {hpa, "{spec: {scaleTargetRef: {apiVersion: a/b/c}}}",
     "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: "
     "a/b/c"},
    {hpa, "{spec: {scaleTargetRef: {apiVersion: v1}}}",
     "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group"},
    {hpa, "{spec: {scaleTargetRef: {apiVersion: null}}}",
     "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"},
    {hpa1, "{spec: {scaleTargetRef: {apiVersion: v1}}}",
     "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group"},
    {hpa, "{spec: {scaleTargetRef: {apiVersion: v1, kind: ReplicationController}}}", ""},
    {hpa1, "{spec: {scaleTargetRef: {apiVersion: null, kind: ReplicationController}}}", ""},
    /* metrics */
    {hpa, METRIC("{type: Odd}"),
     "spec.metrics[0].type: Unsupported value: \"Odd\": supported values: \"ContainerResource\", "
     "\"External\", \"Object\", \"Pods\", \"Resource\""},
    {hpa, METRIC("{type: Pods}"),
     "spec.metrics[0].pods: Required value: must populate information for the given metric "
     "source"},
    {hpa,
     METRIC("{type: Resource, external: {metric: {name: m}, target: {type: Value, value: 1}}, "
            "containerResource: {name: cpu, container: c, target: {type: Value, value: 1}}}"),
     "[spec.metrics[0].resource: Required value: must populate information for the given metric "
     "source, spec.metrics[0].containerResource: Forbidden: must populate the given metric source "
     "only, spec.metrics[0].external: Forbidden: must populate the given metric source only]"},
    {hpa, RESOURCE("{type: Utilization, averageUtilization: 0}"),
     "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than "
     "0"},
    {hpa, RESOURCE("{averageUtilization: 5}"),
     "[spec.metrics[0].resource.target.type: Required value: must specify a metric target type, "
     "spec.metrics[0].resource.target.type: Invalid value: \"\": must be either Utilization, "
     "Value, or AverageValue]"},
    {hpa, RESOURCE("{type: Utilization}"),
     "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a "
     "target raw value or a target utilization"},
    {hpa, RESOURCE("{type: Utilization, averageUtilization: 5, averageValue: 1}"),
     "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value "
     "and a target utilization"},
    {hpa,
     METRIC("{type: Resource, resource: {target: {type: Utilization, averageUtilization: 5}}}"),
     "spec.metrics[0].resource.name: Required value: must specify a resource name"},
    {hpa, CONTAINER("name: cpu, container: c"), ""},
    {hpa, CONTAINER("name: ''"),
     "[spec.metrics[0].containerResource.name: Required value: must specify a resource name, "
     "spec.metrics[0].containerResource.container: Required value: must specify a container]"},
    {hpa, CONTAINER("name: pods, container: c"),
     "spec.metrics[0].containerResource.name: Invalid value: \"pods\": must be a standard resource "
     "for containers"},
    {hpa, CONTAINER("name: cpu, container: c_"),
     "spec.metrics[0].containerResource.container: Invalid value: \"c_\": a lowercase RFC 1123 "
     "label must consist of lower case alphanumeric characters or '-', and must start and end with "
     "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
    {hpa, PODS("{type: AverageValue}"),
     "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target "
     "averageValue"},
    {hpa, PODS("{type: AverageValue, averageValue: '0'}"),
     "spec.metrics[0].pods.target.averageValue: Invalid value: \"0\": must be positive"},
    {hpa,
     METRIC("{type: Pods, pods: {metric: {name: a%, selector: {matchLabels: {a: 'b c'}}}, target: "
            "{type: AverageValue, averageValue: 1}}}"),
     "spec.metrics[0].pods.metric.name: Invalid value: \"a%\": may not contain '%'"},
    {hpa,
     METRIC("{type: Pods, pods: {metric: {name: ''}, target: {type: AverageValue, averageValue: "
            "1}}}"),
     "spec.metrics[0].pods.metric.name: Required value: must specify a metric name"},
    {hpa, OBJECT("{apiVersion: v1, kind: Service, name: s}", "{type: Value, value: 1}"), ""},
    {hpa, OBJECT("{apiVersion: a/b/c, kind: Service}", "{type: Value}"),
     "[spec.metrics[0].object.describedObject.name: Required value, "
     "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected "
     "GroupVersion string: a/b/c, spec.metrics[0].object.target.averageValue: Required value: must "
     "set either a target value or averageValue]"},
    {hpa, EXTERNAL("{type: Value, value: -1}"),
     "spec.metrics[0].external.target.value: Invalid value: \"-1\": must be positive"},
    {hpa, EXTERNAL("{type: Value}"),
     "spec.metrics[0].external.target.averageValue: Required value: must set either a target value "
     "for metric or a per-pod target"},
    {hpa, EXTERNAL("{type: Value, value: 1, averageValue: 1}"),
     "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric "
     "and a per-pod target"},
    /* behaviour */
    {hpa, SCALE_UP("{stabilizationWindowSeconds: -1}"),
     "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or "
     "equal to zero"},
    {hpa, SCALE_UP("{stabilizationWindowSeconds: 3601}"),
     "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or "
     "equal to 3600"},
    {hpa, SCALE_UP("{selectPolicy: Most}"),
     "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Most\": supported values: "
     "\"Disabled\", \"Max\", \"Min\""},
    {hpa, SCALE_UP("{tolerance: -1}"),
     "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0"},
    {hpa, POLICY("{type: Odd, value: 1, periodSeconds: 1}"),
     "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Odd\": supported values: "
     "\"Percent\", \"Pods\""},
    {hpa, POLICY("{type: Pods, value: 0, periodSeconds: 0}"),
     "[spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, "
     "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 0: must be greater than "
     "zero]"},
    {hpa, POLICY("{type: Pods, value: 1, periodSeconds: 1801}"),
     "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or "
     "equal to 1800"},
};

/* --- rbac ---- */

static const char role[] =
    IN(RBAC "/v1", "Role", "rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]");
static const char cluster_role[] =
    OF(RBAC "/v1", "ClusterRole", "rules: [{verbs: [get], nonResourceURLs: [/healthz]}]");
static const char binding[] = IN(RBAC "/v1", "RoleBinding",
                                 "roleRef: {apiGroup: " RBAC ", kind: Role, name: r}, subjects: "
                                 "[{kind: ServiceAccount, name: s}]");
static const char cluster_binding[] =
    OF(RBAC "/v1", "ClusterRoleBinding",
       "roleRef: {apiGroup: " RBAC ", kind: ClusterRole, name: r}, subjects: [{kind: User, "
       "apiGroup: " RBAC ", name: u}]");

static const struct validation_case rbac[] = {
    {role, "", ""},
    {cluster_role, "", ""},
    {binding, "", ""},
    {cluster_binding, "", ""},
    {role, "{metadata: {name: a/b}}", "metadata.name: Invalid value: \"a/b\": may not contain '/'"},
    {role, "{rules: [{}]}",
     "[rules[0].verbs: Required value: verbs must contain at least one value, rules[0].apiGroups: "
     "Required value: resource rules must supply at least one api group, rules[0].resources: "
     "Required value: resource rules must supply at least one resource]"},
    {role, "{rules: [{verbs: [get], nonResourceURLs: [/a, /b]}]}",
     "rules[0].nonResourceURLs: Invalid value: [\"/a\",\"/b\"]: namespaced rules cannot apply to "
     "non-resource URLs"},
    {cluster_role, "{rules: [{verbs: [get], nonResourceURLs: [/a], resourceNames: [b]}]}",
     "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular "
     "resources and non-resource URLs"},
    {cluster_role, "{aggregationRule: {}}",
     "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector "
     "required if aggregationRule is non-nil"},
    {cluster_role,
     "{aggregationRule: {clusterRoleSelectors: [{matchExpressions: [{key: a, operator: Odd}]}]}}",
     "[aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: "
     "\"Odd\": not a valid selector operator, aggregationRule.clusterRoleSelectors[0]: Invalid "
     "value: null: invalid label selector.]"},
    {binding, "{roleRef: {apiGroup: x, kind: Odd, name: a/b}}",
     "[roleRef.apiGroup: Unsupported value: \"x\": supported values: \"" RBAC
     "\", roleRef.kind: Unsupported value: \"Odd\": supported values: \"Role\", \"ClusterRole\", "
     "roleRef.name: Invalid value: \"a/b\": may not contain '/']"},
    {cluster_binding, "{roleRef: {kind: Role, name: null}}",
     "[roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\", roleRef.name: "
     "Required value]"},
    {binding, "{subjects: [{kind: Odd}]}",
     "[subjects[0].name: Required value, subjects[0].kind: Unsupported value: \"Odd\": supported "
     "values: \"ServiceAccount\", \"User\", \"Group\"]"},
    {cluster_binding, "{subjects: [{kind: ServiceAccount, name: s, apiGroup: x}]}",
     "[subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"\", "
     "subjects[0].namespace: Required value]"},
    {binding, "{subjects: [{kind: Group, name: g, apiGroup: x}]}",
     "subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"" RBAC "\""},
};

/* --- storage ---- */

static const char class[] = OF(STORAGE, "StorageClass", "provisioner: X.io/y");
static const char attributes[] =
    OF(STORAGE, "VolumeAttributesClass", "driverName: x.io, parameters: {a: b}");
static const char driver[] = OF(STORAGE, "CSIDriver", "spec: {}");
static const char csi_node[] =
    OF(STORAGE, "CSINode", "spec: {drivers: [{name: a, nodeID: b, topologyKeys: [k]}]}");
static const char attachment[] =
    OF(STORAGE, "VolumeAttachment",
       "spec: {attacher: x.io, nodeName: n, source: {persistentVolumeName: v}}");
static const char capacity[] =
    IN(STORAGE, "CSIStorageCapacity", "storageClassName: c, nodeTopology: {matchLabels: {a: b}}");

#define TERM(key_, values_) \
    "{matchLabelExpressions: [{key: " key_ ", values: [" values_ "]}, {key: z, values: [c, d]}]}"
#define TERM_BACK(key_, values_) \
    "{matchLabelExpressions: [{key: z, values: [d, c]}, {key: " key_ ", values: [" values_ "]}]}"
#define INLINE_PATH "spec.source.inlineVolumeSpec"
#define INLINE(spec_) \
    "{spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {" spec_ "}}}}"
#define CSI "csi: {driver: x.io, volumeHandle: h}"

static const struct validation_case storage[] = {
    {class, "", ""},
    {attributes, "", ""},
    {driver, "", ""},
    {csi_node, "", ""},
    {attachment, "", ""},
    {capacity, "", ""},
    {class, "{provisioner: null}", "provisioner: Required value"},
    {class, "{provisioner: X/Y/Z}",
     "provisioner: Invalid value: \"x/y/z\": a valid label key must consist of alphanumeric "
     "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
     "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
     "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
     "(e.g. 'example.com/MyName')"},
    {class, "{parameters: {'': a}}", "parameters: Invalid value: \"\": field can not be empty."},
    {class, "{reclaimPolicy: Recycle}",
     "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""},
    {class, "{volumeBindingMode: Odd}",
     "volumeBindingMode: Unsupported value: \"Odd\": supported values: \"Immediate\", "
     "\"WaitForFirstConsumer\""},
    {class, "{allowedTopologies: [{}]}",
     "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""},
    {class, "{allowedTopologies: [" TERM("a", "b, c") ", " TERM_BACK("a", "c, b") "]}",
     "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""},
    {class, "{allowedTopologies: [" TERM("a", "b, c") ", " TERM_BACK("a", "b") "]}", ""},
    {class, "{allowedTopologies: [" TERM("z", "b, b") "]}",
     "[allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"b\", "
     "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"z\"]"},
    {class, "{allowedTopologies: [{matchLabelExpressions: [{key: a}]}]}",
     "allowedTopologies[0].matchLabelExpressions[0].values: Required value"},
    {attributes, "{driverName: null, parameters: null}",
     "[driverName: Required value, parameters: Required value: must contain at least one key/value "
     "pair]"},
    {attributes, "{driverName: x.io/y}", ""},
    /* drivers */
    {driver, "{spec: {attachRequired: false, fsGroupPolicy: Odd}}",
     "spec.fsGroupPolicy: Unsupported value: \"Odd\": supported values: \"File\", \"None\", "
     "\"ReadWriteOnceWithFSType\""},
    {driver,
     "{spec: {volumeLifecycleModes: [Brief], tokenRequests: [{audience: a}, {audience: a}]}}",
     "[spec.tokenRequests[1].audience: Duplicate value: \"a\", spec.volumeLifecycleModes: "
     "Unsupported value: \"Brief\": supported values: \"Persistent\", \"Ephemeral\"]"},
    {driver,
     "{spec: {tokenRequests: [{audience: a, expirationSeconds: 1}, {audience: b, "
     "expirationSeconds: 4294967297}]}}",
     "[spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less "
     "than 10 minutes, spec.tokenRequests[1].expirationSeconds: Invalid value: 4294967297: may not "
     "specify a duration larger than 2^32 seconds]"},
    {driver, "{spec: {serviceAccountTokenInSecrets: false}}",
     "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set "
     "but no tokenRequests are specified"},
    {driver, "{spec: {serviceAccountTokenInSecrets: true, tokenRequests: [{audience: a}]}}", ""},
    {driver, "{spec: {nodeAllocatableUpdatePeriodSeconds: 9}}",
     "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to "
     "10 seconds"},
    {csi_node, "{spec: {drivers: [{nodeID: '', allocatable: {count: -1}}]}}",
     "[spec.drivers[0].name: Required value, spec.drivers[0].name: Invalid value: \"\": a "
     "lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
     "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
     "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), "
     "spec.drivers[0].nodeID: Required value, spec.drivers[0].allocatable.count: Invalid value: "
     "-1: must be greater than or equal to 0]"},
    {csi_node,
     "{spec: {drivers: [{name: a, nodeID: b}, {name: a, nodeID: c, topologyKeys: [k, k, '']}]}}",
     "[spec.drivers[1].name: Duplicate value: \"a\", spec.drivers[1]: Duplicate value: \"k\", "
     "spec.drivers[1]: Required value, spec.drivers[1]: Invalid value: \"\": name part must be "
     "non-empty, spec.drivers[1]: Invalid value: \"\": name part must consist of alphanumeric "
     "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
     "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
     "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]"},
    /* attachments */
    {attachment, "{spec: {attacher: A_b, source: {persistentVolumeName: null}}}",
     "[spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
     "persistentVolumeName, spec.attacher: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain "
     "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
     "an alphanumeric character (e.g. 'example.com', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]"},
    {attachment, INLINE("accessModes: [ReadWriteOnce], " CSI), ""},
    {attachment,
     INLINE("accessModes: [ReadWriteOnce], capacity: {storage: 1}, claimRef: {name: c}, "
            "persistentVolumeReclaimPolicy: Delete, storageClassName: s, volumeMode: Block, "
            "nodeAffinity: {}, hostPath: {path: /a}"),
     "[" INLINE_PATH ".claimRef: Forbidden: may not be specified in the context of inline "
     "volumes, " INLINE_PATH ".capacity: Forbidden: may not be specified in the context of inline "
     "volumes, " INLINE_PATH ".csi: Required value: has to be specified in the context of inline "
     "volumes, " INLINE_PATH ".persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the "
     "context of inline volumes, " INLINE_PATH ".nodeAffinity: Forbidden: may not be specified in "
     "the context of inline volumes, " INLINE_PATH ".storageClassName: Forbidden: may not be "
     "specified in the context of inline volumes, " INLINE_PATH ".volumeMode: Forbidden: may not "
     "specify volumeMode other than Filesystem in the context of inline volumes]"},
    {attachment, "{spec: {source: {inlineVolumeSpec: {}}}}",
     "spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and "
     "persistentVolumeName"},
    {attachment, "{status: {attachError: {errorCode: -1}}}",
     "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, "
     "inclusive"},
    {capacity, "{capacity: -1, maximumVolumeSize: -1, storageClassName: C_}",
     "[storageClassName: Invalid value: \"C_\": a lowercase RFC 1123 subdomain must consist of "
     "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
     "character (e.g. 'example.com', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), capacity: Invalid "
     "value: \"-1\": must be greater than or equal to 0]"},
};

/* --- networking, policy, scheduling, node ---- */

static const char policy[] = IN(NETWORK, "NetworkPolicy", "spec: {podSelector: {}}");
static const char ingress[] = IN(NETWORK, "Ingress",
                                 "spec: {defaultBackend: {service: {name: s, port: {number: "
                                 "80}}}}");
static const char ingress_class[] = OF(NETWORK, "IngressClass", "spec: {controller: x.io/c}");
static const char address[] =
    "{apiVersion: " NETWORK ", kind: IPAddress, metadata: {name: 10.0.0.1}, spec: {parentRef: "
    "{resource: services, name: s}}}";
static const char ranges[] = OF(NETWORK, "ServiceCIDR", "spec: {cidrs: [10.0.0.0/24]}");
static const char budget[] = IN("policy/v1", "PodDisruptionBudget", "spec: {minAvailable: 1}");
static const char priority[] = OF("scheduling.k8s.io/v1", "PriorityClass", "value: 10");
static const char runtime[] = OF("node.k8s.io/v1", "RuntimeClass", "handler: runc");

#define PORT(port_) "{spec: {ingress: [{ports: [" port_ "]}]}}"
#define PEER(peer_) "{spec: {egress: [{to: [" peer_ "]}]}}"
#define PATHS(path_) "{spec: {rules: [{http: {paths: [" path_ "]}}]}}"
#define TO_S "backend: {service: {name: s, port: {name: p}}}"
#define BACKEND(backend_) "{spec: {defaultBackend: " backend_ "}}"
#define PARAMETERS(parameters_) "{spec: {parameters: {kind: K, name: n, " parameters_ "}}}"
#define CIDR "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
#define RESERVED                                                                             \
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for " \
    "system "                                                                                \
    "use only. error: "
#define ADDRESS(name_) "{metadata: {name: '" name_ "'}}"
#define RANGES(cidrs_) "{spec: {cidrs: [" cidrs_ "]}}"
#define ONE_OF_EACH \
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"

static const struct validation_case networking[] = {
    {policy, "", ""},
    {ingress, "", ""},
    {ingress_class, "", ""},
    {address, "", ""},
    {ranges, "", ""},
    {policy, PORT("{protocol: ICMP, port: 70000}"),
     "[spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", "
     "\"UDP\", \"SCTP\", spec.ingress[0].ports[0].port: Invalid value: 70000: must be between 1 "
     "and 65535, inclusive]"},
    {policy, PORT("{port: 9, endPort: 8}"),
     "spec.ingress[0].ports[0].endPort: Invalid value: 9: must be greater than or equal to "
     "`port`"},
    {policy, PORT("{port: 9, endPort: 70000}"),
     "spec.ingress[0].ports[0].endPort: Invalid value: 70000: must be between 1 and 65535, "
     "inclusive"},
    {policy, PORT("{endPort: 8}"),
     "spec.ingress[0].ports[0].endPort: Invalid value: 8: may not be specified when `port` is not "
     "specified"},
    {policy, PORT("{port: a--b, endPort: 8}"),
     "[spec.ingress[0].ports[0].endPort: Invalid value: 8: may not be specified when `port` is "
     "non-numeric, spec.ingress[0].ports[0].port: Invalid value: \"a--b\": must not contain "
     "consecutive hyphens]"},
    {policy, PEER("{}"), "spec.egress[0].to[0]: Required value: must specify a peer"},
    {policy, PEER("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}"),
     "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"},
    {policy, PEER("{ipBlock: {except: [a]}}"), "spec.egress[0].to[0].ipBlock.cidr: Required value"},
    {policy, PEER("{ipBlock: {cidr: a, except: [b]}}"),
     "spec.egress[0].to[0].ipBlock.cidr: Invalid value: \"a\": " CIDR},
    {policy, PEER("{ipBlock: {cidr: 10.0.0.0/8, except: [b, 10.0.0.0/8, 11.0.0.0/9]}}"),
     "[spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"b\": " CIDR
     ", spec.egress[0].to[0].ipBlock.except[1]: Invalid value: \"10.0.0.0/8\": must be a strict "
     "subset of `cidr`, spec.egress[0].to[0].ipBlock.except[2]: Invalid value: \"11.0.0.0/9\": "
     "must be a strict subset of `cidr`]"},
    {policy, "{spec: {policyTypes: [Ingress, Egress, Ingress]}}",
     "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more "
     "than two policyTypes"},
    {ingress, "{spec: {defaultBackend: null}}",
     "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
    {ingress, BACKEND("{service: null}"),
     "spec.defaultBackend: Invalid value: \"\": resource or service backend is required"},
    {ingress, BACKEND("{resource: {kind: K, name: n}}"),
     "spec.defaultBackend: Invalid value: \"\": cannot set both resource and service backends"},
    {ingress, BACKEND("{service: null, resource: {apiGroup: A_, kind: '', name: ''}}"),
     "[spec.defaultBackend.resource.apiGroup: Invalid value: \"A_\": a lowercase RFC 1123 "
     "subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
     "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), "
     "spec.defaultBackend.resource.kind: Required value: kind is required, "
     "spec.defaultBackend.resource.name: Required value: name is required]"},
    {ingress, BACKEND("{service: {name: null, port: {number: null}}}"),
     "[spec.defaultBackend.service.name: Required value, spec.defaultBackend: Required value: port "
     "name or number is required]"},
    {ingress, BACKEND("{service: {port: {name: p}}}"),
     "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number"},
    {ingress, PATHS("{" TO_S "}"),
     "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"},
    {ingress, PATHS("{pathType: Odd, " TO_S "}"),
     "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Odd\": supported values: "
     "\"Exact\", \"ImplementationSpecific\", \"Prefix\""},
    {ingress, PATHS("{pathType: Exact, path: a//b/.., " TO_S "}"),
     "[spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute path, "
     "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//', "
     "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..']"},
    {ingress, "{spec: {rules: [{host: 10.0.0.1, http: {}}]}}",
     "[spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address, "
     "spec.rules[0].http.paths: Required value]"},
    {ingress, "{spec: {rules: [{host: 'a.*'}]}}",
     "spec.rules[0].host: Invalid value: \"a.*\": a wildcard DNS-1123 subdomain must start with "
     "'*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric "
     "characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex "
     "used for validation is "
     "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
    {ingress,
     "{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: b}}",
     "annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` "
     "when both are specified"},
    {ingress_class, "{spec: {controller: null}}", "spec.controller: Required value"},
    {ingress_class, PARAMETERS("scope: Odd"),
     "spec.parameters.scope: Unsupported value: \"Odd\": supported values: \"Cluster\", "
     "\"Namespace\""},
    {ingress_class, PARAMETERS("scope: Cluster, namespace: a"),
     "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"},
    {ingress_class, PARAMETERS("scope: Namespace"),
     "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"},
    /* addresses */
    {address, ADDRESS("2001:DB8::1"),
     "metadata.name: Invalid value: \"2001:DB8::1\": must be in canonical form (\"2001:db8::1\")"},
    {address, ADDRESS("10.0.0.01"),
     "metadata.name: Invalid value: \"10.0.0.01\": must not have leading 0s"},
    {address, ADDRESS("::ffff:10.0.0.1"),
     "metadata.name: Invalid value: \"::ffff:10.0.0.1\": must not be an IPv4-mapped IPv6 address"},
    {address, ADDRESS("a"),
     "metadata.name: Invalid value: \"a\": must be a valid IP address, (e.g. 10.9.8.7 or "
     "2001:db8::ffff)"},
    {address, "{spec: {parentRef: null}}", "spec.parentRef: Required value"},
    {address, "{spec: {parentRef: {resource: '', name: a/b, namespace: a%}}}",
     "[spec.parentRef.resource: Required value, spec.parentRef.name: Invalid value: \"a/b\": may "
     "not contain '/', spec.parentRef.namespace: Invalid value: \"a%\": may not contain '%']"},
    {ranges, RANGES(""), "spec.cidrs: Required value: at least one CIDR required"},
    {ranges, RANGES("10.0.0.0/24, 'fd00::/64', 10.1.0.0/24"),
     "spec.cidrs: Invalid value: {\"CIDRs\":[\"10.0.0.0/24\",\"fd00::/64\",\"10.1.0.0/24\"]}: may "
     "only hold up to 2 values"},
    {ranges, RANGES("10.0.0.0/24, 'fd00::/64'"), ""},
    {ranges, RANGES("10.0.0.0/24, 10.1.0.0/24"),
     "spec.cidrs: Invalid value: {\"CIDRs\":[\"10.0.0.0/24\",\"10.1.0.0/24\"]}: " ONE_OF_EACH},
    {ranges, RANGES("a"), "spec.cidrs[0]: Invalid value: \"a\": " CIDR},
    {ranges, RANGES("10.0.0.1/24"),
     "spec.cidrs[0]: Invalid value: \"10.0.0.1/24\": must not have bits set beyond the prefix "
     "length"},
    {ranges, RANGES("10.00.0.0/24"),
     "spec.cidrs[0]: Invalid value: \"10.00.0.0/24\": must not have leading 0s in IP or prefix "
     "length"},
    {ranges, RANGES("'FD00::/64'"),
     "spec.cidrs[0]: Invalid value: \"FD00::/64\": must be in canonical form (\"fd00::/64\")"},
};

static const struct validation_case others[] = {
    {budget, "", ""},
    {priority, "", ""},
    {runtime, "", ""},
    {budget, "{spec: {maxUnavailable: 5%, selector: {matchLabels: {a: b}}}}",
     "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},"
     "\"MaxUnavailable\":\"5%\",\"UnhealthyPodEvictionPolicy\":null}: minAvailable and "
     "maxUnavailable cannot be both set"},
    {budget, "{spec: {minAvailable: -1}}",
     "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"},
    {budget, "{spec: {minAvailable: 101%}}",
     "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"},
    {budget, "{spec: {minAvailable: a}}",
     "spec.minAvailable: Invalid value: \"a\": a valid percent string must be a numeric string "
     "followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"},
    {budget, "{spec: {unhealthyPodEvictionPolicy: Odd}}",
     "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Odd\": supported values: "
     "\"AlwaysAllow\", \"IfHealthyBudget\""},
    {priority, "{metadata: {name: system-x}}",
     RESERVED "system-x is not a known system priority class"},
    {priority, "{metadata: {name: system-node-critical}}",
     RESERVED "value of system-node-critical PriorityClass must be 2000001000"},
    {priority,
     "{metadata: {name: system-cluster-critical}, value: 2000000000, globalDefault: true}",
     RESERVED "globalDefault of system-cluster-critical PriorityClass must be false"},
    {priority, "{value: 1000000001}",
     "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
    {priority, "{preemptionPolicy: Odd}",
     "preemptionPolicy: Unsupported value: \"Odd\": supported values: \"PreemptLowerPriority\", "
     "\"Never\""},
    {priority, "{preemptionPolicy: ''}", "preemptionPolicy: Required value"},
    {runtime, "{scheduling: {nodeSelector: {a: 'b c'}}}",
     "scheduling.nodeSelector: Invalid value: \"b c\": a valid label must be an empty string or "
     "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
     "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
     "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
};

/* --- what may not change, and what is checked again ---- */

static const char grouped[] = IN("autoscaling/v2", "HorizontalPodAutoscaler",
                                 "spec: {maxReplicas: 3, scaleTargetRef: {kind: D, name: d}}");
static const char critical[] =
    "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: "
    "system-node-critical}, value: 2000001000}";

static const struct validation_case updates[] = {
    {grouped, "{spec: {maxReplicas: 4}}", ""}, /* as before: not looked at */
    {grouped, "{spec: {scaleTargetRef: {kind: E}}}",
     "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"},
    {cluster_binding, "{roleRef: {name: b}}",
     "roleRef: Invalid value: {\"APIGroup\":\"" RBAC
     "\",\"Kind\":\"ClusterRole\",\"Name\":\"b\"}: cannot change roleRef"},
    {class, "{parameters: {a: b}, provisioner: z, reclaimPolicy: Retain}",
     "[parameters: Forbidden: updates to parameters are forbidden., provisioner: Forbidden: "
     "updates to provisioner are forbidden., reclaimPolicy: Forbidden: updates to reclaimPolicy "
     "are forbidden.]"},
    {class, "{volumeBindingMode: WaitForFirstConsumer}",
     "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"},
    {attributes, "{driverName: y, parameters: {a: c}}",
     "[driverName: Forbidden: updates to driverName are forbidden., parameters: Forbidden: updates "
     "to parameters are forbidden.]"},
    {driver, "{spec: {attachRequired: false, volumeLifecycleModes: [Ephemeral]}}",
     "[spec.attachedRequired: Invalid value: false: field is immutable, spec.volumeLifecycleModes: "
     "Invalid value: [\"Ephemeral\"]: field is immutable]"},
    {driver, "{spec: {fsGroupPolicy: File, podInfoOnMount: true, storageCapacity: true}}", ""},
    {csi_node, "{spec: {drivers: [{name: a, nodeID: c, topologyKeys: [k, l]}]}}",
     "spec.drivers: Invalid value: {\"Name\":\"a\",\"NodeID\":\"c\",\"TopologyKeys\":[\"k\",\"l\"],"
     "\"Allocatable\":null}: field is immutable"},
    {csi_node,
     "{spec: {drivers: [{name: a, nodeID: b, topologyKeys: [k], allocatable: {count: 3}}, {name: "
     "c, nodeID: d}]}}",
     ""},
    {attachment, "{spec: {source: {persistentVolumeName: W_}}}",
     "spec: Invalid value: {\"Attacher\":\"x.io\",\"Source\":{\"PersistentVolumeName\":\"W_\","
     "\"InlineVolumeSpec\":null},\"NodeName\":\"n\"}: field is immutable"},
    {capacity, "{nodeTopology: {matchLabels: {a: c}}, storageClassName: e}",
     "[nodeTopology: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable, "
     "storageClassName: Invalid value: \"e\": field is immutable]"},
    {ingress_class, "{spec: {controller: y.io/c, parameters: {kind: K, name: n, scope: Odd}}}",
     "[spec.controller: Invalid value: \"y.io/c\": field is immutable, spec.parameters.scope: "
     "Unsupported value: \"Odd\": supported values: \"Cluster\", \"Namespace\"]"},
    {ingress,
     "{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: b}}",
     ""}, /* of new ones only */
    {address, "{spec: {parentRef: {name: t}}}",
     "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"\","
     "\"Name\":\"t\"}: field is immutable"},
    {ranges, RANGES("10.0.1.0/24"),
     "spec.cidrs[0]: Invalid value: \"10.0.1.0/24\": field is immutable"},
    {ranges, RANGES("10.0.0.0/24, 'fd00::/64'"), ""},
    {ranges, RANGES(""),
     "[spec.cidrs: Required value: at least one CIDR required, spec.cidrs: Invalid value: []: "
     "field "
     "is immutable]"},
    {priority, "{value: 11, preemptionPolicy: Never}",
     "[value: Forbidden: may not be changed in an update., preemptionPolicy: Invalid value: "
     "\"Never\": field is immutable]"},
    {critical, "{globalDefault: true}", ""}, /* of new ones only */
    {runtime, "{handler: kata}", "handler: Invalid value: \"kata\": field is immutable"},
};

/* --- refusals that end with a difference ---- */

static const char pod[] = IN("v1", "Pod",
                             "spec: {hostNetwork: true, containers: [{name: c, image: i, ports: "
                             "[{containerPort: 80, hostPort: 80}]}]}");
static const char claim[] =
    IN("v1", "PersistentVolumeClaim",
       "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}");
static const char volume[] =
    OF("v1", "PersistentVolume",
       "spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, nfs: {server: s, path: /}}");
static const char node[] = OF("v1", "Node", "spec: {podCIDRs: [10.0.0.0/24]}");
static const char quota[] =
    IN("v1", "ResourceQuota", "spec: {hard: {pods: 1}, scopes: [Terminating, BestEffort]}");

static const struct validation_case differences[] = {
    {pod, "{spec: {hostNetwork: false, hostname: h}}",
     "spec: Forbidden: pod updates may not change fields other than "
     "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
     "tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
     "(allow it to be set to 1 if it was previously negative)\n"
     "@@ -52,7 +52,7 @@\n"
     "  \"AutomountServiceAccountToken\": null,\n"
     "  \"NodeName\": \"\",\n"
     "  \"SecurityContext\": {\n"
     "-  \"HostNetwork\": true,\n"
     "+  \"HostNetwork\": false,\n"
     "   \"HostPID\": false,\n"
     "   \"HostIPC\": false,\n"
     "   \"ShareProcessNamespace\": null,\n"
     "@@ -72,7 +72,7 @@\n"
     "   \"SELinuxChangePolicy\": null\n"
     "  },\n"
     "  \"ImagePullSecrets\": null,\n"
     "- \"Hostname\": \"\",\n"
     "+ \"Hostname\": \"h\",\n"
     "  \"Subdomain\": \"\",\n"
     "  \"SetHostnameAsFQDN\": null,\n"
     "  \"Affinity\": null,\n"},
    {pod, "{spec: {containers: [{name: c, image: i, env: [{name: A, value: b}]}]}}",
     "spec: Forbidden: pod updates may not change fields other than "
     "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
     "tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
     "(allow it to be set to 1 if it was previously negative)\n"
     "@@ -8,17 +8,15 @@\n"
     "    \"Command\": null,\n"
     "    \"Args\": null,\n"
     "    \"WorkingDir\": \"\",\n"
     "-   \"Ports\": [\n"
     "+   \"Ports\": null,\n"
     "+   \"EnvFrom\": null,\n"
     "+   \"Env\": [\n"
     "     {\n"
     "-     \"Name\": \"\",\n"
     "-     \"HostPort\": 80,\n"
     "-     \"ContainerPort\": 80,\n"
     "-     \"Protocol\": \"TCP\",\n"
     "-     \"HostIP\": \"\"\n"
     "+     \"Name\": \"A\",\n"
     "+     \"Value\": \"b\",\n"
     "+     \"ValueFrom\": null\n"
     "     }\n"
     "    ],\n"
     "-   \"EnvFrom\": null,\n"
     "-   \"Env\": null,\n"
     "    \"Resources\": {\n"
     "     \"Limits\": null,\n"
     "     \"Requests\": null,\n"},
    {claim, "{spec: {accessModes: [ReadWriteMany], volumeName: v}}",
     "spec: Forbidden: spec is immutable after creation except resources.requests and "
     "volumeAttributesClassName for bound claims\n"
     "@@ -1,6 +1,6 @@\n"
     " {\n"
     "  \"AccessModes\": [\n"
     "-  \"ReadWriteOnce\"\n"
     "+  \"ReadWriteMany\"\n"
     "  ],\n"
     "  \"Selector\": null,\n"
     "  \"Resources\": {\n"},
    {volume, "{spec: {nfs: {server: t}}}",
     "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
     "creation\n"
     "@@ -4,7 +4,7 @@\n"
     "  \"HostPath\": null,\n"
     "  \"Glusterfs\": null,\n"
     "  \"NFS\": {\n"
     "-  \"Server\": \"s\",\n"
     "+  \"Server\": \"t\",\n"
     "   \"Path\": \"/\",\n"
     "   \"ReadOnly\": false\n"
     "  },\n"},
    {node, "{spec: {podCIDRs: [10.0.1.0/24]}}",
     "[spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid, "
     "[]: Forbidden: node updates may only change labels, taints, or capacity (or configSource, if "
     "the DynamicKubeletConfig feature gate is enabled)]"},
    {quota, "{spec: {scopes: [BestEffort, Terminating, BestEffort]}}", ""},
};

static const struct validation_case statuses[] = {
    {hpa, "{status: {currentReplicas: -1, desiredReplicas: -1}}",
     "[status.currentReplicas: Invalid value: -1: must be greater than or equal to 0, "
     "status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0]"},
    {budget, "{status: {disruptionsAllowed: -1, expectedPods: -1}}",
     "[status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0, "
     "status.expectedPods: Invalid value: -1: must be greater than or equal to 0]"},
    {ingress, "{status: {loadBalancer: {ingress: [{ip: a, hostname: 10.0.0.1}]}}}",
     "[status.loadBalancer.ingress[0].ip: Invalid value: \"a\": must be a valid IP address, (e.g. "
     "10.9.8.7 or 2001:db8::ffff), status.loadBalancer.ingress[0].hostname: Invalid value: "
     "\"10.0.0.1\": must be a DNS name, not an IP address]"},
    {attachment, "{status: {detachError: {errorCode: -5}}}",
     "status.detachError.errorCode: Invalid value: -5: must be between 0 and 2147483647, "
     "inclusive"},
};

/* ---- */

CASES_TEST(autoscaling, CREATE, WHOLE)
CASES_TEST(rbac, CREATE, WHOLE)
CASES_TEST(storage, CREATE, WHOLE)
CASES_TEST(networking, CREATE, WHOLE)
CASES_TEST(others, CREATE, WHOLE)
CASES_TEST(updates, UPDATE, WHOLE)
CASES_TEST(differences, UPDATE, WHOLE)
CASES_TEST(statuses, STATUS, WHOLE)

/* Lines of which there are few kinds, in no order: comparing them would take long, and nothing is shown. */
static void test_large_differences(void **state)
{
    struct arena a;
    struct buf text[2] = {0};
    uint32_t random = 1;
    (void)state;
    arena_init(&a);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < 3900; i++) {
            random = random * 1664525u + 1013904223u;
            buf_printf(&text[side], "%u\n", (random >> 16) % 100);
        }
    assert_string_equal(unified_diff(&a, buf_cstr(&text[0]), buf_cstr(&text[1])), "");
    const char *same = arena_strdup(&a, buf_cstr(&text[0]));
    buf_append_cstr(&text[0], "one more\n");
    assert_non_null(strstr(unified_diff(&a, same, buf_cstr(&text[0])), "\n+one more\n"));
    buf_free(&text[0]);
    buf_free(&text[1]);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_differences),
        cmocka_unit_test(test_autoscaling),
        cmocka_unit_test(test_rbac),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_networking),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
