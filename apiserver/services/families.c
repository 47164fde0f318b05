/*
 * IP families of services: see families.h.
 */
#include "apiserver/services/families.h"
#include "api/meta.h"
#include "base/arena_text.h"
#include "base/mem.h"

static const char single[] = "SingleStack", prefer[] = "PreferDualStack",
                  require[] = "RequireDualStack";

/* ---- what a service is ---- */

bool service_has_type(const Core__V1__Service *s, const char *type)
{
    return strcmp(*s->spec->type ? s->spec->type : "ClusterIP", type) == 0;
}

bool service_needs_ip(const Core__V1__Service *s)
{
    return !service_has_type(s, "ExternalName");
}

bool service_is_headless(const Core__V1__Service *s)
{
    return (s->spec->n_cluster_ips == 1 && cstr_eq(s->spec->cluster_ips[0], "None")) ||
           (!s->spec->n_cluster_ips && cstr_eq(s->spec->cluster_ip, "None"));
}

bool service_may_have_node_ports(const Core__V1__Service *s)
{
    return service_has_type(s, "NodePort") || service_has_type(s, "LoadBalancer");
}

bool service_needs_node_ports(const Core__V1__Service *s)
{
    return service_has_type(s, "NodePort") ||
           (service_has_type(s, "LoadBalancer") &&
            api_get(s->spec, allocate_load_balancer_node_ports, true));
}

bool service_needs_health_port(const Core__V1__Service *s)
{
    return service_has_type(s, "LoadBalancer") &&
           cstr_eq(s->spec->external_traffic_policy, "Local");
}

static bool externally_reached(const Core__V1__Service *s)
{
    return service_may_have_node_ports(s) ||
           (service_has_type(s, "ClusterIP") && s->spec->n_external_ips);
}

/* ---- comparisons ---- */

static bool same_strings(char *const *a, size_t na, char *const *b, size_t nb)
{
    if (na != nb)
        return false;
    for (size_t i = 0; i < na; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_ips(const Core__V1__ServiceSpec *a, const Core__V1__ServiceSpec *b)
{
    return same_strings(a->cluster_ips, a->n_cluster_ips, b->cluster_ips, b->n_cluster_ips);
}

static bool same_families(const Core__V1__ServiceSpec *a, const Core__V1__ServiceSpec *b)
{
    return same_strings(a->ip_families, a->n_ip_families, b->ip_families, b->n_ip_families);
}

static bool has_node_port(const Core__V1__ServiceSpec *s, int32_t port)
{
    for (size_t i = 0; i < s->n_ports; i++)
        if (s->ports[i]->node_port == port)
            return true;
    return false;
}

static bool same_node_ports(const Core__V1__ServiceSpec *a, const Core__V1__ServiceSpec *b)
{
    bool same = true;
    for (size_t i = 0; i < a->n_ports; i++)
        same &= has_node_port(b, a->ports[i]->node_port);
    for (size_t i = 0; i < b->n_ports; i++)
        same &= has_node_port(a, b->ports[i]->node_port);
    return same;
}

static bool policy_is(const Core__V1__ServiceSpec *s, const char *policy)
{
    return cstr_eq(s->ip_family_policy, policy);
}

/* ---- what the client left out ---- */

static void keep_ips(Core__V1__Service *s, const Core__V1__Service *old)
{
    Core__V1__ServiceSpec *n = s->spec, *o = old->spec;
    if (!service_needs_ip(s) || !service_needs_ip(old))
        return;
    if (!*n->cluster_ip)
        n->cluster_ip = o->cluster_ip;
    if (!n->n_cluster_ips && strcmp(n->cluster_ip, o->cluster_ip) == 0) {
        n->cluster_ips = o->cluster_ips;
        n->n_cluster_ips = o->n_cluster_ips;
    }
}

/* Ports are the same by name; a number that another port has now is not given twice. */
static void keep_node_ports(Core__V1__Service *s, const Core__V1__Service *old)
{
    Core__V1__ServiceSpec *n = s->spec, *o = old->spec;
    if (!service_needs_node_ports(s) || !service_needs_node_ports(old) ||
        n->n_ports > SERVICE_NODE_PORT_USERS_MAX) /* which will be refused */
        return;
    for (size_t i = 0; i < n->n_ports; i++)
        for (size_t k = 0; k < o->n_ports && !n->ports[i]->node_port; k++)
            if (cstr_eq(n->ports[i]->name, o->ports[k]->name) &&
                !has_node_port(n, o->ports[k]->node_port))
                n->ports[i]->node_port = o->ports[k]->node_port;
}

/* clusterIP and clusterIPs: clients that know only the first one change only that. */
static void sync_ips(struct arena *a, Core__V1__ServiceSpec *n, const Core__V1__ServiceSpec *o)
{
    bool single_only = *n->cluster_ip && !n->n_cluster_ips && !o;
    if (o && o->n_cluster_ips && !n->n_cluster_ips && strcmp(n->cluster_ip, o->cluster_ip) == 0) {
        n->cluster_ips = o->cluster_ips;
        n->n_cluster_ips = o->n_cluster_ips;
    }
    if (o && strcmp(n->cluster_ip, o->cluster_ip) != 0 && same_ips(n, o)) {
        n->n_cluster_ips = 0;
        single_only = *n->cluster_ip || !*o->cluster_ip;
    }
    if (single_only && *n->cluster_ip) {
        n->cluster_ips = NULL;
        n->n_cluster_ips = 0;
        api_append(a, n, cluster_ips, n->cluster_ip);
    }
}

/* ---- what the new type has no use for ---- */

static void drop_ips(Core__V1__Service *s, const Core__V1__Service *old)
{
    Core__V1__ServiceSpec *n = s->spec, *o = old->spec;
    if (!service_needs_ip(old) || service_needs_ip(s))
        return;
    if (same_ips(n, o) && cstr_eq(n->cluster_ip, o->cluster_ip)) {
        n->cluster_ip = (char *)"";
        n->n_cluster_ips = 0;
    }
    if (same_families(n, o))
        n->n_ip_families = 0;
    if (policy_is(n, o->ip_family_policy))
        n->ip_family_policy = NULL;
    if (cstr_eq(n->internal_traffic_policy, o->internal_traffic_policy))
        n->internal_traffic_policy = NULL;
}

static void drop_unused(Core__V1__Service *s, const Core__V1__Service *old)
{
    Core__V1__ServiceSpec *n = s->spec, *o = old->spec;
    drop_ips(s, old);
    if (service_needs_node_ports(old) && !service_needs_node_ports(s) && same_node_ports(n, o))
        for (size_t i = 0; i < n->n_ports; i++)
            n->ports[i]->node_port = 0;
    if (service_needs_health_port(old) && !service_needs_health_port(s) &&
        n->health_check_node_port == o->health_check_node_port)
        n->health_check_node_port = 0;
    if (service_has_type(old, "LoadBalancer") && !service_has_type(s, "LoadBalancer")) {
        if (n->has_allocate_load_balancer_node_ports && o->has_allocate_load_balancer_node_ports &&
            n->allocate_load_balancer_node_ports == o->allocate_load_balancer_node_ports)
            n->has_allocate_load_balancer_node_ports = 0;
        if (cstr_eq(n->load_balancer_class, o->load_balancer_class))
            n->load_balancer_class = NULL;
    }
    if (externally_reached(old) && !externally_reached(s) &&
        cstr_eq(n->external_traffic_policy, o->external_traffic_policy))
        n->external_traffic_policy = (char *)"";
}

void service_patch(struct arena *a, Core__V1__Service *s, const Core__V1__Service *old)
{
    if (!old) {
        sync_ips(a, s->spec, NULL);
        return;
    }
    keep_ips(s, old);
    keep_node_ports(s, old);
    if (service_needs_health_port(s) && service_needs_health_port(old) &&
        !s->spec->health_check_node_port)
        s->spec->health_check_node_port = old->spec->health_check_node_port;
    sync_ips(a, s->spec, old->spec);
    drop_unused(s, old);
}

/* ---- do the fields go together? ---- */

static const char *list_text(struct arena *a, char *const *items, size_t n)
{
    struct arena_text text = {.a = a};
    for (size_t i = 0; i < n; i++)
        arena_text_addf(&text, "%c%s", i ? ',' : '[', field_quote(a, items[i]));
    arena_text_add(&text, n ? "]" : "[]");
    return arena_text_of(&text);
}

static void bad_ips(struct field_errors *e, const Core__V1__ServiceSpec *s, const char *why)
{
    field_error_add(e, FIELD_INVALID, "spec.clusterIPs",
                    list_text(e->arena, s->cluster_ips, s->n_cluster_ips), "%s", why);
}

static void bad_policy(struct field_errors *e, const Core__V1__ServiceSpec *s, const char *why)
{
    field_error_add(e, FIELD_INVALID, "spec.ipFamilyPolicy",
                    field_quote(e->arena, s->ip_family_policy), "%s", why);
}

static const char *item(struct field_errors *e, const char *list, size_t i)
{
    return arena_printf(e->arena, "spec.%s[%zu]", list, i);
}

static void check_families(const Core__V1__ServiceSpec *s, struct field_errors *e)
{
    for (size_t i = 0; i < s->n_ip_families; i++) {
        const char *family = s->ip_families[i], *at = item(e, "ipFamilies", i);
        if (strcmp(family, "IPv4") != 0 && strcmp(family, "IPv6") != 0)
            field_error_add(e, FIELD_NOT_SUPPORTED, at, field_quote(e->arena, family), "%s",
                            "supported values: \"IPv4\", \"IPv6\"");
        else if (i && strcmp(family, s->ip_families[0]) == 0)
            field_error_add(e, FIELD_DUPLICATE, at, field_quote(e->arena, family), "%s", "");
    }
    if (s->ip_family_policy && !policy_is(s, single) && !policy_is(s, prefer) &&
        !policy_is(s, require))
        field_error_add(
            e, FIELD_NOT_SUPPORTED, "spec.ipFamilyPolicy",
            field_quote(e->arena, s->ip_family_policy), "%s",
            "supported values: \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"");
}

/* Are they addresses (or only None)? */
static bool check_ips(const Core__V1__ServiceSpec *s, struct field_errors *e)
{
    bool good = true;
    for (size_t i = 0; i < s->n_cluster_ips; i++) {
        struct ip_address ip;
        if (i == 0 && strcmp(s->cluster_ips[0], "None") == 0) {
            if (s->n_cluster_ips > 1) {
                bad_ips(e, s, "'None' must be the first and only value");
                good = false;
            }
            continue;
        }
        if (ip_address_parse(s->cluster_ips[i], &ip))
            continue;
        field_error_add(e, FIELD_INVALID, item(e, "clusterIPs", i),
                        field_quote(e->arena, s->cluster_ips[i]), "%s",
                        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        good = false;
    }
    if (s->n_cluster_ips > 2)
        bad_ips(e, s, "may only hold up to 2 values");
    return good;
}

static bool is_v6(const char *ip)
{
    struct ip_address a;
    return ip_address_parse(ip, &a) && a.v6;
}

/* Each address is of the family named for it. */
static void check_ips_and_families(const Core__V1__Service *service, struct field_errors *e)
{
    const Core__V1__ServiceSpec *s = service->spec;
    if (s->n_cluster_ips == 2 && is_v6(s->cluster_ips[0]) == is_v6(s->cluster_ips[1]))
        bad_ips(e, s, "may specify no more than one IP for each IP family");
    if (service_is_headless(service))
        return;
    for (size_t i = 0; i < s->n_cluster_ips && i < s->n_ip_families; i++) {
        bool v6 = strcmp(s->ip_families[i], "IPv6") == 0;
        if (is_v6(s->cluster_ips[i]) != v6)
            field_error_add(e, FIELD_INVALID, item(e, "clusterIPs", i),
                            field_quote(e->arena, s->cluster_ips[i]),
                            "expected an %s value as indicated by `ipFamilies[%zu]`", ip_family(v6),
                            i);
    }
}

static void check_fields(const Core__V1__Service *service, struct field_errors *e)
{
    const Core__V1__ServiceSpec *s = service->spec;
    if (*s->cluster_ip && !s->n_cluster_ips)
        field_error_add(e, FIELD_REQUIRED, "spec.clusterIPs", NULL, "%s", "");
    else if (*s->cluster_ip && strcmp(s->cluster_ips[0], s->cluster_ip) != 0)
        bad_ips(e, s, "first value must match `clusterIP`");
    else if (!*s->cluster_ip && s->n_cluster_ips)
        bad_ips(e, s, "must be empty when `clusterIP` is not specified");
    check_families(s, e);
    if (check_ips(s, e))
        check_ips_and_families(service, e);
}

/* ---- the families a service has ---- */

/* A PreferDualStack service is not changed only because the cluster now has a second family, or lost it. */
static bool keeps_preference(const Core__V1__Service *s, const Core__V1__Service *old)
{
    return old && service_needs_ip(old) && policy_is(s->spec, prefer) &&
           policy_is(old->spec, prefer) && same_ips(s->spec, old->spec) &&
           same_families(s->spec, old->spec);
}

static void choose_policy(Core__V1__Service *s, const Core__V1__Service *old)
{
    if (s->spec->ip_family_policy)
        return;
    if (old && old->spec->ip_family_policy)
        s->spec->ip_family_policy = old->spec->ip_family_policy;
    else if (service_is_headless(s) && !s->spec->n_selector)
        s->spec->ip_family_policy = (char *)require;
    else
        s->spec->ip_family_policy = (char *)single;
}

/* From two families to one takes the word of whoever wants it. */
static void check_reduction(Core__V1__ServiceSpec *n, const Core__V1__ServiceSpec *o,
                            struct field_errors *e)
{
    if (policy_is(n, single)) {
        if (same_ips(n, o) && n->n_cluster_ips > 1)
            n->n_cluster_ips = 1;
        if (same_families(n, o) && n->n_ip_families > 1)
            n->n_ip_families = 1;
        return;
    }
    if (o->n_cluster_ips == 2 && n->n_cluster_ips == 1 &&
        strcmp(n->cluster_ips[0], o->cluster_ips[0]) == 0)
        bad_policy(e, n, "must be 'SingleStack' to release the secondary cluster IP");
    if (o->n_ip_families == 2 && n->n_ip_families == 1 &&
        strcmp(n->ip_families[0], o->ip_families[0]) == 0)
        bad_policy(e, n, "must be 'SingleStack' to release the secondary IP family");
}

static void add_family(struct arena *a, Core__V1__ServiceSpec *s, bool v6)
{
    char **grown = arena_array(a, char *, s->n_ip_families + 1);
    for (size_t i = 0; i < s->n_ip_families; i++)
        grown[i] = s->ip_families[i];
    grown[s->n_ip_families++] = (char *)ip_family(v6);
    s->ip_families = grown;
}

static void infer_families(const struct service_net *net, Core__V1__ServiceSpec *s,
                           struct field_errors *e)
{
    for (size_t i = s->n_ip_families; i < s->n_cluster_ips; i++) {
        bool v6 = is_v6(s->cluster_ips[i]);
        if (strcmp(s->cluster_ips[i], "None") == 0)
            return;
        if (service_net_has(net, v6))
            add_family(e->arena, s, v6);
        else
            field_error_add(e, FIELD_INVALID, item(e, "clusterIPs", i),
                            list_text(e->arena, s->cluster_ips, s->n_cluster_ips),
                            "%s is not configured on this cluster", ip_family(v6));
    }
}

static void check_configured(const struct service_net *net, const Core__V1__ServiceSpec *s,
                             struct field_errors *e)
{
    if (policy_is(s, require) && net->ranges_len < 2)
        bad_policy(e, s, "this cluster is not configured for dual-stack services");
    for (size_t i = 0; i < s->n_ip_families; i++)
        if (!service_net_has(net, strcmp(s->ip_families[i], "IPv6") == 0))
            field_error_add(e, FIELD_INVALID, item(e, "ipFamilies", i),
                            field_quote(e->arena, s->ip_families[i]), "%s",
                            "not configured on this cluster");
}

void service_init_families(const struct service_net *net, Core__V1__Service *s,
                           const Core__V1__Service *old, struct field_errors *e)
{
    Core__V1__ServiceSpec *spec = s->spec;
    if (!service_needs_ip(s) || keeps_preference(s, old))
        return;
    choose_policy(s, old);
    check_fields(s, e);
    if (e->len)
        return;
    if (old)
        check_reduction(spec, old->spec, e);
    if (policy_is(spec, single) && spec->n_cluster_ips == 2)
        bad_policy(e, spec,
                   "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are "
                   "specified");
    if (policy_is(spec, single) && spec->n_ip_families == 2)
        bad_policy(e, spec,
                   "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are "
                   "specified");
    infer_families(net, spec, e);
    /* Endpoints of a headless service without selector are somebody else's: any family will do. */
    bool free = service_is_headless(s) && !spec->n_selector;
    if (!free && !e->len)
        check_configured(net, spec, e);
    if (e->len)
        return;
    if (!spec->n_ip_families)
        add_family(e->arena, spec, net->ranges[0].base.v6);
    if (spec->n_ip_families == 1 && !policy_is(spec, single) && (free || net->ranges_len == 2))
        add_family(e->arena, spec, strcmp(spec->ip_families[0], "IPv4") == 0);
}
