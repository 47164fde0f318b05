/*
 * How changes of pods and nodes get into the scheduler's cache and queue. All handlers run on the
 * client's I/O thread.
 */
#include "scheduler/scheduler_internal.h"

#include "api/object.h"
#include "base/log.h"

/* ------------------------------------------------------------------------------------- pods --- */

static bool is_assigned(const struct object *o)
{
    const Core__V1__Pod *pod = o->msg;
    return *pod->spec->node_name != '\0';
}

static bool is_ours(const struct scheduler *s, const struct object *o)
{
    const Core__V1__Pod *pod = o->msg;
    const char *wanted = pod->spec->scheduler_name;
    return cstr_eq(*wanted ? wanted : "default-scheduler", s->name);
}

bool pod_change_may_help(const Core__V1__Pod *old, const Core__V1__Pod *now)
{
    return !object_equal(old->spec, now->spec) ||
           !string_map_contains(old->metadata->labels, old->metadata->n_labels,
                                now->metadata->labels, now->metadata->n_labels);
}

static void pending(struct scheduler *s, struct object *old, struct object *o)
{
    if (!is_ours(s, o))
        return;
    struct pod_facts *facts = pod_facts_new(o);
    if (!framework_pre_enqueue(default_plugins, default_plugins_len, facts)) {
        queue_remove(s->queue, facts->key);
    } else if (!old || !framework_pre_enqueue(default_plugins, default_plugins_len,
                                              &(struct pod_facts){.pod = old->msg})) {
        if (!cache_is_assumed(s->cache, facts->key))
            queue_add(s->queue, facts);
    } else {
        queue_update(s->queue, facts, pod_change_may_help(old->msg, o->msg));
    }
    pod_facts_unref(facts);
}

static void assigned(struct scheduler *s, struct object *old, struct object *o)
{
    const Core__V1__Pod *pod = o->msg;
    struct pod_facts *facts = pod_facts_new(o);
    if (!old || !is_assigned(old)) {
        queue_remove(s->queue, facts->key);
        cache_set_pod(s->cache, facts, pod->spec->node_name);
        queue_event(s->queue, EVENT_POD_ASSIGNED);
    } else if (!object_equal(((const Core__V1__Pod *)old->msg)->spec, pod->spec)) {
        cache_set_pod(s->cache, facts, pod->spec->node_name);
        queue_event(s->queue, EVENT_POD_REMOVED); /* it may have shrunk */
    }
    pod_facts_unref(facts);
}

static void pod_add(void *ctx, struct object *o)
{
    if (is_assigned(o))
        assigned(ctx, NULL, o);
    else
        pending(ctx, NULL, o);
}

static void pod_update(void *ctx, struct object *old, struct object *o)
{
    if (is_assigned(o))
        assigned(ctx, old, o);
    else
        pending(ctx, old, o);
}

static void pod_delete(void *ctx, struct object *o)
{
    struct scheduler *s = ctx;
    struct arena a;
    arena_init(&a);
    const char *key = informer_key(&a, o->ns, o->name);
    queue_remove(s->queue, key);
    cache_remove_pod(s->cache, key); /* also one that was only assumed */
    queue_event(s->queue, EVENT_POD_REMOVED);
    arena_free(&a);
}

/* ------------------------------------------------------------------------------------ nodes --- */

static bool same_taints(const Core__V1__NodeSpec *a, const Core__V1__NodeSpec *b)
{
    if (a->n_taints != b->n_taints || a->unschedulable != b->unschedulable)
        return false;
    for (size_t i = 0; i < a->n_taints; i++)
        if (!object_equal(a->taints[i], b->taints[i]))
            return false;
    return true;
}

static bool same_quantities(Meta__V1__QuantityEntry *const *a, size_t n_a,
                            Meta__V1__QuantityEntry *const *b, size_t n_b)
{
    for (size_t i = 0; i < n_a; i++)
        if (!cstr_eq(quantity_map_get(b, n_b, a[i]->key), a[i]->value->string))
            return false;
    return n_a == n_b;
}

static bool same_labels(const Meta__V1__ObjectMeta *a, const Meta__V1__ObjectMeta *b)
{
    return a->n_labels == b->n_labels &&
           string_map_contains(a->labels, a->n_labels, b->labels, b->n_labels);
}

uint32_t node_changes(const Core__V1__Node *old, const Core__V1__Node *now)
{
    uint32_t events = 0;
    if (!same_quantities(old->status->allocatable, old->status->n_allocatable,
                         now->status->allocatable, now->status->n_allocatable))
        events |= EVENT_NODE_ALLOCATABLE;
    if (!same_labels(old->metadata, now->metadata))
        events |= EVENT_NODE_LABELS;
    if (!same_taints(old->spec, now->spec))
        events |= EVENT_NODE_TAINTS;
    return events;
}

static void node_add(void *ctx, struct object *o)
{
    struct scheduler *s = ctx;
    cache_set_node(s->cache, o);
    queue_event(s->queue, EVENT_NODE_ADDED);
}

static void node_update(void *ctx, struct object *old, struct object *o)
{
    struct scheduler *s = ctx;
    uint32_t events = node_changes(old->msg, o->msg);
    if (!events)
        return; /* a heartbeat */
    cache_set_node(s->cache, o);
    queue_event(s->queue, events);
}

static void node_delete(void *ctx, struct object *o)
{
    struct scheduler *s = ctx;
    cache_remove_node(s->cache, o->name);
}

/* ------------------------------------------------------------------------------------- both --- */

/* What no decision looks at. */
static void trim_node(void *msg)
{
    Core__V1__Node *node = msg;
    node->status->n_images = 0;
    node->metadata->n_annotations = 0;
}

static void trim_pod(void *msg)
{
    Core__V1__Pod *pod = msg;
    pod->metadata->n_annotations = 0;
    pod->status->n_container_statuses = 0;
    pod->status->n_init_container_statuses = 0;
    pod->spec->n_volumes = 0;
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        pod->spec->containers[i]->n_env = 0;
        pod->spec->containers[i]->n_volume_mounts = 0;
        pod->spec->containers[i]->n_command = 0;
        pod->spec->containers[i]->n_args = 0;
    }
}

void scheduler_watch(struct scheduler *s)
{
    s->nodes = informer_new(
        s->client, &(struct informer_config){.resource = RESOURCE_NODES, .trim = trim_node});
    informer_add_handler(s->nodes, &(struct informer_handler){.on_add = node_add,
                                                              .on_update = node_update,
                                                              .on_delete = node_delete,
                                                              .ctx = s});
    /* A pod that has ended leaves the selection, which is a deletion for us. */
    s->pods = informer_new(
        s->client,
        &(struct informer_config){.resource = RESOURCE_PODS,
                                  .field_selector = "status.phase!=Succeeded,status.phase!=Failed",
                                  .trim = trim_pod});
    informer_add_handler(s->pods, &(struct informer_handler){.on_add = pod_add,
                                                             .on_update = pod_update,
                                                             .on_delete = pod_delete,
                                                             .ctx = s});
    informer_start(s->nodes);
    informer_start(s->pods);
}
