/*
 * Validation of webhook configurations, and what they share with admission policies (admission_policy.c). What an
 * older server let in may stay as it is: an update is held to a rule only if what is there keeps it.
 */
#include "api/validation/admission.h"

#define CONDITIONS_MAX 64

bool is_blank(const char *s)
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

/* Stars that stood among the resources so far: before a subresource ("x" of "x/..."), and in a resource's place ("/y" of
 * "y" of all resources). */
struct stars {
    struct seen below, of_all;
};

/* What is below x is covered by x with a star, a subresource by that one of every resource. */
static void check_covered(struct field_errors *e, const struct path *at, const char *item,
                          struct stars *stars)
{
    const char *slash = strchr(item, '/');
    size_t n = (size_t)(slash - item);
    const char *resource = arena_strndup(e->arena, item, n);
    bool all_below = seen_has(&stars->below, resource), of_all = seen_has(&stars->of_all, slash);
    if (strcmp(slash, "/*") == 0)
        seen_again(&stars->below, resource);
    if (strcmp(resource, "*") == 0)
        seen_again(&stars->of_all, slash);
    if (all_below)
        err_invalid(
            e, at, item,
            arena_printf(e->arena, "if '%s/*' is present, must not specify %s", resource, item));
    if (of_all)
        err_invalid(
            e, at, item,
            arena_printf(e->arena, "if '*%s' is present, must not specify %s", slash, item));
}

static void check_resources_of_rule(struct field_errors *e, const struct path *at,
                                    char *const *items, size_t n)
{
    bool plain = false;
    struct stars stars = {.below.arena = e->arena, .of_all.arena = e->arena};
    if (n == 0)
        err_required(e, at, "");
    for (size_t i = 0; i < n; i++) {
        if (!*items[i])
            err_required(e, ITEM(at, i), "");
        else if (strchr(items[i], '/'))
            check_covered(e, ITEM(at, i), items[i], &stars);
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

void check_admission_rule(struct field_errors *e, const struct path *at,
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

void check_match_conditions(struct field_errors *e, const struct path *at,
                            Admissionregistration__V1__MatchCondition *const *items, size_t n)
{
    if (n > CONDITIONS_MAX)
        err_too_many(e, at, n, CONDITIONS_MAX);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        if (is_blank(items[i]->expression))
            err_required(e, AT(item, "expression"), "");
        check_required_string(e, AT(item, "name"), items[i]->name, validate_qualified_name);
        if (*items[i]->name && seen_again(&seen, items[i]->name))
            err_duplicate(e, AT(item, "name"), items[i]->name);
    }
}

bool match_conditions_equal(Admissionregistration__V1__MatchCondition *const *a, size_t n,
                            Admissionregistration__V1__MatchCondition *const *b, size_t m)
{
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++)
        same = object_equal(a[i], b[i]);
    return same;
}

/* --- webhooks ------------------------------------------------------------------------------------------- */

#define REVIEW_VERSIONS "v1", "v1beta1"

bool has_known_review_version(char *const *versions, size_t n)
{
    bool known = n == 0;
    for (size_t i = 0; i < n; i++)
        known |= is_one_of(versions[i], ONE_OF(REVIEW_VERSIONS));
    return known;
}

void check_review_versions(struct field_errors *e, const struct path *at, char *const *versions,
                           size_t n, const char *when_none, bool known)
{
    bool accepted = false;
    struct seen seen = {.arena = e->arena};
    if (n == 0)
        err_required(e, at, when_none);
    for (size_t i = 0; i < n; i++) {
        if (seen_again(&seen, versions[i])) {
            err_invalid(e, ITEM(at, i), versions[i], "duplicate version");
            continue;
        }
        check_string(e, ITEM(at, i), versions[i], validate_dns1035_label);
        accepted |= is_one_of(versions[i], ONE_OF(REVIEW_VERSIONS));
    }
    if (n > 0 && known && !accepted)
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

/* What both sorts of webhooks have. */
struct webhook {
    const char *name, *failure_policy, *match_policy, *side_effects, *reinvocation_policy;
    Admissionregistration__V1__RuleWithOperations *const *rules;
    Admissionregistration__V1__MatchCondition *const *conditions;
    char *const *versions;
    size_t n_rules, n_conditions, n_versions;
    const Meta__V1__LabelSelector *namespaces, *objects;
    const Admissionregistration__V1__WebhookClientConfig *client;
    bool has_timeout;
    int32_t timeout;
};

struct webhooks {
    struct webhook *items;
    size_t n;
};

#define WEBHOOK(w_)                                                                              \
    {                                                                                            \
        .name = (w_)->name, .failure_policy = (w_)->failure_policy,                              \
        .match_policy = (w_)->match_policy, .side_effects = (w_)->side_effects,                  \
        .rules = (w_)->rules, .n_rules = (w_)->n_rules, .conditions = (w_)->match_conditions,    \
        .n_conditions = (w_)->n_match_conditions, .versions = (w_)->admission_review_versions,   \
        .n_versions = (w_)->n_admission_review_versions, .namespaces = (w_)->namespace_selector, \
        .objects = (w_)->object_selector, .client = (w_)->client_config,                         \
        .has_timeout = (w_)->has_timeout_seconds, .timeout = (w_)->timeout_seconds               \
    }

static struct webhooks webhooks_of(struct arena *a, const void *object)
{
    const Admissionregistration__V1__ValidatingWebhookConfiguration *v = object;
    const Admissionregistration__V1__MutatingWebhookConfiguration *m = object;
    struct webhooks out = {0};
    if (schema_of(object)->id ==
        Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA) {
        out.items = arena_array(a, struct webhook, v->n_webhooks);
        for (; out.n < v->n_webhooks; out.n++)
            out.items[out.n] = (struct webhook)WEBHOOK(v->webhooks[out.n]);
        return out;
    }
    out.items = arena_array(a, struct webhook, m->n_webhooks);
    for (; out.n < m->n_webhooks; out.n++) {
        out.items[out.n] = (struct webhook)WEBHOOK(m->webhooks[out.n]);
        out.items[out.n].reinvocation_policy = m->webhooks[out.n]->reinvocation_policy;
    }
    return out;
}

/* What may stay although new objects may not have it. */
struct lenience {
    bool conditions, side_effects, versions, names, label_values;
};

static bool names_are_unique(struct arena *a, const struct webhooks *w)
{
    struct seen seen = {.arena = a};
    for (size_t i = 0; i < w->n; i++) {
        if (seen_again(&seen, w->items[i].name))
            return false;
    }
    return true;
}

static struct lenience lenience_of(struct arena *a, const struct webhooks *now,
                                   const struct webhooks *old)
{
    struct lenience out = {.conditions = now->n == old->n, .names = !names_are_unique(a, old)};
    struct field_errors selectors = {.arena = a};
    for (size_t i = 0; i < old->n; i++) {
        const struct webhook *w = &old->items[i];
        out.side_effects |= !is_one_of(w->side_effects, ONE_OF("None", "NoneOnDryRun"));
        out.versions |= !has_known_review_version(w->versions, w->n_versions);
        check_label_selector(&selectors, NULL, w->namespaces);
        check_label_selector(&selectors, NULL, w->objects);
        if (out.conditions)
            out.conditions =
                match_conditions_equal(now->items[i].conditions, now->items[i].n_conditions,
                                       w->conditions, w->n_conditions);
    }
    out.label_values = selectors.len > 0;
    return out;
}

static void check_policies(struct field_errors *e, const struct path *at, const struct webhook *w,
                           bool any_side_effects)
{
    if (w->failure_policy)
        check_one_of(e, AT(at, "failurePolicy"), w->failure_policy, ONE_OF("Fail", "Ignore"));
    if (w->match_policy)
        check_one_of(e, AT(at, "matchPolicy"), w->match_policy, ONE_OF("Equivalent", "Exact"));
    if (!w->side_effects)
        err_required(e, AT(at, "sideEffects"),
                     any_side_effects ? "must specify one of None, NoneOnDryRun, Some, Unknown"
                                      : "must specify one of None, NoneOnDryRun");
    else if (any_side_effects)
        check_one_of(e, AT(at, "sideEffects"), w->side_effects,
                     ONE_OF("None", "NoneOnDryRun", "Some", "Unknown"));
    else
        check_one_of(e, AT(at, "sideEffects"), w->side_effects, ONE_OF("None", "NoneOnDryRun"));
    if (w->has_timeout && (w->timeout > 30 || w->timeout < 1))
        err_invalid_int(e, AT(at, "timeoutSeconds"), w->timeout,
                        "the timeout value must be between 1 and 30 seconds");
}

static void check_client(struct field_errors *e, const struct path *at,
                         const Admissionregistration__V1__WebhookClientConfig *c)
{
    if (!c->url == !c->service)
        err_required(e, at, "exactly one of url or service is required");
    else if (c->url)
        check_webhook_url(e, AT(at, "url"), c->url);
    else
        check_webhook_service(e, AT(at, "service"), c->service->namespace_, c->service->name,
                              c->service->path, c->service->port);
}

static void check_webhook(struct field_errors *e, const struct path *at, const struct webhook *w,
                          const struct lenience *may)
{
    check_qualified(e, AT(at, "name"), w->name);
    for (size_t i = 0; i < w->n_rules; i++)
        check_admission_rule(e, ITEM(AT(at, "rules"), i), w->rules[i]);
    check_policies(e, at, w, may->side_effects);
    check_label_selector_keeping(e, AT(at, "namespaceSelector"), w->namespaces, may->label_values);
    check_label_selector_keeping(e, AT(at, "objectSelector"), w->objects, may->label_values);
    if (w->reinvocation_policy)
        check_one_of(e, AT(at, "reinvocationPolicy"), w->reinvocation_policy,
                     ONE_OF("IfNeeded", "Never"));
    check_client(e, AT(at, "clientConfig"), w->client);
    if (!may->conditions)
        check_match_conditions(e, AT(at, "matchConditions"), w->conditions, w->n_conditions);
    check_review_versions(e, AT(at, "admissionReviewVersions"), w->versions, w->n_versions,
                          "must specify one of v1, v1beta1", !may->versions);
}

static void check_webhooks(struct field_errors *e, const struct webhooks *w,
                           const struct lenience *may)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < w->n; i++) {
        const struct path *at = ITEM(AT(NULL, "webhooks"), i);
        const char *name = w->items[i].name;
        check_webhook(e, at, &w->items[i], may);
        if (!may->names && *name && seen_again(&seen, name))
            err_duplicate(e, AT(at, "name"), name);
    }
}

static void validate_webhooks(const void *object, struct field_errors *e)
{
    struct webhooks w = webhooks_of(e->arena, object);
    check_webhooks(e, &w, &(struct lenience){0});
}

static void validate_webhooks_update(const void *object, const void *before, struct field_errors *e)
{
    struct webhooks w = webhooks_of(e->arena, object), old = webhooks_of(e->arena, before);
    struct lenience may = lenience_of(e->arena, &w, &old);
    check_webhooks(e, &w, &may);
}

static const struct kind_rules rows[] = {
    {.message = Admissionregistration__V1__ValidatingWebhookConfiguration__SCHEMA,
     .create = validate_webhooks,
     .update = validate_webhooks_update,
     .update_alone = true},
    {.message = Admissionregistration__V1__MutatingWebhookConfiguration__SCHEMA,
     .create = validate_webhooks,
     .update = validate_webhooks_update,
     .update_alone = true},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicy__SCHEMA,
     .create = validate_policy,
     .update = validate_policy_update,
     .status = validate_policy_status,
     .update_alone = true},
    {.message = Admissionregistration__V1__ValidatingAdmissionPolicyBinding__SCHEMA,
     .create = validate_policy_binding},
};
const struct rule_table admission_rules = RULE_TABLE(rows);
