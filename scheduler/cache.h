/*
 * What runs where: nodes with the pods on them, and pods that have been given a node but are not
 * yet seen there ("assumed"), so that the next decision already counts them while the binding is on
 * its way.
 *
 *                 assume                       informer shows it bound
 *     (pending) ──────────▶ assumed ──────────────────────────────────▶ on the node ──deleted──▶
 * (gone) └── forget (binding failed) ──▶ (pending)
 *
 * Decisions are made on a snapshot, which one thread owns: cache_snapshot copies the nodes that
 * changed since that snapshot was last brought up to date, and nothing else (each node has a
 * generation, and nodes are kept in the order of their last change).
 *
 * Thread-safe except for the snapshot itself.
 */
#ifndef C8S_SCHEDULER_CACHE_H
#define C8S_SCHEDULER_CACHE_H

#include "base/list.h"
#include "base/vec.h"
#include "scheduler/types.h"

struct node_info {
    char *name;
    struct object *object; /* NULL: pods are known there, the node is not (yet, or any more) */
    const Core__V1__Node *node;
    struct resources allocatable;
    struct arena arena;         /* allocatable.named */
    struct resources requested; /* of all pods; named amounts owned by named_requested */
    VEC(struct named_amount) named_requested;
    int64_t score_milli_cpu, score_memory_bytes; /* of all pods, for scores */
    VEC(struct pod_facts *) pods;                /* one reference each */
    uint64_t generation;
    struct list link; /* in the cache, last changed first */
};

struct snapshot {
    struct node_info **nodes; /* those whose Node is known; in a stable order */
    size_t nodes_len;
    struct map *by_name; /* name → struct node_info, owned */
    uint64_t generation;
    uint64_t membership; /* of the cache's set of nodes */
};

struct cache;
struct cache *cache_new(void);
void cache_free(struct cache *c);

/* A node appeared or changed. */
void cache_set_node(struct cache *c, struct object *node);
void cache_remove_node(struct cache *c, const char *name);
/* An assigned pod appeared or changed (an assumed one is confirmed by it). */
void cache_set_pod(struct cache *c, struct pod_facts *facts, const char *node);
/* An assigned pod ended or is gone. */
void cache_remove_pod(struct cache *c, const char *key);
/* Count the pod on the node from now on. False: the pod is counted somewhere already. */
bool cache_assume(struct cache *c, struct pod_facts *facts, const char *node);
/* Take an assumption back; does nothing when the pod has been confirmed meanwhile. */
void cache_forget(struct cache *c, const char *key);
bool cache_is_assumed(struct cache *c, const char *key);

/* Bring the snapshot up to date; start with a zeroed one. */
void cache_snapshot(struct cache *c, struct snapshot *s);
void snapshot_free(struct snapshot *s);

struct cache_counts {
    size_t nodes, pods, assumed;
};
void cache_count(struct cache *c, struct cache_counts *out);

/* On a node_info by itself (tests, simulation of a node without a pod). */
struct node_info *node_info_new(const char *name);
void node_info_free(struct node_info *n);
void node_info_set_node(struct node_info *n, struct object *node);
void node_info_add_pod(struct node_info *n, struct pod_facts *facts);
bool node_info_remove_pod(struct node_info *n, const char *key);
int64_t node_info_named_requested(const struct node_info *n, const char *name);

#endif
