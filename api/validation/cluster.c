/*
 * Validation of what concerns the cluster as a whole: API services, priority classes and runtime
 * classes. (Certificate requests: certificates.c; flow control: flow_control.c.)
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "api/validation/pod.h"
#include "proto/apiregistration_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"

#define GROUP_PRIORITY_MAX 20000
#define VERSION_PRIORITY_MAX 1000
#define USER_PRIORITY_MAX 1000000000

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
static const char *toleration_json(struct arena *a, const Core__V1__Toleration *t)
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
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        const Core__V1__Toleration *t = tolerations[i];
        if (seen_again(&seen, toleration_text(e->arena, t)))
            err_duplicate_raw(e, ITEM(at, i), toleration_json(e->arena, t));
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
