/*
 * Validation of admission policies and their bindings.
 */
#include "api/codec.h"
#include "api/jsonpath.h"
#include "api/validation/admission.h"
#include <ctype.h>

#define AUDIT_ANNOTATIONS_MAX 20
#define AUDIT_EXPRESSION_MAX (5 * 1024)

static void check_named_rules(struct field_errors *e, const struct path *at,
                              Admissionregistration__V1__NamedRuleWithOperations *const *rules,
                              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i), *names = AT(item, "resourceNames");
        struct seen seen = {.arena = e->arena};
        for (size_t k = 0; k < rules[i]->n_resource_names; k++) {
            const char *name = rules[i]->resource_names[k];
            check_string(e, ITEM(names, k), name, validate_path_segment);
            if (seen_again(&seen, name))
                err_duplicate(e, ITEM(names, k), name);
        }
        check_admission_rule(e, item, rules[i]->rule_with_operations);
    }
}

static void check_match(struct field_errors *e, const struct path *at,
                        const Admissionregistration__V1__MatchResources *m)
{
    if (!m->match_policy)
        err_required(e, AT(at, "matchPolicy"), "");
    else
        check_one_of(e, AT(at, "matchPolicy"), m->match_policy, ONE_OF("Equivalent", "Exact"));
    if (!m->namespace_selector)
        err_required(e, AT(at, "namespaceSelector"), "");
    check_label_selector(e, AT(at, "namespaceSelector"), m->namespace_selector);
    if (!m->object_selector)
        err_required(e, AT(at, "objectSelector"), "");
    check_label_selector(e, AT(at, "objectSelector"), m->object_selector);
    check_named_rules(e, AT(at, "resourceRules"), m->resource_rules, m->n_resource_rules);
    check_named_rules(e, AT(at, "excludeResourceRules"), m->exclude_resource_rules,
                      m->n_exclude_resource_rules);
}

static void check_param_kind(struct field_errors *e, const struct path *at,
                             const Admissionregistration__V1__ParamKind *p)
{
    struct str group, version;
    const struct path *api_version = AT(at, "apiVersion");
    if (check_required(e, api_version, p->api_version)) {
        const char *slash = strchr(p->api_version, '/');
        api_version_split(str_from(p->api_version), &group, &version);
        if (slash && strchr(slash + 1, '/')) {
            err_invalid(
                e, api_version, p->api_version,
                arena_printf(e->arena, "unexpected GroupVersion string: %s", p->api_version));
        } else {
            if (group.n)
                check_string_joined(e, api_version, arena_strndup(e->arena, group.p, group.n),
                                    validate_dns1123_subdomain, ",");
            if (version.n == 0)
                err_invalid(e, api_version, p->api_version, "version must be specified");
            else
                check_string_joined(e, api_version, arena_strndup(e->arena, version.p, version.n),
                                    validate_dns1035_label, ",");
        }
    }
    if (!check_required(e, AT(at, "kind"), p->kind))
        return;
    char *lower = arena_strdup(e->arena, p->kind);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    const char *message = validate_dns1035_label(lower);
    if (message)
        err_invalid(
            e, AT(at, "kind"), p->kind,
            arena_printf(e->arena, "may have mixed case, but should otherwise match: %s", message));
}

static void check_validation(struct field_errors *e, const struct path *at,
                             const Admissionregistration__V1__Validation *v)
{
    if (is_blank(v->expression))
        err_required(e, AT(at, "expression"), "expression is not specified");
    if (*v->message_expression && is_blank(v->message_expression))
        err_invalid(e, AT(at, "messageExpression"), v->message_expression,
                    "must be non-empty if specified");
    struct str message = str_trim(str_from(v->message));
    if (*v->message && message.n == 0)
        err_invalid(e, AT(at, "message"), v->message, "message must be non-empty if specified");
    else if (str_find_char(message, '\n') >= 0 || str_find_char(message, '\r') >= 0)
        err_invalid(e, AT(at, "message"), v->message, "message must not contain line breaks");
    if (v->reason)
        check_one_of(e, AT(at, "reason"), v->reason,
                     ONE_OF("Forbidden", "Invalid", "RequestEntityTooLarge"));
}

/* Of CEL: words of the language are none. */
static bool is_identifier(const char *s)
{
    static const char *const reserved[] = {
        "as",     "break",  "const", "continue", "else",  "false",     "for",  "function",
        "if",     "import", "in",    "let",      "loop",  "namespace", "null", "package",
        "return", "true",   "var",   "void",     "while", NULL};
    bool good = (isalpha((unsigned char)*s) || *s == '_') && !is_one_of(s, reserved);
    for (; *s && good; s++)
        good = isalnum((unsigned char)*s) || *s == '_';
    return good;
}

static void check_variables(struct field_errors *e, const struct path *at,
                            const Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec)
{
    for (size_t i = 0; i < spec->n_variables; i++) {
        const Admissionregistration__V1__Variable *v = spec->variables[i];
        if (is_blank(v->name))
            err_required(e, AT(ITEM(at, i), "name"), "name is not specified");
        else if (!is_identifier(v->name))
            err_invalid(e, AT(ITEM(at, i), "name"), v->name, "name is not a valid CEL identifier");
        if (is_blank(v->expression))
            err_required(e, AT(ITEM(at, i), "expression"), "expression is not specified");
    }
}

static void too_many_audits(struct field_errors *e, const struct path *at,
                            const Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec)
{
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < spec->n_audit_annotations; i++) {
        buf_append_cstr(&b, i ? ",{\"Key\":" : "[{\"Key\":");
        buf_append_json_string(&b, str_from(spec->audit_annotations[i]->key));
        buf_append_cstr(&b, ",\"ValueExpression\":");
        buf_append_json_string(&b, str_from(spec->audit_annotations[i]->value_expression));
        buf_append_char(&b, '}');
    }
    buf_append_char(&b, ']');
    err_invalid_raw(e, at, buf_cstr(&b), "must not have more than 20 auditAnnotations");
    buf_free(&b);
}

static void check_audit(struct field_errors *e, const struct path *at, const char *policy,
                        const Admissionregistration__V1__AuditAnnotation *a)
{
    size_t length = str_trim(str_from(a->value_expression)).n;
    if (*policy)
        check_string(e, AT(at, "key"), arena_printf(e->arena, "%s/%s", policy, a->key),
                     validate_qualified_name);
    else
        err_invalid(e, AT(at, "key"), a->key, "requires metadata.name be non-empty");
    if (length == 0)
        err_required(e, AT(at, "valueExpression"), "valueExpression is not specified");
    else if (length > AUDIT_EXPRESSION_MAX)
        err_required(e, AT(at, "valueExpression"), "must not exceed 5120 bytes in length");
}

static void check_audits(struct field_errors *e, const struct path *at, const char *policy,
                         const Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec)
{
    if (spec->n_audit_annotations > AUDIT_ANNOTATIONS_MAX)
        too_many_audits(e, at, spec);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_audit_annotations; i++) {
        const char *key = spec->audit_annotations[i]->key;
        check_audit(e, ITEM(at, i), policy, spec->audit_annotations[i]);
        if (seen_again(&seen, key))
            err_duplicate(e, AT(ITEM(at, i), "key"), key);
    }
}

static void check_policy(struct field_errors *e, const void *object, bool conditions)
{
    static const char one[] = "validations or auditAnnotations must contain at least one item";
    const Admissionregistration__V1__ValidatingAdmissionPolicy *p = object;
    const Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec = p->spec;
    if (!spec->failure_policy)
        err_required(e, AT(SPEC, "failurePolicy"), "");
    else
        check_one_of(e, AT(SPEC, "failurePolicy"), spec->failure_policy, ONE_OF("Fail", "Ignore"));
    if (spec->param_kind)
        check_param_kind(e, AT(SPEC, "paramKind"), spec->param_kind);
    if (!spec->match_constraints) {
        err_required(e, AT(SPEC, "matchConstraints"), "");
    } else {
        check_match(e, AT(SPEC, "matchConstraints"), spec->match_constraints);
        if (spec->match_constraints->n_resource_rules == 0)
            err_required(e, AT(AT(SPEC, "matchConstraints"), "resourceRules"), "");
    }
    if (conditions)
        check_match_conditions(e, AT(SPEC, "matchConditions"), spec->match_conditions,
                               spec->n_match_conditions);
    check_variables(e, AT(SPEC, "variables"), spec);
    if (spec->n_validations + spec->n_audit_annotations == 0) {
        err_required(e, AT(SPEC, "validations"), one);
        err_required(e, AT(SPEC, "auditAnnotations"), one);
    }
    for (size_t i = 0; i < spec->n_validations; i++)
        check_validation(e, ITEM(AT(SPEC, "validations"), i), spec->validations[i]);
    check_audits(e, AT(SPEC, "auditAnnotations"), p->metadata->name, spec);
}

void validate_policy(const void *object, struct field_errors *e)
{
    check_policy(e, object, true);
}

/* Conditions that did not change are as good as they were. */
void validate_policy_update(const void *object, const void *before, struct field_errors *e)
{
    const Admissionregistration__V1__ValidatingAdmissionPolicy *p = object, *old = before;
    bool same = object_equal(p->spec->param_kind, old->spec->param_kind) &&
                match_conditions_equal(p->spec->match_conditions, p->spec->n_match_conditions,
                                       old->spec->match_conditions, old->spec->n_match_conditions);
    check_policy(e, object, !same);
}

static void check_field_ref(struct field_errors *e, const struct path *at, const char *ref)
{
    struct str trimmed = str_trim(str_from(ref));
    const char *path = arena_strndup(e->arena, trimmed.p, trimmed.n);
    yyjson_val nothing = {0}, **found;
    size_t n;
    struct error err;
    if (trimmed.n == 0) {
        err_required(e, at, "");
        return;
    }
    yyjson_set_null(&nothing);
    /* "{spec.a}" is the same as "{.spec.a}" */
    const char *expression =
        isalnum((unsigned char)*path) ? arena_printf(e->arena, ".%s", path) : path;
    if (jsonpath_find(e->arena, expression, &nothing, &found, &n, &err) < 0)
        err_invalid(e, at, path, arena_printf(e->arena, "invalid JSONPath: %s", err.message));
}

void validate_policy_status(const void *object, const void *old, struct field_errors *e)
{
    const Admissionregistration__V1__ValidatingAdmissionPolicyStatus *status =
        ((const Admissionregistration__V1__ValidatingAdmissionPolicy *)object)->status;
    const struct path *at = AT(NULL, "status");
    const struct path *warnings = AT(AT(at, "typeChecking"), "expressionWarnings");
    const Admissionregistration__V1__TypeChecking *types = status->type_checking;
    (void)old;
    for (size_t i = 0; types && i < types->n_expression_warnings; i++) {
        check_required(e, AT(ITEM(warnings, i), "warning"), types->expression_warnings[i]->warning);
        check_field_ref(e, AT(ITEM(warnings, i), "fieldRef"),
                        types->expression_warnings[i]->field_ref);
    }
    check_conditions(e, AT(at, "conditions"), status->conditions, status->n_conditions);
}

static void check_param_ref(struct field_errors *e, const struct path *at,
                            const Admissionregistration__V1__ParamRef *p)
{
    static const char exclusive[] = "name and selector are mutually exclusive";
    if (*p->name)
        check_string(e, AT(at, "name"), p->name, validate_path_segment);
    if (*p->name && p->selector)
        err_forbidden(e, AT(at, "name"), exclusive);
    check_label_selector(e, AT(at, "selector"), p->selector);
    if (*p->name && p->selector)
        err_forbidden(e, AT(at, "selector"), exclusive);
    if (!*p->name && !p->selector)
        err_required(e, at, "one of name or selector must be specified");
    check_required_one_of(e, AT(at, "parameterNotFoundAction"), p->parameter_not_found_action,
                          ONE_OF("Deny", "Allow"));
}

void validate_policy_binding(const void *object, struct field_errors *e)
{
    const Admissionregistration__V1__ValidatingAdmissionPolicyBindingSpec *spec =
        ((const Admissionregistration__V1__ValidatingAdmissionPolicyBinding *)object)->spec;
    const struct path *actions = AT(SPEC, "validationActions");
    check_required_string(e, AT(SPEC, "policyName"), spec->policy_name, validate_dns1123_subdomain);
    if (spec->param_ref)
        check_param_ref(e, AT(SPEC, "paramRef"), spec->param_ref);
    if (spec->match_resources)
        check_match(e, AT(SPEC, "matchResources"), spec->match_resources);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_validation_actions; i++) {
        check_one_of(e, ITEM(actions, i), spec->validation_actions[i],
                     ONE_OF("Audit", "Deny", "Warn"));
        if (seen_again(&seen, spec->validation_actions[i]))
            err_duplicate(e, ITEM(actions, i), spec->validation_actions[i]);
    }
    if (string_list_has(spec->validation_actions, spec->n_validation_actions, "Deny") &&
        string_list_has(spec->validation_actions, spec->n_validation_actions, "Warn"))
        err_invalid_list(e, actions, spec->validation_actions, spec->n_validation_actions,
                         "must not contain both Deny and Warn (repeating the same validation "
                         "failure information in the API response and headers serves no purpose)");
    if (spec->n_validation_actions == 0)
        err_required(e, actions, "at least one validation action is required");
}
