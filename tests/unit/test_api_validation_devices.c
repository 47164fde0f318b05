/*
 * What is said about bad claims for devices, their templates and status, device classes and resource slices, new and
 * changed. Messages are those of kube-apiserver.
 */
#include "tests/unit/validation_test.h"

#define GROUP "apiVersion: resource.k8s.io/v1, metadata: {name: x, namespace: d}"
#define CLUSTER "apiVersion: resource.k8s.io/v1, metadata: {name: x}"
#define DEVICES(devices_) "{spec: {devices: {" devices_ "}}}"
#define REQUEST(more_) DEVICES("requests: [{name: r" more_ "}]")
#define EXACTLY(more_) REQUEST(", exactly: {deviceClassName: c" more_ "}")
#define AT_REQUEST "spec.devices.requests[0]"
#define REFERENCE                                                                           \
    "must be the name of a request in the claim or the name of a request and a subrequest " \
    "separated by '/'"
#define SLICE(more_) "{spec: {" more_ "}}"
#define DEVICE(more_) SLICE("devices: [{name: d" more_ "}]")
#define POLICY(more_)                                                                           \
    DEVICE(", allowMultipleAllocations: true, capacity: {m: {value: 10, requestPolicy: {" more_ \
           "}}}")
#define AT_POLICY "spec.devices[0].capacity[m].requestPolicy"
#define ID                                                                                         \
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "   \
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for " \
    "validation is '[A-Za-z_][A-Za-z0-9_]*')"
#define SUBDOMAIN "a lowercase RFC 1123 subdomain must consist of"
#define LONG_40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char claim[] =
    "{" GROUP ", kind: ResourceClaim, spec: {devices: {requests: [{name: r, "
    "exactly: {deviceClassName: c}}]}}}";
static const char template[] =
    "{" GROUP ", kind: ResourceClaimTemplate, spec: {spec: {devices: {requests: [{name: r, "
    "exactly: {deviceClassName: c}}]}}}}";
static const char class[] = "{" CLUSTER ", kind: DeviceClass, spec: {}}";
static const char slice[] = "{" CLUSTER ", kind: ResourceSlice, spec: {driver: x.io, nodeName: n, "
                            "pool: {name: p, resourceSliceCount: 1}, devices: [{name: d}]}}";

static const struct validation_case creates[] = {
    /* claims */
    {claim, "", ""},
    {claim,
     DEVICES(
         "requests: [{name: R, exactly: {deviceClassName: C}}, {name: a}, {name: a, exactly: {}}]"),
     "[spec.devices.requests[0].name: Invalid value: \"R\": a lowercase RFC 1123 label must"},
    {claim, DEVICES("requests: [{name: a}, {name: a, exactly: {}}]"),
     "[spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
     "required, spec.devices.requests[1].exactly.deviceClassName: Required value, "
     "spec.devices.requests[1]: Duplicate value: \"a\"]"},
    {claim,
     REQUEST(", exactly: {deviceClassName: c}, firstAvailable: [{name: a, deviceClassName: c}]"),
     AT_REQUEST
     ": Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but "
     "multiple fields are set"},
    {claim,
     REQUEST(", exactly: null, firstAvailable: [{name: a, deviceClassName: c}, {name: a, "
             "allocationMode: Some}]"),
     "[" AT_REQUEST ".firstAvailable[1].deviceClassName: Required value, " AT_REQUEST
     ".firstAvailable[1].allocationMode: Unsupported value: \"Some\": supported values: \"All\", "
     "\"ExactCount\", " AT_REQUEST ".firstAvailable[1]: Duplicate value: \"a\"]"},
    {claim,
     REQUEST(", exactly: null, firstAvailable: [{name: a}, {name: b}, {name: c}, {name: d}, {name: "
             "e}, {name: f}, {name: g}, {name: h}, {name: i}]"),
     AT_REQUEST ".firstAvailable: Too many: 9: must have at most 8 items"},
    {claim, EXACTLY(", allocationMode: All, count: 2"),
     AT_REQUEST
     ".exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"},
    {claim, EXACTLY(", allocationMode: ExactCount, count: -1"),
     AT_REQUEST ".exactly.count: Invalid value: -1: must be greater than zero"},
    {claim, EXACTLY(", selectors: [{}, {cel: {expression: 'true'}}]"),
     AT_REQUEST ".exactly.selectors[0].cel: Required value"},
    {claim,
     EXACTLY(", tolerations: [{key: a, operator: Equal}, {operator: Exists, value: b}, {operator: "
             "In, effect: Never}, {operator: Exists, effect: None}, {key: '!', operator: Exists}]"),
     "[" AT_REQUEST
     ".exactly.tolerations[1].value: Invalid value: \"b\": must be empty for operator "
     "`Exists`, " AT_REQUEST
     ".exactly.tolerations[2].operator: Unsupported value: \"In\": supported "
     "values: \"Equal\", \"Exists\", " AT_REQUEST
     ".exactly.tolerations[2].effect: Unsupported value: "
     "\"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\", " AT_REQUEST
     ".exactly.tolerations[4].key: Invalid value: \"!\": "},
    {claim,
     DEVICES("constraints: [{requests: [r, r, Q, a/b/c, r/s]}, {matchAttribute: a}, "
             "{matchAttribute: 'x.io/1'}, {distinctAttribute: /}]"),
     "[spec.devices.constraints[0].requests[2]: Invalid value: \"Q\": a lowercase RFC 1123 label "
     "must "},
    {claim,
     DEVICES("constraints: [{requests: [r, r, a/b/c, r/s]}, {matchAttribute: a}, {matchAttribute: "
             "'x.io/1'}, {distinctAttribute: /}]"),
     "[spec.devices.constraints[0].requests[2]: Invalid value: \"a/b/c\": " REFERENCE
     ", spec.devices.constraints[0].requests[3]: Invalid value: \"r/s\": " REFERENCE
     ", spec.devices.constraints[0].requests[1]: Duplicate value: \"r\", "
     "spec.devices.constraints[0].matchAttribute: Required value, "
     "spec.devices.constraints[1].matchAttribute: Invalid value: \"a\": a fully qualified name "
     "must "
     "be a domain and a name separated by a slash, spec.devices.constraints[2].matchAttribute: "
     "Invalid value: \"1\": " ID ", spec.devices.constraints[3].distinctAttribute: Invalid value: "
     "\"\": the domain must not be empty, spec.devices.constraints[3].distinctAttribute: Invalid "
     "value: \"\": the name must not be empty]"},
    {claim, DEVICES("constraints: [{matchAttribute: 'A.io/" LONG_40 "'}]"),
     "spec.devices.constraints[0].matchAttribute: Too long: may not be more than 32 bytes"},
    {claim,
     DEVICES("config: [{}, {opaque: {}}, {opaque: {driver: '-', parameters: [1]}}, {requests: [q], "
             "opaque: {driver: x.io, parameters: {}}}]"),
     "[spec.devices.config[0].opaque: Required value, spec.devices.config[1].opaque.driver: "
     "Required "
     "value, spec.devices.config[1].opaque.driver: Invalid value: \"\": " SUBDOMAIN},
    {claim,
     DEVICES("config: [{opaque: {driver: x.io}}, {opaque: {driver: x.io, parameters: [1]}}, "
             "{requests: [q], opaque: {driver: x.io, parameters: {}}}]"),
     "[spec.devices.config[0].opaque.parameters: Required value, "
     "spec.devices.config[1].opaque.parameters: Invalid value: \"<value omitted>\": must be a "
     "valid "
     "JSON object, spec.devices.config[2].requests[0]: Invalid value: \"q\": " REFERENCE "]"},
    {template, "", ""},
    {template, "{spec: {spec: {devices: {requests: [{name: r}]}}}}",
     "spec.spec.devices.requests[0]: Required value: exactly one of"},
    /* classes */
    {class, "", ""},
    {class,
     SLICE("selectors: [{cel: {expression: 'true'}}], config: [{opaque: {driver: x.io, parameters: "
           "{a: b}}}], extendedResourceName: x.io/gpu"),
     ""},
    {class, SLICE("selectors: [{}], config: [{}], extendedResourceName: gpu"),
     "[spec.selectors[0].cel: Required value, spec.config[0].opaque: Required value, "
     "spec.extendedResourceName: Invalid value: \"gpu\": must be a valid extended resource name]"},
    {class, SLICE("extendedResourceName: requests.x.io/gpu"),
     "spec.extendedResourceName: Invalid value: \"requests.x.io/gpu\": must be a valid extended "
     "resource name"},
    /* slices */
    {slice, "", ""},
    {slice, SLICE("pool: {name: a//B, resourceSliceCount: 0, generation: -1}"),
     "[spec.pool.name: Invalid value: \"\": " SUBDOMAIN},
    {slice, SLICE("pool: {name: '', resourceSliceCount: 0, generation: -1}"),
     "[spec.pool.name: Required value, spec.pool.resourceSliceCount: Invalid value: 0: must be "
     "greater than zero, spec.pool.generation: Invalid value: -1: must be greater than or equal to "
     "zero]"},
    {slice, SLICE("nodeName: null"),
     "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
     "`perDeviceNodeSelection` is required"},
    {slice, SLICE("nodeName: '', allNodes: false, perDeviceNodeSelection: false"),
     "[spec.nodeName: Invalid value: \"\": must be either unset or set to a non-empty string, "
     "spec.allNodes: Invalid value: false: must be either unset or set to true, "
     "spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true, "
     "spec: "
     "Required value: exactly one of"},
    {slice,
     SLICE("nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, "
           "values: [a]}]}]}, allNodes: true"),
     "spec: Invalid value: \"{`nodeName`, `nodeSelector`, `allNodes`}\": exactly one of "
     "`nodeName`, "
     "`nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are "
     "set"},
    {slice, SLICE("nodeName: null, nodeSelector: {nodeSelectorTerms: []}"),
     "spec.nodeSelector.nodeSelectorTerms: Invalid value: null: must have exactly one node "
     "selector "
     "term"},
    {slice, SLICE("sharedCounters: [{name: a, counters: {m: {value: 1}}}]"),
     "spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed"},
    {slice,
     SLICE("devices: null, sharedCounters: [{name: a, counters: {m: {value: 1}}}, {name: a}, "
           "{counters: {M: {value: 1}}}]"),
     "[spec.sharedCounters[1].counters: Required value, spec.sharedCounters[2].name: Required "
     "value, "
     "spec.sharedCounters[2].counters: Invalid value: \"M\": a lowercase RFC 1123 label must"},
    {slice, SLICE("devices: [{name: d}, {name: d}, {name: D}]"),
     "[spec.devices[2].name: Invalid value: \"D\": a lowercase RFC 1123 label must"},
    {slice, SLICE("devices: [{name: d}, {name: d}]"), "spec.devices[1]: Duplicate value: \"d\""},
    {slice,
     DEVICE(", attributes: {a: {int: 1}, x.io/b: {version: 1.2.3-rc.1+b.01}, c: {bool: true}, d: "
            "{string: s}}"),
     ""},
    {slice,
     DEVICE(", attributes: {a: {}, b: {int: 1, string: s}, c: {version: v1}, 1: {int: 1}, 'A/': "
            "{int: 2}}"),
     "[spec.devices[0].attributes: Invalid value: \"1\": " ID
     ", spec.devices[0].attributes: Invalid value: \"\": the name must not be empty, "
     "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified, "
     "spec.devices[0].attributes[b]: Invalid value: "
     "{\"IntValue\":1,\"BoolValue\":null,\"StringValue\":\"s\",\"VersionValue\":null}: "
     "exactly one value must be specified, spec.devices[0].attributes[c].version: Invalid value: "
     "\"v1\": must be a string compatible with semver.org spec 2.0.0]"},
    {slice, DEVICE(", attributes: {a: {version: 1.02.3}}"), ".version: Invalid value: \"1.02.3\""},
    {slice, DEVICE(", attributes: {a: {version: '1.2'}}"), ".version: Invalid value: \"1.2\""},
    {slice, DEVICE(", attributes: {a: {version: 1.2.3-01}}"),
     ".version: Invalid value: \"1.2.3-01\""},
    {slice, DEVICE(", attributes: {a: {version: 1.2.3-a..b}}"),
     ".version: Invalid value: \"1.2.3-a..b\""},
    {slice, DEVICE(", attributes: {a: {version: 1.2.3+}}"), ".version: Invalid value: \"1.2.3+\""},
    {slice, DEVICE(", capacity: {m: {value: 1, requestPolicy: {}}}"),
     AT_POLICY ": Forbidden: allowMultipleAllocations must be true"},
    {slice, POLICY("validValues: [1], validRange: {min: 1}"),
     AT_POLICY
     ": Forbidden: exactly one policy can be specified, cannot specify \"validValues\" and "
     "\"validRange\" at the same time"},
    {slice, POLICY("validValues: [1]"),
     AT_POLICY ".default: Required value: required when validValues is defined"},
    {slice, POLICY("default: 3, validValues: [1, 2, 1, 11]"),
     "[" AT_POLICY
     ".validValues[2]: Invalid value: \"1\": values must be sorted in ascending order, " AT_POLICY
     ".validValues[3]: Invalid value: \"11\": option is larger than capacity value: 10, " AT_POLICY
     ".validValues[2]: Duplicate value: \"1\", " AT_POLICY ".validValues: Invalid value: "
     "\"3\": default value is not valid according to the requestPolicy]"},
    {slice, POLICY("validRange: {min: 1}"),
     AT_POLICY ".default: Required value: required when validRange is defined"},
    {slice, POLICY("default: 2, validRange: {min: 2, max: 8, step: 2}"), ""},
    {slice, POLICY("default: 1, validRange: {min: 12, max: 11, step: 0}"),
     "[" AT_POLICY
     ".validRange.min: Invalid value: \"12\": min is larger than capacity value: 10, " AT_POLICY
     ".validRange.min: Invalid value: \"1\": default is less than min: 12, " AT_POLICY
     ".validRange.max: Invalid value: \"12\": min is larger than max: 11, " AT_POLICY
     ".validRange.max: Invalid value: \"11\": max is larger than capacity value: 10, " AT_POLICY
     ".validRange.step: Invalid value: \"0\": must be greater than zero]"},
    {slice, POLICY("default: 9, validRange: {min: 2, max: 8, step: 9}"),
     "[" AT_POLICY ".validRange.max: Invalid value: \"9\": default is more than max: 8, " AT_POLICY
     ".validRange.step: Invalid value: \"9\": one step 11 is larger than capacity value: "
     "10, " AT_POLICY ".validRange.step: Invalid value: \"9\": value is not a multiple of a given "
     "step (9) from (2), " AT_POLICY
     ".validRange.step: Invalid value: \"8\": value is not a multiple of a given step (9) "
     "from (2)]"},
    {slice, DEVICE(", taints: [{}, {key: a, value: '!', effect: Never}, {key: a, effect: None}]"),
     "[spec.devices[0].taints[0].key: Invalid value: \"\": name part must be non-empty, "},
    {slice, DEVICE(", taints: [{key: a}, {key: a, effect: Never}, {key: a, effect: None}]"),
     "[spec.devices[0].taints[0].effect: Required value, spec.devices[0].taints[1].effect: "
     "Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"]"},
    {slice,
     DEVICE(", consumesCounters: [{counterSet: a, counters: {m: {value: 1}}}, {counterSet: a}]"),
     "[spec.devices[0].consumesCounters[1].counters: Required value, "
     "spec.devices[0].consumesCounters[1]: Duplicate value: \"a\"]"},
    {slice, DEVICE(", consumesCounters: [{counterSet: a}, {counterSet: b}, {counterSet: c}]"),
     "spec.devices[0].consumesCounters: Too many: 3: must have at most 2 items"},
    {slice, DEVICE(", allNodes: true"),
     "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be "
     "set "
     "if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"},
    {slice, SLICE("nodeName: null, perDeviceNodeSelection: true"),
     "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is "
     "required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"},
    {slice,
     SLICE("nodeName: null, perDeviceNodeSelection: true, devices: [{name: d, nodeName: '', "
           "allNodes: false}, {name: e, nodeName: a, allNodes: true}, {name: f, allNodes: true}]"),
     "[spec.devices[0].nodeName: Invalid value: \"\": must not be empty, spec.devices[0].allNodes: "
     "Invalid value: false: must be either unset or set to true, spec.devices[0]: Required value: "
     "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
     "`perDeviceNodeSelection` is set to true in the ResourceSlice spec, spec.devices[1]: Invalid "
     "value: \"{`nodeName`, `allNodes`}\": exactly one of"},
    {slice, DEVICE(", bindingConditions: [a, a, b], bindingFailureConditions: [b, c, c]"),
     "[spec.devices[0].bindingConditions[1]: Duplicate value: \"a\", "
     "spec.devices[0].bindingFailureConditions[0]: Invalid value: \"b\": bindingFailureConditions "
     "must not overlap with bindingConditions, spec.devices[0].bindingFailureConditions[2]: "
     "Duplicate "
     "value: \"c\"]"},
    {slice, DEVICE(", bindingConditions: [a, b, c, d, e]"),
     "[spec.devices[0].bindingConditions: Too many: 5: must have at most 4 items, "
     "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are "
     "required to use bindingConditions]"},
    {slice, DEVICE(", bindingFailureConditions: [a]"),
     "spec.devices[0].bindingConditions: Invalid value: null: bindingConditions are required to "
     "use "
     "bindingFailureConditions"},
};

#define UID "00000000-0000-0000-0000-00000000000a"
#define RESULT(more_) "{request: r, driver: x.io, pool: p, device: d" more_ "}"
#define ALLOCATED(more_) "allocation: {devices: {results: [" RESULT("") "]" more_ "}}"
#define STATUS(more_) "{status: {" more_ "}}"
#define SAYS(more_) STATUS(ALLOCATED("") ", devices: [{driver: x.io, pool: p, device: d" more_ "}]")
#define USER(uid_) "{resource: pods, name: a, uid: '" uid_ "'}"

static const struct validation_change changes[] = {
    {claim, "", "{metadata: {labels: {a: b}}}", NULL, ""},
    {claim, "", EXACTLY(", count: 3"), NULL, "spec: Invalid value: {"},
    {claim, "", EXACTLY(", count: -3"), NULL,
     "[spec.devices.requests[0].exactly.count: Invalid value: -3: must be greater than zero, spec: "
     "Invalid value: {"},
    {template, "", "{spec: {metadata: {labels: {a: b}}}}", NULL, "spec: Invalid value: {"},
    {class, "", SLICE("config: [{}]"), NULL, "spec.config[0].opaque: Required value"},
    {slice, "", SLICE("driver: y.io, nodeName: m, pool: {name: q, generation: 1}"), NULL,
     "[spec.pool.name: Invalid value: \"q\": field is immutable, spec.driver: Invalid value: "
     "\"y.io\": "
     "field is immutable, spec.nodeName: Invalid value: \"m\": field is immutable]"},
    {slice, "", SLICE("nodeName: null, allNodes: true"), NULL,
     "spec.nodeName: Invalid value: null: field is immutable"},
    {slice, SLICE("nodeName: null, allNodes: true"),
     SLICE("allNodes: null, nodeSelector: {nodeSelectorTerms: [{matchExpressions: [{key: a, "
           "operator: Exists}]}]}"),
     NULL, ""},
    {slice, DEVICE(", taints: [{key: a, effect: Gone}]"), SLICE("pool: {generation: 2}"), NULL, ""},
    {slice, DEVICE(", taints: [{key: a, effect: Gone}]"),
     DEVICE(", taints: [{key: b, effect: Gone}]"), NULL,
     "spec.devices[0].taints[0].effect: Unsupported value: \"Gone\""},
    /* status */
    {claim, "", STATUS(ALLOCATED("") ", reservedFor: [" USER("u") "]"), "status", ""},
    {claim, "", STATUS("reservedFor: [" USER("u") ", " USER("u") ", {}]"), "status",
     "[status.reservedFor[2].resource: Required value, status.reservedFor[2].name: Required value, "
     "status.reservedFor[2].uid: Required value, status.reservedFor[1]: Duplicate value: \"u\", "
     "status.reservedFor: Forbidden: may not be specified when `allocated` is not set]"},
    {claim,
     "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {" ALLOCATED(
         "") ", reservedFor: [" USER("u") "]}}",
     STATUS("reservedFor: [" USER("u") ", " USER("v") "]"), "status",
     "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or "
     "`deletionTimestamp` are set"},
    {claim,
     "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {" ALLOCATED(
         "") ", reservedFor: [" USER("u") ", " USER("v") "]}}",
     STATUS("reservedFor: [" USER("v") "]"), "status", ""},
    {claim, STATUS(ALLOCATED("")),
     STATUS("allocation: {devices: {results: [" RESULT(", adminAccess: true") "]}}"), "status",
     "status.allocation: Invalid value: {"},
    {claim, STATUS(ALLOCATED("")), STATUS("allocation: null"), "status", ""},
    {claim, "",
     STATUS("allocation: {devices: {results: [{request: q, pool: p, device: D, shareID: '1', "
            "tolerations: [{}]}], config: [{source: FromPool, opaque: {driver: x.io, parameters: "
            "{}}}]}, "
            "nodeSelector: {nodeSelectorTerms: []}}"),
     "status",
     "[status.allocation.devices.results[0].request: Invalid value: \"q\": " REFERENCE
     ", status.allocation.devices.results[0].driver: Required value, "
     "status.allocation.devices.results[0].driver: Invalid value: \"\": " SUBDOMAIN},
    {claim, "",
     STATUS("allocation: {devices: {results: [" RESULT(
         ", shareID: '1', tolerations: [{operator: Exists, effect: a}]") "], config: [{source: "
                                                                         "FromPool, opaque: "
                                                                         "{driver: x.io, "
                                                                         "parameters: {}}}, "
                                                                         "{requests: [q]}]}, "
                                                                         "nodeSelector: "
                                                                         "{nodeSelectorTerms: "
                                                                         "[]}}"),
     "status",
     "[status.allocation.devices.results[0].tolerations[0].effect: Unsupported value: \"a\": "
     "supported "
     "values: \"NoExecute\", \"NoSchedule\", \"None\", "
     "status.allocation.devices.results[0].shareID: Invalid value: \"1\": error validating uid: "
     "invalid UUID length: 1, status.allocation.devices.config[0].source: Unsupported value: "
     "\"FromPool\": supported values: \"FromClaim\", \"FromClass\", "
     "status.allocation.devices.config[1].source: Required value, "
     "status.allocation.devices.config[1].requests[0]: Invalid value: \"q\": " REFERENCE
     ", status.allocation.devices.config[1].opaque: Required value, "
     "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one "
     "node "
     "selector term]"},
    {claim, "", SAYS(""), "status", ""},
    {claim, "",
     STATUS("devices: [{driver: x.io, pool: p, device: d}, {driver: x.io, pool: p, device: d}]"),
     "status",
     "[status.devices[0]: Invalid value: "
     "{\"Driver\":\"x.io\",\"Pool\":\"p\",\"Device\":\"d\",\"ShareID\":\"\"}: must be an allocated "
     "device in the claim, status.devices[1]: Invalid value: "
     "{\"Driver\":\"x.io\",\"Pool\":\"p\",\"Device\":\"d\",\"ShareID\":\"\"}: must be an allocated "
     "device in the claim, status.devices[1]: Duplicate value: "
     "{\"Driver\":\"x.io\",\"Pool\":\"p\",\"Device\":\"d\",\"ShareID\":\"\"}]"},
    {claim, "", SAYS(", shareID: " UID), "status",
     "status.devices[0]: Invalid value: "
     "{\"Driver\":\"x.io\",\"Pool\":\"p\",\"Device\":\"d\",\"ShareID\":\"" UID "\"}: must be an "
     "allocated device in the claim"},
    {claim, "", SAYS(", shareID: 0000000000000000000000000000000A"), "status",
     "status.devices[0].shareID: Invalid value: \"0000000000000000000000000000000A\": uid must be "
     "in "
     "RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
     "characters"},
    {claim, "", SAYS(", shareID: 'urn:uuie:" UID "'"), "status",
     "error validating uid: invalid urn prefix: \"urn:uuie:\""},
    {claim, "", SAYS(", shareID: '{" UID ")'"), "status",
     "error validating uid: invalid bracketed UUID format"},
    {claim, "", SAYS(", shareID: 00000000-0000-0000-0000-00000000000g"), "status",
     "error validating uid: invalid UUID format"},
    {claim, "", SAYS(", data: [1], conditions: [{type: a}]"), "status",
     "[status.devices[0].conditions[0].status: Unsupported value: \"\": supported values: "
     "\"False\", "
     "\"True\", \"Unknown\", status.devices[0].conditions[0].lastTransitionTime: Required value: "
     "must "
     "be set, status.devices[0].conditions[0].reason: Required value: must be set, "
     "status.devices[0].data: Invalid value: \"<value omitted>\": must be a valid JSON object]"},
    {claim, "",
     SAYS(", networkData: {ips: [10.9.8.7/24, 10.9.8.7, '2001:DB8::1/64', "
          "'::ffff:192.168.0.1/120', 10.9.8.7/24, 'fe80::1/64']}"),
     "status",
     "[status.devices[0].networkData.ips[1]: Invalid value: \"10.9.8.7\": must be a valid address "
     "in "
     "CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64), status.devices[0].networkData.ips[2]: "
     "Invalid "
     "value: \"2001:DB8::1/64\": must be in canonical form (\"2001:db8::1/64\"), "
     "status.devices[0].networkData.ips[3]: Invalid value: \"::ffff:192.168.0.1/120\": must be in "
     "canonical form (\"192.168.0.1/24\"), status.devices[0].networkData.ips[4]: Duplicate value: "
     "\"10.9.8.7/24\"]"},
};

CASES_TEST(creates, CREATE, PART)
CHANGES_TEST(changes)

/* `n` items, the number of each in place of "%zu". */
static const char *items(struct arena *a, size_t n, const char *item)
{
    struct buf b = {0};
    for (size_t i = 0; i < n; i++) {
        const char *hole = strstr(item, "%zu");
        if (hole)
            buf_printf(&b, "%s%.*s%zu%s", i ? ", " : "", (int)(hole - item), item, i, hole + 3);
        else
            buf_printf(&b, "%s%s", i ? ", " : "", item);
    }
    const char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* More than is allowed: of a list nothing else is said then. */
static void test_bounds(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    const char *long_one = arena_printf(&a, "%0*d", 10 * 1024 + 1, 0);
#define MANY(n_, before_, item_, after_) \
    arena_printf(&a, "%s%s%s", before_, items(&a, n_, item_), after_)
    const struct validation_case cases[] = {
        {claim, MANY(33, "{spec: {devices: {requests: [", "{name: R%zu}", "]}}}"),
         "spec.devices.requests: Too many: 33: must have at most 32 items"},
        {claim, MANY(33, "{spec: {devices: {constraints: [", "{}", "]}}}"),
         "spec.devices.constraints: Too many: 33: must have at most 32 items"},
        {claim, MANY(33, "{spec: {devices: {config: [", "{}", "]}}}"),
         "spec.devices.config: Too many: 33: must have at most 32 items"},
        {claim, MANY(33, "{spec: {devices: {config: [{requests: [", "r", "]}]}}}"),
         "spec.devices.config[0].requests: Too many: 33: must have at most 32 items"},
        {class, MANY(33, "{spec: {selectors: [", "{}", "]}}"),
         "spec.selectors: Too many: 33: must have at most 32 items"},
        {class, MANY(33, "{spec: {config: [", "{}", "]}}"),
         "spec.config: Too many: 33: must have at most 32 items"},
        {class, arena_printf(&a, "{spec: {selectors: [{cel: {expression: '%s'}}]}}", long_one),
         "spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes"},
        {class,
         arena_printf(&a, "{spec: {config: [{opaque: {driver: x.io, parameters: {a: '%s'}}}]}}",
                      long_one),
         "spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"},
        {slice, MANY(128, "{spec: {devices: [", "{name: d%zu}", "]}}"), ""},
        {slice, MANY(129, "{spec: {devices: [", "{name: d%zu}", "]}}"),
         "spec.devices: Too many: 129: must have at most 128 items"},
        {slice,
         MANY(65, "{spec: {devices: [", "{name: d%zu, taints: [{key: a, effect: None}]}", "]}}"),
         "spec.devices: Too many: 65: must have at most 64 items"},
        {slice, MANY(9, "{spec: {devices: null, sharedCounters: [", "{}", "]}}"),
         "spec.sharedCounters: Too many: 9: must have at most 8 items"},
        {slice,
         MANY(33, "{spec: {devices: null, sharedCounters: [{name: a, counters: {",
              "c%zu: {value: 1}", "}}]}}"),
         "spec.sharedCounters[0].counters: Too many: 33: must have at most 32 items"},
        {slice, MANY(33, "{spec: {devices: [{name: d, attributes: {", "a%zu: {int: 1}", "}}]}}"),
         "spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must "
         "not "
         "exceed 32"},
        {slice, MANY(17, "{spec: {devices: [{name: d, taints: [", "{}", "]}]}}"),
         "spec.devices[0].taints: Too many: 17: must have at most 16 items"},
        {slice,
         arena_printf(&a, "{spec: {devices: [{name: d, attributes: {a: {string: '%.*s'}}}]}}", 65,
                      long_one),
         "spec.devices[0].attributes[a].string: Too long: may not be more than 64 bytes"},
    };
    check_cases(cases, sizeof cases / sizeof *cases, CREATE, PART);
    const struct validation_change statuses[] = {
        {claim, "", MANY(257, "{status: {reservedFor: [", "{}", "]}}"), "status",
         "status.reservedFor: Too many: 257: must have at most 256 items"},
        {claim, "", MANY(33, "{status: {allocation: {devices: {results: [", "{}", "]}}}}"),
         "status", "status.allocation.devices.results: Too many: 33: must have at most 32 items"},
        {claim, "", MANY(65, "{status: {allocation: {devices: {config: [", "{}", "]}}}}"), "status",
         "status.allocation.devices.config: Too many: 65: must have at most 64 items"},
        {claim, "",
         arena_printf(&a,
                      "{status: {devices: [{driver: x.io, pool: p, device: d, networkData: "
                      "{interfaceName: '%.*s', hardwareAddress: '%.*s'}}]}}",
                      257, long_one, 129, long_one),
         "status",
         "status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes, "
         "status.devices[0].networkData.hardwareAddress: Too long: may not be more than 128 "
         "bytes]"},
    };
    check_changes(statuses, sizeof statuses / sizeof *statuses);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creates),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
