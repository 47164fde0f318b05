/*
 * Amounts of resources are kept to the thousandth, rounded away from zero: what a list of resources (Go's ResourceList)
 * has finer than that is gone before it is validated or stored.
 */
#include "api/defaults/internal.h"
#include "api/quantity.h"
#include "proto/node_v1.pb-c.h"
#include <string.h>

/* Canonical texts (those of decoded objects are) of what is finer end in n or u, or have a negative exponent. */
static bool may_be_finer(const char *text)
{
    size_t n = strlen(text);
    return n && (text[n - 1] == 'n' || text[n - 1] == 'u' || strstr(text, "e-"));
}

void defaults_amounts(struct arena *a, Meta__V1__QuantityEntry **entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Meta__V1__Quantity *q = entries[i]->value;
        if (q && q->string && may_be_finer(q->string))
            q->string = quantity_text(a, quantity_round_up_milli(quantity_of(q->string)));
    }
}

static void requirements(struct arena *a, Core__V1__ResourceRequirements *r)
{
    if (!r)
        return;
    defaults_amounts(a, r->limits, r->n_limits);
    defaults_amounts(a, r->requests, r->n_requests);
}

void defaults_pod_amounts(struct arena *a, Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_init_containers; i++)
        requirements(a, spec->init_containers[i]->resources);
    for (size_t i = 0; i < spec->n_containers; i++)
        requirements(a, spec->containers[i]->resources);
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
        requirements(a, spec->ephemeral_containers[i]->ephemeral_container_common->resources);
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const Core__V1__EphemeralVolumeSource *v = spec->volumes[i]->volume_source->ephemeral;
        if (v && v->volume_claim_template)
            defaults_claim_amounts(a, v->volume_claim_template->spec);
    }
    requirements(a, spec->resources);
    defaults_amounts(a, spec->overhead, spec->n_overhead);
}

void defaults_claim_amounts(struct arena *a, Core__V1__PersistentVolumeClaimSpec *spec)
{
    if (!spec->resources)
        return;
    defaults_amounts(a, spec->resources->limits, spec->resources->n_limits);
    defaults_amounts(a, spec->resources->requests, spec->resources->n_requests);
}

void defaults_resource_quota(struct arena *a, void *object)
{
    Core__V1__ResourceQuota *q = object;
    defaults_amounts(a, q->spec->hard, q->spec->n_hard);
    defaults_amounts(a, q->status->hard, q->status->n_hard);
    defaults_amounts(a, q->status->used, q->status->n_used);
}

void defaults_runtime_class(struct arena *a, void *object)
{
    Node__V1__RuntimeClass *class = object;
    if (class->overhead)
        defaults_amounts(a, class->overhead->pod_fixed, class->overhead->n_pod_fixed);
}
