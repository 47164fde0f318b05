/*
 * The shape of every controller, and the manager that runs them.
 *
 * A controller is a constant table in a file of its own (deployment.c, replicaset.c, …):
 *
 *     open       make its state: ask the manager for informers, connect them with the queue
 *     reconcile  bring one key from observed to desired; level-triggered and idempotent: it looks
 * at the world as it is, whatever the reason it was called for, and may be stopped between any two
 * writes. 0, or a negative code: the key comes back after a back-off. close      free the state
 *
 * Informers are shared between controllers. All reconcilers read caches, decide by functions
 * without side effects (declared in the controllers' own headers and tested as tables), and write
 * through the client. A write that meets a newer object (ERR_CONFLICT) is no failure: the newer
 * object is on its way through the informer, and the key comes back.
 *
 * Threads: open and close on the main thread, handlers on the client's I/O thread, reconcile on
 * `workers` threads of the controller's own, never two for one key.
 */
#ifndef C8S_CONTROLLERS_CONTROLLER_H
#define C8S_CONTROLLERS_CONTROLLER_H

#include "base/metrics.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "client/workqueue.h"

struct manager;

struct controller {
    const char *name; /* as in --controllers */
    unsigned workers;
    void *(*open)(struct manager *m, struct workqueue *queue);
    int (*reconcile)(void *ctx, const char *key, struct error *err);
    void (*close)(void *ctx);
    /* Optional: called on the queue's first worker when it leads and all informers have synced,
     * before the first reconcile. */
    void (*begin)(void *ctx);
};

extern const struct controller controller_deployment, controller_replicaset,
    controller_garbagecollector, controller_namespace, controller_nodelifecycle,
    controller_tainteviction, controller_nodeipam, controller_endpointslice, controller_endpoints,
    controller_serviceaccount, controller_rootcapublisher, controller_podgc,
    controller_clusterrole_aggregation, controller_pvcprotection, controller_pvprotection,
    controller_vacprotection;

/* What flags say; strings are borrowed. */
struct manager_options {
    const char *cluster_cidr; /* pod addresses of all nodes; NULL or "": no node CIDRs */
    bool allocate_node_cidrs;
    int node_cidr_mask_size;
    const char *root_ca_pem; /* NULL: the root CA publisher is off */
    int64_t node_monitor_period_ms, node_monitor_grace_ms, node_startup_grace_ms;
    int64_t terminated_pods_max; /* pods kept after they ended; ≤ 0: any number */
    const char *controllers;     /* "*", "*,-podgc", "deployment,replicaset" */
};

/* All of the above that --controllers selects. `metrics` may be NULL. */
struct manager *manager_new(struct client *c, const struct manager_options *o,
                            struct metrics *metrics);
/* Start the informers (a stand-by keeps its caches warm). */
void manager_watch(struct manager *m);
bool manager_synced(struct manager *m);
/* Start the workers; they wait for the caches. */
void manager_start(struct manager *m);
/* Stop the workers; no reconcile runs any more when it returns. */
void manager_stop(struct manager *m);
void manager_free(struct manager *m);

/* --- for controllers -------------------------------------------------------------------------- */

struct client *manager_client(struct manager *m);
const struct manager_options *manager_options(struct manager *m);
/* The shared informer of a resource, over all namespaces; made when first asked for (in open only).
 * Pods and everything else are indexed by controller uid (0), pods by node (1), all by owner uid
 * (2). */
struct informer *manager_informer(struct manager *m, const struct resource *r);
enum { BY_CONTROLLER = 0, BY_NODE = 1, BY_OWNER = 2 };
/* An informer of one's own, freed with the manager (in open only). */
struct informer *manager_own_informer(struct manager *m, const struct informer_config *config);
/* The shared informer if somebody asked for it, else NULL. */
struct informer *manager_find_informer(struct manager *m, const struct resource *r);
/* An event recorder with that component name, freed with the manager (in open only). */
struct recorder *manager_recorder(struct manager *m, const char *component);
/* False as soon as the manager stops: long loops look. */
bool manager_running(struct manager *m);

/* The error of a write as the result of a reconcile: conflicts and objects that are gone or there
 * already come back quietly by way of the informer. */
int write_result(const struct error *failure, struct error *err);

#endif
