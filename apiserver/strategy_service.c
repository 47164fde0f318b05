/*
 * Services: cluster IPs and node ports, claimed and released in the transaction that writes the service
 * (allocator.h).
 */
#include "api/meta.h"
#include "apiserver/allocator.h"
#include "apiserver/strategy.h"
#include "base/random.h"
#include "proto/core_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"

#define PORTS_MAX 16 /* node ports a service may have; more are refused */

static bool has_type(const Core__V1__Service *s, const char *type)
{
    return strcmp(s->spec->type, type) == 0;
}

static bool wants_ip(const Core__V1__Service *s)
{
    return !has_type(s, "ExternalName") && strcmp(s->spec->cluster_ip, "None") != 0;
}

static bool wants_node_ports(const Core__V1__Service *s)
{
    return has_type(s, "NodePort") || (has_type(s, "LoadBalancer") &&
                                       api_get(s->spec, allocate_load_balancer_node_ports, true));
}

/* ---- before validation: what clients leave out stays as it was ---- */

static void normalise(struct arena *a, Core__V1__ServiceSpec *spec)
{
    if (!*spec->cluster_ip && spec->n_cluster_ips)
        spec->cluster_ip = spec->cluster_ips[0];
    if (*spec->cluster_ip && !spec->n_cluster_ips)
        api_append(a, spec, cluster_ips, spec->cluster_ip);
}

static void prepare_create(struct write *w, void *obj)
{
    normalise(w->rq->a, ((Core__V1__Service *)obj)->spec);
}

static const Core__V1__ServicePort *same_port(const Core__V1__ServiceSpec *spec,
                                              const Core__V1__ServicePort *p)
{
    for (size_t i = 0; i < spec->n_ports; i++)
        if (spec->ports[i]->port == p->port &&
            cstr_eq(spec->ports[i]->protocol, *p->protocol ? p->protocol : "TCP"))
            return spec->ports[i];
    return NULL;
}

static void prepare_update(struct write *w, void *obj, const void *old)
{
    Core__V1__Service *s = obj;
    const Core__V1__Service *o = old;
    const char *type = *s->spec->type ? s->spec->type : "ClusterIP";
    normalise(w->rq->a, s->spec);
    if (strcmp(type, "ExternalName") == 0) {
        /* From a type with addresses: they go. */
        if (cstr_eq(s->spec->cluster_ip, o->spec->cluster_ip)) {
            s->spec->cluster_ip = (char *)"";
            s->spec->n_cluster_ips = s->spec->n_ip_families = 0;
            s->spec->ip_family_policy = NULL;
        }
        return;
    }
    if (!*s->spec->cluster_ip && !has_type(o, "ExternalName")) {
        s->spec->cluster_ip = o->spec->cluster_ip;
        s->spec->cluster_ips = o->spec->cluster_ips;
        s->spec->n_cluster_ips = o->spec->n_cluster_ips;
    }
    if (!s->spec->n_ip_families) {
        s->spec->ip_families = o->spec->ip_families;
        s->spec->n_ip_families = o->spec->n_ip_families;
    }
    if (!s->spec->ip_family_policy)
        s->spec->ip_family_policy = o->spec->ip_family_policy;
    bool ports = strcmp(type, "NodePort") == 0 || strcmp(type, "LoadBalancer") == 0;
    for (size_t i = 0; i < s->spec->n_ports; i++) {
        const Core__V1__ServicePort *before = same_port(o->spec, s->spec->ports[i]);
        if (ports && !s->spec->ports[i]->node_port && before)
            s->spec->ports[i]->node_port = before->node_port;
        if (!ports && before && s->spec->ports[i]->node_port == before->node_port)
            s->spec->ports[i]->node_port = 0;
    }
}

/* ---- claims ---- */

static struct str ip_key(struct arena *a, const char *ip)
{
    return str_from(arena_printf(a, "/registry/ipaddresses/%s", ip));
}

static struct str port_key(struct arena *a, int32_t port)
{
    return str_from(arena_printf(a, "/registry/c8s/nodeports/%d", port));
}

static bool taken(struct write *w, struct str key)
{
    struct kv_pair pair;
    struct error err;
    return rest_read(w->rq, key, &pair, &err) != 0;
}

static struct str ip_object(struct write *w, const char *ip)
{
    struct arena *a = w->rq->a;
    Networking__V1__IPAddress *o = api_new(a, Networking__V1__IPAddress);
    char uid[37];
    random_uuid(uid);
    o->metadata->name = (char *)ip;
    o->metadata->uid = arena_strdup(a, uid);
    o->metadata->creation_timestamp = time_now(a);
    o->metadata->generation = 1;
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/ip-family", "IPv4");
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
    o->spec->parent_ref = api_new(a, Networking__V1__ParentReference);
    o->spec->parent_ref->resource = (char *)"services";
    o->spec->parent_ref->namespace_ = (char *)w->ns;
    o->spec->parent_ref->name = (char *)w->name;
    struct buf b;
    buf_init(&b);
    stored_encode(o, &b);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}

static struct status *invalid(struct write *w, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static struct status *invalid(struct write *w, const char *field, const char *format, ...)
{
    struct arena *a = w->rq->a;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct status *s = status_invalid(a, &about);
    va_list args;
    va_start(args, format);
    status_cause_add(a, s, "FieldValueInvalid", field, "%s", arena_vprintf(a, format, args));
    va_end(args);
    status_invalid_finish(a, s);
    return s;
}

static struct status *claim_ip(struct write *w, Core__V1__ServiceSpec *spec)
{
    struct arena *a = w->rq->a;
    const struct service_net *net = w->rq->server->service_net;
    char ip[INET_ADDRSTRLEN];
    if (*spec->cluster_ip) {
        if (!service_net_contains(net, spec->cluster_ip))
            return invalid(w, "spec.clusterIPs",
                           "Invalid value: [\"%s\"]: failed to allocate IP %s: the provided IP "
                           "(%s) is not in the valid "
                           "range. The range of valid IPs is %s",
                           spec->cluster_ip, spec->cluster_ip, spec->cluster_ip,
                           w->rq->server->config.service_cidr);
        if (taken(w, ip_key(a, spec->cluster_ip)))
            return invalid(w, "spec.clusterIPs",
                           "Invalid value: [\"%s\"]: failed to allocate IP %s: provided IP is "
                           "already allocated",
                           spec->cluster_ip, spec->cluster_ip);
    } else {
        uint64_t seed = random_u64() >> 1;
        uint32_t i = 0;
        do {
            if (!service_net_candidate(net, seed, i++, ip))
                return status_internal(a, "failed to allocate a serviceIP: range is full");
        } while (taken(w, ip_key(a, ip)));
        spec->cluster_ip = arena_strdup(a, ip);
    }
    spec->n_cluster_ips = 0;
    api_append(a, spec, cluster_ips, spec->cluster_ip);
    write_extra_create(w, ip_key(a, spec->cluster_ip), ip_object(w, spec->cluster_ip));
    return NULL;
}

/* The node ports of a service, each once (one number may serve TCP and UDP). */
static size_t node_ports(const Core__V1__Service *s, int32_t out[PORTS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; s && i < s->spec->n_ports && n < PORTS_MAX; i++) {
        int32_t port = s->spec->ports[i]->node_port;
        bool seen = port == 0;
        for (size_t k = 0; k < n; k++)
            seen |= out[k] == port;
        if (!seen)
            out[n++] = port;
    }
    return n;
}

static bool in_ports(const int32_t *ports, size_t n, int32_t port)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i] == port)
            return true;
    return false;
}

/* Give every port that lacks one a node port that is free and not used by the service itself. */
static struct status *choose_ports(struct write *w, Core__V1__Service *s)
{
    const struct service_net *net = w->rq->server->service_net;
    for (size_t i = 0; i < s->spec->n_ports; i++) {
        int32_t own[PORTS_MAX];
        if (s->spec->ports[i]->node_port)
            continue;
        size_t n = node_ports(s, own);
        uint64_t seed = random_u64() >> 1;
        uint32_t k = 0;
        int32_t port;
        do {
            if (!service_port_candidate(net, seed, k++, &port))
                return status_internal(w->rq->a, "failed to allocate a nodePort: range is full");
        } while (in_ports(own, n, port) || taken(w, port_key(w->rq->a, port)));
        s->spec->ports[i]->node_port = port;
    }
    return NULL;
}

static struct status *claim_ports(struct write *w, Core__V1__Service *s,
                                  const Core__V1__Service *old)
{
    const struct service_net *net = w->rq->server->service_net;
    int32_t before[PORTS_MAX], now[PORTS_MAX];
    struct status *st = NULL;
    if (s->spec->n_ports > PORTS_MAX && wants_node_ports(s))
        return invalid(w, "spec.ports", "Too many: %zu: must have at most %d items",
                       s->spec->n_ports, PORTS_MAX);
    size_t n_before = node_ports(old, before);
    if (wants_node_ports(s) && (st = choose_ports(w, s)))
        return st;
    size_t n_now = node_ports(s, now);
    for (size_t i = 0; i < n_now; i++) {
        if (in_ports(before, n_before, now[i]))
            continue;
        if (!service_port_contains(net, now[i]))
            return invalid(w, "spec.ports[0].nodePort",
                           "Invalid value: %d: provided port is not in the valid range. The range "
                           "of valid ports is %u-%u",
                           now[i], net->port_min, net->port_max);
        if (taken(w, port_key(w->rq->a, now[i])))
            return invalid(w, "spec.ports[0].nodePort",
                           "Invalid value: %d: provided port is already allocated", now[i]);
        write_extra_create(w, port_key(w->rq->a, now[i]),
                           str_from(arena_printf(w->rq->a, "%s/%s", w->ns, w->name)));
    }
    for (size_t i = 0; i < n_before; i++)
        if (!in_ports(now, n_now, before[i]))
            write_extra_delete(w, port_key(w->rq->a, before[i]));
    return NULL;
}

static void release_all(struct write *w, const Core__V1__Service *old)
{
    int32_t ports[PORTS_MAX];
    size_t n = node_ports(old, ports);
    if (wants_ip(old) && *old->spec->cluster_ip)
        write_extra_delete(w, ip_key(w->rq->a, old->spec->cluster_ip));
    for (size_t i = 0; i < n; i++)
        write_extra_delete(w, port_key(w->rq->a, ports[i]));
}

static struct status *claim(struct write *w, void *obj, const void *old)
{
    Core__V1__Service *s = obj;
    const Core__V1__Service *o = old;
    struct arena *a = w->rq->a;
    if (!s) {
        release_all(w, o);
        return NULL;
    }
    if (!has_type(s, "ExternalName")) {
        if (!s->spec->n_ip_families)
            api_append(a, s->spec, ip_families, (char *)"IPv4");
        if (!s->spec->ip_family_policy)
            s->spec->ip_family_policy = (char *)"SingleStack";
    }
    bool had = o && wants_ip(o) && *o->spec->cluster_ip;
    bool keeps = had && wants_ip(s) && cstr_eq(s->spec->cluster_ip, o->spec->cluster_ip);
    if (had && !keeps)
        write_extra_delete(w, ip_key(a, o->spec->cluster_ip));
    if (wants_ip(s) && !keeps) {
        struct status *st = claim_ip(w, s->spec);
        if (st)
            return st;
    }
    return claim_ports(w, s, o);
}

const struct strategy strategy_service = {
    .message = Core__V1__Service__SCHEMA,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .claim = claim,
};
