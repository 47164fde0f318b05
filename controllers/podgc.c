/*
 * Pod GC controller: every 20 s deletes pods whose node is gone, pods that are being deleted
 * without ever having had a node, and the oldest ended pods beyond a threshold.
 *
 * A node must have been missing for 40 s, and be missing at the server too, before its pods are
 * forced out.
 */
#include "controllers/podgc.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "controllers/controller.h"
#include "controllers/pods.h"
#include <stdlib.h>

#define PERIOD_MS 20000
#define QUARANTINE_NS (40 * NS_PER_S)
#define KEY "sweep"

struct podgc {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    struct informer *pods, *nodes;
    struct map missing; /* node → when it was missed first (uint64_t *); one worker only */
};

bool pod_is_unscheduled_garbage(const Core__V1__Pod *pod)
{
    return pod_is_terminating(pod) && !*pod->spec->node_name;
}

static int by_creation(const void *x, const void *y)
{
    const Core__V1__Pod *a = *(const Core__V1__Pod *const *)x,
                        *b = *(const Core__V1__Pod *const *)y;
    int64_t d = time_ns(a->metadata->creation_timestamp) - time_ns(b->metadata->creation_timestamp);
    return d ? (d > 0) - (d < 0) : strcmp(a->metadata->name, b->metadata->name);
}

size_t ended_pods_surplus(const Core__V1__Pod **pods, size_t n, long long max)
{
    if (max <= 0 || n <= (size_t)max)
        return 0;
    qsort(pods, n, sizeof *pods, by_creation);
    return n - (size_t)max;
}

static void force_out(struct podgc *c, const Core__V1__Pod *pod, const char *why)
{
    const Meta__V1__ObjectMeta *m = pod->metadata;
    struct delete_options d = {.grace_period_s = 0, .uid = m->uid};
    struct error err = {0};
    log_info("podgc", "deleting pod=%s/%s reason=\"%s\"", m->namespace_, m->name, why);
    if (client_delete(c->client, RESOURCE_PODS, m->namespace_, m->name, &d, NULL, &err) < 0 &&
        err.code != ERR_NOT_FOUND)
        log_warn("podgc", "cannot delete pod=%s/%s error=\"%s\"", m->namespace_, m->name,
                 err.message);
}

/* Is the node gone for good? Remembers since when it is missed. */
static bool node_is_gone(struct podgc *c, const char *name)
{
    struct object *o = informer_get(c->nodes, "", name);
    uint64_t *since = map_get(&c->missing, str_from(name)), now = clock_mono_ns();
    if (o) {
        object_unref(o);
        mem_free(map_remove(&c->missing, str_from(name)));
        return false;
    }
    if (!since) {
        since = mem_dup(&now, sizeof now);
        map_put(&c->missing, str_from(name), since);
    }
    if (now - *since < QUARANTINE_NS)
        return false;
    struct arena a;
    arena_init(&a);
    struct error err = {0};
    struct client_options options = {.metadata_only = true};
    client_get(c->client, RESOURCE_NODES, NULL, name, &options, &a, &err);
    arena_free(&a);
    return err.code == ERR_NOT_FOUND;
}

static void sweep(struct podgc *c, const struct object_refs *all)
{
    const Core__V1__Pod **ended = mem_alloc(sizeof *ended * (all->len + 1));
    size_t n = 0;
    for (size_t i = 0; i < all->len && manager_running(c->manager); i++) {
        const Core__V1__Pod *pod = all->items[i]->msg;
        if (pod_is_unscheduled_garbage(pod))
            force_out(c, pod, "deleted before it had a node");
        else if (*pod->spec->node_name && node_is_gone(c, pod->spec->node_name))
            force_out(c, pod, "its node is gone");
        else if (pod_has_ended(pod) && !pod_is_terminating(pod))
            ended[n++] = pod;
    }
    size_t surplus = ended_pods_surplus(ended, n, manager_options(c->manager)->terminated_pods_max);
    for (size_t i = 0; i < surplus; i++)
        force_out(c, ended[i], "too many ended pods");
    mem_free(ended);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    (void)err;
    struct podgc *c = ctx;
    struct object_refs all = {0};
    informer_list(c->pods, NULL, &all);
    sweep(c, &all);
    object_refs_free(&all);
    workqueue_add_after(c->queue, key, PERIOD_MS);
    return 0;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct podgc *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    c->pods = manager_informer(m, RESOURCE_PODS);
    c->nodes = manager_informer(m, RESOURCE_NODES);
    map_init(&c->missing);
    workqueue_add(queue, KEY);
    return c;
}

static void close_controller(void *ctx)
{
    struct podgc *c = ctx;
    struct map_iter it = {0};
    while (map_next(&c->missing, &it))
        mem_free(it.value);
    map_free(&c->missing);
    mem_free(c);
}

const struct controller controller_podgc = {.name = "podgc",
                                            .workers = 1,
                                            .open = open_controller,
                                            .reconcile = reconcile,
                                            .close = close_controller};
