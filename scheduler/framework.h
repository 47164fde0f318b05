/*
 * The scheduling framework: the published extension points, and the plugins that fill them.
 *
 *     pre_enqueue → queue ─┬─ pre_filter → filter (each node) → post_filter (when none is left)
 *                          │  pre_score → score (each node) → normalize
 *                          └─ reserve → permit → pre_bind → bind → post_bind     (unreserve on
 * failure)
 *
 * A plugin is a constant table of functions; those it does not need are NULL. What it works out in
 * pre_filter or pre_score for the later points of the same attempt it keeps in cycle->state[its
 * index], in the cycle's arena. Everything up to permit runs on the scheduling thread, one pod at a
 * time, on a snapshot that does not change meanwhile.
 *
 * To add a plugin: a file in scheduler/plugins/, a row in plugins/registry.c.
 */
#ifndef C8S_SCHEDULER_FRAMEWORK_H
#define C8S_SCHEDULER_FRAMEWORK_H

#include "base/random.h"
#include "scheduler/cache.h"

#define PLUGINS_MAX 16
#define PLUGIN_REASONS_MAX 8
#define SCORE_MAX 100

enum verdict {
    VERDICT_SUCCESS,
    VERDICT_SKIP, /* pre_filter, pre_score: this plugin has nothing to say about this pod */
    VERDICT_UNSCHEDULABLE, /* not now; removing pods may help */
    VERDICT_UNRESOLVABLE,  /* not now; removing pods cannot help */
    VERDICT_ERROR,         /* try again; reasons[0] is the error */
};

/* Why not. Reasons are constants or live in the cycle's arena. */
struct reasons {
    const char *items[PLUGIN_REASONS_MAX];
    size_t len;
};
static inline enum verdict reject(struct reasons *r, enum verdict v, const char *reason)
{
    if (r->len < PLUGIN_REASONS_MAX)
        r->items[r->len++] = reason;
    return v;
}

/* One attempt to schedule one pod. */
struct cycle {
    struct arena arena;
    const struct pod_facts *facts;
    const struct snapshot *snapshot;
    struct rng *rng;          /* breaks ties */
    void *state[PLUGINS_MAX]; /* by plugin index */
    uint32_t skip_filter;     /* bits of plugins whose pre_filter said SKIP */
    uint32_t skip_score;
};

struct plugin {
    const char *name;
    /* Bits of enum cluster_event that may make a node that this plugin rejected fit. */
    uint32_t events;
    int64_t weight; /* of its score */
    /* May the pod enter the queue at all? false: it waits outside until it changes. */
    bool (*pre_enqueue)(const struct pod_facts *facts);
    enum verdict (*pre_filter)(struct cycle *c, unsigned self, struct reasons *why);
    enum verdict (*filter)(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why);
    /* No node fits: may make room. Returns the node to nominate, or NULL. */
    const char *(*post_filter)(struct cycle *c, unsigned self);
    enum verdict (*pre_score)(struct cycle *c, unsigned self, struct node_info *const *nodes,
                              size_t len);
    /* 0 … SCORE_MAX, or anything when normalize brings it there. */
    int64_t (*score)(struct cycle *c, unsigned self, const struct node_info *n);
    void (*normalize)(struct cycle *c, unsigned self, int64_t *scores, size_t len);
    enum verdict (*reserve)(struct cycle *c, unsigned self, const char *node, struct reasons *why);
    void (*unreserve)(struct cycle *c, unsigned self, const char *node);
    enum verdict (*permit)(struct cycle *c, unsigned self, const char *node, struct reasons *why);
};

/* The plugins of the default profile, in the order in which they run. */
extern const struct plugin *const default_plugins[];
extern const size_t default_plugins_len;

/* The outcome of an attempt. */
struct decision {
    const char *node;     /* where; NULL: nowhere. Lives in the snapshot */
    enum verdict verdict; /* when nowhere: UNSCHEDULABLE or ERROR */
    char *message;        /* "0/2 nodes are available: 2 Insufficient cpu."; in the cycle's arena */
    uint32_t events;      /* what may help */
    size_t feasible, evaluated;
};

/* Find the best node for c->facts on c->snapshot. `start` is where in the list of nodes to begin,
 * and is moved on, so that all nodes get their turn when not all are looked at. */
void framework_decide(const struct plugin *const *plugins, size_t len, struct cycle *c,
                      size_t *start, struct decision *out);
bool framework_pre_enqueue(const struct plugin *const *plugins, size_t len,
                           const struct pod_facts *facts);
/* How many feasible nodes are enough among `nodes`: all up to 100, then a falling share. */
size_t framework_enough(size_t nodes);

/* Scores to 0 … SCORE_MAX by the largest; `reverse`: the largest gets 0. */
void normalize_by_max(int64_t *scores, size_t len, bool reverse);

#endif
