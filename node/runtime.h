/*
 * What runs: the state of pods as the container runtime has it.
 *
 * The agent keeps no file of its own about containers. Everything it must know again after a
 * restart is in labels and annotations of sandboxes and containers, with kubelet's keys, so that
 * either agent can take over the other's pods.
 */
#ifndef C8S_NODE_RUNTIME_H
#define C8S_NODE_RUNTIME_H

#include "node/cri.h"

#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define ANNOTATION_HASH "io.kubernetes.container.hash"
#define ANNOTATION_RESTART_COUNT "io.kubernetes.container.restartCount"
#define ANNOTATION_MESSAGE_PATH "io.kubernetes.container.terminationMessagePath"
#define ANNOTATION_MESSAGE_POLICY "io.kubernetes.container.terminationMessagePolicy"
#define ANNOTATION_GRACE "io.kubernetes.pod.terminationGracePeriod"

enum run_state { RUN_CREATED, RUN_RUNNING, RUN_EXITED, RUN_UNKNOWN };

struct run_container {
    const char *id, *name, *sandbox_id;
    enum run_state state;
    int restart_count;
    int64_t created_ns, started_ns, finished_ns; /* since 1970; 0: not yet */
    int exit_code;
    const char *reason, *message; /* of the end; "" while it runs */
    const char *image, *image_ref;
    const char *hash;                          /* of the spec it was made from */
    const char *message_path, *message_policy; /* where it may leave a last word, inside and how */
    const char *message_file; /* the file on the host that is mounted there, or NULL */
    const char *log_path;
};

struct run_sandbox {
    const char *id;
    bool ready;
    bool host_network;
    uint32_t attempt;
    int64_t created_ns;
    const char *ip; /* "" without network of its own */
};

struct run_pod {
    const char *ns, *name, *uid;
    struct run_sandbox *sandboxes; /* newest first */
    size_t sandboxes_len;
    struct run_container *containers; /* newest first */
    size_t containers_len;
    int64_t grace_s; /* from the annotations, for pods the API no longer knows; 30 when untold */
};

/* All pods of that name in the runtime (more than one when it was deleted and made anew), with full
 * status. Everything lives in the arena. */
int runtime_read(struct cri *cri, const char *ns, const char *name, struct arena *a,
                 struct run_pod **pods, size_t *len, struct error *err);

/* The newest container of that name, NULL when there is none; and the one before it. */
const struct run_container *run_container_newest(const struct run_pod *p, const char *name);
const struct run_container *run_container_previous(const struct run_pod *p, const char *name);
const struct run_container *run_container_by_id(const struct run_pod *p, const char *id);
/* The newest sandbox that is ready, NULL when none is. */
const struct run_sandbox *run_sandbox_ready(const struct run_pod *p);
/* Does any container or sandbox still run? */
bool run_pod_active(const struct run_pod *p);

/*
 * Changes by polling: compares the runtime's lists with those of the call before and reports
 * "ns/name" of every pod in which something appeared, changed state or went. The first call reports
 * every pod. CRI's event stream is optional and containerd 1.6 has none.
 */
struct runtime_poll;
struct runtime_poll *runtime_poll_new(void);
void runtime_poll_free(struct runtime_poll *p);
int runtime_poll_changes(struct runtime_poll *p, struct cri *cri,
                         void (*changed)(void *ctx, const char *key), void *ctx, struct error *err);

#endif
