/*
 * ServiceCIDRs, and the repair of claims: see upkeep.h.
 */
#include "apiserver/services/upkeep.h"
#include "api/codec.h"
#include "api/meta.h"
#include "apiserver/kept/kept_write.h"
#include "apiserver/services/cidrs.h"
#include "apiserver/services/families.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/networking_v1.pb-c.h"
#include <stdlib.h>

#define IP_PREFIX "/registry/ipaddresses/"
#define PORT_PREFIX "/registry/c8s/nodeports/"
#define SERVICE_PREFIX "/registry/services/specs/"

/* ---- ServiceCIDRs ---- */

/* Is every address of the range in another usable one? */
static bool covered(const struct service_cidrs *all, const char *name, const struct ip_range *range)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->items[i].usable && strcmp(all->items[i].name, name) != 0 &&
            ip_range_contains_range(&all->items[i].range, range))
            return true;
    return false;
}

struct orphans {
    const struct service_cidrs *all;
    const char *name;
    bool found;
};

/* Would this address be in no range any more? */
static int visit_address(void *ctx, const struct kv_pair *pair)
{
    struct orphans *o = ctx;
    char text[INET6_ADDRSTRLEN];
    struct ip_address ip;
    struct str name = str_slice(pair->key, strlen(IP_PREFIX), pair->key.n);
    bool inside = false, elsewhere = false;
    if (name.n >= sizeof text)
        return 0;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (!ip_address_parse(text, &ip))
        return 0;
    for (size_t i = 0; i < o->all->len; i++) {
        const struct service_cidr *c = &o->all->items[i];
        bool own = strcmp(c->name, o->name) == 0;
        inside |= own && ip_range_contains(&c->range, &ip);
        elsewhere |= !own && c->usable && ip_range_contains(&c->range, &ip);
    }
    o->found = inside && !elsewhere;
    return o->found;
}

/*
 * No address depends on it any more? Addresses are taken with the ServiceCIDR pinned as it was before it was
 * marked as deleted, which is seen here: so all that ever will be are seen too.
 */
static int deletable(struct apiserver *s, struct arena *a, const struct service_cidrs *all,
                     const char *name, struct error *err)
{
    bool all_covered = true;
    for (size_t i = 0; i < all->len; i++)
        if (strcmp(all->items[i].name, name) == 0)
            all_covered &= covered(all, name, &all->items[i].range);
    if (all_covered)
        return 1;
    struct orphans o = {.all = all, .name = name};
    struct kv_range_request rq = {
        .key = STR(IP_PREFIX), .end = kv_prefix_end(a, STR(IP_PREFIX)), .keys_only = true};
    struct kv_range_result out;
    int rc = kv_scan(s->kv, &rq, visit_address, &o, a, &out, err);
    return rc < 0 ? rc : !o.found;
}

/* True: the condition was not like that. */
static bool set_ready(struct arena *a, Networking__V1__ServiceCIDR *c, const char *status,
                      const char *reason, const char *message)
{
    Meta__V1__Condition *ready = NULL;
    for (size_t i = 0; i < c->status->n_conditions; i++)
        if (cstr_eq(c->status->conditions[i]->type, "Ready"))
            ready = c->status->conditions[i];
    if (ready && cstr_eq(ready->status, status))
        return false;
    if (!ready) {
        ready = api_new(a, Meta__V1__Condition);
        ready->type = (char *)"Ready";
        api_append(a, c->status, conditions, ready);
    }
    ready->status = (char *)status;
    ready->reason = (char *)reason;
    ready->message = (char *)message;
    ready->last_transition_time = time_now(a);
    return true;
}

static int upkeep_one(struct apiserver *s, struct arena *a, const struct service_cidrs *all,
                      const struct kv_pair *pair, struct error *err)
{
    void *object;
    int rc = stored_decode(a, pair->value, pair->mod_rev, NULL, &object, err);
    if (rc < 0)
        return rc;
    Networking__V1__ServiceCIDR *c = object;
    Meta__V1__ObjectMeta *meta = c->metadata;
    bool changed;
    if (meta->deletion_timestamp) {
        if ((rc = deletable(s, a, all, meta->name, err)) < 0)
            return rc;
        changed = rc ? remove_finalizer(meta, SERVICE_CIDR_FINALIZER)
                     : set_ready(a, c, "False", "Terminating",
                                 "There are still IPAddresses referencing the ServiceCIDR, please "
                                 "remove them or create a new ServiceCIDR");
        if (changed && meta->n_finalizers == 0)
            return kept_remove_with(s, pair->key, pair->mod_rev, STR_NONE, 0, err);
    } else {
        changed = set_ready(a, c, "True", "",
                            strcmp(meta->name, "kubernetes") == 0
                                ? "Kubernetes default Service CIDR is ready"
                                : "Kubernetes Service CIDR is ready");
        if (!has_finalizer(meta, SERVICE_CIDR_FINALIZER)) {
            api_append(a, meta, finalizers, (char *)SERVICE_CIDR_FINALIZER);
            changed = true;
        }
    }
    return changed ? kept_replace(s, a, pair->key, pair->mod_rev, c, err) : 0;
}

int service_cidrs_upkeep(struct apiserver *s, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct service_cidrs all;
    struct str prefix = STR("/registry/servicecidrs/");
    struct kv_range_request rq = {.key = prefix, .end = kv_prefix_end(&a, prefix)};
    struct kv_range_result out;
    int rc = kv_range(s->kv, &rq, &a, &out, err);
    if (rc == 0)
        rc = service_cidrs_load(s->kv, &a, &all, err);
    for (size_t i = 0; rc == 0 && i < out.pairs_len; i++) {
        rc = upkeep_one(s, &a, &all, &out.pairs[i], err);
        if (rc == ERR_CONFLICT) /* another member was first: seen the next time */
            rc = 0;
    }
    arena_free(&a);
    return rc;
}

/* ---- what services say ---- */

struct owner {
    struct str key; /* of the service */
    int64_t mod_rev;
    const char *ns, *name;
    bool ready;  /* a claim of its own was seen */
    bool opaque; /* it cannot be read: what it has stays its own */
};

struct repair {
    struct apiserver *s;
    struct arena *a;
    struct map services; /* key → struct owner */
    struct map wanted;   /* key of a claim → struct owner; two services: the first */
    struct service_repairs *out;
    int64_t rev;
    struct error *err;
};

static void want(struct repair *r, struct str key, struct owner *o)
{
    struct owner *other = map_get(&r->wanted, key);
    if (!other) {
        struct owner *mine = arena_new(r->a, struct owner);
        *mine = *o;
        map_put(&r->wanted, key, mine);
    } else if (!str_eq(other->key, o->key)) {
        r->out->conflicts++;
        log_warn("services",
                 "two services have the same address or port → for people to decide "
                 "key=%.*s services=\"%s/%s %s/%s\"",
                 STR_ARG(key), other->ns, other->name, o->ns, o->name);
    }
}

static int visit_service(void *ctx, const struct kv_pair *pair)
{
    struct repair *r = ctx;
    struct error err;
    void *object;
    struct ip_address ip;
    char text[INET6_ADDRSTRLEN];
    struct str copy = str_make(arena_dup(r->a, pair->value.p, pair->value.n), pair->value.n);
    struct owner *o = arena_new(r->a, struct owner);
    *o = (struct owner){.key = str_make(arena_dup(r->a, pair->key.p, pair->key.n), pair->key.n),
                        .mod_rev = pair->mod_rev};
    map_put(&r->services, o->key, o);
    o->opaque = stored_decode(r->a, copy, pair->mod_rev, NULL, &object, &err) < 0;
    if (o->opaque)
        return 0;
    const Core__V1__Service *s = object;
    o->ns = s->metadata->namespace_;
    o->name = s->metadata->name;
    bool ips = service_needs_ip(s) && !service_is_headless(s);
    for (size_t i = 0; ips && i < s->spec->n_cluster_ips; i++) {
        if (!ip_address_parse(s->spec->cluster_ips[i], &ip))
            continue;
        ip_address_format(&ip, text);
        want(r, service_ip_key(r->a, text), o);
    }
    for (size_t i = 0; service_may_have_node_ports(s) && i < s->spec->n_ports; i++)
        if (s->spec->ports[i]->node_port)
            want(r, service_port_key(r->a, s->spec->ports[i]->node_port), o);
    if (service_needs_health_port(s) && s->spec->health_check_node_port)
        want(r, service_port_key(r->a, s->spec->health_check_node_port), o);
    return 0;
}

/* ---- what is claimed ---- */

/* Whose an address is: the key of its service; p NULL: none of ours. */
static struct str address_owner(struct repair *r, const struct kv_pair *pair)
{
    struct error err;
    void *object;
    if (stored_decode(r->a, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return STR_NONE;
    const Networking__V1__IPAddress *ip = object;
    const Networking__V1__ParentReference *p = ip->spec->parent_ref;
    if (!p || !cstr_eq(p->resource, "services") || !cstr_eq(p->group, "") ||
        !cstr_eq(labels_get(ip->metadata, "ipaddress.kubernetes.io/managed-by"),
                 "ipallocator.k8s.io"))
        return STR_NONE;
    return str_from(arena_printf(r->a, SERVICE_PREFIX "%s/%s", p->namespace_, p->name));
}

static struct str port_owner(struct repair *r, const struct kv_pair *pair)
{
    return str_from(arena_printf(r->a, SERVICE_PREFIX "%.*s", STR_ARG(pair->value)));
}

/* One claim: the service's it is to be, or nobody's. */
static int check_claim(struct repair *r, const struct kv_pair *pair, struct str owner)
{
    struct owner *wanted = map_get(&r->wanted, pair->key);
    if (wanted && str_eq(wanted->key, owner)) {
        wanted->ready = true;
        return 0;
    }
    if (!owner.p && !wanted)
        return 0; /* somebody's own IPAddress */
    struct owner *service = map_get(&r->services, owner);
    if (service && service->opaque)
        return 0;
    int rc = kept_remove_with(r->s, pair->key, pair->mod_rev, owner, service ? service->mod_rev : 0,
                              r->err);
    if (rc == 0) {
        r->out->leaked++;
        log_info("services", "a claim of no service → freed key=%.*s", STR_ARG(pair->key));
    }
    return rc == ERR_CONFLICT ? 0 : rc;
}

static int check_claims(struct repair *r, struct str prefix,
                        struct str (*owner_of)(struct repair *r, const struct kv_pair *pair))
{
    struct kv_range_request rq = {.key = prefix, .end = kv_prefix_end(r->a, prefix), .rev = r->rev};
    struct kv_range_result out;
    int rc = kv_range(r->s->kv, &rq, r->a, &out, r->err);
    for (size_t i = 0; rc == 0 && i < out.pairs_len; i++)
        rc = check_claim(r, &out.pairs[i], owner_of(r, &out.pairs[i]));
    return rc;
}

static int claim_missing(struct repair *r)
{
    struct map_iter it = {0};
    int rc = 0;
    while (rc == 0 && map_next(&r->wanted, &it)) {
        struct owner *o = it.value;
        if (o->ready)
            continue;
        struct str value =
            str_has_prefix(it.key, STR(IP_PREFIX))
                ? service_ip_object(r->a, it.key.p + strlen(IP_PREFIX), o->ns, o->name)
                : str_from(arena_printf(r->a, "%s/%s", o->ns, o->name));
        rc = kept_create_with(r->s, it.key, value, o->key, o->mod_rev, r->err);
        if (rc == 0) {
            r->out->missing++;
            log_info("services",
                     "an address or port without a claim → claimed key=%.*s service=%s/%s",
                     STR_ARG(it.key), o->ns, o->name);
        } else if (rc == ERR_CONFLICT) {
            rc = 0;
        }
    }
    return rc;
}

int service_repair(struct apiserver *s, struct service_repairs *out, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct repair r = {.s = s, .a = &a, .out = out, .err = err, .rev = kv_current_revision(s->kv)};
    map_init(&r.services);
    map_init(&r.wanted);
    *out = (struct service_repairs){0};
    struct kv_range_request rq = {
        .key = STR(SERVICE_PREFIX), .end = kv_prefix_end(&a, STR(SERVICE_PREFIX)), .rev = r.rev};
    struct kv_range_result result;
    int rc = kv_scan(s->kv, &rq, visit_service, &r, &a, &result, err);
    if (rc == 0)
        rc = check_claims(&r, STR(IP_PREFIX), address_owner);
    if (rc == 0)
        rc = check_claims(&r, STR(PORT_PREFIX), port_owner);
    if (rc == 0)
        rc = claim_missing(&r);
    map_free(&r.services);
    map_free(&r.wanted);
    arena_free(&a);
    return rc;
}
