/*
 * Load for bench/scheduling.py: registers nodes, creates pods as fast as the server takes them, and watches until all
 * have a node.
 *
 *     scheduling_load KUBECONFIG NODES PODS
 *
 * Prints `created N in S s` and, as its last line, `pods scheduled per second: R` (from the first create to the last
 * binding seen).
 */
#include "api/meta.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "proto/core_v1.pb-c.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define UNDER_WAY_MAX \
    90 /* with the scheduler's 100 bindings below --max-mutating-requests-inflight */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned under_way, failed;
    unsigned long bound;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void created(void *ctx, const struct error *err)
{
    (void)ctx;
    pthread_mutex_lock(&state.lock);
    state.under_way--;
    if (err && state.failed++ == 0)
        fprintf(stderr, "create: %s\n", err->message);
    pthread_cond_broadcast(&state.cond);
    pthread_mutex_unlock(&state.lock);
}

static void count_bound(const struct object *o)
{
    const Core__V1__Pod *pod = o->msg;
    if (!*pod->spec->node_name)
        return;
    pthread_mutex_lock(&state.lock);
    state.bound++;
    pthread_cond_broadcast(&state.cond);
    pthread_mutex_unlock(&state.lock);
}

static void pod_add(void *ctx, struct object *o)
{
    (void)ctx;
    count_bound(o);
}

static void pod_update(void *ctx, struct object *old, struct object *o)
{
    (void)ctx;
    const Core__V1__Pod *before = old->msg;
    if (!*before->spec->node_name)
        count_bound(o);
}

static void register_node(struct client *c, int i)
{
    struct arena a;
    struct error err = {0};
    arena_init(&a);
    Core__V1__Node *node = api_new(&a, Core__V1__Node);
    node->metadata->name = arena_printf(&a, "node-%d", i);
    node = client_create(c, RESOURCE_NODES, node, NULL, &a, &err);
    if (node) {
        static const char *const amounts[][2] = {
            {"cpu", "1000"}, {"memory", "4Ti"}, {"pods", "100000"}};
        for (size_t k = 0; k < ARRAY_LEN(amounts); k++)
            quantity_map_set(&a, &node->status->allocatable, &node->status->n_allocatable,
                             amounts[k][0], amounts[k][1]);
        node->metadata->resource_version = ""; /* whatever others have changed meanwhile */
        client_update_status(c, RESOURCE_NODES, node, NULL, &a, &err);
    }
    if (err.code && err.code != ERR_EXISTS)
        fprintf(stderr, "node: %s\n", err.message);
    arena_free(&a);
}

static void create_pod(struct client *c, int i)
{
    struct arena a;
    arena_init(&a);
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    Core__V1__Container *container = api_new(&a, Core__V1__Container);
    pod->metadata->namespace_ = "default";
    pod->metadata->name = arena_printf(&a, "load-%d", i);
    labels_set(&a, pod->metadata, "app", "load");
    container->name = "c";
    container->image = "registry.example/app:1";
    quantity_map_set(&a, &container->resources->requests, &container->resources->n_requests, "cpu",
                     "10m");
    quantity_map_set(&a, &container->resources->requests, &container->resources->n_requests,
                     "memory", "16Mi");
    api_append(&a, pod->spec, containers, container);
    pthread_mutex_lock(&state.lock);
    while (state.under_way >= UNDER_WAY_MAX)
        pthread_cond_wait(&state.cond, &state.lock);
    state.under_way++;
    pthread_mutex_unlock(&state.lock);
    client_create_async(c, RESOURCE_PODS, pod, created, NULL);
    arena_free(&a);
}

static void wait_for(bool (*done)(unsigned long), unsigned long arg)
{
    pthread_mutex_lock(&state.lock);
    while (!done(arg))
        pthread_cond_wait(&state.cond, &state.lock);
    pthread_mutex_unlock(&state.lock);
}

static bool none_under_way(unsigned long arg)
{
    (void)arg;
    return state.under_way == 0;
}

static bool all_bound(unsigned long pods)
{
    return state.bound + state.failed >= pods;
}

int main(int argc, char **argv)
{
    struct client_config config;
    struct client *c;
    struct error err = {0};
    struct arena a;
    arena_init(&a);
    if (argc != 4 || kubeconfig_load(argv[1], NULL, &a, &config, &err) < 0 ||
        client_new(&config, "load", &c, &err) < 0) {
        fprintf(stderr, "usage: scheduling_load KUBECONFIG NODES PODS\n%s\n", err.message);
        return 2;
    }
    int nodes = atoi(argv[2]), pods = atoi(argv[3]);
    for (int i = 0; i < nodes; i++)
        register_node(c, i);
    struct informer *informer =
        informer_new(c, &(struct informer_config){.resource = RESOURCE_PODS});
    informer_add_handler(informer,
                         &(struct informer_handler){.on_add = pod_add, .on_update = pod_update});
    informer_start(informer);
    informer_wait_synced(&informer, 1, 10000, NULL);
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < pods; i++)
        create_pod(c, i);
    wait_for(none_under_way, 0);
    double create_s = (double)(clock_mono_ns() - start) / NS_PER_S;
    printf("created %d in %.2f s (%u failed)\n", pods, create_s, state.failed);
    wait_for(all_bound, (unsigned long)pods);
    double all_s = (double)(clock_mono_ns() - start) / NS_PER_S;
    printf("pods scheduled per second: %.0f\n", pods / all_s);
    informer_free(informer);
    client_free(c);
    arena_free(&a);
    return state.failed != 0;
}
