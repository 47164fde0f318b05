/*
 * Namespace deletion: what is left, told as conditions (decisions; namespace.c carries them out).
 */
#ifndef C8S_CONTROLLERS_NAMESPACE_H
#define C8S_CONTROLLERS_NAMESPACE_H

#include "api/kinds.h"
#include "proto/core_v1.pb-c.h"

/* How many objects of a resource are left, or hold a finalizer. */
struct namespace_left {
    const char *what; /* "pods.", "deployments.apps", or the finalizer's name */
    unsigned count;
};

struct namespace_content {
    struct namespace_left *kinds, *finalizers;
    size_t kinds_len, finalizers_len;
    size_t len; /* objects left, over all kinds */
    const char *discovery_error, *deletion_error;
};

void namespace_content_add(struct namespace_content *c, struct arena *a, const struct resource *r,
                           const Meta__V1__ObjectMeta *meta);
/* Set upstream's five conditions on the status. */
void namespace_conditions(struct arena *a, Core__V1__NamespaceStatus *s,
                          const struct namespace_content *c, int64_t now_s);

#endif
