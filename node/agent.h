/*
 * The node agent: what its parts share.
 *
 *   API server ──watch──▶ informers (pods of this node, nodes, services, endpoint slices)
 *                           │ handlers: "ns/name" into the pod queue
 *   runtime ──poll, 1 s───▶ │
 *   probes, timers ───────▶ ▼
 *                        pod workers (pod_worker.h): one at a time per pod; read what should be and
 * what is, do the difference, write the status
 *
 * Threads: the client's I/O thread (informers), the agent's loop (CRI channel, HTTPS server, HTTP
 * probes), pod workers (started when all are busy, at most WORKERS_MAX), the poll of the runtime,
 * the heartbeat, the proxy, a few probe threads, the event recorder. Pod state is touched by the
 * worker that has the pod's key.
 *
 * The agent holds no truth: pods come from the API, containers from the runtime, volumes from the
 * disk. Killed and started again it finds everything and touches no container.
 */
#ifndef C8S_NODE_AGENT_H
#define C8S_NODE_AGENT_H

#include "base/flags.h"
#include "client/client.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "client/workqueue.h"
#include "node/backoff.h"
#include "node/cri.h"
#include "proto/core_v1.pb-c.h"
#include <pthread.h>

/* Command line (main.c); strings live as long as the process. */
struct agent_options {
    const char *node_name;
    const char *node_ip;
    const char *kubeconfig;
    const char *runtime_endpoint;
    const char *root_dir;
    const char *pod_log_dir;
    const char *cni_conf_dir;
    const char *cgroup_root; /* "/" or "/c8s/…": pods' control groups stand below it */
    const char *cluster_cidr;
    const char *cluster_domain;
    const char *resolv_conf;
    const char *proxy_mode; /* "nftables" or "none" */
    const char *client_ca_file, *tls_cert_file, *tls_key_file;
    const char *address;
    const char *log_level;
    struct flag_list cluster_dns, node_labels, taints;
    int64_t port, max_pods;
    int64_t log_bytes_max, log_files_max;
    int64_t status_period_s;
    bool register_node;
};

struct prober;
struct pod_table;
struct pod_kills;

struct agent {
    struct agent_options options;
    struct client *client;
    struct loop *loop;
    struct cri *cri;
    pthread_rwlock_t recorder_lock; /* held for reading by who records */
    struct recorder *recorder;      /* NULL once the agent ends */
    struct informer *pods, *nodes, *services, *slices;
    struct workqueue *queue;  /* keys of pods */
    struct backoff *restarts; /* uid/container */
    struct backoff *pulls;    /* uid/image */
    struct pod_table *table;
    struct prober *prober;
    struct pod_kills *kills;
    int64_t cpu_milli, memory, ephemeral; /* of the node, allocatable */
    atomic_bool stopping;
    atomic_bool network_ready; /* as the runtime reports it */
};

/* The agent's directories. "root/pods" is closed to the host's other users: what is below has the modes that
 * containers need, and those let anybody read secrets. */
int agent_make_dirs(const struct agent *g, struct error *err);
/* "root/pods/UID" */
char *agent_pod_dir(const struct agent *g, struct arena *a, const char *uid);
/* "logs/NS_NAME_UID" */
char *agent_log_dir(const struct agent *g, struct arena *a, const char *ns, const char *name,
                    const char *uid);
/* "ROOT/burstable/podUID": by QoS class, as kubelet's. */
char *agent_cgroup_parent(const struct agent *g, struct arena *a, const Core__V1__Pod *pod);
/* Limits of the pod as a whole, once the runtime has made its group; failures are logged. */
void agent_limit_pod(const struct agent *g, const Core__V1__Pod *pod);
/* Remove the (empty) control groups of a pod in every hierarchy. */
void agent_remove_cgroups(const struct agent *g, const char *uid);

/* Events about a pod, or one of its containers (NULL: the pod itself). */
void agent_event(struct agent *g, const Core__V1__Pod *pod, const char *container, const char *type,
                 const char *reason, const char *format, ...) __attribute__((format(printf, 6, 7)));

#endif
