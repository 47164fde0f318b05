/*
 * What is said about bad CustomResourceDefinitions, new and changed, and what their conditions tell. Messages are those
 * of kube-apiserver: what all versions have in common is spoken of at the spec.
 */
#include "api/custom/custom.h"
#include "tests/unit/validation_test.h"

#define SCHEMA(more_) "schema: {openAPIV3Schema: {type: object" more_ "}}"
#define VERSION(name_, more_) "{name: " name_ ", served: true, storage: " more_ "}"
#define CRD(group_, metadata_, more_)                                                         \
    "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: " \
    "as." group_ metadata_ "}, spec: {group: " group_                                         \
    ", scope: Namespaced, names: {plural: as, kind: A}, versions: [" VERSION(                 \
        "v1", "true, " SCHEMA("")) "]" more_ "}}"
#define SPEC(more_) "{spec: {" more_ "}}"
#define ONE(more_) SPEC("versions: [" VERSION("v1", "true, " more_) "]")
#define TWO(first_, second_) \
    SPEC("versions: [" VERSION("v1", "true, " first_) ", " VERSION("v2", "false, " second_) "]")
#define LABEL "a DNS-1035 label must consist of"
#define WEBHOOK(client_, more_) \
    SPEC("conversion: {strategy: Webhook, webhook: {clientConfig: {" client_ "}" more_ "}}")
#define REVIEWS ", conversionReviewVersions: [v1]"
#define CLIENT "spec.conversion.webhookClientConfig"
#define APPROVAL "metadata.annotations[api-approved.kubernetes.io]: "
#define SEE "see https://github.com/kubernetes/enhancements/pull/1111"
#define NEEDED "protected groups must have approval annotation \"api-approved.kubernetes.io\""
#define APPROVED(value_) "{metadata: {annotations: {api-approved.kubernetes.io: '" value_ "'}}}"

static const char crd[] = CRD("x.io", "", "");
static const char protected[] =
    CRD("x.k8s.io", ", annotations: {api-approved.kubernetes.io: 'https://a/b'}", "");

static const struct validation_case creates[] = {
    {crd, "", ""},
    {crd, "{metadata: {name: bs.x.io}}",
     "metadata.name: Invalid value: \"bs.x.io\": must be spec.names.plural+\".\"+spec.group"},
    {crd, SPEC("scope: Everywhere, names: {plural: as, kind: '', singular: '', listKind: ''}"),
     "[spec.scope: Unsupported value: \"Everywhere\": supported values: \"Cluster\", "
     "\"Namespaced\", "
     "spec.names.singular: Required value, spec.names.kind: Required value, spec.names.listKind: "
     "Required value"},
    {crd, SPEC("names: {singular: A, kind: A, listKind: A, shortNames: [B], categories: [c, C]}"),
     "[spec.names.singular: Invalid value: \"A\": " LABEL},
    {crd, SPEC("names: {kind: A, listKind: A}"),
     "spec.names.listKind: Invalid value: \"A\": kind and listKind may not be the same"},
    {crd, SPEC("names: {kind: 'A!'}"),
     "spec.names.kind: Invalid value: \"A!\": may have mixed case, but should otherwise "
     "match: " LABEL},
    /* one version, or the same in all: at the spec */
    {crd, ONE(SCHEMA(", properties: {spec: {type: object, properties: {a: {}}}}")),
     "spec.validation.openAPIV3Schema.properties[spec].properties[a].type: Required value: must "
     "not be "
     "empty for specified object fields"},
    {crd, ONE("schema: {openAPIV3Schema: {}}"),
     "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root"},
    {crd, ONE("schema: {}"),
     "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"},
    {crd, SPEC("preserveUnknownFields: true, versions: [" VERSION("v1", "true, schema: {}") "]"),
     "[spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required, "
     "spec.preserveUnknownFields: Invalid value: true: cannot set to true"},
    {crd,
     SPEC("preserveUnknownFields: true, versions: [" VERSION(
         "v1", "true, " SCHEMA(
                   ", properties: {a: {type: array, items: {type: string, default: x}}}")) "]"),
     "[spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in "
     "the schema, spec.preserveUnknownFields: Invalid value: true: cannot set to true"},
    {crd,
     ONE(SCHEMA("") ", subresources: {scale: {}}, additionalPrinterColumns: [{name: a, type: x, "
                    "jsonPath: y}, {}], "
                    "selectableFields: [{jsonPath: .spec.a}]"),
     "[spec.subresources.scale.specReplicasPath: Required value, "
     "spec.subresources.scale.statusReplicasPath: Required value, "
     "spec.additionalPrinterColumns[0].type: Invalid value: \"x\": must be one of "
     "boolean,date,integer,number,string, spec.additionalPrinterColumns[0].JSONPath: Invalid "
     "value: "
     "\"y\": must be a simple json path starting with ., spec.additionalPrinterColumns[1].name: "
     "Required "
     "value, spec.additionalPrinterColumns[1].type: Required value: must be one of "
     "boolean,date,integer,number,string, spec.additionalPrinterColumns[1].JSONPath: Required "
     "value, "
     "spec.selectableFields[0].jsonPath: Invalid value: \".spec.a\": is an invalid path"},
    {crd, TWO(SCHEMA(", nullable: true"), SCHEMA(", nullable: true")),
     "spec.validation.openAPIV3Schema.nullable: Forbidden: nullable cannot be true at the root"},
    /* others: at the version */
    {crd, TWO(SCHEMA(""), SCHEMA(", nullable: true")),
     "spec.versions[1].schema.openAPIV3Schema.nullable: Forbidden: nullable cannot be true at the "
     "root"},
    {crd,
     TWO(SCHEMA("") ", subresources: {scale: {}}", SCHEMA("") ", additionalPrinterColumns: [{}]"),
     "[spec.versions[0].subresources.scale.specReplicasPath: Required value, "
     "spec.versions[0].subresources.scale.statusReplicasPath: Required value, "
     "spec.versions[1].additionalPrinterColumns[0].name: Required value"},
    {crd, SPEC("versions: [" VERSION("V1", "true, " SCHEMA("")) "]"),
     "[spec.versions[0].name: Invalid value: \"V1\": " LABEL},
    {crd, SPEC("versions: [" VERSION("V1", "true, " SCHEMA("")) "]"),
     ", spec.version: Invalid value: \"V1\": " LABEL},
    {crd, ONE(SCHEMA("") ", deprecationWarning: a"),
     "spec.versions[0].deprecationWarning: Invalid value: \"a\": can only be set for deprecated "
     "versions"},
    /* conversion */
    {crd, SPEC("conversion: {strategy: ''}"), "spec.conversion.strategy: Required value"},
    {crd,
     SPEC("conversion: {strategy: Magic, webhook: {clientConfig: {}, conversionReviewVersions: "
          "[v1]}}"),
     "[spec.conversion.strategy: Unsupported value: \"Magic\": supported values: \"None\", "
     "\"Webhook\", " CLIENT ": Forbidden: should not be set when strategy is not set to Webhook, "
     "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not "
     "set to "
     "Webhook]"},
    {crd, SPEC("conversion: {strategy: Webhook}"),
     "[" CLIENT ": Required value: required when strategy is set to Webhook, "
     "spec.conversion.conversionReviewVersions: Required value]"},
    {crd, WEBHOOK("", REVIEWS),
     CLIENT ": Required value: exactly one of url or service is required"},
    {crd, WEBHOOK("url: 'http://u@x/?a'", REVIEWS),
     "[" CLIENT
     ".url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
     "https://host[/path], " CLIENT
     ".url: Invalid value: \"u\": user information is not permitted in the "
     "URL, " CLIENT ".url: Invalid value: \"a\": query parameters are not permitted in the URL]"},
    {crd, WEBHOOK("service: {name: a, port: 0, path: a}", REVIEWS),
     "[" CLIENT ".service.name: Required value, " CLIENT
     ".service.port: Invalid value: 0: port is not "
     "valid: must be between 1 and 65535, inclusive, " CLIENT
     ".service.path: Invalid value: \"a\": must "
     "start with a '/'"},
    {crd, WEBHOOK("url: 'https://x'", ", conversionReviewVersions: [v2, v2]"),
     "[spec.conversion.conversionReviewVersions[1]: Invalid value: \"v2\": duplicate version, "
     "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at "
     "least one "
     "of v1, v1beta1]"},
    /* the community's groups */
    {protected, "", ""},
    {protected, APPROVED("unapproved, but mine"), ""},
    {protected, APPROVED(""), APPROVAL "Required value: " NEEDED ", " SEE},
    {protected, "{metadata: {annotations: null}}", APPROVAL "Required value: " NEEDED ", " SEE},
    {protected, APPROVED("yes"),
     APPROVAL "Invalid value: \"yes\": " NEEDED " with either a URL or a reason starting with "
              "\"unapproved\", " SEE},
    {protected, APPROVED("http://x"), ""},
    {protected, APPROVED("http:///x"), APPROVAL "Invalid value: \"http:///x\""},
    {protected, APPROVED("x.io/y"), APPROVAL "Invalid value: \"x.io/y\""},
};

#define NAMES(more_) "{spec: {names: {" more_ "}}}"
#define ESTABLISHED "{status: {conditions: [{type: Established, status: 'True'}]}}"
#define OLD_REVIEW WEBHOOK("url: 'https://x'", ", conversionReviewVersions: [v1alpha1]")
#define MANY_FIELDS                                                                              \
    SPEC("versions: [" VERSION(                                                                  \
        "v1", "true, " SCHEMA(                                                                   \
                  ", properties: {a: {type: string}, b: {type: string}, c: {type: string}, d: "  \
                  "{type: string}, "                                                             \
                  "e: {type: string}, f: {type: string}, g: {type: string}, h: {type: string}, " \
                  "i: {type: string}}") ", selectableFields: [{jsonPath: .a}, {jsonPath: .b}, "  \
                                        "{jsonPath: .c}, {jsonPath: .d}, "                       \
                                        "{jsonPath: .e}, {jsonPath: .f}, {jsonPath: .g}, "       \
                                        "{jsonPath: .h}, {jsonPath: .i}]") "]")

static const struct validation_change changes[] = {
    {crd, "", "{metadata: {labels: {a: b}}}", NULL, ""},
    {crd, "", NAMES("plural: bs, kind: B"), NULL,
     "spec.names.plural: Invalid value: \"bs\": field is immutable"},
    {crd, ESTABLISHED, "{spec: {scope: Cluster, names: {kind: B}}}", NULL,
     "[spec.scope: Invalid value: \"Cluster\": field is immutable, spec.names.kind: Invalid value: "
     "\"B\": field is immutable]"},
    {crd, OLD_REVIEW, OLD_REVIEW, NULL, ""},
    {crd, "", OLD_REVIEW, NULL, "must include at least one of v1, v1beta1"},
    {crd, MANY_FIELDS, MANY_FIELDS, NULL, ""},
    {crd, "", MANY_FIELDS, NULL, "spec.selectableFields: Too many: 9: must have at most 8 items"},
    {crd, "", "{status: {storedVersions: [v0, v1]}}", NULL,
     "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions; v0 was "
     "previously a "
     "storage version, and must remain in spec.versions until a storage migration ensures no data "
     "remains persisted in v0 and removes v0 from status.storedVersions"},
    {crd, "", "{status: {storedVersions: [v0]}}", NULL,
     "[status.storedVersions: Invalid value: [\"v0\"]: must have the storage version v1, "},
    {crd, "", "{status: {acceptedNames: {plural: A}}}", "status",
     "status.acceptedNames.plural: Invalid value: \"A\": " LABEL},
    {protected, APPROVED("yes"), APPROVED("no"), NULL, ""},
    {protected, "", APPROVED("no"), NULL, APPROVAL "Invalid value: \"no\""},
    {protected, "", "{metadata: {annotations: null}}", NULL, APPROVAL "Required value"},
};

CASES_TEST(creates, CREATE, PART)
CHANGES_TEST(changes)

/* What the condition NonStructuralSchema says. */
static void test_structure(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *problem;
    } cases[] = {
        {"", NULL},
        {SPEC("preserveUnknownFields: true"),
         "spec.preserveUnknownFields: Invalid value: true: must be false"},
        {TWO(SCHEMA(""), SCHEMA(", properties: {a: {}}")),
         "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be "
         "empty for "
         "specified object fields"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got =
            crd_structure_problem(&a, changed(&a, json_of(&a, crd), json_of(&a, cases[i].patch)));
        if (!cases[i].problem)
            assert_null(got);
        else
            assert_string_equal(got, cases[i].problem);
    }
    arena_free(&a);
}

static void test_approval(void **state)
{
    (void)state;
    static const struct {
        const char *object, *patch;
        enum crd_approval approval;
        const char *reason;
    } cases[] = {
        {crd, "", CRD_UNPROTECTED, ""},
        {protected, "", CRD_APPROVAL_GIVEN, "approved in https://a/b"},
        {protected, APPROVED("unapproved: \"why\""), CRD_APPROVAL_BYPASSED,
         "not approved: \"unapproved: \\\"why\\\"\""},
        {protected, APPROVED(""), CRD_APPROVAL_MISSING, NEEDED ", " SEE},
        {protected, APPROVED("a"), CRD_APPROVAL_INVALID,
         NEEDED " with either a URL or a reason starting with \"unapproved\", " SEE},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *reason = "";
        const void *object = changed(&a, json_of(&a, cases[i].object), json_of(&a, cases[i].patch));
        assert_int_equal(crd_approval_of(&a, object, &reason), cases[i].approval);
        assert_string_equal(reason, cases[i].reason);
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creates),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_approval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
