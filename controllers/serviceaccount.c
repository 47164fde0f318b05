/*
 * ServiceAccount controller: every namespace has the service account `default`.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/mem.h"
#include "controllers/per_namespace.h"
#include "proto/core_v1.pb-c.h"

static int make_default(struct per_namespace *c, const char *ns, struct arena *a, struct error *err)
{
    struct object *have = informer_get(c->objects, ns, "default");
    struct error failure = {0};
    if (!have) {
        Core__V1__ServiceAccount *account = api_new(a, Core__V1__ServiceAccount);
        account->metadata->namespace_ = (char *)ns;
        account->metadata->name = "default";
        client_create(c->client, RESOURCE_SERVICEACCOUNTS, account, NULL, a, &failure);
    }
    object_unref(have);
    return write_result(&failure, err);
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    return per_namespace_open(m, queue,
                              &(struct informer_config){.resource = RESOURCE_SERVICEACCOUNTS,
                                                        .field_selector = "metadata.name=default",
                                                        .metadata_only = true},
                              make_default);
}

const struct controller controller_serviceaccount = {.name = "serviceaccount",
                                                     .workers = 1,
                                                     .open = open_controller,
                                                     .reconcile = per_namespace_reconcile,
                                                     .close = per_namespace_close};
