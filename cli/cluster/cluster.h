/*
 * A local cluster: control-plane members and nodes, each a host of its own in a network namespace,
 * joined by a bridge. This header is shared by the cluster_*.c files; users see cli/cli.h.
 *
 *   machine ── c8sbr0 10.88.0.1 ─┬─ c8s-<name>-cp1    10.88.0.11    apiserver, scheduler, controllers
 *   routes to pods and service   ├─ c8s-<name>-cp2    10.88.0.12
 *   addresses by way of the      ├─ c8s-<name>-cp3    10.88.0.13
 *   nodes                        ├─ c8s-<name>-node1  10.88.0.101   containerd, c8s-node, pods
 *                                └─ c8s-<name>-node2  10.88.0.102
 *
 * Clusters on one machine differ in their slot (0…7), the lowest one free when they are made. It
 * gives the bridge's name and every range: hosts 10.88.S.0/24, pods 10.(244+S).0.0/16, services
 * 10.(96+16·S).0.0/12.
 *
 * Files: /var/lib/c8s/clusters/<name>/ holds cluster.conf (what `up` was told), pki/ (the cluster's
 * CAs), admin.conf, and for each host a directory with its pki/, kubeconfigs, store/ and log/.
 * /run/c8s/<name>/<host>/ holds pid files and sockets.
 */
#ifndef C8S_CLI_CLUSTER_CLUSTER_H
#define C8S_CLI_CLUSTER_CLUSTER_H

#include "base/arena.h"
#include "base/error.h"
#include "cli/cluster/node.h"
#include "cli/process.h"
#include <stdbool.h>

#define CLUSTER_SLOTS 8
#define CLUSTER_MEMBERS_MAX 9
#define CLUSTER_NODES_MAX 50
#define CLUSTER_HOSTS_MAX (CLUSTER_MEMBERS_MAX + CLUSTER_NODES_MAX)
#define CLUSTER_NAME_MAX 20 /* keeps unix socket paths and host names short */
#define CLUSTER_IMAGES_MAX 16

/* One host. Strings live in the cluster's arena. */
struct host {
    bool is_member;
    const char *short_name; /* "cp1", "node2" */
    const char *name;       /* "<cluster>-node2": the Node object's name, the member's host name */
    const char *netns_name; /* "c8s-<cluster>-node2" */
    const char *netns;      /* "/run/netns/c8s-<cluster>-node2" */
    const char *address;    /* "10.88.0.102" */
    const char *veth;       /* the machine's end of its cable */
    const char *state_dir, *run_dir;
};

struct cluster {
    struct arena arena;
    const char *name;
    int slot;
    int members, nodes;
    const char *state_dir, *run_dir;
    const char *bin_dir;      /* where this executable and its siblings are */
    const char *bridge;       /* "c8sbr0" */
    const char *gateway;      /* "10.88.0.1", the machine's address on the bridge */
    const char *host_cidr;    /* "10.88.0.0/24" */
    const char *pod_cidr;     /* "10.244.0.0/16" */
    const char *service_cidr; /* "10.96.0.0/12" */
    const char *service_ip;   /* "10.96.0.1", Service kubernetes */
    const char *dns_ip;       /* "10.96.0.10" */
    const char *api_name;     /* name in /etc/hosts with every member's address */
    const char *admin_conf;
    const char
        *forward_before; /* net.ipv4.ip_forward of the machine before the first up: "0" or "1" */
    struct host hosts[CLUSTER_HOSTS_MAX]; /* members first */
    size_t hosts_len;
};

/* --- cluster.c: names, places, the file cluster.conf --- */

/* "" when the name can be a cluster's; else what is wrong with it. */
const char *cluster_name_problem(const char *name);
/* A cluster that does not exist yet, in the lowest free slot. Nothing is written. */
int cluster_new(const char *name, int members, int nodes, struct cluster *c, struct error *err);
/* An existing one. ERR_NOT_FOUND. */
int cluster_load(const char *name, struct cluster *c, struct error *err);
int cluster_save(const struct cluster *c, struct error *err);
/* Recompute the hosts after members or nodes changed. */
void cluster_layout(struct cluster *c);
void cluster_close(struct cluster *c);
/* One `up` or `down` at a time on a machine: an flock held until the process ends. */
int cluster_lock(struct error *err);
/* Remove the directories and the lock that all clusters share, if this was the last of them. */
void cluster_remove_shared(void);

/* A path below a directory, in the cluster's arena. */
const char *cluster_path(struct cluster *c, const char *dir, const char *below);
/* Make a directory and its parents. */
int cluster_mkdirs(const char *path, unsigned mode, struct error *err);
/* Write a whole file (by rename). */
int cluster_write_file(const char *path, struct str text, unsigned mode, struct error *err);
/* Remove a directory tree without crossing into other file systems; absent is fine. */
int cluster_remove_tree(const char *path, struct error *err);

/* --- pki.c --- */

/* CAs, certificates and kubeconfigs, kubeadm's file names; what exists is kept. */
int cluster_make_pki(struct cluster *c, struct error *err);

/* --- network.c --- */

/* Bridge, namespaces, cables, forwarding, the hosts file; what exists is kept. */
int cluster_network_up(struct cluster *c, struct error *err);
/* Routes from the machine to a node's pods and, by way of all nodes, to service addresses. */
int cluster_route_pods(const struct cluster *c, const struct host *node, const char *cidr,
                       struct error *err);
int cluster_route_services(const struct cluster *c, struct error *err);
/* Undo all of it; goes on after a failure and reports the first. */
int cluster_network_down(const struct cluster *c, struct error *err);

/* --- processes.c --- */

/* The processes of a host in the order in which they are started. */
enum cluster_role { ROLE_APISERVER, ROLE_SCHEDULER, ROLE_CONTROLLERS, ROLE_CONTAINERD, ROLE_NODE };
const char *cluster_role_name(enum cluster_role role); /* "apiserver" */
const char *cluster_pid_file(struct cluster *c, const struct host *h, enum cluster_role role);
const char *cluster_log_file(struct cluster *c, const struct host *h, enum cluster_role role);
/* Start a member's API server, or its scheduler and controllers; what runs is left alone. */
int cluster_start_apiserver(struct cluster *c, const struct host *h, struct error *err);
int cluster_start_managers(struct cluster *c, const struct host *h, struct error *err);
/* Fill in what node.h wants to know. */
struct cluster_node cluster_node_of(struct cluster *c, const struct host *h);

/* --- image.c --- */

/* The example application's image, made from busybox: an archive below the state directory that
 * holds c8s.io/web:1. It answers HTTP on port 8080 with $MESSAGE and its host name. */
int cluster_make_image(struct cluster *c, const char **archive, struct error *err);

/* --- observe.c --- */

/* What one process is doing. */
struct process_view {
    const struct host *host;
    enum cluster_role role;
    pid_t pid; /* 0: does not run */
    bool paused;
    bool ready;        /* answers its health check; a node agent: its Node is Ready */
    bool leader;       /* an API server: leads the store */
    char why[256];     /* why it is not ready */
    char pod_cidr[64]; /* a node agent's, "" until it has one */
};
#define CLUSTER_VIEWS_MAX (CLUSTER_MEMBERS_MAX * 3 + CLUSTER_NODES_MAX * 2)

/* The processes with host, role, pid and paused filled in, from pid files alone. A member's three
 * stand together, members first. */
size_t cluster_list_processes(struct cluster *c, struct process_view views[CLUSTER_VIEWS_MAX]);
/* Look at every process at once, for at most timeout_ms each; returns their number. */
size_t cluster_observe(struct cluster *c, unsigned timeout_ms,
                       struct process_view views[CLUSTER_VIEWS_MAX]);

#endif
