/*
 * What is said about bad objects of kinds whose rules are many or odd: each case is a good object with one thing
 * changed, both in YAML's flow style. Messages are those of kube-apiserver, cut where the rest is an explanation.
 */
#include "tests/unit/validation_test.h"

#define TEMPLATE "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}"
#define WORKLOAD(kind_)                                                                \
    "{apiVersion: apps/v1, kind: " kind_ ", metadata: {name: w, namespace: d}, spec: " \
    "{selector: {matchLabels: {a: b}}, " TEMPLATE "}}"
#define CLUSTERED(version_, kind_, rest_) \
    "{apiVersion: " version_ ", kind: " kind_ ", metadata: {name: n}, " rest_ "}"

static const char deployment[] = WORKLOAD("Deployment"), daemon_set[] = WORKLOAD("DaemonSet"),
                  stateful_set[] = WORKLOAD("StatefulSet"), replica_set[] = WORKLOAD("ReplicaSet");
static const char job[] =
    "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: d}, spec: {manualSelector: "
    "true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: "
    "{restartPolicy: Never, containers: [{name: c, image: i}]}}}}";
static const char cluster_role[] =
    CLUSTERED("rbac.authorization.k8s.io/v1", "ClusterRole",
              "aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}");
static const char storage_class[] =
    CLUSTERED("storage.k8s.io/v1", "StorageClass",
              "provisioner: x.io/y, allowedTopologies: [{matchLabelExpressions: [{key: zone, "
              "values: [a]}]}]");
static const char runtime_class[] =
    CLUSTERED("node.k8s.io/v1", "RuntimeClass",
              "handler: runc, overhead: {podFixed: {cpu: 1}}, scheduling: {tolerations: [{key: a, "
              "operator: Exists}]}");
static const char hooks[] =
    CLUSTERED("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
              "webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], "
              "clientConfig: {service: "
              "{name: s, namespace: n}}}]");
#define HOOK(client_)                                                                            \
    "{webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: " \
    "{" client_ "}}]}"
static const char api_service[] = "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, "
                                  "metadata: {name: v1.x.io}, spec: {group: x.io, version: "
                                  "v1, groupPriorityMinimum: 1, versionPriority: 1}}";
static const char request[] =
    CLUSTERED("certificates.k8s.io/v1", "CertificateSigningRequest",
              "spec: {signerName: a.b/c, request: eA==, usages: [client auth]}");
static const char autoscaler[] =
    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: "
    "d}, spec: {maxReplicas: "
    "3, scaleTargetRef: {kind: Deployment, apiVersion: apps/v1, name: x}}}";
static const char limit_range[] = "{apiVersion: v1, kind: LimitRange, metadata: {name: l, "
                                  "namespace: d}, spec: {limits: [{type: Container, max: "
                                  "{cpu: 1}}]}}";
static const char event[] = "{apiVersion: v1, kind: Event, metadata: {name: e, namespace: d}, "
                            "involvedObject: {namespace: d}}";
static const char claim[] =
    "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, namespace: d}, "
    "spec: {devices: {requests: "
    "[{name: r, exactly: {deviceClassName: gpu}}], constraints: [{matchAttribute: x.io/model}]}}}";
static const char budget[] = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: "
                             "b, namespace: d}, spec: {minAvailable: 1}}";
static const char service[] = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: d}, "
                              "spec: {clusterIPs: [None], clusterIP: None, "
                              "ports: [{name: a, port: 80}]}}";

/* An empty message: nothing is wrong; one that begins with '!' must not be there. */
static const struct validation_case creates[] = {
    /* workloads: selectors, strategies */
    {deployment, "", ""},
    {deployment, "{spec: {selector: null}}", "spec.selector: Required value"},
    {deployment, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    {deployment, "{spec: {selector: {matchLabels: {a: 'b c'}}}}",
     "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b c\"}}: invalid label selector"},
    {deployment, "{spec: {strategy: {type: Odd}}}",
     "spec.strategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported "
     "values: "
     "\"Recreate\", \"RollingUpdate\""},
    {deployment, "{spec: {strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0}}}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` "
     "is 0"},
    {deployment, "{spec: {strategy: {rollingUpdate: {maxUnavailable: 101%}}}}",
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater "
     "than 100%"},
    {replica_set, "", ""},
    {replica_set, "{spec: {selector: {matchLabels: null}}}",
     "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
    {daemon_set, "", ""},
    {daemon_set, "{spec: {selector: null}}", "!spec.selector: Required value"},
    {daemon_set, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    {daemon_set, "{spec: {updateStrategy: {type: Odd}}}",
     "spec.updateStrategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported "
     "values: "},
    {daemon_set, "{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}",
     "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge "
     "is 0"},
    {daemon_set, "{spec: {updateStrategy: {rollingUpdate: {maxSurge: 20%}}}}",
     "maxSurge: Invalid value: \"20%\": may not be set when maxUnavailable is non-zero"},
    {stateful_set, "", ""},
    {stateful_set, "{spec: {selector: {matchLabels: {a: 'b c'}}}}",
     "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b c\"}}"},
    {stateful_set, "{spec: {updateStrategy: {type: Odd}}}",
     "spec.updateStrategy: Invalid value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: must be "
     "'RollingUpdate' or "
     "'OnDelete'"},
    {stateful_set, "{spec: {updateStrategy: {type: OnDelete, rollingUpdate: {partition: 2}}}}",
     "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":2,\"MaxUnavailable\":null}: "
     "only allowed for "
     "updateStrategy 'RollingUpdate'"},
    {job, "", ""},
    {job, "{spec: {selector: null}}",
     "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
     "template `labels`"},
    /* cluster roles that gather others */
    {cluster_role, "", ""},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: []}}",
     "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector "
     "required if "
     "aggregationRule is non-nil"},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: 'b c'}}]}}",
     "aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"b c\": a valid label "
     "must be"},
    {cluster_role, "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: 'b c'}}]}}",
     "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector."},
    /* classes */
    {storage_class, "", ""},
    {storage_class, "{allowedTopologies: [{}]}",
     "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""},
    {runtime_class, "", ""},
    {runtime_class, "{overhead: {podFixed: {odd: 1}}}",
     "overhead.limits[odd]: Invalid value: \"odd\": must be a standard resource for containers"},
    {runtime_class,
     "{scheduling: {tolerations: [{key: a, operator: Exists}, {key: a, operator: Exists, "
     "tolerationSeconds: 5, effect: "
     "NoExecute}, {key: a, operator: Exists}]}}",
     "scheduling.tolerations[2]: Duplicate value: "
     "{\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\","
     "\"TolerationSeconds\":null}"},
    /* addresses of webhooks */
    {hooks, "", ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: ''}"), ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: /a/b/}"), ""},
    {hooks, HOOK("service: {name: s, namespace: n, path: //}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"//\": segment[0] may not be empty"},
    {hooks, HOOK("service: {name: s, namespace: n, path: /a//b}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be "
     "empty"},
    {hooks, HOOK("service: {name: s, namespace: n, path: 'B d'}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"B d\": must start with a '/'"},
    {hooks, HOOK("service: {namespace: n}"),
     "webhooks[0].clientConfig.service.namespace: Required value"},
    {hooks, HOOK("url: 'https://x.io/a'"), ""},
    {hooks, HOOK("url: 'http://x.io'"),
     "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL "
     "scheme; desired format: "
     "https://host[/path]"},
    {hooks, HOOK("url: odd"),
     "webhooks[0].clientConfig.url: Invalid value: \"\": 'https' is the only allowed URL scheme"},
    {hooks, HOOK("url: 'https:///a'"),
     "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified"},
    {hooks, HOOK("url: 'https://u:p@x.io'"),
     "webhooks[0].clientConfig.url: Invalid value: \"u:p\": user information is not permitted in "
     "the URL"},
    {hooks, HOOK("url: 'https://x.io?a=b#c'"),
     "webhooks[0].clientConfig.url: Invalid value: \"a=b\": query parameters are not permitted in "
     "the URL"},
    {hooks, HOOK("url: 'https://x.io?a=b#c'"),
     "webhooks[0].clientConfig.url: Invalid value: \"c\": fragments are not permitted in the URL"},
    /* values are shown as JSON */
    {api_service, "", ""},
    {api_service, "{spec: {caBundle: eHg=}}",
     "spec.caBundle: Invalid value: \"2 bytes\": local APIServices may not have a caBundle"},
    {api_service, "{metadata: {name: null}}", "!spec.version+"},
    {request, "",
     "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST"},
    {request, "{spec: {request: null}}",
     "spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"},
    {limit_range, "", ""},
    {limit_range, "{spec: {limits: [{type: Container, max: {cpu: 1}, min: {cpu: 2}}]}}",
     "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"},
    {service, "", ""},
    {service, "{spec: {ports: [{name: a, port: 80}, {name: b, port: 80}]}}",
     "spec.ports[1]: Duplicate value: "
     "{\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,"
     "\"TargetPort\":0,\"NodePort\":0}"},
    {autoscaler, "", ""},
    {autoscaler, "{spec: {minReplicas: 0}}",
     "spec.metrics: Forbidden: must specify at least one Object or External metric to support "
     "scaling to zero replicas"},
    {autoscaler,
     "{spec: {minReplicas: 0, metrics: [{type: External, external: {metric: {name: m}, target: "
     "{type: Value, value: 0}}}]}}",
     "!spec.metrics: Forbidden"},
    {autoscaler,
     "{spec: {metrics: [{type: External, external: {metric: {name: m}, target: {type: Value, "
     "value: 0}}}]}}",
     "spec.metrics[0].external.target.value: Invalid value: \"0\": must be positive"},
    {claim, "", ""},
    {claim, "{spec: {devices: {constraints: [{distinctAttribute: x.io/model}]}}}", ""},
    {claim, "{spec: {devices: {constraints: [{distinctAttribute: model}]}}}",
     "spec.devices.constraints[0].distinctAttribute: Invalid value: \"model\": a fully "
     "qualified name must be a domain and a name separated by a slash"},
    {claim, "{spec: {devices: {constraints: [{requests: [r]}]}}}",
     "spec.devices.constraints[0].matchAttribute: Required value"},
    /* names that are only parts of a path */
    {event, "{metadata: {name: 'Odd One!'}}", ""},
    {event, "{metadata: {name: a/b}}",
     "metadata.name: Invalid value: \"a/b\": may not contain '/'"},
    {budget, "{metadata: {name: 'Odd One!'}}", ""},
    {budget, "{spec: {minAvailable: x}}",
     "spec.minAvailable: Invalid value: \"x\": a valid percent string"},
};

/* ---- warnings ---- */

#define POD(spec_)                                                                               \
    "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: d}, spec: {containers: [{name: " \
    "c, image: i}], " spec_ "}}"
#define POD_OF(container_)                                                                       \
    "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: d}, spec: {containers: [{name: " \
    "c, image: i, " container_ "}]}}"
#define SERVICE(spec_) \
    "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: d}, spec: {" spec_ "}}"
#define VOLUME(spec_) \
    "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {" spec_ "}}"
#define DNS_LABEL                                                                                  \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end "                                                                          \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

/* All that is said about a new object, a line each. */
static const struct {
    const char *object, *warnings;
} warned[] = {
    {POD("restartPolicy: Always"), ""},
    {"{apiVersion: v1, kind: Pod, metadata: {name: a.b, namespace: d}, spec: {containers: [{name: "
     "c, image: i}]}}",
     "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
     "a DNS label is "
     "recommended: [" DNS_LABEL "]\n"},
    {POD("nodeSelector: {beta.kubernetes.io/os: linux}"),
     "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" "
     "instead\n"},
    {POD("affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
         "{nodeSelectorTerms: "
         "[{matchExpressions: [{key: beta.kubernetes.io/arch, operator: Exists}]}]}}}"),
     "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms["
     "0]."
     "matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "
     "\"kubernetes.io/arch\" "
     "instead\n"},
    {POD("affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: "
         "1, podAffinityTerm: "
         "{topologyKey: k}}]}}"),
     "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]."
     "podAffinityTerm.labelSelector: "
     "a null labelSelector results in matching no pod\n"},
    {POD("topologySpreadConstraints: [{topologyKey: failure-domain.beta.kubernetes.io/zone, "
         "maxSkew: 1, "
         "whenUnsatisfiable: DoNotSchedule}]"),
     "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is "
     "deprecated since v1.17; "
     "use \"topology.kubernetes.io/zone\" instead\n"
     "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no "
     "pod\n"},
    {POD("hostAliases: [{ip: 1.1.1.1}, {ip: 1.1.1.1}]"),
     "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"\n"},
    {POD("imagePullSecrets: [{name: a}, {name: a}, {}]"),
     "spec.imagePullSecrets[1].name: duplicate name \"a\"\nspec.imagePullSecrets[2].name: invalid "
     "empty name \"\"\n"},
    {POD("terminationGracePeriodSeconds: -1"),
     "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
     "treated as 1\n"},
    {POD("volumes: [{name: v, gitRepo: {repository: r}}]"),
     "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+\n"},
    {POD("volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: "
         "{storage: 100m}}}}}}]"),
     "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional "
     "byte value \"100m\" is "
     "invalid, must be an integer\n"},
    {POD("dnsPolicy: None, dnsConfig: {nameservers: ['2001:DB8::1']}"),
     "spec.dnsConfig.nameservers[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical "
     "format "
     "(\"2001:db8::1\")\n"},
    {"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: d, annotations: "
     "{scheduler.alpha.kubernetes.io/critical-pod: '', "
     "container.apparmor.security.beta.kubernetes.io/c: "
     "runtime/default}}, spec: {containers: [{name: c, image: i}]}}",
     "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
     "use the "
     "\"priorityClassName\" field instead\n"
     "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since "
     "v1.30; use the "
     "\"appArmorProfile\" field instead\n"},
    {POD_OF("resources: {limits: {memory: 500m}}"),
     "spec.containers[0].resources.limits[memory]: fractional byte value \"500m\" is invalid, must "
     "be an integer\n"
     "spec.containers[0].resources.requests[memory]: fractional byte value \"500m\" is invalid, "
     "must be an integer\n"},
    {POD_OF("env: [{name: A, value: a}, {name: A, value: '$(A)b'}, {name: A, value: c}]"),
     "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when "
     "using apply\n"},
    {POD_OF("ports: [{containerPort: 1}, {containerPort: 1}, {containerPort: 1, hostPort: 2}, "
            "{containerPort: 1, "
            "hostPort: 2, hostIP: 1.1.1.1}]"),
     "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]\n"
     "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[0]\n"
     "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]\n"
     "spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[0]\n"
     "spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[1]\n"
     "spec.containers[0].ports[3]: dangerously ambiguous port definition with "
     "spec.containers[0].ports[2]\n"},
    /* what makes pods */
    {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a.b, namespace: d}, spec: "
     "{selector: {matchLabels: {a: "
     "b}}, template: {metadata: {labels: {a: b}}, spec: {terminationGracePeriodSeconds: -1, "
     "containers: [{name: c, "
     "image: i}]}}}}",
     "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
     "behavior; a DNS label is "
     "recommended: [" DNS_LABEL "]\n"
     "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid "
     "and will be treated "
     "as 1\n"},
    {"{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: d}, spec: {schedule: "
     "'TZ=UTC 0 * * * *', "
     "jobTemplate: {spec: {completionMode: Indexed, completions: 100001, parallelism: 10001, "
     "template: {spec: "
     "{restartPolicy: Never, containers: [{name: c, image: i}]}}}}}}",
     "spec.jobTemplate.spec: In Indexed Jobs with a number of completions higher than 10^5 and a "
     "parallelism higher "
     "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of "
     "indexes fail\n"
     "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
     "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details\n"},
    /* services, policies */
    {SERVICE("ports: [{port: 80}]"), ""},
    {SERVICE("clusterIP: None, externalIPs: [1.1.1.1], loadBalancerIP: 1.1.1.1, sessionAffinity: "
             "ClientIP"),
     "spec.loadBalancerIP is ignored for headless services\nspec.externalIPs is ignored for "
     "headless services\n"
     "spec.SessionAffinity is ignored for headless services\n"},
    {SERVICE("type: ExternalName, externalName: a.b, externalIPs: [1.1.1.1]"),
     "spec.externalIPs is ignored when spec.type is \"ExternalName\"\n"},
    {SERVICE("externalName: a.b, trafficDistribution: PreferClose"),
     "spec.externalName is ignored when spec.type is not \"ExternalName\"\n"
     "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"\n"},
    {SERVICE("type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.1/8], externalIPs: "
             "['::ffff:1.2.3.4']"),
     "spec.externalIPs[0]: non-standard IP address \"::ffff:1.2.3.4\" will be considered invalid "
     "in a future Kubernetes "
     "release: use \"1.2.3.4\"\n"
     "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context "
     "(should be "
     "\"10.0.0.0/8\" or \"10.0.0.1/32\"?)\n"},
    {"{apiVersion: v1, kind: Service, metadata: {name: s, namespace: d, annotations: "
     "{service.kubernetes.io/topology-aware-hints: Auto}}}",
     "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
     "service.kubernetes.io/topology-mode instead\n"},
    {"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: n, namespace: d}, "
     "spec: {egress: [{to: "
     "[{ipBlock: {cidr: '2001:DB8::/32'}}]}]}}",
     "spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 "
     "canonical format "
     "(\"2001:db8::/32\")\n"},
    {"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: d, "
     "annotations: "
     "{kubernetes.io/ingress.class: x}}}",
     "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' "
     "instead\n"},
    /* storage */
    {VOLUME("persistentVolumeReclaimPolicy: Recycle, rbd: {image: i}, nodeAffinity: {required: "
            "{nodeSelectorTerms: "
            "[{matchExpressions: [{key: node-role.kubernetes.io/master, operator: Exists}]}]}}"),
     "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
     "recommended approach "
     "is to use dynamic provisioning.\n"
     "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
     "node-role.kubernetes.io/master is use "
     "\"node-role.kubernetes.io/control-plane\" instead\n"
     "spec.rbd: deprecated in v1.28, non-functional in v1.31+\n"},
    {"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: d, annotations: "
     "{volume.beta.kubernetes.io/storage-class: x}}, spec: {resources: {limits: {storage: "
     "1500m}}}}",
     "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
     "\"storageClassName\" "
     "attribute instead\n"
     "spec.resources.limits[storage]: fractional byte value \"1500m\" is invalid, must be an "
     "integer\n"},
    {CLUSTERED("storage.k8s.io/v1", "StorageClass",
               "provisioner: x, allowedTopologies: [{matchLabelExpressions: [{key: "
               "beta.kubernetes.io/os, values: [a]}]}]"),
     "allowedTopologies[0].matchLabelExpressions[0].key: beta.kubernetes.io/os is deprecated since "
     "v1.14; use "
     "\"kubernetes.io/os\" instead\n"},
    {"{apiVersion: storage.k8s.io/v1, kind: CSIStorageCapacity, metadata: {name: c, namespace: d}, "
     "nodeTopology: "
     "{matchLabels: {beta.kubernetes.io/os: a}}}",
     "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use "
     "\"kubernetes.io/os\" instead\n"},
    {CLUSTERED("storage.k8s.io/v1", "CSIDriver", "spec: {tokenRequests: [{audience: a}]}"),
     "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to "
     "prevent possible logging of tokens in volume attributes\n"},
    {CLUSTERED("storage.k8s.io/v1", "CSIDriver",
               "spec: {serviceAccountTokenInSecrets: false, tokenRequests: [{audience: a}]}"),
     ""},
    /* others */
    {CLUSTERED("node.k8s.io/v1", "RuntimeClass",
               "handler: h, scheduling: {nodeSelector: {beta.kubernetes.io/os: a}}"),
     "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead\n"},
    {CLUSTERED("v1", "Node", "spec: {externalID: x, podCIDRs: [10.0.0.1/24]}"),
     "spec.externalID: this field is deprecated, and is unused by Kubernetes\n"
     "spec.podCIDRs[0]: CIDR value \"10.0.0.1/24\" is ambiguous in this context (should be "
     "\"10.0.0.0/24\" or "
     "\"10.0.0.1/32\"?)\n"},
    {"{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: d, annotations: "
     "{kubernetes.io/enforce-mountable-secrets: 'true'}}}",
     "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer "
     "separate namespaces to "
     "isolate access to mounted secrets\n"},
};

static void hear(void *ctx, const char *text)
{
    buf_printf(ctx, "%s\n", text);
}

CASES_TEST(creates, CREATE, PART)

static void test_warnings(void **state)
{
    (void)state;
    struct arena a;
    bool good = true;
    arena_init(&a);
    for (size_t i = 0; i < sizeof warned / sizeof *warned; i++) {
        struct buf heard;
        buf_init(&heard);
        validate_warnings(&a, changed(&a, json_of(&a, warned[i].object), ""), NULL, hear, &heard);
        if (strcmp(buf_cstr(&heard), warned[i].warnings) != 0) {
            print_error("%s\ngot\n%swant\n%s", warned[i].object, buf_cstr(&heard),
                        warned[i].warnings);
            good = false;
        }
        buf_free(&heard);
    }
    arena_free(&a);
    assert_true(good);
}

/* ---- defaults that depend on what is said ---- */

#define AUTOSCALER(more_)                                                                         \
    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: " \
    "d}, spec: {maxReplicas: "                                                                    \
    "3, scaleTargetRef: {kind: D, name: x}" more_ "}}"

static const struct {
    const char *object, *has; /* a part of the result's JSON */
} defaulted[] = {
    {AUTOSCALER(""), "\"minReplicas\":1,\"maxReplicas\":3,\"metrics\":[{\"type\":\"Resource\","
                     "\"resource\":{\"name\":\"cpu\","
                     "\"target\":{\"type\":\"Utilization\",\"averageUtilization\":80}}}]}"},
    {AUTOSCALER(", behavior: {}"), "\"behavior\":{\"scaleUp\":{\"stabilizationWindowSeconds\":0,"
                                   "\"selectPolicy\":\"Max\",\"policies\":[{\"type\":\"Pods\","
                                   "\"value\":4,\"periodSeconds\":15},{\"type\":\"Percent\","
                                   "\"value\":100,\"periodSeconds\":15}]},\"scaleDown\":"
                                   "{\"selectPolicy\":\"Max\",\"policies\":[{\"type\":\"Percent\","
                                   "\"value\":100,\"periodSeconds\":15}]}}"},
    {AUTOSCALER(", behavior: {scaleDown: {stabilizationWindowSeconds: 60, selectPolicy: Min, "
                "policies: [{type: Pods, "
                "value: 1, periodSeconds: 30}]}}"),
     "\"scaleDown\":{\"stabilizationWindowSeconds\":60,\"selectPolicy\":\"Min\",\"policies\":[{"
     "\"type\":\"Pods\",\"value\":1,"
     "\"periodSeconds\":30}]}"},
};

static void test_defaults(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof defaulted / sizeof *defaulted; i++) {
        struct buf json;
        buf_init(&json);
        json_encode(changed(&a, json_of(&a, defaulted[i].object), ""), JSON_DEFAULT, &json);
        if (!strstr(buf_cstr(&json), defaulted[i].has))
            fail_msg("%s\nlacks %s", buf_cstr(&json), defaulted[i].has);
        buf_free(&json);
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_creates),
                                       cmocka_unit_test(test_warnings),
                                       cmocka_unit_test(test_defaults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
