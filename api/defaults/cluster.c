/*
 * Defaults of flow control, device claims and admission policies.
 */
#include "api/defaults/internal.h"
#include "api/object.h"
#include "proto/admissionregistration_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/resource_v1.pb-c.h"

void defaults_flow_schema(struct arena *a, void *object)
{
    (void)a;
    default_i32(&((Flowcontrol__V1__FlowSchema *)object)->spec->matching_precedence, 1000);
}

void defaults_priority_level(struct arena *a, void *object)
{
    (void)a;
    Flowcontrol__V1__PriorityLevelConfigurationSpec *spec =
        ((Flowcontrol__V1__PriorityLevelConfiguration *)object)->spec;
    if (spec->exempt) {
        default_opt(spec->exempt, nominal_concurrency_shares, 0);
        default_opt(spec->exempt, lendable_percent, 0);
    }
    if (!spec->limited)
        return;
    default_opt(spec->limited, nominal_concurrency_shares, 30);
    default_opt(spec->limited, lendable_percent, 0);
    Flowcontrol__V1__QueuingConfiguration *q = spec->limited->limit_response->queuing;
    if (!q)
        return;
    default_i32(&q->queues, 64);
    default_i32(&q->hand_size, 8);
    default_i32(&q->queue_length_limit, 50);
}

static void allocation(char **mode, int64_t *count)
{
    default_string(mode, "ExactCount");
    if (strcmp(*mode, "ExactCount") == 0 && *count == 0)
        *count = 1;
}

static void tolerations(Resource__V1__DeviceToleration **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        default_string(&items[i]->operator_, "Equal");
}

static void device_claim(Resource__V1__DeviceClaim *claim)
{
    for (size_t i = 0; i < claim->n_requests; i++) {
        Resource__V1__DeviceRequest *r = claim->requests[i];
        if (r->exactly) {
            allocation(&r->exactly->allocation_mode, &r->exactly->count);
            tolerations(r->exactly->tolerations, r->exactly->n_tolerations);
        }
        for (size_t k = 0; k < r->n_first_available; k++) {
            Resource__V1__DeviceSubRequest *s = r->first_available[k];
            allocation(&s->allocation_mode, &s->count);
            tolerations(s->tolerations, s->n_tolerations);
        }
    }
}

void defaults_resource_claim(struct arena *a, void *object)
{
    (void)a;
    device_claim(((Resource__V1__ResourceClaim *)object)->spec->devices);
}

void defaults_resource_claim_template(struct arena *a, void *object)
{
    (void)a;
    device_claim(((Resource__V1__ResourceClaimTemplate *)object)->spec->spec->devices);
}

static void policy_rules(Admissionregistration__V1__NamedRuleWithOperations **rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        default_pointer_string(&rules[i]->rule_with_operations->rule->scope, "*");
}

static void match_resources(struct arena *a, Admissionregistration__V1__MatchResources *m)
{
    if (!m)
        return;
    default_pointer_string(&m->match_policy, "Equivalent");
    if (!m->namespace_selector)
        m->namespace_selector = api_new(a, Meta__V1__LabelSelector);
    if (!m->object_selector)
        m->object_selector = api_new(a, Meta__V1__LabelSelector);
    policy_rules(m->resource_rules, m->n_resource_rules);
    policy_rules(m->exclude_resource_rules, m->n_exclude_resource_rules);
}

void defaults_admission_policy(struct arena *a, void *object)
{
    Admissionregistration__V1__ValidatingAdmissionPolicySpec *spec =
        ((Admissionregistration__V1__ValidatingAdmissionPolicy *)object)->spec;
    default_pointer_string(&spec->failure_policy, "Fail");
    match_resources(a, spec->match_constraints);
}

void defaults_admission_binding(struct arena *a, void *object)
{
    match_resources(a, ((Admissionregistration__V1__ValidatingAdmissionPolicyBinding *)object)
                           ->spec->match_resources);
}
