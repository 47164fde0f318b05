/*
 * Node selectors, affinity terms and tolerations (scheduler/plugins/node_match.h).
 */
#include "scheduler/plugins/node_match.h"

#include "api/object.h"
#include "base/str.h"

static bool is_among(const char *value, char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(values[i], value) == 0)
            return true;
    return false;
}

/* Gt and Lt compare whole numbers; anything else matches nothing. */
static bool compares(const Core__V1__NodeSelectorRequirement *r, const char *value, bool greater)
{
    int64_t have, bound;
    if (!value || r->n_values != 1 || !str_to_i64(str_from(value), &have) ||
        !str_to_i64(str_from(r->values[0]), &bound))
        return false;
    return greater ? have > bound : have < bound;
}

/* `value` NULL: the label is absent. */
static bool requirement_holds(const Core__V1__NodeSelectorRequirement *r, const char *value)
{
    if (cstr_eq(r->operator_, "In"))
        return value && is_among(value, r->values, r->n_values);
    if (cstr_eq(r->operator_, "NotIn"))
        return !value || !is_among(value, r->values, r->n_values);
    if (cstr_eq(r->operator_, "Exists"))
        return value != NULL;
    if (cstr_eq(r->operator_, "DoesNotExist"))
        return value == NULL;
    if (cstr_eq(r->operator_, "Gt"))
        return compares(r, value, true);
    return cstr_eq(r->operator_, "Lt") && compares(r, value, false);
}

bool node_term_matches(const Core__V1__NodeSelectorTerm *term, const Core__V1__Node *node)
{
    if (term->n_match_expressions == 0 && term->n_match_fields == 0)
        return false;
    for (size_t i = 0; i < term->n_match_expressions; i++) {
        const Core__V1__NodeSelectorRequirement *r = term->match_expressions[i];
        if (!requirement_holds(r, labels_get(node->metadata, r->key)))
            return false;
    }
    for (size_t i = 0; i < term->n_match_fields; i++) {
        const Core__V1__NodeSelectorRequirement *r = term->match_fields[i];
        if (!cstr_eq(r->key, "metadata.name") || !requirement_holds(r, node->metadata->name))
            return false;
    }
    return true;
}

bool node_matches_pod(const Core__V1__PodSpec *spec, const Core__V1__Node *node)
{
    const Meta__V1__ObjectMeta *meta = node->metadata;
    if (!string_map_contains(meta->labels, meta->n_labels, spec->node_selector,
                             spec->n_node_selector))
        return false;
    const Core__V1__NodeAffinity *affinity = spec->affinity ? spec->affinity->node_affinity : NULL;
    const Core__V1__NodeSelector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    if (!required)
        return true;
    for (size_t i = 0; i < required->n_node_selector_terms; i++)
        if (node_term_matches(required->node_selector_terms[i], node))
            return true;
    return false;
}

bool toleration_tolerates(const Core__V1__Toleration *t, const Core__V1__Taint *taint)
{
    if (t->effect && *t->effect && !cstr_eq(t->effect, taint->effect))
        return false;
    if (t->key && *t->key && !cstr_eq(t->key, taint->key))
        return false;
    if (cstr_eq(t->operator_, "Exists"))
        return true;
    bool equal = cstr_eq(t->operator_, "") || cstr_eq(t->operator_, "Equal");
    return equal && t->key && *t->key && cstr_eq(t->value, taint->value);
}

bool taint_tolerated(Core__V1__Toleration *const *tolerations, size_t n,
                     const Core__V1__Taint *taint)
{
    for (size_t i = 0; i < n; i++)
        if (toleration_tolerates(tolerations[i], taint))
            return true;
    return false;
}
