/*
 * Validation of what concerns the cluster as a whole: flow control, API services, priority
 * classes and runtime classes. (Certificate requests: certificates.c.)
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "api/validation/pod.h"
#include "proto/apiregistration_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"

#define PRECEDENCE_MAX 10000
#define QUEUES_MAX 10000000
#define HASH_BITS 60
#define GROUP_PRIORITY_MAX 20000
#define VERSION_PRIORITY_MAX 1000
#define USER_PRIORITY_MAX 1000000000

/* --- flow schemas ------------------------------------------------------------------------------------- */

static void check_flow_subject(struct field_errors *e, const struct path *at,
                               const Flowcontrol__V1__Subject *s)
{
    const char *const kinds[] = {"Group", "ServiceAccount", "User"};
    const char *const fields[] = {"group", "serviceAccount", "user"};
    const bool set[] = {s->group, s->service_account, s->user};
    const char *const names[] = {s->group ? s->group->name : "",
                                 s->service_account ? s->service_account->name : "",
                                 s->user ? s->user->name : ""};
    if (!is_one_of(s->kind, ONE_OF("Group", "ServiceAccount", "User"))) {
        err_not_supported(e, AT(at, "kind"), s->kind, ONE_OF("Group", "ServiceAccount", "User"));
        return;
    }
    for (int i = 0; i < 3; i++) {
        const struct path *field = AT(at, fields[i]);
        bool wanted = cstr_eq(s->kind, kinds[i]);
        if (!wanted && set[i])
            err_forbidden(e, field,
                          arena_printf(e->arena, "%s is forbidden when subject kind is not '%s'",
                                       fields[i], kinds[i]));
        else if (wanted && !set[i])
            err_required(e, field,
                         arena_printf(e->arena, "%s is required when subject kind is '%s'",
                                      fields[i], kinds[i]));
        else if (wanted)
            check_required(e, AT(field, "name"), names[i]);
    }
    if (!s->service_account || !cstr_eq(s->kind, "ServiceAccount"))
        return;
    const struct path *field = AT(at, "serviceAccount");
    if (*s->service_account->name && !cstr_eq(s->service_account->name, "*"))
        check_string(e, AT(field, "name"), s->service_account->name, validate_dns1123_subdomain);
    if (*s->service_account->namespace_)
        check_string(e, AT(field, "namespace"), s->service_account->namespace_,
                     validate_dns1123_label);
    else
        err_required(e, AT(field, "namespace"), "must specify namespace for service account");
}

/* Whether the list is more than a wildcard, and so worth looking into. */
static bool check_wildcard_alone(struct field_errors *e, const struct path *at, char *const *items,
                                 size_t n, const char *others)
{
    if (!string_list_has(items, n, "*"))
        return true;
    if (n > 1)
        err_invalid_list(
            e, at, items, n,
            arena_printf(e->arena, "if '*' is present, must not specify other %s", others));
    return false;
}

static void check_flow_verbs(struct field_errors *e, const struct path *at, char *const *verbs,
                             size_t n)
{
    static const char *const known[] = {"create", "delete", "deletecollection", "get",   "list",
                                        "patch",  "proxy",  "update",           "watch", NULL};
    if (n == 0) {
        err_required(e, at, "verbs must contain at least one value");
        return;
    }
    if (!check_wildcard_alone(e, at, verbs, n, "verbs"))
        return;
    for (size_t i = 0; i < n; i++) {
        if (is_one_of(verbs[i], known))
            continue;
        struct buf list = {0};
        for (size_t k = 0; k < n; k++)
            buf_printf(&list, "%s\"%s\"", k ? "," : "[", verbs[k]);
        buf_printf(&list, "]");
        err_not_supported_raw(e, at, arena_printf(e->arena, "%.*s", (int)list.len, list.data),
                              known);
        buf_free(&list);
        return;
    }
}

static const char *url_problem(const char *path)
{
    if (!*path)
        return "must not be empty";
    if (*path != '/')
        return "must start with slash";
    if (strchr(path, ' '))
        return "must not contain white-space";
    if (strstr(path, "//"))
        return "must not contain double slash";
    const char *star = strchr(path, '*');
    if (star && (star[1] || star[-1] != '/'))
        return "wildcard can only do suffix matching";
    return NULL;
}

static void check_flow_rule(struct field_errors *e, const struct path *at,
                            const Flowcontrol__V1__PolicyRulesWithSubjects *rule)
{
    if (rule->n_subjects == 0)
        err_required(e, AT(at, "subjects"), "subjects must contain at least one value");
    for (size_t i = 0; i < rule->n_subjects; i++)
        check_flow_subject(e, ITEM(AT(at, "subjects"), i), rule->subjects[i]);
    if (rule->n_resource_rules + rule->n_non_resource_rules == 0)
        err_required(e, at,
                     "at least one of resourceRules and nonResourceRules has to be non-empty");
    for (size_t i = 0; i < rule->n_resource_rules; i++) {
        const struct path *item = ITEM(AT(at, "resourceRules"), i);
        const Flowcontrol__V1__ResourcePolicyRule *r = rule->resource_rules[i];
        check_flow_verbs(e, AT(item, "verbs"), r->verbs, r->n_verbs);
        if (r->n_api_groups == 0)
            err_required(e, AT(item, "apiGroups"),
                         "resource rules must supply at least one api group");
        check_wildcard_alone(e, AT(item, "apiGroups"), r->api_groups, r->n_api_groups,
                             "api groups");
        if (r->n_resources == 0)
            err_required(e, AT(item, "resources"),
                         "resource rules must supply at least one resource");
        check_wildcard_alone(e, AT(item, "resources"), r->resources, r->n_resources, "resources");
        const struct path *namespaces = AT(item, "namespaces");
        if (r->n_namespaces == 0 && !r->cluster_scope)
            err_required(e, namespaces,
                         "resource rules that are not cluster scoped must supply at least one "
                         "namespace");
        if (!check_wildcard_alone(e, namespaces, r->namespaces, r->n_namespaces, "namespaces"))
            continue;
        for (size_t k = 0; k < r->n_namespaces; k++) {
            const char *why = validate_dns1123_label(r->namespaces[k]);
            if (why)
                err_invalid(e, ITEM(namespaces, k), r->namespaces[k],
                            arena_printf(e->arena,
                                         "each member of this list must be '*' or a DNS-1123 "
                                         "label; %s",
                                         why));
        }
    }
    for (size_t i = 0; i < rule->n_non_resource_rules; i++) {
        const struct path *item = ITEM(AT(at, "nonResourceRules"), i);
        const Flowcontrol__V1__NonResourcePolicyRule *r = rule->non_resource_rules[i];
        const struct path *urls = AT(item, "nonResourceURLs");
        check_flow_verbs(e, AT(item, "verbs"), r->verbs, r->n_verbs);
        if (r->n_non_resource_urls == 0)
            err_required(e, urls, "nonResourceURLs must contain at least one value");
        if (!check_wildcard_alone(e, urls, r->non_resource_urls, r->n_non_resource_urls,
                                  "non-resource URLs"))
            continue;
        for (size_t k = 0; k < r->n_non_resource_urls; k++) {
            const char *why = url_problem(r->non_resource_urls[k]);
            if (why)
                err_invalid(e, ITEM(urls, k), r->non_resource_urls[k], why);
        }
    }
}

static void validate_flow_schema(const void *object, struct field_errors *e)
{
    const Flowcontrol__V1__FlowSchema *fs = object;
    const Flowcontrol__V1__FlowSchemaSpec *spec = fs->spec;
    const struct path *precedence = AT(SPEC, "matchingPrecedence");
    if (spec->matching_precedence <= 0)
        err_invalid_int(e, precedence, spec->matching_precedence, "must be a positive value");
    if (spec->matching_precedence > PRECEDENCE_MAX)
        err_invalid_int(e, precedence, spec->matching_precedence, "must not be greater than 10000");
    if (spec->matching_precedence == 1 && !cstr_eq(fs->metadata->name, "exempt"))
        err_invalid_int(e, precedence, 1,
                        "only the schema named 'exempt' may have matchingPrecedence 1");
    const char *by = spec->distinguisher_method ? spec->distinguisher_method->type : NULL;
    if (by && !is_one_of(by, ONE_OF("ByNamespace", "ByUser")))
        err_not_supported_raw(e, AT(AT(SPEC, "distinguisherMethod"), "type"),
                              arena_printf(e->arena, "{\"Type\":%s}", field_quote(e->arena, by)),
                              ONE_OF("ByNamespace", "ByUser"));
    const char *level = spec->priority_level_configuration->name;
    const struct path *level_name = AT(AT(SPEC, "priorityLevelConfiguration"), "name");
    if (!*level)
        err_required(e, level_name, "must reference a priority level");
    else
        check_string(e, level_name, level, validate_dns1123_subdomain);
    for (size_t i = 0; i < spec->n_rules; i++)
        check_flow_rule(e, ITEM(AT(SPEC, "rules"), i), spec->rules[i]);
}

/* --- priority levels ----------------------------------------------------------------------------------- */

/* Whether dealing a hand takes more bits than a hash has: deck!/(deck-hand)! > 2^HASH_BITS. */
static bool needs_too_many_bits(int64_t deck, int64_t hand)
{
    unsigned __int128 ways = 1;
    for (int64_t i = 0; i < hand; i++) {
        ways *= (unsigned __int128)(deck - i);
        if (ways > (unsigned __int128)1 << HASH_BITS)
            return true;
    }
    return false;
}

static void check_queuing(struct field_errors *e, const struct path *at,
                          const Flowcontrol__V1__QueuingConfiguration *q)
{
    const char *positive = "must be positive";
    if (q->queue_length_limit <= 0)
        err_invalid_int(e, AT(at, "queueLengthLimit"), q->queue_length_limit, positive);
    if (q->queues <= 0)
        err_invalid_int(e, AT(at, "queues"), q->queues, positive);
    else if (q->queues > QUEUES_MAX)
        err_invalid_int(e, AT(at, "queues"), q->queues, "must not be greater than 10000000");
    if (q->hand_size <= 0)
        err_invalid_int(e, AT(at, "handSize"), q->hand_size, positive);
    else if (q->hand_size > q->queues)
        err_invalid_int(
            e, AT(at, "handSize"), q->hand_size,
            arena_printf(e->arena, "should not be greater than queues (%d)", q->queues));
    else if (needs_too_many_bits(q->queues, q->hand_size))
        err_invalid_int(e, AT(at, "handSize"), q->hand_size,
                        arena_printf(e->arena,
                                     "required entropy bits of deckSize %d and handSize %d should "
                                     "not be greater than %d",
                                     q->queues, q->hand_size, HASH_BITS));
}

static void check_limited(struct field_errors *e, const struct path *at,
                          const Flowcontrol__V1__LimitedPriorityLevelConfiguration *l)
{
    if (l->has_nominal_concurrency_shares && l->nominal_concurrency_shares < 0)
        err_invalid_int(e, AT(at, "nominalConcurrencyShares"), l->nominal_concurrency_shares,
                        "must be a non-negative integer");
    const Flowcontrol__V1__LimitResponse *r = l->limit_response;
    const struct path *response = AT(at, "limitResponse");
    if (cstr_eq(r->type, "Reject")) {
        if (r->queuing)
            err_forbidden(e, AT(response, "queuing"),
                          "must be nil if limited.limitResponse.type is not Limited");
    } else if (cstr_eq(r->type, "Queue")) {
        if (!r->queuing)
            err_required(e, AT(response, "queuing"),
                         "must not be empty if limited.limitResponse.type is Limited");
        else
            check_queuing(e, AT(response, "queuing"), r->queuing);
    } else {
        err_not_supported(e, AT(response, "type"), r->type, ONE_OF("Queue", "Reject"));
    }
    if (l->has_lendable_percent && (l->lendable_percent < 0 || l->lendable_percent > 100))
        err_invalid_int(e, AT(at, "lendablePercent"), l->lendable_percent,
                        "must be between 0 and 100, inclusive");
    if (l->has_borrowing_limit_percent && l->borrowing_limit_percent < 0)
        err_invalid_int(e, AT(at, "borrowingLimitPercent"), l->borrowing_limit_percent,
                        "if specified, must be a non-negative integer");
}

static void validate_priority_level(const void *object, struct field_errors *e)
{
    const Flowcontrol__V1__PriorityLevelConfiguration *level = object;
    const Flowcontrol__V1__PriorityLevelConfigurationSpec *spec = level->spec;
    bool exempt = cstr_eq(spec->type, "Exempt");
    if (cstr_eq(level->metadata->name, "exempt") != exempt)
        err_invalid(e, AT(SPEC, "type"), spec->type,
                    "type must be 'Exempt' if and only if name is 'exempt'");
    if (exempt) {
        const Flowcontrol__V1__ExemptPriorityLevelConfiguration *x = spec->exempt;
        const struct path *at = AT(SPEC, "exempt");
        if (spec->limited)
            err_forbidden(e, AT(SPEC, "limited"), "must be nil if the type is not Limited");
        if (x && x->has_nominal_concurrency_shares && x->nominal_concurrency_shares < 0)
            err_invalid_int(e, AT(at, "nominalConcurrencyShares"), x->nominal_concurrency_shares,
                            "must be a non-negative integer");
        if (x && x->has_lendable_percent && (x->lendable_percent < 0 || x->lendable_percent > 100))
            err_invalid_int(e, AT(at, "lendablePercent"), x->lendable_percent,
                            "must be between 0 and 100, inclusive");
    } else if (cstr_eq(spec->type, "Limited")) {
        if (spec->exempt)
            err_forbidden(e, AT(SPEC, "exempt"), "must be nil if the type is Limited");
        if (!spec->limited)
            err_required(e, AT(SPEC, "limited"), "must not be empty when type is Limited");
        else
            check_limited(e, AT(SPEC, "limited"), spec->limited);
    } else {
        err_not_supported(e, AT(SPEC, "type"), spec->type, ONE_OF("Exempt", "Limited"));
    }
}

/* --- API services -------------------------------------------------------------------------------------- */

static void validate_api_service(const void *object, struct field_errors *e)
{
    const Apiregistration__V1__APIService *service = object;
    const Apiregistration__V1__APIServiceSpec *spec = service->spec;
    const char *wanted = arena_printf(e->arena, "%s.%s", spec->version, spec->group);
    if (*service->metadata->name && !cstr_eq(service->metadata->name, wanted))
        err_invalid(
            e, AT(AT(NULL, "metadata"), "name"), service->metadata->name,
            arena_printf(e->arena, "must be `spec.version+\".\"+spec.group`: \"%s\"", wanted));
    if (*spec->group)
        check_string_joined(e, AT(SPEC, "group"), spec->group, validate_dns1123_subdomain, ",");
    else if (!cstr_eq(spec->version, "v1"))
        err_required(e, AT(SPEC, "group"),
                     "only v1 may have an empty group and it better be legacy kube");
    check_string_joined(e, AT(SPEC, "version"), spec->version, validate_dns1035_label, ",");
    if (spec->group_priority_minimum <= 0 || spec->group_priority_minimum > GROUP_PRIORITY_MAX)
        err_invalid_int(e, AT(SPEC, "groupPriorityMinimum"), spec->group_priority_minimum,
                        "must be positive and less than 20000");
    if (spec->version_priority <= 0 || spec->version_priority > VERSION_PRIORITY_MAX)
        err_invalid_int(e, AT(SPEC, "versionPriority"), spec->version_priority,
                        "must be positive and less than 1000");
    if (!spec->service) {
        if (spec->ca_bundle.len > 0)
            err_invalid(e, AT(SPEC, "caBundle"),
                        arena_printf(e->arena, "%zu bytes", spec->ca_bundle.len),
                        "local APIServices may not have a caBundle");
        if (spec->insecure_skip_tls_verify)
            err_invalid_raw(e, AT(SPEC, "insecureSkipTLSVerify"), "true",
                            "local APIServices may not have insecureSkipTLSVerify");
        return;
    }
    const struct path *at = AT(SPEC, "service");
    check_required(e, AT(at, "namespace"), spec->service->namespace_);
    check_required(e, AT(at, "name"), spec->service->name);
    const char *port = spec->service->has_port ? validate_port_number(spec->service->port) : NULL;
    if (port)
        err_invalid_int(e, AT(at, "port"), spec->service->port,
                        arena_printf(e->arena, "port is not valid: %s", port));
    if (spec->insecure_skip_tls_verify && spec->ca_bundle.len > 0)
        err_invalid_raw(e, AT(SPEC, "insecureSkipTLSVerify"), "true",
                        "may not be true if caBundle is present");
}

/* --- priority classes ------------------------------------------------------------------------------------- */

/* Why a class whose name begins with "system-" may not be, or NULL. */
static const char *system_class_problem(struct arena *a, const Scheduling__V1__PriorityClass *c)
{
    const char *name = c->metadata->name;
    int32_t value = cstr_eq(name, "system-node-critical")      ? 2000001000
                    : cstr_eq(name, "system-cluster-critical") ? 2000000000
                                                               : 0;
    if (!value)
        return arena_printf(a, "%s is not a known system priority class", name);
    if (c->value != value)
        return arena_printf(a, "value of %s PriorityClass must be %d", name, value);
    if (c->global_default)
        return arena_printf(a, "globalDefault of %s PriorityClass must be false", name);
    return NULL;
}

static void validate_priority_class(const void *object, struct field_errors *e)
{
    const Scheduling__V1__PriorityClass *c = object;
    if (strncmp(c->metadata->name, "system-", 7) == 0) {
        const char *problem = system_class_problem(e->arena, c);
        if (problem)
            err_forbidden(e, AT(AT(NULL, "metadata"), "name"),
                          arena_printf(e->arena,
                                       "priority class names with 'system-' prefix are reserved "
                                       "for system use only. error: %s",
                                       problem));
    } else if (c->value > USER_PRIORITY_MAX) {
        err_forbidden(e, AT(NULL, "value"),
                      "maximum allowed value of a user defined priority is 1000000000");
    }
    if (c->preemption_policy)
        check_required_one_of(e, AT(NULL, "preemptionPolicy"), c->preemption_policy,
                              ONE_OF("PreemptLowerPriority", "Never"));
}

static void validate_priority_class_update(const void *object, const void *old,
                                           struct field_errors *e)
{
    const Scheduling__V1__PriorityClass *c = object, *before = old;
    if (c->value != before->value)
        err_forbidden(e, AT(NULL, "value"), "may not be changed in an update.");
    check_immutable_string(e, AT(NULL, "preemptionPolicy"), c->preemption_policy,
                           before->preemption_policy);
}

/* --- runtime classes --------------------------------------------------------------------------------------- */

/* The same but for how long they hold. */
static bool is_same_toleration(const Core__V1__Toleration *a, const Core__V1__Toleration *b)
{
    return cstr_eq(a->key, b->key) && cstr_eq(a->operator_, b->operator_) &&
           cstr_eq(a->value, b->value) && cstr_eq(a->effect, b->effect);
}

static const char *toleration_text(struct arena *a, const Core__V1__Toleration *t)
{
    return arena_printf(
        a, "{\"Key\":%s,\"Operator\":%s,\"Value\":%s,\"Effect\":%s,\"TolerationSeconds\":%s}",
        field_quote(a, t->key), field_quote(a, t->operator_), field_quote(a, t->value),
        field_quote(a, t->effect),
        t->has_toleration_seconds ? arena_printf(a, "%lld", (long long)t->toleration_seconds)
                                  : "null");
}

static void check_unique_tolerations(struct field_errors *e, const struct path *at,
                                     Core__V1__Toleration *const *tolerations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!is_same_toleration(tolerations[k], tolerations[i]))
                continue;
            err_duplicate_raw(e, ITEM(at, i), toleration_text(e->arena, tolerations[i]));
            break;
        }
    }
}

static void validate_runtime_class(const void *object, struct field_errors *e)
{
    const Node__V1__RuntimeClass *c = object;
    check_string(e, AT(NULL, "handler"), c->handler, validate_dns1123_label);
    if (c->overhead)
        check_overhead(e, AT(NULL, "overhead"), c->overhead->pod_fixed, c->overhead->n_pod_fixed);
    if (!c->scheduling)
        return;
    const struct path *at = AT(NULL, "scheduling");
    check_labels(e, AT(at, "nodeSelector"), c->scheduling->node_selector,
                 c->scheduling->n_node_selector);
    check_tolerations(e, AT(at, "tolerations"), c->scheduling->tolerations,
                      c->scheduling->n_tolerations);
    check_unique_tolerations(e, AT(at, "tolerations"), c->scheduling->tolerations,
                             c->scheduling->n_tolerations);
}

static void validate_runtime_class_update(const void *object, const void *old,
                                          struct field_errors *e)
{
    const Node__V1__RuntimeClass *c = object, *before = old;
    check_immutable_string(e, AT(NULL, "handler"), c->handler, before->handler);
}

static const struct kind_rules rows[] = {
    {.message = Flowcontrol__V1__FlowSchema__SCHEMA, .create = validate_flow_schema},
    {.message = Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA,
     .create = validate_priority_level},
    {.message = Apiregistration__V1__APIService__SCHEMA, .create = validate_api_service},
    {.message = Scheduling__V1__PriorityClass__SCHEMA,
     .create = validate_priority_class,
     .update = validate_priority_class_update,
     .update_alone = true},
    {.message = Node__V1__RuntimeClass__SCHEMA,
     .create = validate_runtime_class,
     .update = validate_runtime_class_update},
};
const struct rule_table cluster_rules = RULE_TABLE(rows);
