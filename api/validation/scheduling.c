/*
 * Validation of what steers scheduling: affinity, tolerations and taints, topology spread.
 */
#include "api/validation/pod.h"

#define POSITIVE "must be greater than zero"

/* --- node selectors -------------------------------------------------------------------------- */

static void check_node_expression(struct field_errors *e, const struct path *at,
                                  const Core__V1__NodeSelectorRequirement *r, bool any_value)
{
    if (is_one_of(r->operator_, ONE_OF("In", "NotIn"))) {
        if (r->n_values == 0)
            err_required(e, AT(at, "values"),
                         "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (is_one_of(r->operator_, ONE_OF("Exists", "DoesNotExist"))) {
        if (r->n_values > 0)
            err_forbidden(e, AT(at, "values"),
                          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (is_one_of(r->operator_, ONE_OF("Gt", "Lt"))) {
        if (r->n_values != 1)
            err_required(e, AT(at, "values"),
                         "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        err_invalid(e, AT(at, "operator"), r->operator_, "not a valid selector operator");
    }
    check_string(e, AT(at, "key"), r->key, validate_qualified_name);
    for (size_t i = 0; !any_value && i < r->n_values; i++)
        check_string(e, ITEM(AT(at, "values"), i), r->values[i], validate_label_value);
}

static void check_node_field(struct field_errors *e, const struct path *at,
                             const Core__V1__NodeSelectorRequirement *r)
{
    if (!is_one_of(r->operator_, ONE_OF("In", "NotIn")))
        err_invalid(e, AT(at, "operator"), r->operator_, "not a valid selector operator");
    else if (r->n_values != 1)
        err_required(e, AT(at, "values"),
                     "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                     "selector");
    if (!cstr_eq(r->key, "metadata.name")) {
        err_invalid(e, AT(at, "key"), r->key, "not a valid field selector key");
        return;
    }
    for (size_t i = 0; i < r->n_values; i++)
        check_string(e, ITEM(AT(at, "values"), i), r->values[i], validate_dns1123_subdomain);
}

static void check_node_term(struct field_errors *e, const struct path *at,
                            const Core__V1__NodeSelectorTerm *t, bool any_value)
{
    for (size_t i = 0; i < t->n_match_expressions; i++)
        check_node_expression(e, ITEM(AT(at, "matchExpressions"), i), t->match_expressions[i],
                              any_value);
    for (size_t i = 0; i < t->n_match_fields; i++)
        check_node_field(e, ITEM(AT(at, "matchFields"), i), t->match_fields[i]);
}

void check_node_selector(struct field_errors *e, const struct path *at,
                         const Core__V1__NodeSelector *s)
{
    const struct path *terms = AT(at, "nodeSelectorTerms");
    if (s->n_node_selector_terms == 0)
        err_required(e, terms, "must have at least one node selector term");
    for (size_t i = 0; i < s->n_node_selector_terms; i++)
        check_node_term(e, ITEM(terms, i), s->node_selector_terms[i], false);
}

/* --- affinity -------------------------------------------------------------------------------- */

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void check_weight(struct field_errors *e, const struct path *at, int32_t weight)
{
    if (weight <= 0 || weight > 100)
        err_invalid_int(e, AT(at, "weight"), weight, "must be in the range 1-100");
}

static void check_label_keys(struct field_errors *e, const struct path *at, char *const *keys,
                             size_t n, const Meta__V1__LabelSelector *selector)
{
    if (n && !selector) {
        err_forbidden(e, at, "must not be specified when labelSelector is not set");
        return;
    }
    for (size_t i = 0; i < n; i++)
        check_string(e, ITEM(at, i), keys[i], validate_qualified_name);
}

/* A key that stands in matchLabelKeys and in the selector: by now the selector has it from both. As upstream, the
 * refusal names the place of the key in matchLabelKeys, but not that list. */
static void check_keys_of_both(struct field_errors *e, const struct path *at, char *const *match,
                               size_t n, const Meta__V1__LabelSelector *selector)
{
    struct seen places = {.arena = e->arena}, met = {.arena = e->arena};
    for (size_t i = n; i-- > 0;)
        seen_put(&places, match[i], (void *)(i + 1));
    for (size_t i = 0; i < selector->n_match_labels; i++)
        seen_again(&met, selector->match_labels[i]->key);
    for (size_t i = 0; i < selector->n_match_expressions; i++) {
        const char *key = selector->match_expressions[i]->key;
        size_t place = (size_t)seen_value(&places, key);
        if (seen_again(&met, key) && place)
            err_invalid(e, ITEM(at, place - 1), key,
                        "exists in both matchLabelKeys and labelSelector");
    }
}

/* matchLabelKeys and mismatchLabelKeys of an affinity's term or a spread constraint. */
static void check_selecting_keys(struct field_errors *e, const struct path *at, char *const *match,
                                 size_t n, char *const *mismatch, size_t m,
                                 const Meta__V1__LabelSelector *selector)
{
    struct seen others = {.arena = e->arena};
    check_label_keys(e, AT(at, "matchLabelKeys"), match, n, selector);
    check_label_keys(e, AT(at, "mismatchLabelKeys"), mismatch, m, selector);
    if (n && selector)
        check_keys_of_both(e, at, match, n, selector);
    for (size_t i = 0; i < m; i++)
        seen_again(&others, mismatch[i]);
    for (size_t i = 0; i < n; i++) {
        if (seen_has(&others, match[i]))
            err_invalid(e, ITEM(AT(at, "matchLabelKeys"), i), match[i],
                        "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

static void check_pod_term(struct field_errors *e, const struct path *at,
                           const Core__V1__PodAffinityTerm *t)
{
    check_label_selector(e, AT(at, "labelSelector"), t->label_selector);
    check_label_selector(e, AT(at, "namespaceSelector"), t->namespace_selector);
    for (size_t i = 0; i < t->n_namespaces; i++)
        check_string(e, AT(at, "namespace"), t->namespaces[i], validate_dns1123_label);
    check_selecting_keys(e, at, t->match_label_keys, t->n_match_label_keys, t->mismatch_label_keys,
                         t->n_mismatch_label_keys, t->label_selector);
    if (!*t->topology_key)
        err_required(e, AT(at, "topologyKey"), "can not be empty");
    check_string(e, AT(at, "topologyKey"), t->topology_key, validate_qualified_name);
}

static void check_pod_terms(struct field_errors *e, const struct path *at,
                            Core__V1__PodAffinityTerm *const *required, size_t n,
                            Core__V1__WeightedPodAffinityTerm *const *preferred, size_t m)
{
    for (size_t i = 0; i < n; i++)
        check_pod_term(e, ITEM(AT(at, REQUIRED), i), required[i]);
    for (size_t i = 0; i < m; i++) {
        const struct path *item = ITEM(AT(at, PREFERRED), i);
        check_weight(e, item, preferred[i]->weight);
        check_pod_term(e, AT(item, "podAffinityTerm"), preferred[i]->pod_affinity_term);
    }
}

static void check_node_affinity(struct field_errors *e, const struct path *at,
                                const Core__V1__NodeAffinity *a)
{
    if (a->required_during_scheduling_ignored_during_execution)
        check_node_selector(e, AT(at, REQUIRED),
                            a->required_during_scheduling_ignored_during_execution);
    for (size_t i = 0; i < a->n_preferred_during_scheduling_ignored_during_execution; i++) {
        const struct path *item = ITEM(AT(at, PREFERRED), i);
        const Core__V1__PreferredSchedulingTerm *t =
            a->preferred_during_scheduling_ignored_during_execution[i];
        check_weight(e, item, t->weight);
        check_node_term(e, AT(item, "preference"), t->preference, true);
    }
}

void check_affinity(struct field_errors *e, const struct path *at, const Core__V1__Affinity *a)
{
    if (!a)
        return;
    if (a->node_affinity)
        check_node_affinity(e, AT(at, "nodeAffinity"), a->node_affinity);
    if (a->pod_affinity)
        check_pod_terms(e, AT(at, "podAffinity"),
                        a->pod_affinity->required_during_scheduling_ignored_during_execution,
                        a->pod_affinity->n_required_during_scheduling_ignored_during_execution,
                        a->pod_affinity->preferred_during_scheduling_ignored_during_execution,
                        a->pod_affinity->n_preferred_during_scheduling_ignored_during_execution);
    const Core__V1__PodAntiAffinity *anti = a->pod_anti_affinity;
    if (anti)
        check_pod_terms(e, AT(at, "podAntiAffinity"),
                        anti->required_during_scheduling_ignored_during_execution,
                        anti->n_required_during_scheduling_ignored_during_execution,
                        anti->preferred_during_scheduling_ignored_during_execution,
                        anti->n_preferred_during_scheduling_ignored_during_execution);
}

/* --- gated pods: affinity may be narrowed ----------------------------------------------------- */

static bool begins_with(Core__V1__NodeSelectorRequirement *const *new, size_t n,
                        Core__V1__NodeSelectorRequirement *const *old, size_t m)
{
    for (size_t i = 0; i < m; i++) {
        if (i >= n || !object_equal(new[i], old[i]))
            return false;
    }
    return true;
}

static bool only_added(const Core__V1__NodeSelectorTerm *new, const Core__V1__NodeSelectorTerm *old)
{
    if (old->n_match_expressions + old->n_match_fields == 0 &&
        new->n_match_expressions + new->n_match_fields > 0)
        return false; /* an empty term matches nothing: more would widen it */
    return begins_with(new->match_expressions, new->n_match_expressions, old->match_expressions,
                       old->n_match_expressions) &&
           begins_with(new->match_fields, new->n_match_fields, old->match_fields,
                       old->n_match_fields);
}

void check_node_affinity_narrowed(struct field_errors *e, const struct path *at,
                                  const Core__V1__NodeAffinity *new,
                                  const Core__V1__NodeAffinity *old)
{
    const Core__V1__NodeSelector *before =
        old ? old->required_during_scheduling_ignored_during_execution : NULL;
    const Core__V1__NodeSelector *now =
        new ? new->required_during_scheduling_ignored_during_execution : NULL;
    const struct path *terms = AT(AT(at, REQUIRED), "nodeSelectorTerms");
    if (!before || before->n_node_selector_terms == 0)
        return;
    if (!now || now->n_node_selector_terms != before->n_node_selector_terms) {
        err_invalid_object(e, terms, now,
                           "no additions/deletions to non-empty NodeSelectorTerms list are "
                           "allowed");
        return;
    }
    for (size_t i = 0; i < before->n_node_selector_terms; i++) {
        if (!only_added(now->node_selector_terms[i], before->node_selector_terms[i]))
            err_invalid_object(e, ITEM(terms, i), now->node_selector_terms[i],
                               "only additions are allowed (no mutations or deletions)");
    }
}

/* --- taints and tolerations ------------------------------------------------------------------- */

static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};

void check_taints(struct field_errors *e, const struct path *at, Core__V1__Taint *const *taints,
                  size_t n)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Taint *t = taints[i];
        check_string(e, AT(item, "key"), t->key, validate_qualified_name);
        check_string(e, AT(item, "value"), t->value, validate_label_value);
        check_required_one_of(e, AT(item, "effect"), t->effect, effects);
        if (seen_pair_again(&seen, t->key, t->effect))
            err_duplicate_object(e, item, t, "taints must be unique by key and effect pair");
    }
}

const char *toleration_text(struct arena *a, const Core__V1__Toleration *t)
{
    return arena_printf(a, "%s %s %s %s", field_quote(a, t->key ? t->key : ""),
                        field_quote(a, t->operator_ ? t->operator_ : ""),
                        field_quote(a, t->value ? t->value : ""),
                        field_quote(a, t->effect ? t->effect : ""));
}

void check_tolerations(struct field_errors *e, const struct path *at,
                       Core__V1__Toleration *const *tolerations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Toleration *t = tolerations[i];
        bool exists = cstr_eq(t->operator_, "Exists");
        check_optional(e, AT(item, "key"), t->key, validate_qualified_name);
        if (!*t->key && !exists)
            err_invalid(e, AT(item, "operator"), t->operator_,
                        "operator must be Exists when `key` is empty, which means \"match all "
                        "values and all keys\"");
        if (t->has_toleration_seconds && !cstr_eq(t->effect, "NoExecute"))
            err_invalid(e, AT(item, "effect"), t->effect,
                        "effect must be 'NoExecute' when `tolerationSeconds` is set");
        if (!*t->operator_ || cstr_eq(t->operator_, "Equal"))
            check_string(e, AT(item, "operator"), t->value, validate_label_value);
        else if (exists && *t->value)
            err_invalid(e, AT(item, "operator"), t->value,
                        "value must be empty when `operator` is 'Exists'");
        else if (!exists)
            err_not_supported(e, AT(item, "operator"), t->operator_, ONE_OF("Equal", "Exists"));
        if (*t->effect)
            check_one_of(e, AT(item, "effect"), t->effect, effects);
    }
}

/* --- topology spread --------------------------------------------------------------------------- */

static void check_min_domains(struct field_errors *e, const struct path *at,
                              const Core__V1__TopologySpreadConstraint *c)
{
    if (!c->has_min_domains)
        return;
    if (c->min_domains <= 0)
        err_invalid_int(e, at, c->min_domains, POSITIVE);
    if (!cstr_eq(c->when_unsatisfiable, "DoNotSchedule"))
        err_invalid_int(
            e, at, c->min_domains,
            arena_printf(e->arena,
                         "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
                         c->when_unsatisfiable));
}

void check_spread_constraints(struct field_errors *e, const struct path *at,
                              Core__V1__TopologySpreadConstraint *const *items, size_t n)
{
    struct seen later = {.arena = e->arena};
    bool *again = arena_array(e->arena, bool, n + 1); /* it stands further down, too */
    for (size_t i = n; i-- > 0;)
        again[i] = seen_pair_again(&later, items[i]->topology_key, items[i]->when_unsatisfiable);
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__TopologySpreadConstraint *c = items[i];
        if (c->max_skew <= 0)
            err_invalid_int(e, AT(item, "maxSkew"), c->max_skew, POSITIVE);
        if (!*c->topology_key)
            err_required(e, AT(item, "topologyKey"), "can not be empty");
        check_one_of(e, AT(item, "whenUnsatisfiable"), c->when_unsatisfiable,
                     ONE_OF("DoNotSchedule", "ScheduleAnyway"));
        if (again[i])
            err_duplicate(
                e, AT(item, "{topologyKey, whenUnsatisfiable}"),
                arena_printf(e->arena, "{%s, %s}", c->topology_key, c->when_unsatisfiable));
        check_min_domains(e, AT(item, "minDomains"), c);
        if (c->node_affinity_policy)
            check_one_of(e, AT(item, "nodeAffinityPolicy"), c->node_affinity_policy,
                         ONE_OF("Honor", "Ignore"));
        if (c->node_taints_policy)
            check_one_of(e, AT(item, "nodeTaintsPolicy"), c->node_taints_policy,
                         ONE_OF("Honor", "Ignore"));
        check_selecting_keys(e, item, c->match_label_keys, c->n_match_label_keys, NULL, 0,
                             c->label_selector);
        check_label_selector(e, AT(item, "labelSelector"), c->label_selector);
    }
}
