/*
 * LimitRange arithmetic: see limits.h.
 */
#include "apiserver/admission/limits.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/arena.h"
#include "base/arena_text.h"
#include "base/str.h"
#include <stdlib.h>

typedef Meta__V1__QuantityEntry Entry;

struct amounts {
    Entry *const *items;
    size_t len;
};

#define AMOUNTS(owner, member) ((struct amounts){(owner)->member, (owner)->n_##member})

static const char *amount(struct amounts m, const char *name)
{
    return quantity_map_get(m.items, m.len, name);
}

/* ---- a list of texts, sorted and joined ---- */

struct texts {
    struct arena *a;
    const char **items;
    size_t len, cap;
};

static void texts_add(struct texts *t, const char *s)
{
    if (t->len == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 8;
        t->items = arena_grow(t->a, t->items, t->cap * sizeof *t->items, cap * sizeof *t->items);
        t->cap = cap;
    }
    t->items[t->len++] = s;
}

static const char *texts_join(const struct texts *t, const char *between)
{
    return arena_join(t->a, t->items, t->len, between);
}

/* ---- defaults ---- */

static const char *merge(struct arena *a, struct amounts defaults, Entry ***items, size_t *n)
{
    struct texts set = {.a = a};
    for (size_t i = 0; i < defaults.len; i++) {
        const Entry *d = defaults.items[i];
        if (quantity_map_get(*items, *n, d->key))
            continue;
        const char *key = arena_strdup(a, d->key);
        quantity_map_set(a, items, n, key, arena_strdup(a, d->value->string));
        texts_add(&set, key);
    }
    if (set.len)
        qsort(set.items, set.len, sizeof *set.items, cstr_order);
    return texts_join(&set, ", ");
}

static void default_containers(struct arena *a, const Core__V1__LimitRangeItem *item,
                               Core__V1__Container **list, size_t n, const char *what,
                               struct texts *said)
{
    for (size_t i = 0; i < n; i++) {
        Core__V1__Container *c = list[i];
        if (!c->resources)
            c->resources = api_new(a, Core__V1__ResourceRequirements);
        const char *limits =
            merge(a, AMOUNTS(item, default_), &c->resources->limits, &c->resources->n_limits);
        const char *requests = merge(a, AMOUNTS(item, default_request), &c->resources->requests,
                                     &c->resources->n_requests);
        if (*requests)
            texts_add(said, arena_printf(a, "%s request for %s %s", requests, what, c->name));
        if (*limits)
            texts_add(said, arena_printf(a, "%s limit for %s %s", limits, what, c->name));
    }
}

void limits_default(struct arena *a, const Core__V1__LimitRange *range, Core__V1__Pod *pod)
{
    struct texts said = {.a = a};
    for (size_t i = 0; i < range->spec->n_limits; i++) {
        const Core__V1__LimitRangeItem *item = range->spec->limits[i];
        if (strcmp(item->type, "Container") != 0)
            continue;
        default_containers(a, item, pod->spec->containers, pod->spec->n_containers, "container",
                           &said);
        default_containers(a, item, pod->spec->init_containers, pod->spec->n_init_containers,
                           "init container", &said);
    }
    if (said.len)
        annotations_set(a, pod->metadata, "kubernetes.io/limit-ranger",
                        arena_printf(a, "LimitRanger plugin set: %s", texts_join(&said, "; ")));
}

/* ---- bounds ---- */

/* What is bounded: one container, a whole pod or a claim. */
struct subject {
    struct arena *a;
    const char *type;
    struct amounts requests, limits;
    struct texts *errors;
};

static bool less(const char *x, const char *y)
{
    return quantity_cmp(quantity_of(x), quantity_of(y)) < 0;
}

static void check_min(const struct subject *s, const char *name, const char *min)
{
    const char *request = amount(s->requests, name), *limit = amount(s->limits, name);
    const char *head = arena_printf(s->a, "minimum %s usage per %s is %s", name, s->type, min);
    if (!request)
        texts_add(s->errors, arena_printf(s->a, "%s.  No request is specified", head));
    else if (less(request, min))
        texts_add(s->errors, arena_printf(s->a, "%s, but request is %s", head, request));
    else if (limit && less(limit, min))
        texts_add(s->errors, arena_printf(s->a, "%s, but limit is %s", head, limit));
}

/* Claims have no limits: their request is what is bounded. */
static void check_max(const struct subject *s, const char *name, const char *max, bool claim)
{
    const char *request = amount(s->requests, name), *limit = amount(s->limits, name);
    const char *head = arena_printf(s->a, "maximum %s usage per %s is %s", name, s->type, max);
    if (claim) {
        if (!request)
            texts_add(s->errors, arena_printf(s->a, "%s.  No request is specified", head));
        else if (less(max, request))
            texts_add(s->errors, arena_printf(s->a, "%s, but request is %s", head, request));
        return;
    }
    if (!limit)
        texts_add(s->errors, arena_printf(s->a, "%s.  No limit is specified", head));
    else if (less(max, limit))
        texts_add(s->errors, arena_printf(s->a, "%s, but limit is %s", head, limit));
    else if (request && less(max, request))
        texts_add(s->errors, arena_printf(s->a, "%s, but request is %s", head, request));
}

static void check_ratio(const struct subject *s, const char *name, const char *max)
{
    const char *request = amount(s->requests, name), *limit = amount(s->limits, name);
    const char *head =
        arena_printf(s->a, "%s max limit to request ratio per %s is %s", name, s->type, max);
    if (!request || quantity_is_zero(quantity_of(request))) {
        texts_add(s->errors,
                  arena_printf(s->a, "%s, but no request is specified or request is 0", head));
        return;
    }
    if (!limit || quantity_is_zero(quantity_of(limit))) {
        texts_add(s->errors,
                  arena_printf(s->a, "%s, but no limit is specified or limit is 0", head));
        return;
    }
    double ratio = (double)quantity_of(limit).nanos / (double)quantity_of(request).nanos;
    if (ratio > (double)quantity_of(max).nanos / 1e9)
        texts_add(s->errors, arena_printf(s->a, "%s, but provided ratio is %f", head, ratio));
}

static void check_item(const struct subject *s, const Core__V1__LimitRangeItem *item)
{
    for (size_t i = 0; i < item->n_min; i++)
        check_min(s, item->min[i]->key, item->min[i]->value->string);
    for (size_t i = 0; i < item->n_max; i++)
        check_max(s, item->max[i]->key, item->max[i]->value->string, false);
    for (size_t i = 0; i < item->n_max_limit_request_ratio; i++)
        check_ratio(s, item->max_limit_request_ratio[i]->key,
                    item->max_limit_request_ratio[i]->value->string);
}

static void check_containers(struct subject s, const Core__V1__LimitRangeItem *item,
                             Core__V1__Container *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Core__V1__ResourceRequirements *r = list[i]->resources;
        s.requests = r ? AMOUNTS(r, requests) : (struct amounts){NULL, 0};
        s.limits = r ? AMOUNTS(r, limits) : (struct amounts){NULL, 0};
        check_item(&s, item);
    }
}

/* ---- a pod's sum ---- */

static bool is_sidecar(const Core__V1__Container *c)
{
    return c->restart_policy && strcmp(c->restart_policy, "Always") == 0;
}

static struct amounts of_container(const Core__V1__Container *c, bool limits)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    if (!r)
        return (struct amounts){NULL, 0};
    return limits ? AMOUNTS(r, limits) : AMOUNTS(r, requests);
}

/* A resource counts for the pod when every one of its containers names it; init containers raise the
 * sum to what the largest of them needs, on top of the sidecars started before it. */
static bool pod_sum(const Core__V1__PodSpec *spec, const char *name, bool limits,
                    struct quantity *out)
{
    struct quantity sum = {0}, init = {0}, sidecars = {0};
    for (size_t i = 0; i < spec->n_containers; i++) {
        const char *q = amount(of_container(spec->containers[i], limits), name);
        if (!q)
            return false;
        sum = quantity_add(sum, quantity_of(q));
    }
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        const char *q = amount(of_container(spec->init_containers[i], limits), name);
        struct quantity here = quantity_add(sidecars, quantity_of(q));
        if (is_sidecar(spec->init_containers[i]))
            sidecars = here;
        if (quantity_cmp(here, init) > 0)
            init = here;
    }
    sum = quantity_add(sum, sidecars);
    *out = quantity_cmp(init, sum) > 0 ? init : sum;
    return true;
}

static struct amounts pod_amounts(struct arena *a, const Core__V1__PodSpec *spec, bool limits)
{
    Entry **items = NULL;
    size_t n = 0;
    struct quantity q;
    if (spec->n_containers == 0)
        return (struct amounts){NULL, 0};
    const struct amounts first = of_container(spec->containers[0], limits);
    for (size_t i = 0; i < first.len; i++)
        if (pod_sum(spec, first.items[i]->key, limits, &q))
            quantity_map_set(a, &items, &n, first.items[i]->key, quantity_text(a, q));
    return (struct amounts){items, n};
}

static void check_pod(struct subject *s, const Core__V1__LimitRange *range,
                      const Core__V1__Pod *pod)
{
    for (size_t i = 0; i < range->spec->n_limits; i++) {
        const Core__V1__LimitRangeItem *item = range->spec->limits[i];
        s->type = item->type;
        if (strcmp(item->type, "Container") == 0) {
            check_containers(*s, item, pod->spec->containers, pod->spec->n_containers);
            check_containers(*s, item, pod->spec->init_containers, pod->spec->n_init_containers);
        } else if (strcmp(item->type, "Pod") == 0) {
            s->requests = pod_amounts(s->a, pod->spec, false);
            s->limits = pod_amounts(s->a, pod->spec, true);
            check_item(s, item);
        }
    }
}

static void check_claim(struct subject *s, const Core__V1__LimitRange *range,
                        const Core__V1__PersistentVolumeClaim *claim)
{
    const Core__V1__VolumeResourceRequirements *r = claim->spec->resources;
    s->requests = r ? AMOUNTS(r, requests) : (struct amounts){NULL, 0};
    for (size_t i = 0; i < range->spec->n_limits; i++) {
        const Core__V1__LimitRangeItem *item = range->spec->limits[i];
        s->type = item->type;
        if (strcmp(item->type, "PersistentVolumeClaim") != 0)
            continue;
        for (size_t k = 0; k < item->n_min; k++)
            check_min(s, item->min[k]->key, item->min[k]->value->string);
        for (size_t k = 0; k < item->n_max; k++)
            check_max(s, item->max[k]->key, item->max[k]->value->string, true);
    }
}

const char *limits_check(struct arena *a, const Core__V1__LimitRange *range, const void *object)
{
    struct texts errors = {.a = a};
    struct subject s = {.a = a, .errors = &errors};
    if (schema_of(object)->id == Core__V1__Pod__SCHEMA)
        check_pod(&s, range, object);
    else
        check_claim(&s, range, object);
    if (errors.len == 0)
        return NULL;
    if (errors.len == 1)
        return errors.items[0];
    return arena_printf(a, "[%s]", texts_join(&errors, ", "));
}
