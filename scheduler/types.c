/*
 * Pod facts (scheduler/types.h): how much a pod asks of a node, and which host ports.
 *
 * A pod takes the larger of what its containers need together and what its init containers need
 * while they run one after the other; init containers that keep running (sidecars, restartPolicy
 * Always) count for both. Pod-level requests replace the sum for the resources they name, and
 * overhead comes on top.
 */
#include "scheduler/types.h"

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"
#include "base/vec.h"

#define SCORE_MILLI_CPU 100
#define SCORE_MEMORY_BYTES (200ll * 1024 * 1024)

static int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t resources_named(const struct resources *r, const char *name)
{
    for (size_t i = 0; i < r->named_len; i++)
        if (strcmp(r->named[i].name, name) == 0)
            return r->named[i].value;
    return 0;
}

static struct named_amount *named_slot(struct arena *a, struct resources *r, const char *name)
{
    for (size_t i = 0; i < r->named_len; i++)
        if (strcmp(r->named[i].name, name) == 0)
            return &r->named[i];
    r->named = arena_grow(a, r->named, r->named_len * sizeof *r->named,
                          (r->named_len + 1) * sizeof *r->named);
    r->named[r->named_len] = (struct named_amount){name, 0};
    return &r->named[r->named_len++];
}

void resources_parse(struct arena *a, Meta__V1__QuantityEntry *const *entries, size_t n,
                     struct resources *r)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = entries[i]->key;
        struct quantity q = quantity_of(entries[i]->value->string);
        if (strcmp(name, "cpu") == 0)
            r->milli_cpu = quantity_milli(q);
        else if (strcmp(name, "memory") == 0)
            r->memory_bytes = quantity_value(q);
        else if (strcmp(name, "ephemeral-storage") == 0)
            r->ephemeral_bytes = quantity_value(q);
        else if (strcmp(name, "pods") == 0)
            r->pods = quantity_value(q);
        else
            named_slot(a, r, name)->value = quantity_value(q);
    }
}

static void add(struct arena *a, struct resources *to, const struct resources *r)
{
    to->milli_cpu = saturating_add(to->milli_cpu, r->milli_cpu);
    to->memory_bytes = saturating_add(to->memory_bytes, r->memory_bytes);
    to->ephemeral_bytes = saturating_add(to->ephemeral_bytes, r->ephemeral_bytes);
    for (size_t i = 0; i < r->named_len; i++) {
        struct named_amount *slot = named_slot(a, to, r->named[i].name);
        slot->value = saturating_add(slot->value, r->named[i].value);
    }
}

static void raise(struct arena *a, struct resources *to, const struct resources *r)
{
    to->milli_cpu = MAX(to->milli_cpu, r->milli_cpu);
    to->memory_bytes = MAX(to->memory_bytes, r->memory_bytes);
    to->ephemeral_bytes = MAX(to->ephemeral_bytes, r->ephemeral_bytes);
    for (size_t i = 0; i < r->named_len; i++) {
        struct named_amount *slot = named_slot(a, to, r->named[i].name);
        slot->value = MAX(slot->value, r->named[i].value);
    }
}

/* The requests of one container, with the scoring defaults when `for_score`. */
static struct resources container_request(struct arena *a, const Core__V1__Container *c,
                                          bool for_score)
{
    struct resources r = {0};
    const Core__V1__ResourceRequirements *want = c->resources;
    resources_parse(a, want->requests, want->n_requests, &r);
    if (for_score && !quantity_map_get(want->requests, want->n_requests, "cpu"))
        r.milli_cpu = SCORE_MILLI_CPU;
    if (for_score && !quantity_map_get(want->requests, want->n_requests, "memory"))
        r.memory_bytes = SCORE_MEMORY_BYTES;
    return r;
}

static struct resources pod_request(struct arena *a, const Core__V1__PodSpec *spec, bool for_score)
{
    struct resources total = {0}, sidecars = {0}, init_peak = {0};
    for (size_t i = 0; i < spec->n_containers; i++) {
        struct resources r = container_request(a, spec->containers[i], for_score);
        add(a, &total, &r);
    }
    for (size_t i = 0; i < spec->n_init_containers; i++) {
        const Core__V1__Container *c = spec->init_containers[i];
        struct resources r = container_request(a, c, for_score);
        if (cstr_eq(c->restart_policy, "Always")) {
            add(a, &total, &r);
            add(a, &sidecars, &r);
            raise(a, &init_peak, &sidecars);
        } else {
            add(a, &r, &sidecars);
            raise(a, &init_peak, &r);
        }
    }
    raise(a, &total, &init_peak);
    if (spec->resources)
        resources_parse(a, spec->resources->requests, spec->resources->n_requests, &total);
    struct resources overhead = {0};
    resources_parse(a, spec->overhead, spec->n_overhead, &overhead);
    add(a, &total, &overhead);
    return total;
}

static void collect_ports(struct pod_facts *f)
{
    const Core__V1__PodSpec *spec = f->pod->spec;
    for (size_t c = 0; c < spec->n_containers; c++) {
        for (size_t i = 0; i < spec->containers[c]->n_ports; i++) {
            const Core__V1__ContainerPort *p = spec->containers[c]->ports[i];
            if (p->host_port <= 0)
                continue;
            f->ports = arena_grow(&f->arena, f->ports, f->ports_len * sizeof *f->ports,
                                  (f->ports_len + 1) * sizeof *f->ports);
            f->ports[f->ports_len++] =
                (struct host_port){*p->host_ip ? p->host_ip : "0.0.0.0",
                                   *p->protocol ? p->protocol : "TCP", p->host_port};
        }
    }
}

struct pod_facts *pod_facts_new(struct object *object)
{
    struct pod_facts *f = mem_zalloc(sizeof *f);
    atomic_init(&f->refs, 1);
    arena_init(&f->arena);
    f->object = object_ref(object);
    f->pod = object->msg;
    f->key = informer_key(&f->arena, object->ns, object->name);
    f->uid = object->uid;
    f->priority = api_get(f->pod->spec, priority, 0);
    f->request = pod_request(&f->arena, f->pod->spec, false);
    struct resources score = pod_request(&f->arena, f->pod->spec, true);
    f->score_milli_cpu = score.milli_cpu;
    f->score_memory_bytes = score.memory_bytes;
    collect_ports(f);
    return f;
}

struct pod_facts *pod_facts_ref(struct pod_facts *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void pod_facts_unref(struct pod_facts *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    object_unref(f->object);
    arena_free(&f->arena);
    mem_free(f);
}
