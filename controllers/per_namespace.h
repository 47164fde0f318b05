/*
 * Controllers that keep one object of a fixed name in every namespace that is not being deleted.
 * Keys are namespaces.
 */
#ifndef C8S_CONTROLLERS_PER_NAMESPACE_H
#define C8S_CONTROLLERS_PER_NAMESPACE_H

#include "controllers/controller.h"

struct per_namespace {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    struct informer *namespaces, *objects;
    int (*make)(struct per_namespace *c, const char *ns, struct arena *a, struct error *err);
};

/* `objects` selects what is kept: a namespace is looked at again whenever one of them changes. */
struct per_namespace *per_namespace_open(struct manager *m, struct workqueue *queue,
                                         const struct informer_config *objects,
                                         int (*make)(struct per_namespace *c, const char *ns,
                                                     struct arena *a, struct error *err));
int per_namespace_reconcile(void *ctx, const char *key, struct error *err);
void per_namespace_close(void *ctx);

#endif
