/*
 * The service proxy (see proxy.h): on a change the wanted rules are computed anew from the
 * informers' caches, compared with what was written last, and the difference is one transaction.
 */
#include "node/proxy/proxy.h"
#include "api/object.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/cri.h"
#include "node/nft.h"
#include "node/trigger.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include <stdlib.h>

#define INTERVAL_MS \
    50 /* at most 20 transactions a second; what changes in between goes together \
                        */
#define RETRY_MS 1000
#define UNSYNCED_MS 100

struct proxy {
    struct informer *services, *slices;
    const char *node_name, *cluster_cidr;
    struct trigger *trigger;
    struct ruleset written;
    bool clean; /* `written` is what the kernel has */
};

/* ---------------------------------------------------------------------------------- model --- */

/* Endpoints of one service port, collected from the service's slices. */
typedef VEC(struct proxy_endpoint) endpoint_vec;

static bool endpoint_ready(const Discovery__V1__Endpoint *e)
{
    return !e->conditions || api_get(e->conditions, ready, true);
}

/* On its way out but still answering: better than nobody. */
static bool endpoint_serving(const Discovery__V1__Endpoint *e)
{
    return e->conditions && api_get(e->conditions, serving, false) &&
           api_get(e->conditions, terminating, false);
}

/* A port of a slice of the service. */
struct slice_port {
    const Discovery__V1__EndpointSlice *slice;
    int32_t port;
};

/* All of one name. */
struct slice_ports {
    struct slice_port *items;
    size_t len;
};

static void collect(endpoint_vec *out, const struct slice_port *sp, const char *node_name,
                    bool serving)
{
    if (sp->port <= 0 || sp->port > 65535)
        return;
    for (size_t i = 0; i < sp->slice->n_endpoints; i++) {
        const Discovery__V1__Endpoint *e = sp->slice->endpoints[i];

        /* Each endpoint has one address in practice; the API says any of them will do. */
        if (e->n_addresses && (serving ? endpoint_serving(e) : endpoint_ready(e)))
            vec_push(out, (struct proxy_endpoint){e->addresses[0], (uint16_t)sp->port,
                                                  cstr_eq(e->node_name, node_name)});
    }
}

static int by_address(const void *pa, const void *pb)
{
    const struct proxy_endpoint *a = pa, *b = pb;
    int order = strcmp(a->ip, b->ip);

    return order ? order : (int)a->port - (int)b->port;
}

/* The same endpoints give the same text, in whatever order they came; two slices may name one while it moves. */
static void sort_endpoints(endpoint_vec *v)
{
    size_t kept = 0;

    if (v->len)
        qsort(v->items, v->len, sizeof *v->items, by_address);
    for (size_t i = 0; i < v->len; i++) {
        if (kept && by_address(&v->items[kept - 1], &v->items[i]) == 0)
            v->items[kept - 1].local |= v->items[i].local;
        else
            v->items[kept++] = v->items[i];
    }
    v->len = kept;
}

/* "ns/service" → its slices. */
struct slice_list {
    const Discovery__V1__EndpointSlice **items;
    size_t len;
};

static void index_slices(const struct object_refs *slices, struct map *index, struct arena *a)
{
    for (size_t i = 0; i < slices->len; i++) {
        const Discovery__V1__EndpointSlice *s = slices->items[i]->msg;
        const char *service = labels_get(s->metadata, "kubernetes.io/service-name");
        struct slice_list *list;
        char *key;

        if (!service || !cstr_eq(s->address_type, "IPv4"))
            continue;
        key = arena_printf(a, "%s/%s", s->metadata->namespace_, service);
        list = map_get(index, str_from(key));
        if (!list) {
            list = arena_new(a, struct slice_list);
            map_put(index, str_from(key), list);
        }
        list->items = list_room(a, list->items, list->len, sizeof *list->items);
        list->items[list->len++] = s;
    }
}

/* Port name → struct slice_ports. */
static void index_ports(const struct slice_list *slices, struct map *index, struct arena *a)
{
    for (size_t i = 0; slices && i < slices->len; i++) {
        const Discovery__V1__EndpointSlice *s = slices->items[i];

        for (size_t p = 0; p < s->n_ports; p++) {
            struct str name = str_from(s->ports[p]->name ? s->ports[p]->name : "");
            struct slice_ports *list = map_get(index, name);

            if (!s->ports[p]->has_port)
                continue;
            if (!list) {
                list = arena_new(a, struct slice_ports);
                map_put(index, name, list);
            }
            list->items = list_room(a, list->items, list->len, sizeof *list->items);
            list->items[list->len++] = (struct slice_port){s, s->ports[p]->port};
        }
    }
}

static void external_addresses(const Core__V1__Service *svc, struct arena *a,
                               struct proxy_port *out)
{
    const Core__V1__LoadBalancerStatus *lb = svc->status ? svc->status->load_balancer : NULL;
    size_t lb_len = lb ? lb->n_ingress : 0, n = 0;
    const char **ips = arena_array(a, const char *, svc->spec->n_external_ips + lb_len + 1);

    for (size_t i = 0; i < svc->spec->n_external_ips; i++)
        ips[n++] = svc->spec->external_ips[i];
    for (size_t i = 0; i < lb_len; i++) {
        if (lb->ingress[i]->ip && *lb->ingress[i]->ip && !cstr_eq(lb->ingress[i]->ip_mode, "Proxy"))
            ips[n++] = lb->ingress[i]->ip;
    }
    out->external_ips = ips;
    out->external_ips_len = n;
}

static void build_port(const Core__V1__Service *svc, const Core__V1__ServicePort *port,
                       const struct map *ports, const char *node_name, const char *cluster_cidr,
                       struct arena *a, struct ruleset *out)
{
    const struct slice_ports *list = map_get(ports, str_from(port->name ? port->name : ""));
    endpoint_vec endpoints = {0};
    struct proxy_port p = {
        .ns = svc->metadata->namespace_,
        .service = svc->metadata->name,
        .port_name = port->name ? port->name : "",
        .protocol = port->protocol && *port->protocol ? port->protocol : "TCP",
        .cluster_ip = svc->spec->cluster_ip,
        .port = (uint16_t)port->port,
        .node_port = (uint16_t)port->node_port,
        .client_affinity = cstr_eq(svc->spec->session_affinity, "ClientIP"),
        .external_local = cstr_eq(svc->spec->external_traffic_policy, "Local"),
        .internal_local = cstr_eq(svc->spec->internal_traffic_policy, "Local"),
    };

    for (size_t i = 0; list && i < list->len; i++)
        collect(&endpoints, &list->items[i], node_name, false);
    for (size_t i = 0; list && endpoints.len == 0 && i < list->len; i++)
        collect(&endpoints, &list->items[i], node_name, true);
    sort_endpoints(&endpoints);
    p.endpoints = endpoints.items;
    p.endpoints_len = endpoints.len;
    external_addresses(svc, a, &p);
    if (!ruleset_add(out, &p, cluster_cidr))
        log_warn("proxy", "service port left out service=%s/%s port=%d", p.ns, p.service,
                 port->port);
    vec_free(&endpoints);
}

void proxy_build(const struct object_refs *services, const struct object_refs *slices,
                 const char *node_name, const char *cluster_cidr, struct ruleset *out)
{
    struct map index;
    struct arena a;

    arena_init(&a);
    map_init(&index);
    index_slices(slices, &index, &a);
    for (size_t i = 0; i < services->len; i++) {
        const Core__V1__Service *svc = services->items[i]->msg;
        const char *ip = svc->spec->cluster_ip;
        struct map ports;

        if (!ip || !*ip || strcmp(ip, "None") == 0 || strchr(ip, ':') ||
            cstr_eq(svc->spec->type, "ExternalName") ||
            labels_get(svc->metadata, "service.kubernetes.io/service-proxy-name"))
            continue;
        map_init(&ports);
        index_ports(map_get(&index, str_from(arena_printf(&a, "%s/%s", svc->metadata->namespace_,
                                                          svc->metadata->name))),
                    &ports, &a);
        for (size_t k = 0; k < svc->spec->n_ports; k++)
            build_port(svc, svc->spec->ports[k], &ports, node_name, cluster_cidr, &a, out);
        map_free(&ports);
    }
    map_free(&index);
    arena_free(&a);
}

/* ----------------------------------------------------------------------------------- sync --- */

static uint64_t proxy_run(void *ctx)
{
    struct proxy *p = ctx;
    struct object_refs services = {0}, slices = {0};
    struct ruleset wanted;
    struct error err = {0};
    struct buf text;
    int rc = 0;

    if (!informer_has_synced(p->services) || !informer_has_synced(p->slices))
        return UNSYNCED_MS;
    informer_list(p->services, NULL, &services);
    informer_list(p->slices, NULL, &slices);
    ruleset_init(&wanted);
    buf_init(&text);
    proxy_build(&services, &slices, p->node_name, p->cluster_cidr, &wanted);
    if (p->clean)
        ruleset_diff(&p->written, &wanted, &text);
    else
        ruleset_full(&wanted, &text);
    if (text.len) {
        uint64_t began = clock_mono_ns();
        rc = nft_apply(buf_str(&text), &err);
        if (rc < 0)
            log_error("proxy", "rules refused, writing all of them again err=\"%s\"", err.message);
        else
            log_info("proxy", "rules written full=%d bytes=%zu chains=%zu ms=%llu", !p->clean,
                     text.len, wanted.chains.len,
                     (unsigned long long)((clock_mono_ns() - began) / NS_PER_MS));
    }
    p->clean = rc == 0;
    ruleset_free(&p->written);
    p->written = wanted;
    buf_free(&text);
    object_refs_free(&services);
    object_refs_free(&slices);
    return rc < 0 ? RETRY_MS : 0;
}

static void on_object(void *ctx, struct object *o)
{
    (void)o;
    trigger_poke(((struct proxy *)ctx)->trigger);
}

static void on_update(void *ctx, struct object *old, struct object *now)
{
    (void)old;
    (void)now;
    trigger_poke(((struct proxy *)ctx)->trigger);
}

static void on_synced(void *ctx)
{
    trigger_poke(((struct proxy *)ctx)->trigger);
}

struct proxy *proxy_start(struct informer *services, struct informer *slices, const char *node_name,
                          const char *cluster_cidr)
{
    struct proxy *p = mem_zalloc(sizeof *p);
    struct informer_handler h = {.on_add = on_object,
                                 .on_update = on_update,
                                 .on_delete = on_object,
                                 .on_synced = on_synced,
                                 .ctx = p};

    p->services = services;
    p->slices = slices;
    p->node_name = node_name;
    p->cluster_cidr = cluster_cidr;
    ruleset_init(&p->written);
    p->trigger = trigger_start("proxy", INTERVAL_MS, proxy_run, p);
    informer_add_handler(services, &h);
    informer_add_handler(slices, &h);
    return p;
}

void proxy_stop(struct proxy *p)
{
    if (!p)
        return;
    trigger_stop(p->trigger);
    ruleset_free(&p->written);
    mem_free(p);
}
