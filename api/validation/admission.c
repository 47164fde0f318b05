/*
 * Validation of webhook configurations, admission policies and their bindings. (Expressions are checked
 * for presence; compiling them comes with CEL.)
 */
#include "api/validation/internal.h"
#include "proto/admissionregistration_v1.pb-c.h"
#include <ctype.h>

#define CONDITIONS_MAX 64
#define AUDIT_ANNOTATIONS_MAX 20

static bool is_blank(const char *s)
{
    return str_trim(str_from(s)).n == 0;
}

/* --- rules -------------------------------------------------------------------------------------------- */

static void check_wildcard(struct field_errors *e, const struct path *at, char *const *items,
                           size_t n, const char *what)
{
    if (n == 0)
        err_required(e, at, "");
    if (n > 1 && string_list_has(items, n, "*"))
        err_invalid_list(
            e, at, items, n,
            arena_printf(e->arena, "if '*' is present, must not specify other %s", what));
}

/* An earlier "x/…" or "…/x" with a star covers this one. */
static void check_covered(struct field_errors *e, const struct path *at, char *const *items,
                          size_t i)
{
    const char *slash = strchr(items[i], '/');
    size_t n = (size_t)(slash - items[i]);
    for (size_t k = 0; k < i; k++) {
        const char *other = strchr(items[k], '/');
        if (!other)
            continue;
        if (strcmp(other, "/*") == 0 && (size_t)(other - items[k]) == n &&
            memcmp(items[k], items[i], n) == 0)
            err_invalid(e, ITEM(at, i), items[i],
                        arena_printf(e->arena, "if '%.*s/*' is present, must not specify %s",
                                     (int)n, items[i], items[i]));
        if (items[k][0] == '*' && other == items[k] + 1 && strcmp(other, slash) == 0)
            err_invalid(e, ITEM(at, i), items[i],
                        arena_printf(e->arena, "if '*%s' is present, must not specify %s", slash,
                                     items[i]));
    }
}

static void check_resources_of_rule(struct field_errors *e, const struct path *at,
                                    char *const *items, size_t n)
{
    bool plain = false;
    if (n == 0)
        err_required(e, at, "");
    for (size_t i = 0; i < n; i++) {
        if (!*items[i])
            err_required(e, ITEM(at, i), "");
        else if (strchr(items[i], '/'))
            check_covered(e, at, items, i);
        else
            plain = strcmp(items[i], "*") != 0;
    }
    if (n > 1 && string_list_has(items, n, "*/*"))
        err_invalid_list(e, at, items, n, "if '*/*' is present, must not specify other resources");
    if (plain && string_list_has(items, n, "*"))
        err_invalid_list(e, at, items, n,
                         "if '*' is present, must not specify other resources without "
                         "subresources");
}

static void check_rule(struct field_errors *e, const struct path *at,
                       const Admissionregistration__V1__RuleWithOperations *r)
{
    const Admissionregistration__V1__Rule *rule = r->rule;
    check_wildcard(e, AT(at, "operations"), r->operations, r->n_operations, "operations");
    for (size_t i = 0; i < r->n_operations; i++)
        check_one_of(e, ITEM(AT(at, "operations"), i), r->operations[i],
                     ONE_OF("*", "CONNECT", "CREATE", "DELETE", "UPDATE"));
    check_wildcard(e, AT(at, "apiGroups"), rule->api_groups, rule->n_api_groups, "API groups");
    check_wildcard(e, AT(at, "apiVersions"), rule->api_versions, rule->n_api_versions,
                   "API versions");
    for (size_t i = 0; i < rule->n_api_versions; i++)
        check_required(e, ITEM(AT(at, "apiVersions"), i), rule->api_versions[i]);
    check_resources_of_rule(e, AT(at, "resources"), rule->resources, rule->n_resources);
    if (rule->scope)
        check_one_of(e, AT(at, "scope"), rule->scope, ONE_OF("*", "Cluster", "Namespaced"));
}

static void check_match_conditions(struct field_errors *e, const struct path *at,
                                   Admissionregistration__V1__MatchCondition *const *items,
                                   size_t n)
{
    if (n > CONDITIONS_MAX)
        err_too_many(e, at, n, CONDITIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        if (is_blank(items[i]->expression))
            err_required(e, AT(item, "expression"), "");
        check_required_string(e, AT(item, "name"), items[i]->name, validate_qualified_name);
        for (size_t k = 0; k < i; k++) {
            if (*items[i]->name && strcmp(items[k]->name, items[i]->name) == 0) {
                err_duplicate(e, AT(item, "name"), items[i]->name);
                break;
            }
        }
    }
}

/* --- webhooks ------------------------------------------------------------------------------------------- */

/* How much of a URL is its scheme; 0: it has none. */
static size_t scheme_length(const char *url)
{
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return isalpha((unsigned char)url[0]) && url[n] == ':' ? n : 0;
}

static void check_url(struct field_errors *e, const struct path *at, const char *url)
{
    static const char form[] = "; desired format: https://host[/path]";
    size_t scheme = scheme_length(url);
    const char *after = scheme ? url + scheme + 1 : url;
    bool has_authority = strncmp(after, "//", 2) == 0;
    const char *authority = has_authority ? after + 2 : after;
    size_t n = has_authority ? strcspn(authority, "/?#") : 0;
    const char *user_end = n ? memrchr(authority, '@', n) : NULL;
    size_t host = user_end ? n - (size_t)(user_end + 1 - authority) : n;
    if (scheme != 5 || strncasecmp(url, "https", 5) != 0)
        err_invalid(e, at, arena_strndup(e->arena, url, scheme),
                    arena_printf(e->arena, "'https' is the only allowed URL scheme%s", form));
    if (host == 0)
        err_invalid(e, at, "", arena_printf(e->arena, "host must be specified%s", form));
    if (user_end)
        err_invalid(e, at, arena_strndup(e->arena, authority, (size_t)(user_end - authority)),
                    "user information is not permitted in the URL");
    const char *fragment = strchr(url, '#'), *query = strchr(url, '?');
    if (fragment && fragment[1])
        err_invalid(e, at, fragment + 1, "fragments are not permitted in the URL");
    if (query && (!fragment || query < fragment) && query[1] && query + 1 != fragment)
        err_invalid(e, at,
                    arena_strndup(e->arena, query + 1,
                                  fragment ? (size_t)(fragment - query - 1) : strlen(query + 1)),
                    "query parameters are not permitted in the URL");
}

static void check_service_path(struct field_errors *e, const struct path *at, const char *path)
{
    if (!*path || strcmp(path, "/") == 0)
        return;
    if (strcmp(path, "//") == 0) {
        err_invalid(e, at, path, "segment[0] may not be empty");
        return;
    }
    if (path[0] != '/')
        err_invalid(e, at, path, "must start with a '/'");
    struct str rest = str_from(path + 1), step; /* whatever it is that comes first */
    if (str_has_suffix(rest, STR("/")))
        rest = str_slice(rest, 0, rest.n - 1);
    for (size_t i = 0; str_split(&rest, '/', &step); i++) {
        if (step.n == 0) {
            err_invalid(e, at, path, arena_printf(e->arena, "segment[%zu] may not be empty", i));
            continue;
        }
        const char *message = validate_dns1123_subdomain(arena_strndup(e->arena, step.p, step.n));
        if (message)
            err_invalid(e, at, path, arena_printf(e->arena, "segment[%zu]: %s", i, message));
    }
}

static void check_client(struct field_errors *e, const struct path *at,
                         const Admissionregistration__V1__WebhookClientConfig *c)
{
    const struct path *service = AT(at, "service");
    if (!c->url == !c->service) {
        err_required(e, at, "exactly one of url or service is required");
        return;
    }
    if (c->url) {
        check_url(e, AT(at, "url"), c->url);
        return;
    }
    if (!*c->service->name)
        err_required(e, AT(service, "name"), "");
    if (!*c->service->namespace_)
        err_required(e, AT(service, "namespace"), "");
    const char *port = validate_port_number(c->service->port);
    if (port)
        err_invalid_int(e, AT(service, "port"), c->service->port,
                        arena_printf(e->arena, "port is not valid: %s", port));
    if (c->service->path)
        check_service_path(e, AT(service, "path"), c->service->path);
}

void check_review_versions(struct field_errors *e, const struct path *at, char *const *versions,
                           size_t n, const char *when_none)
{
    bool accepted = false;
    if (n == 0)
        err_required(e, at, when_none);
    for (size_t i = 0; i < n; i++) {
        if (string_list_has(versions, i, versions[i])) {
            err_invalid(e, ITEM(at, i), versions[i], "duplicate version");
            continue;
        }
        check_string(e, ITEM(at, i), versions[i], validate_dns1035_label);
        accepted |= is_one_of(versions[i], ONE_OF("v1", "v1beta1"));
    }
    if (n > 0 && !accepted)
        err_invalid_list(e, at, versions, n, "must include at least one of v1, v1beta1");
}

static void check_qualified(struct field_errors *e, const struct path *at, const char *name)
{
    size_t dots = 0;
    for (const char *c = name; *c; c++)
        dots += *c == '.';
    if (!check_required(e, at, name))
        return;
    const char *messages = validate_dns1123_subdomain(name);
    if (messages)
        check_string_joined(e, at, name, validate_dns1123_subdomain, ",");
    else if (dots < 2)
        err_invalid(e, at, name,
                    "should be a domain with at least three segments separated by dots");
}

/* Both sorts of webhooks have the members that are checked, by these names. */
#define CHECK_WEBHOOK(e, at, w)                                                                  \
    do {                                                                                         \
        check_qualified((e), AT((at), "name"), (w)->name);                                       \
        for (size_t r_ = 0; r_ < (w)->n_rules; r_++)                                             \
            check_rule((e), ITEM(AT((at), "rules"), r_), (w)->rules[r_]);                        \
        check_policies((e), (at), (w)->failure_policy, (w)->match_policy, (w)->side_effects);    \
        if ((w)->has_timeout_seconds && ((w)->timeout_seconds > 30 || (w)->timeout_seconds < 1)) \
            err_invalid_int((e), AT((at), "timeoutSeconds"), (w)->timeout_seconds,               \
                            "the timeout value must be between 1 and 30 seconds");               \
        check_label_selector((e), AT((at), "namespaceSelector"), (w)->namespace_selector);       \
        check_label_selector((e), AT((at), "objectSelector"), (w)->object_selector);             \
        check_client((e), AT((at), "clientConfig"), (w)->client_config);                         \
        check_match_conditions((e), AT((at), "matchConditions"), (w)->match_conditions,          \
                               (w)->n_match_conditions);                                         \
        check_review_versions((e), AT((at), "admissionReviewVersions"),                          \
                              (w)->admission_review_versions, (w)->n_admission_review_versions,  \
                              "must specify one of v1, v1beta1");                                \
    } while (0)

static void check_policies(struct field_errors *e, const struct path *at, const char *failure,
                           const char *match, const char *side_effects)
{
    if (failure)
        check_one_of(e, AT(at, "failurePolicy"), failure, ONE_OF("Fail", "Ignore"));
    if (match)
        check_one_of(e, AT(at, "matchPolicy"), match, ONE_OF("Equivalent", "Exact"));
    if (!side_effects)
        err_required(e, AT(at, "sideEffects"), "must specify one of None, NoneOnDryRun");
    else
        check_one_of(e, AT(at, "sideEffects"), side_effects, ONE_OF("None", "NoneOnDryRun"));
}

static void validate_validating(const void *object, struct field_errors *e)
{
    const Admissionregistration__V1__ValidatingWebhookConfiguration *c = object;
    for (size_t i = 0; i < c->n_webhooks; i++) {
        const struct path *at = ITEM(AT(NULL, "webhooks"), i);
        CHECK_WEBHOOK(e, at, c->webhooks[i]);
        for (size_t k = 0; k < i; k++) {
            if (*c->webhooks[i]->name && strcmp(c->webhooks[k]->name, c->webhooks[i]->name) == 0) {
                err_duplicate(e, AT(at, "name"), c->webhooks[i]->name);
                break;
            }
        }
    }
}

static void validate_mutating(const void *object, struct field_errors *e)
{
    const Admissionregistration__V1__MutatingWebhookConfiguration *c = object;
    for (size_t i = 0; i < c->n_webhooks; i++) {
        const struct path *at = ITEM(AT(NULL, "webhooks"), i);
        CHECK_WEBHOOK(e, at, c->webhooks[i]);
        if (c->webhooks[i]->reinvocation_policy)
            check_one_of(e, AT(at, "reinvocationPolicy"), c->webhooks[i]->reinvocation_policy,
                         ONE_OF("IfNeeded", "Never"));
        for (size_t k = 0; k < i; k++) {
            if (*c->webhooks[i]->name && strcmp(c->webhooks[k]->name, c->webhooks[i]->name) == 0) {
                err_duplicate(e, AT(at, "name"), c->webhooks[i]->name);
                break;
            }
        }
    }
}

/* --- policies ---------------------------------------------------------------------------------------------- */

static void check_named_rules(struct field_errors *e, const struct path *at,
                              Admissionregistration__V1__NamedRuleWithOperations *const *rules,
                              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i), *names = AT(item, "resourceNames");
        for (size_t k = 0; k < rules[i]->n_resource_names; k++) {
            const char *name = rules[i]->resource_names[k];
            check_string(e, ITEM(names, k), name, validate_path_segment);
            if (string_list_has(rules[i]->resource_names, k, name))
                err_duplicate(e, ITEM(names, k), name);
        }
        check_rule(e, item, rules[i]->rule_with_operations);
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
    if (!m->object_selector)
        err_required(e, AT(at, "objectSelector"), "");
    check_label_selector(e, AT(at, "namespaceSelector"), m->namespace_selector);
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
    else if (str_find_char(message, '\n') >= 0)
        err_invalid(e, AT(at, "message"), v->message, "message must not contain line breaks");
    if (v->reason)
        check_one_of(e, AT(at, "reason"), v->reason,
                     ONE_OF("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"));
}

static bool is_identifier(const char *s)
{
    bool good = isalpha((unsigned char)*s) || *s == '_';
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

static void check_audit(struct field_errors *e, const struct path *at, const char *policy,
                        const Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec)
{
    if (spec->n_audit_annotations > AUDIT_ANNOTATIONS_MAX)
        err_invalid_raw(e, at, "[…]", "must not have more than 20 auditAnnotations");
    for (size_t i = 0; i < spec->n_audit_annotations; i++) {
        const struct path *item = ITEM(at, i);
        const Admissionregistration__V1__AuditAnnotation *a = spec->audit_annotations[i];
        const char *key = *policy ? arena_printf(e->arena, "%s/%s", policy, a->key) : a->key;
        check_string(e, AT(item, "key"), key, validate_qualified_name);
        if (is_blank(a->value_expression))
            err_required(e, AT(item, "valueExpression"), "valueExpression is not specified");
        else if (strlen(a->value_expression) > 5 * 1024)
            err_required(e, AT(item, "valueExpression"), "must not exceed 5120 bytes in length");
        for (size_t k = 0; k < i; k++) {
            if (strcmp(spec->audit_annotations[k]->key, a->key) == 0) {
                err_duplicate(e, AT(item, "key"), a->key);
                break;
            }
        }
    }
}

static void validate_policy(const void *object, struct field_errors *e)
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
    check_match_conditions(e, AT(SPEC, "matchConditions"), spec->match_conditions,
                           spec->n_match_conditions);
    check_variables(e, AT(SPEC, "variables"), spec);
    if (spec->n_validations + spec->n_audit_annotations == 0) {
        err_required(e, AT(SPEC, "validations"), one);
        err_required(e, AT(SPEC, "auditAnnotations"), one);
    }
    for (size_t i = 0; i < spec->n_validations; i++)
        check_validation(e, ITEM(AT(SPEC, "validations"), i), spec->validations[i]);
    check_audit(e, AT(SPEC, "auditAnnotations"), p->metadata->name, spec);
}

static void check_param_ref(struct field_errors *e, const struct path *at,
                            const Admissionregistration__V1__ParamRef *p)
{
    if (*p->name)
        check_string(e, AT(at, "name"), p->name, validate_path_segment);
    if (*p->name && p->selector)
        err_forbidden(e, AT(at, "name"), "name and selector are mutually exclusive");
    else if (p->selector)
        check_label_selector(e, AT(at, "selector"), p->selector);
    else if (!*p->name)
        err_required(e, at, "one of name or selector must be specified");
    if (!p->parameter_not_found_action)
        err_required(e, AT(at, "parameterNotFoundAction"), "");
    else
        check_one_of(e, AT(at, "parameterNotFoundAction"), p->parameter_not_found_action,
                     ONE_OF("Allow", "Deny"));
}

static void validate_policy_binding(const void *object, struct field_errors *e)
{
    const Admissionregistration__V1__ValidatingAdmissionPolicyBindingSpec *spec =
        ((const Admissionregistration__V1__ValidatingAdmissionPolicyBinding *)object)->spec;
    const struct path *actions = AT(SPEC, "validationActions");
    check_required_string(e, AT(SPEC, "policyName"), spec->policy_name, validate_dns1123_subdomain);
    if (spec->param_ref)
        check_param_ref(e, AT(SPEC, "paramRef"), spec->param_ref);
    if (spec->match_resources)
        check_match(e, AT(SPEC, "matchResources"), spec->match_resources);
    for (size_t i = 0; i < spec->n_validation_actions; i++) {
        check_one_of(e, ITEM(actions, i), spec->validation_actions[i],
                     ONE_OF("Audit", "Deny", "Warn"));
        if (string_list_has(spec->validation_actions, i, spec->validation_actions[i]))
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

static const struct kind_rules rows[] = {
    {.message = Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA,
     .create = validate_validating},
    {.message = Admissionregistration__V1__MutatingWebhookConfiguration__SCHEMA,
     .create = validate_mutating},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicy__SCHEMA,
     .create = validate_policy},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicyBinding__SCHEMA,
     .create = validate_policy_binding},
};
const struct rule_table admission_rules = RULE_TABLE(rows);
