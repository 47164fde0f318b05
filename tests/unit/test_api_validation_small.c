/*
 * What is said about bad objects of the small groups, new and changed: certificate requests, flow schemas, leases,
 * endpoint slices, events. Messages are those of kube-apiserver.
 */
#include "tests/unit/validation_test.h"

/* PEM, in base64: a request, a certificate, a key; a certificate with headers; two. */
#define REQUEST_PEM                                                                \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIR01HNENBUUF3RERFS01BZ0dB" \
    "MVVFQXd3QllUQlpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCTVYyeXFXU1dpdEhH" \
    "N3lYYmZycGo4Y0IvbGdRRnZnYnlBNHY5WVpPWlN5a0xuUlVBU0xRenVtcnllb2ZNZ29pClgvOFdE" \
    "MUhTTTVmdjNCcXU5c3N6dW42Z0FEQUtCZ2dxaGtqT1BRUURBZ05JQURCRkFpRUE3NjR5VEN4SjRO" \
    "RDcKTnpUb2Ezb2kzM1lMdmVMY3p5RGl1UG1yZzh1UkdSd0NJRjVXbzkvaTBMSWJ5K0dzR3Fkb01Z" \
    "NUVPU2FUZDJ0YQp1TGxMU0QwTWlXdjEKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0t" \
    "Cg=="
#define CERTIFICATE_PEM                                                            \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJXZ0F3SUJBZ0lVRndSbDUrOUo1" \
    "MmJXa0dWalRLNnE0SGh1WmVnd0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3QllUQWdG" \
    "dzB5TmpFeE1qSXdPRFUzTXpCYUdBOHlNVEkyTVRBeU9UQTROVGN6TUZvdwpEREVLTUFnR0ExVUVB" \
    "d3dCWVRCWk1CTUdCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQk1WMnlxV1NXaXRICkc3eVhi" \
    "ZnJwajhjQi9sZ1FGdmdieUE0djlZWk9aU3lrTG5SVUFTTFF6dW1yeWVvZk1nb2lYLzhXRDFIU001" \
    "ZnYKM0JxdTlzc3p1bjZqVXpCUk1CMEdBMVVkRGdRV0JCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80" \
    "cTZOREFmQmdOVgpIU01FR0RBV2dCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80cTZOREFQQmdOVkhS" \
    "TUJBZjhFQlRBREFRSC9NQW9HCkNDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUhqaCtEUWhxcndkdkRjSlBj" \
    "dmJhNnJhcXJNcS9scnRRak5zTEV1UjBYSmcKQWlFQWxEbGFDK1R0MEtIVERHYjNTOWJjeDBVTGxL" \
    "bGtKYlRySk5Ka0x5c0xMOUk9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
#define KEY_PEM "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCkFBQUEKLS0tLS1FTkQgUFJJVkFURSBLRVktLS0tLQo="
#define HEADERS_PEM                                                                \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmE6IGIKCk1JSUJiekNDQVJXZ0F3SUJBZ0lVRndS" \
    "bDUrOUo1MmJXa0dWalRLNnE0SGh1WmVnd0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3" \
    "QllUQWdGdzB5TmpFeE1qSXdPRFUzTXpCYUdBOHlNVEkyTVRBeU9UQTROVGN6TUZvdwpEREVLTUFn" \
    "R0ExVUVBd3dCWVRCWk1CTUdCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQk1WMnlxV1NXaXRI" \
    "Ckc3eVhiZnJwajhjQi9sZ1FGdmdieUE0djlZWk9aU3lrTG5SVUFTTFF6dW1yeWVvZk1nb2lYLzhX" \
    "RDFIU001ZnYKM0JxdTlzc3p1bjZqVXpCUk1CMEdBMVVkRGdRV0JCUUxxZFJwdnY5ajZVZ3dQSURq" \
    "eEZQem80cTZOREFmQmdOVgpIU01FR0RBV2dCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80cTZOREFQ" \
    "QmdOVkhSTUJBZjhFQlRBREFRSC9NQW9HCkNDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUhqaCtEUWhxcndk" \
    "dkRjSlBjdmJhNnJhcXJNcS9scnRRak5zTEV1UjBYSmcKQWlFQWxEbGFDK1R0MEtIVERHYjNTOWJj" \
    "eDBVTGxLbGtKYlRySk5Ka0x5c0xMOUk9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
#define TWO_PEM                                                                    \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJXZ0F3SUJBZ0lVRndSbDUrOUo1" \
    "MmJXa0dWalRLNnE0SGh1WmVnd0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3QllUQWdG" \
    "dzB5TmpFeE1qSXdPRFUzTXpCYUdBOHlNVEkyTVRBeU9UQTROVGN6TUZvdwpEREVLTUFnR0ExVUVB" \
    "d3dCWVRCWk1CTUdCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQk1WMnlxV1NXaXRICkc3eVhi" \
    "ZnJwajhjQi9sZ1FGdmdieUE0djlZWk9aU3lrTG5SVUFTTFF6dW1yeWVvZk1nb2lYLzhXRDFIU001" \
    "ZnYKM0JxdTlzc3p1bjZqVXpCUk1CMEdBMVVkRGdRV0JCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80" \
    "cTZOREFmQmdOVgpIU01FR0RBV2dCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80cTZOREFQQmdOVkhS" \
    "TUJBZjhFQlRBREFRSC9NQW9HCkNDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUhqaCtEUWhxcndkdkRjSlBj" \
    "dmJhNnJhcXJNcS9scnRRak5zTEV1UjBYSmcKQWlFQWxEbGFDK1R0MEtIVERHYjNTOWJjeDBVTGxL" \
    "bGtKYlRySk5Ka0x5c0xMOUk9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0KLS0tLS1CRUdJTiBD" \
    "RVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJXZ0F3SUJBZ0lVRndSbDUrOUo1MmJXa0dWalRLNnE0" \
    "SGh1WmVnd0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3QllUQWdGdzB5TmpFeE1qSXdP" \
    "RFUzTXpCYUdBOHlNVEkyTVRBeU9UQTROVGN6TUZvdwpEREVLTUFnR0ExVUVBd3dCWVRCWk1CTUdC" \
    "eXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQk1WMnlxV1NXaXRICkc3eVhiZnJwajhjQi9sZ1FG" \
    "dmdieUE0djlZWk9aU3lrTG5SVUFTTFF6dW1yeWVvZk1nb2lYLzhXRDFIU001ZnYKM0JxdTlzc3p1" \
    "bjZqVXpCUk1CMEdBMVVkRGdRV0JCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80cTZOREFmQmdOVgpI" \
    "U01FR0RBV2dCUUxxZFJwdnY5ajZVZ3dQSURqeEZQem80cTZOREFQQmdOVkhSTUJBZjhFQlRBREFR" \
    "SC9NQW9HCkNDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUhqaCtEUWhxcndkdkRjSlBjdmJhNnJhcXJNcS9s" \
    "cnRRak5zTEV1UjBYSmcKQWlFQWxEbGFDK1R0MEtIVERHYjNTOWJjeDBVTGxLbGtKYlRySk5Ka0x5" \
    "c0xMOUk9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
#define NO_REQUEST_PEM                                                             \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KQUFBQQotLS0tLUVORCBDRVJUSUZJ" \
    "Q0FURSBSRVFVRVNULS0tLS0K"
#define NO_CERTIFICATE_PEM                                                         \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0t" \
    "LQo="
#define LABEL "a lowercase RFC 1123 label must consist of"
#define SUBDOMAIN "a lowercase RFC 1123 subdomain must consist of"

static const char request[] =
    "{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: x}, "
    "spec: {request: " REQUEST_PEM ", signerName: a.b/c, usages: [client auth]}}";
static const char flow_schema[] =
    "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: x}, spec: "
    "{matchingPrecedence: 5, priorityLevelConfiguration: {name: x}, rules: [{subjects: [{kind: "
    "User, "
    "user: {name: u}}], nonResourceRules: [{verbs: [get], nonResourceURLs: [/a/*]}]}]}}";
static const char exempt_schema[] =
    "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: exempt}, "
    "spec: {priorityLevelConfiguration: {name: exempt}, matchingPrecedence: 1, rules: [{subjects: "
    "[{kind: Group, group: {name: 'system:masters'}}], resourceRules: [{verbs: ['*'], apiGroups: "
    "['*'], resources: ['*'], clusterScope: true, namespaces: ['*']}], nonResourceRules: [{verbs: "
    "['*'], nonResourceURLs: ['*']}]}]}}";
static const char catch_all_level[] =
    "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: PriorityLevelConfiguration, metadata: "
    "{name: catch-all}, spec: {type: Limited, limited: {nominalConcurrencyShares: 5, "
    "limitResponse: {type: Reject}, lendablePercent: 0}}}";
static const char exempt_level[] =
    "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: PriorityLevelConfiguration, metadata: "
    "{name: exempt}, spec: {type: Exempt, exempt: {nominalConcurrencyShares: 0, lendablePercent: "
    "0}}}";
static const char lease[] = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x, "
                            "namespace: d}, spec: {}}";
static const char slice[] =
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: d}, "
    "addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}], ports: [{port: 80}]}";
static const char event[] =
    "{apiVersion: events.k8s.io/v1, kind: Event, metadata: {name: e, namespace: d}, eventTime: "
    "'2026-01-01T00:00:00.000000Z', reportingController: x.io/c, reportingInstance: i, action: a, "
    "reason: r, type: Normal, regarding: {namespace: d}}";
static const char core_event[] = "{apiVersion: v1, kind: Event, metadata: {name: e, namespace: d}, "
                                 "involvedObject: {namespace: d}}";

#define SPEC(spec_) "{spec: {" spec_ "}}"
#define RULES(rule_) SPEC("rules: [{" rule_ "}]")
#define ADDRESSES(type_, addresses_) \
    "{addressType: " type_ ", endpoints: [{addresses: [" addresses_ "]}]}"

static const struct validation_case creates[] = {
    /* certificate requests */
    {request, "", ""},
    {request, SPEC("request: " KEY_PEM ", usages: null, signerName: ''"),
     "[spec.request: Invalid value: \"" KEY_PEM "\": PEM block type must be CERTIFICATE REQUEST, "
     "spec.usages: Required value, spec.signerName: Required value]"},
    {request, SPEC("request: null"),
     "spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"},
    {request, SPEC("request: " NO_REQUEST_PEM),
     "spec.request: Invalid value: \"" NO_REQUEST_PEM "\": asn1: syntax error: trailing data"},
    {request, SPEC("usages: [sign, any, any, sign]"),
     "[spec.usages[0]: Unsupported value: \"sign\": supported values: \"any\", \"cert sign\", "
     "\"client "
     "auth\""},
    {request,
     SPEC("usages: [any, any], signerName: kubernetes.io/legacy-unknown, expirationSeconds: 599"),
     "[spec.usages[1]: Duplicate value: \"any\", spec.signerName: Invalid value: "
     "\"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version, "
     "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds "
     "(10 "
     "minutes)]"},
    {request, SPEC("signerName: a"),
     "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form "
     "'example.com/signer-name'"},
    {request, SPEC("signerName: a/b"),
     "spec.signerName: Invalid value: \"a\": should be a domain with at least two segments "
     "separated by "
     "dots"},
    {request, SPEC("signerName: a.B.C/d"),
     "spec.signerName: Invalid value: \"a.B.C\": validating label \"B\": " LABEL},
    {request, SPEC("signerName: a.b/c..d"),
     "spec.signerName: Invalid value: \"c..d\": validating label \"\": " SUBDOMAIN},
    {request,
     "{status: {conditions: [{type: Approved, status: 'True'}, {type: Denied, status: 'False'}, "
     "{type: "
     "Approved, status: 'True'}, {status: Odd}, {type: A}]}}",
     "[status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\", "
     "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are "
     "mutually "
     "exclusive, status.conditions: Invalid value: \"Approved\": Approved and Denied "
     "conditions "
     "are mutually exclusive, status.conditions[2].type: Duplicate value: \"Approved\", "
     "status.conditions[3].type: Required value, status.conditions[3].status: Unsupported value: "
     "\"Odd\": supported values: \"False\", \"True\", \"Unknown\", status.conditions[4].status: "
     "Required "
     "value]"},
    /* the mandatory ones: as published, or not at all */
    {exempt_schema, "", ""},
    {exempt_schema, SPEC("matchingPrecedence: 2"),
     "spec: Invalid value: {\"PriorityLevelConfiguration\":{\"Name\":\"exempt\"},"
     "\"MatchingPrecedence\":2,\"DistinguisherMethod\":null,\"Rules\":[{\"Subjects\":[{\"Kind\":"
     "\"Group\",\"User\":null,\"Group\":{\"Name\":\"system:masters\"},\"ServiceAccount\":null}],"
     "\"ResourceRules\":[{\"Verbs\":[\"*\"],\"APIGroups\":[\"*\"],\"Resources\":[\"*\"],"
     "\"ClusterScope\":true,\"Namespaces\":[\"*\"]}],\"NonResourceRules\":[{\"Verbs\":[\"*\"],"
     "\"NonResourceURLs\":[\"*\"]}]}]}: spec of 'exempt' must equal the fixed value"},
    {catch_all_level, "", ""},
    {catch_all_level, SPEC("limited: {nominalConcurrencyShares: 6}"),
     "spec: Invalid value: {\"Type\":\"Limited\",\"Limited\":{\"NominalConcurrencyShares\":6,"
     "\"LimitResponse\":{\"Type\":\"Reject\",\"Queuing\":null},\"LendablePercent\":0,"
     "\"BorrowingLimitPercent\":null},\"Exempt\":null}: spec of 'catch-all' must equal the fixed "
     "value"},
    {exempt_level, "", ""},
    {exempt_level, SPEC("exempt: {nominalConcurrencyShares: 7, lendablePercent: 3}"), ""},
    {exempt_level, SPEC("exempt: {lendablePercent: 101}"),
     "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"},
    {exempt_level, SPEC("type: Limited, exempt: null, limited: {limitResponse: {type: Reject}}"),
     "[spec.type: Invalid value: \"Limited\": type must be 'Exempt' if and only if name is "
     "'exempt', "
     "spec: Invalid value: {\"Type\":\"Limited\",\"Limited\":{\"NominalConcurrencyShares\":30,"
     "\"LimitResponse\":{\"Type\":\"Reject\",\"Queuing\":null},\"LendablePercent\":0,"
     "\"BorrowingLimitPercent\":null},\"Exempt\":null}: spec of 'exempt' except the 'spec.exempt' "
     "field must equal the fixed value]"},
    /* flow schemas */
    {flow_schema, "", ""},
    {flow_schema,
     SPEC("matchingPrecedence: 10001, distinguisherMethod: {type: ByHand}, "
          "priorityLevelConfiguration: {name: ''}"),
     "[spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000, "
     "spec.distinguisherMethod.type: Unsupported value: {\"Type\":\"ByHand\"}: supported values: "
     "\"ByNamespace\", \"ByUser\", spec.priorityLevelConfiguration.name: Required value: must "
     "reference a "
     "priority level]"},
    {flow_schema,
     RULES("subjects: [{kind: ServiceAccount, user: {name: x}, group: {name: x}}, {kind: User, "
           "serviceAccount: {}}, {kind: Odd}, {kind: Group, group: {}}]"),
     "[spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not "
     "'Group', "
     "spec.rules[0].subjects[0].serviceAccount: Required value: serviceAccount is required when "
     "subject "
     "kind is 'ServiceAccount'"},
    {flow_schema, RULES("subjects: [{kind: ServiceAccount, serviceAccount: {name: A}}]"),
     "[spec.rules[0].subjects[0].serviceAccount.name: Invalid value: \"A\": " SUBDOMAIN},
    {flow_schema,
     RULES("subjects: [{kind: Group, group: {name: g}}], resourceRules: [{verbs: ['*', get], "
           "apiGroups: ['*', a], resources: ['*', b], namespaces: ['*', c]}, {}, {verbs: [eat], "
           "apiGroups: [''], resources: [a], namespaces: [A]}]"),
     "[spec.rules[0].resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, "
     "must not "
     "specify other verbs, spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"a\"]: "
     "if '*' "
     "is present, must not specify other api groups, spec.rules[0].resourceRules[0].resources: "
     "Invalid "
     "value: [\"*\",\"b\"]: if '*' is present, must not specify other resources, "
     "spec.rules[0].resourceRules[0].namespaces: Invalid value: [\"*\",\"c\"]: if '*' is present, "
     "must not "
     "specify other namespaces, spec.rules[0].resourceRules[1].verbs: Required value: verbs must "
     "contain "
     "at least one value, spec.rules[0].resourceRules[1].apiGroups: Required value: resource rules "
     "must "
     "supply at least one api group, spec.rules[0].resourceRules[1].resources: Required value: "
     "resource "
     "rules must supply at least one resource, spec.rules[0].resourceRules[1].namespaces: Required "
     "value: "
     "resource rules that are not cluster scoped must supply at least one namespace, "
     "spec.rules[0].resourceRules[2].verbs: Unsupported value: [\"eat\"]: supported values: "
     "\"create\", "
     "\"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", "
     "\"watch\", "
     "spec.rules[0].resourceRules[2].namespaces[0]: Invalid value: \"A\": each member of this list "
     "must "
     "be '*' or a DNS-1123 label; " LABEL},
    {flow_schema,
     RULES("subjects: [{kind: Group, group: {name: g}}], nonResourceRules: [{}, {verbs: [get], "
           "nonResourceURLs: ['', a, '/a b', /a//b, /a*, /*/a, /]}]"),
     "[spec.rules[0].nonResourceRules[0].verbs: Required value: verbs must contain at least one "
     "value, "
     "spec.rules[0].nonResourceRules[0].nonResourceURLs: Required value: nonResourceURLs must "
     "contain at "
     "least one value, spec.rules[0].nonResourceRules[1].nonResourceURLs[0]: Invalid value: \"\": "
     "must "
     "not be empty, spec.rules[0].nonResourceRules[1].nonResourceURLs[1]: Invalid value: \"a\": "
     "must start "
     "with slash, spec.rules[0].nonResourceRules[1].nonResourceURLs[2]: Invalid value: \"/a b\": "
     "must not "
     "contain white-space, spec.rules[0].nonResourceRules[1].nonResourceURLs[3]: Invalid value: "
     "\"/a//b\": must not contain double slash, "
     "spec.rules[0].nonResourceRules[1].nonResourceURLs[4]: "
     "Invalid value: \"/a*\": wildcard can only do suffix matching, "
     "spec.rules[0].nonResourceRules[1].nonResourceURLs[5]: Invalid value: \"/*/a\": wildcard can "
     "only "
     "do suffix matching]"},
    /* leases */
    {lease, "", ""},
    {lease, SPEC("leaseDurationSeconds: 0, leaseTransitions: -1, strategy: Newest"),
     "[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: "
     "Invalid value: -1: must be greater than or equal to 0, spec.strategy.strategy: Unsupported "
     "value: "
     "\"Newest\": supported values: \"OldestEmulationVersion\"]"},
    {lease, SPEC("strategy: x.io/Mine, preferredHolder: a"), ""},
    {lease, SPEC("strategy: x.io/"),
     "spec.strategy.strategy: Invalid value: \"x.io/\": name part must be non-empty"},
    {lease, SPEC("strategy: '', preferredHolder: a"),
     "[spec.strategy.strategy: Unsupported value: \"\": supported values: "
     "\"OldestEmulationVersion\", "
     "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined]"},
    /* endpoint slices */
    {slice, "", ""},
    {slice,
     "{addressType: null, endpoints: [{}], ports: [{name: A}, {name: a, protocol: X}, {name: a, "
     "appProtocol: '-'}]}",
     "[addressType: Required value, ports[0].name: Invalid value: \"A\": " LABEL},
    {slice, "{addressType: IP, endpoints: [{}], ports: [{name: a, protocol: X}, {name: a}]}",
     "[addressType: Unsupported value: \"IP\": supported values: \"FQDN\", \"IPv4\", \"IPv6\", "
     "ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\", "
     "ports[1].name: Duplicate value: \"a\", endpoints[0].addresses: Required value: must contain "
     "at "
     "least 1 address]"},
    {slice, ADDRESSES("IPv4", "1.2.3, 'fd00::1', 127.0.0.1"),
     "[endpoints[0].addresses[0]: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. "
     "10.9.8.7 or "
     "2001:db8::ffff), endpoints[0].addresses[1]: Invalid value: \"fd00::1\": must be an IPv4 "
     "address, "
     "endpoints[0].addresses[2]: Invalid value: \"127.0.0.1\": may not be in the loopback range "
     "(127.0.0.0/8, ::1/128)]"},
    {slice, ADDRESSES("IPv6", "10.1.2.3, 'fe80::1', 'fd00::1'"),
     "[endpoints[0].addresses[0]: Invalid value: \"10.1.2.3\": must be an IPv6 address, "
     "endpoints[0].addresses[1]: Invalid value: \"fe80::1\": may not be in the link-local range "
     "(169.254.0.0/16, fe80::/10)]"},
    {slice, ADDRESSES("FQDN", "a.b., a.b"), ""},
    {slice, ADDRESSES("FQDN", "a, ''"),
     "[endpoints[0].addresses[0]: Invalid value: \"a\": should be a domain with at least two "
     "segments "
     "separated by dots, endpoints[0].addresses[1]: Required value]"},
    {slice, ADDRESSES("FQDN", "A.b"),
     "endpoints[0].addresses[0]: Invalid value: \"A.b\": " SUBDOMAIN},
    {slice,
     "{endpoints: [{addresses: [10.1.2.3], hints: {forZones: [{name: a}, {name: a}, {name: '!'}], "
     "forNodes: [{name: A}]}}]}",
     "[endpoints[0].hints.forZones[1].name: Duplicate value: \"a\", "
     "endpoints[0].hints.forZones[2].name: "
     "Invalid value: \"!\": a valid label must be"},
    {slice, "{endpoints: [{addresses: [10.1.2.3], nodeName: A}]}",
     "endpoints[0].nodeName: Invalid value: \"A\": " SUBDOMAIN},
    {slice, "{endpoints: [{addresses: [10.1.2.3], hostname: a.b}]}",
     "endpoints[0].hostname: Invalid value: \"a.b\": " LABEL},
    {slice,
     "{endpoints: [{addresses: [10.1.2.3], hints: {forZones: [{name: a}, {}, {}, {}, {}, {}, {}, "
     "{}, {}]}}]}",
     "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items"},
    /* events */
    {event, "", ""},
    {event, "{regarding: {namespace: other}}", ""},
    {event, "{regarding: null}",
     "involvedObject.namespace: Invalid value: \"\": does not match event.namespace"},
    {event, "{reportingController: '', reportingInstance: '', action: '', reason: ''}",
     "[reportingController: Required value, reportingController: Invalid value: \"\": name part "
     "must be "
     "non-empty, reportingController: Invalid value: \"\": name part must consist of"},
    {event,
     "{eventTime: null, type: Odd, series: {count: 1}, deprecatedCount: 1, deprecatedSource: "
     "{host: a}, deprecatedFirstTimestamp: '2026-01-01T00:00:00Z', deprecatedLastTimestamp: "
     "'2026-01-01T00:00:00Z'}",
     "[series.count: Invalid value: \"\": should be at least 2, series.lastObservedTime: Required "
     "value, "
     "eventTime: Required value, type: Invalid value: \"\": has invalid value: Odd, "
     "firstTimestamp: "
     "Invalid value: \"\": needs to be unset, lastTimestamp: Invalid value: \"\": needs to be "
     "unset, "
     "count: Invalid value: \"\": needs to be unset, source: Invalid value: \"\": needs to be "
     "unset]"},
    {core_event, "", ""},
    {core_event, "{involvedObject: {namespace: e}}",
     "involvedObject.namespace: Invalid value: \"e\": does not match event.namespace"},
    {core_event, "{involvedObject: null}",
     "involvedObject.namespace: Invalid value: \"\": does not match event.namespace"},
    {core_event, "{metadata: {namespace: default}, involvedObject: null}", ""},
    {core_event, "{metadata: {namespace: kube-system}, involvedObject: null}",
     "involvedObject.namespace: Invalid value: \"\": does not match event.namespace"},
    {core_event,
     "{metadata: {namespace: kube-system}, involvedObject: null, eventTime: "
     "'2026-01-01T00:00:00.000000Z', reportingComponent: x.io/c, reportingInstance: i, action: a, "
     "reason: r}",
     ""},
    {core_event,
     "{eventTime: '2026-01-01T00:00:00.000000Z', reportingInstance: i, action: a, reason: r}",
     "[reportingComponent: Required value, reportingComponent: Invalid value: \"\": name part must "
     "be "
     "non-empty"},
};

#define APPROVED "{type: Approved, status: 'True', reason: a}"
#define STATUS(status_) "{status: {" status_ "}}"

static const struct validation_change changes[] = {
    {request, "", "{metadata: {labels: {a: b}}}", NULL, ""},
    {request, "", STATUS("conditions: [" APPROVED "]"), "approval", ""},
    {request, "", STATUS("conditions: [" APPROVED "]"), "status",
     "status.conditions: Forbidden: updates may not add a condition of type \"Approved\""},
    {request, "", STATUS("conditions: [{type: Failed, status: 'True'}]"), "status", ""},
    {request, STATUS("conditions: [{type: Failed, status: 'True'}]"), STATUS("conditions: []"),
     "status",
     "status.conditions: Forbidden: updates may not remove a condition of type \"Failed\""},
    {request, STATUS("conditions: [" APPROVED "]"), STATUS("conditions: []"), "approval",
     "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""},
    {request, STATUS("conditions: [" APPROVED "]"),
     STATUS("conditions: [{type: Approved, status: 'True', reason: b}]"), "status",
     "status.conditions: Forbidden: updates may not modify a condition of type \"Approved\"\n"
     "@@ -2,7 +2,7 @@\n  {\n   \"Type\": \"Approved\",\n   \"Status\": \"True\",\n"
     "-  \"Reason\": \"a\",\n+  \"Reason\": \"b\",\n   \"Message\": \"\",\n"
     "   \"LastUpdateTime\": null,\n   \"LastTransitionTime\": null\n"},
    {request, STATUS("conditions: [" APPROVED "]"),
     STATUS("conditions: [{type: Approved, status: 'True', reason: b}]"), "approval", ""},
    {request,
     STATUS("conditions: [{type: A, status: 'True'}, {type: A, status: 'True'}, {status: 'True'}]"),
     STATUS("certificate: " CERTIFICATE_PEM), "status", ""},
    {request, "", STATUS("certificate: " CERTIFICATE_PEM), "approval",
     "status.certificate: Forbidden: updates may not set certificate content"},
    {request, STATUS("certificate: " CERTIFICATE_PEM), STATUS("certificate: " TWO_PEM), "status",
     "status.certificate: Forbidden: updates may not modify existing certificate content"},
    {request, "", STATUS("certificate: " KEY_PEM), "status",
     "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are "
     "allowed, "
     "found \"PRIVATE KEY\""},
    {request, "", STATUS("certificate: " HEADERS_PEM), "status",
     "status.certificate: Invalid value: \"<certificate data>\": no PEM block headers are "
     "permitted"},
    {request, "", STATUS("certificate: " NO_CERTIFICATE_PEM), "status",
     "status.certificate: Invalid value: \"<certificate data>\": x509: malformed certificate"},
    {request, STATUS("certificate: " NO_CERTIFICATE_PEM), "{metadata: {labels: {a: b}}}", "status",
     ""},
    {request, "", STATUS("certificate: AAAA"), "status",
     "status.certificate: Invalid value: \"<certificate data>\": must contain at least one "
     "CERTIFICATE PEM "
     "block"},
    {request, SPEC("usages: [eat, eat], signerName: kubernetes.io/legacy-unknown"),
     STATUS("conditions: [" APPROVED "]"), "approval", ""},
    /* conditions of flow schemas and levels */
    {flow_schema, "", STATUS("conditions: [{type: Dangling, status: 'True'}]"), "status", ""},
    {flow_schema, "", STATUS("conditions: [{type: A}, {status: 'True'}, {type: A}]"), "status",
     "[status.conditions[1].type: Required value: must not be empty, status.conditions[2].type: "
     "Duplicate value: \"A\"]"},
    {exempt_level, "", STATUS("conditions: [{status: 'True'}]"), "status",
     "status.conditions[0].type: Required value: must not be empty"},
    {exempt_schema, "", SPEC("matchingPrecedence: 3"), NULL,
     "spec of 'exempt' must equal the fixed value"},
    /* endpoints that are as they were */
    {slice, "{endpoints: [{}]}", "{metadata: {labels: {a: b}}}", NULL, ""},
    {slice, "{endpoints: [{}]}", "{endpoints: [{}, {}]}", NULL,
     "endpoints[0].addresses: Required value"},
    {slice, "", "{addressType: FQDN, endpoints: []}", NULL,
     "addressType: Invalid value: \"FQDN\": field is immutable"},
    {event, "", "{series: {count: 2, lastObservedTime: '2026-01-01T00:00:00.000000Z'}}", NULL, ""},
    {event, "", "{series: {count: 1}}", NULL,
     "[series.count: Invalid value: \"\": should be at least 2, series.lastObservedTime: Required "
     "value]"},
    {event, "",
     "{reason: s, note: n, deprecatedCount: 1, type: Warning, action: b, reportingController: "
     "x.io/d, reportingInstance: j}",
     NULL,
     "[reason: Invalid value: \"s\": field is immutable, message: Invalid value: \"n\": field is "
     "immutable, count: Invalid value: 1: field is immutable, type: Invalid value: \"Warning\": "
     "field is "
     "immutable, action: Invalid value: \"b\": field is immutable, reportingController: Invalid "
     "value: "
     "\"x.io/d\": field is immutable, reportingInstance: Invalid value: \"j\": field is "
     "immutable]"},
    {event, "{type: Odd}", "{metadata: {labels: {a: b}}}", NULL, ""},
};

CASES_TEST(creates, CREATE, PART)
CHANGES_TEST(changes)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_creates),
                                       cmocka_unit_test(test_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
