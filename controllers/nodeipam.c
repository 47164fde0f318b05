/*
 * Node IPAM controller: gives every node a range of pod addresses of its own.
 *
 * One worker, so that two nodes are never given the same range. What is used is read from the nodes
 * when it begins to lead; a range is free again when its node is gone.
 */
#include "controllers/controller.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/nodeipam.h"
#include "proto/core_v1.pb-c.h"
#include <pthread.h>

struct ipam {
    struct client *client;
    struct informer *nodes;
    struct recorder *recorder;
    pthread_mutex_t lock;
    struct cidr_pool pool; /* parts 0: off */
};

static void node_deleted(void *ctx, struct object *o)
{
    struct ipam *c = ctx;
    const Core__V1__Node *node = o->msg;
    pthread_mutex_lock(&c->lock);
    if (c->pool.parts && *node->spec->pod_cidr)
        cidr_pool_release(&c->pool, node->spec->pod_cidr);
    pthread_mutex_unlock(&c->lock);
}

static int take(struct ipam *c, char out[CIDR_TEXT_MAX], struct error *err)
{
    pthread_mutex_lock(&c->lock);
    int rc = cidr_pool_take(&c->pool, out, err);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static void give_back(struct ipam *c, const char *cidr)
{
    pthread_mutex_lock(&c->lock);
    cidr_pool_release(&c->pool, cidr);
    pthread_mutex_unlock(&c->lock);
}

static int assign(struct ipam *c, struct object *o, struct error *err)
{
    char cidr[CIDR_TEXT_MAX];
    if (take(c, cidr, err) < 0) {
        struct event_target about = event_target_of(RESOURCE_NODES, o);
        recorder_event(c->recorder, &about, EVENT_NORMAL, "CIDRNotAvailable",
                       "Node %s status is now: CIDRNotAvailable", o->name);
        return err->code;
    }
    struct arena a;
    arena_init(&a);
    struct buf patch;
    buf_init(&patch);
    buf_printf(
        &patch,
        "{\"metadata\":{\"uid\":\"%s\"},\"spec\":{\"podCIDR\":\"%s\",\"podCIDRs\":[\"%s\"]}}",
        o->uid, cidr, cidr);
    struct error failure = {0};
    client_patch(c->client, RESOURCE_NODES, NULL, o->name, PATCH_STRATEGIC, buf_str(&patch), NULL,
                 &a, &failure);
    buf_free(&patch);
    arena_free(&a);
    if (failure.code == 0)
        log_info("nodeipam", "node has its addresses node=%s podCIDR=%s", o->name, cidr);
    else if (failure.code != ERR_TIMEOUT) /* then it may have been written after all */
        give_back(c, cidr);
    return write_result(&failure, err);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct ipam *c = ctx;
    struct object *o = informer_get_key(c->nodes, key);
    const Core__V1__Node *node = o ? o->msg : NULL;
    int rc = 0;
    if (node && c->pool.parts) {
        if (!*node->spec->pod_cidr) {
            rc = assign(c, o, err);
        } else {
            pthread_mutex_lock(&c->lock);
            cidr_pool_occupy(&c->pool, node->spec->pod_cidr);
            pthread_mutex_unlock(&c->lock);
        }
    }
    object_unref(o);
    return rc;
}

/* Before the first node is served, all that have a range count. */
static void begin(void *ctx)
{
    struct ipam *c = ctx;
    struct object_refs nodes = {0};
    informer_list(c->nodes, NULL, &nodes);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; c->pool.parts && i < nodes.len; i++) {
        const Core__V1__Node *node = nodes.items[i]->msg;
        if (*node->spec->pod_cidr)
            cidr_pool_occupy(&c->pool, node->spec->pod_cidr);
    }
    pthread_mutex_unlock(&c->lock);
    object_refs_free(&nodes);
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct ipam *c = mem_zalloc(sizeof *c);
    const struct manager_options *o = manager_options(m);
    c->client = manager_client(m);
    c->recorder = manager_recorder(m, "cidrAllocator");
    pthread_mutex_init(&c->lock, NULL);
    c->nodes = manager_informer(m, RESOURCE_NODES);
    struct error err = {0};
    if (o->allocate_node_cidrs && o->cluster_cidr && *o->cluster_cidr &&
        cidr_pool_init(&c->pool, o->cluster_cidr, o->node_cidr_mask_size, &err) < 0)
        log_error("nodeipam", "nodes get no addresses error=\"%s\"", err.message);
    informer_enqueue(c->nodes, queue);
    informer_add_handler(c->nodes, &(struct informer_handler){.on_delete = node_deleted, .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    struct ipam *c = ctx;
    cidr_pool_free(&c->pool);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

const struct controller controller_nodeipam = {.name = "nodeipam",
                                               .workers = 1,
                                               .open = open_controller,
                                               .reconcile = reconcile,
                                               .close = close_controller,
                                               .begin = begin};
