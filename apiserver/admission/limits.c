/*
 * LimitRange arithmetic: see limits.h.
 */
#include "apiserver/admission/limits.h"
#include "api/object.h"
#include "api/quantity.h"
#include "apiserver/admission/quota_usage.h"
#include "base/arena.h"
#include "base/arena_text.h"
#include "base/map.h"
#include "base/str.h"
#include <stdlib.h>

typedef Meta__V1__QuantityEntry Entry;

#define FEW 16 /* so many are looked for one by one */

struct amounts {
    Entry *const *items;
    size_t len;
    const struct map *index; /* of many; NULL: they are few */
};

#define AMOUNTS(owner, member) ((struct amounts){(owner)->member, (owner)->n_##member})

static const char *amount(struct amounts m, const char *name)
{
    return m.index ? map_get(m.index, str_from(name)) : quantity_map_get(m.items, m.len, name);
}

/* Lists are as long as whoever sends them likes: many amounts are looked up. `index` is freed by the caller. */
static void amounts_index(struct amounts *m, struct map *index)
{
    map_init(index);
    if (m->len <= FEW)
        return;
    for (size_t i = m->len; i-- > 0;) {
        const char *text = m->items[i]->value ? m->items[i]->value->string : NULL;
        map_put(index, str_from(m->items[i]->key), (void *)(text ? text : "0"));
    }
    m->index = index;
}

/* ---- a list of texts, sorted and joined ---- */

#define TEXTS_BYTES_MAX (1u << 20) /* of errors: nobody reads more */

struct texts {
    struct arena *a;
    const char **items;
    size_t len, cap, bytes;
};

static bool texts_full(const struct texts *t)
{
    return t->bytes >= TEXTS_BYTES_MAX;
}

static void texts_add(struct texts *t, const char *s)
{
    t->bytes += strlen(s);
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

/* What is given to containers of a pod, and how much of it there may be: as many defaults as a range has room for times
 * as many containers would be more than any object may be. */
struct given {
    struct arena *a;
    struct texts said;
    size_t *room;
    bool full;
};

static bool take_room(struct given *g, size_t bytes)
{
    g->full |= bytes > *g->room;
    *g->room -= bytes < *g->room ? bytes : *g->room;
    return !g->full;
}

static const char *merge(struct given *g, struct amounts defaults, Entry ***items, size_t *n)
{
    struct texts set = {.a = g->a};
    struct arena *a = g->a;
    struct amounts there = {*items, *n};
    struct map index;
    size_t fresh_len = 0;
    Entry **fresh = arena_array(a, Entry *, defaults.len);
    amounts_index(&there, &index);
    for (size_t i = 0; i < defaults.len; i++) {
        const Entry *d = defaults.items[i];
        if (amount(there, d->key) || !take_room(g, strlen(d->key) + strlen(d->value->string)))
            continue;
        Entry *e = fresh[fresh_len++] = api_new(a, Meta__V1__QuantityEntry);
        e->key = arena_strdup(a, d->key);
        e->value->string = arena_strdup(a, d->value->string);
        texts_add(&set, e->key);
    }
    map_free(&index);
    quantity_map_fill(a, items, n, fresh, fresh_len);
    if (set.len)
        qsort(set.items, set.len, sizeof *set.items, cstr_order);
    return texts_join(&set, ", ");
}

static void default_containers(struct given *g, const Core__V1__LimitRangeItem *item,
                               Core__V1__Container **list, size_t n, const char *what)
{
    struct arena *a = g->a;
    for (size_t i = 0; i < n && !g->full; i++) {
        Core__V1__Container *c = list[i];
        if (!c->resources)
            c->resources = api_new(a, Core__V1__ResourceRequirements);
        const char *limits =
            merge(g, AMOUNTS(item, default_), &c->resources->limits, &c->resources->n_limits);
        const char *requests = merge(g, AMOUNTS(item, default_request), &c->resources->requests,
                                     &c->resources->n_requests);
        if (*requests)
            texts_add(&g->said, arena_printf(a, "%s request for %s %s", requests, what, c->name));
        if (*limits)
            texts_add(&g->said, arena_printf(a, "%s limit for %s %s", limits, what, c->name));
    }
}

bool limits_default(struct arena *a, const Core__V1__LimitRange *range, Core__V1__Pod *pod,
                    size_t *room)
{
    struct given g = {.a = a, .said = {.a = a}, .room = room};
    for (size_t i = 0; i < range->spec->n_limits; i++) {
        const Core__V1__LimitRangeItem *item = range->spec->limits[i];
        if (strcmp(item->type, "Container") != 0)
            continue;
        default_containers(&g, item, pod->spec->containers, pod->spec->n_containers, "container");
        default_containers(&g, item, pod->spec->init_containers, pod->spec->n_init_containers,
                           "init container");
    }
    if (g.said.len && !g.full)
        annotations_set(a, pod->metadata, "kubernetes.io/limit-ranger",
                        arena_printf(a, "LimitRanger plugin set: %s", texts_join(&g.said, "; ")));
    return !g.full;
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
    for (size_t i = 0; i < item->n_min && !texts_full(s->errors); i++)
        check_min(s, item->min[i]->key, item->min[i]->value->string);
    for (size_t i = 0; i < item->n_max && !texts_full(s->errors); i++)
        check_max(s, item->max[i]->key, item->max[i]->value->string, false);
    for (size_t i = 0; i < item->n_max_limit_request_ratio && !texts_full(s->errors); i++)
        check_ratio(s, item->max_limit_request_ratio[i]->key,
                    item->max_limit_request_ratio[i]->value->string);
}

static struct amounts of_container(const Core__V1__Container *c, bool limits)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    if (!r)
        return (struct amounts){NULL, 0};
    return limits ? AMOUNTS(r, limits) : AMOUNTS(r, requests);
}

static void check_amounts(struct subject s, const Core__V1__LimitRangeItem *item,
                          struct amounts requests, struct amounts limits)
{
    struct map index[2];
    s.requests = requests;
    s.limits = limits;
    amounts_index(&s.requests, &index[0]);
    amounts_index(&s.limits, &index[1]);
    check_item(&s, item);
    map_free(&index[0]);
    map_free(&index[1]);
}

static void check_containers(struct subject s, const Core__V1__LimitRangeItem *item,
                             Core__V1__Container *const *list, size_t n)
{
    for (size_t i = 0; i < n && !texts_full(s.errors); i++)
        check_amounts(s, item, of_container(list[i], false), of_container(list[i], true));
}

/* ---- a pod's sum ---- */

/* A resource counts for the pod when every one of its containers names it; init containers raise the
 * sum to what the largest of them needs, on top of the sidecars started before it. */
static struct amounts pod_amounts(struct arena *a, const Core__V1__PodSpec *spec, bool limits)
{
    size_t len = 0;
    struct usage sum = usage_of_containers(a, spec, limits), naming = {.a = a};
    for (size_t i = 0; i < spec->n_containers; i++) {
        const struct amounts m = of_container(spec->containers[i], limits);
        for (size_t k = 0; k < m.len; k++)
            usage_add(&naming, m.items[k]->key, quantity_from_i64(1, QUANTITY_DECIMAL_SI));
    }
    const struct quantity all = quantity_from_i64((int64_t)spec->n_containers, QUANTITY_DECIMAL_SI);
    Entry **items = arena_array(a, Entry *, naming.len);
    for (size_t i = 0; i < naming.len; i++) {
        if (quantity_cmp(naming.items[i].amount, all) != 0)
            continue;
        Entry *e = items[len++] = api_new(a, Meta__V1__QuantityEntry);
        e->key = (char *)naming.items[i].name;
        e->value->string = (char *)quantity_text(a, usage_get(&sum, e->key));
    }
    return (struct amounts){items, len};
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
            check_amounts(*s, item, pod_amounts(s->a, pod->spec, false),
                          pod_amounts(s->a, pod->spec, true));
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
        for (size_t k = 0; k < item->n_min && !texts_full(s->errors); k++)
            check_min(s, item->min[k]->key, item->min[k]->value->string);
        for (size_t k = 0; k < item->n_max && !texts_full(s->errors); k++)
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
