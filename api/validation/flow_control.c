/*
 * Validation of flow control. The mandatory objects are as published, always; apiserver/kept puts them there
 * (bootstrap_flowcontrol.json).
 */
#include "api/codec.h"
#include "api/meta.h"
#include "api/validation/internal.h"
#include "base/map.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include <assert.h>

#define PRECEDENCE_MAX 10000
#define QUEUES_MAX 10000000
#define HASH_BITS 60

/* --- what is mandatory --------------------------------------------------------------------------------- */

#define ANY_RESOURCE                                                                     \
    "\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]," \
    "\"clusterScope\":true,\"namespaces\":[\"*\"]}],"                                    \
    "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]"
#define GROUP(name_) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name_ "\"}}"

static const struct fixed {
    const char *name, *spec;
} fixed_schemas[] = {
    {"exempt", "{\"priorityLevelConfiguration\":{\"name\":\"exempt\"},\"matchingPrecedence\":1,"
               "\"rules\":[{\"subjects\":[" GROUP("system:masters") "]," ANY_RESOURCE "}]}"},
    {"catch-all",
     "{\"priorityLevelConfiguration\":{\"name\":\"catch-all\"},\"matchingPrecedence\":10000,"
     "\"distinguisherMethod\":{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":[" GROUP(
         "system:unauthenticated") "," GROUP("system:authenticated") "]," ANY_RESOURCE "}]}"},
    {NULL, NULL},
};
static const struct fixed fixed_levels[] = {
    {"catch-all", "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,"
                  "\"limitResponse\":{\"type\":\"Reject\"},\"lendablePercent\":0}}"},
    {NULL, NULL},
};

static void check_fixed_spec(struct field_errors *e, const char *name, const void *spec,
                             const struct fixed *fixed)
{
    void *want;
    while (fixed->name && !cstr_eq(fixed->name, name))
        fixed++;
    if (!fixed->name)
        return;
    int rc = json_decode(e->arena, schema_of(spec), str_from(fixed->spec), NULL, &want, NULL);
    assert(rc == 0); /* a text of our own */
    (void)rc;
    if (!object_equal(spec, want))
        err_invalid_object(e, SPEC, spec,
                           arena_printf(e->arena, "spec of '%s' must equal the fixed value", name));
}

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

/* Conditions of both kinds: each has a type, no two the same. */
static void check_flow_conditions(struct field_errors *e, const void *const *conditions, size_t n,
                                  const char *(*type_of)(const void *))
{
    const struct path *at = AT(AT(NULL, "status"), "conditions");
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < n; i++) {
        const char *type = type_of(conditions[i]);
        if (map_has(&seen, str_from(type)))
            err_duplicate(e, AT(ITEM(at, i), "type"), type);
        if (!*type)
            err_required(e, AT(ITEM(at, i), "type"), "must not be empty");
        map_put(&seen, str_from(type), (void *)conditions[i]);
    }
    map_free(&seen);
}

static const char *schema_condition_type(const void *condition)
{
    return ((const Flowcontrol__V1__FlowSchemaCondition *)condition)->type;
}

static void check_schema_status(const Flowcontrol__V1__FlowSchema *fs, struct field_errors *e)
{
    check_flow_conditions(e, (const void *const *)fs->status->conditions, fs->status->n_conditions,
                          schema_condition_type);
}

static void validate_schema_status(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    check_schema_status(object, e);
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
    check_fixed_spec(e, fs->metadata->name, spec, fixed_schemas);
    check_schema_status(fs, e);
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

static const char *level_condition_type(const void *condition)
{
    return ((const Flowcontrol__V1__PriorityLevelConfigurationCondition *)condition)->type;
}

static void check_level_status(const Flowcontrol__V1__PriorityLevelConfiguration *level,
                               struct field_errors *e)
{
    check_flow_conditions(e, (const void *const *)level->status->conditions,
                          level->status->n_conditions, level_condition_type);
}

static void validate_level_status(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    check_level_status(object, e);
}

/* How much exempt requests may lend is for people to say, the rest of the mandatory levels is not. */
static void check_fixed_level(struct field_errors *e,
                              const Flowcontrol__V1__PriorityLevelConfiguration *level)
{
    if (!cstr_eq(level->metadata->name, "exempt"))
        check_fixed_spec(e, level->metadata->name, level->spec, fixed_levels);
    else if (!cstr_eq(level->spec->type, "Exempt") || level->spec->limited)
        err_invalid_object(
            e, SPEC, level->spec,
            "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value");
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
    check_fixed_level(e, level);
    check_level_status(level, e);
}

static const struct kind_rules rows[] = {
    {.message = Flowcontrol__V1__FlowSchema__SCHEMA,
     .create = validate_flow_schema,
     .status = validate_schema_status},
    {.message = Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA,
     .create = validate_priority_level,
     .status = validate_level_status},
};
const struct rule_table flow_control_rules = RULE_TABLE(rows);
