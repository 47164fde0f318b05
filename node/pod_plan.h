/*
 * What is to be done for a pod now: the difference between its spec and what runs. Pure.
 *
 * Init containers run one after the other, each until it succeeds; sidecars among them
 * (restartPolicy Always) stay and hold up the next only until they have started; then the
 * containers of the pod run, all at once. Ephemeral containers join whatever runs, once: they are never
 * started again, and nothing waits for them.
 */
#ifndef C8S_NODE_POD_PLAN_H
#define C8S_NODE_POD_PLAN_H

#include "node/pod_spec.h"
#include "node/runtime.h"

/* What the probes say about a running container; the seam between plan and prober. A container
 * without a probe of a kind has started, is ready, and lives. */
struct probe_view {
    bool (*started)(void *ctx, const char *uid, const char *container_id);
    bool (*ready)(void *ctx, const char *uid, const char *container_id);
    bool (*live)(void *ctx, const char *uid, const char *container_id);
    void *ctx;
};

struct plan_kill {
    const struct run_container *container;
    const char *reason;  /* "Unhealthy", "Completed", … for the log */
    const char *message; /* of the Killing event */
    bool unhealthy;      /* a probe failed: its own grace period may apply */
};

struct pod_plan {
    bool stop_all; /* end every container and sandbox first (the sandbox died, or init failed for
                      good) */
    bool new_sandbox;
    uint32_t attempt; /* of the new sandbox */
    bool finished;    /* nothing runs and nothing will again */
    const Core__V1__Container *
        *start; /* in order; restarts wait for their back-off at the worker */
    size_t start_len;
    struct plan_kill *kill;
    size_t kill_len;
};

/* `run` NULL: nothing runs yet. */
void pod_plan(const Core__V1__Pod *pod, const struct run_pod *run, const struct probe_view *probes,
              struct arena *a, struct pod_plan *out);

/* Will an ended container be started again by its restart policy? */
bool container_restarts(const Core__V1__Pod *pod, const Core__V1__Container *c, bool init,
                        int exit_code);

#endif
