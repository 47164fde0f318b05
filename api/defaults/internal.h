/*
 * Shared by the defaulting files: set what is unset.
 */
#ifndef C8S_API_DEFAULTS_INTERNAL_H
#define C8S_API_DEFAULTS_INTERNAL_H

#include "api/defaults/defaults.h"

/* A Go value string: unset when empty. */
static inline void default_string(char **s, const char *value)
{
    if (!*s || !**s)
        *s = (char *)(value ? value : "");
}

/* A Go *string: unset when NULL. */
static inline void default_pointer_string(char **s, const char *value)
{
    if (!*s)
        *s = (char *)value;
}

static inline void default_i32(int32_t *v, int32_t value)
{
    if (*v == 0)
        *v = value;
}

/* An optional scalar member: default_opt(spec, replicas, 1). */
#define default_opt(owner, member, ...) \
    ((owner)->has_##member ? (void)0    \
                           : (void)((owner)->has_##member = 1, (owner)->member = (__VA_ARGS__)))

void defaults_pod(struct arena *a, Core__V1__Pod *pod);

/* amounts.c: what is finer than a thousandth is rounded. */
void defaults_amounts(struct arena *a, Meta__V1__QuantityEntry **entries, size_t n);
void defaults_pod_amounts(struct arena *a, Core__V1__PodSpec *spec);
void defaults_claim_amounts(struct arena *a, Core__V1__PersistentVolumeClaimSpec *spec);
void defaults_resource_quota(struct arena *a, void *object);
void defaults_runtime_class(struct arena *a, void *object);

/* cluster.c: rows of the table. */
void defaults_flow_schema(struct arena *a, void *object);
void defaults_priority_level(struct arena *a, void *object);
void defaults_resource_claim(struct arena *a, void *object);
void defaults_resource_claim_template(struct arena *a, void *object);
void defaults_admission_policy(struct arena *a, void *object);
void defaults_admission_binding(struct arena *a, void *object);

#endif
