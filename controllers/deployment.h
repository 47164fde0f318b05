/*
 * Deployment: decisions. Pure functions on structs; deployment.c carries them out,
 * deployment_sets.c keeps the replica sets of the revisions.
 *
 * Words: the *new* set is the one whose template is the deployment's; the others are *old*. A set
 * is *active* when its spec.replicas is above zero.
 */
#ifndef C8S_CONTROLLERS_DEPLOYMENT_H
#define C8S_CONTROLLERS_DEPLOYMENT_H

#include "proto/apps_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

#define ANNOTATION_REVISION "deployment.kubernetes.io/revision"
#define ANNOTATION_REVISION_HISTORY "deployment.kubernetes.io/revision-history"
#define ANNOTATION_DESIRED "deployment.kubernetes.io/desired-replicas"
#define ANNOTATION_MAX "deployment.kubernetes.io/max-replicas"
#define LABEL_TEMPLATE_HASH "pod-template-hash"

/* The replica sets of a deployment; `new_set` may be NULL. */
struct rollout_sets {
    Apps__V1__ReplicaSet *new_set;
    Apps__V1__ReplicaSet **old;
    size_t old_len;
};

/* One set to give another size. */
struct scale_step {
    Apps__V1__ReplicaSet *set;
    int32_t replicas;
};

/* Percentages resolved: surge rounds up, unavailable down, never both zero. Recreate: 0 and 0. */
void deployment_bounds(const Apps__V1__Deployment *d, int32_t *max_surge, int32_t *max_unavailable);

/* The size the new set should have next in a rolling update (or when it is created). */
int32_t deployment_new_replicas(const Apps__V1__Deployment *d, const struct rollout_sets *s);
/* Which old sets may shrink now without going below minimum availability: first pods that are not
 * available anyway, then available ones as new ones become available. Returns the number of steps
 * (out has room for old_len). */
size_t deployment_shrink_old(const Apps__V1__Deployment *d, const struct rollout_sets *s,
                             struct scale_step *out);
/* The deployment was scaled, or is paused: bring sizes in line without a rollout step. With several
 * active sets (in mid-rollout) the difference is spread in proportion. Room for old_len + 1 steps.
 */
size_t deployment_rescale(struct arena *a, const Apps__V1__Deployment *d,
                          const struct rollout_sets *s, struct scale_step *out);
/* Was the deployment scaled since its active sets were sized? */
bool deployment_is_scaling(const Apps__V1__Deployment *d, const struct rollout_sets *s);
/* The template as a set carries it equals the deployment's (the hash label apart). */
bool deployment_same_template(struct arena *a, const Apps__V1__Deployment *d,
                              const Apps__V1__ReplicaSet *rs);
/* Rolled out: all replicas are updated and available. */
bool deployment_complete(const Apps__V1__Deployment *d, const Apps__V1__DeploymentStatus *s);

/* The status that follows from the sets. With `rollout` the Progressing condition follows what has
 * happened since the old status and the deadline; *recheck_s is lowered to when to look again. */
Apps__V1__DeploymentStatus *deployment_status(struct arena *a, const Apps__V1__Deployment *d,
                                              const struct rollout_sets *s, bool rollout,
                                              int64_t now_s, int64_t *recheck_s);
Apps__V1__DeploymentCondition *deployment_condition(const Apps__V1__DeploymentStatus *s,
                                                    const char *type);
/* Replace the condition of that type; its transition time stays while the status stays. */
void deployment_set_condition(struct arena *a, Apps__V1__DeploymentStatus *s, const char *type,
                              const char *status, const char *reason, const char *message,
                              int64_t now_s);

/* Old sets to delete so that revisionHistoryLimit remain: the lowest revisions that are empty. */
size_t deployment_surplus_sets(const Apps__V1__Deployment *d, const struct rollout_sets *s,
                               Apps__V1__ReplicaSet **out);
int64_t set_revision(const Meta__V1__ObjectMeta *meta);
/* Sorted by age, oldest first. */
void sets_sort_by_age(Apps__V1__ReplicaSet **sets, size_t n);

#endif
