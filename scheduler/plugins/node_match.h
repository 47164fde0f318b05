/*
 * Matching of nodes against what pods say about them: selectors, affinity terms, taints and
 * tolerations. Shared by plugins.
 */
#ifndef C8S_SCHEDULER_PLUGINS_NODE_MATCH_H
#define C8S_SCHEDULER_PLUGINS_NODE_MATCH_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>

/* One term: all its expressions (on labels) and fields (metadata.name) hold. An empty term matches
 * no node. */
bool node_term_matches(const Core__V1__NodeSelectorTerm *term, const Core__V1__Node *node);
/* spec.nodeSelector and required node affinity. */
bool node_matches_pod(const Core__V1__PodSpec *spec, const Core__V1__Node *node);
bool toleration_tolerates(const Core__V1__Toleration *t, const Core__V1__Taint *taint);
/* Does one of n tolerations tolerate the taint? */
bool taint_tolerated(Core__V1__Toleration *const *tolerations, size_t n,
                     const Core__V1__Taint *taint);

#endif
