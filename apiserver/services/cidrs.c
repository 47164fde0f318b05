/*
 * Ranges of cluster IPs, and the keys that say what is taken: see cidrs.h.
 */
#include "apiserver/services/cidrs.h"
#include "api/codec.h"
#include "api/meta.h"
#include "base/mem.h"
#include "proto/networking_v1.pb-c.h"

#define PREFIX "/registry/servicecidrs/"

struct loading {
    struct arena *a;
    struct service_cidrs *out;
    size_t cap;
};

static bool is_usable(const Networking__V1__ServiceCIDR *c)
{
    bool ready = true;
    for (size_t i = 0; i < c->status->n_conditions; i++)
        if (cstr_eq(c->status->conditions[i]->type, "Ready"))
            ready = !cstr_eq(c->status->conditions[i]->status, "False");
    return ready && !c->metadata->deletion_timestamp;
}

static void add(struct loading *l, const struct service_cidr *c)
{
    struct service_cidrs *o = l->out;
    if (o->len == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        o->items = arena_grow(l->a, o->items, l->cap * sizeof *o->items, cap * sizeof *o->items);
        l->cap = cap;
    }
    o->items[o->len++] = *c;
}

static int visit(void *ctx, const struct kv_pair *pair)
{
    struct loading *l = ctx;
    struct error err;
    void *object;
    struct str copy = str_make(arena_dup(l->a, pair->value.p, pair->value.n), pair->value.n);
    if (stored_decode(l->a, copy, pair->mod_rev, NULL, &object, &err) < 0)
        return 0; /* its range serves nobody until it can be read */
    const Networking__V1__ServiceCIDR *c = object;
    struct service_cidr one = {.name = c->metadata->name,
                               .mod_rev = pair->mod_rev,
                               .usable = is_usable(c),
                               .key = str_from(arena_printf(l->a, PREFIX "%s", c->metadata->name))};
    for (size_t i = 0; i < c->spec->n_cidrs; i++)
        if (ip_range_parse(str_from(c->spec->cidrs[i]), &one.range, &err) == 0)
            add(l, &one);
    return 0;
}

int service_cidrs_load(struct kv *kv, struct arena *a, struct service_cidrs *out, struct error *err)
{
    struct loading l = {.a = a, .out = out};
    struct kv_range_request rq = {.key = STR(PREFIX), .end = kv_prefix_end(a, STR(PREFIX))};
    struct kv_range_result result;
    *out = (struct service_cidrs){0};
    return kv_scan(kv, &rq, visit, &l, a, &result, err);
}

const struct service_cidr *service_cidrs_find(const struct service_cidrs *list,
                                              const struct ip_address *ip)
{
    const struct service_cidr *found = NULL;
    for (size_t i = 0; i < list->len; i++) {
        const struct service_cidr *c = &list->items[i];
        if (!c->usable || !ip_range_contains(&c->range, ip))
            continue;
        if (ip_range_usable(&c->range, ip))
            return c;
        found = c;
    }
    return found;
}

struct str service_ip_key(struct arena *a, const char *ip)
{
    return str_from(arena_printf(a, "/registry/ipaddresses/%s", ip));
}

struct str service_port_key(struct arena *a, int32_t port)
{
    return str_from(arena_printf(a, "/registry/c8s/nodeports/%d", port));
}

struct str service_ip_object(struct arena *a, const char *ip, const char *ns, const char *name)
{
    Networking__V1__IPAddress *o = api_new(a, Networking__V1__IPAddress);
    char uid[37];
    random_uuid(uid);
    o->metadata->name = (char *)ip;
    o->metadata->uid = arena_strdup(a, uid);
    o->metadata->creation_timestamp = time_now(a);
    o->metadata->generation = 1;
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/ip-family", ip_family(strchr(ip, ':')));
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
    o->spec->parent_ref = api_new(a, Networking__V1__ParentReference);
    o->spec->parent_ref->resource = (char *)"services";
    o->spec->parent_ref->namespace_ = (char *)ns;
    o->spec->parent_ref->name = (char *)name;
    struct buf b;
    buf_init(&b);
    stored_encode(o, &b);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}
