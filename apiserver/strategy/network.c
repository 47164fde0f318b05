/*
 * ServiceCIDRs and IPAddresses: their own rules, and the finalizer that holds a ServiceCIDR from its first moment
 * (apiserver/services/upkeep.c takes it away).
 */
#include "api/meta.h"
#include "api/validation.h"
#include "apiserver/services/cidrs.h"
#include "apiserver/strategy/strategy.h"
#include "proto/networking_v1.pb-c.h"

static struct status *answer(struct write *w, const struct field_errors *e)
{
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    return e->len ? status_invalid_fields(w->rq->a, &about, e) : NULL;
}

/* ---- ServiceCIDRs ---- */

static void prepare_cidr(struct write *w, void *obj)
{
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    if (!has_finalizer(meta, SERVICE_CIDR_FINALIZER))
        api_append(w->rq->a, meta, finalizers, (char *)SERVICE_CIDR_FINALIZER);
}

static const char *cidrs_text(struct arena *a, const Networking__V1__ServiceCIDRSpec *s)
{
    const char *text = "";
    for (size_t i = 0; i < s->n_cidrs; i++)
        text = arena_printf(a, "%s%s%s", text, i ? "," : "", field_quote(a, s->cidrs[i]));
    return arena_printf(a, "[%s]", text);
}

static void check_cidr(struct field_errors *e, size_t i, const char *cidr)
{
    struct ip_range range;
    char canonical[INET6_ADDRSTRLEN + 4];
    const char *at = arena_printf(e->arena, "spec.cidrs[%zu]", i),
               *bad = field_quote(e->arena, cidr);
    struct error err;
    if (ip_range_parse(str_from(cidr), &range, &err) < 0) {
        field_error_add(e, FIELD_INVALID, at, bad, "%s",
                        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return;
    }
    ip_range_format(&range, canonical);
    if (strcmp(canonical, cidr) != 0)
        field_error_add(e, FIELD_INVALID, at, bad, "must be in canonical form (\"%s\")", canonical);
}

static void check_spec(struct field_errors *e, const Networking__V1__ServiceCIDRSpec *s)
{
    struct ip_range a, b;
    struct error err;
    if (!s->n_cidrs) {
        field_error_add(e, FIELD_REQUIRED, "spec.cidrs", NULL, "%s", "at least one CIDR required");
        return;
    }
    if (s->n_cidrs > 2) {
        field_error_add(e, FIELD_INVALID, "spec.cidrs", cidrs_text(e->arena, s), "%s",
                        "may only hold up to 2 values");
        return;
    }
    if (s->n_cidrs == 2 && ip_range_parse(str_from(s->cidrs[0]), &a, &err) == 0 &&
        ip_range_parse(str_from(s->cidrs[1]), &b, &err) == 0 && a.base.v6 == b.base.v6) {
        field_error_add(
            e, FIELD_INVALID, "spec.cidrs", cidrs_text(e->arena, s), "%s",
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
            "2001:db8::/96");
        return;
    }
    for (size_t i = 0; i < s->n_cidrs; i++)
        check_cidr(e, i, s->cidrs[i]);
}

/* Nothing changes but that a second family comes. */
static void check_spec_change(struct field_errors *e, const Networking__V1__ServiceCIDRSpec *n,
                              const Networking__V1__ServiceCIDRSpec *o)
{
    if (n->n_cidrs != o->n_cidrs && (o->n_cidrs != 1 || n->n_cidrs != 2)) {
        field_error_add(e, FIELD_INVALID, "spec.cidrs", cidrs_text(e->arena, n), "%s",
                        "field is immutable");
        return;
    }
    for (size_t i = 0; i < o->n_cidrs; i++)
        if (strcmp(n->cidrs[i], o->cidrs[i]) != 0)
            field_error_add(e, FIELD_INVALID, arena_printf(e->arena, "spec.cidrs[%zu]", i),
                            field_quote(e->arena, n->cidrs[i]), "%s", "field is immutable");
}

static struct status *admit_cidr(struct write *w, void *obj, const void *old)
{
    const Networking__V1__ServiceCIDR *n = obj, *o = old;
    struct field_errors e = {.arena = w->rq->a};
    if (o)
        check_spec_change(&e, n->spec, o->spec);
    if (!o || n->spec->n_cidrs != o->spec->n_cidrs)
        check_spec(&e, n->spec);
    return answer(w, &e);
}

const struct strategy strategy_service_cidr = {
    .message = Networking__V1__ServiceCIDR__SCHEMA,
    .flags = STRATEGY_GENERATION,
    .prepare_create = prepare_cidr,
    .admit = admit_cidr,
};

/* ---- IPAddresses ---- */

static struct status *admit_address(struct write *w, void *obj, const void *old)
{
    const Networking__V1__IPAddress *n = obj, *o = old;
    const Networking__V1__ParentReference *p = n->spec->parent_ref;
    struct field_errors e = {.arena = w->rq->a};
    struct ip_address ip;
    char canonical[INET6_ADDRSTRLEN];
    if (ip_address_parse(n->metadata->name, &ip)) {
        ip_address_format(&ip, canonical);
        if (strcmp(canonical, n->metadata->name) != 0)
            field_error_add(&e, FIELD_INVALID, "metadata.name",
                            field_quote(e.arena, n->metadata->name), "%s",
                            "must be a canonical format IP address");
    }
    if (!p)
        field_error_add(&e, FIELD_REQUIRED, "spec.parentRef", NULL, "%s", "");
    if (p && !*p->resource)
        field_error_add(&e, FIELD_REQUIRED, "spec.parentRef.resource", NULL, "%s", "");
    if (p && !*p->name)
        field_error_add(&e, FIELD_REQUIRED, "spec.parentRef.name", NULL, "%s", "");
    if (p && o && o->spec->parent_ref && !object_equal(p, o->spec->parent_ref))
        field_error_add(&e, FIELD_INVALID, "spec.parentRef", field_quote(e.arena, p->name), "%s",
                        "field is immutable");
    return answer(w, &e);
}

const struct strategy strategy_ip_address = {
    .message = Networking__V1__IPAddress__SCHEMA,
    .flags = STRATEGY_GENERATION,
    .admit = admit_address,
};
