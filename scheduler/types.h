/*
 * What the scheduler knows of a pod: the facts that decide where it can run, worked out once per
 * version of the pod, so that filtering a node is arithmetic on integers.
 */
#ifndef C8S_SCHEDULER_TYPES_H
#define C8S_SCHEDULER_TYPES_H

#include "client/informer.h"
#include "proto/core_v1.pb-c.h"
#include <stdatomic.h>

/* Changes in the cluster that may let a waiting pod run; bits. */
enum cluster_event {
    EVENT_NODE_ADDED = 1,
    EVENT_NODE_ALLOCATABLE = 2,
    EVENT_NODE_LABELS = 4,
    EVENT_NODE_TAINTS = 8, /* taints, spec.unschedulable */
    EVENT_POD_ASSIGNED = 16,
    EVENT_POD_REMOVED = 32, /* an assigned pod ended, was deleted, or shrank */
    EVENT_ALL = 63,
};

/* An extended or otherwise named resource ("example.com/gpu", "hugepages-2Mi"), in whole units. */
struct named_amount {
    const char *name;
    int64_t value;
};

struct resources {
    int64_t milli_cpu;
    int64_t memory_bytes;
    int64_t ephemeral_bytes;
    int64_t pods;
    struct named_amount *named; /* unordered */
    size_t named_len;
};

struct host_port {
    const char *ip; /* "0.0.0.0" when the pod names none */
    const char *protocol;
    int32_t port;
};

/* Immutable; shared by reference between queue, cache, snapshot and binding. */
struct pod_facts {
    atomic_uint refs;
    struct object *object; /* one reference; strings below point into it or the arena */
    const Core__V1__Pod *pod;
    const char *key; /* "ns/name" */
    const char *uid;
    int32_t priority;
    struct resources request;   /* what the pod takes on a node */
    int64_t score_milli_cpu;    /* as request, with 100m and 200 MB for containers that ask for */
    int64_t score_memory_bytes; /* nothing, so that such pods spread as well */
    struct host_port *ports;
    size_t ports_len;
    struct arena arena;
};

/* Takes a reference to the object. */
struct pod_facts *pod_facts_new(struct object *pod);
struct pod_facts *pod_facts_ref(struct pod_facts *f);
void pod_facts_unref(struct pod_facts *f); /* NULL is fine */

/* The amount of a named resource; 0 when absent. */
int64_t resources_named(const struct resources *r, const char *name);
/* Read a quantity map (requests, allocatable) into r; named ones into the arena. */
void resources_parse(struct arena *a, Meta__V1__QuantityEntry *const *entries, size_t n,
                     struct resources *r);

#endif
