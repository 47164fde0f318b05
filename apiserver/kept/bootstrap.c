/*
 * Bootstrap objects: see bootstrap.h.
 */
#include "apiserver/kept/bootstrap.h"
#include "api/defaults/defaults.h"
#include "api/meta.h"
#include "api/codec.h"
#include "apiserver/kept/kept_objects.h"
#include "apiserver/kept/kept_write.h"
#include "apiserver/services/cidrs.h"
#include "apiserver/services/upkeep.h"
#include "base/mem.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"
#include <stdlib.h>

/* ---- the objects ---- */

static int create_namespaces(struct apiserver *s, struct arena *a, struct error *err)
{
    static const char *const names[] = {"kube-system", "kube-public", "kube-node-lease", "default"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Core__V1__Namespace *ns = api_new(a, Core__V1__Namespace);
        ns->metadata->name = (char *)names[i];
        labels_set(a, ns->metadata, "kubernetes.io/metadata.name", names[i]);
        api_append(a, ns->spec, finalizers, (char *)"kubernetes");
        ns->status->phase = (char *)"Active";
        if (kept_create(s, a, ns, err) < 0)
            return error_wrap(err, "namespace %s", names[i]);
    }
    return 0;
}

static int create_priority_classes(struct apiserver *s, struct arena *a, struct error *err)
{
    static const struct {
        const char *name;
        int32_t value;
        const char *description;
    } classes[] = {
        {"system-cluster-critical", 2000000000,
         "Used for system critical pods that must run in the cluster, but can be moved to another "
         "node if necessary."},
        {"system-node-critical", 2000001000,
         "Used for system critical pods that must not be moved from their current node."},
    };
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        Scheduling__V1__PriorityClass *c = api_new(a, Scheduling__V1__PriorityClass);
        c->metadata->name = (char *)classes[i].name;
        c->metadata->generation = 1;
        c->value = classes[i].value;
        c->description = (char *)classes[i].description;
        c->preemption_policy = (char *)"PreemptLowerPriority";
        if (kept_create(s, a, c, err) < 0)
            return error_wrap(err, "priority class %s", classes[i].name);
    }
    return 0;
}

static Core__V1__Service *service_object(struct apiserver *s, struct arena *a, const char *ip)
{
    Core__V1__Service *o = api_new(a, Core__V1__Service);
    o->metadata->name = (char *)"kubernetes";
    o->metadata->namespace_ = (char *)"default";
    labels_set(a, o->metadata, "component", "apiserver");
    labels_set(a, o->metadata, "provider", "kubernetes");
    Core__V1__ServicePort *port = api_new(a, Core__V1__ServicePort);
    port->name = (char *)"https";
    port->protocol = (char *)"TCP";
    port->port = 443;
    port->target_port = int_or_string_int(a, apiserver_port(s));
    api_append(a, o->spec, ports, port);
    o->spec->type = (char *)"ClusterIP";
    o->spec->cluster_ip = (char *)ip;
    api_append(a, o->spec, cluster_ips, (char *)ip);
    api_append(a, o->spec, ip_families, (char *)ip_family(strchr(ip, ':')));
    o->spec->ip_family_policy = (char *)"SingleStack";
    defaults_apply(a, o);
    kept_stamp(a, o);
    return o;
}

static int create_service(struct apiserver *s, struct arena *a, struct error *err)
{
    char first[INET6_ADDRSTRLEN];
    ip_range_first(&s->service_net->ranges[0], first);
    const char *ip = arena_strdup(a, first);
    Core__V1__Service *service = service_object(s, a, ip);
    struct str keys[2] = {kept_key(a, service), service_ip_key(a, ip)};
    if (kept_exists(s, a, keys[0]))
        return 0;
    struct str values[2] = {kept_encode(a, service),
                            service_ip_object(a, ip, "default", "kubernetes")};
    int rc = kept_put_absent(s, keys, values, 2, err);
    if (rc == ERR_EXISTS && !kept_exists(s, a, keys[0])) {
        /* Left over from when the service was deleted? Then it is free the next time. */
        struct service_repairs repairs;
        rc = service_repair(s, &repairs, err);
        return rc < 0 ? rc
               : repairs.leaked
                   ? error_set(err, ERR_CONFLICT, "address %s is being freed", ip)
                   : error_set(err, ERR_EXISTS, "address %s of service kubernetes is taken", ip);
    }
    return rc == ERR_EXISTS ? 0 : rc;
}

static int create_service_cidr(struct apiserver *s, struct arena *a, struct error *err)
{
    Networking__V1__ServiceCIDR *o = api_new(a, Networking__V1__ServiceCIDR);
    char text[INET6_ADDRSTRLEN + 4];
    o->metadata->name = (char *)"kubernetes";
    o->metadata->generation = 1;
    api_append(a, o->metadata, finalizers, (char *)SERVICE_CIDR_FINALIZER);
    for (size_t i = 0; i < s->service_net->ranges_len; i++) {
        ip_range_format(&s->service_net->ranges[i], text);
        api_append(a, o->spec, cidrs, arena_strdup(a, text));
    }
    void *old;
    int64_t mod_rev;
    int rc = kept_load(s, a, kept_key(a, o), &old, &mod_rev, err);
    const Networking__V1__ServiceCIDR *now = rc > 0 ? old : NULL;
    if (rc == 0)
        return kept_create(s, a, o, err);
    /* From one family to two the flags are followed; anything else is for people to change. */
    if (rc > 0 && now->spec->n_cidrs == 1 && o->spec->n_cidrs == 2 &&
        strcmp(now->spec->cidrs[0], o->spec->cidrs[0]) == 0)
        return kept_unless_conflict(kept_converge_spec(s, a, o, err));
    return MIN(rc, 0);
}

static int write_objects(struct apiserver *s, struct arena *a, bool first, struct error *err)
{
    int rc = create_namespaces(s, a, err);
    if (rc == 0 && first)
        rc = bootstrap_rbac(s, a, err);
    if (rc == 0)
        rc = create_priority_classes(s, a, err);
    if (rc == 0)
        rc = create_service_cidr(s, a, err);
    return rc == 0 ? kept_objects(s, a, err) : rc;
}

int bootstrap_objects(struct apiserver *s, bool first, struct error *err)
{
    struct arena a;
    struct error written = {0};
    arena_init(&a);
    if (first)
        kept_gather_begin(s);
    int rc = write_objects(s, &a, first, err);
    if (first && kept_gather_end(s, &written) < 0 && rc == 0) {
        *err = written;
        rc = written.code;
    }
    if (rc == 0)
        rc = create_service(s, &a, err);
    arena_free(&a);
    return rc;
}

/* ---- endpoints of the members ---- */

static Core__V1__Endpoints *endpoints_object(struct arena *a, const char *const *ips, size_t n,
                                             int port)
{
    Core__V1__Endpoints *e = api_new(a, Core__V1__Endpoints);
    e->metadata->name = (char *)"kubernetes";
    e->metadata->namespace_ = (char *)"default";
    labels_set(a, e->metadata, "endpointslice.kubernetes.io/skip-mirror", "true");
    Core__V1__EndpointSubset *subset = api_new(a, Core__V1__EndpointSubset);
    for (size_t i = 0; i < n; i++) {
        Core__V1__EndpointAddress *address = api_new(a, Core__V1__EndpointAddress);
        address->ip = (char *)ips[i];
        api_append(a, subset, addresses, address);
    }
    Core__V1__EndpointPort *p = api_new(a, Core__V1__EndpointPort);
    p->name = (char *)"https";
    p->port = port;
    p->protocol = (char *)"TCP";
    api_append(a, subset, ports, p);
    if (n)
        api_append(a, e, subsets, subset);
    return e;
}

static Discovery__V1__EndpointSlice *slice_object(struct arena *a, const char *const *ips, size_t n,
                                                  int port)
{
    Discovery__V1__EndpointSlice *e = api_new(a, Discovery__V1__EndpointSlice);
    e->metadata->name = (char *)"kubernetes";
    e->metadata->namespace_ = (char *)"default";
    labels_set(a, e->metadata, "kubernetes.io/service-name", "kubernetes");
    e->address_type = (char *)ip_family(n && strchr(ips[0], ':'));
    for (size_t i = 0; i < n; i++) {
        Discovery__V1__Endpoint *endpoint = api_new(a, Discovery__V1__Endpoint);
        api_append(a, endpoint, addresses, (char *)ips[i]);
        if (!endpoint->conditions)
            endpoint->conditions = api_new(a, Discovery__V1__EndpointConditions);
        api_set(endpoint->conditions, ready, 1);
        api_append(a, e, endpoints, endpoint);
    }
    Discovery__V1__EndpointPort *p = api_new(a, Discovery__V1__EndpointPort);
    p->name = (char *)"https";
    p->protocol = (char *)"TCP";
    api_set(p, port, port);
    api_append(a, e, ports, p);
    return e;
}

int bootstrap_endpoints(struct apiserver *s, struct arena *a, const char *const *ips,
                        size_t ips_len, struct error *err)
{
    int port = apiserver_port(s);
    int rc = kept_converge(s, a, endpoints_object(a, ips, ips_len, port), err);
    if (rc == 0 || rc == ERR_CONFLICT)
        rc = kept_converge(s, a, slice_object(a, ips, ips_len, port), err);
    return rc;
}
