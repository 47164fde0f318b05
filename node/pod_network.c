/*
 * The pod network of this node (see pod_network.h).
 */
#include "node/pod_network.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/network.h"
#include "node/nft.h"
#include "node/pod_spec.h"
#include "node/trigger.h"
#include <arpa/inet.h>

#define INTERVAL_MS 100
#define RETRY_MS 2000
#define CHECK_MS 60000 /* somebody else may have changed routes */

struct pod_network {
    struct agent *g;
    struct trigger *trigger;
    char *rules;   /* as last written */
    bool prepared; /* sysctls are set */
};

typedef VEC(struct route) route_vec;
typedef VEC(struct host_port) port_vec;

static const char *node_address(const Core__V1__Node *node)
{
    for (size_t i = 0; i < node->status->n_addresses; i++) {
        if (cstr_eq(node->status->addresses[i]->type, "InternalIP") &&
            !strchr(node->status->addresses[i]->address, ':'))
            return node->status->addresses[i]->address;
    }
    return NULL;
}

/* A route to each other node that has a pod CIDR and an address. */
static void wanted_routes(struct pod_network *n, const struct object_refs *nodes, route_vec *out)
{
    for (size_t i = 0; i < nodes->len; i++) {
        const Core__V1__Node *node = nodes->items[i]->msg;
        const char *via = node_address(node), *to = node->spec->pod_cidr;
        struct route r;

        if (cstr_eq(node->metadata->name, n->g->options.node_name) || !via || !to || !*to)
            continue;
        if (inet_pton(AF_INET, via, &r.via) == 1 && cidr_parse(to, &r.to, NULL) == 0)
            vec_push(out, r);
        else
            log_warn("network", "no route to a node: bad address or range node=%s cidr=%s via=%s",
                     node->metadata->name, to, via);
    }
}

static void host_ports_of(const Core__V1__Pod *pod, port_vec *out)
{
    if (pod->spec->host_network || pod_finished(pod) || !pod->status->pod_ip ||
        !*pod->status->pod_ip)
        return;
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        const Core__V1__Container *c = pod->spec->containers[i];
        for (size_t k = 0; k < c->n_ports; k++) {
            const Core__V1__ContainerPort *p = c->ports[k];
            if (p->host_port > 0)
                vec_push(out, (struct host_port){
                                  .protocol = p->protocol && *p->protocol ? p->protocol : "TCP",
                                  .host_ip = p->host_ip,
                                  .host_port = (uint16_t)p->host_port,
                                  .pod_ip = pod->status->pod_ip,
                                  .container_port = (uint16_t)p->container_port});
        }
    }
}

static int write_rules(struct pod_network *n, const char *pod_cidr, const struct object_refs *pods,
                       struct error *err)
{
    port_vec ports = {0};
    struct buf text;
    int rc = 0;

    buf_init(&text);
    for (size_t i = 0; i < pods->len; i++)
        host_ports_of(pods->items[i]->msg, &ports);
    network_pod_rules(pod_cidr, n->g->options.cluster_cidr, ports.items, ports.len, &text);
    if (!n->rules || strcmp(n->rules, buf_cstr(&text)) != 0) {
        rc = nft_apply(buf_str(&text), err);
        mem_free(n->rules);
        n->rules = rc < 0 ? NULL : mem_strdup(buf_cstr(&text));
    }
    buf_free(&text);
    vec_free(&ports);
    return rc;
}

static int sync_network(struct pod_network *n, const char *pod_cidr,
                        const struct object_refs *nodes, const struct object_refs *pods,
                        struct error *err)
{
    struct agent *g = n->g;
    route_vec routes = {0};
    struct arena a;
    size_t changed = 0;
    int rc = 0;

    arena_init(&a);
    if (!n->prepared)
        rc = network_set_sysctls(err);
    n->prepared = rc == 0;
    if (rc == 0)
        rc = network_write_cni(g->options.cni_conf_dir,
                               arena_printf(&a, "%s/ipam", g->options.root_dir), pod_cidr, err);
    if (rc == 0)
        rc = write_rules(n, pod_cidr, pods, err);
    wanted_routes(n, nodes, &routes);
    if (rc == 0)
        rc = network_sync_routes(routes.items, routes.len, &changed, err);
    if (changed)
        log_info("network", "routes to other nodes' pods routes=%zu changed=%zu", routes.len,
                 changed);
    vec_free(&routes);
    arena_free(&a);
    return rc;
}

static uint64_t network_run(void *ctx)
{
    struct pod_network *n = ctx;
    struct object *own = informer_get(n->g->nodes, "", n->g->options.node_name);
    const Core__V1__Node *node = own ? own->msg : NULL;
    struct object_refs nodes = {0}, pods = {0};
    struct error err = {0};
    int rc = 0;

    if (node && node->spec->pod_cidr && *node->spec->pod_cidr) {
        informer_list(n->g->nodes, NULL, &nodes);
        informer_list(n->g->pods, NULL, &pods);
        rc = sync_network(n, node->spec->pod_cidr, &nodes, &pods, &err);
        if (rc < 0)
            log_error("network", "pod network not set up, trying again err=\"%s\"", err.message);
        object_refs_free(&nodes);
        object_refs_free(&pods);
    }
    object_unref(own);
    return rc < 0 ? RETRY_MS : CHECK_MS;
}

/* What of a node matters here; its heartbeats do not. */
static bool same_place(const Core__V1__Node *a, const Core__V1__Node *b)
{
    return cstr_eq(a->spec->pod_cidr, b->spec->pod_cidr) &&
           cstr_eq(node_address(a), node_address(b));
}

static void on_node(void *ctx, struct object *o)
{
    (void)o;
    trigger_poke(((struct pod_network *)ctx)->trigger);
}

static void on_node_update(void *ctx, struct object *old, struct object *now)
{
    if (!same_place(old->msg, now->msg))
        trigger_poke(((struct pod_network *)ctx)->trigger);
}

static void on_pod_update(void *ctx, struct object *old, struct object *now)
{
    const Core__V1__Pod *a = old->msg, *b = now->msg;

    if (!cstr_eq(a->status->pod_ip, b->status->pod_ip) || pod_finished(a) != pod_finished(b))
        trigger_poke(((struct pod_network *)ctx)->trigger);
}

struct pod_network *pod_network_start(struct agent *g)
{
    struct pod_network *n = mem_zalloc(sizeof *n);
    struct informer_handler nodes = {
        .on_add = on_node, .on_update = on_node_update, .on_delete = on_node, .ctx = n};
    struct informer_handler pods = {.on_update = on_pod_update, .on_delete = on_node, .ctx = n};

    n->g = g;
    n->trigger = trigger_start("pod-network", INTERVAL_MS, network_run, n);
    informer_add_handler(g->nodes, &nodes);
    informer_add_handler(g->pods, &pods);
    return n;
}

void pod_network_stop(struct pod_network *n)
{
    if (!n)
        return;
    trigger_stop(n->trigger);
    mem_free(n->rules);
    mem_free(n);
}
