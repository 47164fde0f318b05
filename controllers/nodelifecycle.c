/*
 * Node lifecycle controller: notices nodes that have fallen silent, and taints nodes by their
 * conditions.
 *
 * A node is alive when its lease (kube-node-lease/<name>) or its Ready condition's heartbeat
 * changes. The time of the last change is taken by our own clock: clocks of different hosts are
 * never compared. A new leader therefore gives every node one grace period.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "controllers/nodelifecycle.h"
#include "controllers/pods.h"
#include "proto/coordination_v1.pb-c.h"
#include <pthread.h>

/* What was heard of a node, and when (by our clock). */
struct pulse {
    int64_t lease_ns, heartbeat_ns; /* last values seen; of the node's clock */
    uint64_t heard_ns;              /* when one of them changed */
};

struct lifecycle {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    struct informer *nodes, *leases, *pods;
    struct recorder *recorder;
    pthread_mutex_t lock;
    struct map pulses; /* node → struct pulse */
};

/* -------------------------------------------------------------------------------------- pulse ---
 */

static int64_t lease_renewed(struct lifecycle *c, const char *node)
{
    struct object *o = informer_get(c->leases, "kube-node-lease", node);
    const Coordination__V1__Lease *lease = o ? o->msg : NULL;
    int64_t ns = lease && lease->spec ? micro_time_ns(lease->spec->renew_time) : 0;
    object_unref(o);
    return ns;
}

static int64_t heartbeat(const Core__V1__Node *node)
{
    const Core__V1__NodeCondition *ready = node_condition(node, "Ready");
    return ready ? time_ns(ready->last_heartbeat_time) : 0;
}

/* How long the node has been silent. */
static uint64_t silent_ns(struct lifecycle *c, const Core__V1__Node *node)
{
    int64_t lease_ns = lease_renewed(c, node->metadata->name), beat_ns = heartbeat(node);
    uint64_t now = clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    struct pulse *p = map_get(&c->pulses, str_from(node->metadata->name));
    if (!p) {
        p = mem_zalloc(sizeof *p);
        p->heard_ns = now;
        map_put(&c->pulses, str_from(node->metadata->name), p);
    }
    if (p->lease_ns != lease_ns || p->heartbeat_ns != beat_ns) {
        p->lease_ns = lease_ns;
        p->heartbeat_ns = beat_ns;
        p->heard_ns = now;
    }
    uint64_t silent = now - p->heard_ns;
    pthread_mutex_unlock(&c->lock);
    return silent;
}

static void forget(struct lifecycle *c, const char *node)
{
    pthread_mutex_lock(&c->lock);
    mem_free(map_remove(&c->pulses, str_from(node)));
    pthread_mutex_unlock(&c->lock);
}

/* ------------------------------------------------------------------------------------- writes ---
 */

static void report(struct lifecycle *c, const struct object *o, const char *reason,
                   const char *text)
{
    struct event_target about = event_target_of(RESOURCE_NODES, o);
    recorder_event(c->recorder, &about, EVENT_NORMAL, reason, "Node %s status is now: %s", o->name,
                   text);
}

/* A pod on a silent node answers nobody: endpoints must not name it. */
static int mark_pods_not_ready(struct lifecycle *c, const char *node, struct arena *a,
                               struct error *err)
{
    struct object_refs pods = {0};
    informer_list_index(c->pods, BY_NODE, node, &pods);
    char now[CLOCK_RFC3339_MAX];
    clock_format_rfc3339(clock_wall_s(), 0, 0, now);
    const char *patch =
        arena_printf(a,
                     "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
                     "\"False\",\"reason\":\"NodeNotReady\",\"lastTransitionTime\":\"%s\"}]}}",
                     now);
    struct error failure = {0};
    for (size_t i = 0; i < pods.len; i++) {
        if (!pod_is_ready(pods.items[i]->msg))
            continue;
        struct error one = {0};
        struct client_options o = {.subresource = "status"};
        client_patch(c->client, RESOURCE_PODS, pods.items[i]->ns, pods.items[i]->name,
                     PATCH_STRATEGIC, str_from(patch), &o, a, &one);
        if (one.code && one.code != ERR_NOT_FOUND)
            failure = one;
    }
    object_refs_free(&pods);
    return write_result(&failure, err);
}

static int mark_silent(struct lifecycle *c, struct object *o, Core__V1__Node **node,
                       struct arena *a, struct error *err)
{
    if (!node_mark_unknown(a, (*node)->status, clock_wall_s()))
        return 0;
    log_warn("nodelifecycle", "node silent beyond the grace period, marked unknown node=%s",
             o->name);
    report(c, o, "NodeNotReady", "NodeNotReady");
    Core__V1__Node *stored = client_update_status(c->client, RESOURCE_NODES, *node, NULL, a, err);
    if (!stored)
        return err->code;
    *node = stored;
    return 0;
}

static int write_taints(struct lifecycle *c, Core__V1__Node *node, struct arena *a,
                        struct error *err)
{
    if (!node_set_taints(a, node->spec, node, clock_wall_s()))
        return 0;
    log_info("nodelifecycle", "taints follow conditions node=%s taints=%zu", node->metadata->name,
             node->spec->n_taints);
    struct error failure = {0};
    client_update(c->client, RESOURCE_NODES, node, NULL, a, &failure);
    return write_result(&failure, err);
}

/* ---------------------------------------------------------------------------------- reconcile ---
 */

/* A node that says itself that it is not ready still speaks for its pods; of a silent one nobody
 * does. */
static bool is_silent(const Core__V1__Node *node)
{
    const Core__V1__NodeCondition *ready = node_condition(node, "Ready");
    return ready && cstr_eq(ready->status, "Unknown");
}

static int look_at(struct lifecycle *c, struct object *o, struct arena *a, struct error *err)
{
    Core__V1__Node *node = object_clone(a, o->msg);
    const struct manager_options *options = manager_options(c->manager);
    bool started = node_condition(node, "Ready") != NULL;
    uint64_t grace_ms =
        (uint64_t)(started ? options->node_monitor_grace_ms : options->node_startup_grace_ms);
    if (silent_ns(c, node) >= grace_ms * NS_PER_MS && mark_silent(c, o, &node, a, err) < 0)
        return err->code;
    if (is_silent(node) && mark_pods_not_ready(c, o->name, a, err) < 0)
        return err->code;
    return write_taints(c, node, a, err);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct lifecycle *c = ctx;
    struct object *o = informer_get_key(c->nodes, key);
    if (!o) {
        forget(c, key);
        return 0;
    }
    struct arena a;
    arena_init(&a);
    int rc = look_at(c, o, &a, err);
    arena_free(&a);
    object_unref(o);
    workqueue_add_after(c->queue, key,
                        (uint64_t)manager_options(c->manager)->node_monitor_period_ms);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct lifecycle *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    c->recorder = manager_recorder(m, "node-controller");
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->pulses);
    c->nodes = manager_informer(m, RESOURCE_NODES);
    c->pods = manager_informer(m, RESOURCE_PODS);
    c->leases = manager_own_informer(
        m, &(struct informer_config){.resource = RESOURCE_LEASES, .ns = "kube-node-lease"});
    informer_enqueue(c->nodes, queue);
    return c;
}

static void close_controller(void *ctx)
{
    struct lifecycle *c = ctx;
    struct map_iter it = {0};
    while (map_next(&c->pulses, &it))
        mem_free(it.value);
    map_free(&c->pulses);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

const struct controller controller_nodelifecycle = {.name = "nodelifecycle",
                                                    .workers = 2,
                                                    .open = open_controller,
                                                    .reconcile = reconcile,
                                                    .close = close_controller};
