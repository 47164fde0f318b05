/*
 * DefaultIngressClass: ingresses that name no class get the default one. PodTopologyLabels: a pod that
 * is bound learns the zone and region of its node.
 */
#include "apiserver/admission/admission.h"
#include "proto/core_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"

static struct status *default_class(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, Networking__V1__Ingress__SCHEMA, ""))
        return NULL;
    Networking__V1__Ingress *ingress = ad->object;
    if (ingress->spec->ingress_class_name ||
        annotations_get(ingress->metadata, "kubernetes.io/ingress.class"))
        return NULL;
    const char *name;
    struct error err;
    if (admission_default_class(ad, CACHED_INGRESS_CLASSES,
                                "ingressclass.kubernetes.io/is-default-class", &name, &err) < 0)
        return status_from_error(ad->a, &err);
    ingress->spec->ingress_class_name = (char *)name;
    return NULL;
}

static void copy_topology(struct arena *a, Meta__V1__ObjectMeta *to, const Core__V1__Node *node)
{
    static const char *const keys[] = {"topology.kubernetes.io/zone",
                                       "topology.kubernetes.io/region"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *value = labels_get(node->metadata, keys[i]);
        if (value)
            labels_set(a, to, keys[i], arena_strdup(a, value));
    }
}

/* The labels of a binding are given to its pod; a pod created with a node gets them at once. */
static struct status *topology(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || ad->r->stored_as != Core__V1__Pod__SCHEMA)
        return NULL;
    const char *node_name = "";
    if (strcmp(ad->sub, "binding") == 0)
        node_name = ((const Core__V1__Binding *)ad->object)->target->name;
    else if (!*ad->sub)
        node_name = ((const Core__V1__Pod *)ad->object)->spec->node_name;
    if (!*node_name)
        return NULL;
    void *node;
    struct error err;
    int rc = rest_load(ad->rq->server, ad->a, resource_of_message(Core__V1__Node__SCHEMA), "",
                       node_name, &node, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 1)
        copy_topology(ad->a, object_meta(ad->object), node);
    return NULL;
}

const struct admission_plugin admission_ingress_class = {.name = "DefaultIngressClass",
                                                         .mutate = default_class};
const struct admission_plugin admission_pod_topology = {.name = "PodTopologyLabels",
                                                        .mutate = topology};
