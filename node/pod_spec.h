/*
 * What a pod's spec means for one container: environment, expanded command, field references,
 * resources. Pure functions over API objects; what must be fetched (configMaps, secrets) comes
 * through struct pod_context.
 */
#ifndef C8S_NODE_POD_SPEC_H
#define C8S_NODE_POD_SPEC_H

#include "api/object.h"
#include "base/arena.h"
#include "base/error.h"
#include "proto/core_v1.pb-c.h"

/* What a container may refer to beyond its own pod. */
struct pod_context {
    const Core__V1__Pod *pod;
    const char *pod_ip; /* "" until known */
    const char *host_ip;
    const char *node_name;
    /* Allocatable of the node, for limits that are not set (milli-CPUs, bytes). */
    int64_t node_cpu_milli, node_memory, node_ephemeral;
    /* Fetch into the arena; ERR_NOT_FOUND when there is none. The seam for tests. */
    int (*configmap)(void *ctx, const char *ns, const char *name, struct arena *a,
                     const Core__V1__ConfigMap **out, struct error *err);
    int (*secret)(void *ctx, const char *ns, const char *name, struct arena *a,
                  const Core__V1__Secret **out, struct error *err);
    void *ctx;
    /* The Services whose addresses every container learns as variables (KUBERNETES_SERVICE_HOST,
     * …). */
    const Core__V1__Service *const *services;
    size_t services_len;
};

struct env_var {
    const char *name, *value;
};

/*
 * Variables, found by name through a table of places. All of it lives in the arena. Text grows by references
 * to references without a limit of its own, so that what is made is counted: no process starts with more than
 * the kernel's 6 MiB of arguments and environment, and no more is made here.
 */
#define ENV_BYTES_MAX ((size_t)6 << 20)
struct env {
    struct arena *a;
    struct env_var *items;
    size_t len, cap;
    uint32_t *
        places; /* 1 + index into items, 0: free; a power of two of them, at least half of them free */
    size_t places_len;
    size_t bytes; /* of names, values and text expanded with them */
};

/* Set a variable: appended, or the value of an earlier one of that name replaced where that one stands. */
void env_set(struct env *e, const char *name, const char *value);
/* NULL: there is none. */
const char *env_get(const struct env *e, struct str name);

/* Variables in order, a later one of the same name having replaced the earlier. A reference that
 * cannot be resolved and is not optional gives ERR_NOT_FOUND or ERR_INVALID with kubelet's wording;
 * ERR_LIMIT past ENV_BYTES_MAX. */
int pod_env(const struct pod_context *x, const Core__V1__Container *c, struct arena *a,
            struct env *out, struct error *err);

/* "$(NAME)" replaced by that variable's value where there is one, "$$" by "$"; in the environment's arena.
 * NULL past ENV_BYTES_MAX, counted together with what was expanded before. */
char *pod_expand(struct env *e, const char *text);

/* Value of a downward API field path: metadata.name, metadata.labels['k'], metadata.labels (k="v"
 * lines), spec.nodeName, status.podIP, …; ERR_INVALID names an unknown one. */
int pod_field(const struct pod_context *x, const char *path, struct arena *a, const char **out,
              struct error *err);
/* "limits.cpu" and so on of a container, divided by the divisor and rounded up. */
int pod_resource_field(const struct pod_context *x, const Core__V1__ResourceFieldSelector *f,
                       const Core__V1__Container *c, struct arena *a, const char **out,
                       struct error *err);
/* Of init, ordinary and ephemeral containers; NULL when there is none of that name. */
const Core__V1__Container *pod_container(const Core__V1__Pod *pod, const char *name);
/* The i-th ephemeral container, and the container whose processes it is to see (by name; "" none). */
const Core__V1__Container *pod_ephemeral(const Core__V1__Pod *pod, size_t i);
const char *pod_ephemeral_target(const Core__V1__Pod *pod, const char *name);
bool container_is_sidecar(const Core__V1__Container *init_container); /* restartPolicy Always */

/* The i-th status of ordinary, init and ephemeral containers, in that order; NULL past the last one. */
const Core__V1__ContainerStatus *pod_container_status(const Core__V1__Pod *pod, size_t i);

/* "Guaranteed", "Burstable", "BestEffort". */
const char *pod_qos(const Core__V1__Pod *pod);

/* Amount in a requests or limits list; false when it is not there. */
bool resource_milli(Meta__V1__QuantityEntry *const *items, size_t n, const char *name,
                    int64_t *out);
bool resource_value(Meta__V1__QuantityEntry *const *items, size_t n, const char *name,
                    int64_t *out);

struct linux_limits {
    int64_t cpu_shares;
    int64_t cpu_quota, cpu_period; /* 0: none */
    int64_t memory_limit;          /* 0: none */
    int64_t oom_score_adj;
};
/* Control group settings by kubelet's formulas; node_memory in bytes. */
struct linux_limits container_limits(const Core__V1__Pod *pod, const Core__V1__Container *c,
                                     int64_t node_memory);

/* CPU of the pod as a whole: shares are the sum; a quota exists only where every container has one. Init containers
 * run alone, so the largest of them counts where it is more. Memory is left to the containers: a limit that the
 * pod hits before its container does would be nobody's "OOMKilled". */
struct linux_limits pod_limits(const Core__V1__Pod *pod, int64_t node_memory);

/* Changes when a container must be made anew: a hash of name and image (all else is immutable), as
 * text. */
char *container_hash(struct arena *a, const Core__V1__Container *c);

/* Seconds a pod has to end: of the deletion, else of the spec, else 30. */
int64_t pod_grace_s(const Core__V1__Pod *pod);
bool pod_deleted(const Core__V1__Pod *pod);
bool pod_finished(const Core__V1__Pod *pod); /* its phase is Succeeded or Failed */

#endif
