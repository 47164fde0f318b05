/*
 * What is said about bad objects of the smaller groups: each case is a good object with one thing changed.
 * Messages are those of kube-apiserver, cut where the rest is an explanation.
 */
#include "tests/unit/validation_test.h"

#define META(name_) "\"metadata\":{\"name\":\"" name_ "\"}"
#define META_IN(name_) "\"metadata\":{\"name\":\"" name_ "\",\"namespace\":\"d\"}"
#define TYPE(version_, kind_) "{\"apiVersion\":\"" version_ "\",\"kind\":\"" kind_ "\","

static const char ingress[] = TYPE("networking.k8s.io/v1", "Ingress")
    META_IN("i") ",\"spec\":{\"rules\":[{\"host\":\"a.b\",\"http\":{\"paths\":[{\"path\":\"/"
                 "\",\"pathType\":\"Prefix\",\"backend\":{\"service\":{\"name\":\"s\",\"port\":{"
                 "\"number\":80}}}}]}}]}}";
static const char policy[] = TYPE("networking.k8s.io/v1", "NetworkPolicy")
    META_IN("p") ",\"spec\":{\"podSelector\":{},\"ingress\":[{\"ports\":[{\"port\":80}],\"from\":[{"
                 "\"ipBlock\":{\"cidr\":\"10.0.0.0/8\"}}]}]}}";
static const char ip_address[] = TYPE("networking.k8s.io/v1", "IPAddress")
    META("10.0.0.1") ",\"spec\":{\"parentRef\":{\"resource\":\"services\",\"name\":\"s\","
                     "\"namespace\":\"d\"}}}";
static const char storage_class[] =
    TYPE("storage.k8s.io/v1", "StorageClass") META("s") ",\"provisioner\":\"x.io/y\"}";
static const char csi_driver[] =
    TYPE("storage.k8s.io/v1", "CSIDriver") META("x.io") ",\"spec\":{\"attachRequired\":true}}";
static const char autoscaler[] = TYPE("autoscaling/v2", "HorizontalPodAutoscaler")
    META_IN("h") ",\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":{\"kind\":\"Deployment\","
                 "\"apiVersion\":\"apps/v1\",\"name\":\"x\"}}}";
static const char budget[] =
    TYPE("policy/v1", "PodDisruptionBudget") META_IN("b") ",\"spec\":{\"minAvailable\":1}}";
static const char webhooks[] =
    TYPE("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
        META("w") ",\"webhooks\":[{\"name\":\"a.b.c\",\"sideEffects\":\"None\","
                  "\"admissionReviewVersions\":[\"v1\"],\"clientConfig\":{\"url\":\"https://"
                  "x.io\"},\"rules\":[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":"
                  "[\"v1\"],\"resources\":[\"pods\"]}]}]}";
static const char flow_schema[] = TYPE("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
    META("f") ",\"spec\":{\"matchingPrecedence\":5,\"priorityLevelConfiguration\":{\"name\":\"x\"},"
              "\"rules\":[{\"subjects\":[{\"kind\":\"User\",\"user\":{\"name\":\"u\"}}],"
              "\"nonResourceRules\":[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/a/*\"]}]}]}}";
static const char priority_level[] =
    TYPE("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
        META("p") ",\"spec\":{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":1,"
                  "\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":64,\"handSize\":6,"
                  "\"queueLengthLimit\":50}}}}}";
static const char api_service[] = TYPE("apiregistration.k8s.io/v1", "APIService")
    META("v1.x.io") ",\"spec\":{\"group\":\"x.io\",\"version\":\"v1\",\"groupPriorityMinimum\":1,"
                    "\"versionPriority\":1,\"insecureSkipTLSVerify\":true,\"service\":{"
                    "\"namespace\":\"d\",\"name\":\"s\"}}}";
static const char priority_class[] =
    TYPE("scheduling.k8s.io/v1", "PriorityClass") META("p") ",\"value\":10}";
static const char runtime_class[] =
    TYPE("node.k8s.io/v1", "RuntimeClass") META("r") ",\"handler\":\"runc\"}";
static const char claim[] = TYPE("resource.k8s.io/v1", "ResourceClaim")
    META_IN("c") ",\"spec\":{\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{"
                 "\"deviceClassName\":\"gpu\",\"allocationMode\":\"ExactCount\"}}]}}}";
static const char slice[] = TYPE("resource.k8s.io/v1", "ResourceSlice")
    META("s") ",\"spec\":{\"driver\":\"x.io\",\"nodeName\":\"n\",\"pool\":{\"name\":\"p\","
              "\"resourceSliceCount\":1},\"devices\":[{\"name\":\"d\"}]}}";
static const char node[] = TYPE("v1", "Node")
    META("n") ",\"spec\":{\"podCIDRs\":[\"10.0.0.0/24\"],\"podCIDR\":\"10.0.0.0/24\"}}";
static const char event[] = TYPE("events.k8s.io/v1", "Event")
    META_IN("e") ",\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"reportingController\":\"x.io/"
                 "c\",\"reportingInstance\":\"i\",\"action\":\"a\",\"reason\":\"r\",\"type\":"
                 "\"Normal\",\"regarding\":{\"namespace\":\"d\"}}";
static const char lease[] =
    TYPE("coordination.k8s.io/v1", "Lease") META_IN("l") ",\"spec\":{\"leaseDurationSeconds\":1}}";

static const struct validation_case creates[] = {
    {ingress, "", ""},
    {ingress, "{\"spec\":{\"rules\":null}}",
     "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
    {ingress, "{\"spec\":{\"defaultBackend\":{}}}",
     "spec.defaultBackend: Invalid value: \"\": resource or service backend is required"},
    {policy, "", ""},
    {policy, "{\"spec\":{\"policyTypes\":[\"Both\"]}}",
     "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\""},
    {ip_address, "", ""},
    {ip_address, "{\"spec\":{\"parentRef\":null}}", "spec.parentRef: Required value"},
    {storage_class, "", ""},
    {storage_class, "{\"provisioner\":null}", "provisioner: Required value"},
    {storage_class, "{\"reclaimPolicy\":\"Recycle\"}",
     "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""},
    {csi_driver, "", ""},
    {csi_driver, "{\"spec\":{\"volumeLifecycleModes\":[\"Brief\"]}}",
     "spec.volumeLifecycleModes: Unsupported value: \"Brief\""},
    {autoscaler, "", ""},
    {autoscaler, "{\"spec\":{\"minReplicas\":5}}",
     "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"},
    {autoscaler, "{\"spec\":{\"scaleTargetRef\":{\"kind\":null}}}",
     "spec.scaleTargetRef.kind: Required value"},
    {budget, "", ""},
    {budget, "{\"spec\":{\"maxUnavailable\":1}}",
     "minAvailable and maxUnavailable cannot be both set"},
    {webhooks, "", ""},
    {webhooks,
     "{\"webhooks\":[{\"name\":\"a\",\"sideEffects\":\"None\",\"admissionReviewVersions\":[\"v1\"],"
     "\"clientConfig\":{\"url\":\"https://x.io\"}}]}",
     "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments "
     "separated by dots"},
    {webhooks,
     "{\"webhooks\":[{\"name\":\"a.b.c\",\"sideEffects\":\"None\",\"clientConfig\":{\"url\":"
     "\"https://x.io\"}}]}",
     "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"},
    {flow_schema, "", ""},
    {flow_schema, "{\"spec\":{\"matchingPrecedence\":1}}",
     "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
     "matchingPrecedence 1"},
    {flow_schema, "{\"spec\":{\"rules\":[{}]}}",
     "spec.rules[0].subjects: Required value: subjects must contain at least one value"},
    {priority_level, "", ""},
    {priority_level, "{\"spec\":{\"limited\":{\"limitResponse\":{\"queuing\":{\"handSize\":65}}}}}",
     "spec.limited.limitResponse.queuing.handSize: Invalid value: 65: should not be greater than "
     "queues (64)"},
    {priority_level, "{\"spec\":{\"limited\":{\"limitResponse\":{\"queuing\":{\"handSize\":32}}}}}",
     "required entropy bits of deckSize 64 and handSize 32 should not be greater than 60"},
    {priority_level, "{\"spec\":{\"type\":\"Exempt\"}}",
     "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"},
    {api_service, "", ""},
    {api_service, "{\"spec\":{\"version\":\"v2\"}}",
     "metadata.name: Invalid value: \"v1.x.io\": must be `spec.version+\".\"+spec.group`: "
     "\"v2.x.io\""},
    {api_service, "{\"spec\":{\"versionPriority\":1001}}",
     "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000"},
    {api_service, "{\"spec\":{\"service\":null}}",
     "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have "
     "insecureSkipTLSVerify"},
    {priority_class, "", ""},
    {priority_class, "{\"value\":1000000001}",
     "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
    {priority_class, "{\"metadata\":{\"name\":\"system-x\"}}",
     "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system "
     "use only"},
    {runtime_class, "", ""},
    {runtime_class, "{\"handler\":\"A\"}",
     "handler: Invalid value: \"A\": a lowercase RFC 1123 label"},
    {claim, "", ""},
    {claim, "{\"spec\":{\"devices\":{\"requests\":[{\"name\":\"r\"}]}}}",
     "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
     "required"},
    {claim,
     "{\"spec\":{\"devices\":{\"constraints\":[{\"requests\":[\"q\"],\"matchAttribute\":\"x.io/"
     "a\"}]}}}",
     "spec.devices.constraints[0].requests[0]: Invalid value: \"q\": must be the name of a request "
     "in the claim"},
    {slice, "", ""},
    {slice, "{\"spec\":{\"nodeName\":null}}",
     "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
     "`perDeviceNodeSelection` is required"},
    {slice, "{\"spec\":{\"allNodes\":true}}",
     "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of"},
    {slice, "{\"spec\":{\"pool\":{\"resourceSliceCount\":0}}}",
     "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"},
    {node, "", ""},
    {node, "{\"spec\":{\"podCIDRs\":[\"10.0.0.0/24\",\"10.0.1.0/24\"]}}",
     "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than "
     "one CIDR for each IP family"},
    {node, "{\"spec\":{\"taints\":[{\"key\":\"a\"}]}}",
     "metadata.taints[0].effect: Required value"},
    {event, "", ""},
    {event, "{\"type\":\"Odd\"}", "type: Invalid value: \"\": has invalid value: Odd"},
    {event, "{\"regarding\":{\"namespace\":null}}",
     "involvedObject.namespace: Invalid value: \"\": does not match event.namespace"},
    {lease, "", ""},
    {lease, "{\"spec\":{\"preferredHolder\":\"a\"}}",
     "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"},
};

static const struct validation_case updates[] = {
    {storage_class, "{\"provisioner\":\"z\"}",
     "provisioner: Forbidden: updates to provisioner are forbidden."},
    {csi_driver, "{\"spec\":{\"attachRequired\":false}}",
     "spec.attachedRequired: Invalid value: false: field is immutable"},
    {ip_address, "{\"spec\":{\"parentRef\":{\"name\":\"t\"}}}", "spec.parentRef: Invalid value:"},
    {priority_class, "{\"value\":11}", "value: Forbidden: may not be changed in an update."},
    {runtime_class, "{\"handler\":\"kata\"}",
     "handler: Invalid value: \"kata\": field is immutable"},
    {claim, "{\"spec\":{\"devices\":{\"requests\":null}}}",
     "spec: Invalid value: {\"Devices\":{\"Requests\":null,\"Constraints\":null,\"Config\":null}}: "
     "field is immutable"},
    {slice, "{\"spec\":{\"driver\":\"y.io\"}}",
     "spec.driver: Invalid value: \"y.io\": field is immutable"},
    {node, "{\"spec\":{\"podCIDRs\":[\"10.0.9.0/24\"]}}",
     "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"},
};

CASES_TEST(creates, CREATE, PART)
CASES_TEST(updates, UPDATE, PART)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creates),
        cmocka_unit_test(test_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
