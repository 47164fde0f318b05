/*
 * Services: cluster IPs and node ports, claimed and released in the transaction that writes the service
 * (allocator.h); which they are to have, apiserver/services/families.c says.
 */
#include "api/meta.h"
#include "apiserver/services/cidrs.h"
#include "apiserver/services/families.h"
#include "apiserver/strategy/strategy.h"
#include "base/arena_text.h"
#include "base/random.h"

#define PORTS_MAX SERVICE_NODE_PORTS_MAX
static_assert(2 * PORTS_MAX + 2 * SERVICE_RANGES_MAX <= WRITE_EXTRAS_MAX,
              "all of a service's ports and addresses can change at once");

/* What follows from clusterIP has no owner. */
static void complete_create(struct write *w, void *obj)
{
    service_patch(w->rq->a, obj, NULL);
}

static void prepare_update(struct write *w, void *obj, const void *old)
{
    service_patch(w->rq->a, obj, old);
}

static struct status *admit(struct write *w, void *obj, const void *old)
{
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct field_errors e = {.arena = w->rq->a};
    service_init_families(w->rq->server->service_net, obj, old, &e);
    return e.len ? status_invalid_fields(w->rq->a, &about, &e) : NULL;
}

/* ---- claims ---- */

static bool taken(struct write *w, struct str key)
{
    struct kv_pair pair;
    struct error err;
    return rest_read(w->rq, key, &pair, &err) != 0;
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

/* ---- cluster IPs ---- */

/* Everything a claim of addresses looks at. */
struct ip_claim {
    struct write *w;
    Core__V1__ServiceSpec *spec;
    struct service_cidrs cidrs;
    const char *before[SERVICE_RANGES_MAX], *now[SERVICE_RANGES_MAX];
    size_t before_len, now_len;
};

/* The canonical text of an address: the name of its object. */
static const char *canonical(struct arena *a, const char *ip)
{
    struct ip_address address;
    char text[INET6_ADDRSTRLEN];
    if (!ip_address_parse(ip, &address))
        return ip;
    ip_address_format(&address, text);
    return arena_strdup(a, text);
}

static bool among(const char *const *list, size_t n, const char *ip)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], ip) == 0)
            return true;
    return false;
}

/* The address is the service's if the transaction finds it free, and its range unchanged. */
static void take_ip(struct ip_claim *c, const struct service_cidr *from, const char *ip)
{
    struct write *w = c->w;
    write_extra_unchanged(w, from->key, from->mod_rev);
    write_extra_create(w, service_ip_key(w->rq->a, ip),
                       service_ip_object(w->rq->a, ip, w->ns, w->name));
}

static const char *all_ips(struct ip_claim *c)
{
    struct arena_text text = {.a = c->w->rq->a};
    for (size_t i = 0; i < c->spec->n_cluster_ips; i++)
        arena_text_addf(&text, "%s\"%s\"", i ? "," : "", c->spec->cluster_ips[i]);
    return arena_text_of(&text);
}

static struct status *claim_named_ip(struct ip_claim *c, const char *ip)
{
    struct ip_address address;
    const char *why = NULL;
    char range[INET6_ADDRSTRLEN + 4];
    const struct service_cidr *from =
        ip_address_parse(ip, &address) ? service_cidrs_find(&c->cidrs, &address) : NULL;
    if (!from) {
        why = "the provided network does not match the current range";
    } else if (!ip_range_usable(&from->range, &address)) {
        ip_range_format(&from->range, range);
        why = arena_printf(c->w->rq->a,
                           "the provided IP (%s) is not in the valid range. The range of valid IPs "
                           "is %s",
                           ip, range);
    } else if (taken(c->w, service_ip_key(c->w->rq->a, ip))) {
        why = "provided IP is already allocated";
    }
    if (why)
        return invalid(c->w, "spec.clusterIPs", "Invalid value: [%s]: failed to allocate IP %s: %s",
                       all_ips(c), ip, why);
    take_ip(c, from, ip);
    return NULL;
}

static struct status *claim_any_ip(struct ip_claim *c, bool v6, const char **ip)
{
    struct arena *a = c->w->rq->a;
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < c->cidrs.len; i++) {
        const struct service_cidr *from = &c->cidrs.items[i];
        uint64_t seed = random_u64() >> 1;
        if (!from->usable || from->range.base.v6 != v6)
            continue;
        for (uint64_t k = 0; ip_range_candidate(&from->range, seed, k, text); k++) {
            if (taken(c->w, service_ip_key(a, text)))
                continue;
            *ip = arena_strdup(a, text);
            take_ip(c, from, *ip);
            return NULL;
        }
    }
    return status_internal(a, "failed to allocate a serviceIP: range is full");
}

/* What was asked for stays as it is written ("FD00::1"): who puts it back as it was changes nothing. */
static void set_ips(struct ip_claim *c)
{
    Core__V1__ServiceSpec *spec = c->spec;
    char **asked = spec->cluster_ips;
    size_t n = spec->n_cluster_ips;
    spec->cluster_ips = NULL;
    spec->n_cluster_ips = 0;
    for (size_t i = 0; i < c->now_len; i++)
        api_append(c->w->rq->a, spec, cluster_ips, i < n ? asked[i] : (char *)c->now[i]);
    spec->cluster_ip = c->now_len ? spec->cluster_ips[0] : (char *)"";
}

static void release_ips(struct ip_claim *c)
{
    for (size_t i = 0; i < c->before_len; i++)
        if (!among(c->now, c->now_len, c->before[i]))
            write_extra_delete(c->w, service_ip_key(c->w->rq->a, c->before[i]));
}

static void list_ips(struct arena *a, const Core__V1__Service *s, const char **out, size_t *n)
{
    *n = 0;
    if (!s || !service_needs_ip(s) || service_is_headless(s))
        return;
    for (size_t i = 0; i < s->spec->n_cluster_ips && *n < SERVICE_RANGES_MAX; i++)
        out[(*n)++] = canonical(a, s->spec->cluster_ips[i]);
    if (!*n && *s->spec->cluster_ip)
        out[(*n)++] = canonical(a, s->spec->cluster_ip);
}

/* An address for each of the service's families: what it has, what it asks for, or any. */
static struct status *claim_ips(struct write *w, Core__V1__Service *s, const Core__V1__Service *old)
{
    struct arena *a = w->rq->a;
    struct ip_claim c = {.w = w, .spec = s ? s->spec : NULL};
    struct error err;
    list_ips(a, old, c.before, &c.before_len);
    list_ips(a, s, c.now, &c.now_len);
    bool wanted = s && service_needs_ip(s) && !service_is_headless(s);
    size_t families = wanted ? MIN(s->spec->n_ip_families, (size_t)SERVICE_RANGES_MAX) : 0;
    if (families && service_cidrs_load(w->rq->server->kv, a, &c.cidrs, &err) < 0)
        return status_from_error(a, &err);
    for (size_t i = 0; i < families; i++) {
        struct status *st = NULL;
        if (i >= c.now_len) {
            bool v6 = strcmp(s->spec->ip_families[i], "IPv6") == 0;
            st = claim_any_ip(&c, v6, &c.now[c.now_len]);
            c.now_len += !st;
        } else if (!among(c.before, c.before_len, c.now[i])) {
            st = claim_named_ip(&c, c.now[i]);
        }
        if (st)
            return st;
    }
    if (wanted)
        set_ips(&c);
    release_ips(&c);
    return NULL;
}

/* ---- node ports ---- */

struct ports {
    int32_t items[PORTS_MAX + 1];
    size_t len;
};

static bool has_port(const struct ports *p, int32_t port)
{
    for (size_t i = 0; i < p->len; i++)
        if (p->items[i] == port)
            return true;
    return false;
}

static void add_port(struct ports *p, int32_t port)
{
    if (port && !has_port(p, port) && p->len <= PORTS_MAX)
        p->items[p->len++] = port;
}

/* The node ports of a service, each once (one number may serve TCP and UDP). */
static void list_ports(const Core__V1__Service *s, struct ports *out)
{
    out->len = 0;
    if (!s || !service_may_have_node_ports(s))
        return;
    for (size_t i = 0; i < s->spec->n_ports; i++)
        add_port(out, s->spec->ports[i]->node_port);
    if (service_needs_health_port(s))
        add_port(out, s->spec->health_check_node_port);
}

/* A free port, not one of `own` either; 0: there is none. */
static int32_t free_port(struct write *w, const struct ports *own)
{
    uint64_t seed = random_u64() >> 1;
    int32_t port;
    for (uint32_t i = 0; service_port_candidate(w->rq->server->service_net, seed, i, &port); i++)
        if (!has_port(own, port) && !taken(w, service_port_key(w->rq->a, port)))
            return port;
    return 0;
}

/* On creation, ports of one number (TCP and UDP) share a node port. */
static int32_t shared_port(const Core__V1__ServiceSpec *spec, size_t i)
{
    for (size_t k = 0; k < spec->n_ports; k++)
        if (k != i && spec->ports[k]->port == spec->ports[i]->port && spec->ports[k]->node_port)
            return spec->ports[k]->node_port;
    return 0;
}

static struct status *choose_ports(struct write *w, Core__V1__Service *s, bool create)
{
    Core__V1__ServiceSpec *spec = s->spec;
    struct ports own;
    list_ports(s, &own);
    for (size_t i = 0; service_needs_node_ports(s) && i < spec->n_ports; i++) {
        if (spec->ports[i]->node_port)
            continue;
        int32_t port = create ? shared_port(spec, i) : 0;
        if (!port)
            port = free_port(w, &own);
        if (!port)
            return status_internal(w->rq->a, "failed to allocate a nodePort: range is full");
        spec->ports[i]->node_port = port;
        add_port(&own, port);
    }
    if (!service_needs_health_port(s) || spec->health_check_node_port)
        return NULL;
    spec->health_check_node_port = free_port(w, &own);
    return spec->health_check_node_port
               ? NULL
               : status_internal(w->rq->a,
                                 "failed to allocate a HealthCheck NodePort 0: range is full");
}

/* Why the port cannot be had; NULL: it can. */
static const char *port_refused(struct write *w, int32_t port)
{
    const struct service_net *net = w->rq->server->service_net;
    if (!service_port_contains(net, port))
        return arena_printf(w->rq->a,
                            "provided port is not in the valid range. The range of valid ports is "
                            "%u-%u",
                            net->port_min, net->port_max);
    return taken(w, service_port_key(w->rq->a, port)) ? "provided port is already allocated" : NULL;
}

static struct status *claim_port(struct write *w, const Core__V1__ServiceSpec *spec, int32_t port)
{
    struct arena *a = w->rq->a;
    const char *why = port_refused(w, port);
    if (!why) {
        write_extra_create(w, service_port_key(a, port),
                           str_from(arena_printf(a, "%s/%s", w->ns, w->name)));
        return NULL;
    }
    for (size_t i = 0; i < spec->n_ports; i++)
        if (spec->ports[i]->node_port == port)
            return invalid(w, arena_printf(a, "spec.ports[%zu].nodePort", i),
                           "Invalid value: %d: %s", port, why);
    return status_internal(a, "failed to allocate requested HealthCheck NodePort %d: %s", port,
                           why);
}

static struct status *too_many_ports(struct write *w, size_t n)
{
    return invalid(w, "spec.ports", "Too many: %zu: must have at most %d node ports", n, PORTS_MAX);
}

static struct status *claim_ports(struct write *w, Core__V1__Service *s,
                                  const Core__V1__Service *old)
{
    struct ports before, now = {.len = 0};
    if (s && service_needs_node_ports(s) && s->spec->n_ports > SERVICE_NODE_PORT_USERS_MAX)
        return too_many_ports(w, s->spec->n_ports);
    struct status *st = s ? choose_ports(w, s, !old) : NULL;
    if (st)
        return st;
    list_ports(old, &before);
    list_ports(s, &now);
    if (now.len > PORTS_MAX)
        return too_many_ports(w, now.len);
    for (size_t i = 0; i < now.len; i++)
        if (!has_port(&before, now.items[i]) && (st = claim_port(w, s->spec, now.items[i])))
            return st;
    for (size_t i = 0; i < before.len; i++)
        if (!has_port(&now, before.items[i]))
            write_extra_delete(w, service_port_key(w->rq->a, before.items[i]));
    return NULL;
}

static struct status *claim(struct write *w, void *obj, const void *old)
{
    struct status *st = claim_ips(w, obj, old);
    return st ? st : claim_ports(w, obj, old);
}

const struct strategy strategy_service = {
    .message = Core__V1__Service__SCHEMA,
    .flags = STRATEGY_RETURN_DELETED,
    .complete_create = complete_create,
    .prepare_update = prepare_update,
    .admit = admit,
    .claim = claim,
};
