/*
 * Ending containers: preStop hook, SIGTERM, the grace period, SIGKILL.
 */
#ifndef C8S_NODE_POD_KILL_H
#define C8S_NODE_POD_KILL_H

#include "node/agent.h"
#include "node/pod_plan.h"

/* End the given containers at the same time and wait. `pod` NULL: no longer in the API (no hooks,
 * no events). The first failure is returned; all are tried. */
int pod_kill_containers(struct agent *g, const Core__V1__Pod *pod, const char *pod_ip,
                        const struct plan_kill *kills, size_t n, int64_t grace_s,
                        struct error *err);

/* End every container of a pod, sidecars last, then stop its sandboxes. */
int pod_kill_all(struct agent *g, const Core__V1__Pod *pod, const struct run_pod *run,
                 int64_t grace_s, struct error *err);

/*
 * Ends under way, so that one can be hastened: a pod that is deleted by force, or once more with a shorter grace
 * period, while its worker waits for its containers. Watches the pod informer (call before it is started).
 */
struct pod_kills *pod_kills_start(struct agent *g);
void pod_kills_stop(struct pod_kills *k);

/* Remove the ended pod from the runtime, its volumes, directories, logs and control groups. */
int pod_remove(struct agent *g, const struct run_pod *run, const char *ns, const char *name,
               const char *uid, struct error *err);

/* Run a lifecycle hook; true when it succeeded. */
bool pod_hook(struct agent *g, const Core__V1__LifecycleHandler *h, const Core__V1__Container *c,
              const char *container_id, const char *pod_ip, int64_t timeout_s, struct arena *a,
              const char **output);

#endif
