/*
 * A pod's status as kubelet reports it, computed from the spec, what runs and what the probes say.
 * Pure: the time and the status reported before come in as arguments.
 */
#ifndef C8S_NODE_POD_STATUS_H
#define C8S_NODE_POD_STATUS_H

#include "node/pod_plan.h"

/* Why a container is not running although it should ("ImagePullBackOff", "CrashLoopBackOff", …). */
struct wait_reason {
    const char *container;
    const char *reason, *message;
};

struct status_input {
    const Core__V1__Pod *pod;  /* its status is the one reported before */
    const struct run_pod *run; /* NULL: nothing runs */
    const struct probe_view *probes;
    const struct wait_reason *waits;
    size_t waits_len;
    const char *host_ip;
    const char *runtime_name; /* "containerd": prefix of container ids */
    int64_t now_s;
    bool ended; /* the pod is over for good: its phase becomes Succeeded or Failed */
    const char *fail_reason,
        *fail_message; /* e.g. DeadlineExceeded: Failed with these; NULL else */
    /* The last words of an ended container, in the arena; "" for none. */
    const char *(*last_words)(void *ctx, const struct run_container *c, struct arena *a);
    void *ctx;
};

/* Conditions of others (scheduler, readiness gates, disruption) are taken over from the pod. */
Core__V1__PodStatus *pod_status(const struct status_input *in, struct arena *a);

/* Is there any difference worth a write? */
bool pod_status_equal(const Core__V1__PodStatus *a, const Core__V1__PodStatus *b);

#endif
