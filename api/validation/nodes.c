/*
 * Validation of nodes and namespaces.
 */
#include "api/meta.h"
#include "api/validation/internal.h"

/* --- nodes --------------------------------------------------------------------------------------------- */

static void check_node_amounts(struct field_errors *e, const char *field,
                               Meta__V1__QuantityEntry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_resource_amount(e, AT(AT(AT(NULL, "status"), field), items[i]->key), items[i]->key,
                              items[i]->value->string);
}

static void validate_node(const void *object, struct field_errors *e)
{
    const Core__V1__Node *node = object;
    const Core__V1__NodeSpec *spec = node->spec;
    const struct path *cidrs = AT(SPEC, "podCIDRs");
    bool valid = true;
    /* Upstream names the wrong parent, and clients have seen it for years. */
    check_taints(e, AT(AT(NULL, "metadata"), "taints"), spec->taints, spec->n_taints);
    check_node_amounts(e, "capacity", node->status->capacity, node->status->n_capacity);
    check_node_amounts(e, "allocatable", node->status->allocatable, node->status->n_allocatable);
    for (size_t i = 0; i < spec->n_pod_cidrs; i++)
        valid &= check_string(e, ITEM(cidrs, i), spec->pod_cidrs[i], validate_cidr);
    if (!valid || spec->n_pod_cidrs < 2)
        return;
    bool both = ip_is_v6(spec->pod_cidrs[0]) != ip_is_v6(spec->pod_cidrs[1]);
    if (!both || spec->n_pod_cidrs > 2)
        err_invalid_list(e, cidrs, spec->pod_cidrs, spec->n_pod_cidrs,
                         "may specify no more than one CIDR for each IP family");
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_pod_cidrs; i++) {
        if (seen_again(&seen, spec->pod_cidrs[i]))
            err_duplicate(e, ITEM(cidrs, i), spec->pod_cidrs[i]);
    }
}

static void check_addresses(struct field_errors *e, const Core__V1__NodeStatus *status)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < status->n_addresses; i++) {
        const Core__V1__NodeAddress *a = status->addresses[i];
        if (seen_pair_again(&seen, a->type, a->address))
            err_duplicate_object(e, ITEM(AT(AT(NULL, "status"), "addresses"), i), a, "");
    }
}

static void validate_node_update(const void *object, const void *old_object, struct field_errors *e)
{
    const char *cidrs = "node updates may not change podCIDR except from \"\" to valid";
    const Core__V1__Node *node = object;
    const Core__V1__NodeSpec *spec = node->spec, *old = ((const Core__V1__Node *)old_object)->spec;
    check_addresses(e, node->status);
    if (old->n_pod_cidrs > 0 && old->n_pod_cidrs != spec->n_pod_cidrs)
        err_forbidden(e, AT(SPEC, "podCIDRs"), cidrs);
    for (size_t i = 0; i < old->n_pod_cidrs && old->n_pod_cidrs == spec->n_pod_cidrs; i++) {
        if (!cstr_eq(old->pod_cidrs[i], spec->pod_cidrs[i]))
            err_forbidden(e, AT(SPEC, "podCIDRs"), cidrs);
    }
    bool cidrs_kept =
             old->n_pod_cidrs == 0 || string_lists_equal(spec->pod_cidrs, spec->n_pod_cidrs,
                                                         old->pod_cidrs, old->n_pod_cidrs),
         id_kept = !*old->provider_id || cstr_eq(spec->provider_id, old->provider_id);
    if (!id_kept)
        err_forbidden(e, AT(SPEC, "providerID"),
                      "node updates may not change providerID except from \"\" to valid");
    if (!cidrs_kept || !id_kept || !cstr_eq(spec->external_id, old->external_id))
        err_forbidden(e, AT(NULL, "[]"),
                      "node updates may only change labels, taints, or capacity (or configSource, "
                      "if the DynamicKubeletConfig feature gate is enabled)");
}

static void validate_node_status(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    const Core__V1__Node *node = object;
    check_node_amounts(e, "capacity", node->status->capacity, node->status->n_capacity);
    check_node_amounts(e, "allocatable", node->status->allocatable, node->status->n_allocatable);
    check_addresses(e, node->status);
}

/* --- namespaces ------------------------------------------------------------------------------------------ */

static void check_finalizers(struct field_errors *e, const Core__V1__NamespaceSpec *spec,
                             bool indexed)
{
    for (size_t i = 0; i < spec->n_finalizers; i++) {
        const char *f = spec->finalizers[i];
        const struct path *list = AT(SPEC, "finalizers");
        const struct path *at = indexed ? ITEM(list, i) : list;
        check_string(e, at, f, validate_qualified_name);
        if (!strchr(f, '/') && !is_one_of(f, ONE_OF("foregroundDeletion", "kubernetes", "orphan")))
            err_invalid(e, at, f,
                        "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static void validate_namespace(const void *object, struct field_errors *e)
{
    check_finalizers(e, ((const Core__V1__Namespace *)object)->spec, false);
}

static void validate_namespace_status(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    const Core__V1__Namespace *ns = object;
    const char *phase = ns->status->phase;
    const struct path *at = AT(AT(NULL, "status"), "Phase");
    bool deleted = time_ns(ns->metadata->deletion_timestamp) != 0;
    if (!deleted && !cstr_eq(phase, "Active"))
        err_invalid(e, at, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    else if (deleted && !cstr_eq(phase, "Terminating"))
        err_invalid(e, at, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

static void validate_finalize(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    check_finalizers(e, ((const Core__V1__Namespace *)object)->spec, true);
}

static const struct sub_rule namespace_subs[] = {{"finalize", validate_finalize}, {NULL}};

static const struct kind_rules rows[] = {
    {.message = Core__V1__Node__SCHEMA,
     .create = validate_node,
     .update = validate_node_update,
     .status = validate_node_status},
    {.message = Core__V1__Namespace__SCHEMA,
     .create = validate_namespace,
     .status = validate_namespace_status,
     .subs = namespace_subs},
};
const struct rule_table node_rules = RULE_TABLE(rows);
