/*
 * What is said about bad webhook configurations, admission policies and their bindings, new and changed. Messages are
 * those of kube-apiserver.
 */
#include "tests/unit/validation_test.h"

#define GROUP "apiVersion: admissionregistration.k8s.io/v1, metadata: {name: x}"
#define RULE "operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [pods]"
#define HOOK_REST "name: a.b.c, sideEffects: None, admissionReviewVersions: [v1]"
#define HOOK(more_) \
    "{" HOOK_REST ", clientConfig: {url: 'https://x'}, rules: [{" RULE "}]" more_ "}"
#define WITH_RULE(rule_) \
    "{webhooks: [{" HOOK_REST ", clientConfig: {url: 'https://x'}, rules: [{" rule_ "}]}]}"
#define WITH_CLIENT(client_) "{webhooks: [{" HOOK_REST ", clientConfig: {" client_ "}}]}"
#define WITH_URL(url_) WITH_CLIENT("url: '" url_ "'")
#define AT_URL "webhooks[0].clientConfig.url: "
#define FORM "; desired format: https://host[/path]"
#define NO_URL(why_) AT_URL "Required value: url must be a valid URL: parse " why_ FORM
#define LABEL                                                                                    \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "     \
    "used for validation is "                                                                    \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define CONDITIONS(items_) "{webhooks: [" HOOK(", matchConditions: [" items_ "]") "]}"

static const char hooks[] =
    "{" GROUP ", kind: ValidatingWebhookConfiguration, webhooks: [" HOOK("") "]}";
static const char mutating[] =
    "{" GROUP ", kind: MutatingWebhookConfiguration, webhooks: [" HOOK("") "]}";
static const char policy[] =
    "{" GROUP ", kind: ValidatingAdmissionPolicy, spec: {matchConstraints: {resourceRules: [{" RULE
    "}]}, validations: [{expression: 'true'}]}}";
static const char binding[] = "{" GROUP ", kind: ValidatingAdmissionPolicyBinding, spec: "
                              "{policyName: p, validationActions: [Deny]}}";

static const struct validation_case creates[] = {
    {hooks, "", ""},
    {mutating, "", ""},
    /* rules */
    {hooks, WITH_RULE(""),
     "[webhooks[0].rules[0].operations: Required value, webhooks[0].rules[0].apiGroups: Required "
     "value, webhooks[0].rules[0].apiVersions: Required value, webhooks[0].rules[0].resources: "
     "Required value]"},
    {hooks,
     WITH_RULE("operations: ['*', READ], apiGroups: ['*', a], apiVersions: ['*', ''], resources: "
               "['*', pods], scope: All"),
     "[webhooks[0].rules[0].operations: Invalid value: [\"*\",\"READ\"]: if '*' is present, must "
     "not specify other operations, webhooks[0].rules[0].operations[1]: Unsupported value: "
     "\"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\", "
     "webhooks[0].rules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not "
     "specify other API groups, webhooks[0].rules[0].apiVersions: Invalid value: [\"*\",\"\"]: if "
     "'*' is present, must not specify other API versions, webhooks[0].rules[0].apiVersions[1]: "
     "Required value, webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is "
     "present, must not specify other resources without subresources, webhooks[0].rules[0].scope: "
     "Unsupported value: \"All\": supported values: \"*\", \"Cluster\", \"Namespaced\"]"},
    {hooks,
     WITH_RULE(
         "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: ['a/*', 'a/*', "
         "'*/b', 'a/b', '', '*/*']"),
     "[webhooks[0].rules[0].resources[1]: Invalid value: \"a/*\": if 'a/*' is present, must not "
     "specify a/*, webhooks[0].rules[0].resources[3]: Invalid value: \"a/b\": if 'a/*' is "
     "present, must not specify a/b, webhooks[0].rules[0].resources[3]: Invalid value: \"a/b\": if "
     "'*/b' is present, must not specify a/b, webhooks[0].rules[0].resources[4]: Required value, "
     "webhooks[0].rules[0].resources: Invalid value: "
     "[\"a/*\",\"a/*\",\"*/b\",\"a/b\",\"\",\"*/*\"]: if '*/*' is present, must not specify other "
     "resources]"},
    /* where they are called */
    {hooks, WITH_CLIENT(""),
     "webhooks[0].clientConfig: Required value: exactly one of url or service is required"},
    {hooks, WITH_CLIENT("url: 'https://x', service: {name: a, namespace: b}"),
     "webhooks[0].clientConfig: Required value: exactly one of url or service is required"},
    {hooks, WITH_URL("HTTPS://x"), ""},
    {hooks, WITH_URL("https://x:1/a?"), ""},
    {hooks, WITH_URL("https://[::1]:8443"), ""},
    {hooks, WITH_URL("x"),
     "[" AT_URL "Invalid value: \"\": 'https' is the only allowed URL scheme" FORM ", " AT_URL
     "Invalid value: \"\": host must be specified" FORM "]"},
    {hooks, WITH_URL("https:opaque"), AT_URL "Invalid value: \"\": host must be specified" FORM},
    {hooks, WITH_URL("https://u:p@x/?a=b#c"),
     "[" AT_URL "Invalid value: \"u:p\": user information is not permitted in the URL, " AT_URL
     "Invalid value: \"c\": fragments are not permitted in the URL, " AT_URL
     "Invalid value: \"a=b\": query parameters are not permitted in the URL]"},
    {hooks, WITH_URL("https://a b/"),
     NO_URL("\"https://a b/\": invalid character \" \" in host name")},
    {hooks, WITH_URL("https://x^y/"),
     NO_URL("\"https://x^y/\": invalid character \"^\" in host name")},
    {hooks, WITH_URL("https://x:abc/"),
     NO_URL("\"https://x:abc/\": invalid port \":abc\" after host")},
    {hooks, WITH_URL("https://[::1"), NO_URL("\"https://[::1\": missing ']' in host")},
    {hooks, WITH_URL("::"), NO_URL("\"::\": missing protocol scheme")},
    {hooks, WITH_URL("1:b"), NO_URL("\"1:b\": first path segment in URL cannot contain colon")},
    {hooks, WITH_URL("https://x/%zz"), NO_URL("\"https://x/%zz\": invalid URL escape \"%zz\"")},
    {hooks, WITH_URL("https://%41"), NO_URL("\"https://%41\": invalid URL escape \"%41\"")},
    {hooks, WITH_URL("https://us er@x/"),
     NO_URL("\"https://us er@x/\": net/url: invalid userinfo")},
    {hooks, WITH_CLIENT("service: {namespace: d}"),
     "webhooks[0].clientConfig.service.namespace: Required value"},
    {hooks, WITH_CLIENT("service: {name: d, port: 65536}"),
     "[webhooks[0].clientConfig.service.name: Required value, "
     "webhooks[0].clientConfig.service.port: "
     "Invalid value: 65536: port is not valid: must be between 1 and 65535, inclusive]"},
    {hooks, WITH_CLIENT("service: {name: n, namespace: d, path: //}"),
     "webhooks[0].clientConfig.service.path: Invalid value: \"//\": segment[0] may not be empty"},
    {hooks, WITH_CLIENT("service: {name: n, namespace: d, path: 'a//B/'}"),
     "[webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": must start with a '/', "
     "webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": segment[0] may not be "
     "empty, "
     "webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": segment[1] may not be "
     "empty, "
     "webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": segment[2]: " LABEL "]"},
    /* what else a webhook has, in its order */
    {mutating,
     "{webhooks: [{name: A, failurePolicy: a, matchPolicy: b, sideEffects: Some, timeoutSeconds: "
     "31, namespaceSelector: {matchLabels: {a: '!'}}, reinvocationPolicy: c, clientConfig: {}, "
     "admissionReviewVersions: [v2, v2, V]}]}",
     "[webhooks[0].name: Invalid value: \"A\": " LABEL
     ", webhooks[0].failurePolicy: Unsupported value: \"a\": supported values: \"Fail\", "
     "\"Ignore\", webhooks[0].matchPolicy: Unsupported value: \"b\": supported values: "
     "\"Equivalent\", \"Exact\", webhooks[0].sideEffects: Unsupported value: \"Some\": supported "
     "values: \"None\", \"NoneOnDryRun\", webhooks[0].timeoutSeconds: Invalid value: 31: the "
     "timeout value must be between 1 and 30 seconds, webhooks[0].namespaceSelector.matchLabels: "
     "Invalid value: \"!\": "},
    {mutating,
     "{webhooks: [{name: a.b.c, reinvocationPolicy: c, clientConfig: {}, admissionReviewVersions: "
     "[v2, v2]}]}",
     "[webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun, "
     "webhooks[0].reinvocationPolicy: Unsupported value: \"c\": supported values: \"IfNeeded\", "
     "\"Never\", webhooks[0].clientConfig: Required value: exactly one of url or service is "
     "required, webhooks[0].admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version, "
     "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least "
     "one "
     "of v1, v1beta1]"},
    {hooks, "{webhooks: [" HOOK("") ", " HOOK("") "]}",
     "webhooks[1].name: Duplicate value: \"a.b.c\""},
    {hooks,
     CONDITIONS("{name: a, expression: 'true'}, {name: a, expression: ' '}, {name: '', expression: "
                "x}, {name: '-', expression: x}"),
     "[webhooks[0].matchConditions[1].expression: Required value, "
     "webhooks[0].matchConditions[1].name: Duplicate value: \"a\", "
     "webhooks[0].matchConditions[2].name: Required value, webhooks[0].matchConditions[3].name: "
     "Invalid value: \"-\": name part must consist of"},
    /* policies */
    {policy, "", ""},
    {policy, "{spec: {matchConstraints: null, validations: null, failurePolicy: Stop}}",
     "[spec.failurePolicy: Unsupported value: \"Stop\": supported values: \"Fail\", \"Ignore\", "
     "spec.matchConstraints: Required value, spec.validations: Required value: validations or "
     "auditAnnotations must contain at least one item, spec.auditAnnotations: Required value: "
     "validations or auditAnnotations must contain at least one item]"},
    {policy,
     "{spec: {matchConstraints: {matchPolicy: a, namespaceSelector: {matchExpressions: [{key: a, "
     "operator: b}]}, resourceRules: []}}}",
     "[spec.matchConstraints.matchPolicy: Unsupported value: \"a\": supported values: "
     "\"Equivalent\", \"Exact\", "
     "spec.matchConstraints.namespaceSelector.matchExpressions[0].operator: Invalid value: \"b\": "
     "not a valid selector operator, spec.matchConstraints.resourceRules: Required value]"},
    {policy,
     "{spec: {matchConstraints: {excludeResourceRules: [{resourceNames: [a, a, '%'], " RULE "}]}}}",
     "[spec.matchConstraints.excludeResourceRules[0].resourceNames[1]: Duplicate value: \"a\", "
     "spec.matchConstraints.excludeResourceRules[0].resourceNames[2]: Invalid value: \"%\": may "
     "not "
     "contain '%']"},
    {policy, "{spec: {paramKind: {apiVersion: a/b/c}}}",
     "[spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c, "
     "spec.paramKind.kind: Required value]"},
    {policy, "{spec: {paramKind: {apiVersion: /, kind: 'K!'}}}",
     "[spec.paramKind.apiVersion: Invalid value: \"/\": version must be specified, "
     "spec.paramKind.kind: Invalid value: \"K!\": may have mixed case, but should otherwise match: "
     "a "
     "DNS-1035 label"},
    {policy,
     "{spec: {variables: [{}, {name: for, expression: a}, {name: 1a, expression: a}, {name: _a1, "
     "expression: ' '}]}}",
     "[spec.variables[0].name: Required value: name is not specified, "
     "spec.variables[0].expression: "
     "Required value: expression is not specified, spec.variables[1].name: Invalid value: \"for\": "
     "name is not a valid CEL identifier, spec.variables[2].name: Invalid value: \"1a\": name is "
     "not "
     "a valid CEL identifier, spec.variables[3].expression: Required value: expression is not "
     "specified]"},
    {policy,
     "{spec: {validations: [{expression: ' ', messageExpression: ' ', message: ' ', reason: "
     "Unauthorized}, {expression: a, message: \"b\\rc\"}, {expression: a, message: \"b\\n\", "
     "reason: "
     "Forbidden}]}}",
     "[spec.validations[0].expression: Required value: expression is not specified, "
     "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if specified, "
     "spec.validations[0].message: Invalid value: \" \": message must be non-empty if specified, "
     "spec.validations[0].reason: Unsupported value: \"Unauthorized\": supported values: "
     "\"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\", spec.validations[1].message: Invalid "
     "value: \"b\\rc\": message must not contain line breaks]"},
    {policy,
     "{spec: {auditAnnotations: [{key: a, valueExpression: b}, {key: a, valueExpression: ' '}, "
     "{key: '!', valueExpression: c}]}}",
     "[spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified, "
     "spec.auditAnnotations[1].key: Duplicate value: \"a\", spec.auditAnnotations[2].key: Invalid "
     "value: \"x/!\": name part must consist of"},
    /* bindings */
    {binding, "", ""},
    {binding, "{spec: {policyName: '', validationActions: []}}",
     "[spec.policyName: Required value, spec.validationActions: Required value: at least one "
     "validation action is required]"},
    {binding, "{spec: {policyName: A, validationActions: [Deny, Warn, Warn, Log]}}",
     "[spec.policyName: Invalid value: \"A\": " LABEL
     ", spec.validationActions[2]: Duplicate value: \"Warn\", spec.validationActions[3]: "
     "Unsupported value: \"Log\": supported values: \"Audit\", \"Deny\", \"Warn\", "
     "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Warn\",\"Log\"]: must not "
     "contain "
     "both Deny and Warn (repeating the same validation failure information in the API response "
     "and "
     "headers serves no purpose)]"},
    {binding, "{spec: {paramRef: {}}}",
     "[spec.paramRef: Required value: one of name or selector must be specified, "
     "spec.paramRef.parameterNotFoundAction: Required value]"},
    {binding,
     "{spec: {paramRef: {name: a/b, selector: {matchExpressions: [{key: a, operator: In}]}, "
     "parameterNotFoundAction: Stop}}}",
     "[spec.paramRef.name: Invalid value: \"a/b\": may not contain '/', spec.paramRef.name: "
     "Forbidden: name and selector are mutually exclusive, "
     "spec.paramRef.selector.matchExpressions[0].values: Required value: must be specified when "
     "`operator` is 'In' or 'NotIn', spec.paramRef.selector: Forbidden: name and selector are "
     "mutually exclusive, spec.paramRef.parameterNotFoundAction: Unsupported value: \"Stop\": "
     "supported values: \"Deny\", \"Allow\"]"},
    {binding, "{spec: {matchResources: {resourceRules: [{resourceNames: ['']}]}}}",
     "spec.matchResources.resourceRules[0].operations: Required value"},
};

/* What was let in before may stay. */
#define UNKNOWN "{webhooks: [" HOOK(", sideEffects: Unknown") "]}"
#define OLD_REVIEW "{webhooks: [" HOOK(", admissionReviewVersions: [v1alpha1]") "]}"
#define TWICE "{webhooks: [" HOOK("") ", " HOOK("") "]}"
#define SELECTOR         \
    "{webhooks: [" HOOK( \
        ", objectSelector: {matchExpressions: [{key: a, operator: In, values: ['!']}]}") "]}"
#define BAD_CONDITION CONDITIONS("{name: a, expression: ''}")

static const struct validation_change changes[] = {
    {hooks, "", "{webhooks: []}", NULL, ""},
    {hooks, UNKNOWN, UNKNOWN, NULL, ""},
    {hooks, "", UNKNOWN, NULL, "webhooks[0].sideEffects: Unsupported value: \"Unknown\""},
    {mutating, UNKNOWN, "{webhooks: [" HOOK(", sideEffects: Sometimes") "]}", NULL,
     "webhooks[0].sideEffects: Unsupported value: \"Sometimes\": supported values: \"None\", "
     "\"NoneOnDryRun\", \"Some\", \"Unknown\""},
    {hooks, OLD_REVIEW, OLD_REVIEW, NULL, ""},
    {hooks, "", OLD_REVIEW, NULL, "webhooks[0].admissionReviewVersions: Invalid value: "},
    {hooks, TWICE, TWICE, NULL, ""},
    {mutating, "", TWICE, NULL, "webhooks[1].name: Duplicate value: \"a.b.c\""},
    {hooks, SELECTOR, SELECTOR, NULL, ""},
    {hooks, "", SELECTOR, NULL,
     "webhooks[0].objectSelector.matchExpressions[0].values[0]: Invalid value: \"!\""},
    {hooks, BAD_CONDITION, BAD_CONDITION, NULL, ""},
    {hooks, "", BAD_CONDITION, NULL, "webhooks[0].matchConditions[0].expression: Required value"},
    {policy, "{spec: {matchConditions: [{name: '', expression: a}]}}",
     "{spec: {failurePolicy: Ignore}}", NULL, ""},
    {policy, "{spec: {matchConditions: [{name: '', expression: a}]}}",
     "{spec: {paramKind: {apiVersion: v1, kind: K}}}", NULL,
     "spec.matchConditions[0].name: Required value"},
    {policy, "", "{status: {observedGeneration: 1}}", "status", ""},
    {policy, "",
     "{status: {typeChecking: {expressionWarnings: [{fieldRef: 'spec.validations[0].expression', "
     "warning: w}, {fieldRef: ' '}]}, conditions: [{type: a}]}}",
     "status",
     "[status.typeChecking.expressionWarnings[1].warning: Required value, "
     "status.typeChecking.expressionWarnings[1].fieldRef: Required value, "
     "status.conditions[0].status: Unsupported value: \"\": supported values: \"False\", \"True\", "
     "\"Unknown\", status.conditions[0].lastTransitionTime: Required value: must be set, "
     "status.conditions[0].reason: Required value: must be set]"},
    {policy, "",
     "{status: {typeChecking: {expressionWarnings: [{fieldRef: 'spec.a[0', warning: w}]}}}",
     "status",
     "status.typeChecking.expressionWarnings[0].fieldRef: Invalid value: \"spec.a[0\": invalid "
     "JSONPath: "},
};

CASES_TEST(creates, CREATE, PART)
CHANGES_TEST(changes)

/* More of what is bounded than is allowed. */
static void test_bounds(void **state)
{
    (void)state;
    struct buf conditions = {0}, audits = {0}, shown = {0};
    for (int i = 0; i < 65; i++)
        buf_printf(&conditions, "%s{name: c%d, expression: x}", i ? ", " : "", i);
    for (int i = 0; i < 21; i++) {
        buf_printf(&audits, "%s{key: k%d, valueExpression: x}", i ? ", " : "", i);
        buf_printf(&shown, "%s{\"Key\":\"k%d\",\"ValueExpression\":\"x\"}", i ? "," : "", i);
    }
    struct arena a;
    arena_init(&a);
    const char *long_one = arena_printf(&a, "%0*d", 5 * 1024 + 1, 0);
    const struct validation_case cases[] = {
        {hooks, arena_printf(&a, CONDITIONS("%s"), buf_cstr(&conditions)),
         "webhooks[0].matchConditions: Too many: 65: must have at most 64 items"},
        {policy, arena_printf(&a, "{spec: {auditAnnotations: [%s]}}", buf_cstr(&audits)),
         arena_printf(&a,
                      "spec.auditAnnotations: Invalid value: [%s]: must not have more than 20 "
                      "auditAnnotations",
                      buf_cstr(&shown))},
        {policy,
         arena_printf(&a, "{spec: {auditAnnotations: [{key: a, valueExpression: '%s'}]}}",
                      long_one),
         "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in "
         "length"},
    };
    check_cases(cases, sizeof cases / sizeof *cases, CREATE, PART);
    arena_free(&a);
    buf_free(&conditions);
    buf_free(&audits);
    buf_free(&shown);
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
