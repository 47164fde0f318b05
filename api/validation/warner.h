/*
 * Shared by the files of warnings: who is told, and what several kinds warn of.
 */
#ifndef C8S_API_VALIDATION_WARNER_H
#define C8S_API_VALIDATION_WARNER_H

#include "api/validation/internal.h"

struct warner {
    struct arena *arena;
    warning_fn *say;
    void *ctx;
    const char *prefix; /* of the pod: "" or "spec.template." */
};

#define WARN(w_, ...) (w_)->say((w_)->ctx, arena_printf((w_)->arena, __VA_ARGS__))

/* Everything about a pod or a template of pods. warnings_pod.c */
void warn_pod(struct warner *w, const Core__V1__PodSpec *spec, const Meta__V1__ObjectMeta *meta);

/* warnings_common.c: */

/* What is said of a label of nodes that has another name now; NULL: nothing. */
const char *node_label_deprecated(const char *label);
/* `at`: the path of the term. Values are looked at where a wrong one only never matches. */
void warn_node_selector_term(struct warner *w, const char *at,
                             const Core__V1__NodeSelectorTerm *term, bool values);
/* An amount of bytes that is not whole. */
void warn_fraction(struct warner *w, const char *at, const char *name, const char *amount);
/* Requests and limits of a claim; `at`: the path of its spec. */
void warn_claim_spec(struct warner *w, const char *at,
                     const Core__V1__PersistentVolumeClaimSpec *spec);
/* An address, or a network, that is not written as it should be. */
void warn_ip(struct warner *w, const char *at, const char *ip);
void warn_cidr(struct warner *w, const char *at, const char *cidr);

#endif
