/*
 * Shared by the files that check pods: pod.c (the spec as a whole, updates), container.c, security.c,
 * scheduling.c, volume.c, resources.c.
 */
#ifndef C8S_API_VALIDATION_POD_H
#define C8S_API_VALIDATION_POD_H

#include "api/validation/internal.h"

/* A pod spec being checked, and what its parts must know of the whole. */
struct pod_check {
    struct field_errors *e;
    const Core__V1__PodSpec *spec;
    const Meta__V1__ObjectMeta *meta; /* of a pod; NULL: a template */
    struct seen annotations;          /* by their keys: for check_annotations_match_fields alone */
    struct seen volumes;              /* sources by name; a volume that is wrong is none to mount */
    bool is_pod;
};

/* pod.c: what holds for every write of a pod */
void check_pod(const Core__V1__Pod *pod, struct field_errors *e);

/* pod_update.c */
void validate_pod_update(const void *object, const void *old, struct field_errors *e);
void validate_pod_ephemeral(const void *object, const void *old, struct field_errors *e);
void validate_pod_resize(const void *object, const void *old, struct field_errors *e);
/* Annotations that stay as they were made. */
void check_annotation_changes(struct field_errors *e, const Meta__V1__ObjectMeta *new,
                              const Meta__V1__ObjectMeta *old);

/* container.c */
void check_containers(struct pod_check *p, const struct path *at);
void check_init_containers(struct pod_check *p, const struct path *at);
void check_ephemeral_containers(struct pod_check *p, const struct path *at);
/* Names of the pod's containers and init containers. */
struct seen container_names(struct arena *a, const Core__V1__PodSpec *spec);
/* Images of pods, not of templates, are without white space around them. */
void check_image_spaces(struct field_errors *e, const struct path *at, const char *image);

/* security.c */
void check_pod_security(struct pod_check *p, const struct path *at);
void check_security_context(struct pod_check *p, const struct path *at,
                            const Core__V1__SecurityContext *s);
/* Host processes, `os`, host users: rules between the pod's and the containers' settings. */
void check_pod_os(struct pod_check *p, const struct path *at);
/* Annotations that were fields' predecessors: well-formed, and in agreement with the fields. */
void check_pod_annotations(struct pod_check *p, const struct path *at,
                           const Meta__V1__ObjectMeta *meta);
void check_annotations_match_fields(struct pod_check *p, const struct path *at,
                                    const Meta__V1__ObjectMeta *meta);

/* Call `visit` for every container of whatever sort. */
typedef void container_visit(struct pod_check *p, const struct path *at,
                             const Core__V1__Container *c);
void visit_containers(struct pod_check *p, const struct path *at, container_visit *visit);

/* scheduling.c */
void check_affinity(struct field_errors *e, const struct path *at, const Core__V1__Affinity *a);
void check_tolerations(struct field_errors *e, const struct path *at,
                       Core__V1__Toleration *const *tolerations, size_t n);
/* A toleration in one text, but for how long. */
const char *toleration_text(struct arena *a, const Core__V1__Toleration *t);
void check_spread_constraints(struct field_errors *e, const struct path *at,
                              Core__V1__TopologySpreadConstraint *const *items, size_t n);
/* What an update may do to a gated pod's node affinity: only narrow it. */
void check_node_affinity_narrowed(struct field_errors *e, const struct path *at,
                                  const Core__V1__NodeAffinity *new,
                                  const Core__V1__NodeAffinity *old);

/* volume.c */
void check_volumes(struct pod_check *p, const struct path *at);
bool has_parent_step(const char *path);
/* Relative, without "..": the message's detail goes to `at`. */
void check_descending_path(struct field_errors *e, const struct path *at, const char *path);
void check_local_path(struct field_errors *e, const struct path *at, const char *path);

/* resources.c */
void check_container_resources(struct pod_check *p, const struct path *at,
                               const Core__V1__ResourceRequirements *r);
void check_pod_resources(struct pod_check *p, const struct path *at);
void check_overhead(struct field_errors *e, const struct path *at,
                    Meta__V1__QuantityEntry *const *items, size_t n);

/* container.c: divisors and names of `resourceFieldRef`, `fieldRef`, also of downward volumes. */
void check_resource_field(struct field_errors *e, const struct path *at,
                          const Core__V1__ResourceFieldSelector *r, bool volume);
void check_object_field(struct field_errors *e, const struct path *at,
                        const Core__V1__ObjectFieldSelector *f, const char *const *allowed);
void check_pull_policy(struct field_errors *e, const struct path *at, const char *policy);

#endif
