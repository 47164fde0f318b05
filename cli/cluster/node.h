/*
 * One node of a local cluster: a containerd of its own and a c8s-node, both inside the network
 * namespace that stands for the host.
 *
 *     state_dir/                      run_dir/
 *       containerd/root  images         containerd.sock, containerd.pid, containerd.log
 *       containerd/state mounts         c8s-node.pid, c8s-node.log
 *       cni/net.d        written by c8s-node once it knows its pod CIDR
 *       agent/           c8s-node's --root-dir, pod logs under agent/log/pods
 *       containerd.toml, images/…
 *
 * Processes stay in the machine's mount namespace (only the network is the namespace's), so that
 * mounts made for containers are seen by, and can be cleaned up from, everywhere. Control groups
 * stand under /c8s/<cluster>/<name> in every hierarchy. The functions block; call them from one
 * thread per node if several nodes are to start at once.
 */
#ifndef C8S_CLI_CLUSTER_NODE_H
#define C8S_CLI_CLUSTER_NODE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All strings are borrowed for the time of a call. */
struct cluster_node {
    const char *cluster;    /* "c8s" */
    const char *name;       /* the Node object's name, "c8s-node1" */
    const char *netns;      /* path, "/run/netns/c8s-c8s-node1"; exists and is connected */
    const char *node_ip;    /* this node's address inside it */
    const char *state_dir;  /* created when absent; removed by cluster_node_purge */
    const char *run_dir;    /* created when absent; at most 60 bytes (unix socket paths) */
    const char *bin_dir;    /* holds c8s-node and c8s-pause */
    const char *kubeconfig; /* user system:node:<name>, group system:nodes */
    const char *client_ca;  /* CA file for callers of port 10250 (the API servers) */
    const char *tls_cert;   /* serving certificate and key of port 10250 */
    const char *tls_key;
    const char
        *cluster_cidr; /* "10.244.0.0/16": pods of all nodes; not masqueraded among each other */
    const char *cluster_dns;       /* or NULL: pods get the host's resolv.conf */
    const char *const *extra_args; /* further c8s-node arguments, NULL-terminated; or NULL */
};

struct cluster_node_pids {
    pid_t containerd, agent; /* 0: not running */
};

/*
 * Start containerd, import the pause image (made from bin_dir/c8s-pause) and whatever archives
 * `images` names, then start c8s-node. Does not wait for the Node to become Ready. Where one of the
 * two is running already it is left alone, so that calling this again heals a node. On failure what
 * was started is stopped again.
 */
int cluster_node_start(const struct cluster_node *n,
                       const char *const *images /* NULL-terminated or NULL */,
                       struct cluster_node_pids *pids, struct error *err);
/* The first half of it: containerd with the images, no agent. *started (may be NULL) tells whether it was
 * started now. kubeconfig, certificates and cluster_cidr are not used. */
int cluster_node_start_runtime(const struct cluster_node *n, const char *const *images,
                               bool *started, struct error *err);

/* Import an OCI or docker archive into the running node's containerd. */
int cluster_node_load_image(const struct cluster_node *n, const char *archive, struct error *err);

/* Which of the two processes live (from the pid files, checked against /proc). Only run_dir is
 * read. */
void cluster_node_status(const struct cluster_node *n, struct cluster_node_pids *pids);

/*
 * Stop the agent, every pod, containerd and its shims; unmount; remove the control groups. Goes as
 * far as it can and reports the first failure; harmless on a node that is not running or only half
 * there. Needs cluster, name, state_dir and run_dir only.
 */
int cluster_node_stop(const struct cluster_node *n, struct error *err);

/* After cluster_node_stop: remove state_dir and run_dir. */
int cluster_node_purge(const struct cluster_node *n, struct error *err);

#endif
