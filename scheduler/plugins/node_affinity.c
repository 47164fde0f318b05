/*
 * NodeAffinity: spec.nodeSelector and required node affinity filter; preferred node affinity scores
 * by the sum of the weights of the terms that match.
 */
#include "scheduler/plugins/node_match.h"
#include "scheduler/plugins/registry.h"

static const Core__V1__NodeAffinity *affinity_of(const struct cycle *c)
{
    const Core__V1__Affinity *a = c->facts->pod->spec->affinity;
    return a ? a->node_affinity : NULL;
}

static enum verdict pre_filter(struct cycle *c, unsigned self, struct reasons *why)
{
    (void)self;
    (void)why;
    const Core__V1__NodeAffinity *a = affinity_of(c);
    bool required = a && a->required_during_scheduling_ignored_during_execution;
    return required || c->facts->pod->spec->n_node_selector ? VERDICT_SUCCESS : VERDICT_SKIP;
}

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    if (node_matches_pod(c->facts->pod->spec, n->node))
        return VERDICT_SUCCESS;
    return reject(why, VERDICT_UNRESOLVABLE, "node(s) didn't match Pod's node affinity/selector");
}

static enum verdict pre_score(struct cycle *c, unsigned self, struct node_info *const *nodes,
                              size_t len)
{
    (void)self;
    (void)nodes;
    (void)len;
    const Core__V1__NodeAffinity *a = affinity_of(c);
    return a && a->n_preferred_during_scheduling_ignored_during_execution ? VERDICT_SUCCESS
                                                                          : VERDICT_SKIP;
}

static int64_t score(struct cycle *c, unsigned self, const struct node_info *n)
{
    (void)self;
    const Core__V1__NodeAffinity *a = affinity_of(c);
    int64_t sum = 0;
    for (size_t i = 0; i < a->n_preferred_during_scheduling_ignored_during_execution; i++) {
        const Core__V1__PreferredSchedulingTerm *t =
            a->preferred_during_scheduling_ignored_during_execution[i];
        if (t->weight && node_term_matches(t->preference, n->node))
            sum += t->weight;
    }
    return sum;
}

static void normalize(struct cycle *c, unsigned self, int64_t *scores, size_t len)
{
    (void)c;
    (void)self;
    normalize_by_max(scores, len, false);
}

const struct plugin plugin_node_affinity = {.name = "NodeAffinity",
                                            .events = EVENT_NODE_ADDED | EVENT_NODE_LABELS,
                                            .weight = 2,
                                            .pre_filter = pre_filter,
                                            .filter = filter,
                                            .pre_score = pre_score,
                                            .score = score,
                                            .normalize = normalize};
