/*
 * TaintToleration: no pod on a node with a NoSchedule or NoExecute taint that it does not tolerate;
 * nodes with fewer untolerated PreferNoSchedule taints are better.
 */
#include "scheduler/plugins/node_match.h"
#include "scheduler/plugins/registry.h"

#include "base/str.h"

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    const Core__V1__PodSpec *spec = c->facts->pod->spec;
    for (size_t i = 0; i < n->node->spec->n_taints; i++) {
        const Core__V1__Taint *taint = n->node->spec->taints[i];
        if (cstr_eq(taint->effect, "PreferNoSchedule"))
            continue;
        if (!taint_tolerated(spec->tolerations, spec->n_tolerations, taint))
            return reject(why, VERDICT_UNRESOLVABLE, "node(s) had untolerated taint(s)");
    }
    return VERDICT_SUCCESS;
}

static bool prefers_not(const Core__V1__PodSpec *spec, const Core__V1__Taint *taint)
{
    if (!cstr_eq(taint->effect, "PreferNoSchedule"))
        return false;
    for (size_t i = 0; i < spec->n_tolerations; i++)
        if (toleration_tolerates(spec->tolerations[i], taint))
            return false;
    return true;
}

static int64_t score(struct cycle *c, unsigned self, const struct node_info *n)
{
    (void)self;
    int64_t untolerated = 0;
    for (size_t i = 0; i < n->node->spec->n_taints; i++)
        untolerated += prefers_not(c->facts->pod->spec, n->node->spec->taints[i]);
    return untolerated;
}

static void normalize(struct cycle *c, unsigned self, int64_t *scores, size_t len)
{
    (void)c;
    (void)self;
    normalize_by_max(scores, len, true);
}

const struct plugin plugin_taint_toleration = {.name = "TaintToleration",
                                               .events = EVENT_NODE_ADDED | EVENT_NODE_TAINTS,
                                               .weight = 3,
                                               .filter = filter,
                                               .score = score,
                                               .normalize = normalize};
