/*
 * What objects cost under a ResourceQuota: see quota_usage.h.
 */
#include "apiserver/admission/quota_usage.h"
#include "api/object.h"
#include "base/arena_text.h"
#include "base/map.h"
#include "base/str.h"
#include <stdlib.h>

typedef Meta__V1__QuantityEntry Entry;

/* ---- amounts by name ---- */

#define FEW 16 /* so many are compared one by one */

/* The slot that has the name, or the free one where it belongs. */
static uint32_t *slot_of(const struct usage *u, const char *name)
{
    size_t i = hash_bytes(name, strlen(name)) & (u->slots_len - 1);
    while (u->slots[i] && strcmp(u->items[u->slots[i] - 1].name, name) != 0)
        i = (i + 1) & (u->slots_len - 1);
    return &u->slots[i];
}

static void index_all(struct usage *u)
{
    u->slots_len = FEW;
    while (u->slots_len < 4 * u->len)
        u->slots_len *= 2;
    u->slots = arena_array(u->a, uint32_t, u->slots_len);
    for (size_t i = 0; i < u->len; i++)
        *slot_of(u, u->items[i].name) = (uint32_t)i + 1;
}

static struct usage_item *find(const struct usage *u, const char *name)
{
    if (u->slots) {
        uint32_t place = *slot_of(u, name);
        return place ? &u->items[place - 1] : NULL;
    }
    for (size_t i = 0; i < u->len; i++)
        if (strcmp(u->items[i].name, name) == 0)
            return &u->items[i];
    return NULL;
}

bool usage_has(const struct usage *u, const char *name)
{
    return find(u, name) != NULL;
}

struct quantity usage_get(const struct usage *u, const char *name)
{
    const struct usage_item *item = find(u, name);
    return item ? item->amount : (struct quantity){0};
}

void usage_add(struct usage *u, const char *name, struct quantity amount)
{
    struct usage_item *item = find(u, name);
    if (item) {
        item->amount = quantity_add(item->amount, amount);
        return;
    }
    if (u->len == u->cap) {
        size_t cap = u->cap ? u->cap * 2 : 16;
        u->items = arena_grow(u->a, u->items, u->cap * sizeof *u->items, cap * sizeof *u->items);
        u->cap = cap;
    }
    u->items[u->len++] = (struct usage_item){arena_strdup(u->a, name), amount};
    if (u->slots ? 2 * u->len > u->slots_len : u->len > FEW)
        index_all(u);
    else if (u->slots)
        *slot_of(u, name) = (uint32_t)u->len;
}

struct usage usage_of_entries(struct arena *a, Entry *const *entries, size_t n)
{
    struct usage u = {.a = a};
    for (size_t i = 0; i < n; i++)
        if (!find(&u, entries[i]->key))
            usage_add(&u, entries[i]->key, quantity_of(entries[i]->value->string));
    return u;
}

static void add_count(struct usage *u, const char *name, int64_t n)
{
    usage_add(u, name, quantity_from_i64(n, QUANTITY_DECIMAL_SI));
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const struct usage_item *)x)->name, ((const struct usage_item *)y)->name);
}

const char *usage_text(struct usage *u)
{
    struct arena_text text = {.a = u->a};
    if (u->len)
        qsort(u->items, u->len, sizeof *u->items, by_name);
    if (u->slots)
        index_all(u);
    for (size_t i = 0; i < u->len; i++)
        arena_text_addf(&text, "%s%s=%s", i ? "," : "", u->items[i].name,
                        quantity_text(u->a, u->items[i].amount));
    return arena_text_of(&text);
}

/* ---- pods ---- */

static bool is_sidecar(const Core__V1__Container *c)
{
    return c->restart_policy && strcmp(c->restart_policy, "Always") == 0;
}

static void add_entries(struct usage *u, Entry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        usage_add(u, items[i]->key, quantity_of(items[i]->value->string));
}

static void raise_one(struct usage *u, const char *name, struct quantity floor)
{
    struct usage_item *item = find(u, name);
    if (!item)
        usage_add(u, name, floor);
    else if (quantity_cmp(item->amount, floor) < 0)
        item->amount = floor;
}

static void raise_to(struct usage *u, const struct usage *floor)
{
    for (size_t i = 0; i < floor->len; i++)
        raise_one(u, floor->items[i].name, floor->items[i].amount);
}

static void add_container(struct usage *u, const Core__V1__Container *c, bool limits)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    if (r && limits)
        add_entries(u, r->limits, r->n_limits);
    else if (r)
        add_entries(u, r->requests, r->n_requests);
}

/* What an init container needs beside the sidecars before it. What it does not name, they need alone: of that, `init`
 * has as much since the last of them came. */
static void raise_beside(struct usage *init, const struct usage *sidecars,
                         const Core__V1__Container *c, bool limits)
{
    struct usage own = {.a = init->a};
    add_container(&own, c, limits);
    for (size_t i = 0; i < own.len; i++) {
        const struct usage_item *beside = find(sidecars, own.items[i].name);
        struct quantity amount = own.items[i].amount;
        raise_one(init, own.items[i].name, beside ? quantity_add(beside->amount, amount) : amount);
    }
}

static bool has_any(const Core__V1__PodSpec *spec)
{
    return spec->resources && (spec->resources->n_requests || spec->resources->n_limits);
}

/* Amounts of the pod as a whole win over those of its containers. */
static void pod_level(struct usage *u, const Core__V1__PodSpec *spec, bool limits)
{
    if (!has_any(spec))
        return;
    Entry *const *items = limits ? spec->resources->limits : spec->resources->requests;
    size_t n = limits ? spec->resources->n_limits : spec->resources->n_requests;
    for (size_t i = 0; i < n; i++) {
        struct usage_item *item = find(u, items[i]->key);
        if (item)
            item->amount = quantity_of(items[i]->value->string);
        else
            usage_add(u, items[i]->key, quantity_of(items[i]->value->string));
    }
}

struct usage usage_of_containers(struct arena *a, const Core__V1__PodSpec *spec, bool limits)
{
    struct usage sum = {.a = a}, sidecars = {.a = a}, init = {.a = a};
    for (size_t i = 0; i < spec->n_containers; i++)
        add_container(&sum, spec->containers[i], limits);
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        raise_beside(&init, &sidecars, spec->init_containers[i], limits);
        if (is_sidecar(spec->init_containers[i]))
            add_container(&sidecars, spec->init_containers[i], limits);
    }
    for (size_t k = 0; k < sidecars.len; k++)
        usage_add(&sum, sidecars.items[k].name, sidecars.items[k].amount);
    raise_to(&sum, &init);
    return sum;
}

/* Those of a pod: with what it says as a whole, and the overhead. */
static struct usage pod_amounts(struct arena *a, const Core__V1__PodSpec *spec, bool limits)
{
    struct usage sum = usage_of_containers(a, spec, limits);
    pod_level(&sum, spec, limits);
    for (size_t i = 0; i < spec->n_overhead; i++)
        if (!limits || usage_has(&sum, spec->overhead[i]->key))
            usage_add(&sum, spec->overhead[i]->key, quantity_of(spec->overhead[i]->value->string));
    return sum;
}

static bool is_compute(const char *name)
{
    return strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0 ||
           strcmp(name, "ephemeral-storage") == 0;
}

static void add_named(struct usage *u, const char *prefix, const struct usage_item *item)
{
    usage_add(u, arena_printf(u->a, "%s%s", prefix, item->name), item->amount);
}

/* Names of a pod's amounts: cpu is also requests.cpu; what is no part of Kubernetes, requests.… only. */
static void add_compute(struct usage *u, const Core__V1__PodSpec *spec)
{
    struct usage requests = pod_amounts(u->a, spec, false), limits = pod_amounts(u->a, spec, true);
    for (size_t i = 0; i < requests.len; i++) {
        const char *name = requests.items[i].name;
        if (is_compute(name) || strncmp(name, "hugepages-", 10) == 0)
            usage_add(u, name, requests.items[i].amount);
        if (is_compute(name) || strncmp(name, "hugepages-", 10) == 0 || strchr(name, '/'))
            add_named(u, "requests.", &requests.items[i]);
    }
    for (size_t i = 0; i < limits.len; i++)
        if (is_compute(limits.items[i].name))
            add_named(u, "limits.", &limits.items[i]);
}

static void usage_of_pod(struct usage *u, const Core__V1__Pod *pod)
{
    const char *phase = pod->status ? pod->status->phase : "";
    if (strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0)
        return; /* it holds nothing any more; only the object counts */
    add_count(u, "pods", 1);
    add_compute(u, pod->spec);
}

/* ---- the other kinds ---- */

static void usage_of_service(struct usage *u, const Core__V1__Service *s)
{
    bool balancer = strcmp(s->spec->type, "LoadBalancer") == 0;
    int64_t node_ports = 0;
    add_count(u, "services", 1);
    if (strcmp(s->spec->type, "NodePort") == 0) {
        node_ports = (int64_t)s->spec->n_ports;
    } else if (balancer) {
        bool allocated = api_get(s->spec, allocate_load_balancer_node_ports, true);
        for (size_t i = 0; i < s->spec->n_ports; i++)
            node_ports += allocated || s->spec->ports[i]->node_port != 0;
    }
    if (node_ports)
        add_count(u, "services.nodeports", node_ports);
    if (balancer)
        add_count(u, "services.loadbalancers", 1);
}

static void usage_of_claim(struct usage *u, const Core__V1__PersistentVolumeClaim *c)
{
    const char *class = annotations_get(c->metadata, "volume.beta.kubernetes.io/storage-class");
    if (!class)
        class = c->spec->storage_class_name;
    const Core__V1__VolumeResourceRequirements *r = c->spec->resources;
    const char *storage = r ? quantity_map_get(r->requests, r->n_requests, "storage") : NULL;
    add_count(u, "persistentvolumeclaims", 1);
    if (storage)
        usage_add(u, "requests.storage", quantity_of(storage));
    if (!class || !*class)
        return;
    add_count(u, arena_printf(u->a, "%s.storageclass.storage.k8s.io/persistentvolumeclaims", class),
              1);
    if (storage)
        usage_add(u, arena_printf(u->a, "%s.storageclass.storage.k8s.io/requests.storage", class),
                  quantity_of(storage));
}

/* Kinds that may be counted by their plain name. */
static bool counts_plainly(const struct resource *r)
{
    switch (r->stored_as) {
    case Core__V1__ConfigMap__SCHEMA:
    case Core__V1__Secret__SCHEMA:
    case Core__V1__ReplicationController__SCHEMA:
    case Core__V1__ResourceQuota__SCHEMA:
        return true;
    default:
        return false;
    }
}

void usage_of_object(struct usage *u, const struct resource *r, const void *object)
{
    add_count(u, arena_printf(u->a, *r->group ? "count/%s.%s" : "count/%s%s", r->plural, r->group),
              1);
    if (counts_plainly(r))
        add_count(u, r->plural, 1);
    else if (r->stored_as == Core__V1__Pod__SCHEMA)
        usage_of_pod(u, object);
    else if (r->stored_as == Core__V1__Service__SCHEMA)
        usage_of_service(u, object);
    else if (r->stored_as == Core__V1__PersistentVolumeClaim__SCHEMA)
        usage_of_claim(u, object);
}

bool usage_concerns(const struct resource *r, const char *name)
{
    if (strncmp(name, "count/", 6) == 0) {
        size_t n = strlen(r->plural);
        const char *rest = name + 6;
        if (strncmp(rest, r->plural, n) != 0)
            return false;
        return *r->group ? rest[n] == '.' && strcmp(rest + n + 1, r->group) == 0 : rest[n] == 0;
    }
    bool storage = strstr(name, ".storageclass.storage.k8s.io/") ||
                   strcmp(name, "requests.storage") == 0 ||
                   strcmp(name, "persistentvolumeclaims") == 0;
    switch (r->stored_as) {
    case Core__V1__Pod__SCHEMA:
        return !storage && (strcmp(name, "pods") == 0 || is_compute(name) ||
                            strncmp(name, "hugepages-", 10) == 0 ||
                            strncmp(name, "requests.", 9) == 0 || strncmp(name, "limits.", 7) == 0);
    case Core__V1__Service__SCHEMA:
        return strcmp(name, "services") == 0 || strcmp(name, "services.nodeports") == 0 ||
               strcmp(name, "services.loadbalancers") == 0;
    case Core__V1__PersistentVolumeClaim__SCHEMA:
        return storage;
    default:
        return counts_plainly(r) && strcmp(name, r->plural) == 0;
    }
}

/* ---- scopes ---- */

static bool terms_cross(Core__V1__PodAffinityTerm *const *terms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (terms[i]->n_namespaces || terms[i]->namespace_selector)
            return true;
    return false;
}

static bool weighted_cross(Core__V1__WeightedPodAffinityTerm *const *terms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (terms_cross(&terms[i]->pod_affinity_term, 1))
            return true;
    return false;
}

static bool crosses_namespaces(const Core__V1__Affinity *a)
{
    const Core__V1__PodAffinity *p = a ? a->pod_affinity : NULL;
    const Core__V1__PodAntiAffinity *q = a ? a->pod_anti_affinity : NULL;
    return (p && (terms_cross(p->required_during_scheduling_ignored_during_execution,
                              p->n_required_during_scheduling_ignored_during_execution) ||
                  weighted_cross(p->preferred_during_scheduling_ignored_during_execution,
                                 p->n_preferred_during_scheduling_ignored_during_execution))) ||
           (q && (terms_cross(q->required_during_scheduling_ignored_during_execution,
                              q->n_required_during_scheduling_ignored_during_execution) ||
                  weighted_cross(q->preferred_during_scheduling_ignored_during_execution,
                                 q->n_preferred_during_scheduling_ignored_during_execution)));
}

static bool any_positive(Entry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((strcmp(items[i]->key, "cpu") == 0 || strcmp(items[i]->key, "memory") == 0) &&
            !quantity_is_zero(quantity_of(items[i]->value->string)))
            return true;
    return false;
}

static bool names_resources(Core__V1__Container *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Core__V1__ResourceRequirements *r = list[i]->resources;
        if (r && (any_positive(r->requests, r->n_requests) || any_positive(r->limits, r->n_limits)))
            return true;
    }
    return false;
}

static bool is_best_effort(const Core__V1__PodSpec *spec)
{
    return !names_resources(spec->containers, spec->n_containers) &&
           !names_resources(spec->init_containers, spec->n_init_containers) &&
           !(spec->resources &&
             (any_positive(spec->resources->requests, spec->resources->n_requests) ||
              any_positive(spec->resources->limits, spec->resources->n_limits)));
}

static bool class_matches(const char *class, const char *op, char *const *values, size_t n)
{
    bool has = class && *class, among = false;
    for (size_t i = 0; i < n; i++)
        among |= has && strcmp(values[i], class) == 0;
    if (strcmp(op, "In") == 0)
        return among;
    if (strcmp(op, "NotIn") == 0)
        return !among;
    return strcmp(op, "Exists") == 0 ? has : !has;
}

static bool pod_in_scope(const Core__V1__PodSpec *spec, const char *scope, const char *op,
                         char *const *values, size_t n)
{
    bool deadline = spec->has_active_deadline_seconds;
    if (strcmp(scope, "Terminating") == 0)
        return deadline;
    if (strcmp(scope, "NotTerminating") == 0)
        return !deadline;
    if (strcmp(scope, "BestEffort") == 0)
        return is_best_effort(spec);
    if (strcmp(scope, "NotBestEffort") == 0)
        return !is_best_effort(spec);
    if (strcmp(scope, "PriorityClass") == 0)
        return class_matches(spec->priority_class_name, op, values, n);
    return strcmp(scope, "CrossNamespacePodAffinity") == 0 && crosses_namespaces(spec->affinity);
}

static bool in_scope(const struct resource *r, const void *object, const char *scope,
                     const char *op, char *const *values, size_t n)
{
    if (r->stored_as == Core__V1__Pod__SCHEMA)
        return pod_in_scope(((const Core__V1__Pod *)object)->spec, scope, op, values, n);
    if (r->stored_as == Core__V1__PersistentVolumeClaim__SCHEMA &&
        strcmp(scope, "VolumeAttributesClass") == 0)
        return class_matches(
            ((const Core__V1__PersistentVolumeClaim *)object)->spec->volume_attributes_class_name,
            op, values, n);
    return false; /* scopes are of pods */
}

bool quota_takes(const Core__V1__ResourceQuotaSpec *spec, const struct resource *r,
                 const void *object)
{
    for (size_t i = 0; i < spec->n_scopes; i++)
        if (!in_scope(r, object, spec->scopes[i], "Exists", NULL, 0))
            return false;
    const Core__V1__ScopeSelector *s = spec->scope_selector;
    for (size_t i = 0; s && i < s->n_match_expressions; i++) {
        const Core__V1__ScopedResourceSelectorRequirement *e = s->match_expressions[i];
        if (!in_scope(r, object, e->scope_name, e->operator_, e->values, e->n_values))
            return false;
    }
    return true;
}

/* ---- what must be named ---- */

static bool container_names(const Core__V1__Container *c, const char *name)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    if (!r)
        return false;
    if (strncmp(name, "limits.", 7) == 0)
        return quantity_map_get(r->limits, r->n_limits, name + 7) != NULL;
    return quantity_map_get(r->requests, r->n_requests,
                            strncmp(name, "requests.", 9) == 0 ? name + 9 : name) != NULL;
}

static bool pod_names(const Core__V1__PodSpec *spec, const char *name)
{
    Core__V1__Container whole = {.resources = spec->resources};
    return container_names(&whole, name);
}

/* "c1,c2": those that do not name it, sorted; "" for none. */
static const char *not_naming(struct arena *a, const Core__V1__PodSpec *spec, const char *name)
{
    size_t n = 0;
    const char **bad =
        arena_array(a, const char *, spec->n_containers + spec->n_init_containers + 1);
    for (size_t i = 0; i < spec->n_containers; i++)
        if (!container_names(spec->containers[i], name))
            bad[n++] = spec->containers[i]->name;
    for (size_t i = 0; i < spec->n_init_containers; i++)
        if (!container_names(spec->init_containers[i], name))
            bad[n++] = spec->init_containers[i]->name;
    qsort(bad, n, sizeof *bad, cstr_order);
    return arena_join(a, bad, n, ",");
}

const char *quota_missing(struct arena *a, const Core__V1__ResourceQuotaSpec *spec,
                          const Core__V1__Pod *pod)
{
    static const char *const asked[] = {"cpu",    "limits.cpu",   "limits.memory",
                                        "memory", "requests.cpu", "requests.memory"};
    const char *text = "";
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        if (!quantity_map_get(spec->hard, spec->n_hard, asked[i]) || pod_names(pod->spec, asked[i]))
            continue;
        const char *who = not_naming(a, pod->spec, asked[i]);
        if (*who)
            text = arena_printf(a, "%s%s%s for: %s", text, *text ? "; " : "", asked[i], who);
    }
    return *text ? arena_printf(a, "must specify %s", text) : NULL;
}
