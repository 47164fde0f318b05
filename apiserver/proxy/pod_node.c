/*
 * From a pod to its node agent (apiserver/proxy/pod_node.h).
 */
#include "apiserver/proxy/pod_node.h"
#include "api/meta.h"
#include "base/arena_text.h"
#include "base/mem.h"

#define KUBELET_PORT 10250

const Core__V1__Pod *pod_node_load(struct rest *rq)
{
    void *pod;
    struct error err;
    int rc = rest_load(rq->server, rq->a, rq->r, rq->info.ns, rq->info.name, &pod, &err);
    if (rc > 0)
        return pod;
    rest_status(rq, rc < 0 ? status_from_error(rq->a, &err) : status_not_found(rq->a, &rq->about));
    return NULL;
}

static bool has_container(const Core__V1__Pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->spec->n_containers; i++)
        if (strcmp(pod->spec->containers[i]->name, name) == 0)
            return true;
    for (size_t i = 0; i < pod->spec->n_init_containers; i++)
        if (strcmp(pod->spec->init_containers[i]->name, name) == 0)
            return true;
    for (size_t i = 0; i < pod->spec->n_ephemeral_containers; i++)
        if (strcmp(pod->spec->ephemeral_containers[i]->ephemeral_container_common->name, name) == 0)
            return true;
    return false;
}

static const char *names_of(struct arena *a, Core__V1__Container *const *list, size_t n)
{
    struct arena_text text = {.a = a};
    for (size_t i = 0; i < n; i++)
        arena_text_addf(&text, "%s%s", i ? " " : "", list[i]->name);
    return arena_text_of(&text);
}

const char *pod_node_container(struct rest *rq, const Core__V1__Pod *pod, struct status **bad)
{
    const char *name = query_get(rq->a, rq->info.query, "container");
    if (name && *name) {
        if (has_container(pod, name))
            return name;
        *bad = status_bad_request(rq->a, "container %s is not valid for pod %s", name,
                                  pod->metadata->name);
        return NULL;
    }
    if (pod->spec->n_containers == 1)
        return pod->spec->containers[0]->name;
    const char *wanted = annotations_get(pod->metadata, "kubectl.kubernetes.io/default-container");
    if (wanted && has_container(pod, wanted))
        return wanted;
    *bad = status_bad_request(
        rq->a, "a container name must be specified for pod %s, choose one of: [%s]%s%s%s",
        pod->metadata->name, names_of(rq->a, pod->spec->containers, pod->spec->n_containers),
        pod->spec->n_init_containers ? " or one of the init containers: [" : "",
        names_of(rq->a, pod->spec->init_containers, pod->spec->n_init_containers),
        pod->spec->n_init_containers ? "]" : "");
    return NULL;
}

const char *node_host(struct rest *rq, const char *name, int32_t *port, struct status **bad)
{
    void *object;
    struct error err;
    int rc = rest_load(rq->server, rq->a, resource_of_message(Core__V1__Node__SCHEMA), "", name,
                       &object, &err);
    if (rc <= 0) {
        /* Upstream's store says what was asked for, not what was looked up. */
        struct status_about about = {rq->r->group, rq->r->plural, rq->r->kind, name};
        *bad = rc < 0 ? status_from_error(rq->a, &err) : status_not_found(rq->a, &about);
        return NULL;
    }
    const Core__V1__Node *node = object;
    static const char *const order[] = {"InternalIP", "ExternalIP", "Hostname"};
    int32_t own = node->status->daemon_endpoints->kubelet_endpoint->port;
    *port = own ? own : KUBELET_PORT;
    for (size_t t = 0; t < ARRAY_LEN(order); t++)
        for (size_t i = 0; i < node->status->n_addresses; i++)
            if (strcmp(node->status->addresses[i]->type, order[t]) == 0)
                return node->status->addresses[i]->address;
    struct buf known;
    buf_init(&known);
    for (size_t i = 0; i < node->status->n_addresses; i++)
        buf_printf(&known, "%s{%s %s}", i ? " " : "", node->status->addresses[i]->type,
                   node->status->addresses[i]->address);
    *bad = status_new(rq->a, 500, "", "no preferred addresses found; known addresses: [%s]",
                      buf_cstr(&known));
    buf_free(&known);
    return NULL;
}

const char *pod_node_address(struct rest *rq, const Core__V1__Pod *pod, struct status **bad)
{
    if (!*pod->spec->node_name) {
        *bad =
            status_bad_request(rq->a, "pod %s does not have a host assigned", pod->metadata->name);
        return NULL;
    }
    int32_t port;
    const char *host = node_host(rq, pod->spec->node_name, &port, bad);
    return host ? arena_printf(rq->a, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port) : NULL;
}
