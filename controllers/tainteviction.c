/*
 * Taint eviction controller: deletes pods from nodes with NoExecute taints, once their
 * tolerationSeconds are over.
 *
 * Keys are pods. The time comes from the taint's timeAdded, so a restart neither shortens nor
 * prolongs it.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/nodelifecycle.h"
#include "controllers/pods.h"

struct eviction {
    struct client *client;
    struct workqueue *queue;
    struct informer *nodes, *pods;
    struct recorder *recorder;
};

static bool has_no_execute(const Core__V1__Node *node)
{
    for (size_t i = 0; i < node->spec->n_taints; i++)
        if (cstr_eq(node->spec->taints[i]->effect, "NoExecute"))
            return true;
    return false;
}

static void enqueue_pods_of(struct eviction *c, const struct object *node)
{
    if (!has_no_execute(node->msg))
        return;
    struct object_refs pods = {0};
    informer_list_index(c->pods, BY_NODE, node->name, &pods);
    for (size_t i = 0; i < pods.len; i++) {
        struct arena a;
        arena_init(&a);
        workqueue_add(c->queue, informer_key(&a, pods.items[i]->ns, pods.items[i]->name));
        arena_free(&a);
    }
    object_refs_free(&pods);
}

/* Most nodes have no such taint: their pods' changes are nothing to us. */
static void pod_changed(void *ctx, struct object *o)
{
    struct eviction *c = ctx;
    const Core__V1__Pod *pod = o->msg;
    struct object *node =
        *pod->spec->node_name ? informer_get(c->nodes, "", pod->spec->node_name) : NULL;
    if (node && has_no_execute(node->msg)) {
        struct arena a;
        arena_init(&a);
        workqueue_add(c->queue, informer_key(&a, o->ns, o->name));
        arena_free(&a);
    }
    object_unref(node);
}

static void pod_updated(void *ctx, struct object *old, struct object *o)
{
    (void)old;
    pod_changed(ctx, o);
}

static void node_add(void *ctx, struct object *node)
{
    enqueue_pods_of(ctx, node);
}

static void node_update(void *ctx, struct object *old, struct object *node)
{
    (void)old;
    enqueue_pods_of(ctx, node);
}

static int evict(struct eviction *c, struct object *o, struct error *err)
{
    struct event_target about = event_target_of(RESOURCE_PODS, o);
    recorder_event(c->recorder, &about, EVENT_NORMAL, "TaintManagerEviction",
                   "Marking for deletion Pod %s/%s", o->ns, o->name);
    log_info("tainteviction", "node's taints not tolerated any longer, deleting pod=%s/%s", o->ns,
             o->name);
    struct delete_options d = {.grace_period_s = -1, .uid = o->uid};
    struct error failure = {0};
    client_delete(c->client, RESOURCE_PODS, o->ns, o->name, &d, NULL, &failure);
    return write_result(&failure, err);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct eviction *c = ctx;
    struct object *o = informer_get_key(c->pods, key);
    const Core__V1__Pod *pod = o ? o->msg : NULL;
    struct object *node = pod && *pod->spec->node_name && pod_is_active(pod)
                              ? informer_get(c->nodes, "", pod->spec->node_name)
                              : NULL;
    int rc = 0;
    if (node) {
        int64_t now_s = clock_wall_s(), at = pod_eviction_time(pod, node->msg, now_s);
        if (at <= now_s)
            rc = evict(c, o, err);
        else if (at != INT64_MAX)
            workqueue_add_after(c->queue, key, (uint64_t)(at - now_s) * 1000);
    }
    object_unref(node);
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct eviction *c = mem_zalloc(sizeof *c);
    c->client = manager_client(m);
    c->queue = queue;
    c->recorder = manager_recorder(m, "taint-eviction-controller");
    c->nodes = manager_informer(m, RESOURCE_NODES);
    c->pods = manager_informer(m, RESOURCE_PODS);
    informer_add_handler(c->pods, &(struct informer_handler){
                                      .on_add = pod_changed, .on_update = pod_updated, .ctx = c});
    informer_add_handler(c->nodes, &(struct informer_handler){
                                       .on_add = node_add, .on_update = node_update, .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    mem_free(ctx);
}

const struct controller controller_tainteviction = {.name = "tainteviction",
                                                    .workers = 2,
                                                    .open = open_controller,
                                                    .reconcile = reconcile,
                                                    .close = close_controller};
