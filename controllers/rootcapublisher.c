/*
 * Root CA publisher: every namespace has the config map `kube-root-ca.crt`, by which pods verify
 * the API server.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/mem.h"
#include "controllers/per_namespace.h"
#include "proto/core_v1.pb-c.h"

#define CONFIG_MAP "kube-root-ca.crt"
#define KEY "ca.crt"

static Core__V1__ConfigMap *describe(struct arena *a, const char *ns, const struct object *have,
                                     const char *pem)
{
    Core__V1__ConfigMap *map = have ? object_clone(a, have->msg) : api_new(a, Core__V1__ConfigMap);
    map->metadata->namespace_ = (char *)ns;
    map->metadata->name = CONFIG_MAP;
    annotations_set(a, map->metadata, "kubernetes.io/description",
                    "The cluster's CA, by which clients in pods verify the API server.");
    string_map_set(a, &map->data, &map->n_data, KEY, pem);
    return map;
}

static int publish(struct per_namespace *c, const char *ns, struct arena *a, struct error *err)
{
    const char *pem = manager_options(c->manager)->root_ca_pem;
    if (!pem)
        return 0;
    struct object *have = informer_get(c->objects, ns, CONFIG_MAP);
    Core__V1__ConfigMap *map = describe(a, ns, have, pem);
    struct error failure = {0};
    if (!have)
        client_create(c->client, RESOURCE_CONFIGMAPS, map, NULL, a, &failure);
    else if (!object_equal(map, have->msg))
        client_update(c->client, RESOURCE_CONFIGMAPS, map, NULL, a, &failure);
    object_unref(have);
    return write_result(&failure, err);
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    return per_namespace_open(
        m, queue,
        &(struct informer_config){.resource = RESOURCE_CONFIGMAPS,
                                  .field_selector = "metadata.name=" CONFIG_MAP},
        publish);
}

const struct controller controller_rootcapublisher = {.name = "root-ca-certificate-publisher",
                                                      .workers = 1,
                                                      .open = open_controller,
                                                      .reconcile = per_namespace_reconcile,
                                                      .close = per_namespace_close};
