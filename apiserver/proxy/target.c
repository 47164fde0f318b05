/*
 * Targets of proxied requests: see target.h.
 */
#include "apiserver/proxy/target.h"
#include "api/meta.h"
#include "apiserver/proxy/pod_node.h"
#include "base/mem.h"
#include "proto/discovery_v1.pb-c.h"
#include <arpa/inet.h>

/* ---- names and addresses ---- */

bool proxy_name_split(struct arena *a, const char *id, const char **scheme, const char **name,
                      const char **port)
{
    struct str rest = str_from(id), part[3];
    size_t n = 0;
    while (n < 3 && str_split(&rest, ':', &part[n]))
        n++;
    if (rest.p)
        return false;
    const char *text[3] = {"", "", ""};
    for (size_t i = 0; i < n; i++)
        text[i] = arena_strndup(a, part[i].p, part[i].n);
    *scheme = n == 3 ? text[0] : "";
    *name = n == 3 ? text[1] : text[0];
    *port = n == 3 ? text[2] : text[1];
    if (n == 3 && strcmp(*scheme, "http") != 0 && strcmp(*scheme, "https") != 0)
        return false;
    return **name;
}

bool proxy_address_allowed(const char *ip)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, ip, &v4) == 1) {
        uint32_t n = ntohl(v4.s_addr);
        bool loopback = n >> 24 == 127, link_local = n >> 16 == 0xa9fe, multicast = n >> 28 == 14;
        return n != 0 && n != UINT32_MAX && !loopback && !link_local && !multicast;
    }
    return inet_pton(AF_INET6, ip, &v6) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&v6) &&
           !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6) &&
           !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_V4MAPPED(&v6);
}

static bool set_target(struct rest *rq, struct proxy_target *out, const char *scheme,
                       const char *ip, const char *port, struct status **bad)
{
    struct apiserver *s = rq->server;
    bool https = strcmp(scheme, "https") == 0;
    int64_t number;
    if (!*port)
        port = https ? "443" : "80";
    if (!str_to_i64(str_from(port), &number) || number < 1 || number > 65535) {
        *bad = status_new(rq->a, 503, "ServiceUnavailable",
                          "error trying to reach service: dial tcp: lookup tcp/%s: unknown port",
                          port);
        return false;
    }
    out->address = arena_printf(rq->a, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, port);
    out->tls = out->stream_tls = https ? s->proxy_tls : NULL;
    return true;
}

static bool load(struct rest *rq, int message, const char *name, void **out, struct status **bad)
{
    const struct resource *r = resource_of_message(message);
    struct status_about about = {r->group, r->plural, r->kind, name};
    struct error err;
    int rc = rest_load(rq->server, rq->a, r, r->namespaced ? rq->info.ns : "", name, out, &err);
    if (rc <= 0)
        *bad = rc < 0 ? status_from_error(rq->a, &err) : status_not_found(rq->a, &about);
    return rc > 0;
}

/* ---- pods ---- */

static bool pod_target(struct rest *rq, const char *scheme, const char *name, const char *port,
                       struct proxy_target *out, struct status **bad)
{
    void *object;
    if (!load(rq, Core__V1__Pod__SCHEMA, name, &object, bad))
        return false;
    const Core__V1__Pod *pod = object;
    for (size_t i = 0; !*port && i < pod->spec->n_containers; i++)
        if (pod->spec->containers[i]->n_ports)
            port = arena_printf(rq->a, "%d", pod->spec->containers[i]->ports[0]->container_port);
    const char *ip = pod->status->n_pod_ips ? pod->status->pod_ips[0]->ip : pod->status->pod_ip;
    if (!proxy_address_allowed(ip)) {
        *bad = status_bad_request(rq->a, "address not allowed");
        return false;
    }
    return set_target(rq, out, scheme, ip, port, bad);
}

/* ---- services ---- */

/* What is looked for among the slices, and the one chosen of those that fit (each as likely). */
struct endpoint_search {
    struct rest *rq;
    const char *service, *port;
    unsigned found;
    bool any;
    const char *ip;
    int32_t number;
};

/* A pod's address, so that nobody reaches by a slice of his own what he cannot reach else. */
static bool is_pods_address(struct endpoint_search *s, const Discovery__V1__Endpoint *e)
{
    void *object;
    struct status *bad = NULL;
    if (!e->target_ref || !cstr_eq(e->target_ref->kind, "Pod") || !e->n_addresses ||
        !load(s->rq, Core__V1__Pod__SCHEMA, e->target_ref->name, &object, &bad))
        return false;
    const Core__V1__Pod *pod = object;
    bool same = cstr_eq(pod->status->pod_ip, e->addresses[0]);
    for (size_t i = 0; i < pod->status->n_pod_ips; i++)
        same |= cstr_eq(pod->status->pod_ips[i]->ip, e->addresses[0]);
    return same && proxy_address_allowed(e->addresses[0]);
}

static void search_slice(struct endpoint_search *s, const Discovery__V1__EndpointSlice *slice)
{
    const Discovery__V1__EndpointPort *port = NULL;
    if (!cstr_eq(labels_get(slice->metadata, "kubernetes.io/service-name"), s->service))
        return;
    s->any |= slice->n_endpoints > 0;
    for (size_t i = 0; i < slice->n_ports && !port; i++)
        if (cstr_eq(slice->ports[i]->name, s->port) && slice->ports[i]->has_port)
            port = slice->ports[i];
    for (size_t i = 0; port && i < slice->n_endpoints; i++) {
        const Discovery__V1__Endpoint *e = slice->endpoints[i];
        bool ready = !e->conditions || api_get(e->conditions, ready, true);
        if (!ready || !is_pods_address(s, e) || rng_below(&s->rq->worker->rng, ++s->found) != 0)
            continue;
        s->ip = e->addresses[0];
        s->number = port->port;
    }
}

static int visit_slice(void *ctx, const struct kv_pair *pair)
{
    struct endpoint_search *s = ctx;
    struct error err;
    void *slice;
    /* The pair's bytes go when this returns; the decoded object must not. */
    struct str copy = str_make(arena_dup(s->rq->a, pair->value.p, pair->value.n), pair->value.n);
    if (stored_decode(s->rq->a, copy, pair->mod_rev, NULL, &slice, &err) == 0)
        search_slice(s, slice);
    return 0;
}

/* The name of the service's port of that number; NULL: it has none. */
static const char *port_name(const Core__V1__Service *service, int64_t number)
{
    for (size_t i = 0; i < service->spec->n_ports; i++)
        if (service->spec->ports[i]->port == number)
            return service->spec->ports[i]->name;
    return NULL;
}

static bool service_target(struct rest *rq, const char *scheme, const char *name, const char *port,
                           struct proxy_target *out, struct status **bad)
{
    void *service;
    int64_t number;
    if (!load(rq, Core__V1__Service__SCHEMA, name, &service, bad))
        return false;
    if (str_to_i64(str_from(port), &number) && !(port = port_name(service, number))) {
        *bad = status_new(rq->a, 503, "ServiceUnavailable",
                          "no service port %lld found for service \"%s\"", (long long)number, name);
        return false;
    }
    struct endpoint_search s = {.rq = rq, .service = name, .port = port};
    struct str prefix =
        rest_prefix(rq->a, resource_of_message(Discovery__V1__EndpointSlice__SCHEMA), rq->info.ns);
    struct kv_range_request range = {.key = prefix, .end = kv_prefix_end(rq->a, prefix)};
    struct kv_range_result result;
    struct error err;
    if (kv_scan(rq->server->kv, &range, visit_slice, &s, rq->a, &result, &err) < 0) {
        *bad = status_from_error(rq->a, &err);
        return false;
    }
    if (!s.ip) {
        *bad =
            status_new(rq->a, 503, "ServiceUnavailable",
                       "no endpoints available for service \"%s\"", s.any ? rq->info.name : name);
        return false;
    }
    return set_target(rq, out, scheme, s.ip, arena_printf(rq->a, "%d", s.number), bad);
}

/* ---- nodes ---- */

static bool node_target(struct rest *rq, const char *scheme, const char *name, const char *port,
                        struct proxy_target *out, struct status **bad)
{
    int32_t agent_port;
    const char *host = node_host(rq, name, &agent_port, bad);
    if (!host)
        return false;
    const char *agent = arena_printf(rq->a, "%d", agent_port);
    if (*port && strcmp(port, agent) != 0) {
        if (!proxy_address_allowed(host)) {
            *bad = status_bad_request(rq->a, "address not allowed");
            return false;
        }
        return set_target(rq, out, scheme, host, port, bad);
    }
    if (!set_target(rq, out, "https", host, agent, bad))
        return false;
    out->tls = out->stream_tls = rq->server->node_stream_tls;
    return true;
}

bool proxy_target_find(struct rest *rq, struct proxy_target *out, struct status **bad)
{
    static const struct {
        const char *resource, *singular;
        bool (*find)(struct rest *rq, const char *scheme, const char *name, const char *port,
                     struct proxy_target *out, struct status **bad);
    } kinds[] = {{"pods", "pod", pod_target},
                 {"services", "service", service_target},
                 {"nodes", "node", node_target}};
    const char *scheme, *name, *port;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(rq->r->plural, kinds[i].resource) != 0)
            continue;
        if (proxy_name_split(rq->a, rq->info.name, &scheme, &name, &port))
            return kinds[i].find(rq, scheme, name, port, out, bad);
        *bad = status_bad_request(rq->a, "invalid %s request \"%s\"", kinds[i].singular,
                                  rq->info.name);
        return false;
    }
    *bad = status_path_not_found(rq->a);
    return false;
}
